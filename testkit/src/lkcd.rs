//! LKCD dumps: a header of any version and page records in any order.
//!
//! ```text
//! 0                     header, versions 1 to 7 with 32 or 64 bits
//! 65536 (or as said)    records: address u64, size u32, flags u32, data
//!                       end marker
//! ```

use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::compress;
use crate::diskdump::WordSize;
use crate::endian::{ByteOrder, Bytes, Field};
use crate::notes::Utsname;

/// The versions that there are.
pub const VERSIONS: [u32; 9] = [1, 2, 3, 5, 6, 7, 8, 9, 10];

/// `dh_version` of the older variant of Mission Critical Linux.
pub const MCLX_V0: u32 = 0x8000_0000;
/// `dh_version` of the newer variant of Mission Critical Linux.
pub const MCLX_V1: u32 = 0x4000_0000;

/// Flag of a record: the page stands there as it is.
pub const RAW: u32 = 1;
/// Flag of a record: packed by the method of the dump.
pub const COMPRESSED: u32 = 2;
/// Flag of a record: the end of the dump.
pub const END: u32 = 4;

/// How compressed pages are packed; any other number can be written, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Method {
    /// Not at all.
    None = 0,
    /// Run lengths.
    Rle = 1,
    /// A zlib stream.
    Gzip = 2,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 3] = [Method::None, Method::Rle, Method::Gzip];

    /// Packs a page; `None` for no method.
    pub fn pack(self, page: &[u8]) -> Option<Vec<u8>> {
        match self {
            Method::None => None,
            Method::Rle => Some(compress::rle(page)),
            Method::Gzip => Some(compress::zlib(page, 6)),
        }
    }
}

/// One page record, true or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `dp_address`.
    pub address: u64,
    /// `dp_flags`.
    pub flags: u32,
    /// `dp_size`, if it is not the number of data bytes. The next record is
    /// that far away, and what is missing is a hole.
    pub size: Option<u32>,
    /// The data.
    pub data: Vec<u8>,
}

impl Record {
    /// A record with these flags and data.
    pub fn new(address: u64, flags: u32, data: impl Into<Vec<u8>>) -> Record {
        Record { address, flags, size: None, data: data.into() }
    }

    /// Another size than that of the data.
    #[must_use]
    pub fn sized(mut self, size: u32) -> Record {
        self.size = Some(size);
        self
    }

    fn behind(&self) -> u64 {
        16 + self.size.map_or(self.data.len() as u64, u64::from)
    }
}

/// Builds one dump.
#[derive(Clone, Debug)]
pub struct LkcdBuilder {
    version: u32,
    word: WordSize,
    order: ByteOrder,
    page_size: u32,
    method: u32,
    data_offset: u64,
    uts: Utsname,
    records: Vec<Record>,
    cpus: Option<Cpus>,
    end: bool,
    patches: Vec<(String, u64)>,
}

/// Registers in the header of the architecture.
#[derive(Clone, Debug)]
struct Cpus {
    arch: Arch,
    room: usize,
    dumping: (u32, Vec<u64>),
    regs: Vec<Vec<u64>>,
}

/// Where the parts of a built dump are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LkcdLayout {
    fields: BTreeMap<String, Field>,
    /// Positions of the records.
    pub records: Vec<u64>,
    /// Position behind the last record, which is that of the end marker.
    pub end: u64,
}

impl LkcdLayout {
    /// A field of the header by its name in the description, or of a record:
    /// `record.3.dp_address`.
    ///
    /// # Panics
    /// If there is no such field.
    pub fn field(&self, name: &str) -> Field {
        *self.fields.get(name).unwrap_or_else(|| panic!("no field {name}"))
    }

    /// All fields by their names.
    pub fn fields(&self) -> impl Iterator<Item = (&str, Field)> {
        self.fields.iter().map(|(name, field)| (name.as_str(), *field))
    }

    fn add(&mut self, name: impl Into<String>, offset: u64, width: usize) -> Field {
        let field = Field { offset, width };
        self.fields.insert(name.into(), field);
        field
    }
}

