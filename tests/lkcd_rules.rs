//! LKCD headers, attributes and pages, rule by rule. Numbers in comments are
//! sections of the format description; where the reference has a fault, the
//! test shows the right behaviour.

mod support;

use kdumpfile::{Context, Space, Status};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::{RamImage, page_bytes};
use kdumpfile_testkit::lkcd::{LkcdBuilder, MCLX_V0, MCLX_V1, Method, Record, VERSIONS};
use kdumpfile_testkit::notes::Utsname;
use support::*;

const WORDS: [WordSize; 2] = [WordSize::Bits32, WordSize::Bits64];

/// In the order of the file, which is no order.
const PFNS: [u64; 8] = [7, 0, 1, 2, 300, 299, 65, 1 << 33];

fn v8() -> LkcdBuilder {
    LkcdBuilder::new(8, WordSize::Bits64, ByteOrder::Little)
}

fn with(builder: LkcdBuilder, pfns: impl IntoIterator<Item = u64>) -> LkcdBuilder {
    builder.pages(pfns.into_iter().map(|pfn| (pfn, page_bytes(pfn))))
}

fn not_found() -> (Status, String) {
    fails(Status::NoData, "Page not found")
}

/// Reads every page and nothing else.
fn check_pages(dump: &Context, what: &str) {
    for pfn in PFNS {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "{what}: page {pfn:#x}");
    }
    for pfn in [3, 64, 298, 301, 1 << 32, (1 << 33) + 1] {
        assert_eq!(failure(page(dump, pfn)), not_found(), "{what}: page {pfn:#x}");
    }
    assert_eq!(dump.number("max_pfn").unwrap(), (1 << 33) + 1, "{what}");
    let pages = [(0, 2), (7, 7), (65, 65), (299, 300), (1 << 33, 1 << 33)];
    assert_eq!(stored(dump), pages, "{what}");
}

// 3.1 to 3.8, checklist "LKCD header", "LKCD pages".
#[test]
fn every_version_word_size_byte_order_and_method_reads() {
    for version in VERSIONS {
        for word in WORDS {
            for order in ByteOrder::ALL {
                for method in Method::ALL {
                    if version < 5 && method != Method::Rle {
                        continue;
                    }
                    let what = format!("version {version} {word:?} {order:?} {method:?}");
                    let builder = LkcdBuilder::new(version, word, order).method(method);
                    let dump = open(with(builder, PFNS).build());
                    assert_eq!(dump.string("file.format").unwrap(), "lkcd", "{what}");
                    let description = format!("Linux Kernel Crash Dump v{version}");
                    assert_eq!(dump.string("file.description").unwrap(), description, "{what}");
                    let little = u64::from(order == ByteOrder::Little);
                    let pointer = if word == WordSize::Bits64 { 8 } else { 4 };
                    for (path, number) in [
                        ("arch.byte_order", little),
                        ("arch.page_size", 4096),
                        ("arch.page_shift", 12),
                        ("arch.ptr_size", pointer),
                        ("linux.version_code", 0x2_06_05),
                    ] {
                        assert_eq!(dump.number(path).unwrap(), number, "{what}: {path}");
                    }
                    for (path, text) in [
                        ("linux.uts.sysname", "Linux"),
                        ("linux.uts.nodename", "testkit"),
                        ("linux.uts.release", "2.6.5-7.97-smp"),
                        ("linux.uts.version", "#1 SMP"),
                        ("linux.uts.domainname", "(none)"),
                    ] {
                        assert_eq!(dump.string(path).unwrap(), text, "{what}: {path}");
                    }
                    check_pages(&dump, &what);
                }
            }
        }
    }
}

// 3.2, 3.6: other page sizes.
#[test]
fn every_page_size_reads_and_none_but_powers_of_two_open() {
    for shift in [9, 12, 13, 14, 16, 18] {
        let image = RamImage::new(2, 1 << shift);
        let pfns = [4, 0, 9];
        for method in [Method::Rle, Method::Gzip] {
            let dump = open(
                v8().page_size(1 << shift)
                    .method(method)
                    .pages(pfns.map(|pfn| (pfn, image.page_bytes(pfn))))
                    .build(),
            );
            assert_eq!(dump.number("arch.page_size").unwrap(), 1 << shift);
            for pfn in pfns {
                assert!(read_block(&dump, pfn, 1 << shift).unwrap() == image.page_bytes(pfn), "{shift}");
            }
            assert_eq!(dump.number("max_pfn").unwrap(), 10);
        }
    }
    for size in [0, 3, 4095, 4097, u32::MAX] {
        let (status, text) = open_failure(v8().page_size(size).build());
        assert_eq!((status, text), fails(Status::Corrupt, &format!("file #0: Invalid page size: {size}")));
    }
}

