//! The page cache: a fixed number of slots that never makes anybody wait.
//!
//! # Two halves
//!
//! ```text
//!   get(key) ──> shard of the key          policy (one for the cache)
//!                ┌─────────────────┐       ┌──────────────────────────────┐
//!        hit <───│ key → page      │  news │ probed    pages used once    │
//!                │ in flight?      │──────>│ precious  pages used again   │
//!                │ news, counters  │       │ held      pinned when looked │
//!                └─────────────────┘       │           at for eviction    │
//!                  up to 32 of them        │ ghosts    keys evicted lately│
//!                        ▲                 │ free buffers, unused slots   │
//!                        └──── evict, ─────└──────────────────────────────┘
//!                              enter                    ▲
//!   miss ────────────────────────────────────────────────┘
//! ```
//!
//! * A **hit** takes the lock of its shard: it finds the page, copies the
//!   handle, counts, and leaves a note in the news of the shard. Threads that
//!   read different pages seldom meet.
//! * A **miss** takes the lock of the policy. It reads the news of the shards
//!   that have any, so that the lists are what the hits made of them; chooses
//!   a page to evict; and enters the new page as in flight.
//! * A **fill** that ends well takes the lock of the shard only; that it is
//!   there now is news. One that fails takes the lock of the policy.
//!
//! | list | holds | has a buffer |
//! | --- | --- | --- |
//! | probed | pages used once, most recent first | yes |
//! | precious | pages used more than once | yes |
//! | held (two) | those of either kind that eviction found pinned | yes |
//! | ghosts (two) | keys that lately left either kind | no |
//!
//! A hit in a ghost list shows that the list it left is too short, and moves
//! the share that probed pages may take of the slots (the idea of adaptive
//! replacement). A scan passes through the probed pages and leaves the
//! precious ones alone. Only the first hit of a page after a miss is news; until
//! the next miss its further hits write nothing that other shards look at.
//!
//! Every step takes constant time, on average over the steps (but for sorting
//! the news): each piece of news and each page put aside was a step before.
//!
//! # Locks
//!
//! The order is: policy, then shards, of several shards the lower one first.
//! Nobody asks for the policy while having a shard, nothing is allocated,
//! filled or freed under a lock, and no lock waits for a slot.
//!
//! # Pins and fills
//!
//! * A page handed out is pinned while its handle lives: the handle shares
//!   the buffer, so that eviction sees a count above one. Giving it back
//!   takes no lock. New pins are made under the lock of the shard (or from
//!   another pin), and that lock is what eviction has when it looks.
//! * The buffer of a page in flight belongs to the one who fills it. Another
//!   reader of the same page is told so and makes itself a private copy.
//! * Handles outlive the cache; a cache is replaced by making a new one.
//!
//! # Why `Busy` is exact
//!
//! A search that finds every page pinned has not shown that all were pinned
//! at one moment: while it looked at the last one, the first may have been
//! given back. So the searcher, who has the policy, then takes the locks of
//! all shards, and searches again. From the moment at which it has them,
//! nobody can pin a page, finish a fill or (for want of the policy) give up a
//! fill; pages can only be unpinned. What it finds pinned after that moment
//! was pinned at that moment, and what it finds in flight was. If that is
//! all there is, then `Busy` was true at that moment; else there is a page to
//! evict. Nothing is answered because a lock is taken.
//!
//! # Memory
//!
//! Buffers are allocated when first needed, all else (366 bytes a
//! slot of 1000, locks included) when the cache is made; a cache of more than 16384 slots
//! grows to that as it fills. As many ghosts as slots are remembered.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

use crate::sync::{Counted, Counter, Fault, LOCKS_MAX, Lock, broken};

mod audit;
mod list;
mod policy;
mod shard;
#[cfg(test)]
mod tests;

use policy::{Kind, Policy, Slot, Source};
use shard::{Entry, Found, Shard, Victim};

/// What a page is found by: its address and a number for its address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Page-aligned address.
    pub address: u64,
    /// Number of the address space.
    pub space: u8,
}

type Buffer = Counted<Vec<u8>>;

/// Keeps what it holds out of the cache lines of its neighbours; processors
/// fetch pairs of lines of 64 bytes.
#[repr(align(128))]
struct Apart<T>(T);

