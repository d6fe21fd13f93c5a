//! Headers, memory and registers of S390 stand-alone dumps, rule by rule (spec
//! 12, section 5), plain and extended.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Space, Status, Value};
use kdumpfile_testkit::endian::{ByteOrder, Bytes};
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::{RamImage, Rng, page_bytes};
use kdumpfile_testkit::notes::{OsInfo, Vmcoreinfo, checksum_reference};
use kdumpfile_testkit::s390dump::{Packing, S390Builder, S390Layout};
use support::*;

fn memory(pages: u64) -> Vec<u8> {
    (0..pages).flat_map(page_bytes).collect()
}

fn plain() -> S390Builder {
    S390Builder::new(memory(20))
}

fn no_end() -> (Status, String) {
    fails(Status::Corrupt, "file #0: End marker not found")
}

// Section 5.2.
#[test]
fn both_architectures_read() {
    for (number, arch, pointer) in [(1, "s390", 4), (2, "s390x", 8)] {
        let dump = open(plain().arch(number).build());
        assert_eq!(dump.string("file.format").unwrap(), "s390dump");
        assert_eq!(dump.string("file.description").unwrap(), "S390 Dump");
        assert_eq!(dump.string("arch.name").unwrap(), arch);
        for (path, number) in [
            ("arch.byte_order", 0),
            ("arch.ptr_size", pointer),
            ("arch.page_size", 4096),
            ("arch.page_shift", 12),
            ("max_pfn", 20),
        ] {
            assert_eq!(dump.number(path).unwrap(), number, "{arch}: {path}");
        }
        for path in ["cpu.number", "linux.uts.release", "linux.vmcoreinfo.raw", "memory.pagemap"] {
            assert!(!is_set(&dump, path), "{arch}: {path}");
        }
        assert_eq!(stored(&dump), [(0, 19)]);
        for pfn in 0..20 {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{arch}: page {pfn}");
        }
        assert_eq!(failure(page(&dump, 20)), out_of_bounds());
        assert_eq!((dump.number("cache.hits").unwrap(), dump.number("cache.misses").unwrap()), (0, 0));
    }
    for number in [0, 3, u32::MAX] {
        let text = format!("file #0: Unsupported dump architecture: {number}");
        assert_eq!(open_failure(plain().arch(number).build()), fails(Status::NotImplemented, &text));
    }
}

// Section 5.2, item 1.
#[test]
fn another_magic_number_is_another_format() {
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    for magic in [0, 0xa819_0173_618f_23fc, 0xfd23_8f61_7301_19a8] {
        assert_eq!(open_failure(plain().patch("magic", magic).build()), unknown, "{magic:#x}");
    }
    assert_eq!(open_failure([0xa8, 0x19, 0x01, 0x73, 0x61, 0x8f, 0x23]), unknown);
    assert_eq!(open_failure(0xa819_0173_618f_23fd_u64.to_be_bytes()), no_end());
}

// Section 5.2, item 3: the signature is known before.
#[test]
fn several_files_are_not_implemented() {
    let files = [plain().build(), plain().build()];
    let text = "file #0: Multiple files not implemented";
    assert_eq!(failure(try_open_set(&files)), fails(Status::NotImplemented, text));
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    assert_eq!(failure(try_open_set(&[vec![0; 4096], plain().build()])), unknown);
}

// Section 5.2, item 4.
#[test]
fn the_end_marker_must_be_there_whole_and_no_older_than_the_header() {
    for file in [
        plain().patch("end", u64::from_be_bytes(*b"DUMP_ENX")).build(),
        plain().patch("mem_size", 19 * 4096).build(),
        plain().patch("mem_size", u64::MAX).build(),
        plain().patch("mem_size", u64::MAX - 4096).build(),
        plain().end_tod(0xcfff_ffff_ffff_ffff).build(),
    ] {
        assert_eq!(open_failure(file), no_end());
    }
    let (whole, layout) = plain().build_with_layout();
    for cut in [4096, 9000, layout.end, layout.end + 7, layout.end + 8, layout.end + 9] {
        let found = try_open(&whole[..cut]).map(drop);
        // The first byte of the time is as it is in the header.
        if cut <= layout.end + 8 {
            assert_eq!(failure(found), no_end(), "cut at {cut}");
        } else {
            found.unwrap();
        }
    }
    assert!(try_open(plain().end_tod(u64::MAX).build()).is_ok());
}

