//! Dumps that are a list of extents: which physical addresses are where.
//!
//! ```text
//!   addresses   0 ......... 9fc00      100000 .............. 200000
//!   extents     AAAAAAAAAAAAAAAA       BBBBBBBBBBBBBCCCCCCCCCCCCCCC
//!                 │ Stored: bytes in a file   │           │
//!                 │              Constant: one byte, again and again
//!                 │                          Made: Maker::read unpacks them
//! ```
//!
//! Most formats beside ELF and diskdump boil down to this. Extents need not
//! begin or end at a page: a page of which some bytes are covered is there,
//! and its other bytes are zero. A page of which no byte is covered is not in
//! the dump.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::{Address, Filled, Format, Packing, Place, Scratch, Space, Spaces};
use crate::attr::{BitSource, Bitmap, Facts, Geometry, PageShift};
use crate::codec::Codec;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::{MaybeSend, MaybeSync, Shared};

/// Where the bytes of an extent come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// They stand in a file as they are.
    Stored {
        /// Index of the file within its set.
        file: usize,
        /// Byte position of the first one.
        position: u64,
    },
    /// All of them are the same.
    Constant(u8),
    /// [`Maker::read`] makes them; the number means something to it only.
    Made(u64),
}

/// Consecutive physical addresses and where their bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first physical address.
    pub start: u64,
    /// Number of bytes.
    pub length: u64,
    /// Where the first byte and those behind it are.
    pub origin: Origin,
}

impl Extent {
    /// The last address; an extent in [`Extents`] has at least one byte.
    fn last(&self) -> u64 {
        self.start.saturating_add(self.length.saturating_sub(1))
    }
}

/// Makes the bytes of extents that do not stand in a file as they are.
pub trait Maker: MaybeSend + MaybeSync {
    /// Fills `bytes` with what is `offset` bytes behind the beginning of the
    /// extent whose origin is [`Origin::Made`]`(number)`. The bytes asked for
    /// are all inside the extent.
    ///
    /// # Errors
    /// `Corrupt` for what cannot be unpacked, and what reading a file says.
    fn read(
        &self,
        files: &FileSet,
        number: u64,
        offset: u64,
        bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()>;

    /// How `size` bytes that are `offset` bytes behind the beginning of extent
    /// `number` are stored: the codec, if there is one, and the bytes that
    /// they take in the file.
    ///
    /// # Errors
    /// What reading a file says.
    fn packing(&self, files: &FileSet, number: u64, offset: u64, size: u64) -> Result<(Option<Codec>, u64)> {
        let _ = (files, number, offset);
        Ok((None, size))
    }
}

/// Extents in ascending order; none of them is empty, and none overlaps.
#[derive(Debug, Default)]
pub struct Extents {
    list: Vec<Extent>,
    /// The last address of every [`GROUP`]th extent: these stay in the
    /// processor's cache even if there are a million extents.
    ends: Vec<u64>,
}

/// Extents that are searched in the second step.
const GROUP: usize = 64;

impl Extents {
    /// From extents in any order; empty ones are left out, and neighbours
    /// that continue each other become one.
    ///
    /// # Errors
    /// `Corrupt` if two of them overlap, or one goes beyond 2^64; both are
    /// named.
    pub fn new(mut list: Vec<Extent>) -> Result<Self> {
        list.retain(|extent| extent.length > 0);
        list.sort_unstable_by_key(|extent| extent.start);
        for extent in &list {
            if extent.start.checked_add(extent.length - 1).is_none() {
                return Err(Error::corrupt(format!(
                    "{} bytes from address {:#x} go beyond 64 bits",
                    extent.length, extent.start
                )));
            }
        }
        for pair in list.windows(2) {
            if let [one, two] = pair
                && two.start <= one.last()
            {
                return Err(Error::corrupt(format!(
                    "Memory {:#x}-{:#x} overlaps {:#x}-{:#x}",
                    one.start,
                    one.last(),
                    two.start,
                    two.last()
                )));
            }
        }
        list.dedup_by(|next, extent| {
            let joined = continues(extent, next);
            if joined {
                extent.length += next.length;
            }
            joined
        });
        list.shrink_to_fit();
        let ends = list.chunks_exact(GROUP).filter_map(|group| group.last()).map(Extent::last).collect();
        Ok(Extents { list, ends })
    }

