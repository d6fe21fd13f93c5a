//! How s390x is set up: levels, roots, and kernels that lie anywhere.

#[path = "xlat_support/facts.rs"]
mod facts;

use facts::Facts;
use kdumpfile::xlat::os::OsType;
use kdumpfile::xlat::{AddrSpace, ByteOrder, Error, FullAddr, MapIndex, Status};

const PHYSICAL: &str = "\
MACHPHYS_KPHYS
  0-ffffffffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-ffffffffffffffff KPHYS_MACHPHYS
";
const IDENTITIES: &str = "\
MACHPHYS_KPHYS +0 to KPHYSADDR
KPHYS_MACHPHYS +0 to MACHPHYSADDR
";

fn linux() -> Facts {
    Facts::linux("s390x", ByteOrder::Big)
}

/// Page tables alone, of the levels that addresses up to `last` have.
fn tables(last: &str, fields: &str) -> String {
    format!(
        "HW\n  0-{last} PGT\nKV_PHYS\n  0-{last} PGT\n{PHYSICAL}\
         PGT KPHYSADDR:10000 s390x:{fields} to MACHPHYSADDR\n{IDENTITIES}"
    )
}

const LEVELS: [(u64, &str, &str); 4] = [
    (31, "7fffffff", "12,8,11"),
    (42, "3ffffffffff", "12,8,11,11"),
    (53, "1fffffffffffff", "12,8,11,11,11"),
    (64, "ffffffffffffffff", "12,8,11,11,11,11"),
];

/// A table whose first valid entry is of a type.
fn table(first: usize, kind: u64) -> Vec<u8> {
    let entry = |index| if index < first { 0x20 } else { 0x20000 | kind << 2 | 3 };
    (0..2048).flat_map(|index| u64::to_be_bytes(entry(index))).collect()
}

#[test]
fn levels_follow_from_the_bits_that_are_given() {
    for (bits, last, fields) in LEVELS {
        let mut facts = linux().symbol("swapper_pg_dir", 0x10000);
        facts.options.virt_bits = Some(bits);
        assert_eq!(facts.print_as_peer(), tables(last, fields));
    }
}

#[test]
fn levels_follow_from_the_first_valid_entry() {
    for (kind, (_, last, fields)) in (0..).zip(LEVELS) {
        for first in [0, 1, 2047] {
            let facts = linux().symbol("swapper_pg_dir", 0x10000).bytes(0x10000, table(first, kind));
            assert_eq!(facts.print_as_peer(), tables(last, fields), "type {kind}, entry {first}");
        }
    }
}

#[test]
fn root_may_be_given_for_any_system() {
    let (_, last, fields) = LEVELS[1];
    for os in [None, Some(OsType::Linux), Some(OsType::Unknown)] {
        let mut facts = linux().bytes(0x10000, table(3, 1));
        facts.options.os = os;
        facts.options.root = Some(FullAddr::kphys(0x10000));
        assert_eq!(facts.print_as_peer(), tables(last, fields), "{os:?}");
    }
}

#[test]
fn what_is_not_known_leaves_physical_addresses() {
    let physical = format!("{PHYSICAL}{IDENTITIES}");
    assert_eq!(linux().print_as_peer(), physical, "no symbol");
    assert_eq!(linux().symbol("swapper_pg_dir", 0x10000).print_as_peer(), physical, "no memory");
    let short = linux().symbol("swapper_pg_dir", 0x10000).bytes(0x10000, table(2048, 0)[..800].to_vec());
    assert_eq!(short.print_as_peer(), physical, "memory ends in the table");
    let mut unnamed = linux().symbol("swapper_pg_dir", 0x10000);
    unnamed.options.os = None;
    assert_eq!(unnamed.print_as_peer(), physical, "no system");
}

