//! Dumps packed as a whole: each kind of archive, whole and damaged.

#![cfg(feature = "archive")]

mod archive_support;

use archive_support::*;
use kdumpfile::Status;
use kdumpfile::io::{Archive, FileSet, Flattened, MmapPolicy, Source, UNIT_MAX};
use kdumpfile::sync::Shared;

// --- Writers ---------------------------------------------------------------

/// xxHash32 of the LZ4 frame descriptor (fewer than 16 bytes).
fn header_check(descriptor: &[u8]) -> u8 {
    let prime = [0x9e3779b1u32, 0x85ebca77, 0xc2b2ae3d, 0x27d4eb2f, 0x165667b1];
    let mut hash = prime[4].wrapping_add(descriptor.len() as u32);
    let mut words = descriptor.chunks_exact(4);
    for word in words.by_ref() {
        let word = u32::from_le_bytes(word.try_into().unwrap());
        hash = hash.wrapping_add(word.wrapping_mul(prime[2])).rotate_left(17).wrapping_mul(prime[3]);
    }
    for byte in words.remainder() {
        hash = hash.wrapping_add(u32::from(*byte).wrapping_mul(prime[4]));
        hash = hash.rotate_left(11).wrapping_mul(prime[0]);
    }
    hash = (hash ^ hash >> 15).wrapping_mul(prime[1]);
    hash = (hash ^ hash >> 13).wrapping_mul(prime[2]);
    ((hash ^ hash >> 16) >> 8) as u8
}

/// An LZ4 frame with 64 KiB blocks; `sizes` are the lengths of the first blocks
/// where they are not full.
fn lz4_frame(content: &[u8], flags: u8, sizes: &[usize]) -> Vec<u8> {
    let mut descriptor = vec![flags, 0x40];
    if flags & 8 != 0 {
        descriptor.extend((content.len() as u64).to_le_bytes());
    }
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18];
    frame.extend(&descriptor);
    frame.push(header_check(&descriptor));
    let mut rest = content;
    let mut sizes = sizes.iter();
    while !rest.is_empty() {
        let len = sizes.next().copied().unwrap_or(65536).min(rest.len());
        let (block, after) = rest.split_at(len);
        rest = after;
        let packed = lz4_flex::block::compress(block);
        let (word, data) = if packed.len() < len {
            (packed.len() as u32, &packed[..])
        } else {
            (len as u32 | 1 << 31, block)
        };
        frame.extend(word.to_le_bytes());
        frame.extend(data);
    }
    frame.extend([0; 4]);
    if flags & 4 != 0 {
        frame.extend([0xab; 4]);
    }
    frame
}

fn gzip_member(content: &[u8], flags: u8, fields: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    member.extend(fields);
    member.extend(miniz_oxide::deflate::compress_to_vec(content, 1));
    member.extend(crc32fast::hash(content).to_le_bytes());
    member.extend((content.len() as u32).to_le_bytes());
    member
}

/// A member whose deflate blocks are stored, which is quick to write and read.
fn gzip_stored(content: &[u8]) -> Vec<u8> {
    let mut member = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    for block in content.chunks(65535) {
        let len = block.len() as u16;
        member.push(0);
        member.extend(len.to_le_bytes());
        member.extend((!len).to_le_bytes());
        member.extend(block);
    }
    member.extend([1, 0, 0, 0xff, 0xff]);
    member.extend(crc32fast::hash(content).to_le_bytes());
    member.extend((content.len() as u32).to_le_bytes());
    member
}

fn bgzf(content: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for block in content.chunks(60_000).chain([&[][..]]) {
        let mut member = gzip_member(block, 4, b"\x0a\0XY\0\0BC\x02\0\0\0");
        let len = (member.len() - 1) as u16;
        member[20..22].copy_from_slice(&len.to_le_bytes());
        file.extend(member);
    }
    file
}

fn zstd_frame(content: &[u8]) -> Vec<u8> {
    kdumpfile_testkit::compress::zstd(content)
}

fn skippable(payload: &[u8]) -> Vec<u8> {
    let mut frame = 0x184d_2a50u32.to_le_bytes().to_vec();
    frame.extend((payload.len() as u32).to_le_bytes());
    frame.extend(payload);
    frame
}

