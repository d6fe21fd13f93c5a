//! What readers see is the page that they asked for, whole and for as long as
//! they hold it: invariants 5 to 11 of the specification.
#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kdumpfile::cache::PageCache;
use kdumpfile::sync::Fault;
use kdumpfile_loom_tests::models;
use kdumpfile_loom_tests::pages::*;

models! {
    /// One thread pins the page that another one is about to evict.
    inv05_a_pinned_page_is_never_evicted => Fault::EvictPinned, || {
        let cache = cache(1);
        drop(read(&cache, 1));
        let other = cache.clone();
        let (pinned, _) = together(
            || read(&cache, 1).page(),
            move || drop(read(&other, 2)),
        );
        if let Some(pinned) = &pinned {
            assert_eq!(**pinned, [1; 4]);
            assert!(read(&cache, 3).is_busy(), "the only slot is pinned");
        }
        drop(pinned);
        all_slots_are_back(&cache);
    }

    /// The same with two shards, so that eviction takes the lock of another
    /// shard than that of the page it makes room for.
    inv05_eviction_across_shards_spares_pinned_pages => Fault::EvictPinned, || {
        let cache = PageCache::with_shards(2, 4, 2);
        let (here, there, new) =
            (page_of_shard(&cache, 0, 0), page_of_shard(&cache, 1, 0), page_of_shard(&cache, 1, 1));
        let pinned = read(&cache, here).page().expect("the cache is empty");
        drop(read(&cache, there));
        let other = cache.clone();
        let (again, _) = together(
            || {
                let again = pinned.clone();
                drop(pinned);
                again
            },
            move || drop(read(&other, new)),
        );
        assert_eq!(*again, [here; 4]);
        assert!(matches!(read(&cache, here), Got::Hit(_)));
    }

    /// A reader meets the page while it is being filled.
    inv06_no_page_is_seen_before_it_is_filled => Fault::ShownTooEarly, || {
        let cache = cache(1);
        let other = cache.clone();
        let (here, there) = together(
            || !read(&cache, 1).is_busy(),
            move || !read(&other, 1).is_busy(),
        );
        assert!(here && there, "never Busy for a page in flight");
        all_slots_are_back(&cache);
    }

    /// Two pages are in flight at the same time; then both are read again.
    inv07_a_page_has_the_bytes_of_its_own_key => Fault::FilledElsewhere, || {
        let cache = cache(2);
        let other = cache.clone();
        together(|| drop(read(&cache, 1)), move || drop(read(&other, 2)));
        for number in [1, 2] {
            assert!(matches!(read(&cache, number), Got::Hit(_)));
        }
        assert_eq!(cache.audit(), Ok(()));
    }

    /// Two threads want the same page: at most one of them fills the slot.
    inv08_at_most_one_thread_fills_a_page => Fault::TwoFillers, || {
        let cache = cache(2);
        let other = cache.clone();
        let fillers = Arc::new(AtomicUsize::new(0));
        let read_counted = |cache: PageCache, fillers: Arc<AtomicUsize>| {
            drop(look_up(&cache, 1, |guard| {
                assert_eq!(fillers.fetch_add(1, Ordering::Relaxed), 0, "one filler at a time");
                let got = fill(guard, 1, || step(&cache));
                fillers.fetch_sub(1, Ordering::Relaxed);
                got
            }));
        };
        let there = fillers.clone();
        together(|| read_counted(cache.clone(), fillers), move || read_counted(other, there));
        assert_eq!(cache.audit(), Ok(()));
    }

    /// One thread fails to fill the page that the other one wants, too.
    inv09_a_failed_fill_shows_nothing_and_gives_its_slot_back => Fault::FailedFillShown, || {
        let cache = cache(1);
        let other = cache.clone();
        let (got, _) = together(
            || read(&cache, 1),
            move || drop(read_in_vain(&other, 1)),
        );
        assert!(!matches!(got, Got::Failed | Got::Busy), "the failure is that of the other one");
        drop(got);
        all_slots_are_back(&cache);
    }

    /// The end of a failed fill comes late, when the page is there again.
    inv10_a_failed_fill_leaves_the_page_of_another_filler_alone => Fault::ForgottenTwice, || {
        let cache = cache(2);
        let other = cache.clone();
        let (got, _) = together(
            || read(&cache, 1),
            move || drop(read_in_vain(&other, 1)),
        );
        if matches!(got, Got::Filled(_)) {
            assert!(matches!(read(&cache, 1), Got::Hit(_)), "what was filled is there");
        }
        drop(got);
        all_slots_are_back(&cache);
    }

    /// The guard of a fill that ended well goes away.
    inv11_the_end_of_a_good_fill_discards_nothing => Fault::CommitDiscards, || {
        let cache = cache(2);
        let other = cache.clone();
        together(|| drop(read(&cache, 1)), move || drop(read(&other, 1)));
        assert!(matches!(read(&cache, 1), Got::Hit(_)));
        all_slots_are_back(&cache);
    }
}
