//! Dumps that were packed as a whole: `vmcore.lz4`, `vmcore.zst`, `vmcore.gz`.
//!
//! An archive is recognised by its magic and a header that makes sense, never
//! by its name. It can be read in place if it consists of units that unpack
//! on their own and are not larger than [`UNIT_MAX`]; everything else is
//! refused with the command that unpacks it.
//!
//! | archive | units | index |
//! | --- | --- | --- |
//! | LZ4 | blocks; a frame with linked blocks is one unit | the sizes in front of the blocks |
//! | LZ4 legacy | blocks of 8 MiB | likewise |
//! | zstd | frames | seek table, or the block headers of the frames |
//! | gzip (BGZF) | members | the sizes in the member headers |
//! | gzip | members | members are unpacked one by one |
//!
//! The index grows as far as reads reach; unpacked units are kept in a small
//! cache. Threads that need the same unit at the same time unpack it each.

mod detect;

cfg_if::cfg_if! {
    if #[cfg(feature = "archive")] {
        mod gzip;
        mod hash;
        mod lz4;
        mod view;
        mod zstd;
        pub use view::ArchiveView;
    }
}

pub(super) use detect::detect;

use super::{ReadAt, Source, read_full};
use crate::error::{Error, Result};
use alloc::format;

/// The largest unit that is unpacked in memory, in bytes.
pub const UNIT_MAX: u32 = 64 << 20;

/// What a file was packed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archive {
    /// LZ4 frames, or the legacy format of the kernel's build.
    Lz4,
    /// Zstandard frames (RFC 8878).
    Zstd,
    /// gzip members (RFC 1952), among them BGZF.
    Gzip,
    /// xz streams: recognised only.
    Xz,
    /// bzip2 streams: recognised only.
    Bzip2,
    /// lzop files: recognised only.
    Lzop,
}

impl Archive {
    /// The usual name of the program that makes such archives.
    pub const fn name(self) -> &'static str {
        match self {
            Archive::Lz4 => "lz4",
            Archive::Zstd => "zstd",
            Archive::Gzip => "gzip",
            Archive::Xz => "xz",
            Archive::Bzip2 => "bzip2",
            Archive::Lzop => "lzop",
        }
    }

    /// The command that unpacks such an archive when a file name follows.
    pub const fn unpacker(self) -> &'static str {
        match self {
            Archive::Lz4 => "lz4 -d",
            Archive::Zstd => "zstd -d",
            Archive::Gzip => "gunzip",
            Archive::Xz => "unxz",
            Archive::Bzip2 => "bunzip2",
            Archive::Lzop => "lzop -d",
        }
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
    if matches!(archive, Archive::Xz | Archive::Bzip2 | Archive::Lzop) {
        return Err(archive.refuse(&format!("{} archives cannot be read in place", archive.name())));
    }
    #[cfg(feature = "archive")]
    {
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
