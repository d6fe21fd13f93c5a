//! Backend under `cfg(loom)`: locks and counters that the model checker drives.
//!
//! `Shared` stays the plain `Arc`, because loom's cannot hold a trait object.
//! What decides something by its count (whether a page is pinned, when a dump
//! goes away) is a `Counted`, whose every step the checker sees, and which it
//! reports if it is never freed.

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};

pub use alloc::sync::{Arc as Shared, Weak as WeakShared};
pub use loom::sync::Arc as Counted;

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

/// A lock around what decides nothing between threads: the checker need not try
/// every order in which it is taken.
#[derive(Default)]
pub(crate) struct Unseen<T>(std::sync::Mutex<T>);

impl<T> Unseen<T> {
    /// Takes the lock.
    pub fn lock(&self) -> std::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// All threads of a model are one to the system.
pub(crate) fn caller() -> usize {
    0
}

/// Exclusive access to a small piece of state.
pub struct Lock<T>(loom::sync::Mutex<T>);

impl<T> Lock<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        Lock(loom::sync::Mutex::new(value))
    }

    /// Takes the lock.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<T: Default> Default for Lock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Shared or exclusive access to a small piece of state.
pub struct RwLock<T>(loom::sync::RwLock<T>);

impl<T> RwLock<T> {
    /// A lock around `value`.
    pub fn new(value: T) -> Self {
        RwLock(loom::sync::RwLock::new(value))
    }

    /// Takes the lock for reading.
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Takes the lock for writing.
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// A cell that is written at most once.
pub struct OnceCell<T>(std::sync::OnceLock<T>);

impl<T> OnceCell<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        OnceCell(std::sync::OnceLock::new())
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
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter that starts at `value`.
    pub fn new(value: u64) -> Self {
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
