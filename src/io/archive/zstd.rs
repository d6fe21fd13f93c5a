//! Zstandard frames (RFC 8878).
//!
//! A frame of up to [`UNIT_MAX`] bytes is one unit. Where frames are is told by
//! the seek table at the end of the file if there is one, else by hopping from
//! block header to block header; a frame that does not tell its size is unpacked
//! once to learn it. A larger frame is a stream, which is unpacked from its
//! beginning on.
//!
//! ```text
//! frame:      28 B5 2F FD | descriptor | [window] | [dictionary] | [content size]
//!             { u24: bit 0 last, bits 1-2 type, bits 3-23 size | data }... | [u32 check]
//! seek table: 5E 2A 4D 18 | u32 length | { u32 packed | u32 unpacked | [u32 check] }...
//!             u32 frames | u8 descriptor | B1 EA 92 8F          (the end of the file)
//! ```

use super::stream::{Piece, SEGMENT};
use super::unit::{Cursor, Form, Step, Stream, Unit, at_end, buffer, cut_off, packed};
use super::{Archive, UNIT_MAX, is_skippable, le32, le64, peek};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Source, read_full};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use structured_zstd::decoding::{ContentChecksum, FrameDecoder};

const MAGIC: u32 = 0xfd2f_b528;
const SEEK_TABLE_MAGIC: u32 = 0x184d_2a5e;
const SEEK_FOOTER_MAGIC: u32 = 0x8f92_eab1;
const SEEK_FOOTER: u64 = 9;
/// The most that a block unpacks to.
const BLOCK_MAX: u64 = 128 << 10;
const STREAM: Form = Form::Stream(Stream::Zstd);
/// The largest window of a stream: what `zstd --long` makes.
const WINDOW_MAX: u64 = 128 << 20;
/// How much of a stream is read at once, and what a frame header, a block and
/// its header may take.
const INPUT: usize = 512 << 10;
const BLOCK_INPUT: usize = (128 << 10) + 32;

/// What a frame header says.
struct Header {
    /// Bytes from the magic to the first block.
    len: u64,
    content_size: Option<u64>,
    dictionary: bool,
    checked: bool,
}

fn header(head: &[u8]) -> Option<Header> {
    let descriptor = *head.get(4)?;
    if descriptor & 8 != 0 {
        return None;
    }
    let single = descriptor & 0x20 != 0;
    let id_len = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let at = 5 + usize::from(!single) + id_len;
    let (size_len, content_size) = match (descriptor >> 6, single) {
        (0, false) => (0, None),
        (0, true) => (1, Some(u64::from(*head.get(at)?))),
        (1, _) => (2, Some(u64::from(u16::from_le_bytes(*head.get(at..)?.first_chunk()?)) + 256)),
        (2, _) => (4, Some(u64::from(le32(head, at)?))),
        _ => (8, Some(le64(head, at)?)),
    };
    let dictionary = head.get(at - id_len..at)?.iter().any(|byte| *byte != 0);
    Some(Header { len: (at + size_len) as u64, content_size, dictionary, checked: descriptor & 4 != 0 })
}

