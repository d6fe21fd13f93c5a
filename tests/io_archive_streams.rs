//! Archives that are one large stream, and those with blocks of their own kind:
//! gzip and zlib with checkpoints, xz, zstd, bzip2, lzop, snappy.

#![cfg(feature = "archive")]

mod archive_support;

use archive_support::*;
use kdumpfile::io::{Archive, FileSet, MmapPolicy, ReadAt, Source, Watch};
use kdumpfile::sync::Shared;
use kdumpfile::{Result, Status};
use kdumpfile_testkit::alloc::Counting;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MIB: usize = 1 << 20;

/// The archive that a program makes of `content`; `None`, said aloud, without it.
fn made(command: &[&str], content: &[u8]) -> Option<Vec<u8>> {
    let archive = packed_by(command[0], &command[1..], content);
    if archive.is_none() {
        println!("skipped: {} is not installed", command[0]);
    }
    archive
}

fn check_made(command: &[&str], kind: Archive, content: &[u8]) {
    if let Some(archive) = made(command, content) {
        check(&archive, kind, content);
    }
}

/// As LiME does: windows of 2 KiB.
const LIME: &[&str] = &[
    "python3",
    "-c",
    "import sys,zlib; c=zlib.compressobj(6,8,11); \
     sys.stdout.buffer.write(c.compress(open(sys.argv[1],'rb').read())+c.flush())",
];

/// The format before xz.
#[cfg(feature = "archive-xz")]
const LZMA: &[&str] = &["xz", "-c", "--format=lzma"];

fn snappy_framed(content: &[u8]) -> Vec<u8> {
    let mut encoder = snap::write::FrameEncoder::new(Vec::new());
    encoder.write_all(content).unwrap();
    encoder.into_inner().unwrap()
}

/// Small archives of every kind.
fn small(content: &[u8]) -> Vec<(Archive, Vec<u8>)> {
    let mut archives = vec![(Archive::Snappy, snappy_framed(content))];
    for (kind, command) in [
        (Archive::Gzip, &["gzip", "-c"][..]),
        (Archive::Zlib, LIME),
        #[cfg(feature = "archive-xz")]
        (Archive::Xz, &["xz", "-c", "--block-size=50000", "-C", "crc32"]),
        #[cfg(feature = "archive-xz")]
        (Archive::Xz, &["xz", "-c", "-C", "sha256"]),
        #[cfg(feature = "archive-xz")]
        (Archive::Lzma, LZMA),
        (Archive::Bzip2, &["bzip2", "-c", "-1"]),
        (Archive::Lzop, &["lzop", "-c"]),
        (Archive::Zstd, &["zstd", "-c", "-q", "--no-content-size"]),
    ] {
        archives.extend(made(command, content).map(|archive| (kind, archive)));
    }
    archives
}

// --- Whole archives --------------------------------------------------------

#[test]
fn one_large_deflate_stream_is_read_at_random() {
    let content = content(5 * MIB + 777);
    check_made(&["gzip", "-c"], Archive::Gzip, &content);
    check_made(&["pigz", "-c", "-p", "2"], Archive::Gzip, &content);
    check_made(&["pigz", "-c", "-z"], Archive::Zlib, &content);
    if let Some(archive) = made(LIME, &content) {
        assert_eq!(archive[..2], [0x38, 0x8d]);
        check(&archive, Archive::Zlib, &content);
    }
}

#[test]
fn large_and_small_members_and_whole_segments_follow_each_other() {
    let content = content(5 * MIB);
    let pieces = [
        &content[..2 * MIB],
        &content[2 * MIB..][..MIB],
        &content[3 * MIB..][..70],
        &content[3 * MIB + 70..],
    ];
    let members: Option<Vec<Vec<u8>>> = pieces.iter().map(|piece| made(&["gzip", "-c"], piece)).collect();
    if let Some(members) = members {
        check(&members.concat(), Archive::Gzip, &content);
    }
}

/// Counts the bytes that are read.
struct Counted(Vec<u8>, Shared<AtomicU64>);

impl ReadAt for Counted {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        let got = self.0.read_at(pos, buf)?;
        self.1.fetch_add(got as u64, Ordering::Relaxed);
        Ok(got)
    }

    fn len(&self) -> Option<u64> {
        ReadAt::len(&self.0)
    }
}

