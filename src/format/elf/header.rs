//! Headers of ELF files: layout of both classes, decoded at run time.
//!
//! Source: System V ABI, `<elf.h>`. Where ELF32 and ELF64 differ, a field has
//! two places; every field is described once, here.

use alloc::format;

use crate::arch::ByteOrder;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

/// Bytes read for the file header: the larger of both classes.
pub const HEADER_SIZE: usize = 64;

/// The first four bytes of every ELF file.
pub const MAGIC: [u8; 4] = *b"\x7fELF";

/// `EI_CLASS`: width of addresses and offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `ELFCLASS32`.
    Elf32,
    /// `ELFCLASS64`.
    Elf64,
}

impl Class {
    /// Value of attribute `file.description`.
    pub fn description(self) -> &'static str {
        match self {
            Class::Elf32 => "ELF32 dump",
            Class::Elf64 => "ELF64 dump",
        }
    }
}

/// How the numbers of a file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Width of addresses and offsets.
    pub class: Class,
    /// Byte order of the headers.
    pub order: ByteOrder,
}

/// Where a number stands in a header: byte offset and size for each class.
struct Field {
    elf32: (usize, usize),
    elf64: (usize, usize),
}

/// A field whose size is that of an address.
const fn word(elf32: usize, elf64: usize) -> Field {
    Field { elf32: (elf32, 4), elf64: (elf64, 8) }
}

/// A 32-bit field.
const fn long(elf32: usize, elf64: usize) -> Field {
    Field { elf32: (elf32, 4), elf64: (elf64, 4) }
}

/// A 16-bit field.
const fn half(elf32: usize, elf64: usize) -> Field {
    Field { elf32: (elf32, 2), elf64: (elf64, 2) }
}

impl Field {
    /// The number; zero if `raw` is too short for it.
    fn get(&self, raw: &[u8], encoding: Encoding) -> u64 {
        let (offset, size) = match encoding.class {
            Class::Elf32 => self.elf32,
            Class::Elf64 => self.elf64,
        };
        raw.get(offset..offset + size).map_or(0, |bytes| encoding.order.uint(bytes))
    }
}

/// `EI_CLASS`: index of the class in `e_ident`.
const EI_CLASS: usize = 4;
/// `EI_DATA`: index of the byte order in `e_ident`.
const EI_DATA: usize = 5;
/// `e_type`: what kind of file this is.
const E_TYPE: Field = half(16, 16);
/// `e_machine`: the architecture.
const E_MACHINE: Field = half(18, 18);
/// `e_version`: version of the format.
const E_VERSION: Field = long(20, 20);
/// `e_phoff`: byte position of the program headers.
const E_PHOFF: Field = word(28, 32);
/// `e_shoff`: byte position of the section headers.
const E_SHOFF: Field = word(32, 40);
/// `e_phentsize`: bytes from one program header to the next.
const E_PHENTSIZE: Field = half(42, 54);
/// `e_phnum`: number of program headers, or [`PN_XNUM`].
const E_PHNUM: Field = half(44, 56);
/// `e_shentsize`: bytes from one section header to the next.
const E_SHENTSIZE: Field = half(46, 58);
/// `e_shnum`: number of section headers, or 0 for "see section 0".
const E_SHNUM: Field = half(48, 60);
/// `e_shstrndx`: index of the section that holds the names of all sections.
const E_SHSTRNDX: Field = half(50, 62);

/// `ET_CORE`: value of `e_type` in a dump.
const ET_CORE: u64 = 4;
/// `EV_CURRENT`: value of `e_version`.
const EV_CURRENT: u64 = 1;
/// `PN_XNUM`: `sh_info` of section 0 has the number of program headers.
const PN_XNUM: u64 = 0xffff;
/// `SHN_XINDEX`: `sh_link` of section 0 has the index.
const SHN_XINDEX: u64 = 0xffff;

/// `p_type`: what the segment is.
const P_TYPE: Field = long(0, 0);
/// `p_offset`: byte position of its contents.
const P_OFFSET: Field = word(4, 8);
/// `p_vaddr`: its first virtual address.
const P_VADDR: Field = word(8, 16);
/// `p_paddr`: its first physical address.
const P_PADDR: Field = word(12, 24);
/// `p_filesz`: bytes in the file.
const P_FILESZ: Field = word(16, 32);
/// `p_memsz`: bytes in memory.
const P_MEMSZ: Field = word(20, 40);

