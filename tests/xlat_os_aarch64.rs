//! Layouts of Linux on AArch64, on made-up page tables, and beside Debian's
//! library where that knows them.

#[path = "xlat_support/kernel.rs"]
mod kernel;

use kdumpfile::xlat::os::{self, OsType};
use kdumpfile::xlat::{AddrSpace, Caps, FullAddr, MethodIndex, PteFormat, Status};
use kernel::{Kernel, Tables};

const K4_VA48: &[u16] = &[12, 9, 9, 9, 9];
const K4_VA39: &[u16] = &[12, 9, 9, 9];
const K16_VA47: &[u16] = &[14, 11, 11, 11];
const K64_VA52: &[u16] = &[16, 13, 13, 10];

/// `swapper_pg_dir` of most tests, and where the tables below it are.
const ROOT: u64 = 0x4157_b000;
const TABLES: u64 = 0x4400_0000;

fn tables(fields: &'static [u16]) -> Tables {
    let leaf = |phys, level| phys | if level == 1 { 0x703 } else { 0x701 };
    Tables::new(PteFormat::Aarch64, fields, (ROOT, TABLES), |table| table | 3, leaf)
}

fn linux(page_shift: u64) -> Kernel {
    let mut kernel = Kernel::linux("aarch64");
    kernel.options.page_shift = Some(page_shift);
    kernel
}

/// A kernel with 4 KiB pages whose text is at `text`, and which is loaded to
/// physical `0x40210000`; 96 MiB of memory from `0x40000000` are mapped at
/// `direct`.
fn loaded(fields: &'static [u16], text: u64, direct: u64) -> Kernel {
    let voffset = text - 0x4021_0000;
    let mut kernel = linux(12)
        .symbol("swapper_pg_dir", ROOT.wrapping_add(voffset))
        .symbol("_stext", text)
        .number("kimage_voffset", voffset);
    let mut tables = tables(fields);
    kernel.map_run(&mut tables, text, 0x4021_0000, 1, 16);
    kernel.map_run(&mut tables, direct, 0x4000_0000, 2, 47);
    kernel.map_run(&mut tables, direct + (47 << 21), 0x4000_0000 + (47 << 21), 1, 512);
    kernel
}

