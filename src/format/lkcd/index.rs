//! Where the record of each page is.
//!
//! ```text
//! chunks, by ascending PFN     floor ── base ── entries
//!                              lowest   lowest  up to 512, by ascending PFN:
//!                              PFN      record  2 × u32 above floor and base,
//!                                               or 2 × u64
//! ```
//!
//! A page costs 8 bytes where the records of a chunk are less than 4 GiB apart
//! in the file, else 16; its chunk adds 0.1 byte. Pages that come in ascending
//! or descending order leave full chunks behind. In the worst order chunks are
//! half full, so a record never takes more than about 33 bytes, and each one
//! takes 16 bytes of the file without its page.

use alloc::vec::Vec;

use crate::error::{Error, Result};

/// Most entries of a chunk.
const CHUNK_ENTRIES: usize = 512;

/// A page and the position of its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The page's frame number.
    pub pfn: u64,
    /// Byte position of its descriptor.
    pub position: u64,
}

/// The records known so far.
#[derive(Default)]
pub struct Index {
    chunks: Vec<Chunk>,
}

/// Records of the PFNs from `floor` up to the floor of the next chunk.
struct Chunk {
    floor: u64,
    base: u64,
    entries: Entries,
}

enum Entries {
    /// PFN above the floor, and position above the base.
    Near(Vec<(u32, u32)>),
    Far(Vec<Record>),
}

fn no_memory() -> Error {
    Error::system("Cannot allocate page index")
}

/// The floor of a new chunk that begins with `pfn`, above the chunk that ends
/// in front of `behind`: low enough for pages that may come between the two,
/// not so low that offsets from it get wide.
fn floor_for(pfn: u64, behind: u64) -> u64 {
    behind.max(pfn & !0x7fff_ffff).min(pfn)
}

impl Chunk {
    /// A chunk of records by ascending PFN, none of which is below `floor`.
    fn new(floor: u64, records: &[Record]) -> Result<Chunk> {
        let base = records.iter().map(|record| record.position).min().unwrap_or(0);
        let room = records.len().next_power_of_two();
        let near = |record: &Record| {
            let pfn = u32::try_from(record.pfn.checked_sub(floor)?).ok()?;
            Some((pfn, u32::try_from(record.position - base).ok()?))
        };
        let mut entries = Vec::new();
        entries.try_reserve_exact(room).map_err(|_| no_memory())?;
        entries.extend(records.iter().map_while(near));
        if entries.len() == records.len() {
            return Ok(Chunk { floor, base, entries: Entries::Near(entries) });
        }
        let mut entries = Vec::new();
        entries.try_reserve_exact(room).map_err(|_| no_memory())?;
        entries.extend_from_slice(records);
        Ok(Chunk { floor, base, entries: Entries::Far(entries) })
    }

    fn len(&self) -> usize {
        match &self.entries {
            Entries::Near(entries) => entries.len(),
            Entries::Far(entries) => entries.len(),
        }
    }

    fn is_full(&self) -> bool {
        self.len() >= CHUNK_ENTRIES
    }

    fn get(&self, at: usize) -> Option<Record> {
        match &self.entries {
            Entries::Near(entries) => entries.get(at).map(|&(pfn, position)| Record {
                pfn: self.floor + u64::from(pfn),
                position: self.base + u64::from(position),
            }),
            Entries::Far(entries) => entries.get(at).copied(),
        }
    }

    /// Where `pfn` is, or where it belongs.
    fn search(&self, pfn: u64) -> Result<usize, usize> {
        match &self.entries {
            Entries::Near(entries) => {
                let Some(low) = pfn.checked_sub(self.floor) else { return Err(0) };
                let Ok(low) = u32::try_from(low) else { return Err(entries.len()) };
                entries.binary_search_by_key(&low, |entry| entry.0)
            }
            Entries::Far(entries) => entries.binary_search_by_key(&pfn, |record| record.pfn),
        }
    }

    fn records(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        records.try_reserve_exact(self.len() + 1).map_err(|_| no_memory())?;
        records.extend((0..self.len()).map_while(|at| self.get(at)));
        Ok(records)
    }

