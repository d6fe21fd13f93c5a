//! Headers and pages of diskdump files, rule by rule. Numbers in comments are
//! sections and "RQ" items of the format description; where the reference has
//! a fault, the test shows the right behaviour.

mod support;

use kdumpfile::{Context, Space, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DISKDUMP, DiskdumpBuilder, Page, SubLayout, WordSize};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::{RamImage, page_bytes};
use kdumpfile_testkit::notes::{Note, NoteWriter, Utsname, prstatus};
use support::*;

/// PFNs at the borders of bytes and words of a bitmap, and one codec for each.
const PFNS: [u64; 10] = [0, 7, 8, 9, 63, 64, 65, 127, 128, 201];

fn all_codecs(builder: DiskdumpBuilder) -> DiskdumpBuilder {
    PFNS.iter().enumerate().fold(builder, |builder, (i, &pfn)| {
        let codec = Codec::ALL[i % Codec::ALL.len()];
        match codec {
            Codec::Raw => builder.data(pfn, page_bytes(pfn), codec),
            codec => builder.page(pfn, Page::forced(&page_bytes(pfn), codec)),
        }
    })
}

struct Row {
    word: WordSize,
    sub: SubLayout,
    order: ByteOrder,
    machine: &'static str,
    arch: &'static str,
    pointer: u64,
}

#[rustfmt::skip]
const ROWS: [Row; 8] = {
    use ByteOrder::{Big, Little};
    use SubLayout::{Aligned32, Packed32};
    use WordSize::{Bits32, Bits64};
    [
        Row { word: Bits32, sub: Packed32, order: Little, machine: "i686", arch: "ia32", pointer: 4 },
        Row { word: Bits32, sub: Packed32, order: Big, machine: "ppc", arch: "ppc", pointer: 4 },
        Row { word: Bits32, sub: Aligned32, order: Little, machine: "armv7l", arch: "arm", pointer: 4 },
        Row { word: Bits32, sub: Aligned32, order: Big, machine: "s390", arch: "s390", pointer: 4 },
        Row { word: Bits64, sub: SubLayout::Bits64, order: Little, machine: "x86_64", arch: "x86_64", pointer: 8 },
        Row { word: Bits64, sub: SubLayout::Bits64, order: Big, machine: "s390x", arch: "s390x", pointer: 8 },
        // A 32-bit writer with a 64-bit time_t (5.2).
        Row { word: Bits64, sub: Aligned32, order: Little, machine: "armv7l", arch: "arm", pointer: 4 },
        Row { word: Bits64, sub: Packed32, order: Little, machine: "i686", arch: "ia32", pointer: 4 },
    ]
};

