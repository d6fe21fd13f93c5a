//! Section `ram`: which page of which block is where.
//!
//! ```text
//!   u64 address | flags   [name of the block]   ZERO: one byte
//!                                               PAGE: the page
//!                                               COMPRESS_PAGE: u32 length, zlib
//!                                               XBZRLE: u8 1, u16 length, changes
//! ```
//!
//! A page may come several times while the guest runs on; the last record
//! wins. Pages that follow each other in the same block have a fixed distance
//! in the file, so that a run of them is one entry however long it is.
//! XBZRLE says how a page differs from what was sent of it before: such a page
//! is a chain of changes to what was sent as a whole.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::stream::{Cursor, Settings};
use crate::codec::Codec;
use crate::error::{Error, Result, ResultExt};
use crate::format::Scratch;
use crate::format::extent::{Extent, Maker, Origin};
use crate::io::FileSet;

/// Flags in the low bits of a record (`RAM_SAVE_FLAG_*`, migration/ram.c).
const ZERO: u64 = 0x02;
const MEM_SIZE: u64 = 0x04;
const PAGE: u64 = 0x08;
const EOS: u64 = 0x10;
const CONTINUE: u64 = 0x20;
const XBZRLE: u64 = 0x40;
const COMPRESS_PAGE: u64 = 0x100;
const MULTIFD_FLUSH: u64 = 0x200;

/// Bytes of a record before the data, if the block is that of the last one.
const HEADER: u64 = 8;

/// More blocks than QEMU has devices to give.
const MAX_BLOCKS: usize = 1 << 16;

/// The largest block with a bitmap that is believed: 64 TiB.
const MAX_MAPPED: u64 = 1 << 46;

/// Runs that are kept before those that were overwritten are looked for.
const MANY_RUNS: usize = 1 << 16;

/// Marks the number of an extent whose pages are packed.
const PACKED: u64 = 1 << 63;
/// Marks, beside [`PACKED`], that of one whose pages are chains.
const CHAINED: u64 = 1 << 62;

/// Changes of one page, at most: a guest that is sent as often never arrives.
const MOST_CHANGES: usize = 1 << 16;
/// Bytes in front of the changes of a page: flags and length.
const CHANGES_HEADER: u64 = 3;
/// `ENCODING_FLAG_XBZRLE`, the only encoding there is.
const CHANGES_XBZRLE: u8 = 1;

/// Where a block is, as the user says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// Name of the block, with or without `/objects/`.
    pub name: String,
    /// Its first physical address.
    pub address: u64,
}

/// A block of memory, in the order of the list.
struct Block {
    name: String,
    length: u64,
    /// Offset of the block in the guest's RAM; `None` for what is none of it.
    base: Option<u64>,
}

/// Where the pages of a run are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// All bytes of them are this one.
    Fill(u8),
    /// The data of the first page are at this position, the next ones at a
    /// fixed distance.
    Data(u64),
    /// Index of the first one in [`Ram::packed`].
    Packed(u64),
    /// Changes of what was sent before, which are at this position; one page.
    Changes(u64),
    /// Index of the first one in [`Ram::chains`].
    Chain(u64),
}

/// A page that was sent, and how it changed.
struct Chain {
    base: Source,
    /// Positions of the changes, in the order of time.
    changes: Vec<u64>,
}

/// Pages that follow each other, both in RAM and in the file.
#[derive(Clone, Copy)]
struct Run {
    /// Number of the first page in the guest's RAM.
    page: u64,
    count: u64,
    source: Source,
}

/// The guest's RAM as far as it was read.
pub(super) struct Ram {
    settings: Settings,
    blocks: Vec<Block>,
    by_name: BTreeMap<String, usize>,
    /// Index of the block of the last record.
    current: Option<usize>,
    runs: Vec<Run>,
    /// How many runs there may be before they are tidied up.
    limit: usize,
    /// Positions of the length before each packed page.
    packed: Vec<u64>,
    /// Pages that changed after they were sent.
    chains: Vec<Chain>,
    /// What the user says of blocks.
    given: Vec<Given>,
    /// Blocks that the user gave an address: offset, length, address.
    extra: Vec<(u64, u64, u64)>,
    /// Bytes of mapped blocks: offset in RAM, length and origin.
    mapped: Vec<Extent>,
    /// Bytes of the guest's RAM, and those of blocks with an address of their own.
    size: u64,
    all: u64,
    page_bits: u32,
}

