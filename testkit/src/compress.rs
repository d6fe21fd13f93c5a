//! The compressing side of the page codecs.

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use zstd::zstd_safe::CParameter;

/// How the bytes of one page are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// As they are.
    #[default]
    Raw,
    /// A zlib stream (RFC 1950).
    Zlib,
    /// LZO1X, with its end marker.
    Lzo,
    /// A raw snappy block, without framing.
    Snappy,
    /// One zstd frame.
    Zstd,
}

impl Codec {
    /// All of them, `Raw` first.
    pub const ALL: [Codec; 5] = [Codec::Raw, Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd];

    /// Bit in `flags` of a diskdump page descriptor (0 for `Raw`).
    pub fn flag(self) -> u32 {
        match self {
            Codec::Raw => 0,
            Codec::Zlib => 0x01,
            Codec::Lzo => 0x02,
            Codec::Snappy => 0x04,
            Codec::Zstd => 0x20,
        }
    }

    /// Compresses `page`, whether or not that makes it smaller.
    pub fn compress(self, page: &[u8]) -> Vec<u8> {
        match self {
            Codec::Raw => page.to_vec(),
            Codec::Zlib => zlib(page, 1),
            Codec::Lzo => lzo(page),
            Codec::Snappy => snappy(page),
            Codec::Zstd => zstd(page),
        }
    }
}

/// A zlib stream of compression `level` (0 to 9; 0 gives stored blocks).
pub fn zlib(page: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
    encoder.write_all(page).expect("zlib into memory");
    encoder.finish().expect("zlib into memory")
}

/// A gzip member (RFC 1952), for files that are compressed page by page with it.
pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("gzip into memory");
    encoder.finish().expect("gzip into memory")
}

/// A bare deflate stream (RFC 1951), without any header.
pub fn deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).expect("deflate into memory");
    encoder.finish().expect("deflate into memory")
}

/// An LZO1X stream that ends with the marker `11 00 00`.
pub fn lzo(page: &[u8]) -> Vec<u8> {
    lzokay::compress::compress(page).expect("lzo into memory")
}

/// A raw snappy block.
pub fn snappy(page: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(page).expect("snappy into memory")
}

/// One zstd frame of level 1.
pub fn zstd(page: &[u8]) -> Vec<u8> {
    zstd_level(page, 1)
}

/// One zstd frame of the given level (1 to 22), with the content size.
pub fn zstd_level(data: &[u8], level: i32) -> Vec<u8> {
    zstd_frame(data, level, &[])
}

/// One zstd frame with a content checksum and, if `sized`, the content size.
pub fn zstd_with_checksum(data: &[u8], sized: bool) -> Vec<u8> {
    zstd_frame(data, 1, &[CParameter::ChecksumFlag(true), CParameter::ContentSizeFlag(sized)])
}

fn zstd_frame(data: &[u8], level: i32, parameters: &[CParameter]) -> Vec<u8> {
    let mut compressor = zstd::bulk::Compressor::new(level).expect("zstd level");
    for parameter in parameters {
        compressor.set_parameter(*parameter).expect("zstd parameter");
    }
    compressor.compress(data).expect("zstd into memory")
}

/// The run-length code of LKCD dumps: a zero byte starts a group, all other
/// bytes stand for themselves. `00 00` is one zero, `00 n b` is `n` times `b`.
pub fn rle(page: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = page;
    while let Some(&byte) = rest.first() {
        let run = rest.iter().take(255).take_while(|&&b| b == byte).count();
        match (byte, run) {
            (_, 4..) | (0, 2..) => out.extend([0, run as u8, byte]),
            (0, _) => out.extend([0, 0]),
            _ => out.extend(std::iter::repeat_n(byte, run)),
        }
        rest = &rest[run..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::RamImage;

    fn pages() -> Vec<Vec<u8>> {
        let image = RamImage::new(7, 4096);
        (0..24).map(|pfn| image.page_bytes(pfn)).collect()
    }

    #[test]
    fn zlib_levels_inflate_back_and_start_with_the_zlib_header() {
        for page in pages() {
            for level in [0, 1, 6, 9] {
                let packed = zlib(&page, level);
                assert_eq!(packed[0], 0x78);
                let mut out = Vec::new();
                let mut decoder = flate2::write::ZlibDecoder::new(&mut out);
                decoder.write_all(&packed).unwrap();
                decoder.finish().unwrap();
                assert_eq!(out, page);
            }
        }
    }

    #[test]
    fn lzo_streams_end_with_the_marker_and_unpack_back() {
        for page in pages() {
            let packed = lzo(&page);
            assert_eq!(packed[packed.len() - 3..], [0x11, 0, 0]);
            let mut out = vec![0; page.len()];
            assert_eq!(lzokay::decompress::decompress(&packed, &mut out), Ok(page.len()));
            assert_eq!(out, page);
        }
    }

    #[test]
    fn snappy_blocks_start_with_the_length_and_unpack_back() {
        for page in pages() {
            let packed = snappy(&page);
            assert_eq!(packed[..2], [0x80, 0x20], "varint 4096");
            assert_eq!(snap::raw::Decoder::new().decompress_vec(&packed).unwrap(), page);
        }
    }

    #[test]
    fn run_length_code_of_known_bytes() {
        assert_eq!(rle(&[1, 2, 2, 0, 3]), [1, 2, 2, 0, 0, 3]);
        assert_eq!(rle(&[0, 0, 5, 5, 5, 5]), [0, 2, 0, 0, 4, 5]);
        assert_eq!(rle(&[9; 300]), [0, 255, 9, 0, 45, 9]);
        assert!(rle(&[]).is_empty());
    }

    #[test]
    fn run_length_code_expands_back() {
        for page in pages() {
            let mut out = Vec::new();
            let mut packed = rle(&page).into_iter();
            while let Some(byte) = packed.next() {
                match (byte, if byte == 0 { packed.next() } else { None }) {
                    (0, Some(0)) => out.push(0),
                    (0, count) => {
                        let byte = packed.next().unwrap();
                        out.extend(std::iter::repeat_n(byte, count.unwrap().into()));
                    }
                    _ => out.push(byte),
                }
            }
            assert!(out == page);
        }
    }

    #[test]
    fn zstd_frames_unpack_with_the_zstd_program() {
        let Some(zstd_program) = crate::peer::program("zstd") else {
            eprintln!("skipped: no zstd program");
            return;
        };
        let pages = pages();
        let mut frames = Vec::new();
        let mut plain = Vec::new();
        for page in &pages {
            for frame in [
                zstd(page),
                zstd_level(page, 19),
                zstd_with_checksum(page, true),
                zstd_with_checksum(page, false),
            ] {
                assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
                frames.extend(frame);
                plain.extend_from_slice(page);
            }
        }
        let out = crate::peer::pipe(&zstd_program, &["-dc"], &frames).unwrap();
        assert!(out == plain, "zstd -dc gives other bytes");
    }
}
