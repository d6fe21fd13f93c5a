//! Registers of the CPUs, in the header of the architecture that follows the
//! main one ("asm header").
//!
//! ```text
//! dha_magic_number u64, dha_version u32, dha_header_size u32
//! ia32: dha_esp u32, dha_eip u32
//! regs of the CPU that dumped, dha_smp_num_cpus u32, dha_dumping_cpu u32
//! regs[N], then three words for each of the N CPUs
//! ```
//!
//! From version 8 on, of ia32, x86_64 and ppc64. `N` is what the kernel was
//! built for (`NR_CPUS`) and follows from the size; the number of CPUs says how
//! many elements count. What makes no sense is no reason not to open the dump.

use alloc::format;
use alloc::vec::Vec;

use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::Result;
use crate::io::FileSet;

/// `dha_magic_number`.
const MAGIC: u64 = 0xdead_dead;
/// Bytes in front of what depends on the architecture.
const COMMON: u64 = 16;
/// No kernel of that time had more CPUs (`NR_CPUS`).
const MAX_CPUS: u64 = 1 << 10;
/// The blob that registers are views of: a `struct pt_regs`.
const BLOB: &str = "PT_REGS";
/// Words for each CPU behind the registers of all: its task, its stack and the
/// pointer into it.
const WORDS: u64 = 3;

/// Where things are in the header of one architecture.
struct Layout {
    arch: Arch,
    /// Offset of the registers of the CPU that dumped.
    regs: u64,
    /// Bytes of a register and of a word.
    width: u8,
    /// In the order of the kernel's `struct pt_regs` at that time.
    names: &'static [&'static str],
}

#[rustfmt::skip]
const LAYOUTS: [Layout; 3] = [
    Layout { arch: Arch::Ia32, regs: COMMON + 8, width: 4, names: &[
        "ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "orig_eax", "eip", "cs", "eflags", "esp",
        "ss",
    ] },
    Layout { arch: Arch::X86_64, regs: COMMON, width: 8, names: &[
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
        "orig_rax", "rip", "cs", "rflags", "rsp", "ss",
    ] },
    Layout { arch: Arch::Ppc64, regs: COMMON, width: 8, names: &[
        "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29",
        "r30", "r31", "pc", "msr", "or3", "ctr", "lr", "xer", "ccr", "softe", "trap", "dar", "dsisr", "res",
    ] },
];

/// Sets `cpu.number`, `cpu.<n>.PT_REGS` and `cpu.<n>.reg.*` from the header at
/// `position`, which must end in front of the first page record. A CPU that
/// left no registers has none; nothing is set if there is no such header.
///
/// # Errors
/// What setting the attributes says.
pub fn publish(
    files: &FileSet,
    order: ByteOrder,
    position: u64,
    records: u64,
    facts: &mut Facts<'_>,
) -> Result<()> {
    let Some(layout) = LAYOUTS.iter().find(|layout| Some(layout.arch) == facts.arch()) else { return Ok(()) };
    let mut raw = [0; COMMON as usize];
    if files.read(0, position, &mut raw).is_err() || order.u64(&raw, 0) != MAGIC {
        return Ok(());
    }
    let width = u64::from(layout.width);
    let size = width * layout.names.len() as u64;
    let numbers = layout.regs + size;
    let first = numbers + 8;
    let end = u64::from(order.u32(&raw, 12));
    let Some(room) = end.checked_sub(first).map(|bytes| bytes / (size + WORDS * width)) else {
        return Ok(());
    };
    // A header behind which there is no room for it is something else.
    if position.checked_add(end).is_none_or(|end| end > records) {
        return Ok(());
    }
    let mut raw = [0; 8];
    if files.read(0, position + numbers, &mut raw).is_err() {
        return Ok(());
    }
    let count = u64::from(order.u32(&raw, 0)).min(room).min(MAX_CPUS);
    let dumping = u64::from(order.u32(&raw, 4));
    if count > 0 {
        facts.set_number("cpu.number", count)?;
    }
    for cpu in 0..count {
        let read = |at| -> Option<Vec<u8>> {
            let regs = files.read_vec(0, position + at, size, size).ok()?;
            regs.iter().any(|byte| *byte != 0).then_some(regs)
        };
        // The CPU that dumped may have its registers in its own place only.
        let own = || if cpu == dumping { read(layout.regs) } else { None };
        let Some(regs) = read(first + size * cpu).or_else(own) else { continue };
        facts.set_blob(&format!("cpu.{cpu}.{BLOB}"), regs)?;
        for (number, name) in (0..).zip(layout.names) {
            let path = format!("cpu.{cpu}.reg.{name}");
            facts.set_view(&path, BLOB, number * u32::from(layout.width), layout.width)?;
        }
    }
    Ok(())
}
