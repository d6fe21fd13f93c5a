//! Notes against small hand-made bytes.

use super::*;
use crate::Status;
use crate::attr::{Attributes, Effects};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

const LITTLE: ByteOrder = ByteOrder::Little;

/// One note with a terminated name, padded to 4 bytes.
fn note(name: &str, kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut stored = name.as_bytes().to_vec();
    stored.push(0);
    raw_note(&stored, kind, desc)
}

fn raw_note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [name.len() as u32, desc.len() as u32, kind] {
        bytes.extend(number.to_le_bytes());
    }
    for part in [name, desc] {
        bytes.extend(part);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Both passes over `bytes` of a little-endian dump of `arch`.
fn passes(arch: &str, bytes: &[u8]) -> (Attributes, Result<()>) {
    let attributes = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&attributes, &mut effects);
    facts.set_number("arch.byte_order", LITTLE.number()).unwrap();
    facts.set_string("arch.name", arch).unwrap();
    let result = noarch(&mut facts, bytes).and_then(|()| super::arch(&mut facts, bytes));
    (attributes, result)
}

#[test]
fn names_match_with_and_without_one_nul() {
    for (stored, known) in [
        (&b"CORE"[..], true),
        (b"CORE\0", true),
        (b"CORE\0\0", false),
        (b"COREX", false),
        (b"core\0", false),
        (b"COR", false),
        (b"", false),
        (b"\0", false),
    ] {
        let bytes = raw_note(stored, 1, b"");
        let found = notes(&bytes, LITTLE).next().unwrap();
        assert_eq!(found.is_named("CORE"), known, "{stored:?}");
        assert_eq!(is_known(stored), known, "{stored:?}");
    }
}

#[test]
fn framing_stops_silently_at_a_note_that_does_not_fit() {
    let mut bytes = vec![0; 12]; // An empty header is a note without meaning.
    bytes.extend(note("A", 7, b"12345"));
    bytes.extend(note("B", 8, b"xyz"));
    let all = |bytes: &[u8]| notes(bytes, LITTLE).map(|note| note.kind).collect::<Vec<_>>();
    assert_eq!(all(&bytes), [0, 7, 8]);
    assert_eq!(all(&bytes[..bytes.len() - 1]), [0, 7, 8], "the last padding may be missing");
    assert_eq!(all(&bytes[..bytes.len() - 2]), [0, 7]);
    for length in 0..bytes.len() {
        let expected = [12, 33, 55].iter().filter(|end| length >= **end).count();
        assert_eq!(all(&bytes[..length]).len(), expected, "{length}");
    }
    let huge = [0xff; 24];
    assert_eq!(notes(&huge, LITTLE).next(), None);
}

#[test]
fn numbers_of_the_header_follow_the_byte_order() {
    let bytes = [0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 9, b'C', b'O', b'R', b'E', 0x55];
    let found = notes(&bytes, ByteOrder::Big).next().unwrap();
    assert_eq!(found, Note { name: b"CORE", kind: 9, desc: &[0x55] });
}

#[test]
fn first_pass_keeps_texts_and_the_last_one_wins() {
    let mut bytes = note("VMCOREINFO", 99, b"PAGESIZE=16384\nOLD=1\n");
    bytes.extend(note("VMCOREINFO", 0, b"PAGESIZE=16384\nNEW=1\0\0\0\n\0"));
    bytes.extend(note("VMCOREINFO_XEN", 0, b"XEN=yes"));
    bytes.extend(raw_note(b"ERASEINFO", 5, b"erased"));
    bytes.extend([0xff; 40]);
    let (attributes, result) = passes("aarch64", &bytes);
    result.unwrap();
    assert_eq!(attributes.number("arch.page_size"), Some(16384));
    assert!(attributes.reference(Some("linux.vmcoreinfo.lines.OLD")).is_err());
    assert_eq!(attributes.string("linux.vmcoreinfo.lines.NEW").as_deref(), Some("1"));
    assert_eq!(attributes.string("xen.vmcoreinfo.lines.XEN").as_deref(), Some("yes"));
    let erased = attributes.get(attributes.reference(Some("file.eraseinfo.raw")).unwrap()).unwrap();
    assert_eq!(erased.as_blob().unwrap().to_vec(), b"erased");
}

#[test]
fn invalid_page_size_names_every_step() {
    let (_, result) = passes("aarch64", &note("VMCOREINFO", 0, b"PAGESIZE=3000"));
    assert_eq!(
        result.unwrap_err().message(),
        "Cannot set VMCOREINFO: Cannot set VMCOREINFO 'PAGESIZE': Cannot set page size: Invalid page size: 3000"
    );
}

