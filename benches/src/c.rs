//! Libraries with the C ABI, loaded at run time: the distribution's
//! `libkdumpfile.so.10`, or our own.
//!
//! A process loads only one of them: both need a `libaddrxlat.so.3`, and the
//! loader would give both the same.

use std::ffi::{CStr, c_char, c_int, c_uint, c_ulong, c_void};
use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use kdumpfile::Space;
use libloading::os::unix::{Library as Loaded, RTLD_GLOBAL, RTLD_NOW};

use crate::subject::{Dump, Library, Outcome, Subject};

type Handle = NonNull<c_void>;
type NewFn = unsafe extern "C" fn() -> Option<Handle>;
type CloneFn = unsafe extern "C" fn(Handle, c_ulong) -> Option<Handle>;
type FreeFn = unsafe extern "C" fn(Handle);
type OpenFn = unsafe extern "C" fn(Handle, c_uint, *const c_int) -> c_int;
type ReadFn = unsafe extern "C" fn(Handle, c_int, u64, *mut c_void, *mut usize) -> c_int;
type SetFn = unsafe extern "C" fn(Handle, *const c_char, *const Attribute) -> c_int;
type GetFn = unsafe extern "C" fn(Handle, *const c_char, *mut Attribute) -> c_int;

/// `kdump_attr_t` of the C ABI: all members of its union have eight bytes.
#[repr(C)]
struct Attribute {
    kind: c_int,
    value: AttributeValue,
}

#[repr(C)]
union AttributeValue {
    number: u64,
    text: *const c_char,
}

/// `KDUMP_NUMBER` and `KDUMP_STRING` of the C ABI.
const NUMBER: c_int = 2;
const STRING: c_int = 4;

/// The functions that are used.
#[derive(Clone, Copy)]
struct Functions {
    new: NewFn,
    clone: CloneFn,
    free: FreeFn,
    open: OpenFn,
    read: ReadFn,
    set: SetFn,
    get: GetFn,
}

/// A loaded library.
pub struct CLibrary {
    subject: Subject,
    functions: Functions,
}

impl CLibrary {
    /// Loads the library at `path`, or the one that the loader finds by that
    /// name. A `libaddrxlat.so.3` beside it is loaded with it.
    pub fn load(path: &Path) -> Outcome<CLibrary> {
        let beside = path.with_file_name("libaddrxlat.so.3");
        let ours = path.is_absolute();
        // SAFETY: the constructors of both libraries only set up themselves;
        // the types are those of the functions in the C ABI.
        let functions = unsafe {
            if ours {
                // It stays loaded, and the other one is linked with it.
                std::mem::forget(Loaded::open(Some(&beside), RTLD_NOW | RTLD_GLOBAL)?);
            }
            let library = Loaded::open(Some(path), RTLD_NOW)?;
            let functions = Functions {
                new: *library.get(b"kdump_new\0")?,
                clone: *library.get(b"kdump_clone\0")?,
                free: *library.get(b"kdump_free\0")?,
                open: *library.get(b"kdump_open_fdset\0")?,
                read: *library.get(b"kdump_read\0")?,
                set: *library.get(b"kdump_set_attr\0")?,
                get: *library.get(b"kdump_get_attr\0")?,
            };
            std::mem::forget(library);
            functions
        };
        let subject = if ours { Subject::OurC } else { Subject::Peer };
        Ok(CLibrary { subject, functions })
    }
}

impl Library for CLibrary {
    fn subject(&self) -> Subject {
        self.subject
    }

    fn open(&'static self, paths: &[PathBuf]) -> Outcome<Box<dyn Dump>> {
        let files: Vec<File> = paths.iter().map(File::open).collect::<Result<_, _>>()?;
        let fds: Vec<c_int> = files.iter().map(AsRawFd::as_raw_fd).collect();
        let functions = self.functions;
        // SAFETY: a function without arguments.
        let handle = unsafe { (functions.new)() }.ok_or("kdump_new failed")?;
        let dump = CDump { handle, functions, _files: files };
        // SAFETY: `fds` has as many elements as are announced, and the files
        // stay open as long as the context is there.
        match unsafe { (functions.open)(handle, fds.len() as c_uint, fds.as_ptr()) } {
            0 => Ok(Box::new(dump)),
            status => Err(format!("opening fails with status {status}").into()),
        }
    }
}

/// A context of a C library.
struct CDump {
    handle: Handle,
    functions: Functions,
    // The libraries neither duplicate nor close descriptors.
    _files: Vec<File>,
}

// SAFETY: the C ABI allows a context to move between threads; it forbids only
// that two threads use one at the same time, and `CDump` is not Sync.
unsafe impl Send for CDump {}

impl CDump {
    fn set(&mut self, key: &CStr, kind: c_int, value: AttributeValue) -> Outcome<()> {
        let attribute = Attribute { kind, value };
        // SAFETY: texts end in NUL, and the library copies the value.
        match unsafe { (self.functions.set)(self.handle, key.as_ptr(), &attribute) } {
            0 => Ok(()),
            status => Err(format!("setting {key:?} fails with status {status}").into()),
        }
    }
}

impl Dump for CDump {
    fn another(&self) -> Outcome<Box<dyn Dump>> {
        // SAFETY: flags 0 share everything; the clone is freed by drop.
        let clone = unsafe { (self.functions.clone)(self.handle, 0) };
        let handle = clone.ok_or("kdump_clone failed")?;
        Ok(Box::new(CDump { handle, functions: self.functions, _files: Vec::new() }))
    }

    fn read_each(&mut self, space: Space, addresses: &[u64], buffer: &mut [u8]) -> u64 {
        let mut failed = 0;
        for address in addresses {
            let mut len = buffer.len();
            // SAFETY: `buffer` has room for `len` bytes, and `&mut self` makes
            // this the only use of the context. Spaces have the numbers of the
            // C ABI.
            let status = unsafe {
                let bytes = buffer.as_mut_ptr().cast();
                (self.functions.read)(self.handle, space as c_int, *address, bytes, &mut len)
            };
            failed += u64::from(status != 0);
            black_box(&buffer);
        }
        failed
    }

    fn get_each(&mut self, keys: &[&CStr], times: u64) -> u64 {
        let mut failed = 0;
        for _ in 0..times {
            for key in keys {
                let mut attribute = Attribute { kind: 0, value: AttributeValue { number: 0 } };
                // SAFETY: the key ends in NUL. The keys that are asked for are
                // those of numbers and texts, which need not be given back.
                let status = unsafe { (self.functions.get)(self.handle, key.as_ptr(), &mut attribute) };
                failed += u64::from(status != 0);
                black_box(&attribute);
            }
        }
        failed
    }

    fn set_number(&mut self, key: &CStr, number: u64) -> Outcome<()> {
        self.set(key, NUMBER, AttributeValue { number })
    }

    fn set_text(&mut self, key: &CStr, text: &CStr) -> Outcome<()> {
        self.set(key, STRING, AttributeValue { text: text.as_ptr() })
    }
}

impl Drop for CDump {
    fn drop(&mut self) {
        // SAFETY: the context is ours and used no more.
        unsafe { (self.functions.free)(self.handle) }
    }
}
