//! Dynamic address translation of z/Architecture (Principles of Operation,
//! "Dynamic Address Translation"); bits are counted from the least significant.

use alloc::format;

use super::{Check, Entry, Format, name};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::step::{mask, shr};

pub(super) const S390X: Format = Format {
    name: "s390x",
    shift: Some(3),
    check: Check::Unsigned,
    order: None,
    targets: &["Page", "Page table", "Segment table", "Region 3 table", "Region 2 table", "Region 1 table"],
    entries: &["pte", "pmd", "pud", "pgd", "rg1"],
    next,
};

/// A region or segment entry is invalid.
const I_TABLE: u64 = 1 << 5;
/// A page-table entry is invalid.
const I_PAGE: u64 = 1 << 10;
/// A segment or region-third entry maps a large page.
const FC: u64 = 1 << 10;
/// log2 of the parts of a region or segment table that may be missing at either
/// end.
pub(super) const TABLE_PARTS: u32 = 2;
/// Must be zero in a page-table entry.
const PAGE_ZERO: u64 = 1 << 11;

fn next(entry: &mut Entry<'_, '_>, pte: u64) -> Result<()> {
    let r = entry.r;
    let invalid = if r > 1 { I_TABLE } else { I_PAGE };
    if pte & invalid != 0 {
        return Err(entry.not_present());
    }
    if r == 1 {
        entry.refuse_if(pte & PAGE_ZERO != 0)?;
        return entry.go_to_page(pte & !mask(12));
    }
    // Segment table 0, region-third 1, region-second 2, region-first 3.
    let table_type = (pte >> 2) & 3;
    if table_type != (r - 2) as u64 {
        return Err(Error::invalid(format!(
            "Table type field {table_type} in {}",
            name(entry.format.targets, r)
        )));
    }
    match r {
        2 if pte & FC != 0 => entry.go_to_huge_page(pte & !mask(20)),
        2 => entry.go_to_table(pte & !mask(11)),
        3 if pte & FC != 0 => entry.go_to_huge_page(pte & !mask(31)),
        _ => {
            // The table exists from its first to its last block of 512 entries.
            let (first, last) = ((pte >> 6) & 3, pte & 3);
            let index = entry.step.index(r - 1);
            let block = shr(index, entry.field(r - 1).saturating_sub(TABLE_PARTS));
            if block < first || block > last {
                if entry.walker.quiet {
                    return Err(Error::bare(Status::NotPresent));
                }
                return Err(Error::not_present(format!(
                    "{} index {} not within {first} and {last}",
                    entry.target_name(),
                    index as u32
                )));
            }
            entry.go_to_table(pte & !mask(12))
        }
    }
}
