//! Headers and pages of SADUMP files, rule by rule (spec 12, section 4); where
//! the reference has a fault, the test shows the right behaviour.

mod support;

use kdumpfile::io::Source;
use kdumpfile::{Context, Result, Space, Status, Value};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::{RamImage, page_bytes};
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};
use support::*;

/// Runs of several pages, at the borders of bytes and words of a bitmap.
const PFNS: [u64; 12] = [0, 1, 2, 7, 8, 9, 63, 64, 65, 66, 128, 201];

fn variants() -> [(Variant, &'static str); 3] {
    [
        (Variant::Single, "SADUMP single partition"),
        (Variant::Set(vec![3, 1]), "SADUMP disk set"),
        (Variant::Media, "SADUMP media backup"),
    ]
}

fn builder(variant: Variant) -> SadumpBuilder {
    SadumpBuilder::new(variant).pages(PFNS.map(|pfn| (pfn, page_bytes(pfn)))).ram([3, 4, 300])
}

fn single() -> SadumpBuilder {
    builder(Variant::Single)
}

fn disks() -> SadumpBuilder {
    builder(Variant::Set(vec![3, 1]))
}

fn check_pages(dump: &Context, what: &str) {
    assert_eq!(stored(dump), [(0, 2), (7, 9), (63, 66), (128, 128), (201, 201)], "{what}");
    assert_eq!(ram(dump), [(0, 4), (7, 9), (63, 66), (128, 128), (201, 201), (300, 300)], "{what}");
    for pfn in PFNS {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "{what}: page {pfn}");
    }
    assert_eq!(failure(page(dump, 3)), excluded(), "{what}");
    assert_eq!(failure(page(dump, 300)), excluded(), "{what}");
    assert_eq!(failure(page(dump, 301)), out_of_bounds(), "{what}");
}

/// Fails as the only file of a dump does.
fn fails_alone(status: Status, text: &str) -> (Status, String) {
    fails(status, &format!("file #0: file #0: {text}"))
}

// Section 4, table of variants, and 4.5.
#[test]
fn every_variant_architecture_and_header_version_reads() {
    for (variant, description) in variants() {
        for (long_mode, arch, pointer) in [(true, "x86_64", 8), (false, "ia32", 4)] {
            for version in [0, 1, 2] {
                let what = format!("{description} {arch} version {version}");
                let cpu = SmramState::distinct(1, long_mode);
                let files = builder(variant.clone()).version(version).cpus([cpu]).build_set();
                let dump = open_set(&files);
                assert_eq!(dump.string("file.format").unwrap(), "sadump", "{what}");
                assert_eq!(dump.string("file.description").unwrap(), description, "{what}");
                assert_eq!(dump.string("arch.name").unwrap(), arch, "{what}");
                for (path, number) in [
                    ("arch.byte_order", 1),
                    ("arch.ptr_size", pointer),
                    ("arch.page_size", 4096),
                    ("arch.page_shift", 12),
                    ("max_pfn", 301),
                ] {
                    assert_eq!(dump.number(path).unwrap(), number, "{what}: {path}");
                }
                for path in ["linux.vmcoreinfo.raw", "linux.uts.release", "addrxlat.ostype"] {
                    assert!(!is_set(&dump, path), "{what}: {path}");
                }
                check_pages(&dump, &what);
            }
        }
    }
}

// Section 4.3: the magic numbers tell the block size; pages keep their own.
#[test]
fn every_block_size_is_found_by_its_row_of_numbers() {
    for shift in 8..=20 {
        for seed in [0, 0x1234_5678, u32::MAX] {
            for (variant, _) in variants() {
                let builder = builder(variant).block_size(1 << shift).magic_seed(seed);
                let what = format!("blocks of {} bytes, seed {seed:#x}", 1 << shift);
                let files = match try_open_set(&builder.build_set()) {
                    Ok(dump) => dump,
                    Err(error) => panic!("{what}: {error}"),
                };
                check_pages(&files, &what);
            }
        }
    }
}