/// What stands at the cursor.
pub(super) fn step(source: &Source, cursor: Cursor) -> Result<Step> {
    let pos = cursor.pos;
    let (head, got) = peek::<24>(source, pos)?;
    let head = &head[..got];
    match le32(head, 0) {
        Some(magic) if is_skippable(magic) => {
            let len = le32(head, 4).ok_or_else(|| cut_off(pos))?;
            let pos = pos.checked_add(8 + u64::from(len)).ok_or_else(|| cut_off(pos))?;
            return Ok(Step::Skip(Cursor { pos, ..cursor }));
        }
        Some(MAGIC) => {}
        _ if at_end(head.get(..4).unwrap_or(head)) => return Ok(Step::End),
        _ => return Err(Error::corrupt(format!("There is no zstd frame at {pos}"))),
    }
    let header = header(head).ok_or_else(|| Error::corrupt(format!("Wrong zstd frame header at {pos}")))?;
    if header.dictionary {
        return Err(Archive::Zstd.refuse("A zstd frame needs a dictionary"));
    }
    let stream = Unit { start: cursor.total, packed: pos, packed_len: 0, len: 0, form: STREAM };
    if header.content_size.is_some_and(|size| size > u64::from(UNIT_MAX)) {
        return Ok(Step::Stream(stream));
    }
    let Some((end, most)) = hop(source, pos, &header)? else { return Ok(Step::Stream(stream)) };
    let Ok(packed_len) = u32::try_from(end - pos) else { return Ok(Step::Stream(stream)) };
    let mut unit = Unit { start: cursor.total, packed: pos, packed_len, len: 0, form: Form::Zstd };
    let mut bytes = None;
    unit.len = match header.content_size {
        Some(size) if size > most => {
            return Err(Error::corrupt(format!("Wrong zstd content size {size} at {pos}")));
        }
        Some(size) => size,
        None => {
            let mut store = Vec::new();
            let packed = packed(source, pos, packed_len, &mut store)?;
            let mut out = buffer(most as usize)?;
            let len = decode(packed, &mut out, pos)?;
            out.truncate(len);
            out.shrink_to_fit();
            bytes = Some(out);
            len as u64
        }
    };
    let total = cursor.total.checked_add(unit.len).ok_or_else(|| cut_off(pos))?;
    let next = Cursor { pos: end, total, frame: None };
    Ok(if unit.len == 0 { Step::Skip(next) } else { Step::Unit(unit, next, bytes) })
}

/// The position behind a frame, and the most that it unpacks to (at most
/// [`UNIT_MAX`] unless the content size is known); `None` if it is too large
/// for a unit.
fn hop(source: &Source, frame: u64, header: &Header) -> Result<Option<(u64, u64)>> {
    let mut pos = frame + header.len;
    let mut most = 0;
    loop {
        let (word, got) = peek::<4>(source, pos)?;
        if got < 3 {
            return Err(cut_off(pos));
        }
        let word = u32::from_le_bytes(word) & 0xff_ffff;
        let size = u64::from(word >> 3);
        let (stored, unpacked) = match word >> 1 & 3 {
            0 => (size, size),
            1 => (1, size),
            2 => (size, BLOCK_MAX),
            _ => return Err(Error::corrupt(format!("Wrong zstd block type at {pos}"))),
        };
        if size > BLOCK_MAX {
            return Err(Error::corrupt(format!("Wrong zstd block size {size} at {pos}")));
        }
        pos += 3 + stored;
        most += unpacked;
        let unbounded = header.content_size.is_none() && most > u64::from(UNIT_MAX);
        // Packing adds three bytes to a block that does not shrink, so a frame
        // that takes twice the limit is made of empty blocks.
        if unbounded || pos - frame > 2 * u64::from(UNIT_MAX) {
            return Ok(None);
        }
        if word & 1 != 0 {
            break;
        }
    }
    let end = pos + if header.checked { 4 } else { 0 };
    if source.len().is_some_and(|len| end > len) {
        return Err(cut_off(pos));
    }
    Ok(Some((end, most)))
}

fn decode(packed: &[u8], out: &mut [u8], pos: u64) -> Result<usize> {
    let mut decoder = FrameDecoder::new();
    decoder.set_content_checksum(ContentChecksum::Verify);
    let decoded = decoder.decode_all(packed, out);
    decoded.map_err(|error| Error::corrupt(format!("Cannot unpack the zstd frame at {pos}: {error}")))
}

/// A frame that is being unpacked from its beginning on.
pub(super) struct Unpacker {
    decoder: Box<FrameDecoder>,
    /// Position of the next byte to decode.
    pos: u64,
    begin: u64,
}

impl Unpacker {
    /// At the frame at `begin`.
    pub fn new(begin: u64) -> Result<Self> {
        let mut decoder = Box::new(FrameDecoder::new());
        decoder.set_content_checksum(ContentChecksum::Verify);
        let limited = decoder.set_max_window_size(WINDOW_MAX);
        limited.map_err(|error| Error::not_implemented(format!("zstd: {error}")))?;
        Ok(Unpacker { decoder, pos: begin, begin })
    }

