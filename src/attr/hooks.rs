//! What follows from a change: values that others are derived from.
//!
//! A hook is a pure step on the tree. What needs more than the tree (opening
//! a dump, a new cache, reading memory) is noted in [`Effects`] and done by
//! the layer above once the tree is unlocked.

use alloc::format;
use alloc::vec::Vec;

use super::number::linux_version_code;
use super::tree::{Access, ROOT, Slot, Tree};
use super::value::{AttrType, Value};
use super::view::PageShift;
use crate::arch::{Arch, ByteOrder};
use crate::error::{Error, Result, ResultExt, Status};
use crate::sync::{Fault, broken};

/// The operating system whose directory (`linux` or `xen`) is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Directory `linux`.
    Linux,
    /// Directory `xen`.
    Xen,
}

impl Os {
    /// Name of the directory, and value of `addrxlat.ostype`.
    pub const fn name(self) -> &'static str {
        match self {
            Os::Linux => "linux",
            Os::Xen => "xen",
        }
    }

    /// From the value of `addrxlat.ostype`.
    pub fn from_name(name: &str) -> Option<Os> {
        match name {
            "linux" => Some(Os::Linux),
            "xen" => Some(Os::Xen),
            _ => None,
        }
    }
}

/// What is special about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    None,
    /// A fact that every read needs.
    Geometry,
    /// Address translation depends on it (of that OS only: `XlatOf`).
    Xlat,
    XlatOf(Os),
    ArchName,
    PageSize,
    PageShift,
    UtsMachine,
    UtsRelease,
    LinuxVersionCode,
    XenVersion,
    XenVersionCode,
    CacheSize,
    OsType,
    FileFd,
    FileSetNumber,
    FileSetFd,
    VmcoreinfoRaw(Os),
    VmcoreinfoLine(Os),
    VmcoreinfoDerived(Os),
}

/// What a change asks of the layer above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The snapshot of facts that every read needs is out of date.
    pub geometry: bool,
    /// The page cache must be made anew.
    pub cache: bool,
    /// All descriptors of the file set are known: open them.
    pub open: bool,
    /// `file.fd` was set to this descriptor.
    pub open_fd: Option<u64>,
    /// `addrxlat.ostype` was set.
    pub ostype: Option<Os>,
}

/// The largest value of `cache.size`.
const MAX_CACHE_SIZE: u64 = u32::MAX as u64;

/// Attributes that others follow from. What says most stands first: the page
/// size of VMCOREINFO goes before the usual one of the architecture.
const SOURCES: [&str; 8] = [
    "arch.page_size",
    "arch.page_shift",
    "linux.vmcoreinfo.raw",
    "xen.vmcoreinfo.raw",
    "linux.uts.machine",
    "linux.uts.release",
    "arch.name",
    "xen.version.major",
];

/// More files than this are no file set that anybody has.
const MAX_FILES: u64 = 1 << 20;

impl Tree {
    /// The stored value of a plain node.
    pub(super) fn plain_value(&self, id: u32) -> Option<Value> {
        let node = self.node(id);
        match &node.slot {
            Slot::Plain(value) if node.set => value.clone(),
            _ => None,
        }
    }

    /// The number at `path`, if it is set.
    pub(super) fn number(&self, path: &str) -> Option<u64> {
        let id = self.lookup(ROOT, path)?;
        let node = self.node(id);
        match (&node.slot, node.set) {
            (Slot::Plain(Some(Value::Number(n) | Value::Address(n))), true) => Some(*n),
            (Slot::Indirect(gauge), true) => Some(gauge.get()),
            _ => None,
        }
    }

    pub(super) fn is_set(&self, path: &str) -> bool {
        self.lookup(ROOT, path).is_some_and(|id| self.node(id).set)
    }

    pub(super) fn byte_order(&self) -> ByteOrder {
        ByteOrder::from_number(self.number("arch.byte_order").unwrap_or(0))
    }

