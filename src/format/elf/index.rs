//! Which bytes of an address space are stored where.
//!
//! ```text
//!   segments    AAAAAAAAAAA....          capital: stored, dot: memory only
//!                    BBBBBBBBBBBBBBBB
//!                                 CCCCC....
//!   pieces      AAAAAAAAAAABBBBBBBBBBBCC       disjoint, ascending
//!   unstored               ----         ---    runs, whatever pieces are there
//! ```
//!
//! Segments may overlap, touch in the middle of a page and stand in any
//! order. The index is made once: stored bytes beat memory that is not
//! stored; among segments that store the same byte, the one with the lowest
//! start address wins, then the one whose header comes first.
//!
//! A look-up is a binary search in two steps: in the ends of every 64th run
//! (which stay in the processor's cache even for a million segments), then
//! among 64 neighbours. Memory: 24 bytes a segment, 16 bytes a run of memory
//! that is not stored.

use alloc::format;
use alloc::vec::Vec;

use super::header::Segment;
use crate::attr::{BitSource, PageShift};
use crate::error::{Result, ResultExt};
use crate::io::FileSet;
use crate::sync::Shared;

/// Stored bytes `[start, last]` of an address space. The end is inclusive,
/// because an address space may be used up to its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: u64,
    last: u64,
    /// Byte position of the first byte in the file.
    position: u64,
}

/// A run of addresses that ends somewhere.
trait Run {
    /// The last address.
    fn last(&self) -> u64;
}

impl Run for Piece {
    fn last(&self) -> u64 {
        self.last
    }
}

/// Start and last address.
impl Run for (u64, u64) {
    fn last(&self) -> u64 {
        self.1
    }
}

/// Disjoint runs in ascending order.
#[derive(Debug)]
struct Runs<T> {
    runs: Vec<T>,
    /// The end of every [`GROUP`]th run.
    ends: Vec<u64>,
}

/// Runs that are searched in the second step.
const GROUP: usize = 64;

impl<T: Run> Runs<T> {
    fn new(mut runs: Vec<T>) -> Self {
        runs.shrink_to_fit();
        let ends = runs.chunks_exact(GROUP).filter_map(|group| group.last()).map(Run::last).collect();
        Runs { runs, ends }
    }

    /// The runs from the first one on that does not end below, where `below`
    /// is true for addresses up to some limit.
    fn from(&self, below: impl Fn(u64) -> bool) -> &[T] {
        let group = self.ends.partition_point(|end| below(*end)) * GROUP;
        let rest = &self.runs[group..];
        let near = &rest[..rest.len().min(GROUP)];
        &rest[near.partition_point(|run| below(run.last()))..]
    }
}

/// What there is at some range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// All of it is stored in one piece, at this byte position.
    Whole(u64),
    /// Some of its bytes are stored.
    Part,
    /// None of its bytes is stored, but some of them are memory.
    Memory,
    /// It is no memory at all.
    Nothing,
}

/// An index of segments by one of their addresses.
#[derive(Debug)]
pub struct Index {
    pieces: Runs<Piece>,
    unstored: Runs<(u64, u64)>,
}

impl Index {
    /// Indexes `segments` by `address`; those without one are left out.
    pub fn new(segments: &[Segment], address: impl Fn(&Segment) -> Option<u64>) -> Index {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut unstored: Vec<(u64, u64)> = Vec::new();
        for segment in segments {
            let Some(start) = address(segment) else { continue };
            // A file position that cannot exist has nothing stored at it.
            let stored = segment.file_size.min(u64::MAX - segment.offset);
            if stored > 0 {
                let last = start.saturating_add(stored - 1);
                pieces.push(Piece { start, last, position: segment.offset });
            }
            if segment.mem_size > segment.file_size
                && let Some(behind) = start.checked_add(segment.file_size)
            {
                unstored.push((behind, start.saturating_add(segment.mem_size - 1)));
            }
        }
        // Stable: among equals, the order of headers decides.
        pieces.sort_by_key(|piece| piece.start);
        let mut covered = None;
        pieces.retain_mut(|piece| {
            if let Some(covered) = covered {
                if piece.last <= covered {
                    return false;
                }
                // All pieces so far start at or before this one, so that what
                // they cover of it is its beginning.
                if piece.start <= covered {
                    let cut = covered - piece.start + 1;
                    piece.start += cut;
                    piece.position += cut;
                }
            }
            covered = Some(piece.last);
            true
        });
        unstored.sort_unstable();
        unstored.dedup_by(|next, run| {
            let joined = run.1.checked_add(1).is_none_or(|behind| next.0 <= behind);
            if joined {
                run.1 = run.1.max(next.1);
            }
            joined
        });
        Index { pieces: Runs::new(pieces), unstored: Runs::new(unstored) }
    }

    /// What there is at the `size` bytes from `start` on (at least one).
    pub fn cover(&self, start: u64, size: u64) -> Cover {
        let last = start.saturating_add(size.saturating_sub(1));
        if let Some(piece) = self.pieces.from(|end| end < start).first()
            && piece.start <= last
        {
            let whole = piece.start <= start && last <= piece.last;
            return if whole { Cover::Whole(piece.position + (start - piece.start)) } else { Cover::Part };
        }
        match self.unstored.from(|end| end < start).first() {
            Some(run) if run.0 <= last => Cover::Memory,
            _ => Cover::Nothing,
        }
    }

    /// Fills `page`, whose first byte has address `start`, with the bytes that
    /// are stored; the others are zero.
    ///
    /// # Errors
    /// `Cannot read page data at <position>`.
    pub fn assemble(&self, files: &FileSet, start: u64, page: &mut [u8]) -> Result<()> {
        page.fill(0);
        let Some(size) = (page.len() as u64).checked_sub(1) else { return Ok(()) };
        let last = start.saturating_add(size);
        for piece in self.pieces.from(|end| end < start) {
            if piece.start > last {
                break;
            }
            let from = piece.start.max(start);
            let to = piece.last.min(last);
            let position = piece.position + (from - piece.start);
            let bytes = &mut page[(from - start) as usize..=(to - start) as usize];
            files.read(0, position, bytes).context(|| format!("Cannot read page data at {position}"))?;
        }
        Ok(())
    }
}

/// Which runs of an [`Index`] a bitmap shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Pages of which at least one byte is stored (`file.pagemap`).
    Stored,
    /// Pages of which at least one byte is memory (`memory.pagemap`).
    Memory,
}

/// A bitmap of pages. It has no bit as long as the page size is not known.
pub struct PageMap {
    /// What is shown.
    pub index: Shared<Index>,
    /// Which side of it.
    pub bits: Bits,
    /// The unit of PFNs.
    pub shift: PageShift,
}

impl BitSource for PageMap {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let Some(shift) = self.shift.get() else { return Ok(None) };
        let below = |last: u64| last >> shift < from;
        let pages = |start: u64, last: u64| ((start >> shift).max(from), (last >> shift).saturating_add(1));
        let stored = self.index.pieces.from(below).first().map(|piece| pages(piece.start, piece.last));
        let unstored = match self.bits {
            Bits::Stored => None,
            Bits::Memory => self.index.unstored.from(below).first().map(|run| pages(run.0, run.1)),
        };
        // Neighbours may follow without a gap; the caller asks on.
        Ok(match (stored, unstored) {
            (Some(a), Some(b)) if a.0 == b.0 => Some((a.0, a.1.max(b.1))),
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        })
    }
}
