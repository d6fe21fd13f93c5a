//! Kdump-compressed and diskdump files, correct or lying.
//!
//! | file offset | content |
//! | --- | --- |
//! | 0 | common header, 1 block |
//! | B | sub-header of exactly its version's size, notes directly behind it |
//! | (1 + sub_hdr_size) B | 1st bitmap: RAM |
//! | behind it | 2nd bitmap: stored pages (absent with one bitmap) |
//! | behind it | page descriptors, 24 bytes each |
//! | behind them | shared zero page if any, page data, ERASEINFO |
//!
//! The word size of the common header, the layout of the sub-header, the byte
//! order and the version are independent of each other. Every field can be
//! overwritten afterwards by [`DiskdumpBuilder::patch`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::arch::Arch;
use crate::compress::Codec;
use crate::endian::{ByteOrder, Bytes, Field};
use crate::image::Rng;
use crate::notes::Utsname;

mod layout;
#[cfg(test)]
mod tests;

pub use layout::{DESCRIPTOR_SIZE, DiskdumpLayout, SubLayout, WordSize};

/// `KDUMP   `: kdump-compressed.
pub const KDUMP: [u8; 8] = *b"KDUMP   ";
/// `DISKDUMP`: the older format of the same layout.
pub const DISKDUMP: [u8; 8] = *b"DISKDUMP";

/// How a page is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// Compressed if that makes it smaller, else raw, as writers do.
    Data {
        /// The content, normally one block.
        bytes: Vec<u8>,
        /// How to compress it.
        codec: Codec,
    },
    /// The shared page of zeros at the start of the data.
    SharedZero,
    /// This payload, with these descriptor flags.
    Stored {
        /// Bytes in the data area.
        payload: Vec<u8>,
        /// Descriptor flags.
        flags: u32,
        /// Descriptor size; the default is the length of the payload.
        size: Option<u32>,
    },
    /// A descriptor with these fields, and no data.
    Descriptor {
        /// File offset that it claims.
        offset: u64,
        /// Size that it claims.
        size: u32,
        /// Flags.
        flags: u32,
        /// The unused last field.
        page_flags: u64,
    },
}

impl Page {
    /// A page that is compressed even if that makes it larger.
    pub fn forced(bytes: &[u8], codec: Codec) -> Self {
        Page::Stored { payload: codec.compress(bytes), flags: codec.flag(), size: None }
    }
}

/// Builds a dump file or a split set; see the [module](self).
#[derive(Clone, Debug)]
pub struct DiskdumpBuilder {
    word: WordSize,
    sub: SubLayout,
    order: ByteOrder,
    signature: [u8; 8],
    version: i32,
    block_size: u32,
    two_bitmaps: bool,
    uts: Utsname,
    timestamp: (u64, u64),
    status: Option<u32>,
    nr_cpus: u32,
    tasks: Vec<u64>,
    pages: BTreeMap<u64, Page>,
    ram: BTreeSet<u64>,
    not_ram: BTreeSet<u64>,
    max_mapnr: Option<u64>,
    split: Option<Range<u64>>,
    phys_base: u64,
    dump_level: Option<u32>,
    notes: Vec<u8>,
    vmcoreinfo: Vec<u8>,
    eraseinfo: Vec<u8>,
    sub_blocks: Option<u32>,
    sub_bytes: Option<Vec<u8>>,
    shuffle: Option<u64>,
    patches: Vec<(String, u64)>,
    truncate: Option<usize>,
}

impl Default for DiskdumpBuilder {
    /// x86_64, little-endian, version 6, 4 KiB blocks, two bitmaps, no pages.
    fn default() -> Self {
        Self::new(WordSize::Bits64, ByteOrder::Little)
    }
}

