//! Valid dumps, each small, which the structure-aware targets change.

use std::sync::OnceLock;

use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DISKDUMP, DiskdumpBuilder, DiskdumpLayout, WordSize};
use kdumpfile_testkit::elf::{Class, ElfBuilder, ElfLayout, Section, Segment};
use kdumpfile_testkit::endian::{ByteOrder, Field};
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::lime::LimeBuilder;
use kdumpfile_testkit::lkcd::{LkcdBuilder, Method, Record};
use kdumpfile_testkit::notes::{Note, NoteWriter, Utsname, Vmcoreinfo, prstatus, prstatus_layout, xen};
use kdumpfile_testkit::s390dump::{Packing, S390Builder};
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};
use kdumpfile_testkit::vmware::{VmwareBuilder, VmwareCpu};
use kdumpfile_testkit::vmware_guest::GuestBuilder;
use kdumpfile_testkit::windows::WindowsBuilder;
use kdumpfile_testkit::xc_core::XcCoreBuilder;
use kdumpfile_testkit::xc_save::{NO_PAGE, XcSaveBuilder};

/// A dump, where its fields are, and what must stay for it to be recognised.
pub struct Template {
    pub bytes: Vec<u8>,
    pub order: ByteOrder,
    pub fields: Vec<Field>,
    pub signature: usize,
}

const PAGE: usize = 4096;

/// Notes of two CPUs and VMCOREINFO, as a kernel on `arch` leaves them.
pub fn linux_notes(arch: Arch, order: ByteOrder) -> Vec<u8> {
    let text = Vmcoreinfo::linux("6.1.0-fuzz", PAGE as u64)
        .symbol("swapper_pg_dir", 0xffff_ffff_8260_a000)
        .symbol("init_uts_ns", 0xffff_ffff_8261_2345)
        .size("list_head", 16)
        .offset("page", "flags", 0)
        .length("mem_section", 2048)
        .number("phys_base", 0x100_0000)
        .config("PGTABLE_LEVELS");
    let mut notes = NoteWriter::new(order);
    if prstatus_layout(arch).is_some() {
        for cpu in 0..2 {
            notes = notes.note(Note::core(1, prstatus(arch, order, 100 + cpu, |i, _| 0x1111 * i as u64)));
        }
    }
    notes.note(Note::vmcoreinfo(text.to_bytes())).finish()
}

fn pages(first: u64, count: u64) -> Vec<u8> {
    let ram = RamImage::new(5, PAGE);
    (first..first + count).flat_map(|pfn| ram.page_bytes(pfn)).collect()
}

fn elf(builder: ElfBuilder, phdrs: usize, shdrs: usize) -> Template {
    let order = builder.order();
    let (bytes, layout) = builder.build_with_layout();
    Template { fields: elf_fields(&layout, phdrs, shdrs), bytes, order, signature: 4 }
}

fn elf_fields(layout: &ElfLayout, phdrs: usize, shdrs: usize) -> Vec<Field> {
    let mut names: Vec<String> = [
        "ei_class",
        "ei_data",
        "e_type",
        "e_machine",
        "e_phoff",
        "e_shoff",
        "e_phentsize",
        "e_phnum",
        "e_shentsize",
        "e_shnum",
        "e_shstrndx",
    ]
    .map(String::from)
    .to_vec();
    for i in 0..phdrs {
        let fields = ["p_type", "p_offset", "p_vaddr", "p_paddr", "p_filesz", "p_memsz"];
        names.extend(fields.map(|field| format!("p{i}.{field}")));
    }
    for i in 0..shdrs {
        let fields = ["sh_name", "sh_type", "sh_offset", "sh_size", "sh_link", "sh_info"];
        names.extend(fields.map(|field| format!("s{i}.{field}")));
    }
    names.iter().map(|name| layout.field(name)).collect()
}

/// ELF cores of several architectures and writers.
pub fn elves() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let linux = |arch: Arch, base: u64| {
            let builder = ElfBuilder::for_arch(arch);
            let order = builder.order();
            builder
                .note(linux_notes(arch, order))
                .segment(Segment::load(0, pages(0, 2)).vaddr(base))
                .segment(Segment::load(0x4000, pages(4, 1)).vaddr(base + 0x4000).memsz(0x2000))
        };
        let order = ByteOrder::Little;
        let domain = |section: Section| {
            let notes = NoteWriter::new(order)
                .push("Xen", xen::DUMPCORE_HEADER, xen::dumpcore_header(order, xen::MAGIC_PV, 1, 2, 4096))
                .push("Xen", xen::DUMPCORE_FORMAT_VERSION, xen::format_version(order, 1));
            ElfBuilder::for_arch(Arch::X86_64)
                .section(Section::xen_notes(notes.finish()))
                .section(section)
                .section(Section::xen_pages(pages(0, 2)))
        };
        vec![
            elf(linux(Arch::X86_64, 0xffff_8880_0000_0000), 3, 0),
            elf(linux(Arch::Ia32, 0xc000_0000), 3, 0),
            elf(linux(Arch::S390x, 0), 3, 0),
            elf(linux(Arch::Ppc64, 0xc000_0000_0000_0000), 3, 0),
            elf(linux(Arch::Aarch64, 0xffff_0000_0000_0000).extended_phnum(), 3, 1),
            elf(ElfBuilder::new(Class::Elf32, ByteOrder::Big, 20).load(0, pages(0, 2)), 1, 0),
            elf(domain(Section::xen_p2m(order, &[(1, 0x101), (2, 0x100)])), 0, 4),
            elf(domain(Section::xen_pfn(order, &[1, 2])).extended_shnum().extended_strndx(), 0, 4),
        ]
    })
}

