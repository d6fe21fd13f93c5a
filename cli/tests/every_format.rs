//! Each command on a small dump of each format: what it says is right, and is
//! said to people.

mod common;

use std::collections::BTreeSet;
use std::ffi::OsString;

use common::{Done, file, run};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::{DiskdumpBuilder, WordSize};
use kdumpfile_testkit::elf::{ElfBuilder, Section};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::lime::LimeBuilder;
use kdumpfile_testkit::lkcd::{LkcdBuilder, Method};
use kdumpfile_testkit::notes::{NoteWriter, xen};
use kdumpfile_testkit::qemu::{Records, Stream, guest, guest_page, save_image};
use kdumpfile_testkit::s390dump::S390Builder;
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};
use kdumpfile_testkit::vmware::{VmwareBuilder, VmwareCpu};
use kdumpfile_testkit::vmware_guest::GuestBuilder;
use kdumpfile_testkit::windows::WindowsBuilder;
use kdumpfile_testkit::xc_core::XcCoreBuilder;
use kdumpfile_testkit::xc_save::XcSaveBuilder;

/// A dump of some format.
struct Sample {
    format: &'static str,
    files: Vec<Vec<u8>>,
    /// What the user has to say.
    told: &'static [&'static str],
    /// Pages, ascending.
    pages: Vec<(u64, Vec<u8>)>,
    /// Name of a register of CPU 0, if the format has registers.
    register: Option<&'static str>,
}

fn sample(format: &'static str, pfns: &[u64], files: Vec<Vec<u8>>) -> Sample {
    let pages = pfns.iter().map(|pfn| (*pfn, page_bytes(*pfn))).collect();
    Sample { format, files, told: &[], pages, register: None }
}

impl Sample {
    fn register(self, name: &'static str) -> Self {
        Sample { register: Some(name), ..self }
    }

    /// The pages are those of the image from 0 on.
    fn numbered(self) -> Self {
        let pages = (0..).zip(self.pages).map(|(number, (pfn, _))| (pfn, page_bytes(number))).collect();
        Sample { pages, ..self }
    }

    fn told(self, told: &'static [&'static str]) -> Self {
        Sample { told, ..self }
    }

    /// Runs a command on the dump, with its files where the command wants them.
    fn run(&self, command: &str, more: &[&str]) -> Done {
        let first = matches!(command, "read" | "regs");
        let mut args: Vec<OsString> = vec![command.into()];
        for (number, bytes) in self.files.iter().enumerate() {
            if first && number > 0 {
                args.push("--part".into());
            }
            args.push(file(&format!("{}-{command}-{number}", self.format), bytes).into());
        }
        args.extend(self.told.iter().chain(more).map(OsString::from));
        run(&args)
    }
}

fn memory(pfns: impl IntoIterator<Item = u64>) -> Vec<u8> {
    pfns.into_iter().flat_map(page_bytes).collect()
}

