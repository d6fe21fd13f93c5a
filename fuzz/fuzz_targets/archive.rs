//! Archives: reads in any order see one and the same file.

use std::io::Write;

use kdumpfile::io::{Archive, ArchiveView, FileSet, MmapPolicy, ReadAt, Source, read_full};
use kdumpfile::sync::Shared;
use kdumpfile_testkit::compress;
use kdumpfile_testkit::image::RamImage;

use crate::input::Input;
use crate::seeds::Seeds;
use crate::source::Shy;

/// How much of the unpacked file is compared.
const COMPARED: usize = 1 << 20;

/// What the kinds of archives are numbered by: bits 0, 1, 4 and 5 of an input's
/// first byte. Any other number has the kind detected.
const KINDS: [Option<Archive>; 10] = [
    Some(Archive::Lz4),
    Some(Archive::Zstd),
    Some(Archive::Gzip),
    None,
    Some(Archive::Xz),
    Some(Archive::Bzip2),
    Some(Archive::Lzop),
    Some(Archive::Snappy),
    Some(Archive::Zlib),
    Some(Archive::Lzma),
];

/// Byte 0: the kind of archive (or any, to be detected), and how it is stored.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = input.byte();
    let number = options & 3 | options >> 2 & 12;
    let Some(kind) = KINDS.get(usize::from(number)).copied().flatten() else {
        let set = FileSet::open(vec![source(input.0, options)], Vec::new(), policy());
        if let Ok(set) = set {
            let mut buf = [0; 100];
            for at in [0, 50, 5000, 1 << 20, u64::MAX - 50] {
                let _ = set.read(0, at, &mut buf);
            }
            let _ = set.read_vec(0, 10, 1000, 2000);
        }
        return;
    };
    let Ok(view) = ArchiveView::open(source(input.0, options), kind, policy()) else { return };
    // Forwards, until the end or the first damage.
    let mut bytes = vec![0; COMPARED];
    let mut have = 0;
    let mut ended = false;
    while have < COMPARED {
        let end = (have + 1000).min(COMPARED);
        match view.read_at(have as u64, &mut bytes[have..end]) {
            Ok(0) => {
                ended = true;
                break;
            }
            Ok(n) => have += n,
            Err(error) => {
                assert!(!error.message().is_empty());
                break;
            }
        }
    }
    bytes.truncate(have);
    if ended {
        assert_eq!(view.len(), Some(have as u64));
    }
    // Another view, from the other end, from a source of another kind. Damage at
    // the end of a source of unknown length is noticed later, so that stays.
    let other = if options & 12 == 4 { options } else { (options | 8) ^ 4 };
    let again = ArchiveView::open(source(input.0, other), kind, policy());
    let again = again.expect("what opened once opens again");
    let mut buf = [0; 333];
    for step in 0..12 {
        let at = have - have * step / 12;
        for view in [&view, &again] {
            if let Ok(n) = read_full(view, at as u64, &mut buf) {
                let common = n.min(have - at);
                assert!(buf[..common] == bytes[at..at + common], "the bytes at {at} differ");
                assert!(!ended || n == common, "bytes behind the end");
            }
        }
    }
}

fn policy() -> Shared<MmapPolicy> {
    Shared::new(MmapPolicy::default())
}

fn source(bytes: &[u8], options: u8) -> Source {
    let bytes = bytes.to_vec();
    if options & 4 != 0 { Shared::new(Shy { bytes, sized: options & 8 != 0 }) } else { Shared::new(bytes) }
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    use lz4_flex::frame::BlockMode;
    let ram = RamImage::new(3, 1024);
    let data: Vec<u8> = (0..12).flat_map(|pfn| ram.page_bytes(pfn)).collect();
    let plain = lz4(&data, |_| {});
    seeds.add("lz4", &[&[0], &plain]);
    let checked = lz4(&data, |info| {
        info.block_checksums = true;
        info.content_checksum = true;
        info.content_size = Some(12 * 1024);
    });
    seeds.add("lz4-checked", &[&[4], &checked]);
    let linked = lz4(&data, |info| info.block_mode = BlockMode::Linked);
    seeds.add("lz4-linked", &[&[8], &linked]);
    seeds.add("lz4-twice", &[&[3], &plain, &plain]);
    let block = lz4_flex::block::compress(&data);
    let legacy = [&[0x02, 0x21, 0x4c, 0x18][..], &(block.len() as u32).to_le_bytes(), &block].concat();
    seeds.add("lz4-legacy", &[&[0], &legacy]);
    let (front, back) = data.split_at(5000);
    let frames = [compress::zstd_with_checksum(front, true), compress::zstd_with_checksum(back, false)];
    seeds.add("zstd", &[&[1], &frames.concat()]);
    seeds.add("zstd-seekable", &[&[5], &frames.concat(), &seek_table(&frames, &[front, back])]);
    seeds.add("zstd-skipped", &[&[3], b"\x50\x2a\x4d\x18\x03\0\0\0abc", &frames.concat()]);
    let members = [compress::gzip(front), compress::gzip(back)].concat();
    seeds.add("gzip", &[&[2], &members]);
    seeds.add("bgzf", &[&[6], &bgzf(front), &bgzf(back), &bgzf(&[])]);
    seeds.add("xz", &[&[0x10], XZ]);
    seeds.add("xz-blocks", &[&[0x1c], XZ_BLOCKS]);
    seeds.add("xz-cut", &[&[0x14], &XZ_BLOCKS[..XZ_BLOCKS.len() - 20]]);
    seeds.add("xz-twice", &[&[3], XZ_BLOCKS, &[0; 8], XZ]);
    seeds.add("lzma", &[&[0x21], LZMA]);
    seeds.add("bzip2", &[&[0x11], BZIP2]);
    seeds.add("bzip2-twice", &[&[0x15], BZIP2, BZIP2]);
    let text = PACKED.repeat(300);
    seeds.add("lzop", &[&[0x12], &lzop(&[text.as_bytes(), b"short", front])]);
    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(&data).expect("memory can be written");
    let snappy = snappy.into_inner().expect("memory can be written");
    seeds.add("snappy", &[&[0x13], &snappy, b"\xfe\x02\0\0ab"]);
    seeds.add("zlib", &[&[0x20], &compress::zlib(&data, 6)]);
    // More than a segment, so that there is a checkpoint.
    let long = text.repeat(400);
    seeds.add("gzip-long", &[&[6], &compress::gzip(long.as_bytes())]);
    seeds.add("zlib-long", &[&[0x24], &compress::zlib(long.as_bytes(), 9)]);
}

