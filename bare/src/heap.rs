//! The allocator: a list of holes in a fixed piece of memory, ordered by
//! address, first fit, neighbours joined again.
//!
//! It also tells what was needed: bytes in use at once, how far they reached
//! with the holes between them, and what was asked for ([`Needs`]).

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, Ordering};

/// Bytes that there are. They cost nothing in the file of the program.
const ARENA: usize = 64 << 20;

/// Sizes and addresses are multiples of this.
const GRAIN: usize = 16;

#[global_allocator]
static HEAP: Heap = Heap {
    locked: AtomicBool::new(false),
    state: UnsafeCell::new(State {
        first: null_mut(),
        started: false,
        needs: Needs { live: 0, peak: 0, reach: 0, calls: 0, largest: 0, align: 0 },
    }),
    arena: UnsafeCell::new(Arena([0; ARENA])),
};

/// The allocator of the program.
pub fn heap() -> &'static Heap {
    &HEAP
}

/// Memory and its bookkeeping.
pub struct Heap {
    locked: AtomicBool,
    state: UnsafeCell<State>,
    arena: UnsafeCell<Arena>,
}

// SAFETY: all state is used by the holder of the lock only.
unsafe impl Sync for Heap {}

#[repr(C, align(4096))]
struct Arena([u8; ARENA]);

#[repr(C)]
struct Hole {
    size: usize,
    next: *mut Hole,
}

struct State {
    first: *mut Hole,
    started: bool,
    needs: Needs,
}

/// What the program asked for.
#[derive(Clone, Copy)]
pub struct Needs {
    /// Bytes in use.
    pub live: usize,
    /// The most bytes that were in use at once since [`Heap::restart`].
    pub peak: usize,
    /// Bytes from the start of the memory to the end of the last one that was
    /// ever used.
    pub reach: usize,
    /// How often memory was asked for.
    pub calls: usize,
    /// The most bytes that were asked for at once since [`Heap::restart`].
    pub largest: usize,
    /// The largest alignment that was asked for.
    pub align: usize,
}

impl Heap {
    fn locked<R>(&self, body: impl FnOnce(&mut State) -> R) -> R {
        while self.locked.swap(true, Ordering::Acquire) {
            core::hint::spin_loop();
        }
        // SAFETY: we hold the lock, and nothing in `body` allocates.
        let state = unsafe { &mut *self.state.get() };
        if !state.started {
            state.started = true;
            state.first = self.arena.get().cast();
            // SAFETY: the arena is large enough, aligned, and nobody's yet.
            unsafe { state.first.write(Hole { size: ARENA, next: null_mut() }) };
        }
        let result = body(state);
        self.locked.store(false, Ordering::Release);
        result
    }

    /// What was needed up to now.
    pub fn needs(&self) -> Needs {
        self.locked(|state| state.needs)
    }

    /// Measures from here.
    pub fn restart(&self) {
        self.locked(|state| {
            state.needs.peak = state.needs.live;
            state.needs.largest = 0;
        });
    }
}

/// The size that is taken for a layout; `None` if there can be no such.
fn rounded(layout: Layout) -> Option<usize> {
    layout.size().max(1).checked_next_multiple_of(GRAIN)
}

// SAFETY: what is handed out is cut off a hole, so nobody else has it; it is
// large enough and aligned; what is missing gives null.
unsafe impl GlobalAlloc for Heap {
    // SAFETY: asks nothing of its callers beyond the trait.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(size) = rounded(layout) else { return null_mut() };
        let align = layout.align().max(GRAIN);
        let base = self.arena.get() as usize;
        self.locked(|state| {
            let mut link: *mut *mut Hole = &mut state.first;
            // SAFETY: links and holes are those of the list, which lies in the
            // arena and is ours while we hold the lock. What is written lies
            // inside of the hole that was found, at multiples of the grain.
            unsafe {
                while !(*link).is_null() {
                    let hole = *link;
                    let (start, whole) = (hole as usize, (*hole).size);
                    let before = start.next_multiple_of(align) - start;
                    if whole < size || whole - size < before {
                        link = &raw mut (*hole).next;
                        continue;
                    }
                    let found = hole.byte_add(before);
                    let rest = whole - size - before;
                    let mut next = (*hole).next;
                    if rest > 0 {
                        let behind = found.byte_add(size);
                        behind.write(Hole { size: rest, next });
                        next = behind;
                    }
                    if before > 0 {
                        hole.write(Hole { size: before, next });
                    } else {
                        link.write(next);
                    }
                    let needs = &mut state.needs;
                    needs.live += size;
                    needs.peak = needs.peak.max(needs.live);
                    needs.reach = needs.reach.max(found as usize + size - base);
                    needs.calls += 1;
                    needs.largest = needs.largest.max(layout.size());
                    needs.align = needs.align.max(layout.align());
                    return found.cast();
                }
            }
            null_mut()
        })
    }

    // SAFETY: as the trait says, `bytes` came from here with this layout.
    unsafe fn dealloc(&self, bytes: *mut u8, layout: Layout) {
        let Some(size) = rounded(layout) else { return };
        self.locked(|state| {
            state.needs.live -= size;
            let hole: *mut Hole = bytes.cast();
            // SAFETY: the bytes were handed out with this layout, so they may
            // become a hole again; the list is ours as above.
            unsafe {
                let mut before: *mut Hole = null_mut();
                let mut next = state.first;
                while !next.is_null() && next < hole {
                    before = next;
                    next = (*next).next;
                }
                hole.write(Hole { size, next });
                if !next.is_null() && hole.byte_add(size) == next {
                    hole.write(Hole { size: size + (*next).size, next: (*next).next });
                }
                if before.is_null() {
                    state.first = hole;
                } else if before.byte_add((*before).size) == hole {
                    before.write(Hole { size: (*before).size + (*hole).size, next: (*hole).next });
                } else {
                    (*before).next = hole;
                }
            }
        });
    }
}
