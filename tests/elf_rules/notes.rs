//! Sections 8 and 11 to 13: framing of notes, and what their texts become.

use super::*;
use kdumpfile_testkit::notes::{NT_PRSTATUS, NT_TASKSTRUCT, QemuCpu, Vmcoreinfo, prstatus};

/// A dump with these bytes as its only segment of notes.
fn with_notes(order: ByteOrder, notes: impl Into<Vec<u8>>) -> ElfBuilder {
    ElfBuilder::new(Class::Elf64, order, 62).note(notes).load(0x1000, data(1, 4096))
}

fn line(dump: &Context, key: &str) -> Option<String> {
    dump.string(&format!("linux.vmcoreinfo.lines.{key}")).ok()
}

fn cpu(arch: Arch, order: ByteOrder, fill: u64) -> Note {
    Note::core(NT_PRSTATUS, prstatus(arch, order, 1, |_, _| fill))
}

// 8.1: the same in both classes, always 4 bytes of alignment.
#[test]
fn notes_are_framed_the_same_in_both_classes_whatever_their_alignment() {
    for (class, order) in encodings() {
        for align in [0, 1, 4, 8, 4096] {
            // Names and descriptions of every length modulo 4 in front of it.
            let odd = (0..9).map(|i| Note::new(vec![b'x'; i], 7, vec![0xff; 8 - i]));
            let notes = odd.chain([Note::vmcoreinfo("A=1"), Note::new("ERASEINFO", 0, *b"gone")]);
            let segment = Segment::note(notes_of(order, notes)).align(align);
            let dump = open(ElfBuilder::new(class, order, 62).load(0, data(1, 64)).segment(segment).build());
            assert_eq!(line(&dump, "A").as_deref(), Some("1"), "{class:?} {align}");
            assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"gone");
        }
    }
}

// 8.1, step 2
#[test]
fn a_note_that_does_not_fit_ends_the_notes_without_an_error() {
    for order in ByteOrder::ALL {
        let first = notes_of(order, [Note::vmcoreinfo("FIRST=1")]);
        let second = notes_of(order, [Note::new("ERASEINFO", 0, *b"12345").unpadded()]);
        let all = [&first[..], &second].concat();
        for len in 0..=all.len() {
            let dump = open(with_notes(order, &all[..len]).build());
            assert_eq!(is_set(&dump, "linux.vmcoreinfo.raw"), len >= first.len() - 1, "{len}");
            assert_eq!(is_set(&dump, "file.eraseinfo.raw"), len == all.len(), "{len}");
        }
        for lie in [
            Note::new("X", 0, *b"12345678").descsz(u32::MAX),
            Note::new("X", 0, *b"12345678").namesz(u32::MAX),
            Note::new("X", 0, *b"12345678").namesz(u32::MAX - 2).descsz(u32::MAX - 2),
            Note::new("X", 0, *b"12345678").descsz(0x8000_0000),
        ] {
            let notes = notes_of(order, [Note::vmcoreinfo("A=1"), lie, Note::new("ERASEINFO", 0, *b"x")]);
            let dump = open(with_notes(order, notes).build());
            assert!(is_set(&dump, "linux.vmcoreinfo.raw") && !is_set(&dump, "file.eraseinfo.raw"));
        }
    }
}

// 8.1
#[test]
fn empty_notes_and_garbage_at_the_end_do_no_harm() {
    for order in ByteOrder::ALL {
        let known = notes_of(order, [Note::vmcoreinfo("A=1")]);
        for tail in [&[0; 11][..], &[0; 12], &[0; 4096], &[0xff; 4096], &[1; 4097]] {
            let dump = open(with_notes(order, [&known[..], tail].concat()).build());
            assert_eq!(line(&dump, "A").as_deref(), Some("1"));
        }
        // Headers of zeros are notes of 12 bytes.
        let dump = open(with_notes(order, [&[0; 120][..], &known].concat()).build());
        assert_eq!(line(&dump, "A").as_deref(), Some("1"));
        for lost in [1, 4, 11, 13] {
            let dump = open(with_notes(order, [&vec![0; lost][..], &known].concat()).build());
            let _ = line(&dump, "A");
        }
    }
}

