//! Blobs: shared raw bytes that can be pinned.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::Any;

use super::companion::Companion;
use crate::error::{Error, Result, Status};
use crate::sync::{Counted, Counter, Fault, MaybeSend, MaybeSync, RwLock, Shared, broken};

/// Owns the bytes of a [`Blob`]: a vector, or memory that must go back to
/// whoever it came from.
///
/// The bytes stay where they are, and as many as they are, until it is dropped.
pub trait BlobBytes: AsRef<[u8]> + AsMut<[u8]> + MaybeSend + MaybeSync {}

impl<T: AsRef<[u8]> + AsMut<[u8]> + MaybeSend + MaybeSync> BlobBytes for T {}

/// Raw bytes shared by all who hold a clone of the handle.
///
/// The bytes may be replaced as a whole by [`Blob::set`], but not while
/// anybody has them pinned; writing a register of a CPU changes single bytes
/// in place and is always possible.
#[derive(Clone)]
pub struct Blob(Counted<Inner>);

struct Inner {
    bytes: RwLock<Box<dyn BlobBytes>>,
    pins: Counter,
    companion: Companion,
}

impl Blob {
    /// A blob that holds `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self::with_owner(bytes)
    }

    /// A blob whose bytes `owner` keeps: nothing is copied.
    pub fn with_owner(owner: impl BlobBytes + 'static) -> Self {
        Blob(Counted::new(Inner {
            bytes: RwLock::new(Box::new(owner)),
            pins: Counter::new(0),
            companion: Companion::new(),
        }))
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.bytes.read().as_ref().as_ref().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.bytes.read().as_ref().as_ref().to_vec()
    }

    /// Copies bytes from `offset` on into `out`, if they all exist.
    pub(crate) fn read_at(&self, offset: usize, out: &mut [u8]) -> bool {
        let bytes = self.0.bytes.read();
        let end = offset.checked_add(out.len());
        match end.and_then(|end| bytes.as_ref().as_ref().get(offset..end)) {
            Some(found) => {
                out.copy_from_slice(found);
                true
            }
            None => false,
        }
    }

    /// Overwrites bytes from `offset` on, if they all exist.
    pub(crate) fn write_at(&self, offset: usize, new: &[u8]) -> bool {
        let mut bytes = self.0.bytes.write();
        let end = offset.checked_add(new.len());
        match end.and_then(|end| bytes.as_mut().as_mut().get_mut(offset..end)) {
            Some(place) => {
                place.copy_from_slice(new);
                true
            }
            None => false,
        }
    }

    /// Keeps the bytes from being replaced until the guard is dropped.
    pub fn pin(&self) -> BlobPin {
        // The lock orders the pin with a `set` that is just looking.
        let _bytes = self.0.bytes.read();
        self.0.pins.add(1);
        BlobPin(self.clone())
    }

    /// Pins the bytes without a guard, for front ends whose users end pins
    /// themselves with [`Blob::unpin`], or never. Returns where the bytes are.
    pub fn pin_unguarded(&self) -> *const u8 {
        let bytes = self.0.bytes.read();
        self.0.pins.add(1);
        bytes.as_ref().as_ref().as_ptr()
    }

    /// Ends one [`Blob::pin_unguarded`]; returns how many pins are left.
    pub fn unpin(&self) -> u64 {
        // The lock keeps two of these from ending the same last pin.
        let _bytes = self.0.bytes.write();
        let pins = self.0.pins.get();
        if pins > 0 {
            self.0.pins.add(u64::MAX);
        }
        pins.saturating_sub(1)
    }

    /// How many pins there are.
    pub fn pins(&self) -> u64 {
        self.0.pins.get()
    }

    /// Replaces the bytes.
    ///
    /// # Errors
    /// [`Status::Busy`] without a text while the blob is pinned; nothing changes then.
    pub fn set(&self, new: Vec<u8>) -> Result<()> {
        self.set_owner(|| new)
    }

    /// Replaces the bytes by those that an owner keeps, which is only made if
    /// that is possible. The owner that was there before is dropped.
    ///
    /// # Errors
    /// Those of [`Blob::set`].
    pub fn set_owner<T: BlobBytes + 'static>(&self, new: impl FnOnce() -> T) -> Result<()> {
        let mut bytes = self.0.bytes.write();
        if self.0.pins.get() > 0 && !broken(Fault::IgnoredPin) {
            return Err(Error::bare(Status::Busy));
        }
        let old = core::mem::replace(&mut *bytes, Box::new(new()));
        // It may be the user's, so not under the lock.
        drop(bytes);
        drop(old);
        Ok(())
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

    /// Whether both handles denote one object.
    pub fn same_object(&self, other: &Blob) -> bool {
        Counted::ptr_eq(&self.0, &other.0)
    }
}

/// Keeps the bytes of a [`Blob`] from being replaced.
pub struct BlobPin(Blob);

impl BlobPin {
    /// Calls `look` with the bytes as they are now. It is a copy, so that
    /// `look` may do with the blob and its registers what it likes.
    pub fn with<R>(&self, look: impl FnOnce(&[u8]) -> R) -> R {
        look(&self.0.to_vec())
    }

    /// Where the bytes are, for the C ABI: they do not move while any pin of
    /// the blob is there.
    pub fn as_ptr(&self) -> *const u8 {
        self.0.0.bytes.read().as_ref().as_ref().as_ptr()
    }
}

impl Drop for BlobPin {
    fn drop(&mut self) {
        self.0.0.pins.add(u64::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn pinned_blob_is_busy_and_keeps_its_bytes() {
        let blob = Blob::new(vec![1, 2, 3]);
        let pin = blob.pin();
        let second = blob.pin();
        assert_eq!(blob.set(vec![9]).unwrap_err().status(), Status::Busy);
        drop(second);
        assert_eq!(blob.set(vec![9]).unwrap_err().status(), Status::Busy);
        assert_eq!(pin.with(<[u8]>::to_vec), [1, 2, 3]);
        drop(pin);
        blob.set(vec![9]).unwrap();
        assert_eq!(blob.to_vec(), [9]);
    }

    #[test]
    fn single_bytes_change_under_a_pin_but_not_outside() {
        let blob = Blob::new(vec![0; 4]);
        let pin = blob.pin();
        assert!(blob.write_at(2, &[7, 8]));
        assert!(!blob.write_at(3, &[7, 8]));
        assert!(!blob.write_at(usize::MAX, &[1]));
        assert_eq!(pin.with(<[u8]>::to_vec), [0, 0, 7, 8]);
    }
}
