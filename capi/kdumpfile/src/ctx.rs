//! Contexts: making and freeing them, and what went wrong last.

use core::cell::{Cell, RefCell};
use core::ffi::{c_char, c_int, c_ulong, c_void};
use core::ptr;
use std::ffi::CString;
use std::sync::Arc;

use kdumpfile::sync::Shared;
use kdumpfile::{Callbacks, CloneOptions, Context, Error};
use kdumpfile_capi_shared::errbuf::ErrorBuffer;
use kdumpfile_capi_shared::{entry, guard, memory, reserve};

use crate::keys::Keys;
use crate::node::Family;
use crate::open::Descriptors;
use crate::status::{Failure, INVALID, KStatus, OK, Outcome, SYSTEM, from_number};
use crate::xlat::Translation;

/// The part of an error string that needs no memory.
const ERROR_SIZE: usize = 160;

/// `KDUMP_CLONE_XLAT`.
const CLONE_XLAT: c_ulong = 1;

/// More than a new context takes (18 KiB, by mallinfo), or a clone (14 KiB).
const MEMORY_OF_NEW: usize = 64 << 10;

/// `kdump_get_symbol_val_fn`.
pub type SymbolFn = unsafe extern "C" fn(ctx: *mut Ctx, name: *const c_char, val: *mut u64) -> KStatus;

/// `kdump_ctx_t`.
pub struct Ctx {
    /// Goes first: it needs the dump to take leave.
    pub(crate) translation: Translation,
    pub(crate) dump: Context,
    pub(crate) family: Arc<Family>,
    pub(crate) keys: Keys,
    error: RefCell<ErrorBuffer<ERROR_SIZE>>,
    private: Cell<*mut c_void>,
    symbol_fn: Cell<Option<SymbolFn>>,
}

impl Ctx {
    /// Runs the body of an entry function that returns a status.
    ///
    /// # Safety
    /// `ctx` is NULL or a context.
    #[inline]
    pub(crate) unsafe fn enter(ctx: *mut Ctx, body: impl FnOnce(&Ctx) -> Outcome) -> KStatus {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return INVALID };
        let run = || {
            ctx.clear_error();
            if reserve::is_low() {
                return ctx.no_memory();
            }
            match body(ctx) {
                Ok(()) => {
                    ctx.clear_error(); // of a callback meanwhile
                    OK
                }
                Err(failure) => ctx.fail(failure),
            }
        };
        guard::run(run, |text| ctx.fail(Failure::new(SYSTEM, format!("Internal error: {text}"))))
    }

    /// Whether there is an error string to forget.
    #[inline]
    pub(crate) fn has_error(&self) -> bool {
        // SAFETY: this is looked at between uses of the string, none of which
        // calls anybody who might come back here.
        unsafe { !(*self.error.as_ptr()).is_none() }
    }

    /// Runs what an entry function does at its best: it takes no memory, calls
    /// nobody and cannot fail. Without a result nothing was done.
    ///
    /// # Safety
    /// `ctx` is NULL or a context.
    #[inline(always)]
    pub(crate) unsafe fn at_best<T>(ctx: *mut Ctx, body: impl FnOnce(&Ctx) -> Option<T>) -> Option<T> {
        // SAFETY: as above.
        let ctx = unsafe { ctx.as_ref() }.filter(|ctx| !ctx.has_error())?;
        guard::run(|| body(ctx), |_| None)
    }

    /// Forgets the error string.
    #[inline]
    fn clear_error(&self) {
        if self.has_error() {
            self.error.borrow_mut().clear();
        }
    }

    /// Nothing is begun when there is no memory; to say so needs none.
    #[cold]
    fn no_memory(&self) -> KStatus {
        self.error.borrow_mut().add(b"Cannot allocate memory");
        SYSTEM
    }

    #[cold]
    fn fail(&self, failure: Failure) -> KStatus {
        let mut error = self.error.borrow_mut();
        error.clear();
        error.add(failure.text().as_bytes());
        failure.status()
    }

    /// Takes what a callback left in the error string.
    fn take_error(&self) -> String {
        let mut error = self.error.borrow_mut();
        let text = error.text().map(|text| String::from_utf8_lossy(text).into_owned());
        error.clear();
        text.unwrap_or_default()
    }

    /// A context on the heap, whose address stays what it is.
    fn boxed(dump: Context, family: Arc<Family>, translation: Translation) -> *mut Ctx {
        Box::into_raw(Box::new(Ctx {
            translation,
            dump,
            family,
            keys: Keys::new(),
            error: RefCell::default(),
            private: Cell::new(ptr::null_mut()),
            symbol_fn: Cell::new(None),
        }))
    }

    /// Makes `function` the symbol callback of this context.
    fn set_symbol_fn(&self, function: Option<SymbolFn>) -> Option<SymbolFn> {
        let asked = Asked(self);
        let symbol_value = function.map(|function| {
            let ask = move |_: &Context, name: &str| asked.symbol_value(function, name);
            Shared::new(ask) as Shared<dyn kdumpfile::SymbolValue>
        });
        self.dump.set_callbacks(Callbacks { symbol_value });
        self.symbol_fn.replace(function)
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        self.translation.leave(&self.dump);
    }
}

