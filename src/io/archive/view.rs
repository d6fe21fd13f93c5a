//! An archive as the file that was packed.

use super::lz4::Lz4Frame;
use super::{Archive, UNIT_MAX, gzip, lz4, zstd};
use crate::error::{Error, Result};
use crate::io::{MmapPolicy, ReadAt, Source, read_full};
use crate::sync::{Lock, Shared};
use alloc::format;
use alloc::vec::Vec;

/// The most unpacked units that are kept, and the most bytes in them (a single
/// unit is always kept).
const CACHE_UNITS: usize = 8;
const CACHE_BYTES: usize = UNIT_MAX as usize;

/// A stretch of the unpacked file that unpacks on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// Position of its first byte in the unpacked file.
    pub start: u64,
    /// Position of its packed bytes in the archive.
    pub packed: u64,
    /// Number of packed bytes.
    pub packed_len: u32,
    /// Number of unpacked bytes, not more than [`UNIT_MAX`].
    pub len: u32,
    /// How the packed bytes are to be read.
    pub form: Form,
}

/// How the packed bytes of a unit are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Stored,
    /// One LZ4 block; `checked`: its xxHash32 follows.
    Lz4Block {
        /// Whether a checksum follows the block.
        checked: bool,
    },
    /// One LZ4 block that is stored, followed by its xxHash32.
    Lz4StoredChecked,
    /// All blocks of an LZ4 frame.
    Lz4Linked {
        /// Whether a checksum follows each block.
        checked: bool,
    },
    /// Whole zstd frames.
    Zstd,
    /// A deflate stream and the CRC-32 behind it.
    Gzip,
}

/// How far the index of an archive has grown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// Position of the next header in the archive.
    pub pos: u64,
    /// Length of what was indexed, unpacked.
    pub total: u64,
    /// The LZ4 frame that is being indexed.
    pub frame: Option<Lz4Frame>,
}

/// What stands at a cursor.
pub(super) enum Step {
    /// A unit, the cursor behind it, and its bytes if they had to be unpacked
    /// to know its size.
    Unit(Unit, Cursor, Option<Vec<u8>>),
    /// Nothing that unpacks to bytes.
    Skip(Cursor),
    /// The end of the archive.
    End,
}

struct Index {
    units: Vec<Unit>,
    cursor: Cursor,
    done: bool,
}

/// Unpacked units, the least recently used one first.
#[derive(Default)]
struct Cache {
    units: Vec<(u64, Shared<Vec<u8>>)>,
}

impl Cache {
    fn get(&mut self, start: u64) -> Option<Shared<Vec<u8>>> {
        let at = self.units.iter().rposition(|(key, _)| *key == start)?;
        self.units[at..].rotate_left(1);
        self.units.last().map(|(_, bytes)| bytes.clone())
    }

    fn insert(&mut self, start: u64, bytes: Shared<Vec<u8>>) {
        self.units.retain(|(key, _)| *key != start);
        let kept = self.units.iter().map(|(_, bytes)| bytes.as_slice().len());
        let mut sum = kept.sum::<usize>() + bytes.as_slice().len();
        while !self.units.is_empty() && (self.units.len() >= CACHE_UNITS || sum > CACHE_BYTES) {
            sum -= self.units.remove(0).1.as_slice().len();
        }
        self.units.push((start, bytes));
    }
}

/// The file inside an archive, readable at any position.
///
/// Its length is unknown until a read has reached its end.
pub struct ArchiveView {
    source: Source,
    archive: Archive,
    index: Lock<Index>,
    cache: Lock<Cache>,
    policy: Shared<MmapPolicy>,
}

impl ArchiveView {
    /// Opens `source`, which begins as an archive of kind `archive` does.
    /// Reads answered from units unpacked before count as `read_hits` of
    /// `policy`.
    ///
    /// # Errors
    /// [`Status::NotImplemented`](crate::Status::NotImplemented) if the first
    /// unit is too large to be unpacked in memory or needs what is not
    /// supported; [`Status::Corrupt`](crate::Status::Corrupt) if it cannot be
    /// what it seems to be; what the source says.
    pub fn open(source: Source, archive: Archive, policy: Shared<MmapPolicy>) -> Result<Self> {
        let cursor = Cursor { pos: 0, total: 0, frame: None };
        let mut index = Index { units: Vec::new(), cursor, done: false };
        if archive == Archive::Zstd
            && let Some(units) = zstd::seek_table(&source)?
        {
            index = Index { units, cursor, done: true };
        }
        let cache = Lock::new(Cache::default());
        let view = ArchiveView { source, archive, index: Lock::new(index), cache, policy };
        // What cannot be read at all is better refused now than later.
        view.find(0)?;
        Ok(view)
    }

    /// What the file was packed with.
    pub fn archive(&self) -> Archive {
        self.archive
    }

