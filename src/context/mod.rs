//! The context: what one user of a dump holds.
//!
//! | part | clones |
//! | --- | --- |
//! | dump: attributes, files, format, page cache | share it |
//! | translation: attributes `addrxlat.*` and what follows from them | share it, or [split](Context::clone_with) it |
//! | private data, callbacks | copied, then each its own |
//! | last error | cleared in the clone, then its own |
//! | buffers for decompression, seen snapshot | its own |
//!
//! A context is used by one thread at a time (it is not `Sync`); with
//! threads it may move between them (it is `Send`), and each thread gets a
//! clone.

mod domains;
mod frames;
mod last;
mod ostype;
mod own;
mod page;
#[cfg(feature = "rayon")]
mod parallel;
mod read;
mod recent;
mod record;
mod scan;
mod translate;
mod vmcoreinfo;

pub use domains::{XenDomain, XenDomains};
pub use own::{Callbacks, SymbolValue};
pub use page::{PageGuard, PageRun, PageRuns};
#[cfg(feature = "rayon")]
pub use parallel::ParPages;
pub use scan::{FoundVmcoreinfo, VmcoreinfoScan};

use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, OnceCell, Ref, RefCell};

use crate::attr::{AttrEntry, AttrRef, AttrType, Attributes, Bitmap, Blob, Value};
use crate::dump::{Dump, OpenDescriptor, PageBuffers, Snapshot, Translation};
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::{Address, FORMATS, FormatRow, Packing, Space, Spaces};
use crate::io::{Source, Watch};
use crate::sync::{Counted, Fault, Shared, broken};
use crate::xlat::{Ctx, System};

use last::LastError;
use own::Own;
use recent::Recent;

/// Access to one dump.
///
/// ```
/// use kdumpfile::{Context, Space, Status};
///
/// let dump = Context::new();
/// // Nothing is open yet, so there is nothing to read from.
/// let error = dump.read(Space::MachinePhysical, 0, &mut [0; 8]).unwrap_err();
/// assert_eq!(error.status(), Status::AddrXlat);
/// assert_eq!(dump.number("cache.size").unwrap(), 1024);
/// ```
///
/// Two threads never use one context at the same time, and the compiler sees
/// to it:
///
/// ```compile_fail,E0277
/// fn shared_by_threads(_: impl Sync) {}
/// shared_by_threads(kdumpfile::Context::new());
/// ```
pub struct Context {
    dump: Counted<Dump>,
    translation: Counted<Translation>,
    own: Shared<Own>,
    /// Made when it is first needed: many contexts never translate.
    xlat: OnceCell<Ctx>,
    /// Whether the page that was read last came through the page cache.
    from_cache: Cell<bool>,
    /// The translation that was used last.
    recent: Cell<Recent>,
    /// The system seen last, and how many changes it includes.
    system: RefCell<Option<(u64, Shared<System>)>>,
    version: Cell<u64>,
    snapshot: RefCell<Shared<Snapshot>>,
    buffers: PageBuffers,
    last_error: LastError,
}

impl Context {
    /// A context with no dump open.
    pub fn new() -> Self {
        let dump = Counted::new(Dump::new());
        let translation = Counted::new(Translation::first(&dump));
        Self::sharing(dump, translation, Shared::default())
    }

    /// A context of these parts.
    fn sharing(dump: Counted<Dump>, translation: Counted<Translation>, own: Shared<Own>) -> Self {
        let (version, snapshot) = dump.current();
        Context {
            dump,
            translation,
            own,
            xlat: OnceCell::new(),
            from_cache: Cell::new(false),
            recent: Cell::new(Recent::NONE),
            system: RefCell::new(None),
            version: Cell::new(version),
            snapshot: RefCell::new(snapshot),
            buffers: PageBuffers::default(),
            last_error: LastError::default(),
        }
    }

