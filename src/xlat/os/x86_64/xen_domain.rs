//! Linux in a paravirtualised Xen domain.
//!
//! ```text
//!   virtual --page tables--> machine --M2P, an array of the hypervisor--> kernel physical
//!   kernel physical --P2M, a tree of the domain, or the direct mapping--> machine
//! ```
//!
//! Dumps that Xen writes say that they have such a domain and where its tree is. A
//! dump of a machine that runs Xen may come from somebody who does not know of it:
//! a hypervisor around it, or a tool that copies memory. It is recognised if any CPU
//! was in the kernel or in the hypervisor: page tables of the processes of a domain
//! lack the kernel.

use super::super::setup::CPUS_MAX;
use super::linux::Window;
use super::{MapIndex, MethodIndex, Setup, mask, text, unless_busy};
use crate::sync::Shared;
use crate::xlat::error::Result;
use crate::xlat::map::Map;
use crate::xlat::method::{MemArray, Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::types::{AddrSpace, FullAddr};

/// The array of kernel frame numbers by machine frame number, in the memory
/// of each Xen domain (`MACH2PHYS_VIRT_START`, xen/include/public/arch-x86).
const XEN_M2P: u64 = 0xffff_8000_0000_0000;
/// Its end (`MACH2PHYS_VIRT_END`).
const XEN_M2P_END: u64 = 0xffff_803f_ffff_ffff;
/// Xen gives its domains page tables of four levels; with the page offset these
/// are five parts of an address.
const FIELDS: u16 = 5;
/// log2 of the size of an entry.
const ENTRY_SHIFT: u32 = 3;

/// Page tables hold machine addresses.
pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    setup.sys.set_map(MapIndex::KphysMachphys, Some(Shared::new(Map::new())));
    if let Some(mfn) = setup.options.xen_p2m_mfn {
        let form = PagingForm::new(PteFormat::Pfn64, &[12, 9, 9, 9])?;
        let root = FullAddr::machphys(mfn.wrapping_shl(12));
        let p2m = Method::page_table(AddrSpace::MACHPHYS, PageTable::new(root, form));
        setup.sys.set_method(MethodIndex::KPHYS_MACHPHYS, p2m);
        let last = mask(form.virt_bits());
        setup.set_range(MapIndex::KphysMachphys, 0, last, MethodIndex::KPHYS_MACHPHYS)?;
    }
    let m2p = MemArray { base: FullAddr::kvirt(XEN_M2P), shift: 12, elemsz: 8, valsz: 8 };
    setup.sys.set_method(MethodIndex::MACHPHYS_KPHYS, Method::memory_array(AddrSpace::KPHYS, m2p));
    Ok(())
}

/// Whether the page tables in use are those of a domain, though nobody said so. If
/// they are, and the domain's tree is not known, the root becomes that of a CPU:
/// a symbol leads nowhere as long as no table can be read.
///
/// Then the hypervisor's array is where ordinary kernels have nothing, and knows
/// the frame of the kernel's text by the number that the kernel has for it, which
/// is not that of the machine. A CPU may be in a process, whose tables have the
/// array but no kernel; another one may not.
pub(super) fn is_domain(setup: &mut Setup<'_>) -> Result<bool> {
    let Some(method) = setup.sys.method(MethodIndex::PGT).cloned() else { return Ok(false) };
    let levels = setup.page_table(MethodIndex::PGT).map(|table| table.form.nfields());
    if levels != Some(FIELDS) || !setup.ctx.read_caps().contains(AddrSpace::MACHPHYS) {
        return Ok(false);
    }
    let given = setup.options.root.filter(|root| root.space != AddrSpace::NOADDR);
    let known = find_domain(setup, given);
    if known != Ok(true) || given.is_some() || setup.options.xen_p2m_mfn.is_some() {
        setup.sys.set_method(MethodIndex::PGT, method);
    }
    known
}

/// Leaves the root with which the domain was found.
fn find_domain(setup: &mut Setup<'_>, given: Option<FullAddr>) -> Result<bool> {
    let given = given.filter(|root| root.space == AddrSpace::MACHPHYS);
    for cpu in 0..CPUS_MAX {
        let root = match given {
            Some(_) if cpu > 0 => break,
            Some(root) => Some(root),
            None => unless_busy(setup.root_of_cpu(cpu))?.flatten(),
        };
        let Some(root) = root else { continue };
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
        let walker = setup.walker(MethodIndex::PGT);
        if unless_busy(walker.lowest_mapped(&mut { XEN_M2P }, XEN_M2P_END))?.is_none() {
            // This is the end for all ordinary kernels.
            break;
        }
        if unless_busy(frame_of_text_is_moved(setup))? == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn frame_of_text_is_moved(setup: &Setup<'_>) -> Result<bool> {
    let mut addr = match setup.symbol("_stext")? {
        Some(addr) => addr,
        None => text::START,
    };
    let machphys = setup.walker(MethodIndex::PGT).lowest_mapped(&mut addr, text::END)?.base.addr;
    let kphys = addr.wrapping_sub(text::START).wrapping_add(setup.options.phys_base.unwrap_or(0));
    let element = XEN_M2P.wrapping_add((machphys >> 12) << ENTRY_SHIFT);
    let frame = setup.read_u64(setup.walk(MethodIndex::PGT, element)?, "M2P entry")?;
    Ok(frame == kphys >> 12 && frame != machphys >> 12)
}

/// Finds machine addresses of a domain whose tree is not known: by the page tables
/// of its direct mapping, which has all of its memory.
///
/// The mapping begins with an entry of the top level, as the base of a domain is
/// not random: from there on, these tables translate kernel physical addresses.
pub(super) fn way_by_direct_mapping(setup: &mut Setup<'_>, window: Window) -> Result<()> {
    let Some(mut table) = setup.page_table(MethodIndex::PGT).cloned() else { return Ok(()) };
    let top = usize::from(table.form.nfields().saturating_sub(1));
    let (span, entries) = (table.form.span(top), mask(table.form.field(top)));
    if window.first & mask(span) != 0 {
        return Ok(());
    }
    let index = window.first >> span & entries;
    let last = window.last.wrapping_sub(window.first).min((entries - index) << span | mask(span));
    table.root.addr = table.root.addr.wrapping_add(index << ENTRY_SHIFT);
    let p2m = Method::page_table(AddrSpace::MACHPHYS, table);
    setup.sys.set_method(MethodIndex::KPHYS_MACHPHYS, p2m);
    setup.set_range(MapIndex::KphysMachphys, 0, last, MethodIndex::KPHYS_MACHPHYS)
}
