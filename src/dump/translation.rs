//! What contexts share that translate addresses alike.
//!
//! ```text
//! Context ──┐
//! Context ──┴─> Translation ─┐       a clone joins its original, or
//!                            ├─> Dump
//! Context ────> Translation ─┘       has a translation of its own
//! ```

use crate::attr::Scope;
use crate::sync::{Counted, Lock, Shared};
use crate::xlat::System;

use super::Dump;

/// The attributes `addrxlat.*` of a group of contexts, and what follows from
/// them.
pub(crate) struct Translation {
    dump: Counted<Dump>,
    scope: Scope,
    /// Whether the scope goes with this translation; the first one stays.
    split: bool,
    /// The newest system that anybody made, and how many changes it includes.
    newest: Lock<Option<(u64, Shared<System>)>>,
}

impl Translation {
    /// The translation of those who have none of their own.
    pub fn first(dump: &Counted<Dump>) -> Self {
        Translation {
            dump: dump.clone(),
            scope: dump.attributes.first_scope(),
            split: false,
            newest: Lock::new(None),
        }
    }

    /// Another one, which starts with the same attributes and goes its own way.
    pub fn split(&self) -> Self {
        let scope = self.dump.attributes.split_scope(&self.scope);
        Translation { dump: self.dump.clone(), scope, split: true, newest: Lock::new(None) }
    }

    /// The dump whose addresses are translated.
    pub fn dump(&self) -> &Counted<Dump> {
        &self.dump
    }

    /// The system, if somebody made one after the last of `changes`.
    pub fn system(&self, changes: u64) -> Option<Shared<System>> {
        let newest = self.newest.lock();
        newest.as_ref().filter(|(seen, _)| *seen >= changes).map(|(_, system)| system.clone())
    }

    /// Lets others use a system that includes so many changes.
    pub fn keep(&self, changes: u64, system: Shared<System>) {
        let mut newest = self.newest.lock();
        let old = match &*newest {
            Some((seen, _)) if *seen > changes => Some((changes, system)),
            _ => newest.replace((changes, system)),
        };
        drop(newest);
        drop(old);
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
