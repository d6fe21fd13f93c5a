//! Which page is evicted: lists of slots, behind the lock of the policy.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::list::{self, Link, List};
use super::shard::{News, Victim};
use super::{Buffer, Key};
use crate::sync::{Fault, broken};

/// Where a slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In no list and without a key.
    Unused,
    /// In no list, with a key: in flight, or filled but not in a list yet.
    Loose,
    In(Kind, Part),
}

/// What is known about how often a page is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Once.
    Probed,
    /// More than once.
    Precious,
}

/// The lists that there are of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Pages in the order of use.
    Pages,
    /// Pages that were pinned when they were about to be evicted.
    Held,
    /// Keys of pages that were evicted.
    Ghosts,
}

use Kind::{Precious, Probed};
use Part::{Ghosts, Held, Pages};

pub(super) struct Slot {
    pub key: Key,
    pub place: Place,
    link: Link,
}

#[derive(Default)]
struct Lists {
    pages: List,
    held: List,
    ghosts: List,
}

/// Where the buffer for a page to be filled comes from.
pub(super) enum Source {
    /// It was free.
    Free(Buffer),
    /// It is that of the page in this slot, which is in no list any more.
    Evicted(Buffer, u32, Kind),
}

pub(super) struct Policy {
    pub slots: Vec<Slot>,
    unused: Vec<u32>,
    /// Free buffers that were allocated before.
    pub spare: Vec<Buffer>,
    /// Pages that are cached or in flight; each has a buffer.
    pub used: usize,
    probed: Lists,
    precious: Lists,
    /// Slots of the ghosts, by key.
    ghosts: HashTable<u32>,
    /// How many slots probed pages should have.
    pub probed_share: usize,
    /// What the shards told and the lists do not know yet.
    pub news: Vec<News>,
}

impl Policy {
    /// Room for `capacity` pages and as many ghosts without another allocation.
    pub fn new(capacity: usize) -> Self {
        Policy {
            slots: Vec::with_capacity(2 * capacity),
            unused: Vec::with_capacity(2 * capacity),
            spare: Vec::with_capacity(capacity),
            used: 0,
            probed: Lists::default(),
            precious: Lists::default(),
            ghosts: HashTable::with_capacity(3 * capacity),
            probed_share: 0,
            news: Vec::with_capacity(2 * capacity),
        }
    }

    fn lists(&mut self, kind: Kind) -> &mut Lists {
        if kind == Probed { &mut self.probed } else { &mut self.precious }
    }

    fn list(&mut self, kind: Kind, part: Part) -> (&mut List, Links<'_>) {
        let lists = if kind == Probed { &mut self.probed } else { &mut self.precious };
        let list = match part {
            Pages => &mut lists.pages,
            Held => &mut lists.held,
            Ghosts => &mut lists.ghosts,
        };
        (list, Links(&mut self.slots))
    }

    /// Takes a slot out of the list that it is in.
    fn unlink(&mut self, slot: u32) {
        if let Place::In(kind, part) = self.slots[slot as usize].place {
            let (list, mut links) = self.list(kind, part);
            list.unlink(slot, &mut links);
        }
        self.slots[slot as usize].place = Place::Loose;
    }

    /// Puts a slot at the most recent end of a list.
    fn push(&mut self, slot: u32, kind: Kind, part: Part) {
        self.unlink(slot);
        self.slots[slot as usize].place = Place::In(kind, part);
        let (list, mut links) = self.list(kind, part);
        list.push(slot, &mut links);
    }

    /// How many slots have pages of this kind.
    pub fn pages(&self, kind: Kind) -> usize {
        let lists = if kind == Probed { &self.probed } else { &self.precious };
        lists.pages.len() + lists.held.len()
    }

    /// How many ghosts of this kind there are.
    pub fn ghosts(&self, kind: Kind) -> usize {
        if kind == Probed { self.probed.ghosts.len() } else { self.precious.ghosts.len() }
    }

    pub fn unused(&self) -> usize {
        self.unused.len()
    }

    /// Brings the lists up to date with `self.news`.
    pub fn learn(&mut self) {
        let mut news = core::mem::take(&mut self.news);
        news.sort_unstable_by_key(|news| news.time);
        for News { slot, precious, .. } in news.drain(..) {
            self.push(slot, if precious { Precious } else { Probed }, Pages);
        }
        self.news = news;
    }

    /// The ghost of a key: its slot and its kind.
    pub fn ghost(&self, key: Key, hash: u64) -> Option<(u32, Kind)> {
        let slot = *self.ghosts.find(hash, |slot| self.slots[*slot as usize].key == key)?;
        match self.slots[slot as usize].place {
            Place::In(kind, Ghosts) => Some((slot, kind)),
            _ => None,
        }
    }

