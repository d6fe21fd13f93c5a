//! The files of a set: which PFNs each of them stores, and where.
//!
//! ```text
//!   PFN    0        4096       8192      12288
//!   file 1 [=========)
//!   file 0           [==========)                   split files, any order
//!                               missing: "8192-12287"
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use super::header::{COMMON_BYTES, Common, SUB_BYTES, Sub};
use super::pagemap::Units;
use crate::error::{Error, Result, ResultExt};
use crate::format::pfn::PfnIndex;
use crate::io::FileSet;
use crate::sync::Shared;

/// Bytes of a page descriptor.
pub const DESCRIPTOR_BYTES: usize = 24;

/// A bitmap within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapArea {
    /// Index of the file within its set.
    pub file: usize,
    /// Byte position (after unflattening).
    pub position: u64,
    /// Bytes.
    pub size: u64,
}

/// What the headers of one file say.
pub struct Headers {
    pub common: Common,
    pub sub: Sub,
    /// One above the highest PFN of the dump, in blocks.
    pub max_pfn: u64,
    /// 1st bitmap: RAM.
    pub ram: BitmapArea,
    /// 2nd bitmap: what is stored.
    pub stored: BitmapArea,
    /// Byte position of the page descriptors.
    pub descriptors: u64,
    /// PFNs of which this file has the descriptors, in blocks.
    pub range: Range<u64>,
}

impl Headers {
    /// Reads the headers of file `file`. `first` is the common header of the
    /// set's first file, which settles word size and byte order.
    ///
    /// # Errors
    /// `Cannot read header`, `Cannot read subheader`; `Corrupt` for a header
    /// that cannot be one of this set.
    pub fn read(files: &FileSet, file: usize, first: &Common) -> Result<Headers> {
        let mut raw = [0; COMMON_BYTES];
        files.read(file, 0, &mut raw).context(|| "Cannot read header")?;
        let common = Common::read_like(&raw, first)
            .ok_or_else(|| Error::corrupt("Header does not fit the first file of the set"))?;
        let end = files.len(file);
        let sub = if common.has_sub_header() {
            let raw = read_sub(files, file, common.block_size).context(|| "Cannot read subheader")?;
            Sub::choose(&raw, &common, end)
        } else {
            Sub { word: common.word, ..Sub::default() }
        };
        Ok(Self::lay_out(file, common, sub, files.count() == 1, end))
    }

    /// Where things are. The sums cannot overflow: block numbers have 32 bits
    /// and block sizes 19.
    fn lay_out(file: usize, common: Common, sub: Sub, alone: bool, end: Option<u64>) -> Headers {
        let block = u64::from(common.block_size);
        let blocks = u64::from(common.bitmap_blocks);
        let wanted = match sub.max_mapnr_64 {
            0 => u64::from(common.max_mapnr),
            wide => wide,
        };
        // One bitmap says both what is RAM and what is stored, unless there is
        // room for two of them.
        let needed = wanted.div_ceil(8).div_ceil(block);
        let (skip, size) = match needed.checked_mul(2) {
            Some(two) if blocks >= two => (blocks / 2 * block, blocks / 2 * block),
            _ => (0, blocks * block),
        };
        let position = block * (1 + u64::from(common.sub_blocks));
        let bits = size * 8;
        // Until version 5 the number of pages was cut off at 32 bits.
        let cut_off = common.version < 6 && common.max_mapnr == u32::MAX;
        let max_pfn = if cut_off { bits } else { wanted.min(bits) };
        let descriptors = position + blocks * block;
        let range = match sub.split_range(&common) {
            // A writer that forgot to say which part it wrote.
            Some((0, 0)) if alone && end.is_some_and(|end| end > descriptors) => 0..bits,
            Some((start, end)) => start.min(end)..end,
            None => 0..u64::MAX,
        };
        Headers {
            max_pfn,
            ram: BitmapArea { file, position, size },
            stored: BitmapArea { file, position: position + skip, size },
            descriptors,
            range,
            common,
            sub,
        }
    }

    /// Reads the 2nd bitmap.
    ///
    /// # Errors
    /// Those of [`BitmapArea::read`].
    pub fn member(&self, files: &FileSet) -> Result<Member> {
        let bits = self.stored.size * 8;
        let range = self.range.start..self.range.end.min(bits);
        let index = self.stored.read(files, range)?;
        Ok(Member {
            file: self.stored.file,
            range: self.range.clone(),
            first_start: 0,
            descriptors: self.descriptors,
            index: Shared::new(index),
        })
    }
}

/// The first bytes of block 1.
pub fn read_sub(files: &FileSet, file: usize, block_size: u32) -> Result<[u8; SUB_BYTES]> {
    let mut raw = [0; SUB_BYTES];
    files.read(file, block_size.into(), &mut raw)?;
    Ok(raw)
}

/// One file of the set.
pub struct Member {
    /// Index of the file within its set.
    pub file: usize,
    /// PFNs of which this file has the descriptors, in blocks.
    range: Range<u64>,
    /// The least start of this and all later members.
    first_start: u64,
    /// Byte position of the first descriptor.
    descriptors: u64,
    /// Pages of `range` that are stored.
    pub index: Shared<PfnIndex>,
}

/// All files of the set, by ascending end of their range.
pub struct Members(Vec<Member>);

impl Members {
    /// Sorts the files.
    pub fn new(mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| member.range.end);
        let mut least = u64::MAX;
        for member in members.iter_mut().rev() {
            least = least.min(member.range.start);
            member.first_start = least;
        }
        Members(members)
    }

    /// File and byte position of the descriptor of block `number`.
    pub fn descriptor(&self, number: u64) -> Option<(usize, u64)> {
        let from = self.0.partition_point(|member| member.range.end <= number);
        for member in &self.0[from..] {
            if member.first_start > number {
                break;
            }
            // The index holds nothing outside of the range.
            if let Some(rank) = member.index.rank(number) {
                let offset = rank.checked_mul(DESCRIPTOR_BYTES as u64)?;
                return Some((member.file, member.descriptors.checked_add(offset)?));
            }
        }
        None
    }

    /// The indexes of all files.
    pub fn indexes(&self) -> impl Iterator<Item = &Shared<PfnIndex>> {
        self.0.iter().map(|member| &member.index)
    }

    /// PFNs below `end` (in blocks) that no file has descriptors for, as
    /// inclusive ranges `4096-8191,12288-16383`; `None` if there are none.
    pub fn missing(&self, end: u64, units: Units) -> Option<String> {
        let mut ranges: Vec<_> = self.0.iter().map(|member| member.range.clone()).collect();
        ranges.sort_by_key(|range| range.start);
        ranges.push(end..end);
        let mut text = String::new();
        let mut covered = 0;
        for range in ranges {
            let (first, behind) = (units.pfn(covered), units.pfn(range.start.min(end)));
            if first < behind && covered < range.start {
                let comma = if text.is_empty() { "" } else { "," };
                text.push_str(&format!("{comma}{first}-{}", behind - 1));
            }
            covered = covered.max(range.end);
        }
        (!text.is_empty()).then_some(text)
    }
}
