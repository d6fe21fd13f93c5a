//! A bound on what may begin while it is under way already.
//!
//! Code of the user that is asked in the middle of something can begin the same
//! thing again, by an object that nobody knows to be related: this would go on
//! until the stack ends, or branch until nobody waits for it any more.

use alloc::vec::Vec;

use super::{Unseen, caller};

/// How much may be under way at a time. A stack of 2 MiB has room for it.
const ACTIVE_MAX: u32 = 32;
/// How much may begin before all of it has ended.
const BEGUN_MAX: u32 = 4096;

/// What one caller has under way. Where threads cannot be told apart, all are
/// one caller.
struct Row {
    caller: usize,
    active: u32,
    begun: u32,
}

/// Counts what is under way.
#[derive(Default)]
pub struct Nesting(Unseen<Vec<Row>>);

/// While it lives, something is under way.
pub struct Nested<'a> {
    all: &'a Nesting,
    caller: usize,
}

impl Nesting {
    /// Begins something, unless too much is under way.
    pub fn begin(&self) -> Option<Nested<'_>> {
        let caller = caller();
        let mut rows = self.0.lock();
        match rows.iter_mut().find(|row| row.caller == caller) {
            Some(row) if row.active >= ACTIVE_MAX || row.begun >= BEGUN_MAX => return None,
            Some(row) => {
                row.active += 1;
                row.begun += 1;
            }
            None => rows.push(Row { caller, active: 1, begun: 1 }),
        }
        Some(Nested { all: self, caller })
    }
}

impl Drop for Nested<'_> {
    fn drop(&mut self) {
        let mut rows = self.all.0.lock();
        if let Some(row) = rows.iter_mut().find(|row| row.caller == self.caller) {
            row.active -= 1;
        }
        rows.retain(|row| row.active > 0);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn only_so_much_is_under_way_at_a_time() {
        let nesting = Nesting::default();
        let mut held: Vec<_> = (0..ACTIVE_MAX).map(|_| nesting.begin().expect("within the bound")).collect();
        assert!(nesting.begin().is_none());
        held.pop();
        let again = nesting.begin();
        assert!(again.is_some() && nesting.begin().is_none());
        drop((held, again));
        assert!(nesting.begin().is_some());
    }

    #[test]
    fn only_so_much_begins_before_all_has_ended() {
        let nesting = Nesting::default();
        let outer = nesting.begin();
        let begun = (0..2 * BEGUN_MAX).filter(|_| nesting.begin().is_some()).count();
        assert_eq!(begun, BEGUN_MAX as usize - 1);
        drop(outer);
        assert!(nesting.begin().is_some());
    }
}
