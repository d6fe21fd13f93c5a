//! AArch64.
//!
//! ```text
//!   0          2^va         2^64-2^va       2^64-2^(va-1)          2^64-1
//!   |-- user ---|--- hole ---|-- direct mapping --|-- kernel, vmalloc --|  Linux 5.4 and later
//!   |-- user ---|--- hole ---|-- kernel, vmalloc --|-- direct mapping --|  before
//! ```
//!
//! How large addresses are is a matter of the kernel and of the machine: a
//! kernel built for 52 bits runs with 48 (or 47) where the machine has no more.
//! `TCR_EL1_T1SZ` tells what came out of it, `VA_BITS` what was wanted.
//!
//! Sources: Documentation/arch/arm64/memory.rst (layouts by version), and the
//! numbers of VMCOREINFO (Documentation/admin-guide/kdump/vmcoreinfo.rst).

use alloc::format;

use super::linear::{Optional, paging_form};
use super::setup::{Explain, Known, Region, Setup, linux_version, mask};
use super::{OsType, Result};
use crate::xlat::error::{Error, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// The widest physical address there is.
const PHYS_MASK: u64 = mask(52);
/// The largest virtual addresses that machines have without FEAT_LVA.
const BITS_WITHOUT_LVA: u64 = 48;
/// The largest virtual addresses there are.
const BITS_MAX: u64 = 52;
/// Pages of 64 KiB, whose tables for 52 bits serve 48 bits as well.
const SHIFT_64K: u64 = 16;
/// The direct mapping moved into the lower half of the kernel's addresses.
const FLIPPED: u64 = linux_version(5, 4, 0);
/// The kernel moved out of the direct mapping.
const KIMAGE: u64 = linux_version(4, 6, 0);

/// The sizes of virtual addresses that kernels without `VA_BITS` (before 4.12)
/// can have, by page shift.
const OLD_SIZES: [(u64, &[u64]); 3] = [(12, &[39, 48]), (14, &[36, 47, 48]), (16, &[42, 48])];

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    let page_shift = setup.options.page_shift.ok_or_else(|| Error::no_data("Cannot determine page size"))?;
    let (bits, source) = virt_bits(setup, page_shift).explain("Cannot determine VA_BITS")?;
    if bits < page_shift.saturating_add(1).max(16) || bits > BITS_MAX {
        return Err(Error::not_implemented(format!("{bits}-bit virtual addresses not implemented")));
    }
    let form = paging_form(format(setup, page_shift, bits)?, page_shift, bits)?;
    let table = Method::page_table(AddrSpace::MACHPHYS, PageTable::new(FullAddr::NONE, form));
    setup.sys.set_method(MethodIndex::PGT, table.clone());
    setup.sys.set_method(MethodIndex::UPGT, table);
    let hardware = [
        Region::new(0, mask(bits as u32), MethodIndex::UPGT),
        Region::new(!mask(bits as u32), u64::MAX, MethodIndex::PGT),
    ];
    setup.layout(MapIndex::Hw, &hardware)?;
    setup.layout(MapIndex::KvPhys, &hardware)?;
    if setup.os() != OsType::Linux {
        return Ok(());
    }
    let root = match setup.options.root {
        Some(root) => root,
        None => setup.swapper_pg_dir(|setup, addr| {
            image_offset(setup, addr, bits).explain("Cannot determine kimage_voffset")
        })?,
    };
    setup.change_table(MethodIndex::PGT, |table| table.root = root);
    setup.set_physmaps(PHYS_MASK)?;

    let Some(base) = direct_base(setup, bits, source)? else {
        return Ok(());
    };
    let window = base | mask(bits as u32 - 1);
    let result = direct_mapping(setup, base, window);
    let nothing = result.as_ref().is_err_and(|error| error.status() == Status::NotPresent);
    if nothing && source == Source::Hardware && page_shift == SHIFT_64K && setup.options.root.is_none() {
        return wide_tables(setup, form, base, window);
    }
    result.optional()?;
    Ok(())
}

