//! LZO1X.
//!
//! A stream is a sequence of instructions. Each copies a *match* from the
//! output and up to three literals behind it, except for the one that copies
//! a long run of literals. How an instruction below 16 is read depends on how
//! many literals the one before it copied (0, 1 to 3, or 4 for a long run).
//!
//! | first byte | operands | meaning |
//! | --- | --- | --- |
//! | `0000 LLLL`, after 0 literals | length bytes | `L + 3` literals |
//! | `0000 DDSS`, after 1 to 3 | `H` | match of 2 at `(H << 2) + D + 1` |
//! | `0000 DDSS`, after a long run | `H` | match of 3 at `(H << 2) + D + 2049` |
//! | `0001 HLLL` | length bytes, LE16 | match of `L + 2` at `16384 + (H << 14) + D`; distance 16384 ends the stream |
//! | `001L LLLL` | length bytes, LE16 | match of `L + 2` at `D + 1` |
//! | `01LD DDSS` | `H` | match of `L + 3` at `(H << 3) + D + 1` |
//! | `1LLD DDSS` | `H` | match of `L + 5` at `(H << 3) + D + 1` |
//!
//! `S` is the number of literals that follow the match; an LE16 holds
//! `D << 2 | S`. A length of zero is continued by bytes: each zero adds 255,
//! the first other byte adds itself and the largest value of the field. The
//! first byte of a stream, when above 17, stands for `byte - 17` literals.
//!
//! Source: `Documentation/staging/lzo.rst` of the Linux kernel.

use super::copy;
use crate::error::{Error, Result};
use alloc::format;

/// Nothing: this codec keeps no state.
#[derive(Default)]
pub struct State;

/// What is wrong with a stream; the numbers are those of the LZO library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
enum Fault {
    /// The input ends before the end of the stream.
    InputOverrun = -4,
    /// The output does not fit.
    OutputOverrun = -5,
    /// A match starts before the output.
    LookBehindOverrun = -6,
    /// Bytes follow the end of the stream.
    InputNotConsumed = -8,
}

/// Decompresses all of `src` to the start of `dst`; the number of bytes produced.
///
/// # Errors
///
/// `Decompression failed: <e>` with the error number of the LZO library:
/// -4 truncated input, -5 output too long, -6 match before the start of the
/// output, -8 bytes behind the end of the stream.
pub fn decompress(_: &mut State, src: &[u8], dst: &mut [u8]) -> Result<usize> {
    decode(src, dst).map_err(|fault| Error::corrupt(format!("Decompression failed: {}", fault as i8)))
}

/// Reads the continuation of a length field that was zero and adds it to `base`.
#[inline(always)]
fn long_length(src: &[u8], ip: &mut usize, base: usize) -> Result<usize, Fault> {
    let mut length = base;
    loop {
        let byte = *src.get(*ip).ok_or(Fault::InputOverrun)?;
        *ip += 1;
        if byte != 0 {
            return Ok(length.saturating_add(usize::from(byte)));
        }
        length = length.saturating_add(255);
    }
}

/// Length of the end of a stream, which follows every run of literals.
const END_LEN: usize = 3;

/// Copies a run of literals.
#[inline(always)]
fn run(src: &[u8], ip: &mut usize, dst: &mut [u8], op: &mut usize, len: usize) -> Result<(), Fault> {
    if len > dst.len() - *op {
        return Err(Fault::OutputOverrun);
    }
    if len.saturating_add(END_LEN) > src.len() - *ip {
        return Err(Fault::InputOverrun);
    }
    copy::literals(src, *ip, dst, *op, len);
    *ip += len;
    *op += len;
    Ok(())
}

