//! A shard: the pages that can be found under one lock.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::{Buffer, Key};
use crate::sync::{Counted, Fault, broken};

/// A page that is cached or in flight.
pub(super) struct Entry {
    // The key, without its padding: an entry takes 32 bytes.
    address: u64,
    space: u8,
    /// In flight: becomes precious once it is filled.
    precious: bool,
    /// Number of its slot, by which the policy knows it.
    pub slot: u32,
    /// The period of the shard in which it was last hit.
    hit_in: u32,
    /// The page; `None` while it is in flight.
    pub buffer: Option<Buffer>,
}

impl Entry {
    pub fn key(&self) -> Key {
        Key { address: self.address, space: self.space }
    }

    /// Was hit: that is news, once in a period.
    #[inline]
    fn hit(&mut self, period: u32, news: &mut Vec<News>, now: impl FnOnce() -> u64) {
        if self.hit_in != period {
            self.hit_in = period;
            news.push(News { time: now(), slot: self.slot, precious: true });
        }
    }
}

/// What has become of a slot and the lists do not tell yet.
pub(super) struct News {
    /// The order over all shards.
    pub time: u64,
    pub slot: u32,
    /// To the most recent end of which list.
    pub precious: bool,
}

/// What a look-up finds in a shard.
pub(super) enum Found {
    Page(Buffer),
    /// In flight, in this slot.
    InFlight(u32),
}

/// Whether a page can be evicted.
pub(super) enum Victim {
    /// It could, and was.
    Evicted(Buffer),
    /// Somebody has it.
    Pinned,
    /// It was hit after the lists were brought up to date.
    Hit,
}

pub(super) struct Shard {
    pages: HashTable<Entry>,
    pub news: Vec<News>,
    /// Counts how often the news were read (wrapping: a page that is taken
    /// for hit by mistake once in 2^32 periods only lives a little longer).
    period: u32,
    pub hits: u64,
    pub misses: u64,
}

impl Shard {
    /// A shard with room for `pages` pages without another allocation.
    pub fn new(pages: usize) -> Self {
        // A table that is more than half full grows to get rid of its
        // tombstones; and a page can be in the news twice: entered, then hit.
        let (pages, news) = (HashTable::with_capacity(2 * pages), Vec::with_capacity(2 * pages));
        Shard { pages, news, period: 1, hits: 0, misses: 0 }
    }

    pub fn pages(&self) -> impl Iterator<Item = &Entry> {
        self.pages.iter()
    }

    /// Looks a page up, and counts what is found.
    #[inline]
    pub fn look_up(&mut self, key: Key, hash: u64, now: impl FnOnce() -> u64) -> Option<Found> {
        let entry = self.pages.find_mut(hash, |entry| entry.key() == key)?;
        let Some(buffer) = &entry.buffer else {
            entry.precious = true;
            self.misses += 1;
            return Some(Found::InFlight(entry.slot));
        };
        let found = Found::Page(buffer.clone());
        entry.hit(self.period, &mut self.news, now);
        if !broken(Fault::LostCount) {
            self.hits += 1;
        }
        Some(found)
    }

    /// Copies bytes of a page from `offset` on; `false`, and nothing is counted,
    /// if it is not here or has not so many.
    #[inline]
    pub fn copy(
        &mut self,
        key: Key,
        hash: u64,
        offset: usize,
        out: &mut [u8],
        now: impl FnOnce() -> u64,
    ) -> bool {
        let Some(entry) = self.pages.find_mut(hash, |entry| entry.key() == key) else { return false };
        let bytes = entry.buffer.as_ref().and_then(|buffer| buffer.get(offset..)?.get(..out.len()));
        let Some(bytes) = bytes else { return false };
        out.copy_from_slice(bytes);
        entry.hit(self.period, &mut self.news, now);
        self.hits += 1;
        true
    }

    /// Enters a page that is in flight from now on.
    pub fn enter(&mut self, key: Key, hash: u64, slot: u32, precious: bool, hash_of: impl Fn(&Entry) -> u64) {
        let Key { address, space } = key;
        let hit_in = self.period.wrapping_sub(1);
        let entry = Entry { address, space, precious, slot, hit_in, buffer: None };
        self.pages.insert_unique(hash, entry, hash_of);
        self.misses += 1;
    }

    /// Makes a page in flight visible.
    pub fn publish(&mut self, hash: u64, slot: u32, buffer: Buffer, now: impl FnOnce() -> u64) {
        let period = self.period;
        let entry = match broken(Fault::FilledElsewhere) {
            false => self.pages.find_mut(hash, |entry| entry.slot == slot),
            true => self.pages.iter_mut().find(|entry| entry.buffer.is_none()),
        };
        if let Some(entry) = entry {
            let Entry { slot, precious, .. } = *entry;
            entry.buffer = Some(buffer);
            entry.hit_in = if precious { period } else { period.wrapping_sub(1) };
            self.news.push(News { time: now(), slot, precious });
        }
    }

    /// Forgets a page in flight.
    pub fn forget(&mut self, hash: u64, slot: u32) {
        if let Ok(entry) = self.pages.find_entry(hash, |entry| entry.slot == slot) {
            entry.remove();
        }
    }

    /// Takes a page out, if nobody has it. New handles are made under the lock
    /// of the shard only, so that a count of one stays.
    pub fn evict(&mut self, hash: u64, slot: u32) -> Victim {
        let Ok(entry) = self.pages.find_entry(hash, |entry| entry.slot == slot) else {
            return Victim::Pinned;
        };
        if entry.get().hit_in == self.period {
            return Victim::Hit;
        }
        let free = |buffer: &Buffer| Counted::strong_count(buffer) == 1 || broken(Fault::EvictPinned);
        if !entry.get().buffer.as_ref().is_some_and(free) {
            return Victim::Pinned;
        }
        let (entry, _) = entry.remove();
        entry.buffer.map_or(Victim::Pinned, Victim::Evicted)
    }

    /// Tells the news; from now on each hit is news again.
    pub fn tell(&mut self, all_news: &mut Vec<News>) {
        self.period = self.period.wrapping_add(1);
        all_news.append(&mut self.news);
    }
}
