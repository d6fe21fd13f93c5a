//! The two records that connect a dump with its context of libaddrxlat.
//!
//! ```text
//!   kdump_read ─> Rust chain:  Outside ─(nothing on the C chain)─> dump
//!                                 │
//!                                 v
//!   addrxlat_op ─> C chain: client's records ─> bottom record ─> dump
//! ```

use core::ffi::{c_char, c_ulong, c_void};
use core::ptr;
use std::sync::Arc;

use kdumpfile::xlat::{self, ByteOrder, Callbacks, Caps, FullAddr, Next, PageBuf, Status};
use kdumpfile::{Space, Value};
use kdumpfile_capi_shared::chain::{self, Buffers, CChain, byte_order_number, full_addr, rust_addr};
use kdumpfile_capi_shared::types::{self, AX_NODATA, AX_OK, AxStatus, Buffer, Cb, CtxOpaque};
use kdumpfile_capi_shared::{guard, memory};

use crate::ctx::Ctx;
use crate::ffi;

/// The record on the Rust chain: asks what a client put on the C chain.
pub(crate) struct Outside {
    /// Both live as long as the context of the chain.
    pub ctx: *mut CtxOpaque,
    pub bottom: *const Cb,
    pub buffers: Arc<Buffers>,
}

// SAFETY: a context is used by one thread at a time, with all that is in it.
unsafe impl Send for Outside {}
// SAFETY: as above.
unsafe impl Sync for Outside {}

impl CChain for Outside {
    fn head(&self) -> *const Cb {
        // SAFETY: the context is there as long as this.
        unsafe { ffi::addrxlat_ctx_get_cb(self.ctx) }
    }

    fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    fn take_error(&self) -> String {
        // SAFETY: the context is there as long as this.
        unsafe { take_error(self.ctx) }
    }
}

/// Takes the error string of a context.
///
/// # Safety
/// `ctx` is a context.
pub(crate) unsafe fn take_error(ctx: *mut CtxOpaque) -> String {
    // SAFETY: as above; the string is valid until it is cleared.
    unsafe {
        let text = memory::bytes(ffi::addrxlat_ctx_get_err(ctx));
        let text = text.map(|text| String::from_utf8_lossy(text).into_owned());
        ffi::addrxlat_ctx_clear_err(ctx);
        text.unwrap_or_default()
    }
}

impl Outside {
    /// Whether no client put anything on the C chain.
    fn is_bare(&self) -> bool {
        self.head() == self.bottom
    }
}

impl Callbacks for Outside {
    fn read_caps(&self, next: Next<'_>) -> Caps {
        if self.is_bare() {
            return next.read_caps();
        }
        // SAFETY: clients keep their records valid; likewise below.
        unsafe { chain::read_caps(self) }
    }

    fn page(&self, next: Next<'_>, addr: FullAddr) -> xlat::Result<PageBuf> {
        if self.is_bare() {
            return next.page(addr);
        }
        // SAFETY: as above.
        unsafe { chain::page(self, addr) }
    }

    fn register(&self, next: Next<'_>, name: &str) -> xlat::Result<u64> {
        if self.is_bare() {
            return next.register(name);
        }
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.reg_value, name) }
    }

    fn symbol_value(&self, next: Next<'_>, name: &str) -> xlat::Result<u64> {
        if self.is_bare() {
            return next.symbol_value(name);
        }
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.sym_value, name) }
    }

    fn symbol_size(&self, next: Next<'_>, name: &str) -> xlat::Result<u64> {
        if self.is_bare() {
            return next.symbol_size(name);
        }
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.sym_sizeof, name) }
    }

    fn symbol_offset(&self, next: Next<'_>, container: &str, member: &str) -> xlat::Result<u64> {
        if self.is_bare() {
            return next.symbol_offset(container, member);
        }
        // SAFETY: as above.
        unsafe { chain::offset(self, container, member) }
    }

    fn number(&self, next: Next<'_>, name: &str) -> xlat::Result<u64> {
        if self.is_bare() {
            return next.number(name);
        }
        // SAFETY: as above.
        unsafe { chain::value(self, |cb| cb.num_value, name) }
    }
}

/// Makes a record of the C chain ask the dump of `ctx`.
pub(crate) fn set_bottom(record: &mut Cb, ctx: *const Ctx) {
    record.private = ctx.cast_mut().cast();
    record.get_page = Some(get_page);
    record.read_caps = Some(read_caps);
    record.reg_value = Some(reg_value);
    record.sym_value = Some(sym_value);
    record.sym_sizeof = Some(sym_sizeof);
    record.sym_offsetof = Some(sym_offsetof);
    record.num_value = Some(num_value);
}

/// The context of a record; none once that was freed.
///
/// # Safety
/// `cb` is a bottom record.
unsafe fn ctx_of<'a>(cb: *const Cb) -> Option<&'a Ctx> {
    // SAFETY: its private data are a context, or NULL.
    unsafe { (*cb).private.cast::<Ctx>().as_ref() }
}