fn seekable(content: &[u8], unit: usize) -> Vec<u8> {
    let mut file = Vec::new();
    let mut entries = Vec::new();
    for piece in content.chunks(unit) {
        let frame = zstd_frame(piece);
        entries.extend((frame.len() as u32).to_le_bytes());
        entries.extend((piece.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    let count = (entries.len() / 8) as u32;
    file.extend(0x184d_2a5eu32.to_le_bytes());
    file.extend((entries.len() as u32 + 9).to_le_bytes());
    file.extend(entries);
    file.extend(count.to_le_bytes());
    file.push(0);
    file.extend(0x8f92_eab1u32.to_le_bytes());
    file
}

// --- Whole archives --------------------------------------------------------

#[test]
fn lz4_frames_with_and_without_content_size_are_read_in_place() {
    let content = content(700_000);
    check(&lz4_frame(&content, 0x60, &[]), Archive::Lz4, &content);
    check(&lz4_frame(&content, 0x6c, &[]), Archive::Lz4, &content);
}

#[test]
fn short_lz4_blocks_in_the_middle_shift_nothing() {
    let content = content(400_000);
    for sizes in [&[65536, 1, 3000][..], &[65535], &[40_000; 6]] {
        for flags in [0x60, 0x68] {
            check(&lz4_frame(&content, flags, sizes), Archive::Lz4, &content);
        }
    }
    // As many blocks as full ones would be: only the last one gives it away.
    let content = &content[..65536 + 30_000];
    check(&lz4_frame(content, 0x68, &[50_000]), Archive::Lz4, content);
}

#[test]
fn lz4_frames_may_follow_each_other_with_frames_to_skip_between() {
    let content = content(300_000);
    let (one, two) = content.split_at(100_001);
    let file = [
        skippable(b"hello"),
        lz4_frame(one, 0x60, &[]),
        skippable(b""),
        lz4_frame(b"", 0x60, &[]),
        lz4_frame(two, 0x68, &[]),
        vec![0; 512],
    ]
    .concat();
    check(&file, Archive::Lz4, &content);
}

#[test]
fn zstd_files_of_several_frames_are_read_in_place() {
    let content = content(900_000);
    let file: Vec<u8> = content.chunks(250_000).flat_map(zstd_frame).collect();
    check(&file, Archive::Zstd, &content);
    // As pzstd writes: the size of each frame in a frame to skip.
    let file: Vec<u8> = content
        .chunks(300_000)
        .flat_map(|piece| {
            let frame = zstd_frame(piece);
            [skippable(&(frame.len() as u32).to_le_bytes()), frame].concat()
        })
        .collect();
    check(&file, Archive::Zstd, &content);
}

#[test]
fn zstd_frames_without_content_size_are_read_in_place() {
    // Window 1 KiB; a raw block, a run of 70,000 bytes and a last raw block.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x38];
    frame.extend(&(5u32 << 3).to_le_bytes()[..3]);
    frame.extend(b"hello");
    frame.extend(&(70_000u32 << 3 | 1 << 1).to_le_bytes()[..3]);
    frame.push(b'x');
    frame.extend(&(3u32 << 3 | 1).to_le_bytes()[..3]);
    frame.extend(b"end");
    let content = [&b"hello"[..], &[b'x'; 70_000], b"end"].concat();
    check(&[frame.clone(), frame].concat(), Archive::Zstd, &content.repeat(2));
}

#[test]
fn the_zstd_seek_table_is_used() {
    let content = content(500_000);
    let file = seekable(&content, 64 << 10);
    let set = open(&file).unwrap();
    // Without the table the length would not be known yet.
    assert_eq!(set.len(0), Some(500_000));
    let sources: [Source; 2] = [Shared::new(file.clone()), Shared::new(Stored(file.clone()))];
    for source in sources {
        let set = open_source(source).unwrap();
        assert!(set.read_vec(0, 0, 500_000, 0).unwrap() == content);
    }
    // A table that does not fit is no table: the frames are still there.
    let mut broken = file;
    let at = broken.len() - 9 - 8;
    broken[at] ^= 1;
    let set = open(&broken).unwrap();
    assert_eq!(set.len(0), None);
    assert!(set.read_vec(0, 0, 500_000, 0).unwrap() == content);
}

#[test]
fn a_zstd_seek_table_may_have_checksums_and_frames_without_content() {
    let content = content(300_000);
    let pieces: Vec<&[u8]> = content.chunks(64 << 10).collect();
    let frames: Vec<Vec<u8>> = pieces.iter().map(|piece| zstd_frame(piece)).collect();
    for (flag, check) in [(0x80, &[0xaa; 4][..]), (0x03, &[])] {
        let (mut file, mut entries) = (Vec::new(), Vec::new());
        let mut entry = |packed: &[u8], len: usize| {
            entries.extend((packed.len() as u32).to_le_bytes());
            entries.extend((len as u32).to_le_bytes());
            entries.extend(check);
            file.extend(packed);
        };
        for (frame, piece) in frames.iter().zip(&pieces) {
            entry(frame, piece.len());
            entry(&skippable(b"nothing"), 0);
        }
        file.extend(0x184d_2a5eu32.to_le_bytes());
        file.extend((entries.len() as u32 + 9).to_le_bytes());
        file.extend(&entries);
        file.extend((2 * frames.len() as u32).to_le_bytes());
        file.push(flag);
        file.extend(0x8f92_eab1u32.to_le_bytes());
        let set = open(&file).unwrap();
        // Known from the table alone.
        assert_eq!(set.len(0), Some(300_000), "{flag:#x}");
        assert!(set.read_vec(0, 0, 300_000, 0).unwrap() == content, "{flag:#x}");
    }
}

#[test]
fn legacy_lz4_blocks_of_8_mib_follow_each_other() {
    let content = vec![[0x5a, 1, 2, 3]; (16 << 20) / 4 + 1000].concat();
    let mut file = Vec::new();
    for frame in [&content[..8 << 20], &content[8 << 20..]] {
        // Another magic ends a frame as well as the end of the file.
        file.extend([0x02, 0x21, 0x4c, 0x18]);
        for block in frame.chunks(8 << 20) {
            let packed = lz4_flex::block::compress(block);
            file.extend((packed.len() as u32).to_le_bytes());
            file.extend(packed);
        }
    }
    let set = open(&file).unwrap();
    assert_eq!(set.archive(0), Some(Archive::Lz4));
    for at in [0, (8 << 20) - 2, (16 << 20) + 3998] {
        let mut bytes = [0; 4];
        set.read(0, at, &mut bytes).unwrap();
        let end = content.len().min(at as usize + 4);
        assert_eq!(bytes[..end - at as usize], content[at as usize..end], "{at}");
    }
    set.read(0, content.len() as u64, &mut [0]).unwrap();
    assert_eq!(set.len(0), Some(content.len() as u64));
}

#[test]
fn an_lz4_block_larger_than_its_frame_allows_is_corrupt() {
    let mut frame = lz4_frame(&content(1000), 0x60, &[]);
    frame[7..11].copy_from_slice(&(65_537u32 | 1 << 31).to_le_bytes());
    frame.resize(70_000, 0);
    let (status, text) = refused(&frame);
    assert_eq!(status, Status::Corrupt, "{text}");
}

#[test]
fn what_stands_behind_a_gzip_member_must_be_its_checksum_and_length() {
    let content = content(300_000);
    for (at, what) in [(1, "length"), (4, "length"), (5, "checksum"), (8, "checksum")] {
        let mut file = gzip_member(&content, 0, b"");
        let at = file.len() - at;
        file[at] ^= 1;
        let (status, text) = refused(&file);
        assert_eq!(status, Status::Corrupt, "{what}");
        assert!(text.ends_with("Wrong checksum of the gzip member at 10"), "{what}: {text}");
    }
}

#[test]
fn gzip_members_and_bgzf_are_read_in_place() {
    let content = content(1_200_000);
    check(&gzip_member(&content, 0, b""), Archive::Gzip, &content);
    check(&bgzf(&content), Archive::Gzip, &content);
    let (one, two) = content.split_at(333_333);
    let file = [
        gzip_member(one, 8 | 16, b"vmcore\0a comment\0"),
        gzip_member(two, 4 | 2, b"\x04\0XY\0\0\xaa\xbb"),
        vec![0; 1024],
    ]
    .concat();
    check(&file, Archive::Gzip, &content);
}

#[test]
fn a_flattened_stream_may_be_packed() {
    let mut stream = b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01".to_vec();
    stream.resize(4096, 0);
    stream.extend(10u64.to_be_bytes());
    stream.extend(3u64.to_be_bytes());
    stream.extend(b"abc");
    stream.extend([0xff; 16]);
    let set = open(&lz4_frame(&stream, 0x60, &[])).unwrap();
    assert_eq!(set.flattened(), Flattened::All);
    assert_eq!(set.archive(0), Some(Archive::Lz4));
    let mut buf = [1; 14];
    set.read(0, 0, &mut buf).unwrap();
    assert_eq!(&buf, b"\0\0\0\0\0\0\0\0\0\0abc\0");
}

#[test]
fn units_unpacked_before_are_counted_as_hits() {
    let content = content(200_000);
    let policy = Shared::new(MmapPolicy::new(MmapPolicy::NEVER));
    let source: Source = Shared::new(lz4_frame(&content, 0x60, &[]));
    let set = FileSet::open(vec![source], Vec::new(), policy.clone()).unwrap();
    set.read(0, 0, &mut [0; 10]).unwrap();
    let (hits, misses) = (policy.read_hits.get(), policy.read_misses.get());
    set.read(0, 65_000, &mut [0; 10]).unwrap();
    assert_eq!((policy.read_hits.get(), policy.read_misses.get()), (hits + 1, misses));
}

#[cfg(feature = "std-threads")]
#[test]
fn threads_read_the_same_archive_at_the_same_time() {
    let content = content(1_000_000);
    let set = open(&lz4_frame(&content, 0x60, &[])).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (set, content) = (&set, &content);
            scope.spawn(move || {
                for step in 0..200 {
                    let pos = (step * 7919 * (thread + 1)) % 990_000;
                    let mut buf = [0; 4096];
                    set.read(0, pos as u64, &mut buf).unwrap();
                    assert!(buf == content[pos..pos + 4096]);
                }
            });
        }
    });
}

