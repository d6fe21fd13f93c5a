//! Sections 7, 8.3, 10.4 to 10.6: what Xen and its tools write.

use super::*;
use kdumpfile::Value;
use kdumpfile_testkit::elf::Section;
use kdumpfile_testkit::notes::prstatus;
use kdumpfile_testkit::notes::xen::*;

const INVALID: u64 = u64::MAX;

/// Contents of page `i` of `.xen_pages`.
fn slot(i: usize) -> Vec<u8> {
    data(500 + i as u64, 4096)
}

fn pages(count: usize) -> Section {
    Section::xen_pages((0..count).flat_map(slot).collect::<Vec<_>>())
}

fn machine(class: Class) -> u16 {
    if class == Class::Elf32 { 3 } else { 62 }
}

fn empty(class: Class, order: ByteOrder) -> ElfBuilder {
    ElfBuilder::new(class, order, machine(class))
}

fn kernel(dump: &Context, pfn: u64) -> Result<Vec<u8>> {
    page_in(dump, Space::KernelPhysical, pfn << 12)
}

// 7, 7.1: ascending and descending runs, single frames.
#[test]
fn pages_of_an_auto_translated_domain_are_found_by_their_pfn_in_both_spaces() {
    let frames = [3, 4, 5, 6, 30, 29, 28, 27, 26, 50, 8, 48, 47, 10, 11, 12, 40];
    for (class, order) in encodings() {
        let dump = open_untranslated(
            empty(class, order).section(pages(17)).section(Section::xen_pfn(order, &frames)).build(),
        );
        assert_eq!(dump.string("file.format").unwrap(), "xc_core_elf");
        assert_eq!((dump.number("xen.type").unwrap(), dump.number("xen.xlat").unwrap()), (2, 0));
        assert_eq!(dump.number("max_pfn").unwrap(), 51);
        for pfn in 0..60 {
            for space in [Space::KernelPhysical, Space::MachinePhysical] {
                let read = page_in(&dump, space, pfn << 12);
                match frames.iter().position(|frame| *frame == pfn) {
                    Some(i) => assert!(read.unwrap() == slot(i), "{pfn}"),
                    None => assert_eq!(failure(read), not_found(), "{pfn}"),
                }
            }
        }
        let map = [(3, 6), (8, 8), (10, 12), (26, 30), (40, 40), (47, 48), (50, 50)];
        assert_eq!((&stored(&dump)[..], &ram(&dump)[..]), (&map[..], &map[..]));
        let text = "Cannot get page I/O address: No way to translate";
        assert_eq!(failure(virt(&dump, 3 << 12)), fails(Status::AddrXlat, text));
    }
}

// 7.1, step 2
#[test]
fn pages_of_other_domains_are_found_by_pfn_and_by_gmfn() {
    let map = [(0, 900), (1, 899), (2, 898), (7, 3), (6, 4), (5, 5), (20, 100), (21, 101), (22, 0)];
    for (class, order) in encodings() {
        let dump = open(empty(class, order).section(Section::xen_p2m(order, &map)).section(pages(9)).build());
        assert_eq!((dump.number("xen.type").unwrap(), dump.number("xen.xlat").unwrap()), (2, 1));
        assert_eq!(dump.number("max_pfn").unwrap(), 23);
        for frame in (0..120).chain(890..910) {
            let by_pfn = map.iter().position(|row| row.0 == frame);
            match by_pfn {
                Some(i) => assert!(kernel(&dump, frame).unwrap() == slot(i), "{frame}"),
                None => assert_eq!(failure(kernel(&dump, frame)), not_found(), "{frame}"),
            }
            match map.iter().position(|row| row.1 == frame) {
                Some(i) => assert!(phys(&dump, frame << 12).unwrap() == slot(i), "{frame}"),
                None => assert_eq!(failure(phys(&dump, frame << 12)), not_found(), "{frame}"),
            }
        }
        assert_eq!(stored(&dump), [(0, 2), (5, 7), (20, 22)]);
        // Whole pages come from the file.
        assert_eq!((dump.number("cache.hits").unwrap(), dump.number("cache.misses").unwrap()), (0, 0));
    }
}

