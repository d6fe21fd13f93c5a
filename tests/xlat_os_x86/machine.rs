//! A machine made for a test: memory with page tables in it, symbols, registers.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kdumpfile::sync::{Lock, Shared};
use kdumpfile::xlat::os::{self, Options, OsType};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, Kind, MapIndex, MethodIndex, Next,
    PageBuf, Result, Status, System,
};

pub const PAGE: u64 = 1 << 12;
pub const M2: u64 = 1 << 21;
pub const G1: u64 = 1 << 30;

type Named = BTreeMap<String, u64>;

/// Memory by machine address, and what else a translation may ask for.
#[derive(Clone)]
pub struct Machine {
    pub caps: Caps,
    pub symbols: Named,
    pub numbers: Named,
    pub registers: Named,
    /// By `container.member`.
    pub offsets: Named,
    /// Virtual addresses that can be read directly: first, last, and where the
    /// first one is in memory.
    pub segments: Vec<(u64, u64, u64)>,
    /// What is said of all other virtual addresses.
    pub elsewhere: Status,
    /// Bits that each entry has besides its address, such as encryption.
    pub entry_bits: u64,
    pub root: u64,
    pages: BTreeMap<u64, Vec<u8>>,
    fields: &'static [u32],
    wide: bool,
    next_table: u64,
}

impl Machine {
    fn new(fields: &'static [u32], wide: bool) -> Self {
        let root = 0x180_0000;
        Machine {
            caps: Caps::MACHPHYS,
            symbols: Named::new(),
            numbers: Named::new(),
            registers: Named::new(),
            offsets: Named::new(),
            segments: Vec::new(),
            elsewhere: Status::NoData,
            entry_bits: 0,
            root,
            pages: BTreeMap::from([(root, vec![0; PAGE as usize])]),
            fields,
            wide,
            next_table: root + 8 * PAGE,
        }
    }

    /// Page tables of 4 or 5 levels.
    pub fn x86_64(levels: usize) -> Self {
        const FIELDS: &[u32] = &[12, 9, 9, 9, 9, 9];
        Self::new(&FIELDS[..=levels], true)
    }

    /// Page tables of 32-bit processors.
    pub fn ia32(pae: bool) -> Self {
        Self::new(if pae { &[12, 9, 9, 2] } else { &[12, 10, 10] }, pae)
    }

    /// Stores the low `size` bytes of a number.
    pub fn write(&mut self, addr: u64, value: u64, size: usize) {
        let page = self.pages.entry(addr & !(PAGE - 1)).or_insert_with(|| vec![0; PAGE as usize]);
        let offset = (addr % PAGE) as usize;
        page[offset..offset + size].copy_from_slice(&value.to_le_bytes()[..size]);
    }

    pub fn read(&self, addr: u64, size: usize) -> u64 {
        let mut bytes = [0; 8];
        if let Some(page) = self.pages.get(&(addr & !(PAGE - 1))) {
            let offset = (addr % PAGE) as usize;
            bytes[..size].copy_from_slice(&page[offset..offset + size]);
        }
        u64::from_le_bytes(bytes)
    }

    pub fn write64(&mut self, addr: u64, value: u64) {
        self.write(addr, value, 8);
    }

    /// Maps one page of 2^`bits` bytes.
    pub fn map(&mut self, va: u64, pa: u64, bits: u32) {
        let size = if self.wide { 8 } else { 4 };
        let mut table = self.root;
        for level in (1..self.fields.len()).rev() {
            let span: u32 = self.fields[..level].iter().sum();
            let index = va >> span & ((1 << self.fields[level]) - 1);
            let entry = table + index * size as u64;
            if span == bits {
                let huge = if bits > 12 { 0x80 } else { 0 };
                self.write(entry, pa | self.entry_bits | huge | 0x63, size);
                return;
            }
            let mut next = self.read(entry, size);
            if next == 0 {
                next = self.next_table;
                self.next_table += PAGE;
                self.pages.insert(next, vec![0; PAGE as usize]);
                // An entry of the small table of PAE has no permissions.
                let flags = if self.fields[level] == 2 { 1 } else { 0x67 };
                next |= self.entry_bits | flags;
                self.write(entry, next, size);
            }
            table = next & !self.entry_bits & !0xfff;
        }
    }

    /// Maps `size` bytes with pages of 2^`bits` bytes.
    pub fn map_run(&mut self, va: u64, pa: u64, size: u64, bits: u32) {
        for offset in (0..size).step_by(1 << bits) {
            self.map(va.wrapping_add(offset), pa + offset, bits);
        }
    }

    /// Maps physical memory at `base` as Linux does: small pages first.
    pub fn map_direct(&mut self, base: u64, size: u64) {
        self.map_run(base, 0, M2, 12);
        self.map_run(base + M2, M2, size - M2, 21);
    }

    pub fn symbol(mut self, name: &str, value: u64) -> Self {
        self.symbols.insert(name.into(), value);
        self
    }

    pub fn number(mut self, name: &str, value: u64) -> Self {
        self.numbers.insert(name.into(), value);
        self
    }

    pub fn register(mut self, name: &str, value: u64) -> Self {
        self.registers.insert(name.into(), value);
        self
    }

    pub fn offset(mut self, name: &str, value: u64) -> Self {
        self.offsets.insert(name.into(), value);
        self
    }

