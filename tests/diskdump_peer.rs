//! Hand-made kdump files: what the distribution's own library finds in them,
//! we find as well.
#![cfg(feature = "std")]

use kdumpfile::sync::Shared;
use kdumpfile::{Context, Space};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, WordSize};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::{RamImage, sha256_hex};
use kdumpfile_testkit::peer;

fn agree(images: &[Vec<u8>], what: &str) -> bool {
    let Some(report) = peer::report_images(images, &[]) else { return false };
    let dump = Context::new();
    let opened = dump.open(images.iter().map(|image| Shared::new(image.clone()) as _).collect());
    assert_eq!(report.open_status() == 0, opened.is_ok(), "{what}: {:?}, {opened:?}", report.open_error());
    if opened.is_err() {
        return true;
    }
    for path in ["max_pfn", "arch.page_size", "arch.byte_order", "arch.ptr_size"] {
        assert_eq!(report.number(path), dump.number(path).ok(), "{what}: {path}");
    }
    assert_eq!(report.number("linux.phys_base"), dump.address("linux.phys_base").ok(), "{what}");
    for path in ["arch.name", "file.format", "file.description", "linux.uts.release", "linux.uts.machine"] {
        assert_eq!(report.string(path), dump.string(path).ok(), "{what}: {path}");
    }
    let pages = report.pages().unwrap();
    let max_pfn = dump.number("max_pfn").unwrap();
    let mut bytes = Vec::new();
    let mut page = vec![0; usize::try_from(pages.page_size).unwrap()];
    for range in dump.bitmap("file.pagemap").unwrap().ranges() {
        let (first, last) = range.unwrap();
        for pfn in first..=last.min(max_pfn.saturating_sub(1)) {
            if dump.read(Space::MachinePhysical, pfn * pages.page_size, &mut page).is_ok() {
                bytes.extend_from_slice(&page);
            }
        }
    }
    assert_eq!(pages.read_ok, bytes.len() as u64 / pages.page_size, "{what}");
    assert_eq!(pages.sha256, sha256_hex(&bytes), "{what}");
    true
}

fn dump(word: WordSize, order: ByteOrder) -> DiskdumpBuilder {
    let image = RamImage::new(7, 4096);
    let pfns = (0..20).chain(40..41).chain(60..70).chain(200..204);
    DiskdumpBuilder::new(word, order)
        .ram(0..240)
        .phys_base(0x20_0000)
        .pages(pfns.map(|pfn| (pfn, image.page_bytes(pfn))), Codec::Zlib)
}

#[test]
fn versions_word_sizes_and_byte_orders_agree() {
    for word in WordSize::ALL {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for version in [1, 2, 3, 5, 6, 7] {
                let image = dump(word, order).version(version).build();
                if !agree(&[image], &format!("{word:?} {order:?} version {version}")) {
                    return;
                }
            }
        }
    }
}

#[test]
fn odd_headers_agree() {
    let plain = || dump(WordSize::Bits64, ByteOrder::Little);
    for (what, builder) in [
        ("shuffled", plain().share_zero_pages().shuffle_data(3)),
        ("one bitmap that is full", plain().one_bitmap().max_mapnr(32768)),
        ("max_mapnr_64 beyond the bitmap", plain().patch("max_mapnr_64", 1 << 40)),
        ("max_pfn below the last page", plain().patch("max_mapnr_64", 65)),
        ("more room for notes", plain().sub_hdr_size(5)),
        ("stored but not RAM", plain().not_ram(0..30)),
        ("block size out of bounds", plain().patch("block_size", 1 << 19)),
        ("bitmap too small", plain().patch("max_mapnr", 1 << 30)),
        ("a microsecond count", plain().timestamp(1, 999_999)),
    ] {
        if !agree(&[builder.build()], what) {
            return;
        }
    }
}

#[test]
fn split_sets_agree() {
    let mut set = dump(WordSize::Bits64, ByteOrder::Little).build_set(&[10, 64]);
    if !agree(&set, "in order") {
        return;
    }
    set.reverse();
    agree(&set, "in reverse");
}