// Sections 3 to 9 and 14, suggested tests 1 and 3.
#[test]
fn every_version_layout_byte_order_and_codec_reads() {
    const TEXT: &str = "OSRELEASE=6.6.6-info\nPAGESIZE=4096\n";
    for row in ROWS {
        for version in [0, 1, 2, 3, 4, 5, 6, 7, i32::MAX, -1] {
            let what = format!("version {version} of {:?} {:?} {:?}", row.word, row.sub, row.order);
            // Two 32-bit layouts behind a 64-bit header can only be told apart
            // by members that are not in old versions.
            if row.word == WordSize::Bits64 && row.pointer == 4 && (1..6).contains(&version) {
                continue;
            }
            let modern = !(0..4).contains(&version);
            let mut builder = all_codecs(DiskdumpBuilder::new(row.word, row.order))
                .version(version)
                .sub_layout(row.sub)
                .utsname(Utsname::linux("5.4.3-uts", row.machine))
                .ram(0..202)
                .phys_base(0x2000)
                .eraseinfo("erase x size 8\n");
            match version {
                3 => builder = builder.vmcoreinfo(TEXT),
                _ if modern => builder = builder.notes(vmcoreinfo_note(row.order, TEXT)),
                _ => {}
            }
            let dump = try_open(builder.build()).unwrap_or_else(|error| panic!("{what}: {error}"));

            assert_eq!(dump.string("file.format").unwrap(), "diskdump", "{what}");
            assert_eq!(dump.string("file.description").unwrap(), "Compressed KDUMP", "{what}");
            assert_eq!(dump.string("arch.name").unwrap(), row.arch, "{what}");
            let little = u64::from(row.order == ByteOrder::Little);
            for (path, number) in [
                ("arch.byte_order", little),
                ("arch.ptr_size", row.pointer),
                ("arch.page_size", 4096),
                ("arch.page_shift", 12),
                ("max_pfn", 202),
            ] {
                assert_eq!(dump.number(path).unwrap(), number, "{what}: {path}");
            }
            if version == 0 {
                assert!(!is_set(&dump, "linux.phys_base"), "{what}");
            } else {
                assert_eq!(dump.address("linux.phys_base").unwrap(), 0x2000, "{what}");
            }
            // OSRELEASE comes after the header's utsname, except in version 3.
            let release = if modern { "6.6.6-info" } else { "5.4.3-uts" };
            assert_eq!(dump.string("linux.uts.release").unwrap(), release, "{what}");
            let raw = dump.blob("linux.vmcoreinfo.raw").map(|blob| blob.to_vec());
            let has_text = modern || version == 3;
            assert_eq!(raw.ok(), has_text.then(|| TEXT.as_bytes().to_vec()), "{what}");
            let erased = dump.blob("file.eraseinfo.raw").map(|blob| blob.to_vec());
            let has_erased = !(0..5).contains(&version);
            assert_eq!(erased.ok(), has_erased.then(|| b"erase x size 8\n".to_vec()), "{what}");
            assert!(!is_set(&dump, "cpu.number"), "{what}");

            let pagemap = [(0, 0), (7, 9), (63, 65), (127, 128), (201, 201)];
            assert_eq!(stored(&dump), pagemap, "{what}");
            assert_eq!(ram(&dump), [(0, 201)], "{what}");
            for pfn in PFNS {
                assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{what}: page {pfn}");
            }
            assert_eq!(failure(page(&dump, 1)), excluded(), "{what}");
            assert_eq!(failure(page(&dump, 202)), out_of_bounds(), "{what}");
        }
    }
}

// Section 3: 4096 to 262144 bytes, a power of two.
#[test]
fn every_block_size_reads_and_no_other_one_opens() {
    for shift in 12..=18 {
        let size = 1 << shift;
        let image = RamImage::new(3, size);
        let dump = open(
            DiskdumpBuilder::default()
                .block_size(size as u32)
                .pages([0, 3, 9].map(|pfn| (pfn, image.page_bytes(pfn))), Codec::Zstd)
                .build(),
        );
        assert_eq!(dump.number("arch.page_size").unwrap(), size as u64);
        for pfn in [0, 3, 9] {
            assert!(read_block(&dump, pfn, size as u64).unwrap() == image.page_bytes(pfn), "{size}");
        }
    }
    for size in [0, 1, 2048, 4095, 4097, 6144, 262_145, 524_288, 0x8000_0000, 0xffff_f000] {
        let file = dump_of([0]).patch("block_size", size).build();
        assert_eq!(open_failure(file), bad_header(), "{size}");
    }
}

// Section 7, step 4 of section 4.1.
#[test]
fn a_bitmap_too_small_for_max_mapnr_is_no_header() {
    let file = |limit| dump_of([0]).patch("max_mapnr", limit).build();
    // Two blocks of bitmap hold 65 536 bits.
    assert!(try_open(file(65536)).is_ok());
    assert_eq!(open_failure(file(65537)), bad_header());
}

