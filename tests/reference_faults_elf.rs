//! What ELF dumps do to the reference that they should not: crashes, hangs,
//! damaged memory, wrong bytes, attributes of another dump. Here each ends in
//! an error or in the right bytes. Comments name the document and the section
//! that lists the fault.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{AttrType, Blob, Context, Space, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::{Class, ElfBuilder, Place, Section, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::flatten::{Flattener, Order, Record};
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::notes::xen::{CRASH_INFO, CrashInfo, VCPU_CONTEXT_SIZE};
use kdumpfile_testkit::notes::{Note, NoteWriter, Vmcoreinfo, prstatus};
use support::*;

const LITTLE: ByteOrder = ByteOrder::Little;
const BIG: ByteOrder = ByteOrder::Big;

fn x86_64() -> ElfBuilder {
    ElfBuilder::for_arch(Arch::X86_64)
}

fn note(order: ByteOrder, note: Note) -> Vec<u8> {
    NoteWriter::new(order).note(note).finish()
}

fn cpu(arch: Arch, order: ByteOrder, fill: u64) -> Vec<u8> {
    note(order, Note::core(1, prstatus(arch, order, 5, |_, _| fill)))
}

fn virt(dump: &Context, address: u64) -> kdumpfile::Result<Vec<u8>> {
    let mut bytes = vec![0x5a; PAGE as usize];
    dump.read(Space::KernelVirtual, address, &mut bytes)?;
    Ok(bytes)
}

fn not_found() -> (Status, String) {
    fails(Status::NoData, "Page not found")
}

/// Reads at odd places; what comes out does not matter here.
fn poke(dump: &Context) {
    for space in [Space::KernelVirtual, Space::KernelPhysical, Space::MachinePhysical] {
        for address in [0, 1, 4095, 4096, 0x1_0000, 0x8000_0000, u64::MAX - 4095, u64::MAX] {
            let _ = dump.read(space, address, &mut [0; 16]);
            let _ = dump.read_string(space, address);
        }
    }
    for path in ["file.pagemap", "memory.pagemap"] {
        if let Ok(map) = dump.bitmap(path) {
            let _ = (map.find_set(0), map.find_set(u64::MAX), map.find_clear(0), map.find_clear(u64::MAX));
            let _ = (map.bits(0, 15, &mut [0; 2]), map.bits(u64::MAX - 7, u64::MAX, &mut [0; 1]));
        }
    }
}

// --- 10, section 1: headers --------------------------------------------------

// 1.2: entries of 0 bytes crash it, short ones make it read behind its buffer.
#[test]
fn table_entries_without_room_for_a_header_are_corrupt() {
    for class in Class::ALL {
        for stride in 0..class.phdr_size() as u64 {
            let file = ElfBuilder::new(class, LITTLE, 62).load(0, page_bytes(1));
            assert_eq!(
                open_failure(file.patch("e_phentsize", stride).build()).0,
                Status::Corrupt,
                "{stride}"
            );
        }
        for stride in 0..class.shdr_size() as u64 {
            let file = ElfBuilder::new(class, LITTLE, 62).section(Section::new(".a", page_bytes(1)));
            assert_eq!(
                open_failure(file.patch("e_shentsize", stride).build()).0,
                Status::Corrupt,
                "{stride}"
            );
        }
    }
}

// 1.2: the ELF header itself is taken for section headers.
#[test]
fn section_headers_at_position_0_are_none() {
    for number in [1, 5, 0xffff] {
        let file = x86_64().load(0x1000, page_bytes(1)).patch("e_shnum", number).patch("e_shstrndx", 1);
        let dump = open(file.patch("e_shoff", 0).build());
        assert!(page(&dump, 1).unwrap() == page_bytes(1));
    }
}

// 1.2; 14, observation 4: sizes are allocated before they are checked.
#[test]
fn absurd_numbers_of_headers_cost_neither_memory_nor_time() {
    let file = || x86_64().load(0x1000, page_bytes(1)).extended_phnum().extended_shnum();
    for count in [0xffff, 0xffff_ffff] {
        for sections in [2, 0xffff_ffff, 1 << 40, u64::MAX] {
            let bad = file().patch("s0.sh_info", count).patch("s0.sh_size", sections);
            let dump = open(bad.phdrs_at(Place::End).build());
            assert!(page(&dump, 1).unwrap() == page_bytes(1), "{count} {sections}");
        }
    }
}

// 1.2; 14, observation 4: "Cannot allocate ELF string table (7925... bytes)".
#[test]
fn string_tables_of_absurd_size_or_place_are_no_allocations() {
    for order in ByteOrder::ALL {
        for size in [0, 1 << 31, 1 << 62, u64::MAX] {
            let file = ElfBuilder::new(Class::Elf64, order, 62).load(0x1000, page_bytes(1));
            let file = file.section(Section::new(".a", *b"b")).patch("s2.sh_size", size);
            assert!(page(&open(file.clone().build()), 1).unwrap() == page_bytes(1));
            let far = file.patch("s2.sh_offset", u64::MAX - 3).build();
            assert!(page(&open(far), 1).unwrap() == page_bytes(1));
        }
    }
}

