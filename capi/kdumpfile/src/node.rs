//! What pointers of C point to: attributes, and their keys.
//!
//! ```text
//!   kdump_attr_ref_t._ptr = address of a node, low bits = generation of the attribute
//!                             │
//!   Family.nodes[n] ──────────┴─> Node ── attribute number n as it was met last
//!                                   └─ key      iter.key
//! ```
//!
//! A reference is one pointer that clients copy as they like and that is never
//! freed. So nodes stay until the last clone of a context is gone, and are used
//! again when the library uses the number of a deleted attribute again. The low
//! bits of the pointer tell most references to deleted attributes from those
//! to their successors; these fail with `No such key`.

use core::ffi::c_void;
use core::ptr;
use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kdumpfile::{AttrRef, AttrType, Context};

use crate::value;

/// Bits of a pointer that tell generations apart: nodes have this alignment.
const TAG_MASK: usize = 63;

/// What the clones of a context have in common.
pub(crate) struct Family {
    /// Answers what is asked without a context.
    dump: Mutex<Context>,
    nodes: Mutex<Vec<Option<Box<Node>>>>,
}

/// See the module.
#[repr(align(64))]
struct Node {
    /// Valid as long as the node is: the family owns it.
    family: *const Family,
    /// The attribute, as a number.
    attr: AtomicU64,
    key: Mutex<CString>,
}

// SAFETY: the pointer leads to the owner, which may be used by all threads.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text up to the first NUL, as C reads it.
fn c_text(text: &str) -> CString {
    let end = text.bytes().position(|byte| byte == 0).unwrap_or(text.len());
    CString::new(&text.as_bytes()[..end]).unwrap_or_default()
}

fn tag(attr: AttrRef) -> usize {
    (attr.into_raw() >> 32) as usize & TAG_MASK
}

impl Family {
    /// A family of one context.
    pub fn new(dump: &Context) -> Arc<Self> {
        let probe = dump.clone();
        probe.set_callbacks(kdumpfile::Callbacks::default());
        Arc::new(Family { dump: Mutex::new(probe), nodes: Mutex::default() })
    }

    /// Calls `look` with the node of an attribute.
    fn with_node<R>(&self, attr: AttrRef, look: impl FnOnce(&Node) -> R) -> R {
        let raw = attr.into_raw();
        let index = raw as u32 as usize;
        let mut nodes = lock(&self.nodes);
        if nodes.len() <= index {
            nodes.resize_with(index + 1, || None);
        }
        let node = nodes[index].get_or_insert_with(|| {
            Box::new(Node { family: self, attr: AtomicU64::new(raw), key: Mutex::default() })
        });
        if node.attr.load(Ordering::Acquire) != raw {
            *lock(&node.key) = CString::default();
            node.attr.store(raw, Ordering::Release);
        }
        look(node)
    }

    /// The reference of C for an attribute.
    pub fn reference(&self, attr: AttrRef) -> value::AttrRef {
        self.with_node(attr, |node| node.reference(attr))
    }

    /// The position of an iterator at an attribute with this key.
    pub fn position(&self, attr: AttrRef, key: &str) -> value::AttrIter {
        self.with_node(attr, |node| {
            let mut kept = lock(&node.key);
            if kept.is_empty() && !key.is_empty() {
                *kept = c_text(key);
            }
            value::AttrIter { key: kept.as_ptr(), pos: node.reference(attr) }
        })
    }
}

impl Node {
    fn reference(&self, attr: AttrRef) -> value::AttrRef {
        let address = ptr::from_ref(self).cast::<c_void>().cast_mut();
        value::AttrRef { ptr: address.map_addr(|address| address | tag(attr)) }
    }
}

/// The node of a reference, and the attribute that it means.
///
/// # Safety
/// The reference is NULL, or came from a context whose family still exists.
unsafe fn resolve<'a>(reference: value::AttrRef) -> Option<(&'a Node, AttrRef)> {
    let node = reference.ptr.map_addr(|address| address & !TAG_MASK).cast::<Node>();
    // SAFETY: as above.
    let node = unsafe { node.as_ref() }?;
    let attr = AttrRef::from_raw(node.attr.load(Ordering::Acquire));
    let meant = reference.ptr.addr() & TAG_MASK;
    (meant == tag(attr)).then_some((node, attr))
}

/// The attribute that a reference means; none if it was deleted meanwhile.
///
/// # Safety
/// As for [`resolve`].
pub(crate) unsafe fn attr_of(reference: value::AttrRef) -> Option<AttrRef> {
    // SAFETY: as above.
    unsafe { resolve(reference) }.map(|(_, attr)| attr)
}

/// The type of an attribute, and whether it has a value; without a context.
///
/// # Safety
/// As for [`resolve`].
pub(crate) unsafe fn describe(reference: value::AttrRef) -> Option<(AttrType, bool)> {
    // SAFETY: as above; the family of a node that is there is there, too.
    let (node, attr) = unsafe { resolve(reference) }?;
    // SAFETY: the family owns the node.
    let dump = lock(unsafe { &(*node.family).dump });
    Some((dump.attr_type(attr)?, dump.attr_is_set(attr)))
}
