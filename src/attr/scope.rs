//! Scopes: which `addrxlat` directory a path leads to.
//!
//! Clones of a context share the whole tree, unless one has a translation of
//! its own: its paths into `addrxlat` lead to a copy of that directory, all
//! others to the nodes that everybody sees.
//!
//! ```text
//! root ─┬─ file, arch, cpu, linux, ...   seen in every scope
//!       ├─ addrxlat                      seen in the first scope
//!       ┊
//!       └╌ addrxlat                      a copy, seen in its scope only: its
//!                                        parent is the root, which does not
//!                                        list it among its children
//! ```
//!
//! A scope also counts the changes that its translation depends on. The count
//! moves while the tree is locked, so whoever sees a count also sees the
//! values that it stands for.

use alloc::vec::Vec;

use super::hooks::{Effects, Os};
use super::tree::{Access, AttrRef, ROOT, Slot, Tree};
use super::value::{AttrType, Value};
use super::{AttrEntry, Attributes, no_such_key};
use crate::error::{Error, Result};
use crate::sync::{Counter, Fault, Shared, broken};

/// The directory that a scope is about.
const ADDRXLAT: &str = "addrxlat";

/// What paths into `addrxlat` mean to a context, and those that share its
/// translation.
pub struct Scope {
    directory: u32,
    changes: Shared<Counter>,
}

impl Scope {
    /// How often something changed that address translation depends on.
    pub fn changes(&self) -> u64 {
        self.changes.get()
    }
}

/// A scope, as the tree knows it.
pub(super) struct Known {
    directory: u32,
    changes: Shared<Counter>,
}

impl Tree {
    /// Makes the `addrxlat` of the catalogue the first scope.
    pub(super) fn create_first_scope(&mut self) {
        if let Some(directory) = self.child(ROOT, ADDRXLAT) {
            self.scopes = Vec::from([Known { directory, changes: Shared::new(Counter::new(0)) }]);
        }
    }

    /// Copies the directory of a scope for a new one.
    fn split_scope(&mut self, from: u32) -> Scope {
        let top = self.copy_node(from, ROOT);
        self.put_aside(top);
        let mut todo = Vec::from([(from, top)]);
        while let Some((original, copy)) = todo.pop() {
            // The oldest first, so that both are iterated in the same order.
            let children: Vec<u32> = self.children(original).collect();
            for child in children.into_iter().rev() {
                let copied = self.copy_node(child, copy);
                self.link(copied);
                todo.push((child, copied));
            }
        }
        let changes = Shared::new(Counter::new(0));
        self.scopes.push(Known { directory: top, changes: changes.clone() });
        Scope { directory: top, changes }
    }

    fn remove_scope(&mut self, directory: u32) {
        debug_assert_ne!(directory, self.first_directory());
        self.scopes.retain(|known| known.directory != directory);
        self.delete_unlinked(directory);
    }

    /// The directories of all scopes but the first.
    pub(super) fn split_directories(&self) -> impl Iterator<Item = u32> + '_ {
        self.scopes.iter().skip(1).map(|known| known.directory)
    }

    /// `id`, or what stands for it in the scope of `directory`.
    fn in_scope(&self, directory: u32, id: u32) -> u32 {
        if id == self.first_directory() && id != ROOT { directory } else { id }
    }

    /// [`Tree::lookup`] in the scope of `directory`.
    fn lookup_in(&self, directory: u32, base: u32, path: &[u8]) -> Option<u32> {
        if base != ROOT {
            return self.lookup_bytes(base, path);
        }
        let path = path.strip_prefix(b".").unwrap_or(path);
        match path.strip_prefix(ADDRXLAT.as_bytes()) {
            Some([]) => Some(directory),
            Some([b'.', rest @ ..]) => self.lookup_bytes(directory, rest),
            _ => self.lookup_bytes(ROOT, path),
        }
    }

    /// The `addrxlat` directory of the first scope.
    pub(super) fn first_directory(&self) -> u32 {
        self.scopes.first().map_or(ROOT, |known| known.directory)
    }

    /// The first child with a value in the scope of `scope`, or the one after
    /// `previous`.
    pub(super) fn next_entry(
        &self,
        scope: u32,
        directory: AttrRef,
        previous: Option<AttrRef>,
    ) -> Result<Option<AttrEntry>> {
        let directory = self.resolve(directory)?;
        let previous = match previous {
            Some(handle) => Some(self.resolve(handle)?),
            None if !self.node(directory).set => return Err(Error::no_data("Key has no value")),
            None if self.node(directory).kind != AttrType::Directory => {
                return Err(Error::invalid("Path is a leaf attribute"));
            }
            None => None,
        };
        // The list of the root has the `addrxlat` of the first scope.
        let listed = previous.map(|id| if id == scope { self.first_directory() } else { id });
        let mut siblings = self.children_after(directory, listed).map(|id| self.in_scope(scope, id));
        let next = siblings.find(|id| self.node(*id).set);
        Ok(next.map(|id| AttrEntry { key: (&*self.node(id).key).into(), attr: self.reference(id) }))
    }

    /// Clears an attribute and what is below it in the scope of `scope`.
    fn clear_in(&mut self, scope: u32, top: u32, effects: &mut Effects) {
        if top != ROOT {
            return self.clear(top, effects);
        }
        let children: Vec<u32> = self.children(ROOT).map(|id| self.in_scope(scope, id)).collect();
        for child in children.into_iter().rev() {
            self.clear(child, effects);
        }
        self.clear_node(ROOT, effects);
    }

    /// The operating system that `addrxlat.ostype` of a scope names.
    fn ostype_in(&self, directory: u32) -> Option<Os> {
        let value = self.plain_value(self.child(directory, "ostype")?);
        value.as_ref().and_then(Value::as_str).and_then(Os::from_name)
    }

    /// Notes that translation depends on `id`, which changed: in its own
    /// scope, or everywhere.
    pub(super) fn translation_changed(&self, id: u32) {
        if broken(Fault::UnnoticedChange) {
            return;
        }
        let mut top = id;
        while top != ROOT && self.node(top).parent != ROOT {
            top = self.node(top).parent;
        }
        match self.scopes.iter().find(|known| known.directory == top) {
            Some(own) => _ = own.changes.add(1),
            None => self.all_translations_changed(),
        }
    }

    /// Notes that every translation must be made anew.
    pub(super) fn all_translations_changed(&self) {
        for known in &self.scopes {
            known.changes.add(1);
        }
    }

    /// Notes a change of something that only one operating system uses.
    pub(super) fn translation_changed_for(&self, os: Os) {
        for known in self.scopes.iter().filter(|known| self.ostype_in(known.directory) == Some(os)) {
            known.changes.add(1);
        }
    }
}

