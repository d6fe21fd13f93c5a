//! ia32, with and without PAE.

use kdumpfile::xlat::os::{Options, OsType};
use kdumpfile::xlat::{Caps, FullAddr};

use crate::machine::{Machine, PAGE, linux};
use crate::{Peer, only, set_up, special};

/// RAM of 64 MiB at `base`, a root in there, and the area list at 32 MiB.
fn kernel(pae: bool, base: u64) -> Machine {
    let mut machine = Machine::ia32(pae);
    machine.map_run(base, 0, 64 << 20, 12);
    let root = base + machine.root;
    machine.symbol("swapper_pg_dir", root)
}

/// With a list of vmalloc areas, the first of which starts at `vmalloc`.
fn with_areas(mut machine: Machine, base: u64, vmalloc: u64) -> Machine {
    let (list, area) = (0x200_0000, 0x200_1000);
    machine.write(list + 4, base + area + 0x10, 4);
    machine.write(area + 8, vmalloc, 4);
    machine
        .symbol("vmap_area_list", base + list)
        .offset("vmap_area.va_start", 8)
        .offset("vmap_area.list", 0x10)
        .offset("list_head.next", 4)
}

fn ia32() -> Options {
    linux("ia32")
}

#[test]
fn all_maps_of_a_kernel_with_and_without_pae() {
    for (pae, max, form) in
        [(true, "fffffffffffff", "ia32_pae:12,9,9,2"), (false, "ffffffff", "ia32:12,10,10")]
    {
        let machine = with_areas(kernel(pae, 0xc000_0000), 0xc000_0000, 0xc480_0000);
        let (.., lines) = set_up(&machine, &ia32(), Peer::Same);
        let next = u64::from_str_radix(max, 16).unwrap() + 1;
        assert_eq!(
            lines,
            [
                "ok".into(),
                "Hw 0-ffffffff PGT".into(),
                "Hw 100000000-ffffffffffffffff NONE".into(),
                "KvPhys 0-bfffffff PGT".into(),
                "KvPhys c0000000-c47fffff DIRECT".into(),
                "KvPhys c4800000-ffffffff PGT".into(),
                "KvPhys 100000000-ffffffffffffffff NONE".into(),
                "KphysDirect 0-47fffff RDIRECT".into(),
                "KphysDirect 4800000-ffffffffffffffff NONE".into(),
                format!("MachphysKphys 0-{max} MACHPHYS_KPHYS"),
                format!("MachphysKphys {next:x}-ffffffffffffffff NONE"),
                format!("KphysMachphys 0-{max} KPHYS_MACHPHYS"),
                format!("KphysMachphys {next:x}-ffffffffffffffff NONE"),
                format!("PGT pgt 1 2:c1800000 0 {form}"),
                "DIRECT linear 0 ffffffff40000000".into(),
                "RDIRECT linear 2 c0000000".into(),
                "MACHPHYS_KPHYS linear 0 0".into(),
                "KPHYS_MACHPHYS linear 1 0".into(),
            ]
        );
        for arch in ["i386", "i486", "i586", "i686"] {
            assert_eq!(set_up(&machine, &linux(arch), Peer::Same).2, lines);
        }
        // Given instead of found out.
        let phys_bits = Some(if pae { 52 } else { 32 });
        assert_eq!(set_up(&machine, &Options { phys_bits, ..ia32() }, Peer::Same).2, lines);
    }
}

