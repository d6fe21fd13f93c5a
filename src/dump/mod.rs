//! The dump: what all clones of a context share.
//!
//! ```text
//! Dump ── attributes           the tree (its own lock)
//!      ├─ current ─> Snapshot  geometry, format, page cache: immutable, replaced
//!      │    version            as a whole; contexts notice by the version
//!      ├─ mmap policy          number and statistics
//!      └─ opener               descriptors → sources (set by the C ABI)
//!
//! Translation ── Dump           the attributes addrxlat.* of a group of clones,
//!                               and the newest system of maps and methods
//! ```
//!
//! An attribute is set in the locked tree; what the change asks for beyond it
//! ([`Effects`]) is done here afterwards, unlocked: opening files, a new page
//! cache, a new snapshot.

mod block;
mod options;
mod translation;
mod vmcoreinfo;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::attr::{
    AttrRef, Attributes, DEFAULT_CACHE_SIZE, Effects, Facts, Gauge, Geometry, Os, Scope, Value,
};
use crate::cache::PageCache;
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::{FORMATS, Format, FormatRow, Opening, Spaces, raw};
use crate::io::{FileSet, MmapPolicy, Source, Watch};
use crate::sync::{Counter, Fault, Lock, MaybeSend, MaybeSync, Nesting, Shared, broken};

pub(crate) use block::{Block, PageBuffers};
pub(crate) use options::translation_options;
pub(crate) use translation::Translation;
pub(crate) use vmcoreinfo::{Vmcoreinfo, Wording, value_below};

/// Everything that a read needs to know, as it was at one moment.
pub(crate) struct Snapshot {
    pub geometry: Geometry,
    pub opened: Option<Opened>,
}

/// An open dump.
#[derive(Clone)]
pub(crate) struct Opened {
    pub format: Shared<dyn Format>,
    pub files: Shared<FileSet>,
    /// What [`Format::spaces`] says.
    pub spaces: Spaces,
    /// log2 of the format's page size and the cache for such pages; `None`
    /// while the page size is unknown.
    pub pages: Option<(u32, PageCache)>,
}

impl Snapshot {
    /// Address spaces that pages can be read from directly.
    pub fn spaces(&self) -> Spaces {
        self.opened.as_ref().map_or(Spaces::NONE, |opened| opened.spaces)
    }
}

/// Turns the number of a file descriptor into a source.
pub trait OpenDescriptor: MaybeSend + MaybeSync {
    /// Opens descriptor number `fd`.
    ///
    /// # Errors
    /// What keeps the descriptor from being read.
    fn open(&self, fd: u64) -> Result<Source>;
}

/// What clones share.
pub(crate) struct Dump {
    pub attributes: Attributes,
    current: Lock<Shared<Snapshot>>,
    version: Counter,
    policy: Shared<MmapPolicy>,
    opener: Lock<Option<Shared<dyn OpenDescriptor>>>,
    /// Whether somebody is opening files just now.
    opening: Lock<bool>,
    /// Set-ups of translation that are under way.
    pub set_ups: Nesting,
}

/// One of the numbers that [`MmapPolicy`] keeps, as an attribute.
struct PolicyGauge {
    policy: Shared<MmapPolicy>,
    get: fn(&MmapPolicy) -> u64,
    set: fn(&MmapPolicy, u64),
    default: u64,
}

impl Gauge for PolicyGauge {
    fn get(&self) -> u64 {
        (self.get)(&self.policy)
    }

    fn set(&self, value: u64) {
        (self.set)(&self.policy, value);
    }

    fn reset(&self) {
        (self.set)(&self.policy, self.default);
    }
}

/// A counter of a page cache, as an attribute.
struct CacheGauge {
    cache: PageCache,
    get: fn(&PageCache) -> u64,
    set: fn(&PageCache, u64),
}

impl Gauge for CacheGauge {
    fn get(&self) -> u64 {
        (self.get)(&self.cache)
    }

    fn set(&self, value: u64) {
        (self.set)(&self.cache, value);
    }
}

/// The right to open files; only one caller at a time has it.
struct OpeningGuard<'a>(&'a Lock<bool>);

