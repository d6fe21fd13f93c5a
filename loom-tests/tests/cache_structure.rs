//! The page cache is whole after whatever several threads did: invariants 1
//! to 4 of the specification.
#![cfg(loom)]

use kdumpfile::cache::PageCache;
use kdumpfile::sync::Fault;
use kdumpfile_loom_tests::models;
use kdumpfile_loom_tests::pages::*;

models! {
    /// Two pages ask for the only slot.
    inv01_there_are_never_more_pages_than_slots => Fault::OneSlotTooMany, || {
        let cache = cache(1);
        let other = cache.clone();
        together(|| drop(read(&cache, 1)), move || drop(read(&other, 2)));
        assert_eq!(cache.audit(), Ok(()));
        all_slots_are_back(&cache);
    }

    /// Two threads miss the same page at the same time.
    inv02_a_key_is_in_one_place_only => Fault::NoSecondLook, || {
        let cache = cache(2);
        let other = cache.clone();
        together(|| drop(read(&cache, 1)), move || drop(read(&other, 1)));
        assert_eq!(cache.audit(), Ok(()));
        all_slots_are_back(&cache);
    }

    /// The same in a cache whose pages are evicted and come back.
    inv02_a_ghost_that_two_threads_ask_for_comes_back_once => Fault::NoSecondLook, || {
        let cache = PageCache::with_shards(2, 4, 2);
        for number in [1, 2, 3] {
            drop(read(&cache, number));
        }
        let other = cache.clone();
        together(|| drop(read(&cache, 1)), move || drop(read(&other, 1)));
        assert_eq!(cache.audit(), Ok(()));
    }

    /// Ghosts of pages used once are asked for again and again.
    inv03_the_share_of_probed_pages_stays_within_the_slots => Fault::ShareUnbounded, || {
        let cache = cache(1);
        drop(read(&cache, 1));
        drop(read(&cache, 2));
        let other = cache.clone();
        together(|| drop(read(&cache, 1)), move || drop(read(&other, 2)));
        assert_eq!(cache.audit(), Ok(()));
    }

    /// Handles are given back in another order and by another thread.
    inv04_a_page_is_pinned_as_long_as_there_are_handles => Fault::ForgottenPin, || {
        let cache = cache(1);
        let Some(first) = read(&cache, 1).page() else { panic!("the cache is empty") };
        let (again, other) = (first.clone(), cache.clone());
        let (busy, _) = together(
            move || {
                drop(first);
                read(&cache, 2).is_busy()
            },
            move || drop(read(&other, 1)),
        );
        assert!(busy, "there is a handle");
        drop(again);
    }
}