impl DiskdumpBuilder {
    /// Version 6, 4 KiB blocks, two bitmaps, no pages; the sub-header layout
    /// is [`SubLayout::Bits64`] or [`SubLayout::Packed32`] by the word size.
    pub fn new(word: WordSize, order: ByteOrder) -> Self {
        let (sub, machine) = match word {
            WordSize::Bits32 => (SubLayout::Packed32, "i686"),
            WordSize::Bits64 => (SubLayout::Bits64, "x86_64"),
        };
        DiskdumpBuilder {
            word,
            sub,
            order,
            signature: KDUMP,
            version: 6,
            block_size: 4096,
            two_bitmaps: true,
            uts: Utsname::linux("6.1.0-testkit", machine),
            timestamp: (0, 0),
            status: None,
            nr_cpus: 1,
            tasks: Vec::new(),
            pages: BTreeMap::new(),
            ram: BTreeSet::new(),
            not_ram: BTreeSet::new(),
            max_mapnr: None,
            split: None,
            phys_base: 0,
            dump_level: None,
            notes: Vec::new(),
            vmcoreinfo: Vec::new(),
            eraseinfo: Vec::new(),
            sub_blocks: None,
            sub_bytes: None,
            shuffle: None,
            patches: Vec::new(),
            truncate: None,
        }
    }

    /// As makedumpfile on this architecture writes it: word size, byte order,
    /// layout of the sub-header and `uname -m`.
    pub fn for_arch(arch: Arch) -> Self {
        let (word, sub) = match (arch.ptr_size(), arch) {
            (8, _) => (WordSize::Bits64, SubLayout::Bits64),
            (_, Arch::Ia32) => (WordSize::Bits32, SubLayout::Packed32),
            _ => (WordSize::Bits32, SubLayout::Aligned32),
        };
        let order = arch.usual_order();
        let uts = Utsname::linux("6.1.0-testkit", arch.uts_machine(order));
        Self::new(word, order).sub_layout(sub).utsname(uts)
    }

    /// Sets the signature, see [`KDUMP`] and [`DISKDUMP`].
    pub fn signature(mut self, signature: [u8; 8]) -> Self {
        self.signature = signature;
        self
    }

    /// Sets `header_version`; the sub-header gets the size of that version,
    /// and that of version 6 above 6 and below 0.
    pub fn version(mut self, version: i32) -> Self {
        self.version = version;
        self
    }

    /// Sets the layout of the sub-header.
    pub fn sub_layout(mut self, layout: SubLayout) -> Self {
        self.sub = layout;
        self
    }

    /// Sets the block size in bytes.
    pub fn block_size(mut self, bytes: u32) -> Self {
        self.block_size = bytes;
        self
    }

    /// Writes a single bitmap, that of the stored pages, for both purposes.
    pub fn one_bitmap(mut self) -> Self {
        self.two_bitmaps = false;
        self
    }

    /// Sets the utsname.
    pub fn utsname(mut self, uts: Utsname) -> Self {
        self.uts = uts;
        self
    }

    /// Sets seconds and microseconds of the timestamp.
    pub fn timestamp(mut self, seconds: u64, microseconds: u64) -> Self {
        self.timestamp = (seconds, microseconds);
        self
    }

    /// Sets `status`; the default is the flag of the first page's codec.
    pub fn status(mut self, status: u32) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets the number of CPUs (default 1).
    pub fn nr_cpus(mut self, cpus: u32) -> Self {
        self.nr_cpus = cpus;
        self
    }

    /// Sets the task pointers behind the common header (old diskdump).
    pub fn tasks(mut self, tasks: &[u64]) -> Self {
        self.tasks = tasks.to_vec();
        self
    }

    /// Stores a page.
    pub fn page(mut self, pfn: u64, page: Page) -> Self {
        self.pages.insert(pfn, page);
        self
    }

    /// Stores a page of these bytes.
    pub fn data(self, pfn: u64, bytes: impl Into<Vec<u8>>, codec: Codec) -> Self {
        self.page(pfn, Page::Data { bytes: bytes.into(), codec })
    }

    /// Stores many pages.
    pub fn pages(mut self, pages: impl IntoIterator<Item = (u64, Vec<u8>)>, codec: Codec) -> Self {
        let pages = pages.into_iter().map(|(pfn, bytes)| (pfn, Page::Data { bytes, codec }));
        self.pages.extend(pages);
        self
    }

