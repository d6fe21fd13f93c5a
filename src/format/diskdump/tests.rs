//! Whole files through the public interface: built by the testkit, which
//! knows nothing of the reader.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DISKDUMP, DiskdumpBuilder, Page, SubLayout, WordSize};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::flatten::Flattener;
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::notes::{NT_PRSTATUS, NoteWriter, Utsname, Vmcoreinfo, prstatus};

use crate::io::Source;
use crate::sync::Shared;
use crate::{Context, Error, Result, Space, Status, Value};

const P: u64 = 4096;

fn open(bytes: Vec<u8>) -> Context {
    try_open(vec![bytes]).unwrap()
}

fn try_open(files: Vec<Vec<u8>>) -> Result<Context> {
    let dump = Context::new();
    dump.open(files.into_iter().map(|bytes| Shared::new(bytes) as Source).collect())?;
    Ok(dump)
}

fn read(dump: &Context, pfn: u64) -> Result<Vec<u8>> {
    let mut page = vec![0xa5; P as usize];
    dump.read(Space::MachinePhysical, pfn * P, &mut page)?;
    Ok(page)
}

fn said(error: &Error) -> (Status, String) {
    (error.status(), error.message())
}

fn ranges(dump: &Context, path: &str) -> Vec<(u64, u64)> {
    dump.bitmap(path).unwrap().ranges().map(Result::unwrap).collect()
}

/// Some pages in all encodings, some at the borders of words.
const PFNS: [u64; 7] = [0, 1, 7, 8, 63, 64, 130];

fn filled(builder: DiskdumpBuilder) -> DiskdumpBuilder {
    let codecs = [Codec::Raw, Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd];
    PFNS.into_iter().enumerate().fold(builder.ram(0..160), |builder, (i, pfn)| {
        builder.data(pfn, page_bytes(pfn), codecs[i % codecs.len()])
    })
}

fn check(dump: &Context, what: &str) {
    assert_eq!(dump.number("max_pfn").unwrap(), 160, "{what}");
    for pfn in PFNS {
        assert_eq!(read(dump, pfn).unwrap(), page_bytes(pfn), "{what}, PFN {pfn}");
    }
    let excluded = read(dump, 2).unwrap_err();
    assert_eq!(said(&excluded), (Status::NoData, "Excluded page".into()), "{what}");
    let outside = read(dump, 160).unwrap_err();
    assert_eq!(said(&outside), (Status::NoData, "Out-of-bounds PFN".into()), "{what}");
    let stored = [(0, 1), (7, 8), (63, 64), (130, 130)];
    assert_eq!(ranges(dump, "file.pagemap"), stored, "{what}");
    assert_eq!(ranges(dump, "memory.pagemap"), [(0, 159)], "{what}");
}

#[test]
fn the_worked_example_of_the_specification_opens() {
    let mut bytes = vec![0; 0x5018];
    bytes[..8].copy_from_slice(b"KDUMP   ");
    for (at, value) in
        [(8, 6), (0x1ac, 0x1000), (0x1b0, 1), (0x1b4, 2), (0x1b8, 256), (0x1cc, 1), (0x1060, 256)]
    {
        bytes[at..at + 4].copy_from_slice(&u32::to_le_bytes(value));
    }
    bytes[0x2000] = 1;
    bytes[0x3000] = 1;
    bytes[0x4000..0x4002].copy_from_slice(&[0x18, 0x40]);
    bytes[0x4009] = 0x10;
    bytes[0x4018..].fill(0x77);
    let dump = open(bytes);
    assert_eq!(dump.number("max_pfn").unwrap(), 256);
    assert_eq!(ranges(&dump, "file.pagemap"), [(0, 0)]);
    assert_eq!(ranges(&dump, "memory.pagemap"), [(0, 0)]);
    assert_eq!(read(&dump, 0).unwrap(), [0x77; 4096]);
    assert_eq!(read(&dump, 1).unwrap_err().message(), "Excluded page");
    assert_eq!(read(&dump, 256).unwrap_err().message(), "Out-of-bounds PFN");
}

