//! The flattened stream: every rule of the format, and a naive model of it.

use kdumpfile::Status;
use kdumpfile::io::{FileSet, FlatView, Flattened, MmapPolicy, ReadAt, Source};
use kdumpfile::sync::Shared;

const END: [u8; 16] = [0xff; 16];

/// The 4096 bytes in front of the first record.
fn head(kind: i64, version: i64) -> Vec<u8> {
    let mut stream = b"makedumpfile\0\0\0\0".to_vec();
    stream.extend(kind.to_be_bytes());
    stream.extend(version.to_be_bytes());
    stream.resize(4096, 0xaa);
    stream
}

fn record_header(offset: i64, size: i64) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&offset.to_be_bytes());
    header[8..].copy_from_slice(&size.to_be_bytes());
    header
}

fn stream(records: &[(u64, &[u8])]) -> Vec<u8> {
    let mut stream = head(1, 1);
    for &(offset, payload) in records {
        stream.extend(record_header(offset as i64, payload.len() as i64));
        stream.extend(payload);
    }
    stream.extend(END);
    stream
}

/// Bytes that can only be read, and at most `max` of them at once.
struct Trickle {
    bytes: Vec<u8>,
    max: usize,
}

impl ReadAt for Trickle {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> kdumpfile::Result<usize> {
        let n = buf.len().min(self.max);
        self.bytes.read_at(pos, &mut buf[..n])
    }
}

fn source(bytes: Vec<u8>) -> Source {
    Shared::new(bytes)
}

fn open_set(bytes: Vec<u8>) -> kdumpfile::Result<FileSet> {
    FileSet::open(vec![source(bytes)], Vec::new(), Shared::new(MmapPolicy::default()))
}

fn read(view: &dyn ReadAt, pos: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0x55; len];
    kdumpfile::io::read_zero_filled(view, pos, &mut bytes).unwrap();
    bytes
}

/// xorshift64: small, and the same numbers every time.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn records_are_put_in_their_places_and_holes_are_zero() {
    let view = FlatView::open(source(stream(&[(4, b"efgh"), (0, b"ab"), (10, b"k")]))).unwrap();
    assert_eq!(ReadAt::len(&view), Some(11));
    assert_eq!(read(&view, 0, 13), b"ab\0\0efgh\0\0k\0\0");
    assert_eq!(read(&view, 2, 2), [0, 0]);
    assert_eq!(read(&view, 5, 2), b"fg");
    assert_eq!(view.read_at(11, &mut [0; 4]), Ok(0));
    assert_eq!(view.read_at(u64::MAX, &mut [0; 4]), Ok(0));
    assert_eq!(view.read_at(9, &mut [0; 4]), Ok(2));
    assert_eq!(view.segments(), 3);
}

#[test]
fn bytes_of_one_record_are_borrowed_and_others_are_not() {
    let view = FlatView::open(source(stream(&[(0, b"ab"), (2, b"cd"), (8, b"ij")]))).unwrap();
    assert_eq!(view.borrow(0, 2), Some(&b"ab"[..]));
    assert_eq!(view.borrow(3, 1), Some(&b"d"[..]));
    assert_eq!(view.borrow(1, 2), None);
    assert_eq!(view.borrow(5, 1), None);
    assert_eq!(view.borrow(7, 2), None);
    assert_eq!(view.borrow(9, 2), None);
    assert_eq!(view.borrow(u64::MAX, 2), None);
}

#[test]
fn the_later_record_wins_where_records_overlap() {
    let inner = stream(&[(0, b"aaaaaaaa"), (2, b"bb"), (3, b"c")]);
    assert_eq!(read(&FlatView::open(source(inner)).unwrap(), 0, 8), b"aabcaaaa");
    let outer = stream(&[(3, b"c"), (2, b"bb"), (0, b"aaaaaaaa")]);
    let view = FlatView::open(source(outer)).unwrap();
    assert_eq!(read(&view, 0, 8), b"aaaaaaaa");
    assert_eq!(view.segments(), 1);
    let same_place = stream(&[(4, b"old!"), (4, b"new")]);
    assert_eq!(read(&FlatView::open(source(same_place)).unwrap(), 4, 4), b"new!");
}

