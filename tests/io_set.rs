//! The files of a dump: names, ends of files, policies, descriptors.

#![cfg(all(feature = "std", unix))]

use kdumpfile::io::{FdSource, FileSet, FileSource, Flattened, MmapPolicy, ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Error, Result, Status};
use std::fs::File;
use std::io::Seek;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// A file that is removed at the end of the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("kdumpfile-io-set-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Scratch(path)
    }

    fn source(&self) -> Source {
        Shared::new(FileSource::open(&self.0).unwrap())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(source: Source, number: u64) -> Result<FileSet> {
    FileSet::open(vec![source], Vec::new(), Shared::new(MmapPolicy::new(number)))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8 + 1).collect()
}

const POLICIES: [u64; 5] = [MmapPolicy::NEVER, MmapPolicy::ALWAYS, MmapPolicy::TRY, MmapPolicy::TRY_ONCE, 99];

#[test]
fn a_file_reads_the_same_under_every_policy() {
    let bytes = pattern(10_000);
    let scratch = Scratch::new("policies", &bytes);
    for number in POLICIES {
        if cfg!(not(feature = "mmap")) && number == MmapPolicy::ALWAYS {
            continue;
        }
        let set = open(scratch.source(), number).unwrap();
        assert_eq!(set.len(0), Some(10_000));
        let mut buf = [0xee; 300];
        set.read(0, 4000, &mut buf).unwrap();
        assert_eq!(buf, bytes[4000..4300]);
        // Across the end.
        set.read(0, 9_900, &mut buf).unwrap();
        assert_eq!(buf[..100], bytes[9_900..]);
        assert_eq!(buf[100..], [0; 200]);
        // Behind the end, in its last page.
        set.read(0, 11_000, &mut buf).unwrap();
        assert_eq!(buf, [0; 300]);
    }
}

#[test]
fn pages_behind_the_end_are_zero_except_under_always() {
    let scratch = Scratch::new("eof", &pattern(8192));
    for number in [MmapPolicy::NEVER, MmapPolicy::TRY] {
        let set = open(scratch.source(), number).unwrap();
        for pos in [8192, 1 << 40, i64::MAX as u64 - 10] {
            let mut buf = [0xee; 5];
            set.read(0, pos, &mut buf).unwrap();
            assert_eq!(buf, [0; 5]);
        }
    }
    let set = open(Shared::new(pattern(8191)), MmapPolicy::ALWAYS).unwrap();
    let mut buf = [0xee; 5];
    set.read(0, 8191, &mut buf).unwrap();
    assert_eq!(buf, [0; 5]);
    let error = set.read(0, 8192, &mut buf).unwrap_err();
    assert_eq!((error.status(), error.message().as_str()), (Status::NoData, ""));
    assert_eq!(set.read(0, 8192, &mut []), Ok(()));
    let set = open(Shared::new(pattern(8192)), MmapPolicy::ALWAYS).unwrap();
    set.read(0, 8190, &mut buf).unwrap();
    assert_eq!(buf[2..], [0; 3]);
}

#[test]
fn an_empty_file_is_no_data_under_always_only() {
    let scratch = Scratch::new("empty", b"");
    let error = open(scratch.source(), MmapPolicy::ALWAYS).err().unwrap();
    assert_eq!(error.status(), Status::NoData);
    assert_eq!(error.message(), "Cannot read file #0");
    for number in [MmapPolicy::NEVER, MmapPolicy::TRY, MmapPolicy::TRY_ONCE] {
        let set = open(scratch.source(), number).unwrap();
        assert_eq!(set.len(0), Some(0));
        assert_eq!(set.borrow(0, 0, 1), None);
    }
}

#[test]
fn devices_have_no_length_and_no_end() {
    for path in ["/dev/null", "/dev/zero"] {
        let set = open(Shared::new(FileSource::open(path).unwrap()), MmapPolicy::TRY).unwrap();
        assert_eq!(set.len(0), None);
        let mut buf = [0xee; 5000];
        set.read(0, 123, &mut buf).unwrap();
        assert_eq!(buf, [0; 5000]);
        assert_eq!(set.borrow(0, 0, 4096), None);
    }
}

#[test]
fn what_cannot_be_read_says_so_in_the_words_of_the_system() {
    let directory = File::open("/").unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let cases = [
        (directory.as_raw_fd(), "Is a directory"),
        (pipe.as_raw_fd(), "Illegal seek"),
        (-1, "Bad file descriptor"),
        (i32::MIN, "Bad file descriptor"),
        (1_000_000, "Bad file descriptor"),
    ];
    for (fd, text) in cases {
        for number in [MmapPolicy::NEVER, MmapPolicy::TRY] {
            let error = open(Shared::new(FdSource::borrow_raw(fd)), number).err().unwrap();
            assert_eq!(error.status(), Status::System);
            assert_eq!(error.message(), format!("Cannot read file #0: {text}"));
        }
        let error = open(Shared::new(FdSource::borrow_raw(fd)), MmapPolicy::ALWAYS).err().unwrap();
        let (status, text) = match fd {
            ..0 => (Status::System, text),
            _ if cfg!(not(feature = "mmap")) => (Status::NotImplemented, "Built without feature mmap"),
            1_000_000 => (Status::System, text),
            _ => (Status::System, "No such device"),
        };
        assert_eq!(error.status(), status);
        assert_eq!(error.message(), format!("Cannot read file #0: {text}"));
    }
    let error = FileSource::open("/no/such/file").err().unwrap();
    assert_eq!(error, Error::system("No such file or directory"));
    let directory = FileSource::open("/").unwrap();
    assert_eq!(ReadAt::len(&directory), None);
    assert_eq!(directory.read_at(0, &mut [0; 4]), Err(Error::system("Is a directory")));
}

