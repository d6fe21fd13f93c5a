//! Dumps of kernels that say of themselves what cannot be true.

use kdumpfile::{Blob, Context, Space, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::{Class, ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{Note, NoteWriter, prstatus, prstatus_layout};

use super::xlat_setup::{ADDRESSES, STEPS_MAX, maps_are_whole};
use crate::input::Input;
use crate::seeds::Seeds;

/// What is translated; the last one is LoongArch.
const ARCHES: [Option<Arch>; 9] = [
    Some(Arch::X86_64),
    Some(Arch::Aarch64),
    Some(Arch::Ppc64),
    Some(Arch::Riscv64),
    Some(Arch::S390x),
    Some(Arch::Ia32),
    Some(Arch::Arm),
    Some(Arch::Riscv32),
    None,
];

/// `EM_LOONGARCH`.
const EM_LOONGARCH: u16 = 258;

/// How the value of a key is written.
#[derive(Clone, Copy)]
enum Form {
    Hex,
    Decimal,
    One(&'static [&'static str]),
}

use Form::{Decimal, Hex, One};

/// The lines that set-ups look at.
const KEYS: [(&str, Form); 53] = [
    (
        "OSRELEASE",
        One(&[
            "2.6.32",
            "3.10.0",
            "4.4.0",
            "4.5.0",
            "4.6.1",
            "4.7",
            "4.12",
            "4.20.3",
            "5.4.9",
            "6.12.0",
            "",
            "9999999.99999999.9",
            "-1",
        ]),
    ),
    ("PAGESIZE", One(&["4096", "16384", "65536", "0", "1", "18446744073709551616", "4097"])),
    ("SYMBOL(swapper_pg_dir)", Hex),
    ("SYMBOL(init_level4_pgt)", Hex),
    ("SYMBOL(init_top_pgt)", Hex),
    ("SYMBOL(_stext)", Hex),
    ("SYMBOL(_text)", Hex),
    ("SYMBOL(mem_section)", Hex),
    ("SYMBOL(vmemmap_list)", Hex),
    ("SYMBOL(mmu_psize_defs)", Hex),
    ("SYMBOL(mmu_vmemmap_psize)", Hex),
    ("SYMBOL(cur_cpu_spec)", Hex),
    ("SYMBOL(vmlist)", Hex),
    ("SYMBOL(vmap_area_list)", Hex),
    ("SYMBOL(high_memory)", Hex),
    ("SYMBOL(page_offset_base)", Hex),
    ("SYMBOL(lowcore_ptr)", Hex),
    ("SYMBOL(pgd_l3)", Hex),
    ("SIZE(mmu_psize_def)", Decimal),
    ("SIZE(mem_section)", Decimal),
    ("OFFSET(mmu_psize_def.shift)", Decimal),
    ("OFFSET(vmemmap_backing.phys)", Decimal),
    ("OFFSET(vmemmap_backing.virt_addr)", Decimal),
    ("OFFSET(vmemmap_backing.list)", Decimal),
    ("OFFSET(cpu_spec.mmu_features)", Decimal),
    ("OFFSET(vmap_area.va_start)", Decimal),
    ("OFFSET(vmap_area.list)", Decimal),
    ("OFFSET(vm_struct.addr)", Decimal),
    ("OFFSET(list_head.next)", Decimal),
    ("NUMBER(phys_base)", Decimal),
    ("NUMBER(pgtable_l5_enabled)", Decimal),
    ("NUMBER(sme_mask)", Decimal),
    ("NUMBER(KERNEL_IMAGE_SIZE)", Decimal),
    ("NUMBER(VA_BITS)", Decimal),
    ("NUMBER(kimage_voffset)", Hex),
    ("NUMBER(PHYS_OFFSET)", Hex),
    ("NUMBER(TCR_EL1_T1SZ)", Hex),
    ("NUMBER(tcr_el1_t1sz)", Hex),
    ("NUMBER(MAX_PHYSMEM_BITS)", Decimal),
    ("NUMBER(PAGE_OFFSET)", Hex),
    ("NUMBER(VMALLOC_START)", Hex),
    ("NUMBER(KERNEL_LINK_ADDR)", Hex),
    ("NUMBER(va_kernel_pa_offset)", Hex),
    ("NUMBER(phys_ram_base)", Hex),
    ("NUMBER(RADIX_MMU)", Decimal),
    ("KERNELOFFSET", Hex),
    ("KERNELOFFPHYS", Hex),
    ("IDENTITYBASE", Hex),
    ("CONFIG_ARM_LPAE", One(&["y", "n", ""])),
    ("CONFIG_PGTABLE_LEVELS", Decimal),
    ("CONFIG_X86_PAE", One(&["y"])),
    ("SDMPHYS", Hex),
    ("SAMADDR", Hex),
];

/// Numbers that those lines are likely to have: bits, sizes, offsets.
const PLAUSIBLE: [u64; 20] =
    [0, 1, 2, 4, 8, 12, 16, 24, 30, 32, 36, 39, 40, 42, 47, 48, 52, 57, 4096, 1 << 47];

/// Where memory is.
const PLACES: [u64; 6] = [0, 0x1000, 0x10_0000, 0x100_0000, 0x4000_0000, 0x8000_0000];

/// The text of a kernel: known keys with numbers that may be anything.
fn text(input: &mut Input<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..input.byte() % 64 {
        let (key, form) = input.one_of(&KEYS);
        let number = match input.byte() % 4 {
            0 => input.number(),
            1 => input.one_of(&PLAUSIBLE),
            // In the memory that there is, by the addresses that kernels use.
            _ => input.one_of(&ADDRESSES).wrapping_add(input.one_of(&PLACES)).wrapping_add(input.uint(2)),
        };
        let value = match form {
            Hex => format!("{number:x}"),
            Decimal if input.byte() & 1 == 0 => format!("{}", number as i64),
            Decimal => format!("{number}"),
            One(values) => String::from(input.one_of(values)),
        };
        let prefix = if matches!(form, Hex) && key.starts_with("NUMBER") { "0x" } else { "" };
        text.extend_from_slice(format!("{key}={prefix}{value}\n").as_bytes());
    }
    text
}

/// 64 KiB in a pattern of a few words, which may be entries of page tables.
fn memory(input: &mut Input<'_>, order: ByteOrder, width: usize) -> Vec<u8> {
    let count = usize::from(input.byte()) % 64;
    let place = input.one_of(&PLACES);
    let words: Vec<u64> = (0..count)
        .map(|_| match input.byte() % 4 {
            0 => 0,
            1 => input.number(),
            // A table or a page in the memory that there is.
            _ => {
                place
                    + ((input.uint(1) & 15) << 12)
                    + input.one_of(&[1, 3, 0x63, 0x81, 0x7c0, 0x400, 0xcf, 1 << 63])
            }
        })
        .collect();
    let mut bytes = Vec::with_capacity(1 << 16);
    for index in 0..(1 << 16) / width {
        // Tables differ from each other.
        let word = words.get((index + index / 512) % words.len().max(1)).copied().unwrap_or(0);
        match (width, order) {
            (4, ByteOrder::Big) => bytes.extend_from_slice(&(word as u32).to_be_bytes()),
            (4, _) => bytes.extend_from_slice(&(word as u32).to_le_bytes()),
            (_, ByteOrder::Big) => bytes.extend_from_slice(&word.to_be_bytes()),
            (_, _) => bytes.extend_from_slice(&word.to_le_bytes()),
        }
    }
    bytes
}

/// Opens a dump whose VMCOREINFO and memory say anything, and translates.
///
/// Set-up ends, and its maps are whole; a translation repeats, in a clone too; a
/// set-up that fails fails again in the same way.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let arch = input.one_of(&ARCHES);
    let builder = match arch {
        Some(arch) => ElfBuilder::for_arch(arch),
        None => ElfBuilder::new(Class::Elf64, ByteOrder::Little, EM_LOONGARCH),
    };
    let order = builder.order();
    let width = if matches!(arch, Some(Arch::Ia32 | Arch::Arm | Arch::Riscv32)) { 4 } else { 8 };
    let flags = input.byte();
    let mut notes = NoteWriter::new(order);
    if let Some(arch) = arch.filter(|arch| flags & 1 != 0 && prstatus_layout(*arch).is_some()) {
        let base = input.number();
        notes = notes.note(Note::core(1, prstatus(arch, order, 100, |i, _| base.wrapping_add(i as u64 & 3))));
    }
    let mut text = text(&mut input);
    let domains = (flags & 64 != 0).then(|| {
        let head = input.one_of(&ADDRESSES).wrapping_add(input.uint(2));
        let [id, next, size] = [0; 3].map(|_: u8| u64::from(input.byte()));
        format!(
            "SYMBOL(domain_list)={head:x}\nOFFSET(domain.domain_id)={id}\n\
             OFFSET(domain.next_in_list)={next}\nSIZE(domain)={size}\n"
        )
    });
    let sources: Vec<u64> = (0..4).map(|_| input.one_of(&ADDRESSES).wrapping_add(input.uint(3))).collect();
    let option = (flags & 2 != 0).then(|| {
        let key =
            input.one_of(&["virt_bits", "phys_bits", "page_shift", "phys_base", "version_code", "xen_xlat"]);
        (key, input.number())
    });
    let mut builder = builder;
    for _ in 0..1 + input.byte() % 3 {
        let segment = Segment::load(input.one_of(&PLACES), memory(&mut input, order, width));
        let segment = match input.byte() & 3 {
            0 => segment.memsz(1 << 30),
            _ => segment,
        };
        builder = builder.segment(segment.vaddr(input.one_of(&ADDRESSES)));
    }
    // What is left is text as it is.
    text.extend_from_slice(input.0);
    let in_note = flags & 4 == 0;
    if in_note {
        notes = notes.note(Note::vmcoreinfo(text.clone()));
    }
    let file = builder.note(notes.finish()).build();

    let dump = Context::new();
    dump.xlat().set_steps_max(STEPS_MAX);
    if flags & 8 != 0 {
        let _ = dump.set("addrxlat.ostype", Value::from(if flags & 16 != 0 { "xen" } else { "linux" }));
    }
    if let Some((key, number)) = option {
        let path = format!("addrxlat.default.{key}");
        let value = if key == "phys_base" { Value::Address(number) } else { Value::Number(number) };
        let _ = dump.set(&path, value);
    }
    let opened = dump.open_bytes(file);
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    if !in_note {
        let _ = dump.set("linux.vmcoreinfo.raw", Value::Blob(Blob::new(text)));
    }
    let _ = dump.set("addrxlat.ostype", Value::from(if flags & 48 == 48 { "xen" } else { "linux" }));
    // The first call says what is wrong, those after it use what there is, unless
    // that is not even known.
    let first = dump.translation_system();
    match (dump.translation_system(), first) {
        (Ok(system), _) => maps_are_whole(&system),
        (Err(error), first) => assert_eq!(first.err(), Some(error)),
    }

    let clone = dump.clone();
    for source in sources {
        for space in [Space::KernelPhysical, Space::MachinePhysical] {
            let translate = |dump: &Context| dump.translate_address(Space::KernelVirtual, source, space).ok();
            let first = translate(&dump);
            assert_eq!(translate(&dump), first);
            assert_eq!(translate(&clone), first);
        }
        let mut bytes = [0; 24];
        let read = dump.read(Space::KernelVirtual, source, &mut bytes).is_ok();
        assert_eq!(clone.read(Space::KernelVirtual, source, &mut bytes).is_ok(), read);
    }
    if let Some(rows) = domains {
        let _ = dump.set("xen.vmcoreinfo.raw", Value::Blob(Blob::new(rows.into_bytes())));
        if let Ok(list) = dump.xen_domains() {
            assert!(list.take(0x8002).count() <= 0x8001, "a list of domains does not end");
        }
    }
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    // Half of the known lines once with memory of small words, and what a kernel
    // says with tables.
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
        seeds.add(&format!("arch-{arch}"), &parts);
        let parts: [&[u8]; 6] = [&[arch, 8, 0], &[], &sources, &memory, &segment, text.as_bytes()];
        seeds.add(&format!("kernel-{arch}"), &parts);
    }
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
