//! Methods that only C can do: custom functions, and tables that belong to a
//! client.

use kdumpfile::xlat::{Custom, Error, FullAddr, LookupElem, Raw, Result, Status, Step, Walker};

use crate::chain::{full_addr, rust_addr};
use crate::types::{self, AX_OK, AxStatus, CtxOpaque, Meth, ParamLookup, SysOpaque};

/// Whom the C functions of a method are called for.
#[derive(Clone, Copy)]
pub struct Owner {
    /// `ctx` of the steps.
    pub ctx: *mut CtxOpaque,
    /// `sys` of the steps.
    pub sys: *mut SysOpaque,
    /// `meth` of the steps: the record in use.
    pub meth: *const Meth,
    /// Makes an error of a status, with the text that the function left.
    pub error: unsafe fn(ctx: *mut CtxOpaque, status: AxStatus) -> Error,
}

/// A method of C functions.
pub struct CCustom(pub Owner);

/// A table that a client may change at any time.
pub struct CLookup(pub ParamLookup);

// SAFETY: systems that have such a method are made for one context, which is
// used by one thread at a time.
unsafe impl Send for CCustom {}
// SAFETY: as above.
unsafe impl Sync for CCustom {}
// SAFETY: as above.
unsafe impl Send for CLookup {}
// SAFETY: as above.
unsafe impl Sync for CLookup {}

impl CCustom {
    fn to_c(&self, step: &Step) -> types::Step {
        types::Step {
            ctx: self.0.ctx,
            sys: self.0.sys,
            meth: self.0.meth,
            remain: step.remain,
            elemsz: step.elemsz,
            base: full_addr(step.base),
            raw: types::StepRaw { pte: if let Raw::Value(value) = step.raw { value } else { 0 } },
            idx: step.idx,
        }
    }

    fn take_back(&self, status: AxStatus, c: &types::Step, step: &mut Step) -> Result<()> {
        step.remain = c.remain;
        step.elemsz = c.elemsz;
        step.base = rust_addr(c.base);
        // SAFETY: each member of the union is 8 bytes of plain data, which the
        // step began with.
        step.raw = Raw::Value(unsafe { c.raw.pte });
        step.idx = c.idx;
        if status == AX_OK {
            return Ok(());
        }
        // SAFETY: the context is the one that the steps are made for.
        Err(unsafe { (self.0.error)(self.0.ctx, status) })
    }
}

impl Custom for CCustom {
    fn first_step(&self, _: &Walker<'_>, step: &mut Step, addr: u64) -> Result<()> {
        let mut c = self.to_c(step);
        // SAFETY: the record outlives the walk, and its kind is CUSTOM.
        let function = unsafe { (*self.0.meth).param.custom.first_step };
        let function = function.ok_or(Error::bare(Status::NotImplemented))?;
        // SAFETY: a function of the client, called as the header says.
        let status = unsafe { function(&raw mut c, addr) };
        self.take_back(status, &c, step)
    }

    fn next_step(&self, _: &Walker<'_>, step: &mut Step) -> Result<()> {
        let mut c = self.to_c(step);
        // SAFETY: the record outlives the walk, and its kind is CUSTOM.
        let function = unsafe { (*self.0.meth).param.custom.next_step };
        let function = function.ok_or(Error::bare(Status::NotImplemented))?;
        // SAFETY: a function of the client, called as the header says.
        let status = unsafe { function(&raw mut c) };
        self.take_back(status, &c, step)
    }
}

impl CLookup {
    /// The first object that contains `addr`.
    pub fn find(&self, addr: u64) -> Option<LookupElem> {
        if self.0.tbl.is_null() {
            return None;
        }
        // SAFETY: the table has so many elements as long as the method is in use.
        let table = unsafe { core::slice::from_raw_parts(self.0.tbl, self.0.nelem) };
        let contains = |elem: &&types::LookupElem| addr >= elem.orig && addr - elem.orig <= self.0.endoff;
        table.iter().find(contains).map(|elem| LookupElem { orig: elem.orig, dest: elem.dest })
    }
}

impl Custom for CLookup {
    fn first_step(&self, walker: &Walker<'_>, step: &mut Step, addr: u64) -> Result<()> {
        let elem = self.find(addr).ok_or_else(|| Error::not_present("Not mapped"))?;
        step.base = FullAddr::new(walker.method().target, elem.dest);
        step.remain = 1;
        step.elemsz = 1;
        step.idx[0] = addr.wrapping_sub(elem.orig);
        step.raw = Raw::Elem(elem);
        Ok(())
    }

    fn next_step(&self, _: &Walker<'_>, _: &mut Step) -> Result<()> {
        Ok(())
    }
}
