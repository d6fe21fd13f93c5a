//! Deterministic RAM content, and what a reader must answer about it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

use crate::truth::Pages;

/// What kind of content a generated page has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageKind {
    /// All zero.
    Zero,
    /// Words and numbers, compresses well.
    Text,
    /// Noise, does not compress.
    Random,
    /// Mostly zero with a few pointers, like kernel data.
    Sparse,
    /// One byte repeated.
    Filled,
}

/// A generator of RAM pages; the same seed gives the same bytes everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamImage {
    seed: u64,
    page_size: usize,
}

/// SplitMix64: small, well mixed, and the same on every platform.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A generator that starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Rng(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (0 if `bound` is 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// Puts `items` into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}

impl RamImage {
    /// Pages of `page_size` bytes whose content depends on `seed` and PFN.
    pub fn new(seed: u64, page_size: usize) -> Self {
        RamImage { seed, page_size }
    }

    /// Size of a page in bytes.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    fn rng(&self, pfn: u64) -> Rng {
        Rng::new(self.seed ^ pfn.wrapping_mul(0xd134_2543_de82_ef95))
    }

    /// The kind of page that `page_bytes` gives for this PFN.
    pub fn kind(&self, pfn: u64) -> PageKind {
        match self.rng(pfn).below(8) {
            0 | 1 => PageKind::Zero,
            2 | 3 => PageKind::Text,
            4 => PageKind::Random,
            5 => PageKind::Filled,
            _ => PageKind::Sparse,
        }
    }

    /// The content of page `pfn`.
    pub fn page_bytes(&self, pfn: u64) -> Vec<u8> {
        let mut rng = self.rng(pfn);
        // The first number of the sequence decided the kind.
        rng.next_u64();
        let mut page = Vec::with_capacity(self.page_size + 32);
        match self.kind(pfn) {
            PageKind::Zero => {}
            PageKind::Text => {
                while page.len() < self.page_size {
                    let word = ["page", "slab", "inode", "task", "dentry", "vma"][rng.below(6) as usize];
                    page.extend(format!("{word}={:x} ", rng.below(1 << 20)).bytes());
                }
            }
            PageKind::Random => {
                while page.len() < self.page_size {
                    page.extend(rng.next_u64().to_le_bytes());
                }
            }
            PageKind::Filled => page.resize(self.page_size, rng.below(255) as u8 + 1),
            PageKind::Sparse => {
                page.resize(self.page_size, 0);
                for _ in 0..self.page_size / 128 {
                    let at = rng.below(self.page_size as u64 / 8) as usize * 8;
                    let pointer = 0xffff_8880_0000_0000 | rng.below(1 << 30);
                    page[at..at + 8].copy_from_slice(&pointer.to_le_bytes());
                }
            }
        }
        page.resize(self.page_size, 0);
        page
    }

    /// The pages of a PFN range, as what a reader should find.
    pub fn expected(&self, pfns: impl IntoIterator<Item = u64>) -> Expected {
        let mut expected = Expected::new(self.page_size);
        for pfn in pfns {
            expected.insert(pfn, self.page_bytes(pfn));
        }
        expected
    }
}

/// Content of page `pfn` of the default image (seed 0, 4096 bytes).
pub fn page_bytes(pfn: u64) -> Vec<u8> {
    RamImage::new(0, 4096).page_bytes(pfn)
}

/// One stretch of an expected read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes are stored.
    Data(Vec<u8>),
    /// So many bytes are not stored.
    Hole(usize),
}

