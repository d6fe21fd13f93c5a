//! The run-length encoding of LKCD pages.
//!
//! | bytes | output |
//! | --- | --- |
//! | `b`, not zero | `b` |
//! | `00 00` | one zero |
//! | `00 n v`, `n` not zero | `v`, `n` times |

use crate::error::{Error, Result};

/// Nothing: this codec keeps no state.
#[derive(Default)]
pub struct State;

/// Decodes all of `src` to the start of `dst`; the number of bytes produced.
///
/// # Errors
///
/// `Decompression failed: -1` when `src` ends inside of a run or when a
/// literal or a whole run does not fit into `dst`.
pub fn decompress(_: &mut State, src: &[u8], dst: &mut [u8]) -> Result<usize> {
    decode(src, dst).ok_or_else(|| Error::corrupt("Decompression failed: -1"))
}

fn decode(mut src: &[u8], dst: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    while let Some((&byte, rest)) = src.split_first() {
        src = rest;
        let mut run = 1;
        let mut value = byte;
        if byte == 0 {
            let (&count, rest) = src.split_first()?;
            src = rest;
            if count != 0 {
                run = usize::from(count);
                let (&repeated, rest) = src.split_first()?;
                (value, src) = (repeated, rest);
            }
        }
        dst.get_mut(at..)?.get_mut(..run)?.fill(value);
        at += run;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn run(src: &[u8], room: usize) -> Result<Vec<u8>> {
        let mut dst = vec![0xee; room];
        let len = decompress(&mut State, src, &mut dst)?;
        assert!(dst[len..].iter().all(|&b| b == 0xee), "written behind the output");
        dst.truncate(len);
        Ok(dst)
    }

    #[test]
    fn literals_zeros_and_runs_are_told_apart() {
        assert_eq!(run(&[1, 2, 0, 0, 3], 16).unwrap(), [1, 2, 0, 3]);
        assert_eq!(run(&[0, 3, 9, 7], 16).unwrap(), [9, 9, 9, 7]);
        assert_eq!(run(&[0, 255, 0], 255).unwrap(), [0; 255]);
        assert_eq!(run(&[], 4).unwrap(), [0u8; 0]);
    }

    #[test]
    fn input_that_ends_inside_a_run_fails() {
        for src in [&[0][..], &[5, 0], &[0, 4], &[1, 0, 200]] {
            assert_eq!(run(src, 300).unwrap_err().message(), "Decompression failed: -1");
        }
    }

    #[test]
    fn output_that_does_not_fit_fails_as_a_whole() {
        assert_eq!(run(&[0, 4, 1], 4).unwrap(), [1; 4]);
        for (src, room) in [(&[0, 5, 1][..], 4), (&[1, 2], 1), (&[0, 0], 0), (&[7], 0)] {
            assert_eq!(run(src, room).unwrap_err().message(), "Decompression failed: -1");
        }
    }
}
