//! What a reader does where the reference does wrong, nothing, or merely
//! differently: the table "Beyond the reference" (section 20), row by row.

mod support;

use kdumpfile::{Blob, Context, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::{self, Codec};
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, Page};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::flatten::{Flattener, Order, Record};
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::notes::{Note, NoteWriter, Utsname, prstatus};
use support::*;

/// A dump with one page as it is stored.
fn one_page(page: Page) -> Context {
    open(DiskdumpBuilder::default().page(1, page).build())
}

fn packed(payload: Vec<u8>, flags: u32) -> Context {
    one_page(Page::Stored { payload, flags, size: None })
}

// Row 1.
#[test]
fn a_file_cut_behind_its_header_opens_without_pages() {
    let dump = open(dump_of([0, 1]).truncate(464).build());
    assert!(stored(&dump).is_empty());
    assert_eq!(dump.number("max_pfn").unwrap(), 2);
    assert_eq!(failure(page(&dump, 0)), excluded());
}

// Row 1: what lies behind the end is zero.
#[test]
fn raw_data_behind_the_end_of_the_file_reads_as_zeros() {
    let builder = DiskdumpBuilder::default().data(0, page_bytes(4), Codec::Raw);
    let (file, layout) = builder.build_with_layout();
    for cut in [0, 1, 100, 4095] {
        let dump = open(file[..layout.data as usize + cut].to_vec());
        let mut want = page_bytes(4);
        want[cut..].fill(0);
        assert!(page(&dump, 0).unwrap() == want, "{cut}");
    }
}

// Row 2.
#[test]
fn a_descriptor_without_offset_is_an_incomplete_page() {
    for (size, flags) in [(0, 0), (4096, 0), (17, 1)] {
        let hole = Page::Descriptor { offset: 0, size, flags, page_flags: 0 };
        let dump = open(dump_of([0]).page(1, hole).status(8).build());
        assert_eq!(failure(page(&dump, 1)), fails(Status::NoData, "Incomplete page"));
        set(&dump, "file.zero_excluded", 1);
        assert_eq!(page(&dump, 1).unwrap(), [0; 4096]);
        set(&dump, "file.zero_excluded", 0);
        assert_eq!(failure(page(&dump, 1)).0, Status::NoData);
        assert!(page(&dump, 0).unwrap() == page_bytes(0));
    }
}

// Row 3.
#[test]
fn descriptors_that_cannot_be_are_refused_before_anything_is_read() {
    let descriptor = |offset, size, flags| Page::Descriptor { offset, size, flags, page_flags: 0 };
    for wrong in [
        descriptor(8192, u32::MAX, 1),
        descriptor(8192, 2 * 4096 + 1025, 0x20),
        descriptor(1, 100, 1),
        descriptor(4095, 4096, 0),
        descriptor(u64::MAX, 100, 1),
        descriptor(1 << 63, 4096, 0),
        descriptor(i64::MAX as u64, 4096, 0),
        descriptor(u64::MAX - 50, 100, 2),
    ] {
        let dump = one_page(wrong.clone());
        assert_eq!(failure(page(&dump, 1)).0, Status::Corrupt, "{wrong:?}");
    }
}

// Row 3: expanded pages are accepted.
#[test]
fn a_page_that_grew_when_it_was_compressed_is_read() {
    let mut rng = kdumpfile_testkit::image::Rng::new(1);
    let noise: Vec<u8> = (0..512).flat_map(|_| rng.next_u64().to_le_bytes()).collect();
    for codec in [Codec::Zlib, Codec::Lzo, Codec::Snappy, Codec::Zstd] {
        let payload = codec.compress(&noise);
        assert!(payload.len() > 4096, "{codec:?}");
        assert!(page(&packed(payload, codec.flag()), 1).unwrap() == noise, "{codec:?}");
    }
}

// Row 4: the limit of version 6 has 64 bits.
#[test]
fn pages_above_16_tib_are_read_in_version_6() {
    let pfn = (1u64 << 32) + 5;
    let (dump, at) = huge(6, pfn, pfn + 1);
    assert_eq!(dump.number("max_pfn").unwrap(), pfn + 1);
    assert_eq!(stored(&dump), [(pfn, pfn)]);
    assert!(page(&dump, pfn).unwrap() == page_bytes(1), "data at {at}");
    assert_eq!(failure(page(&dump, 5)), excluded());
    assert_eq!(failure(page(&dump, pfn + 1)), out_of_bounds());
}

