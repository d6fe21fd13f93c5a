//! Reading every page in order, with one thread and with several.
//!
//! Threads take blocks of pages from one list, whoever is ready next: no
//! thread is idle because its share of the dump was easier. The dump is open
//! and the contexts are cloned before the clock starts.

use std::path::PathBuf;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use kdumpfile::{Context, Space};

use super::{Case, Effort, Group, Prepared, Quotient, Unit, all_read, each, only};
use crate::clock::{self, Clock};
use crate::files::{Files, Named, PAGE};
use crate::subject::{Dump, Outcome, Subject};

/// Pages that a thread takes at a time.
const BLOCK: usize = 64;
/// Numbers of threads.
const THREADS: [usize; 4] = [1, 2, 4, 8];

pub fn groups(files: &Files, effort: Effort) -> Vec<Group> {
    let targets = match cfg!(feature = "native-codecs") {
        false => [Some(1.4), Some(1.0), Some(1.3), Some(1.8), None],
        true => [Some(1.9), Some(1.0), Some(1.3), Some(2.2), None],
    };
    let mut groups: Vec<Group> =
        files.codecs.iter().zip(targets).map(|(file, target)| group(file, target, effort)).collect();
    groups.push(elf(files, effort));
    for file in [Some(&files.split), files.flattened.as_ref()].into_iter().flatten() {
        groups.push(Group::new(format!("Scan: {}", file.name), vec![case(file, 1, effort)]));
    }
    groups
}

fn group(file: &Named, target: Option<f64>, effort: Effort) -> Group {
    let mut cases: Vec<Case> = THREADS.iter().map(|threads| case(file, *threads, effort)).collect();
    cases[0].target = target;
    cases[0].short = target.is_some();
    if file.name == "zlib" {
        // The peer's own two threads, not its one.
        cases[1].target = Some(2.5);
        cases[1].short = true;
    }
    let mut group = Group::new(format!("Scan: {}", file.name), cases);
    for (under, threads) in THREADS.into_iter().enumerate().skip(1) {
        let name = format!("scan {}: {threads} threads against 1", file.name);
        let target = (threads == 2 && target.is_some()).then_some(1.85);
        let short = target.is_some();
        group.quotients.push(Quotient { name, over: 0, under, over_is_rust: false, target, short });
    }
    group
}

/// An ELF file is scanned as fast as memory can be copied, at best.
fn elf(files: &Files, effort: Effort) -> Group {
    let mut group = group(&files.elf, None, effort);
    group.cases[0].target = Some(1.5);
    group.cases[0].short = true;
    let memcpy = group.cases.len();
    group.cases.push(copying(&files.elf, effort));
    group.cases.push(looking(&files.elf, effort));
    group.quotients.push(Quotient {
        name: "scan ELF, 1 thread, against memcpy".into(),
        over: memcpy,
        under: 0,
        over_is_rust: true,
        target: Some(0.6),
        short: true,
    });
    group
}

/// A page in a larger buffer, at an address that is a multiple of 4 KiB for
/// all: how fast bytes are copied depends on where they go.
struct PageBuffer(Vec<u8>, usize);

impl PageBuffer {
    fn new() -> Self {
        let buffer = vec![0; 2 * PAGE as usize];
        let start = buffer.as_ptr().align_offset(PAGE as usize);
        PageBuffer(buffer, start)
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0[self.1..][..PAGE as usize]
    }
}

/// Addresses of the pages of a dump.
pub fn addresses(paths: &[PathBuf]) -> Outcome<Vec<u64>> {
    let dump = Context::new();
    dump.open_paths(paths)?;
    let mut addresses = Vec::new();
    for range in dump.bitmap("file.pagemap")?.ranges() {
        let (first, last) = range?;
        addresses.extend((first..=last).map(|pfn| pfn * PAGE));
    }
    Ok(addresses)
}

fn threads_text(threads: usize) -> String {
    if threads == 1 { "1 thread".into() } else { format!("{threads} threads") }
}

