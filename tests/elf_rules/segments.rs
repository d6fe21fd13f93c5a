//! Sections 3 to 5: what addresses in the headers mean, and `max_pfn`.

use super::*;

// 3, step 8, and 4
#[test]
fn physical_address_0_everywhere_is_unknown_but_not_for_one_segment() {
    for (class, order) in encodings() {
        let file = || ElfBuilder::new(class, order, 62).segment(load(0x8000_0000, 0, 1, 0x2000));
        let one = open_untranslated(file().build());
        assert!(one.spaces().contains(Space::MachinePhysical));
        assert!(phys(&one, 0x1000).unwrap() == data(1, 0x2000)[0x1000..]);
        assert_eq!((one.number("max_pfn").unwrap(), stored(&one)), (2, vec![(0, 1)]));

        let two = open_untranslated(file().segment(load(0x9000_0000, 0, 2, 0x1000)).build());
        assert!(
            !two.spaces().contains(Space::MachinePhysical) && two.spaces().contains(Space::KernelVirtual)
        );
        let text = "Cannot get page I/O address: No way to translate";
        for space in [Space::MachinePhysical, Space::KernelPhysical] {
            assert_eq!(failure(page_in(&two, space, 0)), fails(Status::AddrXlat, text));
        }
        assert_eq!(two.number("max_pfn").unwrap(), 0);
        assert_eq!((stored(&two), ram(&two)), (vec![], vec![]));
        assert!(virt(&two, 0x9000_0000).unwrap() == data(2, 0x1000));

        // One address is enough; a note is no segment of memory.
        let mixed = open_untranslated(file().segment(load(0x9000_0000, 0x5000, 2, 0x1000)).build());
        assert!(phys(&mixed, 0).unwrap() == data(1, 0x2000)[..0x1000]);
        assert_eq!(stored(&mixed), [(0, 1), (5, 5)]);
        let noted = open_untranslated(file().note(notes_of(order, [Note::vmcoreinfo("A=1")])).build());
        assert_eq!(stored(&noted), [(0, 1)]);
    }
}

// 1.2, 3: all ones in the width of the class.
#[test]
fn physical_address_of_all_ones_is_none() {
    for (class, order) in encodings() {
        let none = u64::MAX;
        let file = ElfBuilder::new(class, order, 62)
            .segment(load(0x8000_0000, none, 1, 0x1000))
            .segment(load(0x9000_0000, 0x3000, 2, 0x1000));
        let dump = open(file.build());
        assert_eq!((stored(&dump), ram(&dump)), (vec![(3, 3)], vec![(3, 3)]));
        assert_eq!(dump.number("max_pfn").unwrap(), 4);
        assert!(virt(&dump, 0x8000_0000).unwrap() == data(1, 0x1000));
        for count in 1..3 {
            let file = (0..count).fold(ElfBuilder::new(class, order, 62), |file, i| {
                file.segment(load(0x8000_0000 + (i << 16), none, i, 0x1000))
            });
            let dump = open(file.build());
            assert!(dump.spaces().contains(Space::MachinePhysical));
            assert_eq!(dump.number("max_pfn").unwrap(), 0);
            assert_eq!(failure(phys(&dump, 0)), not_found());
            assert!(virt(&dump, 0x8000_0000).unwrap() == data(0, 0x1000));
        }
        // One with none and one with 0: not all of them are 0.
        let file = ElfBuilder::new(class, order, 62)
            .segment(load(0x8000_0000, none, 1, 0x1000))
            .segment(load(0x9000_0000, 0, 2, 0x1000));
        assert_eq!(stored(&open(file.build())), [(0, 0)]);
    }
    // In ELF64 the low half of it is an address like any other.
    let dump = open(x86_64().load(0xffff_ffff, data(1, 0x1001)).build());
    assert_eq!(stored(&dump), [(0xf_ffff, 0x10_0000)]);
    assert!(phys(&dump, 0x1_0000_0000).unwrap() == data(1, 0x1001)[1..]);
}

