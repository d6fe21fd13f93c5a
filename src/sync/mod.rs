//! The one place that knows whether there are threads.
//!
//! Every other module takes its sharing and locking from here and is the same
//! source text in all builds:
//!
//! | backend | chosen by | `Shared` | `Lock`, `RwLock` | `Counter` |
//! | --- | --- | --- | --- | --- |
//! | `single` | neither feature | `Rc` | `RefCell` | `Cell` |
//! | `threads` | `std-threads` | `Arc` | std | atomic |
//! | `spin` | `spin-threads` | `Arc` | spinning | atomic |
//!
//! With both features the std locks are used. Under `cfg(loom)` locks,
//! counters and [`Counted`] are loom's, so that the model checker sees every
//! step. [`Counted`] is [`Shared`] for values of a known size, where the count
//! itself decides something.
//!
//! No lock of this crate is held while bytes are read or decompressed, or
//! while code of the user runs; that is why a backend without threads never
//! meets a lock that its own caller holds.

mod fault;
mod nesting;
#[cfg(all(feature = "rayon", not(loom)))]
mod parallel;

pub use fault::*;
pub(crate) use nesting::Nesting;
#[cfg(all(feature = "rayon", not(loom)))]
pub(crate) use parallel::{Parallel, in_parallel};

cfg_if::cfg_if! {
    if #[cfg(loom)] {
        mod loom;
        pub use self::loom::*;
    } else if #[cfg(feature = "std-threads")] {
        mod threads;
        pub use threads::*;
    } else if #[cfg(feature = "spin-threads")] {
        mod spin;
        pub use spin::*;
    } else {
        mod single;
        pub use single::*;
    }
}

/// A value that is computed at most once and then never changes.
///
/// Nobody waits for the value: two threads that find it missing both compute
/// it, and the first one to finish is kept. So no lock is held meanwhile.
pub struct Lazy<T>(OnceCell<T>);

impl<T> Lazy<T> {
    /// No value yet.
    pub const fn new() -> Self {
        Lazy(OnceCell::new())
    }

    /// The value, if it is there.
    pub fn get(&self) -> Option<&T> {
        self.0.get()
    }

    /// The value; if it is missing, `init` makes it. An error leaves it missing.
    pub fn get_or_try_init<E>(&self, init: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if let Some(value) = self.0.get() {
            return Ok(value);
        }
        let value = init()?;
        Ok(self.0.set_or_get(value))
    }
}

impl<T> Default for Lazy<T> {
    fn default() -> Self {
        Self::new()
    }
}
