//! Direct mappings that page tables tell, and page tables whose tables fill a
//! page each.

use alloc::vec::Vec;

use super::setup::Setup;
use crate::xlat::error::{Error, Result, Status};
use crate::xlat::map::MethodIndex;
use crate::xlat::method::{Method, PagingForm};
use crate::xlat::pgt::PteFormat;
use crate::xlat::system::MapIndex;
use crate::xlat::types::{AddrSpace, FullAddr};

/// Tables of 8-byte entries that fill a page of 2^`page_shift` bytes each; the
/// highest one takes the bits that are left of `virt_bits`.
///
/// # Errors
///
/// `Invalid` for pages so small that there are too many levels.
pub(super) fn paging_form(format: PteFormat, page_shift: u64, virt_bits: u64) -> Result<PagingForm> {
    let table_bits = page_shift.saturating_sub(3).max(1);
    let mut fields = Vec::new();
    let (mut rest, mut field) = (virt_bits, page_shift);
    while rest > 0 && fields.len() <= PagingForm::FIELDS_MAX {
        let bits = rest.min(field);
        fields.push(u16::try_from(bits).unwrap_or(u16::MAX));
        rest -= bits;
        field = table_bits;
    }
    PagingForm::new(format, &fields)
}

/// What may fail without harm.
pub(super) trait Optional<T> {
    /// A failure is no value, unless it is only that the callbacks are too busy
    /// to tell: that would be another system next time.
    fn optional(self) -> Result<Option<T>>;
}

impl<T> Optional<T> for Result<T> {
    fn optional(self) -> Result<Option<T>> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.status() == Status::BUSY => Err(error),
            Err(_) => Ok(None),
        }
    }
}

impl Setup<'_> {
    /// Whether memory at `addr` is stored under that very address.
    pub fn is_readable(&self, addr: FullAddr) -> Result<bool> {
        let readable = self.ctx.read_caps().contains(addr.space);
        Ok(readable && self.ctx.read::<1>(None, addr, "memory").optional()?.is_some())
    }

    /// A number that only newer kernels export: without it everything is as
    /// before, whatever the reason.
    pub fn hint(&self, name: &str) -> Result<Option<u64>> {
        self.ctx.number(name).optional()
    }

    /// The root of the kernel's page tables by the symbol `swapper_pg_dir`, as a
    /// virtual address where memory is stored by those; else as the physical
    /// address `offset` bytes below. `what` is the name of that offset.
    pub fn swapper_pg_dir(&self, offset: impl FnOnce(&Self, u64) -> Result<u64>) -> Result<FullAddr> {
        let symbol = self.ctx.symbol_value("swapper_pg_dir");
        let addr = symbol.map_err(|error| error.context("Cannot determine page table virtual address"))?;
        if self.is_readable(FullAddr::kvirt(addr))? {
            return Ok(FullAddr::kvirt(addr));
        }
        Ok(FullAddr::kphys(addr.wrapping_sub(offset(self, addr)?)))
    }

    /// Makes the virtual addresses from `first` to `last` a direct mapping of
    /// kernel physical addresses, which are the virtual ones plus `offset`, and
    /// sets up the way back.
    ///
    /// # Errors
    ///
    /// `Invalid`, and nothing is changed, if either end is beyond the end of
    /// its space; else as for [`set_range`](Self::set_range).
    pub fn map_linear(&mut self, first: u64, last: u64, offset: u64) -> Result<()> {
        let (start, end) = (first.wrapping_add(offset), last.wrapping_add(offset));
        if first > last || start > end {
            return Err(Error::invalid("Direct mapping goes beyond the end of memory"));
        }
        self.sys.set_method(MethodIndex::DIRECT, Method::linear(AddrSpace::KPHYS, offset));
        self.set_range(MapIndex::KvPhys, first, last, MethodIndex::DIRECT)?;
        let back = Method::linear(AddrSpace::KVIRT, offset.wrapping_neg());
        self.sys.set_method(MethodIndex::RDIRECT, back);
        self.set_range(MapIndex::KphysDirect, start, end, MethodIndex::RDIRECT)
    }

    /// Where the kernel's page tables map `addr`; none if they do not, or are
    /// not there, or make no sense.
    pub fn mapped(&self, addr: u64) -> Result<Option<u64>> {
        Ok(self.walk(MethodIndex::PGT, addr).optional()?.map(|found| found.addr))
    }

    /// The end of the direct mapping that begins at `first`, according to the
    /// kernel's page tables.
    pub fn linear_end(&self, first: u64, limit: u64, offset: u64) -> Result<u64> {
        let mut last = first;
        self.walker(MethodIndex::PGT).highest_linear(&mut last, limit, offset)?;
        Ok(last)
    }
}
