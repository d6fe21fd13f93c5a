//! What must hold for every format alike: a dump in each word size, byte order
//! and page codec that it has opens and reads; cut off, with wrong bits, or from
//! storage that fails, it never panics, never takes long, never takes much
//! memory, and never gives a wrong page.
//!
//! A new format gets a row in [`samples`].

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use kdumpfile::format::FORMATS;
use kdumpfile::io::{Live, LiveKind, ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Space, Status, Value};
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, WordSize};
use kdumpfile_testkit::elf::{Class, ElfBuilder, Section};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::flatten::Flattener;
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::lime::LimeBuilder;
use kdumpfile_testkit::lkcd::{LkcdBuilder, Method, VERSIONS};
use kdumpfile_testkit::notes::{NoteWriter, xen};
use kdumpfile_testkit::qemu::{guest, guest_page, mapped, save_image};
use kdumpfile_testkit::s390dump::{Packing, S390Builder};
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};
use kdumpfile_testkit::vmware::{VmwareBuilder, VmwareCpu};
use kdumpfile_testkit::vmware_guest::GuestBuilder;
use kdumpfile_testkit::windows::WindowsBuilder;
use kdumpfile_testkit::xc_core::XcCoreBuilder;
use kdumpfile_testkit::xc_save::{NO_PAGE, XcSaveBuilder};
use support::failure;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MIB: usize = 1 << 20;
const PAGE: u64 = 4096;

/// What the user must say before such a dump is opened.
#[derive(Clone, Debug, Default)]
enum Told {
    #[default]
    Nothing,
    /// The addresses of raw files.
    Bases(Vec<u64>),
    /// The source is the memory of a running machine.
    Live,
}

/// A dump and what is in it.
#[derive(Clone, Debug)]
struct Sample {
    /// Value of `file.format`.
    format: &'static str,
    what: String,
    files: Vec<Vec<u8>>,
    told: Told,
    space: Space,
    /// Number and bytes of all pages of 4 KiB.
    pages: Vec<(u64, Vec<u8>)>,
}

/// Bytes of a file, of which some reads fail.
struct Storage {
    bytes: FaultyReader<Vec<u8>>,
    live: Option<Live>,
}

impl ReadAt for Storage {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.bytes.read_at(pos, buf)
    }

    fn len(&self) -> Option<u64> {
        // Devices do not know.
        if self.live.is_some() { None } else { self.bytes.len() }
    }

    fn live(&self) -> Option<Live> {
        self.live.clone()
    }
}

impl Sample {
    fn new(format: &'static str, what: impl Into<String>, pages: &[u64], file: Vec<u8>) -> Sample {
        Sample {
            format,
            what: format!("{format}, {}", what.into()),
            files: vec![file],
            told: Told::Nothing,
            space: Space::MachinePhysical,
            pages: pages.iter().map(|pfn| (*pfn, page_bytes(*pfn))).collect(),
        }
    }

    fn files(self, files: Vec<Vec<u8>>) -> Sample {
        Sample { files, ..self }
    }

    /// The pages with these numbers are those of the image from 0 on.
    fn numbered(self) -> Sample {
        let pages = (0..).zip(self.pages).map(|(number, (pfn, _))| (pfn, page_bytes(number))).collect();
        Sample { pages, ..self }
    }

    /// Sources of these files, the reads of one of which follow a script.
    fn sources(&self, files: Vec<Vec<u8>>, faulty: Option<(usize, Script)>) -> Vec<Shared<Storage>> {
        let mut scripts: Vec<Option<Script>> = files.iter().map(|_| None).collect();
        if let Some((file, script)) = faulty {
            scripts[file] = Some(script);
        }
        let live = matches!(self.told, Told::Live).then(|| Live::new(LiveKind::Device, PAGE));
        let storage = |(bytes, script): (Vec<u8>, Option<Script>)| {
            let bytes = FaultyReader::with_script(bytes, script.unwrap_or_default());
            Shared::new(Storage { bytes, live: live.clone() })
        };
        files.into_iter().zip(scripts).map(storage).collect()
    }

    fn open(&self, sources: Vec<Source>) -> Result<Context> {
        let dump = Context::new();
        if let Told::Bases(bases) = &self.told {
            dump.set("file.set.number", Value::Number(bases.len() as u64))?;
            for (file, base) in bases.iter().enumerate() {
                dump.set(&format!("file.set.{file}.base"), Value::Address(*base))?;
            }
        }
        dump.open(sources)?;
        Ok(dump)
    }

