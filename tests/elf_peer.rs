//! ELF dumps of random shape: this library and the peer library say the same.
#![cfg(feature = "std")]

use kdumpfile::{Bitmap, Context, Space};
use kdumpfile_testkit::elf::{Class, ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::{PageHasher, Rng};
use kdumpfile_testkit::peer;

fn ranges(bitmap: &Bitmap) -> Vec<(u64, u64)> {
    bitmap.ranges().map(|range| range.expect("bits can be read")).collect()
}

/// Segments that start and end anywhere, with gaps and tails of memory that is
/// not stored, in random order. They do not overlap: there the peer's answer
/// depends on what was read before.
fn random_dump(rng: &mut Rng, class: Class, order: ByteOrder) -> Vec<u8> {
    let mut segments = Vec::new();
    let mut paddr = rng.below(0x3000);
    for _ in 0..1 + rng.below(12) {
        let stored = rng.below(0x4000) + 1;
        let tail = rng.below(2) * rng.below(0x3000);
        let data: Vec<u8> = (0..stored).map(|_| rng.below(256) as u8).collect();
        segments.push(Segment::load(paddr, data).vaddr(0x4000_0000 + paddr).memsz(stored + tail));
        paddr += stored + tail + rng.below(3) * rng.below(0x2800);
    }
    rng.shuffle(&mut segments);
    let empty = ElfBuilder::new(class, order, 62);
    segments.into_iter().fold(empty, ElfBuilder::segment).build()
}

#[test]
fn random_segments_give_the_same_pages_as_the_peer() {
    for seed in 0..12 {
        let mut rng = Rng::new(seed);
        let class = if seed % 2 == 0 { Class::Elf64 } else { Class::Elf32 };
        // The peer does not know big-endian sections, but there are none here.
        let order = if seed % 4 < 2 { ByteOrder::Little } else { ByteOrder::Big };
        let image = random_dump(&mut rng, class, order);
        let Some(peer) = peer::report_image(&image, &[]) else { return };
        assert_eq!(peer.open_status(), 0, "{seed}: {:?}", peer.open_error());
        let dump = Context::new();
        dump.open_bytes(image).unwrap();
        assert_eq!(dump.number("max_pfn").ok(), peer.number("max_pfn"), "{seed}");
        for path in ["file.pagemap", "memory.pagemap"] {
            let expected: Vec<(u64, u64)> =
                peer.bitmap(path).unwrap().iter().map(|range| (*range.start(), *range.end())).collect();
            assert_eq!(ranges(&dump.bitmap(path).unwrap()), expected, "{seed}: {path}");
        }
        let mut hasher = PageHasher::new(4096);
        let mut page = [0; 4096];
        for (first, last) in ranges(&dump.bitmap("file.pagemap").unwrap()) {
            for pfn in first..=last {
                dump.read(Space::MachinePhysical, pfn * 4096, &mut page).unwrap();
                hasher.page(pfn, &page);
            }
        }
        assert_eq!(hasher.finish().sha256, peer.pages().unwrap().sha256, "{seed}");
    }
}
