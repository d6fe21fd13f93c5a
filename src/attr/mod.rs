//! The attribute tree: everything known about a dump, as typed values.
//!
//! ```text
//! Attributes ── Lock ── tree ── nodes            one lock, held for a look-up
//!      │                  │                      or a change, never across I/O
//!      │                  └── hooks: what follows from a change
//!      └── Effects: what a change asks of the layers above
//! ```
//!
//! | word | means |
//! | --- | --- |
//! | set | has a value; keys without one exist and can be referenced |
//! | persistent | set by the user: survives opening another dump |
//! | volatile | set by the library: goes with the dump it came from |
//! | view | a register inside a CPU's PRSTATUS note: read and written there |
//! | lazy | computed at the first access; so are all rows of VMCOREINFO together |
//!
//! This module knows neither files nor formats.

use alloc::string::String;
use alloc::vec::Vec;

mod bitmap;
mod blob;
mod catalogue;
mod companion;
mod hooks;
mod number;
mod path;
mod scope;
mod text;
mod tree;
mod value;
mod view;
mod vmcoreinfo;

pub use bitmap::{BitSource, Bitmap, Ranges, RunList};
pub use blob::{Blob, BlobBytes, BlobPin};
pub use hooks::{Effects, Os};
pub use scope::Scope;
pub use text::Text;
pub use tree::{AttrRef, Gauge, LazyValue};
pub use value::{AttrType, Value};
pub use view::PageShift;

use crate::arch::{Arch, ByteOrder};
use crate::error::{Error, Result, ResultExt, Status};
use crate::sync::{Fault, Lock, Shared, broken};
use hooks::Hook;
use tree::{Access, ROOT, Slot, Tree};
use view::View;

/// Facts of the tree that every read needs, taken in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// log2 of `arch.page_size`, if that is known.
    pub page_shift: Option<u32>,
    /// `arch.byte_order`; big endian if unknown.
    pub byte_order: ByteOrder,
    /// `max_pfn`: one above the highest PFN, if known.
    pub max_pfn: Option<u64>,
    /// `file.zero_excluded`: pages that are not stored read as zeroes.
    pub zero_excluded: bool,
}

/// One entry of an iteration: the key within its directory, and the attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttrEntry {
    /// Last component of the path.
    pub key: String,
    /// The attribute.
    pub attr: AttrRef,
}

/// An attribute tree that may be shared.
pub struct Attributes {
    tree: Lock<Tree>,
}

#[cold]
fn no_such_key() -> Error {
    Error::new(Status::NoKey, "No such key")
}

impl Attributes {
    /// Runs one step on the locked tree. Values that it replaced go away
    /// unlocked: the last handle of a bitmap may run code of the user.
    fn with_tree<R>(&self, step: impl FnOnce(&mut Tree) -> R) -> R {
        let mut tree = self.tree.lock();
        let result = step(&mut tree);
        let dropped = tree.take_dropped();
        if broken(Fault::DroppedUnderLock) {
            drop(dropped);
            return result;
        }
        drop(tree);
        drop(dropped);
        result
    }

    /// A tree with the whole catalogue and the values of a fresh context.
    pub fn new() -> Self {
        let mut tree = Tree::new();
        catalogue::create(&mut tree);
        tree.create_first_scope();
        let mut effects = Effects::default();
        for (path, value) in [("cache.size", DEFAULT_CACHE_SIZE), ("file.set.number", 0)] {
            let set = tree.set_path(path, Value::Number(value), true, &mut effects);
            debug_assert!(set.is_ok());
        }
        // Reachable by path from the start, although their parent has no value.
        for path in ["addrxlat.default", "addrxlat.force"] {
            if let Some(id) = tree.lookup(ROOT, path) {
                tree.node_mut(id).set = true;
            }
        }
        Attributes { tree: Lock::new(tree) }
    }

    /// A handle to the attribute at `path` (`None`: the root), set or not.
    ///
    /// # Errors
    /// `NoKey` (`No such key`).
    pub fn reference(&self, path: Option<&str>) -> Result<AttrRef> {
        let mut tree = self.tree.lock();
        tree.read_rows_for(path.map(str::as_bytes));
        let id = path.map_or(Some(ROOT), |path| tree.lookup(ROOT, path));
        id.map(|id| tree.reference(id)).ok_or_else(no_such_key)
    }

    /// A handle to the attribute at `path` below `base`.
    ///
    /// # Errors
    /// `NoKey` (`No such key`), also for a `base` that was deleted.
    pub fn sub_reference(&self, base: AttrRef, path: &str) -> Result<AttrRef> {
        let mut tree = self.tree.lock();
        let base = tree.resolve(base)?;
        tree.read_rows_below(base, path.as_bytes());
        tree.lookup(base, path).map(|id| tree.reference(id)).ok_or_else(no_such_key)
    }

