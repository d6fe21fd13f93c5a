//! `file.mmap_policy`: look at the bytes of a file in place, or read them.

use super::{ReadAt, Source};
use crate::error::{Error, Result};
use crate::sync::{Counter, MaybeSend, MaybeSync, OnceCell, RwLock, Shared};
use core::ops::Deref;

/// Whether the bytes of files are used in place, and how often that happened.
///
/// Shared by the clones of a dump. The number is the one of attribute
/// `file.mmap_policy`; changing it takes effect with the next access.
///
/// | number | name | meaning |
/// | --- | --- | --- |
/// | 0 | never | always read |
/// | 1 | always | an error where the bytes cannot be had in place |
/// | 2 | try | in place where possible, else read; so does any unknown number |
/// | 3 | try once | the first access decides between 0 and 1 |
pub struct MmapPolicy {
    number: Line<Counter>,
    /// Accesses answered in place (`file.mmap_cache.hits`).
    pub mmap_hits: Counter,
    /// First accesses in place to a file, and those that failed
    /// (`file.mmap_cache.misses`).
    pub mmap_misses: Counter,
    /// Accesses answered from bytes unpacked earlier (`file.read_cache.hits`).
    pub read_hits: Counter,
    /// Positioned reads (`file.read_cache.misses`).
    pub read_misses: Counter,
    watch: RwLock<Option<Shared<dyn Watch>>>,
}

/// Is told how far the unpacking of an archive is.
///
/// To find out where something is in an archive may take a pass over all that
/// is in front of it.
pub trait Watch: MaybeSend + MaybeSync {
    /// `done` of `total` bytes are unpacked. Both are positions in the archive,
    /// or in a block of it that has to be unpacked as a whole. Called by the
    /// thread that unpacks, once for each MiB or unit.
    fn unpacked(&self, done: u64, total: Option<u64>);
}

