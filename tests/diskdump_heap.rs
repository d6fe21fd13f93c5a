//! How much memory opening a dump takes, measured with a counting allocator.
//! The tests of this program take turns, because they share one counter.

mod support;

use std::time::{Duration, Instant};

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Status};
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::flatten::{Flattener, Record};
use kdumpfile_testkit::image::{Rng, page_bytes};
use support::*;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

struct Cost {
    peak: usize,
    resident: usize,
    time: Duration,
}

/// Runs `body` and tells what it took and what its result holds.
fn measure<T>(body: impl FnOnce() -> T) -> (T, Cost) {
    let start = Instant::now();
    let (result, peak, resident) = ALLOCATOR.measure(body);
    (result, Cost { peak, resident, time: start.elapsed() })
}

const MIB: usize = 1 << 20;

fn opened(file: Source) -> (Result<Context>, Cost) {
    measure(|| try_open_sources(vec![file]))
}

#[test]
fn a_file_of_1_kib_that_claims_2_to_the_52_pages_costs_less_than_1_mib() {
    for (version, blocks, word_limit) in [
        (6, 2u64, 0x1_0000u64),
        (6, 0xffff_ffff, 0xffff_ffff),
        (5, 0xffff_ffff, 0xffff_ffff),
        (0, 0xffff_ffff, 0xffff_ffff),
        (6, 0x8000_0000, 0xffff_ffff),
    ] {
        for block_size in [4096u32, 262_144] {
            let mut file = DiskdumpBuilder::default()
                .version(version)
                .block_size(block_size)
                .patch("bitmap_blocks", blocks)
                .patch("max_mapnr", word_limit)
                .patch("max_mapnr_64", 1 << 52)
                .build();
            file.truncate(1024);
            let (result, cost) = opened(source(file));
            assert!(cost.peak < MIB, "version {version}, {blocks} blocks: {} bytes", cost.peak);
            let Ok(dump) = result else { continue };
            let (_, cost) = measure(|| {
                assert!(ram(&dump).is_empty() && stored(&dump).is_empty());
                for pfn in [0, 1 << 20, (1 << 52) - 1] {
                    assert_eq!(failure(page(&dump, pfn % (1 << 51))).0, Status::NoData);
                }
            });
            assert!(cost.peak < MIB, "version {version}: {} bytes to read", cost.peak);
        }
    }
}

#[test]
fn a_small_stream_that_claims_2_to_the_52_pages_costs_less_than_1_mib() {
    let mut file = DiskdumpBuilder::default()
        .patch("bitmap_blocks", 0xffff_ffff)
        .patch("max_mapnr", 0xffff_ffff)
        .patch("max_mapnr_64", 1 << 52)
        .build();
    file.truncate(8192);
    let stream = Flattener::new().record(Record::new((1 << 62) - 1, b"x")).flatten(&file);
    let (result, cost) = opened(source(stream));
    assert!(cost.peak < MIB, "{} bytes", cost.peak);
    assert!(cost.time < Duration::from_secs(5), "{:?}", cost.time);
    if let Ok(dump) = result {
        assert_eq!(failure(page(&dump, 0)).0, Status::NoData);
    }
}

#[test]
fn lying_sizes_of_notes_and_texts_cost_little() {
    for field in ["note", "vmcoreinfo", "eraseinfo"] {
        for (version, size) in [(6, u64::MAX), (6, 1 << 40), (6, 200 << 20), (3, 1 << 40), (5, 255 << 20)] {
            let file = dump_of([0])
                .version(version)
                .patch(&format!("offset_{field}"), 5000)
                .patch(&format!("size_{field}"), size)
                .build();
            let (_, cost) = opened(source(file));
            assert!(cost.peak < 8 * MIB, "{field} of {size} bytes: {} bytes", cost.peak);
        }
    }
}

/// A dump of `limit` pages of 4 KiB, of which a few are stored.
fn sparse_dump(limit: u64) -> (Sparse, Vec<u64>) {
    let blocks = limit.div_ceil(8).div_ceil(4096);
    let head = DiskdumpBuilder::default()
        .patch("bitmap_blocks", 2 * blocks)
        .patch("max_mapnr", limit.min(0xffff_ffff))
        .patch("max_mapnr_64", limit)
        .build();
    let second = 8192 + blocks * 4096;
    let descriptors = second + blocks * 4096;
    let data = descriptors + 4096;
    let pfns = vec![0, 1, limit / 3, limit / 2, limit - 1];
    let mut file = Sparse::new(limit * 4096).with(0, head[..8192].to_vec());
    let mut table = Vec::new();
    for (i, &pfn) in pfns.iter().enumerate() {
        let at = data + i as u64 * 4096;
        table.extend(at.to_le_bytes());
        table.extend(4096u32.to_le_bytes());
        table.extend([0; 12]);
        file = file.with(at, page_bytes(pfn));
    }
    file = file.with(second, vec![0b11]);
    for &pfn in &pfns[2..] {
        file = file.with(second + pfn / 8, vec![1 << (pfn % 8)]);
    }
    (file.with(descriptors, table), pfns)
}

