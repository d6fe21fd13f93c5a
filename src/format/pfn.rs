//! The PFN index: which pages a bitmap names, and the place of each among them.
//!
//! ```text
//! entries   one per 65 536 PFNs: rank (bits set before it), and
//!             Empty │ Full │ Mixed ── words   1024 × u64, as far as not zero
//!                                  └─ ranks   one u16 per 512 bits
//! ```
//!
//! Dumps store one descriptor per set bit, so a page is found by counting the
//! bits below its own: one entry, one `u16` and at most eight popcounts.
//!
//! A mixed entry costs 8448 bytes and its bookkeeping, which is 0.13 byte per
//! PFN; what is all zeros or all ones costs 24 bytes per 65 536 PFNs, and
//! nothing at all before the first and behind the last page. So a bitmap of a
//! sparse file is small however many PFNs it claims.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use crate::attr::BitSource;
use crate::error::{Error, Result};
use crate::io::FileSet;

/// PFNs per entry.
const ENTRY_BITS: u64 = 1 << 16;
/// Bytes of the bitmap per entry.
const ENTRY_BYTES: usize = (ENTRY_BITS / 8) as usize;
const ENTRY_WORDS: usize = ENTRY_BYTES / 8;
/// Words per rank of a mixed entry.
const RANK_WORDS: usize = 8;
/// Bytes of the bitmap that are read in one go.
const READ_BYTES: u64 = 8 * ENTRY_BYTES as u64;
/// Bytes of a bitmap that are looked at together: those of a rank, and of a
/// cache line.
const LINE_BYTES: usize = 8 * RANK_WORDS;
/// A longer bitmap is read piece by piece even if the file could be mapped:
/// each piece is needed once, and a map would keep all of them in memory.
const MAPPED_BYTES: u64 = 1 << 20;
/// A bitmap may be this much larger than the file that stores it (a flattened
/// stream has holes); 1 GiB of bits are 32 TiB of 4-KiB pages.
const HOLE_BYTES: u64 = 1 << 30;

/// Which bit of a byte stands for the lowest PFN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BitOrder {
    /// The least significant one (diskdump).
    LsbFirst,
    /// The most significant one (SADUMP).
    MsbFirst,
}

impl BitOrder {
    /// Bits `64 * index` and up of `bytes`, the first one least significant;
    /// what lies behind the end is clear.
    fn word(self, bytes: &[u8], index: usize) -> u64 {
        let rest = bytes.get(index * 8..).unwrap_or_default();
        let raw = match rest.first_chunk() {
            Some(raw) => *raw,
            None => {
                let mut raw = [0; 8];
                raw[..rest.len()].copy_from_slice(rest);
                raw
            }
        };
        match self {
            BitOrder::LsbFirst => u64::from_le_bytes(raw),
            BitOrder::MsbFirst => u64::from_be_bytes(raw).reverse_bits(),
        }
    }
}

/// A set of PFNs that knows for each of them how many are below it.
///
/// Immutable; share it between clones and bitmaps.
pub struct PfnIndex {
    entries: Vec<Entry>,
    /// Number of the 65 536 PFNs that `entries` begins with.
    first: u64,
    /// Number of set bits.
    count: u64,
}

struct Entry {
    /// Number of set bits before this entry.
    rank: u64,
    bits: Bits,
}

enum Bits {
    Empty,
    Full,
    Mixed(Box<Mixed>),
}

struct Mixed {
    /// Up to the last word that is not zero.
    words: Box<[u64]>,
    /// Bits set in this entry before each group of words.
    ranks: Box<[u16]>,
}