// Row 4: until version 5 the bitmap is the limit.
#[test]
fn a_limit_cut_off_at_32_bits_is_that_of_the_bitmap() {
    for version in [1, 5] {
        let dump = open(
            DiskdumpBuilder::default()
                .version(version)
                .patch("max_mapnr", 0xffff_ffff)
                .patch("bitmap_blocks", 0x0006_0000)
                .truncate(8192)
                .build(),
        );
        let bits = 0x0003_0000 * 4096 * 8;
        assert_eq!(dump.number("max_pfn").unwrap(), bits, "version {version}");
        assert_eq!(failure(page(&dump, bits - 1)), excluded());
        assert_eq!(failure(page(&dump, bits)), out_of_bounds());
    }
}

/// A dump of the one page `pfn`, in a file that is mostly a hole; the second
/// bitmap is all that lies in it.
fn huge(version: i32, pfn: u64, limit: u64) -> (Context, u64) {
    let blocks = limit.div_ceil(8).div_ceil(4096);
    let head = DiskdumpBuilder::default()
        .version(version)
        .patch("bitmap_blocks", 2 * blocks)
        .patch("max_mapnr", limit.min(0xffff_ffff))
        .patch("max_mapnr_64", limit)
        .split(pfn / 65536 * 65536..limit)
        .patch("split", 1)
        .build();
    let bitmap = 8192 + blocks * 4096;
    let descriptors = bitmap + blocks * 4096;
    let data = descriptors + 4096;
    let mut descriptor = data.to_le_bytes().to_vec();
    descriptor.extend(4096u32.to_le_bytes());
    descriptor.extend([0; 12]);
    let file = Sparse::new(0)
        .with(0, head[..8192].to_vec())
        .with(bitmap + pfn / 8, vec![1 << (pfn % 8)])
        .with(descriptors, descriptor)
        .with(data, page_bytes(1));
    let source = kdumpfile::sync::Shared::new(file);
    (try_open_sources(vec![source]).unwrap(), data)
}

// Row 5.
#[test]
fn a_missing_64_bit_limit_gives_way_to_the_32_bit_one() {
    let dump = open(dump_of([0, 40]).patch("max_mapnr_64", 0).build());
    assert_eq!(dump.number("max_pfn").unwrap(), 41);
    assert!(page(&dump, 40).unwrap() == page_bytes(40));
}

// Row 6.
#[test]
fn a_limit_beyond_the_bitmap_ends_with_the_bitmap() {
    for limit in [1 << 20, 1 << 52, u64::MAX] {
        let dump = open(dump_of([0, 40]).one_bitmap().patch("max_mapnr_64", limit).build());
        assert_eq!(dump.number("max_pfn").unwrap(), 4096 * 8, "{limit}");
        assert!(page(&dump, 40).unwrap() == page_bytes(40), "{limit}");
    }
}

// Row 10.
#[test]
fn an_arm_dump_of_makedumpfile_counts_from_the_start_of_ram() {
    let base = 0x4000_0000u64 >> 12;
    let arm = || with_pages(DiskdumpBuilder::for_arch(Arch::Arm), [0, 3]).ram(0..10);
    let dump = open(arm().phys_base(0x4000_0000).build());
    assert_eq!(dump.number("file.first_pfn").unwrap(), base);
    assert_eq!(stored(&dump), [(base, base), (base + 3, base + 3)]);
    assert_eq!(ram(&dump), [(base, base + 9)]);
    assert_eq!(dump.number("max_pfn").unwrap(), base + 10);
    assert!(page(&dump, base + 3).unwrap() == page_bytes(3));
    assert_eq!(failure(page(&dump, base + 4)), excluded());
    assert_eq!(failure(page(&dump, base + 10)), out_of_bounds());
}

// Row 10: RAM above phys_base shows that the numbers are absolute.
#[test]
fn an_arm_dump_with_pages_above_phys_base_counts_from_zero() {
    let dump = open(with_pages(DiskdumpBuilder::for_arch(Arch::Arm), [5, 30]).phys_base(4 << 12).build());
    assert!(!is_set(&dump, "file.first_pfn"));
    assert_eq!(stored(&dump), [(5, 5), (30, 30)]);
    assert!(page(&dump, 30).unwrap() == page_bytes(30));
}

