//! Files of LZMA alone, the format before xz (`.lzma`).
//!
//! ```text
//! u8 properties | u32 bytes of the window | u64 unpacked bytes, or all ones | 0 | data
//! ```
//!
//! Integers are little-endian. There is neither a magic nor a check of the
//! contents: whatever else may tell such a file is asked for, as `xz` does
//! (<https://tukaani.org/xz/>, `doc/lzma-file-format.txt`). The data end with a
//! marker, or where the header says. Such a file is one stream.

use super::{le32, le64};

/// Properties are `(pb * 5 + lp) * 9 + lc`, with `pb` up to 4.
const PROPERTIES_MAX: u8 = 4 * 45 + 4 * 9 + 8;
/// Windows are not smaller.
const WINDOW_MIN: u32 = 4096;
/// What `xz` takes for the length of a file, and not for chance: 256 GiB.
const LENGTH_MAX: u64 = 1 << 38;

/// Whether a file begins as one of LZMA alone does.
pub(super) fn is_header(head: &[u8]) -> bool {
    let (Some(properties), Some(window), Some(length)) = (head.first(), le32(head, 1), le64(head, 5)) else {
        return false;
    };
    let (lc, lp) = (properties % 9, properties / 9 % 5);
    // 2^n, or 2^n and half of it, or none.
    let usual =
        |window: u32| window.is_power_of_two() || (window / 3).is_power_of_two() && window.is_multiple_of(3);
    *properties <= PROPERTIES_MAX
        && lc + lp <= 4
        && (window == u32::MAX || window >= WINDOW_MIN && usual(window))
        && (length == u64::MAX || (1..LENGTH_MAX).contains(&length))
        // The first byte of a range coder.
        && head.get(13) == Some(&0)
}

/// Whether what follows a header may be LZMA: as nothing can unpack it, the
/// usual properties must do.
#[cfg(not(feature = "archive-xz"))]
pub(super) fn unpacks(head: &[u8], _whole: bool) -> bool {
    head.first() == Some(&0x5d)
}

cfg_if::cfg_if! {
    if #[cfg(feature = "archive-xz")] {
        use super::stream::{Piece, SEGMENT};
        use super::unit::{buffer, cut_off};
        use super::Archive;
        use crate::error::{Error, Result};
        use crate::io::{Source, read_full};
        use alloc::boxed::Box;
        use alloc::format;
        use lzma_rust2::{Action, LzmaStream, Status};

        /// The most memory that a decoder may take, in KiB: a window of 128 MiB.
        const MEMORY_KIB: u32 = (128 << 10) + 1024;
        /// How much is read at once.
        const INPUT: usize = 64 << 10;

        /// Whether what follows a header unpacks, as far as `head` goes.
        pub(super) fn unpacks(head: &[u8], whole: bool) -> bool {
            let mut decoder = Box::new(LzmaStream::new_mem_limit(MEMORY_KIB, None));
            let Ok(mut out) = buffer(INPUT) else { return false };
            let action = if whole { Action::Finish } else { Action::Run };
            match decoder.process(head, &mut out, action) {
                Ok(result) => result.bytes_produced > 0,
                // That is for whoever opens it to say.
                Err(_) => decoder.memory_usage().is_some_and(|need| need > MEMORY_KIB),
            }
        }

        /// A file that is being unpacked from its beginning on.
        pub(super) struct Unpacker {
            decoder: Box<LzmaStream>,
            /// Position of the next byte to decode.
            pos: u64,
        }

        impl Unpacker {
            /// At the header at `begin`.
            pub fn new(begin: u64) -> Self {
                Unpacker { decoder: Box::new(LzmaStream::new_mem_limit(MEMORY_KIB, None)), pos: begin }
            }

            /// How far the archive was read.
            pub fn pos(&self) -> u64 {
                self.pos
            }

            /// The next piece.
            pub fn next(&mut self, source: &Source) -> Result<Piece> {
                let mut bytes = buffer(SEGMENT)?;
                let mut input = buffer(INPUT)?;
                let mut done = 0;
                loop {
                    let got = read_full(source, self.pos, &mut input)?;
                    let from = input.get(..got).unwrap_or(&[]);
                    let to = bytes.get_mut(done..).unwrap_or(&mut []);
                    let action = if got == 0 { Action::Finish } else { Action::Run };
                    let result = match self.decoder.process(from, to, action) {
                        Ok(result) => result,
                        Err(error) => return Err(self.wrong(got == 0, &error)),
                    };
                    self.pos += result.bytes_consumed as u64;
                    done += result.bytes_produced;
                    if result.status == Status::StreamEnd {
                        let end = self.pos.saturating_sub(self.decoder.unused_input().len() as u64);
                        bytes.truncate(done);
                        return Ok(Piece { bytes, end: Some(end) });
                    }
                    if done == SEGMENT {
                        return Ok(Piece { bytes, end: None });
                    }
                    if result.bytes_consumed == 0 && result.bytes_produced == 0 {
                        return Err(cut_off(self.pos));
                    }
                }
            }

            /// The error for what the decoder says, which may have had no input left.
            fn wrong(&self, ended: bool, error: &dyn core::fmt::Debug) -> Error {
                if self.decoder.memory_usage().is_some_and(|need| need > MEMORY_KIB) {
                    return Archive::Lzma.refuse("The lzma file needs a window of more than 128 MiB");
                }
                if ended {
                    return cut_off(self.pos);
                }
                // An error has a text, but shows it in quotes only.
                let text = format!("{error:?}");
                let text = text.split('"').nth(1).unwrap_or(&text);
                Error::corrupt(format!("Cannot unpack the lzma file: {text}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_header_is_what_xz_takes_for_one() {
        // As `xz --format=lzma` writes it, and as the LZMA SDK does.
        let usual = *b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0";
        let sized = *b"\x5d\0\0\0\x02\xd2\x04\0\0\0\0\0\0\0";
        assert!(is_header(&usual) && is_header(&sized));
        // 6 MiB, and no window.
        assert!(is_header(b"\x5d\0\0\x60\0\xd2\x04\0\0\0\0\0\0\0"));
        assert!(is_header(b"\x00\xff\xff\xff\xff\xd2\x04\0\0\0\0\0\0\0"));
        for (at, byte) in [(0, 225), (0, 8), (0, 36 + 1), (1, 1), (2, 1), (3, 0x90), (4, 5), (11, 1), (13, 1)]
        {
            let mut head = usual;
            head[at] = byte;
            assert!(!is_header(&head), "{byte:#x} at {at}");
        }
        let empty: Vec<u8> = [&sized[..5], &[0; 9]].concat();
        assert!(!is_header(&empty) && !is_header(&[0; 14]) && !is_header(&usual[..13]) && !is_header(&[]));
    }
}
