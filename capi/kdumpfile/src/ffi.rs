//! What is imported from libaddrxlat.

use core::ffi::{c_char, c_int, c_ulong};

use kdumpfile_capi_shared::types::{AxStatus, Cb, CtxOpaque, MapOpaque, Meth, Range, SysOpaque};

unsafe extern "C" {
    pub fn addrxlat_ctx_new() -> *mut CtxOpaque;
    pub fn addrxlat_ctx_incref(ctx: *mut CtxOpaque) -> c_ulong;
    pub fn addrxlat_ctx_decref(ctx: *mut CtxOpaque) -> c_ulong;
    pub fn addrxlat_ctx_err(ctx: *mut CtxOpaque, status: AxStatus, msgfmt: *const c_char, ...) -> AxStatus;
    pub fn addrxlat_ctx_clear_err(ctx: *mut CtxOpaque);
    pub fn addrxlat_ctx_get_err(ctx: *const CtxOpaque) -> *const c_char;
    pub fn addrxlat_ctx_add_cb(ctx: *mut CtxOpaque) -> *mut Cb;
    pub fn addrxlat_ctx_get_cb(ctx: *const CtxOpaque) -> *const Cb;
    pub fn addrxlat_map_new() -> *mut MapOpaque;
    pub fn addrxlat_map_decref(map: *mut MapOpaque) -> c_ulong;
    pub fn addrxlat_map_len(map: *const MapOpaque) -> usize;
    pub fn addrxlat_map_ranges(map: *const MapOpaque) -> *const Range;
    pub fn addrxlat_map_set(map: *mut MapOpaque, addr: u64, range: *const Range) -> AxStatus;
    pub fn addrxlat_sys_new() -> *mut SysOpaque;
    pub fn addrxlat_sys_incref(sys: *mut SysOpaque) -> c_ulong;
    pub fn addrxlat_sys_decref(sys: *mut SysOpaque) -> c_ulong;
    pub fn addrxlat_sys_set_map(sys: *mut SysOpaque, idx: c_int, map: *mut MapOpaque);
    pub fn addrxlat_sys_get_map(sys: *const SysOpaque, idx: c_int) -> *mut MapOpaque;
    pub fn addrxlat_sys_set_meth(sys: *mut SysOpaque, idx: c_int, meth: *const Meth);
    pub fn addrxlat_sys_get_meth(sys: *const SysOpaque, idx: c_int) -> *const Meth;
}
