//! Sections 2 and 10: architectures and the state of CPUs.

use super::*;
use kdumpfile::Value;
use kdumpfile_testkit::notes::{PrstatusLayout, prstatus, prstatus_layout};

/// What `e_machine` of `arch` means in a file of this class.
fn meant(arch: Arch, class: Class) -> Arch {
    match (arch, class) {
        (Arch::Riscv32 | Arch::Riscv64, Class::Elf32) => Arch::Riscv32,
        (Arch::Riscv32 | Arch::Riscv64, Class::Elf64) => Arch::Riscv64,
        (Arch::S390 | Arch::S390x, Class::Elf32) => Arch::S390,
        (Arch::S390 | Arch::S390x, Class::Elf64) => Arch::S390x,
        _ => arch,
    }
}

/// A value of its own for each register and CPU.
fn value(cpu: u64, index: usize) -> u64 {
    0x9182_7364_5546_3728 ^ (cpu << 60) ^ (index as u64 * 0x0101_0101_0101_0101)
}

fn low(value: u64, bytes: usize) -> u64 {
    if bytes == 8 { value } else { value & ((1 << (8 * bytes)) - 1) }
}

/// Runs `check` with two CPUs of every architecture that has registers.
fn each_arch(check: impl Fn(&Context, Arch, ByteOrder, &PrstatusLayout)) {
    for (class, order) in encodings() {
        for arch in Arch::ALL.map(|arch| meant(arch, class)) {
            let Some(layout) = prstatus_layout(arch) else { continue };
            let cpus = [0, 1].map(|cpu| Note::core(1, prstatus(arch, order, -5, |i, _| value(cpu, i))));
            let file = ElfBuilder::new(class, order, arch.machine()).note(notes_of(order, cpus));
            check(&open(file.load(0x1000, data(1, 4096)).build()), arch, order, &layout);
        }
    }
}

// 10.1, 10.2: iteration shows the newest first, so the tables come in reverse.
#[test]
fn registers_of_every_architecture_come_in_reverse_order_of_their_table() {
    each_arch(|dump, arch, _, layout| {
        let mut names: Vec<&str> = layout.registers.iter().map(|slot| &slot.name[..]).collect();
        names.reverse();
        assert_eq!(dump.number("cpu.number").unwrap(), 2);
        assert_eq!(keys(dump, "cpu"), ["1", "0", "number"], "{arch:?}");
        for cpu in 0..2 {
            assert_eq!(keys(dump, &format!("cpu.{cpu}")), ["pid", "reg", "PRSTATUS"]);
            assert_eq!(keys(dump, &format!("cpu.{cpu}.reg")), names, "{arch:?}");
        }
    });
}

// 10.2
#[test]
fn registers_of_every_architecture_have_the_bytes_at_their_offsets() {
    each_arch(|dump, arch, order, layout| {
        for cpu in 0..2 {
            let blob = dump.blob(&format!("cpu.{cpu}.PRSTATUS")).unwrap().to_vec();
            assert_eq!(blob.len(), layout.full_size);
            for (i, slot) in layout.registers.iter().enumerate() {
                let read = dump.number(&format!("cpu.{cpu}.reg.{}", slot.name)).unwrap();
                assert_eq!(read, order.value(&blob[slot.offset..][..slot.len]), "{arch:?} {}", slot.name);
                if !layout.aliases.contains(&&slot.name[..]) {
                    assert_eq!(read, low(value(cpu, i), slot.len), "{arch:?} {}", slot.name);
                }
            }
        }
    });
}

// 10.3
#[test]
fn registers_are_written_into_the_note_and_nowhere_else() {
    each_arch(|dump, arch, order, layout| {
        // Whoever holds the blob sees the change.
        let blob = dump.blob("cpu.1.PRSTATUS").unwrap();
        for (i, slot) in layout.registers.iter().enumerate() {
            let path = format!("cpu.1.reg.{}", slot.name);
            // Zero and the value that is there already are written like others.
            for new in [0, 0, !value(7, i), u64::MAX] {
                let mut expected = blob.to_vec();
                expected[slot.offset..][..slot.len].copy_from_slice(&order.uint(slot.len, new));
                dump.set(&path, Value::Number(new)).unwrap();
                assert_eq!(dump.number(&path).unwrap(), low(new, slot.len), "{arch:?} {path}");
                assert!(blob.to_vec() == expected, "{arch:?} {path}");
            }
        }
        assert_eq!(dump.number(&format!("cpu.0.reg.{}", layout.registers[0].name)).unwrap(), {
            low(value(0, 0), layout.registers[0].len)
        });
    });
}