fn diskdump(builder: DiskdumpBuilder, order: ByteOrder) -> Template {
    let (bytes, layout) = builder.build_with_layout();
    Template { fields: diskdump_fields(&layout), bytes, order, signature: 8 }
}

fn diskdump_fields(layout: &DiskdumpLayout) -> Vec<Field> {
    let mut names: Vec<String> = [
        "header_version",
        "status",
        "block_size",
        "sub_hdr_size",
        "bitmap_blocks",
        "max_mapnr",
        "total_ram_blocks",
        "nr_cpus",
        "phys_base",
        "dump_level",
        "split",
        "start_pfn",
        "end_pfn",
        "offset_vmcoreinfo",
        "size_vmcoreinfo",
        "offset_note",
        "size_note",
        "offset_eraseinfo",
        "size_eraseinfo",
        "start_pfn_64",
        "end_pfn_64",
        "max_mapnr_64",
    ]
    .map(String::from)
    .to_vec();
    for pfn in layout.pages.keys().take(4) {
        names.extend(["offset", "size", "flags"].map(|field| format!("page.{pfn}.{field}")));
    }
    names.iter().map(|name| layout.field(name)).collect()
}

fn kdump(arch: Arch, codec: Codec) -> DiskdumpBuilder {
    let ram = RamImage::new(9, PAGE);
    let order = arch.usual_order();
    let stored = [1, 2, 3, 9].map(|pfn| (pfn, ram.page_bytes(pfn)));
    DiskdumpBuilder::for_arch(arch)
        .pages(stored, codec)
        .share_zero_pages()
        .ram([4, 5])
        .notes(linux_notes(arch, order))
        .vmcoreinfo("OSRELEASE=6.1.0-fuzz\nPAGESIZE=4096\n")
        .eraseinfo("erase foo\n")
        .max_mapnr(12)
}

/// Diskdumps of several versions and architectures, one for each codec.
pub fn diskdumps() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |arch: Arch, codec, change: fn(DiskdumpBuilder) -> DiskdumpBuilder| {
            diskdump(change(kdump(arch, codec)), arch.usual_order())
        };
        vec![
            of(Arch::X86_64, Codec::Zlib, |dump| dump),
            of(Arch::X86_64, Codec::Zstd, |dump| dump.version(5)),
            of(Arch::Ia32, Codec::Lzo, |dump| dump.version(4)),
            of(Arch::S390x, Codec::Snappy, |dump| dump.one_bitmap()),
            of(Arch::Arm, Codec::Zlib, |dump| dump.phys_base(0x8000_0000)),
            of(Arch::Ppc64, Codec::Lzo, |dump| dump.version(3).shuffle_data(3)),
            of(Arch::X86_64, Codec::Raw, |dump| dump.signature(DISKDUMP).version(0).tasks(&[1, 2])),
            // As QEMU writes it.
            of(Arch::Aarch64, Codec::Snappy, |dump| dump.utsname(Utsname::qemu("Unknown"))),
        ]
    })
}

fn lkcd(version: u32, word: WordSize, order: ByteOrder, method: Method) -> Template {
    let ram = RamImage::new(9, PAGE);
    let stored = [9, 1, 2, 3, 0x10_0000].map(|pfn| (pfn, ram.page_bytes(pfn)));
    let builder = LkcdBuilder::new(version, word, order)
        .method(method)
        .data_offset(match version {
            ..9 => 65536,
            9 => 4096,
            _ => 742,
        })
        .pages(stored)
        // Pages that cannot be read.
        .record(Record::new(12 << 12, 0, [7; 40]))
        .packed(13, [0, 5, 1]);
    let registers = |cpu: u64| (0..21).map(|number| cpu << 32 | number).collect::<Vec<u64>>();
    let builder = match version {
        9 => builder.cpus(Arch::X86_64, 4, (1, registers(1)), vec![registers(0), vec![0; 21]]),
        _ => builder,
    };
    let (bytes, layout) = builder.build_with_layout();
    let fields = layout.fields().map(|(_, field)| field).filter(|field| field.width > 0).collect();
    Template { bytes, order, fields, signature: 8 }
}

