//! Every error of diskdump files, with its exact text: sections 9.3 (codecs)
//! and 15 (everything else) of the format description.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Status};
use kdumpfile_testkit::compress::{self, Codec};
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, Page};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::image::page_bytes;
use support::*;

const EIO: &str = "Input/output error";

/// Text of the failure to read a page that is stored like this.
fn page_error(payload: impl Into<Vec<u8>>, flags: u32) -> String {
    let page_of = Page::Stored { payload: payload.into(), flags, size: None };
    let dump = open(dump_of([0]).page(1, page_of).build());
    let (status, text) = failure(page(&dump, 1));
    assert_eq!(status, Status::Corrupt, "{text}");
    // A bad page harms no other one.
    assert!(page(&dump, 0).unwrap() == page_bytes(0));
    text
}

// --- Section 9.3: zlib -------------------------------------------------------

#[test]
fn zlib_stream_of_too_few_bytes_tells_how_many() {
    for size in [0, 1, 4095] {
        let want = format!("Wrong uncompressed size: {size}");
        assert_eq!(page_error(compress::zlib(&vec![7; size], 6), 1), want);
    }
}

#[test]
fn zlib_input_that_ends_early_is_error_3() {
    let stream = compress::zlib(&page_bytes(1), 6);
    for len in [0, 1, 2, 3, stream.len() / 2, stream.len() - 5, stream.len() - 1] {
        assert_eq!(page_error(&stream[..len], 1), "Decompresion failed: error -3", "{len}");
    }
}

#[test]
fn zlib_output_larger_than_a_page_is_error_5() {
    for size in [4097, 5000, 8192] {
        let stream = compress::zlib(&vec![7; size], 6);
        assert_eq!(page_error(stream, 1), "Decompresion failed: error -5", "{size}");
    }
}

#[test]
fn zlib_headers_that_cannot_be_are_named() {
    let page = page_bytes(1);
    let bad = "Decompresion failed: incorrect header check";
    assert_eq!(page_error(compress::gzip(&page), 1), bad);
    assert_eq!(page_error(b"\x79\x9c".to_vec(), 1), bad);
    // 0x7785 and 0 are divisible by 31, but name methods 7 and 0.
    let method = "Decompresion failed: unknown compression method";
    assert_eq!(page_error(vec![0; 64], 1), method);
    assert_eq!(page_error(b"\x77\x85abc".to_vec(), 1), method);
    // 0x88 0x1c: method 8, a window of 64 KiB.
    let window = "Decompresion failed: invalid window size";
    assert_eq!(page_error(b"\x88\x1cabc".to_vec(), 1), window);
}

#[test]
fn zlib_checksum_that_does_not_fit_is_an_incorrect_data_check() {
    let mut stream = compress::zlib(&page_bytes(1), 6);
    *stream.last_mut().unwrap() ^= 1;
    assert_eq!(page_error(stream, 1), "Decompresion failed: incorrect data check");
}

#[test]
fn zlib_data_errors_are_those_of_zlib() {
    let with = |deflate: &[u8]| page_error([b"\x78\x9c", deflate].concat(), 1);
    // First byte: final block (bit 0), type (bits 1 and 2).
    assert_eq!(with(&[0x07, 0, 0, 0]), "Decompresion failed: invalid block type");
    assert_eq!(with(&[0x01, 1, 0, 0, 0, 0]), "Decompresion failed: invalid stored block lengths");
    // Fixed codes: length 3 (0000001), distance code 0: nothing is behind us.
    assert_eq!(with(&[0x03, 0x02, 0, 0, 0, 0]), "Decompresion failed: invalid distance too far back");
}

#[test]
fn zlib_with_a_preset_dictionary_is_a_data_error() {
    // 0x78 0xbb: FDICT is set.
    assert_eq!(page_error(b"\x78\xbb\0\0\0\0abc".to_vec(), 1), "Decompresion failed: error -3");
}

