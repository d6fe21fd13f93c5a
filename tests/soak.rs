//! Many threads on clones of a real dump, for as long as one likes.
//!
//! | variable | means | without it |
//! | --- | --- | --- |
//! | `KDUMPFILE_ROUNDS` | rounds of 2, 4 and 8 threads that read all | 3 |
//! | `KDUMPFILE_SOAK` | seconds of reading while everything changes | 2 |
#![cfg(any(feature = "std-threads", feature = "spin-threads"))]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kdumpfile::{CloneOptions, Context, Space, Status, Value};
use kdumpfile_testkit::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The tests take turns: one of them measures memory.
static ALONE: Mutex<()> = Mutex::new(());

/// A dump with many small pages that unpack quickly.
const DUMP: &str = "x86_64-6.1.kdump-lzo-d31";
const PAGE: usize = 4096;

fn number_from(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// The dump and the PFNs that it has; `None` if it is not here.
fn dump() -> Option<(Vec<u8>, Vec<u64>)> {
    let real = kdumpfile_testkit::dumps::real_dumps()?.into_iter().find(|dump| dump.name == DUMP)?;
    let file = std::fs::read(&real.files[0]).unwrap();
    let dump = opened(&file);
    let ranges = dump.bitmap("file.pagemap").unwrap().ranges().collect::<Result<Vec<_>, _>>().unwrap();
    Some((file, ranges.into_iter().flat_map(|(first, last)| first..=last).collect()))
}

fn opened(file: &[u8]) -> Context {
    let dump = Context::new();
    dump.open_bytes(file.to_vec()).unwrap();
    dump
}

/// Reads a page, again and again while every slot of the cache is taken;
/// counts how often that was.
fn read(dump: &Context, pfn: u64, page: &mut [u8], busy: &AtomicU64) {
    loop {
        match dump.read(Space::MachinePhysical, pfn * PAGE as u64, page) {
            Ok(()) => return,
            Err(error) if error.status() == Status::Busy => {
                busy.fetch_add(1, Relaxed);
                std::thread::yield_now();
            }
            Err(error) => panic!("PFN {pfn}: {error}"),
        }
    }
}

/// A hash that is quick to compute and changes with every bit.
fn hash_page(seed: u64, page: &[u8]) -> u64 {
    page.chunks_exact(8).fold(seed, |hash, word| {
        let word = u64::from_le_bytes(word.try_into().unwrap());
        (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
    })
}

/// Hash of all pages.
fn hash_all(dump: &Context, pfns: &[u64], busy: &AtomicU64) -> u64 {
    let mut page = [0; PAGE];
    pfns.iter().fold(0, |hash, pfn| {
        read(dump, *pfn, &mut page, busy);
        hash_page(hash, &page)
    })
}

/// The hash that each of `threads` threads computes, each on a clone.
fn hashes(dump: &Context, pfns: &[u64], threads: usize, busy: &AtomicU64) -> Vec<u64> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                let clone = dump.clone();
                scope.spawn(move || hash_all(&clone, pfns, busy))
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    })
}

#[test]
fn all_threads_of_all_rounds_compute_the_same_hash() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((file, pfns)) = dump() else { return };
    let busy = AtomicU64::new(0);
    let expected = hash_all(&opened(&file), &pfns, &busy);
    for round in 0..number_from("KDUMPFILE_ROUNDS", 3) {
        for threads in [2, 4, 8] {
            let dump = opened(&file);
            let found = hashes(&dump, &pfns, threads, &busy);
            assert!(found.iter().all(|hash| *hash == expected), "round {round}, {threads} threads");
        }
    }
    assert_eq!(busy.load(Relaxed), 0, "eight threads never take 1024 slots");
}

