//! Entries next to each other, for searches that look at one after the other.

use crate::xlat::error::Result;
use crate::xlat::step::Walker;
use crate::xlat::types::{ByteOrder, FullAddr};

/// What was at hand of a table when one of its entries was read: the bytes
/// behind it, as far as they are in the same block. So nothing is read that
/// would not have been read otherwise.
pub(in crate::xlat) struct Row {
    start: FullAddr,
    order: ByteOrder,
    len: usize,
    bytes: [u8; Row::SIZE],
}

impl Row {
    const SIZE: usize = 256;

    /// No entry at all.
    pub const fn new() -> Self {
        Row { start: FullAddr::NONE, order: ByteOrder::Host, len: 0, bytes: [0; Row::SIZE] }
    }

    /// The `N` bytes of the entry at `addr`, and their order.
    pub fn read<const N: usize>(
        &mut self,
        walker: &Walker<'_>,
        addr: FullAddr,
        what: &str,
    ) -> Result<([u8; N], ByteOrder)> {
        if let Some(bytes) = self.get(addr) {
            return Ok((bytes, self.order));
        }
        let found = walker.ctx().read(walker.system(), addr, what)?;
        (self.start, self.len) = (addr, 0);
        if let Some((len, order)) = walker.ctx().at_hand(addr, &mut self.bytes) {
            (self.len, self.order) = (len, order);
        }
        Ok(found)
    }

    /// How many of the entries behind the one at `addr`, of `size` bytes each,
    /// are the same as this one; 0 if it is not at hand.
    pub fn repeats(&self, addr: FullAddr, size: u32) -> usize {
        let at = usize::try_from(addr.addr.wrapping_sub(self.start.addr)).ok();
        let known = at.filter(|_| addr.space == self.start.space).and_then(|at| self.bytes.get(at..self.len));
        let mut entries = known.unwrap_or_default().chunks_exact(size.max(1) as usize);
        entries.next().map_or(0, |first| entries.take_while(|entry| *entry == first).count())
    }

    fn get<const N: usize>(&self, addr: FullAddr) -> Option<[u8; N]> {
        if addr.space != self.start.space {
            return None;
        }
        let at = usize::try_from(addr.addr.wrapping_sub(self.start.addr)).ok()?;
        self.bytes.get(..self.len)?.get(at..)?.first_chunk().copied()
    }
}
