//! Writes the seed corpus, always the same: `cargo run --no-default-features
//! --bin seeds` in this folder. Findings, which begin with `found-`, stay.

use std::io::{Result, Write};
use std::path::{Path, PathBuf};

use kdumpfile_fuzz::{
    TARGETS, diskdumps, elves, limes, lkcds, s390dumps, sadumps, sets, vmware_guests, vmwares, windows,
    xc_cores, xc_saves,
};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::flatten::{Flattener, Order, Record};
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::notes::{Note, NoteWriter, QemuCpu, Vmcoreinfo, prstatus, prstatus_layout, xen};
use kdumpfile_testkit::qemu::{Described, Records, Stream, cpu_fields, description, item, mapped};

fn main() -> Result<()> {
    let mut corpus = Corpus { root: Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"), bytes: 0 };
    corpus.clean()?;
    open(&mut corpus)?;
    changed(&mut corpus)?;
    qemu(&mut corpus)?;
    memories(&mut corpus)?;
    flattened(&mut corpus)?;
    archives(&mut corpus)?;
    notes(&mut corpus)?;
    vmcoreinfo(&mut corpus)?;
    attributes(&mut corpus)?;
    codecs(&mut corpus)?;
    translations(&mut corpus)?;
    println!("{} bytes of seeds", corpus.bytes);
    Ok(())
}

struct Corpus {
    root: PathBuf,
    bytes: usize,
}

impl Corpus {
    fn clean(&self) -> Result<()> {
        for (target, _) in TARGETS {
            let folder = self.root.join(target);
            std::fs::create_dir_all(&folder)?;
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                if !entry.file_name().to_string_lossy().starts_with("found-") {
                    std::fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, target: &str, name: &str, parts: &[&[u8]]) -> Result<()> {
        let bytes = parts.concat();
        self.bytes += bytes.len();
        std::fs::write(self.root.join(target).join(name), bytes)
    }
}

/// One machine for each architecture.
fn translations(corpus: &mut Corpus) -> Result<()> {
    // Entries that many formats take for present ones, and others.
    let words: Vec<u8> = (0..60u64)
        .flat_map(|n| {
            [vec![135], (n << 12 | [0x63, 0x3, 0x7c0, 0xcf][n as usize % 4]).to_le_bytes().to_vec()].concat()
        })
        .collect();
    for arch in 0..10u8 {
        let options = [arch, 1, 2, 4, 0, 2, 6, 2, 0, 2, 0, 0, 2, 1, 16, 0, 0, 0, 0];
        let machine = [2, 0, 0, 1, 14, 1, 2, 1, 12, 1, 6, 1, 11, 0, 0, 0, 1, 0, 2];
        corpus.add("xlat_setup", &format!("arch-{arch}"), &[&options, &[2; 24], &machine, &words])?;
    }
    // A small space of each format, with a root at 0 in machine memory.
    for format in 0..23u8 {
        let table = [format, 14, 2, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        // One page table method, and a map of all for it.
        let system = [1, 2, 0, 0, 0, 0, 4, format, 14, 2, 0, 0, 0, 0, 0];
        let maps = [1, 0, 0, 0, 0, 0, 23, 1, 1, 0, 0, 0, 0, 0, 23, 1, 0, 0, 0];
        let sources = [3, 0, 0, 0, 0, 1, 3, 0, 0x10, 0, 0, 2, 3, 0, 0x20, 0, 0, 3];
        let machine = [7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        corpus.add(
            "xlat_walk",
            &format!("format-{format}"),
            &[&table, &system, &maps, &sources, &machine, &words],
        )?;
    }
    kernels(corpus)
}

/// For each architecture what a kernel says when page tables are at the start of
/// a place of memory: its number, and the lines.
const KERNELS: [(u8, &str); 9] = [
    (
        3,
        "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(init_top_pgt)=ffffffff81000000\nNUMBER(phys_base)=0\n\
         SYMBOL(_stext)=ffffffff81000000\nNUMBER(pgtable_l5_enabled)=0\n",
    ),
    (
        4,
        "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffff800008000000\nNUMBER(VA_BITS)=48\n\
         NUMBER(PHYS_OFFSET)=0x40000000\nNUMBER(kimage_voffset)=0xffff7fffc8000000\n\
         SYMBOL(_stext)=ffff800008001000\nNUMBER(TCR_EL1_T1SZ)=0x10\n",
    ),
    (
        3,
        "OSRELEASE=6.1.0\nPAGESIZE=65536\nSYMBOL(swapper_pg_dir)=c000000001000000\nNUMBER(RADIX_MMU)=1\n\
         SYMBOL(_stext)=c000000000000000\n",
    ),
    (
        5,
        "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff80000000\nNUMBER(VA_BITS)=48\n\
         NUMBER(PAGE_OFFSET)=0xffffaf8000000000\nNUMBER(phys_ram_base)=0x80000000\n\
         NUMBER(KERNEL_LINK_ADDR)=0xffffffff80000000\nNUMBER(va_kernel_pa_offset)=0xffffffff00000000\n\
         SYMBOL(_stext)=ffffffff80002000\n",
    ),
    (3, "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=1000000\n"),
    (3, "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=c1000000\nCONFIG_X86_PAE=y\n"),
    (4, "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=c0000000\nSYMBOL(_stext)=c0008000\n"),
    (5, "OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=c0000000\n"),
    (
        3,
        "OSRELEASE=6.1.0\nPAGESIZE=16384\nSYMBOL(swapper_pg_dir)=9000000001000000\n\
         SYMBOL(_stext)=9000000001001000\n",
    ),
];

/// Half of the known lines once with memory of small words, and what a kernel
/// says with tables.
fn kernels(corpus: &mut Corpus) -> Result<()> {
    for (arch, (place, text)) in (0..9u8).zip(KERNELS) {
        let lines: Vec<u8> =
            (0..26u8).flat_map(|line| [line * 2 + arch % 2, 2, line % 16, 0, 0, 0, 1]).collect();
        let sources: [[u8; 4]; 4] = [
            [8, 1, 2, 3],
            [12, 1, 2, 3],
            [[14, 11, 8, 13, 0, 3, 3, 14, 7][usize::from(arch)], 0, 0, 0],
            [2, 0, 0, 0],
        ];
        let sources = sources.concat();
        // Tables, with an entry of the format for a page, a table and nothing.
        let flags: [u8; 3] = [
            [2, 3, 0],
            [1, 1, 0],
            [7, 7, 0],
            [6, 1, 0],
            [5, 5, 0],
            [2, 2, 0],
            [1, 1, 0],
            [6, 1, 0],
            [3, 3, 0],
        ][usize::from(arch)];
        let memory: Vec<u8> = [0, place, 40, place]
            .into_iter()
            .chain((0..40u8).flat_map(|n| [2, n % 16, flags[usize::from(n) % 2]]))
            .collect();
        let segment = [1, place.wrapping_mul(2)];
        let parts: [&[u8]; 6] = [&[arch, 8, 26], &lines, &sources, &memory, &segment, b"NUMBER(x)=1\n"];
        corpus.add("xlat_vmcoreinfo", &format!("arch-{arch}"), &parts)?;
        let parts: [&[u8]; 6] = [&[arch, 8, 0], &[], &sources, &memory, &segment, text.as_bytes()];
        corpus.add("xlat_vmcoreinfo", &format!("kernel-{arch}"), &parts)?;
    }
    Ok(())
}

/// The first templates of each kind as they are, and one flattened and packed.
fn open(corpus: &mut Corpus) -> Result<()> {
    for (number, dump) in elves().iter().enumerate() {
        corpus.add("open", &format!("elf-{number}"), &[&dump.bytes])?;
    }
    for (number, dump) in diskdumps().iter().enumerate() {
        corpus.add("open", &format!("diskdump-{number}"), &[&dump.bytes])?;
    }
    for (number, dump) in lkcds().iter().enumerate().filter(|(_, dump)| dump.bytes.len() < 65536) {
        corpus.add("open", &format!("lkcd-{number}"), &[&dump.bytes])?;
    }
    corpus.add("open", "s390dump", &[&s390dumps()[3].bytes])?;
    corpus.add("open", "sadump", &[&sadumps()[0][0].bytes])?;
    let small = &elves()[5].bytes;
    let stream = Flattener::new().record_size(1500).order(Order::Interleaved(2)).flatten(small);
    corpus.add("open", "flattened", &[&stream])?;
    corpus.add("open", "gzip", &[&compress::gzip(small)])?;
    corpus.add("open", "zstd-of-flattened", &[&compress::zstd(&stream)])?;
    corpus.add("open", "empty", &[])
}

/// Programs of changes: none, one to each of the first fields, and a few of
/// every kind.
fn changed(corpus: &mut Corpus) -> Result<()> {
    // How many files each template has.
    let targets: [(&str, Vec<usize>); 12] = [
        ("open_elf", vec![1; elves().len()]),
        ("open_diskdump", vec![1; diskdumps().len()]),
        ("open_lkcd", vec![1; lkcds().len()]),
        ("open_sadump", sadumps().iter().map(Vec::len).collect()),
        ("open_s390dump", vec![1; s390dumps().len()]),
        ("open_lime", vec![1; limes().len()]),
        ("open_vmware", vmwares().iter().map(Vec::len).collect()),
        ("open_vmware_guest", vmware_guests().iter().map(Vec::len).collect()),
        ("open_windows", vec![1; windows().len()]),
        ("open_xc_core", vec![1; xc_cores().len()]),
        ("open_xc_save", vec![1; xc_saves().len()]),
        ("split_set", sets().iter().map(Vec::len).collect()),
    ];
    for (target, templates) in targets {
        for (template, files) in templates.into_iter().enumerate() {
            let template = template as u8;
            let file: &[u8] = match (target, files) {
                (_, 1) => &[],
                // The state file has the fields.
                ("open_vmware" | "open_vmware_guest", _) => &[0],
                _ => &[1],
            };
            corpus.add(target, &format!("{template}-unchanged"), &[&[template, template & 7]])?;
            let mut steps = Vec::new();
            for field in [3, 9, 14, 17, 20, 23] {
                // To a number of two bytes.
                steps.extend_from_slice(file);
                steps.extend([field + template, 129, 0x10, 0x20]);
            }
            corpus.add(target, &format!("{template}-fields"), &[&[template, 24], &steps])?;
            let bytes: [&[u8]; 8] = [
                &[template, 2],
                file,
                &[210, 0x00, 0x10 + template, 3, 0xff, 0xfe, 0xfd, 0xfc],
                file,
                &[12, 23],
                file,
                &[255, 0x00, 0xf0],
                file,
            ];
            corpus.add(target, &format!("{template}-bytes"), &[&bytes.concat(), &[244, 0x80, 0x21]])?;
        }
    }
    Ok(())
}

/// Raw images with a base, around a hole and at the end of all addresses, and
/// machines that tell where VMCOREINFO and the kernel are.
fn memories(corpus: &mut Corpus) -> Result<()> {
    // Kind, edge 9 (4096) or address 0 as base, and 0x3000 bytes.
    corpus.add("open_raw", "one", &[&[0, 0, 0, 9, 0x00, 0x30]])?;
    corpus.add("open_raw", "arch-and-page-size", &[&[3, 0, 0, 8, 0, 9, 0x00, 0x30]])?;
    corpus.add("open_raw", "two", &[&[4, 1, 1, 0, 9, 0x00, 0x10, 0, 14, 0x00, 0x20]])?;
    corpus.add("open_raw", "parts", &[&[0, 1, 4, 0, 9, 0x00, 0x20, 2, 14, 9, 0x00, 0x20]])?;
    corpus.add("open_raw", "end", &[&[0, 0, 0, 21, 0x00, 0x10]])?;
    corpus.add("open_raw", "gzip", &[&[0, 0, 0x80, 9, 0x00, 0x30]])?;
    corpus.add("open_raw", "unsized", &[&[0, 2, 0xa0, 9, 0, 0x30, 0xc0, 14, 0, 0x10, 1, 0, 1]])?;
    let iomem = b"00100000-bfffffff : System RAM\n  3f000000-4020bb07 : Kernel code\n";
    let text = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000123\n";
    for (arch, options) in (0..5).zip([4 | 16 | 32, 16 | 64, 2 | 16, 4 | 16, 0]) {
        let head = [options, 64, arch, 16, iomem.len() as u8];
        let iomem: &[u8] = if options & 4 != 0 { iomem } else { &[] };
        corpus.add("open_live", &format!("device-{arch}"), &[&head, iomem, text])?;
        corpus.add("open_live", &format!("xen-{arch}"), &[&[options, 64, arch, arch, 0], text])?;
    }
    corpus.add("open_live", "kcore", &[&[1 | 16, 64, 0, 16, 0, 0], text])?;
    corpus.add("open_live", "told", &[&[8, 64, 0, 16, 0, 0, 9], text])
}

/// Streams behind their version; few pages, and small ones.
fn qemu(corpus: &mut Corpus) -> Result<()> {
    let bits = 10u32.to_be_bytes();
    let small: &[(&str, &[u8])] = &[("configuration/target-page-bits", &bits)];
    let records = |block| {
        Records::default()
            .fill(0, Some(block), 3)
            .fill(0x400, None, 3)
            .packed(0x800, None, &[7; 1024])
            .page(0xc00, None, &[8; 1024])
            .page(0x1000, None, &[9; 1024])
            .fill(0x400, None, 4)
    };
    let stream = |machine, block| {
        Stream::new(3).configuration(machine, small).ram(&[(block, 0x2000), ("rom", 0x400)], records(block))
    };
    let pc = stream("pc-q35-7.2", "pc.ram").cpu(0, &[(816, 0x500)]).end();
    let arm = stream("virt-7.2", "mach-virt.ram").end();
    let old = Stream::new(3)
        .without_footers()
        .ram(&[("pc.ram", 0x2000)], Records::default().fill(0, Some("pc.ram"), 1));
    // The pages themselves are behind the end of the file.
    let map = mapped("pc-q35-9.0", "pc.ram", 0x40_000, &[(3, vec![1; 4096])], 0, 0);
    for (name, options, bytes) in [
        ("pc", 0, &pc[..]),
        ("libvirt", 1, &arm),
        ("packed", 3, &arm),
        ("old", 0, &old.end()),
        ("mapped", 0, &map[..256]),
    ] {
        corpus.add("open_qemu", name, &[&[options], &bytes[8..]])?;
    }
    let changes = records("pc.ram")
        .changes(0xc00, None, &[8; 1024], &[[8; 512], [7; 512]].concat())
        .changes(0x400, None, &[4; 1024], &[5; 1024]);
    let changes = Stream::new(3).configuration("pc", small).ram(&[("pc.ram", 0x2000)], changes).end();
    corpus.add("open_qemu", "changes", &[&[0], &changes[8..]])?;
    for (name, word) in [("described", 8), ("described-32", 4)] {
        let fields = cpu_fields(word);
        let devices = [
            Described { name: "timer", instance: 0, fields: vec![("x", 2, 3)], subsection: Some(("t", 3)) },
            Described { name: "cpu", instance: 0, fields, subsection: None },
        ];
        let mut stream = stream("pc-q35-7.2", "pc.ram");
        for device in &devices {
            stream = stream.named(item::FULL, 9, device.name, 0, 1, &device.state(&[]));
        }
        let text = description(4096, &devices);
        let length = (text.len() as u16).to_be_bytes();
        corpus.add("open_qemu", name, &[&[0x80], &length, &stream.bytes[8..], text.as_bytes()])?;
    }
    Ok(())
}

fn flattened(corpus: &mut Corpus) -> Result<()> {
    let image: Vec<u8> = RamImage::new(1, 512).page_bytes(1);
    let stream = |flattener: Flattener| flattener.record_size(100).flatten(&image);
    corpus.add("flattened", "whole", &[&[0], &stream(Flattener::new())])?;
    let bodies = [
        ("ascending", stream(Flattener::new())),
        ("reversed", stream(Flattener::new().order(Order::Reversed))),
        ("overlaps", stream(Flattener::new().overlaps(4).order(Order::Shuffled(2)))),
        ("far", stream(Flattener::new().record(Record::new(i64::MAX - 8, b"far".to_vec())))),
        ("no-end", stream(Flattener::new().without_end_mark())),
        ("size-0", stream(Flattener::new().record(Record { offset: 7, size: Some(0), data: vec![] }))),
    ];
    for (name, stream) in bodies {
        corpus.add("flattened", name, &[&[1], &stream[4096..]])?;
    }
    // Offset and length, over and under each other.
    corpus.add(
        "flattened",
        "described",
        &[&[2], b"\x40\x00\x10abcd\x44\x04\x10\x20\x48\x80\x00\x10\x30\x41\x02\x10wxyz"],
    )?;
    corpus.add(
        "flattened",
        "described-nested",
        &[&[3], b"\x44\x00\x01\xff\x44\x10\x01\x08\x44\x0c\x01\x10\x44\x00\x00\xf0\x33\x00abc"],
    )
}

/// An LZ4 frame from the reference design of its format, by `lz4_flex`.
fn lz4(data: &[u8], change: impl FnOnce(&mut lz4_flex::frame::FrameInfo)) -> Result<Vec<u8>> {
    let mut info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
    change(&mut info);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data)?;
    Ok(encoder.finish()?)
}

fn archives(corpus: &mut Corpus) -> Result<()> {
    use lz4_flex::frame::BlockMode;
    let ram = RamImage::new(3, 1024);
    let data: Vec<u8> = (0..12).flat_map(|pfn| ram.page_bytes(pfn)).collect();
    let plain = lz4(&data, |_| {})?;
    corpus.add("archive", "lz4", &[&[0], &plain])?;
    let checked = lz4(&data, |info| {
        info.block_checksums = true;
        info.content_checksum = true;
        info.content_size = Some(12 * 1024);
    })?;
    corpus.add("archive", "lz4-checked", &[&[4], &checked])?;
    let linked = lz4(&data, |info| info.block_mode = BlockMode::Linked)?;
    corpus.add("archive", "lz4-linked", &[&[8], &linked])?;
    corpus.add("archive", "lz4-twice", &[&[3], &plain, &plain])?;
    let block = lz4_flex::block::compress(&data);
    let legacy = [&[0x02, 0x21, 0x4c, 0x18][..], &(block.len() as u32).to_le_bytes(), &block].concat();
    corpus.add("archive", "lz4-legacy", &[&[0], &legacy])?;
    let (front, back) = data.split_at(5000);
    let frames = [compress::zstd_with_checksum(front, true), compress::zstd_with_checksum(back, false)];
    corpus.add("archive", "zstd", &[&[1], &frames.concat()])?;
    corpus.add(
        "archive",
        "zstd-seekable",
        &[&[5], &frames.concat(), &seek_table(&frames, &[front, back])],
    )?;
    corpus.add("archive", "zstd-skipped", &[&[3], b"\x50\x2a\x4d\x18\x03\0\0\0abc", &frames.concat()])?;
    let members = [compress::gzip(front), compress::gzip(back)].concat();
    corpus.add("archive", "gzip", &[&[2], &members])?;
    corpus.add("archive", "bgzf", &[&[6], &bgzf(front), &bgzf(back), &bgzf(&[])])?;
    corpus.add("archive", "xz", &[&[0x10], XZ])?;
    corpus.add("archive", "xz-blocks", &[&[0x1c], XZ_BLOCKS])?;
    corpus.add("archive", "xz-cut", &[&[0x14], &XZ_BLOCKS[..XZ_BLOCKS.len() - 20]])?;
    corpus.add("archive", "xz-twice", &[&[3], XZ_BLOCKS, &[0; 8], XZ])?;
    corpus.add("archive", "bzip2", &[&[0x11], BZIP2])?;
    corpus.add("archive", "bzip2-twice", &[&[0x15], BZIP2, BZIP2])?;
    let text = PACKED.repeat(300);
    corpus.add("archive", "lzop", &[&[0x12], &lzop(&[text.as_bytes(), b"short", front])])?;
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(&data)?;
    let snappy = snappy.into_inner().map_err(|error| error.into_error())?;
    corpus.add("archive", "snappy", &[&[0x13], &snappy, b"\xfe\x02\0\0ab"])?;
    corpus.add("archive", "zlib", &[&[0x20], &compress::zlib(&data, 6)])?;
    // More than a segment, so that there is a checkpoint.
    let long = text.repeat(400);
    corpus.add("archive", "gzip-long", &[&[6], &compress::gzip(long.as_bytes())])?;
    corpus.add("archive", "zlib-long", &[&[0x24], &compress::zlib(long.as_bytes(), 9)])
}

/// What is packed below, 300 times.
const PACKED: &str = "kdumpfile reads dumps. ";

/// [`PACKED`] by `xz -0`: one block with a CRC64.
#[rustfmt::skip]
const XZ: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x0c,
    0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xe0, 0x1a, 0xf3, 0x00, 0x3b, 0x5d, 0x00, 0x35, 0x99, 0x0b,
    0x11, 0x8c, 0xca, 0xb3, 0x33, 0x36, 0xd5, 0xeb, 0x34, 0x83, 0x07, 0x7c, 0x5d, 0x89, 0x67, 0xf0, 0x12,
    0xf0, 0x00, 0xb9, 0xbd, 0x07, 0x97, 0x79, 0xc7, 0xfb, 0xc8, 0x73, 0x2b, 0x8a, 0x19, 0x1c, 0xe4, 0x9f,
    0x63, 0x9f, 0x55, 0x96, 0x94, 0xbe, 0x02, 0xc4, 0x2b, 0x9d, 0x2e, 0xe1, 0x09, 0x5e, 0x7d, 0x01, 0x2a,
    0x7f, 0x89, 0xb2, 0x00, 0x00, 0x00, 0x00, 0x80, 0x84, 0x3c, 0xb1, 0x84, 0x75, 0xa7, 0x08, 0x00, 0x01,
    0x57, 0xf4, 0x35, 0x00, 0x00, 0x00, 0x9c, 0x12, 0x9f, 0xa8, 0xb1, 0xc4, 0x67, 0xfb, 0x02, 0x00, 0x00,
    0x00, 0x00, 0x04, 0x59, 0x5a,
];

/// [`PACKED`] by `xz -0 -C crc32 --block-size=4000`: two blocks.
#[rustfmt::skip]
const XZ_BLOCKS: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x0c,
    0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xe0, 0x0f, 0x9f, 0x00, 0x30, 0x5d, 0x00, 0x35, 0x99, 0x0b,
    0x11, 0x8c, 0xca, 0xb3, 0x33, 0x36, 0xd5, 0xeb, 0x34, 0x83, 0x07, 0x7c, 0x5d, 0x89, 0x67, 0xf0, 0x12,
    0xf0, 0x00, 0xb9, 0xbd, 0x07, 0x97, 0x79, 0xc7, 0xfb, 0xc8, 0x73, 0x2b, 0x8a, 0x19, 0x1c, 0xe4, 0x9f,
    0x63, 0x9f, 0x55, 0x96, 0x94, 0xbd, 0xfe, 0x21, 0x54, 0xe4, 0x00, 0x00, 0x85, 0x47, 0x75, 0x9d, 0x02,
    0x00, 0x21, 0x01, 0x0c, 0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xe0, 0x0b, 0x53, 0x00, 0x2b, 0x5d,
    0x00, 0x17, 0x08, 0x09, 0xe6, 0xea, 0x51, 0x9b, 0x8b, 0xf2, 0x53, 0xa4, 0xc2, 0xe5, 0x8c, 0xaf, 0x68,
    0xd6, 0x0f, 0x8e, 0xaa, 0x8e, 0x02, 0x39, 0x18, 0xd1, 0x02, 0x32, 0xd4, 0xc3, 0xe5, 0xb7, 0xbf, 0x23,
    0x73, 0xa7, 0xcd, 0x04, 0x45, 0xef, 0x70, 0x92, 0x25, 0x00, 0x00, 0x00, 0xc6, 0xc2, 0x42, 0xf0, 0x00,
    0x02, 0x48, 0xa0, 0x1f, 0x43, 0xd4, 0x16, 0xcd, 0x18, 0xb7, 0x0a, 0x3e, 0x30, 0x0d, 0x8b, 0x02, 0x00,
    0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
];

/// [`PACKED`] by `bzip2`: one block.
#[rustfmt::skip]
const BZIP2: &[u8] = &[
    0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xe1, 0x34, 0xa3, 0xa5, 0x00, 0x07, 0x9d,
    0x91, 0x80, 0x40, 0x01, 0x27, 0x2e, 0x5a, 0x00, 0x20, 0x00, 0x90, 0x20, 0x00, 0x00, 0x52, 0xa8, 0x00,
    0x64, 0xc1, 0x48, 0xd4, 0xa4, 0x70, 0x52, 0x35, 0x29, 0x1a, 0x14, 0x8d, 0xca, 0x47, 0x65, 0x23, 0x82,
    0x91, 0xe1, 0x48, 0xc1, 0x48, 0xc1, 0x48, 0xf4, 0xa4, 0x6e, 0x52, 0x3e, 0x29, 0x19, 0x14, 0x8c, 0x8a,
    0x46, 0xc5, 0x23, 0x25, 0x23, 0x92, 0x91, 0xa0, 0xa4, 0x7e, 0x2e, 0xe4, 0x8a, 0x70, 0xa1, 0x21, 0xc2,
    0x69, 0x47, 0x4a,
];

/// An lzop file with Adler-32 checksums, a block for each of `blocks`.
fn lzop(blocks: &[&[u8]]) -> Vec<u8> {
    fn adler32(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        b << 16 | a
    }
    let mut header = vec![0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5];
    header.extend([0, 0, 0, 1]);
    header.extend([0; 12]);
    header.push(0);
    let mut file = b"\x89LZO\0\r\n\x1a\n".to_vec();
    file.extend(&header);
    file.extend(adler32(&header).to_be_bytes());
    for block in blocks {
        let packed = compress::lzo(block);
        let data = if packed.len() < block.len() { &packed } else { *block };
        for word in [block.len() as u32, data.len() as u32, adler32(block)] {
            file.extend(word.to_be_bytes());
        }
        file.extend(data);
    }
    file.extend([0; 4]);
    file
}

/// The skippable frame at the end of a seekable zstd file.
fn seek_table(frames: &[Vec<u8>], contents: &[&[u8]]) -> Vec<u8> {
    let mut table = vec![0x5e, 0x2a, 0x4d, 0x18];
    table.extend((frames.len() as u32 * 8 + 9).to_le_bytes());
    for (frame, content) in frames.iter().zip(contents) {
        table.extend((frame.len() as u32).to_le_bytes());
        table.extend((content.len() as u32).to_le_bytes());
    }
    table.extend((frames.len() as u32).to_le_bytes());
    table.extend([0, 0xb1, 0xea, 0x92, 0x8f]);
    table
}

/// A gzip member that tells its own size.
fn bgzf(data: &[u8]) -> Vec<u8> {
    let deflate = compress::deflate(data);
    let mut member = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0];
    member.extend((deflate.len() as u16 + 25).to_le_bytes());
    member.extend(&deflate);
    member.extend(crc32fast::hash(data).to_le_bytes());
    member.extend((data.len() as u32).to_le_bytes());
    member
}

fn notes(corpus: &mut Corpus) -> Result<()> {
    for (number, arch) in Arch::ALL.into_iter().enumerate() {
        let order = arch.usual_order();
        let mut notes = NoteWriter::new(order);
        if prstatus_layout(arch).is_some() {
            notes = notes.note(Note::core(1, prstatus(arch, order, 1, |i, _| i as u64 + 1)));
        }
        let text = Vmcoreinfo::linux("6.1.0", 4096).symbol("_stext", 0xc010_0000);
        let notes = notes.note(Note::vmcoreinfo(text.to_bytes())).note(Note::core(4, vec![1; 40]).unpadded());
        corpus.add("notes", arch.name(), &[&[number as u8], &notes.finish()])?;
    }
    let order = ByteOrder::Little;
    let x86_64 = Arch::ALL.into_iter().position(|arch| arch == Arch::X86_64).unwrap_or(0) as u8;
    let info = xen::CrashInfo {
        major: 4,
        minor: 17,
        extra_version: 0x1000,
        strings: [0; 4],
        tainted: 0,
        phys_start: Some(0x20_0000),
        p2m_mfn: Some(0x1234),
    };
    let notes = NoteWriter::new(order)
        .push("Xen", xen::CRASH_INFO, info.to_bytes(order, 8))
        .push("Xen", xen::CRASH_REGS, xen::crash_regs(order, 8, [1, 2, 3, 4]))
        .push("VMCOREINFO_XEN", 0, *b"PAGESIZE=4096\n")
        .push("QEMU", 0, QemuCpu::default().to_bytes())
        .push("ERASEINFO", 0, *b"erase\n")
        .push(".note.Xen", xen::DUMPCORE_HEADER, xen::dumpcore_header(order, xen::MAGIC_PV, 1, 2, 4096))
        .push(".note.Xen", xen::DUMPCORE_FORMAT_VERSION, xen::format_version(order, 1))
        .raw(&[0; 40]);
    corpus.add("notes", "xen", &[&[x86_64], &notes.finish()])?;
    let lying = NoteWriter::new(order)
        .note(Note::new("CORE", 1, vec![0; 300]).unterminated())
        .note(Note::new("CORE", 1, vec![0; 8]).descsz(u32::MAX))
        .note(Note::new("CORE", 1, vec![0; 8]).namesz(0xffff_fffd));
    corpus.add("notes", "lying", &[&[x86_64], &lying.finish()])
}

fn vmcoreinfo(corpus: &mut Corpus) -> Result<()> {
    let whole = Vmcoreinfo::linux("6.1.0-rc3+", 4096)
        .symbol("swapper_pg_dir", 0xffff_ffff_8260_a000)
        .size("page", 64)
        .offset("page", "flags", 0)
        .length("mem_section", 2048)
        .number("phys_base", -4096)
        .config("PGTABLE_LEVELS");
    corpus.add("vmcoreinfo", "whole", &[whole.text().as_bytes()])?;
    corpus.add("vmcoreinfo", "crlf", &[&whole.clone().crlf().to_bytes()])?;
    corpus.add("vmcoreinfo", "padded", &[&whole.without_final_newline().padded(9).to_bytes()])?;
    let texts: [(&str, &[u8]); 6] = [
        ("dots", b"a=1\na.b=2\na.b.c=3\nx.y=4\nx=5\n.=6\n..=7\na..b=8\n.a=9\na.=10\n"),
        ("twice", b"PAGESIZE=4096\nPAGESIZE=8192\nSIZE(a)=1\nSIZE(a)=2\nSYMBOL(a)=zz\n"),
        ("bad-size", b"A=1\nPAGESIZE=4095\nB=2\n"),
        ("empty-names", b"=1\n\n==\nSIZE()=3\nSIZE(a)b=4\nSIZE(=5\nSIZE)=6\n()=7\nno equals\n"),
        (
            "numbers",
            b"NUMBER(a)=0x10\nNUMBER(b)=-1\nNUMBER(c)=99999999999999999999\nSYMBOL(d)=0X1\nLENGTH(e)=010\n",
        ),
        ("not-utf-8", b"\xff\xfe=\x80\nA\0B=C\0D\nSIZE(\xc3)=1\n"),
    ];
    for (name, text) in texts {
        corpus.add("vmcoreinfo", name, &[text])?;
    }
    Ok(())
}

fn attributes(corpus: &mut Corpus) -> Result<()> {
    // Context, operation, and what it needs; see `run_attributes`.
    let programs: [(&str, &[u8]); 7] = [
        ("open", &[0, 12, 1, 0, 0, 14, 0, 13, 0, 1, 0, 11, 0, 0, 6, 47, 0, 14]),
        ("open-set", &[0, 12, 2, 8, 9, 0, 14, 0, 12, 1, 8, 0, 13, 1, 130, 0, 0, 16, 0, 14]),
        (
            "handles",
            &[0, 7, 13, 0, 7, 14, 0, 0, 14, 9, 10, 0, 7, 16, 0, 10, 1, 0, 6, 14, 0, 10, 2, 0, 9, 0, 0],
        ),
        ("clones", &[0, 11, 0, 0, 11, 0, 0, 0, 56, 9, 10, 1, 14, 1, 6, 56, 2, 14, 0, 0, 55, 9, 13]),
        (
            "page-size",
            &[0, 12, 1, 0, 0, 0, 56, 9, 10, 0, 13, 0, 3, 0, 0, 55, 9, 7, 0, 0, 53, 9, 0, 0, 13, 0, 1],
        ),
        (
            "file-set",
            &[0, 15, 3, 0, 0, 39, 9, 2, 0, 0, 40, 9, 1, 0, 0, 41, 9, 1, 0, 14, 0, 6, 38, 0, 0, 37, 9, 1],
        ),
        (
            "registers",
            &[0, 12, 1, 0, 0, 7, 49, 0, 7, 50, 0, 4, 0, 9, 23, 0, 0, 49, 9, 10, 0, 10, 0, 0, 10, 1],
        ),
    ];
    for (name, program) in programs {
        corpus.add("attributes", name, &[program])?;
    }
    Ok(())
}

fn codecs(corpus: &mut Corpus) -> Result<()> {
    let ram = RamImage::new(6, 4096);
    let small = RamImage::new(6, 512);
    type Pack = fn(&[u8]) -> Vec<u8>;
    let codecs: [(&str, Pack); 5] = [
        ("zlib", |page| compress::zlib(page, 6)),
        ("lzo", compress::lzo),
        ("snappy", compress::snappy),
        ("zstd", compress::zstd),
        ("rle", compress::rle),
    ];
    for (number, (name, pack)) in codecs.into_iter().enumerate() {
        let number = number as u8;
        for pfn in 1..6 {
            let page = ram.page_bytes(pfn);
            let stream = pack(&page);
            if stream.len() < 3000 {
                corpus.add("codec", &format!("{name}-{pfn}"), &[&[number], &stream])?;
            }
            corpus.add(
                "codec",
                &format!("{name}-small-{pfn}"),
                &[&[number | 5 << 3], &pack(&small.page_bytes(pfn))],
            )?;
        }
        corpus.add("codec", &format!("{name}-page"), &[&[number | 0x80], &small.page_bytes(2)])?;
    }
    corpus.add("codec", "zlib-stored", &[&[5 << 3], &compress::zlib(&small.page_bytes(2), 0)])?;
    corpus.add("codec", "zlib-best", &[&[5 << 3], &compress::zlib(&small.page_bytes(1), 9)])?;
    corpus.add("codec", "zstd-best", &[&[3], &compress::zstd_level(&ram.page_bytes(3), 19)])?;
    corpus.add("codec", "zstd-checked", &[&[3], &compress::zstd_with_checksum(&ram.page_bytes(1), true)])
}
