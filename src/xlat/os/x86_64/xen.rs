//! The Xen hypervisor on x86_64.
//!
//! | since | text (1 GiB) | direct mapping |
//! | --- | --- | --- |
//! | before 3.2 | in the direct mapping | `ffff830000000000`, 1 TiB |
//! | 3.2 | `ffff828c80000000` | `ffff830000000000`, 1 TiB |
//! | 4.0 | `ffff82c480000000` | `ffff830000000000`, 5 TiB |
//! | 4.3 | `ffff82c4c0000000` | `ffff830000000000`, 5 TiB |
//! | 4.4 | `ffff82d080000000` | `ffff830000000000`, 5 TiB |
//! | 4.4, CONFIG_BIGMEM | `ffff82d080000000` | `ffff848000000000`, 3.5 TiB |
//! | 4.14 | `ffff82d040000000` | as in 4.4 |
//!
//! (xen/include/asm-x86/config.h of these versions.) The development tree
//! before 4.0 had its text at `ffff828880000000`. Pages of 2 MiB that begin with
//! the text tell where it is; newer versions leave the first one out, and map
//! the others with pages of 4 KiB unless CONFIG_XEN_ALIGN_2M is set.

use super::super::setup::{CPUS_MAX, RootSource, xen_version};
use super::{MapIndex, MethodIndex, Region, Setup, mask, unless_busy};
use crate::xlat::error::Result;
use crate::xlat::method::Method;
use crate::xlat::step::Step;
use crate::xlat::types::{AddrSpace, FullAddr};

const TIB: u64 = 1 << 40;
const DIRECTMAP: u64 = 0xffff_8300_0000_0000;
const DIRECTMAP_BIGMEM: u64 = 0xffff_8480_0000_0000;
const TEXT_3_2: u64 = 0xffff_828c_8000_0000;
const TEXT_4_0DEV: u64 = 0xffff_8288_8000_0000;
const TEXT_4_0: u64 = 0xffff_82c4_8000_0000;
const TEXT_4_3: u64 = 0xffff_82c4_c000_0000;
const TEXT_4_4: u64 = 0xffff_82d0_8000_0000;
const TEXT_4_14: u64 = 0xffff_82d0_4000_0000;
const TEXT_SIZE: u64 = 1 << 30;

/// Where the direct mapping is, how large, and where the text is.
#[derive(Clone, Copy)]
struct Layout {
    base: u64,
    size: u64,
    text: Option<Text>,
}

impl Layout {
    const fn new(size: u64, text: Option<u64>) -> Self {
        let text = match text {
            Some(first) => Some(Text::whole(first)),
            None => None,
        };
        Layout { base: DIRECTMAP, size, text }
    }
}

/// From where to where the text is.
#[derive(Clone, Copy)]
struct Text {
    first: u64,
    last: u64,
}

impl Text {
    const fn whole(first: u64) -> Self {
        Text { first, last: first + (TEXT_SIZE - 1) }
    }
}

const BIGMEM: Layout =
    Layout { base: DIRECTMAP_BIGMEM, size: 7 * TIB / 2, text: Some(Text::whole(TEXT_4_4)) };
/// No text is found, or there is none apart from the direct mapping.
const PLAIN: Layout = Layout::new(TIB, None);
/// By the text that is mapped with pages of 2 MiB, in this order.
const BY_TEXT: [(u64, Layout); 5] = [
    (TEXT_4_4, Layout::new(5 * TIB, Some(TEXT_4_4))),
    (TEXT_4_3, Layout::new(5 * TIB, Some(TEXT_4_3))),
    (TEXT_4_0, Layout::new(5 * TIB, Some(TEXT_4_0))),
    (TEXT_3_2, Layout::new(TIB, Some(TEXT_3_2))),
    (TEXT_4_0DEV, Layout::new(5 * TIB, Some(TEXT_4_0DEV))),
];
/// By version, newest first.
const BY_VERSION: [(u64, Layout); 6] = [
    (xen_version(4, 14), Layout::new(5 * TIB, Some(TEXT_4_14))),
    (xen_version(4, 4), Layout::new(5 * TIB, Some(TEXT_4_4))),
    (xen_version(4, 3), Layout::new(5 * TIB, Some(TEXT_4_3))),
    (xen_version(4, 0), Layout::new(5 * TIB, Some(TEXT_4_0))),
    (xen_version(3, 2), Layout::new(TIB, Some(TEXT_3_2))),
    (0, PLAIN),
];

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    find_root(setup)?;
    let layout = match by_tables(setup)? {
        Some(layout) => layout,
        None => {
            let Some(version) = setup.options.version_code else { return Ok(()) };
            BY_VERSION.iter().find(|(since, _)| version >= *since).map_or(PLAIN, |&(_, layout)| layout)
        }
    };
    let Layout { base, size, text } = layout;
    setup.layout(MapIndex::KvPhys, &[Region::direct(base, base + (size - 1))])?;
    let Some(text) = text else { return Ok(()) };
    setup.set_range(MapIndex::KvPhys, text.first, text.last, MethodIndex::KTEXT)?;
    if let Some(phys) = unless_busy(setup.vtop_pgt(text.first))? {
        let linear = Method::linear(AddrSpace::KPHYS, phys.wrapping_sub(text.first));
        setup.sys.set_method(MethodIndex::KTEXT, linear);
    }
    super::text_defaults_to_page_tables(setup);
    Ok(())
}

