//! The translations that were found last, for one context and one system.
//!
//! Each place holds a run of addresses that translate alike, as far as the
//! tables that were read say so: a page, a huge page, a part of the direct
//! mapping. A place is chosen by the 4 KiB page that was asked for; the run that
//! was used last is looked at first, which is all that a linear mapping needs.
//!
//! Absent pages and failures are not kept. A system that was changed is another
//! one, a context that asks another chain forgets everything: 48 bytes a place,
//! 12 KiB once something was translated.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::ctx::Ctx;
use super::op::Found;
use super::system::{Generation, System};
use super::types::{AddrSpace, Caps, FullAddr};

/// How many runs are kept; a power of two.
const PLACES: usize = 256;

#[derive(Clone, Copy)]
struct Entry {
    first: u64,
    endoff: u64,
    /// Added to an address to get its translation.
    delta: u64,
    caps: Caps,
    source: AddrSpace,
    target: AddrSpace,
}

impl Entry {
    /// Matches no address: nothing is translated from a space that is none.
    const EMPTY: Entry = Entry {
        first: 0,
        endoff: 0,
        delta: 0,
        caps: Caps::NONE,
        source: AddrSpace::NOADDR,
        target: AddrSpace::NOADDR,
    };

    fn get(&self, caps: Caps, addr: FullAddr) -> Option<Found> {
        let before = addr.addr.wrapping_sub(self.first);
        let hit = before <= self.endoff && self.source == addr.space && self.caps == caps;
        hit.then(|| Found {
            target: FullAddr::new(self.target, addr.addr.wrapping_add(self.delta)),
            before,
            after: self.endoff - before,
            custom: false,
        })
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Tlb {
    /// The system that the entries are from.
    generation: Option<Generation>,
    last: Option<Entry>,
    entries: Box<[Entry]>,
}

impl Tlb {
    pub(super) fn clear(&mut self) {
        self.generation = None;
        self.last = None;
        self.entries.fill(Entry::EMPTY);
    }

    fn place(addr: FullAddr) -> usize {
        // Pages next to each other, and pages at the same offset of tables next
        // to each other, should not meet in one place.
        let page = addr.addr >> 12;
        let hash = page ^ (page >> 8) ^ (page >> 17) ^ u64::from(addr.space.0.unsigned_abs() << 6);
        hash as usize % PLACES
    }

    fn get(&mut self, generation: &Generation, caps: Caps, addr: FullAddr) -> Option<Found> {
        if !self.generation.as_ref()?.same(generation) {
            return None;
        }
        if let Some(found) = self.last.and_then(|entry| entry.get(caps, addr)) {
            return Some(found);
        }
        let entry = self.entries.get(Self::place(addr))?;
        let found = entry.get(caps, addr)?;
        self.last = Some(*entry);
        Some(found)
    }

    fn put(&mut self, generation: &Generation, caps: Caps, addr: FullAddr, found: &Found) {
        if !self.generation.as_ref().is_some_and(|own| own.same(generation)) {
            self.clear();
            self.generation = Some(generation.clone());
        }
        if self.entries.is_empty() {
            let mut entries = Vec::new();
            if entries.try_reserve_exact(PLACES).is_err() {
                return;
            }
            entries.resize(PLACES, Entry::EMPTY);
            self.entries = entries.into_boxed_slice();
        }
        let entry = Entry {
            first: addr.addr.wrapping_sub(found.before),
            endoff: found.before.saturating_add(found.after),
            delta: found.target.addr.wrapping_sub(addr.addr),
            caps,
            source: addr.space,
            target: found.target.space,
        };
        self.last = Some(entry);
        if let Some(place) = self.entries.get_mut(Self::place(addr)) {
            *place = entry;
        }
    }
}

impl Ctx {
    /// What is known about `addr` from an earlier translation.
    pub(super) fn remembered(&self, sys: &System, caps: Caps, addr: FullAddr) -> Option<Found> {
        if !self.caching() {
            return None;
        }
        // Forgets what another chain said.
        self.refresh();
        self.tlb.try_borrow_mut().ok()?.get(sys.generation(), caps, addr)
    }

    /// Keeps what was found for `addr`, unless it was found for the answer to a
    /// question that is still open.
    pub(super) fn remember(&self, sys: &System, caps: Caps, addr: FullAddr, found: &Found) {
        if self.caching()
            && !self.in_callback()
            && let Ok(mut tlb) = self.tlb.try_borrow_mut()
        {
            tlb.put(sys.generation(), caps, addr, found);
        }
    }
}
