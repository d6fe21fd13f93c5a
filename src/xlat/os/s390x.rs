//! s390x: page tables of 2 to 5 levels, whatever the system is.
//!
//! | top-level table | virtual addresses | fields |
//! | --- | --- | --- |
//! | segment | 31 bits | 12,8,11 |
//! | region-third | 42 bits | 12,8,11,11 |
//! | region-second | 53 bits | 12,8,11,11,11 |
//! | region-first | 64 bits | 12,8,11,11,11,11 |
//!
//! Linux up to 6.9 has its image and the identity mapping at virtual = physical.
//! Since 6.10 both may be anywhere; VMCOREINFO (`KERNELOFFSET`,
//! `KERNELOFFPHYS`, `IDENTITYBASE`) and os_info tell where
//! (`arch/s390/kernel/{crash_dump,os_info}.c`).

use alloc::format;

use super::s390x_lowcore::{OsInfo, Placement};
use super::setup::{Explain, Known};
use super::{OsType, Region, Setup, mask};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// The fields of an address, for five levels.
const FIELDS: [u16; 6] = [12, 8, 11, 11, 11, 11];
/// The entries of a region or segment table.
const TABLE_ENTRIES: u64 = 2048;
/// A region or segment entry is invalid.
const INVALID: u64 = 1 << 5;
/// An address-space-control element that designates no table.
const REAL_SPACE: u64 = 1 << 5;
/// Bits of an address-space-control element that are not the table's address.
const CONTROL: u64 = 0xfff;

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    setup.set_physmaps(u64::MAX)?;
    // Physical addresses alone are enough to find VMCOREINFO in the lowcore.
    let Some(tables) = find_tables(setup).known()? else { return Ok(()) };
    let levels = tables
        .virt_bits
        .checked_sub(20)
        .filter(|bits| bits % 11 == 0)
        .and_then(|bits| usize::try_from(bits / 11).ok())
        .filter(|levels| (1..=4).contains(levels));
    let Some(fields) = levels.and_then(|levels| FIELDS.get(..levels + 2)) else {
        let bits = tables.virt_bits;
        return Err(Error::not_implemented(format!("{bits}-bit virtual addresses not implemented")));
    };
    let form = PagingForm::new(PteFormat::S390x, fields)?;
    let method = Method::page_table(AddrSpace::MACHPHYS, PageTable::new(tables.root, form));
    setup.sys.set_method(MethodIndex::PGT, method);
    let last = mask(form.virt_bits());
    for map in [MapIndex::Hw, MapIndex::KvPhys] {
        setup.set_range(map, 0, last, MethodIndex::PGT)?;
    }
    match tables.placement {
        Some(placement) => identity_mapping(setup, &placement, last),
        None => Ok(()),
    }
}

/// What the page tables are.
struct Tables {
    root: FullAddr,
    virt_bits: u64,
    /// Where the kernel lies, if not at virtual = physical.
    placement: Option<Placement>,
}

fn find_tables(setup: &Setup<'_>) -> Result<Tables> {
    let explain = "Cannot determine page table root address";
    if let Some(root) = setup.options.root.filter(|root| root.space != AddrSpace::NOADDR) {
        return given_tables(setup, root);
    }
    let symbol = match setup.options.os {
        None => Err(Error::bare(Status::NoData)),
        Some(OsType::Linux) => setup.ctx.symbol_value("swapper_pg_dir"),
        Some(_) => Err(Error::bare(Status::NotImplemented)),
    }
    .explain(explain)?;
    if let Some(placement) = placement_by_numbers(setup).explain(explain)? {
        return tables_at(setup, symbol, Some(placement));
    }
    match tables_at(setup, symbol, None) {
        // The symbol is no physical address.
        Err(error) if matches!(error.status(), Status::NoData | Status::NotPresent) => {
            match placement_by_os_info(setup)? {
                Some(placement) => tables_at(setup, symbol, Some(placement)),
                None => Err(error),
            }
        }
        found => found,
    }
}

