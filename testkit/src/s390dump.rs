//! S390 stand-alone dumps, plain and extended, correct or lying. Always
//! big-endian.
//!
//! | file offset | content |
//! | --- | --- |
//! | 0 | header, 4096 bytes |
//! | `hdr_size` | the memory, or segments: header of 4096 bytes, data |
//! | behind it | end marker: `DUMP_END`, time |

use std::collections::BTreeMap;

use crate::compress;
use crate::endian::{ByteOrder, Bytes, Field};

const ORDER: ByteOrder = ByteOrder::Big;

/// Magic number of a plain dump.
pub const MAGIC: u64 = 0xa819_0173_618f_23fd;
/// Magic number of an extended dump.
pub const MAGIC_EXTENDED: u64 = 0xa819_0173_618f_23fe;
/// Size of the header, and of a segment header, in bytes.
pub const HEADER: usize = 4096;

/// How a segment is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Raw,
    /// In entries, each a zlib stream.
    Zlib,
    /// In entries, every other one as it is.
    Mixed,
}

/// A run of memory in an extended dump.
#[derive(Clone, Debug)]
struct Segment {
    start: u64,
    bytes: Vec<u8>,
    packing: Packing,
}

/// Where the fields of a dump are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct S390Layout {
    fields: BTreeMap<String, Field>,
    /// Position of the end marker.
    pub end: usize,
}

impl S390Layout {
    /// A field: of the header `magic`, `version`, `hdr_size`, `page_size`,
    /// `mem_size`, `num_pages`, `tod`, `arch`, `cpu_cnt`, `zlib_version`,
    /// `zlib_entry_size`, `lowcore.<n>`; of the segments `<n>.start`, `<n>.len`,
    /// `<n>.stop_marker`, `<n>.size_on_disk`, `<n>.entry_count`,
    /// `<n>.entry_offset.<k>`; `end`, `end.tod`.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn field(&self, name: &str) -> Field {
        *self.fields.get(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    /// All fields, by name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Field)> {
        self.fields.iter().map(|(name, field)| (name.as_str(), *field))
    }

    fn put(&mut self, out: &mut Bytes, name: impl Into<String>, at: usize, width: usize, value: u64) {
        out.put_uint(at, width, value);
        self.fields.insert(name.into(), Field { offset: at as u64, width });
    }
}

/// Builds a dump; see the [module](self).
#[derive(Clone, Debug)]
pub struct S390Builder {
    arch: u32,
    page_size: u32,
    hdr_size: u32,
    tod: u64,
    end_tod: Option<u64>,
    memory: Vec<u8>,
    segments: Option<Vec<Segment>>,
    block: usize,
    entry_size: usize,
    num_pages: Option<u32>,
    lowcores: Vec<u32>,
    patches: Vec<(String, u64)>,
}

impl S390Builder {
    /// A plain s390x dump of this memory, from address 0 on.
    pub fn new(memory: impl Into<Vec<u8>>) -> Self {
        S390Builder {
            arch: 2,
            page_size: 4096,
            hdr_size: HEADER as u32,
            tod: 0xd000_0000_0000_0000,
            end_tod: None,
            memory: memory.into(),
            segments: None,
            block: 4096,
            entry_size: 1 << 20,
            num_pages: None,
            lowcores: Vec::new(),
            patches: Vec::new(),
        }
    }

    /// An extended dump without segments of `size` bytes of memory.
    pub fn extended(size: usize) -> Self {
        S390Builder { segments: Some(Vec::new()), ..Self::new(vec![0; size]) }
    }

    /// Sets the architecture: 1 is s390, 2 is s390x.
    pub fn arch(mut self, number: u32) -> Self {
        self.arch = number;
        self
    }

    /// Sets the page size in bytes.
    pub fn page_size(mut self, bytes: u32) -> Self {
        self.page_size = bytes;
        self
    }