#[test]
fn random_streams_read_like_the_naive_model() {
    const IMAGE: usize = 64 << 10;
    let mut rng = Rng(0x9e3779b97f4a7c15);
    for round in 0..60 {
        let mut model = vec![0u8; IMAGE];
        let mut bytes = head(1, 1);
        let mut end = 0;
        let longest = [8, 300, 5000, 60000][round % 4];
        let count = 1 + rng.below(400.min(1_000_000 / longest));
        for index in 0..count {
            let len = (1 + rng.below(longest)) as usize;
            let last = (IMAGE - len) as u64;
            let offset = match round % 3 {
                0 => rng.below(last + 1),
                // Descending, and two interleaved ascending sequences.
                1 => last - last * index / count,
                _ => (last / 2) * index / count + (index % 2) * (last / 2),
            } as usize;
            let payload: Vec<u8> = (0..len).map(|_| 1 + rng.below(255) as u8).collect();
            bytes.extend(record_header(offset as i64, len as i64));
            bytes.extend(&payload);
            model[offset..offset + len].copy_from_slice(&payload);
            end = end.max(offset + len);
        }
        bytes.extend(END);
        bytes.extend(b"rubbish behind the end mark");

        let in_memory = FlatView::open(source(bytes.clone())).unwrap();
        let read_only = FlatView::open(Shared::new(Trickle { bytes, max: 4099 })).unwrap();
        assert_eq!(ReadAt::len(&in_memory), Some(end as u64));
        assert_eq!(read(&in_memory, 0, IMAGE), model, "round {round}");
        assert_eq!(read(&read_only, 0, IMAGE), model, "round {round}");
        for _ in 0..200 {
            let pos = rng.below(IMAGE as u64) as usize;
            let len = rng.below((IMAGE - pos).min(9000) as u64) as usize;
            assert_eq!(read(&read_only, pos as u64, len), model[pos..pos + len]);
            if len > 0
                && let Some(bytes) = in_memory.borrow(pos as u64, len)
            {
                assert_eq!(bytes, &model[pos..pos + len]);
            }
        }
    }
}

#[test]
fn a_million_records_take_at_most_32_bytes_each() {
    const RECORDS: u64 = 1_000_000;
    const PAYLOAD: usize = 24;
    let mut bytes = head(1, 1);
    bytes.reserve(RECORDS as usize * (16 + PAYLOAD));
    // Two interleaved sub-streams, as descriptors and page data are.
    for index in 0..RECORDS {
        let offset = (index / 2 + (index % 2) * RECORDS) * PAYLOAD as u64;
        bytes.extend(record_header(offset as i64, PAYLOAD as i64));
        bytes.extend([index as u8; PAYLOAD]);
    }
    bytes.extend(END);
    let start = std::time::Instant::now();
    let view = FlatView::open(Shared::new(Trickle { bytes, max: usize::MAX })).unwrap();
    println!("opened in {:?}, {} bytes of table", start.elapsed(), view.memory());
    assert_eq!(view.segments() as u64, RECORDS);
    assert!(view.memory() as u64 <= 32 * RECORDS, "{} bytes", view.memory());
    for index in [0, 1, 2, 4711, RECORDS - 2, RECORDS - 1] {
        let offset = (index / 2 + (index % 2) * RECORDS) * PAYLOAD as u64;
        assert_eq!(read(&view, offset, PAYLOAD), [index as u8; PAYLOAD]);
    }
}

