//! LiME and AVML images: records of memory with its addresses.
//!
//! From the description of LiME in its own documentation and of AVML's
//! compressed records; chunks are made by the `snap` crate, which also writes
//! those of AVML. Checksums, though, are computed here once more.

use std::io::Write;

/// Writes records one after the other.
#[derive(Clone, Debug, Default)]
pub struct LimeBuilder {
    bytes: Vec<u8>,
}

impl LimeBuilder {
    /// A file without records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends any bytes.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// Appends a header alone: magic, version, first and last address, reserved.
    #[must_use]
    pub fn header(self, magic: &[u8; 4], version: u32, first: u64, last: u64, reserved: u64) -> Self {
        let [first, last, reserved] = [first, last, reserved].map(u64::to_le_bytes);
        self.raw(magic).raw(&version.to_le_bytes()).raw(&first).raw(&last).raw(&reserved)
    }

    /// Appends a record of LiME version 1 with memory from address `first` on.
    #[must_use]
    pub fn lime(self, first: u64, memory: &[u8]) -> Self {
        let last = first.wrapping_add(memory.len() as u64).wrapping_sub(1);
        self.header(b"EMiL", 1, first, last, 0).raw(memory)
    }

    /// Appends a compressed record of AVML.
    #[must_use]
    pub fn avml(self, first: u64, memory: &[u8]) -> Self {
        self.avml_stream(first, memory.len() as u64, &framed(memory))
    }

    /// Appends a record of AVML of `len` bytes of memory whose stream is
    /// `stream`, right or wrong.
    #[must_use]
    pub fn avml_stream(self, first: u64, len: u64, stream: &[u8]) -> Self {
        let last = first.wrapping_add(len).wrapping_sub(1);
        self.header(b"AVML", 2, first, last, 0).raw(stream).raw(&(stream.len() as u64).to_le_bytes())
    }

    /// The file.
    pub fn build(self) -> Vec<u8> {
        self.bytes
    }
}

/// A snappy framed stream, as the `snap` crate writes it.
pub fn framed(memory: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(memory).expect("a vector takes everything");
    encoder.into_inner().expect("a vector takes everything")
}

/// A stream identifier.
pub const IDENTIFIER: &[u8; 10] = b"\xff\x06\x00\x00sNaPpY";

/// One chunk of type `kind`.
pub fn chunk(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut chunk = vec![kind];
    chunk.extend(&(payload.len() as u32).to_le_bytes()[..3]);
    chunk.extend(payload);
    chunk
}

/// A chunk with data that are stored as they are.
pub fn stored_chunk(memory: &[u8]) -> Vec<u8> {
    let crc = crc32c(memory).rotate_right(15).wrapping_add(0xa282_ead8);
    chunk(1, &[&crc.to_le_bytes()[..], memory].concat())
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ ((crc & 1) * 0x82f6_3b78);
        }
    }
    !crc
}