/// `sh_name`: offset of the name within the string table.
const SH_NAME: Field = long(0, 0);
/// `sh_offset`: byte position of the contents.
const SH_OFFSET: Field = word(16, 24);
/// `sh_size`: bytes of the contents.
const SH_SIZE: Field = word(20, 32);
/// `sh_link`: index of a related section.
const SH_LINK: Field = long(24, 40);
/// `sh_info`: further information.
const SH_INFO: Field = long(28, 44);

/// What the file header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How numbers are stored.
    pub encoding: Encoding,
    /// `e_machine`.
    pub machine: u16,
    /// The table of program headers.
    pub segments: Table,
    /// The table of section headers; empty if there is none.
    pub sections: Table,
    /// Index of the section with the names of sections; 0 if there is none.
    pub names: u64,
}

/// A table of headers. Its entries may be longer than a header, and its end
/// may lie behind the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Byte position of the first entry.
    pub offset: u64,
    /// Bytes from one entry to the next.
    pub stride: u16,
    /// Number of entries.
    pub count: u64,
}

/// A program header, if it is of a kind that matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramHeader {
    /// `PT_LOAD`: memory.
    Load(Segment),
    /// `PT_NOTE`: notes in `size` bytes at `offset` of the file.
    Note {
        /// Byte position.
        offset: u64,
        /// Bytes in the file.
        size: u64,
    },
}

/// A `PT_LOAD` segment: what part of memory it is, and where it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Byte position of its contents; of no meaning if nothing is stored.
    pub offset: u64,
    /// Bytes in the file.
    pub file_size: u64,
    /// First virtual address.
    pub virt: u64,
    /// First physical address, if it has one.
    pub phys: Option<u64>,
    /// Bytes in memory.
    pub mem_size: u64,
}

/// A section header: the fields that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Offset of the name within the string table.
    pub name: u32,
    /// Byte position of the contents.
    pub offset: u64,
    /// Bytes of the contents.
    pub size: u64,
    /// Index of a related section.
    link: u32,
    /// Further information.
    info: u32,
}

/// The byte order that `e_ident` names.
///
/// # Errors
/// `NotImplemented` (`Unsupported ELF data format: <number>`).
pub fn byte_order(raw: &[u8; HEADER_SIZE]) -> Result<ByteOrder> {
    match raw[EI_DATA] {
        1 => Ok(ByteOrder::Little),
        2 => Ok(ByteOrder::Big),
        other => Err(Error::not_implemented(format!("Unsupported ELF data format: {other}"))),
    }
}

/// How the numbers of a core file are stored.
///
/// # Errors
/// `NotImplemented` (`Unsupported ELF class: <number>`), also for a file that
/// is no core file or of another version of ELF.
pub fn encoding(raw: &[u8; HEADER_SIZE], order: ByteOrder) -> Result<Encoding> {
    let class = match raw[EI_CLASS] {
        1 => Some(Class::Elf32),
        2 => Some(Class::Elf64),
        _ => None,
    };
    class
        .map(|class| Encoding { class, order })
        .filter(|encoding| E_TYPE.get(raw, *encoding) == ET_CORE)
        .filter(|encoding| E_VERSION.get(raw, *encoding) == EV_CURRENT)
        .ok_or_else(|| Error::not_implemented(format!("Unsupported ELF class: {}", raw[EI_CLASS])))
}

