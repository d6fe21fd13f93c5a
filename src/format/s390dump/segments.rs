//! Memory of an extended S390 dump: segments, stored as they are or compressed.
//!
//! ```text
//! header │ segment header, 4096 bytes │ data │ segment header │ data │ ... │ end marker
//!
//!   data of a compressed segment:  entry 0 ─ entry 1 ─ ...    (each a zlib stream)
//!                                  at multiples of a block
//! ```
//!
//! Memory between segments is zero. Blocks have the size of those of the device
//! on which the dump was written, which nothing in the file tells: it is the one
//! with which all segments and the end marker are found.
//!
//! Facts: s390-tools (`zdump/dfi_s390.h`), MIT licence.

use alloc::format;
use alloc::vec::Vec;

use super::header::{HEADER_BYTES, Header, ORDER};
use crate::codec::Codec;
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::{Packing, Scratch};
use crate::io::FileSet;
use crate::sync::{Lock, Shared};

/// Block sizes of devices in bytes: DASD, SCSI.
const BLOCKS: [u64; 2] = [4096, 512];
/// Bytes of a segment header.
const SEGMENT_BYTES: u64 = HEADER_BYTES as u64;
/// Where the entries of a segment header begin.
const ENTRIES: u64 = 0x34;
/// How many entries a segment header has room for.
const ENTRIES_MAX: u32 = 1011;
/// Bit of an entry: it is stored as it is.
const UNCOMPRESSED: u32 = 1 << 31;
/// Entries have 1 MiB; so much memory for one is still reasonable.
const ENTRY_MAX: u32 = 16 << 20;
/// Entries that are kept unpacked, since most readers go from page to page.
const RECENT: usize = 4;

/// A run of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    /// Address of the first byte (u64 at 0).
    start: u64,
    /// Bytes (u64 at 8).
    size: u64,
    /// Byte position of the segment header.
    position: u64,
    /// Blocks of the data (u32 at 0x18), 0 if they are stored as they are.
    blocks: u32,
}

impl Segment {
    fn data(&self) -> u64 {
        self.position + SEGMENT_BYTES
    }
}

/// An entry that was unpacked: position of its segment, number, bytes.
type Recent = (u64, u64, Shared<Vec<u8>>);

/// All segments.
pub struct Segments {
    /// By ascending address; they do not overlap.
    segments: Vec<Segment>,
    block: u64,
    /// Bytes of memory in an entry of a compressed segment.
    entry_size: u64,
    recent: Lock<Vec<Recent>>,
}

impl Segments {
    /// Finds all segments.
    ///
    /// # Errors
    /// `Corrupt` (`End marker not found`) if no block size leads there, or what
    /// is wrong with the segment that came last; what reading the file says.
    pub fn read(files: &FileSet, header: &Header) -> Result<Segments> {
        let mut failure = None;
        for block in BLOCKS {
            match Self::read_with(files, header, block) {
                // A wrong block size leads anywhere, but does not make storage fail.
                Err(error) if error.status() == Status::System => return Err(error),
                // The first block size is the usual one.
                Err(error) => failure = failure.or(Some(error)),
                found => return found,
            }
        }
        Err(failure.unwrap_or_else(|| Error::corrupt("End marker not found")))
    }

    fn read_with(files: &FileSet, header: &Header, block: u64) -> Result<Segments> {
        let entry_size = header.zlib_entry_size();
        let mut segments = Vec::new();
        let mut position = header.hdr_size();
        loop {
            let (segment, last) = read_segment(files, position, entry_size)?;
            let size = match segment.blocks {
                0 => segment.size,
                blocks => u64::from(blocks) * block,
            };
            position = segment
                .data()
                .checked_add(size)
                .ok_or_else(|| Error::corrupt(format!("Segment at {position} is too long")))?;
            if segment.size > 0 {
                segments.try_reserve(1).map_err(|_| Error::system("Cannot allocate segments"))?;
                segments.push(segment);
            }
            if last {
                break;
            }
        }
        if !header.ends_at(files, position)? {
            return Err(Error::corrupt("End marker not found"));
        }
        segments.sort_by_key(|segment| segment.start);
        for pair in segments.windows(2) {
            if let [before, after] = pair
                && after.start - before.start < before.size
            {
                return Err(Error::corrupt(format!(
                    "Segments at {} and {} overlap",
                    before.position, after.position
                )));
            }
        }
        Ok(Segments { segments, block, entry_size: entry_size.into(), recent: Lock::new(Vec::new()) })
    }

