//! SADUMP files: one partition, a media backup, or a set of disks; correct or
//! lying. Always little-endian.
//!
//! | file | content |
//! | --- | --- |
//! | partition | partition header (1 block), dump, pages |
//! | backup | media header (4096 bytes), the same |
//! | disk 1 of a set | partition header, disk set header, dump, pages |
//! | other disks | partition header, pages |
//!
//! "Dump" is: dump header (1 block), CPU states, bitmap of memory, bitmap of
//! pages. Every field can be overwritten afterwards by [`SadumpBuilder::patch`].

use std::collections::{BTreeMap, BTreeSet};

use crate::endian::{ByteOrder, Bytes, Field};

/// Size of a page in bytes.
pub const PAGE: usize = 4096;
/// Size of a media header in bytes.
pub const MEDIA: usize = 4096;
/// Size of a CPU state in bytes.
pub const STATE: usize = 1024;

const ORDER: ByteOrder = ByteOrder::Little;

/// What kind of files are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variant {
    /// One partition of one disk.
    Single,
    /// A copy of that on other media.
    Media,
    /// Disks, with so many pages on each of them but the last one, which has
    /// the rest.
    Set(Vec<usize>),
}

/// The state of a CPU, as it is saved in SMRAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmramState(Vec<u8>);

/// Name, offset and width of what is not reserved.
#[rustfmt::skip]
pub const STATE_FIELDS: [(&str, usize, usize); 52] = [
    ("gdt_hi", 0x1d0, 4), ("ldt_hi", 0x1d4, 4), ("idt_hi", 0x1d8, 4), ("io_eip", 0x1e8, 8), ("cr4", 0x240, 4),
    ("gdt_lo", 0x28c, 4), ("gdt_limit", 0x290, 4), ("idt_lo", 0x294, 4), ("idt_limit", 0x298, 4),
    ("ldt_lo", 0x29c, 4), ("ldt_limit", 0x2a0, 4), ("ldt_info", 0x2a4, 4), ("eptp", 0x2d8, 8),
    ("eptp_setting", 0x2e0, 4), ("smbase", 0x2f8, 4), ("smm_revision_id", 0x2fc, 4),
    ("io_instruction_restart", 0x300, 2), ("auto_halt_restart", 0x302, 2),
    ("r15", 0x31c, 8), ("r14", 0x324, 8), ("r13", 0x32c, 8), ("r12", 0x334, 8), ("r11", 0x33c, 8),
    ("r10", 0x344, 8), ("r9", 0x34c, 8), ("r8", 0x354, 8), ("rax", 0x35c, 8), ("rcx", 0x364, 8),
    ("rdx", 0x36c, 8), ("rbx", 0x374, 8), ("rsp", 0x37c, 8), ("rbp", 0x384, 8), ("rsi", 0x38c, 8),
    ("rdi", 0x394, 8), ("io_mem_addr", 0x39c, 8), ("io_misc", 0x3a4, 4), ("es", 0x3a8, 4), ("cs", 0x3ac, 4),
    ("ss", 0x3b0, 4), ("ds", 0x3b4, 4), ("fs", 0x3b8, 4), ("gs", 0x3bc, 4), ("ldtr", 0x3c0, 4), ("tr", 0x3c4, 4),
    ("dr7", 0x3c8, 8), ("dr6", 0x3d0, 8), ("rip", 0x3d8, 8), ("ia32_efer", 0x3e0, 8), ("rflags", 0x3e8, 8),
    ("cr3", 0x3f0, 8), ("cr0", 0x3f8, 8), ("end", 0x400, 0),
];

impl SmramState {
    /// Nothing but zeros: a CPU that is not there.
    pub fn unused() -> Self {
        SmramState(vec![0; STATE])
    }

    /// A CPU in long mode (or not), each of whose fields has a value of its own.
    pub fn distinct(seed: u64, long_mode: bool) -> Self {
        let mut state = Self::unused();
        for (number, (name, _, width)) in STATE_FIELDS.into_iter().enumerate() {
            let value = (seed + 1).wrapping_mul(0x0101_0101_0101_0101).wrapping_mul(number as u64 + 3);
            if width > 0 {
                state = state.set(name, value);
            }
        }
        let efer = if long_mode { 0xd01 } else { 0x801 };
        state.set("ia32_efer", efer)
    }

