//! SADUMP: what the firmware of Fujitsu's machines writes, without help of the
//! system that crashed. x86 only, little endian.
//!
//! ```text
//!   headers                                          header.rs
//!   dump header (H)        1 block
//!   CPU states             sub_hdr_size blocks       cpu.rs
//!   bitmap of memory       bitmap_blocks
//!   bitmap of pages        dumpable_bitmap_blocks
//!   pages                  4096 bytes each, by ascending PFN
//!
//!   disk 1  [ headers │ pages 0 .. ][ disk 2 ][ disk 3 ]     one row of pages
//! ```
//!
//! A set of disks may come in any order. The other disks have nothing but a
//! partition header of one block in front of their pages.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::arch::{Arch, ByteOrder};
use crate::attr::{AttrType, BitSource, Bitmap, Geometry, LazyValue, Value};
use crate::error::{Error, Result, ResultExt};
use crate::format::pfn::{BitOrder, PfnIndex};
use crate::format::{Address, Filled, Format, Opening, Packing, Place, Scratch, Space, Spaces};
use crate::io::FileSet;
use crate::sync::{Counter, Shared};

mod cpu;
mod header;

use cpu::States;
use header::{DiskSet, DumpHeader, Id, Partition};

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "sadump";

/// log2 of the size of a page; blocks may have another one.
const PAGE_SHIFT: u32 = 12;
const PAGE_SIZE: usize = 1 << PAGE_SHIFT;

/// An open SADUMP.
struct Sadump {
    files: Shared<FileSet>,
    stored: Shared<PfnIndex>,
    /// In the order of their numbers.
    disks: Vec<Disk>,
    /// Attribute `max_pfn`.
    limit: Shared<Counter>,
}

/// Where the pages of a disk are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Disk {
    /// Number of the disk, from 1; 0 if there is no set.
    number: u32,
    /// Index of its file.
    file: usize,
    /// Byte position of the first page.
    position: u64,
    /// Bytes of pages that the header speaks of.
    length: u64,
}

/// Opens a SADUMP; `None` if any of the files is none.
///
/// # Errors
/// What is wrong with which file: `Corrupt` for headers that cannot be,
/// `Invalid` for files that do not belong together, `NotImplemented` for
/// several dumps at once, big endian, or architectures other than x86_64 and
/// ia32.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let facts = &mut opening.facts;
    let mut set = Set::default();
    for file in 0..files.count() {
        let name = || String::from(files.name(file));
        let Some(partition) = Partition::read(files, file).context(name)? else { return Ok(None) };
        if file == 0 && facts.number("arch.byte_order").is_some_and(|order| order != 1) {
            let error = Error::not_implemented("Only little endian SADUMP is implemented");
            return Err(error.context(name()));
        }
        set.add(files, file, &partition, facts.string("arch.name").as_deref()).context(name)?;
    }
    // As many distinct numbers as there are files: disk 1 is one of them.
    let Some(main) = set.main else { return Ok(None) };
    let mut disks = set.disks;
    disks.sort_by_key(|disk| disk.number);

    facts.set_number("arch.byte_order", ByteOrder::Little.number())?;
    facts.set_string("file.description", main.description)?;
    if !facts.is_set("arch.name") {
        facts.set_string("arch.name", main.arch.name())?;
    }
    let stored = main.stored.read(files, "page bitmap");
    let stored = match files.count() {
        1 => stored?,
        _ => stored.context(|| String::from(files.name(main.stored.file)))?,
    };
    let max_pfn = main.max_pfn.min(main.stored.bits());
    facts.set_number("max_pfn", max_pfn)?;
    let limit = Shared::new(Counter::new(max_pfn));
    facts.bind("max_pfn", limit.clone())?;
    let stored = Shared::new(stored);
    facts.set_bitmap("file.pagemap", Bitmap::new(stored.clone()))?;
    let ram = RamMap { files: files.clone(), area: main.ram, limit: limit.clone() };
    facts.set_lazy("memory.pagemap", AttrType::Bitmap, Shared::new(ram));
    if let Some(states) = main.states {
        states.publish(files, facts)?;
    }
    Ok(Some(Box::new(Sadump { files: files.clone(), stored, disks, limit })))
}

/// The files that were looked at so far.
#[derive(Default)]
struct Set {
    /// What the first file says, and all others must say.
    common: Option<Common>,
    disks: Vec<Disk>,
    /// Number and volume of the disks that came before disk 1.
    unchecked: Vec<(u32, Id)>,
    disk_set: Option<DiskSet>,
    main: Option<Main>,
}

