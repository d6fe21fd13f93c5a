//! S390 stand-alone dumps: what the dump tools of IBM Z write, or
//! `zgetdump -f s390`. Always big endian.
//!
//! ```text
//! plain     header │ memory, as it was                     │ end marker
//! extended  header │ segment │ segment │ ... (segments.rs) │ end marker
//! ```
//!
//! The header (`header.rs`) tells the lowcore of each CPU, in which its
//! registers are (`lowcore.rs`). VMCOREINFO is found by whoever knows that the
//! system is Linux (attribute `addrxlat.ostype`).

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use crate::attr::{Bitmap, Geometry, RunList};
use crate::error::{Error, Result};
use crate::format::{Address, Filled, Format, Opening, Packing, Place, Scratch, Space, Spaces};
use crate::io::FileSet;
use crate::sync::Shared;

mod header;
mod lowcore;
mod segments;

use header::{Header, Kind, ORDER};
use segments::Segments;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "s390dump";

/// An open S390 dump.
struct S390Dump {
    files: Shared<FileSet>,
    memory: Memory,
    /// log2 of the page size.
    page_shift: u32,
}

/// Where the memory is.
enum Memory {
    /// In the file, from this byte position on.
    Plain(u64),
    Extended(Segments),
}

/// Opens an S390 dump; `None` if file 0 has no signature of it.
///
/// # Errors
/// `NotImplemented` for several files and for an unknown architecture;
/// `Corrupt` for a dump that does not end where it must, and for a page size
/// that is none.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let facts = &mut opening.facts;
    if files.count() == 0 {
        return Ok(None);
    }
    let Some(header) = Header::read(files)? else { return Ok(None) };
    facts.set_string("file.description", header.kind.description())?;
    facts.set_number("arch.byte_order", ORDER.number())?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    let memory = match header.kind {
        Kind::Plain => {
            let position = header.hdr_size();
            let end = position.checked_add(header.mem_size());
            if !end.map_or(Ok(false), |end| header.ends_at(files, end))? {
                return Err(Error::corrupt("End marker not found"));
            }
            Memory::Plain(position)
        }
        Kind::Extended => Memory::Extended(Segments::read(files, &header)?),
    };
    facts.set_number("arch.page_size", header.page_size().into())?;
    let page_shift = header.page_size().trailing_zeros();
    let max_pfn = match (header.kind, header.num_pages()) {
        (Kind::Extended, 0) => header.mem_size().div_ceil(header.page_size().into()),
        (_, pages) => pages.into(),
    };
    facts.set_number("max_pfn", max_pfn)?;
    let arch = header.arch()?;
    if !facts.is_set("arch.name") {
        facts.set_string("arch.name", arch.name())?;
    }
    let stored = match &memory {
        Memory::Plain(_) if max_pfn == 0 => Vec::new(),
        Memory::Plain(_) => vec![(0, max_pfn)],
        Memory::Extended(segments) => segments.runs(page_shift),
    };
    facts.set_bitmap("file.pagemap", Bitmap::new(Shared::new(RunList::new(stored))))?;

    let dump = S390Dump { files: files.clone(), memory, page_shift };
    let mut scratch = Scratch::default();
    lowcore::publish(facts, &header, arch, |address, bytes| {
        let end = u128::from(address) + bytes.len() as u128;
        if end > u128::from(max_pfn) << page_shift {
            return Err(out_of_bounds());
        }
        dump.read(address, bytes, &mut scratch)
    })?;
    Ok(Some(Box::new(dump)))
}

fn out_of_bounds() -> Error {
    Error::no_data("Out-of-bounds PFN")
}

impl S390Dump {
    fn read(&self, address: u64, bytes: &mut [u8], scratch: &mut Scratch) -> Result<()> {
        match &self.memory {
            Memory::Plain(position) => {
                let position = position.checked_add(address).ok_or_else(out_of_bounds)?;
                self.files.read(0, position, bytes)
            }
            Memory::Extended(segments) => segments.fill(&self.files, address, bytes, scratch),
        }
    }

    fn check(&self, geometry: &Geometry, address: Address) -> Result<()> {
        let end = geometry.max_pfn.map_or(u128::MAX, |end| u128::from(end) << self.page_shift);
        if u128::from(address.value) >= end { Err(out_of_bounds()) } else { Ok(()) }
    }
}

impl Format for S390Dump {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::MachinePhysical)
    }

    fn page_shift(&self, _: &Geometry) -> Option<u32> {
        Some(self.page_shift)
    }

    fn locate(&self, geometry: &Geometry, address: Address) -> Result<Place> {
        self.check(geometry, address)?;
        let stored = match &self.memory {
            Memory::Plain(position) => Some(position.checked_add(address.value).ok_or_else(out_of_bounds)?),
            Memory::Extended(segments) => segments.stored(address.value, 1 << self.page_shift),
        };
        Ok(stored.map_or(Place::Filled, |position| Place::Stored { file: 0, position }))
    }

    fn packing(&self, geometry: &Geometry, address: Address) -> Result<Packing> {
        self.check(geometry, address)?;
        let size = 1 << self.page_shift;
        match &self.memory {
            Memory::Plain(_) => Ok(Packing { codec: None, size }),
            Memory::Extended(segments) => segments.packing(&self.files, address.value, size),
        }
    }

    fn fill(&self, _: &Geometry, address: Address, page: &mut [u8], scratch: &mut Scratch) -> Result<Filled> {
        self.read(address.value, page, scratch)?;
        Ok(Filled::Kept)
    }
}
