//! Page codecs: compressed bytes → page bytes.
//!
//! | codec | stored as | decoder |
//! | --- | --- | --- |
//! | [`Codec::Zlib`] | one zlib stream (RFC 1950) | [`zlib`] |
//! | [`Codec::Lzo`] | one LZO1X stream | [`lzo`] |
//! | [`Codec::Snappy`] | one raw Snappy block | [`snappy`] |
//! | [`Codec::Zstd`] | Zstandard frames (RFC 8878) | [`zstd`] |
//! | [`Codec::Rle`] | LKCD's run-length encoding | [`rle`] |
//!
//! All of them work from slice to slice, without an allocation per page: a
//! [`Decoder`] keeps what they reuse. Compressed bytes are hostile; whatever
//! they say, a decoder returns, writes inside of the page only, and needs no
//! more memory than its documentation states.
//!
//! With feature `native-codecs` the C libraries libdeflate and libzstd come
//! first for zlib and Zstandard.

mod copy;
pub(crate) mod crc32c;
pub mod lzo;
#[cfg(feature = "native-codecs")]
mod native;
pub mod rle;
pub mod snappy;
#[cfg(test)]
mod testing;
pub mod zlib;
pub mod zstd;

use crate::error::{Error, Result};
use alloc::format;

/// How the bytes of a page are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// A zlib stream: diskdump flag 0x1, LKCD's `GZIP`.
    Zlib,
    /// LZO1X: diskdump flag 0x2.
    Lzo,
    /// A raw Snappy block: diskdump flag 0x4.
    Snappy,
    /// Zstandard frames: diskdump flag 0x20.
    Zstd,
    /// LKCD's run-length encoding.
    Rle,
}

/// Reusable state of all codecs, one per context.
///
/// Created empty; what a codec needs is allocated when the first page of its
/// kind comes, and no page after it allocates (tables of Zstandard may still
/// grow until they fit all pages).
#[derive(Default)]
pub struct Decoder {
    zlib: zlib::State,
    lzo: lzo::State,
    snappy: snappy::State,
    zstd: zstd::State,
    rle: rle::State,
    #[cfg(feature = "native-codecs")]
    native_zlib: native::Zlib,
    #[cfg(feature = "native-codecs")]
    native_zstd: native::Zstd,
}

impl Decoder {
    /// A decoder that owns no memory yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Decompresses `src` to exactly one page, all of `dst`.
    ///
    /// On failure the content of `dst` is unspecified.
    ///
    /// # Errors
    ///
    /// [`Status::Corrupt`](crate::Status::Corrupt): what the codec says about
    /// invalid data, or `Wrong uncompressed size: <n>` when it yields fewer
    /// bytes than a page.
    pub fn page(&mut self, codec: Codec, src: &[u8], dst: &mut [u8]) -> Result<()> {
        #[cfg(feature = "native-codecs")]
        if self.native(codec, src, dst) {
            return Ok(());
        }
        let len = match codec {
            Codec::Zlib => zlib::decompress(&mut self.zlib, src, dst)?,
            Codec::Lzo => lzo::decompress(&mut self.lzo, src, dst)?,
            Codec::Snappy => snappy::decompress(&mut self.snappy, src, dst)?,
            Codec::Zstd => zstd::decompress(&mut self.zstd, src, dst)?,
            Codec::Rle => rle::decompress(&mut self.rle, src, dst)?,
        };
        if len != dst.len() {
            return Err(Error::corrupt(format!("Wrong uncompressed size: {len}")));
        }
        Ok(())
    }

    /// Whether a C library unpacked a whole page.
    #[cfg(feature = "native-codecs")]
    fn native(&mut self, codec: Codec, src: &[u8], dst: &mut [u8]) -> bool {
        let len = match codec {
            Codec::Zlib => self.native_zlib.decompress(src, dst),
            Codec::Zstd => self.native_zstd.decompress(src, dst),
            _ => None,
        };
        len == Some(dst.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decoder_can_move_to_another_thread() {
        fn is_send<T: Send>() {}
        is_send::<Decoder>();
    }

    #[test]
    fn one_decoder_serves_all_codecs_in_turn() {
        let mut decoder = Decoder::new();
        let page = [7; 256];
        let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&page, 6);
        let lzo = lzokay::compress::compress(&page).unwrap();
        let snappy = snap::raw::Encoder::new().compress_vec(&page).unwrap();
        let zstd = kdumpfile_testkit::compress::zstd(&page);
        let rle = [0, 255, 7, 7];
        for _ in 0..3 {
            for (codec, stream) in [
                (Codec::Zlib, &zlib[..]),
                (Codec::Lzo, &lzo),
                (Codec::Snappy, &snappy),
                (Codec::Zstd, &zstd),
                (Codec::Rle, &rle),
            ] {
                let mut got = [0; 256];
                decoder.page(codec, stream, &mut got).unwrap();
                assert_eq!(got, page, "{codec:?}");
            }
        }
    }

    #[test]
    fn short_run_lengths_tell_their_length() {
        assert_eq!(testing::fault(Codec::Rle, &[1, 2, 3], 4096), "Wrong uncompressed size: 3");
        assert_eq!(testing::fault(Codec::Rle, &[], 4096), "Wrong uncompressed size: 0");
    }
}
