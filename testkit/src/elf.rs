//! ELF core files of either class and byte order, correct or lying.
//!
//! By default the file is laid out as: ELF header, program headers, section
//! headers, data of the segments, data of the sections. Every table and every
//! piece of data can be placed elsewhere, and every header field can be
//! overwritten afterwards by [`ElfBuilder::patch`]. Field offsets follow the
//! System V ABI, chapter "Object files".

use crate::arch::Arch;
use crate::endian::{ByteOrder, Bytes, Field};

/// `PT_LOAD`.
pub const PT_LOAD: u32 = 1;
/// `PT_NOTE`.
pub const PT_NOTE: u32 = 4;
/// `ET_CORE`.
pub const ET_CORE: u16 = 4;
/// `PN_XNUM`: the number of program headers is in section 0.
pub const PN_XNUM: u64 = 0xffff;
/// `SHN_XINDEX`: the index of the string table is in section 0.
pub const SHN_XINDEX: u64 = 0xffff;

/// ELF class: the width of offsets and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `ELFCLASS32`
    Elf32,
    /// `ELFCLASS64`
    Elf64,
}

impl Class {
    /// Both classes.
    pub const ALL: [Class; 2] = [Class::Elf32, Class::Elf64];

    fn pick<T>(self, elf32: T, elf64: T) -> T {
        match self {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        }
    }

    /// Size of the ELF header in bytes.
    pub fn ehdr_size(self) -> usize {
        self.pick(52, 64)
    }

    /// Size of a program header in bytes.
    pub fn phdr_size(self) -> usize {
        self.pick(32, 56)
    }

    /// Size of a section header in bytes.
    pub fn shdr_size(self) -> usize {
        self.pick(40, 64)
    }
}

/// (name, offset and width in ELF32, offset and width in ELF64)
type FieldRow = (&'static str, (u64, usize), (u64, usize));

const EHDR: [FieldRow; 18] = [
    ("ei_class", (4, 1), (4, 1)),
    ("ei_data", (5, 1), (5, 1)),
    ("ei_version", (6, 1), (6, 1)),
    ("ei_osabi", (7, 1), (7, 1)),
    ("e_type", (16, 2), (16, 2)),
    ("e_machine", (18, 2), (18, 2)),
    ("e_version", (20, 4), (20, 4)),
    ("e_entry", (24, 4), (24, 8)),
    ("e_phoff", (28, 4), (32, 8)),
    ("e_shoff", (32, 4), (40, 8)),
    ("e_flags", (36, 4), (48, 4)),
    ("e_ehsize", (40, 2), (52, 2)),
    ("e_phentsize", (42, 2), (54, 2)),
    ("e_phnum", (44, 2), (56, 2)),
    ("e_shentsize", (46, 2), (58, 2)),
    ("e_shnum", (48, 2), (60, 2)),
    ("e_shstrndx", (50, 2), (62, 2)),
    ("ei_magic", (0, 4), (0, 4)),
];

const PHDR: [FieldRow; 8] = [
    ("p_type", (0, 4), (0, 4)),
    ("p_offset", (4, 4), (8, 8)),
    ("p_vaddr", (8, 4), (16, 8)),
    ("p_paddr", (12, 4), (24, 8)),
    ("p_filesz", (16, 4), (32, 8)),
    ("p_memsz", (20, 4), (40, 8)),
    ("p_flags", (24, 4), (4, 4)),
    ("p_align", (28, 4), (48, 8)),
];

const SHDR: [FieldRow; 10] = [
    ("sh_name", (0, 4), (0, 4)),
    ("sh_type", (4, 4), (4, 4)),
    ("sh_flags", (8, 4), (8, 8)),
    ("sh_addr", (12, 4), (16, 8)),
    ("sh_offset", (16, 4), (24, 8)),
    ("sh_size", (20, 4), (32, 8)),
    ("sh_link", (24, 4), (40, 4)),
    ("sh_info", (28, 4), (44, 4)),
    ("sh_addralign", (32, 4), (48, 8)),
    ("sh_entsize", (36, 4), (56, 8)),
];

fn field(rows: &[FieldRow], class: Class, base: u64, name: &str) -> Option<Field> {
    let row = rows.iter().find(|row| row.0 == name)?;
    let (offset, width) = class.pick(row.1, row.2);
    Some(Field { offset: base + offset, width })
}

/// Where a table or a piece of data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Place {
    /// In the usual order, see the [module](self).
    #[default]
    Auto,
    /// Behind everything else.
    End,
    /// At this file offset, whatever else is there (written last).
    At(u64),
}