#[test]
fn core_notes_give_cpus_in_order_and_the_task() {
    let mut bytes = note("CORE", 1, &[1; 336]);
    bytes.extend(note("CORE", 2, &[2; 8]));
    bytes.extend(note("LINUX", 1, &[3; 8]));
    bytes.extend(note("CORE", 4, b"task"));
    bytes.extend(note("CORE", 1, &[4; 328]));
    let (attributes, result) = passes("x86_64", &bytes);
    result.unwrap();
    assert_eq!(attributes.number("cpu.number"), Some(2));
    let rip = attributes.get(attributes.reference(Some("cpu.1.reg.rip")).unwrap()).unwrap();
    assert_eq!(rip.as_number(), Some(0x0404_0404_0404_0404));
    let task = attributes.get(attributes.reference(Some("linux.task_struct")).unwrap()).unwrap();
    assert_eq!(task.as_blob().unwrap().to_vec(), b"task");
}

#[test]
fn cpu_count_of_a_hostile_file_is_bounded() {
    let one = note("CORE", 1, &[0; 144]);
    let bytes: Vec<u8> = one.iter().copied().cycle().take(one.len() * 3).collect();
    let attributes = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&attributes, &mut effects);
    facts.set_number("arch.byte_order", 1).unwrap();
    facts.set_string("arch.name", "ia32").unwrap();
    facts.set_number("cpu.number", prstatus::MAX_CPUS - 1).unwrap();
    super::arch(&mut facts, &bytes).unwrap();
    assert_eq!(attributes.number("cpu.number"), Some(prstatus::MAX_CPUS));
}

#[test]
fn crash_info_is_read_by_its_size() {
    let values: Vec<u64> = (1..=11).collect();
    // Words, then whether p2m_mfn and phys_start are there.
    for (count, p2m, phys) in [
        (7, None, None),
        (8, None, None),
        (9, Some(9), None),
        (10, Some(10), Some(9)),
        (11, Some(11), Some(9)),
    ] {
        let (attributes, result) = passes("x86_64", &note("Xen", 0x100_0001, &words(&values[..count])));
        result.unwrap();
        assert_eq!(attributes.number("xen.type"), Some(1));
        assert_eq!(attributes.number("xen.version.major"), (count >= 8).then_some(1), "{count}");
        assert_eq!(attributes.number("xen.version.extra_addr"), (count >= 8).then_some(3), "{count}");
        assert_eq!(attributes.number("xen.p2m_mfn"), p2m, "{count}");
        assert_eq!(attributes.number("xen.phys_start"), phys, "{count}");
    }
}

#[test]
fn crash_info_of_other_machines_has_no_phys_start_and_ia32_has_short_words() {
    let (attributes, _) = passes("aarch64", &note("Xen", 0x100_0001, &words(&[5; 10])));
    assert_eq!(attributes.number("xen.p2m_mfn"), Some(5));
    assert_eq!(attributes.number("xen.phys_start"), None);
    let short: Vec<u8> = (1u32..=10).flat_map(u32::to_le_bytes).chain([0xee; 3]).collect();
    let (attributes, _) = passes("ia32", &note("Xen", 0x100_0001, &short));
    assert_eq!(attributes.number("xen.version.minor"), Some(2));
    assert_eq!(attributes.number("xen.p2m_mfn"), Some(10));
    assert_eq!(attributes.number("xen.phys_start"), Some(9));
}

#[test]
fn dumpcore_version_needs_its_whole_size() {
    let mut desc = words(&[4, 17]);
    desc.extend(b".2-rc1\0garbage..");
    desc.resize(1280, 0);
    let (attributes, result) = passes("x86_64", &note("Xen", 0x200_0002, &desc));
    result.unwrap();
    assert_eq!(attributes.number("xen.version.major"), Some(4));
    assert_eq!(attributes.string("xen.version.extra").as_deref(), Some(".2-rc1"));
    let code = attributes.get(attributes.reference(Some("xen.version_code")).unwrap()).unwrap();
    assert_eq!(code.as_number(), Some(4 << 16 | 17));
    let (attributes, result) = passes("x86_64", &note("Xen", 0x200_0002, &desc[..1279]));
    result.unwrap();
    assert_eq!(attributes.number("xen.version.major"), None);
}

