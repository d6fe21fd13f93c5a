//! Against a search that knows nothing of pieces and threads.

use super::*;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, Page};
use pattern::LONGEST;

const PAGE: u64 = 4096;

/// Memory with few different bytes, so that there is much to find.
fn memory(pfn: u64) -> Vec<u8> {
    let mut state = pfn.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    match pfn % 4 {
        // Whole pages of one byte: matches that are as long as they may be.
        0 => vec![b'a'; PAGE as usize],
        _ => (0..PAGE).map(|_| b"aab\n"[(next() % 4) as usize]).collect(),
    }
}

/// Pages 0 to 8 of which 5 is damaged, 12, and 20 to 30.
fn dump() -> Context {
    let pfns = (0..=8).chain([12]).chain(20..=30);
    let mut builder = DiskdumpBuilder::default().pages(pfns.map(|pfn| (pfn, memory(pfn))), Codec::Zlib);
    builder =
        builder.page(5, Page::Stored { payload: vec![0xff; 64], flags: Codec::Zlib.flag(), size: None });
    let dump = Context::new();
    dump.open_bytes(builder.build()).unwrap();
    dump
}

/// Memory without gaps, and its addresses.
fn parts() -> Vec<(u64, Vec<u8>)> {
    let part = |first: u64, last: u64| (first * PAGE, (first..=last).flat_map(memory).collect());
    vec![part(0, 4), part(6, 8), part(12, 12), part(20, 30)]
}

/// All matches, one address after the other.
fn naive(matches_at: impl Fn(&[u8], usize) -> Option<usize>, overlap: bool) -> Vec<(u64, usize)> {
    let mut all = Vec::new();
    for (address, bytes) in parts() {
        let mut at = 0;
        while at < bytes.len() {
            let found = matches_at(&bytes, at);
            all.extend(found.map(|length| (address + at as u64, length)));
            at += if overlap { 1 } else { found.unwrap_or(1) };
        }
    }
    all
}

fn found(pattern: &Pattern, piece: u64, threads: u16) -> Vec<(u64, usize)> {
    let mut all = Vec::new();
    let how = How { threads: Some(threads), piece, limit: u64::MAX };
    let show = |found: Match| {
        all.push((found.address, found.length));
        Ok(())
    };
    let searched = search(&dump(), pattern, &how, |_| {}, show).unwrap();
    assert_eq!((searched.pages, searched.failed), (20, 1));
    assert_eq!(searched.error.unwrap().0, 5);
    all
}

#[test]
fn bytes_are_found_wherever_they_are() {
    for bytes in [&b"a"[..], b"bab", b"\na\nb\na", &[b'a'; 4000], &[b'a'; 5000]] {
        let pattern = Pattern::bytes(bytes).unwrap();
        let expected = naive(|memory, at| memory[at..].starts_with(bytes).then_some(bytes.len()), true);
        assert!(!expected.is_empty() || bytes.len() > 5, "{bytes:?}");
        for (piece, threads) in [(0, 3), (2 * PAGE, 1), (3 * PAGE, 2), (PIECE, 2)] {
            assert!(found(&pattern, piece, threads) == expected, "{} bytes, {piece}", bytes.len());
        }
    }
}

#[test]
fn regular_expressions_match_the_same_whatever_the_pieces_are() {
    // The latter look at the byte before them, and are short.
    let anchored = ["a+", "b[ab]*b", "a{300,}b?", "b[^x]*bab", "a{2,3}"].map(|text| (text, LONGEST, true));
    let others = [r"\bab+\n", "(?m)^b+$"].map(|text| (text, 64, false));
    for (text, longest, anchored) in anchored.into_iter().chain(others) {
        let pattern = Pattern::regex(text).unwrap();
        let Pattern::Regex(regex) = &pattern else { unreachable!() };
        let here = regex::bytes::Regex::new(&format!(r"(?-u)\A(?:{text})")).unwrap();
        let matches_at = |memory: &[u8], at: usize| {
            let window = &memory[..(at + longest).min(memory.len())];
            match anchored {
                true => here.find(&window[at..]).map(|found| found.len()),
                false => {
                    regex.find_at(window, at).filter(|found| found.start() == at).map(|found| found.len())
                }
            }
        };
        let expected = naive(matches_at, false);
        assert!(!expected.is_empty(), "{text}");
        for (piece, threads) in [(0, 3), (2 * PAGE, 1), (3 * PAGE, 2), (PIECE, 2)] {
            assert!(found(&pattern, piece, threads) == expected, "{text}, {piece}");
        }
    }
}

#[test]
fn a_limit_ends_the_search_and_says_so() {
    let pattern = Pattern::bytes(b"bab").unwrap();
    let mut all = Vec::new();
    let how = How { threads: Some(2), piece: PAGE, limit: 3 };
    let show = |found: Match| {
        all.push((found.address, found.length));
        Ok(())
    };
    let searched = search(&dump(), &pattern, &how, |_| {}, show).unwrap();
    assert!(searched.limited);
    assert_eq!(all, found(&pattern, PAGE, 2)[..3]);
}

#[test]
fn patterns_that_make_no_sense_are_refused() {
    assert!(Pattern::bytes(b"").is_err());
    assert!(Pattern::regex("a*").is_err_and(|text| text.contains("everywhere")));
    assert!(Pattern::regex("(").is_err());
}
