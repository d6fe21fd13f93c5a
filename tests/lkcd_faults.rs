//! LKCD dumps that are cut off or lie, storage that fails, and clones that
//! read at the same time: never a panic, and never a wrong byte.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Status};
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::lkcd::{LkcdBuilder, LkcdLayout, Method, RAW, Record};
use support::*;

const PFNS: [u64; 8] = [7, 0, 1, 2, 300, 299, 65, 64];

/// A page that compresses well and is not zero.
fn text(pfn: u64) -> Vec<u8> {
    format!("page {pfn} ").into_bytes().into_iter().cycle().take(4096).collect()
}

fn builder(version: u32, order: ByteOrder, method: Method) -> LkcdBuilder {
    let mut builder = LkcdBuilder::new(version, WordSize::Bits32, order).method(method);
    for pfn in PFNS {
        builder = match pfn {
            1 | 299 => builder.raw(pfn, text(pfn)),
            _ => builder.packed(pfn, method.pack(&text(pfn)).unwrap()),
        };
    }
    builder
}

fn samples() -> Vec<(Vec<u8>, LkcdLayout)> {
    let mut samples = Vec::new();
    for order in ByteOrder::ALL {
        samples.push(builder(2, order, Method::Rle).build_with_layout());
        samples.push(builder(7, order, Method::Gzip).build_with_layout());
        samples.push(builder(10, order, Method::Gzip).data_offset(1000).build_with_layout());
    }
    samples
}

/// Reads everything there is to read; the pages that could be read.
fn examine(dump: &Context, extra: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    for pfn in PFNS.into_iter().chain([3, 298, 301, extra]) {
        match page(dump, pfn) {
            Ok(bytes) => found.push((pfn, bytes)),
            Err(error) => assert!(!error.message().is_empty()),
        }
    }
    let _ = dump.number("max_pfn");
    if let Ok(pagemap) = dump.bitmap("file.pagemap") {
        let _ = (pagemap.find_set(0), pagemap.find_clear(0), pagemap.bits(0, 400, &mut [0; 51]));
    }
    found
}

// --- Cut off -------------------------------------------------------------------