// 7, 14.7: the page of an invalid entry exists all the same.
#[test]
fn invalid_entries_are_skipped_but_count() {
    let map = [(INVALID, INVALID), (7, 70), (INVALID, 71), (8, INVALID), (INVALID, INVALID), (9, 90)];
    for (class, order) in encodings() {
        let dump = open(empty(class, order).section(Section::xen_p2m(order, &map)).section(pages(6)).build());
        assert_eq!(dump.number("max_pfn").unwrap(), 10);
        for (pfn, i) in [(7, 1), (8, 3), (9, 5)] {
            assert!(kernel(&dump, pfn).unwrap() == slot(i), "{pfn}");
        }
        assert!(phys(&dump, 70 << 12).unwrap() == slot(1) && phys(&dump, 90 << 12).unwrap() == slot(5));
        for gmfn in [7, 8, INVALID >> 12] {
            assert_eq!(failure(phys(&dump, gmfn << 12)), not_found(), "{gmfn}");
        }
        assert_eq!(stored(&dump), [(7, 9)]);
        let table = Section::xen_pfn(order, &[5, INVALID, 6, 7, INVALID]);
        let dump = open(empty(class, order).section(table).section(pages(5)).build());
        assert_eq!(dump.number("max_pfn").unwrap(), 8);
        for (pfn, i) in [(5, 0), (6, 2), (7, 3)] {
            assert!(kernel(&dump, pfn).unwrap() == slot(i), "{pfn}");
        }
    }
}

// 7
#[test]
fn tables_may_be_empty_or_end_in_the_middle_of_an_entry() {
    for (class, order) in encodings() {
        for (rest, count) in [(0, 2), (1, 2), (7, 2), (8, 3), (15, 3)] {
            let table = Section::xen_pfn(order, &[1, 2, 3, 4]).size(16 + rest);
            let dump = open(empty(class, order).section(pages(4)).section(table).build());
            assert_eq!(dump.number("max_pfn").unwrap(), count + 1);
            let map = [(1, 10), (2, 20), (3, 30)];
            let table = Section::xen_p2m(order, &map).size(16 + rest);
            let dump = open(empty(class, order).section(pages(4)).section(table).build());
            assert_eq!(dump.number("max_pfn").unwrap(), 2);
        }
        let dump = open(empty(class, order).section(pages(4)).section(Section::xen_pfn(order, &[])).build());
        assert_eq!((dump.number("max_pfn").unwrap(), stored(&dump)), (0, vec![]));
        assert_eq!(failure(kernel(&dump, 0)), not_found());
    }
}

// 3, step 11, and 7
#[test]
fn pages_and_table_belong_together_and_position_0_is_none() {
    for (class, order) in encodings() {
        let table = || Section::xen_pfn(order, &[1, 2]);
        let lost = "file #0: Missing Xen P2M mapping";
        for file in [
            empty(class, order).section(pages(2)),
            empty(class, order).section(pages(2)).section(table().offset(0)),
            empty(class, order).section(pages(2)).load(0, data(1, 4096)),
        ] {
            assert_eq!(open_failure(file.build()), fails(Status::NotImplemented, lost));
        }
        for file in [
            empty(class, order).section(table()),
            empty(class, order).section(table()).section(pages(2).offset(0)),
        ] {
            let dump = open(file.build());
            assert_eq!(dump.string("file.format").unwrap(), "elf");
            assert_eq!((dump.number("xen.xlat").unwrap(), dump.number("max_pfn").unwrap()), (0, 3));
            assert!(!is_set(&dump, "xen.type"));
        }
    }
}

fn crash_info(order: ByteOrder, ptr_size: usize, extra: usize) -> Vec<u8> {
    let info = CrashInfo {
        major: 4,
        minor: 17,
        extra_version: 0x1234_5000,
        strings: [1, 2, 3, 4],
        phys_start: (extra > 1).then_some(0x20_0000),
        p2m_mfn: (extra > 0).then_some(0x77),
        ..CrashInfo::default()
    };
    let mut bytes = info.to_bytes(order, ptr_size);
    if extra > 2 {
        // A word that is not known yet stands in front of the last one.
        let last = bytes.split_off(bytes.len() - ptr_size);
        bytes.extend(order.uint(ptr_size, 0x99));
        bytes.extend(last);
    }
    bytes
}

