//! The page cache against a slow, literal model of what it must do: which
//! look-ups hit, which miss, which are busy, over long random sequences.
//!
//! The order of replacement is that of the reference, but for this:
//! hits are told to the lists by the next miss; of several hits of a page
//! between two misses the first counts; and pages found pinned when one is to
//! be evicted are put aside. (The reference's own order is a model of the
//! bench, which compares hit ratios.)

use std::collections::VecDeque;

use kdumpfile::cache::{FillGuard, Key, Lookup, Page, PageCache};

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

/// One kind of pages, most recently used first.
#[derive(Default)]
struct Kind {
    pages: VecDeque<u64>,
    /// Put aside because they were pinned when they should have been evicted.
    held: VecDeque<u64>,
    ghosts: VecDeque<u64>,
}

const PROBED: usize = 0;
const PRECIOUS: usize = 1;

#[derive(Default)]
struct Model {
    capacity: usize,
    kinds: [Kind; 2],
    /// Pages that can be found.
    cached: Vec<u64>,
    /// Pages in flight, and the kind that they become.
    flight: Vec<(u64, usize)>,
    /// Pages that somebody holds, one entry a handle.
    pinned: Vec<u64>,
    /// What happened since the last miss: a page and where it goes to. A page
    /// that is hit again is no news.
    news: Vec<(u64, usize)>,
    share: usize,
    hits: u64,
    misses: u64,
}

fn take(list: &mut VecDeque<u64>, page: u64) -> bool {
    let at = list.iter().position(|other| *other == page);
    at.and_then(|at| list.remove(at)).is_some()
}

impl Model {
    fn used(&self) -> usize {
        self.cached.len() + self.flight.len()
    }

    fn is_pinned(&self, page: u64) -> bool {
        self.pinned.contains(&page)
    }

    fn tell(&mut self, page: u64, kind: usize) {
        if !self.news.contains(&(page, PRECIOUS)) {
            self.news.push((page, kind));
        }
    }

    fn read_news(&mut self) {
        for (page, to) in std::mem::take(&mut self.news) {
            for kind in &mut self.kinds {
                let _ = take(&mut kind.pages, page) || take(&mut kind.held, page);
            }
            self.kinds[to].pages.push_front(page);
        }
    }

    /// The page to evict, taken out of its list, and its kind.
    fn victim(&mut self, bias: usize) -> Option<(u64, usize)> {
        let probed = &self.kinds[PROBED];
        let order = match probed.pages.len() + probed.held.len() + bias > self.share {
            true => [PROBED, PRECIOUS],
            false => [PRECIOUS, PROBED],
        };
        for kind in order {
            // The oldest of those put aside, then the others.
            let mut tried = self.kinds[kind].held.pop_back();
            loop {
                match tried.take().or_else(|| self.kinds[kind].pages.pop_back()) {
                    None => break,
                    Some(page) if self.is_pinned(page) => self.kinds[kind].held.push_front(page),
                    Some(page) => return Some((page, kind)),
                }
            }
        }
        for kind in order {
            let held = &self.kinds[kind].held;
            if let Some(page) = held.iter().rev().find(|page| !self.is_pinned(**page)).copied() {
                take(&mut self.kinds[kind].held, page);
                return Some((page, kind));
            }
        }
        None
    }

    fn get(&mut self, page: u64) -> Answer {
        if self.cached.contains(&page) {
            self.tell(page, PRECIOUS);
            self.hits += 1;
            return Answer::Hit;
        }
        if let Some(entry) = self.flight.iter_mut().find(|entry| entry.0 == page) {
            entry.1 = PRECIOUS;
            self.misses += 1;
            return Answer::InFlight;
        }
        self.read_news();
        let ghosts = self.kinds.each_ref().map(|kind| kind.ghosts.len());
        let old_share = self.share;
        let ghost = self.kinds.iter().position(|kind| kind.ghosts.contains(&page));
        let step = |mine: usize, other: usize| if other > mine { other / mine } else { 1 };
        match ghost {
            Some(PRECIOUS) => self.share = self.share.saturating_sub(step(ghosts[1], ghosts[0])),
            Some(_) => self.share = (self.share + step(ghosts[0], ghosts[1])).min(self.capacity),
            None => {}
        }
        // What the specification says about Busy, in its words.
        let in_use = self.cached.iter().filter(|page| self.is_pinned(**page)).count() + self.flight.len();
        let mut victim = None;
        if self.used() >= self.capacity {
            victim = self.victim(ghost.is_none().into());
            assert_eq!(victim.is_none(), in_use >= self.capacity);
            if victim.is_none() {
                self.share = old_share;
                return Answer::Busy;
            }
        }
        // A slot first, then the ghost of the page that made room.
        match ghost {
            Some(kind) => drop(take(&mut self.kinds[kind].ghosts, page)),
            None if self.used() + ghosts[0] + ghosts[1] == 2 * self.capacity => {
                let kind = if ghosts[PROBED] > 0 { PROBED } else { PRECIOUS };
                self.kinds[kind].ghosts.pop_back();
            }
            None => {}
        }
        if let Some((page, kind)) = victim {
            self.kinds[kind].ghosts.push_front(page);
            self.cached.retain(|other| *other != page);
        }
        self.flight.push((page, if ghost.is_some() { PRECIOUS } else { PROBED }));
        self.misses += 1;
        Answer::Fill
    }

    fn finish(&mut self, page: u64, filled: bool) {
        let at = self.flight.iter().position(|entry| entry.0 == page).unwrap();
        let (_, kind) = self.flight.swap_remove(at);
        if filled {
            self.cached.push(page);
            self.tell(page, kind);
        }
    }
}

fn run(capacity: usize, shards: usize, keys: usize, steps: usize, seed: u64) {
    let cache = PageCache::with_shards(capacity as u64, 8, shards);
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
                        assert_eq!(expected, Answer::Fill, "step {step}, page {page}, capacity {capacity}");
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
                    Lookup::Busy(_) | Lookup::NoMemory => Answer::Busy,
                };
                assert_eq!(answer, expected, "step {step}, page {page}, capacity {capacity}");
            }
        }
        assert_eq!((cache.hits(), cache.misses()), (model.hits, model.misses), "step {step}");
        if step % 16 == 0 {
            // The audit reads the news, as a miss does.
            assert_eq!(cache.audit(), Ok(()), "step {step}");
            model.read_news();
        }
    }
}

#[test]
fn every_look_up_answers_as_the_model_does() {
    for capacity in 0..6 {
        for seed in 1..6 {
            for shards in [1, 2] {
                let seed = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed);
                run(capacity, shards, 3 * capacity + 2, 4000, seed);
            }
        }
    }
    for shards in [1, 4, 16] {
        run(32, shards, 80, 20_000, 77);
    }
}

#[test]
fn page_that_cannot_be_allocated_is_an_error_of_its_own() {
    let cache = PageCache::new(4, isize::MAX as usize);
    assert!(matches!(cache.get(key(1)), Lookup::NoMemory));
    assert_eq!((cache.hits(), cache.misses()), (0, 0));
}
