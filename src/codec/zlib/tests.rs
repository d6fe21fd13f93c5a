//! Tests of the zlib decoder.

use super::*;
use crate::codec::{Codec, testing};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

fn compress_at(level: u8) -> impl Fn(&[u8]) -> Vec<u8> {
    move |page| miniz_oxide::deflate::compress_to_vec_zlib(page, level)
}

/// The message about `stream` as a page of 4096 bytes, without its prefix.
fn fault(stream: &[u8]) -> String {
    let message = testing::fault(Codec::Zlib, stream, 4096);
    message.strip_prefix("Decompresion failed: ").expect("the prefix of the C library").into()
}

fn run(stream: &[u8], room: usize) -> Result<Vec<u8>, String> {
    let mut dst = vec![0; room];
    let len = decompress(&mut State::default(), stream, &mut dst).map_err(|error| error.message())?;
    dst.truncate(len);
    Ok(dst)
}

/// Builds deflate data bit by bit, behind a zlib header.
struct Writer {
    bytes: Vec<u8>,
    free: u32,
}

impl Writer {
    fn new() -> Self {
        Writer { bytes: vec![0x78, 0x9c], free: 0 }
    }

    /// Appends a field, lowest bit first.
    fn field(mut self, value: u32, count: u32) -> Self {
        for i in 0..count {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            *self.bytes.last_mut().unwrap() |= ((value >> i & 1) as u8) << (8 - self.free);
            self.free -= 1;
        }
        self
    }

    /// Appends a Huffman code, highest bit first.
    fn code(self, code: u32, len: u32) -> Self {
        self.field(code.reverse_bits() >> (32 - len), len)
    }

    /// The header of a last block of this type.
    fn last(self, kind: u32) -> Self {
        self.field(1, 1).field(kind, 2)
    }

    /// A last dynamic block with these lengths, sent with four bits each.
    fn dynamic(self, litlens: &[u8], distances: &[u8]) -> Self {
        let mut writer = self.last(2).field(litlens.len() as u32 - 257, 5);
        writer = writer.field(distances.len() as u32 - 1, 5).field(19 - 4, 4);
        for symbol in PRECODE_ORDER {
            writer = writer.field(if symbol < 16 { 4 } else { 0 }, 3);
        }
        for &len in litlens.iter().chain(distances) {
            writer = writer.code(u32::from(len), 4);
        }
        writer
    }

    fn checksum_of(mut self, data: &[u8]) -> Vec<u8> {
        self.bytes.extend(adler::adler32(data).to_be_bytes());
        self.bytes
    }

    /// The bytes so far and some more, so that the input is not what ends.
    fn padded(mut self) -> Vec<u8> {
        self.bytes.extend([0; 16]);
        self.bytes
    }
}

/// Lengths of 257 symbols of which only the named ones are used.
fn litlens(used: &[(usize, u8)]) -> [u8; 257] {
    let mut lens = [0; 257];
    for &(symbol, len) in used {
        lens[symbol] = len;
    }
    lens
}

#[test]
fn compressed_pages_come_back_at_levels_0_1_and_9() {
    for level in [0, 1, 9] {
        testing::check_round_trips(Codec::Zlib, compress_at(level));
    }
}

#[test]
fn every_strict_prefix_is_an_error_minus_3() {
    for level in [0, 1, 6] {
        testing::check_prefixes(Codec::Zlib, compress_at(level));
        let stream = compress_at(level)(&testing::pages(4096)[6]);
        for len in 0..stream.len() {
            assert_eq!(fault(&stream[..len]), "error -3", "{len} bytes at level {level}");
        }
    }
}

#[test]
fn page_too_small_is_error_minus_5() {
    for level in [0, 1, 6] {
        testing::check_small_pages(Codec::Zlib, compress_at(level));
        for page in testing::pages(4096) {
            let message = testing::fault(Codec::Zlib, &compress_at(level)(&page), 4095);
            assert_eq!(message, "Decompresion failed: error -5");
        }
    }
}

#[test]
fn output_and_input_that_end_together_are_error_minus_3() {
    // A stored block that says 5 bytes and has 4.
    let stream = [0x78, 0x9c, 1, 5, 0, 0xfa, 0xff, 1, 2, 3, 4];
    assert_eq!(run(&stream, 4).unwrap_err(), "Decompresion failed: error -3");
    assert_eq!(run(&stream, 3).unwrap_err(), "Decompresion failed: error -5");
    assert_eq!(run(&stream, 5).unwrap_err(), "Decompresion failed: error -3");
}

#[test]
fn damage_never_panics_or_writes_outside() {
    for level in [0, 1, 9] {
        testing::check_damage(Codec::Zlib, compress_at(level));
    }
}