impl Slot {
    /// The same value for another node.
    pub(super) fn duplicate(&self) -> Slot {
        match self {
            Slot::Plain(value) => Slot::Plain(value.clone()),
            Slot::Indirect(gauge) => Slot::Indirect(gauge.clone()),
            Slot::View(view) => Slot::View(*view),
            Slot::Lazy(lazy) => Slot::Lazy(lazy.clone()),
        }
    }
}

impl Attributes {
    /// The scope of those that have no translation of their own.
    pub fn first_scope(&self) -> Scope {
        let tree = self.tree.lock();
        let known = tree.scopes.first();
        known.map_or_else(
            || Scope { directory: ROOT, changes: Shared::new(Counter::new(0)) },
            |known| Scope { directory: known.directory, changes: known.changes.clone() },
        )
    }

    /// A new scope; its `addrxlat` is a copy of that of `from`.
    pub fn split_scope(&self, from: &Scope) -> Scope {
        self.with_tree(|tree| tree.split_scope(from.directory))
    }

    /// Deletes the `addrxlat` of a split scope that nobody has any more.
    pub(crate) fn leave_scope(&self, scope: &Scope) {
        self.with_tree(|tree| tree.remove_scope(scope.directory));
    }

    /// Notes that every translation must be made anew.
    pub(crate) fn all_translations_changed(&self) {
        self.tree.lock().all_translations_changed();
    }

    /// [`Attributes::reference`] in a scope.
    ///
    /// # Errors
    /// `NoKey` (`No such key`).
    pub fn reference_in(&self, scope: &Scope, path: Option<&str>) -> Result<AttrRef> {
        let path = path.map(str::as_bytes);
        let mut tree = self.tree.lock();
        tree.read_rows_for(path);
        let id = path.map_or(Some(ROOT), |path| tree.lookup_in(scope.directory, ROOT, path));
        id.map(|id| tree.reference(id)).ok_or_else(no_such_key)
    }

    /// [`Attributes::reference_in`] and the value of the attribute, in one go.
    ///
    /// # Errors
    /// `NoKey` (`No such key`), and those of [`Attributes::get`].
    pub fn get_in(&self, scope: &Scope, path: Option<&[u8]>) -> Result<(AttrRef, Value)> {
        let handle = {
            let mut tree = self.tree.lock();
            tree.read_rows_for(path);
            let id = path.map_or(Some(ROOT), |path| tree.lookup_in(scope.directory, ROOT, path));
            let id = id.ok_or_else(no_such_key)?;
            tree.read_rows_in(id);
            let handle = tree.reference(id);
            if let Access::Value(value) = tree.access(id)? {
                return Ok((handle, value));
            }
            handle
        };
        // Unlocked: the value may have to be read from the dump.
        Ok((handle, self.get(handle)?))
    }

    /// [`Attributes::sub_reference`] in a scope.
    ///
    /// # Errors
    /// `NoKey` (`No such key`), also for a `base` that was deleted.
    pub fn sub_reference_in(&self, scope: &Scope, base: AttrRef, path: &str) -> Result<AttrRef> {
        let mut tree = self.tree.lock();
        let base = tree.resolve(base)?;
        let path = path.as_bytes();
        tree.read_rows_below(base, path);
        tree.lookup_in(scope.directory, base, path).map(|id| tree.reference(id)).ok_or_else(no_such_key)
    }

    /// [`Attributes::next`] in a scope.
    ///
    /// # Errors
    /// Those of [`Attributes::next`].
    pub fn next_in(
        &self,
        scope: &Scope,
        directory: AttrRef,
        previous: Option<AttrRef>,
    ) -> Result<Option<AttrEntry>> {
        let mut tree = self.tree.lock();
        tree.read_rows();
        tree.next_entry(scope.directory, directory, previous)
    }

    /// [`Attributes::clear`] in a scope.
    ///
    /// # Errors
    /// `NoKey`.
    pub fn clear_in(&self, scope: &Scope, handle: AttrRef, effects: &mut Effects) -> Result<()> {
        self.with_tree(|tree| {
            let id = tree.resolve(handle)?;
            tree.read_rows_in(id);
            tree.clear_in(scope.directory, id, effects);
            Ok(())
        })
    }

    /// The operating system that `addrxlat.ostype` names in a scope.
    pub fn ostype_in(&self, scope: &Scope) -> Option<Os> {
        self.tree.lock().ostype_in(scope.directory)
    }
}
