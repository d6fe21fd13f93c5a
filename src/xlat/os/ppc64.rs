//! ppc64 (Book3S): Linux with a hash table or a radix tree, 4 KiB or 64 KiB
//! pages.
//!
//! A hash table says little about kernel addresses to who reads a dump, so the
//! tables that Linux keeps beside it are walked; their shape depends on the
//! version. A radix tree is what the processor walks itself.
//!
//! What is known decides between the old layout, which needs no version, and
//! those of later kernels:
//!
//! | version | page | layout |
//! | --- | --- | --- |
//! | not known, or before 3.10 | 64 KiB | old |
//! | known | 4 KiB, or 64 KiB since 3.10 | by the tables below |
//! | any, radix tree announced | any | radix tree |
//!
//! Sources: `arch/powerpc/include/asm/book3s/64/{hash-4k,hash-64k,radix,pgtable}.h`.

use alloc::format;

use super::ppc64_vmemmap as vmemmap;
use super::{OsType, Region, Setup, linux_version, mask};
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PageTable, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// Physical addresses have up to 50 bits where nothing else is known.
const PHYS_BITS: u64 = 50;
/// The direct mapping starts here.
const DIRECT: u64 = 0xc000_0000_0000_0000;
const DIRECT_LAST: u64 = 0xcfff_ffff_ffff_ffff;
/// `vmalloc` before 5.2, with a hash table; I/O follows.
const VMALLOC_OLD: u64 = 0xd000_0000_0000_0000;
/// The array of page structures before 5.2, with a hash table.
const VMEMMAP_OLD: u64 = 0xf000_0000_0000_0000;

/// How an address is cut with a hash table, from a version on.
type Fields = (u64, &'static [u16]);

const HASH_64K: &[Fields] = &[
    (0, &[16, 12, 12, 4]),
    (linux_version(3, 10, 0), &[16, 8, 10, 12]),
    (linux_version(4, 6, 0), &[16, 8, 5, 5, 12]),
    (linux_version(4, 12, 0), &[16, 8, 10, 7, 8]),
    (linux_version(4, 17, 0), &[16, 8, 10, 10, 8]),
];
const HASH_4K: &[Fields] = &[(0, &[12, 9, 7, 7, 9]), (linux_version(3, 7, 0), &[12, 9, 7, 9, 9])];
const RADIX_64K: &[u16] = &[16, 5, 9, 9, 13];
const RADIX_4K: &[u16] = &[12, 9, 9, 9, 13];

/// The entries of hash kernels from a version on: 64 KiB and 4 KiB pages.
const HASH_FORMATS: &[(u64, PteFormat, PteFormat)] = &[
    (0, PteFormat::Ppc64LinuxRpn30, PteFormat::Ppc64LinuxRpn17),
    (linux_version(3, 10, 0), PteFormat::Ppc64Linux3_10, PteFormat::Ppc64Linux3_10),
    (linux_version(4, 5, 0), PteFormat::Ppc64Linux4_5, PteFormat::Ppc64Linux4_5),
    (linux_version(4, 6, 0), PteFormat::Ppc64Linux4_6, PteFormat::Ppc64Linux4_6),
    (linux_version(4, 7, 0), PteFormat::Ppc64Linux4_7, PteFormat::Ppc64Linux4_7),
    (linux_version(4, 10, 0), PteFormat::Ppc64LinuxHash, PteFormat::Ppc64LinuxHash),
];

/// Where kernel addresses are what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// The direct mapping ends before.
    direct_end: u64,
    /// What page tables map: `vmalloc`, modules, I/O.
    tables: (u64, u64),
    /// The array of page structures.
    vmemmap: (u64, u64),
}

/// Everything in the quadrant of the direct mapping: 64 KiB pages since 5.2,
/// and radix trees.
const NEW: Layout = Layout {
    direct_end: 0xc008_0000_0000_0000,
    tables: (0xc008_0000_0000_0000, 0xc00b_ffff_ffff_ffff),
    vmemmap: (0xc00c_0000_0000_0000, 0xc00f_ffff_ffff_ffff),
};
/// The same for 4 KiB pages with a hash table, whose tables end at 64 TiB.
const NEW_HASH_4K: Layout = Layout {
    direct_end: 0xc000_3d00_0000_0000,
    tables: (0xc000_3d00_0000_0000, 0xc000_3eff_ffff_ffff),
    vmemmap: (0xc000_3f00_0000_0000, 0xc000_3fff_ffff_ffff),
};