/// A program header and the bytes it describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    p_type: u32,
    flags: u32,
    vaddr: u64,
    paddr: u64,
    data: Vec<u8>,
    place: Place,
    memsz: Option<u64>,
    filesz: Option<u64>,
    offset: Option<u64>,
    align: u64,
}

impl Segment {
    /// A `PT_LOAD` segment: `data` at physical address `paddr`, `p_vaddr` 0.
    pub fn load(paddr: u64, data: impl Into<Vec<u8>>) -> Self {
        Segment { p_type: PT_LOAD, flags: 7, paddr, data: data.into(), ..Self::default() }
    }

    /// A `PT_NOTE` segment.
    pub fn note(data: impl Into<Vec<u8>>) -> Self {
        Segment { p_type: PT_NOTE, data: data.into(), ..Self::default() }
    }

    /// Sets `p_type`.
    pub fn p_type(mut self, p_type: u32) -> Self {
        self.p_type = p_type;
        self
    }

    /// Sets `p_flags`.
    pub fn flags(mut self, flags: u32) -> Self {
        self.flags = flags;
        self
    }

    /// Sets `p_vaddr`.
    pub fn vaddr(mut self, vaddr: u64) -> Self {
        self.vaddr = vaddr;
        self
    }

    /// Sets `p_paddr`; in ELF32 the low 32 bits are stored, so all-ones
    /// (no physical address) is `u64::MAX` in both classes.
    pub fn paddr(mut self, paddr: u64) -> Self {
        self.paddr = paddr;
        self
    }

    /// Sets `p_memsz`; the default is `p_filesz`.
    pub fn memsz(mut self, memsz: u64) -> Self {
        self.memsz = Some(memsz);
        self
    }

    /// Sets `p_filesz`; the default is the length of the data.
    pub fn filesz(mut self, filesz: u64) -> Self {
        self.filesz = Some(filesz);
        self
    }

    /// Sets `p_offset` without moving the data; the default is where they are.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets `p_align` (it does not move the data).
    pub fn align(mut self, align: u64) -> Self {
        self.align = align;
        self
    }

    /// Puts the data somewhere else in the file.
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

/// A section header and the bytes it describes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    name: String,
    sh_type: u32,
    data: Vec<u8>,
    place: Place,
    offset: Option<u64>,
    size: Option<u64>,
    entsize: u64,
}

impl Section {
    /// A section of type `SHT_PROGBITS` (1) with this name.
    pub fn new(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Section { name: name.to_string(), sh_type: 1, data: data.into(), ..Self::default() }
    }

    /// `.xen_pages`: the page contents, one behind the other.
    pub fn xen_pages(data: impl Into<Vec<u8>>) -> Self {
        Self::new(".xen_pages", data)
    }

    /// `.xen_p2m`: pairs of PFN and GMFN.
    pub fn xen_p2m(order: ByteOrder, map: &[(u64, u64)]) -> Self {
        let mut data = Bytes::new(order);
        for &(pfn, gmfn) in map {
            data.push_u64(pfn);
            data.push_u64(gmfn);
        }
        let mut section = Self::new(".xen_p2m", data.into_vec());
        section.entsize = 16;
        section
    }

    /// `.xen_pfn`: PFNs only.
    pub fn xen_pfn(order: ByteOrder, pfns: &[u64]) -> Self {
        let mut data = Bytes::new(order);
        for &pfn in pfns {
            data.push_u64(pfn);
        }
        let mut section = Self::new(".xen_pfn", data.into_vec());
        section.entsize = 8;
        section
    }

    /// `.note.Xen`: ELF notes in a section (`SHT_NOTE`).
    pub fn xen_notes(notes: impl Into<Vec<u8>>) -> Self {
        Self::new(".note.Xen", notes).sh_type(7)
    }

    /// `.xen_prstatus`: vCPU contexts, one behind the other.
    pub fn xen_prstatus(data: impl Into<Vec<u8>>) -> Self {
        Self::new(".xen_prstatus", data)
    }