// 10.3
#[test]
fn registers_show_what_is_written_into_the_note() {
    each_arch(|dump, arch, order, layout| {
        let blob = dump.blob("cpu.0.PRSTATUS").unwrap();
        let bytes = data(9, layout.full_size);
        blob.set(bytes.clone()).unwrap();
        let replaced = data(10, layout.full_size);
        let other = kdumpfile::Blob::new(replaced.clone());
        let check = |bytes: &[u8]| {
            for slot in &layout.registers {
                let read = dump.number(&format!("cpu.0.reg.{}", slot.name)).unwrap();
                assert_eq!(read, order.value(&bytes[slot.offset..][..slot.len]), "{arch:?} {}", slot.name);
            }
        };
        check(&bytes);
        dump.set("cpu.0.PRSTATUS", Value::Blob(other)).unwrap();
        check(&replaced);
    });
}

// 10.3
#[test]
fn emptied_note_makes_every_register_corrupt() {
    each_arch(|dump, arch, _, layout| {
        let blob = dump.blob("cpu.0.PRSTATUS").unwrap();
        blob.set(Vec::new()).unwrap();
        let paths = layout.registers.iter().map(|slot| format!("cpu.0.reg.{}", slot.name));
        for path in paths.chain(["cpu.0.pid".into()]) {
            let text = "Value cannot be revalidated: PRSTATUS attribute too short";
            assert_eq!(failure(dump.number(&path)), fails(Status::Corrupt, text), "{arch:?} {path}");
            let refused = failure(dump.set(&path, Value::Number(1)));
            assert_eq!(refused, fails(Status::Corrupt, "PRSTATUS attribute too short"), "{path}");
            assert!(is_set(dump, &path));
        }
        assert!(dump.number("cpu.1.pid").is_ok());
    });
}

// 10.3: a note cut in the middle still has its first registers.
#[test]
fn registers_are_corrupt_exactly_where_the_note_is_too_short_for_them() {
    each_arch(|dump, arch, _, layout| {
        let blob = dump.blob("cpu.0.PRSTATUS").unwrap();
        for slot in &layout.registers {
            for (len, enough) in [(slot.offset + slot.len, true), (slot.offset + slot.len - 1, false)] {
                blob.set(vec![1; len]).unwrap();
                let read = dump.number(&format!("cpu.0.reg.{}", slot.name));
                assert_eq!(read.is_ok(), enough, "{arch:?} {}", slot.name);
            }
        }
    });
}

// 10.3
#[test]
fn registers_without_their_note_have_no_data() {
    each_arch(|dump, _, _, layout| {
        dump.clear(Some("cpu.0.PRSTATUS")).unwrap();
        let path = format!("cpu.0.reg.{}", layout.registers[0].name);
        let (status, text) = failure(dump.number(&path));
        assert_eq!(status, Status::NoData);
        assert!(text.ends_with("PRSTATUS raw attribute not found"), "{text}");
    });
}

// 10.1: `pid` is read as an unsigned number, and written cut to 32 bits.
#[test]
fn process_ids_have_32_bits_without_sign() {
    each_arch(|dump, arch, order, layout| {
        assert_eq!(dump.number("cpu.0.pid").unwrap(), 0xffff_fffb, "{arch:?}");
        dump.set("cpu.0.pid", Value::Number(0x11_2233_4455)).unwrap();
        assert_eq!(dump.number("cpu.0.pid").unwrap(), 0x2233_4455, "{arch:?}");
        let blob = dump.blob("cpu.0.PRSTATUS").unwrap().to_vec();
        assert_eq!(blob[layout.pid_offset..][..4], order.uint(4, 0x2233_4455));
    });
}

