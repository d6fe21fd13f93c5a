//! Layouts of Linux on RISC-V, on made-up page tables.

#[path = "xlat_support/kernel.rs"]
mod kernel;

use kdumpfile::xlat::os::OsType;
use kdumpfile::xlat::{AddrSpace, Caps, FullAddr, PteFormat, Status};
use kernel::{Kernel, Tables};

const SV39: &[u16] = &[12, 9, 9, 9];
const SV48: &[u16] = &[12, 9, 9, 9, 9];
const SV57: &[u16] = &[12, 9, 9, 9, 9, 9];

/// Where the kernel is linked to, and where it is loaded.
const TEXT: u64 = 0xffff_ffff_8000_0000;
const RAM: u64 = 0x8000_0000;
const LOADED: u64 = 0x8020_0000;
const SWAPPER: u64 = 0xffff_ffff_8120_0000;
const ROOT: u64 = LOADED + (SWAPPER - TEXT);

/// A kernel whose 2 MiB of text are mapped by pages of 2 MiB, and 64 MiB of
/// memory from `LOADED` on at `direct`.
fn loaded(fields: &'static [u16], direct: u64) -> Kernel {
    let mut kernel =
        Kernel::linux("riscv64").symbol("swapper_pg_dir", SWAPPER).symbol("_stext", TEXT + 0x2000);
    let mut tables = Tables::new(
        PteFormat::Riscv64,
        fields,
        (ROOT, 0x8800_0000),
        |table| table >> 2 | 1,
        |phys, _| phys >> 2 | 0xcf,
    );
    kernel.map(&mut tables, TEXT, LOADED, 2);
    kernel.map_run(&mut tables, direct, LOADED, 2, 32);
    // Behind a hole, with the same offset.
    kernel.map_run(&mut tables, direct + (40 << 21), LOADED + (40 << 21), 1, 3);
    kernel
}

/// With the numbers of 6.4 and later.
fn numbered(bits: u64, page_offset: u64, fields: &'static [u16]) -> Kernel {
    loaded(fields, page_offset)
        .number("VA_BITS", bits)
        .number("PAGE_OFFSET", page_offset)
        .number("va_kernel_pa_offset", TEXT - LOADED)
}

#[test]
fn sv39_has_its_direct_mapping_as_long_as_it_is_linear() {
    let expected = "\
HW
  0-3fffffffff PGT
  ffffffc000000000-ffffffffffffffff PGT
KV_PHYS
  0-3fffffffff PGT
  ffffffc000000000-ffffffd5ffffffff PGT
  ffffffd600000000-ffffffd605002fff DIRECT
  ffffffd605003000-ffffffffffffffff PGT
KPHYS_DIRECT
  80200000-85202fff RDIRECT
MACHPHYS_KPHYS
  0-ffffffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-ffffffffffffff KPHYS_MACHPHYS
PGT KPHYSADDR:81400000 riscv64:12,9,9,9 mask 0 to MACHPHYSADDR
DIRECT +2a80200000 to KPHYSADDR
RDIRECT +ffffffd57fe00000 to KVADDR
MACHPHYS_KPHYS +0 to KPHYSADDR
KPHYS_MACHPHYS +0 to MACHPHYSADDR
";
    assert_eq!(numbered(39, 0xffff_ffd6_0000_0000, SV39).system_here(), expected);
}

#[test]
fn sv48_and_sv57_are_wider() {
    let system = numbered(48, 0xffff_af80_0000_0000, SV48).system_here();
    let expected = "\
HW
  0-7fffffffffff PGT
  ffff800000000000-ffffffffffffffff PGT
KV_PHYS
  0-7fffffffffff PGT
  ffff800000000000-ffffaf7fffffffff PGT
  ffffaf8000000000-ffffaf8005002fff DIRECT
  ffffaf8005003000-ffffffffffffffff PGT
";
    assert!(system.starts_with(expected), "{system}");
    assert!(system.contains("\nPGT KPHYSADDR:81400000 riscv64:12,9,9,9,9 mask 0 "), "{system}");

    let system = numbered(57, 0xff60_0000_0000_0000, SV57).system_here();
    let expected = "\
HW
  0-ffffffffffffff PGT
  ff00000000000000-ffffffffffffffff PGT
KV_PHYS
  0-ffffffffffffff PGT
  ff00000000000000-ff5fffffffffffff PGT
  ff60000000000000-ff60000005002fff DIRECT
  ff60000005003000-ffffffffffffffff PGT
";
    assert!(system.starts_with(expected), "{system}");
    assert!(system.contains("\nPGT KPHYSADDR:81400000 riscv64:12,9,9,9,9,9 mask 0 "), "{system}");
}

