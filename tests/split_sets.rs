//! Sets of diskdump files: sections 10 and 11 of the format description.

mod support;

use kdumpfile::{Context, Status};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DISKDUMP, DiskdumpBuilder, WordSize};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::notes::Utsname;
use support::*;

fn builder() -> DiskdumpBuilder {
    // Page 70 is a hole.
    dump_of((0..70).chain(71..130)).ram(0..140)
}

fn check_all(dump: &Context, what: &str) {
    assert_eq!(dump.number("max_pfn").unwrap(), 140, "{what}");
    assert_eq!(stored(dump), [(0, 69), (71, 129)], "{what}");
    assert_eq!(ram(dump), [(0, 139)], "{what}");
    for pfn in (0..70).chain(71..130) {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "{what}: page {pfn}");
    }
    assert_eq!(failure(page(dump, 70)), excluded(), "{what}");
    assert_eq!(failure(page(dump, 140)), out_of_bounds(), "{what}");
}

/// All orders of `items`.
fn permutations<T: Clone>(items: &[T]) -> Vec<Vec<T>> {
    let Some((first, rest)) = items.split_first() else { return vec![Vec::new()] };
    let mut all = Vec::new();
    for shorter in permutations(rest) {
        for at in 0..=shorter.len() {
            let mut one = shorter.clone();
            one.insert(at, first.clone());
            all.push(one);
        }
    }
    all
}

#[test]
fn files_may_be_given_in_any_order() {
    for version in [2, 5, 6] {
        let files = builder().version(version).build_set(&[33, 64, 100]);
        let orders = permutations(&files);
        assert_eq!(orders.len(), 24);
        for files in orders {
            let dump = open_set(&files);
            check_all(&dump, "permuted set");
            assert!(!is_set(&dump, "file.set.missing"));
            assert_eq!(dump.number("file.set.number").unwrap(), 4);
        }
    }
}

#[test]
fn a_missing_file_is_reported_and_its_pages_are_excluded() {
    let files = builder().build_set(&[33, 64, 100]);
    let borders = [0, 33, 64, 100, 140];
    for gone in 0..4 {
        let mut some = files.clone();
        some.remove(gone);
        let dump = open_set(&some);
        let range = borders[gone]..borders[gone + 1];
        let text = format!("{}-{}", range.start, range.end - 1);
        assert_eq!(dump.string("file.set.missing").unwrap(), text);
        for pfn in (0..70).chain(71..130) {
            match page(&dump, pfn) {
                Ok(bytes) => assert!(!range.contains(&pfn) && bytes == page_bytes(pfn), "{pfn}"),
                Err(error) => assert!(range.contains(&pfn) && parts(&error) == excluded(), "{pfn}"),
            }
        }
        let bitmap = dump.bitmap("file.pagemap").unwrap();
        let mut bits = [0xff; 18];
        bitmap.bits(0, 139, &mut bits).unwrap();
        for pfn in 0..140u64 {
            let want = pfn < 130 && pfn != 70 && !range.contains(&pfn);
            assert_eq!(bits[pfn as usize / 8] >> (pfn % 8) & 1 == 1, want, "{pfn}");
        }
        // RAM is still known, from the first bitmap of any file.
        assert_eq!(ram(&dump), [(0, 139)]);
        set(&dump, "file.zero_excluded", 1);
        assert_eq!(page(&dump, range.start).unwrap(), [0; 4096]);
    }
}

#[test]
fn one_member_may_be_opened_alone() {
    let files = builder().build_set(&[33, 64]);
    let dump = open(files[1].clone());
    assert_eq!(dump.string("file.set.missing").unwrap(), "0-32,64-139");
    assert_eq!(stored(&dump), [(33, 63)]);
    assert!(page(&dump, 40).unwrap() == page_bytes(40));
    assert_eq!(failure(page(&dump, 32)), excluded());
    assert_eq!(failure(page(&dump, 64)), excluded());
}

// RQ 10-a.
#[test]
fn pages_are_found_in_nested_and_overlapping_ranges() {
    for ranges in
        [vec![10..15, 0..140], vec![0..140, 10..15], vec![0..80, 60..140], vec![5..6, 4..90, 0..140]]
    {
        for ranges in permutations(&ranges) {
            let files: Vec<_> = ranges.iter().map(|range| builder().split(range.clone()).build()).collect();
            check_all(&open_set(&files), &format!("{ranges:?}"));
        }
    }
}

// RQ 10-a: where both have the page, the file that ends first is read.
#[test]
fn of_two_files_with_a_page_the_one_that_ends_first_counts() {
    let other = |range| {
        let pages = (0..140).map(|pfn| (pfn, page_bytes(pfn + 1000)));
        DiskdumpBuilder::default().pages(pages, Codec::Lzo).split(range).build()
    };
    for files in permutations(&[other(10..15), builder().split(0..140).build()]) {
        let dump = open_set(&files);
        for pfn in 0..20 {
            let want = if (10..15).contains(&pfn) { pfn + 1000 } else { pfn };
            assert!(page(&dump, pfn).unwrap() == page_bytes(want), "{pfn}");
        }
    }
}