// Section 4.2: nothing below block 1 is needed.
#[test]
fn a_dump_without_sub_header_blocks_and_bitmaps_is_valid() {
    let file = DiskdumpBuilder::default()
        .patch("sub_hdr_size", 0)
        .patch("bitmap_blocks", 0)
        .phys_base(0x1234_5000)
        .truncate(4096 + 80)
        .build();
    let dump = open(file);
    assert_eq!(dump.number("max_pfn").unwrap(), 0);
    assert_eq!(dump.address("linux.phys_base").unwrap(), 0x1234_5000);
    assert!(stored(&dump).is_empty() && ram(&dump).is_empty());
    assert_eq!(failure(page(&dump, 0)), out_of_bounds());
}

// Section 5: the sub-header is in block 1 whatever sub_hdr_size says.
#[test]
fn the_sub_header_is_read_even_if_it_has_no_blocks() {
    let (mut file, layout) = DiskdumpBuilder::default().phys_base(0x77000).build_with_layout();
    layout.field("sub_hdr_size").put(&mut file, ByteOrder::Little, 0);
    layout.field("bitmap_blocks").put(&mut file, ByteOrder::Little, 0);
    assert_eq!(open(file).address("linux.phys_base").unwrap(), 0x77000);
}

// RQ 4-a: as a 32-bit header the time and the status would be block size and
// number of bitmap blocks.
#[test]
fn a_time_that_looks_like_a_block_size_does_not_make_a_dump_32_bits_wide() {
    let machines = [("x86_64", 6), ("x86_64", 2), ("mips64", 6), ("mips64", 3), ("", 6)];
    for (machine, version) in machines {
        for micros in [4096, 65536, 262_144] {
            let file = dump_of([0, 5])
                .version(version)
                .utsname(Utsname::qemu(machine))
                .timestamp(1_700_000_000, micros)
                .status(1)
                .build();
            let dump = open(file);
            assert_eq!(dump.number("arch.page_size").unwrap(), 4096, "{machine} {micros}");
            assert_eq!(dump.number("max_pfn").unwrap(), 6, "{machine} {micros}");
            assert!(page(&dump, 5).unwrap() == page_bytes(5), "{machine} {micros}");
        }
    }
}

// Section 4.2: other writers store any time.
#[test]
fn the_time_of_the_dump_may_be_anything() {
    for micros in [1, 4095, 5000, 999_999, u64::MAX] {
        let dump = open(dump_of([3]).timestamp(u64::MAX, micros).build());
        assert!(page(&dump, 3).unwrap() == page_bytes(3), "{micros}");
    }
}

// RQ 4-b: nothing of the candidates that failed stays.
#[test]
fn attributes_come_from_the_reading_that_is_right() {
    let file = dump_of([0, 5]).timestamp(0, 65536).status(8).build();
    let dump = open(file);
    assert_eq!(dump.number("arch.page_shift").unwrap(), 12);
    assert_eq!(dump.number("arch.ptr_size").unwrap(), 8);
    assert_eq!(stored(&dump), [(0, 0), (5, 5)]);
    let bad = dump_of([0]).patch("max_mapnr", 70_000).build();
    assert_eq!(failure(dump.open_bytes(bad)), bad_header());
    for path in ["arch.page_size", "arch.byte_order", "max_pfn", "file.pagemap"] {
        assert!(!is_set(&dump, path), "{path}");
    }
}

// RQ 5-a, row 7.
#[test]
fn version_0_stores_all_pages_of_its_bitmap() {
    let dump = open(dump_of([1, 2, 40]).version(0).ram(0..50).build());
    assert_eq!(stored(&dump), [(1, 2), (40, 40)]);
    assert_eq!(ram(&dump), [(0, 49)]);
    assert!(page(&dump, 40).unwrap() == page_bytes(40));
}

// RQ 5-b, row 8: behind a sub-header of version 4 stands the first note.
#[test]
fn version_4_with_notes_opens_and_has_no_eraseinfo() {
    for row in ROWS.iter().filter(|row| (row.word == WordSize::Bits64) == (row.pointer == 8)) {
        let notes = vmcoreinfo_note(row.order, "OSRELEASE=4.4.4\n");
        let file = with_pages(DiskdumpBuilder::new(row.word, row.order), [1])
            .sub_layout(row.sub)
            .utsname(Utsname::linux("1", row.machine))
            .version(4)
            .notes(notes);
        let dump = open(file.build());
        assert_eq!(dump.string("linux.uts.release").unwrap(), "4.4.4", "{}", row.machine);
        assert!(!is_set(&dump, "file.eraseinfo.raw"), "{}", row.machine);
        assert!(page(&dump, 1).unwrap() == page_bytes(1));
    }
}

