//! ELF dumps against small hand-made files.

use super::*;
use crate::Status;
use crate::arch::ByteOrder;
use crate::attr::{Attributes, Effects, Value};
use crate::io::{MmapPolicy, Source};
use alloc::format;
use alloc::string::String;
use alloc::vec;

/// A program header by its fields: type, offset, vaddr, paddr, filesz, memsz.
type Phdr = (u32, u64, u64, u64, u64, u64);
/// A section by its name, offset and size.
type Shdr = (&'static str, u64, u64);

const LOAD: u32 = 1;
const NOTE: u32 = 4;

/// What is written into an ELF file; everything else is zero.
struct Image {
    bits: u32,
    order: ByteOrder,
    machine: u64,
    phdrs: Vec<Phdr>,
    shdrs: Vec<Shdr>,
    phentsize: usize,
    /// Offset and bytes of contents.
    contents: Vec<(usize, Vec<u8>)>,
    size: usize,
    /// Count of program headers through section 0.
    xnum: bool,
    /// Index of the string table through section 0.
    xindex: bool,
}

const PHDRS: usize = 0x100;
const SHDRS: usize = 0x400;
const NAMES: usize = 0xa00;

impl Image {
    fn new(bits: u32, order: ByteOrder, machine: u64) -> Image {
        Image {
            bits,
            order,
            machine,
            phdrs: vec![],
            shdrs: vec![],
            phentsize: if bits == 64 { 56 } else { 32 },
            contents: vec![],
            size: 0x1000,
            xnum: false,
            xindex: false,
        }
    }

    fn x86_64() -> Image {
        Image::new(64, ByteOrder::Little, 62)
    }

    /// Adds a PT_LOAD with contents at `offset`: byte *i* is a function of its offset.
    fn load(mut self, offset: usize, virt: u64, phys: u64, filesz: usize, memsz: u64) -> Image {
        let bytes = (offset..offset + filesz).map(pattern).collect();
        self.contents.push((offset, bytes));
        self.phdrs.push((LOAD, offset as u64, virt, phys, filesz as u64, memsz));
        self
    }

    fn notes(mut self, offset: usize, bytes: Vec<u8>) -> Image {
        self.phdrs.push((NOTE, offset as u64, 0, 0, bytes.len() as u64, 0));
        self.contents.push((offset, bytes));
        self
    }

    fn section(mut self, name: &'static str, offset: usize, bytes: Vec<u8>) -> Image {
        self.shdrs.push((name, offset as u64, bytes.len() as u64));
        self.contents.push((offset, bytes));
        self
    }

    fn build(&self) -> Vec<u8> {
        let mut out = vec![0; self.size];
        let wide = self.bits == 64;
        let order = self.order;
        let put = |out: &mut Vec<u8>, at: usize, size: usize, value: u64| {
            if out.len() < at + size {
                out.resize(at + size, 0);
            }
            order.put(value, &mut out[at..at + size]);
        };
        out[..6].copy_from_slice(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            if wide { 2 } else { 1 },
            2 - order.number() as u8,
        ]);
        let word = if wide { 8 } else { 4 };
        put(&mut out, 16, 2, 4);
        put(&mut out, 18, 2, self.machine);
        put(&mut out, 20, 4, 1);
        put(&mut out, if wide { 32 } else { 28 }, word, PHDRS as u64);
        let halves = if wide { 54 } else { 42 };
        put(&mut out, halves, 2, self.phentsize as u64);
        put(&mut out, halves + 2, 2, if self.xnum { 0xffff } else { self.phdrs.len() as u64 });
        for (i, (kind, offset, virt, phys, filesz, memsz)) in self.phdrs.iter().enumerate() {
            let at = PHDRS + i * self.phentsize;
            put(&mut out, at, 4, (*kind).into());
            let first = if wide { 8 } else { 4 };
            for (nth, value) in [offset, virt, phys, filesz, memsz].into_iter().enumerate() {
                put(&mut out, at + first + nth * word, word, *value);
            }
        }
        if !self.shdrs.is_empty() || self.xnum {
            let stride = if wide { 64 } else { 40 };
            let mut names = vec![0];
            put(&mut out, if wide { 40 } else { 32 }, word, SHDRS as u64);
            put(&mut out, halves + 4, 2, stride as u64);
            put(&mut out, halves + 6, 2, self.shdrs.len() as u64 + 2);
            put(&mut out, halves + 8, 2, if self.xindex { 0xffff } else { 1 });
            for (i, (name, offset, size)) in self.shdrs.iter().enumerate() {
                let at = SHDRS + (i + 2) * stride;
                put(&mut out, at, 4, names.len() as u64);
                put(&mut out, at + if wide { 24 } else { 16 }, word, *offset);
                put(&mut out, at + if wide { 32 } else { 20 }, word, *size);
                names.extend(name.as_bytes());
                names.push(0);
            }
            // The last name has no NUL: the end of the table ends it.
            names.pop();
            let at = SHDRS + stride;
            put(&mut out, at + if wide { 24 } else { 16 }, word, NAMES as u64);
            put(&mut out, at + if wide { 32 } else { 20 }, word, names.len() as u64);
            out[NAMES..NAMES + names.len()].copy_from_slice(&names);
            if self.xnum {
                put(&mut out, SHDRS + if wide { 44 } else { 28 }, 4, self.phdrs.len() as u64);
            }
            if self.xindex {
                put(&mut out, SHDRS + if wide { 40 } else { 24 }, 4, 1);
            }
        }
        for (offset, bytes) in &self.contents {
            if out.len() < offset + bytes.len() {
                out.resize(offset + bytes.len(), 0);
            }
            out[*offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        out
    }

    fn open(&self) -> Dump {
        Dump::open(self.build()).unwrap()
    }
}

fn pattern(offset: usize) -> u8 {
    (offset % 253 + 1) as u8
}

fn note(order: ByteOrder, name: &str, kind: u64, desc: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 12];
    for (nth, number) in [name.len() as u64 + 1, desc.len() as u64, kind].into_iter().enumerate() {
        order.put(number, &mut bytes[nth * 4..nth * 4 + 4]);
    }
    for part in [name.as_bytes(), &[0]] {
        bytes.extend(part);
    }
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(desc);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// An open dump with everything that a reader above it would have.
struct Dump {
    attributes: Attributes,
    format: Box<dyn Format>,
    files: Shared<FileSet>,
}

impl Dump {
    fn open(bytes: Vec<u8>) -> Result<Dump> {
        Dump::open_with(vec![bytes], Attributes::new())
    }

    fn open_with(files: Vec<Vec<u8>>, attributes: Attributes) -> Result<Dump> {
        let sources = files.into_iter().map(|bytes| Shared::new(bytes) as Source).collect();
        let policy = Shared::new(MmapPolicy::new(MmapPolicy::TRY));
        let files = Shared::new(FileSet::open(sources, vec![], policy)?);
        let mut effects = Effects::default();
        let facts = Facts::new(&attributes, &mut effects);
        let format = open(&mut Opening { files: &files, facts })?;
        let format = format.ok_or_else(|| Error::not_implemented("Unknown file format"))?;
        Ok(Dump { attributes, format, files })
    }

    fn set(&self, path: &str, number: u64) {
        let handle = self.attributes.reference(Some(path)).unwrap();
        self.attributes.set(handle, Value::Number(number), true, &mut Effects::default()).unwrap();
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.attributes.number(path)
    }

    fn string(&self, path: &str) -> Option<String> {
        self.attributes.string(path).map(|text| String::from(&*text))
    }

    fn locate(&self, space: Space, value: u64) -> Result<Place> {
        self.format.locate(&self.attributes.geometry(), Address { space, value })
    }

    /// One page, however it comes; `None` if it has to be translated.
    fn page(&self, space: Space, value: u64) -> Result<Option<Vec<u8>>> {
        let geometry = self.attributes.geometry();
        let mut page = vec![0xee; 1 << geometry.page_shift.unwrap_or(12)];
        match self.locate(space, value)? {
            Place::Stored { file, position } => self.files.read(file, position, &mut page)?,
            Place::Filled => {
                let address = Address { space, value };
                self.format.fill(&geometry, address, &mut page, &mut Scratch::default())?;
            }
            Place::Translate => return Ok(None),
        }
        Ok(Some(page))
    }

    fn phys(&self, address: u64) -> Result<Vec<u8>> {
        Ok(self.page(Space::MachinePhysical, address)?.unwrap())
    }

    fn bitmap(&self, path: &str) -> Bitmap {
        let value = self.attributes.get(self.attributes.reference(Some(path)).unwrap()).unwrap();
        value.as_bitmap().unwrap().clone()
    }

    fn ranges(&self, path: &str) -> Vec<(u64, u64)> {
        self.bitmap(path).ranges().map(Result::unwrap).collect()
    }
}

fn stored(position: u64) -> Place {
    Place::Stored { file: 0, position }
}

fn refused(bytes: Vec<u8>) -> (Status, String) {
    let error = Dump::open(bytes).err().unwrap();
    (error.status(), error.message())
}

fn assert_not_found<T: core::fmt::Debug>(result: Result<T>) {
    let error = result.unwrap_err();
    assert_eq!((error.status(), error.message().as_str()), (Status::NoData, "Page not found"));
}

#[test]
fn both_classes_and_byte_orders_read_the_same() {
    for bits in [32, 64] {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let dump = Image::new(bits, order, 3)
                .load(0x1000, 0xc000_0000, 0x2000, 0x2000, 0x3000)
                .section(".unknown", 0xc00, vec![1; 8])
                .open();
            assert_eq!(dump.format.name(), "elf");
            assert_eq!(dump.string("file.description"), Some(format!("ELF{bits} dump")));
            assert_eq!(dump.number("arch.byte_order"), Some(order.number()));
            assert_eq!(dump.number("arch.machine"), Some(3));
            assert_eq!(dump.string("arch.name").as_deref(), Some("ia32"));
            assert_eq!(dump.number("arch.ptr_size"), Some(4));
            assert_eq!(dump.number("max_pfn"), Some(5));
            assert_eq!(dump.locate(Space::MachinePhysical, 0x3000).unwrap(), stored(0x2000));
            assert_eq!(dump.locate(Space::KernelVirtual, 0xc000_1000).unwrap(), stored(0x2000));
            assert_eq!(dump.phys(0x2000).unwrap()[5], pattern(0x1005));
            assert_eq!(dump.number("cpu.number"), None);
        }
    }
}

#[test]
fn machines_become_architectures() {
    for (machine, bits, name, page_size) in [
        (183, 64, Some("aarch64"), None),
        (40, 32, Some("arm"), Some(4096)),
        (41, 64, Some("alpha"), Some(8192)),
        (0x9026, 64, Some("alpha"), Some(8192)),
        (50, 64, Some("ia64"), None),
        (8, 32, Some("mips"), Some(4096)),
        (20, 32, Some("ppc"), None),
        (21, 64, Some("ppc64"), None),
        (243, 64, Some("riscv64"), Some(4096)),
        (243, 32, Some("riscv32"), Some(4096)),
        (22, 64, Some("s390x"), Some(4096)),
        (22, 32, Some("s390"), Some(4096)),
        (3, 64, Some("ia32"), Some(4096)),
        (62, 32, Some("x86_64"), Some(4096)),
        (258, 64, Some("loongarch64"), None),
        (43, 64, None, None),
    ] {
        let dump = Image::new(bits, ByteOrder::Big, machine).load(0x1000, 0, 0, 0x1000, 0x1000).open();
        assert_eq!(dump.string("arch.name").as_deref(), name, "{machine}");
        assert_eq!(dump.number("arch.page_size"), page_size, "{machine}");
        assert_eq!(dump.number("arch.machine"), Some(machine));
    }
}

#[test]
fn name_set_by_the_user_wins() {
    let attributes = Attributes::new();
    let name = attributes.reference(Some("arch.name")).unwrap();
    attributes.set(name, Value::from("arm"), true, &mut Effects::default()).unwrap();
    let image = Image::x86_64().load(0x1000, 0, 0, 0x1000, 0x1000).build();
    let dump = Dump::open_with(vec![image], attributes).unwrap();
    assert_eq!(dump.string("arch.name").as_deref(), Some("arm"));
    assert_eq!(dump.number("arch.machine"), Some(62));
}

#[test]
fn files_that_are_no_dump_say_what_is_wrong() {
    let good = Image::x86_64().load(0x1000, 0, 0, 0x1000, 0x1000).build();
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        refused(bytes)
    };
    assert_eq!(changed(0, 0).1, "Unknown file format");
    assert_eq!(changed(5, 3), (Status::NotImplemented, "Unsupported ELF data format: 3".into()));
    assert_eq!(changed(4, 9), (Status::NotImplemented, "Unsupported ELF class: 9".into()));
    assert_eq!(changed(16, 2).1, "Unsupported ELF class: 2");
    assert_eq!(changed(20, 0).1, "Unsupported ELF class: 2");
    assert_eq!(refused(b"\x7fELF\x02\x01\x01".to_vec()).1, "Unsupported ELF class: 2");
    assert_eq!(refused(good[..64].to_vec()), (Status::NotImplemented, "No content found".into()));
    assert_eq!(refused(vec![]).1, "Unknown file format");
    let two = Dump::open_with(vec![good.clone(), good], Attributes::new()).err().unwrap();
    assert_eq!(two.message(), "Multiple files not implemented");
    let only_notes = Image::x86_64().notes(0x1000, note(ByteOrder::Little, "CORE", 9, b"")).build();
    assert_eq!(refused(only_notes).1, "No content found");
    let empty_load = Image::x86_64().load(0x1000, 0, 0, 0, 0).open();
    assert_eq!(empty_load.number("max_pfn"), Some(0));
}

