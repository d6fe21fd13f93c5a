//! LiME and AVML images, rule by rule: records, streams, holes, damage.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Status, Value};
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::lime::{IDENTIFIER, LimeBuilder, chunk, framed, stored_chunk};
use support::*;

/// Memory of consecutive pages.
fn memory(pfns: std::ops::Range<u64>) -> Vec<u8> {
    pfns.flat_map(page_bytes).collect()
}

fn not_found() -> (Status, String) {
    fails(Status::NoData, "Page not found")
}

fn check(dump: &Context, pfns: std::ops::Range<u64>) {
    for pfn in pfns {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "page {pfn:#x}");
    }
}

#[test]
fn records_of_lime_are_pages_at_their_addresses() {
    let dump = open(
        LimeBuilder::new()
            .lime(0x10_0000, &memory(256..300))
            .lime(1 << 32, &memory(1 << 20..(1 << 20) + 3))
            .build(),
    );
    assert_eq!(dump.string("file.format").unwrap(), "lime");
    assert_eq!(dump.string("file.description").unwrap(), "LiME memory image");
    assert_eq!(dump.number("arch.page_size").unwrap(), 4096);
    assert_eq!(dump.number("max_pfn").unwrap(), (1 << 20) + 3);
    assert_eq!(stored(&dump), [(256, 299), (1 << 20, (1 << 20) + 2)]);
    check(&dump, 256..300);
    check(&dump, 1 << 20..(1 << 20) + 3);
    for pfn in [0, 255, 300, (1 << 20) + 3] {
        assert_eq!(failure(page(&dump, pfn)), not_found());
    }
}

#[test]
fn ranges_need_not_begin_or_end_at_a_page() {
    let dump = open(LimeBuilder::new().lime(0x800, &[7; 0x9f400]).build());
    let first = page(&dump, 0).unwrap();
    assert_eq!(first[..0x800], [0; 0x800]);
    assert_eq!(first[0x800..], [7; 0x800]);
    let last = page(&dump, 0x9f).unwrap();
    assert_eq!(last[..0xc00], [7; 0xc00]);
    assert_eq!(last[0xc00..], [0; 0x400]);
    assert_eq!(stored(&dump), [(0, 0x9f)]);
}

#[test]
fn compressed_records_unpack_from_any_page_on() {
    let bytes =
        LimeBuilder::new().avml(0x10_0000, &memory(256..400)).avml(0x100_0000, &memory(4096..4150)).build();
    let dump = open(bytes);
    assert_eq!(dump.string("file.format").unwrap(), "avml");
    assert_eq!(dump.string("file.description").unwrap(), "AVML memory image");
    assert_eq!(stored(&dump), [(256, 399), (4096, 4149)]);
    let mut pfns: Vec<u64> = (256..400).chain(4096..4150).collect();
    Rng::new(1).shuffle(&mut pfns);
    for pfn in pfns {
        assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "page {pfn:#x}");
    }
}

#[test]
fn records_of_both_kinds_may_follow_each_other() {
    let lime = (0_u64, memory(0..20));
    let avml = (0x10_0000_u64, memory(256..300));
    let dump = open(LimeBuilder::new().lime(lime.0, &lime.1).avml(avml.0, &avml.1).build());
    assert_eq!(dump.string("file.format").unwrap(), "lime");
    check(&dump, 0..20);
    check(&dump, 256..300);
    let dump = open(LimeBuilder::new().avml(lime.0, &lime.1).lime(avml.0, &avml.1).build());
    assert_eq!(dump.string("file.format").unwrap(), "avml");
    check(&dump, 0..20);
    check(&dump, 256..300);
}

#[test]
fn holes_are_zeroes_only_if_zero_excluded_says_so() {
    for bytes in [
        LimeBuilder::new().avml(0, &memory(0..16)).avml(0x20_0000, &memory(512..516)).build(),
        LimeBuilder::new().lime(0, &memory(0..16)).lime(0x20_0000, &memory(512..516)).build(),
    ] {
        let dump = open(bytes);
        assert_eq!(failure(page(&dump, 100)), not_found());
        dump.set("file.zero_excluded", Value::Number(1)).unwrap();
        assert_eq!(page(&dump, 100).unwrap(), [0; 4096]);
        assert_eq!(failure(page(&dump, 516)), not_found());
        dump.set("file.zero_excluded", Value::Number(0)).unwrap();
        assert_eq!(failure(page(&dump, 100)), not_found());
    }
}

