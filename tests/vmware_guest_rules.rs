//! `debug.guest` and `debug.vmem` of ESXi.

mod support;

use kdumpfile::{Space, Status};
use kdumpfile_testkit::endian::{ByteOrder, Bytes};
use kdumpfile_testkit::image::{Rng, page_bytes};
use support::{fails, failure, is_set, open_set, page, parts, stored, try_open, try_open_set};

/// First page and pages of each hole.
const HOLES: [(u64, u64); 2] = [(2, 3), (6, 0x100)];
/// Pages of memory: at 0, 1, 5 and 0x106.
const PAGES: u64 = 4;

/// A state file of this version, with this architecture in version 7.
fn state(version: u64, cpus: u64, holes: &[(u64, u64)], arch: u64) -> Vec<u8> {
    let mut out = Bytes::new(ByteOrder::Little);
    out.put_bytes(0, &(version as u32).to_le_bytes()).put_bytes(4, &(cpus as u32).to_le_bytes());
    let (info, cpus_at) = match version {
        1 => (21, 61 + 8 * holes.len()),
        6 => (23, 79),
        7 => (16, 83),
        _ => (22, 78),
    };
    let end = (PAGES + holes.iter().map(|hole| hole.1).sum::<u64>()) * 4096;
    out.put_bytes(info, &(end - 1).to_le_bytes());
    let count = (holes.len() as u32).to_le_bytes();
    if version == 1 {
        out.put_bytes(info + 8, &(PAGES as u32).to_le_bytes()).put_bytes(info + 16, &count);
    } else {
        out.put_bytes(info + 8, &PAGES.to_le_bytes()).put_bytes(info + 20, &count);
    }
    for (number, (first, pages)) in holes.iter().enumerate() {
        if version == 1 {
            out.put_bytes(info + 20 + 8 * number, &(*first as u32).to_le_bytes());
            out.put_bytes(info + 24 + 8 * number, &(*pages as u32).to_le_bytes());
        } else {
            out.put_bytes(info + 24 + 16 * number, &first.to_le_bytes());
            out.put_bytes(info + 32 + 16 * number, &pages.to_le_bytes());
        }
    }
    if version == 7 {
        out.put_bytes(72, &(arch as u32).to_le_bytes());
    }
    let gap = if version < 4 { 45 } else { 42 };
    for cpu in 0..cpus {
        let at = cpus_at + cpu as usize * (116 + gap + 233 + 4096);
        out.put_bytes(at, &0x8005_0033_u32.to_le_bytes());
        for (offset, value) in [(4, 0xcafe), (12, 0xa000 + cpu), (20, 0x20), (108, 0xffff_fe00_0000_0000)] {
            out.put_bytes(at + offset, &value.to_le_bytes());
        }
        for register in 0..27 {
            let value = 0x1_0000_0000 * (cpu + 1) + register;
            out.put_bytes(at + 116 + gap + 8 * register as usize, &value.to_le_bytes());
        }
        out.put_bytes(at + 116 + gap + 233, &[0; 4096]);
    }
    out.into_vec()
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

#[test]
fn changed_states_do_not_panic() {
    let seed = 0x6775_6573;
    println!("seed {seed:#x}");
    let mut rng = Rng::new(seed);
    for version in [1, 4, 7] {
        let whole = state(version, 2, &HOLES, 1);
        for _ in 0..700 {
            let mut bytes = whole.clone();
            bytes[rng.below(90) as usize] ^= 1 << rng.below(8);
            let Ok(dump) = try_open_set(&[bytes, memory()]) else { continue };
            let mut byte = [0];
            for address in [0, 0x5000, 0x10_6000, u64::MAX - 0xfff] {
                let _ = dump.read(Space::MachinePhysical, address, &mut byte);
            }
        }
    }
}