#[test]
fn every_version_layout_and_byte_order_reads_the_same() {
    for (word, sub) in [
        (WordSize::Bits32, SubLayout::Packed32),
        (WordSize::Bits32, SubLayout::Aligned32),
        (WordSize::Bits64, SubLayout::Bits64),
    ] {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for version in 0..=7 {
                let what = format!("{sub:?} {order:?} version {version}");
                let text = Vmcoreinfo::linux("6.1.0", 4096).to_bytes();
                let notes = NoteWriter::new(order).push("VMCOREINFO", 0, text.clone()).finish();
                let builder = filled(DiskdumpBuilder::new(word, order))
                    .sub_layout(sub)
                    .version(version)
                    .phys_base(0x10_0000)
                    .notes(notes)
                    .vmcoreinfo(text);
                let dump = open(builder.build());
                check(&dump, &what);
                assert_eq!(
                    dump.address("linux.phys_base").ok(),
                    (version > 0).then_some(0x10_0000),
                    "{what}"
                );
                assert_eq!(dump.number("arch.byte_order").unwrap(), u64::from(order == ByteOrder::Little));
                let size = if word == WordSize::Bits32 { 4 } else { 8 };
                assert_eq!(dump.number("arch.ptr_size").unwrap(), size, "{what}");
                let vmcoreinfo = dump.blob("linux.vmcoreinfo.raw");
                assert_eq!(vmcoreinfo.is_ok(), version >= 3, "{what}");
                // In version 3 the header has the last word.
                let release = if version >= 4 { "6.1.0" } else { "6.1.0-testkit" };
                assert_eq!(dump.string("linux.uts.release").unwrap(), release, "{what}");
                assert_eq!(dump.blob("file.eraseinfo.raw").is_ok(), version >= 5, "{what}");
                assert_eq!(dump.string("file.description").unwrap(), "Compressed KDUMP");
                assert_eq!(dump.string("file.format").unwrap(), "diskdump");
                assert!(dump.get("arch.inferred").is_err() && dump.get("file.set.missing").is_err());
            }
        }
    }
}

#[test]
fn aligned_layout_is_recognised_without_vmcoreinfo() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        for notes in [Vec::new(), NoteWriter::new(order).push("OTHER", 9, vec![1; 40]).finish()] {
            for sub in [SubLayout::Packed32, SubLayout::Aligned32] {
                let builder = filled(DiskdumpBuilder::new(WordSize::Bits32, order))
                    .sub_layout(sub)
                    .notes(notes.clone());
                check(&open(builder.build()), &format!("{sub:?} {order:?} {} bytes of notes", notes.len()));
            }
        }
    }
}

#[test]
fn a_64_bit_dump_is_not_taken_for_a_32_bit_one_by_its_timestamp() {
    let builder = filled(DiskdumpBuilder::default()).timestamp(1, 65536).status(1);
    check(&open(builder.build()), "tv_usec looks like a block size");
}

#[test]
fn one_bitmap_serves_for_both_and_flattened_streams_are_the_same() {
    let one = open(filled(DiskdumpBuilder::default()).one_bitmap().build());
    assert_eq!(ranges(&one, "memory.pagemap"), ranges(&one, "file.pagemap"));
    assert_eq!(read(&one, 130).unwrap(), page_bytes(130));
    let plain = filled(DiskdumpBuilder::default()).build();
    let flat = open(Flattener::new().record_size(1000).flatten(&plain));
    check(&flat, "flattened");
    assert_eq!(flat.string("file.description").unwrap(), "Flattened Compressed KDUMP");
}

#[test]
fn old_diskdump_has_registers_where_others_have_a_sub_header() {
    let builder =
        filled(DiskdumpBuilder::default()).signature(DISKDUMP).version(1).sub_header_bytes(vec![0xff; 200]);
    let dump = open(builder.build());
    check(&dump, "DISKDUMP");
    assert_eq!(dump.string("file.description").unwrap(), "Diskdump");
    assert!(dump.get("linux.phys_base").is_err());
}

