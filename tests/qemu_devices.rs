//! What QEMU streams say behind the memory, and what only the user can say:
//! registers by the description, page size, where blocks are.

mod support;

use kdumpfile::{Context, Status, Value};
use kdumpfile_testkit::qemu::{
    Described, RAM, Records, Stream, cpu_fields, description, guest_page, item, mapped,
};
use support::*;

const SIZE: usize = 4096;

fn cpu(instance: u32, word: u64) -> Described {
    Described { name: "cpu", instance, fields: cpu_fields(word), subsection: Some(("cpu/extra", 7)) }
}

/// The state of a CPU whose registers tell its number and their own place.
fn state(cpu: &Described, word: usize, efer: u64) -> Vec<u8> {
    let number = |value: u64| value.to_be_bytes()[8 - word..].to_vec();
    let base = u64::from(cpu.instance) << 28;
    let mut values: Vec<(&str, u64, Vec<u8>)> = vec![
        ("env.cr[0]", 0, number(0x8000_0011)),
        ("env.cr[2]", 0, number(base + 2)),
        ("env.cr[3]", 0, number(base + 3)),
        ("env.cr[4]", 0, number(base + 4)),
        ("env.eip", 0, number(base + 0x11)),
        ("env.eflags", 0, number(0x202)),
        ("env.efer", 0, efer.to_be_bytes().to_vec()),
    ];
    for register in 0..if word == 8 { 16 } else { 8 } {
        values.push(("env.regs", register, number(base + 0x100 + register)));
    }
    for segment in 0..6 {
        let bytes = [&(0x10 + segment as u32).to_be_bytes()[..], &number(base + 0x200 + segment)].concat();
        values.push(("env.segs", segment, bytes));
    }
    let rows: Vec<_> = values.iter().map(|(name, element, bytes)| (*name, *element, &bytes[..])).collect();
    // There is no EFER in 32 bits.
    let rows: Vec<_> = rows.into_iter().filter(|row| word == 8 || row.0 != "env.efer").collect();
    cpu.state(&rows)
}

fn one_page() -> Records {
    Records::default().fill(0, Some("pc.ram"), 1)
}

fn timer(instance: u32) -> Described {
    Described { name: "timer", instance, fields: vec![("x", 2, 3), ("y", 1, 8)], subsection: None }
}

/// A stream with two timers and three CPUs, of which one comes first.
fn machine(word: u64, efer: u64, footers: bool) -> (Stream, Vec<Described>) {
    let devices = vec![timer(0), cpu(2, word), timer(1), cpu(0, word), cpu(1, word)];
    let mut stream = Stream::new(3).configuration("pc-q35-7.2", &[]);
    stream.footers = footers;
    stream = stream.ram(&[("pc.ram", 0x1000)], one_page());
    for (id, device) in (10..).zip(&devices) {
        let state = match device.name {
            "cpu" => state(device, word as usize, efer),
            // What looks like a CPU is none here.
            _ => device.state(&[("x", 0, b"\x03cpu")]),
        };
        stream = stream.named(item::FULL, id, device.name, device.instance, 12, &state);
    }
    (stream, devices)
}

#[test]
fn the_description_tells_where_the_registers_of_all_cpus_are() {
    for footers in [true, false] {
        let (stream, devices) = machine(8, 0x500, footers);
        let dump = open(stream.end_with(&description(4096, &devices)));
        assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
        assert_eq!(dump.number("cpu.number").unwrap(), 3);
        for cpu in 0..3u64 {
            let base = cpu << 28;
            for (name, number) in [
                ("rax", base + 0x100),
                ("rcx", base + 0x101),
                ("rsp", base + 0x104),
                ("rdi", base + 0x107),
                ("r15", base + 0x10f),
                ("rip", base + 0x11),
                ("rflags", 0x202),
                ("cr0", 0x8000_0011),
                ("cr2", base + 2),
                ("cr3", base + 3),
                ("cr4", base + 4),
                ("es", 0x10),
                ("gs", 0x15),
                ("fs_base", base + 0x204),
                ("gs_base", base + 0x205),
            ] {
                assert_eq!(dump.number(&format!("cpu.{cpu}.reg.{name}")).unwrap(), number, "{cpu} {name}");
            }
        }
    }
}

