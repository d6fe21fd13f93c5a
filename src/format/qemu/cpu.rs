//! Device state: the sections `cpu` of x86 guests.
//!
//! Where they are, and where a register is in them, stands in the description
//! behind the device state. Without it the sections are searched by their
//! headers, and taken for those of version 12. One is believed if its control
//! registers make sense: a guest of `qemu-system-i386` has another layout under
//! the same name.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::stream::SECTION_FULL;
use super::vmdesc::{Description, Field, Place};
use crate::arch::Arch;
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

/// Bytes of device state that are searched.
const MAX_SEARCH: u64 = 256 << 20;
/// Bytes that are read at once.
const PART: usize = 64 << 10;
/// Bytes of the header: type, number, name, instance, version.
const HEADER: usize = 1 + 4 + 4 + 4 + 4;
/// More CPUs than this are no machine.
const MAX_CPUS: u32 = 1 << 16;
/// A state has a few thousand bytes.
const MAX_STATE: u64 = 1 << 20;

/// Where the registers are in the state of a CPU; all of them big endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Bytes of a general register, and of the base of a segment.
    word: usize,
    /// `env.regs`: 16 registers, or 8 of 32 bits.
    general: usize,
    eip: usize,
    eflags: usize,
    /// `env.segs`: 6 segments of selector, base, limit and flags.
    segments: usize,
    /// CR0, CR2, CR3, CR4.
    cr: [usize; 4],
    /// `env.efer`; there is none in 32 bits.
    efer: Option<usize>,
}

impl Layout {
    /// Version 12 of `qemu-system-x86_64`, as of QEMU 7.2 (spec 13 §7.6).
    const VERSION_12: Layout = Layout {
        word: 8,
        general: 0,
        eip: 128,
        eflags: 136,
        segments: 236,
        cr: [456, 464, 472, 480],
        efer: Some(816),
    };

    /// What the fields say; `None` if they are not those of an x86 CPU.
    fn new(fields: &[Field]) -> Option<Layout> {
        let named = |name: &str| fields.iter().find(|field| field.name == name);
        let at = |field: &Field| {
            let end = field.offset.checked_add(field.size.checked_mul(field.count)?)?;
            (end <= MAX_STATE).then_some(field.offset as usize)
        };
        let regs = named("env.regs")?;
        let word = match (regs.size, regs.count) {
            (8, 16) => 8,
            (4, 8) => 4,
            _ => return None,
        };
        let register =
            |name: &str| at(named(name).filter(|field| (field.size, field.count) == (regs.size, 1))?);
        let segments = named("env.segs").filter(|field| (field.size, field.count) == (regs.size + 12, 6))?;
        let [cr0, cr2, cr3, cr4] = ["env.cr[0]", "env.cr[2]", "env.cr[3]", "env.cr[4]"].map(register);
        Some(Layout {
            word,
            general: at(regs)?,
            eip: register("env.eip")?,
            eflags: register("env.eflags")?,
            segments: at(segments)?,
            cr: [cr0?, cr2?, cr3?, cr4?],
            efer: named("env.efer").filter(|field| (field.size, field.count) == (8, 1)).and_then(at),
        })
    }

    /// Bytes up to the end of the last register.
    fn size(&self) -> usize {
        let ends = [self.general + 16 * self.word, self.segments + 6 * self.segment()];
        let single = [self.eip, self.eflags].into_iter().chain(self.cr).chain(self.efer).map(|at| at + 8);
        ends.into_iter().chain(single).max().unwrap_or(0)
    }

    /// Bytes of a segment.
    fn segment(&self) -> usize {
        self.word + 12
    }
}

/// The state of one CPU.
pub(super) struct Cpu {
    /// Index of the CPU.
    instance: u32,
    layout: Layout,
    state: Vec<u8>,
}

/// General registers in the order of the state: names on x86_64 and i386.
#[rustfmt::skip]
const GENERAL: [(&str, Option<&str>); 16] = [
    ("rax", Some("eax")), ("rcx", Some("ecx")), ("rdx", Some("edx")), ("rbx", Some("ebx")),
    ("rsp", Some("esp")), ("rbp", Some("ebp")), ("rsi", Some("esi")), ("rdi", Some("edi")),
    ("r8", None), ("r9", None), ("r10", None), ("r11", None),
    ("r12", None), ("r13", None), ("r14", None), ("r15", None),
];

/// Segments in the order of the state, and what x86_64 calls their base.
const SEGMENTS: [(&str, Option<&str>); 6] = [
    ("es", None),
    ("cs", None),
    ("ss", None),
    ("ds", None),
    ("fs", Some("fs_base")),
    ("gs", Some("gs_base")),
];

