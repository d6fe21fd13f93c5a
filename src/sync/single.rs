//! Backend without threads: `Rc` and cells.

use core::cell::{Cell, Ref, RefCell, RefMut};

pub use alloc::rc::{Rc as Counted, Rc as Shared, Weak as WeakShared};

/// Something of a type that only its owner knows.
pub type SharedAny = Shared<dyn core::any::Any>;

/// Can be moved to another thread, if there are threads: here, anything.
pub trait MaybeSend {}
impl<T: ?Sized> MaybeSend for T {}

/// Can be used by several threads, if there are threads: here, anything.
pub trait MaybeSync {}
impl<T: ?Sized> MaybeSync for T {}

/// Into how many parts with a lock each it is worth to split what threads share:
/// there is one thread.
pub const LOCKS_MAX: usize = 1;

/// A lock around what decides nothing between threads.
pub(crate) type Unseen<T> = Lock<T>;

/// There is one thread.
pub(crate) fn caller() -> usize {
    0
}

/// Exclusive access to a small piece of state.
#[derive(Default)]
pub struct Lock<T>(RefCell<T>);

impl<T> Lock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Lock(RefCell::new(value))
    }

    /// Takes the lock.
    pub fn lock(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}

/// Shared or exclusive access to a small piece of state.
#[derive(Default)]
pub struct RwLock<T>(RefCell<T>);

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        RwLock(RefCell::new(value))
    }

    /// Takes the lock for reading.
    pub fn read(&self) -> Ref<'_, T> {
        self.0.borrow()
    }

    /// Takes the lock for writing.
    pub fn write(&self) -> RefMut<'_, T> {
        self.0.borrow_mut()
    }
}

/// A cell that is written at most once.
pub struct OnceCell<T>(core::cell::OnceCell<T>);

impl<T> OnceCell<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        OnceCell(core::cell::OnceCell::new())
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Stores `value` unless there is one already; returns what is stored.
    pub fn set_or_get(&self, value: T) -> &T {
        self.0.get_or_init(|| value)
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A 64-bit counter that loses no update.
#[derive(Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    /// A counter that starts at `value`.
    pub const fn new(value: u64) -> Self {
        Counter(Cell::new(value))
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    /// Replaces the value and returns the one before.
    pub fn replace(&self, value: u64) -> u64 {
        self.0.replace(value)
    }

    /// Adds `n` (wrapping) and returns the value before.
    pub fn add(&self, n: u64) -> u64 {
        self.0.replace(self.0.get().wrapping_add(n))
    }
}
