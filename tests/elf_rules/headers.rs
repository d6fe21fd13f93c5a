//! Sections 1, 3 and 13: the headers, what opens, and what opening says.

use super::*;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile_testkit::elf::{PT_LOAD, Place, Section};
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};

/// A domain with pages of PFN 3 and 9.
fn domain(class: Class, order: ByteOrder) -> ElfBuilder {
    let pages = [data(3, 4096), data(9, 4096)].concat();
    let file = ElfBuilder::new(class, order, 62).section(Section::xen_pages(pages));
    file.section(Section::xen_pfn(order, &[3, 9]))
}

fn is_domain(dump: &Context) {
    assert_eq!(dump.string("file.format").unwrap(), "xc_core_elf");
    assert!(phys(dump, 0x9000).unwrap() == data(9, 4096));
}

fn refused(text: &str) -> (Status, String) {
    fails(Status::NotImplemented, &format!("file #0: {text}"))
}

// 1.1, steps 2 to 4
#[test]
fn each_field_of_the_header_that_is_checked_has_its_message() {
    for (class, order) in encodings() {
        let good = || ElfBuilder::new(class, order, 62).load(0x1000, data(1, 4096));
        let number = if class == Class::Elf32 { 1 } else { 2 };
        let says = |field: &str, value: u64, text: &str| {
            assert_eq!(open_failure(good().patch(field, value).build()), refused(text), "{field} {value}");
        };
        for value in [0, 3, 128, 255] {
            says("ei_data", value, &format!("Unsupported ELF data format: {value}"));
            says("ei_class", value, &format!("Unsupported ELF class: {value}"));
        }
        let class_text = format!("Unsupported ELF class: {number}");
        for value in [0, 1, 2, 3, 5, 0x0400, 0xff04, 0xffff] {
            says("e_type", value, &class_text);
        }
        for value in [0, 2, 0x0100_0000, 0xffff_ffff] {
            says("e_version", value, &class_text);
        }
        // The data format is looked at first.
        let both = good().patch("ei_data", 7).patch("ei_class", 9).build();
        assert_eq!(open_failure(both), refused("Unsupported ELF data format: 7"));
        assert_eq!(open_failure(good().patch("ei_magic", 0).build()), refused("Unknown file format"));
    }
}

// 1.1
#[test]
fn fields_that_mean_nothing_to_a_dump_may_hold_anything() {
    for (class, order) in encodings() {
        let mut file = ElfBuilder::new(class, order, 62).load(0x1000, data(1, 4096));
        let ignored =
            ["ei_version", "ei_osabi", "e_entry", "e_flags", "e_ehsize", "p0.p_flags", "p0.p_align"];
        for field in ignored {
            file = file.patch(field, u64::MAX);
        }
        let dump = open(file.build());
        assert!(phys(&dump, 0x1000).unwrap() == data(1, 4096));
    }
}

// 1.1, step 1, and 13: missing bytes are zeros.
#[test]
fn files_shorter_than_a_header_are_completed_with_zeros() {
    assert_eq!(open_failure(b"\x7fELF\x02\x01\x01".to_vec()), refused("Unsupported ELF class: 2"));
    assert_eq!(open_failure(b"\x7fELF\x01\x02".to_vec()), refused("Unsupported ELF class: 1"));
    assert_eq!(open_failure(b"\x7fELF".to_vec()), refused("Unsupported ELF data format: 0"));
    for short in [&b""[..], b"\x7f", b"\x7fEL"] {
        assert_eq!(open_failure(short), refused("Unknown file format"));
    }
    // A whole header of 52 bytes; its one section is behind the end.
    let file = ElfBuilder::new(Class::Elf32, LITTLE, 3).patch("e_shoff", 52).patch("e_shnum", 1);
    let dump = open(file.truncate(52).build());
    assert_eq!(dump.string("file.format").unwrap(), "elf");
    assert_eq!(dump.number("max_pfn").unwrap(), 0);
    assert_eq!(failure(phys(&dump, 0)), not_found());
}

