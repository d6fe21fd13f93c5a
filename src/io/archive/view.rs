//! An archive as the file that was packed.

use super::stream::{self, SEGMENT, Segment, Streams};
use super::unit::{Cursor, Form, Step, Stream, Unit, packed};
use super::{Archive, UNIT_MAX, bzip2, gzip, lz4, lzop, snappy, zstd};
use crate::error::{Error, Result};
use crate::io::{MmapPolicy, ReadAt, Source};
use crate::sync::{Lock, Shared};
use alloc::vec::Vec;

/// The most unpacked units that are kept, and the most bytes in them (a single
/// unit is always kept).
const CACHE_UNITS: usize = 16;
const CACHE_BYTES: usize = UNIT_MAX as usize;

struct Index {
    units: Vec<Unit>,
    cursor: Cursor,
    /// The last unit is a stream whose end was not reached yet.
    open: bool,
    done: bool,
}

impl Index {
    fn push(&mut self, unit: Unit) -> Result<()> {
        self.units.try_reserve(1).map_err(|_| Error::system("Cannot allocate memory"))?;
        self.units.push(unit);
        Ok(())
    }
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
    streams: Streams,
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
        let units = match archive {
            Archive::Zstd => zstd::seek_table(&source)?,
            #[cfg(feature = "archive-xz")]
            Archive::Xz => super::xz::index(&source)?,
            _ => None,
        };
        let done = units.is_some();
        let index = Lock::new(Index { units: units.unwrap_or_default(), cursor, open: false, done });
        let cache = Lock::new(Cache::default());
        let view = ArchiveView { source, archive, index, cache, streams: Streams::default(), policy };
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
            let (cursor, open) = {
                let index = self.index.lock();
                let after = index.units.partition_point(|unit| unit.start <= pos);
                if let Some(unit) = after.checked_sub(1).and_then(|at| index.units.get(at))
                    && pos - unit.start < unit.len
                {
                    return Ok(Some(*unit));
                }
                if index.done {
                    return Ok(None);
                }
                (index.cursor, if index.open { index.units.last().copied() } else { None })
            };
            match open {
                Some(unit) => self.prolong(&unit)?,
                None => self.grow(cursor)?,
            }
        }
    }

    /// Adds what stands at `cursor` to the index, unless another thread was faster.
    fn grow(&self, cursor: Cursor) -> Result<()> {
        let step = match self.archive {
            Archive::Lz4 => lz4::step(&self.source, cursor)?,
            Archive::Zstd => zstd::step(&self.source, cursor)?,
            Archive::Gzip => gzip::step(&self.source, cursor)?,
            Archive::Bzip2 => bzip2::step(&self.source, cursor)?,
            Archive::Lzop => lzop::step(&self.source, cursor)?,
            Archive::Snappy => snappy::step(&self.source, cursor)?,
            Archive::Zlib => whole(cursor, Stream::Zlib),
            #[cfg(feature = "archive-xz")]
            Archive::Xz => whole(cursor, Stream::XzFile),
            #[cfg(feature = "archive-xz")]
            Archive::Lzma => whole(cursor, Stream::Lzma),
            #[cfg(not(feature = "archive-xz"))]
            Archive::Xz | Archive::Lzma => Step::End,
        };
        self.policy.unpacked(cursor.pos, self.source.len());
        let mut index = self.index.lock();
        if index.done || index.open || index.cursor != cursor {
            return Ok(());
        }
        match step {
            Step::End => index.done = true,
            Step::Skip(next) => index.cursor = next,
            Step::Stream(unit) => {
                index.push(unit)?;
                index.open = true;
            }
            Step::Unit(unit, next, bytes) => {
                index.push(unit)?;
                index.cursor = next;
                drop(index);
                if let Some(bytes) = bytes {
                    self.cache.lock().insert(unit.start, Shared::new(bytes));
                }
            }
        }
        Ok(())
    }

    /// Unpacks one segment more of the stream at the end of the index.
    fn prolong(&self, unit: &Unit) -> Result<()> {
        let total = unit.start.checked_add(unit.len + SEGMENT as u64);
        total.ok_or_else(|| Error::corrupt("The archive is too long"))?;
        let segment = self.segment(unit, unit.start + unit.len)?;
        let mut index = self.index.lock();
        let open = index.open;
        let Some(last) = index.units.last_mut().filter(|_| open) else { return Ok(()) };
        if last.start != unit.start || last.len != unit.len {
            return Ok(());
        }
        last.len += segment.bytes.as_slice().len() as u64;
        let total = last.start + last.len;
        if let Some(pos) = segment.end {
            index.open = false;
            index.cursor = Cursor { pos, total, frame: None };
        }
        Ok(())
    }

    fn segment(&self, unit: &Unit, start: u64) -> Result<Segment> {
        // Segments of other streams are kept where they are made.
        let cached = matches!(unit.form, Form::Stream(Stream::Gzip | Stream::Zlib));
        let mut passed = |at: u64, bytes: &Shared<Vec<u8>>, done: u64, total: Option<u64>| {
            if cached && !bytes.is_empty() {
                self.cache.lock().insert(at, bytes.clone());
            }
            self.policy.unpacked(done, total);
        };
        self.streams.segment(&self.source, self.archive, unit, start, &mut passed)
    }

    /// Unpacked bytes with the one at `pos`, which is in `unit`, and the position
    /// of the first of them.
    fn bytes_at(&self, unit: &Unit, pos: u64) -> Result<(u64, Shared<Vec<u8>>)> {
        let start = match unit.form {
            Form::Stream(_) => pos - (pos - unit.start) % SEGMENT as u64,
            _ => unit.start,
        };
        if let Some(bytes) = self.cache.lock().get(start) {
            self.policy.read_hits.add(1);
            return Ok((start, bytes));
        }
        let mut store = Vec::new();
        let from = |store| packed(&self.source, unit.packed, unit.packed_len, store);
        let bytes = match unit.form {
            Form::Stream(_) => return Ok((start, self.segment(unit, start)?.bytes)),
            Form::Stored | Form::Lz4StoredChecked | Form::Lz4Block { .. } | Form::Lz4Linked { .. } => {
                lz4::unpack(from(&mut store)?, unit)?
            }
            Form::Zstd => zstd::unpack(from(&mut store)?, unit)?,
            Form::Gzip => gzip::unpack(from(&mut store)?, unit)?,
            Form::Bzip2(block) => bzip2::unpack(from(&mut store)?, unit, block)?,
            Form::Lzop { stored, check } => lzop::unpack(from(&mut store)?, unit, stored, check)?,
            Form::Snappy { stored, check } => snappy::unpack(from(&mut store)?, unit, stored, check)?,
        };
        let bytes = Shared::new(bytes);
        self.cache.lock().insert(unit.start, bytes.clone());
        Ok((start, bytes))
    }
}

/// The one stream that a file is.
fn whole(cursor: Cursor, stream: Stream) -> Step {
    match cursor.pos {
        0 => Step::Stream(Unit { start: 0, packed: 0, packed_len: 0, len: 0, form: Form::Stream(stream) }),
        _ => Step::End,
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
        let (start, bytes) = self.bytes_at(&unit, pos)?;
        let rest = usize::try_from(unit.start + unit.len - pos).unwrap_or(usize::MAX);
        let len = rest.min(buf.len());
        match bytes.read_at(pos - start, &mut buf[..len])? {
            0 => Err(stream::differs()),
            got => Ok(got),
        }
    }

    fn len(&self) -> Option<u64> {
        let index = self.index.lock();
        let last = index.units.last();
        index.done.then(|| last.map_or(0, |unit| unit.start + unit.len))
    }
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
