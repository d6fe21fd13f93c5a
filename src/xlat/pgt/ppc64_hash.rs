//! POWER with a hash table: the tables that Linux keeps beside it.
//!
//! The processor never sees these tables, so each generation of kernels could
//! shape the entries as it liked (`arch/powerpc/include/asm/book3s/64/`):
//!
//! | kernel | frame number | page above the lowest level | tables | bytes |
//! | --- | --- | --- | --- | --- |
//! | before 3.10, 4 KiB | bit 17 | huge page directory only | virtual | kernel's |
//! | 3.10 | bit 30 (64 KiB), 17 (4 KiB) | bit 0 or 1 | virtual | kernel's |
//! | 4.5 | bit 30 (64 KiB), 18 (4 KiB) | bit 0 | virtual | kernel's |
//! | 4.6 | in place | bit 62 | physical | kernel's |
//! | 4.7 to 4.9 | in place | bit 62 | physical | big-endian |
//!
//! That of 64 KiB pages before 3.10 is `ppc64_linux_rpn30`, that of kernels since
//! 4.10 is `ppc64_linux_hash`.

use alloc::format;

use super::ppc64::{HUGEPD_FLAGS, HUGEPD_SHIFTS, LINUX_RPN30, huge_page_directory, none};
use super::{Entry, Format};
use crate::xlat::error::{Error, Result};
use crate::xlat::step::{mask, shl};
use crate::xlat::types::{AddrSpace, ByteOrder, FullAddr};

/// What the entries of a generation of kernels look like.
struct Era {
    /// An entry without any of these bits maps nothing.
    present: u64,
    /// An entry above the lowest level that has any of these maps a page.
    leaf: u64,
    frame: Frame,
    tables: Tables,
}

/// Where an entry has the address of a page.
enum Frame {
    /// A frame number from this bit on: with 64 KiB pages, with 4 KiB pages.
    Number(u32, u32),
    /// The address as it is.
    InPlace,
}

/// How an entry names a table.
enum Tables {
    /// By its address in the direct mapping. Huge page directories have the
    /// top bit clear.
    VirtualPd63,
    /// By its address in the direct mapping.
    Virtual,
    /// By its physical address.
    Physical,
}

/// Address bits of an entry since 4.6, with those of the offset into a page.
/// No machine has more than 53.
const IN_PLACE: u64 = mask(53);
/// The direct mapping starts here.
const DIRECT: u64 = 0xc000_0000_0000_0000;
/// Bits of an entry for a physical table that are no address.
const TABLE_FLAGS: u64 = 0xc000_0000_0000_00ff;
/// A table may stand in an entry with the size of its objects in these bits.
const TABLE_SIZE_64K: u64 = 0x1ff;
/// Tables of pages are fragments of 4 KiB since 3.10.
const PTE_FRAGMENT_64K: u64 = 0xfff;

static BEFORE_3_10: Era =
    Era { present: 1, leaf: 0, frame: Frame::Number(30, 17), tables: Tables::VirtualPd63 };
static SINCE_3_10: Era = Era { present: 1, leaf: 3, frame: Frame::Number(30, 17), tables: Tables::Virtual };
static SINCE_4_5: Era = Era { present: 2, leaf: 1, frame: Frame::Number(30, 18), tables: Tables::Virtual };
static SINCE_4_6: Era =
    Era { present: 1 << 63, leaf: 1 << 62, frame: Frame::InPlace, tables: Tables::Physical };

pub(super) const LINUX_RPN17: Format = Format {
    name: "ppc64_linux_rpn17",
    next: |entry, pte| linux(entry, pte, &BEFORE_3_10),
    targets: &["Page", "Page table", "Page middle directory", "Page upper directory"],
    ..LINUX_RPN30
};

pub(super) const LINUX_3_10: Format =
    Format { name: "ppc64_linux_3_10", next: |entry, pte| linux(entry, pte, &SINCE_3_10), ..LINUX_RPN17 };

pub(super) const LINUX_4_5: Format =
    Format { name: "ppc64_linux_4_5", next: |entry, pte| linux(entry, pte, &SINCE_4_5), ..LINUX_RPN17 };

pub(super) const LINUX_4_6: Format =
    Format { name: "ppc64_linux_4_6", next: |entry, pte| linux(entry, pte, &SINCE_4_6), ..LINUX_RPN17 };

pub(super) const LINUX_4_7: Format =
    Format { name: "ppc64_linux_4_7", order: Some(ByteOrder::Big), ..LINUX_4_6 };

fn linux(entry: &mut Entry<'_, '_>, pte: u64, era: &Era) -> Result<()> {
    if pte == 0 {
        return Err(none(entry));
    }
    let page_shift = entry.field(0);
    let is_64k = page_shift == 16;
    let is_leaf = entry.r == 1 || pte & era.leaf != 0;
    if is_leaf {
        if pte & era.present == 0 {
            return Err(entry.not_present());
        }
        let page = match era.frame {
            Frame::Number(of_64k, of_4k) => shl(pte >> if is_64k { of_64k } else { of_4k }, page_shift),
            Frame::InPlace => pte & IN_PLACE & !mask(page_shift),
        };
        if entry.r == 1 {
            return entry.go_to_page(page);
        }
        let offset = mask(entry.span());
        entry.refuse_if(page & offset != 0)?;
        return entry.go_to_huge_page(page & !offset);
    }
    let huge_pages = || FullAddr::new(AddrSpace::KVIRT, DIRECT | (pte & !HUGEPD_FLAGS));
    match era.tables {
        Tables::VirtualPd63 if pte >> 63 == 0 => {
            return huge_page_directory(entry, pte, huge_pages(), HUGEPD_SHIFTS);
        }
        Tables::Virtual if !is_64k && pte & HUGEPD_FLAGS != 0 => {
            return huge_page_directory(entry, pte, huge_pages(), HUGEPD_SHIFTS);
        }
        // The codes of page sizes changed in each of these kernels.
        Tables::Physical if !is_64k && pte & HUGEPD_FLAGS != 0 => {
            return Err(Error::not_implemented(format!(
                "Huge page directory: {}[{}] = {:#x}",
                entry.entry_name(),
                entry.index(),
                entry.raw
            )));
        }
        Tables::Physical => return entry.go_to_table(pte & !TABLE_FLAGS),
        Tables::VirtualPd63 | Tables::Virtual => {}
    }
    let flags = match (is_64k, entry.r) {
        (false, _) => 0,
        (true, 2) => PTE_FRAGMENT_64K,
        (true, _) => TABLE_SIZE_64K,
    };
    entry.step.base = FullAddr::new(AddrSpace::KVIRT, pte & !flags);
    Ok(())
}