// 3.2: other versions; what is known by then stays known.
#[test]
fn other_versions_are_refused_and_flags_of_the_version_are_not() {
    for version in [0, 4, 11, 0x3fff_ffff] {
        for flags in [0, MCLX_V0, MCLX_V1] {
            let file = v8().patch("dh_version", (version | flags).into()).build();
            let text = format!("file #0: Unsupported LKCD version: {version}");
            let dump = Context::new();
            assert_eq!(failure(dump.open_bytes(file)), fails(Status::NotImplemented, &text));
            // Nothing is left of it that could be asked.
            assert_eq!(failure(page(&dump, 0)).0, Status::AddrXlat);
            assert!(dump.number("max_pfn").is_err() && !is_set(&dump, "file.format"));
            dump.open_bytes(with(v8(), PFNS).build()).unwrap();
            check_pages(&dump, "after a failure");
        }
    }
    for flags in [MCLX_V0, MCLX_V1, MCLX_V0 | MCLX_V1] {
        let dump = open(with(LkcdBuilder::new(1 | flags, WordSize::Bits32, ByteOrder::Little), PFNS).build());
        assert_eq!(dump.string("file.description").unwrap(), "Linux Kernel Crash Dump v1");
        check_pages(&dump, "flags");
    }
}

// 3.2: crash reads such records like this; the reference does not.
#[test]
fn records_of_mission_critical_linux_have_a_pfn_for_an_address() {
    for flag in [MCLX_V0, MCLX_V1] {
        let mut builder = LkcdBuilder::new(1 | flag, WordSize::Bits32, ByteOrder::Little);
        for pfn in PFNS {
            builder = builder.record(Record::new(pfn, 1 | flag, page_bytes(pfn)));
        }
        check_pages(&open(builder.build()), "page frame numbers");
    }
}

// 1.2.9, 3.6.2.
#[test]
fn a_set_of_files_is_refused_before_anything_but_the_byte_order_is_known() {
    let file = with(v8(), PFNS).build();
    let dump = Context::new();
    let result = dump.open(vec![source(file.clone()), source(file)]);
    let refused = fails(Status::NotImplemented, "file #0: Multiple files not implemented");
    assert_eq!(failure(result), refused);
    assert!(!is_set(&dump, "file.format"));
    assert!(!is_set(&dump, "file.description"));
    assert!(page(&dump, 0).is_err());
}

// 3.1: only two of the many similar signatures are ours.
#[test]
fn similar_signatures_are_not_lkcd() {
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    for magic in [0xa819_0173_618f_23ec_u64, 0xa819_0173_618f_23cd, 0xed23_8f61_7301_19a9, 0] {
        let dump = Context::new();
        let file = with(v8(), PFNS).patch("dh_magic_number", magic).build();
        assert_eq!(failure(dump.open_bytes(file)), unknown, "{magic:#x}");
        for path in ["file.description", "arch.byte_order", "arch.page_size", "max_pfn"] {
            assert!(!is_set(&dump, path), "{magic:#x}: {path}");
        }
    }
    for len in 0..8 {
        let file = with(v8(), PFNS).build();
        assert_eq!(open_failure(&file[..len]), unknown, "{len} bytes");
    }
}

// 2.
#[test]
fn dumps_of_mission_critical_linux_are_recognised_and_refused() {
    for tail in [&[][..], &[1, 2, 3]] {
        let dump = Context::new();
        let result = dump.open_bytes([&[0xdd, 0xcc, 0x8b, 0x9a], tail].concat());
        let text = "file #0: Mision Critical Linux Crash Dump files not yet implemented";
        assert_eq!(failure(result), fails(Status::NotImplemented, text));
        assert_eq!(dump.string("file.description").unwrap(), "Mision Critical Linux Crash Dump");
        assert!(!is_set(&dump, "file.format"));
    }
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    assert_eq!(open_failure([0x9a, 0x8b, 0xcc, 0xdd]), unknown);
    assert_eq!(open_failure([0xdd, 0xcc, 0x8b]), unknown);
}

