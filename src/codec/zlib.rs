//! zlib streams (RFC 1950) with deflate inside (RFC 1951).
//!
//! A page is decoded in one go from slice to slice, so the output itself is
//! the window and there is nothing to suspend: that makes this decoder short
//! and faster than a streaming one. What it calls an error, and in which
//! order, is what zlib 1.2.13 does, whose texts users know.

mod adler;
mod tables;

use self::tables::{Code, Entry};
use super::copy;
use crate::error::{Error, Result};
use alloc::boxed::Box;
use alloc::format;

/// The decoding tables (about 7.5 KiB), allocated by the first page.
#[derive(Default)]
pub struct State(Option<Box<Tables>>);

struct Tables {
    litlen: [Entry; tables::LITLEN_SIZE],
    distance: [Entry; tables::DISTANCE_SIZE],
    precode: [Entry; tables::PRECODE_SIZE],
    /// The tables are those of the fixed codes.
    fixed: bool,
}

impl Default for Tables {
    fn default() -> Self {
        Tables {
            litlen: [Entry::EMPTY; tables::LITLEN_SIZE],
            distance: [Entry::EMPTY; tables::DISTANCE_SIZE],
            precode: [Entry::EMPTY; tables::PRECODE_SIZE],
            fixed: false,
        }
    }
}

/// Why a stream is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The input ends before the stream, or a preset dictionary is needed.
    Data,
    /// The output is full before the stream ends.
    Buffer,
    /// A text of zlib.
    Message(&'static str),
}

/// Decompresses the stream at the start of `src` to the start of `dst`; the
/// number of bytes produced. Bytes behind the stream are ignored.
///
/// # Errors
///
/// `Decompresion failed: error -3` when `src` ends before the stream,
/// `Decompresion failed: error -5` when it does not fit into `dst`, otherwise
/// `Decompresion failed: ` and what zlib says. The spelling is that of the C
/// library, which clients match.
pub fn decompress(state: &mut State, src: &[u8], dst: &mut [u8]) -> Result<usize> {
    let tables = state.0.get_or_insert_default();
    stream(tables, src, dst).map_err(|fault| {
        Error::corrupt(match fault {
            Fault::Data => "Decompresion failed: error -3".into(),
            Fault::Buffer => "Decompresion failed: error -5".into(),
            Fault::Message(text) => format!("Decompresion failed: {text}"),
        })
    })
}

fn stream(tables: &mut Tables, src: &[u8], dst: &mut [u8]) -> Result<usize, Fault> {
    let &[cmf, flg, ..] = src else { return Err(Fault::Data) };
    if !u16::from_be_bytes([cmf, flg]).is_multiple_of(31) {
        return Err(Fault::Message("incorrect header check"));
    }
    if cmf & 15 != 8 {
        return Err(Fault::Message("unknown compression method"));
    }
    if cmf >> 4 > 7 {
        return Err(Fault::Message("invalid window size"));
    }
    if flg & 0x20 != 0 {
        return Err(Fault::Data);
    }

    let mut bits = Bits { src, at: 2, buffer: 0, have: 0, phantom: 0 };
    let mut op = 0;
    loop {
        let last = bits.take(1)? != 0;
        match bits.take(2)? {
            0 => stored(&mut bits, dst, &mut op)?,
            1 => {
                if !tables.fixed {
                    let (litlen, distance) = tables::fixed_lengths();
                    // Both sets of lengths are complete codes.
                    let _ = tables::build(Code::Litlen, &litlen, &mut tables.litlen);
                    let _ = tables::build(Code::Distance, &distance, &mut tables.distance);
                    tables.fixed = true;
                }
                op = compressed(tables, &mut bits, dst, op)?;
            }
            2 => {
                tables.fixed = false;
                dynamic(tables, &mut bits)?;
                op = compressed(tables, &mut bits, dst, op)?;
            }
            _ => return Err(Fault::Message("invalid block type")),
        }
        if last {
            break;
        }
    }

    bits.align();
    let check = bits.src.get(bits.at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Fault::Data)?;
    let produced = dst.get(..op).ok_or(Fault::Buffer)?;
    if adler::adler32(produced) != u32::from_be_bytes(*check) {
        return Err(Fault::Message("incorrect data check"));
    }
    Ok(op)
}

