//! POWER: Linux tables of hash kernels up to 3.9 and from 4.10 on (those between
//! are in `ppc64_hash.rs`), and radix trees (Power ISA 3.0, "Radix Tree
//! Translation").

use alloc::format;

use super::{Check, Entry, Format};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::step::{mask, shl, shr};
use crate::xlat::types::{AddrSpace, ByteOrder, FullAddr};

pub(super) const LINUX_RPN30: Format = Format {
    name: "ppc64_linux_rpn30",
    shift: Some(3),
    check: Check::Generic,
    order: None,
    targets: &["Page", "Page table", "Page middle directory", "Page upper directory"],
    entries: &["pte", "pmd", "pud", "pgd"],
    next: linux_rpn30,
};

pub(super) const RADIX: Format = Format {
    name: "ppc64_radix",
    // Also on little-endian kernels.
    order: Some(ByteOrder::Big),
    targets: &["Page", "Page table", "Level 3 table", "Level 2 table", "Level 1 table"],
    next: radix,
    ..LINUX_RPN30
};

pub(super) const LINUX_HASH: Format =
    Format { name: "ppc64_linux_hash", targets: LINUX_RPN30.targets, next: linux_hash, ..RADIX };

/// The real page number of a Linux entry starts here.
const RPN_SHIFT: u32 = 30;
/// A directory entry points to a table; without it, to huge page entries.
const PD_TABLE: u64 = 1 << 63;
/// The flags of a huge page directory entry.
pub(super) const HUGEPD_FLAGS: u64 = 0x3f;
/// Page shifts by the size code of a huge page directory, before 4.7.
pub(super) const HUGEPD_SHIFTS: &[u32] = &[12, 14, 16, 16, 18, 20, 22, 23, 24, 26, 28, 30, 34, 36];
/// The same with 2 MiB (since 4.7) and 512 KiB (since 4.10).
const HASH_HUGEPD_SHIFTS: &[u32] = &[12, 14, 16, 16, 18, 19, 20, 21, 22, 23, 24, 26, 28, 30, 34, 36];

fn linux_rpn30(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    let r = entry.r;
    if pte == 0 {
        return Err(none(entry));
    }
    let frame = shl(pte >> RPN_SHIFT, entry.field(0));
    if r == 1 {
        return entry.go_to_page(frame);
    }
    if pte & 3 != 0 {
        return entry.go_to_huge_page(frame);
    }
    if pte & PD_TABLE == 0 {
        let place = FullAddr::new(AddrSpace::KVIRT, (pte & !HUGEPD_FLAGS) | PD_TABLE);
        return huge_page_directory(entry, pte, place, HUGEPD_SHIFTS);
    }
    // Tables lie in the direct mapping, aligned to their size.
    let size = shl(8, entry.field(r - 1));
    entry.step.base = FullAddr::new(AddrSpace::KVIRT, pte & !size.wrapping_sub(1));
    Ok(())
}

/// An entry of Linux that holds nothing.
pub(super) fn none(entry: &Entry<'_, '_>) -> Error {
    if entry.walker.quiet {
        return Error::bare(Status::NotPresent);
    }
    Error::not_present(format!("{}[{}] is none", entry.entry_name(), entry.index()))
}

/// The pages below are huge, and have a table of their own at `place`. The code
/// in the entry says which of `shifts` theirs is.
pub(super) fn huge_page_directory(
    entry: &mut Entry<'_, '_>,
    pte: u64,
    place: FullAddr,
    shifts: &[u32],
) -> Result<()> {
    let code = (pte & HUGEPD_FLAGS) >> 2;
    let Some(&shift) = usize::try_from(code).ok().and_then(|code| shifts.get(code)) else {
        return Err(Error::invalid("Invalid hugepd shift"));
    };
    let form = &entry.table.form;
    let offset =
        (1..entry.r).fold(0, |offset, level| offset | shl(entry.step.index(level), form.span(level)));
    // A page may be larger than what this entry maps: the entry beside it is
    // about another one.
    let leaf_bits = shift.min(entry.span());
    let step = &mut *entry.step;
    step.base = place;
    step.idx[1] = shr(offset, shift);
    step.idx[0] |= offset & mask(shift);
    step.remain = 2;
    step.leaf_bits = leaf_bits;
    Ok(())
}

/// The entry is valid. In a directory of a hash kernel it says nothing.
const PRESENT: u64 = 1 << 63;
/// The entry maps a page.
const LEAF: u64 = 1 << 62;
/// What is no part of the address of the next table, or of huge page entries.
const HASH_FLAGS: u64 = 0xc000_0000_0000_00ff;
/// Address bits of a huge page directory.
const HASH_HUGEPD: u64 = 0x0fff_ffff_ffff_ffc0;

fn linux_hash(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    if pte == 0 {
        return Err(none(entry));
    }
    if entry.r > 1 && pte & LEAF == 0 {
        if pte & HUGEPD_FLAGS != 0 {
            let place = entry.target(pte & HASH_HUGEPD);
            return huge_page_directory(entry, pte, place, HASH_HUGEPD_SHIFTS);
        }
        return entry.go_to_table(pte & !HASH_FLAGS);
    }
    if pte & PRESENT == 0 {
        return Err(entry.not_present());
    }
    // The frame stands in place, up to bit 52.
    let frame = pte & mask(53);
    if entry.r > 1 {
        let page = frame & !mask(entry.span());
        return entry.go_to_huge_page(page);
    }
    let page = frame & !mask(entry.field(0));
    entry.go_to_page(page)
}

/// Address bits 56:12 of a page.
const RADIX_PAGE: u64 = 0x01ff_ffff_ffff_f000;
/// Address bits 59:8 of the next table.
const RADIX_TABLE: u64 = 0x0fff_ffff_ffff_ff00;

fn radix(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    if pte & PRESENT == 0 {
        return Err(entry.not_present());
    }
    match (entry.r, pte & LEAF != 0) {
        (1, false) => Err(entry.invalid()),
        (1, true) => {
            let page = pte & RADIX_PAGE & !mask(entry.field(0));
            entry.go_to_page(page)
        }
        (_, true) => {
            let offset = mask(entry.span());
            entry.refuse_if(pte & RADIX_PAGE & offset != 0)?;
            entry.go_to_huge_page(pte & RADIX_PAGE & !offset)
        }
        (_, false) => {
            // The size of the next table in bits must be what the form says.
            entry.refuse_if(pte & 0x1f != u64::from(entry.field(entry.r - 1)))?;
            entry.go_to_table(pte & RADIX_TABLE)
        }
    }
}
