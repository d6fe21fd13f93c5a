//! Maps: which method translates which addresses.
//!
//! ```text
//!   0               0x7fff..        0xffff8000..                    2^64 - 1
//!   |---- PGT ------|----- NONE -----|------ DIRECT ------|--- PGT -----|
//! ```
//!
//! A map that has been set once covers the whole space, and no two neighbours
//! have the same method. So it is a list of ends, searched by halves.

use alloc::vec::Vec;
use core::fmt;

use super::error::{Error, Result, Status};

/// Names a method of a [`System`](super::System); any number may be stored in a
/// map, those without a method translate nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MethodIndex(pub i32);

impl MethodIndex {
    /// No method: the addresses are not mapped.
    pub const NONE: MethodIndex = MethodIndex(-1);
    /// The kernel's page table.
    pub const PGT: MethodIndex = MethodIndex(0);
    /// A user page table.
    pub const UPGT: MethodIndex = MethodIndex(1);
    /// The direct mapping of physical memory.
    pub const DIRECT: MethodIndex = MethodIndex(2);
    /// The kernel's text.
    pub const KTEXT: MethodIndex = MethodIndex(3);
    /// The array of page structures (IBM POWER).
    pub const VMEMMAP: MethodIndex = MethodIndex(4);
    /// Physical memory to the direct mapping.
    pub const RDIRECT: MethodIndex = MethodIndex(5);
    /// Machine physical to kernel physical addresses.
    pub const MACHPHYS_KPHYS: MethodIndex = MethodIndex(6);
    /// Kernel physical to machine physical addresses.
    pub const KPHYS_MACHPHYS: MethodIndex = MethodIndex(7);
    /// The first of eight methods that belong to the user.
    pub const CUSTOM: MethodIndex = MethodIndex(8);
    /// How many methods a system has.
    pub const COUNT: usize = 16;

    /// The place of the method in a system; none for other numbers.
    pub(super) fn slot(self) -> Option<usize> {
        usize::try_from(self.0).ok().filter(|&slot| slot < Self::COUNT)
    }
}

impl fmt::Debug for MethodIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 9] = [
            "NONE",
            "PGT",
            "UPGT",
            "DIRECT",
            "KTEXT",
            "VMEMMAP",
            "RDIRECT",
            "MACHPHYS_KPHYS",
            "KPHYS_MACHPHYS",
        ];
        match usize::try_from(i64::from(self.0) + 1).ok().and_then(|place| NAMES.get(place)) {
            Some(name) => f.write_str(name),
            None => write!(f, "MethodIndex({})", self.0),
        }
    }
}

/// A run of addresses that have the same method.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub first: u64,
    /// The last address.
    pub last: u64,
    /// The method of all of them.
    pub method: MethodIndex,
}

impl Range {
    /// The size of the range in bytes less one, which always fits.
    pub const fn endoff(&self) -> u64 {
        self.last.wrapping_sub(self.first)
    }
}

/// As lists of layouts write it: `0xffff888000000000-0xffff88ffffffffff: DIRECT`.
impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}-{:#x}: {:?}", self.first, self.last, self.method)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Run {
    last: u64,
    method: MethodIndex,
}

/// Assigns a method to each 64-bit address.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Map {
    /// In the order of addresses; the last one ends at the end of the space.
    runs: Vec<Run>,
}

impl Map {
    /// A map without ranges: nothing is mapped.
    pub const fn new() -> Self {
        Map { runs: Vec::new() }
    }

    /// Gives `method` to the `endoff` + 1 addresses from `first` on.
    ///
    /// [`MethodIndex::NONE`] takes their method away. From the first success on
    /// the map covers the whole space.
    ///
    /// # Errors
    ///
    /// The map is then as it was; there is no message.
    ///
    /// * `Invalid`: the range does not end before the end of the space.
    /// * `NoMemory`.
    pub fn set(&mut self, first: u64, endoff: u64, method: MethodIndex) -> Result<()> {
        const WHOLE: [Run; 1] = [Run { last: u64::MAX, method: MethodIndex::NONE }];

        let last = first.checked_add(endoff).ok_or(Error::bare(Status::Invalid))?;
        let old = if self.runs.is_empty() { &WHOLE[..] } else { &self.runs[..] };
        let mut runs: Vec<Run> = Vec::new();
        // The new range splits one run at most.
        runs.try_reserve_exact(old.len().saturating_add(2)).map_err(|_| Error::bare(Status::NoMemory))?;
        let mut push = |run: Run| match runs.last_mut() {
            Some(before) if before.method == run.method => before.last = run.last,
            _ => runs.push(run),
        };
        let mut start = 0;
        let mut placed = false;
        for &run in old {
            if start < first {
                push(Run { last: run.last.min(first - 1), ..run });
            }
            if run.last >= first && !placed {
                push(Run { last, method });
                placed = true;
            }
            if run.last > last {
                push(run);
            }
            start = run.last.wrapping_add(1);
        }
        self.runs = runs;
        Ok(())
    }

