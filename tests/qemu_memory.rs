//! QEMU streams that are damaged or lie: no panic, and no more memory than what
//! the file holds asks for.

mod support;

use kdumpfile::Context;
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::Rng;
use kdumpfile_testkit::qemu::{
    Described, Records, Stream, cpu_fields, description, guest, guest_page, item, mapped, save_image,
};
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

/// Pages of a guest that ran on come as changes of what was sent of them before.
#[test]
fn changes_take_memory_for_themselves_and_reading_them_for_one_page() {
    const PAGES: u64 = 16;
    const ROUNDS: u64 = 2000;
    let mut memory: Vec<Vec<u8>> = (0..PAGES).map(|n| guest_page(n + 2, SIZE)).collect();
    let mut records = Records::default().fill(0, Some("pc.ram"), 0);
    for (page, bytes) in (0..).zip(&memory) {
        records = records.page(page * SIZE as u64, None, bytes);
    }
    for round in 0..ROUNDS {
        for (page, bytes) in (0..).zip(&mut memory) {
            let old = bytes.clone();
            let at = (round as usize * 37 + page as usize) % (SIZE - 8);
            bytes[at..at + 8].copy_from_slice(&(round * PAGES + page).to_le_bytes());
            records = records.changes(page * SIZE as u64, None, &old, bytes);
        }
    }
    let file = stream(&[("pc.ram", PAGES * SIZE as u64)], records);
    let length = file.len();
    let (dump, peak, _) = ALLOCATOR.measure(|| open(file));
    // The file itself is not counted, it was there before.
    let each = peak as u64 / (PAGES * ROUNDS);
    println!("{length} bytes of file, peak {peak} bytes, {each} for a change");
    assert!(each <= 64, "{each} bytes for a change");
    let ((), peak, _) = ALLOCATOR.measure(|| {
        for (pfn, bytes) in (0..).zip(&memory) {
            assert!(page(&dump, pfn).unwrap() == *bytes, "page {pfn}");
        }
    });
    println!("peak {peak} bytes while reading");
    assert!(peak < 1 << 20, "{peak} bytes");
}

#[test]
fn changes_that_are_damaged_neither_panic_nor_take_much_memory() {
    const SEED: u64 = 17;
    println!("seed {SEED}");
    let mut random = Rng::new(SEED);
    let mut records = Records::default().fill(0, Some("pc.ram"), 0);
    let mut last = vec![0; SIZE];
    for round in 1..60 {
        let next = guest_page(round * 3 + 2, SIZE);
        let some = [&next[..200], &last[200..]].concat();
        records = records.changes(0, None, &last, &some);
        last = some;
    }
    let file = stream(&[("pc.ram", 0x4000)], records);
    let ((), peak, _) = ALLOCATOR.measure(|| {
        for round in 0..1500 {
            let mut file = file.clone();
            let at = random.below(file.len() as u64) as usize;
            match round % 5 {
                0 => file.truncate(at),
                _ => file[at] ^= 1 << random.below(8),
            }
            survives(file);
        }
    });
    println!("peak {peak} bytes");
    assert!(peak < 4 << 20, "{peak} bytes");
}

/// What stands behind the device state: its length, text, and what it counts.
#[test]
fn descriptions_that_lie_take_no_memory() {
    let ram = || {
        let records = Records::default().fill(0, Some("pc.ram"), 1);
        Stream::new(3).configuration("pc-q35-7.2", &[]).ram(&[("pc.ram", 0x1000)], records)
    };
    let with = |text: &str| ram().named(item::FULL, 9, "timer", 0, 1, &[0; 24]).end_with(text);
    let huge = |count: u64, size: u64| {
        let fields = vec![("env.regs", count, size), ("env.eip", 1, 8)];
        description(4096, &[Described { name: "cpu", instance: 0, fields, subsection: None }])
    };
    let many: Vec<Described> = (0..4000)
        .map(|instance| Described { name: "cpu", instance, fields: cpu_fields(8), subsection: None })
        .collect();
    let mut claims = ram().end();
    let at = claims.len() - 6;
    claims[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let deep = |open: &str| format!("{{\"devices\": {}}}", open.repeat(200_000));
    let files = [
        ("length", claims),
        ("lists", with(&deep("["))),
        ("objects", with(&deep("{\"a\":"))),
        ("a text without end", with(&format!("{{\"{}}}", "x".repeat(900_000)))),
        ("many elements", with(&huge(u64::MAX, 8))),
        ("large elements", with(&huge(2, u64::MAX))),
        ("an exabyte", with(&huge(1 << 30, 1 << 30))),
        ("many devices", with(&description(4096, &many))),
        ("a page size of nothing", with("{\"page_size\": 0, \"devices\": []}")),
    ];
    for (what, file) in files {
        let length = file.len();
        let (opened, peak, _) = ALLOCATOR.measure(|| survives(file));
        println!("{what}: {length} bytes of file, peak {peak} bytes");
        // The memory is there whatever is said of the devices.
        assert!(opened, "{what}");
        assert!(peak < (1 << 20) + 4 * length, "{what}: {peak} bytes");
    }
}
