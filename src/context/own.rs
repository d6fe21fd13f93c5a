//! What belongs to one context alone: private data and callbacks.
//!
//! A clone starts with what its original has. Afterwards each goes its own
//! way: what is set in one never appears in another.

use core::any::Any;

use super::Context;
use crate::error::Result;
use crate::sync::{Fault, Lock, MaybeSend, MaybeSync, Shared, SharedAny, WeakShared, broken};

/// Knows symbols that VMCOREINFO does not.
///
/// Closures of the same form are symbol callbacks. It is called with the
/// context that needs the symbol, without any lock held, and may read from
/// that context. As long as translation is being set up, neither the context nor
/// clones of it that are made meanwhile translate anything. One that asks other
/// contexts of the same dump, which ask it again, is stopped with `Busy`.
pub trait SymbolValue: MaybeSend + MaybeSync {
    /// The address of symbol `name`.
    ///
    /// # Errors
    /// `NoData` if it is not known either; any error is passed on.
    fn symbol_value(&self, dump: &Context, name: &str) -> Result<u64>;
}

impl<F: Fn(&Context, &str) -> Result<u64> + MaybeSend + MaybeSync> SymbolValue for F {
    fn symbol_value(&self, dump: &Context, name: &str) -> Result<u64> {
        self(dump, name)
    }
}

/// Functions of the user that a context asks for what a dump does not say.
#[derive(Clone, Default)]
pub struct Callbacks {
    /// Addresses of symbols.
    pub symbol_value: Option<Shared<dyn SymbolValue>>,
}

/// The part of a context that no other one sees. It has locks although only
/// one thread uses it at a time, because the context may move to another.
#[derive(Default)]
pub(super) struct Own {
    // Shared, so that nothing of the user runs while something is locked.
    private: Lock<Option<SharedAny>>,
    callbacks: Lock<Shared<Callbacks>>,
    /// The set-up of translation that is under way for this context.
    building: Lock<Option<Shared<SetUp>>>,
    /// The set-up during which this context was made from another one. Until it
    /// ends, the two are as one: whoever is asked for a symbol by a set-up, and
    /// reads by clones of the context that asks, would be asked by those.
    within: Option<WeakShared<SetUp>>,
}

/// It is dropped when the set-up ends.
struct SetUp;

/// While it lives, translation is being set up.
pub(super) struct Building<'a>(&'a Lock<Option<Shared<SetUp>>>);

impl Drop for Building<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Own {
    /// What a clone starts with.
    pub fn copy(&self) -> Self {
        if broken(Fault::LostOwn) {
            return Own::default();
        }
        let building = self.building.lock().as_ref().map(Shared::downgrade);
        Own {
            building: Lock::new(None),
            within: building.or_else(|| self.within.clone()),
            private: Lock::new(self.private.lock().clone()),
            callbacks: Lock::new(self.callbacks()),
        }
    }

    /// Begins to set translation up, unless that is under way, also for the
    /// context that this one was made from.
    pub fn begin_building(&self) -> Option<Building<'_>> {
        if self.within.as_ref().is_some_and(|outer| outer.strong_count() > 0) {
            return None;
        }
        let mut building = self.building.lock();
        if building.is_some() {
            return None;
        }
        *building = Some(Shared::new(SetUp));
        Some(Building(&self.building))
    }

    /// The callbacks as they are now.
    pub fn callbacks(&self) -> Shared<Callbacks> {
        self.callbacks.lock().clone()
    }
}

impl Context {
    /// Keeps `data` for [`Context::private_data`], instead of what was kept
    /// before. A clone starts with the same data; setting others in one of
    /// the two leaves those of the other alone.
    ///
    /// ```
    /// # use kdumpfile::Context;
    /// let dump = Context::new();
    /// dump.set_private_data(String::from("session 1"));
    /// let clone = dump.clone();
    /// clone.set_private_data(2);
    /// assert_eq!(*dump.private_data::<String>().unwrap(), "session 1");
    /// assert_eq!(clone.private_data::<i32>().as_deref(), Some(&2));
    /// assert!(clone.private_data::<String>().is_none());
    /// ```
    pub fn set_private_data<T: Any + MaybeSend + MaybeSync>(&self, data: T) {
        let data: SharedAny = Shared::new(data);
        // Dropped unlocked: it may run code of the user.
        let old = self.own.private.lock().replace(data);
        drop(old);
    }

    /// Forgets the private data.
    pub fn clear_private_data(&self) {
        let old = self.own.private.lock().take();
        drop(old);
    }

    /// The private data, if they are a `T`.
    pub fn private_data<T: Any + MaybeSend + MaybeSync>(&self) -> Option<Shared<T>> {
        let data = self.own.private.lock().clone();
        data.and_then(|data| data.downcast().ok())
    }

    /// The callbacks of this context.
    pub fn callbacks(&self) -> Callbacks {
        (*self.own.callbacks()).clone()
    }

    /// Replaces the callbacks of this context and returns those it had.
    pub fn set_callbacks(&self, callbacks: Callbacks) -> Callbacks {
        let old = core::mem::replace(&mut *self.own.callbacks.lock(), Shared::new(callbacks));
        Shared::try_unwrap(old).unwrap_or_else(|shared| (*shared).clone())
    }
}
