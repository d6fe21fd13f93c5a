//! The raw block format of Snappy.
//!
//! The length of the output as a little-endian base-128 number, then elements:
//!
//! | first byte | operands | meaning |
//! | --- | --- | --- |
//! | `LLLLLL 00` | none | `L + 1` literals, `L` below 60 |
//! | `111bbb 00` | `b + 1` length bytes, 60 stands for one | that many literals, plus one |
//! | `HHHLLL 01` | `O` | copy of `L + 4` at `(H << 8) + O` |
//! | `LLLLLL 10` | LE16 | copy of `L + 1` at that distance |
//! | `LLLLLL 11` | LE32 | copy of `L + 1` at that distance |

use super::copy;
use crate::error::{Error, Result};
use alloc::format;

/// Nothing: this codec keeps no state.
#[derive(Default)]
pub struct State;

/// What is wrong with a block; the numbers are those of the Snappy library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Fault {
    InvalidInput = 1,
    BufferTooSmall = 2,
}

/// Decompresses all of `src` to the start of `dst`; the number of bytes produced.
///
/// # Errors
///
/// `Decompression failed: 1` for an invalid block (an empty one and one with
/// bytes behind its end are), `Decompression failed: 2` when the block says
/// that it is longer than `dst`.
pub fn decompress(_: &mut State, src: &[u8], dst: &mut [u8]) -> Result<usize> {
    decode(src, dst).map_err(|fault| Error::corrupt(format!("Decompression failed: {}", fault as u8)))
}

/// The length that a block says its output has; `src` need not be all of it.
pub fn len(src: &[u8]) -> Option<usize> {
    preamble(src).map(|(len, _)| len)
}

/// The length of the output and the number of bytes that say so.
fn preamble(src: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (i, &byte) in src.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((u32::try_from(value).ok()?.try_into().ok()?, i + 1));
        }
    }
    None
}

fn decode(src: &[u8], dst: &mut [u8]) -> Result<usize, Fault> {
    let (len, start) = preamble(src).ok_or(Fault::InvalidInput)?;
    let dst = dst.get_mut(..len).ok_or(Fault::BufferTooSmall)?;
    elements(src, start, dst).filter(|&produced| produced == len).ok_or(Fault::InvalidInput)
}

