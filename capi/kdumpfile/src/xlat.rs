//! The context and the system of libaddrxlat that belong to a dump.
//!
//! They are made when a client asks for them. From then on each read that may
//! have to translate looks whether one side changed (`Ctx::keep_in_step`):
//!
//! | what changed | what follows |
//! | --- | --- |
//! | an attribute | the system of C is filled from the one of Rust |
//! | the system of C | this context translates with what C says, until an attribute changes |
//! | the chain of C | what was translated is forgotten |
//!
//! To look at a whole system takes longer than to read. So libaddrxlat is asked
//! for its counter of changes ([`chain::CHANGES`]): while that stands still,
//! and attributes do, both sides are what they were at the last look.

use core::cell::{Cell, RefCell};
use core::ffi::c_int;
use core::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kdumpfile::sync::Shared;
use kdumpfile::xlat::{
    Chain, ChainSnapshot, Error as XlatError, Map, MapIndex, MethodIndex, RecordId, Status, System,
};
use kdumpfile::{Context, Error, Space};
use kdumpfile_capi_shared::custom::Owner;
use kdumpfile_capi_shared::mark::Mark;
use kdumpfile_capi_shared::types::{
    AX_OK, AxStatus, Cb, CtxOpaque, LookupElem, METH_NUM, MapOpaque, Meth, Range, SysOpaque,
};
use kdumpfile_capi_shared::{chain, convert};

use crate::attr::store;
use crate::ctx::Ctx;
use crate::ffi;
use crate::record::{Outside, set_bottom, take_error};
use crate::status::{Failure, KStatus, Outcome};

/// What a context has of libaddrxlat.
pub(crate) struct Translation {
    /// Shared by the clones that translate alike.
    group: Arc<Group>,
    own: RefCell<Option<Own>>,
    /// What the system of C was when this context began to translate by it.
    follows: Cell<Option<u64>>,
    /// When this context looked last whether one side changed: changes of
    /// attributes, and those that libaddrxlat counts.
    looked: Cell<Option<(u64, u64)>>,
}

/// A context of libaddrxlat, to which this has a reference.
struct Own {
    ctx: *mut CtxOpaque,
    bottom: *mut Cb,
    /// Asks the dump and nobody else.
    dump: ChainSnapshot,
    outside: RecordId,
    /// What the C chain was when it was looked at last, and its head.
    chain: (*const Cb, u64),
}

/// A system of libaddrxlat, if somebody asked for one.
#[derive(Default)]
struct Group {
    handed_out: AtomicBool,
    /// What libaddrxlat counts its changes with, if it does.
    changes: OnceLock<Option<&'static AtomicU64>>,
    state: Mutex<State>,
}

struct State {
    sys: *mut SysOpaque,
    /// How many changes of attributes it includes.
    filled: Option<u64>,
    /// What it was when it was filled.
    content: u64,
    /// All tables that methods had: other threads may still translate by one.
    /// None is there twice.
    tables: Vec<(*mut LookupElem, usize)>,
}

// SAFETY: the pointers are owned, and used under the lock only.
unsafe impl Send for State {}

impl Default for State {
    fn default() -> Self {
        State { sys: ptr::null_mut(), filled: None, content: 0, tables: Vec::new() }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // SAFETY: the reference is given back. A client that has another one
        // may still look at methods, so their tables stay.
        if !self.sys.is_null() && unsafe { ffi::addrxlat_sys_decref(self.sys) } == 0 {
            for (table, _) in self.tables.drain(..) {
                // SAFETY: they came from malloc, and no method has them any more.
                unsafe { libc::free(table.cast()) };
            }
        }
    }
}

fn no_memory() -> Failure {
    Error::system("Cannot allocate address translation").into()
}

impl Translation {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::with_group(Arc::default())
    }

    fn with_group(group: Arc<Group>) -> Self {
        Translation { group, own: RefCell::new(None), follows: Cell::new(None), looked: Cell::new(None) }
    }

    /// What a clone starts with; its Rust chain loses the record that asks the
    /// C chain of the original.
    pub fn for_clone(&self, dump: &Context, split: bool) -> Self {
        if let Some(own) = &*self.own.borrow() {
            dump.xlat().chain().remove(own.outside);
            dump.xlat().set_caching(true);
        }
        Self::with_group(if split { Arc::default() } else { self.group.clone() })
    }

    /// The context of libaddrxlat, and the dump alone.
    pub fn bottom(&self) -> Option<(*mut CtxOpaque, ChainSnapshot)> {
        self.own.borrow().as_ref().map(|own| (own.ctx, own.dump.clone()))
    }

    /// Takes leave of the context of libaddrxlat: others may have it on.
    pub fn leave(&self, dump: &Context) {
        let Some(own) = self.own.take() else { return };
        dump.xlat().chain().remove(own.outside);
        dump.xlat().flush();
        // SAFETY: the record belongs to the context, which is still there.
        unsafe {
            (*own.bottom).private = ptr::null_mut();
            ffi::addrxlat_ctx_decref(own.ctx);
        }
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often libaddrxlat changed anything, if it counts.
    fn changes_of_c(&self) -> Option<u64> {
        let counter = (*self.changes.get()?)?;
        Some(counter.load(Ordering::Acquire))
    }
}

