//! x86_64: page tables of four or five levels, and what lives in them.
//!
//! | levels | lower half | upper half |
//! | --- | --- | --- |
//! | 4 | to `00007fffffffffff` | from `ffff800000000000` |
//! | 5 | to `00ffffffffffffff` | from `ff00000000000000` |

mod linux;
mod text;
mod xen;
mod xen_domain;

use alloc::format;

use super::{OsType, Region, Setup, linux_version, mask};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// The size of physical addresses in bits (AMD64 manual, volume 2, 5.3).
const PHYS_BITS: u32 = 52;
/// CR4.LA57: page tables have five levels.
const CR4_LA57: u64 = 1 << 12;
/// 5-level paging came with this kernel.
const FIVE_LEVELS_SINCE: u64 = linux_version(4, 13, 0);

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    match virt_bits(setup) {
        Ok(bits) => set_up(setup, bits),
        Err(error) if error.status() == Status::NoData => try_both(setup, error),
        Err(error) => Err(error),
    }
}

/// Nothing says how many levels there are: the number is right with which the
/// page tables of a kernel agree with themselves. `error` says that neither is.
fn try_both(setup: &mut Setup<'_>, error: Error) -> Result<()> {
    for bits in [48, 57] {
        let consistent = set_up(setup, bits).and_then(|()| linux::is_consistent(setup));
        match consistent {
            Ok(true) => return Ok(()),
            Err(busy) if busy.status() == Status::BUSY => return Err(busy),
            _ => super::clear(setup.sys),
        }
    }
    Err(error)
}

fn set_up(setup: &mut Setup<'_>, bits: u64) -> Result<()> {
    let (fields, lower_end, upper_start): (&[u16], u64, u64) = match bits {
        48 => (&[12, 9, 9, 9, 9], mask(47), !mask(47)),
        57 => (&[12, 9, 9, 9, 9, 9], mask(56), !mask(56)),
        _ => return Err(Error::not_implemented(format!("{bits}-bit virtual addresses not implemented"))),
    };
    let form = PagingForm::new(PteFormat::X86_64, fields)?;
    let root = setup.options.root.unwrap_or(FullAddr::NONE);
    let pgt = Method::page_table(AddrSpace::MACHPHYS, PageTable::new(root, form));
    setup.sys.set_method(MethodIndex::PGT, pgt);

    let halves =
        [Region::new(0, lower_end, MethodIndex::PGT), Region::new(upper_start, u64::MAX, MethodIndex::PGT)];
    setup.layout(MapIndex::Hw, &halves)?;
    let hw = setup.sys.map(MapIndex::Hw).cloned();
    setup.sys.set_map(MapIndex::KvPhys, hw);
    setup.set_physmaps(mask(PHYS_BITS))?;
    match setup.os() {
        OsType::Linux => linux::init(setup),
        OsType::Xen => xen::init(setup),
        OsType::Unknown => Ok(()),
    }
}

/// The size of virtual addresses, by whatever is known.
fn virt_bits(setup: &Setup<'_>) -> Result<u64> {
    let by_flag = |five_levels| if five_levels { 57 } else { 48 };
    if let Some(bits) = setup.options.virt_bits {
        return Ok(bits);
    }
    if let Some(cr4) = setup.paging_register("cr4")? {
        return Ok(by_flag(cr4 & CR4_LA57 != 0));
    }
    const UNKNOWN: &str = "Cannot determine 5-level paging";
    match setup.os() {
        OsType::Xen => Ok(48),
        OsType::Unknown => Err(Error::not_implemented(UNKNOWN)),
        OsType::Linux => {
            if let Some(enabled) = setup.number("pgtable_l5_enabled")? {
                return Ok(by_flag(enabled != 0));
            }
            // A kernel that exports symbols, but not that number, is older.
            if setup.symbol("_stext")?.is_some() {
                return Ok(48);
            }
            match setup.options.version_code {
                Some(version) if version < FIVE_LEVELS_SINCE => Ok(48),
                _ => Err(Error::no_data(UNKNOWN)),
            }
        }
    }
}

/// The root has flags (PCID, write-through) below its address.
fn round_root(setup: &mut Setup<'_>) {
    setup.change_table(MethodIndex::PGT, |table| table.root.addr &= !mask(12));
}

/// What can be done without is no failure, unless another attempt may succeed.
fn unless_busy<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.status() == Status::BUSY => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether the top-level table is stored where its address leads.
fn root_is_readable(setup: &Setup<'_>) -> Result<bool> {
    let entry = setup.read_u64(setup.root(MethodIndex::PGT), "page table");
    Ok(unless_busy(entry)?.is_some())
}

/// What is still without a method takes the page tables.
fn text_defaults_to_page_tables(setup: &mut Setup<'_>) {
    let unset = setup.sys.method(MethodIndex::KTEXT).is_none_or(Method::is_none);
    if let Some(pgt) = setup.sys.method(MethodIndex::PGT).filter(|_| unset).cloned() {
        setup.sys.set_method(MethodIndex::KTEXT, pgt);
    }
}
