//! Searches of page tables for what is mapped and what is not.
//!
//! A search goes down into a table once and looks at its entries one by one, in
//! the order of their addresses, each only when it is reached and lies within
//! the limit: a dump may lack the words behind. Absent entries are passed as a
//! whole. An entry that cannot be read ends the search.
//!
//! A table that is used in many places (the zero page of KASAN's shadow, or the
//! loop of a hostile dump) is searched in one of them only.
//!
//! Each search has one account of steps ([`set_steps_max`](super::Ctx::set_steps_max)), from which all is paid
//! that is done for it: entries that are looked at, tables that are entered, and
//! translations without which a table cannot be read.

use alloc::collections::BTreeSet;

use super::error::{Error, Result, Status};
use super::method::{Kind, PageTable, PagingForm};
use super::pgt::{PteFormat, Row, next_step_in, parts, reach};
use super::step::{Step, Walker, mask, shr};
use super::types::{AddrSpace, FullAddr};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Mapped,
    Unmapped,
}

/// A table, or a part of one: the place of the entry that is looked at first, the
/// level, log2 of the bytes that all of it maps, and of those that an entry of a
/// huge page directory maps.
type Table = (i32, u64, usize, u32, u32);

/// Where a search is, and what for.
struct Search {
    direction: Direction,
    wanted: Wanted,
    /// The address that the next entry is for.
    addr: u64,
    /// The last address to look at.
    limit: u64,
    /// The search has come to the end of the address space.
    wrapped: bool,
    /// Tables that were searched from end to end, and have nothing of what is
    /// wanted.
    barren: BTreeSet<Table>,
}

/// What it costs to enter a table, in steps: it is remembered that there is
/// nothing in it.
const TABLE_STEPS: u64 = 32;

impl Search {
    fn is_over(&self) -> bool {
        self.wrapped
            || match self.direction {
                Direction::Up => self.addr > self.limit,
                Direction::Down => self.addr < self.limit,
            }
    }

    /// Whether the block of 2^`bits` bytes that contains the address is to be
    /// searched from its start to its end.
    fn takes_all_of(&self, bits: u32) -> bool {
        let (low, high) = (self.addr & !mask(bits), self.addr | mask(bits));
        match self.direction {
            Direction::Up => self.addr == low && high <= self.limit,
            Direction::Down => self.addr == high && low >= self.limit,
        }
    }

    /// Goes behind the entry of 2^`bits` bytes that contains the address.
    fn pass(&mut self, bits: u32) {
        let (addr, wrapped) = match self.direction {
            Direction::Up => (self.addr | mask(bits)).overflowing_add(1),
            Direction::Down => (self.addr & !mask(bits)).overflowing_sub(1),
        };
        self.addr = addr;
        self.wrapped |= wrapped;
    }
}