    /// Sets an attribute that the catalogue is known to have.
    pub(super) fn set_path(
        &mut self,
        path: &str,
        value: Value,
        persistent: bool,
        effects: &mut Effects,
    ) -> Result<()> {
        match self.lookup(ROOT, path) {
            Some(id) => self.set(id, value, persistent, effects),
            None => Err(Error::new(Status::NoKey, "No such key")),
        }
    }

    /// Sets what follows from another value. It is volatile: if that other
    /// value stays for the next dump, [`Tree::fill_in`] derives it again.
    pub(super) fn derive(&mut self, path: &str, value: Value, effects: &mut Effects) -> Result<()> {
        if self.filling && self.is_set(path) {
            return Ok(());
        }
        self.set_path(path, value, false, effects)
    }

    /// Sets the other half of page size and page shift. If it fits already,
    /// it stays the user's (persistent) where the user set it.
    fn derive_half(&mut self, path: &str, number: u64, effects: &mut Effects) -> Result<()> {
        if self.number(path) == Some(number) || broken(Fault::HalfPair) {
            return Ok(());
        }
        self.derive(path, Value::Number(number), effects)
    }

    /// Sets a value: hooks, parents, flags. Hooks are skipped when the value
    /// is the same as before; a failing hook after the fact leaves it changed.
    pub(super) fn set(
        &mut self,
        id: u32,
        value: Value,
        persistent: bool,
        effects: &mut Effects,
    ) -> Result<()> {
        let node = self.node(id);
        if node.kind != value.attr_type() {
            return Err(Error::invalid("Type mismatch"));
        }
        let hook = node.hook;
        if let Slot::View(view) = node.slot {
            let Value::Number(number) = value else { return Err(Error::invalid("Type mismatch")) };
            let blob = self.view_blob(id, view.blob);
            view.write(blob.as_ref(), self.byte_order(), number)?;
            self.instantiate_parents(id);
            let node = self.node_mut(id);
            node.set = true;
            // Whoever wrote it: the value goes with the note that it is in.
            node.persistent = false;
            return Ok(());
        }
        let same = node.set
            && !node.stale
            && match &node.slot {
                Slot::Plain(old) => {
                    node.kind == AttrType::Directory || old.as_ref().is_some_and(|old| old.same(&value))
                }
                Slot::Indirect(gauge) => value.as_number() == Some(gauge.get()),
                _ => false,
            }
            // Half of a pair is never left alone.
            && match hook {
                Hook::PageSize => self.is_set("arch.page_shift"),
                Hook::PageShift => self.is_set("arch.page_size"),
                _ => true,
            };
        if !same {
            self.before_set(id, hook, &value, effects)?;
        }
        self.instantiate_parents(id);
        let node = self.node_mut(id);
        node.set = true;
        node.persistent = persistent;
        node.stale = false;
        match (&node.slot, &value) {
            (Slot::Indirect(gauge), Value::Number(number)) => gauge.set(*number),
            _ => self.put(id, Slot::Plain(Some(value))),
        }
        if same { Ok(()) } else { self.after_set(id, hook, effects) }
    }

    /// Clears a node and everything below it, children first.
    pub(super) fn clear(&mut self, top: u32, effects: &mut Effects) {
        for id in self.post_order(top) {
            self.clear_node(id, effects);
        }
    }

    /// Clears what is neither persistent nor has a persistent descendant.
    pub(super) fn clear_volatile(&mut self, effects: &mut Effects) {
        // The next dump is another one for every translation.
        self.all_translations_changed();
        self.read_rows_that_stay();
        let mut keep: Vec<u32> = Vec::new();
        let mut all: Vec<u32> = self.split_directories().flat_map(|top| self.post_order(top)).collect();
        all.extend(self.post_order(ROOT));
        for id in all {
            // An unset node's flag is the memory of a value that is gone.
            let persistent = self.node(id).persistent && self.node(id).set;
            if persistent || keep.last() == Some(&id) || keep.contains(&id) {
                keep.retain(|kept| *kept != id);
                let parent = self.node(id).parent;
                if id != ROOT && !keep.contains(&parent) {
                    keep.push(parent);
                }
            } else {
                self.clear_node(id, effects);
                // The next dump says itself which registers its notes have.
                if let Slot::View(_) = self.node(id).slot {
                    self.put(id, Slot::Plain(None));
                }
            }
        }
        self.fill_in(effects);
    }

