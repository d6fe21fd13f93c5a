//! Attributes: by key, by reference, and one after the other.

use core::ffi::{c_char, c_int};
use core::ptr;

use kdumpfile::{AttrEntry, AttrRef, Error, Status, Value};
use kdumpfile_capi_shared::{entry, memory};

use crate::ctx::Ctx;
use crate::node;
use crate::status::{Failure, KStatus, OK, Outcome};
use crate::value::{self, Attr, AttrIter, AttrTypeNumber, NIL};

fn no_such_key() -> Failure {
    Error::new(Status::NoKey, "No such key").into()
}

/// The attribute of a reference.
///
/// # Safety
/// `reference` is NULL or valid.
unsafe fn referenced(reference: *const value::AttrRef) -> Result<AttrRef, Failure> {
    // SAFETY: as above.
    let reference = unsafe { reference.as_ref() }.ok_or_else(no_such_key)?;
    // SAFETY: references come from contexts that still exist.
    unsafe { node::attr_of(*reference) }.ok_or_else(no_such_key)
}

/// The path that a key of C is: NULL is the root, bytes that are no text are
/// the key of nothing.
///
/// # Safety
/// `key` is NULL or a string.
unsafe fn path<'a>(key: *const c_char) -> Option<&'a str> {
    if key.is_null() {
        return None;
    }
    // SAFETY: as above. An empty path is never found.
    Some(unsafe { memory::text(key) }.unwrap_or_default())
}

/// What C borrows of the value of an attribute, which has it, too.
#[inline(always)]
fn lend(value: Value) -> Attr {
    Attr { kind: value::type_number(value.attr_type()), val: value::borrowed(&value) }
}

impl Ctx {
    /// The value of the attribute at a key, for C to borrow.
    ///
    /// # Safety
    /// `key` is NULL or a string.
    pub(crate) unsafe fn borrow_at(&self, key: *const c_char) -> Result<Attr, Failure> {
        if key.is_null() {
            return Ok(lend(self.dump.get_with_handle(None::<&str>)?.1));
        }
        // SAFETY: as above.
        if let Some(attr) = unsafe { self.keys.find(key) } {
            match self.dump.get_attr(attr) {
                // Deleted meanwhile.
                Err(error) if error.status() == Status::NoKey => {}
                known => return Ok(lend(known?)),
            }
        }
        // SAFETY: as above.
        unsafe { self.borrow_and_keep(key) }
    }

    /// The same for a key that was not asked for lately.
    ///
    /// # Safety
    /// `key` is a string.
    #[inline(never)]
    unsafe fn borrow_and_keep(&self, key: *const c_char) -> Result<Attr, Failure> {
        // SAFETY: as above.
        unsafe {
            let (attr, value) = self.dump.get_with_handle(memory::bytes(key))?;
            self.keys.keep(key, attr);
            Ok(lend(value))
        }
    }

    /// The same for an attribute.
    #[cfg(not(feature = "abi12"))]
    pub(crate) fn borrow_attr(&self, attr: AttrRef) -> Result<Attr, Failure> {
        Ok(lend(self.dump.get_attr(attr)?))
    }

    /// The attribute at a key.
    ///
    /// # Safety
    /// `key` is NULL or a string.
    pub(crate) unsafe fn attr_at(&self, key: *const c_char) -> Result<AttrRef, Failure> {
        // SAFETY: as above.
        Ok(self.dump.attr(unsafe { path(key) })?)
    }

    /// Gives an attribute the value of `given`, or clears it.
    ///
    /// # Safety
    /// `given` is valid, and so is what it points to.
    unsafe fn give(&self, attr: AttrRef, given: *const Attr) -> Outcome {
        // SAFETY: as above.
        let given = unsafe { given.as_ref() }.ok_or_else(|| value::type_mismatch("Type mismatch"))?;
        if given.kind == NIL {
            return Ok(self.dump.clear_attr(attr)?);
        }
        let kind = self.dump.attr_type(attr).ok_or_else(no_such_key)?;
        // SAFETY: as above.
        let value = unsafe { value::given(given, kind) }?;
        let outcome = self.dump.set_attr(attr, value);
        // SAFETY: the attribute has it now, or it goes with a value that a
        // hook refused.
        unsafe { value::release(given, kind) };
        Ok(outcome?)
    }

    /// Puts an iterator at an entry, or at the end.
    fn place(&self, entry: Option<AttrEntry>) -> AttrIter {
        match entry {
            Some(AttrEntry { key, attr }) => self.family.position(attr, &key),
            None => AttrIter { key: ptr::null(), pos: value::AttrRef { ptr: ptr::null_mut() } },
        }
    }
}

/// Sets the attribute at a key.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_set_attr(ctx: *mut Ctx, key: *const c_char, valp: *const Attr) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            // This function alone has that status for it, and clients know.
            let attr = ctx.attr_at(key).map_err(|failure| failure.with_status(Status::NoData))?;
            ctx.give(attr, valp)
        })
    }
}

/// The value of the attribute at a key, borrowed.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_get_attr(ctx: *mut Ctx, key: *const c_char, valp: *mut Attr) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let attr = ctx.borrow_at(key)?;
            store(valp, attr);
            Ok(())
        })
    }
}

