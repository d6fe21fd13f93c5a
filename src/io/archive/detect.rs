//! Which archive a file is.

use super::{Archive, is_skippable, le32, lzma, peek};
use crate::error::Result;
use crate::io::ReadAt;

/// Longest header that is looked at: an LZ4 frame descriptor has 19 bytes.
const HEAD: usize = 24;
/// How many skippable frames may stand in front of the first frame.
const SKIP_MAX: usize = 16;
/// Largest block of the LZ4 legacy format, packed.
const LZ4_LEGACY_MAX: u32 = (8 << 20) + (8 << 20) / 255 + 16;

/// The archive that `source` is, or `None` if it is none.
///
/// # Errors
/// Those of [`ReadAt::read_at`].
pub(in crate::io) fn detect(source: &(impl ReadAt + ?Sized)) -> Result<Option<Archive>> {
    let mut pos = 0u64;
    for _ in 0..SKIP_MAX {
        let (head, got) = peek::<HEAD>(source, pos)?;
        let head = &head[..got];
        let (Some(magic), Some(len)) = (le32(head, 0), le32(head, 4)) else {
            return Ok(None);
        };
        if !is_skippable(magic) {
            let found = archive_of(head);
            if pos == 0 && found.is_none() && lzma::is_header(head) {
                let (head, got) = peek::<4096>(source, 0)?;
                let whole = got < head.len();
                if lzma::unpacks(head.get(..got).unwrap_or(&[]), whole) {
                    return Ok(Some(Archive::Lzma));
                }
            }
            #[cfg(feature = "archive")]
            if pos == 0 && found.is_none() && is_zlib_header(head) {
                let (head, got) = peek::<4096>(source, 0)?;
                let whole = got < head.len();
                let zlib = super::inflate::is_zlib(head.get(..got).unwrap_or(&[]), whole);
                return Ok(zlib.then_some(Archive::Zlib));
            }
            // Only LZ4 and zstd files begin with frames to skip.
            return Ok(found.filter(|found| pos == 0 || matches!(found, Archive::Lz4 | Archive::Zstd)));
        }
        pos = match pos.checked_add(8 + u64::from(len)) {
            Some(pos) => pos,
            None => return Ok(None),
        };
    }
    Ok(None)
}

fn archive_of(head: &[u8]) -> Option<Archive> {
    match head {
        [0x04, 0x22, 0x4d, 0x18, ..] => lz4_frame_header(head).map(|_| Archive::Lz4),
        [0x02, 0x21, 0x4c, 0x18, ..] => {
            (1..=LZ4_LEGACY_MAX).contains(&le32(head, 4)?).then_some(Archive::Lz4)
        }
        // Bit 3 of the descriptor is reserved.
        [0x28, 0xb5, 0x2f, 0xfd, descriptor, ..] => (descriptor & 8 == 0).then_some(Archive::Zstd),
        // Deflate is the only method; the upper bits of the flags are reserved.
        [0x1f, 0x8b, 8, flags, ..] => (flags & 0xe0 == 0).then_some(Archive::Gzip),
        [0xfd, b'7', b'z', b'X', b'Z', 0, 0, check, ..] => {
            (le32(head, 8)? == crc32(&[0, *check])).then_some(Archive::Xz)
        }
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Some(Archive::Bzip2),
        [0x89, b'L', b'Z', b'O', 0, b'\r', b'\n', 0x1a, b'\n', ..] => Some(Archive::Lzop),
        [0xff, 6, 0, 0, b's', b'N', b'a', b'P', b'p', b'Y', ..] => Some(Archive::Snappy),
        _ => None,
    }
}

/// Whether a file begins as a zlib stream does: deflate, no dictionary, and a
/// multiple of 31.
#[cfg(feature = "archive")]
fn is_zlib_header(head: &[u8]) -> bool {
    match head {
        [method, flags, ..] => {
            let word = u16::from_be_bytes([*method, *flags]);
            method & 0x8f == 8 && flags & 0x20 == 0 && word.is_multiple_of(31)
        }
        _ => false,
    }
}

/// The descriptor of an LZ4 frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "archive"), allow(dead_code))]
pub(super) struct Lz4Header {
    /// FLG: version, independence, checksums, sizes.
    pub flags: u8,
    /// The most that a block unpacks to, in bytes.
    pub block_max: u32,
    /// Bytes that the frame unpacks to, if it says so.
    pub content_size: Option<u64>,
    /// Bytes from the magic to the first block.
    pub len: usize,
}

/// Reads an LZ4 frame header (magic included) and checks all that can be checked.
pub(super) fn lz4_frame_header(head: &[u8]) -> Option<Lz4Header> {
    let (&flags, &bd) = (head.get(4)?, head.get(5)?);
    if flags & 0xc2 != 0x40 || bd & 0x8f != 0 {
        return None;
    }
    let block_max = match bd >> 4 {
        code @ 4..=7 => 1u32 << (8 + 2 * code),
        _ => return None,
    };
    let sized = flags & 0x08 != 0;
    let content_size = if sized { Some(super::le64(head, 6)?) } else { None };
    let check_at = 6 + if sized { 8 } else { 0 } + if flags & 1 != 0 { 4 } else { 0 };
    let check = *head.get(check_at)?;
    if (xxh32_short(head.get(4..check_at)?) >> 8) as u8 != check {
        return None;
    }
    Some(Lz4Header { flags, block_max, content_size, len: check_at + 1 })
}

