//! `NT_PRSTATUS`: registers and process of one CPU.
//!
//! The note is the kernel's `struct elf_prstatus` (`include/linux/elfcore.h`):
//! a header that depends on the word size only, then the registers in the
//! order of the architecture's `elf_gregset_t` (`pt_regs` for most). Which
//! layout applies is a matter of the architecture, not of the ELF class.

use alloc::format;

use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};

/// More CPUs than this are no machine that Linux runs on (`NR_CPUS` is at most
/// 8192); notes of further ones are ignored.
pub(super) const MAX_CPUS: u64 = 1 << 16;

/// Registers that follow each other without a gap.
pub(super) struct Run {
    /// Byte offset of the first one from the start of the description.
    pub offset: u32,
    /// Bytes from one to the next.
    pub stride: u32,
    /// Bytes of one register: 2, 4 or 8.
    pub length: u8,
    /// Their names, in this order.
    pub names: &'static [&'static str],
}

const fn run(offset: u32, length: u8, names: &'static [&'static str]) -> Run {
    Run { offset, stride: length as u32, length, names }
}

/// Where things are in the PRSTATUS of one architecture.
struct Layout {
    arch: Arch,
    /// The least size of the description.
    size: usize,
    /// Registers in the order of attribute creation.
    runs: &'static [Run],
}

/// `pr_pid`: a 32-bit number behind signal information of 64-bit words.
const PID_64: u32 = 32;
/// `pr_pid`: the same behind 32-bit words.
const PID_32: u32 = 24;
/// `pr_reg` where words have 64 bits.
const REG_64: u32 = 112;
/// `pr_reg` where words have 32 bits.
const REG_32: u32 = 72;

/// `r0` to `r31`.
#[rustfmt::skip]
const R: [&str; 32] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30", "r31",
];
/// `r0` to `r15`.
const R16: &[&str] = R.split_at(16).0;

#[rustfmt::skip]
const LAYOUTS: &[Layout] = &[
    // `struct user_regs_struct`, arch/x86/include/asm/user_64.h.
    Layout { arch: Arch::X86_64, size: 328, runs: &[run(REG_64, 8, &[
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
        "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
    ])] },
    // `struct user_regs_struct`, arch/x86/include/asm/user_32.h.
    Layout { arch: Arch::Ia32, size: 140, runs: &[run(REG_32, 4, &[
        "ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "fs", "gs", "orig_eax", "eip", "cs",
        "eflags", "esp", "ss",
    ])] },
    // `struct user_pt_regs`, arch/arm64/include/uapi/asm/ptrace.h; `lr` is x30.
    Layout { arch: Arch::Aarch64, size: 384, runs: &[run(REG_64, 8, &[
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
        "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29",
        "lr", "sp", "pc", "pstate",
    ])] },
    // `struct pt_regs`, arch/arm/include/uapi/asm/ptrace.h. The second run are
    // other names for r11 to r15.
    Layout { arch: Arch::Arm, size: 144, runs: &[
        run(REG_32, 4, R16),
        run(REG_32 + 11 * 4, 4, &["fp", "ip", "sp", "lr", "pc"]),
        run(REG_32 + 16 * 4, 4, &["cpsr", "orig_r0"]),
    ] },
    // `struct pt_regs`, arch/powerpc/include/uapi/asm/ptrace.h: `pc` is nip,
    // `or3` is orig_gpr3. 48 slots, the last four without a name, and pr_fpvalid.
    Layout { arch: Arch::Ppc64, size: 500, runs: &[
        run(REG_64, 8, &R),
        run(REG_64 + 32 * 8, 8, &[
            "pc", "msr", "or3", "ctr", "lr", "xer", "ccr", "softe", "trap", "dar", "dsisr", "res",
        ]),
    ] },
    // `struct user_regs_struct`, arch/riscv/include/uapi/asm/ptrace.h. 33 slots.
    Layout { arch: Arch::Riscv64, size: 376, runs: &[run(REG_64, 8, &[
        "pc", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5", "a6",
        "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
    ])] },
    // `s390_regs`, arch/s390/include/uapi/asm/ptrace.h: the PSW is mask and
    // address, access registers have 32 bits.
    Layout { arch: Arch::S390x, size: 328, runs: &[
        run(REG_64, 8, &["pswm", "pswa"]),
        run(REG_64 + 2 * 8, 8, R16),
        run(REG_64 + 18 * 8, 4, &[
            "a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15",
        ]),
        run(REG_64 + 18 * 8 + 16 * 4, 8, &["orig_gpr2"]),
    ] },
    // `struct user_pt_regs`, arch/loongarch/include/uapi/asm/ptrace.h. 45
    // slots, the last ten reserved.
    Layout { arch: Arch::Loongarch64, size: 472, runs: &[
        run(REG_64, 8, &R),
        run(REG_64 + 32 * 8, 8, &["orig_a0", "era", "badv"]),
    ] },
];

