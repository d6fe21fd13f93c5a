//! gzip members (RFC 1952), with and without the sizes that BGZF adds.
//!
//! ```text
//! 1F 8B 08 | flags | u32 time | extra flags | system
//! [u16 length, extra] | [name, NUL] | [comment, NUL] | [u16 check]
//! deflate data | u32 CRC-32 | u32 length
//! ```
//!
//! A member is one unit. BGZF writes the packed size of a member into its
//! extra field; any other member is unpacked once to find its end.

use super::view::{Cursor, Form, Step, Unit, at_end, buffer, cut_off};
use super::{Archive, UNIT_MAX, le32, peek};
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
/// The longest header that is accepted: an extra field and two long texts.
const HEADER_MAX: usize = 3 << 16;
/// A BGZF member unpacks to at most this.
const BGZF_MAX: u32 = 64 << 10;
/// How much is read at once while the end of a member is looked for.
const WINDOW: usize = 256 << 10;

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
            let (unit, bytes) = member(source, data)?;
            (unit, Some(bytes))
        }
    };
    unit.start = cursor.total;
    let total = cursor.total.checked_add(u64::from(unit.len)).ok_or_else(|| cut_off(pos))?;
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
        let mut bytes = buffer(HEADER_MAX)?;
        let got = read_full(source, pos, &mut bytes)?;
        (len, member_len) = optional_fields(bytes.get(..got).unwrap_or(&[]), flags).ok_or_else(wrong)?;
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
    Ok(Unit { start: 0, packed: data, packed_len: packed_len as u32, len, form: Form::Gzip })
}

/// Unpacks the member whose deflate data begin at `data` to learn its sizes.
fn member(source: &Source, data: u64) -> Result<(Unit, Vec<u8>)> {
    let too_large = || Archive::Gzip.refuse(&format!("A gzip member is larger than {} MiB", UNIT_MAX >> 20));
    let mut inflate = Box::new(DecompressorOxide::new());
    let mut window = buffer(WINDOW)?;
    let mut out = buffer(WINDOW)?;
    let (mut pos, mut done) = (data, 0);
    loop {
        let got = read_full(source, pos, &mut window)?;
        let mut input = &window[..got];
        loop {
            let more = if got == WINDOW { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT } else { 0 };
            let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | more;
            let (status, used, made) = decompress(&mut inflate, input, &mut out, done, flags);
            input = input.get(used..).unwrap_or(&[]);
            pos += used as u64;
            done += made;
            match status {
                TINFLStatus::Done => {
                    out.truncate(done);
                    out.shrink_to_fit();
                    return finish(source, data, pos, out);
                }
                TINFLStatus::HasMoreOutput if out.len() >= UNIT_MAX as usize => return Err(too_large()),
                TINFLStatus::HasMoreOutput => {
                    let len = (out.len() * 2).min(UNIT_MAX as usize);
                    let more = out.try_reserve_exact(len - out.len());
                    more.map_err(|_| Error::system("Cannot allocate memory"))?;
                    out.resize(len, 0);
                }
                // Empty blocks take input and give nothing; a member does not
                // consist of them.
                TINFLStatus::NeedsMoreInput if pos - data > 2 * u64::from(UNIT_MAX) => {
                    return Err(too_large());
                }
                TINFLStatus::NeedsMoreInput if got == WINDOW && used > 0 => break,
                TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
                    return Err(cut_off(pos));
                }
                _ => return Err(Error::corrupt(format!("Cannot unpack the gzip member at {data}"))),
            }
        }
    }
}

fn finish(source: &Source, data: u64, end: u64, out: Vec<u8>) -> Result<(Unit, Vec<u8>)> {
    let (trailer, got) = peek::<{ TRAILER as usize }>(source, end)?;
    if got < trailer.len() {
        return Err(cut_off(end));
    }
    check(&out, &trailer, data)?;
    // Both lengths are bounded by the loop that found them.
    let packed_len = (end - data) as u32 + TRAILER;
    let unit = Unit { start: 0, packed: data, packed_len, len: out.len() as u32, form: Form::Gzip };
    Ok((unit, out))
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
