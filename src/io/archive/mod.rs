//! Dumps that were packed as a whole: `vmcore.gz`, `vmcore.xz`, `vmcore.zst` ...
//!
//! An archive is recognised by its magic (lzma has none) and a header that makes
//! sense, never by its name. Most consist of units that unpack on their own and are not
//! larger than [`UNIT_MAX`]; what is larger is a stream, of which segments of
//! 1 MiB are unpacked as far as reads reach. What cannot be read in place is
//! refused with the command that unpacks it.
//!
//! | archive | units | index |
//! | --- | --- | --- |
//! | LZ4 | blocks; a frame with linked blocks is one unit | the sizes in front of the blocks |
//! | LZ4 legacy | blocks of 8 MiB | likewise |
//! | zstd | frames; a larger one is a stream | seek table, or the block headers of the frames |
//! | gzip (BGZF) | members | the sizes in the member headers |
//! | gzip | members of up to 1 MiB; a larger one is a stream with checkpoints | members are unpacked one by one |
//! | zlib | a stream with checkpoints | - |
//! | xz | blocks, each a stream | the index at the end |
//! | lzma | a stream | - |
//! | bzip2 | blocks | blocks are unpacked one by one |
//! | lzop | blocks | the sizes in front of the blocks |
//! | snappy framed | chunks | the sizes in front of the chunks |
//!
//! The index grows as far as reads reach; unpacked units are kept in a small
//! cache (16 of them, 64 MiB). Threads that need the same unit at the same time
//! unpack it each. The other bounds on memory:
//!
//! | what | bound |
//! | --- | --- |
//! | checkpoints of gzip and zlib streams | 46 MiB an archive |
//! | segments of zstd, xz and lzma streams | [`STREAM_MAX`] an archive |
//! | decoders of zstd, xz and lzma streams | 4 with windows of up to 128 MiB |

mod detect;
mod lzma;

cfg_if::cfg_if! {
    if #[cfg(feature = "archive")] {
        mod bzip2;
        mod gzip;
        mod hash;
        mod inflate;
        mod lz4;
        mod lzop;
        mod snappy;
        mod stream;
        mod unit;
        mod view;
        mod zstd;
        pub use view::ArchiveView;
        cfg_if::cfg_if! {
            if #[cfg(feature = "archive-xz")] {
                mod xz;
            }
        }
    }
}

pub(super) use detect::detect;

use super::{ReadAt, Source, read_full};
use crate::error::{Error, Result};
use alloc::format;

/// The largest unit that is unpacked in memory, in bytes.
pub const UNIT_MAX: u32 = 64 << 20;

/// How much of zstd frames, xz blocks and lzma files larger than that is kept
/// unpacked, in bytes. They cannot be unpacked from the middle on, so that one that is larger
/// than this cannot be read further.
pub const STREAM_MAX: u32 = 1 << 30;

/// What a file was packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// LZ4 frames, or the legacy format of the kernel's build.
    Lz4,
    /// Zstandard frames (RFC 8878).
    Zstd,
    /// gzip members (RFC 1952), among them BGZF.
    Gzip,
    /// A zlib stream (RFC 1950): `.zz`, and LiME's `compress=1`.
    Zlib,
    /// xz streams.
    Xz,
    /// LZMA alone, the format before xz.
    Lzma,
    /// bzip2 streams.
    Bzip2,
    /// lzop files.
    Lzop,
    /// Snappy framed streams.
    Snappy,
}

impl Archive {
    /// The usual name of the program that makes such archives.
    pub const fn name(self) -> &'static str {
        match self {
            Archive::Lz4 => "lz4",
            Archive::Zstd => "zstd",
            Archive::Gzip => "gzip",
            Archive::Zlib => "zlib",
            Archive::Xz => "xz",
            Archive::Lzma => "lzma",
            Archive::Bzip2 => "bzip2",
            Archive::Lzop => "lzop",
            Archive::Snappy => "snappy",
        }
    }

    /// The command that unpacks such an archive when a file name follows.
    pub const fn unpacker(self) -> &'static str {
        match self {
            Archive::Lz4 => "lz4 -d",
            Archive::Zstd => "zstd -d",
            Archive::Gzip => "gunzip",
            Archive::Zlib => "pigz -d",
            Archive::Xz => "unxz",
            Archive::Lzma => "unlzma",
            Archive::Bzip2 => "bunzip2",
            Archive::Lzop => "lzop -d",
            Archive::Snappy => "snzip -d",
        }
    }

    /// The refusal to keep more of a stream than [`STREAM_MAX`].
    #[cfg(feature = "archive")]
    fn too_long(self) -> Error {
        let (what, again) = match self {
            Archive::Xz => ("An xz block", "xz -T0"),
            Archive::Lzma => ("An lzma file", "xz -T0"),
            _ => ("A zstd frame", "pzstd"),
        };
        let refused = self.refuse(&format!("{what} is larger than {} MiB", STREAM_MAX >> 20));
        Error::new(refused.status(), format!("{}, or pack it again with {again}", refused.message()))
    }

    /// The refusal to read the archive in place.
    fn refuse(self, why: &str) -> Error {
        Error::not_implemented(format!("{why}; unpack it first: {} FILE", self.unpacker()))
    }
}

/// Opens what `detect` found.
///
/// # Errors
/// NOTIMPL with the command that helps if the archive cannot be read in
/// place; CORRUPT or what the source says if its beginning cannot be read.
pub(super) fn open(
    source: Source,
    archive: Archive,
    policy: &crate::sync::Shared<super::MmapPolicy>,
) -> Result<Source> {
    #[cfg(feature = "archive")]
    {
        if matches!(archive, Archive::Xz | Archive::Lzma) && !cfg!(feature = "archive-xz") {
            let why = format!("Built without feature archive-xz, which reads {}", archive.name());
            return Err(archive.refuse(&why));
        }
        let view = ArchiveView::open(source, archive, policy.clone())?;
        if let Some(inner) = detect(&view)? {
            return Err(archive.refuse(&format!("There is another archive inside ({})", inner.name())));
        }
        Ok(crate::sync::Shared::new(view))
    }
    #[cfg(not(feature = "archive"))]
    {
        let _ = (source, policy);
        Err(archive.refuse(&format!("Built without feature archive, which reads {}", archive.name())))
    }
}

/// Up to `N` bytes at `pos`, and how many there are; the others are zero.
fn peek<const N: usize>(source: &(impl ReadAt + ?Sized), pos: u64) -> Result<([u8; N], usize)> {
    let mut bytes = [0; N];
    let got = read_full(source, pos, &mut bytes)?;
    Ok((bytes, got))
}

fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Whether a little-endian word starts a frame that both LZ4 and zstd skip.
const fn is_skippable(magic: u32) -> bool {
    magic & !0xf == 0x184d_2a50
}
