//! RISC-V Sv32 to Sv57, with Svnapot and Svpbmt (privileged architecture,
//! "Supervisor-Level ISA").

use super::{Check, Entry, Format, LINUX_ENTRIES};
use crate::xlat::error::Result;
use crate::xlat::step::{mask, shl};

pub(super) const RISCV64: Format = Format {
    name: "riscv64",
    shift: Some(3),
    check: Check::Signed,
    order: None,
    targets: &["Page", "Level 0 table", "Level 1 table", "Level 2 table", "Level 3 table", "Level 4 table"],
    entries: LINUX_ENTRIES,
    next: riscv64,
};

pub(super) const RISCV32: Format = Format {
    name: "riscv32",
    shift: Some(2),
    check: Check::Unsigned,
    entries: &["pte", "pgd"],
    // The frame number takes all the bits above the flags: 34-bit addresses.
    next: |entry, pte| common(entry, pte, (pte >> 10) << PAGE_SHIFT),
    ..RISCV64
};

const PAGE_SHIFT: u32 = 12;
/// The entry is valid.
const V: u64 = 1 << 0;
/// Readable.
const R: u64 = 1 << 1;
/// Writable.
const W: u64 = 1 << 2;
/// Executable.
const X: u64 = 1 << 3;
/// Svnapot: the entry is one of several in a row for one larger page.
const N: u64 = 1 << 63;
/// Reserved; bits 62:61 are the memory type of Svpbmt.
const RESERVED: u64 = 0x1fc0_0000_0000_0000;

fn riscv64(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    let ppn = (pte & mask(54)) >> 10;
    let leaf = pte & (R | W | X) != 0;
    if pte & V != 0 {
        entry.refuse_if(pte & RESERVED != 0 || (!leaf || entry.r > 1) && pte & N != 0)?;
        if entry.r == 1 && leaf && pte & N != 0 {
            // 64 KiB is the only size there is: 16 entries, frame number ending
            // in 1000b. Other patterns are reserved; old cores of T-Head have a
            // memory type here.
            if ppn & 0xf == 0x8 {
                let page = (ppn & !0xf) << PAGE_SHIFT;
                let repeated = shl(entry.step.index(1) & 0xf, entry.field(0));
                entry.step.idx[0] = entry.step.idx[0].wrapping_add(repeated);
                // The other entries of the page say the same, unless they lie.
                return entry.go_to_page(page);
            }
            entry.refuse_if(true)?;
        }
    }
    common(entry, pte, ppn << PAGE_SHIFT)
}

fn common(entry: &mut Entry<'_, '_>, pte: u64, addr: u64) -> Result<()> {
    if pte & V == 0 {
        return Err(entry.not_present());
    }
    let leaf = pte & (R | W | X) != 0;
    entry.refuse_if(leaf && pte & (R | W) == W)?;
    match (entry.r, leaf) {
        (1, false) => Err(entry.invalid()),
        (1, true) => entry.go_to_page(addr),
        (_, false) => entry.go_to_table(addr),
        (_, true) => {
            let offset = mask(entry.span());
            entry.refuse_if(addr & offset != 0)?;
            entry.go_to_huge_page(addr & !offset)
        }
    }
}