/// A quadrant each, with page tables of `bits`.
const fn old_layout(bits: u32) -> Layout {
    Layout {
        direct_end: VMALLOC_OLD,
        tables: (VMALLOC_OLD, VMALLOC_OLD + mask(bits)),
        vmemmap: (VMEMMAP_OLD, u64::MAX),
    }
}

pub(super) fn init(setup: &mut Setup<'_>) -> Result<()> {
    if setup.os() != OsType::Linux {
        return Err(Error::not_implemented("OS type not implemented"));
    }
    let page_shift = setup.options.page_shift.unwrap_or(16);
    let version = setup.options.version_code;
    let announced = match page_shift {
        12 | 16 => setup.number("RADIX_MMU")?,
        _ => None,
    };
    let known = match (page_shift, version) {
        (16, Some(version)) => version >= linux_version(3, 10, 0),
        (12, Some(_)) => true,
        _ => false,
    };
    match (page_shift, announced, known) {
        (12 | 16, Some(1), _) | (12 | 16, _, true) => {}
        (16, ..) => return old(setup),
        _ => return Err(Error::not_implemented(format!("Unsupported page shift: {page_shift}"))),
    }

    let version = version.unwrap_or(0);
    let phys_bits = setup.number("MAX_PHYSMEM_BITS")?.unwrap_or(0).clamp(PHYS_BITS, 64);
    setup.set_physmaps(mask(phys_bits as u32))?;
    // Needed to find out what the tables are; the layout comes later.
    let direct = Region::direct(DIRECT, DIRECT_LAST);
    setup.layout(MapIndex::KvPhys, &[direct])?;
    if is_radix(setup, announced, version)? {
        radix(setup, if page_shift == 16 { RADIX_64K } else { RADIX_4K })
    } else {
        hash(setup, page_shift, version)
    }
}

/// 64 KiB pages, a hash table, and a version that is before 3.10 or not known.
fn old(setup: &mut Setup<'_>) -> Result<()> {
    let (_, format, _) = HASH_FORMATS[0];
    let (_, fields) = HASH_64K[0];
    let form = PagingForm::new(format, fields)?;
    setup.set_physmaps(mask(PHYS_BITS as u32))?;
    apply(setup, &old_layout(form.virt_bits()), form.virt_bits(), MethodIndex::VMEMMAP)?;
    set_tables(setup, form)?;
    vmemmap::set_up(setup, VMEMMAP_OLD).map(|_| ())
}

fn radix(setup: &mut Setup<'_>, fields: &[u16]) -> Result<()> {
    let form = PagingForm::new(PteFormat::Ppc64Radix, fields)?;
    let bits = form.virt_bits();
    let root = set_tables(setup, form)?;
    // The tree maps the array of page structures, too; the list of its parts
    // is of use only where there is no tree.
    let by_list = root.space == AddrSpace::NOADDR && vmemmap::set_up(setup, DIRECT)?.is_some();
    let method = if by_list { MethodIndex::VMEMMAP } else { MethodIndex::PGT };
    apply(setup, &NEW, bits, method)?;
    setup.set_range(MapIndex::Hw, 0, mask(bits), MethodIndex::UPGT)?;
    setup.set_range(MapIndex::Hw, DIRECT, DIRECT + mask(bits), MethodIndex::PGT)
}

fn hash(setup: &mut Setup<'_>, page_shift: u64, version: u64) -> Result<()> {
    let &(_, of_64k, of_4k) = since(HASH_FORMATS, version, |entry| entry.0);
    let (format, fields) = match page_shift {
        16 => (of_64k, since(HASH_64K, version, |entry| entry.0).1),
        _ => (of_4k, since(HASH_4K, version, |entry| entry.0).1),
    };
    let form = PagingForm::new(format, fields)?;
    let is_new = version >= linux_version(5, 2, 0);
    let mut layout = match (is_new, page_shift) {
        (false, _) => old_layout(form.virt_bits()),
        (true, 16) => NEW,
        (true, _) => NEW_HASH_4K,
    };
    // Exported by all kernels since 6.9.
    if let Some(start) = setup.number("VMALLOC_START")?
        && start > DIRECT
        && start < layout.tables.1
        && start & mask(form.field(0)) == 0
    {
        layout.tables.0 = start;
        layout.direct_end = start.min(layout.direct_end);
    }
    set_tables(setup, form)?;
    apply(setup, &layout, form.virt_bits(), MethodIndex::VMEMMAP)?;
    let orig_min = if is_new { DIRECT } else { VMEMMAP_OLD };
    match vmemmap::set_up(setup, orig_min)? {
        // The list knows better where the array is.
        Some((first, last)) if first >= layout.tables.0 => {
            setup.set_range(MapIndex::KvPhys, first, last, MethodIndex::VMEMMAP)
        }
        _ => Ok(()),
    }
}

