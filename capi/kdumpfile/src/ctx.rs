//! Contexts: making and freeing them, and what went wrong last.

use core::cell::RefCell;
use core::ffi::{c_char, c_int};
use core::ptr;

use kdumpfile::Context;
use kdumpfile_capi_shared::errbuf::ErrorBuffer;
use kdumpfile_capi_shared::{entry, guard, memory};

use crate::status::{Failure, KStatus, OK, Outcome, SYSTEM};

/// The part of an error string that needs no memory.
const ERROR_SIZE: usize = 160;

/// `kdump_ctx_t`.
pub struct Ctx {
    /// The dump.
    pub(crate) dump: Context,
    error: RefCell<ErrorBuffer<ERROR_SIZE>>,
}

impl Ctx {
    /// Runs the body of an entry function that returns a status.
    #[allow(dead_code)]
    pub(crate) fn call(&self, body: impl FnOnce(&Self) -> Outcome) -> KStatus {
        let failed =
            |text: &str| self.fail(Failure { status: SYSTEM, text: format!("Internal error: {text}") });
        guard::run(
            || {
                self.error.borrow_mut().clear();
                match body(self) {
                    Ok(()) => {
                        self.error.borrow_mut().clear(); // of a callback meanwhile
                        OK
                    }
                    Err(failure) => self.fail(failure),
                }
            },
            failed,
        )
    }

    fn fail(&self, failure: Failure) -> KStatus {
        let mut error = self.error.borrow_mut();
        error.clear();
        error.add(failure.text.as_bytes());
        failure.status
    }
}

/// A context without a dump.
#[unsafe(no_mangle)]
pub extern "C" fn kdump_new() -> *mut Ctx {
    entry!(ptr::null_mut(), {
        Box::into_raw(Box::new(Ctx { dump: Context::new(), error: RefCell::default() }))
    })
}

/// Frees a context. What clones share goes with the last of them.
///
/// # Safety
/// `ctx` is NULL or a context, which is not used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_free(ctx: *mut Ctx) {
    entry!((), {
        if !ctx.is_null() {
            // SAFETY: it was made by `Box::into_raw`, and nobody has it any more.
            drop(unsafe { Box::from_raw(ctx) });
        }
    })
}

/// The error string, or NULL.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_get_err(ctx: *mut Ctx) -> *const c_char {
    entry!(ptr::null(), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return ptr::null() };
        ctx.error.borrow().as_ptr()
    })
}

/// Forgets the error string.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_clear_err(ctx: *mut Ctx) {
    entry!((), {
        // SAFETY: as above.
        if let Some(ctx) = unsafe { ctx.as_ref() } {
            ctx.error.borrow_mut().clear();
        }
    })
}

/// For `kdump_err`: begins to add a message. An error of the operating system
/// without any text is described first.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_shim_begin(ctx: *mut Ctx, status: KStatus, errno: c_int) {
    entry!((), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return };
        let mut error = ctx.error.borrow_mut();
        if status == SYSTEM && error.is_none() {
            error.add_errno(errno);
        }
    })
}

/// For `kdump_err`: see shim/message.h.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_shim_room(ctx: *mut Ctx, length: usize) -> *mut c_char {
    entry!(ptr::null_mut(), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return ptr::null_mut() };
        ctx.error.borrow_mut().make_room(length).map_or(ptr::null_mut(), |room| room.cast())
    })
}

/// For `kdump_err`: see shim/message.h.
///
/// # Safety
/// `ctx` is NULL or a context; `start` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_shim_cut(ctx: *mut Ctx, start: *const c_char, length: usize) {
    entry!((), {
        // SAFETY: as above.
        let (ctx, start) = unsafe { (ctx.as_ref(), memory::bytes(start)) };
        if let (Some(ctx), Some(start)) = (ctx, start) {
            ctx.error.borrow_mut().add_cut(start, length);
        }
    })
}
