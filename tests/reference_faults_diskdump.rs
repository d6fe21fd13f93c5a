//! What crashes or hangs the reference, or makes it read freed memory: here it
//! ends in an error or in the right bytes. Comments name the document and the
//! section that lists the fault.

mod support;

use kdumpfile::dump::OpenDescriptor;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Error, Result, Space, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, Page};
use kdumpfile_testkit::elf::ElfBuilder;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::flatten::{Flattener, Record};
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::notes::{Note, NoteWriter, prstatus};
use support::*;

fn nothing_open() -> (Status, String) {
    fails(Status::AddrXlat, "Cannot get page I/O address: No suitable capabilities")
}

// 11, RQ 6-b; 01, section 2.5: read and bitmap access after a failed open.
#[test]
fn reads_after_a_failed_open_find_no_dump() {
    let short = NoteWriter::new(ByteOrder::Little).push("CORE", 1, vec![0; 9]).finish();
    for bad in [dump_of([0]).patch("block_size", 3).build(), dump_of([0]).notes(short).build(), vec![0; 5000]]
    {
        let dump = open(dump_of([0, 1]).build());
        let old = dump.bitmap("file.pagemap").unwrap();
        assert!(dump.open_bytes(bad).is_err());
        assert_eq!(failure(page(&dump, 0)), nothing_open());
        assert!(dump.spaces().is_empty());
        if let Ok(bitmap) = dump.bitmap("file.pagemap") {
            let _ = (bitmap.find_set(0), bitmap.find_clear(0));
        }
        assert!(dump.bitmap("memory.pagemap").is_err() || ram(&dump).len() < 2);
        assert_eq!(runs(&old), [(0, 1)]);
        dump.open_bytes(dump_of([3]).build()).unwrap();
        assert!(page(&dump, 3).unwrap() == page_bytes(3));
    }
}

// 01, section 2.2: reading with `arch.name` set and nothing open.
#[test]
fn reads_without_a_dump_fail_even_if_the_architecture_is_set() {
    for arch in ["x86_64", "aarch64", "s390x", "ia32", "arm", "ppc64"] {
        let dump = Context::new();
        dump.set("arch.name", Value::from(arch)).unwrap();
        for space in [Space::KernelVirtual, Space::KernelPhysical, Space::MachinePhysical] {
            assert_eq!(failure(dump.read(space, 0x1000, &mut [0; 8])).0, Status::AddrXlat, "{arch}");
        }
    }
}

// 14, observation 6; 01, section 2.2.
#[test]
fn s390x_and_linux_may_be_set_before_anything_is_open() {
    let dump = Context::new();
    let _ = dump.set("arch.name", Value::from("s390x"));
    let _ = dump.set("addrxlat.ostype", Value::from("linux"));
    assert!(dump.read(Space::KernelVirtual, 0, &mut [0; 8]).is_err());
    dump.open_bytes(dump_of([1]).build()).unwrap();
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

// 01, section 2.6: no page cache is made.
#[test]
fn a_page_size_set_before_the_open_does_not_stop_reads() {
    for size in [4096, 8192, 65536] {
        let dump = Context::new();
        set(&dump, "arch.page_size", size);
        dump.open_bytes(dump_of([0, 1]).build()).unwrap();
        assert!(page(&dump, 1).unwrap() == page_bytes(1), "{size}");
    }
}

// 01, section 15: a page size of 0 and others that cannot be.
#[test]
fn impossible_page_sizes_are_refused_and_reads_go_on() {
    let dump = open(dump_of([0, 1]).build());
    for size in [0, 3, 4095, u64::MAX] {
        assert!(dump.set("arch.page_size", Value::Number(size)).is_err(), "{size}");
        let _ = dump.read(Space::MachinePhysical, 4096, &mut [0; 64]);
    }
    for (path, value) in [("arch.page_shift", 63), ("arch.page_shift", 64), ("max_pfn", u64::MAX)] {
        let _ = dump.set(path, Value::Number(value));
        let _ = dump.read(Space::MachinePhysical, 4096, &mut [0; 64]);
        let _ = dump.read(Space::MachinePhysical, u64::MAX - 5, &mut [0; 64]);
    }
}

// 01, section 2.6: stale pages of the dump that was open before.
#[test]
fn pages_of_the_dump_before_are_not_read_from_the_cache() {
    let dump = open(DiskdumpBuilder::default().data(0, page_bytes(10), Codec::Zlib).build());
    assert!(page(&dump, 0).unwrap() == page_bytes(10));
    dump.open_bytes(DiskdumpBuilder::default().data(0, page_bytes(20), Codec::Zlib).build()).unwrap();
    assert!(page(&dump, 0).unwrap() == page_bytes(20));
    let clone = dump.clone();
    dump.open_bytes(ElfBuilder::for_arch(Arch::X86_64).load(0, page_bytes(30)).build()).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "elf");
    assert!(!is_set(&dump, "linux.phys_base") && !is_set(&dump, "file.eraseinfo.raw"));
    for dump in [&dump, &clone] {
        assert!(page(dump, 0).unwrap() == page_bytes(30));
    }
}

