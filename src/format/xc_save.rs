//! Domains that `xc_save` of Xen 3.0 saved (`xm save`).
//!
//! ```text
//! "LinuxGuestRecord"
//! u32 BE, text        description of the domain, an s-expression
//! word                number of frames (PFNs) of the domain
//! words               where its p2m table was: of no use
//! batches             i32 n, n words (type and PFN), the pages themselves
//! i32 0               end of the batches
//! u32 n, n words      PFNs that the domain gave back
//! contexts            one vcpu_guest_context for each CPU
//! page                shared info
//! ```
//!
//! A domain was saved while it ran: its pages come in rounds, and the last one
//! of each PFN counts. So nothing is known of any page before the last batch
//! was seen, and the batches are walked at once: one word for each page, which
//! is a five-hundredth of the file. To do that when it is needed would spare
//! nothing: the registers stand behind the batches.
//! Addresses are those of the guest. Its page tables are, too: frames of the
//! machine in them were replaced.
//!
//! A word is the `unsigned long` of the host, of which the file says nothing
//! but what the number of frames looks like.
//! Layout: spec 13 §8.2, after the crash utility. It has neither HVM domains
//! nor what Xen 3.1 added, and ia64 is too different: these are refused.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::extent::{Extent, ExtentDump, Extents, Origin};
use super::{Format, Opening};
use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt, Status};
use crate::io::FileSet;
use crate::notes;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "xc_save";

const ORDER: ByteOrder = ByteOrder::Little;
const SIGNATURE: &[u8; 16] = b"LinuxGuestRecord";
/// Bytes in front of the description: signature and length.
const HEADER: u64 = 20;
/// Bytes of the description that are looked at; it has a few thousand.
const DESCRIPTION: u64 = 64 << 10;

/// Bytes of a page on x86.
const PAGE: u64 = 4096;
/// Pages of a batch, at most.
const BATCH: u64 = 1024;
/// Frames of a domain, at most: a PFN has 28 bits.
const MOST_FRAMES: u64 = 1 << 28;
/// The PFN in an entry of a batch.
const PFN: u64 = MOST_FRAMES - 1;
/// The page type in an entry.
const TYPE: u64 = 0xf << 28;
/// Type of an entry for which there is no page.
const NO_PAGE: u64 = 0xf << 28;

/// CPUs whose registers are read, at most; Xen 3.0 had up to 64 in a domain.
const MOST_CPUS: u64 = 4096;

/// `xen.xlat`: addresses of the domain are those of the dump.
const XLAT_AUTO: u64 = 0;

/// PFNs that follow each other, and so do their pages in the file.
#[derive(Clone, Copy)]
struct Run {
    pfn: u64,
    count: u64,
    /// Byte position of the first page.
    position: u64,
}

/// What stands behind the description.
struct Save {
    /// Bytes of a word.
    word: u64,
    /// Number of frames of the domain.
    frames: u64,
    /// In the order of the file.
    runs: Vec<Run>,
    /// Position behind the batches; `None` if the file ends before.
    end: Option<u64>,
}

/// Entries of one batch.
type Entries = Vec<u64>;

/// What begins with the number of entries.
enum Batch {
    End,
    /// No pages, for whatever reason.
    Marker,
    Pages(Entries),
}

impl Save {
    /// Finds out the size of a word, and where the first batch is.
    fn begin(files: &FileSet, start: u64) -> Result<(Save, u64)> {
        let failed = || format!("Cannot read number of frames at {start}");
        let mut raw = [0; 8];
        files.read(0, start, &mut raw).context(failed)?;
        let plausible = |frames: &u64| (1..=MOST_FRAMES).contains(frames);
        // The first word of a list of 32-bit words is never 0: Xen has frame 0.
        let wide = Some((8, ORDER.u64(&raw, 0))).filter(|(_, frames)| plausible(frames));
        let narrow = Some((4, ORDER.u32(&raw, 0).into())).filter(|(_, frames)| plausible(frames));
        if let Some((word, frames)) = wide.or(narrow) {
            let list = start + word;
            let mut raw = [0xff; 8];
            files.read(0, list, raw.get_mut(..word as usize).unwrap_or_default()).context(failed)?;
            let save = Save { word, frames, runs: Vec::new(), end: None };
            let first = list + frames.div_ceil(PAGE / word) * word;
            // Xen 3.1 has a word of all ones in front of what it added.
            let there = if raw == [0xff; 8] { None } else { save.first_pages(files, first)? };
            match there {
                Some(true) => return Ok((save, first)),
                Some(false) => return Err(Error::corrupt("Saved domain ends in front of its first page")),
                None => {}
            }
        }
        Err(Error::not_implemented(format!(
            "What begins at {start} is not that of Xen 3.0 on x86: ia64 and later versions not implemented"
        )))
    }

