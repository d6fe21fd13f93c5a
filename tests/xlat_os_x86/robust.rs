//! Set-up from memory that lies, or is not there, or is there later.

use std::time::{Duration, Instant};

use kdumpfile::sync::Lock;
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, FullAddr, MapIndex, Method, MethodIndex, PageTable, PagingForm, PteFormat, Status, System,
    Walker,
};

use crate::machine::{BusyAt, M2, Machine, ctx_of, linux, outcome};

const TEXT: u64 = 0xffff_ffff_8100_0000;

fn kernel() -> (Machine, Options) {
    let mut machine = Machine::x86_64(4);
    machine.map_direct(0xffff_8880_0000_0000, 64 << 20);
    machine.map_run(TEXT, 0x100_0000, 8 * M2, 21);
    let machine = machine.symbol("init_top_pgt", TEXT + 0x80_0000).symbol("_stext", TEXT);
    (machine, Options { phys_base: Some(0), ..linux("x86_64") })
}

#[test]
fn busy_provider_is_not_taken_for_missing_memory() {
    let (machine, options) = kernel();
    let (.., expected) = outcome(&machine, &options);
    let mut failures = 0;
    for at in 0.. {
        let ctx = ctx_of(BusyAt { machine: machine.clone(), left: Lock::new(at) });
        let mut sys = System::new();
        match os::init(&mut sys, &ctx, &options) {
            Ok(()) => break,
            Err(error) => assert_eq!(error.status(), Status::BUSY, "{error}"),
        }
        failures += 1;
        // Once more, with what there is by now.
        os::init(&mut sys, &ctx, &options).unwrap();
        let ranges = crate::machine::ranges(&sys, MapIndex::KvPhys);
        let expected: Vec<_> = expected.iter().filter_map(|line| line.strip_prefix("KvPhys ")).collect();
        assert_eq!(ranges, expected);
    }
    assert!(failures >= 6, "only {failures} reads");
}

#[test]
fn methods_of_the_user_survive_and_all_others_do_not() {
    let (machine, options) = kernel();
    let (ctx, mut sys, first) = outcome(&machine, &options);
    let mine = Method::linear(AddrSpace::KPHYS, 7);
    sys.set_method(MethodIndex::CUSTOM, mine.clone());
    sys.set_method(MethodIndex::VMEMMAP, mine.clone());
    sys.set_method(MethodIndex::KTEXT, mine);
    os::init(&mut sys, &ctx, &options).unwrap();
    assert!(!sys.method(MethodIndex::CUSTOM).unwrap().is_none());
    assert!(sys.method(MethodIndex::VMEMMAP).unwrap().is_none());
    assert_eq!(outcome(&machine, &options).2, first);
}

#[test]
fn tables_that_contain_themselves_are_searched_once() {
    for entry in [0x1800_0067_u64, 0x180_0067, 0x180_00e7] {
        for levels in [4, 5] {
            let mut machine = Machine::x86_64(levels);
            for index in 0..512 {
                machine.write64(machine.root + index * 8, entry);
            }
            let root = Some(FullAddr::machphys(machine.root));
            let bits = Some(if levels == 4 { 48 } else { 57 });
            let start = Instant::now();
            for os in [OsType::Linux, OsType::Xen] {
                let options = Options { root, virt_bits: bits, os: Some(os), ..linux("x86_64") };
                outcome(&machine, &options);
                outcome(&machine, &Options { phys_base: Some(0x180_0000), ..options });
            }
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        }
    }
}

/// 255 entries of the root lead to one table of each level, as a shadow of
/// memory does that is not used; all entries of the lowest one are `leaf`.
fn shadow(leaf: u64) -> Machine {
    let mut machine = Machine::x86_64(4);
    machine.map(TEXT, 0x100_0000, 12);
    let (pud, pmd, pte) = (0x200_0000, 0x200_1000, 0x200_2000);
    for index in 0..512 {
        machine.write64(pud + index * 8, pmd | 0x67);
        machine.write64(pmd + index * 8, pte | 0x67);
        machine.write64(pte + index * 8, leaf);
        if (256..511).contains(&index) {
            machine.write64(machine.root + index * 8, pud | 0x67);
        }
    }
    machine
}

