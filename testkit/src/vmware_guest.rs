//! `debug.guest` files of ESXi: CPU states, and where memory has holes.
//!
//! ```
//! use kdumpfile_testkit::vmware_guest::GuestBuilder;
//!
//! // Four pages of memory: at 0, 1, 5 and 6.
//! let state = GuestBuilder::new(6, 4).hole(2, 3).cpus(2).build();
//! assert_eq!(state[..4], [6, 0, 0, 0]);
//! ```

use crate::endian::{ByteOrder, Bytes, Field};

/// Bytes of the first part of a CPU's state, of the second part, and reserved ones.
const STATE: [usize; 3] = [116, 233, 4096];

/// Builds one state file; what it is told need not make sense.
#[derive(Clone, Debug)]
pub struct GuestBuilder {
    version: u32,
    pages: u64,
    cpus: u32,
    holes: Vec<(u64, u64)>,
    arch: u32,
}

impl GuestBuilder {
    /// A file of this version without CPUs, for memory of so many pages.
    pub fn new(version: u32, pages: u64) -> Self {
        GuestBuilder { version, pages, cpus: 0, holes: vec![], arch: 1 }
    }

    /// So many CPUs; each register of each of them is another number.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// A hole: its first page and its pages.
    pub fn hole(mut self, first: u64, pages: u64) -> Self {
        self.holes.push((first, pages));
        self
    }

    /// Number of the architecture, which version 7 has: 0 aarch64, 1 x86.
    pub fn arch(mut self, number: u32) -> Self {
        self.arch = number;
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_fields().0
    }

    /// The file, and where its numbers are.
    pub fn build_with_fields(&self) -> (Vec<u8>, Vec<Field>) {
        let mut out = Bytes::new(ByteOrder::Little);
        let mut fields = Vec::new();
        let mut put = |out: &mut Bytes, at: usize, width: usize, value: u64| {
            out.put_uint(at, width, value);
            fields.push(Field { offset: at as u64, width });
        };
        put(&mut out, 0, 4, self.version.into());
        put(&mut out, 4, 4, self.cpus.into());
        let (info, cpus_at) = match self.version {
            1 => (21, 61 + 8 * self.holes.len()),
            6 => (23, 79),
            7 => (16, 83),
            _ => (22, 78),
        };
        let width = if self.version == 1 { 4 } else { 8 };
        let end = (self.pages + self.holes.iter().map(|hole| hole.1).sum::<u64>()) * 4096;
        put(&mut out, info, 8, end.wrapping_sub(1));
        put(&mut out, info + 8, width, self.pages);
        // Reserved, then the number of holes.
        put(&mut out, info + 12 + width, 4, self.holes.len() as u64);
        for (number, (first, pages)) in self.holes.iter().enumerate() {
            let at = info + 16 + width + 2 * width * number;
            put(&mut out, at, width, *first);
            put(&mut out, at + width, width, *pages);
        }
        if self.version == 7 {
            put(&mut out, 72, 4, self.arch.into());
        }
        let gap = if self.version < 4 { 45 } else { 42 };
        for cpu in 0..u64::from(self.cpus) {
            let at = cpus_at + cpu as usize * (STATE.iter().sum::<usize>() + gap);
            put(&mut out, at, 4, 0x8005_0033);
            for (offset, value) in [(4, 0xcafe), (12, 0xa000 + cpu), (20, 0x20), (108, 0xffff_fe00_0000_0000)]
            {
                put(&mut out, at + offset, 8, value);
            }
            for register in 0..27 {
                let value = 0x1_0000_0000 * (cpu + 1) + register;
                put(&mut out, at + STATE[0] + gap + 8 * register as usize, 8, value);
            }
            out.put_bytes(at + STATE[0] + gap + STATE[1], &[0; STATE[2]]);
        }
        // Without a CPU the file still reaches up to where the first one would be.
        out.grow(cpus_at);
        (out.into_vec(), fields)
    }
}