#[test]
fn an_end_marker_that_cannot_be_read_is_named() {
    let (file, layout) = plain().build_with_layout();
    let texts: Vec<String> = (0..40)
        .filter_map(|nth| {
            let reader = FaultyReader::new(file.clone()).fail_nth(nth, "Input/output error");
            try_open_sources(vec![Shared::new(reader) as Source]).err().map(|error| error.message())
        })
        .collect();
    for text in [
        "file #0: Cannot read dump header: Input/output error".to_string(),
        format!("file #0: Cannot read end marker at {}: Input/output error", layout.end),
    ] {
        assert!(texts.contains(&text), "{text} is not in {texts:#?}");
    }
}

// Section 5.1 and 5.3.
#[test]
fn memory_begins_behind_a_header_of_any_size() {
    for size in [4096, 4096 + 512, 8192, 12288, 4097] {
        let (file, layout) = plain().hdr_size(size).build_with_layout();
        assert_eq!(layout.end, size as usize + 20 * 4096);
        let dump = open(file);
        for pfn in [0, 1, 19] {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "header of {size} bytes");
        }
        assert_eq!(failure(page(&dump, 20)), out_of_bounds());
    }
}

#[test]
fn pages_have_the_size_that_the_header_says() {
    for shift in [9, 12, 13, 16] {
        let size = 1u32 << shift;
        let image = RamImage::new(5, size as usize);
        let bytes: Vec<u8> = (0..5).flat_map(|pfn| image.page_bytes(pfn)).collect();
        let dump = open(S390Builder::new(bytes).page_size(size).build());
        assert_eq!(dump.number("arch.page_size").unwrap(), u64::from(size));
        assert_eq!(dump.number("max_pfn").unwrap(), 5);
        for pfn in 0..5 {
            assert!(read_block(&dump, pfn, size.into()).unwrap() == image.page_bytes(pfn), "{size}");
        }
        assert_eq!(failure(read_block(&dump, 5, size.into())), out_of_bounds());
    }
    for size in [0, 3, 4097, 0xffff_ffff] {
        let text = format!("file #0: Invalid page size: {size}");
        let file = plain().patch("page_size", size).build();
        assert_eq!(open_failure(file), fails(Status::Corrupt, &text));
    }
}

// Section 5.3: the number of pages counts, whatever the size of the memory is.
#[test]
fn the_number_of_pages_is_the_limit() {
    let dump = open(plain().num_pages(5).build());
    assert!(page(&dump, 4).unwrap() == page_bytes(4));
    assert_eq!(failure(page(&dump, 5)), out_of_bounds());
    // Into the end marker, and beyond.
    let dump = open(plain().num_pages(30).build());
    let marker = page(&dump, 20).unwrap();
    assert!(marker.starts_with(b"DUMP_END") && marker[16..].iter().all(|byte| *byte == 0));
    assert!(page(&dump, 29).unwrap().iter().all(|byte| *byte == 0));
    assert_eq!(failure(page(&dump, 30)), out_of_bounds());
    let dump = open(plain().num_pages(0).build());
    assert!(stored(&dump).is_empty());
    assert_eq!(failure(page(&dump, 0)), out_of_bounds());
}

#[test]
fn a_read_that_runs_behind_the_last_page_tells_how_far_it_came() {
    let dump = open(plain().build());
    let mut bytes = vec![0; 8192];
    let (done, result) = dump.read_partial(Space::MachinePhysical, 19 * 4096 + 16, &mut bytes);
    assert_eq!((done, failure(result)), (4080, out_of_bounds()));
    assert!(bytes[..4080] == page_bytes(19)[16..]);
}

// --- Registers -------------------------------------------------------------

const LOWCORES: [u32; 3] = [0x8000, 0x4000, 0xa000];

