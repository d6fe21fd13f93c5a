//! The files of one dump.

use super::policy::Governed;
use super::{Archive, FlatView, MmapPolicy, ReadAt, Source, archive, flat, read_full_by, read_zero_filled};
use crate::error::{Error, Result, ResultExt, Status};
use crate::sync::Shared;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The unit in which the end of a file is noticed under policy `always`.
const EOF_UNIT: u64 = 4096;

/// How many files of a set are flattened streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flattened {
    /// No file.
    None,
    /// At least one file, but not all.
    Some,
    /// Every file.
    All,
}

impl Flattened {
    /// What `file.description` begins with: empty, `"Mixed "` or `"Flattened "`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Flattened::None => "",
            Flattened::Some => "Mixed ",
            Flattened::All => "Flattened ",
        }
    }
}

/// The files of an open dump, each as its dump format sees it: unpacked and
/// rearranged.
///
/// Nothing in it changes after opening. Positions and lengths are those of
/// the logical file.
pub struct FileSet {
    files: Vec<File>,
    policy: Shared<MmapPolicy>,
}

struct File {
    raw: Source,
    /// What formats read from: the uppermost view.
    view: Source,
    name: String,
    archive: Option<Archive>,
    flattened: bool,
}

/// A source from a position on.
struct Tail {
    source: Source,
    pos: u64,
}

impl ReadAt for Tail {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        match self.pos.checked_add(pos) {
            Some(pos) => self.source.read_at(pos, buf),
            None => Ok(0),
        }
    }

    fn read_once(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        match self.pos.checked_add(pos) {
            Some(pos) => self.source.read_once(pos, buf),
            None => Ok(0),
        }
    }

    fn len(&self) -> Option<u64> {
        Some(self.source.len()?.saturating_sub(self.pos))
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        self.source.borrow(self.pos.checked_add(pos)?, len)
    }
}

impl FileSet {
    /// Detects archives and flattened streams and puts their views on top.
    ///
    /// `names[i]` stands for file `i` in messages (`vmcore`); a missing one is
    /// `file #<i>`.
    ///
    /// # Errors
    /// `Cannot read <name>` with the status of the failed read (under policy
    /// `always` an empty file is [`Status::NoData`]); `Cannot unpack <name>` for
    /// an archive that cannot be read in place or is damaged; `Cannot rearrange
    /// <name>` with what [`FlatView::open`] says.
    pub fn open(sources: Vec<Source>, names: Vec<String>, policy: Shared<MmapPolicy>) -> Result<FileSet> {
        let mut set = FileSet { files: Vec::new(), policy };
        let mut names = names.into_iter();
        for (index, raw) in sources.into_iter().enumerate() {
            let name = names.next().unwrap_or_else(|| format!("file #{index}"));
            let file = set.open_file(raw, name)?;
            set.files.push(file);
        }
        Ok(set)
    }

    fn open_file(&self, raw: Source, name: String) -> Result<File> {
        let view: Source = Shared::new(Governed::new(raw.clone(), self.policy.clone()));
        let mut file = File { raw, view, name, archive: None, flattened: false };
        let mut head = [0; flat::HEAD];
        self.read_file(&file, 0, &mut head).context(|| format!("Cannot read {}", file.name))?;
        file.archive = archive::detect(&file.view).context(|| format!("Cannot read {}", file.name))?;
        if let Some(archive) = file.archive {
            let unpack = || format!("Cannot unpack {}", file.name);
            file.view = archive::open(file.view.clone(), archive, &self.policy).context(unpack)?;
            self.read_file(&file, 0, &mut head).context(|| format!("Cannot unpack {}", file.name))?;
        }
        if flat::is_flattened(&head) {
            let flat =
                FlatView::open(file.view.clone()).context(|| format!("Cannot rearrange {}", file.name))?;
            file.view = Shared::new(flat);
            file.flattened = true;
        }
        Ok(file)
    }

    /// The file that is packed inside of file `index` from position `pos` on, as
    /// a set of its own.
    ///
    /// # Errors
    /// `Cannot unpack <name>` for an archive that cannot be read in place or is
    /// damaged; [`Status::Corrupt`] if there is none; what the source says.
    pub fn unpacked_from(&self, index: usize, pos: u64) -> Result<FileSet> {
        let file = self.file(index)?;
        let source: Source = Shared::new(Tail { source: file.view.clone(), pos });
        let unpack = || format!("Cannot unpack {} from {pos} on", file.name);
        let archive = archive::detect(&source).context(unpack)?;
        let archive = archive.ok_or_else(|| Error::corrupt(format!("There is no archive at {pos}")))?;
        let view = archive::open(source, archive, &self.policy).context(unpack)?;
        let (raw, name) = (file.raw.clone(), file.name.clone());
        let file = File { raw, view, name, archive: Some(archive), flattened: false };
        Ok(FileSet { files: alloc::vec![file], policy: self.policy.clone() })
    }

