//! Snappy framed streams.
//!
//! ```text
//! u8 type | u24 length | data
//! FF stream identifier: "sNaPpY"       00 packed: u32 masked CRC-32C, snappy block
//! 01 stored: u32 masked CRC-32C, bytes FE, 80..FD to skip
//! ```
//!
//! All integers are little-endian. A chunk unpacks to at most 64 KiB and is one
//! unit; the index hops over them.

use super::unit::{Cursor, Form, Step, Unit, buffer, cut_off};
use super::{le32, peek};
use crate::codec::{crc32c, snappy};
use crate::error::{Error, Result};
use crate::io::{ReadAt, Source};
use alloc::format;
use alloc::vec::Vec;

/// The most that a chunk unpacks to.
const CHUNK_MAX: u64 = 64 << 10;

/// What stands at the cursor.
pub(super) fn step(source: &Source, cursor: Cursor) -> Result<Step> {
    let pos = cursor.pos;
    // The head, a checksum and the length of a block.
    let (head, got) = peek::<13>(source, pos)?;
    let head = head.get(..got).unwrap_or(&[]);
    if head.is_empty() {
        return Ok(Step::End);
    }
    let word = le32(head, 0).ok_or_else(|| cut_off(pos))?;
    let (kind, len) = (word as u8, u64::from(word >> 8));
    let data = pos + 4;
    let end = data + len;
    let next = Cursor { pos: end, ..cursor };
    if source.len().is_some_and(|len| end > len) {
        return Err(cut_off(pos));
    }
    let wrong = || Error::corrupt(format!("Wrong snappy chunk at {pos}"));
    let unpacked = match kind {
        0xff if head.get(4..10) == Some(b"sNaPpY") && len == 6 => return Ok(Step::Skip(next)),
        0x80..=0xfe => return Ok(Step::Skip(next)),
        0 | 1 if len < 4 => return Err(wrong()),
        0 => snappy::len(head.get(8..).unwrap_or(&[])).map(|len| len as u64),
        1 => Some(len - 4),
        _ => return Err(wrong()),
    };
    let check = le32(head, 4).ok_or_else(|| cut_off(pos))?;
    let unpacked = unpacked.filter(|len| *len <= CHUNK_MAX).ok_or_else(wrong)?;
    if unpacked == 0 {
        return Ok(Step::Skip(next));
    }
    let form = Form::Snappy { stored: kind == 1, check };
    // Fewer than 2^24 bytes.
    let unit =
        Unit { start: cursor.total, packed: data + 4, packed_len: len as u32 - 4, len: unpacked, form };
    let total = cursor.total.checked_add(unpacked).ok_or_else(|| cut_off(pos))?;
    Ok(Step::Unit(unit, Cursor { total, ..next }, None))
}

/// Unpacks a unit.
pub(super) fn unpack(packed: &[u8], unit: &Unit, stored: bool, check: u32) -> Result<Vec<u8>> {
    let mut out = buffer(unit.len as usize)?;
    let wrong = || Error::corrupt(format!("Cannot unpack the snappy chunk at {}", unit.packed));
    let done = match stored {
        true if packed.len() == out.len() => {
            out.copy_from_slice(packed);
            packed.len()
        }
        true => return Err(wrong()),
        false => snappy::decompress(&mut snappy::State, packed, &mut out).map_err(|_| wrong())?,
    };
    if done != out.len() {
        return Err(wrong());
    }
    if crc32c::masked(crc32c::crc32c(&out)) != check {
        return Err(Error::corrupt(format!("Wrong checksum of the snappy chunk at {}", unit.packed)));
    }
    Ok(out)
}