/// Memory in which each lowcore of [`LOWCORES`] has a store-status area with
/// bytes of its own from `at` on.
fn with_states(at: usize, size: usize) -> Vec<u8> {
    let mut bytes = memory(20);
    for (cpu, lowcore) in LOWCORES.into_iter().enumerate() {
        let from = lowcore as usize + at;
        let state = (0..size).map(|i| (i * 7 + cpu + 1) as u8);
        bytes.splice(from..from + size, state);
    }
    bytes
}

// Section 5.1, last paragraph of the plain format.
#[test]
fn registers_of_s390x_are_in_the_lowcores() {
    let bytes = with_states(0x1200, 512);
    let dump = open(S390Builder::new(bytes.clone()).lowcores(&LOWCORES).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 3);
    for (cpu, lowcore) in LOWCORES.into_iter().enumerate() {
        let area = &bytes[lowcore as usize + 0x1200..][..512];
        assert_eq!(dump.blob(&format!("cpu.{cpu}.STORE_STATUS")).unwrap().to_vec(), area);
        for (name, at, width) in [
            ("f0", 0, 8),
            ("f15", 0x78, 8),
            ("r0", 0x80, 8),
            ("r15", 0xf8, 8),
            ("pswm", 0x100, 8),
            ("pswa", 0x108, 8),
            ("prefix", 0x118, 4),
            ("fpc", 0x11c, 4),
            ("todpreg", 0x124, 4),
            ("timer", 0x128, 8),
            ("clock_comparator", 0x130, 8),
            ("a0", 0x140, 4),
            ("a15", 0x17c, 4),
            ("cr0", 0x180, 8),
            ("cr1", 0x188, 8),
            ("cr15", 0x1f8, 8),
        ] {
            let value = dump.number(&format!("cpu.{cpu}.reg.{name}")).unwrap();
            assert_eq!(value, ByteOrder::Big.value(&area[at..at + width]), "{name}");
        }
    }
}

#[test]
fn registers_of_s390_are_in_the_lowcores() {
    let bytes = with_states(0, 512);
    let dump = open(S390Builder::new(bytes.clone()).arch(1).lowcores(&LOWCORES).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 3);
    let lowcore = &bytes[0x4000..][..512];
    for (name, at, width) in [
        ("timer", 0xd8, 8),
        ("clock_comparator", 0xe0, 8),
        ("pswm", 0x100, 4),
        ("pswa", 0x104, 4),
        ("prefix", 0x108, 4),
        ("a0", 0x120, 4),
        ("a15", 0x15c, 4),
        ("f0", 0x160, 8),
        ("f6", 0x178, 8),
        ("r0", 0x180, 4),
        ("r15", 0x1bc, 4),
        ("cr0", 0x1c0, 4),
        ("cr15", 0x1fc, 4),
    ] {
        let value = dump.number(&format!("cpu.1.reg.{name}")).unwrap();
        assert_eq!(value, ByteOrder::Big.value(&lowcore[at..at + width]), "{name}");
    }
}

#[test]
fn lowcores_that_cannot_be_are_left_out() {
    let mut bytes = with_states(0x1200, 512);
    bytes[0x4000 + 0x1200..0x4000 + 0x1400].fill(0);
    let lowcores = [0x8000, 0x4000, 0xa001, 0x7fff_f000, 0x13000, 0xa000];
    let dump = open(S390Builder::new(bytes.clone()).lowcores(&lowcores).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 2);
    let second = dump.blob("cpu.1.STORE_STATUS").unwrap().to_vec();
    assert_eq!(second, bytes[0xa000 + 0x1200..][..512]);
    // No two CPUs share one, and the header has room for 512.
    let file = S390Builder::new(bytes).lowcores(&[0x8000, 0xa000, 0x8000]).patch("cpu_cnt", 3).build();
    assert_eq!(open(file).number("cpu.number").unwrap(), 2);
    let many: Vec<u32> = (0..600).map(|cpu| cpu * 4096).collect();
    let file = S390Builder::new(vec![1; 602 * 4096]).lowcores(&many).build();
    assert_eq!(open(file).number("cpu.number").unwrap(), 512);
}

// --- VMCOREINFO ------------------------------------------------------------

fn text() -> Vec<u8> {
    Vmcoreinfo::linux("6.1.0-s390", 4096).symbol("swapper_pg_dir", 0x9000).to_bytes()
}

