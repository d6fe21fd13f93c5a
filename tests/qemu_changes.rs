//! QEMU streams of guests that went on running: pages that come as changes of
//! what was sent of them before (XBZRLE).

mod support;

use kdumpfile::Status;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::Rng;
use kdumpfile_testkit::qemu::{Records, Stream, guest_page};
use support::*;

const SIZE: usize = 4096;

fn pc(records: Records) -> Vec<u8> {
    let blocks = [("pc.ram", 64 * SIZE as u64), ("vga.vram", SIZE as u64)];
    Stream::new(3).configuration("pc-i440fx-7.2", &[]).ram(&blocks, records).end()
}

/// Changes `count` places of a page.
fn touch(rng: &mut Rng, page: &mut [u8], count: u64) {
    for _ in 0..count {
        let at = rng.below(page.len() as u64) as usize;
        let end = (at + 1 + rng.below(40) as usize).min(page.len());
        page[at..end].fill(rng.next_u64() as u8);
    }
}

#[test]
fn pages_are_what_the_last_change_made_of_them() {
    const SEED: u64 = 5;
    println!("seed {SEED}");
    let mut rng = Rng::new(SEED);
    let mut memory: Vec<Vec<u8>> = (0..64).map(|n| guest_page(n, SIZE)).collect();
    let mut records = Records::default().fill(0, Some("pc.ram"), 0);
    // First all pages, in every form there is.
    for (n, page) in memory.iter().enumerate() {
        let at = (n * SIZE) as u64;
        records = match n % 8 {
            0 | 1 => records.fill(at, None, page[0]),
            2..=5 => records.page(at, None, page),
            _ => records.packed(at, None, page),
        };
    }
    // Then any of them, more often as changes than as a whole.
    for round in 0..600 {
        let n = rng.below(64) as usize;
        let at = (n * SIZE) as u64;
        let old = memory[n].clone();
        match rng.below(10) {
            0 => {
                memory[n] = guest_page(rng.below(1000), SIZE);
                records = records.page(at, None, &memory[n]);
            }
            1 => {
                memory[n] = vec![round as u8; SIZE];
                records = records.fill(at, None, round as u8);
            }
            2 => records = records.changes(at, None, &old, &old),
            count => {
                touch(&mut rng, &mut memory[n], count);
                records = records.changes(at, None, &old, &memory[n]);
            }
        }
        // Another block has pages of the same numbers.
        if round % 50 == 0 {
            let video = vec![round as u8; SIZE];
            records = records.page(0, Some("vga.vram"), &video).changes(0, None, &video, &old);
            records = records.fill(63 * SIZE as u64, Some("pc.ram"), 1);
            memory[63] = vec![1; SIZE];
        }
    }
    let dump = open(pc(records));
    assert_eq!(stored(&dump), [(0, 63)]);
    for (pfn, bytes) in (0..).zip(&memory) {
        assert!(page(&dump, pfn).unwrap() == *bytes, "page {pfn}");
    }
}

#[test]
fn pages_that_change_again_and_again_keep_all_changes_through_the_tidying_up() {
    // More runs than are kept, so that the chains are made bit by bit.
    const SMALL: usize = 1024;
    let mut memory: Vec<Vec<u8>> = (0..64).map(|n| vec![n as u8; SMALL]).collect();
    let mut records = Records::default().fill(0, Some("pc.ram"), 0);
    for (n, page) in memory.iter().enumerate().skip(1) {
        records = records.page((n * SMALL) as u64, None, page);
    }
    for change in 0..150_000usize {
        let n = change % 64;
        let old = memory[n].clone();
        memory[n][change / 64 % SMALL] ^= 0x55;
        memory[n][change / 7 % SMALL] = change as u8;
        // Some are sent as a whole again.
        records = match change % 1000 {
            0 => records.page((n * SMALL) as u64, None, &memory[n]),
            _ => records.changes((n * SMALL) as u64, None, &old, &memory[n]),
        };
    }
    let bits = 10u32.to_be_bytes();
    let stream = Stream::new(3).configuration("pc", &[("configuration/target-page-bits", &bits)]);
    let dump = open(stream.ram(&[("pc.ram", 65536)], records).end());
    for (pfn, pages) in (0..).zip(memory.chunks(4)) {
        assert!(page(&dump, pfn).unwrap() == pages.concat(), "page {pfn}");
    }
}