#[test]
fn excluded_pages_read_as_zeros_on_request_and_not_longer() {
    let page = Page::Descriptor { offset: 0, size: 0, flags: 0, page_flags: 0 };
    let dump = open(filled(DiskdumpBuilder::default()).page(9, page).build());
    assert_eq!(said(&read(&dump, 9).unwrap_err()), (Status::NoData, "Incomplete page".into()));
    dump.set("file.zero_excluded", Value::Number(1)).unwrap();
    assert_eq!(read(&dump, 2).unwrap(), [0; 4096]);
    assert_eq!(read(&dump, 9).unwrap(), [0; 4096]);
    assert_eq!(read(&dump, 160).unwrap_err().message(), "Out-of-bounds PFN");
    dump.set("file.zero_excluded", Value::Number(0)).unwrap();
    assert_eq!(read(&dump, 2).unwrap_err().message(), "Excluded page");
}

#[test]
fn lying_descriptors_are_errors_and_cost_nothing() {
    for (offset, size, flags, message) in [
        (8192, 4095, 0, "Wrong page size: 4095"),
        (8192, 0, 8, "Wrong page size: 0"),
        (8192, u32::MAX, 1, "Wrong compressed page size: 4294967295"),
        (8192, 9217, 0x20, "Wrong compressed page size: 9217"),
        (100, 4096, 0, "Wrong page data position: 100"),
        (u64::MAX, 4096, 0, "Wrong page data position: 18446744073709551615"),
        (1 << 63, 10, 2, "Wrong page data position: 9223372036854775808"),
        (1 << 40, 0, 1, "Decompresion failed: error -3"),
    ] {
        let page = Page::Descriptor { offset, size, flags, page_flags: 0 };
        let dump = open(DiskdumpBuilder::default().page(3, page).build());
        assert_eq!(said(&read(&dump, 3).unwrap_err()), (Status::Corrupt, message.into()));
    }
    // What lies behind the end of the file is zero.
    let page = Page::Descriptor { offset: 1 << 40, size: 4096, flags: 0, page_flags: 0 };
    assert_eq!(read(&open(DiskdumpBuilder::default().page(3, page).build()), 3).unwrap(), [0; 4096]);
    // The first of several flags counts.
    let page = Page::Stored { payload: Codec::Zlib.compress(&page_bytes(3)), flags: 0xff, size: None };
    assert_eq!(read(&open(DiskdumpBuilder::default().page(3, page).build()), 3).unwrap(), page_bytes(3));
}

fn permutations(items: &[Vec<u8>]) -> Vec<Vec<Vec<u8>>> {
    if items.len() < 2 {
        return vec![items.to_vec()];
    }
    let mut all = Vec::new();
    for i in 0..items.len() {
        let mut rest = items.to_vec();
        let first = rest.remove(i);
        all.extend(permutations(&rest).into_iter().map(|mut tail| {
            tail.insert(0, first.clone());
            tail
        }));
    }
    all
}

#[test]
fn split_sets_read_the_same_in_any_order() {
    // The second file stores nothing, the borders are no multiples of 8.
    let set = filled(DiskdumpBuilder::default()).build_set(&[8, 60, 64]);
    for files in permutations(&set) {
        let dump = try_open(files).unwrap();
        check(&dump, "split set");
        assert!(dump.get("file.set.missing").is_err());
        let bitmap = dump.bitmap("file.pagemap").unwrap();
        assert_eq!(bitmap.find_clear(7).unwrap(), 9);
        assert_eq!(bitmap.find_set(9).unwrap(), 63);
        assert_eq!(bitmap.find_set(65).unwrap(), 130);
        let mut bits = [0; 2];
        bitmap.bits(56, 71, &mut bits).unwrap();
        assert_eq!(bits, [0x80, 0x01]);
    }
}

#[test]
fn missing_files_of_a_set_are_told() {
    let mut set = filled(DiskdumpBuilder::default()).build_set(&[8, 60, 100]);
    set.remove(2);
    set.remove(1);
    let dump = try_open(set).unwrap();
    assert_eq!(dump.string("file.set.missing").unwrap(), "8-99");
    assert_eq!(said(&read(&dump, 63).unwrap_err()), (Status::NoData, "Excluded page".into()));
    assert_eq!(read(&dump, 130).unwrap(), page_bytes(130));
    assert_eq!(ranges(&dump, "file.pagemap"), [(0, 1), (7, 7), (130, 130)]);
    assert_eq!(ranges(&dump, "memory.pagemap"), [(0, 159)]);
    let alone = try_open(filled(DiskdumpBuilder::default()).build_set(&[60, 100])[1..2].to_vec()).unwrap();
    assert_eq!(alone.string("file.set.missing").unwrap(), "0-59,100-159");
    assert_eq!(read(&alone, 64).unwrap(), page_bytes(64));
}