// 14, observation 4: the size of the string table is not byte-swapped.
#[test]
fn big_endian_files_with_sections_open() {
    for arch in [Arch::S390x, Arch::Ppc64, Arch::Mips, Arch::S390, Arch::Ppc] {
        let class = if arch.ptr_size() == 8 { Class::Elf64 } else { Class::Elf32 };
        let file = ElfBuilder::new(class, BIG, arch.machine()).shdrs_at(Place::Auto).phdrs_at(Place::End);
        let file =
            file.load(0x1000, page_bytes(1)).section(Section::new(".nothing", *b"x")).patch("e_ehsize", 8);
        let dump = open(file.build());
        set(&dump, "arch.page_size", PAGE);
        assert!(page(&dump, 1).unwrap() == page_bytes(1), "{arch:?}");
    }
}

// 1.2: names are read behind the end of the table.
#[test]
fn names_behind_the_end_of_their_table_are_none() {
    for name in [1 << 20, 0x7fff_ffff, 0xffff_ffff] {
        let file =
            x86_64().section(Section::xen_pages(page_bytes(1))).section(Section::xen_pfn(LITTLE, &[1]));
        let dump = open(file.unterminated_strings().patch("s1.sh_name", name).build());
        assert_eq!(dump.string("file.format").unwrap(), "elf", "{name}");
    }
}

// 1.2: the index is taken as it is.
#[test]
fn an_index_of_names_that_does_not_fit_is_in_section_0() {
    let file = || x86_64().section(Section::xen_pages(page_bytes(7))).section(Section::xen_pfn(LITTLE, &[7]));
    assert!(page(&open(file().extended_strndx().build()), 7).unwrap() == page_bytes(7));
    for link in [0, 4, 0xffff, 0xffff_ffff] {
        let dump = open(file().extended_strndx().patch("s0.sh_link", link).build());
        assert_eq!(dump.string("file.format").unwrap(), "elf", "{link}");
    }
}

// 1.3: tables of Xen are read from the stream as it is.
#[test]
fn tables_of_a_flattened_domain_are_read_through_the_stream() {
    let pages: Vec<u8> = (0..8).flat_map(page_bytes).collect();
    let map: Vec<(u64, u64)> = (0..8).map(|i| (20 - i, 90 + 2 * i)).collect();
    let pfns: Vec<u64> = map.iter().map(|row| row.0).collect();
    for order in ByteOrder::ALL {
        for table in [Section::xen_p2m(order, &map), Section::xen_pfn(order, &pfns)] {
            let file = ElfBuilder::new(Class::Elf64, order, 62).section(Section::xen_pages(&pages[..]));
            let image = file.section(table).build();
            let dump = open(Flattener::new().record_size(100).order(Order::Shuffled(1)).flatten(&image));
            assert_eq!(dump.number("max_pfn").unwrap(), 21);
            for (i, pfn) in pfns.iter().enumerate() {
                let mut bytes = vec![0; PAGE as usize];
                dump.read(Space::KernelPhysical, pfn * PAGE, &mut bytes).unwrap();
                assert!(bytes == page_bytes(i as u64), "{pfn}");
            }
        }
    }
}

// --- 10, section 2: page sizes --------------------------------------------------

// 2.2; 14, observation 5: a division by zero.
#[test]
fn reads_without_a_page_size_are_errors() {
    for machine in [183, 50, 20, 21, 258, 0, 0xffff] {
        for order in ByteOrder::ALL {
            let dump = open(ElfBuilder::new(Class::Elf64, order, machine).load(0, page_bytes(0)).build());
            poke(&dump);
            for space in [Space::KernelVirtual, Space::MachinePhysical] {
                assert!(dump.read(space, 0, &mut [0; 1]).is_err(), "{machine}");
            }
            assert_eq!(stored(&dump), []);
            set(&dump, "arch.page_shift", 12);
            assert!(page(&dump, 0).unwrap() == page_bytes(0));
        }
    }
}

// 2.2; 01, section 15: a page size of 0, and sizes as large as memory.
#[test]
fn impossible_page_sizes_of_a_dump_are_refused() {
    let refused = "file #0: Cannot set VMCOREINFO: Cannot set VMCOREINFO 'PAGESIZE': \
                   Cannot set page size: Invalid page size: 0";
    let zero = x86_64().load(0, page_bytes(0)).note(vmcoreinfo_note(LITTLE, "PAGESIZE=0\n"));
    assert_eq!(open_failure(zero.build()), fails(Status::Corrupt, refused));
    for shift in [1, 31, 40, 62, 63] {
        let text = format!("PAGESIZE={}\n", 1u64 << shift);
        let file = ElfBuilder::new(Class::Elf64, LITTLE, 183).load(0, page_bytes(0));
        if let Ok(dump) = try_open(file.note(vmcoreinfo_note(LITTLE, &text)).build()) {
            poke(&dump);
        }
    }
    let dump = open(x86_64().load(0, page_bytes(0)).build());
    assert!(dump.set("arch.page_size", Value::Number(0)).is_err());
    assert!(page(&dump, 0).unwrap() == page_bytes(0));
}

