//! Built LKCD dumps as the peer's library (Debian: 0.5.1) sees them and as
//! this one does: attributes, pages and failures are equal.
//!
//! Left out, because the peer is known to be wrong there: PFNs above 2^32,
//! dumps without end marker, packed pages that are larger than pages, page
//! size 0, pages in no order at all (of 600 shuffled ones it finds 240), records more than 4 GiB apart, a second look at a failed `max_pfn`.

mod support;

use kdumpfile::Status;
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::{page_bytes, sha256_hex};
use kdumpfile_testkit::lkcd::{LkcdBuilder, Method, Record, VERSIONS};
use kdumpfile_testkit::notes::Utsname;
use kdumpfile_testkit::peer;
use support::*;

/// Compares one dump; `false` if there is no peer to compare with.
fn compare(what: &str, file: &[u8]) -> bool {
    let Some(peer) = peer::report_image(file, &[]) else { return false };
    assert_eq!(peer.open_status(), 0, "{what}: {:?}", peer.open_error());
    let dump = open(file);
    for (path, value) in peer.attributes() {
        let statistic = path.ends_with(".hits") || path.ends_with(".misses") || path.ends_with(".fd");
        if statistic || path.starts_with("file.set.") && path.ends_with(".name") {
            continue;
        }
        let ours = dump.get(&path);
        let equal = ours.as_ref().is_ok_and(|ours| same_as_peer(ours, &value));
        assert!(equal, "{what}: {path} is {ours:?}, the peer says {value:?}");
    }
    let pages = peer.pages().expect("the peer reads pages");
    let (mut read, mut failed, mut all) = (0, Vec::new(), Vec::new());
    for pfn in 0..dump.number("max_pfn").unwrap() {
        match read_block(&dump, pfn, pages.page_size) {
            Ok(bytes) => {
                read += 1;
                all.extend(bytes);
            }
            Err(error) => failed.push((pfn, parts(&error))),
        }
    }
    let said = peer.json()["pages"]["failures"].as_array().expect("failures").clone();
    let counts = ((read, failed.len() as u64), (pages.read_ok, pages.read_failed));
    assert_eq!(counts.0, counts.1, "{what}: {failed:?}, the peer says {said:?}");
    assert_eq!(sha256_hex(&all), pages.sha256, "{what}");
    for ((pfn, (status, text)), peer) in failed.iter().zip(&said) {
        let same = peer["pfn"] == *pfn && peer["status"] == status.code() && peer["error"] == text.as_str();
        assert!(same, "{what}: page {pfn}: {status:?} {text}, the peer says {peer}");
    }
    true
}

const PFNS: [u64; 9] = [7, 0, 1, 2, 300, 299, 65, 4000, 70];

fn with(builder: LkcdBuilder) -> LkcdBuilder {
    builder.pages(PFNS.map(|pfn| (pfn, page_bytes(pfn))))
}

#[test]
fn every_layout_is_as_the_peer_sees_it() {
    for version in VERSIONS {
        for word in [WordSize::Bits32, WordSize::Bits64] {
            for order in ByteOrder::ALL {
                // Version 8 and up have one layout, versions up to 3 one method.
                let method = if version == 6 || version < 5 { Method::Rle } else { Method::Gzip };
                let builder = LkcdBuilder::new(version, word, order).method(method);
                if !compare(&format!("version {version} {word:?} {order:?}"), &with(builder).build()) {
                    return;
                }
            }
        }
    }
}

#[test]
fn odd_dumps_are_as_the_peer_sees_them() {
    let v8 = || LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little);
    let v2 = || LkcdBuilder::new(2, WordSize::Bits64, ByteOrder::Little);
    let pieces = (512..600).chain(0..100).chain(300..400).chain(100..150);
    let far = LkcdBuilder::new(10, WordSize::Bits64, ByteOrder::Big).data_offset(70_001);
    for (what, builder) in [
        ("no pages", v8()),
        ("uncompressed", with(v8().method(Method::None))),
        ("in pieces", v8().method(Method::Rle).pages(pieces.map(|pfn| (pfn, page_bytes(pfn))))),
        ("other offset", with(far)),
        ("flags of the version", with(v8()).patch("dh_version", 0xc000_0008)),
        ("insane utsname", with(v2().utsname(Utsname::empty()))),
        ("no such machine", with(v8().utsname(Utsname::linux("2.6.5", "i486")))),
        (
            "long texts",
            with(v8().utsname(Utsname { nodename: vec![b'n'; 65], ..Utsname::linux("2.6.5", "ia64") })),
        ),
        ("addresses inside of pages", with(v8()).patch("record.1.dp_address", 0xabc)),
        ("no header size", with(v8()).patch("dh_header_size", 0).patch("dh_num_pages", 0)),
        ("end with other flags", with(v8()).record(Record::new(5 << 12, 7, []))),
    ] {
        if !compare(what, &builder.build()) {
            return;
        }
    }
}

#[test]
fn broken_pages_fail_with_the_peers_words() {
    let short = page_bytes(6)[..100].to_vec();
    let long = [&page_bytes(6)[..], &[1]].concat();
    for method in [Method::Rle, Method::Gzip] {
        let pack = |bytes: &[u8]| method.pack(bytes).unwrap();
        let builder = LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little)
            .method(method)
            .raw(0, &short[..])
            .raw(1, &long[..])
            .raw(2, [])
            .packed(3, pack(&short))
            .packed(4, [])
            .packed(5, vec![0x41; (1 << 18) + 1])
            .packed(6, [0])
            .packed(7, [0, 7])
            .packed(8, [1, 2, 3])
            .packed(9, [0x78, 0xff, 0, 0])
            .packed(10, pack(&vec![7; 1 << 16]))
            .record(Record::new(11 << 12, 0, page_bytes(11)))
            .record(Record::new(12 << 12, 3, page_bytes(12)))
            .page(14, page_bytes(14));
        compare(&format!("{method:?}"), &builder.build());
    }
    let unknown = LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little).method_number(9).packed(0, [1]);
    compare("unknown method", &unknown.build());
}

#[test]
fn dumps_that_do_not_open_fail_with_the_peers_status() {
    let v8 = || LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little);
    let with_magic = |bytes: [u8; 4]| bytes.to_vec();
    for file in [
        v8().patch("dh_version", 4).build(),
        v8().patch("dh_version", 11).build(),
        v8().page_size(5000).build(),
        v8().patch("dh_magic_number", 0xa819_0173_618f_23cd).build(),
        with_magic([0xdd, 0xcc, 0x8b, 0x9a]),
    ] {
        let Some(peer) = peer::report_image(&file, &[]) else { return };
        let (status, text) = open_failure(file);
        let said = peer.open_error().unwrap_or_default();
        assert_eq!(u64::from(status.code()), peer.open_status(), "{text}, the peer says {said}");
        // 0.5.1 does not put the name of the file in front.
        assert!(text.ends_with(said.rsplit(": ").next().unwrap_or_default()), "{text}, the peer says {said}");
    }
    // A duplicate spoils `max_pfn` for both.
    let file = v8().raw(0, page_bytes(0)).raw(0, page_bytes(0)).build();
    let Some(peer) = peer::report_image(&file, &[]) else { return };
    assert_eq!(peer.number("max_pfn"), None);
    assert_eq!(failure(open(file).number("max_pfn")).0, Status::Corrupt);
}