#[test]
fn the_second_file_is_named_when_it_cannot_be_read() {
    let sources: Vec<Source> = vec![Shared::new(pattern(10)), Shared::new(FdSource::borrow_raw(-1))];
    let policy = Shared::new(MmapPolicy::default());
    let error = FileSet::open(sources.clone(), vec!["x".into()], policy.clone()).err().unwrap();
    assert_eq!(error.message(), "Cannot read file #1: Bad file descriptor");
    let error = FileSet::open(sources, vec!["x".into(), "y".into()], policy).err().unwrap();
    assert_eq!(error.message(), "Cannot read y: Bad file descriptor");
}

#[test]
fn a_borrowed_descriptor_is_neither_moved_nor_closed() {
    let bytes = pattern(5000);
    let scratch = Scratch::new("fd", &bytes);
    let mut file = File::open(&scratch.0).unwrap();
    file.seek(std::io::SeekFrom::Start(17)).unwrap();
    for number in POLICIES {
        if cfg!(not(feature = "mmap")) && number == MmapPolicy::ALWAYS {
            continue;
        }
        let set = open(Shared::new(FdSource::borrow_raw(file.as_raw_fd())), number).unwrap();
        assert_eq!(set.len(0), Some(5000));
        let mut buf = [0; 50];
        set.read(0, 100, &mut buf).unwrap();
        assert_eq!(buf, bytes[100..150]);
    }
    assert_eq!(file.stream_position().unwrap(), 17);
}

#[test]
fn maps_are_used_as_the_policy_says() {
    let bytes = pattern(5000);
    let scratch = Scratch::new("map", &bytes);
    let policy = Shared::new(MmapPolicy::new(MmapPolicy::TRY_ONCE));
    let set = FileSet::open(vec![scratch.source()], Vec::new(), policy.clone()).unwrap();
    let can_map = cfg!(feature = "mmap");
    assert_eq!(policy.get(), if can_map { MmapPolicy::ALWAYS } else { MmapPolicy::NEVER });
    assert_eq!(set.borrow(0, 10, 20), can_map.then_some(&bytes[10..30]));
    assert_eq!(set.borrow(0, 4990, 20), None);
    policy.set(MmapPolicy::NEVER);
    assert_eq!(set.borrow(0, 10, 20), None);
    let before = policy.read_misses.get();
    set.read(0, 0, &mut [0; 10]).unwrap();
    assert_eq!(policy.read_misses.get(), before + 1);
}

#[test]
fn a_file_that_shrank_before_it_was_mapped_reads_as_zeros() {
    let scratch = Scratch::new("shrunk", &pattern(20_000));
    let source = scratch.source();
    File::options().write(true).open(&scratch.0).unwrap().set_len(5000).unwrap();
    let set = open(source, MmapPolicy::TRY).unwrap();
    let mut buf = [0xee; 16];
    set.read(0, 12_288, &mut buf).unwrap();
    assert_eq!(buf, [0; 16]);
}

#[test]
fn a_new_buffer_is_bounded_by_the_file_and_the_limit() {
    let set = open(Shared::new(pattern(5000)), MmapPolicy::TRY).unwrap();
    assert_eq!(set.read_vec(0, 10, 4000, 0).unwrap(), pattern(5000)[10..4010]);
    let tail = set.read_vec(0, 4990, 20, 20).unwrap();
    assert_eq!(tail[..10], pattern(5000)[4990..]);
    assert_eq!(tail[10..], [0; 10]);
    for (pos, len) in [(4990, 21), (0, 1 << 60), (u64::MAX, u64::MAX)] {
        let error = set.read_vec(0, pos, len, 20).unwrap_err();
        assert_eq!(error.status(), Status::Corrupt);
        assert_eq!(error.message(), format!("{len} bytes at {pos} reach behind the end of file #0"));
    }
    let error = set.read_vec(0, 0, u64::MAX / 2, u64::MAX).unwrap_err();
    assert_eq!(error, Error::system("Cannot allocate memory"));
}

#[test]
fn files_have_names_and_there_is_none_behind_the_last() {
    let sources: Vec<Source> = vec![Shared::new(pattern(1)), Shared::new(pattern(2))];
    let set = FileSet::open(sources, vec!["a".into()], Shared::new(MmapPolicy::default())).unwrap();
    assert_eq!((set.count(), set.name(0), set.name(1), set.name(2)), (2, "a", "file #1", ""));
    assert_eq!((set.len(0), set.len(1), set.len(2)), (Some(1), Some(2), None));
    assert_eq!(ReadAt::len(set.raw_source(1)), Some(2));
    assert_eq!(set.borrow(2, 0, 0), None);
    assert_eq!(set.read(2, 0, &mut [0]), Err(Error::invalid("No such file: #2")));
    assert_eq!(set.flattened(), Flattened::None);
    let empty = FileSet::open(Vec::new(), Vec::new(), Shared::new(MmapPolicy::default())).unwrap();
    assert_eq!((empty.count(), empty.flattened()), (0, Flattened::None));
}