#[test]
fn a_record_that_makes_no_sense_is_corrupt() {
    let first = || LimeBuilder::new().lime(0x1000, &memory(1..2));
    for (bytes, text) in [
        (first().header(b"EMiM", 1, 0x3000, 0x3fff, 0), "Invalid magic 0x4d694d45 of record at 4128"),
        (first().header(b"EMiL", 2, 0x3000, 0x3fff, 0), "Invalid version 2 of record at 4128"),
        (first().header(b"AVML", 1, 0x3000, 0x3fff, 0), "Invalid version 1 of record at 4128"),
        (first().header(b"EMiL", 1, 0x3000, 0x2fff, 0), "Invalid addresses 0x3000-0x2fff of record at 4128"),
        (
            first().header(b"EMiL", 1, 0x1fff, 0x2fff, 0),
            "Record at 4128 begins at address 0x1fff, but the one before it ends at 0x1fff",
        ),
        (LimeBuilder::new().header(b"EMiL", 0, 0, 1, 0), "Invalid version 0 of record at 0"),
        (
            LimeBuilder::new().header(b"EMiL", 1, 0, u64::MAX, 0),
            "Invalid addresses 0x0-0xffffffffffffffff of record at 0",
        ),
    ] {
        assert_eq!(open_failure(bytes.build()), fails(Status::Corrupt, &format!("file #0: {text}")));
    }
    let twice = LimeBuilder::new().avml(0x2000, &memory(2..4)).avml(0x3000, &memory(3..4)).build();
    let (status, text) = open_failure(twice);
    assert_eq!(status, Status::Corrupt);
    assert!(text.ends_with("begins at address 0x3000, but the one before it ends at 0x3fff"), "{text}");
}

#[test]
fn the_last_record_may_be_cut_short() {
    let bytes = LimeBuilder::new().lime(0, &memory(0..2)).lime(0x10000, &memory(16..20)).build();
    let dump = open(&bytes[..bytes.len() - 4096 - 100]);
    assert_eq!(stored(&dump), [(0, 1), (16, 18)]);
    check(&dump, 16..18);
    let last = page(&dump, 18).unwrap();
    assert_eq!(last[..3996], page_bytes(18)[..3996]);
    assert_eq!(last[3996..], [0; 100]);
    assert_eq!(failure(page(&dump, 19)), not_found());
    // In the middle of a header.
    let dump = open(&bytes[..32 + 8192 + 20]);
    assert_eq!(stored(&dump), [(0, 1)]);
}

#[test]
fn a_compressed_record_that_is_cut_has_its_whole_chunks() {
    let bytes = LimeBuilder::new().avml(0, &memory(0..16)).avml(0x10_0000, &memory(256..256 + 64)).build();
    let dump = open(&bytes[..bytes.len() - 20]);
    assert_eq!(stored(&dump), [(0, 15), (256, 256 + 47)]);
    check(&dump, 0..16);
    check(&dump, 256..256 + 48);
    assert_eq!(failure(page(&dump, 256 + 48)), not_found());
    // Only the length behind the stream is cut.
    let dump = open(&bytes[..bytes.len() - 4]);
    check(&dump, 256..256 + 64);
}

#[test]
fn chunks_of_any_size_and_padding_read() {
    let memory = memory(0..3);
    let mut stream = IDENTIFIER.to_vec();
    let mut rest = &memory[..];
    for size in [1, 4095, 5000, 0, 3192] {
        let (now, later) = rest.split_at(size);
        stream.extend(stored_chunk(now));
        stream.extend(chunk(0xfe, &[0; 9]));
        stream.extend(chunk(0x80, b"whatever"));
        rest = later;
    }
    assert!(rest.is_empty());
    let one = LimeBuilder::new().avml_stream(0, memory.len() as u64, &stream);
    check(&open(one.clone().build()), 0..3);
    // From the front as well: a LiME record cannot be found from behind.
    let dump = open(one.lime(0x10_0000, &page_bytes(256)).build());
    check(&dump, 0..3);
    check(&dump, 256..257);
}

#[test]
fn damage_in_a_stream_is_corrupt_where_it_is_and_nowhere_else() {
    let memory = memory(0..32);
    let good = framed(&memory);
    let record = |stream: &[u8]| open(LimeBuilder::new().avml_stream(0, memory.len() as u64, stream).build());
    let corrupt = |text: &str| fails(Status::Corrupt, text);
    let mut stream = good.clone();
    stream[14] ^= 1;
    let dump = record(&stream);
    assert_eq!(failure(page(&dump, 3)), corrupt("Wrong checksum of chunk at 42"));
    assert!(page(&dump, 16).unwrap() == page_bytes(16));
    stream[10] = 2;
    assert_eq!(failure(page(&record(&stream), 3)), corrupt("Invalid type 0x02 of chunk at 42"));
    let mut stream = good.clone();
    stream[5] = 0;
    assert_eq!(failure(page(&record(&stream), 3)), corrupt("Invalid stream identifier at 32"));
    // So little cannot be all of the memory: opening looks at each chunk.
    let refused =
        |stream: &[u8]| open_failure(LimeBuilder::new().avml_stream(0, memory.len() as u64, stream).build());
    let block = |size: &[u8; 3]| [IDENTIFIER, &chunk(0, &[&[0; 4][..], size, &[0]].concat())[..]].concat();
    assert_eq!(
        refused(&block(&[0xff, 0xff, 0x7f])),
        corrupt("file #0: Invalid size 2097151 of block of chunk at 42")
    );
    // The block is as large as the chunk may be; the length behind the stream,
    // 22, is taken for the next one.
    assert_eq!(refused(&block(&[0x80, 0x80, 0x04])), corrupt("file #0: Invalid type 0x16 of chunk at 54"));
}

