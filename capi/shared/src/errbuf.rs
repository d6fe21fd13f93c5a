//! Error strings: what is added goes in front, and running out of memory
//! neither ends the program nor loses what still fits.
//!
//! ```text
//!   inside   |.......file #0: Unknown file format\0|     N bytes, text at the right
//!   heap     |_Cannot initialize ...: a long text\0|     one byte in reserve, then the text
//! ```
//!
//! A text moves to the heap when it outgrows the place inside, and each
//! message makes a new buffer that is as large as it must be. If there is no
//! memory for it, the message is cut to what the current buffer has room for.

use core::ffi::{c_char, c_int};
use core::ptr;

/// What stands between two messages.
const DELIMITER: &[u8] = b": ";

/// Marks a text that is cut at its beginning.
const CUT_FRONT: u8 = b'<';
/// Marks a message that is cut at its end.
const CUT_BACK: u8 = b'>';

enum Place {
    /// There is no text.
    None,
    /// In [`ErrorBuffer::inside`], from here to the NUL at its end.
    Inside(usize),
    /// In memory of the C library: its address, its size, the start of the text.
    Heap(*mut u8, usize, usize),
}

/// The error string of an object; `N` is the size of the part that needs no
/// memory, NUL included.
pub struct ErrorBuffer<const N: usize> {
    inside: [u8; N],
    place: Place,
}

// SAFETY: the memory belongs to the buffer alone.
unsafe impl<const N: usize> Send for ErrorBuffer<N> {}

impl<const N: usize> ErrorBuffer<N> {
    /// No text.
    pub const fn new() -> Self {
        ErrorBuffer { inside: [0; N], place: Place::None }
    }

    /// Whether nothing was added since the buffer was made or cleared.
    #[inline]
    pub fn is_none(&self) -> bool {
        matches!(self.place, Place::None)
    }

    /// The text, or NULL if there is none. It stays valid until the next change.
    pub fn as_ptr(&self) -> *const c_char {
        match self.place {
            Place::None => ptr::null(),
            Place::Inside(start) => self.inside[start..].as_ptr().cast(),
            // SAFETY: the start lies within the buffer.
            Place::Heap(base, _, start) => unsafe { base.add(start) as *const c_char },
        }
    }

    /// The text without its NUL, or nothing.
    pub fn text(&self) -> Option<&[u8]> {
        match self.place {
            Place::None => None,
            Place::Inside(start) => self.inside.get(start..N - 1),
            // SAFETY: the buffer has `size` bytes that were all written, and
            // lives until it is replaced, for which it must not be borrowed.
            Place::Heap(base, size, start) => unsafe {
                Some(core::slice::from_raw_parts(base.add(start), size - 1 - start))
            },
        }
    }

    /// Removes the text.
    #[inline]
    pub fn clear(&mut self) {
        match self.place {
            Place::None => return,
            Place::Inside(_) => {}
            // SAFETY: it came from malloc and is forgotten here.
            Place::Heap(base, ..) => unsafe { libc::free(base.cast()) },
        }
        self.place = Place::None;
    }

    /// Puts a message in front of the text.
    pub fn add(&mut self, message: &[u8]) {
        match self.make_room(message.len()) {
            // SAFETY: the room is as long as the message.
            Some(room) => unsafe { ptr::copy_nonoverlapping(message.as_ptr(), room, message.len()) },
            None => self.add_cut(message, message.len()),
        }
    }

    /// Adds the description of an error of the operating system, for messages
    /// about it to stand in front of.
    pub fn add_errno(&mut self, errno: c_int) {
        // SAFETY: the text is a string that stays as it is until the next call
        // of this function in this thread, if it changes at all.
        let text = unsafe { core::ffi::CStr::from_ptr(libc::strerror(errno)) };
        self.add(text.to_bytes());
    }

