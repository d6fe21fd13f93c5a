//! Methods: one way from an address to another.
//!
//! | kind | result |
//! | --- | --- |
//! | [`Kind::Linear`] | the address plus a constant |
//! | [`Kind::Pgt`] | what page tables say |
//! | [`Kind::Lookup`] | what a list of objects says |
//! | [`Kind::MemArr`] | a frame number from an array in the dump's memory |
//! | [`Kind::Custom`] | what code of the user says |

use alloc::vec::Vec;
use core::fmt;

use super::error::{Error, Result};
use super::pgt::PteFormat;
use super::step::{Step, Walker};
use super::types::{AddrSpace, FullAddr};
use crate::sync::{MaybeSend, MaybeSync, Shared};

/// A way from an address to another.
#[derive(Clone, Debug)]
pub struct Method {
    /// The space of the result.
    pub target: AddrSpace,
    /// How the result is found.
    pub kind: Kind,
}

impl Method {
    /// The method that translates nothing.
    pub const NONE: Method = Method { target: AddrSpace::KPHYS, kind: Kind::None };

    /// Adds `offset` to each address, around the end of the space if need be.
    pub const fn linear(target: AddrSpace, offset: u64) -> Self {
        Method { target, kind: Kind::Linear(offset) }
    }

    /// Walks page tables.
    pub const fn page_table(target: AddrSpace, table: PageTable) -> Self {
        Method { target, kind: Kind::Pgt(table) }
    }

    /// Looks the object up that contains the address.
    pub const fn lookup(target: AddrSpace, lookup: Lookup) -> Self {
        Method { target, kind: Kind::Lookup(lookup) }
    }

    /// Reads the frame number from an array in memory.
    pub const fn memory_array(target: AddrSpace, array: MemArray) -> Self {
        Method { target, kind: Kind::MemArr(array) }
    }

    /// Asks code of the user.
    pub fn custom(target: AddrSpace, custom: impl Custom + 'static) -> Self {
        Method { target, kind: Kind::Custom(Shared::new(custom)) }
    }

    /// Whether this is the method that translates nothing.
    pub const fn is_none(&self) -> bool {
        matches!(self.kind, Kind::None)
    }
}

/// How a [`Method`] finds its result.
#[derive(Clone)]
#[non_exhaustive]
pub enum Kind {
    /// Not at all (0 in the C ABI).
    None,
    /// Code of the user (1).
    Custom(Shared<dyn Custom>),
    /// By adding this number (2).
    Linear(u64),
    /// By walking page tables (3).
    Pgt(PageTable),
    /// By a list of objects (4).
    Lookup(Lookup),
    /// By an array of frame numbers in memory (5).
    MemArr(MemArray),
    /// A number of the C ABI that is none of these.
    Unknown(i32),
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::None => f.write_str("None"),
            Kind::Custom(_) => f.write_str("Custom"),
            Kind::Linear(offset) => write!(f, "Linear({offset:#x})"),
            Kind::Pgt(table) => table.fmt(f),
            Kind::Lookup(lookup) => lookup.fmt(f),
            Kind::MemArr(array) => array.fmt(f),
            Kind::Unknown(number) => write!(f, "Unknown({number})"),
        }
    }
}

/// A method that code of the user implements, step by step.
pub trait Custom: MaybeSend + MaybeSync {
    /// Begins to translate `addr`.
    ///
    /// Sets `base`, `remain`, `elemsz` and `idx[..remain]` of the step. A
    /// `remain` of 0 means that `base` is the result already.
    ///
    /// # Errors
    ///
    /// They end the translation and come out as they are.
    fn first_step(&self, walker: &Walker<'_>, step: &mut Step, addr: u64) -> Result<()>;

    /// Goes on with `base` as the place of the next element; `remain` is 1 at
    /// least. The last addition, from 1 to 0, is done by the library.
    ///
    /// # Errors
    ///
    /// They end the translation and come out as they are.
    fn next_step(&self, walker: &Walker<'_>, step: &mut Step) -> Result<()>;
}

/// Parameters of [`Kind::Pgt`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageTable {
    /// Where the top-level table is. Tables below it live in the target space
    /// of the method.
    pub root: FullAddr,
    /// Bits that are taken out of each entry before it is decoded, such as the
    /// encryption bit of AMD SME.
    pub pte_mask: u64,
    /// The levels and the format of the entries.
    pub form: PagingForm,
    /// Whether entries are checked for reserved bits and unaligned frames, as
    /// a processor would. The default, `false`, takes what dumps have.
    pub strict: bool,
}

impl PageTable {
    /// Page tables at `root`, whose entries are used as they are.
    pub const fn new(root: FullAddr, form: PagingForm) -> Self {
        PageTable { root, pte_mask: 0, form, strict: false }
    }
}

/// How an address is cut into indices, and what an entry looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PagingForm {
    format: PteFormat,
    nfields: u16,
    fields: [u16; PagingForm::FIELDS_MAX],
}