/// An LZ4 frame from the reference design of its format, by `lz4_flex`.
fn lz4(data: &[u8], change: impl FnOnce(&mut lz4_flex::frame::FrameInfo)) -> Vec<u8> {
    let mut info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max64KB);
    change(&mut info);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

/// What is packed below, 300 times.
const PACKED: &str = "kdumpfile reads dumps. ";

/// [`PACKED`] by `xz -0`: one block with a CRC64.
#[rustfmt::skip]
const XZ: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21, 0x01, 0x0c,
    0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xe0, 0x1a, 0xf3, 0x00, 0x3b, 0x5d, 0x00, 0x35, 0x99, 0x0b,
    0x11, 0x8c, 0xca, 0xb3, 0x33, 0x36, 0xd5, 0xeb, 0x34, 0x83, 0x07, 0x7c, 0x5d, 0x89, 0x67, 0xf0, 0x12,
    0xf0, 0x00, 0xb9, 0xbd, 0x07, 0x97, 0x79, 0xc7, 0xfb, 0xc8, 0x73, 0x2b, 0x8a, 0x19, 0x1c, 0xe4, 0x9f,
    0x63, 0x9f, 0x55, 0x96, 0x94, 0xbe, 0x02, 0xc4, 0x2b, 0x9d, 0x2e, 0xe1, 0x09, 0x5e, 0x7d, 0x01, 0x2a,
    0x7f, 0x89, 0xb2, 0x00, 0x00, 0x00, 0x00, 0x80, 0x84, 0x3c, 0xb1, 0x84, 0x75, 0xa7, 0x08, 0x00, 0x01,
    0x57, 0xf4, 0x35, 0x00, 0x00, 0x00, 0x9c, 0x12, 0x9f, 0xa8, 0xb1, 0xc4, 0x67, 0xfb, 0x02, 0x00, 0x00,
    0x00, 0x00, 0x04, 0x59, 0x5a,
];

/// [`PACKED`] by `xz -0 -C crc32 --block-size=4000`: two blocks.
#[rustfmt::skip]
const XZ_BLOCKS: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x0c,
    0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xe0, 0x0f, 0x9f, 0x00, 0x30, 0x5d, 0x00, 0x35, 0x99, 0x0b,
    0x11, 0x8c, 0xca, 0xb3, 0x33, 0x36, 0xd5, 0xeb, 0x34, 0x83, 0x07, 0x7c, 0x5d, 0x89, 0x67, 0xf0, 0x12,
    0xf0, 0x00, 0xb9, 0xbd, 0x07, 0x97, 0x79, 0xc7, 0xfb, 0xc8, 0x73, 0x2b, 0x8a, 0x19, 0x1c, 0xe4, 0x9f,
    0x63, 0x9f, 0x55, 0x96, 0x94, 0xbd, 0xfe, 0x21, 0x54, 0xe4, 0x00, 0x00, 0x85, 0x47, 0x75, 0x9d, 0x02,
    0x00, 0x21, 0x01, 0x0c, 0x00, 0x00, 0x00, 0x8f, 0x98, 0x41, 0x9c, 0xe0, 0x0b, 0x53, 0x00, 0x2b, 0x5d,
    0x00, 0x17, 0x08, 0x09, 0xe6, 0xea, 0x51, 0x9b, 0x8b, 0xf2, 0x53, 0xa4, 0xc2, 0xe5, 0x8c, 0xaf, 0x68,
    0xd6, 0x0f, 0x8e, 0xaa, 0x8e, 0x02, 0x39, 0x18, 0xd1, 0x02, 0x32, 0xd4, 0xc3, 0xe5, 0xb7, 0xbf, 0x23,
    0x73, 0xa7, 0xcd, 0x04, 0x45, 0xef, 0x70, 0x92, 0x25, 0x00, 0x00, 0x00, 0xc6, 0xc2, 0x42, 0xf0, 0x00,
    0x02, 0x48, 0xa0, 0x1f, 0x43, 0xd4, 0x16, 0xcd, 0x18, 0xb7, 0x0a, 0x3e, 0x30, 0x0d, 0x8b, 0x02, 0x00,
    0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
];

