//! Translation in steps.

use core::ptr;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{Error, Method, Raw, Step, System, Walker};
use kdumpfile_capi_shared::chain::{full_addr, rust_addr};
use kdumpfile_capi_shared::convert;
use kdumpfile_capi_shared::types::{self, AX_NODATA, AX_OK, AxStatus, KIND_CUSTOM, KIND_LOOKUP, KIND_MEMARR};

use crate::ctx::Ctx;
use crate::sys::{Sys, owner};

/// How many steps a method may take: one of a client may go back and forth,
/// but not for ever.
const STEPS_MAX: u32 = 1 << 16;

/// A step of C and what it goes by.
struct Going<'a> {
    c: *mut types::Step,
    ctx: &'a Ctx,
    system: Option<Shared<System>>,
    method: Method,
}

impl<'a> Going<'a> {
    /// # Safety
    /// `c` is a step with a context and a method.
    unsafe fn new(c: *mut types::Step, ctx: &'a Ctx) -> Result<Self, Error> {
        // SAFETY: as above.
        let (sys, meth) = unsafe { ((*c).sys.cast::<Sys>(), (*c).meth) };
        if meth.is_null() {
            return Err(Error::no_method("Null translation method"));
        }
        let this = ptr::from_ref(ctx).cast_mut();
        // SAFETY: as above; the method stays during the call.
        let method = unsafe { convert::to_rust(meth, owner(this, sys, meth)) };
        Ok(Going { c, ctx, system: ctx.system(sys), method })
    }

    fn kind(&self) -> u32 {
        // SAFETY: the method is there.
        unsafe { (*(*self.c).meth).kind }
    }

    /// Calls `step` with the state in terms of Rust. What it changed is there
    /// even after a failure.
    fn with<R>(&self, step: impl FnOnce(&Walker<'_>, &mut Step) -> Result<R, Error>) -> Result<R, Error> {
        let c = self.c;
        let mut state = Step::default();
        // SAFETY: the step is the client's; any number may stand there.
        unsafe {
            state.base = rust_addr((*c).base);
            state.remain = (*c).remain;
            state.elemsz = (*c).elemsz;
            state.idx = (*c).idx;
        }
        let walker = Walker::new(self.ctx.rust(), self.system.as_deref(), &self.method);
        let outcome = step(&walker, &mut state);
        // SAFETY: as above. Callbacks do not change the step of the method.
        unsafe {
            (*c).base = full_addr(state.base);
            (*c).remain = state.remain;
            (*c).elemsz = state.elemsz;
            (*c).idx = state.idx;
            match state.raw {
                Raw::None => {}
                Raw::Value(value) if self.kind() == KIND_MEMARR => (*c).raw.addr = value,
                Raw::Value(value) => (*c).raw.pte = value,
                Raw::Elem(elem) => (*c).raw.elem = self.place_of(elem.orig, elem.dest),
            }
        }
        outcome
    }

    /// Where an object of the client's table is.
    fn place_of(&self, orig: u64, dest: u64) -> *const types::LookupElem {
        if self.kind() != KIND_LOOKUP {
            return ptr::null();
        }
        // SAFETY: the table of a lookup method has so many elements.
        unsafe {
            let lookup = (*(*self.c).meth).param.lookup;
            let same = |elem: &types::LookupElem| elem.orig == orig && elem.dest == dest;
            let mut places = (0..lookup.nelem).map(|place| lookup.tbl.add(place).cast_const());
            places.find(|place| same(&**place)).unwrap_or(ptr::null())
        }
    }

    fn launch(&self, addr: u64) -> Result<AxStatus, Error> {
        if self.kind() == KIND_CUSTOM {
            // SAFETY: the client's function, called with the client's step.
            return unsafe {
                match (*(*self.c).meth).param.custom.first_step {
                    Some(first_step) => Ok(first_step(self.c, addr)),
                    None => Err(Error::not_implemented("No first_step callback")),
                }
            };
        }
        self.with(|walker, state| walker.launch(state, addr)).map(|()| AX_OK)
    }

    fn step(&self) -> Result<AxStatus, Error> {
        let c = self.c;
        // SAFETY: the step is the client's.
        if unsafe { (*c).remain } == 0 {
            return Ok(AX_OK);
        }
        if self.kind() != KIND_CUSTOM {
            return self.with(|walker, state| walker.step(state)).map(|()| AX_OK);
        }
        // SAFETY: as above; the client's function is called with its own step.
        unsafe {
            let remain = (*c).remain - 1;
            let Some(index) = (*c).idx.get(usize::from(remain)) else {
                return Err(Error::invalid(format!("Too many steps: {}", (*c).remain)));
            };
            (*c).base.addr = (*c).base.addr.wrapping_add(index.wrapping_mul(u64::from((*c).elemsz)));
            (*c).remain = remain;
            if remain == 0 {
                (*c).base.space = (*(*c).meth).target_as;
                (*c).elemsz = 0;
                return Ok(AX_OK);
            }
            match (*(*c).meth).param.custom.next_step {
                Some(next_step) => Ok(next_step(c)),
                None => Err(Error::not_implemented("No next_step callback")),
            }
        }
    }

    fn walk(&self) -> Result<AxStatus, Error> {
        // SAFETY: the step is the client's.
        let addr = unsafe { (*self.c).base.addr };
        let status = self.launch(addr)?;
        if status != AX_OK {
            return Ok(status);
        }
        for _ in 0..STEPS_MAX {
            // SAFETY: as above.
            if unsafe { (*self.c).remain } == 0 {
                return Ok(AX_OK);
            }
            let status = self.step()?;
            if status != AX_OK {
                return Ok(status);
            }
        }
        Err(Error::invalid("Endless translation"))
    }
}

/// Runs the body of an entry function.
///
/// # Safety
/// `step` is NULL, or a step with a context.
unsafe fn enter(
    step: *mut types::Step,
    body: impl FnOnce(&Going<'_>) -> Result<AxStatus, Error>,
) -> AxStatus {
    if step.is_null() {
        return AX_NODATA;
    }
    // SAFETY: as above.
    let Some(ctx) = (unsafe { (*step).ctx.cast::<Ctx>().as_ref() }) else { return AX_NODATA };
    // SAFETY: as above.
    ctx.call(|| body(&unsafe { Going::new(step, ctx) }?))
}

/// Begins to translate `addr`.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_launch(step: *mut types::Step, addr: u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { enter(step, |going| going.launch(addr)) }
}

/// Makes the next step.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_step(step: *mut types::Step) -> AxStatus {
    // SAFETY: as above.
    unsafe { enter(step, |going| going.step()) }
}

/// Translates the address in the step.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_walk(step: *mut types::Step) -> AxStatus {
    // SAFETY: as above.
    unsafe { enter(step, |going| going.walk()) }
}
