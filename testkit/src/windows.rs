//! Windows crash dumps: headers, runs, bitmaps.
//!
//! ```
//! use kdumpfile_testkit::windows::WindowsBuilder;
//!
//! let dump = WindowsBuilder::new(64).run(1, 1, &[7; 4096]).build();
//! assert_eq!((&dump[..8], dump.len()), (&b"PAGEDU64"[..], 0x3000));
//! ```

use crate::endian::{ByteOrder, Bytes, Field};

/// Builds one dump; what it is told need not make sense.
#[derive(Clone, Debug)]
pub struct WindowsBuilder {
    wide: bool,
    kind: u32,
    machine: u32,
    runs: Vec<(u64, u64)>,
    run_count: Option<u32>,
    /// Number of bits, bytes of the bitmap, signature.
    summary: Option<(u64, Vec<u8>, [u8; 8])>,
    /// Position of the pages as the summary has it.
    first_page: Option<u64>,
    pages: Vec<u8>,
}

impl WindowsBuilder {
    /// A dump of all memory, without runs, by a kernel of 64 or 32 bits.
    pub fn new(bits: u32) -> Self {
        let wide = bits == 64;
        WindowsBuilder {
            wide,
            kind: 1,
            machine: if wide { 0x8664 } else { 0x14c },
            runs: vec![],
            run_count: None,
            summary: None,
            first_page: None,
            pages: vec![],
        }
    }

    /// The kind of dump.
    pub fn kind(self, kind: u32) -> Self {
        WindowsBuilder { kind, ..self }
    }

    /// The machine.
    pub fn machine(self, machine: u32) -> Self {
        WindowsBuilder { machine, ..self }
    }

    /// Adds a run of pages, and bytes behind those of the runs before.
    pub fn run(mut self, page: u64, count: u64, bytes: &[u8]) -> Self {
        self.runs.push((page, count));
        self.pages.extend(bytes);
        self
    }

    /// Overwrites the number of runs.
    pub fn run_count(mut self, count: u32) -> Self {
        self.run_count = Some(count);
        self
    }

    /// Adds a summary with a bitmap, and the bytes of the pages.
    pub fn bitmap(mut self, signature: &[u8; 8], bits: u64, bitmap: &[u8], pages: &[u8]) -> Self {
        self.summary = Some((bits, bitmap.to_vec(), *signature));
        self.pages.extend(pages);
        self
    }

    /// Overwrites the position of the first page in the summary.
    pub fn first_page(mut self, position: u64) -> Self {
        self.first_page = Some(position);
        self
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        self.build_with_fields().0
    }

    /// The file, and where its numbers are.
    pub fn build_with_fields(&self) -> (Vec<u8>, Vec<Field>) {
        let (size, word) = if self.wide { (0x2000, 8) } else { (0x1000, 4) };
        let mut out = Bytes::zeroed(ByteOrder::Little, size);
        let mut fields = Vec::new();
        let mut number = |out: &mut Bytes, at: usize, width: usize, value: u64| {
            fields.push(Field { offset: at as u64, width });
            out.put_uint(at, width, value);
        };
        out.put_bytes(0, if self.wide { b"PAGEDU64" } else { b"PAGEDUMP" });
        let [cr3, machine, cpus, bug_check, runs, first, kind] = match self.wide {
            true => [0x10, 0x30, 0x34, 0x38, 0x88, 0x98, 0xf98],
            false => [0x10, 0x20, 0x24, 0x28, 0x64, 0x6c, 0xf88],
        };
        number(&mut out, kind, 4, self.kind.into());
        number(&mut out, runs, 4, self.run_count.map_or(self.runs.len() as u64, u64::from));
        for (index, (page, count)) in self.runs.iter().enumerate() {
            number(&mut out, first + index * 2 * word, word, *page);
            number(&mut out, first + (index * 2 + 1) * word, word, *count);
        }
        number(&mut out, 8, 4, 15);
        number(&mut out, 12, 4, 19041);
        number(&mut out, cr3, word, 0x1a_d000);
        number(&mut out, machine, 4, self.machine.into());
        number(&mut out, cpus, 4, 8);
        number(&mut out, bug_check, 4, 0x1e);
        if let Some((bits, bitmap, signature)) = &self.summary {
            out.put_bytes(size, signature);
            let end = (size + 0x38 + bitmap.len()).next_multiple_of(0x1000);
            number(&mut out, size + 0x20, 8, self.first_page.unwrap_or(end as u64));
            number(&mut out, size + 0x28, 8, (self.pages.len() / 4096) as u64);
            number(&mut out, size + 0x30, 8, *bits);
            out.put_bytes(size + 0x38, bitmap);
            out.align(0x1000);
        }
        out.push_bytes(&self.pages);
        (out.into_vec(), fields)
    }
}
