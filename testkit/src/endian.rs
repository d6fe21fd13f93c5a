//! Integers in either byte order, put anywhere into a growing file image.

/// The order of bytes in the integers of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ByteOrder {
    /// Least significant byte first.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// Both orders, for tests that run through all of them.
    pub const ALL: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

    /// The low `width` bytes of `value` in this order (`width` is 0 to 8).
    pub fn uint(self, width: usize, value: u64) -> Vec<u8> {
        assert!(width <= 8, "an integer of {width} bytes");
        let mut bytes = value.to_le_bytes()[..width].to_vec();
        if self == ByteOrder::Big {
            bytes.reverse();
        }
        bytes
    }

    /// The integer that `bytes` (at most 8 of them) stand for in this order.
    pub fn value(self, bytes: &[u8]) -> u64 {
        assert!(bytes.len() <= 8, "an integer of {} bytes", bytes.len());
        let fold = |acc: u64, byte: &u8| (acc << 8) | u64::from(*byte);
        match self {
            ByteOrder::Little => bytes.iter().rev().fold(0, fold),
            ByteOrder::Big => bytes.iter().fold(0, fold),
        }
    }
}

/// Where one integer of a structure stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Byte position in the file.
    pub offset: u64,
    /// Width in bytes (1, 2, 4 or 8).
    pub width: usize,
}

impl Field {
    /// Overwrites this field in `image` with the low bytes of `value`.
    ///
    /// # Panics
    /// If the field does not lie in `image`.
    pub fn put(self, image: &mut [u8], order: ByteOrder, value: u64) {
        let start = usize::try_from(self.offset).expect("field offset");
        image[start..start + self.width].copy_from_slice(&order.uint(self.width, value));
    }

    /// Reads this field back.
    ///
    /// # Panics
    /// If the field does not lie in `image`.
    pub fn get(self, image: &[u8], order: ByteOrder) -> u64 {
        let start = usize::try_from(self.offset).expect("field offset");
        order.value(&image[start..start + self.width])
    }
}

/// A file image under construction.
///
/// Every `put` grows the image as far as needed; gaps are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    order: ByteOrder,
    data: Vec<u8>,
}

impl Bytes {
    /// An empty image whose integers are written in `order`.
    pub fn new(order: ByteOrder) -> Self {
        Bytes { order, data: Vec::new() }
    }

    /// An image of `len` zero bytes.
    pub fn zeroed(order: ByteOrder, len: usize) -> Self {
        Bytes { order, data: vec![0; len] }
    }

    /// The byte order of this image.
    pub fn order(&self) -> ByteOrder {
        self.order
    }

    /// Number of bytes so far.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Puts `bytes` at position `at`.
    pub fn put_bytes(&mut self, at: usize, bytes: &[u8]) -> &mut Self {
        let end = at + bytes.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[at..end].copy_from_slice(bytes);
        self
    }

    /// Puts the low `width` bytes of `value` at position `at`.
    pub fn put_uint(&mut self, at: usize, width: usize, value: u64) -> &mut Self {
        let bytes = self.order.uint(width, value);
        self.put_bytes(at, &bytes)
    }

    /// Puts one byte at position `at`.
    pub fn put_u8(&mut self, at: usize, value: u8) -> &mut Self {
        self.put_bytes(at, &[value])
    }

    /// Puts a 16-bit integer at position `at`.
    pub fn put_u16(&mut self, at: usize, value: u16) -> &mut Self {
        self.put_uint(at, 2, value.into())
    }

    /// Puts a 32-bit integer at position `at`.
    pub fn put_u32(&mut self, at: usize, value: u32) -> &mut Self {
        self.put_uint(at, 4, value.into())
    }

    /// Puts a 64-bit integer at position `at`.
    pub fn put_u64(&mut self, at: usize, value: u64) -> &mut Self {
        self.put_uint(at, 8, value)
    }

    /// Appends `bytes` and returns the position where they start.
    pub fn push_bytes(&mut self, bytes: &[u8]) -> usize {
        let at = self.data.len();
        self.put_bytes(at, bytes);
        at
    }

    /// Appends the low `width` bytes of `value`; returns where they start.
    pub fn push_uint(&mut self, width: usize, value: u64) -> usize {
        let at = self.data.len();
        self.put_uint(at, width, value);
        at
    }

    /// Appends a 32-bit integer; returns where it starts.
    pub fn push_u32(&mut self, value: u32) -> usize {
        self.push_uint(4, value.into())
    }

    /// Appends a 64-bit integer; returns where it starts.
    pub fn push_u64(&mut self, value: u64) -> usize {
        self.push_uint(8, value)
    }

    /// Appends zero bytes until the length is a multiple of `align`.
    pub fn align(&mut self, align: usize) -> &mut Self {
        self.data.resize(self.data.len().next_multiple_of(align), 0);
        self
    }

    /// Appends zero bytes until the image has at least `len` bytes.
    pub fn grow(&mut self, len: usize) -> &mut Self {
        if self.data.len() < len {
            self.data.resize(len, 0);
        }
        self
    }

    /// The image so far.
    pub fn as_slice(&self) -> &[u8] {
        &self.data
    }

    /// The finished image.
    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn puts_grow_the_image_and_leave_zero_gaps() {
        let mut le = Bytes::new(ByteOrder::Little);
        le.put_u16(1, 0x1234).put_u32(4, 0xaabb_ccdd);
        assert_eq!(le.as_slice(), [0, 0x34, 0x12, 0, 0xdd, 0xcc, 0xbb, 0xaa]);
        let mut be = Bytes::new(ByteOrder::Big);
        be.put_u16(1, 0x1234).put_u64(3, 0x0102_0304_0506_0708);
        assert_eq!(be.as_slice(), [0, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn fields_are_truncated_to_their_width_and_read_back() {
        for order in ByteOrder::ALL {
            let mut image = vec![0xff; 8];
            let field = Field { offset: 2, width: 4 };
            field.put(&mut image, order, 0x1_2345_6789);
            assert_eq!(field.get(&image, order), 0x2345_6789);
            assert_eq!((image[1], image[6]), (0xff, 0xff));
        }
    }
}
