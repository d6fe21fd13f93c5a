//! QEMU migration streams and libvirt save images, rule by rule.

mod support;

use kdumpfile::codec::Codec;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Space, Status};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::qemu::{RAM, Records, Stream, guest, guest_page, item, mapped, save_image};
use support::*;

const SIZE: usize = 4096;
const XML: &str = "<domain type='kvm'>\n<os firmware='efi'>\n<type arch='x86_64' machine='pc-q35-7.2'>hvm</type>\n</os></domain>";

fn check_guest(dump: &Context, size: usize) {
    for n in 0..64 {
        let mut bytes = vec![0x5a; size];
        dump.read(Space::MachinePhysical, n * size as u64, &mut bytes).unwrap();
        assert!(bytes == guest_page(n, size), "page {n} of {size}");
    }
}

fn pc(blocks: &[(&str, u64)], records: Records) -> Vec<u8> {
    Stream::new(3).configuration("pc-i440fx-7.2", &[]).ram(blocks, records).end()
}

fn one_page() -> Records {
    Records::default().fill(0, Some("pc.ram"), 1)
}

#[test]
fn every_kind_of_record_is_read_and_the_last_one_of_a_page_wins() {
    let dump = open(guest(SIZE));
    assert_eq!(dump.string("file.format").unwrap(), "qemu");
    assert_eq!(dump.string("file.description").unwrap(), "QEMU snapshot, machine pc-i440fx-7.2");
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    for (path, number) in
        [("arch.byte_order", 1), ("arch.page_size", 4096), ("max_pfn", 64), ("cpu.number", 1)]
    {
        assert_eq!(dump.number(path).unwrap(), number, "{path}");
    }
    for (name, number) in [("rax", 0x1111), ("rip", 0xffff_ffff_8100_0000), ("cr3", 0x1000), ("rflags", 2)] {
        assert_eq!(dump.number(&format!("cpu.0.reg.{name}")).unwrap(), number, "{name}");
    }
    assert_eq!((stored(&dump), ram(&dump)), (vec![(0, 63)], vec![(0, 63)]));
    check_guest(&dump, SIZE);
    assert_eq!(failure(page(&dump, 64)), fails(Status::NoData, "Page not found"));
    // Across pages, and within one.
    let mut bytes = vec![0; 3 * SIZE];
    dump.read(Space::MachinePhysical, 5 * SIZE as u64 + 100, &mut bytes).unwrap();
    let whole: Vec<u8> = (5..9).flat_map(|n| guest_page(n, SIZE)).collect();
    assert!(bytes == whole[100..100 + 3 * SIZE]);
}

#[test]
fn pages_of_the_target_may_be_smaller_or_larger_than_those_of_the_reader() {
    // Runs and packed pages are cut into pieces where a page has 4 KiB.
    for size in [1024, 2048, 16384, 65536] {
        check_guest(&open(guest(size)), size);
    }
}

#[test]
fn memory_above_the_hole_is_at_4_gib() {
    let size = 4 << 30;
    let at = 0xc000_0000;
    let records = Records::default()
        .fill(0, Some("pc.ram"), 1)
        .page(at - 0x1000, Some("pc.ram"), &[2; SIZE])
        .page(at, None, &[3; SIZE])
        .page(at + 0x1000, None, &[4; SIZE])
        .fill(size - 0x1000, None, 5);
    let dump = open(pc(&[("pc.ram", size)], records));
    assert_eq!(stored(&dump), [(0, 0), (0xbffff, 0xbffff), (0x10_0000, 0x10_0001), (0x13_ffff, 0x13_ffff)]);
    for (pfn, byte) in [(0, 1), (0xbffff, 2), (0x10_0000, 3), (0x10_0001, 4), (0x13_ffff, 5)] {
        assert!(page(&dump, pfn).unwrap() == vec![byte; SIZE], "{pfn:#x}");
    }
}