impl Ram {
    pub fn new(settings: Settings, page_bits: u32, given: &[Given]) -> Result<Ram> {
        if !(10..=20).contains(&page_bits) {
            return Err(Error::corrupt(format!("Pages of 2^{page_bits} bytes")));
        }
        Ok(Ram {
            settings,
            page_bits,
            chains: Vec::new(),
            given: given.into(),
            extra: Vec::new(),
            all: 0,
            blocks: Vec::new(),
            by_name: BTreeMap::new(),
            current: None,
            runs: Vec::new(),
            limit: MANY_RUNS,
            packed: Vec::new(),
            mapped: Vec::new(),
            size: 0,
        })
    }

    /// Bytes of a page.
    pub fn page_size(&self) -> u64 {
        1 << self.page_bits
    }

    /// Bytes of the guest's RAM.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Names of the blocks that are the guest's RAM.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter(|block| block.base.is_some()).map(|block| &*block.name)
    }

    /// Name and length of the first block that seems to be memory which was
    /// plugged in, and whose address nobody knows.
    pub fn left_out(&self) -> Option<(&str, u64)> {
        let plugged = |block: &&Block| {
            let name = bare(&block.name);
            let known = ["dimm", "mem"].iter().any(|known| name.starts_with(known));
            block.base.is_none() && (known || name.len() < block.name.len())
        };
        self.blocks.iter().find(plugged).map(|block| (&*block.name, block.length))
    }

    /// The physical address of an offset in all memory, and how many bytes from
    /// there on follow each other; `main` tells it for the guest's RAM.
    fn place(&self, offset: u64, main: &impl Fn(u64) -> Option<(u64, u64)>) -> Option<(u64, u64)> {
        if offset < self.size {
            let (address, room) = main(offset)?;
            return Some((address, room.min(self.size - offset)));
        }
        let block = self.extra.iter().find(|block| (block.0..block.0 + block.1).contains(&offset))?;
        let skip = offset - block.0;
        Some((block.2.checked_add(skip)?, block.1 - skip))
    }

    /// Reads one payload: records up to the one that ends it.
    pub fn records(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let size = self.page_size();
        loop {
            let at = cursor.position;
            let word = cursor.u64()?;
            let (address, flags) = (word & !(size - 1), word & (size - 1));
            match flags & !CONTINUE {
                EOS => return Ok(()),
                MULTIFD_FLUSH => {}
                MEM_SIZE => self.block_list(cursor, address)?,
                ZERO => {
                    self.block(cursor, flags, at)?;
                    let byte = cursor.u8()?;
                    self.record(address, Source::Fill(byte), at)?;
                }
                PAGE => {
                    self.block(cursor, flags, at)?;
                    let data = cursor.position;
                    cursor.skip(size)?;
                    self.record(address, Source::Data(data), at)?;
                }
                COMPRESS_PAGE => {
                    self.block(cursor, flags, at)?;
                    let position = cursor.position;
                    let length = u64::from(cursor.u32()?);
                    if length > 2 * size {
                        return Err(Error::corrupt(format!("Packed page of {length} bytes at {at}")));
                    }
                    cursor.skip(length)?;
                    if self.current.and_then(|block| self.blocks.get(block)?.base).is_some() {
                        let index = self.packed.len() as u64;
                        self.packed.push(position);
                        self.record(address, Source::Packed(index), at)?;
                    }
                }
                XBZRLE => {
                    self.block(cursor, flags, at)?;
                    let position = cursor.position;
                    let encoding = cursor.u8()?;
                    if encoding != CHANGES_XBZRLE {
                        return Err(Error::corrupt(format!("Page at {at} has encoding {encoding}")));
                    }
                    let length = cursor.u16()?;
                    cursor.skip(length.into())?;
                    self.record(address, Source::Changes(position), at)?;
                }
                _ => return Err(Error::corrupt(format!("Memory record with flags {flags:#x} at {at}"))),
            }
        }
    }

    /// Finds out which block a record is about.
    fn block(&mut self, cursor: &mut Cursor<'_>, flags: u64, at: u64) -> Result<()> {
        if flags & CONTINUE == 0 {
            let name = cursor.name()?;
            let Some(&block) = self.by_name.get(&name) else {
                return Err(Error::corrupt(format!("Memory record at {at} of unknown block \"{name}\"")));
            };
            self.current = Some(block);
        }
        Ok(())
    }

    fn record(&mut self, address: u64, source: Source, at: u64) -> Result<()> {
        let Some(block) = self.current.and_then(|block| self.blocks.get(block)) else {
            return Err(Error::corrupt(format!("Memory record at {at} of no block")));
        };
        if address >= block.length {
            return Err(Error::corrupt(format!(
                "Memory record at {at}: {address:#x} is behind the end of block \"{}\"",
                block.name
            )));
        }
        let Some(base) = block.base else { return Ok(()) };
        let page = base.saturating_add(address) >> self.page_bits;
        let stride = HEADER + self.page_size();
        if let Some(last) = self.runs.last_mut()
            && last.page.checked_add(last.count) == Some(page)
            && advanced(last.source, last.count, stride) == Some(source)
        {
            last.count += 1;
            return Ok(());
        }
        if self.runs.len() >= self.limit {
            self.tidy()?;
            self.limit = self.runs.len().saturating_mul(2).max(MANY_RUNS);
        }
        self.runs.push(Run { page, count: 1, source });
        Ok(())
    }

    /// Reads the list of blocks and decides which of them are RAM.
    fn block_list(&mut self, cursor: &mut Cursor<'_>, total: u64) -> Result<()> {
        if !self.blocks.is_empty() {
            return Err(Error::corrupt(format!("Second list of memory blocks before {}", cursor.position)));
        }
        let mut headers = Vec::new();
        let mut left = total;
        while left > 0 {
            let at = cursor.position;
            let name = cursor.name()?;
            let length = cursor.u64()?;
            left = left.checked_sub(length).ok_or_else(|| {
                Error::corrupt(format!("Memory block \"{name}\" at {at} exceeds the total of {total:#x}"))
            })?;
            if self.settings.ignore_shared {
                let _address = cursor.u64()?;
            }
            if self.settings.mapped_ram {
                headers.push(MappedBlock::read(cursor, length, self.settings.start)?);
            }
            if self.blocks.len() >= MAX_BLOCKS || self.by_name.contains_key(&name) {
                return Err(Error::corrupt(format!("Memory block \"{name}\" at {at} is one too many")));
            }
            self.by_name.insert(name.clone(), self.blocks.len());
            self.blocks.push(Block { name, length, base: None });
        }
        let given = self.given_blocks()?;
        let main =
            main_blocks(&self.blocks).into_iter().filter(|index| given.iter().all(|row| row.0 != *index));
        let places: Vec<_> = main.map(|index| (index, None)).chain(given.iter().copied()).collect();
        for (index, address) in places {
            let Some(block) = self.blocks.get_mut(index) else { continue };
            if block.length % (1 << self.page_bits) != 0 {
                return Err(Error::corrupt(format!("Block \"{}\" of {:#x} bytes", block.name, block.length)));
            }
            block.base = Some(self.all);
            match address {
                Some(address) => self.extra.push((self.all, block.length, address)),
                None => self.size = self.size.saturating_add(block.length),
            }
            // Cannot overflow: the lengths add up to the total.
            self.all = self.all.saturating_add(block.length);
            if let Some(Some(header)) = headers.get(index) {
                header.pages(cursor, block, &mut self.mapped)?;
            }
        }
        Ok(())
    }

    /// Indices and addresses of the blocks that the user gives an address.
    fn given_blocks(&self) -> Result<Vec<(usize, Option<u64>)>> {
        let mut found = Vec::new();
        for given in &self.given {
            let index = self
                .blocks
                .iter()
                .position(|block| block.name == given.name || bare(&block.name) == given.name);
            let Some(index) = index else {
                let mut names = String::new();
                for block in self.blocks.iter().take(32) {
                    names.push(' ');
                    names.push_str(&block.name);
                }
                return Err(Error::invalid(format!("No memory block \"{}\" among:{names}", given.name)));
            };
            found.push((index, Some(given.address)));
        }
        Ok(found)
    }

    /// Leaves of every page the last record only, with its changes.
    ///
    /// # Errors
    /// `Corrupt` for changes of a page that was not sent, `NotImplemented` for
    /// too many of them.
    fn tidy(&mut self) -> Result<()> {
        let stride = HEADER + self.page_size();
        let runs = core::mem::take(&mut self.runs);
        // End of each range of pages that later records cover, by its start.
        let mut covered: BTreeMap<u64, u64> = BTreeMap::new();
        // Changes of pages that are not found yet, the last one first.
        let mut changes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for run in runs.iter().rev() {
            if let Source::Changes(position) = run.source {
                if covered.range(..=run.page).next_back().is_none_or(|(_, to)| *to <= run.page) {
                    changes.entry(run.page).or_default().push(position);
                }
                continue;
            }
            let end = run.page.saturating_add(run.count);
            let mut start = run.page;
            let mut whole = (run.page, end);
            if let Some((&from, &to)) = covered.range(..=run.page).next_back()
                && to >= run.page
            {
                start = to;
                whole = (from, end.max(to));
            }
            while start < end {
                let next = covered.range(start..).next().map(|(&from, &to)| (from, to));
                let stop = next.map_or(end, |(from, _)| from.min(end));
                while start < stop {
                    let changed = changes.range(start..stop).next().map(|(page, _)| *page);
                    let part = changed.unwrap_or(stop);
                    if part > start
                        && let Some(source) = advanced(run.source, start - run.page, stride)
                    {
                        self.runs.push(Run { page: start, count: part - start, source });
                    }
                    start = part;
                    if let Some(page) = changed
                        && let Some(later) = changes.remove(&page)
                        && let Some(base) = advanced(run.source, page - run.page, stride)
                    {
                        let source = self.chain(base, later)?;
                        self.runs.push(Run { page, count: 1, source });
                        start += 1;
                    }
                }
                let Some((from, to)) = next.filter(|(from, _)| *from <= end) else { break };
                covered.remove(&from);
                whole.1 = whole.1.max(to);
                start = to;
            }
            covered.insert(whole.0, whole.1);
        }
        if let Some(position) = changes.into_values().next().and_then(|list| list.last().copied()) {
            let what = format!("Changes at {position} are those of a page that was not sent before");
            return Err(Error::corrupt(what));
        }
        // The order of time again, as far as it matters: none of them overlap now.
        self.runs.sort_unstable_by_key(|run| run.page);
        Ok(())
    }

    /// Adds changes, the last one first, to a page.
    fn chain(&mut self, base: Source, mut later: Vec<u64>) -> Result<Source> {
        later.reverse();
        let chain = match base {
            // That of a page with more changes now; nobody else has it.
            Source::Chain(index) => usize::try_from(index).ok().and_then(|index| self.chains.get_mut(index)),
            _ => None,
        };
        let (base, mut changes) = match chain {
            Some(chain) => (chain.base, core::mem::take(&mut chain.changes)),
            None => (base, Vec::new()),
        };
        changes.append(&mut later);
        if changes.len() > MOST_CHANGES {
            let first = changes.first().copied().unwrap_or(0);
            return Err(Error::not_implemented(format!(
                "Page with more than {MOST_CHANGES} changes from {first} on not implemented"
            )));
        }
        changes.shrink_to_fit();
        self.chains.push(Chain { base, changes });
        Ok(Source::Chain(self.chains.len() as u64 - 1))
    }

    /// The extents of the guest's RAM; `place` tells the physical address of an
    /// offset and how many bytes from there on follow each other.
    pub fn extents(&mut self, place: impl Fn(u64) -> Option<(u64, u64)>) -> Result<Vec<Extent>> {
        self.tidy()?;
        let size = self.page_size();
        let stride = HEADER + size;
        let mut extents = Vec::new();
        let mut put = |mut offset: u64, mut length: u64, origin: &dyn Fn(u64, u64) -> Option<Origin>| {
            let mut done = 0;
            while length > 0 {
                let found = self.place(offset, &place).and_then(|(start, room)| {
                    let part = length.min(room);
                    Some((start, part, origin(done, part)?))
                });
                let Some((start, part, origin)) = found.filter(|(_, part, _)| *part > 0) else {
                    return Err(Error::corrupt(format!("RAM offset {offset:#x} has no address")));
                };
                extents.push(Extent { start, length: part, origin });
                offset += part;
                done += part;
                length -= part;
            }
            Ok(())
        };
        for run in &self.runs {
            put(run.page << self.page_bits, run.count << self.page_bits, &|skip, part| {
                Some(match advanced(run.source, skip / size, stride)? {
                    Source::Fill(byte) => Origin::Constant(byte),
                    Source::Data(position) if part == size => Origin::Stored { file: 0, position },
                    Source::Data(position) => Origin::Made(position),
                    Source::Packed(index) => Origin::Made(PACKED | index),
                    Source::Chain(index) => Origin::Made(PACKED | CHAINED | index),
                    // Tidying up has left none of them.
                    Source::Changes(_) => return None,
                })
            })?;
        }
        for bytes in &self.mapped {
            put(bytes.start, bytes.length, &|skip, _| match bytes.origin {
                Origin::Stored { file, position } => {
                    Some(Origin::Stored { file, position: position.checked_add(skip)? })
                }
                other => Some(other),
            })?;
        }
        Ok(extents)
    }

    /// What makes the pages of the extents.
    pub fn into_maker(self) -> Unpacker {
        Unpacker { page_size: self.page_size(), packed: self.packed, chains: self.chains }
    }
}

