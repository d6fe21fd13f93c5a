//! C chains of callbacks, seen from Rust.

use core::ffi::{c_int, c_ulong, c_void};
use core::ptr;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kdumpfile::xlat::{AddrSpace, ByteOrder, Caps, Error, FullAddr, PageBuf, PageBytes, Result, Status};

use crate::mark::Mark;
use crate::types::{self, AX_OK, AxStatus, Buffer, Cb, ValueFn};

/// The C chain of one `addrxlat_ctx_t`.
pub trait CChain {
    /// The record that is asked first.
    fn head(&self) -> *const Cb;

    /// Where the buffers of the context are.
    fn buffers(&self) -> &Arc<Buffers>;

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

/// What libkdumpfile asks the last record of a chain as the name of a number:
/// where a number of 64 bits is that changes with each change of a map or a
/// system. A libaddrxlat that is not this one does not know.
pub const CHANGES: &CStr = c"libaddrxlat: changes of maps and systems";

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

/// Where buffers are while callbacks fill them and contexts use them.
///
/// A client may keep the address of a buffer for as long as its own object
/// that stands for the page lives, even a little longer than the page is used.
/// So the memory stays until the context goes, and is used again.
#[derive(Default)]
pub struct Buffers(Mutex<Vec<*mut Buffer>>);

// SAFETY: the buffers in the list are nobody's.
unsafe impl Send for Buffers {}
// SAFETY: as above; the list is locked.
unsafe impl Sync for Buffers {}

impl Buffers {
    fn free(&self) -> MutexGuard<'_, Vec<*mut Buffer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, buffer: Buffer) -> *mut Buffer {
        match self.free().pop() {
            Some(place) => {
                // SAFETY: it was in the list, so it is nobody's.
                unsafe { place.write(buffer) };
                place
            }
            None => Box::into_raw(Box::new(buffer)),
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        for buffer in self.free().drain(..) {
            // SAFETY: it came from `Box::into_raw`, and is nobody's.
            drop(unsafe { Box::from_raw(buffer) });
        }
    }
}

/// A buffer that a callback filled. It goes back to whoever provided it.
struct Page {
    buffer: *mut Buffer,
    buffers: Arc<Buffers>,
    /// Whether a callback filled it.
    filled: bool,
}

// SAFETY: a context is used by one thread at a time, and so is what it reads;
// the provider of a buffer knows that a context may move between threads.
unsafe impl Send for Page {}
// SAFETY: as above; the bytes are only read.
unsafe impl Sync for Page {}

impl PageBytes for Page {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the buffer belongs to this page; the callback says that there
        // are so many bytes, until it is told that they are no longer needed.
        unsafe {
            let (start, size) = ((*self.buffer).ptr, (*self.buffer).size);
            if start.is_null() || size == 0 {
                return &[];
            }
            core::slice::from_raw_parts(start.cast(), size)
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: the buffer belongs to this page; the callback gave this
        // function for it.
        unsafe {
            if let Some(put_page) = (*self.buffer).put_page.filter(|_| self.filled) {
                put_page(self.buffer);
            }
        }
        self.buffers.free().push(self.buffer);
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
    let buffer = chain.buffers().take(Buffer {
        addr: full_addr(addr),
        ptr: core::ptr::null(),
        size: 0,
        byte_order: byte_order_number(ByteOrder::Host),
        put_page: Some(put_nothing),
        private: core::ptr::null_mut::<c_void>(),
    });
    let mut page = Page { buffer, buffers: chain.buffers().clone(), filled: false };
    let head = chain.head();
    // SAFETY: as above.
    let status = match unsafe { head.as_ref() }.and_then(|cb| cb.get_page) {
        // SAFETY: the record's own function, called with the record.
        Some(get_page) => unsafe { get_page(head, buffer) },
        None => types::AX_NODATA,
    };
    if status != AX_OK {
        return Err(error_of(chain, status));
    }
    page.filled = true;
    // SAFETY: the callback is done with the buffer.
    let (start, order) = unsafe { ((*buffer).addr, (*buffer).byte_order) };
    Ok(PageBuf::new(rust_addr(start), byte_order(order), page))
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

/// Says what a chain is down to `end`, so that changes are noticed.
///
/// # Safety
/// The records are valid.
pub unsafe fn content(mut cb: *const Cb, end: *const Cb) -> u64 {
    let mut mark = Mark::default();
    // SAFETY: as above; all members of a record are words.
    while let Some(record) = unsafe { cb.as_ref() }.filter(|_| !ptr::eq(cb, end)) {
        let words = [
            cb.addr(),
            record.private.addr(),
            record.get_page.map_or(0, |function| function as usize),
            record.read_caps.map_or(0, |function| function as usize),
            record.reg_value.map_or(0, |function| function as usize),
            record.sym_value.map_or(0, |function| function as usize),
            record.sym_sizeof.map_or(0, |function| function as usize),
            record.sym_offsetof.map_or(0, |function| function as usize),
            record.num_value.map_or(0, |function| function as usize),
        ];
        for word in words {
            mark.add(word as u64);
        }
        cb = record.next;
    }
    mark.0
}
