//! Maps: which method translates which addresses.
//!
//! A map is an array of C that covers the whole space once it was set. A new
//! array is made for each change and takes the place of the old one when it is
//! complete: a client's own `malloc` may look at the map meanwhile.

use core::cell::Cell;
use core::ffi::{c_int, c_ulong};
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use kdumpfile_capi_shared::types::{AX_NOMEM, AX_OK, AxStatus, Range};
use kdumpfile_capi_shared::{entry, memory};

/// `ADDRXLAT_ERR_INVALID`.
const INVALID: AxStatus = 3;
/// `ADDRXLAT_SYS_METH_NONE`.
const NONE: c_int = -1;

/// `addrxlat_map_t`.
pub struct Map {
    references: AtomicU64,
    ranges: Cell<*mut Range>,
    len: Cell<usize>,
    /// A number that only this map has, as it is now.
    stamp: AtomicU64,
}

/// The next stamp. As long as it stays what it is, no map and no system was
/// changed: libkdumpfile looks at it before each read (`CHANGES`).
pub(crate) static NEXT_STAMP: AtomicU64 = AtomicU64::new(1);

/// A number that nothing had before: what is kept of an object with a stamp is
/// good as long as it has that stamp.
pub(crate) fn new_stamp() -> u64 {
    NEXT_STAMP.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: the array came from malloc, and goes with the map.
        unsafe { libc::free(self.ranges.get().cast()) };
    }
}

/// A new array of ranges, which neighbours of one method share.
struct Building {
    start: *mut Range,
    len: usize,
}

impl Building {
    /// Room for so many ranges; none without memory.
    fn new(room: usize) -> Option<Self> {
        let size = room.checked_mul(size_of::<Range>())?;
        // SAFETY: any size may be asked for.
        let start: *mut Range = unsafe { libc::malloc(size.max(1)) }.cast();
        (!start.is_null()).then_some(Building { start, len: 0 })
    }

    /// Adds the range that ends at `last`, where `first` is its start.
    fn push(&mut self, first: u64, last: u64, meth: c_int) {
        let endoff = last.wrapping_sub(first);
        // SAFETY: there is room for all ranges that are pushed.
        unsafe {
            if self.len > 0 && (*self.start.add(self.len - 1)).meth == meth {
                let before = self.start.add(self.len - 1);
                (*before).endoff = (*before).endoff.wrapping_add(endoff).wrapping_add(1);
            } else {
                // Whole, padding included: clients may compare bytes.
                ptr::write_bytes(self.start.add(self.len), 0, 1);
                *self.start.add(self.len) = Range { endoff, meth };
                self.len += 1;
            }
        }
    }
}

impl Map {
    /// The ranges, as they are until the next change.
    pub(crate) fn ranges(&self) -> &[Range] {
        let start = self.ranges.get();
        if start.is_null() {
            return &[];
        }
        // SAFETY: the array has so many ranges.
        unsafe { core::slice::from_raw_parts(start, self.len.get()) }
    }

    /// See [`new_stamp`].
    pub(crate) fn stamp(&self) -> u64 {
        self.stamp.load(Ordering::Relaxed)
    }

    /// Gives `meth` to `endoff` + 1 addresses.
    pub(crate) fn set(&self, first: u64, endoff: u64, meth: c_int) -> AxStatus {
        const WHOLE: [Range; 1] = [Range { endoff: u64::MAX, meth: NONE }];

        let Some(last) = first.checked_add(endoff) else { return INVALID };
        let old = if self.len.get() == 0 { &WHOLE[..] } else { self.ranges() };
        // The new range splits one of the old ones at most.
        let Some(mut new) = Building::new(old.len() + 2) else { return AX_NOMEM };
        let (mut start, mut placed) = (0u64, false);
        for range in old {
            let end = start.wrapping_add(range.endoff);
            if start < first {
                new.push(start, end.min(first - 1), range.meth);
            }
            if end >= first && !placed {
                new.push(first, last, meth);
                placed = true;
            }
            if end > last {
                new.push(start.max(last + 1), end, range.meth);
            }
            start = end.wrapping_add(1);
        }
        let old = self.ranges.replace(new.start);
        self.len.set(new.len);
        self.stamp.store(new_stamp(), Ordering::Relaxed);
        // SAFETY: the array came from malloc, and nobody may use it any more.
        unsafe { libc::free(old.cast()) };
        AX_OK
    }

