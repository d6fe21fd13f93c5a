//! Measures kdumpfile side by side with the C library, in one run, on the
//! same files, in turn: `cargo run --release -p kdumpfile-bench [FILE...]`.
//!
//! | case | what is timed |
//! | --- | --- |
//! | open | opening, and reading one page |
//! | scan, n threads | reading each page in the dump, in order, several times over |
//! | warm, n pages | random 8-byte reads, all of them in cached pages |
//! | virtual set-up | opening, saying that it is Linux, and reading by a virtual address |
//! | text, direct map | random 8-byte reads by virtual addresses of the kernel |
//!
//! Threads that scan take blocks of 64 pages from one list, whoever is ready
//! next: no thread is idle because its share of the dump was easier. The dump
//! is open and the contexts are cloned before the clock starts, and there are
//! as many passes as make a run long enough that starting threads does not
//! count. All of this is the same for both libraries.
//!
//! Each row gives the peer's time divided by ours: above 1 we are faster. The
//! median, minimum and maximum are those of the ratios of single rounds. The
//! rows `2 threads against 1` give how many times as fast two threads are,
//! each library against itself, of the fastest rounds; 2 is the ideal.
//! Without FILE the real dumps that the tests use are measured. Hit ratios are
//! compared by `--bin hit-ratio`.

use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kdumpfile::{Context, Space, Value};

mod peer;

use kdumpfile_bench::traces::Random;
use peer::{Peer, PeerDump};

/// Rounds of each case, after one that is not counted.
const ROUNDS: usize = 7;
/// Reads in one round of a warm case.
const READS: u64 = 300_000;
/// Pages that a thread takes at a time.
const BLOCK: usize = 64;
/// Pages that are read in one round of a scan, at least.
const SCANNED: usize = 60_000;

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

    /// Addresses of the present pages.
    fn addresses(&self) -> Vec<u64> {
        let pfns = self.ranges.iter().flat_map(|(first, last)| *first..=*last);
        pfns.map(|pfn| pfn * self.page_size).collect()
    }

    /// The same, as often as makes a scan long enough to be timed.
    fn scan(&self) -> Vec<u64> {
        let pages = self.addresses();
        let passes = SCANNED.div_ceil(pages.len().max(1));
        pages.repeat(passes)
    }
}

/// One context of either library.
trait Dump: Send + Sized {
    fn another(&self) -> Outcome<Self>;
    /// A page that one of the two cannot read, the other cannot either.
    fn read(&mut self, space: Space, address: u64, bytes: &mut [u8]);
}

impl Dump for Context {
    fn another(&self) -> Outcome<Self> {
        Ok(self.clone())
    }

    fn read(&mut self, space: Space, address: u64, bytes: &mut [u8]) {
        let _ = Context::read(self, space, address, bytes);
    }
}