/// Memory whose lowcore points to os_info, and that to VMCOREINFO.
fn with_os_info(change: impl FnOnce(&mut OsInfo)) -> Vec<u8> {
    let mut out = Bytes::new(ByteOrder::Big);
    out.put_bytes(0, &vec![0; 20 * 4096]);
    let mut info = OsInfo::new(0x3000, &text());
    change(&mut info);
    out.put_u64(OsInfo::POINTER as usize, 0x2000).put_bytes(0x2000, &info.to_bytes());
    out.put_bytes(0x3000, &text());
    out.into_vec()
}

/// Memory whose lowcore points to a note.
fn with_note() -> Vec<u8> {
    let mut out = Bytes::new(ByteOrder::Big);
    out.put_bytes(0, &vec![0; 20 * 4096]).put_u64(OsInfo::NOTE_POINTER as usize, 0x5000);
    out.put_bytes(0x5000, &vmcoreinfo_note(ByteOrder::Big, core::str::from_utf8(&text()).unwrap()));
    out.into_vec()
}

// Section 5.2, item 8.
#[test]
fn the_lowcore_of_a_linux_kernel_leads_to_vmcoreinfo() {
    let builders: [fn(Vec<u8>) -> S390Builder; 3] = [
        |bytes| S390Builder::new(bytes),
        |bytes| S390Builder::extended(bytes.len()).segment(0, bytes, Packing::Raw),
        |bytes| S390Builder::extended(bytes.len()).segment(0, bytes, Packing::Zlib),
    ];
    for bytes in [with_os_info(|_| {}), with_note()] {
        for builder in builders {
            let file = builder(bytes.clone()).build();
            // Known before the dump is opened, or said afterwards.
            let before = Context::new();
            before.set("addrxlat.ostype", Value::from("linux")).unwrap();
            before.open_bytes(file.clone()).unwrap();
            let after = open(file);
            assert!(!is_set(&after, "linux.vmcoreinfo.raw"));
            after.set("addrxlat.ostype", Value::from("linux")).unwrap();
            for dump in [before, after] {
                assert_eq!(dump.blob("linux.vmcoreinfo.raw").unwrap().to_vec(), text());
                assert_eq!(dump.string("linux.uts.release").unwrap(), "6.1.0-s390");
                assert_eq!(dump.address("linux.vmcoreinfo.SYMBOL.swapper_pg_dir").unwrap(), 0x9000);
            }
        }
    }
}

#[test]
fn vmcoreinfo_that_is_wrong_or_absent_does_not_keep_a_dump_from_opening() {
    let reference = checksum_reference(&text());
    let with = |bytes: Vec<u8>| {
        let dump = Context::new();
        dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
        dump.open_bytes(S390Builder::new(bytes).build()).unwrap();
        dump
    };
    // Both sums over a length that is no multiple of 4 are accepted.
    let dump = with(with_os_info(|info| info.vmcoreinfo.2 = reference));
    assert!(is_set(&dump, "linux.vmcoreinfo.raw"));
    for bytes in
        [with_os_info(|info| info.vmcoreinfo.2 ^= 0x100), with_os_info(|info| info.magic = 1), memory(20)]
    {
        assert!(!is_set(&with(bytes), "linux.vmcoreinfo.raw"));
    }
    // 31 bits: no such pointers.
    let dump = Context::new();
    dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
    dump.open_bytes(S390Builder::new(with_os_info(|_| {})).arch(1).build()).unwrap();
    assert!(!is_set(&dump, "linux.vmcoreinfo.raw"));
}

// --- Extended ----------------------------------------------------------------

/// 100 pages in three segments, with gaps and out of order.
fn extended(packing: [Packing; 3]) -> S390Builder {
    let part = |first: u64, behind: u64| (first..behind).flat_map(page_bytes).collect::<Vec<u8>>();
    S390Builder::extended(100 * 4096)
        .entry_size(5 * 4096)
        .segment(40 * 4096, part(40, 53), packing[0])
        .segment(0, part(0, 9), packing[1])
        .segment(53 * 4096, part(53, 60), packing[2])
}