/// Adds a CPU from the description of its PRSTATUS note: `cpu.number`,
/// `cpu.<n>.PRSTATUS`, `cpu.<n>.reg.*` and `cpu.<n>.pid`. CPUs are numbered in
/// the order of their notes. Does nothing for an architecture without a layout.
///
/// # Errors
/// `Corrupt` (`Wrong PRSTATUS size: <bytes>`); the CPU is counted even then.
/// On loongarch64 it just has no registers.
pub fn store(facts: &mut Facts<'_>, desc: &[u8]) -> Result<()> {
    let Some(arch) = facts.arch() else { return Ok(()) };
    let Some(layout) = LAYOUTS.iter().find(|layout| layout.arch == arch) else { return Ok(()) };
    let cpu = facts.number("cpu.number").unwrap_or(0);
    if cpu >= MAX_CPUS {
        return Ok(());
    }
    facts.set_number("cpu.number", cpu + 1)?;
    facts
        .set_blob(&format!("cpu.{cpu}.PRSTATUS"), desc.into())
        .context(|| format!("Cannot set CPU {cpu} PRSTATUS"))?;
    if desc.len() < layout.size {
        if arch == Arch::Loongarch64 {
            // The reference opens such dumps, as it knows no registers of them.
            return Ok(());
        }
        return Err(Error::corrupt(format!("Wrong PRSTATUS size: {}", desc.len())));
    }
    let headers = facts.byte_order();
    let memory = memory_order(arch, headers, desc);
    // Registers of a CPU whose memory is the other way round stay readable
    // when the dump's byte order becomes that of its memory.
    let order = memory.is_some_and(|memory| memory != headers).then_some(headers);
    store_registers(facts, cpu, "PRSTATUS", layout.runs, order)?;
    let pid = if arch.pointer_size() == 8 { PID_64 } else { PID_32 };
    set_view(facts, &format!("cpu.{cpu}.pid"), "PRSTATUS", (pid, 4), order)
}

/// Byte offset of the machine state register on ppc64.
const PPC64_MSR: usize = 112 + 33 * 8;
/// Bits of the machine state register that have a meaning (Power ISA 3.1, Book
/// III, 4.2.1, and transactional memory of 2.07).
const MSR_KNOWN: u64 = 1 << 63 | 1 << 60 | 7 << 32 | 1 << 25 | 1 << 23 | 1 << 22 | 0xff37;
/// 64-bit mode, machine checks enabled, little endian: a kernel at work.
const MSR_LITTLE_KERNEL: u64 = 1 << 63 | 1 << 12 | 1;
/// Problem state: not the kernel's byte order, but the program's.
const MSR_PR: u64 = 1 << 14;

/// Byte order of the kernel's memory, if its registers tell it beyond doubt.
/// QEMU writes dumps of little-endian ppc64 kernels with big-endian headers
/// and notes.
pub fn memory_order(arch: Arch, notes: ByteOrder, desc: &[u8]) -> Option<ByteOrder> {
    let msr = notes.u64(desc, PPC64_MSR);
    let little = arch == Arch::Ppc64
        && msr & !MSR_KNOWN == 0
        && msr & (MSR_LITTLE_KERNEL | MSR_PR) == MSR_LITTLE_KERNEL;
    little.then_some(ByteOrder::Little)
}