#[test]
fn failures_say_what_is_wrong() {
    let failure = |facts: &Facts| {
        let text = facts.print_as_peer();
        text.lines().next().map(String::from).unwrap()
    };
    let empty = linux().symbol("swapper_pg_dir", 0x10000).bytes(0x10000, table(2048, 0));
    assert_eq!(failure(&empty), "error 2: Empty top-level page table");
    for bits in [0, 20, 30, 32, 63, 75, u64::from(u32::MAX)] {
        let mut facts = linux().symbol("swapper_pg_dir", 0x10000);
        facts.options.virt_bits = Some(bits);
        assert_eq!(failure(&facts), format!("error 1: {bits}-bit virtual addresses not implemented"));
    }
    let mut other = linux();
    other.options.os = Some(OsType::Unknown);
    let text = other.print();
    assert!(text.starts_with("error 1: Cannot determine page table root address\n"), "{text}");
}

#[test]
fn busy_memory_fails_the_set_up() {
    for addr in [0x10000, 0xe18] {
        let facts = linux().symbol("swapper_pg_dir", 0x10000).busy_at(addr);
        assert_eq!(facts.init().2.map_err(|error| error.status()), Err(Status::BUSY), "{addr:#x}");
    }
}

#[test]
fn control_element_of_the_processor_is_a_root() {
    // Region-third table with 2048 entries.
    let mut facts = linux();
    facts.options.root = Some(FullAddr::machphys(0x10000 | 1 << 2 | 3));
    let (_, last, fields) = LEVELS[1];
    let expected = tables(last, fields).replace("KPHYSADDR:10000", "MACHPHYSADDR:10000");
    assert_eq!(facts.print(), expected);
    facts.options.root = Some(FullAddr::machphys(0x20));
    assert!(facts.print().starts_with("error 1: Real-space designation"));
}

/// A kernel since 6.10: image at 0x3ffe0000000, physical 0x5000000, identity
/// mapping from 0x20000000000; 64 MiB of memory.
mod relocated {
    use super::*;

    const IMAGE: u64 = 0x3ff_e000_0000;
    const IMAGE_PHYS: u64 = 0x500_0000;
    const IDENTITY: u64 = 0x200_0000_0000;

    /// Tables of three levels: one page at `IMAGE`, one at address 0.
    fn kernel() -> Facts {
        let invalid = || vec![0x20_u64; 2048];
        let block = |words: Vec<u64>| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let (mut region, mut segment) = (invalid(), invalid());
        region[(IMAGE >> 31) as usize] = 0x501_4000 | 1 << 2 | 3;
        segment[(IMAGE >> 20) as usize & 0x7ff] = 0x501_8000;
        let mut pages = vec![0x400_u64; 256];
        pages[(IMAGE >> 12) as usize & 0xff] = IMAGE_PHYS;
        linux()
            .symbol("swapper_pg_dir", IMAGE + 0x1_0000)
            .bytes(IMAGE_PHYS + 0x1_0000, block(region))
            .bytes(IMAGE_PHYS + 0x1_4000, block(segment))
            .bytes(IMAGE_PHYS + 0x1_8000, block(pages))
    }

    fn by_numbers(facts: Facts) -> Facts {
        facts
            .number("KERNELOFFSET", IMAGE)
            .number("KERNELOFFPHYS", IMAGE_PHYS)
            .number("IDENTITYBASE", IDENTITY)
    }

    /// os_info at 0x2000 and the pointer to it.
    fn by_os_info(facts: Facts) -> Facts {
        let mut info = vec![0; 4096];
        info[..8].copy_from_slice(b"OSINFOSZ");
        info[12..16].copy_from_slice(&[0, 1, 0, 1]);
        for (entry, value) in [(4, IDENTITY), (5, IMAGE), (6, IMAGE_PHYS)] {
            info[32 + 20 * entry..][..8].copy_from_slice(&u64::to_be_bytes(value));
        }
        let sum = info[12..].chunks(4).fold(0_u32, |sum, word| {
            let (sum, carry) = sum.overflowing_add(u32::from_be_bytes(word.try_into().unwrap()));
            sum + u32::from(carry)
        });
        info[8..12].copy_from_slice(&sum.to_be_bytes());
        facts.word(0xe18, 0x2000).bytes(0x2000, info)
    }

