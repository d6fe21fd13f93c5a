//! Where Linux has its text: `ffffffff80000000` and some MiB, moved by KASLR.
//!
//! ```text
//!   ffffffff80000000            ffffffffa0000000            ffffffffc0000000
//!   |   image, without KASLR    |  image with KASLR         |
//!   |                           |  modules, without KASLR   |  modules with KASLR
//! ```

use super::super::setup::{Explain, is_absence};
use super::{MapIndex, MethodIndex, Setup, mask};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::method::Method;
use crate::xlat::types::AddrSpace;

/// `__START_KERNEL_map` (Documentation/arch/x86/x86_64/mm.rst).
pub(super) const START: u64 = 0xffff_ffff_8000_0000;
/// The image ends here without KASLR, and modules begin.
const END_WITHOUT_KASLR: u64 = 0xffff_ffff_9fff_ffff;
/// The image ends here whether with KASLR or without.
pub(super) const END: u64 = 0xffff_ffff_bfff_ffff;

/// Sets the kernel's text up. Nothing happens if it cannot be found.
///
/// Returns whether its offset was found.
pub(super) fn init(setup: &mut Setup<'_>) -> Result<bool> {
    const WHAT: &str = "Cannot set up Linux kernel text mapping";
    let offset = match offset(setup) {
        Ok(offset) => offset,
        Err(error) if is_absence(&error) => return Ok(false),
        Err(error) => return Err(error.context(WHAT)),
    };
    setup.sys.set_method(MethodIndex::KTEXT, Method::linear(AddrSpace::KPHYS, offset));

    // The root is in the kernel's data: without this, no table could be read.
    let root = setup.root(MethodIndex::PGT);
    if root.space == AddrSpace::KVIRT {
        setup
            .set_range(MapIndex::KvPhys, root.addr, root.addr | mask(12), MethodIndex::KTEXT)
            .explain("Cannot set up minimal Linux kernel text mapping")?;
    }
    match extent(setup, offset) {
        Ok((low, high)) => {
            setup.set_range(MapIndex::KvPhys, low, high, MethodIndex::KTEXT).explain(WHAT)?;
        }
        Err(error) if is_absence(&error) => {}
        Err(error) => return Err(error.context("Linux kernel text search failed")),
    }
    Ok(true)
}

/// What is added to a virtual address of the text.
fn offset(setup: &Setup<'_>) -> Result<u64> {
    if let Some(phys_base) = setup.options.phys_base {
        return Ok(phys_base.wrapping_sub(START));
    }
    const WHAT: &str = "Cannot translate ktext";
    let symbol = match setup.symbol("_stext").explain(WHAT)? {
        Some(addr) => Some(addr),
        None => setup.symbol("_text").explain(WHAT)?,
    };
    if let Some(addr) = symbol {
        return Ok(setup.vtop_pgt(addr).explain(WHAT)?.wrapping_sub(addr));
    }
    let mut addr = START;
    let step = setup.walker(MethodIndex::PGT).lowest_mapped(&mut addr, END)?;
    Ok(setup.to_kphys(step.base)?.wrapping_sub(addr))
}

/// From where to where the text is mapped with this offset.
fn extent(setup: &Setup<'_>, offset: u64) -> Result<(u64, u64)> {
    let walker = setup.walker(MethodIndex::PGT);
    let mut low = START;
    walker.lowest_mapped(&mut low, END)?;
    let mut high = low;
    let below = low <= END_WITHOUT_KASLR;
    if below {
        walker.highest_linear(&mut high, END_WITHOUT_KASLR, offset)?;
    }
    if high >= END_WITHOUT_KASLR {
        let mut beyond = high.wrapping_add(1);
        match walker.highest_linear(&mut beyond, END, offset) {
            Ok(()) => high = beyond,
            Err(error) if error.status() == Status::NotPresent && below => {}
            Err(error) => return Err(error),
        }
    }
    if high < low { Err(Error::bare(Status::NotPresent)) } else { Ok((low, high)) }
}
