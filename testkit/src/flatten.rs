//! The flattened stream of makedumpfile, in every order and with every fault.
//!
//! A header of 4096 bytes, then records of (offset, length, bytes) and an end
//! mark; all integers are big-endian whatever the dump inside is.

use crate::image::Rng;

/// The first 16 bytes of a stream.
pub const SIGNATURE: [u8; 16] = *b"makedumpfile\0\0\0\0";
/// Where the first record starts.
pub const FIRST_RECORD: usize = 4096;

/// One record of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where the bytes go in the rearranged file; -1 is an end mark.
    pub offset: i64,
    /// Length that the record claims; the default is that of the bytes.
    pub size: Option<i64>,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Record {
    /// A record of these bytes.
    pub fn new(offset: i64, data: impl Into<Vec<u8>>) -> Self {
        Record { offset, size: None, data: data.into() }
    }
}

/// The order of the records in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Order {
    /// By ascending offset.
    #[default]
    Ascending,
    /// By descending offset.
    Reversed,
    /// Random, by this seed.
    Shuffled(u64),
    /// So many ascending runs in turn, like the buffers of makedumpfile.
    Interleaved(usize),
}

/// Turns a file image into a flattened stream.
#[derive(Clone, Debug)]
pub struct Flattener {
    record_size: usize,
    order: Order,
    overlaps: Option<u64>,
    omit_zeros: bool,
    end_mark: bool,
    stream_type: i64,
    version: i64,
    extra: Vec<Record>,
}

impl Default for Flattener {
    /// Records of 64 KiB in ascending order, type 1, version 1, end mark.
    fn default() -> Self {
        Flattener {
            record_size: 65536,
            order: Order::Ascending,
            overlaps: None,
            omit_zeros: false,
            end_mark: true,
            stream_type: 1,
            version: 1,
            extra: Vec::new(),
        }
    }
}

impl Flattener {
    /// As [`Flattener::default`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes in a record (the last one may be shorter).
    pub fn record_size(mut self, bytes: usize) -> Self {
        self.record_size = bytes.max(1);
        self
    }

    /// The order of the records.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Adds records of wrong bytes, each of them overwritten by later records,
    /// in random places by this seed.
    pub fn overlaps(mut self, seed: u64) -> Self {
        self.overlaps = Some(seed);
        self
    }

    /// Leaves out records that are all zero, except the last of the image.
    pub fn omit_zeros(mut self) -> Self {
        self.omit_zeros = true;
        self
    }

    /// Leaves out the end mark.
    pub fn without_end_mark(mut self) -> Self {
        self.end_mark = false;
        self
    }

    /// Sets the type in the header (1 is right).
    pub fn stream_type(mut self, stream_type: i64) -> Self {
        self.stream_type = stream_type;
        self
    }

    /// Sets the version in the header (1 is right).
    pub fn version(mut self, version: i64) -> Self {
        self.version = version;
        self
    }

    /// Adds a record behind those of the image, such as a later correction,
    /// one of negative offset, or one of size 0.
    pub fn record(mut self, record: Record) -> Self {
        self.extra.push(record);
        self
    }

    /// The records of the stream in their order, without the end mark.
    pub fn records(&self, image: &[u8]) -> Vec<Record> {
        let chunks = image.chunks(self.record_size).enumerate();
        let mut records: Vec<Record> =
            chunks.map(|(i, chunk)| Record::new((i * self.record_size) as i64, chunk)).collect();
        if self.omit_zeros {
            let last = records.len().saturating_sub(1) * self.record_size;
            records.retain(|r| r.offset == last as i64 || r.data.iter().any(|&byte| byte != 0));
        }
        match self.order {
            Order::Ascending => {}
            Order::Reversed => records.reverse(),
            Order::Shuffled(seed) => Rng::new(seed).shuffle(&mut records),
            Order::Interleaved(runs) => {
                let len = records.len().div_ceil(runs.max(1)).max(1);
                let runs: Vec<&[Record]> = records.chunks(len).collect();
                records = (0..len).flat_map(|i| runs.iter().filter_map(move |r| r.get(i))).cloned().collect();
            }
        }
        if let Some(seed) = self.overlaps {
            records = with_decoys(records, seed);
        }
        records.extend(self.extra.iter().cloned());
        records
    }

    /// The stream.
    pub fn flatten(&self, image: &[u8]) -> Vec<u8> {
        self.stream(&self.records(image))
    }

    /// A stream of these records.
    pub fn stream(&self, records: &[Record]) -> Vec<u8> {
        let mut out = SIGNATURE.to_vec();
        out.extend(self.stream_type.to_be_bytes());
        out.extend(self.version.to_be_bytes());
        out.resize(FIRST_RECORD, 0);
        for record in records {
            out.extend(record.offset.to_be_bytes());
            out.extend(record.size.unwrap_or(record.data.len() as i64).to_be_bytes());
            out.extend_from_slice(&record.data);
        }
        if self.end_mark {
            out.extend((-1_i64).to_be_bytes());
            out.extend((-1_i64).to_be_bytes());
        }
        out
    }
}

