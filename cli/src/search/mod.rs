//! `kdumpfile search`: where in memory something is.
//!
//! ```text
//!   pages of a run  .....|  piece n  |  piece n + 1  |.....
//!   looked at           |=============...|               a byte before it, and so
//!                                                        many behind it as a match has
//! ```
//!
//! A piece has the matches that begin in it, whatever pieces there are.

mod pattern;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::ops::ControlFlow;

use kdumpfile::{Context, Error, PageRun, Space};

use crate::args::Search;
use crate::failure::{Failure, Result};
use crate::hash;
use crate::open::Dump;
use crate::output::{self, Output};
use crate::pages;
use crate::progress::Progress;
use crate::translation;

use pattern::Pattern;

/// Bytes that a thread searches at a time (or one page, if that is more).
const PIECE: u64 = 1 << 20;

/// As many bytes of a match are shown as text, and in JSON.
const SHOWN: usize = 32;
const SHOWN_JSON: usize = 64;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Match {
    address: u64,
    length: usize,
    /// The first bytes of it.
    bytes: Vec<u8>,
}

/// How to search.
struct How {
    threads: Option<u16>,
    piece: u64,
    limit: u64,
}

/// What came of it, beside the matches.
#[derive(Debug, Default)]
struct Searched {
    pages: u64,
    failed: u64,
    /// The first page that could not be read.
    error: Option<(u64, Error)>,
    matches: u64,
    limited: bool,
}

/// Lists the places where the pattern is.
pub fn run(dump: &Dump, args: &Search, json: bool, out: &mut Output) -> Result<()> {
    let (pagemap, page_size) = hash::pages(dump)?;
    let pattern = Pattern::new(args, &dump.context).map_err(Failure::Usage)?;
    translation::prepare(dump, &args.translation)?;
    let total = pages::count(&pagemap).map_err(|error| dump.failure(&error))?.saturating_mul(page_size);
    let mut progress = Progress::new(total);
    let how = How { threads: args.threads, piece: PIECE, limit: args.limit.unwrap_or(u64::MAX) };
    if json {
        write!(out, "{{\"matches\":[")?;
    }
    let mut separator = "";
    let show = |found: Match| -> Result<()> {
        let kvaddr = virtual_address(&dump.context, found.address);
        if json {
            let kvaddr = kvaddr.map_or("null".into(), |kvaddr| format!("\"{kvaddr:x}\""));
            let bytes = output::hex(&found.bytes);
            let Match { address, length, .. } = found;
            write!(out, "{separator}\n{{\"address\":\"{address:x}\",\"kvaddr\":{kvaddr},")?;
            write!(out, "\"length\":{length},\"bytes\":\"{bytes}\"}}")?;
            separator = ",";
        } else {
            let kvaddr = kvaddr.map_or("-".into(), |kvaddr| format!("{kvaddr:016x}"));
            let text: String = found.bytes.iter().take(SHOWN).map(|byte| visible(*byte)).collect();
            writeln!(out, "{:016x}  {kvaddr:<16}  {:>4}  |{text}|", found.address, found.length)?;
        }
        Ok(())
    };
    let searched = search(&dump.context, &pattern, &how, |done| progress.set(done), show);
    drop(progress);
    let searched = searched.map_err(|error| match error {
        Ended::Dump(error) => dump.failure(&error),
        Ended::Output(failure) => failure,
    });
    if let (true, Err(Failure::Dump { text, .. })) = (json, &searched) {
        write!(out, "],\"error\":")?;
        out.json(text.clone())?;
        writeln!(out, "}}")?;
    }
    let searched = searched?;
    let error = searched.error.map(|(pfn, error)| error.context(format!("PFN {pfn:#x}")));
    if json {
        let Searched { pages, failed, limited, .. } = searched;
        write!(out, "],\"pages\":{pages},\"limited\":{limited},\"failed\":{failed},\"error\":")?;
        out.json(error.as_ref().map(Error::to_string))?;
        writeln!(out, "}}")?;
    } else {
        let matches = match searched.matches {
            1 => "1 match".into(),
            number => format!("{number} matches"),
        };
        let more = if searched.limited { ", and there may be more" } else { "" };
        writeln!(out, "total: {matches} in {}{more}", output::count(searched.pages, "page"))?;
    }
    match error {
        None => Ok(()),
        Some(error) => {
            let text =
                format!("{} could not be read, the first of them", output::count(searched.failed, "page"));
            Err(dump.failure(&error.context(text)))
        }
    }
}

/// The address in the direct map; `None` if nothing is mapped there.
fn virtual_address(context: &Context, address: u64) -> Option<u64> {
    context.translate_address(Space::MachinePhysical, address, Space::KernelVirtual).ok()
}

fn visible(byte: u8) -> char {
    if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }
}

/// What ended a search early.
#[derive(Debug)]
enum Ended {
    Dump(Error),
    Output(Failure),
}