impl Walker<'_> {
    /// Finds the lowest page from `addr` (rounded down to a page) to `limit`
    /// that is mapped. `addr` is where it is, the step has its translation.
    ///
    /// # Errors
    ///
    /// `NotPresent`, without a message, if there is none; `addr` is then where
    /// the search ended. Others as for [`launch`](Self::launch) and
    /// [`step`](Self::step).
    pub fn lowest_mapped(&self, addr: &mut u64, limit: u64) -> Result<Step> {
        self.search(addr, limit, Direction::Up, Wanted::Mapped)
    }

    /// Finds the highest page from `addr` (rounded up to the last byte of its
    /// page) down to `limit` that is mapped. `addr` is its last byte, the step
    /// has the translation of that byte.
    ///
    /// # Errors
    ///
    /// As for [`lowest_mapped`](Self::lowest_mapped).
    pub fn highest_mapped(&self, addr: &mut u64, limit: u64) -> Result<Step> {
        self.search(addr, limit, Direction::Down, Wanted::Mapped)
    }

    /// Finds the lowest address from `addr` (rounded down to a page) to `limit`
    /// that is not mapped. `addr` is where it is.
    ///
    /// # Errors
    ///
    /// `NotPresent`, without a message, if all of them are mapped; `addr` is
    /// then the first byte behind the last page, which may be a huge one that
    /// goes beyond the limit (0 at the end of the address space). Others as for
    /// [`launch`](Self::launch) and [`step`](Self::step).
    pub fn lowest_unmapped(&self, addr: &mut u64, limit: u64) -> Result<()> {
        self.search(addr, limit, Direction::Up, Wanted::Unmapped).map(|_| ())
    }

    /// Finds the end of the linear mapping that begins at `addr`, where a
    /// kernel physical address is the virtual one plus `offset`. `addr` is its
    /// last byte. Mapped runs count as linear when their first page is, and
    /// holes between them do not matter.
    ///
    /// # Errors
    ///
    /// `NotPresent` if nothing is mapped there, or it is not linear; others as
    /// for [`lowest_mapped`](Self::lowest_mapped) and
    /// [`Ctx::convert`](super::Ctx::convert).
    pub fn highest_linear(&self, addr: &mut u64, limit: u64, offset: u64) -> Result<()> {
        self.within_limit(|| self.linear_end(addr, limit, offset))
    }

    fn linear_end(&self, addr: &mut u64, limit: u64, offset: u64) -> Result<()> {
        let mut next = *addr;
        let mut result = Err(Error::bare(Status::NotPresent));
        loop {
            match self.look(&mut next, limit, Direction::Up, Wanted::Mapped) {
                Ok(_) => {}
                Err(error) if error.status() == Status::NotPresent => return result,
                Err(error) => return Err(error),
            }
            let start = next;
            let phys = self.ctx.convert(self.sys, AddrSpace::KPHYS, FullAddr::kvirt(start))?;
            if phys.addr.wrapping_sub(start) != offset {
                return result;
            }
            let hole = self.look(&mut next, limit, Direction::Up, Wanted::Unmapped);
            if let Err(error) = &hole
                && error.status() != Status::NotPresent
            {
                return hole.map(|_| ());
            }
            *addr = next.wrapping_sub(1);
            result = Ok(());
            // The mapping goes to the limit, or to the end of what tables are for.
            if hole.is_err() {
                return result;
            }
        }
    }

    fn search(&self, addr: &mut u64, limit: u64, direction: Direction, wanted: Wanted) -> Result<Step> {
        self.within_limit(|| self.look(addr, limit, direction, wanted))
    }

    /// Does all of `work` with the steps of one search.
    fn within_limit<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let limit = self.ctx.limit(self.ctx.steps_max());
        let result = work();
        if result.is_err() && limit.is_reached() {
            return Err(Error::no_data("Search of page tables takes too many steps"));
        }
        result
    }

    fn look(&self, addr: &mut u64, limit: u64, direction: Direction, wanted: Wanted) -> Result<Step> {
        let Kind::Pgt(table) = &self.method.kind else {
            return Err(Error::not_implemented("Only page tables can be searched"));
        };
        let form = &table.form;
        let page = mask(form.field(0));
        *addr = match direction {
            Direction::Up => *addr & !page,
            Direction::Down => *addr | page,
        };
        let walker = self.quiet();
        let mut step = Step::default();
        walker.launch(&mut step, *addr)?;
        // Bits that must repeat others end a search before the tables do.
        let (lowest, highest) = reach(form, *addr);
        let limit = match direction {
            Direction::Up => limit.min(highest),
            Direction::Down => limit.max(lowest),
        };
        let mut search =
            Search { direction, wanted, addr: *addr, limit, wrapped: false, barren: BTreeSet::new() };
        let result = walker.search_table(table, &step, form.virt_bits(), &mut search);
        *addr = search.addr;
        result.map_err(|error| match error.status() {
            Status::NotPresent => Error::bare(Status::NotPresent),
            _ => error,
        })
    }

    /// Searches the table at `step.base`, all of which maps 2^`table_bits`
    /// bytes, from the address of the search on. There are no more levels than a
    /// step can have.
    fn search_table(
        &self,
        tables: &PageTable,
        step: &Step,
        table_bits: u32,
        search: &mut Search,
    ) -> Result<Step> {
        let form = &tables.form;
        let mut step = *step;
        let Some(level) = usize::from(step.remain).checked_sub(1).filter(|&level| level > 0) else {
            return self.found(step, search);
        };
        let huge = step.leaf_bits;
        let bits = match huge {
            0 => form.span(level) - parts(form, level),
            // Also a page that is smaller than those of the form takes their place.
            _ => huge.max(form.field(0)),
        };
        let whole = search.takes_all_of(table_bits);
        set_indices(form, &mut step, level, table_bits, search.addr);
        let first = step.base.offset(step.index(level).wrapping_mul(u64::from(step.elemsz)));
        let table = (first.space.0, first.addr, level, table_bits, huge);
        if whole && search.barren.contains(&table) {
            search.pass(table_bits);
            return Err(Error::bare(Status::NotPresent));
        }
        self.ctx.spend(TABLE_STEPS)?;
        let block = shr(search.addr, table_bits);
        let mut row = Row::new();
        // Absent entries that are the same say the same, but for those whose
        // index counts as well.
        let alike = huge == 0 && form.format() != PteFormat::S390x;
        while !search.is_over() && shr(search.addr, table_bits) == block {
            set_indices(form, &mut step, level, table_bits, search.addr);
            let mut below = step;
            let ahead = (search.direction == Direction::Up).then_some(&mut row);
            match self.entry(tables, &mut below, ahead) {
                Ok(()) if below.remain > 1 => match self.search_table(tables, &below, bits, search) {
                    Err(error) if error.status() == Status::NotPresent => {}
                    result => return result,
                },
                Ok(()) if search.wanted == Wanted::Mapped => return self.found(below, search),
                Ok(()) => search.pass(bits),
                Err(error) if error.status() != Status::NotPresent => return Err(error),
                Err(_) if search.wanted == Wanted::Unmapped => return Ok(below),
                Err(_) => {
                    search.pass(bits);
                    let same = if alike { row.repeats(below.base, step.elemsz) } else { 0 };
                    for _ in 0..same {
                        if search.is_over() || shr(search.addr, table_bits) != block {
                            break;
                        }
                        self.ctx.spend(1)?;
                        search.pass(bits);
                    }
                }
            }
        }
        if whole {
            search.barren.insert(table);
        }
        // Nobody needs a table again whose end was seen.
        if !search.is_over() {
            self.ctx.demote(step.base);
        }
        Err(Error::bare(Status::NotPresent))
    }

    /// Follows the next entry of a table.
    fn entry(&self, table: &PageTable, step: &mut Step, row: Option<&mut Row>) -> Result<()> {
        step.advance()?;
        self.ctx.spend(1)?;
        next_step_in(self, table, step, row)
    }

    /// Only the offset is left.
    fn found(&self, mut step: Step, search: &mut Search) -> Result<Step> {
        if search.wanted == Wanted::Unmapped {
            search.pass(step.leaf_bits);
            return Err(Error::bare(Status::NotPresent));
        }
        self.step(&mut step)?;
        Ok(step)
    }
}

/// Makes `step`, which is at a table of `level`, one for `addr`. The table maps
/// 2^`table_bits` bytes.
fn set_indices(form: &PagingForm, step: &mut Step, level: usize, table_bits: u32, addr: u64) {
    let page = mask(form.field(0));
    match step.leaf_bits {
        0 => {
            let mut rest = addr;
            for (place, index) in step.idx.iter_mut().enumerate().take(level.saturating_add(1)) {
                let bits = form.field(place);
                *index = rest & mask(bits);
                rest = shr(rest, bits);
            }
        }
        // As at the entry of a huge page directory.
        huge => {
            let offset = addr & mask(table_bits) & !page;
            step.idx[1] = shr(offset, huge);
            step.idx[0] = (addr & page) | (offset & mask(huge));
        }
    }
}