/// A model of a dump: the pages that it stores, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    page_size: usize,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl Expected {
    /// No pages yet.
    pub fn new(page_size: usize) -> Self {
        Expected { page_size, pages: BTreeMap::new() }
    }

    /// Adds or replaces a page.
    ///
    /// # Panics
    /// If `bytes` is not exactly one page.
    pub fn insert(&mut self, pfn: u64, bytes: Vec<u8>) {
        assert_eq!(bytes.len(), self.page_size, "page {pfn:#x}");
        self.pages.insert(pfn, bytes);
    }

    /// Takes a page out, as if it had been filtered.
    pub fn remove(&mut self, pfn: u64) -> Option<Vec<u8>> {
        self.pages.remove(&pfn)
    }

    /// Size of a page in bytes.
    pub fn page_size(&self) -> usize {
        self.page_size
    }

    /// The content of one page, if it is stored.
    pub fn page(&self, pfn: u64) -> Option<&[u8]> {
        self.pages.get(&pfn).map(Vec::as_slice)
    }

    /// All stored pages by ascending PFN.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(pfn, bytes)| (*pfn, bytes.as_slice()))
    }

    /// What lies at `[addr, addr + len)`: neighbours of the same kind merged.
    pub fn read(&self, addr: u64, len: usize) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut done = 0;
        while done < len {
            let at = addr + done as u64;
            let within = (at % self.page_size as u64) as usize;
            let take = (self.page_size - within).min(len - done);
            match (self.page(at / self.page_size as u64), pieces.last_mut()) {
                (Some(page), Some(Piece::Data(data))) => {
                    data.extend_from_slice(&page[within..within + take]);
                }
                (Some(page), _) => pieces.push(Piece::Data(page[within..within + take].to_vec())),
                (None, Some(Piece::Hole(hole))) => *hole += take,
                (None, _) => pieces.push(Piece::Hole(take)),
            }
            done += take;
        }
        pieces
    }

    /// The bytes that a read delivers before the first page that is missing.
    pub fn read_until_hole(&self, addr: u64, len: usize) -> Vec<u8> {
        match self.read(addr, len).into_iter().next() {
            Some(Piece::Data(data)) => data,
            _ => Vec::new(),
        }
    }

    /// The read with `file.zero_excluded`: holes are zero bytes.
    pub fn read_zero_filled(&self, addr: u64, len: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(len);
        for piece in self.read(addr, len) {
            match piece {
                Piece::Data(data) => out.extend(data),
                Piece::Hole(hole) => out.resize(out.len() + hole, 0),
            }
        }
        out
    }

    /// The set bits of `file.pagemap`, as maximal inclusive ranges of PFNs.
    pub fn pagemap_ranges(&self) -> Vec<RangeInclusive<u64>> {
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        for &pfn in self.pages.keys() {
            match ranges.last_mut() {
                Some(last) if *last.end() + 1 == pfn => *last = *last.start()..=pfn,
                _ => ranges.push(pfn..=pfn),
            }
        }
        ranges
    }

    /// The bits of `file.pagemap` from `first` to `last` inclusive, LSB first.
    pub fn pagemap_bits(&self, first: u64, last: u64) -> Vec<u8> {
        let mut bits = vec![0; ((last - first) / 8 + 1) as usize];
        for (&pfn, _) in self.pages.range(first..=last) {
            bits[((pfn - first) / 8) as usize] |= 1 << ((pfn - first) % 8);
        }
        bits
    }

    /// SHA-256 in lower-case hex over all stored pages by ascending PFN.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for page in self.pages.values() {
            hash.update(page);
        }
        hex(&hash.finalize())
    }
}

/// Hashes pages as a reader delivers them, the way the ground truth does:
/// over all of them, and over each group of 1024 PFNs.
#[derive(Clone)]
pub struct PageHasher {
    pages: Pages,
    all: Sha256,
    chunk: Option<(u64, Sha256)>,
}

impl PageHasher {
    /// No pages yet; `page_size` is the unit of the PFNs in bytes.
    pub fn new(page_size: u64) -> Self {
        let pages = Pages { page_size, chunk_pages: 1024, ..Pages::default() };
        PageHasher { pages, all: Sha256::new(), chunk: None }
    }