struct Common {
    block_size: u64,
    sadump_id: Id,
    disk_set_id: Id,
    time_stamp: Id,
}

/// What disk 1, or the only file, says of the dump.
struct Main {
    description: &'static str,
    arch: Arch,
    max_pfn: u64,
    ram: Area,
    stored: Area,
    /// Missing if nobody needs to know the architecture and they make no sense.
    states: Option<States>,
}

/// A bitmap in a file.
#[derive(Clone, Copy)]
struct Area {
    file: usize,
    position: u64,
    /// Bytes.
    size: u64,
}

impl Area {
    fn bits(self) -> u64 {
        self.size.saturating_mul(8)
    }

    /// # Errors
    /// `Cannot read <bytes> bytes of <what> at <position>`.
    fn read(self, files: &FileSet, what: &str) -> Result<PfnIndex> {
        let Area { file, position, size } = self;
        PfnIndex::read(files, file, position, size, BitOrder::MsbFirst, 0..u64::MAX)
            .context(|| format!("Cannot read {size} bytes of {what} at {position}"))
    }
}

impl Set {
    fn add(&mut self, files: &FileSet, file: usize, partition: &Partition, arch: Option<&str>) -> Result<()> {
        partition.check_media()?;
        let block_size = partition.block_size(files, file)?;
        self.check_common(partition, block_size)?;
        let number = partition.disk();
        let count = files.count();
        if number == 0 {
            if count > 1 {
                let what = if partition.media.is_some() { "media backup" } else { "single partition" };
                let text = format!("Multiple SADUMP {what} files not implemented");
                return Err(Error::not_implemented(text));
            }
        } else if usize::try_from(number).is_ok_and(|number| number > count) {
            let text = format!("Disk #{number} found, but only {count} file(s) provided");
            return Err(Error::invalid(text));
        }
        if self.disks.iter().any(|disk| disk.number == number) {
            return Err(Error::invalid(format!("Duplicate disk #{number}")));
        }
        let headers_end = partition.position + block_size;
        if number > 1 {
            match &self.disk_set {
                Some(disk_set) => disk_set.check(number, &partition.vol_id)?,
                None => self.unchecked.push((number, partition.vol_id)),
            }
            let length = partition.used_device.saturating_sub(headers_end);
            self.disks.push(Disk { number, file, position: headers_end, length });
            return Ok(());
        }

        let mut position = headers_end;
        let mut description = match partition.media {
            Some(_) => "SADUMP media backup",
            None => "SADUMP single partition",
        };
        if number == 1 {
            description = "SADUMP disk set";
            let disk_set = DiskSet::read(files, file, position, block_size)?;
            position += disk_set.size;
            for (disk, vol_id) in &self.unchecked {
                disk_set.check(*disk, vol_id)?;
            }
            self.disk_set = Some(disk_set);
        }
        let header = DumpHeader::read(files, file, position, block_size)?;
        let states = States::find(files, file, position + block_size, header.nr_cpus);
        let (arch, states) = match arch {
            None => {
                let states = states?;
                (states.arch(files)?, Some(states))
            }
            Some(name) => match Arch::from_name(name) {
                Some(arch @ (Arch::X86_64 | Arch::Ia32)) => (arch, states.ok()),
                _ => {
                    let text = format!("Unsupported SADUMP architecture: {name}");
                    return Err(Error::not_implemented(text));
                }
            },
        };
        // Products of 32 bits and at most 20 bits, a few of them.
        let ram = Area {
            file,
            position: position + block_size * (1 + u64::from(header.sub_hdr_size)),
            size: block_size * u64::from(header.bitmap_blocks),
        };
        let stored = Area {
            file,
            position: ram.position + ram.size,
            size: block_size * u64::from(header.dumpable_bitmap_blocks),
        };
        let pages = stored.position + stored.size;
        let length = partition.used_device.saturating_sub(pages);
        self.disks.push(Disk { number, file, position: pages, length });
        self.main = Some(Main { description, arch, max_pfn: header.max_mapnr, ram, stored, states });
        Ok(())
    }

    fn check_common(&mut self, partition: &Partition, block_size: u64) -> Result<()> {
        let Some(common) = &self.common else {
            self.common = Some(Common {
                block_size,
                sadump_id: partition.sadump_id,
                disk_set_id: partition.disk_set_id,
                time_stamp: partition.time_stamp,
            });
            return Ok(());
        };
        if block_size != common.block_size {
            let previous = common.block_size;
            let text = format!("Block size mismatch (current file {block_size}, previous {previous})");
            return Err(Error::invalid(text));
        }
        for (what, ours, theirs) in [
            ("System ID", &partition.sadump_id, &common.sadump_id),
            ("Disk set ID", &partition.disk_set_id, &common.disk_set_id),
            ("Timestamp", &partition.time_stamp, &common.time_stamp),
        ] {
            if ours != theirs {
                return Err(Error::invalid(format!("{what} mismatch")));
            }
        }
        Ok(())
    }
}