fn samples() -> Vec<Sample> {
    const PFNS: [u64; 4] = [1, 2, 3, 9];
    let stored = || PFNS.map(|pfn| (pfn, page_bytes(pfn)));
    let order = ByteOrder::Little;
    let notes = NoteWriter::new(order)
        .push("Xen", xen::DUMPCORE_HEADER, xen::dumpcore_header(order, xen::MAGIC_PV, 1, 2, 4096))
        .push("Xen", xen::DUMPCORE_FORMAT_VERSION, xen::format_version(order, 1));
    let domain = ElfBuilder::for_arch(Arch::X86_64)
        .section(Section::xen_notes(notes.finish()))
        .section(Section::xen_pfn(order, &[1, 2]))
        .section(Section::xen_pages(memory([1, 2])));
    let mut image = save_image(order, b"LibvirtQemudSave", 2, 0, "<domain/>", 512);
    image.extend(guest(4096));
    let guest_pages = || (0..64).map(|n| (n, guest_page(n, 4096))).collect();
    let cpu = VmwareCpu {
        general: [0xffff_8880_0000_1000; 16],
        rip: 0xffff_ffff_8100_0000,
        eflags: 0x246,
        cr: [0x8005_0033, 0, 0, 0x1_0000_a000, 0x3706f0],
        idt: 0xffff_fe00_0000_0000,
        segments: [(0x10, 0); 8],
    };
    let state = VmwareBuilder::new(0xBED2_BED2).group("memory").regions(&[(0, 0, 2), (2, 0x100, 2)]);
    let state = state.group("cpu").number("cpu:numVCPUs", &[], 4, 1).cpu(0, &cpu).build();
    let at_4 = memory(0..4);
    let sadump = SadumpBuilder::new(Variant::Set(vec![3, 1])).pages(stored()).ram([4, 5]);
    let lkcd = LkcdBuilder::new(9, WordSize::Bits64, order).method(Method::Gzip).data_offset(4096);
    let registers = |cpu: u64| (0..21).map(|number| cpu << 32 | number).collect::<Vec<u64>>();
    let lkcd = lkcd.cpus(Arch::X86_64, 4, (1, registers(1)), vec![registers(0), vec![0; 21]]);
    let xen_page = |pfn| (0, pfn, page_bytes(pfn));
    vec![
        sample("elf", &[0, 1], vec![ElfBuilder::for_arch(Arch::X86_64).load(0, memory(0..2)).build()]),
        sample("xc_core_elf", &[1, 2], vec![domain.build()]),
        Sample { pages: guest_pages(), ..sample("qemu", &[], vec![guest(4096)]) }.register("rip"),
        Sample { pages: guest_pages(), ..sample("libvirt", &[], vec![image]) }.register("rip"),
        sample(
            "xc_save",
            &[1, 2],
            vec![XcSaveBuilder::new(8, 700).batch(&[xen_page(1), xen_page(2)]).cpu(&[7; 5168]).build()],
        )
        .register("rip"),
        sample(
            "xc_core",
            &[0, 1],
            vec![
                XcCoreBuilder::hvm(8)
                    .cpu(vec![7; 5168])
                    .page(Some(0), page_bytes(0))
                    .page(Some(1), page_bytes(1))
                    .build(),
            ],
        )
        .register("rip"),
        sample(
            "diskdump",
            &PFNS,
            DiskdumpBuilder::new(WordSize::Bits64, order)
                .ram([4, 5])
                .pages(stored(), Codec::Zlib)
                .build_set(&[3]),
        ),
        sample("lkcd", &PFNS, vec![lkcd.pages(stored()).build()]).register("rip"),
        sample("s390dump", &[0, 1, 2, 3], vec![S390Builder::new(at_4.clone()).lowcores(&[0]).build()])
            .register("pswa"),
        sample("sadump", &PFNS, sadump.cpus([SmramState::distinct(1, true)]).build_set()).register("rip"),
        sample(
            "lime",
            &[1, 2, 9],
            vec![LimeBuilder::new().lime(0x1000, &memory(1..3)).lime(0x9000, &page_bytes(9)).build()],
        ),
        sample(
            "avml",
            &[1, 2, 9],
            vec![LimeBuilder::new().avml(0x1000, &memory(1..3)).avml(0x9000, &page_bytes(9)).build()],
        ),
        sample("vmware", &[0, 1, 0x100, 0x101], vec![state, at_4.clone()]).numbered().register("rip"),
        sample(
            "vmware_guest",
            &[0, 1, 5, 6],
            vec![GuestBuilder::new(6, 4).cpus(1).arch(1).hole(2, 3).build(), at_4.clone()],
        )
        .numbered()
        .register("rip"),
        sample("windows", &[1, 2, 3], vec![WindowsBuilder::new(64).run(1, 3, &memory(1..4)).build()]),
        sample("raw", &[4, 5], vec![memory(4..6)]).told(&["--raw-at", "0x4000:aarch64"]),
    ]
}

#[test]
fn every_format_is_among_the_samples() {
    let here: BTreeSet<&str> = samples().iter().map(|sample| sample.format).collect();
    let read = kdumpfile::format::FORMATS.iter().filter(|row| row.reads).map(|row| row.name);
    // Live memory is no file; some formats are relatives of others.
    let known = read.filter(|name| *name != "memory").chain(["raw", "xc_core_elf", "avml"]);
    assert_eq!(here, known.collect());
}