// 10.5
#[test]
fn crash_info_is_read_in_every_known_size() {
    for order in ByteOrder::ALL {
        for (arch, word) in [(Arch::X86_64, 8), (Arch::Ia32, 4)] {
            for extra in 0..4 {
                // What remains of a word behind the last one does not count.
                for rest in [0, word - 1] {
                    let desc = [crash_info(order, word, extra), vec![0xee; rest]].concat();
                    assert_eq!(desc.len(), (8 + extra) * word + rest);
                    let note = notes_of(order, [Note::new("Xen", CRASH_INFO, desc)]);
                    let file = ElfBuilder::new(Class::Elf64, order, arch.machine()).note(note);
                    let dump = open(file.load(0x1000, data(1, 4096)).build());
                    assert_eq!(dump.number("xen.type").unwrap(), 1);
                    assert_eq!(dump.number("xen.version.major").unwrap(), 4);
                    assert_eq!(dump.number("xen.version.minor").unwrap(), 17);
                    assert_eq!(dump.number("xen.version_code").unwrap(), 4 << 16 | 17);
                    assert_eq!(dump.address("xen.version.extra_addr").unwrap(), 0x1234_5000);
                    if rest == 0 || extra > 0 {
                        assert_eq!(dump.address("xen.p2m_mfn").ok(), (extra > 0).then_some(0x77), "{extra}");
                    }
                    assert_eq!(
                        dump.address("xen.phys_start").ok(),
                        (extra > 1).then_some(0x20_0000),
                        "{extra}"
                    );
                    assert!(!is_set(&dump, "xen.xlat"));
                    assert!(!dump.spaces().contains(Space::KernelVirtual));
                }
            }
        }
    }
}

// 10.5
#[test]
fn crash_info_that_is_too_short_or_of_no_known_word_size_only_tells_the_type() {
    for (machine, sizes) in [(62, &[0, 1, 32, 63][..]), (3, &[0, 4, 31]), (0x1234, &[0, 32, 64, 80])] {
        for &size in sizes {
            let note = notes_of(LITTLE, [Note::new("Xen", CRASH_INFO, vec![1; size])]);
            let dump =
                open(ElfBuilder::new(Class::Elf64, LITTLE, machine).note(note).load(0, data(1, 64)).build());
            assert_eq!(dump.number("xen.type").unwrap(), 1);
            for path in ["version.major", "version.minor", "version.extra_addr", "p2m_mfn", "phys_start"] {
                assert!(!is_set(&dump, &format!("xen.{path}")), "{machine} {size}: {path}");
            }
        }
    }
}

// 10.5: only x86 has it.
#[test]
fn other_machines_have_no_start_of_xen() {
    for (arch, word) in [(Arch::Aarch64, 8), (Arch::Ia64, 8), (Arch::Arm, 4)] {
        let order = arch.usual_order();
        let note = notes_of(order, [Note::new("Xen", CRASH_INFO, crash_info(order, word, 2))]);
        let dump = open(ElfBuilder::for_arch(arch).note(note).load(0, data(1, 64)).build());
        assert_eq!(dump.address("xen.p2m_mfn").unwrap(), 0x77);
        assert!(!is_set(&dump, "xen.phys_start"), "{arch:?}");
    }
}

// 10.6
#[test]
fn version_of_the_dump_core_needs_its_whole_size() {
    for order in ByteOrder::ALL {
        for (arch, word) in [(Arch::X86_64, 8), (Arch::Ia32, 4)] {
            let desc = xen_version(order, word, 4, 2, ".6-0123456789abc", 4096);
            for (len, known) in [(desc.len(), true), (desc.len() - 1, false), (0, false)] {
                let note = notes_of(order, [Note::new("Xen", DUMPCORE_XEN_VERSION, &desc[..len])]);
                let file = ElfBuilder::new(Class::Elf64, order, arch.machine()).section(pages(1));
                let table = Section::xen_pfn(order, &[1]);
                let dump = open(file.section(table).section(Section::xen_notes(note)).build());
                assert_eq!(dump.number("xen.version.major").ok(), known.then_some(4), "{arch:?} {len}");
                assert_eq!(dump.number("xen.version.minor").ok(), known.then_some(2));
                assert_eq!(dump.number("xen.version_code").ok(), known.then_some(4 << 16 | 2));
                let extra = dump.string("xen.version.extra").ok();
                assert_eq!(extra.as_deref(), known.then_some(".6-0123456789abc"));
            }
            let short = xen_version(order, word, 4, 2, ".6", 4096);
            let note = notes_of(order, [Note::new("Xen", DUMPCORE_XEN_VERSION, short)]);
            let file = ElfBuilder::new(Class::Elf64, order, arch.machine()).note(note).load(0, data(1, 64));
            assert_eq!(open(file.build()).string("xen.version.extra").unwrap(), ".6");
        }
    }
}

fn domain_with(order: ByteOrder, notes: Vec<Note>) -> ElfBuilder {
    let notes = Section::xen_notes(notes_of(order, notes));
    empty(Class::Elf64, order).section(pages(2)).section(Section::xen_pfn(order, &[1, 2])).section(notes)
}

