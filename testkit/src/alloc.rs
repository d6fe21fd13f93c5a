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
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The system's allocator, which counts the bytes in use.
pub struct Counting {
    used: AtomicUsize,
}

// Tests of one program run in threads beside each other, and so does the harness: what they allocate must
// not be taken for what is measured. Neither cell has a destructor or is set up lazily, so that touching
// them inside the allocator allocates nothing.
thread_local! {
    /// Bytes that this thread has allocated less those that it has freed.
    static GROWTH: Cell<isize> = const { Cell::new(0) };
    /// The highest that `GROWTH` has been since the measurement began.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

impl Counting {
    /// An allocator that has counted nothing yet.
    #[allow(clippy::new_without_default)] // It is a static.
    pub const fn new() -> Self {
        Counting { used: AtomicUsize::new(0) }
    }

    /// Bytes that are allocated now, by all threads.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Runs `work` and returns its result, the peak while it ran and what is
    /// still in use, both in bytes above the start. Only what this very thread
    /// allocates and frees is counted.
    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> (T, usize, usize) {
        let start = GROWTH.get();
        PEAK.set(start);
        let result = work();
        let above = |growth: isize| usize::try_from(growth - start).unwrap_or(0);
        (result, above(PEAK.get()), above(GROWTH.get()))
    }

    fn grown(&self, size: usize) {
        self.used.fetch_add(size, Relaxed);
        // A thread that ends may free after its cells are gone.
        let _ = GROWTH.try_with(|growth| {
            // Layouts never exceed isize::MAX.
            growth.set(growth.get().wrapping_add(size as isize));
            PEAK.with(|peak| peak.set(peak.get().max(growth.get())));
        });
    }

    fn shrunk(&self, size: usize) {
        self.used.fetch_sub(size, Relaxed);
        let _ = GROWTH.try_with(|growth| growth.set(growth.get().wrapping_sub(size as isize)));
    }
}

// SAFETY: every call is handed to the system's allocator unchanged; counting
// touches an atomic and two cells of the thread and allocates nothing itself.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static ALLOCATOR: Counting = Counting::new();

    #[test]
    fn what_other_threads_allocate_is_not_measured() {
        let (kept, peak, left) = ALLOCATOR.measure(|| {
            let other = std::thread::scope(|scope| scope.spawn(|| vec![1u8; 1 << 20]).join().unwrap());
            drop(vec![2u8; 5000]);
            (vec![3u8; 3000], other)
        });
        assert_eq!(kept.1.len(), 1 << 20);
        assert!((3000..100_000).contains(&left), "{left}");
        assert!((5000..100_000).contains(&peak), "{peak}");
    }

    #[test]
    fn all_threads_count_as_used() {
        let start = ALLOCATOR.used();
        let kept = std::thread::spawn(|| vec![1u8; 64 << 20]).join().unwrap();
        assert!(ALLOCATOR.used() - start > 60 << 20);
        drop(kept);
    }
}