#[test]
fn a_read_in_the_middle_of_a_stream_begins_at_a_checkpoint() {
    let content = content(40 * MIB);
    let Some(archive) = made(&["gzip", "-c", "-1"], &content) else { return };
    let packed = archive.len() as u64;
    let count = Shared::new(AtomicU64::new(0));
    let set = open_source(Shared::new(Counted(archive, count.clone()))).unwrap();
    let mut buf = [0; 100];
    // Opening reads a segment or two.
    let opened = count.swap(0, Ordering::Relaxed);
    assert!(opened < packed / 6, "{opened} of {packed}");
    set.read(0, 40 * MIB as u64 - 100, &mut buf).unwrap();
    let pass = count.swap(0, Ordering::Relaxed);
    assert!(pass < packed * 3 / 2, "{pass} of {packed}");
    for at in [5, 21, 10, 2, 30] {
        set.read(0, at * MIB as u64 + 12345, &mut buf).unwrap();
        assert!(buf == content[at as usize * MIB + 12345..][..100]);
        // Up to 5 MiB of 40.
        let read = count.swap(0, Ordering::Relaxed);
        assert!(read < packed / 6, "{read} of {packed} at {at} MiB");
    }
}

#[cfg(feature = "archive-xz")]
#[test]
fn xz_files_of_one_block_of_many_and_of_many_streams_are_read_in_place() {
    let content = content(3 * MIB + 99);
    for arguments in [
        &["-c"][..],
        &["-c", "-0", "--block-size=100000"],
        &["-c", "-0", "-T2", "--block-size=1048576"],
        &["-c", "-0", "-C", "none"],
        &["-c", "-0", "-C", "crc32", "--block-size=1500000"],
        &["-c", "-0", "-C", "sha256"],
        &["-c", "--x86", "--lzma2=preset=0"],
    ] {
        check_made(&[&["xz"], arguments].concat(), Archive::Xz, &content);
    }
    let pieces = content.chunks(MIB).map(|piece| made(&["xz", "-c", "-0", "--block-size=400000"], piece));
    if let Some(mut streams) = pieces.collect::<Option<Vec<_>>>() {
        streams[1].extend([0; 8]);
        streams.push(vec![0; 400]);
        check(&streams.concat(), Archive::Xz, &content);
    }
    check_made(&["xz", "-c"], Archive::Xz, b"x");
}

#[cfg(feature = "archive-xz")]
#[test]
fn an_xz_file_with_a_broken_index_is_read_from_its_beginning() {
    let content = content(2 * MIB + 5);
    let Some(archive) = made(&["xz", "-c", "-0", "--block-size=500000"], &content) else { return };
    assert_eq!(open(&archive).unwrap().len(0), Some(content.len() as u64));
    let mut broken = archive.clone();
    let at = archive.len() - 20;
    broken[at] ^= 1;
    for broken in [&broken[..], &archive[..archive.len() - 4]] {
        let set = open(broken).unwrap();
        assert_eq!(set.len(0), None);
        assert!(set.read_vec(0, 0, 2 * MIB as u64, u64::MAX).unwrap() == content[..2 * MIB]);
        // The last segment has no right end.
        assert_eq!(set.read(0, content.len() as u64 - 1, &mut [0]).unwrap_err().status(), Status::Corrupt);
    }
}

#[cfg(feature = "archive-xz")]
#[test]
fn files_of_lzma_alone_are_read_in_place() {
    let content = content(3 * MIB + 99);
    for arguments in [&["-c"][..], &["-c", "-0"], &["-c", "--lzma1=preset=0,lc=0,lp=2,pb=0,dict=6MiB"]] {
        check_made(&[&["xz", "--format=lzma"], arguments].concat(), Archive::Lzma, &content);
    }
    check_made(LZMA, Archive::Lzma, b"x");
    // Whole segments; and a header that tells the length, as the SDK writes it.
    let content = &content[..2 * MIB];
    check_made(LZMA, Archive::Lzma, content);
    let Some(mut archive) = made(LZMA, content) else { return };
    archive[5..13].copy_from_slice(&(content.len() as u64).to_le_bytes());
    check(&archive, Archive::Lzma, content);
    // One byte less than it says is too few.
    archive[5..13].copy_from_slice(&(content.len() as u64 + 1).to_le_bytes());
    let set = open(&archive).unwrap();
    assert!(set.read_vec(0, 0, MIB as u64, u64::MAX).unwrap() == content[..MIB]);
    assert_eq!(set.read(0, content.len() as u64, &mut [0]).unwrap_err().status(), Status::Corrupt);
    // A window of 512 MiB.
    let Some(mut archive) = made(LZMA, content) else { return };
    archive[1..5].copy_from_slice(&(512u32 << 20).to_le_bytes());
    let text = "Cannot unpack file #0: The lzma file needs a window of more than 128 MiB; unpack it first: \
                unlzma FILE";
    assert_eq!(refused(&archive), (Status::NotImplemented, text.to_string()));
}