/// Searches all pages; `show` gets the matches in ascending order.
fn search(
    context: &Context,
    pattern: &Pattern,
    how: &How,
    mut progress: impl FnMut(u64),
    mut show: impl FnMut(Match) -> Result<()>,
) -> Result<Searched, Ended> {
    let mut all = context.par_pages().map_err(Ended::Dump)?.piece(how.piece);
    if let Some(threads) = how.threads {
        all = all.threads(threads.into());
    }
    let mut searched = Searched::default();
    let mut done = 0u64;
    // Where the last match that excludes others ends.
    let mut resume = 0;
    let ended = all.ordered(
        |worker, run| Piece::search(worker, run, pattern),
        |mut piece| {
            piece.resume(pattern, resume);
            for found in piece.matches {
                if searched.matches == how.limit {
                    searched.limited = true;
                    return ControlFlow::Break(Ok(()));
                }
                searched.matches += 1;
                resume = pattern.resume_after(&found, resume);
                if let Err(failure) = show(found) {
                    return ControlFlow::Break(Err(failure));
                }
            }
            searched.pages += piece.pages;
            searched.failed += piece.failed;
            searched.error = searched.error.take().or(piece.error);
            done = done.saturating_add(piece.bytes);
            progress(done);
            ControlFlow::Continue(())
        },
    );
    match ended.map_err(Ended::Dump)? {
        Some(Err(failure)) => Err(Ended::Output(failure)),
        _ => Ok(searched),
    }
}

/// What was found in a piece.
struct Piece {
    matches: Vec<Match>,
    pages: u64,
    failed: u64,
    error: Option<(u64, Error)>,
    bytes: u64,
    /// The memory from the first byte of the piece on, if the matches depend
    /// on where the one before them ends.
    text: Option<Text>,
}

/// Memory without gaps.
struct Text {
    bytes: Vec<u8>,
    /// Address of the first byte.
    address: u64,
    /// Where matches may begin, as positions in `bytes`.
    from: usize,
    until: usize,
}

impl Text {
    fn search(&self, pattern: &Pattern) -> Vec<Match> {
        let found = pattern.find_all(&self.bytes, self.from, self.until);
        found.into_iter().map(|(start, length)| self.found(start, length)).collect()
    }

    fn found(&self, start: usize, length: usize) -> Match {
        let bytes = self.bytes[start..][..length.min(SHOWN_JSON)].to_vec();
        Match { address: self.address + start as u64, length, bytes }
    }
}

impl Piece {
    fn search(context: &Context, run: PageRun, pattern: &Pattern) -> Piece {
        let mut piece = Piece { matches: Vec::new(), pages: 0, failed: 0, error: None, bytes: 0, text: None };
        let Some((start, end)) = bounds(&run) else {
            piece.failed = run.pages();
            piece.error = Some((run.first_pfn(), Error::no_data("Address does not fit into 64 bits")));
            return piece;
        };
        piece.bytes = end - start;
        let (first, last) = run.whole().into_inner();
        let before = u64::from(run.first_pfn() > first);
        let behind = (last - run.last_pfn()).saturating_mul(run.page_size()).min(pattern.reach() as u64);
        let texts = piece.read(context, &run, start - before, end.saturating_add(behind));
        for mut text in texts {
            text.from = start.saturating_sub(text.address) as usize;
            let last = text.address + text.bytes.len() as u64;
            text.until = (end.min(last).saturating_sub(text.address)) as usize;
            piece.matches.extend(text.search(pattern));
            if pattern.excludes() && piece.text.is_none() {
                piece.text = Some(text);
            }
        }
        piece.pages = run.pages() - piece.failed;
        piece
    }

    /// The memory from `from` to `to`, less the pages that cannot be read.
    fn read(&mut self, context: &Context, run: &PageRun, from: u64, to: u64) -> Vec<Text> {
        let mut memory = vec![0; (to - from) as usize];
        let mut parts: Vec<(u64, u64)> = Vec::new();
        let mut at = from;
        while at < to {
            let room = &mut memory[(at - from) as usize..];
            let (length, result) = context.read_partial(Space::MachinePhysical, at, room);
            if length > 0 {
                parts.push((at, at + length as u64));
                at += length as u64;
            }
            let Err(error) = result else { break };
            let pfn = at / run.page_size();
            if (run.first_pfn()..=run.last_pfn()).contains(&pfn) {
                self.failed += 1;
                self.error = self.error.take().or(Some((pfn, error)));
            }
            match (pfn + 1).checked_mul(run.page_size()) {
                Some(next) => at = next,
                None => break,
            }
        }
        let text = |bytes, address| Text { bytes, address, from: 0, until: 0 };
        match parts[..] {
            [(start, end)] if (start, end) == (from, to) => vec![text(memory, from)],
            _ => {
                let bytes = |start, end| memory[(start - from) as usize..(end - from) as usize].to_vec();
                parts.into_iter().map(|(start, end)| text(bytes(start, end), start)).collect()
            }
        }
    }

    /// Leaves out what begins in a match before this piece, and finds what
    /// that hid.
    fn resume(&mut self, pattern: &Pattern, resume: u64) {
        let Some(text) = &self.text else { return };
        let from = resume.saturating_sub(text.address) as usize;
        if resume <= text.address || from <= text.from {
            return;
        }
        let known = std::mem::take(&mut self.matches);
        let mut at = from;
        let mut matches = Vec::new();
        while let Some((start, length)) = pattern.find(&text.bytes, at, text.until) {
            let found = text.found(start, length);
            if let Ok(same) = known.binary_search_by_key(&found.address, |known| known.address) {
                // From here on nothing is different.
                matches.extend_from_slice(&known[same..]);
                self.matches = matches;
                return;
            }
            matches.push(found);
            at = start + length;
        }
        // What is in other memory of this piece stays.
        let last = text.address + text.until as u64;
        matches.extend(known.into_iter().filter(|found| found.address >= last));
        self.matches = matches;
    }
}

/// The first address of a run, and the one behind it.
fn bounds(run: &PageRun) -> Option<(u64, u64)> {
    let start = run.address()?;
    let end = run.pages().checked_mul(run.page_size())?.checked_add(start)?;
    Some((start, end))
}
