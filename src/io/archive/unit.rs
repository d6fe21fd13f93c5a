//! Units: the stretches of an archive that unpack on their own.

use super::lz4::Lz4Frame;
use crate::error::{Error, Result};
use crate::io::{ReadAt, Source, read_full};
use alloc::format;
use alloc::vec::Vec;

/// A stretch of the unpacked file that unpacks on its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// Position of its first byte in the unpacked file.
    pub start: u64,
    /// Position of its packed bytes in the archive.
    pub packed: u64,
    /// Number of packed bytes, unless it is a stream.
    pub packed_len: u32,
    /// Number of unpacked bytes: not more than [`UNIT_MAX`](super::UNIT_MAX)
    /// unless it is a stream, and for a stream as many as are known.
    pub len: u64,
    /// How the packed bytes are to be read.
    pub form: Form,
}

/// How the packed bytes of a unit are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As they are.
    Stored,
    /// One LZ4 block; `checked`: its xxHash32 follows.
    Lz4Block {
        /// Whether a checksum follows the block.
        checked: bool,
    },
    /// One LZ4 block that is stored, followed by its xxHash32.
    Lz4StoredChecked,
    /// All blocks of an LZ4 frame.
    Lz4Linked {
        /// Whether a checksum follows each block.
        checked: bool,
    },
    /// Whole zstd frames.
    Zstd,
    /// A deflate stream and the CRC-32 behind it.
    Gzip,
    /// A bzip2 block.
    Bzip2(Bzip2Block),
    /// A block of an lzop file.
    Lzop {
        /// Whether the block is not packed.
        stored: bool,
        /// The checksum of the unpacked bytes.
        check: LzopCheck,
    },
    /// A chunk of a snappy framed stream.
    Snappy {
        /// Whether the chunk is not packed.
        stored: bool,
        /// The masked CRC-32C of the unpacked bytes.
        check: u32,
    },
    /// Too large to be unpacked at once: unpacked piece by piece.
    Stream(Stream),
}

/// The streams that are unpacked piece by piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    /// Deflate data of a gzip member.
    Gzip,
    /// A zlib stream, header included.
    Zlib,
    /// A zstd frame.
    Zstd,
    /// An xz block.
    #[cfg(feature = "archive-xz")]
    XzBlock {
        /// The check that follows it, as the stream header says.
        check: u8,
        /// Number of packed bytes, with padding.
        packed_len: u64,
        /// Number of unpacked bytes.
        len: u64,
    },
    /// A whole xz file.
    #[cfg(feature = "archive-xz")]
    XzFile,
    /// A file of LZMA alone.
    #[cfg(feature = "archive-xz")]
    Lzma,
}

/// Where a bzip2 block begins and what it must unpack to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bzip2Block {
    /// Bits of the first byte that belong to what is before the block.
    pub bit: u8,
    /// The level of the stream: the block has up to `level * 100000` bytes
    /// before runs are expanded.
    pub level: u8,
}

/// A checksum that an lzop file has of unpacked bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LzopCheck {
    None,
    Adler32(u32),
    Crc32(u32),
}

/// How far the index of an archive has grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Position of the next header in the archive.
    pub pos: u64,
    /// Length of what was indexed, unpacked.
    pub total: u64,
    /// What is being indexed, if headers came before that matter.
    pub frame: Option<Frame>,
}

/// What the headers before say about what stands at a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// The blocks of an LZ4 frame.
    Lz4(Lz4Frame),
    /// The blocks of a bzip2 stream, and the combined checksum of those before.
    Bzip2(Bzip2Block, u32),
    /// The blocks of an lzop file with these flags.
    Lzop(u32),
}

/// What stands at a cursor.
pub(super) enum Step {
    /// A unit, the cursor behind it, and its bytes if they had to be unpacked
    /// to know its size.
    Unit(Unit, Cursor, Option<Vec<u8>>),
    /// A stream, whose end is unknown until it is unpacked.
    Stream(Unit),
    /// Nothing that unpacks to bytes.
    Skip(Cursor),
    /// The end of the archive.
    End,
}

/// A buffer of `len` zero bytes.
pub(super) fn buffer(len: usize) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| Error::system("Cannot allocate memory"))?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// The packed bytes `[pos, pos + len)`, in place or in `store`.
pub(super) fn packed<'a>(source: &'a Source, pos: u64, len: u32, store: &'a mut Vec<u8>) -> Result<&'a [u8]> {
    let want = len as usize;
    if let Some(bytes) = source.borrow(pos, want) {
        return Ok(bytes);
    }
    // No more memory than there are bytes, if that is known.
    let end = pos.checked_add(u64::from(len));
    if source.len().is_none_or(|len| end.is_some_and(|end| end <= len)) {
        *store = buffer(want)?;
        if read_full(source, pos, store)? == want {
            return Ok(store);
        }
    }
    Err(cut_off(pos))
}

/// The archive ends inside what begins at `pos`.
pub(super) fn cut_off(pos: u64) -> Error {
    Error::corrupt(format!("The archive is cut off behind {pos}"))
}

/// Whether nothing but padding follows: the bytes at `pos` are zero or none.
pub(super) fn at_end(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