#[test]
fn entries_must_hold_a_header_but_may_be_longer_and_end_behind_the_file() {
    for (bits, least) in [(32, 32), (64, 56)] {
        let mut image = Image::new(bits, ByteOrder::Little, 62).load(0x1000, 0, 0x1000, 0x1000, 0x1000);
        image.phentsize = least - 1;
        assert_eq!(refused(image.build()).0, Status::Corrupt);
        image.phentsize = 200;
        assert_eq!(image.open().locate(Space::MachinePhysical, 0x1000).unwrap(), stored(0x1000));
        image.contents.clear();
        let cut = image.build()[..PHDRS + least].to_vec();
        let dump = Dump::open(cut).unwrap();
        assert_eq!(dump.phys(0x1000).unwrap(), [0; 4096], "what lies behind the end is zero");
    }
}

#[test]
fn counts_that_do_not_fit_come_from_section_0() {
    let mut image = Image::x86_64();
    for i in 0..3 {
        image = image.load(0x1000 + i * 0x1000, 0, 0x10000 + i as u64 * 0x2000, 0x1000, 0x1000);
    }
    image.xnum = true;
    image.xindex = true;
    assert_eq!(image.open().ranges("file.pagemap"), [(16, 16), (18, 18), (20, 20)]);
    let mut bytes = image.build();
    // Numbers beyond all measure: the entries behind the end are zeroes.
    bytes[60..62].fill(0);
    bytes[SHDRS + 32..SHDRS + 40].fill(0xff);
    bytes[SHDRS + 44..SHDRS + 48].fill(0xff);
    let dump = Dump::open(bytes).unwrap();
    assert_eq!(dump.ranges("file.pagemap"), [(16, 16), (18, 18), (20, 20)]);
}