#[test]
fn direct_mapping_up_to_the_last_address_ends_there() {
    let mut kernel = numbered(39, 0xffff_ffd6_0000_0000, SV39).number("PAGE_OFFSET", 0xffff_ffff_ffe0_0000);
    kernel.clear();
    kernel.put_zeros(ROOT, 4096);
    let mut tables = Tables::new(
        PteFormat::Riscv64,
        SV39,
        (ROOT, 0x8900_0000),
        |table| table >> 2 | 1,
        |phys, _| phys >> 2 | 0xcf,
    );
    kernel.map(&mut tables, 0xffff_ffff_ffe0_0000, LOADED, 2);
    let system = kernel.system_here();
    assert!(system.contains("  ffffffffffe00000-ffffffffffffffff DIRECT\n"), "{system}");
}

#[test]
fn kernels_before_6_4_tell_where_memory_begins() {
    let offset = |kernel: Kernel| {
        let mut kernel = kernel;
        kernel.numbers.remove("va_kernel_pa_offset");
        kernel
    };
    let new = numbered(39, 0xffff_ffd8_0000_0000, SV39);
    let with_offset = new.system_here();
    // Loaded to the start of memory, as KERNEL_LINK_ADDR says.
    let old = offset(new.clone()).number("phys_ram_base", LOADED).number("KERNEL_LINK_ADDR", TEXT);
    assert_eq!(old.system_here(), with_offset);
    let mut unlinked = old;
    unlinked.numbers.remove("KERNEL_LINK_ADDR");
    assert_eq!(unlinked.system_here(), with_offset);

    // Before 5.13 in the direct mapping.
    let inside = offset(new.clone())
        .number("phys_ram_base", LOADED)
        .symbol("swapper_pg_dir", 0xffff_ffd8_0000_0000 + (SWAPPER - TEXT));
    assert_eq!(inside.system_here(), with_offset);

    let error =
        "error 5: Cannot determine va_kernel_pa_offset: Cannot get number(va_kernel_pa_offset): no number";
    assert_eq!(offset(new).system_here().lines().next(), Some(error));
}

#[test]
fn size_of_addresses_is_seen_in_the_tables_if_nobody_tells() {
    for (bits, page_offset, fields) in [
        (39, 0xffff_ffd6_0000_0000, SV39),
        (48, 0xffff_af80_0000_0000, SV48),
        (57, 0xff60_0000_0000_0000, SV57),
    ] {
        let told = numbered(bits, page_offset, fields);
        let mut untold = told.clone();
        untold.numbers.remove("VA_BITS");
        assert_eq!(untold.system_here(), told.system_here());
        untold.symbols.remove("_stext");
        assert_eq!(untold.system_here(), told.system_here(), "by the link address");
    }
    // Only one size before 5.17, even without tables.
    let mut old = Kernel::linux("riscv64").version(5, 16, 255);
    old.options.root = Some(FullAddr::machphys(ROOT));
    let system = old.system_here();
    assert!(system.contains("PGT MACHPHYSADDR:81400000 riscv64:12,9,9,9 mask 0 "), "{system}");
    // No tables, no size; and nothing is left of what was tried.
    let error = "error 5: Cannot determine VA_BITS: Cannot get number(VA_BITS): no number\n";
    assert_eq!(old.version(5, 17, 0).system_here(), error);
    assert_eq!(Kernel::linux("riscv64").system_here(), error);
}

