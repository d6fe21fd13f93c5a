//! The page cache: a fixed number of slots that never makes anybody wait.
//!
//! ```text
//!            new key                 hit                      dropped
//!   unused ──────────> in flight ──> probed ──> precious        ▲
//!                          │ fill      │ evict    │ evict       │
//!                          │ failed    ▼          ▼             │
//!                          └─> unused  ghosts of either kind ───┘
//! ```
//!
//! | list | holds | has a buffer |
//! | --- | --- | --- |
//! | probed | pages used once, most recent first | yes |
//! | precious | pages used more than once | yes |
//! | ghosts (two) | keys that lately left either list | no |
//!
//! A hit in a ghost list shows that the list it left is too short, and moves
//! the share that probed pages may take of the slots (the idea of adaptive
//! replacement). Every step is O(1) but for pinned pages that eviction skips.
//!
//! * A look-up ends at once: the page, a slot to fill, or `Busy` when every
//!   slot is pinned or in flight. Nothing waits.
//! * A page handed out is pinned while its handle lives: the handle shares
//!   the buffer, so that eviction sees a count above one. Giving it back
//!   takes no lock.
//! * The buffer of a page in flight belongs to the one who fills it. Another
//!   reader of the same page is told so and makes itself a private copy.
//! * Memory: buffers are allocated when first needed; apart from them a slot
//!   costs 48 bytes, and as many ghosts as slots are remembered.

use alloc::vec::Vec;
use core::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::sync::{Counter, Fault, Lock, Shared, broken};

mod list;
#[cfg(test)]
mod tests;

use list::{Link, List};

/// What a page is found by: its address and a number for its address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Page-aligned address.
    pub address: u64,
    /// Number of the address space.
    pub space: u8,
}

/// State of a slot that has a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Probed,
    Precious,
    GhostProbed,
    GhostPrecious,
    /// Being filled; becomes precious afterwards if asked for meanwhile.
    InFlight {
        precious: bool,
    },
}

type Buffer = Shared<Vec<u8>>;

struct Slot {
    key: Key,
    state: State,
    link: Link,
    buffer: Option<Buffer>,
}

#[derive(Default)]
struct Inner {
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    slots: Vec<Slot>,
    unused: Vec<u32>,
    spare: Vec<Buffer>,
    probed: List,
    precious: List,
    ghost_probed: List,
    ghost_precious: List,
    in_flight: usize,
    /// How many slots probed pages should have.
    probed_share: usize,
}

/// A cache of pages of one size, shared by the clones of a dump.
pub struct PageCache {
    inner: Lock<Inner>,
    hits: Counter,
    misses: Counter,
    capacity: usize,
    page_size: usize,
}

/// What a look-up finds.
pub enum Lookup {
    /// The page.
    Hit(Page),
    /// A slot of the caller's own, to be filled.
    Fill(FillGuard),
    /// Somebody else is filling the page; make a private copy.
    InFlight,
    /// Every slot is pinned or in flight. Nothing was changed.
    Busy,
    /// There is a slot, but no memory for its page. Nothing was changed.
    NoMemory,
}

/// Where the buffer for a page to be filled comes from.
enum Source {
    Free(Buffer),
    /// The slot of a page that nobody has pinned.
    Evicted(u32),
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
    cache: Shared<PageCache>,
    slot: u32,
    buffer: Option<Buffer>,
}

impl PageCache {
    /// A cache of `capacity` pages of `page_size` bytes.
    pub fn new(capacity: u64, page_size: usize) -> Self {
        // Slots are numbered by u32, ghosts included.
        let capacity = usize::try_from(capacity.min(u64::from(u32::MAX / 2))).unwrap_or(usize::MAX / 2);
        PageCache {
            inner: Lock::new(Inner::default()),
            hits: Counter::new(0),
            misses: Counter::new(0),
            capacity,
            page_size,
        }
    }

    /// Number of pages that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Size of a page in bytes.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// Look-ups that found their page.
    pub fn hits(&self) -> &Counter {
        &self.hits
    }

    /// Look-ups that did not (`Busy` counts as neither).
    pub fn misses(&self) -> &Counter {
        &self.misses
    }

