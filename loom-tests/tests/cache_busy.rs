//! `Busy` comes if, and only if, every slot is in use at one moment; it costs
//! nothing, and nobody ever waits: invariants 12 to 15 and 27.
#![cfg(loom)]

use kdumpfile::cache::PageCache;
use kdumpfile::sync::Fault;
use kdumpfile_loom_tests::models;
use kdumpfile_loom_tests::pages::*;
use loom::thread;

models! {
    /// At each moment one page at most is pinned, but not always the same: a
    /// search must not add up what was pinned at different moments.
    inv12_busy_is_true_at_one_moment => Fault::BusyAtAGlance, || {
        let cache = cache(2);
        let first = read(&cache, 1);
        drop(read(&cache, 2));
        let other = cache.clone();
        let (second, busy) = together(
            || {
                drop(first);
                read(&cache, 2)
            },
            move || read(&other, 3).is_busy(),
        );
        assert!(!second.is_busy() && !busy, "two slots, and one page pinned by each of two readers");
        drop(second);
        all_slots_are_back(&cache);
    }

    /// The same, with the pages in shards of their own.
    inv12_busy_is_true_at_one_moment_over_all_shards => Fault::BusyAtAGlance, || {
        let cache = PageCache::with_shards(2, 4, 2);
        let (here, there, new) =
            (page_of_shard(&cache, 0, 0), page_of_shard(&cache, 1, 0), page_of_shard(&cache, 0, 1));
        let first = read(&cache, here);
        drop(read(&cache, there));
        let other = cache.clone();
        let (second, busy) = together(
            || {
                drop(first);
                read(&cache, there)
            },
            move || read(&other, new).is_busy(),
        );
        assert!(!second.is_busy() && !busy, "two slots, and one page pinned by each of two readers");
    }

    /// All pages of the own shard are pinned, but there is another shard.
    inv12_a_slot_of_any_shard_will_do => Fault::BusyByShard, || {
        let cache = PageCache::with_shards(2, 4, 2);
        let (here, there, new) =
            (page_of_shard(&cache, 0, 0), page_of_shard(&cache, 1, 0), page_of_shard(&cache, 0, 1));
        let pinned = read(&cache, here).page();
        drop(read(&cache, there));
        let other = cache.clone();
        let (again, busy) = together(
            || read(&cache, here).page(),
            move || read(&other, new).is_busy(),
        );
        assert!(pinned.is_some() && again.is_some() && !busy);
    }

    /// Whoever wants the page in flight, gets a copy of its own at least.
    inv12_a_page_in_flight_is_never_refused => Fault::JoinerRefused, || {
        let cache = cache(1);
        let other = cache.clone();
        let (here, there) = together(
            || read(&cache, 1).is_busy(),
            move || read(&other, 1).is_busy(),
        );
        assert!(!here && !there);
    }

    /// As many slots as readers, and pages that push each other out.
    inv12_a_slot_for_each_reader_is_enough => Fault::BusyAtAGlance, || {
        let cache = cache(2);
        drop(read(&cache, 1));
        drop(read(&cache, 2));
        let other = cache.clone();
        let (here, there) = together(
            || [2, 3].map(|number| read(&cache, number).is_busy()),
            move || [1, 2].map(|number| read(&other, number).is_busy()),
        );
        assert_eq!((here, there), ([false; 2], [false; 2]));
        all_slots_are_back(&cache);
    }

    /// A ghost is asked for in vain, while another thread hits the only page.
    inv13_busy_changes_nothing => Fault::BusyIsCounted, || {
        let cache = cache(1);
        drop(read(&cache, 2));
        let pinned = read(&cache, 1);
        let other = cache.clone();
        let (hit, busy) = together(
            || matches!(read(&cache, 1), Got::Hit(_)),
            move || read(&other, 2).is_busy(),
        );
        assert!(hit && busy);
        assert_eq!((cache.hits(), cache.misses()), (1, 2), "Busy counts as neither");
        drop(pinned);
        all_slots_are_back(&cache);
    }

    /// Fills fail, succeed and unwind in two threads.
    inv14_no_slot_is_ever_lost (preemptions 3) => Fault::LostSlot, || {
        let cache = cache(2);
        let other = cache.clone();
        together(
            || drop(read(&cache, 1)),
            move || {
                drop(read_in_vain(&other, 1));
                let guard = std::panic::AssertUnwindSafe(&other);
                let unwound = std::panic::catch_unwind(move || {
                    look_up(&guard, 2, |_guard| std::panic::resume_unwind(Box::new("gives up")))
                });
                assert!(unwound.is_err());
            },
        );
        all_slots_are_back(&cache);
    }

    /// Two threads hit one page, and miss one each.
    inv15_every_look_up_that_succeeds_is_counted => Fault::LostCount, || {
        let cache = cache(2);
        drop(read(&cache, 1));
        let other = cache.clone();
        together(
            || drop(read(&cache, 1)),
            move || {
                drop(read(&other, 1));
                drop(read(&other, 2));
            },
        );
        assert_eq!((cache.hits(), cache.misses()), (2, 2));
    }

    /// The only slot is pinned for as long as the other thread wants one.
    inv27_nobody_waits_for_a_slot => Fault::WaitsForSlot, || {
        let cache = cache(1);
        let pinned = read(&cache, 1);
        let other = cache.clone();
        let (hit, busy) = together(
            || matches!(read(&cache, 1), Got::Hit(_)),
            move || read(&other, 2).is_busy(),
        );
        assert!(hit && busy);
        drop(pinned);
    }

    /// A fill never ends before the other reader of its page does.
    inv27_nobody_waits_for_a_fill => Fault::JoinerWaits, || {
        let cache = cache(1);
        let other = cache.clone();
        let got = look_up(&cache, 1, move |guard| {
            let (filled, joined) = together(
                || fill(guard, 1, || {}),
                move || !read(&other, 1).is_busy(),
            );
            assert!(joined);
            filled
        });
        assert!(matches!(got, Got::Filled(_)));
    }

    /// Three readers, each with a page of its own and one page pinned at most,
    /// in a cache of three slots and two shards.
    inv12_three_readers_with_a_slot_each_are_never_refused (preemptions 3) => Fault::BusyAtAGlance, || {
        let cache = PageCache::with_shards(3, 4, 2);
        for number in [1, 2, 3] {
            drop(read(&cache, number));
        }
        let others = [[2, 4], [3, 5]].map(|numbers| {
            let other = cache.clone();
            thread::spawn(move || numbers.map(|number| read(&other, number).is_busy()))
        });
        let here = [1, 2].map(|number| read(&cache, number).is_busy());
        assert_eq!(here, [false; 2]);
        for other in others {
            assert_eq!(other.join().unwrap(), [false; 2]);
        }
        all_slots_are_back(&cache);
    }
}