// 3.4.
#[test]
fn the_word_size_is_where_a_sane_utsname_is() {
    let names = |builder: LkcdBuilder| open(builder.build()).string("linux.uts.machine").ok();
    for version in [1, 2, 3, 5, 6, 7] {
        let wide = |uts| LkcdBuilder::new(version, WordSize::Bits64, ByteOrder::Little).utsname(uts);
        let sane = Utsname::linux("2.4.18", "x86_64");
        assert_eq!(names(wide(sane.clone())).as_deref(), Some("x86_64"));
        // The domain name need not end.
        let domain = Utsname { domainname: vec![b'd'; 65], ..sane.clone() };
        assert_eq!(names(wide(domain)).as_deref(), Some("x86_64"), "version {version}");
        // Neither is sane: 32 bits, 12 bytes in front of the texts.
        for insane in [
            Utsname { sysname: b"Linus".to_vec(), ..sane.clone() },
            Utsname { release: vec![], ..sane.clone() },
            Utsname { version: vec![], ..sane.clone() },
            Utsname { machine: vec![], ..sane.clone() },
            Utsname { nodename: vec![b'n'; 65], ..sane.clone() },
        ] {
            let dump = open(wide(insane.clone()).build());
            let sysname = dump.string("linux.uts.sysname").ok();
            assert_ne!(sysname.as_deref(), Some("Linux"), "version {version}: {insane:?}");
            assert!(!is_set(&dump, "arch.name"), "version {version}: {insane:?}");
        }
    }
}

// 3.6: what follows from the texts, and what does not.
#[test]
fn empty_texts_are_left_out_but_for_the_names_of_the_host() {
    for version in [2, 8] {
        let builder = LkcdBuilder::new(version, WordSize::Bits32, ByteOrder::Little);
        let dump = open(builder.utsname(Utsname::empty()).build());
        for key in ["sysname", "release", "version", "machine"] {
            assert!(!is_set(&dump, &format!("linux.uts.{key}")), "version {version}: {key}");
        }
        for key in ["nodename", "domainname"] {
            let text = dump.string(&format!("linux.uts.{key}")).unwrap();
            assert_eq!(text, "", "version {version}: {key}");
        }
        assert!(!is_set(&dump, "arch.name"));
        assert!(!is_set(&dump, "linux.version_code"));
        let long = Utsname { machine: vec![b'm'; 65], ..Utsname::linux("2.6.5", "") };
        let dump = open(builder_like(version).utsname(long).build());
        assert_eq!(dump.string("linux.uts.machine").unwrap().len(), 64, "version {version}");
    }
}

fn builder_like(version: u32) -> LkcdBuilder {
    LkcdBuilder::new(version, WordSize::Bits32, ByteOrder::Little)
}