#[test]
fn stream_shorter_than_the_page_tells_its_length() {
    let stream = compress_at(6)(&[7; 4095]);
    assert_eq!(testing::fault(Codec::Zlib, &stream, 4096), "Wrong uncompressed size: 4095");
    let stream = compress_at(6)(&[]);
    assert_eq!(testing::fault(Codec::Zlib, &stream, 4096), "Wrong uncompressed size: 0");
}

#[test]
fn bytes_behind_the_stream_are_ignored() {
    let page = &testing::pages(4096)[6];
    let mut stream = compress_at(6)(page);
    stream.extend([1; 50]);
    assert_eq!(run(&stream, 4096).unwrap(), *page);
}

#[test]
fn header_faults_have_the_texts_of_zlib() {
    let page = &testing::pages(4096)[6];
    let stream = compress_at(6)(page);
    let with_cmf = |cmf: u8| {
        let mut stream = stream.clone();
        stream[0] = cmf;
        stream[1] = (31 - (u16::from(cmf) << 8) % 31) as u8 % 31;
        stream
    };
    assert_eq!(run(&with_cmf(0x08), 4096).unwrap(), *page);
    assert_eq!(fault(&with_cmf(0x79)), "unknown compression method");
    assert_eq!(fault(&with_cmf(0x88)), "invalid window size");
    let mut wrong = stream.clone();
    wrong[1] ^= 1;
    assert_eq!(fault(&wrong), "incorrect header check");
    assert_eq!(fault(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), "incorrect header check");
    assert_eq!(fault(&stream[2..]), "incorrect header check");
    assert_eq!(fault(&[]), "error -3");
    assert_eq!(fault(&stream[..1]), "error -3");
    // A preset dictionary.
    assert_eq!(fault(&[0x78, 0x20, 0, 0, 0, 1, 3, 0, 0, 0, 0, 1]), "error -3");
}

#[test]
fn wrong_checksum_is_an_incorrect_data_check() {
    for at in 1..=4 {
        let mut stream = compress_at(6)(&testing::pages(4096)[6]);
        let last = stream.len() - at;
        stream[last] ^= 0x10;
        assert_eq!(fault(&stream), "incorrect data check");
    }
}

#[test]
fn block_header_faults_have_the_texts_of_zlib() {
    assert_eq!(fault(&Writer::new().last(3).padded()), "invalid block type");
    let lengths = [0x78, 0x9c, 1, 5, 0, 0xfb, 0xff, 1, 2, 3, 4, 5];
    assert_eq!(fault(&lengths), "invalid stored block lengths");
    let many = "too many length or distance symbols";
    assert_eq!(fault(&Writer::new().last(2).field(30, 5).field(0, 9).padded()), many);
    assert_eq!(fault(&Writer::new().last(2).field(29, 5).field(30, 5).field(0, 4).padded()), many);
}

#[test]
fn faults_of_code_lengths_have_the_texts_of_zlib() {
    // Four precode lengths, for 16, 17, 18 and 0.
    let precode = |lens: [u32; 4]| {
        lens.into_iter().fold(Writer::new().last(2).field(0, 14), |writer, len| writer.field(len, 3))
    };
    let set = "invalid code lengths set";
    assert_eq!(fault(&precode([1, 1, 1, 0]).padded()), set);
    assert_eq!(fault(&precode([2, 2, 2, 0]).padded()), set);
    assert_eq!(fault(&precode([0, 0, 0, 1]).padded()), set);
    // Nothing to repeat, and 138 + 138 zeros for 258 symbols.
    let repeat = "invalid bit length repeat";
    assert_eq!(fault(&precode([1, 0, 0, 1]).code(1, 1).padded()), repeat);
    let zeros = precode([0, 0, 1, 1]).code(1, 1).field(127, 7).code(1, 1).field(127, 7);
    assert_eq!(fault(&zeros.padded()), repeat);
    // Exactly 258 zeros, or a precode without symbols, which means zeros too.
    let missing = "invalid code -- missing end-of-block";
    let zeros = precode([0, 0, 1, 1]).code(1, 1).field(127, 7).code(1, 1).field(109, 7);
    assert_eq!(fault(&zeros.padded()), missing);
    let mut nothing = precode([0; 4]).padded();
    nothing.extend([0; 64]);
    assert_eq!(fault(&nothing), missing);
    assert_eq!(fault(&nothing[..20]), "error -3");
}

#[test]
fn codes_with_too_many_or_too_few_symbols_have_the_texts_of_zlib() {
    let set = "invalid literal/lengths set";
    let excess = litlens(&[(0, 1), (1, 1), (256, 1)]);
    assert_eq!(fault(&Writer::new().dynamic(&excess, &[1, 1]).padded()), set);
    let short = litlens(&[(0, 2), (1, 2), (256, 2)]);
    assert_eq!(fault(&Writer::new().dynamic(&short, &[1, 1]).padded()), set);
    // A lone symbol needs a code of one bit.
    assert_eq!(fault(&Writer::new().dynamic(&litlens(&[(256, 2)]), &[0]).padded()), set);
    let full = litlens(&[(0, 1), (256, 1)]);
    let set = "invalid distances set";
    assert_eq!(fault(&Writer::new().dynamic(&full, &[1, 1, 1]).padded()), set);
    assert_eq!(fault(&Writer::new().dynamic(&full, &[2, 2]).padded()), set);
    assert_eq!(fault(&Writer::new().dynamic(&full, &[2]).padded()), set);
}