// Row 19.
#[test]
fn a_file_may_be_given_twice() {
    let mut files = builder().build_set(&[64]);
    files.push(files[0].clone());
    files.push(files[1].clone());
    check_all(&open_set(&files), "duplicates");
    check_all(&open_set(&[builder().build(), builder().build()]), "two unsplit files");
}

// Row 19 and section 10: crash and makedumpfile refuse all of these.
#[test]
fn members_with_different_headers_open() {
    let second = || builder().split(64..140);
    for odd in [
        second().timestamp(12345, 678),
        second().status(0x18),
        second().nr_cpus(77),
        second().patch("dump_level", 31),
        second().utsname(Utsname::linux("other", "x86_64")),
        second().phys_base(0x1000),
        second().sub_hdr_size(7),
        second().one_bitmap(),
    ] {
        for files in permutations(&[builder().split(0..64).build(), odd.build()]) {
            let dump = open_set(&files);
            assert_eq!(stored(&dump), [(0, 69), (71, 129)]);
            assert!((71..130).all(|pfn| page(&dump, pfn).unwrap() == page_bytes(pfn)));
        }
    }
}

// RQ 5-d.
#[test]
fn each_file_is_read_by_its_own_version() {
    let versions = [2, 4, 5, 6, 7];
    for first in versions {
        for second in versions {
            let notes = vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=7.7\n");
            let part = |version: i32, range| {
                let part = builder().version(version).split(range);
                if version < 4 { part } else { part.notes(notes.clone()) }
            };
            let dump = open_set(&[part(first, 0..64).build(), part(second, 64..140).build()]);
            check_all(&dump, &format!("versions {first} and {second}"));
        }
    }
}

// Section 10: only what makes a set unreadable may be refused.
#[test]
fn files_of_different_layout_are_no_set() {
    let first = builder().split(0..64).build();
    for (what, odd) in [
        ("word size", with_pages(DiskdumpBuilder::new(WordSize::Bits32, ByteOrder::Little), 64..130)),
        ("byte order", with_pages(DiskdumpBuilder::new(WordSize::Bits64, ByteOrder::Big), 64..130)),
        ("signature", builder().signature(DISKDUMP)),
    ] {
        let files = [first.clone(), odd.split(64..140).build()];
        assert_eq!(failure(try_open_set(&files)), bad_header(), "{what}");
    }
    let unknown = [first, vec![0; 20000]];
    assert_eq!(failure(try_open_set(&unknown)), bad_header());
}

// RQ 10-b.
#[test]
fn eraseinfo_of_all_files_is_kept() {
    let part = |range, text: &str| builder().split(range).eraseinfo(text).build();
    let dump = open_set(&[part(0..64, "erase a\n"), part(64..100, ""), part(100..140, "erase c\n")]);
    assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"erase a\nerase c\n");
    let dump = open_set(&[part(0..64, "same\n"), part(64..140, "same\n")]);
    assert_eq!(dump.blob("file.eraseinfo.raw").unwrap().to_vec(), b"same\n");
}

// Section 6, step 9: the notes are those of the first file that has some.
#[test]
fn notes_are_read_from_the_file_that_has_them() {
    let notes = vmcoreinfo_note(ByteOrder::Little, "OSRELEASE=2.2.2\n");
    let with = builder().split(0..64).notes(notes).build();
    let without = builder().split(64..140).build();
    for files in permutations(&[with, without]) {
        let dump = open_set(&files);
        assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "2.2.2");
        check_all(&dump, "notes in one file");
    }
}

// RQ 11-a, suggested test 5: members that store no page.
#[test]
fn members_without_pages_do_not_disturb() {
    let sparse = || dump_of([3, 4, 90, 95]).max_mapnr(140);
    for files in permutations(&sparse().build_set(&[10, 50, 96])) {
        let dump = open_set(&files);
        assert_eq!(stored(&dump), [(3, 4), (90, 90), (95, 95)]);
        assert!([3, 4, 90, 95].iter().all(|&pfn| page(&dump, pfn).unwrap() == page_bytes(pfn)));
    }
    let empty = open_set(&dump_of([]).max_mapnr(100).build_set(&[50]));
    let bitmap = empty.bitmap("file.pagemap").unwrap();
    assert_eq!(failure(bitmap.find_set(0)), fails(Status::NoData, "No such bit found"));
    assert_eq!(bitmap.find_clear(7), Ok(7));
    let mut bits = [0xff; 13];
    bitmap.bits(0, 99, &mut bits).unwrap();
    assert_eq!(bits, [0; 13]);
}