/// The tables of a user, who may give the whole control element (as `cr1`).
fn given_tables(setup: &Setup<'_>, root: FullAddr) -> Result<Tables> {
    let control = root.addr & CONTROL;
    let root = FullAddr { addr: root.addr & !CONTROL, ..root };
    if control & REAL_SPACE != 0 {
        return Err(Error::not_implemented("Real-space designation has no page tables"));
    }
    let virt_bits = match setup.options.virt_bits {
        Some(bits) => bits,
        None if control != 0 => bits_of_type(control),
        None => probe_bits(setup, root)?,
    };
    Ok(Tables { root, virt_bits, placement: None })
}

/// The tables at a symbol of the kernel.
fn tables_at(setup: &Setup<'_>, symbol: u64, placement: Option<Placement>) -> Result<Tables> {
    let root = FullAddr::kphys(placement.map_or(symbol, |placement| placement.phys(symbol)));
    let virt_bits = setup.options.virt_bits.map_or_else(|| probe_bits(setup, root), Ok)?;
    Ok(Tables { root, virt_bits, placement })
}

/// The bits of addresses that a table translates: its type stands in its
/// entries as it does in control elements.
const fn bits_of_type(entry: u64) -> u64 {
    20 + 11 * (((entry >> 2) & 3) + 1)
}

/// The first valid entry of a table tells its type.
fn probe_bits(setup: &Setup<'_>, root: FullAddr) -> Result<u64> {
    for index in 0..TABLE_ENTRIES {
        let entry = setup.read_u64(root.offset(index * 8), "page table")?;
        if entry & INVALID == 0 {
            return Ok(bits_of_type(entry));
        }
    }
    Err(Error::not_present("Empty top-level page table"))
}

/// `KERNELOFFSET` alone is older than the separation of image and identity
/// mapping, so `KERNELOFFPHYS` decides.
fn placement_by_numbers(setup: &Setup<'_>) -> Result<Option<Placement>> {
    let Some(image_phys) = setup.number("KERNELOFFPHYS")? else { return Ok(None) };
    let Some(image) = setup.number("KERNELOFFSET")? else { return Ok(None) };
    let identity_base = setup.number("IDENTITYBASE")?.unwrap_or(0);
    Ok(Some(Placement { identity_base, image, image_phys }))
}

/// The same from the lowcore, for callbacks that know no numbers.
fn placement_by_os_info(setup: &Setup<'_>) -> Result<Option<Placement>> {
    let read = &mut |addr: u64, bytes: &mut [u8]| {
        for (offset, word) in (0..).step_by(8).zip(bytes.chunks_mut(8)) {
            let value = setup.read_u64(FullAddr::kphys(addr).offset(offset), "os_info");
            let value = value.map_err(Error::into_dump)?.to_be_bytes();
            word.iter_mut().zip(value).for_each(|(place, byte)| *place = byte);
        }
        Ok(())
    };
    match OsInfo::read(read) {
        Ok(info) => Ok(info.placement()),
        Err(error) => match Error::from_dump(&error) {
            error if error.status() == Status::BUSY => Err(error),
            _ => Ok(None),
        },
    }
}

/// All memory is mapped from the identity base up to `high_memory`, which lies
/// below the image. Where that cannot be read the page tables do as well.
fn identity_mapping(setup: &mut Setup<'_>, placement: &Placement, last: u64) -> Result<()> {
    let Some(symbol) = setup.symbol("high_memory")? else { return Ok(()) };
    let end = match setup.read_u64(FullAddr::kphys(placement.phys(symbol)), "high_memory") {
        Ok(end) => end,
        Err(error) if matches!(error.status(), Status::Other(_)) => return Err(error),
        Err(_) => return Ok(()),
    };
    let base = placement.identity_base;
    if end <= base || end > placement.image || end - 1 > last || (base | end) & mask(12) != 0 {
        return Ok(());
    }
    setup.layout(MapIndex::KvPhys, &[Region::direct(base, end - 1)])
}
