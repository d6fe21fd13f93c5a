//! Layouts of Linux on 32-bit Arm, on made-up page tables.

#[path = "xlat_support/kernel.rs"]
mod kernel;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::os::{self, OsType};
use kdumpfile::xlat::{AddrSpace, Caps, Chain, Ctx, FullAddr, PteFormat, Status};
use kernel::{Kernel, Tables};

/// The direct mapping, and where it is in physical memory.
const PAGE_OFFSET: u64 = 0xc000_0000;
const RAM: u64 = 0x4000_0000;
const STEXT: u64 = 0xc010_0240;

/// Short descriptors; memory is mapped by sections of 1 MiB.
fn short() -> Tables {
    let leaf = |phys: u64, level| if level == 1 { phys | 2 } else { phys & !0xf_ffff | 0x1140e };
    Tables::new(PteFormat::Arm, &[12, 8, 12], (RAM + 0x4000, RAM + 0x60_0000), |table| table | 1, leaf)
}

/// Long descriptors; memory is mapped by blocks of 2 MiB.
fn long() -> Tables {
    let leaf = |phys, level| phys | if level == 1 { 0x703 } else { 0x701 };
    Tables::new(PteFormat::ArmLpae, &[12, 9, 9, 2], (RAM + 0x3000, RAM + 0x4000), |table| table | 3, leaf)
}

/// A kernel with 48 MiB of memory at the start of the direct mapping, and a page
/// of vmalloc memory.
fn loaded(mut tables: Tables) -> Kernel {
    let swapper = tables.root - RAM + PAGE_OFFSET;
    let mut kernel = Kernel::linux("arm").symbol("swapper_pg_dir", swapper).symbol("_stext", STEXT);
    let size = if tables.root & 0x4000 != 0 { 1 << 20 } else { 2 << 20 };
    for offset in (0..48 << 20).step_by(size) {
        kernel.map(&mut tables, PAGE_OFFSET + offset, RAM + offset, 2);
    }
    kernel.map(&mut tables, 0xf080_1000, RAM + 0x12_3000, 1);
    kernel
}

fn phys_base(mut kernel: Kernel, phys_base: u64) -> Kernel {
    kernel.options.phys_base = Some(phys_base);
    kernel
}

fn maps_only(system: &str) -> String {
    let lines = system.lines().take_while(|line| !line.starts_with("MACHPHYS_KPHYS"));
    lines.map(|line| format!("{line}\n")).collect()
}

const LOADED: &str = "\
HW
  0-ffffffff PGT
KV_PHYS
  0-bfffffff PGT
  c0000000-c2ffffff DIRECT
  c3000000-ffffffff PGT
KPHYS_DIRECT
  40000000-42ffffff RDIRECT
";

/// Nothing was found.
const BARE: &str = "\
HW
  0-ffffffff PGT
KV_PHYS
  0-ffffffff PGT
";

#[test]
fn direct_mapping_begins_at_the_text_and_ends_with_its_offset() {
    let system = phys_base(loaded(short()), RAM).system_here();
    let expected = "\
MACHPHYS_KPHYS
  0-ffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-ffffffffff KPHYS_MACHPHYS
PGT KVADDR:c0004000 arm:12,8,12 mask 0 to MACHPHYSADDR
DIRECT +ffffffff80000000 to KPHYSADDR
RDIRECT +80000000 to KVADDR
MACHPHYS_KPHYS +0 to KPHYSADDR
KPHYS_MACHPHYS +0 to MACHPHYSADDR
";
    assert_eq!(system, format!("{LOADED}{expected}"));
}

#[test]
fn physical_base_is_found_by_tables_that_can_be_read() {
    // Stored by virtual addresses, too.
    let mut kernel = loaded(short());
    kernel.caps = Caps::MACHPHYS | Caps::KVIRT;
    kernel.copy_block(RAM + 0x4000, PAGE_OFFSET + 0x4000, 0x4000);
    assert_eq!(maps_only(&kernel.system_here()), LOADED);
    // Or the root is physical.
    let mut kernel = loaded(short());
    kernel.options.root = Some(FullAddr::machphys(RAM + 0x4000));
    kernel.symbols.remove("swapper_pg_dir");
    let system = kernel.system_here();
    assert_eq!(maps_only(&system), LOADED);
    assert!(system.contains("\nPGT MACHPHYSADDR:40004000 "), "{system}");
}

#[test]
fn root_alone_is_mapped_if_the_rest_cannot_be_read() {
    // Memory by virtual address only: the tables below the root, which are
    // physical, are beyond the piece of the direct mapping that is known.
    let mut kernel = Kernel::linux("arm").symbol("_stext", STEXT);
    let mut tables = short();
    kernel.map(&mut tables, PAGE_OFFSET, RAM, 1);
    kernel.copy_block(RAM + 0x4000, PAGE_OFFSET + 0x4000, 0x4000);
    kernel.caps = Caps::KVIRT;
    for space in [AddrSpace::MACHPHYS, AddrSpace::KPHYS] {
        kernel.options.root = Some(FullAddr::new(space, RAM + 0x4000));
        let system = phys_base(kernel.clone(), RAM).system_here();
        let expected = "\
HW
  0-ffffffff PGT
KV_PHYS
  0-c0003fff PGT
  c0004000-c0007fff DIRECT
  c0008000-ffffffff PGT
KPHYS_DIRECT
  40004000-40007fff RDIRECT
";
        assert_eq!(maps_only(&system), expected);
    }
    // Sections need no other tables, so the first run of them is found.
    let mut kernel = loaded(short());
    kernel.copy_block(RAM + 0x4000, PAGE_OFFSET + 0x4000, 0x4000);
    kernel.caps = Caps::KVIRT;
    kernel.options.root = Some(FullAddr::machphys(RAM + 0x4000));
    let system = phys_base(kernel, RAM).system_here();
    assert!(system.contains("  c0004000-c0007fff DIRECT\n"), "the page of vmalloc memory: {system}");
}