fn check_extended(dump: &Context, what: &str) {
    assert_eq!(stored(dump), [(0, 8), (40, 59)], "{what}");
    for pfn in (0..100).rev() {
        let expected = if pfn < 9 || (40..60).contains(&pfn) { page_bytes(pfn) } else { vec![0; 4096] };
        assert!(page(dump, pfn).unwrap() == expected, "{what}: page {pfn}");
    }
    assert_eq!(failure(page(dump, 100)), out_of_bounds(), "{what}");
}

#[test]
fn extended_dumps_read_whatever_their_segments_are_stored_as() {
    use Packing::{Mixed, Raw, Zlib};
    for packing in [[Raw; 3], [Zlib; 3], [Mixed; 3], [Raw, Zlib, Mixed], [Mixed, Raw, Zlib]] {
        for block in [512, 4096] {
            let what = format!("{packing:?}, blocks of {block} bytes");
            let dump = open(extended(packing).block(block).build());
            assert_eq!(dump.string("file.format").unwrap(), "s390dump");
            assert_eq!(dump.string("file.description").unwrap(), "Extended S390 Dump");
            assert_eq!(dump.string("arch.name").unwrap(), "s390x");
            assert_eq!(dump.number("max_pfn").unwrap(), 100);
            check_extended(&dump, &what);
        }
    }
    let dump = open(extended([Zlib; 3]).num_pages(0).build());
    assert_eq!(dump.number("max_pfn").unwrap(), 100);
    check_extended(&dump, "no number of pages");
    check_extended(&open(extended([Zlib; 3]).hdr_size(8192).build()), "larger header");
}

#[test]
fn entries_of_a_mebibyte_are_unpacked_once_for_many_pages() {
    let bytes = memory(600);
    let file = S390Builder::extended(bytes.len()).segment(0, bytes.clone(), Packing::Zlib).build();
    let reader = Shared::new(FaultyReader::new(file));
    let dump = try_open_sources(vec![reader.clone() as Source]).unwrap();
    let opened = reader.script().calls().len();
    let mut all = vec![0; bytes.len()];
    dump.read(Space::MachinePhysical, 0, &mut all).unwrap();
    assert!(all == bytes);
    // Three entries: for each its place and its data.
    assert_eq!(reader.script().calls().len() - opened, 6);
}

#[test]
fn segments_need_not_begin_or_end_with_a_page() {
    let mut rng = Rng::new(8);
    let mut expected = vec![0; 16 * 4096];
    let mut builder = S390Builder::extended(expected.len()).entry_size(4096);
    for (start, size, packing) in [
        (100, 50, Packing::Raw),
        (150, 5000, Packing::Zlib),
        (9000, 1, Packing::Raw),
        (12287, 9000, Packing::Mixed),
    ] {
        let bytes: Vec<u8> = (0..size).map(|_| rng.below(4) as u8 + 1).collect();
        expected[start..start + size].copy_from_slice(&bytes);
        builder = builder.segment(start as u64, bytes, packing);
    }
    let dump = open(builder.build());
    for pfn in 0..16 {
        assert!(page(&dump, pfn).unwrap() == expected[pfn as usize * 4096..][..4096], "page {pfn}");
    }
    assert_eq!(stored(&dump), [(0, 5)]);
}

#[test]
fn registers_of_an_extended_dump_are_in_its_memory() {
    let bytes = with_states(0x1200, 512);
    let builder = S390Builder::extended(bytes.len()).segment(0, bytes, Packing::Zlib);
    let dump = open(builder.lowcores(&LOWCORES).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 3);
    assert_eq!(dump.number("cpu.2.reg.pswm").unwrap() & 0xff, (0x107 * 7 + 3) & 0xff);
}

#[test]
fn a_dump_of_no_segment_but_an_empty_one_reads_as_zeros() {
    let dump = open(S390Builder::extended(4 * 4096).segment(0, vec![], Packing::Raw).build());
    assert!(stored(&dump).is_empty());
    assert!(page(&dump, 3).unwrap().iter().all(|byte| *byte == 0));
}

fn patched(field: &str, value: u64) -> (Status, String) {
    open_failure(extended([Packing::Zlib, Packing::Raw, Packing::Zlib]).patch(field, value).build())
}

