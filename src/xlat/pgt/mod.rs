//! Page tables: what an entry of each format says, and how a walk goes on.
//!
//! One file an architecture. A format is data - the size of an entry, the check
//! of the address, the names for messages - and one function that decodes an
//! entry. With `r` for the steps that remain after an entry was read, 1 is the
//! level of pages, and `span(r)` is log2 of the bytes that the entry maps.
//!
//! | format | levels (page offset first) | huge pages |
//! | --- | --- | --- |
//! | `pfn32`, `pfn64` | any | none |
//! | `aarch64` | 12,9,9,9,9 · 14,11,11,11,1 · 16,13,13,6 | up to 1 GiB |
//! | `aarch64_lpa` | 16,13,13,10 | up to 4 TiB |
//! | `aarch64_lpa2` | 12,9,9,9,9,4 · 14,11,11,11,5 | up to 512 GiB |
//! | `arm` | 12,8,12 | 64 KiB, 1 MiB, 16 MiB |
//! | `arm_lpae` | 12,9,9,2 | 2 MiB, 1 GiB |
//! | `ia32` | 12,10,10 | 4 MiB |
//! | `ia32_pae` | 12,9,9,2 | 2 MiB |
//! | `x86_64` | 12,9,9,9,9 · 12,9,9,9,9,9 | 2 MiB, 1 GiB |
//! | `s390x` | 12,8,11 up to 12,8,11,11,11,11 | 1 MiB, 2 GiB |
//! | `ppc64_linux_rpn30` | 16,12,12,4 | any, also by huge page directories |
//! | `ppc64_linux_hash` | 16,8,10,10,8 · 12,9,7,9,9 and others | any, also by huge page directories |
//! | `ppc64_linux_rpn17` up to `ppc64_linux_4_7` | see `ppc64_hash.rs` | any |
//! | `ppc64_radix` | 16,5,9,9,13 · 12,9,9,9,13 | 2 MiB, 1 GiB |
//! | `riscv32` | 12,10,10 | 4 MiB |
//! | `riscv64` | 12,9,9,9 up to 12,9,9,9,9,9 | 64 KiB (Svnapot), any |
//! | `loongarch64` | 12,9,9,9,9 · 14,11,11,11 · 16,13,13,13 | any |

mod aarch64;
mod arm;
mod loongarch64;
mod pfn;
mod ppc64;
mod ppc64_hash;
mod riscv;
mod row;
mod s390x;
mod x86;

#[cfg(test)]
mod tests;

use alloc::format;

use super::error::{Error, Result};
use super::method::{PageTable, PagingForm};
use super::step::{Raw, Step, Walker, mask, shl, shr};
use super::types::{AddrSpace, ByteOrder, FullAddr};

pub(super) use row::Row;

/// The format of the entries of a page table; the number is that of the C ABI,
/// and from 0x100 on our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PteFormat {
    /// No table at all: what is left is an offset (0).
    None,
    /// Frame numbers of 32 bits (1).
    Pfn32,
    /// Frame numbers of 64 bits (2), for example Xen's physical-to-machine tree.
    Pfn64,
    /// VMSAv8-64 descriptors (3).
    Aarch64,
    /// 32-bit x86 without PAE (4).
    Ia32,
    /// 32-bit x86 with PAE (5).
    Ia32Pae,
    /// x86-64 with 4 or 5 levels (6).
    X86_64,
    /// z/Architecture dynamic address translation (7).
    S390x,
    /// Linux on POWER before 3.10, 64 KiB pages with a frame number at bit 30 (8).
    Ppc64LinuxRpn30,
    /// VMSAv8-64 with 64 KiB granule and FEAT_LPA (9).
    Aarch64Lpa,
    /// VMSAv8-64 with 4 KiB or 16 KiB granule and FEAT_LPA2 (10).
    Aarch64Lpa2,
    /// AArch32 short descriptors (11).
    Arm,
    /// RISC-V Sv32 (12).
    Riscv32,
    /// RISC-V Sv39, Sv48 and Sv57 (13).
    Riscv64,
    /// AArch32 long descriptors (0x100).
    ArmLpae,
    /// POWER radix trees; big-endian whatever the kernel is (0x101).
    Ppc64Radix,
    /// LoongArch of 64 bits (0x102).
    LoongArch64,
    /// Linux on POWER from 4.10 on with hash page tables; big-endian (0x103).
    Ppc64LinuxHash,
    /// Linux on POWER with a hash table before 3.10, 4 KiB pages (0x110).
    Ppc64LinuxRpn17,
    /// Linux 3.10 to 4.4 on POWER with a hash table (0x111).
    Ppc64Linux3_10,
    /// Linux 4.5 on POWER with a hash table (0x112).
    Ppc64Linux4_5,
    /// Linux 4.6 on POWER with a hash table (0x113).
    Ppc64Linux4_6,
    /// Linux 4.7 to 4.9 on POWER with a hash table; big-endian (0x114).
    Ppc64Linux4_7,
    /// Any other number.
    Unknown(i32),
}