    /// The unit that contains byte `pos`; `None` at or behind the end.
    fn find(&self, pos: u64) -> Result<Option<Unit>> {
        loop {
            let cursor = {
                let index = self.index.lock();
                let after = index.units.partition_point(|unit| unit.start <= pos);
                if let Some(unit) = after.checked_sub(1).and_then(|at| index.units.get(at))
                    && pos - unit.start < u64::from(unit.len)
                {
                    return Ok(Some(*unit));
                }
                if index.done {
                    return Ok(None);
                }
                index.cursor
            };
            self.grow(cursor)?;
        }
    }

    /// Adds what stands at `cursor` to the index, unless another thread was faster.
    fn grow(&self, cursor: Cursor) -> Result<()> {
        let step = match self.archive {
            Archive::Lz4 => lz4::step(&self.source, cursor)?,
            Archive::Zstd => zstd::step(&self.source, cursor)?,
            Archive::Gzip => gzip::step(&self.source, cursor)?,
            Archive::Xz | Archive::Bzip2 | Archive::Lzop => Step::End,
        };
        let mut index = self.index.lock();
        if index.done || index.cursor.pos != cursor.pos || index.cursor.frame != cursor.frame {
            return Ok(());
        }
        match step {
            Step::End => index.done = true,
            Step::Skip(next) => index.cursor = next,
            Step::Unit(unit, next, bytes) => {
                index.units.try_reserve(1).map_err(|_| Error::system("Cannot allocate memory"))?;
                index.units.push(unit);
                index.cursor = next;
                drop(index);
                if let Some(bytes) = bytes {
                    self.cache.lock().insert(unit.start, Shared::new(bytes));
                }
            }
        }
        Ok(())
    }

    fn unit_bytes(&self, unit: &Unit) -> Result<Shared<Vec<u8>>> {
        if let Some(bytes) = self.cache.lock().get(unit.start) {
            self.policy.read_hits.add(1);
            return Ok(bytes);
        }
        let mut store = Vec::new();
        let packed = packed(&self.source, unit.packed, unit.packed_len, &mut store)?;
        let bytes = match unit.form {
            Form::Stored | Form::Lz4StoredChecked | Form::Lz4Block { .. } | Form::Lz4Linked { .. } => {
                lz4::unpack(packed, unit)?
            }
            Form::Zstd => zstd::unpack(packed, unit)?,
            Form::Gzip => gzip::unpack(packed, unit)?,
        };
        let bytes = Shared::new(bytes);
        self.cache.lock().insert(unit.start, bytes.clone());
        Ok(bytes)
    }
}

impl ReadAt for ArchiveView {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let Some(unit) = self.find(pos)? else {
            return Ok(0);
        };
        let bytes = self.unit_bytes(&unit)?;
        bytes.read_at(pos - unit.start, buf)
    }

    fn len(&self) -> Option<u64> {
        let index = self.index.lock();
        let last = index.units.last();
        index.done.then(|| last.map_or(0, |unit| unit.start + u64::from(unit.len)))
    }
}

/// A buffer of `len` zero bytes.
pub(super) fn buffer(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::system("Cannot allocate memory"))?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// The packed bytes `[pos, pos + len)`, in place or in `store`.
pub(super) fn packed<'a>(source: &'a Source, pos: u64, len: u32, store: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let want = len as usize;
    if let Some(bytes) = source.borrow(pos, want) {
        return Ok(bytes);
    }
    // No more memory than there are bytes, if that is known.
    let end = pos.checked_add(u64::from(len));
    if source.len().is_none_or(|len| end.is_some_and(|end| end <= len)) {
        *store = buffer(want)?;
        if read_full(source, pos, store)? == want {
            return Ok(store);
        }
    }
    Err(cut_off(pos))
}

/// The archive ends inside what begins at `pos`.
pub(super) fn cut_off(pos: u64) -> Error {
    Error::corrupt(format!("The archive is cut off behind {pos}"))
}

/// Whether nothing but padding follows: the bytes at `pos` are zero or none.
pub(super) fn at_end(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn the_cache_keeps_what_was_used_last_within_its_bounds() {
        let mut cache = Cache::default();
        for key in 0..CACHE_UNITS as u64 {
            cache.insert(key, Shared::new(vec![key as u8]));
        }
        assert_eq!(cache.get(0).unwrap()[0], 0);
        cache.insert(100, Shared::new(vec![100]));
        assert!(cache.get(1).is_none());
        assert!(cache.get(0).is_some());
        assert_eq!(cache.units.len(), CACHE_UNITS);
        cache.insert(200, Shared::new(vec![0; CACHE_BYTES]));
        assert_eq!(cache.units.len(), 1);
        cache.insert(200, Shared::new(vec![1]));
        assert_eq!(cache.get(200).unwrap()[..], [1]);
    }
}