/// The source of the page `count` pages behind the first one.
fn advanced(source: Source, count: u64, stride: u64) -> Option<Source> {
    Some(match source {
        Source::Fill(byte) => Source::Fill(byte),
        Source::Data(position) => Source::Data(position.checked_add(count.checked_mul(stride)?)?),
        Source::Packed(index) => Source::Packed(index.checked_add(count)?),
        Source::Chain(index) => Source::Chain(index.checked_add(count)?),
        Source::Changes(position) => Source::Changes((count == 0).then_some(position)?),
    })
}

/// Names of RAM that machine types and libvirt give.
const MAIN: &[&str] =
    &["pc.ram", "microvm.ram", "mach-virt.ram", "ppc_spapr.ram", "s390.ram", "riscv_virt_board.ram"];

/// The name of a block without the folder of memory back ends.
fn bare(name: &str) -> &str {
    name.strip_prefix("/objects/").unwrap_or(name)
}

/// Indices of the blocks that are RAM, in the order of their addresses.
fn main_blocks(blocks: &[Block]) -> Vec<usize> {
    let name = |block: &Block| String::from(bare(&block.name));
    let mut nodes: Vec<(u32, usize)> = (0..)
        .zip(blocks)
        .filter_map(|(index, block)| Some((name(block).strip_prefix("ram-node")?.parse().ok()?, index)))
        .collect();
    if !nodes.is_empty() {
        nodes.sort_unstable();
        return nodes.into_iter().map(|(_, index)| index).collect();
    }
    let known = blocks.iter().position(|block| MAIN.contains(&&*name(block)));
    // The user may call a memory back end as they like; QEMU lists the largest
    // block first.
    known.or((!blocks.is_empty()).then_some(0)).into_iter().collect()
}