#[test]
fn info_tells_what_each_format_is() {
    for sample in samples() {
        let text = sample.run("info", &[]).ok().text();
        println!("{text}");
        let row = |title: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{title:<10}")));
            line.unwrap_or_else(|| panic!("{title}: {text}"))
        };
        assert!(row("Format").ends_with(&format!("({})", sample.format)), "{text}");
        let pages = sample.pages.len();
        assert!(row("Present").contains(&format!("{} KiB in {pages} pages", 4 * pages)), "{text}");
        // What can be done about it is said only where that may help.
        assert_eq!(text.contains("--set arch.name"), matches!(sample.format, "lime" | "avml"), "{text}");
        assert_eq!(text.contains("VMCOREINFO"), sample.format != "windows", "{text}");
        let json = sample.run("info", &["--json"]).ok().json();
        assert_eq!(json["format"]["name"], sample.format);
        assert_eq!(json["memory"]["present_pages"], pages, "{}", sample.format);
        assert_eq!(json["files"].as_array().unwrap().len(), sample.files.len());
    }
}

#[test]
fn pages_and_hash_have_what_each_format_has() {
    for sample in samples() {
        let json = sample.run("pages", &["--json"]).ok().json();
        let ranges = json["ranges"].as_array().unwrap().iter();
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let pfns: Vec<u64> = ranges.flat_map(|range| number(&range[0])..=number(&range[1])).collect();
        let want: Vec<u64> = sample.pages.iter().map(|page| page.0).collect();
        assert_eq!(pfns, want, "{}", sample.format);
        assert!(sample.run("pages", &[]).ok().text().contains(&format!("total: {} pages", want.len())));
        let hash = sample.run("hash", &["--json", "--threads", "2"]).ok().json();
        let memory: Vec<u8> = sample.pages.iter().flat_map(|page| page.1.clone()).collect();
        assert_eq!(hash["sha256"], kdumpfile_testkit::image::sha256_hex(&memory), "{}", sample.format);
    }
}

#[test]
fn memory_of_each_format_reads_by_physical_address() {
    for sample in samples() {
        let (pfn, bytes) = &sample.pages[1];
        let address = format!("{:#x}", pfn * 4096 + 16);
        for space in ["--phys", "--machine"] {
            let done = sample.run("read", &[space, &address, "64", "--raw"]);
            assert_eq!((done.code, &*done.stderr), (Some(0), ""), "{} {space}", sample.format);
            assert!(done.stdout == bytes[16..80], "{} {space}", sample.format);
        }
        let missing = sample.run("read", &["--phys", "0x7000000000", "8"]);
        assert_eq!((missing.code, missing.stdout.len()), (Some(1), 0), "{}", sample.format);
        assert!(missing.stderr.contains("hint: the page is not in the dump"), "{}", missing.stderr);
    }
}

#[test]
fn registers_are_listed_or_said_to_be_missing() {
    for sample in samples() {
        let done = sample.run("regs", &[]);
        println!("{}: {}{}", sample.format, done.text(), done.stderr);
        match sample.register {
            Some(name) => {
                assert_eq!((done.code, &*done.stderr), (Some(0), ""), "{}", sample.format);
                assert!(done.text().contains(name), "{}: {}", sample.format, done.text());
            }
            None => {
                assert_eq!((done.code, done.stdout.len()), (Some(1), 0), "{}", sample.format);
                assert!(done.stderr.contains("registers"), "{}: {}", sample.format, done.stderr);
            }
        }
    }
}

#[test]
fn info_tells_what_a_dump_was_packed_with() {
    let dump = ElfBuilder::for_arch(Arch::X86_64).load(0, memory(0..2)).build();
    for (name, packed) in [
        ("gzip", kdumpfile_testkit::compress::gzip(&dump)),
        ("zstd", kdumpfile_testkit::compress::zstd(&dump)),
    ] {
        let path = file(&format!("packed-{name}"), &packed);
        let path = path.to_str().unwrap();
        let text = run(&["info", path]).ok().text();
        assert!(text.contains(&format!("Archive   {name} (")) && text.contains("(elf)"), "{text}");
        assert_eq!(run(&["info", "--json", path]).ok().json()["archives"], serde_json::json!([name]));
    }
    assert_eq!(run(&["info", "--json", "sample:"]).ok().json()["archives"], serde_json::json!([null]));
    assert!(!run(&["info"]).ok().text().contains("Archive"));
}

