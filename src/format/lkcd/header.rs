//! The header of an LKCD dump, as data.
//!
//! ```text
//! 0     common part     48 bytes, all versions
//! 48    the rest        1 │ 2 to 7 │ 8 and up; up to 7 with 32 or 64 bits
//! ```
//!
//! Up to version 7 nothing says how wide the writer's `long` was: the place
//! where a believable `utsname` stands does.

use crate::arch::ByteOrder;
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::notes::uts;

/// Size of the largest header (version 9), in bytes.
pub const BYTES: usize = 742;

/// `dh_magic_number` (u64 at 0; `LKCD: dump.h`).
const MAGIC: u64 = 0xa819_0173_618f_23ed;
/// `dh_version` (u32): base version and flags of Mission Critical Linux.
const VERSION: usize = 8;
/// Bits of `dh_version` that are not flags.
const BASE_VERSION: u32 = 0x3fff_ffff;
/// `dh_header_size` (u32), in bytes: the header of the architecture is behind it.
const HEADER_SIZE: usize = 12;
/// `dh_page_size` (u32), in bytes.
const PAGE_SIZE: usize = 20;

/// The first version in which the header of the architecture has a known layout.
pub const WITH_REGISTERS: u32 = 8;

/// Where page records begin unless the header says where.
const RECORDS: u64 = 65536;

/// Offsets of what stands behind the common part.
struct Layout {
    /// `dh_utsname`: six texts of 65 bytes.
    utsname: usize,
    /// `dh_dump_compress` (u32), if it is in this version.
    compress: Option<usize>,
    /// `dh_dump_buffer_size` (u64), if it is in this version.
    buffer_size: Option<usize>,
}

/// The layouts of a base version: that of 32-bit writers first, which is the
/// only one from version 8 on.
fn layouts(version: u32) -> Option<&'static [Layout]> {
    const fn layout(utsname: usize, compress: Option<usize>, buffer_size: Option<usize>) -> Layout {
        Layout { utsname, compress, buffer_size }
    }
    const V1: &[Layout] = &[layout(324, None, None), layout(336, None, None)];
    const V2: &[Layout] = &[layout(316, None, None), layout(328, None, None)];
    const V5: &[Layout] = &[layout(316, Some(712), None), layout(328, Some(728), None)];
    const V8: &[Layout] = &[layout(324, Some(722), None)];
    const V9: &[Layout] = &[layout(324, Some(722), Some(734))];
    match version {
        1 => Some(V1),
        2 | 3 => Some(V2),
        5..=7 => Some(V5),
        8 => Some(V8),
        9 | 10 => Some(V9),
        _ => None,
    }
}

/// How compressed pages of a dump are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method(u32);

impl Method {
    /// `DUMP_COMPRESS_RLE`: all that versions up to 3 have.
    const RLE: Method = Method(1);
    /// `DUMP_COMPRESS_GZIP`: a zlib stream in spite of its name.
    const GZIP: Method = Method(2);

    /// The codec that unpacks such pages.
    ///
    /// # Errors
    /// `NotImplemented` (`Unknown compression method: <number>`).
    pub fn codec(self) -> Result<Codec> {
        match self {
            Method::RLE => Ok(Codec::Rle),
            Method::GZIP => Ok(Codec::Zlib),
            Method(number) => {
                Err(Error::not_implemented(alloc::format!("Unknown compression method: {}", number as i32)))
            }
        }
    }
}

/// The common part.
#[derive(Clone, Copy, Debug)]
pub struct Common {
    pub order: ByteOrder,
    /// Version without flags.
    pub version: u32,
    /// Bytes of the header, as it says itself.
    pub header_size: u32,
    /// Bytes per page, as the header has it.
    pub page_size: u32,
}

impl Common {
    /// `None` if this is no LKCD header.
    pub fn read(raw: &[u8; BYTES]) -> Option<Common> {
        let order =
            [ByteOrder::Little, ByteOrder::Big].into_iter().find(|order| order.u64(raw, 0) == MAGIC)?;
        let version = order.u32(raw, VERSION) & BASE_VERSION;
        let (header_size, page_size) = (order.u32(raw, HEADER_SIZE), order.u32(raw, PAGE_SIZE));
        Some(Common { order, version, header_size, page_size })
    }
}

/// What depends on the version.
pub struct Detail {
    /// `struct new_utsname`, as it stands in the file.
    pub utsname: [u8; uts::SIZE],
    pub method: Method,
    /// Position of the first page record.
    pub records: u64,
}

impl Detail {
    /// Reads it in the layout in which `utsname` looks best.
    ///
    /// # Errors
    /// `NotImplemented` (`Unsupported LKCD version: <version>`).
    pub fn read(raw: &[u8; BYTES], common: &Common) -> Result<Detail> {
        let Common { order, version, .. } = *common;
        let Some([narrow, rest @ ..]) = layouts(version) else {
            return Err(Error::not_implemented(alloc::format!("Unsupported LKCD version: {version}")));
        };
        let utsname = |layout: &Layout| {
            let mut utsname = [0; uts::SIZE];
            utsname.copy_from_slice(&raw[layout.utsname..layout.utsname + uts::SIZE]);
            utsname
        };
        let sane = |layout: &&Layout| uts::looks_sane(&utsname(layout));
        let layout = match rest.first().filter(sane) {
            Some(wide) if !sane(&narrow) => wide,
            _ => narrow,
        };
        Ok(Detail {
            utsname: utsname(layout),
            method: layout.compress.map_or(Method::RLE, |at| Method(order.u32(raw, at))),
            records: layout.buffer_size.map_or(RECORDS, |at| order.u64(raw, at)),
        })
    }
}