// 2.2: no lower or upper limit, and every page is allocated as a whole.
#[test]
fn page_sizes_beyond_all_machines_are_known_but_not_allocated() {
    let domain =
        || x86_64().section(Section::xen_pages(page_bytes(0))).section(Section::xen_pfn(LITTLE, &[0]));
    for shift in [25, 31, 40, 62] {
        let size = 1u64 << shift;
        for file in [x86_64().load(0, page_bytes(0)), domain()] {
            let dump = open(file.build());
            set(&dump, "arch.page_size", size);
            let text = format!("Cannot allocate page buffer ({size} bytes)");
            assert_eq!(failure(page(&dump, 0)), fails(Status::System, &text));
            poke(&dump);
            set(&dump, "arch.page_size", PAGE);
            assert!(page(&dump, 0).unwrap() == page_bytes(0));
        }
    }
    let dump = open(x86_64().load(0, vec![3; 1 << 24]).build());
    set(&dump, "arch.page_shift", 24);
    assert!(read_block(&dump, 0, 1 << 24).unwrap() == vec![3; 1 << 24]);
}

// 01, section 2.6: the size is the same, so no cache is made, and the first
// page that is put together crashes it.
#[test]
fn the_page_size_that_the_user_set_before_gets_its_cache() {
    for size in [4096, 8192] {
        let dump = Context::new();
        set(&dump, "arch.page_size", size);
        dump.open_bytes(x86_64().load(0x2000, page_bytes(1)[..100].to_vec()).build()).unwrap();
        let mut bytes = [0; 200];
        dump.read(Space::MachinePhysical, 0x2000, &mut bytes).unwrap();
        assert!(bytes[..100] == page_bytes(1)[..100] && bytes[100..] == [0; 100]);
    }
}

// --- 10, section 3: one dump after another -----------------------------------------

// 3; 01, section 2.6: as ELF comes first, everything of the dump before stays.
#[test]
fn nothing_of_the_dump_before_is_left_in_the_next_one() {
    let text = Vmcoreinfo::linux("5.4.3", 4096).symbol("a", 1).number("phys_base", 4096);
    let info = CrashInfo { major: 4, phys_start: Some(1), p2m_mfn: Some(2), ..CrashInfo::default() };
    let notes = NoteWriter::new(LITTLE)
        .note(Note::vmcoreinfo(text.text()))
        .push("ERASEINFO", 0, *b"x")
        .push("CORE", 4, *b"task")
        .note(Note::core(1, prstatus(Arch::X86_64, LITTLE, 5, |_, _| 1)))
        .push("Xen", CRASH_INFO, info.to_bytes(LITTLE, 8));
    let dump = Context::new();
    let second = ElfBuilder::for_arch(Arch::Arm).load(0x3000, page_bytes(3)).build();
    for _ in 0..2 {
        dump.open_bytes(x86_64().note(notes.clone().finish()).load(0, page_bytes(0)).build()).unwrap();
        assert_eq!(dump.number("cpu.number").unwrap(), 1);
        assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
        dump.open_bytes(second.clone()).unwrap();
        assert_eq!(dump.string("arch.name").unwrap(), "arm");
        for path in [
            "cpu.number",
            "cpu.0.PRSTATUS",
            "linux.vmcoreinfo.raw",
            "linux.vmcoreinfo.lines.PAGESIZE",
            "linux.uts.release",
            "linux.phys_base",
            "linux.task_struct",
            "file.eraseinfo.raw",
            "xen.type",
            "xen.version.major",
            "xen.p2m_mfn",
        ] {
            assert!(!is_set(&dump, path), "{path}");
        }
        assert!(virt(&dump, 0).unwrap() == page_bytes(3), "and no capabilities either");
        assert!(page(&dump, 3).unwrap() == page_bytes(3));
    }
}