impl PfnIndex {
    /// Indexes a bitmap of `length` bytes at `position` of a file: the bits
    /// `range` of it, counted from its start. It is read once, block by block;
    /// only what the file really holds costs time or memory.
    ///
    /// # Errors
    /// What reading the file says; `Corrupt` for a bitmap of which the file
    /// can only hold a vanishing part; `System` if there is no memory.
    pub fn read(
        files: &FileSet,
        file: usize,
        position: u64,
        length: u64,
        order: BitOrder,
        range: Range<u64>,
    ) -> Result<PfnIndex> {
        let mut length = length;
        if let Some(end) = files.len(file)
            && position.saturating_add(length) > end
        {
            // Bytes behind the end are zero, but the files' policy may say
            // that they must not be read.
            if let Some(last) = length.checked_sub(1) {
                files.read(file, position.saturating_add(last), &mut [0])?;
            }
            length = end.saturating_sub(position);
        }
        length = length.min(range.end.div_ceil(8));
        if let Some(stored) = files.raw_source(file).len()
            && length > stored.saturating_add(HOLE_BYTES)
        {
            return Err(Error::corrupt("Page bitmap is larger than its file can be"));
        }
        let mut builder = Builder::new(order, range);
        let mut at = builder.position();
        let mut buffer = Vec::new();
        while at < length {
            let size = READ_BYTES.min(length - at) as usize;
            let from = position.saturating_add(at);
            // Nothing else bounds the length where that of the file is unknown.
            if files.len(file).is_none() && files.ends_before(file, from)? {
                break;
            }
            let mapped = if length <= MAPPED_BYTES { files.borrow(file, from, size) } else { None };
            if let Some(bytes) = mapped {
                builder.push(bytes)?;
            } else {
                if buffer.is_empty() {
                    buffer.try_reserve_exact(size).map_err(|_| no_memory())?;
                    buffer.resize(size, 0);
                }
                // Only the last block is smaller than the first one.
                let bytes = &mut buffer[..size];
                files.read_once(file, from, bytes)?;
                builder.push(bytes)?;
            }
            at += size as u64;
        }
        Ok(builder.finish())
    }

    /// How many set bits there are below `pfn`, if `pfn` itself is set.
    pub fn rank(&self, pfn: u64) -> Option<u64> {
        let entry = self.entry(pfn / ENTRY_BITS)?;
        let bit = (pfn % ENTRY_BITS) as usize;
        match &entry.bits {
            Bits::Empty => None,
            Bits::Full => Some(entry.rank + bit as u64),
            Bits::Mixed(mixed) => mixed.rank(bit).map(|rank| entry.rank + rank),
        }
    }

    /// Number of set bits.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lowest and the highest set bit, if any bit is set.
    pub fn bounds(&self) -> Option<(u64, u64)> {
        let low = self.first_set(0)?;
        let last = self.entries.len().checked_sub(1)?;
        let top = match &self.entries[last].bits {
            Bits::Mixed(mixed) => {
                let word = mixed.words.last().copied().unwrap_or(0);
                (mixed.words.len() as u64 * 64).saturating_sub(1 + u64::from(word.leading_zeros()))
            }
            _ => ENTRY_BITS - 1,
        };
        Some((low, (self.first + last as u64) * ENTRY_BITS + top))
    }

    fn entry(&self, number: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// The smallest set bit at or above `from`.
    fn first_set(&self, from: u64) -> Option<u64> {
        let from = from.max(self.first * ENTRY_BITS);
        let mut at = usize::try_from(from / ENTRY_BITS - self.first).ok()?;
        let mut bit = (from % ENTRY_BITS) as usize;
        loop {
            let entry = self.entries.get(at)?;
            let found = match &entry.bits {
                Bits::Empty => None,
                Bits::Full => Some(bit),
                Bits::Mixed(mixed) => mixed.first_set(bit),
            };
            if let Some(bit) = found {
                return Some((self.first + at as u64) * ENTRY_BITS + bit as u64);
            }
            bit = 0;
            at += 1;
            // Entries without a bit have the rank of their successor: the last
            // one of a rank is where bits come.
            let next = self.entries.get(at)?.rank;
            at += self.entries[at..].partition_point(|entry| entry.rank <= next).saturating_sub(1);
        }
    }

    /// The smallest clear bit at or above `from`.
    fn first_clear(&self, from: u64) -> u64 {
        let mut from = from;
        while let Some(entry) = self.entry(from / ENTRY_BITS) {
            let bit = (from % ENTRY_BITS) as usize;
            let found = match &entry.bits {
                Bits::Empty => Some(bit),
                Bits::Full => None,
                Bits::Mixed(mixed) => mixed.first_clear(bit),
            };
            from -= bit as u64;
            match found {
                Some(clear) => return from + clear as u64,
                None => from += ENTRY_BITS,
            }
        }
        from
    }
}

impl BitSource for PfnIndex {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        Ok(self.first_set(from).map(|start| (start, self.first_clear(start))))
    }
}