/// What the handles of a cache share.
struct Core {
    capacity: usize,
    page_size: usize,
    hasher: DefaultHashBuilder,
    shards: Box<[Apart<Lock<Shard>>]>,
    news: Apart<NewsBoard>,
    policy: Apart<Lock<Policy>>,
}

/// What is written when something is news, but not at each hit.
struct NewsBoard {
    /// Bit by bit, which shards have news.
    shards: Counter,
    /// Counts news, so that they can be told in order.
    clock: Counter,
}

/// A cache of pages of one size, shared by the clones of a dump. This is a
/// handle: its clones are the same cache.
#[derive(Clone)]
pub struct PageCache(Counted<Core>);

/// What a look-up finds.
pub enum Lookup {
    /// The page.
    Hit(Page),
    /// A slot of the caller's own, to be filled.
    Fill(FillGuard),
    /// Somebody else is filling the page; make a private copy.
    InFlight,
    /// Every slot is pinned or in flight. Nothing was changed.
    Busy(Busy),
    /// There is a slot, but no memory for its page. Nothing was changed.
    NoMemory,
}

/// How a cache that has no slot for another page is used. Displayed, it says
/// what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    /// Number of slots.
    pub slots: usize,
    /// How many of them are being filled; the others are pinned.
    pub filling: usize,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Busy { slots, filling } = *self;
        f.write_str("Cache is fully utilized: ")?;
        match slots {
            0 => return f.write_str("it has no slots; raise cache.size"),
            1 => f.write_str("its only slot is in use")?,
            _ => write!(f, "all {slots} slots are in use")?,
        }
        write!(f, " ({} pinned, {filling} being filled); retry, or raise cache.size", slots - filling)
    }
}

/// A page, pinned while this handle lives.
#[derive(Clone)]
pub struct Page(Buffer);

impl core::ops::Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A slot in flight. Dropped without [`FillGuard::commit`] it goes back, and
/// its key is forgotten.
pub struct FillGuard {
    cache: PageCache,
    hash: u64,
    home: u32,
    slot: u32,
    buffer: Option<Buffer>,
}

/// A buffer that is allocated while no lock is held.
enum Fresh {
    NotAsked,
    Allocated(Buffer),
    NoMemory,
}

/// Why there is no buffer.
enum Refusal {
    /// There is a slot for one that has to be allocated first.
    Allocate,
    Busy(Busy),
    NoMemory,
}

/// For how many slots memory is taken in advance.
const SLOTS_IN_ADVANCE: usize = 1 << 14;

impl PageCache {
    /// A cache of `capacity` pages of `page_size` bytes.
    pub fn new(capacity: u64, page_size: usize) -> Self {
        // Shards of fewer than four pages are not worth their memory.
        let shards = usize::try_from(capacity / 4).unwrap_or(usize::MAX).clamp(1, LOCKS_MAX);
        Self::with_shards(capacity, page_size, shards)
    }

    /// The same, with a given number of shards (rounded down to a power of
    /// two of at most 64).
    #[doc(hidden)]
    pub fn with_shards(capacity: u64, page_size: usize, shards: usize) -> Self {
        // Slots are numbered by u32, ghosts included.
        let capacity = usize::try_from(capacity.min(u64::from(u32::MAX / 2))).unwrap_or(usize::MAX / 2);
        let advance = capacity.min(SLOTS_IN_ADVANCE);
        let shards = 1 << shards.clamp(1, 64).ilog2();
        // Keys are spread well, if not evenly: four standard deviations.
        let mean = advance.div_ceil(shards);
        let room = if shards == 1 { mean } else { mean + 4 * mean.isqrt() };
        PageCache(Counted::new(Core {
            capacity,
            page_size,
            hasher: DefaultHashBuilder::default(),
            shards: (0..shards).map(|_| Apart(Lock::new(Shard::new(room)))).collect(),
            news: Apart(NewsBoard { shards: Counter::new(0), clock: Counter::new(0) }),
            policy: Apart(Lock::new(Policy::new(advance))),
        }))
    }

    /// Number of pages that fit.
    pub fn capacity(&self) -> usize {
        self.0.capacity
    }

    /// Size of a page in bytes.
    pub fn page_size(&self) -> usize {
        self.0.page_size
    }