/// Answers a question from the dump. A failure is described in the error
/// string of the context of libaddrxlat.
///
/// # Safety
/// `cb` is a bottom record.
unsafe fn answer(cb: *const Cb, body: impl FnOnce(&Ctx, Next<'_>) -> xlat::Result<()>) -> AxStatus {
    guard::run(
        || {
            // SAFETY: as above.
            let Some(ctx) = (unsafe { ctx_of(cb) }) else { return AX_NODATA };
            let Some((axctx, chain)) = ctx.translation.bottom() else { return AX_NODATA };
            match body(ctx, chain.head()) {
                Ok(()) => AX_OK,
                Err(error) => {
                    let text = memory::string(error.message().as_bytes());
                    if !text.is_null() {
                        // SAFETY: the format takes one string.
                        unsafe {
                            ffi::addrxlat_ctx_err(axctx, error.status().code(), c"%s".as_ptr(), text);
                            libc::free(text.cast());
                        }
                    }
                    error.status().code()
                }
            }
        },
        |_| types::AX_CUSTOM_BASE,
    )
}

/// Gives a block back.
unsafe extern "C" fn put_page(buf: *const Buffer) {
    guard::run(
        // SAFETY: `get_page` stored the block there.
        || drop(unsafe { Box::from_raw((*buf).private.cast::<PageBuf>()) }),
        |_| (),
    );
}

unsafe extern "C" fn get_page(cb: *const Cb, buf: *mut Buffer) -> AxStatus {
    let body = |ctx: &Ctx, dump: Next<'_>| {
        // SAFETY: the caller's buffer says which address is wanted.
        let addr = rust_addr(unsafe { (*buf).addr });
        let block = match dump.page(addr) {
            Err(error) if error.status() == Status::ELSEWHERE => ctx.translated_page(addr)?,
            block => block?,
        };
        let block = Box::new(block);
        // SAFETY: the buffer is filled; what is in it is given back by `put_page`.
        unsafe {
            (*buf).addr = full_addr(block.start());
            (*buf).ptr = block.bytes().as_ptr().cast();
            (*buf).size = block.bytes().len();
            (*buf).byte_order = byte_order_number(block.byte_order());
            (*buf).put_page = Some(put_page);
            (*buf).private = Box::into_raw(block).cast::<c_void>();
        }
        Ok(())
    };
    // SAFETY: this is the function of a bottom record.
    unsafe { answer(cb, body) }
}

impl Ctx {
    /// The page of an address that is not stored by that address.
    fn translated_page(&self, addr: FullAddr) -> xlat::Result<PageBuf> {
        let size = self.dump.number("arch.page_size").ok().and_then(|size| usize::try_from(size).ok());
        let size = size.filter(|size| size.is_power_of_two() && *size <= 1 << 20).unwrap_or(4096);
        let start = FullAddr { addr: addr.addr & !(size as u64 - 1), ..addr };
        let mut bytes = vec![0; size];
        let space = match addr.space {
            xlat::AddrSpace::KVIRT => Space::KernelVirtual,
            xlat::AddrSpace::MACHPHYS => Space::MachinePhysical,
            _ => Space::KernelPhysical,
        };
        self.dump.read(space, start.addr, &mut bytes).map_err(|error| xlat::Error::from_dump(&error))?;
        let order = match self.dump.get("arch.byte_order") {
            Ok(Value::Number(1)) => ByteOrder::Little,
            _ => ByteOrder::Big,
        };
        Ok(PageBuf::new(start, order, bytes))
    }
}

unsafe extern "C" fn read_caps(cb: *const Cb) -> c_ulong {
    guard::run(
        || {
            // SAFETY: this is the function of a bottom record.
            let bottom = unsafe { ctx_of(cb) }.and_then(|ctx| ctx.translation.bottom());
            bottom.map_or(0, |(_, chain)| chain.head().read_caps().0 as c_ulong)
        },
        |_| 0,
    )
}

/// Answers with a value.
///
/// # Safety
/// `cb` is a bottom record; `val` is valid.
unsafe fn value(
    cb: *const Cb,
    name: *const c_char,
    val: *mut u64,
    ask: impl FnOnce(Next<'_>, &str) -> xlat::Result<u64>,
) -> AxStatus {
    // SAFETY: as above.
    unsafe {
        answer(cb, |_, dump| {
            let value = ask(dump, memory::text(name).unwrap_or_default())?;
            if !val.is_null() {
                ptr::write(val, value);
            }
            Ok(())
        })
    }
}

unsafe extern "C" fn reg_value(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    // SAFETY: this is the function of a bottom record; likewise below.
    unsafe { value(cb, name, val, |dump, name| dump.register(name)) }
}

unsafe extern "C" fn sym_value(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { value(cb, name, val, |dump, name| dump.symbol_value(name)) }
}

unsafe extern "C" fn sym_sizeof(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { value(cb, name, val, |dump, name| dump.symbol_size(name)) }
}

unsafe extern "C" fn num_value(cb: *const Cb, name: *const c_char, val: *mut u64) -> AxStatus {
    // SAFETY: as above.
    unsafe { value(cb, name, val, |dump, name| dump.number(name)) }
}

unsafe extern "C" fn sym_offsetof(
    cb: *const Cb,
    obj: *const c_char,
    elem: *const c_char,
    val: *mut u64,
) -> AxStatus {
    // SAFETY: as above; both names are strings.
    unsafe {
        value(cb, obj, val, |dump, obj| dump.symbol_offset(obj, memory::text(elem).unwrap_or_default()))
    }
}
