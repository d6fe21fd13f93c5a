//! Searching memory for VMCOREINFO.

mod support;

use core::ops::ControlFlow;

use kdumpfile::io::{ReadAt, Source};
use kdumpfile::sync::Shared;
use kdumpfile::xlat::os::OsType;
use kdumpfile::{Context, FoundVmcoreinfo, Result, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::{ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{NoteWriter, Vmcoreinfo};
use support::open;

const PAGE: usize = 4096;

fn text(release: &str) -> Vec<u8> {
    Vmcoreinfo::linux(release, 4096).to_bytes()
}

fn note(order: ByteOrder, name: &str, desc: &[u8]) -> Vec<u8> {
    NoteWriter::new(order).push(name, 0, desc).finish()
}

/// A dump whose memory starts at `base` and holds each piece at its offset,
/// between bytes of zero.
fn dump(base: u64, pages: usize, pieces: &[(usize, Vec<u8>)]) -> Context {
    let mut memory = vec![0; pages * PAGE];
    for (at, bytes) in pieces {
        memory[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    open(ElfBuilder::for_arch(Arch::X86_64).segment(Segment::load(base, memory)).build())
}

fn found(dump: &Context) -> Vec<FoundVmcoreinfo> {
    dump.scan_vmcoreinfo().unwrap().collect::<Result<_>>().unwrap()
}

/// Address, whether it is a note, and the release of each.
fn rows(dump: &Context) -> Vec<(u64, bool, String)> {
    let row = |found: &FoundVmcoreinfo| (found.address, found.note, found.line("OSRELEASE").unwrap().into());
    found(dump).iter().map(row).collect()
}

#[test]
fn notes_and_texts_are_found_by_ascending_address() {
    let dump = dump(
        0x10_0000,
        600,
        &[
            (3 * PAGE, text("6.1.0-text")),
            (5 * PAGE, note(ByteOrder::Little, "VMCOREINFO", &text("6.1.0-note"))),
            // Beyond the first 256 KiB, and not at the start of a page.
            (300 * PAGE + 0x134, note(ByteOrder::Big, "VMCOREINFO", &text("4.4.0-odd"))),
        ],
    );
    assert_eq!(
        rows(&dump),
        [
            (0x10_3000, false, "6.1.0-text".to_string()),
            (0x10_5018, true, "6.1.0-note".to_string()),
            (0x10_0000 + 300 * 4096 + 0x134 + 24, true, "4.4.0-odd".to_string()),
        ]
    );
    assert_eq!(found(&dump)[1].text, text("6.1.0-note"));
    assert_eq!(found(&dump)[1].os, OsType::Linux);
}

#[test]
fn what_is_found_can_be_used() {
    let dump = dump(0, 4, &[(PAGE, text("6.12.1"))]);
    let found = found(&dump).remove(0);
    dump.set("linux.vmcoreinfo.raw", Value::Blob(kdumpfile::Blob::new(found.text))).unwrap();
    assert_eq!(dump.string("linux.uts.release").unwrap(), "6.12.1");
}

#[test]
fn texts_go_on_in_the_next_page_and_the_next_chunk() {
    let long = |release: &str| {
        let mut info = Vmcoreinfo::linux(release, 4096);
        for n in 0..200 {
            info = info.symbol(&format!("symbol_{n}"), 0xffff_ffff_8100_0000 + n);
        }
        info.to_bytes()
    };
    // Chunks end at each multiple of 64 pages; each of these crosses one, the
    // last one with the header of its note.
    for at in [64 * PAGE - 1000, 64 * PAGE - 12, 64 * PAGE - 20, 64 * PAGE - 24] {
        let bytes = note(ByteOrder::Little, "VMCOREINFO", &long("6.1.0-long"));
        let dump = dump(0x100_0000, 128, &[(at, bytes)]);
        assert_eq!(rows(&dump), [(0x100_0000 + at as u64 + 24, true, "6.1.0-long".to_string())], "{at:#x}");
        assert_eq!(found(&dump)[0].text, long("6.1.0-long"));
    }
    let dump = dump(0x100_0000, 128, &[(64 * PAGE - 4, long("6.1.0-long"))]);
    assert_eq!(found(&dump)[0].text, long("6.1.0-long"));
}

#[test]
fn what_only_looks_like_vmcoreinfo_is_passed_over() {
    let dump = dump(
        0,
        16,
        &[
            // The format string of the kernel, and a line of a log.
            (0x100, b"OSRELEASE=%s\n\0".to_vec()),
            (0x200, b"crash: OSRELEASE=6.1\nPAGESIZE=4096\n".to_vec()),
            // Not aligned.
            (0x301, text("6.1.0-odd")),
            // Without a note, of another size, of no size, of an absurd size.
            (0x400, b"VMCOREINFO\0\0OSRELEASE=6.1\n".to_vec()),
            (0x500, [&11u32.to_le_bytes()[..], &[0; 8], b"VMCOREINFO\0\0\x01"].concat()),
            (0x600, [&11u32.to_le_bytes()[..], &[0xff; 8], b"VMCOREINFO\0\0\x01"].concat()),
            (0x700, note(ByteOrder::Little, "VMCOREINFO", b"\x01\x02\x03\x04")),
            // At the very end of memory.
            (16 * PAGE - 4, b"VMCO".to_vec()),
        ],
    );
    assert_eq!(rows(&dump), []);
}

#[test]
fn a_note_of_the_hypervisor_is_told_apart() {
    let lines = b"PAGESIZE=4096\nSYMBOL(domain_list)=ffff82d080000000\n";
    let dump = dump(0, 4, &[(PAGE, note(ByteOrder::Little, "VMCOREINFO_XEN", lines))]);
    let found = found(&dump);
    assert_eq!((found.len(), found[0].os, found[0].note), (1, OsType::Xen, true));
    assert_eq!(found[0].text, lines);
    assert_eq!(found[0].address, 0x1000 + 12 + 16);
}

#[test]
fn holes_are_not_read_and_a_text_ends_at_one() {
    let page = |release: &str| {
        let mut page = text(release);
        page.resize(PAGE, b'x');
        page
    };
    let builder = ElfBuilder::for_arch(Arch::X86_64)
        .segment(Segment::load(0x1000, page("6.1.0-low")))
        .segment(Segment::load(0xff_ffff_f000, page("6.1.0-high")));
    let dump = open(builder.build());
    let scan = dump.scan_vmcoreinfo().unwrap();
    assert_eq!(scan.total_bytes(), 2 * 4096);
    let found: Vec<_> = scan.map(|found| found.unwrap()).collect();
    assert_eq!(found.iter().map(|found| found.address).collect::<Vec<_>>(), [0x1000, 0xff_ffff_f000]);
    assert!(found.iter().all(|found| found.text.len() == PAGE));
}

#[test]
fn progress_is_told_and_can_end_the_search() {
    let dump = dump(0, 256, &[(PAGE, text("6.1.0-first")), (200 * PAGE, text("6.1.0-last"))]);
    let mut told = Vec::new();
    let scan = dump.scan_vmcoreinfo().unwrap().progress(|done, total| {
        told.push((done, total));
        ControlFlow::Continue(())
    });
    assert_eq!(scan.count(), 2);
    let total = 256 * 4096;
    assert_eq!(told, [(total / 4, total), (total / 2, total), (total / 4 * 3, total), (total, total)]);

    let mut scan = dump.scan_vmcoreinfo().unwrap().progress(|done, _| match done > 1 << 18 {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    assert_eq!(scan.next().unwrap().unwrap().line("OSRELEASE"), Some("6.1.0-first"));
    assert!(scan.next().is_none() && scan.next().is_none());
}

/// A file that cannot be read between two positions.
struct Damaged(Vec<u8>, u64, u64);

impl ReadAt for Damaged {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> Result<usize> {
        if position < self.2 && position + buffer.len() as u64 > self.1 {
            return Err(kdumpfile::Error::system("Bad sector"));
        }
        self.0.read_at(position, buffer)
    }
}

#[test]
fn pages_that_cannot_be_read_are_counted_and_passed_over() {
    let mut memory = vec![0; 16 * PAGE];
    memory[9 * PAGE..][..text("6.1.0").len()].copy_from_slice(&text("6.1.0"));
    let builder = ElfBuilder::for_arch(Arch::X86_64).segment(Segment::load(0, memory));
    let (file, layout) = builder.data_align(PAGE).build_with_layout();
    let start = layout.segments[0];
    let dump = Context::new();
    // Three pages of the segment.
    dump.open(vec![Shared::new(Damaged(file, start + 0x4000, start + 0x7000)) as Source]).unwrap();
    let mut scan = dump.scan_vmcoreinfo().unwrap();
    assert_eq!(scan.next().unwrap().unwrap().address, 0x9000);
    assert!(scan.next().is_none());
    assert_eq!(scan.unreadable_pages(), 3);
}

#[test]
fn hostile_memory_costs_no_more_than_reading_it_a_few_times() {
    // Each word is an anchor, or each line a text that is none.
    for pattern in
        [&b"OSRE"[..], b"VMCO", b"OSRELEASE=\n", b"OSRELEASE=1\nPAGESIZE=x\n\0\0", b"VMCOREINFO\0\0"]
    {
        let memory: Vec<u8> = pattern.iter().copied().cycle().take(1024 * PAGE).collect();
        let file = ElfBuilder::for_arch(Arch::X86_64).segment(Segment::load(0, memory)).build();
        let began = std::time::Instant::now();
        assert_eq!(open(file).scan_vmcoreinfo().unwrap().count(), 0);
        assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    }
}

#[test]
fn without_a_dump_there_is_nothing_to_search() {
    assert!(Context::new().scan_vmcoreinfo().is_err());
}

#[cfg(feature = "std")]
#[test]
fn real_dumps_have_the_vmcoreinfo_of_the_guest_in_their_memory() {
    for dump in kdumpfile_testkit::dumps::real_dumps().unwrap_or_default() {
        let truth = dump.truth();
        let address = truth.json().pointer("/guest/vmcoreinfo_addr").and_then(|value| value.as_str());
        let Some(note) = address.and_then(|text| {
            let digits = text.split_whitespace().next()?.trim_start_matches("0x");
            u64::from_str_radix(digits, 16).ok()
        }) else {
            continue;
        };
        let context = Context::new();
        context.open_paths(&dump.files).unwrap();
        let found: Vec<_> = context.scan_vmcoreinfo().unwrap().map(|found| found.unwrap()).collect();
        let wanted = found.iter().find(|found| found.note && found.address == note + 24);
        let wanted = wanted.unwrap_or_else(|| panic!("{}: {note:#x} in {found:#x?}", dump.name));
        assert_eq!(wanted.line("OSRELEASE"), Some(&*truth.kernel_release()), "{}", dump.name);
        if let Some(text) = truth.vmcoreinfo() {
            assert_eq!(String::from_utf8_lossy(&wanted.text).trim_end(), text.trim_end(), "{}", dump.name);
        }
    }
}
