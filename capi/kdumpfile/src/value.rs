//! The structures of attributes, and values in them.

use core::ffi::{c_char, c_uint, c_void};

use kdumpfile::{AttrType, Value};

use crate::bitmap::{self, Bmp};
use crate::blob::{self, Blob};
use crate::status::Failure;

/// `kdump_attr_type_t`.
pub type AttrTypeNumber = c_uint;

/// `KDUMP_NIL`.
pub const NIL: AttrTypeNumber = 0;

/// `kdump_attr_value_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub union AttrValue {
    /// For `KDUMP_NUMBER`.
    pub number: u64,
    /// For `KDUMP_ADDRESS`.
    pub address: u64,
    /// For `KDUMP_STRING`.
    pub string: *const c_char,
    /// For `KDUMP_BITMAP`.
    pub bitmap: *mut Bmp,
    /// For `KDUMP_BLOB`.
    pub blob: *mut Blob,
}

/// `kdump_attr_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Attr {
    /// Which member of the value counts.
    pub kind: AttrTypeNumber,
    /// The value.
    pub val: AttrValue,
}

/// `kdump_attr_ref_t`. Clients copy it as bytes.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AttrRef {
    /// See `node.rs`.
    pub ptr: *mut c_void,
}

/// `kdump_attr_iter_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct AttrIter {
    /// Last component of the key, or NULL at the end.
    pub key: *const c_char,
    /// The attribute.
    pub pos: AttrRef,
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<AttrValue>() == 8);
    assert!(size_of::<Attr>() == 16 && offset_of!(Attr, val) == 8);
    assert!(size_of::<AttrRef>() == 8);
    assert!(size_of::<AttrIter>() == 16 && offset_of!(AttrIter, pos) == 8);
};

/// The number of a type.
pub(crate) fn type_number(kind: AttrType) -> AttrTypeNumber {
    kind as AttrTypeNumber
}

/// What a function says about a value of the wrong type.
pub(crate) fn type_mismatch(text: &str) -> Failure {
    Failure::new(crate::status::INVALID, text)
}

/// A value as C sees it, without any reference of its own.
#[inline(always)]
pub(crate) fn borrowed(value: &Value) -> AttrValue {
    match value {
        Value::Number(number) => AttrValue { number: *number },
        Value::Address(address) => AttrValue { address: *address },
        // It stays there as long as the attribute has the value.
        Value::String(text) => AttrValue { string: text.as_bytes_with_nul().as_ptr().cast() },
        Value::Bitmap(bits) => AttrValue { bitmap: bitmap::object(bits) },
        Value::Blob(bytes) => AttrValue { blob: blob::object(bytes) },
        Value::Directory => AttrValue { number: 0 },
    }
}

/// The value that C gives to an attribute of type `kind`.
///
/// # Errors
/// `Type mismatch` for another type, and for NULL.
///
/// # Safety
/// `attr` is valid, and so is what it points to.
pub(crate) unsafe fn given(attr: &Attr, kind: AttrType) -> Result<Value, Failure> {
    let mismatch = || type_mismatch("Type mismatch");
    if attr.kind != type_number(kind) {
        return Err(mismatch());
    }
    // SAFETY: the member that the type says is looked at, and no other.
    unsafe {
        Ok(match kind {
            AttrType::Directory => Value::Directory,
            AttrType::Number => Value::Number(attr.val.number),
            AttrType::Address => Value::Address(attr.val.address),
            AttrType::String => {
                let text = kdumpfile_capi_shared::memory::bytes(attr.val.string).ok_or_else(mismatch)?;
                Value::from(&*String::from_utf8_lossy(text))
            }
            AttrType::Bitmap => {
                Value::Bitmap(attr.val.bitmap.as_ref().map(Bmp::handle).ok_or_else(mismatch)?)
            }
            AttrType::Blob => Value::Blob(attr.val.blob.as_ref().map(Blob::handle).ok_or_else(mismatch)?),
        })
    }
}

/// Releases the reference that C gave away with a value.
///
/// # Safety
/// `given` accepted the value, and the caller's reference goes with it.
pub(crate) unsafe fn release(attr: &Attr, kind: AttrType) {
    // SAFETY: the member that the type says, which is an object of C.
    unsafe {
        match kind {
            AttrType::Bitmap => _ = bitmap::kdump_bmp_decref(attr.val.bitmap),
            AttrType::Blob => _ = blob::kdump_blob_decref(attr.val.blob),
            _ => {}
        }
    }
}
