//! Searches of page tables: what they find, and that they read nothing else.

mod xlat_support;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Caps, Ctx, FullAddr, MapIndex, Method, MethodIndex, PageTable, PteFormat, Result,
    Status, Step, System, Walker,
};
use xlat_support::{Memory, Rng, ctx, method, table};

const X86: &[u16] = &[12, 9, 9, 9, 9];
const TOP: u64 = 0xffff_ffff_8000_0000;

/// The top-level table of x86_64 at 0, with tables of the upper half at 0x1000,
/// 0x2000 and 0x3000 for the last GiB but one; nothing else can be read.
fn kernel() -> (Shared<Memory>, Ctx, Method) {
    let memory = Memory::new(Caps::MACHPHYS, ByteOrder::Little);
    for index in 256..512 {
        memory.put64(index * 8, if index == 511 { 0x1001 } else { 0 });
        memory.put64(0x1000 + index * 8, if index == 510 { 0x2001 } else { 0 });
    }
    let ctx = ctx(&memory);
    (memory, ctx, method(PteFormat::X86_64, X86))
}

type Scan = fn(&Walker<'_>, &mut u64, u64) -> Result<Option<Step>>;

const LOWEST: Scan = |walker, addr, limit| walker.lowest_mapped(addr, limit).map(Some);
const HIGHEST: Scan = |walker, addr, limit| walker.highest_mapped(addr, limit).map(Some);
const HOLE: Scan = |walker, addr, limit| walker.lowest_unmapped(addr, limit).map(|()| None);

/// The status, where the search ended, and the physical address that it found.
fn scan(scan: Scan, walker: &Walker<'_>, addr: u64, limit: u64) -> (Result<Option<u64>, Status>, u64) {
    let mut addr = addr;
    let result = scan(walker, &mut addr, limit);
    let result = result.map(|step| step.map(|step| step.base.addr)).map_err(|error| {
        if error.status() == Status::NotPresent {
            assert_eq!(error.message(), "", "nobody reads these messages");
        }
        error.status()
    });
    (result, addr)
}

#[test]
fn searches_find_pages_and_holes() {
    let (memory, ctx, method) = kernel();
    let walker = Walker::new(&ctx, None, &method);
    // Absent, a page of 2 MiB, absent, a table with one page at index 3.
    for (index, entry) in [0, 0x4000_0081, 0, 0x3001].into_iter().enumerate() {
        memory.put64(0x2000 + index as u64 * 8, entry);
    }
    for index in 0..512 {
        memory.put64(0x3000 + index * 8, if index == 3 { 0x7001 } else { 0 });
    }
    let end = TOP + 0x7f_ffff;
    assert_eq!(scan(LOWEST, &walker, TOP, end), (Ok(Some(0x4000_0000)), TOP + 0x20_0000));
    assert_eq!(scan(LOWEST, &walker, TOP + 0x30_0123, end), (Ok(Some(0x4010_0000)), TOP + 0x30_0000));
    assert_eq!(scan(LOWEST, &walker, TOP + 0x40_0000, end), (Ok(Some(0x7000)), TOP + 0x60_3000));
    assert_eq!(scan(LOWEST, &walker, TOP + 0x40_0000, TOP + 0x60_2fff).0, Err(Status::NotPresent));
    assert_eq!(scan(HIGHEST, &walker, end, TOP), (Ok(Some(0x7fff)), TOP + 0x60_3fff));
    assert_eq!(scan(HIGHEST, &walker, TOP + 0x60_2000, TOP), (Ok(Some(0x401f_ffff)), TOP + 0x3f_ffff));
    assert_eq!(scan(HIGHEST, &walker, TOP + 0x1f_ffff, TOP).0, Err(Status::NotPresent));
    assert_eq!(scan(HOLE, &walker, TOP, end), (Ok(None), TOP));
    assert_eq!(scan(HOLE, &walker, TOP + 0x20_0000, end), (Ok(None), TOP + 0x40_0000));
    let crossing = scan(HOLE, &walker, TOP + 0x20_0000, TOP + 0x20_ffff);
    assert_eq!(crossing, (Err(Status::NotPresent), TOP + 0x40_0000), "a huge page goes beyond the limit");
    assert_eq!(scan(HOLE, &walker, TOP + 0x60_3abc, end), (Ok(None), TOP + 0x60_4000));
}

#[test]
fn search_reads_each_entry_only_when_it_gets_there() {
    let (memory, ctx, method) = kernel();
    let walker = Walker::new(&ctx, None, &method);
    memory.put64(0x2000, 0);
    memory.put64(0x2008, 0);
    memory.asked();
    let asked = || memory.asked().iter().map(|addr| addr.addr).collect::<Vec<_>>();

    let end = TOP + 0x40_0000;
    assert_eq!(scan(LOWEST, &walker, TOP, end - 1), (Err(Status::NotPresent), end));
    assert_eq!(asked(), [511 * 8, 0x1000 + 510 * 8, 0x2000, 0x2008]);
    assert_eq!(scan(LOWEST, &walker, TOP, end), (Err(Status::NoData), end));
    assert_eq!(asked().last(), Some(&0x2010), "the first entry that is not there");
    // Entries that were found do not make up for one that cannot be read.
    memory.put64(0x2008, 0x81);
    ctx.flush();
    assert_eq!(scan(HOLE, &walker, TOP + 0x20_0000, end), (Err(Status::NoData), end));
    assert_eq!(scan(LOWEST, &walker, TOP, TOP).0, Err(Status::NotPresent));
    assert_eq!(scan(LOWEST, &walker, TOP + 0x1000, TOP), (Err(Status::NotPresent), TOP + 0x1000));
}

#[test]
fn search_ends_at_the_end_of_the_space() {
    let (memory, ctx, method) = kernel();
    let walker = Walker::new(&ctx, None, &method);
    memory.put64(0x1000 + 511 * 8, 0x1_c000_0081);
    let last = 0xffff_ffff_c000_0000;
    assert_eq!(scan(LOWEST, &walker, last, u64::MAX), (Ok(Some(0x1_c000_0000)), last));
    assert_eq!(scan(HOLE, &walker, last, u64::MAX), (Err(Status::NotPresent), 0));
    assert_eq!(scan(HIGHEST, &walker, u64::MAX, 0), (Ok(Some(0x1_ffff_ffff)), u64::MAX));
    memory.put64(0, 0);
    ctx.flush();
    assert_eq!(scan(HIGHEST, &walker, 0xfff, 0), (Err(Status::NotPresent), u64::MAX));
    memory.put64(0x1000 + 511 * 8, 0);
    ctx.flush();
    assert_eq!(scan(LOWEST, &walker, last, u64::MAX), (Err(Status::NotPresent), 0));
}

#[test]
fn search_ends_where_addresses_must_repeat_a_bit() {
    let (memory, ctx, method) = kernel();
    let walker = Walker::new(&ctx, None, &method);
    // Nothing next to the border, pages of 1 GiB a little further on both sides.
    for (index, entry) in [(254, 0x4003), (255, 0), (256, 0), (257, 0x4003)] {
        memory.put64(index * 8, entry);
    }
    for index in 0..512 {
        memory.put64(0x4000 + index * 8, 0x81);
    }
    // The other half of the table is for addresses far above.
    assert_eq!(scan(LOWEST, &walker, 0x7fff_ffff_f000, u64::MAX), (Err(Status::NotPresent), 1 << 47));
    let (found, at) = scan(HIGHEST, &walker, 0xffff_8000_0000_0fff, 0);
    assert_eq!((found, at), (Err(Status::NotPresent), 0xffff_7fff_ffff_ffff));
}

#[test]
fn search_cannot_start_where_a_walk_cannot() {
    let (_, ctx, method) = kernel();
    let walker = Walker::new(&ctx, None, &method);
    assert_eq!(scan(LOWEST, &walker, 1 << 47, u64::MAX).0, Err(Status::Invalid));
    let table = PageTable { root: FullAddr::NONE, ..table(PteFormat::X86_64, X86) };
    let rootless = Method::page_table(AddrSpace::MACHPHYS, table);
    assert_eq!(scan(HOLE, &Walker::new(&ctx, None, &rootless), 0, 1).0, Err(Status::NoData));
    let linear = Method::linear(AddrSpace::KPHYS, 0);
    assert_eq!(scan(HIGHEST, &Walker::new(&ctx, None, &linear), 0, 1).0, Err(Status::NotImplemented));
}

#[test]
fn linear_mapping_ends_before_the_first_run_that_lies_elsewhere() {
    let (memory, ctx, method) = kernel();
    let mut sys = System::new();
    sys.set_method(MethodIndex::PGT, method);
    sys.set_method(MethodIndex::MACHPHYS_KPHYS, Method::linear(AddrSpace::KPHYS, 0));
    sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
    sys.map_mut(MapIndex::MachphysKphys).set(0, u64::MAX, MethodIndex::MACHPHYS_KPHYS).unwrap();
    // Linear up to 8 MiB with a hole at 2 MiB, then elsewhere.
    for (index, entry) in [0x4000_0081, 0, 0x4040_0081, 0x4060_0081, 0, 0x81, 0].into_iter().enumerate() {
        memory.put64(0x2000 + index as u64 * 8, entry);
    }
    let walker = Walker::new(&ctx, Some(&sys), sys.method(MethodIndex::PGT).unwrap());
    let linear = |addr, limit, offset| {
        let mut addr = addr;
        let result = walker.highest_linear(&mut addr, limit, offset).map_err(|error| error.status());
        (result, addr)
    };
    let offset = 0x4000_0000_u64.wrapping_sub(TOP);
    let end = TOP + 0x7f_ffff;
    assert_eq!(linear(TOP, TOP + 0xbf_ffff, offset), (Ok(()), end));
    assert_eq!(linear(TOP, TOP + 0x1000, offset), (Ok(()), TOP + 0x1f_ffff), "beyond the limit");
    assert_eq!(linear(TOP + 0x20_0000, end, offset), (Ok(()), end));
    assert_eq!(linear(TOP, end, offset + 1), (Err(Status::NotPresent), TOP));
    assert_eq!(linear(TOP + 0x20_0000, TOP + 0x2f_ffff, offset), (Err(Status::NotPresent), TOP + 0x20_0000));
    // A first address that the system cannot translate ends it with that status.
    sys.map_mut(MapIndex::MachphysKphys).clear();
    let walker = Walker::new(&ctx, Some(&sys), sys.method(MethodIndex::PGT).unwrap());
    let mut addr = TOP;
    let status = walker.highest_linear(&mut addr, end, offset).unwrap_err().status();
    assert_eq!((status, addr), (Status::NoMethod, TOP));
}

#[test]
fn pages_of_a_huge_page_directory_are_searched_by_their_size() {
    let memory = Memory::new(Caps::MACHPHYS | Caps::KVIRT, ByteOrder::Big);
    let ctx = ctx(&memory);
    let method = method(PteFormat::Ppc64LinuxRpn30, &[16, 12, 12, 4]);
    let walker = Walker::new(&ctx, None, &method);
    memory.put64(0, 0xc000_0000_0008_0000);
    // Pages of 16 MiB: 16 of them take the place of a table of 256 MiB.
    memory.put64(0xc000_0000_0008_0000, 0x4000_0000_0007_0020);
    for index in 0..16 {
        let entry = if matches!(index, 3 | 4) { index << 38 | 3 } else { 0 };
        memory.put64(0xc000_0000_0007_0000 + index * 8, entry);
    }
    memory.put64(0xc000_0000_0008_0008, 0);
    let page = 1 << 24;
    assert_eq!(scan(LOWEST, &walker, 0x5_4321, 16 * page), (Ok(Some(3 * page)), 3 * page));
    assert_eq!(scan(HOLE, &walker, 3 * page, 16 * page), (Ok(None), 5 * page));
    assert_eq!(scan(LOWEST, &walker, 5 * page, 17 * page), (Err(Status::NotPresent), 16 * page + (1 << 28)));
    assert_eq!(scan(HIGHEST, &walker, 16 * page - 1, 0), (Ok(Some(5 * page - 1)), 5 * page - 1));
}

#[test]
fn hole_behind_a_page_that_is_larger_than_its_directory_entry_is_found() {
    let memory = Memory::new(Caps::MACHPHYS | Caps::KVIRT, ByteOrder::Big);
    let ctx = ctx(&memory);
    let method = method(PteFormat::Ppc64LinuxRpn30, &[16, 12, 12, 4]);
    let walker = Walker::new(&ctx, None, &method);
    memory.put64(0, 0xc000_0000_0008_0000);
    // A page of 16 GiB for 256 MiB, and nothing beside it.
    memory.put64(0xc000_0000_0008_0000, 0x4000_0000_0007_0000 | 12 << 2);
    memory.put64(0xc000_0000_0007_0000, 3);
    memory.put64(0xc000_0000_0008_0008, 0);
    assert_eq!(scan(HOLE, &walker, 0, u64::MAX >> 1), (Ok(None), 1 << 28));
    let run = {
        let mut sys = System::new();
        sys.set_method(MethodIndex::PGT, method.clone());
        sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
        let target = Caps::MACHPHYS;
        ctx.run(Some(&sys), target, FullAddr::kvirt(0x123)).unwrap()
    };
    assert_eq!(run.endoff, (1 << 28) - 1 - 0x123, "what is beside it translates otherwise");
}

#[test]
fn hole_behind_pages_that_are_smaller_than_those_of_the_form_is_found() {
    let memory = Memory::new(Caps::MACHPHYS | Caps::KVIRT, ByteOrder::Big);
    let ctx = ctx(&memory);
    let method = method(PteFormat::Ppc64LinuxRpn30, &[16, 12, 12, 4]);
    let walker = Walker::new(&ctx, None, &method);
    memory.put64(0, 0xc000_0000_0008_0000);
    // Entries for 4 KiB, only each 16th of which is ever used.
    memory.put64(0xc000_0000_0008_0000, 0x4000_0000_0007_0000);
    for page in 0..8 {
        memory.put64(0xc000_0000_0007_0000 + page * 16 * 8, if page == 5 { 0 } else { 3 });
    }
    assert_eq!(scan(HOLE, &walker, 0, 0x7_ffff), (Ok(None), 5 << 16));
    assert_eq!(scan(HIGHEST, &walker, 0x5_ffff, 0), (Ok(Some(0xffff)), 0x4_ffff));
}

#[test]
fn parts_of_region_tables_that_do_not_exist_are_passed() {
    let memory = Memory::new(Caps::MACHPHYS, ByteOrder::Big);
    let ctx = ctx(&memory);
    let method = method(PteFormat::S390x, &[12, 8, 11, 11]);
    let walker = Walker::new(&ctx, None, &method);
    // Of the segment table there are the second and third quarter, 512 MiB each.
    memory.put64(0, 0x4000 | 1 << 6 | 1 << 2 | 2);
    memory.put64(8, 1 << 5);
    for segment in 512..1536 {
        memory.put64(0x4000 + segment * 8, 0x400 | segment << 20);
    }
    let (quarter, end) = (1 << 29, (1 << 32) - 1);
    assert_eq!(scan(LOWEST, &walker, 0, end), (Ok(Some(quarter)), quarter));
    assert_eq!(scan(HOLE, &walker, quarter, end), (Ok(None), 3 * quarter));
    assert_eq!(scan(HIGHEST, &walker, end, 0), (Ok(Some(3 * quarter - 1)), 3 * quarter - 1));
}

#[test]
fn linear_mapping_may_go_to_the_end_of_the_space() {
    let memory = Memory::new(Caps::MACHPHYS, ByteOrder::Little);
    let ctx = ctx(&memory);
    let mut sys = System::new();
    sys.set_method(
        MethodIndex::PGT,
        Method::page_table(AddrSpace::KPHYS, table(PteFormat::Ia32, &[12, 10, 10])),
    );
    sys.map_mut(MapIndex::KvPhys).set(0, u64::MAX, MethodIndex::PGT).unwrap();
    for index in 768..1024 {
        memory.put32(index * 4, (index as u32 - 768) << 22 | 0x83);
    }
    let walker = Walker::new(&ctx, Some(&sys), sys.method(MethodIndex::PGT).unwrap());
    let (base, mut addr) = (0xc000_0000_u64, 0xc000_0000);
    walker.highest_linear(&mut addr, u64::from(u32::MAX), base.wrapping_neg()).unwrap();
    assert_eq!(addr, u64::from(u32::MAX));
}

/// What a search must find, page by page.
fn naive(walker: &Walker<'_>, kind: usize, addr: u64, limit: u64) -> Result<Option<(u64, u64)>, Status> {
    let mut page = addr & !0xfff;
    loop {
        let over = if kind == 1 { page | 0xfff < limit } else { page > limit };
        if over {
            return Ok(None);
        }
        let at = if kind == 1 { page | 0xfff } else { page };
        let mut step = Step::new(FullAddr::kvirt(at));
        match (walker.walk(&mut step).map_err(|error| error.status()), kind) {
            (Ok(()), 0 | 1) => return Ok(Some((at, step.base.addr))),
            (Err(Status::NotPresent), 2) => return Ok(Some((at, 0))),
            (Ok(()), _) | (Err(Status::NotPresent), _) => {}
            (Err(status), _) => return Err(status),
        }
        match if kind == 1 { page.checked_sub(0x1000) } else { page.checked_add(0x1000) } {
            Some(next) => page = next,
            None => return Ok(None),
        }
    }
}

#[test]
fn searches_of_random_tables_find_what_a_walk_of_every_page_finds() {
    // Three levels of four entries: 64 pages.
    let formats = [
        PteFormat::Aarch64,
        PteFormat::Riscv64,
        PteFormat::Ia32Pae,
        PteFormat::Pfn64,
        PteFormat::LoongArch64,
    ];
    let mut rng = Rng(7);
    for round in 0..400 {
        let format = formats[round % formats.len()];
        let memory = Memory::new(Caps::MACHPHYS, ByteOrder::Little);
        let ctx = ctx(&memory);
        for table in 0..16_u64 {
            let root = 0x1_0000 * u64::from(format == PteFormat::Pfn64);
            let base = if table == 0 { root } else { table * 0x1000 };
            for index in 0..4 {
                // Absent more often than not, else a table or a page.
                let next = 1 + rng.below(15);
                let shape = rng.below(4);
                let entry = match format {
                    _ if shape < 2 => rng.next() & !0xfff & !(1 << 62),
                    PteFormat::Aarch64 => next << 12 | if shape == 2 { 1 } else { 3 },
                    PteFormat::Riscv64 => next << 10 | if shape == 2 { 0xf } else { 1 },
                    PteFormat::Pfn64 => next,
                    PteFormat::LoongArch64 => next << 12 | if shape == 2 { 0xc0 } else { 0x80 },
                    _ => next << 12 | if shape == 2 { 0x81 } else { 1 },
                };
                let entry = if format == PteFormat::Pfn64 && shape < 2 { 0 } else { entry };
                memory.put64(base + index * 8, entry);
            }
        }
        let mut table = table(format, &[12, 2, 2, 2]);
        if format == PteFormat::Pfn64 {
            table.root = FullAddr::machphys(0x1_0000);
        }
        let method = Method::page_table(AddrSpace::MACHPHYS, table);
        let walker = Walker::new(&ctx, None, &method);
        // Only the lower half, where signed addresses have no hole.
        for _ in 0..20 {
            let (a, b) = (rng.below(0x2_0000), rng.below(0x2_0000));
            for (kind, search) in [LOWEST, HIGHEST, HOLE].into_iter().enumerate() {
                let (addr, limit) = if kind == 1 { (a.max(b), a.min(b)) } else { (a.min(b), a.max(b)) };
                let (result, found) = scan(search, &walker, addr, limit);
                let expected = match naive(&walker, kind, addr, limit) {
                    Ok(Some((page, phys))) => (Ok((kind != 2).then_some(phys)), Some(page)),
                    Ok(None) => (Err(Status::NotPresent), None),
                    Err(status) => (Err(status), None),
                };
                assert_eq!(result, expected.0, "{format:?} {kind} {addr:#x} {limit:#x}");
                if let Some(page) = expected.1 {
                    assert_eq!(found, page, "{format:?} {kind} {addr:#x} {limit:#x}");
                }
            }
        }
    }
}