/// The tables of a CPU, which have the hypervisor in whatever it ran; those of a
/// domain may have been left out of the dump, and in a domain they may lack most of
/// the hypervisor (XPTI). Then its own tables, or those of another CPU.
fn find_root(setup: &mut Setup<'_>) -> Result<()> {
    if setup.root(MethodIndex::PGT).space != AddrSpace::NOADDR {
        super::round_root(setup);
        return reach_root(setup);
    }
    let mut first = None;
    for place in 0..=CPUS_MAX {
        let root = match place {
            0 => setup.root_of_cpu(0),
            1 => setup.find_root(&[RootSource::Symbol("pgd_l4")]),
            other => setup.root_of_cpu(other - 1),
        };
        let Some(Some(root)) = unless_busy(root)? else { continue };
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
        super::round_root(setup);
        reach_root(setup)?;
        if setup.is_directmap(DIRECTMAP)? || setup.is_directmap(DIRECTMAP_BIGMEM)? {
            return Ok(());
        }
        first.get_or_insert(setup.root(MethodIndex::PGT));
    }
    // None is better than the first.
    if let Some(root) = first {
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
        reach_root(setup)?;
    }
    Ok(())
}

/// Makes a root readable that is known by its virtual address.
fn reach_root(setup: &mut Setup<'_>) -> Result<()> {
    let root = setup.root(MethodIndex::PGT);
    if root.space != AddrSpace::KVIRT {
        return Ok(());
    }
    let offset = if root.addr >= DIRECTMAP {
        DIRECTMAP.wrapping_neg()
    } else if let Some(phys_base) = setup.options.phys_base {
        phys_base.wrapping_sub(root.addr & !(TEXT_SIZE - 1))
    } else {
        return Ok(());
    };
    setup.sys.set_method(MethodIndex::KTEXT, Method::linear(AddrSpace::KPHYS, offset));
    setup.set_range(MapIndex::KvPhys, root.addr, root.addr | mask(12), MethodIndex::KTEXT)
}

fn by_tables(setup: &Setup<'_>) -> Result<Option<Layout>> {
    if setup.is_directmap(DIRECTMAP)? {
        for (text, layout) in BY_TEXT {
            if unless_busy(is_2m_page(setup, text))? == Some(true) {
                return Ok(Some(layout));
            }
        }
        let small_pages = |text| Layout { text: Some(text), ..Layout::new(5 * TIB, None) };
        return Ok(Some(mapped_text(setup)?.map_or(PLAIN, small_pages)));
    }
    if !setup.is_directmap(DIRECTMAP_BIGMEM)? {
        return Ok(None);
    }
    if unless_busy(is_2m_page(setup, TEXT_4_4))? == Some(true) {
        return Ok(Some(BIGMEM));
    }
    let text = mapped_text(setup)?.or(BIGMEM.text);
    Ok(Some(Layout { text, ..BIGMEM }))
}

/// A text without a page of 2 MiB at its start, as far as it is mapped as one
/// piece: patches that were loaded later are behind it.
///
/// From 4.4 to 4.13 a table of machine frames is where the text is from 4.14 on;
/// later nothing is where it was before.
fn mapped_text(setup: &Setup<'_>) -> Result<Option<Text>> {
    let walker = setup.walker(MethodIndex::PGT);
    for text in [Text::whole(TEXT_4_4), Text::whole(TEXT_4_14)] {
        let mut first = text.first;
        let Some(step) = unless_busy(walker.lowest_mapped(&mut first, text.last))? else { continue };
        let Some(phys) = unless_busy(setup.to_kphys(step.base))? else { continue };
        let mut last = first;
        let offset = phys.wrapping_sub(first);
        if unless_busy(walker.highest_linear(&mut last, text.last, offset))?.is_some() {
            return Ok(Some(Text { first, last: last.min(text.last) }));
        }
    }
    Ok(None)
}

/// Whether page tables of four levels map `addr` with a page of 2 MiB: the
/// walk ends a step early.
fn is_2m_page(setup: &Setup<'_>, addr: u64) -> Result<bool> {
    let walker = setup.walker(MethodIndex::PGT);
    let mut step = Step::new(FullAddr::kvirt(addr));
    walker.launch(&mut step, addr)?;
    let mut steps = 0;
    while step.remain > 0 {
        walker.step(&mut step)?;
        steps += 1;
    }
    Ok(steps == 4)
}