    /// The memory that is stored, as runs of pages: first, and behind the last.
    pub fn runs(&self, page_shift: u32) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for segment in &self.segments {
            let first = segment.start >> page_shift;
            // No segment wraps around, and none is empty.
            let behind = ((segment.start + (segment.size - 1)) >> page_shift) + 1;
            match runs.last_mut() {
                Some(run) if run.1 >= first => run.1 = run.1.max(behind),
                _ => runs.push((first, behind)),
            }
        }
        runs
    }

    /// Where the `size` bytes at `address` stand in the file as they are.
    pub fn stored(&self, address: u64, size: usize) -> Option<u64> {
        let segment = self.at_or_below(address)?;
        let offset = address - segment.start;
        let whole = offset.checked_add(size as u64)? <= segment.size;
        (segment.blocks == 0 && whole).then(|| segment.data() + offset)
    }

    fn at_or_below(&self, address: u64) -> Option<&Segment> {
        let behind = self.segments.partition_point(|segment| segment.start <= address);
        self.segments.get(behind.checked_sub(1)?)
    }

    /// Reads memory; what is in no segment is zero.
    ///
    /// # Errors
    /// `Cannot read page data at <position>`; `Corrupt` for entries that are
    /// not where they can be, or do not unpack.
    pub fn fill(&self, files: &FileSet, address: u64, bytes: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        bytes.fill(0);
        // Addresses that wrap around are those of no segment.
        let end = address.saturating_add(bytes.len() as u64);
        let first = self.segments.partition_point(|segment| segment.start <= address).saturating_sub(1);
        for segment in self.segments.get(first..).unwrap_or_default() {
            if segment.start >= end {
                break;
            }
            let from = segment.start.max(address);
            let to = (segment.start + segment.size).min(end);
            if from >= to {
                continue;
            }
            // Both are within `bytes`.
            let (from_at, to_at) = ((from - address) as usize, (to - address) as usize);
            let part = bytes.get_mut(from_at..to_at).unwrap_or_default();
            let offset = from - segment.start;
            if segment.blocks == 0 {
                read_data(files, segment.data() + offset, part)?;
            } else {
                self.unpack(files, segment, offset, part, scratch)?;
            }
        }
        Ok(())
    }

    /// Reads from `offset` of a compressed segment on.
    fn unpack(
        &self,
        files: &FileSet,
        segment: &Segment,
        offset: u64,
        bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let mut offset = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let number = offset / self.entry_size;
            let entry = self.entry(files, segment, number, scratch)?;
            let within = (offset % self.entry_size) as usize;
            let from = entry.get(within..).unwrap_or_default();
            let n = from.len().min(rest.len());
            let (now, later) = rest.split_at_mut(n);
            now.copy_from_slice(&from[..n]);
            if n == 0 {
                return Err(Error::corrupt(format!("Segment at {} has no entry {number}", segment.position)));
            }
            rest = later;
            offset += n as u64;
        }
        Ok(())
    }

    /// The memory of an entry, unpacked.
    fn entry(
        &self,
        files: &FileSet,
        segment: &Segment,
        number: u64,
        scratch: &mut Scratch,
    ) -> Result<Shared<Vec<u8>>> {
        let is_it = |recent: &Recent| recent.0 == segment.position && recent.1 == number;
        if let Some(found) = self.recent.lock().iter().find(|recent| is_it(recent)) {
            return Ok(found.2.clone());
        }
        let size = self.entry_size.min(segment.size - number * self.entry_size) as usize;
        let no_memory = || Error::system(format!("Cannot allocate segment entry ({size} bytes)"));
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(size).map_err(|_| no_memory())?;
        bytes.resize(size, 0);
        self.unpack_entry(files, segment, number, &mut bytes, scratch)
            .context(|| format!("Entry {number} of the segment at {}", segment.position))?;
        let bytes = Shared::new(bytes);
        let mut recent = self.recent.lock();
        let old = if recent.len() < RECENT { None } else { Some(recent.remove(0)) };
        // Somebody else may have put it there meanwhile; twice does no harm.
        recent.push((segment.position, number, bytes.clone()));
        drop(recent);
        drop(old);
        Ok(bytes)
    }

    fn unpack_entry(
        &self,
        files: &FileSet,
        segment: &Segment,
        number: u64,
        bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let Entry { position, stored, compressed } = self.find_entry(files, segment, number)?;
        if !compressed {
            if stored < bytes.len() as u64 {
                return Err(Error::corrupt(format!("Wrong size: {stored}")));
            }
            return read_data(files, position, bytes);
        }
        // A writer stores what does not shrink as it is.
        let most = 2 * bytes.len() as u64 + self.block;
        if stored > most {
            return Err(Error::corrupt(format!("Wrong compressed size: {stored}")));
        }
        if let Some(packed) = files.borrow(0, position, stored as usize) {
            return scratch.decoder.page(Codec::Zlib, packed, bytes);
        }
        let packed = files
            .read_vec(0, position, stored, u64::MAX)
            .context(|| format!("Cannot read page data at {position}"))?;
        scratch.decoder.page(Codec::Zlib, &packed, bytes)
    }

    fn find_entry(&self, files: &FileSet, segment: &Segment, number: u64) -> Result<Entry> {
        // There are as many entries as it takes, which was checked.
        let mut raw = [0; 8];
        let position = segment.position + ENTRIES + 4 * number;
        files.read(0, position, &mut raw).context(|| format!("Cannot read entry at {position}"))?;
        let (this, next) = (ORDER.u32(&raw, 0), ORDER.u32(&raw, 4));
        let first = this & !UNCOMPRESSED;
        let is_last = (number + 1) * self.entry_size >= segment.size;
        let behind = if is_last { segment.blocks } else { next & !UNCOMPRESSED };
        if first >= behind || behind > segment.blocks {
            return Err(Error::corrupt(format!("Wrong place: blocks {first} to {behind}")));
        }
        Ok(Entry {
            position: segment.data() + u64::from(first) * self.block,
            stored: u64::from(behind - first) * self.block,
            compressed: this & UNCOMPRESSED == 0,
        })
    }

    /// How the page of `size` bytes at `address` is stored. A page has its part
    /// of what its entry takes.
    ///
    /// # Errors
    /// `NoData` for a page that is in no segment; those of [`Segments::fill`].
    pub fn packing(&self, files: &FileSet, address: u64, size: u64) -> Result<Packing> {
        let segment = self.at_or_below(address).filter(|segment| address - segment.start < segment.size);
        let segment = segment.ok_or_else(|| Error::no_data("Excluded page"))?;
        if segment.blocks == 0 {
            return Ok(Packing { codec: None, size });
        }
        let number = (address - segment.start) / self.entry_size;
        let entry = self.find_entry(files, segment, number)?;
        if !entry.compressed {
            return Ok(Packing { codec: None, size });
        }
        let share = u128::from(entry.stored) * u128::from(size) / u128::from(self.entry_size.max(size));
        Ok(Packing { codec: Some(Codec::Zlib), size: u64::try_from(share).unwrap_or(u64::MAX) })
    }
}

