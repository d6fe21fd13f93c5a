//! LoongArch of 64 bits.
//!
//! ```text
//!   0000...   user, by page table
//!   8000...   direct windows: the low 48 bits are the physical address
//!   9000...     that of cached memory, which has the kernel, too
//!   c000...   vmalloc and modules, by page table (from ffff8000... on)
//! ```
//!
//! Directory entries hold addresses in the window of cached memory, and those of
//! empty directories point to tables of invalid entries. So the depth of the
//! tables is seen by following their first entries.
//!
//! Sources: LoongArch reference manual, volume 1, "Direct mapping address
//! translation mode"; Documentation/arch/loongarch/introduction.rst, "Relationship
//! of addresses".

use alloc::format;

use super::linear::{Optional, paging_form};
use super::setup::{Explain, Known, Region, Setup, mask};
use super::{OsType, Result};
use crate::xlat::error::Error;
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// The bits of a physical address in a direct window.
const WINDOW_BITS: u16 = 48;
/// All direct windows.
const WINDOWS: (u64, u64) = (0x8000_0000_0000_0000, 0xbfff_ffff_ffff_ffff);
/// The window of cached memory: the direct mapping.
const CACHED: u64 = 0x9000_0000_0000_0000;
/// Addresses of the kernel that are translated by its page table.
const MAPPED: u64 = 0xc000_0000_0000_0000;
/// Most machines have addresses of 48 bits, half of which are the kernel's.
const USER_BITS: u64 = 47;
/// The size of pages and the depth of tables unless told otherwise.
const DEFAULT_PAGE_SHIFT: u64 = 14;
const DEFAULT_LEVELS: u64 = 3;
/// Tables may be this deep (with pages of 4 KiB).
const LEVELS_MAX: u64 = 4;

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    let page_shift = setup.options.page_shift.unwrap_or(DEFAULT_PAGE_SHIFT);
    if !matches!(page_shift, 12 | 14 | 16) {
        return Err(Error::not_implemented(format!("Unsupported page shift: {page_shift}")));
    }
    setup.set_physmaps(mask(u32::from(WINDOW_BITS)))?;
    let direct = Region::direct(CACHED, CACHED | mask(u32::from(WINDOW_BITS)));
    // All there is to a window is to cut the high bits off.
    let cut = PagingForm::new(PteFormat::None, &[WINDOW_BITS])?;
    let windows = Method::page_table(AddrSpace::KPHYS, PageTable::new(FullAddr::kphys(0), cut));
    setup.sys.set_method(MethodIndex::KTEXT, windows);
    setup.layout(MapIndex::KvPhys, &[direct])?;

    let root = match setup.options.root {
        None if setup.os() == OsType::Linux => {
            let symbol = setup.ctx.symbol_value("swapper_pg_dir").known();
            let root = symbol.explain("Cannot determine page table virtual address")?;
            root.map_or(FullAddr::NONE, FullAddr::kvirt)
        }
        root => root.unwrap_or(FullAddr::NONE),
    };
    let levels = match setup.options.virt_bits {
        // Half a table more or less is a matter of the machine.
        Some(bits) => bits.saturating_sub(page_shift) / (page_shift - 3),
        None => depth(setup, root, page_shift)?.unwrap_or(DEFAULT_LEVELS),
    };
    let bits = levels.saturating_mul(page_shift - 3).saturating_add(page_shift);
    if !(1..=LEVELS_MAX).contains(&levels) || bits > 64 {
        let bits = setup.options.virt_bits.unwrap_or(bits);
        return Err(Error::not_implemented(format!("{bits}-bit virtual addresses not implemented")));
    }
    let form = paging_form(PteFormat::LoongArch64, page_shift, bits)?;
    let table = |root| Method::page_table(AddrSpace::MACHPHYS, PageTable::new(root, form));
    setup.sys.set_method(MethodIndex::PGT, table(root));
    setup.sys.set_method(MethodIndex::UPGT, table(FullAddr::NONE));

    let user = mask(bits.min(USER_BITS) as u32);
    let hardware = [
        Region::new(0, user, MethodIndex::UPGT),
        Region::new(WINDOWS.0, WINDOWS.1, MethodIndex::KTEXT),
        Region::new(MAPPED, u64::MAX, MethodIndex::PGT),
    ];
    setup.layout(MapIndex::Hw, &hardware)?;
    setup.layout(MapIndex::KvPhys, &hardware)?;
    setup.layout(MapIndex::KvPhys, &[direct])
}

/// How many levels the tables at `root` have: one more than there are pointers
/// to tables in a row. None if that cannot be seen.
fn depth(setup: &Setup<'_>, root: FullAddr, page_shift: u64) -> Result<Option<u64>> {
    if root.space == AddrSpace::NOADDR {
        return Ok(None);
    }
    let page = mask(page_shift as u32);
    let is_pointer = |entry: u64| (WINDOWS.0..=WINDOWS.1).contains(&entry) && entry & page == 0;
    let mut table = root;
    for levels in 1..=LEVELS_MAX {
        let entry = |index: u64| setup.read_u64(table.offset(index * 8), "PTE").optional();
        let (Some(first), Some(second)) = (entry(0)?, entry(1)?) else {
            return Ok(None);
        };
        // In a directory all entries are pointers.
        match (is_pointer(first), is_pointer(second)) {
            (true, true) => table = FullAddr::kphys(first & mask(u32::from(WINDOW_BITS))),
            (false, false) if levels > 1 => return Ok(Some(levels)),
            _ => return Ok(None),
        }
    }
    Ok(None)
}
