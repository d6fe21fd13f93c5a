//! Positioned reads: where the bytes of a dump come from.

use crate::error::{Error, Result, Status};
use crate::sync::{MaybeSend, MaybeSync, Shared};

/// A source of bytes that can be read at any position through `&self`.
///
/// One method is required. A source never moves a shared seek offset, so
/// clones of a dump read from it at the same time.
pub trait ReadAt: MaybeSend + MaybeSync {
    /// Reads into `buf` from byte position `pos` and returns how many bytes
    /// were read. Fewer than `buf.len()` may be read at any time; 0 means that
    /// `pos` is at or behind the end (or that `buf` is empty).
    ///
    /// # Errors
    /// What the storage says, as [`Status::System`](crate::Status::System)
    /// with the operating system's text and nothing else.
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize>;

    /// Length in bytes, if the source has one (a device may not).
    fn len(&self) -> Option<u64> {
        None
    }

    /// The bytes `[pos, pos + len)` without a copy, if the source holds all of
    /// them in memory; `None` if not, or if they reach past the end.
    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        let _ = (pos, len);
        None
    }
}

/// A source that may be shared by the clones of a dump.
pub type Source = Shared<dyn ReadAt>;

/// Reads until `buf` is full or the source ends; returns the bytes read.
///
/// # Errors
/// Those of [`ReadAt::read_at`]; a source that claims to have read more than
/// it was asked for is an error as well.
pub fn read_full(source: &(impl ReadAt + ?Sized), pos: u64, buf: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let Some(at) = pos.checked_add(done as u64) else {
            break;
        };
        let n = source.read_at(at, &mut buf[done..])?;
        if n == 0 {
            break;
        }
        if n > buf.len() - done {
            return Err(Error::new(Status::System, "Read returned more bytes than asked for"));
        }
        done += n;
    }
    Ok(done)
}

/// Fills all of `buf`; what lies behind the end of the source is zero.
///
/// # Errors
/// Those of [`read_full`].
pub fn read_zero_filled(source: &(impl ReadAt + ?Sized), pos: u64, buf: &mut [u8]) -> Result<()> {
    let done = read_full(source, pos, buf)?;
    buf[done..].fill(0);
    Ok(())
}

impl ReadAt for [u8] {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let Some(rest) = usize::try_from(pos).ok().and_then(|pos| self.get(pos..)) else {
            return Ok(0);
        };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn len(&self) -> Option<u64> {
        Some(<[u8]>::len(self) as u64)
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(pos).ok()?;
        self.get(start..start.checked_add(len)?)
    }
}
