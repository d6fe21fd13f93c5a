use super::*;
use alloc::string::ToString;

fn key(page: u64) -> Key {
    Key { address: page << 12, space: 1 }
}

fn cache(capacity: u64) -> PageCache {
    PageCache::new(capacity, 8)
}

/// Gets a page, filling it with its number when it has to.
fn get(cache: &PageCache, page: u64) -> Option<Page> {
    match cache.get(key(page)) {
        Lookup::Hit(found) => {
            assert_eq!(*found, page.to_le_bytes());
            Some(found)
        }
        Lookup::Fill(mut guard) => {
            guard.bytes().copy_from_slice(&page.to_le_bytes());
            guard.commit()
        }
        Lookup::InFlight | Lookup::Busy(_) | Lookup::NoMemory => None,
    }
}

fn check(cache: &PageCache) {
    assert_eq!(cache.audit(), Ok(()));
}

#[test]
fn pinned_pages_fill_the_cache_and_the_next_key_is_refused() {
    let cache = cache(8);
    let mut pages: Vec<Page> = (0..8).map(|page| get(&cache, page).unwrap()).collect();
    assert!(matches!(cache.get(key(8)), Lookup::Busy(_)));
    for page in 0..8 {
        assert!(get(&cache, page).is_some(), "pinned page {page} is still found");
    }
    assert_eq!((cache.hits(), cache.misses()), (8, 8), "Busy counts as neither");
    pages.pop();
    check(&cache);
    let Lookup::Fill(guard) = cache.get(key(8)) else { panic!("a slot is free again") };
    drop(guard);
    // The failed fill gave its slot back; the page that made room is a ghost.
    let Lookup::Fill(mut guard) = cache.get(key(7)) else { panic!("evicted page is asked for again") };
    assert_eq!(guard.bytes().len(), 8);
    drop(guard);
    check(&cache);
    drop(pages);
    let all: Vec<_> = (100..108).map(|page| get(&cache, page)).collect();
    assert!(all.iter().all(Option::is_some), "no slot was lost");
    check(&cache);
}

#[test]
fn cache_without_slots_is_always_busy() {
    assert!(matches!(cache(0).get(key(1)), Lookup::Busy(_)));
}

#[test]
fn page_in_flight_is_never_handed_out_and_never_busy() {
    let cache = cache(1);
    let Lookup::Fill(mut guard) = cache.get(key(1)) else { panic!() };
    assert!(matches!(cache.get(key(1)), Lookup::InFlight));
    assert!(matches!(cache.get(key(2)), Lookup::Busy(_)));
    guard.bytes().copy_from_slice(&1u64.to_le_bytes());
    let page = guard.commit().unwrap();
    assert_eq!(*page, 1u64.to_le_bytes());
    assert!(matches!(cache.get(key(1)), Lookup::Hit(_)));
    assert_eq!((cache.hits(), cache.misses()), (1, 2));
    check(&cache);
}

#[test]
fn pages_outlive_their_cache() {
    let cache = cache(1);
    let page = get(&cache, 5).unwrap();
    drop(cache);
    assert_eq!(*page, 5u64.to_le_bytes());
}

#[test]
fn random_use_keeps_every_invariant_and_never_mixes_pages_up() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    for (capacity, shards) in [(1, 1), (2, 2), (3, 1), (8, 2), (33, 8), (33, 1)] {
        let cache = PageCache::with_shards(capacity, 8, shards);
        let mut held: Vec<Page> = Vec::new();
        let mut guards: Vec<FillGuard> = Vec::new();
        for _ in 0..20_000 {
            match random(10) {
                0 => drop((!held.is_empty()).then(|| held.swap_remove(random(held.len() as u64) as usize))),
                1 => drop((!guards.is_empty()).then(|| guards.pop())),
                2 => {
                    if let Lookup::Fill(guard) = cache.get(key(random(3 * capacity + 2))) {
                        guards.push(guard);
                    }
                }
                3 => held.extend(get(&cache, random(3 * capacity + 2))),
                _ => drop(get(&cache, random(3 * capacity + 2))),
            }
            if held.len() + guards.len() > capacity as usize * 2 {
                held.clear();
            }
            check(&cache);
        }
        drop((held, guards));
        let all: Vec<_> = (1000..1000 + capacity).map(|page| get(&cache, page)).collect();
        assert!(all.iter().all(Option::is_some), "no slot was lost");
        assert!(matches!(cache.get(key(1)), Lookup::Busy(_)));
    }
}

#[test]
fn refusal_says_how_the_slots_are_used_and_what_to_do() {
    let text = |cache: &PageCache| match cache.get(key(99)) {
        Lookup::Busy(busy) => busy.to_string(),
        _ => panic!("there is a slot"),
    };
    assert_eq!(text(&cache(0)), "Cache is fully utilized: it has no slots; raise cache.size");
    let one = cache(1);
    let _page = get(&one, 1).unwrap();
    assert_eq!(
        text(&one),
        "Cache is fully utilized: its only slot is in use (1 pinned, 0 being filled); retry, or raise cache.size"
    );
    let three = cache(3);
    let (_first, _second) = (get(&three, 1).unwrap(), get(&three, 2).unwrap());
    let Lookup::Fill(_third) = three.get(key(3)) else { panic!("there is a slot") };
    assert_eq!(
        text(&three),
        "Cache is fully utilized: all 3 slots are in use (2 pinned, 1 being filled); retry, or raise cache.size"
    );
}

#[test]
fn counters_go_on_from_what_they_are_set_to() {
    let cache = cache(64);
    for page in 0..20 {
        drop((get(&cache, page), get(&cache, page)));
    }
    assert_eq!((cache.hits(), cache.misses()), (20, 20));
    cache.set_hits(0);
    cache.set_misses(7);
    assert_eq!((cache.hits(), cache.misses()), (0, 7));
    drop((get(&cache, 1), get(&cache, 100)));
    assert_eq!((cache.hits(), cache.misses()), (1, 8));
}

#[test]
fn fill_that_unwinds_gives_its_slot_back() {
    let cache = cache(1);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let Lookup::Fill(_guard) = cache.get(key(1)) else { panic!("there is a slot") };
        std::panic::resume_unwind(std::boxed::Box::new("the decompressor gives up"));
    }));
    assert!(unwound.is_err());
    check(&cache);
    assert!(get(&cache, 2).is_some());
}