impl PagingForm {
    /// How many fields an address can have.
    pub const FIELDS_MAX: usize = 8;

    /// Entries of `format`; `fields` are the sizes of the parts of an address
    /// in bits, page offset first. The highest one need not be used in full.
    ///
    /// # Errors
    ///
    /// `Invalid` if there are more than eight fields, or more than 64 bits.
    pub fn new(format: PteFormat, fields: &[u16]) -> Result<Self> {
        let mut sizes = [0; Self::FIELDS_MAX];
        let nfields = u16::try_from(fields.len()).unwrap_or(u16::MAX);
        match sizes.get_mut(..fields.len()) {
            Some(places) => places.copy_from_slice(fields),
            None => return Err(Error::invalid("Too many address fields")),
        }
        let form = Self::unchecked(format, nfields, sizes);
        if form.span(fields.len()) > 64 {
            return Err(Error::invalid("Address fields exceed 64 bits"));
        }
        Ok(form)
    }

    /// The same without any check, for numbers that come from C. A walk with
    /// more than eight fields fails; bits beyond the 64th are zero.
    pub const fn unchecked(format: PteFormat, nfields: u16, fields: [u16; Self::FIELDS_MAX]) -> Self {
        PagingForm { format, nfields, fields }
    }

    /// The format of the entries.
    pub const fn format(&self) -> PteFormat {
        self.format
    }

    /// The number of fields: page offset and one index for each level.
    pub const fn nfields(&self) -> u16 {
        self.nfields
    }

    /// The sizes of the fields in bits, page offset first; those that are not
    /// used stand behind.
    pub const fn field_sizes(&self) -> &[u16; Self::FIELDS_MAX] {
        &self.fields
    }

    /// The fields that are used.
    pub fn fields(&self) -> &[u16] {
        self.fields.get(..usize::from(self.nfields)).unwrap_or(&self.fields)
    }

    /// The size of field `level` in bits; 0 if there is none.
    pub fn field(&self, level: usize) -> u32 {
        self.fields.get(level).map_or(0, |&bits| u32::from(bits))
    }

    /// log2 of the bytes that an entry of level `level` maps: the bits of all
    /// lower fields together.
    pub fn span(&self, level: usize) -> u32 {
        self.fields.iter().take(level).map(|&bits| u32::from(bits)).sum()
    }

    /// The bits of an address that all fields together use.
    pub fn virt_bits(&self) -> u32 {
        self.span(usize::from(self.nfields))
    }
}

/// As documentation writes it: `x86_64:12,9,9,9,9`.
impl fmt::Debug for PagingForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.format.name().unwrap_or("invalid"))?;
        for (i, bits) in self.fields().iter().enumerate() {
            write!(f, "{}{bits}", if i == 0 { ':' } else { ',' })?;
        }
        Ok(())
    }
}

/// An object of a [`Lookup`]: its first address here, and there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LookupElem {
    /// The first address of the object in the source space.
    pub orig: u64,
    /// The first address of the object in the target space.
    pub dest: u64,
}

impl fmt::Debug for LookupElem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} -> {:#x}", self.orig, self.dest)
    }
}

/// Parameters of [`Kind::Lookup`]: objects of one size, anywhere.
#[derive(Clone)]
pub struct Lookup {
    endoff: u64,
    elems: Shared<[LookupElem]>,
    /// The elements in the order of their addresses, if no two of them overlap;
    /// else the first one in the order of the table decides.
    sorted: Option<Shared<[LookupElem]>>,
}

