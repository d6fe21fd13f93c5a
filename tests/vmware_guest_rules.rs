//! `debug.guest` and `debug.vmem` of ESXi.

mod support;

use kdumpfile::Status;
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::vmware_guest::GuestBuilder;
use support::{fails, failure, is_set, open_set, page, parts, stored, try_open, try_open_set};

/// First page and pages of each hole.
const HOLES: [(u64, u64); 2] = [(2, 3), (6, 0x100)];
/// Pages of memory: at 0, 1, 5 and 0x106.
const PAGES: u64 = 4;

/// A state file of this version, with this architecture in version 7.
fn state(version: u32, cpus: u32, holes: &[(u64, u64)], arch: u32) -> Vec<u8> {
    let builder = GuestBuilder::new(version, PAGES).cpus(cpus).arch(arch);
    holes.iter().fold(builder, |builder, hole| builder.hole(hole.0, hole.1)).build()
}

fn memory() -> Vec<u8> {
    (0..PAGES).flat_map(page_bytes).collect()
}

#[test]
fn every_version_has_its_memory_around_the_holes_and_its_registers() {
    for version in [1, 3, 4, 5, 6, 7] {
        let files = [state(version, 2, &HOLES, 1), memory()];
        for set in [files.clone(), [files[1].clone(), files[0].clone()]] {
            let dump = open_set(&set);
            assert_eq!(dump.string("file.format").unwrap(), "vmware_guest", "version {version}");
            assert_eq!(dump.number("max_pfn").unwrap(), 0x107);
            assert_eq!(stored(&dump), [(0, 1), (5, 5), (0x106, 0x106)], "version {version}");
            for (number, pfn) in (0..).zip([0, 1, 5, 0x106]) {
                assert!(page(&dump, pfn).unwrap() == page_bytes(number), "version {version}, page {pfn:#x}");
            }
            assert_eq!(page(&dump, 3).unwrap_err().status(), Status::NoData);
            assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
            assert_eq!(dump.number("cpu.number").unwrap(), 2);
            for cpu in 0..2 {
                let reg = |name: &str| dump.number(&format!("cpu.{cpu}.reg.{name}")).unwrap();
                let base = 0x1_0000_0000 * (cpu + 1);
                assert_eq!(
                    (reg("r15"), reg("rip"), reg("rsp"), reg("gs")),
                    (base, base + 16, base + 19, base + 26)
                );
                assert_eq!((reg("cr0"), reg("cr2"), reg("cr4")), (0x8005_0033, 0xcafe, 0x20));
                assert_eq!((reg("cr3"), reg("idt_base")), (0xa000 + cpu, 0xffff_fe00_0000_0000));
            }
        }
    }
}

#[test]
fn memory_without_holes_is_stored_as_it_is() {
    for version in [1, 6] {
        let dump = open_set(&[state(version, 1, &[], 1), memory()]);
        assert_eq!(stored(&dump), [(0, 3)]);
        assert!(page(&dump, 3).unwrap() == page_bytes(3));
    }
}

#[test]
fn memory_of_aarch64_is_read_without_registers() {
    let dump = open_set(&[state(7, 1, &HOLES, 0), memory()]);
    assert_eq!(dump.string("arch.name").unwrap(), "aarch64");
    assert!(!is_set(&dump, "cpu.0.reg"));
    assert!(page(&dump, 5).unwrap() == page_bytes(2));
}

#[test]
fn a_file_that_does_not_agree_with_itself_is_another_one() {
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    let good = state(6, 1, &HOLES, 1);
    let mut changed: Vec<Vec<u8>> = [(0, 2), (4, 2), (23, 1), (31, 1), (43, 3)]
        .into_iter()
        .map(|(at, value)| {
            let mut bytes = good.clone();
            bytes[at] = value;
            bytes
        })
        .collect();
    changed.push(good[..good.len() - 1].to_vec());
    changed.push([&good[..], &[0]].concat());
    changed.push(state(7, 1, &HOLES, 2));
    for (number, bytes) in changed.into_iter().enumerate() {
        assert_eq!(failure(try_open_set(&[bytes, memory()])), unknown, "change {number}");
    }
}

#[test]
fn a_state_without_its_memory_asks_for_it_and_overlapping_holes_are_refused() {
    let (status, text) = parts(&try_open(state(6, 1, &HOLES, 1)).err().unwrap());
    assert!(status == Status::NoData && text.contains(".vmem"), "{text}");
    let (status, text) = failure(try_open_set(&[state(6, 1, &[(2, 3), (4, 9)], 1), memory()]));
    assert!(status == Status::Corrupt && text.contains("0x4000"), "{text}");
}