#[test]
fn formats_that_are_refused_say_what_they_are_and_what_helps() {
    let refused: [(&str, Vec<u8>, &[&str]); 5] = [
        ("xl", b"Xen saved domain, xl format\n \0 \r".to_vec(), &["xl dump-core"]),
        ("mclx", [&[0xdd, 0xcc, 0x8b, 0x9a][..], &[0; 100]].concat(), &["Critical Linux Crash Dump"]),
        (
            "minidump",
            WindowsBuilder::new(64).kind(4).build(),
            &["Windows crash dump (64 bits, triage", "WinDbg"],
        ),
        ("part", save_image(ByteOrder::Little, b"LibvirtQemudPart", 2, 0, "<domain/>", 512), &["incomplete"]),
        (
            "hvm",
            XcSaveBuilder::new(8, 9).description("(image (hvm ))").batch(&[(0, 1, page_bytes(1))]).build(),
            &["HVM", "xm dump-core"],
        ),
    ];
    for (name, bytes, said) in refused {
        let path = file(&format!("refused-{name}"), &bytes);
        for command in ["info", "pages", "hash"] {
            let done = run(&[command.as_ref(), path.as_os_str()]);
            assert_eq!((done.code, done.stdout.len()), (Some(1), 0), "{name}");
            for said in said {
                assert!(done.stderr.contains(said), "{name}: {}", done.stderr);
            }
            assert!(done.stderr.contains(path.to_str().unwrap()), "{name}: {}", done.stderr);
        }
    }
}

#[test]
fn what_the_user_knows_is_set_before_any_command_opens_the_dump() {
    // As with `max-ram-below-4g=1G`; the second page is the first one above.
    let records = Records::default().fill(0, Some("pc.ram"), 1).fill(1 << 30, None, 2);
    let stream = Stream::new(3).configuration("pc-i440fx-7.2", &[]);
    let stream = stream.ram(&[("pc.ram", 2 << 30), ("dimm0", 0x1000)], records).end();
    let path = file("below-4g", &stream);
    let path = path.to_str().unwrap();
    let pages = |more: &[&str]| {
        let json = run(&[&["pages", "--json", path][..], more].concat()).ok().json();
        json["ranges"].to_string()
    };
    assert_eq!(pages(&[]), "[[0,0],[262144,262144]]");
    for below in ["1G", "1024M", "1073741824", "0x40000000"] {
        assert_eq!(pages(&["--set", &format!("file.qemu.below_4g={below}")]), "[[0,0],[1048576,1048576]]");
    }
    let set = ["--set", "file.qemu.below_4g=1G"];
    let read = run(&[&["read", path, "--phys", "0x100000000", "4", "--raw"][..], &set].concat()).ok();
    assert_eq!(read.stdout, [2; 4]);
    let attr = run(&[&["attr", path, "--key", "file.qemu"][..], &set].concat()).ok().text();
    assert_eq!(attr, "file.qemu.below_4g = 1073741824 (0x40000000)\n");
    assert!(run(&[&set[..], &["hash", path]].concat()).ok().text().contains('2'));
    let info = run(&[&["info", path, "--json"][..], &set].concat()).ok().json();
    assert_eq!(info["memory"]["max_pfn"], 0x10_0001);
    // The architecture of what has none, and a page that was left out.
    let image =
        file("set-lime", &LimeBuilder::new().lime(0, &page_bytes(0)).lime(0x9000, &page_bytes(9)).build());
    let image = image.to_str().unwrap();
    let told = ["--set", "arch.name=aarch64", "--set", "arch.page_size=16K", "--set", "file.zero_excluded=1"];
    let info = run(&[&["info", image, "--json"][..], &told].concat()).ok().json();
    assert_eq!((&info["arch"]["name"], &info["arch"]["page_bytes"]), (&"aarch64".into(), &16384.into()));
    let read = run(&[&["read", image, "--phys", "0x5000", "4", "--raw"][..], &told].concat()).ok();
    assert_eq!(read.stdout, [0; 4]);
    // Only an open dump has this.
    let cpu = ["attr", "sample:", "--key", "cpu.number", "--set", "cpu.number=7"];
    assert_eq!(run(&cpu).ok().text(), "cpu.number = 7\n");
}