impl Drop for OpeningGuard<'_> {
    fn drop(&mut self) {
        *self.0.lock() = false;
    }
}

impl Dump {
    pub fn new() -> Self {
        let attributes = Attributes::new();
        let policy = Shared::new(MmapPolicy::default());
        bind_policy(&attributes, &policy);
        bind_no_cache(&attributes);
        let snapshot = Snapshot { geometry: attributes.geometry(), opened: None };
        Dump {
            attributes,
            current: Lock::new(Shared::new(snapshot)),
            version: Counter::new(1),
            policy,
            opener: Lock::new(None),
            opening: Lock::new(false),
            set_ups: Nesting::default(),
        }
    }

    /// Number of the current snapshot.
    pub fn version(&self) -> u64 {
        self.version.get()
    }

    /// The current snapshot and its number.
    pub fn current(&self) -> (u64, Shared<Snapshot>) {
        let current = self.current.lock();
        (self.version.get(), current.clone())
    }

    pub fn set_opener(&self, opener: Shared<dyn OpenDescriptor>) {
        // The old one goes away unlocked: it may run code of the user.
        let old = self.opener.lock().replace(opener);
        drop(old);
    }

    pub fn watch_unpacking(&self, watch: Option<Shared<dyn Watch>>) {
        self.policy.set_watch(watch);
    }

    /// Sets an attribute on behalf of the user. Returns the operating system
    /// if that is what was set: memory may tell more about it.
    pub fn set(&self, attr: AttrRef, value: Value) -> Result<Option<Os>> {
        let mut effects = Effects::default();
        let set = self.attributes.set(attr, value, true, &mut effects);
        let ostype = effects.ostype;
        let settled = self.settle(effects);
        set.and(settled).map(|()| ostype)
    }

