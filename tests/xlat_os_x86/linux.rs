//! Linux on x86_64, version by version.

use kdumpfile::xlat::os::Options;
use kdumpfile::xlat::{AddrSpace, Caps, FullAddr, MapIndex, Status};

use crate::machine::{G1, M2, Machine, PAGE, linux, outcome, ranges};
use crate::{Peer, only, set_up, special};

const TEXT: u64 = 0xffff_ffff_8100_0000;
const RAM: u64 = 256 << 20;
const MIB: u64 = 1 << 20;

/// A kernel of 16 MiB at `text`, in memory from 16 MiB on, and RAM at `base`.
fn kernel(levels: usize, base: u64, text: u64) -> Machine {
    let mut machine = Machine::x86_64(levels);
    machine.map_direct(base, RAM);
    machine.map_run(text, 16 * MIB, 16 * MIB, 21);
    let root = text - 16 * MIB + machine.root;
    machine.symbol("_stext", text).symbol("init_top_pgt", root)
}

fn x86_64() -> Options {
    linux("x86_64")
}

/// `phys_base` of a kernel at `text` that is in memory from 16 MiB on.
fn with_base(text: u64) -> Options {
    let phys_base = (16 * MIB).wrapping_sub(text.wrapping_sub(0xffff_ffff_8000_0000));
    Options { phys_base: Some(phys_base), ..x86_64() }
}

#[test]
fn all_maps_of_a_kernel_without_kaslr() {
    let machine = kernel(4, 0xffff_8880_0000_0000, TEXT);
    let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Same);
    assert_eq!(
        lines,
        [
            "ok",
            "Hw 0-7fffffffffff PGT",
            "Hw 800000000000-ffff7fffffffffff NONE",
            "Hw ffff800000000000-ffffffffffffffff PGT",
            "KvPhys 0-7fffffffffff PGT",
            "KvPhys 800000000000-ffff7fffffffffff NONE",
            "KvPhys ffff800000000000-ffff887fffffffff PGT",
            "KvPhys ffff888000000000-ffff88800fffffff DIRECT",
            "KvPhys ffff888010000000-ffffffff80ffffff PGT",
            "KvPhys ffffffff81000000-ffffffff81ffffff KTEXT",
            "KvPhys ffffffff82000000-ffffffffffffffff PGT",
            "KphysDirect 0-fffffff RDIRECT",
            "KphysDirect 10000000-ffffffffffffffff NONE",
            "MachphysKphys 0-fffffffffffff MACHPHYS_KPHYS",
            "MachphysKphys 10000000000000-ffffffffffffffff NONE",
            "KphysMachphys 0-fffffffffffff KPHYS_MACHPHYS",
            "KphysMachphys 10000000000000-ffffffffffffffff NONE",
            "PGT pgt 1 2:ffffffff81800000 0 x86_64:12,9,9,9,9",
            "DIRECT linear 0 778000000000",
            "KTEXT linear 0 80000000",
            "RDIRECT linear 2 ffff888000000000",
            "MACHPHYS_KPHYS linear 0 0",
            "KPHYS_MACHPHYS linear 1 0",
        ]
    );
}

#[test]
fn direct_mapping_is_found_wherever_a_version_has_it() {
    // Base, whether there are five levels, and the offset that is stored.
    let bases = [
        (0x0000_0100_0000_0000, 4, "ffffff0000000000"),
        (0xffff_8100_0000_0000, 4, "7f0000000000"),
        (0xffff_8800_0000_0000, 4, "780000000000"),
        (0xffff_8880_0000_0000, 4, "778000000000"),
        (0xffff_9c45_4000_0000, 4, "63bac0000000"),
        (0xff11_0000_0000_0000, 5, "ef000000000000"),
        (0xff2c_0123_c000_0000, 5, "d3fedc40000000"),
    ];
    for (base, levels, offset) in bases {
        let machine = kernel(levels, base, TEXT).number("pgtable_l5_enabled", u64::from(levels == 5));
        let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Same);
        let direct = format!("{base:x}-{:x} DIRECT", base + RAM - 1);
        assert_eq!(special(&lines), [&direct, "ffffffff81000000-ffffffff81ffffff KTEXT"]);
        assert_eq!(only(&lines, &["DIRECT"]), [format!("DIRECT linear 0 {offset}")]);
        assert_eq!(only(&lines, &["RDIRECT"]), [format!("RDIRECT linear 2 {base:x}")]);
    }
}

