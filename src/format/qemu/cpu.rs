//! Device state: the sections `cpu` of x86 guests.
//!
//! The state of a device has no length, so that the sections are searched by
//! their headers. One is believed if its control registers make sense: a guest
//! of `qemu-system-i386` has another layout under the same name.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::stream::SECTION_FULL;
use crate::arch::Arch;
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

/// Bytes of device state that are searched.
const MAX_SEARCH: u64 = 256 << 20;
/// Bytes that are read at once.
const PART: usize = 64 << 10;
/// Bytes of a section up to `efer`, the header apart.
const STATE: usize = 824;
/// Bytes of the header: type, number, name, instance, version.
const HEADER: usize = 1 + 4 + 4 + 4 + 4;
/// More CPUs than this are no machine.
const MAX_CPUS: u32 = 1 << 16;

/// The state of one CPU (version 12, as of QEMU 7.2; big endian).
pub(super) struct Cpu {
    /// Index of the CPU.
    instance: u32,
    state: Vec<u8>,
}

/// Registers of 64 bits: names on x86_64 and i386, and where they are.
#[rustfmt::skip]
const WIDE: &[(&str, Option<&str>, usize)] = &[
    ("rax", Some("eax"), 0), ("rcx", Some("ecx"), 8), ("rdx", Some("edx"), 16), ("rbx", Some("ebx"), 24),
    ("rsp", Some("esp"), 32), ("rbp", Some("ebp"), 40), ("rsi", Some("esi"), 48), ("rdi", Some("edi"), 56),
    ("r8", None, 64), ("r9", None, 72), ("r10", None, 80), ("r11", None, 88),
    ("r12", None, 96), ("r13", None, 104), ("r14", None, 112), ("r15", None, 120),
    ("rip", Some("eip"), 128), ("rflags", Some("eflags"), 136),
    ("fs_base", None, 240 + 80), ("gs_base", None, 240 + 100),
    ("cr0", Some("cr0"), 456), ("cr2", Some("cr2"), 464), ("cr3", Some("cr3"), 472), ("cr4", Some("cr4"), 480),
];

/// Selectors: 20 bytes from one segment to the next.
const SELECTORS: &[(&str, usize)] =
    &[("es", 236), ("cs", 256), ("ss", 276), ("ds", 296), ("fs", 316), ("gs", 336)];

const EFLAGS: usize = 136;
const CR0: usize = 456;
const CR4: usize = 480;
const EFER: usize = 816;

impl Cpu {
    fn u64(&self, at: usize) -> u64 {
        let bytes = self.state.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    }

    fn u32(&self, at: usize) -> u32 {
        let bytes = self.state.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_be_bytes)
    }

    /// Whether the registers can be those of an x86_64 CPU.
    fn is_likely(&self) -> bool {
        // Bit 1 of the flags is always set, and so is CR0.ET.
        let flags = self.u64(EFLAGS);
        let cr0 = self.u64(CR0);
        flags >> 22 == 0
            && flags & 2 != 0
            && cr0 >> 32 == 0
            && cr0 & 0x10 != 0
            && self.u64(CR4) >> 32 == 0
            && self.u64(EFER) >> 32 == 0
    }

    /// Whether the CPU runs in long mode (EFER.LMA).
    pub fn is_long(&self) -> bool {
        self.u64(EFER) & 1 << 10 != 0
    }

    /// Finds the CPUs from a position on, in the order of their numbers.
    pub fn find(files: &FileSet, start: u64) -> Result<Vec<Cpu>> {
        let mut cpus = BTreeMap::new();
        let mut bytes = vec![0; PART + HEADER];
        let mut at = start;
        while at - start < MAX_SEARCH && !files.ends_before(0, at)? {
            let failed = || format!("Cannot read device state at {at}");
            files.read(0, at, &mut bytes).context(failed)?;
            for (skip, header) in bytes.windows(HEADER).take(PART).enumerate() {
                let Some(header) = Header::parse(header) else { continue };
                let position = at.saturating_add((skip + HEADER) as u64);
                if files.ends_before(0, position.saturating_add(STATE as u64 - 1))? {
                    continue;
                }
                let mut cpu = Cpu { instance: header.instance, state: vec![0; STATE] };
                files.read(0, position, &mut cpu.state).context(failed)?;
                if cpu.is_likely() {
                    cpus.entry(cpu.instance).or_insert(cpu);
                }
            }
            at = at.checked_add(PART as u64).ok_or_else(|| Error::corrupt("Device state beyond 64 bits"))?;
        }
        Ok(cpus.into_values().collect())
    }

    /// Sets `cpu.<n>.reg.*`, with the names of the architecture's PRSTATUS.
    pub fn store(&self, facts: &mut Facts<'_>, arch: Arch) -> Result<()> {
        let cpu = self.instance;
        for &(wide, narrow, at) in WIDE {
            let (name, value) = match (arch, narrow) {
                (Arch::X86_64, _) => (wide, self.u64(at)),
                (_, Some(narrow)) => (narrow, self.u64(at) & 0xffff_ffff),
                _ => continue,
            };
            facts.set_number(&format!("cpu.{cpu}.reg.{name}"), value)?;
        }
        for &(name, at) in SELECTORS {
            facts.set_number(&format!("cpu.{cpu}.reg.{name}"), self.u32(at).into())?;
        }
        Ok(())
    }
}

struct Header {
    instance: u32,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Header> {
        let [SECTION_FULL, _, _, _, _, 3, b'c', b'p', b'u', a, b, c, d, 0, 0, 0, version] = *bytes else {
            return None;
        };
        let instance = u32::from_be_bytes([a, b, c, d]);
        (instance < MAX_CPUS && version >= 12).then_some(Header { instance })
    }
}
