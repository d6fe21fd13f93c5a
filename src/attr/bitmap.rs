//! Bitmaps: sets of page frame numbers as objects of their own.

use alloc::vec::Vec;
use core::any::Any;

use super::companion::Companion;
use crate::error::{Error, Result};
use crate::sync::{Counted, MaybeSend, MaybeSync, Shared};

/// What a [`Bitmap`] asks: the place where the bits really are.
///
/// An implementation owns (or shares) what it needs, so that a bitmap stays
/// valid after the dump was closed or opened anew.
pub trait BitSource: MaybeSend + MaybeSync {
    /// First set bit at or above `from` and the first clear bit above it, in
    /// one step: the run `[start, end)`, cut off at the left by `from`.
    /// `None` if no bit is set from there on. The end may fall short of the
    /// true end of the run; the next call then continues it.
    ///
    /// # Errors
    /// What reading the bits from the file says.
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>>;
}

/// A set of page frame numbers; a handle that can be cloned and kept.
#[derive(Clone)]
pub struct Bitmap(Counted<Inner>);

struct Inner {
    source: Shared<dyn BitSource>,
    companion: Companion,
}

impl Bitmap {
    /// A bitmap over `source`.
    pub fn new(source: Shared<dyn BitSource>) -> Self {
        Bitmap(Counted::new(Inner { source, companion: Companion::new() }))
    }

    /// Bits `first` to `last` (inclusive): bit *i* of the range is bit `i % 8`
    /// (least significant first) of byte `i / 8`. Unused bits are zero, and so
    /// is everything behind the last page. `out` must have room for
    /// `(last - first) / 8 + 1` bytes; more bytes are left as they are.
    ///
    /// # Errors
    /// `Invalid` for a range that ends before it begins or does not fit `out`.
    pub fn bits(&self, first: u64, last: u64, out: &mut [u8]) -> Result<()> {
        let length = last.checked_sub(first).ok_or_else(|| Error::invalid("Range ends before it begins"))?;
        let bytes = usize::try_from(length / 8)
            .ok()
            .and_then(|whole| out.get_mut(..=whole))
            .ok_or_else(|| Error::invalid("Buffer is too small for the range of bits"))?;
        bytes.fill(0);
        let mut from = first;
        while let Some((start, end)) = self.0.source.run(from)? {
            if start > last {
                break;
            }
            if end <= from {
                break;
            }
            let stop = end.min(last.saturating_add(1));
            set_range(bytes, start.saturating_sub(first), stop - first);
            if stop > last {
                break;
            }
            from = end;
        }
        // PFN 2^64-1 cannot be the open end of a run; it is never a page.
        Ok(())
    }

    /// The smallest set bit at or above `from`.
    ///
    /// # Errors
    /// `NoData` (`No such bit found`) if there is none.
    pub fn find_set(&self, from: u64) -> Result<u64> {
        self.0
            .source
            .run(from)?
            .map(|(start, _)| start.max(from))
            .ok_or_else(|| Error::no_data("No such bit found"))
    }

    /// The smallest clear bit at or above `from`.
    ///
    /// # Errors
    /// What reading the bits from the file says.
    pub fn find_clear(&self, from: u64) -> Result<u64> {
        let mut at = from;
        while let Some((start, end)) = self.0.source.run(at)? {
            if start > at || end <= at {
                break;
            }
            at = end;
        }
        Ok(at)
    }

    /// The maximal runs of set bits as inclusive ranges, in ascending order.
    ///
    /// # Errors
    /// The iterator yields what reading the bits from the file says, behind the
    /// run that was found before, and ends.
    pub fn ranges(&self) -> Ranges<'_> {
        Ranges { bitmap: self, next: Next::From(0) }
    }

    /// Whether both handles denote one object.
    pub fn same_object(&self, other: &Bitmap) -> bool {
        Counted::ptr_eq(&self.0, &other.0)
    }

    /// How many handles of this object there are, for front ends that show
    /// reference counts. Other threads may change it at any time.
    pub fn handles(&self) -> usize {
        Counted::strong_count(&self.0)
    }

    /// Something that belongs to this object and lives as long as it does: the
    /// object of another language that stands for it. It is made when it is
    /// first asked for, and is none if there is one of another type.
    pub fn companion<T: Any + MaybeSend + MaybeSync>(&self, make: impl FnOnce() -> T) -> Option<Shared<T>> {
        self.0.companion.get_or_make(make)
    }
}

/// Iterator over the runs of a [`Bitmap`]: inclusive `(first, last)`.
pub struct Ranges<'a> {
    bitmap: &'a Bitmap,
    next: Next,
}

/// How an iteration goes on.
enum Next {
    /// With the first run at or above this bit.
    From(u64),
    /// With an error, behind a run that goes up to where the error is.
    Failed(Error),
    End,
}

