//! Blobs.

use core::ffi::{c_ulong, c_void};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kdumpfile_capi_shared::{entry, memory, reserve};

use crate::references::{Handle, References};
use crate::status::{INVALID, KStatus, OK, SYSTEM, number};

/// `kdump_blob_t`: what stands for a blob in C. It belongs to the blob.
pub struct Blob {
    references: References<kdumpfile::Blob>,
    /// Bytes that came from C, if these are the ones.
    bytes: Mutex<Option<Arc<Malloced>>>,
}

// SAFETY: it is one counted pointer.
unsafe impl Handle for kdumpfile::Blob {
    fn handles(&self) -> usize {
        kdumpfile::Blob::handles(self)
    }
}

/// Bytes from the C library's `malloc`.
struct Malloced {
    start: *mut u8,
    size: usize,
    /// Whether they are freed at the end.
    owned: AtomicBool,
}

// SAFETY: whoever gave the memory away uses it only through pins, whose users
// see to it that they do not race with registers that are written.
unsafe impl Send for Malloced {}
// SAFETY: as above.
unsafe impl Sync for Malloced {}

impl Drop for Malloced {
    fn drop(&mut self) {
        if *self.owned.get_mut() {
            // SAFETY: the client says that it came from malloc, and gave it away.
            unsafe { libc::free(self.start.cast()) };
        }
    }
}

/// The owner of such bytes, as the blob keeps it.
struct Owner(Arc<Malloced>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        if self.0.start.is_null() {
            return &[];
        }
        // SAFETY: there are so many bytes until they are freed.
        unsafe { core::slice::from_raw_parts(self.0.start, self.0.size) }
    }
}

impl AsMut<[u8]> for Owner {
    fn as_mut(&mut self) -> &mut [u8] {
        if self.0.start.is_null() {
            return &mut [];
        }
        // SAFETY: there are so many bytes until they are freed; the blob calls
        // this under its lock.
        unsafe { core::slice::from_raw_parts_mut(self.0.start, self.0.size) }
    }
}

impl Blob {
    /// The blob that this stands for.
    pub(crate) fn handle(&self) -> kdumpfile::Blob {
        self.references.handle()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stands for `blob` in C; NULL if something else does already. It is
/// valid as long as there is a handle of the blob, or a reference of C.
pub(crate) fn object(blob: &kdumpfile::Blob) -> *mut Blob {
    let object = blob.companion(|| Blob {
        // SAFETY: the blob keeps its companion.
        references: unsafe { References::of(blob) },
        bytes: Mutex::default(),
    });
    object.map_or(ptr::null_mut(), |object| Arc::as_ptr(&object).cast_mut())
}

/// More than a blob takes without its bytes.
const MEMORY_OF_NEW: usize = 1 << 10;

/// A blob with one reference, whose bytes are at `data`; NULL without memory,
/// and then these are still the caller's.
fn new_blob(data: *mut u8, size: usize) -> *mut Blob {
    if reserve::is_low() || !memory::is_there(MEMORY_OF_NEW) {
        return ptr::null_mut();
    }
    let bytes = Arc::new(Malloced { start: data, size, owned: AtomicBool::new(true) });
    let blob = kdumpfile::Blob::with_owner(Owner(bytes.clone()));
    let object = object(&blob);
    // SAFETY: the blob is there, and so is its companion.
    if let Some(object) = unsafe { object.as_ref() } {
        *lock(&object.bytes) = Some(bytes);
        object.references.take();
    }
    object
}

/// A blob with one reference, which takes `data` over.
///
/// # Safety
/// `data` is NULL or came from `malloc`, with `size` bytes at least.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_new(data: *mut c_void, size: usize) -> *mut Blob {
    entry!(ptr::null_mut(), { new_blob(data.cast(), size) })
}

/// A blob with one reference and a copy of `data`.
///
/// # Safety
/// `data` is NULL or has `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_new_dup(data: *const c_void, size: usize) -> *mut Blob {
    entry!(ptr::null_mut(), {
        let bytes: &[u8] = if data.is_null() {
            &[]
        } else {
            // SAFETY: as above.
            unsafe { core::slice::from_raw_parts(data.cast(), size) }
        };
        let copy = memory::copy(bytes);
        if copy.is_null() {
            return ptr::null_mut();
        }
        let blob = new_blob(copy, bytes.len());
        if blob.is_null() {
            // SAFETY: it came from malloc, and nobody took it over.
            unsafe { libc::free(copy.cast()) };
        }
        blob
    })
}

/// Takes one more reference; returns how many there are.
///
/// # Safety
/// `blob` is NULL or a blob.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_incref(blob: *mut Blob) -> c_ulong {
    // SAFETY: as above.
    entry!(0, { unsafe { blob.as_ref() }.map_or(0, |blob| blob.references.take()) })
}

/// Gives a reference back; returns how many are left.
///
/// # Safety
/// `blob` is NULL or a blob, to which the caller has a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_decref(blob: *mut Blob) -> c_ulong {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { blob.as_ref() }) else { return 0 };
        let (left, last) = object.references.give_back();
        // `object` may go with it.
        drop(last);
        left
    })
}

/// Keeps the bytes where they are; returns where that is.
///
/// # Safety
/// `blob` is NULL or a blob.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_pin(blob: *mut Blob) -> *mut c_void {
    entry!(ptr::null_mut(), {
        // SAFETY: as above.
        let Some(object) = (unsafe { blob.as_ref() }) else { return ptr::null_mut() };
        let start = object.handle().pin_unguarded();
        let null = lock(&object.bytes).as_ref().is_some_and(|bytes| bytes.start.is_null());
        if null { ptr::null_mut() } else { start.cast_mut().cast() }
    })
}

/// Ends one `kdump_blob_pin`; returns how many are left.
///
/// # Safety
/// `blob` is NULL or a blob.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_unpin(blob: *mut Blob) -> c_ulong {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { blob.as_ref() }) else { return 0 };
        object.handle().unpin()
    })
}

/// The number of bytes.
///
/// # Safety
/// `blob` is NULL or a blob.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_size(blob: *const Blob) -> usize {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { blob.as_ref() }) else { return 0 };
        // A blob of NULL has the size that it was given.
        let given = lock(&object.bytes).as_ref().map(|bytes| bytes.size);
        given.unwrap_or_else(|| object.handle().len())
    })
}

/// Replaces the bytes by `data`, which is taken over, unless they are pinned.
///
/// # Safety
/// `blob` is NULL or a blob; `data` is NULL or came from `malloc`, with `size`
/// bytes at least.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_blob_set(blob: *mut Blob, data: *mut c_void, size: usize) -> KStatus {
    entry!(SYSTEM, {
        // SAFETY: as above.
        let Some(object) = (unsafe { blob.as_ref() }) else { return INVALID };
        let size = if data.is_null() { 0 } else { size };
        let outcome = object.handle().set_owner(|| {
            let new = Arc::new(Malloced { start: data.cast(), size, owned: AtomicBool::new(true) });
            let old = lock(&object.bytes).replace(new.clone());
            if let Some(old) = old.filter(|old| old.start == new.start) {
                old.owned.store(false, Ordering::Relaxed);
            }
            Owner(new)
        });
        match outcome {
            Ok(()) => OK,
            Err(error) => number(error.status()),
        }
    })
}