#[test]
fn cpus_of_32_bits_are_found_by_the_description_only() {
    let (stream, devices) = machine(4, 0, true);
    let dump = open(stream.clone().end_with(&description(4096, &devices)));
    assert_eq!(dump.string("arch.name").unwrap(), "ia32");
    assert_eq!(dump.number("cpu.number").unwrap(), 3);
    for cpu in 0..3u64 {
        let base = cpu << 28;
        for (name, number) in [
            ("eax", base + 0x100),
            ("edi", base + 0x107),
            ("eip", base + 0x11),
            ("cr3", base + 3),
            ("gs", 0x15),
        ] {
            assert_eq!(dump.number(&format!("cpu.{cpu}.reg.{name}")).unwrap(), number, "{cpu} {name}");
        }
        assert!(!is_set(&dump, &format!("cpu.{cpu}.reg.rax")));
    }
    let dump = open(stream.end());
    assert!(!is_set(&dump, "cpu.number"));
    assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
}

#[test]
fn a_description_of_other_devices_is_not_believed() {
    // The CPU has the layout of version 12, and is found by a search then.
    let stream = || {
        Stream::new(3).configuration("pc", &[]).ram(&[("pc.ram", 0x1000)], one_page()).cpu(0, &[(0, 0x1234)])
    };
    let devices = |fields| vec![Described { name: "cpu", instance: 0, fields, subsection: None }];
    let named = |name, instance| {
        vec![Described { name, instance, fields: vec![("env.regs", 16, 8)], subsection: None }]
    };
    let sub = vec![Described {
        name: "cpu",
        instance: 0,
        fields: vec![("x", 1, 1200)],
        subsection: Some(("cpu/no", 1)),
    }];
    for (what, text) in [
        ("no registers", description(4096, &devices(vec![("x", 1, 1200)]))),
        ("other registers", description(4096, &devices(vec![("env.regs", 16, 4), ("x", 1, 1136)]))),
        ("too long", description(4096, &devices(vec![("x", 1 << 40, 1 << 20)]))),
        ("subsection", description(4096, &sub)),
        ("name", description(4096, &named("cpv", 0))),
        ("number", description(4096, &named("cpu", 1))),
        ("text", "{\"devices\": [}".into()),
        ("end", "{\"devices\": []} ".into()),
    ] {
        let dump = open(stream().end_with(&text));
        assert_eq!(dump.number("cpu.0.reg.eax").unwrap(), 0x1234, "{what}");
    }
}

#[test]
fn the_page_size_is_that_of_the_description_unless_the_configuration_has_one() {
    for (size, bits) in [(16384, None), (1024, None), (16384, Some(14u32)), (4096, Some(14)), (3, None)] {
        let real = bits.map_or(size, |bits| 1 << bits);
        let real = if real == 3 { 4096 } else { real };
        let mut records = Records::default().fill(0, Some("mach-virt.ram"), 1);
        for n in 1..8u64 {
            records = records.page(n * real, None, &guest_page(n + 2, real as usize));
        }
        let raw = bits.unwrap_or(0).to_be_bytes();
        let subsections: &[(&str, &[u8])] =
            if bits.is_some() { &[("configuration/target-page-bits", &raw)] } else { &[] };
        let stream = Stream::new(3).configuration("virt-7.2", subsections);
        let stream = stream.ram(&[("mach-virt.ram", 8 * real)], records);
        let dump = open(stream.end_with(&description(size, &[])));
        assert_eq!(dump.number("arch.page_size").unwrap(), real, "{size} {bits:?}");
        for n in 1..8 {
            let bytes = read_block(&dump, (1 << 30) / real + n, real).unwrap();
            assert!(bytes == guest_page(n + 2, real as usize), "{size} {bits:?} page {n}");
        }
    }
}