pub(super) const PRIME: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

/// xxHash32 with seed 0 of fewer than 16 bytes.
fn xxh32_short(bytes: &[u8]) -> u32 {
    xxh32_finish(PRIME[4].wrapping_add(bytes.len() as u32), bytes)
}

/// The end of xxHash32: up to 15 bytes that fill no stripe, and the avalanche.
pub(super) fn xxh32_finish(mut hash: u32, rest: &[u8]) -> u32 {
    let (words, bytes) = rest.as_chunks::<4>();
    for word in words {
        hash = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIME[2]));
        hash = hash.rotate_left(17).wrapping_mul(PRIME[3]);
    }
    for byte in bytes {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(PRIME[4]));
        hash = hash.rotate_left(11).wrapping_mul(PRIME[0]);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(PRIME[1]);
    hash = (hash ^ (hash >> 13)).wrapping_mul(PRIME[2]);
    hash ^ (hash >> 16)
}

/// CRC-32 (IEEE) of a few bytes.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg());
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(bytes: &[u8]) -> Option<Archive> {
        detect(bytes).unwrap()
    }

    #[test]
    fn a_magic_alone_is_no_archive() {
        // What `lz4`, `xz` and `gzip` write first, each with one bit turned.
        assert_eq!(detected(b"\x04\x22\x4d\x18\x64\x40\xa7\0\0\0\0\0"), Some(Archive::Lz4));
        assert_eq!(detected(b"\x04\x22\x4d\x18\x64\x40\xa6\0\0\0\0\0"), None);
        assert_eq!(detected(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46"), Some(Archive::Xz));
        assert_eq!(detected(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x47"), None);
        assert_eq!(detected(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), Some(Archive::Gzip));
        assert_eq!(detected(b"\x1f\x8b\x08\x20\0\0\0\0\0\x03"), None);
        assert_eq!(detected(b"\x28\xb5\x2f\xfd\x04\0\0\0\0\0"), Some(Archive::Zstd));
        assert_eq!(detected(b"\x28\xb5\x2f\xfd\x0c\0\0\0\0\0"), None);
        assert_eq!(detected(b"BZh91AY&SY"), Some(Archive::Bzip2));
        assert_eq!(detected(b"BZh91AY&SX"), None);
        assert_eq!(detected(b"\x89LZO\0\r\n\x1a\n"), Some(Archive::Lzop));
        assert_eq!(detected(b"\x02\x21\x4c\x18\x05\0\0\0"), Some(Archive::Lz4));
        assert_eq!(detected(b"\x02\x21\x4c\x18\0\0\0\xff"), None);
        assert_eq!(detected(b"\xff\x06\0\0sNaPpY\0\0"), Some(Archive::Snappy));
        assert_eq!(detected(b"\xff\x06\0\0sNaPpX\0\0"), None);
        assert_eq!(detected(b"\x1f\x8b"), None);
        assert_eq!(detected(b""), None);
    }

    #[cfg(feature = "archive-xz")]
    #[test]
    fn an_lzma_header_counts_only_if_the_stream_unpacks() {
        // "Hello, world!" as LZMA writes it, then damaged, and the header alone.
        let header = b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff";
        let data =
            b"\0\x24\x19\x49\x98\x6f\x16\x02\x8c\xe8\xe6\x5b\xb1\x47\xc6\xce\xb7\x63\xff\xff\x3c\xac\0\0";
        let hello = [&header[..], data].concat();
        assert_eq!(detected(&hello), Some(Archive::Lzma));
        assert_eq!(detected(&hello[..14]), None);
        assert_eq!(detected(&[&header[..], &[0], &[0xff; 5000]].concat()), None);
        // An ELF file without its magic.
        let elf = [&b"\0\0\0\0\x02\x01\x01"[..], &[0; 9], b"\x04\0\x3e\0\x01", &[0; 5000]].concat();
        assert_eq!(detected(&elf), None);
    }

    #[cfg(feature = "archive")]
    #[test]
    fn a_zlib_header_counts_only_if_the_stream_unpacks() {
        // "hello" as zlib writes it, then with a wrong checksum, with a wrong
        // header, cut off, and two of the bytes alone.
        let hello = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x07\0\x06\x2c\x02\x15";
        assert_eq!(detected(hello), Some(Archive::Zlib));
        assert_eq!(detected(&[&hello[..12], &[0]].concat()), None);
        assert_eq!(detected(&[&b"\x78\x9d"[..], &hello[2..]].concat()), None);
        assert_eq!(detected(&hello[..8]), Some(Archive::Zlib));
        assert_eq!(detected(&[b'8', 0x8d, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(detected(&[&b"\x78\x9c"[..], &[0xff; 5000]].concat()), None);
    }

    #[test]
    fn skippable_frames_are_skipped_a_bounded_number_of_times() {
        let skip = b"\x50\x2a\x4d\x18\x04\0\0\0abcd";
        let zstd = b"\x28\xb5\x2f\xfd\x04\0\0\0";
        assert_eq!(detected(&[&skip[..], zstd].concat()), Some(Archive::Zstd));
        assert_eq!(detected(&[&skip[..], b"\x1f\x8b\x08\0\0\0\0\0"].concat()), None);
        assert_eq!(detected(&[&skip.repeat(100)[..], zstd].concat()), None);
        assert_eq!(detected(b"\x5f\x2a\x4d\x18\xff\xff\xff\xff"), None);
    }
}
