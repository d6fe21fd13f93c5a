//! Tests of the Zstandard decoder.

use super::*;
use crate::codec::{Codec, testing};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use kdumpfile_testkit::compress::{zstd_level, zstd_with_checksum};

fn compress(page: &[u8]) -> Vec<u8> {
    zstd_level(page, 3)
}

fn compress_with_checksum(page: &[u8]) -> Vec<u8> {
    zstd_with_checksum(page, true)
}

/// The message about `stream` as a page of `size` bytes, without its prefix.
fn fault(stream: &[u8], size: usize) -> String {
    let message = testing::fault(Codec::Zstd, stream, size);
    message.strip_prefix("Decompression failed: ").expect("the prefix of the C library").into()
}

fn run(stream: &[u8], room: usize) -> Result<Vec<u8>, String> {
    let mut dst = vec![0; room];
    let len = decompress(&mut State::default(), stream, &mut dst).map_err(|error| error.message())?;
    dst.truncate(len);
    Ok(dst)
}

/// The block header for a last block: 0 raw, 1 a run, 2 compressed.
fn last_block(kind: u32, size: u32) -> [u8; 3] {
    let [a, b, c, _] = (size << 3 | kind << 1 | 1).to_le_bytes();
    [a, b, c]
}

/// A frame of `len` times `byte`, of unknown content size, with a window of 1 KiB
/// shifted by `window`.
fn run_frame(byte: u8, len: u32, window: u8) -> Vec<u8> {
    [&MAGIC.to_le_bytes()[..], &[0, window << 3], &last_block(1, len), &[byte]].concat()
}

/// The same with a content size, and no window.
fn sized_run_frame(byte: u8, len: u32, content_size: u32) -> Vec<u8> {
    let size = content_size.to_le_bytes();
    [&MAGIC.to_le_bytes()[..], &[0xa0], &size, &last_block(1, len), &[byte]].concat()
}

fn skippable(len: u32) -> Vec<u8> {
    [&(SKIPPABLE | 5).to_le_bytes()[..], &len.to_le_bytes(), &vec![0x77; len as usize]].concat()
}

#[test]
fn compressed_pages_come_back() {
    testing::check_round_trips(Codec::Zstd, compress);
    testing::check_round_trips(Codec::Zstd, compress_with_checksum);
    testing::check_round_trips(Codec::Zstd, |page| zstd_level(page, 19));
}

#[test]
fn every_strict_prefix_is_an_error() {
    testing::check_prefixes(Codec::Zstd, compress);
    testing::check_prefixes(Codec::Zstd, compress_with_checksum);
    let stream = compress(&testing::pages(4096)[6]);
    for len in 1..stream.len() {
        assert_eq!(fault(&stream[..len], 4096), "Src size is incorrect", "{len}");
    }
}

#[test]
fn page_too_small_is_named() {
    testing::check_small_pages(Codec::Zstd, compress);
    for page in testing::pages(4096) {
        assert_eq!(fault(&compress(&page), 4095), "Destination buffer is too small");
    }
    assert_eq!(fault(&run_frame(7, 4096, 2), 4095), "Destination buffer is too small");
    let two = [run_frame(7, 2048, 2), run_frame(8, 2049, 2)].concat();
    assert_eq!(fault(&two, 4096), "Destination buffer is too small");
}

#[test]
fn damage_never_panics_or_writes_outside() {
    testing::check_damage(Codec::Zstd, compress);
    testing::check_damage(Codec::Zstd, |page| {
        let (head, tail) = page.split_at(2000);
        [compress(head), skippable(9), compress(tail)].concat()
    });
}

#[test]
fn two_frames_of_half_a_page_are_a_page() {
    let stream = [run_frame(1, 2048, 2), sized_run_frame(2, 2048, 2048)].concat();
    assert_eq!(run(&stream, 4096).unwrap(), [[1; 2048], [2; 2048]].concat());
    let page = &testing::pages(4096)[6];
    let stream = [compress(&page[..2048]), compress(&page[2048..])].concat();
    assert_eq!(run(&stream, 4096).unwrap(), *page);
}