    /// Makes every stored page of zeros refer to the shared zero page.
    pub fn share_zero_pages(mut self) -> Self {
        for page in self.pages.values_mut() {
            if matches!(page, Page::Data { bytes, .. } if bytes.iter().all(|&b| b == 0)) {
                *page = Page::SharedZero;
            }
        }
        self
    }

    /// Sets the bits of these PFNs in the 1st bitmap (stored pages are set anyway).
    pub fn ram(mut self, pfns: impl IntoIterator<Item = u64>) -> Self {
        self.ram.extend(pfns);
        self
    }

    /// Clears the bits of these PFNs in the 1st bitmap, even if they are stored.
    pub fn not_ram(mut self, pfns: impl IntoIterator<Item = u64>) -> Self {
        self.not_ram.extend(pfns);
        self
    }

    /// Sets the PFN limit; the default is the highest PFN in a bitmap plus 1.
    /// The bitmaps get as long as the limit asks for; a limit that is a lie is
    /// a job for [`patch`](Self::patch).
    pub fn max_mapnr(mut self, pfns: u64) -> Self {
        self.max_mapnr = Some(pfns);
        self
    }

    /// Makes this one file of a split set, with the descriptors of this range.
    pub fn split(mut self, range: Range<u64>) -> Self {
        self.split = Some(range);
        self
    }

    /// Sets the physical base.
    pub fn phys_base(mut self, base: u64) -> Self {
        self.phys_base = base;
        self
    }

    /// Sets the dump level; the default is 1 with a shared zero page, else 0.
    pub fn dump_level(mut self, level: u32) -> Self {
        self.dump_level = Some(level);
        self
    }

    /// Sets the notes, see [`NoteWriter`](crate::notes::NoteWriter).
    pub fn notes(mut self, notes: impl Into<Vec<u8>>) -> Self {
        self.notes = notes.into();
        self
    }

    /// Sets the text that `offset_vmcoreinfo` refers to. If it stands in the
    /// notes it is not written again.
    pub fn vmcoreinfo(mut self, text: impl AsRef<[u8]>) -> Self {
        self.vmcoreinfo = text.as_ref().to_vec();
        self
    }

    /// Sets the ERASEINFO text, written behind the pages.
    pub fn eraseinfo(mut self, text: impl AsRef<[u8]>) -> Self {
        self.eraseinfo = text.as_ref().to_vec();
        self
    }

    /// Reserves so many blocks for sub-header and notes; what needs more
    /// overlaps the bitmaps (the sub-header is written last).
    pub fn sub_hdr_size(mut self, blocks: u32) -> Self {
        self.sub_blocks = Some(blocks);
        self
    }

