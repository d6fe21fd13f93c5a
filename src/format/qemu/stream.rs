//! The stream itself: a place in the file that moves on, and the items before
//! the device state.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::ram::{Given, Ram};
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

/// Types of items (`QEMU_VM_*`, migration/savevm.h).
const EOF: u8 = 0x00;
const SECTION_START: u8 = 0x01;
const SECTION_PART: u8 = 0x02;
const SECTION_END: u8 = 0x03;
pub(super) const SECTION_FULL: u8 = 0x04;
pub(super) const SUBSECTION: u8 = 0x05;
const CONFIGURATION: u8 = 0x07;
const COMMAND: u8 = 0x08;
pub(super) const FOOTER: u8 = 0x7e;

/// Bytes that are read at once: enough for the records of many zero pages,
/// little where page data lie between two records.
const WINDOW: usize = 1024;

/// The longest machine name that is believed.
const MAX_NAME: u32 = 4096;

/// A place in the first file that moves on.
pub(super) struct Cursor<'a> {
    files: &'a FileSet,
    /// Where the next byte is.
    pub position: u64,
    window: Vec<u8>,
    /// Position of the window's first byte.
    start: u64,
    /// Bytes of the window that exist.
    valid: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(files: &'a FileSet, position: u64) -> Self {
        Cursor { files, position, window: vec![0; WINDOW], start: 0, valid: 0 }
    }

    fn ends(&self) -> Error {
        Error::corrupt(format!("QEMU stream ends too early, at {}", self.position))
    }

    /// The next `count` bytes (at most [`WINDOW`]), which stay next.
    pub fn peek(&mut self, count: usize) -> Result<&[u8]> {
        let inside = |start: u64, valid: usize, position: u64| {
            let at = usize::try_from(position.checked_sub(start)?).ok()?;
            (at.checked_add(count)? <= valid).then_some(at)
        };
        let at = match inside(self.start, self.valid, self.position) {
            Some(at) => at,
            None => {
                self.refill(count)?;
                0
            }
        };
        self.window.get(at..at + count).ok_or_else(|| Error::corrupt("QEMU stream ends too early"))
    }

    fn refill(&mut self, count: usize) -> Result<()> {
        let reaches = |length: usize| -> Result<bool> {
            let Some(last) = self.position.checked_add(length.saturating_sub(1) as u64) else {
                return Ok(false);
            };
            Ok(last <= i64::MAX as u64 && !self.files.ends_before(0, last)?)
        };
        let valid = if reaches(WINDOW)? { WINDOW } else { count };
        if valid < WINDOW && !reaches(count)? {
            return Err(self.ends());
        }
        let Some(bytes) = self.window.get_mut(..valid) else { return Err(self.ends()) };
        self.valid = 0;
        self.files
            .read(0, self.position, bytes)
            .context(|| format!("Cannot read stream at {}", self.position))?;
        self.start = self.position;
        self.valid = valid;
        Ok(())
    }

    /// Whether nothing follows.
    fn is_at_end(&self) -> Result<bool> {
        self.files.ends_before(0, self.position)
    }

    /// The next bytes.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.peek(N)?);
        self.position += N as u64;
        Ok(bytes)
    }

    pub fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_be_bytes(self.take()?))
    }

    pub fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.take()?))
    }

    pub fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.take()?))
    }

    pub fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.take()?))
    }

    /// A name behind its length in one byte.
    pub fn name(&mut self) -> Result<String> {
        let length = self.u8()?;
        self.text(length.into())
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let mut text = Vec::new();
        let mut left = length;
        while left > 0 {
            let part = left.min(WINDOW);
            text.extend_from_slice(self.peek(part)?);
            self.position += part as u64;
            left -= part;
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Reads bytes elsewhere: a part of a bitmap.
    ///
    /// # Errors
    /// `Corrupt` unless the bitmap exists up to position `end`.
    pub fn read_bitmap(&self, position: u64, bytes: &mut [u8], end: u64) -> Result<()> {
        if self.files.ends_before(0, end.saturating_sub(1))? {
            return Err(Error::corrupt(format!("Bitmap at {position} reaches behind the end of the file")));
        }
        let exist = usize::try_from(end.saturating_sub(position)).unwrap_or(usize::MAX).min(bytes.len());
        let Some(bytes) = bytes.get_mut(..exist) else { return Ok(()) };
        self.files.read(0, position, bytes).context(|| format!("Cannot read bitmap at {position}"))
    }

    /// Goes on behind `count` bytes.
    pub fn skip(&mut self, count: u64) -> Result<()> {
        self.seek(self.position.checked_add(count))
    }

    /// Goes on at a position, if there is such a one.
    pub fn seek(&mut self, position: Option<u64>) -> Result<()> {
        self.position = position.filter(|at| *at <= i64::MAX as u64).ok_or_else(|| self.ends())?;
        Ok(())
    }
}

/// What the configuration says, and where the device state begins.
pub(super) struct Stream {
    /// Name of the machine type; not in streams of old machine types.
    pub machine: Option<String>,
    /// The guest's memory.
    pub ram: Ram,
    /// Position of the first item that is device state.
    pub devices: u64,
}

/// Settings of the source that change how memory is written.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    /// Position of the stream in its file.
    pub start: u64,
    /// log2 of the size of a page; `None` if the stream does not say.
    pub page_bits: Option<u32>,
    pub mapped_ram: bool,
    pub ignore_shared: bool,
}

