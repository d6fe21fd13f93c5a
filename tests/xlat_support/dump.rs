//! Address translation over the pages and attributes of a real dump, and the
//! comparison with what the emulator said.
//!
//! `#[path = "xlat_support/dump.rs"] mod dump;` in a test program.
#![allow(dead_code)] // each test program uses a part of it

use kdumpfile::sync::{Lock, Shared};
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, MapIndex, Next, PageBuf, Result,
    Status, System,
};
use kdumpfile::{Context, Space, Value};
use kdumpfile_testkit::dumps::RealDump;
use kdumpfile_testkit::truth::Translation;

/// Answers what a translation asks from an open dump. Nothing is translated
/// here: virtual addresses are read only as far as the format stores them.
pub struct Dump {
    dump: Lock<Context>,
    caps: Caps,
    order: ByteOrder,
    page_size: u64,
}

/// Opens the files of a real dump; `arch` is given if they do not tell.
pub fn open(real: &RealDump, arch: Option<&str>) -> Context {
    let dump = Context::new();
    if let Some(arch) = arch {
        dump.set("arch.name", Value::String(arch.into())).unwrap();
    }
    #[cfg(feature = "std")]
    dump.open_paths(&real.files).unwrap();
    #[cfg(not(feature = "std"))]
    {
        let read = |file| Shared::new(std::fs::read(file).unwrap()) as kdumpfile::io::Source;
        dump.open(real.files.iter().map(read).collect()).unwrap();
    }
    // Pages of zeroes that makedumpfile left out are there by their addresses.
    dump.set("file.zero_excluded", Value::Number(1)).unwrap();
    dump
}

/// What the attributes of a dump say about the Linux in it.
pub fn options(dump: &Context) -> Options {
    Options {
        arch: dump.string("arch.name").ok(),
        os: Some(OsType::Linux),
        version_code: dump.number("linux.version_code").ok(),
        page_shift: dump.number("arch.page_shift").ok(),
        phys_base: dump.address("linux.phys_base").ok(),
        ..Options::default()
    }
}

/// A context that asks `dump`.
pub fn ctx(dump: Context) -> Ctx {
    Ctx::new(Shared::new(Chain::with_base(Shared::new(Dump::new(dump)))))
}

/// The context and system of a real dump, with what its attributes say.
pub fn set_up(real: &RealDump, arch: Option<&str>) -> (Ctx, System) {
    let dump = open(real, arch);
    let options = options(&dump);
    let ctx = ctx(dump);
    let mut sys = System::new();
    if let Err(error) = os::init(&mut sys, &ctx, &options) {
        panic!("{}: {error} ({options:?})", real.name);
    }
    (ctx, sys)
}

impl Dump {
    pub fn new(dump: Context) -> Self {
        let spaces = dump.spaces();
        let cap = |space, cap| if spaces.contains(space) { cap } else { Caps::NONE };
        let caps = cap(Space::KernelPhysical, Caps::KPHYS)
            | cap(Space::MachinePhysical, Caps::MACHPHYS)
            | cap(Space::KernelVirtual, Caps::KVIRT);
        let order = match dump.number("arch.byte_order") {
            Ok(0) => ByteOrder::Big,
            _ => ByteOrder::Little,
        };
        let page_size = dump.number("arch.page_size").unwrap_or(4096);
        Dump { dump: Lock::new(dump), caps, order, page_size }
    }

    /// An attribute of any type that is a number.
    fn value(&self, path: &str) -> Result<u64> {
        let dump = self.dump.lock();
        match dump.get(path) {
            Ok(Value::Number(value) | Value::Address(value)) => Ok(value),
            Ok(value) => Err(Error::no_data(format!("{path} is no number: {value:?}"))),
            Err(error) => Err(Error::from_dump(&error).with_status(Status::NoData)),
        }
    }
}

