//! The page cache under every interleaving: no page is seen before it is
//! filled, no slot is lost, and `Busy` comes only when every slot is in use.
#![cfg(loom)]

use std::sync::Arc;

use kdumpfile::cache::{Key, Lookup, Page, PageCache};
use kdumpfile::sync::Fault;
use loom::thread;

fn key(number: u8) -> Key {
    Key { address: u64::from(number) << 12, space: 1 }
}

/// What a reader got for its look-up.
enum Got {
    Page(Page),
    Private,
    Busy,
    Failed,
}

/// Looks a page up; fills it with its number, or fails to.
fn read(cache: &Arc<PageCache>, number: u8, fill_works: bool) -> Got {
    match cache.get(key(number)) {
        Lookup::Hit(page) => {
            assert_eq!(*page, [number; 4], "a page is its own and whole");
            Got::Page(page)
        }
        Lookup::Fill(mut guard) => {
            guard.bytes().fill(0xee);
            thread::yield_now();
            if !fill_works {
                return Got::Failed;
            }
            guard.bytes().fill(number);
            guard.commit().map_or(Got::Busy, Got::Page)
        }
        Lookup::InFlight => Got::Private,
        Lookup::Busy | Lookup::NoMemory => Got::Busy,
    }
}

/// After all handles are gone, as many pages as there are slots can be pinned.
fn all_slots_are_back(cache: &Arc<PageCache>, slots: u8) {
    let pinned: Vec<Got> = (100..100 + slots).map(|number| read(cache, number, true)).collect();
    assert!(pinned.iter().all(|got| matches!(got, Got::Page(_))));
    assert!(matches!(read(cache, 99, true), Got::Busy));
}

#[test]
fn two_readers_of_one_page_both_get_it_or_a_private_copy() {
    loom::model(|| {
        let cache = Arc::new(PageCache::new(1, 4));
        let other = cache.clone();
        let reader = thread::spawn(move || assert!(!matches!(read(&other, 1, true), Got::Busy)));
        assert!(!matches!(read(&cache, 1, true), Got::Busy), "never Busy for a page in flight");
        reader.join().unwrap();
        assert_eq!(cache.hits().get() + cache.misses().get(), 2);
        all_slots_are_back(&cache, 1);
    });
}

#[test]
fn busy_comes_only_when_the_other_page_holds_the_only_slot() {
    loom::model(|| {
        let cache = Arc::new(PageCache::new(1, 4));
        let other = cache.clone();
        let reader = thread::spawn(move || drop(read(&other, 1, true)));
        drop(read(&cache, 2, true));
        reader.join().unwrap();
        // Both are done: whatever happened, a slot is free now.
        assert!(matches!(read(&cache, 3, true), Got::Page(_)));
        all_slots_are_back(&cache, 1);
    });
}

#[test]
fn with_a_slot_for_each_reader_nobody_is_ever_busy() {
    loom::model(|| {
        let cache = Arc::new(PageCache::new(2, 4));
        let other = cache.clone();
        let reader = thread::spawn(move || {
            assert!(!matches!(read(&other, 1, true), Got::Busy));
            assert!(!matches!(read(&other, 2, true), Got::Busy));
        });
        assert!(!matches!(read(&cache, 2, true), Got::Busy));
        assert!(!matches!(read(&cache, 3, true), Got::Busy));
        reader.join().unwrap();
        all_slots_are_back(&cache, 2);
    });
}

#[test]
fn a_failed_fill_gives_its_slot_back_and_shows_nothing() {
    loom::model(|| {
        let cache = Arc::new(PageCache::new(1, 4));
        let other = cache.clone();
        let reader = thread::spawn(move || drop(read(&other, 1, false)));
        drop(read(&cache, 1, true));
        reader.join().unwrap();
        all_slots_are_back(&cache, 1);
    });
}

kdumpfile_loom_tests::models! {
    /// A page that somebody holds keeps its slot and its bytes.
    inv05_a_pinned_page_is_never_evicted => Fault::EvictPinned, || {
        let cache = Arc::new(PageCache::new(1, 4));
        let Got::Page(pinned) = read(&cache, 1, true) else { panic!("the cache is empty") };
        let other = cache.clone();
        let reader = thread::spawn(move || assert!(matches!(read(&other, 2, true), Got::Busy)));
        assert_eq!(*pinned, [1; 4]);
        reader.join().unwrap();
        assert_eq!(*pinned, [1; 4]);
        drop(pinned);
        all_slots_are_back(&cache, 1);
    }
}
