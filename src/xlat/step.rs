//! Translation in steps, each of which indexes one table.
//!
//! ```text
//!   launch        base = root,  remain = 5,  idx = [offset, pte, pmd, pud, pgd]
//!   step          reads root[pgd];    base = next table,  remain = 4
//!   ...
//!   step          reads table[pte];   base = page,        remain = 1
//!   step          base = page + offset,                   remain = 0: done
//! ```
//!
//! A step first takes `remain` down and adds the index to `base`; then, unless
//! that was the last one, the method decides what `base` is from there on.

use alloc::format;

use super::ctx::Ctx;
use super::error::{Error, Result, Status};
use super::method::{Kind, Lookup, LookupElem, MemArray, Method};
use super::pgt;
use super::system::System;
use super::types::FullAddr;

/// 2^`bits` - 1; all ones from 64 bits on.
pub(super) const fn mask(bits: u32) -> u64 {
    if bits < 64 { (1 << bits) - 1 } else { u64::MAX }
}

/// `value >> bits`; 0 from 64 bits on.
pub(super) const fn shr(value: u64, bits: u32) -> u64 {
    if bits < 64 { value >> bits } else { 0 }
}

/// `value << bits`; 0 from 64 bits on.
pub(super) const fn shl(value: u64, bits: u32) -> u64 {
    if bits < 64 { value << bits } else { 0 }
}

/// What the last step read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Raw {
    /// Nothing yet.
    #[default]
    None,
    /// An entry of a page table (with all its bits), or a number of an array.
    Value(u64),
    /// An object of a lookup table.
    Elem(LookupElem),
}

/// How far a translation has come.
///
/// After a failed step, `base` is the place of the entry that is to blame and
/// `raw` its value, if it could be read. A step that failed with
/// [`Status::BUSY`] leaves everything as it was and may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Start of the table to be indexed next; of the page when `remain` is 1;
    /// the result when it is 0.
    pub base: FullAddr,
    /// The number of steps that are left.
    pub remain: u16,
    /// The size of an element of the table in bytes; 1 for the last step.
    pub elemsz: u32,
    /// What was read last.
    pub raw: Raw,
    /// `idx[remain - 1]` is the index that the next step applies.
    pub idx: [u64; Step::INDICES],
    /// log2 of the bytes around the address that are known to translate alike,
    /// once `remain` is 1 or less. Before that it is 0, unless the walk is in a
    /// table of huge pages, whose size it is then.
    pub leaf_bits: u32,
}

impl Step {
    /// How many indices there are at most: eight fields and the rest.
    pub const INDICES: usize = 9;

    /// A step at `base`, to be launched or walked from there.
    pub const fn new(base: FullAddr) -> Self {
        Step { base, remain: 0, elemsz: 0, raw: Raw::None, idx: [0; Self::INDICES], leaf_bits: 0 }
    }

    /// An index; 0 if there is none of that number.
    pub fn index(&self, level: usize) -> u64 {
        self.idx.get(level).copied().unwrap_or(0)
    }

    /// One step to go: `offset` bytes into what is at `base`.
    fn offset_into(&mut self, base: FullAddr, offset: u64) {
        self.base = base;
        self.remain = 1;
        self.elemsz = 1;
        self.idx[0] = offset;
    }

    /// Adds the next index to `base`.
    pub(super) fn advance(&mut self) -> Result<()> {
        let remain = self.remain.wrapping_sub(1);
        let Some(&index) = self.idx.get(usize::from(remain)) else {
            return Err(Error::invalid(format!("Too many steps: {}", self.remain)));
        };
        self.remain = remain;
        self.base = self.base.offset(index.wrapping_mul(u64::from(self.elemsz)));
        Ok(())
    }
}

impl Default for Step {
    fn default() -> Self {
        Step::new(FullAddr::NONE)
    }
}

/// What a translation in steps goes by: who is asked for memory, the system
/// that translates the places of tables, and the method.
#[derive(Clone, Copy)]
pub struct Walker<'a> {
    pub(super) ctx: &'a Ctx,
    pub(super) sys: Option<&'a System>,
    pub(super) method: &'a Method,
    /// Absent entries are an ordinary answer and need no message.
    pub(super) quiet: bool,
}

impl<'a> Walker<'a> {
    /// Steps of `method`. Without a system only tables in memory that can be
    /// read directly are found.
    pub fn new(ctx: &'a Ctx, sys: Option<&'a System>, method: &'a Method) -> Self {
        Walker { ctx, sys, method, quiet: false }
    }

    /// The same, but absent entries of page tables fail without a message. For
    /// those who look whether something is mapped.
    #[must_use]
    pub fn quiet(self) -> Self {
        Walker { quiet: true, ..self }
    }

