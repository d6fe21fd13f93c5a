//! Deflate streams too large to be unpacked at once: gzip members and zlib
//! streams (RFC 1950 to 1952).
//!
//! A decoder is small - its tables, the 32 KiB that matches may reach back to,
//! and a checksum - so that copies of it can be kept as checkpoints.

use super::stream::{Piece, SEGMENT};
use super::unit::{Stream, buffer, cut_off};
use super::{UNIT_MAX, peek};
use crate::error::{Error, Result};
use crate::io::{Source, read_full};
use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};

/// How far back a match may reach.
const WINDOW: usize = 32 << 10;
/// How much is read at once.
const INPUT: usize = 16 << 10;
/// Length of what is behind the deflate data of a gzip member.
const TRAILER: u64 = 8;

/// A decoder in the middle of a deflate stream.
#[derive(Clone)]
pub(super) struct Inflate {
    state: Box<DecompressorOxide>,
    /// Up to [`WINDOW`] bytes in front of the next one.
    window: Vec<u8>,
    /// Position of the next packed byte.
    pos: u64,
    begin: u64,
    zlib: bool,
    /// CRC-32 of all bytes so far, and how many they are.
    crc: u32,
    len: u64,
}

impl Inflate {
    /// The most bytes that a decoder takes.
    #[cfg(test)]
    pub const BYTES: usize = WINDOW + size_of::<DecompressorOxide>() + size_of::<Self>();

    /// At the beginning of the stream at `begin`.
    pub fn new(stream: Stream, begin: u64) -> Self {
        Inflate {
            state: Box::new(DecompressorOxide::new()),
            window: Vec::new(),
            pos: begin,
            begin,
            zlib: stream == Stream::Zlib,
            crc: 0,
            len: 0,
        }
    }

    /// How far the archive was read.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// The next piece of the stream.
    pub fn next(&mut self, source: &Source) -> Result<Piece> {
        let mut out = buffer(self.window.len() + SEGMENT)?;
        let mut done = self.window.len();
        if let Some(front) = out.get_mut(..done) {
            front.copy_from_slice(&self.window);
        }
        let mut input = buffer(INPUT)?;
        let begin = self.pos;
        let zlib = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32;
        let flags =
            inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | if self.zlib { zlib } else { 0 };
        let end = loop {
            let got = read_full(source, self.pos, &mut input)?;
            let more = if got == INPUT { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT } else { 0 };
            let from = input.get(..got).unwrap_or(&[]);
            let (status, used, made) = decompress(&mut self.state, from, &mut out, done, flags | more);
            self.pos += used as u64;
            done += made;
            match status {
                TINFLStatus::Done => break true,
                TINFLStatus::HasMoreOutput => break false,
                // Empty blocks take input and give nothing.
                TINFLStatus::NeedsMoreInput if self.pos - begin > 2 * u64::from(UNIT_MAX) => {
                    return Err(self.wrong());
                }
                TINFLStatus::NeedsMoreInput if got == INPUT && used > 0 => {}
                TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => {
                    return Err(cut_off(self.pos));
                }
                TINFLStatus::Adler32Mismatch => return Err(self.wrong_check()),
                _ => return Err(self.wrong()),
            }
        };
        out.truncate(done);
        let behind = self.window.len();
        let made = out.get(behind..).unwrap_or(&[]);
        if !self.zlib {
            let mut crc = crc32fast::Hasher::new_with_initial_len(self.crc, self.len);
            crc.update(made);
            self.crc = crc.finalize();
        }
        self.len += made.len() as u64;
        let end = if end { Some(self.finish(source)?) } else { None };
        self.window.clear();
        self.window.extend_from_slice(out.get(done.saturating_sub(WINDOW)..).unwrap_or(&[]));
        out.drain(..behind);
        Ok(Piece { bytes: out, end })
    }

    /// Checks what is behind the data; the position behind that.
    fn finish(&self, source: &Source) -> Result<u64> {
        if self.zlib {
            return Ok(self.pos);
        }
        let (trailer, got) = peek::<{ TRAILER as usize }>(source, self.pos)?;
        if got < trailer.len() {
            return Err(cut_off(self.pos));
        }
        let [a, b, c, d, len @ ..] = trailer;
        // The length is modulo 2^32.
        if u32::from_le_bytes([a, b, c, d]) != self.crc || u32::from_le_bytes(len) != self.len as u32 {
            return Err(self.wrong_check());
        }
        Ok(self.pos + TRAILER)
    }

    fn what(&self) -> &'static str {
        if self.zlib { "zlib stream" } else { "gzip member" }
    }

    fn wrong(&self) -> Error {
        Error::corrupt(format!("Cannot unpack the {} at {}", self.what(), self.begin))
    }

    fn wrong_check(&self) -> Error {
        Error::corrupt(format!("Wrong checksum of the {} at {}", self.what(), self.begin))
    }
}

/// Whether `head`, with which a file begins, is the beginning of a zlib stream;
/// `whole`: nothing follows it. Two bytes are no proof, so that it has to
/// unpack as well.
pub(super) fn is_zlib(head: &[u8], whole: bool) -> bool {
    let mut state = Box::new(DecompressorOxide::new());
    let more = if whole { 0 } else { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT };
    let flags = inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
        | inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
        | inflate_flags::TINFL_FLAG_COMPUTE_ADLER32
        | more;
    let Ok(mut out) = buffer(WINDOW) else { return false };
    let (status, _, made) = decompress(&mut state, head, &mut out, 0, flags);
    match status {
        TINFLStatus::Done | TINFLStatus::HasMoreOutput => made > 0,
        TINFLStatus::NeedsMoreInput => made > 0 && !whole,
        // A stream that was cut off.
        TINFLStatus::FailedCannotMakeProgress => made > 0,
        _ => false,
    }
}