// --- Section 9.3: LZO --------------------------------------------------------

#[test]
fn lzo_errors_have_the_numbers_of_its_library() {
    let stream = compress::lzo(&page_bytes(1));
    let want = |number| format!("Decompression failed: {number}");
    assert_eq!(page_error(Vec::new(), 2), want(-4));
    for len in [1, stream.len() / 2, stream.len() - 3, stream.len() - 1] {
        assert_eq!(page_error(&stream[..len], 2), want(-4), "{len}");
    }
    assert_eq!(page_error(compress::lzo(&vec![7; 5000]), 2), want(-5));
    // Four literals, then a match 0x4000 + bytes back.
    assert_eq!(page_error([21, 1, 2, 3, 4, 0x50, 0xff, 0x11, 0, 0], 2), want(-6));
    assert_eq!(page_error([&stream[..], &[0]].concat(), 2), want(-8));
    assert_eq!(page_error(compress::lzo(&[7; 4000]), 2), "Wrong uncompressed size: 4000");
}

// --- Section 9.3: snappy -----------------------------------------------------

#[test]
fn snappy_errors_have_the_numbers_of_its_library() {
    let stream = compress::snappy(&page_bytes(1));
    let want = |number| format!("Decompression failed: {number}");
    assert_eq!(page_error(Vec::new(), 4), want(1));
    for len in [2, stream.len() / 2, stream.len() - 1] {
        assert_eq!(page_error(&stream[..len], 4), want(1), "{len}");
    }
    assert_eq!(page_error([&stream[..], &[0]].concat(), 4), want(1));
    assert_eq!(page_error(compress::snappy(&vec![7; 4097]), 4), want(2));
    assert_eq!(page_error(vec![0xff; 64], 4), want(1));
    assert_eq!(page_error(compress::snappy(&[7; 4000]), 4), "Wrong uncompressed size: 4000");
}

// --- Section 9.3: zstd -------------------------------------------------------

#[test]
fn zstd_errors_have_the_names_of_its_library() {
    let want = page_bytes(1);
    let stream = compress::zstd(&want);
    let failed = |name: &str| format!("Decompression failed: {name}");
    assert_eq!(page_error(Vec::new(), 0x20), "Wrong uncompressed size: 0");
    assert_eq!(page_error(vec![1; 64], 0x20), failed("Unknown frame descriptor"));
    for len in [stream.len() - 1, stream.len() / 2] {
        assert_eq!(page_error(&stream[..len], 0x20), failed("Src size is incorrect"), "{len}");
    }
    assert_eq!(page_error([&stream[..], &[0]].concat(), 0x20), failed("Src size is incorrect"));
    let large = compress::zstd(&vec![7; 5000]);
    assert_eq!(page_error(large, 0x20), failed("Destination buffer is too small"));
    let mut checked = compress::zstd_with_checksum(&want, true);
    *checked.last_mut().unwrap() ^= 1;
    assert_eq!(page_error(checked, 0x20), failed("Restored data doesn't match checksum"));
    assert_eq!(page_error(compress::zstd(&[7; 4000]), 0x20), "Wrong uncompressed size: 4000");
}

// --- Section 15 --------------------------------------------------------------

/// A source that fails where it is read.
fn failing(file: Vec<u8>, when: When) -> Source {
    let script = Script::new(0).with(when, Fault::Fail(EIO.into()));
    Shared::new(FaultyReader::with_script(file, script))
}