/// LKCD dumps of each layout and method. Where records begin is said by the
/// last ones, which are small for that reason.
pub fn lkcds() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        use ByteOrder::{Big, Little};
        use WordSize::{Bits32, Bits64};
        vec![
            lkcd(1, Bits32, Little, Method::Rle),
            lkcd(2, Bits64, Big, Method::Rle),
            lkcd(5, Bits64, Little, Method::Gzip),
            lkcd(7, Bits32, Big, Method::Rle),
            lkcd(8, Bits64, Little, Method::None),
            lkcd(9, Bits64, Little, Method::Gzip),
            lkcd(10, Bits64, Big, Method::Rle),
        ]
    })
}

/// Split sets of two and three files.
pub fn sets() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let set = |arch: Arch, codec, version, bounds: &[u64]| -> Vec<Template> {
            let whole = kdump(arch, codec).version(version);
            let ends = bounds.iter().copied().chain([12]);
            let starts = [0].into_iter().chain(bounds.iter().copied());
            let file = |(start, end)| diskdump(whole.clone().split(start..end), arch.usual_order());
            starts.zip(ends).map(file).collect()
        };
        vec![
            set(Arch::X86_64, Codec::Zlib, 6, &[2]),
            set(Arch::X86_64, Codec::Snappy, 6, &[2, 5]),
            set(Arch::Ia32, Codec::Lzo, 5, &[3]),
            set(Arch::S390x, Codec::Zlib, 2, &[1, 3]),
        ]
    })
}

/// SADUMPs of each variant, each with all of its files.
pub fn sadumps() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let ram = RamImage::new(11, PAGE);
        let of = |variant, change: fn(SadumpBuilder) -> SadumpBuilder| -> Vec<Template> {
            let builder = SadumpBuilder::new(variant)
                .block_size(1024)
                .pages([1, 2, 3, 9, 70].map(|pfn| (pfn, ram.page_bytes(pfn))))
                .ram([4, 5, 90])
                .cpus([SmramState::distinct(0, true), SmramState::unused()]);
            let files = change(builder).build_with_layout();
            let template = |(bytes, layout): (Vec<u8>, _)| -> Template {
                let layout: kdumpfile_testkit::sadump::SadumpLayout = layout;
                let fields = layout.fields().map(|(_, field)| field).collect();
                // A backup's signature is not at its start.
                let signature = if layout.partition == 0 { 8 } else { 0 };
                Template { bytes, order: ByteOrder::Little, fields, signature }
            };
            files.into_iter().map(template).collect()
        };
        vec![
            of(Variant::Single, |dump| dump),
            of(Variant::Single, |dump| dump.version(0).cpus([SmramState::distinct(2, false)])),
            of(Variant::Media, |dump| dump.block_size(4096)),
            of(Variant::Set(vec![]), |dump| dump),
            of(Variant::Set(vec![2, 1]), |dump| dump),
            of(Variant::Set(vec![1, 3]), |dump| dump.volumes_from_disk_1().set_blocks(2)),
        ]
    })
}

/// S390 dumps, plain and extended.
pub fn s390dumps() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: S390Builder| {
            let (bytes, layout) = builder.build_with_layout();
            let fields = layout.fields().map(|(_, field)| field).collect();
            Template { bytes, order: ByteOrder::Big, fields, signature: 8 }
        };
        let segments = |first, second, block| {
            let builder = S390Builder::extended(24 * PAGE).block(block).entry_size(2 * PAGE).lowcores(&[0]);
            of(builder.segment(0, pages(0, 5), first).segment(9 << 12, pages(9, 3), second))
        };
        vec![
            of(S390Builder::new(pages(0, 6)).lowcores(&[0, 0x2000])),
            of(S390Builder::new(pages(0, 6)).arch(1).lowcores(&[0x1000])),
            segments(Packing::Raw, Packing::Raw, 4096),
            segments(Packing::Zlib, Packing::Mixed, 512),
            segments(Packing::Mixed, Packing::Zlib, 4096),
        ]
    })
}

/// LiME and AVML images: records of each kind alone, and of both kinds.
pub fn limes() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let short = &pages(0, 2)[0x234..];
        let long = pages(256, 20);
        let new = LimeBuilder::new;
        let files = [
            [new().lime(0x234, short), new().lime(0x10_0000, &long)],
            [new().avml(0x234, short), new().avml(0x10_0000, &long)],
            [new().avml(0x234, short), new().lime(0x10_0000, &long)],
        ];
        files.map(|records| lime(&records.map(LimeBuilder::build))).into()
    })
}