#[test]
fn a_file_cut_at_any_place_opens_and_has_the_pages_in_front_of_the_cut() {
    let seed = 21;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    for (file, layout) in samples() {
        let first = layout.records[0] as usize;
        let mut cuts: Vec<usize> =
            (0..200).map(|_| first + rng.below((file.len() - first) as u64) as usize).collect();
        cuts.extend((0..20).map(|_| rng.below(file.len() as u64) as usize));
        for &record in layout.records.iter().chain([&layout.end]) {
            cuts.extend((0..18).map(|more| (record as usize + more).min(file.len())));
        }
        for cut in cuts {
            let dump = match try_open(&file[..cut]) {
                Ok(dump) => dump,
                Err(error) => {
                    assert!(cut < 24, "cut at {cut}: {error}");
                    continue;
                }
            };
            let ends = layout.records[1..].iter().chain([&layout.end]);
            let whole: Vec<u64> =
                PFNS.into_iter().zip(ends).filter(|row| *row.1 <= cut as u64).map(|row| row.0).collect();
            if cut > 742 {
                for &pfn in &whole {
                    assert!(page(&dump, pfn).unwrap() == text(pfn), "cut at {cut}: page {pfn}");
                }
            }
            for (pfn, bytes) in examine(&dump, 5) {
                // Behind the end of the file there are zeros.
                let same = bytes.iter().zip(text(pfn)).all(|(have, want)| *have == want || *have == 0);
                assert!(same || !whole.contains(&pfn), "cut at {cut}: page {pfn}");
            }
        }
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_open_gives_pages_or_errors() {
    for (file, layout) in samples() {
        for &cut in &layout.records {
            let source = Shared::new(FaultyReader::new(file.clone()));
            let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
            assert!(page(&dump, 7).unwrap() == text(7));
            source.script().add(When::Always, Fault::Shrink(cut + 3));
            examine(&dump, 9);
        }
    }
}

// --- Lies ----------------------------------------------------------------------

#[test]
fn changed_bits_never_panic_and_never_hang() {
    let seed = 78;
    println!("seed {seed}");
    let mut rng = Rng::new(seed);
    let samples = samples();
    for round in 0..2400 {
        let (file, layout) = &samples[round % samples.len()];
        let mut bytes = file.clone();
        for _ in 0..1 + rng.below(4) {
            let at = match rng.below(3) {
                0 => 8 + rng.below(734),
                1 => layout.records[rng.below(8) as usize] + rng.below(16),
                _ => layout.records[0] + rng.below(file.len() as u64 - layout.records[0]),
            } as usize;
            bytes[at] ^= 1 << rng.below(8);
        }
        if let Ok(dump) = try_open(bytes) {
            examine(&dump, rng.next_u64() >> 12);
        }
    }
}

#[test]
fn records_of_noise_are_followed_to_their_end() {
    let mut rng = Rng::new(3);
    for _ in 0..100 {
        let mut file = builder(10, ByteOrder::Little, Method::Gzip).data_offset(742).build();
        file.truncate(742);
        file.extend((0..rng.below(40_000)).map(|_| match rng.below(3) {
            0 => 0,
            1 => 1,
            _ => rng.next_u64() as u8,
        }));
        examine(&open(file), rng.next_u64() >> 12);
    }
}

// --- Failing storage -------------------------------------------------------------

fn scan(source: Source, what: &str) -> Result<()> {
    // Bytes were lost and nobody said so.
    let silent = what.starts_with("Zeroes") || what.starts_with("Short(0)");
    let dump = Context::new();
    let mut result = dump.open(vec![source]);
    if result.is_err() {
        assert_eq!(failure(page(&dump, 0)).0, Status::AddrXlat, "{what}");
        return result;
    }
    for pfn in PFNS {
        match page(&dump, pfn) {
            // Behind the end of a file there are zeros.
            Ok(bytes) if silent && [1, 299].contains(&pfn) => {
                assert!(bytes.iter().zip(text(pfn)).all(|(a, b)| *a == b || *a == 0), "{what}: page {pfn}");
            }
            Ok(bytes) => assert!(bytes == text(pfn), "{what}: page {pfn}"),
            Err(error) => result = Err(error),
        }
    }
    match dump.number("max_pfn") {
        Ok(number) => assert!(number == 301 || silent, "{what}: {number}"),
        Err(error) => result = Err(error),
    }
    // What failed once may be tried again.
    for pfn in PFNS {
        if let Err(error) = page(&dump, pfn) {
            assert!(!what.starts_with("Fail"), "{what}: page {pfn}: {error}");
        }
    }
    result
}

#[test]
fn each_read_may_fail_fall_short_or_give_zeros() {
    let file = builder(8, ByteOrder::Little, Method::Gzip).build();
    for fault in [
        Fault::Fail("Input/output error".into()),
        Fault::Short(0),
        Fault::Short(1),
        Fault::Short(7),
        Fault::Zeroes,
    ] {
        for n in 0.. {
            let script = Script::new(n).with(When::Nth(n), fault.clone());
            let source = Shared::new(FaultyReader::with_script(file.clone(), script));
            let result = scan(source.clone() as Source, &format!("{fault:?} at read {n}"));
            if source.script().calls().len() as u64 <= n {
                result.expect("without a fault nothing fails");
                assert!(n > 15);
                break;
            }
            if let (Fault::Fail(_), Err(error)) = (&fault, &result) {
                let text = error.message();
                assert!(text.ends_with("Input/output error") && text.contains("Cannot read"), "{text}");
            }
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_is_told_by_its_position() {
    let (file, layout) = builder(8, ByteOrder::Little, Method::Gzip).build_with_layout();
    let at = layout.records[3];
    let source = Shared::new(FaultyReader::new(file));
    let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
    source.script().add(When::Touches(at..at + 1), Fault::Fail("Input/output error".into()));
    let text = format!("Cannot read page descriptor at {at}: Input/output error");
    assert_eq!(failure(page(&dump, 300)), fails(Status::System, &text));
    let of_attribute = format!("Value cannot be revalidated: Cannot get max_pfn: {text}");
    // The reference crashes the second time.
    for _ in 0..3 {
        assert_eq!(failure(dump.number("max_pfn")), fails(Status::System, &of_attribute));
    }
    source.script().clear();
    let data = layout.records[4] + 16;
    source.script().add(When::Touches(data..data + 1), Fault::Fail("Input/output error".into()));
    let text = format!("Cannot read page data at {data}: Input/output error");
    assert_eq!(failure(page(&dump, 300)), fails(Status::System, &text));
    source.script().clear();
    assert_eq!(dump.number("max_pfn").unwrap(), 301);
    examine(&dump, 0);
}

// --- Sharing -------------------------------------------------------------------

// Checklist "LKCD sharing".
#[cfg(any(feature = "std-threads", feature = "spin-threads"))]
#[test]
fn clones_that_read_at_the_same_time_share_what_they_found() {
    const PAGES: u64 = 3000;
    let mut order: Vec<u64> = (0..PAGES).collect();
    Rng::new(8).shuffle(&mut order);
    let mut builder = LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little);
    for &pfn in &order {
        builder = builder.packed(pfn, Method::Gzip.pack(&text(pfn)).unwrap());
    }
    let source = Shared::new(FaultyReader::new(builder.build()));
    let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let clone = dump.clone();
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                if thread == 3 {
                    assert_eq!(clone.number("max_pfn").unwrap(), PAGES);
                }
                for _ in 0..500 {
                    let pfn = rng.below(PAGES + 20);
                    match page(&clone, pfn) {
                        Ok(bytes) => assert!(bytes == text(pfn), "page {pfn}"),
                        Err(error) => assert!(pfn >= PAGES, "page {pfn}: {error}"),
                    }
                }
            });
        }
    });
    // Four clones, each of them with its own look at a batch, at the worst.
    let descriptors = source.script().calls().iter().filter(|call| call.len == 16).count() as u64;
    assert!(descriptors < 4 * PAGES + 4 * 2000, "{descriptors} descriptors read");
    assert_eq!(stored(&dump), [(0, PAGES - 1)]);
}

// --- Memory --------------------------------------------------------------------

#[test]
fn sizes_that_records_claim_take_no_memory() {
    let mut builder = LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little).page_size(1 << 31);
    for pfn in 0..4 {
        builder = builder.record(Record::new(pfn << 31, RAW, []).sized(1 << 31));
    }
    let (parts, _) = builder.build_parts();
    let file = parts.into_iter().fold(Sparse::new(0), |file, (at, bytes)| file.with(at, bytes));
    let dump = try_open_sources(vec![Shared::new(file)]).unwrap();
    let text = "Cannot allocate page buffer (2147483648 bytes)";
    let result = dump.read(kdumpfile::Space::MachinePhysical, 1 << 31, &mut [0]);
    assert_eq!(failure(result), fails(Status::System, text));
    assert_eq!(dump.number("max_pfn").unwrap(), 4);
    assert_ne!(page_bytes(1), text.as_bytes());
}
