//! What walks of each page-table format give, entry by entry.
//!
//! `memory` is a list of address and value of entries; all other addresses
//! cannot be read.

mod xlat_support;

use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Caps, FullAddr, Lookup, LookupElem, MemArray, Method, PageTable, PteFormat, Step,
    Walker,
};
use xlat_support::{Memory, ctx, method, table};

/// A walk of `form` in `memory`, from an address to an address or a message.
type Vector<'a> = (&'a str, &'a [(u64, u64)], u64, Result<u64, &'a str>);

fn parse(form: &str) -> (PteFormat, Vec<u16>) {
    let (name, fields) = form.split_once(':').unwrap();
    (PteFormat::from_name(name).unwrap(), fields.split(',').map(|bits| bits.parse().unwrap()).collect())
}

fn walk(method: &Method, entries: &[(u64, u64)], order: ByteOrder, addr: u64) -> Result<FullAddr, String> {
    let memory = Memory::new(Caps::MACHPHYS | Caps::KVIRT, order);
    let format = match &method.kind {
        kdumpfile::xlat::Kind::Pgt(table) => table.form.format(),
        _ => PteFormat::Pfn64,
    };
    for &(addr, value) in entries {
        memory.put_entry(format, addr, value);
    }
    let ctx = ctx(&memory);
    let walker = Walker::new(&ctx, None, method);
    let mut step = Step::new(FullAddr::kvirt(addr));
    let walked = walker.walk(&mut step).map(|()| step.base).map_err(|error| error.to_string());

    // Launch and steps must come to the same.
    let mut step = Step::default();
    let mut result = walker.launch(&mut step, addr);
    while result.is_ok() && step.remain > 0 {
        result = walker.step(&mut step);
    }
    assert_eq!(result.map(|()| step.base).map_err(|error| error.to_string()), walked);
    walked
}