#[test]
fn end_of_the_direct_mapping_has_three_sources() {
    let base = 0xc000_0000;
    let old = |mut machine: Machine| {
        machine.write(0x200_0000, base + 0x200_1000, 4);
        machine.write(0x200_1008, 0xc500_0000, 4);
        machine.symbol("vmlist", base + 0x200_0000).offset("vm_struct.addr", 8)
    };
    let (.., lines) = set_up(&old(kernel(true, base)), &ia32(), Peer::Same);
    assert_eq!(special(&lines), ["c0000000-c4ffffff DIRECT"]);
    // Numbers are signed where the kernel prints them so.
    for number in [0xc600_0000, 0xffff_ffff_c600_0000] {
        let machine = kernel(true, base).number("VMALLOC_START", number);
        let (.., lines) = set_up(&machine, &ia32(), Peer::Less);
        assert_eq!(special(&lines), ["c0000000-c5ffffff DIRECT"]);
    }
    // A list that is still there, but empty.
    let mut machine = with_areas(kernel(true, base), base, 0).number("VMALLOC_START", 0xc600_0000);
    machine.write(0x200_0004, base + 0x200_0000, 4);
    let (.., lines) = crate::machine::outcome(&machine, &ia32());
    assert_eq!(special(&lines), ["c0000000-c5ffffff DIRECT"]);
}

#[test]
fn without_an_end_there_is_only_the_way_back() {
    let (.., lines) = set_up(&kernel(true, 0xc000_0000), &ia32(), Peer::Same);
    assert_eq!(
        only(&lines, &["KvPhys", "KphysDirect"]),
        [
            "KvPhys 0-ffffffff PGT",
            "KvPhys 100000000-ffffffffffffffff NONE",
            "KphysDirect 0-3fffffff RDIRECT",
            "KphysDirect 40000000-ffffffffffffffff NONE",
        ]
    );
}

#[test]
fn other_splits_of_the_address_space_follow_from_the_root() {
    for base in [0xb000_0000, 0x8000_0000, 0x7800_0000, 0x4000_0000] {
        let machine = with_areas(kernel(true, base), base, base + 0x480_0000);
        let (.., lines) = set_up(&machine, &ia32(), Peer::Less);
        assert_eq!(special(&lines), [format!("{base:x}-{:x} DIRECT", base + 0x47f_ffff)]);
    }
}

/// With the tables of a process beside those of the kernel: at `root`, with all
/// that the kernel's have from entry `from` on.
fn with_process(mut machine: Machine, pae: bool, root: u64, from: u64) -> Machine {
    let (size, count) = if pae { (8, 4) } else { (4, 1024) };
    for index in from..count {
        let entry = machine.read(machine.root + index * size, size as usize);
        machine.write(root + index * size, entry, size as usize);
    }
    machine
}

#[test]
fn root_comes_from_cr3_first() {
    for (pae, root, form) in [(true, 0x300_0020, "ia32_pae:12,9,9,2"), (false, 0x300_0000, "ia32:12,10,10")] {
        let machine = with_process(kernel(pae, 0xc000_0000), pae, root, 0);
        let pgt = format!("PGT pgt 1 1:{root:x} 0 {form}");
        let (.., lines) = set_up(&machine.clone().register("cr3", root), &ia32(), Peer::Same);
        assert_eq!(only(&lines, &["PGT"]), [&*pgt]);
        // Flags: the peer takes them for part of the address.
        let machine = machine.register("cr3", root | 0x18);
        let (.., lines) = set_up(&machine, &ia32(), Peer::Less);
        assert_eq!(only(&lines, &["PGT"]), [&*pgt]);
    }
}

#[test]
fn cr3_of_tables_without_the_kernel_is_not_taken_for_the_root() {
    for (pae, form) in [(true, "ia32_pae:12,9,9,2"), (false, "ia32:12,10,10")] {
        let from = if pae { 4 } else { 1023 };
        let machine = with_process(kernel(pae, 0xc000_0000), pae, 0x300_0000, from);
        let machine = machine.register("cr3", 0x300_0000).register("cr0", 0x8000_0011);
        let (.., lines) = set_up(&machine, &ia32(), Peer::Less);
        assert_eq!(only(&lines, &["PGT"]), [format!("PGT pgt 1 2:c1800000 0 {form}")]);
    }
}