impl Mixed {
    fn rank(&self, bit: usize) -> Option<u64> {
        let at = bit / 64;
        let word = *self.words.get(at)?;
        if word >> (bit % 64) & 1 == 0 {
            return None;
        }
        let group = at / RANK_WORDS;
        let before = self.words[group * RANK_WORDS..at].iter().map(|word| word.count_ones()).sum::<u32>();
        let within = (word & ((1 << (bit % 64)) - 1)).count_ones();
        Some(u64::from(self.ranks[group]) + u64::from(before + within))
    }

    fn first_set(&self, bit: usize) -> Option<usize> {
        let mut at = bit / 64;
        let mut word = self.words.get(at)? & u64::MAX << (bit % 64);
        while word == 0 {
            at += 1;
            word = *self.words.get(at)?;
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }

    fn first_clear(&self, bit: usize) -> Option<usize> {
        let mut at = bit / 64;
        let Some(first) = self.words.get(at) else { return Some(bit) };
        let mut word = !first & u64::MAX << (bit % 64);
        while word == 0 {
            at += 1;
            if at == ENTRY_WORDS {
                return None;
            }
            word = self.words.get(at).map_or(u64::MAX, |word| !word);
        }
        Some(at * 64 + word.trailing_zeros() as usize)
    }
}

/// Makes a [`PfnIndex`] of a bitmap that comes in blocks.
pub struct Builder {
    index: PfnIndex,
    order: BitOrder,
    /// Bits outside of this range are ignored.
    range: Range<u64>,
    /// Number of the entry that comes next.
    next: u64,
    /// Words and ranks of the entry that is being made.
    words: Vec<u64>,
    ranks: Vec<u16>,
}

impl Builder {
    /// A builder for the bits `range` of a bitmap.
    pub fn new(order: BitOrder, range: Range<u64>) -> Self {
        let next = range.start / ENTRY_BITS;
        let index = PfnIndex { entries: Vec::new(), first: 0, count: 0 };
        Builder { index, order, range, next, words: Vec::new(), ranks: Vec::new() }
    }

    /// Byte position within the bitmap of the block that is pushed next.
    pub fn position(&self) -> u64 {
        self.next.saturating_mul(ENTRY_BYTES as u64)
    }

    /// Adds the next block of the bitmap. Every block but the last is a
    /// multiple of 8192 bytes long.
    ///
    /// # Errors
    /// `System` if there is no memory.
    pub fn push(&mut self, block: &[u8]) -> Result<()> {
        for bytes in block.chunks(ENTRY_BYTES) {
            self.entry(bytes)?;
            self.next += 1;
        }
        Ok(())
    }

    /// The index of all blocks pushed.
    pub fn finish(self) -> PfnIndex {
        self.index
    }

