//! The tree itself: nodes, paths, flags, iteration, references.
//!
//! ```text
//! root ── file ── set ── 0 ── fd, name      a node: key, fixed type, flags,
//!      ├─ arch ── name, page_size, ...      a slot with its value, a hook
//!      └─ cpu  ── number, 0 ── reg ── rip
//! ```
//!
//! Nodes live in one vector and are found by their path through a hash table,
//! so a path costs one look-up, however wide and deep directories are. New
//! children go to the front of their parent's list: the order of iteration is
//! the reverse of the order of creation, which callers observe.
//! A reference carries the generation of its node and goes stale, never wrong.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashTable;

use super::hooks::Hook;
use super::path::{PathHash, PathHasher};
use super::scope::Known;
use super::value::{AttrType, Value};
use super::view::{PageShift, View};
use super::vmcoreinfo::Unread;
use crate::error::Result;
use crate::sync::{Counter, MaybeSend, MaybeSync, Shared};

/// A number that lives outside of the tree: a statistic, or a setting that
/// something else reads.
pub trait Gauge: MaybeSend + MaybeSync {
    /// The number now.
    fn get(&self) -> u64;
    /// Replaces the number.
    fn set(&self, value: u64);
    /// What becomes of the number when its attribute is cleared.
    fn reset(&self) {
        self.set(0);
    }
}

impl Gauge for Counter {
    fn get(&self) -> u64 {
        Counter::get(self)
    }

    fn set(&self, value: u64) {
        Counter::set(self, value);
    }
}

/// A handle to one attribute. It stays valid while the attribute exists and
/// is refused (`No such key`) afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttrRef {
    pub(super) index: u32,
    pub(super) generation: u32,
}

impl AttrRef {
    /// The handle as a number, for those who must keep it as one. The lower 32
    /// bits are a small number that no two attributes have at the same time;
    /// later attributes may have it again, with other upper bits.
    pub fn into_raw(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The handle of a number that [`AttrRef::into_raw`] gave. Any other number
    /// is the handle of some attribute, or is refused like that of a deleted one.
    pub fn from_raw(raw: u64) -> Self {
        AttrRef { index: raw as u32, generation: (raw >> 32) as u32 }
    }
}

/// A value that is computed at its first access, outside of any lock.
pub trait LazyValue: MaybeSend + MaybeSync {
    /// Computes the value.
    ///
    /// # Errors
    /// Shown with the prefix `Value cannot be revalidated`; the next access
    /// tries again.
    fn compute(&self) -> Result<Value>;
}

/// Where a value lives.
pub(super) enum Slot {
    /// In the node.
    Plain(Option<Value>),
    /// A number that something else counts or decides by.
    Indirect(Shared<dyn Gauge>),
    /// A register inside a sibling blob.
    View(View),
    /// Computed at the next access.
    Lazy(Shared<dyn LazyValue>),
}

impl Slot {
    /// Whether dropping the value may run code from outside of this module.
    fn may_run_code(&self) -> bool {
        !matches!(self, Slot::Plain(None | Some(Value::Number(_) | Value::Address(_) | Value::String(_))))
    }
}

pub(super) struct Node {
    pub key: Box<str>,
    /// Of all keys on the way here, with dots between them.
    path: PathHash,
    generation: u32,
    pub parent: u32,
    first_child: u32,
    next_sibling: u32,
    pub kind: AttrType,
    pub set: bool,
    pub persistent: bool,
    /// The stored value is stale and computed anew by the node's hook.
    pub stale: bool,
    /// No path leads here from the parent; see `scope.rs`.
    aside: bool,
    pub slot: Slot,
    pub hook: Hook,
}

/// No node.
const NONE: u32 = u32::MAX;
/// The root directory.
pub(super) const ROOT: u32 = 0;

/// What a value access ends in.
pub(super) enum Access {
    Value(Value),
    Lazy(Shared<dyn LazyValue>),
}

/// The arena of nodes.
pub(super) struct Tree {
    nodes: Vec<Node>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: PathHasher,
    pub page_shift: PageShift,
    /// The first one is everybody's, the others are copies.
    pub scopes: Vec<Known>,
    /// Replaced values; see [`Attributes::with_tree`](super::Attributes).
    dropped: Vec<Slot>,
    /// While what follows from the user's values is made anew: what has a
    /// value keeps it.
    pub filling: bool,
    /// Texts of VMCOREINFO whose rows nobody has asked for yet.
    pub unread: Vec<Unread>,
}

impl Tree {
    pub fn new() -> Self {
        let root = Node {
            key: "".into(),
            path: PathHash::EMPTY,
            generation: 0,
            parent: NONE,
            first_child: NONE,
            next_sibling: NONE,
            kind: AttrType::Directory,
            set: false,
            persistent: false,
            stale: false,
            aside: false,
            slot: Slot::Plain(None),
            hook: Hook::None,
        };
        Tree {
            nodes: Vec::from([root]),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: PathHasher::new(),
            page_shift: PageShift::default(),
            filling: false,
            unread: Vec::new(),
            scopes: Vec::new(),
            dropped: Vec::new(),
        }
    }

