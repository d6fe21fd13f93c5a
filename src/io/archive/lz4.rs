//! LZ4 frames and the LZ4 legacy format.
//!
//! ```text
//! frame:  04 22 4D 18 | FLG | BD | [u64 content size] | [u32 dictionary] | check
//!         { u32 size | data | [u32 xxHash32 of data] }...  | u32 0 | [u32 xxHash32]
//! legacy: 02 21 4C 18 { u32 size | data }...  until the end or another magic
//! ```
//!
//! All integers are little-endian. Bit 31 of a block's size says that it is
//! stored. How much a block unpacks to is not written anywhere: it is the
//! maximum of the frame if the content size confirms it, otherwise the tokens
//! of the block are added up.

use super::detect::lz4_frame_header;
use super::unit::{Cursor, Form, Frame, Step, Unit, at_end, buffer, cut_off, packed};
use super::{Archive, UNIT_MAX, is_skippable, le32, peek};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Source};
use alloc::format;
use alloc::vec::Vec;

const FRAME_MAGIC: u32 = 0x184d_2204;
const LEGACY_MAGIC: u32 = 0x184c_2102;
const LEGACY_BLOCK_MAX: u32 = 8 << 20;
const STORED: u32 = 1 << 31;
/// How far back a match may reach into the blocks before.
const WINDOW: usize = 64 << 10;

/// What the blocks of the current frame have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lz4Frame {
    legacy: bool,
    block_max: u32,
    block_checks: bool,
    content_check: bool,
    /// Unpacked bytes that follow, if it is known that all blocks but the
    /// last are full.
    rest: Option<u64>,
}

/// A block of a frame.
struct Block {
    /// Position of the data.
    data: u64,
    len: u32,
    stored: bool,
    /// Position behind the block and its checksum.
    next: u64,
}

/// What stands at the cursor.
pub(super) fn step(source: &Source, cursor: Cursor) -> Result<Step> {
    match cursor.frame {
        Some(Frame::Lz4(frame)) => block(source, cursor, frame),
        _ => frame(source, cursor),
    }
}

fn frame(source: &Source, cursor: Cursor) -> Result<Step> {
    let pos = cursor.pos;
    let (head, got) = peek::<24>(source, pos)?;
    let head = &head[..got];
    let magic = le32(head, 0);
    let skip_to = |offset: u64, frame| {
        let pos = pos.checked_add(offset).ok_or_else(|| cut_off(pos))?;
        Ok(Step::Skip(Cursor { pos, frame, ..cursor }))
    };
    match magic {
        Some(magic) if is_skippable(magic) => {
            let len = le32(head, 4).ok_or_else(|| cut_off(pos))?;
            skip_to(8 + u64::from(len), None)
        }
        Some(LEGACY_MAGIC) => {
            let frame = Lz4Frame {
                legacy: true,
                block_max: LEGACY_BLOCK_MAX,
                block_checks: false,
                content_check: false,
                rest: None,
            };
            skip_to(4, Some(Frame::Lz4(frame)))
        }
        Some(FRAME_MAGIC) => {
            let header = lz4_frame_header(head)
                .ok_or_else(|| Error::corrupt(format!("Wrong LZ4 frame header at {pos}")))?;
            if header.flags & 1 != 0 {
                return Err(Archive::Lz4.refuse("LZ4 frame needs a dictionary"));
            }
            let mut frame = Lz4Frame {
                legacy: false,
                block_max: header.block_max,
                block_checks: header.flags & 0x10 != 0,
                content_check: header.flags & 0x04 != 0,
                rest: None,
            };
            let first = pos + header.len as u64;
            if header.flags & 0x20 == 0 {
                return linked(source, cursor, &frame, first);
            }
            if let Some(size) = header.content_size
                && all_full(source, &frame, first, size)?
            {
                frame.rest = Some(size);
            }
            skip_to(header.len as u64, Some(Frame::Lz4(frame)))
        }
        _ if at_end(head.get(..4).unwrap_or(head)) => Ok(Step::End),
        _ => Err(Error::corrupt(format!("There is no LZ4 frame at {pos}"))),
    }
}