    /// Makes room for `length` characters in front of the text, followed by a
    /// delimiter if there was any. The caller must fill it. Nothing changes if
    /// there is no memory.
    pub fn make_room(&mut self, length: usize) -> Option<*mut u8> {
        let old = self.text().unwrap_or_default();
        let delimiter: &[u8] = if old.is_empty() { b"" } else { DELIMITER };
        let total = length.checked_add(delimiter.len() + old.len())?;
        let heap = matches!(self.place, Place::Heap(..));
        if !heap && total < N {
            let start = N - 1 - total;
            self.inside[start + length..][..delimiter.len()].copy_from_slice(delimiter);
            self.inside[N - 1] = 0;
            self.place = Place::Inside(start);
            return Some(self.inside[start..].as_mut_ptr());
        }
        let size = total.checked_add(2)?;
        // SAFETY: malloc may be called with any size; what it returns is
        // written within that size.
        unsafe {
            let base: *mut u8 = libc::malloc(size).cast();
            if base.is_null() {
                return None;
            }
            let mut at = base.add(1 + length);
            ptr::write_bytes(base, 0, 1 + length);
            for part in [delimiter, old, b"\0"] {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            self.clear();
            self.place = Place::Heap(base, size, 1);
            Some(base.add(1))
        }
    }

    /// Puts what fits of a message in front of the text, without any memory.
    /// The message has `length` characters, of which `start` are the first
    /// ones (all, or `N` - 1 at least).
    pub fn add_cut(&mut self, start: &[u8], length: usize) {
        let shown = length.min(N - 1).min(start.len());
        let mut message = [0; N];
        message[..shown].copy_from_slice(&start[..shown]);
        if length >= N && shown > 0 {
            message[shown - 1] = CUT_BACK;
        }
        let (had_text, free) = match self.place {
            Place::None => (false, N - 1),
            Place::Inside(start) => (start < N - 1, start),
            Place::Heap(_, _, start) => (true, start),
        };
        let delimiter: &[u8] = if had_text { DELIMITER } else { b"" };
        let whole = shown + delimiter.len();
        let keep = free.min(whole);
        let mut at = self.start();
        for index in (whole - keep..whole).rev() {
            let byte = if index < shown { message[index] } else { delimiter[index - shown] };
            at -= 1;
            self.set(at, byte);
        }
        if let Place::None | Place::Inside(_) = self.place {
            self.inside[N - 1] = 0;
            self.place = Place::Inside(at);
        } else if let Place::Heap(_, _, start) = &mut self.place {
            *start = at;
        }
        // A whole message that fits is not cut.
        if keep < whole || length >= N {
            self.set(at, CUT_FRONT);
        }
    }

    fn start(&self) -> usize {
        match self.place {
            Place::None => N - 1,
            Place::Inside(start) | Place::Heap(_, _, start) => start,
        }
    }

    fn set(&mut self, at: usize, byte: u8) {
        match self.place {
            Place::Heap(base, size, _) if at < size => {
                // SAFETY: within the buffer.
                unsafe { *base.add(at) = byte }
            }
            Place::Heap(..) => {}
            _ => self.inside[at] = byte,
        }
    }
}

impl<const N: usize> Default for ErrorBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Drop for ErrorBuffer<N> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghij";
    const SHORT: &[u8] = b"123456789012345678901234567890";

    fn text(buffer: &ErrorBuffer<64>) -> String {
        let text = buffer.text().map_or(String::from("NULL"), |text| String::from_utf8_lossy(text).into());
        if !buffer.is_none() {
            // SAFETY: the buffer has a text, and is not changed meanwhile.
            let c = unsafe { core::ffi::CStr::from_ptr(buffer.as_ptr()) };
            assert_eq!(c.to_bytes(), text.as_bytes());
        }
        text
    }

    #[test]
    fn newest_message_stands_first_wherever_it_is_stored() {
        let mut buffer = ErrorBuffer::<64>::new();
        assert!(buffer.as_ptr().is_null());
        buffer.add(b"one");
        buffer.add(b"two");
        assert_eq!(text(&buffer), "two: one");
        buffer.add(LONG);
        let expected = format!("{}: two: one", String::from_utf8_lossy(LONG));
        assert_eq!(text(&buffer), expected);
        buffer.add(b"x");
        assert_eq!(text(&buffer), format!("x: {expected}"));
        buffer.clear();
        assert!(buffer.as_ptr().is_null());
    }

    #[test]
    fn empty_message_makes_an_empty_text_or_a_delimiter() {
        let mut buffer = ErrorBuffer::<64>::new();
        buffer.add(b"");
        assert_eq!((buffer.is_none(), text(&buffer)), (false, String::new()));
        buffer.add(b"old");
        buffer.add(b"");
        assert_eq!(text(&buffer), ": old");
    }

    #[test]
    fn what_does_not_fit_is_cut_and_marked() {
        let long = String::from_utf8_lossy(LONG).into_owned();
        let mut buffer = ErrorBuffer::<64>::new();
        buffer.add_cut(LONG, LONG.len());
        assert_eq!(text(&buffer), format!("<{}>", &long[1..62]));
        // Nothing is free any more.
        buffer.add_cut(SHORT, SHORT.len());
        assert_eq!(text(&buffer), format!("<{}>", &long[1..62]));

        let mut buffer = ErrorBuffer::<64>::new();
        buffer.add(SHORT);
        buffer.add_cut(LONG, LONG.len());
        let cut = format!("{}>", &long[..62]);
        assert_eq!(text(&buffer), format!("<{}: {}", &cut[63 - 30..], String::from_utf8_lossy(SHORT)));
        assert_eq!(text(&buffer).len(), 63);

        for (length, expected) in [(62, "<"), (63, "")] {
            let mut buffer = ErrorBuffer::<64>::new();
            buffer.add(&LONG[..length]);
            buffer.add_cut(SHORT, SHORT.len());
            let rest = if length == 63 { format!("<{}", &long[1..63]) } else { long[..62].into() };
            assert_eq!(text(&buffer), format!("{expected}{rest}"));
        }
    }

    #[test]
    fn reserve_byte_of_a_heap_text_takes_the_mark() {
        let mut buffer = ErrorBuffer::<64>::new();
        let hundred = "y".repeat(100);
        buffer.add(hundred.as_bytes());
        buffer.add_cut(SHORT, SHORT.len());
        assert_eq!(text(&buffer), format!("<{hundred}"));
        buffer.add_cut(SHORT, SHORT.len());
        assert_eq!(text(&buffer), format!("<{hundred}"));
    }
}
