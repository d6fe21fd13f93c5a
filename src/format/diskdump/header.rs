//! The headers of a diskdump file, as data, and how to tell which of their
//! layouts a file has.
//!
//! ```text
//! block 0    common header    32 or 64 bits, by the `struct timeval` in it
//! block 1    sub-header       32p, 32a or 64, one more member per version
//! ```
//!
//! Nothing in the file says which layout it has: each one is tried, checked
//! for what cannot be true, and the most plausible one is taken.

use alloc::vec::Vec;

use crate::arch::{Arch, ByteOrder};
use crate::error::Result;
use crate::notes::uts;

/// Which of the two formats that share this layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `DISKDUMP`: written by the driver of 2004; block 1 holds registers.
    Diskdump,
    /// `KDUMP   `: written by makedumpfile, QEMU and others.
    Kdump,
}

impl Kind {
    /// From the first eight bytes of a file.
    pub fn from_signature(raw: &[u8]) -> Option<Kind> {
        match raw.get(..8)? {
            b"DISKDUMP" => Some(Kind::Diskdump),
            b"KDUMP   " => Some(Kind::Kdump),
            _ => None,
        }
    }

    /// What `file.description` calls it.
    pub fn description(self) -> &'static str {
        match self {
            Kind::Diskdump => "Diskdump",
            Kind::Kdump => "Compressed KDUMP",
        }
    }
}

/// Offsets within `struct disk_dump_header` (makedumpfile `diskdump_mod.h`)
/// of what stands behind its `struct timeval`; in front of that all layouts
/// are equal.
struct CommonLayout {
    /// Bytes of a `long` of the writer.
    word: u8,
    /// Block size in bytes (i32).
    block_size: usize,
    /// Blocks of the sub-header (i32).
    sub_hdr_size: usize,
    /// Blocks of both bitmaps together (u32).
    bitmap_blocks: usize,
    /// One above the highest PFN, cut off at 2^32-1 (u32).
    max_mapnr: usize,
}

/// `header_version` (i32) of all layouts.
const HEADER_VERSION: usize = 8;
/// `utsname` of all layouts: six fields of 65 bytes.
const UTSNAME: usize = 12;
/// Which of the fields of `utsname` is `machine`.
const MACHINE: usize = 4;

/// In the order in which the reference tries them.
const COMMON: [CommonLayout; 2] = [
    CommonLayout { word: 4, block_size: 416, sub_hdr_size: 420, bitmap_blocks: 424, max_mapnr: 428 },
    CommonLayout { word: 8, block_size: 428, sub_hdr_size: 432, bitmap_blocks: 436, max_mapnr: 440 },
];

/// Size of the larger layout.
pub const COMMON_BYTES: usize = 464;

/// Block sizes that a dump may have, in bytes.
const BLOCK_SIZES: core::ops::RangeInclusive<u32> = 1 << 12..=1 << 18;

/// The common header: what is needed of it.
#[derive(Clone)]
pub struct Common {
    pub kind: Kind,
    pub order: ByteOrder,
    /// Bytes of a `long` of the writer: 4 or 8.
    pub word: u8,
    pub version: u32,
    /// Bytes per block, and per page: a power of two.
    pub block_size: u32,
    /// Blocks of the sub-header.
    pub sub_blocks: u32,
    /// Blocks of both bitmaps together.
    pub bitmap_blocks: u32,
    pub max_mapnr: u32,
    /// `struct new_utsname`, as it stands in the file.
    pub utsname: [u8; uts::SIZE],
}

impl Common {
    /// Reads one layout; `None` if what it says cannot be.
    fn read(raw: &[u8; COMMON_BYTES], layout: &CommonLayout, order: ByteOrder) -> Option<Common> {
        let mut utsname = [0; uts::SIZE];
        utsname.copy_from_slice(&raw[UTSNAME..UTSNAME + uts::SIZE]);
        let common = Common {
            kind: Kind::from_signature(raw)?,
            order,
            word: layout.word,
            version: order.u32(raw, HEADER_VERSION),
            block_size: order.u32(raw, layout.block_size),
            sub_blocks: order.u32(raw, layout.sub_hdr_size),
            bitmap_blocks: order.u32(raw, layout.bitmap_blocks),
            max_mapnr: order.u32(raw, layout.max_mapnr),
            utsname,
        };
        let plausible = BLOCK_SIZES.contains(&common.block_size)
            && common.block_size.is_power_of_two()
            && i32::try_from(common.sub_blocks).is_ok()
            && common.bitmap_bits() >= u64::from(common.max_mapnr);
        plausible.then_some(common)
    }

    /// Reads the layout that another file of the set has.
    pub fn read_like(raw: &[u8; COMMON_BYTES], first: &Common) -> Option<Common> {
        let layout = COMMON.iter().find(|layout| layout.word == first.word)?;
        Common::read(raw, layout, first.order)
            .filter(|common| common.kind == first.kind && common.block_size == first.block_size)
    }