    /// Derives anew what follows from the values that stayed, as far as it
    /// has no value of its own.
    fn fill_in(&mut self, effects: &mut Effects) {
        self.filling = true;
        for path in SOURCES {
            if let Some(id) = self.lookup(ROOT, path).filter(|id| self.node(*id).set) {
                // Whoever set the value was told what is wrong with it.
                let _ = self.after_set(id, self.node(id).hook, effects);
            }
        }
        self.filling = false;
    }

    pub(super) fn clear_node(&mut self, id: u32, effects: &mut Effects) {
        // A hook before this one may have deleted the node.
        if id != ROOT && self.node(id).parent == u32::MAX {
            return;
        }
        let hook = self.node(id).hook;
        self.before_clear(id, hook, effects);
        let node = self.node_mut(id);
        node.set = false;
        node.stale = false;
        match &node.slot {
            Slot::View(_) => {}
            Slot::Indirect(gauge) => gauge.reset(),
            _ => self.put(id, Slot::Plain(None)),
        }
    }

    /// The value of a node as a caller sees it.
    #[inline]
    pub(super) fn access(&mut self, id: u32) -> Result<Access> {
        let node = self.node(id);
        match &node.slot {
            Slot::Plain(Some(value)) if node.set && !node.stale => Ok(Access::Value(value.clone())),
            _ => self.access_other(id),
        }
    }

    /// The same, if it is not just there.
    #[inline(never)]
    fn access_other(&mut self, id: u32) -> Result<Access> {
        let node = self.node(id);
        if !node.set {
            return Err(Error::no_data("Key has no value"));
        }
        if node.kind == AttrType::Directory {
            return Ok(Access::Value(Value::Directory));
        }
        let stale = |result: Result<Value>| result.context(|| "Value cannot be revalidated");
        match &node.slot {
            Slot::Indirect(gauge) => Ok(Access::Value(Value::Number(gauge.get()))),
            Slot::Lazy(lazy) => Ok(Access::Lazy(lazy.clone())),
            Slot::View(view) => {
                let view = *view;
                let blob = self.view_blob(id, view.blob);
                stale(view.read(blob.as_ref(), self.byte_order()).map(Value::Number)).map(Access::Value)
            }
            Slot::Plain(_) if node.stale => {
                let hook = node.hook;
                stale(self.revalidate(id, hook)).map(Access::Value)
            }
            Slot::Plain(Some(value)) => Ok(Access::Value(value.clone())),
            Slot::Plain(None) => Err(Error::no_data("Key has no value")),
        }
    }

    /// The blob that a view looks into: a sibling, or a sibling of its directory.
    fn view_blob(&self, id: u32, key: &str) -> Option<super::blob::Blob> {
        let directory = self.node(id).parent;
        let blob = self.child(directory, key).or_else(|| self.child(self.node(directory).parent, key))?;
        self.plain_value(blob)?.as_blob().cloned()
    }

    fn revalidate(&mut self, id: u32, hook: Hook) -> Result<Value> {
        let stored = self.plain_value(id).unwrap_or(Value::Number(0));
        let value = match hook {
            Hook::LinuxVersionCode => {
                let release =
                    self.lookup(ROOT, "linux.uts.release").and_then(|release| self.plain_value(release));
                let Some(release) = release.as_ref().and_then(Value::as_str) else { return Ok(stored) };
                linux_version_code(release)
                    .map(Value::Number)
                    .ok_or_else(|| Error::corrupt(format!("Invalid kernel version: {release}")))?
            }
            Hook::XenVersionCode => {
                match (self.number("xen.version.major"), self.number("xen.version.minor")) {
                    (Some(major), Some(minor)) => Value::Number(major << 16 | minor),
                    _ => return Ok(stored),
                }
            }
            _ => return Ok(stored),
        };
        let node = self.node_mut(id);
        node.slot = Slot::Plain(Some(value.clone()));
        node.stale = false;
        Ok(value)
    }

