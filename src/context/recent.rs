//! The translation that was used last.
//!
//! Most reads go where the one before went: to the kernel's text, or to the
//! direct mapping, which are one run of addresses each. To know that this run
//! still holds takes three numbers, less than to look into the translations
//! that [`Ctx`](crate::xlat::Ctx) keeps.

use super::Context;
use crate::format::{Address, Space};

/// A run of addresses that translate alike.
#[derive(Clone, Copy)]
pub(super) struct Recent {
    source: Space,
    target: Space,
    first: u64,
    endoff: u64,
    /// Added to an address to get its translation.
    delta: u64,
    seen: Seen,
}

/// What was the case when the run was found.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// How often changed what translation is set up from.
    changes: u64,
    /// See [`Ctx::memory`](crate::xlat::Ctx::memory).
    memory: (u64, u64),
}

impl Recent {
    /// Has no addresses: nothing was translated.
    pub const NONE: Recent = Recent {
        source: Space::KernelVirtual,
        target: Space::KernelVirtual,
        first: 0,
        endoff: 0,
        delta: 0,
        // No count gets there.
        seen: Seen { changes: u64::MAX, memory: (u64::MAX, u64::MAX) },
    };
}

impl Context {
    #[inline]
    fn seen(&self) -> Option<Seen> {
        let memory = self.xlat.get()?.memory();
        Some(Seen { changes: self.translation.scope().changes(), memory })
    }

    /// The translation of an address, and for how many bytes more it goes on in
    /// parallel, if it is in the run that was used last.
    #[inline]
    pub(super) fn recent_translation(&self, address: Address) -> Option<(Address, u64)> {
        let recent = self.recent.get();
        let before = address.value.wrapping_sub(recent.first);
        let found = before <= recent.endoff && recent.source == address.space && self.seen()? == recent.seen;
        let value = address.value.wrapping_add(recent.delta);
        found.then(|| (Address { space: recent.target, value }, recent.endoff - before))
    }

    /// Keeps a run: `address`, `before` bytes before it and `after` bytes behind it
    /// go in parallel to those around `target`.
    pub(super) fn keep_recent(&self, address: Address, target: Address, before: u64, after: u64) {
        if let Some(seen) = self.seen() {
            self.recent.set(Recent {
                source: address.space,
                target: target.space,
                first: address.value.wrapping_sub(before),
                endoff: before.saturating_add(after),
                delta: target.value.wrapping_sub(address.value),
                seen,
            });
        }
    }
}
