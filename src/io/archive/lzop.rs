//! lzop files.
//!
//! ```text
//! 89 4C 5A 4F 00 0D 0A 1A 0A | u16 version | u16 library | [u16 needed] | u8 method | [u8 level]
//! u32 flags | [u32 filter] | u32 mode | u32 time | [u32 time] | u8 length, name | u32 check
//! [u32 length, extra, u32 check]
//! { u32 unpacked | u32 packed | [checks of the unpacked bytes] | [of the packed ones] | data }... | u32 0
//! ```
//!
//! All integers are big-endian. A block is one unit; the index hops over them.

use super::unit::{Cursor, Form, Frame, LzopCheck, Step, Unit, at_end, buffer, cut_off};
use super::{Archive, UNIT_MAX, peek};
use crate::codec::lzo;
use crate::error::{Error, Result};
use crate::io::{ReadAt, Source};
use alloc::format;
use alloc::vec::Vec;

const MAGIC: &[u8] = b"\x89LZO\0\r\n\x1a\n";
/// Flags of a file.
const ADLER32: u32 = 1;
const ADLER32_PACKED: u32 = 2;
const EXTRA: u32 = 0x40;
const CRC32: u32 = 0x100;
const CRC32_PACKED: u32 = 0x200;
const MULTIPART: u32 = 0x400;
const FILTER: u32 = 0x800;
const HEADER_CRC32: u32 = 0x1000;
/// From this version on the header has three more fields.
const NEWER: u16 = 0x0940;
/// The longest header without the extra field.
const HEADER_MAX: usize = 9 + 6 + 2 + 4 + 4 + 4 + 8 + 1 + 255 + 4;

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// What stands at the cursor.
pub(super) fn step(source: &Source, cursor: Cursor) -> Result<Step> {
    match cursor.frame {
        Some(Frame::Lzop(flags)) => block(source, cursor, flags),
        _ => file(source, cursor),
    }
}

fn file(source: &Source, cursor: Cursor) -> Result<Step> {
    let pos = cursor.pos;
    let (head, got) = peek::<HEADER_MAX>(source, pos)?;
    let head = head.get(..got).unwrap_or(&[]);
    if !head.starts_with(MAGIC) {
        return match at_end(head.get(..4).unwrap_or(head)) {
            true => Ok(Step::End),
            false => Err(Error::corrupt(format!("There is no lzop header at {pos}"))),
        };
    }
    let header = header(head).ok_or_else(|| Error::corrupt(format!("Wrong lzop header at {pos}")))?;
    if header.method > 3 || header.flags & (FILTER | MULTIPART) != 0 {
        return Err(Archive::Lzop.refuse("The lzop file has a method or a filter that is unknown"));
    }
    let mut pos = pos + header.len as u64;
    if header.flags & EXTRA != 0 {
        let (len, got) = peek::<4>(source, pos)?;
        if got < 4 {
            return Err(cut_off(pos));
        }
        pos = pos.checked_add(8 + u64::from(u32::from_be_bytes(len))).ok_or_else(|| cut_off(pos))?;
    }
    Ok(Step::Skip(Cursor { pos, frame: Some(Frame::Lzop(header.flags)), ..cursor }))
}

struct Header {
    method: u8,
    flags: u32,
    len: usize,
}

/// Reads a header and checks its checksum.
fn header(head: &[u8]) -> Option<Header> {
    let version = u16::from_be_bytes(*head.get(9..)?.first_chunk()?);
    let newer = version >= NEWER;
    let mut at = if newer { 15 } else { 13 };
    let method = *head.get(at)?;
    at += if newer { 2 } else { 1 };
    let flags = be32(head, at)?;
    at += if flags & FILTER != 0 { 8 } else { 4 };
    at += if newer { 12 } else { 8 };
    at += 1 + usize::from(*head.get(at)?);
    let fields = head.get(MAGIC.len()..at)?;
    let right = if flags & HEADER_CRC32 != 0 { crc32fast::hash(fields) } else { adler32(fields) };
    (be32(head, at)? == right && method > 0).then_some(Header { method, flags, len: at + 4 })
}