#[test]
fn two_slots_for_eight_threads_refuse_reads_and_retrying_ends() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((file, mut pfns)) = dump() else { return };
    pfns.truncate(4000);
    let busy = AtomicU64::new(0);
    let expected = hash_all(&opened(&file), &pfns, &busy);
    let dump = opened(&file);
    dump.set("cache.size", Value::Number(2)).unwrap();
    // How often depends on the machine; that it happens does not.
    for _ in 0..100 {
        assert!(hashes(&dump, &pfns, 8, &busy).iter().all(|hash| *hash == expected));
        if busy.load(Relaxed) > 0 {
            break;
        }
    }
    println!("busy: {} times in {} reads a thread", busy.load(Relaxed), pfns.len());
    assert!(busy.load(Relaxed) > 0);
    // Nobody has a slot any more, so all of them are there again.
    let before = busy.load(Relaxed);
    assert_eq!(hash_all(&dump, &pfns, &busy), expected);
    assert_eq!(busy.load(Relaxed), before);
}

/// One thing that a thread does to what all others are using.
fn meddle(dump: &Context, step: u64) -> Vec<Context> {
    match step % 8 {
        0 => dump.set("cache.size", Value::Number(8 + step % 100)).unwrap(),
        1 => dump.set("linux.uts.nodename", Value::from(&*format!("node {step}"))).unwrap(),
        2 => dump.set("file.zero_excluded", Value::Number(step / 8 % 2)).unwrap(),
        3 => assert!(dump.get("no.such.key").is_err()),
        4 => dump.clear(Some("linux.uts.nodename")).unwrap(),
        5 => dump.set("addrxlat.default.virt_bits", Value::Number(step % 64)).unwrap(),
        _ => {}
    }
    let apart = dump.clone_with(CloneOptions::new().own_translation(step.is_multiple_of(2)));
    apart.set("addrxlat.ostype", Value::from("linux")).unwrap();
    vec![apart.clone(), dump.clone(), apart]
}

#[test]
fn eight_readers_get_right_bytes_while_a_ninth_thread_changes_all_it_can() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((file, pfns)) = dump() else { return };
    let end = Instant::now() + Duration::from_secs(number_from("KDUMPFILE_SOAK", 2));
    let busy = AtomicU64::new(0);
    let expected: Vec<u64> = {
        let dump = opened(&file);
        let mut page = [0; PAGE];
        let hash = |pfn: &u64| {
            read(&dump, *pfn, &mut page, &busy);
            hash_page(0, &page)
        };
        pfns.iter().map(hash).collect()
    };
    // What threads and their stacks leave behind for the next ones is theirs.
    let mut resident = Vec::new();
    let reads = AtomicU64::new(0);
    let mut meddled = 0;
    while Instant::now() < end || resident.len() < 4 {
        let before = ALLOCATOR.used();
        let dump = opened(&file);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (clone, pfns, expected, busy, done, reads) =
                    (dump.clone(), &pfns, &expected, &busy, &done, &reads);
                scope.spawn(move || {
                    let mut page = [0; PAGE];
                    let mut at = thread * pfns.len() / 8;
                    while !done.load(Relaxed) {
                        read(&clone, pfns[at], &mut page, busy);
                        assert_eq!(hash_page(0, &page), expected[at], "PFN {}", pfns[at]);
                        at = (at * 5 + thread + 1) % pfns.len();
                        reads.fetch_add(1, Relaxed);
                    }
                });
            }
            // The threads end even if this one fails.
            let round = Instant::now() + Duration::from_millis(450);
            let meddling = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut family = Vec::new();
                while Instant::now() < round {
                    family.extend(meddle(&dump, meddled));
                    family.drain(..family.len().saturating_sub(6));
                    meddled += 1;
                }
            }));
            done.store(true, Relaxed);
            meddling.unwrap();
        });
        drop(dump);
        resident.push(ALLOCATOR.used().saturating_sub(before));
    }
    println!(
        "{} reads, {} of them busy at first, {meddled} changes, {} dumps; last ones left {:?} bytes",
        reads.load(Relaxed),
        busy.load(Relaxed),
        resident.len(),
        &resident[resident.len().saturating_sub(5)..]
    );
    // What is left after a dump would be left again after each of them.
    let leaked = resident.iter().skip(1).min().copied().unwrap_or(0);
    assert!(leaked < 1024, "each dump leaves {leaked} bytes: {resident:?}");
}
