//! One paused guest with a booted kernel, by three ways out of QEMU: streams
//! of `savevm` and `migrate`, `dump-guest-memory`, and its RAM as it is.
//!
//! `ci/fresh-dumps.sh` makes them, in the folder that `KDUMPFILE_FRESH_DUMPS`
//! names; does nothing without.
#![cfg(feature = "std")]

mod context_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use context_support::{set_text, vmcoreinfo};
use kdumpfile::{Context, Space};
use kdumpfile_testkit::dumps::{fresh_facts, fresh_folder};
use kdumpfile_testkit::truth::Truth;

const PAGE: usize = 4096;

/// Machine states of the guest.
const STREAMS: [&str; 2] = ["savevm.stream", "migrate.stream"];
/// Dumps of the same state.
const DUMPS: [&str; 3] = ["qemu.elf", "qemu.kdump-zlib", "qemu-paging.elf"];

/// PFNs at which the processor sees the video card, whose window hides RAM: a
/// stream has that RAM, `pmemsave` the window, and a dump nothing.
const VIDEO_WINDOW: (u64, u64) = (0xa0, 0xbf);
/// What only dumps have: the video card's own memory, at its PCI address, and
/// the firmware below 4 GiB.
const VIDEO_MEMORY: (u64, u64) = (0xf_d000, 0xf_dfff);
const FIRMWARE: (u64, u64) = (0xf_ffc0, 0xf_ffff);
/// What a dump tells of each CPU and a machine state does not: PRSTATUS has a
/// number of the interrupted system call, and QEMU's own note a register that
/// no processor has.
const ONLY_IN_DUMPS: [&str; 2] = ["cr1", "orig_rax"];

/// The folder of the fresh dumps, and what is known about this guest.
fn guest() -> Option<(PathBuf, Truth)> {
    Some((fresh_folder()?, fresh_facts("dump")?))
}

fn open(path: PathBuf) -> Context {
    let dump = Context::new();
    dump.open_paths(&[&path]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    dump
}

fn ranges(dump: &Context) -> Vec<(u64, u64)> {
    dump.bitmap("file.pagemap").unwrap().ranges().map(Result::unwrap).collect()
}

fn page(dump: &Context, pfn: u64) -> [u8; PAGE] {
    let mut bytes = [0x5a; PAGE];
    dump.read(Space::MachinePhysical, pfn * PAGE as u64, &mut bytes).unwrap();
    bytes
}

/// All registers of all CPUs.
fn registers(dump: &Context) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for cpu in 0..dump.number("cpu.number").unwrap() {
        let path = format!("cpu.{cpu}.reg");
        for name in context_support::keys(dump, Some(&path)) {
            let path = format!("{path}.{name}");
            let value = dump.number(&path).unwrap();
            found.insert(path, value);
        }
    }
    found
}

/// Adds a PFN to ascending ranges of them.
fn push(ranges: &mut Vec<(u64, u64)>, pfn: u64) {
    match ranges.last_mut() {
        Some((_, last)) if *last + 1 == pfn => *last = pfn,
        _ => ranges.push((pfn, pfn)),
    }
}

fn contains((first, last): (u64, u64), pfn: u64) -> bool {
    (first..=last).contains(&pfn)
}