    /// The extents in ascending order.
    pub fn list(&self) -> &[Extent] {
        &self.list
    }

    /// The last address that is covered.
    pub fn last(&self) -> Option<u64> {
        self.list.last().map(Extent::last)
    }

    /// The extents from the first one on that does not end below a limit,
    /// where `below` is true for addresses up to that limit.
    fn from(&self, below: impl Fn(u64) -> bool) -> &[Extent] {
        let group = self.ends.partition_point(|end| below(*end)) * GROUP;
        let rest = self.list.get(group..).unwrap_or_default();
        let near = rest.get(..GROUP).unwrap_or(rest);
        let first = near.partition_point(|extent| below(extent.last()));
        rest.get(first..).unwrap_or_default()
    }

    /// The extents that cover bytes of `[start, start + size)`.
    fn touching(&self, start: u64, size: u64) -> impl Iterator<Item = &Extent> {
        let last = start.saturating_add(size.saturating_sub(1));
        self.from(move |end| end < start).iter().take_while(move |extent| extent.start <= last)
    }
}

/// Whether the bytes of `next` are behind those of `extent` everywhere.
fn continues(extent: &Extent, next: &Extent) -> bool {
    if extent.start.checked_add(extent.length) != Some(next.start) {
        return false;
    }
    match (extent.origin, next.origin) {
        (Origin::Stored { file, position }, Origin::Stored { file: other, position: behind }) => {
            file == other && position.checked_add(extent.length) == Some(behind)
        }
        (Origin::Constant(byte), Origin::Constant(other)) => byte == other,
        _ => false,
    }
}

/// The pages that are covered; no page while their size is not known.
struct PageMap {
    extents: Shared<Extents>,
    shift: PageShift,
}

impl BitSource for PageMap {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let Some(shift) = self.shift.get() else { return Ok(None) };
        let mut found = self.extents.from(|last| last >> shift < from).iter();
        let Some(first) = found.next() else { return Ok(None) };
        let start = (first.start >> shift).max(from);
        let mut end = (first.last() >> shift).saturating_add(1);
        // As far as extents touch, but not for ever: the caller asks on.
        for next in found.take(GROUP) {
            if next.start >> shift > end {
                break;
            }
            end = (next.last() >> shift).saturating_add(1);
        }
        Ok(Some((start, end)))
    }
}

/// An open dump that is a list of extents.
pub struct ExtentDump {
    /// Name of the format (attribute `file.format`).
    pub name: &'static str,
    /// The files.
    pub files: Shared<FileSet>,
    /// Where memory is.
    pub extents: Shared<Extents>,
    /// Makes what is [`Origin::Made`].
    pub maker: Option<Box<dyn Maker>>,
    /// Whether a page that is not covered is memory that the writer left out
    /// because it is zero: `file.zero_excluded` gives zeroes for it.
    pub omits_zeroes: bool,
}

impl ExtentDump {
    /// Sets the attributes that follow from the extents: `max_pfn`,
    /// `file.pagemap`, and `memory.pagemap` too if the format names all
    /// memory. Needs `arch.page_size` for the first.
    ///
    /// # Errors
    /// What setting attributes says.
    pub fn describe(extents: &Shared<Extents>, names_all_memory: bool, facts: &mut Facts<'_>) -> Result<()> {
        if let Some(shift) = facts.geometry().page_shift {
            let end = extents.last().map_or(0, |last| (last >> shift).saturating_add(1));
            facts.set_number("max_pfn", end)?;
        }
        let map = PageMap { extents: extents.clone(), shift: facts.page_shift() };
        let map = Bitmap::new(Shared::new(map));
        if names_all_memory {
            facts.set_bitmap("memory.pagemap", map.clone())?;
        }
        facts.set_bitmap("file.pagemap", map)
    }

