//! The memory of the running machine, on made-up ones; on this one as well
//! where it may be read.

mod support;

use kdumpfile::io::{Live, LiveKind, LiveXen, ReadAt, Source};
use kdumpfile::sync::{Lock, Shared};
use kdumpfile::{Callbacks, Context, Error, Result, Space, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::ElfBuilder;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::notes::{Note, NoteWriter};
use support::*;

/// Memory that may change, and what its system tells.
struct Machine {
    memory: Lock<Vec<u8>>,
    live: Live,
}

impl ReadAt for Machine {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        match pos {
            // As a hole reads.
            0x100_0000.. => Err(Error::system("Bad address")),
            _ => self.memory.lock().as_slice().read_at(pos, buf),
        }
    }

    fn live(&self) -> Option<Live> {
        Some(self.live.clone())
    }
}

fn pages(number: u64) -> Vec<u8> {
    (0..number).flat_map(page_bytes).collect()
}

fn device() -> Live {
    Live::new(LiveKind::Device, 4096)
}

fn machine(memory: Vec<u8>, live: Live) -> Shared<Machine> {
    Shared::new(Machine { memory: Lock::new(memory), live })
}

fn opened(memory: Vec<u8>, live: Live) -> Result<Context> {
    try_open_sources(vec![machine(memory, live) as Source])
}

fn read(dump: &Context, address: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0x5a; 4096];
    dump.read(Space::KernelPhysical, address, &mut bytes)?;
    Ok(bytes)
}

/// A note of the host's byte order with this text.
fn note(text: &str) -> Vec<u8> {
    NoteWriter::new(if cfg!(target_endian = "big") { ByteOrder::Big } else { ByteOrder::Little })
        .note(Note::vmcoreinfo(text))
        .finish()
}

#[test]
fn a_memory_device_reads_by_physical_address_of_the_kernel() {
    let dump = opened(pages(32), device()).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "memory");
    assert_eq!(dump.string("file.description").unwrap(), "Live memory source");
    assert_eq!(dump.number("arch.page_size").unwrap(), 4096);
    assert_eq!(dump.number("arch.byte_order").unwrap(), u64::from(cfg!(target_endian = "little")));
    assert_eq!(dump.string("arch.name").ok().as_deref(), device().arch);
    assert!(dump.spaces().contains(Space::KernelPhysical));
    assert!(!dump.spaces().contains(Space::MachinePhysical));
    assert!(read(&dump, 0x5000).unwrap() == page_bytes(5));
    for path in ["max_pfn", "file.pagemap", "memory.pagemap", "addrxlat.ostype", "xen.type"] {
        assert!(dump.get(path).is_err(), "{path}");
    }
}

#[test]
fn failures_of_the_device_are_told_and_so_is_its_end() {
    let dump = opened(pages(32), device()).unwrap();
    assert_eq!(
        failure(read(&dump, 0x100_0000)),
        fails(Status::System, "Cannot read memory device: Bad address")
    );
    assert_eq!(
        failure(read(&dump, 0x20000)),
        fails(Status::NoData, "Cannot read memory device: No memory there")
    );
}

// All formats look at its beginning first. Section 6.1.
#[test]
fn a_device_that_cannot_be_read_at_its_beginning_is_named() {
    let nothing = FaultyReader::new(pages(4)).fail_nth(0, "Operation not permitted");
    struct Device(FaultyReader<Vec<u8>>);
    impl ReadAt for Device {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            self.0.read_at(pos, buf)
        }
        fn live(&self) -> Option<Live> {
            Some(device())
        }
    }
    let text = "file #0: Cannot read file #0: Operation not permitted";
    let opened = try_open_sources(vec![Shared::new(Device(nothing)) as Source]);
    assert_eq!(failure(opened), fails(Status::System, text));
}

#[test]
fn pages_are_read_anew_every_time() {
    let machine = machine(pages(32), device());
    let dump = try_open_sources(vec![machine.clone() as Source]).unwrap();
    assert!(read(&dump, 0x3000).unwrap() == page_bytes(3));
    machine.memory.lock()[0x3000..0x4000].fill(0xab);
    assert_eq!(read(&dump, 0x3000).unwrap(), [0xab; 4096]);
}

// The C library never gives a slot back: it is busy after as many pages.
#[test]
fn more_pages_than_the_cache_has_slots_can_be_read() {
    let dump = Context::new();
    dump.set("cache.size", Value::Number(4)).unwrap();
    dump.open(vec![machine(pages(200), device()) as Source]).unwrap();
    for pfn in (0..200).chain(0..200) {
        assert!(read(&dump, pfn << 12).unwrap() == page_bytes(pfn), "page {pfn}");
    }
    // Nor do pages that cannot be read keep one.
    for pfn in 0..16 {
        assert_eq!(failure(read(&dump, 0x100_0000 + (pfn << 12))).0, Status::System);
    }
    assert!(read(&dump, 0x5000).unwrap() == page_bytes(5));
}

#[test]
fn more_than_one_file_is_refused() {
    let files = vec![machine(pages(4), device()) as Source, source(pages(1))];
    assert_eq!(
        failure(try_open_sources(files)),
        fails(Status::NotImplemented, "file #0: Multiple files not implemented")
    );
}

