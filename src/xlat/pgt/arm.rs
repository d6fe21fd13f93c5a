//! AArch32 short descriptors (Arm ARM for ARMv7-A, "Short-descriptor
//! translation table format").

use super::{Check, Entry, Format};
use crate::xlat::error::Result;
use crate::xlat::step::{mask, shl};

pub(super) const ARM: Format = Format {
    name: "arm",
    shift: Some(2),
    check: Check::Generic,
    order: None,
    targets: &["Page", "Level 2 table", "Level 1 table"],
    entries: &["pte", "pgd"],
    next,
};

/// The entry of the first level is a supersection of 16 MiB.
const SUPERSECTION: u64 = 1 << 18;

fn next(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    match (entry.r, pte & 3) {
        (_, 0) => Err(entry.not_present()),
        (1, 1) => {
            // 16 entries in a row for one page of 64 KiB: the low bits of the
            // index are part of the offset. Each speaks for its part only, as
            // those of a hostile dump may differ.
            merge(entry, 0);
            entry.go_to_page(pte & !mask(16))
        }
        (1, _) => entry.go_to_page(pte & !mask(12)),
        (2, 1) => entry.go_to_table(pte & !mask(10)),
        (2, _) if pte & SUPERSECTION != 0 => {
            // 16 entries in a row, with address bits 39:36 in bits 8:5 and
            // 35:32 in bits 23:20.
            merge(entry, 1);
            let high = ((pte >> 20) & 0xf) << 32 | ((pte >> 5) & 0xf) << 36;
            entry.go_to_huge_page((pte & !mask(24)) | high)
        }
        (2, _) => entry.go_to_huge_page(pte & !mask(20)),
        _ => Err(entry.invalid()),
    }
}

/// Adds the low four bits of the index above `level` to the index of `level`.
fn merge(entry: &mut Entry<'_, '_>, level: usize) {
    let repeated = shl(entry.step.index(level + 1) & 0xf, entry.field(level));
    if let Some(index) = entry.step.idx.get_mut(level) {
        *index = index.wrapping_add(repeated);
    }
}
