//! The Xen hypervisor, and domains whose memory is not that of the machine.

use kdumpfile::xlat::os::{Options, OsType};
use kdumpfile::xlat::{AddrSpace, Caps, Ctx, FullAddr, System};

use crate::machine::{M2, Machine, PAGE, linux};
use crate::{Peer, only, set_up, special};

const DIRECTMAP: u64 = 0xffff_8300_0000_0000;
const BIGMEM: u64 = 0xffff_8480_0000_0000;

fn xen() -> Options {
    Options { arch: Some("x86_64".into()), os: Some(OsType::Xen), ..Options::default() }
}

/// A hypervisor with 64 MiB and a text of 4 MiB, in memory from 32 MiB on.
fn hypervisor(base: u64, text: Option<u64>) -> Machine {
    let mut machine = Machine::x86_64(4);
    machine.map_direct(base, 64 << 20);
    if let Some(text) = text {
        machine.map_run(text, 32 << 20, 2 * M2, 21);
    }
    let root = machine.root;
    machine.register("cr3", root)
}

#[test]
fn layout_is_told_by_what_page_tables_map() {
    let layouts = [
        (DIRECTMAP, Some(0xffff_82d0_8000_0000), "ffff87ffffffffff", "ffff82d0bfffffff"),
        (DIRECTMAP, Some(0xffff_82c4_c000_0000), "ffff87ffffffffff", "ffff82c4ffffffff"),
        (DIRECTMAP, Some(0xffff_82c4_8000_0000), "ffff87ffffffffff", "ffff82c4bfffffff"),
        (DIRECTMAP, Some(0xffff_828c_8000_0000), "ffff83ffffffffff", "ffff828cbfffffff"),
        (DIRECTMAP, Some(0xffff_8288_8000_0000), "ffff87ffffffffff", "ffff8288bfffffff"),
        (DIRECTMAP, None, "ffff83ffffffffff", ""),
        (BIGMEM, Some(0xffff_82d0_8000_0000), "ffff87ffffffffff", "ffff82d0bfffffff"),
    ];
    for (base, text, direct_end, text_end) in layouts {
        let (.., lines) = set_up(&hypervisor(base, text), &xen(), Peer::Same);
        let mut expected = vec![format!("{base:x}-{direct_end} DIRECT")];
        if let Some(text) = text {
            expected.insert(0, format!("{text:x}-{text_end} KTEXT"));
            let offset = (32_u64 << 20).wrapping_sub(text);
            assert_eq!(only(&lines, &["KTEXT"]), [format!("KTEXT linear 0 {offset:x}")]);
        }
        assert_eq!(special(&lines), expected);
    }
}

#[test]
fn all_of_the_upper_half_of_a_modern_hypervisor() {
    let machine = hypervisor(DIRECTMAP, Some(0xffff_82d0_8000_0000));
    let (.., lines) = set_up(&machine, &xen(), Peer::Same);
    assert_eq!(
        only(&lines, &["KvPhys ffff8", "KphysDirect"]),
        [
            "KvPhys ffff800000000000-ffff82d07fffffff PGT",
            "KvPhys ffff82d080000000-ffff82d0bfffffff KTEXT",
            "KvPhys ffff82d0c0000000-ffff82ffffffffff PGT",
            "KvPhys ffff830000000000-ffff87ffffffffff DIRECT",
            "KvPhys ffff880000000000-ffffffffffffffff PGT",
            "KphysDirect 0-4ffffffffff RDIRECT",
            "KphysDirect 50000000000-ffffffffffffffff NONE",
        ]
    );
}

#[test]
fn without_page_tables_the_version_tells() {
    let versions = [
        (None, &[][..]),
        (Some((3, 1)), &["ffff830000000000-ffff83ffffffffff DIRECT"][..]),
        (
            Some((3, 2)),
            &["ffff828c80000000-ffff828cbfffffff KTEXT", "ffff830000000000-ffff83ffffffffff DIRECT"],
        ),
        (
            Some((4, 0)),
            &["ffff82c480000000-ffff82c4bfffffff KTEXT", "ffff830000000000-ffff87ffffffffff DIRECT"],
        ),
        (
            Some((4, 3)),
            &["ffff82c4c0000000-ffff82c4ffffffff KTEXT", "ffff830000000000-ffff87ffffffffff DIRECT"],
        ),
        (
            Some((4, 13)),
            &["ffff82d080000000-ffff82d0bfffffff KTEXT", "ffff830000000000-ffff87ffffffffff DIRECT"],
        ),
    ];
    for (version, expected) in versions {
        let version_code = version.map(|(major, minor): (u64, u64)| major << 16 | minor);
        let options = Options { version_code, ..xen() };
        let (.., lines) = set_up(&Machine::x86_64(4), &options, Peer::Same);
        assert_eq!((lines[0].as_str(), special(&lines)), ("ok", expected.to_vec()));
    }
}