    /// All plausible readings of a header, the best one first. `sub` reads
    /// the first bytes of block 1, given the block size; it is asked only if
    /// there is more than one.
    pub fn candidates(
        raw: &[u8; COMMON_BYTES],
        mut sub: impl FnMut(u32) -> Result<[u8; SUB_BYTES]>,
    ) -> Vec<Common> {
        let mut found = Vec::new();
        for layout in &COMMON {
            for order in [ByteOrder::Little, ByteOrder::Big] {
                found.extend(Common::read(raw, layout, order));
            }
        }
        if found.len() > 1 {
            // The sort is stable: what is equal stays in the reference's order.
            found.sort_by_cached_key(|common| {
                let raw = sub(common.block_size).unwrap_or([0; SUB_BYTES]);
                core::cmp::Reverse(common.plausibility(&raw))
            });
        }
        found
    }

    /// Soft evidence for this reading, the weightiest first.
    fn plausibility(&self, sub: &[u8; SUB_BYTES]) -> [bool; 4] {
        let machine = self.machine_arch();
        [
            (1..=0xffff).contains(&self.version),
            machine.is_some_and(|arch| arch.pointer_size() == self.word),
            self.version >= 6
                && SUB.iter().any(|layout| {
                    layout.word == self.word
                        && clamp(Sub::read(sub, layout, self).max_mapnr_64) == self.max_mapnr
                }),
            self.version == 0 || self.sub_blocks > 0,
        ]
    }

    /// Number of bits that the bitmap blocks hold.
    pub fn bitmap_bits(&self) -> u64 {
        u64::from(self.bitmap_blocks) * u64::from(self.block_size) * 8
    }

    /// `utsname.machine`, up to its NUL.
    pub fn machine(&self) -> &[u8] {
        uts::field(&self.utsname, MACHINE)
    }

    fn machine_arch(&self) -> Option<Arch> {
        let machine = core::str::from_utf8(self.machine()).ok()?;
        Arch::from_uts_machine(&machine.to_ascii_lowercase())
    }

    /// Whether block 1 holds a `kdump_sub_header`.
    pub fn has_sub_header(&self) -> bool {
        self.kind == Kind::Kdump && self.version >= 1
    }
}

/// Offsets within `struct kdump_sub_header` (makedumpfile `diskdump_mod.h`).
/// Members of `word` bytes unless said otherwise.
struct SubLayout {
    /// Bytes of a `long` of the writer.
    word: u8,
    /// Physical base of the kernel, or start of RAM.
    phys_base: usize,
    /// Whether the file is one of a split set (i32, version 2).
    split: usize,
    /// First PFN of a split file (version 2).
    start_pfn: usize,
    /// PFN behind the last one of a split file (version 2).
    end_pfn: usize,
    /// File position (u64) and, behind it, size of VMCOREINFO (version 3).
    vmcoreinfo: usize,
    /// File position (u64) and size of the ELF notes (version 4).
    note: usize,
    /// File position (u64) and size of ERASEINFO (version 5).
    eraseinfo: usize,
    /// 64-bit twin of `start_pfn` (version 6).
    start_pfn_64: usize,
    /// 64-bit twin of `end_pfn` (version 6).
    end_pfn_64: usize,
    /// 64-bit twin of `max_mapnr` (version 6).
    max_mapnr_64: usize,
}

/// Size of the largest layout.
pub const SUB_BYTES: usize = 104;

/// 64-bit members of a 32-bit writer aligned to 4 bytes (ia32, and QEMU always).
const SUB_32P: usize = 0;
/// 64-bit members of a 32-bit writer aligned to 8 bytes (arm, mips, ppc, ...).
const SUB_32A: usize = 1;
/// 64-bit writers.
const SUB_64: usize = 2;

const SUB: [SubLayout; 3] = [
    SubLayout {
        word: 4,
        phys_base: 0,
        split: 8,
        start_pfn: 12,
        end_pfn: 16,
        vmcoreinfo: 20,
        note: 32,
        eraseinfo: 44,
        start_pfn_64: 56,
        end_pfn_64: 64,
        max_mapnr_64: 72,
    },
    SubLayout {
        word: 4,
        phys_base: 0,
        split: 8,
        start_pfn: 12,
        end_pfn: 16,
        vmcoreinfo: 24,
        note: 40,
        eraseinfo: 56,
        start_pfn_64: 72,
        end_pfn_64: 80,
        max_mapnr_64: 88,
    },
    SubLayout {
        word: 8,
        phys_base: 0,
        split: 12,
        start_pfn: 16,
        end_pfn: 24,
        vmcoreinfo: 32,
        note: 48,
        eraseinfo: 64,
        start_pfn_64: 80,
        end_pfn_64: 88,
        max_mapnr_64: 96,
    },
];

/// A part of the file; absent if its size is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Byte position (after unflattening).
    pub position: u64,
    /// Bytes.
    pub size: u64,
}