/// Where an entry of a compressed segment is.
struct Entry {
    position: u64,
    /// Bytes, up to the next block.
    stored: u64,
    compressed: bool,
}

fn read_data(files: &FileSet, position: u64, bytes: &mut [u8]) -> Result<()> {
    files.read(0, position, bytes).context(|| format!("Cannot read page data at {position}"))
}

/// Reads a segment header; also tells whether it is the last one.
fn read_segment(files: &FileSet, position: u64, entry_size: u32) -> Result<(Segment, bool)> {
    let mut raw = [0; ENTRIES as usize];
    if files.ends_before(0, position)? {
        return Err(Error::corrupt("End marker not found"));
    }
    files.read(0, position, &mut raw).context(|| format!("Cannot read segment header at {position}"))?;
    let segment = Segment {
        start: ORDER.u64(&raw, 0),
        size: ORDER.u64(&raw, 8),
        position,
        blocks: ORDER.u32(&raw, 0x18),
    };
    let last = ORDER.u64(&raw, 0x10) != 0;
    let wrong = |what: &str| Error::corrupt(format!("Wrong {what} in segment header at {position}"));
    // A dump of no memory at all has one segment, which is empty.
    if segment.size == 0 && !last || segment.start.checked_add(segment.size).is_none() {
        return Err(wrong("length"));
    }
    position.checked_add(SEGMENT_BYTES).ok_or_else(|| wrong("position"))?;
    if segment.blocks != 0 {
        if entry_size == 0 || entry_size > ENTRY_MAX {
            return Err(Error::corrupt(format!("Wrong size of compressed entries: {entry_size}")));
        }
        let entries = ORDER.u32(&raw, 0x30);
        let needed = segment.size.div_ceil(entry_size.into());
        if entries > ENTRIES_MAX || u64::from(entries) < needed {
            return Err(wrong("number of entries"));
        }
    }
    Ok((segment, last))
}