#[test]
fn every_fault_of_a_stream_has_its_message() {
    let record = |offset, size| [&head(1, 1)[..], &record_header(offset, size)].concat();
    let good = stream(&[(0, b"abcd")]);
    for (bytes, status, message) in [
        (head(2, 1), Status::NotImplemented, "Unknown flattened type: 2\n"),
        (head(-3, 1), Status::NotImplemented, "Unknown flattened type: -3\n"),
        (head(1, 7), Status::NotImplemented, "Unknown flattened version: 7\n"),
        (record(-2, 4), Status::Corrupt, "Wrong flattened offset -2 at 4096"),
        (record(0, 0), Status::Corrupt, "Wrong flattened segment size 0 at 4096"),
        (record(0, -5), Status::Corrupt, "Wrong flattened segment size -5 at 4096"),
        // Reaches past 2^63 - 1 in the stream, and in the logical file.
        (record(0, i64::MAX), Status::Corrupt, "Wrong flattened segment size 9223372036854775807 at 4096"),
        (record(i64::MAX, 1), Status::Corrupt, "Wrong flattened segment size 1 at 4096"),
        // Cut off: behind the last record, in a payload, in a record header.
        (good[..4116].to_vec(), Status::Corrupt, "Wrong flattened segment size 0 at 4116"),
        (good[..4114].to_vec(), Status::Corrupt, "Wrong flattened segment size 0 at 4116"),
        (good[..4100].to_vec(), Status::Corrupt, "Wrong flattened segment size 0 at 4096"),
        (good[..32].to_vec(), Status::Corrupt, "Wrong flattened segment size 0 at 4096"),
    ] {
        let error = open_set(bytes).err().expect(message);
        assert_eq!(error.status(), status);
        assert_eq!(error.message(), format!("Cannot rearrange file #0: {message}"));
    }
}

#[test]
fn arbitrary_record_headers_never_panic() {
    let mut rng = Rng(0x0123456789abcdef);
    let mut opened = 0;
    for _ in 0..3000 {
        let mut bytes = head(1, 1);
        for _ in 0..rng.below(6) {
            let mut number = |small| match rng.below(8) {
                0 => i64::MAX - rng.below(5000) as i64,
                1 => -(rng.below(3) as i64),
                2 => rng.below(u64::MAX) as i64,
                _ => 1 + rng.below(small) as i64,
            };
            let (offset, size) = (number(1 << 40), number(60));
            bytes.extend(record_header(offset, size));
            bytes.resize(bytes.len() + size.clamp(0, 60) as usize, 7);
        }
        bytes.extend(END);
        if let Ok(view) = FlatView::open(source(bytes)) {
            opened += 1;
            for _ in 0..10 {
                let pos =
                    [rng.below(1 << 41), rng.below(u64::MAX), i64::MAX as u64 - 40][rng.below(3) as usize];
                read(&view, pos, 100);
                view.borrow(pos, 30);
            }
        }
    }
    assert!(opened > 500, "{opened}");
}

#[test]
fn a_fault_of_the_storage_names_the_record_header() {
    struct Broken(Vec<u8>);
    impl ReadAt for Broken {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> kdumpfile::Result<usize> {
            if pos >= 4096 {
                return Err(kdumpfile::Error::system("Input/output error"));
            }
            self.0.read_at(pos, buf)
        }
    }
    let source: Source = Shared::new(Broken(head(1, 1)));
    let policy = Shared::new(MmapPolicy::default());
    let error = FileSet::open(vec![source], vec!["vmcore".into()], policy).err().unwrap();
    assert_eq!(error.status(), Status::System);
    assert_eq!(
        error.message(),
        "Cannot rearrange vmcore: Cannot read flattened header at 4096: Input/output error"
    );
}

#[test]
fn a_stream_without_records_is_an_empty_file() {
    let set = open_set(stream(&[])).unwrap();
    assert_eq!(set.len(0), Some(0));
    assert_eq!(set.flattened(), Flattened::All);
    let mut buf = [1; 16];
    set.read(0, 0, &mut buf).unwrap();
    assert_eq!(buf, [0; 16]);
}