    pub fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    pub fn node_mut(&mut self, id: u32) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// The child of `parent` with this key, which is no path.
    pub fn child(&self, parent: u32, key: &str) -> Option<u32> {
        self.lookup_bytes(parent, key.as_bytes())
    }

    /// Follows a dotted path from `base`; one leading dot at the root is accepted.
    pub fn lookup(&self, base: u32, path: &str) -> Option<u32> {
        let path = path.as_bytes();
        self.lookup_bytes(base, if base == ROOT { path.strip_prefix(b".").unwrap_or(path) } else { path })
    }

    /// The same without a leading dot; what is no text leads nowhere.
    pub fn lookup_bytes(&self, base: u32, path: &[u8]) -> Option<u32> {
        let hash = self.hasher.finish(self.path_hash(base, path));
        self.index.find(hash, |id| self.is_at(*id, base, path)).copied()
    }

    /// What is hashed of `path` below `base`.
    fn path_hash(&self, base: u32, path: &[u8]) -> PathHash {
        let start = match base {
            ROOT => PathHash::EMPTY,
            _ => self.hasher.extend(self.node(base).path, b"."),
        };
        self.hasher.extend(start, path)
    }

    /// Whether `path` leads from `base` to a node.
    fn is_at(&self, id: u32, base: u32, path: &[u8]) -> bool {
        let mut node = self.node(id);
        let mut rest = path;
        loop {
            let Some(before) = rest.strip_suffix(node.key.as_bytes()) else { return false };
            if node.parent == base {
                return before.is_empty() && !node.aside;
            }
            let (Some((b'.', before)), false) = (before.split_last(), node.parent == ROOT) else {
                return false;
            };
            rest = before;
            node = self.node(node.parent);
        }
    }

    /// Creates a child at the front of its parent's list, or finds it.
    pub fn create_child(&mut self, parent: u32, key: &str, kind: AttrType, hook: Hook) -> u32 {
        if let Some(found) = self.child(parent, key) {
            return found;
        }
        let id = self.add_node(Node {
            key: key.into(),
            path: self.path_hash(parent, key.as_bytes()),
            generation: 0,
            parent,
            first_child: NONE,
            next_sibling: NONE,
            kind,
            set: false,
            persistent: false,
            stale: false,
            aside: false,
            slot: Slot::Plain(None),
            hook,
        });
        self.link(id);
        id
    }

    /// Puts a node somewhere into the arena.
    fn add_node(&mut self, node: Node) -> u32 {
        match self.free.pop() {
            Some(id) => {
                let generation = self.nodes[id as usize].generation;
                self.nodes[id as usize] = Node { generation, ..node };
                id
            }
            None => {
                self.nodes.push(node);
                (self.nodes.len() - 1) as u32
            }
        }
    }

    /// Puts a node at the front of its parent's list, to be found by its key.
    pub fn link(&mut self, id: u32) {
        let parent = self.node(id).parent;
        self.node_mut(id).next_sibling = self.node(parent).first_child;
        self.node_mut(parent).first_child = id;
        let Tree { index, nodes, hasher, .. } = self;
        let hash_of = |id: &u32| hasher.finish(nodes[*id as usize].path);
        index.insert_unique(hash_of(&id), id, hash_of);
    }

    /// A copy of a node below `parent`, without children and not linked.
    pub fn copy_node(&mut self, id: u32, parent: u32) -> u32 {
        let Node { ref key, kind, set, persistent, stale, ref slot, hook, .. } = *self.node(id);
        let (key, slot) = (key.clone(), slot.duplicate());
        let path = self.path_hash(parent, key.as_bytes());
        self.add_node(Node {
            key,
            path,
            generation: 0,
            parent,
            first_child: NONE,
            next_sibling: NONE,
            kind,
            set,
            persistent,
            stale,
            aside: false,
            slot,
            hook,
        })
    }

    /// Puts a node that has no children yet where no path from its parent leads.
    pub fn put_aside(&mut self, id: u32) {
        let path = self.hasher.aside(id);
        let node = self.node_mut(id);
        node.path = path;
        node.aside = true;
    }