// 3, summary of the spaces
#[test]
fn spaces_are_those_of_the_summary() {
    use Space::{KernelPhysical, KernelVirtual, MachinePhysical};
    let xen = || notes_of(LITTLE, [Note::new("Xen", 0x100_0001, vec![1; 80])]);
    let one = || x86_64().segment(load(0x8000, 0x5000, 1, 0x1000));
    let two = || x86_64().segment(load(0x8000, 0, 1, 0x1000)).segment(load(0x9000, 0, 2, 0x1000));
    let rows: [(ElfBuilder, &[Space]); 4] = [
        (one(), &[KernelVirtual, MachinePhysical]),
        (two(), &[KernelVirtual]),
        (one().note(xen()), &[MachinePhysical]),
        (two().note(xen()), &[]),
    ];
    for (file, spaces) in rows {
        let dump = open_untranslated(file.build());
        let reason = if spaces.is_empty() { "No suitable capabilities" } else { "No way to translate" };
        for space in [KernelPhysical, MachinePhysical, KernelVirtual] {
            assert_eq!(dump.spaces().contains(space), spaces.contains(&space));
            if !spaces.contains(&space) {
                let text = format!("Cannot get page I/O address: {reason}");
                assert_eq!(failure(page_in(&dump, space, 0x8000)), fails(Status::AddrXlat, &text));
            }
        }
    }
}

// 5.1, step 3
#[test]
fn virtual_addresses_of_no_segment_are_translated() {
    let dump = open_untranslated(x86_64().segment(load(0x8000, 0x1000, 1, 0x1000)).build());
    for address in [0, 0x7fff, 0x9000, 0xffff_8000_0000_0000, u64::MAX] {
        assert_eq!(failure(dump.read(Space::KernelVirtual, address, &mut [0; 1])), no_way());
        assert!(dump.packing(Space::KernelVirtual, address).is_err(), "{address:x}");
    }
    // The page before it is done when the translation fails.
    let (done, result) = dump.read_partial(Space::KernelVirtual, 0x8f00, &mut [0; 0x200]);
    assert_eq!((done, failure(result)), (0x100, no_way()));
}

// 14.3: QEMU without paging.
#[test]
fn virtual_address_0_in_all_of_several_segments_means_nothing() {
    let one = open_untranslated(x86_64().load(0x5000, data(1, 0x1000)).build());
    assert!(virt(&one, 0).unwrap() == data(1, 0x1000));
    let two = open_untranslated(x86_64().load(0x5000, data(1, 0x1000)).load(0x9000, data(2, 0x1000)).build());
    assert_eq!(failure(virt(&two, 0)), no_way());
    assert!(phys(&two, 0x9000).unwrap() == data(2, 0x1000));
}

// 5
#[test]
fn max_pfn_is_rounded_down_and_counts_memory() {
    for (phys, stored, memsz, max_pfn) in [
        (0, 0x1000, 0x1000, 1),
        (0x1800, 0x1000, 0x1000, 2),
        (0x1800, 0x7ff, 0x7ff, 1),
        (0x1800, 0x800, 0x800, 2),
        (0x1000, 0, 0x10000, 17),
        (0x1000, 0x10, 0x1fff, 2),
        (0x1000, 0x10, 0x2000, 3),
        (0x5fff, 0, 0, 5),
        (0, 1, 1, 0),
    ] {
        for (class, order) in encodings() {
            let segment = load(0, phys, 1, stored).memsz(memsz);
            let dump = open(ElfBuilder::new(class, order, 62).segment(segment).build());
            assert_eq!(dump.number("max_pfn").unwrap(), max_pfn, "{phys:x} {memsz:x}");
        }
    }
    // The highest end, not that of the last segment.
    let file = x86_64().load(0x8000, data(1, 16)).segment(load(0, 0x1000, 2, 0x1000).memsz(0x1_0000));
    assert_eq!(open(file.load(0x2000, data(3, 0x1000)).build()).number("max_pfn").unwrap(), 0x11);
}