#[test]
fn count_of_65535_is_meant_when_there_are_no_sections() {
    let mut bytes = Image::x86_64().load(0x1000, 0, 0x1000, 0x1000, 0x1000).build();
    bytes[56..58].fill(0xff);
    bytes[PHDRS + 56..0x1000].fill(0);
    let dump = Dump::open(bytes).unwrap();
    assert_eq!(dump.number("max_pfn"), Some(2));
}

#[test]
fn pages_are_merged_from_all_segments_that_touch_them() {
    let dump = Image::x86_64()
        .load(0x1000, 0, 0x1800, 0x800, 0x800) // Second half of page 1
        .load(0x2000, 0, 0x1200, 0x100, 0x100) // and something before it.
        .load(0x3000, 0, 0x2800, 0x400, 0x1800) // Middle of page 2, then memory only.
        .load(0x4000, 0, 0x6000, 0x1000, 0x1000)
        .open();
    let mut expected = vec![0; 4096];
    for i in 0..0x100 {
        expected[0x200 + i] = pattern(0x2000 + i);
    }
    for i in 0..0x800 {
        expected[0x800 + i] = pattern(0x1000 + i);
    }
    assert_eq!(dump.locate(Space::MachinePhysical, 0x1000).unwrap(), Place::Filled);
    assert_eq!(dump.phys(0x1000).unwrap(), expected);
    let tail = dump.phys(0x2000).unwrap();
    assert_eq!(tail[..0x800], [0; 0x800]);
    assert_eq!(tail[0x800], pattern(0x3000));
    assert_eq!(tail[0xbff], pattern(0x33ff));
    assert_eq!(tail[0xc00..], [0; 0x400]);
    assert_not_found(dump.phys(0x3000));
    assert_not_found(dump.phys(0));
    assert_not_found(dump.phys(0x5000)); // The page right before a segment.
    assert_not_found(dump.phys(0x7000));
    assert_eq!(dump.ranges("file.pagemap"), [(1, 2), (6, 6)]);
    assert_eq!(dump.ranges("memory.pagemap"), [(1, 3), (6, 6)]);
    assert_eq!(dump.number("max_pfn"), Some(7));

    dump.set("file.zero_excluded", 1);
    assert_eq!(dump.phys(0x3000).unwrap(), [0; 4096]);
    assert_eq!(dump.phys(0x2000).unwrap(), tail);
    assert_not_found(dump.phys(0x4000));
    assert_not_found(dump.phys(0x5000));
    let synthetic = dump.format.fill(
        &dump.attributes.geometry(),
        Address { space: Space::MachinePhysical, value: 0x3000 },
        &mut [0xee; 4096],
        &mut Scratch::default(),
    );
    assert_eq!(synthetic.unwrap(), Filled::Synthetic);
}

