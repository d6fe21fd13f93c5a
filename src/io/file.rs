//! Files and descriptors of the operating system.

use super::ReadAt;
use crate::error::{Error, Result};
use alloc::string::ToString;
#[cfg(feature = "mmap")]
use core::convert::Infallible;
use std::fs::File;
use std::io;
use std::path::Path;

/// The text of an operating system's error and nothing else, as the C library
/// words it: `Bad file descriptor`.
pub(super) fn os_error(error: &io::Error) -> Error {
    let mut text = error.to_string();
    if let Some(code) = error.raw_os_error() {
        let suffix = alloc::format!(" (os error {code})");
        if text.ends_with(&suffix) {
            text.truncate(text.len() - suffix.len());
        }
    }
    Error::system(text)
}

/// One positioned read; the descriptor's own offset is neither used nor, on
/// Unix, moved.
fn pread(file: &File, pos: u64, buf: &mut [u8]) -> Result<usize> {
    loop {
        #[cfg(unix)]
        let result = std::os::unix::fs::FileExt::read_at(file, buf, pos);
        #[cfg(windows)]
        let result = std::os::windows::fs::FileExt::seek_read(file, buf, pos);
        match result {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result.map_err(|error| os_error(&error)),
        }
    }
}

/// The size of a regular file or of a block device; anything else has none.
fn size_of(file: &File) -> Option<u64> {
    let metadata = file.metadata().ok()?;
    if metadata.is_file() {
        return Some(metadata.len());
    }
    #[cfg(unix)]
    if std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type()) {
        use std::io::{Seek, SeekFrom};
        let mut seeker = file;
        let before = seeker.stream_position().ok()?;
        let size = seeker.seek(SeekFrom::End(0)).ok()?;
        // The offset is shared with whoever else holds the descriptor.
        seeker.seek(SeekFrom::Start(before)).ok()?;
        return Some(size);
    }
    None
}

/// A read-only map of a whole file, made when it is first asked for.
#[cfg(feature = "mmap")]
#[derive(Default)]
struct Map(crate::sync::Lazy<Result<memmap2::Mmap>>);

#[cfg(feature = "mmap")]
impl Map {
    /// The map, or why there is none; a failure is not tried again.
    fn get(&self, file: &File) -> Result<&memmap2::Mmap, &Error> {
        let Ok(made) = self.0.get_or_try_init(|| Ok::<_, Infallible>(Self::make(file)));
        made.as_ref()
    }

    fn make(file: &File) -> Result<memmap2::Mmap> {
        // Asked anew: a file cut since it was opened must not be mapped to
        // where it once ended.
        let size = size_of(file).unwrap_or(0);
        let mut options = memmap2::MmapOptions::new();
        if let Ok(len) = usize::try_from(size)
            && len > 0
        {
            options.len(len);
        }
        // SAFETY: the map is read-only and private to this source. That no
        // other process cuts or rewrites the file while a dump is open is the
        // condition under which `file.mmap_policy` may be other than `never`;
        // it is stated in the documentation of `FileSource`.
        #[allow(unsafe_code)]
        let map = unsafe { options.map(file) };
        map.map_err(|error| os_error(&error))
    }
}

#[cfg(not(feature = "mmap"))]
#[derive(Default)]
struct Map {}

/// What is known about an open file besides the file.
#[derive(Default)]
struct Facts {
    len: Option<u64>,
    #[cfg_attr(not(feature = "mmap"), allow(dead_code))]
    map: Map,
}

impl Facts {
    fn of(file: &File) -> Self {
        Facts { len: size_of(file), map: Map::default() }
    }

    #[cfg(feature = "mmap")]
    fn borrow(&self, file: &File, pos: u64, len: usize) -> Option<&[u8]> {
        ReadAt::borrow(&**self.map.get(file).ok()?, pos, len)
    }

    #[cfg(not(feature = "mmap"))]
    fn borrow(&self, _: &File, _: u64, _: usize) -> Option<&[u8]> {
        None
    }

