//! Faults that are put in on purpose, so that each model can be seen to fail.
//!
//! Without `--cfg broken` there are none: [`broken`] is the constant `false`
//! and nothing of it is left in the program. With it (loom-tests only), the
//! thread that runs a model says which single fault its run has.

/// A way in which shared state could be handled wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A clone of a context starts with the last error of its original.
    KeptError,
    /// A clone starts without private data and callbacks.
    LostOwn,
    /// A dump is never freed.
    LeakedDump,
    /// A context goes on with the snapshot of a dump that it has.
    StaleSnapshot,
    /// Two contexts open dumps at the same time.
    TwoOpen,
    /// A new size of the cache takes effect before it was found good.
    ResizedBeforeCheck,
    /// Page size and page shift do not follow from each other.
    HalfPair,
    /// What a change replaces is dropped while the tree is locked.
    DroppedUnderLock,
    /// Two that compute a value at the same time keep different ones.
    ComputedTwice,
    /// A blob is replaced although it is pinned.
    IgnoredPin,
    /// A change that translation depends on is not noted.
    UnnoticedChange,
    /// Page cache: a page that is pinned is evicted all the same.
    EvictPinned,
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
