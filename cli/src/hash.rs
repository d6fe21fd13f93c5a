//! `kdumpfile hash`: SHA-256 of all pages.
//!
//! ```text
//! main thread: chunks of PFNs ──> queue ──> workers: read with their own clone
//!              hash in order <── one reply channel a chunk <──┘
//! ```
//!
//! As many chunks are under way as the queue holds, and their buffers go round,
//! so memory is bounded whatever the size of the dump.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

use kdumpfile::{Bitmap, Context, Error, Space};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Output};
use crate::pages;
use crate::progress::Progress;

/// Bytes that a worker reads at a time (or one page, if that is more).
const CHUNK: u64 = 1 << 20;

/// Pages cannot be larger; real ones end at 256 KiB.
const LARGEST_PAGE: u64 = 1 << 26;

/// Chunks under way for each worker: one to read, the others so that neither
/// side waits for the other.
const AHEAD: usize = 3;

/// What came of hashing.
struct Hashed {
    pages: u64,
    sha256: String,
    failed: u64,
    /// The first page that could not be read.
    error: Option<(u64, Error)>,
}

/// Hashes the pages and writes the result.
pub fn run(dump: &Dump, threads: Option<u16>, json: bool, out: &mut Output) -> Result<()> {
    let pagemap = dump.bitmap("file.pagemap")?;
    let page_size = dump.page_size()?;
    if page_size > LARGEST_PAGE {
        let text = format!("{}: arch.page_size is {page_size}, more than any page has", dump.name);
        return Err(Failure::Dump { text, hint: None });
    }
    let threads = match threads {
        Some(threads) => threads.into(),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let hashed = hash(&dump.context, &pagemap, page_size, threads).map_err(|error| dump.failure(&error))?;

    let error = hashed.error.map(|(pfn, error)| error.context(format!("PFN {pfn:#x}")));
    if json {
        write!(out, r#"{{"pages":{},"page_size":{page_size},"sha256":"{}""#, hashed.pages, hashed.sha256)?;
        if let Some(error) = &error {
            write!(out, r#","failed":{},"error":"#, hashed.failed)?;
            out.json(error.to_string())?;
        }
        writeln!(out, "}}")?;
    } else {
        let pages = output::count(hashed.pages, "page");
        writeln!(out, "{}  {pages} of {}", hashed.sha256, output::size(page_size.into()))?;
    }
    match error {
        None => Ok(()),
        Some(error) => {
            let text =
                format!("{} could not be read, the first of them", output::count(hashed.failed, "page"));
            Err(dump.failure(&error.context(text)))
        }
    }
}

/// A run of pages to read.
struct Job {
    first: u64,
    pages: u64,
    buffer: Vec<u8>,
    reply: SyncSender<Done>,
}

/// The pages of a run that could be read, one behind the other.
struct Done {
    buffer: Vec<u8>,
    filled: usize,
    failed: u64,
    error: Option<(u64, Error)>,
}

fn hash(context: &Context, pagemap: &Bitmap, page_size: u64, threads: usize) -> Result<Hashed, Error> {
    let total = pages::count(pagemap)?.saturating_mul(page_size);
    let mut progress = Progress::new(total);
    let (queue, jobs) = mpsc::channel::<Job>();
    let jobs = Mutex::new(jobs);
    thread::scope(|scope| {
        for _ in 0..threads {
            let context = context.clone();
            let jobs = &jobs;
            scope.spawn(move || work(&context, page_size, jobs));
        }
        // Dropped at the end of this closure, which is what ends the workers.
        let queue = queue;
        let mut chunks = Chunks { ranges: pagemap.ranges(), rest: None, pages: (CHUNK / page_size).max(1) };
        let mut under_way: VecDeque<Receiver<Done>> = VecDeque::new();
        let mut buffers: Vec<Vec<u8>> = Vec::new();
        let mut hasher = Sha256::new();
        let mut hashed = Hashed { pages: 0, sha256: String::new(), failed: 0, error: None };
        let mut done_bytes = 0u64;
        loop {
            while under_way.len() < threads * AHEAD {
                let Some((first, pages)) = chunks.next().transpose()? else { break };
                let (reply, done) = mpsc::sync_channel(1);
                let buffer = buffers.pop().unwrap_or_default();
                // Fails only if all workers panicked; then no reply comes either.
                let _ = queue.send(Job { first, pages, buffer, reply });
                under_way.push_back(done);
            }
            let Some(next) = under_way.pop_front() else { break };
            let done = next.recv().map_err(|_| Error::system("A thread ended too early"))?;
            hasher.update(&done.buffer[..done.filled]);
            let pages = done.filled as u64 / page_size;
            hashed.pages += pages;
            hashed.failed += done.failed;
            hashed.error = hashed.error.or(done.error);
            buffers.push(done.buffer);
            done_bytes = done_bytes.saturating_add((pages + done.failed) * page_size);
            progress.set(done_bytes);
        }
        hashed.sha256 = output::hex(&hasher.finalize());
        Ok(hashed)
    })
}

/// Serves jobs until the queue is closed.
fn work(context: &Context, page_size: u64, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { first, pages, buffer, reply }) = job else { return };
        // An error on the other side ended the command: nobody waits.
        let _ = reply.send(read(context, page_size, first, pages, buffer));
    }
}

/// Reads a run of pages; those that cannot be read leave no gap.
fn read(context: &Context, page_size: u64, first: u64, pages: u64, mut buffer: Vec<u8>) -> Done {
    // Both are bounded by the size of a chunk or of a page.
    let size = page_size as usize;
    if buffer.len() < pages as usize * size {
        buffer.resize(pages as usize * size, 0);
    }
    let mut done = Done { buffer, filled: 0, failed: 0, error: None };
    let mut at = 0;
    while at < pages {
        let pfn = first.saturating_add(at);
        let room = &mut done.buffer[done.filled..][..(pages - at) as usize * size];
        let (bytes, result) = match pfn.checked_mul(page_size) {
            Some(address) => context.read_partial(Space::MachinePhysical, address, room),
            None => (0, Err(Error::no_data("Address does not fit into 64 bits"))),
        };
        let whole = bytes / size;
        at += whole as u64;
        done.filled += whole * size;
        if let Err(error) = result {
            done.failed += 1;
            done.error = done.error.or(Some((first.saturating_add(at), error)));
            at += 1;
        }
    }
    done
}

/// Splits the ranges of a bitmap: first PFN and number of pages.
struct Chunks<'a> {
    ranges: kdumpfile::attr::Ranges<'a>,
    /// What is left of the range at hand, inclusive.
    rest: Option<(u64, u64)>,
    /// Pages of a chunk.
    pages: u64,
}

impl Iterator for Chunks<'_> {
    type Item = Result<(u64, u64), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let (first, last) = match self.rest.take() {
            Some(rest) => rest,
            None => match self.ranges.next()? {
                Ok(range) => range,
                Err(error) => return Some(Err(error)),
            },
        };
        if last - first < self.pages {
            return Some(Ok((first, last - first + 1)));
        }
        self.rest = Some((first + self.pages, last));
        Some(Ok((first, self.pages)))
    }
}