    /// Number of files.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// What file `index` is called in messages; empty if there is no such file.
    pub fn name(&self, index: usize) -> &str {
        self.files.get(index).map_or("", |file| &file.name)
    }

    /// Length of logical file `index` in bytes, as far as it is known.
    pub fn len(&self, index: usize) -> Option<u64> {
        self.files.get(index)?.view.len()
    }

    /// What file `index` was packed with, if it is an archive.
    pub fn archive(&self, index: usize) -> Option<Archive> {
        self.files.get(index)?.archive
    }

    /// How many of the files are flattened streams.
    pub fn flattened(&self) -> Flattened {
        match self.files.iter().filter(|file| file.flattened).count() {
            0 => Flattened::None,
            n if n == self.files.len() => Flattened::All,
            _ => Flattened::Some,
        }
    }

    /// The source of file `index` as it was given to [`open`](Self::open).
    ///
    /// # Panics
    /// If `index` is not below [`count`](Self::count).
    pub fn raw_source(&self, index: usize) -> &Source {
        &self.files[index].raw
    }

    /// The policy and the statistics of this set.
    pub fn policy(&self) -> &Shared<MmapPolicy> {
        &self.policy
    }

    /// Fills `buf` from position `pos` of file `index`. Bytes behind the end
    /// are zero.
    ///
    /// # Errors
    /// What the source says, without further words. Under policy `always` a
    /// read that starts in a 4096-byte page behind the end of a file is
    /// [`Status::NoData`] without a message. [`Status::Invalid`] if there is no
    /// such file.
    pub fn read(&self, index: usize, pos: u64, buf: &mut [u8]) -> Result<()> {
        self.read_file(self.file(index)?, pos, buf)
    }

    /// Like [`read`](Self::read) for bytes that will not be needed again: those of
    /// a file that could be mapped do not stay in memory. Under policy `always`
    /// there is no other way than the map.
    ///
    /// # Errors
    /// Those of [`read`](Self::read).
    pub fn read_once(&self, index: usize, pos: u64, buf: &mut [u8]) -> Result<()> {
        let file = self.file(index)?;
        if self.policy.get() == MmapPolicy::ALWAYS {
            return self.read_file(file, pos, buf);
        }
        let done = read_full_by(pos, buf, |pos, buf| file.view.read_once(pos, buf))?;
        buf[done..].fill(0);
        Ok(())
    }

    fn read_file(&self, file: &File, pos: u64, buf: &mut [u8]) -> Result<()> {
        if self.policy.get() == MmapPolicy::ALWAYS
            && !buf.is_empty()
            && !file.flattened
            && file.view.len().is_some_and(|len| pos - pos % EOF_UNIT >= len)
        {
            return Err(Error::bare(Status::NoData));
        }
        read_zero_filled(&file.view, pos, buf)
    }

    /// Whether file `index` ends at or in front of position `pos`. Also answers
    /// where the length is not known, by a read of one byte.
    ///
    /// # Errors
    /// What the source says; [`Status::Invalid`] if there is no such file.
    pub fn ends_before(&self, index: usize, pos: u64) -> Result<bool> {
        let file = self.file(index)?;
        match file.view.len() {
            Some(len) => Ok(len <= pos),
            None => Ok(file.view.read_at(pos, &mut [0])? == 0),
        }
    }

    /// Bytes `[pos, pos + len)` of file `index` in place; `None` if the policy
    /// or the source does not allow it, or if not all of them exist.
    pub fn borrow(&self, index: usize, pos: u64, len: usize) -> Option<&[u8]> {
        self.files.get(index)?.view.borrow(pos, len)
    }

    /// Reads `len` bytes into a new buffer. Bytes behind the end are zero, but
    /// a buffer that reaches behind the end (or is read from a device
    /// without a length) is at most `what_max` bytes long.
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`Status::Corrupt`] for a longer buffer
    /// behind the end; [`Status::System`] if there is no memory.
    pub fn read_vec(&self, index: usize, pos: u64, len: u64, what_max: u64) -> Result<Vec<u8>> {
        let file = self.file(index)?;
        let exists = match (pos.checked_add(len), file.view.len()) {
            (Some(end), Some(len)) => end <= len,
            // The length of an archive is not known, but where it has bytes is.
            (Some(end), None) if file.archive.is_some() && len > what_max => {
                file.view.read_at(end - 1, &mut [0])? > 0
            }
            _ => false,
        };
        if !exists && len > what_max {
            return Err(Error::corrupt(format!(
                "{len} bytes at {pos} reach behind the end of {}",
                file.name
            )));
        }
        let no_memory = || Error::system("Cannot allocate memory");
        let size = usize::try_from(len).map_err(|_| no_memory())?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| no_memory())?;
        bytes.resize(size, 0);
        self.read_file(file, pos, &mut bytes)?;
        Ok(bytes)
    }

    fn file(&self, index: usize) -> Result<&File> {
        self.files.get(index).ok_or_else(|| Error::invalid(format!("No such file: #{index}")))
    }
}