#[test]
fn nested_ranges_hide_nothing() {
    let whole = filled(DiskdumpBuilder::default()).split(0..160).build();
    let inner = filled(DiskdumpBuilder::default()).split(60..64).build();
    for files in [vec![whole.clone(), inner.clone()], vec![inner, whole]] {
        check(&try_open(files).unwrap(), "nested");
    }
}

#[test]
fn files_of_a_set_may_differ_in_what_does_not_matter() {
    let builder = filled(DiskdumpBuilder::default());
    let files = vec![
        builder.clone().split(0..64).timestamp(5, 0).version(5).nr_cpus(9).build(),
        builder.split(64..160).status(0x11).build(),
    ];
    check(&try_open(files).unwrap(), "two writers");
    let other = filled(DiskdumpBuilder::default()).block_size(8192);
    let error = try_open(vec![filled(DiskdumpBuilder::default()).build(), other.build()]).err().unwrap();
    assert_eq!(said(&error), (Status::NotImplemented, "file #0: Invalid diskdump header content".into()));
}

#[test]
fn eraseinfo_of_all_files_is_kept() {
    let builder = filled(DiskdumpBuilder::default());
    let files = vec![
        builder.clone().split(0..64).eraseinfo("erase a size 1\n").build(),
        builder.split(64..160).eraseinfo("erase b nullify\n").build(),
    ];
    let dump = try_open(files).unwrap();
    let text = dump.blob("file.eraseinfo.raw").unwrap().to_vec();
    assert_eq!(String::from_utf8_lossy(&text), "erase a size 1\nerase b nullify\n");
}

#[test]
fn qemu_headers_tell_the_architecture_by_the_machine() {
    for (machine, arch, name) in [
        ("S390X", Arch::S390x, "s390x"),
        ("x86_64", Arch::X86_64, "x86_64"),
        ("Unknown", Arch::Aarch64, "aarch64"),
    ] {
        let order = arch.usual_order();
        let status = prstatus(arch, order, 7, |_, _| 0x1234);
        let notes = NoteWriter::new(order).push("CORE", NT_PRSTATUS, status).finish();
        let builder = filled(DiskdumpBuilder::new(WordSize::Bits64, order))
            .utsname(Utsname::qemu(machine))
            .notes(notes);
        let dump = open(builder.build());
        check(&dump, name);
        assert_eq!(dump.string("arch.name").unwrap(), name);
        assert!(dump.string("arch.inferred").is_ok());
        assert_eq!(dump.number("cpu.number").unwrap(), 1);
        assert_eq!(dump.number("cpu.0.pid").unwrap(), 7);
        assert!(dump.get("linux.uts.machine").is_err());
    }
}

#[test]
fn a_wrong_guess_at_the_architecture_does_not_fail_the_open() {
    let notes = NoteWriter::new(ByteOrder::Little).push("CORE", NT_PRSTATUS, vec![0; 20]).finish();
    let builder = filled(DiskdumpBuilder::default()).notes(notes);
    check(&open(builder.clone().utsname(Utsname::qemu("x86_64")).build()), "inferred");
    let error = try_open(vec![builder.build()]).err().unwrap();
    assert_eq!(
        said(&error),
        (Status::Corrupt, "file #0: Cannot process arch notes: Wrong PRSTATUS size: 20".into())
    );
}

