//! Hashes of paths.
//!
//! A path is hashed as the bytes that it has, so a key of the root or of any
//! directory is found by one look-up: each node keeps what came of the bytes
//! of its own path, and the rest goes on from there.
//!
//! ```text
//! arch.page_size      a r c h . p a g │ e _ s i z e
//!                       8 bytes: folded  less than 8: kept, folded at the end
//! ```
//!
//! Keys of a dump are somebody else's, who may want many of them to have one
//! hash: so bytes are folded by multiplication with secret numbers.

use core::hash::BuildHasher;

use hashbrown::DefaultHashBuilder;

/// What came of the bytes of a path so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathHash {
    /// Of those that make whole words.
    words: u64,
    /// The up to seven that are left, the first one lowest; above them, in
    /// the highest byte, how many these are.
    rest: u64,
}

impl PathHash {
    /// Of no bytes.
    pub const EMPTY: PathHash = PathHash { words: 0, rest: 0 };

    fn length(self) -> u32 {
        (self.rest >> 56) as u32
    }
}

/// Makes hashes that nobody can tell before.
pub(super) struct PathHasher {
    factor: u64,
    /// Tells what is left at the end from a whole word.
    end: u64,
}

/// Less than eight bytes at the end of a path, the first one lowest.
fn last_bytes(path: &[u8], bytes: &[u8]) -> u64 {
    let length = bytes.len();
    if let (1.., Some(last)) = (length, path.last_chunk::<8>()) {
        return u64::from_le_bytes(*last) >> (64 - 8 * length);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last));
        return u64::from(u32::from_le_bytes(*first)) | last << (8 * (length - 4));
    }
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

impl PathHasher {
    /// Another one has other hashes.
    pub fn new() -> Self {
        let random = DefaultHashBuilder::default();
        PathHasher { factor: random.hash_one(1_u8) | 1, end: random.hash_one(2_u8) }
    }

    fn fold(&self, hash: u64, word: u64) -> u64 {
        let product = u128::from(hash ^ word) * u128::from(self.factor);
        product as u64 ^ (product >> 64) as u64
    }

    /// Goes on with more bytes.
    pub fn extend(&self, base: PathHash, path: &[u8]) -> PathHash {
        let shift = 8 * base.length();
        let mut words = base.words;
        let mut rest = base.rest & (u64::MAX >> 8);
        let (chunks, last) = path.as_chunks::<8>();
        for chunk in chunks {
            let word = u64::from_le_bytes(*chunk);
            words = self.fold(words, rest | word << shift);
            // In two steps, as 64 bits are too many for one.
            rest = word >> 1 >> (63 - shift);
        }
        let word = last_bytes(path, last);
        rest |= word << shift;
        let mut length = base.length() + last.len() as u32;
        if length >= 8 {
            words = self.fold(words, rest);
            rest = word >> 1 >> (63 - shift);
            length -= 8;
        }
        PathHash { words, rest: rest | u64::from(length) << 56 }
    }

    /// The hash that a table is to use.
    pub fn finish(&self, path: PathHash) -> u64 {
        self.fold(path.words ^ self.end, path.rest)
    }

    /// What a directory begins with that no path leads to.
    pub fn aside(&self, id: u32) -> PathHash {
        let words = self.fold(self.fold(self.end, id.into()), self.end);
        PathHash { words, rest: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    #[test]
    fn hash_of_a_path_does_not_depend_on_where_it_is_cut() {
        let hasher = PathHasher::new();
        let path = "linux.vmcoreinfo.SYMBOL.init_uts_ns\u{e9}".as_bytes();
        for length in 0..path.len() {
            let whole = hasher.extend(PathHash::EMPTY, &path[..length]);
            for first in 0..length {
                for second in first..length {
                    let mut hash = hasher.extend(PathHash::EMPTY, &path[..first]);
                    hash = hasher.extend(hash, &path[first..second]);
                    hash = hasher.extend(hash, &path[second..length]);
                    assert_eq!(hash, whole, "{first}, {second}, {length}");
                }
            }
        }
    }

    #[test]
    fn different_paths_have_different_hashes() {
        let hasher = PathHasher::new();
        let mut paths: Vec<String> = Vec::new();
        for length in 0..20 {
            paths.push("a".repeat(length));
            for at in 0..length {
                // Some are lengths, too.
                for other in [".", "b", "\0", "\u{1}", "\u{7}"] {
                    let mut path = "a".repeat(length);
                    path.replace_range(at..=at, other);
                    paths.push(path);
                }
            }
        }
        let hash = |path: &String| hasher.finish(hasher.extend(PathHash::EMPTY, path.as_bytes()));
        let mut hashes: Vec<u64> = paths.iter().map(hash).collect();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), paths.len());
        assert_ne!(PathHasher::new().aside(1), hasher.aside(2));
    }
}