// Section 4.3, item 3.
#[test]
fn a_row_of_numbers_that_ends_elsewhere_is_corrupt() {
    let broken = |at: usize| {
        let mut file = single().build();
        file[at] ^= 1;
        open_failure(file)
    };
    let text = |at| fails_alone(Status::Corrupt, &format!("Invalid magic number at {at}"));
    assert_eq!(broken(172), text(172));
    assert_eq!(broken(4092), text(4092));
    let mut media = builder(Variant::Media).build();
    media[4096 + 200] ^= 1;
    assert_eq!(open_failure(media), text(4096 + 200));
    // The end of the file ends the row.
    assert_eq!(open_failure(&single().build()[..1000]), text(1000));
    assert_eq!(open_failure(&single().build()[..170]), text(168));
    // A row without an end: larger than any block.
    let mut endless = single().block_size(1 << 20).build();
    let mut number = u32::from_le_bytes(endless[(1 << 20) - 4..1 << 20].try_into().unwrap());
    for at in (1 << 20..(1 << 20) + 64).step_by(4) {
        number = number.wrapping_add(7).wrapping_mul(11);
        endless[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    assert_eq!(open_failure(endless).0, Status::Corrupt);
}

// Section 4.2.
#[test]
fn a_file_without_either_signature_is_another_format() {
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    for (field, value) in [("signature0", 0x7564_6172), ("signature1", 0x10_706d)] {
        // At 4096 there would be the signature of the dump header.
        let file = single().block_size(8192).patch(0, field, value).build();
        assert_eq!(open_failure(file), unknown);
        assert_eq!(open_failure(builder(Variant::Media).patch(0, field, value).build()), unknown);
        // One file of a set is enough.
        assert_eq!(failure(try_open_set(&disks().patch(2, field, value).build_set())), unknown);
    }
    // The media header has 4096 bytes, whatever the size of blocks.
    let mut moved = builder(Variant::Media).block_size(8192).build();
    moved.splice(4096..4096, [0; 4096]);
    assert_eq!(open_failure(moved), unknown);
    for path in ["file.description", "arch.byte_order", "arch.name", "max_pfn"] {
        let dump = Context::new();
        let files = disks().patch(2, "signature0", 0).build_set();
        dump.open(files.into_iter().map(source).collect()).unwrap_err();
        assert!(!is_set(&dump, path), "{path}");
    }
}

// Section 4.3, item 2.
#[test]
fn media_header_and_partition_header_must_agree() {
    for (field, what) in
        [("sadump_id", "system ID"), ("disk_set_id", "disk set ID"), ("time_stamp", "timestamp")]
    {
        let text = format!("Partition {what} does not match media backup header");
        for patched in [field.to_string(), format!("media.{field}")] {
            let file = builder(Variant::Media).patch(0, &patched, 99).build();
            assert_eq!(open_failure(file), fails_alone(Status::Corrupt, &text));
        }
    }
    // Sequence numbers are not looked at.
    let mut file = builder(Variant::Media).build();
    file[48] = 7;
    check_pages(&open(file), "seventh medium");
    // And what a backup says about a set of disks is ignored.
    check_pages(&open(builder(Variant::Media).patch(0, "set_disk_set", 5).build()), "of disk 5");
}

// Section 4.3, item 4.
#[test]
fn files_of_a_set_must_agree() {
    let failure_of = |files: Vec<Vec<u8>>| failure(try_open_set(&files));
    let text = |text: &str| fails(Status::Invalid, &format!("file #0: file #1: {text}"));
    for (field, what) in [
        ("sadump_id", "System ID mismatch"),
        ("disk_set_id", "Disk set ID mismatch"),
        ("time_stamp", "Timestamp mismatch"),
    ] {
        assert_eq!(failure_of(disks().patch(1, field, 99).build_set()), text(what));
    }
    let mut files = disks().build_set();
    files[1] = disks().block_size(8192).build_set().swap_remove(1);
    assert_eq!(failure_of(files), text("Block size mismatch (current file 8192, previous 4096)"));
}

// Section 4.3, item 5.
#[test]
fn numbers_of_disks_must_fit_the_files() {
    let failure_of = |files: Vec<Vec<u8>>| failure(try_open_set(&files));
    let invalid = |text: &str| fails(Status::Invalid, text);
    let not_implemented = |text: &str| fails(Status::NotImplemented, text);
    assert_eq!(
        failure_of(vec![single().build(), single().build()]),
        not_implemented("file #0: file #0: Multiple SADUMP single partition files not implemented")
    );
    let media = builder(Variant::Media).build();
    assert_eq!(
        failure_of(vec![media.clone(), media]),
        not_implemented("file #0: file #0: Multiple SADUMP media backup files not implemented")
    );
    assert_eq!(
        failure_of(disks().patch(1, "set_disk_set", 4).build_set()),
        invalid("file #0: file #1: Disk #4 found, but only 3 file(s) provided")
    );
    assert_eq!(
        failure_of(disks().patch(2, "set_disk_set", 2).build_set()),
        invalid("file #0: file #2: Duplicate disk #2")
    );
    let files = disks().build_set();
    assert_eq!(
        failure_of(files[..2].to_vec()),
        invalid("file #0: file #0: Disk set comprises 3 disk(s), but 2 file(s) given")
    );
    assert_eq!(
        failure_of(files[1..].to_vec()),
        invalid("file #0: file #1: Disk #3 found, but only 2 file(s) provided")
    );
    assert_eq!(
        failure_of(disks().patch(0, "disk_num", 4).build_set()),
        invalid("file #0: file #0: Disk set comprises 4 disk(s), but 3 file(s) given")
    );
    // A partition among disks.
    assert_eq!(
        failure_of(vec![files[0].clone(), single().build(), files[2].clone()]),
        not_implemented("file #0: file #1: Multiple SADUMP single partition files not implemented")
    );
}

#[test]
fn disks_come_in_any_order_and_are_always_described() {
    let files = disks().build_set();
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let dump = open_set(&order.map(|disk| files[disk].clone()));
        // The reference leaves it unset if disk 1 is not the first file.
        assert_eq!(dump.string("file.description").unwrap(), "SADUMP disk set");
        check_pages(&dump, &format!("{order:?}"));
    }
    let alone = builder(Variant::Set(vec![])).build();
    check_pages(&open(alone), "set of one disk");
    let many = builder(Variant::Set(vec![1; 11])).build_set();
    let reversed: Vec<_> = many.into_iter().rev().collect();
    check_pages(&open_set(&reversed), "twelve disks with a page each");
}

// Section 4.4: both readings of the volume table.
#[test]
fn volumes_may_be_listed_with_or_without_disk_1() {
    for order in [[0, 1, 2], [2, 1, 0]] {
        for builder in [disks(), disks().volumes_from_disk_1()] {
            let files = builder.build_set();
            check_pages(&open_set(&order.map(|disk| files[disk].clone())), "either table");
        }
    }
    let mismatch = |order: [usize; 3], file: usize| {
        let files = disks().patch(2, "vol_id", 1).build_set();
        let found = failure(try_open_set(&order.map(|disk| files[disk].clone())));
        let text = format!("file #0: file #{file}: Disk #3 volume ID mismatch");
        assert_eq!(found, fails(Status::Corrupt, &text));
    };
    mismatch([0, 1, 2], 2);
    // Seen when disk 1 comes.
    mismatch([2, 1, 0], 2);
    // Nobody compares the volume of disk 1.
    check_pages(&open_set(&disks().patch(0, "vol_id", 1).build_set()), "volume of disk 1");
}

// Section 4.4: disk 1 needs no entry.
#[test]
fn a_disk_set_header_must_have_room_for_the_other_disks() {
    let header = |blocks| {
        // 8 entries fit into 256 bytes less 16, less half an entry.
        let builder = builder(Variant::Set(vec![1; 7])).block_size(256).set_blocks(blocks);
        try_open_set(&builder.build_set())
    };
    check_pages(&header(1).unwrap(), "seven other disks in 240 bytes");
    let small = builder(Variant::Set(vec![1; 8])).block_size(256).build_set();
    let text = "file #0: file #0: Disk set header too short (need 272, have 256)";
    assert_eq!(failure(try_open_set(&small)), fails(Status::Corrupt, text));
    // The reference crashes.
    let none = disks().patch(0, "disk_set_header_size", 0).build_set();
    let text = "file #0: file #0: Disk set header too short (need 80, have 0)";
    assert_eq!(failure(try_open_set(&none)), fails(Status::Corrupt, text));
    // Several blocks.
    check_pages(&header(3).unwrap(), "three blocks");
    let absurd = disks().patch(0, "disk_set_header_size", u64::MAX).build_set();
    assert_eq!(failure(try_open_set(&absurd)).0, Status::Corrupt);
}

// Section 4.3, item 7.
#[test]
fn the_dump_header_must_have_the_same_blocks() {
    let file = single().patch(0, "block_size", 512).build();
    let text = "Block size mismatch (header 512, detected 4096)";
    assert_eq!(open_failure(file), fails_alone(Status::Corrupt, text));
    // Its signature does not matter.
    let (mut file, layout) = single().build_with_layout().pop().unwrap();
    file[layout.dump_header] = b'x';
    check_pages(&open(file), "other signature");
}

// Section 4.3, item 1.
#[test]
fn only_little_endian_is_read() {
    let opened = |order: u64| {
        let dump = Context::new();
        set(&dump, "arch.byte_order", order);
        dump.open_bytes(single().build()).map(|()| dump)
    };
    check_pages(&opened(1).unwrap(), "little endian by the user");
    let text = "Only little endian SADUMP is implemented";
    assert_eq!(failure(opened(0)), fails_alone(Status::NotImplemented, text));
}

// Section 4.5.
#[test]
fn the_architecture_is_that_of_any_cpu_in_long_mode_or_of_the_user() {
    let cpus = |modes: &[bool]| {
        let states = modes.iter().enumerate().map(|(i, mode)| SmramState::distinct(i as u64, *mode));
        single().cpus(states.collect::<Vec<_>>())
    };
    let arch = |file: Vec<u8>| open(file).string("arch.name").unwrap();
    assert_eq!(arch(cpus(&[false, false, true]).build()), "x86_64");
    assert_eq!(arch(cpus(&[false, false]).build()), "ia32");
    assert_eq!(arch(cpus(&[false, true]).cpu_stride(1500).build()), "x86_64");

    let with = |name: &str, file: Vec<u8>| {
        let dump = Context::new();
        dump.set("arch.name", Value::from(name)).unwrap();
        dump.open_bytes(file).map(|()| dump)
    };
    let dump = with("ia32", single().build()).unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "ia32");
    check_pages(&dump, "ia32 by the user");
    let text = "Unsupported SADUMP architecture: s390x";
    assert_eq!(failure(with("s390x", single().build())), fails_alone(Status::NotImplemented, text));

    let small = single().patch(0, "cpu_total", 1023).build();
    let text = "CPU state too small: 1023";
    assert_eq!(open_failure(small.clone()), fails_alone(Status::NotImplemented, text));
    check_pages(&with("x86_64", small).unwrap(), "no look at the CPUs");
    // The reference divides by zero.
    let none = single().patch(0, "nr_cpus", 0).build();
    let text = "Invalid number of CPUs: 0";
    assert_eq!(open_failure(none.clone()), fails_alone(Status::Corrupt, text));
    check_pages(&with("x86_64", none).unwrap(), "no look at the CPUs");
}

