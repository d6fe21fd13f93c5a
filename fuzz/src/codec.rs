//! Page codecs against other decoders, and against compressors.

use kdumpfile::codec::{Codec, Decoder};
use kdumpfile_testkit::compress;

use crate::input::Input;

const CODECS: [Codec; 5] = [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd, Codec::Rle];
/// No page is empty.
const SIZES: [usize; 8] = [4096, 16, 1, 100, 4095, 512, 8192, 65536];

/// Byte 0: codec, whether a page follows (bit 7) or a stream, and for a
/// stream the size of the page that is expected.
pub fn run_codec(data: &[u8]) {
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