/// Where the pages of one block are in a stream with `mapped-ram`.
struct MappedBlock {
    page_size: u64,
    bitmap: u64,
    pages: u64,
}

impl MappedBlock {
    /// Reads the header behind a block of the list, and goes on behind its
    /// pages. `None` if none of them is stored.
    fn read(cursor: &mut Cursor<'_>, length: u64, stream: u64) -> Result<Option<MappedBlock>> {
        let at = cursor.position;
        let version = cursor.u32()?;
        if version != 1 {
            return Err(Error::not_implemented(format!("mapped-ram version {version} not implemented")));
        }
        let page_size = cursor.u64()?;
        let bitmap = cursor.u64()?;
        let pages = cursor.u64()?;
        if bitmap == 0 && pages == 0 {
            return Ok(None);
        }
        // Positions count from the beginning of the file, unless the stream was
        // written alone and put behind a header later.
        let base = if bitmap == cursor.position { 0 } else { stream };
        if bitmap.checked_add(base) != Some(cursor.position) {
            return Err(Error::corrupt(format!("Bitmap of the block at {at} is at {bitmap}")));
        }
        if !page_size.is_power_of_two() || !(1 << 10..=1 << 30).contains(&page_size) || length > MAX_MAPPED {
            return Err(Error::corrupt(format!("{length:#x} bytes in pages of {page_size} at {at}")));
        }
        let pages = pages.checked_add(base);
        cursor.seek(pages.and_then(|pages| pages.checked_add(length)))?;
        Ok(Some(MappedBlock { page_size, bitmap: bitmap + base, pages: pages.unwrap_or(0) }))
    }