    /// Look-ups that found their page.
    pub fn hits(&self) -> u64 {
        self.0.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.lock().hits))
    }

    /// Look-ups that did not (`Busy` counts as neither).
    pub fn misses(&self) -> u64 {
        self.0.shards.iter().fold(0, |sum, shard| sum.wrapping_add(shard.0.lock().misses))
    }

    /// Goes on counting hits from `value`.
    pub fn set_hits(&self, value: u64) {
        for (number, shard) in self.0.shards.iter().enumerate() {
            shard.0.lock().hits = if number == 0 { value } else { 0 };
        }
    }

    /// Goes on counting misses from `value`.
    pub fn set_misses(&self, value: u64) {
        for (number, shard) in self.0.shards.iter().enumerate() {
            shard.0.lock().misses = if number == 0 { value } else { 0 };
        }
    }

    /// Which shard a key belongs to.
    #[doc(hidden)]
    pub fn shard_of(&self, key: Key) -> usize {
        self.0.shard_of(key)
    }

    /// Looks a page up, or takes a slot for it.
    #[inline]
    pub fn get(&self, key: Key) -> Lookup {
        let home = self.0.shard_of(key);
        let hash = self.0.hash_of(key);
        match self.0.look_up(key, hash, home) {
            Some(Found::Page(buffer)) => Lookup::Hit(Page(buffer)),
            other => self.not_hit(other, key, hash, home),
        }
    }

    /// Copies a few bytes of a page that is cached, from `offset` on. `false` if
    /// it is not, or has not so many; that counts as no look-up.
    ///
    /// It is done under the lock of a shard, which takes less time than to pin
    /// the page and to let go of it.
    #[inline]
    pub fn copy(&self, key: Key, offset: usize, out: &mut [u8]) -> bool {
        let home = self.0.shard_of(key);
        let hash = self.0.hash_of(key);
        let mut shard = self.0.shards[home].0.lock();
        let before = shard.news.len();
        let copied = shard.copy(key, hash, offset, out, || self.0.news.0.clock.add(1));
        self.0.note(home, before, &shard);
        copied
    }

    /// The rest of a look-up that did not find its page.
    #[inline(never)]
    fn not_hit(&self, found: Option<Found>, key: Key, hash: u64, home: usize) -> Lookup {
        let mut found = found;
        loop {
            let answer = match found {
                Some(found) => self.show(found, hash, home),
                None => self.miss(key, hash, home),
            };
            let again = match answer {
                Lookup::InFlight => broken(Fault::JoinerWaits),
                Lookup::Busy(_) => broken(Fault::WaitsForSlot),
                _ => false,
            };
            if !again {
                return answer;
            }
            found = self.0.look_up(key, hash, home);
        }
    }

    /// What was found in a shard, as the caller sees it.
    fn show(&self, found: Found, hash: u64, home: usize) -> Lookup {
        match found {
            Found::Page(buffer) => Lookup::Hit(Page(buffer)),
            Found::InFlight(_) if broken(Fault::JoinerRefused) => {
                Lookup::Busy(Busy { slots: self.0.capacity, filling: 1 })
            }
            Found::InFlight(slot) if broken(Fault::TwoFillers) => match self.0.allocate() {
                Fresh::Allocated(buffer) => Lookup::Fill(self.guard(hash, home, slot, buffer)),
                _ => Lookup::NoMemory,
            },
            Found::InFlight(_) => Lookup::InFlight,
        }
    }

    fn guard(&self, hash: u64, home: usize, slot: u32, buffer: Buffer) -> FillGuard {
        FillGuard { cache: self.clone(), hash, home: home as u32, slot, buffer: Some(buffer) }
    }

    /// Takes a slot for a page that was neither cached nor in flight.
    fn miss(&self, key: Key, hash: u64, home: usize) -> Lookup {
        let core = &*self.0;
        let mut fresh = Fresh::NotAsked;
        loop {
            let mut policy = core.policy.0.lock();
            core.read_news(&mut policy);
            // Somebody may have entered it meanwhile; from now on nobody can.
            if !broken(Fault::NoSecondLook)
                && let Some(found) = core.look_up(key, hash, home)
            {
                return self.show(found, hash, home);
            }
            let ghost = policy.ghost(key, hash);
            // Decide first, so that a refusal changes nothing.
            let old_share = policy.probed_share;
            if let Some((_, kind)) = ghost {
                policy.adapt(kind, core.capacity);
            }
            let refusal = match core.find_buffer(&mut policy, &mut fresh, home, ghost.is_none().into()) {
                Ok(source) => {
                    let (slot, buffer) = core.take_slot(&mut policy, source, key, ghost);
                    core.enter(key, hash, home, slot, ghost.is_some(), &buffer);
                    return Lookup::Fill(self.guard(hash, home, slot, buffer));
                }
                Err(refusal) => refusal,
            };
            policy.probed_share = old_share;
            drop(policy);
            match refusal {
                Refusal::Allocate => fresh = core.allocate(),
                Refusal::Busy(busy) => return Lookup::Busy(busy),
                Refusal::NoMemory => return Lookup::NoMemory,
            }
        }
    }
}