impl LkcdBuilder {
    /// An empty dump with pages of 4 KiB and an end marker; pages are packed by
    /// RLE up to version 3 and by zlib from version 5 on.
    pub fn new(version: u32, word: WordSize, order: ByteOrder) -> LkcdBuilder {
        let machine = match (word, order) {
            (WordSize::Bits32, ByteOrder::Little) => "i686",
            (WordSize::Bits32, ByteOrder::Big) => "ppc",
            (WordSize::Bits64, ByteOrder::Little) => "x86_64",
            (WordSize::Bits64, ByteOrder::Big) => "s390x",
        };
        LkcdBuilder {
            version,
            word,
            order,
            page_size: 4096,
            method: if version & 0x3fff_ffff < 5 { Method::Rle } else { Method::Gzip } as u32,
            data_offset: 65536,
            uts: Utsname::linux("2.6.5-7.97-smp", machine),
            records: Vec::new(),
            cpus: None,
            end: true,
            patches: Vec::new(),
        }
    }

    /// Page size in bytes.
    #[must_use]
    pub fn page_size(mut self, bytes: u32) -> Self {
        self.page_size = bytes;
        self
    }

    /// How compressed pages are packed.
    #[must_use]
    pub fn method(self, method: Method) -> Self {
        self.method_number(method as u32)
    }

    /// Any `dh_dump_compress`.
    #[must_use]
    pub fn method_number(mut self, number: u32) -> Self {
        self.method = number;
        self
    }

    /// Where records begin; the header tells it from version 9 on.
    #[must_use]
    pub fn data_offset(mut self, offset: u64) -> Self {
        self.data_offset = offset;
        self
    }

    /// Another utsname.
    #[must_use]
    pub fn utsname(mut self, uts: Utsname) -> Self {
        self.uts = uts;
        self
    }

    /// Adds a record.
    #[must_use]
    pub fn record(mut self, record: Record) -> Self {
        self.records.push(record);
        self
    }

    /// Adds a page as it is.
    #[must_use]
    pub fn raw(self, pfn: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let address = pfn * u64::from(self.page_size);
        self.record(Record::new(address, RAW, bytes))
    }

    /// Adds a page that is packed already.
    #[must_use]
    pub fn packed(self, pfn: u64, data: impl Into<Vec<u8>>) -> Self {
        let address = pfn * u64::from(self.page_size);
        self.record(Record::new(address, COMPRESSED, data))
    }

    /// Adds a page as a kernel does: packed if that makes it smaller.
    #[must_use]
    pub fn page(self, pfn: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let method = Method::ALL.into_iter().find(|method| *method as u32 == self.method);
        let packed = method.unwrap_or(Method::None).pack(&bytes);
        match packed.filter(|packed| packed.len() < bytes.len()) {
            Some(packed) => self.packed(pfn, packed),
            None => self.raw(pfn, bytes),
        }
    }

    /// Adds pages.
    #[must_use]
    pub fn pages(self, pages: impl IntoIterator<Item = (u64, Vec<u8>)>) -> Self {
        pages.into_iter().fold(self, |builder, (pfn, bytes)| builder.page(pfn, bytes))
    }

    /// Leaves the end marker out.
    #[must_use]
    pub fn without_end(mut self) -> Self {
        self.end = false;
        self
    }

    /// Adds the header of an architecture (ia32, or one with words of 64 bits)
    /// with room for the registers of `room` CPUs: the number and the registers
    /// of the one that dumped, and those of all. Its fields are
    /// `dha_magic_number`, `dha_header_size`, `dha_smp_num_cpus` and
    /// `dha_dumping_cpu`.
    #[must_use]
    pub fn cpus(mut self, arch: Arch, room: usize, dumping: (u32, Vec<u64>), regs: Vec<Vec<u64>>) -> Self {
        self.cpus = Some(Cpus { arch, room, dumping, regs });
        self
    }

    /// Overwrites a field; see [`LkcdLayout::field`].
    #[must_use]
    pub fn patch(mut self, field: &str, value: u64) -> Self {
        self.patches.push((field.into(), value));
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_layout().0
    }