/// Sections that are written piece by piece.
enum Section {
    Ram,
    Block,
    DirtyBitmap,
    Htab,
    StorageAttributes,
}

impl Stream {
    /// Reads a stream up to its device state. `page_bits` is log2 of the size
    /// of a page for streams that do not say, `given` what the user says of blocks.
    pub fn read(files: &FileSet, start: u64, page_bits: u32, given: &[Given]) -> Result<Stream> {
        let mut cursor = Cursor::new(files, start);
        let _magic = cursor.u32()?;
        let version = cursor.u32()?;
        if version != 3 {
            return Err(Error::not_implemented(format!("QEMU stream version {version} not implemented")));
        }
        let mut settings = Settings { start, page_bits: None, mapped_ram: false, ignore_shared: false };
        let mut machine = None;
        let mut ram: Option<Ram> = None;
        let mut complete = false;
        let mut sections = BTreeMap::new();
        let mut current = None;
        loop {
            let at = cursor.position;
            if complete && cursor.is_at_end()? {
                break;
            }
            match cursor.u8()? {
                CONFIGURATION => machine = Some(configuration(&mut cursor, &mut settings)?),
                SECTION_START => {
                    let id = cursor.u32()?;
                    let section = Section::start(&mut cursor)?;
                    if matches!(section, Section::Ram) && ram.is_none() {
                        ram = Some(Ram::new(settings, settings.page_bits.unwrap_or(page_bits), given)?);
                    }
                    section.payload(&mut cursor, ram.as_mut())?;
                    sections.insert(id, section);
                    current = Some(id);
                }
                kind @ (SECTION_PART | SECTION_END) => {
                    let id = cursor.u32()?;
                    let Some(section) = sections.get(&id) else {
                        return Err(Error::corrupt(format!("Section {id} at {at} was never started")));
                    };
                    section.payload(&mut cursor, ram.as_mut())?;
                    complete |= kind == SECTION_END && matches!(section, Section::Ram);
                    current = Some(id);
                }
                FOOTER => {
                    let id = cursor.u32()?;
                    if current != Some(id) {
                        return Err(Error::corrupt(format!("Footer at {at} is that of section {id}")));
                    }
                }
                COMMAND => {
                    let _command = cursor.u16()?;
                    let length = cursor.u16()?;
                    cursor.skip(length.into())?;
                }
                SECTION_FULL | EOF if complete => {
                    cursor.position = at;
                    break;
                }
                SECTION_FULL => {
                    let what = format!("Device state before the memory, at {at}, not implemented");
                    return Err(Error::not_implemented(what));
                }
                EOF => return Err(Error::corrupt(format!("QEMU stream ends at {at} without all memory"))),
                kind => return Err(Error::corrupt(format!("Unknown item {kind:#04x} at {at}"))),
            }
        }
        let ram = ram.ok_or_else(|| Error::corrupt("QEMU stream without memory"))?;
        Ok(Stream { machine, ram, devices: cursor.position })
    }
}

