//! diskdump and kdump-compressed: what makedumpfile, QEMU and the diskdump
//! driver write.
//!
//! ```text
//! block 0                       common header       header.rs
//! block 1                       sub-header, ELF notes
//! block 1 + sub_hdr_size        1st bitmap: RAM
//!   + bitmap_blocks / 2         2nd bitmap: stored pages
//!   + bitmap_blocks             page descriptors, one per set bit of the 2nd
//! anywhere                      page data
//! ```
//!
//! Everything counts blocks, and a page is one block. That is not always a
//! page of the kernel (`arch.page_size`): QEMU writes blocks of 64 KiB for
//! aarch64 guests of any page size. `pagemap.rs` converts.
//!
//! A dump may be split into a set of files (`members.rs`); each of them has all
//! the headers and both bitmaps, and descriptors for its own range of PFNs.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::arch::{Arch, ByteOrder};
use crate::attr::{AttrType, Facts, Geometry};
use crate::codec::Codec;
use crate::error::{Error, Result, ResultExt, Status};
use crate::format::infer::{self, Evidence};
use crate::format::{Address, Filled, Format, Opening, Packing, Place, Scratch, Space, Spaces};
use crate::io::FileSet;
use crate::notes::{self, uts};
use crate::sync::Shared;

mod header;
mod members;
mod pagemap;
#[cfg(test)]
mod tests;

use header::{COMMON_BYTES, Common, Extent, Kind};
use members::{DESCRIPTOR_BYTES, Headers, Member, Members};
use pagemap::{RamMap, Union, Units};

/// Name of the format.
const NAME: &str = "diskdump";

/// Notes and texts that claim more than this, and more than the file has,
/// are none.
const ABSURD_BYTES: u64 = 256 << 20;
/// So much of a part that lies behind the end of the file is read as zeros.
const ZERO_TAIL_BYTES: u64 = 1 << 20;

/// An open diskdump.
struct Diskdump {
    files: Shared<FileSet>,
    members: Members,
    order: ByteOrder,
    /// log2 of the block size.
    block_shift: u32,
    /// What the file calls block 0.
    first_block: u64,
}

/// Opens a diskdump; `None` if file 0 has no signature of it.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` (`Invalid diskdump header
/// content`) for headers that cannot be; otherwise what is wrong with which
/// file or with the notes.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    if files.count() == 0 {
        return Ok(None);
    }
    let mut raw = [0; COMMON_BYTES];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    let Some(kind) = Kind::from_signature(&raw) else { return Ok(None) };
    let facts = &mut opening.facts;
    let description = format!("{}{}", files.flattened().prefix(), kind.description());
    facts.set_string("file.description", &description).context(|| "Cannot set file.description")?;

    // A reading of the headers that turns out to be impossible may not be the
    // only one. Nothing is told to the attributes before it is certain.
    for common in Common::candidates(&raw, |block_size| members::read_sub(files, 0, block_size)) {
        match Dump::read(files, &common) {
            Err(error) if error.status() == Status::Corrupt => continue,
            dump => return publish(files, facts, dump?).map(|dump| Some(Box::new(dump) as _)),
        }
    }
    Err(invalid_header())
}

fn invalid_header() -> Error {
    Error::not_implemented("Invalid diskdump header content")
}

/// What the headers and bitmaps of all files say, before anybody is told.
struct Dump {
    headers: Vec<Headers>,
    members: Members,
    /// Texts of VMCOREINFO (version 3) and ERASEINFO (version 5 and up).
    vmcoreinfo: Option<Vec<u8>>,
    eraseinfo: Option<Vec<u8>>,
}

impl Dump {
    fn read(files: &FileSet, first: &Common) -> Result<Dump> {
        let mut dump = Dump {
            headers: Vec::new(),
            members: Members::new(Vec::new()),
            vmcoreinfo: None,
            eraseinfo: None,
        };
        let mut members = Vec::new();
        for file in 0..files.count() {
            let member = dump.read_file(files, file, first).context(|| String::from(files.name(file)))?;
            members.push(member);
        }
        dump.members = Members::new(members);
        Ok(dump)
    }

    fn read_file(&mut self, files: &FileSet, file: usize, first: &Common) -> Result<Member> {
        let headers = Headers::read(files, file, first)?;
        if headers.common.has_sub_header() {
            if headers.common.version == 3 {
                let text = read_text(files, file, headers.sub.vmcoreinfo, "VMCOREINFO")?;
                if self.vmcoreinfo.is_none() || !text.is_empty() {
                    self.vmcoreinfo = Some(text);
                }
            }
            if headers.common.version >= 5 {
                let text = read_text(files, file, headers.sub.eraseinfo, "ERASEINFO")?;
                // Each file of a set tells what was erased in its own part.
                let all = self.eraseinfo.get_or_insert_default();
                if !text.is_empty() && *all != text {
                    all.extend_from_slice(&text);
                }
            }
        }
        let member = headers.member(files)?;
        self.headers.push(headers);
        Ok(member)
    }
}

