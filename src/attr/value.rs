//! Values of attributes and their types.

use core::fmt;

use super::bitmap::Bitmap;
use super::blob::Blob;
use super::text::Text;

/// Type of an attribute; the numbers are those of the C ABI. It never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AttrType {
    /// Has children instead of a value.
    Directory = 1,
    /// Unsigned 64-bit number.
    Number = 2,
    /// Unsigned 64-bit address.
    Address = 3,
    /// Text.
    String = 4,
    /// A set of page frame numbers.
    Bitmap = 5,
    /// Raw bytes.
    Blob = 6,
}

/// A value of an attribute: owned by the caller, so it stays as it is when the
/// attribute changes (blobs and bitmaps are shared objects).
#[derive(Clone)]
pub enum Value {
    /// The attribute is a directory.
    Directory,
    /// An unsigned 64-bit number.
    Number(u64),
    /// An unsigned 64-bit address.
    Address(u64),
    /// Text.
    String(Text),
    /// A set of page frame numbers.
    Bitmap(Bitmap),
    /// Raw bytes.
    Blob(Blob),
}

impl Value {
    /// The type of attribute that can hold this value.
    pub fn attr_type(&self) -> AttrType {
        match self {
            Value::Directory => AttrType::Directory,
            Value::Number(_) => AttrType::Number,
            Value::Address(_) => AttrType::Address,
            Value::String(_) => AttrType::String,
            Value::Bitmap(_) => AttrType::Bitmap,
            Value::Blob(_) => AttrType::Blob,
        }
    }

    /// The number, if this is one (an address is not).
    pub fn as_number(&self) -> Option<u64> {
        if let Value::Number(number) = self { Some(*number) } else { None }
    }

    /// The address, if this is one.
    pub fn as_address(&self) -> Option<u64> {
        if let Value::Address(address) = self { Some(*address) } else { None }
    }

    /// The text, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(text) = self { Some(text) } else { None }
    }

    /// The blob, if this is one.
    pub fn as_blob(&self) -> Option<&Blob> {
        if let Value::Blob(blob) = self { Some(blob) } else { None }
    }

    /// The bitmap, if this is one.
    pub fn as_bitmap(&self) -> Option<&Bitmap> {
        if let Value::Bitmap(bitmap) = self { Some(bitmap) } else { None }
    }

    /// Equal numbers, equal text, or the same blob or bitmap object.
    pub(crate) fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Directory, Value::Directory) => true,
            (Value::Number(a), Value::Number(b)) | (Value::Address(a), Value::Address(b)) => a == b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::Bitmap(a), Value::Bitmap(b)) => a.same_object(b),
            (Value::Blob(a), Value::Blob(b)) => a.same_object(b),
            _ => false,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.into())
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Directory => f.write_str("Directory"),
            Value::Number(number) => write!(f, "Number({number})"),
            Value::Address(address) => write!(f, "Address({address:#x})"),
            Value::String(text) => write!(f, "String({text:?})"),
            Value::Bitmap(_) => f.write_str("Bitmap"),
            Value::Blob(blob) => write!(f, "Blob({} bytes)", blob.len()),
        }
    }
}
