//! x86: 32 bits with and without PAE, and 64 bits (Intel SDM volume 3,
//! chapter "Paging"; AMD APM volume 2 for PSE-36).

use super::{Check, Entry, Format, LINUX_ENTRIES};
use crate::xlat::error::Result;
use crate::xlat::step::mask;

pub(super) const IA32: Format = Format {
    name: "ia32",
    shift: Some(2),
    check: Check::Unsigned,
    order: None,
    targets: &["Page", "Page table", "Page directory"],
    entries: &["pte", "pgd"],
    next: ia32,
};

pub(super) const IA32_PAE: Format = Format {
    name: "ia32_pae",
    shift: Some(3),
    check: Check::Unsigned,
    order: None,
    targets: &["Page", "Page table", "Page directory", "PDPT table"],
    entries: &["pte", "pmd", "pgd"],
    next: ia32_pae,
};

pub(super) const X86_64: Format = Format {
    name: "x86_64",
    shift: Some(3),
    check: Check::Signed,
    order: None,
    targets: &["Page", "Page table", "Page directory", "PDPT table", "PML4 table", "PML5 table"],
    entries: LINUX_ENTRIES,
    next: x86_64,
};

/// The entry is valid.
const PRESENT: u64 = 1 << 0;
/// The entry of a directory maps a page.
const PS: u64 = 1 << 7;
/// Where physical addresses are in 64-bit entries; all above are flags.
const PHYS: u64 = mask(52);

fn ia32(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    if pte & PRESENT == 0 {
        return Err(entry.not_present());
    }
    if entry.r == 2 && pte & PS != 0 {
        // Bit 21 is reserved as long as addresses have 40 bits.
        entry.refuse_if(pte & 1 << 21 != 0)?;
        // PSE-36: address bits 39:32 stand in bits 20:13.
        let high = (pte >> 13) & 0xff;
        return entry.go_to_huge_page((pte & !mask(22)) | high << 32);
    }
    entry.go_on(pte & !mask(12))
}

fn ia32_pae(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    let large = entry.r == 2;
    long_mode(entry, pte, large)
}

fn x86_64(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    let large = matches!(entry.r, 2 | 3);
    long_mode(entry, pte, large)
}

/// An entry of 64 bits; `large` says whether its level can map a page.
fn long_mode(entry: &mut Entry<'_, '_>, pte: u64, large: bool) -> Result<()> {
    if pte & PRESENT == 0 {
        return Err(entry.not_present());
    }
    let phys = pte & PHYS;
    if entry.r > 1 && pte & PS != 0 {
        // Above the level of 1 GiB pages the bit is reserved.
        entry.refuse_if(!large)?;
        if large {
            let offset = if entry.r == 2 { mask(21) } else { mask(30) };
            // Bit 12 is PAT here.
            entry.refuse_if(phys & offset & !mask(13) != 0)?;
            return entry.go_to_huge_page(phys & !offset);
        }
    }
    entry.go_on(phys & !mask(12))
}
