//! Translating addresses on the command line: the sample, real dumps against
//! what the emulator found in the page tables of the guest, and built dumps.

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use common::{file, real_dumps, run, run_on, run_with_parts};
use kdumpfile::{Context, Space};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::dumps::{self, RealDump};
use kdumpfile_testkit::elf::{ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{NoteWriter, Vmcoreinfo};
use serde_json::{Value, json};

/// Where `linux_banner` of the sample is.
const BANNER: &str = "ffffffff8211fa00";

/// Virtual addresses that a dump reader does not see as the emulator's CPU does:
/// on s390x the first two pages are those of one CPU, elsewhere in memory.
const OF_ONE_CPU: [(&str, [&str; 2]); 1] = [("s390x-6.1.qemu-kdump-zlib", ["extra:0", "extra:1000"])];

/// Options that tell a dump what it does not say: the first VMCOREINFO in its
/// memory, if it has none itself.
fn options(dump: &RealDump) -> Vec<String> {
    if run_on(dump, "vmcoreinfo", &[]).code == Some(0) {
        return Vec::new();
    }
    let text = run_on(dump, "vmcoreinfo", &["--use", "1"]).ok().stdout;
    let path = file(&format!("{}.vmcoreinfo", dump.name), &text);
    vec!["--vmcoreinfo".into(), path.to_str().unwrap().into()]
}

/// Addresses with their physical addresses (none: not mapped). Where nobody
/// asked the emulator, what the reference says of addresses it has right.
fn expected(dump: &RealDump) -> BTreeMap<String, (String, Option<String>)> {
    let text = |value: &Value| value.as_str().map(String::from);
    let row =
        |(name, row): (&String, &Value)| (name.clone(), (text(&row["kvaddr"]).unwrap(), text(&row["kphys"])));
    match &dump.truth["emulator_translations"] {
        Value::Object(map) => map.iter().map(row).collect(),
        _ => {
            let map = dump.truth["reference"]["as_opened"]["xlat"].as_object().unwrap();
            // Beyond the direct mapping it is wrong on POWER.
            let linear = |address: &str| dump.truth().arch() != "ppc64" || address < "c008";
            map.iter().map(row).filter(|(_, (address, _))| linear(address)).collect()
        }
    }
}

#[test]
fn addresses_translate_as_the_emulator_found_them_mapped() {
    let mut compared = 0;
    for dump in real_dumps() {
        let mut expected = expected(&dump);
        for (_, names) in OF_ONE_CPU.iter().filter(|row| row.0 == dump.name) {
            expected.retain(|name, _| !names.contains(&&**name));
        }
        let options = options(&dump);
        let mut args: Vec<&str> = vec!["--json"];
        args.extend(options.iter().map(String::as_str));
        args.extend(expected.values().map(|row| &*row.0));
        let done = run_with_parts(&dump, "xlat", &args);
        let list = done.json();
        let list = list.as_array().unwrap();
        assert_eq!(list.len(), expected.len());
        for ((name, (kvaddr, kphys)), row) in expected.iter().zip(list) {
            assert_eq!(row["kvaddr"], json!(kvaddr), "{}: {name}", dump.name);
            assert_eq!(row["kphys"], json!(kphys), "{}: {name}: {row}", dump.name);
            assert_eq!(row["machphys"], json!(kphys), "{}: {name}: {row}", dump.name);
            assert_eq!(row["error"].is_null(), kphys.is_some(), "{}: {name}: {row}", dump.name);
        }
        let mapped = expected.values().all(|row| row.1.is_some());
        assert_eq!(done.code, Some(if mapped { 0 } else { 1 }), "{}: {}", dump.name, done.stderr);
        compared += expected.len();
    }
    eprintln!("{compared} addresses compared");
}

#[test]
fn the_banner_of_the_kernel_is_read_by_its_virtual_address() {
    for dump in real_dumps() {
        let truth = dump.truth();
        let (Some(address), Some(banner)) = (truth.symbol("linux_banner"), truth.banner()) else {
            eprintln!("skipped: {} does not say where linux_banner is", dump.name);
            continue;
        };
        let (address, length) = (format!("{address:#x}"), banner.len().to_string());
        let options = options(&dump);
        let mut args = vec!["--virt", &address, &length, "--raw"];
        args.extend(options.iter().map(String::as_str));
        let read = run_with_parts(&dump, "read", &args).ok();
        assert_eq!(String::from_utf8_lossy(&read.stdout), banner, "{}", dump.name);
    }
}

#[test]
fn bytes_at_virtual_addresses_are_those_of_the_ground_truth() {
    for dump in real_dumps() {
        let expected = expected(&dump);
        let reference = &dump.truth["reference"]["as_opened"]["xlat"];
        let with_bytes = expected.iter().filter_map(|(name, row)| {
            let bytes = reference[name]["bytes64"].as_str()?;
            row.1.as_ref().map(|_| (&row.0, bytes))
        });
        for (address, bytes) in with_bytes.step_by(5) {
            let address = format!("0x{address}");
            let read = run_with_parts(&dump, "read", &["--json", "--virt", &address, "64"]).ok().json();
            assert_eq!(read["bytes"], json!(bytes), "{}: {address}", dump.name);
        }
    }
}

#[test]
fn each_entry_of_a_walk_is_what_memory_holds() {
    for dump in real_dumps() {
        // Big-endian entries also on little-endian machines.
        let big = ["ppc64", "s390x"].contains(&&*dump.truth().arch());
        let expected = expected(&dump);
        let options = options(&dump);
        let context = Context::new();
        context.open_paths(&dump.files).unwrap();
        let mut args = vec!["--json", "--walk"];
        args.extend(options.iter().map(String::as_str));
        args.extend(expected.values().filter(|row| row.1.is_some()).map(|row| &*row.0).step_by(7));
        let list = run_with_parts(&dump, "xlat", &args).ok().json();
        let mut entries = 0;
        for row in list.as_array().unwrap() {
            let walk = &row["walk"];
            let levels = walk["levels"].as_array().map_or(&[][..], Vec::as_slice);
            for level in levels.iter().filter(|level| level["space"] != "KVADDR") {
                let size = if walk["format"].as_str().unwrap().starts_with("ia32:") { 4 } else { 8 };
                let mut bytes = [0; 8];
                let address = hex(&level["address"]);
                context.read(Space::MachinePhysical, address, &mut bytes[..size]).unwrap();
                if big {
                    bytes.reverse();
                }
                assert_eq!(hex(&level["entry"]), u64::from_le_bytes(bytes), "{}: {row:#}", dump.name);
                assert!(!level["flags"].as_array().unwrap().is_empty(), "{}: {row:#}", dump.name);
                entries += 1;
            }
            // The last entry is the place of the page, and the fast way agrees.
            if !levels.is_empty() {
                let page = walk["page_bytes"].as_u64().unwrap();
                assert!(page >= 4096 && walk["error"].is_null(), "{}: {row:#}", dump.name);
            }
        }
        assert!(entries > 0, "{}: no entry was read", dump.name);
    }
}

fn hex(value: &Value) -> u64 {
    u64::from_str_radix(value.as_str().expect("hex digits"), 16).expect("hex digits")
}

/// What is wrong with the words of a page table of a process: not anything that
/// the program under test says.
fn words(context: &Context, address: u64) -> Option<Vec<u64>> {
    let mut bytes = vec![0; 4096];
    context.read(Space::MachinePhysical, address, &mut bytes).ok()?;
    Some(bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect())
}

/// The first page of 4 KiB that a table of `level` maps: its index path and
/// its physical address.
fn first_page(context: &Context, table: u64, level: u32) -> Option<(u64, u64)> {
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    let entries = words(context, table)?;
    // The lower half belongs to the process.
    let used = if level == 4 { 256 } else { 512 };
    entries.iter().take(used).enumerate().find_map(|(index, entry)| {
        let (present, huge) = (entry & 1 != 0, entry & 1 << 7 != 0);
        let place = (index as u64) << (12 + 9 * (level - 1));
        match (present, level) {
            (false, _) => None,
            // The table of an early mapping has no pages for processes.
            (true, 1) => (entry & 4 != 0).then_some((place, entry & ADDRESS)),
            (true, _) if huge => None,
            (true, _) => {
                let (below, page) = first_page(context, entry & ADDRESS, level - 1)?;
                Some((place | below, page))
            }
        }
    })
}

#[test]
fn a_process_is_translated_by_the_root_of_its_page_tables() {
    let Some(dump) = dumps::real_dump("kdump-x86_64.vmcore") else { return };
    let context = Context::new();
    context.open_paths(&dump.files).unwrap();
    // All processes have the kernel's last entry.
    let kernel =
        words(&context, dump.truth().symbol("init_top_pgt").unwrap() - 0xffff_ffff_8000_0000).unwrap();
    let mut found = 0;
    for range in context.bitmap("file.pagemap").unwrap().ranges() {
        let (first, last) = range.unwrap();
        for pfn in first..=last {
            let root = pfn << 12;
            let Some(entries) = words(&context, root) else { continue };
            if entries[511] != kernel[511] || entries[..256].iter().all(|entry| *entry == 0) {
                continue;
            }
            let Some((address, page)) = first_page(&context, root, 4) else { continue };
            let (root, address) = (format!("{root:x}"), format!("{address:x}"));
            let args = ["--json", "--walk", "--root", &root, &address];
            let list = run_with_parts(&dump, "xlat", &args).ok().json();
            assert_eq!(hex(&list[0]["kphys"]), page, "{list:#}");
            assert_eq!(list[0]["walk"]["root"], json!({"space": "MACHPHYSADDR", "address": root}));
            assert_eq!(list[0]["walk"]["page_bytes"], 4096);
            assert!(list[0]["walk"]["levels"][3]["flags"].as_array().unwrap().contains(&json!("user")));
            found += 1;
        }
    }
    assert!(found > 0, "the guest has processes");
}

#[test]
fn the_sample_translates_by_address_and_by_symbol() {
    let list =
        run(&["xlat", "sample:", "--json", BANNER, "0xffffffff8211fa00+10", "init_uts_ns+4"]).ok().json();
    let row =
        |virt: &str, phys: &str| json!({"kvaddr": virt, "kphys": phys, "machphys": phys, "error": null});
    assert_eq!(list[0], row(BANNER, "211fa00"));
    assert_eq!(list[1], row("ffffffff8211fa10", "211fa10"));
    let mut symbol = row("ffffffff82bf9b64", "2bf9b64");
    symbol["symbol"] = json!("init_uts_ns");
    assert_eq!(list[2], symbol);

    let text = run(&["xlat", "sample:", BANNER]).ok().text();
    assert_eq!(
        text,
        "kvaddr            kphys             machphys\n\
         ffffffff8211fa00  000000000211fa00  000000000211fa00\n"
    );
    let back = run(&["xlat", "sample:", "--from", "kphys", "--to", "kv", "211fa00"]).ok().text();
    assert_eq!(back, "kphys             kvaddr\n000000000211fa00  ffff88800211fa00\n");
}

#[test]
fn a_walk_shows_level_by_level_what_the_bits_mean() {
    let text = run(&["xlat", "sample:", "--walk", BANNER]).ok().text();
    let lines: Vec<&str> = text.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "  PGT x86_64:12,9,9,9,9, root KVADDR:0xffffffff82a10000",
            "  level     index  entry address              entry             meaning",
            "  4 pgd       511  KVADDR:0xffffffff82a10ff8  0000000002a15067  present writable user accessed",
            "  3 pud       510  MACHPHYSADDR:0x2a15ff0     0000000002a16063  present writable accessed",
            "  2 pmd        16  MACHPHYSADDR:0x2a16080     80000000020001e1  \
             present accessed dirty huge global nx",
            "  in a page of 2 MiB: MACHPHYSADDR:0x211fa00",
        ]
    );
    let walk = run(&["xlat", "sample:", "--walk", "--json", BANNER]).ok().json()[0]["walk"].clone();
    assert_eq!((walk["page_bytes"].as_u64(), walk["error"].is_null()), (Some(2 << 20), true));
    let last = json!({
        "level": 2, "name": "pmd", "index": 16, "space": "MACHPHYSADDR", "address": "2a16080",
        "entry": "80000000020001e1",
        "flags": ["present", "accessed", "dirty", "huge", "global", "nx"],
    });
    assert_eq!(walk["levels"][2], last);
    let help = run(&["xlat", "--help"]).ok().text();
    for key in ["method", "format", "root", "levels", "page_bytes", "error"] {
        let mut words = help.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        assert!(words.any(|word| word == key), "{key} is not in the help");
    }
}