fn check(strict: bool, vectors: &[Vector<'_>]) {
    for &(form, entries, addr, expected) in vectors {
        let (format, fields) = parse(form);
        let table = PageTable { strict, ..table(format, &fields) };
        let method = Method::page_table(AddrSpace::MACHPHYS, table);
        let expected = expected.map(FullAddr::machphys).map_err(String::from);
        assert_eq!(walk(&method, entries, ByteOrder::Big, addr), expected, "{form} {addr:#x}, big-endian");
        // New tables of POWER are big-endian whatever the block is.
        let swap =
            matches!(format, PteFormat::Ppc64Radix | PteFormat::Ppc64LinuxHash | PteFormat::Ppc64Linux4_7);
        let swapped =
            entries.iter().map(|&(addr, value)| (addr, if swap { value.swap_bytes() } else { value }));
        let entries: Vec<_> = swapped.collect();
        assert_eq!(walk(&method, &entries, ByteOrder::Little, addr), expected, "{form} {addr:#x}");
    }
}

const X86: &str = "x86_64:12,9,9,9,9";
const RPN30: &str = "ppc64_linux_rpn30:16,12,12,4";

#[test]
fn walks_give_the_known_results() {
    check(
        false,
        &[
            ("pfn32:10,6,6", &[(0x14, 0x21), (0x8408, 0x77)], 0x50abc, Ok(0x1debc)),
            ("pfn64:12,8,8", &[(0, 0)], 0x777, Err("Level-2 PFN not present")),
            ("ia32:12,10,10", &[(0xc0c, 0x8001_2087)], 0xc0f5_4321, Ok(0x9_8035_4321)),
            ("ia32:12,10,10", &[(0xc0c, 0x7063), (0x7184, 0x6ee0_6163)], 0xc0c6_1aaa, Ok(0x6ee0_6aaa)),
            (
                "ia32_pae:12,9,9,2",
                &[(0x18, 0x9001), (0x90a0, 0x8000_000f_5320_01e3)],
                0xc295_5aa0,
                Ok(0xf_5335_5aa0),
            ),
            (
                "ia32_pae:12,9,9,2",
                &[(0x18, 0x9001), (0x90a0, 0xa063), (0xaaa8, 0x8000_0012_3456_d063)],
                0xc295_5aa0,
                Ok(0x12_3456_daa0),
            ),
            (
                X86,
                &[(0xff8, 0x11067), (0x11ff0, 0xffa8_7800_0000_01e3)],
                0xffff_ffff_901a_bcde,
                Ok(0x8_7800_101a_bcde),
            ),
            (
                "x86_64:12,9,9,9,9,9",
                &[
                    (0x880, 0x5067),
                    (0x5008, 0x6067),
                    (0x6010, 0x7067),
                    (0x7018, 0x8067),
                    (0x8020, 0x8000_000a_bcde_f025),
                ],
                0xff10_0080_8060_4777,
                Ok(0xa_bcde_f777),
            ),
            (X86, &[(0, 0)], 0x0000_9000_0000_0000, Err("Virtual address too big")),
            (
                "aarch64:12,9,9,9,9",
                &[(0x800, 0x3003), (0x3008, 0x60_0000_4000_0711)],
                0xffff_8000_7bad_cafe,
                Ok(0x7bad_cafe),
            ),
            (
                "aarch64:12,9,9,9,9",
                &[(0x800, 0x80_0000_0001)],
                0xffff_8000_7bad_cafe,
                Err("Invalid Level 0 table entry: p4d[256] = 0x8000000001"),
            ),
            (
                "aarch64:14,11,11,11,1",
                &[(0, 0x10003), (0x10000, 0x20003), (0x20018, 0x780_0600_0701)],
                0x765_4321,
                Ok(0x780_0765_4321),
            ),
            (
                "aarch64:16,13,13,6",
                &[(8, 0x1c_0003), (0x1c_0010, 0x3a00_2000_0705)],
                0x400_5555_4444,
                Ok(0x3a00_3555_4444),
            ),
            ("aarch64_lpa:16,13,13,10", &[(0x10, 0x4c00_0000_a705)], 0x800_1234_5678, Ok(0xa_4c00_1234_5678)),
            // Bit 47, and bit 49 below, count too.
            ("aarch64_lpa:16,13,13,10", &[(0x10, 0x8c00_0000_a705)], 0x800_1234_5678, Ok(0xa_8c00_1234_5678)),
            (
                "aarch64_lpa2:12,9,9,9,9,4",
                &[(8, 0xe7_b003), (0xe7_b008, 0x3_b800_0000_0f05)],
                0x1_0081_2345_6789,
                Ok(0xf_b801_2345_6789),
            ),
            ("arm:12,8,12", &[(0x3004, 0xabc1_2002)], 0xc01b_cdef, Ok(0xabcb_cdef)),
            ("arm:12,8,12", &[(0x3004, 0x9c01), (0x9c84, 0x5a5f_0011)], 0xc012_1abc, Ok(0x5a5f_1abc)),
            ("arm:12,8,12", &[(0x3004, 0x9c01), (0x9c84, 0x5a5f_5013)], 0xc012_1abc, Ok(0x5a5f_5abc)),
            ("s390x:12,8,11,11", &[(8, 0x4007), (0x4018, 0x1_2340_0400)], 0x803a_bcde, Ok(0x1_234a_bcde)),
            (
                "s390x:12,8,11,11",
                &[(8, 0x4007), (0x4018, 0x5800), (0x5810, 0x765_4000)],
                0x8030_2bcd,
                Ok(0x765_4bcd),
            ),
            ("s390x:12,8,11,11", &[(8, 0x9_0000_0407)], 0x8765_4321, Ok(0x9_0765_4321)),
            ("s390x:12,8,11,11", &[(8, 0x4003)], 0x8000_0000, Err("Table type field 0 in Region 3 table")),
            (
                "s390x:12,8,11,11,11",
                &[(8, 0x4048)],
                0x400_0000_0000,
                Err("Region 3 table index 0 not within 1 and 0"),
            ),
            ("s390x:12,8,11", &[(8, 0x765_4800), (0x765_4818, 0x99_9200)], 0x10_3abc, Ok(0x99_9abc)),
            (
                "s390x:12,8,11",
                &[(8, 0x765_4800), (0x765_4818, 0x99_9400)],
                0x10_3abc,
                Err("Page not present: pte[3] = 0x999400"),
            ),
            (
                "riscv64:12,9,9,9,9",
                &[(0xff8, 0x2801), (0xaff0, 0x4c_e000_00ef)],
                0xffff_ffff_9abc_def0,
                Ok(0x133_9abc_def0),
            ),
            (
                "riscv64:12,9,9,9",
                &[(8, 0x1401), (0x5018, 0x1801), (0x6020, 0xdea_dbee_f0cf)],
                0x4060_48d1,
                Ok(0x37ab_6fbb_c8d1),
            ),
            (
                RPN30,
                &[
                    (8, 0xc000_0000_0008_0000),
                    (0xc000_0000_0008_0028, 0xc000_0000_0009_8000),
                    (0xc000_0000_0009_8018, 0x1f_4000_0391),
                ],
                0xd000_0100_5003_57ab,
                Ok(0x7d_57ab),
            ),
            (
                RPN30,
                &[
                    (8, 0xc000_0000_0008_0000),
                    (0xc000_0000_0008_0028, 0x4000_0000_0007_0020),
                    (0xc000_0000_0007_0038, 0x100_0000_0003),
                ],
                0xd000_0100_5765_4321,
                Ok(0x465_4321),
            ),
            ("none:20", &[], 0x1_2345_6789, Ok(0x5_6789)),
            // Frames of huge pages are rounded down.
            ("x86_64:12,9,9", &[(0, 0x5f_f081)], 0x12_3456, Ok(0x52_3456)),
            ("x86_64:12,9,9,9", &[(0, 0x1_7fff_f081)], 0x2345_6789, Ok(0x1_6345_6789)),
            ("riscv64:12,9,9", &[(0, 0x5ff << 10 | 0xf)], 0x12_3456, Ok(0x52_3456)),
        ],
    );
}

#[test]
fn encryption_bit_is_taken_out_of_every_entry() {
    let (format, fields) = parse(X86);
    let sme = PageTable { pte_mask: 0x8_0000_0000_0000, ..table(format, &fields) };
    let sme = Method::page_table(AddrSpace::MACHPHYS, sme);
    let entries = [(0xff8, 0x8_0000_0001_1067), (0x11ff0, 0x800_0078_0000_01e3)];
    let found = walk(&sme, &entries, ByteOrder::Little, 0xffff_ffff_901a_bcde);
    assert_eq!(found, Ok(FullAddr::machphys(0x78_101a_bcde)));
}

#[test]
fn supersections_have_forty_bits_and_sixteen_entries() {
    // Index 0x123 of 4096, bits 23:20 = 5 and 8:5 = 0xa.
    let entry = 0x7700_0000 | 0x50_0000 | 1 << 18 | 0xa << 5 | 2;
    check(
        false,
        &[
            ("arm:12,8,12", &[(0x123 * 4, entry)], 0x1234_5678, Ok(0xa5_7734_5678)),
            ("arm:12,8,12", &[(0x12f * 4, entry)], 0x12f4_5678, Ok(0xa5_77f4_5678)),
        ],
    );
}

#[test]
fn absent_and_nonsense_entries_name_level_index_and_value() {
    let five = "x86_64:12,9,9,9,9,9";
    let tables = [(0, 0x1001), (0x1000, 0x2001), (0x2000, 0x3001), (0x3000, 0x4001)];
    let with = |count: usize, addr, value| {
        let mut entries = tables[..count].to_vec();
        entries.push((addr, value));
        entries
    };
    check(
        false,
        &[
            (five, &[(0, 0)], 0, Err("PML4 table not present: pgd[0] = 0x0")),
            (five, &with(1, 0x1000, 2), 0, Err("PDPT table not present: p4d[0] = 0x2")),
            (five, &with(2, 0x2000, 4), 0, Err("Page directory not present: pud[0] = 0x4")),
            (five, &with(3, 0x3000, 8), 0, Err("Page table not present: pmd[0] = 0x8")),
            (five, &with(4, 0x4ff8, 16), 0x1f_f000, Err("Page not present: pte[511] = 0x10")),
            ("ia32:12,10,10", &[(4, 0xffe)], 0x40_0000, Err("Page table not present: pgd[1] = 0xffe")),
            ("ia32:12,10,10", &[(4, 1), (0, 0)], 0x40_0000, Err("Page not present: pte[0] = 0x0")),
            ("ia32_pae:12,9,9,2", &[(8, 0)], 1 << 30, Err("Page directory not present: pgd[1] = 0x0")),
            (
                "ia32_pae:12,9,9,2",
                &[(0, 0x1001), (0x1000, 0)],
                0,
                Err("Page table not present: pmd[0] = 0x0"),
            ),
            ("aarch64:12,9,9,9,9", &[(0, 2)], 0, Err("Level 1 table not present: p4d[0] = 0x2")),
            ("aarch64:12,9", &[(0, 2)], 0, Err("Page not present: pte[0] = 0x2")),
            ("aarch64:12,9", &[(0, 1)], 0, Err("Invalid Level 3 table entry: pte[0] = 0x1")),
            ("aarch64_lpa2:12,9,9,9,9,4", &[(0, 1)], 0, Err("Invalid Level -1 table entry: pgd[0] = 0x1")),
            ("aarch64_lpa2:12,9,9,9,9", &[(0, 1)], 0, Ok(0)),
            ("arm:12,8,12", &[(0, 0)], 0, Err("Level 2 table not present: pgd[0] = 0x0")),
            ("arm:12,8,12", &[(0, 0x401), (0x400, 0)], 0, Err("Page not present: pte[0] = 0x0")),
            ("riscv64:12,9,9,9", &[(0, 0)], 0, Err("Level 1 table not present: pud[0] = 0x0")),
            ("riscv64:12,9", &[(8, 1)], 0x1000, Err("Invalid Level 0 table entry: pte[1] = 0x1")),
            ("s390x:12,8,11", &[(0, 0x20)], 0, Err("Page table not present: pmd[0] = 0x20")),
            ("s390x:12,8,11,11,11,11", &[(0, 0x2f)], 0, Err("Region 2 table not present: rg1[0] = 0x2f")),
            (RPN30, &[(8, 0)], 1 << 40, Err("pud[1] is none")),
            (RPN30, &[(8, 0x38)], 1 << 40, Err("Invalid hugepd shift")),
            ("pfn32:10,6", &[(4, 0)], 0x400, Err("Level-1 PFN not present")),
        ],
    );
}

#[test]
fn regions_of_s390x_exist_between_their_offset_and_length() {
    // The region-second entry says that blocks 1 and 2 of the table exist.
    let present = 0x4000 | 1 << 6 | 2 | 2 << 2;
    let form = "s390x:12,8,11,11,11";
    for (index, good) in [(511_u64, false), (512, true), (1535, true), (1536, false)] {
        let addr = index << 31;
        let leaf = (0x4000 + index * 8, 0x5_8000_0000 | 0x404);
        let found = Err(format!("Region 3 table index {index} not within 1 and 2"));
        let expected = if good { Ok(0x5_8000_0000) } else { found };
        check(
            false,
            &[(form, &[(0, present), leaf], addr, expected.as_ref().copied().map_err(|e| e.as_str()))],
        );
    }
}

#[test]
fn napot_page_of_riscv_takes_sixteen_entries() {
    // Frame number 0x12348 stands for the 16 frames from 0x12340 on.
    let napot = 1 << 63 | 0x12348 << 10 | 0xcf;
    let entries = [(0, 0x401), (0x1000, 0x801), (0x2000 + 0x25 * 8, napot)];
    check(
        false,
        &[
            ("riscv64:12,9,9,9", &entries, 0x2_5abc, Ok(0x1234_5abc)),
            // Memory types of Svpbmt, and patterns that are reserved, change nothing.
            ("riscv64:12,9", &[(0, 3 << 61 | 0x77 << 10 | 0xcf)], 0xabc, Ok(0x7_7abc)),
            ("riscv64:12,9", &[(0, 1 << 63 | 0x77 << 10 | 0xcf)], 0xabc, Ok(0x7_7abc)),
        ],
    );
}

#[test]
fn formats_beyond_the_reference_are_walked() {
    let radix = |addr: u64, flags: u64| 1 << 63 | addr | flags;
    check(
        false,
        &[
            ("riscv32:12,10,10", &[(4, 0x801), (0x2008, 0xffff_fccf)], 0x40_2abc, Ok(0x3_ffff_fabc)),
            ("riscv32:12,10,10", &[(4, 0xfff0_00cf)], 0x7f_fabc, Ok(0x3_ffff_fabc)),
            ("arm_lpae:12,9,9,2", &[(8, 0xff_4000_0001)], 0x4567_89ab, Ok(0xff_4567_89ab)),
            (
                "arm_lpae:12,9,9,2",
                &[(8, 0x1003), (0x1000, 0xffff_0020_0001)],
                0x4000_1234,
                Ok(0xff_0020_1234),
            ),
            (
                "ppc64_radix:16,5,9,9,13",
                &[
                    (8, radix(0x10000, 9)),
                    (0x10000, radix(0x20000, 9)),
                    (0x20000, radix(1 << 62 | 0x1234_0020_0000, 0x18e)),
                ],
                1 << 39 | 0x1b_cdef,
                Ok(0x1234_003b_cdef),
            ),
            (
                "ppc64_radix:12,9,9,9,13",
                &[
                    (0, radix(0x1000, 9)),
                    (0x1000, radix(0x2000, 9)),
                    (0x2000, radix(0x3000, 9)),
                    (0x3008, radix(1 << 62 | 0x77_7000, 0x18e)),
                ],
                0x1abc,
                Ok(0x77_7abc),
            ),
            ("ppc64_radix:12,9,9,9,13", &[(0, 0x1009)], 0, Err("Level 2 table not present: pgd[0] = 0x1009")),
            (
                "ppc64_radix:12,9",
                &[(0, radix(0x1000, 0))],
                0,
                Err("Invalid Page table entry: pte[0] = 0x8000000000001000"),
            ),
            (
                "loongarch64:14,11,11,11",
                &[(8, 0x9000_0000_0000_4000), (0x4000, 0x9000_0000_0000_8000), (0x8000, 0x1234_4000 | 0x80)],
                1 << 36 | 0x2abc,
                Ok(0x1234_6abc),
            ),
            ("loongarch64:14,11,11", &[(0, 0x4000_0000_0000 | 0xc0)], 0x123_4567, Ok(0x4000_0123_4567)),
            ("loongarch64:12,9", &[(0, 1)], 0, Err("Page not present: pte[0] = 0x1")),
        ],
    );
}

#[test]
fn hash_kernels_of_power_have_physical_tables_and_pages_of_any_level() {
    let form = "ppc64_linux_hash:16,8,10,10,8";
    let (present, leaf) = (1 << 63, 1 << 62);
    let page = present | leaf;
    let tables = [(0x8, present | 0x1_0000), (0x1_0000, 0x2_0000), (0x2_0008, 0x3_00ff & !0x3f)];
    let with = |addr, value| {
        let mut entries = tables.to_vec();
        entries.push((addr, value));
        entries
    };
    let addr = 1 << 44 | 1 << 24 | 2 << 16 | 0xabcd;
    check(
        false,
        &[
            (form, &with(0x3_0010, page | 0x123_0000 | 0x18e), addr, Ok(0x123_abcd)),
            (
                form,
                &with(0x3_0010, leaf | 0x123_0000),
                addr,
                Err("Page not present: pte[2] = 0x4000000001230000"),
            ),
            (form, &with(0x3_0010, 0), addr, Err("pte[2] is none")),
            // 16 MiB in the place of a table, and 16 GiB in the place of one above.
            (form, &[tables[0], tables[1], (0x2_0008, page | 0x700_0000)], addr, Ok(0x702_abcd)),
            (form, &[tables[0], (0x1_0000, page | 0x4_0000_0000)], addr, Ok(0x4_0102_abcd)),
            // A directory of pages of 16 MiB, two levels up.
            (form, &[tables[0], (0x1_0000, 0x5_0028), (0x5_0008, page | 0x900_0000)], addr, Ok(0x902_abcd)),
            (form, &[(0, 0)], 0, Err("pgd[0] is none")),
        ],
    );
}

#[test]
fn strict_walks_refuse_reserved_bits_and_unaligned_frames() {
    let forms: &[(&str, &[(u64, u64)])] = &[
        ("ia32:12,10,10", &[(0, 0x20_0081)]),
        ("x86_64:12,9,9", &[(0, 0x4081)]),
        ("x86_64:12,9,9,9,9", &[(0, 0x1081)]),
        ("ia32_pae:12,9,9,2", &[(0, 0x1081)]),
        ("s390x:12,8", &[(0, 0x1800)]),
        ("riscv64:12,9,9", &[(0, 0x40f)]),
        ("riscv64:12,9", &[(0, 0x405)]),
        ("riscv64:12,9", &[(0, 1 << 60 | 0x40f)]),
        ("riscv64:12,9", &[(0, 1 << 63 | 0x40f)]),
    ];
    for &(form, entries) in forms {
        let (format, fields) = parse(form);
        for strict in [false, true] {
            let table = PageTable { strict, ..table(format, &fields) };
            let found = walk(&Method::page_table(AddrSpace::MACHPHYS, table), entries, ByteOrder::Little, 0);
            let refused = found.as_ref().is_err_and(|text| text.starts_with("Invalid "));
            assert_eq!(refused, strict, "{form}: {found:?}");
        }
    }
    // PAT is no reserved bit.
    check(true, &[("x86_64:12,9,9", &[(0, 0x20_1081)], 5, Ok(0x20_0005))]);
}

#[test]
fn arrays_and_lists_of_objects_translate() {
    let array = MemArray { base: FullAddr::machphys(0x5000), shift: 12, elemsz: 16, valsz: 8 };
    let walk_array = |array: MemArray, entries: &[(u64, u64)], addr| {
        walk(&Method::memory_array(AddrSpace::KPHYS, array), entries, ByteOrder::Big, addr)
    };
    assert_eq!(walk_array(array, &[(0x5030, 0x777)], 0x3abc), Ok(FullAddr::kphys(0x77_7abc)));
    assert_eq!(walk_array(array, &[(0x5030, 0)], 0x3abc), Ok(FullAddr::kphys(0xabc)));
    assert_eq!(
        walk_array(array, &[], 0x3abc),
        Err("Cannot read 64-bit memory array element at MACHPHYSADDR:0x5030: No such word".into())
    );
    let odd = MemArray { valsz: 2, ..array };
    assert_eq!(walk_array(odd, &[], 0x3abc), Err("Unsupported value size: 2".into()));
    let huge = MemArray { shift: 64, ..array };
    assert_eq!(walk_array(huge, &[(0x5000, 7)], 0x3abc), Ok(FullAddr::kphys(0x3abc)));

    let elems = [(0x5000, 0x91000), (0x5800, 0xa0000)].map(|(orig, dest)| LookupElem { orig, dest });
    let list = Method::lookup(AddrSpace::KPHYS, Lookup::new(0xfff, elems));
    assert_eq!(walk(&list, &[], ByteOrder::Little, 0x5abc), Ok(FullAddr::kphys(0x91abc)));
    assert_eq!(walk(&list, &[], ByteOrder::Little, 0x6000), Ok(FullAddr::kphys(0xa0800)));
    assert_eq!(walk(&list, &[], ByteOrder::Little, 0x4fff), Err("Not mapped".into()));
}

#[test]
fn tables_without_levels_are_an_offset() {
    let (none, _) = parse("none:1");
    assert_eq!(
        walk(&method(none, &[]), &[], ByteOrder::Little, 0x1234),
        Ok(FullAddr::machphys(0)),
        "the root itself"
    );
    let root = PageTable { root: FullAddr::kvirt(u64::MAX), ..table(none, &[8]) };
    let found = walk(&Method::page_table(AddrSpace::KPHYS, root), &[], ByteOrder::Little, 0x1234);
    assert_eq!(found, Ok(FullAddr::kphys(0x33)), "around the end of the space");
}
