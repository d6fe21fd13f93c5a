//! An allocator that counts, for tests of how much memory something takes.
//!
//! ```
//! use kdumpfile_testkit::alloc::Counting;
//!
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting::new();
//!
//! let start = ALLOCATOR.used();
//! let bytes = vec![0u8; 1000];
//! assert!(ALLOCATOR.used() >= start + 1000);
//! drop(bytes);
//! ```
#![allow(unsafe_code)] // Only the calls of the system's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, which counts the bytes in use.
pub struct Counting {
    used: AtomicUsize,
    peak: AtomicUsize,
}

impl Counting {
    /// An allocator that has counted nothing yet.
    #[allow(clippy::new_without_default)] // It is a static.
    pub const fn new() -> Self {
        Counting { used: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes that are allocated now.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Runs `work` and returns its result, the peak while it ran and what is
    /// still in use, both in bytes above the start. One caller at a time.
    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, usize, usize) {
        let start = self.used();
        self.peak.store(start, Relaxed);
        let result = work();
        let peak = self.peak.load(Relaxed).saturating_sub(start);
        (result, peak, self.used().saturating_sub(start))
    }

    fn grown(&self, size: usize) {
        let used = self.used.fetch_add(size, Relaxed) + size;
        self.peak.fetch_max(used, Relaxed);
    }

    fn shrunk(&self, size: usize) {
        self.used.fetch_sub(size, Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator unchanged; counting
// touches nothing but two atomics and allocates nothing itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.grown(layout.size());
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.grown(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.shrunk(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both are in use while the bytes are moved.
        self.grown(size);
        self.shrunk(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