// 3, steps 1 and 2
#[test]
fn a_dump_needs_content_of_one_file() {
    for (class, order) in encodings() {
        let empty = || ElfBuilder::new(class, order, 62);
        let note = notes_of(order, [Note::vmcoreinfo("A=1")]);
        assert_eq!(open_failure(empty().build()), refused("No content found"));
        assert_eq!(open_failure(empty().note(note).build()), refused("No content found"));
        let other = Segment::load(0, data(1, 64)).p_type(2);
        assert_eq!(open_failure(empty().segment(other).build()), refused("No content found"));
        let sizeless = open(empty().load(0x5000, []).build());
        assert_eq!(sizeless.number("max_pfn").unwrap(), 5);
        assert_eq!(stored(&sizeless), []);
        let (good, layout) = empty().load(0, data(1, 4096)).build_with_layout();
        let cut = layout.field("p0.p_type").offset as usize;
        assert_eq!(open_failure(&good[..cut]), refused("No content found"));
        let two = failure(try_open_set(&[good.clone(), good]));
        assert_eq!(two, refused("Multiple files not implemented"));
    }
}

// Conventions: the name stands in front instead of the number.
#[test]
fn named_files_are_named_in_errors() {
    let dump = Context::new();
    dump.set_file_names(&[Some("vmcore")]).unwrap();
    let bad = x86_64().patch("ei_data", 9).build();
    let text = "vmcore: Unsupported ELF data format: 9";
    assert_eq!(failure(dump.open_bytes(bad)), fails(Status::NotImplemented, text));
}

// 1.2, step 3
#[test]
fn segments_of_other_types_are_ignored() {
    for (class, order) in encodings() {
        let mut file = ElfBuilder::new(class, order, 62).segment(load(0x8000, 0x8000, 1, 4096));
        for p_type in [0, 2, 3, 5, 6, 7, 0x6474_e551, 0x0100_0000, 0x7fff_ffff, 0xffff_ffff] {
            file = file.segment(load(0x2000, 0x2000, 2, 4096).p_type(p_type));
        }
        let dump = open(file.build());
        assert_eq!(stored(&dump), [(8, 8)]);
        assert_eq!(dump.number("max_pfn").unwrap(), 9);
    }
}

// 1.2: ELF32 files with the strides of ELF64 exist.
#[test]
fn entries_may_be_longer_than_a_header() {
    for (class, order) in encodings() {
        for stride in [56, 64, 100, 0xfff0] {
            let file = ElfBuilder::new(class, order, 62).phentsize(stride);
            let note = notes_of(order, [Note::vmcoreinfo("A=1")]);
            let dump = open(file.load(0x1000, data(1, 4096)).note(note).load(0x4000, data(2, 4096)).build());
            assert!(phys(&dump, 0x4000).unwrap() == data(2, 4096), "{stride}");
            assert!(is_set(&dump, "linux.vmcoreinfo.lines.A"));
            if stride > 56 {
                is_domain(&open(domain(class, order).shentsize(stride).build()));
            }
        }
    }
}

// 1.2
#[test]
fn entries_shorter_than_a_header_are_corrupt_if_there_are_any() {
    for (class, order) in encodings() {
        for stride in [0, 1, class.phdr_size() - 1] {
            let file = ElfBuilder::new(class, order, 62).load(0x1000, data(1, 4096));
            let bad = file.patch("e_phentsize", stride as u64).build();
            assert_eq!(open_failure(bad).0, Status::Corrupt, "{stride}");
            is_domain(&open(domain(class, order).patch("e_phentsize", stride as u64).build()));
        }
        for stride in [0, 1, class.shdr_size() - 1] {
            let bad = domain(class, order).patch("e_shentsize", stride as u64).build();
            assert_eq!(open_failure(bad).0, Status::Corrupt, "{stride}");
            let file = ElfBuilder::new(class, order, 62).load(0x1000, data(1, 4096));
            open(file.patch("e_shentsize", stride as u64).build());
        }
    }
}

// 1.2, "Keep": what lies behind the end is zero.
#[test]
fn tables_may_reach_behind_the_end_of_the_file() {
    for (class, order) in encodings() {
        let head = class.ehdr_size() as u64;
        // The file ends right behind the last header, before the end of its entry.
        let file = ElfBuilder::new(class, order, 62).phentsize(200).phdrs_at(Place::End);
        let (image, layout) = file.load(0x2000, data(1, 4096)).build_with_layout();
        let end = layout.field("p0.p_type").offset as usize + class.phdr_size();
        let dump = open(&image[..end]);
        assert!(phys(&dump, 0x2000).unwrap() == data(1, 4096));
        // Far more entries than the file has room for.
        let (image, layout) = ElfBuilder::new(class, order, 62)
            .phdrs_at(Place::End)
            .load(0x2000, data(1, 4096))
            .patch("e_phnum", 0xfffe)
            .build_with_layout();
        let dump = open(image);
        assert_eq!((layout.segments[0], stored(&dump)), (head, vec![(2, 2)]));
        // The header itself is cut, too: its last fields are zero.
        let file = ElfBuilder::new(class, order, 62).phdrs_at(Place::End).load(0x2000, data(1, 64));
        let (image, layout) = file.build_with_layout();
        let memsz = layout.field("p0.p_memsz").offset as usize;
        if order == LITTLE {
            let dump = open(&image[..memsz]);
            assert_eq!((stored(&dump), dump.number("max_pfn").unwrap()), (vec![(2, 2)], 2));
        }
        let dump = open(domain(class, order).shdrs_at(Place::End).patch("e_shnum", 0xfff0).build());
        is_domain(&dump);
    }
}