    fn before_set(&mut self, id: u32, hook: Hook, value: &Value, effects: &mut Effects) -> Result<()> {
        match (hook, value) {
            (Hook::PageSize, Value::Number(size)) if !size.is_power_of_two() => {
                return Err(Error::corrupt(format!("Invalid page size: {size}")));
            }
            (Hook::PageShift, Value::Number(shift)) if *shift >= u64::BITS.into() => {
                return Err(Error::corrupt("Invalid page size: 0"));
            }
            (Hook::CacheSize, Value::Number(slots)) if *slots > MAX_CACHE_SIZE => {
                effects.cache |= broken(Fault::ResizedBeforeCheck);
                return Err(Error::invalid(format!("Cache size too big (max {MAX_CACHE_SIZE})")));
            }
            (Hook::OsType, Value::String(name)) if Os::from_name(name).is_none() => {
                return Err(Error::not_implemented("Unsupported OS type"));
            }
            (Hook::FileSetNumber, Value::Number(number)) => self.resize_file_set(id, *number, effects)?,
            _ => {}
        }
        Ok(())
    }

    fn after_set(&mut self, id: u32, hook: Hook, effects: &mut Effects) -> Result<()> {
        let value = self.plain_value(id);
        match (hook, value) {
            (Hook::Geometry, _) => effects.geometry = true,
            (Hook::Xlat, _) => self.translation_changed(id),
            (Hook::XlatOf(os), _) => self.translation_changed_for(os),
            (Hook::ArchName, Some(Value::String(name))) => self.new_arch(&name, effects)?,
            (Hook::PageSize, Some(Value::Number(size))) => {
                effects.geometry = true;
                effects.cache = true;
                self.page_shift.set(size.trailing_zeros());
                self.derive_half("arch.page_shift", size.trailing_zeros().into(), effects)?;
            }
            (Hook::PageShift, Some(Value::Number(shift))) => {
                self.derive_half("arch.page_size", 1 << shift, effects)?;
            }
            (Hook::UtsMachine, Some(Value::String(machine))) => {
                if let (Some(arch), false) = (Arch::from_uts_machine(&machine), self.is_set("arch.name")) {
                    self.derive("arch.name", Value::from(arch.name()), effects)?;
                }
            }
            (Hook::UtsRelease, _) => self.make_stale("linux.version_code"),
            (Hook::XenVersion, _) => self.make_stale("xen.version_code"),
            (Hook::CacheSize, _) => effects.cache = true,
            (Hook::OsType, Some(Value::String(name))) => {
                self.translation_changed(id);
                effects.ostype = Os::from_name(&name);
            }
            (Hook::FileFd, Some(Value::Number(fd))) => effects.open_fd = Some(fd),
            (Hook::VmcoreinfoRaw(os), Some(Value::Blob(blob))) => {
                self.all_translations_changed();
                let later = !self.node(id).persistent;
                self.parse_vmcoreinfo(os, blob.to_vec(), later, effects)?;
            }
            (Hook::VmcoreinfoLine(os), _) => self.apply_vmcoreinfo_line(os, id, effects)?,
            (Hook::VmcoreinfoDerived(os), _) => self.apply_vmcoreinfo_derived(os, id, effects)?,
            (Hook::FileSetNumber, _) => {
                self.forget("file.fd", effects, |tree| tree.number("file.set.number") != Some(1));
                effects.open = true;
            }
            (Hook::FileSetFd, Some(fd)) => {
                effects.open = true;
                // `file.fd` is another name for the first number.
                if let (true, Some(legacy)) =
                    (self.lookup(ROOT, "file.set.0.fd") == Some(id), self.lookup(ROOT, "file.fd"))
                    && self.node(legacy).set
                {
                    self.node_mut(legacy).slot = Slot::Plain(Some(fd));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn before_clear(&mut self, id: u32, hook: Hook, effects: &mut Effects) {
        match hook {
            Hook::Geometry | Hook::PageShift => effects.geometry = true,
            Hook::PageSize => {
                effects.geometry = true;
                // Bitmaps of the dump that is going keep the size they had.
                self.page_shift = PageShift::default();
            }
            Hook::Xlat | Hook::OsType => self.translation_changed(id),
            Hook::XlatOf(os) => self.translation_changed_for(os),
            Hook::VmcoreinfoRaw(os) => {
                self.forget_vmcoreinfo(os);
                self.all_translations_changed();
            }
            Hook::ArchName | Hook::VmcoreinfoDerived(_) => self.all_translations_changed(),
            Hook::FileSetNumber => {
                // Cleared is the default: no files.
                let shrunk = self.resize_file_set(id, 0, effects);
                debug_assert!(shrunk.is_ok());
            }
            Hook::FileSetFd => {
                let first = self.lookup(ROOT, "file.set.0.fd") == Some(id);
                self.forget("file.fd", effects, |_| first);
            }
            _ => {}
        }
    }

    /// Removes the value of `path` without its hooks, if `condition` holds.
    fn forget(&mut self, path: &str, effects: &mut Effects, condition: impl Fn(&Tree) -> bool) {
        if let (true, Some(id)) = (condition(self), self.lookup(ROOT, path)) {
            self.clear_node(id, effects);
        }
    }

    fn make_stale(&mut self, path: &str) {
        if let Some(id) = self.lookup(ROOT, path).filter(|id| !(self.filling && self.node(*id).set)) {
            self.instantiate_parents(id);
            let node = self.node_mut(id);
            node.slot = Slot::Plain(Some(Value::Number(0)));
            node.set = true;
            node.persistent = false;
            node.stale = true;
        }
    }

    /// What follows from the name of an architecture. An unknown name is no
    /// error and changes nothing else.
    fn new_arch(&mut self, name: &str, effects: &mut Effects) -> Result<()> {
        effects.geometry = true;
        self.all_translations_changed();
        let Some(arch) = Arch::from_name(name) else { return Ok(()) };
        let pointer_size = Value::Number(arch.pointer_size().into());
        self.derive("arch.ptr_size", pointer_size.clone(), effects)?;
        if arch != Arch::Ia32 {
            self.derive("arch.pteval_size", pointer_size, effects)?;
        } else if !self.filling {
            // With or without PAE: known only from the page-table format.
            self.forget("arch.pteval_size", effects, |_| true);
        }
        match arch.page_shift().filter(|_| !self.is_set("arch.page_size")) {
            Some(shift) => self.derive("arch.page_shift", Value::Number(shift.into()), effects),
            None => Ok(()),
        }
    }

    /// Creates or deletes the directories `file.set.N`.
    fn resize_file_set(&mut self, number_id: u32, new: u64, effects: &mut Effects) -> Result<()> {
        let old = self.number("file.set.number").unwrap_or(0);
        let directory = self.node(number_id).parent;
        if new > MAX_FILES {
            return Err(Error::invalid("Number too big"));
        }
        for index in old..new {
            let file = self.create_child(directory, &format!("{index}"), AttrType::Directory, Hook::None);
            self.create_child(file, "fd", AttrType::Number, Hook::FileSetFd);
            self.create_child(file, "name", AttrType::String, Hook::None);
            // Where a raw image of memory belongs, if the user says it is one.
            self.create_child(file, "base", AttrType::Address, Hook::None);
            self.create_child(file, "offset", AttrType::Number, Hook::None);
            self.create_child(file, "length", AttrType::Number, Hook::None);
        }
        // The newest stands first in its directory, so it is found at once.
        for index in (new..old).rev() {
            if let Some(file) = self.child(directory, &format!("{index}")) {
                if index == 0 {
                    self.forget("file.fd", effects, |_| true);
                }
                self.delete_child(file);
            }
        }
        Ok(())
    }

    /// The descriptors of the file set, once each of them is set (and there is
    /// at least one file).
    pub(super) fn complete_file_set(&self) -> Option<Vec<u64>> {
        let number = self.number("file.set.number").filter(|number| *number > 0)?;
        (0..number).map(|index| self.number(&format!("file.set.{index}.fd"))).collect()
    }
}