    /// Runs one call: clears the last error, and keeps the new one.
    #[inline(always)]
    fn call<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.clear_error();
        let result = body();
        match &result {
            Ok(_) => self.clear_error(), // of a call that a source made meanwhile
            Err(error) => self.last_error.set(Some(error.clone())),
        }
        result
    }

    /// The error of the last call through this context, if it failed.
    pub fn last_error(&self) -> Option<Error> {
        self.last_error.get()
    }

    /// Forgets the last error.
    #[inline]
    pub fn clear_error(&self) {
        self.last_error.clear();
    }

    // --- Opening -------------------------------------------------------------

    /// Opens a dump that consists of these files (a split set in any order, or
    /// one file). What was open before is closed; attributes that the user
    /// set stay.
    ///
    /// # Errors
    /// `NotImplemented` (`Unknown file format`) if no format knows the file;
    /// otherwise what its format finds wrong, behind the name of the file.
    /// After an error no dump is open.
    pub fn open(&self, files: Vec<Source>) -> Result<()> {
        self.open_as(FORMATS, files)
    }

    /// The same as [`Context::open`] with these formats, which are tried in
    /// this order: formats of your own, if you like with those of the library
    /// ([`FORMATS`]) behind them.
    ///
    /// # Errors
    /// Those of [`Context::open`].
    pub fn open_as(&self, formats: &[FormatRow], files: Vec<Source>) -> Result<()> {
        self.call(|| self.dump.open_files(formats, files).inspect(|()| self.look_around()))
    }

    /// Opens a dump that is in memory.
    ///
    /// # Errors
    /// Those of [`Context::open`].
    pub fn open_bytes(&self, bytes: Vec<u8>) -> Result<()> {
        self.open(Vec::from([Shared::new(bytes) as Source]))
    }

    /// Opens a dump by the paths of its files, which also name them in
    /// messages.
    ///
    /// # Errors
    /// `System` (`Cannot open <path>`) if a file cannot be opened, and those
    /// of [`Context::open`].
    #[cfg(feature = "std")]
    pub fn open_paths<P: AsRef<crate::io::Path>>(&self, paths: &[P]) -> Result<()> {
        self.call(|| {
            let mut sources: Vec<Source> = Vec::new();
            let mut names = Vec::new();
            for path in paths {
                let name = path.as_ref().display();
                let file =
                    crate::io::FileSource::open(path).context(|| alloc::format!("Cannot open {name}"))?;
                sources.push(Shared::new(file));
                names.push(alloc::format!("{name}"));
            }
            let names: Vec<Option<&str>> = names.iter().map(|name| Some(&name[..])).collect();
            self.dump.set_file_names(&names)?;
            self.dump.open_files(FORMATS, sources).inspect(|()| self.look_around())
        })
    }

    /// Opens a dump by numbers that the opener understands.
    ///
    /// # Errors
    /// Those of the opener and of [`Context::open`].
    pub fn open_descriptors(&self, descriptors: &[u64]) -> Result<()> {
        self.call(|| self.dump.open_descriptors(descriptors).inspect(|()| self.look_around()))
    }

    /// Says how the numbers in `file.fd` and `file.set.N.fd` become files.
    /// Without an opener those attributes open nothing.
    pub fn set_opener(&self, opener: Shared<dyn OpenDescriptor>) {
        self.dump.set_opener(opener);
    }

    /// Has `watch` told how far the unpacking of an archive is, while it is being
    /// opened and later, for this context and its clones; `None` ends that.
    pub fn watch_unpacking(&self, watch: Option<Shared<dyn Watch>>) {
        self.dump.watch_unpacking(watch);
    }

    /// Names the files of the set in messages; `None` removes a name.
    ///
    /// # Errors
    /// `Cannot initialize file set size`.
    pub fn set_file_names(&self, names: &[Option<&str>]) -> Result<()> {
        self.call(|| self.dump.set_file_names(names))
    }

    // --- Attributes ----------------------------------------------------------

    fn attributes(&self) -> &Attributes {
        &self.dump.attributes
    }

    /// The value of the attribute at `path`.
    ///
    /// # Errors
    /// `NoKey` (`No such key`), `NoData` (`Key has no value`), or what
    /// computing the value says.
    pub fn get(&self, path: &str) -> Result<Value> {
        self.get_with_handle(Some(path)).map(|(_, value)| value)
    }

    /// The value of the attribute at `path` (`None`: the root), and a handle
    /// to that attribute. A path may be bytes of which nobody knows whether
    /// they are text; there is no key that is not.
    ///
    /// # Errors
    /// Those of [`Context::get`].
    pub fn get_with_handle<P>(&self, path: Option<&P>) -> Result<(AttrRef, Value)>
    where
        P: AsRef<[u8]> + ?Sized,
    {
        self.call(|| self.attributes().get_in(self.translation.scope(), path.map(P::as_ref)))
    }

    /// The attribute that this context means by `path` (`None`: the root).
    fn reference(&self, path: Option<&str>) -> Result<AttrRef> {
        self.attributes().reference_in(self.translation.scope(), path)
    }

    fn typed<T>(&self, path: &str, pick: impl FnOnce(Value) -> Option<T>) -> Result<T> {
        self.call(|| {
            let (_, value) = self.attributes().get_in(self.translation.scope(), Some(path.as_bytes()))?;
            pick(value).ok_or_else(|| Error::invalid("Attribute type mismatch"))
        })
    }

    /// The number at `path`.
    ///
    /// # Errors
    /// Those of [`Context::get`], and `Invalid` (`Attribute type mismatch`);
    /// likewise below.
    pub fn number(&self, path: &str) -> Result<u64> {
        self.typed(path, |value| value.as_number())
    }

    /// The address at `path`.
    ///
    /// # Errors
    /// Those of [`Context::number`].
    pub fn address(&self, path: &str) -> Result<u64> {
        self.typed(path, |value| value.as_address())
    }

    /// The text at `path`.
    ///
    /// # Errors
    /// Those of [`Context::number`].
    pub fn string(&self, path: &str) -> Result<String> {
        self.typed(path, |value| value.as_str().map(String::from))
    }

    /// The blob at `path`.
    ///
    /// # Errors
    /// Those of [`Context::number`].
    pub fn blob(&self, path: &str) -> Result<Blob> {
        self.typed(path, |value| value.as_blob().cloned())
    }

    /// The bitmap at `path` (`file.pagemap`: pages stored in the dump;
    /// `memory.pagemap`: pages that are RAM).
    ///
    /// # Errors
    /// Those of [`Context::number`].
    pub fn bitmap(&self, path: &str) -> Result<Bitmap> {
        self.typed(path, |value| value.as_bitmap().cloned())
    }

    /// Sets the attribute at `path`; the value survives opening another dump.
    ///
    /// # Errors
    /// `NoData` (`No such key`), `Invalid` (`Type mismatch`), or what the
    /// attribute's own checks and consequences say.
    pub fn set(&self, path: &str, value: Value) -> Result<()> {
        self.call(|| {
            let attr = self.reference(Some(path));
            // The C library answers this call alone with that status, and
            // programs have come to rely on it.
            let attr = attr.map_err(|error| error.with_status(Status::NoData))?;
            self.apply(attr, value)
        })
    }

    /// Clears the attribute at `path` (`None`: all) and everything below it.
    ///
    /// # Errors
    /// `NoData` (`No such key`).
    pub fn clear(&self, path: Option<&str>) -> Result<()> {
        self.call(|| {
            let attr = self.reference(path).map_err(|error| error.with_status(Status::NoData))?;
            self.dump.clear(self.translation.scope(), attr)
        })
    }

    /// A handle to the attribute at `path` (`None`: the root), set or not.
    ///
    /// # Errors
    /// `NoKey` (`No such key`).
    pub fn attr(&self, path: Option<&str>) -> Result<AttrRef> {
        self.call(|| self.reference(path))
    }

    /// A handle to the attribute at `path` below `base`.
    ///
    /// # Errors
    /// `NoKey` (`No such key`).
    pub fn sub_attr(&self, base: AttrRef, path: &str) -> Result<AttrRef> {
        self.call(|| self.attributes().sub_reference_in(self.translation.scope(), base, path))
    }

    /// Type of an attribute; `None` for one that was deleted.
    pub fn attr_type(&self, attr: AttrRef) -> Option<AttrType> {
        self.attributes().attr_type(attr).ok()
    }

    /// Whether an attribute has a value.
    pub fn attr_is_set(&self, attr: AttrRef) -> bool {
        self.attributes().is_set(attr).unwrap_or(false)
    }

    /// Full path of an attribute.
    ///
    /// # Errors
    /// `NoKey` for an attribute that was deleted.
    pub fn attr_path(&self, attr: AttrRef) -> Result<String> {
        self.call(|| self.attributes().path(attr))
    }

    /// The value of an attribute.
    ///
    /// # Errors
    /// Those of [`Context::get`].
    #[inline]
    pub fn get_attr(&self, attr: AttrRef) -> Result<Value> {
        self.call(|| self.attributes().get(attr))
    }

    /// The type and the value of an attribute that is a number or an address
    /// and just has its value. `None` for all others, and then nothing was
    /// done: [`Context::get_attr`] is to be asked.
    ///
    /// That is the part of `get_attr` that takes no memory and cannot fail,
    /// for those who count instructions.
    #[inline]
    pub fn number_at_hand(&self, attr: AttrRef) -> Option<(AttrType, u64)> {
        let found = self.attributes().number_at_hand(attr)?;
        self.clear_error();
        Some(found)
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// Those of [`Context::set`], but `NoKey` for an attribute that was deleted.
    pub fn set_attr(&self, attr: AttrRef, value: Value) -> Result<()> {
        self.call(|| self.apply(attr, value))
    }

    /// Clears an attribute and everything below it.
    ///
    /// # Errors
    /// `NoKey` for an attribute that was deleted.
    pub fn clear_attr(&self, attr: AttrRef) -> Result<()> {
        self.call(|| self.dump.clear(self.translation.scope(), attr))
    }

    /// The first child with a value of directory `path` (`None`: the root).
    ///
    /// # Errors
    /// `NoKey` (`No such path`), `NoData` (`Key has no value`), `Invalid`
    /// (`Path is a leaf attribute`).
    pub fn first_child(&self, path: Option<&str>) -> Result<Option<AttrEntry>> {
        self.call(|| {
            let directory = self.reference(path).map_err(|_| Error::new(Status::NoKey, "No such path"))?;
            self.attributes().next_in(self.translation.scope(), directory, None)
        })
    }

    /// The first child with a value of a directory, or the one after `previous`.
    ///
    /// # Errors
    /// Those of [`Context::first_child`].
    pub fn next_child(&self, directory: AttrRef, previous: Option<AttrRef>) -> Result<Option<AttrEntry>> {
        self.call(|| self.attributes().next_in(self.translation.scope(), directory, previous))
    }

    /// The next attribute with a value in the directory that `attr` is in.
    ///
    /// # Errors
    /// `NoKey` for an attribute that was deleted.
    pub fn next_sibling(&self, attr: AttrRef) -> Result<Option<AttrEntry>> {
        self.call(|| {
            let root = self.attributes().reference(None)?;
            // Where to go on says the attribute, not the directory.
            self.attributes().next_in(self.translation.scope(), root, Some(attr))
        })
    }

    // --- Reading -------------------------------------------------------------

    /// The address spaces that the open dump can be read by directly, without
    /// translating addresses first; none if no dump is open.
    pub fn spaces(&self) -> Spaces {
        self.snapshot().spaces()
    }

    /// Tells how the page at `address` is stored in its file, without reading
    /// the page itself.
    ///
    /// # Errors
    /// `NoData` for a page that is not stored; `AddrXlat` for an address space
    /// that the dump cannot be read by directly.
    pub fn packing(&self, space: Space, address: u64) -> Result<Packing> {
        self.call(|| {
            let snapshot = self.snapshot();
            let address = Address { space, value: address };
            match &snapshot.opened {
                Some(opened) if opened.spaces.contains(space) => {
                    let shift = opened.format.page_shift(&snapshot.geometry).unwrap_or(0);
                    let page = Address { value: address.value >> shift << shift, ..address };
                    opened.format.packing(&snapshot.geometry, page)
                }
                _ => Err(no_way(&snapshot)).context(|| "Cannot get page I/O address"),
            }
        })
    }

    /// The snapshot to read with: the newest one, unless a read through this
    /// very context is under way.
    #[inline]
    fn snapshot(&self) -> Ref<'_, Shared<Snapshot>> {
        if self.dump.version() != self.version.get()
            && let Ok(mut mine) = self.snapshot.try_borrow_mut()
            && !(broken(Fault::StaleSnapshot) && mine.opened.is_some())
        {
            let (version, current) = self.dump.current();
            *mine = current;
            self.version.set(version);
            if let Some(xlat) = self.xlat.get() {
                // Blocks that it keeps may be those of another dump.
                xlat.flush();
            }
        }
        self.snapshot.borrow()
    }
}

