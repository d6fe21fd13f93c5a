//! 32-bit Arm, with short descriptors and with long ones (LPAE).
//!
//! ```text
//!   0                  PAGE_OFFSET                                 2^32-1
//!   |-- user, modules ---|-- direct mapping (lowmem) --|-- vmalloc ... --|
//! ```
//!
//! The kernel is at the start of the direct mapping, and in front of it the root
//! of the page tables. Where the direct mapping is in physical memory is known
//! by an option or by the tables. If the tables in turn are known by their
//! virtual address only, [`guess_arm_memory`] finds both.
//!
//! Sources: Documentation/arch/arm/memory.rst; `CONFIG_ARM_LPAE` of VMCOREINFO.

use super::linear::Optional;
use super::setup::{Explain, Region, Setup, mask};
use super::{Options, OsType, Result};
use crate::xlat::ctx::Ctx;
use crate::xlat::error::{Error, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::{MapIndex, System};
use crate::xlat::types::{AddrSpace, FullAddr};

/// The last virtual address.
const LAST: u64 = mask(32);
/// The widest physical addresses, with LPAE or supersections.
const PHYS_MASK: u64 = mask(40);
/// The kernel's text begins in the first 32 MiB of the direct mapping.
const TEXT_MASK: u64 = 0x1ff_ffff;
/// Physical memory begins at a multiple of this (arch/arm/Kconfig,
/// `ARM_PATCH_PHYS_VIRT`).
const PHYS_ALIGN: usize = 2 << 20;
/// Where physical memory of machines without LPAE can begin.
const PHYS_END: u64 = 1 << 32;

/// One of the two kinds of page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tables {
    Short,
    Long,
}

impl Tables {
    fn form(self) -> Result<PagingForm> {
        match self {
            Tables::Short => PagingForm::new(PteFormat::Arm, &[12, 8, 12]),
            Tables::Long => PagingForm::new(PteFormat::ArmLpae, &[12, 9, 9, 2]),
        }
    }

    fn phys_bits(self) -> u64 {
        match self {
            Tables::Short => 32,
            Tables::Long => 40,
        }
    }

    /// The size of `swapper_pg_dir` in bytes: a table of 4096 words, or the root
    /// and all four tables of the level below it.
    fn size(self) -> u64 {
        match self {
            Tables::Short => 0x4000,
            Tables::Long => 0x5000,
        }
    }
}

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    setup.set_physmaps(PHYS_MASK)?;
    let hardware = [Region::new(0, LAST, MethodIndex::PGT)];
    setup.layout(MapIndex::Hw, &hardware).explain("Cannot set up hardware mapping")?;
    setup.layout(MapIndex::KvPhys, &hardware).explain("Cannot set up virt-to-phys mapping")?;
    if setup.os() != OsType::Linux {
        return Err(Error::not_implemented("OS type not implemented"));
    }

    let tables = told_tables(setup)?.unwrap_or(Tables::Short);
    let table = PageTable::new(setup.options.root.unwrap_or(FullAddr::NONE), tables.form()?);
    setup.sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::MACHPHYS, table));
    if setup.root(MethodIndex::PGT).space == AddrSpace::NOADDR {
        let symbol = setup.ctx.symbol_value("swapper_pg_dir");
        let root = symbol.explain("Cannot determine page table virtual address")?;
        setup.change_table(MethodIndex::PGT, |table| table.root = FullAddr::kvirt(root));
    }
    let page_offset = match setup.ctx.symbol_value("_stext") {
        Err(error) if error.status() == Status::BUSY => return Err(error),
        stext => stext.map(|stext| stext & !TEXT_MASK),
    };

    let root = setup.root(MethodIndex::PGT);
    if let Some(phys_base) = setup.options.phys_base
        && !setup.is_readable(root)?
    {
        let page_offset = page_offset.clone().explain("Cannot determine PAGE_BASE")?;
        map_root(setup, tables, page_offset, phys_base)?;
    }
    if let Ok(page_offset) = page_offset {
        direct_mapping(setup, page_offset).optional()?;
    }
    Ok(())
}

/// The kind of page tables, if somebody knows: a kernel with LPAE has physical
/// addresses of 40 bits, and exports `CONFIG_ARM_LPAE`.
fn told_tables(setup: &Setup<'_>) -> Result<Option<Tables>> {
    if let Some(bits) = setup.options.phys_bits {
        return Ok(Some(if bits > 32 { Tables::Long } else { Tables::Short }));
    }
    Ok(setup.hint("CONFIG_ARM_LPAE")?.filter(|&value| value != 0).map(|_| Tables::Long))
}