    /// Moves the share of probed pages towards the list whose ghost is asked for.
    pub fn adapt(&mut self, ghost: Kind, capacity: usize) {
        let (probed, precious) = (self.probed.ghosts.len(), self.precious.ghosts.len());
        let step = |mine: usize, other: usize| if other > mine { other / mine.max(1) } else { 1 };
        if ghost == Precious {
            self.probed_share = self.probed_share.saturating_sub(step(precious, probed));
            return;
        }
        self.probed_share += step(probed, precious);
        if !broken(Fault::ShareUnbounded) {
            self.probed_share = self.probed_share.min(capacity);
        }
    }

    /// The kinds in the order in which pages should be evicted.
    fn order(&self, bias: usize) -> [Kind; 2] {
        match self.pages(Probed) + bias > self.probed_share {
            true => [Probed, Precious],
            false => [Precious, Probed],
        }
    }

    /// A page that can be evicted, near the least recent ends of the lists.
    /// Pages that are in use are put aside, so that the next search does not
    /// meet them again; one of those put aside is tried again each time.
    pub fn victim(&mut self, bias: usize, mut evict: impl FnMut(&Slot, u32) -> Victim) -> Option<Source> {
        for kind in self.order(bias) {
            let pages = self.lists(kind).pages.len();
            let mut next = self.lists(kind).held.last().or(self.lists(kind).pages.last());
            // Hits of others must not keep this going for ever.
            for _ in 0..=pages {
                let Some(slot) = next else { break };
                match evict(&self.slots[slot as usize], slot) {
                    Victim::Evicted(buffer) => {
                        self.unlink(slot);
                        return Some(Source::Evicted(buffer, slot, kind));
                    }
                    Victim::Pinned => self.push(slot, kind, Held),
                    Victim::Hit => self.push(slot, Precious, Pages),
                }
                next = self.lists(kind).pages.last();
            }
        }
        None
    }

    /// The same, looking at all pages.
    pub fn any_victim(&mut self, bias: usize, mut evict: impl FnMut(&Slot, u32) -> Victim) -> Option<Source> {
        for kind in self.order(bias) {
            for part in [Held, Pages] {
                let mut next = self.list(kind, part).0.last();
                while let Some(slot) = next {
                    let entry = &self.slots[slot as usize];
                    next = entry.link.newer();
                    if let Victim::Evicted(buffer) = evict(entry, slot) {
                        self.unlink(slot);
                        return Some(Source::Evicted(buffer, slot, kind));
                    }
                }
            }
        }
        None
    }

    /// Takes a slot for `key`: that of its ghost, if there is one, else an
    /// unused or new one or that of the oldest ghost. Then remembers the page
    /// that made room; it must not be the ghost that is dropped.
    pub fn take_slot(
        &mut self,
        key: Key,
        ghost: Option<u32>,
        evicted: Option<(u32, Kind)>,
        capacity: usize,
        hash_of: impl Fn(Key) -> u64,
    ) -> u32 {
        let slot = ghost.or_else(|| self.unused.pop()).or_else(|| {
            let dropped = (self.slots.len() >= 2 * capacity)
                .then(|| self.probed.ghosts.last().or(self.precious.ghosts.last()));
            dropped.flatten()
        });
        let slot = match slot {
            Some(slot) => {
                self.lay(slot, &hash_of);
                slot
            }
            None => {
                self.slots.push(Slot { key, place: Place::Loose, link: Link::default() });
                (self.slots.len() - 1) as u32
            }
        };
        let entry = &mut self.slots[slot as usize];
        (entry.key, entry.place) = (key, Place::Loose);
        if let Some((evicted, kind)) = evicted {
            self.push(evicted, kind, Ghosts);
            let hash = hash_of(self.slots[evicted as usize].key);
            let Policy { slots, ghosts, .. } = self;
            ghosts.insert_unique(hash, evicted, |slot| hash_of(slots[*slot as usize].key));
        }
        slot
    }

    /// Takes a ghost out of its list and out of the index.
    fn lay(&mut self, slot: u32, hash_of: impl Fn(Key) -> u64) {
        if matches!(self.slots[slot as usize].place, Place::In(_, Ghosts)) {
            self.unlink(slot);
            let hash = hash_of(self.slots[slot as usize].key);
            if let Ok(ghost) = self.ghosts.find_entry(hash, |other| *other == slot) {
                ghost.remove();
            }
        }
    }

    /// Takes the slot and the buffer of a fill that failed back.
    pub fn give_back(&mut self, slot: u32, buffer: Buffer) {
        self.slots[slot as usize].place = Place::Unused;
        self.unused.push(slot);
        if !broken(Fault::LostSlot) {
            self.used -= 1;
            self.spare.push(buffer);
        }
    }
}

/// The links of all slots, for the lists.
struct Links<'a>(&'a mut [Slot]);

impl list::Links for Links<'_> {
    fn link(&mut self, slot: u32) -> &mut Link {
        &mut self.0[slot as usize].link
    }
}