// 8.1: `VMCOREINFO_XEN` is another name than `VMCOREINFO`.
#[test]
fn names_match_as_a_whole_with_or_without_one_nul() {
    let all =
        ["linux.vmcoreinfo.raw", "xen.vmcoreinfo.raw", "file.eraseinfo.raw", "linux.task_struct", "xen.type"];
    let known =
        [("VMCOREINFO", 0), ("VMCOREINFO_XEN", 0), ("ERASEINFO", 0), ("CORE", 4), ("Xen", 0x100_0001)];
    for (name, kind) in known {
        let path = all[known.iter().position(|row| row.0 == name).unwrap()];
        let found = |note: Note| {
            let dump = open(with_notes(LITTLE, notes_of(LITTLE, [note])).build());
            for other in all.into_iter().filter(|other| *other != path) {
                assert!(!is_set(&dump, other), "{name} sets {other}");
            }
            is_set(&dump, path)
        };
        let desc = b"A=1\n".to_vec();
        assert!(found(Note::new(name, kind, &desc[..])), "{name}");
        assert!(found(Note::new(name, kind, &desc[..]).unterminated()), "{name}");
        let swapped = name.to_lowercase();
        let (cut, doubled) = (&name[..name.len() - 1], format!("{name}\0"));
        let (longer, spaced) = (format!("{name}X"), format!(" {name}"));
        for wrong in [&swapped[..], cut, &doubled, &longer, &spaced] {
            assert!(!found(Note::new(wrong, kind, &desc[..])), "{wrong:?}");
        }
        for wrong in [&swapped[..], cut, &longer, &spaced] {
            assert!(!found(Note::new(wrong, kind, &desc[..]).unterminated()), "{wrong:?}");
        }
    }
}

// 8.2: the type of these notes is not looked at, that of `CORE` is.
#[test]
fn types_count_for_cores_only() {
    for kind in [0, 1, 4, 77, u32::MAX] {
        let notes = ["VMCOREINFO", "VMCOREINFO_XEN", "ERASEINFO"].map(|name| Note::new(name, kind, *b"A=1"));
        let dump = open(with_notes(LITTLE, notes_of(LITTLE, notes)).build());
        for path in ["linux.vmcoreinfo.lines.A", "xen.vmcoreinfo.lines.A", "file.eraseinfo.raw"] {
            assert!(is_set(&dump, path), "{kind}: {path}");
        }
    }
    for kind in [0, 2, 3, 5, 6, 0x202, 0x100, 0x4649_4c45, u32::MAX] {
        let dump = open(with_notes(LITTLE, notes_of(LITTLE, [Note::core(kind, vec![1; 512])])).build());
        assert!(!is_set(&dump, "cpu.number") && !is_set(&dump, "linux.task_struct"), "{kind}");
    }
}

// 8.3
#[test]
fn notes_of_others_are_ignored() {
    let notes = [
        Note::new("LINUX", 0x304, vec![1; 128]),
        Note::new("LINUX", 0x406, vec![1; 16]),
        Note::new("LINUX", 1, vec![1; 336]),
        Note::new("GNU", 1, vec![1; 336]),
        Note::new("VMCOREDD", 0x700, vec![1; 100]),
        Note::new("PRSTATUS", 1, vec![1; 3]),
        Note::new("Xen", 0x100_0002, vec![1; 32]),
        Note::new("Xen", 0x200_0000, []),
        Note::new("Xen", 1, vec![1; 3]),
        Note::new("", 1, vec![1; 3]),
    ];
    let dump = open(with_notes(LITTLE, notes_of(LITTLE, notes)).build());
    for path in ["cpu.number", "linux.vmcoreinfo.raw", "xen.type", "linux.task_struct"] {
        assert!(!is_set(&dump, path), "{path}");
    }
}

// 14.4: one a CPU, behind all PRSTATUS notes.
#[test]
fn control_registers_of_virtual_cpus_are_told() {
    let qemu = |base| QemuCpu { cr: [0, 1, 2, 3, 4].map(|i| base + i), ..QemuCpu::default() }.to_bytes();
    let cpus = [cpu(Arch::X86_64, LITTLE, 7), cpu(Arch::X86_64, LITTLE, 8)];
    let states = [0x100, 0x200, 0x300].map(|base| Note::new("QEMU", 0, qemu(base)));
    let notes = notes_of(LITTLE, cpus.into_iter().chain(states));
    // Also where notes are so large that each is looked at by itself.
    let apart = [&notes[..], &notes_of(LITTLE, [Note::new("LINUX", 0x700, vec![1; 17 << 20])])].concat();
    for notes in [notes, apart] {
        let dump = open(with_notes(LITTLE, notes).build());
        assert_eq!(dump.number("cpu.number").unwrap(), 2);
        for (cpu, base) in [(0, 0x100), (1, 0x200)] {
            for i in 0..5 {
                assert_eq!(dump.number(&format!("cpu.{cpu}.reg.cr{i}")).unwrap(), base + i);
            }
            assert_eq!(dump.blob(&format!("cpu.{cpu}.QEMU")).unwrap().to_vec(), qemu(base));
        }
    }
    // Nobody else has such notes, and nobody is known to have them.
    let arm = ElfBuilder::for_arch(Arch::Aarch64)
        .note(notes_of(LITTLE, [cpu(Arch::Aarch64, LITTLE, 7), Note::new("QEMU", 0, qemu(0x100))]));
    assert!(!is_set(&open(arm.load(0x1000, data(1, 4096)).build()), "cpu.0.QEMU"));
    let alone = notes_of(LITTLE, [Note::new("QEMU", 0, qemu(0x100))]);
    assert!(!is_set(&open(with_notes(LITTLE, alone).build()), "cpu.number"));
}