fn read_text(files: &FileSet, file: usize, extent: Extent, what: &str) -> Result<Vec<u8>> {
    let Extent { position, size } = extent;
    read_extent(files, file, extent)
        .context(|| format!("Cannot read {what} ({size} bytes at {position} in {})", files.name(file)))
}

/// Reads a part of a file. What lies behind the end of the file is zero, but
/// no more than a megabyte of that is stored.
fn read_extent(files: &FileSet, file: usize, extent: Extent) -> Result<Vec<u8>> {
    let Extent { position, size } = extent;
    if size == 0 {
        return Ok(Vec::new());
    }
    let stored = match files.len(file) {
        Some(end) => end.saturating_sub(position),
        // To the megabyte; what a file does not hold must not take memory.
        None => {
            let most = size.min(ABSURD_BYTES);
            let mut found = 0;
            while found < most && !files.ends_before(file, position.saturating_add(found))? {
                found += ZERO_TAIL_BYTES;
            }
            found
        }
    };
    let size = size.min(stored.saturating_add(ZERO_TAIL_BYTES));
    files.read_vec(file, position, size, u64::MAX)
}

/// Tells the attributes what the dump is.
fn publish(files: &Shared<FileSet>, facts: &mut Facts<'_>, dump: Dump) -> Result<Diskdump> {
    let Dump { headers, members, vmcoreinfo, eraseinfo } = dump;
    // There is a file 0, so there are headers of it.
    let (Some(first), Some(last)) = (headers.first(), headers.last()) else {
        return Err(invalid_header());
    };
    let order = first.common.order;
    let block_shift = first.common.block_size.trailing_zeros();
    let max_block = headers.iter().map(|headers| headers.max_pfn).max().unwrap_or(0);
    let set = |result: Result<()>| match result {
        Err(error) if error.status() == Status::Corrupt => Err(invalid_header()),
        result => result,
    };
    facts.set_number("arch.byte_order", order.number())?;
    let pointer_size = facts.arch().map_or(first.sub.word, Arch::pointer_size);
    facts.set_number("arch.ptr_size", pointer_size.into())?;
    facts.set_number("arch.page_size", first.common.block_size.into())?;
    facts.set_number("max_pfn", max_block)?;
    if let Some(headers) = headers.iter().rfind(|headers| headers.common.has_sub_header()) {
        facts.set_address("linux.phys_base", headers.sub.phys_base)?;
    }
    if let Some(text) = vmcoreinfo {
        set(facts.set_blob("linux.vmcoreinfo.raw", text).context(|| "Cannot set VMCOREINFO"))?;
    }
    if let Some(text) = eraseinfo {
        set(facts.set_blob("file.eraseinfo.raw", text).context(|| "Cannot set ERASEINFO"))?;
    }
    let sane = uts::looks_sane(&last.common.utsname);
    if sane {
        uts::store(facts, &last.common.utsname)?;
    }
    process_notes(files, facts, &headers, sane)?;

    let first_block = first_block(files, facts, first, sane)?;
    let page_shift = facts.geometry().page_shift.unwrap_or(block_shift);
    let units = Units { block_shift, page_shift, first_block };
    facts.set_number("max_pfn", units.pfn(max_block))?;
    let stored = Union(members.indexes().cloned().collect());
    facts.set_bitmap("file.pagemap", units.bitmap(Shared::new(stored)))?;
    let ram = RamMap { files: files.clone(), area: first.ram, units };
    facts.set_lazy("memory.pagemap", AttrType::Bitmap, Shared::new(ram));
    if let Some(missing) = members.missing(max_block, units) {
        facts.set_string("file.set.missing", &missing)?;
    }
    Ok(Diskdump { files: files.clone(), members, order, block_shift, first_block })
}