#[test]
fn registers_of_a_processor_without_paging_do_not_count() {
    let machine = with_process(kernel(true, 0xc000_0000), true, 0x300_0020, 0);
    let machine = machine.register("cr3", 0x300_0020).register("cr4", 0);
    let off = machine.clone().register("cr0", 0x6000_0010);
    let (.., lines) = set_up(&off, &ia32(), Peer::Less);
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 2:c1800000 0 ia32_pae:12,9,9,2"]);
    for on in [0x8005_0033, 0] {
        let (.., lines) = set_up(&machine.clone().register("cr0", on), &ia32(), Peer::Same);
        assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 1:3000020 0 ia32_pae:12,9,9,2"]);
    }
}

#[test]
fn control_registers_alone_lead_to_the_tables() {
    for (pae, cr4, form) in [(true, 0x6b0, "ia32_pae:12,9,9,2"), (false, 0x690, "ia32:12,10,10")] {
        let mut machine = kernel(pae, 0xc000_0000);
        machine.symbols.clear();
        let machine = machine.register("cr0", 0x8005_0033).register("cr3", 0x180_0000).register("cr4", cr4);
        let (.., lines) = set_up(&machine, &ia32(), Peer::Less);
        assert_eq!(only(&lines, &["ok", "PGT"]), ["ok".into(), format!("PGT pgt 1 1:1800000 0 {form}")]);
    }
}

#[test]
fn hypervisor_has_no_direct_mapping_in_its_map() {
    let mut machine = Machine::ia32(true);
    machine.map_run(0xff00_0000, 0, 16 * PAGE, 12);
    let root = Some(FullAddr::machphys(machine.root));
    let options = Options { arch: Some("ia32".into()), os: Some(OsType::Xen), root, ..Options::default() };
    let (.., lines) = set_up(&machine, &options, Peer::Same);
    assert_eq!(
        only(&lines, &["ok", "KvPhys", "KphysDirect"]),
        ["ok", "KvPhys 0-ffffffff PGT", "KvPhys 100000000-ffffffffffffffff NONE"]
    );
}

#[test]
fn what_is_missing_or_impossible_is_said() {
    let says = |machine: &Machine, options: &Options, text: &str| {
        let (.., lines) = set_up(machine, options, Peer::Same);
        assert_eq!(lines[0], text);
        lines
    };
    let bare = Machine::ia32(true);
    let lines =
        says(&bare, &ia32(), "5: Cannot determine PAE state: Cannot resolve \"swapper_pg_dir\": Unknown");
    assert_eq!(special(&lines), ["c0000000-ffffffff DIRECT"]);
    let root = Options { root: Some(FullAddr::machphys(0x180_0000)), ..ia32() };
    says(&bare, &root, "1: Cannot determine PAE state: Neither PAE nor non-PAE directmap found");
    let unknown = Options { os: None, ..root };
    says(&bare, &unknown, "1: Cannot determine PAE state");
    says(&bare, &Options { root: None, ..unknown }, "1: Cannot determine PAE state: Unsupported OS");
    let odd = Options { phys_bits: Some(36), ..ia32() };
    says(&bare, &odd, "1: 36-bit physical addresses not implemented");
    let low = with_areas(kernel(true, 0xc000_0000), 0xc000_0000, 0xbfff_f000);
    says(&low, &ia32(), "3: Invalid VMALLOC start: bffff000");
    let mut lost = with_areas(kernel(true, 0xc000_0000), 0xc000_0000, 0xc480_0000);
    lost.caps = Caps::MACHPHYS;
    lost.write(0x200_0004, 0x1000_0000, 4);
    let lines = says(
        &lost,
        &ia32(),
        "2: Cannot determine VMALLOC start: Cannot read 32-bit vmap_area start address at KVADDR:0xffffff8: \
         Page directory not present: pgd[0] = 0x0",
    );
    assert_eq!(special(&lines), ["c0000000-ffffffff DIRECT"]);
}