#[test]
fn stored_bytes_of_any_segment_beat_zeroes() {
    // The example of the specification: B lies in the unstored tail of A.
    let dump = Image::x86_64()
        .load(0x1000, 0, 0x40000, 0x3000, 0x7000)
        .load(0x5000, 0, 0x44000, 0x1000, 0x2000)
        .open();
    for page in 0..3u64 {
        let place = dump.locate(Space::MachinePhysical, 0x40000 + page * 0x1000).unwrap();
        assert_eq!(place, stored(0x1000 + page * 0x1000));
    }
    assert_eq!(dump.locate(Space::MachinePhysical, 0x44000).unwrap(), stored(0x5000));
    for excluded in [0x43000, 0x45000, 0x46000] {
        assert_not_found(dump.phys(excluded));
    }
    dump.set("file.zero_excluded", 1);
    assert_eq!(dump.locate(Space::MachinePhysical, 0x44000).unwrap(), stored(0x5000));
    for excluded in [0x43000, 0x45000, 0x46000] {
        assert_eq!(dump.phys(excluded).unwrap(), [0; 4096]);
    }
    assert_not_found(dump.phys(0x47000));
}

#[test]
fn among_segments_with_one_start_the_first_header_wins_byte_by_byte() {
    let dump =
        Image::x86_64().load(0x1000, 0, 0x5000, 0x800, 0x800).load(0x3000, 0, 0x5000, 0x1000, 0x1000).open();
    for _ in 0..2 {
        let page = dump.phys(0x5000).unwrap();
        assert_eq!(page[..0x800], (0x1000..0x1800).map(pattern).collect::<Vec<_>>());
        assert_eq!(page[0x800..], (0x3800..0x4000).map(pattern).collect::<Vec<_>>());
    }
}

