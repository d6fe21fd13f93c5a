//! CPU states of a SADUMP: what the processors left in SMRAM when they entered
//! System Management Mode.
//!
//! ```text
//! u32 size of all states │ { u64 apic_id, u64 ldr } per CPU │ state per CPU
//! ```
//!
//! CPUs keep their order, but for one case. Translation takes CR3 of CPU 0; on
//! x86_64 a CPU that ran a program may have had page tables there in which the
//! kernel is not mapped (page table isolation). Then the first CPU that ran the
//! kernel comes first; `cpu.<n>.apic_id` tells which one that is.

use alloc::format;
use alloc::vec::Vec;

use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

const ORDER: ByteOrder = ByteOrder::Little;

/// Bytes of a state.
const STATE_BYTES: usize = 1024;
/// Bytes of an entry of the APIC table.
const APIC_BYTES: u64 = 16;
/// Linux on x86 runs on no more CPUs (`NR_CPUS`); further ones are not looked
/// at.
const MAX_CPUS: u64 = 1 << 13;
/// `cs`; its lowest two bits are the privilege level.
const CS: usize = 0x3ac;
/// `cr3`.
const CR3: usize = 0x3f0;
/// Bit of `cr3` that tells a program's page tables from the kernel's
/// (`PTI_USER_PGTABLE_MASK`, `arch/x86/include/asm/processor-flags.h`).
const CR3_PTI_USER: u64 = 1 << 12;
/// `ia32_efer`.
const EFER: usize = 0x3e0;
/// Bit of `ia32_efer`: the processor is in long mode (LMA).
const EFER_LMA: u64 = 1 << 10;
/// Parts of a state that the processor leaves alone.
const RESERVED: [core::ops::Range<usize>; 7] =
    [0x000..0x1d0, 0x1dc..0x1e8, 0x1f0..0x240, 0x244..0x28c, 0x2a8..0x2d8, 0x2e4..0x2f8, 0x304..0x31c];

/// The blob that registers are views of.
const BLOB: &str = "SMRAM";

