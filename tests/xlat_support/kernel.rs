//! Made-up kernels: page tables, symbols and numbers, and what a system that is
//! set up from them looks like, here and with Debian's addrxlat.
//!
//! `#[path = "xlat_support/kernel.rs"] mod kernel;` in a test program.
#![allow(dead_code)] // each test program uses a part of it

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, Kind, MapIndex, MethodIndex, Next,
    PageBuf, PteFormat, Result, Status, System,
};
use kdumpfile_testkit::peer;

/// What is known of a kernel. Words can be read in all spaces of `caps`.
#[derive(Clone, Default)]
pub struct Kernel {
    pub caps: Caps,
    /// Value and size in bytes by address.
    words: BTreeMap<u64, (u64, usize)>,
    /// First and last address of blocks that are zero but for the words.
    zeroed: Vec<(u64, u64)>,
    pub symbols: BTreeMap<&'static str, u64>,
    pub numbers: BTreeMap<&'static str, u64>,
    pub options: Options,
    busy: bool,
    /// The table that an entry points to, by the address of the entry.
    children: BTreeMap<u64, u64>,
}

/// Page tables that are made as they are needed.
#[derive(Clone)]
pub struct Tables {
    pub root: u64,
    format: PteFormat,
    fields: &'static [u16],
    /// Where the next table is put.
    pub next: u64,
    /// An entry that points to the table at that address.
    table: fn(u64) -> u64,
    /// An entry of that level that maps the page at that address.
    leaf: fn(u64, usize) -> u64,
}

impl Tables {
    /// Tables at `root`, those below the root in pages from `next` on.
    pub fn new(
        format: PteFormat,
        fields: &'static [u16],
        (root, next): (u64, u64),
        table: fn(u64) -> u64,
        leaf: fn(u64, usize) -> u64,
    ) -> Self {
        Tables { root, format, fields, next, table, leaf }
    }

    fn entry_size(&self) -> usize {
        1 << self.format.pteval_shift().unwrap()
    }

    fn span(&self, level: usize) -> u32 {
        self.fields.iter().take(level).map(|&bits| u32::from(bits)).sum()
    }
}

impl Kernel {
    /// A Linux kernel of which nothing is known but the architecture; its memory
    /// can be read by machine physical address.
    pub fn linux(arch: &str) -> Self {
        let options = Options { arch: Some(arch.into()), os: Some(OsType::Linux), ..Options::default() };
        Kernel { caps: Caps::MACHPHYS, options, ..Kernel::default() }
    }

    pub fn symbol(mut self, name: &'static str, value: u64) -> Self {
        self.symbols.insert(name, value);
        self
    }

    pub fn number(mut self, name: &'static str, value: u64) -> Self {
        self.numbers.insert(name, value);
        self
    }

    pub fn version(mut self, a: u64, b: u64, c: u64) -> Self {
        self.options.version_code = Some((a << 16) + (b << 8) + c);
        self
    }

    /// Whoever reads memory finds it busy.
    pub fn busy(mut self) -> Self {
        self.busy = true;
        self
    }

    pub fn put(&mut self, addr: u64, value: u64, size: usize) {
        self.words.insert(addr, (value, size));
    }

    /// Makes a block of memory that is zero.
    pub fn put_zeros(&mut self, addr: u64, size: u64) {
        self.zeroed.push((addr, addr + (size - 1)));
    }

    /// Forgets all memory.
    pub fn clear(&mut self) {
        self.words.clear();
        self.zeroed.clear();
        self.children.clear();
    }

    /// Stores a block of memory once more, at `to`.
    pub fn copy_block(&mut self, from: u64, to: u64, size: u64) {
        let words: Vec<_> = self.words.range(from..from + size).map(|(&addr, &word)| (addr, word)).collect();
        self.words.extend(words.into_iter().map(|(addr, word)| (addr - from + to, word)));
        self.put_zeros(to, size);
    }

    /// Maps the page of `level` (1 is the smallest) at `virt` to `phys`.
    pub fn map(&mut self, tables: &mut Tables, virt: u64, phys: u64, level: usize) {
        let size = tables.entry_size();
        let mut table = tables.root;
        if self.word(table).is_none() {
            let bits = *tables.fields.last().unwrap();
            self.put_zeros(table, (size as u64) << bits);
        }
        for r in (level..tables.fields.len()).rev() {
            let index = (virt >> tables.span(r)) & ((1 << tables.fields[r]) - 1);
            let place = table + index * size as u64;
            if r == level {
                self.put(place, (tables.leaf)(phys, level), size);
                return;
            }
            table = self.child(tables, place, r);
        }
    }