    /// Type of an attribute.
    ///
    /// # Errors
    /// `NoKey` for an attribute that was deleted; likewise below.
    pub fn attr_type(&self, handle: AttrRef) -> Result<AttrType> {
        let tree = self.tree.lock();
        Ok(tree.node(tree.resolve(handle)?).kind)
    }

    /// Whether an attribute has a value.
    ///
    /// # Errors
    /// `NoKey`.
    pub fn is_set(&self, handle: AttrRef) -> Result<bool> {
        let mut tree = self.tree.lock();
        let id = tree.resolve(handle)?;
        tree.read_rows_in(id);
        Ok(tree.node(id).set)
    }

    /// Full path of an attribute; empty for the root.
    ///
    /// # Errors
    /// `NoKey`.
    pub fn path(&self, handle: AttrRef) -> Result<String> {
        let tree = self.tree.lock();
        Ok(tree.path(tree.resolve(handle)?, ROOT))
    }

    /// The value of an attribute.
    ///
    /// # Errors
    /// `NoData` (`Key has no value`); what computing a value says, behind
    /// `Value cannot be revalidated`.
    #[inline]
    pub fn get(&self, handle: AttrRef) -> Result<Value> {
        let lazy = {
            let mut tree = self.tree.lock();
            let id = tree.resolve(handle)?;
            tree.read_rows_in(id);
            match tree.access(id)? {
                Access::Value(value) => return Ok(value),
                Access::Lazy(lazy) => lazy,
            }
        };
        self.compute(handle, &lazy)
    }

    /// The type and the value of an attribute that is a number or an address
    /// and has its value without any work.
    #[inline]
    pub fn number_at_hand(&self, handle: AttrRef) -> Option<(AttrType, u64)> {
        let tree = self.tree.lock();
        let node = tree.found(handle).filter(|node| node.set && !node.stale)?;
        match node.slot {
            Slot::Plain(Some(Value::Number(value) | Value::Address(value))) => Some((node.kind, value)),
            _ => None,
        }
    }

    /// Computes a value, and keeps it.
    #[inline(never)]
    fn compute(&self, handle: AttrRef, lazy: &Shared<dyn LazyValue>) -> Result<Value> {
        // Unlocked: the value may have to be read from the dump.
        let value = lazy.compute().context(|| "Value cannot be revalidated")?;
        self.with_tree(|tree| {
            let Ok(id) = tree.resolve(handle) else { return Ok(value) };
            if matches!(&tree.node(id).slot, Slot::Lazy(now) if Shared::ptr_eq(now, lazy)) {
                tree.put(id, Slot::Plain(Some(value.clone())));
                return Ok(value);
            }
            // Somebody else was faster, or changed it meanwhile.
            match tree.access(id) {
                Ok(Access::Value(kept)) if !broken(Fault::ComputedTwice) => Ok(kept),
                _ => Ok(value),
            }
        })
    }

    /// Sets an attribute; `persistent` says that the user did.
    ///
    /// # Errors
    /// `Invalid` (`Type mismatch`); what the attribute's own checks say.
    /// Effects may be due even then.
    pub fn set(&self, handle: AttrRef, value: Value, persistent: bool, effects: &mut Effects) -> Result<()> {
        self.with_tree(|tree| {
            let id = tree.resolve(handle)?;
            tree.read_rows_in(id);
            tree.set(id, value, persistent, effects)
        })
    }

    /// Clears an attribute and everything below it.
    ///
    /// # Errors
    /// `NoKey`.
    pub fn clear(&self, handle: AttrRef, effects: &mut Effects) -> Result<()> {
        self.with_tree(|tree| {
            let id = tree.resolve(handle)?;
            tree.read_rows_in(id);
            tree.clear(id, effects);
            Ok(())
        })
    }

    /// Clears everything that the library set for the dump that was open.
    pub fn clear_volatile(&self, effects: &mut Effects) {
        self.with_tree(|tree| tree.clear_volatile(effects));
    }

    /// The first child with a value, or the one after `previous`; `None` at the end.
    ///
    /// # Errors
    /// `NoData` (`Key has no value`) or `Invalid` (`Path is a leaf attribute`)
    /// for a `directory` that is none; `NoKey` for deleted attributes.
    pub fn next(&self, directory: AttrRef, previous: Option<AttrRef>) -> Result<Option<AttrEntry>> {
        let mut tree = self.tree.lock();
        tree.read_rows();
        tree.next_entry(tree.first_directory(), directory, previous)
    }