    /// Sets `sh_type`.
    pub fn sh_type(mut self, sh_type: u32) -> Self {
        self.sh_type = sh_type;
        self
    }

    /// Sets `sh_offset` without moving the data.
    pub fn offset(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// Sets `sh_size`; the default is the length of the data.
    pub fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Puts the data somewhere else in the file.
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }
}

/// Where the parts of a built file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfLayout {
    class: Class,
    phoff: u64,
    shoff: u64,
    phentsize: u64,
    shentsize: u64,
    /// File offset of the data of each segment.
    pub segments: Vec<u64>,
    /// File offset of the data of each section, without section 0 and with
    /// the string table at the end, if there are sections.
    pub sections: Vec<u64>,
}

impl ElfLayout {
    /// The field of this name: `e_phnum`, `ei_data`, ... of the ELF header,
    /// `p3.p_offset` of program header 3, `s0.sh_info` of section header 0.
    ///
    /// # Panics
    /// If there is no field of this name.
    pub fn field(&self, name: &str) -> Field {
        self.find(name).unwrap_or_else(|| panic!("no ELF field {name}"))
    }

    fn find(&self, name: &str) -> Option<Field> {
        let Some((table, name)) = name.split_once('.') else {
            return field(&EHDR, self.class, 0, name);
        };
        let index: u64 = table.get(1..)?.parse().ok()?;
        match table.as_bytes()[0] {
            b'p' => field(&PHDR, self.class, self.phoff + index * self.phentsize, name),
            b's' => field(&SHDR, self.class, self.shoff + index * self.shentsize, name),
            _ => None,
        }
    }
}

/// Builds an ELF file; see the [module](self).
#[derive(Clone, Debug)]
pub struct ElfBuilder {
    class: Class,
    order: ByteOrder,
    machine: u16,
    e_type: u16,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    phdrs: Place,
    shdrs: Place,
    phentsize: usize,
    shentsize: usize,
    extended_phnum: bool,
    extended_shnum: bool,
    extended_strndx: bool,
    string_table: bool,
    unterminated_strings: bool,
    data_align: usize,
    patches: Vec<(String, u64)>,
    truncate: Option<usize>,
}

impl ElfBuilder {
    /// A core file (`ET_CORE`, version 1) without segments.
    pub fn new(class: Class, order: ByteOrder, machine: u16) -> Self {
        ElfBuilder {
            class,
            order,
            machine,
            e_type: ET_CORE,
            segments: Vec::new(),
            sections: Vec::new(),
            phdrs: Place::Auto,
            shdrs: Place::Auto,
            phentsize: class.phdr_size(),
            shentsize: class.shdr_size(),
            extended_phnum: false,
            extended_shnum: false,
            extended_strndx: false,
            string_table: true,
            unterminated_strings: false,
            data_align: 1,
            patches: Vec::new(),
            truncate: None,
        }
    }

    /// A core file in the class and byte order that are usual for `arch`.
    pub fn for_arch(arch: Arch) -> Self {
        let class = if arch.ptr_size() == 8 { Class::Elf64 } else { Class::Elf32 };
        Self::new(class, arch.usual_order(), arch.machine())
    }

    /// The byte order of the file.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// Sets `e_type`.
    pub fn e_type(mut self, e_type: u16) -> Self {
        self.e_type = e_type;
        self
    }

    /// Adds a segment of any type.
    pub fn segment(mut self, segment: Segment) -> Self {
        self.segments.push(segment);
        self
    }

    /// Adds a `PT_LOAD` segment with `p_vaddr` 0.
    pub fn load(self, paddr: u64, data: impl Into<Vec<u8>>) -> Self {
        self.segment(Segment::load(paddr, data))
    }

    /// Adds a `PT_NOTE` segment.
    pub fn note(self, notes: impl Into<Vec<u8>>) -> Self {
        self.segment(Segment::note(notes))
    }

    /// Adds a section; section 0 and the string table come by themselves.
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    /// Places the program headers.
    pub fn phdrs_at(mut self, place: Place) -> Self {
        self.phdrs = place;
        self
    }

    /// Places the section headers.
    pub fn shdrs_at(mut self, place: Place) -> Self {
        self.shdrs = place;
        self
    }

    /// Distance between program headers; may be more than their size.
    pub fn phentsize(mut self, stride: u16) -> Self {
        self.phentsize = stride.into();
        self
    }

