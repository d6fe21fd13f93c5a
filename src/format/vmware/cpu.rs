//! Registers of the virtual CPUs: group `cpu`.
//!
//! | tag | indices | value |
//! | --- | --- | --- |
//! | `cpu:numVCPUs` | | number of CPUs |
//! | `rax` to `r15`, `rip` | CPU | 64 bits |
//! | `gpregs` | CPU | 16 general registers |
//! | `eflags`, `EFLAGS` | CPU | 32 bits |
//! | `CR64` | CPU, number | 64 bits |
//! | `CR64` | CPU | `cr0` to `cr8` |
//! | `IDTR` | CPU, 1 or 2 | lower and upper half of the base |
//! | `IDTR` | CPU | limit of 16 bits, base |
//! | `S`, `S.base64` | CPU, segment | selector, base |
//!
//! Layout: spec 13 §6.5, after the crash utility.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use super::tags::{Cursor, ORDER, Tag};
use crate::arch::Arch;
use crate::attr::Facts;
use crate::error::{Result, Status};

/// A virtual machine has fewer CPUs; tags of further ones are ignored.
pub(super) const MOST_CPUS: u64 = 1024;

/// General registers in the order of `gpregs`.
const GENERAL: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rbp", "rsp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
/// Selectors in the order of `S`; bases of some have a name too.
const SEGMENTS: [(&str, Option<&str>); 8] = [
    ("es", None),
    ("cs", None),
    ("ss", None),
    ("ds", None),
    ("fs", Some("fs_base")),
    ("gs", Some("gs_base")),
    ("ldtr", Some("ldt_base")),
    ("tr", None),
];
const CR: [&str; 9] = ["cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7", "cr8"];

/// Registers that a CPU must have all of: those that a backtrace begins with.
const NEEDED: usize = 18;
/// Registers in the order in which other dumps have them.
#[rustfmt::skip]
const ORDERED: [&str; 40] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "rip", "rflags", "rsp",
    "orig_rax", "cs", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs", "ldtr", "tr",
    "cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7", "cr8", "idt_base", "ldt_base",
];

/// `CR4.PAE`: page tables have entries of 64 bits.
const CR4_PAE: u64 = 1 << 5;

/// What is known of one CPU, for each of [`ORDERED`].
#[derive(Clone)]
struct Cpu([Option<u64>; ORDERED.len()]);

impl Cpu {
    fn get(&self, name: &str) -> Option<u64> {
        let place = ORDERED.iter().position(|known| *known == name)?;
        self.0.get(place).copied().flatten()
    }

    fn slot(&mut self, name: &str) -> Option<&mut Option<u64>> {
        let place = ORDERED.iter().position(|known| *known == name)?;
        self.0.get_mut(place)
    }

    fn set(&mut self, name: &str, value: u64) {
        if let Some(slot) = self.slot(name) {
            *slot = Some(value);
        }
    }

    fn is_whole(&self) -> bool {
        self.0.iter().take(NEEDED).all(Option::is_some)
    }

    /// Whether it runs in long mode, beyond doubt: code, stack or tables above
    /// 4 GiB.
    fn is_long(&self) -> bool {
        let high = |name| self.get(name).is_some_and(|value| value > u32::MAX.into());
        self.get("cr4").is_some_and(|cr4| cr4 & CR4_PAE != 0)
            && ["rip", "rsp", "idt_base"].into_iter().any(high)
    }

