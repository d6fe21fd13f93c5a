//! Translation from one space to another.

use core::ffi::{c_int, c_void};
use core::ptr;

use kdumpfile::xlat::{AddrSpace, Caps};
use kdumpfile_capi_shared::chain::{full_addr, rust_addr};
use kdumpfile_capi_shared::types::{AX_NODATA, AX_OK, AxStatus, FullAddr, OpCtl};

use crate::ctx::Ctx;
use crate::sys::Sys;

/// Translates `addr` to a space of `ctl.caps`, and calls `ctl.op` with the
/// result.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_op(ctl: *const OpCtl, addr: *const FullAddr) -> AxStatus {
    // SAFETY: as above.
    let Some(ctl) = (unsafe { ctl.as_ref() }) else { return AX_NODATA };
    // SAFETY: as above.
    let Some(ctx) = (unsafe { ctl.ctx.cast::<Ctx>().as_ref() }) else { return AX_NODATA };
    if addr.is_null() {
        return AX_NODATA;
    }
    ctx.call(|| {
        // SAFETY: as above; padding is not looked at.
        let source = unsafe { rust_addr(ptr::read(addr)) };
        // An unsigned long has 32 bits on some machines.
        #[allow(clippy::useless_conversion)]
        let caps = Caps(u64::from(ctl.caps));
        let found = |target| {
            let target = full_addr(target);
            let Some(op) = ctl.op else { return Ok(AX_OK) };
            // SAFETY: the client's function, called with its data.
            Ok(unsafe { op(ctl.data, &raw const target) })
        };
        if caps.contains(source.space) {
            return found(source);
        }
        let system = ctx.system(ctl.sys.cast::<Sys>());
        ctx.rust().op(system.as_deref(), caps, source, found)
    })
}

unsafe extern "C" fn store(data: *mut c_void, addr: *const FullAddr) -> AxStatus {
    // SAFETY: the data are the address of the caller below.
    unsafe { data.cast::<FullAddr>().write(*addr) };
    AX_OK
}

/// Translates `*faddr` to space `space`.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_fulladdr_conv(
    faddr: *mut FullAddr,
    space: c_int,
    ctx: *mut Ctx,
    sys: *mut Sys,
) -> AxStatus {
    let ctl = OpCtl {
        ctx: ctx.cast(),
        sys: sys.cast(),
        op: Some(store),
        data: faddr.cast(),
        caps: Caps::of(AddrSpace(space)).0 as _,
    };
    // SAFETY: as above.
    unsafe { addrxlat_op(&raw const ctl, faddr) }
}