/// The machine type, and subsections that change what follows.
fn configuration(cursor: &mut Cursor<'_>, settings: &mut Settings) -> Result<String> {
    let length = cursor.u32()?;
    if length > MAX_NAME {
        return Err(Error::corrupt(format!("Machine name of {length} bytes")));
    }
    let machine = cursor.text(length as usize)?;
    while cursor.peek(1)?.first() == Some(&SUBSECTION) {
        cursor.skip(1)?;
        let name = cursor.name()?;
        let _version = cursor.u32()?;
        match &*name {
            "configuration/target-page-bits" => settings.page_bits = Some(cursor.u32()?),
            "configuration/capabilities" => {
                for _ in 0..cursor.u32()? {
                    match &*cursor.name()? {
                        "mapped-ram" => settings.mapped_ram = true,
                        "x-ignore-shared" => settings.ignore_shared = true,
                        _ => {}
                    }
                }
            }
            "configuration/uuid" => cursor.skip(16)?,
            // Nothing tells how long it is.
            _ => return Err(Error::not_implemented(format!("Subsection {name} not implemented"))),
        }
    }
    Ok(machine)
}

impl Section {
    /// Reads what stands between the number and the payload of a section.
    fn start(cursor: &mut Cursor<'_>) -> Result<Section> {
        let name = cursor.name()?;
        let _instance = cursor.u32()?;
        let version = cursor.u32()?;
        match (&*name, version) {
            ("ram", 4) => Ok(Section::Ram),
            ("block", _) => Ok(Section::Block),
            ("dirty-bitmap", _) => Ok(Section::DirtyBitmap),
            ("spapr/htab", 1) => Ok(Section::Htab),
            ("s390-storage_attributes", 0) => Ok(Section::StorageAttributes),
            _ => Err(Error::not_implemented(format!("Section {name} version {version} not implemented"))),
        }
    }

    fn payload(&self, cursor: &mut Cursor<'_>, ram: Option<&mut Ram>) -> Result<()> {
        match self {
            Section::Ram => match ram {
                Some(ram) => ram.records(cursor),
                None => Ok(()),
            },
            Section::Block => match cursor.u64()? {
                2 => Ok(()),
                _ => Err(Error::not_implemented("Disk contents in a QEMU stream not implemented")),
            },
            Section::DirtyBitmap => match cursor.u8()? {
                1 => Ok(()),
                _ => Err(Error::not_implemented("Dirty bitmaps in a QEMU stream not implemented")),
            },
            Section::Htab => hash_table(cursor),
            Section::StorageAttributes => storage_attributes(cursor),
        }
    }
}

/// `spapr/htab`: the hash table of a ppc64 guest, which its memory has not.
fn hash_table(cursor: &mut Cursor<'_>) -> Result<()> {
    if cursor.u32()? != 0 {
        return Ok(());
    }
    loop {
        let index = cursor.u32()?;
        let valid = cursor.u16()?;
        let invalid = cursor.u16()?;
        if (index, valid, invalid) == (0, 0, 0) {
            return Ok(());
        }
        cursor.skip(u64::from(valid) * 16)?;
    }
}

fn storage_attributes(cursor: &mut Cursor<'_>) -> Result<()> {
    const EOS: u64 = 1;
    const MORE: u64 = 2;
    const DONE: u64 = 8;
    loop {
        let at = cursor.position;
        match cursor.u64()? & 0xfff {
            EOS | DONE => return Ok(()),
            MORE => {
                let count = cursor.u64()?;
                cursor.skip(count)?;
            }
            flags => return Err(Error::corrupt(format!("Storage attributes with flags {flags:#x} at {at}"))),
        }
    }
}