// 8.3
#[test]
fn header_of_the_dump_core_gives_the_page_size_under_both_names() {
    for order in ByteOrder::ALL {
        for name in ["Xen", ".note.Xen"] {
            let header = dumpcore_header(order, MAGIC_PV, 3, 2, 8192);
            let dump = open(domain_with(order, vec![Note::new(name, DUMPCORE_HEADER, header)]).build());
            assert_eq!(dump.number("arch.page_size").unwrap(), 8192, "{name}");
            assert!(read_block(&dump, 1, 8192).unwrap() == [slot(0), slot(1)].concat());
            // Too short for the field: ignored.
            let short = dumpcore_header(order, MAGIC_HVM, 3, 2, 8192)[..31].to_vec();
            let dump = open(domain_with(order, vec![Note::new(name, DUMPCORE_HEADER, short)]).build());
            assert_eq!(dump.number("arch.page_size").unwrap(), 4096, "{name}");
        }
    }
}

// 7, 8.3, 13
#[test]
fn only_the_name_of_the_section_makes_an_unknown_format_version_an_error() {
    for order in ByteOrder::ALL {
        let note =
            |name: &str, version| Note::new(name, DUMPCORE_FORMAT_VERSION, format_version(order, version));
        for version in [0, 2, u64::MAX] {
            let file = domain_with(order, vec![note(".note.Xen", version)]);
            let text = format!(
                "file #0: Cannot process Xen notes: Unsupported Xen dumpcore format version: {version}"
            );
            assert_eq!(open_failure(file.build()), fails(Status::NotImplemented, &text));
            let dump = open(domain_with(order, vec![note("Xen", version)]).build());
            assert!(kernel(&dump, 2).unwrap() == slot(1));
        }
        open(domain_with(order, vec![note(".note.Xen", 1)]).build());
        let short = Note::new(".note.Xen", DUMPCORE_FORMAT_VERSION, vec![9; 7]);
        open(domain_with(order, vec![short]).build());
    }
}

// 7: both passes, so also texts and CPUs.
#[test]
fn notes_in_the_section_go_through_both_passes() {
    for order in ByteOrder::ALL {
        let cpu = Note::core(1, prstatus(Arch::X86_64, order, 5, |i, _| i as u64));
        let notes = vec![cpu, Note::vmcoreinfo("A=1"), Note::new("ERASEINFO", 0, *b"x")];
        let dump = open(domain_with(order, notes).build());
        assert_eq!(dump.number("cpu.0.reg.r14").unwrap(), 1);
        for path in ["linux.vmcoreinfo.lines.A", "file.eraseinfo.raw"] {
            assert!(is_set(&dump, path), "{path}");
        }
    }
}

fn value(cpu: usize, i: usize) -> u64 {
    0x8877_6655_4433_2211 ^ ((cpu as u64) << 56) ^ (i as u64 * 0x0001_0001_0001_0001)
}

// 10.4
#[test]
fn contexts_of_virtual_cpus_become_registers() {
    for order in ByteOrder::ALL {
        for (count, rest) in [(0, 100), (1, 0), (3, VCPU_CONTEXT_SIZE - 1)] {
            let mut section: Vec<u8> =
                (0..count).flat_map(|cpu| vcpu_context(order, |i, _| value(cpu, i))).collect();
            section.extend(data(1, rest));
            let dump = open(domain_with(order, vec![]).section(Section::xen_prstatus(section)).build());
            assert_eq!(dump.number("cpu.number").unwrap(), count as u64);
            let slots = vcpu_registers();
            let mut names: Vec<&str> = slots.iter().map(|slot| &slot.name[..]).collect();
            names.reverse();
            for cpu in 0..count {
                assert_eq!(keys(&dump, &format!("cpu.{cpu}")), ["reg", "XEN_PRSTATUS"]);
                assert_eq!(keys(&dump, &format!("cpu.{cpu}.reg")), names);
                let blob = dump.blob(&format!("cpu.{cpu}.XEN_PRSTATUS")).unwrap();
                assert_eq!(blob.len(), VCPU_CONTEXT_SIZE);
                for (i, slot) in slots.iter().enumerate() {
                    let path = format!("cpu.{cpu}.reg.{}", slot.name);
                    let mask = u64::MAX >> (64 - 8 * slot.len);
                    assert_eq!(dump.number(&path).unwrap(), value(cpu, i) & mask, "{path}");
                    let mut expected = blob.to_vec();
                    expected[slot.offset..][..slot.len]
                        .copy_from_slice(&order.uint(slot.len, !value(cpu, i)));
                    dump.set(&path, Value::Number(!value(cpu, i))).unwrap();
                    assert!(blob.to_vec() == expected, "{path}");
                    assert_eq!(dump.number(&path).unwrap(), !value(cpu, i) & mask, "{path}");
                }
                blob.set(Vec::new()).unwrap();
                let text = "Value cannot be revalidated: XEN_PRSTATUS attribute too short";
                let path = format!("cpu.{cpu}.reg.cs");
                assert_eq!(failure(dump.number(&path)), fails(Status::Corrupt, text));
            }
        }
    }
}

