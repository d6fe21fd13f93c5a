//! What a front end keeps with a shared object.

use core::any::Any;

use crate::sync::{MaybeSend, MaybeSync, OnceCell, Shared, SharedAny};

/// A place for one thing of a type that only the front end knows.
pub(super) struct Companion(OnceCell<SharedAny>);

impl Companion {
    pub fn new() -> Self {
        Companion(OnceCell::new())
    }

    /// What is here; made first if nothing is. None if it has another type.
    pub fn get_or_make<T: Any + MaybeSend + MaybeSync>(&self, make: impl FnOnce() -> T) -> Option<Shared<T>> {
        let kept = match self.0.get() {
            Some(kept) => kept,
            None => {
                let made: SharedAny = Shared::new(make());
                self.0.set_or_get(made)
            }
        };
        kept.clone().downcast().ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::attr::Blob;
    use crate::sync::Shared;
    use alloc::vec::Vec;

    #[test]
    fn companion_is_made_once_and_has_one_type() {
        let blob = Blob::new(Vec::new());
        let first = blob.companion(|| 1_u8).unwrap();
        assert!(Shared::ptr_eq(&first, &blob.clone().companion(|| 2_u8).unwrap()));
        assert!(blob.companion(|| 3_u16).is_none());
        assert_eq!((*first, blob.handles()), (1, 1));
    }
}