#[test]
fn what_cannot_be_is_said() {
    for bits in [0, 32, 40, 64, u64::MAX] {
        let kernel = numbered(bits, 0xffff_ffd6_0000_0000, SV39);
        let error = format!("error 1: {bits}-bit virtual addresses not implemented\n");
        assert_eq!(kernel.system_here(), error);
    }
    let mut other = numbered(39, 0xffff_ffd6_0000_0000, SV39);
    other.options.os = Some(OsType::Unknown);
    assert_eq!(other.system_here(), "error 1: Cannot determine VA_BITS: Unsupported OS type\n");
    other.options.virt_bits = Some(39);
    let system = other.system_here();
    assert!(system.contains("\nPGT NOADDR riscv64:12,9,9,9 mask 0 "), "{system}");
    assert!(system.contains("  0-ffffffffffffff MACHPHYS_KPHYS\n") && !system.contains("DIRECT"), "{system}");

    let mut rootless = numbered(39, 0xffff_ffd6_0000_0000, SV39);
    rootless.symbols.remove("swapper_pg_dir");
    let error =
        "error 5: Cannot determine page table virtual address: Cannot resolve \"swapper_pg_dir\": no symbol";
    assert_eq!(rootless.system_here().lines().next(), Some(error));
}

#[test]
fn without_page_offset_there_is_no_direct_mapping() {
    let mut kernel = numbered(39, 0xffff_ffd6_0000_0000, SV39);
    kernel.numbers.remove("PAGE_OFFSET");
    let (sys, ctx, result) = kernel.init();
    result.unwrap();
    assert!(!kernel::print(&sys, &Ok(())).contains("DIRECT"));
    let addr = FullAddr::kvirt(0xffff_ffd6_0000_0123);
    assert_eq!(ctx.convert(Some(&sys), AddrSpace::KPHYS, addr).unwrap(), FullAddr::kphys(LOADED + 0x123));
}

#[test]
fn root_that_can_be_read_virtually_needs_no_offset() {
    let mut kernel = numbered(39, 0xffff_ffd6_0000_0000, SV39);
    kernel.numbers.remove("va_kernel_pa_offset");
    kernel.caps = Caps::MACHPHYS | Caps::KVIRT;
    kernel.copy_block(ROOT, SWAPPER, 4096);
    let system = kernel.system_here();
    assert!(system.contains("\nPGT KVADDR:ffffffff81200000 "), "{system}");
    assert!(system.contains("  ffffffd600000000-ffffffd605002fff DIRECT\n"), "{system}");
}

#[test]
fn pages_of_64_kilobytes_and_memory_types_do_not_matter() {
    let mut kernel = numbered(39, 0xffff_ffd6_0000_0000, SV39);
    let mut vmalloc = Tables::new(
        PteFormat::Riscv64,
        SV39,
        (ROOT, 0x8a00_0000),
        |table| table >> 2 | 1,
        // Svnapot (the frame number ends in 1000b), Svpbmt: I/O.
        |phys, _| (phys & !0xffff | 0x8000) >> 2 | 0xcf | 1 << 63 | 2 << 61,
    );
    let start = 0xffff_ffc8_0001_0000;
    kernel.map_run(&mut vmalloc, start, 0x8512_0000, 1, 16);
    let (sys, ctx, result) = kernel.init();
    result.unwrap();
    for offset in [0, 0x123, 0x7ff8, 0x8000, 0xfffe] {
        let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(start + offset));
        assert_eq!(found.unwrap(), FullAddr::kphys(0x8512_0000 + offset));
    }
}

#[test]
fn busy_callbacks_are_no_answer() {
    let mut kernel = numbered(39, 0xffff_ffd6_0000_0000, SV39).busy();
    assert_eq!(kernel.init().2.unwrap_err().status(), Status::BUSY);
    kernel.numbers.remove("VA_BITS");
    assert_eq!(kernel.init().2.unwrap_err().status(), Status::BUSY, "not one of several sizes");
}

#[test]
fn ram_below_the_kernel_is_not_in_the_way() {
    // From 6.4 on the direct mapping may begin with the start of memory.
    let page_offset = 0xffff_ffd6_0000_0000;
    let mut kernel = numbered(39, page_offset + 0x20_0000, SV39).number("PAGE_OFFSET", page_offset);
    let mut tables = Tables::new(
        PteFormat::Riscv64,
        SV39,
        (ROOT, 0x8b00_0000),
        |table| table >> 2 | 1,
        |phys, _| phys >> 2 | 0xcf,
    );
    kernel.map_run(&mut tables, page_offset, RAM, 1, 512);
    let system = kernel.system_here();
    assert!(system.contains("  80000000-85202fff RDIRECT\n"), "{system}");
}