#[test]
fn shared_tables_are_searched_once() {
    const UPPER: u64 = 0xffff_8000_0000_0000;
    let form = PagingForm::new(PteFormat::X86_64, &[12, 9, 9, 9, 9]).unwrap();
    let walk = |leaf: u64, look: &dyn Fn(&Walker<'_>)| {
        let machine = shadow(leaf);
        let table = PageTable::new(FullAddr::machphys(machine.root), form);
        let method = Method::page_table(AddrSpace::MACHPHYS, table);
        look(&Walker::new(&ctx_of(machine), None, &method));
    };
    // 2^25 tables, if each were looked into.
    walk(0, &|walker| {
        let mut addr = UPPER;
        assert_eq!(walker.lowest_mapped(&mut addr, u64::MAX).unwrap().base, FullAddr::machphys(0x100_0000));
        assert_eq!(addr, TEXT);
        let mut addr = TEXT - 1;
        let nothing = walker.highest_mapped(&mut addr, UPPER).unwrap_err();
        assert_eq!((nothing.status(), addr), (Status::NotPresent, UPPER - 1));
        // Within a table, only what is asked for.
        let mut addr = UPPER + 0x12_3456;
        let nothing = walker.lowest_mapped(&mut addr, UPPER + (5 << 30) + 0x5678).unwrap_err();
        assert_eq!((nothing.status(), addr), (Status::NotPresent, UPPER + (5 << 30) + 0x6000));
    });
    walk(0x300_0063, &|walker| {
        let mut addr = UPPER + 0x5000;
        walker.lowest_unmapped(&mut addr, u64::MAX).unwrap();
        assert_eq!(addr, 0xffff_ff80_0000_0000);
        let mut addr = UPPER + 0x5000;
        let all = walker.lowest_unmapped(&mut addr, UPPER + (7 << 30) + 0x1234).unwrap_err();
        assert_eq!((all.status(), addr), (Status::NotPresent, UPPER + (7 << 30) + 0x2000));
    });
}

#[test]
fn random_tables_and_options_come_to_an_end() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut ok = 0;
    for _ in 0..400 {
        let pae = next() % 2 == 0;
        let wide = next() % 3 != 0;
        let mut machine = if wide { Machine::x86_64(4) } else { Machine::ia32(pae) };
        // Eight tables that lead to each other, and out of memory.
        for table in 0..8 {
            for _ in 0..next() % 512 {
                let place = machine.root + table * 0x1000 + (next() % 512) * 8;
                let target = machine.root + (next() % 10) * 0x1000;
                let flags = next() & 0x8000_0000_0000_00ff | 1;
                machine.write64(place, target | flags);
            }
        }
        let number = |value: u64| Some(value).filter(|value| value % 3 != 0);
        let mut options = linux(if wide { "x86_64" } else { "ia32" });
        options.os = Some([OsType::Linux, OsType::Xen, OsType::Unknown][(next() % 3) as usize]);
        options.phys_base = number(next());
        options.version_code = number(next() % 0x7_0000);
        options.virt_bits = [None, Some(48), Some(57), Some(next())][(next() % 4) as usize];
        options.phys_bits = [None, Some(32), Some(52), Some(next())][(next() % 4) as usize];
        options.xen_xlat = Some(next() % 4 == 0);
        options.xen_p2m_mfn = number(next());
        options.root = number(next()).map(|_| FullAddr::machphys(machine.root));
        for (name, value) in [
            ("_stext", TEXT),
            ("init_top_pgt", next()),
            ("page_offset_base", next()),
            ("swapper_pg_dir", 0xc000_0000 + machine.root),
            ("vmap_area_list", 0xc000_0000 + machine.root + next() % 0x8000),
        ] {
            if next() % 2 == 0 {
                machine = machine.symbol(name, value);
            }
        }
        let root = machine.root;
        machine = machine.register("cr3", root | next() & 0x3fff);
        for name in ["vmap_area.va_start", "vmap_area.list", "list_head.next"] {
            machine = machine.offset(name, next() >> (next() % 64));
        }
        let (.., lines) = outcome(&machine, &options);
        ok += usize::from(lines[0] == "ok");
    }
    assert!((20..400).contains(&ok), "{ok} of 400 are set up");
}
