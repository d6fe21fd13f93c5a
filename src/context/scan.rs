//! Searches memory for VMCOREINFO that nothing points to.
//!
//! A hypervisor that dumps a guest, or a tool that stores nothing but memory,
//! leaves VMCOREINFO where the kernel keeps it; and a dump in which a capture
//! kernel has run has that of two kernels. The kernel keeps the text twice:
//!
//! ```text
//!   note   namesz 11 | descsz | type 0 | "VMCOREINFO\0" + pad | OSRELEASE=...\n...
//!   text   OSRELEASE=...\n...PAGESIZE=...\n... NUL
//! ```
//!
//! Both begin at a multiple of four bytes: today at the start of a page, in
//! kernels before 4.13 in an array anywhere in the kernel's data.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;
use core::ops::ControlFlow;

use super::Context;
use crate::attr::Bitmap;
use crate::error::{Error, Result, Status};
use crate::format::Space;
use crate::xlat::os::OsType;

/// Bytes that are looked through at a time, unless a page is larger.
const CHUNK: usize = 1 << 18;

/// No page is larger than this; the kernel's largest are 1 MiB (hexagon).
const LARGEST_PAGE: u64 = 16 << 20;

/// The longest text: one page (`VMCOREINFO_BYTES`), which has 64 KiB at most
/// on machines that keep VMCOREINFO.
const TEXT_MAX: usize = 1 << 16;

/// What the text of Linux begins with.
const FIRST_LINE: &[u8] = b"OSRELEASE=";

/// The size of the three numbers in front of the name of an ELF note.
const NOTE_HEADER: u64 = 12;

/// Names of notes, with their NUL, and whose they are.
const NOTES: [(&[u8], OsType); 2] = [(b"VMCOREINFO\0", OsType::Linux), (b"VMCOREINFO_XEN\0", OsType::Xen)];

/// VMCOREINFO that was found in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoundVmcoreinfo {
    /// Physical address of the first byte of the text, as the machine sees it
    /// (as the kernel sees it in dumps that are stored so).
    pub address: u64,
    /// Whether an ELF note is around the text.
    pub note: bool,
    /// Whose VMCOREINFO it is.
    pub os: OsType,
    /// The text: lines `KEY=VALUE`, as attribute `<os>.vmcoreinfo.raw` takes it.
    pub text: Vec<u8>,
}

impl FoundVmcoreinfo {
    /// The value of the first line with this key, if it is text.
    pub fn line(&self, key: &str) -> Option<&str> {
        self.text.split(|byte| *byte == b'\n').find_map(|line| {
            let value = line.strip_prefix(key.as_bytes())?.strip_prefix(b"=")?;
            core::str::from_utf8(value).ok()
        })
    }
}

/// Called as the search goes on, with the bytes that were looked through and
/// those that there are; `Break` ends the search.
type Progress<'a> = Box<dyn FnMut(u64, u64) -> ControlFlow<()> + 'a>;

/// A search for VMCOREINFO in memory; see [`Context::scan_vmcoreinfo`].
pub struct VmcoreinfoScan<'a> {
    context: &'a Context,
    pages: Bitmap,
    space: Space,
    page_size: u64,
    progress: Option<Progress<'a>>,
    total: u64,
    done: u64,
    unreadable: u64,
    /// The pages of the current run that are left: first and last.
    run: Option<(u64, u64)>,
    /// The page from which the next run is looked for; none at the end.
    next: Option<u64>,
    /// What is looked through now, where it begins, and how far that is done.
    bytes: Vec<u8>,
    filled: usize,
    start: u64,
    position: usize,
    /// The byte in front of it, if that was read as well.
    before: Option<u8>,
    /// Addresses below are part of a text that was looked at already.
    seen: u64,
}

