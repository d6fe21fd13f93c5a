//! Memory for when there is none.
//!
//! Objects of Rust that cannot have memory end the program, which a client of
//! a C library does not expect. So when `malloc` has nothing, they get some of
//! a reserve, and whoever calls next is told [before anything
//! begins](is_low) that there is no memory:
//!
//! ```text
//!   |##########..........|....................|     a static of so many bytes
//!    in use              └ from here on calls are refused, and those that
//!                          are under way have the rest to end with
//! ```
//!
//! The reserve is not touched, and costs nothing, as long as `malloc` works. It
//! is handed out from its start to its end, and again from its start once all
//! of it came back. What is larger than `LARGEST` is refused as always: the
//! library asks for pages and tables so that it gets an answer.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::alloc::System;

/// Size of the reserve.
const SIZE: usize = 4 << 20;
/// More than this in one piece is none of its business.
const LARGEST: usize = 512 << 10;

/// No object needs more alignment than that.
#[repr(align(4096))]
struct Room(UnsafeCell<[MaybeUninit<u8>; SIZE]>);

// SAFETY: each part of it is given to one owner at a time.
unsafe impl Sync for Room {}

static ROOM: Room = Room(UnsafeCell::new([MaybeUninit::uninit(); SIZE]));

/// How far the room was handed out (lower half), and how many pieces of it are
/// not back yet (upper half).
static STATE: AtomicU64 = AtomicU64::new(0);

const ONE_PIECE: u64 = 1 << 32;

fn handed_out(state: u64) -> usize {
    state as u32 as usize
}

/// Whether so much of the reserve is in use that nothing should be begun.
#[inline]
pub fn is_low() -> bool {
    is_half_used() && !memory_is_back()
}

#[inline]
fn is_half_used() -> bool {
    handed_out(STATE.load(Ordering::Relaxed)) > SIZE / 2
}

/// Whether `malloc` works again. What lives long may keep its place in the
/// reserve for as long.
#[cold]
fn memory_is_back() -> bool {
    crate::memory::is_there(LARGEST)
}

fn start() -> *mut u8 {
    ROOM.0.get().cast()
}

#[inline]
fn is_here(place: *mut u8) -> bool {
    place.addr().wrapping_sub(start().addr()) < SIZE
}

/// A piece of the reserve, or NULL.
#[cold]
fn take(layout: Layout) -> *mut u8 {
    if layout.size() > LARGEST || layout.align() > align_of::<Room>() {
        return ptr::null_mut();
    }
    let mut at = 0;
    let taken = STATE.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
        at = handed_out(state).next_multiple_of(layout.align());
        let end = at + layout.size();
        (end <= SIZE).then_some((state >> 32 << 32) + ONE_PIECE + end as u64)
    });
    match taken {
        // SAFETY: within the room.
        Ok(_) => unsafe { start().add(at) },
        Err(_) => ptr::null_mut(),
    }
}

/// Takes a piece back.
#[cold]
fn give_back() {
    let _ = STATE.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |state| {
        let left = state.saturating_sub(ONE_PIECE);
        Some(if left < ONE_PIECE { 0 } else { left })
    });
}

/// The allocator of the libraries: that of the system, and the reserve.
pub struct Allocator;

// SAFETY: memory comes from the system's allocator and goes back there, or is a
// piece of the reserve that nobody else has until it is given back.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is passed on; likewise below.
        let place = unsafe { System.alloc(layout) };
        if place.is_null() { take(layout) } else { place }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let mut place = unsafe { System.alloc_zeroed(layout) };
        if place.is_null() {
            place = take(layout);
            if !place.is_null() {
                // SAFETY: the piece is as large as that.
                unsafe { ptr::write_bytes(place, 0, layout.size()) };
            }
        }
        place
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if is_here(place) {
            give_back();
        } else {
            // SAFETY: as above.
            unsafe { System.dealloc(place, layout) };
        }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_here(place) {
            // SAFETY: as above.
            let moved = unsafe { System.realloc(place, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that this is a layout; what is copied
        // is in both places.
        unsafe {
            let moved = match is_here(place) {
                true => self.alloc(Layout::from_size_align_unchecked(size, layout.align())),
                false => take(Layout::from_size_align_unchecked(size, layout.align())),
            };
            if !moved.is_null() {
                ptr::copy_nonoverlapping(place, moved, layout.size().min(size));
                self.dealloc(place, layout);
            }
            moved
        }
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserve_is_handed_out_until_it_ends_and_again_once_all_is_back() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        assert!(!is_half_used());
        let mut pieces = Vec::with_capacity(5000);
        while let piece @ 1.. = take(layout).addr() {
            pieces.push(piece);
        }
        assert!(is_half_used() && !is_low(), "there is memory");
        assert_eq!(pieces.len(), SIZE / 1000);
        pieces.windows(2).for_each(|pair| assert!(pair[1] >= pair[0] + 1000 && pair[1] % 8 == 0));
        for _ in 1..pieces.len() {
            give_back();
        }
        assert!(is_half_used());
        give_back();
        assert!(!is_half_used());
        assert!(take(Layout::from_size_align(LARGEST + 1, 1).unwrap()).is_null());

        // What is in the reserve grows into memory of the system, with its bytes.
        let piece = take(layout);
        // SAFETY: the piece has that size; the last one is the system's.
        unsafe {
            piece.write(7);
            let moved = ALLOCATOR.realloc(piece, layout, 3000);
            assert!(!is_here(moved) && moved.read() == 7);
            ALLOCATOR.dealloc(moved, Layout::from_size_align(3000, 8).unwrap());
        }
        assert_eq!(STATE.load(Ordering::Relaxed), 0);
    }
}