// --- Refusals --------------------------------------------------------------

#[test]
fn what_cannot_be_read_in_place_names_the_command_that_unpacks_it() {
    let unsupported = |why: &str| (Status::NotImplemented, format!("Cannot unpack file #0: {why}"));
    // 64 MiB of linked blocks, and one byte more.
    let block = lz4_frame(&[0; 65536], 0x40, &[]);
    let (head, block) = (&block[..7], &block[7..block.len() - 4]);
    let fits = [head, &block.repeat(1024), &[0; 4]].concat();
    assert!(open(&fits).is_ok());
    let too_large = [head, &block.repeat(1024), b"\x01\0\0\x80!", &[0; 4]].concat();
    let expected = "The blocks of the LZ4 frame depend on each other; unpack it first: lz4 -d FILE";
    assert_eq!(refused(&too_large), unsupported(expected));
    let expected = "LZ4 frame needs a dictionary; unpack it first: lz4 -d FILE";
    let mut dictionary = vec![0x04, 0x22, 0x4d, 0x18, 0x61, 0x40, 1, 2, 3, 4];
    dictionary.push(header_check(&dictionary[4..]));
    assert_eq!(refused(&dictionary), unsupported(expected));
    let expected = "A zstd frame needs a dictionary; unpack it first: zstd -d FILE";
    assert_eq!(refused(b"\x28\xb5\x2f\xfd\x01\x38\x07\x01\0\0"), unsupported(expected));

    let nested = gzip_member(&lz4_frame(b"abc", 0x60, &[]), 0, b"");
    let expected = "There is another archive inside (lz4); unpack it first: gunzip FILE";
    assert_eq!(refused(&nested), unsupported(expected));
}