// 3.6.
#[test]
fn the_architecture_follows_from_the_machine() {
    for (machine, arch, pointer) in [
        ("alpha", "alpha", 8),
        ("ia64", "ia64", 8),
        ("mips", "mips", 4),
        ("ppc", "ppc", 4),
        ("ppc64", "ppc64", 8),
        ("ppc64le", "ppc64", 8),
        ("riscv64", "riscv64", 8),
        ("s390", "s390", 4),
        ("s390x", "s390x", 8),
        ("i386", "ia32", 4),
        ("i586", "ia32", 4),
        ("i686", "ia32", 4),
        ("x86_64", "x86_64", 8),
        ("aarch64", "aarch64", 8),
        ("armv5tel", "arm", 4),
    ] {
        let dump = open(with(v8(), [1]).utsname(Utsname::linux("2.6.5", machine)).build());
        assert_eq!(dump.string("arch.name").unwrap(), arch, "{machine}");
        assert_eq!(dump.number("arch.ptr_size").unwrap(), pointer, "{machine}");
        assert_eq!(is_set(&dump, "arch.pteval_size"), arch != "ia32", "{machine}");
        // Whatever pages the architecture has: the header knows better.
        assert_eq!(dump.number("arch.page_size").unwrap(), 4096, "{machine}");
    }
    let dump = open(with(v8(), [1]).utsname(Utsname::linux("2.6.5", "i486")).build());
    assert!(!is_set(&dump, "arch.name"));
    assert_eq!(dump.string("linux.uts.machine").unwrap(), "i486");
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

// 3.6, checklist "LKCD attributes".
#[test]
fn opening_reads_the_header_and_no_page() {
    let dump = open(with(v8(), PFNS).build());
    for path in
        ["addrxlat.ostype", "cpu.number", "linux.vmcoreinfo.raw", "memory.pagemap", "file.eraseinfo.raw"]
    {
        assert!(!is_set(&dump, path), "{path}");
    }
    let statistics = || (dump.number("cache.hits").unwrap(), dump.number("cache.misses").unwrap());
    assert_eq!(statistics(), (0, 0));
    dump.number("max_pfn").unwrap();
    stored(&dump);
    assert_eq!(statistics(), (0, 0));
    page(&dump, 0).unwrap();
    assert_eq!(statistics(), (0, 1));
    page(&dump, 0).unwrap();
    assert_eq!(statistics(), (1, 1));
}

// 3.8, checklist "LKCD pages".
#[test]
fn pages_of_the_wrong_length_fail_with_the_reason() {
    let whole = page_bytes(6);
    let short = &whole[..100];
    let long = [&whole[..], &[1]].concat();
    for method in [Method::Rle, Method::Gzip] {
        let pack = |bytes: &[u8]| method.pack(bytes).unwrap();
        let rle = method == Method::Rle;
        let overflow = if rle { "Decompression failed: -1" } else { "Decompresion failed: error -5" };
        let cut = |bytes: &[u8]| pack(bytes)[..pack(bytes).len() - 5].to_vec();
        let nothing = if rle { "Wrong uncompressed size: 0" } else { "Decompresion failed: error -3" };
        let dump = open(
            v8().method(method)
                .raw(0, short)
                .raw(1, &long[..])
                .raw(2, [])
                .packed(3, pack(short))
                .packed(4, pack(&long))
                .packed(5, [])
                .packed(6, vec![0x41; (1 << 18) + 1])
                // Larger than a page: the reference overruns its buffer.
                .packed(7, vec![0x41; 1 << 18])
                .packed(8, pack(&vec![7; 1 << 16]))
                .packed(9, cut(&whole))
                .packed(10, [pack(&whole), vec![9; 3]].concat())
                .raw(11, &whole[..])
                .build(),
        );
        let corrupt = |pfn: u64, text: &str| {
            assert_eq!(failure(page(&dump, pfn)), fails(Status::Corrupt, text), "{method:?}: page {pfn}");
        };
        corrupt(0, "Wrong page size: 100");
        corrupt(1, "Wrong page size: 4097");
        corrupt(2, "Wrong page size: 0");
        corrupt(3, "Wrong uncompressed size: 100");
        corrupt(4, overflow);
        corrupt(5, nothing);
        corrupt(6, "Wrong compressed size: 262145");
        corrupt(7, if rle { overflow } else { "Decompresion failed: incorrect header check" });
        corrupt(8, overflow);
        match rle {
            true => assert_eq!(failure(page(&dump, 9)).0, Status::Corrupt),
            false => corrupt(9, "Decompresion failed: error -3"),
        }
        // Bytes behind a zlib stream are ignored; run lengths have no end.
        match rle {
            true => corrupt(10, overflow),
            false => assert!(page(&dump, 10).unwrap() == whole),
        }
        assert!(page(&dump, 11).unwrap() == whole);
    }
}

// 3.8: a page may be packed to more bytes than it has, up to 256 KiB.
#[test]
fn packed_pages_may_be_larger_than_pages() {
    let bytes = page_bytes(4);
    let rle: Vec<u8> = bytes.iter().flat_map(|&byte| [0, 1, byte]).collect();
    let stored = kdumpfile_testkit::compress::zlib(&bytes, 0);
    for (method, packed) in [(Method::Rle, rle), (Method::Gzip, stored)] {
        assert!(packed.len() > bytes.len());
        let file = v8().method(method).packed(4, packed).build();
        assert!(page(&open(file.clone()), 4).unwrap() == bytes, "{method:?}");
        // The same from a source that lends nothing.
        let dump =
            try_open_sources(vec![kdumpfile::sync::Shared::new(Sparse::new(0).with(0, file))]).unwrap();
        assert!(page(&dump, 4).unwrap() == bytes, "{method:?}");
    }
}

// 3.8.
#[test]
fn unknown_flags_and_methods_fail_when_the_page_is_read() {
    let file = v8().record(Record::new(0, 0, page_bytes(0))).record(Record::new(4096, 3, page_bytes(1)));
    let dump = open(with(file, [2]).build());
    for (pfn, flags) in [(0, "0x0"), (1, "0x3")] {
        let text = format!("Unsupported compression type: {flags}");
        assert_eq!(failure(page(&dump, pfn)), fails(Status::NotImplemented, &text));
    }
    assert!(page(&dump, 2).unwrap() == page_bytes(2));
    // They are pages all the same.
    assert_eq!(stored(&dump), [(0, 2)]);
    for (method, shown) in [(0, "0"), (3, "3"), (u32::MAX, "-1")] {
        for version in [5, 8, 10] {
            let builder = LkcdBuilder::new(version, WordSize::Bits64, ByteOrder::Big).method_number(method);
            let dump = open(builder.packed(0, [1, 2, 3]).raw(1, page_bytes(1)).build());
            let text = format!("Unknown compression method: {shown}");
            assert_eq!(failure(page(&dump, 0)), fails(Status::NotImplemented, &text));
            assert!(page(&dump, 1).unwrap() == page_bytes(1));
        }
    }
}

// 3.7: flags that are not known are not looked at.
#[test]
fn other_flags_of_a_record_change_nothing() {
    let file = v8().record(Record::new(4096, 1 | 0x1234_5678 & !7, page_bytes(1))).build();
    assert!(page(&open(file), 1).unwrap() == page_bytes(1));
}

// 3.5.
#[test]
fn version_9_says_where_records_begin_and_older_ones_do_not() {
    for version in [9, 10] {
        for offset in [742, 4096, 131_072, 131_073] {
            let builder = LkcdBuilder::new(version, WordSize::Bits64, ByteOrder::Big).data_offset(offset);
            check_pages(&open(with(builder, PFNS).build()), &format!("records at {offset}"));
        }
        // 3.10: nothing there; harmless.
        let builder = LkcdBuilder::new(version, WordSize::Bits64, ByteOrder::Big);
        let none = open(with(builder.clone(), PFNS).patch("dh_dump_buffer_size", 0).build());
        let far = open(with(builder, PFNS).patch("dh_dump_buffer_size", u64::MAX).build());
        for dump in [none, far] {
            assert_eq!(failure(page(&dump, 0)), not_found());
            assert_eq!(dump.number("max_pfn").unwrap(), 0);
            assert_eq!(stored(&dump), []);
        }
    }
    check_pages(&open(with(v8(), PFNS).patch("dh_header_size", 12).build()), "version 8");
}

// Checklist "Reads across pages".
#[test]
fn a_read_that_runs_into_a_gap_tells_how_far_it_came() {
    let dump = open(with(v8(), [4, 5, 7]).build());
    let mut bytes = vec![0; 3 * 4096];
    let (done, result) = dump.read_partial(Space::MachinePhysical, 4 * 4096 + 96, &mut bytes);
    assert_eq!((done, failure(result)), (2 * 4096 - 96, not_found()));
    assert!(bytes[..done] == [page_bytes(4), page_bytes(5)].concat()[96..]);
    // Kernel physical addresses are translated; there is nothing to do it with.
    assert_eq!(failure(dump.read(Space::KernelVirtual, 0, &mut bytes)).0, Status::AddrXlat);
}

// Our own: how pages are packed can be asked for.
#[test]
fn packing_tells_codec_and_size() {
    use kdumpfile::codec::Codec;
    let packed = Method::Gzip.pack(&page_bytes(0)).unwrap();
    let size = packed.len() as u64;
    let dump = open(v8().packed(0, packed).raw(1, page_bytes(1)).build());
    let packing =
        |pfn: u64| dump.packing(Space::MachinePhysical, pfn * 4096).map(|found| (found.codec, found.size));
    assert_eq!(packing(0).unwrap(), (Some(Codec::Zlib), size));
    assert_eq!(packing(1).unwrap(), (None, 4096));
    assert_eq!(failure(packing(2)), not_found());
}

// Our own: a flattened stream of an LKCD dump.
#[test]
fn a_flattened_lkcd_dump_reads() {
    let file = with(v8(), PFNS).build();
    let flat = kdumpfile_testkit::flatten::Flattener::new().flatten(&file);
    let dump = open(flat);
    assert_eq!(dump.string("file.description").unwrap(), "Flattened Linux Kernel Crash Dump v8");
    check_pages(&dump, "flattened");
}

// --- 3.11: registers ----------------------------------------------------------

/// Registers of a CPU: a number for each, different for each CPU.
fn regs(arch: Arch, cpu: u64) -> Vec<u64> {
    let count = match arch {
        Arch::Ia32 => 15,
        Arch::X86_64 => 21,
        _ => 44,
    };
    (0..count).map(|number| 0x1000 * (cpu + 1) + number).collect()
}

/// Each architecture with a known layout: its order and machine, and the place
/// of a few registers.
type Machine = (Arch, ByteOrder, &'static str, [(&'static str, u64); 3]);
const MACHINES: [Machine; 3] = [
    (Arch::Ia32, ByteOrder::Little, "i686", [("ebx", 0), ("eip", 10), ("ss", 14)]),
    (Arch::X86_64, ByteOrder::Little, "x86_64", [("r15", 0), ("rip", 16), ("ss", 20)]),
    (Arch::Ppc64, ByteOrder::Big, "ppc64", [("r0", 0), ("pc", 32), ("res", 43)]),
];