    /// Takes memory for as many more nodes at once, if there is that much.
    pub fn reserve(&mut self, more: usize) {
        // Without it they are added one by one, or not.
        let _ = self.nodes.try_reserve(more);
        let Tree { index, nodes, hasher, .. } = self;
        let _ = index.try_reserve(more, |id| hasher.finish(nodes[*id as usize].path));
    }

    /// Whether the tree stays within `limit` nodes if all components of
    /// `path` are created.
    pub fn has_room(&self, path: &str, limit: usize) -> bool {
        let components = path.bytes().filter(|byte| *byte == b'.').count() + 1;
        self.has_room_for_nodes(components, limit)
    }

    /// Whether the tree stays within `limit` nodes with so many more.
    pub fn has_room_for_nodes(&self, more: usize, limit: usize) -> bool {
        (self.nodes.len() - self.free.len()).saturating_add(more) <= limit
    }

    /// Creates what is missing of a path below `base`; `None` if a component
    /// on the way exists but is not a directory. An existing last component is
    /// returned whatever its type is.
    pub fn create_path(&mut self, base: u32, path: &str, kind: AttrType, hook: Hook) -> Option<u32> {
        let (directories, last) =
            path.rsplit_once('.').map_or((None, path), |(head, last)| (Some(head), last));
        let mut parent = base;
        for key in directories.into_iter().flat_map(|head| head.split('.')) {
            if self.node(parent).kind != AttrType::Directory {
                return None;
            }
            parent = self.create_child(parent, key, AttrType::Directory, Hook::None);
        }
        if self.node(parent).kind != AttrType::Directory {
            return None;
        }
        Some(self.create_child(parent, last, kind, hook))
    }

    /// Deletes all children of a directory, with everything below them.
    pub fn delete_children(&mut self, directory: u32) {
        let mut at = core::mem::replace(&mut self.node_mut(directory).first_child, NONE);
        while at != NONE {
            let next = self.node(at).next_sibling;
            self.delete_unlinked(at);
            at = next;
        }
    }

    /// Deletes one child with everything below it.
    pub fn delete_child(&mut self, id: u32) {
        let parent = self.node(id).parent;
        let next = self.node(id).next_sibling;
        if self.node(parent).first_child == id {
            self.node_mut(parent).first_child = next;
        } else {
            let mut at = self.node(parent).first_child;
            while at != NONE && self.node(at).next_sibling != id {
                at = self.node(at).next_sibling;
            }
            if at != NONE {
                self.node_mut(at).next_sibling = next;
            }
        }
        self.delete_unlinked(id);
    }

    /// Deletes a node that is in no list, with everything below it.
    pub fn delete_unlinked(&mut self, id: u32) {
        // Depth is bounded by the number of dots in one key, but a hostile
        // VMCOREINFO may have many: so no recursion here.
        let mut todo = Vec::from([id]);
        while let Some(id) = todo.pop() {
            let mut child = self.node(id).first_child;
            while child != NONE {
                todo.push(child);
                child = self.node(child).next_sibling;
            }
            let hash = self.hasher.finish(self.node(id).path);
            if let Ok(entry) = self.index.find_entry(hash, |other| *other == id) {
                entry.remove();
            }
            let node = self.node_mut(id);
            node.generation = node.generation.wrapping_add(1);
            node.key = "".into();
            node.parent = NONE;
            node.first_child = NONE;
            node.set = false;
            node.hook = Hook::None;
            self.put(id, Slot::Plain(None));
            self.free.push(id);
        }
    }

    /// Replaces what a node holds.
    pub fn put(&mut self, id: u32, slot: Slot) {
        let old = core::mem::replace(&mut self.node_mut(id).slot, slot);
        if old.may_run_code() {
            self.dropped.push(old);
        }
    }

    /// Gives a node a value without any hook.
    pub fn give(&mut self, id: u32, slot: Slot, persistent: bool) {
        self.instantiate_parents(id);
        self.put(id, slot);
        let node = self.node_mut(id);
        node.set = true;
        node.persistent = persistent;
        node.stale = false;
    }

    /// Gives the attribute at `path`, if there is one, a value that survives
    /// opening, without any hook.
    pub fn give_path(&mut self, path: &str, slot: Slot) {
        if let Some(id) = self.lookup(ROOT, path) {
            self.give(id, slot, true);
        }
    }

    /// What was replaced since the last call, to be dropped without the lock.
    pub fn take_dropped(&mut self) -> Vec<Slot> {
        core::mem::take(&mut self.dropped)
    }

    /// All children, newest first.
    pub fn children(&self, directory: u32) -> impl Iterator<Item = u32> + '_ {
        self.children_after(directory, None)
    }