#[test]
fn text_moved_down_in_4_14() {
    let options = Options { version_code: Some(4 << 16 | 14), ..xen() };
    // The peer knows no layout after that of 4.4.
    let (.., lines) = set_up(&Machine::x86_64(4), &options, Peer::Less);
    assert_eq!(
        special(&lines),
        ["ffff82d040000000-ffff82d07fffffff KTEXT", "ffff830000000000-ffff87ffffffffff DIRECT"]
    );
}

/// As 4.17 of Debian maps itself: nothing at the start of the text, then pages of
/// 4 KiB with holes between the sections, and something else behind.
#[test]
fn text_in_small_pages_is_found_without_its_start() {
    let text = 0xffff_82d0_4000_0000;
    let (phys, offset) = (0x1f80_0000, 0x1f80_0000_u64.wrapping_sub(text));
    for (base, direct) in [
        (DIRECTMAP, "ffff830000000000-ffff87ffffffffff DIRECT"),
        (BIGMEM, "ffff848000000000-ffff87ffffffffff DIRECT"),
    ] {
        let mut machine = hypervisor(base, None);
        for section in [0x20_0000, 0x44_0000, 0x5a_0000] {
            machine.map_run(text + section, phys + section, 32 * PAGE, 12);
        }
        machine.map_run(text + 0x80_0000, 0x100_0000, 4 * PAGE, 12);
        let (ctx, sys, lines) = set_up(&machine, &xen(), Peer::Less);
        assert_eq!(special(&lines), ["ffff82d040200000-ffff82d0405bffff KTEXT", direct]);
        assert_eq!(only(&lines, &["KTEXT"]), [format!("KTEXT linear 0 {offset:x}")]);
        for (place, target) in [(0x44_1234, phys + 0x44_1234), (0x80_0008, 0x100_0008)] {
            let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(text + place)).unwrap();
            assert_eq!(found, FullAddr::kphys(target));
        }
    }
}

#[test]
fn table_of_machine_frames_below_an_older_text_is_not_taken_for_it() {
    let mut machine = hypervisor(DIRECTMAP, None);
    machine.map_run(0xffff_82d0_4000_0000, 0x300_0000, M2, 21);
    machine.map_run(0xffff_82d0_8020_0000, 0x220_0000, 2 * M2, 21);
    let (.., lines) = set_up(&machine, &xen(), Peer::Less);
    assert_eq!(
        special(&lines),
        ["ffff82d080200000-ffff82d0805fffff KTEXT", "ffff830000000000-ffff87ffffffffff DIRECT"]
    );
}

#[test]
fn root_by_symbol_is_reached_through_phys_start_or_the_direct_mapping() {
    let text = 0xffff_82d0_8000_0000;
    let mut machine = hypervisor(DIRECTMAP, Some(text));
    machine.map_run(text, 0x100_0000, 8 * M2, 21);
    machine.registers.clear();
    let start = Some(0x100_0000);
    let in_text = machine.clone().symbol("pgd_l4", text + 0x80_0000);
    let (.., lines) = set_up(&in_text, &Options { phys_base: start, ..xen() }, Peer::Same);
    assert_eq!(special(&lines).len(), 2);
    let direct = machine.clone().symbol("pgd_l4", DIRECTMAP + 0x180_0000);
    let (.., lines) = set_up(&direct, &xen(), Peer::Same);
    assert_eq!(special(&lines).len(), 2);
    // Nothing leads to a root in the text otherwise.
    let (.., lines) = set_up(&in_text, &xen(), Peer::Same);
    assert_eq!((lines[0].as_str(), special(&lines).len()), ("ok", 0));
}

#[test]
fn tables_of_a_domain_that_are_not_stored_are_replaced_by_those_of_the_hypervisor() {
    let mut machine = hypervisor(DIRECTMAP, Some(0xffff_82d0_8000_0000));
    machine.registers.insert("cr3".into(), 0x7777_7000);
    // Nothing else is known: what stands in the register is as good as anything.
    let (.., lines) = set_up(&machine, &xen(), Peer::Same);
    assert_eq!(
        (special(&lines).len(), only(&lines, &["PGT"])[0].starts_with("PGT pgt 1 1:77777000")),
        (0, true)
    );
    let machine = machine.symbol("pgd_l4", DIRECTMAP + 0x180_0000);
    let (.., lines) = set_up(&machine, &xen(), Peer::Less);
    assert_eq!(special(&lines).len(), 2);
    assert!(only(&lines, &["PGT"])[0].starts_with("PGT pgt 1 2:ffff830001800000"));
}

