//! The blocks of memory that were read last.
//!
//! Four slots in the order of their last use, so that the tables of a walk stay
//! at hand while a neighbour is translated. They pin what the provider has, so
//! there are not many of them.

use super::callbacks::PageBuf;
use super::types::{ByteOrder, FullAddr};

/// How many blocks are kept.
pub(super) const SLOTS: usize = 4;

#[derive(Default)]
struct Slot {
    block: Option<PageBuf>,
    /// The size of the block in bytes, without asking it.
    size: u64,
}

impl Slot {
    fn holds(&self, addr: FullAddr) -> bool {
        self.block.as_ref().is_some_and(|block| {
            let start = block.start();
            start.space == addr.space && addr.addr.wrapping_sub(start.addr) < self.size
        })
    }
}

/// See the module.
pub(super) struct ReadCache {
    slots: [Slot; SLOTS],
    /// The slots by their last use, the most recent first.
    order: [u8; SLOTS],
}

impl Default for ReadCache {
    fn default() -> Self {
        ReadCache { slots: Default::default(), order: core::array::from_fn(|slot| slot as u8) }
    }
}

/// Copies what `block` has from `addr` on; returns how many bytes those are, and
/// their order. None if the block does not contain the address.
pub(super) fn copy(block: &PageBuf, addr: FullAddr, buf: &mut [u8]) -> Option<(usize, ByteOrder)> {
    let tail = block.tail(addr)?;
    let count = tail.len().min(buf.len());
    buf.get_mut(..count)?.copy_from_slice(tail.get(..count)?);
    Some((count, block.byte_order()))
}

impl ReadCache {
    /// Copies what the block of `addr` has, if it is here; it is the most
    /// recently used one then.
    pub(super) fn read(&mut self, addr: FullAddr, buf: &mut [u8]) -> Option<(usize, ByteOrder)> {
        let slot = self.slots.iter().position(|slot| slot.holds(addr))?;
        self.touch(slot);
        copy(self.slots.get(slot)?.block.as_ref()?, addr, buf)
    }

    /// Takes the least recently used block out; its slot stays the next to be
    /// filled. The caller drops it when nothing is borrowed.
    pub(super) fn evict(&mut self) -> Option<PageBuf> {
        self.last()?.block.take()
    }

    /// Stores a block in the least recently used slot; returns what was there,
    /// as above.
    pub(super) fn insert(&mut self, block: PageBuf) -> Option<PageBuf> {
        let slot = usize::from(self.order[SLOTS - 1]);
        self.touch(slot);
        let slot = self.slots.get_mut(slot)?;
        slot.size = block.bytes().len() as u64;
        slot.block.replace(block)
    }

    /// Makes the block that contains `addr` the next one to go.
    pub(super) fn demote(&mut self, addr: FullAddr) {
        if let Some(slot) = self.slots.iter().position(|slot| slot.holds(addr)) {
            self.touch(slot);
            self.order.rotate_left(1);
        }
    }

    fn last(&mut self) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(self.order[SLOTS - 1]))
    }

    fn touch(&mut self, slot: usize) {
        if let Some(place) = self.order.iter().position(|&other| usize::from(other) == slot)
            && let Some(used) = self.order.get_mut(..=place)
        {
            used.rotate_right(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn page(number: u64) -> PageBuf {
        PageBuf::new(FullAddr::kphys(number << 12), ByteOrder::Little, Vec::from([number as u8; 0x1000]))
    }

    /// Accesses `pages` one after the other; returns those that had to go.
    fn evictions(pages: &[u64]) -> Vec<u64> {
        let mut cache = ReadCache::default();
        let mut gone = Vec::new();
        for &number in pages {
            let addr = FullAddr::kphys((number << 12) + 0xff8);
            let mut word = [0xff; 8];
            if let Some((count, _)) = cache.read(addr, &mut word) {
                assert_eq!((count, word), (8, [number as u8; 8]));
            } else {
                gone.extend(cache.evict().map(|block| block.start().addr >> 12));
                assert!(cache.insert(page(number)).is_none());
            }
        }
        gone
    }

    #[test]
    fn least_recently_used_block_goes_first() {
        assert_eq!(evictions(&[0, 1, 2, 3, 0, 4, 1, 0, 5]), [1, 2, 3]);
        assert_eq!(evictions(&[0, 1, 2, 3, 4, 5, 6, 7]), [0, 1, 2, 3]);
        assert_eq!(evictions(&[0, 1, 2, 3, 3, 2, 1, 0, 9]), [3]);
    }

    #[test]
    fn demoted_block_goes_before_all_others() {
        let mut cache = ReadCache::default();
        for number in 0..4 {
            assert!(cache.insert(page(number)).is_none());
        }
        cache.demote(FullAddr::kphys(0x2345));
        cache.demote(FullAddr::kphys(0x9999));
        let gone = cache.insert(page(7)).map(|block| block.start());
        assert_eq!(gone, Some(FullAddr::kphys(0x2000)));
        let gone = cache.insert(page(8)).map(|block| block.start());
        assert_eq!(gone, Some(FullAddr::kphys(0)));
    }

    #[test]
    fn block_gives_what_it_has_from_the_address_on() {
        let mut cache = ReadCache::default();
        cache.insert(page(1));
        let mut count = |addr| cache.read(addr, &mut [0; 8]).map(|(count, _)| count);
        assert_eq!(count(FullAddr::kphys(0x1ff8)), Some(8));
        assert_eq!(count(FullAddr::kphys(0x1ff9)), Some(7));
        assert_eq!(count(FullAddr::kphys(0x2000)), None);
        assert_eq!(count(FullAddr::machphys(0x1000)), None);
    }
}
