//! Stacks that tell how much of them was used: they are painted, and what
//! lost its paint was used.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a stack. Nothing guards its end; see [`Stack::used`].
pub const SIZE: usize = 256 << 10;

/// What unused bytes hold.
pub const PAINT: u8 = 0xa5;

/// Memory for the stack of one thread.
#[repr(C, align(64))]
pub struct Stack {
    // First, as the entry point computes with the address of the whole.
    bytes: UnsafeCell<[u8; SIZE]>,
    taken: AtomicBool,
}

// SAFETY: the bytes are written by one thread (which has it as its stack), and
// others look at them by volatile reads of single bytes only.
unsafe impl Sync for Stack {}

/// The stack of the program's first thread; the entry point paints it.
pub static MAIN_STACK: Stack = Stack::new();

impl Stack {
    /// Memory that is not painted yet.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Stack { bytes: UnsafeCell::new([0; SIZE]), taken: AtomicBool::new(false) }
    }

    /// The lowest address.
    pub fn start(&self) -> *mut u8 {
        self.bytes.get().cast()
    }

    /// Prepares it for a thread; `false` if it had one already.
    pub fn paint(&self) -> bool {
        if self.taken.swap(true, Ordering::AcqRel) {
            return false;
        }
        // SAFETY: all bytes are ours, and nobody else uses them, as nobody took
        // them before.
        unsafe { self.start().write_bytes(PAINT, SIZE) };
        true
    }

    /// Bytes that lost their paint. If that is all of them, the stack was too
    /// small, and what lies before it is overwritten.
    pub fn used(&self) -> usize {
        let unused = (0..SIZE).take_while(|at| {
            // SAFETY: inside of the array; volatile, as it may be somebody's stack.
            unsafe { self.start().add(*at).read_volatile() == PAINT }
        });
        SIZE - unused.count()
    }

    /// Whether the caller runs on this stack.
    pub fn is_mine(&self) -> bool {
        let here = 0u8;
        (&raw const here as usize).wrapping_sub(self.start() as usize) < SIZE
    }
}
