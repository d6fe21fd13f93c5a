//! LoongArch of 64 bits (reference manual volume 1, "Multi-level page table
//! structure", and the flags that Linux adds).

use super::{Check, Entry, Format, LINUX_ENTRIES};
use crate::xlat::error::Result;
use crate::xlat::step::mask;

pub(super) const LOONGARCH64: Format = Format {
    name: "loongarch64",
    shift: Some(3),
    // Half of the addresses that a machine has are the kernel's, and all of them
    // may be mapped: the tables need not have the bit that tells the halves.
    check: Check::SignedFrom(48),
    order: None,
    targets: &["Page", "Page table", "Page directory", "Page upper directory", "Page global directory"],
    entries: LINUX_ENTRIES,
    next,
};

/// A directory entry maps a huge page.
const HUGE: u64 = 1 << 6;
/// Linux: there is a page.
const PRESENT: u64 = 1 << 7;
/// Linux: there is a page that nobody may touch.
const PROTNONE: u64 = 1 << 10;
/// Address bits 47:12; for a directory, below a direct window.
const PHYS: u64 = 0x0000_ffff_ffff_f000;

fn next(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    let present = pte & (PRESENT | PROTNONE) != 0;
    if entry.r > 1 {
        // Empty directories point to a table of invalid entries, never to 0.
        if pte & HUGE == 0 {
            if pte == 0 {
                return Err(entry.not_present());
            }
            return entry.go_to_table(pte & PHYS);
        }
        if present {
            let offset = mask(entry.span());
            return entry.go_to_huge_page(pte & PHYS & !offset);
        }
    }
    if !present {
        return Err(entry.not_present());
    }
    entry.go_to_page(pte & PHYS & !mask(entry.field(0)))
}