impl Iterator for Ranges<'_> {
    type Item = Result<(u64, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        let source = &self.bitmap.0.source;
        let from = match core::mem::replace(&mut self.next, Next::End) {
            Next::From(from) => from,
            Next::Failed(error) => return Some(Err(error)),
            Next::End => return None,
        };
        let (start, mut end) = match source.run(from) {
            Ok(Some((start, end))) => (start.max(from), end),
            Ok(None) => return None,
            Err(error) => return Some(Err(error)),
        };
        if end <= start {
            return None;
        }
        // A source may tell a run in parts.
        self.next = loop {
            match source.run(end) {
                Ok(Some((next, further))) if next <= end && further > end => end = further,
                Ok(_) => break Next::From(end),
                Err(error) => break Next::Failed(error),
            }
        };
        Some(Ok((start, end - 1)))
    }
}

/// Sets bits `[start, end)`, least significant bit first.
fn set_range(bytes: &mut [u8], start: u64, end: u64) {
    let mut at = start;
    while at < end {
        let Some(byte) = usize::try_from(at / 8).ok().and_then(|index| bytes.get_mut(index)) else {
            return;
        };
        if at.is_multiple_of(8) && end - at >= 8 {
            *byte = 0xff;
            at += 8;
        } else {
            *byte |= 1 << (at % 8);
            at += 1;
        }
    }
}

/// Bits that are known as sorted, disjoint, not adjacent runs `[start, end)`.
pub struct RunList(Vec<(u64, u64)>);

impl RunList {
    /// From runs in any order; they may overlap or touch.
    pub fn new(mut runs: Vec<(u64, u64)>) -> Self {
        runs.retain(|(start, end)| start < end);
        runs.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(runs.len());
        for (start, end) in runs {
            match merged.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        RunList(merged)
    }

    /// The runs `[start, end)` in ascending order.
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.0
    }
}

impl BitSource for RunList {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let at = self.0.partition_point(|run| run.1 <= from);
        Ok(self.0.get(at).map(|&(start, end)| (start.max(from), end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn bitmap(runs: Vec<(u64, u64)>) -> Bitmap {
        Bitmap::new(Shared::new(RunList::new(runs)))
    }

    #[test]
    fn every_index_agrees_with_a_plain_model() {
        let runs = vec![(3, 5), (5, 6), (9, 9), (20, 40), (30, 47), (64, 65)];
        let model: Vec<bool> = (0..80).map(|i| runs.iter().any(|r| (r.0..r.1).contains(&i))).collect();
        let bitmap = bitmap(runs);
        for first in 0..70usize {
            let set = (first..80).find(|i| model[*i]).map(|i| i as u64);
            assert_eq!(bitmap.find_set(first as u64).ok(), set);
            let clear = (first..80).find(|i| !model[*i]).unwrap() as u64;
            assert_eq!(bitmap.find_clear(first as u64).unwrap(), clear);
            for last in first..79 {
                let mut bytes = [0xaa; 11];
                bitmap.bits(first as u64, last as u64, &mut bytes).unwrap();
                let used = (last - first) / 8 + 1;
                for i in 0..used * 8 {
                    let expected = first + i <= last && model[first + i];
                    assert_eq!(bytes[i / 8] >> (i % 8) & 1 == 1, expected, "{first} {last} {i}");
                }
                assert_eq!(bytes[used..], [0xaa; 11][used..]);
            }
        }
        let ranges: Vec<_> = bitmap.ranges().map(Result::unwrap).collect();
        assert_eq!(ranges, [(3, 5), (20, 46), (64, 64)]);
    }

    /// Bits of which those from `end` on cannot be read; runs come bit by bit.
    struct Broken {
        bits: RunList,
        end: u64,
    }

    impl BitSource for Broken {
        fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
            match self.bits.run(from)? {
                Some((start, _)) if start < self.end => Ok(Some((start, start + 1))),
                _ => Err(Error::system("Input/output error")),
            }
        }
    }

    #[test]
    fn the_run_in_front_of_an_error_is_told_before_the_error() {
        let bits = RunList::new(vec![(3, 5), (8, 20)]);
        let bitmap = Bitmap::new(Shared::new(Broken { bits, end: 11 }));
        let told: Vec<_> = bitmap.ranges().map(|run| run.map_err(|error| error.message())).take(5).collect();
        assert_eq!(told, [Ok((3, 4)), Ok((8, 10)), Err("Input/output error".into())]);
        let bitmap = Bitmap::new(Shared::new(Broken { bits: RunList::new(vec![]), end: 0 }));
        assert_eq!(bitmap.ranges().map(|run| run.is_ok()).collect::<Vec<_>>(), [false]);
    }

    #[test]
    fn no_bit_found_says_so() {
        let error = bitmap(vec![(1, 2)]).find_set(2).unwrap_err();
        assert_eq!((error.status(), error.message().as_str()), (crate::Status::NoData, "No such bit found"));
        assert!(bitmap(vec![]).bits(2, 1, &mut [0]).is_err());
        assert!(bitmap(vec![]).bits(0, 8, &mut [0]).is_err());
    }
}