    /// The table that the entry of level `r` at `place` points to.
    fn child(&mut self, tables: &mut Tables, place: u64, r: usize) -> u64 {
        if let (Some(_), Some(&child)) = (self.words.get(&place), self.children.get(&place)) {
            return child;
        }
        let new = tables.next;
        let bytes = (tables.entry_size() as u64) << tables.fields[r - 1];
        tables.next += bytes.max(1 << tables.fields[0]);
        self.put_zeros(new, bytes);
        self.put(place, (tables.table)(new), tables.entry_size());
        self.children.insert(place, new);
        new
    }

    /// Maps `count` pages of `level` in a row.
    pub fn map_run(&mut self, tables: &mut Tables, virt: u64, phys: u64, level: usize, count: u64) {
        for page in 0..count {
            let offset = page << tables.span(level);
            self.map(tables, virt.wrapping_add(offset), phys + offset, level);
        }
    }

    fn word(&self, addr: u64) -> Option<(u64, usize)> {
        let size = self.words.values().next().map_or(8, |word| word.1);
        let zero = self.zeroed.iter().any(|&(first, last)| (first..=last).contains(&addr));
        self.words.get(&addr).copied().or(zero.then_some((0, size)))
    }

    /// Sets a system up; the error is there as well as how far it got.
    pub fn init(&self) -> (System, Ctx, Result<()>) {
        let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(self.clone()))));
        let mut sys = System::new();
        let result = os::init(&mut sys, &ctx, &self.options);
        (sys, ctx, result)
    }

    /// What the system looks like, and that Debian's library makes the same.
    pub fn system(&self) -> String {
        let (sys, _, result) = self.init();
        let ours = print(&sys, &result);
        if let Some(peers) = self.peer() {
            assert_eq!(ours, peers, "ours, and Debian's");
        }
        ours
    }

    /// The same without Debian's library, which does not know this kind.
    pub fn system_here(&self) -> String {
        let (sys, _, result) = self.init();
        print(&sys, &result)
    }

    fn peer(&self) -> Option<String> {
        if !peer::python_kdumpfile() {
            return None;
        }
        let mut script = format!("caps {}\n", self.caps.0);
        for (&addr, &(value, size)) in &self.words {
            writeln!(script, "word {addr} {value} {size}").unwrap();
        }
        for &(first, last) in &self.zeroed {
            writeln!(script, "zero {first} {last}").unwrap();
        }
        for (name, value) in &self.symbols {
            writeln!(script, "symbol {name} {value}").unwrap();
        }
        for (name, value) in &self.numbers {
            writeln!(script, "number {name} {value}").unwrap();
        }
        let options = &self.options;
        let os = match options.os {
            Some(OsType::Linux) => "linux",
            Some(OsType::Xen) => "xen",
            _ => "other",
        };
        writeln!(script, "text arch {}\ntext os_type {os}", options.arch.as_deref().unwrap_or("")).unwrap();
        for (name, value) in [
            ("version_code", options.version_code),
            ("phys_bits", options.phys_bits),
            ("virt_bits", options.virt_bits),
            ("page_shift", options.page_shift),
            ("phys_base", options.phys_base),
        ] {
            if let Some(value) = value {
                writeln!(script, "option {name} {value}").unwrap();
            }
        }
        if let Some(root) = options.root {
            writeln!(script, "root {} {}", root.space.0, root.addr).unwrap();
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xlat_support/peer_os.py");
        let output = peer::pipe(Path::new(peer::PYTHON), &[program.to_str().unwrap()], script.as_bytes());
        Some(String::from_utf8(output.unwrap()).unwrap())
    }
}

impl Callbacks for Kernel {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        if self.busy {
            return Err(Error::bare(Status::BUSY));
        }
        let (value, size) = self.word(addr.addr).ok_or_else(|| Error::no_data("No such word"))?;
        Ok(PageBuf::new(addr, ByteOrder::Little, value.to_le_bytes()[..size].to_vec()))
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.symbols.get(name).copied().ok_or_else(|| Error::no_data("no symbol"))
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        self.numbers.get(name).copied().ok_or_else(|| Error::no_data("no number"))
    }
}

const MAPS: [&str; 5] = ["HW", "KV_PHYS", "KPHYS_DIRECT", "MACHPHYS_KPHYS", "KPHYS_MACHPHYS"];

/// The failure, if there is one; the ranges of each map but those that are not
/// mapped; and all methods that are there.
pub fn print(sys: &System, result: &Result<()>) -> String {
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
            Kind::Pgt(table) => format!("{} {:?} mask {:x}", root(table.root), table.form, table.pte_mask),
            _ => continue,
        };
        writeln!(text, "{index:?} {what} to {}", method.target).unwrap();
    }
    text
}

fn root(root: FullAddr) -> String {
    if root.space == AddrSpace::NOADDR { "NOADDR".into() } else { format!("{}:{:x}", root.space, root.addr) }
}