// 01, section 2.5: what is left of a failed open is used.
#[test]
fn nothing_can_be_read_after_an_open_that_failed_at_any_step() {
    let good = x86_64().load(0, page_bytes(0)).build();
    let file = || x86_64().load(0, page_bytes(1));
    let short = note(LITTLE, Note::core(1, [0; 9]));
    let version = note(LITTLE, Note::new(".note.Xen", 0x200_0003, [7; 8]));
    for bad in [
        x86_64(),
        file().patch("ei_data", 0),
        file().patch("e_type", 1),
        file().patch("e_phentsize", 1),
        file().note(short),
        file().note(vmcoreinfo_note(LITTLE, "PAGESIZE=5")),
        file().section(Section::xen_pages(page_bytes(1))),
        file().section(Section::xen_notes(version)),
    ] {
        let dump = open(&good[..]);
        let clone = dump.clone();
        let map = dump.bitmap("file.pagemap").unwrap();
        assert!(dump.open_bytes(bad.build()).is_err());
        for dump in [&dump, &clone] {
            let text = "Cannot get page I/O address: No suitable capabilities";
            assert_eq!(failure(page(dump, 0)), fails(Status::AddrXlat, text));
            poke(dump);
        }
        assert_eq!(runs(&map), [(0, 0)]);
        dump.open_bytes(good.clone()).unwrap();
        assert!(page(&clone, 0).unwrap() == page_bytes(0));
    }
}

// 01, section 2.6: bitmaps are held while the next dump is opened.
#[test]
fn pagemaps_show_their_own_dump_for_ever() {
    let dump = open(x86_64().load(0x1000, page_bytes(1)).build());
    let map = dump.bitmap("file.pagemap").unwrap();
    dump.open_bytes(ElfBuilder::new(Class::Elf64, LITTLE, 183).load(0x40_0000, page_bytes(2)).build())
        .unwrap();
    assert_eq!((runs(&map), stored(&dump)), (vec![(1, 1)], vec![]));
    drop(dump);
    assert_eq!(runs(&map), [(1, 1)]);
}

// --- 10, sections 4 to 6: pages and pagemaps ---------------------------------------

// 4: the virtual index is in the order of physical addresses.
#[test]
fn virtual_addresses_are_found_whatever_the_physical_order_is() {
    let file = (0..20).fold(x86_64(), |file, i| {
        file.segment(Segment::load(i << 12, page_bytes(i)).vaddr(0x100_0000 - (i << 14)))
    });
    let dump = open(file.build());
    for i in (0..20).chain((0..20).rev()) {
        assert!(virt(&dump, 0x100_0000 - (i << 14)).unwrap() == page_bytes(i), "{i}");
    }
}

// 4, 5.1, in dumps of a guest with paging: the next page by virtual addresses
// comes first by physical ones, and is near enough to hide the one before it.
#[test]
fn a_page_is_no_zeros_before_the_next_one_by_virtual_addresses() {
    let text = Segment::load(0x5000, page_bytes(5)).vaddr(0x100_0000);
    let data = Segment::load(0x3000, page_bytes(3)).vaddr(0x100_1000);
    for zero in [0, 1] {
        let dump = open(x86_64().segment(data.clone()).segment(text.clone()).build());
        set(&dump, "file.zero_excluded", zero);
        assert!(virt(&dump, 0x100_0000).unwrap() == page_bytes(5));
        assert!(virt(&dump, 0x100_1000).unwrap() == page_bytes(3));
    }
}

// 4, 5.1: the segment that was found last is asked first.
#[test]
fn overlaps_do_not_depend_on_what_was_read_before() {
    let small = Segment::load(0x4000, vec![1; 0x800]);
    let large = Segment::load(0x4000, vec![2; 0x3000]);
    let dump = open(x86_64().segment(small).segment(large).build());
    let first = [vec![1; 0x800], vec![2; 0x800]].concat();
    for before in [4, 5, 6, 4] {
        page(&dump, before).unwrap();
        assert!(page(&dump, 4).unwrap() == first && page(&dump, 5).unwrap() == [2; 4096]);
    }
}

// 5.1; 01, section 10: a page of zeros right before a segment.
#[test]
fn the_page_before_a_segment_is_no_page() {
    let dump =
        open_untranslated(x86_64().segment(Segment::load(0x5000, page_bytes(5)).vaddr(0x9000)).build());
    for zero in [0, 1] {
        set(&dump, "file.zero_excluded", zero);
        assert_eq!(failure(page(&dump, 4)), not_found());
        assert_eq!(failure(virt(&dump, 0x8000)), fails(Status::AddrXlat, "No way to translate"));
    }
}

// 5.1: zeros of one segment hide the bytes of another.
#[test]
fn zeros_for_excluded_pages_never_replace_bytes_that_are_stored() {
    let tail = Segment::load(0x40000, page_bytes(1)).memsz(0x8000);
    let inside = Segment::load(0x44000, [page_bytes(2), page_bytes(3)[..100].to_vec()].concat());
    let dump = open(x86_64().segment(tail).segment(inside).build());
    set(&dump, "file.zero_excluded", 1);
    assert!(page(&dump, 0x44).unwrap() == page_bytes(2));
    let part = page(&dump, 0x45).unwrap();
    assert!(part[..100] == page_bytes(3)[..100] && part[100..].iter().all(|byte| *byte == 0));
    assert!(page(&dump, 0x43).unwrap() == [0; 4096]);
}

