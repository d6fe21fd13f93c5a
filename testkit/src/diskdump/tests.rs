use super::*;
use crate::arch::Arch;
use crate::image::{Expected, RamImage};
use crate::notes::{NT_PRSTATUS, Note, NoteWriter, Vmcoreinfo, prstatus};
use crate::peer;
use crate::truth::AttrValue;

/// The worked example of the format description.
#[test]
fn the_worked_example_is_the_same_byte_for_byte() {
    let page: Vec<u8> = (0..4096).map(|i| (i % 251) as u8).collect();
    let file = DiskdumpBuilder::default()
        .utsname(Utsname::linux("6.1.0", "x86_64"))
        .max_mapnr(256)
        .data(0, page.clone(), Codec::Raw)
        .build();
    let mut want = vec![0; 0x5018];
    let mut put = |at: usize, bytes: &[u8]| want[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"KDUMP   \x06\0\0\0Linux");
    put(12 + 65, b"testkit");
    put(12 + 130, b"6.1.0");
    put(12 + 195, b"#1 SMP");
    put(12 + 260, b"x86_64");
    put(12 + 325, b"(none)");
    put(0x1ac, &[0, 0x10, 0, 0]);
    put(0x1b0, &[1, 0, 0, 0]);
    put(0x1b4, &[2, 0, 0, 0]);
    put(0x1b8, &[0, 1, 0, 0]);
    put(0x1cc, &[1, 0, 0, 0]);
    put(0x1060, &[0, 1, 0, 0, 0, 0, 0, 0]);
    put(0x2000, &[1]);
    put(0x3000, &[1]);
    put(0x4000, &[0x18, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0]);
    put(0x4018, &page);
    assert!(file == want, "first difference at {:?}", file.iter().zip(&want).position(|(a, b)| a != b));
}

#[test]
fn headers_have_the_known_sizes() {
    let sizes = |layout: SubLayout| (0..7).map(|v| layout.size(v)).collect::<Vec<_>>();
    assert_eq!(sizes(SubLayout::Packed32), [4, 8, 20, 32, 44, 56, 80]);
    assert_eq!(sizes(SubLayout::Aligned32), [4, 8, 20, 40, 56, 72, 96]);
    assert_eq!(sizes(SubLayout::Bits64), [8, 16, 32, 48, 64, 80, 104]);
    assert_eq!((SubLayout::Bits64.size(7), SubLayout::Bits64.size(-1)), (104, 104));
}

/// The members of `struct kdump_sub_header`: name, first version, C type.
const MEMBERS: [(&str, usize, &str); 14] = [
    ("phys_base", 0, "long"),
    ("dump_level", 1, "int"),
    ("split", 2, "int"),
    ("start_pfn", 2, "long"),
    ("end_pfn", 2, "long"),
    ("offset_vmcoreinfo", 3, "u64"),
    ("size_vmcoreinfo", 3, "long"),
    ("offset_note", 4, "u64"),
    ("size_note", 4, "long"),
    ("offset_eraseinfo", 5, "u64"),
    ("size_eraseinfo", 5, "long"),
    ("start_pfn_64", 6, "u64"),
    ("end_pfn_64", 6, "u64"),
    ("max_mapnr_64", 6, "u64"),
];

#[test]
fn sub_header_fields_are_where_a_c_compiler_puts_them() {
    for (layout, long, u64_align) in
        [(SubLayout::Packed32, 4, 4), (SubLayout::Aligned32, 4, 8), (SubLayout::Bits64, 8, 8)]
    {
        let (_, at) = DiskdumpBuilder::default().sub_layout(layout).build_with_layout();
        for version in 0..=6 {
            let (mut end, mut strictest) = (0_usize, 1);
            for (name, _, c_type) in MEMBERS.iter().filter(|member| member.1 <= version) {
                let (size, align) = match *c_type {
                    "long" => (long, long),
                    "int" => (4, 4),
                    _ => (8, u64_align),
                };
                let start = end.next_multiple_of(align);
                assert_eq!(at.field(name), Field { offset: 4096 + start as u64, width: size }, "{name}");
                (end, strictest) = (start + size, strictest.max(align));
            }
            assert_eq!(layout.size(version as i32), end.next_multiple_of(strictest), "{layout:?} {version}");
        }
    }
}