#[test]
fn bitmaps_agree_with_a_plain_model() {
    let mut image = Image::x86_64();
    let mut seed = 12345u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    for _ in 0..11 {
        let (start, filesz) = (random(0x40000), random(0x6000) * random(2));
        image = image.load(0x2000, 0, start, filesz as usize, filesz + random(0x3000));
    }
    let dump = image.open();
    for (path, stored) in [("file.pagemap", true), ("memory.pagemap", false)] {
        let touched = |page: u64| {
            image.phdrs.iter().any(|&(_, _, _, start, filesz, memsz)| {
                let size = if stored { filesz } else { memsz };
                size > 0 && start >> 12 <= page && (start + size - 1) >> 12 >= page
            })
        };
        let bits = dump.bitmap(path);
        for from in 0..90u64 {
            assert_eq!(bits.find_set(from).ok(), (from..90).find(|page| touched(*page)));
            assert_eq!(bits.find_clear(from).unwrap(), (from..).find(|page| !touched(*page)).unwrap());
            let mut bytes = [0xaa; 12];
            bits.bits(from, from + 40, &mut bytes).unwrap();
            for i in 0..41 {
                assert_eq!(bytes[i as usize / 8] >> (i % 8) & 1 == 1, touched(from + i));
            }
            if stored {
                assert_eq!(dump.phys(from << 12).is_ok(), touched(from), "{from}");
            }
        }
    }
}

#[test]
fn spaces_are_kept_apart() {
    let dump = Image::x86_64()
        .load(0x1000, 0x5000, 0x2000, 0x1000, 0x1000)
        .load(0x3000, 0x2000, 0x5000, 0x1000, 0x1000)
        .open();
    assert_eq!(dump.format.spaces(), Spaces::NONE.with(Space::KernelVirtual).with(Space::MachinePhysical));
    assert_eq!(dump.locate(Space::KernelVirtual, 0x5000).unwrap(), stored(0x1000));
    assert_eq!(dump.locate(Space::MachinePhysical, 0x5000).unwrap(), stored(0x3000));
    assert_eq!(dump.locate(Space::KernelVirtual, 0x9000).unwrap(), Place::Translate);
    assert_eq!(dump.locate(Space::KernelVirtual, 0x1000).unwrap(), Place::Translate);
}

#[test]
fn segments_without_physical_address_are_in_no_pagemap() {
    for (bits, none) in [(32, 0xffff_ffff), (64, u64::MAX)] {
        let dump = Image::new(bits, ByteOrder::Little, 62)
            .load(0x1000, 0xc000_0000, none, 0x1000, 0x1000)
            .load(0x2000, 0xd000_0000, 0x3000, 0x1000, 0x1000)
            .open();
        assert_eq!(dump.number("max_pfn"), Some(4));
        assert_eq!(dump.ranges("memory.pagemap"), [(3, 3)]);
        assert_eq!(dump.locate(Space::KernelVirtual, 0xc000_0000).unwrap(), stored(0x1000));
    }
    let dump = Image::x86_64().load(0x1000, 0x1000, u64::MAX, 0x1000, 0x1000).open();
    assert!(dump.format.spaces().contains(Space::MachinePhysical));
    assert_eq!(dump.number("max_pfn"), Some(0));
    assert_eq!(dump.ranges("file.pagemap"), []);
}

#[test]
fn physical_address_0_everywhere_means_unknown_but_not_for_a_single_segment() {
    let one = Image::x86_64().load(0x1000, 0x7000, 0, 0x1000, 0x1000);
    let dump = one.open();
    assert_eq!(dump.locate(Space::MachinePhysical, 0).unwrap(), stored(0x1000));
    let dump = one.load(0x2000, 0x9000, 0, 0x1000, 0x1000).open();
    assert_eq!(dump.format.spaces(), Spaces::NONE.with(Space::KernelVirtual));
    assert_eq!(dump.number("max_pfn"), Some(0));
    assert_eq!(dump.ranges("file.pagemap"), []);
    assert_eq!(dump.locate(Space::KernelVirtual, 0x9000).unwrap(), stored(0x2000));
}

#[test]
fn virtual_address_0_everywhere_answers_no_virtual_address() {
    let one = Image::x86_64().load(0x1000, 0, 0x1000, 0x1000, 0x1000);
    assert_eq!(one.open().locate(Space::KernelVirtual, 0).unwrap(), stored(0x1000));
    let dump = one.load(0x2000, 0, 0x5000, 0x1000, 0x1000).open();
    assert_eq!(dump.locate(Space::KernelVirtual, 0).unwrap(), Place::Translate);
    assert_eq!(dump.page(Space::KernelVirtual, 0).unwrap(), None);
}

#[test]
fn page_size_may_come_after_the_open() {
    let dump = Image::new(64, ByteOrder::Little, 183).load(0x10000, 0, 0x20000, 0x10000, 0x20000).open();
    assert_eq!(dump.string("arch.name").as_deref(), Some("aarch64"));
    assert_eq!(dump.number("arch.page_size"), None);
    assert_eq!(dump.locate(Space::MachinePhysical, 0).unwrap_err().status(), Status::Invalid);
    assert_eq!(dump.format.page_shift(&dump.attributes.geometry()), None);
    let bits = dump.bitmap("file.pagemap");
    assert_eq!(bits.find_set(0).unwrap_err().status(), Status::NoData);
    dump.set("arch.page_size", 65536);
    assert_eq!(dump.locate(Space::MachinePhysical, 0x20000).unwrap(), stored(0x10000));
    assert_eq!(bits.ranges().map(Result::unwrap).collect::<Vec<_>>(), [(2, 2)]);
    assert_eq!(dump.ranges("memory.pagemap"), [(2, 3)]);
    // Another dump in the same tree has no say in what this bitmap shows.
    dump.attributes
        .clear(dump.attributes.reference(Some("arch.page_size")).unwrap(), &mut Effects::default())
        .unwrap();
    dump.set("arch.page_size", 4096);
    assert_eq!(bits.find_set(0).unwrap(), 2);
}

