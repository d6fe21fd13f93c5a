//! What a page cache allocates, and when.

use kdumpfile::cache::{Key, Lookup, PageCache};
use kdumpfile_testkit::alloc::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const PAGE: usize = 4096;

fn get(cache: &PageCache, page: u64) {
    match cache.get(Key { address: page << 12, space: 1 }) {
        Lookup::Fill(slot) => drop(slot.commit()),
        Lookup::Hit(_) => {}
        _ => panic!("a slot is free"),
    }
}

#[test]
fn buffers_are_allocated_as_slots_fill_and_nothing_else_is_ever_after() {
    for capacity in [1, 7, 64, 1000] {
        let (cache, _, empty) = ALLOCATOR.measure(|| PageCache::new(capacity, PAGE));
        assert!(empty < 16 * 1024 + 400 * capacity as usize, "{capacity} slots: {empty} bytes when empty");
        let ((), _, filled) = ALLOCATOR.measure(|| (0..capacity).for_each(|page| get(&cache, page)));
        let per_slot = filled / capacity as usize;
        assert!((PAGE..PAGE + 64).contains(&per_slot), "{capacity} slots: {per_slot} bytes each");
        let ((), peak, more) = ALLOCATOR
            .measure(|| (0..20_000).for_each(|step| get(&cache, step * step % 5003 % (3 * capacity))));
        assert_eq!((peak, more), (0, 0), "{capacity} slots: allocated while pages came and went");
        println!(
            "{capacity} slots: {} bytes a slot without its page",
            (empty + filled) / capacity as usize - PAGE
        );
    }
}
