//! Real dumps of AArch64: each address translates to where the emulator has it.

#[path = "xlat_support/dump.rs"]
mod dump;

use kdumpfile::xlat::os::{self, Options};
use kdumpfile::xlat::{AddrSpace, FullAddr, MapIndex, Status, System};
use kdumpfile_testkit::dumps::{RealDump, fresh_dumps, real_dumps};

fn dumps() -> Vec<RealDump> {
    let dumps = real_dumps().unwrap_or_default().into_iter().chain(fresh_dumps());
    dumps.filter(|real| real.truth().arch() == "aarch64").collect()
}

#[test]
fn dumps_translate_as_the_emulator_did() {
    for real in dumps() {
        let (ctx, sys) = dump::set_up(&real, None);
        let (addresses, blocks) = dump::check(&real, &ctx, &sys, &[]);
        println!("{}: {addresses} addresses, {blocks} blocks of 64 bytes", real.name);
        for map in MapIndex::ALL {
            println!("  {map:?} {:?}", dump::print(&sys, map));
        }
    }
}

#[test]
fn addresses_that_the_emulator_did_not_find_are_not_mapped() {
    for real in dumps() {
        let (ctx, sys) = dump::set_up(&real, None);
        for truth in dump::truths(&real).into_iter().filter(|truth| truth.kphys.is_none()) {
            let found = ctx.convert(Some(&sys), AddrSpace::KPHYS, FullAddr::kvirt(truth.kvaddr));
            let status = found.map_err(|error| error.status());
            assert_eq!(status, Err(Status::NotPresent), "{} {:#x}", truth.name, truth.kvaddr);
        }
    }
}

#[test]
fn root_that_is_given_needs_no_symbols() {
    for real in dumps() {
        let (ctx, sys) = dump::set_up(&real, None);
        let root = FullAddr::kvirt(ctx.symbol_value("swapper_pg_dir").unwrap());
        let root = ctx.convert(Some(&sys), AddrSpace::MACHPHYS, root).unwrap();

        let options = dump::options(&dump::open(&real, None));
        let virt_bits = ctx.number("VA_BITS").ok();
        let options = Options { root: Some(root), virt_bits, ..options };
        let mut again = System::new();
        os::init(&mut again, &ctx, &options).unwrap();
        dump::check(&real, &ctx, &again, &[]);
        for map in MapIndex::ALL {
            assert_eq!(dump::print(&again, map), dump::print(&sys, map), "{}: {map:?}", real.name);
        }
    }
}
