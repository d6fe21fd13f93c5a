//! Random systems over memory full of noise, in 64 KiB of each space.
#![allow(dead_code)] // each test program uses a part of it

use std::fmt::Write;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, Lookup, LookupElem, MapIndex,
    MemArray, Method, MethodIndex, Next, PageBuf, PageTable, PagingForm, PteFormat, Result, System,
};

use super::Rng;

/// All addresses and tables lie below this.
pub const SIZE: u64 = 0x1_0000;

/// Words of 8 bytes that are hashes of their addresses; some cannot be read.
#[derive(Clone, Copy)]
pub struct Noise {
    pub caps: Caps,
    pub seed: u64,
}

/// Entries: present, any flags, any frame below [`SIZE`].
pub const AND: u64 = 0xf0fe | 1 << 51;
/// See [`AND`].
pub const OR: u64 = 1;

impl Callbacks for Noise {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let hash = Rng(self.seed ^ addr.addr).next();
        if hash >> 60 == 0 {
            return Err(Error::no_data("Lost"));
        }
        // One entry in 16 is absent.
        let or = if hash >> 60 == 1 { 0 } else { OR };
        Ok(PageBuf::new(addr, ByteOrder::Little, (hash & AND | or).to_le_bytes()))
    }
}

impl Noise {
    pub fn ctx(self) -> Ctx {
        Ctx::new(Shared::new(Chain::with_base(Shared::new(self))))
    }
}

fn space(rng: &mut Rng) -> AddrSpace {
    AddrSpace(rng.below(3) as i32)
}

/// A random method, and how the peer's script makes the same one.
pub fn method(rng: &mut Rng) -> (Method, String) {
    let target = AddrSpace(rng.below(2) as i32 + i32::from(rng.below(8) == 0));
    match rng.below(16) {
        0 => (Method::NONE, "none".into()),
        1..=4 => {
            let offset = (rng.below(16) << 12).wrapping_sub(rng.below(2) << 13);
            (Method::linear(target, offset), format!("linear {} {offset:x}", target.0))
        }
        5 | 6 => {
            let array = MemArray {
                base: FullAddr::new(space(rng), rng.below(SIZE) & !7),
                shift: 8 + rng.below(6) as u32,
                elemsz: 8 << rng.below(2),
                valsz: 8,
            };
            let text = format!(
                "memarr {} {}:{:x} {} {}",
                target.0, array.base.space.0, array.base.addr, array.shift, array.elemsz
            );
            (Method::memory_array(target, array), text)
        }
        7 | 8 => {
            let endoff = rng.below(0x4000);
            let elems: Vec<_> = (0..1 + rng.below(4))
                .map(|_| LookupElem { orig: rng.below(SIZE), dest: rng.below(SIZE) })
                .collect();
            let list: Vec<_> = elems.iter().map(|elem| format!("{:x}:{:x}", elem.orig, elem.dest)).collect();
            let text = format!("lookup {} {endoff:x} {}", target.0, list.join(","));
            (Method::lookup(target, Lookup::new(endoff, elems)), text)
        }
        _ => {
            let shapes: [(PteFormat, &[u16]); 4] = [
                (PteFormat::X86_64, &[12, 2, 3]),
                (PteFormat::Aarch64, &[12, 4]),
                (PteFormat::Ia32Pae, &[12, 1, 1, 2]),
                (PteFormat::Pfn64, &[12, 4]),
            ];
            let (format, fields) = shapes[rng.below(4) as usize];
            let root = match rng.below(16) {
                0 => FullAddr::NONE,
                _ => FullAddr::new(space(rng), rng.below(SIZE) & !0xfff),
            };
            let table = PageTable {
                pte_mask: (1 << 51) * rng.below(2),
                ..PageTable::new(root, PagingForm::new(format, fields).unwrap())
            };
            let list: Vec<_> = fields.iter().map(u16::to_string).collect();
            let name = format.name().unwrap();
            let text = format!(
                "pgt {} {}:{:x} {:x} {name} {}",
                target.0,
                root.space.0,
                root.addr,
                table.pte_mask,
                list.join(",")
            );
            (Method::page_table(target, table), text)
        }
    }
}

/// A random system, and how the peer's script makes the same one.
pub fn system(rng: &mut Rng) -> (System, String) {
    let mut sys = System::new();
    let mut script = String::from("system\n");
    for index in 0..8 {
        let (method, text) = method(rng);
        sys.set_method(MethodIndex(index), method);
        writeln!(script, "method {index} {text}").unwrap();
    }
    for index in MapIndex::ALL {
        if rng.below(5) == 0 {
            continue;
        }
        for set in 0..=rng.below(4) {
            let first = if set == 0 { 0 } else { rng.below(SIZE) };
            let endoff = if set == 0 { SIZE - 1 } else { rng.below(SIZE - first) };
            let method = rng.below(9) as i32 - 1;
            sys.map_mut(index).set(first, endoff, MethodIndex(method)).unwrap();
            writeln!(script, "set {} {first:x} {endoff:x} {method}", index as u8).unwrap();
        }
    }
    (sys, script)
}

/// Spaces that something can be done in.
pub fn caps(rng: &mut Rng) -> Caps {
    Caps(1 + rng.below(7))
}

/// An address to translate.
pub fn address(rng: &mut Rng) -> FullAddr {
    let addr = if rng.below(64) == 0 { rng.next() } else { rng.below(SIZE) };
    FullAddr::new(space(rng), addr)
}
