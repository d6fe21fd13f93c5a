//! Sources that are less helpful than a byte slice.

use kdumpfile::Result;
use kdumpfile::io::ReadAt;

/// Bytes that cannot be borrowed and come in short reads; their length is
/// known or not.
pub struct Shy {
    pub bytes: Vec<u8>,
    pub sized: bool,
}

impl ReadAt for Shy {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let most = buf.len().min(if buf.len() > 4096 { buf.len() - 1000 } else { 700 });
        self.bytes.read_at(pos, &mut buf[..most])
    }

    fn len(&self) -> Option<u64> {
        self.sized.then_some(self.bytes.len() as u64)
    }
}