#[test]
fn five_levels_have_wider_halves() {
    let machine = kernel(5, 0xff11_0000_0000_0000, TEXT).register("cr4", 1 << 12);
    let (_, sys, lines) = set_up(&machine, &with_base(TEXT), Peer::Same);
    assert_eq!(
        ranges(&sys, MapIndex::KvPhys),
        [
            "0-ffffffffffffff PGT",
            "100000000000000-feffffffffffffff NONE",
            "ff00000000000000-ff10ffffffffffff PGT",
            "ff11000000000000-ff1100000fffffff DIRECT",
            "ff11000010000000-ffffffff80ffffff PGT",
            "ffffffff81000000-ffffffff81ffffff KTEXT",
            "ffffffff82000000-ffffffffffffffff PGT",
        ]
    );
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 2:ffffffff81800000 0 x86_64:12,9,9,9,9,9"]);
}

#[test]
fn five_levels_of_4_14_begin_lower() {
    let machine = kernel(5, 0xff10_0000_0000_0000, TEXT).number("pgtable_l5_enabled", 1);
    let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Less);
    assert_eq!(special(&lines)[0], "ff10000000000000-ff1000000fffffff DIRECT");
}

#[test]
fn mapping_of_a_local_descriptor_table_is_not_the_direct_mapping() {
    for base in [0xffff_8880_0000_0000, 0xffff_a1f3_8000_0000] {
        let mut machine = kernel(4, base, TEXT);
        machine.map(0xffff_8800_0000_1000, 0x5000, 12);
        let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Less);
        assert_eq!(special(&lines)[0], format!("{base:x}-{:x} DIRECT", base + RAM - 1));
    }
}

#[test]
fn direct_mapping_without_page_0_is_found_by_its_variable() {
    let base = 0xffff_9c45_4000_0000;
    let mut machine = Machine::x86_64(4);
    machine.map_run(base + M2, M2, RAM - M2, 21);
    machine.map_run(TEXT, 16 * MIB, 16 * MIB, 21);
    machine.write64(17 * MIB, base);
    let machine = machine
        .symbol("init_top_pgt", 0xffff_ffff_8180_0000)
        .symbol("_stext", TEXT)
        .symbol("page_offset_base", TEXT + MIB);
    let (ctx, sys, lines) = set_up(&machine, &with_base(TEXT), Peer::Less);
    assert_eq!(special(&lines)[0], format!("{base:x}-{:x} DIRECT", base + RAM - 1));
    let back = ctx.convert(Some(&sys), AddrSpace::KVIRT, FullAddr::kphys(0x123_4567)).unwrap();
    assert_eq!(back, FullAddr::kvirt(base + 0x123_4567));
}

#[test]
fn text_is_found_with_and_without_phys_base() {
    // Moved by KASLR: below 512 MiB, across, and above.
    for text in [TEXT, 0xffff_ffff_9e00_0000, 0xffff_ffff_9f80_0000, 0xffff_ffff_b420_0000] {
        // Version 0.5.1 of the peer stops at 512 MiB.
        let peer = if text < 0xffff_ffff_a000_0000 { Peer::Same } else { Peer::Less };
        let base = 0xffff_8880_0000_0000;
        let mut machine = kernel(4, base, text);
        // Modules, right behind.
        machine.map_run(0xffff_ffff_c000_0000, 0x500_0000, 16 * PAGE, 12);
        let expected = format!("{text:x}-{:x} KTEXT", text + 16 * MIB - 1);
        let (.., lines) = set_up(&machine, &with_base(text), peer);
        assert_eq!(special(&lines)[1], expected);
        // By its symbol, or the first page that is mapped, from a root in memory.
        machine.symbols.remove("init_top_pgt");
        let mut machine = machine.register("cr3", 0x180_0000 | 0x18);
        let (.., by_symbol) = set_up(&machine, &x86_64(), peer);
        assert_eq!(special(&by_symbol)[1], expected);
        machine.symbols.clear();
        let (.., by_search) = set_up(&machine, &Options { virt_bits: Some(48), ..x86_64() }, peer);
        assert_eq!(by_search, by_symbol);
        assert_eq!(only(&by_search, &["PGT"]), ["PGT pgt 1 1:1800000 0 x86_64:12,9,9,9,9"]);
    }
}

#[test]
fn modules_with_another_offset_are_not_text() {
    let base = 0xffff_8880_0000_0000;
    let mut machine = kernel(4, base, 0xffff_ffff_9f00_0000);
    machine.map_run(0xffff_ffff_a000_0000, 0x500_0000, 64 * PAGE, 12);
    let (.., lines) = set_up(&machine, &with_base(0xffff_ffff_9f00_0000), Peer::Same);
    assert_eq!(special(&lines)[1], "ffffffff9f000000-ffffffff9fffffff KTEXT");
}