    /// The context that is asked for memory.
    pub fn ctx(&self) -> &'a Ctx {
        self.ctx
    }

    /// The system that translates the places of tables.
    pub fn system(&self) -> Option<&'a System> {
        self.sys
    }

    /// The method whose steps these are.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Begins to translate `addr`.
    ///
    /// # Errors
    ///
    /// Those of the method; for page tables `NoData` if there is no root and
    /// `Invalid` if the address has too many bits. The state is set even then.
    pub fn launch(&self, step: &mut Step, addr: u64) -> Result<()> {
        self.first_step(step, addr)
    }

    /// Makes the next step; nothing happens when none is left.
    ///
    /// # Errors
    ///
    /// `NotPresent` and `Invalid` for what tables say, those of the callbacks
    /// for tables that cannot be read.
    pub fn step(&self, step: &mut Step) -> Result<()> {
        if step.remain == 0 {
            return Ok(());
        }
        let (base, remain) = (step.base, step.remain);
        step.advance()?;
        if step.remain == 0 {
            self.finish(step);
            return Ok(());
        }
        self.next_step(step).inspect_err(|error| {
            if error.status() == Status::BUSY {
                (step.base, step.remain) = (base, remain);
            }
        })
    }

    /// Translates `step.base.addr` (its space does not matter) in one go;
    /// `step.base` is the result.
    ///
    /// # Errors
    ///
    /// As for [`launch`](Self::launch) and [`step`](Self::step).
    pub fn walk(&self, step: &mut Step) -> Result<()> {
        let start = step.base;
        let _limit = self.ctx.limit_of_translation();
        self.walk_from(step).inspect_err(|error| {
            if error.status() == Status::BUSY {
                step.base = start;
            }
        })
    }

    fn walk_from(&self, step: &mut Step) -> Result<()> {
        self.first_step(step, step.base.addr)?;
        if step.remain == 0 {
            return Ok(());
        }
        self.walk_on(step, |_| {})
    }

    /// Makes all steps that are left, one at least; `seen` is shown the state
    /// after each of them but the last.
    pub(super) fn walk_on(&self, step: &mut Step, mut seen: impl FnMut(&Step)) -> Result<()> {
        // Methods of the library take 9 steps at most; one of the user may go
        // back and forth, but not for ever.
        const CUSTOM_STEPS_MAX: u32 = 1 << 16;

        for _ in 0..CUSTOM_STEPS_MAX {
            step.advance()?;
            if step.remain == 0 {
                self.finish(step);
                return Ok(());
            }
            self.next_step(step)?;
            seen(step);
        }
        Err(Error::invalid("Endless translation"))
    }

    fn finish(&self, step: &mut Step) {
        step.base.space = self.method.target;
        step.elemsz = 0;
    }

    fn first_step(&self, step: &mut Step, addr: u64) -> Result<()> {
        step.leaf_bits = 0;
        match &self.method.kind {
            Kind::None => Err(Error::no_method("Null translation method")),
            Kind::Custom(custom) => custom.first_step(self, step, addr),
            Kind::Linear(offset) => {
                step.offset_into(FullAddr::new(self.method.target, *offset), addr);
                step.leaf_bits = 64;
                Ok(())
            }
            Kind::Pgt(table) => pgt::first_step(table, step, addr),
            Kind::Lookup(lookup) => self.look_up(lookup, step, addr),
            Kind::MemArr(array) => {
                step.base = array.base;
                step.remain = 2;
                step.elemsz = array.elemsz;
                step.idx[0] = addr & mask(array.shift);
                step.idx[1] = shr(addr, array.shift);
                Ok(())
            }
            Kind::Unknown(_) => Err(Error::not_implemented("Unknown translation kind")),
        }
    }

    fn next_step(&self, step: &mut Step) -> Result<()> {
        self.ctx.spend(1)?;
        match &self.method.kind {
            Kind::None => Err(Error::no_method("Null translation method")),
            Kind::Custom(custom) => custom.next_step(self, step),
            Kind::Linear(_) | Kind::Lookup(_) => Ok(()),
            Kind::Pgt(table) => pgt::next_step(self, table, step),
            Kind::MemArr(array) => self.read_element(array, step),
            Kind::Unknown(_) => Err(Error::not_implemented("Unknown translation kind")),
        }
    }

    fn look_up(&self, lookup: &Lookup, step: &mut Step, addr: u64) -> Result<()> {
        if !lookup.is_apart() {
            // All of them may have to be compared.
            self.ctx.spend(lookup.elems().len() as u64 / 64)?;
        }
        let elem = lookup.find(addr).ok_or_else(|| Error::not_present("Not mapped"))?;
        step.offset_into(FullAddr::new(self.method.target, elem.dest), addr.wrapping_sub(elem.orig));
        step.raw = Raw::Elem(elem);
        Ok(())
    }

    fn read_element(&self, array: &MemArray, step: &mut Step) -> Result<()> {
        const WHAT: &str = "memory array element";
        let value = match array.valsz {
            4 => u64::from(self.ctx.read_u32(self.sys, step.base, WHAT)?),
            8 => self.ctx.read_u64(self.sys, step.base, WHAT)?,
            size => return Err(Error::not_implemented(format!("Unsupported value size: {size}"))),
        };
        step.raw = Raw::Value(value);
        step.base = FullAddr::new(self.method.target, shl(value, array.shift));
        step.elemsz = 1;
        step.leaf_bits = array.shift;
        Ok(())
    }
}
