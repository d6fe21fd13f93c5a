//! The bitmaps that a diskdump publishes: `file.pagemap`, `memory.pagemap`.
//!
//! ```text
//! members ── Union ── Moved ── Finer or Coarser ── Bitmap
//!            blocks   blocks   pages of arch.page_size
//! ```
//!
//! Bits in the file count blocks. Attributes count pages of `arch.page_size`,
//! which is another number where QEMU wrote the dump of an aarch64 guest.

use alloc::format;
use alloc::vec::Vec;

use super::members::BitmapArea;
use crate::attr::{BitSource, Bitmap, LazyValue, Value};
use crate::error::{Result, ResultExt};
use crate::format::pfn::PfnIndex;
use crate::io::FileSet;
use crate::sync::Shared;

/// From block numbers as the file counts them to PFNs as attributes do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Units {
    /// log2 of the block size in bytes.
    pub block_shift: u32,
    /// log2 of `arch.page_size`.
    pub page_shift: u32,
    /// Block that the file calls number 0.
    pub first_block: u64,
}

impl Units {
    /// The PFN that begins at the start of block `number`, rounded up; blocks
    /// behind the last representable PFN get that one.
    pub fn pfn(self, number: u64) -> u64 {
        let block = number.saturating_add(self.first_block);
        if self.block_shift >= self.page_shift {
            let shift = self.block_shift - self.page_shift;
            u64::try_from(u128::from(block) << shift).unwrap_or(u64::MAX)
        } else {
            let shift = self.page_shift - self.block_shift;
            (block >> shift) + u64::from(block & ((1 << shift) - 1) != 0)
        }
    }

    /// A bitmap of pages over a source of blocks.
    pub fn bitmap(self, blocks: Shared<dyn BitSource>) -> Bitmap {
        let moved: Shared<dyn BitSource> = match self.first_block {
            0 => blocks,
            by => Shared::new(Moved { blocks, by }),
        };
        match self.block_shift.cmp(&self.page_shift) {
            core::cmp::Ordering::Equal => Bitmap::new(moved),
            core::cmp::Ordering::Greater => {
                Bitmap::new(Shared::new(Finer { blocks: moved, shift: self.block_shift - self.page_shift }))
            }
            core::cmp::Ordering::Less => {
                Bitmap::new(Shared::new(Coarser { blocks: moved, shift: self.page_shift - self.block_shift }))
            }
        }
    }
}

/// Bits of several indexes, one above another.
pub struct Union(pub Vec<Shared<PfnIndex>>);

impl BitSource for Union {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let mut found: Option<(u64, u64)> = None;
        for index in &self.0 {
            let run = index.run(from)?;
            found = match (found, run) {
                (Some(a), Some(b)) if b.0 < a.0 => Some(b),
                (None, run) => run,
                (found, _) => found,
            };
        }
        let Some((start, mut end)) = found else { return Ok(None) };
        // Other members may continue the run, in any order.
        loop {
            let mut longer = end;
            for index in &self.0 {
                if index.rank(longer).is_some()
                    && let Some((_, next)) = index.run(longer)?
                {
                    longer = next;
                }
            }
            if longer == end {
                return Ok(Some((start, end)));
            }
            end = longer;
        }
    }
}

/// Blocks that the file counts from another one than block 0.
struct Moved {
    blocks: Shared<dyn BitSource>,
    by: u64,
}

impl BitSource for Moved {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let run = self.blocks.run(from.saturating_sub(self.by))?;
        Ok(run.map(|(start, end)| (start.saturating_add(self.by), end.saturating_add(self.by))))
    }
}

/// Pages that are parts of blocks.
struct Finer {
    blocks: Shared<dyn BitSource>,
    shift: u32,
}

impl BitSource for Finer {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let pages = |block: u64| u64::try_from(u128::from(block) << self.shift).unwrap_or(u64::MAX);
        let run = self.blocks.run(from >> self.shift)?;
        Ok(run.map(|(start, end)| (pages(start).max(from), pages(end))).filter(|(start, end)| start < end))
    }
}

/// Pages that consist of several blocks: set if all of these are.
struct Coarser {
    blocks: Shared<dyn BitSource>,
    shift: u32,
}