#[test]
fn blocks_and_pages_may_differ_in_size() {
    let text = Vmcoreinfo::linux("6.1.0", 4096).to_bytes();
    let notes = NoteWriter::new(ByteOrder::Little).push("VMCOREINFO", 0, text).finish();
    let block = |number: u64| -> Vec<u8> { (number * 16..number * 16 + 16).flat_map(page_bytes).collect() };
    let builder = DiskdumpBuilder::default()
        .block_size(65536)
        .notes(notes)
        .ram(0..4)
        .data(1, block(1), Codec::Zlib)
        .data(3, block(3), Codec::Raw);
    let dump = open(builder.build());
    assert_eq!(dump.number("arch.page_size").unwrap(), 4096);
    assert_eq!(dump.number("max_pfn").unwrap(), 64);
    assert_eq!(ranges(&dump, "file.pagemap"), [(16, 31), (48, 63)]);
    assert_eq!(ranges(&dump, "memory.pagemap"), [(0, 63)]);
    for pfn in (16..32).chain(48..64) {
        assert_eq!(read(&dump, pfn).unwrap(), page_bytes(pfn), "PFN {pfn}");
    }
    assert_eq!(read(&dump, 15).unwrap_err().message(), "Excluded page");
    assert_eq!(read(&dump, 64).unwrap_err().message(), "Out-of-bounds PFN");
}

#[test]
fn vmcoreinfo_without_a_note_is_found() {
    let text = Vmcoreinfo::linux("6.1.0-found", 4096).to_bytes();
    let dump = open(filled(DiskdumpBuilder::default()).vmcoreinfo(&text).build());
    check(&dump, "VMCOREINFO by the sub-header");
    assert_eq!(dump.blob("linux.vmcoreinfo.raw").unwrap().to_vec(), text);
    // What is no VMCOREINFO is left alone.
    let dump = open(filled(DiskdumpBuilder::default()).vmcoreinfo("PAGE or so").build());
    assert!(dump.get("linux.vmcoreinfo.raw").is_err());
}

#[test]
fn arm_page_numbers_count_from_the_start_of_ram() {
    let builder = filled(DiskdumpBuilder::new(WordSize::Bits32, ByteOrder::Little))
        .sub_layout(SubLayout::Aligned32)
        .utsname(Utsname::linux("6.1.0", "armv7l"));
    let dump = open(builder.clone().phys_base(0x4000_0000).build());
    assert_eq!(dump.number("file.first_pfn").unwrap(), 0x40000);
    assert_eq!(dump.number("max_pfn").unwrap(), 0x40000 + 160);
    assert_eq!(read(&dump, 0x40000 + 130).unwrap(), page_bytes(130));
    assert_eq!(read(&dump, 130).unwrap(), page_bytes(130), "as the number in the file");
    let stored = [(0, 1), (7, 8), (63, 64), (130, 130)].map(|(a, b)| (a + 0x40000, b + 0x40000));
    assert_eq!(ranges(&dump, "file.pagemap"), stored);
    // RAM above the base: the numbers are absolute.
    check(&open(builder.phys_base(0x1000).build()), "absolute");
}

#[test]
fn numbers_of_pages_are_bounded_by_the_bitmaps() {
    let build = |field: &str, value| filled(DiskdumpBuilder::default()).patch(field, value).build();
    assert_eq!(open(build("max_mapnr_64", 1 << 52)).number("max_pfn").unwrap(), 2 * 4096 * 8);
    assert_eq!(open(build("max_mapnr_64", 0)).number("max_pfn").unwrap(), 160);
    check(&open(build("header_version", 0xffff_ffff)), "a negative version");
    for (field, value) in
        [("block_size", 5000), ("block_size", 2048), ("max_mapnr", 100_000), ("sub_hdr_size", u64::MAX)]
    {
        let error = try_open(vec![build(field, value)]).err().unwrap();
        let text = "file #0: Invalid diskdump header content".to_string();
        assert_eq!(said(&error), (Status::NotImplemented, text), "{field} {value}");
    }
}