impl Core {
    fn hash_of(&self, key: Key) -> u64 {
        self.hasher.hash_one(key)
    }

    /// A slot for a key, and the buffer that was found for it.
    fn take_slot(
        &self,
        policy: &mut Policy,
        source: Source,
        key: Key,
        ghost: Option<(u32, Kind)>,
    ) -> (u32, Buffer) {
        let (buffer, evicted) = match source {
            Source::Free(buffer) => {
                policy.used += 1;
                (buffer, None)
            }
            Source::Evicted(buffer, slot, kind) => (buffer, Some((slot, kind))),
        };
        let ghost = ghost.map(|(slot, _)| slot);
        let slot = policy.take_slot(key, ghost, evicted, self.capacity, |key| self.hash_of(key));
        (slot, buffer)
    }

    /// Enters a page as in flight.
    fn enter(&self, key: Key, hash: u64, home: usize, slot: u32, precious: bool, buffer: &Buffer) {
        let hash_of = |entry: &Entry| self.hash_of(entry.key());
        self.shards[home].0.lock().enter(key, hash, slot, precious, hash_of);
        if broken(Fault::ShownTooEarly) {
            self.publish(home, hash, slot, buffer.clone());
        }
    }

    /// Which shard a key belongs to. The same in every run, so that a model can
    /// follow; within a shard keys are hashed with a secret.
    fn shard_of(&self, key: Key) -> usize {
        let spread = (key.address ^ u64::from(key.space)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        spread.rotate_left(6) as usize & (self.shards.len() - 1)
    }

    /// Looks a page up in its shard.
    #[inline]
    fn look_up(&self, key: Key, hash: u64, home: usize) -> Option<Found> {
        let mut shard = self.shards[home].0.lock();
        let (before, hits) = (shard.news.len(), shard.hits);
        let found = shard.look_up(key, hash, || self.news.0.clock.add(1));
        self.note(home, before, &shard);
        drop(shard);
        if broken(Fault::LostCount) && matches!(found, Some(Found::Page(_))) {
            self.shards[home].0.lock().hits = hits + 1;
        }
        found
    }

    /// Says that a shard has news, if it had none before. Called under its lock.
    fn note(&self, home: usize, before: usize, shard: &Shard) {
        if before == 0 && !shard.news.is_empty() {
            self.news.0.shards.add(1 << home);
        }
    }

    /// Brings the lists up to date.
    fn read_news(&self, policy: &mut Policy) {
        let mut with_news = self.news.0.shards.replace(0);
        while with_news != 0 {
            let home = with_news.trailing_zeros() as usize;
            with_news &= with_news - 1;
            self.shards[home].0.lock().tell(&mut policy.news);
        }
        policy.learn();
    }

    /// Where a free buffer comes from: a spare one, a new one while there are
    /// fewer than `capacity`, or that of the page that can best be spared.
    fn find_buffer(
        &self,
        policy: &mut Policy,
        fresh: &mut Fresh,
        home: usize,
        bias: usize,
    ) -> Result<Source, Refusal> {
        let mut no_memory = false;
        let capacity = self.capacity + usize::from(broken(Fault::OneSlotTooMany));
        if policy.used < capacity {
            if let Some(spare) = policy.spare.pop() {
                return Ok(Source::Free(spare));
            }
            match core::mem::replace(fresh, Fresh::NotAsked) {
                Fresh::Allocated(buffer) => return Ok(Source::Free(buffer)),
                Fresh::NotAsked => return Err(Refusal::Allocate),
                Fresh::NoMemory => no_memory = true,
            }
        }
        let evict = |slot: &Slot, number| {
            let at = self.shard_of(slot.key);
            if broken(Fault::BusyByShard) && at != home {
                return Victim::Pinned;
            }
            self.shards[at].0.lock().evict(self.hash_of(slot.key), number)
        };
        if let Some(source) = policy.victim(bias, evict) {
            return Ok(source);
        }
        if broken(Fault::BusyByShard) || broken(Fault::BusyAtAGlance) {
            return Err(Refusal::Busy(Busy { slots: self.capacity, filling: 0 }));
        }
        // All at one moment: see the module's documentation.
        let mut shards: [_; 64] =
            core::array::from_fn(|home| self.shards.get(home).map(|shard| shard.0.lock()));
        self.news.0.shards.set(0);
        shards.iter_mut().flatten().for_each(|shard| shard.tell(&mut policy.news));
        policy.learn();
        let source = policy.any_victim(bias, |slot, number| match &mut shards[self.shard_of(slot.key)] {
            Some(shard) => shard.evict(self.hash_of(slot.key), number),
            None => Victim::Pinned,
        });
        if broken(Fault::BusyIsCounted)
            && let Some(shard) = &mut shards[home]
            && source.is_none()
        {
            shard.misses += 1;
        }
        let cached = policy.pages(Kind::Probed) + policy.pages(Kind::Precious);
        let busy = Busy { slots: self.capacity, filling: policy.used - cached };
        source.ok_or(if no_memory { Refusal::NoMemory } else { Refusal::Busy(busy) })
    }

    /// A new buffer; `NoMemory` where `vec!` would abort the program.
    fn allocate(&self) -> Fresh {
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(self.page_size).is_err() {
            return Fresh::NoMemory;
        }
        bytes.resize(self.page_size, 0);
        Fresh::Allocated(Counted::new(bytes))
    }

    fn publish(&self, home: usize, hash: u64, slot: u32, buffer: Buffer) {
        let mut shard = self.shards[home].0.lock();
        let before = shard.news.len();
        shard.publish(hash, slot, buffer, || self.news.0.clock.add(1));
        self.note(home, before, &shard);
    }

    fn give_back(&self, home: usize, hash: u64, slot: u32, buffer: Buffer) {
        if broken(Fault::FailedFillShown) {
            return self.publish(home, hash, slot, buffer);
        }
        let mut policy = self.policy.0.lock();
        self.shards[home].0.lock().forget(hash, slot);
        policy.give_back(slot, buffer);
        drop(policy);
        if broken(Fault::ForgottenTwice) {
            self.shards[home].0.lock().forget(hash, slot);
        }
    }
}

impl FillGuard {
    /// The bytes to fill: one page, contents undefined.
    pub fn bytes(&mut self) -> &mut [u8] {
        // Nobody else has the buffer of a slot in flight.
        self.buffer.as_mut().and_then(Counted::get_mut).map_or(&mut [], |bytes| &mut bytes[..])
    }

    /// Makes the page visible to all and keeps it pinned for the caller.
    pub fn commit(mut self) -> Option<Page> {
        if broken(Fault::FillNeedsOwner) && Counted::strong_count(&self.cache.0) == 1 {
            return None;
        }
        let buffer = self.buffer.take()?;
        self.cache.0.publish(self.home as usize, self.hash, self.slot, buffer.clone());
        if broken(Fault::CommitDiscards) {
            self.buffer = Some(buffer.clone());
        }
        if broken(Fault::ForgottenPin) {
            core::mem::forget(buffer.clone());
        }
        Some(Page(buffer))
    }
}

impl Drop for FillGuard {
    fn drop(&mut self) {
        if broken(Fault::CacheKeptForEver) {
            core::mem::forget(self.cache.clone());
        }
        if let Some(buffer) = self.buffer.take() {
            self.cache.0.give_back(self.home as usize, self.hash, self.slot, buffer);
        }
    }
}