    /// The file, and where its parts are.
    ///
    /// # Panics
    /// If a patched field does not exist, or the file does not fit into memory.
    pub fn build_with_layout(&self) -> (Vec<u8>, LkcdLayout) {
        let (parts, layout) = self.build_parts();
        let mut file = Bytes::new(self.order);
        for (position, bytes) in parts {
            file.put_bytes(usize::try_from(position).expect("a file in memory"), &bytes);
        }
        // Data that the last record claims and does not have are a hole, too.
        if self.end {
            file.grow(layout.end as usize + 16);
        }
        (file.into_vec(), layout)
    }

    /// What is stored at which position; everything else is a hole.
    ///
    /// # Panics
    /// If a patched field does not exist.
    pub fn build_parts(&self) -> (BTreeMap<u64, Vec<u8>>, LkcdLayout) {
        let mut layout = LkcdLayout::default();
        let mut parts = BTreeMap::from([(0, self.header(&mut layout))]);
        if let Some(cpus) = &self.cpus {
            let at = parts[&0].len() as u64;
            parts.insert(at, self.asm_header(cpus, at, &mut layout));
        }
        let mut position = self.data_offset;
        let marker = self.end.then(|| Record::new(0, END, []));
        for (number, record) in self.records.iter().chain(&marker).enumerate() {
            let mut bytes = Bytes::new(self.order);
            let size = record.size.unwrap_or(record.data.len() as u32);
            for (name, at, width, value) in [
                ("dp_address", 0, 8, record.address),
                ("dp_size", 8, 4, size.into()),
                ("dp_flags", 12, 4, record.flags.into()),
            ] {
                bytes.put_uint(at, width, value);
                layout.add(format!("record.{number}.{name}"), position + at as u64, width);
            }
            bytes.put_bytes(16, &record.data);
            if number < self.records.len() {
                layout.records.push(position);
            }
            parts.insert(position, bytes.into_vec());
            position += record.behind();
        }
        layout.end = if self.end { position - 16 } else { position };
        for (name, value) in &self.patches {
            let field = layout.field(name);
            let part = parts.range_mut(..=field.offset).next_back().expect("a header");
            Field { offset: field.offset - part.0, ..field }.put(part.1, self.order, *value);
        }
        (parts, layout)
    }

    fn asm_header(&self, cpus: &Cpus, position: u64, layout: &mut LkcdLayout) -> Vec<u8> {
        let width = if cpus.arch == Arch::Ia32 { 4 } else { 8 };
        let mut bytes = Bytes::new(self.order);
        let mut put = |bytes: &mut Bytes, name: &str, width: usize, value: u64| {
            let at = bytes.push_uint(width, value);
            layout.add(name, position + at as u64, width);
        };
        put(&mut bytes, "dha_magic_number", 8, 0xdead_dead);
        put(&mut bytes, "dha_version", 4, 1);
        put(&mut bytes, "dha_header_size", 4, 0);
        if cpus.arch == Arch::Ia32 {
            bytes.push_uint(4, 0xc030_1234);
            bytes.push_uint(4, 0xc010_5678);
        }
        let (dumping, regs) = &cpus.dumping;
        regs.iter().for_each(|value| _ = bytes.push_uint(width, *value));
        put(&mut bytes, "dha_smp_num_cpus", 4, cpus.regs.len() as u64);
        put(&mut bytes, "dha_dumping_cpu", 4, (*dumping).into());
        let first = bytes.len();
        cpus.regs.iter().flatten().for_each(|value| _ = bytes.push_uint(width, *value));
        // Registers of CPUs that are not there, then three words for each CPU.
        bytes.grow(first + cpus.room * width * (regs.len() + 3));
        let size = bytes.len() as u64;
        bytes.put_uint(12, 4, size);
        bytes.into_vec()
    }

