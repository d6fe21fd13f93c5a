//! The records that every context has, and those that pass on.

use core::ffi::{c_char, c_ulong};
use core::ptr;
use std::sync::Arc;

use kdumpfile::xlat::{Callbacks, Caps, FullAddr, Next, PageBuf, Result};
use kdumpfile_capi_shared::chain::{self, Buffers, CChain, CHANGES};
use kdumpfile_capi_shared::types::{AX_CUSTOM_BASE, AX_NODATA, AX_OK, AxStatus, Buffer, Cb};
use kdumpfile_capi_shared::{guard, memory};

use crate::ctx::Ctx;
use crate::map::NEXT_STAMP;

/// The base of the Rust chain: asks the C chain of a context.
pub(crate) struct AskC {
    /// The context that owns this.
    pub ctx: *const Ctx,
    pub buffers: Arc<Buffers>,
}

// SAFETY: a context is used by one thread at a time, with all that is in it.
unsafe impl Send for AskC {}
// SAFETY: as above.
unsafe impl Sync for AskC {}

impl CChain for AskC {
    fn head(&self) -> *const Cb {
        // SAFETY: the context owns this.
        unsafe { (*self.ctx).head() }
    }

    fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    fn take_error(&self) -> String {
        // SAFETY: the context owns this.
        unsafe { (*self.ctx).take_error() }
    }
}

impl Callbacks for AskC {
    fn read_caps(&self, _: Next<'_>) -> Caps {
        // SAFETY: clients keep their records valid; likewise below.
        unsafe { chain::read_caps(self) }
    }

    fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
        // SAFETY: as above.
        unsafe { chain::page(self, addr) }
    }

    fn register(&self, _: Next<'_>, name: &str) -> Result<u64> {
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.reg_value, name) }
    }

    fn symbol_value(&self, _: Next<'_>, name: &str) -> Result<u64> {
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.sym_value, name) }
    }

    fn symbol_size(&self, _: Next<'_>, name: &str) -> Result<u64> {
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.sym_sizeof, name) }
    }

    fn symbol_offset(&self, _: Next<'_>, container: &str, member: &str) -> Result<u64> {
        // SAFETY: as above.
        unsafe { chain::offset(self, container, member) }
    }

    fn number(&self, _: Next<'_>, name: &str) -> Result<u64> {
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.num_value, name) }
    }
}

/// The record below all others: it knows nothing. Its functions look at
/// nothing but `priv`, so that clients may copy them together with that.
pub(crate) fn last_record(ctx: *const Ctx) -> Cb {
    Cb {
        next: ptr::null(),
        private: ctx.cast_mut().cast(),
        get_page: Some(no_page),
        read_caps: Some(no_caps),
        reg_value: Some(no_register),
        sym_value: Some(no_symbol),
        sym_sizeof: Some(no_size),
        sym_offsetof: Some(no_offset),
        num_value: Some(no_number),
    }
}

/// Says that a question has no answer.
///
/// # Safety
/// `priv` of the record is a context, or NULL.
unsafe fn nothing(cb: *const Cb, text: &str) -> AxStatus {
    guard::run(
        || {
            // SAFETY: as above.
            if let Some(ctx) = unsafe { (*cb).private.cast::<Ctx>().as_ref() } {
                ctx.add_error(text.as_bytes());
            }
            AX_NODATA
        },
        |_| AX_NODATA,
    )
}

unsafe extern "C" fn no_page(cb: *const Cb, _: *mut Buffer) -> AxStatus {
    // SAFETY: the record has the context of the one that this is copied from.
    unsafe { nothing(cb, "No get_page callback") }
}

unsafe extern "C" fn no_caps(_: *const Cb) -> c_ulong {
    0
}

unsafe extern "C" fn no_register(cb: *const Cb, _: *const c_char, _: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { nothing(cb, "No reg_value callback") }
}

unsafe extern "C" fn no_symbol(cb: *const Cb, _: *const c_char, _: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { nothing(cb, "No sym_value callback") }
}

unsafe extern "C" fn no_size(cb: *const Cb, _: *const c_char, _: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { nothing(cb, "No sym_sizeof callback") }
}

unsafe extern "C" fn no_offset(cb: *const Cb, _: *const c_char, _: *const c_char, _: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { nothing(cb, "No sym_offsetof callback") }
}

unsafe extern "C" fn no_number(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    // SAFETY: a client asks with a string, and has room for the answer.
    unsafe {
        if !val.is_null() && memory::bytes(name) == Some(CHANGES.to_bytes()) {
            val.write((&raw const NEXT_STAMP).expose_provenance() as u64);
            return AX_OK;
        }
    }
    // SAFETY: as above. The text is the one that clients know.
    unsafe { nothing(cb, "No sym_offsetof callback") }
}

/// A record that passes everything on to the one below, until the client
/// stores functions of its own.
pub(crate) fn passing_record(next: *const Cb) -> Cb {
    Cb {
        next,
        private: ptr::null_mut(),
        get_page: Some(next_page),
        read_caps: Some(next_caps),
        reg_value: Some(next_register),
        sym_value: Some(next_symbol),
        sym_sizeof: Some(next_size),
        sym_offsetof: Some(next_offset),
        num_value: Some(next_number),
    }
}

/// Calls a function of the record below, with that record.
macro_rules! pass_on {
    ($cb:expr, $function:ident, $failed:expr $(, $argument:expr)*) => {
        // SAFETY: the record is one of a chain, and its function is what the
        // header says.
        unsafe {
            let next = (*$cb).next;
            match next.as_ref().and_then(|next| next.$function) {
                Some(function) => function(next $(, $argument)*),
                None => $failed,
            }
        }
    };
}

unsafe extern "C" fn next_page(cb: *const Cb, buf: *mut Buffer) -> AxStatus {
    pass_on!(cb, get_page, AX_NODATA, buf)
}

unsafe extern "C" fn next_caps(cb: *const Cb) -> c_ulong {
    pass_on!(cb, read_caps, 0)
}

unsafe extern "C" fn next_register(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    pass_on!(cb, reg_value, AX_NODATA, name, val)
}

unsafe extern "C" fn next_symbol(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    pass_on!(cb, sym_value, AX_NODATA, name, val)
}

unsafe extern "C" fn next_size(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    pass_on!(cb, sym_sizeof, AX_NODATA, name, val)
}

unsafe extern "C" fn next_offset(
    cb: *const Cb,
    obj: *const c_char,
    elem: *const c_char,
    val: *mut u64,
) -> AxStatus {
    pass_on!(cb, sym_offsetof, AX_NODATA, obj, elem, val)
}

unsafe extern "C" fn next_number(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    pass_on!(cb, num_value, AX_NODATA, name, val)
}

/// What an entry function returns after a panic.
pub(crate) const PANIC: AxStatus = AX_CUSTOM_BASE;
