//! VMware suspend and snapshot state: `.vmss` or `.vmsn`, with `.vmem`.
//!
//! ```text
//! header      magic, version, number of groups
//! groups      80 bytes each: name, position, size
//! "memory"    tags: regions of guest pages, perhaps the memory itself
//! ```
//!
//! Memory that is not in the state file is in a `.vmem` beside it, which must
//! be given along; the order of the two does not matter.
//! Layout: spec 13 §6, after the crash utility and volatility3.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::extent::{Extent, ExtentDump, Extents, Origin};
use super::{Format, Opening};
use crate::arch::ByteOrder;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "vmware";

/// Bytes of a page of the guest, which is an x86 machine.
const PAGE: u64 = 4096;
/// Bytes of the header in front of the group descriptors.
const HEADER: u64 = 12;
/// Bytes of a group descriptor.
const GROUP: u64 = 80;
const ORDER: ByteOrder = ByteOrder::Little;

/// Whether sizes of blocks have 32 bits, for each magic number.
const MAGICS: [(u32, bool); 6] = [
    (0xBED0_BED0, true),
    (0xBED2_BED0, true),
    (0xBED2_BED2, false),
    (0xBED3_BED3, false),
    (0xBAD1_BAD1, false),
    (0xBAD2_BAD2, false),
];

/// Reads the state file from front to back.
struct Cursor<'a> {
    files: &'a FileSet,
    file: usize,
    position: u64,
}

impl Cursor<'_> {
    /// The next `size` bytes as a number; `size` is at most 8.
    fn number(&mut self, size: u64) -> Result<u64> {
        let mut raw = [0; 8];
        let bytes = raw.get_mut(..size.min(8) as usize).unwrap_or_default();
        self.files
            .read(self.file, self.position, bytes)
            .context(|| format!("Cannot read {size} bytes at {}", self.position))?;
        self.skip(size)?;
        Ok(ORDER.u64(&raw, 0))
    }

    fn bytes(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut bytes = vec![0; size.min(255) as usize];
        self.files
            .read(self.file, self.position, &mut bytes)
            .context(|| format!("Cannot read {size} bytes at {}", self.position))?;
        self.skip(size)?;
        Ok(bytes)
    }

    fn skip(&mut self, size: u64) -> Result<()> {
        let end = self.position.checked_add(size);
        self.position = end.ok_or_else(|| {
            Error::corrupt(format!("Size {size:#x} of the part at {} goes beyond 64 bits", self.position))
        })?;
        Ok(())
    }
}

/// What group `memory` says.
#[derive(Default)]
struct Memory {
    count: u64,
    /// First page in the image, first page of the guest, pages.
    regions: BTreeMap<u64, [Option<u64>; 3]>,
    /// Position and size of the memory in the state file.
    embedded: Option<(u64, u64)>,
}

impl Memory {
    fn read(cursor: &mut Cursor<'_>, end: u64, narrow: bool) -> Result<Memory> {
        let mut memory = Memory::default();
        while cursor.position < end {
            let at = cursor.position;
            let tag = cursor.number(2)?;
            if tag == 0 {
                break;
            }
            let name = cursor.bytes(tag >> 8)?;
            let mut index = 0;
            for place in 0..tag >> 6 & 3 {
                let number = cursor.number(4)?;
                if place == 0 {
                    index = number;
                }
            }
            let kind = tag & 63;
            if kind >= 62 {
                let width = if narrow { 4 } else { 8 };
                let size = cursor.number(width)?;
                let unpacked = cursor.number(width)?;
                let pad = cursor.number(2)?;
                cursor.skip(pad)?;
                if name == b"Memory" && memory.embedded.is_none() {
                    if kind == 62 || size != unpacked {
                        return Err(Error::not_implemented(format!(
                            "Compressed memory of VMware at {at}; use a state file with a .vmem"
                        )));
                    }
                    memory.embedded = Some((cursor.position, size));
                }
                cursor.skip(size)?;
                continue;
            }
            let start = cursor.position;
            let value = cursor.number(kind.min(8))?;
            cursor.position = start;
            cursor.skip(kind)?;
            let slot = match name.as_slice() {
                b"regionsCount" => {
                    memory.count = value;
                    continue;
                }
                b"regionPageNum" => 0,
                b"regionPPN" => 1,
                b"regionSize" => 2,
                _ => continue,
            };
            if let Some(place) = memory.regions.entry(index).or_default().get_mut(slot) {
                *place = Some(value);
            }
        }
        Ok(memory)
    }

