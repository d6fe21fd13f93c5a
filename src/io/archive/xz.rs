//! xz files (<https://tukaani.org/xz/xz-file-format.txt>).
//!
//! ```text
//! stream:  FD 37 7A 58 5A 00 | 2 flags | u32 CRC-32 | blocks | index | footer
//! index:   00 | number of blocks | { bytes without padding | unpacked bytes }... | padding | u32 CRC-32
//! footer:  u32 CRC-32 | u32 length of the index / 4 - 1 | 2 flags | 59 5A
//! ```
//!
//! Integers are little-endian; numbers in the index have 7 bits a byte. The
//! indexes of all streams of a file, found from its end, tell where each block
//! is. A block is a stream of segments. A file without a right index - it was
//! cut off, say - is one stream as a whole.

use super::stream::{Piece, SEGMENT};
use super::unit::{Form, Stream, Unit, buffer, cut_off, packed};
use super::{Archive, le32, peek};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Source, read_full};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use lzma_rust2::{Action, Status, XzStream};

const HEADER: u64 = 12;
const FOOTER: u64 = 12;
/// The longest index that is read: blocks of 24 MiB make 12 TiB with it.
const INDEX_MAX: u64 = 4 << 20;
/// The fewest bytes of a block.
const BLOCK_MIN: u64 = 5;
/// The most streams of a file.
const STREAMS_MAX: usize = 1 << 16;
/// The most memory that a decoder may take, in KiB: a window of 128 MiB.
const MEMORY_KIB: u32 = (128 << 10) + 1024;
/// How much is read at once.
const INPUT: usize = 64 << 10;