    /// Distance between section headers; may be more than their size.
    pub fn shentsize(mut self, stride: u16) -> Self {
        self.shentsize = stride.into();
        self
    }

    /// Stores the number of program headers in section 0 (`PN_XNUM`), even if
    /// there are few.
    pub fn extended_phnum(mut self) -> Self {
        self.extended_phnum = true;
        self
    }

    /// Stores the number of sections in section 0 (`e_shnum` is 0).
    pub fn extended_shnum(mut self) -> Self {
        self.extended_shnum = true;
        self
    }

    /// Stores the index of the string table in section 0 (`SHN_XINDEX`).
    pub fn extended_strndx(mut self) -> Self {
        self.extended_strndx = true;
        self
    }

    /// Leaves out the string table (`e_shstrndx` is 0).
    pub fn without_string_table(mut self) -> Self {
        self.string_table = false;
        self
    }

    /// Leaves out the NUL at the end of the string table.
    pub fn unterminated_strings(mut self) -> Self {
        self.unterminated_strings = true;
        self
    }

    /// Aligns the data of segments and sections in the file (default 1).
    pub fn data_align(mut self, align: usize) -> Self {
        self.data_align = align;
        self
    }

    /// Overwrites a header field in the finished file; for the names see
    /// [`ElfLayout::field`].
    pub fn patch(mut self, field: &str, value: u64) -> Self {
        self.patches.push((field.to_string(), value));
        self
    }

    /// Cuts the finished file off (or extends it with zeros) to `len` bytes.
    pub fn truncate(mut self, len: usize) -> Self {
        self.truncate = Some(len);
        self
    }