fn lime(records: &[Vec<u8>]) -> Template {
    let mut fields = Vec::new();
    let mut bytes = Vec::new();
    for record in records {
        let at = bytes.len() as u64;
        bytes.extend(record);
        // The header, the header of the second chunk, the length of the stream.
        let end = bytes.len() as u64 - 8;
        let places =
            [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (42, 1), (43, 2), (46, 4), (50, 4), (end - at, 8)];
        fields.extend(places.map(|(offset, width)| Field { offset: at + offset, width }));
    }
    Template { bytes, order: ByteOrder::Little, fields, signature: 4 }
}

/// VMware states: with embedded memory, and with a `.vmem`.
pub fn vmwares() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: VmwareBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 4 }
        };
        let cpu = VmwareCpu {
            general: [0xffff_8880_0000_1000; 16],
            rip: 0xffff_ffff_8100_0000,
            eflags: 0x246,
            cr: [0x8005_0033, 0, 0, 0xa000, 0x3706f0],
            idt: 0xffff_fe00_0000_0000,
            segments: [(0x10, 0); 8],
        };
        let regions = |magic| {
            VmwareBuilder::new(magic).group("memory").regions(&[(0, 0, 1), (1, 0x10_0000, 2)]).group("cpu")
        };
        let embedded = |magic| {
            let builder = VmwareBuilder::new(magic).group("cpu").cpu_in_blocks(0, &cpu);
            builder.group("memory").number("align_mask", &[], 4, 0xfff).block(
                "Memory",
                &[0, 0],
                5,
                &pages(0, 2),
            )
        };
        vec![
            vec![of(regions(0xBED2_BED2).number("cpu:numVCPUs", &[], 4, 1).cpu(0, &cpu)), memory()],
            vec![of(regions(0xBED2_BED0).cpu_in_blocks(0, &cpu)), memory()],
            vec![of(embedded(0xBED3_BED3))],
            vec![of(embedded(0xBED0_BED0))],
        ]
    })
}

/// Three pages for a state file.
fn memory() -> Template {
    let fields = vec![Field { offset: 0, width: 8 }];
    Template { bytes: pages(0, 3), order: ByteOrder::Little, fields, signature: 0 }
}

/// `debug.guest` files of each layout, with their memory.
pub fn vmware_guests() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: GuestBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            vec![Template { bytes, order: ByteOrder::Little, fields, signature: 4 }, memory()]
        };
        let new = |version| GuestBuilder::new(version, 3).cpus(1);
        vec![
            of(new(1).hole(1, 2).hole(5, 0x100)),
            of(new(3).cpus(2)),
            of(new(5).hole(2, 3)),
            of(new(6).hole(2, 3).hole(6, 9)),
            of(new(7)),
            of(new(7).arch(0).hole(0, 0x100)),
        ]
    })
}

/// Windows crash dumps: with runs, and with a bitmap.
pub fn windows() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: WindowsBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 8 }
        };
        let runs = |bits| WindowsBuilder::new(bits).run(1, 2, &pages(1, 2)).run(0x10_0000, 1, &pages(9, 1));
        let bitmap = [0b110, 0xff, 0, 1];
        vec![
            of(runs(64)),
            of(runs(32)),
            of(WindowsBuilder::new(64).kind(5).bitmap(b"FDMPDUMP", 32, &bitmap, &pages(1, 11))),
        ]
    })
}

/// Saved Xen domains of both word sizes, whole and cut.
pub fn xc_saves() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: XcSaveBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 16 }
        };
        let page = |pfn| (0, pfn, pages(pfn, 1));
        let save = |word| {
            let save = XcSaveBuilder::new(word, 700).batch(&[page(3), page(4), (NO_PAGE, 5, vec![])]);
            save.marker(-1).batch(&[page(4), page(600)]).missing(&[3, 9])
        };
        vec![of(save(8).cpu(&[7; 5168])), of(save(4).cpu(&[7; 2800]).cpu(&[8; 2800])), of(save(8).unended())]
    })
}

/// Xen domains from before ELF: PV and HVM, of both word sizes.
pub fn xc_cores() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: XcCoreBuilder, frames: &[Option<u64>]| {
            let dump = (0..).zip(frames).fold(builder, |dump, (n, frame)| dump.page(*frame, pages(n, 1)));
            let (bytes, fields) = dump.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 4 }
        };
        let frames = [Some(0x105), None, Some(0x104)];
        vec![
            of(XcCoreBuilder::pv(8).cpu(vec![7; 5168]), &frames),
            of(XcCoreBuilder::pv(4).cpu(vec![7; 2800]).cpu(vec![8; 2800]), &frames),
            of(XcCoreBuilder::hvm(8).cpu(vec![7; 5168]).aligned(), &frames),
        ]
    })
}
