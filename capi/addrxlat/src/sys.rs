//! Systems: five maps and sixteen methods.
//!
//! The system of a dump belongs to all clones that translate alike: one thread
//! may translate by it while another makes it anew, because an attribute was
//! changed. So what is in it is changed, and copied for use, under a lock, which
//! is never held while memory is allocated or a client is called.

use core::cell::{RefCell, UnsafeCell};
use core::ffi::{c_int, c_uint, c_ulong};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kdumpfile::xlat::{self, MapIndex, MethodIndex, System, os};
use kdumpfile_capi_shared::custom::Owner;
use kdumpfile_capi_shared::mark::Mark;
use kdumpfile_capi_shared::types::{
    self, AX_OK, AxStatus, CtxOpaque, LookupElem, MAP_NUM, METH_NUM, Meth, Opt,
};
use kdumpfile_capi_shared::{convert, entry, memory};

use crate::ctx::Ctx;
use crate::map::{Map, addrxlat_map_decref, addrxlat_map_incref, new_stamp};
use crate::options;

/// `addrxlat_sys_t`.
pub struct Sys {
    references: AtomicU64,
    /// For the methods and the maps; see the module.
    lock: Mutex<()>,
    /// Clients have pointers to them.
    meths: UnsafeCell<[Meth; METH_NUM]>,
    /// With a reference to each.
    maps: [AtomicPtr<Map>; MAP_NUM],
    /// A number that only this system has, as it is now, but for its maps.
    stamp: AtomicU64,
    /// Lookup tables of methods that the library made.
    tables: RefCell<Vec<*mut LookupElem>>,
}

impl Drop for Sys {
    fn drop(&mut self) {
        for map in &mut self.maps {
            // SAFETY: the reference that the system had.
            unsafe { addrxlat_map_decref(*map.get_mut()) };
        }
        for table in self.tables.get_mut().drain(..) {
            // SAFETY: it came from malloc, and goes with the methods.
            unsafe { libc::free(table.cast()) };
        }
    }
}

/// Makes an error of what a custom method left.
///
/// # Safety
/// `ctx` is a context.
unsafe fn error_of(ctx: *mut CtxOpaque, status: AxStatus) -> xlat::Error {
    let status = xlat::Status::from_code(status).unwrap_or(xlat::Status::NoData);
    // SAFETY: as above.
    let text = unsafe { ctx.cast::<Ctx>().as_ref() }.map(Ctx::take_error).unwrap_or_default();
    if text.is_empty() { xlat::Error::bare(status) } else { xlat::Error::new(status, text) }
}

/// Whom the functions of a method are called for.
pub(crate) fn owner(ctx: *mut Ctx, sys: *mut Sys, meth: *const Meth) -> Owner {
    Owner { ctx: ctx.cast(), sys: sys.cast(), meth, error: error_of }
}