#[test]
fn only_high_mapping_of_another_offset_is_no_text() {
    let mut machine = Machine::x86_64(4);
    machine.map_direct(0xffff_8880_0000_0000, RAM);
    machine.map_run(0xffff_ffff_b000_0000, 0x500_0000, 64 * PAGE, 12);
    let machine = machine.register("cr3", 0x180_0000);
    let options = Options { phys_base: Some(0), virt_bits: Some(48), ..x86_64() };
    let (.., lines) = set_up(&machine, &options, Peer::Same);
    assert_eq!(special(&lines), ["ffff888000000000-ffff88800fffffff DIRECT"]);
}

#[test]
fn without_page_tables_the_version_tells() {
    let versions = [
        ((2, 4, 30), None),
        ((2, 6, 10), Some("10000000000-1ffffffffff DIRECT")),
        ((2, 6, 11), Some("ffff810000000000-ffffc0ffffffffff DIRECT")),
        ((2, 6, 26), Some("ffff810000000000-ffffc0ffffffffff DIRECT")),
        ((2, 6, 27), Some("ffff880000000000-ffffc0ffffffffff DIRECT")),
        ((2, 6, 31), Some("ffff880000000000-ffffc7ffffffffff DIRECT")),
        ((4, 7, 0), Some("ffff880000000000-ffffc7ffffffffff DIRECT")),
        ((4, 8, 0), None),
    ];
    for ((a, b, c), expected) in versions {
        let options = Options { version_code: Some((a << 16) + (b << 8) + c), ..x86_64() };
        let (.., lines) = set_up(&Machine::x86_64(4), &options, Peer::Same);
        assert_eq!(lines[0], "ok");
        assert_eq!(special(&lines).first().copied(), expected);
        assert_eq!(only(&lines, &["KTEXT"]), ["KTEXT pgt 1 -1:0 0 x86_64:12,9,9,9,9"]);
    }
}

#[test]
fn root_in_the_text_is_covered_even_without_tables() {
    let machine = Machine::x86_64(4)
        .symbol("init_level4_pgt", 0xffff_ffff_8010_1000)
        .symbol("_stext", 0xffff_ffff_8010_0000);
    let options = Options { phys_base: Some(0x20_0000), version_code: Some(0x2_0620), ..x86_64() };
    let (.., lines) = set_up(&machine, &options, Peer::Same);
    assert_eq!(
        special(&lines),
        ["ffff880000000000-ffffc7ffffffffff DIRECT", "ffffffff80101000-ffffffff80101fff KTEXT"]
    );
}

#[test]
fn encryption_bit_is_taken_out_of_entries() {
    let mut machine = Machine::x86_64(4);
    machine.entry_bits = 1 << 47;
    machine.map_direct(0xffff_8880_0000_0000, RAM);
    machine.map_run(TEXT, 16 * MIB, 16 * MIB, 21);
    let machine = machine
        .symbol("init_top_pgt", 0xffff_ffff_8180_0000)
        .symbol("_stext", TEXT)
        .number("sme_mask", 1 << 47);
    let (ctx, sys, lines) = set_up(&machine, &with_base(TEXT), Peer::Same);
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 2:ffffffff81800000 800000000000 x86_64:12,9,9,9,9"]);
    assert_eq!(special(&lines).len(), 2);
    let method = sys.method(kdumpfile::xlat::MethodIndex::PGT).unwrap();
    let mut step = kdumpfile::xlat::Step::new(FullAddr::kvirt(TEXT + 0x1234));
    kdumpfile::xlat::Walker::new(&ctx, Some(&sys), method).walk(&mut step).unwrap();
    assert_eq!(step.base, FullAddr::machphys(0x100_1234));
}

#[test]
fn tables_are_read_through_a_guessed_mapping_if_only_virtual_memory_is_stored() {
    for (base, by_symbol, peer) in [
        (0xffff_8100_0000_0000, false, Peer::Same),
        (0xffff_8800_0000_0000, false, Peer::Same),
        (0xffff_9c45_4000_0000, true, Peer::Same),
        (0xffff_8880_0000_0000, false, Peer::Less),
    ] {
        let mut machine = kernel(4, base, TEXT);
        machine.caps = Caps::KVIRT;
        machine.segments = vec![(base, base + RAM - 1, 0), (TEXT, TEXT + 16 * MIB - 1, 16 * MIB)];
        if by_symbol {
            machine.write64(17 * MIB, base);
            machine = machine.symbol("page_offset_base", TEXT + MIB);
        }
        let (.., lines) = set_up(&machine, &x86_64(), peer);
        let direct = format!("{base:x}-{:x} DIRECT", base + RAM - 1);
        assert_eq!(special(&lines), [&direct, "ffffffff81000000-ffffffff81ffffff KTEXT"]);
        assert_eq!(
            only(&lines, &["KphysDirect"]),
            ["KphysDirect 0-fffffff RDIRECT", "KphysDirect 10000000-ffffffffffffffff NONE"],
            "the guess is gone"
        );
    }
}

