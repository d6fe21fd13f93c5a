//! The C libraries for zlib streams and Zstandard frames (feature `native-codecs`).
//!
//! They unpack what is valid; whatever they refuse is unpacked again by the
//! decoder of ours, which knows what to say about it. So a page is never worse
//! off, and a page that is broken costs twice.
//!
//! | codec | library | kept from page to page |
//! | --- | --- | --- |
//! | zlib | libdeflate | its tables (about 11 KiB) |
//! | Zstandard | libzstd | its context (about 160 KiB) |

use alloc::boxed::Box;

use libdeflater::Decompressor;
use zstd_safe::DCtx;

/// A decompressor of libdeflate, made by the first page.
#[derive(Default)]
pub struct Zlib(Option<Box<Decompressor>>);

impl Zlib {
    /// Decompresses a stream to the start of `dst`; the number of bytes
    /// produced, or `None` for whatever is not simply valid.
    pub fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Option<usize> {
        self.0.get_or_insert_with(|| Box::new(Decompressor::new())).zlib_decompress(src, dst).ok()
    }
}

/// A context of libzstd, made by the first page.
#[derive(Default)]
pub struct Zstd(Option<DCtx<'static>>);

impl Zstd {
    /// Decompresses all frames to the start of `dst`; the number of bytes
    /// produced, or `None` for whatever is not simply valid.
    pub fn decompress(&mut self, src: &[u8], dst: &mut [u8]) -> Option<usize> {
        if self.0.is_none() {
            self.0 = DCtx::try_create();
        }
        self.0.as_mut()?.decompress(dst, src).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Codec, Decoder, zlib, zstd};
    use alloc::vec::Vec;

    /// Bytes of which some repeat.
    fn page() -> Vec<u8> {
        (0..4096u32).map(|at| (at.wrapping_mul(at) >> 7) as u8 & 31).collect()
    }

    #[test]
    fn pages_are_unpacked_by_the_c_libraries() {
        let (page, mut got) = (page(), [0; 4096]);
        let stream = miniz_oxide::deflate::compress_to_vec_zlib(&page, 6);
        assert_eq!(Zlib::default().decompress(&stream, &mut got), Some(4096));
        assert_eq!(got, *page);
        got.fill(0);
        let mut zstd = Zstd::default();
        for _ in 0..2 {
            assert_eq!(zstd.decompress(&kdumpfile_testkit::compress::zstd(&page), &mut got), Some(4096));
            assert_eq!(got, *page);
        }
    }

    #[test]
    fn what_they_refuse_is_what_ours_says() {
        let page = page();
        let streams = [
            (Codec::Zlib, miniz_oxide::deflate::compress_to_vec_zlib(&page, 6)),
            (Codec::Zstd, kdumpfile_testkit::compress::zstd(&page)),
        ];
        for (codec, stream) in streams {
            let mut decoder = Decoder::new();
            for cut in [0, 1, 5, stream.len() / 2, stream.len() - 1] {
                let mut damaged = stream.clone();
                for bad in [stream[..cut].to_vec(), {
                    damaged[cut] ^= 0x55;
                    damaged
                }] {
                    let ours = match codec {
                        Codec::Zlib => zlib::decompress(&mut zlib::State::default(), &bad, &mut [0; 4096]),
                        _ => zstd::decompress(&mut zstd::State::default(), &bad, &mut [0; 4096]),
                    };
                    let got = decoder.page(codec, &bad, &mut [0; 4096]);
                    if let Err(error) = ours {
                        assert_eq!(got.unwrap_err().message(), error.message(), "{codec:?}, {cut}");
                    }
                }
            }
            let mut whole = [0; 4096];
            decoder.page(codec, &stream, &mut whole).unwrap();
            assert_eq!(whole, *page);
            // A page that is too small for what it unpacks to.
            assert!(decoder.page(codec, &stream, &mut [0; 512]).is_err());
        }
    }
}