#[test]
fn blocks_of_numa_nodes_are_one_memory_in_the_order_of_the_nodes() {
    let blocks = [("/objects/ram-node10", 0x1000), ("ram-node2", 0x2000), ("pc.bios", 0x1000)];
    let records = Records::default()
        .fill(0, Some("/objects/ram-node10"), 10)
        .fill(0x1000, Some("ram-node2"), 2)
        .fill(0, Some("pc.bios"), 9);
    let dump = open(pc(&blocks, records));
    assert_eq!(stored(&dump), [(1, 2)]);
    assert_eq!(page(&dump, 1).unwrap()[0], 2);
    assert_eq!(page(&dump, 2).unwrap()[0], 10);
}

#[test]
fn memory_with_a_name_of_the_users_choice_is_the_first_block() {
    let blocks = [("my-memory", 0x1000), ("vga.vram", 0x1000)];
    let dump = open(pc(&blocks, Records::default().fill(0, Some("my-memory"), 7)));
    assert_eq!(page(&dump, 0).unwrap()[0], 7);
}

#[test]
fn capabilities_and_identity_in_the_configuration_are_understood() {
    let name = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let capabilities = |names: &[&str]| {
        let names: Vec<u8> = names.iter().flat_map(|text| name(text)).collect();
        [&(2u32).to_be_bytes()[..], &names].concat()
    };
    // Of no consequence.
    let plain = capabilities(&["events", "late-block-activate"]);
    let subsections: [(&str, &[u8]); 2] =
        [("configuration/uuid", &[7; 16]), ("configuration/capabilities", &plain)];
    let file =
        Stream::new(3).configuration("pc-q35-7.2", &subsections).ram(&[("pc.ram", 0x1000)], one_page());
    assert_eq!(page(&open(file.end()), 0).unwrap(), vec![1; SIZE]);

    // Each block of the list has its address behind it.
    let shared = capabilities(&["x-ignore-shared", "events"]);
    let file = |mapped: bool| {
        let both = capabilities(&["x-ignore-shared", "mapped-ram"]);
        let what: &[u8] = if mapped { &both } else { &shared };
        let mut list = Records::default().list(0x3000, &[]).0;
        for (block, length) in [("pc.ram", 0x2000u64), ("vga.vram", 0x1000)] {
            list.extend([&name(block)[..], &length.to_be_bytes(), &0x1234_5000u64.to_be_bytes()].concat());
            if mapped {
                list.extend([&1u32.to_be_bytes()[..], &4096u64.to_be_bytes(), &[0; 16]].concat());
            }
        }
        let list = Records(list).end();
        let records =
            if mapped { Records::default() } else { Records::default().fill(0x1000, Some("pc.ram"), 9) };
        Stream::new(3)
            .configuration("pc-q35-9.0", &[("configuration/capabilities", what)])
            .named(item::START, RAM, "ram", 0, 4, &list)
            .part(item::END, RAM, &records.end())
            .end()
    };
    let dump = open(file(false));
    assert_eq!(stored(&dump), [(1, 1)]);
    assert_eq!(page(&dump, 1).unwrap(), vec![9; SIZE]);
    // With both, a block that the file does not have is at 0 and 0.
    let dump = open(file(true));
    assert_eq!(stored(&dump), []);
    assert_eq!(failure(page(&dump, 0)), fails(Status::NoData, "Page not found"));
}

#[test]
fn old_streams_have_no_configuration_and_no_footers() {
    let file = Stream::new(3).without_footers().ram(&[("pc.ram", 0x1000)], one_page()).end();
    assert_eq!(page(&open(file), 0).unwrap(), vec![1; SIZE]);
}

#[test]
fn the_machine_tells_architecture_and_byte_order() {
    for (machine, block, arch, little, first) in [
        ("s390-ccw-virtio-7.2", "s390.ram", Some("s390x"), 0, 0),
        ("pseries-7.2", "ppc_spapr.ram", Some("ppc64"), 0, 0),
        ("virt", "riscv_virt_board.ram", Some("riscv64"), 1, 0x8_0000),
        ("virt-7.2", "mach-virt.ram", None, 1, 0x4_0000),
    ] {
        let records = Records::default().fill(0, Some(block), 1);
        let file = Stream::new(3).configuration(machine, &[]).ram(&[(block, 0x1000)], records).end();
        let dump = open(file);
        assert_eq!(dump.string("arch.name").ok().as_deref(), arch, "{machine}");
        if machine != "pseries-7.2" {
            assert_eq!(dump.number("arch.byte_order").unwrap(), little, "{machine}");
        }
        assert_eq!(stored(&dump), [(first, first)], "{machine}");
        assert_eq!(dump.number("arch.page_size").unwrap(), 4096, "{machine}");
    }
}