    /// Facts that every read needs, as one consistent set.
    pub fn geometry(&self) -> Geometry {
        let tree = self.tree.lock();
        Geometry {
            page_shift: tree.number("arch.page_size").map(u64::trailing_zeros),
            byte_order: tree.byte_order(),
            max_pfn: tree.number("max_pfn"),
            zero_excluded: tree.number("file.zero_excluded").is_some_and(|flag| flag != 0),
        }
    }

    /// The number or address at `path`, if it has a value that can be told
    /// without reading from the dump.
    pub fn number(&self, path: &str) -> Option<u64> {
        let mut tree = self.tree.lock();
        tree.read_rows_for(Some(path.as_bytes()));
        let id = tree.lookup(ROOT, path)?;
        match tree.access(id).ok()? {
            Access::Value(Value::Number(number) | Value::Address(number)) => Some(number),
            _ => None,
        }
    }

    /// The text at `path`, if it is set.
    pub fn string(&self, path: &str) -> Option<Text> {
        let mut tree = self.tree.lock();
        tree.read_rows_for(Some(path.as_bytes()));
        match tree.plain_value(tree.lookup(ROOT, path)?) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Makes the number at `path` an indirect view of `gauge`, with a value.
    pub fn bind(&self, path: &str, gauge: Shared<dyn Gauge>) {
        self.with_tree(|tree| tree.give_path(path, Slot::Indirect(gauge)));
    }

    /// The descriptors of the file set, once each of them is set.
    pub fn complete_file_set(&self) -> Option<Vec<u64>> {
        self.tree.lock().complete_file_set()
    }

    /// Gives `path` a volatile value without any hook: what follows from it
    /// is known already.
    pub(crate) fn note(&self, path: &str, value: Value) {
        self.with_tree(|tree| {
            if let Some(id) = tree.lookup(ROOT, path) {
                tree.give(id, Slot::Plain(Some(value)), false);
            }
        });
    }

    /// Gives `path` a value as if the user had set it, without any hook.
    pub(crate) fn put_back(&self, path: &str, value: Value) {
        self.with_tree(|tree| tree.give_path(path, Slot::Plain(Some(value))));
    }
}

impl Default for Attributes {
    fn default() -> Self {
        Self::new()
    }
}

/// Slots of the page cache of a fresh context.
pub const DEFAULT_CACHE_SIZE: u64 = 1024;

/// Creates `path` below `base` with a value of a special kind.
fn give_new(tree: &mut Tree, base: Option<u32>, path: &str, kind: AttrType, slot: Slot) -> Result<()> {
    let id = base.and_then(|base| tree.create_path(base, path, kind, Hook::None));
    let id = id.ok_or_else(|| Error::invalid("Path is a leaf attribute"))?;
    if tree.node(id).kind != kind {
        return Err(Error::invalid("Type mismatch"));
    }
    tree.give(id, slot, false);
    Ok(())
}

/// Sets attributes on behalf of the library: volatile values, and keys that
/// do not exist yet. Formats describe the dump through it.
pub struct Facts<'a> {
    attributes: &'a Attributes,
    effects: &'a mut Effects,
}

impl<'a> Facts<'a> {
    /// A writer that notes what its changes ask for in `effects`.
    pub fn new(attributes: &'a Attributes, effects: &'a mut Effects) -> Self {
        Facts { attributes, effects }
    }

    /// Sets the attribute at `path`, which is created if it does not exist.
    ///
    /// # Errors
    /// What the attribute's own checks say; `Invalid` if a component on the
    /// way is no directory, or an existing key has another type.
    pub fn set(&mut self, path: &str, value: Value) -> Result<()> {
        let Facts { attributes, effects } = self;
        attributes.with_tree(|tree| {
            tree.read_rows_for(Some(path.as_bytes()));
            let id = tree
                .create_path(ROOT, path, value.attr_type(), Hook::None)
                .ok_or_else(|| Error::invalid("Path is a leaf attribute"))?;
            tree.set(id, value, false, effects)
        })
    }

    /// Sets a number.
    ///
    /// # Errors
    /// Those of [`Facts::set`]; likewise below.
    pub fn set_number(&mut self, path: &str, number: u64) -> Result<()> {
        self.set(path, Value::Number(number))
    }

    /// Sets an address.
    ///
    /// # Errors
    /// Those of [`Facts::set`].
    pub fn set_address(&mut self, path: &str, address: u64) -> Result<()> {
        self.set(path, Value::Address(address))
    }

    /// Sets a text.
    ///
    /// # Errors
    /// Those of [`Facts::set`].
    pub fn set_string(&mut self, path: &str, text: &str) -> Result<()> {
        self.set(path, Value::from(text))
    }