// Section 4.5, extension.
#[test]
fn registers_are_those_that_the_cpus_saved() {
    let states = [SmramState::distinct(1, true), SmramState::unused(), SmramState::distinct(2, true)];
    let dump = open(single().cpus(states.clone()).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 2);
    for (cpu, (state, apic)) in [(&states[0], 0), (&states[2], 4)].into_iter().enumerate() {
        assert_eq!(dump.number(&format!("cpu.{cpu}.apic_id")).unwrap(), apic);
        assert_eq!(dump.blob(&format!("cpu.{cpu}.SMRAM")).unwrap().to_vec(), state.bytes());
        let register = |name: &str| dump.number(&format!("cpu.{cpu}.reg.{name}")).unwrap();
        for name in [
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi",
            "rdi", "rip", "cs", "rflags", "rsp", "ss", "ds", "es", "fs", "gs", "ldtr", "tr", "cr0", "cr3",
            "cr4", "dr6", "dr7",
        ] {
            assert_eq!(register(name), state.get(name), "{name}");
        }
        assert_eq!(register("efer"), state.get("ia32_efer"));
        for (name, high, low) in [
            ("idt_base", "idt_hi", "idt_lo"),
            ("gdt_base", "gdt_hi", "gdt_lo"),
            ("ldt_base", "ldt_hi", "ldt_lo"),
        ] {
            assert_eq!(register(name), state.get(high) << 32 | state.get(low), "{name}");
        }
    }
    let state = SmramState::distinct(9, false);
    let dump = open(single().cpus([state.clone()]).build());
    let low = |name: &str| state.get(name) & 0xffff_ffff;
    for (name, wide) in [("eip", "rip"), ("esp", "rsp"), ("eax", "rax"), ("eflags", "rflags"), ("cr3", "cr3")]
    {
        assert_eq!(dump.number(&format!("cpu.0.reg.{name}")).unwrap(), low(wide), "{name}");
    }
    assert!(!is_set(&dump, "cpu.0.reg.rip"));
}