    /// Whether a batch of pages is where it has to be; `Some(false)` if the
    /// file ends there.
    fn first_pages(&self, files: &FileSet, mut at: u64) -> Result<Option<bool>> {
        // More than a marker or two in front of the first page make no sense.
        for _ in 0..16 {
            match self.batch(files, at) {
                Ok(Some(Batch::Pages(_))) => return Ok(Some(true)),
                Ok(Some(Batch::Marker)) => at += 4,
                Ok(Some(Batch::End)) => break,
                Ok(None) => return Ok(Some(false)),
                Err(error) if error.status() == Status::System => return Err(error),
                Err(_) => break,
            }
        }
        Ok(None)
    }

    /// Reads the head of a batch; `None` if the file ends in front of its pages.
    fn batch(&self, files: &FileSet, at: u64) -> Result<Option<Batch>> {
        if files.ends_before(0, at.saturating_add(3))? {
            return Ok(None);
        }
        let failed = || format!("Cannot read batch at {at}");
        let mut raw = [0; 4];
        files.read(0, at, &mut raw).context(failed)?;
        let count = match i32::from_le_bytes(raw) {
            0 => return Ok(Some(Batch::End)),
            -1 => return Ok(Some(Batch::Marker)),
            count @ 1.. => u64::from(count.unsigned_abs()),
            count => {
                return Err(Error::not_implemented(format!("Batch marker {count} at {at} not implemented")));
            }
        };
        if count > BATCH {
            return Err(Error::corrupt(format!("Batch of {count} pages at {at}")));
        }
        let size = count * self.word;
        if files.ends_before(0, at.saturating_add(4 + size - 1))? {
            return Ok(None);
        }
        let bytes = files.read_vec(0, at.saturating_add(4), size, size).context(failed)?;
        let entries: Entries = bytes.chunks_exact(self.word as usize).map(|raw| ORDER.uint(raw)).collect();
        let wrong = |entry: &&u64| **entry >> 32 != 0 || **entry & PFN >= self.frames;
        if let Some(entry) = entries.iter().filter(|entry| **entry & TYPE != NO_PAGE).find(wrong) {
            return Err(Error::corrupt(format!(
                "Entry {entry:#x} of the batch at {at} is beyond the {} frames of the domain",
                self.frames
            )));
        }
        Ok(Some(Batch::Pages(entries)))
    }

    /// Walks all batches.
    fn walk(&mut self, files: &FileSet, mut at: u64) -> Result<()> {
        loop {
            match self.batch(files, at)? {
                None => return Ok(()),
                Some(Batch::End) => break,
                Some(Batch::Marker) => at += 4,
                Some(Batch::Pages(entries)) => {
                    at += 4 + entries.len() as u64 * self.word;
                    let pages = entries.into_iter().filter(|entry| entry & TYPE != NO_PAGE);
                    let (next, whole) = self.take(files, pages, at)?;
                    at = next;
                    if !whole {
                        return Ok(());
                    }
                }
            }
        }
        self.end = Some(at + 4);
        Ok(())
    }

    /// Takes the pages from `at` on. Returns the position behind them, and
    /// whether all of them are in the file.
    fn take(
        &mut self,
        files: &FileSet,
        entries: impl Iterator<Item = u64>,
        mut at: u64,
    ) -> Result<(u64, bool)> {
        // Nearly every batch is there as a whole, which is one question.
        let all_there = !files.ends_before(0, at.saturating_add(BATCH * PAGE - 1))?;
        for entry in entries {
            if !all_there && files.ends_before(0, at.saturating_add(PAGE - 1))? {
                return Ok((at, false));
            }
            let pfn = entry & PFN;
            match self.runs.last_mut() {
                Some(run) if run.pfn + run.count == pfn && run.position + run.count * PAGE == at => {
                    run.count += 1;
                }
                _ => self.runs.push(Run { pfn, count: 1, position: at }),
            }
            at = at.checked_add(PAGE).ok_or_else(|| Error::corrupt("Batches go beyond 64 bits"))?;
        }
        Ok((at, true))
    }

    /// PFNs that the domain gave back before it stopped, in ascending order,
    /// and the position behind their list.
    fn given_back(&self, files: &FileSet, at: u64) -> Result<(Vec<u64>, u64)> {
        let failed = || format!("Cannot read list of missing frames at {at}");
        let mut raw = [0; 4];
        files.read(0, at, &mut raw).context(failed)?;
        let count = u64::from(ORDER.u32(&raw, 0));
        let end = at.saturating_add(4 + count * self.word);
        let mut frames = Vec::new();
        let mut at = at.saturating_add(4);
        let mut buffer = vec![0; (BATCH * self.word) as usize];
        // A list that the file does not have as a whole says nothing.
        if files.ends_before(0, end - 1)? {
            return Ok((frames, end));
        }
        while at < end {
            let part = (buffer.len() as u64).min(end - at);
            let bytes = buffer.get_mut(..part as usize).unwrap_or_default();
            files.read(0, at, bytes).context(failed)?;
            let words = bytes.chunks_exact(self.word as usize).map(|raw| ORDER.uint(raw));
            frames.extend(words.filter(|frame| *frame < self.frames));
            at += part;
        }
        frames.sort_unstable();
        frames.dedup();
        Ok((frames, end))
    }