/// Which addresses a format can translate at all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    /// Bits above the fields are ignored.
    Generic,
    /// Bits above the fields must be zero.
    Unsigned,
    /// Bits above the fields must repeat the top bit of the highest field.
    Signed,
    /// All bits from the top bit of the highest field on must be the same, and
    /// if the fields have fewer bits than these, those from the top one of these
    /// on; bits between are ignored.
    SignedFrom(u32),
}

/// What is known about a format.
struct Format {
    name: &'static str,
    /// log2 of the size of an entry in bytes; none if entries are not read.
    shift: Option<u32>,
    check: Check,
    /// The order of the bytes of an entry, if it is not that of the block.
    order: Option<ByteOrder>,
    /// `targets[n]` is what an entry with `n + 1` steps to go points to.
    targets: &'static [&'static str],
    /// `entries[n]` is the name of an entry with `n + 1` steps to go.
    entries: &'static [&'static str],
    /// Decides where the walk goes on after `pte` was read.
    next: fn(&mut Entry<'_, '_>, pte: u64) -> Result<()>,
}

/// What Linux calls the entries of all architectures with up to five levels.
const LINUX_ENTRIES: &[&str] = &["pte", "pmd", "pud", "p4d", "pgd"];

impl Format {
    const NONE: Format = Format {
        name: "none",
        shift: None,
        check: Check::Generic,
        order: None,
        targets: &[],
        entries: &[],
        next: |_, _| Ok(()),
    };
}

impl PteFormat {
    /// All formats that have a number.
    pub const ALL: [PteFormat; 23] = [
        PteFormat::None,
        PteFormat::Pfn32,
        PteFormat::Pfn64,
        PteFormat::Aarch64,
        PteFormat::Ia32,
        PteFormat::Ia32Pae,
        PteFormat::X86_64,
        PteFormat::S390x,
        PteFormat::Ppc64LinuxRpn30,
        PteFormat::Aarch64Lpa,
        PteFormat::Aarch64Lpa2,
        PteFormat::Arm,
        PteFormat::Riscv32,
        PteFormat::Riscv64,
        PteFormat::ArmLpae,
        PteFormat::Ppc64Radix,
        PteFormat::LoongArch64,
        PteFormat::Ppc64LinuxHash,
        PteFormat::Ppc64LinuxRpn17,
        PteFormat::Ppc64Linux3_10,
        PteFormat::Ppc64Linux4_5,
        PteFormat::Ppc64Linux4_6,
        PteFormat::Ppc64Linux4_7,
    ];

