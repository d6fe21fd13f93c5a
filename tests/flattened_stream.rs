//! Dumps in flattened streams: sections 13 and 20 of the format description.

mod support;

use kdumpfile::io::{FlatView, ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Status};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::elf::ElfBuilder;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::flatten::{Flattener, Order, Record};
use kdumpfile_testkit::image::page_bytes;
use support::*;

const PFNS: [u64; 5] = [0, 5, 63, 64, 300];

fn image() -> Vec<u8> {
    dump_of(PFNS).eraseinfo("erase z size 1\n").build()
}

fn check(dump: &Context, what: &str) {
    assert_eq!(stored(dump), [(0, 0), (5, 5), (63, 64), (300, 300)], "{what}");
    for pfn in PFNS {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "{what}: page {pfn}");
    }
    assert_eq!(failure(page(dump, 6)), excluded(), "{what}");
    assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"erase z size 1\n", "{what}");
}

/// A record whose header says something else than its data.
fn lying(offset: i64, size: i64) -> Record {
    Record { offset, size: Some(size), data: Vec::new() }
}

fn rearrange_error(status: Status, text: &str) -> (Status, String) {
    fails(status, &format!("file #0: Cannot rearrange file #0: {text}"))
}

// --- 13.2: errors ------------------------------------------------------------

#[test]
fn another_type_of_stream_is_not_implemented() {
    for number in [0, 2, -1, i64::MIN, i64::MAX] {
        let stream = Flattener::new().stream_type(number).flatten(&image());
        let text = format!("Unknown flattened type: {number}\n");
        assert_eq!(open_failure(stream), rearrange_error(Status::NotImplemented, &text));
    }
}

#[test]
fn another_version_of_the_stream_is_not_implemented() {
    for number in [0, 2, -3, i64::MIN, i64::MAX] {
        let stream = Flattener::new().version(number).flatten(&image());
        let text = format!("Unknown flattened version: {number}\n");
        assert_eq!(open_failure(stream), rearrange_error(Status::NotImplemented, &text));
    }
}

#[test]
fn a_negative_offset_that_is_no_end_mark_is_corrupt() {
    for offset in [-2, -4096, i64::MIN] {
        let stream = Flattener::new().stream(&[Record::new(0, b"abc"), lying(offset, 5)]);
        let text = format!("Wrong flattened offset {offset} at {}", 4096 + 19);
        assert_eq!(open_failure(stream), rearrange_error(Status::Corrupt, &text));
    }
}

#[test]
fn a_record_without_payload_is_corrupt() {
    for size in [0, -1, i64::MIN] {
        let stream = Flattener::new().stream(&[lying(0, size)]);
        let text = format!("Wrong flattened segment size {size} at 4096");
        assert_eq!(open_failure(stream), rearrange_error(Status::Corrupt, &text));
    }
}

#[test]
fn a_record_that_ends_behind_2_to_the_63_is_corrupt() {
    for (offset, size) in [(0, i64::MAX), (i64::MAX, 1), (i64::MAX - 5, 6), (1, i64::MAX - 4111)] {
        let stream = Flattener::new().stream(&[lying(offset, size)]);
        let text = format!("Wrong flattened segment size {size} at 4096");
        assert_eq!(open_failure(stream), rearrange_error(Status::Corrupt, &text), "{offset} {size}");
    }
}

// Row 21.
#[test]
fn a_stream_without_end_mark_is_corrupt() {
    let stream = Flattener::new().without_end_mark().flatten(&image());
    let text = format!("Wrong flattened segment size 0 at {}", stream.len());
    assert_eq!(open_failure(stream), rearrange_error(Status::Corrupt, &text));
}

// Row 21: cut anywhere, it is never taken for a shorter dump.
#[test]
fn a_stream_cut_at_any_place_is_an_error() {
    let stream = Flattener::new().record_size(700).flatten(&image());
    let mut cuts: Vec<usize> = (0..stream.len()).step_by(977).collect();
    cuts.extend([1, 15, 16, 24, 31, 32, 4095, 4096, 4097, 4104, 4112, 4113, stream.len() - 9]);
    for cut in cuts {
        let (status, text) = open_failure(&stream[..cut]);
        assert!(matches!(status, Status::Corrupt | Status::NotImplemented), "{cut}: {text}");
        if cut > 4096 {
            assert!(text.starts_with("file #0: Cannot rearrange file #0: Wrong flattened "), "{cut}: {text}");
        }
    }
    // Of the end mark only the offset counts, and missing bytes of it are zero.
    assert!(try_open(&stream[..stream.len() - 8]).is_ok());
}

#[test]
fn a_header_that_cannot_be_read_tells_its_position() {
    let stream = Flattener::new().record_size(200 << 10).flatten(&vec![1; 500 << 10]);
    let second = 4096 + 16 + (200 << 10);
    let script =
        Script::new(0).with(When::Touches(second..second + 16), Fault::Fail("Input/output error".into()));
    let source: Source = Shared::new(FaultyReader::with_script(stream, script));
    // The first record is within the part that is read ahead.
    let (status, text) = failure(try_open_sources(vec![source]));
    assert_eq!(status, Status::System);
    let start = "file #0: Cannot rearrange file #0: Cannot read flattened header at ";
    assert!(text.starts_with(start) && text.ends_with(": Input/output error"), "{text}");
}

#[test]
fn the_name_of_the_file_is_in_the_message_twice() {
    let dump = Context::new();
    dump.set_file_names(&[Some("a.flat"), Some("b.flat")]).unwrap();
    let good = Flattener::new().flatten(&image());
    let bad = Flattener::new().stream(&[lying(0, 0)]);
    let text = "a.flat: Cannot rearrange b.flat: Wrong flattened segment size 0 at 4096";
    assert_eq!(failure(dump.open(vec![source(good), source(bad)])), fails(Status::Corrupt, text));
}