#[test]
fn sparse_dumps_of_1_and_16_tib_are_opened_in_little_memory() {
    // 32 bytes for 65 536 pages, and twice that while the table grows.
    for (tib, most) in [(1u64, MIB), (16, 4 * MIB)] {
        let limit = (tib << 40) / 4096;
        let (file, pfns) = sparse_dump(limit);
        let (result, cost) = opened(Shared::new(file));
        let dump = result.unwrap();
        eprintln!("{tib} TiB: peak {} bytes, resident {}, {:?}", cost.peak, cost.resident, cost.time);
        assert!(cost.peak < most, "{tib} TiB: {} bytes", cost.peak);
        assert_eq!(dump.number("max_pfn").unwrap(), limit);
        for &pfn in &pfns {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{tib} TiB: {pfn}");
        }
        assert_eq!(failure(page(&dump, limit / 2 + 1)), excluded());
        assert_eq!(stored(&dump)[0], (0, 1));
        assert_eq!(stored(&dump).len(), 4);
    }
}

#[cfg(feature = "std")]
#[test]
fn a_sparse_file_of_1_tib_on_disk_is_opened_in_little_memory() {
    use std::io::{Seek, SeekFrom, Write};
    let dir = kdumpfile_testkit::peer::scratch_dir("sparse");
    let path = dir.join("vmcore");
    let limit = (1u64 << 40) / 4096;
    let (sparse, pfns) = sparse_dump(limit);
    let mut file = std::fs::File::create(&path).unwrap();
    // File systems differ in how large a file may be.
    if file.set_len(limit * 4096).is_ok() {
        for (position, bytes) in sparse.parts() {
            file.seek(SeekFrom::Start(position)).unwrap();
            file.write_all(bytes).unwrap();
        }
        drop(file);
        for policy in [0, 2] {
            let dump = Context::new();
            set(&dump, "file.mmap_policy", policy);
            let (result, cost) = measure(|| dump.open_paths(&[&path]));
            result.unwrap();
            eprintln!("1 TiB file: peak {} bytes, {:?}", cost.peak, cost.time);
            assert!(cost.peak < MIB, "{} bytes", cost.peak);
            for &pfn in &pfns {
                assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{pfn}");
            }
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// A stream of so many records of 8 bytes, in the order of `places`.
fn records(places: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut stream = Flattener::new().without_end_mark().stream(&[]);
    for place in places {
        stream.extend((place * 8).to_be_bytes());
        stream.extend(8u64.to_be_bytes());
        stream.extend(place.to_le_bytes());
    }
    stream.extend([0xff; 16]);
    stream
}

#[test]
fn a_million_records_take_at_most_32_bytes_each_and_no_quadratic_time() {
    const RECORDS: u64 = 1_000_000;
    let mut shuffled: Vec<u64> = (0..RECORDS).collect();
    Rng::new(4).shuffle(&mut shuffled);
    let half = RECORDS / 2;
    let orders: [(&str, Vec<u64>); 4] = [
        ("ascending", (0..RECORDS).collect()),
        ("descending", (0..RECORDS).rev().collect()),
        ("two interleaved runs", (0..half).flat_map(|i| [i, half + i]).collect()),
        ("shuffled", shuffled),
    ];
    for (name, places) in orders {
        let bytes = source(records(places.into_iter()));
        let (view, cost) = measure(|| kdumpfile::io::FlatView::open(bytes).unwrap());
        eprintln!("{name}: resident {} bytes, peak {}, {:?}", cost.resident, cost.peak, cost.time);
        assert!(cost.resident as u64 <= 32 * RECORDS, "{name}: {} bytes", cost.resident);
        assert!(cost.peak as u64 <= 80 * RECORDS, "{name}: {} bytes at most", cost.peak);
        // A quadratic map takes hours.
        assert!(cost.time < Duration::from_secs(20), "{name}: {:?}", cost.time);
        assert_eq!(view.segments() as u64, RECORDS);
        for place in [0, 1, half, RECORDS - 1] {
            let mut word = [0; 8];
            kdumpfile::io::read_zero_filled(&view, place * 8, &mut word).unwrap();
            assert_eq!(u64::from_le_bytes(word), place, "{name}");
        }
    }
}

// All records overlap others: the map may be twice as large, but no larger.
#[test]
fn a_hundred_thousand_overlapping_records_are_resolved_at_once() {
    const RECORDS: u64 = 100_000;
    let mut stream = Flattener::new().without_end_mark().stream(&[]);
    for n in 0..RECORDS {
        // Ever shorter records around one centre, then ever longer ones.
        let reach = if n < RECORDS / 2 { RECORDS - n } else { n - RECORDS / 2 } + 1;
        stream.extend((2 * RECORDS - reach).to_be_bytes());
        stream.extend(12u64.to_be_bytes());
        stream.extend([n as u8; 12]);
    }
    stream.extend([0xff; 16]);
    let bytes = source(stream);
    let (view, cost) = measure(|| kdumpfile::io::FlatView::open(bytes).unwrap());
    assert!(cost.resident as u64 <= 64 * RECORDS, "{} bytes", cost.resident);
    assert!(cost.time < Duration::from_secs(10), "{:?}", cost.time);
    assert!(view.segments() as u64 <= 2 * RECORDS);
}

#[test]
fn a_scan_of_all_pages_keeps_no_more_than_the_page_cache() {
    let notes = vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=1\n");
    let dump = open(dump_of(0..600).notes(notes).build());
    set(&dump, "cache.size", 16);
    let mut bytes = vec![0; 4096];
    let (_, cost) = measure(|| {
        for pfn in 0..600 {
            dump.read(kdumpfile::Space::MachinePhysical, pfn * 4096, &mut bytes).unwrap();
        }
    });
    assert!(cost.resident < 16 * 4096 + 256 * 1024, "{} bytes", cost.resident);
}