#[test]
fn segments_that_cannot_be_are_refused() {
    let corrupt = |text: &str| fails(Status::Corrupt, &format!("file #0: {text}"));
    assert_eq!(patched("0.len", 0), corrupt("Wrong length in segment header at 4096"));
    assert_eq!(patched("0.start", u64::MAX - 10), corrupt("Wrong length in segment header at 4096"));
    let entries = corrupt("Wrong number of entries in segment header at 4096");
    assert_eq!(patched("0.entry_count", 2), entries);
    assert_eq!(patched("0.entry_count", 1012), entries);
    assert_eq!(patched("0.len", 16 * 4096), entries);
    assert_eq!(patched("zlib_version", 0), corrupt("Wrong size of compressed entries: 0"));
    assert_eq!(patched("zlib_entry_size", 0), corrupt("Wrong size of compressed entries: 0"));
    let absurd = corrupt("Wrong size of compressed entries: 4294967295");
    assert_eq!(patched("zlib_entry_size", 0xffff_ffff), absurd);
    // Segments that lie in each other.
    assert_eq!(patched("1.start", 45 * 4096).0, Status::Corrupt);
    assert!(patched("1.start", 45 * 4096).1.ends_with("overlap"));
    // The chain leads elsewhere.
    for (field, value) in [
        ("0.size_on_disk", 1),
        ("0.size_on_disk", 0xffff_ffff),
        ("1.len", 5),
        ("1.len", 1 << 40),
        ("2.stop_marker", 0),
    ] {
        assert_eq!(patched(field, value).0, Status::Corrupt, "{field} = {value}");
    }
    for (field, value) in [("end", 0), ("end.tod", 1), ("1.stop_marker", 1)] {
        assert_eq!(patched(field, value), no_end(), "{field} = {value}");
    }
}

#[test]
fn entries_that_cannot_be_fail_alone_and_say_where_they_are() {
    let builder = || extended([Packing::Zlib, Packing::Raw, Packing::Zlib]);
    let dump = open(builder().patch("0.entry_offset.1", 0x7fff_ffff).build());
    for pfn in [40, 45] {
        let (status, text) = failure(page(&dump, pfn));
        assert_eq!(status, Status::Corrupt);
        assert!(text.contains("of the segment at 4096: Wrong place: blocks "), "{text}");
    }
    assert!(page(&dump, 50).unwrap() == page_bytes(50));
    assert!(page(&dump, 0).unwrap() == page_bytes(0));
    let (mut file, _) = builder().build_with_layout();
    file[8192] ^= 0x40;
    let text = "Entry 0 of the segment at 4096: Decompresion failed: incorrect header check";
    assert_eq!(failure(page(&open(file), 44)), fails(Status::Corrupt, text));
    // Stored as it is, but in too few blocks.
    let dump = open(builder().patch("0.entry_offset.0", 1 << 31).build());
    assert_eq!(failure(page(&dump, 44)).0, Status::Corrupt);
}

#[test]
fn each_read_of_an_extended_dump_may_fail_without_a_wrong_byte() {
    let file = extended([Packing::Zlib, Packing::Raw, Packing::Mixed]).lowcores(&[0]).build();
    for nth in 0.. {
        let reader = Shared::new(FaultyReader::new(file.clone()).fail_nth(nth, "Input/output error"));
        let opened = try_open_sources(vec![reader.clone() as Source]);
        let failed = match &opened {
            Err(error) => error.message().ends_with("Input/output error"),
            Ok(dump) => {
                let read = (0..60).filter(|pfn| match page(dump, *pfn) {
                    Ok(bytes) => {
                        let there = *pfn < 9 || *pfn >= 40;
                        assert!(bytes == if there { page_bytes(*pfn) } else { vec![0; 4096] });
                        false
                    }
                    Err(error) => error.message().ends_with("Input/output error"),
                });
                read.count() > 0
            }
        };
        if reader.script().calls().len() as u64 <= nth {
            assert!(!failed);
            break;
        }
    }
}

#[test]
fn fields_are_big_endian_whatever_the_host() {
    let (file, layout): (Vec<u8>, S390Layout) = plain().build_with_layout();
    assert_eq!(layout.field("num_pages").get(&file, ByteOrder::Big), 20);
}
