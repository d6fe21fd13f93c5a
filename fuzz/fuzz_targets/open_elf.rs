//! Changes of a valid ELF core.

use std::sync::OnceLock;

use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::{Class, ElfBuilder, ElfLayout, Section, Segment};
use kdumpfile_testkit::endian::{ByteOrder, Field};
use kdumpfile_testkit::notes::{NoteWriter, xen};

use crate::patched::{self, Template, linux_notes, pages};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change it.
pub fn run(data: &[u8]) {
    patched::open_one(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds(seeds, templates());
}

/// ELF cores of several architectures and writers.
pub fn templates() -> &'static [Template] {
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
