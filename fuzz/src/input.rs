//! A fuzz input, taken apart from its front.

/// Numbers at which readers go wrong: borders of types, pages and files.
const EDGES: [u64; 24] = [
    0,
    1,
    2,
    3,
    7,
    8,
    24,
    63,
    64,
    0xfff,
    0x1000,
    0x1001,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_f000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_f000,
    0xffff_ffff_ffff_fffe,
    0xffff_ffff_ffff_ffff,
];

/// What is left of an input; behind its end it is zero.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// Up to `len` bytes.
    pub fn bytes(&mut self, len: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    /// A little-endian number of `width` bytes.
    pub fn uint(&mut self, width: usize) -> u64 {
        self.bytes(width).iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// An index below `len` (0 if there are none).
    pub fn index(&mut self, len: usize) -> usize {
        let width = if len > 256 { 2 } else { 1 };
        usize::try_from(self.uint(width)).unwrap_or(0) % len.max(1)
    }

    /// One of `items`.
    pub fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }

    /// A number: an edge, a few more or less than an edge, or any.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            tag @ 0..=95 => EDGES[usize::from(tag) % EDGES.len()],
            tag @ 96..=127 => {
                let base = EDGES[self.index(EDGES.len())];
                base.wrapping_add(u64::from(tag)).wrapping_sub(112)
            }
            tag => self.uint(1 + usize::from(tag) % 8),
        }
    }
}