    #[cfg(feature = "mmap")]
    fn borrow_error(&self, file: &File) -> Option<Error> {
        self.map.get(file).err().cloned()
    }

    #[cfg(not(feature = "mmap"))]
    fn borrow_error(&self, _: &File) -> Option<Error> {
        Some(Error::not_implemented("Built without feature mmap"))
    }
}

/// A file that is read at positions, or mapped (feature `mmap`).
///
/// [`ReadAt::len`] is the size at the time of opening for regular files and
/// block devices; nothing else has a length. Reads are not limited to it, so a
/// file that grows may be read to its new end.
///
/// The map covers the whole file and is made by the first
/// [`ReadAt::borrow`]; if it cannot be made (a pipe, a file larger than the
/// address space) nothing is ever borrowed and reads work as before. **A file
/// that another process cuts while it is mapped ends this process with SIGBUS
/// when the lost part is touched**; where that may happen, set
/// `file.mmap_policy` to `never`.
pub struct FileSource {
    file: File,
    facts: Facts,
}

impl FileSource {
    /// Opens the file at `path` for reading.
    ///
    /// # Errors
    /// [`Status::System`](crate::Status::System) with the operating system's
    /// text, for example `No such file or directory`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        File::open(path).map(Self::new).map_err(|error| os_error(&error))
    }

    /// Reads from an open file, which is closed with the source.
    pub fn new(file: File) -> Self {
        let facts = Facts::of(&file);
        FileSource { file, facts }
    }
}

impl ReadAt for FileSource {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        pread(&self.file, pos, buf)
    }

    fn len(&self) -> Option<u64> {
        self.facts.len
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        self.facts.borrow(&self.file, pos, len)
    }

    fn borrow_error(&self) -> Option<Error> {
        self.facts.borrow_error(&self.file)
    }

    #[cfg(all(feature = "live", unix))]
    fn live(&self) -> Option<super::Live> {
        super::Host::new("/").look(&self.file)
    }
}

/// A file descriptor that belongs to somebody else: read and mapped like a
/// [`FileSource`], never closed.
#[cfg(unix)]
pub struct FdSource {
    /// Absent for a negative number, which no descriptor has.
    file: Option<core::mem::ManuallyDrop<File>>,
    facts: Facts,
}

#[cfg(unix)]
impl FdSource {
    /// Reads through descriptor `fd`, which the caller keeps open until the
    /// source is dropped.
    ///
    /// A number that is not (or no longer) an open descriptor does no harm:
    /// reading fails with `Bad file descriptor`, or, if the number was given
    /// to another file meanwhile, returns that file's bytes.
    pub fn borrow_raw(fd: i32) -> Self {
        use std::os::fd::FromRawFd;
        if fd < 0 {
            return FdSource { file: None, facts: Facts::default() };
        }
        // SAFETY: `fd` is not -1. The `File` is never dropped, so the
        // descriptor is never closed here, and the only operations on it are
        // positioned reads, `fstat`, read-only maps and, on a block device
        // and at this moment only, a seek to the end and back; a number that
        // is no open descriptor makes them fail with EBADF.
        #[allow(unsafe_code)]
        let file = core::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(fd) });
        let facts = Facts::of(&file);
        FdSource { file: Some(file), facts }
    }

    fn bad_descriptor() -> Error {
        Error::system("Bad file descriptor")
    }
}

#[cfg(unix)]
impl ReadAt for FdSource {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        pread(self.file.as_ref().ok_or_else(Self::bad_descriptor)?, pos, buf)
    }

    fn len(&self) -> Option<u64> {
        self.facts.len
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        self.facts.borrow(self.file.as_ref()?, pos, len)
    }

    fn borrow_error(&self) -> Option<Error> {
        match &self.file {
            Some(file) => self.facts.borrow_error(file),
            None => Some(Self::bad_descriptor()),
        }
    }

    #[cfg(feature = "live")]
    fn live(&self) -> Option<super::Live> {
        super::Host::new("/").look(self.file.as_ref()?)
    }
}
