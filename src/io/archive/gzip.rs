//! gzip members (RFC 1952), with and without the sizes that BGZF adds.
//!
//! ```text
//! 1F 8B 08 | flags | u32 time | extra flags | system
//! [u16 length, extra] | [name, NUL] | [comment, NUL] | [u16 check]
//! deflate data | u32 CRC-32 | u32 length
//! ```
//!
//! BGZF writes the packed size of a member into its extra field, and a member
//! is one unit. The end of any other member is found by unpacking it: one
//! that is not longer than a segment is a unit, others are streams.

use super::inflate::Inflate;
use super::stream::Piece;
use super::unit::{Cursor, Form, Step, Stream, Unit, at_end, buffer, cut_off};
use super::{le32, peek};
use crate::error::{Error, Result};
use crate::io::{Source, read_full};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

const FIXED_HEADER: usize = 10;
const TRAILER: u32 = 8;
const HAS_CRC: u8 = 2;
const HAS_EXTRA: u8 = 4;
const HAS_NAME: u8 = 8;
const HAS_COMMENT: u8 = 16;
/// The length of nearly all headers.
const HEADER_USUAL: usize = 512;
/// The longest header that is accepted: an extra field and two long texts.
const HEADER_MAX: usize = 3 << 16;
/// A BGZF member unpacks to at most this.
const BGZF_MAX: u32 = 64 << 10;

struct Header {
    len: u64,
    /// Length of the whole member, from BGZF's extra field.
    member_len: Option<u64>,
}

/// What stands at the cursor.
pub(super) fn step(source: &Source, cursor: Cursor) -> Result<Step> {
    let pos = cursor.pos;
    let (head, got) = peek::<FIXED_HEADER>(source, pos)?;
    if at_end(&head[..got]) {
        return Ok(Step::End);
    }
    let header = header(source, pos, &head)?;
    let data = pos + header.len;
    let (mut unit, bytes) = match header.member_len {
        Some(member_len) => (bgzf(source, pos, data, member_len)?, None),
        None => {
            let Piece { bytes, end } = Inflate::new(Stream::Gzip, data).next(source)?;
            let len = bytes.len() as u64;
            let unit = Unit { start: cursor.total, packed: data, packed_len: 0, len, form: Form::Gzip };
            match end {
                // The decoder reads a bounded number of bytes for a piece.
                Some(end) => (Unit { packed_len: (end - data) as u32, ..unit }, Some(bytes)),
                None => return Ok(Step::Stream(Unit { len: 0, form: Form::Stream(Stream::Gzip), ..unit })),
            }
        }
    };
    unit.start = cursor.total;
    let total = cursor.total.checked_add(unit.len).ok_or_else(|| cut_off(pos))?;
    let next = Cursor { pos: data + u64::from(unit.packed_len), total, frame: None };
    Ok(if unit.len == 0 { Step::Skip(next) } else { Step::Unit(unit, next, bytes) })
}

fn header(source: &Source, pos: u64, head: &[u8; FIXED_HEADER]) -> Result<Header> {
    let wrong = || Error::corrupt(format!("There is no gzip member at {pos}"));
    let flags = head[3];
    if head[..3] != [0x1f, 0x8b, 8] || flags & 0xe0 != 0 {
        return Err(wrong());
    }
    let (mut len, mut member_len) = (FIXED_HEADER, None);
    if flags & (HAS_EXTRA | HAS_NAME | HAS_COMMENT | HAS_CRC) != 0 {
        // Few are long.
        let mut fields = None;
        for most in [HEADER_USUAL, HEADER_MAX] {
            let mut bytes = buffer(most)?;
            let got = read_full(source, pos, &mut bytes)?;
            fields = optional_fields(bytes.get(..got).unwrap_or(&[]), flags);
            if fields.is_some() {
                break;
            }
        }
        (len, member_len) = fields.ok_or_else(wrong)?;
    }
    Ok(Header { len: len as u64, member_len })
}

/// The length of the header, and that of the member if BGZF wrote it.
fn optional_fields(bytes: &[u8], flags: u8) -> Option<(usize, Option<u64>)> {
    let mut at = FIXED_HEADER;
    let mut member_len = None;
    if flags & HAS_EXTRA != 0 {
        let extra_len = usize::from(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        member_len = bgzf_len(bytes.get(at + 2..at + 2 + extra_len)?);
        at += 2 + extra_len;
    }
    for text in [HAS_NAME, HAS_COMMENT] {
        if flags & text != 0 {
            at += bytes.get(at..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    Some((at + if flags & HAS_CRC != 0 { 2 } else { 0 }, member_len))
}

/// The length of the member, from subfield `BC` of the extra field.
fn bgzf_len(mut extra: &[u8]) -> Option<u64> {
    while let [a, b, low, high, rest @ ..] = extra {
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        if let ([b'B', b'C'], 2, [low, high, ..]) = ([*a, *b], len, rest) {
            return Some(u64::from(u16::from_le_bytes([*low, *high])) + 1);
        }
        extra = rest.get(len..)?;
    }
    None
}

fn bgzf(source: &Source, pos: u64, data: u64, member_len: u64) -> Result<Unit> {
    let wrong = || Error::corrupt(format!("Wrong BGZF member at {pos}"));
    let packed_len = (pos + member_len).checked_sub(data).filter(|len| *len >= u64::from(TRAILER));
    let packed_len = packed_len.ok_or_else(wrong)?;
    let (size, got) = peek::<4>(source, data + packed_len - 4)?;
    if got < 4 {
        return Err(cut_off(pos));
    }
    let len = u32::from_le_bytes(size);
    if len > BGZF_MAX {
        return Err(wrong());
    }
    // At most 64 KiB: the length of a member is a u16 plus 1.
    Ok(Unit { start: 0, packed: data, packed_len: packed_len as u32, len: len.into(), form: Form::Gzip })
}

fn check(out: &[u8], trailer: &[u8], data: u64) -> Result<()> {
    let right = le32(trailer, 0) == Some(crc32fast::hash(out)) && le32(trailer, 4) == Some(out.len() as u32);
    if !right {
        return Err(Error::corrupt(format!("Wrong checksum of the gzip member at {data}")));
    }
    Ok(())
}

/// Unpacks a unit.
pub(super) fn unpack(packed: &[u8], unit: &Unit) -> Result<Vec<u8>> {
    let mut out = buffer(unit.len as usize)?;
    let mut inflate = Box::new(DecompressorOxide::new());
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, used, made) = decompress(&mut inflate, packed, &mut out, 0, flags);
    let trailer = packed.get(used..).unwrap_or(&[]);
    if status != TINFLStatus::Done || made != out.len() {
        return Err(Error::corrupt(format!("Cannot unpack the gzip member at {}", unit.packed)));
    }
    check(&out, trailer, unit.packed)?;
    Ok(out)
}
