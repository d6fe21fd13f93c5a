//! How ppc64 is set up: the old layout, those of later kernels, radix trees.

#[path = "xlat_support/facts.rs"]
mod facts;

use facts::Facts;
use kdumpfile::xlat::os::OsType;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, FullAddr, Kind, MapIndex, MethodIndex, PagingForm, PteFormat, Status, System,
};

/// Symbols lie in the direct mapping.
const DIRECT: u64 = 0xc000_0000_0000_0000;
/// The kernel's top-level table, by physical address.
const ROOT: u64 = 0x274_0000;

fn linux() -> Facts {
    Facts::linux("ppc64", ByteOrder::Little)
}

fn with_root() -> Facts {
    linux().symbol("swapper_pg_dir", DIRECT + ROOT)
}

/// An entry in big-endian order, whatever the machine is.
fn big(facts: Facts, addr: u64, value: u64) -> Facts {
    facts.bytes(addr, value.to_be_bytes().to_vec())
}

fn form(sys: &System, index: MethodIndex) -> PagingForm {
    match sys.method(index).unwrap().kind {
        Kind::Pgt(table) => table.form,
        ref kind => panic!("{index:?}: {kind:?}"),
    }
}

/// Ranges of the map of virtual addresses that have a method.
fn kv_phys(sys: &System) -> Vec<String> {
    let ranges = sys.map(MapIndex::KvPhys).unwrap().ranges();
    let named = ranges.filter(|range| range.method != MethodIndex::NONE);
    named.map(|range| format!("{:x}-{:x} {:?}", range.first, range.last, range.method)).collect()
}

const OLD_MAPS: &str = "\
KV_PHYS
  0-fffffffffff UPGT
  c000000000000000-cfffffffffffffff DIRECT
  d000000000000000-d0000fffffffffff PGT
  f000000000000000-ffffffffffffffff VMEMMAP
KPHYS_DIRECT
  0-fffffffffffffff RDIRECT
MACHPHYS_KPHYS
  0-3ffffffffffff MACHPHYS_KPHYS
KPHYS_MACHPHYS
  0-3ffffffffffff KPHYS_MACHPHYS
";

/// The methods of the old layout.
fn old_methods(root: &str, vmemmap: &str) -> String {
    format!(
        "PGT {root} ppc64_linux_rpn30:16,12,12,4 to MACHPHYSADDR\n\
         UPGT NOADDR ppc64_linux_rpn30:16,12,12,4 to MACHPHYSADDR\n\
         DIRECT +4000000000000000 to KPHYSADDR\n{vmemmap}\
         RDIRECT +c000000000000000 to KVADDR\n\
         MACHPHYS_KPHYS +0 to KPHYSADDR\nKPHYS_MACHPHYS +0 to MACHPHYSADDR\n"
    )
}

/// A list of two parts; `members` are list, phys and virt_addr of each.
fn vmemmap(mut facts: Facts, members: [[u64; 3]; 2]) -> Facts {
    facts = facts
        .symbol("vmemmap_list", DIRECT + 0x100)
        .offset("vmemmap_backing.list", 0)
        .offset("vmemmap_backing.phys", 8)
        .offset("vmemmap_backing.virt_addr", 16)
        .word(0x100, DIRECT + 0x200);
    for (addr, part) in [0x200, 0x300].into_iter().zip(members) {
        for (offset, value) in (0..).step_by(8).zip(part) {
            facts = facts.word(addr + offset, value);
        }
    }
    facts
}

const PARTS: [[u64; 3]; 2] =
    [[DIRECT + 0x300, 0x500_0000, 0xf000_0000_0000_0000], [0, 0x700_0000, 0xf000_0000_0001_0000]];

