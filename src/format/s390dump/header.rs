//! The header of an S390 dump, as data. Everything is big endian.
//!
//! ```text
//!   0x000   fields        Header
//!   0x800   u32[512]      absolute addresses of the CPUs' lowcores
//!   0x1000  end of the header
//! ```

use alloc::format;

use crate::arch::{Arch, ByteOrder};
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

pub const ORDER: ByteOrder = ByteOrder::Big;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 4096;
/// Position of the lowcore addresses.
const LOWCORES: usize = 0x800;
/// How many of them there is room for.
const LOWCORES_MAX: usize = 512;
/// What stands behind the memory.
const END: &[u8; 8] = b"DUMP_END";

/// Which of the two formats that share the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The memory as one image.
    Plain,
    /// Segments of memory, each stored as it is or compressed.
    Extended,
}

impl Kind {
    /// From the first eight bytes of a file.
    fn from_magic(magic: u64) -> Option<Kind> {
        match magic {
            0xa819_0173_618f_23fd => Some(Kind::Plain),
            0xa819_0173_618f_23fe => Some(Kind::Extended),
            _ => None,
        }
    }

    /// What `file.description` calls it.
    pub fn description(self) -> &'static str {
        match self {
            Kind::Plain => "S390 Dump",
            Kind::Extended => "Extended S390 Dump",
        }
    }
}

/// The header.
pub struct Header {
    pub kind: Kind,
    raw: [u8; HEADER_BYTES],
}

impl Header {
    /// Reads the header; `None` if the file has none.
    ///
    /// # Errors
    /// `Cannot read dump header`.
    pub fn read(files: &FileSet) -> Result<Option<Header>> {
        let mut raw = [0; HEADER_BYTES];
        let (magic, _) = raw.split_at_mut(8);
        files.read(0, 0, magic).context(|| "Cannot read dump header")?;
        let Some(kind) = Kind::from_magic(ORDER.u64(magic, 0)) else { return Ok(None) };
        files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
        Ok(Some(Header { kind, raw }))
    }

    /// Bytes in front of the memory (u32 at 12).
    pub fn hdr_size(&self) -> u64 {
        ORDER.u32(&self.raw, 12).into()
    }

    /// Bytes of a page (u32 at 20).
    pub fn page_size(&self) -> u32 {
        ORDER.u32(&self.raw, 20)
    }

    /// Bytes of memory (u64 at 24).
    pub fn mem_size(&self) -> u64 {
        ORDER.u64(&self.raw, 24)
    }

    /// Pages of memory (u32 at 48).
    pub fn num_pages(&self) -> u32 {
        ORDER.u32(&self.raw, 48)
    }

    /// When the dump was begun, as a TOD clock value (u64 at 56).
    pub fn tod(&self) -> u64 {
        ORDER.u64(&self.raw, 56)
    }

    /// The architecture (u32 at 72).
    ///
    /// # Errors
    /// `NotImplemented` (`Unsupported dump architecture: <number>`).
    pub fn arch(&self) -> Result<Arch> {
        match ORDER.u32(&self.raw, 72) {
            1 => Ok(Arch::S390),
            2 => Ok(Arch::S390x),
            other => Err(Error::not_implemented(format!("Unsupported dump architecture: {other}"))),
        }
    }

    /// Bytes of memory in an entry of a compressed segment (u32 at 98); 0 if
    /// the writer (u8 at 97) does not compress.
    pub fn zlib_entry_size(&self) -> u32 {
        match self.raw[97] {
            0 => 0,
            _ => ORDER.u32(&self.raw, 98),
        }
    }

    /// Absolute addresses of the lowcores, one a CPU (u16 at 93: how many).
    pub fn lowcores(&self) -> impl Iterator<Item = u64> {
        let count = usize::from(ORDER.u16(&self.raw, 93)).min(LOWCORES_MAX);
        (0..count).map(|cpu| ORDER.u32(&self.raw, LOWCORES + 4 * cpu).into())
    }

    /// Whether the end marker stands at `position`: its text, and a time that
    /// is not before that of the header.
    ///
    /// # Errors
    /// `Cannot read end marker at <position>`.
    pub fn ends_at(&self, files: &FileSet, position: u64) -> Result<bool> {
        let mut raw = [0; 16];
        files.read(0, position, &mut raw).context(|| format!("Cannot read end marker at {position}"))?;
        Ok(raw.starts_with(END) && ORDER.u64(&raw, 8) >= self.tod())
    }
}