fn set_view(
    facts: &mut Facts<'_>,
    path: &str,
    blob: &'static str,
    (offset, length): (u32, u8),
    order: Option<ByteOrder>,
) -> Result<()> {
    match order {
        Some(order) => facts.set_view_in(path, blob, offset, length, order),
        None => facts.set_view(path, blob, offset, length),
    }
}

/// Makes `cpu.<cpu>.reg.*` views of the blob `cpu.<cpu>.<blob>`, in `order` or
/// else in the byte order of the dump.
pub(super) fn store_registers(
    facts: &mut Facts<'_>,
    cpu: u64,
    blob: &'static str,
    runs: &'static [Run],
    order: Option<ByteOrder>,
) -> Result<()> {
    let registers = runs.iter().flat_map(|run| {
        let offsets = (0..).map(|number| run.offset + number * run.stride);
        run.names.iter().zip(offsets).map(|(name, offset)| (*name, offset, run.length))
    });
    let failed = facts.set_views(&format!("cpu.{cpu}.reg"), blob, order, registers);
    failed.map_err(|(name, error)| error.context(format!("Cannot set CPU {cpu} register {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Status;
    use crate::attr::{Attributes, Effects, Value};
    use alloc::string::String;
    use alloc::vec;
    use alloc::vec::Vec;

    /// Sets `arch.name` and stores one PRSTATUS whose byte *i* is a function of *i*.
    fn tree_of(arch: Arch, size: usize) -> (Attributes, Result<()>) {
        let attributes = Attributes::new();
        let mut effects = Effects::default();
        let mut facts = Facts::new(&attributes, &mut effects);
        facts.set_number("arch.byte_order", 1).unwrap();
        facts.set_string("arch.name", arch.name()).unwrap();
        let desc: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
        let result = store(&mut facts, &desc);
        (attributes, result)
    }

    fn get(attributes: &Attributes, path: &str) -> Result<u64> {
        let value = attributes.get(attributes.reference(Some(path))?)?;
        Ok(value.as_number().unwrap())
    }

    fn bytes_at(offset: usize, length: usize) -> u64 {
        (0..length).rev().fold(0, |value, i| value << 8 | ((offset + i) % 251) as u64)
    }

    fn keys(attributes: &Attributes, path: &str) -> Vec<String> {
        let directory = attributes.reference(Some(path)).unwrap();
        let mut keys = vec![];
        let mut at = None;
        while let Some(entry) = attributes.next(directory, at).unwrap() {
            at = Some(entry.attr);
            keys.push(entry.key);
        }
        keys.reverse();
        keys
    }

    #[test]
    fn registers_stand_where_the_specification_says() {
        // Name, byte offset and length of registers at the ends of each run.
        type Row = (Arch, usize, &'static [(&'static str, usize, usize)], usize);
        let expected: &[Row] = &[
            (
                Arch::X86_64,
                27,
                &[("r15", 112, 8), ("rip", 240, 8), ("rsp", 264, 8), ("fs_base", 280, 8), ("gs", 320, 8)],
                32,
            ),
            (Arch::Ia32, 17, &[("ebx", 72, 4), ("orig_eax", 116, 4), ("ss", 136, 4)], 24),
            (
                Arch::Aarch64,
                34,
                &[("x0", 112, 8), ("x29", 344, 8), ("lr", 352, 8), ("pc", 368, 8), ("pstate", 376, 8)],
                32,
            ),
            (
                Arch::Arm,
                23,
                &[
                    ("r0", 72, 4),
                    ("r15", 132, 4),
                    ("fp", 116, 4),
                    ("sp", 124, 4),
                    ("pc", 132, 4),
                    ("orig_r0", 140, 4),
                ],
                24,
            ),
            (
                Arch::Ppc64,
                44,
                &[("r0", 112, 8), ("r31", 360, 8), ("pc", 368, 8), ("dar", 440, 8), ("res", 456, 8)],
                32,
            ),
            (Arch::Riscv64, 32, &[("pc", 112, 8), ("s0", 176, 8), ("t6", 360, 8)], 32),
            (
                Arch::S390x,
                35,
                &[("pswm", 112, 8), ("r0", 128, 8), ("a0", 256, 4), ("a15", 316, 4), ("orig_gpr2", 320, 8)],
                32,
            ),
            (Arch::Loongarch64, 35, &[("r31", 360, 8), ("era", 376, 8), ("badv", 384, 8)], 32),
        ];
        assert_eq!(expected.len(), LAYOUTS.len());
        for (arch, count, registers, pid) in expected {
            let size = LAYOUTS.iter().find(|layout| layout.arch == *arch).unwrap().size;
            let (attributes, result) = tree_of(*arch, size);
            result.unwrap();
            assert_eq!(keys(&attributes, "cpu.0.reg").len(), *count, "{arch:?}");
            assert_eq!(keys(&attributes, "cpu.0"), ["PRSTATUS", "reg", "pid"]);
            assert_eq!(get(&attributes, "cpu.number").unwrap(), 1);
            assert_eq!(get(&attributes, "cpu.0.pid").unwrap(), bytes_at(*pid, 4));
            for (name, offset, length) in *registers {
                let value = get(&attributes, &format!("cpu.0.reg.{name}")).unwrap();
                assert_eq!(value, bytes_at(*offset, *length), "{arch:?} {name}");
            }
        }
    }

    #[test]
    fn iteration_follows_the_table() {
        let (attributes, _) = tree_of(Arch::Arm, 144);
        let keys = keys(&attributes, "cpu.0.reg");
        assert_eq!(keys[15..], ["r15", "fp", "ip", "sp", "lr", "pc", "cpsr", "orig_r0"]);
    }

    #[test]
    fn short_prstatus_is_corrupt_but_counted() {
        for layout in LAYOUTS {
            let (attributes, result) = tree_of(layout.arch, layout.size - 1);
            if layout.arch == Arch::Loongarch64 {
                assert!(result.is_ok() && attributes.reference(Some("cpu.0.reg")).is_err());
            } else {
                let error = result.unwrap_err();
                assert_eq!(error.status(), Status::Corrupt);
                assert_eq!(error.message(), format!("Wrong PRSTATUS size: {}", layout.size - 1));
            }
            assert_eq!(get(&attributes, "cpu.number").unwrap(), 1);
            assert!(attributes.reference(Some("cpu.0.PRSTATUS")).is_ok());
        }
    }

    #[test]
    fn architectures_without_layout_ignore_the_note() {
        for arch in [Arch::Alpha, Arch::Ia64, Arch::Mips, Arch::Ppc, Arch::Riscv32, Arch::S390] {
            let (attributes, result) = tree_of(arch, 1024);
            result.unwrap();
            assert!(get(&attributes, "cpu.number").is_err(), "{arch:?}");
        }
    }

    #[test]
    fn writing_an_alias_changes_the_register_and_the_blob() {
        let (attributes, _) = tree_of(Arch::Arm, 144);
        let mut effects = Effects::default();
        let sp = attributes.reference(Some("cpu.0.reg.sp")).unwrap();
        attributes.set(sp, Value::Number(0x1_2233_4455), true, &mut effects).unwrap();
        assert_eq!(get(&attributes, "cpu.0.reg.r13").unwrap(), 0x2233_4455);
        let raw = attributes.get(attributes.reference(Some("cpu.0.PRSTATUS")).unwrap()).unwrap();
        let blob = raw.as_blob().unwrap();
        assert_eq!(blob.to_vec()[124..128], [0x55, 0x44, 0x33, 0x22]);
        blob.set(vec![]).unwrap();
        let error = get(&attributes, "cpu.0.reg.sp").unwrap_err();
        assert_eq!(error.message(), "Value cannot be revalidated: PRSTATUS attribute too short");
    }
}
