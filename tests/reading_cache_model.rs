//! The page cache against a slow, literal model of what it must do: which
//! look-ups hit, which miss, which are busy, over long random sequences.

use std::collections::VecDeque;

use kdumpfile::cache::{FillGuard, Key, Lookup, Page, PageCache};
use kdumpfile::sync::Shared;

fn key(page: u64) -> Key {
    Key { address: page << 12, space: 0 }
}

struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Hit,
    Fill,
    InFlight,
    Busy,
}

/// All lists most recently used first.
#[derive(Default)]
struct Model {
    capacity: usize,
    probed: VecDeque<u64>,
    precious: VecDeque<u64>,
    ghost_probed: VecDeque<u64>,
    ghost_precious: VecDeque<u64>,
    /// Pages in flight, and whether they become precious.
    flight: Vec<(u64, bool)>,
    /// Pages that somebody holds, one entry a handle.
    pinned: Vec<u64>,
    share: usize,
    hits: u64,
    misses: u64,
}

fn take(list: &mut VecDeque<u64>, page: u64) -> bool {
    let at = list.iter().position(|other| *other == page);
    at.and_then(|at| list.remove(at)).is_some()
}

impl Model {
    fn victim(&self, list: &VecDeque<u64>) -> Option<u64> {
        list.iter().rev().find(|page| !self.pinned.contains(page)).copied()
    }

    fn evict(&mut self, bias: usize) {
        let (probed, precious) = (self.victim(&self.probed), self.victim(&self.precious));
        match (probed, precious) {
            (Some(page), other) if other.is_none() || self.probed.len() + bias > self.share => {
                take(&mut self.probed, page);
                self.ghost_probed.push_front(page);
            }
            (_, Some(page)) => {
                take(&mut self.precious, page);
                self.ghost_precious.push_front(page);
            }
            _ => unreachable!("a victim was counted before"),
        }
    }

    fn used(&self) -> usize {
        self.probed.len() + self.precious.len() + self.flight.len()
    }

    fn get(&mut self, page: u64) -> Answer {
        if take(&mut self.precious, page) || take(&mut self.probed, page) {
            self.precious.push_front(page);
            self.hits += 1;
            return Answer::Hit;
        }
        if let Some(entry) = self.flight.iter_mut().find(|entry| entry.0 == page) {
            entry.1 = true;
            self.misses += 1;
            return Answer::InFlight;
        }
        let valid = self.probed.iter().chain(&self.precious);
        let in_use = valid.filter(|page| self.pinned.contains(page)).count() + self.flight.len();
        if in_use >= self.capacity {
            return Answer::Busy;
        }
        let (gp, gq) = (self.ghost_probed.len(), self.ghost_precious.len());
        let precious = if self.ghost_precious.contains(&page) {
            self.share = self.share.saturating_sub(if gp > gq { gp / gq } else { 1 });
            self.make_room(0);
            take(&mut self.ghost_precious, page)
        } else if self.ghost_probed.contains(&page) {
            self.share = (self.share + if gq > gp { gq / gp } else { 1 }).min(self.capacity);
            self.make_room(0);
            take(&mut self.ghost_probed, page)
        } else {
            // A slot first, then its buffer.
            if self.used() + gp + gq == 2 * self.capacity && self.ghost_probed.pop_back().is_none() {
                self.ghost_precious.pop_back();
            }
            self.make_room(1);
            false
        };
        self.flight.push((page, precious));
        self.misses += 1;
        Answer::Fill
    }

    fn make_room(&mut self, bias: usize) {
        if self.used() >= self.capacity {
            self.evict(bias);
        }
    }

    fn finish(&mut self, page: u64, filled: bool) {
        let at = self.flight.iter().position(|entry| entry.0 == page).unwrap();
        let (_, precious) = self.flight.swap_remove(at);
        match (filled, precious) {
            (true, true) => self.precious.push_front(page),
            (true, false) => self.probed.push_front(page),
            (false, _) => {}
        }
    }
}

fn run(capacity: usize, keys: usize, steps: usize, seed: u64) {
    let cache = Shared::new(PageCache::new(capacity as u64, 8));
    let mut model = Model { capacity, ..Model::default() };
    let mut rng = Rng(seed);
    let mut pages: Vec<(u64, Page)> = Vec::new();
    let mut guards: Vec<(u64, FillGuard)> = Vec::new();
    for step in 0..steps {
        match rng.below(12) {
            0 | 1 if !pages.is_empty() => {
                let (page, _) = pages.swap_remove(rng.below(pages.len()));
                let at = model.pinned.iter().position(|other| *other == page).unwrap();
                model.pinned.swap_remove(at);
            }
            2 | 3 if !guards.is_empty() => {
                let (page, guard) = guards.swap_remove(rng.below(guards.len()));
                let filled = rng.below(4) != 0;
                model.finish(page, filled);
                if filled {
                    assert!(guard.commit().is_some());
                }
            }
            what => {
                // Some keys are asked for much more often than others.
                let page = rng.below(keys).min(rng.below(keys)) as u64;
                let expected = model.get(page);
                let answer = match cache.get(key(page)) {
                    Lookup::Hit(found) => {
                        assert_eq!(*found, page.to_le_bytes());
                        if what == 4 {
                            model.pinned.push(page);
                            pages.push((page, found));
                        }
                        Answer::Hit
                    }
                    Lookup::Fill(mut guard) => {
                        guard.bytes().copy_from_slice(&page.to_le_bytes());
                        if what == 5 {
                            guards.push((page, guard));
                        } else {
                            model.finish(page, true);
                            guard.commit().unwrap();
                        }
                        Answer::Fill
                    }
                    Lookup::InFlight => Answer::InFlight,
                    Lookup::Busy | Lookup::NoMemory => Answer::Busy,
                };
                assert_eq!(answer, expected, "step {step}, page {page}, capacity {capacity}");
            }
        }
        assert_eq!((cache.hits().get(), cache.misses().get()), (model.hits, model.misses), "step {step}");
    }
}

#[test]
fn every_look_up_answers_as_the_model_does() {
    for capacity in 0..6 {
        for seed in 1..6 {
            run(capacity, 3 * capacity + 2, 4000, 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        }
    }
    run(32, 80, 20_000, 77);
}

#[test]
fn page_that_cannot_be_allocated_is_an_error_of_its_own() {
    let cache = Shared::new(PageCache::new(4, isize::MAX as usize));
    assert!(matches!(cache.get(key(1)), Lookup::NoMemory));
    assert_eq!((cache.hits().get(), cache.misses().get()), (0, 0));
}
