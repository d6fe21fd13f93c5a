//! Positioned reads: where the bytes of a dump come from.
//!
//! ```text
//!  FileSet        one dump: one or more files, zeros behind their ends
//!     |
//!  FlatView       the flattened stream, rearranged        (if it is one)
//!     |
//!  ArchiveView    the file as it was before it was packed (if it was)
//!     |
//!  MmapPolicy     look at the bytes in place, or read them?
//!     |
//!  ReadAt         a file, a descriptor, a byte slice, flash, your own type
//! ```
//!
//! Each layer but the uppermost is a [`ReadAt`] itself, so a format never
//! knows how many of them are below it.

mod archive;
#[cfg(any(feature = "embedded-io", feature = "embedded-storage"))]
mod embedded;
mod flat;
mod live;
mod policy;
mod set;
mod slice;

#[cfg(all(feature = "std", any(unix, windows)))]
mod file;

#[cfg(feature = "std")]
pub use std::path::Path;

#[cfg(feature = "archive")]
pub use archive::ArchiveView;
pub use archive::{Archive, STREAM_MAX, UNIT_MAX};
#[cfg(feature = "embedded-io")]
pub use embedded::SeekReader;
#[cfg(feature = "embedded-storage")]
pub use embedded::StorageReader;
pub use flat::FlatView;
#[cfg(all(feature = "live", unix))]
pub use live::Host;
pub use live::{Live, LiveKind, LiveXen};
pub use policy::{MmapPolicy, Watch};
pub use set::{FileSet, Flattened};

#[cfg(all(feature = "std", unix))]
pub use file::FdSource;
#[cfg(all(feature = "std", any(unix, windows)))]
pub use file::FileSource;

use crate::error::{Error, Result, Status};
use crate::sync::{MaybeSend, MaybeSync, Shared};

/// A source of bytes that can be read at any position through `&self`.
///
/// One method is required. A source never moves a shared seek offset, so
/// clones of a dump read from it at the same time.
// Whether a source without a known length is empty cannot be told.
#[allow(clippy::len_without_is_empty)]
pub trait ReadAt: MaybeSend + MaybeSync {
    /// Reads into `buf` from byte position `pos` and returns how many bytes
    /// were read. Fewer than `buf.len()` may be read at any time; 0 means that
    /// `pos` is at or behind the end (or that `buf` is empty).
    ///
    /// # Errors
    /// What the storage says, as [`Status::System`]
    /// with the operating system's text and nothing else.
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize>;

    /// Reads like [`read_at`](Self::read_at) what will not be needed again: a
    /// source that copies from a memory map does not touch the map for it.
    ///
    /// # Errors
    /// Those of [`read_at`](Self::read_at).
    fn read_once(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.read_at(pos, buf)
    }

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

    /// The machine that this is the memory of, if it is a running one.
    fn live(&self) -> Option<Live> {
        None
    }

    /// Why [`borrow`](Self::borrow) gives nothing even where there are bytes,
    /// if the storage said why.
    fn borrow_error(&self) -> Option<Error> {
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
    read_full_by(pos, buf, |pos, buf| source.read_at(pos, buf))
}

/// The same with another way to read.
fn read_full_by(pos: u64, buf: &mut [u8], read: impl Fn(u64, &mut [u8]) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        let Some(at) = pos.checked_add(done as u64) else {
            break;
        };
        let n = read(at, &mut buf[done..])?;
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
