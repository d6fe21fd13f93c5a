//! What contexts share that translate addresses alike.
//!
//! ```text
//! Context ──┐
//! Context ──┴─> Translation ─┐       a clone joins its original, or
//!                            ├─> Dump
//! Context ────> Translation ─┘       has a translation of its own
//! ```

use crate::attr::Scope;
use crate::sync::Counted;

use super::Dump;

/// The attributes `addrxlat.*` of a group of contexts, and what follows from
/// them.
pub(crate) struct Translation {
    dump: Counted<Dump>,
    scope: Scope,
    /// Whether the scope goes with this translation; the first one stays.
    split: bool,
}

impl Translation {
    /// The translation of those who have none of their own.
    pub fn first(dump: &Counted<Dump>) -> Self {
        Translation { dump: dump.clone(), scope: dump.attributes.first_scope(), split: false }
    }

    /// Another one, which starts with the same attributes and goes its own way.
    pub fn split(&self) -> Self {
        let scope = self.dump.attributes.split_scope(&self.scope);
        Translation { dump: self.dump.clone(), scope, split: true }
    }

    /// Where paths into `addrxlat` lead.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }
}

impl Drop for Translation {
    fn drop(&mut self) {
        if self.split {
            self.dump.attributes.leave_scope(&self.scope);
        }
    }
}
