//! bzip2 streams.
//!
//! ```text
//! "BZh" | level '1'..'9'
//! { 31 41 59 26 53 59 | u32 check | block }...       from any bit on
//! 17 72 45 38 50 90 | u32 combined check | padding to a byte
//! ```
//!
//! Blocks do not depend on each other, but only unpacking tells where one ends
//! and how long it is: the index grows block by block. A block that is in the
//! index is unpacked on its own.

mod block;

use super::peek;
use super::unit::{Bzip2Block, Cursor, Form, Frame, Step, Unit, at_end, buffer, cut_off};
use crate::error::{Error, Result};
use crate::io::{Source, read_full};
use alloc::format;
use alloc::vec::Vec;
use block::Bits;

/// What begins a block, and what ends a stream.
const BLOCK: u64 = 0x3141_5926_5359;
const END: u64 = 0x1772_4538_5090;
/// Bytes that a block may take. It has up to 900,001 symbols of up to 20 bits
/// and less than 40 KiB of tables.
const PACKED_MAX: usize = 900_001 * 20 / 8 + (40 << 10);

/// What stands at the cursor.
pub(super) fn step(source: &Source, cursor: Cursor) -> Result<Step> {
    match cursor.frame {
        Some(Frame::Bzip2(block, combined)) => next(source, cursor, block, combined),
        _ => stream(source, cursor),
    }
}

fn stream(source: &Source, cursor: Cursor) -> Result<Step> {
    let pos = cursor.pos;
    let (head, got) = peek::<4>(source, pos)?;
    match head {
        [b'B', b'Z', b'h', level @ b'1'..=b'9'] if got == 4 => {
            let block = Bzip2Block { bit: 0, level: level - b'0' };
            Ok(Step::Skip(Cursor { pos: pos + 4, frame: Some(Frame::Bzip2(block, 0)), ..cursor }))
        }
        _ if at_end(head.get(..got).unwrap_or(&[])) => Ok(Step::End),
        _ => Err(Error::corrupt(format!("There is no bzip2 stream at {pos}"))),
    }
}

/// The block or the end of the stream at the cursor.
fn next(source: &Source, cursor: Cursor, place: Bzip2Block, combined: u32) -> Result<Step> {
    let pos = cursor.pos;
    // The magic, the checksum behind it, and the bits in front of it.
    let (head, got) = peek::<11>(source, pos)?;
    let mut bits = Bits::new(head.get(..got).unwrap_or(&[]), place.bit);
    let magic = bits.take(24).and_then(|high| Some(u64::from(high) << 24 | u64::from(bits.take(24)?)));
    let check = bits.take(16).and_then(|high| Some(high << 16 | bits.take(16)?));
    let (Some(magic), Some(check)) = (magic, check) else { return Err(cut_off(pos)) };
    match magic {
        END if check != combined => {
            Err(Error::corrupt(format!("Wrong checksum of the bzip2 stream that ends at {pos}")))
        }
        END => Ok(Step::Skip(Cursor { pos: pos + bits.bytes_used() as u64, frame: None, ..cursor })),
        BLOCK => {
            let mut input = buffer(PACKED_MAX)?;
            let got = read_full(source, pos, &mut input)?;
            input.truncate(got);
            let mut bits = Bits::new(&input, place.bit);
            let bytes = block::unpack(&mut bits, place.level)
                .map_err(|fault| wrong(fault, pos, got < PACKED_MAX && bits.is_empty()))?;
            let used = bits.bits_used();
            let unit = Unit {
                start: cursor.total,
                packed: pos,
                packed_len: used.div_ceil(8) as u32,
                len: bytes.len() as u64,
                form: Form::Bzip2(place),
            };
            let total = cursor.total.checked_add(unit.len).ok_or_else(|| cut_off(pos))?;
            let place = Bzip2Block { bit: (used % 8) as u8, ..place };
            let frame = Some(Frame::Bzip2(place, combined.rotate_left(1) ^ check));
            let next = Cursor { pos: pos + (used / 8) as u64, total, frame };
            Ok(if bytes.is_empty() { Step::Skip(next) } else { Step::Unit(unit, next, Some(bytes)) })
        }
        _ => Err(Error::corrupt(format!("There is no bzip2 block at {pos}"))),
    }
}

fn wrong(fault: block::Fault, pos: u64, at_end: bool) -> Error {
    match fault {
        block::Fault::Memory => Error::system("Cannot allocate memory"),
        _ if at_end => cut_off(pos),
        block::Fault::Check => Error::corrupt(format!("Wrong checksum of the bzip2 block at {pos}")),
        block::Fault::Data => Error::corrupt(format!("Cannot unpack the bzip2 block at {pos}")),
    }
}

/// Unpacks a unit.
pub(super) fn unpack(packed: &[u8], unit: &Unit, place: Bzip2Block) -> Result<Vec<u8>> {
    let mut bits = Bits::new(packed, place.bit);
    block::unpack(&mut bits, place.level).map_err(|fault| wrong(fault, unit.packed, false))
}