// 1.2, step 2
#[test]
fn counts_that_do_not_fit_are_in_section_0() {
    for (class, order) in encodings() {
        let file =
            || ElfBuilder::new(class, order, 62).load(0x1000, data(1, 4096)).load(0x3000, data(2, 4096));
        let dump = open(file().extended_phnum().build());
        assert_eq!(stored(&dump), [(1, 1), (3, 3)]);
        assert!(phys(&dump, 0x3000).unwrap() == data(2, 4096));
        is_domain(&open(domain(class, order).extended_shnum().build()));
        is_domain(&open(domain(class, order).extended_strndx().build()));
        let all = domain(class, order).extended_shnum().extended_strndx().extended_phnum();
        is_domain(&open(all.load(0x100_0000, data(5, 4096)).build()));
        // Section 0 says less than there is: the rest does not exist.
        let few = file().extended_phnum().patch("s0.sh_info", 1).build();
        assert_eq!(stored(&open(few)), [(1, 1)]);
        // Without a section the number stands for itself.
        let none = file().patch("e_phnum", 0xffff).patch("e_shoff", 0).phdrs_at(Place::End).build();
        assert_eq!(stored(&open(none)), [(1, 1), (3, 3)]);
    }
}

// 1.2, 14.1
#[test]
fn more_segments_than_16_bits_can_count_are_all_found() {
    const COUNT: u64 = 70_000;
    let page = data(1, 4096);
    let mut file = x86_64();
    for i in 0..COUNT {
        // In descending order, all of them the same page of the file.
        let start = (COUNT - i) * 0x2000;
        file = file.segment(Segment::load(start, []).filesz(4096).offset(64).vaddr(start));
    }
    let mut image = file.phdrs_at(Place::At(8192)).build();
    image[64..64 + 4096].copy_from_slice(&page);
    let dump = open(image);
    assert_eq!(dump.number("max_pfn").unwrap(), 2 * COUNT + 1);
    assert_eq!(stored(&dump).len() as u64, COUNT);
    for i in [1, 2, 65534, 65535, 65536, COUNT - 1, COUNT] {
        assert!(phys(&dump, i * 0x2000).unwrap() == page && virt(&dump, i * 0x2000).unwrap() == page);
        assert_eq!(failure(phys(&dump, i * 0x2000 + 0x1000)), not_found());
    }
}

// 1.2, step 5
#[test]
fn without_a_string_table_sections_have_no_names() {
    for (class, order) in encodings() {
        let count = 4;
        for file in [
            domain(class, order).without_string_table(),
            domain(class, order).patch("e_shstrndx", 0),
            domain(class, order).patch("e_shstrndx", count),
            domain(class, order).patch("e_shstrndx", 0xfffe),
            domain(class, order).patch("e_shstrndx", 0xffff),
            domain(class, order).patch("s3.sh_size", 0),
            domain(class, order).patch("s3.sh_offset", 0xffff_fff0),
        ] {
            let dump = open(file.build());
            assert_eq!(dump.string("file.format").unwrap(), "elf");
            assert!(!is_set(&dump, "xen.type") && !is_set(&dump, "xen.xlat"));
        }
    }
}

// 1.2: the end of the table ends the last name, but completes no other one.
#[test]
fn names_end_at_a_nul_or_at_the_end_of_their_table() {
    for (class, order) in encodings() {
        let table = domain(class, order).unterminated_strings();
        is_domain(&open(table.build()));
        let (image, layout) = domain(class, order).build_with_layout();
        let pfn_name = 1 + ".xen_pages".len() as u64 + 1;
        let mut cut = image.clone();
        layout.field("s3.sh_size").put(&mut cut, order, pfn_name + ".xen_pfn".len() as u64);
        is_domain(&open(cut));
        let mut cut = image.clone();
        layout.field("s3.sh_size").put(&mut cut, order, pfn_name + ".xen_pf".len() as u64);
        assert_eq!(open_failure(cut), refused("Missing Xen P2M mapping"));
        // A name may be the end of another one, but not its beginning.
        let mut tail = image;
        layout.field("s2.sh_name").put(&mut tail, order, pfn_name + 1);
        assert_eq!(open_failure(tail), refused("Missing Xen P2M mapping"));
    }
}