#[test]
fn nothing_is_found_without_text_or_tables() {
    let mut kernel = loaded(short());
    assert_eq!(maps_only(&kernel.system_here()), BARE, "the root is known by its virtual address only");
    kernel.options.root = Some(FullAddr::machphys(RAM + 0x4000));
    kernel.symbols.remove("_stext");
    assert_eq!(maps_only(&kernel.system_here()), BARE);
}

#[test]
fn what_is_missing_is_said() {
    let mut kernel = loaded(short());
    kernel.symbols.remove("_stext");
    let error = "error 5: Cannot determine PAGE_BASE: Cannot resolve \"_stext\": no symbol";
    assert_eq!(phys_base(kernel.clone(), RAM).system_here().lines().next(), Some(error));
    kernel.symbols.remove("swapper_pg_dir");
    let error =
        "error 5: Cannot determine page table virtual address: Cannot resolve \"swapper_pg_dir\": no symbol";
    assert_eq!(kernel.system_here().lines().next(), Some(error));
    kernel.options.os = Some(OsType::Unknown);
    let expected = "\
error 1: OS type not implemented
HW
  0-ffffffff PGT
KV_PHYS
  0-ffffffff PGT
MACHPHYS_KPHYS
  0-ffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-ffffffffff KPHYS_MACHPHYS
MACHPHYS_KPHYS +0 to KPHYSADDR
KPHYS_MACHPHYS +0 to MACHPHYSADDR
";
    assert_eq!(kernel.system_here(), expected);
}

#[test]
fn physical_base_beyond_its_space_is_refused() {
    let kernel = phys_base(loaded(short()), u64::MAX - 0x5fff);
    let (_, _, result) = kernel.init();
    assert_eq!(result.unwrap_err().status(), Status::Invalid);
}

#[test]
fn long_descriptors_are_used_if_somebody_says_so() {
    let by_bits = |mut kernel: Kernel| {
        kernel.options.phys_bits = Some(40);
        kernel
    };
    for kernel in [by_bits(loaded(long())), loaded(long()).number("CONFIG_ARM_LPAE", 1)] {
        let kernel = phys_base(kernel, RAM);
        let system = kernel.system_here();
        assert_eq!(maps_only(&system), LOADED);
        assert!(system.contains("\nPGT KVADDR:c0003000 arm_lpae:12,9,9,2 mask 0 "), "{system}");
        let (sys, ctx, result) = kernel.init();
        result.unwrap();
        let vmalloc = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(0xf080_1234));
        assert_eq!(vmalloc.unwrap(), FullAddr::kphys(RAM + 0x12_3234));
    }
    // All tables of the second level are within reach of the root, and the one of
    // pages is in the direct mapping by then.
    let mut kernel = by_bits(loaded(long()));
    kernel.caps = Caps::KVIRT;
    kernel.copy_block(RAM + 0x3000, PAGE_OFFSET + 0x3000, 0x5000);
    kernel.options.root = Some(FullAddr::machphys(RAM + 0x3000));
    assert_eq!(maps_only(&phys_base(kernel, RAM).system_here()), LOADED);
}

#[test]
fn option_of_32_bits_outweighs_the_kernel_configuration() {
    let mut kernel = phys_base(loaded(short()), RAM).number("CONFIG_ARM_LPAE", 1);
    kernel.options.phys_bits = Some(32);
    assert_eq!(maps_only(&kernel.system_here()), LOADED);
}

#[test]
fn memory_is_found_where_the_tables_say_that_they_are() {
    for (tables, bits) in [(short(), 32), (long(), 40)] {
        let kernel = loaded(tables);
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(kernel.clone()))));
        let found = os::guess_arm_memory(&ctx, &kernel.options).unwrap().unwrap();
        assert_eq!((found.phys_base, found.phys_bits), (Some(RAM), Some(bits)));
        let mut guessed = kernel;
        guessed.options = found;
        assert_eq!(maps_only(&guessed.system_here()), LOADED);
    }
}

#[test]
fn nothing_is_guessed_without_evidence() {
    let guess = |kernel: &Kernel| {
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(kernel.clone()))));
        os::guess_arm_memory(&ctx, &kernel.options)
    };
    let mut kernel = loaded(short());
    kernel.options.phys_bits = Some(40);
    assert_eq!(guess(&kernel), Ok(None), "no long descriptors");
    kernel.options.phys_bits = None;
    assert_eq!(guess(&kernel.clone().busy()).unwrap_err().status(), Status::BUSY);
    let mut elsewhere = kernel.clone().symbol("swapper_pg_dir", PAGE_OFFSET + 0x8000);
    assert_eq!(guess(&elsewhere), Ok(None), "no tables there");
    elsewhere.symbols.remove("swapper_pg_dir");
    assert_eq!(guess(&elsewhere), Ok(None));
    kernel.caps = Caps::KVIRT;
    assert_eq!(guess(&kernel), Ok(None), "no physical memory");
}

#[test]
fn busy_callbacks_are_no_answer() {
    let mut physical = loaded(short());
    physical.options.root = Some(FullAddr::machphys(RAM + 0x4000));
    for kernel in [physical, phys_base(loaded(short()), RAM)] {
        assert_eq!(kernel.busy().init().2.unwrap_err().status(), Status::BUSY);
    }
}
