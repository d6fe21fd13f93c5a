//! Live memory: a device whose positions are the kernel's physical addresses.
//!
//! No page is kept in the cache, because memory changes. A page is in a slot
//! only as long as it is being read.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{Address, Filled, Format, Opening, Place, Scratch, Space, Spaces};
use crate::attr::{Facts, Geometry};
use crate::error::{Error, Result, ResultExt};
use crate::io::{FileSet, Live, LiveKind, read_full};
use crate::notes;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "memory";

/// The longest note with VMCOREINFO that is believed; Linux has a page.
const VMCOREINFO_MAX: u64 = 1 << 20;

/// Where Linux maps its text on x86_64 (`__START_KERNEL_map`).
const X86_64_START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

/// What the text of Linux on x86_64 is aligned to at least (`CONFIG_PHYSICAL_ALIGN`).
const X86_64_TEXT_ALIGN: u64 = 0x20_0000;

/// An open memory device.
struct Memory {
    files: Shared<FileSet>,
}

/// Opens a memory device, if the first source says that it is one.
///
/// # Errors
/// `NotImplemented` (`Multiple files not implemented`); what asking Xen said.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    if files.count() == 0 {
        return Ok(None);
    }
    let Some(live) = files.raw_source(0).live().filter(|live| live.kind == LiveKind::Device) else {
        return Ok(None);
    };
    let facts = &mut opening.facts;
    facts.set_string("file.description", "Live memory source")?;
    facts.set_number("arch.byte_order", u64::from(!live.big_endian))?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    facts.set_number("arch.page_size", live.page_size)?;
    if let Some(arch) = live.arch {
        facts.set_string("arch.name", arch)?;
    }
    if let Some(xen) = live.xen.clone()? {
        facts.set_number("xen.type", if xen.control { 1 } else { 2 })?;
        facts.set_number("xen.xlat", xen.paravirtualized.into())?;
    }
    // A system that does not tell is no reason not to read its memory.
    let memory = Memory { files: files.clone() };
    let _ = tell_vmcoreinfo(&live, facts, |address, bytes| memory.read(address, bytes));
    let _ = tell_phys_base(&live, facts);
    Ok(Some(Box::new(memory)))
}

/// Sets what the note with VMCOREINFO says, which `read` reads by its physical
/// address; nothing if the system does not say where the note is.
///
/// # Errors
/// Those of `read` and of the note; `Corrupt` for a note that is too large.
pub fn tell_vmcoreinfo(
    live: &Live,
    facts: &mut Facts<'_>,
    read: impl FnOnce(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let Some((address, size)) = live.vmcoreinfo else { return Ok(()) };
    if size > VMCOREINFO_MAX {
        return Err(Error::corrupt(format!("VMCOREINFO of {size} bytes")));
    }
    let mut note: Vec<u8> = alloc::vec![0; size as usize];
    read(address, &mut note)?;
    notes::noarch(facts, &note)?;
    notes::arch(facts, &note)
}

/// Sets `linux.phys_base` of x86_64 from where the kernel's code is, unless
/// VMCOREINFO told.
fn tell_phys_base(live: &Live, facts: &mut Facts<'_>) -> Result<()> {
    if live.arch != Some("x86_64") || facts.is_set("linux.phys_base") {
        return Ok(());
    }
    let symbol = |name| facts.number(&format!("linux.vmcoreinfo.SYMBOL.{name}"));
    let text = symbol("_stext").or_else(|| symbol("_text"));
    if let (Some(start), Some(text)) = (live.kernel_code()?, text) {
        facts.set_address("linux.phys_base", phys_base_x86_64(start, text))?;
    }
    Ok(())
}

/// What Linux on x86_64 calls `phys_base`: the physical address of the kernel's
/// code is `code`, and `text` the virtual address of `_stext` or `_text`.
pub fn phys_base_x86_64(code: u64, text: u64) -> u64 {
    let text = text & !(X86_64_TEXT_ALIGN - 1);
    code.wrapping_sub(text.wrapping_sub(X86_64_START_KERNEL_MAP))
}

impl Memory {
    /// Reads all of `bytes`.
    fn read(&self, address: u64, bytes: &mut [u8]) -> Result<()> {
        let source = &**self.files.raw_source(0);
        let done = read_full(source, address, bytes).context(|| "Cannot read memory device")?;
        match done == bytes.len() {
            true => Ok(()),
            // A device ends where memory does.
            false => Err(Error::no_data("No memory there").context("Cannot read memory device")),
        }
    }
}

impl Format for Memory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::KernelPhysical)
    }

    fn locate(&self, _: &Geometry, _: Address) -> Result<Place> {
        Ok(Place::Filled)
    }

    fn fill(&self, _: &Geometry, address: Address, page: &mut [u8], _: &mut Scratch) -> Result<Filled> {
        self.read(address.value, page)?;
        // It is another page by the next read.
        Ok(Filled::Synthetic)
    }
}
