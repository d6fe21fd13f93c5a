//! Bytes in memory, and pointers to other sources.

use super::ReadAt;
use crate::error::{Error, Result};
use crate::sync::Shared;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl ReadAt for [u8] {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let Some(rest) = usize::try_from(pos).ok().and_then(|pos| self.get(pos..)) else {
            return Ok(0);
        };
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn len(&self) -> Option<u64> {
        Some(<[u8]>::len(self) as u64)
    }

    fn borrow(&self, pos: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(pos).ok()?;
        self.get(start..start.checked_add(len)?)
    }
}

/// Forwards every method of [`ReadAt`] to `$inner`, an expression over `self`.
macro_rules! forward_read_at {
    ($self:ident => $inner:expr) => {
        fn read_at(&$self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            ReadAt::read_at($inner, pos, buf)
        }

        fn read_once(&$self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            ReadAt::read_once($inner, pos, buf)
        }

        fn len(&$self) -> Option<u64> {
            ReadAt::len($inner)
        }

        fn borrow(&$self, pos: u64, len: usize) -> Option<&[u8]> {
            ReadAt::borrow($inner, pos, len)
        }

        fn borrow_error(&$self) -> Option<Error> {
            ReadAt::borrow_error($inner)
        }
    };
}

impl ReadAt for Vec<u8> {
    forward_read_at!(self => self.as_slice());
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    forward_read_at!(self => &**self);
}

impl<T: ReadAt + ?Sized> ReadAt for Box<T> {
    forward_read_at!(self => &**self);
}

impl<T: ReadAt + ?Sized> ReadAt for Shared<T> {
    forward_read_at!(self => &**self);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{Source, read_full, read_zero_filled};
    use alloc::vec;

    fn check(source: impl ReadAt) {
        assert_eq!(ReadAt::len(&source), Some(5));
        let mut buf = [9; 4];
        assert_eq!(source.read_at(3, &mut buf), Ok(2));
        assert_eq!(buf, [4, 5, 9, 9]);
        assert_eq!(source.read_at(5, &mut buf), Ok(0));
        assert_eq!(source.read_at(u64::MAX, &mut buf), Ok(0));
        assert_eq!(ReadAt::borrow(&source, 1, 4), Some(&[2, 3, 4, 5][..]));
        assert_eq!(ReadAt::borrow(&source, 5, 0), Some(&[][..]));
        assert_eq!(ReadAt::borrow(&source, 2, 4), None);
        assert_eq!(ReadAt::borrow(&source, u64::MAX, 4), None);
        assert_eq!(ReadAt::borrow(&source, 1, usize::MAX), None);
        assert!(source.borrow_error().is_none());
    }

    #[test]
    fn every_holder_of_bytes_is_a_source() {
        static BYTES: [u8; 5] = [1, 2, 3, 4, 5];
        check(&BYTES[..]);
        check(BYTES.to_vec());
        check(BYTES.to_vec().into_boxed_slice());
        check(Shared::<[u8]>::from(&BYTES[..]));
        check(Shared::new(BYTES.to_vec()) as Source);
        check(&(Shared::new(&BYTES[..]) as Source));
    }

    #[test]
    fn what_lies_behind_the_end_is_zero() {
        let source = vec![7u8; 3];
        let mut buf = [9; 5];
        assert_eq!(read_full(&source, 1, &mut buf), Ok(2));
        assert_eq!(buf, [7, 7, 9, 9, 9]);
        read_zero_filled(&source, 1, &mut buf).unwrap();
        assert_eq!(buf, [7, 7, 0, 0, 0]);
        read_zero_filled(&source, u64::MAX - 1, &mut buf).unwrap();
        assert_eq!(buf, [0; 5]);
    }

    /// One byte at a time, and a lie about the fifth.
    struct Dribble;

    impl ReadAt for Dribble {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            if pos == 4 {
                return Ok(buf.len() + 1);
            }
            let Some(first) = buf.first_mut() else { return Ok(0) };
            *first = pos as u8;
            Ok(1)
        }
    }

    #[test]
    fn short_reads_are_continued_and_a_boastful_source_is_an_error() {
        let mut buf = [0; 4];
        assert_eq!(read_full(&Dribble, 0, &mut buf), Ok(4));
        assert_eq!(buf, [0, 1, 2, 3]);
        let error = read_full(&Dribble, 2, &mut buf).unwrap_err();
        assert_eq!(error.message(), "Read returned more bytes than asked for");
    }
}
