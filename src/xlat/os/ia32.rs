//! ia32, with and without physical address extension (PAE).
//!
//! | form | entries | fields |
//! | --- | --- | --- |
//! | non-PAE | 4 bytes | 12, 10, 10 |
//! | PAE | 8 bytes | 12, 9, 9, 2 |
//!
//! Linux maps physical memory from `PAGE_OFFSET` on, up to where vmalloc
//! starts; the kernel's text is in there.

use alloc::format;

use super::setup::{Explain, Known, RootSource};
use super::{OsType, Region, Setup, mask};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::step::{Step, Walker};
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// `PAGE_OFFSET` of almost every Linux.
const LINUX_BASE: u64 = 0xc000_0000;
/// The other choices for CONFIG_PAGE_OFFSET (arch/x86/Kconfig), highest first.
const LINUX_BASES: [u64; 5] = [LINUX_BASE, 0xb000_0000, 0x8000_0000, 0x7800_0000, 0x4000_0000];
const XEN_BASE: u64 = 0xff00_0000;
const LAST: u64 = mask(32);

/// The two sizes of physical addresses, and what follows from them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Extension {
    phys_bits: u32,
    format: PteFormat,
    fields: &'static [u16],
    /// log2 of what the address of the highest table is a multiple of; the bits
    /// of CR3 below it are flags.
    root_shift: u32,
}

const PAE: Extension =
    Extension { phys_bits: 52, format: PteFormat::Ia32Pae, fields: &[12, 9, 9, 2], root_shift: 5 };
const NON_PAE: Extension =
    Extension { phys_bits: 32, format: PteFormat::Ia32, fields: &[12, 10, 10], root_shift: 12 };

impl Extension {
    fn table(self, root: FullAddr) -> Result<Method> {
        let form = PagingForm::new(self.format, self.fields)?;
        Ok(Method::page_table(AddrSpace::MACHPHYS, PageTable::new(root, form)))
    }
}

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    let base = page_offset(setup)?;
    if setup.os() == OsType::Linux {
        // Tables that are known by their virtual address can be read from here.
        setup.layout(MapIndex::KvPhys, &[Region::direct(base, LAST)]).explain("Cannot set up directmap")?;
    }
    let phys_bits = match setup.options.phys_bits {
        Some(bits) => bits,
        None => u64::from(probe(setup, base).explain("Cannot determine PAE state")?.phys_bits),
    };
    let whole = [Region::new(0, LAST, MethodIndex::PGT)];
    setup.layout(MapIndex::Hw, &whole).explain("Cannot set up hardware mapping")?;
    let extension = match phys_bits {
        52 => PAE,
        32 => NON_PAE,
        _ => {
            let message = format!("{phys_bits}-bit physical addresses not implemented");
            return Err(Error::not_implemented(message));
        }
    };
    setup.set_physmaps(mask(extension.phys_bits))?;
    let root = setup.options.root.unwrap_or(FullAddr::NONE);
    setup.sys.set_method(MethodIndex::PGT, extension.table(root)?);

    let mut regions = [whole[0], whole[0]];
    let mut used = 1;
    if setup.os() == OsType::Linux {
        find_root(setup, extension, base)?;
        if let Some(vmalloc) = vmalloc_start(setup).explain("Cannot determine VMALLOC start")? {
            if vmalloc <= base || vmalloc > LAST {
                return Err(Error::invalid(format!("Invalid VMALLOC start: {vmalloc:x}")));
            }
            let beyond = vmalloc - base;
            setup
                .set_range(MapIndex::KphysDirect, beyond, u64::MAX, MethodIndex::NONE)
                .explain("Cannot update reverse directmap")?;
            regions[1] = Region::new(base, vmalloc - 1, MethodIndex::DIRECT);
            used = 2;
        }
    }
    setup.sys.set_map(MapIndex::KvPhys, None);
    let regions = regions.get(..used).unwrap_or(&regions);
    setup.layout(MapIndex::KvPhys, regions).explain("Cannot set up directmap")
}

/// Where Linux maps physical memory: 3 GiB, unless the kernel's own addresses
/// are lower than that.
fn page_offset(setup: &Setup<'_>) -> Result<u64> {
    if setup.os() != OsType::Linux {
        return Ok(XEN_BASE);
    }
    let Ok(symbol) = setup.ctx.symbol_value("swapper_pg_dir") else {
        return Ok(LINUX_BASE);
    };
    Ok(LINUX_BASES.into_iter().find(|&base| symbol >= base).unwrap_or(LINUX_BASE))
}