    /// How far the archive was read.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// The next piece of the frame.
    pub fn next(&mut self, source: &Source) -> Result<Piece> {
        let mut input = buffer(INPUT)?;
        let mut bytes = buffer(SEGMENT)?;
        let (mut have, mut used, mut done) = (0, 0, 0);
        loop {
            // A whole block must be there.
            if have - used < BLOCK_INPUT {
                have = read_full(source, self.pos, &mut input)?;
                used = 0;
            }
            let from = input.get(used..have).unwrap_or(&[]);
            let (read, made) = self
                .decoder
                .decode_from_to(from, bytes.get_mut(done..).unwrap_or(&mut []))
                .map_err(|error| self.wrong(&error))?;
            used += read;
            self.pos += read as u64;
            done += made;
            let ends = self.decoder.is_finished() && self.decoder.can_collect() == 0;
            if ends || done == SEGMENT {
                bytes.truncate(done);
                return Ok(Piece { bytes, end: ends.then_some(self.pos) });
            }
            if read == 0 && made == 0 {
                if from.len() == have && have == INPUT {
                    return Err(Error::corrupt(format!("Cannot unpack the zstd frame at {}", self.begin)));
                }
                if have < INPUT {
                    return Err(cut_off(self.pos));
                }
                have = 0;
                used = 0;
            }
        }
    }

    fn wrong(&self, error: &dyn core::fmt::Display) -> Error {
        Error::corrupt(format!("Cannot unpack the zstd frame at {}: {error}", self.begin))
    }
}

/// Unpacks a unit.
pub(super) fn unpack(packed: &[u8], unit: &Unit) -> Result<Vec<u8>> {
    let mut out = buffer(unit.len as usize)?;
    let len = decode(packed, &mut out, unit.packed)?;
    if len != out.len() {
        let (pos, want) = (unit.packed, unit.len);
        return Err(Error::corrupt(format!("The zstd frame at {pos} has {len} bytes instead of {want}")));
    }
    Ok(out)
}

/// The units that a seek table lists, if the file ends with one that fits.
pub(super) fn seek_table(source: &Source) -> Result<Option<Vec<Unit>>> {
    let Some(len) = source.len().filter(|len| *len > SEEK_FOOTER + 8) else {
        return Ok(None);
    };
    let (footer, _) = peek::<9>(source, len - SEEK_FOOTER)?;
    let (Some(count), Some(SEEK_FOOTER_MAGIC)) = (le32(&footer, 0), le32(&footer, 5)) else {
        return Ok(None);
    };
    let descriptor = footer[4];
    let entry_len = if descriptor & 0x80 != 0 { 12 } else { 8 };
    let table_len = u64::from(count) * entry_len;
    let Some(table) = len.checked_sub(SEEK_FOOTER + 8 + table_len) else {
        return Ok(None);
    };
    let (head, _) = peek::<8>(source, table)?;
    let fits = descriptor & 0x7c == 0
        && le32(&head, 0) == Some(SEEK_TABLE_MAGIC)
        && le32(&head, 4).map(u64::from) == Some(table_len + SEEK_FOOTER);
    let (true, Ok(entries_len)) = (fits, u32::try_from(table_len)) else {
        return Ok(None);
    };
    let mut store = Vec::new();
    let entries = packed(source, table + 8, entries_len, &mut store)?;
    let mut units = Vec::new();
    units.try_reserve_exact(count as usize).map_err(|_| Error::system("Cannot allocate memory"))?;
    let (mut pos, mut start) = (0u64, 0u64);
    for entry in entries.chunks_exact(entry_len as usize) {
        let (Some(packed_len), Some(len)) = (le32(entry, 0), le32(entry, 4)) else {
            return Ok(None);
        };
        if len > 0 {
            let form = if len.max(packed_len / 2) > UNIT_MAX { STREAM } else { Form::Zstd };
            units.push(Unit { start, packed: pos, packed_len, len: len.into(), form });
        }
        // Cannot overflow: fewer than 2^32 numbers below 2^32.
        pos += u64::from(packed_len);
        start += u64::from(len);
    }
    Ok((pos == table).then_some(units))
}