#[test]
fn a_cpu_that_ran_a_program_in_tables_of_its_own_leaves_first_place_to_one_that_ran_the_kernel() {
    let cpu = |seed, cs, cr3| SmramState::distinct(seed, true).set("cs", cs).set("cr3", cr3);
    let order = |cpus: &[SmramState]| -> Vec<u64> {
        let dump = open(single().cpus(cpus.to_vec()).build());
        let count = dump.number("cpu.number").unwrap();
        // The builder numbers them by two.
        (0..count).map(|n| dump.number(&format!("cpu.{n}.apic_id")).unwrap() / 2).collect()
    };
    let (kernel, program) = (cpu(1, 0x10, 0x3000), cpu(2, 0x33, 0x5000));
    assert_eq!(order(&[kernel.clone(), program.clone()]), [0, 1]);
    assert_eq!(order(&[program.clone(), program.clone(), kernel.clone()]), [2, 0, 1]);
    assert_eq!(order(&[program.clone(), program.clone()]), [0, 1]);
    // These tables have the kernel as well.
    assert_eq!(order(&[program.set("cr3", 0x4000), kernel]), [0, 1]);
}

#[test]
fn a_state_with_nothing_but_reserved_bytes_is_a_cpu_that_is_not_there() {
    let reserved = [0, 0x1cf, 0x1dc, 0x1f0, 0x23f, 0x244, 0x2a8, 0x2d7, 0x2e4, 0x2f7, 0x304, 0x31b];
    let unused = reserved.iter().fold(SmramState::unused(), |state, at| state.byte(*at, 0xff));
    let dump = open(single().cpus([unused.clone()]).build());
    assert!(!is_set(&dump, "cpu.number"));
    assert_eq!(dump.string("arch.name").unwrap(), "ia32");
    for at in [0x1d0, 0x1db, 0x1e8, 0x240, 0x28c, 0x2d8, 0x2f8, 0x303, 0x31c, 0x3ff] {
        let dump = open(single().cpus([unused.clone().byte(at, 1)]).build());
        assert_eq!(dump.number("cpu.number").unwrap(), 1, "{at:#x}");
    }
}

