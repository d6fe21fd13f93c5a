//! The translations that were found last, for one context and one system.
//!
//! Each place holds a run of addresses that translate alike, as far as the
//! tables that were read say so: a page, a huge page, a part of the direct
//! mapping. A place is chosen by the 4 KiB page that was asked for; the run that
//! was used last is looked at first, which is all that a linear mapping needs.
//!
//! When a page is not known yet, the tables of the last two levels often are:
//! then one or two entries are read instead of four or five.
//!
//! Absent pages and failures are not kept. A system that was changed is another
//! one, a context that asks another chain forgets everything. All this takes
//! 15 KiB once something was translated.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::ctx::Ctx;
use super::error::Result;
use super::map::MethodIndex;
use super::method::PageTable;
use super::op::Found;
use super::pgt::PteFormat;
use super::step::{Step, Walker, shr};
use super::system::{Generation, System};
use super::types::{AddrSpace, Caps, FullAddr};

/// How many runs are kept; a power of two.
const PLACES: usize = 256;
/// How many tables are kept; a power of two.
const TABLES: usize = 64;

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
    /// Matches nothing: there is no translation into no space at all.
    const EMPTY: Entry = Entry {
        first: 0,
        endoff: 0,
        delta: 0,
        caps: Caps::NONE,
        source: AddrSpace::NOADDR,
        target: AddrSpace::NOADDR,
    };

    #[inline]
    fn get(&self, caps: Caps, addr: FullAddr) -> Option<Found> {
        let before = addr.addr.wrapping_sub(self.first);
        let hit = before <= self.endoff && self.source == addr.space && self.caps == caps;
        (hit && caps != Caps::NONE).then(|| Found {
            target: FullAddr::new(self.target, addr.addr.wrapping_add(self.delta)),
            before,
            after: self.endoff - before,
            custom: false,
        })
    }
}

/// A table of entries with `level` steps to go, the index of this table
/// included.
#[derive(Clone, Copy)]
struct Table {
    method: MethodIndex,
    level: u16,
    /// The bits of all addresses that lead to the table.
    prefix: u64,
    base: FullAddr,
}

impl Table {
    /// Is reached by no address: no table has this level.
    const EMPTY: Table = Table { method: MethodIndex::NONE, level: 0, prefix: 0, base: FullAddr::NONE };