#[test]
fn old_layout_needs_nothing_but_the_architecture() {
    assert_eq!(linux().print_as_peer(), OLD_MAPS.to_string() + &old_methods("NOADDR", ""));
    let expected = OLD_MAPS.to_string() + &old_methods("KVADDR:c000000002740000", "");
    assert_eq!(with_root().print_as_peer(), expected);
    for version in [(2, 6), (3, 9)] {
        let facts = with_root().version(version.0, version.1).page_shift(16);
        assert_eq!(facts.print_as_peer(), expected, "{version:?}");
    }
    // A radix tree is not looked for unless something says that it may be there.
    assert_eq!(big(with_root(), ROOT, 0x8000_0000_1fff_0009).print_as_peer(), expected);
}

#[test]
fn list_of_page_structures_is_a_table_of_blocks() {
    let expected = |rows| {
        let lookup = format!("VMEMMAP blocks of ffff:{rows} to KPHYSADDR\n");
        OLD_MAPS.to_string() + &old_methods("NOADDR", &lookup)
    };
    // Debian's library takes the members the wrong way round.
    let rows = " f000000000000000->5000000 f000000000010000->7000000";
    assert_eq!(vmemmap(linux(), PARTS).print(), expected(rows));
    // That is how others have to write their lists for it.
    let swapped = PARTS.map(|[list, phys, virt]| [list, virt, phys]);
    assert_eq!(vmemmap(linux(), swapped).print_as_peer(), expected(rows));
    let undecided = [[DIRECT + 0x300, 0x500_0000, 0x900_0000], [0, 0x700_0000, 0xa00_0000]];
    let rows = " 5000000->9000000 7000000->a000000";
    assert_eq!(vmemmap(linux(), undecided).print_as_peer(), expected(rows));
    assert_eq!(vmemmap(linux(), PARTS).word(0x100, 0).print_as_peer(), expected(""), "an empty list");
    let (ctx, sys, _) = vmemmap(linux(), PARTS).init();
    let convert = |addr| ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
    assert_eq!(convert(0xf000_0000_0001_0123), Ok(FullAddr::kphys(0x700_0123)));
    assert_eq!(convert(0xf000_0000_0002_0000).unwrap_err().status(), Status::NotPresent);
}

#[test]
fn list_that_is_not_known_whole_is_none() {
    let without = OLD_MAPS.to_string() + &old_methods("NOADDR", "");
    let missing = vmemmap(linux(), [[DIRECT + 0x400, 1, 2], PARTS[1]]);
    assert_eq!(missing.print_as_peer(), without, "the list leads out of memory");
    // Debian's library follows a ring until it has no memory left.
    for ring in [DIRECT + 0x200, DIRECT + 0x300] {
        let ring = vmemmap(linux(), [PARTS[0], [ring, 1, 2]]);
        assert_eq!(ring.print(), without);
    }
    let busy = vmemmap(linux(), PARTS).busy_at(0x300);
    assert_eq!(busy.init().2.unwrap_err().status(), Status::BUSY);
    let lost = vmemmap(linux(), PARTS).symbol("vmemmap_list", 0x8000_0000_0000_0000);
    let text = lost.print();
    assert_eq!(
        text.lines().next(),
        Some("error 6: Cannot read 64-bit vmemmap_list at KVADDR:0x8000000000000000: No way to translate")
    );
    assert_eq!(lost.print_as_peer(), text);
}

#[test]
fn blocks_are_as_large_as_the_pages_of_the_mapping() {
    let facts = |shift| {
        vmemmap(linux(), PARTS)
            .symbol("mmu_vmemmap_psize", DIRECT + 0x400)
            .symbol("mmu_psize_defs", DIRECT + 0x500)
            .size("mmu_psize_def", 0x60)
            .offset("mmu_psize_def.shift", 4)
            .word32(0x400, 7)
            .word32(0x500 + 7 * 0x60 + 4, shift)
    };
    for (shift, size) in [(24, "ffffff"), (12, "fff"), (11, "ffff"), (35, "ffff"), (u32::MAX, "ffff")] {
        let text = facts(shift).print();
        assert!(text.contains(&format!("VMEMMAP blocks of {size}:")), "{shift}: {text}");
    }
}