#[test]
fn a_long_description_is_found_from_its_end() {
    let (stream, mut devices) = machine(8, 0x500, true);
    // Devices behind the CPUs that the stream does not have: nothing is believed.
    let short = stream.clone().end_with(&description(4096, &devices));
    let mut stream = stream;
    for number in 0..4000 {
        devices.push(timer(5 + number));
        let state = timer(0).state(&[]);
        stream = stream.named(item::FULL, 99, "timer", 5 + number, 1, &state);
    }
    let text = description(4096, &devices);
    assert!(text.len() > 400_000);
    let long = open(stream.end_with(&text));
    let short = open(short);
    for path in ["cpu.0.reg.rip", "cpu.2.reg.r15"] {
        assert_eq!(long.number(path).unwrap(), short.number(path).unwrap());
    }
}

// --- What the user says --------------------------------------------------------

/// Opens a stream about which the user says something.
fn told(file: Vec<u8>, says: &[(&str, Value)]) -> kdumpfile::Result<Context> {
    let dump = Context::new();
    for (path, value) in says {
        dump.set(path, value.clone()).unwrap();
    }
    dump.open(vec![source(file)])?;
    Ok(dump)
}

fn below(bytes: u64) -> (&'static str, Value) {
    ("file.qemu.below_4g", Value::Number(bytes))
}

fn blocks(text: &str) -> (&'static str, Value) {
    ("file.qemu.blocks", Value::from(text))
}

#[test]
fn the_user_may_tell_where_the_hole_of_x86_is() {
    let file = |machine: &str| {
        let records = Records::default()
            .page(0x3fff_f000, Some("pc.ram"), &[1; SIZE])
            .page(0x4000_0000, None, &[2; SIZE])
            .fill(0x4000_1000, None, 3);
        Stream::new(3).configuration(machine, &[]).ram(&[("pc.ram", 2 << 30)], records).end()
    };
    let dump = told(file("pc-q35-7.2"), &[]).unwrap();
    assert_eq!(stored(&dump), [(0x3_ffff, 0x4_0001)]);
    for machine in ["pc-q35-7.2", "pc-i440fx-7.2", "of-the-future"] {
        let dump = told(file(machine), &[below(1 << 30)]).unwrap();
        assert_eq!(stored(&dump), [(0x3_ffff, 0x3_ffff), (0x10_0000, 0x10_0001)], "{machine}");
        assert_eq!(page(&dump, 0x10_0001).unwrap(), [3; SIZE], "{machine}");
        let high = ("file.qemu.above_4g", Value::Address(1 << 40));
        let dump = told(file(machine), &[below(1 << 30), high]).unwrap();
        assert_eq!(stored(&dump), [(0x3_ffff, 0x3_ffff), (0x1000_0000, 0x1000_0001)], "{machine}");
        assert_eq!(page(&dump, 0x1000_0000).unwrap(), [2; SIZE], "{machine}");
    }
    // More than there is memory: no hole.
    let dump = told(file("pc"), &[below(2 << 30)]).unwrap();
    assert_eq!(stored(&dump), [(0x3_ffff, 0x4_0001)]);
}