fn full_dump() -> DiskdumpBuilder {
    dump_of([0, 5]).eraseinfo("erase x\n").notes(vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=1\n"))
}

/// What opening says when each of its reads fails in turn, and reading page 5
/// behind it.
fn failures_of_every_read(file: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    for n in 0.. {
        let source = Shared::new(FaultyReader::new(file.to_vec()).fail_nth(n, EIO));
        let opened: Result<Context> = try_open_sources(vec![source.clone() as Source]);
        if (source.script().calls().len() as u64) <= n {
            return texts;
        }
        if let Err(error) = opened {
            assert_eq!(error.status(), Status::System, "{error}");
            texts.push(error.message());
        }
    }
    unreachable!()
}

#[test]
fn each_read_of_an_open_that_fails_is_named() {
    let (file, layout) = full_dump().build_with_layout();
    let texts = failures_of_every_read(&file);
    let (erase, notes) = (layout.eraseinfo, layout.notes);
    let size = vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=1\n").len();
    for want in [
        "Cannot read file #0".into(),
        "Cannot read dump header".into(),
        "file #0: Cannot read header".into(),
        "file #0: Cannot read subheader".into(),
        format!("file #0: Cannot read ERASEINFO (8 bytes at {erase} in file #0)"),
        format!("file #0: Cannot read 4096 bytes of page bitmap at {}", layout.bitmap2),
        format!("Cannot read {size} note bytes at {notes}"),
    ] {
        let text = format!("file #0: {want}: {EIO}");
        assert!(texts.contains(&text), "{text} is not in {texts:#?}");
    }
}

#[test]
fn vmcoreinfo_of_version_3_that_cannot_be_read_is_named() {
    const TEXT: &str = "OSRELEASE=3.3\n";
    let (file, layout) = dump_of([0]).version(3).vmcoreinfo(TEXT).build_with_layout();
    let at = layout.field("offset_vmcoreinfo").get(&file, ByteOrder::Little);
    let texts = failures_of_every_read(&file);
    let want = format!("file #0: file #0: Cannot read VMCOREINFO (14 bytes at {at} in file #0): {EIO}");
    assert!(texts.contains(&want), "{want} is not in {texts:#?}");
}

#[test]
fn messages_use_the_names_of_files() {
    let files = dump_of(0..10).build_set(&[5]);
    let bitmap = 8192 + 4096;
    let sources =
        || vec![source(files[0].clone()), failing(files[1].clone(), When::Touches(bitmap..bitmap + 1))];
    let text = |names: &[Option<&str>]| {
        let dump = Context::new();
        dump.set_file_names(names).unwrap();
        failure(dump.open(sources())).1
    };
    let read = format!("Cannot read 4096 bytes of page bitmap at {bitmap}: {EIO}");
    assert_eq!(text(&[]), format!("file #0: file #1: {read}"));
    assert_eq!(text(&[Some("/x/one"), Some("/x/two")]), format!("/x/one: /x/two: {read}"));
    assert_eq!(text(&[None, Some("/x/two")]), format!("file #0: /x/two: {read}"));
}

#[test]
fn an_impossible_header_has_only_the_outer_name() {
    let dump = Context::new();
    dump.set_file_names(&[Some("vmcore")]).unwrap();
    let error = dump.open_bytes(dump_of([0]).patch("block_size", 5000).build());
    assert_eq!(failure(error), fails(Status::NotImplemented, "vmcore: Invalid diskdump header content"));
}

#[test]
fn a_corrupt_header_of_a_later_file_is_an_impossible_header_too() {
    for (field, value) in [("block_size", 8192), ("block_size", 100), ("max_mapnr", 70_000)] {
        let mut files = dump_of(0..10).build_set(&[5]);
        let (_, layout) = dump_of(0..10).build_with_layout();
        layout.field(field).put(&mut files[1], ByteOrder::Little, value);
        assert_eq!(failure(try_open_set(&files)), bad_header(), "{field}");
    }
}

#[test]
fn a_page_size_of_vmcoreinfo_that_cannot_be_is_corrupt() {
    let notes = vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=1\nPAGESIZE=5000\n");
    let text = "file #0: Cannot process noarch notes: Cannot set VMCOREINFO: \
                Cannot set VMCOREINFO 'PAGESIZE': Cannot set page size: Invalid page size: 5000";
    assert_eq!(open_failure(dump_of([0]).notes(notes).build()), fails(Status::Corrupt, text));
}

#[test]
fn a_page_size_in_version_3_that_cannot_be_makes_the_header_impossible() {
    let file = dump_of([0]).version(3).vmcoreinfo("PAGESIZE=5000\n").build();
    assert_eq!(open_failure(file), bad_header());
}

#[test]
fn the_ram_bitmap_is_read_at_first_use_and_again_after_a_failure() {
    let (file, layout) = full_dump().ram(0..30).build_with_layout();
    let script = Script::new(0);
    let source = Shared::new(FaultyReader::with_script(file, script));
    let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
    assert!(is_set(&dump, "memory.pagemap"));
    let at = layout.bitmap1;
    source.script().add(When::Touches(at..at + 1), Fault::Fail(EIO.into()));
    let text = format!("Value cannot be revalidated: Cannot read 4096 bytes of page bitmap at {at}: {EIO}");
    for _ in 0..2 {
        assert_eq!(failure(dump.bitmap("memory.pagemap").map(|_| ())), fails(Status::System, &text));
    }
    source.script().clear();
    assert_eq!(ram(&dump), [(0, 29)]);
}

#[test]
fn descriptors_and_data_that_cannot_be_read_tell_their_position() {
    let (file, layout) = full_dump().build_with_layout();
    let data = layout.field("page.5.offset").get(&file, ByteOrder::Little);
    let descriptor = layout.pages[&5];
    for (at, what) in [(descriptor, "page descriptor"), (data, "page data")] {
        let source = Shared::new(FaultyReader::new(file.clone()));
        let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
        source.script().add(When::Touches(at..at + 1), Fault::Fail(EIO.into()));
        let text = format!("Cannot read {what} at {at}: {EIO}");
        for _ in 0..2 {
            assert_eq!(failure(page(&dump, 5)), fails(Status::System, &text));
        }
        source.script().clear();
        // A failure is not kept.
        assert!(page(&dump, 5).unwrap() == page_bytes(5));
    }
}

#[test]
fn a_raw_page_that_cannot_be_read_tells_its_position() {
    let (file, layout) = DiskdumpBuilder::default().data(1, page_bytes(1), Codec::Raw).build_with_layout();
    let at = layout.field("page.1.offset").get(&file, ByteOrder::Little);
    let dump = try_open_sources(vec![failing(file, When::Touches(at + 9..at + 10))]).unwrap();
    let text = format!("Cannot read page data at {at}: {EIO}");
    assert_eq!(failure(page(&dump, 1)), fails(Status::System, &text));
}

#[test]
fn other_signatures_are_of_no_format() {
    for signature in [*b"KDUMP  \0", *b"kdump   ", *b"DISKDUM\0", *b"DISKDUMQ", [0; 8]] {
        let file = dump_of([0]).signature(signature).build();
        assert_eq!(open_failure(file), fails(Status::NotImplemented, "file #0: Unknown file format"));
    }
}

// Section 2: bytes behind the end may not be read under policy `always`.
#[test]
fn under_policy_always_a_read_behind_the_end_has_no_data() {
    let (file, layout) = DiskdumpBuilder::default().data(0, page_bytes(4), Codec::Raw).build_with_layout();
    let at = layout.data;
    // Data that begins in a 4096-byte unit behind the end.
    let mut moved = file.clone();
    layout.field("page.0.offset").put(&mut moved, ByteOrder::Little, 1 << 20);
    for (policy, want) in [(0, Ok(())), (2, Ok(())), (1, Err(Status::NoData))] {
        let dump = Context::new();
        set(&dump, "file.mmap_policy", policy);
        dump.open_bytes(moved.clone()).unwrap();
        let read = page(&dump, 0).map(|bytes| assert_eq!(bytes, [0; 4096]));
        assert_eq!(read.as_ref().map_err(|error| error.status()).copied(), want, "policy {policy} {at}");
        if let Err(error) = read {
            assert_eq!(error.message(), "Cannot read page data at 1048576");
        }
    }
}
