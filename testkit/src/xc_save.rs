//! Domains as `xc_save` of Xen 3.0 saved them.
//!
//! ```
//! use kdumpfile_testkit::xc_save::XcSaveBuilder;
//!
//! let save = XcSaveBuilder::new(8, 100).batch(&[(0, 5, vec![1; 4096])]).build();
//! assert_eq!(save[..16], *b"LinuxGuestRecord");
//! ```

use crate::endian::{ByteOrder, Bytes, Field};

/// Bytes in front of the description.
const HEADER: usize = 20;
/// Page type of entries without a page.
pub const NO_PAGE: u8 = 0xf;

/// A part of the stream.
#[derive(Clone, Debug)]
enum Part {
    /// Number of entries as it is written, entries, pages.
    Batch(i32, Vec<u64>, Vec<u8>),
    Bytes(Vec<u8>),
}

/// Builds one saved domain; what it is told need not make sense.
#[derive(Clone, Debug)]
pub struct XcSaveBuilder {
    word: usize,
    frames: u64,
    description: String,
    /// Words of the p2m frame list; the usual number of them if there are none.
    list: Option<Vec<u64>>,
    parts: Vec<Part>,
    missing: Vec<u64>,
    missing_count: Option<u32>,
    contexts: Vec<u8>,
    ended: bool,
}

impl XcSaveBuilder {
    /// A domain of `frames` frames, saved by a host with words of `word` bytes.
    pub fn new(word: usize, frames: u64) -> Self {
        XcSaveBuilder {
            word,
            frames,
            description: "(domain (domid 7) (image (linux (kernel /boot/vmlinuz-2.6-xen))))".into(),
            list: None,
            parts: vec![],
            missing: vec![],
            missing_count: None,
            contexts: vec![],
            ended: true,
        }
    }

    /// The description of the domain.
    pub fn description(mut self, text: &str) -> Self {
        self.description = text.into();
        self
    }

    /// The words of the p2m frame list.
    pub fn list(mut self, words: &[u64]) -> Self {
        self.list = Some(words.to_vec());
        self
    }

    /// A batch of pages: page type, PFN and bytes; those of type [`NO_PAGE`]
    /// are left out.
    pub fn batch(mut self, pages: &[(u8, u64, Vec<u8>)]) -> Self {
        let entries = pages.iter().map(|(kind, pfn, _)| u64::from(*kind) << 28 | pfn).collect();
        let bytes = pages.iter().filter(|page| page.0 != NO_PAGE).flat_map(|page| page.2.clone()).collect();
        self.parts.push(Part::Batch(pages.len() as i32, entries, bytes));
        self
    }

    /// A number where that of a batch should be.
    pub fn marker(mut self, number: i32) -> Self {
        self.parts.push(Part::Batch(number, vec![], vec![]));
        self
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.parts.push(Part::Bytes(bytes.to_vec()));
        self
    }

    /// PFNs that the domain has no more.
    pub fn missing(mut self, frames: &[u64]) -> Self {
        self.missing = frames.to_vec();
        self
    }

    /// Overwrites the number of missing PFNs.
    pub fn missing_count(mut self, count: u32) -> Self {
        self.missing_count = Some(count);
        self
    }

    /// Adds a CPU with these bytes as its context.
    pub fn cpu(mut self, context: &[u8]) -> Self {
        self.contexts.extend(context);
        self
    }

    /// Leaves out everything behind the batches.
    pub fn unended(mut self) -> Self {
        self.ended = false;
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
        out.push_bytes(b"LinuxGuestRecord");
        out.push_bytes(&(self.description.len() as u32).to_be_bytes());
        out.push_bytes(self.description.as_bytes());
        debug_assert_eq!(out.len(), HEADER + self.description.len());
        let mut number = |out: &mut Bytes, width: usize, value: u64| {
            fields.push(Field { offset: out.len() as u64, width });
            out.push_uint(width, value);
        };
        number(&mut out, self.word, self.frames);
        let usual = || (0..self.frames.div_ceil(4096 / self.word as u64)).map(|n| 0x4000 + 3 * n).collect();
        for word in self.list.clone().unwrap_or_else(usual) {
            out.push_uint(self.word, word);
        }
        for part in &self.parts {
            match part {
                Part::Batch(count, entries, pages) => {
                    number(&mut out, 4, (*count as u32).into());
                    for entry in entries {
                        number(&mut out, self.word, *entry);
                    }
                    out.push_bytes(pages);
                }
                Part::Bytes(bytes) => {
                    out.push_bytes(bytes);
                }
            }
        }
        if self.ended {
            number(&mut out, 4, 0);
            number(&mut out, 4, self.missing_count.unwrap_or(self.missing.len() as u32).into());
            for frame in &self.missing {
                number(&mut out, self.word, *frame);
            }
            out.push_bytes(&self.contexts);
            // The shared info page.
            out.push_bytes(&[0x51; 4096]);
        }
        (out.into_vec(), fields)
    }
}