#[test]
fn frames_and_members_that_promise_too_much_are_read_as_far_as_they_go() {
    // A frame header that promises 100 GiB, and one without a size whose
    // 600 blocks have 75 MiB.
    let mut huge = vec![0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x88];
    huge.extend((100u64 << 30).to_le_bytes());
    huge.extend([0; 100]);
    assert_eq!(refused(&huge).0, Status::Corrupt);
    let mut huge = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0x88];
    for number in 0..600 {
        huge.extend(&((128u32 << 10) << 3 | 1 << 1 | u32::from(number == 599)).to_le_bytes()[..3]);
        huge.push(number as u8);
    }
    let set = open(&huge).unwrap();
    let mut byte = [0];
    for number in [599, 1, 300] {
        set.read(0, number << 17, &mut byte).unwrap();
        assert_eq!(byte[0], number as u8);
    }
    set.read(0, 600 << 17, &mut byte).unwrap();
    assert_eq!((byte[0], set.len(0)), (0, Some(600 << 17)));

    // Longer than any unit.
    let set = open(&gzip_stored(&vec![7; UNIT_MAX as usize + 1])).unwrap();
    set.read(0, UNIT_MAX.into(), &mut byte).unwrap();
    assert_eq!(byte, [7]);
    set.read(0, u64::from(UNIT_MAX) + 1, &mut byte).unwrap();
    assert_eq!((byte[0], set.len(0)), (0, Some(u64::from(UNIT_MAX) + 1)));
}