    /// Adds what the bitmap says about a block.
    fn pages(&self, cursor: &Cursor<'_>, block: &Block, list: &mut Vec<Extent>) -> Result<()> {
        let Some(base) = block.base else { return Ok(()) };
        let count = block.length.div_ceil(self.page_size);
        let mut bytes = [0; 4096];
        let mut run: Option<(u64, bool)> = None;
        let mut push = |from: u64, to: u64, stored: bool| {
            let skip = from * self.page_size;
            let length = (to * self.page_size).min(block.length) - skip;
            let position = self.pages + skip;
            let origin = if stored { Origin::Stored { file: 0, position } } else { Origin::Constant(0) };
            list.push(Extent { start: base + skip, length, origin });
        };
        let mut page = 0;
        while page < count {
            cursor.read_bitmap(self.bitmap + page / 8, &mut bytes, self.bitmap + count.div_ceil(8))?;
            let here = (count - page).min(8 * bytes.len() as u64);
            let mut at = 0;
            while at < here {
                let byte = bytes.get((at / 8) as usize).copied().unwrap_or(0);
                // Whole bytes of the same bits, as most are.
                let same = match byte {
                    0 | 0xff => (here - at).min(8),
                    _ => 1,
                };
                let same = if at % 8 == 0 { same } else { 1 };
                let stored = byte >> (at % 8) & 1 != 0;
                match run {
                    Some((_, last)) if last == stored => {}
                    Some((from, last)) => {
                        push(from, page + at, last);
                        run = Some((page + at, stored));
                    }
                    None => run = Some((page + at, stored)),
                }
                at += same;
            }
            page += here;
        }
        if let Some((from, stored)) = run {
            push(from, count, stored);
        }
        Ok(())
    }
}

