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
    /// A translation is shared before it is complete.
    HalfBuilt,
    /// A translation of one's own is that of the original.
    SharedScope,
    /// A change that translation depends on is not noted.
    UnnoticedChange,
    /// Records of an LKCD dump are added once more after somebody else did.
    RecordsAddedTwice,
    /// Page cache: there is one more page than slots.
    OneSlotTooMany,
    /// Page cache: two threads that miss a page both enter it.
    NoSecondLook,
    /// Page cache: hits in ghost lists move the share beyond the slots.
    ShareUnbounded,
    /// Page cache: the handle of a filled page is never given back.
    ForgottenPin,
    /// Page cache: a page that is pinned is evicted all the same.
    EvictPinned,
    /// Page cache: a page is shown before it is filled.
    ShownTooEarly,
    /// Page cache: a filled page is entered where another one is awaited.
    FilledElsewhere,
    /// Page cache: the second reader of a page in flight fills the slot, too.
    TwoFillers,
    /// Page cache: a page that could not be filled is entered.
    FailedFillShown,
    /// Page cache: a fill that failed forgets the page once more, later.
    ForgottenTwice,
    /// Page cache: the end of a successful fill discards the page.
    CommitDiscards,
    /// Page cache: only pages of the own shard are evicted.
    BusyByShard,
    /// Page cache: pages that were pinned at different times count as pinned.
    BusyAtAGlance,
    /// Page cache: a refusal counts as a miss.
    BusyIsCounted,
    /// Page cache: a fill that failed keeps its slot.
    LostSlot,
    /// Page cache: a hit is counted in two steps.
    LostCount,
    /// Page cache: a fill that ends keeps its cache.
    CacheKeptForEver,
    /// Page cache: a fill that ends after its cache was replaced is an error.
    FillNeedsOwner,
    /// Page cache: the second reader of a page in flight waits for the first.
    JoinerWaits,
    /// Page cache: who finds all slots in use waits for one.
    WaitsForSlot,
    /// Page cache: the second reader of a page in flight is refused.
    JoinerRefused,
    /// Page cache: a cache that was replaced is used once more.
    OldCacheServed,
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