#[test]
fn other_systems_and_page_sizes_are_not_known() {
    let mut xen = linux();
    xen.options.os = Some(OsType::Unknown);
    assert_eq!(xen.print_as_peer(), "error 1: OS type not implemented\n");
    for shift in [0, 12, 13, 17, u64::MAX] {
        let facts = linux().page_shift(shift);
        assert_eq!(facts.print_as_peer(), format!("error 1: Unsupported page shift: {shift}\n"));
    }
}

#[test]
fn root_that_is_given_is_that_of_the_kernel_and_of_a_process() {
    let mut facts = with_root();
    facts.options.root = Some(FullAddr::kphys(0x123_0000));
    let (_, sys, result) = facts.init();
    assert_eq!(result, Ok(()));
    for index in [MethodIndex::PGT, MethodIndex::UPGT] {
        let Kind::Pgt(table) = &sys.method(index).unwrap().kind else { panic!("{index:?}") };
        assert_eq!(table.root, FullAddr::kphys(0x123_0000));
    }
}

/// A generation of kernels with a hash table: first version, page shift, form,
/// the start of vmalloc, and the map of virtual addresses in short.
type Generation<'a> = ((u64, u64), u64, &'a str, u64, &'a str);

const D000: u64 = 0xd000_0000_0000_0000;
const C008: u64 = 0xc008_0000_0000_0000;
const C000_3D: u64 = 0xc000_3d00_0000_0000;

const GENERATIONS: &[Generation<'_>] = &[
    ((2, 6), 12, "ppc64_linux_rpn17:12,9,7,7,9", D000, "old 44"),
    ((3, 7), 12, "ppc64_linux_rpn17:12,9,7,9,9", D000, "old 46"),
    ((3, 10), 12, "ppc64_linux_3_10:12,9,7,9,9", D000, "old 46"),
    ((4, 5), 12, "ppc64_linux_4_5:12,9,7,9,9", D000, "old 46"),
    ((4, 6), 12, "ppc64_linux_4_6:12,9,7,9,9", D000, "old 46"),
    ((4, 7), 12, "ppc64_linux_4_7:12,9,7,9,9", D000, "old 46"),
    ((4, 10), 12, "ppc64_linux_hash:12,9,7,9,9", D000, "old 46"),
    ((5, 1), 12, "ppc64_linux_hash:12,9,7,9,9", D000, "old 46"),
    ((5, 2), 12, "ppc64_linux_hash:12,9,7,9,9", C000_3D, "new 4K"),
    ((3, 10), 16, "ppc64_linux_3_10:16,8,10,12", D000, "old 46"),
    ((4, 4), 16, "ppc64_linux_3_10:16,8,10,12", D000, "old 46"),
    ((4, 5), 16, "ppc64_linux_4_5:16,8,10,12", D000, "old 46"),
    ((4, 6), 16, "ppc64_linux_4_6:16,8,5,5,12", D000, "old 46"),
    ((4, 7), 16, "ppc64_linux_4_7:16,8,5,5,12", D000, "old 46"),
    ((4, 10), 16, "ppc64_linux_hash:16,8,5,5,12", D000, "old 46"),
    ((4, 12), 16, "ppc64_linux_hash:16,8,10,7,8", D000, "old 49"),
    ((4, 17), 16, "ppc64_linux_hash:16,8,10,10,8", D000, "old 52"),
    ((5, 1), 16, "ppc64_linux_hash:16,8,10,10,8", D000, "old 52"),
    ((5, 2), 16, "ppc64_linux_hash:16,8,10,10,8", C008, "new 64K"),
    ((6, 12), 16, "ppc64_linux_hash:16,8,10,10,8", C008, "new 64K"),
];