// 8.2, 8.3
#[test]
fn texts_and_tasks_are_kept_byte_by_byte() {
    for order in ByteOrder::ALL {
        for len in [0, 1, 3, 4, 5, 4095, 70_000] {
            let bytes = |seed| data(seed, len).iter().map(|byte| byte % 26 + b'A').collect::<Vec<_>>();
            let notes = [
                Note::new("ERASEINFO", 0, bytes(1)),
                Note::core(NT_TASKSTRUCT, data(2, len)),
                Note::vmcoreinfo(bytes(3)),
                Note::new("VMCOREINFO_XEN", 0, bytes(4)),
            ];
            let dump = open(with_notes(order, notes_of(order, notes)).build());
            for (path, expected) in [
                ("file.eraseinfo.raw", bytes(1)),
                ("linux.task_struct", data(2, len)),
                ("linux.vmcoreinfo.raw", bytes(3)),
                ("xen.vmcoreinfo.raw", bytes(4)),
            ] {
                assert!(dump.blob(path).unwrap().to_vec() == expected, "{path} {len}");
            }
        }
    }
}

// 8.2: what the text before gave is gone, but not what followed from it.
#[test]
fn the_last_note_of_a_kind_wins() {
    let first = "OLD=1\nSYMBOL(old)=1\nPAGESIZE=16384\nOSRELEASE=5.4.3\nNUMBER(phys_base)=4096\n";
    let notes = [
        Note::vmcoreinfo(first),
        Note::new("ERASEINFO", 0, *b"old"),
        Note::core(NT_TASKSTRUCT, *b"old"),
        Note::new("VMCOREINFO_XEN", 0, *b"OLD=1"),
    ];
    let again = [
        Note::vmcoreinfo("NEW=1\n"),
        Note::new("ERASEINFO", 0, *b"new"),
        Note::core(NT_TASKSTRUCT, *b"new"),
        Note::new("VMCOREINFO_XEN", 0, *b"NEW=1"),
    ];
    let one = notes_of(LITTLE, notes.clone().into_iter().chain(again.clone()));
    let two = x86_64().note(notes_of(LITTLE, notes)).note(notes_of(LITTLE, again)).load(0, data(1, 16384));
    for file in [with_notes(LITTLE, one), two] {
        let dump = open(file.build());
        assert_eq!((line(&dump, "OLD"), line(&dump, "NEW")), (None, Some("1".into())));
        assert_eq!(failure(dump.get("linux.vmcoreinfo.SYMBOL.old")).0, Status::NoKey);
        assert_eq!(failure(dump.get("xen.vmcoreinfo.lines.OLD")).0, Status::NoKey);
        assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"new");
        assert_eq!(dump.blob("linux.task_struct").unwrap().to_vec(), b"new");
        assert_eq!(dump.number("arch.page_size").unwrap(), 16384);
        assert_eq!(dump.string("linux.uts.release").unwrap(), "5.4.3");
        assert_eq!(dump.address("linux.phys_base").unwrap(), 4096);
    }
}

// 3, steps 4 to 6: texts count before CPUs wherever they stand.
#[test]
fn notes_of_all_segments_are_read_twice_in_the_order_of_the_headers() {
    for order in ByteOrder::ALL {
        let file = ElfBuilder::new(Class::Elf64, order, 183)
            .note(notes_of(order, [cpu(Arch::Aarch64, order, 1), Note::core(2, vec![1; 8])]))
            .load(0x10000, data(1, 0x10000))
            .note([])
            .note(notes_of(order, [cpu(Arch::Aarch64, order, 2)]))
            .note(notes_of(order, [Note::vmcoreinfo("PAGESIZE=65536\n"), cpu(Arch::Aarch64, order, 3)]));
        let dump = open(file.build());
        assert_eq!(dump.number("cpu.number").unwrap(), 3);
        for cpu in 0..3 {
            assert_eq!(dump.number(&format!("cpu.{cpu}.reg.x0")).unwrap(), cpu + 1);
        }
        assert_eq!((dump.number("max_pfn").unwrap(), stored(&dump)), (2, vec![(1, 1)]));
    }
}