    /// The files as they are given to users most often.
    fn open_bytes(&self, files: Vec<Vec<u8>>) -> Result<Context> {
        match self.told {
            Told::Live => {
                self.open(self.sources(files, None).into_iter().map(|source| source as Source).collect())
            }
            _ => self.open(files.into_iter().map(support::source).collect()),
        }
    }

    fn read(&self, dump: &Context, pfn: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0x5a; PAGE as usize];
        dump.read(self.space, pfn * PAGE, &mut bytes)?;
        Ok(bytes)
    }

    /// Looks at whatever there is; it may be wrong.
    fn look_at(&self, dump: &Context) {
        let others = [0, 3, 0x10_0001, u64::MAX >> 12];
        for pfn in self.pages.iter().map(|page| page.0).chain(others) {
            if let Err(error) = self.read(dump, pfn) {
                assert!(!error.message().is_empty());
            }
        }
        for path in ["file.pagemap", "memory.pagemap"] {
            let Ok(bitmap) = dump.bitmap(path) else { continue };
            let _ = (bitmap.find_set(0), bitmap.find_clear(0), bitmap.bits(0, 300, &mut [0; 38]));
            assert!(bitmap.ranges().take(50).flatten().all(|(first, last)| first <= last));
        }
        let _ = (dump.number("max_pfn"), dump.number("cpu.0.reg.cr3"), dump.translation_system());
    }
}

// --- The samples ------------------------------------------------------------------

fn elves() -> Vec<Sample> {
    let memory = [page_bytes(0), page_bytes(1)].concat();
    let mut samples = Vec::new();
    for (class, order, machine) in [
        (Class::Elf32, ByteOrder::Little, 3),
        (Class::Elf64, ByteOrder::Little, 62),
        (Class::Elf32, ByteOrder::Big, 22),
        (Class::Elf64, ByteOrder::Big, 22),
    ] {
        let builder = ElfBuilder::new(class, order, machine);
        let file = builder.load(0, memory.clone()).load(7 * PAGE, page_bytes(7)).build();
        samples.push(Sample::new("elf", format!("{class:?} {order:?}"), &[0, 1, 7], file));
    }
    let order = ByteOrder::Little;
    let domain = |section: Section| {
        let notes = NoteWriter::new(order)
            .push("Xen", xen::DUMPCORE_HEADER, xen::dumpcore_header(order, xen::MAGIC_PV, 1, 2, PAGE))
            .push("Xen", xen::DUMPCORE_FORMAT_VERSION, xen::format_version(order, 1));
        let builder = ElfBuilder::for_arch(kdumpfile_testkit::arch::Arch::X86_64);
        let builder = builder.section(Section::xen_notes(notes.finish())).section(section);
        builder.section(Section::xen_pages(memory.clone())).build()
    };
    let frames = domain(Section::xen_p2m(order, &[(1, 0x101), (2, 0x100)]));
    samples.push(Sample::new("xc_core_elf", "PV", &[0x101, 0x100], frames).numbered());
    let pfns = domain(Section::xen_pfn(order, &[1, 2]));
    samples.push(Sample::new("xc_core_elf", "HVM", &[1, 2], pfns).numbered());
    samples
}

const PFNS: [u64; 6] = [1, 2, 3, 9, 64, 70];

fn stored() -> [(u64, Vec<u8>); 6] {
    PFNS.map(|pfn| (pfn, page_bytes(pfn)))
}

fn diskdumps() -> Vec<Sample> {
    let mut samples = Vec::new();
    for word in [WordSize::Bits32, WordSize::Bits64] {
        for order in ByteOrder::ALL {
            let new = || DiskdumpBuilder::new(word, order).ram([4, 5]);
            let what = format!("{word:?} {order:?}");
            for codec in [Codec::Raw, Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd] {
                let file = new().pages(stored(), codec).build();
                samples.push(Sample::new("diskdump", format!("{what} {codec:?}"), &PFNS, file));
            }
            let whole = new().pages(stored(), Codec::Zlib);
            let set = Sample::new("diskdump", format!("{what}, split"), &PFNS, vec![]);
            samples.push(set.files(whole.build_set(&[3, 64])));
            let stream = Flattener::new().record_size(3000).flatten(&whole.build());
            samples.push(Sample::new("diskdump", format!("{what}, flattened"), &PFNS, stream));
        }
    }
    samples
}