#[test]
fn notes_stand_directly_behind_the_sub_header_of_their_version() {
    for layout in SubLayout::ALL {
        for version in 4..=7 {
            let notes = NoteWriter::new(ByteOrder::Big).note(Note::vmcoreinfo("A=1\n")).finish();
            let (file, at) = DiskdumpBuilder::new(WordSize::Bits32, ByteOrder::Big)
                .sub_layout(layout)
                .version(version)
                .notes(notes.clone())
                .vmcoreinfo("A=1\n")
                .build_with_layout();
            let start = 4096 + layout.size(version);
            assert_eq!(&file[start..start + notes.len()], notes);
            let get = |name: &str| at.field(name).get(&file, ByteOrder::Big);
            assert_eq!((get("offset_note"), get("size_note")), (start as u64, notes.len() as u64));
            let text = get("offset_vmcoreinfo") as usize;
            assert_eq!(&file[text..text + 4], b"A=1\n");
            assert_eq!(text, start + 24, "inside the note");
        }
    }
}

#[test]
fn bitmaps_count_from_the_lowest_bit_in_both_byte_orders() {
    for order in ByteOrder::ALL {
        let (file, at) = DiskdumpBuilder::new(WordSize::Bits64, order)
            .page(0, Page::SharedZero)
            .page(9, Page::SharedZero)
            .ram(0..4)
            .not_ram([9])
            .build_with_layout();
        let bitmap = |start: u64| file[start as usize..start as usize + 2].to_vec();
        assert_eq!(bitmap(at.bitmap1), [0x0f, 0]);
        assert_eq!(bitmap(at.bitmap2), [0x01, 0x02]);
        assert_eq!(at.field("page.9.offset").get(&file, order), at.data);
        assert_eq!(file.len() as u64, at.data + 4096);
        assert_eq!(at.field("dump_level").get(&file, order), 1);
        assert_eq!(at.field("max_mapnr_64").get(&file, order), 10);
    }
}

#[test]
fn pages_that_do_not_shrink_are_stored_raw_unless_forced() {
    let image = RamImage::new(0, 4096);
    let random = (0..99).find(|&pfn| image.kind(pfn) == crate::image::PageKind::Random).unwrap();
    let bytes = image.page_bytes(random);
    let (file, at) = DiskdumpBuilder::default()
        .data(0, bytes.clone(), Codec::Lzo)
        .page(1, Page::forced(&bytes, Codec::Lzo))
        .build_with_layout();
    let get = |name: &str| at.field(name).get(&file, ByteOrder::Little);
    assert_eq!((get("page.0.size"), get("page.0.flags")), (4096, 0));
    assert_eq!(get("page.1.flags"), 2);
    assert!(get("page.1.size") > 4096);
    assert_eq!(get("status"), 2);
}

#[test]
fn fields_are_patched_after_the_build() {
    let (file, at) = DiskdumpBuilder::default()
        .version(-1)
        .data(3, vec![1; 4096], Codec::Raw)
        .patch("max_mapnr", 0x1_0000_0007)
        .patch("page.3.flags", 0x40)
        .patch("offset_eraseinfo", u64::MAX)
        .build_with_layout();
    let get = |name: &str| at.field(name).get(&file, ByteOrder::Little);
    assert_eq!((get("max_mapnr"), get("page.3.flags")), (7, 0x40));
    assert_eq!((get("offset_eraseinfo"), get("header_version")), (u64::MAX, 0xffff_ffff));
}

fn sample(word: WordSize, order: ByteOrder) -> (DiskdumpBuilder, Expected) {
    let image = RamImage::new(5, 4096);
    let stored = (0..20).chain(63..70).chain([127]);
    let expected = image.expected(stored.clone());
    let mut builder = DiskdumpBuilder::new(word, order).ram(0..130);
    for pfn in stored {
        builder = builder.data(pfn, image.page_bytes(pfn), Codec::ALL[pfn as usize % 5]);
    }
    builder = builder.share_zero_pages();
    for (pfn, codec) in (64..).zip(Codec::ALL) {
        builder = builder.page(pfn, Page::forced(&image.page_bytes(pfn), codec));
    }
    (builder, expected)
}