// 5.1: the tail of such a segment is lost.
#[test]
fn more_bytes_in_the_file_than_in_memory_are_not_lost() {
    let dump = open(x86_64().segment(Segment::load(0x1000, vec![7; 0x1900]).memsz(1)).build());
    assert!(page(&dump, 1).unwrap() == [7; 4096]);
    assert!(page(&dump, 2).unwrap()[..0x900] == [7; 0x900]);
}

// 4: ends that do not fit 64 bits.
#[test]
fn segments_that_end_behind_the_last_address_do_no_harm() {
    for class in Class::ALL {
        for start in [0, 0x1000, 0xffff_f000, u64::MAX - 0xfff, u64::MAX - 1] {
            for size in [0x1000, 0xffff_ffff, u64::MAX] {
                let plain = Segment::load(0x5000, page_bytes(5)).vaddr(0x5000);
                let wild = Segment::load(start, []).vaddr(start).filesz(size).memsz(size).offset(size);
                let dump = open(ElfBuilder::new(class, LITTLE, 62).segment(plain).segment(wild).build());
                poke(&dump);
                let found = page(&dump, 5).unwrap();
                assert!(found == page_bytes(5) || start < 0x5000, "{start:x} {size:x}");
            }
        }
    }
}

// 6: bytes behind the buffer of the caller are written.
#[test]
fn bits_are_written_into_the_buffer_and_nowhere_else() {
    let far =
        x86_64().load(0x8000, page_bytes(8)).load(0x100_0000, page_bytes(1)).load(0x7fff_f000, page_bytes(2));
    let dump = open(far.build());
    for path in ["file.pagemap", "memory.pagemap"] {
        let map = dump.bitmap(path).unwrap();
        for last in 0..24 {
            let mut buffer = [0x55; 16];
            let len = last as usize / 8 + 1;
            map.bits(0, last, &mut buffer[4..4 + len]).unwrap();
            let mut expected = [0x55; 16];
            expected[4..4 + len].fill(0);
            if last >= 8 {
                expected[5] = 1;
            }
            assert_eq!(buffer, expected, "{path} {last}");
        }
    }
}

// 6: a segment of no size sets the bit of its page.
#[test]
fn segments_of_no_size_set_no_bit() {
    let empty = |at: u64| Segment::load(at, []).vaddr(at);
    let file = x86_64()
        .segment(empty(0x1800))
        .segment(empty(0x3000))
        .segment(empty(0x7fff))
        .load(0x5000, page_bytes(5));
    let dump = open(file.build());
    assert_eq!((stored(&dump), ram(&dump)), (vec![(5, 5)], vec![(5, 5)]));
}

// 6: after a virtual page was read, only its segment seems to exist.
#[test]
fn pagemaps_are_the_same_after_virtual_pages_were_read() {
    let segment = |i: u64| Segment::load(i << 12, page_bytes(i)).vaddr((50 - i) << 12);
    let dump = open([3, 4, 8, 9].into_iter().map(segment).fold(x86_64(), ElfBuilder::segment).build());
    let map = dump.bitmap("file.pagemap").unwrap();
    for i in [3, 8, 9, 4] {
        assert!(virt(&dump, (50 - i) << 12).unwrap() == page_bytes(i));
        for (from, clear, found) in
            [(0, 0, Some(3)), (3, 5, Some(3)), (4, 5, Some(4)), (8, 10, Some(8)), (10, 10, None)]
        {
            assert_eq!((map.find_clear(from).unwrap(), map.find_set(from).ok()), (clear, found), "{i}");
        }
        let mut bits = [0; 2];
        map.bits(3, 12, &mut bits).unwrap();
        assert_eq!(bits, [0b0110_0011, 0]);
    }
}

