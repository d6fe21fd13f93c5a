//! Separate dumps in separate threads, which every build promises, also the
//! one without threads: each thread makes its own context.

mod context_support;

use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use context_support::{failure, page, set};
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Space, Status};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::dumps::real_dump;
use kdumpfile_testkit::image::PageHasher;

const THREADS: u64 = 8;

/// Pages of each dump; the first thread's dump has fewest.
fn pages_of(thread: u64) -> u64 {
    40 + thread
}

/// A dump that no other thread has: its pages, its text and its codec.
fn dump_of(thread: u64) -> Vec<u8> {
    let codecs = [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd];
    let pages = (0..pages_of(thread)).map(|pfn| (pfn, page(thread, pfn)));
    DiskdumpBuilder::default()
        .pages(pages, codecs[thread as usize % codecs.len()])
        .vmcoreinfo(format!("OSRELEASE=6.1.{thread}\n"))
        .build()
}

/// Runs `body` in eight threads at once, each with its number.
fn in_threads(body: impl Fn(u64) + Sync) {
    let start = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (body, start) = (&body, &start);
            scope.spawn(move || {
                start.wait();
                body(number);
            });
        }
    });
}

/// Reads everything that makes the dump of this thread, and what it lacks.
fn check(dump: &Context, thread: u64) {
    assert_eq!(dump.string("linux.uts.release").unwrap(), format!("6.1.{thread}"));
    let map = dump.bitmap("file.pagemap").unwrap();
    let ranges: Vec<_> = map.ranges().map(|range| range.unwrap()).collect();
    assert_eq!(ranges, [(0, pages_of(thread) - 1)]);
    for pfn in 0..pages_of(thread) {
        let mut bytes = vec![0; 4096];
        dump.read(Space::MachinePhysical, pfn << 12, &mut bytes).unwrap();
        assert!(bytes == page(thread, pfn), "page {pfn} of dump {thread}");
    }
    let behind = pages_of(thread) << 12;
    let (status, _) = failure(dump.read(Space::MachinePhysical, behind, &mut [0]));
    assert_eq!(status, Status::NoData);
}

#[test]
fn eight_threads_read_a_dump_of_their_own_each() {
    let files: Vec<Vec<u8>> = (0..THREADS).map(dump_of).collect();
    in_threads(|number| {
        for round in 0..5 {
            let dump = Context::new();
            dump.open_bytes(files[number as usize].clone()).unwrap();
            // A clone in the same thread, in the build without threads too.
            let clone = dump.clone();
            set(&dump, "cache.size", 1 + number + round).unwrap();
            check(&dump, number);
            check(&clone, number);
            assert_eq!(clone.number("cache.size").unwrap(), 1 + number + round, "no other dump's");
            let counted = dump.number("cache.hits").unwrap() + dump.number("cache.misses").unwrap();
            // Its own reads, also those of what it lacks, and nobody else's.
            assert_eq!(counted, 2 * (pages_of(number) + 1));
        }
    });
}

#[test]
fn eight_threads_fail_each_in_its_own_way() {
    in_threads(|number| {
        let dump = Context::new();
        for round in 0..100 {
            let key = format!("nothing.{number}.{round}");
            assert_eq!(failure(dump.get(&key)).0, Status::NoKey);
            // Odd ones have no dump that could be opened.
            let bytes = if number % 2 == 0 { dump_of(number) } else { vec![number as u8; 4096] };
            let opened = dump.open_bytes(bytes);
            assert_eq!(opened.is_ok(), number % 2 == 0);
            assert_eq!(dump.last_error(), opened.err());
        }
    });
}

#[test]
fn eight_threads_read_real_dumps_of_their_own() {
    let names = [
        "x86_64-6.1.kdump-snappy-d31",
        "arm64-6.1.kdump-zlib-d31",
        "x86_64-6.1.kdump-zstd-d31",
        "kdump-ppc64el.kdump-zlib-d31",
    ];
    let real: Vec<_> = names.iter().filter_map(|name| real_dump(name)).collect();
    if real.is_empty() {
        return;
    }
    let start = Instant::now();
    in_threads(|number| {
        let real = &real[number as usize % real.len()];
        let sources = real.files.iter().map(|file| Shared::new(std::fs::read(file).unwrap()) as Source);
        let dump = Context::new();
        dump.open(sources.collect()).unwrap();
        let truth = real.truth().as_opened().pages().unwrap();
        let mut hasher = PageHasher::new(truth.page_size);
        let mut bytes = vec![0; truth.page_size as usize];
        for range in dump.bitmap("file.pagemap").unwrap().ranges() {
            let (first, last) = range.unwrap();
            for pfn in first..=last {
                dump.read(Space::MachinePhysical, pfn * truth.page_size, &mut bytes).unwrap();
                hasher.page(pfn, &bytes);
            }
        }
        let ours = hasher.finish();
        assert_eq!((ours.read_ok, ours.sha256), (truth.read_ok, truth.sha256), "{}", real.name);
    });
    println!("{} real dumps in {THREADS} threads, {:.1} s", real.len(), start.elapsed().as_secs_f64());
}

#[cfg(any(feature = "std-threads", feature = "spin-threads"))]
#[test]
fn contexts_made_in_one_thread_are_used_and_dropped_in_others() {
    let made: Vec<Context> = (0..THREADS)
        .map(|number| {
            let dump = Context::new();
            dump.open_bytes(dump_of(number)).unwrap();
            // What the first thread has read comes along.
            check(&dump, number);
            dump
        })
        .collect();
    let threads: Vec<_> = (0..THREADS)
        .zip(made)
        .map(|(number, dump)| {
            thread::spawn(move || {
                assert_eq!(dump.last_error().unwrap().status(), Status::NoData, "of the first thread");
                check(&dump, number);
                dump
            })
        })
        .collect();
    // Every other one goes on here, the rest ends with its thread.
    for (number, thread) in (0..THREADS).zip(threads) {
        let dump = thread.join().unwrap();
        if number % 2 == 0 {
            check(&dump, number);
        } else {
            thread::spawn(move || drop(dump)).join().unwrap();
        }
    }
}
