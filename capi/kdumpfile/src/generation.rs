//! What differs between the two generations of the C ABI.
//!
//! | function | libkdumpfile.so.10 | libkdumpfile.so.12 (feature `abi12`) |
//! | --- | --- | --- |
//! | `kdump_get_typed_attr` | the type stands in the result | the type is an argument, and is looked at first |
//! | `kdump_attr_ref_get` | lends the value | gives the value away |
//! | `kdump_attr_discard` | - | takes such a value back |

use core::ffi::c_char;

use kdumpfile::AttrRef;

use crate::attr::store;
use crate::ctx::Ctx;
use crate::status::{Failure, KStatus};
use crate::value::{Attr, type_mismatch};

fn mismatch() -> Failure {
    type_mismatch("Attribute type mismatch")
}

/// The value of the attribute at a key, which is of the type that `valp` says.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[cfg(not(feature = "abi12"))]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_get_typed_attr(ctx: *mut Ctx, key: *const c_char, valp: *mut Attr) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let wanted = valp.as_ref().map(|valp| valp.kind);
            let attr = ctx.borrow_at(key)?;
            store(valp, attr);
            if wanted == Some(attr.kind) { Ok(()) } else { Err(mismatch()) }
        })
    }
}

/// The value of the attribute at a key, which is of type `kind`.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[cfg(feature = "abi12")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_get_typed_attr(
    ctx: *mut Ctx,
    key: *const c_char,
    kind: crate::value::AttrTypeNumber,
    valp: *mut crate::value::AttrValue,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let found = ctx.borrow_at(key);
            let found_kind = match &found {
                Ok(attr) => Some(attr.kind),
                // Without a value the type counts all the same.
                Err(_) => {
                    let attr = ctx.attr_at(key)?;
                    ctx.dump.attr_type(attr).map(crate::value::type_number)
                }
            };
            if found_kind != Some(kind) {
                return Err(mismatch());
            }
            store(valp, found?.val);
            Ok(())
        })
    }
}

/// The body of `kdump_attr_ref_get`.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[cfg(not(feature = "abi12"))]
pub(crate) unsafe fn ref_get(
    ctx: *mut Ctx,
    attr: impl FnOnce() -> Result<AttrRef, Failure>,
    valp: *mut Attr,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            store(valp, ctx.borrow_attr(attr()?)?);
            Ok(())
        })
    }
}

/// The body of `kdump_attr_ref_get`.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[cfg(feature = "abi12")]
pub(crate) unsafe fn ref_get(
    ctx: *mut Ctx,
    attr: impl FnOnce() -> Result<AttrRef, Failure>,
    valp: *mut Attr,
) -> KStatus {
    use crate::value::{AttrValue, NIL};
    use kdumpfile::Value;
    use kdumpfile_capi_shared::memory;

    // SAFETY: as above.
    unsafe {
        // So that whatever came of it may be discarded.
        if let Some(valp) = valp.as_mut() {
            valp.kind = NIL;
        }
        Ctx::enter(ctx, |ctx| {
            let value = ctx.dump.get_attr(attr()?)?;
            let kind = crate::value::type_number(value.attr_type());
            let val = match &value {
                Value::String(text) => {
                    let string = memory::string(text.as_bytes());
                    if string.is_null() {
                        return Err(kdumpfile::Error::system("Cannot allocate string").into());
                    }
                    AttrValue { string }
                }
                other => crate::value::borrowed(other),
            };
            match &value {
                Value::Bitmap(_) => _ = crate::bitmap::kdump_bmp_incref(val.bitmap),
                Value::Blob(_) => _ = crate::blob::kdump_blob_incref(val.blob),
                _ => {}
            }
            store(valp, Attr { kind, val });
            Ok(())
        })
    }
}

/// Takes back what `kdump_attr_ref_get` gave away.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[cfg(feature = "abi12")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_attr_discard(_: *mut Ctx, attr: *mut Attr) {
    use crate::value::type_number;
    use kdumpfile::AttrType;

    const STRING: u32 = AttrType::String as u32;
    kdumpfile_capi_shared::entry!((), {
        // SAFETY: as above; the member that the type says.
        unsafe {
            let Some(attr) = attr.as_ref() else { return };
            if attr.kind == STRING {
                libc::free(attr.val.string.cast_mut().cast());
            } else if attr.kind == type_number(AttrType::Bitmap) {
                crate::bitmap::kdump_bmp_decref(attr.val.bitmap);
            } else if attr.kind == type_number(AttrType::Blob) {
                crate::blob::kdump_blob_decref(attr.val.blob);
            }
        }
    })
}
