//! Dumps of Xen domains from before they were ELF files.

mod support;

use kdumpfile::{Context, Space, Status, Value};
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::xc_core::XcCoreBuilder;
use support::{fails, open, open_failure, page, ram, source, stored, try_open_set};

/// Bytes of a `vcpu_guest_context` on x86_64 and on i386.
const CONTEXTS: [(usize, &str); 2] = [(5168, "x86_64"), (2800, "ia32")];

/// A CPU context whose words at these places have these numbers.
fn context(size: usize, words: &[(usize, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (at, word) in words {
        bytes[*at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

/// A PV domain whose pages are at these machine frames, the content is that
/// of the page's number in the file.
fn pv(word: usize, frames: &[Option<u64>]) -> XcCoreBuilder {
    let dump =
        XcCoreBuilder::pv(word).cpu(context(5168, &[(648, 0xffff_ffff_8100_1234), (4984 + 24, 0x42_7000)]));
    (0..).zip(frames).fold(dump, |dump, (number, frame)| dump.page(*frame, page_bytes(number)))
}

const FRAMES: [Option<u64>; 6] = [Some(0x105), Some(0x9000), None, Some(0x104), Some(0x103), Some(0x9001)];

#[test]
fn pages_of_a_pv_domain_are_found_by_their_machine_frames_in_both_word_sizes() {
    for word in [4, 8] {
        let dump = open(pv(word, &FRAMES).build());
        assert_eq!(dump.string("file.format").unwrap(), "xc_core");
        assert_eq!(dump.string("file.description").unwrap(), "Xen xc_core");
        assert_eq!(dump.number("xen.type").unwrap(), 2);
        assert_eq!(dump.number("xen.xlat").unwrap(), 1);
        assert_eq!(dump.number("max_pfn").unwrap(), 0x9002);
        assert_eq!(stored(&dump), [(0x103, 0x105), (0x9000, 0x9001)]);
        for (number, frame) in (0..).zip(FRAMES) {
            if let Some(frame) = frame {
                assert!(page(&dump, frame).unwrap() == page_bytes(number), "frame {frame:#x}");
            }
        }
        for missing in [0, 0x102, 0x106, 0x9002, u64::from(u32::MAX)] {
            assert_eq!(page(&dump, missing).unwrap_err().status(), Status::NoData, "{missing:#x}");
        }
    }
}

#[test]
fn pages_behind_padding_are_found_with_words_of_8_bytes() {
    let dump = open(pv(8, &FRAMES).aligned().build());
    assert!(page(&dump, 0x9001).unwrap() == page_bytes(5));
}

#[test]
fn words_of_4_bytes_are_seen_behind_padding_if_there_are_enough_pages() {
    let frames: Vec<_> = (0..1100).map(|n| Some(0x4000 - 2 * n)).collect();
    let dump = open(pv(4, &frames).aligned().build());
    for number in [0, 1, 1099] {
        assert!(page(&dump, 0x4000 - 2 * number).unwrap() == page_bytes(number), "page {number}");
    }
}

#[test]
fn pages_of_an_hvm_domain_are_at_their_own_number_unless_the_entry_is_all_ones() {
    for word in [4, 8] {
        let builder = XcCoreBuilder::hvm(word).cpu(vec![0; 5168]);
        let entries = [Some(7), None, Some(7), Some(0)];
        let dump =
            (0..).zip(entries).fold(builder, |dump, (number, entry)| dump.page(entry, page_bytes(number)));
        let dump = open(dump.build());
        assert_eq!(dump.string("file.description").unwrap(), "Xen xc_core (HVM)");
        assert_eq!(dump.number("xen.xlat").unwrap(), 0);
        assert!(!support::is_set(&dump, "xen.type"));
        assert_eq!(stored(&dump), [(0, 0), (2, 3)]);
        assert_eq!(ram(&dump), [(0, 0), (2, 3)]);
        assert_eq!(dump.number("max_pfn").unwrap(), 4);
        for pfn in [0, 2, 3] {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "page {pfn}");
            let mut bytes = vec![0; 4096];
            dump.read(Space::KernelPhysical, pfn << 12, &mut bytes).unwrap();
            assert!(bytes == page_bytes(pfn), "page {pfn}");
        }
        assert_eq!(page(&dump, 1).unwrap_err().status(), Status::NoData);
    }
}

#[test]
fn the_size_of_cpu_contexts_tells_the_architecture_and_registers_come_from_them() {
    for (size, arch) in CONTEXTS {
        let (rip, cr3) = if size == 5168 { (648, 4984 + 24) } else { (548, 2716 + 12) };
        let mut dump = XcCoreBuilder::pv(8);
        for cpu in 0..2 {
            dump = dump.cpu(context(size, &[(rip, 0x1000 + cpu), (cr3, 0x42_7000 + cpu)]));
        }
        let dump = open(dump.page(Some(1), page_bytes(0)).build());
        assert_eq!(dump.string("arch.name").unwrap(), arch);
        assert_eq!(dump.number("cpu.number").unwrap(), 2);
        let rip = if arch == "x86_64" { "rip" } else { "eip" };
        for cpu in 0..2 {
            assert_eq!(dump.number(&format!("cpu.{cpu}.reg.{rip}")).unwrap(), 0x1000 + cpu);
            assert_eq!(dump.number(&format!("cpu.{cpu}.reg.cr3")).unwrap(), 0x42_7000 + cpu);
        }
    }
}

#[test]
fn contexts_of_another_size_leave_the_architecture_to_the_user() {
    let dump = XcCoreBuilder::pv(8).cpu(vec![0; 5160]).page(Some(1), page_bytes(3)).build();
    let plain = open(dump.clone());
    assert!(plain.string("arch.name").is_err());
    assert_eq!(plain.number("cpu.number").unwrap(), 1);
    assert_eq!(plain.number("arch.page_size").unwrap(), 4096);
    assert!(page(&plain, 1).unwrap() == page_bytes(3));

    let told = Context::new();
    told.set("arch.name", Value::from("ia32")).unwrap();
    told.open(vec![source(dump)]).unwrap();
    assert_eq!(told.string("arch.name").unwrap(), "ia32");
    assert!(!support::is_set(&told, "cpu.0.reg"));
}

#[test]
fn pages_of_ia64_have_16_kib() {
    let pages = |number: u64| [0, 1, 2, 3].map(|part| page_bytes(4 * number + part)).concat();
    let dump = XcCoreBuilder::pv(8).cpu(vec![0; 9000]).page(Some(5), pages(0)).page(Some(2), pages(1));
    for (path, value) in [("arch.name", Value::from("ia64")), ("arch.page_size", Value::Number(16384))] {
        let context = Context::new();
        context.set(path, value).unwrap();
        context.open(vec![source(dump.build())]).unwrap();
        assert_eq!(context.number("arch.page_size").unwrap(), 16384);
        let mut bytes = vec![0; 16384];
        context.read(Space::MachinePhysical, 2 * 16384, &mut bytes).unwrap();
        assert!(bytes == pages(1), "{path}");
    }
}

#[test]
fn addresses_of_the_kernel_go_through_the_domains_own_table() {
    // Three levels: list of lists at frame 0x100, list, table.
    let table = |entries: &[(usize, u64)]| {
        let mut bytes = vec![0; 4096];
        for (index, frame) in entries {
            bytes[8 * index..8 * index + 8].copy_from_slice(&frame.to_le_bytes());
        }
        bytes
    };
    let dump = pv(8, &[Some(0x777)])
        .page(Some(0x100), table(&[(0, 0x101)]))
        .page(Some(0x101), table(&[(0, 0x102)]))
        .page(Some(0x102), table(&[(5, 0x777)]));
    let context = Context::new();
    context.set("xen.p2m_mfn", Value::Address(0x100)).unwrap();
    context.set("addrxlat.ostype", Value::from("linux")).unwrap();
    context.open(vec![source(dump.build())]).unwrap();
    let mut bytes = vec![0; 4096];
    context.read(Space::KernelPhysical, 5 << 12, &mut bytes).unwrap();
    assert!(bytes == page_bytes(0));
}

#[test]
fn a_frame_in_several_entries_is_the_first_of_these_pages() {
    let dump = open(pv(8, &[Some(3), Some(4), Some(3), Some(4)]).build());
    for (number, frame) in [(0, 3), (1, 4)] {
        assert!(page(&dump, frame).unwrap() == page_bytes(number), "frame {frame}");
    }
}

#[test]
fn a_header_that_lies_is_refused() {
    let text = "file #0: Number of CPUs at 4 is 0";
    let dump = pv(8, &FRAMES);
    assert_eq!(open_failure(dump.clone().header(4, 0).build()), fails(Status::Corrupt, text));
    // The index at 5192 has no room for more than 48 / 4 entries.
    let (status, text) = open_failure(dump.clone().header(8, 13).build());
    assert_eq!(status, Status::Corrupt);
    assert_eq!(text, "file #0: Index of 13 pages at 0x1448 reaches beyond the first page at 0x1478");
    let (status, _) = open_failure(dump.clone().header(20, 0).build());
    assert_eq!(status, Status::Corrupt);
    let multiple = fails(Status::NotImplemented, "file #0: Multiple files not implemented");
    assert_eq!(support::failure(try_open_set(&[dump.build(), vec![0; 10]])), multiple);
}

#[test]
fn the_other_byte_order_is_not_known() {
    let mut bytes = pv(8, &FRAMES).build();
    bytes[..4].reverse();
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    assert_eq!(open_failure(bytes), unknown);
}

#[test]
fn frames_beyond_64_bits_of_address_are_left_out() {
    let dump = open(pv(8, &[Some(1 << 52), Some((1 << 52) - 1), Some(0)]).build());
    assert_eq!(stored(&dump), [(0, 0), ((1 << 52) - 1, (1 << 52) - 1)]);
    assert!(page(&dump, (1 << 52) - 1).unwrap() == page_bytes(1));
}
