//! Archives: reads in any order see one and the same file.

use kdumpfile::io::{Archive, ArchiveView, FileSet, MmapPolicy, ReadAt, Source, read_full};
use kdumpfile::sync::Shared;

use crate::input::Input;
use crate::source::Shy;

/// How much of the unpacked file is compared.
const COMPARED: usize = 1 << 20;

/// What the kinds of archives are numbered by: bits 0, 1, 4 and 5 of an input's
/// first byte. Any other number has the kind detected.
const KINDS: [Option<Archive>; 9] = [
    Some(Archive::Lz4),
    Some(Archive::Zstd),
    Some(Archive::Gzip),
    None,
    Some(Archive::Xz),
    Some(Archive::Bzip2),
    Some(Archive::Lzop),
    Some(Archive::Snappy),
    Some(Archive::Zlib),
];

/// Byte 0: the kind of archive (or any, to be detected), and how it is stored.
pub fn run_archive(data: &[u8]) {
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