#[test]
fn memory_that_can_be_read_by_no_known_address_gives_no_layout() {
    let mut machine = kernel(4, 0xffff_8880_0000_0000, TEXT);
    machine.caps = Caps::NONE;
    let (.., lines) = set_up(&machine, &x86_64(), Peer::Same);
    assert_eq!((lines[0].as_str(), special(&lines).len()), ("ok", 0));
}

#[test]
fn root_that_is_not_stored_by_its_virtual_address_is_found_in_memory() {
    let mut machine = kernel(4, 0xffff_8880_0000_0000, TEXT);
    machine.caps = Caps::KVIRT | Caps::MACHPHYS;
    machine.segments = vec![(0xffff_8880_0000_0000, 0xffff_8880_0000_ffff, 0)];
    // Missing is missing, as for the peer...
    let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Same);
    assert_eq!(special(&lines), ["ffffffff81800000-ffffffff81800fff KTEXT"]);
    // ...unless it is to be looked for elsewhere: by the system as it is then.
    machine.elsewhere = Status::ELSEWHERE;
    let (ctx, sys, lines) = outcome(&machine, &with_base(TEXT));
    assert_eq!(special(&lines).len(), 2);
    let read = |space| ctx.read_u64(Some(&sys), FullAddr::new(space, TEXT + 8 * MIB + 0xff8), "entry");
    assert_eq!(read(AddrSpace::KVIRT), Ok(0x180_b067));
    // And an address that leads nowhere is no loop.
    let lost = ctx.read_u64(Some(&sys), FullAddr::kvirt(0x1000), "word").unwrap_err();
    assert_eq!(lost.status(), Status::NotPresent);
}

#[test]
fn cr3_helps_when_the_symbol_of_the_root_is_out_of_reach() {
    // Version 0.5.1 of the peer takes CR3 first, so it comes to the same.
    let machine = kernel(4, 0xffff_8880_0000_0000, TEXT).register("cr3", 0x180_0000);
    let (.., lines) = set_up(&machine, &x86_64(), Peer::Same);
    assert_eq!(special(&lines).len(), 2);
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 1:1800000 0 x86_64:12,9,9,9,9"]);
    // Not if the user gave the root.
    let root = Some(FullAddr::kvirt(0xffff_ffff_8180_0000));
    let (.., lines) = set_up(&machine, &Options { root, ..x86_64() }, Peer::Same);
    assert_eq!(special(&lines).len(), 0);
}

#[test]
fn registers_of_a_processor_without_paging_do_not_count() {
    // Five levels, as its number says; a processor that has not started has none.
    let machine = kernel(5, 0xff11_0000_0000_0000, TEXT).number("pgtable_l5_enabled", 1);
    let machine = machine.register("cr3", 0).register("cr4", 0).register("cr0", 0x6000_0010);
    let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Less);
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 2:ffffffff81800000 0 x86_64:12,9,9,9,9,9"]);
    assert_eq!(special(&lines).len(), 2);
}

/// A kernel with PTI whose processor is in user mode.
fn in_user_mode() -> Machine {
    let mut machine = kernel(4, 0xffff_8880_0000_0000, TEXT);
    // The user's half: a page of the kernel's text, and nothing else.
    let (kernel_root, user_root) = (machine.root, machine.root + PAGE);
    machine.root = user_root;
    machine.map(user_root, 0, 12);
    machine.map(TEXT + 0xa0_0000, 0x1a0_0000, 21);
    machine.root = kernel_root;
    machine.register("cr3", user_root | 0x1000 | 0x80)
}

#[test]
fn cr3_of_the_users_half_leads_to_the_kernels_half() {
    let mut machine = in_user_mode();
    machine.symbols.clear();
    let options = Options { virt_bits: Some(48), ..x86_64() };
    let (.., lines) = set_up(&machine, &options, Peer::Less);
    assert_eq!(
        special(&lines),
        ["ffff888000000000-ffff88800fffffff DIRECT", "ffffffff81000000-ffffffff81ffffff KTEXT"]
    );
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 1:1800000 0 x86_64:12,9,9,9,9"]);
}