#[test]
fn memory_that_was_plugged_in_is_left_out_until_the_user_tells_its_address() {
    let listed = [("pc.ram", 0x3000), ("/objects/hot", 0x2000), ("mem1", 0x2000), ("vga.vram", 0x1000)];
    // The last page of one block and the first of the next one look like a run.
    let records = Records::default()
        .fill(0, Some("pc.ram"), 1)
        .fill(0x1000, None, 1)
        .fill(0x2000, None, 1)
        .fill(0, Some("mem1"), 1)
        .page(0x1000, None, &guest_page(3, SIZE))
        .fill(0, Some("/objects/hot"), 4)
        .page(0x1000, None, &guest_page(5, SIZE))
        .fill(0, Some("vga.vram"), 9);
    let file = Stream::new(3).configuration("pc-i440fx-7.2", &[]).ram(&listed, records).end();
    let dump = told(file.clone(), &[]).unwrap();
    assert_eq!(stored(&dump), [(0, 2)]);
    let description = dump.string("file.description").unwrap();
    let text = "QEMU snapshot, machine pc-i440fx-7.2; without the 8192 bytes of block /objects/hot, whose address file.qemu.blocks can tell";
    assert_eq!(&*description, text);

    let dump = told(file.clone(), &[blocks("mem1@0x100000000, hot@200000,")]).unwrap();
    assert_eq!(stored(&dump), [(0, 2), (0x200, 0x201), (0x10_0000, 0x10_0001)]);
    assert!(page(&dump, 0x201).unwrap() == guest_page(5, SIZE));
    assert!(page(&dump, 0x10_0001).unwrap() == guest_page(3, SIZE));
    assert_eq!(page(&dump, 0x10_0000).unwrap(), [1; SIZE]);
    assert_eq!(page(&dump, 0x200).unwrap(), [4; SIZE]);
    assert_eq!(dump.string("file.description").unwrap(), "QEMU snapshot, machine pc-i440fx-7.2");
    // Right behind the RAM, and the RAM itself.
    let dump = told(file.clone(), &[blocks("mem1@3000")]).unwrap();
    assert_eq!(stored(&dump), [(0, 4)]);
    assert!(page(&dump, 4).unwrap() == guest_page(3, SIZE));
    let dump = told(file.clone(), &[blocks("pc.ram@80000000")]).unwrap();
    assert_eq!(stored(&dump), [(0x8_0000, 0x8_0002)]);

    for (text, status, says) in [
        ("mem1", Status::Invalid, "file.qemu.blocks has \"mem1\" where NAME@ADDRESS is wanted"),
        ("mem1@g", Status::Invalid, "file.qemu.blocks has \"mem1@g\" where NAME@ADDRESS is wanted"),
        ("mem1@0,mem1@5", Status::Invalid, "file.qemu.blocks has block \"mem1\" twice"),
        ("mem2@0", Status::Invalid, "No memory block \"mem2\" among: pc.ram /objects/hot mem1 vga.vram"),
        ("mem1@2000", Status::Corrupt, "Memory 0x0-0x2fff overlaps 0x2000-0x2fff"),
        ("mem1@ffffffffffffffff", Status::Corrupt, "RAM offset 0x4000 has no address"),
    ] {
        let (found, message) = failure(told(file.clone(), &[blocks(text)]));
        assert_eq!((found, &*message), (status, &*format!("file #0: {says}")), "{text}");
    }
}

#[test]
fn blocks_of_mapped_ram_have_the_address_that_the_user_tells() {
    let pages = [(1, guest_page(3, SIZE))];
    let file = mapped("pc-q35-9.0", "mem1", 4 * SIZE as u64, &pages, 0, 0);
    let dump = told(file, &[blocks("mem1@40000000")]).unwrap();
    assert_eq!(stored(&dump), [(0x4_0000, 0x4_0003)]);
    assert!(page(&dump, 0x4_0001).unwrap() == guest_page(3, SIZE));
}

#[test]
fn positions_beyond_4_gib_of_the_file_are_found() {
    // Storage attributes of 5 GiB stand in front of the memory.
    let count = 5u64 << 30;
    let start = Stream::new(3).configuration("s390-ccw-virtio-7.2", &[]);
    let header =
        [&[23][..], b"s390-storage_attributes", &[0; 8], &2u64.to_be_bytes(), &count.to_be_bytes()].concat();
    let before = start.raw(&[item::START, 0, 0, 0, 5]).raw(&header).bytes;
    let records = Records::default()
        .page(0, Some("s390.ram"), &guest_page(2, SIZE))
        .packed(0x1000, None, &guest_page(3, SIZE))
        .page(0x2000, None, &guest_page(4, SIZE))
        .changes(0x2000, None, &guest_page(4, SIZE), &guest_page(5, SIZE));
    let mut after = Stream::new(3);
    after.bytes = [&1u64.to_be_bytes()[..], &[0x7e, 0, 0, 0, 5]].concat();
    let list = Records::default().list(0x3000, &[("s390.ram", 0x3000)]).end();
    let after = after
        .named(item::START, RAM, "ram", 0, 4, &list)
        .part(item::PART, RAM, &records.end())
        .part(item::END, RAM, &Records::default().end())
        .end();
    let at = before.len() as u64 + count;
    let file = Sparse::new(0).with(0, before).with(at, after);
    let dump = try_open_sources(vec![kdumpfile::sync::Shared::new(file)]).unwrap();
    for (pfn, n) in [(0, 2), (1, 3), (2, 5)] {
        assert!(page(&dump, pfn).unwrap() == guest_page(n, SIZE), "page {pfn}");
    }
}