/// Offset, bytes and name of a register.
type Register = (u32, u8, &'static str);

/// Registers of x86_64 in the order in which other dumps have them, then what
/// only these have.
#[rustfmt::skip]
const X86_64: &[Register] = &[
    (0x31c, 8, "r15"), (0x324, 8, "r14"), (0x32c, 8, "r13"), (0x334, 8, "r12"), (0x384, 8, "rbp"),
    (0x374, 8, "rbx"), (0x33c, 8, "r11"), (0x344, 8, "r10"), (0x34c, 8, "r9"), (0x354, 8, "r8"),
    (0x35c, 8, "rax"), (0x364, 8, "rcx"), (0x36c, 8, "rdx"), (0x38c, 8, "rsi"), (0x394, 8, "rdi"),
    (0x3d8, 8, "rip"), (0x3ac, 4, "cs"), (0x3e8, 8, "rflags"), (0x37c, 8, "rsp"), (0x3b0, 4, "ss"),
    (0x3b4, 4, "ds"), (0x3a8, 4, "es"), (0x3b8, 4, "fs"), (0x3bc, 4, "gs"),
    (0x3c0, 4, "ldtr"), (0x3c4, 4, "tr"), (0x3f8, 8, "cr0"), (0x3f0, 8, "cr3"), (0x240, 4, "cr4"),
    (0x3d0, 8, "dr6"), (0x3c8, 8, "dr7"), (0x3e0, 8, "efer"),
];
/// The same of ia32: the lower halves.
#[rustfmt::skip]
const IA32: &[Register] = &[
    (0x374, 4, "ebx"), (0x364, 4, "ecx"), (0x36c, 4, "edx"), (0x38c, 4, "esi"), (0x394, 4, "edi"),
    (0x384, 4, "ebp"), (0x35c, 4, "eax"), (0x3b4, 4, "ds"), (0x3a8, 4, "es"), (0x3b8, 4, "fs"),
    (0x3bc, 4, "gs"), (0x3d8, 4, "eip"), (0x3ac, 4, "cs"), (0x3e8, 4, "eflags"), (0x37c, 4, "esp"),
    (0x3b0, 4, "ss"),
    (0x3c0, 4, "ldtr"), (0x3c4, 4, "tr"), (0x3f8, 4, "cr0"), (0x3f0, 4, "cr3"), (0x240, 4, "cr4"),
    (0x3d0, 4, "dr6"), (0x3c8, 4, "dr7"), (0x3e0, 4, "efer"),
];

/// Addresses that stand in two halves: upper half, lower half, name.
const SPLIT: [(usize, usize, &str); 3] =
    [(0x1d0, 0x28c, "gdt_base"), (0x1d8, 0x294, "idt_base"), (0x1d4, 0x29c, "ldt_base")];

/// Where the states of all CPUs are.
pub struct States {
    file: usize,
    /// Byte position of the sub-header.
    position: u64,
    cpus: u64,
    /// Bytes from one state to the next.
    stride: u64,
}

impl States {
    /// Finds the states behind the dump header.
    ///
    /// # Errors
    /// `Corrupt` (`Invalid number of CPUs: 0`); `NotImplemented` (`CPU state
    /// too small: <bytes>`); what reading the file says.
    pub fn find(files: &FileSet, file: usize, position: u64, cpus: u32) -> Result<States> {
        let mut raw = [0; 4];
        files
            .read(file, position, &mut raw)
            .context(|| format!("Cannot read size of CPU states at {position}"))?;
        let Some(stride) = u32::from_le_bytes(raw).checked_div(cpus) else {
            return Err(Error::corrupt(format!("Invalid number of CPUs: {cpus}")));
        };
        if (stride as usize) < STATE_BYTES {
            return Err(Error::not_implemented(format!("CPU state too small: {stride}")));
        }
        Ok(States { file, position, cpus: cpus.into(), stride: stride.into() })
    }

    /// Position of state `cpu`; sums of what has 32 bits, behind blocks that
    /// are counted in 32 bits.
    fn state(&self, cpu: u64) -> u64 {
        self.position + 4 + APIC_BYTES * self.cpus + self.stride * cpu
    }

    /// The numbers of the states that the file has; what lies behind its end
    /// is zero.
    fn stored(&self, files: &FileSet) -> impl Iterator<Item = u64> {
        let end = files.len(self.file).unwrap_or(u64::MAX);
        (0..self.cpus.min(MAX_CPUS)).take_while(move |cpu| self.state(*cpu) < end)
    }

    /// The architecture, by the mode of the processors.
    ///
    /// # Errors
    /// `Cannot read CPU #<number> state`.
    pub fn arch(&self, files: &FileSet) -> Result<Arch> {
        for cpu in self.stored(files) {
            let mut raw = [0; 8];
            files
                .read(self.file, self.state(cpu).saturating_add(EFER as u64), &mut raw)
                .context(|| format!("Cannot read CPU #{cpu} state"))?;
            if u64::from_le_bytes(raw) & EFER_LMA != 0 {
                return Ok(Arch::X86_64);
            }
        }
        Ok(Arch::Ia32)
    }

    /// Sets `cpu.number`, `cpu.<n>.SMRAM`, `cpu.<n>.apic_id` and
    /// `cpu.<n>.reg.*` of all CPUs that were in use. A state that cannot be
    /// read is no reason not to read the dump.
    ///
    /// # Errors
    /// What setting the attributes says.
    pub fn publish(&self, files: &FileSet, facts: &mut Facts<'_>) -> Result<()> {
        let wide = facts.arch() == Some(Arch::X86_64);
        let registers = if wide { X86_64 } else { IA32 };
        let leader = if wide { self.leader(files) } else { None };
        let others = self.stored(files).filter(|cpu| Some(*cpu) != leader);
        let mut count = 0;
        for cpu in leader.into_iter().chain(others) {
            let mut apic = [0; 8];
            let entry = self.position + 4 + APIC_BYTES * cpu;
            let Some(state) = self.read(files, cpu) else { continue };
            if files.read(self.file, entry, &mut apic).is_err() {
                continue;
            }
            let half = |at| u64::from(ORDER.u32(&state, at));
            let split = SPLIT.map(|(high, low, name)| (name, half(high) << 32 | half(low)));
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(STATE_BYTES).map_err(|_| Error::system("Cannot allocate CPU state"))?;
            bytes.extend_from_slice(&state);
            facts.set_blob(&format!("cpu.{count}.{BLOB}"), bytes)?;
            for (offset, length, name) in registers {
                let path = format!("cpu.{count}.reg.{name}");
                facts.set_view(&path, BLOB, *offset, *length)?;
            }
            for (name, value) in split {
                facts.set_number(&format!("cpu.{count}.reg.{name}"), value)?;
            }
            facts.set_number(&format!("cpu.{count}.apic_id"), u64::from_le_bytes(apic))?;
            count += 1;
        }
        if count > 0 {
            facts.set_number("cpu.number", count)?;
        }
        Ok(())
    }

    /// The state of a CPU; `None` if it was not in use or cannot be read.
    fn read(&self, files: &FileSet, cpu: u64) -> Option<[u8; STATE_BYTES]> {
        let mut state = [0; STATE_BYTES];
        files.read(self.file, self.state(cpu), &mut state).ok()?;
        (!is_unused(&state)).then_some(state)
    }

    /// The CPU that must come first if the first one is no good for
    /// translation.
    fn leader(&self, files: &FileSet) -> Option<u64> {
        let ran_program = |state: &[u8]| ORDER.u32(state, CS) & 3 != 0;
        let mut used = self.stored(files).filter_map(|cpu| Some((cpu, self.read(files, cpu)?)));
        let (_, first) = used.next()?;
        if !ran_program(&first) || ORDER.u64(&first, CR3) & CR3_PTI_USER == 0 {
            return None;
        }
        used.find(|(_, state)| !ran_program(state)).map(|(cpu, _)| cpu)
    }
}

/// Whether nothing was saved: all that is not reserved is zero.
fn is_unused(state: &[u8]) -> bool {
    state.iter().enumerate().all(|(at, byte)| *byte == 0 || RESERVED.iter().any(|part| part.contains(&at)))
}
