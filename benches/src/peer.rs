//! The C library, loaded at run time: `libkdumpfile.so.10` of Debian.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;

use kdumpfile::Space;
use libloading::{Library, Symbol};

type Context = NonNull<c_void>;
type NewFn = unsafe extern "C" fn() -> Option<Context>;
type CloneFn = unsafe extern "C" fn(Context, c_ulong) -> Option<Context>;
type FreeFn = unsafe extern "C" fn(Context);
type OpenFn = unsafe extern "C" fn(Context, c_uint, *const c_int) -> c_int;
type ReadFn = unsafe extern "C" fn(Context, c_int, u64, *mut c_void, *mut usize) -> c_int;

type SetFn = unsafe extern "C" fn(Context, *const c_char, *const Attribute) -> c_int;

/// `kdump_attr_t` of the C ABI, as far as it is needed here.
#[repr(C)]
struct Attribute {
    kind: c_int,
    text: *const c_char,
}

/// `KDUMP_STRING` of the C ABI.
const STRING: c_int = 4;

/// The loaded library.
pub struct Peer {
    library: Library,
}

/// An open dump of the C library.
pub struct PeerDump<'a> {
    context: Context,
    read: Symbol<'a, ReadFn>,
    set: Symbol<'a, SetFn>,
    clone: Symbol<'a, CloneFn>,
    free: Symbol<'a, FreeFn>,
    // The library neither duplicates nor closes descriptors.
    _files: Vec<File>,
}

// SAFETY: the C library allows a context to move between threads; it forbids
// only that two threads use one at the same time, and `PeerDump` is not Sync.
unsafe impl Send for PeerDump<'_> {}

impl Peer {
    /// Loads the C library, if it is installed.
    pub fn load() -> Option<Peer> {
        // SAFETY: the library's constructors do nothing but set up itself.
        let library = unsafe { Library::new("libkdumpfile.so.10") }.ok()?;
        Some(Peer { library })
    }

    /// Opens a dump.
    pub fn open<P: AsRef<Path>>(&self, paths: &[P]) -> Result<PeerDump<'_>, String> {
        let files: Vec<File> = paths
            .iter()
            .map(|path| File::open(path).map_err(|error| error.to_string()))
            .collect::<Result<_, _>>()?;
        let fds: Vec<c_int> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let missing = |error: libloading::Error| error.to_string();
        // SAFETY: the types are those of the functions in the C ABI.
        let dump = unsafe {
            let new: Symbol<'_, NewFn> = self.library.get("kdump_new").map_err(missing)?;
            PeerDump {
                context: new().ok_or("kdump_new failed")?,
                read: self.library.get("kdump_read").map_err(missing)?,
                set: self.library.get("kdump_set_attr").map_err(missing)?,
                clone: self.library.get("kdump_clone").map_err(missing)?,
                free: self.library.get("kdump_free").map_err(missing)?,
                _files: files,
            }
        };
        // SAFETY: as above; `fds` has as many elements as are announced.
        let status = unsafe {
            let open: Symbol<'_, OpenFn> = self.library.get("kdump_open_fdset").map_err(missing)?;
            open(dump.context, fds.len() as c_uint, fds.as_ptr())
        };
        if status == 0 { Ok(dump) } else { Err(format!("the C library refuses with status {status}")) }
    }
}

impl PeerDump<'_> {
    /// Reads at an address; the status of the C ABI.
    pub fn read(&mut self, space: Space, address: u64, buf: &mut [u8]) -> c_int {
        let mut len = buf.len();
        // SAFETY: `buf` has room for `len` bytes, and `&mut self` makes this
        // the only use of the context. Spaces have the numbers of the C ABI.
        unsafe { (self.read)(self.context, space as c_int, address, buf.as_mut_ptr().cast(), &mut len) }
    }

    /// Says that Linux is in the dump; the status of the C ABI.
    pub fn set_linux(&mut self) -> c_int {
        let value = Attribute { kind: STRING, text: c"linux".as_ptr() };
        // SAFETY: both texts end in NUL, and the library copies the value.
        unsafe { (self.set)(self.context, c"addrxlat.ostype".as_ptr(), &value) }
    }

    /// Another context for the same dump.
    pub fn try_clone(&self) -> Option<Self> {
        // SAFETY: flags 0 share everything; the caller frees the clone by drop.
        let context = unsafe { (self.clone)(self.context, 0) }?;
        Some(PeerDump {
            context,
            read: self.read.clone(),
            set: self.set.clone(),
            clone: self.clone.clone(),
            free: self.free.clone(),
            _files: Vec::new(),
        })
    }
}

impl Drop for PeerDump<'_> {
    fn drop(&mut self) {
        // SAFETY: the context is ours and used no more.
        unsafe { (self.free)(self.context) }
    }
}
