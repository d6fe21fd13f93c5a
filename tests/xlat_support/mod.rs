//! Memory made of single words, for tests of address translation.
#![allow(dead_code)] // each test program uses a part of it

pub mod systems;

use std::collections::{BTreeMap, BTreeSet};

use kdumpfile::sync::{Lock, Shared};
use kdumpfile::xlat::{
    AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, Method, Next, PageBuf, PageTable,
    PagingForm, PteFormat, Result, Status,
};

/// What a provider of memory can be asked for, and was.
pub struct Memory {
    caps: Caps,
    order: ByteOrder,
    state: Lock<State>,
}

#[derive(Default)]
struct State {
    words: BTreeMap<u64, Vec<u8>>,
    busy: BTreeSet<u64>,
    asked: Vec<FullAddr>,
}

impl Memory {
    /// Nothing yet, in spaces `caps`, which all have the same words.
    pub fn new(caps: Caps, order: ByteOrder) -> Shared<Memory> {
        Shared::new(Memory { caps, order, state: Lock::default() })
    }

    fn bytes<const N: usize>(&self, little: [u8; N]) -> Vec<u8> {
        let mut bytes = little.to_vec();
        if self.order == ByteOrder::Big {
            bytes.reverse();
        }
        bytes
    }

    /// Stores a word of 4 bytes.
    pub fn put32(&self, addr: u64, value: u32) {
        let bytes = self.bytes(value.to_le_bytes());
        self.state.lock().words.insert(addr, bytes);
    }

    /// Stores a word of 8 bytes.
    pub fn put64(&self, addr: u64, value: u64) {
        let bytes = self.bytes(value.to_le_bytes());
        self.state.lock().words.insert(addr, bytes);
    }

    /// Stores the bytes of a block.
    pub fn put_block(&self, addr: u64, bytes: Vec<u8>) {
        self.state.lock().words.insert(addr, bytes);
    }

    /// Stores an entry of the size that `format` has.
    pub fn put_entry(&self, format: PteFormat, addr: u64, value: u64) {
        match format.pteval_shift() {
            Some(2) => self.put32(addr, value as u32),
            _ => self.put64(addr, value),
        }
    }

    /// The next question for `addr` finds the provider busy.
    pub fn be_busy_once(&self, addr: u64) {
        self.state.lock().busy.insert(addr);
    }

    /// What was asked for since the last call.
    pub fn asked(&self) -> Vec<FullAddr> {
        std::mem::take(&mut self.state.lock().asked)
    }
}

impl Callbacks for Memory {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        self.caps
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        let mut state = self.state.lock();
        state.asked.push(addr);
        if state.busy.remove(&addr.addr) {
            return Err(Error::new(Status::BUSY, "All slots are in use"));
        }
        let block = state.words.range(..=addr.addr).next_back();
        match block {
            Some((&start, bytes)) if addr.addr - start < bytes.len() as u64 => {
                Ok(PageBuf::new(FullAddr::new(addr.space, start), self.order, bytes.clone()))
            }
            _ => Err(Error::no_data("No such word")),
        }
    }
}

/// A context that asks `memory` only.
pub fn ctx(memory: &Shared<Memory>) -> Ctx {
    Ctx::new(Shared::new(Chain::with_base(memory.clone())))
}

/// Page tables at machine address 0 that lead into the machine space.
pub fn table(format: PteFormat, fields: &[u16]) -> PageTable {
    PageTable::new(FullAddr::machphys(0), PagingForm::new(format, fields).unwrap())
}

/// The same as a method.
pub fn method(format: PteFormat, fields: &[u16]) -> Method {
    Method::page_table(AddrSpace::MACHPHYS, table(format, fields))
}

/// A small generator of numbers (splitmix64), the same ones each time.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}
