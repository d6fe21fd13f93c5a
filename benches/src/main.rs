//! Measures kdumpfile side by side with the C library, in one run, on the
//! same files, in turn: `cargo run --release -p kdumpfile-bench [FILE...]`.
//!
//! | case | what is timed |
//! | --- | --- |
//! | scan, n threads | opening, then reading each page in the dump once, in order |
//! | warm, n pages | random 8-byte reads, all of them in cached pages |
//!
//! Each row gives the peer's time divided by ours: above 1 we are faster. The
//! median, minimum and maximum are those of the ratios of single rounds.
//! Without FILE the real dumps that the tests use are measured.

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use kdumpfile::{Context, Space};

mod peer;

use peer::Peer;

/// Rounds of each case, after one that is not counted.
const ROUNDS: usize = 7;
/// Reads in one round of a warm case.
const READS: u64 = 300_000;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One dump and what is read from it.
struct Case {
    name: String,
    paths: Vec<PathBuf>,
    page_size: u64,
    /// Inclusive ranges of PFNs that are present.
    ranges: Vec<(u64, u64)>,
}

impl Case {
    fn new(name: String, paths: Vec<PathBuf>) -> Outcome<Case> {
        let dump = Context::new();
        dump.open_paths(&paths)?;
        let page_size = dump.number("arch.page_size")?;
        let ranges = dump.bitmap("file.pagemap")?.ranges().collect::<Result<_, _>>()?;
        Ok(Case { name, paths, page_size, ranges })
    }

    fn pages(&self) -> u64 {
        self.ranges.iter().map(|(first, last)| last - first + 1).sum()
    }

    /// Addresses of the present pages that worker `worker` of `workers` reads:
    /// each takes its share of the pages as one piece.
    fn addresses(&self, worker: u64, workers: u64) -> impl Iterator<Item = u64> + '_ {
        let share = self.pages().div_ceil(workers);
        let pfns = self.ranges.iter().flat_map(|(first, last)| *first..=*last);
        pfns.skip((worker * share) as usize).take(share as usize).map(|pfn| pfn * self.page_size)
    }
}

/// A page in a larger buffer, at an address that is a multiple of 4 KiB for
/// both: how fast bytes are copied depends on where they go.
struct PageBuffer(Vec<u8>, usize);

impl PageBuffer {
    fn new(page_size: u64) -> Self {
        let buffer = vec![0; page_size as usize + 4096];
        let start = buffer.as_ptr().align_offset(4096);
        PageBuffer(buffer, start)
    }

    fn bytes(&mut self) -> &mut [u8] {
        let end = self.0.len() - 4096 + self.1;
        &mut self.0[self.1..end]
    }
}

/// Opens the dump and reads all pages with `workers` threads.
fn scan_ours(case: &Case, workers: u64) -> Outcome<Duration> {
    let start = Instant::now();
    let dump = Context::new();
    dump.open_paths(&case.paths)?;
    std::thread::scope(|scope| {
        for worker in 0..workers {
            let dump = dump.clone();
            scope.spawn(move || {
                let mut page = PageBuffer::new(case.page_size);
                for address in case.addresses(worker, workers) {
                    // A page that one of the two cannot read, the other cannot either.
                    let _ = dump.read(Space::MachinePhysical, address, page.bytes());
                    black_box(&mut page);
                }
            });
        }
    });
    Ok(start.elapsed())
}

fn scan_peer(peer: &Peer, case: &Case, workers: u64) -> Outcome<Duration> {
    let start = Instant::now();
    let dump = peer.open(&case.paths)?;
    std::thread::scope(|scope| -> Outcome<()> {
        for worker in 0..workers {
            let mut dump = dump.try_clone().ok_or("kdump_clone failed")?;
            scope.spawn(move || {
                let mut page = PageBuffer::new(case.page_size);
                for address in case.addresses(worker, workers) {
                    black_box(dump.read(address, page.bytes()));
                    black_box(&mut page);
                }
            });
        }
        Ok(())
    })?;
    Ok(start.elapsed())
}

/// A small generator: the same addresses for both, no cost worth mentioning.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Times `READS` random 8-byte reads within the first `pages` pages.
fn warm(case: &Case, pages: usize, mut read: impl FnMut(u64, &mut [u8])) -> Duration {
    let pages: Vec<u64> = case.addresses(0, 1).take(pages).collect();
    let mut bytes = [0; 8];
    for _ in 0..2 {
        for address in &pages {
            read(*address, &mut bytes);
        }
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let start = Instant::now();
    for _ in 0..READS {
        let number = random.next();
        let page = pages[(number % pages.len() as u64) as usize];
        read(page + ((number >> 32) % (case.page_size / 8)) * 8, &mut bytes);
        black_box(&bytes);
    }
    start.elapsed()
}

/// Runs both in turn and prints the ratios.
fn compare(
    name: &str,
    unit: u64,
    mut ours: impl FnMut() -> Outcome<Duration>,
    mut peer: impl FnMut() -> Outcome<Duration>,
) -> Outcome<()> {
    ours()?;
    peer()?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (a, b) = (ours()?, peer()?);
        rounds.push((b.as_secs_f64() / a.as_secs_f64(), a, b));
    }
    rounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (ratio, a, b) = rounds[ROUNDS / 2];
    let per = |time: Duration| time.as_secs_f64() * 1e6 / unit as f64;
    let (low, high) = (rounds[0].0, rounds[ROUNDS - 1].0);
    println!("| {name} | {ratio:.2} | {low:.2} - {high:.2} | {:.3} us | {:.3} us |", per(a), per(b));
    Ok(())
}

fn main() -> Outcome<()> {
    let peer = Peer::load().ok_or("libkdumpfile.so.10 is not installed (Debian: libkdumpfile10)")?;
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut cases = Vec::new();
    if files.is_empty() {
        for dump in kdumpfile_testkit::dumps::real_dumps().into_iter().flatten() {
            cases.push(Case::new(dump.name.clone(), dump.files.clone())?);
        }
    } else {
        for file in files {
            cases.push(Case::new(file.display().to_string(), vec![file])?);
        }
    }
    println!("| case | peer / ours | range | ours | peer |");
    println!("| --- | --- | --- | --- | --- |");
    for case in &cases {
        let mut other = match peer.open(&case.paths) {
            Ok(other) => other,
            Err(refusal) => {
                println!("| {}: not compared, {refusal} | | | | |", case.name);
                continue;
            }
        };
        for workers in [1, 2] {
            compare(
                &format!("{}: scan, {workers} thread(s), a page", case.name),
                case.pages(),
                || scan_ours(case, workers),
                || scan_peer(&peer, case, workers),
            )?;
        }
        let dump = Context::new();
        dump.open_paths(&case.paths)?;
        for pages in [64, 900] {
            compare(
                &format!("{}: warm, {pages} pages, a read", case.name),
                READS,
                || {
                    Ok(warm(case, pages, |address, bytes| {
                        let _ = dump.read(Space::MachinePhysical, address, bytes);
                    }))
                },
                || {
                    Ok(warm(case, pages, |address, bytes| {
                        black_box(other.read(address, bytes));
                    }))
                },
            )?;
        }
    }
    Ok(())
}