impl Context {
    /// Searches the pages of the dump for VMCOREINFO, by ascending address.
    ///
    /// Every page that is in the dump (`file.pagemap`) is read once, and pages
    /// that cannot be read are passed over. What is found is not put into any
    /// attribute: it may be that of another kernel, or stale. To use it, set
    /// `linux.vmcoreinfo.raw`.
    ///
    /// ```
    /// # use kdumpfile::{Blob, Context, Value};
    /// fn use_the_first(dump: &Context) -> kdumpfile::Result<()> {
    ///     if let Some(found) = dump.scan_vmcoreinfo()?.find_map(Result::ok) {
    ///         println!("{:?} at {:#x}", found.line("OSRELEASE"), found.address);
    ///         dump.set("linux.vmcoreinfo.raw", Value::Blob(Blob::new(found.text)))?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// `NoData` if the dump does not say which pages it has or how large they
    /// are; `AddrXlat` if it is stored by virtual address alone; `System` if
    /// there is no memory for a buffer of 256 KiB.
    pub fn scan_vmcoreinfo(&self) -> Result<VmcoreinfoScan<'_>> {
        let pages = self.bitmap("file.pagemap").map_err(|error| error.context("file.pagemap"))?;
        let page_size = self.number("arch.page_size").map_err(|error| error.context("arch.page_size"))?;
        if !page_size.is_power_of_two() || page_size > LARGEST_PAGE {
            return Err(Error::invalid(format!("Invalid page size: {page_size}")));
        }
        let spaces = self.spaces();
        let space = [Space::MachinePhysical, Space::KernelPhysical].into_iter().find(|s| spaces.contains(*s));
        let space = space.ok_or_else(|| Error::new(Status::AddrXlat, "No physical address space"))?;
        let mut bytes = Vec::new();
        let size = CHUNK.max(page_size as usize);
        let no_memory = |_| Error::system(format!("Cannot allocate search buffer ({size} bytes)"));
        bytes.try_reserve_exact(size).map_err(no_memory)?;
        bytes.resize(size, 0);
        let mut scan = VmcoreinfoScan {
            context: self,
            pages,
            space,
            page_size,
            progress: None,
            total: 0,
            done: 0,
            unreadable: 0,
            run: None,
            next: Some(0),
            bytes,
            filled: 0,
            start: 0,
            position: 0,
            before: None,
            seen: 0,
        };
        for run in scan.pages.ranges() {
            let (first, last) = run?;
            scan.total =
                scan.total.saturating_add((last - first).saturating_add(1).saturating_mul(page_size));
        }
        Ok(scan)
    }
}