/// Gathers pages that lie apart in the file, and unpacks those that are packed.
pub(super) struct Unpacker {
    page_size: u64,
    packed: Vec<u64>,
    chains: Vec<Chain>,
}

impl Unpacker {
    /// Position of packed page `index`, which is that of its length, and the length.
    fn length(&self, files: &FileSet, index: u64) -> Result<(u64, u64)> {
        let position = usize::try_from(index).ok().and_then(|index| self.packed.get(index)).copied();
        let Some(position) = position else { return Err(Error::no_data("Page not found")) };
        let mut length = [0; 4];
        files.read(0, position, &mut length).context(|| format!("Cannot read page data at {position}"))?;
        let length = u64::from(u32::from_be_bytes(length));
        if length > 2 * self.page_size {
            return Err(Error::corrupt(format!("Packed page of {length} bytes at {position}")));
        }
        Ok((position, length))
    }

    /// Fills `bytes` from position `skip` of the page whose packed form is number `index`.
    fn unpack(
        &self,
        files: &FileSet,
        index: u64,
        skip: u64,
        bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let (position, length) = self.length(files, index)?;
        let failed = || format!("Cannot read page data at {position}");
        let Scratch { decoder, packed } = scratch;
        let source = match files.borrow(0, position + 4, length as usize) {
            Some(source) => source,
            None => {
                packed.resize(length as usize, 0);
                files.read(0, position + 4, packed).context(failed)?;
                packed
            }
        };
        if bytes.len() as u64 == self.page_size {
            return decoder.page(Codec::Zlib, source, bytes).context(failed);
        }
        let mut page = vec![0; self.page_size as usize];
        decoder.page(Codec::Zlib, source, &mut page).context(failed)?;
        let part = page.get(skip as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(part.ok_or_else(|| Error::no_data("Page not found"))?);
        Ok(())
    }
}

impl Unpacker {
    /// Fills `bytes` from position `skip` of the page that chain `index` ends with.
    fn follow(
        &self,
        files: &FileSet,
        index: u64,
        skip: u64,
        bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let missing = || Error::no_data("Page not found");
        let chain =
            usize::try_from(index).ok().and_then(|index| self.chains.get(index)).ok_or_else(missing)?;
        let mut page = vec![0; self.page_size as usize];
        match chain.base {
            Source::Fill(byte) => page.fill(byte),
            Source::Data(position) => {
                let failed = || format!("Cannot read page data at {position}");
                files.read(0, position, &mut page).context(failed)?;
            }
            Source::Packed(index) => self.unpack(files, index, 0, &mut page, scratch)?,
            Source::Changes(_) | Source::Chain(_) => return Err(missing()),
        }
        for &position in &chain.changes {
            let failed = || format!("Cannot read changes of a page at {position}");
            let mut header = [0; CHANGES_HEADER as usize];
            files.read(0, position, &mut header).context(failed)?;
            let [_, high, low] = header;
            scratch.packed.resize(u16::from_be_bytes([high, low]).into(), 0);
            files.read(0, position.saturating_add(CHANGES_HEADER), &mut scratch.packed).context(failed)?;
            if change(&mut page, &scratch.packed).is_none() {
                return Err(Error::corrupt("They go beyond its end").context(failed()));
            }
        }
        let part = page.get(skip as usize..).and_then(|rest| rest.get(..bytes.len()));
        bytes.copy_from_slice(part.ok_or_else(missing)?);
        Ok(())
    }
}

/// Applies XBZRLE to a page: again and again the number of bytes that stay, that
/// of bytes that change, and these. `None` if that ends outside of either.
fn change(page: &mut [u8], mut changes: &[u8]) -> Option<()> {
    let mut at = 0usize;
    while !changes.is_empty() {
        at = at.checked_add(number(&mut changes)?)?;
        let count = number(&mut changes)?;
        let (new, rest) = changes.split_at_checked(count)?;
        page.get_mut(at..at.checked_add(count)?)?.copy_from_slice(new);
        at += count;
        changes = rest;
    }
    (at <= page.len()).then_some(())
}

/// A number of 7 bits a byte, the lowest first (ULEB128), of at most 28 bits.
fn number(bytes: &mut &[u8]) -> Option<usize> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

impl Maker for Unpacker {
    fn read(
        &self,
        files: &FileSet,
        number: u64,
        mut offset: u64,
        mut bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        while !bytes.is_empty() {
            let (page, skip) = (offset / self.page_size, offset % self.page_size);
            let count = (bytes.len() as u64).min(self.page_size - skip);
            let Some((part, rest)) = bytes.split_at_mut_checked(count as usize) else { return Ok(()) };
            if number & PACKED != 0 && number & CHAINED != 0 {
                self.follow(files, (number & !PACKED & !CHAINED).saturating_add(page), skip, part, scratch)?;
            } else if number & PACKED != 0 {
                self.unpack(files, (number & !PACKED).saturating_add(page), skip, part, scratch)?;
            } else {
                let position = number.saturating_add(page * (HEADER + self.page_size)).saturating_add(skip);
                files.read(0, position, part).context(|| format!("Cannot read page data at {position}"))?;
            }
            offset += count;
            bytes = rest;
        }
        Ok(())
    }

    /// A part of a packed page takes its share of what the page takes.
    fn packing(&self, files: &FileSet, number: u64, offset: u64, size: u64) -> Result<(Option<Codec>, u64)> {
        // A page that was made of several records has no size of its own.
        if number & PACKED == 0 || number & CHAINED != 0 {
            return Ok((None, size));
        }
        let mut stored = 0_u64;
        let (mut offset, end) = (offset, offset.saturating_add(size));
        while offset < end {
            let skip = offset % self.page_size;
            let count = (self.page_size - skip).min(end - offset);
            let index = (number & !PACKED).saturating_add(offset / self.page_size);
            let (_, length) = self.length(files, index)?;
            // A page of at most 2^32 bytes, of which at most twice as many are stored.
            stored = stored
                .saturating_add((u128::from(length) * u128::from(count) / u128::from(self.page_size)) as u64);
            offset += count;
        }
        Ok((Some(Codec::Zlib), stored))
    }
}