/// Asks libaddrxlat where it counts its changes.
///
/// # Safety
/// `bottom` is a record of `ctx` that was just added to a new context.
unsafe fn counter_of(ctx: *mut CtxOpaque, bottom: *const Cb) -> Option<&'static AtomicU64> {
    // SAFETY: the record below is the one that each context has; who knows the
    // name answers with the address of a static.
    unsafe {
        let last = (*bottom).next;
        let mut place = 0;
        let status = last.as_ref()?.num_value?(last, chain::CHANGES.as_ptr(), &raw mut place);
        ffi::addrxlat_ctx_clear_err(ctx);
        let place = usize::try_from(place).ok().filter(|_| status == AX_OK)?;
        ptr::with_exposed_provenance::<AtomicU64>(place).as_ref()
    }
}

/// The ranges of a map.
///
/// # Safety
/// `map` is NULL or a map, which is not changed meanwhile.
unsafe fn ranges<'a>(map: *const MapOpaque) -> &'a [Range] {
    if map.is_null() {
        return &[];
    }
    // SAFETY: as above.
    unsafe {
        let (start, length) = (ffi::addrxlat_map_ranges(map), ffi::addrxlat_map_len(map));
        if start.is_null() { &[] } else { core::slice::from_raw_parts(start, length) }
    }
}

/// Says what a system is, so that changes are noticed.
///
/// # Safety
/// `sys` is a system, which is not changed meanwhile.
unsafe fn system_content(sys: *const SysOpaque) -> u64 {
    let mut mark = Mark::default();
    // SAFETY: as above.
    unsafe {
        for index in MapIndex::ALL {
            let map = ffi::addrxlat_sys_get_map(sys, index as c_int);
            mark.add_map((!map.is_null()).then(|| ranges(map)));
        }
        for index in 0..METH_NUM {
            if let Some(meth) = ffi::addrxlat_sys_get_meth(sys, index as c_int).as_ref() {
                mark.add_meth(meth);
            }
        }
    }
    mark.0
}

/// Says what a method is.
///
/// # Safety
/// `meth` is NULL or valid.
unsafe fn meth_content(meth: *const Meth) -> u64 {
    let mut mark = Mark::default();
    // SAFETY: as above.
    unsafe {
        if let Some(meth) = meth.as_ref() {
            mark.add_meth(meth);
        }
    }
    mark.0
}

impl State {
    /// A table of C with these elements; NULL without memory.
    fn table(&mut self, elems: &[LookupElem]) -> *mut LookupElem {
        let same = |(table, length): &&(*mut LookupElem, usize)| {
            // SAFETY: the table has so many elements, and is never changed.
            *length == elems.len() && unsafe { core::slice::from_raw_parts(*table, *length) } == elems
        };
        if let Some((table, _)) = self.tables.iter().find(same) {
            return *table;
        }
        // SAFETY: there is room for so many elements.
        unsafe {
            let table: *mut LookupElem = libc::calloc(elems.len().max(1), size_of::<LookupElem>()).cast();
            if !table.is_null() {
                ptr::copy_nonoverlapping(elems.as_ptr(), table, elems.len());
                self.tables.push((table, elems.len()));
            }
            table
        }
    }

    /// Makes the system of C what the one of Rust is. Methods of the client
    /// stay, and so does what is right already: clients have pointers to it.
    ///
    /// # Errors
    /// There is no memory.
    fn fill(&mut self, system: &System) -> Outcome {
        if self.sys.is_null() {
            // SAFETY: it takes nothing.
            self.sys = unsafe { ffi::addrxlat_sys_new() };
            if self.sys.is_null() {
                return Err(no_memory());
            }
        }
        for index in 0..MethodIndex::CUSTOM.0 {
            let Some(method) = system.method(MethodIndex(index)) else { continue };
            let meth = convert::to_c(method, |elems| self.table(elems));
            // SAFETY: the system is there; the method is copied.
            unsafe {
                if meth_content(ffi::addrxlat_sys_get_meth(self.sys, index)) != meth_content(&raw const meth)
                {
                    ffi::addrxlat_sys_set_meth(self.sys, index, &raw const meth);
                }
            }
        }
        for index in MapIndex::ALL {
            self.fill_map(index, system.map(index).map(|map| &**map))?;
        }
        Ok(())
    }