fn case(file: &Named, threads: usize, effort: Effort) -> Case {
    let paths = file.paths.clone();
    let name = format!("scan {}, {}", file.name, threads_text(threads));
    let case = Case::new(name, Unit::Page, move |library| {
        let once = addresses(&paths)?;
        let mut dump = library.open(&paths)?;
        let (failed, answer) = dump.sum_each(Space::MachinePhysical, &once, PageBuffer::new().bytes());
        all_read(failed, once.len())?;
        // As many passes as make a run so long that starting threads is nothing.
        let passes = effort.pages.div_ceil(once.len().max(1));
        let pages = once.repeat(passes);
        let round = move || Ok(each(in_threads(&*dump, threads, &pages)?, pages.len()));
        Ok(Prepared { answer, round: Box::new(round) })
    });
    case.point(file.name.clone(), threads as u64)
}

/// Looking at the bytes of every page where they are, if they can be had there.
fn looking(file: &Named, effort: Effort) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("look at {}, 1 thread", file.name), Unit::Page, move |library| {
        let once = addresses(&paths)?;
        let mut dump = library.open(&paths)?;
        let (failed, answer) = dump.look_each(Space::MachinePhysical, &once, PageBuffer::new().bytes());
        all_read(failed, once.len())?;
        let passes = effort.pages.div_ceil(once.len().max(1));
        let mut buffer = PageBuffer::new();
        let round = move || {
            let start = Instant::now();
            for _ in 0..passes {
                std::hint::black_box(dump.look_each(Space::MachinePhysical, &once, buffer.bytes()));
            }
            Ok(each(start.elapsed(), passes * once.len()))
        };
        Ok(Prepared { answer, round: Box::new(round) })
    })
}

/// Reads these pages in threads, each with a clone, from the moment at which
/// all are ready. If the processor's time is wanted, that is the time of the
/// thread that spent most: as if each had a processor for itself.
fn in_threads(dump: &dyn Dump, threads: usize, pages: &[u64]) -> Outcome<Duration> {
    let clones = (0..threads).map(|_| dump.another()).collect::<Outcome<Vec<_>>>()?;
    let ready = Barrier::new(threads + 1);
    let next = AtomicUsize::new(0);
    let work = |mut clone: Box<dyn Dump>| {
        let mut buffer = PageBuffer::new();
        ready.wait();
        let clock = Clock::start();
        while let Some(rest) = pages.get(next.fetch_add(BLOCK, Ordering::Relaxed)..) {
            let block = &rest[..BLOCK.min(rest.len())];
            clone.read_each(Space::MachinePhysical, block, buffer.bytes());
        }
        clock.elapsed()
    };
    let mut spent = Vec::new();
    let start = std::thread::scope(|scope| {
        let workers: Vec<_> = clones.into_iter().map(|clone| scope.spawn(|| work(clone))).collect();
        ready.wait();
        let start = Instant::now();
        spent.extend(workers.into_iter().map(|worker| worker.join().unwrap_or_default()));
        start
    });
    let passed = start.elapsed();
    Ok(if clock::spent_wanted() { spent.into_iter().max().unwrap_or(passed) } else { passed })
}

/// Copying as many pages, from a buffer of the same size.
fn copying(file: &Named, effort: Effort) -> Case {
    let paths = file.paths.clone();
    let case = Case::new("memcpy of as many pages", Unit::Page, move |library| {
        only(library, Subject::Rust)?;
        let pages = addresses(&paths)?.len();
        let source: Vec<u8> = (0..pages * PAGE as usize).map(|at| at as u8).collect();
        let mut buffer = PageBuffer::new();
        let passes = effort.pages.div_ceil(pages.max(1));
        let round = move || {
            let start = Clock::start();
            for _ in 0..passes {
                for page in source.chunks_exact(PAGE as usize) {
                    buffer.bytes().copy_from_slice(page);
                    std::hint::black_box(&mut buffer);
                }
            }
            Ok(each(start.elapsed(), passes * pages))
        };
        Ok(Prepared { answer: 0, round: Box::new(round) })
    });
    case.short()
}
