//! Dumps of a Xen domain (`xl dump-core`): pages in a section of their own.
//!
//! ```text
//!   .xen_pfn / .xen_p2m   entry i: the PFN (and GMFN) of page i
//!   .xen_pages            page i at offset i * page size
//! ```

use alloc::format;
use alloc::vec::Vec;

use super::sections::Found;
use super::{not_found, page_shift};
use crate::arch::ByteOrder;
use crate::attr::{BitSource, Bitmap, Facts, Geometry};
use crate::error::{Error, Result, ResultExt};
use crate::format::{Address, Filled, Format, Place, Scratch, Space, Spaces};
use crate::io::FileSet;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
const NAME: &str = "xc_core_elf";

/// `xen.type`: a dump of one domain.
const TYPE_DOMAIN: u64 = 2;

/// What Xen writes where there is no frame (`INVALID_MFN`).
const INVALID: u64 = u64::MAX;

/// Entries of a frame table that are looked at, at most: 4 TiB of 4 KiB pages.
const MOST_ENTRIES: u64 = 1 << 30;

/// Bytes of a frame table that are read in one go; a multiple of both entry sizes.
const CHUNK: usize = 1 << 16;

/// Frame numbers that stand in consecutive entries of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    /// Lowest and highest frame number.
    first: u64,
    last: u64,
    /// Entry of the lowest one.
    index: u64,
    /// Entries count down while frame numbers go up.
    down: bool,
}

/// An exact map of frame numbers to entries of a table, as sorted runs.
#[derive(Debug, Default)]
pub struct FrameMap(Vec<Run>);

impl FrameMap {
    /// Appends entry `index`, which must be above all the ones before.
    fn push(&mut self, frame: u64, index: u64) {
        if let Some(run) = self.0.last_mut() {
            let length = run.last - run.first + 1;
            let start = if run.down { run.index - (length - 1) } else { run.index };
            if index - start == length {
                if !run.down && run.last.checked_add(1) == Some(frame) {
                    run.last = frame;
                    return;
                }
                if (run.down || length == 1) && run.first.checked_sub(1) == Some(frame) {
                    *run = Run { first: frame, last: run.last, index, down: true };
                    return;
                }
            }
            // One frame in many entries (zeroes, mostly) need not fill memory.
            if length == 1 && run.first == frame {
                return;
            }
        }
        self.0.push(Run { first: frame, last: frame, index, down: false });
    }

    /// Sorts the runs and removes what several of them say about one frame.
    fn finish(&mut self) {
        self.0.sort_by_key(|run| run.first);
        let mut covered = None;
        self.0.retain_mut(|run| {
            if let Some(covered) = covered {
                if run.last <= covered {
                    return false;
                }
                if run.first <= covered {
                    let cut = covered - run.first + 1;
                    run.first += cut;
                    run.index = if run.down { run.index - cut } else { run.index + cut };
                }
            }
            covered = Some(run.last);
            true
        });
        self.0.shrink_to_fit();
    }

    /// The entry of a frame.
    fn get(&self, frame: u64) -> Option<u64> {
        let run = self.0.get(self.0.partition_point(|run| run.last < frame))?;
        let distance = frame.checked_sub(run.first)?;
        Some(if run.down { run.index - distance } else { run.index + distance })
    }
}

impl BitSource for FrameMap {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let run = self.0.get(self.0.partition_point(|run| run.last < from));
        // `last` is below the invalid frame number.
        Ok(run.map(|run| (run.first.max(from), run.last + 1)))
    }
}

/// The table that says which page is which.
pub struct FrameTable {
    by_pfn: Shared<FrameMap>,
    /// Missing if the table has PFNs only.
    by_gmfn: Option<FrameMap>,
    /// Byte position of the table.
    offset: u64,
    order: ByteOrder,
}

impl FrameTable {
    /// Reads a table from `size` bytes at `offset`. Entries without a PFN are
    /// skipped, and so are those behind the end of the file.
    ///
    /// # Errors
    /// `Cannot read Xen map at <position>`.
    pub fn read(files: &FileSet, (offset, size): (u64, u64), pairs: bool, order: ByteOrder) -> Result<Self> {
        let entry = if pairs { 16 } else { 8 };
        let left = files.len(0).map_or(u64::MAX, |len| len.saturating_sub(offset));
        let count = (size / entry).min(left.div_ceil(entry)).min(MOST_ENTRIES);
        let mut by_pfn = FrameMap::default();
        let mut by_gmfn = FrameMap::default();
        let mut buffer = alloc::vec![0; if count == 0 { 0 } else { CHUNK }];
        let mut index = 0;
        while index < count {
            let entries = (CHUNK as u64 / entry).min(count - index);
            let chunk = &mut buffer[..(entries * entry) as usize];
            let Some(position) = offset.checked_add(index * entry) else { break };
            if files.ends_before(0, position)? {
                break;
            }
            files.read(0, position, chunk).context(|| format!("Cannot read Xen map at {position}"))?;
            for (raw, index) in chunk.chunks_exact(entry as usize).zip(index..) {
                let pfn = order.u64(raw, 0);
                if pfn == INVALID {
                    continue;
                }
                by_pfn.push(pfn, index);
                let gmfn = order.u64(raw, 8);
                if pairs && gmfn != INVALID {
                    by_gmfn.push(gmfn, index);
                }
            }
            index += entries;
        }
        by_pfn.finish();
        by_gmfn.finish();
        let by_gmfn = pairs.then_some(by_gmfn);
        Ok(FrameTable { by_pfn: Shared::new(by_pfn), by_gmfn, offset, order })
    }