    fn entry(&mut self, bytes: &[u8]) -> Result<()> {
        let base = self.next * ENTRY_BITS;
        let low = self.range.start.saturating_sub(base).min(ENTRY_BITS) as usize;
        let high = self.range.end.saturating_sub(base).min(ENTRY_BITS) as usize;
        let order = self.order;
        let inside = low == 0 && high == ENTRY_BITS as usize;
        let word = |at: usize| match order.word(bytes, at) {
            word if inside => word,
            word => word & below(high, at) & !below(low, at),
        };
        self.words.clear();
        self.ranks.clear();
        // Both at once, and never again: these are the sizes of a full entry.
        self.words.try_reserve_exact(ENTRY_WORDS).map_err(|_| no_memory())?;
        self.ranks.try_reserve_exact(ENTRY_WORDS / RANK_WORDS).map_err(|_| no_memory())?;
        let mut count = 0;
        let (lines, rest) = bytes.as_chunks::<LINE_BYTES>();
        // Most of a sparse bitmap is zero, and that is seen line by line.
        let has_bits = |line: &[u8; LINE_BYTES]| {
            let (words, _) = line.as_chunks();
            words.iter().fold(0, |all, word| all | u64::from_ne_bytes(*word)) != 0
        };
        let set = lines.iter().enumerate().filter(|(_, line)| has_bits(line));
        let rest = (!rest.is_empty()).then_some(lines.len());
        for line in set.map(|(line, _)| line).chain(rest) {
            let group: [u64; RANK_WORDS] = core::array::from_fn(|at| word(line * RANK_WORDS + at));
            let bits: u64 = group.iter().map(|word| u64::from(word.count_ones())).sum();
            if bits != 0 {
                // Less than 65 536: that is what a full entry has.
                self.ranks.resize(line + 1, count as u16);
                self.words.resize(line * RANK_WORDS, 0);
                self.words.extend_from_slice(&group);
                count += bits;
            }
        }
        while self.words.pop_if(|word| *word == 0).is_some() {}
        let bits = match count {
            0 => return Ok(()),
            ENTRY_BITS => Bits::Full,
            _ => Bits::Mixed(Box::new(Mixed { words: boxed(&self.words)?, ranks: boxed(&self.ranks)? })),
        };
        let index = &mut self.index;
        if index.entries.is_empty() {
            index.first = self.next;
        }
        // Empty entries are made only once it is known that more bits follow.
        let missing = usize::try_from(self.next - index.first).map_err(|_| no_memory())?;
        let rank = index.count;
        index.entries.try_reserve(missing + 1 - index.entries.len()).map_err(|_| no_memory())?;
        index.entries.resize_with(missing, || Entry { rank, bits: Bits::Empty });
        index.entries.push(Entry { rank, bits });
        index.count += count;
        Ok(())
    }
}

/// The bits of word `at` that are below bit `end` of the entry.
fn below(end: usize, at: usize) -> u64 {
    match end.saturating_sub(at * 64) {
        bits @ 0..64 => (1 << bits) - 1,
        _ => u64::MAX,
    }
}

fn boxed<T: Copy>(values: &[T]) -> Result<Box<[T]>> {
    let mut kept = Vec::new();
    kept.try_reserve_exact(values.len()).map_err(|_| no_memory())?;
    kept.extend_from_slice(values);
    Ok(kept.into_boxed_slice())
}

fn no_memory() -> Error {
    Error::system("Cannot allocate page frame index")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::{MmapPolicy, Source};
    use crate::sync::Shared;
    use alloc::vec;

    /// Bytes of unknown length, and how often they were read.
    struct Endless(Vec<u8>, crate::sync::Counter);

    impl crate::io::ReadAt for Endless {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            self.1.add(1);
            assert!(self.1.get() < 100, "the reads do not end");
            self.0.read_at(pos, buf)
        }
    }

    #[test]
    fn a_bitmap_ends_with_a_file_of_unknown_length() {
        let source: Source = Shared::new(Endless(vec![1; 9000], crate::sync::Counter::new(0)));
        let files = FileSet::open(vec![source], vec![], Shared::new(MmapPolicy::default())).unwrap();
        let index = PfnIndex::read(&files, 0, 4096, 1 << 49, BitOrder::LsbFirst, 0..u64::MAX).unwrap();
        assert_eq!(index.count(), 9000 - 4096);
    }