/// A CPU in a domain with page tables of its own (XPTI), which lack the hypervisor.
#[test]
fn tables_of_another_cpu_have_the_hypervisor_if_those_of_the_first_do_not() {
    let machine = hypervisor(DIRECTMAP, Some(0xffff_82d0_8000_0000));
    let root = machine.root;
    let mut machine = machine.register("cpu.2.reg.cr3", root).register("cpu.1.reg.cr3", 0);
    let domain = machine.root + 4 * PAGE;
    machine.root = domain;
    machine.map(0xffff_8000_0000_0000, 0x10_0000, 21);
    let machine = machine.register("cr3", domain);
    let (.., lines) = set_up(&machine, &xen(), Peer::Less);
    assert_eq!(special(&lines).len(), 2);
    assert!(only(&lines, &["PGT"])[0].starts_with(&format!("PGT pgt 1 1:{root:x}")));
}

/// A domain of 16 MiB whose frames are in reverse order from 4 GiB on.
fn domain() -> (Machine, impl Fn(u64) -> u64) {
    const FRAMES: u64 = 4096;
    const BASE: u64 = 0xffff_8880_0000_0000;
    const M2P: u64 = 0xffff_8000_0000_0000;
    let to_machine = |phys: u64| ((0x10_0000 + FRAMES - 1 - (phys >> 12)) << 12) | (phys & 0xfff);
    let mut machine = Machine::x86_64(4);
    for frame in 0..FRAMES {
        machine.map(BASE + frame * PAGE, to_machine(frame * PAGE), 12);
        machine.map(0xffff_ffff_8000_0000 + frame * PAGE, to_machine(frame * PAGE), 12);
        // The hypervisor's array, and the domain's own tree of three levels.
        let mfn = to_machine(frame * PAGE) >> 12;
        let place = 0x2_0000_0000 + mfn * 8;
        machine.write64(place, frame);
        machine.map((M2P + mfn * 8) & !0xfff, place & !0xfff, 12);
        machine.write64(0x3_0000_0000 + frame * 8, mfn);
    }
    for table in 0..FRAMES / 512 {
        machine.write64(0x4_0000_0000 + table * 8, 0x30_0000 + table);
    }
    machine.write64(0x5_0000_0000, 0x40_0000);
    let root = machine.root;
    (machine.register("cr3", root).symbol("_stext", 0xffff_ffff_8010_0000), to_machine)
}