#[test]
fn bytes_in_front_of_the_damage_stay_readable() {
    let content = content(1_000_000);
    let archives = [
        lz4_frame(&content, 0x60, &[]),
        content.chunks(100_000).flat_map(zstd_frame).collect(),
        bgzf(&content),
        content.chunks(100_000).flat_map(|piece| gzip_member(piece, 0, b"")).collect(),
    ];
    for archive in archives {
        let set = open(&archive[..archive.len() * 2 / 3]).unwrap();
        assert!(set.read_vec(0, 0, 300_000, 1 << 20).unwrap() == content[..300_000]);
        let error = set.read(0, 990_000, &mut [0; 10]).unwrap_err();
        assert_eq!(error.status(), Status::Corrupt);
        // It stays an error, and the rest stays readable.
        assert_eq!(set.read(0, 990_000, &mut [0; 10]).unwrap_err(), error);
        let mut buf = [0; 10];
        set.read(0, 200_000, &mut buf).unwrap();
        assert_eq!(buf, content[200_000..200_010]);
    }
}

#[test]
fn damaged_archives_never_panic_and_never_read_wrong_where_checked() {
    let content = content(60_000);
    let archives = [
        lz4_frame(&content, 0x60, &[]),
        lz4_frame(&content, 0x68, &[20_000]),
        lz4_frame(&content, 0x40, &[]),
        zstd_frame(&content),
        seekable(&content, 10_000),
        bgzf(&content),
        gzip_member(&content, 8, b"name\0"),
    ];
    let mut state = 88172645463325252u64;
    for (kind, archive) in archives.iter().enumerate() {
        for round in 0..150 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let mut bytes = archive.clone();
            // Half of the damage goes into the headers at either end.
            let at = match round % 4 {
                0 => state as usize % 40,
                1 => bytes.len() - 1 - state as usize % 40,
                _ => state as usize % bytes.len(),
            };
            bytes[at] ^= 1 << (state >> 40 & 7);
            let Ok(set) = open(&bytes) else { continue };
            let mut whole = vec![0; content.len() + 10];
            let read = set.read(0, 0, &mut whole);
            // gzip has a checksum on every byte that is unpacked.
            if kind >= 5 && read.is_ok() && set.archive(0).is_some() && set.len(0) == Some(60_000) {
                assert!(whole[..60_000] == content, "kind {kind}, byte {at}");
            }
        }
    }
}

// --- Real programs and real dumps -------------------------------------------

#[test]
fn what_the_usual_programs_write_is_read() {
    let content = content(4_500_000);
    for (program, arguments, kind) in [
        ("lz4", &["-c"][..], Archive::Lz4),
        ("lz4", &["-c", "-B4", "-BX", "--content-size"], Archive::Lz4),
        ("lz4", &["-c", "-B4", "-BD", "-BX"], Archive::Lz4),
        ("lz4", &["-c", "-9", "-BD"], Archive::Lz4),
        ("lz4", &["-c", "-l"], Archive::Lz4),
        ("zstd", &["-c", "-q"], Archive::Zstd),
        ("zstd", &["-c", "-q", "--no-content-size"], Archive::Zstd),
        ("pzstd", &["-c", "-q", "-p", "2"], Archive::Zstd),
        ("gzip", &["-c"], Archive::Gzip),
    ] {
        match packed_by(program, arguments, &content) {
            Some(archive) => check(&archive, kind, &content),
            None => println!("skipped: {program} is not installed"),
        }
    }
}

#[cfg(feature = "std")]
#[test]
fn packed_dumps_of_58_mib_and_of_224_mib_are_read() {
    let dumps = std::env::var_os("KDUMPFILE_DUMPS").unwrap_or_else(|| "../shared/dumps".into());
    let file = |name| kdumpfile::io::FileSource::open(std::path::Path::new(&dumps).join(name));
    let (Ok(small), Ok(large)) = (file("x86_64-6.1.elf-d31.zst"), file("kdump-x86_64.vmcore.zst")) else {
        println!("skipped: no dumps");
        return;
    };
    let set = open_source(Shared::new(small)).unwrap();
    let mut head = [0; 4];
    set.read(0, 0, &mut head).unwrap();
    assert_eq!(&head, b"\x7fELF");
    set.read(0, 60_732_992, &mut head).unwrap();
    assert_eq!(head, [0; 4]);
    assert_eq!(set.len(0), Some(60_732_992));
    // One frame: what is in front of the wanted bytes is unpacked first.
    let set = open_source(Shared::new(large)).unwrap();
    set.read(0, 0, &mut head).unwrap();
    assert_eq!(&head, b"\x7fELF");
    set.read(0, 200 << 20, &mut head).unwrap();
    assert_eq!(set.len(0), None);
}