/// The sub-header, with the members that the version at hand does not have
/// left at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sub {
    /// Bytes of a `long` of the writer: 4 or 8.
    pub word: u8,
    pub phys_base: u64,
    pub split: u32,
    pub start_pfn: u64,
    pub end_pfn: u64,
    pub vmcoreinfo: Extent,
    pub note: Extent,
    pub eraseinfo: Extent,
    pub start_pfn_64: u64,
    pub end_pfn_64: u64,
    pub max_mapnr_64: u64,
}

impl Sub {
    fn read(raw: &[u8; SUB_BYTES], layout: &SubLayout, common: &Common) -> Sub {
        let order = common.order;
        let since = |version, value| if common.version >= version { value } else { 0 };
        let word = |at| match layout.word {
            4 => u64::from(order.u32(raw, at)),
            _ => order.u64(raw, at),
        };
        let extent = |version, at| Extent {
            position: since(version, order.u64(raw, at)),
            size: since(version, word(at + 8)),
        };
        Sub {
            word: layout.word,
            phys_base: word(layout.phys_base),
            split: since(2, order.u32(raw, layout.split).into()) as u32,
            start_pfn: since(2, word(layout.start_pfn)),
            end_pfn: since(2, word(layout.end_pfn)),
            vmcoreinfo: extent(3, layout.vmcoreinfo),
            note: extent(4, layout.note),
            eraseinfo: extent(5, layout.eraseinfo),
            start_pfn_64: since(6, order.u64(raw, layout.start_pfn_64)),
            end_pfn_64: since(6, order.u64(raw, layout.end_pfn_64)),
            max_mapnr_64: since(6, order.u64(raw, layout.max_mapnr_64)),
        }
    }

    /// Reads the sub-header in the layout that fits best. `end` is the length
    /// of the file, if known.
    pub fn choose(raw: &[u8; SUB_BYTES], common: &Common, end: Option<u64>) -> Sub {
        let read = |layout: usize| Sub::read(raw, &SUB[layout], common);
        let (packed, aligned, wide) = (read(SUB_32P), read(SUB_32A), read(SUB_64));
        // A reading that finds nothing is always possible; one that finds a part
        // of the file where there can be one is right.
        let evidence = |sub: &Sub| (sub.score(common, end), sub.extents());
        let narrow = match evidence(&packed).cmp(&evidence(&aligned)) {
            core::cmp::Ordering::Greater => packed,
            core::cmp::Ordering::Less => aligned,
            core::cmp::Ordering::Equal if packed.vmcoreinfo_fits(common) => packed,
            core::cmp::Ordering::Equal => aligned,
        };
        if common.word == 4 {
            return narrow;
        }
        // A 32-bit writer with 64-bit `time_t` has the common header of a
        // 64-bit one. Only its machine tells that such a writer is possible.
        let narrow_machine = common.machine_arch().is_some_and(|arch| arch.pointer_size() == 4);
        if narrow_machine && narrow.score(common, end) > wide.score(common, end) { narrow } else { wide }
    }

    /// How many parts of the file it points to.
    fn extents(&self) -> usize {
        [self.vmcoreinfo, self.note, self.eraseinfo].iter().filter(|extent| extent.size != 0).count()
    }

    /// How many members say something that can be true.
    fn score(&self, common: &Common, end: Option<u64>) -> u32 {
        let start = u64::from(common.block_size);
        let end = end.unwrap_or(i64::MAX as u64);
        let fits = |extent: Extent| {
            extent == Extent::default()
                || extent.position >= start
                    && extent.position.checked_add(extent.size).is_some_and(|last| last <= end)
        };
        let twins = |narrow: u64, wide: u64| u64::from(clamp(narrow)) == u64::from(clamp(wide));
        let checks = [
            common.version >= 6 && clamp(self.max_mapnr_64) == common.max_mapnr,
            fits(self.vmcoreinfo),
            fits(self.note),
            fits(self.eraseinfo),
            self.split <= 1,
            common.version < 6
                || twins(self.start_pfn, self.start_pfn_64) && twins(self.end_pfn, self.end_pfn_64),
        ];
        checks.iter().map(|check| u32::from(*check)).sum()
    }

    /// Whether a packed reading finds no VMCOREINFO, or one that lies between
    /// the header and the bitmaps.
    fn vmcoreinfo_fits(&self, common: &Common) -> bool {
        let block = u64::from(common.block_size);
        let bitmaps = block * (1 + u64::from(common.sub_blocks));
        let Extent { position, size } = self.vmcoreinfo;
        self.vmcoreinfo == Extent::default()
            || position > block && position.checked_add(size).is_some_and(|end| end <= bitmaps)
    }

    /// The PFNs `[start, end)` that a split file stores; `None` for all of them.
    pub fn split_range(&self, common: &Common) -> Option<(u64, u64)> {
        match (self.split, common.version) {
            (0, _) => None,
            (_, ..6) => Some((self.start_pfn, self.end_pfn)),
            _ => Some((self.start_pfn_64, self.end_pfn_64)),
        }
    }
}

/// The value that a 32-bit member has for a 64-bit one.
fn clamp(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