#[test]
fn vmcoreinfo_is_read_from_where_the_system_says_and_nothing_is_lost_without() {
    let note = note("OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000123\n");
    let mut memory = pages(32);
    memory[0x8000..0x8000 + note.len()].copy_from_slice(&note);
    let live = Live { vmcoreinfo: Some((0x8000, note.len() as u64)), ..device() };
    let dump = opened(memory.clone(), live.clone()).unwrap();
    assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "6.1.0");
    assert_eq!(dump.string("linux.uts.release").unwrap(), "6.1.0");
    for wrong in [None, Some((0x200_0000, 64)), Some((0x9000, 64)), Some((0, u64::MAX)), Some((u64::MAX, 64))]
    {
        let dump = opened(memory.clone(), Live { vmcoreinfo: wrong, ..live.clone() }).unwrap();
        assert!(dump.get("linux.vmcoreinfo.raw").is_err(), "{wrong:?}");
        assert!(read(&dump, 0).unwrap() == page_bytes(0));
    }
}

#[test]
fn phys_base_of_x86_64_follows_from_iomem_unless_vmcoreinfo_tells() {
    let base = |text: &str, iomem: &str, arch| {
        let note = note(text);
        let mut memory = pages(32);
        memory[0x8000..0x8000 + note.len()].copy_from_slice(&note);
        let vmcoreinfo = Some((0x8000, note.len() as u64));
        let dump = opened(memory, Live { vmcoreinfo, iomem: Some(iomem.into()), arch, ..device() }).unwrap();
        dump.address("linux.phys_base").ok()
    };
    let iomem = "00100000-bfffffff : System RAM\n  3f000000-4020bb07 : Kernel code\n";
    let x86 = Some("x86_64");
    assert_eq!(base("SYMBOL(_stext)=ffffffff81000123\n", iomem, x86), Some(0x3e00_0000));
    assert_eq!(base("SYMBOL(_text)=ffffffffa1000000\n", iomem, x86), Some(0x1e00_0000));
    assert_eq!(base("SYMBOL(_stext)=ffffffff81000000\nNUMBER(phys_base)=4096\n", iomem, x86), Some(4096));
    assert_eq!(base("SYMBOL(_stext)=ffffffff81000000\n", "0-0 : Kernel code\n", x86), None);
    assert_eq!(base("SYMBOL(_stext)=ffffffff81000000\n", "junk : Kernel code\n", x86), None);
    assert_eq!(base("OSRELEASE=6.1\n", iomem, x86), None);
    assert_eq!(base("SYMBOL(_stext)=ffffffff81000000\n", iomem, Some("riscv64")), None);
}

#[test]
fn phys_base_of_x86_64_follows_from_a_symbol_that_the_user_knows() {
    let iomem = "00100000-bfffffff : System RAM\n  3f000000-4020bb07 : Kernel code\n";
    let base = |iomem: &str, known: &'static str| {
        let live = Live { iomem: Some(iomem.into()), arch: Some("x86_64"), ..device() };
        let dump = opened(pages(32), live).unwrap();
        let answer = move |_: &Context, name: &str| {
            if name == known { Ok(0xffff_ffff_8100_0123) } else { Err(Error::no_data("Symbol not found")) }
        };
        dump.set_callbacks(Callbacks { symbol_value: Some(Shared::new(answer)) });
        dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
        let set_up = dump.translation_system().map(drop).map_err(|error| parts(&error));
        (dump.address("linux.phys_base").ok(), set_up)
    };
    for name in ["_stext", "_text"] {
        assert_eq!(base(iomem, name).0, Some(0x3e00_0000), "{name}");
    }
    for (iomem, name) in [(iomem, "other"), ("", "_stext"), ("0-0 : Kernel code\n", "_stext")] {
        assert_eq!(base(iomem, name).0, None, "{iomem} {name}");
    }
    let (base, set_up) = base("junk : Kernel code\n", "_stext");
    assert_eq!(base, None);
    assert!(set_up.unwrap_err().1.ends_with("Invalid iomem format: junk : Kernel code"));
}

#[test]
fn xen_is_told_and_a_failure_to_ask_it_ends_the_open() {
    for (control, paravirtualized, kind, xlat) in
        [(true, true, 1, 1), (false, true, 2, 1), (false, false, 2, 0)]
    {
        let xen = Ok(Some(LiveXen { control, paravirtualized }));
        let dump = opened(pages(4), Live { xen, ..device() }).unwrap();
        assert_eq!(dump.number("xen.type").unwrap(), kind);
        assert_eq!(dump.number("xen.xlat").unwrap(), xlat);
    }
    let xen = Err(Error::system("Error opening /sys/hypervisor/guest_type"));
    assert_eq!(
        failure(opened(pages(4), Live { xen, ..device() })),
        fails(Status::System, "file #0: Error opening /sys/hypervisor/guest_type")
    );
}