/// The block at `pos`, or the position behind the frame if it ends there.
fn next_block(source: &Source, frame: &Lz4Frame, pos: u64) -> Result<Result<Block, u64>> {
    let (word, got) = peek::<4>(source, pos)?;
    if frame.legacy && got == 0 {
        return Ok(Err(pos));
    }
    if got < 4 {
        return Err(cut_off(pos));
    }
    let word = u32::from_le_bytes(word);
    if frame.legacy && (word == LEGACY_MAGIC || word == FRAME_MAGIC || is_skippable(word)) {
        return Ok(Err(pos));
    }
    // Positions do not overflow: read_full has just read a byte at `pos`, and
    // what follows is less than 2^33 further.
    let data = pos.saturating_add(4);
    if word == 0 {
        return Ok(Err(data.saturating_add(if frame.content_check { 4 } else { 0 })));
    }
    let stored = word & STORED != 0 && !frame.legacy;
    let len = if frame.legacy { word } else { word & !STORED };
    // The legacy format has no stored blocks, so its blocks may grow a little.
    let most = frame.block_max + if frame.legacy { frame.block_max / 255 + 16 } else { 0 };
    if len > most {
        return Err(Error::corrupt(format!("Wrong LZ4 block size {len} at {pos}")));
    }
    let check = if frame.block_checks { 4 } else { 0 };
    let next = data.saturating_add(u64::from(len) + check);
    if source.len().is_some_and(|end| next > end) {
        return Err(cut_off(pos));
    }
    Ok(Ok(Block { data, len, stored, next }))
}

/// Whether all blocks of a frame but the last are full, if it unpacks to `size`
/// bytes: there are no more blocks than it takes, and the last one has just the
/// bytes that the full ones leave.
fn all_full(source: &Source, frame: &Lz4Frame, first: u64, size: u64) -> Result<bool> {
    let max = u64::from(frame.block_max);
    let mut pos = first;
    let mut count = 0u64;
    let mut last = None;
    while let Ok(block) = next_block(source, frame, pos)? {
        count += 1;
        pos = block.next;
        last = Some(block);
    }
    match last {
        Some(last) if count == size.div_ceil(max) => {
            Ok(u64::from(unpacked_len(source, &last, frame)?) == size - (count - 1) * max)
        }
        _ => Ok(false),
    }
}

fn block(source: &Source, cursor: Cursor, frame: Lz4Frame) -> Result<Step> {
    let block = match next_block(source, &frame, cursor.pos)? {
        Ok(block) => block,
        Err(pos) => return Ok(Step::Skip(Cursor { pos, frame: None, ..cursor })),
    };
    let len = match frame.rest {
        Some(rest) => u32::try_from(rest).unwrap_or(u32::MAX).min(frame.block_max),
        None => unpacked_len(source, &block, &frame)?,
    };
    let form = match (block.stored, frame.block_checks) {
        (true, false) => Form::Stored,
        (true, true) => Form::Lz4StoredChecked,
        (false, checked) => Form::Lz4Block { checked },
    };
    let check = if frame.block_checks { 4 } else { 0 };
    let unit = Unit {
        start: cursor.total,
        packed: block.data,
        packed_len: block.len + check,
        len: len.into(),
        form,
    };
    let rest = frame.rest.map(|rest| rest - u64::from(len));
    let next = Cursor {
        pos: block.next,
        total: advance(cursor, len)?,
        frame: Some(Frame::Lz4(Lz4Frame { rest, ..frame })),
    };
    Ok(if len == 0 { Step::Skip(next) } else { Step::Unit(unit, next, None) })
}

fn advance(cursor: Cursor, len: u32) -> Result<u64> {
    cursor.total.checked_add(u64::from(len)).ok_or_else(|| cut_off(cursor.pos))
}

fn unpacked_len(source: &Source, block: &Block, frame: &Lz4Frame) -> Result<u32> {
    if block.stored {
        return Ok(block.len);
    }
    let mut store = Vec::new();
    let data = packed(source, block.data, block.len, &mut store)?;
    token_sum(data, frame.block_max)
        .ok_or_else(|| Error::corrupt(format!("Wrong LZ4 block at {}", block.data)))
}

/// How many bytes a block unpacks to; `None` if it is not whole or unpacks to
/// more than `max`.
fn token_sum(mut data: &[u8], max: u32) -> Option<u32> {
    /// A length of four bits, continued by bytes while they are 255.
    fn length(bits: u8, data: &mut &[u8]) -> Option<usize> {
        let mut len = usize::from(bits);
        if bits == 15 {
            loop {
                let (more, rest) = data.split_first()?;
                *data = rest;
                len = len.checked_add(usize::from(*more))?;
                if *more != 255 {
                    break;
                }
            }
        }
        Some(len)
    }
    let mut sum = 0usize;
    loop {
        let (token, rest) = data.split_first()?;
        data = rest;
        let literals = length(token >> 4, &mut data)?;
        data = data.get(literals..)?;
        sum = sum.checked_add(literals)?;
        if data.is_empty() {
            return u32::try_from(sum).ok().filter(|sum| *sum <= max);
        }
        data = data.get(2..)?;
        sum = sum.checked_add(length(token & 15, &mut data)? + 4)?;
        if sum > max as usize {
            return None;
        }
    }
}

