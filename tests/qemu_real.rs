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

use kdumpfile::{Context, Space};
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
        let socket = folder.join("monitor");
        let process = Command::new("qemu-system-x86_64")
            .args(["-S", "-nodefaults", "-display", "none", "-accel", "tcg", "-smp", "2"])
            .args(["-machine", machine, "-m", memory])
            .args(["-qmp", &format!("unix:{},server=on,wait=off", socket.display())])
            .args(["-device", &format!("loader,file={},addr={:#x},force-raw=on", data.display(), blob.1)])
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
        for _ in 0..600 {
            let status = self.execute("query-migrate", "{}");
            assert!(!status.contains("\"failed\""), "{status}");
            if status.contains("\"completed\"") {
                return;
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