/// [`PACKED`] by `xz -0 --format=lzma`.
#[rustfmt::skip]
const LZMA: &[u8] = &[
    0x5d, 0x00, 0x00, 0x04, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x35, 0x99, 0x0b,
    0x11, 0x8c, 0xca, 0xb3, 0x33, 0x36, 0xd5, 0xeb, 0x34, 0x83, 0x07, 0x7c, 0x5d, 0x89, 0x67, 0xf0, 0x12,
    0xf0, 0x00, 0xb9, 0xbd, 0x07, 0x97, 0x79, 0xc7, 0xfb, 0xc8, 0x73, 0x2b, 0x8a, 0x19, 0x1c, 0xe4, 0x9f,
    0x63, 0x9f, 0x55, 0x96, 0x94, 0xbe, 0x02, 0xc4, 0x2b, 0x9d, 0x2e, 0xe1, 0x09, 0x5e, 0x7d, 0x01, 0x2a,
    0x7f, 0xd0, 0x61, 0x5e, 0xff, 0xff, 0xe8, 0xcc, 0x00, 0x00,
];

/// [`PACKED`] by `bzip2`: one block.
#[rustfmt::skip]
const BZIP2: &[u8] = &[
    0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0xe1, 0x34, 0xa3, 0xa5, 0x00, 0x07, 0x9d,
    0x91, 0x80, 0x40, 0x01, 0x27, 0x2e, 0x5a, 0x00, 0x20, 0x00, 0x90, 0x20, 0x00, 0x00, 0x52, 0xa8, 0x00,
    0x64, 0xc1, 0x48, 0xd4, 0xa4, 0x70, 0x52, 0x35, 0x29, 0x1a, 0x14, 0x8d, 0xca, 0x47, 0x65, 0x23, 0x82,
    0x91, 0xe1, 0x48, 0xc1, 0x48, 0xc1, 0x48, 0xf4, 0xa4, 0x6e, 0x52, 0x3e, 0x29, 0x19, 0x14, 0x8c, 0x8a,
    0x46, 0xc5, 0x23, 0x25, 0x23, 0x92, 0x91, 0xa0, 0xa4, 0x7e, 0x2e, 0xe4, 0x8a, 0x70, 0xa1, 0x21, 0xc2,
    0x69, 0x47, 0x4a,
];

/// An lzop file with Adler-32 checksums, a block for each of `blocks`.
fn lzop(blocks: &[&[u8]]) -> Vec<u8> {
    fn adler32(bytes: &[u8]) -> u32 {
        let (a, b) = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        b << 16 | a
    }
    let mut header = vec![0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 5];
    header.extend([0, 0, 0, 1]);
    header.extend([0; 12]);
    header.push(0);
    let mut file = b"\x89LZO\0\r\n\x1a\n".to_vec();
    file.extend(&header);
    file.extend(adler32(&header).to_be_bytes());
    for &block in blocks {
        let packed = compress::lzo(block);
        let data = if packed.len() < block.len() { &packed[..] } else { block };
        for word in [block.len() as u32, data.len() as u32, adler32(block)] {
            file.extend(word.to_be_bytes());
        }
        file.extend(data);
    }
    file.extend([0; 4]);
    file
}

/// The skippable frame at the end of a seekable zstd file.
fn seek_table(frames: &[Vec<u8>], contents: &[&[u8]]) -> Vec<u8> {
    let mut table = vec![0x5e, 0x2a, 0x4d, 0x18];
    table.extend((frames.len() as u32 * 8 + 9).to_le_bytes());
    for (frame, &content) in frames.iter().zip(contents) {
        table.extend((frame.len() as u32).to_le_bytes());
        table.extend((content.len() as u32).to_le_bytes());
    }
    table.extend((frames.len() as u32).to_le_bytes());
    table.extend([0, 0xb1, 0xea, 0x92, 0x8f]);
    table
}

/// A gzip member that tells its own size.
fn bgzf(data: &[u8]) -> Vec<u8> {
    let deflate = compress::deflate(data);
    let mut member = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, b'B', b'C', 2, 0];
    member.extend((deflate.len() as u16 + 25).to_le_bytes());
    member.extend(&deflate);
    member.extend(crc32fast::hash(data).to_le_bytes());
    member.extend((data.len() as u32).to_le_bytes());
    member
}