    /// Writes these bytes instead of a sub-header (registers of old diskdump).
    pub fn sub_header_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.sub_bytes = Some(bytes.into());
        self
    }

    /// Puts the page data into a random order, with gaps.
    pub fn shuffle_data(mut self, seed: u64) -> Self {
        self.shuffle = Some(seed);
        self
    }

    /// Overwrites a header field in the finished file; for the names see
    /// [`DiskdumpLayout::field`].
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

    /// A split set: one file up to each of `bounds`, and one for the rest.
    pub fn build_set(&self, bounds: &[u64]) -> Vec<Vec<u8>> {
        let limit = self.limit();
        let starts = std::iter::once(0).chain(bounds.iter().copied());
        let ends = bounds.iter().copied().chain([limit]);
        starts.zip(ends).map(|(start, end)| self.clone().split(start..end).build()).collect()
    }

    /// The highest PFN that has a bit in a bitmap, plus 1.
    fn bits(&self) -> u64 {
        let ram = self.ram.last().map_or(0, |pfn| pfn + 1);
        self.pages.keys().last().map_or(0, |pfn| pfn + 1).max(ram)
    }

    fn limit(&self) -> u64 {
        self.max_mapnr.unwrap_or_else(|| self.bits())
    }

    /// The finished file and where its parts are.
    ///
    /// # Panics
    /// If a patch names a field that does not exist.
    pub fn build_with_layout(&self) -> (Vec<u8>, DiskdumpLayout) {
        let block = self.block_size as usize;
        let sub_size = self.sub.size(self.version);
        let mut out = Bytes::new(self.order);

        // Sub-header (filled in at the end), notes, VMCOREINFO.
        let notes = block + self.sub_bytes.as_ref().map_or(sub_size, Vec::len);
        out.put_bytes(notes, &self.notes);
        let vmcoreinfo = match self.vmcoreinfo.len() {
            0 => 0,
            len => match self.notes.windows(len).position(|window| window == self.vmcoreinfo) {
                Some(at) => notes + at,
                None => out.push_bytes(&self.vmcoreinfo),
            },
        };
        let needed = (out.len() - block).div_ceil(block).max(1) as u32;
        let sub_blocks = self.sub_blocks.unwrap_or(needed);

        // Bitmaps.
        let bits = self.limit().max(self.bits());
        let bitmap_len = (bits.div_ceil(8) as usize).next_multiple_of(block);
        let bitmap1 = (1 + sub_blocks as usize) * block;
        let bitmap2 = if self.two_bitmaps { bitmap1 + bitmap_len } else { bitmap1 };
        let descriptors = bitmap2 + bitmap_len;
        let mut stored = vec![0; bitmap_len];
        let mut ram = vec![0; bitmap_len];
        for &pfn in self.pages.keys() {
            set_bit(&mut stored, pfn);
            set_bit(&mut ram, pfn);
        }
        for &pfn in &self.ram {
            set_bit(&mut ram, pfn);
        }
        for &pfn in &self.not_ram {
            ram[(pfn / 8) as usize] &= !(1 << (pfn % 8));
        }
        if self.two_bitmaps {
            out.put_bytes(bitmap1, &ram);
        }
        out.put_bytes(bitmap2, &stored);
        out.grow(descriptors);

        let mut layout = DiskdumpLayout {
            word: self.word,
            sub: self.sub,
            sub_header: block as u64,
            notes: notes as u64,
            bitmap1: bitmap1 as u64,
            bitmap2: bitmap2 as u64,
            descriptors: descriptors as u64,
            // A split file leaves the place of the other files' descriptors free.
            data: (descriptors + DESCRIPTOR_SIZE * self.pages.len()) as u64,
            eraseinfo: 0,
            pages: BTreeMap::new(),
        };
        self.write_pages(&mut out, &mut layout);
        if !self.eraseinfo.is_empty() {
            layout.eraseinfo = out.push_bytes(&self.eraseinfo) as u64;
        }
        let blocks = (descriptors - bitmap1) / block;
        self.write_header(&mut out, sub_blocks, blocks as u32);
        match &self.sub_bytes {
            Some(bytes) => {
                out.put_bytes(block, bytes);
            }
            None => self.write_sub_header(&mut out, &layout, vmcoreinfo as u64),
        }

        let mut out = out.into_vec();
        for (name, value) in &self.patches {
            layout.field(name).put(&mut out, self.order, *value);
        }
        if let Some(len) = self.truncate {
            out.resize(len, 0);
        }
        (out, layout)
    }

    fn uses_zero_page(&self) -> bool {
        self.pages.values().any(|page| *page == Page::SharedZero)
            || self.dump_level.is_some_and(|level| level & 1 != 0)
    }

    fn write_pages(&self, out: &mut Bytes, layout: &mut DiskdumpLayout) {
        let range = self.split.clone().unwrap_or(0..u64::MAX);
        let mine: Vec<u64> = self.pages.keys().copied().filter(|pfn| range.contains(pfn)).collect();
        for (i, &pfn) in mine.iter().enumerate() {
            layout.pages.insert(pfn, layout.descriptors + (DESCRIPTOR_SIZE * i) as u64);
        }
        if !self.pages.is_empty() || self.uses_zero_page() {
            out.grow(layout.data as usize);
        }
        if self.uses_zero_page() {
            out.push_bytes(&vec![0; self.block_size as usize]);
        }
        let mut order = mine;
        let mut gaps = self.shuffle.map(Rng::new);
        if let Some(rng) = &mut gaps {
            rng.shuffle(&mut order);
        }
        for pfn in order {
            if let Some(rng) = &mut gaps {
                out.grow(out.len() + rng.below(32) as usize);
            }
            let (offset, size, flags, page_flags) = match &self.pages[&pfn] {
                Page::SharedZero => (layout.data, self.block_size, 0, 0),
                Page::Data { bytes, codec } => {
                    let packed = codec.compress(bytes);
                    let (payload, flags) = match *codec {
                        Codec::Raw => (bytes, 0),
                        _ if packed.len() < bytes.len() => (&packed, codec.flag()),
                        _ => (bytes, 0),
                    };
                    (out.push_bytes(payload) as u64, payload.len() as u32, flags, 0)
                }
                Page::Stored { payload, flags, size } => {
                    let size = size.unwrap_or(payload.len() as u32);
                    (out.push_bytes(payload) as u64, size, *flags, 0)
                }
                Page::Descriptor { offset, size, flags, page_flags } => (*offset, *size, *flags, *page_flags),
            };
            let at = layout.pages[&pfn] as usize;
            out.put_u64(at, offset).put_u32(at + 8, size).put_u32(at + 12, flags);
            out.put_u64(at + 16, page_flags);
        }
    }

    fn write_header(&self, out: &mut Bytes, sub_blocks: u32, bitmap_blocks: u32) {
        let codec_flag = self.pages.values().find_map(|page| match page {
            Page::Data { codec, .. } => Some(codec.flag()),
            _ => None,
        });
        let mut put = |name: &str, value: u64| {
            let field = layout::header_field(self.word, name).expect("header field");
            out.put_uint(field.offset as usize, field.width, value);
        };
        put("header_version", self.version as u64);
        put("tv_sec", self.timestamp.0);
        put("tv_usec", self.timestamp.1);
        put("status", self.status.or(codec_flag).unwrap_or(0).into());
        put("block_size", self.block_size.into());
        put("sub_hdr_size", sub_blocks.into());
        put("bitmap_blocks", bitmap_blocks.into());
        put("max_mapnr", self.limit().min(u32::MAX.into()));
        put("nr_cpus", self.nr_cpus.into());
        out.put_bytes(0, &self.signature).put_bytes(12, &self.uts.to_bytes());
        for (i, task) in self.tasks.iter().enumerate() {
            let (size, width) = (self.word.header_size(), self.word.width());
            out.put_uint(size + i * width, width, *task);
        }
    }

    fn write_sub_header(&self, out: &mut Bytes, layout: &DiskdumpLayout, vmcoreinfo: u64) {
        let default_level = u32::from(self.uses_zero_page());
        let range = self.split.clone().unwrap_or(0..0);
        // Version 6 stores what fits of its 64-bit numbers in the old fields.
        let old = |pfn: u64| if (0..6).contains(&self.version) { pfn } else { pfn.min(u32::MAX.into()) };
        let placed = |len: usize, at: u64| if len == 0 { 0 } else { at };
        let fields = [
            ("phys_base", self.phys_base),
            ("dump_level", self.dump_level.unwrap_or(default_level).into()),
            ("split", u64::from(self.split.is_some())),
            ("start_pfn", old(range.start)),
            ("end_pfn", old(range.end)),
            ("offset_vmcoreinfo", vmcoreinfo),
            ("size_vmcoreinfo", self.vmcoreinfo.len() as u64),
            ("offset_note", placed(self.notes.len(), layout.notes)),
            ("size_note", self.notes.len() as u64),
            ("offset_eraseinfo", placed(self.eraseinfo.len(), layout.eraseinfo)),
            ("size_eraseinfo", self.eraseinfo.len() as u64),
            ("start_pfn_64", range.start),
            ("end_pfn_64", range.end),
            ("max_mapnr_64", self.limit()),
        ];
        for (name, value) in fields {
            if layout::since(name) <= self.sub.known_version(self.version) {
                let field = layout.field(name);
                out.put_uint(field.offset as usize, field.width, value);
            }
        }
    }
}

fn set_bit(bitmap: &mut [u8], pfn: u64) {
    bitmap[(pfn / 8) as usize] |= 1 << (pfn % 8);
}