    /// One above the highest PFN; 0 for an empty table.
    pub fn max_pfn(&self) -> u64 {
        self.by_pfn.0.last().map_or(0, |run| run.last + 1)
    }
}

/// An open dump of a Xen domain.
pub struct XcCore {
    files: Shared<FileSet>,
    pages: u64,
    frames: FrameTable,
}

impl XcCore {
    /// From what the sections said; `None` if there are no pages of a domain.
    ///
    /// # Errors
    /// `NotImplemented` (`Missing Xen P2M mapping`).
    pub fn new(files: &Shared<FileSet>, found: Found, facts: &mut Facts<'_>) -> Result<Option<XcCore>> {
        let Some(pages) = found.pages else { return Ok(None) };
        facts.set_number("xen.type", TYPE_DOMAIN)?;
        let frames = found.frames.ok_or_else(|| Error::not_implemented("Missing Xen P2M mapping"))?;
        for path in ["file.pagemap", "memory.pagemap"] {
            facts.set_bitmap(path, Bitmap::new(frames.by_pfn.clone()))?;
        }
        Ok(Some(XcCore { files: files.clone(), pages, frames }))
    }

    /// Byte position of a page.
    fn position(&self, shift: u32, address: Address) -> Result<u64> {
        let frame = address.value >> shift;
        let map = match (&self.frames.by_gmfn, address.space) {
            (Some(by_gmfn), Space::MachinePhysical) => by_gmfn,
            _ => &self.frames.by_pfn,
        };
        let index = map.get(frame).ok_or_else(not_found)?;
        index.checked_mul(1 << shift).and_then(|offset| offset.checked_add(self.pages)).ok_or_else(not_found)
    }
}

impl Format for XcCore {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::KernelPhysical).with(Space::MachinePhysical)
    }

    fn locate(&self, geometry: &Geometry, address: Address) -> Result<Place> {
        let shift = page_shift(geometry)?;
        Ok(Place::Stored { file: 0, position: self.position(shift, address)? })
    }

    fn fill(
        &self,
        geometry: &Geometry,
        address: Address,
        page: &mut [u8],
        _scratch: &mut Scratch,
    ) -> Result<Filled> {
        let shift = page_shift(geometry)?;
        self.files.read(0, self.position(shift, address)?, page)?;
        Ok(Filled::Kept)
    }

    fn has_counterparts(&self) -> bool {
        self.frames.by_gmfn.is_some()
    }

    fn counterpart(&self, frame: u64, space: Space) -> Result<Option<u64>> {
        let Some(by_gmfn) = &self.frames.by_gmfn else { return Ok(None) };
        // Each entry is a pair; the other half is what is asked for.
        let (index, half, what) = match space {
            Space::KernelPhysical => (self.frames.by_pfn.get(frame), 8, "PFN"),
            Space::MachinePhysical => (by_gmfn.get(frame), 0, "MFN"),
            Space::KernelVirtual => return Ok(None),
        };
        let missing = || Error::no_data(format!("{what} not found"));
        let index = index.ok_or_else(missing)?;
        // The entry was read when the table was made, so its position exists.
        let position = self.frames.offset.saturating_add(index * 16 + half);
        let mut raw = [0; 8];
        self.files.read(0, position, &mut raw).context(|| {
            let table = if half == 8 { "p2m" } else { "m2p" };
            format!("Cannot read {table} entry at {position}")
        })?;
        match self.frames.order.u64(&raw, 0) {
            INVALID => Err(missing()),
            other => Ok(Some(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{MmapPolicy, ReadAt, Source};
    use crate::sync::Counter;
    use alloc::vec;

    /// Bytes of unknown length, which are read a few times only.
    struct Endless(Vec<u8>, Counter);

    impl ReadAt for Endless {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            self.1.add(1);
            assert!(self.1.get() < 100, "the reads do not end");
            self.0.read_at(pos, buf)
        }
    }

    #[test]
    fn a_frame_table_ends_with_a_file_of_unknown_length() {
        let source: Source = Shared::new(Endless(vec![1; 64], Counter::new(0)));
        let files = FileSet::open(vec![source], vec![], Shared::new(MmapPolicy::default())).unwrap();
        let table = FrameTable::read(&files, (32, u64::MAX), false, ByteOrder::Little).unwrap();
        assert_eq!(table.max_pfn(), 0x0101_0101_0101_0102);
    }
}