#[test]
fn dumpcore_header_gives_the_page_size_under_both_names() {
    let header = |magic, size| words(&[magic, 3, 100, size]);
    for (name, magic) in [("Xen", 0xf00f_ebed), ("Xen", 0xf00f_ebee), (".note.Xen", 1)] {
        let (attributes, result) = passes("x86_64", &note(name, 0x200_0001, &header(magic, 8192)));
        result.unwrap();
        assert_eq!(attributes.number("arch.page_size"), Some(8192), "{name}");
    }
    // Under the name that real tools use, nonsense is ignored.
    for desc in [header(1, 8192), header(0xf00f_ebed, 0), header(0xf00f_ebed, 5000), words(&[0xf00f_ebed])] {
        let (attributes, result) = passes("x86_64", &note("Xen", 0x200_0001, &desc));
        result.unwrap();
        assert_eq!(attributes.number("arch.page_size"), Some(4096));
    }
    let (_, result) = passes("x86_64", &note(".note.Xen", 0x200_0001, &header(0, 5000)));
    assert_eq!(result.unwrap_err().message(), "Invalid page size: 5000");
    let bytes = note("Xen", 0x200_0001, &header(0xf00f_ebed, 4096));
    let found = xen::DumpcoreHeader::find(&bytes, LITTLE).unwrap();
    assert_eq!((found.plausible_vcpus(), found.pages), (Some(3), 100));
}

#[test]
fn only_the_section_name_makes_an_odd_format_version_an_error() {
    for (name, version, refused) in [("Xen", 2, false), (".note.Xen", 1, false), (".note.Xen", 2, true)] {
        let (_, result) = passes("x86_64", &note(name, 0x200_0003, &words(&[version])));
        match result {
            Err(error) if refused => {
                assert_eq!(error.status(), Status::NotImplemented);
                assert_eq!(error.message(), "Unsupported Xen dumpcore format version: 2");
            }
            other => assert!(!refused && other.is_ok(), "{name} {version}"),
        }
    }
}

#[test]
fn guest_contexts_become_cpus() {
    let section: Vec<u8> = (0..5168 * 2 + 100).map(|i: usize| (i % 241) as u8).collect();
    let attributes = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&attributes, &mut effects);
    facts.set_number("arch.byte_order", 1).unwrap();
    xen::prstatus(&mut facts, &section).unwrap();
    assert_eq!(attributes.number("cpu.number"), None, "unknown architecture");
    facts.set_string("arch.name", "x86_64").unwrap();
    xen::prstatus(&mut facts, &section).unwrap();
    assert_eq!(attributes.number("cpu.number"), Some(2));
    let at =
        |cpu: usize, offset: usize, length: usize| LITTLE.uint(&section[cpu * 5168 + offset..][..length]);
    for (name, offset, length) in [
        ("r15", 520, 8),
        ("rdi", 632, 8),
        ("rip", 648, 8),
        ("cs", 656, 2),
        ("rflags", 664, 8),
        ("rsp", 672, 8),
        ("ss", 680, 2),
        ("gs", 712, 2),
        ("cr0", 4984, 8),
        ("cr3", 5008, 8),
        ("cr7", 5040, 8),
        ("dr0", 5048, 8),
        ("dr7", 5104, 8),
    ] {
        for cpu in 0..2 {
            let path = format!("cpu.{cpu}.reg.{name}");
            let value = attributes.get(attributes.reference(Some(&path)).unwrap()).unwrap();
            assert_eq!(value.as_number(), Some(at(cpu, offset, length)), "{path}");
        }
    }
    assert!(attributes.reference(Some("cpu.0.pid")).is_err());
}

/// A `QEMUCPUState` whose control register *i* is `base` + *i*.
fn qemu(version: u32, size: u32, base: u64) -> Vec<u8> {
    let mut desc = vec![0x77; 440];
    desc[..4].copy_from_slice(&version.to_le_bytes());
    desc[4..8].copy_from_slice(&size.to_le_bytes());
    desc[392..432].copy_from_slice(&words(&[base, base + 1, base + 2, base + 3, base + 4]));
    desc
}

#[test]
fn state_of_a_virtual_cpu_gives_its_control_registers() {
    for (arch, size) in [("x86_64", 336), ("ia32", 144)] {
        let mut bytes = note("CORE", 1, &vec![1; size]);
        bytes.extend(note("CORE", 1, &vec![2; size]));
        // Newer versions are longer.
        bytes.extend(note("QEMU", 0, &qemu(1, 432, 0x1000)[..432]));
        bytes.extend(note("QEMU", 0, &qemu(1, 440, 0x2000)));
        // Of a CPU that is not there.
        bytes.extend(note("QEMU", 0, &qemu(1, 440, 0x3000)));
        let (attributes, result) = passes(arch, &bytes);
        result.unwrap();
        assert_eq!(attributes.number("cpu.number"), Some(2), "{arch}");
        for (cpu, base) in [(0, 0x1000), (1, 0x2000)] {
            for i in 0..5 {
                let attr = attributes.reference(Some(&format!("cpu.{cpu}.reg.cr{i}"))).unwrap();
                assert_eq!(attributes.get(attr).unwrap().as_number(), Some(base + i), "{arch} {cpu} cr{i}");
            }
        }
        let raw = attributes.get(attributes.reference(Some("cpu.1.QEMU")).unwrap()).unwrap();
        assert_eq!(raw.as_blob().unwrap().to_vec(), qemu(1, 440, 0x2000));
        assert!(attributes.reference(Some("cpu.2")).is_err());
    }
}

