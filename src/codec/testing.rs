//! What the tests of all codecs share: page contents and damage.

use super::{Codec, Decoder};
use crate::error::Status;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Deterministic pseudo-random numbers (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }
}

/// Pages of `size` bytes with the kinds of content that kernel memory has.
pub(super) fn pages(size: usize) -> Vec<Vec<u8>> {
    let mut random = Random::new(size as u64);
    let zeros = vec![0; size];
    let mut sparse = vec![0; size];
    for _ in 0..size / 64 {
        sparse[random.below(size)] = random.next() as u8;
    }
    // Tables of pointers that share their upper half.
    let pointers: Vec<u8> = (0..size / 8)
        .flat_map(|_| (0xffff_8880_0000_0000_u64 | (random.next() & 0xff_ffc0)).to_le_bytes())
        .collect();
    let text: Vec<u8> =
        b"kworker/0:1-events_power_efficient\0swapper/0\0".iter().copied().cycle().take(size).collect();
    // Byte frequencies that halve from value to value: long Huffman codes.
    let skewed: Vec<u8> = (0..size).map(|_| random.next().trailing_zeros() as u8 * 7).collect();
    let noise: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
    // Structures: alike, but for a few fields.
    let mut records: Vec<u8> = (0..size).map(|i| (i % 96) as u8 ^ (i % 7) as u8).collect();
    for at in (0..size).step_by(96) {
        records[at] = random.next() as u8;
    }
    // Runs of every short period.
    let mut runs = Vec::new();
    while runs.len() < size {
        let pattern: Vec<u8> = (0..1 + random.below(20)).map(|_| random.next() as u8).collect();
        let len = random.below(300);
        runs.extend(pattern.iter().cycle().take(len));
    }
    runs.truncate(size);
    vec![zeros, sparse, pointers, text, skewed, noise, records, runs]
}

/// The message of the error that `stream` gives as a page of `size` bytes.
pub(super) fn fault(codec: Codec, stream: &[u8], size: usize) -> String {
    let error = Decoder::new().page(codec, stream, &mut vec![0; size]).unwrap_err();
    assert_eq!(error.status(), Status::Corrupt);
    error.message()
}

/// `compress`ed pages come back, whatever a reused decoder saw before.
pub(super) fn check_round_trips(codec: Codec, compress: impl Fn(&[u8]) -> Vec<u8>) {
    let mut decoder = Decoder::new();
    for size in [4096, 16384, 65536] {
        for (kind, page) in pages(size).iter().enumerate() {
            let mut got = vec![0xee; size];
            decoder.page(codec, &compress(page), &mut got).unwrap();
            assert!(got == *page, "page {kind} of {size} bytes");
            // Spoil the state of the next turn.
            let mut stream = compress(page);
            stream.truncate(stream.len() / 2);
            decoder.page(codec, &stream, &mut got).unwrap_err();
        }
    }
}

/// No strict prefix of a stream is a page.
pub(super) fn check_prefixes(codec: Codec, compress: impl Fn(&[u8]) -> Vec<u8>) {
    let mut decoder = Decoder::new();
    for page in pages(1024) {
        let stream = compress(&page);
        for len in 0..stream.len() {
            let error = decoder.page(codec, &stream[..len], &mut [0; 1024]).unwrap_err();
            assert_eq!(error.status(), Status::Corrupt, "{len} of {} bytes", stream.len());
        }
    }
}

/// A page that is too small for the stream is never accepted, nor overrun.
pub(super) fn check_small_pages(codec: Codec, compress: impl Fn(&[u8]) -> Vec<u8>) {
    let mut decoder = Decoder::new();
    for page in pages(4096) {
        let stream = compress(&page);
        for size in (0..4096).step_by(61).chain(4080..4096) {
            decoder.page(codec, &stream, &mut vec![0; size]).unwrap_err();
        }
    }
}

/// Damaged streams give an error or some page; nothing else is written.
pub(super) fn check_damage(codec: Codec, compress: impl Fn(&[u8]) -> Vec<u8>) {
    const GUARD: usize = 64;
    let mut random = Random::new(1);
    let mut decoder = Decoder::new();
    let mut refused = 0;
    for page in pages(4096) {
        let intact = compress(&page);
        for round in 0..600 {
            let mut stream = intact.clone();
            // Headers and tables are where a flipped bit does most.
            let reach = if round % 2 == 0 { stream.len() } else { stream.len().min(100) };
            for _ in 0..1 + random.below(4) {
                let at = random.below(reach);
                stream[at] ^= 1 << random.below(8);
            }
            if round % 5 == 0 {
                stream.truncate(random.below(stream.len() + 1));
            }
            let size = if round % 3 == 0 { random.below(4097) } else { 4096 };
            let mut buffer = vec![0xa5; GUARD + size + GUARD];
            refused += u32::from(decoder.page(codec, &stream, &mut buffer[GUARD..GUARD + size]).is_err());
            assert!(buffer[..GUARD].iter().chain(&buffer[GUARD + size..]).all(|&b| b == 0xa5));
        }
        // The decoder is as good as new.
        let mut got = vec![0; 4096];
        decoder.page(codec, &intact, &mut got).unwrap();
        assert!(got == page);
    }
    assert!(refused > 2000, "only {refused} of 4800 damaged streams were refused");
}