    /// The number of the format.
    pub const fn code(self) -> i32 {
        match self {
            PteFormat::None => 0,
            PteFormat::Pfn32 => 1,
            PteFormat::Pfn64 => 2,
            PteFormat::Aarch64 => 3,
            PteFormat::Ia32 => 4,
            PteFormat::Ia32Pae => 5,
            PteFormat::X86_64 => 6,
            PteFormat::S390x => 7,
            PteFormat::Ppc64LinuxRpn30 => 8,
            PteFormat::Aarch64Lpa => 9,
            PteFormat::Aarch64Lpa2 => 10,
            PteFormat::Arm => 11,
            PteFormat::Riscv32 => 12,
            PteFormat::Riscv64 => 13,
            PteFormat::ArmLpae => 0x100,
            PteFormat::Ppc64Radix => 0x101,
            PteFormat::LoongArch64 => 0x102,
            PteFormat::Ppc64LinuxHash => 0x103,
            PteFormat::Ppc64LinuxRpn17 => 0x110,
            PteFormat::Ppc64Linux3_10 => 0x111,
            PteFormat::Ppc64Linux4_5 => 0x112,
            PteFormat::Ppc64Linux4_6 => 0x113,
            PteFormat::Ppc64Linux4_7 => 0x114,
            PteFormat::Unknown(code) => code,
        }
    }

    /// The format of a number.
    pub fn from_code(code: i32) -> PteFormat {
        let known = Self::ALL.into_iter().find(|format| format.code() == code);
        known.unwrap_or(PteFormat::Unknown(code))
    }

    /// The name of the format.
    pub fn name(self) -> Option<&'static str> {
        self.format().map(|format| format.name)
    }

    /// The format of a name, in letters of any case.
    pub fn from_name(name: &str) -> Option<PteFormat> {
        let same = |format: &PteFormat| format.name().is_some_and(|own| own.eq_ignore_ascii_case(name));
        Self::ALL.into_iter().find(same)
    }

    /// log2 of the size of an entry in bytes; none if there are no entries, or
    /// the format is not known.
    pub fn pteval_shift(self) -> Option<u32> {
        self.format().and_then(|format| format.shift)
    }

    fn format(self) -> Option<&'static Format> {
        Some(match self {
            PteFormat::None => &Format::NONE,
            PteFormat::Pfn32 => &pfn::PFN32,
            PteFormat::Pfn64 => &pfn::PFN64,
            PteFormat::Aarch64 => &aarch64::AARCH64,
            PteFormat::Ia32 => &x86::IA32,
            PteFormat::Ia32Pae => &x86::IA32_PAE,
            PteFormat::X86_64 => &x86::X86_64,
            PteFormat::S390x => &s390x::S390X,
            PteFormat::Ppc64LinuxRpn30 => &ppc64::LINUX_RPN30,
            PteFormat::Aarch64Lpa => &aarch64::LPA,
            PteFormat::Aarch64Lpa2 => &aarch64::LPA2,
            PteFormat::Arm => &arm::ARM,
            PteFormat::Riscv32 => &riscv::RISCV32,
            PteFormat::Riscv64 => &riscv::RISCV64,
            PteFormat::ArmLpae => &aarch64::ARM_LPAE,
            PteFormat::Ppc64Radix => &ppc64::RADIX,
            PteFormat::LoongArch64 => &loongarch64::LOONGARCH64,
            PteFormat::Ppc64LinuxHash => &ppc64::LINUX_HASH,
            PteFormat::Ppc64LinuxRpn17 => &ppc64_hash::LINUX_RPN17,
            PteFormat::Ppc64Linux3_10 => &ppc64_hash::LINUX_3_10,
            PteFormat::Ppc64Linux4_5 => &ppc64_hash::LINUX_4_5,
            PteFormat::Ppc64Linux4_6 => &ppc64_hash::LINUX_4_6,
            PteFormat::Ppc64Linux4_7 => &ppc64_hash::LINUX_4_7,
            PteFormat::Unknown(_) => return None,
        })
    }
}

fn unknown_format() -> Error {
    Error::not_implemented("Unknown PTE format")
}