    /// Removes all ranges; the map is then as a new one.
    pub fn clear(&mut self) {
        self.runs.clear();
    }

    /// The method of `addr`.
    pub fn search(&self, addr: u64) -> MethodIndex {
        self.find(addr).method
    }

    /// The range that contains `addr`; all the space without a method if the
    /// map is empty.
    pub fn find(&self, addr: u64) -> Range {
        let place = self.runs.partition_point(|run| run.last < addr);
        self.range(place).unwrap_or(Range { first: 0, last: u64::MAX, method: MethodIndex::NONE })
    }

    fn range(&self, place: usize) -> Option<Range> {
        let &Run { last, method } = self.runs.get(place)?;
        let first = match place.checked_sub(1) {
            Some(before) => self.runs.get(before)?.last.wrapping_add(1),
            None => 0,
        };
        Some(Range { first, last, method })
    }

    /// The number of ranges.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there are no ranges.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The ranges in the order of their addresses.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range> + '_ {
        let mut first = 0;
        self.runs.iter().map(move |&Run { last, method }| {
            let range = Range { first, last, method };
            first = last.wrapping_add(1);
            range
        })
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ranges()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: MethodIndex = MethodIndex(1);
    const B: MethodIndex = MethodIndex(2);
    const NONE: MethodIndex = MethodIndex::NONE;

    fn map(sets: &[(u64, u64, MethodIndex)]) -> Map {
        let mut map = Map::new();
        for &(first, last, method) in sets {
            map.set(first, last - first, method).unwrap();
        }
        map
    }

    fn runs(sets: &[(u64, u64, MethodIndex)]) -> Vec<(u64, MethodIndex)> {
        map(sets).ranges().map(|range| (range.last, range.method)).collect()
    }

    #[test]
    fn new_map_maps_nothing_and_first_set_covers_all() {
        assert_eq!((Map::new().len(), Map::new().search(5)), (0, NONE));
        assert_eq!(runs(&[(0, u64::MAX, A)]), [(u64::MAX, A)]);
        assert_eq!(runs(&[(7, 9, NONE)]), [(u64::MAX, NONE)]);
        assert_eq!(runs(&[(7, 9, A)]), [(6, NONE), (9, A), (u64::MAX, NONE)]);
        assert_eq!(runs(&[(0, 9, A)]), [(9, A), (u64::MAX, NONE)]);
        assert_eq!(runs(&[(7, u64::MAX, A)]), [(6, NONE), (u64::MAX, A)]);
    }

    #[test]
    fn neighbours_of_one_method_are_one_range() {
        assert_eq!(runs(&[(10, 19, A), (20, 29, A)]), [(9, NONE), (29, A), (u64::MAX, NONE)]);
        assert_eq!(runs(&[(10, 19, A), (0, 9, A)]), [(19, A), (u64::MAX, NONE)]);
        assert_eq!(runs(&[(10, 29, A), (15, 19, B), (15, 19, A)]), runs(&[(10, 29, A)]));
        assert_eq!(runs(&[(10, 29, A), (0, 100, NONE)]), [(u64::MAX, NONE)]);
        assert_eq!(
            runs(&[(10, 29, A), (15, 19, B)]),
            [(9, NONE), (14, A), (19, B), (29, A), (u64::MAX, NONE)]
        );
        assert_eq!(runs(&[(10, 19, A), (30, 39, A), (15, 34, B)])[1..4], [(14, A), (34, B), (39, A)]);
    }

    #[test]
    fn range_beyond_the_end_of_the_space_changes_nothing() {
        let mut map = map(&[(1, 2, A)]);
        let before = map.clone();
        assert_eq!(map.set(u64::MAX - 0xfff, 0x1fff, B), Err(Error::bare(Status::Invalid)));
        assert_eq!(map, before);
    }

    #[test]
    fn cleared_map_is_as_new_and_copy_is_independent() {
        let mut original = map(&[(1, 2, A)]);
        let copy = original.clone();
        original.clear();
        assert_eq!(original, Map::new());
        assert_eq!(copy.search(2), A);
        assert_eq!(copy.find(3), Range { first: 3, last: u64::MAX, method: NONE });
    }
}