/// The last entry of a table by versions that is not newer than `version`.
fn since<T>(table: &'static [T], version: u64, from: fn(&T) -> u64) -> &'static T {
    let newer = table.partition_point(|entry| from(entry) <= version);
    // Tables start with version 0.
    &table[newer.saturating_sub(1)]
}

/// The map of kernel and user addresses; tables map `bits` of the latter.
fn apply(setup: &mut Setup<'_>, layout: &Layout, bits: u32, vmemmap: MethodIndex) -> Result<()> {
    for map in [MapIndex::KvPhys, MapIndex::KphysDirect] {
        setup.sys.set_map(map, None);
    }
    let regions = [
        Region::new(0, mask(bits), MethodIndex::UPGT),
        Region::direct(DIRECT, layout.direct_end - 1),
        Region::new(layout.tables.0, layout.tables.1, MethodIndex::PGT),
        Region::new(layout.vmemmap.0, layout.vmemmap.1, vmemmap),
    ];
    setup.layout(MapIndex::KvPhys, &regions)
}

/// Page tables of the kernel and of a process. A root that is given is taken
/// for both: it may be that of either.
fn set_tables(setup: &mut Setup<'_>, form: PagingForm) -> Result<FullAddr> {
    let given = setup.options.root.unwrap_or(FullAddr::NONE);
    let root = match given.space {
        AddrSpace::NOADDR => match setup.ctx.symbol_value("swapper_pg_dir") {
            Ok(root) => FullAddr::kvirt(root),
            Err(error) if error.status() == Status::BUSY => return Err(error),
            Err(_) => FullAddr::NONE,
        },
        _ => given,
    };
    for (index, root) in [(MethodIndex::PGT, root), (MethodIndex::UPGT, given)] {
        let method = Method::page_table(AddrSpace::MACHPHYS, PageTable::new(root, form));
        setup.sys.set_method(index, method);
    }
    Ok(root)
}

/// Whether the processor walks a radix tree: what the kernel announces, else
/// the features of the processor, else what the top-level table looks like.
fn is_radix(setup: &Setup<'_>, announced: Option<u64>, version: u64) -> Result<bool> {
    /// Set in `mmu_features` of `struct cpu_spec`.
    const MMU_FTR_TYPE_RADIX: u32 = 0x40;

    if let Some(radix) = announced {
        return Ok(radix == 1);
    }
    if version < linux_version(4, 7, 0) {
        return Ok(false);
    }
    if let Some(spec) = setup.symbol("cur_cpu_spec")?
        && let Ok(offset) = setup.ctx.symbol_offset("cpu_spec", "mmu_features")
        && let Some(spec) = if_there(setup.read_u64(FullAddr::kvirt(spec), "cur_cpu_spec"))?
        && let Some(features) =
            if_there(setup.read_u32(FullAddr::kvirt(spec).offset(offset), "mmu_features"))?
    {
        return Ok(features & MMU_FTR_TYPE_RADIX != 0);
    }
    looks_like_radix(setup)
}

/// The first entry of the kernel's tree is always there: it is for the start of
/// the direct mapping. It says that it is valid, no page, and how many entries
/// the next table has; that of a hash kernel is empty or a plain address.
fn looks_like_radix(setup: &Setup<'_>) -> Result<bool> {
    const TABLE: u64 = 1 << 63;
    const FLAGS_AND_SIZE: u64 = 0xc000_0000_0000_001f;
    const ENTRIES_LOG2: u64 = 9;

    let symbol = setup.symbol("swapper_pg_dir")?.map(FullAddr::kvirt);
    let Some(root) = symbol.or(setup.options.root) else { return Ok(false) };
    let entry = setup.ctx.read::<8>(Some(&*setup.sys), root, "page table");
    let Some((entry, _)) = if_there(entry)? else { return Ok(false) };
    Ok(u64::from_be_bytes(entry) & FLAGS_AND_SIZE == TABLE | ENTRIES_LOG2)
}

/// What cannot be read or translated is none; failures of callbacks remain.
pub(super) fn if_there<T>(result: Result<T>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.status(), Status::Other(_)) => Err(error),
        Err(_) => Ok(None),
    }
}
