//! LKCD: dumps by the Linux Kernel Crash Dump project, 1999 to 2006.
//!
//! ```text
//! 0                      header          header.rs
//! dh_header_size         registers, from version 8 on     cpu.rs
//! 65536, or as said      page records    records.rs
//! ```
//!
//! Pages come in any order and no table tells where: `records.rs` follows the
//! records as far as it must, `index.rs` remembers where the pages are.
//!
//! | version | pages are packed by |
//! | --- | --- |
//! | 1, 2, 3 | RLE |
//! | 5 to 10 | what the header says: nothing, RLE or zlib |

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use crate::attr::{AttrType, Bitmap, Geometry, LazyValue, Value};
use crate::error::{Error, Result, ResultExt};
use crate::format::{Address, Filled, Format, Opening, Packing, Place, Scratch, Space, Spaces};
use crate::notes::uts;
use crate::sync::Shared;

mod cpu;
mod header;
mod index;
mod records;

use header::{Common, Detail, Method, WITH_REGISTERS};
use records::{COMPRESSED, DESCRIPTOR_BYTES, Descriptor, RAW, Records, StoredPages};

/// Name of the format.
pub const NAME: &str = "lkcd";

/// Packed pages that claim to be larger are none.
const PACKED_MAX: u32 = 1 << 18;

/// An open LKCD dump.
struct Lkcd {
    records: Shared<Records>,
    page_shift: u32,
    method: Method,
}

/// Opens an LKCD dump; `None` if file 0 has no signature of it.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` for more than one file
/// (`Multiple files not implemented`) and for an unknown version
/// (`Unsupported LKCD version: <version>`); `Corrupt` (`Invalid page size:
/// <bytes>`).
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    if files.count() == 0 {
        return Ok(None);
    }
    let mut raw = [0; header::BYTES];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    let Some(common) = Common::read(&raw) else { return Ok(None) };
    let facts = &mut opening.facts;
    facts.set_number("arch.byte_order", common.order.number())?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    let flattened = files.flattened().prefix();
    let description = format!("{flattened}Linux Kernel Crash Dump v{}", common.version);
    facts.set_string("file.description", &description)?;
    facts.set_number("arch.page_size", common.page_size.into())?;
    let page_shift = common.page_size.trailing_zeros();
    let detail = Detail::read(&raw, &common)?;
    let records = Shared::new(Records::new(files.clone(), common.order, page_shift, detail.records));
    facts.set_lazy("max_pfn", AttrType::Number, Shared::new(MaxPfn(records.clone())));
    facts.set_bitmap("file.pagemap", Bitmap::new(Shared::new(StoredPages(records.clone()))))?;
    uts::store(facts, &detail.utsname)?;
    if common.version >= WITH_REGISTERS {
        cpu::publish(files, common.order, common.header_size.into(), detail.records, facts)?;
    }
    Ok(Some(Box::new(Lkcd { records, page_shift, method: detail.method })))
}

/// `max_pfn`: known only when all records were looked at.
struct MaxPfn(Shared<Records>);

impl LazyValue for MaxPfn {
    fn compute(&self) -> Result<Value> {
        self.0.end_pfn().map(Value::Number).context(|| "Cannot get max_pfn")
    }
}

impl Lkcd {
    fn find(&self, address: Address) -> Result<(u64, Descriptor)> {
        self.records.find(address.value >> self.page_shift)
    }

    /// How the data of a record are stored: packed, or as they are.
    fn check(descriptor: &Descriptor, page_size: u64) -> Result<bool> {
        let size = descriptor.size;
        match descriptor.flags & (RAW | COMPRESSED) {
            RAW if u64::from(size) != page_size => Err(Error::corrupt(format!("Wrong page size: {size}"))),
            RAW => Ok(false),
            COMPRESSED if size > PACKED_MAX => Err(Error::corrupt(format!("Wrong compressed size: {size}"))),
            COMPRESSED => Ok(true),
            other => Err(Error::not_implemented(format!("Unsupported compression type: {other:#x}"))),
        }
    }
}

/// The first `size` bytes of a buffer that grows when it must.
fn room(buffer: &mut Vec<u8>, size: usize) -> Result<&mut [u8]> {
    if let Some(missing) = size.checked_sub(buffer.len()) {
        buffer
            .try_reserve(missing)
            .map_err(|_| Error::system(format!("Cannot allocate page buffer ({size} bytes)")))?;
        buffer.resize(size, 0);
    }
    Ok(&mut buffer[..size])
}

impl Format for Lkcd {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::MachinePhysical)
    }

    fn page_shift(&self, _: &Geometry) -> Option<u32> {
        Some(self.page_shift)
    }

    fn locate(&self, _: &Geometry, _: Address) -> Result<Place> {
        Ok(Place::Filled)
    }

    fn packing(&self, _: &Geometry, address: Address) -> Result<Packing> {
        let (_, descriptor) = self.find(address)?;
        let codec = match Self::check(&descriptor, 1 << self.page_shift)? {
            true => Some(self.method.codec()?),
            false => None,
        };
        Ok(Packing { codec, size: descriptor.size.into() })
    }

    fn fill(&self, _: &Geometry, address: Address, page: &mut [u8], scratch: &mut Scratch) -> Result<Filled> {
        let (position, descriptor) = self.find(address)?;
        let packed = Self::check(&descriptor, page.len() as u64)?;
        let position = position.saturating_add(DESCRIPTOR_BYTES);
        let unread = || format!("Cannot read page data at {position}");
        let files = &self.records.files;
        if !packed {
            files.read(0, position, page).context(unread)?;
            return Ok(Filled::Kept);
        }
        let Scratch { decoder, packed } = scratch;
        let size = descriptor.size as usize;
        let packed = match files.borrow(0, position, size) {
            Some(packed) => packed,
            None => {
                let packed = room(packed, size)?;
                files.read(0, position, packed).context(unread)?;
                packed
            }
        };
        decoder.page(self.method.codec()?, packed, page)?;
        Ok(Filled::Kept)
    }
}