/// Why an address cannot be translated.
fn no_way(snapshot: &Snapshot) -> Error {
    let text = match snapshot.spaces().is_empty() {
        true => "No suitable capabilities",
        false => "No way to translate",
    };
    Error::new(Status::AddrXlat, text)
}

impl Default for Context {
    fn default() -> Self {
        Self::new()
    }
}

/// What a clone has of its own beyond what every clone has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloneOptions {
    /// Translation: the clone gets a copy of `addrxlat.*`. What is set there
    /// in either of the two does not affect the other.
    pub own_translation: bool,
}

impl CloneOptions {
    /// A clone that shares all it can.
    pub const fn new() -> Self {
        CloneOptions { own_translation: false }
    }

    /// Whether the clone gets a translation of its own.
    pub const fn own_translation(mut self, own: bool) -> Self {
        self.own_translation = own;
        self
    }
}

impl Context {
    /// Another context for the same dump, like [`Context::clone`] but with
    /// more of its own.
    ///
    /// ```
    /// # use kdumpfile::{CloneOptions, Context, Value};
    /// let dump = Context::new();
    /// dump.set("addrxlat.ostype", Value::from("linux"))?;
    /// let other = dump.clone_with(CloneOptions::new().own_translation(true));
    /// other.set("addrxlat.ostype", Value::from("xen"))?;
    /// assert_eq!(dump.string("addrxlat.ostype")?, "linux");
    /// // All else is seen by both.
    /// other.set("cache.size", Value::Number(64))?;
    /// assert_eq!(dump.number("cache.size")?, 64);
    /// # Ok::<(), kdumpfile::Error>(())
    /// ```
    pub fn clone_with(&self, options: CloneOptions) -> Self {
        let translation = match options.own_translation {
            true if !broken(Fault::SharedScope) => Counted::new(self.translation.split()),
            _ => self.translation.clone(),
        };
        let clone = Self::sharing(self.dump.clone(), translation, Shared::new(self.own.copy()));
        if let Some(xlat) = self.xlat.get() {
            // Nothing is there yet, so it is taken.
            let _ = clone.xlat.set(xlat.clone_onto(clone.record()));
        }
        if broken(Fault::LeakedDump) {
            core::mem::forget(self.dump.clone());
        }
        if broken(Fault::KeptError) {
            clone.last_error.set(self.last_error());
        }
        clone
    }
}

impl Clone for Context {
    /// Another context for the same dump: it shares attributes, files, caches
    /// and translation, has a copy of private data and callbacks, and starts
    /// without an error.
    fn clone(&self) -> Self {
        self.clone_with(CloneOptions::new())
    }
}