// RQ 11-a: each operation against a plain model, from every start.
#[test]
fn bitmap_operations_cross_the_borders_of_files() {
    let pfns: Vec<u64> = (0..12).chain([14]).chain(20..41).chain(60..64).chain(64..70).chain([99]).collect();
    for bounds in [vec![12, 40], vec![20, 64], vec![15, 60, 64, 99], vec![1, 2, 3, 4]] {
        for files in permutations(&dump_of(pfns.clone()).max_mapnr(110).build_set(&bounds)) {
            let dump = open_set(&files);
            let bitmap = dump.bitmap("file.pagemap").unwrap();
            for from in 0..112 {
                let set = pfns.iter().copied().find(|pfn| *pfn >= from);
                assert_eq!(bitmap.find_set(from).ok(), set, "{bounds:?} {from}");
                let clear = (from..).find(|pfn| !pfns.contains(pfn)).unwrap();
                assert_eq!(bitmap.find_clear(from).unwrap(), clear, "{bounds:?} {from}");
                let last = from + 25;
                let mut bits = [0xaa; 5];
                bitmap.bits(from, last, &mut bits).unwrap();
                for bit in 0..=25 {
                    let want = pfns.contains(&(from + bit));
                    assert_eq!(bits[bit as usize / 8] >> (bit % 8) & 1 == 1, want, "{bounds:?} {from} {bit}");
                }
                // Bits behind the range are 0, bytes behind it are not touched.
                assert_eq!((bits[3] >> 2, bits[4]), (0, 0xaa));
            }
        }
        // 120 orders of five files tell no more than one of them.
        if bounds.len() == 4 {
            break;
        }
    }
}

// 11.1.
#[test]
fn a_range_of_bits_that_ends_before_it_begins_is_invalid() {
    let dump = open(builder().build());
    let bitmap = dump.bitmap("file.pagemap").unwrap();
    let mut bits = [0x77; 4];
    assert_eq!(failure(bitmap.bits(5, 4, &mut bits)).0, Status::Invalid);
    assert_eq!(bits, [0x77; 4]);
    assert_eq!(failure(bitmap.find_set(u64::MAX)), fails(Status::NoData, "No such bit found"));
    assert_eq!(bitmap.find_clear(u64::MAX), Ok(u64::MAX));
}

// 11.2, the example.
#[test]
fn the_two_pagemaps_tell_stored_pages_from_ram() {
    let dump = open(dump_of([0, 2]).ram(0..4).build());
    let byte = |path| {
        let mut bits = [0];
        dump.bitmap(path).unwrap().bits(0, 7, &mut bits).unwrap();
        bits[0]
    };
    assert_eq!((byte("file.pagemap"), byte("memory.pagemap")), (0x05, 0x0f));
}

// RQ 11-b.
#[test]
fn a_bitmap_stays_valid_when_another_dump_is_opened() {
    let dump = open_set(&builder().build_set(&[64]));
    let (old, old_ram) = (dump.bitmap("file.pagemap").unwrap(), dump.bitmap("memory.pagemap").unwrap());
    dump.open_bytes(dump_of([7]).build()).unwrap();
    assert_eq!(runs(&old), [(0, 69), (71, 129)]);
    assert_eq!(runs(&old_ram), [(0, 139)]);
    assert_eq!(stored(&dump), [(7, 7)]);
    drop(dump);
    assert_eq!(old.find_set(70), Ok(71));
}

// Section 10: ranges may leave gaps, and end before max_mapnr.
#[test]
fn ranges_need_not_cover_everything() {
    let files = [builder().split(5..20).build(), builder().split(30..60).build()];
    let dump = open_set(&files);
    assert_eq!(stored(&dump), [(5, 19), (30, 59)]);
    assert_eq!(dump.string("file.set.missing").unwrap(), "0-4,20-29,60-139");
    assert!(page(&dump, 59).unwrap() == page_bytes(59));
    assert_eq!(failure(page(&dump, 25)), excluded());
}

#[test]
fn ranges_that_end_before_they_begin_store_nothing() {
    let file = builder().split(0..64).patch("start_pfn_64", 90).patch("end_pfn_64", 20).build();
    let dump = open_set(&[file, builder().split(64..140).build()]);
    assert_eq!(stored(&dump), [(64, 69), (71, 129)]);
    assert!(page(&dump, 100).unwrap() == page_bytes(100));
    assert_eq!(failure(page(&dump, 30)), excluded());
}

#[test]
fn hundreds_of_files_make_one_dump() {
    let pfns = 0..600u64;
    let bounds: Vec<u64> = (1..300).map(|i| i * 2).collect();
    let mut files = dump_of(pfns.clone()).build_set(&bounds);
    files.reverse();
    let dump = open_set(&files);
    assert_eq!(dump.number("file.set.number").unwrap(), 300);
    assert_eq!(stored(&dump), [(0, 599)]);
    assert!(pfns.step_by(37).all(|pfn| page(&dump, pfn).unwrap() == page_bytes(pfn)));
}