impl<'a> VmcoreinfoScan<'a> {
    /// Calls `progress` with the bytes that were looked through and those that
    /// there are, after each 256 KiB or so. If it breaks, the search ends.
    #[must_use]
    pub fn progress(mut self, progress: impl FnMut(u64, u64) -> ControlFlow<()> + 'a) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// All bytes that the search has to look through.
    pub fn total_bytes(&self) -> u64 {
        self.total
    }

    /// How many pages could not be read until now.
    pub fn unreadable_pages(&self) -> u64 {
        self.unreadable
    }

    /// Goes on to the next bytes; false at the end.
    fn advance(&mut self) -> Result<bool> {
        loop {
            let Some((first, last)) = self.next_run()? else { return Ok(false) };
            let most = (self.bytes.len() as u64 / self.page_size).max(1);
            let pages = (last - first).saturating_add(1).min(most);
            let rest = first.checked_add(pages).filter(|next| *next <= last);
            self.run = rest.map(|next| (next, last));
            let Some(address) = first.checked_mul(self.page_size) else { continue };
            let room = self.bytes.len().min((pages * self.page_size) as usize);
            let end = self.start.checked_add(self.filled as u64);
            let last_byte = self.bytes.get(self.filled.wrapping_sub(1)).copied();
            let before = last_byte.filter(|_| end == Some(address));
            let (read, result) = self.context.read_partial(self.space, address, &mut self.bytes[..room]);
            // Only whole pages are pages of the dump.
            let whole = read as u64 / self.page_size;
            let mut passed = whole;
            if result.is_err() {
                passed += 1;
                self.unreadable = self.unreadable.saturating_add(1);
                let rest = first.checked_add(passed).filter(|next| *next <= last);
                self.run = rest.map(|next| (next, last));
            }
            self.done = self.done.saturating_add(passed.saturating_mul(self.page_size));
            (self.start, self.filled) = (address, (whole * self.page_size) as usize);
            (self.position, self.before) = (0, before);
            if let Some(progress) = &mut self.progress
                && progress(self.done, self.total).is_break()
            {
                self.stop();
                return Ok(false);
            }
            if self.filled > 0 {
                return Ok(true);
            }
        }
    }

    fn next_run(&mut self) -> Result<Option<(u64, u64)>> {
        if let Some(run) = self.run.take() {
            return Ok(Some(run));
        }
        let Some(from) = self.next.take() else { return Ok(None) };
        let first = match self.pages.find_set(from) {
            Ok(first) => first,
            Err(error) if error.status() == Status::NoData => return Ok(None),
            Err(error) => return Err(error),
        };
        let behind = self.pages.find_clear(first)?;
        self.next = Some(behind).filter(|behind| *behind > first);
        Ok(Some((first, behind.checked_sub(1).filter(|last| *last >= first).unwrap_or(u64::MAX))))
    }

    /// Nothing is looked through from here on.
    fn stop(&mut self) {
        (self.run, self.next) = (None, None);
        self.filled = 0;
        self.position = 0;
    }

    /// What begins at an anchor, `at` bytes into the buffer.
    fn look(&mut self, at: usize) -> Option<FoundVmcoreinfo> {
        let address = self.start.checked_add(at as u64)?;
        if address < self.seen {
            return None;
        }
        let anchor = self.bytes.get(at..)?;
        if anchor.starts_with(&FIRST_LINE[..4]) {
            let before = at.checked_sub(1).map_or(self.before, |before| self.bytes.get(before).copied());
            if before.is_some_and(is_text) {
                return None;
            }
            let text = self.text(address, TEXT_MAX);
            let found = FoundVmcoreinfo { address, note: false, os: OsType::Linux, text };
            let genuine = found.text.starts_with(FIRST_LINE)
                && found.line("PAGESIZE").is_some_and(|size| size.parse::<u64>().is_ok());
            return genuine.then_some(found);
        }
        let mut head = [0; NOTE_HEADER as usize + 16];
        self.context.read(self.space, address.checked_sub(NOTE_HEADER)?, &mut head).ok()?;
        let (numbers, name) = head.split_at(NOTE_HEADER as usize);
        let &(name, os) = NOTES.iter().find(|row| name.starts_with(row.0))?;
        let size = note_size(numbers, name.len() as u32)?;
        let address = address.checked_add(name.len().next_multiple_of(4) as u64)?;
        let text = self.text(address, size);
        let found = FoundVmcoreinfo { address, note: true, os, text };
        let genuine = match os {
            OsType::Linux => found.text.starts_with(FIRST_LINE),
            _ => found.text.contains(&b'='),
        };
        genuine.then_some(found)
    }

    /// The text at `address`: what looks like text, `max` bytes at most. It is
    /// not looked at again.
    fn text(&mut self, address: u64, max: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut piece = [0; 1024];
        while text.len() < max {
            let at = address.wrapping_add(text.len() as u64);
            let room = piece.len().min(max - text.len());
            let (read, result) = self.context.read_partial(self.space, at, &mut piece[..room]);
            let read = &piece[..read];
            let end = read.iter().position(|byte| !is_text(*byte)).unwrap_or(read.len());
            if text.try_reserve(end).is_err() {
                break;
            }
            text.extend_from_slice(&read[..end]);
            if end < read.len() || result.is_err() {
                break;
            }
        }
        self.seen = self.seen.max(address.saturating_add(text.len() as u64));
        text
    }
}

impl Iterator for VmcoreinfoScan<'_> {
    type Item = Result<FoundVmcoreinfo>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while let Some(at) = anchor(&self.bytes[..self.filled], self.position) {
                self.position = at + 4;
                if let Some(found) = self.look(at) {
                    return Some(Ok(found));
                }
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => {
                    self.stop();
                    return None;
                }
                Err(error) => {
                    self.stop();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Where the next word stands that VMCOREINFO may begin with: `from` and the
/// result are multiples of four.
fn anchor(bytes: &[u8], from: usize) -> Option<usize> {
    const WORDS: [u32; 2] = [u32::from_ne_bytes(*b"VMCO"), u32::from_ne_bytes(*b"OSRE")];
    let (words, _) = bytes.get(from..)?.as_chunks::<4>();
    let found = words.iter().position(|word| WORDS.contains(&u32::from_ne_bytes(*word)))?;
    Some(from + 4 * found)
}

/// The size of the description of a note whose name has `name_size` bytes, in
/// whichever order of bytes the header makes sense.
fn note_size(header: &[u8], name_size: u32) -> Option<usize> {
    let number = |at: usize, read: fn([u8; 4]) -> u32| {
        header.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(read)
    };
    [u32::from_le_bytes, u32::from_be_bytes].into_iter().find_map(|read| {
        let size = usize::try_from(number(4, read)?).ok()?;
        (number(0, read)? == name_size && (1..=TEXT_MAX).contains(&size)).then_some(size)
    })
}

/// Whether VMCOREINFO may contain the byte: text in ASCII.
fn is_text(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}
