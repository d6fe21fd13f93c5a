//! Streams that QEMU itself writes, against its `dump-guest-memory` of the same
//! guest. Does nothing where `qemu-system-x86_64` is not installed.
#![cfg(all(feature = "std", unix))]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::ops::RangeInclusive;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kdumpfile::{Context, Space, Value};
use kdumpfile_testkit::image::{Rng, sha256_hex};

const PAGE: usize = 4096;

/// A guest that never ran, and its monitor.
struct Guest {
    process: Child,
    monitor: BufReader<UnixStream>,
}

impl Guest {
    /// Starts a guest with `blob` in its memory; `None` without QEMU.
    fn start(folder: &Path, machine: &str, memory: &str, blob: (&[u8], u64)) -> Option<Guest> {
        let data = folder.join("blob");
        fs::write(&data, blob.0).unwrap();
        let loader = format!("loader,file={},addr={:#x},force-raw=on", data.display(), blob.1);
        let machine = ["-machine", machine, "-m", memory, "-device", &loader];
        Guest::launch(folder, "qemu-system-x86_64", &machine)
    }

    /// Starts a guest with these options; `None` without QEMU.
    fn launch(folder: &Path, program: &str, options: &[&str]) -> Option<Guest> {
        let socket = folder.join("monitor");
        let process = Command::new(program)
            .args(["-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-smp", "2"])
            .args(options)
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .stdin(Stdio::null())
            .spawn()
            .ok()?;
        let connected = (0..200).find_map(|_| {
            UnixStream::connect(&socket).ok().or_else(|| {
                std::thread::sleep(Duration::from_millis(50));
                None
            })
        });
        let mut guest = Guest { process, monitor: BufReader::new(connected.expect("a monitor")) };
        guest.line();
        guest.execute("qmp_capabilities", "{}");
        Some(guest)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.monitor.read_line(&mut line).unwrap() > 0, "QEMU went away");
        line
    }

    /// Runs a command and returns its answer.
    fn execute(&mut self, command: &str, arguments: &str) -> String {
        let text = format!("{{\"execute\": \"{command}\", \"arguments\": {arguments}}}\n");
        self.monitor.get_mut().write_all(text.as_bytes()).unwrap();
        loop {
            let line = self.line();
            assert!(!line.contains("\"error\""), "{command}: {line}");
            if line.contains("\"return\"") {
                return line;
            }
        }
    }

    /// Writes the memory as ELF; only these bytes of it if there is a range.
    fn dump(&mut self, path: &Path, range: Option<(u64, u64)>) {
        let range = range
            .map_or(String::new(), |(begin, length)| format!(", \"begin\": {begin}, \"length\": {length}"));
        let arguments = format!("{{\"paging\": false, \"protocol\": \"file:{}\"{range}}}", path.display());
        self.execute("dump-guest-memory", &arguments);
    }

    /// Writes a migration stream.
    fn migrate(&mut self, path: &Path) {
        self.execute("migrate", &format!("{{\"uri\": \"exec:cat > '{}'\"}}", path.display()));
        self.migrated();
    }

    /// Waits until a migration is over, in whichever direction.
    fn migrated(&mut self) -> String {
        for _ in 0..600 {
            let status = self.execute("query-migrate", "{}");
            assert!(!status.contains("\"failed\""), "{status}");
            if status.contains("\"completed\"") {
                return status;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the migration did not end");
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder of its own, which goes away.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("kdumpfile-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> Context {
    let dump = Context::new();
    dump.open_paths(&[path]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    dump
}

fn pages(dump: &Context) -> Vec<(u64, u64)> {
    dump.bitmap("file.pagemap").unwrap().ranges().map(Result::unwrap).collect()
}

fn page(dump: &Context, pfn: u64) -> [u8; PAGE] {
    let mut bytes = [0x5a; PAGE];
    dump.read(Space::MachinePhysical, pfn * PAGE as u64, &mut bytes).unwrap();
    bytes
}

/// Text and random bytes: pages that pack well, and others.
fn blob() -> Vec<u8> {
    let mut random = Rng::new(3);
    let noise = (0..100 * PAGE / 8).flat_map(|_| random.next_u64().to_le_bytes());
    let text = (0..100 * PAGE).map(|at| (at / 7 % 97) as u8 ^ (at / PAGE) as u8);
    noise.chain(text).collect()
}

/// Pages at which the processor sees the firmware until it enables the RAM
/// behind it: an ELF dump has the former, a stream the latter.
const FIRMWARE: RangeInclusive<u64> = 0xe0..=0xff;

/// Compares what both dumps have, [`FIRMWARE`] apart; returns how many pages
/// that are, and those that only the ELF dump has.
fn compare(stream: &Context, elf: &Context) -> (u64, Vec<(u64, u64)>) {
    let have = pages(stream);
    let mut lacking = Vec::new();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut count = 0;
    for (first, last) in pages(elf) {
        for pfn in first..=last {
            if FIRMWARE.contains(&pfn) {
                continue;
            }
            if have.iter().any(|(from, to)| (*from..=*to).contains(&pfn)) {
                count += 1;
                assert!(page(stream, pfn) == page(elf, pfn), "page {pfn:#x}");
                ours.extend(page(stream, pfn));
                theirs.extend(page(elf, pfn));
            } else {
                match lacking.last_mut() {
                    Some((_, to)) if *to + 1 == pfn => *to = pfn,
                    _ => lacking.push((pfn, pfn)),
                }
            }
        }
    }
    assert_eq!(sha256_hex(&ours), sha256_hex(&theirs));
    for cpu in 0..2 {
        for name in
            ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags", "cs", "ds", "ss"]
        {
            let path = format!("cpu.{cpu}.reg.{name}");
            assert_eq!(stream.number(&path).unwrap(), elf.number(&path).unwrap(), "{path}");
        }
    }
    (count, lacking)
}

#[test]
fn streams_of_both_pc_machines_hold_the_pages_that_an_elf_dump_of_the_same_guest_holds() {
    for (machine, compress) in [("pc", false), ("q35", false), ("q35", true)] {
        let folder = Folder::new(&format!("qemu-{machine}-{compress}"));
        let Some(mut guest) = Guest::start(&folder.0, machine, "16M", (&blob(), 0x20_0000)) else { return };
        let (elf, stream) = (folder.0.join("elf"), folder.0.join("stream"));
        guest.dump(&elf, None);
        if compress {
            let capability = "{\"capabilities\": [{\"capability\": \"compress\", \"state\": true}]}";
            guest.execute("migrate-set-capabilities", capability);
        }
        guest.migrate(&stream);
        let stream = open(&stream);
        assert_eq!(pages(&stream), [(0, 4095)], "{machine}");
        assert!(page(&stream, 0x200)[..] == blob()[..PAGE]);
        // The ELF dump has the firmware below 4 GiB, which is no RAM.
        assert_eq!(compare(&stream, &open(&elf)), (4096 - 32, vec![(0xf_ffc0, 0xf_ffff)]), "{machine}");
    }
}

#[test]
fn memory_beyond_4_gib_is_where_qemu_says_that_it_is() {
    for (machine, end) in [("pc", 0xc000_0000u64), ("q35", 0x8000_0000)] {
        let folder = Folder::new(&format!("qemu-4g-{machine}"));
        let Some(mut guest) = Guest::start(&folder.0, machine, "4G", (&blob(), 1 << 32)) else { return };
        let (low, high, stream) = (folder.0.join("low"), folder.0.join("high"), folder.0.join("stream"));
        guest.dump(&low, Some((end - (1 << 20), 1 << 20)));
        guest.dump(&high, Some((1 << 32, 4 << 20)));
        guest.migrate(&stream);
        let stream = open(&stream);
        let low_end = end / PAGE as u64 - 1;
        let high_end = 0x10_0000 + (1 << 20) - end / PAGE as u64 - 1;
        assert_eq!(pages(&stream), [(0, low_end), (0x10_0000, high_end)], "{machine}");
        assert!(page(&stream, 0x10_0000)[..] == blob()[..PAGE], "{machine}");
        assert_eq!(compare(&stream, &open(&low)), (256, vec![]), "{machine}");
        assert_eq!(compare(&stream, &open(&high)), (1024, vec![]), "{machine}");
    }
}

fn open_told(path: &Path, says: &[(&str, Value)]) -> Context {
    let dump = Context::new();
    for (key, value) in says {
        dump.set(key, value.clone()).unwrap();
    }
    dump.open_paths(&[path]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    dump
}

#[test]
fn the_option_max_ram_below_4g_is_what_the_attribute_says() {
    for machine in ["pc,max-ram-below-4g=512M", "q35,max-ram-below-4g=512M"] {
        let folder = Folder::new(&format!("qemu-below-{}", &machine[..2]));
        let Some(mut guest) = Guest::start(&folder.0, machine, "1G", (&blob(), 1 << 32)) else { return };
        let (low, high, stream) = (folder.0.join("low"), folder.0.join("high"), folder.0.join("stream"));
        guest.dump(&low, Some(((512 << 20) - (1 << 20), 1 << 20)));
        guest.dump(&high, Some((1 << 32, 4 << 20)));
        guest.migrate(&stream);
        let stream = open_told(&stream, &[("file.qemu.below_4g", Value::Number(512 << 20))]);
        assert_eq!(pages(&stream), [(0, 0x1_ffff), (0x10_0000, 0x11_ffff)], "{machine}");
        assert!(page(&stream, 0x10_0000)[..] == blob()[..PAGE], "{machine}");
        assert_eq!(compare(&stream, &open(&low)), (256, vec![]), "{machine}");
        assert_eq!(compare(&stream, &open(&high)), (1024, vec![]), "{machine}");
    }
}

#[test]
fn a_dimm_is_read_at_the_address_that_the_monitor_tells() {
    let folder = Folder::new("qemu-dimm");
    let data = folder.0.join("blob");
    fs::write(&data, blob()).unwrap();
    let options = [
        "-machine",
        "pc",
        "-m",
        "16M,slots=2,maxmem=1G",
        "-object",
        "memory-backend-ram,id=mem1,size=128M",
        "-device",
        "pc-dimm,id=d1,memdev=mem1",
        "-device",
        &format!("loader,file={},addr=0x100200000,force-raw=on", data.display()),
    ];
    let Some(mut guest) = Guest::launch(&folder.0, "qemu-system-x86_64", &options) else { return };
    // The only one is where memory that can be plugged in begins.
    let devices = guest.execute("query-memory-devices", "{}");
    assert!(devices.contains("\"addr\": 4294967296"), "{devices}");
    let (part, path) = (folder.0.join("part"), folder.0.join("stream"));
    guest.dump(&part, Some((1 << 32, 4 << 20)));
    guest.migrate(&path);
    let plain = open(&path);
    assert_eq!(pages(&plain), [(0, 4095)]);
    let description = plain.string("file.description").unwrap();
    assert!(description.contains("without the 134217728 bytes of block mem1"), "{description}");
    let dump = open_told(&path, &[("file.qemu.blocks", Value::from("mem1@100000000"))]);
    assert_eq!(pages(&dump), [(0, 4095), (0x10_0000, 0x10_7fff)]);
    assert!(page(&dump, 0x10_0200)[..] == blob()[..PAGE]);
    assert_eq!(compare(&dump, &open(&part)), (1024, vec![]));
}

#[test]
fn registers_of_a_32_bit_qemu_are_found() {
    let folder = Folder::new("qemu-i386");
    let Some(mut guest) = Guest::launch(&folder.0, "qemu-system-i386", &["-machine", "pc", "-m", "16M"])
    else {
        return;
    };
    let (elf, stream) = (folder.0.join("elf"), folder.0.join("stream"));
    guest.dump(&elf, None);
    guest.migrate(&stream);
    let stream = open(&stream);
    assert_eq!(stream.string("arch.name").unwrap(), "ia32");
    assert_eq!(stream.number("cpu.number").unwrap(), 2);
    assert_eq!(compare(&stream, &open(&elf)).0, 4096 - 32);
}

/// A boot sector that writes its memory for ever: a count in 64 words of each
/// of 128 pages from 0x10000 on, so that little of a page changes. Now and then
/// it drops its TLB, without which QEMU 7.2 does not see all writes.
#[rustfmt::skip]
const RESTLESS: [u8; 47] = [
    0xfa,                   //        cli
    0x31, 0xc0,             //        xor ax, ax
    0x0f, 0x20, 0xc1,       // round: mov ecx, cr0
    0x66, 0x81, 0xf1, 0x00, 0x00, 0x01, 0x00, // xor ecx, 0x10000 (WP)
    0x0f, 0x22, 0xc1,       //        mov cr0, ecx
    0xbb, 0x00, 0x10,       //        mov bx, 0x1000
    0x8e, 0xdb,             // page:  mov ds, bx
    0x31, 0xff,             //        xor di, di
    0x89, 0x05,             // word:  mov [di], ax
    0x83, 0xc7, 0x40,       //        add di, 64
    0x81, 0xff, 0x00, 0x10, //        cmp di, 4096
    0x75, 0xf5,             //        jne word
    0x40,                   //        inc ax
    0x81, 0xc3, 0x00, 0x01, //        add bx, 0x100
    0x81, 0xfb, 0x00, 0x90, //        cmp bx, 0x9000
    0x75, 0xe6,             //        jne page
    0xeb, 0xd4,             //        jmp round
];

/// How many pages were sent as they are, or as changes.
fn sent(status: &str, changes: bool) -> u64 {
    let key = if changes { "\"pages\": " } else { "\"normal\": " };
    let rest = status.split_once(key).map_or("", |(_, rest)| rest);
    let digits = rest.split_once(|end: char| !end.is_ascii_digit()).map_or("", |(digits, _)| digits);
    digits.parse().unwrap_or(0)
}

#[test]
fn a_guest_that_runs_while_it_is_sent_arrives_as_qemu_itself_receives_it() {
    for xbzrle in [false, true] {
        let folder = Folder::new(&format!("qemu-running-{xbzrle}"));
        let disk = folder.0.join("disk");
        let mut sector = RESTLESS.to_vec();
        sector.resize(510, 0);
        sector.extend([0x55, 0xaa]);
        sector.resize(1 << 20, 0);
        fs::write(&disk, sector).unwrap();
        let drive = format!("file={},format=raw,if=floppy,readonly=on", disk.display());
        let machine = ["-machine", "pc", "-m", "16M", "-drive", &drive];
        let Some(mut guest) = Guest::launch(&folder.0, "qemu-system-x86_64", &machine) else { return };
        let stream = folder.0.join("stream");
        guest.execute("cont", "{}");
        // It has begun once the monitor sees that it writes on and on.
        let mut last = String::new();
        let begun = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            let command = "{\"command-line\": \"xp /1hx 0x8f040\"}";
            let answer = guest.execute("human-monitor-command", command);
            let other = !last.is_empty() && last != answer && !last.contains(": 0x0000");
            last = answer;
            other
        });
        assert!(begun, "the guest does not run");
        if xbzrle {
            let capability = "{\"capabilities\": [{\"capability\": \"xbzrle\", \"state\": true}]}";
            guest.execute("migrate-set-capabilities", capability);
        }
        // Slow, until pages were sent again and again, or QEMU thinks it is done.
        guest.execute("migrate-set-parameters", "{\"max-bandwidth\": 400000, \"downtime-limit\": 1}");
        guest.execute("migrate", &format!("{{\"uri\": \"exec:cat > '{}'\"}}", stream.display()));
        for _ in 0..1200 {
            std::thread::sleep(Duration::from_millis(50));
            let status = guest.execute("query-migrate", "{}");
            if status.contains("\"completed\"") || sent(&status, xbzrle) > 600 {
                break;
            }
        }
        guest.execute("migrate-set-parameters", "{\"max-bandwidth\": 1000000000, \"downtime-limit\": 2000}");
        let status = guest.migrated();
        // 128 pages are written over and over, and few others have contents.
        assert!(sent(&status, xbzrle) > if xbzrle { 0 } else { 300 }, "{status}");
        drop(guest);
        let incoming = format!("exec:cat '{}'", stream.display());
        let options = [&machine[..], &["-incoming", &incoming]].concat();
        let Some(mut copy) = Guest::launch(&folder.0, "qemu-system-x86_64", &options) else { return };
        copy.migrated();
        let elf = folder.0.join("elf");
        copy.dump(&elf, None);
        let (stream, elf) = (open(&stream), open(&elf));
        assert!(page(&stream, 0x8f)[64..66] != [0, 0], "the guest wrote nothing");
        compare(&stream, &elf);
    }
}
