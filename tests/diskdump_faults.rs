//! Files that are cut off, and storage that fails: never a panic, and never a
//! wrong byte.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Status};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, SubLayout, WordSize};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::flatten::{Flattener, Order};
use kdumpfile_testkit::image::{Rng, page_bytes};
use support::*;

const PFNS: [u64; 6] = [0, 1, 9, 64, 65, 200];

/// Every codec, with checksums where there are some; no raw pages, because
/// zeros in them could not be told from data.
fn builder() -> DiskdumpBuilder {
    PFNS.iter()
        .fold(DiskdumpBuilder::default(), |builder, &pfn| builder.data(pfn, text(pfn), Codec::Zlib))
        .ram(0..220)
        .eraseinfo("erase q\n")
        .notes(vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=6.0\nPAGESIZE=4096\n"))
}

/// A page that compresses well and is not zero.
fn text(pfn: u64) -> Vec<u8> {
    format!("page {pfn} ").into_bytes().into_iter().cycle().take(4096).collect()
}

// --- Cut off -------------------------------------------------------------------

/// Opens a file of which `whole` was cut off at `cut`; a page is its own
/// bytes, with zeros where there is no file any more, or an error.
fn check_cut(whole: &[u8], cut: usize, pages: &[(u64, u64, Vec<u8>)]) {
    let dump = match try_open(&whole[..cut]) {
        Ok(dump) => dump,
        Err(error) => {
            // Only a file without header is refused.
            assert!(cut < 464, "cut at {cut}: {error}");
            return;
        }
    };
    for (pfn, raw_at, want) in pages {
        match page(&dump, *pfn) {
            Ok(bytes) if *raw_at == 0 => assert!(bytes == *want, "cut at {cut}: page {pfn}"),
            Ok(bytes) => {
                let mut want = want.clone();
                let left = cut.saturating_sub(*raw_at as usize).min(want.len());
                want[left..].fill(0);
                assert!(bytes == want, "cut at {cut}: page {pfn}");
            }
            Err(error) => {
                let known = matches!(error.status(), Status::NoData | Status::Corrupt);
                assert!(known, "cut at {cut}: page {pfn}: {error}");
            }
        }
    }
    let _ = (runs(&dump.bitmap("file.pagemap").unwrap()), ram(&dump));
}

type Pages = Vec<(u64, u64, Vec<u8>)>;

/// A dump with raw and compressed pages: the file, where its parts begin, and
/// pages with the position of their data if they are raw.
fn mixed(word: WordSize, sub: SubLayout, order: ByteOrder) -> (Vec<u8>, Vec<u64>, Pages) {
    let mut builder = DiskdumpBuilder::new(word, order)
        .sub_layout(sub)
        .ram(0..220)
        .eraseinfo("erase q\n")
        .notes(vmcoreinfo_note(order, "OSRELEASE=6.0\nPAGESIZE=4096\n"));
    for (i, pfn) in PFNS.into_iter().enumerate() {
        builder = builder.data(pfn, text(pfn), Codec::ALL[i % 5]);
    }
    let (file, layout) = builder.build_with_layout();
    let mut borders = vec![0, 8, 12, 402, 416, 452, 464, layout.sub_header, layout.notes, layout.bitmap1];
    borders.extend([layout.bitmap2, layout.descriptors, layout.data, layout.eraseinfo, file.len() as u64]);
    borders.extend([layout.sub_header + 80, layout.sub_header + 96, layout.sub_header + 104]);
    let mut pages = Vec::new();
    for pfn in PFNS {
        let field = |name: &str| layout.field(&format!("page.{pfn}.{name}")).get(&file, order);
        let (offset, size, flags) = (field("offset"), field("size"), field("flags"));
        borders.extend([layout.pages[&pfn], layout.pages[&pfn] + 12, offset, offset + size]);
        pages.push((pfn, if flags == 0 { offset } else { 0 }, text(pfn)));
    }
    (file, borders, pages)
}

#[test]
fn a_file_cut_at_any_border_opens_with_zeros_behind_its_end() {
    for (word, sub) in [
        (WordSize::Bits32, SubLayout::Packed32),
        (WordSize::Bits32, SubLayout::Aligned32),
        (WordSize::Bits64, SubLayout::Bits64),
    ] {
        for order in ByteOrder::ALL {
            let (file, borders, pages) = mixed(word, sub, order);
            for border in borders {
                for cut in [border.saturating_sub(1), border, border + 1] {
                    check_cut(&file, (cut as usize).min(file.len()), &pages);
                }
            }
        }
    }
}

#[test]
fn a_file_cut_at_any_place_opens_with_zeros_behind_its_end() {
    let (file, _, pages) = mixed(WordSize::Bits64, SubLayout::Bits64, ByteOrder::Little);
    let mut rng = Rng::new(11);
    for _ in 0..400 {
        check_cut(&file, rng.below(file.len() as u64) as usize, &pages);
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_open_has_zeros_behind_its_end() {
    let (file, borders, pages) = mixed(WordSize::Bits64, SubLayout::Bits64, ByteOrder::Little);
    for cut in borders {
        let source = Shared::new(FaultyReader::new(file.clone()));
        let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
        source.script().add(When::Always, Fault::Shrink(cut));
        for (pfn, raw_at, want) in &pages {
            match page(&dump, *pfn) {
                Ok(bytes) if *raw_at == 0 => assert!(bytes == *want, "{cut} {pfn}"),
                Ok(bytes) => {
                    let left = cut.saturating_sub(*raw_at).min(4096) as usize;
                    assert!(bytes[..left] == want[..left], "{cut} {pfn}");
                    assert!(bytes[left..].iter().all(|byte| *byte == 0), "{cut} {pfn}");
                }
                Err(error) => assert!(matches!(error.status(), Status::NoData | Status::Corrupt), "{error}"),
            }
        }
    }
}

// --- Lies ----------------------------------------------------------------------

#[test]
fn random_bytes_in_the_headers_never_panic() {
    let (file, _) = builder().build_with_layout();
    let flat = Flattener::new().record_size(1500).order(Order::Interleaved(2)).flatten(&file);
    let mut rng = Rng::new(77);
    for round in 0..1500 {
        let mut bytes = if round % 5 == 0 { flat.clone() } else { file.clone() };
        for _ in 0..1 + rng.below(6) {
            // Headers, sub-header, bitmaps or descriptors, record headers.
            let at = match rng.below(4) {
                0 => 8 + rng.below(456),
                1 => 4096 + rng.below(160),
                2 => 402 + rng.below(62),
                _ => rng.below(bytes.len() as u64),
            } as usize;
            bytes[at] = match rng.below(3) {
                0 => 0xff,
                1 => bytes[at] ^ 1 << rng.below(8),
                _ => rng.next_u64() as u8,
            };
        }
        let Ok(dump) = try_open(bytes) else { continue };
        for pfn in PFNS.into_iter().chain([2, 219, 220, u64::MAX >> 12]) {
            let _ = page(&dump, pfn);
        }
        for path in ["file.pagemap", "memory.pagemap"] {
            let Ok(bitmap) = dump.bitmap(path) else { continue };
            let _ = (bitmap.find_set(0), bitmap.find_clear(0), bitmap.bits(0, 300, &mut [0; 38]));
        }
    }
}

// --- Failing storage -------------------------------------------------------------

/// Opens and reads everything; pages that could be read must be right.
fn scan(files: Vec<Source>, what: &str) -> Result<()> {
    let dump = Context::new();
    let opened = dump.open(files);
    let mut result = opened;
    if result.is_err() {
        // Nothing is open, so nothing can be read.
        assert_eq!(failure(page(&dump, 0)).0, Status::AddrXlat, "{what}");
        return result;
    }
    for pfn in PFNS {
        match page(&dump, pfn) {
            Ok(bytes) => assert!(bytes == text(pfn), "{what}: page {pfn}"),
            Err(error) => result = Err(error),
        }
    }
    if let Err(error) = dump.bitmap("memory.pagemap") {
        result = Err(error);
    }
    result
}

/// Lets each read of an open and a scan go wrong by itself; returns how many
/// reads there were.
fn each_read(file: &[u8], fault: &Fault, must_fail: bool) -> u64 {
    for n in 0.. {
        let what = format!("{fault:?} at read {n}");
        let script = Script::new(n).with(When::Nth(n), fault.clone());
        let source = Shared::new(FaultyReader::with_script(file.to_vec(), script));
        let result = scan(vec![source.clone() as Source], &what);
        let reads = source.script().calls().len() as u64;
        if reads <= n {
            result.expect("without a fault nothing fails");
            return reads;
        }
        if must_fail && let Err(error) = &result {
            assert!(error.message().ends_with("Input/output error"), "{what}: {error}");
        }
    }
    unreachable!()
}

#[test]
fn each_read_of_a_plain_dump_may_fail_fall_short_or_give_zeros() {
    let file = builder().build();
    for fault in [
        Fault::Fail("Input/output error".into()),
        Fault::Short(0),
        Fault::Short(1),
        Fault::Short(7),
        Fault::Zeroes,
        Fault::RandomLength,
    ] {
        let must_fail = matches!(fault, Fault::Fail(_));
        assert!(each_read(&file, &fault, must_fail) > 15);
    }
}

#[test]
fn each_read_of_a_stream_may_fail_fall_short_or_give_zeros() {
    let stream = Flattener::new().record_size(3000).order(Order::Interleaved(3)).flatten(&builder().build());
    for fault in [Fault::Fail("Input/output error".into()), Fault::Short(0), Fault::Short(5), Fault::Zeroes] {
        let must_fail = matches!(fault, Fault::Fail(_));
        assert!(each_read(&stream, &fault, must_fail) > 15);
    }
}

#[test]
fn storage_that_always_gives_few_bytes_is_read_to_the_end() {
    let plain = builder().build();
    let stream = Flattener::new().record_size(3000).order(Order::Reversed).flatten(&plain);
    for file in [plain, stream] {
        for fault in [Fault::RandomLength, Fault::Short(511), Fault::Short(24)] {
            let script = Script::new(5).with(When::Always, fault.clone());
            let source: Source = Shared::new(FaultyReader::with_script(file.clone(), script));
            scan(vec![source], &format!("{fault:?}")).unwrap();
        }
    }
}

#[test]
fn each_read_of_a_set_may_fail() {
    let files = builder().build_set(&[9, 65]);
    for bad in 0..3 {
        for n in 0.. {
            let faulty = Shared::new(FaultyReader::new(files[bad].clone()).fail_nth(n, "Input/output error"));
            let sources = (0..3)
                .map(|i| if i == bad { faulty.clone() as Source } else { source(files[i].clone()) })
                .collect();
            let result = scan(sources, &format!("read {n} of file {bad}"));
            if faulty.script().calls().len() as u64 <= n {
                result.unwrap();
                break;
            }
        }
    }
}

#[test]
fn a_dump_opens_after_an_open_that_failed() {
    let file = builder().build();
    let dump = Context::new();
    for n in 0..12 {
        let bad = Shared::new(FaultyReader::new(file.clone()).fail_nth(n, "Input/output error"));
        let _ = dump.open(vec![bad as Source]);
        dump.open_bytes(file.clone()).unwrap();
        assert!(page(&dump, 200).unwrap() == text(200));
        assert_eq!(stored(&dump), [(0, 1), (9, 9), (64, 65), (200, 200)]);
    }
    assert_ne!(page_bytes(200), text(200));
}