// 7: names are matched exactly, the type of a section does not matter.
#[test]
fn sections_are_known_by_their_whole_name_and_by_no_type() {
    for name in [".xen_page", ".xen_pages2", "xen_pages", ".XEN_PAGES", ".xen_prstatus2", ".xen_shared_info"]
    {
        let file =
            x86_64().section(Section::new(name, data(1, 4096))).section(Section::xen_pfn(LITTLE, &[0]));
        let dump = open(file.build());
        assert_eq!(dump.string("file.format").unwrap(), "elf", "{name}");
    }
    for sh_type in [0, 1, 3, 7, 8, u32::MAX] {
        let pages = Section::xen_pages(data(9, 4096)).sh_type(sh_type);
        let table = Section::xen_pfn(LITTLE, &[9]).sh_type(sh_type);
        is_domain(&open(x86_64().section(pages).section(table).build()));
    }
}

// 1.2: sections are only there if the header says where.
#[test]
fn sections_without_a_position_do_not_exist() {
    for (class, order) in encodings() {
        let nothing = ElfBuilder::new(class, order, 62).patch("e_shnum", 5).patch("e_shstrndx", 1);
        assert_eq!(open_failure(nothing.clone().build()), refused("No content found"));
        let dump = open(nothing.load(0x1000, data(1, 4096)).build());
        assert!(phys(&dump, 0x1000).unwrap() == data(1, 4096));
    }
}

// 14, observations 3 and 4: QEMU 7.2 has the sections first.
#[test]
fn tables_may_stand_in_any_order_and_sections_be_big_endian() {
    for (class, order) in encodings() {
        for (phdrs, shdrs) in [
            (Place::End, Place::Auto),
            (Place::Auto, Place::End),
            (Place::At(0x10001), Place::At(0x20003)),
            (Place::At(0x20003), Place::At(0x10001)),
        ] {
            let file = ElfBuilder::new(class, order, 62)
                .phdrs_at(phdrs)
                .shdrs_at(shdrs)
                .patch("e_ehsize", 8)
                .load(0x1000, data(1, 4096))
                .note(notes_of(order, [Note::vmcoreinfo("A=1")]))
                .section(Section::new(".nothing", data(2, 100)));
            let dump = open(file.build());
            assert!(phys(&dump, 0x1000).unwrap() == data(1, 4096));
            assert!(is_set(&dump, "linux.vmcoreinfo.lines.A"));
        }
    }
}

// 3: attributes of a minimal dump, set and unset.
#[test]
fn a_minimal_dump_has_these_attributes_and_no_others() {
    for (class, order) in encodings() {
        let dump = open(ElfBuilder::new(class, order, 62).load(0x1800, data(1, 4096)).build());
        let bits = if class == Class::Elf32 { 32 } else { 64 };
        assert_eq!(dump.string("file.description").unwrap(), format!("ELF{bits} dump"));
        assert_eq!(dump.string("file.format").unwrap(), "elf");
        assert_eq!(dump.number("max_pfn").unwrap(), 2);
        for path in ["arch.machine", "arch.byte_order", "arch.pteval_size", "file.pagemap", "memory.pagemap"]
        {
            assert!(is_set(&dump, path), "{path}");
        }
        for path in [
            "xen.type",
            "xen.xlat",
            "cpu.number",
            "file.zero_excluded",
            "linux.vmcoreinfo.raw",
            "linux.phys_base",
            "linux.uts.release",
            "file.eraseinfo.raw",
            "addrxlat.ostype",
        ] {
            assert_eq!(failure(dump.get(path)), no_value(), "{path}");
        }
    }
}

/// Opens a file that cannot be read at `range`.
fn open_with_hole(image: &[u8], range: std::ops::Range<u64>) -> Result<Context> {
    let script = Script::new(0).with(When::Touches(range), Fault::Fail(EIO.into()));
    let source: Source = Shared::new(FaultyReader::with_script(image.to_vec(), script));
    try_open_sources(vec![source])
}