/// Stores a result of a function.
///
/// # Safety
/// `place` is NULL or valid.
pub(crate) unsafe fn store<T>(place: *mut T, value: T) {
    if !place.is_null() {
        // SAFETY: as above; what was there need not be dropped.
        unsafe { place.write(value) };
    }
}

/// A reference to the attribute at a key, set or not.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_ref(
    ctx: *mut Ctx,
    key: *const c_char,
    reference: *mut value::AttrRef,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let attr = ctx.attr_at(key)?;
            store(reference, ctx.family.reference(attr));
            Ok(())
        })
    }
}

/// A reference to the attribute at a key below another one.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_sub_attr_ref(
    ctx: *mut Ctx,
    base: *const value::AttrRef,
    subkey: *const c_char,
    reference: *mut value::AttrRef,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let attr = ctx.dump.sub_attr(referenced(base)?, path(subkey).unwrap_or_default())?;
            store(reference, ctx.family.reference(attr));
            Ok(())
        })
    }
}

/// Ends the use of a reference; it is not changed, as copies may be in use.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_unref(ctx: *mut Ctx, _: *mut value::AttrRef) {
    // SAFETY: as above.
    unsafe { Ctx::enter(ctx, |_| Ok(())) };
}

/// The type of an attribute; `KDUMP_NIL` if it was deleted.
///
/// # Safety
/// `reference` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_ref_type(reference: *mut value::AttrRef) -> AttrTypeNumber {
    entry!(NIL, {
        // SAFETY: as above.
        let described = unsafe { reference.as_ref().and_then(|reference| node::describe(*reference)) };
        described.map_or(NIL, |(kind, _)| value::type_number(kind))
    })
}

/// Whether an attribute has a value.
///
/// # Safety
/// `reference` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_ref_isset(reference: *mut value::AttrRef) -> c_int {
    entry!(0, {
        // SAFETY: as above.
        let described = unsafe { reference.as_ref().and_then(|reference| node::describe(*reference)) };
        described.is_some_and(|(_, set)| set).into()
    })
}

/// The value of an attribute: borrowed or owned, as the generation says.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_ref_get(
    ctx: *mut Ctx,
    reference: *const value::AttrRef,
    valp: *mut Attr,
) -> KStatus {
    // SAFETY: as above; references come from contexts that still exist.
    unsafe {
        let number = Ctx::at_best(ctx, |ctx| ctx.dump.number_at_hand(node::attr_of(*reference.as_ref()?)?));
        if let Some((kind, number)) = number {
            store(valp, Attr { kind: value::type_number(kind), val: value::AttrValue { number } });
            return OK;
        }
        ref_get_any(ctx, reference, valp)
    }
}

/// The same for an attribute of any type.
///
/// # Safety
/// As above.
#[inline(never)]
unsafe fn ref_get_any(ctx: *mut Ctx, reference: *const value::AttrRef, valp: *mut Attr) -> KStatus {
    // SAFETY: as above.
    unsafe { crate::generation::ref_get(ctx, || referenced(reference), valp) }
}

/// Sets an attribute.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_ref_set(
    ctx: *mut Ctx,
    reference: *mut value::AttrRef,
    valp: *const Attr,
) -> KStatus {
    // SAFETY: as above.
    unsafe { Ctx::enter(ctx, |ctx| ctx.give(referenced(reference)?, valp)) }
}

/// Sets the attribute at a key below another one.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_set_sub_attr(
    ctx: *mut Ctx,
    base: *const value::AttrRef,
    subkey: *const c_char,
    valp: *const Attr,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let attr = ctx.dump.sub_attr(referenced(base)?, path(subkey).unwrap_or_default())?;
            ctx.give(attr, valp)
        })
    }
}

/// Begins with the first attribute with a value of the directory at a key.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_iter_start(
    ctx: *mut Ctx,
    key: *const c_char,
    iter: *mut AttrIter,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let first = ctx.dump.first_child(path(key))?;
            store(iter, ctx.place(first));
            Ok(())
        })
    }
}

/// The same for a directory by reference.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_ref_iter_start(
    ctx: *mut Ctx,
    reference: *const value::AttrRef,
    iter: *mut AttrIter,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let first = ctx.dump.next_child(referenced(reference)?, None)?;
            store(iter, ctx.place(first));
            Ok(())
        })
    }
}

/// Goes on to the next attribute with a value.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_iter_next(ctx: *mut Ctx, iter: *mut AttrIter) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let iter = iter.as_mut().ok_or_else(|| Error::invalid("End of iteration"))?;
            if iter.pos.ptr.is_null() {
                return Err(Error::invalid("End of iteration").into());
            }
            let previous = referenced(&raw const iter.pos)?;
            let next = ctx.dump.next_sibling(previous)?;
            *iter = ctx.place(next);
            Ok(())
        })
    }
}

/// Ends an iteration; there is nothing to free.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_iter_end(ctx: *mut Ctx, _: *mut AttrIter) {
    // SAFETY: as above.
    unsafe { Ctx::enter(ctx, |_| Ok(())) };
}
