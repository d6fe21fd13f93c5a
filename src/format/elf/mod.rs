//! ELF dumps: `/proc/vmcore`, QEMU, makedumpfile `-E`, `/proc/kcore`, Xen.
//!
//! ```text
//!   ELF header ── program headers ─┬─ PT_LOAD ── Index ── pages, pagemaps
//!              │                   └─ PT_NOTE ── crate::notes
//!              └─ section headers ──── .xen_* ── xc_core: pages of a Xen domain
//! ```
//!
//! | space | pages come from |
//! | --- | --- |
//! | MACHPHYSADDR | `p_paddr`, unless it is 0 in every one of several segments |
//! | KVADDR | `p_vaddr`, unless Xen's hypervisor is in the dump; else translated |
//!
//! A page that lies wholly in the stored part of one segment is taken from
//! there. Other pages with at least one stored byte are put together from all
//! segments that touch them; bytes that are not stored are zero. Pages that
//! are memory without any stored byte are excluded: `NoData`, or zeroes if
//! `file.zero_excluded` says so.
//!
//! Headers and notes have the byte order of the ELF header. It is that of the
//! memory as well, unless the registers of a CPU prove the contrary.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Address, Filled, Format, Opening, Packing, Place, Scratch, Space, Spaces};
use crate::arch::Arch;
use crate::attr::{Bitmap, Facts, Geometry};
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::notes;
use crate::sync::Shared;
use header::{Class, Header, ProgramHeader, Segment};
use index::{Bits, Cover, Index, PageMap};
use stored_notes::{StoredNotes, unreadable_segment};

mod header;
mod index;
mod sections;
mod stored_notes;
#[cfg(test)]
mod tests;
mod xc_core;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "elf";

/// An open ELF dump.
struct Elf {
    files: Shared<FileSet>,
    spaces: Spaces,
    phys: Shared<Index>,
    /// Missing if the virtual addresses in the headers mean nothing.
    virt: Option<Index>,
    linear_offset: Option<u64>,
}

/// Opens an ELF dump.
///
/// # Errors
/// `Cannot read dump header` and its kind for tables and notes; the texts for
/// ELF files that are no dump: `Unsupported ELF data format`, `Unsupported ELF
/// class`, `Multiple files not implemented`, `No content found` and `Missing
/// Xen P2M mapping`, all `NotImplemented`; `Corrupt` for CPU states and page
/// sizes that cannot be.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = &**opening.files;
    let facts = &mut opening.facts;
    let mut raw = [0; header::HEADER_SIZE];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    if !raw.starts_with(&header::MAGIC) {
        return Ok(None);
    }
    let order = header::byte_order(&raw)?;
    facts.set_number("arch.byte_order", order.number())?;
    let encoding = header::encoding(&raw, order)?;
    facts.set_string("file.description", encoding.class.description())?;
    let header = Header::read(files, &raw, encoding)?;
    facts.set_number("arch.machine", header.machine.into())?;
    let tables = Tables::read(files, &header)?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    if tables.loads.is_empty() && header.sections.count == 0 {
        return Err(Error::not_implemented("No content found"));
    }

    tables.for_each_note(files, facts, notes::noarch)?;
    if !facts.is_set("arch.name")
        && let Some(arch) = Arch::from_elf_machine(header.machine, encoding.class == Class::Elf64)
    {
        facts.set_string("arch.name", arch.name())?;
    }
    let mut memory_order = None;
    tables.for_each_note(files, facts, |facts, bytes| {
        memory_order = memory_order.or_else(|| notes::memory_order(facts, bytes));
        notes::arch(facts, bytes)
    })?;
    if let Some(order) = memory_order {
        facts.set_number("arch.byte_order", order.number())?;
    }

    let mut spaces = Spaces::NONE;
    if facts.number("xen.type").unwrap_or(0) == 0 {
        spaces = spaces.with(Space::KernelVirtual);
    }
    let phys_known = !tables.all_are(|segment| segment.phys == Some(0));
    if phys_known {
        spaces = spaces.with(Space::MachinePhysical);
    }
    let phys = Shared::new(Index::new(&tables.loads, |segment| segment.phys.filter(|_| phys_known)));
    if let Some(shift) = facts.geometry().page_shift {
        let ends = tables.loads.iter().filter_map(|segment| {
            segment.phys.filter(|_| phys_known).map(|phys| phys.saturating_add(segment.mem_size) >> shift)
        });
        facts.set_number("max_pfn", ends.max().unwrap_or(0))?;
    }
    for (path, bits) in [("file.pagemap", Bits::Stored), ("memory.pagemap", Bits::Memory)] {
        let map = PageMap { index: phys.clone(), bits, shift: facts.page_shift() };
        facts.set_bitmap(path, Bitmap::new(Shared::new(map)))?;
    }

    let found = sections::process(files, &header, facts)?;
    if let Some(xc_core) = xc_core::XcCore::new(opening.files, found, facts)? {
        return Ok(Some(Box::new(xc_core)));
    }
    let virt = (!tables.all_are(|segment| segment.virt == 0))
        .then(|| Index::new(&tables.loads, |segment| Some(segment.virt)));
    let linear_offset = tables.linear_offset().filter(|_| phys_known);
    Ok(Some(Box::new(Elf { files: opening.files.clone(), spaces, phys, virt, linear_offset })))
}