// Section 5.1: since version 5 the attribute is there even if it is empty.
#[test]
fn an_absent_eraseinfo_of_version_5_is_an_empty_blob() {
    assert!(open(dump_of([1]).version(5).build()).blob("file.eraseinfo.raw").unwrap().is_empty());
    assert!(open(dump_of([1]).build()).blob("file.eraseinfo.raw").unwrap().is_empty());
}

// Section 6: a note of ERASEINFO comes after the sub-header's.
#[test]
fn an_eraseinfo_note_overrides_that_of_the_sub_header() {
    let notes = NoteWriter::new(ByteOrder::Little).push("ERASEINFO", 0, "from note").finish();
    let dump = open(dump_of([1]).eraseinfo("from sub-header").notes(notes).build());
    assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"from note");
}

// RQ 5-c, row 26.
#[test]
fn vmcoreinfo_is_found_through_the_sub_header_where_no_note_has_it() {
    for version in [4, 5, 6] {
        let builder = dump_of([1]).version(version).vmcoreinfo("OSRELEASE=9.8.7\nPAGESIZE=4096\n");
        let dump = open(builder.build());
        assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "9.8.7");
        let noted = builder.notes(vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=1.2.3\n"));
        let dump = open(noted.build());
        assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "1.2.3");
    }
}

// RQ 5-e, suggested test 2.
#[test]
fn aligned_and_packed_sub_headers_are_told_apart_with_and_without_vmcoreinfo() {
    const TEXT: &str = "OSRELEASE=5.5.5\n";
    for (sub, machine) in [(SubLayout::Aligned32, "armv7l"), (SubLayout::Packed32, "i686")] {
        for order in ByteOrder::ALL {
            for (notes, pointed, version) in [true, false]
                .into_iter()
                .flat_map(|notes| [true, false].map(|pointed| (notes, pointed)))
                .flat_map(|(notes, pointed)| [4, 5, 6].map(|version| (notes, pointed, version)))
            {
                let what = format!("{sub:?} {order:?} {version} notes {notes} vmcoreinfo {pointed}");
                let mut builder = with_pages(DiskdumpBuilder::new(WordSize::Bits32, order), [1, 300])
                    .version(version)
                    .sub_layout(sub)
                    .utsname(Utsname::linux("5", machine));
                if notes {
                    let note = if pointed { vmcoreinfo_note(order, TEXT) } else { other_note(order) };
                    builder = builder.notes(note);
                }
                if pointed {
                    builder = builder.vmcoreinfo(TEXT);
                }
                let dump = open(builder.build());
                assert_eq!(dump.number("max_pfn").unwrap(), 301, "{what}");
                let found = dump.string("linux.vmcoreinfo.lines.OSRELEASE").ok();
                assert_eq!(found, pointed.then(|| "5.5.5".into()), "{what}");
                assert!(page(&dump, 300).unwrap() == page_bytes(300), "{what}");
            }
        }
    }
}

fn other_note(order: ByteOrder) -> Vec<u8> {
    NoteWriter::new(order).push("CORE", 6, vec![7; 160]).finish()
}

// RQ 5-e in a split file: the range is in the right place as well.
#[test]
fn an_aligned_split_file_has_its_own_range() {
    for order in ByteOrder::ALL {
        let builder = with_pages(DiskdumpBuilder::new(WordSize::Bits32, order), 0..80)
            .sub_layout(SubLayout::Aligned32)
            .utsname(Utsname::linux("5", "armv7l"))
            .notes(other_note(order));
        let dump = open(builder.split(32..64).build());
        assert_eq!(stored(&dump), [(32, 63)]);
        assert!((32..64).all(|pfn| page(&dump, pfn).unwrap() == page_bytes(pfn)));
    }
}

