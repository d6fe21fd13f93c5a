//! The replacement of the reference (specification 01, section 8), as a slow
//! model for one reader that gives each page back at once.

use std::collections::{BTreeMap, HashMap};

/// The lists of the specification: P, Q and their ghosts GP, GQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Probed,
    Precious,
    GhostProbed,
    GhostPrecious,
}

use List::{GhostPrecious, GhostProbed, Precious, Probed};

/// The model of a cache.
pub struct Reference {
    capacity: usize,
    /// Pages by the time of their last move, of each list.
    lists: [BTreeMap<u64, u64>; 4],
    /// Where each page is.
    places: HashMap<u64, (List, u64)>,
    /// How many slots the probed pages should have (dprobe).
    probed_share: usize,
    now: u64,
}

impl Reference {
    /// An empty cache of `capacity` pages.
    pub fn new(capacity: usize) -> Self {
        let lists = Default::default();
        Reference { capacity, lists, places: HashMap::new(), probed_share: 0, now: 0 }
    }

    fn len(&self, list: List) -> usize {
        self.lists[list as usize].len()
    }

    fn remove(&mut self, page: u64) {
        if let Some((list, time)) = self.places.remove(&page) {
            self.lists[list as usize].remove(&time);
        }
    }

    /// Moves a page to the most recent end of a list.
    fn push(&mut self, page: u64, list: List) {
        self.remove(page);
        self.now += 1;
        self.lists[list as usize].insert(self.now, page);
        self.places.insert(page, (list, self.now));
    }

    fn oldest(&self, list: List) -> Option<u64> {
        self.lists[list as usize].values().next().copied()
    }

    fn make_room(&mut self, bias: usize) {
        if self.len(Probed) + self.len(Precious) < self.capacity {
            return;
        }
        let probed = self.oldest(Probed);
        let precious = self.oldest(Precious);
        match (probed, precious) {
            (Some(page), None) => self.push(page, GhostProbed),
            (Some(page), Some(_)) if self.len(Probed) + bias > self.probed_share => {
                self.push(page, GhostProbed);
            }
            (_, Some(page)) => self.push(page, GhostPrecious),
            (None, None) => {}
        }
    }

    /// Asks for a page; says whether it was there. It is afterwards.
    pub fn get(&mut self, page: u64) -> bool {
        let (probed, precious) = (self.len(GhostProbed), self.len(GhostPrecious));
        match self.places.get(&page).map(|(list, _)| *list) {
            Some(Probed | Precious) => {
                self.push(page, Precious);
                return true;
            }
            Some(GhostPrecious) => {
                let step = if probed > precious { probed / precious } else { 1 };
                self.probed_share = self.probed_share.saturating_sub(step);
                self.make_room(0);
                self.push(page, Precious);
            }
            Some(GhostProbed) => {
                let step = if precious > probed { precious / probed } else { 1 };
                self.probed_share = (self.probed_share + step).min(self.capacity);
                self.make_room(0);
                self.push(page, Precious);
            }
            None => {
                // A slot first, then its buffer.
                if self.places.len() == 2 * self.capacity
                    && let Some(ghost) = self.oldest(GhostProbed).or_else(|| self.oldest(GhostPrecious))
                {
                    self.remove(ghost);
                }
                self.make_room(1);
                self.push(page, Probed);
            }
        }
        false
    }
}
