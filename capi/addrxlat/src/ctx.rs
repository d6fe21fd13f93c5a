//! Contexts: who is asked for memory, and what went wrong last.

use core::cell::RefCell;
use core::ffi::{c_char, c_ulong};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use kdumpfile_capi_shared::entry;
use kdumpfile_capi_shared::errbuf::ErrorBuffer;

/// The part of an error string that needs no memory.
pub(crate) const ERROR_SIZE: usize = 64;

/// `addrxlat_ctx_t`.
pub struct Ctx {
    references: AtomicU64,
    pub(crate) error: RefCell<ErrorBuffer<ERROR_SIZE>>,
}

/// A context with one reference.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_ctx_new() -> *mut Ctx {
    entry!(ptr::null_mut(), {
        Box::into_raw(Box::new(Ctx { references: AtomicU64::new(1), error: RefCell::default() }))
    })
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
            // SAFETY: it was made by `Box::into_raw`, and nobody has it any more.
            drop(unsafe { Box::from_raw(ctx) });
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
        let (ctx, start) = unsafe { (ctx.as_ref(), kdumpfile_capi_shared::memory::bytes(start)) };
        if let (Some(ctx), Some(start)) = (ctx, start) {
            ctx.error.borrow_mut().add_cut(start, length);
        }
    })
}