#[test]
fn users_half_leads_to_the_kernels_half_when_the_symbol_of_the_root_is_out_of_reach() {
    // Without `phys_base`, as before 4.10. The user's half does not map `_stext`.
    let (.., lines) = set_up(&in_user_mode(), &x86_64(), Peer::Less);
    let expected = ["ffff888000000000-ffff88800fffffff DIRECT", "ffffffff81000000-ffffffff81ffffff KTEXT"];
    assert_eq!(special(&lines), expected);
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 1:1800000 0 x86_64:12,9,9,9,9"]);
    // With one that is another kernel's, so that the root is not where it says.
    let options = Options { phys_base: Some(0x5000_0000), ..x86_64() };
    let (.., lines) = set_up(&in_user_mode(), &options, Peer::Less);
    assert_eq!(only(&lines, &["PGT"]), ["PGT pgt 1 1:1800000 0 x86_64:12,9,9,9,9"]);
    assert_eq!(special(&lines), expected[..1]);
}

#[test]
fn large_memory_in_pages_of_1_gib_is_scanned_quickly() {
    let base = 0xffff_8880_0000_0000;
    let mut machine = Machine::x86_64(4);
    machine.map_run(TEXT, 16 * MIB, 16 * MIB, 21);
    machine = machine.symbol("_stext", TEXT).symbol("init_top_pgt", TEXT + 8 * MIB);
    machine.map_run(base, 0, G1, 21);
    machine.map_run(base + G1, G1, (64 << 40) - G1, 30);
    let start = std::time::Instant::now();
    let (.., lines) = set_up(&machine, &with_base(TEXT), Peer::Same);
    assert_eq!(special(&lines)[0], "ffff888000000000-ffffc7ffffffffff DIRECT");
    println!("64 TiB: {:?} with the peer", start.elapsed());
}

#[test]
fn number_of_levels_follows_from_tables_if_nothing_tells_it() {
    for (levels, base) in [(4, 0xffff_9c45_4000_0000), (5, 0xff2c_0123_c000_0000)] {
        let mut machine = kernel(levels, base, TEXT);
        // Stacks that a reader of 4 levels takes for text.
        if levels == 5 {
            machine.map_run(0xffff_ff00_0000_0000, 0x700_0000, 16 * PAGE, 12);
        }
        machine.symbols.clear();
        let machine = machine.register("cr3", 0x180_0000);
        let (.., lines) = set_up(&machine, &x86_64(), Peer::Less);
        let direct = format!("{base:x}-{:x} DIRECT", base + RAM - 1);
        assert_eq!(special(&lines), [&direct, "ffffffff81000000-ffffffff81ffffff KTEXT"]);
        let form = if levels == 5 { "12,9,9,9,9,9" } else { "12,9,9,9,9" };
        assert_eq!(only(&lines, &["PGT"]), [format!("PGT pgt 1 1:1800000 0 x86_64:{form}")]);
    }
}

#[test]
fn what_is_missing_or_impossible_is_said() {
    let says = |machine: &Machine, options: &Options, text: &str| {
        let (.., lines) = outcome(machine, options);
        assert_eq!(lines[0], text);
    };
    let bare = Machine::x86_64(4);
    let (.., lines) = outcome(&bare, &Options::default());
    assert_eq!(lines[0], "5: Cannot determine architecture");
    for arch in ["ppc64le", "amd64", "i786", "X86_64", ""] {
        let options = Options { arch: Some(arch.into()), ..Options::default() };
        says(&bare, &options, "1: Unsupported architecture");
    }
    says(&bare, &x86_64(), "5: Cannot determine 5-level paging");
    let newer = Options { version_code: Some(0x4_0d00), ..x86_64() };
    says(&bare, &newer, "5: Cannot determine 5-level paging");
    let unknown = Options { os: None, ..x86_64() };
    says(&bare, &unknown, "1: Cannot determine 5-level paging");
    let strange = Options { virt_bits: Some(52), ..x86_64() };
    says(&bare, &strange, "1: 52-bit virtual addresses not implemented");
    let broken = bare.clone().symbol("init_top_pgt!", 9);
    let (.., lines) = outcome(&broken, &Options { virt_bits: Some(48), ..x86_64() });
    assert_eq!(
        lines[0],
        "-9: Cannot determine root page table: Cannot resolve \"init_top_pgt\": \
         Cannot resolve \"init_top_pgt\": broken"
    );
    let broken = bare.symbol("_stext!", 9).register("cr4", 0);
    let (.., lines) = outcome(&broken, &x86_64());
    assert_eq!(
        lines[0],
        "-9: Cannot set up Linux kernel text mapping: Cannot translate ktext: Cannot resolve \"_stext\": broken"
    );
}
