//! Sources from the traits of the embedded world.

#![cfg(all(feature = "embedded-io", feature = "embedded-storage"))]

use embedded_io::{ErrorKind, ErrorType, Read, Seek, SeekFrom};
use kdumpfile::io::{FileSet, MmapPolicy, ReadAt, SeekReader, Source, StorageReader, read_full};
use kdumpfile::sync::Shared;
use kdumpfile::{Error, Result};

/// Gives three bytes at a time, is interrupted every second time, and fails
/// where the test says.
struct Card {
    bytes: Vec<u8>,
    pos: u64,
    calls: u32,
    fault: Option<ErrorKind>,
}

impl Card {
    fn new(bytes: &[u8]) -> Self {
        Card { bytes: bytes.to_vec(), pos: 0, calls: 0, fault: None }
    }
}

impl ErrorType for Card {
    type Error = ErrorKind;
}

impl Read for Card {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        self.calls += 1;
        if self.calls % 2 == 1 {
            return Err(ErrorKind::Interrupted);
        }
        let len = buf.len().min(3);
        let got = self.bytes.read_at(self.pos, &mut buf[..len]).unwrap();
        self.pos += got as u64;
        Ok(got)
    }
}

impl Seek for Card {
    fn seek(&mut self, to: SeekFrom) -> Result<u64, ErrorKind> {
        self.pos = match to {
            SeekFrom::Start(pos) => pos,
            SeekFrom::End(0) => self.bytes.len() as u64,
            _ => return Err(ErrorKind::Unsupported),
        };
        Ok(self.pos)
    }
}

#[test]
fn a_seekable_reader_is_read_at_positions() {
    let reader = SeekReader::new(Card::new(b"0123456789")).unwrap();
    assert_eq!(ReadAt::len(&reader), Some(10));
    let mut buf = [0; 6];
    assert_eq!(read_full(&reader, 2, &mut buf), Ok(6));
    assert_eq!(&buf, b"234567");
    assert_eq!(read_full(&reader, 0, &mut buf), Ok(6));
    assert_eq!(&buf, b"012345");
    assert_eq!(read_full(&reader, 8, &mut buf), Ok(2));
    assert_eq!(reader.read_at(10, &mut buf), Ok(0));
    assert_eq!(reader.read_at(0, &mut []), Ok(0));
}

#[test]
fn faults_of_a_reader_get_the_words_of_the_c_library() {
    for (kind, text) in [
        (ErrorKind::PermissionDenied, "Permission denied"),
        (ErrorKind::Unsupported, "Operation not supported"),
        (ErrorKind::Other, "Input/output error (Other)"),
    ] {
        let mut card = Card::new(b"0123");
        card.fault = Some(kind);
        let reader = SeekReader::new(card).unwrap();
        assert_eq!(reader.read_at(0, &mut [0; 4]), Err(Error::system(text)));
    }
}

struct Flash(Vec<u8>);

impl embedded_storage::ReadStorage for Flash {
    type Error = &'static str;

    fn read(&mut self, offset: u32, buf: &mut [u8]) -> Result<(), &'static str> {
        let start = offset as usize;
        let bytes = self.0.get(start..start + buf.len()).ok_or("out of range")?;
        if bytes.contains(&b'!') {
            return Err("worn out");
        }
        buf.copy_from_slice(bytes);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn flash_is_read_up_to_its_capacity() {
    let flash = StorageReader::new(Flash(b"0123456789!".to_vec()));
    assert_eq!(ReadAt::len(&flash), Some(11));
    let mut buf = [0; 4];
    assert_eq!(flash.read_at(3, &mut buf), Ok(4));
    assert_eq!(&buf, b"3456");
    let fault = Error::system("Input/output error (\"worn out\")");
    assert_eq!(flash.read_at(8, &mut buf), Err(fault));
    assert_eq!(flash.read_at(11, &mut buf), Ok(0));
    assert_eq!(flash.read_at(u64::MAX, &mut buf), Ok(0));
}

#[test]
fn a_set_of_files_reads_from_both() {
    let sources: Vec<Source> = vec![
        Shared::new(SeekReader::new(Card::new(b"0123456789")).unwrap()),
        Shared::new(StorageReader::new(Flash(b"abcdefghij".to_vec()))),
    ];
    let set = FileSet::open(sources, Vec::new(), Shared::new(MmapPolicy::default())).unwrap();
    let mut buf = [1; 6];
    set.read(0, 6, &mut buf).unwrap();
    assert_eq!(&buf, b"6789\0\0");
    set.read(1, 6, &mut buf).unwrap();
    assert_eq!(&buf, b"ghij\0\0");
}