/// ELF notes, and what they leave open.
fn process_notes(files: &FileSet, facts: &mut Facts<'_>, headers: &[Headers], sane: bool) -> Result<()> {
    // All files of a set have the same notes.
    let noted = headers.iter().find(|headers| headers.sub.note.size != 0);
    let bytes = match noted {
        Some(headers) => {
            let Extent { position, size } = headers.sub.note;
            let file = headers.stored.file;
            let stored = files.len(file).is_none_or(|end| position.saturating_add(size) <= end);
            let bytes = if size > ABSURD_BYTES && !stored {
                Err(Error::corrupt("Notes are larger than the file"))
            } else {
                read_extent(files, file, headers.sub.note)
            };
            bytes.context(|| format!("Cannot read {size} note bytes at {position}"))?
        }
        None => Vec::new(),
    };
    notes::noarch(facts, &bytes).context(|| "Cannot process noarch notes")?;
    if !facts.is_set("linux.vmcoreinfo.raw") {
        vmcoreinfo_without_note(files, facts, headers);
    }
    let Some(last) = headers.last() else { return Ok(()) };
    let evidence = Evidence {
        order: last.common.order,
        pointer_size: last.sub.word,
        machine: last.common.machine(),
        notes: &bytes,
    };
    let inferred = !sane && infer::settle(facts, &evidence)?;
    if facts.is_set("arch.name") {
        match notes::arch(facts, &bytes).context(|| "Cannot process arch notes") {
            // A dump that opens without an architecture must not fail because
            // a guess at it went wrong.
            Err(error) if !inferred => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// VMCOREINFO that the sub-header points to but no note contains. Nobody is
/// obliged to look there since version 4, so nothing about it is an error.
fn vmcoreinfo_without_note(files: &FileSet, facts: &mut Facts<'_>, headers: &[Headers]) {
    for headers in headers.iter().filter(|headers| headers.common.version >= 4) {
        let extent = headers.sub.vmcoreinfo;
        if extent.size == 0 || extent.size > ABSURD_BYTES {
            continue;
        }
        let Ok(text) = read_extent(files, headers.stored.file, extent) else { continue };
        // Every VMCOREINFO begins with one of these rows.
        if text.starts_with(b"OSRELEASE=") || text.starts_with(b"PAGESIZE=") {
            let _ = facts.set_blob("linux.vmcoreinfo.raw", text);
            return;
        }
    }
}

/// The block that the file calls number 0.
///
/// On arm, makedumpfile counts from the start of RAM (`phys_base`); nothing in
/// the file says so, but there is no RAM below its start. Number
/// `file.first_pfn` tells which PFN that is; a user who sets it decides.
fn first_block(files: &FileSet, facts: &mut Facts<'_>, first: &Headers, sane: bool) -> Result<u64> {
    let shift = first.common.block_size.trailing_zeros();
    let page_shift = facts.geometry().page_shift.unwrap_or(shift);
    if let Some(pfn) = facts.number("file.first_pfn") {
        let block = (u128::from(pfn) << page_shift) >> shift;
        return Ok(u64::try_from(block).unwrap_or(u64::MAX));
    }
    let base = facts.number("linux.phys_base").unwrap_or(0) >> shift;
    // QEMU counts from address 0, and leaves `utsname` empty.
    if base == 0 || !sane || facts.arch() != Some(Arch::Arm) {
        return Ok(0);
    }
    let highest = first.ram.read(files, 0..u64::MAX).ok().and_then(|ram| ram.bounds()).map(|bounds| bounds.1);
    if highest.is_none_or(|highest| highest >= base) {
        return Ok(0);
    }
    facts.set_number("file.first_pfn", Units { block_shift: shift, page_shift, first_block: base }.pfn(0))?;
    Ok(base)
}

/// A page descriptor (`page_desc_t` of makedumpfile).
struct Descriptor {
    /// Byte position of the data (u64 at 0).
    position: u64,
    /// Bytes stored (u32 at 8).
    size: u32,
    /// How they are compressed, 0 for not at all (u32 at 12).
    flags: u32,
}

/// What the index says of a page.
enum Found {
    /// It is in this file, as its descriptor says.
    Stored(usize, Descriptor),
    /// It is not there, for this reason.
    Absent(&'static str),
}

/// Descriptor flags, the first one first where there are several.
const CODECS: [(u32, Codec); 4] =
    [(0x01, Codec::Zlib), (0x02, Codec::Lzo), (0x04, Codec::Snappy), (0x20, Codec::Zstd)];

impl Descriptor {
    fn decode(raw: &[u8], order: ByteOrder) -> Self {
        Descriptor { position: order.u64(raw, 0), size: order.u32(raw, 8), flags: order.u32(raw, 12) }
    }

    fn codec(&self) -> Option<Codec> {
        CODECS.iter().find(|(flag, _)| self.flags & flag != 0).map(|(_, codec)| *codec)
    }

    /// Refuses what no writer makes, before anything is read or allocated.
    fn check(&self, page_size: usize) -> Result<()> {
        let size = u64::from(self.size);
        let page_size = page_size as u64;
        if self.codec().is_none() && size != page_size {
            return Err(Error::corrupt(format!("Wrong page size: {size}")));
        }
        // More than any codec makes of a page.
        if size > 2 * page_size + 1024 {
            return Err(Error::corrupt(format!("Wrong compressed page size: {size}")));
        }
        // Block 0 is the header.
        let end = self.position.checked_add(size);
        if self.position < page_size || end.is_none_or(|end| end > i64::MAX as u64) {
            return Err(Error::corrupt(format!("Wrong page data position: {}", self.position)));
        }
        Ok(())
    }
}

impl Diskdump {
    fn read_descriptor(&self, file: usize, position: u64) -> Result<Descriptor> {
        if let Some(raw) = self.files.borrow(file, position, DESCRIPTOR_BYTES) {
            return Ok(Descriptor::decode(raw, self.order));
        }
        let mut raw = [0; DESCRIPTOR_BYTES];
        self.files
            .read(file, position, &mut raw)
            .context(|| format!("Cannot read page descriptor at {position}"))?;
        Ok(Descriptor::decode(&raw, self.order))
    }

    fn fill_stored(
        &self,
        file: usize,
        descriptor: &Descriptor,
        page: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let &Descriptor { position, size, .. } = descriptor;
        let unread = || format!("Cannot read page data at {position}");
        let Some(codec) = descriptor.codec() else {
            return self.files.read(file, position, page).context(unread);
        };
        let size = size as usize;
        if let Some(packed) = self.files.borrow(file, position, size) {
            return scratch.decoder.page(codec, packed, page);
        }
        if scratch.packed.len() < size {
            // Large enough for the next page, too.
            let room = size.max(page.len()).next_power_of_two();
            scratch
                .packed
                .try_reserve(room - scratch.packed.len())
                .map_err(|_| Error::system(format!("Cannot allocate page buffer ({room} bytes)")))?;
            scratch.packed.resize(room, 0);
        }
        let packed = &mut scratch.packed[..size];
        self.files.read(file, position, packed).context(unread)?;
        scratch.decoder.page(codec, packed, page)
    }

    /// Finds the descriptor of the page at `address`.
    fn find(&self, geometry: &Geometry, address: Address) -> Result<Found> {
        let page_shift = geometry.page_shift.unwrap_or(self.block_shift);
        if geometry.max_pfn.is_some_and(|end| u128::from(address.value) >= u128::from(end) << page_shift) {
            return Err(Error::no_data("Out-of-bounds PFN"));
        }
        let number = address.value >> self.block_shift;
        // Where the file counts from the start of RAM there is no page below
        // it; PFNs as they stand in the file are understood as well.
        let number = number.checked_sub(self.first_block).unwrap_or(number);
        let Some((file, position)) = self.members.descriptor(number) else {
            return Ok(Found::Absent("Excluded page"));
        };
        let descriptor = self.read_descriptor(file, position)?;
        if descriptor.position == 0 {
            // The writer ran out of space before it came to this page.
            return Ok(Found::Absent("Incomplete page"));
        }
        Ok(Found::Stored(file, descriptor))
    }

    /// A page that is not there.
    fn absent(geometry: &Geometry, page: &mut [u8], message: &'static str) -> Result<Filled> {
        if geometry.zero_excluded {
            page.fill(0);
            return Ok(Filled::Synthetic);
        }
        Err(Error::no_data(message))
    }
}

impl Format for Diskdump {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::MachinePhysical)
    }

    fn page_shift(&self, _: &Geometry) -> Option<u32> {
        Some(self.block_shift)
    }

    fn locate(&self, _: &Geometry, _: Address) -> Result<Place> {
        Ok(Place::Filled)
    }

    fn packing(&self, geometry: &Geometry, address: Address) -> Result<Packing> {
        match self.find(geometry, address)? {
            Found::Stored(_, descriptor) => {
                Ok(Packing { codec: descriptor.codec(), size: descriptor.size.into() })
            }
            Found::Absent(message) => Err(Error::no_data(message)),
        }
    }

    fn fill(
        &self,
        geometry: &Geometry,
        address: Address,
        page: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Filled> {
        let (file, descriptor) = match self.find(geometry, address)? {
            Found::Stored(file, descriptor) => (file, descriptor),
            Found::Absent(message) => return Self::absent(geometry, page, message),
        };
        descriptor.check(page.len())?;
        self.fill_stored(file, &descriptor, page, scratch)?;
        Ok(Filled::Kept)
    }
}