fn maps_only(system: &str) -> String {
    let lines = system.lines().take_while(|line| !line.starts_with("KPHYS_DIRECT"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn form(system: &str) -> &str {
    system.lines().find_map(|line| line.strip_prefix("PGT ")).unwrap_or("none")
}

#[test]
fn kernels_since_5_4_have_the_direct_mapping_in_the_lower_half() {
    let kernel = loaded(K4_VA48, 0xffff_8000_0801_0000, 0xffff_0000_0000_0000)
        .number("VA_BITS", 48)
        .number("TCR_EL1_T1SZ", 16);
    let expected = "\
HW
  0-ffffffffffff UPGT
  ffff000000000000-ffffffffffffffff PGT
KV_PHYS
  0-ffffffffffff UPGT
  ffff000000000000-ffff000005ffffff DIRECT
  ffff000006000000-ffffffffffffffff PGT
KPHYS_DIRECT
  40000000-45ffffff RDIRECT
MACHPHYS_KPHYS
  0-fffffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-fffffffffffff KPHYS_MACHPHYS
PGT KPHYSADDR:4157b000 aarch64:12,9,9,9,9 mask 0 to MACHPHYSADDR
UPGT NOADDR aarch64:12,9,9,9,9 mask 0 to MACHPHYSADDR
DIRECT +1000040000000 to KPHYSADDR
RDIRECT +fffeffffc0000000 to KVADDR
MACHPHYS_KPHYS +0 to KPHYSADDR
KPHYS_MACHPHYS +0 to MACHPHYSADDR
";
    assert_eq!(kernel.system(), expected);
}

#[test]
fn kernels_before_5_4_have_the_direct_mapping_in_the_upper_half() {
    let kernel = loaded(K4_VA39, 0xffff_ff80_0808_0000, 0xffff_ffc0_0000_0000).number("VA_BITS", 39);
    let expected = "\
HW
  0-7fffffffff UPGT
  ffffff8000000000-ffffffffffffffff PGT
KV_PHYS
  0-7fffffffff UPGT
  ffffff8000000000-ffffffbfffffffff PGT
  ffffffc000000000-ffffffc005ffffff DIRECT
  ffffffc006000000-ffffffffffffffff PGT
";
    assert_eq!(maps_only(&kernel.system()), expected);
}

#[test]
fn version_tells_the_half_if_the_symbol_does_not() {
    let kernel = loaded(K4_VA48, 0xffff_8000_0801_0000, 0xffff_0000_0000_0000).number("VA_BITS", 48);
    let with_symbol = kernel.system();
    let mut unnamed = kernel;
    unnamed.symbols.remove("_stext");
    assert_eq!(unnamed.clone().version(5, 4, 0).system(), with_symbol);
    assert!(!unnamed.system().contains("DIRECT"), "nobody knows");
    // The upper half has the text of this kernel.
    let old = unnamed.version(5, 3, 255).system();
    assert!(old.contains("  ffff800008010000-ffff80000801ffff DIRECT\n"), "{old}");
}

#[test]
fn memory_that_is_not_linear_is_left_to_page_tables() {
    let mut kernel = loaded(K4_VA48, 0xffff_8000_0801_0000, 0xffff_0000_0000_0000).number("VA_BITS", 48);
    // One page more, which is elsewhere.
    let mut more = tables(K4_VA48);
    more.next = 0x4500_0000;
    kernel.map(&mut more, 0xffff_0000_4000_0000, 0xc000_0000, 2);
    let system = kernel.system();
    assert!(!system.contains("RDIRECT"), "{system}");
}

#[test]
fn fields_follow_from_page_size_and_address_size() {
    for (shift, bits, expected) in [
        (12, 39, "aarch64:12,9,9,9"),
        (12, 48, "aarch64:12,9,9,9,9"),
        (12, 52, "aarch64_lpa2:12,9,9,9,9,4"),
        (14, 36, "aarch64:14,11,11"),
        (14, 47, "aarch64:14,11,11,11"),
        (14, 48, "aarch64:14,11,11,11,1"),
        (14, 52, "aarch64_lpa2:14,11,11,11,5"),
        (16, 42, "aarch64:16,13,13"),
        (16, 48, "aarch64:16,13,13,6"),
        (16, 52, "aarch64_lpa:16,13,13,10"),
    ] {
        let mut kernel = linux(shift).number("VA_BITS", 99);
        kernel.options.virt_bits = Some(bits);
        kernel.options.root = Some(FullAddr::kphys(ROOT));
        let system = kernel.system();
        assert_eq!(form(&system), format!("KPHYSADDR:{ROOT:x} {expected} mask 0 to MACHPHYSADDR"));
        let (top, low) = (u64::MAX << bits, (1_u64 << bits) - 1);
        let map =
            format!("HW\n  0-{low:x} UPGT\n  {top:x}-ffffffffffffffff PGT\nKV_PHYS\n  0-{low:x} UPGT\n");
        assert!(system.starts_with(&map), "{system}");
    }
}

#[test]
fn machine_has_the_last_word_on_the_size_of_addresses() {
    let mut kernel = linux(12).number("VA_BITS", 52).number("TCR_EL1_T1SZ", 16);
    kernel.options.root = Some(FullAddr::kphys(ROOT));
    assert!(form(&kernel.system()).contains("aarch64:12,9,9,9,9 "));
    kernel.numbers.insert("TCR_EL1_T1SZ", 12);
    assert!(form(&kernel.system()).contains("aarch64_lpa2:12,9,9,9,9,4 "));
    // As an early patch spelled it; Debian's library does not know.
    kernel.numbers.remove("TCR_EL1_T1SZ");
    kernel.numbers.insert("tcr_el1_t1sz", 16);
    assert!(form(&kernel.system_here()).contains("aarch64:12,9,9,9,9 "));
}

#[test]
fn what_is_missing_or_cannot_be_is_said() {
    let root = |mut kernel: Kernel| {
        kernel.options.root = Some(FullAddr::kphys(ROOT));
        kernel
    };
    assert_eq!(root(Kernel::linux("aarch64")).system(), "error 5: Cannot determine page size\n");
    let error = "error 5: Cannot determine VA_BITS: Cannot get number(VA_BITS): no number\n";
    assert_eq!(root(linux(12)).system(), error);
    let mut other = root(linux(12).number("VA_BITS", 48));
    other.options.os = Some(OsType::Unknown);
    assert_eq!(other.system(), "error 1: Cannot determine VA_BITS: Unsupported OS type\n");
    for (shift, bits) in [(12, 53), (12, 15), (12, 12), (16, 16), (12, u64::MAX), (12, 0), (52, 52)] {
        let kernel = root(linux(shift).number("VA_BITS", bits));
        assert_eq!(kernel.system(), format!("error 1: {bits}-bit virtual addresses not implemented\n"));
    }
    assert!(root(linux(u64::MAX).number("VA_BITS", 48)).system_here().starts_with("error 1"));
    // Tables of one or two entries: more levels than an address has fields.
    assert!(
        root(linux(0).number("VA_BITS", 48)).system_here().starts_with("error 3: Too many address fields")
    );

    let kernel = linux(12).number("VA_BITS", 48);
    let text = kernel.system();
    let error =
        "error 5: Cannot determine page table virtual address: Cannot resolve \"swapper_pg_dir\": no symbol";
    assert_eq!(text.lines().next(), Some(error));
    let text = kernel.symbol("swapper_pg_dir", 0xffff_0000_0100_0000).system();
    let error = "error 5: Cannot determine kimage_voffset: Cannot get number(kimage_voffset): no number";
    assert_eq!(text.lines().next(), Some(error));
}

#[test]
fn other_systems_have_the_maps_of_the_hardware_only() {
    let mut kernel = linux(12);
    kernel.options.os = Some(OsType::Unknown);
    kernel.options.virt_bits = Some(48);
    kernel.options.root = Some(FullAddr::kphys(ROOT));
    let expected = "\
HW
  0-ffffffffffff UPGT
  ffff000000000000-ffffffffffffffff PGT
KV_PHYS
  0-ffffffffffff UPGT
  ffff000000000000-ffffffffffffffff PGT
PGT NOADDR aarch64:12,9,9,9,9 mask 0 to MACHPHYSADDR
UPGT NOADDR aarch64:12,9,9,9,9 mask 0 to MACHPHYSADDR
";
    assert_eq!(kernel.system(), expected);
}

#[test]
fn root_stays_virtual_if_it_can_be_read_so() {
    let mut kernel = linux(12).number("VA_BITS", 48).symbol("swapper_pg_dir", 0xffff_8000_0937_b000);
    kernel.put_zeros(0xffff_8000_0937_b000, 4096);
    kernel.caps = Caps::MACHPHYS | Caps::KVIRT;
    assert!(form(&kernel.system()).starts_with("KVADDR:ffff80000937b000 "));
    // A missing offset does not matter then, but it does here.
    kernel.caps = Caps::MACHPHYS;
    assert!(kernel.system().starts_with("error 5: Cannot determine kimage_voffset"));
}

/// A kernel with 64 KiB pages that is built for 52 bits.
fn wide_kernel(direct: u64) -> Kernel {
    let text = 0xffff_8000_0801_0000;
    let voffset = text - 0x4021_0000;
    let mut kernel = linux(16)
        .symbol("swapper_pg_dir", ROOT.wrapping_add(voffset))
        .symbol("_stext", text)
        .number("kimage_voffset", voffset)
        .number("VA_BITS", 52);
    let mut tables = tables(K64_VA52);
    kernel.map_run(&mut tables, text, 0x4021_0000, 1, 4);
    kernel.map_run(&mut tables, direct, 0x4000_0000, 1, 0x600);
    kernel
}

#[test]
fn tables_for_52_bits_serve_a_machine_with_48() {
    let kernel = wide_kernel(0xffff_0000_0000_0000).number("TCR_EL1_T1SZ", 16);
    let expected = "\
HW
  0-ffffffffffff UPGT
  ffff000000000000-ffffffffffffffff PGT
KV_PHYS
  0-ffffffffffff UPGT
  ffff000000000000-ffff000005ffffff DIRECT
  ffff000006000000-ffffffffffffffff PGT
";
    let system = kernel.system_here();
    assert_eq!(maps_only(&system), expected);
    assert!(form(&system).contains("aarch64_lpa:16,13,13,10 "), "{system}");
    let (sys, ctx, result) = kernel.init();
    result.unwrap();
    let text = FullAddr::kvirt(0xffff_8000_0802_0123);
    assert_eq!(ctx.convert(Some(&sys), AddrSpace::KPHYS, text).unwrap(), FullAddr::kphys(0x4022_0123));

    // Not if somebody knows better.
    for (name, value) in [("VA_BITS", 48), ("TCR_EL1_T1SZ", 22)] {
        let system = kernel.clone().number(name, value).system();
        assert!(form(&system).contains(" aarch64:16,13,13"), "{system}");
        assert!(!system.contains("RDIRECT"), "{system}");
    }
    let mut given = kernel;
    given.options.root = Some(FullAddr::kphys(ROOT));
    assert!(form(&given.system()).contains(" aarch64:16,13,13,6 "));
}

#[test]
fn tables_for_48_bits_are_kept_where_they_have_something() {
    // The same place of the root for an address of 48 bits.
    let mut kernel = wide_kernel(0xffff_0000_0000_0000).number("TCR_EL1_T1SZ", 16);
    kernel.put(ROOT + 5 * 8, 0x9000_0701, 8);
    let system = kernel.system();
    assert!(form(&system).contains(" aarch64:16,13,13,6 "), "{system}");
    // Nor are they given up for tables that have nothing either.
    let mut empty = linux(16).number("VA_BITS", 52).number("TCR_EL1_T1SZ", 16).version(6, 1, 0);
    empty.symbols.insert("swapper_pg_dir", 0xffff_8000_0937_0000);
    empty.numbers.insert("kimage_voffset", 0xffff_8000_0000_0000);
    empty.put_zeros(0x937_0000, 0x2000);
    let system = empty.system();
    assert!(form(&system).contains(" aarch64:16,13,13,6 "), "{system}");
}

#[test]
fn mem_section_tells_whether_52_bits_are_used() {
    let narrow = wide_kernel(0xffff_0000_0000_0000).symbol("mem_section", 0xffff_0000_05fa_d380);
    let system = narrow.system_here();
    assert!(system.contains("  ffff000000000000-ffff000005ffffff DIRECT\n"), "{system}");
    let wide = wide_kernel(0xfff0_0000_0000_0000).symbol("mem_section", 0xfff0_0000_05fa_d380);
    let system = wide.system();
    assert!(system.contains("  fff0000000000000-fff0000005ffffff DIRECT\n"), "{system}");
}

#[test]
fn wide_physical_addresses_need_no_wide_virtual_ones() {
    let mut kernel = linux(16).number("VA_BITS", 48).number("MAX_PHYSMEM_BITS", 48);
    kernel.options.root = Some(FullAddr::machphys(ROOT));
    let mut tables = tables(&[16, 13, 13, 6]);
    // Bits 51:48 of the address in bits 15:12.
    kernel.map(&mut tables, 0xffff_8000_0801_0000, 0x4021_0000 | 0xf000, 1);
    let text = FullAddr::kvirt(0xffff_8000_0801_0123);
    let phys = |kernel: &Kernel| {
        let (sys, ctx, result) = kernel.init();
        result.unwrap();
        ctx.convert(Some(&sys), AddrSpace::MACHPHYS, text).unwrap().addr
    };
    assert_eq!(phys(&kernel), 0x4021_0123);
    assert!(form(&kernel.system()).contains(" aarch64:16,13,13,6 "));
    kernel.numbers.insert("MAX_PHYSMEM_BITS", 52);
    assert_eq!(phys(&kernel), 0xf_0000_4021_0123);
    assert!(form(&kernel.system_here()).contains(" aarch64_lpa:16,13,13,6 "));
    // Other page sizes use those bits otherwise.
    kernel.options.page_shift = Some(12);
    assert!(form(&kernel.system()).contains(" aarch64:12,9,9,9,9 "));
}

#[test]
fn kernels_without_numbers_are_recognised_by_their_text() {
    for (shift, stext, bits) in [
        (12, 0xffff_ff80_0808_0000_u64, 39),
        (12, 0xffff_ffc0_0008_0000, 39),
        (12, 0xffff_0000_0808_0000, 48),
        (12, 0xffff_8000_0008_0000, 48),
        (14, 0xffff_8000_0808_0000, 47),
        (14, 0xffff_fff0_0808_0000, 36),
        (16, 0xffff_fc00_0808_0000, 42),
        (16, 0xffff_fe00_0008_0000, 42),
        (16, 0xffff_0000_0808_0000, 48),
    ] {
        let mut kernel = linux(shift).symbol("_stext", stext);
        kernel.options.root = Some(FullAddr::kphys(ROOT));
        let system = kernel.system_here();
        let hw = format!("HW\n  0-{:x} UPGT\n", (1_u64 << bits) - 1);
        assert!(system.starts_with(&hw), "{shift} {stext:#x}: {system}");
    }
    // The same address means another size before 4.6.
    let mut old = linux(14).symbol("_stext", 0xffff_8000_0008_0000).version(4, 5, 0);
    old.options.root = Some(FullAddr::kphys(ROOT));
    assert!(old.system_here().starts_with("HW\n  0-ffffffffffff UPGT\n"));
}

#[test]
fn kernels_before_4_6_are_in_the_direct_mapping() {
    let mut kernel = linux(12)
        .version(4, 4, 0)
        .symbol("_stext", 0xffff_ffc0_0008_0000)
        .symbol("swapper_pg_dir", 0xffff_ffc0_0157_b000);
    let mut tables = tables(K4_VA39);
    kernel.map_run(&mut tables, 0xffff_ffc0_0000_0000, 0x4000_0000, 2, 8);
    assert!(kernel.system_here().starts_with("error 5: Cannot determine kimage_voffset"));
    kernel.options.phys_base = Some(0x4000_0000);
    let system = kernel.system_here();
    assert!(form(&system).starts_with("KPHYSADDR:4157b000 aarch64:12,9,9,9 "), "{system}");
    assert!(system.contains("  ffffffc000000000-ffffffc000ffffff DIRECT\n"), "{system}");
    kernel.options.phys_base = None;
    assert_eq!(kernel.clone().number("PHYS_OFFSET", 0x4000_0000).system_here(), system);
    // A kernel outside of the direct mapping could be anywhere.
    kernel.options.phys_base = Some(0x4000_0000);
    let outside = kernel.symbol("swapper_pg_dir", 0xffff_ff80_0157_b000).number("VA_BITS", 39);
    assert!(outside.system().starts_with("error 5: Cannot determine kimage_voffset"));
}

#[test]
fn sixteen_kilobyte_pages_are_scanned_alike() {
    let text = 0xffff_c000_0801_0000;
    let voffset = text - 0x4021_0000;
    let mut kernel = linux(14)
        .symbol("swapper_pg_dir", 0x4157_c000_u64.wrapping_add(voffset))
        .symbol("_stext", text)
        .number("kimage_voffset", voffset)
        .number("VA_BITS", 47);
    let mut tables = tables(K16_VA47);
    tables.root = 0x4157_c000;
    // One block of 32 MiB, and pages.
    kernel.map(&mut tables, 0xffff_8000_0000_0000, 0x4000_0000, 2);
    kernel.map_run(&mut tables, 0xffff_8000_0200_0000, 0x4200_0000, 1, 3);
    let system = kernel.system();
    assert!(system.contains("  ffff800000000000-ffff80000200bfff DIRECT\n"), "{system}");
    assert!(system.contains("  40000000-4200bfff RDIRECT\n"), "{system}");
}

#[test]
fn busy_callbacks_are_no_answer() {
    let kernel = loaded(K4_VA48, 0xffff_8000_0801_0000, 0xffff_0000_0000_0000).number("VA_BITS", 48);
    let (sys, _, result) = kernel.busy().init();
    assert_eq!(result.unwrap_err().status(), Status::BUSY);
    assert!(sys.method(MethodIndex::DIRECT).unwrap().is_none());
}

#[test]
fn tags_and_signatures_are_no_part_of_an_address() {
    for (pointer, pac, addr) in [
        (0xf4ff_0000_0123_4567, 0, 0xffff_0000_0123_4567),
        (0x5a00_ffff_0123_4567, 0, 0x0000_ffff_0123_4567),
        (0xffaf_8000_0801_0000, 0x007f_0000_0000_0000, 0xffff_8000_0801_0000),
        (0x0035_ffff_0123_4567, 0x007f_0000_0000_0000, 0x0000_ffff_0123_4567),
        // Bit 55 is never part of a signature.
        (0x0035_ffff_0123_4567, u64::MAX << 48, 0x0000_ffff_0123_4567),
        (0xffff_8000_0801_0000, 0, 0xffff_8000_0801_0000),
    ] {
        assert_eq!(os::aarch64_untagged(pointer, pac), addr, "{pointer:#x}");
    }
}