fn decode(src: &[u8], dst: &mut [u8]) -> Result<usize, Fault> {
    let mut ip = 0;
    let mut op = 0;
    // Literals that the instruction before copied: 0 to 3, or 4 for a long run.
    let mut state = 0;

    if let Some(&first) = src.first()
        && first > 17
    {
        let len = usize::from(first) - 17;
        ip = 1;
        run(src, &mut ip, dst, &mut op, len)?;
        state = len.min(4);
    }

    loop {
        let first = usize::from(*src.get(ip).ok_or(Fault::InputOverrun)?);
        ip += 1;
        let len;
        let distance;
        let trailer;
        if first >= 64 {
            let high = usize::from(*src.get(ip).ok_or(Fault::InputOverrun)?);
            ip += 1;
            // 01L is 3 or 4, 1LL is 5 to 8.
            len = (first >> 5) + 1;
            distance = (high << 3) + ((first >> 2) & 7) + 1;
            trailer = first & 3;
        } else if first >= 16 {
            let far = first < 32;
            let field = if far { 7 } else { 31 };
            let mut count = first & field;
            if count == 0 {
                count = long_length(src, &mut ip, field)?;
            }
            let pair = copy::chunk::<2>(src, ip).ok_or(Fault::InputOverrun)?;
            ip += 2;
            let pair = usize::from(u16::from_le_bytes(pair));
            len = count.saturating_add(2);
            trailer = pair & 3;
            if far {
                let offset = ((first & 8) << 11) + (pair >> 2);
                if offset == 0 {
                    let end = ip == src.len();
                    return if end { Ok(op) } else { Err(Fault::InputNotConsumed) };
                }
                distance = 0x4000 + offset;
            } else {
                distance = (pair >> 2) + 1;
            }
        } else if state == 0 {
            let mut count = first;
            if count == 0 {
                count = long_length(src, &mut ip, 15)?;
            }
            run(src, &mut ip, dst, &mut op, count.saturating_add(3))?;
            state = 4;
            continue;
        } else {
            let high = usize::from(*src.get(ip).ok_or(Fault::InputOverrun)?);
            ip += 1;
            let near = state != 4;
            len = if near { 2 } else { 3 };
            distance = (high << 2) + (first >> 2) + if near { 1 } else { 0x801 };
            trailer = first & 3;
        }

        if distance > op {
            return Err(Fault::LookBehindOverrun);
        }
        if len > dst.len() - op {
            return Err(Fault::OutputOverrun);
        }
        copy::repeat(dst, op, distance, len);
        op += len;

        state = trailer;
        if let (Some([bytes @ .., _, _, _]), Some(slot)) =
            (copy::chunk::<7>(src, ip), dst.get_mut(op..).and_then(|rest| rest.first_chunk_mut::<4>()))
        {
            // Four bytes at once; those behind the trailer are overwritten.
            // Seven are there, so the end of the stream may follow.
            *slot = bytes;
            ip += trailer;
            op += trailer;
        } else {
            run(src, &mut ip, dst, &mut op, trailer)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, testing};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    /// The end of a stream.
    const END: [u8; 3] = [0x11, 0, 0];

    fn compress(page: &[u8]) -> Vec<u8> {
        lzokay::compress::compress(page).unwrap()
    }

    fn run(stream: &[u8], room: usize) -> Result<Vec<u8>, String> {
        let mut dst = vec![0; room];
        let len = decompress(&mut State, stream, &mut dst).map_err(|error| error.message())?;
        dst.truncate(len);
        Ok(dst)
    }

    fn with_end(stream: &[u8]) -> Vec<u8> {
        [stream, &END].concat()
    }

    #[test]
    fn compressed_pages_come_back() {
        testing::check_round_trips(Codec::Lzo, compress);
    }

    #[test]
    fn every_strict_prefix_is_an_error() {
        testing::check_prefixes(Codec::Lzo, compress);
        let stream = compress(&testing::pages(4096)[0]);
        for len in 0..stream.len() {
            assert_eq!(testing::fault(Codec::Lzo, &stream[..len], 4096), "Decompression failed: -4");
        }
    }

    #[test]
    fn page_too_small_is_an_output_overrun() {
        testing::check_small_pages(Codec::Lzo, compress);
        for page in testing::pages(4096) {
            assert_eq!(testing::fault(Codec::Lzo, &compress(&page), 4095), "Decompression failed: -5");
        }
    }

    #[test]
    fn damage_never_panics_or_writes_outside() {
        testing::check_damage(Codec::Lzo, compress);
    }

    #[test]
    fn stream_shorter_than_the_page_tells_its_length() {
        let stream = compress(&[7; 100]);
        assert_eq!(testing::fault(Codec::Lzo, &stream, 4096), "Wrong uncompressed size: 100");
        assert_eq!(testing::fault(Codec::Lzo, &END, 4096), "Wrong uncompressed size: 0");
    }

    #[test]
    fn bytes_behind_the_end_are_input_not_consumed() {
        let mut stream = compress(&[7; 4096]);
        stream.push(0);
        assert_eq!(testing::fault(Codec::Lzo, &stream, 4096), "Decompression failed: -8");
    }

    #[test]
    fn empty_input_and_a_missing_end_are_input_overruns() {
        assert_eq!(run(&[], 16).unwrap_err(), "Decompression failed: -4");
        // Four literals, then nothing.
        assert_eq!(run(&[21, 1, 2, 3, 4], 16).unwrap_err(), "Decompression failed: -4");
        // Zeros of a length that never ends.
        assert_eq!(run(&[0; 5000], 16).unwrap_err(), "Decompression failed: -4");
    }

    #[test]
    fn match_before_the_output_is_a_look_behind_overrun() {
        // Four literals, then a match of 3 at distance 5.
        let stream = with_end(&[21, 1, 2, 3, 4, 0b0101_0000, 0]);
        assert_eq!(run(&stream, 16).unwrap_err(), "Decompression failed: -6");
        let stream = with_end(&[21, 1, 2, 3, 4, 0b0100_1100, 0]);
        assert_eq!(run(&stream, 16).unwrap(), [1, 2, 3, 4, 1, 2, 3]);
    }

    #[test]
    fn each_instruction_copies_what_its_table_row_says() {
        let literals: Vec<u8> = (0..18).collect();
        // A first byte of 17 + 18, a match of 8 at distance 18 and one trailing literal.
        let start = [&[35][..], &literals].concat();
        let stream = with_end(&[&start[..], &[0b1110_0101, 2, 99]].concat());
        let want = [&literals[..], &literals[..8], &[99]].concat();
        assert_eq!(run(&stream, 64).unwrap(), want);

        // Then, behind one literal, a match of 2 at distance 1 + 1 and two literals.
        let stream = with_end(&[&start[..], &[0b1110_0101, 2, 99, 0b0110, 0, 50, 51]].concat());
        assert_eq!(run(&stream, 64).unwrap(), [&want[..], &[7, 99, 50, 51]].concat());

        // LE16 with distance 4 and no literals, length 2 + 31 + 10 by a length byte.
        let stream = with_end(&[&start[..], &[0b0010_0000, 10, 3 << 2, 0]].concat());
        let period: Vec<u8> = [14, 15, 16, 17].into_iter().cycle().take(43).collect();
        assert_eq!(run(&stream, 64).unwrap(), [&literals[..], &period].concat());

        // No literals before: an instruction below 16 is a run of 3 + 4.
        let stream = with_end(&[&start[..], &[0b1110_0100, 2, 4, 1, 2, 3, 4, 5, 6, 7]].concat());
        assert_eq!(
            run(&stream, 64).unwrap(),
            [&literals[..], &literals[..8], &[1, 2, 3, 4, 5, 6, 7]].concat()
        );
    }

    #[test]
    fn far_matches_reach_2049_and_16385_bytes_back() {
        let noise = &testing::pages(65536)[5][..20000];
        let mut start = vec![0, 0];
        // 20000 literals: 3 + 15 + 255 * 78 + 92.
        start.splice(1.., core::iter::repeat_n(0, 78).chain([92]));
        start.extend_from_slice(noise);

        // After a long run: 3 bytes at 2049 + (1 << 2) + 2.
        let stream = with_end(&[&start[..], &[0b0000_1000, 1]].concat());
        let at = 20000 - 2055;
        assert_eq!(run(&stream, 20003).unwrap(), [noise, &noise[at..at + 3]].concat());

        // 3 bytes at 16384 + 7.
        let stream = with_end(&[&start[..], &[0b0001_0001, 7 << 2, 0]].concat());
        let at = 20000 - 16391;
        assert_eq!(run(&stream, 20003).unwrap(), [noise, &noise[at..at + 3]].concat());

        // The bit that adds 16384: too far.
        let stream = with_end(&[&start[..], &[0b0001_1001, 7 << 2, 0]].concat());
        assert_eq!(run(&stream, 20003).unwrap_err(), "Decompression failed: -6");
    }
}