    /// Sets a field.
    ///
    /// # Panics
    /// For a name that is not one of [`STATE_FIELDS`].
    pub fn set(mut self, name: &str, value: u64) -> Self {
        let (_, at, width) = Self::field(name);
        self.0[at..at + width].copy_from_slice(&ORDER.uint(width, value));
        self
    }

    /// The value of a field.
    ///
    /// # Panics
    /// For a name that is not one of [`STATE_FIELDS`].
    pub fn get(&self, name: &str) -> u64 {
        let (_, at, width) = Self::field(name);
        ORDER.value(&self.0[at..at + width])
    }

    fn field(name: &str) -> (&'static str, usize, usize) {
        STATE_FIELDS.into_iter().find(|field| field.0 == name).unwrap_or_else(|| panic!("no field {name}"))
    }

    /// Sets a byte anywhere.
    pub fn byte(mut self, at: usize, value: u8) -> Self {
        self.0[at] = value;
        self
    }

    /// The bytes of the state.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Where the parts of one file are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SadumpLayout {
    fields: BTreeMap<String, Field>,
    /// Position of the partition header.
    pub partition: usize,
    /// Position of the dump header, if this is disk 1.
    pub dump_header: usize,
    /// Position of the bitmap of memory, if this is disk 1.
    pub ram_bitmap: usize,
    /// Position of the bitmap of pages, if this is disk 1.
    pub page_bitmap: usize,
    /// Position of the first page.
    pub pages: usize,
}

impl SadumpLayout {
    /// A field of the headers: of the partition header `signature0`,
    /// `signature1`, `sadump_id`, `disk_set_id`, `vol_id`, `time_stamp` (their
    /// first 8 bytes), `set_disk_set`, `used_device`, `magic` (the second of
    /// the numbers); of the media header `media.sadump_id`,
    /// `media.disk_set_id`, `media.time_stamp`; of the disk set
    /// `disk_set_header_size`, `disk_num`, `vol_info.<n>`; of the dump header
    /// `header_version`, `block_size`, `sub_hdr_size`, `bitmap_blocks`,
    /// `dumpable_bitmap_blocks`, `max_mapnr`, `nr_cpus`, `max_mapnr_64`; of the
    /// CPU states `cpu_total`.
    ///
    /// # Panics
    /// If the file has no such field.
    pub fn field(&self, name: &str) -> Field {
        *self.fields.get(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    /// All fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Field)> {
        self.fields.iter().map(|(name, field)| (name.as_str(), *field))
    }

    fn note(&mut self, name: impl Into<String>, offset: usize, width: usize) {
        self.fields.insert(name.into(), Field { offset: offset as u64, width });
    }
}

/// Builds the files of a dump; see the [module](self).
#[derive(Clone, Debug)]
pub struct SadumpBuilder {
    variant: Variant,
    block_size: usize,
    version: u32,
    seed: u32,
    pages: BTreeMap<u64, Vec<u8>>,
    ram: BTreeSet<u64>,
    max_mapnr: Option<u64>,
    ram_blocks: Option<usize>,
    cpus: Vec<SmramState>,
    stride: usize,
    volumes_from_disk_1: bool,
    set_blocks: u32,
    patches: Vec<(usize, String, u64)>,
}

impl SadumpBuilder {
    /// No pages, one CPU in long mode, header version 1, blocks of 4096 bytes.
    pub fn new(variant: Variant) -> Self {
        SadumpBuilder {
            variant,
            block_size: 4096,
            version: 1,
            seed: 0x1234_5678,
            pages: BTreeMap::new(),
            ram: BTreeSet::new(),
            max_mapnr: None,
            ram_blocks: None,
            cpus: vec![SmramState::distinct(0, true)],
            stride: STATE,
            volumes_from_disk_1: false,
            set_blocks: 1,
            patches: Vec::new(),
        }
    }

