//! Contexts: who is asked for memory, and what went wrong last.

use core::cell::{Cell, OnceCell, RefCell};
use core::ffi::{c_char, c_ulong};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::Arc;

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{self, Chain, System};
use kdumpfile_capi_shared::errbuf::ErrorBuffer;
use kdumpfile_capi_shared::types::{AX_NOMEM, AxStatus, Cb};
use kdumpfile_capi_shared::{chain, entry, guard, memory, reserve};

use crate::callbacks::{AskC, PANIC, last_record, passing_record};
use crate::sys::Sys;

/// The part of an error string that needs no memory.
pub(crate) const ERROR_SIZE: usize = 64;

/// `addrxlat_ctx_t`.
pub struct Ctx {
    references: AtomicU64,
    pub(crate) error: RefCell<ErrorBuffer<ERROR_SIZE>>,
    /// The record that is asked first.
    head: Cell<*mut Cb>,
    /// The record below all others.
    last: Cb,
    /// Translates; made when it is first needed.
    rust: OnceCell<xlat::Ctx>,
    /// What the chain was when it was looked at last.
    chain: Cell<u64>,
    /// The system that was translated with last, and what it was then.
    system: RefCell<Option<(u64, Shared<System>)>>,
}

impl Ctx {
    /// The record that is asked first.
    pub(crate) fn head(&self) -> *const Cb {
        self.head.get()
    }

    /// Takes what a callback left in the error string.
    pub(crate) fn take_error(&self) -> String {
        let mut error = self.error.borrow_mut();
        let text = error.text().map(|text| String::from_utf8_lossy(text).into_owned());
        error.clear();
        text.unwrap_or_default()
    }

    /// Puts a message in front of the error string.
    pub(crate) fn add_error(&self, text: &[u8]) {
        self.error.borrow_mut().add(text);
    }

    /// Forgets the error string.
    pub(crate) fn clear_error(&self) {
        self.error.borrow_mut().clear();
    }

    /// Says why something failed; returns the number of the status.
    pub(crate) fn fail(&self, error: &xlat::Error) -> AxStatus {
        let text = error.message();
        if !text.is_empty() {
            self.add_error(text.as_bytes());
        }
        error.status().code()
    }

    /// Runs the body of an entry function.
    pub(crate) fn call(&self, body: impl FnOnce() -> Result<AxStatus, xlat::Error>) -> AxStatus {
        guard::run(
            || {
                self.clear_error();
                if reserve::is_low() {
                    return AX_NOMEM;
                }
                body().unwrap_or_else(|error| self.fail(&error))
            },
            |text| {
                self.add_error(format!("Internal error: {text}").as_bytes());
                PANIC
            },
        )
    }

    /// What translates. What it knows from another chain is forgotten, but
    /// for blocks of memory, which are kept until others need their place.
    pub(crate) fn rust(&self) -> &xlat::Ctx {
        let rust = self.rust.get_or_init(|| {
            let base = AskC { ctx: self, buffers: Arc::default() };
            let rust = xlat::Ctx::new(Shared::new(Chain::with_base(Shared::new(base))));
            // A client may change what its callbacks answer at any time.
            rust.set_caching(false);
            rust
        });
        // SAFETY: clients keep their records valid.
        let now = unsafe { chain::content(self.head(), core::ptr::null()) };
        if self.chain.replace(now) != now {
            rust.set_caching(false);
        }
        rust
    }

    /// The system of Rust that does what `sys` does for this context.
    pub(crate) fn system(&self, sys: *mut Sys) -> Option<Shared<System>> {
        // SAFETY: NULL, or a system.
        let object = unsafe { sys.as_ref() }?;
        let content = object.content();
        if let Some((seen, system)) = &*self.system.borrow()
            && *seen == content
        {
            return Some(system.clone());
        }
        let system = Shared::new(object.to_rust(ptr::from_ref(self).cast_mut()));
        let old = self.system.replace(Some((content, system.clone())));
        drop(old);
        Some(system)
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        // Blocks go back before the records of those who provided them.
        drop(self.rust.take());
        let mut cb = self.head.get().cast_const();
        while !cb.is_null() && !ptr::eq(cb, &raw const self.last) {
            // SAFETY: records that were added came from `memory::object`.
            unsafe {
                let next = (*cb).next;
                memory::free_object(cb.cast_mut());
                cb = next;
            }
        }
    }
}