    /// A small generator of reproducible numbers (xorshift).
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: u64) -> u64 {
            self.next() % end
        }
    }

    fn index(bytes: &[u8], order: BitOrder, range: Range<u64>) -> PfnIndex {
        let mut builder = Builder::new(order, range);
        let from = usize::try_from(builder.position()).unwrap().min(bytes.len());
        // Blocks of one and of several entries.
        let cut = (ENTRY_BYTES * 2).min(bytes.len() - from);
        builder.push(&bytes[from..from + cut]).unwrap();
        builder.push(&bytes[from + cut..]).unwrap();
        builder.finish()
    }

    /// Bitmaps with long runs, noise and gaps in them.
    fn bitmap(random: &mut Random, bytes: usize) -> Vec<u8> {
        let mut map = vec![0; bytes];
        for _ in 0..random.below(12) {
            let start = random.below(bytes as u64 * 8);
            let end = (start + random.below(150_000)).min(bytes as u64 * 8);
            match random.below(3) {
                0 => fill(&mut map, start, end, |_| true),
                1 => fill(&mut map, start, end, |_| false),
                _ => {
                    let mut noise = Random(random.next() | 1);
                    fill(&mut map, start, end, |_| noise.below(3) == 0);
                }
            }
        }
        map
    }

    fn fill(map: &mut [u8], start: u64, end: u64, mut value: impl FnMut(u64) -> bool) {
        for bit in start..end {
            let (byte, mask) = ((bit / 8) as usize, 1 << (bit % 8));
            if value(bit) {
                map[byte] |= mask;
            } else {
                map[byte] &= !mask;
            }
        }
    }

    fn check(map: &[u8], order: BitOrder, range: Range<u64>, random: &mut Random) {
        let index = index(map, order, range.clone());
        let bits = map.len() as u64 * 8;
        let model: Vec<bool> = (0..bits + 70)
            .map(|bit| {
                let shift = if order == BitOrder::LsbFirst { bit % 8 } else { 7 - bit % 8 };
                bit < bits && range.contains(&bit) && map[(bit / 8) as usize] >> shift & 1 == 1
            })
            .collect();
        let mut ranks = Vec::new();
        let mut rank = 0;
        for set in &model {
            ranks.push(rank);
            rank += u64::from(*set);
        }
        assert_eq!(index.count(), rank);
        let first = model.iter().position(|set| *set).map(|bit| bit as u64);
        let last = model.iter().rposition(|set| *set).map(|bit| bit as u64);
        assert_eq!(index.bounds(), first.zip(last));

        let mut probes: Vec<usize> = (0..2000).map(|_| random.below(model.len() as u64) as usize).collect();
        for edge in (0..model.len()).step_by(ENTRY_BITS as usize) {
            probes.extend([edge.saturating_sub(1), edge, (edge + 1).min(model.len() - 1)]);
        }
        for at in probes {
            assert_eq!(index.rank(at as u64), model[at].then_some(ranks[at]), "rank of {at}");
        }
        // All runs, and the run from anywhere.
        let mut at = 0;
        let mut runs = 0;
        while let Some((start, end)) = index.run(at).unwrap() {
            let expected = (at as usize..).find(|bit| model[*bit]).unwrap();
            assert_eq!(start as usize, expected);
            assert!(end > start && model[start as usize..end as usize].iter().all(|set| *set));
            assert!(!model[end as usize], "the run at {start} ends at {end}");
            at = end;
            runs += 1;
        }
        assert!(model[at as usize..].iter().all(|set| !set), "{runs} runs");
        for _ in 0..200 {
            let at = random.below(model.len() as u64);
            let expected = (at as usize..model.len()).find(|bit| model[*bit]);
            assert_eq!(index.run(at).unwrap().map(|run| run.0 as usize), expected);
        }
    }

    #[test]
    fn ranks_and_runs_agree_with_a_plain_model() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        for round in 0..12 {
            let size = [1, 7, 4096, 8192, 8193, 40_000][round % 6];
            let map = bitmap(&mut random, size);
            let bits = size as u64 * 8;
            check(&map, BitOrder::LsbFirst, 0..u64::MAX, &mut random);
            let (a, b) = (random.below(bits + 1), random.below(bits + 1));
            check(&map, BitOrder::LsbFirst, a.min(b)..a.max(b), &mut random);
            check(&map, BitOrder::MsbFirst, a.min(b)..a.max(b), &mut random);
        }
    }

    #[test]
    fn all_ones_and_all_zeros_are_kept_as_such() {
        let mut random = Random(1);
        check(&vec![0xff; 3 * ENTRY_BYTES], BitOrder::LsbFirst, 0..u64::MAX, &mut random);
        check(&vec![0; 3 * ENTRY_BYTES], BitOrder::LsbFirst, 0..u64::MAX, &mut random);
        let ones = index(&vec![0xff; 4 * ENTRY_BYTES], BitOrder::LsbFirst, 1..u64::MAX);
        assert!(matches!(ones.entries[0].bits, Bits::Mixed(_)));
        assert!(ones.entries[1..].iter().all(|entry| matches!(entry.bits, Bits::Full)));
        assert_eq!(ones.rank(ENTRY_BITS * 4 - 1), Some(ENTRY_BITS * 4 - 2));
        assert_eq!(ones.run(5).unwrap(), Some((5, ENTRY_BITS * 4)));
    }

    #[test]
    fn gaps_cost_nothing_before_the_first_and_behind_the_last_page() {
        let mut builder = Builder::new(BitOrder::LsbFirst, 0..u64::MAX);
        let zeros = vec![0; ENTRY_BYTES * 16];
        for _ in 0..50 {
            builder.push(&zeros).unwrap();
        }
        builder.push(&[&[0x80][..], &[0; ENTRY_BYTES - 1]].concat()).unwrap();
        for _ in 0..50 {
            builder.push(&zeros).unwrap();
        }
        let index = builder.finish();
        assert_eq!((index.entries.len(), index.first), (1, 800));
        assert_eq!(index.bounds(), Some((800 * ENTRY_BITS + 7, 800 * ENTRY_BITS + 7)));
        assert_eq!(index.rank(800 * ENTRY_BITS + 7), Some(0));
        assert_eq!(index.run(0).unwrap(), Some((800 * ENTRY_BITS + 7, 800 * ENTRY_BITS + 8)));
        assert_eq!(index.rank(u64::MAX), None);
        assert_eq!(index.run(u64::MAX).unwrap(), None);
    }

    fn file(bytes: Vec<u8>) -> FileSet {
        let source: Source = Shared::new(bytes);
        let policy = Shared::new(MmapPolicy::default());
        FileSet::open(vec![source], vec![], policy).unwrap()
    }

    #[test]
    fn bits_behind_the_end_of_the_file_are_clear() {
        let mut bytes = vec![0; 100];
        bytes[90] = 0b1010_0000;
        let files = file(bytes);
        let index = PfnIndex::read(&files, 0, 80, 1 << 60, BitOrder::LsbFirst, 0..u64::MAX).unwrap();
        assert_eq!((index.count(), index.bounds()), (2, Some((85, 87))));
        assert_eq!(index.rank(87), Some(1));
        let none = PfnIndex::read(&files, 0, 1 << 40, 1 << 40, BitOrder::LsbFirst, 0..u64::MAX).unwrap();
        assert_eq!((none.count(), none.bounds()), (0, None));
    }

    #[test]
    fn range_starts_in_the_middle_of_the_file() {
        let mut bytes = vec![0x55; 100_000];
        bytes[..16].fill(0);
        let files = file(bytes);
        let index = PfnIndex::read(&files, 0, 16, 90_000, BitOrder::LsbFirst, 200_001..300_000).unwrap();
        assert_eq!(index.bounds(), Some((200_002, 299_998)));
        assert_eq!(index.rank(200_004), Some(1));
        assert_eq!(index.rank(200_005), None);
        assert_eq!(index.count(), 49_999);
    }
}