// Section 4.3, last paragraph, and 4.7.
#[test]
fn the_limit_is_no_higher_than_the_bitmap_of_pages() {
    // One block of bitmap has 32768 bits.
    let dump = open(single().max_mapnr(1 << 40).build());
    assert_eq!(dump.number("max_pfn").unwrap(), 32768);
    assert_eq!(failure(page(&dump, 32767)), excluded());
    assert_eq!(failure(page(&dump, 32768)), out_of_bounds());
    let dump = open(single().max_mapnr(65).build());
    assert_eq!(failure(page(&dump, 65)), out_of_bounds());
    assert!(page(&dump, 64).unwrap() == page_bytes(64));
    assert_eq!(stored(&dump).last(), Some(&(201, 201)));
    let version_0 = single().version(0).patch(0, "max_mapnr_64", 1).build();
    assert_eq!(open(version_0).number("max_pfn").unwrap(), 301);
    let version_1 = single().version(1).patch(0, "max_mapnr", 1).build();
    assert_eq!(open(version_1).number("max_pfn").unwrap(), 301);
}

// Section 4.7.
#[test]
fn the_bitmap_of_memory_lowers_the_limit_when_it_is_looked_at() {
    // 4096 bits of memory, 8192 bits of pages.
    let builder = || SadumpBuilder::new(Variant::Single).block_size(512);
    let pages = [(1, page_bytes(1)), (5000, page_bytes(5000))];
    let file = builder().pages(pages).ram_blocks(1).build();
    let dump = open(file.clone());
    assert_eq!(dump.number("max_pfn").unwrap(), 5001);
    assert!(page(&dump, 5000).unwrap() == page_bytes(5000));
    assert_eq!(ram(&dump), [(1, 1)]);
    assert_eq!(dump.number("max_pfn").unwrap(), 4096);
    assert_eq!(failure(page(&dump, 5000)), out_of_bounds());
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
    // The user may know better, and the next dump is another one.
    set(&dump, "max_pfn", 6000);
    assert!(page(&dump, 5000).unwrap() == page_bytes(5000));
    dump.clear(Some("max_pfn")).unwrap();
    dump.open_bytes(file).unwrap();
    assert_eq!(dump.number("max_pfn").unwrap(), 5001);
    dump.open_bytes(b"no dump at all".to_vec()).unwrap_err();
    assert!(!is_set(&dump, "max_pfn"));
    // A bitmap that is large enough changes nothing.
    let dump = open(builder().pages([(1, page_bytes(1))]).max_mapnr(100).build());
    assert_eq!(ram(&dump), [(1, 1)]);
    assert_eq!(dump.number("max_pfn").unwrap(), 100);
}

