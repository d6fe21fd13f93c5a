//! VMSAv8-64 descriptors, also with 52-bit addresses, and AArch32 long
//! descriptors, which differ in the width of addresses only (Arm ARM, chapters
//! "VMSAv8-64" and "Long-descriptor translation table format").

use super::{Check, Entry, Format, LINUX_ENTRIES};
use crate::xlat::error::Result;
use crate::xlat::step::mask;

pub(super) const AARCH64: Format = Format {
    name: "aarch64",
    shift: Some(3),
    check: Check::Generic,
    order: None,
    targets: &["Page", "Level 3 table", "Level 2 table", "Level 1 table", "Level 0 table", "Level -1 table"],
    entries: LINUX_ENTRIES,
    // 1 GiB blocks.
    next: |entry, pte| descriptor(entry, pte, pte & mask(48), 30),
};

pub(super) const LPA: Format = Format {
    name: "aarch64_lpa",
    // Bits 51:48 of the address stand in bits 15:12. 4 TiB blocks.
    next: |entry, pte| descriptor(entry, pte, (pte & mask(48)) | ((pte >> 12) & 0xf) << 48, 42),
    ..AARCH64
};

pub(super) const LPA2: Format = Format {
    name: "aarch64_lpa2",
    // Bits 51:50 of the address stand in bits 9:8. 512 GiB blocks.
    next: |entry, pte| descriptor(entry, pte, (pte & mask(50)) | ((pte >> 8) & 0x3) << 50, 39),
    ..AARCH64
};

pub(super) const ARM_LPAE: Format = Format {
    name: "arm_lpae",
    targets: &["Page", "Level 3 table", "Level 2 table", "Level 1 table"],
    entries: &["pte", "pmd", "pgd"],
    // 1 GiB blocks.
    next: |entry, pte| descriptor(entry, pte, pte & mask(40), 30),
    ..AARCH64
};

/// The descriptor is valid.
const VALID: u64 = 1 << 0;
/// It is a table or a page, and no block.
const TABLE: u64 = 1 << 1;

/// `addr` is the output address with whatever flags are below it; `max_block`
/// is log2 of the bytes of the largest block.
fn descriptor(entry: &mut Entry<'_, '_>, pte: u64, addr: u64, max_block: u32) -> Result<()> {
    if pte & VALID == 0 {
        return Err(entry.not_present());
    }
    let span = entry.span();
    if pte & TABLE == 0 {
        if entry.r == 1 || span > max_block {
            return Err(entry.invalid());
        }
        return entry.go_to_huge_page(addr & !mask(span));
    }
    entry.go_on(addr & !mask(entry.field(0)))
}
