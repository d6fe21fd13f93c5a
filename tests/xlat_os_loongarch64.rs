//! The layout of Linux on LoongArch, on made-up page tables.

#[path = "xlat_support/kernel.rs"]
mod kernel;

use kdumpfile::xlat::os::OsType;
use kdumpfile::xlat::{AddrSpace, FullAddr, PteFormat, Result, Status};
use kernel::{Kernel, Tables};

const CACHED: u64 = 0x9000_0000_0000_0000;
const VMALLOC: u64 = 0xffff_8000_0000_0000;
const ROOT: u64 = 0x0120_0000;

/// Page offset first: 3 levels of 16 KiB pages, 3 and 4 of 4 KiB, 2 of 64 KiB.
const K16: &[u16] = &[14, 11, 11, 11];
const K4: &[u16] = &[12, 9, 9, 9];
const K4_4: &[u16] = &[12, 9, 9, 9, 9];
const K64_2: &[u16] = &[16, 13, 13];

fn tables(fields: &'static [u16]) -> Tables {
    // Directories hold addresses of the cached window. Pages are protected from
    // being executed and read (bits 61 to 63); huge ones have bit 6.
    let leaf = |phys, level| 0xe000_0000_0000_0193 | phys | if level == 1 { 0 } else { 0x40 };
    Tables::new(PteFormat::LoongArch64, fields, (ROOT, 0x0200_0000), |table| CACHED | table, leaf)
}

/// A kernel whose directories are full of pointers to tables of invalid entries,
/// as real ones are, with a page of vmalloc memory.
fn loaded(fields: &'static [u16]) -> Kernel {
    let mut kernel = Kernel::linux("loongarch64").symbol("swapper_pg_dir", CACHED | ROOT);
    kernel.options.page_shift = Some(u64::from(fields[0]));
    let invalid = |level: usize| 0x0300_0000 + 0x1_0000 * level as u64;
    for level in 1..fields.len() {
        let table = if level + 1 < fields.len() { invalid(level) } else { ROOT };
        kernel.put_zeros(table, 8 << fields[level]);
        if level > 1 {
            for index in 0..1_u64 << fields[level] {
                kernel.put(table + index * 8, CACHED | invalid(level - 1), 8);
            }
        }
    }
    kernel
}

fn convert(kernel: &Kernel, addr: u64) -> Result<u64, Status> {
    let (sys, ctx, result) = kernel.init();
    result.unwrap();
    let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
    found.map(|found| found.addr).map_err(|error| error.status())
}

#[test]
fn windows_are_direct_and_the_rest_has_tables() {
    let expected = "\
HW
  0-7fffffffffff UPGT
  8000000000000000-bfffffffffffffff KTEXT
  c000000000000000-ffffffffffffffff PGT
KV_PHYS
  0-7fffffffffff UPGT
  8000000000000000-8fffffffffffffff KTEXT
  9000000000000000-9000ffffffffffff DIRECT
  9001000000000000-bfffffffffffffff KTEXT
  c000000000000000-ffffffffffffffff PGT
KPHYS_DIRECT
  0-ffffffffffff RDIRECT
MACHPHYS_KPHYS
  0-ffffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-ffffffffffff KPHYS_MACHPHYS
PGT KVADDR:9000000001200000 loongarch64:14,11,11,11 mask 0 to MACHPHYSADDR
UPGT NOADDR loongarch64:14,11,11,11 mask 0 to MACHPHYSADDR
DIRECT +7000000000000000 to KPHYSADDR
KTEXT KPHYSADDR:0 none:48 mask 0 to KPHYSADDR
RDIRECT +9000000000000000 to KVADDR
MACHPHYS_KPHYS +0 to KPHYSADDR
KPHYS_MACHPHYS +0 to MACHPHYSADDR
";
    assert_eq!(loaded(K16).system_here(), expected);
    // Pages are of 16 KiB unless told otherwise.
    let mut untold = loaded(K16);
    untold.options.page_shift = None;
    assert_eq!(untold.system_here(), expected);
}

#[test]
fn all_windows_lead_to_the_same_memory() {
    let kernel = loaded(K16);
    for window in [0x8000, 0x9000, 0xa000, 0xb000, 0x8fff] {
        assert_eq!(convert(&kernel, window << 48 | 0x1234_5678_9abc), Ok(0x1234_5678_9abc));
    }
}

