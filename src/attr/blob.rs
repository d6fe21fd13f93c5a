//! Blobs: shared raw bytes that can be pinned.

use alloc::vec::Vec;

use crate::error::{Error, Result, Status};
use crate::sync::{Counted, Counter, Fault, RwLock, broken};

/// Raw bytes shared by all who hold a clone of the handle.
///
/// The bytes may be replaced as a whole by [`Blob::set`], but not while
/// anybody has them pinned; writing a register of a CPU changes single bytes
/// in place and is always possible.
#[derive(Clone)]
pub struct Blob(Counted<Inner>);

struct Inner {
    bytes: RwLock<Vec<u8>>,
    pins: Counter,
}

impl Blob {
    /// A blob that holds `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Blob(Counted::new(Inner { bytes: RwLock::new(bytes), pins: Counter::new(0) }))
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.bytes.read().len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.0.bytes.read().clone()
    }

    /// Copies bytes from `offset` on into `out`, if they all exist.
    pub(crate) fn read_at(&self, offset: usize, out: &mut [u8]) -> bool {
        let bytes = self.0.bytes.read();
        let end = offset.checked_add(out.len());
        match end.and_then(|end| bytes.get(offset..end)) {
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
        match end.and_then(|end| bytes.get_mut(offset..end)) {
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

    /// How many pins there are.
    pub fn pins(&self) -> u64 {
        self.0.pins.get()
    }

    /// Replaces the bytes.
    ///
    /// # Errors
    /// [`Status::Busy`] without a text while the blob is pinned; nothing changes then.
    pub fn set(&self, new: Vec<u8>) -> Result<()> {
        let mut bytes = self.0.bytes.write();
        if self.0.pins.get() > 0 && !broken(Fault::IgnoredPin) {
            return Err(Error::bare(Status::Busy));
        }
        *bytes = new;
        Ok(())
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
        self.0.0.bytes.read().as_ptr()
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