/// Cuts `addr` into indices and starts at the root.
pub(super) fn first_step(table: &PageTable, step: &mut Step, addr: u64) -> Result<()> {
    let form = &table.form;
    let format = form.format().format().ok_or_else(unknown_format)?;
    if table.root.space == AddrSpace::NOADDR {
        return Err(Error::no_data("Page table address not specified"));
    }
    let nfields = usize::from(form.nfields());
    if nfields >= step.idx.len() {
        return Err(Error::invalid(format!("Too many address fields: {nfields}")));
    }
    step.base = table.root;
    step.remain = form.nfields();
    step.elemsz = match format.shift {
        Some(shift) if step.remain > 1 => 1 << shift,
        _ => 1,
    };
    let mut rest = addr;
    for (index, &bits) in step.idx.iter_mut().zip(form.fields()) {
        *index = rest & mask(u32::from(bits));
        rest = shr(rest, u32::from(bits));
    }
    if let Some(index) = step.idx.get_mut(nfields) {
        *index = rest;
    }
    if nfields == 1 {
        step.leaf_bits = form.field(0);
    }
    let fits = match format.check {
        Check::Generic => true,
        Check::Unsigned => rest == 0,
        Check::Signed => {
            let top = nfields.saturating_sub(1);
            let sign = form.field(top).checked_sub(1).map_or(0, |bit| shr(step.index(top), bit) & 1);
            rest == if sign == 1 { shr(u64::MAX, form.virt_bits()) } else { 0 }
        }
        Check::SignedFrom(bits) => {
            let top = bits.max(form.virt_bits()).saturating_sub(1);
            let high = shr(addr, top);
            high == 0 || high == shr(u64::MAX, top)
        }
    };
    if fits { Ok(()) } else { Err(Error::invalid("Virtual address too big")) }
}

/// The first and the last of the addresses around `addr` that can be translated
/// one after the other: beyond them are bits that must repeat others.
pub(super) fn reach(form: &PagingForm, addr: u64) -> (u64, u64) {
    let half = |bits: u32| match bits.checked_sub(1) {
        Some(top) if top < u64::BITS => {
            let low = mask(top);
            if addr <= low { (0, low) } else { (!low, u64::MAX) }
        }
        _ => (0, u64::MAX),
    };
    match form.format().format().map_or(Check::Generic, |format| format.check) {
        Check::Generic => (0, u64::MAX),
        Check::Unsigned => (0, mask(form.virt_bits())),
        Check::Signed => half(form.virt_bits()),
        Check::SignedFrom(bits) => half(bits.max(form.virt_bits())),
    }
}

/// log2 of the parts of what an entry with `level` steps to go maps, each of which
/// it may say is absent. 0 for entries that speak of all that they map.
pub(super) fn parts(form: &PagingForm, level: usize) -> u32 {
    match form.format() {
        PteFormat::S390x if level > 2 => s390x::TABLE_PARTS.min(form.field(level - 1)),
        _ => 0,
    }
}

/// Reads the entry at `step.base` and goes where it points to.
pub(super) fn next_step(walker: &Walker<'_>, table: &PageTable, step: &mut Step) -> Result<()> {
    next_step_in(walker, table, step, None)
}

/// The same for one who looks at the entries of a table one after the other,
/// and may have this one in `row`.
pub(super) fn next_step_in(
    walker: &Walker<'_>,
    table: &PageTable,
    step: &mut Step,
    row: Option<&mut Row>,
) -> Result<()> {
    let format = table.form.format().format().ok_or_else(unknown_format)?;
    let raw = match format.shift {
        Some(3) => {
            let (bytes, order) = read_entry(walker, step.base, row)?;
            format.order.unwrap_or(order).u64(bytes)
        }
        Some(_) => {
            let (bytes, order) = read_entry(walker, step.base, row)?;
            u64::from(format.order.unwrap_or(order).u32(bytes))
        }
        None => return Ok(()),
    };
    step.raw = Raw::Value(raw);
    let r = usize::from(step.remain);
    (format.next)(&mut Entry { walker, table, format, step, r, raw }, raw & !table.pte_mask)
}