fn with_cpus(version: u32, machine: &Machine, regs: Vec<Vec<u64>>, dumping: (u32, Vec<u64>)) -> LkcdBuilder {
    let (arch, order, name, _) = *machine;
    LkcdBuilder::new(version, WordSize::Bits64, order)
        .utsname(Utsname::linux("2.6.5", name))
        .cpus(arch, 8, dumping, regs)
        .page(3, page_bytes(3))
}

#[test]
fn registers_are_in_the_header_of_the_architecture() {
    for machine in &MACHINES {
        let arch = machine.0;
        for version in [8, 9, 10] {
            let what = format!("{arch:?} version {version}");
            let all = (0..3).map(|cpu| regs(arch, cpu)).collect();
            let dump = open(with_cpus(version, machine, all, (1, regs(arch, 1))).build());
            assert_eq!(dump.number("cpu.number").unwrap(), 3, "{what}");
            for cpu in 0..3 {
                for (name, number) in machine.3 {
                    let path = format!("cpu.{cpu}.reg.{name}");
                    assert_eq!(dump.number(&path).unwrap(), 0x1000 * (cpu + 1) + number, "{what}: {path}");
                }
            }
            assert!(!is_set(&dump, "cpu.3"), "{what}");
            assert!(page(&dump, 3).unwrap() == page_bytes(3), "{what}");
        }
        // Older headers have another layout, which is not known.
        let old = open(with_cpus(7, machine, vec![regs(arch, 0)], (0, regs(arch, 0))).build());
        assert!(!is_set(&old, "cpu.number"), "{arch:?}");
    }
}