    /// Sets the block size in bytes.
    pub fn block_size(mut self, bytes: usize) -> Self {
        self.block_size = bytes;
        self
    }

    /// Sets the version of the dump header; from 1 on the number of pages has
    /// 64 bits.
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Sets the first number of the row that fills the partition header.
    pub fn magic_seed(mut self, seed: u32) -> Self {
        self.seed = seed;
        self
    }

    /// Stores pages; they are memory as well.
    ///
    /// # Panics
    /// For a page that does not have [`PAGE`] bytes.
    pub fn pages(mut self, pages: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Self {
        for (pfn, bytes) in pages {
            assert_eq!(bytes.len(), PAGE, "page {pfn:#x}");
            self.pages.insert(pfn, bytes);
        }
        self
    }

    /// Declares pages that are memory and not stored.
    pub fn ram(mut self, pfns: impl IntoIterator<Item = u64>) -> Self {
        self.ram.extend(pfns);
        self
    }

    /// Sets one above the highest PFN; the default is that of the pages.
    pub fn max_mapnr(mut self, limit: u64) -> Self {
        self.max_mapnr = Some(limit);
        self
    }

    /// Sets the blocks of the bitmap of memory, which is cut off there; by
    /// default there are as many as of the bitmap of pages.
    pub fn ram_blocks(mut self, blocks: usize) -> Self {
        self.ram_blocks = Some(blocks);
        self
    }

    /// Sets the states of all CPUs.
    pub fn cpus(mut self, cpus: impl IntoIterator<Item = SmramState>) -> Self {
        self.cpus = cpus.into_iter().collect();
        self
    }

    /// Sets the bytes from one CPU state to the next.
    pub fn cpu_stride(mut self, bytes: usize) -> Self {
        self.stride = bytes;
        self
    }

    /// Lists the volume of disk 1 as well, as the reference reads the table;
    /// real dumps list the other disks only.
    pub fn volumes_from_disk_1(mut self) -> Self {
        self.volumes_from_disk_1 = true;
        self
    }

    /// Sets the number of blocks of the disk set header.
    pub fn set_blocks(mut self, blocks: u32) -> Self {
        self.set_blocks = blocks;
        self
    }

    /// Overwrites a field of file `file` (the disk's number less 1); for the
    /// names see [`SadumpLayout::field`].
    pub fn patch(mut self, file: usize, field: &str, value: u64) -> Self {
        self.patches.push((file, field.to_string(), value));
        self
    }

    /// The only file.
    ///
    /// # Panics
    /// If there are several.
    pub fn build(&self) -> Vec<u8> {
        let [file] = <[_; 1]>::try_from(self.build_set()).expect("one file");
        file
    }

    /// All files, by the number of the disk.
    pub fn build_set(&self) -> Vec<Vec<u8>> {
        self.build_with_layout().into_iter().map(|(file, _)| file).collect()
    }

    /// All files and where their parts are.
    ///
    /// # Panics
    /// If a patch names a field or a file that does not exist.
    pub fn build_with_layout(&self) -> Vec<(Vec<u8>, SadumpLayout)> {
        let mut counts = match &self.variant {
            Variant::Set(counts) => counts.clone(),
            Variant::Single | Variant::Media => Vec::new(),
        };
        counts.push(usize::MAX);
        let mut pages = self.pages.values();
        let mut files: Vec<_> = (0..counts.len())
            .map(|index| {
                let (mut out, mut layout) = self.headers(index, counts.len());
                layout.pages = out.len();
                pages.by_ref().take(counts[index]).for_each(|page| _ = out.push_bytes(page));
                let used = out.len() - layout.partition;
                layout.field("used_device").put_in(&mut out, used as u64);
                (out.into_vec(), layout)
            })
            .collect();
        for (file, name, value) in &self.patches {
            let (bytes, layout) = &mut files[*file];
            layout.field(name).put(bytes, ORDER, *value);
        }
        files
    }

    fn guid(of: u8) -> [u8; 16] {
        std::array::from_fn(|i| of.wrapping_add(i as u8 * 7))
    }

    fn headers(&self, index: usize, count: usize) -> (Bytes, SadumpLayout) {
        let mut out = Bytes::new(ORDER);
        let mut layout = SadumpLayout::default();
        let (id, set, time) = (Self::guid(0x11), Self::guid(0x55), Self::guid(0xe0));
        if self.variant == Variant::Media {
            out.put_bytes(0, &id).put_bytes(16, &set).put_bytes(32, &time).put_u8(48, 1).grow(MEDIA);
            for (name, at) in [("sadump_id", 0), ("disk_set_id", 16), ("time_stamp", 32)] {
                layout.note(format!("media.{name}"), at, 8);
            }
        }
        let start = out.len();
        let block = self.block_size;
        let in_set = matches!(self.variant, Variant::Set(_));
        layout.partition = start;
        out.put_u32(start, 0x7564_6173).put_u32(start + 4, 0x706d).put_u32(start + 8, 1);
        out.put_bytes(start + 88, &id).put_bytes(start + 104, &set);
        out.put_bytes(start + 120, &Self::guid(0x80 + index as u8)).put_bytes(start + 136, &time);
        out.put_u32(start + 152, if in_set { index as u32 + 1 } else { 0 });
        let mut number = self.seed;
        for at in (start + 168..start + block).step_by(4) {
            out.put_u32(at, number);
            number = number.wrapping_add(7).wrapping_mul(11);
        }
        out.grow(start + block);
        for (name, at, width) in [
            ("signature0", 0, 4),
            ("signature1", 4, 4),
            ("sadump_id", 88, 8),
            ("disk_set_id", 104, 8),
            ("vol_id", 120, 8),
            ("time_stamp", 136, 8),
            ("set_disk_set", 152, 4),
            ("used_device", 160, 8),
            ("magic", 172, 4),
        ] {
            layout.note(name, start + at, width);
        }
        if index > 0 {
            return (out, layout);
        }
        if in_set {
            self.disk_set(&mut out, &mut layout, count);
        }
        self.dump(&mut out, &mut layout);
        (out, layout)
    }

    fn disk_set(&self, out: &mut Bytes, layout: &mut SadumpLayout, count: usize) {
        let at = out.len();
        out.put_u32(at, self.set_blocks).put_u32(at + 4, count as u32);
        layout.note("disk_set_header_size", at, 4);
        layout.note("disk_num", at + 4, 4);
        let first = usize::from(!self.volumes_from_disk_1);
        for (entry, disk) in (first..count).enumerate() {
            out.put_bytes(at + 16 + 32 * entry, &Self::guid(0x80 + disk as u8));
            layout.note(format!("vol_info.{entry}"), at + 16 + 32 * entry, 8);
        }
        out.grow(at + self.set_blocks as usize * self.block_size);
    }

    fn dump(&self, out: &mut Bytes, layout: &mut SadumpLayout) {
        let (at, block) = (out.len(), self.block_size);
        layout.dump_header = at;
        let top = self.pages.keys().chain(&self.ram).max().map_or(0, |pfn| pfn + 1);
        let limit = self.max_mapnr.unwrap_or(top);
        let bitmap_blocks = (top as usize).div_ceil(8).div_ceil(block).max(1);
        let ram_blocks = self.ram_blocks.unwrap_or(bitmap_blocks);
        let cpu_bytes = 4 + self.cpus.len() * (16 + self.stride);
        let sub_blocks = cpu_bytes.div_ceil(block);
        out.put_bytes(at, b"sadump\0\0");
        for (name, offset, width, value) in [
            ("header_version", 8, 4, self.version.into()),
            ("block_size", 40, 4, block as u64),
            ("sub_hdr_size", 48, 4, sub_blocks as u64),
            ("bitmap_blocks", 52, 4, ram_blocks as u64),
            ("dumpable_bitmap_blocks", 56, 4, bitmap_blocks as u64),
            // Only one of the two counts.
            ("max_mapnr", 60, 4, if self.version == 0 { limit } else { 0 }),
            ("nr_cpus", 80, 4, self.cpus.len() as u64),
            ("max_mapnr_64", 88, 8, if self.version == 0 { 0 } else { limit }),
        ] {
            out.put_uint(at + offset, width, value);
            layout.note(name, at + offset, width);
        }

        let sub = at + block;
        out.put_u32(sub, (self.cpus.len() * self.stride) as u32);
        layout.note("cpu_total", sub, 4);
        for (number, state) in self.cpus.iter().enumerate() {
            // Every other number, as with one thread a core.
            out.put_u64(sub + 4 + 16 * number, 2 * number as u64);
            let states = sub + 4 + 16 * self.cpus.len();
            out.put_bytes(states + self.stride * number, state.bytes());
        }
        layout.ram_bitmap = sub + sub_blocks * block;
        layout.page_bitmap = layout.ram_bitmap + ram_blocks * block;
        out.grow(layout.page_bitmap + bitmap_blocks * block);
        let mut bits = vec![0; bitmap_blocks * block];
        let set = |bits: &mut [u8], pfn: u64| bits[(pfn / 8) as usize] |= 0x80 >> (pfn % 8);
        self.pages.keys().for_each(|pfn| set(&mut bits, *pfn));
        out.put_bytes(layout.page_bitmap, &bits);
        self.ram.iter().for_each(|pfn| set(&mut bits, *pfn));
        bits.resize(ram_blocks * block, 0);
        out.put_bytes(layout.ram_bitmap, &bits);
    }
}

impl Field {
    fn put_in(self, out: &mut Bytes, value: u64) {
        let at = usize::try_from(self.offset).expect("field offset");
        out.put_uint(at, self.width, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::page_bytes;

    #[test]
    fn a_partition_has_its_parts_one_behind_the_other() {
        let builder = SadumpBuilder::new(Variant::Single).pages([(1, page_bytes(1)), (8, page_bytes(8))]);
        let (file, layout) = builder.build_with_layout().pop().unwrap();
        assert!(file.starts_with(b"sadump\0\0\x01\0\0\0"));
        assert_eq!(&file[4096..4104], b"sadump\0\0");
        assert_eq!((layout.dump_header, layout.ram_bitmap), (4096, 3 * 4096));
        assert_eq!(file[layout.page_bitmap..][..2], [0x40, 0x80]);
        assert_eq!(file[layout.pages..], [page_bytes(1), page_bytes(8)].concat());
        assert_eq!(layout.field("used_device").get(&file, ORDER), file.len() as u64);
        let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        assert_eq!(number(172), 11u32.wrapping_mul(number(168).wrapping_add(7)));
        assert_eq!(number(4092), 11u32.wrapping_mul(number(4088).wrapping_add(7)));
    }

    #[test]
    fn disks_of_a_set_share_the_pages() {
        let pages = (0..5).map(|pfn| (pfn, page_bytes(pfn)));
        let builder = SadumpBuilder::new(Variant::Set(vec![2, 1])).pages(pages);
        let files = builder.clone().patch(1, "set_disk_set", 9).build_with_layout();
        let stored: Vec<usize> = files.iter().map(|(file, at)| (file.len() - at.pages) / PAGE).collect();
        assert_eq!(stored, [2, 1, 2]);
        assert_eq!(files[1].0[152], 9);
        assert_eq!(files[1].0[4096..], page_bytes(2));
        // The second entry is that of disk 3.
        let volume = |file: usize| files[file].0[120..136].to_vec();
        assert_eq!(files[0].0[4096 + 16 + 32..][..16], volume(2));
        let (first, _) = builder.volumes_from_disk_1().build_with_layout().swap_remove(0);
        assert_eq!(first[4096 + 16..][..16], volume(0));
    }

    #[test]
    fn states_have_their_fields_where_the_processor_saves_them() {
        let state = SmramState::unused().set("rip", 0x1122).set("cr0", 0x8005_0033);
        assert_eq!(state.bytes()[0x3d8..0x3da], [0x22, 0x11]);
        assert_eq!(state.get("cr0"), 0x8005_0033);
        assert_eq!(SmramState::distinct(1, true).get("ia32_efer") >> 10 & 1, 1);
        let fields = STATE_FIELDS.windows(2).all(|pair| pair[0].1 + pair[0].2 <= pair[1].1);
        assert!(fields, "fields overlap");
    }
}
