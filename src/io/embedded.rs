//! Sources of the embedded world: a seekable reader, a flash storage.

use super::ReadAt;
use crate::error::{Error, Result};
use crate::sync::{Lock, MaybeSend};
use alloc::format;

/// Reads at positions from something that has a position of its own.
///
/// The reader is locked for one seek and one read at a time, so clones of a
/// dump take turns. (This is the one lock of the crate that is held during
/// I/O: the reader cannot do two things at once.)
#[cfg(feature = "embedded-io")]
pub struct SeekReader<T> {
    reader: Lock<T>,
    len: u64,
}

#[cfg(feature = "embedded-io")]
impl<T: embedded_io::Read + embedded_io::Seek> SeekReader<T> {
    /// Takes `reader`; its length is where seeking to the end leads.
    ///
    /// # Errors
    /// [`Status::System`](crate::Status::System) if it cannot seek.
    pub fn new(mut reader: T) -> Result<Self> {
        let len = reader.seek(embedded_io::SeekFrom::End(0)).map_err(io_error)?;
        Ok(SeekReader { reader: Lock::new(reader), len })
    }
}

#[cfg(feature = "embedded-io")]
fn io_error(error: impl embedded_io::Error) -> Error {
    use embedded_io::ErrorKind;
    let text = match error.kind() {
        ErrorKind::NotFound => "No such file or directory",
        ErrorKind::PermissionDenied => "Permission denied",
        ErrorKind::InvalidInput => "Invalid argument",
        ErrorKind::TimedOut => "Connection timed out",
        ErrorKind::OutOfMemory => "Cannot allocate memory",
        ErrorKind::Unsupported => "Operation not supported",
        kind => return Error::system(format!("Input/output error ({kind:?})")),
    };
    Error::system(text)
}

#[cfg(feature = "embedded-io")]
impl<T: embedded_io::Read + embedded_io::Seek + MaybeSend> ReadAt for SeekReader<T> {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let mut reader = self.reader.lock();
        loop {
            let read = reader
                .seek(embedded_io::SeekFrom::Start(pos))
                .and_then(|_| if buf.is_empty() { Ok(0) } else { reader.read(buf) });
            match read {
                Err(error) if embedded_io::Error::kind(&error) == embedded_io::ErrorKind::Interrupted => {}
                read => return read.map_err(io_error),
            }
        }
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// Reads from a storage that is addressed by 32-bit offsets, such as flash.
///
/// The storage is locked during each read, because reading needs it exclusively.
#[cfg(feature = "embedded-storage")]
pub struct StorageReader<T> {
    storage: Lock<T>,
    len: u64,
}

#[cfg(feature = "embedded-storage")]
impl<T: embedded_storage::ReadStorage> StorageReader<T> {
    /// Takes `storage`; its length is its capacity.
    pub fn new(storage: T) -> Self {
        let len = storage.capacity() as u64;
        StorageReader { storage: Lock::new(storage), len }
    }
}

#[cfg(feature = "embedded-storage")]
impl<T> ReadAt for StorageReader<T>
where
    T: embedded_storage::ReadStorage + MaybeSend,
    T::Error: core::fmt::Debug,
{
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let exist = usize::try_from(self.len.saturating_sub(pos)).unwrap_or(usize::MAX);
        let len = exist.min(buf.len());
        if len == 0 {
            return Ok(0);
        }
        let offset = u32::try_from(pos).map_err(|_| Error::system("Invalid argument"))?;
        let read = self.storage.lock().read(offset, &mut buf[..len]);
        read.map_err(|error| Error::system(format!("Input/output error ({error:?})")))?;
        Ok(len)
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }
}
