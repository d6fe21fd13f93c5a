//! Backend of feature `spin-threads`: `Arc`, spinning locks, atomics, no std.

use core::sync::atomic::{AtomicU64, Ordering};

pub use alloc::sync::{Arc as Counted, Arc as Shared, Weak as WeakShared};

/// Something of a type that only its owner knows.
pub type SharedAny = Shared<dyn core::any::Any + Send + Sync>;

/// Can be moved to another thread.
pub trait MaybeSend: Send {}
impl<T: Send + ?Sized> MaybeSend for T {}

/// Can be used by several threads at the same time.
pub trait MaybeSync: Sync {}
impl<T: Sync + ?Sized> MaybeSync for T {}

/// Into how many parts with a lock each it is worth to split what threads share.
pub const LOCKS_MAX: usize = 32;

/// A lock around what decides nothing between threads.
pub(crate) type Unseen<T> = Lock<T>;

/// Without an operating system nothing tells threads apart.
pub(crate) fn caller() -> usize {
    0
}

/// Exclusive access to a small piece of state.
#[derive(Default)]
pub struct Lock<T>(spin::Mutex<T>);

impl<T> Lock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Lock(spin::Mutex::new(value))
    }

    /// Takes the lock.
    pub fn lock(&self) -> spin::MutexGuard<'_, T> {
        self.0.lock()
    }
}

/// Shared or exclusive access to a small piece of state.
#[derive(Default)]
pub struct RwLock<T>(spin::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        RwLock(spin::RwLock::new(value))
    }

    /// Takes the lock for reading.
    pub fn read(&self) -> spin::RwLockReadGuard<'_, T> {
        self.0.read()
    }

    /// Takes the lock for writing.
    pub fn write(&self) -> spin::RwLockWriteGuard<'_, T> {
        self.0.write()
    }
}

/// A cell that is written at most once.
pub struct OnceCell<T>(spin::Once<T>);

impl<T> OnceCell<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        OnceCell(spin::Once::new())
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// Stores `value` unless there is one already; returns what is stored.
    pub fn set_or_get(&self, value: T) -> &T {
        self.0.call_once(|| value)
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A 64-bit counter that loses no update.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter that starts at `value`.
    pub const fn new(value: u64) -> Self {
        Counter(AtomicU64::new(value))
    }

    /// The current value; what happened before it was set is visible.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Replaces the value and returns the one before.
    pub fn replace(&self, value: u64) -> u64 {
        self.0.swap(value, Ordering::AcqRel)
    }

    /// Adds `n` (wrapping) and returns the value before.
    pub fn add(&self, n: u64) -> u64 {
        self.0.fetch_add(n, Ordering::AcqRel)
    }
}