// RQ 6-a, row 9, and observation 1 of the real dumps.
#[test]
fn a_header_with_nothing_but_the_machine_tells_the_architecture() {
    let open_as = |machine: &str, order, word| {
        let builder = DiskdumpBuilder::new(word, order).utsname(Utsname::qemu(machine));
        open(with_pages(builder, [1]).build())
    };
    use ByteOrder::{Big, Little};
    for (machine, order, word, arch) in [
        ("x86_64", Little, WordSize::Bits64, Some("x86_64")),
        ("S390X", Big, WordSize::Bits64, Some("s390x")),
        ("i686", Little, WordSize::Bits32, Some("ia32")),
        ("Unknown", Little, WordSize::Bits64, None),
        ("", Little, WordSize::Bits64, None),
    ] {
        let dump = open_as(machine, order, word);
        assert_eq!(dump.string("arch.name").ok().as_deref(), arch, "{machine}");
        assert_eq!(is_set(&dump, "arch.inferred"), arch.is_some(), "{machine}");
        assert!(!is_set(&dump, "linux.uts.machine") && !is_set(&dump, "linux.uts.release"), "{machine}");
    }
}

// RQ 6-a: the user's word counts more.
#[test]
fn an_architecture_set_before_the_open_stays() {
    for machine in ["x86_64", "S390X", "Unknown"] {
        for uts in [Utsname::qemu(machine), Utsname::linux("6", machine)] {
            let dump = Context::new();
            dump.set("arch.name", Value::from("ppc64")).unwrap();
            dump.open_bytes(dump_of([1]).utsname(uts).build()).unwrap();
            assert_eq!(dump.string("arch.name").unwrap(), "ppc64", "{machine}");
            assert!(!is_set(&dump, "arch.inferred"), "{machine}");
        }
    }
}

// Section 6, step 9b: notes of CPUs need the architecture only.
#[test]
fn registers_are_read_for_an_architecture_that_was_set_by_hand() {
    let note = prstatus(Arch::X86_64, ByteOrder::Little, 7, |number, _| 0x1000 + number as u64);
    let notes = NoteWriter::new(ByteOrder::Little).note(Note::core(1, note)).finish();
    let dump = Context::new();
    dump.set("arch.name", Value::from("x86_64")).unwrap();
    dump.open_bytes(dump_of([1]).utsname(Utsname::empty()).notes(notes).build()).unwrap();
    assert_eq!(dump.number("cpu.number").unwrap(), 1);
    assert_eq!(dump.number("cpu.0.pid").unwrap(), 7);
    assert_eq!(dump.number("cpu.0.reg.r15").unwrap(), 0x1000);
}

// Section 6.2, each condition by itself.
#[test]
fn an_insane_utsname_is_not_taken_over() {
    let good = || Utsname::linux("6.1", "x86_64");
    let long = || b"x".repeat(65);
    let cases = [
        (good(), true),
        (Utsname { domainname: long(), ..good() }, true),
        (Utsname { nodename: Vec::new(), domainname: Vec::new(), ..good() }, true),
        (Utsname { nodename: long(), ..good() }, false),
        (Utsname { release: long(), ..good() }, false),
        (Utsname { version: long(), ..good() }, false),
        (Utsname { machine: long(), ..good() }, false),
        (Utsname { sysname: b"linux".to_vec(), ..good() }, false),
        (Utsname { sysname: b"Linux2".to_vec(), ..good() }, false),
        (Utsname { release: Vec::new(), ..good() }, false),
        (Utsname { version: Vec::new(), ..good() }, false),
        (Utsname { machine: Vec::new(), ..good() }, false),
    ];
    for (uts, sane) in cases {
        let dump = open(dump_of([1]).utsname(uts.clone()).build());
        assert_eq!(is_set(&dump, "linux.uts.sysname"), sane, "{uts:?}");
        assert_eq!(is_set(&dump, "linux.uts.nodename"), sane, "{uts:?}");
        assert_eq!(
            dump.string("linux.uts.domainname").map(|name| name.len() == 64).ok(),
            match sane {
                true => Some(uts.domainname.len() > 64),
                false => None,
            }
        );
    }
}