// Row 10: opt-out.
#[test]
fn the_user_may_say_from_where_a_dump_counts() {
    let file = with_pages(DiskdumpBuilder::for_arch(Arch::Arm), [0, 3]).phys_base(0x4000_0000).build();
    let dump = Context::new();
    set(&dump, "file.first_pfn", 0);
    dump.open_bytes(file).unwrap();
    assert_eq!(stored(&dump), [(0, 0), (3, 3)]);
    assert!(page(&dump, 3).unwrap() == page_bytes(3));
}

// Row 12.
#[test]
fn bytes_behind_a_zlib_stream_do_not_matter() {
    for tail in [1, 4, 500] {
        let mut payload = compress::zlib(&page_bytes(1), 6);
        payload.extend(vec![0x78; tail]);
        assert!(page(&packed(payload, 1), 1).unwrap() == page_bytes(1), "{tail}");
    }
}

// Row 13.
#[test]
fn bytes_behind_other_streams_are_an_error() {
    let tailed = |codec: Codec| {
        let mut payload = codec.compress(&page_bytes(1));
        payload.push(0);
        failure(page(&packed(payload, codec.flag()), 1))
    };
    assert_eq!(tailed(Codec::Lzo), fails(Status::Corrupt, "Decompression failed: -8"));
    assert_eq!(tailed(Codec::Snappy), fails(Status::Corrupt, "Decompression failed: 1"));
    assert_eq!(tailed(Codec::Zstd), fails(Status::Corrupt, "Decompression failed: Src size is incorrect"));
}

// Row 14.
#[test]
fn zstd_pages_may_be_several_frames_of_every_kind() {
    let want = page_bytes(1);
    let (one, two) = want.split_at(2048);
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for payload in [
        [compress::zstd(one), compress::zstd(two)].concat(),
        [skippable.clone(), compress::zstd(&want)].concat(),
        [compress::zstd(one), skippable, compress::zstd(two)].concat(),
        compress::zstd_with_checksum(&want, true),
        compress::zstd_with_checksum(&want, false),
        compress::zstd_level(&want, 19),
    ] {
        assert!(page(&packed(payload, 0x20), 1).unwrap() == want);
    }
}

// Row 16, and section 9.2 for the bits that mean nothing.
#[test]
fn the_first_of_several_compressor_bits_counts_and_others_are_ignored() {
    for (codec, flags) in [
        (Codec::Zlib, vec![0x01, 0x03, 0x27, 0x09, 0xffff_ffff]),
        (Codec::Lzo, vec![0x02, 0x06, 0x26, 0x42]),
        (Codec::Snappy, vec![0x04, 0x24, 0x0c]),
        (Codec::Zstd, vec![0x20, 0x30, 0xffff_fff8]),
        (Codec::Raw, vec![0x08, 0x10, 0x40, 0xffff_ffd8]),
    ] {
        for flags in flags {
            let dump = packed(codec.compress(&page_bytes(1)), flags);
            assert!(page(&dump, 1).unwrap() == page_bytes(1), "{flags:#x}");
        }
    }
}

// Row 17.
#[test]
fn a_raw_page_of_another_size_is_corrupt() {
    for size in [0, 1, 4095, 4097, 8192, u32::MAX] {
        let page_of = Page::Stored { payload: vec![1; 4096], flags: 0, size: Some(size) };
        let text = format!("Wrong page size: {size}");
        assert_eq!(failure(page(&one_page(page_of), 1)), fails(Status::Corrupt, &text));
    }
}

// Row 18.
#[test]
fn holes_and_filtered_pages_have_the_same_message() {
    let dump = open(dump_of([1]).ram([2]).max_mapnr(6).build());
    assert_eq!(failure(page(&dump, 2)), excluded());
    assert_eq!(failure(page(&dump, 3)), excluded());
}

// Row 20.
#[test]
fn a_split_file_without_a_range_stores_everything() {
    let dump = open(dump_of([0, 5]).patch("split", 1).build());
    assert!(page(&dump, 5).unwrap() == page_bytes(5));
}

// Row 25: crash is stricter; none of that may matter.
#[test]
fn odd_headers_that_other_readers_refuse_open_and_read() {
    for (field, value) in [
        ("nr_cpus", 0),
        ("nr_cpus", 0xffff_ffff),
        ("status", 0xffff_ffff),
        ("current_cpu", 99),
        ("total_ram_blocks", 0xffff_ffff),
        ("tv_sec", u64::MAX),
        ("dump_level", 0xffff_ffff),
        ("page.5.page_flags", u64::MAX),
    ] {
        let dump = open(dump_of([0, 5]).patch(field, value).build());
        assert!(page(&dump, 5).unwrap() == page_bytes(5), "{field}");
    }
}

