//! LiME and AVML: memory images with the addresses that they came from.
//!
//! ```text
//!   record   | magic, version | first, last address | 8 bytes |  data ...
//!   LiME v1   bytes of memory as they are
//!   AVML v2   a snappy framed stream, then its length (LE64)
//! ```
//!
//! A file is nothing but records, in ascending order of addresses; both kinds
//! may follow each other. AVML writes LiME v1 too if it does not compress.
//! Memory between records is not RAM (LiME), or may be 16 MiB of zeroes that
//! were left out (AVML): `file.zero_excluded` gives zeroes for it.
//!
//! Whatever is behind the end of a file that was cut short is not there.

mod stream;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::extent::{Extent, ExtentDump, Extents, Origin};
use super::{Format, Opening};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::{Lazy, Shared};
use stream::{Stream, Streams};

/// Name of LiME images (attribute `file.format`).
pub const NAME: &str = "lime";

/// Name of images that AVML compressed (attribute `file.format`).
pub const AVML: &str = "avml";

/// First word of a LiME record (LiME `lime.h`, `LIME_MAGIC`).
const LIME_MAGIC: u32 = 0x4c69_4d45;

/// First word of a compressed record (AVML `image.rs`).
const AVML_MAGIC: u32 = 0x4c4d_5641;

/// Bytes of a record's header.
const HEADER: u64 = 32;

/// The length of the stream, behind it.
const TRAILER: u64 = 8;

/// The page size that pages are read by as long as nobody knows the
/// architecture. Memory is in no pages in these files.
const PAGE_SIZE: u64 = 4096;

/// What the data of a record are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Memory as it is.
    Lime,
    /// A snappy framed stream.
    Avml,
}

/// The header of a record; all numbers are little endian.
#[derive(Clone, Copy, Debug)]
struct Header {
    kind: Kind,
    /// At 8: the first physical address.
    first: u64,
    /// At 16: the last one.
    last: u64,
    /// At 24: nothing, zero.
    reserved: u64,
}

/// A little-endian word of a header.
fn word(raw: &[u8; HEADER as usize], at: usize) -> u64 {
    let mut bytes = [0; 8];
    for (to, from) in bytes.iter_mut().zip(raw.iter().skip(at)) {
        *to = *from;
    }
    u64::from_le_bytes(bytes)
}

impl Header {
    /// The kind of record that the first word tells.
    fn kind(raw: &[u8; HEADER as usize]) -> Option<Kind> {
        match word(raw, 0) as u32 {
            LIME_MAGIC => Some(Kind::Lime),
            AVML_MAGIC => Some(Kind::Avml),
            _ => None,
        }
    }

    /// Takes the header of the record at `position` of the file apart.
    fn parse(raw: &[u8; HEADER as usize], position: u64) -> Result<Header> {
        let magic = word(raw, 0) as u32;
        let version = (word(raw, 0) >> 32) as u32;
        let kind = Header::kind(raw)
            .ok_or_else(|| Error::corrupt(format!("Invalid magic {magic:#010x} of record at {position}")))?;
        let wanted = match kind {
            Kind::Lime => 1,
            Kind::Avml => 2,
        };
        if version != wanted {
            return Err(Error::corrupt(format!("Invalid version {version} of record at {position}")));
        }
        let header = Header { kind, first: word(raw, 8), last: word(raw, 16), reserved: word(raw, 24) };
        if header.last < header.first || header.len().is_none() {
            return Err(Error::corrupt(format!(
                "Invalid addresses {:#x}-{:#x} of record at {position}",
                header.first, header.last
            )));
        }
        Ok(header)
    }

    /// Bytes of memory; `None` for all 2^64.
    fn len(&self) -> Option<u64> {
        (self.last.wrapping_sub(self.first)).checked_add(1)
    }

    /// Whether `packed` bytes behind this header may be all of its memory: an
    /// element of three bytes makes 64 at most.
    fn is_plausible(&self, packed: u64) -> bool {
        let most = packed.saturating_mul(22);
        self.kind == Kind::Avml && self.reserved == 0 && self.len().is_some_and(|len| len <= most)
    }

    /// Reads the header at `position`.
    fn read(files: &FileSet, position: u64) -> Result<Header> {
        let mut raw = [0; HEADER as usize];
        files.read(0, position, &mut raw).context(|| format!("Cannot read record at {position}"))?;
        Header::parse(&raw, position)
    }
}

/// Opens a LiME or AVML image.
///
/// # Errors
/// `Corrupt` for a record that makes no sense or begins below the end of the
/// one before it; `NotImplemented` (`Multiple files not implemented`); what
/// reading the file says.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let mut raw = [0; HEADER as usize];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    let Some(kind) = Header::kind(&raw) else { return Ok(None) };
    let (name, description) = match kind {
        Kind::Lime => (NAME, "LiME memory image"),
        Kind::Avml => (AVML, "AVML memory image"),
    };
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    Header::parse(&raw, 0)?;
    opening.facts.set_string("file.description", description)?;
    use_pages(&mut opening.facts)?;
    let records = match backwards(files)? {
        Some(records) => records,
        None => forwards(files)?,
    };
    let (extents, streams) = records.finish()?;
    let extents = Shared::new(extents);
    ExtentDump::describe(&extents, false, &mut opening.facts)?;
    Ok(Some(Box::new(ExtentDump {
        name,
        files: files.clone(),
        extents,
        maker: Some(Box::new(Streams::new(streams))),
        omits_zeroes: true,
    })))
}

/// Sets the page size if nothing else says what it is.
fn use_pages(facts: &mut Facts<'_>) -> Result<()> {
    match facts.geometry().page_shift {
        Some(_) => Ok(()),
        None => facts.set_number("arch.page_size", PAGE_SIZE),
    }
}

