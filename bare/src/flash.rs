//! Where the dump is: bytes behind a device that reads sectors, through the
//! trait that any user of the library implements.

use core::sync::atomic::{AtomicU64, Ordering};

use kdumpfile::Result;
use kdumpfile::io::ReadAt;

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// A device that never gives more than one sector at a time, as a slow one
/// does. It has no bytes to borrow, so every page goes through buffers.
pub struct Flash {
    bytes: &'static [u8],
    reads: AtomicU64,
    before_read: fn(),
}

impl Flash {
    /// A device with these bytes; `before_read` is called before each read.
    pub fn new(bytes: &'static [u8], before_read: fn()) -> Self {
        Flash { bytes, reads: AtomicU64::new(0), before_read }
    }

    /// How often it was read.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }
}

impl ReadAt for Flash {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        (self.before_read)();
        self.reads.fetch_add(1, Ordering::Relaxed);
        let Some(rest) = usize::try_from(pos).ok().and_then(|pos| self.bytes.get(pos..)) else {
            return Ok(0);
        };
        let in_sector = (SECTOR - pos % SECTOR) as usize;
        let n = in_sector.min(rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn len(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }
}
