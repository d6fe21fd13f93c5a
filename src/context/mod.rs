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

mod ostype;
mod own;
mod vmcoreinfo;

pub use own::{Callbacks, SymbolValue};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::{Cell, Ref, RefCell};

use crate::attr::{AttrEntry, AttrRef, AttrType, Attributes, Bitmap, Blob, Value};
use crate::cache::{Key, Lookup};
use crate::dump::{Dump, OpenDescriptor, Opened, Snapshot, Translation};
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::{Address, Filled, Packing, Place, Scratch, Space, Spaces};
use crate::io::Source;
use crate::sync::{Counted, Fault, Shared, broken};

use own::Own;

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
    own: Own,
    version: Cell<u64>,
    snapshot: RefCell<Shared<Snapshot>>,
    /// Taken while a page is being filled; a source that reads from the same
    /// context meanwhile gets buffers of its own.
    buffers: Cell<Option<Box<Buffers>>>,
    last_error: RefCell<Option<Error>>,
}

#[derive(Default)]
struct Buffers {
    scratch: Scratch,
    /// A page that is in no slot of the cache.
    private: Vec<u8>,
}

impl Context {
    /// A context with no dump open.
    pub fn new() -> Self {
        let dump = Counted::new(Dump::new());
        let translation = Counted::new(Translation::first(&dump));
        Self::of(dump, translation, Own::default())
    }

    fn of(dump: Counted<Dump>, translation: Counted<Translation>, own: Own) -> Self {
        let (version, snapshot) = dump.current();
        Context {
            dump,
            translation,
            own,
            version: Cell::new(version),
            snapshot: RefCell::new(snapshot),
            buffers: Cell::new(None),
            last_error: RefCell::new(None),
        }
    }

