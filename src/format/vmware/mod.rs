//! VMware suspend and snapshot state: `.vmss` or `.vmsn`, with `.vmem`.
//!
//! ```text
//! header      magic, version, number of groups
//! groups      80 bytes each: name, position, size
//! "memory"    tags: regions of guest pages, perhaps the memory itself
//! "cpu"       tags: registers
//! ```
//!
//! Memory that is not in the state file is in a `.vmem` beside it, which must
//! be given along; the order of the two does not matter.
//! Files of ESXi for guests that panicked are another format, see [`guest`].
//! Layout: spec 13 §6, after the crash utility and volatility3.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use self::cpu::Cpus;
use self::tags::{Cursor, ORDER};
use super::extent::{Extent, ExtentDump, Extents, Origin};
use super::{Format, Opening};
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::Shared;

mod cpu;
pub mod guest;
mod tags;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "vmware";

/// Bytes of a page of the guest, which is an x86 machine.
const PAGE: u64 = 4096;
/// Bytes of the header in front of the group descriptors.
const HEADER: u64 = 12;
/// Bytes of a group descriptor.
const GROUP: u64 = 80;
/// Groups that are looked at, at most; there are about a hundred.
const MOST_GROUPS: u64 = 1 << 16;

/// Whether sizes of blocks have 32 bits, for each magic number.
const MAGICS: [(u32, bool); 6] = [
    (0xBED0_BED0, true),
    (0xBED2_BED0, true),
    (0xBED2_BED2, false),
    (0xBED3_BED3, false),
    (0xBAD1_BAD1, false),
    (0xBAD2_BAD2, false),
];

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
    fn read(cursor: &mut Cursor<'_>, end: u64) -> Result<Memory> {
        let mut memory = Memory::default();
        while let Some(tag) = cursor.tag(end)? {
            let slot = match tag.name.as_slice() {
                b"Memory" if tag.compressed || tag.size >= PAGE => {
                    if tag.compressed {
                        return Err(Error::not_implemented(format!(
                            "Compressed memory of VMware at {}; use a state file with a .vmem",
                            tag.at
                        )));
                    }
                    memory.embedded.get_or_insert((tag.position, tag.size));
                    continue;
                }
                b"regionsCount" => {
                    memory.count = cursor.value(&tag)?;
                    continue;
                }
                b"regionPageNum" => 0,
                b"regionPPN" => 1,
                b"regionSize" => 2,
                _ => continue,
            };
            let index = tag.indices.first().copied().unwrap_or(0);
            if let Some(place) = memory.regions.entry(index).or_default().get_mut(slot) {
                *place = Some(cursor.value(&tag)?);
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

/// Reads the groups that mean something; the first of each name counts.
fn read_groups(files: &FileSet, file: usize, narrow: bool) -> Result<(Memory, Cpus)> {
    let (mut memory, mut cpus) = (None, None);
    let mut cursor = Cursor { files, file, position: 8, narrow };
    let groups = cursor.number(4)?.min(MOST_GROUPS);
    for index in 0..groups {
        let position = HEADER + index * GROUP;
        if files.ends_before(file, position)? || (memory.is_some() && cpus.is_some()) {
            break;
        }
        cursor.position = position;
        let name = cursor.bytes(64)?;
        let start = cursor.number(8)?;
        let end = start.saturating_add(cursor.number(8)?);
        cursor.position = start;
        match name.split(|byte| *byte == 0).next() {
            Some(b"memory") if memory.is_none() => {
                memory = Some(Memory::read(&mut cursor, end).context(|| "Group memory")?);
            }
            Some(b"cpu") if cpus.is_none() => {
                cpus = Some(Cpus::read(&mut cursor, end).context(|| "Group cpu")?);
            }
            _ => {}
        }
    }
    Ok((memory.unwrap_or_default(), cpus.unwrap_or_default()))
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
    let (memory, cpus) = read_groups(files, state, narrow).context(name)?;
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
    cpus.describe(facts)?;
    if !facts.is_set("arch.page_size") {
        facts.set_number("arch.page_size", PAGE)?;
    }
    ExtentDump::describe(&extents, true, facts)?;
    let files = files.clone();
    Ok(Some(Box::new(ExtentDump { name: NAME, files, extents, maker: None, omits_zeroes: false })))
}
