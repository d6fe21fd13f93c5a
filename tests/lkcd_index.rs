//! How the records of an LKCD dump are found: pages in any order, what is in
//! the way, and where the chain ends. Numbers in comments are sections of the
//! format description; where the reference has a fault, the test shows the
//! right behaviour.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Status};
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::lkcd::{LkcdBuilder, RAW, Record};
use support::*;

fn v8() -> LkcdBuilder {
    LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little)
}

fn with(builder: LkcdBuilder, pfns: impl IntoIterator<Item = u64>) -> LkcdBuilder {
    builder.pages(pfns.into_iter().map(|pfn| (pfn, page_bytes(pfn))))
}

fn not_found() -> (Status, String) {
    fails(Status::NoData, "Page not found")
}

fn is_page(dump: &Context, pfn: u64) {
    assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "page {pfn:#x}");
}

fn sparse(builder: &LkcdBuilder) -> (Context, Vec<u64>) {
    let (parts, layout) = builder.build_parts();
    let file = parts.into_iter().fold(Sparse::new(0), |file, (at, bytes)| file.with(at, bytes));
    (try_open_sources(vec![Shared::new(file)]).unwrap(), layout.records)
}

// 3.10: pages may come in any order.
#[test]
fn pages_out_of_order_and_gaps_that_are_filled_later_are_found() {
    let mut pfns: Vec<u64> = (0..700).filter(|pfn| pfn % 5 != 0).chain([1 << 40, 1 << 20]).collect();
    for seed in 0..3 {
        let mut rng = Rng::new(seed);
        rng.shuffle(&mut pfns);
        let mut builder = v8();
        for &pfn in &pfns {
            builder =
                builder.packed(pfn, kdumpfile_testkit::compress::zlib(&pfn.to_le_bytes().repeat(512), 1));
        }
        let dump = open(builder.build());
        let mut wanted = pfns.clone();
        rng.shuffle(&mut wanted);
        for pfn in wanted {
            assert!(page(&dump, pfn).unwrap() == pfn.to_le_bytes().repeat(512), "seed {seed}: page {pfn:#x}");
            assert_eq!(failure(page(&dump, 5 * (pfn % 100))), not_found());
        }
        assert_eq!(dump.number("max_pfn").unwrap(), (1 << 40) + 1);
        assert_eq!(stored(&dump).len(), 142);
    }
}

// "Reference limits": it keeps 32 bits of a PFN.
#[test]
fn pfns_that_differ_by_a_multiple_of_4_gi_are_different_pages() {
    let pfns = [1, 1 | 1 << 32, 1 | 1 << 33, 1 << 51];
    let dump = open(with(v8(), pfns).build());
    for pfn in pfns {
        is_page(&dump, pfn);
    }
    assert_eq!(failure(page(&dump, 1 | 3 << 32)), not_found());
}

// Checklist "LKCD index": far-off neighbours, sizes of pages that nobody reads.
#[test]
fn neighbours_may_be_more_than_4_gib_apart_in_the_file() {
    let far = |pfn: u64| Record::new(pfn << 12, RAW, []).sized(0xf000_0000);
    let mut builder = v8();
    // A split of an index block in all places (where the reference frees twice).
    for pfn in 0..40 {
        builder = builder.page(2 * pfn, page_bytes(2 * pfn)).record(far(1000 + pfn));
    }
    for pfn in (0..40).rev() {
        builder = builder.page(2 * pfn + 1, page_bytes(2 * pfn + 1)).record(far(2000 + pfn));
    }
    let (dump, records) = sparse(&builder);
    assert!(records[2] - records[0] < 1 << 32 && records[4] - records[0] > 1 << 32);
    for pfn in (0..80).rev() {
        is_page(&dump, pfn);
    }
    assert_eq!(failure(page(&dump, 1003)), fails(Status::Corrupt, "Wrong page size: 4026531840"));
    assert_eq!(failure(page(&dump, 81)), not_found());
    assert_eq!(stored(&dump), [(0, 79), (1000, 1039), (2000, 2039)]);
}