/// A frame whose blocks need the ones before: one unit, if it is small enough.
fn linked(source: &Source, cursor: Cursor, frame: &Lz4Frame, first: u64) -> Result<Step> {
    let mut pos = first;
    let mut len = 0u32;
    let too_large = || Archive::Lz4.refuse("The blocks of the LZ4 frame depend on each other");
    let next = loop {
        let block = match next_block(source, frame, pos)? {
            Ok(block) => block,
            Err(next) => break next,
        };
        pos = block.next;
        // Cannot overflow: each of the two is at most UNIT_MAX.
        len += unpacked_len(source, &block, frame)?;
        if len > UNIT_MAX || pos - first > 2 * u64::from(UNIT_MAX) {
            return Err(too_large());
        }
    };
    let packed_len = u32::try_from(pos - first).map_err(|_| too_large())?;
    let form = Form::Lz4Linked { checked: frame.block_checks };
    let unit = Unit { start: cursor.total, packed: first, packed_len, len: len.into(), form };
    let next = Cursor { pos: next, total: advance(cursor, len)?, frame: None };
    Ok(if len == 0 { Step::Skip(next) } else { Step::Unit(unit, next, None) })
}

/// Unpacks a unit.
pub(super) fn unpack(packed: &[u8], unit: &Unit) -> Result<Vec<u8>> {
    let wrong = || Error::corrupt(format!("Cannot unpack the LZ4 block at {}", unit.packed));
    let mut out = buffer(unit.len as usize)?;
    let done = match unit.form {
        Form::Stored => store(packed, &mut out),
        Form::Lz4StoredChecked => verified(packed).and_then(|data| store(data, &mut out)),
        Form::Lz4Block { checked: false } => lz4_flex::block::decompress_into(packed, &mut out).ok(),
        Form::Lz4Block { checked: true } => {
            verified(packed).and_then(|data| lz4_flex::block::decompress_into(data, &mut out).ok())
        }
        Form::Lz4Linked { checked } => unpack_linked(packed, checked, &mut out),
        _ => None,
    };
    if done != Some(out.len()) {
        return Err(wrong());
    }
    Ok(out)
}

fn store(data: &[u8], out: &mut [u8]) -> Option<usize> {
    out.get_mut(..data.len())?.copy_from_slice(data);
    Some(data.len())
}

/// The data in front of its checksum, if that is right.
fn verified(packed: &[u8]) -> Option<&[u8]> {
    let (data, check) = packed.split_last_chunk::<4>()?;
    (super::hash::xxh32(data) == u32::from_le_bytes(*check)).then_some(data)
}

fn unpack_linked(mut packed: &[u8], checked: bool, out: &mut [u8]) -> Option<usize> {
    let mut done = 0;
    while !packed.is_empty() {
        let word = le32(packed, 0)?;
        let len = (word & !STORED) as usize;
        let end = 4 + len + if checked { 4 } else { 0 };
        let mut data = packed.get(4..end)?;
        packed = &packed[end..];
        if checked {
            data = verified(data)?;
        }
        let (before, rest) = out.split_at_mut(done);
        let window = &before[before.len().saturating_sub(WINDOW)..];
        done += if word & STORED != 0 {
            store(data, rest)?
        } else {
            lz4_flex::block::decompress_into_with_dict(data, rest, window).ok()?
        };
    }
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_add_up_to_the_unpacked_length() {
        // 5 literals; then 1 literal, a match of 4 + 15 + 2, and a last literal.
        assert_eq!(token_sum(b"\x50abcde", 100), Some(5));
        assert_eq!(token_sum(b"\x1fa\x01\x00\x02\x10b", 100), Some(23));
        assert_eq!(token_sum(b"\x1fa\x01\x00\x02\x10b", 22), None);
        assert_eq!(token_sum(b"\xf0\xff", 100), None);
        assert_eq!(token_sum(b"\x50abc", 100), None);
        assert_eq!(token_sum(b"", 100), None);
    }
}