/// Makes the root of the page tables readable, which is at a fixed distance from
/// the start of the direct mapping.
fn map_root(setup: &mut Setup<'_>, tables: Tables, page_offset: u64, phys_base: u64) -> Result<()> {
    let root = setup.root(MethodIndex::PGT);
    let offset = phys_base.wrapping_sub(page_offset);
    let first = match root.space {
        AddrSpace::KVIRT => root.addr,
        _ => root.addr.wrapping_sub(offset),
    };
    setup.map_linear(first, first.saturating_add(tables.size() - 1), offset)
}

/// Finds the direct mapping: what is mapped from its start on, as long as it has
/// the same offset.
fn direct_mapping(setup: &mut Setup<'_>, page_offset: u64) -> Result<()> {
    let phys_base = match setup.options.phys_base {
        Some(phys_base) => phys_base,
        None => setup.walk(MethodIndex::PGT, page_offset)?.addr,
    };
    let offset = phys_base.wrapping_sub(page_offset);
    let last = setup.linear_end(page_offset, LAST, offset)?;
    setup.map_linear(page_offset, last, offset)
}

/// Where 32-bit Arm memory begins, if what leads from virtual addresses of the
/// direct mapping to physical ones is known (program headers of an ELF dump):
/// `options` with that [`phys_base`](Options::phys_base).
///
/// # Errors
///
/// Only that the callbacks are too busy to tell.
pub fn told_arm_memory(ctx: &Ctx, options: &Options, offset: u64) -> Result<Option<Options>> {
    let Some(stext) = ctx.symbol_value("_stext").optional()? else { return Ok(None) };
    let phys_base = (stext & !TEXT_MASK).wrapping_add(offset);
    Ok((phys_base <= PHYS_MASK).then(|| Options { phys_base: Some(phys_base), ..options.clone() }))
}

/// Finds where 32-bit Arm memory begins, if that is not known and the page
/// tables are known by their virtual address only, so that [`init`](super::init)
/// could translate nothing: tables are looked for where they would be if memory
/// began at a multiple of 2 MiB below 4 GiB. Those that are there map themselves
/// to where they are, and the start of the direct mapping to that of memory.
///
/// Returns `options` with [`phys_base`](Options::phys_base) and
/// [`phys_bits`](Options::phys_bits) (32, or 40 with LPAE). They are a guess,
/// though hardly a wrong one; it is up to the caller to say so.
///
/// # Errors
///
/// Only that the callbacks are too busy to tell.
pub fn guess_arm_memory(ctx: &Ctx, options: &Options) -> Result<Option<Options>> {
    let mut sys = System::new();
    let mut setup = Setup { ctx, sys: &mut sys, options };
    setup.set_physmaps(PHYS_MASK)?;
    let (Some(stext), Some(root)) =
        (ctx.symbol_value("_stext").optional()?, ctx.symbol_value("swapper_pg_dir").optional()?)
    else {
        return Ok(None);
    };
    let page_offset = stext & !TEXT_MASK;
    let caps = ctx.read_caps();
    let physical = caps.contains(AddrSpace::MACHPHYS) || caps.contains(AddrSpace::KPHYS);
    let Some(distance) = root.checked_sub(page_offset).filter(|_| physical && root <= LAST) else {
        return Ok(None);
    };
    let told = told_tables(&setup)?;
    for tables in [Tables::Short, Tables::Long] {
        if told.is_some_and(|told| told != tables) {
            continue;
        }
        let form = tables.form()?;
        for phys_base in (0..PHYS_END).step_by(PHYS_ALIGN) {
            let start = FullAddr::machphys(phys_base + distance);
            let method = Method::page_table(AddrSpace::MACHPHYS, PageTable::new(start, form));
            setup.sys.set_method(MethodIndex::PGT, method);
            if setup.mapped(page_offset)? == Some(phys_base) && setup.mapped(root)? == Some(start.addr) {
                let (phys_base, phys_bits) = (Some(phys_base), Some(tables.phys_bits()));
                return Ok(Some(Options { phys_base, phys_bits, ..options.clone() }));
            }
        }
    }
    Ok(None)
}
