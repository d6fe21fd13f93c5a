//! Real dumps of x86_64 and ia32: each address translates to where the
//! emulator has it.

#[path = "xlat_support/dump.rs"]
mod dump;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{Chain, Ctx, MapIndex, System};
use kdumpfile_testkit::dumps::{RealDump, fresh_dumps, real_dumps};

fn dumps_of(arch: &str) -> Vec<RealDump> {
    let dumps = real_dumps().unwrap_or_default().into_iter().chain(fresh_dumps());
    dumps.filter(|real| real.truth().arch() == arch).collect()
}

#[test]
fn x86_64_dumps_translate_as_the_emulator_did() {
    for real in dumps_of("x86_64") {
        let (ctx, sys) = dump::set_up(&real, Some("x86_64"));
        let (addresses, blocks) = dump::check(&real, &ctx, &sys, &[]);
        println!("{}: {addresses} addresses, {blocks} blocks of 64 bytes", real.name);
        for map in MapIndex::ALL {
            println!("  {map:?} {:?}", dump::print(&sys, map));
        }
    }
}

/// Sets a dump up without its VMCOREINFO, from the root of its page tables.
fn blind(real: &RealDump, arch: &str, root: &str, phys_bits: Option<u64>) -> (Ctx, System) {
    let root = dump::truths(real).into_iter().find(|truth| truth.name == root).unwrap();
    let memory = dump::Dump::new(dump::open(real, Some(arch)));
    let blind = dump::Blind { memory, registers: vec![("cr3", root.kphys.unwrap())] };
    let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(blind))));
    let os = Some(OsType::Linux);
    let options = Options { arch: Some(arch.into()), os, phys_bits, ..Options::default() };
    let mut sys = System::new();
    os::init(&mut sys, &ctx, &options).unwrap_or_else(|error| panic!("{}: {error}", real.name));
    (ctx, sys)
}

#[test]
fn x86_64_dumps_translate_from_cr3_alone() {
    for real in dumps_of("x86_64") {
        let (ctx, sys) = blind(&real, "x86_64", "init_top_pgt", None);
        dump::check(&real, &ctx, &sys, &[]);
        let (_, full) = dump::set_up(&real, Some("x86_64"));
        for map in MapIndex::ALL {
            assert_eq!(dump::print(&sys, map), dump::print(&full, map), "{}", real.name);
        }
    }
}

#[test]
fn ia32_dumps_translate_from_cr3_alone() {
    for real in dumps_of("ia32") {
        let (ctx, sys) = blind(&real, "ia32", "swapper_pg_dir", Some(52));
        dump::check(&real, &ctx, &sys, &[]);
    }
}

#[test]
fn ia32_dumps_translate_as_the_emulator_did() {
    for real in dumps_of("ia32") {
        let (ctx, sys) = dump::set_up(&real, Some("ia32"));
        let (addresses, blocks) = dump::check(&real, &ctx, &sys, &[]);
        println!("{}: {addresses} addresses, {blocks} blocks of 64 bytes", real.name);
        for map in MapIndex::ALL {
            println!("  {map:?} {:?}", dump::print(&sys, map));
        }
    }
}