#[test]
fn kcore_without_vmcoreinfo_gets_that_of_the_running_kernel() {
    let build = |text: &str, own: &str| {
        let note = note(text);
        let mut memory = pages(4);
        memory[..note.len()].copy_from_slice(&note);
        let notes = NoteWriter::new(ByteOrder::Little).push("CORE", 4, b"task".to_vec());
        let notes = if own.is_empty() { notes } else { notes.note(Note::vmcoreinfo(own)) };
        let elf = ElfBuilder::for_arch(Arch::X86_64).note(notes.finish()).load(0x10_0000, memory).build();
        let live =
            Live { vmcoreinfo: Some((0x10_0000, note.len() as u64)), ..Live::new(LiveKind::Kcore, 4096) };
        opened(elf, live).unwrap()
    };
    let dump = build("OSRELEASE=4.18.0\n", "");
    assert_eq!(dump.string("file.format").unwrap(), "elf");
    assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "4.18.0");
    let dump = build("OSRELEASE=4.18.0\n", "OSRELEASE=4.19.0\n");
    assert_eq!(dump.string("linux.vmcoreinfo.lines.OSRELEASE").unwrap(), "4.19.0");
}

#[cfg(all(feature = "live", target_os = "linux"))]
mod host {
    use super::*;
    use kdumpfile::io::Host;
    use std::fs;
    use std::path::PathBuf;

    /// A made-up `/proc` and `/sys`.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &[u8])]) -> Root {
            let root = std::env::temp_dir().join(format!("kdumpfile-live-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(&root).unwrap();
            for (file, text) in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Root(root)
        }

        fn live(&self) -> Live {
            Host::new(&self.0).facts(LiveKind::Device)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_system_tells_where_vmcoreinfo_is() {
        for (text, told) in [
            ("0x0000000100c66000 1024\n", Some((0x1_00c6_6000, 0x1024))),
            ("c66000 0x400", Some((0xc6_6000, 0x400))),
            ("c66000\n", None),
            ("0xzz 400", None),
            ("", None),
        ] {
            let root = Root::new("vmcoreinfo", &[("sys/kernel/vmcoreinfo", text.as_bytes())]);
            assert_eq!(root.live().vmcoreinfo, told, "{text:?}");
        }
        let live = Root::new("nothing", &[]).live();
        assert_eq!((live.vmcoreinfo, live.iomem, live.page_size), (None, None, 4096));
        assert_eq!(live.xen.unwrap(), None);
    }

    #[test]
    fn the_auxiliary_vector_tells_the_page_size() {
        let vector: Vec<u8> =
            [3, 1, 6, 65536, 0, 0].iter().flat_map(|word: &usize| word.to_ne_bytes()).collect();
        assert_eq!(Root::new("auxv", &[("proc/self/auxv", &vector)]).live().page_size, 65536);
        let real = Host::new("/").facts(LiveKind::Device).page_size;
        assert!(real.is_power_of_two() && real >= 4096, "{real}");
    }

    #[test]
    fn xen_is_told_by_three_files() {
        let guest = "sys/hypervisor/guest_type";
        let xen = |files: &[(&str, &[u8])]| Root::new("xen", files).live().xen.map_err(|error| parts(&error));
        let told = |control, paravirtualized| Ok(Some(LiveXen { control, paravirtualized }));
        let caps = "proc/xen/capabilities";
        assert_eq!(xen(&[(caps, b"control_d\n"), (guest, b"PV\n")]), told(true, true));
        assert_eq!(xen(&[(caps, b"other control_d"), (guest, b"PVH\n")]), told(true, false));
        assert_eq!(xen(&[(caps, b""), (guest, b"HVM\n")]), told(false, false));
        assert_eq!(xen(&[("proc/xen/privcmd", b""), (guest, b"PV")]), told(false, true));
        assert_eq!(
            xen(&[(caps, b"control_d")]),
            Err(fails(Status::System, "Error opening /sys/hypervisor/guest_type: No such file or directory"))
        );
        assert_eq!(
            xen(&[(caps, b""), (guest, b"\n")]),
            Err(fails(Status::System, "Error reading /sys/hypervisor/guest_type"))
        );
        // Without Xen nobody is asked.
        assert_eq!(xen(&[(guest, b"PV")]), Ok(None));
    }

    #[test]
    fn proc_kcore_is_told_from_other_files() {
        let root = Root::new("kcore", &[("proc/kcore", b"ELF"), ("proc/other", b"ELF")]);
        let look = |name: &str| Host::new(&root.0).look(&fs::File::open(root.0.join(name)).unwrap());
        assert_eq!(look("proc/kcore").map(|live| live.kind), Some(LiveKind::Kcore));
        assert!(look("proc/other").is_none());
    }

    #[test]
    fn this_machine_reads_where_it_may_be_read() {
        for (path, space) in [("/dev/mem", Space::KernelPhysical), ("/proc/kcore", Space::KernelVirtual)] {
            let dump = Context::new();
            if let Err(error) = fs::File::open(path) {
                println!("skipped: {path}: {error}");
                continue;
            }
            match dump.open_paths(&[path]) {
                Ok(()) => assert!(dump.spaces().contains(space), "{path}"),
                Err(error) => println!("skipped: {error}"),
            }
        }
    }
}
