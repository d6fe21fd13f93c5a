//! Memory that changes hands: from and for the C library's `malloc`.

use core::ffi::{CStr, c_char};
use core::ptr;

/// A copy of `bytes` and a NUL, for the caller to `free`; NULL without memory.
pub fn string(bytes: &[u8]) -> *mut c_char {
    let Some(size) = bytes.len().checked_add(1) else { return ptr::null_mut() };
    // SAFETY: the memory has room for the bytes and the NUL.
    unsafe {
        let copy: *mut u8 = libc::malloc(size).cast();
        if !copy.is_null() {
            ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
            *copy.add(bytes.len()) = 0;
        }
        copy.cast()
    }
}

/// A copy of `bytes`, for whoever frees it; NULL without memory. No bytes make
/// an allocation all the same.
pub fn copy(bytes: &[u8]) -> *mut u8 {
    // SAFETY: the memory has room for the bytes.
    unsafe {
        let copy: *mut u8 = libc::malloc(bytes.len().max(1)).cast();
        if !copy.is_null() {
            ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
        }
        copy
    }
}

/// Whether there is memory for `size` bytes: Rust ends the program when there is
/// none for its own objects, so whoever is about to make some looks before.
pub fn is_there(size: usize) -> bool {
    // SAFETY: any size may be asked for; the memory is not used.
    unsafe {
        let block = core::hint::black_box(libc::malloc(size));
        libc::free(block);
        !block.is_null()
    }
}

/// The text at `text`, if it is one (not NULL, and UTF-8).
///
/// # Safety
/// `text` is NULL or a string that outlives `'a`.
pub unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: as above.
    let bytes = unsafe { bytes(text) }?;
    // Keys are short, and rarely anything else.
    if bytes.is_ascii() {
        // SAFETY: what is ASCII is UTF-8.
        return Some(unsafe { core::str::from_utf8_unchecked(bytes) });
    }
    core::str::from_utf8(bytes).ok()
}

/// The bytes of the string at `text`, without its NUL.
///
/// # Safety
/// `text` is NULL or a string that outlives `'a`.
pub unsafe fn bytes<'a>(text: *const c_char) -> Option<&'a [u8]> {
    // SAFETY: as above.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
}

/// An object in memory of the C library; NULL without memory.
pub fn object<T>(value: T) -> *mut T {
    const { assert!(align_of::<T>() <= 16, "malloc aligns to 16 bytes") };
    // SAFETY: the memory has room for the object, and is aligned for it.
    unsafe {
        let place: *mut T = libc::malloc(size_of::<T>().max(1)).cast();
        if !place.is_null() {
            place.write(value);
        }
        place
    }
}

/// Drops an object, and frees its memory.
///
/// # Safety
/// It came from [`object`], and is not used any more.
pub unsafe fn free_object<T>(object: *mut T) {
    // SAFETY: as above.
    unsafe {
        ptr::drop_in_place(object);
        libc::free(object.cast());
    }
}
