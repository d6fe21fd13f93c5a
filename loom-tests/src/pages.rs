//! Readers of a page cache, for the models. Page `n` is four bytes `n`.

use kdumpfile::cache::{FillGuard, Key, Lookup, Page, PageCache};
use loom::thread;

/// The key of page `number`.
pub fn key(number: u8) -> Key {
    Key { address: u64::from(number) << 12, space: 1 }
}

/// A cache of `slots` pages in one shard.
pub fn cache(slots: u64) -> PageCache {
    PageCache::new(slots, 4)
}

/// What a reader got for its look-up.
pub enum Got {
    /// The page was there.
    Hit(Page),
    /// It was not, and now it is.
    Filled(Page),
    /// Somebody else was filling it.
    Private,
    /// There was no slot.
    Busy,
    /// It could not be filled.
    Failed,
}

impl Got {
    /// The page, however it was got.
    pub fn page(self) -> Option<Page> {
        match self {
            Got::Hit(page) | Got::Filled(page) => Some(page),
            Got::Private | Got::Busy | Got::Failed => None,
        }
    }

    /// Whether there was no slot.
    pub fn is_busy(&self) -> bool {
        matches!(self, Got::Busy)
    }
}

/// Looks a page up; fills it with its number.
pub fn read(cache: &PageCache, number: u8) -> Got {
    look_up(cache, number, |guard| fill(guard, number, || step(cache)))
}

/// Looks a page up; fails to fill it.
pub fn read_in_vain(cache: &PageCache, number: u8) -> Got {
    look_up(cache, number, |mut guard| {
        guard.bytes().fill(0xee);
        step(cache);
        Got::Failed
    })
}

/// Looks a page up; `filler` fills it, if that is asked for.
pub fn look_up(cache: &PageCache, number: u8, filler: impl FnOnce(FillGuard) -> Got) -> Got {
    settle(cache.get(key(number)), number, filler)
}

/// What comes of a look-up for page `number`.
pub fn settle(found: Lookup, number: u8, filler: impl FnOnce(FillGuard) -> Got) -> Got {
    match found {
        Lookup::Hit(page) => {
            assert_eq!(*page, [number; 4], "a page is its own and whole");
            Got::Hit(page)
        }
        Lookup::Fill(guard) => filler(guard),
        Lookup::InFlight => Got::Private,
        Lookup::Busy(busy) => {
            assert!(busy.filling <= busy.slots);
            Got::Busy
        }
        Lookup::NoMemory => unreachable!("there is memory for four bytes"),
    }
}

/// A moment at which others may come first. (Not `yield_now`, which loom takes
/// as a wish that they do.)
pub fn step(cache: &PageCache) {
    let _ = cache.misses();
}

/// Fills a page with its number, in two steps as a decompressor might.
pub fn fill(mut guard: FillGuard, number: u8, meanwhile: impl FnOnce()) -> Got {
    assert_eq!(guard.bytes().len(), 4, "the buffer of a page in flight is the filler's alone");
    guard.bytes().fill(0xee);
    meanwhile();
    guard.bytes().fill(number);
    guard.commit().map_or(Got::Failed, |page| {
        assert_eq!(*page, [number; 4], "a page is its own and whole");
        Got::Filled(page)
    })
}

/// The cache is whole, and after all handles are gone as many pages as there
/// are slots can be pinned, but not one more.
pub fn all_slots_are_back(cache: &PageCache) {
    assert_eq!(cache.audit(), Ok(()));
    let slots = cache.capacity() as u8;
    let pinned: Vec<Page> = (100..100 + slots).filter_map(|number| read(cache, number).page()).collect();
    assert_eq!(pinned.len(), cache.capacity(), "every slot can be pinned");
    assert!(read(cache, 99).is_busy(), "all slots are pinned");
    drop(pinned);
    assert_eq!(cache.audit(), Ok(()));
}

/// The `nth` page number of a shard.
pub fn page_of_shard(cache: &PageCache, shard: usize, nth: usize) -> u8 {
    let mut pages = (1..=u8::MAX).filter(|number| cache.shard_of(key(*number)) == shard);
    pages.nth(nth).expect("each shard has pages")
}

/// Runs `other` in a second thread while `here` runs, and returns both results.
pub fn together<A, B: 'static>(here: impl FnOnce() -> A, other: impl FnOnce() -> B + 'static) -> (A, B) {
    let other = thread::spawn(other);
    let here = here();
    (here, other.join().expect("the other thread does not panic"))
}
