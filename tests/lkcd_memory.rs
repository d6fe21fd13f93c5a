//! How much memory the page index of an LKCD dump takes: bounded by the
//! records that the file holds, whatever they say.
#![cfg(feature = "std")]

mod support;

use kdumpfile::Context;
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::lkcd::{LkcdBuilder, RAW, Record};
use support::*;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Bytes per record that following all records leaves in use and needs at
/// its peak.
fn cost(what: &str, file: Vec<u8>, records: usize) -> (f64, f64) {
    let dump = open(file);
    let ((), peak, used) = ALLOCATOR.measure(|| {
        dump.number("max_pfn").unwrap();
    });
    let each = |bytes: usize| bytes as f64 / records as f64;
    println!("{what}: {records} records, {:.1} bytes each, {:.1} at the peak", each(used), each(peak));
    (each(used), each(peak))
}

/// A file of records without data: 16 bytes each.
fn bare(pfns: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut file = LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little).without_end().build();
    file.resize(65536, 0);
    for pfn in pfns {
        file.extend((pfn << 12).to_le_bytes());
        file.extend([0, 0, 0, 0, RAW as u8, 0, 0, 0]);
    }
    file
}

const RECORDS: u64 = 1 << 18;

#[test]
fn pages_in_order_take_9_bytes_each() {
    for (what, file) in [("ascending", bare(0..RECORDS)), ("descending", bare((0..RECORDS).rev()))] {
        let (used, peak) = cost(what, file, RECORDS as usize);
        assert!(used < 9.0 && peak < 10.0, "{what}: {used} {peak}");
    }
}

#[test]
fn records_in_the_worst_order_take_36_bytes_each() {
    let scattered = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 12;
    // Fills gaps between full chunks from above, again and again.
    let gaps = |n: u64| ((n / 513) << 33) + if n % 513 == 512 { 1 << 32 } else { n % 513 };
    let zigzag = |n: u64| if n.is_multiple_of(2) { n << 20 } else { (1 << 51) - (n << 20) };
    for (what, file) in [
        ("scattered", bare((0..RECORDS).map(scattered))),
        ("gaps", bare((0..RECORDS).map(gaps))),
        ("zigzag", bare((0..RECORDS).map(zigzag))),
    ] {
        let (used, peak) = cost(what, file, RECORDS as usize);
        assert!(used < 36.0 && peak < 40.0, "{what}: {used} {peak}");
    }
}

#[test]
fn opening_takes_no_memory_for_what_records_and_headers_claim() {
    let mut builder = LkcdBuilder::new(9, WordSize::Bits64, ByteOrder::Little)
        .patch("dh_num_pages", u32::MAX.into())
        .patch("dh_header_size", u32::MAX.into())
        .patch("dh_memory_size", u64::MAX);
    for pfn in 0..8 {
        builder = builder.record(Record::new(pfn << 40, RAW, []).sized(u32::MAX));
    }
    let (parts, _) = builder.build_parts();
    let file = parts.into_iter().fold(Sparse::new(0), |file, (at, bytes)| file.with(at, bytes));
    let source: kdumpfile::io::Source = kdumpfile::sync::Shared::new(file);
    let (dump, peak, _) = ALLOCATOR.measure(|| {
        let dump = Context::new();
        dump.open(vec![source.clone()]).unwrap();
        assert_eq!(dump.number("max_pfn").unwrap(), (7 << 28) + 1);
        for pfn in 0..8 {
            assert!(page(&dump, pfn << 28).is_err());
        }
        dump
    });
    println!("peak {peak} bytes");
    assert!(peak < 1 << 20, "{peak}");
    drop(dump);
}
