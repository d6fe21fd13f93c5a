//! The error of the last call.

use core::cell::{Cell, RefCell};

use crate::error::Error;

/// An error, or none: which of them is told by a flag, as each call forgets
/// the error of the one before, and most have none to forget.
#[derive(Default)]
pub(super) struct LastError {
    is_there: Cell<bool>,
    error: RefCell<Option<Error>>,
}

impl LastError {
    pub fn get(&self) -> Option<Error> {
        self.error.borrow().clone()
    }

    pub fn set(&self, error: Option<Error>) {
        self.is_there.set(error.is_some());
        self.error.replace(error);
    }

    #[inline]
    pub fn clear(&self) {
        if self.is_there.get() {
            self.set(None);
        }
    }
}