    fn fill_map(&self, index: MapIndex, map: Option<&Map>) -> Outcome {
        let Some(map) = map else {
            // SAFETY: the place has no map then.
            unsafe { ffi::addrxlat_sys_set_map(self.sys, index as c_int, ptr::null_mut()) };
            return Ok(());
        };
        // SAFETY: the map is new, and its reference is given back at the end.
        unsafe {
            let old = ffi::addrxlat_sys_get_map(self.sys, index as c_int);
            let wanted = map.ranges().map(|range| (range.endoff(), range.method.0));
            if !old.is_null() && ranges(old).iter().map(|range| (range.endoff, range.meth)).eq(wanted) {
                return Ok(());
            }
            let new = ffi::addrxlat_map_new();
            if new.is_null() {
                return Err(no_memory());
            }
            let mut complete = true;
            for range in map.ranges() {
                let c = Range { endoff: range.endoff(), meth: range.method.0 };
                complete &= ffi::addrxlat_map_set(new, range.first, &raw const c) == AX_OK;
            }
            ffi::addrxlat_sys_set_map(self.sys, index as c_int, new);
            ffi::addrxlat_map_decref(new);
            if complete { Ok(()) } else { Err(no_memory()) }
        }
    }

    /// What a client made of the system.
    fn read_back(&self, ctx: *mut CtxOpaque) -> System {
        let mut system = System::new();
        // SAFETY: the system is there, and its methods are valid; a client
        // changes it only between calls.
        unsafe {
            for index in 0..METH_NUM as c_int {
                let meth = ffi::addrxlat_sys_get_meth(self.sys, index);
                if !meth.is_null() {
                    let owner = Owner { ctx, sys: self.sys, meth, error: error_of };
                    system.set_method(MethodIndex(index), convert::to_rust(meth, owner));
                }
            }
            for index in MapIndex::ALL {
                let map = ffi::addrxlat_sys_get_map(self.sys, index as c_int);
                if map.is_null() {
                    continue;
                }
                let mut first: u64 = 0;
                for range in ranges(map) {
                    // Ranges of a map follow each other to the end of the space.
                    let _ = system.map_mut(index).set(first, range.endoff, MethodIndex(range.meth));
                    first = first.wrapping_add(range.endoff).wrapping_add(1);
                }
            }
        }
        system
    }
}

/// An error with the text that a custom method left.
///
/// # Safety
/// `ctx` is a context.
unsafe fn error_of(ctx: *mut CtxOpaque, status: AxStatus) -> XlatError {
    let status = Status::from_code(status).unwrap_or(Status::NoData);
    // SAFETY: as above.
    let text = unsafe { take_error(ctx) };
    if text.is_empty() { XlatError::bare(status) } else { XlatError::new(status, text) }
}

impl Ctx {
    /// The context of libaddrxlat; made if it is not there.
    fn own_ctx(&self) -> Result<*mut CtxOpaque, Failure> {
        if let Some(own) = &*self.translation.own.borrow() {
            return Ok(own.ctx);
        }
        // SAFETY: the record belongs to the context that was just made.
        let (ctx, bottom) = unsafe {
            let ctx = ffi::addrxlat_ctx_new();
            if ctx.is_null() {
                return Err(no_memory());
            }
            let bottom = ffi::addrxlat_ctx_add_cb(ctx);
            let Some(record) = bottom.as_mut() else {
                ffi::addrxlat_ctx_decref(ctx);
                return Err(no_memory());
            };
            set_bottom(record, self);
            self.translation.group.changes.get_or_init(|| counter_of(ctx, bottom));
            (ctx, bottom)
        };
        let outside =
            self.dump.xlat().chain().add(Shared::new(Outside { ctx, bottom, buffers: Arc::default() }));
        let dump = Chain::with_base(self.dump.dump_callbacks()).snapshot();
        let own = Own { ctx, bottom, dump, outside, chain: (ptr::null(), 0) };
        *self.translation.own.borrow_mut() = Some(own);
        Ok(ctx)
    }

