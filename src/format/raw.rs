//! Raw images of physical memory: nothing but bytes.
//!
//! ```text
//!   addresses  0 .......... bfffffff      100000000 ......... 13fffffff
//!   files      memory, bytes 0 and on     memory, bytes c0000000 and on
//! ```
//!
//! Nothing in such a file tells what it is, so the user does: attribute
//! `file.set.N.base` is the physical address of the first byte of file `N`.
//! If any file has one, no other format is tried. `file.set.N.offset` and
//! `file.set.N.length` choose a part of a file (by default all of it); a file
//! of which several parts are memory is opened once for each of them.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::extent::{Extent, ExtentDump, Extents, Maker, Origin};
use super::{Format, Opening, Scratch};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "raw";

/// The page size as long as the architecture is not known.
const PAGE_SIZE: u64 = 4096;

/// Whether the user says that the files are raw images.
pub fn is_wanted(facts: &Facts<'_>, files: usize) -> bool {
    (0..files).any(|file| facts.number(&format!("file.set.{file}.base")).is_some())
}

/// Opens raw images.
///
/// # Errors
/// `Invalid` if a file has no address, begins behind its end or goes beyond
/// 2^64; `Corrupt` if two files are at the same addresses; what reading says.
pub fn open(opening: &mut Opening<'_>) -> Result<Box<dyn Format>> {
    let files = opening.files;
    let facts = &mut opening.facts;
    facts.set_string("file.description", "Raw memory image")?;
    if facts.geometry().page_shift.is_none() {
        facts.set_number("arch.page_size", PAGE_SIZE)?;
    }
    let mut list = Vec::new();
    let mut unbounded = Vec::new();
    for file in 0..files.count() {
        let (extent, source) = extent(files, file, facts).context(|| String::from(files.name(file)))?;
        list.push(extent);
        unbounded.extend(source);
    }
    let extents = Shared::new(Extents::new(list)?);
    // What has no end cannot be listed.
    if unbounded.is_empty() {
        ExtentDump::describe(&extents, false, facts)?;
    }
    Ok(Box::new(ExtentDump {
        name: NAME,
        files: files.clone(),
        extents,
        maker: Some(Box::new(Devices(unbounded))),
        omits_zeroes: false,
    }))
}

/// Where the bytes of a file are; a device beside it if it has no known end.
fn extent(files: &FileSet, file: usize, facts: &Facts<'_>) -> Result<(Extent, Option<Device>)> {
    let number = |key: &str| facts.number(&format!("file.set.{file}.{key}"));
    let start =
        number("base").ok_or_else(|| Error::invalid(format!("No address: set file.set.{file}.base")))?;
    let position = number("offset").unwrap_or(0);
    let wanted = number("length");
    let room = (u64::MAX - start).saturating_add(1);
    let stored = Origin::Stored { file, position };
    let rest = match files.archive(file) {
        Some(_) => Some(end_of_archive(files, file)?),
        None => files.len(file),
    };
    let rest = match rest {
        Some(len) => Some(
            len.checked_sub(position)
                .ok_or_else(|| Error::invalid(format!("Offset {position} is behind the end at {len}")))?,
        ),
        None => None,
    };
    match (rest, wanted) {
        (Some(rest), wanted) => {
            let length = wanted.unwrap_or(rest).min(rest);
            if length > room {
                return Err(Error::invalid(format!(
                    "{length} bytes from address {start:#x} go beyond 64 bits"
                )));
            }
            Ok((Extent { start, length, origin: stored }, None))
        }
        (None, wanted) => {
            let length = wanted.unwrap_or(u64::MAX - position.max(start)).min(room);
            let device = Device { file, position };
            Ok((Extent { start, length, origin: Origin::Made(file as u64) }, Some(device)))
        }
    }
}

/// Length of the file in an archive: that is known only behind its end.
fn end_of_archive(files: &FileSet, file: usize) -> Result<u64> {
    if let Some(len) = files.len(file) {
        return Ok(len);
    }
    let mut high = 1;
    while !files.ends_before(file, high)? {
        high = high.checked_mul(2).ok_or_else(|| Error::corrupt("Endless archive"))?;
    }
    let mut low = 0;
    while low < high {
        let middle = low + (high - low) / 2;
        match files.ends_before(file, middle)? {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    Ok(low)
}

/// A file without a known length.
struct Device {
    file: usize,
    position: u64,
}

/// All of them.
struct Devices(Vec<Device>);

impl Maker for Devices {
    fn read(
        &self,
        files: &FileSet,
        number: u64,
        offset: u64,
        bytes: &mut [u8],
        _: &mut Scratch,
    ) -> Result<()> {
        let missing = || Error::no_data("Page not found");
        let device = self.0.iter().find(|device| device.file as u64 == number).ok_or_else(missing)?;
        let position = device.position.checked_add(offset).ok_or_else(missing)?;
        if files.ends_before(device.file, position)? {
            return Err(missing());
        }
        files.read(device.file, position, bytes).context(|| format!("Cannot read page data at {position}"))
    }
}