#[test]
fn the_peer_reads_every_word_size_byte_order_and_version() {
    for word in WordSize::ALL {
        for order in ByteOrder::ALL {
            for version in 1..=6 {
                let (builder, expected) = sample(word, order);
                let file = builder.version(version).phys_base(0x10_0000).shuffle_data(9).build();
                let Some(report) = peer::report_image(&file, &[]) else { return };
                let what = format!("{word:?} {order:?} version {version}");
                assert_eq!(report.open_error(), None, "{what}");
                assert_eq!(report.number("max_pfn"), Some(130), "{what}");
                assert_eq!(report.number("linux.phys_base"), Some(0x10_0000), "{what}");
                assert_eq!(report.bitmap("file.pagemap").unwrap(), expected.pagemap_ranges(), "{what}");
                assert_eq!(report.bitmap("memory.pagemap").unwrap(), [0..=129], "{what}");
                assert_eq!(report.pages().unwrap().sha256, expected.sha256(), "{what}");
            }
        }
    }
}

#[test]
fn the_peer_finds_notes_vmcoreinfo_and_eraseinfo_in_all_sub_header_layouts() {
    for arch in [Arch::Ia32, Arch::Arm, Arch::S390x, Arch::Ppc64, Arch::Aarch64] {
        let order = arch.usual_order();
        let text = Vmcoreinfo::linux("5.10.7", 4096).text();
        let notes = NoteWriter::new(order)
            .note(Note::core(NT_PRSTATUS, prstatus(arch, order, 7, |i, _| i as u64 + 3)))
            .note(Note::vmcoreinfo(&text))
            .finish();
        let file = DiskdumpBuilder::for_arch(arch)
            .data(1, vec![1; 4096], Codec::Zlib)
            .notes(notes)
            .vmcoreinfo(text)
            .eraseinfo("erase x size 8\n")
            .build();
        let Some(report) = peer::report_image(&file, &[]) else { return };
        assert_eq!(report.open_error(), None, "{arch:?}");
        assert_eq!(report.string("arch.name").as_deref(), Some(arch.name()));
        // Debian's 0.5.1 knows only the packed layout of 32-bit sub-headers,
        // so it misses these notes, and it reads no ERASEINFO at all.
        if arch != Arch::Arm {
            let release = report.string("linux.vmcoreinfo.lines.OSRELEASE");
            assert_eq!(release.as_deref(), Some("5.10.7"), "{arch:?}");
            assert_eq!(report.number("cpu.0.pid"), Some(7), "{arch:?}");
        }
        if let Some(AttrValue::Blob { head, .. }) = report.attribute("file.eraseinfo.raw") {
            assert_eq!(head, b"erase x size 8\n");
        }
    }
}

#[test]
fn makedumpfile_puts_a_split_set_together() {
    let Some(makedumpfile) = peer::makedumpfile() else {
        assert!(!peer::in_ci(), "makedumpfile is not installed");
        return;
    };
    let image = RamImage::new(5, 4096);
    let expected = image.expected(0..200);
    let builder = DiskdumpBuilder::default()
        .pages((0..200).map(|pfn| (pfn, image.page_bytes(pfn))), Codec::Zlib)
        .share_zero_pages();
    let dir = peer::scratch_dir("split");
    let mut arguments = vec!["--reassemble".to_string()];
    for (i, file) in builder.build_set(&[64, 128]).iter().enumerate() {
        let path = dir.join(format!("part{i}"));
        std::fs::write(&path, file).unwrap();
        arguments.push(path.to_str().unwrap().to_string());
    }
    let whole = dir.join("whole");
    arguments.push(whole.to_str().unwrap().to_string());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    peer::pipe(&makedumpfile, &arguments, &[]).unwrap();
    let report = peer::report(&[&whole], &[]);
    std::fs::remove_dir_all(&dir).unwrap();
    let Some(report) = report else { return };
    assert_eq!(report.bitmap("file.pagemap").unwrap(), expected.pagemap_ranges());
    assert_eq!(report.pages().unwrap().sha256, expected.sha256());
}

#[test]
fn eraseinfo_stands_behind_the_pages_where_the_sub_header_says() {
    let (file, at) = sample(WordSize::Bits32, ByteOrder::Big)
        .0
        .sub_layout(SubLayout::Aligned32)
        .eraseinfo("erase x size 8\n")
        .build_with_layout();
    let get = |name: &str| at.field(name).get(&file, ByteOrder::Big) as usize;
    assert_eq!(get("offset_eraseinfo") + get("size_eraseinfo"), file.len());
    assert_eq!(&file[get("offset_eraseinfo")..], b"erase x size 8\n");
    assert_eq!(at.field("offset_eraseinfo").offset, 4096 + 56);
}