fn lkcds() -> Vec<Sample> {
    let mut samples = Vec::new();
    for version in VERSIONS {
        for word in [WordSize::Bits32, WordSize::Bits64] {
            for order in ByteOrder::ALL {
                for method in Method::ALL {
                    if version < 5 && method != Method::Rle {
                        continue;
                    }
                    let builder = LkcdBuilder::new(version, word, order).method(method).pages(stored());
                    let builder = if version < 9 { builder } else { builder.data_offset(742) };
                    let what = format!("version {version} {word:?} {order:?} {method:?}");
                    samples.push(Sample::new("lkcd", what, &PFNS, builder.build()));
                }
            }
        }
    }
    samples
}

fn sadumps() -> Vec<Sample> {
    let mut samples = Vec::new();
    for variant in [Variant::Single, Variant::Media, Variant::Set(vec![3, 1])] {
        for (block, long_mode) in [(512, true), (4096, false)] {
            let builder = SadumpBuilder::new(variant.clone()).block_size(block).pages(stored()).ram([4, 5]);
            let cpus = [SmramState::distinct(1, long_mode), SmramState::unused()];
            let files = builder.cpus(cpus).build_set();
            let what = format!("{variant:?}, blocks of {block} bytes");
            samples.push(Sample::new("sadump", what, &PFNS, vec![]).files(files));
        }
    }
    samples
}

fn s390dumps() -> Vec<Sample> {
    let memory: Vec<u8> = (0..12).flat_map(page_bytes).collect();
    let pfns: Vec<u64> = (0..12).collect();
    let mut samples = Vec::new();
    for (arch, name) in [(1, "s390"), (2, "s390x")] {
        let file = S390Builder::new(memory.clone()).arch(arch).lowcores(&[0x2000]).build();
        samples.push(Sample::new("s390dump", name, &pfns, file));
    }
    for packing in [Packing::Raw, Packing::Zlib, Packing::Mixed] {
        for block in [512, 4096] {
            let (low, high) = memory.split_at(9 * PAGE as usize);
            let builder =
                S390Builder::extended(16 * PAGE as usize).block(block).entry_size(3 * PAGE as usize);
            let builder = builder.segment(0, low, packing).segment(9 * PAGE, high, packing);
            let what = format!("{packing:?} segments, blocks of {block} bytes");
            samples.push(Sample::new("s390dump", what, &pfns, builder.lowcores(&[0x2000]).build()));
        }
    }
    samples
}

fn limes() -> Vec<Sample> {
    let memory = |pfns: std::ops::Range<u64>| -> Vec<u8> { pfns.flat_map(page_bytes).collect() };
    let pfns: Vec<u64> = (0..20).chain(256..260).collect();
    let (low, high) = (memory(0..20), memory(256..260));
    let new = LimeBuilder::new;
    let at = 256 * PAGE;
    [
        ("lime", new().lime(0, &low).lime(at, &high)),
        ("avml", new().avml(0, &low).avml(at, &high)),
        // By its first record.
        ("avml", new().avml(0, &low).lime(at, &high)),
    ]
    .map(|(format, builder)| Sample::new(format, "two records", &pfns, builder.build()))
    .into()
}

fn streams() -> Vec<Sample> {
    let pages = |size: u64| -> Vec<(u64, Vec<u8>)> {
        let bytes: Vec<u8> = (0..64).flat_map(|n| guest_page(n, size as usize)).collect();
        (0..).zip(bytes.chunks(PAGE as usize).map(<[u8]>::to_vec)).collect()
    };
    let mut samples = Vec::new();
    for size in [1024, 4096] {
        let sample = Sample::new("qemu", format!("pages of {size} bytes"), &[], guest(size as usize));
        samples.push(Sample { pages: pages(size), ..sample });
    }
    let stored = [(3, page_bytes(3)), (12, page_bytes(12))];
    let file = mapped("pc-q35-9.0", "pc.ram", 16 * PAGE, &stored, 0, 0);
    samples.push(Sample::new("qemu", "mapped-ram", &[3, 12], file));
    for order in ByteOrder::ALL {
        let mut file = save_image(order, b"LibvirtQemudSave", 2, 0, "<domain/>", 512);
        file.extend(guest(1024));
        let sample = Sample::new("libvirt", format!("{order:?}"), &[], file);
        samples.push(Sample { pages: pages(1024), ..sample });
    }
    samples
}