#[test]
fn changes_may_be_of_pages_larger_than_those_of_the_reader() {
    let size = 65536;
    let (old, mut new) = (guest_page(3, size), guest_page(3, size));
    touch(&mut Rng::new(1), &mut new, 50);
    let records = Records::default().page(0, Some("pc.ram"), &old).changes(0, None, &old, &new);
    let bits = 16u32.to_be_bytes();
    let stream = Stream::new(3).configuration("pc", &[("configuration/target-page-bits", &bits)]);
    let dump = open(stream.ram(&[("pc.ram", 65536)], records).end());
    for pfn in 0..16 {
        let at = pfn as usize * SIZE;
        assert!(page(&dump, pfn).unwrap() == new[at..at + SIZE], "page {pfn}");
    }
}

#[test]
fn changes_that_make_no_sense_are_told_and_other_pages_stay_readable() {
    let good = guest_page(2, SIZE);
    let with = |data: &[u8]| {
        let head = [&[1][..], &(data.len() as u16).to_be_bytes(), data].concat();
        open(pc(Records::default()
            .page(0, Some("pc.ram"), &good)
            .page(4096, None, &good)
            .record(4096, 0x40, None, &head)))
    };
    for data in [
        &[0x80][..],                     // no end of the number
        &[5],                            // no second number
        &[0, 3, 1, 2],                   // too few bytes
        &[0xff, 0x1f, 2, 1, 2],          // behind the end: 4095 + 2
        &[0x81, 0x20, 0],                // behind the end: 4097
        &[0xff, 0xff, 0xff, 0xff, 1, 0], // a number of 29 bits
    ] {
        let dump = with(data);
        let (status, text) = failure(page(&dump, 1));
        assert_eq!(status, Status::Corrupt, "{data:?}");
        assert!(
            text.contains("Cannot read changes of a page at 8") && text.ends_with("They go beyond its end"),
            "{text}"
        );
        assert!(page(&dump, 0).unwrap() == good);
    }
    // To the last byte, and nothing at all.
    let mut end = good.clone();
    end[4095] = 7;
    assert!(page(&with(&[0xff, 0x1f, 1, 7]), 1).unwrap() == end);
    assert!(page(&with(&[]), 1).unwrap() == good);
    assert!(page(&with(&[0x80, 0x20, 0]), 1).unwrap() == good);
}

#[test]
fn changes_of_what_was_not_sent_are_corrupt() {
    let old = guest_page(2, SIZE);
    let records = Records::default().page(0, Some("pc.ram"), &old).changes(4096, None, &old, &old);
    let (status, text) = open_failure(pc(records));
    assert!(status == Status::Corrupt && text.ends_with("of a page that was not sent before"), "{text}");
    // Of a page that comes as a whole later, nothing else is needed.
    let records = Records::default()
        .page(0, Some("pc.ram"), &old)
        .changes(4096, None, &old, &old)
        .page(4096, None, &old);
    assert!(page(&open(pc(records)), 1).unwrap() == old);
}

#[test]
fn a_page_without_end_is_refused() {
    let mut records = Records::default().fill(0, Some("pc.ram"), 0);
    for n in 0..=1 << 16 {
        records = records.record(0, 0x40, None, &[1, 0, 3, 0, 1, n as u8]);
    }
    let (status, text) = open_failure(pc(records));
    assert_eq!(status, Status::NotImplemented);
    assert!(text.contains("Page with more than 65536 changes from"), "{text}");
}

#[test]
fn a_read_that_fails_is_told_and_no_page_is_wrong() {
    let mut pages = [guest_page(2, SIZE), guest_page(3, SIZE)];
    let mut records = Records::default().page(0, Some("pc.ram"), &pages[0]).packed(4096, None, &pages[1]);
    let mut rng = Rng::new(9);
    for round in 0..6 {
        let n = round % 2;
        let old = pages[n].clone();
        touch(&mut rng, &mut pages[n], 3);
        records = records.changes((n * SIZE) as u64, None, &old, &pages[n]);
    }
    let file = pc(records);
    let mut failed = 0;
    for n in 0.. {
        let faulty = Shared::new(FaultyReader::new(file.clone()).fail_nth(n, "Input/output error"));
        match try_open_sources(vec![faulty.clone() as Source]) {
            Err(error) => assert!(error.message().ends_with("Input/output error"), "{n}: {error}"),
            Ok(dump) => {
                for (pfn, want) in (0..).zip(&pages) {
                    if let Err(error) = page(&dump, pfn) {
                        failed += 1;
                        assert_eq!(error.status(), Status::System, "read {n}: {error}");
                    }
                    assert!(page(&dump, pfn).unwrap() == *want, "read {n}, page {pfn}");
                }
                if faulty.script().calls().len() as u64 <= n {
                    break;
                }
            }
        }
    }
    assert!(failed > 10, "{failed}");
}