    /// Sets attributes on behalf of the library.
    pub fn describe(&self, body: impl FnOnce(&mut Facts<'_>) -> Result<()>) -> Result<()> {
        let mut effects = Effects::default();
        let described = body(&mut Facts::new(&self.attributes, &mut effects));
        let settled = self.settle(effects);
        described.and(settled)
    }

    /// Clears an attribute and everything below it, as a scope sees it.
    pub fn clear(&self, scope: &Scope, attr: AttrRef) -> Result<()> {
        let mut effects = Effects::default();
        self.attributes.clear_in(scope, attr, &mut effects)?;
        self.settle(effects)
    }

    /// Does what changes of attributes asked for.
    fn settle(&self, effects: Effects) -> Result<()> {
        self.publish(&effects, |_| {});
        if let Some(fd) = effects.open_fd {
            let opened = self.open_descriptors(&[fd]);
            // Opening starts with an empty set, which takes `file.fd` along.
            self.attributes.put_back("file.fd", Value::Number(fd));
            return opened;
        }
        match self.attributes.complete_file_set().filter(|_| effects.open) {
            Some(descriptors) => {
                let guard = self.begin_opening()?;
                self.open_sources(&guard, FORMATS, || self.sources(&descriptors))
            }
            None => Ok(()),
        }
    }

    /// Replaces the snapshot (and the page cache) as `effects` ask for.
    fn publish(&self, effects: &Effects, change: impl FnOnce(&mut Option<Opened>)) {
        if !(effects.geometry || effects.cache) {
            return;
        }
        let mut current = self.current.lock();
        let geometry = self.attributes.geometry();
        let mut opened = current.opened.clone();
        change(&mut opened);
        if let Some(opened) = &mut opened {
            let shift = opened.format.page_shift(&geometry).filter(|shift| *shift < usize::BITS);
            let keep = matches!(&opened.pages, Some((old, _)) if Some(*old) == shift && !effects.cache);
            if !keep {
                opened.pages = shift.map(|shift| (shift, self.new_cache(shift)));
            }
        }
        let cached = |opened: &Option<Opened>| opened.as_ref().is_some_and(|opened| opened.pages.is_some());
        if cached(&current.opened) && !cached(&opened) {
            // Statistics must not keep the pages of a cache that is gone.
            bind_no_cache(&self.attributes);
        }
        let old = core::mem::replace(&mut *current, Shared::new(Snapshot { geometry, opened }));
        self.version.add(1);
        // Sources may run code of the user when they go away.
        drop(current);
        drop(old);
    }

    fn new_cache(&self, shift: u32) -> PageCache {
        let slots = self.attributes.number("cache.size").unwrap_or(DEFAULT_CACHE_SIZE);
        let cache = PageCache::new(slots, 1 << shift);
        type Row = (&'static str, fn(&PageCache) -> u64, fn(&PageCache, u64));
        let rows: [Row; 2] = [
            ("cache.hits", PageCache::hits, PageCache::set_hits),
            ("cache.misses", PageCache::misses, PageCache::set_misses),
        ];
        for (path, get, set) in rows {
            self.attributes.bind(path, Shared::new(CacheGauge { cache: cache.clone(), get, set }));
        }
        cache
    }

    fn sources(&self, descriptors: &[u64]) -> Result<Vec<Source>> {
        let opener = self.opener.lock().clone();
        let opener = opener.ok_or_else(|| Error::not_implemented("No way to open file descriptors"))?;
        let open = |(index, fd): (usize, &u64)| {
            opener.open(*fd).context(|| format!("Cannot read {}", self.file_name(index)))
        };
        descriptors.iter().enumerate().map(open).collect()
    }

    /// Name of a file of the set in messages.
    pub fn file_name(&self, index: usize) -> String {
        let name = self.attributes.string(&format!("file.set.{index}.name"));
        name.map_or_else(|| format!("file #{index}"), |name| (&*name).into())
    }

    /// Names files for messages; a set that is too small grows.
    pub fn set_file_names(&self, names: &[Option<&str>]) -> Result<()> {
        let number = names.len() as u64;
        if self.attributes.number("file.set.number").unwrap_or(0) < number {
            let attr = self.attributes.reference(Some("file.set.number"))?;
            self.set(attr, Value::Number(number)).context(|| "Cannot initialize file set size")?;
        }
        for (index, name) in names.iter().enumerate() {
            let attr = self.attributes.reference(Some(&format!("file.set.{index}.name")))?;
            match name {
                Some(name) => drop(self.set(attr, Value::from(*name))?),
                None => self.attributes.clear(attr, &mut Effects::default())?,
            }
        }
        Ok(())
    }

    /// Opens the files behind descriptors that the opener knows.
    pub fn open_descriptors(&self, descriptors: &[u64]) -> Result<()> {
        self.open_set(descriptors, FORMATS, || self.sources(descriptors))
    }

    /// Opens files that are sources already; they are numbered in the tree.
    pub fn open_files(&self, formats: &[FormatRow], sources: Vec<Source>) -> Result<()> {
        let numbers: Vec<u64> = (0..sources.len() as u64).collect();
        self.open_set(&numbers, formats, || Ok(sources))
    }

    fn open_set(
        &self,
        descriptors: &[u64],
        formats: &[FormatRow],
        sources: impl FnOnce() -> Result<Vec<Source>>,
    ) -> Result<()> {
        let guard = self.begin_opening().context(|| self.file_name(0))?;
        self.new_file_set(descriptors)?;
        if descriptors.is_empty() {
            return Ok(());
        }
        self.open_sources(&guard, formats, sources).context(|| self.file_name(0))
    }

    /// Takes the right to open files, or says that somebody else has it.
    fn begin_opening(&self) -> Result<OpeningGuard<'_>> {
        if core::mem::replace(&mut *self.opening.lock(), true) && !broken(Fault::TwoOpen) {
            return Err(Error::new(Status::Busy, "Another dump is being opened"));
        }
        Ok(OpeningGuard(&self.opening))
    }

    /// Makes `file.set` hold these descriptors, without opening anything.
    fn new_file_set(&self, descriptors: &[u64]) -> Result<()> {
        let mut effects = Effects::default();
        let old = self.attributes.number("file.set.number").unwrap_or(0);
        for index in 0..old {
            let attr = self.attributes.reference(Some(&format!("file.set.{index}.fd")))?;
            self.attributes.clear(attr, &mut effects)?;
        }
        let number = self.attributes.reference(Some("file.set.number"))?;
        self.attributes
            .set(number, Value::Number(descriptors.len() as u64), true, &mut effects)
            .context(|| "Cannot initialize file set size")?;
        for (index, fd) in descriptors.iter().enumerate().rev() {
            let attr = self.attributes.reference(Some(&format!("file.set.{index}.fd")))?;
            self.attributes.set(attr, Value::Number(*fd), true, &mut effects)?;
        }
        Ok(())
    }

    /// Opens a dump; the dump that was open is closed first.
    fn open_sources(
        &self,
        _guard: &OpeningGuard<'_>,
        formats: &[FormatRow],
        sources: impl FnOnce() -> Result<Vec<Source>>,
    ) -> Result<()> {
        let mut effects = Effects::default();
        self.attributes.clear_volatile(&mut effects);
        effects.geometry = true;
        self.publish(&effects, |opened| *opened = None);
        self.policy.reset_statistics();
        // They have values again, even if the user had cleared them.
        bind_policy(&self.attributes, &self.policy);

        let sources = sources()?;
        let names = (0..sources.len()).map(|index| self.file_name(index)).collect();
        let files = Shared::new(FileSet::open(sources, names, self.policy.clone())?);
        let probed = self.probe(&files, formats);
        let format: Shared<dyn Format> = match probed {
            Ok(format) => format.into(),
            Err(error) => {
                self.publish(&effects, |_| {});
                return Err(error);
            }
        };
        let attr = self.attributes.reference(Some("file.format"))?;
        self.attributes.set(attr, Value::from(format.name()), false, &mut effects)?;
        effects.cache = true;
        let spaces = format.spaces();
        let files = format.files().cloned().unwrap_or(files);
        for index in 0..files.count() {
            if let Some(archive) = files.archive(index) {
                let mut facts = Facts::new(&self.attributes, &mut effects);
                facts.set_string(&format!("file.set.{index}.archive"), archive.name())?;
            }
        }
        self.publish(&effects, |opened| *opened = Some(Opened { format, files, spaces, pages: None }));
        // What was tried meanwhile could not read any page.
        self.attributes.all_translations_changed();
        Ok(())
    }

    /// The first format that knows these files.
    fn probe(&self, files: &Shared<FileSet>, formats: &[FormatRow]) -> Result<Box<dyn Format>> {
        let mut effects = Effects::default();
        let mut opening = Opening { files, facts: Facts::new(&self.attributes, &mut effects) };
        if raw::is_wanted(&opening.facts, files.count()) {
            return raw::open(&mut opening);
        }
        for row in formats {
            let mut effects = Effects::default();
            let mut opening = Opening { files, facts: Facts::new(&self.attributes, &mut effects) };
            if let Some(format) = (row.open)(&mut opening)? {
                return Ok(format);
            }
        }
        Err(Error::not_implemented("Unknown file format"))
    }
}

/// Statistics of the page cache while there is none.
fn bind_no_cache(attributes: &Attributes) {
    for path in ["cache.hits", "cache.misses"] {
        attributes.bind(path, Shared::new(Counter::new(0)));
    }
}

fn bind_policy(attributes: &Attributes, policy: &Shared<MmapPolicy>) {
    type Row = (&'static str, fn(&MmapPolicy) -> u64, fn(&MmapPolicy, u64), u64);
    let rows: [Row; 5] = [
        ("file.mmap_policy", MmapPolicy::get, MmapPolicy::set, MmapPolicy::TRY),
        ("file.mmap_cache.hits", |p| p.mmap_hits.get(), |p, n| p.mmap_hits.set(n), 0),
        ("file.mmap_cache.misses", |p| p.mmap_misses.get(), |p, n| p.mmap_misses.set(n), 0),
        ("file.read_cache.hits", |p| p.read_hits.get(), |p, n| p.read_hits.set(n), 0),
        ("file.read_cache.misses", |p| p.read_misses.get(), |p, n| p.read_misses.set(n), 0),
    ];
    for (path, get, set, default) in rows {
        attributes.bind(path, Shared::new(PolicyGauge { policy: policy.clone(), get, set, default }));
    }
}