impl BitSource for Coarser {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let Some(mut at) = from.checked_shl(self.shift).filter(|at| at >> self.shift == from) else {
            return Ok(None);
        };
        while let Some((start, mut end)) = self.blocks.run(at)? {
            while let Some((next, longer)) = self.blocks.run(end)? {
                if next > end || longer <= end {
                    break;
                }
                end = longer;
            }
            let first = (start >> self.shift) + u64::from(start & ((1 << self.shift) - 1) != 0);
            let behind = end >> self.shift;
            if first < behind {
                return Ok(Some((first, behind)));
            }
            at = end;
        }
        Ok(None)
    }
}

/// `memory.pagemap`: the bitmap of RAM, read when somebody asks for it.
pub struct RamMap {
    pub files: Shared<FileSet>,
    pub area: BitmapArea,
    pub units: Units,
}

impl LazyValue for RamMap {
    fn compute(&self) -> Result<Value> {
        let index = self.area.read(&self.files, 0..u64::MAX)?;
        Ok(Value::Bitmap(self.units.bitmap(Shared::new(index))))
    }
}

impl BitmapArea {
    /// Indexes the bits `range` of this bitmap.
    ///
    /// # Errors
    /// `Cannot read <size> bytes of page bitmap at <position>`.
    pub fn read(&self, files: &FileSet, range: core::ops::Range<u64>) -> Result<PfnIndex> {
        let BitmapArea { file, position, size } = *self;
        let order = crate::format::pfn::BitOrder::LsbFirst;
        PfnIndex::read(files, file, position, size, order, range)
            .context(|| format!("Cannot read {size} bytes of page bitmap at {position}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::RunList;
    use crate::format::pfn::{BitOrder, Builder};
    use alloc::vec;

    fn runs(bitmap: &Bitmap) -> Vec<(u64, u64)> {
        bitmap.ranges().map(Result::unwrap).collect()
    }

    fn index(byte: u8, range: core::ops::Range<u64>) -> Shared<PfnIndex> {
        let mut builder = Builder::new(BitOrder::LsbFirst, range);
        builder.push(&[byte; 32]).unwrap();
        Shared::new(builder.finish())
    }

    #[test]
    fn runs_continue_across_the_borders_of_members() {
        let union = Union(vec![index(0xff, 100..200), index(0xff, 0..10), index(0xff, 10..100)]);
        assert_eq!(union.run(3).unwrap(), Some((3, 200)));
        assert_eq!(union.run(200).unwrap(), None);
        let gap = Union(vec![index(0xff, 40..50), index(0xff, 0..0), index(0xff, 0..10)]);
        assert_eq!(runs(&Bitmap::new(Shared::new(gap))), [(0, 9), (40, 49)]);
    }

    #[test]
    fn blocks_larger_than_pages_give_several_pages_each() {
        let units = Units { block_shift: 16, page_shift: 12, first_block: 0 };
        let blocks = Shared::new(RunList::new(vec![(1, 2), (4, 6)]));
        let bitmap = units.bitmap(blocks);
        assert_eq!(runs(&bitmap), [(16, 31), (64, 95)]);
        assert_eq!(bitmap.find_set(20).unwrap(), 20);
        assert_eq!(bitmap.find_clear(20).unwrap(), 32);
        assert_eq!((units.pfn(2), units.pfn(u64::MAX)), (32, u64::MAX));
    }

    #[test]
    fn pages_larger_than_blocks_need_all_of_them() {
        let units = Units { block_shift: 12, page_shift: 14, first_block: 0 };
        let blocks = Shared::new(RunList::new(vec![(1, 3), (4, 9), (10, 16), (21, 29)]));
        assert_eq!(runs(&units.bitmap(blocks)), [(1, 1), (3, 3), (6, 6)]);
        assert_eq!((units.pfn(5), units.pfn(8)), (2, 2));
    }

    #[test]
    fn blocks_may_be_counted_from_the_start_of_ram() {
        let units = Units { block_shift: 12, page_shift: 12, first_block: 0x40000 };
        let bitmap = units.bitmap(Shared::new(RunList::new(vec![(1, 3)])));
        assert_eq!(runs(&bitmap), [(0x40001, 0x40002)]);
        assert_eq!(bitmap.find_set(0x40002).unwrap(), 0x40002);
        assert_eq!(units.pfn(3), 0x40003);
    }
}