fn ranges(kind: &str) -> Vec<String> {
    match kind {
        "new 64K" => [
            "0-fffffffffffff UPGT",
            "c000000000000000-c007ffffffffffff DIRECT",
            "c008000000000000-c00bffffffffffff PGT",
            "c00c000000000000-c00fffffffffffff VMEMMAP",
        ]
        .map(String::from)
        .to_vec(),
        "new 4K" => [
            "0-3fffffffffff UPGT",
            "c000000000000000-c0003cffffffffff DIRECT",
            "c0003d0000000000-c0003effffffffff PGT",
            "c0003f0000000000-c0003fffffffffff VMEMMAP",
        ]
        .map(String::from)
        .to_vec(),
        old => {
            let bits: u32 = old.strip_prefix("old ").unwrap().parse().unwrap();
            let last = (1_u64 << bits) - 1;
            vec![
                format!("0-{last:x} UPGT"),
                "c000000000000000-cfffffffffffffff DIRECT".into(),
                format!("d000000000000000-{:x} PGT", D000 + last),
                "f000000000000000-ffffffffffffffff VMEMMAP".into(),
            ]
        }
    }
}

/// An entry for an address.
type Encode = fn(u64) -> u64;

/// How a generation writes its entries: a table at a physical address, and a
/// page of `shift` at a physical address.
fn entries(format: PteFormat, shift: u64) -> (Encode, Encode) {
    match format {
        // _PAGE_PRESENT and other flags.
        PteFormat::Ppc64LinuxRpn17 => (|table| DIRECT + table, |page| (page >> 12 << 17) | 0x301),
        PteFormat::Ppc64Linux3_10 if shift == 12 => {
            (|table| DIRECT + table, |page| (page >> 12 << 17) | 0x301)
        }
        PteFormat::Ppc64Linux3_10 => (|table| DIRECT + table + 0x58, |page| (page >> 16 << 30) | 0x301),
        // _PAGE_PTE and _PAGE_PRESENT.
        PteFormat::Ppc64Linux4_5 if shift == 12 => {
            (|table| DIRECT + table, |page| (page >> 12 << 18) | 0x303)
        }
        PteFormat::Ppc64Linux4_5 => (|table| DIRECT + table + 0x58, |page| (page >> 16 << 30) | 0x303),
        _ => (|table| table, |page| page | 0xc000_0000_0000_018e),
    }
}

#[test]
fn each_generation_has_its_form_and_its_map() {
    for &((major, minor), shift, expected, _, kind) in GENERATIONS {
        let (_, sys, result) = linux().version(major, minor).page_shift(shift).init();
        assert_eq!(result, Ok(()));
        assert_eq!(format!("{:?}", form(&sys, MethodIndex::PGT)), expected, "{major}.{minor}");
        assert_eq!(form(&sys, MethodIndex::UPGT), form(&sys, MethodIndex::PGT));
        assert_eq!(kv_phys(&sys), ranges(kind), "{major}.{minor} {shift}");
        assert!(sys.map(MapIndex::Hw).is_none(), "the processor does not walk these tables");
    }
}

#[test]
fn modules_are_found_by_the_tables_of_each_generation() {
    for &((major, minor), shift, _, vmalloc, _) in GENERATIONS {
        let virt = vmalloc + 0x31_0008;
        let facts = with_root().version(major, minor).page_shift(shift);
        let (_, sys, _) = facts.init();
        let form = form(&sys, MethodIndex::PGT);
        let (table, page) = entries(form.format(), shift);
        let in_order = |facts: Facts, addr, value| match form.format() {
            PteFormat::Ppc64Linux4_7 | PteFormat::Ppc64LinuxHash => big(facts, addr, value),
            _ => facts.word(addr, value),
        };
        let mut facts = facts;
        let mut place = ROOT;
        for level in (1..usize::from(form.nfields())).rev() {
            let index = (virt >> form.span(level)) & ((1 << form.field(level)) - 1);
            let next = 0x1000_0000 + ((level as u64) << 16);
            let value = if level == 1 { page(0x1234_0000) } else { table(next) };
            facts = in_order(facts, place + index * 8, value);
            place = next;
        }
        let (ctx, sys, result) = facts.init();
        assert_eq!(result, Ok(()));
        let convert = |addr| ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
        let offset = virt & ((1 << shift) - 1);
        assert_eq!(convert(virt), Ok(FullAddr::kphys(0x1234_0000 + offset)), "{major}.{minor} {form:?}");
        let beyond = convert(virt + (1 << shift));
        assert!(beyond.is_err(), "never a wrong address: {beyond:?}");
    }
}