// 10.1
#[test]
fn notes_of_cpus_have_a_least_size_but_no_greatest() {
    for (class, order) in encodings() {
        for arch in Arch::ALL.map(|arch| meant(arch, class)) {
            let Some(layout) = prstatus_layout(arch) else { continue };
            let of_size = |size: usize| {
                let note = notes_of(order, [Note::core(1, vec![0x11; size])]);
                ElfBuilder::new(class, order, arch.machine()).load(0x1000, data(1, 4096)).note(note).build()
            };
            for size in [0, 1, layout.min_size / 2, layout.min_size - 1] {
                let text = format!("file #0: Wrong PRSTATUS size: {size}");
                assert_eq!(open_failure(of_size(size)), fails(Status::Corrupt, &text), "{arch:?}");
            }
            for size in [layout.min_size, layout.min_size + 1, layout.full_size, 4096] {
                let dump = open(of_size(size));
                assert_eq!(dump.number("cpu.number").unwrap(), 1, "{arch:?} {size}");
                assert_eq!(dump.blob("cpu.0.PRSTATUS").unwrap().len(), size);
            }
        }
    }
}

// 10.2: no handler, so the note is ignored whatever its size.
#[test]
fn cpus_of_architectures_without_a_table_are_ignored() {
    let machines = [41, 0x9026, 50, 8, 20, 243, 22, 43, 15, 42, 45, 0, 0xffff];
    for order in ByteOrder::ALL {
        for machine in machines {
            for size in [0, 100, 600] {
                let note = notes_of(order, [Note::core(1, vec![1; size])]);
                let file = ElfBuilder::new(Class::Elf32, order, machine).note(note);
                let dump = open(file.load(0x1000, data(1, 8192)).build());
                assert!(!is_set(&dump, "cpu.number") && !is_set(&dump, "cpu.0.PRSTATUS"), "{machine}");
            }
        }
    }
}

const LOONGARCH: u16 = 258;

// 14.5, 14.6: the reference has no registers of this architecture.
#[test]
fn loongarch64_has_registers_and_those_of_a_short_note_are_left_out() {
    let desc: Vec<u8> = data(3, 480);
    let of_size = |size: usize| {
        let note = notes_of(LITTLE, [Note::core(1, &desc[..size]), Note::core(1, &desc[..])]);
        let info = vmcoreinfo_note(LITTLE, "PAGESIZE=16384\n");
        let file = ElfBuilder::new(Class::Elf64, LITTLE, LOONGARCH).note(info).note(note);
        open(file.load(0x4000, data(1, 16384)).build())
    };
    for size in [480, 472] {
        let dump = of_size(size);
        assert_eq!(dump.string("arch.name").unwrap(), "loongarch64");
        assert_eq!(dump.number("arch.ptr_size").unwrap(), 8);
        assert_eq!(keys(&dump, "cpu.0.reg").len(), 35);
        for (name, offset) in [("r0", 112), ("r31", 360), ("orig_a0", 368), ("era", 376), ("badv", 384)] {
            let read = dump.number(&format!("cpu.0.reg.{name}")).unwrap();
            assert_eq!(read, LITTLE.value(&desc[offset..][..8]), "{name}");
        }
    }
    for size in [0, 112, 471] {
        let dump = of_size(size);
        assert_eq!(dump.number("cpu.number").unwrap(), 2, "{size}");
        assert_eq!(dump.blob("cpu.0.PRSTATUS").unwrap().to_vec(), desc[..size]);
        assert!(!is_set(&dump, "cpu.0.reg") && !is_set(&dump, "cpu.0.pid"));
        assert_eq!(dump.number("cpu.1.reg.badv").unwrap(), LITTLE.value(&desc[384..392]));
        assert!(read_block(&dump, 1, 16384).unwrap() == data(1, 16384));
    }
}

