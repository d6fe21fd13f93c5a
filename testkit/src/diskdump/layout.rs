//! Offsets of the fields of a diskdump file.

use std::collections::BTreeMap;

use super::Field;

/// Size of a page descriptor: offset u64, size u32, flags u32, page_flags u64.
pub const DESCRIPTOR_SIZE: usize = 24;

/// Word size of the common header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordSize {
    /// 452 bytes, `struct timeval` of 8 bytes.
    Bits32,
    /// 464 bytes, `struct timeval` of 16 bytes.
    Bits64,
}

impl WordSize {
    /// Both word sizes.
    pub const ALL: [WordSize; 2] = [WordSize::Bits32, WordSize::Bits64];

    /// Size of a pointer in bytes.
    pub fn width(self) -> usize {
        match self {
            WordSize::Bits32 => 4,
            WordSize::Bits64 => 8,
        }
    }

    /// Size of the common header without the task pointers.
    pub fn header_size(self) -> usize {
        match self {
            WordSize::Bits32 => 452,
            WordSize::Bits64 => 464,
        }
    }
}

/// Layout of the sub-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubLayout {
    /// 32-bit, 64-bit members aligned to 4 (ia32, and 32-bit QEMU).
    Packed32,
    /// 32-bit, 64-bit members aligned to 8 (arm, mips, ppc, riscv32, s390).
    Aligned32,
    /// 64-bit.
    Bits64,
}

impl SubLayout {
    /// All layouts.
    pub const ALL: [SubLayout; 3] = [SubLayout::Packed32, SubLayout::Aligned32, SubLayout::Bits64];

    /// Size of the structure as a writer of this version has it.
    pub fn size(self, version: i32) -> usize {
        let sizes = match self {
            SubLayout::Packed32 => [4, 8, 20, 32, 44, 56, 80],
            SubLayout::Aligned32 => [4, 8, 20, 40, 56, 72, 96],
            SubLayout::Bits64 => [8, 16, 32, 48, 64, 80, 104],
        };
        sizes[self.known_version(version)]
    }

    /// The version from 0 to 6 that a version is like.
    pub(super) fn known_version(self, version: i32) -> usize {
        usize::try_from(version).map_or(6, |version| version.min(6))
    }
}

type HeaderRow = (&'static str, (u64, usize), (u64, usize));

const HEADER: [HeaderRow; 14] = [
    ("header_version", (8, 4), (8, 4)),
    ("tv_sec", (404, 4), (408, 8)),
    ("tv_usec", (408, 4), (416, 8)),
    ("status", (412, 4), (424, 4)),
    ("block_size", (416, 4), (428, 4)),
    ("sub_hdr_size", (420, 4), (432, 4)),
    ("bitmap_blocks", (424, 4), (436, 4)),
    ("max_mapnr", (428, 4), (440, 4)),
    ("total_ram_blocks", (432, 4), (444, 4)),
    ("device_blocks", (436, 4), (448, 4)),
    ("written_blocks", (440, 4), (452, 4)),
    ("current_cpu", (444, 4), (456, 4)),
    ("nr_cpus", (448, 4), (460, 4)),
    ("signature", (0, 8), (0, 8)),
];

/// (name, first version, packed, aligned, 64-bit)
type SubRow = (&'static str, usize, (u64, usize), (u64, usize), (u64, usize));

const SUB: [SubRow; 14] = [
    ("phys_base", 0, (0, 4), (0, 4), (0, 8)),
    ("dump_level", 1, (4, 4), (4, 4), (8, 4)),
    ("split", 2, (8, 4), (8, 4), (12, 4)),
    ("start_pfn", 2, (12, 4), (12, 4), (16, 8)),
    ("end_pfn", 2, (16, 4), (16, 4), (24, 8)),
    ("offset_vmcoreinfo", 3, (20, 8), (24, 8), (32, 8)),
    ("size_vmcoreinfo", 3, (28, 4), (32, 4), (40, 8)),
    ("offset_note", 4, (32, 8), (40, 8), (48, 8)),
    ("size_note", 4, (40, 4), (48, 4), (56, 8)),
    ("offset_eraseinfo", 5, (44, 8), (56, 8), (64, 8)),
    ("size_eraseinfo", 5, (52, 4), (64, 4), (72, 8)),
    ("start_pfn_64", 6, (56, 8), (72, 8), (80, 8)),
    ("end_pfn_64", 6, (64, 8), (80, 8), (88, 8)),
    ("max_mapnr_64", 6, (72, 8), (88, 8), (96, 8)),
];

pub(super) fn header_field(word: WordSize, name: &str) -> Option<Field> {
    let row = HEADER.iter().find(|row| row.0 == name)?;
    let (offset, width) = match word {
        WordSize::Bits32 => row.1,
        WordSize::Bits64 => row.2,
    };
    Some(Field { offset, width })
}

/// The first version that has this field of the sub-header.
pub(super) fn since(name: &str) -> usize {
    SUB.iter().find(|row| row.0 == name).map_or(0, |row| row.1)
}

/// Where the parts of a built file are (file offsets).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskdumpLayout {
    pub(super) word: WordSize,
    pub(super) sub: SubLayout,
    /// The sub-header.
    pub sub_header: u64,
    /// The notes.
    pub notes: u64,
    /// The bitmap of RAM (the only one, if there is only one).
    pub bitmap1: u64,
    /// The bitmap of stored pages.
    pub bitmap2: u64,
    /// The first page descriptor.
    pub descriptors: u64,
    /// The first byte of the data area, where the shared zero page is.
    pub data: u64,
    /// ERASEINFO, 0 if there is none.
    pub eraseinfo: u64,
    /// The descriptor of each page that this file stores, by PFN.
    pub pages: BTreeMap<u64, u64>,
}

impl DiskdumpLayout {
    /// The field of this name, of the common header (`header_version`,
    /// `tv_sec`, `tv_usec`, `status`, `block_size`, `sub_hdr_size`,
    /// `bitmap_blocks`, `max_mapnr`, `total_ram_blocks`, `device_blocks`,
    /// `written_blocks`, `current_cpu`, `nr_cpus`, `signature`), of the
    /// sub-header (`phys_base`, `dump_level`, `split`, `start_pfn`, `end_pfn`,
    /// `offset_*` and `size_*` of `vmcoreinfo`, `note`, `eraseinfo`,
    /// `start_pfn_64`, `end_pfn_64`, `max_mapnr_64`; also behind the end of an
    /// older version), or of the descriptor of a page in decimal
    /// (`page.5.offset`, `page.5.size`, `page.5.flags`, `page.5.page_flags`).
    ///
    /// # Panics
    /// If there is no field of this name.
    pub fn field(&self, name: &str) -> Field {
        self.find(name).unwrap_or_else(|| panic!("no diskdump field {name}"))
    }

    fn find(&self, name: &str) -> Option<Field> {
        if let Some(page) = name.strip_prefix("page.") {
            let (pfn, name) = page.split_once('.')?;
            let descriptor = *self.pages.get(&pfn.parse().ok()?)?;
            let (at, width) = match name {
                "offset" => (0, 8),
                "size" => (8, 4),
                "flags" => (12, 4),
                "page_flags" => (16, 8),
                _ => return None,
            };
            return Some(Field { offset: descriptor + at, width });
        }
        header_field(self.word, name).or_else(|| {
            let row = SUB.iter().find(|row| row.0 == name)?;
            let (at, width) = match self.sub {
                SubLayout::Packed32 => row.2,
                SubLayout::Aligned32 => row.3,
                SubLayout::Bits64 => row.4,
            };
            Some(Field { offset: self.sub_header + at, width })
        })
    }
}