/// The beginning of a stream whose blocks have checks of kind `check`.
fn stream_header(check: u8) -> [u8; HEADER as usize] {
    let mut header = *b"\xfd7zXZ\0\0\0\0\0\0\0";
    header[7] = check;
    let crc = crc32fast::hash(&header[6..8]);
    header[8..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The blocks of a file, if its indexes fit.
pub(super) fn index(source: &Source) -> Result<Option<Vec<Unit>>> {
    let mut end = match source.len() {
        Some(len) => len,
        None => length(source)?,
    };
    let mut units = Vec::new();
    let mut streams = 0;
    while end > 0 {
        end = match without_padding(source, end)? {
            Some(end) => end,
            None => return Ok(None),
        };
        let (Some(begin), true) = (stream(source, end, &mut units)?, streams < STREAMS_MAX) else {
            return Ok(None);
        };
        streams += 1;
        end = begin;
    }
    units.reverse();
    let mut start = 0u64;
    for unit in &mut units {
        unit.start = start;
        let Some(next) = start.checked_add(unit.len) else { return Ok(None) };
        start = next;
    }
    Ok(Some(units))
}

/// The length of a source that does not know it.
fn length(source: &Source) -> Result<u64> {
    let exists = |at: u64| Ok::<_, Error>(source.read_at(at, &mut [0])? > 0);
    let (mut low, mut high) = (0, 1u64);
    while exists(high)? {
        low = high;
        match high.checked_mul(2) {
            Some(next) => high = next,
            None => return Ok(high),
        }
    }
    // The byte at `low` exists, unless that is 0; the one at `high` does not.
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if exists(middle)? { low = middle } else { high = middle }
    }
    Ok(high)
}

/// Where the stream ends behind which there are zeroes up to `end`.
fn without_padding(source: &Source, mut end: u64) -> Result<Option<u64>> {
    while end.is_multiple_of(4) && end >= HEADER + FOOTER {
        let (word, _) = peek::<4>(source, end - 4)?;
        if word != [0; 4] {
            return Ok(Some(end));
        }
        end -= 4;
    }
    Ok(None)
}

/// Lists the blocks of the stream that ends at `end`, from the last one to the
/// first; where it begins, or `None` if something does not fit.
fn stream(source: &Source, end: u64, units: &mut Vec<Unit>) -> Result<Option<u64>> {
    let (footer, _) = peek::<{ FOOTER as usize }>(source, end - FOOTER)?;
    let [_, _, _, _, sized @ .., b'Y', b'Z'] = footer else { return Ok(None) };
    let [a, b, c, d, 0, check] = sized else { return Ok(None) };
    if le32(&footer, 0) != Some(crc32fast::hash(&sized)) {
        return Ok(None);
    }
    let index_len = (u64::from(u32::from_le_bytes([a, b, c, d])) + 1) * 4;
    let Some(at) = (end - FOOTER).checked_sub(index_len) else { return Ok(None) };
    let (true, Ok(len)) = (index_len <= INDEX_MAX, u32::try_from(index_len)) else { return Ok(None) };
    let mut store = Vec::new();
    let index = packed(source, at, len, &mut store)?;
    let Some(blocks) = blocks(index) else { return Ok(None) };
    let mut pos = at;
    for (unpadded, len) in blocks.into_iter().rev() {
        let Some(begin) = unpadded.checked_next_multiple_of(4).and_then(|len| pos.checked_sub(len)) else {
            return Ok(None);
        };
        let form = Form::Stream(Stream::XzBlock { check, packed_len: pos - begin, len });
        units.try_reserve(1).map_err(|_| Error::system("Cannot allocate memory"))?;
        units.push(Unit { start: 0, packed: begin, packed_len: 0, len, form });
        pos = begin;
    }
    let Some(begin) = pos.checked_sub(HEADER) else { return Ok(None) };
    let (header, _) = peek::<{ HEADER as usize }>(source, begin)?;
    Ok((header == stream_header(check)).then_some(begin))
}

/// The blocks that an index lists: bytes without padding, and unpacked bytes.
fn blocks(index: &[u8]) -> Option<Vec<(u64, u64)>> {
    let (fields, crc) = index.split_last_chunk::<4>()?;
    if u32::from_le_bytes(*crc) != crc32fast::hash(fields) {
        return None;
    }
    let [0, fields @ ..] = fields else { return None };
    let mut fields = fields;
    let count = number(&mut fields)?;
    // Each has two bytes at least.
    let count = usize::try_from(count).ok().filter(|count| *count <= fields.len() / 2)?;
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).ok()?;
    for _ in 0..count {
        let unpadded = number(&mut fields)?;
        let len = number(&mut fields)?;
        if unpadded < BLOCK_MIN {
            return None;
        }
        blocks.push((unpadded, len));
    }
    (fields.len() < 4 && fields.iter().all(|byte| *byte == 0)).then_some(blocks)
}

/// A number of up to nine bytes, seven bits each.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A block, or a whole file, that is being unpacked from its beginning on.
pub(super) struct Unpacker {
    decoder: Box<XzStream>,
    /// Position of the next byte to decode.
    pos: u64,
    begin: u64,
    /// Where the block ends and how many bytes it has still to give; `None` for
    /// a file.
    block: Option<(u64, u64)>,
    /// The header of the stream of a block, until that was decoded.
    header: Option<[u8; HEADER as usize]>,
}

impl Unpacker {
    /// At the block at `begin`.
    pub fn block(check: u8, begin: u64, packed_len: u64, len: u64) -> Self {
        Unpacker {
            decoder: Box::new(XzStream::new_mem_limit(false, MEMORY_KIB)),
            pos: begin,
            begin,
            block: Some((begin.saturating_add(packed_len), len)),
            header: Some(stream_header(check)),
        }
    }

    /// At the first stream of a file.
    pub fn file(begin: u64) -> Self {
        Unpacker {
            decoder: Box::new(XzStream::new_mem_limit(true, MEMORY_KIB)),
            pos: begin,
            begin,
            block: None,
            header: None,
        }
    }