// 2: the whole table, also the old number of alpha.
#[test]
fn machines_name_the_architecture_in_both_classes_and_byte_orders() {
    let table = [
        (183, "aarch64", 8, None),
        (40, "arm", 4, Some(4096)),
        (41, "alpha", 8, Some(8192)),
        (0x9026, "alpha", 8, Some(8192)),
        (50, "ia64", 8, None),
        (8, "mips", 4, Some(4096)),
        (20, "ppc", 4, None),
        (21, "ppc64", 8, None),
        (3, "ia32", 4, Some(4096)),
        (62, "x86_64", 8, Some(4096)),
    ];
    let by_class = [(243, ("riscv32", 4), ("riscv64", 8)), (22, ("s390", 4), ("s390x", 8))];
    for (class, order) in encodings() {
        let wide = class == Class::Elf64;
        let by_class = by_class.map(|(machine, narrow_facts, wide_facts)| {
            let (name, size) = if wide { wide_facts } else { narrow_facts };
            (machine, name, size, Some(4096))
        });
        for (machine, name, pointer, page_size) in table.into_iter().chain(by_class) {
            let dump = open(ElfBuilder::new(class, order, machine).load(0, data(1, 65536)).build());
            assert_eq!(dump.number("arch.machine").unwrap(), u64::from(machine));
            assert_eq!(dump.number("arch.byte_order").unwrap(), u64::from(order == LITTLE));
            assert_eq!(dump.string("arch.name").unwrap(), name, "{machine}");
            assert_eq!(dump.number("arch.ptr_size").unwrap(), pointer, "{name}");
            assert_eq!(dump.number("arch.page_size").ok(), page_size, "{name}");
            let shift = page_size.map(|size: u64| size.trailing_zeros().into());
            assert_eq!(dump.number("arch.page_shift").ok(), shift, "{name}");
            match name {
                "ia32" => assert_eq!(failure(dump.number("arch.pteval_size")), no_value()),
                _ => assert_eq!(dump.number("arch.pteval_size").unwrap(), pointer, "{name}"),
            }
        }
    }
}

// 2, 14.6
#[test]
fn unknown_machines_open_without_an_architecture() {
    for (class, order) in encodings() {
        for machine in [0, 2, 15, 42, 43, 45, 94, 0x7fff, 0xffff] {
            let dump = open(ElfBuilder::new(class, order, machine).load(0x3000, data(1, 4096)).build());
            assert_eq!(dump.number("arch.machine").unwrap(), u64::from(machine));
            for unset in ["name", "ptr_size", "pteval_size", "page_size", "page_shift"] {
                assert_eq!(failure(dump.get(&format!("arch.{unset}"))), no_value(), "{machine}");
            }
            assert!(phys(&dump, 0x3000).is_err());
            set(&dump, "arch.page_size", 4096);
            assert!(phys(&dump, 0x3000).unwrap() == data(1, 4096));
            assert_eq!(stored(&dump), [(3, 3)]);
        }
    }
}

// 2: crash dumps of 32-bit kernels with more than 4 GiB of memory.
#[test]
fn ia32_in_a_64_bit_file_keeps_its_pointers_and_its_note() {
    let high = 0x1_2345_6000;
    let cpu = prstatus(Arch::Ia32, LITTLE, 77, |i, _| value(0, i));
    let file = ElfBuilder::new(Class::Elf64, LITTLE, 3).note(notes_of(LITTLE, [Note::core(1, cpu)]));
    let dump = open(file.load(high, data(4, 4096)).build());
    assert_eq!(dump.string("file.description").unwrap(), "ELF64 dump");
    assert_eq!(dump.string("arch.name").unwrap(), "ia32");
    assert_eq!(dump.number("arch.ptr_size").unwrap(), 4);
    assert_eq!(dump.number("cpu.0.pid").unwrap(), 77);
    assert_eq!(dump.number("cpu.0.reg.ebx").unwrap(), low(value(0, 0), 4));
    assert_eq!(dump.number("max_pfn").unwrap(), 0x12_3457);
    assert!(phys(&dump, high).unwrap() == data(4, 4096));
}