    /// The children after `previous`, or all of them.
    pub fn children_after(&self, directory: u32, previous: Option<u32>) -> impl Iterator<Item = u32> + '_ {
        let mut at = match previous {
            None => self.node(directory).first_child,
            Some(id) => self.node(id).next_sibling,
        };
        core::iter::from_fn(move || {
            let id = (at != NONE).then_some(at)?;
            at = self.node(id).next_sibling;
            Some(id)
        })
    }

    /// Dotted path of a node below `base` (the root: its full path).
    pub fn path(&self, id: u32, base: u32) -> String {
        let mut keys: Vec<&str> = Vec::new();
        let mut at = id;
        while at != base && at != ROOT {
            keys.push(&self.node(at).key);
            at = self.node(at).parent;
        }
        keys.reverse();
        keys.join(".")
    }

    /// A handle that callers may keep.
    pub fn reference(&self, id: u32) -> AttrRef {
        AttrRef { index: id, generation: self.node(id).generation }
    }

    /// The node of a handle, unless it was deleted.
    #[inline]
    pub fn resolve(&self, handle: AttrRef) -> Result<u32> {
        match self.nodes.get(handle.index as usize) {
            Some(node) if node.generation == handle.generation => Ok(handle.index),
            _ => Err(super::no_such_key()),
        }
    }

    /// The same, for a look at it.
    #[inline]
    pub fn found(&self, handle: AttrRef) -> Option<&Node> {
        self.nodes.get(handle.index as usize).filter(|node| node.generation == handle.generation)
    }

    /// Marks unset ancestors as set, upwards to the first one that is.
    pub fn instantiate_parents(&mut self, id: u32) {
        let mut at = self.node(id).parent;
        while at != NONE && !self.node(at).set {
            self.node_mut(at).set = true;
            at = self.node(at).parent;
        }
    }

    /// All nodes below and including `top`, children before their parents.
    pub fn post_order(&self, top: u32) -> Vec<u32> {
        let mut order = Vec::new();
        let mut todo = Vec::from([top]);
        while let Some(id) = todo.pop() {
            order.push(id);
            todo.extend(self.children(id));
        }
        order.reverse();
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use alloc::vec;

    fn keys(tree: &Tree, directory: u32) -> Vec<String> {
        tree.children(directory).map(|id| String::from(&*tree.node(id).key)).collect()
    }

    #[test]
    fn children_come_newest_first_and_paths_resolve() {
        let mut tree = Tree::new();
        tree.create_path(ROOT, "a.b.one", AttrType::Number, Hook::None).unwrap();
        let two = tree.create_path(ROOT, "a.b.two", AttrType::Number, Hook::None).unwrap();
        let directory = tree.lookup(ROOT, "a.b").unwrap();
        assert_eq!(keys(&tree, directory), ["two", "one"]);
        assert_eq!(tree.lookup(ROOT, ".a.b.two"), Some(two));
        assert_eq!(tree.path(two, ROOT), "a.b.two");
        for odd in ["", ".", "..a", "a.", "a..b", "a.b.two.", "a.b.two.x", "b"] {
            assert_eq!(tree.lookup(ROOT, odd), None, "{odd:?}");
        }
    }

    #[test]
    fn a_leaf_never_becomes_a_directory() {
        let mut tree = Tree::new();
        tree.create_path(ROOT, "a.b", AttrType::Number, Hook::None).unwrap();
        assert_eq!(tree.create_path(ROOT, "a.b.c", AttrType::Number, Hook::None), None);
        assert_eq!(tree.create_path(ROOT, "a.b.c.d", AttrType::Number, Hook::None), None);
    }

    #[test]
    fn stale_references_are_refused_even_when_the_place_is_used_again() {
        let mut tree = Tree::new();
        let a = tree.create_path(ROOT, "d.a", AttrType::Number, Hook::None).unwrap();
        let handle = tree.reference(a);
        assert_eq!(tree.resolve(handle).ok(), Some(a));
        let directory = tree.lookup(ROOT, "d").unwrap();
        tree.delete_children(directory);
        let b = tree.create_path(ROOT, "d.b", AttrType::Number, Hook::None).unwrap();
        assert_eq!(a, b, "the node was used again");
        assert_eq!(tree.resolve(handle).unwrap_err().status(), Status::NoKey);
    }

    #[test]
    fn deep_paths_are_deleted_without_recursion() {
        let mut tree = Tree::new();
        let path = vec!["x"; 200_000].join(".");
        tree.create_path(ROOT, &path, AttrType::Number, Hook::None).unwrap();
        let top = tree.lookup(ROOT, "x").unwrap();
        tree.delete_child(top);
        assert_eq!(tree.lookup(ROOT, "x"), None);
        assert_eq!(keys(&tree, ROOT), [""; 0]);
    }
}
