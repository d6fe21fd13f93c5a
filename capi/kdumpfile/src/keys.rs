//! Keys that a client asked for before.
//!
//! Clients ask for the same few attributes by texts that stand in their
//! program. So what was found is kept by the address of the text, which is
//! compared with the copy made at that time: this takes less than to find the
//! attribute again. An attribute that was deleted meanwhile is found out by its
//! handle, and looked for anew.

use core::cell::RefCell;
use core::ffi::{CStr, c_char};
use core::ptr;
use std::ffi::CString;

use kdumpfile::AttrRef;

/// How many keys are kept.
const ROWS: usize = 16;

struct Row {
    place: *const c_char,
    text: CString,
    attr: AttrRef,
}

/// See the module.
pub(crate) struct Keys(RefCell<[Option<Row>; ROWS]>);

// SAFETY: the addresses of texts are compared, never followed.
unsafe impl Send for Keys {}

fn row_of(key: *const c_char) -> usize {
    // Texts stand at any address, often one behind the other.
    let address = key.addr();
    (address ^ address >> 4 ^ address >> 8) % ROWS
}

impl Keys {
    /// Nothing yet.
    pub const fn new() -> Self {
        Keys(RefCell::new([const { None }; ROWS]))
    }

    /// The attribute that this key led to before.
    ///
    /// # Safety
    /// `key` is a string.
    #[inline]
    pub unsafe fn find(&self, key: *const c_char) -> Option<AttrRef> {
        let rows = self.0.borrow();
        let row = rows[row_of(key)].as_ref().filter(|row| ptr::eq(row.place, key))?;
        // SAFETY: both are strings.
        (unsafe { libc::strcmp(row.text.as_ptr(), key) } == 0).then_some(row.attr)
    }

    /// Keeps what a key led to.
    ///
    /// # Safety
    /// `key` is a string.
    pub unsafe fn keep(&self, key: *const c_char, attr: AttrRef) {
        // SAFETY: as above.
        let text = unsafe { CStr::from_ptr(key) }.to_owned();
        self.0.borrow_mut()[row_of(key)] = Some(Row { place: key, text, attr });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_has_another_text_by_now_is_no_key_of_before() {
        let keys = Keys::new();
        let mut place = *b"arch.name\0";
        let key: *mut c_char = place.as_mut_ptr().cast();
        // SAFETY: the place holds a string all the time.
        unsafe {
            assert_eq!(keys.find(key), None);
            keys.keep(key, AttrRef::from_raw(5));
            assert_eq!(keys.find(key), Some(AttrRef::from_raw(5)));
            key.write(b'A' as c_char);
            assert_eq!(keys.find(key), None);
            key.write(b'a' as c_char);
            key.add(4).write(0);
            assert_eq!(keys.find(key), None);
            keys.keep(key, AttrRef::from_raw(6));
            assert_eq!(keys.find(key), Some(AttrRef::from_raw(6)));
        }
    }
}