    /// How far the archive was read.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// The next piece.
    pub fn next(&mut self, source: &Source) -> Result<Piece> {
        if let Some(header) = self.header.take() {
            let header = self.decoder.process(&header, &mut [], Action::Run);
            header.map_err(|error| wrong(&self.decoder, self.begin, &error))?;
        }
        let want = match self.block {
            Some((_, left)) => usize::try_from(left).unwrap_or(SEGMENT).min(SEGMENT),
            None => SEGMENT,
        };
        let mut bytes = buffer(want)?;
        let mut input = buffer(INPUT)?;
        let mut done = 0;
        loop {
            let most = match self.block {
                Some((end, _)) => usize::try_from(end - self.pos).unwrap_or(INPUT).min(INPUT),
                None => INPUT,
            };
            let got = read_full(source, self.pos, input.get_mut(..most).unwrap_or(&mut []))?;
            let from = input.get(..got).unwrap_or(&[]);
            let to = bytes.get_mut(done..).unwrap_or(&mut []);
            let result = self.decoder.process(from, to, Action::Run);
            let result = result.map_err(|error| wrong(&self.decoder, self.begin, &error))?;
            self.pos += result.bytes_consumed as u64;
            done += result.bytes_produced;
            let idle = result.bytes_consumed == 0 && result.bytes_produced == 0;
            match &mut self.block {
                // The check of a block follows its last byte.
                Some((end, left)) if done == want && (*left > want as u64 || self.pos == *end) => {
                    *left -= want as u64;
                    let end = (*left == 0).then_some(*end);
                    return Ok(Piece { bytes, end });
                }
                None if done == want => return Ok(Piece { bytes, end: None }),
                // That nothing follows has to be said, at the end of a file.
                None if idle && from.is_empty() => {
                    return match self.decoder.process(&[], &mut [], Action::Finish) {
                        Ok(result) if result.status == Status::StreamEnd => {
                            bytes.truncate(done);
                            Ok(Piece { bytes, end: Some(self.pos) })
                        }
                        _ => Err(cut_off(self.pos)),
                    };
                }
                _ if idle && got < most => return Err(cut_off(self.pos)),
                _ if idle => {
                    return Err(Error::corrupt(format!("Cannot unpack the xz block at {}", self.begin)));
                }
                _ => {}
            }
        }
    }
}

/// The error for what the decoder says of the block at `begin`.
fn wrong(decoder: &XzStream, begin: u64, error: &dyn core::fmt::Debug) -> Error {
    if decoder.memory_usage().is_some_and(|need| need > MEMORY_KIB) {
        return Archive::Xz.refuse("An xz block needs a window of more than 128 MiB");
    }
    // An error has a text, but shows it in quotes only.
    let text = format!("{error:?}");
    let text = text.split('"').nth(1).unwrap_or(&text);
    Error::corrupt(format!("Cannot unpack the xz block at {begin}: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_stream_is_what_xz_writes() {
        assert_eq!(&stream_header(4), b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46");
        assert_eq!(&stream_header(1), b"\xfd7zXZ\0\0\x01\x69\x22\xde\x36");
    }

    #[test]
    fn numbers_have_seven_bits_a_byte_and_nine_bytes() {
        assert_eq!(number(&mut &[0x7f][..]), Some(127));
        assert_eq!(number(&mut &[0x80, 1][..]), Some(128));
        assert_eq!(number(&mut &[0xff; 8][..]), None);
        assert_eq!(number(&mut &[0xff; 10][..]), None);
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(number(&mut &longest[..]), Some(u64::MAX >> 1));
    }

    #[test]
    fn a_source_of_unknown_length_is_measured() {
        struct Endless(Vec<u8>);
        impl ReadAt for Endless {
            fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
                self.0.read_at(pos, buf)
            }
        }
        for len in [1usize, 2, 3, 4, 5, 127, 128, 1000] {
            let source: Source = crate::sync::Shared::new(Endless(buffer(len).unwrap()));
            assert_eq!(length(&source).unwrap(), len as u64);
        }
    }
}