impl Header {
    /// Decodes the file header, and what section 0 has to say about numbers
    /// that do not fit into it.
    ///
    /// # Errors
    /// `Cannot read ELF section header #0 at <position>`; `Corrupt` for tables
    /// whose entries are too small for a header.
    pub fn read(files: &FileSet, raw: &[u8; HEADER_SIZE], encoding: Encoding) -> Result<Header> {
        let field = |field: &Field| field.get(raw, encoding);
        // 16-bit fields fit.
        let stride = |size: &Field| size.get(raw, encoding) as u16;
        let mut header = Header {
            encoding,
            machine: field(&E_MACHINE) as u16,
            segments: Table { offset: field(&E_PHOFF), stride: stride(&E_PHENTSIZE), count: field(&E_PHNUM) },
            sections: Table { offset: field(&E_SHOFF), stride: stride(&E_SHENTSIZE), count: 0 },
            names: 0,
        };
        if header.sections.offset != 0 {
            header.sections.count = field(&E_SHNUM);
            header.names = field(&E_SHSTRNDX);
            header.resolve_through_section_0(files)?;
        }
        header.segments.check("program", Segment::size(encoding))?;
        header.sections.check("section", Section::size(encoding))?;
        Ok(header)
    }

    fn resolve_through_section_0(&mut self, files: &FileSet) -> Result<()> {
        let many_segments = self.segments.count == PN_XNUM;
        let many_sections = self.sections.count == 0;
        let far_names = self.names == SHN_XINDEX;
        if !many_segments && !many_sections && !far_names {
            return Ok(());
        }
        let Some(first) = self.section(files, 0)? else { return Ok(()) };
        if many_sections {
            self.sections.count = first.size;
        }
        if many_segments && self.sections.count > 0 {
            self.segments.count = first.info.into();
        }
        if far_names {
            self.names = first.link.into();
        }
        Ok(())
    }

    /// Section header `index`; `None` if it starts behind the end of the file.
    ///
    /// # Errors
    /// `Cannot read ELF section header #<index> at <position>`.
    pub fn section(&self, files: &FileSet, index: u64) -> Result<Option<Section>> {
        let Some(position) = self.sections.position(files, index) else { return Ok(None) };
        let mut raw = [0; HEADER_SIZE];
        let raw = &mut raw[..Section::size(self.encoding)];
        files
            .read(0, position, raw)
            .context(|| format!("Cannot read ELF section header #{index} at {position}"))?;
        Ok(Some(Section::new(raw, self.encoding)))
    }
}

impl Segment {
    /// Bytes of a program header.
    fn size(encoding: Encoding) -> usize {
        match encoding.class {
            Class::Elf32 => 32,
            Class::Elf64 => 56,
        }
    }
}

impl ProgramHeader {
    /// `PT_LOAD`.
    const LOAD: u64 = 1;
    /// `PT_NOTE`.
    const NOTE: u64 = 4;

    /// Decodes a program header; `None` if it is of another kind.
    fn new(raw: &[u8], encoding: Encoding) -> Option<ProgramHeader> {
        let field = |field: &Field| field.get(raw, encoding);
        match field(&P_TYPE) {
            Self::LOAD => {
                // All ones, in the width of the class: no physical address.
                let none = match encoding.class {
                    Class::Elf32 => u32::MAX.into(),
                    Class::Elf64 => u64::MAX,
                };
                Some(ProgramHeader::Load(Segment {
                    offset: field(&P_OFFSET),
                    file_size: field(&P_FILESZ),
                    virt: field(&P_VADDR),
                    phys: Some(field(&P_PADDR)).filter(|address| *address != none),
                    mem_size: field(&P_MEMSZ),
                }))
            }
            Self::NOTE => Some(ProgramHeader::Note { offset: field(&P_OFFSET), size: field(&P_FILESZ) }),
            _ => None,
        }
    }

    /// Calls `found` for each `PT_LOAD` and `PT_NOTE` header, in file order.
    ///
    /// # Errors
    /// `Cannot read ELF program header #<index> at <position>`; `System` (`Too
    /// many program headers (<count>)`), because leaving some out would hide pages.
    pub fn for_each(
        files: &FileSet,
        header: &Header,
        mut found: impl FnMut(ProgramHeader) -> Result<()>,
    ) -> Result<()> {
        let stored = header.segments.stored(files);
        if stored.saturating_mul(header.segments.stride.into()) > MOST_SEGMENT_BYTES {
            return Err(Error::system(format!("Too many program headers ({})", header.segments.count)));
        }
        header.segments.for_each(files, "program", stored, |raw| {
            ProgramHeader::new(raw, header.encoding).map_or(Ok(()), &mut found)
        })
    }
}