/// What the records of a file say.
#[derive(Default)]
struct Records {
    extents: Vec<Extent>,
    streams: Vec<Stream>,
}

impl Records {
    /// Notes the first `available` bytes of memory of the record whose data are
    /// the `packed` bytes at `position`.
    fn add(&mut self, header: &Header, position: u64, available: u64, packed: u64) {
        let origin = match header.kind {
            Kind::Lime => Origin::Stored { file: 0, position },
            Kind::Avml => {
                self.streams.push(Stream {
                    position,
                    packed,
                    len: header.len().unwrap_or(0),
                    chunks: Lazy::default(),
                });
                Origin::Made(self.streams.len() as u64 - 1)
            }
        };
        self.extents.push(Extent { start: header.first, length: available, origin });
    }

    fn finish(self) -> Result<(Extents, Vec<Stream>)> {
        Ok((Extents::new(self.extents)?, self.streams))
    }
}

/// Fails unless memory at `first` is behind `last` of the record before it.
fn check_order(last: Option<u64>, first: u64, position: u64) -> Result<()> {
    match last {
        Some(last) if first <= last => Err(Error::corrupt(format!(
            "Record at {position} begins at address {first:#x}, but the one before it ends at {last:#x}"
        ))),
        _ => Ok(()),
    }
}

/// Finds compressed records from the end of the file on, by the lengths
/// behind their streams: 40 bytes a record instead of a word every 64 KiB of
/// memory. `None` if the file is not made of nothing but such records.
fn backwards(files: &FileSet) -> Result<Option<Records>> {
    let Some(mut end) = files.len(0) else { return Ok(None) };
    let mut found: Vec<(Header, u64, u64)> = Vec::new();
    while end > 0 {
        let Some(behind) = end.checked_sub(TRAILER) else { return Ok(None) };
        let mut raw = [0; TRAILER as usize];
        files.read(0, behind, &mut raw).context(|| format!("Cannot read record that ends at {end}"))?;
        let Some(position) =
            behind.checked_sub(u64::from_le_bytes(raw)).and_then(|data| data.checked_sub(HEADER))
        else {
            return Ok(None);
        };
        match Header::read(files, position) {
            Ok(header) if header.is_plausible(u64::from_le_bytes(raw)) => {
                found.push((header, position + HEADER, u64::from_le_bytes(raw)));
            }
            // Reading from the front tells what is wrong, if anything is.
            _ => return Ok(None),
        }
        end = position;
    }
    let mut records = Records::default();
    let mut last = None;
    for (header, position, packed) in found.iter().rev() {
        check_order(last, header.first, position - HEADER)?;
        last = Some(header.last);
        records.add(header, *position, header.len().unwrap_or(0), *packed);
    }
    Ok(Some(records))
}

/// Finds all records from the beginning of the file on.
fn forwards(files: &FileSet) -> Result<Records> {
    let mut records = Records::default();
    let mut position: u64 = 0;
    let mut last = None;
    // A header that is cut short is the end of the file as well.
    while !ends_before(files, position.saturating_add(HEADER))? {
        let header = Header::read(files, position)?;
        check_order(last, header.first, position)?;
        last = Some(header.last);
        let data = position.saturating_add(HEADER);
        let len = header.len().unwrap_or(0);
        let end = match header.kind {
            Kind::Lime => {
                let available = available(files, data, len)?;
                records.add(&header, data, available, available);
                data.checked_add(len).filter(|_| available == len)
            }
            Kind::Avml => {
                let walked = stream::walk(files, data, len, |_| {})?;
                records.add(&header, data, walked.memory, walked.end.unwrap_or(data) - data);
                match walked.end {
                    Some(end) => Some(behind_trailer(files, data, end)?),
                    None => None,
                }
            }
        };
        let Some(end) = end else { break };
        position = end;
    }
    Ok(records)
}

/// The position behind the length of the stream at `data` that ends at `end`.
fn behind_trailer(files: &FileSet, data: u64, mut end: u64) -> Result<u64> {
    loop {
        let mut raw = [0; TRAILER as usize];
        if !ends_before(files, end.saturating_add(TRAILER))? {
            files.read(0, end, &mut raw).context(|| format!("Cannot read length of stream at {end}"))?;
            if u64::from_le_bytes(raw) != end - data {
                // Padding may stand between the last data and the length.
                if let Some(next) = stream::skippable(&raw, end)
                    && !ends_before(files, next)?
                {
                    end = next;
                    continue;
                }
                let found = u64::from_le_bytes(raw);
                return Err(Error::corrupt(format!(
                    "Invalid length {found} at {end} of stream at {data} of {} bytes",
                    end - data
                )));
            }
        }
        return Ok(end.saturating_add(TRAILER));
    }
}

/// Whether the file has no byte at `end - 1`, so that what ends at `end` is cut.
fn ends_before(files: &FileSet, end: u64) -> Result<bool> {
    match end.checked_sub(1) {
        Some(last) => files.ends_before(0, last),
        None => Ok(false),
    }
}

/// How many of `len` bytes at `position` the file has.
fn available(files: &FileSet, position: u64, len: u64) -> Result<u64> {
    if let Some(size) = files.len(0) {
        return Ok(size.saturating_sub(position).min(len));
    }
    if position.checked_add(len).is_some() && !ends_before(files, position.saturating_add(len))? {
        return Ok(len);
    }
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match ends_before(files, position.saturating_add(middle))? {
            true => high = middle - 1,
            false => low = middle,
        }
    }
    Ok(low)
}