#[test]
fn a_signature_with_other_padding_is_a_plain_file() {
    let mut bytes = stream(&[(0, b"abcd")]);
    bytes[15] = b'x';
    let set = open_set(bytes.clone()).unwrap();
    assert_eq!(set.flattened(), Flattened::None);
    let mut buf = [0; 16];
    set.read(0, 0, &mut buf).unwrap();
    assert_eq!(buf, bytes[..16]);
    assert!(FlatView::open(source(bytes)).is_err());
}

#[test]
fn only_the_outer_of_two_nested_streams_is_rearranged() {
    let inner = stream(&[(0, b"abcd")]);
    let set = open_set(stream(&[(0, &inner)])).unwrap();
    let mut buf = [0; 12];
    set.read(0, 0, &mut buf).unwrap();
    assert_eq!(&buf, b"makedumpfile");
}

#[test]
fn a_set_may_mix_flattened_and_plain_files() {
    let plain = || source(b"plain".to_vec());
    let flat = || source(stream(&[(1, b"lat")]));
    for (sources, expected, prefix) in [
        (vec![plain(), plain()], Flattened::None, ""),
        (vec![plain(), flat()], Flattened::Some, "Mixed "),
        (vec![flat(), flat()], Flattened::All, "Flattened "),
    ] {
        let set = FileSet::open(sources, Vec::new(), Shared::new(MmapPolicy::default())).unwrap();
        assert_eq!(set.flattened(), expected);
        assert_eq!(set.flattened().prefix(), prefix);
    }
}

#[cfg(all(feature = "std", unix))]
#[test]
fn a_file_cut_after_opening_reads_as_zeros() {
    use std::os::unix::fs::FileExt;
    let path = std::env::temp_dir().join(format!("kdumpfile-io-flat-{}", std::process::id()));
    std::fs::write(&path, stream(&[(0, b"abcdef")])).unwrap();
    let policy = Shared::new(MmapPolicy::new(MmapPolicy::NEVER));
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let source: Source = Shared::new(kdumpfile::io::FileSource::open(&path).unwrap());
    let set = FileSet::open(vec![source], Vec::new(), policy).unwrap();
    file.set_len(4096 + 16 + 2).unwrap();
    file.write_at(b"X", 4096 + 16).unwrap();
    let mut buf = [1; 6];
    set.read(0, 0, &mut buf).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(&buf, b"Xb\0\0\0\0");
}

#[test]
fn streams_that_qemu_wrote_are_rearranged() {
    let dumps = std::env::var_os("KDUMPFILE_DUMPS").unwrap_or_else(|| "../shared/dumps".into());
    for name in ["i386-pae-6.1.qemu-kdump-zlib", "s390x-6.1.qemu-kdump-zlib"] {
        let Ok(bytes) = std::fs::read(std::path::Path::new(&dumps).join(name)) else {
            println!("skipped: no dump {name}");
            continue;
        };
        // Walk the records once more, the simple way.
        let mut expected = Vec::new();
        let mut pos = 4096;
        loop {
            let word = |at: usize| i64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
            let (offset, size) = (word(pos), word(pos + 8) as usize);
            if offset == -1 {
                break;
            }
            let offset = offset as usize;
            if expected.len() < offset + size {
                expected.resize(offset + size, 0);
            }
            expected[offset..offset + size].copy_from_slice(&bytes[pos + 16..pos + 16 + size]);
            pos += 16 + size;
        }
        assert!(expected.starts_with(b"KDUMP   "));
        let set = open_set(bytes).unwrap();
        assert_eq!(set.flattened(), Flattened::All);
        assert_eq!(set.len(0), Some(expected.len() as u64));
        assert!(set.read_vec(0, 0, expected.len() as u64, 0).unwrap() == expected, "{name}");
    }
}
