//! Groups of tags: what a state file is made of.
//!
//! ```text
//! u16 tag     bits 15-8 bytes of the name, 7-6 number of indices, 5-0 size
//! name        without a NUL
//! indices     u32 each
//! value       of that size; or sizes, padding and data of a block
//! ```
//!
//! Sizes 63 (block) and 62 (compressed block) are followed by the size in the
//! file and in memory, 64 or (old files) 32 bits each, and by u16 bytes of
//! padding with their number in front.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use crate::arch::ByteOrder;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

pub(super) const ORDER: ByteOrder = ByteOrder::Little;

/// Sizes in a tag that stand for blocks.
const BLOCK: u64 = 63;
const COMPRESSED: u64 = 62;

/// One tag and where its value is.
pub(super) struct Tag {
    /// Position of the tag in the file.
    pub at: u64,
    /// Name; not always text.
    pub name: Vec<u8>,
    /// Up to three indices.
    pub indices: Vec<u64>,
    /// Position of the value in the file.
    pub position: u64,
    /// Bytes of the value in the file.
    pub size: u64,
    /// Whether the value has to be decompressed, by unknown means.
    pub compressed: bool,
}

/// Reads a state file from front to back.
pub(super) struct Cursor<'a> {
    pub files: &'a FileSet,
    pub file: usize,
    pub position: u64,
    /// Sizes of blocks have 32 bits.
    pub narrow: bool,
}

impl Cursor<'_> {
    /// The next `size` bytes as a number; `size` is at most 8.
    pub fn number(&mut self, size: u64) -> Result<u64> {
        let mut raw = [0; 8];
        let bytes = raw.get_mut(..size.min(8) as usize).unwrap_or_default();
        self.files
            .read(self.file, self.position, bytes)
            .context(|| format!("Cannot read {size} bytes at {}", self.position))?;
        self.skip(size)?;
        Ok(ORDER.u64(&raw, 0))
    }

    /// The next `size` bytes; `size` is at most 255.
    pub fn bytes(&mut self, size: u64) -> Result<Vec<u8>> {
        let bytes = self.at(self.position, size.min(255))?;
        self.skip(size)?;
        Ok(bytes)
    }

    /// `size` bytes at `position`; both come from a few bytes of a value.
    pub fn at(&self, position: u64, size: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size as usize];
        self.files
            .read(self.file, position, &mut bytes)
            .context(|| format!("Cannot read {size} bytes at {position}"))?;
        Ok(bytes)
    }

    /// A value as a number: of its first 8 bytes, at most.
    pub fn value(&self, tag: &Tag) -> Result<u64> {
        let mut raw = self.at(tag.position, tag.size.min(8))?;
        raw.resize(8, 0);
        Ok(ORDER.u64(&raw, 0))
    }

    fn skip(&mut self, size: u64) -> Result<()> {
        let end = self.position.checked_add(size);
        self.position = end.ok_or_else(|| {
            Error::corrupt(format!("Size {size:#x} of the part at {} goes beyond 64 bits", self.position))
        })?;
        Ok(())
    }

    /// The next tag in front of `end`; `None` behind the last one.
    pub fn tag(&mut self, end: u64) -> Result<Option<Tag>> {
        let at = self.position;
        if at >= end {
            return Ok(None);
        }
        let head = self.number(2)?;
        if head == 0 {
            return Ok(None);
        }
        let name = self.bytes(head >> 8)?;
        let mut indices = Vec::new();
        for _ in 0..head >> 6 & 3 {
            indices.push(self.number(4)?);
        }
        let mut size = head & 63;
        let mut compressed = false;
        if size >= COMPRESSED {
            let width = if self.narrow { 4 } else { 8 };
            compressed = size != BLOCK;
            size = self.number(width)?;
            compressed |= self.number(width)? != size;
            let pad = self.number(2)?;
            self.skip(pad)?;
        }
        let position = self.position;
        self.skip(size)?;
        Ok(Some(Tag { at, name, indices, position, size, compressed }))
    }
}
