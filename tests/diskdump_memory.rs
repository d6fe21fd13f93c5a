//! How much memory an open takes: bounded by what the file holds, not by what
//! it claims.
#![cfg(all(feature = "std", unix))]

use std::os::unix::fs::FileExt;
use std::time::Instant;

use kdumpfile::{Context, Space};
use kdumpfile_testkit::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Runs `work` and returns its result, the peak and what is still in use, both
/// in bytes above the start.
fn measured<T>(work: impl FnOnce() -> T) -> (T, usize, usize) {
    ALLOCATOR.measure(work)
}

/// A 64-bit little-endian header.
fn header(version: u32, block_size: u32, bitmap_blocks: u32, max_mapnr: u32) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    bytes[..8].copy_from_slice(b"KDUMP   ");
    for (at, value) in [(8, version), (428, block_size), (432, 1), (436, bitmap_blocks), (440, max_mapnr)] {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

const MIB: usize = 1 << 20;

#[test]
fn a_file_of_1_kib_that_claims_all_memory_there_is_opens_in_less_than_1_mib() {
    let bytes = header(5, 1 << 18, u32::MAX, u32::MAX);
    let (dump, peak, _) = measured(|| {
        let dump = Context::new();
        dump.open_bytes(bytes).unwrap();
        assert_eq!(dump.bitmap("memory.pagemap").unwrap().find_set(0).ok(), None);
        dump
    });
    println!("1 KiB file: max_pfn {:#x}, peak {peak} bytes", dump.number("max_pfn").unwrap());
    assert!(dump.number("max_pfn").unwrap() > 1 << 51);
    assert!(peak < MIB, "{peak} bytes");
    let error = dump.read(Space::MachinePhysical, 1 << 60, &mut [0]).unwrap_err();
    assert_eq!(error.message(), "Excluded page");
}

#[test]
fn a_sparse_file_opens_fast_and_small() {
    // Looking at every byte of a hole is slow without optimization.
    let pages: u64 = if cfg!(debug_assertions) { 1 << 28 } else { 1 << 32 };
    let half = (pages / 8 / 4096) as u32;
    let path = std::env::temp_dir().join(format!("kdumpfile-sparse-{}", std::process::id()));
    let file = std::fs::File::create(&path).unwrap();
    let mapnr = u32::try_from(pages).unwrap_or(u32::MAX);
    file.write_all_at(&header(6, 4096, 2 * half, mapnr), 0).unwrap();
    file.write_all_at(&pages.to_le_bytes(), 4096 + 96).unwrap();
    let ram = 2 * 4096;
    let stored = ram + u64::from(half) * 4096;
    let descriptors = stored + u64::from(half) * 4096;
    // The last page, a run in the middle, and one more bit here and there.
    file.write_all_at(&[0x80], stored + pages / 8 - 1).unwrap();
    file.write_all_at(&[0xff; 100_000], stored + pages / 16).unwrap();
    for i in (1..16).filter(|i| *i != 8) {
        file.write_all_at(&[1], stored + pages / 8 / 16 * i).unwrap();
    }
    file.set_len(descriptors + 24 * 1_000_000).unwrap();
    let start = Instant::now();
    let (dump, peak, used) = measured(|| {
        let dump = Context::new();
        dump.open_paths(&[&path]).unwrap();
        dump
    });
    println!("{} TiB sparse: open {:?}, peak {peak}, used {used} bytes", pages >> 28, start.elapsed());
    std::fs::remove_file(&path).unwrap();
    assert!(peak < 4 * MIB, "{peak} bytes");
    let bitmap = dump.bitmap("file.pagemap").unwrap();
    assert_eq!(bitmap.find_set(pages / 2 + 800_000).unwrap(), pages / 16 * 9);
    assert_eq!(bitmap.find_set(pages / 16 * 15 + 1).unwrap(), pages - 1);
    assert_eq!(bitmap.find_clear(pages / 2).unwrap(), pages / 2 + 800_000);
}

#[test]
fn a_quarter_of_a_byte_per_page_is_enough_for_the_worst_bitmap() {
    let pages: u64 = 1 << 24;
    let half = (pages / 8 / 4096) as u32;
    let mut bytes = header(6, 4096, 2 * half, pages as u32);
    bytes.resize(2 * 4096, 0);
    bytes[4096 + 96..4096 + 104].copy_from_slice(&pages.to_le_bytes());
    bytes.resize(bytes.len() + (pages / 4) as usize, 0x55);
    let (dump, peak, used) = measured(|| {
        let dump = Context::new();
        dump.open_bytes(bytes).unwrap();
        dump
    });
    println!("{pages} pages, every other one: peak {peak}, used {used} bytes");
    assert!(peak < pages as usize / 4 + MIB / 2, "{peak} bytes");
    assert!(used < pages as usize / 7 + MIB / 2, "{used} bytes");
    assert_eq!(dump.bitmap("file.pagemap").unwrap().find_set(pages - 3).unwrap(), pages - 2);
}