/// The address that a pointer is meant for: the processor ignores its tag (bits
/// 63:56, used by MTE and by KASAN), and `pac_mask` are the bits of a signature
/// (`KERNELPACMASK` of VMCOREINFO; 0 without pointer authentication). All of
/// them are as bit 55, which tells the kernel's half of the addresses from the
/// user's (Arm ARM, "Address tagging").
pub fn aarch64_untagged(pointer: u64, pac_mask: u64) -> u64 {
    const TAG: u64 = 0xff << 56;
    const HALF: u64 = 1 << 55;
    let ignored = TAG | (pac_mask & !HALF);
    if pointer & HALF != 0 { pointer | ignored } else { pointer & !ignored }
}

/// Where the size of virtual addresses is known from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The machine has no more than the kernel was built for, or less.
    Hardware,
    /// The kernel is older than 4.12, and this is what its addresses look like.
    Guess,
    /// Anything else.
    Other,
}

/// The size of the virtual addresses that are in use.
fn virt_bits(setup: &Setup<'_>, page_shift: u64) -> Result<(u64, Source)> {
    if let Some(bits) = setup.options.virt_bits {
        return Ok((bits, Source::Other));
    }
    if setup.os() != OsType::Linux {
        return Err(Error::not_implemented("Unsupported OS type"));
    }
    if let Some(t1sz) = setup.number("TCR_EL1_T1SZ")? {
        return Ok((64_u64.wrapping_sub(t1sz), Source::Hardware));
    }
    // Early patches spelled it so.
    if let Some(t1sz) = setup.hint("tcr_el1_t1sz")? {
        return Ok((64_u64.wrapping_sub(t1sz), Source::Hardware));
    }
    match setup.ctx.number("VA_BITS") {
        Ok(bits) if bits > BITS_WITHOUT_LVA && uses_48_bits(setup)? => {
            Ok((BITS_WITHOUT_LVA, Source::Hardware))
        }
        Ok(bits) => Ok((bits, Source::Other)),
        Err(error) if error.status() == Status::NoData => match guess_virt_bits(setup, page_shift)? {
            Some(bits) => Ok((bits, Source::Guess)),
            None => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Whether a kernel that is built for 52 bits and does not tell (5.4 to 5.8)
/// runs with 48: its `mem_section` lies in the direct mapping, which begins at
/// fff0000000000000 or at ffff000000000000.
fn uses_48_bits(setup: &Setup<'_>) -> Result<bool> {
    if setup.options.version_code.is_some_and(|version| version < FLIPPED) {
        return Ok(false);
    }
    let mem_section = setup.ctx.symbol_value("mem_section").optional()?;
    Ok(mem_section.is_some_and(|addr| addr & (1 << 51) != 0))
}

/// The size of virtual addresses by the address of the kernel: the kernel is
/// near the start of the lower half of its addresses, or of the upper half
/// before 4.6, so the highest zero bit is near that of the size.
fn guess_virt_bits(setup: &Setup<'_>, page_shift: u64) -> Result<Option<u64>> {
    let Some(stext) = setup.symbol("_stext").optional()?.flatten() else {
        return Ok(None);
    };
    let above = 64 - u64::from(stext.leading_ones());
    let old = setup.options.version_code.is_some_and(|version| version < KIMAGE);
    let sizes = OLD_SIZES.iter().find(|(shift, _)| *shift == page_shift).map_or(&[][..], |(_, sizes)| sizes);
    Ok(Some(if !old && sizes.contains(&above) { above } else { above + 1 }))
}

/// The format of the entries, which depends on the machine, too.
fn format(setup: &Setup<'_>, page_shift: u64, virt_bits: u64) -> Result<PteFormat> {
    // Bits 15:12, which hold address bits 51:48, are 0 without them.
    let wide_phys = page_shift == SHIFT_64K
        && setup.os() == OsType::Linux
        && setup.hint("MAX_PHYSMEM_BITS")? == Some(BITS_MAX);
    Ok(match (virt_bits > BITS_WITHOUT_LVA, page_shift) {
        (_, SHIFT_64K) if wide_phys => PteFormat::Aarch64Lpa,
        (false, _) => PteFormat::Aarch64,
        (true, SHIFT_64K) => PteFormat::Aarch64Lpa,
        (true, _) => PteFormat::Aarch64Lpa2,
    })
}

/// How far the kernel's virtual addresses are above the physical ones; `addr` is
/// one of them.
fn image_offset(setup: &Setup<'_>, addr: u64, virt_bits: u64) -> Result<u64> {
    let error = match setup.ctx.number("kimage_voffset") {
        Ok(offset) => return Ok(offset),
        Err(error) => error,
    };
    // Before 4.6 the kernel is in the direct mapping, in the upper half.
    let page_offset = !mask(virt_bits as u32 - 1);
    if error.status() == Status::NoData && addr >= page_offset {
        let phys_offset = match setup.options.phys_base {
            Some(phys_base) => Some(phys_base),
            None => setup.hint("PHYS_OFFSET")?,
        };
        if let Some(phys_offset) = phys_offset {
            return Ok(page_offset.wrapping_sub(phys_offset));
        }
    }
    Err(error)
}

/// The half of the kernel's addresses that has the direct mapping: the one that
/// the kernel is not in, or both before 4.6.
fn direct_base(setup: &Setup<'_>, virt_bits: u64, source: Source) -> Result<Option<u64>> {
    let (lower, upper) = (!mask(virt_bits as u32), !mask(virt_bits as u32 - 1));
    if source == Source::Guess {
        return Ok(Some(upper));
    }
    let flipped = match setup.ctx.symbol_value("_stext").known().optional()? {
        Some(Some(stext)) => Some(stext >= upper),
        Some(None) => setup.options.version_code.map(|version| version >= FLIPPED),
        None => None,
    };
    Ok(flipped.map(|flipped| if flipped { lower } else { upper }))
}

/// Finds the direct mapping between `base` and `limit`: all that is mapped
/// there, if it is linear.
fn direct_mapping(setup: &mut Setup<'_>, base: u64, limit: u64) -> Result<()> {
    let walker = setup.walker(MethodIndex::PGT);
    let (mut low, mut high) = (base, limit);
    let start = walker.lowest_mapped(&mut low, limit)?.base.addr;
    let end = walker.highest_mapped(&mut high, base)?.base.addr;
    if end.wrapping_sub(start) != high.wrapping_sub(low) {
        return Err(Error::bare(Status::Invalid));
    }
    setup.map_linear(low, high, start.wrapping_sub(low))
}

/// The tables of a kernel with 64 KiB pages that is built for 52 bits remain so
/// on a machine that has 48: its registers point into the middle of
/// `swapper_pg_dir`, to the entries of the addresses that it has.
fn wide_tables(setup: &mut Setup<'_>, narrow: PagingForm, base: u64, limit: u64) -> Result<()> {
    if setup.hint("VA_BITS")? != Some(BITS_MAX) || u64::from(narrow.virt_bits()) != BITS_WITHOUT_LVA {
        return Ok(());
    }
    let wide = paging_form(PteFormat::Aarch64Lpa, SHIFT_64K, BITS_MAX)?;
    setup.change_table(MethodIndex::PGT, |table| table.form = wide);
    let mut lowest = base;
    let found = setup.walker(MethodIndex::PGT).lowest_mapped(&mut lowest, limit).optional();
    if matches!(found, Ok(Some(_))) {
        direct_mapping(setup, base, limit).optional()?;
        return Ok(());
    }
    setup.change_table(MethodIndex::PGT, |table| table.form = narrow);
    found.map(|_| ())
}