    fn tables() -> String {
        let (_, last, fields) = LEVELS[1];
        super::tables(last, fields).replace("KPHYSADDR:10000", "KPHYSADDR:5010000")
    }

    #[test]
    fn root_is_found_by_numbers_or_by_os_info() {
        assert_eq!(by_numbers(kernel()).print(), tables());
        assert_eq!(by_os_info(kernel()).print(), tables());
        let (ctx, sys, result) = by_os_info(kernel()).init();
        assert_eq!(result, Ok(()));
        let phys = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(IMAGE + 0x123));
        assert_eq!(phys, Ok(FullAddr::kphys(IMAGE_PHYS + 0x123)));
    }

    #[test]
    fn without_them_only_physical_addresses_are_left() {
        let physical = format!("{PHYSICAL}{IDENTITIES}");
        assert_eq!(kernel().print_as_peer(), physical);
        // KERNELOFFSET alone is that of an older kernel.
        assert_eq!(kernel().number("KERNELOFFSET", IMAGE).print_as_peer(), physical);
        assert_eq!(kernel().word(0xe18, 0).print(), physical);
    }

    #[test]
    fn memory_is_mapped_directly_up_to_its_end() {
        let end = IDENTITY + 0x400_0000;
        let facts = by_numbers(kernel()).symbol("high_memory", IMAGE + 0x2_0000);
        let facts = facts.word(IMAGE_PHYS + 0x2_0000, end);
        let (ctx, sys, result) = facts.init();
        assert_eq!(result, Ok(()));
        assert_eq!(
            facts::print(&sys, &result),
            "HW\n  0-3ffffffffff PGT\n\
             KV_PHYS\n  0-1ffffffffff PGT\n  20000000000-20003ffffff DIRECT\n  20004000000-3ffffffffff PGT\n\
             KPHYS_DIRECT\n  0-3ffffff RDIRECT\n"
                .to_string()
                + PHYSICAL
                + "PGT KPHYSADDR:5010000 s390x:12,8,11,11 to MACHPHYSADDR\n\
                   DIRECT +fffffe0000000000 to KPHYSADDR\n\
                   RDIRECT +20000000000 to KVADDR\n"
                + IDENTITIES
        );
        let convert = |space, addr| ctx.convert(Some(&sys), space, addr).map(|found| found.addr);
        assert_eq!(convert(AddrSpace::KPHYS, FullAddr::kvirt(IDENTITY + 0x12_3456)), Ok(0x12_3456));
        assert_eq!(convert(AddrSpace::KVIRT, FullAddr::kphys(0x12_3456)), Ok(IDENTITY + 0x12_3456));
        assert_eq!(convert(AddrSpace::KPHYS, FullAddr::kvirt(IMAGE + 0x123)), Ok(IMAGE_PHYS + 0x123));
    }

    #[test]
    fn end_of_memory_that_cannot_be_is_ignored() {
        for end in [0, IDENTITY, IDENTITY + 0x123, IMAGE + 0x1000, u64::MAX] {
            let facts = by_numbers(kernel()).symbol("high_memory", IMAGE + 0x2_0000);
            assert_eq!(facts.word(IMAGE_PHYS + 0x2_0000, end).print(), tables(), "{end:#x}");
        }
        let unreadable = by_numbers(kernel()).symbol("high_memory", IMAGE + 0x2_0000);
        assert_eq!(unreadable.print(), tables());
        let busy = unreadable.busy_at(IMAGE_PHYS + 0x2_0000);
        assert_eq!(
            busy.init().2,
            Err(Error::bare(Status::BUSY).context("Cannot read 64-bit high_memory at KPHYSADDR:0x5020000"))
        );
    }

    #[test]
    fn numbers_decide_even_if_the_symbol_is_readable_memory() {
        // What lies at the symbol as a physical address looks like a table.
        let facts = by_numbers(kernel()).bytes(IMAGE + 0x1_0000, table(0, 2));
        assert_eq!(facts.print(), tables());
        let (_, sys, _) = facts.init();
        assert!(sys.map(MapIndex::KphysDirect).is_none());
    }
}