impl Sys {
    fn locked(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a map, or NULL, in the place of another. The reference goes to the
    /// system; that of the other one is given back.
    fn put_map(&self, place: &AtomicPtr<Map>, map: *mut Map) {
        let old = {
            let _locked = self.locked();
            self.stamp.store(new_stamp(), Ordering::Relaxed);
            place.swap(map, Ordering::AcqRel)
        };
        // SAFETY: the reference that the system had.
        unsafe { addrxlat_map_decref(old) };
    }

    /// Copies a method into the system.
    ///
    /// # Safety
    /// `meth` is valid. It may be the one of the system.
    unsafe fn put_meth(&self, index: usize, meth: *const Meth) {
        let _locked = self.locked();
        // SAFETY: as above; all bytes are copied, whatever they are.
        unsafe { ptr::copy(meth, self.meth(index), 1) };
        self.stamp.store(new_stamp(), Ordering::Relaxed);
    }

    fn meth(&self, index: usize) -> *mut Meth {
        // SAFETY: the index is one of the array.
        unsafe { self.meths.get().cast::<Meth>().add(index.min(METH_NUM - 1)) }
    }

    /// Says what the system is, so that changes are noticed.
    pub(crate) fn content(&self) -> u64 {
        let _locked = self.locked();
        let mut mark = Mark::default();
        mark.add(self.stamp.load(Ordering::Relaxed));
        for map in &self.maps {
            // SAFETY: the system has a reference to its maps.
            mark.add(unsafe { map.load(Ordering::Acquire).as_ref() }.map_or(0, Map::stamp));
        }
        mark.0
    }

    /// Copies of the methods, and a reference to each map.
    fn snapshot(&self) -> ([Meth; METH_NUM], [*mut Map; MAP_NUM]) {
        let _locked = self.locked();
        // SAFETY: methods are changed under the lock only.
        let meths = unsafe { ptr::read(self.meths.get()) };
        let maps = [0, 1, 2, 3, 4].map(|index: usize| {
            let map = self.maps[index].load(Ordering::Acquire);
            // SAFETY: the system has a reference to its maps.
            unsafe { addrxlat_map_incref(map) };
            map
        });
        (meths, maps)
    }

    /// A system of Rust that does what this one does for `ctx`.
    pub(crate) fn to_rust(&self, ctx: *mut Ctx) -> System {
        let mut system = System::new();
        let this = ptr::from_ref(self).cast_mut();
        let (meths, maps) = self.snapshot();
        for (index, meth) in meths.iter().enumerate() {
            // What is called is told of the record in use, not of the copy.
            let owner = owner(ctx, this, self.meth(index));
            // SAFETY: the record stays, and is looked at anew when it changes.
            let method = unsafe { convert::to_rust(meth, owner) };
            system.set_method(MethodIndex(index as c_int), method);
        }
        for (index, object) in MapIndex::ALL.into_iter().zip(maps) {
            // SAFETY: there is a reference to it.
            let Some(map) = (unsafe { object.as_ref() }) else { continue };
            let copy = system.map_mut(index);
            let mut first = 0u64;
            for range in map.ranges() {
                // Ranges follow each other to the end of the space.
                let _ = copy.set(first, range.endoff, MethodIndex(range.meth));
                first = first.wrapping_add(range.endoff).wrapping_add(1);
            }
            // SAFETY: the reference that was taken.
            unsafe { addrxlat_map_decref(object) };
        }
        system
    }

    /// Drops all maps.
    fn clear_maps(&self) {
        for map in &self.maps {
            self.put_map(map, ptr::null_mut());
        }
    }

    /// Takes over what was set up. Methods that were not are left alone.
    fn fill(&self, system: &System) -> AxStatus {
        for index in 0..METH_NUM {
            let Some(method) = system.method(MethodIndex(index as c_int)).filter(|method| !method.is_none())
            else {
                continue;
            };
            let mut complete = true;
            let meth = convert::to_c(method, |elems| {
                let size = size_of_val(elems).max(1);
                // SAFETY: there is room for so many elements.
                unsafe {
                    let table: *mut LookupElem = libc::malloc(size).cast();
                    if table.is_null() {
                        complete = false;
                    } else {
                        ptr::copy_nonoverlapping(elems.as_ptr(), table, elems.len());
                        self.tables.borrow_mut().push(table);
                    }
                    table
                }
            });
            if !complete {
                return types::AX_NOMEM;
            }
            // SAFETY: it was just made.
            unsafe { self.put_meth(index, &raw const meth) };
        }
        for index in MapIndex::ALL {
            let Some(map) = system.map(index) else { continue };
            let new = Map::create();
            // SAFETY: it was just made; its reference goes to the system.
            let Some(object) = (unsafe { new.as_ref() }) else { return types::AX_NOMEM };
            for range in map.ranges() {
                if object.set(range.first, range.endoff(), range.method.0) != AX_OK {
                    // SAFETY: nobody else has it.
                    unsafe { addrxlat_map_decref(new) };
                    return types::AX_NOMEM;
                }
            }
            self.put_map(&self.maps[index as usize], new);
        }
        AX_OK
    }
}

/// A system without maps and methods, and with one reference.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_sys_new() -> *mut Sys {
    entry!(ptr::null_mut(), {
        memory::object(Sys {
            references: AtomicU64::new(1),
            lock: Mutex::new(()),
            meths: UnsafeCell::new([convert::no_meth(); METH_NUM]),
            maps: [const { AtomicPtr::new(ptr::null_mut()) }; MAP_NUM],
            stamp: AtomicU64::new(new_stamp()),
            tables: RefCell::default(),
        })
    })
}

