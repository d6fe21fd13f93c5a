//! The os_info block of s390: one page in memory that tells where things are.

use crate::endian::{ByteOrder, Bytes};

/// An os_info block; always big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OsInfo {
    /// `OSINFOSZ` in ASCII, unless a test lies.
    pub magic: u64,
    /// Address and size of the memory reserved for the crash kernel.
    pub crashkernel: (u64, u64),
    /// Address, size and checksum of VMCOREINFO.
    pub vmcoreinfo: (u64, u64, u32),
    /// Address, size and checksum of the re-IPL block.
    pub reipl: (u64, u64, u32),
    /// Written instead of the right checksum of the block.
    pub checksum: Option<u32>,
}

impl OsInfo {
    /// Physical address of the pointer to the block.
    pub const POINTER: u64 = 0xe18;
    /// Physical address of the pointer to a VMCOREINFO note (old method).
    pub const NOTE_POINTER: u64 = 0xe0c;

    /// A block that points to a VMCOREINFO text at `addr`.
    pub fn new(addr: u64, text: &[u8]) -> Self {
        OsInfo {
            magic: 0x4f53_494e_464f_535a,
            crashkernel: (0, 0),
            vmcoreinfo: (addr, text.len() as u64, checksum_s390(text)),
            reipl: (0, 0, 0),
            checksum: None,
        }
    }

    /// The block of 4096 bytes, with its checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Bytes::zeroed(ByteOrder::Big, 4096);
        out.put_u64(0, self.magic).put_u16(12, 1);
        out.put_u64(16, self.crashkernel.0).put_u64(24, self.crashkernel.1);
        for (at, (addr, size, sum)) in [(32, self.vmcoreinfo), (52, self.reipl)] {
            out.put_u64(at, addr).put_u64(at + 8, size).put_u32(at + 16, sum);
        }
        let sum = self.checksum.unwrap_or_else(|| checksum_s390(&out.as_slice()[12..]));
        out.put_u32(8, sum);
        out.into_vec()
    }
}

fn add(sum: u32, word: u32) -> u32 {
    let (sum, wrapped) = sum.overflowing_add(word);
    sum + u32::from(wrapped)
}

/// The checksum of the kernel: big-endian words with end-around carry, the
/// last one padded with zeros on the right.
pub fn checksum_s390(data: &[u8]) -> u32 {
    data.chunks(4).fold(0, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        add(sum, u32::from_be_bytes(word))
    })
}

/// The same with the last, incomplete word as the reference implementation
/// reads it: its bytes in reverse order, the last one most significant.
pub fn checksum_reference(data: &[u8]) -> u32 {
    data.chunks(4).fold(0, |sum, chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        if chunk.len() < 4 {
            word[..chunk.len()].reverse();
        }
        add(sum, u32::from_be_bytes(word))
    })
}
