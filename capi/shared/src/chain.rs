//! C chains of callbacks, seen from Rust.

use core::ffi::{c_int, c_ulong, c_void};
use std::ffi::CString;

use kdumpfile::xlat::{AddrSpace, ByteOrder, Caps, Error, FullAddr, PageBuf, PageBytes, Result, Status};

use crate::types::{self, AX_OK, AxStatus, Buffer, Cb, ValueFn};

/// The C chain of one `addrxlat_ctx_t`.
pub trait CChain {
    /// The record that is asked first.
    fn head(&self) -> *const Cb;

    /// Takes what a callback that failed left in the error string.
    fn take_error(&self) -> String;
}

/// An error with the status and the text that a callback left.
pub fn error_of(chain: &impl CChain, status: AxStatus) -> Error {
    let status = Status::from_code(status).unwrap_or(Status::NoData);
    let text = chain.take_error();
    if text.is_empty() { Error::bare(status) } else { Error::new(status, text) }
}

/// The order of bytes that a number of the C ABI stands for.
pub fn byte_order(number: c_int) -> ByteOrder {
    match number {
        0 => ByteOrder::Big,
        1 => ByteOrder::Little,
        _ => ByteOrder::Host,
    }
}

/// The number of an order of bytes.
pub fn byte_order_number(order: ByteOrder) -> c_int {
    match order {
        ByteOrder::Big => 0,
        ByteOrder::Little => 1,
        ByteOrder::Host => -1,
    }
}

/// A full address of the C ABI.
pub fn full_addr(addr: FullAddr) -> types::FullAddr {
    types::FullAddr { addr: addr.addr, space: addr.space.0 }
}

/// A full address of the Rust API.
pub fn rust_addr(addr: types::FullAddr) -> FullAddr {
    FullAddr::new(AddrSpace(addr.space), addr.addr)
}

/// A buffer that a callback filled. It goes back to whoever provided it.
struct Page(Buffer);

// SAFETY: a context is used by one thread at a time, and so is what it reads;
// the provider of a buffer knows that a context may move between threads.
unsafe impl Send for Page {}
// SAFETY: as above; the bytes are only read.
unsafe impl Sync for Page {}

impl PageBytes for Page {
    fn bytes(&self) -> &[u8] {
        if self.0.ptr.is_null() || self.0.size == 0 {
            return &[];
        }
        // SAFETY: the callback says that there are so many bytes, until it is
        // told that they are no longer needed.
        unsafe { core::slice::from_raw_parts(self.0.ptr.cast(), self.0.size) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if let Some(put_page) = self.0.put_page {
            // SAFETY: the callback gave this function for this buffer.
            unsafe { put_page(&raw const self.0) };
        }
    }
}

unsafe extern "C" fn put_nothing(_: *const Buffer) {}

/// Asks the head of a chain for the block that contains `addr`.
///
/// # Errors
/// What the callbacks say.
///
/// # Safety
/// The records of the chain are valid.
pub unsafe fn page(chain: &impl CChain, addr: FullAddr) -> Result<PageBuf> {
    let mut buffer = Buffer {
        addr: full_addr(addr),
        ptr: core::ptr::null(),
        size: 0,
        byte_order: byte_order_number(ByteOrder::Host),
        put_page: Some(put_nothing),
        private: core::ptr::null_mut::<c_void>(),
    };
    let head = chain.head();
    // SAFETY: as above.
    let status = match unsafe { head.as_ref() }.and_then(|cb| cb.get_page) {
        // SAFETY: the record's own function, called with the record.
        Some(get_page) => unsafe { get_page(head, &raw mut buffer) },
        None => types::AX_NODATA,
    };
    if status != AX_OK {
        return Err(error_of(chain, status));
    }
    Ok(PageBuf::new(rust_addr(buffer.addr), byte_order(buffer.byte_order), Page(buffer)))
}

/// Asks the head of a chain what it reads directly.
///
/// # Safety
/// The records of the chain are valid.
pub unsafe fn read_caps(chain: &impl CChain) -> Caps {
    let head = chain.head();
    // SAFETY: as above.
    let caps: c_ulong = match unsafe { head.as_ref() }.and_then(|cb| cb.read_caps) {
        // SAFETY: the record's own function, called with the record.
        Some(read_caps) => unsafe { read_caps(head) },
        None => 0,
    };
    // An unsigned long has 32 bits on some machines.
    #[allow(clippy::useless_conversion)]
    Caps(u64::from(caps))
}

/// Asks the head of a chain for a value by one name.
///
/// # Errors
/// What the callbacks say; `NoData` for a name that C cannot write.
///
/// # Safety
/// The records of the chain are valid.
pub unsafe fn value(
    chain: &impl CChain,
    function: impl Fn(&Cb) -> Option<ValueFn>,
    name: &str,
) -> Result<u64> {
    let name = CString::new(name).map_err(|_| Error::bare(Status::NoData))?;
    let head = chain.head();
    let mut value = 0;
    // SAFETY: as above.
    let status = match unsafe { head.as_ref() }.and_then(function) {
        // SAFETY: the record's own function, called with the record.
        Some(function) => unsafe { function(head, name.as_ptr(), &raw mut value) },
        None => types::AX_NODATA,
    };
    if status == AX_OK { Ok(value) } else { Err(error_of(chain, status)) }
}

/// Asks the head of a chain for the offset of a member.
///
/// # Errors
/// Those of [`value`].
///
/// # Safety
/// The records of the chain are valid.
pub unsafe fn offset(chain: &impl CChain, container: &str, member: &str) -> Result<u64> {
    let no_name = |_| Error::bare(Status::NoData);
    let container = CString::new(container).map_err(no_name)?;
    let member = CString::new(member).map_err(no_name)?;
    let head = chain.head();
    let mut value = 0;
    // SAFETY: as above.
    let status = match unsafe { head.as_ref() }.and_then(|cb| cb.sym_offsetof) {
        // SAFETY: the record's own function, called with the record.
        Some(function) => unsafe { function(head, container.as_ptr(), member.as_ptr(), &raw mut value) },
        None => types::AX_NODATA,
    };
    if status == AX_OK { Ok(value) } else { Err(error_of(chain, status)) }
}