    /// The place in memory of an address that can be read directly.
    fn locate(&self, addr: FullAddr) -> Option<u64> {
        match addr.space {
            AddrSpace::KVIRT => {
                let inside = |&&(first, last, _): &&(u64, u64, u64)| first <= addr.addr && addr.addr <= last;
                let &(first, _, phys) = self.segments.iter().find(inside)?;
                Some(phys + (addr.addr - first))
            }
            _ => Some(addr.addr),
        }
    }

    /// All of it, for the peer.
    pub fn json(&self) -> String {
        let named = |named: &Named| {
            let items: Vec<_> = named.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
            format!("{{{}}}", items.join(", "))
        };
        let pages = self.pages.iter().map(|(addr, bytes)| {
            let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
                write!(hex, "{byte:02x}").unwrap();
                hex
            });
            format!("\"{addr}\": \"{hex}\"")
        });
        let pages: Vec<_> = pages.collect();
        let segments: Vec<_> =
            self.segments.iter().map(|(first, last, phys)| format!("[{first}, {last}, {phys}]")).collect();
        format!(
            "{{\"caps\": {}, \"symbols\": {}, \"numbers\": {}, \"registers\": {}, \"offsets\": {}, \
             \"segments\": [{}], \"pages\": {{{}}}}}",
            self.caps.0,
            named(&self.symbols),
            named(&self.numbers),
            named(&self.registers),
            named(&self.offsets),
            segments.join(", "),
            pages.join(", "),
        )
    }
}

fn look_up(named: &Named, name: &str) -> Result<u64> {
    named.get(name).copied().ok_or_else(|| Error::no_data("Unknown"))
}

impl Callbacks for Machine {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let phys = self.locate(addr).ok_or_else(|| Error::new(self.elsewhere, "No segment"))?;
        let offset = phys % PAGE;
        let bytes = self.pages.get(&(phys - offset)).ok_or_else(|| Error::no_data("No memory"))?;
        let start = FullAddr { addr: addr.addr - offset, ..addr };
        Ok(PageBuf::new(start, ByteOrder::Little, bytes.clone()))
    }

    fn register(&self, _: Next<'_>, name: &str) -> Result<u64> {
        look_up(&self.registers, name)
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        // A name with this end stands for a failure that is not "unknown".
        match self.symbols.get(&format!("{name}!")) {
            Some(&code) => Err(Error::new(Status::Other(-(code as i32)), "broken")),
            None => look_up(&self.symbols, name),
        }
    }

    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> Result<u64> {
        look_up(&self.offsets, &format!("{container}.{member}"))
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        look_up(&self.numbers, name)
    }
}

/// Busy at the n-th page that is asked for, else the machine.
pub struct BusyAt {
    pub machine: Machine,
    pub left: Lock<u32>,
}

impl Callbacks for BusyAt {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.machine.caps
    }

    fn page(&self, next: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let mut left = self.left.lock();
        *left = left.wrapping_sub(1);
        if *left == u32::MAX {
            return Err(Error::new(Status::BUSY, "All slots are in use"));
        }
        self.machine.page(next, addr)
    }

    fn register(&self, next: Next<'_>, name: &str) -> Result<u64> {
        Callbacks::register(&self.machine, next, name)
    }

    fn symbol_value(&self, next: Next<'_>, name: &str) -> Result<u64> {
        self.machine.symbol_value(next, name)
    }
}

pub fn ctx_of(callbacks: impl Callbacks + 'static) -> Ctx {
    Ctx::new(Shared::new(Chain::with_base(Shared::new(callbacks))))
}

/// Options for `arch` and Linux.
pub fn linux(arch: &str) -> Options {
    Options { arch: Some(arch.into()), os: Some(OsType::Linux), ..Options::default() }
}

/// What became of it: `ok` or the failure, then maps and methods.
pub fn outcome(machine: &Machine, options: &Options) -> (Ctx, System, Vec<String>) {
    let ctx = ctx_of(machine.clone());
    let mut sys = System::new();
    let result = os::init(&mut sys, &ctx, options);
    let mut lines = vec![match &result {
        Ok(()) => String::from("ok"),
        Err(error) => format!("{}: {error}", error.status().code()),
    }];
    for map in MapIndex::ALL {
        lines.extend(ranges(&sys, map).into_iter().map(|range| format!("{map:?} {range}")));
    }
    for index in (0..8).map(MethodIndex) {
        let method = sys.method(index).unwrap();
        let target = method.target.0;
        let text = match &method.kind {
            Kind::Linear(offset) => format!("linear {target} {offset:x}"),
            Kind::Pgt(table) => format!(
                "pgt {target} {}:{:x} {:x} {:?}",
                table.root.space.0, table.root.addr, table.pte_mask, table.form
            ),
            Kind::MemArr(array) => format!(
                "memarr {target} {}:{:x} {} {} {}",
                array.base.space.0, array.base.addr, array.shift, array.elemsz, array.valsz
            ),
            _ => continue,
        };
        lines.push(format!("{index:?} {text}"));
    }
    (ctx, sys, lines)
}

/// The ranges of a map: `0-7fffffffffff PGT`.
pub fn ranges(sys: &System, map: MapIndex) -> Vec<String> {
    let ranges = sys.map(map).into_iter().flat_map(|map| map.ranges());
    ranges.map(|range| format!("{:x}-{:x} {:?}", range.first, range.last, range.method)).collect()
}