/// Takes one more reference; returns how many there are.
///
/// # Safety
/// `sys` is NULL or a system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_incref(sys: *mut Sys) -> c_ulong {
    // SAFETY: as above.
    let Some(sys) = (unsafe { sys.as_ref() }) else { return 0 };
    sys.references.fetch_add(1, Ordering::Relaxed) + 1
}

/// Gives a reference back; returns how many are left.
///
/// # Safety
/// `sys` is NULL or a system, to which the caller has a reference.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_decref(sys: *mut Sys) -> c_ulong {
    entry!(0, {
        // SAFETY: as above.
        let Some(object) = (unsafe { sys.as_ref() }) else { return 0 };
        let left = object.references.fetch_sub(1, Ordering::Release) - 1;
        if left == 0 {
            fence(Ordering::Acquire);
            // SAFETY: nobody has it any more.
            unsafe { memory::free_object(sys) };
        }
        left
    })
}

/// Sets a system up for what the options say.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_os_init(
    sys: *mut Sys,
    ctx: *mut Ctx,
    optc: c_uint,
    opts: *const Opt,
) -> AxStatus {
    // SAFETY: as above.
    let (Some(sys), Some(ctx)) = (unsafe { (sys.as_ref(), ctx.as_ref()) }) else {
        return types::AX_NODATA;
    };
    ctx.call(|| {
        // SAFETY: there are so many options.
        let options = unsafe { options::read(optc, opts) }?;
        options::check(&options)?;
        sys.clear_maps();
        let mut system = System::new();
        let outcome = os::init(&mut system, ctx.rust(), &options);
        // As far as it got.
        let filled = sys.fill(&system);
        outcome?;
        Ok(filled)
    })
}

/// Puts a map in place of another, with a reference of its own.
///
/// # Safety
/// `sys` is NULL or a system; `map` is NULL or a map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_set_map(sys: *mut Sys, idx: c_uint, map: *mut Map) {
    entry!((), {
        // SAFETY: as above.
        let Some(sys) = (unsafe { sys.as_ref() }) else { return };
        let Some(place) = sys.maps.get(idx as usize) else { return };
        // SAFETY: the reference goes to the system.
        unsafe { addrxlat_map_incref(map) };
        sys.put_map(place, map);
    })
}

/// A map of a system, or NULL; the reference stays the system's.
///
/// # Safety
/// `sys` is NULL or a system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_get_map(sys: *const Sys, idx: c_uint) -> *mut Map {
    // SAFETY: as above.
    let map = unsafe { sys.as_ref() }.and_then(|sys| sys.maps.get(idx as usize));
    map.map_or(ptr::null_mut(), |map| map.load(Ordering::Acquire))
}

/// Copies a method into a system.
///
/// # Safety
/// `sys` is NULL or a system; `meth` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_set_meth(sys: *mut Sys, idx: c_int, meth: *const Meth) {
    // SAFETY: as above.
    let Some(sys) = (unsafe { sys.as_ref() }) else { return };
    let Some(index) = usize::try_from(idx).ok().filter(|index| *index < METH_NUM) else { return };
    if !meth.is_null() {
        // SAFETY: as above.
        unsafe { sys.put_meth(index, meth) };
    }
}

/// A record for methods that do not exist.
struct NoMeth(Meth);

// SAFETY: it is never changed.
unsafe impl Sync for NoMeth {}

/// A method of a system, valid as long as the system is.
///
/// # Safety
/// `sys` is NULL or a system.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_sys_get_meth(sys: *const Sys, idx: c_int) -> *const Meth {
    static NO_METH: NoMeth = NoMeth(Meth {
        kind: types::KIND_NOMETH,
        target_as: 0,
        param: types::Param { linear: types::ParamLinear { off: 0 } },
    });
    let index = usize::try_from(idx).ok().filter(|index| *index < METH_NUM);
    // SAFETY: as above.
    match (unsafe { sys.as_ref() }, index) {
        (Some(sys), Some(index)) => sys.meth(index),
        _ => &raw const NO_METH.0,
    }
}