    /// Sets the bytes in front of the memory.
    pub fn hdr_size(mut self, bytes: u32) -> Self {
        self.hdr_size = bytes;
        self
    }

    /// Sets the time of the end marker; the default is that of the header.
    pub fn end_tod(mut self, tod: u64) -> Self {
        self.end_tod = Some(tod);
        self
    }

    /// Sets the number of pages, whatever the memory has.
    pub fn num_pages(mut self, pages: u32) -> Self {
        self.num_pages = Some(pages);
        self
    }

    /// Sets the addresses of the CPUs' lowcores.
    pub fn lowcores(mut self, addresses: &[u32]) -> Self {
        self.lowcores = addresses.to_vec();
        self
    }

    /// Adds a segment to an extended dump.
    ///
    /// # Panics
    /// If the dump is a plain one.
    pub fn segment(mut self, start: u64, bytes: impl Into<Vec<u8>>, packing: Packing) -> Self {
        let segments = self.segments.as_mut().expect("an extended dump");
        segments.push(Segment { start, bytes: bytes.into(), packing });
        self
    }

    /// Sets the block size of the device in bytes.
    pub fn block(mut self, bytes: usize) -> Self {
        self.block = bytes;
        self
    }

    /// Sets the bytes of memory in an entry of a compressed segment.
    pub fn entry_size(mut self, bytes: usize) -> Self {
        self.entry_size = bytes;
        self
    }

    /// Overwrites a field; for the names see [`S390Layout::field`].
    pub fn patch(mut self, field: &str, value: u64) -> Self {
        self.patches.push((field.to_string(), value));
        self
    }

