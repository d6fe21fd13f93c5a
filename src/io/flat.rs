//! The flattened stream (`makedumpfile -F`, QEMU) as the file it stands for.
//!
//! A dump written to a pipe cannot be written back and forth, so it is cut
//! into records that say where their bytes belong. All integers are big-endian:
//!
//! | offset | type | content |
//! | --- | --- | --- |
//! | 0 | `[u8; 16]` | `makedumpfile`, padded with NUL |
//! | 16 | i64 | type: 1 |
//! | 24 | i64 | version: 1 |
//! | 4096 | records | i64 logical offset, i64 payload length, payload |
//!
//! A logical offset of -1 ends the stream. Records come in any order; where
//! they overlap, the later one wins; bytes that no record covers are zero.
//!
//! Opening makes one pass over the record headers and keeps 24 bytes for each
//! record, sorted by logical offset. A real stream is a few interleaved
//! ascending sequences; sorting it in place costs one comparison sort and no
//! second copy of the table, which at several million records is worth more
//! than the time a merge of the sequences would save.

use super::{ReadAt, Source, read_full};
use crate::error::{Error, Result, ResultExt, Status};
use alloc::collections::BinaryHeap;
use alloc::format;
use alloc::vec::Vec;

/// Bytes 0 to 15 of a flattened stream.
const SIGNATURE: &[u8; 16] = b"makedumpfile\0\0\0\0";
/// The only type and the only version there ever was.
const TYPE: i64 = 1;
const VERSION: i64 = 1;
/// Where the first record is.
const RECORDS_START: u64 = 4096;
/// Logical offset and payload length.
const RECORD_HEADER: usize = 16;
/// Logical offset of the record that ends the stream.
const END_MARK: i64 = -1;

/// How many bytes of a file decide whether it is a flattened stream.
pub(super) const HEAD: usize = 32;

/// Records up to this size are read together, larger ones are skipped.
const SMALL_RECORD: u64 = 128 << 10;
/// How much is read at once where records are small.
const WINDOW: usize = 1 << 20;

/// Whether these are the first [`HEAD`] bytes of a flattened stream.
pub(super) fn is_flattened(head: &[u8; HEAD]) -> bool {
    head.starts_with(SIGNATURE)
}

/// Bytes of the logical file that lie together in the payload of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    logical: u64,
    /// Position of the first byte in the stream. It grows from record to
    /// record, so it also tells which of two records is the later one.
    payload: u64,
    len: u64,
}

impl Segment {
    /// Cannot overflow: checked when the record was read.
    fn end(&self) -> u64 {
        self.logical + self.len
    }
}

/// The logical file that a flattened stream stands for.
pub struct FlatView {
    source: Source,
    /// Sorted by logical offset, without overlaps.
    segments: Vec<Segment>,
}

impl FlatView {
    /// Reads all record headers of `source`.
    ///
    /// # Errors
    /// What [`ReadAt::read_at`] says, under `Cannot read flattened header at
    /// <position>`; [`Status::NotImplemented`] for another type or version (or
    /// no flattened stream at all); [`Status::Corrupt`] for a record with a
    /// negative offset, without payload, or reaching past 2^63 - 1;
    /// [`Status::System`] if there is no memory for the record table.
    pub fn open(source: Source) -> Result<Self> {
        let mut head = [0; HEAD];
        read_full(&source, 0, &mut head)?;
        if !is_flattened(&head) {
            return Err(Error::not_implemented("Not a flattened stream"));
        }
        check_head(&head)?;
        let segments = scan(&source)?;
        Ok(FlatView { source, segments })
    }

    /// Number of pieces that the logical file consists of: that of the records
    /// unless some of them overlap.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Bytes of memory that the record table takes.
    pub fn memory(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>()
    }

    /// Index of the first segment that ends behind `pos`.
    fn find(&self, pos: u64) -> usize {
        self.segments.partition_point(|segment| segment.end() <= pos)
    }

    fn logical_len(&self) -> u64 {
        self.segments.last().map_or(0, Segment::end)
    }
}

impl ReadAt for FlatView {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let exist = self.logical_len().saturating_sub(pos);
        let total = usize::try_from(exist).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..total];
        let mut done = 0;
        for segment in &self.segments[self.find(pos)..] {
            let rest = &mut buf[done..];
            if rest.is_empty() {
                break;
            }
            let at = pos + done as u64;
            let hole = clamp(segment.logical.saturating_sub(at), rest.len());
            let (zeros, rest) = rest.split_at_mut(hole);
            zeros.fill(0);
            done += hole;
            if rest.is_empty() {
                break;
            }
            let skip = (at + hole as u64) - segment.logical;
            let piece = clamp(segment.len - skip, rest.len());
            let piece = &mut rest[..piece];
            let got = read_full(&self.source, segment.payload + skip, piece)?;
            // The file was cut after the scan.
            piece[got..].fill(0);
            done += piece.len();
        }
        Ok(done)
    }

    fn len(&self) -> Option<u64> {
        Some(self.logical_len())
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        let segment = self.segments.get(self.find(pos))?;
        let skip = pos.checked_sub(segment.logical)?;
        if segment.len - skip < len as u64 {
            return None;
        }
        self.source.borrow(segment.payload + skip, len)
    }

    fn borrow_error(&self) -> Option<Error> {
        self.source.borrow_error()
    }
}

fn clamp(n: u64, max: usize) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX).min(max)
}

