//! Page codecs against other decoders, and against compressors.

use kdumpfile::codec::{Codec, Decoder};
use kdumpfile_testkit::compress;
use kdumpfile_testkit::image::RamImage;

use crate::input::Input;
use crate::seeds::Seeds;

const CODECS: [Codec; 5] = [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd, Codec::Rle];
/// No page is empty.
const SIZES: [usize; 8] = [4096, 16, 1, 100, 4095, 512, 8192, 65536];

/// Byte 0: codec, whether a page follows (bit 7) or a stream, and for a
/// stream the size of the page that is expected.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = input.byte();
    let codec = CODECS[usize::from(options & 7) % CODECS.len()];
    if options & 0x80 != 0 {
        return round_trip(codec, input.0);
    }
    let stream = input.0;
    let size = SIZES[usize::from(options >> 3 & 7)];
    let mut page = vec![0xa5; size];
    let mut decoder = Decoder::new();
    let first = decoder.page(codec, stream, &mut page);
    // Whatever a decoder has seen before, and whatever is in the page.
    for _ in 0..2 {
        let mut again = vec![0x5a; size];
        let result = decoder.page(codec, stream, &mut again);
        assert_eq!(result.is_ok(), first.is_ok(), "{codec:?}: {result:?} after {first:?}");
        assert!(first.is_err() || again == page, "{codec:?}: a second decoding differs");
        let _ = decoder.page(codec, &stream[..stream.len() / 2], &mut again);
    }
    if let Some(other) = second_opinion(codec, stream, size) {
        match &first {
            Ok(()) => assert!(other == page, "{codec:?}: another decoder gives another page"),
            // Built for a fuzzer, miniz_oxide does not look at the checksum.
            Err(error) if cfg!(fuzzing) && error.message().ends_with("incorrect data check") => {}
            Err(error) => assert!(other.len() != size, "{codec:?}: another decoder accepts it: {error:?}"),
        }
    }
}

/// What another decoder makes of the stream, if it accepts it.
fn second_opinion(codec: Codec, stream: &[u8], size: usize) -> Option<Vec<u8>> {
    match codec {
        Codec::Zlib => miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(stream, size).ok(),
        Codec::Lzo => {
            let mut page = vec![0; size];
            let len = lzokay::decompress::decompress(stream, &mut page).ok()?;
            page.truncate(len);
            Some(page)
        }
        Codec::Snappy => {
            let len = snap::raw::decompress_len(stream).ok().filter(|len| *len <= 1 << 20)?;
            let mut page = vec![0; len];
            snap::raw::Decoder::new().decompress(stream, &mut page).ok()?;
            Some(page)
        }
        Codec::Rle => {
            let mut page = Vec::new();
            let mut rest = stream.iter();
            while let Some(byte) = rest.next() {
                match (byte, rest.clone().next()) {
                    (0, None) => return None,
                    (0, Some(0)) => {
                        rest.next();
                        page.push(0);
                    }
                    (0, Some(count)) => {
                        rest.next();
                        page.extend(std::iter::repeat_n(*rest.next()?, (*count).into()));
                    }
                    (byte, _) => page.push(*byte),
                }
            }
            Some(page)
        }
        Codec::Zstd => None,
    }
}

/// A page comes back from what it is compressed to.
fn round_trip(codec: Codec, page: &[u8]) {
    if page.is_empty() {
        return;
    }
    let stream = match codec {
        Codec::Zlib => {
            compress::zlib(page, i32::from(page.first().copied().unwrap_or(6)).unsigned_abs() % 10)
        }
        Codec::Lzo => compress::lzo(page),
        Codec::Snappy => compress::snappy(page),
        Codec::Zstd => compress::zstd(page),
        Codec::Rle => compress::rle(page),
    };
    let mut got = vec![0xa5; page.len()];
    let result = Decoder::new().page(codec, &stream, &mut got);
    assert!(result.is_ok(), "{codec:?}: {result:?}");
    assert!(got == page, "{codec:?}: a page does not come back");
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    let ram = RamImage::new(6, 4096);
    let small = RamImage::new(6, 512);
    type Pack = fn(&[u8]) -> Vec<u8>;
    let codecs: [(&str, Pack); 5] = [
        ("zlib", |page| compress::zlib(page, 6)),
        ("lzo", compress::lzo),
        ("snappy", compress::snappy),
        ("zstd", compress::zstd),
        ("rle", compress::rle),
    ];
    for (number, (name, pack)) in codecs.into_iter().enumerate() {
        let number = number as u8;
        for pfn in 1..6 {
            let page = ram.page_bytes(pfn);
            let stream = pack(&page);
            if stream.len() < 3000 {
                seeds.add(&format!("{name}-{pfn}"), &[&[number], &stream]);
            }
            seeds.add(&format!("{name}-small-{pfn}"), &[&[number | 5 << 3], &pack(&small.page_bytes(pfn))]);
        }
        seeds.add(&format!("{name}-page"), &[&[number | 0x80], &small.page_bytes(2)]);
    }
    seeds.add("zlib-stored", &[&[5 << 3], &compress::zlib(&small.page_bytes(2), 0)]);
    seeds.add("zlib-best", &[&[5 << 3], &compress::zlib(&small.page_bytes(1), 9)]);
    seeds.add("zstd-best", &[&[3], &compress::zstd_level(&ram.page_bytes(3), 19)]);
    seeds.add("zstd-checked", &[&[3], &compress::zstd_with_checksum(&ram.page_bytes(1), true)]);
}
