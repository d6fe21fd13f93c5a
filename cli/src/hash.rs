//! `kdumpfile hash`: SHA-256 of all pages.
//!
//! Pieces of the dump are read and decompressed by several threads, and hashed
//! in order by this one. Their buffers go round, so memory is bounded whatever
//! the size of the dump.

use std::io::Write;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use kdumpfile::{Bitmap, Context, Error, PageRun, Space};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Output};
use crate::pages;
use crate::progress::Progress;

/// Pages cannot be larger; real ones end at 256 KiB.
const LARGEST_PAGE: u64 = 1 << 26;

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
    let (pagemap, page_size) = pages(dump)?;
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

/// Which pages there are, and their size; that is bounded.
pub fn pages(dump: &Dump) -> Result<(Bitmap, u64)> {
    let pagemap = dump.bitmap("file.pagemap")?;
    let page_size = dump.page_size()?;
    if page_size > LARGEST_PAGE {
        let text = format!("{}: arch.page_size is {page_size}, more than any page has", dump.name);
        return Err(Failure::Dump { text, hint: None });
    }
    Ok((pagemap, page_size))
}

/// The pages of a run that could be read, one behind the other.
struct Done {
    buffer: Vec<u8>,
    filled: usize,
    failed: u64,
    error: Option<(u64, Error)>,
}

fn hash(context: &Context, pagemap: &Bitmap, page_size: u64, threads: Option<u16>) -> Result<Hashed, Error> {
    let total = pages::count(pagemap)?.saturating_mul(page_size);
    let mut progress = Progress::new(total);
    let mut all = context.par_pages()?;
    if let Some(threads) = threads {
        all = all.threads(threads.into());
    }
    let buffers: Mutex<Vec<Vec<u8>>> = Mutex::default();
    let buffers = || buffers.lock().unwrap_or_else(PoisonError::into_inner);
    let mut hasher = Sha256::new();
    let mut hashed = Hashed { pages: 0, sha256: String::new(), failed: 0, error: None };
    let mut done_bytes = 0u64;
    all.ordered(
        |worker, run| {
            let buffer = buffers().pop().unwrap_or_default();
            read(worker, run, buffer)
        },
        |done| {
            hasher.update(&done.buffer[..done.filled]);
            let pages = done.filled as u64 / page_size;
            hashed.pages += pages;
            hashed.failed += done.failed;
            hashed.error = hashed.error.take().or(done.error);
            buffers().push(done.buffer);
            done_bytes = done_bytes.saturating_add((pages + done.failed) * page_size);
            progress.set(done_bytes);
            ControlFlow::<()>::Continue(())
        },
    )?;
    hashed.sha256 = output::hex(&hasher.finalize());
    Ok(hashed)
}

/// Reads a run of pages; those that cannot be read leave no gap.
fn read(context: &Context, run: PageRun, mut buffer: Vec<u8>) -> Done {
    let (page_size, first, pages) = (run.page_size(), run.first_pfn(), run.pages());
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