    /// Looks a page up, or takes a slot for it.
    pub fn get(self: &Shared<Self>, key: Key) -> Lookup {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let hash = inner.hasher.hash_one(key);
        let slots = &inner.slots;
        let found = inner.index.find(hash, |slot| slots[*slot as usize].key == key).copied();
        let (slot, precious, buffer) = match found.map(|slot| (slot, inner.slots[slot as usize].state)) {
            Some((slot, State::Probed | State::Precious)) => {
                inner.unlink(slot);
                inner.push(slot, State::Precious);
                if let Some(buffer) = &inner.slots[slot as usize].buffer {
                    self.hits.add(1);
                    return Lookup::Hit(Page(buffer.clone()));
                }
                return Lookup::Busy;
            }
            Some((slot, State::InFlight { .. })) => {
                inner.slots[slot as usize].state = State::InFlight { precious: true };
                self.misses.add(1);
                return Lookup::InFlight;
            }
            Some((slot, ghost)) => {
                // Decide first, so that a refusal changes nothing.
                let old_share = inner.probed_share;
                inner.adapt(ghost, self.capacity);
                let source = match inner.find_buffer(self.capacity, self.page_size, 0) {
                    Ok(source) => source,
                    Err(refusal) => {
                        inner.probed_share = old_share;
                        return refusal;
                    }
                };
                let buffer = inner.take_buffer(source);
                inner.unlink(slot);
                (slot, true, buffer)
            }
            None => {
                let source = match inner.find_buffer(self.capacity, self.page_size, 1) {
                    Ok(source) => source,
                    Err(refusal) => return refusal,
                };
                // The slot first: the page that is about to be evicted must
                // not be the ghost that makes room for it.
                let slot = inner.take_slot(key, hash, self.capacity);
                (slot, false, inner.take_buffer(source))
            }
        };
        inner.slots[slot as usize].state = State::InFlight { precious };
        inner.in_flight += 1;
        self.misses.add(1);
        Lookup::Fill(FillGuard { cache: self.clone(), slot, buffer })
    }
}

impl FillGuard {
    /// The bytes to fill: one page, contents undefined.
    pub fn bytes(&mut self) -> &mut [u8] {
        // Nobody else has the buffer of a slot in flight.
        self.buffer.as_mut().and_then(Shared::get_mut).map_or(&mut [], |bytes| &mut bytes[..])
    }

    /// Makes the page visible to all and keeps it pinned for the caller.
    pub fn commit(mut self) -> Option<Page> {
        let buffer = self.buffer.take()?;
        let mut inner = self.cache.inner.lock();
        inner.in_flight -= 1;
        let slot = &mut inner.slots[self.slot as usize];
        slot.buffer = Some(buffer.clone());
        let precious = slot.state == State::InFlight { precious: true };
        inner.push(self.slot, if precious { State::Precious } else { State::Probed });
        Some(Page(buffer))
    }
}

impl Drop for FillGuard {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let mut inner = self.cache.inner.lock();
            inner.in_flight -= 1;
            inner.spare.push(buffer);
            inner.forget(self.slot);
            inner.unused.push(self.slot);
        }
    }
}

impl Inner {
    /// The list that slots of this state are in, and the links of all slots.
    fn list(&mut self, state: State) -> Option<(&mut List, Links<'_>)> {
        let list = match state {
            State::Probed => &mut self.probed,
            State::Precious => &mut self.precious,
            State::GhostProbed => &mut self.ghost_probed,
            State::GhostPrecious => &mut self.ghost_precious,
            State::InFlight { .. } => return None,
        };
        Some((list, Links(&mut self.slots)))
    }

    fn unlink(&mut self, slot: u32) {
        if let Some((list, mut links)) = self.list(self.slots[slot as usize].state) {
            list.unlink(slot, &mut links);
        }
    }

    /// Puts a slot at the most recent end of the list of `state`.
    fn push(&mut self, slot: u32, state: State) {
        self.slots[slot as usize].state = state;
        if let Some((list, mut links)) = self.list(state) {
            list.push(slot, &mut links);
        }
    }