// 01, section 9.2; 14.1: SIGBUS in the last part of a map.
#[cfg(feature = "std")]
#[test]
fn a_dump_cut_in_the_middle_of_a_page_does_not_kill_the_process() {
    let file = x86_64().load(0x1000, [page_bytes(1), page_bytes(2)].concat());
    let (image, layout) = file.load(0x8000, page_bytes(8)[..50].to_vec()).build_with_layout();
    let dir = kdumpfile_testkit::peer::scratch_dir("cut-elf");
    let path = dir.join("vmcore");
    for cut in [64, 120, layout.segments[0], layout.segments[0] + 5000, layout.segments[1] + 7] {
        std::fs::write(&path, &image[..cut as usize]).unwrap();
        for policy in 0..4 {
            let dump = Context::new();
            set(&dump, "file.mmap_policy", policy);
            if dump.open_paths(&[&path]).is_err() {
                continue;
            }
            for (pfn, at) in [(1, layout.segments[0]), (2, layout.segments[0] + 4096)] {
                if let Ok(bytes) = page(&dump, pfn) {
                    let left = (cut.saturating_sub(at) as usize).min(4096);
                    assert!(bytes[..left] == page_bytes(pfn)[..left]);
                    assert!(bytes[left..].iter().all(|byte| *byte == 0));
                }
            }
            poke(&dump);
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

// --- 10, section 7: domains of Xen ------------------------------------------------

// 7: `max_pfn` starts over, and the map has a page that is none.
#[test]
fn entries_of_all_ones_are_no_pages() {
    let none = u64::MAX;
    let pages: Vec<u8> = (0..4).flat_map(page_bytes).collect();
    let table = Section::xen_p2m(LITTLE, &[(9, 5), (none, none), (2, 6), (none, 8)]);
    let dump = open(x86_64().section(Section::xen_pages(pages)).section(table).build());
    assert_eq!(dump.number("max_pfn").unwrap(), 10);
    assert!(page(&dump, 6).unwrap() == page_bytes(2));
    poke(&dump);
    assert_eq!(stored(&dump), [(2, 2), (9, 9)]);
}

// 7: a crash.
#[test]
fn contexts_of_a_machine_without_registers_for_them_are_left_alone() {
    for machine in [183, 40, 50, 8, 20, 21, 22, 243, 258, 0x9026, 0] {
        let file = ElfBuilder::new(Class::Elf64, LITTLE, machine).section(Section::xen_pages(page_bytes(1)));
        let file = file
            .section(Section::xen_pfn(LITTLE, &[1]))
            .section(Section::xen_prstatus([1; VCPU_CONTEXT_SIZE]));
        let dump = open(file.build());
        assert!(!is_set(&dump, "cpu.number"), "{machine}");
    }
}

// 7.2: numbers of the table are not swapped.
#[test]
fn tables_of_the_other_byte_order_are_read_in_that_order() {
    let map = [(0x1234, 0x4321), (0x1235, 0x0100)];
    for order in ByteOrder::ALL {
        let pages = Section::xen_pages([page_bytes(1), page_bytes(2)].concat());
        let dump = open(
            ElfBuilder::new(Class::Elf64, order, 62)
                .section(pages)
                .section(Section::xen_p2m(order, &map))
                .build(),
        );
        assert!(
            page(&dump, 0x4321).unwrap() == page_bytes(1) && page(&dump, 0x100).unwrap() == page_bytes(2)
        );
        assert_eq!(stored(&dump), [(0x1234, 0x1235)]);
    }
}

// 8.3: the fields are read whatever the size of the note is.
#[test]
fn short_notes_of_a_domain_are_ignored() {
    for kind in [0x100_0001, 0x200_0001, 0x200_0002, 0x200_0003] {
        for name in ["Xen", ".note.Xen"] {
            for len in 0..8 {
                let dump = open(
                    x86_64()
                        .load(0, page_bytes(0))
                        .note(note(LITTLE, Note::new(name, kind, vec![3; len])))
                        .build(),
                );
                assert_eq!(dump.number("arch.page_size").unwrap(), 4096);
                assert!(!is_set(&dump, "xen.version.major"));
            }
        }
    }
}

// 10.5: `xen.p2m_mfn` is 0.
#[test]
fn crash_info_of_32_bits_has_its_last_word() {
    let info =
        CrashInfo { major: 3, phys_start: Some(0x10_0000), p2m_mfn: Some(0xabc), ..CrashInfo::default() };
    let desc = info.to_bytes(LITTLE, 4);
    assert_eq!(desc.len(), 40);
    let file = ElfBuilder::for_arch(Arch::Ia32).note(note(LITTLE, Note::new("Xen", CRASH_INFO, desc)));
    let dump = open(file.load(0, page_bytes(0)).build());
    assert_eq!(dump.address("xen.p2m_mfn").unwrap(), 0xabc);
    assert_eq!(dump.address("xen.phys_start").unwrap(), 0x10_0000);
}

// --- 10, section 10: registers ------------------------------------------------------

// 10.3; 01, section 6: a register that was never read is not set to 0.
#[test]
fn a_register_is_written_even_if_its_value_seems_to_be_the_same() {
    let dump = open(x86_64().load(0, page_bytes(0)).note(cpu(Arch::X86_64, LITTLE, 0x77)).build());
    let blob = dump.blob("cpu.0.PRSTATUS").unwrap();
    dump.set("cpu.0.reg.rip", Value::Number(0)).unwrap();
    assert_eq!(blob.to_vec()[240..248], [0; 8]);
    let mut bytes = blob.to_vec();
    bytes[240] = 9;
    blob.set(bytes).unwrap();
    assert_eq!(dump.number("cpu.0.reg.rip").unwrap(), 9, "still a view of the note");
    dump.set("cpu.0.reg.rip", Value::Number(0)).unwrap();
    assert_eq!(blob.to_vec()[240], 0);
}

// 10.3: the new value is reported although it is nowhere.
#[test]
fn a_register_that_cannot_be_written_keeps_its_value() {
    let dump = open(x86_64().load(0, page_bytes(0)).note(cpu(Arch::X86_64, LITTLE, 0x77)).build());
    let blob = dump.blob("cpu.0.PRSTATUS").unwrap();
    let bytes = blob.to_vec();
    blob.set(bytes[..240].to_vec()).unwrap();
    assert!(dump.set("cpu.0.reg.rip", Value::Number(5)).is_err());
    assert!(dump.number("cpu.0.reg.rip").is_err());
    blob.set(bytes).unwrap();
    assert_eq!(dump.number("cpu.0.reg.rip").unwrap(), 0x77);
}

// 10.3; 01, section 6: freed memory is read.
#[test]
fn registers_of_a_cleared_or_replaced_note_are_not_those_of_the_old_one() {
    let dump = open(x86_64().load(0, page_bytes(0)).note(cpu(Arch::X86_64, LITTLE, 0x77)).build());
    assert_eq!(dump.number("cpu.0.reg.rip").unwrap(), 0x77);
    dump.clear(Some("cpu.0.PRSTATUS")).unwrap();
    let (status, text) = failure(dump.number("cpu.0.reg.rip"));
    assert_eq!(status, Status::NoData);
    assert!(text.ends_with("PRSTATUS raw attribute not found"), "{text}");
    dump.set("cpu.0.PRSTATUS", Value::Blob(Blob::new(vec![1; 300]))).unwrap();
    assert_eq!(dump.number("cpu.0.reg.rip").unwrap(), 0x0101_0101_0101_0101);
}

// --- 10, sections 8 and 11: notes and their text ------------------------------------

// 8.1: sums of sizes near 2^32.
#[test]
fn sizes_of_notes_do_not_wrap() {
    for order in ByteOrder::ALL {
        for (namesz, descsz) in [
            (u32::MAX, 0),
            (0, u32::MAX),
            (u32::MAX, u32::MAX),
            (0xffff_fff4, 0),
            (0xffff_fffd, 8),
            (4, 0xffff_fff0),
        ] {
            let lie = NoteWriter::new(order).note(Note::new("X", 1, [1; 64]).namesz(namesz).descsz(descsz));
            let lie = lie.push("VMCOREINFO", 0, *b"A=1").finish();
            let file = ElfBuilder::new(Class::Elf64, order, 62).load(0x1000, page_bytes(1)).note(lie);
            let dump = open(file.build());
            assert!(!is_set(&dump, "linux.vmcoreinfo.raw"));
            assert!(page(&dump, 1).unwrap() == page_bytes(1));
        }
    }
}

// 14.1: segments of notes that claim more than there is.
#[test]
fn absurd_segments_of_notes_cost_neither_memory_nor_time() {
    for size in [1 << 20, 1 << 32, 1 << 50, u64::MAX] {
        for offset in [None, Some(0), Some(u64::MAX - 5), Some(1 << 60)] {
            let mut segment = Segment::note(note(LITTLE, Note::vmcoreinfo("A=1"))).filesz(size);
            if let Some(offset) = offset {
                segment = segment.offset(offset);
            }
            let dump = open(x86_64().segment(segment).load(0x1000, page_bytes(1)).build());
            assert_eq!(is_set(&dump, "linux.vmcoreinfo.lines.A"), offset.is_none());
            assert!(page(&dump, 1).unwrap() == page_bytes(1));
        }
    }
}

// 11.2; 01, section 4.2: the value of the leaf is destroyed.
#[test]
fn lines_below_lines_of_a_note_do_not_damage_each_other() {
    let text = "S.T=2\nS.T.U=3\nA=1\nA.B=2\nSIZE(c)=3\nSIZE(c.d)=4\nLAST=5\n";
    let dump = open(x86_64().load(0, page_bytes(0)).note(vmcoreinfo_note(LITTLE, text)).build());
    for (key, value) in [("S.T", "2"), ("A", "1"), ("LAST", "5")] {
        assert_eq!(dump.string(&format!("linux.vmcoreinfo.lines.{key}")).unwrap(), value);
    }
    assert_eq!(dump.number("linux.vmcoreinfo.SIZE.c").unwrap(), 3);
    let leaf = dump.attr(Some("linux.vmcoreinfo.lines.A")).unwrap();
    assert_eq!(dump.attr_type(leaf), Some(AttrType::String));
}

// 11.2: keys that begin with a dot crash it; an empty text gives any status.
#[test]
fn odd_texts_of_notes_open() {
    for text in [
        "",
        "\n",
        "\0",
        ".A=1\n",
        ".=1",
        "..",
        "...=\n",
        "=\n",
        "SYMBOL(.)=1\n",
        "OFFSET()=1\n",
        "(=)\n",
        "\0\0\0\0",
    ] {
        let dump = open(x86_64().load(0, page_bytes(0)).note(vmcoreinfo_note(LITTLE, text)).build());
        assert_eq!(dump.blob("linux.vmcoreinfo.raw").unwrap().to_vec(), text.as_bytes());
        assert!(page(&dump, 0).unwrap() == page_bytes(0), "{text:?}");
    }
}

// 14, observation 6; 01, section 2.2: crashes with nothing open.
#[test]
fn attributes_of_translation_may_be_set_before_an_elf_dump_is_open() {
    for arch in ["s390x", "x86_64", "arm", "aarch64", "ppc64", "ia32", "riscv64"] {
        let dump = Context::new();
        dump.set("arch.name", Value::from(arch)).unwrap();
        let _ = dump.set("addrxlat.ostype", Value::from("linux"));
        poke(&dump);
        set(&dump, "arch.page_size", PAGE);
        dump.open_bytes(x86_64().load(0x1000, page_bytes(1)).build()).unwrap();
        assert!(page(&dump, 1).unwrap() == page_bytes(1), "{arch}");
        assert_eq!(dump.string("arch.name").unwrap(), arch);
        poke(&dump);
    }
}

// 14, observation 7: translation calls itself until the stack is used up.
#[test]
fn arm_with_equal_addresses_and_a_text_can_be_read_and_told_its_system() {
    let text =
        Vmcoreinfo::linux("6.1.0", 4096).symbol("swapper_pg_dir", 0xc030_4000).symbol("_stext", 0xc030_0000);
    let file = ElfBuilder::for_arch(Arch::Arm).note(vmcoreinfo_note(LITTLE, &text.text()));
    let file =
        file.segment(Segment::load(0x4000_0000, [page_bytes(1), page_bytes(2)].concat()).vaddr(0x4000_0000));
    let dump = open(file.build());
    for _ in 0..2 {
        assert!(
            page(&dump, 0x4_0001).unwrap() == page_bytes(2)
                && virt(&dump, 0x4000_1000).unwrap() == page_bytes(2)
        );
        let _ = virt(&dump, 0xc030_4000);
        let _ = dump.set("addrxlat.ostype", Value::from("linux"));
    }
}

// 14, observation 5: QEMU's big-endian headers around little-endian memory.
#[test]
fn ppc64_of_little_endian_memory_in_big_endian_headers_is_told_so() {
    let registers = |_: usize, name: &str| if name == "msr" { 0x8000_0000_0000_9033 } else { 0x77 };
    let desc = prstatus(Arch::Ppc64, BIG, 3, registers);
    let file = ElfBuilder::new(Class::Elf64, BIG, 21)
        .note(note(BIG, Note::core(1, desc)))
        .section(Section::new(".x", *b"x"));
    let dump = open(file.load(0x10000, vec![6; 0x10000]).build());
    assert_eq!(dump.number("arch.byte_order").unwrap(), 1);
    assert_eq!((dump.number("cpu.0.reg.r5").unwrap(), dump.number("cpu.0.pid").unwrap()), (0x77, 3));
    poke(&dump);
    set(&dump, "arch.page_size", 65536);
    assert!(read_block(&dump, 1, 65536).unwrap() == [6; 65536]);
}

// 01, section 9.2: short reads in the middle of a file.
#[test]
fn reads_that_end_early_are_repeated() {
    use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
    let file = x86_64()
        .note(cpu(Arch::X86_64, LITTLE, 0x77))
        .load(0x1000, page_bytes(1))
        .load(0x3100, page_bytes(3));
    for fault in [Fault::RandomLength, Fault::Short(1), Fault::Short(7)] {
        let reader = FaultyReader::with_script(file.build(), Script::new(4).with(When::Always, fault));
        let dump = try_open_sources(vec![Shared::new(reader) as Source]).unwrap();
        assert!(page(&dump, 1).unwrap() == page_bytes(1));
        assert!(page(&dump, 3).unwrap()[0x100..] == page_bytes(3)[..0xf00]);
        assert_eq!(dump.number("cpu.0.reg.gs").unwrap(), 0x77);
    }
}

// 14.1: everything may be cut anywhere, flattened or not.
#[test]
fn dumps_cut_at_any_place_end_in_an_error_or_in_bytes() {
    let file = x86_64()
        .note(cpu(Arch::X86_64, LITTLE, 0x77))
        .segment(Segment::load(0x1800, page_bytes(1)).vaddr(0x8000_0000).memsz(0x3000))
        .section(Section::xen_notes(note(LITTLE, Note::vmcoreinfo("A=1"))))
        .section(Section::xen_p2m(LITTLE, &[(1, 2), (3, 4)]));
    for domain in [false, true] {
        let file =
            if domain { file.clone().section(Section::xen_pages(page_bytes(5))) } else { file.clone() };
        let image = file.build();
        for len in (0..image.len().min(1500)).chain([image.len() - 1]) {
            let cut = image[..len].to_vec();
            let flat = Flattener::new().stream(&[Record::new(0, [&cut[..], b"\0"].concat())]);
            for bytes in [cut, flat] {
                if let Ok(dump) = try_open(bytes) {
                    poke(&dump);
                }
            }
        }
    }
}