#[test]
fn page_size_of_vmcoreinfo_is_the_unit_of_everything() {
    let order = ByteOrder::Big;
    let dump = Image::new(64, order, 21)
        .notes(0xe00, note(order, "VMCOREINFO", 0, b"PAGESIZE=65536\nNUMBER(phys_base)=-1\n"))
        .load(0x10000, 0, 0x20000, 0x10000, 0x18000)
        .open();
    assert_eq!(dump.number("arch.page_size"), Some(65536));
    assert_eq!(dump.number("max_pfn"), Some(3), "a partial page at the end does not count");
    assert_eq!(dump.ranges("memory.pagemap"), [(2, 3)]);
    assert_eq!(dump.number("linux.phys_base"), Some(u64::MAX));
}

#[test]
fn notes_of_all_segments_are_read_in_both_passes() {
    let order = ByteOrder::Little;
    let mut second = note(order, "CORE", 1, &[2; 336]);
    second.extend(note(order, "CORE", 4, b"task"));
    second.extend([0xff; 100]);
    let image = Image::x86_64()
        .load(0x2000, 0, 0x1000, 0x1000, 0x1000)
        .notes(0x1000, note(order, "CORE", 1, &[1; 336]))
        .notes(0x1400, second);
    let dump = image.open();
    assert_eq!(dump.number("cpu.number"), Some(2));
    let pid = dump.attributes.get(dump.attributes.reference(Some("cpu.1.pid")).unwrap()).unwrap();
    assert_eq!(pid.as_number(), Some(0x0202_0202));
    let mut effects = Effects::default();
    assert!(lacks_vmcoreinfo_of_running_kernel(&Facts::new(&dump.attributes, &mut effects)));
    let short = image.notes(0x1800, note(order, "CORE", 1, &[0; 144])).build();
    assert_eq!(refused(short), (Status::Corrupt, "Wrong PRSTATUS size: 144".into()));
}

#[test]
fn little_endian_memory_behind_big_endian_headers_is_noticed() {
    let order = ByteOrder::Big;
    // MSR of a kernel at work (little, big endian), of a program, of nonsense.
    for (msr, memory) in [
        (0x8000_0000_0000_9033u64, ByteOrder::Little),
        (0x8000_0000_0000_9032, ByteOrder::Big),
        (0x8000_0000_0000_d033, ByteOrder::Big),
        (0x8fff_0000_0000_9033, ByteOrder::Big),
        (0, ByteOrder::Big),
    ] {
        let mut desc = [0; 504];
        desc[32..36].copy_from_slice(&77u32.to_be_bytes());
        desc[376..384].copy_from_slice(&msr.to_be_bytes());
        let dump = Image::new(64, order, 21)
            .load(0x2000, 0, 0x1000, 0x1000, 0x1000)
            .notes(0x1000, note(order, "CORE", 1, &desc))
            .open();
        assert_eq!(dump.number("arch.byte_order"), Some(memory.number()), "{msr:#x}");
        // Registers are those of the notes in any case.
        for (path, value) in [("cpu.0.reg.msr", msr), ("cpu.0.pid", 77)] {
            let read = dump.attributes.get(dump.attributes.reference(Some(path)).unwrap()).unwrap();
            assert_eq!(read.as_number(), Some(value), "{path}");
        }
    }
}

#[test]
fn notes_cut_off_by_the_end_of_the_file_continue_with_zeroes() {
    let order = ByteOrder::Little;
    let mut image = Image::x86_64().load(0x1000, 0, 0x1000, 0x10, 0x10);
    image = image.notes(0x1010, note(order, "CORE", 1, &[7; 336]));
    let bytes = image.build();
    let dump = Dump::open(bytes[..0x1010 + 20 + 100].to_vec()).unwrap();
    let blob = dump.attributes.get(dump.attributes.reference(Some("cpu.0.PRSTATUS")).unwrap()).unwrap();
    let blob = blob.as_blob().unwrap().to_vec();
    assert_eq!(blob[..100], [7; 100]);
    assert_eq!(blob[100..], [0; 236]);
}

#[test]
fn large_note_segments_are_walked_and_device_dumps_skipped() {
    let order = ByteOrder::Little;
    let mut bytes = note(order, "VMCOREDD", 0x700, &vec![0; 17 << 20]);
    bytes.extend(note(order, "CORE", 1, &[5; 336]));
    bytes.extend(note(order, "VMCOREINFO", 0, b"OSRELEASE=6.1.0"));
    bytes.extend([0xff; 40]);
    let dump = Image::x86_64().load(0x1000, 0, 0, 0x10, 0x10).notes(0x2000, bytes).open();
    assert_eq!(dump.number("cpu.number"), Some(1));
    assert_eq!(dump.string("linux.uts.release").as_deref(), Some("6.1.0"));
}