    /// Moves the share of probed pages towards the list whose ghost was hit.
    fn adapt(&mut self, ghost: State, capacity: usize) {
        let (probed, precious) = (self.ghost_probed.len(), self.ghost_precious.len());
        let step = |mine: usize, other: usize| if other > mine { other / mine.max(1) } else { 1 };
        if ghost == State::GhostPrecious {
            self.probed_share = self.probed_share.saturating_sub(step(precious, probed));
        } else {
            self.probed_share = (self.probed_share + step(probed, precious)).min(capacity);
        }
    }

    /// Where a free buffer comes from: a spare one, a new one while there are
    /// fewer than `capacity`, or that of the page that can best be spared.
    fn find_buffer(&mut self, capacity: usize, page_size: usize, bias: usize) -> Result<Source, Lookup> {
        let mut refusal = Lookup::Busy;
        if self.probed.len() + self.precious.len() + self.in_flight < capacity {
            if let Some(spare) = self.spare.pop() {
                return Ok(Source::Free(spare));
            }
            if let Some(bytes) = zeroes(page_size) {
                return Ok(Source::Free(Shared::new(bytes)));
            }
            refusal = Lookup::NoMemory;
        }
        self.victim(bias).map(Source::Evicted).ok_or(refusal)
    }

    /// The page that can best be spared.
    fn victim(&self, bias: usize) -> Option<u32> {
        let probed_first = self.probed.len() + bias > self.probed_share;
        let (first, second) = match probed_first {
            true => (State::Probed, State::Precious),
            false => (State::Precious, State::Probed),
        };
        self.unpinned(first).or_else(|| self.unpinned(second))
    }

    fn take_buffer(&mut self, source: Source) -> Option<Buffer> {
        let victim = match source {
            Source::Free(buffer) => return Some(buffer),
            Source::Evicted(victim) => victim,
        };
        let ghost = match self.slots[victim as usize].state {
            State::Probed => State::GhostProbed,
            _ => State::GhostPrecious,
        };
        self.unlink(victim);
        self.push(victim, ghost);
        self.slots[victim as usize].buffer.take()
    }

    /// The least recently used page of a list that nobody has pinned.
    fn unpinned(&self, state: State) -> Option<u32> {
        let list = if state == State::Probed { &self.probed } else { &self.precious };
        let mut at = list.last();
        while let Some(slot) = at {
            let entry = &self.slots[slot as usize];
            // New handles are made under the lock only, so a count of one stays.
            if entry
                .buffer
                .as_ref()
                .is_some_and(|buffer| Shared::strong_count(buffer) == 1 || broken(Fault::EvictPinned))
            {
                return Some(slot);
            }
            at = entry.link.newer();
        }
        None
    }

    /// A slot for a new key: an unused or new one, or that of the oldest ghost.
    fn take_slot(&mut self, key: Key, hash: u64, capacity: usize) -> u32 {
        let slot = if let Some(slot) = self.unused.pop() {
            Some(slot)
        } else if self.slots.len() < 2 * capacity {
            None
        } else {
            let ghost = self.ghost_probed.last().or(self.ghost_precious.last());
            if let Some(slot) = ghost {
                self.unlink(slot);
                self.forget(slot);
            }
            ghost
        };
        let entry =
            Slot { key, state: State::InFlight { precious: false }, link: Link::default(), buffer: None };
        let slot = match slot {
            Some(slot) => {
                self.slots[slot as usize] = entry;
                slot
            }
            None => {
                self.slots.push(entry);
                (self.slots.len() - 1) as u32
            }
        };
        let Inner { index, slots, hasher, .. } = self;
        index.insert_unique(hash, slot, |other| hasher.hash_one(slots[*other as usize].key));
        slot
    }

    /// Removes the key of a slot from the index.
    fn forget(&mut self, slot: u32) {
        let hash = self.hasher.hash_one(self.slots[slot as usize].key);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
    }
}

/// A buffer of `size` zeroes; `None` where `vec!` would abort the program.
fn zeroes(size: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).ok()?;
    bytes.resize(size, 0);
    Some(bytes)
}

/// The links of all slots, for the lists.
struct Links<'a>(&'a mut [Slot]);

impl list::Links for Links<'_> {
    fn link(&mut self, slot: u32) -> &mut Link {
        &mut self.0[slot as usize].link
    }
}