fn check_head(head: &[u8; HEAD]) -> Result<()> {
    let (kind, version) = pair(head[16..].try_into().unwrap_or_default());
    // The line ends are part of the messages that users of the C library know.
    if kind != TYPE {
        return Err(Error::not_implemented(format!("Unknown flattened type: {kind}\n")));
    }
    if version != VERSION {
        return Err(Error::not_implemented(format!("Unknown flattened version: {version}\n")));
    }
    Ok(())
}

/// Two big-endian integers.
fn pair(bytes: [u8; RECORD_HEADER]) -> (i64, i64) {
    let both = i128::from_be_bytes(bytes);
    ((both >> 64) as i64, both as i64)
}

fn scan(source: &Source) -> Result<Vec<Segment>> {
    let mut headers = Headers { source, window: Vec::new(), start: 0 };
    let mut segments: Vec<Segment> = Vec::new();
    let mut sorted = true;
    let mut logical_end = 0;
    let mut pos = RECORDS_START;
    let mut small = true;
    loop {
        let header = headers.read(pos, small).context(|| format!("Cannot read flattened header at {pos}"))?;
        let (offset, size) = pair(header);
        if offset == END_MARK {
            break;
        }
        let Ok(logical) = u64::try_from(offset) else {
            return Err(Error::corrupt(format!("Wrong flattened offset {offset} at {pos}")));
        };
        let payload = pos + RECORD_HEADER as u64;
        let fits = |start: u64| i64::try_from(start).ok()?.checked_add(size);
        let (true, Some(_), Some(next)) = (size > 0, fits(logical), fits(payload)) else {
            return Err(Error::corrupt(format!("Wrong flattened segment size {size} at {pos}")));
        };
        let len = size.unsigned_abs();
        segments.try_reserve(1).map_err(|_| out_of_memory("Cannot allocate flattened offset array"))?;
        segments.push(Segment { logical, payload, len });
        sorted &= logical >= logical_end;
        logical_end = logical + len;
        small = len <= SMALL_RECORD;
        pos = next.unsigned_abs();
    }
    if !sorted {
        segments.sort_unstable_by_key(|segment| (segment.logical, segment.payload));
        if segments.windows(2).any(|two| matches!(two, [one, next] if one.end() > next.logical)) {
            segments = without_overlaps(&segments)?;
        }
    }
    segments.shrink_to_fit();
    Ok(segments)
}

fn out_of_memory(what: &'static str) -> Error {
    Error::new(Status::System, "Cannot allocate memory").context(what)
}

/// Reads record headers, many at a time where they lie close together.
struct Headers<'a> {
    source: &'a Source,
    window: Vec<u8>,
    /// Position of the window in the stream.
    start: u64,
}

impl Headers<'_> {
    /// The header at `pos`; bytes behind the end of the stream are zero.
    fn read(&mut self, pos: u64, small: bool) -> Result<[u8; RECORD_HEADER]> {
        let mut header = [0; RECORD_HEADER];
        if let Some(bytes) = self.source.borrow(pos, RECORD_HEADER) {
            header.copy_from_slice(bytes);
            return Ok(header);
        }
        if let Some(bytes) = self.buffered(pos) {
            return Ok(bytes);
        }
        if !small {
            read_full(self.source, pos, &mut header)?;
            return Ok(header);
        }
        self.window.clear();
        self.window.try_reserve_exact(WINDOW).map_err(|_| out_of_memory("Cannot allocate flattened map"))?;
        self.window.resize(WINDOW, 0);
        let got = read_full(self.source, pos, &mut self.window)?;
        self.window.truncate(got);
        self.start = pos;
        let got = got.min(RECORD_HEADER);
        header[..got].copy_from_slice(&self.window[..got]);
        Ok(header)
    }

    fn buffered(&self, pos: u64) -> Option<[u8; RECORD_HEADER]> {
        let at = usize::try_from(pos.checked_sub(self.start)?).ok()?;
        self.window.get(at..)?.first_chunk().copied()
    }
}

/// Cuts sorted segments so that none overlaps another and the bytes of the
/// later record remain.
///
/// Walks along the logical file; the heap holds the records that cover the
/// current position (and some that ended before it), the latest on top.
fn without_overlaps(sorted: &[Segment]) -> Result<Vec<Segment>> {
    let no_memory = || out_of_memory("Cannot allocate flattened map entry");
    let mut out: Vec<Segment> = Vec::new();
    let mut covering: BinaryHeap<(u64, usize)> = BinaryHeap::new();
    let mut pos = 0;
    for index in 0..=sorted.len() {
        let next = sorted.get(index);
        let until = next.map_or(u64::MAX, |segment| segment.logical);
        while pos < until
            && let Some(&(_, top)) = covering.peek()
        {
            let Some(segment) = sorted.get(top).filter(|segment| segment.end() > pos) else {
                covering.pop();
                continue;
            };
            let end = segment.end().min(until);
            let payload = segment.payload + (pos - segment.logical);
            match out.last_mut() {
                // The same record goes on, after a record that it covers began.
                Some(last) if last.end() == pos && last.payload + last.len == payload => {
                    last.len += end - pos;
                }
                _ => {
                    out.try_reserve(1).map_err(|_| no_memory())?;
                    out.push(Segment { logical: pos, payload, len: end - pos });
                }
            }
            pos = end;
        }
        if let Some(segment) = next {
            pos = segment.logical;
            covering.try_reserve(1).map_err(|_| no_memory())?;
            covering.push((segment.payload, index));
        }
    }
    Ok(out)
}