#[test]
fn a_wrong_length_behind_a_stream_is_corrupt() {
    let mut bytes = LimeBuilder::new().avml(0, &memory(0..16)).build();
    let at = bytes.len() - 8;
    bytes[at] ^= 1;
    let (status, text) = open_failure(bytes);
    assert_eq!(status, Status::Corrupt);
    assert!(
        text.starts_with(&format!("file #0: Invalid length {} at {at} of stream at 32", (at - 32) ^ 1)),
        "{text}"
    );
}

/// `compress=1` of LiME: one zlib stream around all records, with windows of
/// 2 KiB, which its first bytes tell.
#[cfg(feature = "archive")]
#[test]
fn an_image_that_lime_compressed_is_read_in_place() {
    let lime = LimeBuilder::new().lime(0, &memory(0..40)).lime(0x10_0000, &memory(256..600)).build();
    // Stored blocks have no matches, which might go farther back than that.
    let mut packed = kdumpfile_testkit::compress::zlib(&lime, 0);
    packed[..2].copy_from_slice(&[0x38, 0x8d]);
    let dump = open(&packed[..]);
    assert_eq!(dump.string("file.format").unwrap(), "lime");
    assert_eq!(stored(&dump), [(0, 39), (256, 599)]);
    check(&dump, 256..600);
    check(&dump, 0..40);
    // The end of the stream is cut off: what is in front of it stays readable.
    let cut = &packed[..packed.len() - 100_000];
    match try_open(cut) {
        Ok(dump) => check(&dump, 0..40),
        Err(error) => assert_eq!(error.status(), Status::Corrupt, "{error}"),
    }
}

/// LiME's `format=padded` writes no records: memory from address 0 on.
#[test]
fn an_image_that_lime_padded_is_memory_from_0_on() {
    let mut padded = vec![0; 0x10_0000];
    padded[..8192].copy_from_slice(&memory(0..2));
    padded.extend(memory(256..260));
    assert_eq!(open_failure(padded.clone()), fails(Status::NotImplemented, "file #0: Unknown file format"));
    let dump = Context::new();
    dump.set("file.set.number", Value::Number(1)).unwrap();
    dump.set("file.set.0.base", Value::Address(0)).unwrap();
    dump.open_bytes(padded).unwrap();
    assert_eq!(stored(&dump), [(0, 259)]);
    check(&dump, 0..2);
    check(&dump, 256..260);
    assert!(page(&dump, 100).unwrap() == [0; 4096]);
}

#[test]
fn compressed_records_are_listed_from_the_end_of_the_file() {
    let mut image = LimeBuilder::new();
    for number in 0..50 {
        image = image.avml(number << 20, &memory(256 * number..256 * number + 64));
    }
    let bytes = image.build();
    // From the front each chunk is looked at, of which a record has four.
    for (file, most) in [(bytes.clone(), 3 * 50), (bytes[..bytes.len() - 4].to_vec(), 16 * 50)] {
        let watched = Shared::new(FaultyReader::new(file));
        let dump = try_open_sources(vec![watched.clone() as Source]).unwrap();
        let reads = watched.script().calls().len();
        assert!(reads < most, "{reads} reads");
        assert!(most == 16 * 50 || reads >= 50, "{reads} reads");
        check(&dump, 256 * 49..256 * 49 + 64);
    }
}

#[test]
fn one_file_only() {
    let bytes = LimeBuilder::new().lime(0, &memory(0..1)).build();
    assert_eq!(
        failure(try_open_set(&[bytes.clone(), bytes])),
        fails(Status::NotImplemented, "file #0: Multiple files not implemented")
    );
}

#[test]
fn a_page_size_that_the_user_knows_goes_first() {
    let dump = Context::new();
    dump.set("arch.name", Value::from("aarch64")).unwrap();
    dump.set("arch.page_size", Value::Number(65536)).unwrap();
    dump.open_bytes(LimeBuilder::new().lime(0, &memory(0..32)).build()).unwrap();
    assert_eq!(dump.number("arch.page_size").unwrap(), 65536);
    assert_eq!(stored(&dump), [(0, 1)]);
}