// Section 6.3.
#[test]
fn machine_names_decide_the_architecture_and_its_pointer_size() {
    for (machine, arch) in [
        ("alpha", Some(("alpha", 8))),
        ("ia64", Some(("ia64", 8))),
        ("mips", Some(("mips", 4))),
        ("ppc", Some(("ppc", 4))),
        ("ppc64", Some(("ppc64", 8))),
        ("ppc64le", Some(("ppc64", 8))),
        ("riscv32", Some(("riscv32", 4))),
        ("riscv64", Some(("riscv64", 8))),
        ("s390", Some(("s390", 4))),
        ("s390x", Some(("s390x", 8))),
        ("i386", Some(("ia32", 4))),
        ("i586", Some(("ia32", 4))),
        ("i686", Some(("ia32", 4))),
        ("arm64", Some(("aarch64", 8))),
        ("aarch64", Some(("aarch64", 8))),
        ("armv5tejl", Some(("arm", 4))),
        ("i486", None),
        ("mips64", None),
        ("ppc64el", None),
        // Beyond the reference.
        ("loongarch64", Some(("loongarch64", 8))),
        ("S390X", None),
    ] {
        let dump = open(dump_of([1]).utsname(Utsname::linux("6.1", machine)).build());
        assert_eq!(dump.string("linux.uts.machine").unwrap(), machine);
        assert_eq!(dump.string("arch.name").ok(), arch.map(|arch| arch.0.into()), "{machine}");
        assert_eq!(dump.number("arch.ptr_size").unwrap(), arch.map_or(8, |arch| arch.1), "{machine}");
        // Row 32: pages can be read all the same.
        assert!(page(&dump, 1).unwrap() == page_bytes(1), "{machine}");
    }
}

// RQ 7-a: one bitmap even though two of them would have room for the pages.
#[test]
fn a_single_bitmap_serves_as_both() {
    for pfns in [vec![0, 2, 9], vec![0, 20_000], (0..40).collect()] {
        let dump = open(dump_of(pfns.clone()).one_bitmap().build());
        assert_eq!(dump.number("max_pfn").unwrap(), pfns[pfns.len() - 1] + 1);
        assert_eq!(stored(&dump), ram(&dump));
        for pfn in pfns {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{pfn}");
        }
    }
}

// RQ 7-a: an odd number of blocks is one bitmap of all of them.
#[test]
fn three_blocks_of_bitmap_are_one_bitmap_for_pages_of_two() {
    let pfns = [5, 40_000, 70_000];
    let dump = open(dump_of(pfns).one_bitmap().build());
    assert_eq!(dump.number("max_pfn").unwrap(), 70_001);
    for pfn in pfns {
        assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{pfn}");
    }
}

// RQ 7-b, row 29.
#[test]
fn sizes_of_2_to_the_31_blocks_do_not_overflow() {
    for blocks in [0x8000_0000u64, 0xffff_ffff] {
        assert_eq!(open_failure(dump_of([0]).patch("sub_hdr_size", blocks).build()), bad_header());
    }
    for block_size in [4096, 262_144] {
        let dump = open(
            DiskdumpBuilder::default()
                .block_size(block_size)
                .patch("sub_hdr_size", 0x7fff_ffff)
                .patch("bitmap_blocks", 0xffff_ffff)
                .patch("max_mapnr", 0xffff_ffff)
                .patch("max_mapnr_64", u64::MAX)
                .build(),
        );
        assert_eq!(dump.number("max_pfn").unwrap(), 0xffff_ffff * 8 * u64::from(block_size));
        assert!(stored(&dump).is_empty());
        assert_eq!(failure(page(&dump, 0)), excluded());
    }
}

