//! `QEMU`: what `dump-guest-memory` adds to the PRSTATUS of a virtual x86 CPU.
//!
//! The note is QEMU's `QEMUCPUState` (`target/i386/arch_dump.c`), the same for
//! guests of 32 and of 64 bits, and little-endian:
//!
//! | bytes | field |
//! | --- | --- |
//! | 0 .. 4 | version, 1 |
//! | 4 .. 8 | bytes of the structure |
//! | 8 .. 152 | general registers, `rip`, `rflags` |
//! | 152 .. 392 | segment registers and descriptor tables |
//! | 392 .. 432 | `cr0` to `cr4` |
//! | 432 .. 440 | base of the kernel's `gs`, of newer versions |
//!
//! CR3 is where the page tables of the CPU start, so addresses can be
//! translated even if nothing is known about the kernel.

use alloc::format;

use super::prstatus::MAX_CPUS;
use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Result, ResultExt};

/// Type of the note.
const CPU_STATE: u32 = 0;
/// The version whose layout is known.
const VERSION: u32 = 1;
/// Bytes of the structure up to and including CR4.
const SIZE: u32 = 432;
/// Byte offset of the first control register.
const CONTROL: u32 = 392;
/// The control registers, 8 bytes each.
const NAMES: [&str; 5] = ["cr0", "cr1", "cr2", "cr3", "cr4"];

/// Adds to the next CPU what its note says: `cpu.<n>.QEMU` and
/// `cpu.<n>.reg.cr0` to `cr4`, unless a register is known from elsewhere. Notes
/// come in the order of the CPUs; those without a CPU are ignored, and so are
/// those of other architectures. Another version, or one that is too short, has
/// no registers.
///
/// # Errors
/// What setting the attributes says.
pub(super) fn store(facts: &mut Facts<'_>, kind: u32, desc: &[u8]) -> Result<()> {
    if kind != CPU_STATE || !matches!(facts.arch(), Some(Arch::X86_64 | Arch::Ia32)) {
        return Ok(());
    }
    let Some(cpu) = next_cpu(facts, "QEMU") else { return Ok(()) };
    facts
        .set_blob(&format!("cpu.{cpu}.QEMU"), desc.into())
        .context(|| format!("Cannot set CPU {cpu} QEMU"))?;
    let order = ByteOrder::Little;
    let size = order.u32(desc, 4).min(u32::try_from(desc.len()).unwrap_or(u32::MAX));
    if order.u32(desc, 0) != VERSION || size < SIZE {
        return Ok(());
    }
    for (name, offset) in NAMES.iter().zip((CONTROL..).step_by(8)) {
        let path = format!("cpu.{cpu}.reg.{name}");
        if !facts.is_set(&path) {
            facts
                .set_view_in(&path, "QEMU", offset, 8, order)
                .context(|| format!("Cannot set CPU {cpu} register {name}"))?;
        }
    }
    Ok(())
}

/// The first CPU without a note that is stored as `blob`; all CPUs before it have
/// one.
pub(super) fn next_cpu(facts: &Facts<'_>, blob: &str) -> Option<u64> {
    let number = facts.number("cpu.number").unwrap_or(0).min(MAX_CPUS);
    let (mut low, mut high) = (0, number);
    while low < high {
        let middle = low + (high - low) / 2;
        match facts.is_set(&format!("cpu.{middle}.{blob}")) {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    (low < number).then_some(low)
}