    fn size(&self, geometry: &Geometry) -> Result<u64> {
        match geometry.page_shift {
            Some(shift @ 0..64) => Ok(1 << shift),
            _ => Err(Error::invalid("Page size is not known: set attribute arch.page_size")),
        }
    }

    /// Whether a page that no extent touches reads as zeroes.
    fn zeroes(&self, geometry: &Geometry, address: u64) -> bool {
        self.omits_zeroes && geometry.zero_excluded && self.extents.last().is_some_and(|last| address <= last)
    }
}

fn not_stored() -> Error {
    Error::no_data("Page not found")
}

impl Format for ExtentDump {
    fn name(&self) -> &'static str {
        self.name
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::MachinePhysical)
    }

    fn files(&self) -> Option<&Shared<FileSet>> {
        Some(&self.files)
    }

    fn locate(&self, geometry: &Geometry, address: Address) -> Result<Place> {
        let size = self.size(geometry)?;
        let mut touching = self.extents.touching(address.value, size);
        let Some(first) = touching.next() else {
            return if self.zeroes(geometry, address.value) { Ok(Place::Filled) } else { Err(not_stored()) };
        };
        if let Origin::Stored { file, position } = first.origin
            && first.start <= address.value
            && address.value.saturating_add(size - 1) <= first.last()
            && let Some(position) = position.checked_add(address.value - first.start)
        {
            return Ok(Place::Stored { file, position });
        }
        Ok(Place::Filled)
    }

    fn packing(&self, geometry: &Geometry, address: Address) -> Result<Packing> {
        let size = self.size(geometry)?;
        let mut packing = Packing { codec: None, size: 0 };
        let mut found = false;
        for extent in self.extents.touching(address.value, size) {
            found = true;
            let from = extent.start.max(address.value);
            let to = extent.last().min(address.value.saturating_add(size - 1));
            let (codec, stored) = match (extent.origin, &self.maker) {
                (Origin::Made(number), Some(maker)) => {
                    maker.packing(&self.files, number, from - extent.start, to - from + 1)?
                }
                (Origin::Constant(_), _) => (None, 0),
                _ => (None, to - from + 1),
            };
            packing.codec = packing.codec.or(codec);
            packing.size = packing.size.saturating_add(stored);
        }
        if found { Ok(packing) } else { Err(not_stored()) }
    }

    fn fill(
        &self,
        geometry: &Geometry,
        address: Address,
        page: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Filled> {
        let start = address.value;
        let last = start.saturating_add((page.len() as u64).saturating_sub(1));
        page.fill(0);
        let mut found = false;
        for extent in self.extents.touching(start, page.len() as u64) {
            found = true;
            let from = extent.start.max(start);
            let to = extent.last().min(last);
            let Some(bytes) = page.get_mut((from - start) as usize..=(to - start) as usize) else { continue };
            let offset = from - extent.start;
            match (extent.origin, &self.maker) {
                (Origin::Stored { file, position }, _) => {
                    let position = position.checked_add(offset).ok_or_else(not_stored)?;
                    self.files
                        .read(file, position, bytes)
                        .context(|| format!("Cannot read page data at {position}"))?;
                }
                (Origin::Constant(byte), _) => bytes.fill(byte),
                (Origin::Made(number), Some(maker)) => {
                    maker.read(&self.files, number, offset, bytes, scratch)?;
                }
                (Origin::Made(_), None) => return Err(not_stored()),
            }
        }
        match found {
            true => Ok(Filled::Kept),
            false if self.zeroes(geometry, start) => Ok(Filled::Synthetic),
            false => Err(not_stored()),
        }
    }
}

#[cfg(test)]
mod tests;