/// Puts a record of wrong bytes in front of about every second record, over a
/// part of a record that is still to come.
fn with_decoys(records: Vec<Record>, seed: u64) -> Vec<Record> {
    let mut rng = Rng::new(seed);
    let mut out = Vec::new();
    for (i, record) in records.iter().enumerate() {
        if rng.below(2) == 0 {
            let later = &records[i + rng.below((records.len() - i) as u64) as usize];
            let start = rng.below(later.data.len() as u64) as usize;
            let len = 1 + rng.below((later.data.len() - start) as u64) as usize;
            let wrong: Vec<u8> = later.data[start..start + len].iter().map(|byte| !byte).collect();
            out.push(Record::new(later.offset + start as i64, wrong));
        }
        out.push(record.clone());
    }
    out
}

/// What the rearranged file is: later records win, gaps are zero. Records with
/// a negative offset are left out.
pub fn rearranged(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        let Ok(start) = usize::try_from(record.offset) else { continue };
        let end = start + record.data.len();
        if out.len() < end {
            out.resize(end, 0);
        }
        out[start..end].copy_from_slice(&record.data);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::Codec;
    use crate::diskdump::DiskdumpBuilder;
    use crate::image::RamImage;
    use crate::peer;

    fn image() -> Vec<u8> {
        let ram = RamImage::new(2, 4096);
        DiskdumpBuilder::default()
            .pages((0..40).map(|pfn| (pfn, ram.page_bytes(pfn))), Codec::Zlib)
            .share_zero_pages()
            .build()
    }

    fn variants() -> Vec<Flattener> {
        let small = || Flattener::new().record_size(1000);
        vec![
            Flattener::new(),
            small(),
            small().order(Order::Reversed),
            small().order(Order::Shuffled(4)),
            small().order(Order::Interleaved(3)),
            small().omit_zeros(),
            small().overlaps(8),
            small().overlaps(8).order(Order::Shuffled(3)).omit_zeros(),
        ]
    }

    #[test]
    fn a_stream_of_one_record_is_known_byte_for_byte() {
        let stream = Flattener::new().flatten(b"abc");
        let mut want = b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01".to_vec();
        want.resize(4096, 0);
        want.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, b'a', b'b', b'c']);
        want.extend([0xff; 16]);
        assert_eq!(stream, want);
    }

    #[test]
    fn records_give_back_the_image_in_every_variant() {
        let image = image();
        for flattener in variants() {
            assert!(rearranged(&flattener.records(&image)) == image, "{flattener:?}");
        }
    }

    #[test]
    fn overlaps_would_be_noticed_if_the_earlier_record_won() {
        let image = image();
        let mut records = Flattener::new().record_size(1000).overlaps(8).records(&image);
        assert!(records.len() > image.len() / 1000 + 5);
        records.reverse();
        assert!(rearranged(&records) != image);
    }

    #[test]
    fn orders_are_what_they_say() {
        let offsets = |order| -> Vec<i64> {
            let flattener = Flattener::new().record_size(1).order(order);
            flattener.records(&[1; 7]).iter().map(|record| record.offset).collect()
        };
        assert_eq!(offsets(Order::Reversed), [6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(offsets(Order::Interleaved(3)), [0, 3, 6, 1, 4, 2, 5]);
        let mut shuffled = offsets(Order::Shuffled(1));
        assert_ne!(shuffled, [0, 1, 2, 3, 4, 5, 6]);
        shuffled.sort_unstable();
        assert_eq!(shuffled, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn broken_streams_say_what_they_were_told_to() {
        let stream = Flattener::new()
            .stream_type(2)
            .version(-3)
            .record(Record { offset: -7, size: Some(0), data: Vec::new() })
            .without_end_mark()
            .flatten(&[]);
        assert_eq!(stream[23], 2);
        assert_eq!(stream[24..32], (-3_i64).to_be_bytes());
        assert_eq!(stream[4096..4104], (-7_i64).to_be_bytes());
        assert_eq!((stream[4104..].to_vec(), stream.len()), (vec![0; 8], 4112));
    }

    #[test]
    fn makedumpfile_rearranges_every_variant_into_the_image() {
        if peer::makedumpfile().is_none() {
            assert!(!peer::in_ci(), "makedumpfile is not installed");
            return;
        }
        let image = image();
        for flattener in variants() {
            assert!(peer::rearrange(&flattener.flatten(&image)).unwrap() == image, "{flattener:?}");
        }
    }
}