#[test]
fn the_cpu_that_dumped_may_have_its_registers_in_its_own_place_only() {
    let machine = &MACHINES[1];
    let nothing = vec![0; 21];
    let all = vec![regs(Arch::X86_64, 0), nothing.clone(), nothing];
    let dump = open(with_cpus(8, machine, all, (2, regs(Arch::X86_64, 2))).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 3);
    assert_eq!(dump.number("cpu.2.reg.rip").unwrap(), 0x3010);
    // This one left none.
    assert!(!is_set(&dump, "cpu.1.reg.rip"));
}

#[test]
fn a_header_of_the_architecture_that_makes_no_sense_is_none() {
    let good = || with_cpus(9, &MACHINES[1], vec![regs(Arch::X86_64, 0)], (0, regs(Arch::X86_64, 0)));
    for (field, value) in [
        ("dha_magic_number", 0xdead_dead_dead_dead),
        ("dha_header_size", 0),
        ("dha_header_size", 199),
        // It would reach into the first record.
        ("dha_header_size", 65536),
        ("dha_header_size", u64::from(u32::MAX)),
        ("dha_smp_num_cpus", 0),
        ("dh_header_size", 60),
        ("dh_header_size", u64::from(u32::MAX)),
        ("dh_dump_buffer_size", 800),
    ] {
        let dump = open(good().patch(field, value).build());
        assert!(!is_set(&dump, "cpu.number"), "{field} = {value}");
        assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    }
    // No more CPUs than there is room for.
    let many = open(good().patch("dha_smp_num_cpus", u32::MAX.into()).build());
    assert_eq!(many.number("cpu.number").unwrap(), 8);
    assert_eq!(many.number("cpu.0.reg.rip").unwrap(), 0x1010);
    // A machine of which the layout is not known.
    let other = good().utsname(Utsname::linux("2.6.5", "alpha")).build();
    assert!(!is_set(&open(other), "cpu.number"));
}