impl Lookup {
    /// Objects of `endoff` + 1 bytes each. If they overlap, the first one that
    /// contains an address decides.
    pub fn new(endoff: u64, elems: impl Into<Vec<LookupElem>>) -> Self {
        let elems = elems.into();
        let mut sorted = elems.clone();
        sorted.sort_unstable_by_key(|elem| elem.orig);
        let apart = sorted.windows(2).all(|pair| match pair {
            [low, high] => high.orig - low.orig > endoff,
            _ => true,
        });
        Lookup { endoff, elems: elems.into(), sorted: apart.then(|| sorted.into()) }
    }

    /// The size of each object in bytes less one.
    pub const fn endoff(&self) -> u64 {
        self.endoff
    }

    /// The objects in the order in which they were given.
    pub fn elems(&self) -> &[LookupElem] {
        &self.elems
    }

    /// The object that contains `addr`.
    pub fn find(&self, addr: u64) -> Option<LookupElem> {
        let contains = |elem: &&LookupElem| addr >= elem.orig && addr - elem.orig <= self.endoff;
        let found = match &self.sorted {
            Some(sorted) => {
                let above = sorted.partition_point(|elem| elem.orig <= addr);
                above.checked_sub(1).and_then(|place| sorted.get(place)).filter(contains)
            }
            None => self.elems.iter().find(contains),
        };
        found.copied()
    }

    /// Whether each object is whole, so that all of it translates alike.
    pub(super) fn is_apart(&self) -> bool {
        self.sorted.is_some()
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lookup(endoff {:#x}, {:?})", self.endoff, self.elems())
    }
}

/// Parameters of [`Kind::MemArr`]: frame numbers in the dump's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemArray {
    /// Where the first element is.
    pub base: FullAddr,
    /// log2 of the bytes of a frame.
    pub shift: u32,
    /// The distance of two elements in bytes.
    pub elemsz: u32,
    /// The size of the number at the start of an element in bytes: 4 or 8.
    pub valsz: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(endoff: u64, origs: &[u64]) -> Lookup {
        let elems: Vec<_> = origs.iter().map(|&orig| LookupElem { orig, dest: !orig }).collect();
        Lookup::new(endoff, elems)
    }

    #[test]
    fn objects_that_lie_apart_are_found_by_halves() {
        let table = lookup(0xf, &[0x30, 0x10, u64::MAX - 3]);
        assert!(table.is_apart());
        for (addr, orig) in [
            (0x10, Some(0x10)),
            (0x1f, Some(0x10)),
            (0x20, None),
            (0x3f, Some(0x30)),
            (0x40, None),
            (0xf, None),
        ] {
            assert_eq!(table.find(addr).map(|elem| elem.orig), orig, "{addr:#x}");
        }
        assert_eq!(table.find(u64::MAX).map(|elem| elem.orig), Some(u64::MAX - 3));
        assert_eq!(table.find(0), None, "an object does not go around the end of the space");
    }

    #[test]
    fn first_of_overlapping_objects_decides() {
        let table = lookup(0xf, &[0x18, 0x10]);
        assert!(!table.is_apart());
        assert_eq!(table.find(0x1f).map(|elem| elem.orig), Some(0x18));
        assert_eq!(table.find(0x10).map(|elem| elem.orig), Some(0x10));
        assert!(!lookup(u64::MAX, &[5, 5]).is_apart());
    }

    #[test]
    fn form_refuses_what_no_address_has() {
        assert!(PagingForm::new(PteFormat::None, &[8; 8]).is_ok());
        assert!(PagingForm::new(PteFormat::None, &[9, 8, 8, 8, 8, 8, 8, 8]).is_err());
        assert!(PagingForm::new(PteFormat::None, &[1; 9]).is_err());
        let form = PagingForm::new(PteFormat::X86_64, &[12, 9, 9, 9, 9]).unwrap();
        assert_eq!(alloc::format!("{form:?}"), "x86_64:12,9,9,9,9");
        assert_eq!((form.span(0), form.span(2), form.virt_bits()), (0, 21, 48));
    }
}