/// The input, read bit by bit from the lowest bit of each byte on.
///
/// Bits of `buffer` above `have` are zero or those of `src[at..]`, so that
/// loading a byte twice does no harm.
struct Bits<'a> {
    src: &'a [u8],
    at: usize,
    buffer: u64,
    have: u32,
    /// How many of the `have` bits, the last ones, are zeros from behind the
    /// end of the input. Decoding may consume them as long as it is asked by
    /// [`Bits::overrun`] in the end: one check instead of one per code.
    phantom: u32,
}

impl Bits<'_> {
    /// Makes at least 56 bits available.
    #[inline(always)]
    fn refill(&mut self) {
        if let Some(bytes) = copy::chunk::<8>(self.src, self.at) {
            self.buffer |= u64::from_le_bytes(bytes) << self.have;
            self.at += ((63 - self.have) >> 3) as usize;
            self.have |= 56;
        } else {
            self.refill_at_end();
        }
    }

    #[inline(never)]
    fn refill_at_end(&mut self) {
        while self.have < 56 {
            if let Some(&byte) = self.src.get(self.at) {
                self.buffer |= u64::from(byte) << self.have;
                self.at += 1;
            } else {
                self.phantom += 8;
            }
            self.have += 8;
        }
    }

    /// Bits were consumed that the input does not have.
    fn overrun(&self) -> bool {
        self.have < self.phantom
    }

    /// Consumes `count` of the available bits.
    #[inline(always)]
    fn consume(&mut self, count: u32) {
        self.buffer >>= count;
        self.have -= count;
    }

    /// The next `count` bits, at most 32.
    #[inline(always)]
    fn take(&mut self, count: u32) -> Result<u32, Fault> {
        if self.have < count {
            self.refill();
        }
        let value = self.buffer & ((1 << count) - 1);
        self.consume(count);
        if self.overrun() { Err(Fault::Data) } else { Ok(value as u32) }
    }

    /// Whole bytes that were loaded and not consumed.
    fn loaded(&self) -> usize {
        (self.have.saturating_sub(self.phantom) / 8) as usize
    }

    /// Drops the bits up to the next byte and gives loaded bytes back.
    fn align(&mut self) {
        self.at -= self.loaded();
        self.buffer = 0;
        self.have = 0;
        self.phantom = 0;
    }
}

/// A block that is not compressed.
fn stored(bits: &mut Bits<'_>, dst: &mut [u8], op: &mut usize) -> Result<(), Fault> {
    bits.align();
    let rest = bits.src.get(bits.at..).unwrap_or_default();
    let &[a, b, c, d, ref data @ ..] = rest else { return Err(Fault::Data) };
    let len = u16::from_le_bytes([a, b]);
    if len != !u16::from_le_bytes([c, d]) {
        return Err(Fault::Message("invalid stored block lengths"));
    }
    let len = usize::from(len);
    let room = dst.get_mut(*op..).unwrap_or_default();
    if len > data.len() && data.len() <= room.len() {
        return Err(Fault::Data);
    }
    let (Some(data), Some(room)) = (data.get(..len.min(data.len())), room.get_mut(..len)) else {
        return Err(Fault::Buffer);
    };
    room.copy_from_slice(data);
    *op += len;
    bits.at += 4 + len;
    Ok(())
}

/// Order in which the lengths of the precode are stored (RFC 1951 section 3.2.7).
const PRECODE_ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Reads the codes of a block that brings its own.
fn dynamic(tables: &mut Tables, bits: &mut Bits<'_>) -> Result<(), Fault> {
    let counts = bits.take(14)?;
    let litlens = (counts & 31) as usize + 257;
    let distances = (counts >> 5 & 31) as usize + 1;
    let precodes = (counts >> 10) as usize + 4;
    if litlens > 286 || distances > 30 {
        return Err(Fault::Message("too many length or distance symbols"));
    }

    let mut precode = [0_u8; 19];
    for &symbol in PRECODE_ORDER.iter().take(precodes) {
        precode[usize::from(symbol)] = bits.take(3)? as u8;
    }
    tables::build(Code::Precode, &precode, &mut tables.precode)
        .ok_or(Fault::Message("invalid code lengths set"))?;

    const REPEAT: Fault = Fault::Message("invalid bit length repeat");
    let total = litlens + distances;
    let mut lens = [0_u8; 286 + 30];
    let mut filled = 0;
    while filled < total {
        if bits.have < 14 {
            bits.refill();
        }
        let entry = tables.precode[(bits.buffer as usize) & (tables::PRECODE_SIZE - 1)];
        bits.consume(entry.bits());
        let symbol = entry.value();
        if symbol < 16 {
            lens[filled] = symbol as u8;
            filled += 1;
            continue;
        }
        let extra = match symbol {
            16 => 2,
            17 => 3,
            _ => 7,
        };
        // zlib looks at the extra bits before it looks for a length to repeat.
        let count = bits.take(extra)? as usize + if symbol == 18 { 11 } else { 3 };
        let len = match symbol {
            16 if filled == 0 => return Err(REPEAT),
            16 => lens[filled - 1],
            _ => 0,
        };
        if count > total - filled {
            return Err(REPEAT);
        }
        lens[filled..filled + count].fill(len);
        filled += count;
    }

    if bits.overrun() {
        return Err(Fault::Data);
    }
    if lens[256] == 0 {
        return Err(Fault::Message("invalid code -- missing end-of-block"));
    }
    let (litlen, distance) = lens[..total].split_at(litlens);
    tables::build(Code::Litlen, litlen, &mut tables.litlen)
        .ok_or(Fault::Message("invalid literal/lengths set"))?;
    tables::build(Code::Distance, distance, &mut tables.distance)
        .ok_or(Fault::Message("invalid distances set"))
}