    /// Where each page is: the last one of its PFN, unless it was given back.
    fn extents(&self, given_back: &[u64]) -> Result<Extents> {
        let mut list = Vec::new();
        // PFNs that later runs have: the end of each range by its start.
        let mut covered: BTreeMap<u64, u64> = BTreeMap::new();
        for frame in given_back {
            match covered.last_entry() {
                Some(mut last) if *last.get() == *frame => {
                    last.insert(frame.saturating_add(1));
                }
                _ => {
                    covered.insert(*frame, frame.saturating_add(1));
                }
            }
        }
        for run in self.runs.iter().rev() {
            let end = run.pfn + run.count;
            let mut from = run.pfn;
            let (mut first, mut last) = (run.pfn, end);
            if let Some((&start, &stop)) = covered.range(..=from).next_back()
                && stop >= from
            {
                from = stop;
                (first, last) = (start, stop.max(end));
            }
            while from < end {
                let next = covered.range(from..).next().map(|(&start, &stop)| (start, stop));
                let stop = next.map_or(end, |(start, _)| start.min(end));
                if from < stop {
                    let position = run.position + (from - run.pfn) * PAGE;
                    let origin = Origin::Stored { file: 0, position };
                    list.push(Extent { start: from * PAGE, length: (stop - from) * PAGE, origin });
                }
                let Some((start, stop)) = next.filter(|(start, _)| *start <= end) else { break };
                covered.remove(&start);
                last = last.max(stop);
                from = stop;
            }
            covered.insert(first, last);
        }
        Extents::new(list)
    }

    /// Architecture and registers, of which there are as many contexts as fit
    /// exactly between `at` and the last page.
    fn describe_cpus(&self, files: &FileSet, at: Option<u64>, facts: &mut Facts<'_>) -> Result<()> {
        let arch = if self.word == 8 { Arch::X86_64 } else { Arch::Ia32 };
        if !facts.is_set("arch.name") {
            facts.set_string("arch.name", arch.name())?;
            facts.set_string("arch.inferred", "size of the words of Xen")?;
        }
        let room = files.len(0).and_then(|end| end.checked_sub(PAGE)?.checked_sub(at?));
        let (Some(at), Some(room)) = (at, room) else { return Ok(()) };
        let fits = |cpus: &u64| {
            room % cpus == 0
                && notes::xen::arch_of_context(room / cpus).is_some_and(|a| facts.arch() == Some(a))
        };
        let Some(cpus) = (1..=MOST_CPUS.min(room)).find(fits) else { return Ok(()) };
        let contexts = files.read_vec(0, at, room, room);
        let contexts = contexts.context(|| format!("Cannot read contexts of CPUs at {at}"))?;
        facts.set_number("cpu.number", cpus)?;
        notes::xen::prstatus(facts, &contexts)
    }
}

/// Whether the domain is an HVM one: the s-expression has `(image (hvm ...))`.
fn is_hvm(files: &FileSet, size: u64) -> Result<bool> {
    let size = size.min(DESCRIPTION);
    let text = files
        .read_vec(0, HEADER, size, DESCRIPTION)
        .context(|| format!("Cannot read description of the domain at {HEADER}"))?;
    Ok(text.windows(5).any(|part| part == b"(hvm "))
}

/// Opens a domain that `xc_save` saved.
///
/// # Errors
/// `Cannot read dump header`; `Corrupt` for a file without a page and for
/// batches that make no sense; `NotImplemented` for HVM domains, ia64, what
/// Xen 3.1 added, and several files (`Multiple files not implemented`).
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let mut raw = [0; HEADER as usize];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    let Some(size) = raw.strip_prefix(SIGNATURE) else { return Ok(None) };
    let size = u64::from(ByteOrder::Big.u32(size, 0));
    let facts = &mut opening.facts;
    facts.set_string("file.description", "Xen xc_save")?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    if is_hvm(files, size)? {
        return Err(Error::not_implemented(
            "Saved HVM domain not implemented; restore the domain and dump it with 'xm dump-core'",
        ));
    }
    let (mut save, first) = Save::begin(files, HEADER + size)?;
    save.walk(files, first)?;
    if save.runs.is_empty() {
        return Err(Error::corrupt("Saved domain ends in front of its first page"));
    }
    let (given_back, contexts) = match save.end {
        Some(end) => save.given_back(files, end).map(|(frames, end)| (frames, Some(end)))?,
        None => (Vec::new(), None),
    };
    let extents = Shared::new(save.extents(&given_back)?);

    if save.end.is_none() {
        facts.set_string("file.description", "Xen xc_save, incomplete")?;
    }
    facts.set_number("arch.byte_order", ORDER.number())?;
    save.describe_cpus(files, contexts, facts)?;
    if !facts.is_set("arch.page_size") {
        facts.set_number("arch.page_size", PAGE)?;
    }
    facts.set_number("xen.xlat", XLAT_AUTO)?;
    ExtentDump::describe(&extents, save.end.is_some(), facts)?;
    let files = files.clone();
    Ok(Some(Box::new(ExtentDump { name: NAME, files, extents, maker: None, omits_zeroes: false })))
}