#[test]
fn exported_start_of_vmalloc_ends_the_direct_mapping() {
    let start = 0xc000_2000_0000_0000;
    let facts = linux().version(6, 9).page_shift(12);
    let (_, sys, _) = facts.clone().number("VMALLOC_START", start).init();
    assert_eq!(
        kv_phys(&sys)[1..3],
        ["c000000000000000-c0001fffffffffff DIRECT", "c000200000000000-c0003effffffffff PGT"]
    );
    for wrong in [0, DIRECT, start + 1, u64::MAX] {
        let (_, sys, _) = facts.clone().number("VMALLOC_START", wrong).init();
        assert_eq!(kv_phys(&sys), ranges("new 4K"), "{wrong:#x}");
    }
}

#[test]
fn list_knows_better_where_page_structures_are() {
    let virt = 0xc000_3e80_0000_0000;
    let parts = [[DIRECT + 0x300, 0x500_0000, virt + 0x1_0000], [0, 0x700_0000, virt]];
    let (ctx, sys, _) = vmemmap(linux().version(5, 10).page_shift(12), parts).init();
    assert!(kv_phys(&sys).contains(&"c0003e8000000000-c0003e800001ffff VMEMMAP".to_string()));
    let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(virt + 0x1_0123));
    assert_eq!(found, Ok(FullAddr::kphys(0x500_0123)));
}

mod radix {
    use super::*;

    const RANGES: [&str; 3] = [
        "0-fffffffffffff UPGT",
        "c000000000000000-c007ffffffffffff DIRECT",
        "c008000000000000-c00fffffffffffff PGT",
    ];
    const TABLE: u64 = 0x8000_0000_0000_0000;
    const LEAF: u64 = 0xc000_0000_0000_018e;

    fn assert_radix(facts: &Facts, expected: &str) {
        let (_, sys, result) = facts.init();
        assert_eq!(result, Ok(()));
        assert_eq!(format!("{:?}", form(&sys, MethodIndex::PGT)), expected);
        assert_eq!(kv_phys(&sys), RANGES);
        let hw = sys.map(MapIndex::Hw).unwrap();
        assert_eq!(hw.search(DIRECT), MethodIndex::PGT);
        assert_eq!((hw.search(0), hw.search(1 << 52)), (MethodIndex::UPGT, MethodIndex::NONE));
    }

    fn assert_hash(facts: &Facts) {
        let (_, sys, result) = facts.init();
        assert_eq!(result, Ok(()));
        assert_ne!(form(&sys, MethodIndex::PGT).format(), PteFormat::Ppc64Radix);
    }

    const FORMS: [(u64, &str); 2] = [(16, "ppc64_radix:16,5,9,9,13"), (12, "ppc64_radix:12,9,9,9,13")];

    #[test]
    fn kernel_announces_it() {
        for (shift, form) in FORMS {
            assert_radix(&linux().page_shift(shift).number("RADIX_MMU", 1), form);
            assert_hash(&linux().version(6, 9).page_shift(shift).number("RADIX_MMU", 0));
            // What it says counts more than what the table looks like.
            let facts = big(with_root(), ROOT, TABLE | 0x1fff_0009).version(6, 9).page_shift(shift);
            assert_hash(&facts.number("RADIX_MMU", 0));
        }
    }