// 13: parts of a file of their own blocks, so that nothing else reads them.
#[test]
fn parts_that_cannot_be_read_are_named_with_their_position() {
    const FAR: u64 = 0x10_0000;
    let says = |file: ElfBuilder, at: u64, text: &str| {
        let found = failure(open_with_hole(&file.build(), at..at + 1));
        assert_eq!(found, fails(Status::System, &format!("file #0: {text}: {EIO}")));
    };
    for (class, order) in encodings() {
        let file = || ElfBuilder::new(class, order, 62).load(0x1000, data(1, 4096));
        let far = || file().load(0x4000, data(2, 64)).phdrs_at(Place::At(FAR));
        says(far(), FAR, &format!("Cannot read ELF program header #0 at {FAR}"));
        let far = || domain(class, order).shdrs_at(Place::At(FAR));
        says(far(), FAR, &format!("Cannot read ELF section header #0 at {FAR}"));
        let far = || file().extended_phnum().shdrs_at(Place::At(FAR));
        says(far(), FAR, &format!("Cannot read ELF section header #0 at {FAR}"));
        let note = || Segment::note(notes_of(order, [Note::vmcoreinfo("A=1")])).place(Place::At(FAR));
        says(file().segment(note()), FAR, &format!("Cannot read ELF notes at {FAR}"));
        let pages = || ElfBuilder::new(class, order, 62).section(Section::xen_pages(data(1, 64)));
        let table = Section::xen_pfn(order, &[1]).place(Place::At(FAR));
        let text = format!("Cannot create Xen PFN map: Cannot read Xen map at {FAR}");
        says(pages().section(table), FAR, &text);
        let table = Section::xen_p2m(order, &[(1, 1)]).place(Place::At(FAR));
        let text = format!("Cannot create Xen P2M map: Cannot read Xen map at {FAR}");
        says(pages().section(table), FAR, &text);
        let notes = Section::xen_notes(notes_of(order, [Note::vmcoreinfo("A=1")])).place(Place::At(FAR));
        says(domain(class, order).section(notes), FAR, "Cannot read '.note.Xen'");
        let contexts = Section::xen_prstatus(data(1, 6000)).place(Place::At(FAR));
        says(domain(class, order).section(contexts), FAR, "Cannot read '.xen_prstatus'");
        let names = 0x10;
        let (image, layout) = domain(class, order).data_align(0x8_0000).build_with_layout();
        let strings = layout.sections[2];
        let found = failure(open_with_hole(&image, strings..strings + names));
        let text = format!("file #0: Cannot read ELF string table at {strings}: {EIO}");
        assert_eq!(found, fails(Status::System, &text));
    }
}

// 13: whichever read fails, it is told, and nothing is open.
#[test]
fn every_read_that_fails_while_opening_is_an_error() {
    let notes = notes_of(LITTLE, [Note::vmcoreinfo("A=1")]);
    let image = domain(Class::Elf64, LITTLE).load(0, data(1, 64)).note(notes).data_align(0x4000).build();
    let mut reads = 0;
    loop {
        let dump = Context::new();
        let source: Source = Shared::new(FaultyReader::new(image.clone()).fail_nth(reads, EIO));
        let Err(error) = dump.open(vec![source]) else { break };
        assert_eq!(error.status(), Status::System);
        let text = error.message();
        assert!(text.starts_with("file #0: Cannot ") && text.ends_with(EIO), "{text}");
        assert!(dump.spaces().is_empty() && !is_set(&dump, "file.format"));
        reads += 1;
    }
    assert!(reads >= 3, "{reads}");
}

// 1.2: the entry is counted and found also in a long table.
#[test]
fn the_entry_that_cannot_be_read_is_told_by_its_number() {
    const TABLE: u64 = 0x1000;
    const STRIDE: u64 = 0x8000;
    let mut file = x86_64().phdrs_at(Place::At(TABLE)).phentsize(STRIDE as u16);
    for i in 0..200 {
        file = file.segment(Segment::load(i << 12, data(i, 16)).p_type(PT_LOAD));
    }
    let image = file.build();
    for bad in [0, 3, 64, 150, 199] {
        let at = TABLE + bad * STRIDE;
        let text = format!("file #0: Cannot read ELF program header #{bad} at {at}: {EIO}");
        let found = failure(open_with_hole(&image, at..at + 56));
        assert_eq!(found, fails(Status::System, &text));
    }
}
