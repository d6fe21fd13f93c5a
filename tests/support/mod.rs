//! What the acceptance tests of diskdump and of the flattened stream share.
#![allow(dead_code)] // Each test program uses a part of it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use kdumpfile::io::{ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Bitmap, Context, Error, Result, Space, Status, Value};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::{page_bytes, sha256_hex};
use kdumpfile_testkit::notes::NoteWriter;
use kdumpfile_testkit::truth::AttrValue;

/// Size of a block unless a test says otherwise.
pub const PAGE: u64 = 4096;

/// A source of these bytes.
pub fn source(bytes: impl Into<Vec<u8>>) -> Source {
    Shared::new(bytes.into())
}

/// Opens one file.
pub fn open(bytes: impl Into<Vec<u8>>) -> Context {
    try_open(bytes).expect("the dump opens")
}

/// Opens one file with nothing to translate by. That the translation cannot be
/// set up is told once, and has been.
pub fn open_untranslated(bytes: impl Into<Vec<u8>>) -> Context {
    let dump = open(bytes);
    let _ = dump.translation_system();
    dump
}

/// Opens one file, or says why not.
pub fn try_open(bytes: impl Into<Vec<u8>>) -> Result<Context> {
    try_open_sources(vec![source(bytes)])
}

/// Opens a set.
pub fn open_set(files: &[Vec<u8>]) -> Context {
    try_open_set(files).expect("the set opens")
}

/// Opens a set, or says why not.
pub fn try_open_set(files: &[Vec<u8>]) -> Result<Context> {
    try_open_sources(files.iter().map(|bytes| source(bytes.clone())).collect())
}

/// Opens a set of sources, or says why not.
pub fn try_open_sources(files: Vec<Source>) -> Result<Context> {
    let dump = Context::new();
    dump.open(files)?;
    Ok(dump)
}

/// Status and text of an error.
pub fn parts(error: &Error) -> (Status, String) {
    (error.status(), error.message())
}

/// Status and text of the error that a call must have returned.
pub fn failure<T>(result: Result<T>) -> (Status, String) {
    match result {
        Ok(_) => panic!("the call succeeded"),
        Err(error) => parts(&error),
    }
}

/// Status and text of the failure to open this file.
pub fn open_failure(bytes: impl Into<Vec<u8>>) -> (Status, String) {
    failure(try_open(bytes))
}

/// A failure that is written as status and text.
pub fn fails(status: Status, text: &str) -> (Status, String) {
    (status, text.into())
}

/// No header makes sense.
pub fn bad_header() -> (Status, String) {
    fails(Status::NotImplemented, "file #0: Invalid diskdump header content")
}

/// A page that is not stored.
pub fn excluded() -> (Status, String) {
    fails(Status::NoData, "Excluded page")
}

/// A page behind the last one.
pub fn out_of_bounds() -> (Status, String) {
    fails(Status::NoData, "Out-of-bounds PFN")
}

/// Reads block `pfn` of `size` bytes.
pub fn read_block(dump: &Context, pfn: u64, size: u64) -> Result<Vec<u8>> {
    // What a failed read leaves must not look like a page.
    let mut bytes = vec![0x5a; size as usize];
    dump.read(Space::MachinePhysical, pfn * size, &mut bytes)?;
    Ok(bytes)
}

/// Reads page `pfn` of 4 KiB.
pub fn page(dump: &Context, pfn: u64) -> Result<Vec<u8>> {
    read_block(dump, pfn, PAGE)
}

/// The runs of a pagemap.
pub fn runs(bitmap: &Bitmap) -> Vec<(u64, u64)> {
    bitmap.ranges().map(|run| run.expect("bits can be read")).collect()
}

/// The runs of `file.pagemap`.
pub fn stored(dump: &Context) -> Vec<(u64, u64)> {
    runs(&dump.bitmap("file.pagemap").expect("file.pagemap"))
}

/// The runs of `memory.pagemap`.
pub fn ram(dump: &Context) -> Vec<(u64, u64)> {
    runs(&dump.bitmap("memory.pagemap").expect("memory.pagemap"))
}

/// Whether the attribute at `path` exists and has a value.
pub fn is_set(dump: &Context, path: &str) -> bool {
    dump.attr(Some(path)).is_ok_and(|attr| dump.attr_is_set(attr))
}

/// Sets a number.
pub fn set(dump: &Context, path: &str, number: u64) {
    dump.set(path, Value::Number(number)).expect("the number can be set");
}

/// A builder with the test kit's pages of these PFNs.
pub fn with_pages(builder: DiskdumpBuilder, pfns: impl IntoIterator<Item = u64>) -> DiskdumpBuilder {
    builder.pages(pfns.into_iter().map(|pfn| (pfn, page_bytes(pfn))), Codec::Zlib)
}

/// The default builder with the test kit's pages of these PFNs.
pub fn dump_of(pfns: impl IntoIterator<Item = u64>) -> DiskdumpBuilder {
    with_pages(DiskdumpBuilder::default(), pfns)
}

/// One note that holds a VMCOREINFO text.
pub fn vmcoreinfo_note(order: ByteOrder, text: &str) -> Vec<u8> {
    NoteWriter::new(order).push("VMCOREINFO", 0, text.as_bytes()).finish()
}

/// A file of any length that stores little: everything else is zero.
pub struct Sparse {
    len: u64,
    parts: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    /// A file of `len` zero bytes.
    pub fn new(len: u64) -> Self {
        Sparse { len, parts: BTreeMap::new() }
    }

    /// With these bytes at `position`; parts must not overlap.
    pub fn with(mut self, position: u64, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        self.len = self.len.max(position + bytes.len() as u64);
        self.parts.insert(position, bytes);
        self
    }

    /// What is stored: position and bytes.
    pub fn parts(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.parts.iter().map(|(position, bytes)| (*position, &bytes[..]))
    }
}

impl ReadAt for Sparse {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let exist = usize::try_from(self.len.saturating_sub(pos)).unwrap_or(usize::MAX).min(buf.len());
        let buf = &mut buf[..exist];
        buf.fill(0);
        for (&start, bytes) in self.parts.range(..pos + exist as u64) {
            let skip = pos.saturating_sub(start) as usize;
            if skip < bytes.len() {
                let at = start.saturating_sub(pos) as usize;
                let n = (bytes.len() - skip).min(exist - at);
                buf[at..at + n].copy_from_slice(&bytes[skip..skip + n]);
            }
        }
        Ok(exist)
    }

    fn len(&self) -> Option<u64> {
        Some(self.len)
    }
}

/// Runs that touch are one.
fn merged(ranges: &[RangeInclusive<u64>]) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.1 + 1 == *range.start() => last.1 = *range.end(),
            _ => merged.push((*range.start(), *range.end())),
        }
    }
    merged
}

/// Whether an attribute is what the peer says it is.
pub fn same_as_peer(value: &Value, peer: &AttrValue) -> bool {
    match (value, peer) {
        (Value::Directory, AttrValue::Directory) => true,
        (Value::String(a), AttrValue::String(b)) => **a == **b,
        (Value::Number(a), AttrValue::Number(b)) | (Value::Address(a), AttrValue::Address(b)) => a == b,
        (Value::Bitmap(a), AttrValue::Bitmap(b)) => runs(a) == merged(b),
        (Value::Blob(a), AttrValue::Blob { sha256, .. }) => sha256_hex(&a.to_vec()) == *sha256,
        _ => false,
    }
}
