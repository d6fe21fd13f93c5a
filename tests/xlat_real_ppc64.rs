//! A real kernel on POWER with a radix tree of 64 KiB pages.
//!
//! No emulator was asked where its addresses are, and the reference takes all
//! of them for the direct mapping. So the tree is held against what else the
//! dump tells: the direct mapping, the list of the parts of the array of page
//! structures, and the code of a module.

#[path = "xlat_support/dump.rs"]
mod dump;

use kdumpfile::xlat::{AddrSpace, Ctx, FullAddr, MapIndex, MethodIndex, Step, System, Walker};
use kdumpfile_testkit::dumps::{RealDump, real_dumps};

fn ppc64_dumps() -> Vec<(RealDump, Ctx, System)> {
    let dumps = real_dumps().unwrap_or_default().into_iter();
    dumps
        .filter(|real| real.truth().arch() == "ppc64")
        .map(|real| {
            let (ctx, sys) = dump::set_up(&real, None);
            (real, ctx, sys)
        })
        .collect()
}

fn symbol(real: &RealDump, name: &str) -> u64 {
    let path = format!("linux.vmcoreinfo.SYMBOL.{name}");
    dump::open(real, None).address(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn read(ctx: &Ctx, sys: &System, addr: u64) -> u64 {
    ctx.read_u64(Some(sys), FullAddr::kvirt(addr), "word").unwrap()
}

fn kphys(ctx: &Ctx, sys: &System, addr: u64) -> u64 {
    let found = ctx.convert(Some(sys), AddrSpace::KPHYS, FullAddr::kvirt(addr));
    found.unwrap_or_else(|error| panic!("{addr:#x}: {error}")).addr
}

/// Names of modules' symbols end in the name of the module.
fn is_module(name: &str) -> bool {
    name.ends_with(']')
}

#[test]
fn symbols_of_the_kernel_translate_as_the_reference_says() {
    for (real, ctx, sys) in ppc64_dumps() {
        let names: Vec<_> = dump::truths(&real).into_iter().map(|truth| truth.name).collect();
        // The README of the dumps: those of modules come out wrong there.
        let except: Vec<_> = names.iter().map(String::as_str).filter(|name| is_module(name)).collect();
        let (addresses, blocks) = dump::check(&real, &ctx, &sys, &except);
        eprintln!("{}: {addresses} addresses, {blocks} blocks of 64 bytes", real.name);
        assert_eq!((addresses, blocks), (4, 4));
    }
}

#[test]
fn functions_of_a_module_are_where_their_code_says() {
    for (real, ctx, sys) in ppc64_dumps() {
        let functions = dump::truths(&real).into_iter().filter(|truth| is_module(&truth.name));
        let mut tocs: Vec<u64> = functions
            .map(|function| {
                // ELFv2: "addis r2,r12,HIGH; addi r2,r2,LOW" makes the address
                // of the module's table of contents from that of the function.
                let code = read(&ctx, &sys, function.kvaddr);
                let (addis, addi) = (code as u32, (code >> 32) as u32);
                assert_eq!((addis >> 16, addi >> 16), (0x3c4c, 0x3842), "{}", function.name);
                let low = i64::from(addi as i16);
                let high = i64::from(addis as i16) << 16;
                function.kvaddr.wrapping_add_signed(high + low)
            })
            .collect();
        assert!(tocs.len() > 1, "{}", real.name);
        tocs.dedup();
        assert_eq!(tocs.len(), 1, "one table of contents for all functions: {tocs:x?}");
    }
}

#[test]
fn tree_and_direct_mapping_agree_on_all_of_memory() {
    for (real, ctx, sys) in ppc64_dumps() {
        let walker = Walker::new(&ctx, Some(&sys), sys.method(MethodIndex::PGT).unwrap());
        for page in 0..dump::open(&real, None).number("max_pfn").unwrap() {
            let phys = (page << 16) + 0x1234;
            let mut step = Step::new(FullAddr::kvirt(0xc000_0000_0000_0000 + phys));
            walker.walk(&mut step).unwrap();
            assert_eq!(step.base, FullAddr::machphys(phys));
        }
    }
}

#[test]
fn tree_maps_page_structures_where_the_list_of_the_kernel_says() {
    for (real, ctx, sys) in ppc64_dumps() {
        let mut elem = read(&ctx, &sys, symbol(&real, "vmemmap_list"));
        let mut parts = 0;
        while elem != 0 {
            let (next, phys, virt) =
                (read(&ctx, &sys, elem), read(&ctx, &sys, elem + 8), read(&ctx, &sys, elem + 16));
            assert_eq!(kphys(&ctx, &sys, virt), phys);
            elem = next;
            parts += 1;
        }
        assert_eq!(parts, 1);
    }
}

#[test]
fn maps_are_those_of_a_radix_tree() {
    for (_, _, sys) in ppc64_dumps() {
        assert_eq!(
            dump::print(&sys, MapIndex::KvPhys),
            [
                "0-fffffffffffff: UPGT",
                "10000000000000-bfffffffffffffff: NONE",
                "c000000000000000-c007ffffffffffff: DIRECT",
                "c008000000000000-c00fffffffffffff: PGT",
                "c010000000000000-ffffffffffffffff: NONE",
            ]
        );
        // MAX_PHYSMEM_BITS of this kernel is 51: devices are up there.
        let physical = ["0-7ffffffffffff: MACHPHYS_KPHYS", "8000000000000-ffffffffffffffff: NONE"];
        assert_eq!(dump::print(&sys, MapIndex::MachphysKphys), physical);
    }
}
