//! Kernels that are a list of facts: words of memory, symbols, numbers, sizes
//! and offsets, for tests of how a translation system is set up.
//!
//! `#[path = "xlat_support/facts.rs"] mod facts;` in a test program.
#![allow(dead_code)] // each test program uses a part of it

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, Kind, MapIndex, MethodIndex, Next,
    PageBuf, Result, Status, System,
};
use kdumpfile_testkit::peer;

/// What is known of a kernel whose memory is read by machine physical address.
#[derive(Clone)]
pub struct Facts {
    order: ByteOrder,
    memory: BTreeMap<u64, Vec<u8>>,
    known: BTreeMap<String, u64>,
    busy: Option<u64>,
    pub options: Options,
}

impl Facts {
    /// A Linux kernel of that architecture, of which nothing else is known.
    pub fn linux(arch: &str, order: ByteOrder) -> Self {
        let options = Options { arch: Some(arch.into()), os: Some(OsType::Linux), ..Options::default() };
        Facts { order, memory: BTreeMap::new(), known: BTreeMap::new(), busy: None, options }
    }

    pub fn version(mut self, a: u64, b: u64) -> Self {
        self.options.version_code = Some((a << 16) + (b << 8));
        self
    }

    pub fn page_shift(mut self, shift: u64) -> Self {
        self.options.page_shift = Some(shift);
        self
    }

    fn know(mut self, kind: &str, name: &str, value: u64) -> Self {
        self.known.insert(format!("{kind} {name}"), value);
        self
    }

    pub fn symbol(self, name: &str, value: u64) -> Self {
        self.know("symbol", name, value)
    }

    pub fn number(self, name: &str, value: u64) -> Self {
        self.know("number", name, value)
    }

    pub fn size(self, name: &str, value: u64) -> Self {
        self.know("size", name, value)
    }

    /// `member` is `container.member`.
    pub fn offset(self, member: &str, value: u64) -> Self {
        self.know("offset", member, value)
    }

    /// A word of 8 bytes in the order of the machine.
    pub fn word(self, addr: u64, value: u64) -> Self {
        let mut bytes = value.to_be_bytes().to_vec();
        if self.order != ByteOrder::Big {
            bytes.reverse();
        }
        self.bytes(addr, bytes)
    }

    /// A word of 4 bytes in the order of the machine.
    pub fn word32(self, addr: u64, value: u32) -> Self {
        let mut bytes = value.to_be_bytes().to_vec();
        if self.order != ByteOrder::Big {
            bytes.reverse();
        }
        self.bytes(addr, bytes)
    }

    pub fn bytes(mut self, addr: u64, bytes: Vec<u8>) -> Self {
        self.memory.insert(addr, bytes);
        self
    }

    /// Whoever reads there finds the provider of memory busy.
    pub fn busy_at(mut self, addr: u64) -> Self {
        self.busy = Some(addr);
        self
    }

    fn ask(&self, kind: &str, name: &str) -> Result<u64> {
        let value = self.known.get(&format!("{kind} {name}"));
        value.copied().ok_or_else(|| Error::no_data(format!("no {kind}")))
    }

    /// Sets a system up.
    pub fn init(&self) -> (Ctx, System, Result<()>) {
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(self.clone()))));
        let mut sys = System::new();
        let result = os::init(&mut sys, &ctx, &self.options);
        (ctx, sys, result)
    }

    /// What the system looks like, or why it could not be set up.
    pub fn print(&self) -> String {
        let (_, sys, result) = self.init();
        print(&sys, &result)
    }

    /// The same, after a comparison with what Debian's library makes of it.
    pub fn print_as_peer(&self) -> String {
        let ours = self.print();
        if peer::python_kdumpfile() {
            assert_eq!(ours, self.peer(), "ours, and Debian's");
        } else {
            eprintln!("skipped: comparison with Debian's addrxlat, which is not there");
        }
        ours
    }

    fn peer(&self) -> String {
        let order = if self.order == ByteOrder::Big { "big" } else { "little" };
        let mut script = format!("order {order}\n");
        for (addr, bytes) in &self.memory {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(script, "memory {addr} {hex}").unwrap();
        }
        for (what, value) in &self.known {
            writeln!(script, "{what} {value}").unwrap();
        }
        let options = &self.options;
        writeln!(script, "text arch {}", options.arch.as_deref().unwrap_or_default()).unwrap();
        if let Some(os) = options.os {
            writeln!(script, "text os_type {}", if os == OsType::Linux { "linux" } else { "other" }).unwrap();
        }
        for (name, value) in [
            ("version_code", options.version_code),
            ("virt_bits", options.virt_bits),
            ("page_shift", options.page_shift),
        ] {
            if let Some(value) = value {
                writeln!(script, "option {name} {value}").unwrap();
            }
        }
        if let Some(root) = options.root {
            writeln!(script, "root {} {}", root.space.0, root.addr).unwrap();
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xlat_support/peer_facts.py");
        let output = peer::pipe(Path::new(peer::PYTHON), &[program.to_str().unwrap()], script.as_bytes());
        String::from_utf8(output.unwrap()).unwrap()
    }
}

impl Callbacks for Facts {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        Caps::MACHPHYS
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        if self.busy == Some(addr.addr) {
            return Err(Error::bare(Status::BUSY));
        }
        match self.memory.range(..=addr.addr).next_back() {
            Some((&start, bytes)) if addr.addr - start < bytes.len() as u64 => {
                Ok(PageBuf::new(FullAddr::new(addr.space, start), self.order, bytes.clone()))
            }
            _ => Err(Error::no_data("No such memory")),
        }
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.ask("symbol", name)
    }

    fn symbol_size(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.ask("size", name)
    }

    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> Result<u64> {
        self.ask("offset", &format!("{container}.{member}"))
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.ask("number", name)
    }
}

/// The failure, if there is one; the ranges of each map but those without a
/// method; and all methods that are there.
pub fn print(sys: &System, result: &Result<()>) -> String {
    const MAPS: [&str; 5] = ["HW", "KV_PHYS", "KPHYS_DIRECT", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"];
    let mut text = String::new();
    if let Err(error) = result {
        writeln!(text, "error {}: {}", error.status().code(), error.message()).unwrap();
    }
    for (index, name) in MapIndex::ALL.into_iter().zip(MAPS) {
        let Some(map) = sys.map(index) else { continue };
        writeln!(text, "{name}").unwrap();
        for range in map.ranges().filter(|range| range.method != MethodIndex::NONE) {
            writeln!(text, "  {:x}-{:x} {:?}", range.first, range.last, range.method).unwrap();
        }
    }
    for index in (0..8).map(MethodIndex) {
        let method = sys.method(index).unwrap();
        let what = match &method.kind {
            Kind::Linear(offset) => format!("+{offset:x}"),
            Kind::Pgt(table) => {
                let root = match table.root.space {
                    AddrSpace::NOADDR => "NOADDR".into(),
                    space => format!("{space}:{:x}", table.root.addr),
                };
                format!("{root} {:?}", table.form)
            }
            Kind::Lookup(lookup) => {
                let rows = lookup.elems().iter().map(|row| format!(" {:x}->{:x}", row.orig, row.dest));
                format!("blocks of {:x}:{}", lookup.endoff(), rows.collect::<String>())
            }
            _ => continue,
        };
        writeln!(text, "{index:?} {what} to {}", method.target).unwrap();
    }
    text
}