    /// Copies what clients put on the chain of `original`.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn copy_records(&self, original: &Ctx) -> Outcome {
        let own = original.translation.own.borrow().as_ref().map(|own| (own.ctx, own.bottom));
        let Some((from, bottom)) = own else { return Ok(()) };
        let mut records = Vec::new();
        // SAFETY: clients keep their records valid.
        unsafe {
            let mut cb = ffi::addrxlat_ctx_get_cb(from);
            while !cb.is_null() && !ptr::eq(cb, bottom) {
                records.push(*cb);
                cb = (*cb).next;
            }
        }
        if records.is_empty() {
            return Ok(());
        }
        let ctx = self.own_ctx()?;
        for record in records.into_iter().rev() {
            // SAFETY: the new record is there; its place in the chain stays.
            unsafe {
                let new = ffi::addrxlat_ctx_add_cb(ctx);
                let Some(new) = new.as_mut() else { return Err(no_memory()) };
                *new = Cb { next: new.next, ..record };
            }
        }
        Ok(())
    }

    /// Brings Rust and C in step, before something is read by `space`.
    ///
    /// # Errors
    /// What setting translation up says, once.
    #[inline]
    pub(crate) fn keep_in_step(&self, space: Space) -> Outcome {
        match self.translation.group.handed_out.load(Ordering::Acquire) {
            false => Ok(()),
            true => self.bring_in_step(space),
        }
    }

    /// Whether Rust and C are in step, as far as that takes no work to know.
    #[inline]
    pub(crate) fn is_in_step(&self, space: Space) -> bool {
        !self.translation.group.handed_out.load(Ordering::Acquire) || self.is_still_in_step(space)
    }

    fn is_still_in_step(&self, space: Space) -> bool {
        if space != Space::KernelVirtual && self.dump.spaces().contains(space) {
            return true;
        }
        if let Some(own) = &*self.translation.own.borrow() {
            // SAFETY: the context is there.
            let head = unsafe { ffi::addrxlat_ctx_get_cb(own.ctx) };
            // Clients do not change the record of ours.
            if !ptr::eq(head, own.bottom) || !ptr::eq(head, own.chain.0) {
                return false;
            }
        }
        let Some(of_c) = self.translation.group.changes_of_c() else { return false };
        self.translation.looked.get() == Some((self.dump.translation_changes(), of_c))
    }

    fn bring_in_step(&self, space: Space) -> Outcome {
        if space != Space::KernelVirtual && self.dump.spaces().contains(space) {
            return Ok(());
        }
        self.look_at_chain();
        // Before the look: what changes meanwhile is seen the next time.
        let changes =
            self.translation.group.changes_of_c().map(|of_c| (self.dump.translation_changes(), of_c));
        if changes.is_none() || self.translation.looked.get() != changes {
            self.look_at_system()?;
            self.translation.looked.set(changes);
        }
        Ok(())
    }

    /// Forgets what was translated with another chain of C.
    fn look_at_chain(&self) {
        let own = self.translation.own.borrow().as_ref().map(|own| (own.ctx, own.bottom, own.chain));
        let Some((ctx, bottom, seen)) = own else { return };
        // SAFETY: the context is there.
        let head = unsafe { ffi::addrxlat_ctx_get_cb(ctx) };
        // SAFETY: clients keep their records valid.
        let now = (head, unsafe { chain::content(head, bottom) });
        if now != seen {
            if let Some(own) = &mut *self.translation.own.borrow_mut() {
                own.chain = now;
            }
            // What a client answers may be another thing the next time.
            self.dump.xlat().set_caching(ptr::eq(head, bottom));
            self.dump.xlat().flush();
        }
    }

    fn look_at_system(&self) -> Outcome {
        let group = &self.translation.group;
        let changes = self.dump.translation_changes();
        if group.state().filled != Some(changes) {
            // Unlocked: callbacks may come back here.
            let system = self.dump.translation_system()?;
            let mut state = group.state();
            state.fill(&system)?;
            state.filled = Some(changes);
            // SAFETY: the system is there, and the caller changes it later.
            state.content = unsafe { system_content(state.sys) };
            self.translation.follows.set(None);
            return Ok(());
        }
        let state = group.state();
        // SAFETY: as above.
        let now = unsafe { system_content(state.sys) };
        let follows = self.translation.follows.get();
        if now == state.content {
            drop(state);
            if follows.is_some() {
                self.translation.follows.set(None);
                self.dump.use_own_translation_system();
            }
            return Ok(());
        }
        drop(state);
        if follows != Some(now) {
            let ctx = self.own_ctx()?;
            let system = group.state().read_back(ctx);
            self.dump.use_translation_system(Shared::new(system));
            self.translation.follows.set(Some(now));
        }
        Ok(())
    }
}

/// The context and the system of libaddrxlat, a new reference each.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_get_addrxlat(
    ctx: *mut Ctx,
    axctx: *mut *mut CtxOpaque,
    axsys: *mut *mut SysOpaque,
) -> KStatus {
    // SAFETY: as above; both objects are there.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let own = ctx.own_ctx()?;
            ctx.look_at_chain();
            ctx.look_at_system()?;
            let group = &ctx.translation.group;
            group.handed_out.store(true, Ordering::Release);
            let sys = group.state().sys;
            if !axctx.is_null() {
                ffi::addrxlat_ctx_incref(own);
                store(axctx, own);
            }
            if !axsys.is_null() {
                ffi::addrxlat_sys_incref(sys);
                store(axsys, sys);
            }
            Ok(())
        })
    }
}