// 2, 2.1: a known name and a known page size are left alone.
#[test]
fn what_the_user_said_of_the_architecture_wins() {
    let cpu = prstatus(Arch::Aarch64, LITTLE, 5, |i, _| value(0, i));
    let file = x86_64().note(notes_of(LITTLE, [Note::core(1, cpu)])).load(0x10000, data(1, 65536)).build();
    let dump = Context::new();
    dump.set("arch.name", Value::from("aarch64")).unwrap();
    set(&dump, "arch.page_size", 16384);
    dump.open_bytes(file.clone()).unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "aarch64");
    assert_eq!(dump.number("arch.machine").unwrap(), 62);
    assert_eq!(dump.number("cpu.0.reg.x0").unwrap(), value(0, 0));
    assert_eq!(stored(&dump), [(4, 7)]);
    assert_eq!(dump.number("max_pfn").unwrap(), 8);

    let dump = Context::new();
    set(&dump, "arch.page_shift", 13);
    dump.open_bytes(file).unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    assert_eq!(dump.number("arch.page_size").unwrap(), 8192);
    assert_eq!(stored(&dump), [(8, 15)]);
}

const NO_PAGE_SIZE: [Arch; 4] = [Arch::Aarch64, Arch::Ia64, Arch::Ppc, Arch::Ppc64];

// 2.2
#[test]
fn dumps_without_a_page_size_open_and_can_be_read_once_it_is_set() {
    for (class, order) in encodings() {
        for arch in NO_PAGE_SIZE {
            let file = ElfBuilder::new(class, order, arch.machine())
                .segment(load(0x8000_0000, 0x20000, 1, 0x20000).memsz(0x38000))
                .segment(load(0x9000_0000, 0, 2, 0x10000));
            let dump = open(file.build());
            let maps = [dump.bitmap("file.pagemap").unwrap(), dump.bitmap("memory.pagemap").unwrap()];
            for address in [0, 1, 0x20000, 0x8000_0000, u64::MAX] {
                for space in [Space::KernelVirtual, Space::MachinePhysical] {
                    let (status, text) = failure(dump.read(space, address, &mut [0; 16]));
                    assert!(matches!(status, Status::Invalid | Status::NoData), "{text}");
                    assert!(dump.read_string(space, address).is_err());
                    assert!(dump.packing(space, address).is_err());
                }
            }
            for map in &maps {
                assert_eq!(failure(map.find_set(0)), fails(Status::NoData, "No such bit found"));
                assert_eq!(map.find_clear(5).unwrap(), 5);
            }
            for size in [65536, 4096, 16384] {
                set(&dump, "arch.page_size", size);
                assert_eq!(dump.number("arch.page_shift").unwrap(), u64::from(size.trailing_zeros()));
                let (low, high) = (0x10000 / size, 0x20000 / size);
                assert_eq!(runs(&maps[0]), [(0, low - 1), (high, 0x40000 / size - 1)]);
                assert_eq!(runs(&maps[1]), [(0, low - 1), (high, (0x58000 - 1) / size)]);
                assert_eq!(runs(&maps[0]), stored(&dump));
                assert_eq!(runs(&maps[1]), ram(&dump));
                assert!(read_block(&dump, 0x20000 / size, size).unwrap() == data(1, size as usize));
                let mut bytes = vec![0; 0x20000];
                dump.read(Space::KernelVirtual, 0x8000_0000, &mut bytes).unwrap();
                assert!(bytes == data(1, 0x20000));
                assert_eq!(failure(phys(&dump, 0x5c000)), not_found());
            }
        }
    }
}

// 2.2: by the user or by VMCOREINFO, before any note that depends on it.
#[test]
fn page_size_is_known_at_once_when_vmcoreinfo_or_the_user_says_it() {
    for (class, order) in encodings() {
        for arch in NO_PAGE_SIZE {
            let file = ElfBuilder::new(class, order, arch.machine()).load(0x20000, data(1, 0x28000));
            let with_note = file.clone().note(vmcoreinfo_note(order, "PAGESIZE=65536\n")).build();
            let by_note = open(with_note.clone());
            assert_eq!(by_note.number("arch.page_shift").unwrap(), 16);
            assert_eq!((by_note.number("max_pfn").unwrap(), stored(&by_note)), (4, vec![(2, 4)]));
            let by_user = Context::new();
            set(&by_user, "arch.page_size", 32768);
            by_user.open_bytes(file.build()).unwrap();
            assert_eq!((by_user.number("max_pfn").unwrap(), stored(&by_user)), (9, vec![(4, 8)]));
            assert!(read_block(&by_user, 4, 32768).unwrap() == data(1, 32768));
        }
    }
}