// 10.4: the larger number of CPUs stays.
#[test]
fn contexts_never_lower_the_number_of_cpus() {
    let cpu = || Note::core(1, prstatus(Arch::X86_64, LITTLE, 5, |i, _| i as u64));
    let contexts = |count| Section::xen_prstatus(vec![1; count * VCPU_CONTEXT_SIZE]);
    for (notes, count, number) in [(2, 1, 2), (1, 3, 3), (0, 0, 0), (2, 0, 2)] {
        let notes = (0..notes).map(|_| cpu()).collect();
        let dump = open(domain_with(LITTLE, notes).section(contexts(count)).build());
        assert_eq!(dump.number("cpu.number").unwrap(), number);
    }
}

// 7, 14.7
#[test]
fn contexts_of_machines_without_a_table_are_ignored() {
    for machine in [183, 40, 50, 22, 243, 0x1234] {
        let order = LITTLE;
        let file = ElfBuilder::new(Class::Elf64, order, machine).section(pages(1));
        let contexts = Section::xen_prstatus(vec![1; 3 * VCPU_CONTEXT_SIZE]);
        let dump = open(file.section(Section::xen_pfn(order, &[1])).section(contexts).build());
        assert!(!is_set(&dump, "cpu.number") && !is_set(&dump, "cpu.0.reg"), "{machine}");
        set(&dump, "arch.page_size", 4096);
        assert!(kernel(&dump, 1).unwrap() == slot(0));
    }
}

fn translated(dump: &Context, from: Space, address: u64, to: Space) -> Result<u64> {
    dump.translate_address(from, address, to)
}

// 7.1, and 10.4 of the operating systems: kernel to machine addresses and back.
#[test]
fn physical_addresses_of_a_domain_translate_by_its_table() {
    let (kernel_space, machine_space) = (Space::KernelPhysical, Space::MachinePhysical);
    let map =
        [(0, 900), (1, 899), (2, 898), (7, 3), (20, 100), (21, 101), (22, INVALID), (30, u64::MAX >> 4)];
    for os in [None, Some("linux"), Some("xen")] {
        let builder = empty(Class::Elf64, LITTLE).section(Section::xen_p2m(LITTLE, &map)).section(pages(8));
        let dump = open_untranslated(builder.build());
        if let Some(os) = os {
            dump.set("addrxlat.ostype", Value::from(os)).unwrap();
            let _ = dump.translation_system();
        }
        for (i, (pfn, gmfn)) in map.into_iter().enumerate().take(6) {
            for offset in [0, 1, 0xfff] {
                let (kphys, machphys) = (pfn << 12 | offset, gmfn << 12 | offset);
                assert_eq!(translated(&dump, kernel_space, kphys, machine_space), Ok(machphys), "{os:?}");
                assert_eq!(translated(&dump, machine_space, machphys, kernel_space), Ok(kphys), "{os:?}");
            }
            assert!(kernel(&dump, pfn).unwrap() == slot(i) && phys(&dump, gmfn << 12).unwrap() == slot(i));
        }
        for (space, frame, other, text) in [
            (kernel_space, 3, machine_space, "PFN not found"),
            (kernel_space, 22, machine_space, "PFN not found"),
            (machine_space, 0, kernel_space, "MFN not found"),
            (kernel_space, 30, machine_space, "Frame number out of range: 0xfffffffffffffff"),
        ] {
            let (_, message) = failure(translated(&dump, space, frame << 12, other));
            assert!(message.ends_with(text), "{os:?}: {message}");
        }
    }
}

// The same where both are the same.
#[test]
fn physical_addresses_of_an_auto_translated_domain_stay_as_they_are() {
    let file = empty(Class::Elf64, LITTLE).section(Section::xen_pfn(LITTLE, &[5, 9])).section(pages(2));
    let dump = open(file.build());
    dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
    dump.set("addrxlat.force.virt_bits", Value::Number(48)).unwrap();
    for address in [0x5123, 0x9000, 0x1_2345_6000] {
        let found = translated(&dump, Space::KernelPhysical, address, Space::MachinePhysical);
        assert_eq!(found, Ok(address));
    }
}