// Section 4.6: the reference reads the first page of a run for all of it.
#[test]
fn each_page_of_a_run_is_its_own() {
    let image = RamImage::new(77, 4096);
    let pages = || (10..400).map(|pfn| (pfn, image.page_bytes(pfn)));
    for variant in [Variant::Single, Variant::Media, Variant::Set(vec![100, 1, 150])] {
        let dump = open_set(&SadumpBuilder::new(variant).pages(pages()).build_set());
        assert_eq!(stored(&dump), [(10, 399)]);
        for (pfn, bytes) in pages() {
            assert!(page(&dump, pfn).unwrap() == bytes, "page {pfn}");
        }
        let mut all = vec![0; 390 * 4096];
        dump.read(Space::MachinePhysical, 10 * 4096, &mut all).unwrap();
        assert!(all == pages().flat_map(|(_, bytes)| bytes).collect::<Vec<_>>());
    }
}

#[test]
fn excluded_pages_are_zero_if_the_user_says_so() {
    for (variant, _) in variants() {
        let dump = open_set(&builder(variant).build_set());
        assert_eq!(failure(page(&dump, 3)), excluded());
        set(&dump, "file.zero_excluded", 1);
        for pfn in [3, 5, 299] {
            assert!(page(&dump, pfn).unwrap().iter().all(|byte| *byte == 0));
        }
        assert_eq!(failure(page(&dump, 301)), out_of_bounds());
        assert!(page(&dump, 7).unwrap() == page_bytes(7));
        set(&dump, "file.zero_excluded", 0);
        assert_eq!(failure(page(&dump, 3)), excluded());
    }
}

#[test]
fn a_read_that_runs_into_a_missing_page_tells_how_far_it_came() {
    let dump = open(single().build());
    let mut bytes = vec![0; 3 * 4096];
    let (done, result) = dump.read_partial(Space::MachinePhysical, 4096 + 100, &mut bytes);
    assert_eq!((done, failure(result)), (2 * 4096 - 100, excluded()));
    assert!(bytes[..4096 - 100] == page_bytes(1)[100..]);
}

// Section 4.6: used_device counts between disks only.
#[test]
fn the_end_of_a_device_counts_between_the_disks_of_a_set_only() {
    for (variant, what) in variants() {
        let last = if matches!(variant, Variant::Set(_)) { 2 } else { 0 };
        for used in [0, 1, 4096, 20 * 4096] {
            let dump = open_set(&builder(variant.clone()).patch(last, "used_device", used).build_set());
            check_pages(&dump, &format!("{what}, {used} bytes used"));
        }
    }
    // Disk 2 has no data: its page is looked for on disk 3.
    let dump = open_set(&disks().patch(1, "used_device", 0).build_set());
    assert!(page(&dump, 2).unwrap() == page_bytes(2));
    assert!(page(&dump, 7).unwrap() == page_bytes(8));
    // Pages that nobody has.
    assert_eq!(failure(page(&dump, 201)), out_of_bounds());
}