    #[test]
    fn features_of_the_processor_tell() {
        let facts = |features| {
            with_root()
                .version(6, 1)
                .symbol("cur_cpu_spec", DIRECT + 0x100)
                .offset("cpu_spec.mmu_features", 0x20)
                .word(0x100, DIRECT + 0x200)
                .word32(0x220, features)
        };
        assert_radix(&facts(0x40), FORMS[0].1);
        assert_hash(&big(facts(!0x40), ROOT, TABLE | 0x1fff_0009));
        // A pointer that leads nowhere tells nothing; the table does.
        let lost = facts(0).word(0x100, DIRECT + 0x900);
        assert_radix(&big(lost, ROOT, TABLE | 0x1fff_0009), FORMS[0].1);
    }

    #[test]
    fn first_entry_of_the_tree_tells() {
        for (shift, form) in FORMS {
            let kernel = || with_root().version(4, 7).page_shift(shift);
            assert_radix(&big(kernel(), ROOT, TABLE | 0x1fff_0009), form);
            for entry in [0, 0x1fff_0000, TABLE | 0x1fff_0000, LEAF | 0x1fff_0009, DIRECT | 0x1fff_0009] {
                assert_hash(&big(kernel(), ROOT, entry));
            }
            // Numbers of an older kernel are virtual addresses.
            let older = big(with_root(), ROOT, TABLE | 0x1fff_0009).version(4, 6).page_shift(shift);
            assert_hash(&older);
            assert_eq!(kernel().busy_at(ROOT).init().2.unwrap_err().status(), Status::BUSY);
        }
    }

    #[test]
    fn pages_of_all_sizes_are_found() {
        // 1 GiB at index 1 of the second level, 2 MiB and 64 KiB below index 2.
        let tables = [
            (ROOT + 4096 * 8, TABLE | 0x1000_0009),
            (0x1000_0008, LEAF | 0x8000_0000),
            (0x1000_0010, TABLE | 0x1010_0009),
            (0x1010_0000, LEAF | 0x4020_0000),
            (0x1010_0008, TABLE | 0x1020_0005),
            (0x1020_0018, LEAF | 0x60_0003_0000),
            (0x1020_0020, 0),
        ];
        let facts = tables
            .into_iter()
            .fold(with_root().number("RADIX_MMU", 1), |facts, (addr, entry)| big(facts, addr, entry));
        let (ctx, sys, _) = facts.init();
        let convert = |addr| ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
        for (virt, phys) in
            [(0x5234_5678, 0x9234_5678), (0x8012_3456, 0x4032_3456), (0x8023_1234, 0x60_0003_1234)]
        {
            assert_eq!(convert(C008 + virt), Ok(FullAddr::kphys(phys)), "{virt:#x}");
        }
        let absent = convert(C008 + 0x8024_0000).unwrap_err();
        assert_eq!(absent.message(), "Page not present: pte[4] = 0x0");
    }

    #[test]
    fn list_of_page_structures_serves_where_there_is_no_tree() {
        let virt = 0xc00c_0000_0000_0000;
        let parts = [[DIRECT + 0x300, 0x500_0000, virt], [0, 0x700_0000, virt + 0x1_0000]];
        let (ctx, sys, _) = vmemmap(linux().number("RADIX_MMU", 1), parts).init();
        let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(virt + 0x1_0123));
        assert_eq!(found, Ok(FullAddr::kphys(0x700_0123)));
        let (_, sys, _) = vmemmap(with_root().number("RADIX_MMU", 1), parts).init();
        assert_eq!(kv_phys(&sys), RANGES, "the tree maps them");
    }

    #[test]
    fn physical_addresses_are_as_wide_as_the_kernel_says() {
        for (bits, last) in [(None, 50), (Some(46), 50), (Some(51), 51), (Some(64), 64), (Some(u64::MAX), 64)]
        {
            let facts = linux().number("RADIX_MMU", 1);
            let facts = bits.map_or(facts.clone(), |bits| facts.number("MAX_PHYSMEM_BITS", bits));
            let (_, sys, _) = facts.init();
            let last = u64::MAX >> (64 - last);
            assert_eq!(sys.map(MapIndex::MachphysKphys).unwrap().find(0).last, last, "{bits:?}");
        }
    }
}