#[test]
fn bzip2_files_are_read_block_by_block() {
    let mut content = content(2 * MIB);
    // Runs of every length, as long as a block can stretch.
    for run in 0..600 {
        content.extend(std::iter::repeat_n(run as u8, run));
    }
    content.extend(vec![0; 5 * MIB]);
    check_made(&["bzip2", "-c", "-1"], Archive::Bzip2, &content);
    check_made(&["bzip2", "-c"], Archive::Bzip2, &content);
    // Streams may follow each other; one may be empty.
    let pieces = [&content[..333_333], &[], &content[333_333..1_000_000]];
    let streams = pieces.iter().map(|piece| made(&["bzip2", "-c", "-2"], piece));
    if let Some(streams) = streams.collect::<Option<Vec<_>>>() {
        check(&streams.concat(), Archive::Bzip2, &content[..1_000_000]);
    }
}

#[test]
fn lzop_files_are_read_block_by_block() {
    let mut content = content(MIB);
    // Something that cannot be packed.
    let mut state = 1u64;
    content.extend((0..600_000).map(|_| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    }));
    for arguments in [&["-c"][..], &["-c", "-9"], &["-c", "--crc32"], &["-c", "-F"], &["-c", "--no-name"]] {
        check_made(&[&["lzop"], arguments].concat(), Archive::Lzop, &content);
    }
    if let (Some(one), Some(two)) =
        (made(&["lzop", "-c"], &content[..77]), made(&["lzop", "-c"], &content[77..]))
    {
        check(&[one, two].concat(), Archive::Lzop, &content);
    }
}

/// The sum that lzop has in front of blocks and behind headers.
fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    b << 16 | a
}

#[test]
fn lzop_headers_of_all_ages_and_with_extra_fields_are_read() {
    let content = content(70_000);
    let file = |version: u16, flags: u32, name: &str| {
        let newer = version >= 0x0940;
        let mut header = [version.to_be_bytes(), [0x20, 0xa0]].concat();
        header.extend(if newer { &[0x09, 0x40][..] } else { &[] });
        header.push(1);
        header.extend(if newer { &[5][..] } else { &[] });
        header.extend(flags.to_be_bytes());
        // Mode and time, of which newer ones have two words.
        header.extend(&[0; 12][..if newer { 12 } else { 8 }]);
        header.push(name.len() as u8);
        header.extend(name.as_bytes());
        let check = if flags & 0x1000 != 0 { crc32fast::hash(&header) } else { adler32(&header) };
        let mut file = [&b"\x89LZO\0\r\n\x1a\n"[..], &header, &check.to_be_bytes()].concat();
        if flags & 0x40 != 0 {
            file.extend([&5u32.to_be_bytes()[..], b"extra", &[7; 4]].concat());
        }
        for block in content.chunks(30_000) {
            let packed = kdumpfile_testkit::compress::lzo(block);
            let packed = if packed.len() < block.len() { &packed[..] } else { block };
            let mut words = vec![block.len() as u32, packed.len() as u32];
            let sums: [(u32, u32); 4] = [
                (1, adler32(block)),
                (0x100, crc32fast::hash(block)),
                (2, adler32(packed)),
                (0x200, crc32fast::hash(packed)),
            ];
            let stored = packed.len() == block.len();
            let wanted = |bit: u32| flags & bit != 0 && (bit & 0x101 != 0 || !stored);
            words.extend(sums.into_iter().filter(|sum| wanted(sum.0)).map(|sum| sum.1));
            file.extend(words.into_iter().flat_map(u32::to_be_bytes));
            file.extend(packed);
        }
        file.extend([0; 4]);
        file
    };
    for version in [0x0900, 0x0940, 0x1040] {
        for flags in [0, 1, 0x40, 0x41, 0x100, 0x303, 0x1040] {
            check(&file(version, flags, "vmcore"), Archive::Lzop, &content);
        }
    }
    // A filter, and a part of several files.
    for flags in [0x800, 0x400] {
        let mut filtered = file(0x0900, 1, "");
        filtered[9 + 5..9 + 9].copy_from_slice(&u32::to_be_bytes(flags));
        let end = 9 + 9 + 8 + 1;
        if flags == 0x800 {
            filtered.splice(9 + 9..9 + 9, [0, 0, 0, 1]);
        }
        let end = if flags == 0x800 { end + 4 } else { end };
        let check = adler32(&filtered[9..end]);
        filtered[end..end + 4].copy_from_slice(&check.to_be_bytes());
        let (status, text) = refused(&filtered);
        assert_eq!(status, Status::NotImplemented, "{text}");
        assert!(text.ends_with("a filter that is unknown; unpack it first: lzop -d FILE"), "{text}");
    }
}

