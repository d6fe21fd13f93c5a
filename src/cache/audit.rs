//! Whether a cache is what it should be, for the tests and models.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use super::policy::{Kind, Part, Place};
use super::{Core, PageCache};
use crate::sync::Counted;

/// Fails with what is said about `$what` unless the condition holds.
macro_rules! must {
    ($condition:expr, $($what:tt)*) => {
        if !$condition {
            return Err(format!($($what)*));
        }
    };
}

impl PageCache {
    /// Checks that the cache is whole: slots, buffers and keys add up, the
    /// indexes and the lists say the same.
    ///
    /// # Errors
    /// What does not add up.
    #[doc(hidden)]
    pub fn audit(&self) -> Result<(), String> {
        let core: &Core = &self.0;
        let mut policy = core.policy.0.lock();
        core.read_news(&mut policy);
        let policy = &*policy;
        let capacity = core.capacity;

        let (mut keys, mut slots) = (BTreeSet::new(), BTreeSet::new());
        let (mut cached, mut in_flight) = (0, 0);
        for (home, shard) in core.shards.iter().enumerate() {
            let shard = shard.0.lock();
            for entry in shard.pages() {
                let (key, slot) = (entry.key(), entry.slot);
                must!(core.shard_of(key) == home, "{key:?} is in shard {home}");
                must!(keys.insert((key.space, key.address)), "{key:?} is there twice");
                must!(slots.insert(slot), "slot {slot} is used twice");
                let known = &policy.slots[slot as usize];
                must!(known.key == key, "slot {slot} has {:?} and {key:?}", known.key);
                match &entry.buffer {
                    None => {
                        in_flight += 1;
                        must!(known.place == Place::Loose, "{key:?}: in flight and {:?}", known.place);
                    }
                    Some(buffer) => {
                        cached += 1;
                        must!(buffer.len() == core.page_size, "{key:?} has {} bytes", buffer.len());
                        let listed = matches!(known.place, Place::In(_, Part::Pages | Part::Held));
                        // Filled after the news were read, by another thread.
                        let new = known.place == Place::Loose && !shard.news.is_empty();
                        must!(listed || new, "{key:?}: cached and {:?}", known.place);
                    }
                }
            }
        }
        must!(cached + in_flight == policy.used, "{cached} + {in_flight} pages, not {}", policy.used);
        must!(policy.used <= capacity, "{} pages in {capacity} slots", policy.used);
        let buffers = policy.used + policy.spare.len();
        must!(buffers <= capacity, "{buffers} buffers for {capacity} slots");
        must!(
            policy.spare.iter().all(|buffer| Counted::strong_count(buffer) == 1),
            "a free buffer is in use"
        );

        let (mut ghosts, mut listed, mut unused) = (0, 0, 0);
        for (slot, known) in policy.slots.iter().enumerate() {
            let (key, here) = (known.key, slots.contains(&(slot as u32)));
            match known.place {
                Place::In(kind, Part::Ghosts) => {
                    ghosts += 1;
                    must!(!here, "{key:?} is a ghost and cached");
                    must!(keys.insert((key.space, key.address)), "{key:?} is a ghost, too");
                    let found = policy.ghost(key, core.hash_of(key));
                    must!(found == Some((slot as u32, kind)), "ghost {key:?} is found as {found:?}");
                }
                Place::Unused => {
                    unused += 1;
                    must!(!here, "slot {slot} is unused and has {key:?}");
                }
                Place::In(..) => {
                    listed += 1;
                    must!(here, "{key:?} is {:?} and gone", known.place);
                }
                Place::Loose => must!(here, "slot {slot} is lost"),
            }
        }
        let total = |count: fn(&super::Policy, Kind) -> usize| {
            count(policy, Kind::Probed) + count(policy, Kind::Precious)
        };
        must!(total(super::Policy::ghosts) == ghosts, "{ghosts} ghosts");
        must!(total(super::Policy::pages) == listed, "{listed} pages in lists");
        must!(policy.unused() == unused, "{unused} unused slots");
        must!(policy.slots.len() <= 2 * capacity, "{} keys for {capacity} slots", policy.slots.len());
        let share = policy.probed_share;
        must!(share <= capacity, "share {share} of {capacity} slots");
        Ok(())
    }
}
