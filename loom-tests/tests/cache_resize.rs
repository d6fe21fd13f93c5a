//! A cache is replaced while it is used: invariants 16 to 18 and 20, at the
//! level of the cache. The holder is built as the dump is: what is current is
//! behind a lock, and readers look again when its number has changed.
#![cfg(loom)]

use std::sync::Arc;

use kdumpfile::cache::PageCache;
use kdumpfile::sync::{Counter, Fault, Lock, broken};
use kdumpfile_loom_tests::models;
use kdumpfile_loom_tests::pages::*;

/// What the clones of a dump share.
struct Holder {
    current: Lock<PageCache>,
    version: Counter,
}

impl Holder {
    fn new(slots: u64) -> Arc<Self> {
        Arc::new(Holder { current: Lock::new(cache(slots)), version: Counter::new(1) })
    }

    fn resize(&self, slots: u64) {
        if broken(Fault::OldCacheServed) {
            self.version.add(1);
        }
        let new = cache(slots);
        let mut current = self.current.lock();
        let old = std::mem::replace(&mut *current, new);
        if !broken(Fault::OldCacheServed) {
            self.version.add(1);
        }
        drop(current);
        drop(old);
    }
}

/// What one clone remembers.
struct Reader {
    holder: Arc<Holder>,
    version: u64,
    cache: PageCache,
}

impl Reader {
    fn new(holder: &Arc<Holder>) -> Self {
        let current = holder.current.lock();
        let (version, cache) = (holder.version.get(), current.clone());
        drop(current);
        Reader { holder: holder.clone(), version, cache }
    }

    fn cache(&mut self) -> &PageCache {
        if self.holder.version.get() != self.version {
            *self = Reader::new(&self.holder.clone());
        }
        &self.cache
    }
}

models! {
    /// A page is held across the resize. Loom sees to it that the old cache
    /// goes away, and only once.
    inv16_pages_of_a_replaced_cache_stay_readable => Fault::CacheKeptForEver, || {
        let holder = Holder::new(1);
        let mut reader = Reader::new(&holder);
        let held = read(reader.cache(), 1).page().expect("the cache is empty");
        let other = holder.clone();
        let (again, _) = together(
            || read(reader.cache(), 1).page(),
            move || other.resize(1),
        );
        assert_eq!(*held, [1; 4]);
        drop(held);
        assert!(again.is_none_or(|page| *page == [1; 4]));
        all_slots_are_back(reader.cache());
    }

    /// A look-up that begins after a resize returned never finds old pages.
    inv17_after_a_resize_only_the_new_cache_is_used => Fault::OldCacheServed, || {
        let holder = Holder::new(1);
        let mut reader = Reader::new(&holder);
        drop(read(reader.cache(), 1));
        let other = holder.clone();
        together(
            || drop(read(reader.cache(), 1)),
            move || other.resize(2),
        );
        assert_eq!(reader.cache().capacity(), 2, "the resize has returned");
    }

    /// The old cache is gone from the holder when the fill ends.
    inv18_a_fill_ends_well_after_its_cache_was_replaced => Fault::FillNeedsOwner, || {
        let holder = Holder::new(1);
        let other = holder.clone();
        let (got, _) = together(
            || {
                let current = holder.current.lock().clone();
                let found = current.get(key(1));
                // Only the guard keeps the cache, if it was replaced.
                drop(current);
                settle(found, 1, |guard| fill(guard, 1, || {}))
            },
            move || other.resize(1),
        );
        let page = got.page().expect("the fill ends well");
        assert_eq!(*page, [1; 4]);
    }

    /// The second reader of a page in flight does not depend on the cache.
    inv20_a_resize_leaves_nobody_waiting => Fault::JoinerWaits, || {
        let holder = Holder::new(1);
        let (mut first, mut second) = (Reader::new(&holder), Reader::new(&holder));
        let got = look_up(first.cache(), 1, move |guard| {
            let (filled, joined) = together(
                || {
                    holder.resize(1);
                    fill(guard, 1, || {})
                },
                move || !read(second.cache(), 1).is_busy(),
            );
            assert!(joined);
            filled
        });
        assert!(matches!(got, Got::Filled(_)));
        all_slots_are_back(first.cache());
    }
}
