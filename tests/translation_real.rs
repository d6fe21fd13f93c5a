//! Real dumps read by virtual address, through a context alone: opened, told
//! which system it is, and read.

mod context_support;

use context_support::set_text;
use kdumpfile::{Context, Space};
use kdumpfile_testkit::dumps::{RealDump, fresh_dumps, real_dumps};
use kdumpfile_testkit::truth::Translation;

const VIRTUAL: Space = Space::KernelVirtual;

fn opened(real: &RealDump) -> Context {
    let dump = Context::new();
    #[cfg(feature = "std")]
    dump.open_paths(&real.files).unwrap();
    #[cfg(not(feature = "std"))]
    {
        use kdumpfile::sync::Shared;
        let read = |file| Shared::new(std::fs::read(file).unwrap()) as kdumpfile::io::Source;
        dump.open(real.files.iter().map(read).collect()).unwrap();
    }
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    dump
}

/// What the emulator found, or, where none was asked, the reference; its
/// mistakes are named in the README of the dumps.
fn truths(real: &RealDump) -> Vec<Translation> {
    let truth = real.truth();
    let mut found = truth.emulator_translations();
    // The emulator goes one step further: a processor's accesses to the first
    // two pages are moved to its own lowcore (prefixing). A dump has these by
    // absolute address.
    if truth.arch() == "s390x" {
        found.retain(|translation| translation.kvaddr >= 0x2000);
    }
    if found.is_empty() {
        found = truth.as_opened().translations();
        // Those of modules of ppc64 are taken for the direct mapping.
        if truth.arch() == "ppc64" {
            found.retain(|translation| !translation.name.ends_with(']'));
        }
    }
    found
}

#[test]
fn kernel_addresses_lead_to_where_the_emulator_has_them() {
    let mut dumps = 0;
    for real in real_dumps().unwrap_or_default().into_iter().chain(fresh_dumps()) {
        let dump = opened(&real);
        let (pages, page_size) =
            (dump.bitmap("file.pagemap").unwrap(), dump.number("arch.page_size").unwrap());
        let known = real.truth();
        let reference = known.with_arch_name().unwrap_or_else(|| known.as_opened());
        let (mut addresses, mut blocks, mut wrong) = (0, 0, Vec::new());
        for truth in truths(&real) {
            let Some(expected) = truth.kphys else { continue };
            match dump.translate_address(VIRTUAL, truth.kvaddr, Space::KernelPhysical) {
                Ok(found) if found == expected => addresses += 1,
                found => wrong.push(format!("{}: {found:x?}, expected {expected:#x}", truth.name)),
            }
            // Where the guest's RAM is not known, bytes of the reference count
            // if it found the right place.
            let by_reference = || {
                let mut all = reference.translations().into_iter();
                let trusted = all.any(|t| t.name == truth.name && t.kphys == Some(expected));
                reference.bytes_at(&truth.name).filter(|_| trusted)
            };
            let bytes = known.emulator_bytes(&truth.name).or_else(by_reference);
            // The reference reads zeroes next to a segment of an ELF file, too.
            let stored = pages.find_set(expected / page_size) == Ok(expected / page_size);
            let Some(bytes) = bytes.filter(|_| stored) else { continue };
            let mut found = vec![0; bytes.len()];
            match dump.read(VIRTUAL, truth.kvaddr, &mut found) {
                Ok(()) if found == bytes => blocks += 1,
                outcome => wrong.push(format!("{}: {outcome:?}", truth.name)),
            }
        }
        assert!(wrong.is_empty(), "{}:\n{}", real.name, wrong.join("\n"));
        assert!(addresses > 0, "{}: nothing to compare", real.name);
        println!("{}: {addresses} addresses, {blocks} blocks of bytes", real.name);
        dumps += 1;
    }
    println!("{dumps} dumps");
}

#[test]
fn banner_of_the_kernel_is_read_by_its_virtual_address() {
    for real in real_dumps().unwrap_or_default().into_iter().chain(fresh_dumps()) {
        let banner = truths(&real).into_iter().find(|truth| truth.name == "linux_banner");
        let Some(banner) = banner else {
            println!("{}: no address of linux_banner is known", real.name);
            continue;
        };
        let text = opened(&real).read_string(VIRTUAL, banner.kvaddr).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(text.starts_with("Linux version "), "{}: {text:?}", real.name);
        if let Some(expected) = real.truth().banner() {
            assert_eq!(text.trim_end(), expected.trim_end(), "{}", real.name);
        }
    }
}
