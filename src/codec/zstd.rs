//! Zstandard frames (RFC 8878).
//!
//! The frames of a page are decoded one after the other, each straight into
//! the page; skippable frames are skipped. Where the input is cut into frames
//! is decided here, before the decoder sees it, so that truncation and bytes
//! behind the last frame get the same names as in libzstd.

use crate::error::{Error, Result};
use alloc::boxed::Box;
use alloc::format;
use structured_zstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use structured_zstd::decoding::{ContentChecksum, FrameDecoder};

/// The decoder with its entropy tables, allocated by the first page.
///
/// Output goes straight to the page, so neither the window nor the content
/// size that a frame declares is ever allocated: the state stays below
/// 1 MiB whatever frames say (an empty frame may make room for one block,
/// 128 KiB; tables and literals of a block need about as much).
#[derive(Default)]
pub struct State(Option<Box<FrameDecoder>>);

const UNKNOWN_FRAME: &str = "Unknown frame descriptor";
const UNSUPPORTED: &str = "Unsupported frame parameter";
const MEMORY: &str = "Frame requires too much memory for decoding";
const CORRUPTION: &str = "Data corruption detected";
const CHECKSUM: &str = "Restored data doesn't match checksum";
const DICTIONARY: &str = "Dictionary mismatch";
const DST_SIZE: &str = "Destination buffer is too small";
const SRC_SIZE: &str = "Src size is incorrect";

/// Magic number of a frame (RFC 8878 section 3.1.1).
const MAGIC: u32 = 0xfd2f_b528;
/// Magic number of a skippable frame; the lowest four bits are free
/// (RFC 8878 section 3.1.2).
const SKIPPABLE: u32 = 0x184d_2a50;
/// Magic number and the byte behind it: libzstd looks at no shorter input.
const MIN_INPUT: usize = 5;

/// Decompresses all frames of `src` to the start of `dst`; the number of
/// bytes produced, zero for no input.
///
/// # Errors
///
/// `Decompression failed: <name>` with the name that libzstd 1.5 gives the
/// error, for instance `Src size is incorrect` for a truncated frame or bytes
/// behind the last one.
pub fn decompress(state: &mut State, src: &[u8], dst: &mut [u8]) -> Result<usize> {
    let decoder = state.0.get_or_insert_with(|| {
        let mut decoder = FrameDecoder::new();
        decoder.set_content_checksum(ContentChecksum::Verify);
        Box::new(decoder)
    });
    frames(decoder, src, dst).map_err(|name| Error::corrupt(format!("Decompression failed: {name}")))
}

fn frames(decoder: &mut FrameDecoder, mut src: &[u8], dst: &mut [u8]) -> Result<usize, &'static str> {
    let mut produced = 0;
    let mut first = true;
    while !src.is_empty() {
        let &[a, b, c, d, descriptor, ..] = src else { return Err(SRC_SIZE) };
        let magic = u32::from_le_bytes([a, b, c, d]);
        if magic & !15 == SKIPPABLE {
            let size = src.get(4..).and_then(|rest| rest.first_chunk::<4>()).ok_or(SRC_SIZE)?;
            let size = usize::try_from(u32::from_le_bytes(*size)).map_err(|_| SRC_SIZE)?;
            src = src.get(8..).and_then(|rest| rest.get(size..)).ok_or(SRC_SIZE)?;
        } else {
            let header = Header::new(descriptor);
            let header_bytes = src.get(..header.len).ok_or(SRC_SIZE)?;
            if src.len() < header.len + BLOCK_HEADER {
                return Err(SRC_SIZE);
            }
            if magic != MAGIC {
                return Err(if first { UNKNOWN_FRAME } else { SRC_SIZE });
            }
            if descriptor & RESERVED != 0 {
                return Err(UNSUPPORTED);
            }
            if header_bytes.get(header.dictionary.clone()).is_some_and(|id| id.iter().any(|&b| b != 0)) {
                return Err(DICTIONARY);
            }
            let (frame, rest) = src.split_at_checked(frame_len(&header, src)?).ok_or(SRC_SIZE)?;
            let room = dst.get_mut(produced..).ok_or(DST_SIZE)?;
            produced += decoder.decode_all(frame, room).map_err(|error| frame_fault(&error))?;
            src = rest;
        }
        first = false;
    }
    Ok(produced)
}

/// Bit of the frame header descriptor that must be zero.
const RESERVED: u8 = 8;
/// Length of the header of a block.
const BLOCK_HEADER: usize = 3;

/// Where the parts of a frame header stand (RFC 8878 section 3.1.1.1).
struct Header {
    len: usize,
    /// The dictionary ID, maybe empty.
    dictionary: core::ops::Range<usize>,
    /// Four bytes of checksum follow the last block.
    checksum: bool,
}

impl Header {
    fn new(descriptor: u8) -> Self {
        let single_segment = descriptor & 0x20 != 0;
        let start = if single_segment { MIN_INPUT } else { MIN_INPUT + 1 };
        let end = start + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let content_size = match descriptor >> 6 {
            0 => usize::from(single_segment),
            flag => 1 << flag,
        };
        Header { len: end + content_size, dictionary: start..end, checksum: descriptor & 4 != 0 }
    }
}

/// The length of the frame at the start of `src`, from its block headers
/// (RFC 8878 section 3.1.1.2).
fn frame_len(header: &Header, src: &[u8]) -> Result<usize, &'static str> {
    let mut rest = src.get(header.len..).ok_or(SRC_SIZE)?;
    loop {
        let &[a, b, c, ref content @ ..] = rest else { return Err(SRC_SIZE) };
        let block = u32::from_le_bytes([a, b, c, 0]);
        let len = match (block >> 1) & 3 {
            // A run stores its byte once.
            1 => 1,
            3 => return Err(CORRUPTION),
            _ => (block >> 3) as usize,
        };
        rest = content.get(len..).ok_or(SRC_SIZE)?;
        if block & 1 != 0 {
            break;
        }
    }
    if header.checksum {
        rest = rest.get(4..).ok_or(SRC_SIZE)?;
    }
    Ok(src.len() - rest.len())
}

/// libzstd's name for what is wrong with a frame.
fn frame_fault(error: &FrameDecoderError) -> &'static str {
    match error {
        FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::InvalidFrameDescriptor(_))
        | FrameDecoderError::FrameHeaderError(_) => UNSUPPORTED,
        FrameDecoderError::WindowSizeTooBig { .. } => MEMORY,
        FrameDecoderError::DictNotProvided { .. } => DICTIONARY,
        FrameDecoderError::TargetTooSmall => DST_SIZE,
        FrameDecoderError::ChecksumMismatch { .. } => CHECKSUM,
        _ => CORRUPTION,
    }
}

#[cfg(test)]
mod tests;
