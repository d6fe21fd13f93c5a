//! A real kernel on s390x: every address that the emulator translated, and
//! what the lowcore of the dump leads to.

#[path = "xlat_support/dump.rs"]
mod dump;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::os::s390x_lowcore::{OsInfo, Vmcoreinfo, find_vmcoreinfo};
use kdumpfile::xlat::os::{self, Options};
use kdumpfile::xlat::{Callbacks, Error, FullAddr, Result};
use kdumpfile::xlat::{Caps, Chain, Ctx, MapIndex, Next, PageBuf, System};
use kdumpfile::{Context, Space};
use kdumpfile_testkit::dumps::{RealDump, real_dumps};

fn s390x_dumps() -> Vec<RealDump> {
    let dumps = real_dumps().unwrap_or_default().into_iter();
    dumps.filter(|real| real.truth().arch() == "s390x").collect()
}

fn memory(dump: &Context) -> impl FnMut(u64, &mut [u8]) -> kdumpfile::Result<()> + '_ {
    |addr, bytes| dump.read(Space::MachinePhysical, addr, bytes)
}

/// What VMCOREINFO says, for callbacks.
struct Symbols(String);

impl Symbols {
    fn line(&self, key: &str, radix: u32) -> Result<u64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.and_then(|value| u64::from_str_radix(value, radix).ok())
            .ok_or_else(|| Error::no_data("No such line"))
    }
}

impl Callbacks for Symbols {
    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.line(&format!("SYMBOL({name})"), 16)
    }
    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.line(name, 16)
    }
}

/// A dump that has no VMCOREINFO but that in its memory.
fn set_up(real: &RealDump) -> (Ctx, System) {
    let dump = dump::open(real, Some("s390x"));
    let found = find_vmcoreinfo(&mut memory(&dump)).unwrap().unwrap();
    let text = String::from_utf8(found.text().to_vec()).unwrap();
    let options = Options { version_code: None, ..dump::options(&dump) };
    let ctx = dump::ctx(dump);
    ctx.chain().add(Shared::new(Symbols(text)));
    let mut sys = System::new();
    os::init(&mut sys, &ctx, &options).unwrap();
    (ctx, sys)
}

#[test]
fn every_address_is_where_the_emulator_finds_it() {
    for real in s390x_dumps() {
        let (ctx, sys) = set_up(&real);
        // The README of the dumps: the emulator shows the prefix area of one
        // processor there.
        let (addresses, blocks) = dump::check(&real, &ctx, &sys, &["extra:0", "extra:1000"]);
        eprintln!("{}: {addresses} addresses, {blocks} blocks of 64 bytes", real.name);
        assert_eq!((addresses, blocks), (49, 49));
        assert_eq!(
            dump::print(&sys, MapIndex::KvPhys),
            ["0-3ffffffffff: PGT", "40000000000-ffffffffffffffff: NONE"]
        );
    }
}

#[test]
fn lowcore_leads_to_the_text_that_the_guest_knows() {
    for real in s390x_dumps() {
        let dump = dump::open(&real, Some("s390x"));
        let found = find_vmcoreinfo(&mut memory(&dump)).unwrap().unwrap();
        assert!(matches!(found, Vmcoreinfo::Note(_)), "os_info has the text of kernels with kdump only");
        assert_eq!(found.text(), real.truth().vmcoreinfo().unwrap().as_bytes());
        let info = OsInfo::read(&mut memory(&dump)).unwrap();
        assert_eq!((info.version(), info.placement()), ((1, 1), None), "6.1 is not relocated");
    }
}

#[test]
fn dump_without_symbols_still_has_physical_addresses() {
    for real in s390x_dumps() {
        let dump = dump::open(&real, Some("s390x"));
        let options = dump::options(&dump);
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(Silent(dump::Dump::new(dump))))));
        let mut sys = System::new();
        os::init(&mut sys, &ctx, &options).unwrap();
        assert!(sys.map(MapIndex::KvPhys).is_none() && sys.map(MapIndex::Hw).is_none());
        let os_info = ctx.read_u64(Some(&sys), FullAddr::kphys(0xe18), "os_info").unwrap();
        assert_ne!(os_info, 0);
    }
}

/// A dump that knows no symbols.
struct Silent(dump::Dump);

impl Callbacks for Silent {
    fn read_caps(&self, next: Next<'_>) -> Caps {
        self.0.read_caps(next)
    }
    fn page(&self, next: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        self.0.page(next, addr)
    }
}
