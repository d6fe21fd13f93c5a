//! RISC-V of 64 bits.
//!
//! ```text
//!   0        2^(va-1)       2^64-2^(va-1)                PAGE_OFFSET         -2 GiB    2^64-1
//!   |-- user ---|--- hole ---|-- fixmap, vmemmap, vmalloc --|-- direct mapping --|-- kernel --|
//! ```
//!
//! One table serves both halves. The kernel was in the direct mapping before
//! 5.13; since then it has a mapping of its own, in the last 2 GiB.
//!
//! Sources: Documentation/arch/riscv/vm-layout.rst, and the numbers that
//! arch/riscv exports to VMCOREINFO (since 6.2, `va_kernel_pa_offset` since 6.4).

use alloc::format;

use super::linear::{Optional, paging_form};
use super::setup::{Explain, Region, Setup, linux_version, mask};
use super::{OsType, Result};
use crate::xlat::error::{Error, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// The widest physical address: 44 bits of a frame number.
const PHYS_MASK: u64 = mask(56);
const PAGE_SHIFT: u64 = 12;
/// Sv39, Sv48 and Sv57.
const SIZES: [u64; 3] = [39, 48, 57];
/// Sv48 came with this version.
const FIRST_SV48: u64 = linux_version(5, 17, 0);
/// Where the kernel is linked to since 5.13.
const KERNEL_LINK_ADDR: u64 = 0xffff_ffff_8000_0000;

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    let linux = setup.os() == OsType::Linux;
    let bits = match virt_bits(setup) {
        Err(error) if linux && error.status() == Status::NoData => guess_virt_bits(setup, error),
        known => known,
    };
    let bits = bits.explain("Cannot determine VA_BITS")?;
    set_form(setup, bits)?;
    let half = bits as u32 - 1;
    let hardware =
        [Region::new(0, mask(half), MethodIndex::PGT), Region::new(!mask(half), u64::MAX, MethodIndex::PGT)];
    setup.layout(MapIndex::Hw, &hardware)?;
    setup.layout(MapIndex::KvPhys, &hardware)?;
    setup.set_physmaps(PHYS_MASK)?;
    if !linux {
        return Ok(());
    }
    let root = find_root(setup)?;
    setup.change_table(MethodIndex::PGT, |table| table.root = root);
    direct_mapping(setup).optional()?;
    Ok(())
}

/// Makes the page table one of addresses of `bits` bits.
fn set_form(setup: &mut Setup<'_>, bits: u64) -> Result<()> {
    if !SIZES.contains(&bits) {
        return Err(Error::not_implemented(format!("{bits}-bit virtual addresses not implemented")));
    }
    let form = paging_form(PteFormat::Riscv64, PAGE_SHIFT, bits)?;
    let table = PageTable::new(setup.options.root.unwrap_or(FullAddr::NONE), form);
    setup.sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::MACHPHYS, table));
    Ok(())
}

/// The size of virtual addresses that the kernel chose when it booted.
fn virt_bits(setup: &Setup<'_>) -> Result<u64> {
    match setup.options.virt_bits {
        Some(bits) => Ok(bits),
        None if setup.os() == OsType::Linux => setup.ctx.number("VA_BITS"),
        None => Err(Error::not_implemented("Unsupported OS type")),
    }
}

/// The size for kernels that do not tell: 39 before 5.17, else the first one with
/// which the page tables map the kernel. Tables of another depth have nothing at
/// its place. If there are no tables, nobody knows.
fn guess_virt_bits(setup: &mut Setup<'_>, unknown: Error) -> Result<u64> {
    if setup.options.version_code.is_some_and(|version| version < FIRST_SV48) {
        return Ok(SIZES[0]);
    }
    let text = match setup.ctx.symbol_value("_stext").optional()? {
        Some(stext) => stext,
        None => setup.hint("KERNEL_LINK_ADDR")?.unwrap_or(KERNEL_LINK_ADDR),
    };
    let Some(root) = find_root(setup).optional()? else {
        return Err(unknown);
    };
    // Tables are read with maps that are not there yet.
    let before = setup.sys.clone();
    let fitting = (|| {
        setup.set_physmaps(PHYS_MASK)?;
        for bits in SIZES {
            set_form(setup, bits)?;
            setup.change_table(MethodIndex::PGT, |table| table.root = root);
            if setup.mapped(text)?.is_some() {
                return Ok(bits);
            }
        }
        Err(unknown)
    })();
    *setup.sys = before;
    fitting
}

/// Where the kernel's page table starts.
fn find_root(setup: &Setup<'_>) -> Result<FullAddr> {
    match setup.options.root {
        Some(root) => Ok(root),
        None => setup.swapper_pg_dir(|setup, addr| {
            image_offset(setup, addr).explain("Cannot determine va_kernel_pa_offset")
        }),
    }
}

/// How far the kernel's virtual addresses are above the physical ones; `addr` is
/// one of them.
fn image_offset(setup: &Setup<'_>, addr: u64) -> Result<u64> {
    let error = match setup.ctx.number("va_kernel_pa_offset") {
        Ok(offset) => return Ok(offset),
        Err(error) if error.status() == Status::NoData => error,
        Err(error) => return Err(error),
    };
    // Before 6.4. Where the symbol is tells where the kernel is.
    let link_addr = setup.hint("KERNEL_LINK_ADDR")?.unwrap_or(KERNEL_LINK_ADDR);
    let start = if addr >= link_addr { Some(link_addr) } else { setup.hint("PAGE_OFFSET")? };
    match (start, setup.hint("phys_ram_base")?) {
        (Some(start), Some(phys)) => Ok(start.wrapping_sub(phys)),
        _ => Err(error),
    }
}

/// Finds the direct mapping: what is mapped from `PAGE_OFFSET` on, as long as it
/// has the offset of the first page.
fn direct_mapping(setup: &mut Setup<'_>) -> Result<()> {
    let mut first = setup.ctx.number("PAGE_OFFSET")?;
    let phys = setup.walker(MethodIndex::PGT).lowest_mapped(&mut first, u64::MAX)?.base.addr;
    let offset = phys.wrapping_sub(first);
    let last = setup.linear_end(first, u64::MAX, offset)?;
    setup.map_linear(first, last, offset)
}