fn xc_cores() -> Vec<Sample> {
    let mut samples = Vec::new();
    for word in [4, 8] {
        let pv = XcCoreBuilder::pv(word).cpu(vec![7; if word == 4 { 2800 } else { 5168 }]);
        let pv = pv.page(Some(0x105), page_bytes(0)).page(None, page_bytes(9)).page(Some(9), page_bytes(1));
        samples.push(Sample::new("xc_core", format!("PV, {word}"), &[0x105, 9], pv.build()).numbered());
        let hvm = XcCoreBuilder::hvm(word).cpu(vec![0; 5168]).aligned();
        let hvm = (0..3).fold(hvm, |dump, pfn| dump.page(Some(pfn), page_bytes(pfn)));
        samples.push(Sample::new("xc_core", format!("HVM, {word}"), &[0, 1, 2], hvm.build()));
    }
    samples
}

fn xc_saves() -> Vec<Sample> {
    let pfns = [0, 1, 9, 600];
    let save = |word: usize| {
        let page = |pfn: u64, number: u64| (0, pfn, page_bytes(number));
        let save = XcSaveBuilder::new(word, 700).batch(&[page(0, 0), page(1, 77), page(9, 9)]).marker(-1);
        let save = save.batch(&[page(1, 1), (NO_PAGE, 5, vec![]), page(600, 600)]).missing(&[3]);
        save.cpu(&vec![7; if word == 4 { 2800 } else { 5168 }]).build()
    };
    [4, 8].map(|word| Sample::new("xc_save", format!("{word}"), &pfns, save(word))).into()
}

fn windows() -> Vec<Sample> {
    let pfns = [1, 2, 3, 0x100];
    let memory = |pfns: &[u64]| -> Vec<u8> { pfns.iter().flat_map(|pfn| page_bytes(*pfn)).collect() };
    let runs =
        |bits| WindowsBuilder::new(bits).run(1, 3, &memory(&pfns[..3])).run(0x100, 1, &memory(&pfns[3..]));
    let mut bitmap = vec![0; 0x21];
    (bitmap[0], bitmap[0x20]) = (0b1110, 1);
    let mapped = WindowsBuilder::new(64).kind(5).bitmap(b"FDMPDUMP", 0x101, &bitmap, &memory(&pfns));
    [("64", runs(64)), ("32", runs(32)), ("bitmap", mapped)]
        .map(|(what, dump)| Sample::new("windows", what, &pfns, dump.build()))
        .into()
}

fn vmwares() -> Vec<Sample> {
    let cpu = VmwareCpu {
        general: [0xffff_8880_0000_1000; 16],
        rip: 0xffff_ffff_8100_0000,
        eflags: 0x246,
        cr: [0x8005_0033, 0, 0, 0xa000, 0x3706f0],
        idt: 0xffff_fe00_0000_0000,
        segments: [(0x10, 0); 8],
    };
    let memory: Vec<u8> = (0..4).flat_map(page_bytes).collect();
    let mut samples = Vec::new();
    for magic in [0xBED0_BED0, 0xBED2_BED0, 0xBED2_BED2, 0xBED3_BED3, 0xBAD1_BAD1, 0xBAD2_BAD2] {
        let regions = VmwareBuilder::new(magic).group("memory").regions(&[(0, 0, 2), (2, 0x100, 2)]);
        let state = regions.group("cpu").number("cpu:numVCPUs", &[], 4, 1).cpu(0, &cpu).build();
        let sample = Sample::new("vmware", format!("{magic:#x} with .vmem"), &[0, 1, 0x100, 0x101], vec![]);
        samples.push(sample.numbered().files(vec![state, memory.clone()]));
        let embedded = VmwareBuilder::new(magic).group("cpu").cpu_in_blocks(0, &cpu).group("memory");
        let file = embedded.block("Memory", &[], 5, &memory).build();
        samples.push(Sample::new("vmware", format!("{magic:#x}"), &[0, 1, 2, 3], file));
    }
    for (version, arch) in [(1, 1), (3, 1), (4, 1), (5, 1), (6, 1), (7, 1), (7, 0)] {
        let state = GuestBuilder::new(version, 4).cpus(1).arch(arch).hole(2, 3).hole(6, 0x100).build();
        let what = format!("version {version}, architecture {arch}");
        let sample = Sample::new("vmware_guest", what, &[0, 1, 5, 0x106], vec![]);
        samples.push(sample.numbered().files(vec![state, memory.clone()]));
    }
    samples
}

