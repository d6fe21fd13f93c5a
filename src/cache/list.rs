//! Doubly linked lists of slots, most recently used first, without allocation.

/// No slot.
const NONE: u32 = u32::MAX;

/// The place of a slot in the list it is in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    newer: u32,
    older: u32,
}

impl Default for Link {
    fn default() -> Self {
        Link { newer: NONE, older: NONE }
    }
}

impl Link {
    /// The slot used next after this one.
    pub fn newer(self) -> Option<u32> {
        (self.newer != NONE).then_some(self.newer)
    }
}

/// Where the links of the slots are kept.
pub(super) trait Links {
    fn link(&mut self, slot: u32) -> &mut Link;
}

/// A list; the slots hold the links.
pub(super) struct List {
    first: u32,
    last: u32,
    len: usize,
}

impl Default for List {
    fn default() -> Self {
        List { first: NONE, last: NONE, len: 0 }
    }
}

impl List {
    pub fn len(&self) -> usize {
        self.len
    }

    /// The least recently used slot.
    pub fn last(&self) -> Option<u32> {
        (self.last != NONE).then_some(self.last)
    }

    /// Puts a slot, which is in no list, at the most recent end.
    pub fn push(&mut self, slot: u32, links: &mut impl Links) {
        *links.link(slot) = Link { newer: NONE, older: self.first };
        match self.first {
            NONE => self.last = slot,
            first => links.link(first).newer = slot,
        }
        self.first = slot;
        self.len += 1;
    }

    /// Takes a slot out of this list.
    pub fn unlink(&mut self, slot: u32, links: &mut impl Links) {
        let Link { newer, older } = core::mem::take(links.link(slot));
        match newer {
            NONE => self.first = older,
            newer => links.link(newer).older = older,
        }
        match older {
            NONE => self.last = newer,
            older => links.link(older).newer = newer,
        }
        self.len -= 1;
    }
}
