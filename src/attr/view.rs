//! Views: registers and other numbers that live inside a CPU's note, and the
//! page size as objects see it that outlive a look into the tree.

use alloc::format;

use super::blob::Blob;
use crate::arch::ByteOrder;
use crate::error::{Error, Result};
use crate::sync::{Counter, Shared};

/// log2 of `arch.page_size` as it is now: the page size may become known only
/// after a dump was opened, and its bitmaps count pages from then on.
#[derive(Clone)]
pub struct PageShift(Shared<Counter>);

impl PageShift {
    const UNKNOWN: u64 = u64::MAX;

    /// The shift, once the page size is known.
    pub fn get(&self) -> Option<u32> {
        u32::try_from(self.0.get()).ok()
    }

    pub(super) fn set(&self, shift: u32) {
        self.0.set(shift.into());
    }
}

impl Default for PageShift {
    /// Not known, and nobody will ever say.
    fn default() -> Self {
        PageShift(Shared::new(Counter::new(Self::UNKNOWN)))
    }
}

/// A number of `length` bytes at `offset` of a sibling blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Key of the blob, a sibling of the directory of registers (`PRSTATUS`).
    pub blob: &'static str,
    pub offset: u32,
    pub length: u8,
    /// Byte order of the number, if it is another one than that of the dump.
    pub order: Option<ByteOrder>,
}

impl View {
    fn check_length(self, verb: &str) -> Result<()> {
        match self.length {
            1 | 2 | 4 | 8 => Ok(()),
            other => Err(Error::not_implemented(format!("{verb} {other}-byte values not implemented"))),
        }
    }

    /// The number as it stands in the blob now.
    pub fn read(self, blob: Option<&Blob>, order: ByteOrder) -> Result<u64> {
        let blob = blob.ok_or_else(|| Error::no_data(format!("{} raw attribute not found", self.blob)))?;
        self.check_length("Reading")?;
        let mut raw = [0; 8];
        let raw = &mut raw[..self.length.into()];
        if !blob.read_at(self.offset as usize, raw) {
            return Err(self.too_short());
        }
        Ok(self.order.unwrap_or(order).uint(raw))
    }

    /// Stores the low bytes of `value` into the blob.
    pub fn write(self, blob: Option<&Blob>, order: ByteOrder, value: u64) -> Result<()> {
        let blob = blob.ok_or_else(|| Error::no_data(format!("{} raw attribute not found", self.blob)))?;
        self.check_length("Writing")?;
        let mut raw = [0; 8];
        let raw = &mut raw[..self.length.into()];
        self.order.unwrap_or(order).put(value, raw);
        if blob.write_at(self.offset as usize, raw) { Ok(()) } else { Err(self.too_short()) }
    }

    fn too_short(self) -> Error {
        Error::corrupt(format!("{} attribute too short", self.blob))
    }
}