/// A context with one reference; NULL without memory.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_ctx_new() -> *mut Ctx {
    entry!(ptr::null_mut(), {
        let ctx = memory::object(Ctx {
            references: AtomicU64::new(1),
            error: RefCell::default(),
            head: Cell::new(ptr::null_mut()),
            last: Cb::EMPTY,
            rust: OnceCell::new(),
            chain: Cell::new(0),
            system: RefCell::default(),
        });
        if !ctx.is_null() {
            // SAFETY: it was just made, and nobody else has it.
            unsafe {
                (*ctx).last = last_record(ctx);
                (*ctx).head.set(&raw mut (*ctx).last);
            }
        }
        ctx
    })
}

/// Adds a record that passes everything on, for the client to change; NULL
/// without memory.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_add_cb(ctx: *mut Ctx) -> *mut Cb {
    entry!(ptr::null_mut(), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return ptr::null_mut() };
        let cb = memory::object(passing_record(ctx.head()));
        if !cb.is_null() {
            ctx.head.set(cb);
        }
        cb
    })
}

/// Takes a record out of the chain, and frees it.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_del_cb(ctx: *mut Ctx, cb: *mut Cb) {
    entry!((), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return };
        let last = &raw const ctx.last;
        if cb.is_null() || ptr::eq(cb, last) {
            return;
        }
        // SAFETY: the chain consists of records that were added, and the last.
        unsafe {
            if ptr::eq(ctx.head.get(), cb) {
                ctx.head.set((*cb).next.cast_mut());
                memory::free_object(cb);
                return;
            }
            let mut above = ctx.head.get();
            while !above.is_null() && !ptr::eq(above, last) {
                if ptr::eq((*above).next, cb) {
                    (*above).next = (*cb).next;
                    memory::free_object(cb);
                    return;
                }
                above = (*above).next.cast_mut();
            }
        }
    })
}

/// The record that is asked first.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_get_cb(ctx: *const Ctx) -> *const Cb {
    // SAFETY: as above.
    unsafe { ctx.as_ref() }.map_or(ptr::null(), Ctx::head)
}

/// Takes one more reference; returns how many there are.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_incref(ctx: *mut Ctx) -> c_ulong {
    // SAFETY: as above.
    let Some(ctx) = (unsafe { ctx.as_ref() }) else { return 0 };
    ctx.references.fetch_add(1, Ordering::Relaxed) + 1
}

/// Gives a reference back; returns how many are left. The last one frees the
/// context.
///
/// # Safety
/// `ctx` is NULL or a context, to which the caller has a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_decref(ctx: *mut Ctx) -> c_ulong {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { ctx.as_ref() }) else { return 0 };
        let left = object.references.fetch_sub(1, Ordering::Release) - 1;
        if left == 0 {
            fence(Ordering::Acquire);
            // SAFETY: nobody has it any more.
            unsafe { memory::free_object(ctx) };
        }
        left
    })
}

/// Forgets the error string.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_clear_err(ctx: *mut Ctx) {
    entry!((), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return };
        ctx.error.borrow_mut().clear();
    })
}

/// The error string, or NULL.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_ctx_get_err(ctx: *const Ctx) -> *const c_char {
    entry!(ptr::null(), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return ptr::null() };
        ctx.error.borrow().as_ptr()
    })
}

/// For `addrxlat_ctx_err`: see shim/message.h.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_shim_room(ctx: *mut Ctx, length: usize) -> *mut c_char {
    entry!(ptr::null_mut(), {
        // SAFETY: as above.
        let Some(ctx) = (unsafe { ctx.as_ref() }) else { return ptr::null_mut() };
        ctx.error.borrow_mut().make_room(length).map_or(ptr::null_mut(), |room| room.cast())
    })
}

/// For `addrxlat_ctx_err`: see shim/message.h.
///
/// # Safety
/// `ctx` is NULL or a context; `start` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_shim_cut(ctx: *mut Ctx, start: *const c_char, length: usize) {
    entry!((), {
        // SAFETY: as above.
        let (ctx, start) = unsafe { (ctx.as_ref(), memory::bytes(start)) };
        if let (Some(ctx), Some(start)) = (ctx, start) {
            ctx.error.borrow_mut().add_cut(start, length);
        }
    })
}
