//! Notes and spaces as the peer library sees them, where it is installed. It
//! knows no registers of arm and riscv64, and no sections of big-endian files.

use super::*;
use kdumpfile::Value;
use kdumpfile_testkit::image::sha256_hex;
use kdumpfile_testkit::notes::prstatus;
use kdumpfile_testkit::notes::xen::{CRASH_INFO, CrashInfo, DUMPCORE_XEN_VERSION, xen_version};
use kdumpfile_testkit::peer;
use kdumpfile_testkit::truth::AttrValue;

/// Whether the value of the attribute here is that of the peer.
fn same(value: &Value, expected: &AttrValue) -> bool {
    match (value, expected) {
        (Value::Directory, AttrValue::Directory) => true,
        (Value::Number(number), AttrValue::Number(expected)) => number == expected,
        (Value::Address(address), AttrValue::Address(expected)) => address == expected,
        (Value::String(text), AttrValue::String(expected)) => **text == **expected,
        (Value::Bitmap(map), AttrValue::Bitmap(expected)) => {
            runs(map) == expected.iter().map(|run| (*run.start(), *run.end())).collect::<Vec<_>>()
        }
        (Value::Blob(blob), AttrValue::Blob { sha256, .. }) => sha256_hex(&blob.to_vec()) == *sha256,
        _ => false,
    }
}

/// Compares all attributes below these directories; `false` without a peer.
fn agrees(image: &[u8], set: &[(&str, &str)], below: &[&str]) -> bool {
    let Some(report) = peer::report_image(image, set) else { return false };
    assert_eq!(report.open_status(), 0, "{:?}", report.open_error());
    let dump = Context::new();
    for (path, text) in set {
        let value = text.parse().map_or_else(|_| Value::from(*text), Value::Number);
        dump.set(path, value).unwrap();
    }
    dump.open_bytes(image.to_vec()).unwrap();
    let mut compared = 0;
    for (path, expected) in report.attributes() {
        if below.iter().any(|top| path == *top || path.starts_with(&format!("{top}."))) {
            let value = dump.get(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(same(&value, &expected), "{path}: {value:?}, but {expected:?}");
            compared += 1;
        }
    }
    assert!(compared > 0);
    true
}

#[test]
fn registers_are_those_of_the_peer() {
    for arch in [Arch::X86_64, Arch::Ia32, Arch::Aarch64, Arch::Ppc64, Arch::S390x] {
        for order in ByteOrder::ALL {
            let note = |cpu: u64| {
                let value = move |i: usize, _: &str| {
                    0xfedc_ba98_7654_3210 ^ (cpu << 60) ^ (i as u64 * 0x0107_0503_0b0d_1101)
                };
                Note::core(1, prstatus(arch, order, cpu as i32 - 2, value))
            };
            let class = if arch == Arch::Ia32 && order == LITTLE { Class::Elf32 } else { Class::Elf64 };
            let notes = notes_of(order, [note(0), Note::core(4, data(3, 300)), note(1), note(2)]);
            let file = ElfBuilder::new(class, order, arch.machine())
                .note(notes)
                .note(vmcoreinfo_note(order, "PAGESIZE=4096\nOSRELEASE=5.10.0\nSYMBOL(x)=10\n"))
                .load(0x1000, data(1, 4096));
            let below = ["cpu", "arch", "linux", "max_pfn", "file.pagemap", "memory.pagemap"];
            if !agrees(&file.build(), &[], &below) {
                return;
            }
        }
    }
}

#[test]
fn xen_notes_are_those_of_the_peer() {
    for order in ByteOrder::ALL {
        for (phys_start, p2m_mfn) in [(None, None), (None, Some(5)), (Some(6), Some(7))] {
            let info = CrashInfo {
                major: 4,
                minor: 9,
                extra_version: 0x5000,
                phys_start,
                p2m_mfn,
                ..CrashInfo::default()
            };
            let note = Note::new("Xen", CRASH_INFO, info.to_bytes(order, 8));
            let file = ElfBuilder::new(Class::Elf64, order, 62).note(notes_of(order, [note]));
            if !agrees(&file.load(0x1000, data(1, 4096)).build(), &[], &["xen", "arch", "max_pfn"]) {
                return;
            }
        }
        let note = Note::new("Xen", DUMPCORE_XEN_VERSION, xen_version(order, 8, 4, 14, ".5-pre", 4096));
        let file = ElfBuilder::new(Class::Elf64, order, 62).note(notes_of(order, [note]));
        agrees(&file.load(0x1000, data(1, 4096)).build(), &[], &["xen", "arch", "max_pfn"]);
    }
}

#[test]
fn addresses_that_mean_nothing_are_those_of_the_peer() {
    for (class, order) in encodings() {
        let file = || ElfBuilder::new(class, order, 62);
        for file in [
            file().segment(load(0x8000, 0, 1, 0x1000)),
            file().segment(load(0x8000, 0, 1, 0x1000)).segment(load(0x9000, 0, 2, 0x1000)),
            file().segment(load(0x8000, u64::MAX, 1, 0x1000)).segment(load(0x9000, 0x3000, 2, 0x1000)),
            file().segment(load(0x8000, u64::MAX, 1, 0x1000)),
            file().segment(load(0x8000, 0x1800, 1, 0x1000).memsz(0x3000)).phentsize(100),
        ] {
            if !agrees(&file.build(), &[], &["max_pfn", "file.pagemap", "memory.pagemap", "arch"]) {
                return;
            }
        }
    }
}