#[test]
fn what_is_not_mapped_exits_with_1_and_the_rest_is_shown() {
    let done = run(&["xlat", "sample:", "--json", "--walk", "0", BANNER]);
    let list = done.json();
    assert_eq!(done.code, Some(1));
    assert_eq!((&list[0]["kphys"], &list[1]["kphys"]), (&json!(null), &json!("211fa00")));
    let error = list[0]["error"].as_str().unwrap();
    assert!(error.contains("not present"), "{error}");
    assert_eq!(list[0]["walk"]["levels"][0]["flags"], json!(["none"]));
    assert_eq!(list[0]["walk"]["page_bytes"], json!(null));
    let expected = format!(
        "kdumpfile: sample: 1 of 2 addresses cannot be translated, the first of them: kvaddr 0x0: {error}\n"
    );
    assert_eq!(done.stderr, expected);

    let done = run(&["xlat", "sample:", "no_such_symbol"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("no_such_symbol: Symbol not found\nhint: "), "{}", done.stderr);
    assert!(done.stderr.contains("--kallsyms"), "{}", done.stderr);
}

#[test]
fn symbols_come_from_files_as_well() {
    let kallsyms = file("kallsyms", format!("0000000000000000 A zero\n{BANNER} D linux_banner\n").as_bytes());
    let expected = b"Linux version 6.1.0";
    for option in ["--kallsyms", "--system-map"] {
        let args = ["read", "sample:", "--symbol", "linux_banner", "19", "--raw", option];
        let args: Vec<_> = args.iter().map(PathBuf::from).chain([kallsyms.clone()]).collect();
        assert_eq!(run(&args).ok().stdout, expected);
    }
    let path = kallsyms.to_str().unwrap();
    let done = run(&["read", "sample:", "--symbol", "linux_banner+6", "7", "--raw", "--kallsyms", path]);
    assert_eq!(done.ok().stdout, b"version");
    let without = run(&["read", "sample:", "--symbol", "linux_banner", "19"]);
    assert_eq!((without.code, without.stdout.len()), (Some(1), 0));
    assert!(
        without.stderr.contains("linux_banner") && without.stderr.contains("hint: "),
        "{}",
        without.stderr
    );

    let hidden = file("kallsyms-hidden", b"0000000000000000 T _text\n0000000000000000 T _end\n");
    let done = run(&["xlat", "sample:", "_text", "--kallsyms", hidden.to_str().unwrap()]);
    assert!(done.code == Some(1) && done.stderr.contains("kptr_restrict"), "{}", done.stderr);
    let nothing = file("no-symbols", b"hello\n");
    let done = run(&["xlat", "sample:", "_text", "--system-map", nothing.to_str().unwrap()]);
    assert!(done.code == Some(1) && done.stderr.contains("no symbols in it"), "{}", done.stderr);
    let done = run(&["xlat", "sample:", "_text", "--kallsyms", "/nonexistent/kallsyms"]);
    assert!(done.code == Some(1) && done.stderr.contains("/nonexistent/kallsyms"), "{}", done.stderr);
}

#[test]
fn symbols_of_the_linker_move_as_far_as_the_kernel_did() {
    let map = b"0000000000000100 A percpu\nffffffff80000000 T _text\nffffffff8111fa00 R linux_banner\n\
                ffffffff83000000 B _end\nffffffffff600000 A vsyscall\n";
    let map = file("System.map", map);
    // The sample was not moved; this text says that it was.
    let text = run(&["vmcoreinfo", "sample:"]).ok().text();
    assert!(text.contains("\nKERNELOFFSET=0\n"), "{text}");
    let moved = text.replace("\nKERNELOFFSET=0\n", "\nKERNELOFFSET=1000000\n");
    let moved = file("vmcoreinfo-moved", moved.as_bytes());
    let more = ["--system-map", map.to_str().unwrap(), "--vmcoreinfo", moved.to_str().unwrap()];
    let addresses = |option: &str| {
        let more = [option, more[1], more[2], more[3]];
        let list =
            run(&[&["xlat", "sample:", "--json", "linux_banner", "percpu", "vsyscall"], &more[..]].concat());
        let list = list.json();
        [0, 1, 2].map(|row| list[row]["kvaddr"].as_str().unwrap().to_string())
    };
    assert_eq!(addresses("--system-map"), [BANNER, "100", "ffffffffff600000"]);
    assert_eq!(addresses("--kallsyms")[0], "ffffffff8111fa00");
}

/// Memory with page tables of x86_64 at 0x101000 that map one page at 0x400000
/// and a large one at 0x600000, and nothing else that tells of a kernel.
fn tables_alone(name: &str) -> PathBuf {
    let mut memory = vec![0; 16 << 12];
    let mut put = |table: usize, index: usize, entry: u64| {
        memory[(table << 12) + 8 * index..][..8].copy_from_slice(&entry.to_le_bytes());
    };
    put(1, 0, 0x10_2067);
    put(1, 1, 0x90_0067); // a table that is not in the dump
    put(2, 0, 0x10_3067);
    put(3, 2, 0x10_4067);
    put(3, 3, 0x20_00e7);
    put(4, 0, 0x8000_0000_0010_5067);
    put(4, 1, 0xdead_0000);
    let elf = ElfBuilder::for_arch(Arch::X86_64).segment(Segment::load(0x10_0000, memory)).build();
    file(name, &elf)
}

#[test]
fn page_tables_of_the_user_need_nothing_else_of_the_kernel() {
    let path = tables_alone("tables-alone");
    let path = path.to_str().unwrap();
    let command = ["xlat", path, "--json", "--walk", "--root", "101000"];
    let four_levels = ["--set", "addrxlat.force.virt_bits=48"];
    let list = |addresses: &[&str]| run(&[&command[..], &four_levels, addresses].concat());
    let done = list(&["400123", "612345"]).ok().json();
    assert_eq!((&done[0]["kphys"], &done[0]["machphys"]), (&json!("105123"), &json!("105123")));
    assert_eq!(
        done[0]["walk"]["levels"][3]["flags"],
        json!(["present", "writable", "user", "accessed", "dirty", "nx"])
    );
    assert_eq!((&done[1]["kphys"], &done[1]["walk"]["page_bytes"]), (&json!("212345"), &json!(2 << 20)));

    let done = list(&["401000", "8000000000"]);
    assert_eq!(done.code, Some(1));
    let done = done.json();
    assert_eq!(done[0]["walk"]["levels"][3]["flags"], json!(["not-present"]));
    let levels = done[1]["walk"]["levels"].as_array().unwrap();
    assert_eq!((levels.len(), &levels[1]["entry"]), (2, &json!(null)));
    assert_eq!(levels[1]["address"], "900000");
    assert!(done[1]["error"].as_str().unwrap().contains("0x900000"), "{done:#}");
    let text =
        run(&["xlat", path, "--walk", "--root", "101000", "8000000000", four_levels[0], four_levels[1]]);
    assert!(text.text().contains("MACHPHYSADDR:0x900000  not readable"), "{}", text.text());

    // How many levels there are is not known without that.
    let done = run(&[&command[..], &["400123"]].concat());
    assert!(done.code == Some(1) && done.stderr.contains("hint: "), "{}", done.stderr);
}

#[test]
fn maps_name_the_regions_of_the_kernel() {
    let maps = run(&["maps", "sample:", "--json"]).ok().json();
    assert_eq!((&maps["os"], &maps["arch"]), (&json!("linux"), &json!("x86_64")));
    assert_eq!(maps["error"], json!(null));
    let names: Vec<_> = maps["maps"].as_array().unwrap().iter().map(|map| map["name"].clone()).collect();
    assert_eq!(names, ["HW", "KV_PHYS", "KPHYS_DIRECT", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"]);
    for map in maps["maps"].as_array().unwrap() {
        // Ranges cover all of the space.
        let mut next = Some(0u64);
        for range in map["ranges"].as_array().unwrap() {
            assert_eq!(Some(hex(&range["first"])), next, "{map:#}");
            next = hex(&range["last"]).checked_add(1);
        }
        assert_eq!(next, None);
    }
    let direct = json!({"name": "DIRECT", "to": "KPHYSADDR", "kind": "linear", "offset": "778000000000"});
    assert!(maps["methods"].as_array().unwrap().contains(&direct), "{maps:#}");
    let regions: Vec<_> = maps["regions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|region| (&region["name"], &region["first"]))
        .collect();
    // The sample's kernel was booted without KASLR.
    let expected = [
        ("LDT remap", "ffff880000000000"),
        ("direct map", "ffff888000000000"),
        ("vmalloc", "ffffc90000000000"),
        ("vmemmap", "ffffea0000000000"),
        ("cpu entry area", "fffffe0000000000"),
        ("espfix stacks", "ffffff0000000000"),
        ("EFI", "ffffffef00000000"),
        ("kernel text", "ffffffff81000000"),
        ("modules", "ffffffffc0000000"),
        ("fixmap", "ffffffffff000000"),
        ("vsyscall", "ffffffffff600000"),
    ];
    assert_eq!(regions.len(), expected.len());
    for (region, expected) in regions.iter().zip(expected) {
        assert_eq!((region.0, region.1), (&json!(expected.0), &json!(expected.1)));
    }
    let text = run(&["maps", "sample:"]).ok().text();
    for line in [
        "KV_PHYS, from KVADDR\n",
        "  0000800000000000-ffff7fffffffffff  -\n",
        "  DIRECT          to KPHYSADDR     address + 0x778000000000\n",
        "  PGT             to MACHPHYSADDR  x86_64:12,9,9,9,9, root KVADDR:0xffffffff82a10000\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn regions_that_the_kernel_exports_are_listed() {
    let Some(dump) = dumps::real_dump("arm64-6.1.kdump-zlib-d31") else { return };
    let maps = run_on(&dump, "maps", &["--json"]).ok().json();
    let regions = maps["regions"].as_array().unwrap();
    let expected = json!({
        "name": "modules", "first": "ffff800000000000", "last": "ffff800007ffffff", "source": "NUMBER(MODULES_VADDR)"
    });
    assert!(regions.contains(&expected), "{maps:#}");
}

#[test]
fn addresses_of_the_ground_truth_are_in_the_regions_that_they_belong_to() {
    let mut checked = 0;
    for dump in real_dumps() {
        let options = options(&dump);
        let mut args = vec!["--json"];
        args.extend(options.iter().map(String::as_str));
        let maps = run_on(&dump, "maps", &args).json();
        for (name, (address, _)) in expected(&dump).iter().filter(|(_, row)| row.1.is_some()) {
            let kinds = match name.split_once(':') {
                // The kernel's list of vmalloc areas has those of modules.
                Some(("vmalloc", _)) => &["vmalloc", "modules"][..],
                Some(("vmemmap", _)) => &["vmemmap"],
                _ if name.ends_with(']') => &["modules"],
                _ => continue,
            };
            let regions = maps["regions"].as_array().unwrap();
            let known = |kind: &&&str| regions.iter().any(|region| region["name"] == **kind);
            if kinds.iter().filter(known).count() < kinds.len() {
                continue;
            }
            let address = u64::from_str_radix(address, 16).unwrap();
            let fits = |region: &Value| {
                let last = if region["last"].is_null() { u64::MAX } else { hex(&region["last"]) };
                kinds.iter().any(|kind| region["name"] == *kind)
                    && (hex(&region["first"])..=last).contains(&address)
            };
            assert!(regions.iter().any(fits), "{}: {name}: {address:x}: {maps:#}", dump.name);
            checked += 1;
        }
    }
    eprintln!("{checked} addresses are in their regions");
}

#[test]
fn registers_are_those_of_the_attributes() {
    for dump in real_dumps() {
        let attributes = run_on(&dump, "attr", &["--json", "--key", "cpu"]).ok().json();
        let cpus = run_with_parts(&dump, "regs", &["--json"]).ok().json();
        let mut registers = 0;
        for cpu in cpus.as_array().unwrap() {
            let number = cpu["cpu"].as_u64().unwrap();
            assert_eq!(cpu["pid"], attributes[format!("cpu.{number}.pid")]["value"], "{}", dump.name);
            for (name, value) in cpu["registers"].as_object().unwrap() {
                let attribute = &attributes[format!("cpu.{number}.reg.{name}")]["value"];
                assert_eq!(Some(hex(value)), attribute.as_u64(), "{}: {name}", dump.name);
                registers += 1;
            }
        }
        let all = attributes.as_object().unwrap().keys().filter(|key| key.contains(".reg.")).count();
        assert_eq!(registers, all, "{}", dump.name);
        let one = run_with_parts(&dump, "regs", &["0", "--json"]).ok().json();
        assert_eq!(one, json!([cpus[0]]), "{}", dump.name);
        let text = run_with_parts(&dump, "regs", &[]).ok().text();
        assert!(text.starts_with("CPU 0") && text.lines().all(|line| line.len() <= 80), "{text}");
    }
    let done = run(&["regs", "sample:", "2"]);
    assert_eq!((done.code, done.stdout.len()), (Some(1), 0));
    assert_eq!(
        done.stderr,
        "kdumpfile: sample: no registers of CPU 2\nhint: there are those of 2 CPUs, up to CPU 1\n"
    );
}

#[test]
fn vmcoreinfo_is_written_as_the_kernel_did() {
    for dump in real_dumps() {
        let Some(text) = dump.truth["reference"]["as_opened"]["vmcoreinfo_raw"].as_str() else { continue };
        let raw = run_on(&dump, "vmcoreinfo", &[]).ok().stdout;
        assert_eq!(String::from_utf8_lossy(&raw).trim_end(), text.trim_end(), "{}", dump.name);
        let json = run_on(&dump, "vmcoreinfo", &["--json"]).ok().json();
        assert_eq!((&json["os"], json["bytes"].as_u64()), (&json!("linux"), Some(raw.len() as u64)));
    }
}

/// A dump of memory without a note, and of two kernels: the crashed one, and
/// the one that was loaded to save it.
fn two_kernels(name: &str) -> PathBuf {
    let mut memory = vec![0; 64 << 12];
    let mut put = |page: usize, bytes: Vec<u8>| memory[page << 12..][..bytes.len()].copy_from_slice(&bytes);
    let text = |release: &str| Vmcoreinfo::linux(release, 4096).to_bytes();
    let note =
        |release: &str| NoteWriter::new(ByteOrder::Little).push("VMCOREINFO", 0, text(release)).finish();
    put(3, text("6.1.0-crashed"));
    put(4, note("6.1.0-crashed"));
    put(40, note("6.1.0-capture"));
    let elf = ElfBuilder::for_arch(Arch::X86_64).segment(Segment::load(0x10_0000, memory)).build();
    file(name, &elf)
}

#[test]
fn vmcoreinfo_is_found_in_memory_and_can_be_used() {
    let path = two_kernels("two-kernels");
    let path = path.to_str().unwrap();
    let none = run(&["vmcoreinfo", path]);
    assert_eq!((none.code, none.stdout.len()), (Some(1), 0));
    assert!(none.stderr.contains("linux.vmcoreinfo.raw is not set\nhint: --scan"), "{}", none.stderr);

    let list = run(&["vmcoreinfo", path, "--scan", "--json"]).ok().json();
    let row = |number, address, kind, release: &str, same_as: Option<u32>| {
        let bytes = Vmcoreinfo::linux(release, 4096).to_bytes().len();
        json!({
            "number": number, "address": address, "kind": kind, "os": "linux", "osrelease": release,
            "bytes": bytes, "same_as": same_as, "in_dump": false,
        })
    };
    assert_eq!(list[0], row(1, "103000", "text", "6.1.0-crashed", None));
    assert_eq!(list[1], row(2, "104018", "note", "6.1.0-crashed", Some(1)));
    assert_eq!(list[2], row(3, "128018", "note", "6.1.0-capture", None));
    assert_eq!(list.as_array().unwrap().len(), 3);
    let text = run(&["vmcoreinfo", path, "--scan"]).ok().text();
    assert!(text.contains("  2  0000000000104018  note  linux") && text.contains("(same as 1)"), "{text}");

    let used = run(&["vmcoreinfo", path, "--use", "3"]).ok().stdout;
    assert_eq!(used, Vmcoreinfo::linux("6.1.0-capture", 4096).to_bytes());
    let again = run(&["vmcoreinfo", path, "--use", "2"]).ok().stdout;
    assert_eq!(again, Vmcoreinfo::linux("6.1.0-crashed", 4096).to_bytes());
    let beyond = run(&["vmcoreinfo", path, "--use", "4"]);
    assert!(beyond.code == Some(1) && beyond.stderr.contains("3 found\nhint: --scan"), "{}", beyond.stderr);
}

#[test]
fn vmcoreinfo_of_the_user_must_be_one() {
    for (name, bytes) in [("not-vmcoreinfo", &b"hello\n"[..]), ("an-elf", b"\x7fELF\n=\n")] {
        let path = file(name, bytes);
        let done = run(&["maps", "sample:", "--vmcoreinfo", path.to_str().unwrap()]);
        assert_eq!((done.code, done.stdout.len()), (Some(1), 0));
        assert!(done.stderr.contains(name) && done.stderr.contains("hint: "), "{}", done.stderr);
    }
    let path = file("odd-vmcoreinfo", b"OSRELEASE=6.1.0\nPAGESIZE=3000\n");
    let done = run(&["maps", "sample:", "--vmcoreinfo", path.to_str().unwrap()]);
    assert!(done.code == Some(1) && done.stderr.contains("Invalid page size"), "{}", done.stderr);
}

#[test]
fn a_dump_without_vmcoreinfo_gets_an_advice() {
    let path = two_kernels("without-vmcoreinfo");
    let path = path.to_str().unwrap();
    let done = run(&["xlat", path, "ffffffff81000000"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("vmcoreinfo FILE --scan"), "{}", done.stderr);
    let done = run(&["read", path, "--virt", "0xffffffff81000000", "8"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("0 of 8 bytes") && done.stderr.contains("--scan"), "{}", done.stderr);
}

#[test]
fn attributes_can_be_set_before_translating() {
    let root = ["--set", "addrxlat.force.rootpgt.as=1", "--set", "addrxlat.force.rootpgt.addr=2a10000"];
    let maps = run(&[&["maps", "sample:", "--json"][..], &root].concat()).ok().json();
    let table = &maps["methods"][0];
    assert_eq!((&table["name"], &table["root"]["address"]), (&json!("PGT"), &json!("2a10000")));
    assert_eq!(table["root"]["space"], "MACHPHYSADDR");
}