// 4, 14.1
#[test]
fn segments_may_come_in_any_order_of_either_address() {
    let mut order: Vec<u64> = (0..40).collect();
    let mut rng = kdumpfile_testkit::image::Rng::new(5);
    for _ in 0..4 {
        rng.shuffle(&mut order);
        // Virtual addresses go down where physical ones go up.
        let segment = |i: &u64| load((100 - i) << 16, (i + 1) << 14, *i, 0x1800);
        let dump = open(order.iter().map(segment).fold(x86_64(), ElfBuilder::segment).build());
        for i in 0..40 {
            assert!(virt(&dump, (100 - i) << 16).unwrap() == data(i, 0x1800)[..0x1000]);
            assert!(phys(&dump, (i + 1) << 14).unwrap() == data(i, 0x1800)[..0x1000]);
            assert!(virt(&dump, ((100 - i) << 16) + 0x1000).unwrap()[..0x800] == data(i, 0x1800)[0x1000..]);
        }
        assert_eq!(stored(&dump), (1..41).map(|i| (4 * i, 4 * i + 1)).collect::<Vec<_>>());
    }
}

// 14.1: the kernel image is in the direct mapping and in its own.
#[test]
fn one_range_of_memory_may_be_mapped_twice() {
    let file = x86_64()
        .segment(load(0xffff_ffff_8100_0000, 0x100_0000, 1, 0x3000))
        .segment(load(0xffff_8880_0000_0000, 0, 2, 0x1000))
        .segment(load(0xffff_8880_0100_0000, 0x100_0000, 1, 0x3000));
    let dump = open(file.build());
    for base in [0xffff_ffff_8100_0000, 0xffff_8880_0100_0000] {
        let mut bytes = vec![0; 0x3000];
        dump.read(Space::KernelVirtual, base, &mut bytes).unwrap();
        assert!(bytes == data(1, 0x3000));
    }
    assert_eq!(stored(&dump), [(0, 0), (0x1000, 0x1002)]);
}

// 14.1: QEMU writes all ones as the position of what is not stored.
#[test]
fn position_of_nothing_is_not_looked_at() {
    for (class, order) in encodings() {
        let hole = Segment::load(0x4000, []).vaddr(0x4000).memsz(0x2000).offset(u64::MAX);
        let file = ElfBuilder::new(class, order, 62).segment(hole).segment(load(0x6000, 0x6000, 1, 0x1000));
        let dump = open(file.build());
        assert_eq!(failure(phys(&dump, 0x4000)), not_found());
        assert_eq!((stored(&dump), ram(&dump)), (vec![(6, 6)], vec![(4, 6)]));
        set(&dump, "file.zero_excluded", 1);
        assert!(phys(&dump, 0x5000).unwrap() == [0; 4096]);
        assert!(phys(&dump, 0x6000).unwrap() == data(1, 0x1000));
    }
}

// 5.1: memory is as large as the larger of both sizes.
#[test]
fn more_bytes_in_the_file_than_in_memory_are_all_readable() {
    for zero in [0, 1] {
        let dump = open(x86_64().segment(load(0x9000, 0x2000, 1, 0x1800).memsz(0x10)).build());
        set(&dump, "file.zero_excluded", zero);
        assert!(phys(&dump, 0x2000).unwrap() == data(1, 0x1800)[..0x1000]);
        assert!(phys(&dump, 0x3000).unwrap()[..0x800] == data(1, 0x1800)[0x1000..]);
        assert_eq!(stored(&dump), [(2, 3)]);
    }
}

// 4: ends above the highest address end there.
#[test]
fn the_last_page_of_every_address_width_can_be_read() {
    for (class, top) in [(Class::Elf32, 0xffff_f000), (Class::Elf64, u64::MAX - 0xfff)] {
        for order in ByteOrder::ALL {
            let segment = || load(top, top, 1, 0x1000);
            for segment in [segment(), segment().memsz(u64::MAX), segment().memsz(0x1001)] {
                let dump = open(ElfBuilder::new(class, order, 62).segment(segment).build());
                assert!(phys(&dump, top).unwrap() == data(1, 0x1000));
                assert!(virt(&dump, top).unwrap() == data(1, 0x1000));
                assert_eq!(stored(&dump), [(top >> 12, top >> 12)]);
                let mut last = [0];
                dump.read(Space::MachinePhysical, top + 0xfff, &mut last).unwrap();
                assert_eq!(last[..], data(1, 0x1000)[0xfff..]);
            }
        }
    }
}
