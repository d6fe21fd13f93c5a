//! Linux on x86_64, from 2.6.0 on: the direct mapping of physical memory.
//!
//! | since | base | end of the window |
//! | --- | --- | --- |
//! | 2.6.0 | `0000010000000000` | `000001ffffffffff` |
//! | 2.6.11 | `ffff810000000000` | `ffffc0ffffffffff` |
//! | 2.6.27 | `ffff880000000000` | `ffffc0ffffffffff` |
//! | 2.6.31 | `ffff880000000000` | `ffffc7ffffffffff` |
//! | 4.8 | the same, or random (CONFIG_RANDOMIZE_MEMORY) | |
//! | 4.14, 5 levels | `ff10000000000000` or random | `ff8fffffffffffff` |
//! | 4.20 | `ffff888000000000` or random | `ffffc87fffffffff` |
//! | 4.20, 5 levels | `ff11000000000000` or random | `ff90ffffffffffff` |
//!
//! (Documentation/arch/x86/x86_64/mm.rst of these versions.) Page tables are
//! asked first: physical address 0 is mapped at the base. In all versions the
//! text is elsewhere, and everything else is left to the page tables.

use super::super::setup::{Explain, RootSource, is_absence};
use super::{MapIndex, MethodIndex, PHYS_BITS, Region, Setup, linux_version, mask, text, xen_domain};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::method::Method;
use crate::xlat::types::{AddrSpace, Caps, FullAddr};

/// Where the direct mapping may be.
#[derive(Clone, Copy)]
pub(super) struct Window {
    pub first: u64,
    pub last: u64,
}

const D_2_6_0: Window = Window { first: 0x0000_0100_0000_0000, last: 0x0000_01ff_ffff_ffff };
const D_2_6_11: Window = Window { first: 0xffff_8100_0000_0000, last: 0xffff_c0ff_ffff_ffff };
const D_2_6_27: Window = Window { first: 0xffff_8800_0000_0000, last: 0xffff_c0ff_ffff_ffff };
const D_2_6_31: Window = Window { first: 0xffff_8800_0000_0000, last: 0xffff_c7ff_ffff_ffff };
/// With the LDT remap of 4.20 and later below it.
const D_4_20: Window = Window { first: 0xffff_8880_0000_0000, last: 0xffff_c87f_ffff_ffff };
const D_5LEVEL: Window = Window { first: 0xff11_0000_0000_0000, last: 0xff90_ffff_ffff_ffff };
/// As it was from 4.14 to 4.19.
const D_5LEVEL_4_14: Window = Window { first: 0xff10_0000_0000_0000, last: 0xff8f_ffff_ffff_ffff };

/// The windows of kernels that do not choose their base, newest first.
const BY_VERSION: [(u64, Window); 4] = [
    (linux_version(2, 6, 31), D_2_6_31),
    (linux_version(2, 6, 27), D_2_6_27),
    (linux_version(2, 6, 11), D_2_6_11),
    (linux_version(2, 6, 0), D_2_6_0),
];
/// From here on the base may be random.
const RANDOM_SINCE: u64 = linux_version(4, 8, 0);

/// The user's half of a pair of page tables (PTI) is this much above the
/// kernel's half.
const PTI_USER_HALF: u64 = 1 << 12;

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    let mut from_cr3 = find_root(setup)?;
    if let Some(sme) = setup.number("sme_mask")? {
        setup.change_table(MethodIndex::PGT, |table| table.pte_mask = sme);
    }
    let xen = match setup.options.xen_xlat {
        Some(told) if !told || setup.options.xen_p2m_mfn.is_some() => told,
        told => xen_domain::is_domain(setup)? || told == Some(true),
    };
    if xen {
        xen_domain::init(setup)?;
    }
    let caps = setup.ctx.read_caps();
    if !caps.contains(AddrSpace::MACHPHYS) && !caps.contains(AddrSpace::KPHYS) {
        match guess_reverse(setup, caps) {
            Err(error) if !is_absence(&error) => return Err(error),
            _ => {}
        }
    }
    let found = text::init(setup)?;
    let usable = from_cr3 || (found && super::root_is_readable(setup)?);
    if !usable {
        from_cr3 = try_cr3(setup, found)?;
    }
    super::text_defaults_to_page_tables(setup);
    match direct_mapping(setup, from_cr3)? {
        Some(window) if xen && setup.options.xen_p2m_mfn.is_none() => {
            xen_domain::way_by_direct_mapping(setup, window)
        }
        _ => Ok(()),
    }
}