fn block(source: &Source, cursor: Cursor, flags: u32) -> Result<Step> {
    let pos = cursor.pos;
    let (head, got) = peek::<24>(source, pos)?;
    let head = head.get(..got).unwrap_or(&[]);
    let len = be32(head, 0).ok_or_else(|| cut_off(pos))?;
    if len == 0 {
        return Ok(Step::Skip(Cursor { pos: pos + 4, frame: None, ..cursor }));
    }
    let packed_len = be32(head, 4).ok_or_else(|| cut_off(pos))?;
    if len > UNIT_MAX || packed_len > len {
        return Err(Error::corrupt(format!("Wrong lzop block of {packed_len} to {len} bytes at {pos}")));
    }
    let stored = packed_len == len;
    let mut at = 8;
    let mut check = LzopCheck::None;
    if flags & ADLER32 != 0 {
        check = LzopCheck::Adler32(be32(head, at).ok_or_else(|| cut_off(pos))?);
        at += 4;
    }
    if flags & CRC32 != 0 {
        check = LzopCheck::Crc32(be32(head, at).ok_or_else(|| cut_off(pos))?);
        at += 4;
    }
    if !stored {
        at += [ADLER32_PACKED, CRC32_PACKED].iter().filter(|flag| flags & **flag != 0).count() * 4;
    }
    let data = pos + at as u64;
    let next = data.checked_add(packed_len.into()).ok_or_else(|| cut_off(pos))?;
    if source.len().is_some_and(|end| next > end) {
        return Err(cut_off(pos));
    }
    let form = Form::Lzop { stored, check };
    let unit = Unit { start: cursor.total, packed: data, packed_len, len: len.into(), form };
    let total = cursor.total.checked_add(len.into()).ok_or_else(|| cut_off(pos))?;
    Ok(Step::Unit(unit, Cursor { pos: next, total, ..cursor }, None))
}

/// Unpacks a unit.
pub(super) fn unpack(packed: &[u8], unit: &Unit, stored: bool, check: LzopCheck) -> Result<Vec<u8>> {
    let pos = unit.packed;
    let mut out = buffer(unit.len as usize)?;
    let done = match stored {
        true => {
            out.copy_from_slice(packed);
            packed.len()
        }
        false => lzo::decompress(&mut lzo::State, packed, &mut out)
            .map_err(|error| error.context(format!("Cannot unpack the lzop block at {pos}")))?,
    };
    if done != out.len() {
        let want = out.len();
        return Err(Error::corrupt(format!("The lzop block at {pos} has {done} bytes instead of {want}")));
    }
    let right = match check {
        LzopCheck::None => true,
        LzopCheck::Adler32(sum) => adler32(&out) == sum,
        LzopCheck::Crc32(sum) => crc32fast::hash(&out) == sum,
    };
    match right {
        true => Ok(out),
        false => Err(Error::corrupt(format!("Wrong checksum of the lzop block at {pos}"))),
    }
}

/// Adler-32 (RFC 1950).
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    // The most bytes of which the sums fit into 32 bits.
    for bytes in bytes.chunks(5552) {
        for byte in bytes {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65_521;
        b %= 65_521;
    }
    b << 16 | a
}

#[cfg(test)]
mod tests {
    #[test]
    fn adler32_gives_the_published_value() {
        assert_eq!(super::adler32(b"Wikipedia"), 0x11e6_0398);
        assert_eq!(super::adler32(b""), 1);
        assert_eq!(super::adler32(&[0xff; 100_000]), {
            let a = (1 + 255 * 100_000u64) % 65_521;
            let b = (1..=100_000u64).fold(0, |b, n| (b + 1 + 255 * n) % 65_521);
            (b << 16 | a) as u32
        });
    }
}