/// Keeps a value that everybody reads out of the cache lines of the counters
/// that everybody writes.
#[repr(align(128))]
struct Line<T>(T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl MmapPolicy {
    /// Always read.
    pub const NEVER: u64 = 0;
    /// Only in place.
    pub const ALWAYS: u64 = 1;
    /// In place where possible.
    pub const TRY: u64 = 2;
    /// The first access decides.
    pub const TRY_ONCE: u64 = 3;

    /// The policy with this number; all statistics are zero.
    pub fn new(number: u64) -> Self {
        MmapPolicy {
            number: Line(Counter::new(number)),
            mmap_hits: Counter::new(0),
            mmap_misses: Counter::new(0),
            read_hits: Counter::new(0),
            read_misses: Counter::new(0),
            watch: RwLock::new(None),
        }
    }

    /// Has `watch` told how far unpacking is from now on, or nobody.
    pub fn set_watch(&self, watch: Option<Shared<dyn Watch>>) {
        // The old one goes away unlocked: it may run code of the user.
        let old = core::mem::replace(&mut *self.watch.write(), watch);
        drop(old);
    }

    /// Tells who wants to know.
    #[cfg(feature = "archive")]
    pub(super) fn unpacked(&self, done: u64, total: Option<u64>) {
        let watch = self.watch.read().clone();
        if let Some(watch) = watch {
            watch.unpacked(done, total);
        }
    }

    /// The number, as it was set or as the first access of "try once" left it.
    pub fn get(&self) -> u64 {
        self.number.get()
    }

    /// Sets the number; unknown ones behave as [`TRY`](Self::TRY).
    pub fn set(&self, number: u64) {
        self.number.set(number);
    }

    /// Sets all statistics to zero.
    pub fn reset_statistics(&self) {
        for counter in [&self.mmap_hits, &self.mmap_misses, &self.read_hits, &self.read_misses] {
            counter.set(0);
        }
    }
}

impl Default for MmapPolicy {
    fn default() -> Self {
        Self::new(Self::TRY)
    }
}

/// A source to which a policy is applied.
pub(super) struct Governed {
    source: Source,
    policy: Shared<MmapPolicy>,
    /// Set once a byte of the source was used in place.
    seen: OnceCell<()>,
}

impl Governed {
    pub(super) fn new(source: Source, policy: Shared<MmapPolicy>) -> Self {
        Governed { source, policy, seen: OnceCell::new() }
    }

    fn in_place(&self, pos: u64, len: usize) -> Option<&[u8]> {
        let bytes = self.source.borrow(pos, len)?;
        if self.seen.get().is_some() {
            self.policy.mmap_hits.add(1);
        } else {
            self.seen.set_or_get(());
            self.policy.mmap_misses.add(1);
        }
        Some(bytes)
    }

    /// How many of `want` bytes from `pos` on exist, as far as the source knows.
    fn existing(&self, pos: u64, want: usize) -> usize {
        match self.source.len() {
            Some(len) => usize::try_from(len.saturating_sub(pos)).unwrap_or(usize::MAX).min(want),
            None => want,
        }
    }

    fn settle(&self, number: u64, worked: bool) {
        if number == MmapPolicy::TRY_ONCE {
            self.policy.set(if worked { MmapPolicy::ALWAYS } else { MmapPolicy::NEVER });
        }
    }
}

impl ReadAt for Governed {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let number = self.policy.get();
        if number != MmapPolicy::NEVER {
            let exist = self.existing(pos, buf.len());
            let bytes = if exist > 0 { self.in_place(pos, exist) } else { None };
            self.settle(number, bytes.is_some());
            if let Some(bytes) = bytes {
                buf[..bytes.len()].copy_from_slice(bytes);
                return Ok(bytes.len());
            }
            if exist > 0 {
                self.policy.mmap_misses.add(1);
            }
            if number == MmapPolicy::ALWAYS {
                return match exist {
                    0 => Ok(0),
                    _ => Err(self.borrow_error().unwrap_or_else(|| Error::system("Cannot map the file"))),
                };
            }
        }
        self.policy.read_misses.add(1);
        self.source.read_at(pos, buf)
    }

    fn read_once(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        if self.policy.get() == MmapPolicy::ALWAYS || buf.is_empty() {
            return self.read_at(pos, buf);
        }
        self.policy.read_misses.add(1);
        self.source.read_once(pos, buf)
    }

    fn len(&self) -> Option<u64> {
        self.source.len()
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        // A failure is counted by the read that follows it.
        let number = self.policy.get();
        if number == MmapPolicy::NEVER || len == 0 {
            return None;
        }
        let bytes = self.in_place(pos, len)?;
        self.settle(number, true);
        Some(bytes)
    }

    fn borrow_error(&self) -> Option<Error> {
        self.source.borrow_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn statistics(policy: &MmapPolicy) -> [u64; 4] {
        [&policy.mmap_hits, &policy.mmap_misses, &policy.read_hits, &policy.read_misses].map(Counter::get)
    }

    /// Has bytes, but not in memory.
    struct Stored(usize);

    impl ReadAt for Stored {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            let rest = self.0.saturating_sub(pos as usize).min(buf.len());
            buf[..rest].fill(1);
            Ok(rest)
        }
    }

    #[test]
    fn try_uses_bytes_in_place_and_counts_the_first_use_as_a_miss() {
        let policy = Shared::new(MmapPolicy::new(MmapPolicy::TRY));
        let source = Governed::new(Shared::new(vec![1; 10]), policy.clone());
        assert_eq!(source.read_at(8, &mut [0; 4]), Ok(2));
        assert_eq!(statistics(&policy), [0, 1, 0, 0]);
        assert_eq!(source.borrow(0, 10).map(<[u8]>::len), Some(10));
        assert_eq!(statistics(&policy), [1, 1, 0, 0]);
        policy.reset_statistics();
        assert_eq!(statistics(&policy), [0; 4]);
    }

    #[test]
    fn never_and_unmappable_sources_are_read() {
        let policy = Shared::new(MmapPolicy::new(MmapPolicy::NEVER));
        let source = Governed::new(Shared::new(vec![1; 10]), policy.clone());
        assert_eq!(source.borrow(0, 10), None);
        assert_eq!(source.read_at(0, &mut [0; 4]), Ok(4));
        assert_eq!(statistics(&policy), [0, 0, 0, 1]);

        policy.set(4711);
        let source = Governed::new(Shared::new(Stored(10)), policy.clone());
        assert_eq!(source.borrow(0, 4), None);
        assert_eq!(source.read_at(8, &mut [0; 4]), Ok(2));
        assert_eq!(statistics(&policy), [0, 1, 0, 2]);
        assert_eq!(policy.get(), 4711);
    }

    #[test]
    fn what_is_needed_once_is_read_unless_that_is_forbidden() {
        for (number, expected) in [
            (MmapPolicy::NEVER, [0, 0, 0, 1]),
            (MmapPolicy::ALWAYS, [0, 1, 0, 0]),
            (MmapPolicy::TRY, [0, 0, 0, 1]),
            (MmapPolicy::TRY_ONCE, [0, 0, 0, 1]),
        ] {
            let policy = Shared::new(MmapPolicy::new(number));
            let source = Governed::new(Shared::new(vec![1; 10]), policy.clone());
            let mut bytes = [0; 4];
            assert_eq!(source.read_once(8, &mut bytes), Ok(2));
            assert_eq!(bytes, [1, 1, 0, 0]);
            assert_eq!((statistics(&policy), policy.get()), (expected, number));
        }
    }

    #[test]
    fn always_fails_where_bytes_cannot_be_had_in_place() {
        let policy = Shared::new(MmapPolicy::new(MmapPolicy::ALWAYS));
        let source = Governed::new(Shared::new(Stored(10)), policy.clone());
        assert_eq!(source.read_at(0, &mut [0; 4]).unwrap_err().message(), "Cannot map the file");
        assert_eq!(statistics(&policy), [0, 1, 0, 0]);
    }

    #[test]
    fn try_once_becomes_what_the_first_access_shows() {
        for (source, after) in [
            (Shared::new(vec![1u8; 10]) as Source, MmapPolicy::ALWAYS),
            (Shared::new(Stored(10)) as Source, MmapPolicy::NEVER),
        ] {
            let policy = Shared::new(MmapPolicy::new(MmapPolicy::TRY_ONCE));
            let source = Governed::new(source, policy.clone());
            assert_eq!(source.read_at(0, &mut [0; 4]), Ok(4));
            assert_eq!(policy.get(), after);
            assert_eq!(source.read_at(0, &mut [0; 4]), Ok(4));
        }
    }
}