#[test]
fn vmalloc_and_huge_pages_are_walked() {
    for fields in [K16, K4, K4_4, K64_2] {
        let mut kernel = loaded(fields);
        let mut tables = tables(fields);
        let (page, table) = (1 << fields[0], 1_u64 << (fields[0] + fields[1]));
        // Made-up tables have no pointers in their empty entries; those that the
        // depth is seen by are others.
        let start = VMALLOC + (3 << fields[..fields.len() - 1].iter().sum::<u16>());
        kernel.map(&mut tables, start + 4 * table + 3 * page, 77 * page, 1);
        let system = kernel.system_here();
        let form: Vec<_> = fields.iter().map(u16::to_string).collect();
        assert!(system.contains(&format!(" loongarch64:{} mask 0 ", form.join(","))), "{system}");
        assert_eq!(convert(&kernel, start + 4 * table + 3 * page + 5), Ok(77 * page + 5));
        assert_eq!(convert(&kernel, start + 4 * table + 4 * page), Err(Status::NotPresent));
        assert_eq!(convert(&kernel, VMALLOC + 2 * table), Err(Status::NotPresent), "invalid tables");
        kernel.map(&mut tables, start + 6 * table, 3 * table, 2);
        assert_eq!(convert(&kernel, start + 6 * table + 5 * page + 5), Ok(3 * table + 5 * page + 5));
    }
}

#[test]
fn addresses_that_no_machine_has_are_invalid() {
    let kernel = loaded(K16);
    for addr in [0xc000_0000_0000_0000, 0xffff_7fff_ffff_f000] {
        assert_eq!(convert(&kernel, addr), Err(Status::Invalid));
    }
    assert_eq!(convert(&kernel, u64::MAX), Err(Status::NotPresent));
    assert_eq!(convert(&kernel, 0x8000_0000_0000), Err(Status::NoMethod));
}

#[test]
fn depth_is_three_if_tables_do_not_tell() {
    let form = |kernel: &Kernel| {
        let system = kernel.system_here();
        let line = system.lines().find_map(|line| line.strip_prefix("PGT ")).map(str::to_owned);
        line.unwrap_or(system)
    };
    // Empty directories of zeros are as good as absent ones.
    let mut sparse = Kernel::linux("loongarch64").symbol("swapper_pg_dir", CACHED | ROOT);
    assert!(form(&sparse).contains("loongarch64:14,11,11,11 "), "no tables");
    sparse.map(&mut tables(K16), VMALLOC, 0x8_0000, 1);
    assert!(form(&sparse).contains("loongarch64:14,11,11,11 "));
    assert_eq!(convert(&sparse, VMALLOC + 8), Ok(0x8_0008));
    assert_eq!(convert(&sparse, VMALLOC + (1 << 40)), Err(Status::NotPresent));
    sparse.symbols.clear();
    assert!(form(&sparse).starts_with("NOADDR loongarch64:14,11,11,11 "));
    assert_eq!(convert(&sparse, CACHED | 0x1234), Ok(0x1234));
    // Or somebody does.
    for (shift, bits, fields) in [
        (12, 39, "12,9,9,9"),
        (12, 48, "12,9,9,9,9"),
        (14, 48, "14,11,11,11"),
        (14, 36, "14,11,11"),
        (16, 42, "16,13,13"),
        (16, 55, "16,13,13,13"),
    ] {
        let mut kernel = loaded(K4);
        (kernel.options.page_shift, kernel.options.virt_bits) = (Some(shift), Some(bits));
        assert!(form(&kernel).contains(&format!(" loongarch64:{fields} mask")), "{shift} {bits}");
    }
    for (shift, bits) in [(12, 0), (12, 20), (12, 57), (16, 68), (14, u64::MAX)] {
        let mut kernel = loaded(K4);
        (kernel.options.page_shift, kernel.options.virt_bits) = (Some(shift), Some(bits));
        let error = format!("error 1: {bits}-bit virtual addresses not implemented");
        assert_eq!(kernel.system_here().lines().next(), Some(error.as_str()));
    }
    let mut kernel = loaded(K16);
    kernel.options.page_shift = Some(13);
    assert_eq!(kernel.system_here(), "error 1: Unsupported page shift: 13\n");
}

#[test]
fn tables_that_point_to_themselves_have_no_depth() {
    let mut kernel = loaded(K4);
    kernel.put(ROOT, CACHED | ROOT, 8);
    kernel.put(ROOT + 8, CACHED | ROOT, 8);
    assert!(kernel.system_here().contains(" loongarch64:12,9,9,9 mask"));
}

#[test]
fn other_systems_have_windows_too() {
    let mut kernel = loaded(K16);
    kernel.options.os = Some(OsType::Unknown);
    assert!(kernel.system_here().contains("PGT NOADDR loongarch64:14,11,11,11 "));
    kernel.options.root = Some(FullAddr::kphys(ROOT));
    assert!(kernel.system_here().contains("PGT KPHYSADDR:1200000 loongarch64:14,11,11,11 "));
}

#[test]
fn busy_callbacks_are_no_answer() {
    assert_eq!(loaded(K16).busy().init().2.unwrap_err().status(), Status::BUSY);
}