/// `memory.pagemap`: the bitmap of memory, read when somebody asks for it.
struct RamMap {
    files: Shared<FileSet>,
    area: Area,
    /// That of the dump, which is lowered to what the bitmap knows.
    limit: Shared<Counter>,
}

impl LazyValue for RamMap {
    fn compute(&self) -> Result<Value> {
        let index: Shared<dyn BitSource> = Shared::new(self.area.read(&self.files, "memory bitmap")?);
        self.limit.set(self.limit.get().min(self.area.bits()));
        Ok(Value::Bitmap(Bitmap::new(index)))
    }
}

fn out_of_bounds() -> Error {
    Error::no_data("Out-of-bounds PFN")
}

/// Where the page at some address is.
enum Found {
    Stored(usize, u64),
    Excluded,
}

impl Sadump {
    fn find(&self, geometry: &Geometry, address: Address) -> Result<Found> {
        let shift = geometry.page_shift.unwrap_or(PAGE_SHIFT);
        // The geometry does not know yet if the limit was lowered.
        let end = geometry.max_pfn.map(|end| end.min(self.limit.get()));
        if end.is_some_and(|end| u128::from(address.value) >= u128::from(end) << shift) {
            return Err(out_of_bounds());
        }
        let Some(rank) = self.stored.rank(address.value >> PAGE_SHIFT) else { return Ok(Found::Excluded) };
        let mut offset = rank.checked_mul(PAGE_SIZE as u64).ok_or_else(out_of_bounds)?;
        let (last, others) = self.disks.split_last().ok_or_else(out_of_bounds)?;
        for disk in others {
            if offset < disk.length {
                return Ok(Found::Stored(disk.file, disk.position + offset));
            }
            offset -= disk.length;
        }
        // A backup has more bytes in front of its pages than the device had
        // from which it was made, so the size of the file counts as well.
        let position = last.position.checked_add(offset).ok_or_else(out_of_bounds)?;
        if offset >= last.length && self.files.ends_before(last.file, position)? {
            return Err(out_of_bounds());
        }
        Ok(Found::Stored(last.file, position))
    }
}

impl Format for Sadump {
    fn name(&self) -> &'static str {
        NAME
    }

    fn spaces(&self) -> Spaces {
        Spaces::NONE.with(Space::MachinePhysical)
    }

    fn page_shift(&self, _: &Geometry) -> Option<u32> {
        Some(PAGE_SHIFT)
    }

    fn locate(&self, geometry: &Geometry, address: Address) -> Result<Place> {
        match self.find(geometry, address)? {
            // What must be read is worth a place in the cache, and an error
            // deserves the position.
            Found::Stored(file, position) => Ok(match self.files.borrow(file, position, PAGE_SIZE) {
                Some(_) => Place::Stored { file, position },
                None => Place::Filled,
            }),
            Found::Excluded if geometry.zero_excluded => Ok(Place::Filled),
            Found::Excluded => Err(excluded()),
        }
    }

    fn packing(&self, geometry: &Geometry, address: Address) -> Result<Packing> {
        match self.find(geometry, address)? {
            Found::Stored(..) => Ok(Packing { codec: None, size: PAGE_SIZE as u64 }),
            Found::Excluded => Err(excluded()),
        }
    }

    fn fill(
        &self,
        geometry: &Geometry,
        address: Address,
        page: &mut [u8],
        _: &mut Scratch,
    ) -> Result<Filled> {
        match self.find(geometry, address)? {
            Found::Stored(file, position) => {
                self.files.read(file, position, page).context(|| unread(&self.files, file, position))?;
                Ok(Filled::Kept)
            }
            Found::Excluded if geometry.zero_excluded => {
                page.fill(0);
                Ok(Filled::Synthetic)
            }
            Found::Excluded => Err(excluded()),
        }
    }
}

fn excluded() -> Error {
    Error::no_data("Excluded page")
}

/// Names the file as well, if there are several.
fn unread(files: &FileSet, file: usize, position: u64) -> String {
    let text = format!("Cannot read page data at {position}");
    if files.count() > 1 { format!("{text} in {}", files.name(file)) } else { text }
}