/// The context whose symbol callback is asked.
#[derive(Clone, Copy)]
struct Asked(*const Ctx);

// SAFETY: the callbacks of a context are called in the thread that uses it.
unsafe impl Send for Asked {}
// SAFETY: as above.
unsafe impl Sync for Asked {}

impl Asked {
    fn symbol_value(self, function: SymbolFn, name: &str) -> kdumpfile::Result<u64> {
        let name = CString::new(name).map_err(|_| Error::no_data("Symbol not found"))?;
        let mut value = 0;
        // SAFETY: the context owns the closure that this is called from; the
        // function is called as the header says.
        let status = unsafe { function(self.0.cast_mut(), name.as_ptr(), &raw mut value) };
        if status == OK {
            return Ok(value);
        }
        // SAFETY: as above.
        let text = unsafe { (*self.0).take_error() };
        Err(Error::new(from_number(status), text))
    }
}

/// A context without a dump.
#[unsafe(no_mangle)]
pub extern "C" fn kdump_new() -> *mut Ctx {
    entry!(ptr::null_mut(), {
        if reserve::is_low() || !memory::is_there(MEMORY_OF_NEW) {
            return ptr::null_mut();
        }
        let dump = Context::new();
        dump.set_opener(Shared::new(Descriptors));
        let family = Family::new(&dump);
        Ctx::boxed(dump, family, Translation::new())
    })
}

/// Another context for the same dump.
///
/// # Safety
/// `orig` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_clone(orig: *const Ctx, flags: c_ulong) -> *mut Ctx {
    entry!(ptr::null_mut(), {
        // SAFETY: as above.
        let Some(original) = (unsafe { orig.as_ref() }) else { return ptr::null_mut() };
        if reserve::is_low() || !memory::is_there(MEMORY_OF_NEW) {
            return ptr::null_mut();
        }
        let split = flags & CLONE_XLAT != 0;
        let dump = original.dump.clone_with(CloneOptions::new().own_translation(split));
        let translation = original.translation.for_clone(&dump, split);
        let clone = Ctx::boxed(dump, original.family.clone(), translation);
        // SAFETY: it was just made.
        if let Some(clone) = unsafe { clone.as_ref() } {
            clone.private.set(original.private.get());
            clone.set_symbol_fn(original.symbol_fn.get());
            // Without memory the clone has fewer callbacks.
            let _ = clone.copy_records(original);
        }
        clone
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

/// Keeps a pointer for the client.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_set_priv(ctx: *mut Ctx, data: *mut c_void) {
    // SAFETY: as above.
    if let Some(ctx) = unsafe { ctx.as_ref() } {
        ctx.private.set(data);
    }
}

/// The pointer of `kdump_set_priv`, or NULL.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_get_priv(ctx: *mut Ctx) -> *mut c_void {
    // SAFETY: as above.
    unsafe { ctx.as_ref() }.map_or(ptr::null_mut(), |ctx| ctx.private.get())
}

/// Sets the function that knows symbols which VMCOREINFO does not; returns the
/// one before.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_cb_get_symbol_val(ctx: *mut Ctx, cb: Option<SymbolFn>) -> Option<SymbolFn> {
    // SAFETY: as above.
    entry!(None, { unsafe { ctx.as_ref() }.and_then(|ctx| ctx.set_symbol_fn(cb)) })
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
            ctx.clear_error();
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