    /// Runs one call: clears the last error, and keeps the new one.
    fn call<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        self.clear_error();
        let result = body();
        match &result {
            Ok(_) => self.clear_error(), // of a call that a source made meanwhile
            Err(error) => *self.last_error.borrow_mut() = Some(error.clone()),
        }
        result
    }

    /// The error of the last call through this context, if it failed.
    pub fn last_error(&self) -> Option<Error> {
        self.last_error.borrow().clone()
    }

    /// Forgets the last error.
    pub fn clear_error(&self) {
        let mut last = self.last_error.borrow_mut();
        if last.is_some() {
            *last = None;
        }
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
        self.call(|| self.dump.open_files(files))
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
                let file = crate::io::FileSource::open(path).context(|| format!("Cannot open {name}"))?;
                sources.push(Shared::new(file));
                names.push(format!("{name}"));
            }
            let names: Vec<Option<&str>> = names.iter().map(|name| Some(&name[..])).collect();
            self.dump.set_file_names(&names)?;
            self.dump.open_files(sources)
        })
    }

    /// Opens a dump by numbers that the opener understands.
    ///
    /// # Errors
    /// Those of the opener and of [`Context::open`].
    pub fn open_descriptors(&self, descriptors: &[u64]) -> Result<()> {
        self.call(|| self.dump.open_descriptors(descriptors))
    }

    /// Says how the numbers in `file.fd` and `file.set.N.fd` become files.
    /// Without an opener those attributes open nothing.
    pub fn set_opener(&self, opener: Shared<dyn OpenDescriptor>) {
        self.dump.set_opener(opener);
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
        self.call(|| self.attributes().get(self.reference(Some(path))?))
    }

    /// The attribute that this context means by `path` (`None`: the root).
    fn reference(&self, path: Option<&str>) -> Result<AttrRef> {
        self.attributes().reference_in(self.translation.scope(), path)
    }

    fn typed<T>(&self, path: &str, pick: impl FnOnce(Value) -> Option<T>) -> Result<T> {
        self.call(|| {
            let value = self.attributes().get(self.reference(Some(path))?)?;
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
    pub fn get_attr(&self, attr: AttrRef) -> Result<Value> {
        self.call(|| self.attributes().get(attr))
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
                Some(opened) if opened.format.spaces().contains(space) => {
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
    fn snapshot(&self) -> Ref<'_, Shared<Snapshot>> {
        if self.dump.version() != self.version.get()
            && let Ok(mut mine) = self.snapshot.try_borrow_mut()
            && !(broken(Fault::StaleSnapshot) && mine.opened.is_some())
        {
            let (version, current) = self.dump.current();
            *mine = current;
            self.version.set(version);
        }
        self.snapshot.borrow()
    }

    /// Reads `buf.len()` bytes at `address`.
    ///
    /// # Errors
    /// `NoData` for pages that are not stored, `Corrupt` for pages that cannot
    /// be decompressed, `AddrXlat` for addresses that cannot be translated,
    /// `Busy` (`Cache is fully utilized`) if every slot of the page cache is
    /// pinned: a retry may succeed, and attribute `cache.size` should be
    /// raised if more threads read than there are slots.
    pub fn read(&self, space: Space, address: u64, buf: &mut [u8]) -> Result<()> {
        self.read_partial(space, address, buf).1
    }

    /// Like [`Context::read`], but also tells how many bytes were read before
    /// the page that failed; the rest of `buf` is untouched.
    pub fn read_partial(&self, space: Space, address: u64, buf: &mut [u8]) -> (usize, Result<()>) {
        let mut done = 0;
        let result = self.call(|| {
            let snapshot = self.snapshot();
            let mut at = address;
            while done < buf.len() {
                let n = self.page(&snapshot, Address { space, value: at }, |bytes| {
                    let rest = &mut buf[done..];
                    let n = bytes.len().min(rest.len());
                    rest[..n].copy_from_slice(&bytes[..n]);
                    n
                })?;
                done += n;
                at = at.wrapping_add(n as u64);
            }
            Ok(())
        });
        (done, result)
    }

    /// Reads the bytes at `address` up to (without) the first NUL.
    ///
    /// # Errors
    /// Those of [`Context::read`]; `System` (`Cannot enlarge string to <n> bytes`).
    pub fn read_string(&self, space: Space, address: u64) -> Result<Vec<u8>> {
        self.call(|| {
            let snapshot = self.snapshot();
            let mut text = Vec::new();
            let mut at = address;
            loop {
                let ended = self.page(&snapshot, Address { space, value: at }, |bytes| {
                    let end = bytes.iter().position(|byte| *byte == 0);
                    let found = &bytes[..end.unwrap_or(bytes.len())];
                    at = at.wrapping_add(bytes.len() as u64);
                    text.try_reserve(found.len()).map_err(|_| {
                        Error::system(format!("Cannot enlarge string to {} bytes", text.len() + found.len()))
                    })?;
                    text.extend_from_slice(found);
                    Ok(end.is_some())
                })??;
                if ended {
                    return Ok(text);
                }
            }
        })
    }

    /// Calls `look` with the bytes from `address` to the end of its page.
    fn page<R>(&self, snapshot: &Snapshot, address: Address, look: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let direct = snapshot.opened.as_ref().filter(|opened| opened.format.spaces().contains(address.space));
        match direct {
            Some(opened) => self.stored_page(snapshot, opened, address, look),
            None => {
                let (opened, address) =
                    self.translate(snapshot, address).context(|| "Cannot get page I/O address")?;
                self.stored_page(snapshot, opened, address, look)
            }
        }
    }

    /// Translates to an address space that the dump can be read by.
    fn translate<'a>(&self, snapshot: &'a Snapshot, _address: Address) -> Result<(&'a Opened, Address)> {
        Err(no_way(snapshot))
    }

    fn stored_page<R>(
        &self,
        snapshot: &Snapshot,
        opened: &Opened,
        address: Address,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<R> {
        let Some((shift, cache)) = &opened.pages else {
            return Err(Error::invalid("Page size is not known: set attribute arch.page_size"));
        };
        let geometry = &snapshot.geometry;
        let size = cache.page_size();
        let offset = (address.value & ((1u64 << shift) - 1)) as usize;
        let page = Address { value: address.value - offset as u64, ..address };
        match opened.format.locate(geometry, page)? {
            Place::Stored { file, position } => {
                if let Some(bytes) = opened.files.borrow(file, position, size) {
                    return Ok(look(&bytes[offset..]));
                }
                self.with_buffers(|buffers| {
                    let bytes = private_page(&mut buffers.private, size)?;
                    opened.files.read(file, position, bytes)?;
                    Ok(look(&bytes[offset..]))
                })
            }
            Place::Translate => {
                let (opened, address) = self.translate(snapshot, address)?;
                self.stored_page(snapshot, opened, address, look)
            }
            Place::Filled if size > PAGE_BUFFER_MAX => Err(no_page_buffer(size)),
            Place::Filled => match cache.get(Key { address: page.value, space: page.space as u8 }) {
                Lookup::Hit(found) => Ok(look(&found[offset..])),
                Lookup::Busy(busy) => Err(Error::new(Status::Busy, format!("{busy}"))),
                Lookup::NoMemory => Err(no_page_buffer(size)),
                Lookup::Fill(mut slot) => self.with_buffers(|buffers| {
                    let filled = opened.format.fill(geometry, page, slot.bytes(), &mut buffers.scratch)?;
                    if filled == Filled::Synthetic {
                        return Ok(look(&slot.bytes()[offset..]));
                    }
                    match slot.commit() {
                        Some(found) => Ok(look(&found[offset..])),
                        None => Err(Error::bare(Status::Busy)),
                    }
                }),
                Lookup::InFlight => self.with_buffers(|buffers| {
                    let bytes = private_page(&mut buffers.private, size)?;
                    opened.format.fill(geometry, page, bytes, &mut buffers.scratch)?;
                    Ok(look(&bytes[offset..]))
                }),
            },
        }
    }

    fn with_buffers<R>(&self, body: impl FnOnce(&mut Buffers) -> R) -> R {
        let mut buffers = self.buffers.take().unwrap_or_default();
        let result = body(&mut buffers);
        self.buffers.set(Some(buffers));
        result
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

/// The largest page that is put into a buffer, in bytes. The kernel's largest
/// page size is 1 MiB (hexagon); a dump may claim any power of two, and one
/// page of that must not take all memory.
const PAGE_BUFFER_MAX: usize = 16 << 20;

#[cold]
fn no_page_buffer(size: usize) -> Error {
    Error::system(format!("Cannot allocate page buffer ({size} bytes)"))
}

/// The first `size` bytes of a buffer that grows when it must.
fn private_page(buffer: &mut Vec<u8>, size: usize) -> Result<&mut [u8]> {
    if size > PAGE_BUFFER_MAX {
        return Err(no_page_buffer(size));
    }
    if buffer.len() < size {
        let missing = size - buffer.len();
        buffer.try_reserve_exact(missing).map_err(|_| no_page_buffer(size))?;
        buffer.resize(size, 0);
    }
    Ok(&mut buffer[..size])
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
            true => Counted::new(self.translation.split()),
            false => self.translation.clone(),
        };
        let clone = Self::of(self.dump.clone(), translation, self.own.copy());
        if broken(Fault::LeakedDump) {
            core::mem::forget(self.dump.clone());
        }
        if broken(Fault::KeptError) {
            clone.last_error.replace(self.last_error());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::ReadAt;
    use alloc::vec;

    /// Bytes that cannot be used in place.
    struct Stored(Vec<u8>);

    impl ReadAt for Stored {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            self.0.read_at(pos, buf)
        }
    }

    #[test]
    fn a_page_size_without_bounds_takes_no_memory() {
        use kdumpfile_testkit::elf::{ElfBuilder, Segment};
        let page_size = 1u64 << 33;
        let arch = kdumpfile_testkit::arch::Arch::X86_64;
        // A page that is stored as a whole, and one that must be put together.
        let whole = Segment::load(0, vec![7; 64]).memsz(2 * page_size).filesz(2 * page_size);
        let parts = Segment::load(4 * page_size, vec![7; 64]);
        let file = ElfBuilder::for_arch(arch).segment(whole).segment(parts).build();
        let dump = Context::new();
        dump.open(vec![Shared::new(Stored(file))]).unwrap();
        dump.set("arch.page_size", Value::Number(page_size)).unwrap();
        for address in [0, 4 * page_size] {
            let error = dump.read(Space::MachinePhysical, address, &mut [0; 64]).unwrap_err();
            assert_eq!(error.status(), Status::System);
            assert_eq!(error.message(), "Cannot allocate page buffer (8589934592 bytes)");
        }
    }
}