// 13
#[test]
fn a_page_size_that_cannot_be_stops_the_open() {
    for (class, order) in encodings() {
        for size in ["3000", "0", "4097", "9223372036854775809"] {
            let note = vmcoreinfo_note(order, &format!("A=1\nPAGESIZE={size}\n"));
            let file = ElfBuilder::new(class, order, 62).load(0, data(1, 64)).note(note);
            let text = format!(
                "file #0: Cannot set VMCOREINFO: Cannot set VMCOREINFO 'PAGESIZE': \
                 Cannot set page size: Invalid page size: {size}"
            );
            assert_eq!(open_failure(file.build()), fails(Status::Corrupt, &text));
        }
        // Xen's pages are no pages of the dump.
        let note = notes_of(order, [Note::new("VMCOREINFO_XEN", 0, *b"PAGESIZE=3000\n")]);
        open(ElfBuilder::new(class, order, 62).load(0, data(1, 64)).note(note).build());
    }
}

// 12.2, checklist of 15
#[test]
fn odd_releases_open_and_fail_only_when_asked_for_their_number() {
    for (release, code) in
        [("6.1.0-50-amd64", Some(0x6_0100)), ("5.4.300", Some(0x5_04ff)), ("5.4", None), ("", None)]
    {
        let text = Vmcoreinfo::new().osrelease(release).text();
        let dump = open(with_notes(LITTLE, vmcoreinfo_note(LITTLE, &text)).build());
        assert_eq!(dump.string("linux.uts.release").unwrap(), release);
        assert!(is_set(&dump, "linux.version_code"));
        match code {
            Some(code) => assert_eq!(dump.number("linux.version_code").unwrap(), code),
            None => {
                let text = format!("Value cannot be revalidated: Invalid kernel version: {release}");
                assert_eq!(failure(dump.number("linux.version_code")), fails(Status::Corrupt, &text));
            }
        }
        assert!(phys(&dump, 0x1000).unwrap() == data(1, 4096));
    }
}

// 11, 14.8: the text of a note needs no newline, and may have zeros behind it.
#[test]
fn texts_of_notes_may_be_padded_cut_or_of_another_system() {
    let text = Vmcoreinfo::linux("6.1.0", 4096)
        .symbol("swapper_pg_dir", 0xffff_ffff_8200_0000)
        .offset("page", "flags", 0);
    for text in
        [text.clone(), text.clone().without_final_newline(), text.clone().padded(1), text.clone().padded(999)]
    {
        let dump = open(with_notes(LITTLE, notes_of(LITTLE, [Note::vmcoreinfo(text.to_bytes())])).build());
        assert_eq!(dump.address("linux.vmcoreinfo.SYMBOL.swapper_pg_dir").unwrap(), 0xffff_ffff_8200_0000);
        assert_eq!(dump.number("linux.vmcoreinfo.OFFSET.page.flags").unwrap(), 0);
        assert_eq!(dump.blob("linux.vmcoreinfo.raw").unwrap().to_vec(), text.to_bytes());
        assert!(!is_set(&dump, "addrxlat.ostype"), "a hint is no choice");
    }
    let dump = open(with_notes(LITTLE, notes_of(LITTLE, [Note::vmcoreinfo(text.crlf().to_bytes())])).build());
    assert!(!is_set(&dump, "linux.vmcoreinfo.SYMBOL.swapper_pg_dir"));
    assert_eq!(line(&dump, "PAGESIZE").as_deref(), Some("4096\r"));
}

// 14, observation 5: QEMU's ppc64.
#[test]
fn byte_order_of_memory_is_that_of_the_registers_if_they_tell_it() {
    for (msr, memory) in [(0x8000_0000_0000_9033, LITTLE), (0x8000_0000_0000_9032, ByteOrder::Big)] {
        let registers = |_: usize, name: &str| if name == "msr" { msr } else { 0x1122 };
        let note = Note::core(NT_PRSTATUS, prstatus(Arch::Ppc64, ByteOrder::Big, 9, registers));
        let file = ElfBuilder::new(Class::Elf64, ByteOrder::Big, 21).note(notes_of(ByteOrder::Big, [note]));
        let dump = open(file.load(0, data(1, 65536)).build());
        assert_eq!(dump.number("arch.byte_order").unwrap(), u64::from(memory == LITTLE));
        assert_eq!(dump.number("cpu.0.reg.msr").unwrap(), msr);
        assert_eq!(dump.number("cpu.0.pid").unwrap(), 9);
        dump.set("cpu.0.reg.r1", kdumpfile::Value::Number(0x55)).unwrap();
        assert_eq!(dump.blob("cpu.0.PRSTATUS").unwrap().to_vec()[120..128], [0, 0, 0, 0, 0, 0, 0, 0x55]);
    }
}