#[test]
fn sizes_at_the_end_of_the_address_space_do_not_wrap() {
    let top = u64::MAX - 0xfff;
    let dump = Image::x86_64()
        .load(0x1000, top, top, 0x1000, 0x1000)
        .load(0x2000, 0, top - 0x1000, 0x10, u64::MAX)
        .open();
    assert_eq!(dump.locate(Space::KernelVirtual, top).unwrap(), stored(0x1000));
    assert_eq!(dump.phys(top).unwrap()[0], pattern(0x1000));
    assert_eq!(dump.ranges("file.pagemap"), [(top / 4096 - 1, top / 4096)]);
    assert_eq!(dump.number("max_pfn"), Some(u64::MAX >> 12));
    let mut image = Image::x86_64().load(0x1000, 0, 0x1000, 0x1000, 0x1000);
    image.phdrs.push((LOAD, u64::MAX - 0x10, 0x8000, 0x8000, u64::MAX, u64::MAX));
    image.phdrs.push((NOTE, u64::MAX - 0x10, 0, 0, u64::MAX, 0));
    image.phdrs.push((NOTE, 0x1000, 0, 0, u64::MAX, 0));
    // Contents of holes are nowhere.
    image.phdrs.push((LOAD, u64::MAX, 0x4000, 0x4000, 0, 0x1000));
    let dump = image.open();
    assert_eq!(dump.phys(0x8000).unwrap(), [0; 4096]);
    assert_not_found(dump.phys(0x4000));
}

#[test]
fn hypervisor_dumps_have_no_virtual_addresses() {
    let order = ByteOrder::Little;
    let words: Vec<u8> = (1u64..=10).flat_map(u64::to_le_bytes).collect();
    let dump = Image::x86_64()
        .load(0x2000, 0x1000, 0x1000, 0x1000, 0x1000)
        .notes(0x1000, note(order, "Xen", 0x100_0001, &words))
        .open();
    assert_eq!(dump.format.spaces(), Spaces::NONE.with(Space::MachinePhysical));
    assert_eq!(dump.number("xen.type"), Some(1));
}

/// A domain with four pages, of which entry 2 is invalid.
fn domain(name: &'static str, table: &[u64]) -> Image {
    let bytes = table.iter().flat_map(|word| word.to_le_bytes()).collect();
    let pages = (0x3000..0x7000).map(pattern).collect();
    Image::x86_64().section(".xen_pages", 0x3000, pages).section(name, 0x1000, bytes)
}

#[test]
fn domain_pages_are_found_by_pfn_and_by_gmfn() {
    let none = u64::MAX;
    let image = domain(".xen_p2m", &[5, 105, 4, 106, none, none, 9, 30, 77]);
    let dump = image.open();
    assert_eq!(dump.format.name(), "xc_core_elf");
    assert_eq!(dump.number("xen.type"), Some(2));
    assert_eq!(dump.number("xen.xlat"), Some(1));
    assert_eq!(dump.number("max_pfn"), Some(10));
    assert_eq!(dump.format.spaces(), Spaces::NONE.with(Space::KernelPhysical).with(Space::MachinePhysical));
    for (pfn, gmfn, entry) in [(5, 105, 0), (4, 106, 1), (9, 30, 3)] {
        let place = stored(0x3000 + entry * 0x1000);
        assert_eq!(dump.locate(Space::KernelPhysical, pfn << 12).unwrap(), place);
        assert_eq!(dump.locate(Space::MachinePhysical, gmfn << 12).unwrap(), place);
        assert_eq!(dump.format.counterpart(pfn, Space::KernelPhysical).unwrap(), Some(gmfn));
        assert_eq!(dump.format.counterpart(gmfn, Space::MachinePhysical).unwrap(), Some(pfn));
    }
    assert_not_found(dump.locate(Space::MachinePhysical, 5 << 12));
    assert_not_found(dump.locate(Space::KernelPhysical, 105 << 12));
    let error = dump.format.counterpart(6, Space::KernelPhysical).unwrap_err();
    assert_eq!((error.status(), error.message().as_str()), (Status::NoData, "PFN not found"));
    assert_eq!(dump.format.counterpart(6, Space::MachinePhysical).unwrap_err().message(), "MFN not found");
    assert_eq!(dump.ranges("file.pagemap"), [(4, 5), (9, 9)]);
    assert_eq!(dump.ranges("memory.pagemap"), [(4, 5), (9, 9)]);
}

#[test]
fn auto_translated_domains_have_one_physical_space() {
    // Ascending, descending, single, repeated.
    let frames = [3, 4, 5, 6, 20, 19, 18, 40, 5, 5, 18, 50, 49];
    let dump = domain(".xen_pfn", &frames).open();
    assert_eq!(dump.number("xen.xlat"), Some(0));
    assert_eq!(dump.number("max_pfn"), Some(51));
    for frame in 0..60u64 {
        let place = dump.locate(Space::MachinePhysical, frame << 12);
        let entries: Vec<u64> = (0..).zip(frames).filter(|(_, f)| *f == frame).map(|(i, _)| i).collect();
        match place {
            Ok(Place::Stored { position, .. }) => {
                assert!(entries.contains(&((position - 0x3000) >> 12)), "{frame}");
                assert_eq!(dump.locate(Space::KernelPhysical, frame << 12).unwrap(), stored(position));
            }
            other => {
                assert!(entries.is_empty(), "{frame}");
                assert_not_found(other);
            }
        }
    }
    assert_eq!(dump.format.counterpart(3, Space::KernelPhysical).unwrap(), None);
}

