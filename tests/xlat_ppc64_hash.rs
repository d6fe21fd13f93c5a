//! Entries of the tables that Linux on POWER keeps beside a hash table, from
//! one generation of kernels to the next.

mod xlat_support;

use kdumpfile::xlat::{ByteOrder, Caps, FullAddr, PteFormat, Step, Walker};
use xlat_support::{Memory, ctx, method};

type Case<'a> = (&'a str, &'a [(u64, u64)], u64, Result<u64, &'a str>);

const D: u64 = 0xc000_0000_0000_0000;
const PRESENT: u64 = 1 << 63;
const LEAF: u64 = 1 << 62;

/// Walks in memory that can be read by virtual and by machine address.
fn check(cases: &[Case<'_>]) {
    for &(form, entries, addr, expected) in cases {
        let (name, fields) = form.split_once(':').unwrap();
        let fields: Vec<u16> = fields.split(',').map(|bits| bits.parse().unwrap()).collect();
        let format = PteFormat::from_name(name).unwrap();
        for order in [ByteOrder::Big, ByteOrder::Little] {
            let memory = Memory::new(Caps::MACHPHYS | Caps::KVIRT, order);
            let fixed = format == PteFormat::Ppc64Linux4_7 && order == ByteOrder::Little;
            for &(at, entry) in entries {
                memory.put64(at, if fixed { entry.swap_bytes() } else { entry });
            }
            let (ctx, method) = (ctx(&memory), method(format, &fields));
            let mut step = Step::new(FullAddr::kvirt(addr));
            let walked = Walker::new(&ctx, None, &method).walk(&mut step).map(|()| step.base);
            let walked = walked.map_err(|error| error.to_string());
            let expected = expected.map(FullAddr::machphys).map_err(String::from);
            assert_eq!(walked, expected, "{form} {addr:#x} {order:?}");
        }
    }
}

const RPN17: &str = "ppc64_linux_rpn17:12,9,7,9,9";
const V3_10_4K: &str = "ppc64_linux_3_10:12,9,7,9,9";
const V3_10_64K: &str = "ppc64_linux_3_10:16,8,10,12";
const V4_5_4K: &str = "ppc64_linux_4_5:12,9,7,9,9";
const V4_5_64K: &str = "ppc64_linux_4_5:16,8,10,12";

#[test]
fn frame_number_stands_at_the_bit_of_its_generation() {
    // Table by table below index 0, then page 3 of the last one.
    let down =
        |page| [(0, D + 0x1000), (D + 0x1000, D + 0x2000), (D + 0x2000, D + 0x3000), (D + 0x3018, page)];
    let flags = |tables: &[(u64, u64)]| tables.to_vec();
    check(&[
        (RPN17, &down(0x1_2345 << 17 | 0x301), 0x3abc, Ok(0x1234_5abc)),
        (V3_10_4K, &down(0x1_2345 << 17 | 0x301), 0x3abc, Ok(0x1234_5abc)),
        (V4_5_4K, &down(0x1_2345 << 18 | 0x303), 0x3abc, Ok(0x1234_5abc)),
        // Tables of 64 KiB kernels have the size of objects in their lowest bits.
        (
            V3_10_64K,
            &flags(&[
                (0, D + 0x1_0000 + 0x58),
                (D + 0x1_0000, D + 0x2_1000 + 0x7c),
                (D + 0x2_1018, 0x1234 << 30 | 1),
            ]),
            0x3_abcd,
            Ok(0x1234_abcd),
        ),
        (
            V4_5_64K,
            &[(0, D + 0x1_0000), (D + 0x1_0000, D + 0x2_1000), (D + 0x2_1018, 0x1234 << 30 | 3)],
            0x3_abcd,
            Ok(0x1234_abcd),
        ),
    ]);
}

#[test]
fn entries_that_are_not_present_map_nothing() {
    check(&[
        (RPN17, &[(0, 0)], 0x3abc, Err("pgd[0] is none")),
        ("ppc64_linux_rpn17:12,9", &[(0x18, 0x300)], 0x3abc, Err("Page not present: pte[3] = 0x300")),
        ("ppc64_linux_3_10:12,9", &[(0x18, 0x300)], 0x3abc, Err("Page not present: pte[3] = 0x300")),
        ("ppc64_linux_4_5:16,8", &[(0x18, 0x301)], 0x3_0000, Err("Page not present: pte[3] = 0x301")),
        (
            "ppc64_linux_4_6:16,8",
            &[(0x18, LEAF | 1)],
            0x3_0000,
            Err("Page not present: pte[3] = 0x4000000000000001"),
        ),
        ("ppc64_linux_3_10:16,8,10", &[(8, 2)], 1 << 24, Err("Page table not present: pmd[1] = 0x2")),
    ]);
}

#[test]
fn pages_above_the_lowest_level_are_aligned_to_what_they_map() {
    let addr = 1 << 24 | 0x12_3456;
    check(&[
        ("ppc64_linux_3_10:16,8,10", &[(8, 0x7712 << 30 | 3)], addr, Ok(0x7712_3456)),
        ("ppc64_linux_4_5:16,8,10", &[(8, 0x7700 << 30 | 3)], addr, Ok(0x7712_3456)),
        ("ppc64_linux_4_6:16,8,5", &[(8, PRESENT | LEAF | 0x7712_018e)], addr, Ok(0x7712_3456)),
        ("ppc64_linux_4_7:16,8,5", &[(8, PRESENT | LEAF | 0x7700_018e)], addr, Ok(0x7712_3456)),
        (
            "ppc64_linux_4_5:16,8,10",
            &[(8, 0x7700 << 30 | 1)],
            addr,
            Err("Page table not present: pmd[1] = 0x1dc000000001"),
        ),
    ]);
}

#[test]
fn tables_are_physical_since_4_6_and_big_endian_since_4_7() {
    let tables = [(0, 0x1_0000), (0x1_0000, PRESENT | 0x2_0000), (0x2_0018, PRESENT | LEAF | 0x123_0000)];
    for format in ["4_6", "4_7"] {
        let form = format!("ppc64_linux_{format}:16,8,5,12");
        check(&[(&form, &tables, 0x3_abcd, Ok(0x123_abcd))]);
    }
    // Bits from 53 on are flags.
    check(&[(
        "ppc64_linux_4_7:16,8",
        &[(0, PRESENT | LEAF | 0x1fff << 49 | 0x123_0000)],
        0,
        Ok(0x1e_0000_0123_0000),
    )]);
}

#[test]
fn directories_of_huge_pages_are_followed_where_their_sizes_are_known() {
    // 16 MiB (code 8): index 2, offset 0x345678, two levels above pages.
    let addr = 2 << 24 | 0x34_5678;
    let old = [(0, 0x4000_0000_0000_1020), (D + 0x1010, 0x9000 << 17 | 1)];
    let new = [(0, D + 0x1020), (D + 0x1010, 0x9000 << 17 | 1)];
    let newer = [(0, D + 0x1020), (D + 0x1010, 0x9000 << 18 | 3)];
    check(&[
        ("ppc64_linux_rpn17:12,9,7,9", &old, addr, Ok(0x934_5678)),
        ("ppc64_linux_3_10:12,9,7,9", &new, addr, Ok(0x934_5678)),
        ("ppc64_linux_4_5:12,9,7,9", &newer, addr, Ok(0x934_5678)),
        ("ppc64_linux_3_10:12,9,7,9", &[(0, D + 0x1038)], addr, Err("Invalid hugepd shift")),
        ("ppc64_linux_4_6:12,9,7,9", &[(0, 0x1020)], addr, Err("Huge page directory: pud[0] = 0x1020")),
        ("ppc64_linux_4_7:12,9,7,9", &[(0, 0x1020)], addr, Err("Huge page directory: pud[0] = 0x1020")),
    ]);
}