const CR: [&str; 4] = ["cr0", "cr2", "cr3", "cr4"];

impl Cpu {
    /// A number of `size` bytes, which are 4 or 8.
    fn number(&self, at: usize, size: usize) -> u64 {
        let bytes = self.state.get(at..at + size).unwrap_or_default();
        bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn word(&self, at: usize) -> u64 {
        self.number(at, self.layout.word)
    }

    fn efer(&self) -> u64 {
        self.layout.efer.map_or(0, |at| self.number(at, 8))
    }

    /// Whether the registers can be those of an x86 CPU.
    fn is_likely(&self) -> bool {
        // Bit 1 of the flags is always set, and so is CR0.ET.
        let flags = self.word(self.layout.eflags);
        let [cr0, _, _, cr4] = self.layout.cr.map(|at| self.word(at));
        flags >> 22 == 0
            && flags & 2 != 0
            && cr0 >> 32 == 0
            && cr0 & 0x10 != 0
            && cr4 >> 32 == 0
            && self.efer() >> 32 == 0
    }

    /// Whether the CPU runs in long mode (EFER.LMA).
    pub fn is_long(&self) -> bool {
        self.efer() & 1 << 10 != 0
    }

    /// The CPUs of a stream whose device state begins at `start`, in the order
    /// of their numbers.
    pub fn all(files: &FileSet, start: u64, description: Option<&Description>) -> Result<Vec<Cpu>> {
        if let Some(description) = description
            && let Some(places) = description.cpus(files, start)?
            && let Some(cpus) = Cpu::described(files, &places)?
        {
            return Ok(cpus);
        }
        Cpu::search(files, start)
    }

    /// Reads the CPUs at these places; `None` if there are none, or not of x86.
    fn described(files: &FileSet, places: &[Place<'_>]) -> Result<Option<Vec<Cpu>>> {
        if places.is_empty() {
            return Ok(None);
        }
        let mut cpus = BTreeMap::new();
        for place in places {
            let Some(layout) = Layout::new(place.fields) else { return Ok(None) };
            cpus.insert(place.instance, Cpu::read(files, place.instance, layout, place.position)?);
        }
        Ok(Some(cpus.into_values().collect()))
    }

    fn read(files: &FileSet, instance: u32, layout: Layout, position: u64) -> Result<Cpu> {
        let mut state = vec![0; layout.size()];
        files.read(0, position, &mut state).context(|| format!("Cannot read device state at {position}"))?;
        Ok(Cpu { instance, layout, state })
    }

    /// Searches what looks like a CPU from a position on.
    fn search(files: &FileSet, start: u64) -> Result<Vec<Cpu>> {
        let layout = Layout::VERSION_12;
        let mut cpus = BTreeMap::new();
        let mut bytes = vec![0; PART + HEADER];
        let mut at = start;
        while at - start < MAX_SEARCH && !files.ends_before(0, at)? {
            files.read(0, at, &mut bytes).context(|| format!("Cannot read device state at {at}"))?;
            for (skip, header) in bytes.windows(HEADER).take(PART).enumerate() {
                let Some(header) = Header::parse(header) else { continue };
                let position = at.saturating_add((skip + HEADER) as u64);
                if files.ends_before(0, position.saturating_add(layout.size() as u64 - 1))? {
                    continue;
                }
                let cpu = Cpu::read(files, header.instance, layout, position)?;
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
        let wide = arch == Arch::X86_64;
        let cpu = self.instance;
        let mut set = |name: &str, value: u64| {
            let value = if wide { value } else { value & u64::from(u32::MAX) };
            facts.set_number(&format!("cpu.{cpu}.reg.{name}"), value)
        };
        let Layout { word, general, eip, eflags, segments, cr, .. } = self.layout;
        let names = [(("rip", Some("eip")), eip), (("rflags", Some("eflags")), eflags)];
        let general = GENERAL.into_iter().zip((general..).step_by(word)).take(if word == 8 { 16 } else { 8 });
        for ((long, short), at) in general.chain(names) {
            if let Some(name) = if wide { Some(long) } else { short } {
                set(name, self.word(at))?;
            }
        }
        for ((name, base), at) in SEGMENTS.into_iter().zip((segments..).step_by(self.layout.segment())) {
            set(name, self.number(at, 4))?;
            if let Some(base) = base.filter(|_| wide) {
                set(base, self.word(at + 4))?;
            }
        }
        for (name, at) in CR.into_iter().zip(cr) {
            set(name, self.word(at))?;
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