// 3.10.3.c.
#[test]
fn a_duplicate_stops_the_scan_when_it_is_met_and_not_before() {
    let builder = with(v8(), [5, 6, 7, 2, 6, 8, 9]);
    let (file, layout) = builder.build_with_layout();
    let dump = open(file.clone());
    let text = format!("Duplicate PFN 0x6 at {} (previous {})", layout.records[4], layout.records[1]);
    let duplicate = fails(Status::Corrupt, &text);
    is_page(&dump, 6);
    is_page(&dump, 5);
    is_page(&dump, 7);
    for _ in 0..3 {
        // Behind it, or nowhere; every time again.
        assert_eq!(failure(page(&dump, 8)), duplicate);
        assert_eq!(failure(page(&dump, 1234)), duplicate);
        for pfn in [5, 6, 7] {
            is_page(&dump, pfn);
        }
        let (status, said) = failure(dump.number("max_pfn"));
        assert_eq!(
            (status, said),
            fails(Status::Corrupt, &format!("Value cannot be revalidated: Cannot get max_pfn: {text}"))
        );
        // What can be read is there, with the reason behind the last page.
        let pagemap = dump.bitmap("file.pagemap").unwrap();
        let mut ranges = pagemap.ranges();
        assert_eq!(ranges.next().unwrap().unwrap(), (2, 2));
        assert_eq!(ranges.next().unwrap().unwrap(), (5, 7));
        assert_eq!(failure(ranges.next().unwrap()), duplicate);
        assert!(ranges.next().is_none());
        assert_eq!(pagemap.find_set(3).unwrap(), 5);
        assert_eq!(failure(pagemap.find_set(8)), duplicate);
    }
    // All pages in front of it are known even if the first look goes too far.
    let dump = open(file);
    assert_eq!(failure(page(&dump, 9)), duplicate);
    is_page(&dump, 7);
}

// "Reference limits": it misses some.
#[test]
fn duplicates_are_noticed_wherever_they_are() {
    let mut rng = Rng::new(5);
    for _ in 0..60 {
        let count = 1 + rng.below(1500);
        let stride = 1 + rng.below(20);
        let mut pfns: Vec<u64> = (0..count).map(|n| n * stride).collect();
        if rng.below(2) == 0 {
            rng.shuffle(&mut pfns);
        }
        let earlier = rng.below(count) as usize;
        let at = earlier + 1 + rng.below(count - earlier as u64) as usize;
        pfns.insert(at, pfns[earlier]);
        let mut builder = v8();
        for &pfn in &pfns {
            builder = builder.packed(pfn, []);
        }
        let (file, layout) = builder.build_with_layout();
        let text = format!(
            "Duplicate PFN {:#x} at {} (previous {})",
            pfns[earlier], layout.records[at], layout.records[earlier]
        );
        assert_eq!(failure(page(&open(file), 1 << 40)), fails(Status::Corrupt, &text));
    }
}

// 3.7.
#[test]
fn an_end_marker_ends_the_dump_whatever_else_it_says() {
    for flags in [4, 5, 6, 7, 0xffff_ffff] {
        let marker = Record::new(8 << 12, flags, page_bytes(8));
        let dump = open(with(with(v8(), [3]).record(marker), [9]).build());
        is_page(&dump, 3);
        assert_eq!(failure(page(&dump, 8)), not_found());
        assert_eq!(failure(page(&dump, 9)), not_found());
        assert_eq!(dump.number("max_pfn").unwrap(), 4);
    }
}

// 3.10 "No end marker".
#[test]
fn a_dump_without_end_marker_ends_with_the_file() {
    for pfns in [&[0, 1, 5][..], &[1, 5], &[]] {
        let dump = open(with(v8(), pfns.iter().copied()).without_end().build());
        for _ in 0..2 {
            for missing in [0, 2, 1 << 30] {
                if !pfns.contains(&missing) {
                    assert_eq!(failure(page(&dump, missing)), not_found(), "page {missing} of {pfns:?}");
                }
            }
            for &pfn in pfns {
                is_page(&dump, pfn);
            }
        }
        assert_eq!(dump.number("max_pfn").unwrap(), pfns.iter().max().map_or(0, |pfn| pfn + 1));
    }
}

/// Bytes of unknown length.
struct Endless(Vec<u8>);

