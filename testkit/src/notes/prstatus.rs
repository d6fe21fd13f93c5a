//! NT_PRSTATUS of each architecture.

use crate::arch::Arch;
use crate::endian::{ByteOrder, Bytes};

/// One register in the desc of a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterSlot {
    /// Name of the attribute below `cpu.N.reg`.
    pub name: String,
    /// Byte offset in the desc.
    pub offset: usize,
    /// Width in bytes.
    pub len: usize,
}

/// The structure of an NT_PRSTATUS desc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrstatusLayout {
    /// A shorter desc is an error.
    pub min_size: usize,
    /// What the kernel writes, with `pr_fpvalid` and tail padding.
    pub full_size: usize,
    /// Byte offset of the 32-bit pid.
    pub pid_offset: usize,
    /// The registers in the order of the structure, aliases behind what they
    /// are aliases of (ARM).
    pub registers: Vec<RegisterSlot>,
    /// Names of the registers that share the bytes of another one.
    pub aliases: &'static [&'static str],
}

impl PrstatusLayout {
    /// The register of this name.
    pub fn register(&self, name: &str) -> Option<&RegisterSlot> {
        self.registers.iter().find(|slot| slot.name == name)
    }
}

/// Where the registers start: behind the signal, the ids and the times.
const WIDE_REGS: usize = 112;
const NARROW_REGS: usize = 72;

/// `name` for one register, `xN` style ranges as `r0..r31`.
fn names(list: &str) -> Vec<String> {
    let mut out = Vec::new();
    for word in list.split_whitespace() {
        let Some((first, last)) = word.split_once("..") else {
            out.push(word.to_string());
            continue;
        };
        let (prefix, low) = first.split_at(1);
        let high = last.trim_start_matches(prefix);
        let number = |text: &str| text.parse::<u32>().expect("register number");
        out.extend((number(low)..=number(high)).map(|n| format!("{prefix}{n}")));
    }
    out
}

fn slots(list: &str, start: usize, len: usize) -> Vec<RegisterSlot> {
    names(list)
        .into_iter()
        .enumerate()
        .map(|(i, name)| RegisterSlot { name, offset: start + i * len, len })
        .collect()
}

/// The layout for an architecture; `None` where no register names are known
/// (alpha, ia64, mips, ppc, riscv32, s390).
pub fn prstatus_layout(arch: Arch) -> Option<PrstatusLayout> {
    let wide = |min_size, full_size, registers| PrstatusLayout {
        min_size,
        full_size,
        pid_offset: 32,
        registers,
        aliases: &[],
    };
    let narrow = |min_size, full_size, registers| PrstatusLayout {
        min_size,
        full_size,
        pid_offset: 24,
        registers,
        aliases: &[],
    };
    Some(match arch {
        Arch::X86_64 => wide(
            328,
            336,
            slots(
                "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax \
                 rip cs rflags rsp ss fs_base gs_base ds es fs gs",
                WIDE_REGS,
                8,
            ),
        ),
        Arch::Ia32 => narrow(
            140,
            144,
            slots("ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss", NARROW_REGS, 4),
        ),
        Arch::Aarch64 => wide(384, 392, slots("x0..x29 lr sp pc pstate", WIDE_REGS, 8)),
        Arch::Arm => {
            let mut registers = slots("r0..r15", NARROW_REGS, 4);
            registers.extend(slots("fp ip sp lr pc cpsr orig_r0", 116, 4));
            PrstatusLayout { aliases: &["fp", "ip", "sp", "lr", "pc"], ..narrow(144, 148, registers) }
        }
        Arch::Ppc64 => {
            wide(500, 504, slots("r0..r31 pc msr or3 ctr lr xer ccr softe trap dar dsisr res", WIDE_REGS, 8))
        }
        Arch::Riscv64 => wide(
            376,
            384,
            slots(
                "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 \
                 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6",
                WIDE_REGS,
                8,
            ),
        ),
        Arch::S390x => {
            let mut registers = slots("pswm pswa r0..r15", WIDE_REGS, 8);
            registers.extend(slots("a0..a15", 256, 4));
            registers.extend(slots("orig_gpr2", 320, 8));
            wide(328, 336, registers)
        }
        Arch::Alpha | Arch::Ia64 | Arch::Mips | Arch::Ppc | Arch::Riscv32 | Arch::S390 => {
            return None;
        }
    })
}

/// An NT_PRSTATUS desc of the full size; `value` is asked for each register
/// by its number in the layout and its name, but not for aliases.
///
/// # Panics
/// If the architecture has no layout.
pub fn prstatus(
    arch: Arch,
    order: ByteOrder,
    pid: i32,
    mut value: impl FnMut(usize, &str) -> u64,
) -> Vec<u8> {
    let layout = prstatus_layout(arch).unwrap_or_else(|| panic!("no PRSTATUS of {}", arch.name()));
    let mut out = Bytes::zeroed(order, layout.full_size);
    out.put_u32(layout.pid_offset, pid as u32);
    for (i, slot) in layout.registers.iter().enumerate() {
        if !layout.aliases.contains(&slot.name.as_str()) {
            out.put_uint(slot.offset, slot.len, value(i, &slot.name));
        }
    }
    out.into_vec()
}