#[test]
fn files_cut_off_anywhere_open_or_fail_cleanly() {
    let whole = filled(DiskdumpBuilder::default()).eraseinfo("erase x nullify\n");
    let (bytes, layout) = whole.build_with_layout();
    for length in
        [0, 8, 463, 464, 4096, 4200, layout.bitmap1 + 3, layout.bitmap2 + 1, layout.descriptors + 30]
    {
        let length = usize::try_from(length).unwrap();
        match try_open(vec![bytes[..length].to_vec()]) {
            Ok(dump) => {
                for pfn in PFNS {
                    if let Err(error) = read(&dump, pfn) {
                        assert!(matches!(error.status(), Status::NoData | Status::Corrupt), "{error}");
                    }
                }
            }
            Err(error) => assert_eq!(error.status(), Status::NotImplemented, "{length}: {error}"),
        }
    }
    let dump = try_open(vec![bytes[..464].to_vec()]).unwrap();
    assert_eq!(ranges(&dump, "file.pagemap"), []);
    assert_eq!(dump.number("max_pfn").unwrap(), 160);
}

#[test]
fn errors_of_the_storage_name_the_file_and_the_place() {
    struct Broken(Vec<u8>, u64);
    impl crate::io::ReadAt for Broken {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            if pos >= self.1 {
                return Err(Error::system("Input/output error"));
            }
            let length = buf.len().min((self.1 - pos) as usize);
            self.0.as_slice().read_at(pos, &mut buf[..length])
        }
        fn len(&self) -> Option<u64> {
            Some(self.0.len() as u64)
        }
    }
    let (bytes, layout) = filled(DiskdumpBuilder::default()).build_with_layout();
    for (end, message) in [
        (4096, "file #0: file #0: Cannot read subheader: Input/output error".to_string()),
        (
            layout.bitmap2,
            format!(
                "file #0: file #0: Cannot read 4096 bytes of page bitmap at {}: Input/output error",
                layout.bitmap2
            ),
        ),
    ] {
        let dump = Context::new();
        let error = dump.open(vec![Shared::new(Broken(bytes.clone(), end))]).unwrap_err();
        assert_eq!(said(&error), (Status::System, message));
    }
    let dump = Context::new();
    dump.open(vec![Shared::new(Broken(bytes.clone(), layout.descriptors))]).unwrap();
    let text = format!("Cannot read page descriptor at {}: Input/output error", layout.descriptors);
    assert_eq!(said(&read(&dump, 0).unwrap_err()), (Status::System, text));
    dump.open(vec![Shared::new(Broken(bytes, layout.data))]).unwrap();
    let error = read(&dump, 0).unwrap_err();
    assert!(error.message().starts_with("Cannot read page data at "), "{error}");
}

#[test]
fn an_endless_bitmap_in_the_hole_of_a_stream_is_refused() {
    let stream = |blocks: u32| {
        let builder = filled(DiskdumpBuilder::default()).patch("block_size", 1 << 18);
        let mut header = builder.patch("bitmap_blocks", blocks.into()).build();
        header.truncate(4096);
        let mut stream = Flattener::new().without_end_mark().flatten(&header);
        for number in [1i64 << 60, 1, -1, -1] {
            stream.extend(number.to_be_bytes());
            if number == 1 {
                stream.push(1);
            }
        }
        stream
    };
    assert_eq!(ranges(&open(stream(64)), "file.pagemap"), []);
    let error = try_open(vec![stream(u32::MAX)]).err().unwrap();
    assert_eq!(said(&error).1, "file #0: Invalid diskdump header content");
}

/// Bytes of unknown length, of which nobody asks for many more than there are.
struct Endless(Vec<u8>);

impl crate::io::ReadAt for Endless {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        assert!(buf.len() < 4 << 20, "{} bytes at {pos}", buf.len());
        self.0.read_at(pos, buf)
    }
}

#[test]
fn notes_end_with_a_file_of_unknown_length() {
    for field in ["size_note", "size_eraseinfo"] {
        let file = DiskdumpBuilder::default()
            .data(1, page_bytes(1), Codec::Raw)
            .notes(NoteWriter::new(ByteOrder::Little).push("ERASEINFO", 0, *b"erase").finish())
            .eraseinfo("erase")
            .patch(field, 250 << 20)
            .build();
        let dump = Context::new();
        dump.open(vec![Shared::new(Endless(file)) as Source]).unwrap();
        assert!(dump.blob("file.eraseinfo.raw").unwrap().to_vec().starts_with(b"erase"));
    }
}