    /// Takes one tag of this CPU.
    fn take(&mut self, cursor: &Cursor<'_>, tag: &Tag) -> Result<()> {
        let second = tag.indices.get(1).and_then(|index| usize::try_from(*index).ok());
        match (tag.name.as_slice(), second) {
            (b"gpregs", None) => self.take_words(cursor, tag, &GENERAL)?,
            (b"CR64", None) => self.take_words(cursor, tag, &CR)?,
            (b"CR64", Some(number)) => {
                if let Some(name) = CR.get(number) {
                    self.set(name, cursor.value(tag)?);
                }
            }
            (b"IDTR", None) if tag.size >= 10 => {
                self.set("idt_base", ORDER.u64(&cursor.at(tag.position, 10)?, 2));
            }
            (b"IDTR", Some(half @ 1..=2)) => {
                let value = cursor.value(tag)? & u64::from(u32::MAX);
                let known = self.get("idt_base").unwrap_or(0);
                let base =
                    if half == 1 { known >> 32 << 32 | value } else { value << 32 | known << 32 >> 32 };
                self.set("idt_base", base);
            }
            (b"S", Some(segment)) => {
                if let Some((name, _)) = SEGMENTS.get(segment) {
                    self.set(name, cursor.value(tag)?);
                }
            }
            (b"S.base64", Some(segment)) => {
                if let Some((_, Some(name))) = SEGMENTS.get(segment) {
                    self.set(name, cursor.value(tag)?);
                }
            }
            (b"eflags" | b"EFLAGS", None) => self.set("rflags", cursor.value(tag)?),
            (b"rip", None) => self.set("rip", cursor.value(tag)?),
            (name, None) => {
                if let Some(name) = GENERAL.iter().find(|known| known.as_bytes() == name) {
                    self.set(name, cursor.value(tag)?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes a block of 64-bit words; a shorter one is of another kind.
    fn take_words(&mut self, cursor: &Cursor<'_>, tag: &Tag, names: &[&str]) -> Result<()> {
        let size = 8 * names.len() as u64;
        if tag.size >= size {
            let bytes = cursor.at(tag.position, size)?;
            for (name, raw) in names.iter().zip(bytes.chunks_exact(8)) {
                self.set(name, ORDER.u64(raw, 0));
            }
        }
        Ok(())
    }
}

/// The CPUs of a state file.
#[derive(Default)]
pub(super) struct Cpus {
    count: Option<u64>,
    cpus: BTreeMap<u64, Cpu>,
}

impl Cpus {
    /// `count` CPUs of which nothing is known.
    pub fn of(count: u64) -> Cpus {
        Cpus { count: Some(count), cpus: BTreeMap::new() }
    }

    /// Sets a register of a CPU below [`MOST_CPUS`].
    pub fn set(&mut self, cpu: u64, name: &str, value: u64) {
        if cpu < MOST_CPUS {
            self.cpus.entry(cpu).or_insert(Cpu([None; ORDERED.len()])).set(name, value);
        }
    }

    /// Reads the group in front of `end`, as far as it makes sense: memory is
    /// of use without registers.
    ///
    /// # Errors
    /// What reading the file says.
    pub fn read(cursor: &mut Cursor<'_>, end: u64) -> Result<Cpus> {
        let mut cpus = Cpus::default();
        match cpus.take_all(cursor, end) {
            Err(error) if error.status() != Status::Corrupt => Err(error),
            _ => Ok(cpus),
        }
    }

    fn take_all(&mut self, cursor: &mut Cursor<'_>, end: u64) -> Result<()> {
        while let Some(tag) = cursor.tag(end)? {
            match tag.indices.first() {
                _ if tag.compressed => {}
                None if matches!(tag.name.as_slice(), b"cpu:numVCPUs" | b"numVCPUs") => {
                    self.count = Some(cursor.value(&tag)?);
                }
                Some(cpu) if *cpu < MOST_CPUS => {
                    let cpu = self.cpus.entry(*cpu).or_insert(Cpu([None; ORDERED.len()]));
                    cpu.take(cursor, &tag)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Sets `cpu.number`, `cpu.<n>.reg.*` of the CPUs that are whole, and
    /// `arch.name` if they prove that it is x86_64 and it is not set.
    ///
    /// # Errors
    /// What setting attributes says.
    pub fn describe(&self, facts: &mut Facts<'_>) -> Result<()> {
        let count = self.count.filter(|count| *count <= MOST_CPUS);
        if let Some(count) = count {
            facts.set_number("cpu.number", count)?;
        }
        let whole = || {
            let there = |cpu: &u64| count.is_none_or(|count| *cpu < count);
            self.cpus.iter().filter(move |(number, cpu)| there(number) && cpu.is_whole())
        };
        if !facts.is_set("arch.name") && whole().any(|(_, cpu)| cpu.is_long()) {
            facts.set_string("arch.name", Arch::X86_64.name())?;
            facts.set_string("arch.inferred", "registers of 64 bits in the state file")?;
        }
        let narrow = facts.arch() == Some(Arch::Ia32);
        for (number, cpu) in whole() {
            for (name, value) in ORDERED.iter().zip(cpu.0) {
                let Some(value) = value else { continue };
                let (name, value) = if narrow {
                    let Some(name) = narrow_name(name) else { continue };
                    (name, value & u64::from(u32::MAX))
                } else {
                    (String::from(*name), value)
                };
                facts.set_number(&format!("cpu.{number}.reg.{name}"), value)?;
            }
        }
        Ok(())
    }
}

/// What ia32 calls a register of x86_64, if it has it.
fn narrow_name(name: &str) -> Option<String> {
    match name.strip_prefix('r') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_digit()) => None,
        Some(rest) => Some(format!("e{rest}")),
        None if name == "fs_base" || name == "gs_base" || name == "cr8" => None,
        None => Some(name.into()),
    }
}