#[test]
fn skippable_frames_are_skipped_wherever_they_stand() {
    let frame = sized_run_frame(3, 64, 64);
    for stream in [
        [&skippable(0)[..], &frame].concat(),
        [&skippable(20)[..], &frame, &skippable(1), &skippable(0)].concat(),
    ] {
        assert_eq!(run(&stream, 64).unwrap(), [3; 64]);
    }
    assert_eq!(testing::fault(Codec::Zstd, &skippable(4), 4096), "Wrong uncompressed size: 0");
    let mut cut = skippable(20);
    cut.pop();
    assert_eq!(fault(&cut, 64), "Src size is incorrect");
    assert_eq!(fault(&skippable(u32::MAX >> 12)[..30], 64), "Src size is incorrect");
}

#[test]
fn output_of_another_size_than_the_page_tells_its_length() {
    assert_eq!(testing::fault(Codec::Zstd, &[], 4096), "Wrong uncompressed size: 0");
    assert_eq!(testing::fault(Codec::Zstd, &compress(&[7; 100]), 4096), "Wrong uncompressed size: 100");
    assert_eq!(testing::fault(Codec::Zstd, &run_frame(7, 5, 0), 4096), "Wrong uncompressed size: 5");
}

#[test]
fn bytes_behind_the_last_frame_are_a_wrong_source_size() {
    for junk in [&[0][..], &[1, 2, 3, 4], &[0x55; 40]] {
        let stream = [&run_frame(7, 64, 0)[..], junk].concat();
        assert_eq!(fault(&stream, 64), "Src size is incorrect");
    }
}

#[test]
fn unknown_magic_number_is_an_unknown_frame() {
    assert_eq!(fault(&[0x55; 40], 4096), "Unknown frame descriptor");
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(&[7; 4096], 6);
    assert_eq!(fault(&zlib, 4096), "Unknown frame descriptor");
}

#[test]
fn wrong_checksum_is_named() {
    let mut stream = compress_with_checksum(&testing::pages(4096)[6]);
    assert_eq!(stream[4] & 4, 4, "the frame has a checksum");
    *stream.last_mut().unwrap() ^= 1;
    assert_eq!(fault(&stream, 4096), "Restored data doesn't match checksum");

    // XXH64 of nothing is ef46db3751d8e999.
    let empty = |checksum: u32| {
        [&MAGIC.to_le_bytes()[..], &[0x04, 0], &last_block(0, 0), &checksum.to_le_bytes()].concat()
    };
    assert_eq!(run(&empty(0x51d8_e999), 4).unwrap(), [0u8; 0]);
    assert_eq!(
        run(&empty(0x51d8_e998), 4).unwrap_err(),
        "Decompression failed: Restored data doesn't match checksum"
    );
}

#[test]
fn content_size_that_is_not_met_is_corruption() {
    assert_eq!(fault(&sized_run_frame(7, 4095, 4096), 4096), "Data corruption detected");
    assert_eq!(fault(&sized_run_frame(7, 4096, 4095), 4096), "Data corruption detected");
}

#[test]
fn reserved_bit_and_block_type_and_dictionaries_are_refused() {
    let mut stream = run_frame(7, 64, 0);
    stream[4] |= RESERVED;
    assert_eq!(fault(&stream, 64), "Unsupported frame parameter");
    let mut stream = run_frame(7, 64, 0);
    stream[6] |= 6;
    assert_eq!(fault(&stream, 64), "Data corruption detected");

    let with_id = |id: u8| [&MAGIC.to_le_bytes()[..], &[1, 0, id], &last_block(1, 64), &[7]].concat();
    assert_eq!(fault(&with_id(9), 64), "Dictionary mismatch");
    // An ID of zero is no dictionary.
    assert_eq!(run(&with_id(0), 64).unwrap(), [7; 64]);
}

#[test]
fn large_windows_and_content_sizes_cost_nothing_until_used() {
    // Windows of 1 KiB to 1 GiB for one small page.
    for window in 0..=20 {
        assert_eq!(run(&run_frame(7, 64, window), 64).unwrap(), [7; 64], "{window}");
    }
    assert_eq!(fault(&sized_run_frame(7, 64, 1 << 30), 64), "Destination buffer is too small");
}
