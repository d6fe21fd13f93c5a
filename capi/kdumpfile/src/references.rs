//! Reference counts of objects that C shares with attributes.

use core::ffi::c_ulong;
use core::mem::ManuallyDrop;
use std::sync::{Mutex, PoisonError};

/// A handle of a Rust object that knows how many handles there are.
///
/// # Safety
/// A handle is a counted pointer, which may be copied as bytes as long as the
/// copy is not used after the object is gone, nor dropped.
pub(crate) unsafe trait Handle: Clone {
    /// The number of handles.
    fn handles(&self) -> usize;
}

/// The references that C has to an object of Rust, kept by that object.
///
/// While there is one, a handle keeps the object alive, and the object keeps
/// this; the circle is opened when the last reference is given back.
pub(crate) struct References<H: Handle> {
    /// The object that keeps this: not counted, as it would never go.
    object: ManuallyDrop<H>,
    held: Mutex<(u64, Option<H>)>,
}

impl<H: Handle> References<H> {
    /// No references.
    ///
    /// # Safety
    /// The object behind `handle` keeps the result, which is gone when the
    /// object is.
    pub unsafe fn of(handle: &H) -> Self {
        // SAFETY: a handle may be copied so, by the contract of the trait; the
        // copy is never dropped and lives no longer than the object.
        let object = ManuallyDrop::new(unsafe { core::ptr::read(handle) });
        References { object, held: Mutex::new((0, None)) }
    }

    /// The object.
    pub fn handle(&self) -> H {
        H::clone(&self.object)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, (u64, Option<H>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All references: those of C, and those of attributes.
    fn count(&self, held: &(u64, Option<H>)) -> c_ulong {
        let handles = self.object.handles() as u64;
        held.0 + handles.saturating_sub(u64::from(held.1.is_some()))
    }

    /// Takes a reference for C. Returns how many there are.
    pub fn take(&self) -> c_ulong {
        let mut held = self.held();
        held.0 += 1;
        if held.1.is_none() {
            held.1 = Some(self.handle());
        }
        self.count(&held)
    }

    /// Gives a reference back. Returns how many are left and, after the last
    /// one of C, a handle for the caller to drop at the very end: this may go
    /// with it.
    pub fn give_back(&self) -> (c_ulong, Option<H>) {
        let mut held = self.held();
        held.0 = held.0.saturating_sub(1);
        let left = self.count(&held);
        let last = if held.0 == 0 { held.1.take() } else { None };
        (left, last)
    }
}