    /// A map with one reference, or NULL.
    pub(crate) fn create() -> *mut Map {
        memory::object(Map {
            references: AtomicU64::new(1),
            ranges: Cell::new(ptr::null_mut()),
            len: Cell::new(0),
            stamp: AtomicU64::new(new_stamp()),
        })
    }
}

/// A map without ranges, and with one reference.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_map_new() -> *mut Map {
    entry!(ptr::null_mut(), { Map::create() })
}

/// Takes one more reference; returns how many there are.
///
/// # Safety
/// `map` is NULL or a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_incref(map: *mut Map) -> c_ulong {
    // SAFETY: as above.
    let Some(map) = (unsafe { map.as_ref() }) else { return 0 };
    map.references.fetch_add(1, Ordering::Relaxed) + 1
}

/// Gives a reference back; returns how many are left.
///
/// # Safety
/// `map` is NULL or a map, to which the caller has a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_decref(map: *mut Map) -> c_ulong {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { map.as_ref() }) else { return 0 };
        let left = object.references.fetch_sub(1, Ordering::Release) - 1;
        if left == 0 {
            fence(Ordering::Acquire);
            // SAFETY: nobody has it any more.
            unsafe { memory::free_object(map) };
        }
        left
    })
}

/// The number of ranges.
///
/// # Safety
/// `map` is NULL or a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_len(map: *const Map) -> usize {
    // SAFETY: as above.
    unsafe { map.as_ref() }.map_or(0, |map| map.len.get())
}

/// The ranges, valid until the map is changed; NULL if there are none.
///
/// # Safety
/// `map` is NULL or a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_ranges(map: *const Map) -> *const Range {
    // SAFETY: as above.
    unsafe { map.as_ref() }.map_or(ptr::null(), |map| map.ranges.get())
}

/// Gives addresses from `addr` on the method of `range`.
///
/// # Safety
/// `map` is NULL or a map; `range` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_set(map: *mut Map, addr: u64, range: *const Range) -> AxStatus {
    entry!(AX_NOMEM, {
        // SAFETY: as above.
        let (Some(map), false) = (unsafe { map.as_ref() }, range.is_null()) else { return INVALID };
        // SAFETY: as above; padding is not looked at.
        let (endoff, meth) = unsafe { ((*range).endoff, (*range).meth) };
        map.set(addr, endoff, meth)
    })
}

/// The method of an address.
///
/// # Safety
/// `map` is NULL or a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_search(map: *const Map, addr: u64) -> c_int {
    // SAFETY: as above.
    let Some(map) = (unsafe { map.as_ref() }) else { return NONE };
    let mut start = 0u64;
    for range in map.ranges() {
        if addr.wrapping_sub(start) <= range.endoff {
            return range.meth;
        }
        start = start.wrapping_add(range.endoff).wrapping_add(1);
    }
    NONE
}

/// An independent copy, with one reference.
///
/// # Safety
/// `map` is NULL or a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_map_copy(map: *const Map) -> *mut Map {
    entry!(ptr::null_mut(), {
        // SAFETY: as above.
        let Some(map) = (unsafe { map.as_ref() }) else { return ptr::null_mut() };
        let copy = Map::create();
        // SAFETY: it was just made.
        let Some(new) = (unsafe { copy.as_ref() }) else { return copy };
        let ranges = map.ranges();
        if !ranges.is_empty() {
            let Some(mut building) = Building::new(ranges.len()) else {
                // SAFETY: nobody else has it.
                unsafe { memory::free_object(copy) };
                return ptr::null_mut();
            };
            let mut start = 0u64;
            for range in ranges {
                let end = start.wrapping_add(range.endoff);
                building.push(start, end, range.meth);
                start = end.wrapping_add(1);
            }
            new.ranges.set(building.start);
            new.len.set(building.len);
        }
        copy
    })
}