#[test]
fn a_cpu_out_of_long_mode_has_the_registers_of_an_i386() {
    let file = Stream::new(3).configuration("pc-q35-7.2", &[]).ram(&[("pc.ram", 0x1000)], one_page());
    let dump = open(file.clone().cpu(1, &[(0, 0x1_2345_6789)]).cpu(0, &[(128, 0xfff0)]).end());
    assert_eq!(dump.string("arch.name").unwrap(), "ia32");
    assert_eq!(dump.number("cpu.1.reg.eax").unwrap(), 0x2345_6789);
    assert_eq!(dump.number("cpu.0.reg.eip").unwrap(), 0xfff0);
    assert!(!is_set(&dump, "cpu.0.reg.rax"));
    // What only looks like the header of a CPU's section is none.
    let dump = open(file.cpu(0, &[(456, 0)]).end());
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
    assert!(!is_set(&dump, "cpu.number"));
}

#[test]
fn other_iterable_sections_are_skipped_if_they_are_empty() {
    let before = |section: &str, version, payload: &[u8]| {
        Stream::new(3)
            .configuration("pseries-7.2", &[])
            .named(item::START, 5, section, 0, version, payload)
            .raw(&[8, 0, 3, 0, 2, 1, 1])
            .ram(&[("ppc_spapr.ram", 0x1000)], Records::default().fill(0, Some("ppc_spapr.ram"), 1))
            .end()
    };
    let table = [&[0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0][..], &[7; 32], &[0; 8]].concat();
    let attributes = [&2u64.to_be_bytes()[..], &3u64.to_be_bytes(), b"abc", &1u64.to_be_bytes()].concat();
    for (section, version, payload) in [
        ("block", 1, &2u64.to_be_bytes()[..]),
        ("dirty-bitmap", 1, &[1]),
        ("spapr/htab", 1, &0xffff_ffffu32.to_be_bytes()),
        ("spapr/htab", 1, &table),
        ("s390-storage_attributes", 0, &attributes),
    ] {
        let dump = open(before(section, version, payload));
        assert_eq!(page(&dump, 0).unwrap()[0], 1, "{section}");
    }
    for (section, payload, text) in [
        ("block", &1u64.to_be_bytes()[..], "Disk contents in a QEMU stream not implemented"),
        ("dirty-bitmap", &[0x10], "Dirty bitmaps in a QEMU stream not implemented"),
        ("cooler", &[], "Section cooler version 1 not implemented"),
    ] {
        let (status, message) = open_failure(before(section, 1, payload));
        assert_eq!((status, &*message), (Status::NotImplemented, &*format!("file #0: {text}")));
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    use Status::{Corrupt, NotImplemented};
    let blocks = [("pc.ram", 0x2000)];
    let with = |records: Records| pc(&blocks, records);
    let record =
        |address, flags, block, data: &[u8]| with(Records::default().record(address, flags, block, data));
    let machine = |name| Stream::new(3).configuration(name, &[]).ram(&blocks, one_page()).end();
    let many = |subsection: &str| Stream::new(3).configuration("pc", &[(subsection, &[])]).end();
    let list = Records::default().list(0x2000, &[("pc.ram", 0x3000)]).end();
    for (file, status, text) in [
        (Stream::new(2).end(), NotImplemented, "QEMU stream version 2 not implemented"),
        (machine("sbsa-ref"), NotImplemented, "Memory map of machine sbsa-ref not implemented"),
        (many("configuration/new"), NotImplemented, "Subsection configuration/new not implemented"),
        (record(0, 0x40, Some("pc.ram"), &[2, 0, 0]), Corrupt, "Page at 84 has encoding 2"),
        (
            record(0, 0x40, Some("pc.ram"), &[1, 0, 0]),
            Corrupt,
            "Changes at 99 are those of a page that was not sent before",
        ),
        (record(0, 0x80, None, &[]), Corrupt, "Memory record with flags 0xa0 at 84"),
        (record(0, 0x01, None, &[]), Corrupt, "Memory record with flags 0x21 at 84"),
        (record(0, 0x02, None, &[0]), Corrupt, "Memory record at 84 of no block"),
        (record(0, 0x02, Some("dimm"), &[0]), Corrupt, "Memory record at 84 of unknown block \"dimm\""),
        (
            record(0x2000, 0x02, Some("pc.ram"), &[0]),
            Corrupt,
            "Memory record at 84: 0x2000 is behind the end of block \"pc.ram\"",
        ),
        (
            record(0, 0x100, Some("pc.ram"), &0xffffu32.to_be_bytes()),
            Corrupt,
            "Packed page of 65535 bytes at 84",
        ),
        (
            Stream::new(3).named(item::START, RAM, "ram", 0, 4, &list).end(),
            Corrupt,
            "Memory block \"pc.ram\" at 33 exceeds the total of 0x2000",
        ),
        (
            Stream::new(3).named(item::START, RAM, "ram", 0, 3, &list).end(),
            NotImplemented,
            "Section ram version 3 not implemented",
        ),
        (Stream::new(3).part(item::PART, 7, &[]).end(), Corrupt, "Section 7 at 8 was never started"),
        (Stream::new(3).raw(&[0x7e, 0, 0, 0, 1]).end(), Corrupt, "Footer at 8 is that of section 1"),
        (Stream::new(3).raw(&[0x33]).end(), Corrupt, "Unknown item 0x33 at 8"),
        (Stream::new(3).end(), Corrupt, "QEMU stream ends at 8 without all memory"),
        (Stream::new(3).bytes, Corrupt, "QEMU stream ends too early, at 8"),
        (
            Stream::new(3).cpu(0, &[]).end(),
            NotImplemented,
            "Device state before the memory, at 8, not implemented",
        ),
    ] {
        assert_eq!(open_failure(file), fails(status, &format!("file #0: {text}")));
    }
    let files = [machine("pc"), machine("pc")];
    assert_eq!(failure(try_open_set(&files)).0, NotImplemented);
}

#[test]
fn a_packed_page_that_does_not_unpack_is_corrupt_and_others_stay_readable() {
    let bad = [&3u32.to_be_bytes()[..], b"abc"].concat();
    let records = one_page().record(0x1000, 0x100, None, &bad);
    let dump = open(pc(&[("pc.ram", 0x2000)], records));
    assert_eq!(page(&dump, 0).unwrap()[0], 1);
    let (status, text) = failure(page(&dump, 1));
    assert!(status == Status::Corrupt && text.contains("Cannot read page data at"), "{text}");
}

#[test]
fn packing_tells_what_a_page_takes_in_the_file() {
    let packing = |dump: &Context, address| {
        let packing = dump.packing(Space::MachinePhysical, address).unwrap();
        (packing.codec, packing.size)
    };
    let zlib = |page: &[u8]| kdumpfile_testkit::compress::zlib(page, 1);
    let (text, page) = ([7; 2 * SIZE], guest_page(3, SIZE));
    let records = one_page().packed(0x1000, None, &text[..SIZE]).page(0x2000, None, &page);
    let dump = open(pc(&[("pc.ram", 0x3000)], records));
    assert_eq!(packing(&dump, 0x1000), (Some(Codec::Zlib), zlib(&text[..SIZE]).len() as u64));
    assert_eq!(packing(&dump, 0x2000), (None, SIZE as u64));
    assert_eq!(packing(&dump, 0), (None, 0));
    // Half of a page of the target has half of what that takes.
    let size = 2 * SIZE as u32;
    let bits = size.trailing_zeros().to_be_bytes();
    let subsections: [(&str, &[u8]); 1] = [("configuration/target-page-bits", &bits)];
    let records = Records::default().packed(0, Some("pc.ram"), &text);
    let stream = Stream::new(3).configuration("pc-i440fx-7.2", &subsections);
    let file = stream.ram(&[("pc.ram", size.into())], records).end();
    let dump = Context::new();
    support::set(&dump, "arch.page_size", SIZE as u64);
    dump.open_bytes(file).unwrap();
    for address in [0, SIZE as u64] {
        assert_eq!(packing(&dump, address), (Some(Codec::Zlib), zlib(&text).len() as u64 / 2));
    }
}

#[test]
fn mapped_ram_is_read_in_place_and_what_its_bitmap_lacks_is_zero() {
    let pages: Vec<(u64, Vec<u8>)> = [0, 1, 9, 63, 64, 200].map(|n| (n, guest_page(n + 2, SIZE))).into();
    let check = |file: Vec<u8>| {
        let dump = open(file);
        assert_eq!(stored(&dump), [(0, 255)]);
        for pfn in 0..256 {
            let want = pages.iter().find(|(page, _)| *page == pfn);
            let want = want.map_or(vec![0; SIZE], |(_, bytes)| bytes.clone());
            assert!(page(&dump, pfn).unwrap() == want, "page {pfn}");
        }
    };
    let length = 256 * SIZE as u64;
    check(mapped("pc-q35-9.0", "pc.ram", length, &pages, 0, 0));
    // Behind libvirt's header, positions count from the beginning of the file;
    // in a stream that was written alone, from its own.
    let header = save_image(ByteOrder::Little, b"LibvirtQemudSave", 2, 6, XML, 4096);
    let before = header.len() as u64;
    for zero in [0, before] {
        let stream = mapped("pc-q35-9.0", "pc.ram", length, &pages, before, zero);
        check([&header[..], &stream].concat());
    }
    let wrong = mapped("pc-q35-9.0", "pc.ram", length, &pages, 0, 8);
    assert_eq!(open_failure(wrong).0, Status::Corrupt);
}

#[test]
fn save_images_open_in_both_byte_orders_and_every_raw_version() {
    for order in [ByteOrder::Little, ByteOrder::Big] {
        // Before version 2, the format means nothing.
        for (version, format) in [(1, 3), (2, 0)] {
            let mut file = save_image(order, b"LibvirtQemudSave", version, format, XML, 65536);
            file.extend(guest(SIZE));
            let dump = open(file);
            assert_eq!(dump.string("file.format").unwrap(), "libvirt");
            let description = dump.string("file.description").unwrap();
            assert_eq!(description, "Libvirt core dump, machine pc-i440fx-7.2");
            check_guest(&dump, SIZE);
        }
    }
}

#[test]
fn the_description_of_the_domain_tells_what_the_stream_does_not() {
    let image = |xml: &str, stream: Vec<u8>| {
        let mut file = save_image(ByteOrder::Little, b"LibvirtQemudSave", 2, 0, xml, 4096);
        file.extend(stream);
        open(file)
    };
    let with = |machine: &str, block: &str| {
        let records = Records::default().fill(0, Some(block), 1);
        Stream::new(3).configuration(machine, &[]).ram(&[(block, 0x1000)], records).end()
    };
    let xml = |arch: &str| format!("<domain><os><type arch=\"{arch}\" machine='virt-7.2'>hvm</type></os>");
    let dump = image(&xml("aarch64"), with("virt-7.2", "mach-virt.ram"));
    assert_eq!(dump.string("arch.name").unwrap(), "aarch64");
    let dump = image(&xml("ppc64le"), with("pseries-7.2", "ppc_spapr.ram"));
    assert_eq!(dump.string("arch.name").unwrap(), "ppc64");
    assert_eq!(dump.number("arch.byte_order").unwrap(), 1);
    let size = 0xb000_0000;
    let records = Records::default().fill(0x8000_0000, Some("pc.ram"), 1);
    let dump = image(XML, Stream::new(3).ram(&[("pc.ram", size)], records).end());
    assert_eq!(stored(&dump), [(0x10_0000, 0x10_0000)]);
}

#[cfg(feature = "archive")]
#[test]
fn packed_save_images_are_read_in_place() {
    let stream = guest(SIZE);
    let head = |format| save_image(ByteOrder::Little, b"LibvirtQemudSave", 2, format, XML, 4096);
    let packed_by = |program: &str| {
        let path = std::env::temp_dir().join(format!("kdumpfile-save-{}-{program}", std::process::id()));
        std::fs::write(&path, &stream).unwrap();
        let output = std::process::Command::new(program).arg("-c").arg(&path).output();
        std::fs::remove_file(&path).unwrap();
        output.ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    for (format, program) in [
        (1, "gzip"),
        (2, "bzip2"),
        #[cfg(feature = "archive-xz")]
        (3, "xz"),
        (4, "lzop"),
        (5, "zstd"),
    ] {
        let Some(packed) = packed_by(program) else {
            println!("skipped: {program} is not installed");
            continue;
        };
        let file = [head(format), packed.clone()].concat();
        let dump = open(file.clone());
        assert_eq!(dump.string("file.format").unwrap(), "libvirt", "{program}");
        assert_eq!(dump.string("file.set.0.archive").unwrap(), program);
        check_guest(&dump, SIZE);
        let cut = open_failure(file[..file.len() - packed.len() / 2].to_vec());
        assert_eq!(cut.0, Status::Corrupt, "{program}: {}", cut.1);
    }
    // A packed file may itself be packed: both are seen through, but an archive
    // inside the archive is not.
    let gzip = kdumpfile_testkit::compress::gzip;
    check_guest(&open(gzip(&[head(1), gzip(&stream)].concat())), SIZE);
    let (status, text) = open_failure([head(1), gzip(&gzip(&stream))].concat());
    assert_eq!(status, Status::NotImplemented);
    assert!(text.contains("There is another archive inside (gzip); unpack it first"), "{text}");
}

#[test]
fn save_images_that_cannot_be_read_say_why() {
    use Status::{Corrupt, NotImplemented};
    let image = |magic: &[u8; 16], version, format| {
        let mut file = save_image(ByteOrder::Little, magic, version, format, XML, 4096);
        file.extend(guest(1024));
        file
    };
    const SAVE: &[u8; 16] = b"LibvirtQemudSave";
    for (file, status, text) in [
        (image(b"LibvirtQemudPart", 2, 0), Corrupt, "Save image is incomplete"),
        (image(SAVE, 3, 0), NotImplemented, "Save image version 3 not implemented"),
        (image(SAVE, 2, 1), Corrupt, "There is no archive at 4188"),
        (image(SAVE, 2, 9), NotImplemented, "Save image packed with number 9 not implemented"),
        (image(SAVE, 2, 0)[..4200].to_vec(), Corrupt, "QEMU stream ends too early, at 4200"),
        (image(SAVE, 2, 0)[..200].to_vec(), Corrupt, "No QEMU stream at 4188"),
    ] {
        let found = open_failure(file);
        if text.contains("too early") {
            assert!(found.0 == status && found.1.contains("QEMU stream ends too early"), "{}", found.1);
        } else {
            assert_eq!(found, fails(status, &format!("file #0: {text}")));
        }
    }
}

#[test]
fn a_read_that_fails_is_told_and_no_page_is_wrong() {
    let file = guest(1024);
    let mut failed = 0;
    for n in 0.. {
        let faulty = Shared::new(FaultyReader::new(file.clone()).fail_nth(n, "Input/output error"));
        let opened = try_open_sources(vec![faulty.clone() as Source]);
        let reads = faulty.script().calls().len() as u64;
        match opened {
            Err(error) => assert!(error.message().ends_with("Input/output error"), "{n}: {error}"),
            Ok(dump) => {
                for pfn in 0..16 {
                    let want: Vec<u8> = (4 * pfn..4 * pfn + 4).flat_map(|n| guest_page(n, 1024)).collect();
                    match page(&dump, pfn) {
                        Ok(bytes) => assert!(bytes == want, "read {n}, page {pfn}"),
                        Err(error) => {
                            failed += 1;
                            assert_eq!(error.status(), Status::System, "read {n}: {error}");
                            // The fault is over.
                            assert!(page(&dump, pfn).unwrap() == want, "read {n}, page {pfn}");
                        }
                    }
                }
                if faulty.script().calls().len() as u64 <= n {
                    break;
                }
            }
        }
        assert!(n < 10_000, "{reads}");
    }
    assert!(failed > 0);
}

#[test]
fn short_reads_change_nothing() {
    let script = Script::new(1).with(When::Always, Fault::Short(7));
    let source = Shared::new(FaultyReader::with_script(guest(1024), script));
    let dump = try_open_sources(vec![source as Source]).unwrap();
    check_guest(&dump, 1024);
}
