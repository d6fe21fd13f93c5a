//! Trees whose entries are plain frame numbers (Xen's physical-to-machine map).

use alloc::format;

use super::{Check, Entry, Format};
use crate::xlat::error::{Error, Result};
use crate::xlat::step::shl;

pub(super) const PFN32: Format = Format {
    name: "pfn32",
    shift: Some(2),
    check: Check::Unsigned,
    order: None,
    targets: &[],
    entries: &[],
    next,
};

pub(super) const PFN64: Format = Format { name: "pfn64", shift: Some(3), ..PFN32 };

fn next(entry: &mut Entry<'_, '_>, pfn: u64) -> Result<()> {
    // Frame 0 cannot be told from nothing.
    if pfn == 0 {
        return Err(Error::not_present(format!("Level-{} PFN not present", entry.r)));
    }
    let frame = shl(pfn, entry.field(0));
    entry.go_on(frame)
}
