//! Raw images of physical memory: the user says where they belong.

mod support;

use kdumpfile::io::{ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Status, Value};
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::image::page_bytes;
use support::*;

fn memory(pfns: std::ops::Range<u64>) -> Vec<u8> {
    pfns.flat_map(page_bytes).collect()
}

/// A context that takes files for memory at these addresses.
fn at(bases: &[Option<u64>]) -> Context {
    let dump = Context::new();
    dump.set("file.set.number", Value::Number(bases.len() as u64)).unwrap();
    for (file, base) in bases.iter().enumerate() {
        if let Some(base) = base {
            dump.set(&format!("file.set.{file}.base"), Value::Address(*base)).unwrap();
        }
    }
    dump
}

fn not_found() -> (Status, String) {
    fails(Status::NoData, "Page not found")
}

#[test]
fn one_file_is_memory_from_its_base_on() {
    let dump = at(&[Some(0x10_0000)]);
    let mut bytes = memory(256..300);
    bytes.extend([9; 100]);
    dump.open_bytes(bytes).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "raw");
    assert_eq!(dump.string("file.description").unwrap(), "Raw memory image");
    assert_eq!(dump.number("max_pfn").unwrap(), 301);
    assert_eq!(stored(&dump), [(256, 300)]);
    for pfn in 256..300 {
        assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{pfn}");
    }
    let last = page(&dump, 300).unwrap();
    assert_eq!((&last[..100], &last[100..]), (&[9; 100][..], &[0; 3996][..]));
    for pfn in [0, 255, 301] {
        assert_eq!(failure(page(&dump, pfn)), not_found());
    }
}

#[test]
fn what_looks_like_a_dump_is_not_probed_if_it_has_a_base() {
    let file = DiskdumpBuilder::default().build();
    let dump = at(&[Some(0)]);
    dump.open_bytes(file.clone()).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "raw");
    // The base stays for the next dump, until it is cleared.
    dump.open_bytes(file.clone()).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "raw");
    assert!(page(&dump, 0).unwrap() == file[..4096]);
    dump.clear(Some("file.set.0.base")).unwrap();
    dump.open_bytes(file).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "diskdump");
}

#[test]
fn files_may_come_in_any_order_but_not_overlap() {
    let dump = at(&[Some(0x20_0000), Some(0)]);
    dump.open(vec![source(memory(512..520)), source(memory(0..3))]).unwrap();
    assert_eq!(stored(&dump), [(0, 2), (512, 519)]);
    assert!(page(&dump, 519).unwrap() == page_bytes(519));
    let dump = at(&[Some(0x1000), Some(0)]);
    assert_eq!(
        failure(dump.open(vec![source(memory(1..3)), source(memory(0..2))])),
        fails(Status::Corrupt, "file #0: Memory 0x0-0x1fff overlaps 0x1000-0x2fff")
    );
}

#[test]
fn a_file_without_a_base_beside_one_with_is_refused() {
    let dump = at(&[Some(0), None]);
    assert_eq!(
        failure(dump.open(vec![source(memory(0..1)), source(memory(1..2))])),
        fails(Status::Invalid, "file #0: file #1: No address: set file.set.1.base")
    );
}

#[test]
fn parts_of_one_file_go_around_a_hole() {
    let bytes = [memory(0..16), memory(256..260)].concat();
    let dump = at(&[Some(0), Some(0x10_0000)]);
    dump.set("file.set.0.length", Value::Number(16 * 4096)).unwrap();
    dump.set("file.set.1.offset", Value::Number(16 * 4096)).unwrap();
    dump.open(vec![source(bytes.clone()), source(bytes.clone())]).unwrap();
    assert_eq!(stored(&dump), [(0, 15), (256, 259)]);
    for pfn in (0..16).chain(256..260) {
        assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{pfn}");
    }
    dump.set("file.set.1.offset", Value::Number(1 << 40)).unwrap();
    assert_eq!(
        failure(dump.open(vec![source(bytes.clone()), source(bytes)])),
        fails(Status::Invalid, "file #0: file #1: Offset 1099511627776 is behind the end at 81920")
    );
}

#[test]
fn memory_must_end_within_64_bits() {
    let dump = at(&[Some(u64::MAX - 4095)]);
    dump.open_bytes(memory(0..1)).unwrap();
    assert!(read_block(&dump, u64::MAX >> 12, 4096).unwrap() == page_bytes(0));
    let error = failure(dump.open_bytes(memory(0..2)));
    assert_eq!(
        error,
        fails(
            Status::Invalid,
            "file #0: file #0: 8192 bytes from address 0xfffffffffffff000 go beyond 64 bits"
        )
    );
}

/// A source that does not say how long it is.
struct Endless(Vec<u8>);

impl ReadAt for Endless {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.as_slice().read_at(pos, buf)
    }
}

#[test]
fn a_device_of_unknown_size_has_no_pagemap_and_no_data_behind_its_end() {
    let dump = at(&[Some(0x10_0000)]);
    dump.open(vec![Shared::new(Endless(memory(256..260))) as Source]).unwrap();
    assert!(page(&dump, 259).unwrap() == page_bytes(259));
    assert_eq!(failure(page(&dump, 260)), not_found());
    assert_eq!(failure(page(&dump, 255)), not_found());
    assert!(dump.bitmap("file.pagemap").is_err());
}

#[test]
fn the_architecture_of_the_user_decides_the_page_size() {
    let dump = at(&[Some(0)]);
    dump.set("arch.name", Value::from("x86_64")).unwrap();
    dump.open_bytes(memory(0..4)).unwrap();
    assert_eq!(dump.number("arch.page_size").unwrap(), 4096);
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    assert_eq!(dump.number("arch.byte_order").ok(), None);
    let dump = at(&[Some(0)]);
    dump.set("arch.page_size", Value::Number(65536)).unwrap();
    dump.open_bytes(memory(0..17)).unwrap();
    assert_eq!(stored(&dump), [(0, 1)]);
}

#[test]
fn an_empty_file_is_no_memory() {
    let dump = at(&[Some(0)]);
    dump.open_bytes(Vec::new()).unwrap();
    assert_eq!(dump.number("max_pfn").unwrap(), 0);
    assert_eq!(failure(page(&dump, 0)), not_found());
}

#[cfg(feature = "archive")]
#[test]
fn an_image_may_be_in_an_archive_whose_length_is_not_known() {
    let dump = at(&[Some(0x10_0000)]);
    let packed = kdumpfile_testkit::compress::gzip(&memory(256..300));
    dump.open_bytes(packed).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "raw");
    assert_eq!(stored(&dump), [(256, 299)]);
    assert!(page(&dump, 299).unwrap() == page_bytes(299));
    assert_eq!(failure(page(&dump, 300)), not_found());
}