#[test]
fn pages_behind_the_end_of_a_file_are_zero_as_far_as_the_header_speaks_of_them() {
    let whole = single().build();
    let cut = whole.len() - 4096 - 1000;
    let dump = open(&whole[..cut]);
    let last = page(&dump, 128).unwrap();
    assert!(last[..3096] == page_bytes(128)[..3096] && last[3096..].iter().all(|byte| *byte == 0));
    assert!(page(&dump, 201).unwrap().iter().all(|byte| *byte == 0));
    let media = builder(Variant::Media).patch(0, "used_device", 0).build();
    assert_eq!(failure(page(&open(&media[..media.len() - 4096]), 201)), out_of_bounds());
}

// Section 4.3 and 4.6: texts of failing reads.
#[test]
fn failing_reads_say_what_could_not_be_read_and_where() {
    let (file, layout) = single().build_with_layout().pop().unwrap();
    let faulty = |nth| -> Source {
        kdumpfile::sync::Shared::new(FaultyReader::new(file.clone()).fail_nth(nth, "Input/output error"))
    };
    let mut texts = Vec::new();
    for nth in 0.. {
        let dump = Context::new();
        match dump.open(vec![faulty(nth)]) {
            Ok(()) => break,
            Err(error) => texts.push(error.message()),
        }
    }
    let cpu = layout.dump_header + 4096;
    for text in [
        "file #0: Cannot read file #0: Input/output error".to_string(),
        "file #0: file #0: Cannot read dump header: Input/output error".into(),
        "file #0: file #0: Cannot read magic number at 0: Input/output error".into(),
        format!("file #0: file #0: Cannot read size of CPU states at {cpu}: Input/output error"),
        "file #0: file #0: Cannot read CPU #0 state: Input/output error".into(),
        format!(
            "file #0: Cannot read 4096 bytes of page bitmap at {}: Input/output error",
            layout.page_bitmap
        ),
    ] {
        assert!(texts.contains(&text), "{text} is not in {texts:#?}");
    }
    // A page, and the bitmap of memory.
    let reader = kdumpfile::sync::Shared::new(FaultyReader::new(file.clone()));
    let dump = try_open_sources(vec![reader.clone() as Source]).unwrap();
    let opened = reader.script().calls().len() as u64;
    let bad = |nth: u64| try_open_sources(vec![faulty(opened + nth)]).unwrap();
    let text = format!("Cannot read page data at {}: Input/output error", layout.pages);
    assert_eq!(failure(page(&bad(0), 0)), fails(Status::System, &text));
    let text = format!(
        "Value cannot be revalidated: Cannot read 4096 bytes of memory bitmap at {}: Input/output error",
        layout.ram_bitmap
    );
    assert_eq!(failure(bad(0).bitmap("memory.pagemap")), fails(Status::System, &text));
    check_pages(&dump, "nothing fails");
}

/// Opens, and reads everything.
fn scan(files: Vec<Source>) -> Result<()> {
    let dump = try_open_sources(files)?;
    let mut result = Ok(());
    for pfn in PFNS {
        match page(&dump, pfn) {
            Ok(bytes) => assert!(bytes == page_bytes(pfn), "page {pfn}"),
            Err(error) => result = Err(error),
        }
    }
    result.and(dump.bitmap("memory.pagemap").map(drop))
}

#[test]
fn each_read_of_a_set_may_fail_without_a_wrong_byte() {
    let files = disks().build_set();
    for bad in 0..3 {
        for nth in 0.. {
            let reader = FaultyReader::new(files[bad].clone()).fail_nth(nth, "Input/output error");
            let reader = kdumpfile::sync::Shared::new(reader);
            let sources = (0..3)
                .map(|i| if i == bad { reader.clone() as Source } else { source(files[i].clone()) })
                .collect();
            let result = scan(sources);
            if reader.script().calls().len() as u64 <= nth {
                result.unwrap();
                break;
            }
        }
    }
}

#[test]
fn fields_are_little_endian_whatever_the_host() {
    let (file, layout) = single().build_with_layout().pop().unwrap();
    assert_eq!(layout.field("nr_cpus").get(&file, ByteOrder::Little), 1);
    assert_eq!(open(file).number("cpu.number").unwrap(), 1);
}