fn read_entry<const N: usize>(
    walker: &Walker<'_>,
    addr: FullAddr,
    row: Option<&mut Row>,
) -> Result<([u8; N], ByteOrder)> {
    const WHAT: &str = "PTE";
    match row {
        Some(row) => row.read(walker, addr, WHAT),
        None => walker.ctx.read(walker.sys, addr, WHAT),
    }
}

/// An entry that was read, and what can be made of it.
struct Entry<'w, 's> {
    walker: &'w Walker<'w>,
    table: &'w PageTable,
    format: &'static Format,
    step: &'s mut Step,
    /// The steps that remain: 1 for an entry that points to a page.
    r: usize,
    /// The entry with all its bits.
    raw: u64,
}

impl Entry<'_, '_> {
    /// log2 of the bytes that the entry maps.
    fn span(&self) -> u32 {
        self.table.form.span(self.r)
    }

    /// The size of field `level` in bits.
    fn field(&self, level: usize) -> u32 {
        self.table.form.field(level)
    }

    /// Whether reserved bits count.
    fn strict(&self) -> bool {
        self.table.strict
    }

    fn target(&self, addr: u64) -> FullAddr {
        FullAddr::new(self.walker.method.target, addr)
    }

    /// Goes on with the table at `addr` in the target space of the method.
    fn go_to_table(&mut self, addr: u64) -> Result<()> {
        self.step.base = self.target(addr);
        Ok(())
    }

    /// Only the offset into the page at `addr` is left.
    fn go_to_page(&mut self, addr: u64) -> Result<()> {
        self.step.base = self.target(addr);
        self.step.elemsz = 1;
        // A huge page directory has put the offset into idx[0] before.
        self.step.leaf_bits = self.step.leaf_bits.max(self.field(0));
        Ok(())
    }

    /// The next table or, on the level of pages, the page.
    fn go_on(&mut self, addr: u64) -> Result<()> {
        if self.r > 1 { self.go_to_table(addr) } else { self.go_to_page(addr) }
    }

    /// Only the offset into the huge page at `addr` is left; all lower indices
    /// are part of it.
    fn go_to_huge_page(&mut self, addr: u64) -> Result<()> {
        let form = &self.table.form;
        let offset = (1..self.r)
            .fold(self.step.idx[0], |offset, level| offset | shl(self.step.index(level), form.span(level)));
        self.step.base = self.target(addr);
        self.step.idx[0] = offset;
        self.step.elemsz = 1;
        self.step.remain = 1;
        self.step.leaf_bits = self.span().min(64);
        Ok(())
    }

    /// What the entry should point to.
    fn target_name(&self) -> &'static str {
        name(self.format.targets, self.r.saturating_sub(1))
    }

    /// The name of this entry.
    fn entry_name(&self) -> &'static str {
        name(self.format.entries, self.r.saturating_sub(1))
    }

    /// The index that led to this entry, as messages show it.
    fn index(&self) -> u32 {
        self.step.index(self.r) as u32
    }

    /// The entry says that there is nothing.
    fn not_present(&self) -> Error {
        if self.walker.quiet {
            return Error::bare(super::error::Status::NotPresent);
        }
        Error::not_present(format!(
            "{} not present: {}[{}] = {:#x}",
            self.target_name(),
            self.entry_name(),
            self.index(),
            self.raw
        ))
    }

    /// The entry says something that cannot be.
    fn invalid(&self) -> Error {
        Error::invalid(format!(
            "Invalid {} entry: {}[{}] = {:#x}",
            name(self.format.targets, self.r),
            self.entry_name(),
            self.index(),
            self.raw
        ))
    }

    /// In a strict walk, an entry that satisfies `wrong` is invalid.
    fn refuse_if(&self, wrong: bool) -> Result<()> {
        if self.strict() && wrong { Err(self.invalid()) } else { Ok(()) }
    }
}

/// A name from a list; there may be more levels than names.
fn name(names: &[&'static str], place: usize) -> &'static str {
    names.get(place).or(names.last()).copied().unwrap_or("table")
}
