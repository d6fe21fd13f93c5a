//! Faults that are put in on purpose, so that each model can be seen to fail.
//!
//! Without `--cfg broken` there are none: [`broken`] is the constant `false`
//! and nothing of it is left in the program. With it (loom-tests only), the
//! thread that runs a model says which single fault its run has.

/// A way in which shared state could be handled wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A clone of a context takes over the last error, and shares it.
    SharedError,
}

/// Whether this run has `fault`.
#[cfg(not(broken))]
#[inline(always)]
pub const fn broken(_fault: Fault) -> bool {
    false
}

#[cfg(broken)]
std::thread_local! {
    static CHOSEN: core::cell::Cell<Option<Fault>> = const { core::cell::Cell::new(None) };
}

/// Whether this run has `fault`.
#[cfg(broken)]
pub fn broken(fault: Fault) -> bool {
    CHOSEN.get() == Some(fault)
}

/// Chooses the fault of the runs to come. Loom runs all threads of a model in
/// the thread that started it.
#[cfg(broken)]
pub fn break_with(fault: Option<Fault>) {
    CHOSEN.set(fault);
}