    fn header(&self, layout: &mut LkcdLayout) -> Vec<u8> {
        let version = self.version & 0x3fff_ffff;
        let wide = self.word == WordSize::Bits64;
        let mut bytes = Bytes::new(self.order);
        let mut put = |name: &str, at: usize, width: usize, value: u64| {
            bytes.put_uint(at, width, value);
            layout.add(name, at as u64, width);
        };
        put("dh_magic_number", 0, 8, 0xa819_0173_618f_23ed);
        put("dh_version", 8, 4, self.version.into());
        put("dh_dump_level", 16, 4, 8);
        put("dh_page_size", 20, 4, self.page_size.into());
        let memory = self.records.len() as u64 * u64::from(self.page_size);
        put("dh_memory_size", 24, 8, memory);
        put("dh_memory_start", 32, 8, if wide { 0xffff_8100_0000_0000 } else { 0xc000_0000 });
        put("dh_memory_end", 40, 8, memory);
        let (pages, panic, seconds, microseconds, uts, size) = match version {
            1 if wide => (56, 60, 320, 328, 336, 728),
            1 => (56, 60, 316, 320, 324, 716),
            2..=7 if wide => (48, 52, 312, 320, 328, if version < 5 { 728 } else { 740 }),
            2..=7 => (48, 52, 308, 312, 316, if version < 5 { 712 } else { 724 }),
            _ => (48, 52, 308, 316, 324, if version < 9 { 734 } else { 742 }),
        };
        if version == 1 {
            put("dh_esp", 48, 4, 0xc030_1234);
            put("dh_eip", 52, 4, 0xc010_5678);
        }
        put("dh_header_size", 12, 4, size);
        put("dh_num_pages", pages, 4, self.records.len() as u64);
        let word = if wide || version >= 8 { 8 } else { 4 };
        put("dh_time.tv_sec", seconds, word, 1_100_000_000);
        put("dh_time.tv_usec", microseconds, word, 123_456);
        let method = self.method.into();
        match version {
            1 => {}
            2..=7 => {
                put("dh_current_task", if wide { 720 } else { 708 }, word, 0x1000);
                if version >= 5 {
                    let at = if wide { 728 } else { 712 };
                    put("dh_dump_compress", at, 4, method);
                    put("dh_dump_flags", at + 4, 4, 0);
                    put("dh_dump_device", at + 8, 4, 0x803);
                }
            }
            _ => {
                put("dh_current_task", 714, 8, 0x1000);
                put("dh_dump_compress", 722, 4, method);
                put("dh_dump_flags", 726, 4, 0);
                put("dh_dump_device", 730, 4, 0x803);
                if version >= 9 {
                    put("dh_dump_buffer_size", 734, 8, self.data_offset);
                }
            }
        }
        bytes.put_bytes(panic, b"Oops: built for a test");
        bytes.put_bytes(uts, &self.uts.to_bytes());
        bytes.grow(size as usize);
        layout.add("dh_utsname", uts as u64, 0);
        bytes.into_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::page_bytes;

    #[test]
    fn fields_and_records_are_where_the_layout_says() {
        for order in ByteOrder::ALL {
            for word in [WordSize::Bits32, WordSize::Bits64] {
                for version in VERSIONS {
                    let builder = LkcdBuilder::new(version, word, order)
                        .page(3, page_bytes(3))
                        .raw(9, page_bytes(9))
                        .patch("record.1.dp_size", 7);
                    let (file, layout) = builder.build_with_layout();
                    let get = |name: &str| layout.field(name).get(&file, order);
                    assert_eq!(get("dh_version"), u64::from(version));
                    assert_eq!((get("record.0.dp_address"), get("record.1.dp_size")), (3 << 12, 7));
                    assert_eq!(get("record.2.dp_flags"), u64::from(END));
                    assert_eq!(layout.records[0], 65536);
                    assert_eq!(layout.end + 16, file.len() as u64);
                    let uts = layout.field("dh_utsname").offset as usize;
                    assert_eq!(&file[uts..uts + 6], b"Linux\0");
                }
            }
        }
    }

    #[test]
    fn records_that_claim_more_than_they_have_leave_holes() {
        let builder = LkcdBuilder::new(8, WordSize::Bits32, ByteOrder::Little)
            .record(Record::new(0, RAW, [1; 8]).sized(0xa000_0000))
            .raw(1, [2; 4096]);
        let (parts, layout) = builder.build_parts();
        assert_eq!(layout.records, [65536, 65552 + 0xa000_0000]);
        assert_eq!(parts[&65536].len(), 24);
        let end = builder.clone().without_end().build_parts().1.end;
        assert_eq!(end, layout.end);
    }
}