    /// Where guest memory is in an image of `length` bytes from `base` on.
    fn extents(&self, file: usize, base: u64, length: u64) -> Result<Extents> {
        let stored = |start, offset: u64, size: u64| {
            let length = size.min(length.saturating_sub(offset));
            let position = base.saturating_add(offset);
            Extent { start, length, origin: Origin::Stored { file, position } }
        };
        if self.count == 0 {
            return Extents::new(vec![stored(0, 0, length)]);
        }
        let known = self.regions.range(..self.count).map(|(_, region)| region);
        let mut list = Vec::new();
        for region in known {
            let [Some(page), Some(frame), Some(pages)] = *region else {
                return Err(Error::corrupt(
                    "A region of memory lacks regionPageNum, regionPPN or regionSize",
                ));
            };
            // At most 8 bytes each, and 4 in files that make sense.
            let [Some(offset), Some(start), Some(size)] = [page, frame, pages].map(|n| n.checked_mul(PAGE))
            else {
                return Err(Error::corrupt(format!("Region of {pages} pages at page {frame} is too large")));
            };
            list.push(stored(start, offset, size));
        }
        if list.len() as u64 != self.count {
            return Err(Error::corrupt(format!(
                "regionsCount is {}, but there are {}",
                self.count,
                list.len()
            )));
        }
        Extents::new(list)
    }
}

/// Whether sizes are narrow, if the file begins with one of the magics.
fn recognise(files: &FileSet, file: usize) -> Result<Option<bool>> {
    let mut raw = [0; 4];
    files.read(file, 0, &mut raw).context(|| "Cannot read dump header")?;
    let magic = ORDER.u32(&raw, 0);
    Ok(MAGICS.iter().find(|known| known.0 == magic).map(|known| known.1))
}

/// Finds group `memory` and reads it; a file without one says nothing.
fn read_memory(files: &FileSet, file: usize, narrow: bool) -> Result<Memory> {
    let mut cursor = Cursor { files, file, position: 8 };
    let groups = cursor.number(4)?;
    for index in 0..groups {
        let position = HEADER + index * GROUP;
        if files.ends_before(file, position)? {
            break;
        }
        cursor.position = position;
        let name = cursor.bytes(64)?;
        let start = cursor.number(8)?;
        let size = cursor.number(8)?;
        if name.split(|byte| *byte == 0).next() == Some(b"memory") {
            cursor.position = start;
            return Memory::read(&mut cursor, start.saturating_add(size), narrow).context(|| "Group memory");
        }
    }
    Ok(Memory::default())
}

/// Opens a VMware state file, alone or with its `.vmem`.
///
/// # Errors
/// `NoData` if the memory is in a file that was not given; `Corrupt` for
/// regions that cannot be; `NotImplemented` for compressed memory and for more
/// than two files.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let mut found = None;
    for file in 0..files.count().min(2) {
        if let Some(narrow) = recognise(files, file)? {
            found = Some((file, narrow));
            break;
        }
    }
    let Some((state, narrow)) = found else { return Ok(None) };
    if files.count() > 2 {
        return Err(Error::not_implemented("VMware state goes with one .vmem file only"));
    }
    let name = || String::from(files.name(state));
    let memory = read_memory(files, state, narrow).context(name)?;
    let other = (files.count() == 2).then_some(1 - state);
    let (file, base, size) = match (memory.embedded, other) {
        (Some((base, size)), _) => (state, base, size),
        (None, Some(other)) => (other, 0, u64::MAX),
        (None, None) => {
            return Err(Error::no_data("The memory is not in the state file: give its .vmem file too"));
        }
    };
    // What a file of unknown length holds shows when it is read.
    let stored = files.len(file).map_or(u64::MAX, |end| end.saturating_sub(base));
    let extents = Shared::new(memory.extents(file, base, size.min(stored)).context(name)?);

    let facts = &mut opening.facts;
    facts.set_string("file.description", "VMware suspend or snapshot state")?;
    facts.set_number("arch.byte_order", ORDER.number())?;
    if !facts.is_set("arch.page_size") {
        facts.set_number("arch.page_size", PAGE)?;
    }
    ExtentDump::describe(&extents, true, facts)?;
    let files = files.clone();
    Ok(Some(Box::new(ExtentDump { name: NAME, files, extents, maker: None, omits_zeroes: false })))
}