const BAD_LITLEN: Fault = Fault::Message("invalid literal/length code");
const BAD_DISTANCE: Fault = Fault::Message("invalid distance code");
const TOO_FAR: Fault = Fault::Message("invalid distance too far back");

/// Decodes the symbols of a block to its end; returns the new output position.
fn compressed(tables: &Tables, bits: &mut Bits<'_>, dst: &mut [u8], start: usize) -> Result<usize, Fault> {
    let result = symbols(tables, bits, dst, start);
    match result {
        // Whatever was made of bits that are not there, the input ended.
        _ if bits.overrun() => Err(Fault::Data),
        // zlib calls the output full only when input is left.
        Err(Fault::Buffer) if bits.at - bits.loaded() == bits.src.len() => Err(Fault::Data),
        result => result,
    }
}

fn symbols(tables: &Tables, stream: &mut Bits<'_>, dst: &mut [u8], start: usize) -> Result<usize, Fault> {
    const LITLEN_MASK: usize = (1 << tables::LITLEN_ROOT) - 1;
    const DISTANCE_MASK: usize = (1 << tables::DISTANCE_ROOT) - 1;
    // Locals, which the compiler keeps in registers.
    let mut bits = Bits { ..*stream };
    let mut op = start;

    let result = 'block: loop {
        bits.refill();
        let mut entry = tables.litlen[bits.buffer as usize & LITLEN_MASK];
        // Two literals from the root table leave enough bits for a length,
        // whose code and extra bits are 20 at the most.
        for _ in 0..2 {
            if entry.is_literal() {
                bits.consume(entry.bits());
                let Some(slot) = dst.get_mut(op) else { break 'block Err(Fault::Buffer) };
                *slot = entry.value() as u8;
                op += 1;
                entry = tables.litlen[bits.buffer as usize & LITLEN_MASK];
            }
        }
        if entry.is_subtable() {
            let root = entry;
            let Some(&found) = tables.litlen.get(root.index_in_subtable(bits.buffer)) else {
                break Err(BAD_LITLEN);
            };
            entry = found;
            bits.consume(root.bits());
        }
        let code = bits.buffer;
        bits.consume(entry.bits());
        if entry.is_literal() {
            let Some(slot) = dst.get_mut(op) else { break Err(Fault::Buffer) };
            *slot = entry.value() as u8;
            op += 1;
            continue;
        }
        if entry.is_special() {
            break if entry.is_end() { Ok(op) } else { Err(BAD_LITLEN) };
        }
        let len = entry.with_extra(code);

        if bits.have < 28 {
            bits.refill();
        }
        let mut entry = tables.distance[bits.buffer as usize & DISTANCE_MASK];
        if entry.is_special() {
            if entry.is_subtable() {
                let root = entry;
                let Some(&found) = tables.distance.get(root.index_in_subtable(bits.buffer)) else {
                    break Err(BAD_DISTANCE);
                };
                entry = found;
                bits.consume(root.bits());
            }
            if entry.is_special() {
                bits.consume(entry.bits());
                break Err(BAD_DISTANCE);
            }
        }
        let distance = entry.with_extra(bits.buffer);
        bits.consume(entry.bits());

        let room = dst.len() - op;
        if distance > op && room > 0 {
            break Err(TOO_FAR);
        }
        if len > room {
            break Err(Fault::Buffer);
        }
        copy::repeat(dst, op, distance, len);
        op += len;
    };
    *stream = bits;
    result
}

#[cfg(test)]
mod tests;