fn memories() -> Vec<Sample> {
    let memory = |pfns: std::ops::Range<u64>| -> Vec<u8> { pfns.flat_map(page_bytes).collect() };
    let pfns: Vec<u64> = (0..8).collect();
    let raw = |what, bases: &[u64], pfns: &[u64], files| Sample {
        told: Told::Bases(bases.to_vec()),
        ..Sample::new("raw", what, pfns, vec![]).files(files)
    };
    let live = Sample::new("memory", "device", &pfns, memory(0..8));
    vec![
        raw("one file", &[0x4000], &[4, 5, 6], vec![memory(4..7)]),
        raw("two files", &[0x10_0000, 0], &[0, 1, 256, 257], vec![memory(256..258), memory(0..2)]),
        Sample { told: Told::Live, space: Space::KernelPhysical, ..live },
    ]
}

/// One sample at least of each format, grouped by the value of `file.format`.
fn samples() -> Vec<(&'static str, Vec<Sample>)> {
    let all = [
        elves(),
        streams(),
        xc_saves(),
        xc_cores(),
        windows(),
        diskdumps(),
        lkcds(),
        s390dumps(),
        sadumps(),
        memories(),
        limes(),
        vmwares(),
    ];
    let mut groups: Vec<(&'static str, Vec<Sample>)> = Vec::new();
    for sample in all.into_iter().flatten() {
        match groups.iter_mut().find(|group| group.0 == sample.format) {
            Some(group) => group.1.push(sample),
            None => groups.push((sample.format, vec![sample])),
        }
    }
    groups
}

fn each() -> impl Iterator<Item = Sample> {
    samples().into_iter().flat_map(|group| group.1)
}

// --- Whole ------------------------------------------------------------------------

#[test]
fn every_format_that_can_be_read_is_among_the_samples() {
    let mut known: BTreeSet<&str> = FORMATS.iter().filter(|row| row.reads).map(|row| row.name).collect();
    // One that the user names, and those that are another format's relatives.
    known.extend(["raw", "xc_core_elf", "avml"]);
    let here: BTreeSet<&str> = samples().into_iter().map(|group| group.0).collect();
    assert_eq!(here, known);
}

/// In this order files are probed: that of the C library first, its names
/// included, then what is read beyond it. Section 1.1.
#[test]
fn formats_are_probed_in_the_order_of_the_c_library_and_then_in_ours() {
    let names: Vec<&str> = FORMATS.iter().map(|row| row.name).collect();
    let of_the_c_library = [
        "elf", "qemu", "libvirt", "xc_save", "xc_core", "diskdump", "lkcd", "mclxcd", "s390dump", "sadump",
        "memory",
    ];
    assert_eq!(names[..11], of_the_c_library);
    assert_eq!(names[11..], ["lime", "vmware", "vmware_guest", "xl_save", "windows"]);
    let refused: Vec<&str> = FORMATS.iter().filter(|row| !row.reads).map(|row| row.name).collect();
    assert_eq!(refused, ["mclxcd", "xl_save"]);
}

/// `KDUMPFILE_SAMPLES` names a folder where the files are kept for other
/// programs (`ci/crash.sh`).
#[cfg(feature = "std")]
#[test]
fn every_format_opens_by_the_paths_of_its_files() {
    let kept = std::env::var_os("KDUMPFILE_SAMPLES").map(std::path::PathBuf::from);
    let folder = kept.clone().unwrap_or_else(|| {
        std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("samples-{}", std::process::id()))
    });
    std::fs::create_dir_all(&folder).unwrap();
    for (format, samples) in samples() {
        for (number, sample) in samples.iter().enumerate() {
            let path = |file| folder.join(format!("{format}-{number:02}.{file}"));
            let paths: Vec<_> = (0..sample.files.len()).map(path).collect();
            for (path, bytes) in paths.iter().zip(&sample.files) {
                std::fs::write(path, bytes).unwrap();
            }
            // What a running machine is, is not in a file.
            if matches!(sample.told, Told::Nothing) {
                let dump = Context::new();
                dump.open_paths(&paths).unwrap_or_else(|error| panic!("{}: {error}", sample.what));
                assert_eq!(dump.string("file.format").unwrap(), format, "{}", sample.what);
                let (pfn, bytes) = &sample.pages[0];
                assert!(sample.read(&dump, *pfn).unwrap() == *bytes, "{}", sample.what);
            }
        }
    }
    if kept.is_none() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// Each file of a dump packed by `pack`, opened and read. Raw images and live
/// memory are what they are, and have no containers.
fn reads_inside(container: &str, archive: Option<&str>, pack: impl Fn(&[u8]) -> Vec<u8>) {
    for sample in chosen().filter(|sample| matches!(sample.told, Told::Nothing)) {
        let what = format!("{} in {container}", sample.what);
        let files = sample.files.iter().map(|file| pack(file)).collect();
        let dump = sample.open_bytes(files).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(dump.string("file.format").unwrap(), sample.format, "{what}");
        for file in 0..sample.files.len() {
            let told = dump.string(&format!("file.set.{file}.archive"));
            assert_eq!(told.ok().as_deref(), archive, "{what}");
        }
        for (pfn, bytes) in &sample.pages {
            assert!(sample.read(&dump, *pfn).unwrap() == *bytes, "{what}: page {pfn:#x}");
        }
    }
}

#[test]
fn every_format_reads_inside_a_flattened_stream() {
    reads_inside("a flattened stream", None, |file| match file.starts_with(b"makedumpfile") {
        true => file.to_vec(),
        false => Flattener::new().record_size(5000).flatten(file),
    });
}

#[cfg(feature = "archive")]
#[test]
fn every_format_reads_inside_an_archive() {
    reads_inside("gzip", Some("gzip"), kdumpfile_testkit::compress::gzip);
    reads_inside("zstd", Some("zstd"), kdumpfile_testkit::compress::zstd);
}

#[test]
fn every_word_size_byte_order_and_codec_of_every_format_reads() {
    for sample in each() {
        let what = &sample.what;
        let dump = sample.open_bytes(sample.files.clone()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(dump.string("file.format").unwrap(), sample.format, "{what}");
        assert!(!sample.pages.is_empty(), "{what}");
        for (pfn, bytes) in &sample.pages {
            assert!(sample.read(&dump, *pfn).unwrap() == *bytes, "{what}: page {pfn:#x}");
        }
        // That of a Xen domain has its own frame numbers, not those of the machine.
        if let (Ok(pagemap), false) = (dump.bitmap("file.pagemap"), sample.format == "xc_core_elf") {
            for (pfn, _) in &sample.pages {
                assert_eq!(pagemap.find_set(*pfn).unwrap(), *pfn, "{what}");
            }
        }
        for missing in [0x3_0000, u64::MAX >> 12] {
            let (status, text) = failure(sample.read(&dump, missing));
            assert!(status == Status::NoData && !text.is_empty(), "{what}: page {missing:#x}: {text}");
        }
        // Reads that are not those of pages.
        let mut bytes = [0; 100];
        let (pfn, page) = &sample.pages[0];
        dump.read(sample.space, pfn * PAGE + 1234, &mut bytes).unwrap();
        assert!(bytes == page[1234..1334], "{what}");
    }
}

// --- Damaged ----------------------------------------------------------------------

/// Opens a damaged dump and looks at it; whether it opened, and the peak of memory.
fn survives(sample: &Sample, files: Vec<Vec<u8>>, what: &str) -> (bool, usize) {
    let start = Instant::now();
    let (opened, peak, _) = ALLOCATOR.measure(|| match sample.open_bytes(files) {
        Ok(dump) => {
            sample.look_at(&dump);
            true
        }
        Err(error) => {
            assert!(!error.message().is_empty());
            false
        }
    });
    let took = start.elapsed();
    assert!(took < Duration::from_secs(20), "{}, {what}: {took:?}", sample.what);
    assert!(peak < 4 * MIB, "{}, {what}: {peak} bytes", sample.what);
    (opened, peak)
}

/// Damages each sample of each format, `times` times a format in all, and at
/// least 20 times a sample.
fn damage(seed: u64, times: usize, mut harm: impl FnMut(&mut Rng, &mut Vec<u8>) -> String) {
    for (format, samples) in samples() {
        let mut rng = Rng::new(seed);
        let (mut opened, mut peak) = (0, 0);
        let each = times.div_ceil(samples.len()).max(20);
        for sample in &samples {
            for _ in 0..each {
                let mut files = sample.files.clone();
                let file = rng.below(files.len() as u64) as usize;
                let what = format!("file {file} {}", harm(&mut rng, &mut files[file]));
                let done = survives(sample, files, &what);
                opened += usize::from(done.0);
                peak = peak.max(done.1);
            }
        }
        let all = each * samples.len();
        println!("{format}, seed {seed}: {opened} of {all} opened, peak {peak} bytes");
    }
}

#[test]
fn files_cut_at_200_random_places_never_panic() {
    damage(200, 200, |rng, file| {
        // Every other time among the headers.
        let end = if rng.below(2) == 0 { 4096.min(file.len()) } else { file.len() };
        let len = rng.below(end as u64) as usize;
        file.truncate(len);
        format!("cut at {len}")
    });
}

#[test]
fn files_with_2000_wrong_bits_never_panic() {
    damage(2000, 2000, |rng, file| {
        let mut places = Vec::new();
        for _ in 0..1 + rng.below(3) {
            let end = match rng.below(4) {
                0 => 128,
                1 => 1024,
                2 => 8192,
                _ => file.len(),
            };
            let at = rng.below(end.min(file.len()) as u64) as usize;
            file[at] ^= 1 << rng.below(8);
            places.push(at);
        }
        format!("wrong at {places:?}")
    });
}

// --- From storage that fails ------------------------------------------------------

/// The samples of which each read fails: as many of each format as differ in
/// what is read.
fn chosen() -> impl Iterator<Item = Sample> {
    samples().into_iter().flat_map(|(_, samples)| {
        let step = samples.len().div_ceil(8);
        samples.into_iter().step_by(step)
    })
}

/// Runs `check` for each read of each file: with a sample, the sources of which
/// one has a fault at that read, and a text.
fn at_each_read(fault: &Fault, check: impl Fn(&Sample, Vec<Source>, &str)) {
    for sample in chosen() {
        for file in 0..sample.files.len() {
            for number in 0.. {
                let script = Script::new(number).with(When::Nth(number), fault.clone());
                let sources = sample.sources(sample.files.clone(), Some((file, script)));
                let watched = sources[file].clone();
                let what = format!("{}: {fault:?} at read {number} of file {file}", sample.what);
                check(&sample, sources.into_iter().map(|source| source as Source).collect(), &what);
                if watched.bytes.script().calls().len() as u64 <= number {
                    assert!(number > 0, "{what}: nothing was read");
                    break;
                }
            }
        }
    }
}

#[test]
fn each_read_may_fail_and_is_told_and_no_page_is_wrong() {
    at_each_read(&Fault::Fail("Input/output error".into()), |sample, sources, what| {
        let dump = match sample.open(sources) {
            Ok(dump) => dump,
            Err(error) => {
                assert_eq!(error.status(), Status::System, "{what}: {error}");
                return assert!(error.message().ends_with("Input/output error"), "{what}: {error}");
            }
        };
        for (pfn, bytes) in &sample.pages {
            match sample.read(&dump, *pfn) {
                Ok(read) => assert!(read == *bytes, "{what}: page {pfn:#x}"),
                Err(error) => {
                    assert_eq!(error.status(), Status::System, "{what}: page {pfn:#x}: {error}");
                    assert!(error.message().ends_with("Input/output error"), "{what}: {error}");
                    // The fault is over.
                    assert!(sample.read(&dump, *pfn).unwrap() == *bytes, "{what}: page {pfn:#x} again");
                }
            }
        }
    });
}

#[test]
fn each_read_may_fall_short_and_nothing_changes() {
    for short in [1, 7] {
        at_each_read(&Fault::Short(short), |sample, sources, what| {
            let dump = sample.open(sources).unwrap_or_else(|error| panic!("{what}: {error}"));
            for (pfn, bytes) in &sample.pages {
                assert!(sample.read(&dump, *pfn).unwrap() == *bytes, "{what}: page {pfn:#x}");
            }
        });
    }
}