// RQ 7-c, row 9, and observation 2 of the real dumps.
#[test]
fn blocks_of_64_kib_hold_sixteen_pages_of_4_kib_each() {
    let image = RamImage::new(9, 65536);
    let dump = open(
        DiskdumpBuilder::for_arch(Arch::Aarch64)
            .utsname(Utsname::qemu("Unknown"))
            .block_size(65536)
            .pages([1, 3].map(|block| (block, image.page_bytes(block))), Codec::Zlib)
            .ram(0..6)
            .notes(vmcoreinfo_note(
                ByteOrder::Little,
                "OSRELEASE=6.1\nPAGESIZE=4096\nNUMBER(kimage_voffset)=0xffff7fffc7e00000\n",
            ))
            .build(),
    );
    assert_eq!(dump.string("arch.name").unwrap(), "aarch64");
    assert_eq!(dump.number("arch.page_size").unwrap(), 4096);
    assert_eq!(dump.number("max_pfn").unwrap(), 96);
    assert_eq!(stored(&dump), [(16, 31), (48, 63)]);
    assert_eq!(ram(&dump), [(0, 95)]);
    assert!(read_block(&dump, 1, 65536).unwrap() == image.page_bytes(1));
    for pfn in 48..64u64 {
        let at = (pfn as usize - 48) * 4096;
        assert!(page(&dump, pfn).unwrap() == image.page_bytes(3)[at..at + 4096], "{pfn}");
    }
    assert_eq!(failure(page(&dump, 47)), excluded());
    assert_eq!(failure(page(&dump, 96)), out_of_bounds());
}

// Section 8: ranks are right at the borders of the index's own units.
#[test]
fn descriptors_are_found_on_both_sides_of_every_border() {
    let mut pfns: Vec<u64> = vec![0, 1, 511, 512, 513, 4095, 4096, 65535, 65536, 65537, 131_071, 131_072];
    pfns.extend([300_000, 524_287, 524_288, 1 << 20, (1 << 20) + 1]);
    let builder = pfns
        .iter()
        .fold(DiskdumpBuilder::default(), |builder, &pfn| builder.data(pfn, page_bytes(pfn), Codec::Lzo));
    let dump = open(builder.shuffle_data(5).build());
    for &pfn in &pfns {
        assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "{pfn}");
        for next in [pfn.wrapping_sub(1), pfn + 1].into_iter().filter(|next| *next < 1 << 20) {
            assert_eq!(page(&dump, next).is_ok(), pfns.contains(&next), "{next}");
        }
    }
}

// Section 9.1.
#[test]
fn pages_may_share_their_data_and_lie_in_any_order() {
    let zeros = vec![0; 4096];
    let builder = dump_of([4, 1, 9])
        .data(2, zeros.clone(), Codec::Zlib)
        .data(3, zeros.clone(), Codec::Zlib)
        .share_zero_pages()
        .shuffle_data(77);
    let (file, layout) = builder.build_with_layout();
    let offset = |pfn: u64| layout.field(&format!("page.{pfn}.offset")).get(&file, ByteOrder::Little);
    assert_eq!(offset(2), offset(3));
    let dump = open(file);
    for pfn in [1, 4, 9] {
        assert!(page(&dump, pfn).unwrap() == page_bytes(pfn));
    }
    assert!(page(&dump, 2).unwrap() == zeros && page(&dump, 3).unwrap() == zeros);
}

