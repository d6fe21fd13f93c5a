//! Bitmaps.

use core::ffi::{c_char, c_uchar, c_ulong};
use core::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kdumpfile::Bitmap;
use kdumpfile_capi_shared::entry;
use kdumpfile_capi_shared::errbuf::ErrorBuffer;

use crate::references::{Handle, References};
use crate::status::{INVALID, KStatus, OK, Outcome, SYSTEM};

/// The part of an error string that needs no memory.
const ERROR_SIZE: usize = 80;

/// `kdump_bmp_t`: what stands for a bitmap in C. It belongs to the bitmap.
pub struct Bmp {
    references: References<Bitmap>,
    error: Mutex<ErrorBuffer<ERROR_SIZE>>,
}

// SAFETY: it is one counted pointer.
unsafe impl Handle for Bitmap {
    fn handles(&self) -> usize {
        Bitmap::handles(self)
    }
}

/// What stands for `bitmap` in C; NULL if something else does already. It is
/// valid as long as there is a handle of the bitmap, or a reference of C.
pub(crate) fn object(bitmap: &Bitmap) -> *mut Bmp {
    let object = bitmap.companion(|| Bmp {
        // SAFETY: the bitmap keeps its companion.
        references: unsafe { References::of(bitmap) },
        error: Mutex::default(),
    });
    object.map_or(ptr::null_mut(), |object| Arc::as_ptr(&object).cast_mut())
}

impl Bmp {
    /// The bitmap that this stands for.
    pub(crate) fn handle(&self) -> Bitmap {
        self.references.handle()
    }

    fn error(&self) -> MutexGuard<'_, ErrorBuffer<ERROR_SIZE>> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, body: impl FnOnce(&Bitmap) -> Outcome) -> KStatus {
        self.error().clear();
        match body(&self.handle()) {
            Ok(()) => OK,
            Err(failure) => {
                self.error().add(failure.text().as_bytes());
                failure.status()
            }
        }
    }
}

/// Takes one more reference; returns how many there are.
///
/// # Safety
/// `bmp` is NULL or a bitmap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_bmp_incref(bmp: *mut Bmp) -> c_ulong {
    // SAFETY: as above.
    entry!(0, { unsafe { bmp.as_ref() }.map_or(0, |bmp| bmp.references.take()) })
}

/// Gives a reference back; returns how many are left.
///
/// # Safety
/// `bmp` is NULL or a bitmap, to which the caller has a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_bmp_decref(bmp: *mut Bmp) -> c_ulong {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { bmp.as_ref() }) else { return 0 };
        let (left, last) = object.references.give_back();
        // `object` may go with it.
        drop(last);
        left
    })
}

/// The error string, or NULL.
///
/// # Safety
/// `bmp` is NULL or a bitmap.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_bmp_get_err(bmp: *const Bmp) -> *const c_char {
    // SAFETY: as above.
    entry!(ptr::null(), { unsafe { bmp.as_ref() }.map_or(ptr::null(), |bmp| bmp.error().as_ptr()) })
}

/// Copies bits `first` to `last`, least significant first.
///
/// # Safety
/// `bmp` is NULL or a bitmap; `raw` has room for the bits.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_bmp_get_bits(
    bmp: *mut Bmp,
    first: u64,
    last: u64,
    raw: *mut c_uchar,
) -> KStatus {
    entry!(SYSTEM, {
        // SAFETY: as above.
        let Some(bmp) = (unsafe { bmp.as_ref() }) else { return INVALID };
        bmp.call(|bits| {
            let length = last.checked_sub(first).and_then(|length| usize::try_from(length >> 3).ok());
            let length = length.filter(|_| !raw.is_null());
            let length = length.ok_or_else(|| kdumpfile::Error::invalid("Range ends before it begins"))?;
            // SAFETY: the buffer has room for the bits.
            let out = unsafe {
                ptr::write_bytes(raw, 0, length + 1);
                core::slice::from_raw_parts_mut(raw, length + 1)
            };
            Ok(bits.bits(first, last, out)?)
        })
    })
}

/// Finds a bit from `*idx` on.
///
/// # Safety
/// `bmp` is NULL or a bitmap; `idx` is NULL or valid.
unsafe fn find(
    bmp: *mut Bmp,
    idx: *mut u64,
    find: impl FnOnce(&Bitmap, u64) -> kdumpfile::Result<u64>,
) -> KStatus {
    entry!(SYSTEM, {
        // SAFETY: as above.
        let (Some(bmp), Some(idx)) = (unsafe { (bmp.as_ref(), idx.as_mut()) }) else { return INVALID };
        bmp.call(|bits| {
            *idx = find(bits, *idx)?;
            Ok(())
        })
    })
}

/// Finds the next bit that is set.
///
/// # Safety
/// `bmp` is NULL or a bitmap; `idx` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_bmp_find_set(bmp: *mut Bmp, idx: *mut u64) -> KStatus {
    // SAFETY: as above.
    unsafe { find(bmp, idx, Bitmap::find_set) }
}

/// Finds the next bit that is clear.
///
/// # Safety
/// `bmp` is NULL or a bitmap; `idx` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_bmp_find_clear(bmp: *mut Bmp, idx: *mut u64) -> KStatus {
    // SAFETY: as above.
    unsafe { find(bmp, idx, Bitmap::find_clear) }
}