#[test]
fn snappy_framed_streams_are_read_chunk_by_chunk() {
    let content = content(MIB + 3);
    let mut archive = snappy_framed(&content);
    check(&archive, Archive::Snappy, &content);
    // Padding, something to skip, and another stream.
    archive.extend(b"\xfe\x03\0\0abc\x80\x01\0\0x");
    archive.extend(snappy_framed(b"the end"));
    check(&archive, Archive::Snappy, &[&content, &b"the end"[..]].concat());
    // A chunk that nobody may skip.
    let unknown = open(&[&archive[..], b"\x02\x01\0\0x"].concat()).unwrap();
    let error = unknown.read(0, content.len() as u64 + 7, &mut [0]).unwrap_err();
    assert_eq!(error.status(), Status::Corrupt, "{error}");
}

#[test]
fn one_large_zstd_frame_is_read_at_random() {
    let content = content(7 * MIB).repeat(10);
    for arguments in [&["-c", "-q"][..], &["-c", "-q", "--no-check", "--no-content-size"]] {
        check_made(&[&["zstd"], arguments].concat(), Archive::Zstd, &content);
    }
}

#[cfg(feature = "std-threads")]
#[test]
fn threads_read_the_same_stream_at_the_same_time() {
    let content = content(6 * MIB);
    for (kind, command) in [
        (Archive::Gzip, &["gzip", "-c", "-1"][..]),
        #[cfg(feature = "archive-xz")]
        (Archive::Xz, &["xz", "-c", "-0"]),
        (Archive::Bzip2, &["bzip2", "-c"]),
    ] {
        let Some(archive) = made(command, &content) else { continue };
        let set = open(&archive).unwrap();
        assert_eq!(set.archive(0), Some(kind));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (set, content) = (&set, &content);
                scope.spawn(move || {
                    for step in 0..24 {
                        let pos = (step * 1_234_567 * (thread + 1)) % (6 * MIB - 4096);
                        let mut buf = [0; 4096];
                        set.read(0, pos as u64, &mut buf).unwrap();
                        assert!(buf == content[pos..pos + 4096]);
                    }
                });
            }
        });
    }
}

// --- Refusals and damage ---------------------------------------------------

#[test]
fn an_archive_in_an_archive_is_refused() {
    let inner = snappy_framed(b"abc");
    for (kind, archive) in small(&inner) {
        let (status, text) = refused(&archive);
        assert_eq!(status, Status::NotImplemented);
        let want =
            format!("There is another archive inside (snappy); unpack it first: {} FILE", kind.unpacker());
        assert_eq!(text, format!("Cannot unpack file #0: {want}"));
    }
}