// RQ in section 9.2.
#[test]
fn zeros_for_excluded_pages_end_when_zero_excluded_is_switched_off() {
    let dump = open(dump_of([1]).max_mapnr(8).build());
    set(&dump, "file.zero_excluded", 1);
    for _ in 0..2 {
        assert_eq!(page(&dump, 3).unwrap(), [0; 4096]);
    }
    assert_eq!(failure(page(&dump, 8)), out_of_bounds());
    set(&dump, "file.zero_excluded", 0);
    assert_eq!(failure(page(&dump, 3)), excluded());
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

// Section 14: it survives an open, also one of another dump.
#[test]
fn zero_excluded_may_be_set_before_the_open() {
    let dump = Context::new();
    set(&dump, "file.zero_excluded", 1);
    for limit in [8, 20] {
        dump.open_bytes(dump_of([1]).max_mapnr(limit).build()).unwrap();
        assert_eq!(page(&dump, limit - 1).unwrap(), [0; 4096]);
    }
}

// Section 15, last line.
#[test]
fn a_read_across_pages_delivers_what_stands_before_the_missing_page() {
    let dump = open(dump_of([1, 2, 4]).build());
    let mut bytes = vec![0xaa; 3 * 4096];
    let (done, result) = dump.read_partial(Space::MachinePhysical, 4096 + 100, &mut bytes);
    assert_eq!((done, failure(result)), (2 * 4096 - 100, excluded()));
    let wanted = [page_bytes(1), page_bytes(2)].concat();
    assert!(bytes[..done] == wanted[100..] && bytes[done..].iter().all(|byte| *byte == 0xaa));
    assert_eq!(dump.read(Space::MachinePhysical, u64::MAX, &mut []), Ok(()));
    let (done, result) = dump.read_partial(Space::MachinePhysical, 4 * 4096 + 10, &mut bytes);
    assert_eq!((done, failure(result)), (4096 - 10, out_of_bounds()));
}

// RQ 12-a: block 1 of the old format holds registers.
#[test]
fn registers_in_an_old_diskdump_are_not_taken_for_a_sub_header() {
    for version in [0, 1, 2, 3, 6] {
        for fill in [0xffu8, 0x01, 0x20] {
            let file = dump_of([0, 2, 9])
                .signature(DISKDUMP)
                .version(version)
                .sub_header_bytes(vec![fill; 1024])
                .tasks(&[0xffff_8000_1234_0000])
                .ram(0..12);
            let dump = open(file.build());
            assert_eq!(dump.string("file.description").unwrap(), "Diskdump");
            assert_eq!(dump.string("file.format").unwrap(), "diskdump");
            assert!(!is_set(&dump, "linux.phys_base") && !is_set(&dump, "file.eraseinfo.raw"));
            assert_eq!(dump.number("max_pfn").unwrap(), 12);
            assert_eq!(stored(&dump), [(0, 0), (2, 2), (9, 9)]);
            assert!(page(&dump, 9).unwrap() == page_bytes(9), "version {version}");
            assert_eq!(failure(page(&dump, 1)), excluded());
        }
    }
}

// Section 12: a full dump has one bitmap, a partial one has two.
#[test]
fn old_diskdumps_have_one_bitmap_or_two() {
    for order in ByteOrder::ALL {
        for word in WordSize::ALL {
            let builder =
                with_pages(DiskdumpBuilder::new(word, order), [0, 9]).signature(DISKDUMP).version(1);
            assert_eq!(ram(&open(builder.clone().ram(0..12).build())), [(0, 11)]);
            let one = open(builder.one_bitmap().build());
            assert_eq!(ram(&one), stored(&one));
            assert!(page(&one, 9).unwrap() == page_bytes(9));
        }
    }
}

// Section 10.5 of the context's description: Space is the only capability.
#[test]
fn pages_are_read_by_machine_physical_address() {
    let dump = open(dump_of([1]).build());
    assert!(dump.spaces().contains(Space::MachinePhysical));
    assert!(!dump.spaces().contains(Space::KernelPhysical));
    assert!(!dump.spaces().contains(Space::KernelVirtual));
    // What keeps the translation from being set up is told first, once.
    assert!(dump.read(Space::KernelVirtual, 0x1000, &mut [0; 8]).is_err());
    let error = dump.read(Space::KernelVirtual, 0x1000, &mut [0; 8]).unwrap_err();
    assert_eq!(error.status(), Status::AddrXlat);
    assert!(error.message().starts_with("Cannot get page I/O address: "));
}