/// Finds out which form of page tables maps physical address 0 at `base`.
fn probe(setup: &mut Setup<'_>, base: u64) -> Result<Extension> {
    let root = match (setup.options.root, setup.os()) {
        (None, OsType::Linux) => match setup.ctx.symbol_value("swapper_pg_dir") {
            Ok(symbol) => FullAddr::kvirt(symbol),
            Err(error) if error.status() == Status::NoData => match by_cr4(setup)? {
                Some(extension) => return Ok(extension),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        },
        (Some(root), OsType::Linux | OsType::Xen) => root,
        (None, _) => return Err(Error::not_implemented("Unsupported OS")),
        (Some(_), OsType::Unknown) => return Err(Error::bare(Status::NotImplemented)),
    };
    for extension in [PAE, NON_PAE] {
        setup.set_physmaps(mask(extension.phys_bits)).explain("Cannot set up physical mappings")?;
        let method = extension.table(root)?;
        let mut step = Step::new(FullAddr::kvirt(base));
        match Walker::new(setup.ctx, Some(&*setup.sys), &method).walk(&mut step) {
            Ok(()) if step.base.addr == 0 => return Ok(extension),
            Err(error) if error.status() == Status::BUSY => return Err(error),
            _ => {}
        }
        for map in [MapIndex::MachphysKphys, MapIndex::KphysMachphys] {
            setup.sys.map_mut(map).clear();
        }
    }
    Err(Error::not_implemented("Neither PAE nor non-PAE directmap found"))
}

/// The form of the page tables that a processor is told to use.
fn by_cr4(setup: &mut Setup<'_>) -> Result<Option<Extension>> {
    /// CR4.PAE.
    const CR4_PAE: u64 = 1 << 5;
    let cr4 = setup.paging_register("cr4")?;
    Ok(cr4.map(|cr4| if cr4 & CR4_PAE != 0 { PAE } else { NON_PAE }))
}

/// Finds the root, unless it is given: that of the processor, if the kernel can
/// work with its tables. Those of a program that is kept apart from the kernel
/// (PTI) have hardly anything of the kernel.
fn find_root(setup: &mut Setup<'_>, extension: Extension, base: u64) -> Result<()> {
    const CR3: [RootSource; 1] = [RootSource::Register("cr3")];
    const SYMBOL: [RootSource; 1] = [RootSource::Symbol("swapper_pg_dir")];
    if setup.root(MethodIndex::PGT).space != AddrSpace::NOADDR {
        return Ok(());
    }
    let cr3 = setup.find_root(&CR3)?;
    if let Some(cr3) = cr3 {
        let root = FullAddr::machphys(cr3.addr & !mask(extension.root_shift));
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
        if setup.is_directmap(base)? {
            return Ok(());
        }
    }
    if let Some(root) = setup.find_root(&SYMBOL)? {
        setup.change_table(MethodIndex::PGT, |table| table.root = root);
    }
    Ok(())
}

/// The end of the direct mapping, by the lowest area of vmalloc.
fn vmalloc_start(setup: &Setup<'_>) -> Result<Option<u64>> {
    for source in [first_vmap_area, first_vm_struct] {
        if let Some(start) = source(setup).known()? {
            return Ok(Some(start));
        }
    }
    // Since 6.9; truncated, as other numbers of 32 bits are.
    Ok(setup.number("VMALLOC_START")?.map(|start| start & LAST))
}

/// Since 2.6.28: a list in the order of addresses.
fn first_vmap_area(setup: &Setup<'_>) -> Result<u64> {
    let ctx = setup.ctx;
    let list = ctx.symbol_value("vmap_area_list")?;
    let va_start = ctx.symbol_offset("vmap_area", "va_start")?;
    let in_area = ctx.symbol_offset("vmap_area", "list")?;
    let next = ctx.symbol_offset("list_head", "next")?;
    let head = FullAddr::kvirt(list).offset(next);
    let node = u64::from(setup.read_u32(head, "vmap_area_list node")?);
    if node == list {
        return Err(Error::no_data("vmap_area_list is empty"));
    }
    let start = FullAddr::kvirt(node.wrapping_sub(in_area).wrapping_add(va_start));
    setup.read_u32(start, "vmap_area start address").map(u64::from)
}

/// Before that.
fn first_vm_struct(setup: &Setup<'_>) -> Result<u64> {
    let list = setup.ctx.symbol_value("vmlist")?;
    let addr = setup.ctx.symbol_offset("vm_struct", "addr")?;
    let first = u64::from(setup.read_u32(FullAddr::kvirt(list), "vmlist")?);
    setup.read_u32(FullAddr::kvirt(first).offset(addr), "vmlist address").map(u64::from)
}