    /// The finished file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_layout().0
    }

    /// The finished file and where its fields are.
    ///
    /// # Panics
    /// If a patch names a field that does not exist.
    pub fn build_with_layout(&self) -> (Vec<u8>, S390Layout) {
        let mut out = Bytes::zeroed(ORDER, HEADER);
        let mut layout = S390Layout::default();
        let packed = |segment: &Segment| segment.packing != Packing::Raw;
        let compresses = self.segments.as_ref().is_some_and(|segments| segments.iter().any(packed));
        let magic = if self.segments.is_some() { MAGIC_EXTENDED } else { MAGIC };
        let pages = self.num_pages.unwrap_or((self.memory.len() / self.page_size.max(1) as usize) as u32);
        for (name, at, width, value) in [
            ("magic", 0, 8, magic),
            ("version", 8, 4, if self.segments.is_some() { 2 } else { 5 }),
            ("hdr_size", 12, 4, self.hdr_size.into()),
            ("page_size", 20, 4, self.page_size.into()),
            ("mem_size", 24, 8, self.memory.len() as u64),
            ("num_pages", 48, 4, pages.into()),
            ("tod", 56, 8, self.tod),
            ("arch", 72, 4, self.arch.into()),
            ("cpu_cnt", 93, 2, self.lowcores.len() as u64),
            ("zlib_version", 97, 1, compresses.into()),
            ("zlib_entry_size", 98, 4, if compresses { self.entry_size as u64 } else { 0 }),
        ] {
            layout.put(&mut out, name, at, width, value);
        }
        for (cpu, address) in self.lowcores.iter().enumerate() {
            layout.put(&mut out, format!("lowcore.{cpu}"), 0x800 + 4 * cpu, 4, (*address).into());
        }
        out.grow(self.hdr_size as usize);
        let mut at = self.hdr_size as usize;
        match &self.segments {
            None => {
                out.put_bytes(at, &self.memory);
                at += self.memory.len();
            }
            Some(segments) => {
                for (number, segment) in segments.iter().enumerate() {
                    let last = number + 1 == segments.len();
                    at = self.put_segment(&mut out, &mut layout, at, (number, segment), last);
                }
            }
        }
        layout.end = at;
        layout.put(&mut out, "end", at, 8, u64::from_be_bytes(*b"DUMP_END"));
        layout.put(&mut out, "end.tod", at + 8, 8, self.end_tod.unwrap_or(self.tod));
        let mut file = out.into_vec();
        for (name, value) in &self.patches {
            layout.field(name).put(&mut file, ORDER, *value);
        }
        (file, layout)
    }

    /// Writes a segment; returns where the next one begins.
    fn put_segment(
        &self,
        out: &mut Bytes,
        layout: &mut S390Layout,
        at: usize,
        (number, segment): (usize, &Segment),
        last: bool,
    ) -> usize {
        let data = at + HEADER;
        out.grow(data);
        let mut put = |out: &mut Bytes, name: &str, offset: usize, width: usize, value: u64| {
            layout.put(out, format!("{number}.{name}"), at + offset, width, value);
        };
        put(out, "start", 0, 8, segment.start);
        put(out, "len", 8, 8, segment.bytes.len() as u64);
        put(out, "stop_marker", 0x10, 8, last.into());
        if segment.packing == Packing::Raw {
            put(out, "size_on_disk", 0x18, 4, 0);
            out.put_bytes(data, &segment.bytes);
            return data + segment.bytes.len();
        }
        let mut blocks = 0;
        for (entry, bytes) in segment.bytes.chunks(self.entry_size).enumerate() {
            let raw = segment.packing == Packing::Mixed && entry % 2 == 1;
            let stored = if raw { bytes.to_vec() } else { compress::zlib(bytes, 6) };
            out.put_bytes(data + blocks * self.block, &stored);
            let flag = if raw { 1 << 31 } else { 0 };
            let offset = 0x34 + 4 * entry;
            put(out, &format!("entry_offset.{entry}"), offset, 4, blocks as u64 | flag);
            blocks += stored.len().div_ceil(self.block);
        }
        put(out, "size_on_disk", 0x18, 4, blocks as u64);
        put(out, "entry_count", 0x30, 4, segment.bytes.len().div_ceil(self.entry_size) as u64);
        out.grow(data + blocks * self.block);
        data + blocks * self.block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_lies_between_header_and_end_marker() {
        let (file, layout) = S390Builder::new(vec![7; 8192]).lowcores(&[0x2000]).build_with_layout();
        assert_eq!(file[..8], MAGIC.to_be_bytes());
        assert_eq!(file[48..52], [0, 0, 0, 2]);
        assert_eq!(file[93..95], [0, 1]);
        assert_eq!(file[0x800..0x804], [0, 0, 0x20, 0]);
        assert!(file[4096..4096 + 8192].iter().all(|byte| *byte == 7));
        assert_eq!(&file[layout.end..layout.end + 8], b"DUMP_END");
        assert_eq!(file[layout.end + 8..], file[56..64]);
    }

    #[test]
    fn entries_of_segments_stand_at_blocks_and_unpack() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i / 50) as u8).collect();
        let (file, layout) = S390Builder::extended(1 << 20)
            .block(512)
            .entry_size(4096)
            .segment(0x1000, bytes.clone(), Packing::Mixed)
            .segment(0x8000, &[1u8; 100][..], Packing::Raw)
            .build_with_layout();
        let get = |name: &str| layout.field(name).get(&file, ORDER) as usize;
        assert_eq!(get("0.entry_count"), 3);
        assert_eq!((get("0.stop_marker"), get("1.stop_marker")), (0, 1));
        let at = |entry: usize| 8192 + 512 * (get(&format!("0.entry_offset.{entry}")) & 0x7fff_ffff);
        assert_eq!(file[at(1)..at(1) + 4096], bytes[4096..8192]);
        assert_eq!(get("0.entry_offset.1") >> 31, 1);
        assert_eq!(file[at(2)], 0x78, "a zlib stream");
        assert_eq!(layout.field("1.start").offset as usize, 8192 + 512 * get("0.size_on_disk"));
    }
}