    /// Inserts a record as entry number `at`.
    fn insert(&mut self, at: usize, record: Record) -> Result<()> {
        fn put<T>(entries: &mut Vec<T>, at: usize, entry: T) -> Result<()> {
            entries.try_reserve(1).map_err(|_| no_memory())?;
            entries.insert(at.min(entries.len()), entry);
            Ok(())
        }
        match &mut self.entries {
            Entries::Far(entries) => return put(entries, at, record),
            Entries::Near(entries) => {
                let low = record.pfn.checked_sub(self.floor).and_then(|low| u32::try_from(low).ok());
                let above =
                    record.position.checked_sub(self.base).and_then(|above| u32::try_from(above).ok());
                if let (Some(low), Some(above)) = (low, above) {
                    return put(entries, at, (low, above));
                }
            }
        }
        let mut records = self.records()?;
        records.insert(at.min(records.len()), record);
        *self = Chunk::new(self.floor.min(record.pfn), &records)?;
        Ok(())
    }
}

impl Index {
    /// Number of the chunk that `pfn` belongs to: the last one whose floor is
    /// not above it, or the first one.
    fn chunk_of(&self, pfn: u64) -> usize {
        self.chunks.partition_point(|chunk| chunk.floor <= pfn).saturating_sub(1)
    }

    /// Position of the record of page `pfn`.
    pub fn get(&self, pfn: u64) -> Option<u64> {
        let chunk = self.chunks.get(self.chunk_of(pfn))?;
        chunk.get(chunk.search(pfn).ok()?).map(|record| record.position)
    }

    /// Adds a record, unless its page has one already: that one is returned.
    ///
    /// # Errors
    /// `System` if there is no memory; nothing was changed then.
    pub fn insert(&mut self, record: Record) -> Result<Option<Record>> {
        let number = self.chunk_of(record.pfn);
        let Some(chunk) = self.chunks.get_mut(number) else {
            let first = Chunk::new(floor_for(record.pfn, 0), &[record])?;
            return self.add_chunk(0, first);
        };
        let at = match chunk.search(record.pfn) {
            Ok(at) => return Ok(chunk.get(at)),
            Err(at) => at,
        };
        if !chunk.is_full() {
            return chunk.insert(at, record).map(|()| None);
        }
        self.chunks.try_reserve(1).map_err(|_| no_memory())?;
        let chunk = &self.chunks[number];
        if at == chunk.len() {
            // Ascending pages: what is full stays so. A chunk with room above
            // takes the page, so that no two neighbours are nearly empty.
            let behind = chunk.get(at - 1).map_or(0, |last| last.pfn.saturating_add(1));
            let floor = floor_for(record.pfn, behind);
            if let Some(next) = self.chunks.get_mut(number + 1).filter(|next| !next.is_full()) {
                let mut records = next.records()?;
                records.insert(0, record);
                *next = Chunk::new(floor, &records)?;
                return Ok(None);
            }
            let next = Chunk::new(floor, &[record])?;
            return self.add_chunk(number + 1, next);
        }
        // Descending pages leave a full chunk behind, too.
        let cut = if at == 0 { 1 } else { CHUNK_ENTRIES / 2 };
        let mut records = chunk.records()?;
        records.insert(at, record);
        let (lower, upper) = records.split_at(cut);
        let floor = if number == 0 { floor_for(lower[0].pfn, 0) } else { chunk.floor };
        let lower = Chunk::new(floor, lower)?;
        let upper = Chunk::new(upper[0].pfn, upper)?;
        self.chunks[number] = upper;
        self.add_chunk(number, lower)
    }

    fn add_chunk(&mut self, number: usize, chunk: Chunk) -> Result<Option<Record>> {
        self.chunks.try_reserve(1).map_err(|_| no_memory())?;
        self.chunks.insert(number, chunk);
        Ok(None)
    }