/// Whether the text and the direct mapping that were found share memory as they
/// do in a kernel. Tables that are read with a level too many or too few may
/// have something at either place, but not the same page at both.
pub(super) fn is_consistent(setup: &Setup<'_>) -> Result<bool> {
    let Some(offset) = setup.linear_offset(MethodIndex::DIRECT) else {
        return Ok(false);
    };
    let ranges = setup.sys.map(MapIndex::KvPhys).into_iter().flat_map(|map| map.ranges());
    let Some(text) = ranges.filter(|range| range.method == MethodIndex::KTEXT).last() else {
        return Ok(false);
    };
    let phys = setup.vtop_pgt(text.first)?;
    Ok(setup.vtop_pgt(phys.wrapping_sub(offset))? == phys)
}

/// Finds the root, unless it is given. Returns whether it comes from CR3.
fn find_root(setup: &mut Setup<'_>) -> Result<bool> {
    const SOURCES: [RootSource; 4] = [
        RootSource::Symbol("init_top_pgt"),
        RootSource::Symbol("init_level4_pgt"),
        RootSource::Register("cr3"),
        // The same by the name that all architectures have for it.
        RootSource::Symbol("swapper_pg_dir"),
    ];
    let mut from_cr3 = false;
    if setup.root(MethodIndex::PGT).space == AddrSpace::NOADDR
        && let Some(root) = setup.find_root(&SOURCES)?
    {
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
        from_cr3 = root.space == AddrSpace::MACHPHYS;
    }
    super::round_root(setup);
    Ok(from_cr3)
}

/// Tries CR3 when nothing can be read from a root that a symbol tells; if that
/// finds nothing either, the root stays. Returns whether it was changed.
///
/// A symbol is an address in the text, and out of reach as long as the offset of
/// the text is not known; it may have been `found` where nothing is stored.
fn try_cr3(setup: &mut Setup<'_>, found: bool) -> Result<bool> {
    let root = setup.root(MethodIndex::PGT);
    let given = setup.options.root.is_some_and(|root| root.space != AddrSpace::NOADDR);
    if given || root.space != AddrSpace::KVIRT {
        return Ok(false);
    }
    let Some(cr3) = setup.paging_register("cr3")? else { return Ok(false) };
    let cr3 = cr3 & !mask(12);
    // The user's half of a pair of tables lacks the text.
    let kernel_half = Some(cr3 & !PTI_USER_HALF).filter(|half| *half != cr3);
    // That page was given to the text only to read the root.
    let page = (root.addr, root.addr | mask(12));
    setup.set_range(MapIndex::KvPhys, page.0, page.1, MethodIndex::PGT)?;
    for half in [Some(cr3), kernel_half].into_iter().flatten() {
        setup.change_table(MethodIndex::PGT, |table| table.root = FullAddr::machphys(half));
        if text::init(setup)? && super::root_is_readable(setup)? {
            return Ok(true);
        }
    }
    setup.change_table(MethodIndex::PGT, |table| table.root = root);
    if found {
        setup.set_range(MapIndex::KvPhys, page.0, page.1, MethodIndex::KTEXT)?;
    }
    Ok(false)
}

/// Only virtual addresses can be read: guesses where the direct mapping is, so
/// that page tables can be read through it.
fn guess_reverse(setup: &mut Setup<'_>, caps: Caps) -> Result<()> {
    const BASES: [u64; 6] = [
        D_2_6_0.first,
        D_2_6_11.first,
        D_2_6_31.first,
        // Those of newer kernels, unless they are random.
        D_4_20.first,
        D_5LEVEL.first,
        D_5LEVEL_4_14.first,
    ];
    if !caps.contains(AddrSpace::KVIRT) {
        return Err(Error::bare(Status::NoMethod));
    }
    if let Ok(addr) = setup.ctx.symbol_value("page_offset_base") {
        let base = setup.read_u64(FullAddr::kvirt(addr), "page_offset_base")?;
        if reverse_works(setup, base)? {
            return Ok(());
        }
    }
    for base in BASES {
        if reverse_works(setup, base)? {
            return Ok(());
        }
    }
    Ok(())
}

/// Sets the way back from physical addresses up; keeps it if it leads to page
/// tables that say the same.
fn reverse_works(setup: &mut Setup<'_>, base: u64) -> Result<bool> {
    setup.sys.set_method(MethodIndex::RDIRECT, Method::linear(AddrSpace::KVIRT, base));
    setup
        .set_range(MapIndex::KphysDirect, 0, mask(PHYS_BITS), MethodIndex::RDIRECT)
        .explain("Cannot set up Linux kernel direct mapping")?;
    let works = setup.is_directmap(base)?;
    if !works {
        forget_reverse(setup);
    }
    Ok(works)
}