impl Callbacks for Dump {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let space = match addr.space.0 {
            0 => Space::KernelPhysical,
            1 => Space::MachinePhysical,
            _ => Space::KernelVirtual,
        };
        let start = FullAddr { addr: addr.addr & !(self.page_size - 1), ..addr };
        let mut page = vec![0; self.page_size as usize];
        match self.dump.lock().read(space, start.addr, &mut page) {
            Ok(()) => Ok(PageBuf::new(start, self.order, page)),
            // Of virtual addresses, those that need a translation.
            Err(error) if error.status() == kdumpfile::Status::AddrXlat => Err(Error::elsewhere()),
            Err(error) => Err(Error::from_dump(&error)),
        }
    }

    fn register(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.value(&format!("cpu.0.reg.{name}"))
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.value(&format!("linux.vmcoreinfo.SYMBOL.{name}"))
    }

    fn symbol_size(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.value(&format!("linux.vmcoreinfo.SIZE.{name}"))
    }

    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> Result<u64> {
        self.value(&format!("linux.vmcoreinfo.OFFSET.{container}.{member}"))
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.value(&format!("linux.vmcoreinfo.NUMBER.{name}"))
    }
}

/// Memory of a dump whose symbols and numbers nobody knows, as without a
/// VMCOREINFO, but with these registers.
pub struct Blind {
    pub memory: Dump,
    pub registers: Vec<(&'static str, u64)>,
}

impl Callbacks for Blind {
    fn read_caps(&self, next: Next<'_>) -> Caps {
        self.memory.read_caps(next)
    }

    fn page(&self, next: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        self.memory.page(next, addr)
    }

    fn register(&self, _: Next<'_>, name: &str) -> Result<u64> {
        let found = self.registers.iter().find(|(known, _)| *known == name);
        found.map(|&(_, value)| value).ok_or_else(|| Error::no_data("Unknown register"))
    }
}

/// The ranges of a map, one a line: `0-7fffffffffff: PGT`; empty for a map that
/// is not there.
pub fn print(sys: &System, map: MapIndex) -> Vec<String> {
    let ranges = sys.map(map).into_iter().flat_map(|map| map.ranges());
    ranges.map(|range| format!("{:x}-{:x}: {:?}", range.first, range.last, range.method)).collect()
}

/// What the emulator found, else what the reference did.
pub fn truths(real: &RealDump) -> Vec<Translation> {
    let truth = real.truth();
    let found = truth.emulator_translations();
    if found.is_empty() { truth.as_opened().translations() } else { found }
}

/// Compares each mapped address with the ground truth, and the bytes there with
/// `bytes64`; `except` are the names that the README of the dumps explains.
/// Returns how many addresses and how many blocks of bytes are right.
pub fn check(real: &RealDump, ctx: &Ctx, sys: &System, except: &[&str]) -> (usize, usize) {
    let reference = real.truth().with_arch_name().unwrap_or_else(|| real.truth().as_opened());
    let known = real.truth();
    let stored = known.as_opened().bitmap("file.pagemap").unwrap_or_default();
    // Its bytes are to be trusted where its addresses are. But it misses pages
    // of an ELF file that are not in order, so that those of the guest's RAM are
    // better where the file has them.
    let trusted = |name: &str, kphys: u64| {
        let same = reference.translations().iter().any(|t| t.name == name && t.kphys == Some(kphys));
        let bytes = reference.bytes_at(name).filter(|_| same)?;
        let in_file = stored.iter().any(|range| range.contains(&(kphys / known.page_size())));
        Some(known.emulator_bytes(name).filter(|_| in_file).unwrap_or(bytes))
    };
    let (mut addresses, mut blocks) = (0, 0);
    let mut wrong = Vec::new();
    for truth in truths(real) {
        let Some(expected) = truth.kphys.filter(|_| !except.contains(&truth.name.as_str())) else {
            continue;
        };
        let addr = FullAddr::kvirt(truth.kvaddr);
        match ctx.convert(Some(sys), AddrSpace::KPHYS, addr) {
            Ok(found) if found.addr == expected => addresses += 1,
            found => wrong.push(format!("{} {addr}: {found:?}, expected {expected:#x}", truth.name)),
        }
        let Some(bytes) = trusted(&truth.name, expected) else {
            continue;
        };
        for (offset, expected) in (0..).step_by(8).zip(bytes.chunks_exact(8)) {
            match ctx.read_u64(Some(sys), addr.offset(offset), "bytes") {
                Ok(found) if found.to_le_bytes() == expected || found.to_be_bytes() == expected => {}
                found => wrong.push(format!("{} {addr} + {offset}: {found:?}", truth.name)),
            }
        }
        blocks += 1;
    }
    assert!(wrong.is_empty(), "{}:\n{}", real.name, wrong.join("\n"));
    assert!(addresses > 0, "{}: nothing to compare", real.name);
    (addresses, blocks)
}