#[test]
fn lone_and_missing_codes_work_until_an_unused_one_comes() {
    // Only the end of the block.
    let lone = Writer::new().dynamic(&litlens(&[(256, 1)]), &[0]);
    assert_eq!(run(&lone.code(0, 1).checksum_of(&[]), 16).unwrap(), [0u8; 0]);
    let lone = Writer::new().dynamic(&litlens(&[(256, 1)]), &[0]);
    assert_eq!(fault(&lone.code(1, 1).padded()), "invalid literal/length code");

    // A literal, a length of 3 (symbol 257) and the end: codes 0, 11 and 10.
    let mut lens = [0_u8; 258];
    (lens[65], lens[256], lens[257]) = (1, 2, 2);
    let start = |distances: &[u8]| Writer::new().dynamic(&lens, distances).code(0, 1).code(3, 2);
    // The only distance is 1.
    let stream = start(&[1]).code(0, 1).code(2, 2).checksum_of(b"AAAA");
    assert_eq!(run(&stream, 16).unwrap(), b"AAAA");
    assert_eq!(fault(&start(&[1]).code(1, 1).padded()), "invalid distance code");
    assert_eq!(fault(&start(&[0]).code(0, 1).padded()), "invalid distance code");
}

#[test]
fn faults_of_symbols_have_the_texts_of_zlib() {
    let literal = |writer: Writer| writer.code(0x30 + 65, 8);
    let fixed = || literal(Writer::new().last(1));
    // 286 and 287 are the last two codes of 8 bits, 30 and 31 of 5 bits.
    for code in [0b1100_0110, 0b1100_0111] {
        assert_eq!(fault(&fixed().code(code, 8).padded()), "invalid literal/length code");
    }
    for code in [30, 31] {
        assert_eq!(fault(&fixed().code(1, 7).code(code, 5).padded()), "invalid distance code");
    }
    assert_eq!(fault(&fixed().code(1, 7).code(1, 5).padded()), "invalid distance too far back");
    let stream = fixed().code(1, 7).code(0, 5).code(0, 7).checksum_of(b"AAAA");
    assert_eq!(run(&stream, 4096).unwrap(), b"AAAA");
    assert_eq!(run(&stream, 4).unwrap(), b"AAAA");
}

#[test]
fn blocks_of_all_types_follow_each_other() {
    // "A" fixed, "BC" stored, nothing stored, "D" dynamic.
    let writer = Writer::new().field(0, 1).field(1, 2).code(0x30 + 65, 8).code(0, 7);
    let mut writer = writer.field(0, 3);
    writer.free = 0;
    writer.bytes.extend([2, 0, 0xfd, 0xff, b'B', b'C', 0, 0, 0, 0xff, 0xff]);
    let stream = writer.dynamic(&litlens(&[(68, 1), (256, 1)]), &[0]).code(0, 1).code(1, 1);
    assert_eq!(run(&stream.checksum_of(b"ABCD"), 4).unwrap(), b"ABCD");
}

#[test]
fn codes_of_fifteen_bits_go_through_subtables() {
    // Lengths 1, 2, ... 14, 15, 15 for literals and distances alike.
    let mut lens = [0_u8; 286];
    for (i, len) in (1..=14).enumerate() {
        lens[i] = len;
    }
    (lens[256], lens[285]) = (15, 15);
    let mut distances = [0_u8; 16];
    for (i, len) in (1..=15).chain([15]).enumerate() {
        distances[i] = len;
    }
    let mut want = Vec::new();
    for room in [0, 600] {
        // Literal i is i ones and a zero; 258 bytes are fifteen ones.
        let mut writer = Writer::new().dynamic(&lens, &distances);
        want.clear();
        for round in 0..40 {
            for literal in 0..14 {
                writer = writer.code((1 << (literal + 1)) - 2, literal + 1);
                want.push(literal as u8);
            }
            // Distance symbols 14 and 15 have six extra bits above 129 and 193.
            if round >= 20 {
                let far = round % 2;
                writer = writer.code(0x7fff, 15).code(0x7ffe + far, 15).field(round, 6);
                let start = want.len() - 129 - 64 * far as usize - round as usize;
                for i in start..start + 258 {
                    want.push(want[i]);
                }
            }
        }
        let stream = writer.code(0x7ffe, 15).checksum_of(&want);
        assert_eq!(run(&stream, want.len() + room).unwrap(), want);
    }
}