// 01, section 2.6: CPUs are counted on and on.
#[test]
fn cpus_are_counted_anew_in_every_dump() {
    let cpu = Note::core(1, prstatus(Arch::X86_64, ByteOrder::Little, 7, |_, _| 1));
    let file = dump_of([0]).notes(NoteWriter::new(ByteOrder::Little).note(cpu).finish()).build();
    let dump = Context::new();
    for _ in 0..3 {
        dump.open_bytes(file.clone()).unwrap();
        assert_eq!(dump.number("cpu.number").unwrap(), 1);
    }
    dump.open_bytes(dump_of([0]).build()).unwrap();
    assert!(!is_set(&dump, "cpu.number") && !is_set(&dump, "cpu.0.PRSTATUS"));
}

/// Descriptor n is file n.
struct Table(Vec<Source>);

impl OpenDescriptor for Table {
    fn open(&self, fd: u64) -> Result<Source> {
        self.0.get(fd as usize).cloned().ok_or_else(|| Error::system("Bad file descriptor"))
    }
}

// 01, section 2.6: the lock is corrupt and the next call hangs.
#[test]
fn a_dump_reopened_by_attribute_while_its_bitmaps_are_held_goes_on() {
    let dump = Context::new();
    let files = vec![source(dump_of([0, 1]).build()), source(dump_of([5]).build())];
    dump.set_opener(Shared::new(Table(files)));
    set(&dump, "file.fd", 0);
    let (old, old_ram) = (dump.bitmap("file.pagemap").unwrap(), dump.bitmap("memory.pagemap").unwrap());
    set(&dump, "file.fd", 1);
    assert_eq!(stored(&dump), [(5, 5)]);
    set(&dump, "file.set.0.fd", 0);
    assert_eq!(stored(&dump), [(0, 1)]);
    assert_eq!((runs(&old), runs(&old_ram)), (vec![(0, 1)], vec![(0, 1)]));
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

// 11, RQ 11-b: a bitmap of a dump that is gone.
#[test]
fn bitmaps_outlive_the_context_and_all_its_clones() {
    let dump = open_set(&dump_of(0..20).build_set(&[10]));
    let bitmaps = [dump.bitmap("file.pagemap").unwrap(), dump.bitmap("memory.pagemap").unwrap()];
    let clone = dump.clone();
    drop(dump);
    drop(clone);
    for bitmap in bitmaps {
        assert_eq!(runs(&bitmap), [(0, 19)]);
    }
}

// 11, RQ 11-a, last point: the map with the highest end has no page.
#[test]
fn bits_of_a_set_whose_last_file_stores_nothing() {
    let files = dump_of([1, 2]).max_mapnr(200).build_set(&[10, 100]);
    let bitmap = open_set(&files).bitmap("file.pagemap").unwrap();
    for (first, last) in [(0, 199), (5, 150), (100, 199), (150, 1000), (3, 3)] {
        let mut bits = vec![0xff; (last - first) as usize / 8 + 1];
        bitmap.bits(first, last, &mut bits).unwrap();
        let want: u32 = if first == 0 { 2 } else { 0 };
        assert_eq!(bits.iter().map(|byte| byte.count_ones()).sum::<u32>(), want);
    }
}

// 11, RQ 13-a.
#[test]
fn an_empty_flattened_stream_is_an_unknown_file() {
    let empty = Flattener::new().stream(&[]);
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    assert_eq!(open_failure(empty.clone()), unknown);
    assert_eq!(failure(try_open_set(&[empty.clone(), dump_of([0]).build()])), unknown);
    // Not the first file: it is a member without header.
    assert_eq!(failure(try_open_set(&[dump_of([0]).build(), empty])), bad_header());
}

// 11, RQ 13-a: a read in a hole comes from a bogus place.
#[test]
fn a_hole_in_a_stream_reads_as_zeros() {
    let (image, layout) = DiskdumpBuilder::default()
        .data(0, vec![0xaa; 4096], Codec::Raw)
        .data(1, vec![0xbb; 4096], Codec::Raw)
        .data(2, vec![0xcc; 4096], Codec::Raw)
        .build_with_layout();
    let hole = layout.data as usize + 4096;
    let records = [Record::new(0, &image[..hole]), Record::new(hole as i64 + 4096, &image[hole + 4096..])];
    let dump = open(Flattener::new().stream(&records));
    assert_eq!(page(&dump, 0).unwrap(), [0xaa; 4096]);
    assert_eq!(page(&dump, 1).unwrap(), [0; 4096]);
    assert_eq!(page(&dump, 2).unwrap(), [0xcc; 4096]);
    let mut part = [1; 16];
    dump.read(Space::MachinePhysical, 4096 + 100, &mut part).unwrap();
    assert_eq!(part, [0; 16]);
}

// 11, section 13.2: `Invalid argument` of the OS.
#[test]
fn a_record_of_2_to_the_63_bytes_is_corrupt() {
    let record = Record { offset: 0, size: Some(i64::MAX), data: vec![1; 100] };
    let stream = Flattener::new().stream(&[record]);
    let text = "file #0: Cannot rearrange file #0: Wrong flattened segment size 9223372036854775807 at 4096";
    assert_eq!(open_failure(stream), fails(Status::Corrupt, text));
}

// 11, RQ 13-b, row 24: quadratic time. (Memory: diskdump_memory.rs.)
#[test]
fn a_hundred_thousand_records_in_reverse_order_open_at_once() {
    let image = dump_of(0..64).max_mapnr(1 << 23).build();
    let stream =
        Flattener::new().record_size(21).order(kdumpfile_testkit::flatten::Order::Reversed).flatten(&image);
    assert!(stream.len() / 37 > 100_000);
    let dump = open(stream);
    assert!(page(&dump, 63).unwrap() == page_bytes(63));
}

// 11, row 1; 01, section 9.2: SIGBUS in the last part of a map.
#[cfg(feature = "std")]
#[test]
fn a_file_cut_in_the_middle_of_a_page_does_not_kill_the_process() {
    let (file, layout) = DiskdumpBuilder::default().data(0, page_bytes(4), Codec::Raw).build_with_layout();
    let dir = kdumpfile_testkit::peer::scratch_dir("cut");
    let path = dir.join("vmcore");
    for cut in [464, 4096, 4100, layout.bitmap2 + 1, layout.descriptors, layout.data + 1, layout.data + 4095]
    {
        std::fs::write(&path, &file[..cut as usize]).unwrap();
        for policy in 0..4 {
            let dump = Context::new();
            set(&dump, "file.mmap_policy", policy);
            if dump.open_paths(&[&path]).is_ok() {
                match page(&dump, 0) {
                    Ok(bytes) => {
                        let left = cut.saturating_sub(layout.data) as usize;
                        assert!(bytes[..left] == page_bytes(4)[..left]);
                        assert!(bytes[left..].iter().all(|byte| *byte == 0));
                    }
                    Err(error) => assert_eq!(error.status(), Status::NoData, "{error}"),
                }
                let _ = dump.bitmap("memory.pagemap");
            }
        }
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

// 11, row 1: a chunk behind the end of more than 16 pages is `Busy`.
#[test]
fn large_parts_behind_the_end_are_not_busy() {
    let (file, layout) = dump_of([0]).max_mapnr(1 << 23).build_with_layout();
    let notes = layout.field("size_note");
    let mut cut = file[..8192].to_vec();
    notes.put(&mut cut, ByteOrder::Little, 200 << 12);
    layout.field("offset_note").put(&mut cut, ByteOrder::Little, 1 << 30);
    let dump = open(cut);
    assert!(stored(&dump).is_empty() && ram(&dump).is_empty());
    assert_eq!(failure(page(&dump, 0)), excluded());
}

// 11, RQ 5-b and 01, 14 row 4: sizes from the file are allocated as they are.
#[test]
fn absurd_sizes_of_texts_are_no_allocations() {
    for (field, version) in [("vmcoreinfo", 3), ("eraseinfo", 5), ("eraseinfo", 6)] {
        for size in [u64::MAX, i64::MAX as u64, 1 << 50] {
            for position in [0, 4096, 5000, i64::MAX as u64 - 1, u64::MAX] {
                let file = dump_of([0])
                    .version(version)
                    .patch(&format!("offset_{field}"), position)
                    .patch(&format!("size_{field}"), size)
                    .build();
                if let Ok(dump) = try_open(file) {
                    assert!(page(&dump, 0).unwrap() == page_bytes(0));
                }
            }
        }
    }
}

// 11, row 3: 4 GiB are mapped or allocated.
#[test]
fn a_descriptor_of_4_gib_is_corrupt() {
    let lie = Page::Descriptor { offset: 8192, size: u32::MAX, flags: 1, page_flags: 0 };
    let dump = open(DiskdumpBuilder::default().page(1, lie).build());
    assert_eq!(failure(page(&dump, 1)).0, Status::Corrupt);
}

// 01, section 8.3: slots leak when filling fails.
#[test]
fn failed_pages_do_not_use_up_the_page_cache() {
    let bad = |pfn| (pfn, Page::Stored { payload: vec![1, 2, 3], flags: 1, size: None });
    let builder = (0..50).map(bad).fold(dump_of([60, 61]), |builder, (pfn, page)| builder.page(pfn, page));
    let dump = open(builder.build());
    set(&dump, "cache.size", 2);
    for _ in 0..3 {
        for pfn in 0..50 {
            assert_eq!(failure(page(&dump, pfn)).0, Status::Corrupt);
        }
        assert!(page(&dump, 60).unwrap() == page_bytes(60));
        assert!(page(&dump, 61).unwrap() == page_bytes(61));
    }
}

// 01, section 8: a cache of one slot, or of none.
#[test]
fn any_cache_size_gives_an_answer() {
    for size in [0, 1, 2, 3] {
        let dump = open(dump_of(0..8).build());
        let _ = dump.set("cache.size", Value::Number(size));
        for pfn in [0, 1, 2, 3, 0, 7] {
            match page(&dump, pfn) {
                Ok(bytes) => assert!(bytes == page_bytes(pfn), "{size}"),
                Err(error) => {
                    let text = "Cache is fully utilized: it has no slots; raise cache.size";
                    assert_eq!((size, parts(&error)), (0, fails(Status::Busy, text)));
                }
            }
        }
    }
}

// 01, section 9.2 (c): interrupted or short reads are not repeated.
#[test]
fn short_reads_in_the_middle_of_a_file_are_repeated() {
    use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
    let script = Script::new(3).with(When::Always, Fault::Short(100));
    let faulty: Source = Shared::new(FaultyReader::with_script(dump_of([0, 1]).build(), script));
    let dump = try_open_sources(vec![faulty]).unwrap();
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

// 11, section 4.1 and rows 4, 29: nothing overflows at the end of all ranges.
#[test]
fn addresses_at_the_end_of_the_range_are_out_of_bounds() {
    let file = dump_of([0]).patch("max_mapnr_64", u64::MAX).patch("max_mapnr", 0xffff_ffff);
    for dump in [open(dump_of([0]).build()), open(file.patch("bitmap_blocks", 0x0fff_ffff).build())] {
        for address in [u64::MAX, u64::MAX - 4095, 1 << 63, (1 << 63) - 1, 1 << 52] {
            let mut bytes = [0; 8];
            assert_eq!(failure(dump.read(Space::MachinePhysical, address, &mut bytes)).0, Status::NoData);
        }
    }
}