#[test]
fn all_sixteen_bytes_of_the_signature_count() {
    let stream = Flattener::new().flatten(&image());
    for at in 0..16 {
        let mut stream = stream.clone();
        stream[at] ^= 1;
        let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
        assert_eq!(open_failure(stream), unknown, "byte {at}");
    }
}

#[test]
fn the_rest_of_the_first_block_does_not_matter() {
    let mut stream = Flattener::new().flatten(&image());
    stream[32..4096].fill(0xee);
    check(&open(stream), "garbage in the header block");
}

// --- Records in every order ----------------------------------------------------

#[test]
fn a_dump_is_the_same_in_every_order_of_its_records() {
    let image = image();
    for size in [1000, 4096, 65536] {
        for order in [Order::Ascending, Order::Reversed, Order::Shuffled(size as u64), Order::Interleaved(4)]
        {
            for flattener in [
                Flattener::new().record_size(size).order(order),
                Flattener::new().record_size(size).order(order).overlaps(11),
                Flattener::new().record_size(size).order(order).omit_zeros(),
                Flattener::new().record_size(size).order(order).omit_zeros().overlaps(5),
            ] {
                check(&open(flattener.flatten(&image)), &format!("{flattener:?}"));
            }
        }
    }
}

#[test]
fn records_of_a_few_bytes_cut_headers_and_descriptors() {
    let image = image();
    for size in [1, 7, 23] {
        let stream =
            Flattener::new().record_size(size).omit_zeros().order(Order::Shuffled(1)).flatten(&image);
        check(&open(stream), &format!("records of {size} bytes"));
    }
}

// RQ 13-a: a read wholly within a hole.
#[test]
fn holes_in_bitmap_descriptors_and_data_are_zeros() {
    let builder = DiskdumpBuilder::default()
        .data(1, page_bytes(1), Codec::Raw)
        .data(9000, page_bytes(2), Codec::Raw)
        .data(9001, page_bytes(3), Codec::Raw);
    let (image, layout) = builder.build_with_layout();
    // Everything but the hole, as two records.
    let without = |hole: core::ops::Range<usize>| {
        let records =
            [Record::new(0, &image[..hole.start]), Record::new(hole.end as i64, &image[hole.end..])];
        open(Flattener::new().stream(&records))
    };
    let bitmap = layout.bitmap2 as usize;
    let dump = without(bitmap..bitmap + 1000);
    assert_eq!(stored(&dump), [(9000, 9001)], "descriptors are counted by the bits that are there");
    let descriptor = layout.pages[&9000] as usize;
    let dump = without(descriptor..descriptor + 24);
    assert_eq!(failure(page(&dump, 9000)), fails(Status::NoData, "Incomplete page"));
    assert!(page(&dump, 9001).unwrap() == page_bytes(3));
    let data = layout.data as usize;
    let dump = without(data + 4096..data + 8192);
    assert_eq!(page(&dump, 9000).unwrap(), [0; 4096]);
    assert!(page(&dump, 1).unwrap() == page_bytes(1) && page(&dump, 9001).unwrap() == page_bytes(3));
    let dump = without(data + 4000..data + 4200);
    let mut want = page_bytes(1);
    want[4000..].fill(0);
    assert!(page(&dump, 1).unwrap() == want);
}

// RQ 13-a.
#[test]
fn a_stream_without_records_is_an_empty_file() {
    let stream = Flattener::new().stream(&[]);
    assert_eq!(open_failure(stream.clone()), fails(Status::NotImplemented, "file #0: Unknown file format"));
    let view = FlatView::open(source(stream)).unwrap();
    assert_eq!((ReadAt::len(&view), view.segments()), (Some(0), 0));
}

// 13.2: any format may be inside.
#[test]
fn an_elf_dump_may_be_inside() {
    let elf = ElfBuilder::for_arch(Arch::X86_64).load(0, page_bytes(9)).build();
    let dump = open(Flattener::new().record_size(100).order(Order::Reversed).flatten(&elf));
    assert_eq!(dump.string("file.format").unwrap(), "elf");
    assert!(page(&dump, 0).unwrap() == page_bytes(9));
}

#[test]
fn the_description_says_what_is_flattened() {
    let files = dump_of(0..20).build_set(&[5, 10]);
    let flat = |bytes: &[u8]| Flattener::new().record_size(3000).order(Order::Reversed).flatten(bytes);
    for mask in 0..8 {
        let set: Vec<Vec<u8>> = files
            .iter()
            .enumerate()
            .map(|(i, file)| if mask >> i & 1 == 1 { flat(file) } else { file.clone() })
            .collect();
        let dump = open_set(&set);
        let prefix = match mask {
            0 => "",
            7 => "Flattened ",
            _ => "Mixed ",
        };
        assert_eq!(dump.string("file.description").unwrap(), format!("{prefix}Compressed KDUMP"));
        assert_eq!(stored(&dump), [(0, 19)]);
        assert!((0..20).all(|pfn| page(&dump, pfn).unwrap() == page_bytes(pfn)), "mask {mask}");
    }
}

// 13.4, step 7: offsets far behind everything else.
#[test]
fn a_record_at_the_end_of_the_address_range_costs_nothing() {
    let image = image();
    let far = Record::new(i64::MAX - 3, b"end");
    let stream = Flattener::new().record_size(4096).record(far).flatten(&image);
    check(&open(stream), "a record near 2^63");
}
