//! What the tests of contexts and attributes share.
#![allow(dead_code)] // Each test program uses a part of it.

use std::vec::Vec;

use kdumpfile::dump::OpenDescriptor;
use kdumpfile::io::{ReadAt, Source};
use kdumpfile::sync::{Lock, MaybeSend, MaybeSync, Shared};
use kdumpfile::{Context, Error, Result, Status, Value};

/// Status and text of the error that a call must have returned.
pub fn failure<T>(result: Result<T>) -> (Status, String) {
    match result {
        Ok(_) => panic!("the call succeeded"),
        Err(error) => (error.status(), error.message()),
    }
}

/// A failure that is written as status and text.
pub fn fails(status: Status, text: &str) -> (Status, String) {
    (status, text.into())
}

/// Sets a number.
pub fn set(dump: &Context, path: &str, number: u64) -> Result<()> {
    dump.set(path, Value::Number(number))
}

/// Sets a text.
pub fn set_text(dump: &Context, path: &str, text: &str) -> Result<()> {
    dump.set(path, Value::from(text))
}

/// Whether the attribute at `path` exists and has a value.
pub fn is_set(dump: &Context, path: &str) -> bool {
    dump.attr(Some(path)).is_ok_and(|attr| dump.attr_is_set(attr))
}

/// Keys of the children with a value, in the order of iteration.
pub fn keys(dump: &Context, path: Option<&str>) -> Vec<String> {
    let directory = dump.attr(path).unwrap();
    let mut keys = Vec::new();
    let mut entry = dump.first_child(path).unwrap();
    while let Some(child) = entry {
        keys.push(child.key);
        entry = dump.next_child(directory, Some(child.attr)).unwrap();
    }
    keys
}

/// Sets the text of VMCOREINFO for Linux.
pub fn vmcoreinfo(dump: &Context, text: impl AsRef<[u8]>) -> Result<()> {
    dump.set("linux.vmcoreinfo.raw", Value::Blob(kdumpfile::Blob::new(text.as_ref().to_vec())))
}

/// Opens descriptors from a table: `files[fd]`. It keeps a list of what it
/// was asked for.
pub struct Files {
    pub files: Vec<Source>,
    pub asked: Lock<Vec<u64>>,
}

impl OpenDescriptor for Files {
    fn open(&self, fd: u64) -> Result<Source> {
        self.asked.lock().push(fd);
        let file = usize::try_from(fd).ok().and_then(|fd| self.files.get(fd));
        file.cloned().ok_or_else(|| Error::system("Bad file descriptor"))
    }
}

/// A context whose descriptors 0, 1, ... are these files.
pub fn with_files(files: Vec<Vec<u8>>) -> (Context, Shared<Files>) {
    let dump = Context::new();
    let files = files.into_iter().map(|bytes| Shared::new(bytes) as Source).collect();
    let files = Shared::new(Files { files, asked: Lock::new(Vec::new()) });
    dump.set_opener(files.clone());
    (dump, files)
}

/// Contents that no format knows.
pub fn unknown() -> Vec<u8> {
    b"no dump at all".to_vec()
}

/// Code that a source or an opener runs in the middle of a call.
pub trait Call: Fn() + MaybeSend + MaybeSync {}
impl<T: Fn() + MaybeSend + MaybeSync> Call for T {}

/// Bytes that are never lent, and code to be run at the next read of them.
pub struct CallsBack {
    pub bytes: Vec<u8>,
    pub then: Lock<Option<Box<dyn Call>>>,
}

impl CallsBack {
    pub fn new(bytes: Vec<u8>) -> Shared<Self> {
        Shared::new(CallsBack { bytes, then: Lock::new(None) })
    }

    /// Runs `body` with a clone of `dump` at the next read.
    pub fn next_read(&self, dump: &Context, body: impl Fn(&Context) + MaybeSend + MaybeSync + 'static) {
        // `Context` is not `Sync`; the lock of std makes it so.
        let dump = std::sync::Mutex::new(dump.clone());
        *self.then.lock() = Some(Box::new(move || body(&dump.lock().unwrap())));
    }
}

impl ReadAt for CallsBack {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let then = self.then.lock().take();
        if let Some(then) = then {
            then();
        }
        self.bytes.read_at(pos, buf)
    }

    fn len(&self) -> Option<u64> {
        Some(self.bytes.len() as u64)
    }
}

/// Page `pfn` of memory `seed`: no byte is zero, and no two pages are alike.
pub fn page(seed: u64, pfn: u64) -> Vec<u8> {
    let word = |i: u64| (seed << 48 ^ pfn << 16 ^ i ^ 0x8080_8080_8080_8080) | 0x0101_0101_0101_0101;
    (0..512).flat_map(|i| word(i).to_le_bytes()).collect()
}