#[test]
fn pages_of_machine_states_and_dumps_of_a_booted_guest_are_equal() {
    let Some((folder, _)) = guest() else { return };
    let ram = fs::read(folder.join("ram.raw")).unwrap();
    let pages = (ram.len() / PAGE) as u64;
    for stream_name in STREAMS {
        let stream = open(folder.join(stream_name));
        assert_eq!(ranges(&stream), [(0, pages - 1)], "{stream_name}");
        for name in DUMPS {
            let dump = open(folder.join(name));
            let (mut equal, mut others) = (0, Vec::new());
            for pfn in ranges(&dump).into_iter().flat_map(|(first, last)| first..=last) {
                if pfn < pages {
                    assert!(page(&stream, pfn) == page(&dump, pfn), "{stream_name}, {name}: page {pfn:#x}");
                    equal += 1;
                } else {
                    push(&mut others, pfn);
                }
            }
            println!("{stream_name}, {name}: {equal} pages equal, others {others:x?}");
            if name.contains("paging") {
                // What no page table leads to is not in there.
                assert!(equal > pages * 9 / 10, "{name}: {equal} pages");
                assert!(others.iter().all(|&(first, last)| {
                    [VIDEO_MEMORY, FIRMWARE]
                        .iter()
                        .any(|area| contains(*area, first) && contains(*area, last))
                }));
            } else {
                assert_eq!(equal, pages - (VIDEO_WINDOW.1 + 1 - VIDEO_WINDOW.0), "{name}");
                assert_eq!(others, [VIDEO_MEMORY, FIRMWARE], "{name}");
            }
        }
        let mut different = Vec::new();
        for (pfn, bytes) in (0..).zip(ram.chunks_exact(PAGE)) {
            if page(&stream, pfn) != bytes {
                push(&mut different, pfn);
            }
        }
        assert!(
            different
                .iter()
                .all(|&(first, last)| { contains(VIDEO_WINDOW, first) && contains(VIDEO_WINDOW, last) }),
            "{stream_name}: {different:x?}"
        );
    }
}

#[test]
fn registers_of_machine_states_and_dumps_of_a_booted_guest_are_equal() {
    let Some((folder, _)) = guest() else { return };
    for stream_name in STREAMS {
        let ours = registers(&open(folder.join(stream_name)));
        assert!(ours["cpu.0.reg.cr3"] != 0 && ours["cpu.1.reg.rip"] >> 63 == 1, "{ours:x?}");
        for name in DUMPS {
            let mut theirs = registers(&open(folder.join(name)));
            for cpu in 0..2 {
                for only in ONLY_IN_DUMPS {
                    assert!(theirs.remove(&format!("cpu.{cpu}.reg.{only}")).is_some(), "{name}: {only}");
                }
            }
            assert_eq!(ours, theirs, "{stream_name}, {name}");
        }
        println!("{stream_name}: {} registers", ours.len());
    }
}

/// Reads what the emulator found by its own page tables.
fn check_addresses(dump: &Context, truth: &Truth, name: &str) {
    set_text(dump, "addrxlat.ostype", "linux").unwrap();
    let text = dump.read_string(Space::KernelVirtual, truth.symbol("linux_banner").unwrap()).unwrap();
    assert_eq!(String::from_utf8(text).unwrap().trim_end(), truth.banner().unwrap(), "{name}");
    let (mut addresses, mut blocks) = (0, 0);
    for known in truth.emulator_translations() {
        let Some(kphys) = known.kphys else { continue };
        let found = dump.translate_address(Space::KernelVirtual, known.kvaddr, Space::KernelPhysical);
        assert_eq!(found.unwrap(), kphys, "{name}: {}", known.name);
        addresses += 1;
        let Some(expected) = truth.emulator_bytes(&known.name) else { continue };
        let mut bytes = vec![0; expected.len()];
        dump.read(Space::KernelVirtual, known.kvaddr, &mut bytes).unwrap();
        assert_eq!(bytes, expected, "{name}: {}", known.name);
        blocks += 1;
    }
    assert!(blocks > 0, "{name}: nothing to compare");
    println!("{name}: {addresses} addresses, {blocks} blocks of bytes");
}

#[test]
fn virtual_addresses_are_read_from_machine_states_with_the_vmcoreinfo_that_a_search_finds() {
    let Some((folder, truth)) = guest() else { return };
    for name in STREAMS {
        let dump = open(folder.join(name));
        let found: Vec<_> = dump.scan_vmcoreinfo().unwrap().map(Result::unwrap).collect();
        let note = found.iter().find(|found| found.note).unwrap();
        assert_eq!(note.text, truth.vmcoreinfo().unwrap().as_bytes(), "{name}");
        vmcoreinfo(&dump, &note.text).unwrap();
        check_addresses(&dump, &truth, name);
    }
}

#[test]
fn virtual_addresses_are_read_from_machine_states_with_the_vmcoreinfo_of_the_user() {
    let Some((folder, truth)) = guest() else { return };
    for name in STREAMS {
        let dump = open(folder.join(name));
        vmcoreinfo(&dump, truth.vmcoreinfo().unwrap()).unwrap();
        check_addresses(&dump, &truth, name);
    }
}