#[test]
fn domain_pages_need_a_table_and_a_table_alone_is_no_domain() {
    let lost = Image::x86_64().section(".xen_pages", 0x3000, vec![0; 16]).build();
    assert_eq!(refused(lost), (Status::NotImplemented, "Missing Xen P2M mapping".into()));
    let table = Image::x86_64().section(".xen_pfn", 0x3000, vec![1; 16]).open();
    assert_eq!(table.format.name(), "elf");
    assert_eq!((table.number("xen.xlat"), table.number("xen.type")), (Some(0), None));
    assert_eq!(domain(".xen_pfn", &[]).open().number("max_pfn"), Some(0));
}

#[test]
fn domain_notes_and_contexts_become_attributes() {
    let order = ByteOrder::Little;
    let header: Vec<u8> = [0xf00f_ebedu64, 3, 4, 4096].into_iter().flat_map(u64::to_le_bytes).collect();
    let notes = note(order, "Xen", 0x200_0001, &header);
    let dump = domain(".xen_pfn", &[1, 2, 3, 4]).section(".note.Xen", 0x2000, notes.clone()).open();
    assert_eq!(dump.number("cpu.number"), Some(3));
    let contexts = (0..2 * 5168 + 7).map(pattern).collect();
    let dump = domain(".xen_pfn", &[1, 2, 3, 4])
        .section(".xen_prstatus", 0x8000, contexts)
        .section(".note.Xen", 0x2000, notes)
        .open();
    assert_eq!(dump.number("cpu.number"), Some(2));
    let cs = dump.attributes.get(dump.attributes.reference(Some("cpu.1.reg.cs")).unwrap()).unwrap();
    let expected = u64::from(pattern(5168 + 656)) | u64::from(pattern(5168 + 657)) << 8;
    assert_eq!(cs.as_number(), Some(expected));
    let version = note(order, ".note.Xen", 0x200_0003, &2u64.to_le_bytes());
    let odd = domain(".xen_pfn", &[1]).section(".note.Xen", 0x2000, version).build();
    assert_eq!(
        refused(odd),
        (
            Status::NotImplemented,
            "Cannot process Xen notes: Unsupported Xen dumpcore format version: 2".into()
        )
    );
}

#[test]
fn sections_of_any_size_cost_nothing() {
    let mut image = domain(".xen_pfn", &[1, 2, 3, 4]);
    image.shdrs.push((".note.Xen", 0x6fff, u64::MAX));
    image.shdrs.push((".xen_prstatus", 0x6fff, u64::MAX));
    image.shdrs.push((".xen_pfn", 0x6ff0, u64::MAX));
    let mut bytes = image.build();
    // The string table claims to be endless.
    bytes[SHDRS + 64 + 32..SHDRS + 64 + 40].fill(0xff);
    let dump = Dump::open(bytes).unwrap();
    assert_eq!(dump.format.name(), "xc_core_elf");
}

#[test]
fn truncated_files_open_at_any_length() {
    let order = ByteOrder::Little;
    let bytes = domain(".xen_p2m", &[1, 2, 3, 4])
        .load(0x1100, 0, 0x1000, 0x100, 0x1000)
        .notes(0x1200, note(order, "CORE", 1, &[0; 336]))
        .build();
    for length in (0..0x1600).step_by(7) {
        // Whatever comes out, it comes without a panic and soon.
        if let Ok(dump) = Dump::open(bytes[..length].to_vec()) {
            let _ = dump.phys(0x1000);
            dump.ranges("file.pagemap");
        }
    }
}

#[test]
fn damaged_headers_neither_panic_nor_take_long() {
    let order = ByteOrder::Little;
    let mut image = domain(".xen_p2m", &[1, 101, 2, 102, 3, 103])
        .section(".note.Xen", 0x2000, note(order, "Xen", 0x200_0001, &[0; 32]))
        .section(".xen_prstatus", 0x2100, vec![0; 64])
        .load(0x7000, 0x1000, 0x1800, 0x900, 0x1000)
        .load(0x8000, 0x2000, 0x2000, 0x1000, 0x3000)
        .notes(0x2200, note(order, "CORE", 1, &[0; 336]));
    image.xnum = true;
    let good = image.build();
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    for _ in 0..3000 {
        let mut bytes = good.clone();
        for _ in 0..1 + random(3) {
            // The header, the tables, the frame table or the notes.
            let start = [6, PHDRS, SHDRS, 0x1000, 0x2000, 0x2200][random(6)];
            let value = [0, 1, 0x7f, 0xff, random(256) as u8][random(5)];
            let at = start + random(0x180);
            bytes[at..at + [1, 4, 8][random(3)]].fill(value);
        }
        let Ok(dump) = Dump::open(bytes) else { continue };
        for page in [0, 1, 2, 3, 101, 0xf_ffff_ffff_ffff] {
            for space in [Space::KernelPhysical, Space::MachinePhysical, Space::KernelVirtual] {
                let _ = dump.page(space, page << 12);
            }
        }
        for path in ["file.pagemap", "memory.pagemap"] {
            let bits = dump.bitmap(path);
            let _ = (bits.find_set(2), bits.find_clear(1), bits.bits(0, 100, &mut [0; 13]));
        }
    }
}