// Row 27.
#[test]
fn notes_that_end_behind_the_file_are_padded_with_zeros() {
    let notes = vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=3.3.3\n");
    let (mut file, layout) = dump_of([0]).notes(notes.clone()).build_with_layout();
    layout.field("offset_note").put(&mut file, ByteOrder::Little, 0);
    let end = file.len() as u64;
    file.extend(&notes);
    for (size, position) in [(notes.len() as u64 + 5000, end), (10 << 20, end), (500, end + 100_000)] {
        let mut file = file.clone();
        layout.field("offset_note").put(&mut file, ByteOrder::Little, position);
        layout.field("size_note").put(&mut file, ByteOrder::Little, size);
        let dump = open(file);
        assert!(page(&dump, 0).unwrap() == page_bytes(0));
        let found = dump.string("linux.vmcoreinfo.lines.OSRELEASE").ok();
        assert_eq!(found.as_deref(), (position == end).then_some("3.3.3"));
    }
}

// Row 27.
#[test]
fn notes_of_an_absurd_size_are_corrupt() {
    for size in [u64::MAX, 1 << 62, 1 << 40, 257 << 20] {
        let file = dump_of([0]).patch("offset_note", 5000).patch("size_note", size).build();
        let (status, text) = open_failure(file);
        let start = format!("file #0: Cannot read {size} note bytes at 5000: ");
        assert!(status == Status::Corrupt && text.starts_with(&start), "{text}");
    }
}

// Row 28.
#[test]
fn a_prstatus_too_short_for_the_architecture_is_refused() {
    let notes = NoteWriter::new(ByteOrder::Little).push("CORE", 1, vec![0; 100]).finish();
    assert_eq!(
        open_failure(dump_of([0]).notes(notes).build()),
        fails(Status::Corrupt, "file #0: Cannot process arch notes: Wrong PRSTATUS size: 100")
    );
}

// Row 28: the number of CPUs is that of the notes, not the header's.
#[test]
fn each_prstatus_note_is_a_cpu() {
    let cpu = |pid| Note::core(1, prstatus(Arch::X86_64, ByteOrder::Little, pid, |_, _| 3));
    let notes = NoteWriter::new(ByteOrder::Little).note(cpu(5)).note(cpu(6)).finish();
    let dump = open(dump_of([0]).notes(notes).nr_cpus(64).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 2);
    assert_eq!(dump.number("cpu.1.pid").unwrap(), 6);
}

// Row 30.
#[test]
fn bits_above_the_limit_are_visible_but_cannot_be_read() {
    let dump = open(dump_of([1, 6, 9]).patch("max_mapnr", 6).patch("max_mapnr_64", 6).build());
    assert_eq!(dump.number("max_pfn").unwrap(), 6);
    assert_eq!(stored(&dump), [(1, 1), (6, 6), (9, 9)]);
    assert_eq!(failure(page(&dump, 6)), out_of_bounds());
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

// Row 35: bitmaps, notes and ERASEINFO of many megabytes.
#[test]
fn large_parts_are_read_whatever_their_size() {
    let text = "erase x size 8\n".repeat(100_000);
    let notes = NoteWriter::new(ByteOrder::Little)
        .push("BIG", 5, vec![7; 3 << 20])
        .push("VMCOREINFO", 0, "OSRELEASE=8.8.8\n")
        .finish();
    let dump = open(dump_of([0, 5_000_000]).eraseinfo(&text).notes(notes).build());
    assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().len(), text.len());
    assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "8.8.8");
    assert!(page(&dump, 5_000_000).unwrap() == page_bytes(5_000_000));
}

// Row 37.
#[test]
fn streams_are_big_endian_whatever_the_dump_is() {
    for order in ByteOrder::ALL {
        for word in kdumpfile_testkit::diskdump::WordSize::ALL {
            let image = with_pages(DiskdumpBuilder::new(word, order), [0, 5, 77]).build();
            let dump = open(Flattener::new().record_size(500).order(Order::Shuffled(3)).flatten(&image));
            assert_eq!(dump.string("file.description").unwrap(), "Flattened Compressed KDUMP");
            assert_eq!(dump.number("arch.byte_order").unwrap(), u64::from(order == ByteOrder::Little));
            assert!(page(&dump, 77).unwrap() == page_bytes(77));
        }
    }
}