impl Section {
    /// Bytes of a section header.
    fn size(encoding: Encoding) -> usize {
        match encoding.class {
            Class::Elf32 => 40,
            Class::Elf64 => 64,
        }
    }

    fn new(raw: &[u8], encoding: Encoding) -> Section {
        let field = |field: &Field| field.get(raw, encoding);
        Section {
            name: field(&SH_NAME) as u32,
            offset: field(&SH_OFFSET),
            size: field(&SH_SIZE),
            link: field(&SH_LINK) as u32,
            info: field(&SH_INFO) as u32,
        }
    }

    /// Calls `found` for each section header, in file order.
    ///
    /// # Errors
    /// `Cannot read ELF section header #<index> at <position>`, and those of `found`.
    pub fn for_each(
        files: &FileSet,
        header: &Header,
        mut found: impl FnMut(Section) -> Result<()>,
    ) -> Result<()> {
        let stored = header.sections.stored(files).min(MOST_SECTIONS);
        header.sections.for_each(files, "section", stored, |raw| found(Section::new(raw, header.encoding)))
    }
}

/// Bytes of program headers that are read, at most (19 million of ELF64). A
/// sparse or flattened file can hold more zeroes than anybody has time to wait
/// for; real dumps of many terabytes have some 10^6 segments.
const MOST_SEGMENT_BYTES: u64 = 1 << 30;
/// Sections that are looked at, at most; dumps have a dozen.
const MOST_SECTIONS: u64 = 1 << 20;

/// Bytes of headers that are read in one go.
const CHUNK: usize = 1 << 16;

impl Table {
    /// # Errors
    /// `Corrupt` if entries of a table that is not empty are too small.
    fn check(&self, what: &str, size: usize) -> Result<()> {
        if self.count > 0 && usize::from(self.stride) < size {
            return Err(Error::corrupt(format!("Invalid size of ELF {what} headers: {}", self.stride)));
        }
        Ok(())
    }

    /// Byte position of an entry; `None` if it starts behind the end of the
    /// file and is all zeroes thereby.
    fn position(&self, files: &FileSet, index: u64) -> Option<u64> {
        let position = index.checked_mul(self.stride.into())?.checked_add(self.offset)?;
        (position < files.len(0).unwrap_or(u64::MAX)).then_some(position)
    }

    /// Number of entries that start within the file.
    fn stored(&self, files: &FileSet) -> u64 {
        let space = files.len(0).unwrap_or(u64::MAX).saturating_sub(self.offset);
        space.div_ceil(u64::from(self.stride).max(1)).min(self.count)
    }

    /// Calls `found` with the bytes of each of the first `stored` entries.
    fn for_each(
        &self,
        files: &FileSet,
        what: &str,
        stored: u64,
        mut found: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let stride = usize::from(self.stride);
        if stored == 0 || stride == 0 {
            return Ok(());
        }
        let mut buffer = alloc::vec![0; CHUNK.max(stride) / stride * stride];
        let per_chunk = (buffer.len() / stride) as u64;
        let mut index = 0;
        while index < stored {
            let Some(position) = self.position(files, index) else { break };
            // What is behind the end is zero and says nothing, and where the
            // length is unknown there may be a lot of it.
            if files.len(0).is_none() && files.ends_before(0, position)? {
                break;
            }
            let count = per_chunk.min(stored - index);
            let chunk = &mut buffer[..count as usize * stride];
            if let Err(error) = files.read(0, position, chunk) {
                if count > 1 {
                    // Find the entry that cannot be read.
                    for single in index..index + count {
                        let Some(position) = self.position(files, single) else { break };
                        let entry = &mut buffer[..stride];
                        files.read(0, position, entry).context(|| unreadable(what, single, position))?;
                        found(entry)?;
                    }
                    index += count;
                    continue;
                }
                return Err(error.context(unreadable(what, index, position)));
            }
            chunk.chunks_exact(stride).try_for_each(&mut found)?;
            index += count;
        }
        Ok(())
    }
}

fn unreadable(what: &str, index: u64, position: u64) -> alloc::string::String {
    format!("Cannot read ELF {what} header #{index} at {position}")
}