#[test]
fn state_of_a_virtual_cpu_without_known_layout_is_kept_as_it_is() {
    for desc in [&qemu(2, 440, 0)[..], &qemu(1, 431, 0), &qemu(1, 440, 0)[..431], &[1, 0, 0], &[]] {
        let bytes = [note("CORE", 1, &[1; 336]), note("QEMU", 0, desc)].concat();
        let (attributes, result) = passes("x86_64", &bytes);
        result.unwrap();
        let raw = attributes.get(attributes.reference(Some("cpu.0.QEMU")).unwrap()).unwrap();
        assert_eq!(raw.as_blob().unwrap().to_vec(), desc);
        assert!(attributes.reference(Some("cpu.0.reg.cr3")).is_err());
    }
    for (arch, size, kind) in [("x86_64", 336, 1), ("aarch64", 392, 0)] {
        let bytes = [note("CORE", 1, &vec![1; size]), note("QEMU", kind, &qemu(1, 440, 0))].concat();
        let (attributes, result) = passes(arch, &bytes);
        result.unwrap();
        assert!(attributes.reference(Some("cpu.0.QEMU")).is_err(), "{arch}");
    }
}

#[test]
fn crashed_cpus_of_a_hypervisor_have_control_registers() {
    for (arch, size, word) in [("x86_64", 336, 8), ("ia32", 144, 4)] {
        let registers = |base: u64| -> Vec<u8> {
            let values = [0x8005_0033, base, base + 1, base + 2].map(u64::to_le_bytes);
            values.iter().flat_map(|value| &value[..word]).copied().collect()
        };
        // As Xen 4.17 orders them. The second CPU was not reached.
        let mut bytes = note("CORE", 1, &vec![1; size]);
        bytes.extend(note("Xen", 0x100_0002, &registers(0x1000)));
        bytes.extend(note("CORE", 1, &vec![2; size]));
        bytes.extend(note("Xen", 0x100_0002, &vec![0; 4 * word]));
        bytes.extend(note("CORE", 1, &vec![3; size]));
        bytes.extend(note("Xen", 0x100_0002, &registers(0x2000)));
        // Of a CPU that is not there.
        bytes.extend(note("Xen", 0x100_0002, &registers(0x3000)));
        let (attributes, result) = passes(arch, &bytes);
        result.unwrap();
        assert_eq!(attributes.number("cpu.number"), Some(3), "{arch}");
        for (cpu, base) in [(0, 0x1000), (2, 0x2000)] {
            for (name, value) in [("cr0", 0x8005_0033), ("cr2", base), ("cr3", base + 1), ("cr4", base + 2)] {
                let attr = attributes.reference(Some(&format!("cpu.{cpu}.reg.{name}"))).unwrap();
                assert_eq!(attributes.get(attr).unwrap().as_number(), Some(value), "{arch} {cpu} {name}");
            }
        }
        assert!(attributes.reference(Some("cpu.1.reg.cr3")).is_err());
        let raw = attributes.get(attributes.reference(Some("cpu.1.XEN_CRASH_REGS")).unwrap()).unwrap();
        assert_eq!(raw.as_blob().unwrap().to_vec(), vec![0; 4 * word]);
        // Too short to tell.
        let bytes = [note("CORE", 1, &vec![1; size]), note("Xen", 0x100_0002, &registers(0)[..3 * word])];
        let (attributes, result) = passes(arch, &bytes.concat());
        result.unwrap();
        assert!(attributes.reference(Some("cpu.0.reg.cr3")).is_err());
    }
}

#[test]
fn registers_that_are_known_already_stay_as_they_are() {
    let attributes = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&attributes, &mut effects);
    facts.set_number("arch.byte_order", 1).unwrap();
    facts.set_string("arch.name", "x86_64").unwrap();
    let section: Vec<u8> = vec![0x11; 5168];
    xen::prstatus(&mut facts, &section).unwrap();
    super::arch(&mut facts, &note("QEMU", 0, &qemu(1, 440, 0x3000))).unwrap();
    let value = |path| attributes.get(attributes.reference(Some(path)).unwrap()).unwrap().as_number();
    assert_eq!(value("cpu.0.reg.cr3"), Some(0x1111_1111_1111_1111));
    assert!(attributes.reference(Some("cpu.0.QEMU")).is_ok());
}