// Row 38.
#[test]
fn a_page_that_is_no_ram_is_read_if_it_is_stored() {
    let dump = open(dump_of([1, 2]).not_ram([2]).build());
    assert_eq!((ram(&dump), stored(&dump)), (vec![(1, 1)], vec![(1, 2)]));
    assert!(page(&dump, 2).unwrap() == page_bytes(2));
}

// Row 22.
#[test]
fn bytes_behind_the_end_mark_are_ignored() {
    let image = dump_of([0, 5]).build();
    let mut stream = Flattener::new().flatten(&image);
    let clean = stream.len();
    stream.extend(Flattener::new().flatten(&dump_of([9]).build()));
    stream.extend([0xff; 100]);
    assert!(stream.len() > clean);
    let dump = open(stream);
    assert_eq!(stored(&dump), [(0, 0), (5, 5)]);
    assert!(page(&dump, 5).unwrap() == page_bytes(5));
}

// Row 23.
#[test]
fn a_stream_inside_a_stream_is_no_dump() {
    let inner = Flattener::new().flatten(&dump_of([0]).build());
    let outer = Flattener::new().flatten(&inner);
    assert_eq!(open_failure(outer), fails(Status::NotImplemented, "file #0: Unknown file format"));
}

// Section 13.3: makedumpfile writes the sub-header again at the end.
#[test]
fn a_later_record_corrects_the_sub_header() {
    let builder = dump_of([0, 5]).eraseinfo("erase y size 4\n");
    let (image, layout) = builder.build_with_layout();
    let mut first = image.clone();
    layout.field("offset_eraseinfo").put(&mut first, ByteOrder::Little, 0);
    layout.field("size_eraseinfo").put(&mut first, ByteOrder::Little, 0);
    let sub = layout.sub_header as usize;
    let stream = Flattener::new()
        .record_size(1000)
        .order(Order::Interleaved(2))
        .record(Record::new(sub as i64, &image[sub..sub + 104]))
        .flatten(&first);
    let dump = open(stream);
    assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"erase y size 4\n");
    assert!(page(&dump, 5).unwrap() == page_bytes(5));
}

// Observation 1 of the real dumps.
#[test]
fn an_inferred_architecture_that_does_not_fit_the_notes_is_no_error() {
    let notes = NoteWriter::new(ByteOrder::Little).push("CORE", 1, vec![0; 100]).finish();
    let dump = open(dump_of([0]).utsname(Utsname::qemu("x86_64")).notes(notes).build());
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    assert!(page(&dump, 0).unwrap() == page_bytes(0));
}

#[test]
fn vmcoreinfo_that_the_user_sets_later_tells_the_architecture() {
    let rows = "OSRELEASE=6.12\nPAGESIZE=4096\nNUMBER(va_kernel_pa_offset)=0xfffffffeffe00000\n";
    let raw = || Value::Blob(Blob::new(rows.into()));
    let unknown = || open(dump_of([0]).utsname(Utsname::qemu("Unknown")).build());
    let dump = unknown();
    assert!(dump.string("arch.name").is_err());
    dump.set("linux.vmcoreinfo.raw", raw()).unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "riscv64");
    assert_eq!(dump.string("arch.inferred").unwrap(), "NUMBER(va_kernel_pa_offset) in VMCOREINFO");
    // Not one that is known, nor that of a machine with a name.
    let dump = unknown();
    dump.set("arch.name", Value::from("x86_64")).unwrap();
    dump.set("linux.vmcoreinfo.raw", raw()).unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    let dump = open(dump_of([0]).utsname(Utsname::linux("6", "mips64")).build());
    dump.set("linux.vmcoreinfo.raw", raw()).unwrap();
    assert!(dump.string("arch.name").is_err());
    // Nor before there is a dump.
    let dump = Context::new();
    dump.set("linux.vmcoreinfo.raw", raw()).unwrap();
    assert!(dump.string("arch.name").is_err());
}

// Section 5.1: what the user set is not overwritten by what the file says.
#[test]
fn phys_base_of_vmcoreinfo_overrides_that_of_the_sub_header() {
    let notes = vmcoreinfo_note(ByteOrder::Little, "NUMBER(phys_base)=16777216\n");
    let dump = open(dump_of([0]).phys_base(0x5000).notes(notes).build());
    assert_eq!(dump.get("linux.phys_base").unwrap().as_address(), Some(16_777_216));
    assert!(matches!(dump.get("max_pfn").unwrap(), Value::Number(1)));
}