fn elements(src: &[u8], mut ip: usize, dst: &mut [u8]) -> Option<usize> {
    let mut op = 0;
    while let Some(&first) = src.get(ip) {
        ip += 1;
        let upper = usize::from(first >> 2);
        let (distance, len) = match first & 3 {
            0 => {
                let mut len = upper + 1;
                if len > 60 {
                    let width = len - 60;
                    let mut bytes = [0; 4];
                    bytes.get_mut(..width)?.copy_from_slice(src.get(ip..ip + width)?);
                    ip += width;
                    len = usize::try_from(u32::from_le_bytes(bytes)).ok()?.checked_add(1)?;
                }
                if len > src.len() - ip || len > dst.len() - op {
                    return None;
                }
                copy::literals(src, ip, dst, op, len);
                ip += len;
                op += len;
                continue;
            }
            1 => {
                let low = usize::from(*src.get(ip)?);
                ip += 1;
                (((upper >> 3) << 8) | low, (upper & 7) + 4)
            }
            2 => {
                let bytes = copy::chunk::<2>(src, ip)?;
                ip += 2;
                (usize::from(u16::from_le_bytes(bytes)), upper + 1)
            }
            _ => {
                let bytes = copy::chunk::<4>(src, ip)?;
                ip += 4;
                (usize::try_from(u32::from_le_bytes(bytes)).ok()?, upper + 1)
            }
        };
        if distance == 0 || distance > op || len > dst.len() - op {
            return None;
        }
        copy::repeat(dst, op, distance, len);
        op += len;
    }
    Some(op)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, testing};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    fn compress(page: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(page).unwrap()
    }

    fn run(block: &[u8], room: usize) -> Result<Vec<u8>, String> {
        let mut dst = vec![0; room];
        let len = decompress(&mut State, block, &mut dst).map_err(|error| error.message())?;
        dst.truncate(len);
        Ok(dst)
    }

    const INVALID: &str = "Decompression failed: 1";
    const TOO_SMALL: &str = "Decompression failed: 2";

    #[test]
    fn compressed_pages_come_back() {
        testing::check_round_trips(Codec::Snappy, compress);
    }

    #[test]
    fn every_strict_prefix_is_an_error() {
        testing::check_prefixes(Codec::Snappy, compress);
    }

    #[test]
    fn page_too_small_is_error_2() {
        testing::check_small_pages(Codec::Snappy, compress);
        for page in testing::pages(4096) {
            assert_eq!(testing::fault(Codec::Snappy, &compress(&page), 4095), TOO_SMALL);
        }
    }

    #[test]
    fn damage_never_panics_or_writes_outside() {
        testing::check_damage(Codec::Snappy, compress);
    }

    #[test]
    fn block_shorter_than_the_page_tells_its_length() {
        assert_eq!(testing::fault(Codec::Snappy, &compress(&[7; 100]), 4096), "Wrong uncompressed size: 100");
        assert_eq!(testing::fault(Codec::Snappy, &[0], 4096), "Wrong uncompressed size: 0");
    }

    #[test]
    fn empty_input_and_trailing_bytes_are_error_1() {
        assert_eq!(run(&[], 16).unwrap_err(), INVALID);
        let mut block = compress(&[7; 4096]);
        block.push(0);
        assert_eq!(testing::fault(Codec::Snappy, &block, 4096), INVALID);
    }

    #[test]
    fn preamble_must_end_and_fit_into_32_bits() {
        assert_eq!(run(&[0x80], 16).unwrap_err(), INVALID);
        assert_eq!(run(&[0xff, 0xff, 0xff, 0xff, 0x0f], 16).unwrap_err(), TOO_SMALL);
        assert_eq!(run(&[0xff, 0xff, 0xff, 0xff, 0x10], 16).unwrap_err(), INVALID);
        assert_eq!(run(&[0x81, 0x80, 0x80, 0x80, 0x80, 0x00], 16).unwrap_err(), INVALID);
        assert_eq!(run(&[0x82, 0x80, 0x00, 4, 5, 6], 16).unwrap(), [5, 6]);
    }

    #[test]
    fn each_element_copies_what_its_table_row_says() {
        // Three literals, then copies of 4 at 3, of 2 at 1 and of 3 at 7.
        let block = [12, 2 << 2, 1, 2, 3, 1, 3, (1 << 2) | 2, 1, 0, (2 << 2) | 3, 7, 0, 0, 0];
        assert_eq!(run(&block, 16).unwrap(), [1, 2, 3, 1, 2, 3, 1, 1, 1, 3, 1, 2]);
    }

    #[test]
    fn literal_lengths_of_one_to_four_bytes_are_read() {
        let noise = &testing::pages(4096)[5][..300];
        for width in 1..=4_usize {
            let len = if width == 1 { 200 } else { 300 };
            let mut block = vec![(len & 0x7f | 0x80) as u8, (len >> 7) as u8, (59 + width as u8) << 2];
            block.extend(&(len as u32 - 1).to_le_bytes()[..width]);
            block.extend(&noise[..len]);
            assert_eq!(run(&block, 300).unwrap(), noise[..len]);
            block.pop();
            assert_eq!(run(&block, 300).unwrap_err(), INVALID);
        }
        assert_eq!(run(&[4, 63 << 2, 0xff, 0xff, 0xff, 0xff, 1], 16).unwrap_err(), INVALID);
    }

    #[test]
    fn copies_need_a_distance_inside_of_the_output() {
        for (distance, valid) in [(0, false), (1, true), (3, true), (4, false)] {
            let block = [7, 2 << 2, 1, 2, 3, 1, distance];
            assert_eq!(run(&block, 16).is_ok(), valid, "{distance}");
        }
        // A distance with upper bits in the tag.
        assert_eq!(run(&[7, 2 << 2, 1, 2, 3, (1 << 5) | 1, 1], 16).unwrap_err(), INVALID);
    }
}