#[test]
fn domain_has_machine_addresses_in_its_page_tables() {
    let (machine, to_machine) = domain();
    let options = Options { xen_xlat: Some(true), xen_p2m_mfn: Some(0x50_0000), ..linux("x86_64") };
    let (ctx, sys, lines) = set_up(&machine, &options, Peer::Same);
    assert_eq!(
        only(&lines, &["MachphysKphys", "KphysMachphys", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"]),
        [
            "MachphysKphys 0-fffffffffffff MACHPHYS_KPHYS",
            "MachphysKphys 10000000000000-ffffffffffffffff NONE",
            "KphysMachphys 0-7fffffffff KPHYS_MACHPHYS",
            "KphysMachphys 8000000000-ffffffffffffffff NONE",
            "MACHPHYS_KPHYS memarr 0 2:ffff800000000000 12 8 8",
            "KPHYS_MACHPHYS pgt 1 1:500000000 0 pfn64:12,9,9,9",
        ]
    );
    assert_eq!(
        special(&lines),
        ["ffff888000000000-ffff888000ffffff DIRECT", "ffffffff80000000-ffffffff80ffffff KTEXT"]
    );
    for phys in [0, 0x12_3456, 0xff_ffff] {
        let virt = FullAddr::kvirt(0xffff_8880_0000_0000 + phys);
        let machphys = FullAddr::machphys(to_machine(phys));
        let convert = |space, addr| ctx.convert(Some(&sys), space, addr).unwrap();
        assert_eq!(convert(AddrSpace::KPHYS, virt), FullAddr::kphys(phys));
        assert_eq!(convert(AddrSpace::MACHPHYS, virt), machphys);
        assert_eq!(convert(AddrSpace::KPHYS, machphys), FullAddr::kphys(phys));
    }
}

/// Whether addresses of a domain are translated from each space to each other.
fn assert_all_spaces(ctx: &Ctx, sys: &System, to_machine: impl Fn(u64) -> u64) {
    for phys in [0, 0x12_3456, 0xff_ffff] {
        let addrs = [
            FullAddr::kvirt(0xffff_8880_0000_0000 + phys),
            FullAddr::kvirt(0xffff_ffff_8000_0000 + phys),
            FullAddr::kphys(phys),
            FullAddr::machphys(to_machine(phys)),
        ];
        for from in addrs {
            for to in [addrs[0], addrs[2], addrs[3]] {
                // From one virtual address to another there is no way.
                if from.space != to.space {
                    assert_eq!(ctx.convert(Some(sys), to.space, from), Ok(to), "from {from:?}");
                }
            }
        }
    }
}

#[test]
fn domain_without_a_tree_of_its_own_finds_the_machine_by_its_direct_mapping() {
    let (machine, to_machine) = domain();
    let options = Options { xen_xlat: Some(true), ..linux("x86_64") };
    // The peer has no way then.
    let (ctx, sys, lines) = set_up(&machine, &options, Peer::Less);
    assert_eq!(
        only(&lines, &["KphysMachphys", "KPHYS_MACHPHYS"]),
        [
            "KphysMachphys 0-ffffff KPHYS_MACHPHYS",
            "KphysMachphys 1000000-ffffffffffffffff NONE",
            "KPHYS_MACHPHYS pgt 1 1:1800888 0 x86_64:12,9,9,9,9",
        ]
    );
    assert_eq!(special(&lines).len(), 2);
    assert_eq!(machine.caps, Caps::MACHPHYS);
    assert_all_spaces(&ctx, &sys, to_machine);
}

/// A dump of the whole machine by somebody who does not know of Xen.
#[test]
fn domain_is_recognised_by_the_array_of_the_hypervisor() {
    for symbols in [true, false] {
        let (mut machine, to_machine) = domain();
        let mut options = Options { virt_bits: Some(48), ..linux("x86_64") };
        if symbols {
            // Its root is out of reach: what is there in the machine is somebody else's.
            machine = machine.symbol("init_top_pgt", 0xffff_ffff_8020_0000);
            machine.write64(0x20_0ff8, 0xdead_0000_0000_0001);
            options.phys_base = Some(0);
        } else {
            machine.symbols.clear();
        }
        let (ctx, sys, lines) = set_up(&machine, &options, Peer::Less);
        assert_eq!(
            special(&lines),
            ["ffff888000000000-ffff888000ffffff DIRECT", "ffffffff80000000-ffffffff80ffffff KTEXT"]
        );
        assert_all_spaces(&ctx, &sys, to_machine);
        // Unless the user says that it is none.
        let told = Options { xen_xlat: Some(false), ..options };
        // The peer takes CR3 first.
        let (.., lines) = set_up(&machine, &told, if symbols { Peer::Less } else { Peer::Same });
        assert_eq!(only(&lines, &["MACHPHYS_KPHYS"]), ["MACHPHYS_KPHYS linear 0 0"]);
    }
}

#[test]
fn domain_is_recognised_by_another_cpu_if_the_first_one_is_in_a_process() {
    for xen_xlat in [None, Some(true)] {
        let (machine, to_machine) = domain();
        let kernel = machine.root;
        // The hypervisor's array is in its tables as well, the kernel is not.
        let array = machine.read(kernel + 256 * 8, 8);
        let mut machine =
            machine.register("cpu.1.reg.cr3", kernel).symbol("init_top_pgt", 0xffff_ffff_8020_0000);
        let process = kernel + 4 * PAGE;
        machine.write64(process + 256 * 8, array);
        let machine = machine.register("cr3", process);
        let options = Options { xen_xlat, phys_base: Some(0), virt_bits: Some(48), ..linux("x86_64") };
        let (ctx, sys, lines) = set_up(&machine, &options, Peer::Less);
        assert_eq!(special(&lines).len(), 2);
        assert!(only(&lines, &["PGT"])[0].starts_with(&format!("PGT pgt 1 1:{kernel:x}")));
        assert_all_spaces(&ctx, &sys, to_machine);
    }
}

#[test]
fn array_that_does_not_know_the_text_is_not_that_of_a_hypervisor() {
    for frame in [0, 0x10_0eff, 0x101] {
        let (mut machine, _) = domain();
        // The entry of the frame of `_stext`, which is 0x100.
        machine.write64(0x2_0000_0000 + 0x10_0eff * 8, frame);
        let (.., lines) = set_up(&machine, &linux("x86_64"), Peer::Same);
        assert_eq!(only(&lines, &["MACHPHYS_KPHYS"]), ["MACHPHYS_KPHYS linear 0 0"]);
    }
}