/// An xz file of one block that says that it unpacks to `len` bytes.
#[cfg(feature = "archive-xz")]
fn xz_that_claims(archive: &[u8], len: u64) -> Vec<u8> {
    let footer = &archive[archive.len() - 12..];
    let index_len = (u32::from_le_bytes(footer[4..8].try_into().unwrap()) as usize + 1) * 4;
    let blocks = &archive[..archive.len() - 12 - index_len];
    let unpadded = archive.len() - 24 - index_len;
    let mut index = vec![0, 1];
    for mut value in [unpadded as u64, len] {
        while value >= 0x80 {
            index.push(value as u8 | 0x80);
            value >>= 7;
        }
        index.push(value as u8);
    }
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32fast::hash(&index).to_le_bytes());
    let mut tail = (index.len() as u32 / 4 - 1).to_le_bytes().to_vec();
    tail.extend(&footer[8..10]);
    [blocks, &index, &crc32fast::hash(&tail).to_le_bytes(), &tail, b"YZ"].concat()
}

#[cfg(feature = "archive-xz")]
#[test]
fn an_xz_block_is_kept_up_to_a_limit_and_believed_as_far_as_it_unpacks() {
    let content = content(300_000);
    let Some(archive) = made(&["xz", "-c", "-C", "crc32"], &content) else { return };
    check(&xz_that_claims(&archive, 300_000), Archive::Xz, &content);
    let limit = u64::from(kdumpfile::io::STREAM_MAX);
    assert_eq!(refused(&xz_that_claims(&archive, 1 << 40)).0, Status::Corrupt);
    // A whole segment is there.
    let content = vec![0; 3 * MIB];
    let Some(archive) = made(&["xz", "-c", "-C", "crc32"], &content) else { return };
    let set = open(&xz_that_claims(&archive, 1 << 40)).unwrap();
    set.read(0, MIB as u64, &mut [0; 100]).unwrap();
    let error = set.read(0, limit, &mut [0]).unwrap_err();
    assert_eq!(error.status(), Status::NotImplemented);
    let text =
        "An xz block is larger than 1024 MiB; unpack it first: unxz FILE, or pack it again with xz -T0";
    assert_eq!(error.message(), text);
    assert_eq!(set.read(0, limit - 1, &mut [0]).unwrap_err().status(), Status::Corrupt);
    // Fewer bytes than there are.
    let set = open(&xz_that_claims(&archive, 2 * MIB as u64 - 1)).unwrap();
    set.read(0, 0, &mut [0; 100]).unwrap();
    assert_eq!(set.read(0, MIB as u64, &mut [0]).unwrap_err().status(), Status::Corrupt);
}

#[test]
fn what_is_in_front_of_a_cut_stays_readable() {
    let content = content(5 * MIB);
    for command in [
        &["gzip", "-c"][..],
        LIME,
        #[cfg(feature = "archive-xz")]
        &["xz", "-c", "-0"],
        #[cfg(feature = "archive-xz")]
        LZMA,
        &["bzip2", "-c", "-1"],
        &["lzop", "-c"],
    ] {
        let Some(archive) = made(command, &content) else { continue };
        let set = open(&archive[..archive.len() * 3 / 4]).unwrap();
        assert!(set.read_vec(0, 0, 2 * MIB as u64, 4 << 20).unwrap() == content[..2 * MIB], "{command:?}");
        let error = set.read(0, 5 * MIB as u64 - 10, &mut [0; 10]).unwrap_err();
        assert_eq!(error.status(), Status::Corrupt, "{command:?}");
        assert!(error.message().contains("cut off"), "{command:?}: {}", error.message());
        assert_eq!(set.read(0, 5 * MIB as u64 - 10, &mut [0; 10]).unwrap_err(), error);
        let mut buf = [0; 10];
        set.read(0, MIB as u64 + 200_000, &mut buf).unwrap();
        assert!(buf == content[MIB + 200_000..][..10]);
    }
}

#[test]
fn archives_cut_anywhere_never_panic_and_give_nothing_else() {
    let content = content(150_000);
    for (kind, archive) in small(&content) {
        for step in 0..120 {
            let len = if step < 40 { step } else { archive.len() * (step - 40) / 80 };
            let Ok(set) = open(&archive[..len]) else { continue };
            if set.archive(0) != Some(kind) {
                continue;
            }
            let mut whole = vec![0; content.len()];
            if set.read(0, 0, &mut whole).is_ok() && set.len(0) == Some(content.len() as u64) {
                assert!(whole == content, "{kind:?} cut to {len}");
            }
            let mut start = [0; 100];
            if set.read(0, 0, &mut start).is_ok() && set.len(0) != Some(0) {
                assert!(start == content[..100], "{kind:?} cut to {len}");
            }
        }
    }
}