    /// Pages at or above `from` that follow each other: the first one, and the
    /// PFN behind the last one of them in the same chunk.
    pub fn run(&self, from: u64) -> Option<(u64, u64)> {
        let mut number = self.chunk_of(from);
        let mut at = match self.chunks.get(number)?.search(from) {
            Ok(at) | Err(at) => at,
        };
        if at == self.chunks.get(number)?.len() {
            (number, at) = (number + 1, 0);
        }
        let chunk = self.chunks.get(number)?;
        let start = chunk.get(at)?.pfn;
        let mut end = start;
        while let Some(record) = chunk.get(at)
            && record.pfn == end
        {
            end = end.checked_add(1)?;
            at += 1;
        }
        Some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    /// An index of these PFNs, in this order, and what it must answer.
    fn indexed(pfns: impl IntoIterator<Item = u64>, step: u64) -> (Index, BTreeMap<u64, u64>) {
        let (mut index, mut model) = (Index::default(), BTreeMap::new());
        let mut position = 65536;
        for pfn in pfns {
            let record = Record { pfn, position };
            let earlier = index.insert(record).unwrap();
            assert_eq!(earlier.map(|record| record.position), model.get(&pfn).copied(), "{pfn:#x}");
            model.entry(pfn).or_insert(position);
            position += step;
        }
        (index, model)
    }

    fn check(index: &Index, model: &BTreeMap<u64, u64>) {
        let mut last = None;
        for number in 0..index.chunks.len() {
            let chunk = &index.chunks[number];
            assert!(chunk.len() > 0 && chunk.len() <= CHUNK_ENTRIES);
            for at in 0..chunk.len() {
                let record = chunk.get(at).unwrap();
                assert!(record.pfn >= chunk.floor && last < Some(record.pfn));
                last = Some(record.pfn);
            }
            let next = index.chunks.get(number + 1);
            assert!(next.is_none_or(|next| last < Some(next.floor)));
        }
        for (&pfn, &position) in model {
            assert_eq!(index.get(pfn), Some(position), "{pfn:#x}");
            for near in [pfn.wrapping_sub(1), pfn.wrapping_add(1), pfn ^ 1 << 32] {
                assert_eq!(index.get(near), model.get(&near).copied(), "{near:#x}");
            }
        }
        let mut at = 0;
        let mut seen = 0;
        while let Some((start, end)) = index.run(at) {
            assert!(start >= at && end > start);
            assert_eq!(model.range(at..start).next(), None, "a page before {start:#x} was missed");
            seen += model.range(start..end).count() as u64;
            assert_eq!(model.range(start..end).count() as u64, end - start);
            at = end;
        }
        assert_eq!((model.range(at..).next(), seen), (None, model.len() as u64));
    }

    fn bytes(index: &Index) -> usize {
        let size = |chunk: &Chunk| match &chunk.entries {
            Entries::Near(entries) => entries.capacity() * 8,
            Entries::Far(entries) => entries.capacity() * 16,
        };
        index.chunks.iter().map(size).sum::<usize>() + index.chunks.len() * size_of::<Chunk>()
    }

    /// All numbers below 2^`bits`, in an order that looks random.
    fn scattered(bits: u32) -> impl Iterator<Item = u64> {
        let mask = (1u64 << bits) - 1;
        (0..=mask).map(move |n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545) & mask)
    }

    #[test]
    fn pages_in_any_order_are_found_and_others_are_not() {
        let orders: [(&str, Vec<u64>); 9] = [
            ("ascending", (7..5000).collect()),
            ("descending", (7..5000).rev().collect()),
            ("scattered", scattered(13).collect()),
            ("far apart", scattered(13).map(|n| n << 39 | n).collect()),
            ("every other one, then the rest", (0..3000).map(|n| n * 2 % 3001 + 100).collect()),
            ("two streams", (0..3000).flat_map(|n| [n, n + (1 << 33)]).collect()),
            ("from the middle", (0..3000).flat_map(|n| [1 << 40 | n, (1 << 40) - 1 - n]).collect()),
            (
                "into a gap",
                (0..600).chain((10_000..11_000).rev()).chain(5000..6000).chain((1000..4000).rev()).collect(),
            ),
            ("twice", (0..1500).chain(0..1500).collect()),
        ];
        for (what, pfns) in orders {
            for step in [16, 4112, 1 << 31] {
                let (index, model) = indexed(pfns.iter().copied(), step);
                check(&index, &model);
                let most =
                    if step < 1 << 31 && what != "far apart" && what != "two streams" { 17 } else { 34 };
                let taken = bytes(&index) / model.len();
                assert!(taken <= most, "{what}: {taken} bytes a page");
            }
        }
    }

    #[test]
    fn pages_in_order_take_8_bytes_each() {
        for pfns in [(0..1 << 16).collect::<Vec<u64>>(), (0..1 << 16).rev().collect()] {
            let (index, model) = indexed(pfns, 4112);
            assert!(bytes(&index) < model.len() * 83 / 10, "{}", bytes(&index));
        }
    }

    #[test]
    fn the_highest_pfns_are_pages_like_any_other() {
        let (index, model) = indexed(vec![u64::MAX - 1, 0, u64::MAX - 3, u64::MAX - 2], 16);
        check(&index, &model);
        assert_eq!(index.run(5), Some((u64::MAX - 3, u64::MAX)));
    }
}