impl kdumpfile::io::ReadAt for Endless {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> kdumpfile::Result<usize> {
        self.0.read_at(pos, buf)
    }
}

#[test]
fn a_source_that_does_not_know_its_end_has_one() {
    let file = with(v8(), [1, 5]).without_end().build();
    let dump = try_open_sources(vec![Shared::new(Endless(file))]).unwrap();
    assert_eq!(failure(page(&dump, 0)), not_found());
    assert_eq!(dump.number("max_pfn").unwrap(), 6);
    is_page(&dump, 5);
}

// Under policy "always" what is behind the end must not be touched, and is not.
#[test]
fn the_end_of_the_file_is_the_end_under_every_policy() {
    for policy in 0..4 {
        for pfns in [vec![1, 5], (1..40).collect()] {
            let dump = Context::new();
            set(&dump, "file.mmap_policy", policy);
            dump.open_bytes(with(v8(), pfns).without_end().build()).unwrap();
            assert_eq!(failure(page(&dump, 0)), not_found(), "policy {policy}");
            is_page(&dump, 5);
        }
    }
}

// 3.7: sizes may be anything while records are followed.
#[test]
fn a_record_that_claims_more_than_the_file_is_the_last_one() {
    for size in [0x7fff_ffff, 0xa000_0000, u32::MAX] {
        let builder = with(v8(), [1, 2]).record(Record::new(3 << 12, RAW, []).sized(size)).without_end();
        let dump = open(builder.build());
        assert_eq!(failure(page(&dump, 9)), not_found());
        assert_eq!(failure(page(&dump, 3)), fails(Status::Corrupt, &format!("Wrong page size: {size}")));
        assert_eq!(dump.number("max_pfn").unwrap(), 4);
        is_page(&dump, 2);
    }
}

// 3.10: `max_pfn` before and after page reads; page reads do not look at it.
#[test]
fn max_pfn_is_known_when_somebody_asks_for_it() {
    let dump = open(with(v8(), [3, 9, 4]).build());
    is_page(&dump, 3);
    assert_eq!(failure(page(&dump, 10)), not_found());
    assert_eq!(dump.number("max_pfn").unwrap(), 10);
    let dump = open(with(v8(), [3, 9, 4]).build());
    assert_eq!(dump.number("max_pfn").unwrap(), 10);
    is_page(&dump, 4);
    set(&dump, "max_pfn", 2);
    is_page(&dump, 9);
    // No pages at all.
    assert_eq!(open(v8().build()).number("max_pfn").unwrap(), 0);
    assert_eq!(stored(&open(v8().build())), []);
}

// The units are those of the file, whatever the user thinks of pages.
#[test]
fn another_page_size_of_the_user_does_not_move_pages() {
    let dump = open(with(v8(), [1, 2, 3]).build());
    is_page(&dump, 2);
    set(&dump, "arch.page_size", 8192);
    for pfn in [1, 2, 3] {
        is_page(&dump, pfn);
    }
}

fn watched(file: Vec<u8>) -> (Context, Shared<FaultyReader<Vec<u8>>>) {
    let reader = Shared::new(FaultyReader::new(file));
    (try_open_sources(vec![reader.clone() as Source]).unwrap(), reader)
}

// 3.10: a missing page costs one scan; then all of them are known.
#[test]
fn records_are_read_when_they_are_needed_and_once() {
    let (file, layout) = with(v8(), [0, 1, 2, 3, 4, 5]).build_with_layout();
    let (dump, reader) = watched(file);
    let script = reader.script();
    let farthest = || script.calls().iter().map(|call| call.pos + call.len as u64).max().unwrap();
    assert!(farthest() < 65536);
    is_page(&dump, 1);
    assert!(farthest() <= layout.records[2]);
    assert_eq!(failure(page(&dump, 77)), not_found());
    assert_eq!(farthest(), layout.end + 16);
    let before = script.calls().len();
    for missing in 100..200 {
        assert_eq!(failure(page(&dump, missing)), not_found());
    }
    assert_eq!(dump.number("max_pfn").unwrap(), 6);
    assert_eq!(stored(&dump), [(0, 5)]);
    assert_eq!(script.calls().len(), before);
}