    /// Sets a blob to a new object with these bytes.
    ///
    /// # Errors
    /// Those of [`Facts::set`].
    pub fn set_blob(&mut self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.set(path, Value::Blob(Blob::new(bytes)))
    }

    /// Sets a bitmap.
    ///
    /// # Errors
    /// Those of [`Facts::set`].
    pub fn set_bitmap(&mut self, path: &str, bits: Bitmap) -> Result<()> {
        self.set(path, Value::Bitmap(bits))
    }

    /// Gives the attribute at `path` a value that is computed when somebody asks.
    pub fn set_lazy(&mut self, path: &str, kind: AttrType, lazy: Shared<dyn LazyValue>) {
        // A key of another type stays as it is.
        let _ = self.put(path, kind, Slot::Lazy(lazy));
    }

    /// Makes the number at `path` that of `gauge` until another dump is opened.
    ///
    /// # Errors
    /// Those of [`Facts::set_view`].
    pub fn bind(&mut self, path: &str, gauge: Shared<dyn Gauge>) -> Result<()> {
        self.put(path, AttrType::Number, Slot::Indirect(gauge))
    }

    /// Creates number `path` as a view of `length` bytes (1, 2, 4 or 8) at
    /// `offset` of the blob `blob`, which is its sibling or a sibling of its
    /// directory (`cpu.0.reg.rip` looks into `cpu.0.PRSTATUS`).
    ///
    /// # Errors
    /// `Invalid` if a component on the way is no directory, or the key has
    /// another type.
    pub fn set_view(&mut self, path: &str, blob: &'static str, offset: u32, length: u8) -> Result<()> {
        self.put(path, AttrType::Number, Slot::View(View { blob, offset, length, order: None }))
    }

    /// The same for a number that is stored in `order`, whatever
    /// `arch.byte_order` says.
    ///
    /// # Errors
    /// Those of [`Facts::set_view`].
    pub fn set_view_in(
        &mut self,
        path: &str,
        blob: &'static str,
        offset: u32,
        length: u8,
        order: ByteOrder,
    ) -> Result<()> {
        self.put(path, AttrType::Number, Slot::View(View { blob, offset, length, order: Some(order) }))
    }

    /// Creates several views of one blob in one directory, as [`Facts::set_view`]
    /// (or with `order` [`Facts::set_view_in`]) would: name, offset and length
    /// of each.
    ///
    /// # Errors
    /// Those of [`Facts::set_view`], and the name of the view.
    pub(crate) fn set_views<'n>(
        &mut self,
        directory: &str,
        blob: &'static str,
        order: Option<ByteOrder>,
        views: impl Iterator<Item = (&'n str, u32, u8)>,
    ) -> Result<(), (&'n str, Error)> {
        self.attributes.with_tree(|tree| {
            let mut base = None;
            for (name, offset, length) in views {
                // The way to the directory is gone once, and not without need.
                let base = *base.get_or_insert_with(|| {
                    tree.create_path(ROOT, directory, AttrType::Directory, Hook::None)
                });
                let slot = Slot::View(View { blob, offset, length, order });
                give_new(tree, base, name, AttrType::Number, slot).map_err(|error| (name, error))?;
            }
            Ok(())
        })
    }

    /// Creates `path` with a value of a special kind.
    fn put(&mut self, path: &str, kind: AttrType, slot: Slot) -> Result<()> {
        self.attributes.with_tree(|tree| {
            tree.read_rows_for(Some(path.as_bytes()));
            give_new(tree, Some(ROOT), path, kind, slot)
        })
    }

    /// The number or address at `path`, if it has a value that can be told
    /// without reading from the dump.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.attributes.number(path)
    }

    /// The text at `path`, if it is set.
    pub fn string(&self, path: &str) -> Option<Text> {
        self.attributes.string(path)
    }

    /// Whether the attribute at `path` has a value.
    pub fn is_set(&self, path: &str) -> bool {
        let mut tree = self.attributes.tree.lock();
        tree.read_rows_for(Some(path.as_bytes()));
        tree.is_set(path)
    }

    /// The architecture that `arch.name` names, if it is one we know.
    pub fn arch(&self) -> Option<Arch> {
        self.string("arch.name").and_then(|name| Arch::from_name(&name))
    }

    /// `arch.byte_order`; big endian if unknown.
    pub fn byte_order(&self) -> ByteOrder {
        self.attributes.tree.lock().byte_order()
    }

    /// Facts that every read needs, as one consistent set.
    pub fn geometry(&self) -> Geometry {
        self.attributes.geometry()
    }

    /// The page size as it will be whenever somebody looks, until the
    /// attribute is cleared; it then stays as it was.
    pub fn page_shift(&self) -> PageShift {
        self.attributes.tree.lock().page_shift.clone()
    }
}
