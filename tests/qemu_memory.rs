//! QEMU streams that are damaged or lie: no panic, and no more memory than what
//! the file holds asks for.

mod support;

use kdumpfile::Context;
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::Rng;
use kdumpfile_testkit::qemu::{Records, Stream, guest, guest_page, mapped, save_image};
use support::*;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const SIZE: usize = 4096;

fn stream(blocks: &[(&str, u64)], records: Records) -> Vec<u8> {
    Stream::new(3).configuration("pc-i440fx-7.2", &[]).ram(blocks, records).end()
}

/// Opens what may be no dump and reads of it what there is; whether it opened.
fn survives(file: Vec<u8>) -> bool {
    let dump = Context::new();
    let opened = dump.open_bytes(file).is_ok();
    if opened {
        for pfn in 0..70 {
            let _ = page(&dump, pfn);
        }
    }
    opened
}

#[test]
fn truncated_and_changed_streams_neither_panic_nor_take_much_memory() {
    const SEED: u64 = 13;
    println!("seed {SEED}");
    let mut random = Rng::new(SEED);
    let bare = guest(1024);
    let mut image = save_image(ByteOrder::Big, b"LibvirtQemudSave", 2, 0, "<domain/>", 512);
    image.extend(guest(1024));
    let pages = [(3, guest_page(3, SIZE))];
    let map = mapped("pc-q35-9.0", "pc.ram", 64 * SIZE as u64, &pages, 0, 0);
    let device_state = bare.len() as u64 - 1300;
    let ((), peak, _) = ALLOCATOR.measure(|| {
        for file in [&bare, &image] {
            for _ in 0..100 {
                let length = random.below(file.len() as u64);
                let opened = survives(file[..length as usize].to_vec());
                assert!(!opened || length > device_state, "{length}");
            }
        }
        for (at, times) in [(0, 1000), (1, 700), (2, 300)] {
            let file = [&bare, &image, &map][at];
            for _ in 0..times {
                let mut file = file.clone();
                // The beginning and whatever stands between pages count most.
                let limit = if random.below(2) == 0 { 300 } else { file.len() as u64 };
                file[random.below(limit) as usize] ^= 1 << random.below(8);
                survives(file);
            }
        }
    });
    println!("peak {peak} bytes");
    assert!(peak < 32 << 20, "{peak} bytes");
}

#[test]
fn a_stream_that_claims_exabytes_takes_no_memory() {
    let huge = 1 << 60;
    let records = Records::default().fill(0, Some("pc.ram"), 1).fill(huge - 0x1000, None, 2);
    let file = stream(&[("pc.ram", huge)], records);
    let (dump, peak, _) = ALLOCATOR.measure(|| open(file));
    assert_eq!(stored(&dump).len(), 2);
    println!("peak {peak} bytes");
    assert!(peak < 1 << 20, "{peak} bytes");
}

#[test]
fn a_page_that_is_sent_over_and_over_takes_the_memory_of_one() {
    let mut records = Records::default().fill(0, Some("pc.ram"), 1);
    for n in 0..400_000u64 {
        records = records.fill(n % 4 * 0x2000, None, n as u8);
    }
    let file = stream(&[("pc.ram", 0x10000)], records);
    let (dump, peak, _) = ALLOCATOR.measure(|| open(file));
    for page_number in 0..4 {
        assert_eq!(page(&dump, 2 * page_number).unwrap()[0], (399_996 + page_number) as u8);
    }
    println!("peak {peak} bytes");
    assert!(peak < 8 << 20, "{peak} bytes");
}