    /// The finished file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_layout().0
    }

    /// The finished file and where its parts are.
    ///
    /// # Panics
    /// If a patch names a field that does not exist.
    pub fn build_with_layout(&self) -> (Vec<u8>, ElfLayout) {
        let mut sections = self.sections.clone();
        let names = self.name_offsets(&mut sections);
        let extended = self.extended_phnum
            || self.extended_shnum
            || self.extended_strndx
            || self.segments.len() as u64 >= PN_XNUM;
        let shnum = if sections.is_empty() && !extended { 0 } else { sections.len() + 1 };
        let ph_len = self.segments.len() * self.phentsize;
        let sh_len = shnum * self.shentsize;

        // Whatever is placed automatically goes behind what is there already.
        let mut out = Bytes::new(self.order);
        out.grow(self.class.ehdr_size());
        let reserve = |out: &mut Bytes, place: Place, len: usize, now: Place| match (place, now) {
            (Place::At(at), Place::Auto) => Some(at),
            (place, now) if place == now => {
                let at = out.len();
                out.grow(at + len);
                Some(at as u64)
            }
            _ => None,
        };
        let mut phoff = reserve(&mut out, self.phdrs, ph_len, Place::Auto);
        let mut shoff = reserve(&mut out, self.shdrs, sh_len, Place::Auto);
        let mut blobs: Vec<(Option<u64>, &[u8], Place)> = Vec::new();
        blobs.extend(self.segments.iter().map(|s| (None, s.data.as_slice(), s.place)));
        blobs.extend(sections.iter().map(|s| (None, s.data.as_slice(), s.place)));
        for now in [Place::Auto, Place::End] {
            for (at, data, place) in &mut blobs {
                if *place == now {
                    out.align(self.data_align);
                }
                *at = at.or_else(|| reserve(&mut out, *place, data.len(), now));
            }
        }
        phoff = phoff.or_else(|| reserve(&mut out, self.phdrs, ph_len, Place::End));
        shoff = shoff.or_else(|| reserve(&mut out, self.shdrs, sh_len, Place::End));

        let offsets: Vec<u64> = blobs.iter().map(|blob| blob.0.expect("placed")).collect();
        for ((_, data, _), at) in blobs.iter().zip(&offsets) {
            if !data.is_empty() {
                out.put_bytes(usize::try_from(*at).expect("file offset"), data);
            }
        }
        let (segments, section_offsets) = offsets.split_at(self.segments.len());
        let layout = ElfLayout {
            class: self.class,
            phoff: phoff.expect("placed"),
            shoff: if shnum == 0 { 0 } else { shoff.expect("placed") },
            phentsize: self.phentsize as u64,
            shentsize: self.shentsize as u64,
            segments: segments.to_vec(),
            sections: section_offsets.to_vec(),
        };
        self.write_headers(&mut out, &layout, &sections, &names, shnum);
        let mut out = out.into_vec();
        for (name, value) in &self.patches {
            layout.field(name).put(&mut out, self.order, *value);
        }
        if let Some(len) = self.truncate {
            out.resize(len, 0);
        }
        (out, layout)
    }

    /// Appends the string table section; returns `sh_name` of each section.
    fn name_offsets(&self, sections: &mut Vec<Section>) -> Vec<u64> {
        if sections.is_empty() && !self.extended_strndx {
            return Vec::new();
        }
        if self.string_table {
            sections.push(Section::new(".shstrtab", Vec::new()).sh_type(3));
        }
        let mut table = vec![0];
        let mut offsets = Vec::new();
        for section in sections.iter() {
            offsets.push(table.len() as u64);
            table.extend_from_slice(section.name.as_bytes());
            table.push(0);
        }
        if self.unterminated_strings {
            table.pop();
        }
        if self.string_table {
            sections.last_mut().expect("just pushed").data = table;
        }
        offsets
    }

    fn write_headers(
        &self,
        out: &mut Bytes,
        layout: &ElfLayout,
        sections: &[Section],
        names: &[u64],
        shnum: usize,
    ) {
        let mut put = |name: &str, value: u64| {
            let field = layout.field(name);
            out.put_uint(usize::try_from(field.offset).expect("file offset"), field.width, value);
        };
        let phnum = self.segments.len() as u64;
        let extended_phnum = self.extended_phnum || phnum >= PN_XNUM;
        let strndx = if self.string_table { sections.len() as u64 } else { 0 };
        let class = self.class;
        put("ei_class", class.pick(1, 2));
        put("ei_data", if self.order == ByteOrder::Little { 1 } else { 2 });
        put("ei_version", 1);
        put("e_type", self.e_type.into());
        put("e_machine", self.machine.into());
        put("e_version", 1);
        put("e_phoff", if phnum == 0 { 0 } else { layout.phoff });
        put("e_shoff", layout.shoff);
        put("e_ehsize", class.ehdr_size() as u64);
        put("e_phentsize", self.phentsize as u64);
        put("e_phnum", if extended_phnum { PN_XNUM } else { phnum });
        put("e_shentsize", self.shentsize as u64);
        put("e_shnum", if self.extended_shnum { 0 } else { shnum as u64 });
        put("e_shstrndx", if self.extended_strndx { SHN_XINDEX } else { strndx });
        for (i, segment) in self.segments.iter().enumerate() {
            let mut put = |name: &str, value: u64| put(&format!("p{i}.{name}"), value);
            let filesz = segment.filesz.unwrap_or(segment.data.len() as u64);
            put("p_type", segment.p_type.into());
            put("p_flags", segment.flags.into());
            put("p_offset", segment.offset.unwrap_or(layout.segments[i]));
            put("p_vaddr", segment.vaddr);
            put("p_paddr", segment.paddr);
            put("p_filesz", filesz);
            put("p_memsz", segment.memsz.unwrap_or(filesz));
            put("p_align", segment.align);
        }
        if shnum == 0 {
            out.put_bytes(0, b"\x7fELF");
            return;
        }
        // Section 0 is all zeros but for what did not fit into the ELF header;
        // its last field is written so that the file reaches that far.
        put("s0.sh_size", if self.extended_shnum { shnum as u64 } else { 0 });
        put("s0.sh_link", if self.extended_strndx { strndx } else { 0 });
        put("s0.sh_info", if extended_phnum { phnum } else { 0 });
        put("s0.sh_entsize", 0);
        for (i, section) in sections.iter().enumerate() {
            let mut put = |name: &str, value: u64| put(&format!("s{}.{name}", i + 1), value);
            put("sh_name", names[i]);
            put("sh_type", section.sh_type.into());
            put("sh_offset", section.offset.unwrap_or(layout.sections[i]));
            put("sh_size", section.size.unwrap_or(section.data.len() as u64));
            put("sh_addralign", 1);
            put("sh_entsize", section.entsize);
        }
        out.put_bytes(0, b"\x7fELF");
    }
}

#[cfg(test)]
mod tests;