fn forget_reverse(setup: &mut Setup<'_>) {
    setup.sys.set_method(MethodIndex::RDIRECT, Method::NONE);
    setup.sys.set_map(MapIndex::KphysDirect, None);
}

/// Sets the direct mapping up. Returns where it is, if it was found.
fn direct_mapping(setup: &mut Setup<'_>, from_cr3: bool) -> Result<Option<Window>> {
    let mut window = window_in_tables(setup)?;
    if window.is_none() && from_cr3 {
        window = window_in_kernel_half(setup)?;
    }
    let window = window.or_else(|| window_by_version(setup));
    // The guess was as good as its purpose.
    forget_reverse(setup);
    if let Some(Window { first, last }) = window {
        setup.layout(MapIndex::KvPhys, &[Region::direct(first, last)])?;
    }
    Ok(window)
}

fn window_by_version(setup: &Setup<'_>) -> Option<Window> {
    let version = setup.options.version_code.filter(|&version| version < RANDOM_SINCE)?;
    BY_VERSION.iter().find(|(since, _)| version >= *since).map(|&(_, window)| window)
}

/// The same in the kernel's half of a pair of tables, if CR3 was that of the
/// user's half: this has the kernel's entry code, but no direct mapping.
fn window_in_kernel_half(setup: &mut Setup<'_>) -> Result<Option<Window>> {
    let root = setup.root(MethodIndex::PGT);
    if root.addr & PTI_USER_HALF == 0 {
        return Ok(None);
    }
    setup.change_table(MethodIndex::PGT, |table| table.root.addr &= !PTI_USER_HALF);
    let window = window_in_tables(setup)?;
    if window.is_some() {
        setup.sys.set_method(MethodIndex::KTEXT, Method::NONE);
        text::init(setup)?;
        super::text_defaults_to_page_tables(setup);
    } else {
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
    }
    Ok(window)
}

/// The direct mapping as far as page tables have it.
fn window_in_tables(setup: &Setup<'_>) -> Result<Option<Window>> {
    for window in [D_2_6_0, D_2_6_11] {
        if setup.is_directmap(window.first)? {
            return linear_window(setup, window.first, window.last);
        }
    }
    let five_levels = setup.page_table(MethodIndex::PGT).is_some_and(|table| table.form.nfields() == 6);
    // Then without what may be mapped at the start of the first one, or from an
    // older base.
    let windows = if five_levels { [D_5LEVEL, D_5LEVEL_4_14] } else { [D_2_6_31, D_4_20] };
    for window in windows {
        let mut first = window.first;
        match setup.walker(MethodIndex::PGT).lowest_mapped(&mut first, window.last) {
            Ok(_) => {}
            Err(error) if error.status() == Status::BUSY => return Err(error),
            Err(_) => continue,
        }
        if let Some(found) = linear_window(setup, first, window.last)? {
            return Ok(Some(found));
        }
    }
    window_by_symbol(setup, windows)
}

/// The linear run from `first` on, if it maps physical address 0.
fn linear_window(setup: &Setup<'_>, first: u64, limit: u64) -> Result<Option<Window>> {
    let mut last = first;
    match setup.walker(MethodIndex::PGT).highest_linear(&mut last, limit, first.wrapping_neg()) {
        Ok(()) => Ok(Some(Window { first, last })),
        Err(error) if error.status() == Status::BUSY => Err(error),
        Err(_) => Ok(None),
    }
}

/// The direct mapping where the kernel's variable `page_offset_base` says it
/// starts, for page tables without physical address 0.
fn window_by_symbol(setup: &Setup<'_>, windows: [Window; 2]) -> Result<Option<Window>> {
    /// The kernel moves the mapping by whole entries of the level of 1 GiB.
    const ALIGNMENT: u64 = mask(30);
    let Ok(addr) = setup.ctx.symbol_value("page_offset_base") else {
        return Ok(None);
    };
    let base = match setup.read_u64(FullAddr::kvirt(addr), "page_offset_base") {
        Ok(base) => base,
        Err(error) if error.status() == Status::BUSY => return Err(error),
        Err(_) => return Ok(None),
    };
    let inside = |window: &&Window| window.first <= base && base <= window.last;
    match windows.iter().find(inside).filter(|_| base & ALIGNMENT == 0) {
        Some(window) => linear_window(setup, base, window.last),
        None => Ok(None),
    }
}
