//! Changes of a valid diskdump.

use std::sync::OnceLock;

use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DISKDUMP, DiskdumpBuilder, DiskdumpLayout};
use kdumpfile_testkit::endian::{ByteOrder, Field};
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::notes::Utsname;

use crate::patched::{self, PAGE, Template, linux_notes};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change it.
pub fn run(data: &[u8]) {
    patched::open_one(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds(seeds, templates());
}

/// Diskdumps of several versions and architectures, one for each codec.
pub fn templates() -> &'static [Template] {
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

pub(super) fn diskdump(builder: DiskdumpBuilder, order: ByteOrder) -> Template {
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

pub(super) fn kdump(arch: Arch, codec: Codec) -> DiskdumpBuilder {
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