    fn place(level: u16, prefix: u64) -> usize {
        (prefix ^ (prefix >> 6) ^ u64::from(level)) as usize % TABLES
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Tlb {
    /// The system that the entries are from.
    generation: Option<Generation>,
    /// The place that was used last.
    last: usize,
    entries: Box<[Entry]>,
    tables: Box<[Table]>,
}

impl Tlb {
    pub(super) fn clear(&mut self) {
        self.generation = None;
        self.entries.fill(Entry::EMPTY);
        self.tables.fill(Table::EMPTY);
    }

    /// Makes room for what is known about a system, if it is another one.
    fn begin(&mut self, generation: &Generation) {
        if !self.generation.as_ref().is_some_and(|own| own.same(generation)) {
            self.clear();
            self.generation = Some(generation.clone());
        }
        fill_up(&mut self.entries, PLACES, Entry::EMPTY);
        fill_up(&mut self.tables, TABLES, Table::EMPTY);
    }

    fn place(addr: FullAddr) -> usize {
        // Pages next to each other, and pages at the same offset of tables next
        // to each other, should not meet in one place.
        let page = addr.addr >> 12;
        let hash = page ^ (page >> 8) ^ (page >> 17) ^ u64::from(addr.space.0.unsigned_abs() << 6);
        hash as usize % PLACES
    }

    #[inline]
    fn get(&mut self, generation: &Generation, caps: Caps, addr: FullAddr) -> Option<Found> {
        if !self.generation.as_ref()?.same(generation) {
            return None;
        }
        if let Some(found) = self.entries.get(self.last).and_then(|entry| entry.get(caps, addr)) {
            return Some(found);
        }
        let place = Self::place(addr);
        let found = self.entries.get(place)?.get(caps, addr)?;
        self.last = place;
        Some(found)
    }

    fn put(&mut self, generation: &Generation, caps: Caps, addr: FullAddr, found: &Found) {
        self.begin(generation);
        let entry = Entry {
            first: addr.addr.wrapping_sub(found.before),
            endoff: found.before.saturating_add(found.after),
            delta: found.target.addr.wrapping_sub(addr.addr),
            caps,
            source: addr.space,
            target: found.target.space,
        };
        self.last = Self::place(addr);
        if let Some(place) = self.entries.get_mut(self.last) {
            *place = entry;
        }
    }
}

/// Makes a list of `len` items, unless it is there or there is no memory.
fn fill_up<T: Clone>(list: &mut Box<[T]>, len: usize, empty: T) {
    let mut items = Vec::new();
    if list.is_empty() && items.try_reserve_exact(len).is_ok() {
        items.resize(len, empty);
        *list = items.into_boxed_slice();
    }
}

/// The levels whose tables are kept, the one that is nearest to the pages first.
fn levels(table: &PageTable) -> &'static [u16] {
    match table.form.format() {
        // Whether an index is allowed is said by the entry above its table.
        PteFormat::S390x => &[2],
        _ => &[2, 3],
    }
}

impl Ctx {
    /// Walks page tables of a system, from the lowest table that is known.
    pub(super) fn walk_table(
        &self,
        walker: &Walker<'_>,
        sys: &System,
        index: MethodIndex,
        table: &PageTable,
        step: &mut Step,
    ) -> Result<()> {
        let addr = step.base.addr;
        if !self.caching() || table.form.nfields() <= 2 {
            return walker.walk(step);
        }
        walker.launch(step, addr)?;
        let levels = levels(table);
        let prefix = |level: u16| shr(addr, table.form.span(usize::from(level)));
        for &level in levels.iter().filter(|&&level| level < table.form.nfields()) {
            if let Some(base) = self.known_table(sys, index, level, prefix(level)) {
                (step.base, step.remain) = (base, level);
                break;
            }
        }
        let (start, loops, version) = (step.remain, self.loops.get(), self.chain().version());
        let mut tables = [None; 2];
        let result = walker.walk_on(step, |step| {
            // A huge page directory is none of the tables of the form.
            if step.leaf_bits == 0
                && step.remain < start
                && let Some(place) = levels.iter().position(|&level| level == step.remain)
                && let Some(table) = tables.get_mut(place)
            {
                let (level, prefix) = (step.remain, prefix(step.remain));
                *table = Some(Table { method: index, level, prefix, base: step.base });
            }
        });
        if loops == self.loops.get() && version == self.chain().version() && !self.in_callback() {
            self.keep_tables(sys, &tables);
        }
        result
    }

    fn known_table(&self, sys: &System, method: MethodIndex, level: u16, prefix: u64) -> Option<FullAddr> {
        let tlb = self.tlb.try_borrow().ok()?;
        if !tlb.generation.as_ref()?.same(sys.generation()) {
            return None;
        }
        let table = tlb.tables.get(Table::place(level, prefix))?;
        let same = table.method == method && table.level == level && table.prefix == prefix;
        same.then_some(table.base)
    }

    fn keep_tables(&self, sys: &System, tables: &[Option<Table>]) {
        if let Ok(mut tlb) = self.tlb.try_borrow_mut()
            && tables.iter().any(Option::is_some)
        {
            tlb.begin(sys.generation());
            for table in tables.iter().flatten() {
                if let Some(place) = tlb.tables.get_mut(Table::place(table.level, table.prefix)) {
                    *place = *table;
                }
            }
        }
    }

    /// The same as [`remembered`](Self::remembered), if nothing is to be
    /// forgotten before: nobody else's code runs.
    #[inline]
    pub(super) fn still_known(&self, sys: &System, caps: Caps, addr: FullAddr) -> Option<Found> {
        if !self.caching() || !self.is_current() {
            return None;
        }
        self.tlb.try_borrow_mut().ok()?.get(sys.generation(), caps, addr)
    }

    /// What is known about `addr` from an earlier translation.
    #[inline]
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
