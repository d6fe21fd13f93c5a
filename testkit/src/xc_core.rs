//! Dumps of Xen domains as libxc wrote them before they became ELF files.
//!
//! ```
//! use kdumpfile_testkit::xc_core::XcCoreBuilder;
//!
//! let dump = XcCoreBuilder::hvm(8).page(Some(0), vec![1; 4096]).page(None, vec![0; 4096]).build();
//! assert_eq!(dump[..4], [0xee, 0xeb, 0x0f, 0xf0]);
//! ```

use crate::endian::{ByteOrder, Bytes, Field};

/// Bytes of the header.
const HEADER: usize = 24;

/// Builds one dump; what it is told need not make sense.
#[derive(Clone, Debug)]
pub struct XcCoreBuilder {
    magic: u32,
    word: usize,
    contexts: Vec<Vec<u8>>,
    index: Vec<u64>,
    pages: Vec<Vec<u8>>,
    aligned: bool,
    header: Vec<(usize, u32)>,
}

impl XcCoreBuilder {
    fn new(magic: u32, word: usize) -> Self {
        XcCoreBuilder {
            magic,
            word,
            contexts: vec![],
            index: vec![],
            pages: vec![],
            aligned: false,
            header: vec![],
        }
    }

    /// A paravirtual domain, dumped by a host with words of `word` bytes.
    pub fn pv(word: usize) -> Self {
        XcCoreBuilder::new(0xf00f_ebed, word)
    }

    /// An HVM domain.
    pub fn hvm(word: usize) -> Self {
        XcCoreBuilder::new(0xf00f_ebee, word)
    }

    /// Adds a CPU with these bytes as its context.
    pub fn cpu(mut self, context: Vec<u8>) -> Self {
        self.contexts.push(context);
        self
    }

    /// Adds a page: its entry in the index (`None`: invalid), and its bytes.
    pub fn page(mut self, entry: Option<u64>, bytes: Vec<u8>) -> Self {
        self.index.push(entry.unwrap_or(u64::MAX));
        self.pages.push(bytes);
        self
    }

    /// Lets the pages begin at a multiple of 4096, as libxc does.
    pub fn aligned(mut self) -> Self {
        self.aligned = true;
        self
    }

    /// Overwrites the 32-bit header field at `offset`.
    pub fn header(mut self, offset: usize, value: u32) -> Self {
        self.header.push((offset, value));
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_fields().0
    }

    /// The file, and where its header's fields and the first entries of its
    /// index are.
    pub fn build_with_fields(&self) -> (Vec<u8>, Vec<Field>) {
        let contexts: Vec<u8> = self.contexts.concat();
        let index_at = HEADER + contexts.len();
        let end = index_at + self.index.len() * self.word;
        let pages_at = if self.aligned { end.next_multiple_of(4096) } else { end };
        let mut out = Bytes::new(ByteOrder::Little);
        for number in [self.magic as usize, self.contexts.len(), self.index.len(), HEADER, index_at, pages_at]
        {
            out.push_uint(4, number as u64);
        }
        out.put_bytes(HEADER, &contexts);
        for (number, entry) in self.index.iter().enumerate() {
            out.put_bytes(index_at + number * self.word, &entry.to_le_bytes()[..self.word]);
        }
        out.put_bytes(pages_at, &self.pages.concat());
        for (offset, value) in &self.header {
            out.put_bytes(*offset, &value.to_le_bytes());
        }
        let header = (1..6).map(|number| Field { offset: 4 * number, width: 4 });
        let entries = (0..self.index.len().min(4))
            .map(|number| Field { offset: (index_at + number * self.word) as u64, width: self.word });
        (out.into_vec(), header.chain(entries).collect())
    }
}
