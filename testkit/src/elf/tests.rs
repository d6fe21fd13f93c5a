use super::*;
use crate::image::RamImage;
use crate::peer;

#[test]
fn header_of_a_minimal_elf64_file_is_known_byte_for_byte() {
    let file = ElfBuilder::new(Class::Elf64, ByteOrder::Little, 62).load(0x1000, vec![0xaa; 3]).build();
    let mut want = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    want.extend([4, 0, 62, 0, 1, 0, 0, 0]);
    want.extend([0; 8]); // e_entry
    want.extend([64, 0, 0, 0, 0, 0, 0, 0]); // e_phoff
    want.extend([0; 12]); // e_shoff, e_flags
    want.extend([64, 0, 56, 0, 1, 0, 64, 0, 0, 0, 0, 0]);
    want.extend([1, 0, 0, 0, 7, 0, 0, 0, 120, 0, 0, 0, 0, 0, 0, 0]); // type, flags, offset
    want.extend([0; 8]); // p_vaddr
    want.extend([0, 0x10, 0, 0, 0, 0, 0, 0]); // p_paddr
    want.extend([3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    want.extend([0; 8]); // p_align
    want.extend([0xaa; 3]);
    assert_eq!(file, want);
}

#[test]
fn header_of_a_minimal_big_endian_elf32_file_is_known_byte_for_byte() {
    let file = ElfBuilder::new(Class::Elf32, ByteOrder::Big, 20)
        .segment(Segment::load(u64::MAX, vec![0xbb]).vaddr(0xc000_0000).memsz(0x2000).align(4))
        .build();
    let mut want = vec![0x7f, b'E', b'L', b'F', 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    want.extend([0, 4, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 52]); // type .. phoff
    want.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 52, 0, 32, 0, 1, 0, 40, 0, 0, 0, 0]);
    want.extend([0, 0, 0, 1, 0, 0, 0, 84, 0xc0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    want.extend([0, 0, 0, 1, 0, 0, 0x20, 0, 0, 0, 0, 7, 0, 0, 0, 4, 0xbb]);
    assert_eq!(file, want);
}

#[test]
fn extended_numbers_go_to_section_0() {
    let (file, layout) = ElfBuilder::new(Class::Elf64, ByteOrder::Big, 22)
        .load(0, vec![1; 16])
        .section(Section::xen_pages(vec![2; 16]))
        .extended_phnum()
        .extended_shnum()
        .extended_strndx()
        .build_with_layout();
    let get = |name: &str| layout.field(name).get(&file, ByteOrder::Big);
    assert_eq!((get("e_phnum"), get("e_shnum"), get("e_shstrndx")), (0xffff, 0, 0xffff));
    assert_eq!((get("s0.sh_info"), get("s0.sh_size"), get("s0.sh_link")), (1, 3, 2));
    let strings = usize::try_from(get("s2.sh_offset")).unwrap();
    assert_eq!(&file[strings..strings + 22], b"\0.xen_pages\0.shstrtab\0");
}

#[test]
fn more_segments_than_65535_are_counted_in_section_0() {
    let mut builder = ElfBuilder::new(Class::Elf32, ByteOrder::Little, 3);
    for i in 0..70_000 {
        builder = builder.segment(Segment::load(i * 0x1000, Vec::new()).memsz(0x1000));
    }
    let (file, layout) = builder.build_with_layout();
    let get = |name: &str| layout.field(name).get(&file, ByteOrder::Little);
    assert_eq!((get("e_phnum"), get("s0.sh_info"), get("e_shnum")), (0xffff, 70_000, 1));
    assert_eq!(get("p69999.p_paddr"), 69_999 * 0x1000);
}

#[test]
fn tables_and_data_go_where_they_are_placed() {
    let (file, layout) = ElfBuilder::new(Class::Elf32, ByteOrder::Little, 40)
        .phentsize(56)
        .shentsize(64)
        .phdrs_at(Place::At(0x200))
        .shdrs_at(Place::End)
        .segment(Segment::load(0, b"first".to_vec()).place(Place::At(0x400)))
        .segment(Segment::load(8, b"second".to_vec()).place(Place::End))
        .segment(Segment::load(16, Vec::new()).offset(u64::MAX).filesz(0).memsz(4096))
        .section(Section::new(".note.Xen", b"third".to_vec()))
        .build_with_layout();
    let get = |name: &str| layout.field(name).get(&file, ByteOrder::Little);
    assert_eq!((get("e_phoff"), get("e_phentsize"), get("e_shentsize")), (0x200, 56, 64));
    assert_eq!(layout.field("p1.p_type").offset, 0x200 + 56);
    assert_eq!(&file[0x400..0x405], b"first");
    assert_eq!(get("p2.p_offset"), 0xffff_ffff);
    let second = usize::try_from(get("p1.p_offset")).unwrap();
    assert_eq!(&file[second..second + 6], b"second");
    assert!(get("e_shoff") > get("s1.sh_offset"));
    let third = usize::try_from(get("s1.sh_offset")).unwrap();
    assert_eq!(&file[third..third + 5], b"third");
}

#[test]
fn lies_are_written_over_the_finished_file() {
    let (file, layout) = ElfBuilder::new(Class::Elf64, ByteOrder::Little, 62)
        .load(0, vec![0; 8])
        .patch("e_phnum", 0x1_0005)
        .patch("p0.p_filesz", u64::MAX)
        .patch("ei_data", 9)
        .truncate(100)
        .clone()
        .truncate(200)
        .build_with_layout();
    assert_eq!(layout.field("e_phnum").get(&file, ByteOrder::Little), 5);
    assert_eq!(layout.field("p0.p_filesz").get(&file, ByteOrder::Little), u64::MAX);
    assert_eq!((file[5], file.len()), (9, 200));
}

#[test]
#[should_panic(expected = "no ELF field p0.p_color")]
fn unknown_field_names_are_refused() {
    ElfBuilder::new(Class::Elf64, ByteOrder::Little, 62).load(0, vec![0; 8]).patch("p0.p_color", 1).build();
}

#[test]
fn the_peer_reads_the_same_pages_from_every_class_and_byte_order() {
    let image = RamImage::new(11, 4096);
    for class in Class::ALL {
        for order in ByteOrder::ALL {
            let expected = image.expected((1..5).chain(8..12));
            let ram =
                |pfns: std::ops::Range<u64>| pfns.flat_map(|pfn| image.page_bytes(pfn)).collect::<Vec<_>>();
            let file = ElfBuilder::new(class, order, 62)
                .load(0x1000, ram(1..5))
                .segment(Segment::load(0x8000, ram(8..12)).vaddr(0x8000).memsz(0x6000))
                .data_align(4096)
                .build();
            let Some(report) = peer::report_image(&file, &[]) else { return };
            assert_eq!(report.open_error(), None);
            assert_eq!(report.string("file.format").as_deref(), Some("elf"));
            assert_eq!(report.number("arch.byte_order"), Some(u64::from(order == ByteOrder::Little)));
            assert_eq!(report.number("max_pfn"), Some(14));
            assert_eq!(report.bitmap("file.pagemap").unwrap(), expected.pagemap_ranges());
            assert_eq!(report.pages().unwrap().sha256, expected.sha256());
        }
    }
}

#[test]
fn the_peer_reads_a_xen_domain_by_its_sections() {
    let order = ByteOrder::Little;
    let image = RamImage::new(12, 4096);
    let pfns = [7, 3, 4, 5, 20];
    let pages: Vec<u8> = pfns.iter().flat_map(|&pfn| image.page_bytes(pfn)).collect();
    let file = ElfBuilder::new(Class::Elf64, order, 62)
        .section(Section::xen_pages(pages))
        .section(Section::xen_pfn(order, &pfns))
        .section(Section::xen_prstatus(crate::notes::xen::vcpu_context(order, |i, _| i as u64 + 1)))
        .data_align(4096)
        .build();
    let Some(report) = peer::report_image(&file, &[]) else { return };
    assert_eq!(report.open_error(), None);
    assert_eq!(report.string("file.format").as_deref(), Some("xc_core_elf"));
    assert_eq!(report.number("max_pfn"), Some(21));
    for (i, slot) in crate::notes::xen::vcpu_registers().iter().enumerate() {
        let got = report.number(&format!("cpu.0.reg.{}", slot.name));
        assert_eq!(got, Some(i as u64 + 1), "{}", slot.name);
    }
}

#[test]
fn the_peer_reads_a_file_with_its_headers_at_the_end() {
    let image = RamImage::new(13, 4096);
    let expected = image.expected(2..6);
    let file = ElfBuilder::new(Class::Elf64, ByteOrder::Big, 22)
        .load(0x2000, (2..6).flat_map(|pfn| image.page_bytes(pfn)).collect::<Vec<_>>())
        .phdrs_at(Place::End)
        .phentsize(72)
        .build();
    let Some(report) = peer::report_image(&file, &[]) else { return };
    assert_eq!(report.open_error(), None);
    assert_eq!(report.string("arch.name").as_deref(), Some("s390x"));
    assert_eq!(report.bitmap("file.pagemap").unwrap(), expected.pagemap_ranges());
    assert_eq!(report.pages().unwrap().sha256, expected.sha256());
}