/// Whether the dump is a live `/proc/kcore` of a kernel that left VMCOREINFO
/// out of it (before 4.19). A caller that can tell such a file from others
/// finds the note through `/sys/kernel/vmcoreinfo`, reads it from the open
/// dump and hands it to [`notes::noarch`] and [`notes::arch`].
pub fn lacks_vmcoreinfo_of_running_kernel(facts: &Facts<'_>) -> bool {
    facts.is_set("linux.task_struct") && !facts.is_set("linux.vmcoreinfo.raw")
}

/// The program headers that matter, in file order.
#[derive(Default)]
struct Tables {
    loads: Vec<Segment>,
    /// Byte position and size of each segment of notes.
    notes: Vec<(u64, u64)>,
}

impl Tables {
    fn read(files: &FileSet, header: &Header) -> Result<Tables> {
        let mut tables = Tables::default();
        ProgramHeader::for_each(files, header, |found| {
            match found {
                ProgramHeader::Load(segment) => tables.loads.push(segment),
                ProgramHeader::Note { offset, size } => tables.notes.push((offset, size)),
            }
            Ok(())
        })?;
        Ok(tables)
    }

    /// Runs one pass over all notes.
    fn for_each_note(
        &self,
        files: &FileSet,
        facts: &mut Facts<'_>,
        mut pass: impl FnMut(&mut Facts<'_>, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut stored = StoredNotes::new(files, facts.byte_order());
        for &(offset, size) in &self.notes {
            stored.process((offset, size), unreadable_segment(offset), |bytes| pass(facts, bytes))?;
        }
        Ok(())
    }

    /// How far physical addresses are from virtual ones. Segments whose virtual
    /// address is 0 or the physical one (QEMU) do not say it.
    fn linear_offset(&self) -> Option<u64> {
        let offset = |segment: &Segment| {
            let phys = segment.phys.filter(|phys| segment.virt != 0 && *phys != segment.virt)?;
            Some(phys.wrapping_sub(segment.virt))
        };
        let mut offsets = self.loads.iter().filter_map(offset);
        let first = offsets.next()?;
        offsets.all(|offset| offset == first).then_some(first)
    }

    /// Whether there are several segments and all of them meet a condition
    /// that tells an unknown address. A single one may be at address 0.
    fn all_are(&self, condition: impl Fn(&Segment) -> bool) -> bool {
        self.loads.len() > 1 && self.loads.iter().all(condition)
    }
}

fn not_found() -> Error {
    Error::no_data("Page not found")
}

/// log2 of the page size to read with.
///
/// # Errors
/// `Invalid` before anybody said how large a page is.
fn page_shift(geometry: &Geometry) -> Result<u32> {
    geometry.page_shift.ok_or_else(|| Error::invalid("Page size is not known"))
}

impl Elf {
    /// The index for an address space; `None` if pages of it are translated.
    fn index(&self, space: Space) -> Option<&Index> {
        match space {
            Space::KernelVirtual => self.virt.as_ref(),
            Space::KernelPhysical | Space::MachinePhysical => Some(&self.phys),
        }
    }
}

impl Format for Elf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        self.spaces
    }

    fn locate(&self, geometry: &Geometry, address: Address) -> Result<Place> {
        let size = 1 << page_shift(geometry)?;
        let cover =
            self.index(address.space).map_or(Cover::Nothing, |index| index.cover(address.value, size));
        match cover {
            Cover::Whole(position) => Ok(Place::Stored { file: 0, position }),
            Cover::Part => Ok(Place::Filled),
            Cover::Memory if geometry.zero_excluded => Ok(Place::Filled),
            _ if address.space == Space::KernelVirtual => Ok(Place::Translate),
            _ => Err(not_found()),
        }
    }

    fn linear_offset(&self) -> Option<u64> {
        self.linear_offset
    }

    fn packing(&self, geometry: &Geometry, address: Address) -> Result<Packing> {
        // A page that has to be translated first is not known by this address.
        match self.locate(geometry, address)? {
            Place::Translate => Err(not_found()),
            Place::Stored { .. } | Place::Filled => {
                Ok(Packing { codec: None, size: 1 << page_shift(geometry)? })
            }
        }
    }

    fn fill(
        &self,
        geometry: &Geometry,
        address: Address,
        page: &mut [u8],
        _scratch: &mut Scratch,
    ) -> Result<Filled> {
        let index = self.index(address.space).ok_or_else(not_found)?;
        match index.cover(address.value, page.len() as u64) {
            Cover::Whole(_) | Cover::Part => {
                index.assemble(&self.files, address.value, page)?;
                Ok(Filled::Kept)
            }
            Cover::Memory if geometry.zero_excluded => {
                page.fill(0);
                Ok(Filled::Synthetic)
            }
            _ => Err(not_found()),
        }
    }
}
