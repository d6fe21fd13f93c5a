//! The array of page structures on ppc64 with a hash table.
//!
//! It is mapped by bolted entries of the hash table only. Linux keeps a list of
//! its parts for who reads dumps (`struct vmemmap_backing`,
//! `arch/powerpc/include/asm/pgalloc.h`).

use alloc::vec::Vec;

use super::Setup;
use super::ppc64::if_there;
use super::setup::Known;
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Lookup, LookupElem, Method};
use crate::xlat::step::mask;
use crate::xlat::types::{AddrSpace, FullAddr};

/// log2 of the size of a part where the kernel does not tell.
const SHIFT_DEFAULT: u32 = 16;
/// Page sizes are between 4 KiB and 16 GiB.
const SHIFTS: core::ops::RangeInclusive<u32> = 12..=34;
/// More than any machine has: with the smallest parts of 64 KiB, pages of
/// 64 KiB and 64 bytes for each, this is memory of 64 TiB.
const PARTS_MAX: usize = 1 << 20;

/// Sets [`MethodIndex::VMEMMAP`] up from the list, if it is known. Virtual
/// addresses are from `orig_min` on. Returns the first and the last address of
/// the parts, if there are any.
pub(super) fn set_up(setup: &mut Setup<'_>, orig_min: u64) -> Result<Option<(u64, u64)>> {
    let Some(parts) = read_list(setup, orig_min).known()? else { return Ok(None) };
    let endoff = mask(page_shift(setup)?);
    let first = parts.iter().map(|part| part.orig).min();
    let last = parts.iter().map(|part| part.orig.saturating_add(endoff)).max();
    let method = Method::lookup(AddrSpace::KPHYS, Lookup::new(endoff, parts));
    setup.sys.set_method(MethodIndex::VMEMMAP, method);
    Ok(first.zip(last))
}

fn read_list(setup: &Setup<'_>, orig_min: u64) -> Result<Vec<LookupElem>> {
    const NAME: &str = "vmemmap_backing";

    let head = setup.ctx.symbol_value("vmemmap_list")?;
    let list = setup.ctx.symbol_offset(NAME, "list")?;
    let phys = setup.ctx.symbol_offset(NAME, "phys")?;
    let virt = setup.ctx.symbol_offset(NAME, "virt_addr")?;
    let mut elem = setup.read_u64(FullAddr::kvirt(head), "vmemmap_list")?;
    let mut parts = Vec::new();
    // A list that comes back to an element from which it was followed 1, 2, 4
    // ... elements further is a ring.
    let (mut mark, mut power) = (elem, 1_usize);
    while elem != 0 {
        let member = |offset| FullAddr::kvirt(elem).offset(offset);
        let phys = setup.read_u64(member(phys), "vmemmap phys")?;
        let virt = setup.read_u64(member(virt), "vmemmap virt")?;
        let next = setup.read_u64(member(list), "vmemmap list")?;
        parts
            .try_reserve(1)
            .map_err(|_| Error::new(Status::NoMemory, "Cannot allocate VMEMMAP translation"))?;
        parts.push(part(phys, virt, orig_min));
        if next == mark || parts.len() >= PARTS_MAX {
            return Err(Error::no_data("Endless vmemmap_list"));
        }
        if parts.len() == power {
            (mark, power) = (next, power.saturating_mul(2));
        }
        elem = next;
    }
    Ok(parts)
}

/// Which of the two is the virtual address is decided by the values: callers
/// that work with other readers have the members the wrong way round.
const fn part(phys: u64, virt: u64, orig_min: u64) -> LookupElem {
    if virt >= orig_min && phys < orig_min {
        LookupElem { orig: virt, dest: phys }
    } else {
        LookupElem { orig: phys, dest: virt }
    }
}

/// log2 of the size of a part: the page size of the mapping.
fn page_shift(setup: &Setup<'_>) -> Result<u32> {
    let shift = match known_page_shift(setup).known()? {
        Some((sizes, index, size, offset)) => {
            let index = if_there(setup.read_u32(FullAddr::kvirt(index), "mmu_vmemmap_psize"))?;
            let def = index.map(|index| sizes.wrapping_add(u64::from(index).wrapping_mul(size)));
            let addr = def.map(|def| FullAddr::kvirt(def).offset(offset));
            addr.map_or(Ok(None), |addr| if_there(setup.read_u32(addr, "mmu_psize_def shift")))?
        }
        None => None,
    };
    Ok(shift.filter(|shift| SHIFTS.contains(shift)).unwrap_or(SHIFT_DEFAULT))
}

/// The table of page sizes, the number of the one in use, the size of an
/// element and the offset of its shift.
fn known_page_shift(setup: &Setup<'_>) -> Result<(u64, u64, u64, u64)> {
    Ok((
        setup.ctx.symbol_value("mmu_psize_defs")?,
        setup.ctx.symbol_value("mmu_vmemmap_psize")?,
        setup.ctx.symbol_size("mmu_psize_def")?,
        setup.ctx.symbol_offset("mmu_psize_def", "shift")?,
    ))
}