    /// Adds a page that was read; PFNs must ascend.
    pub fn page(&mut self, pfn: u64, bytes: &[u8]) {
        let number = pfn / self.pages.chunk_pages;
        if self.chunk.as_ref().is_none_or(|chunk| chunk.0 != number) {
            self.end_chunk();
            self.chunk = Some((number, Sha256::new()));
        }
        if let Some((_, hash)) = &mut self.chunk {
            hash.update(bytes);
        }
        self.all.update(bytes);
        self.pages.read_ok += 1;
        self.pages.zero_pages += u64::from(bytes.iter().all(|&byte| byte == 0));
    }

    /// Counts a page that could not be read.
    pub fn failure(&mut self) {
        self.pages.read_failed += 1;
    }

    fn end_chunk(&mut self) {
        if let Some((number, hash)) = self.chunk.take() {
            self.pages.chunk_sha256.insert(number, hex(&hash.finalize()));
        }
    }

    /// Everything, to be compared with [`Report::pages`](crate::truth::Report::pages).
    pub fn finish(mut self) -> Pages {
        self.end_chunk();
        self.pages.sha256 = hex(&self.all.finalize());
        self.pages
    }
}

/// SHA-256 of `data` in lower-case hex.
pub fn sha256_hex(data: &[u8]) -> String {
    hex(&Sha256::digest(data))
}

/// Lower-case hex of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pages_contain_every_kind() {
        let image = RamImage::new(0, 4096);
        for kind in [PageKind::Zero, PageKind::Text, PageKind::Random, PageKind::Sparse, PageKind::Filled] {
            let pfn = (0..32).find(|&pfn| image.kind(pfn) == kind).unwrap();
            let page = image.page_bytes(pfn);
            assert_eq!(page.len(), 4096);
            assert_eq!(page.iter().all(|&b| b == 0), kind == PageKind::Zero);
            assert_eq!(page, image.page_bytes(pfn), "the same again");
        }
        assert_ne!(
            (0..64).map(page_bytes).collect::<Vec<_>>(),
            (0..64).map(|pfn| RamImage::new(1, 4096).page_bytes(pfn)).collect::<Vec<_>>()
        );
    }

    #[test]
    fn model_answers_reads_across_holes() {
        let image = RamImage::new(3, 16);
        let expected = image.expected([1, 2, 5]);
        let mut both = image.page_bytes(1);
        both.extend(image.page_bytes(2));
        assert_eq!(
            expected.read(8, 80),
            [
                Piece::Hole(8),
                Piece::Data(both.clone()),
                Piece::Hole(32),
                Piece::Data(image.page_bytes(5)[..8].to_vec())
            ]
        );
        assert_eq!(expected.read_until_hole(16, 100), both);
        assert!(expected.read_until_hole(0, 100).is_empty());
        assert_eq!(expected.read_zero_filled(40, 16), [&image.page_bytes(2)[8..], &[0; 8]].concat());
        assert_eq!(expected.pagemap_ranges(), [1..=2, 5..=5]);
        assert_eq!(expected.pagemap_bits(1, 9), [0x13, 0]);
        both.extend(image.page_bytes(5));
        assert_eq!(expected.sha256(), sha256_hex(&both));
    }

    #[test]
    fn page_hasher_agrees_with_the_model_and_hashes_each_chunk() {
        let expected = RamImage::new(3, 64).expected([0, 1, 1023, 1024, 5000]);
        let mut hasher = PageHasher::new(64);
        expected.pages().for_each(|(pfn, bytes)| hasher.page(pfn, bytes));
        hasher.failure();
        let pages = hasher.finish();
        assert_eq!((pages.read_ok, pages.read_failed), (5, 1));
        assert_eq!(pages.sha256, expected.sha256());
        assert_eq!(pages.chunk_sha256.keys().copied().collect::<Vec<_>>(), [0, 1, 4]);
        assert_eq!(pages.chunk_sha256[&4], sha256_hex(expected.page(5000).unwrap()));
    }

    #[test]
    fn sha256_of_nothing_is_the_known_value() {
        assert_eq!(sha256_hex(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