impl Dump for PeerDump<'_> {
    fn another(&self) -> Outcome<Self> {
        self.try_clone().ok_or_else(|| "kdump_clone failed".into())
    }

    fn read(&mut self, space: Space, address: u64, bytes: &mut [u8]) {
        black_box(PeerDump::read(self, space, address, bytes));
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

/// Runs `work` in threads, each with a clone and a number, and times them from
/// the moment at which all are ready.
fn in_threads<D: Dump>(dump: &D, threads: usize, work: impl Fn(D, usize) + Sync) -> Outcome<Duration> {
    let clones = (0..threads).map(|_| dump.another()).collect::<Outcome<Vec<D>>>()?;
    let ready = Barrier::new(threads + 1);
    let start = std::thread::scope(|scope| {
        for (number, clone) in clones.into_iter().enumerate() {
            let (work, ready) = (&work, &ready);
            scope.spawn(move || {
                ready.wait();
                work(clone, number);
            });
        }
        ready.wait();
        Instant::now()
    });
    Ok(start.elapsed())
}

/// Times reading these pages.
fn scan<D: Dump>(dump: &D, case: &Case, pages: &[u64], threads: usize) -> Outcome<Duration> {
    let next = AtomicUsize::new(0);
    in_threads(dump, threads, |mut dump, _| {
        let mut page = PageBuffer::new(case.page_size);
        while let Some(rest) = pages.get(next.fetch_add(BLOCK, Ordering::Relaxed)..) {
            for address in rest.iter().take(BLOCK) {
                dump.read(Space::MachinePhysical, *address, page.bytes());
                black_box(&mut page);
            }
        }
    })
}

/// Times `READS` random 8-byte reads, shared by the threads, within `pages`,
/// which the cache can hold.
fn warm<D: Dump>(dump: &D, case: &Case, space: Space, pages: &[u64], threads: usize) -> Outcome<Duration> {
    let mut bytes = [0; 8];
    let mut first = dump.another()?;
    for address in pages.iter().chain(pages) {
        first.read(space, *address, &mut bytes);
    }
    in_threads(dump, threads, |mut dump, number| {
        let mut bytes = [0; 8];
        let mut random = Random(0x9e37_79b9_7f4a_7c15 + number as u64);
        for _ in 0..READS / threads as u64 {
            let number = random.draw();
            let page = pages[(number % pages.len() as u64) as usize];
            dump.read(space, page + ((number >> 32) % (case.page_size / 8)) * 8, &mut bytes);
            black_box(&bytes);
        }
    })
}

/// The fastest rounds of both.
type Fastest = (Duration, Duration);

/// Runs both in turn and prints the ratios.
fn compare(
    name: &str,
    unit: u64,
    mut ours: impl FnMut() -> Outcome<Duration>,
    mut peer: impl FnMut() -> Outcome<Duration>,
) -> Outcome<Fastest> {
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
    let fastest = |time: fn(&(f64, Duration, Duration)) -> Duration| rounds.iter().map(time).min();
    Ok((fastest(|round| round.1).unwrap_or(a), fastest(|round| round.2).unwrap_or(b)))
}

/// Compares with one thread and with two, and each library with itself.
fn compare_threads(
    name: &str,
    unit: u64,
    ours: impl Fn(usize) -> Outcome<Duration>,
    peer: impl Fn(usize) -> Outcome<Duration>,
) -> Outcome<()> {
    let mut fastest = Vec::new();
    for threads in [1, 2] {
        let name = format!("{name}, {threads} thread(s)");
        fastest.push(compare(&name, unit, || ours(threads), || peer(threads))?);
    }
    let times = |one: Duration, two: Duration| one.as_secs_f64() / two.as_secs_f64();
    let (ours, peer) = (times(fastest[0].0, fastest[1].0), times(fastest[0].1, fastest[1].1));
    println!("| {name}, 2 threads against 1 | | | {ours:.2} x | {peer:.2} x |");
    Ok(())
}

/// Up to `most` of these virtual addresses that both libraries can read.
fn readable(
    ours: &Context,
    peer: &mut PeerDump<'_>,
    addresses: impl Iterator<Item = u64>,
    most: usize,
) -> Vec<u64> {
    let mut bytes = [0; 8];
    let both = |address: &u64| {
        ours.read(Space::KernelVirtual, *address, &mut bytes).is_ok()
            && peer.read(Space::KernelVirtual, *address, &mut bytes) == 0
    };
    addresses.take(8 * most).filter(both).take(most).collect()
}

/// Compares reading by virtual addresses.
fn compare_virtual(peer: &Peer, case: &Case) -> Outcome<()> {
    let linux = Value::from("linux");
    let dump = Context::new();
    dump.open_paths(&case.paths)?;
    let mut other = peer.open(&case.paths)?;
    if dump.set("addrxlat.ostype", linux.clone()).is_err() || other.set_linux() != 0 {
        println!("| {}: virtual addresses not compared, one of the two knows no way | | | | |", case.name);
        return Ok(());
    }
    let start = dump.symbol_value("_stext").or_else(|_| dump.symbol_value("swapper_pg_dir"))?;
    let text = (0..).map(|page| start + page * case.page_size);
    let direct = case.addresses().into_iter().filter_map(|address| {
        dump.translate_address(Space::KernelPhysical, address, Space::KernelVirtual).ok()
    });
    let sets = [
        ("text, 64 pages", readable(&dump, &mut other, text, 64)),
        ("direct map, 64 pages", readable(&dump, &mut other, direct.clone(), 64)),
        ("direct map, 900 pages", readable(&dump, &mut other, direct, 900)),
    ];
    let Some(first) = sets[0].1.first().copied() else {
        println!(
            "| {}: virtual addresses not compared, one of the two cannot read them | | | | |",
            case.name
        );
        return Ok(());
    };
    compare(
        &format!("{}: virtual set-up", case.name),
        1,
        || {
            let start = Instant::now();
            let mut dump = Context::new();
            dump.open_paths(&case.paths)?;
            dump.set("addrxlat.ostype", linux.clone())?;
            Dump::read(&mut dump, Space::KernelVirtual, first, &mut [0; 8]);
            Ok(start.elapsed())
        },
        || {
            let start = Instant::now();
            let mut dump = peer.open(&case.paths)?;
            dump.set_linux();
            Dump::read(&mut dump, Space::KernelVirtual, first, &mut [0; 8]);
            Ok(start.elapsed())
        },
    )?;
    for (name, pages) in sets.iter().filter(|(_, pages)| !pages.is_empty()) {
        compare_threads(
            &format!("{}: {name} by virtual address, a read", case.name),
            READS,
            |threads| warm(&dump, case, Space::KernelVirtual, pages, threads),
            |threads| warm(&other, case, Space::KernelVirtual, pages, threads),
        )?;
    }
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
        let other = match peer.open(&case.paths) {
            Ok(other) => other,
            Err(refusal) => {
                println!("| {}: not compared, {refusal} | | | | |", case.name);
                continue;
            }
        };
        let pages = case.addresses();
        let first = pages.first().copied().unwrap_or(0);
        compare(
            &format!("{}: open", case.name),
            1,
            || {
                let start = Instant::now();
                let mut dump = Context::new();
                dump.open_paths(&case.paths)?;
                Dump::read(&mut dump, Space::MachinePhysical, first, &mut [0; 8]);
                Ok(start.elapsed())
            },
            || {
                let start = Instant::now();
                let mut dump = peer.open(&case.paths)?;
                Dump::read(&mut dump, Space::MachinePhysical, first, &mut [0; 8]);
                Ok(start.elapsed())
            },
        )?;
        let dump = Context::new();
        dump.open_paths(&case.paths)?;
        let scanned = case.scan();
        compare_threads(
            &format!("{}: scan, a page", case.name),
            scanned.len() as u64,
            |threads| scan(&dump, case, &scanned, threads),
            |threads| scan(&other, case, &scanned, threads),
        )?;
        for number in [64, 900] {
            let pages = &pages[..number.min(pages.len())];
            compare_threads(
                &format!("{}: warm, {number} pages, a read", case.name),
                READS,
                |threads| warm(&dump, case, Space::MachinePhysical, pages, threads),
                |threads| warm(&other, case, Space::MachinePhysical, pages, threads),
            )?;
        }
        compare_virtual(&peer, case)?;
    }
    Ok(())
}