#[test]
fn damaged_archives_never_panic_and_never_read_wrong_where_checked() {
    let content = content(150_000);
    let mut state = 88172645463325252u64;
    for (kind, archive) in small(&content) {
        for round in 0..200 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut bytes = archive.clone();
            let at = match round % 4 {
                0 => state as usize % 60,
                1 => bytes.len() - 1 - state as usize % 60,
                _ => state as usize % bytes.len(),
            };
            bytes[at] ^= 1 << (state >> 40 & 7);
            let Ok(set) = open(&bytes) else { continue };
            let mut whole = vec![0; content.len() + 10];
            let read = set.read(0, 0, &mut whole);
            // Each of them but lzma has a checksum on every byte that is
            // unpacked, but a header may say that there is none.
            let len = set.len(0);
            if read.is_ok()
                && set.archive(0) == Some(kind)
                && len == Some(150_000)
                && at > 60
                && kind != Archive::Lzma
            {
                assert!(whole[..150_000] == content, "{kind:?}, byte {at}");
            }
        }
    }
}

// --- Memory and progress ---------------------------------------------------

#[test]
fn a_pass_over_a_large_stream_takes_little_memory() {
    // The other tests of this file run at the same time: too much for figures
    // that count all of them, so this runs in a process of its own.
    if std::env::var_os("KDUMPFILE_ARCHIVE_MEMORY").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_pass_over_a_large_stream_takes_little_memory", "--nocapture"])
            .env("KDUMPFILE_ARCHIVE_MEMORY", "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let content = vec![0; 100 * MIB];
    for (command, most) in [
        (&["gzip", "-c", "-1"][..], 24),
        (&["bzip2", "-c", "-1"], 80),
        (&["lzop", "-c"], 8),
        #[cfg(feature = "archive-xz")]
        (&["xz", "-c", "-0", "-T2"], 16),
    ] {
        let Some(archive) = made(command, &content) else { continue };
        let size = archive.len();
        let source: Source = Shared::new(archive);
        let (set, peak, _) = ALLOCATOR.measure(|| {
            let set = open_source(source).unwrap();
            let mut buf = [1; 100];
            for at in [0, 99, 50, 10, 70] {
                set.read(0, (at * MIB) as u64, &mut buf).unwrap();
                assert_eq!(buf, [0; 100]);
            }
            set
        });
        println!("{}: {size} bytes, peak {} MiB", command[0], peak >> 20);
        assert!(peak < most * MIB, "{}: {peak}", command[0]);
        drop(set);
    }
}

#[test]
fn a_watch_is_told_how_far_unpacking_is() {
    struct Farthest(AtomicU64, AtomicU64);
    impl Watch for Farthest {
        fn unpacked(&self, done: u64, total: Option<u64>) {
            assert!(total.is_none_or(|total| done <= total), "{done} of {total:?}");
            self.0.fetch_max(done, Ordering::Relaxed);
            self.1.fetch_add(1, Ordering::Relaxed);
        }
    }
    let content = content(4 * MIB);
    for command in [&["gzip", "-c"][..], &["bzip2", "-c"], &["zstd", "-c", "-q"]] {
        let Some(archive) = made(command, &content) else { continue };
        let size = archive.len() as u64;
        let policy = Shared::new(MmapPolicy::default());
        let watch = Shared::new(Farthest(AtomicU64::new(0), AtomicU64::new(0)));
        policy.set_watch(Some(watch.clone()));
        let set = FileSet::open(vec![Shared::new(archive)], Vec::new(), policy.clone()).unwrap();
        let opened = watch.1.load(Ordering::Relaxed);
        set.read(0, 4 * MIB as u64, &mut [0]).unwrap();
        assert_eq!(watch.0.load(Ordering::Relaxed), size, "{command:?}");
        assert!(watch.1.load(Ordering::Relaxed) > opened);
        // Nobody is told any more.
        policy.set_watch(None);
        let told = watch.1.load(Ordering::Relaxed);
        set.read(0, 0, &mut [0]).unwrap();
        assert_eq!(watch.1.load(Ordering::Relaxed), told);
    }
}
