//! Notes of the Xen hypervisor and of its tools.
//!
//! | type | of | says |
//! | --- | --- | --- |
//! | 0x1000001 `CRASH_INFO` | a crashed hypervisor | version, `xen.phys_start`, `xen.p2m_mfn` |
//! | 0x1000002 `CRASH_REGS` | a CPU of a crashed hypervisor | its control registers |
//! | 0x2000001 `DUMPCORE_HEADER` | a dumped domain | page size, number of CPUs |
//! | 0x2000002 `DUMPCORE_XEN_VERSION` | a dumped domain | version of the hypervisor |
//! | 0x2000003 `DUMPCORE_FORMAT_VERSION` | a dumped domain | 1 |
//!
//! Types: `xen/include/public/elfnote.h`. The tools call all notes `Xen`;
//! `.note.Xen` is the name of the section that they put them into, and is
//! accepted as the name of a note as well.

use alloc::format;
use alloc::string::String;

use super::prstatus::{MAX_CPUS, Run, store_registers};
use super::qemu::next_cpu;
use super::{Note, notes};
use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};

const CRASH_INFO: u32 = 0x100_0001;
const CRASH_REGS: u32 = 0x100_0002;
const DUMPCORE_HEADER: u32 = 0x200_0001;
const DUMPCORE_XEN_VERSION: u32 = 0x200_0002;
const DUMPCORE_FORMAT_VERSION: u32 = 0x200_0003;

/// `xen.type`: a dump of the hypervisor with everything below it.
const TYPE_SYSTEM: u64 = 1;

/// Words of `crash_xen_info_t` (`xen/include/xen/elfcore.h`) that are always there.
const CRASH_INFO_WORDS: usize = 8;
/// Index of `xen_phys_start`, which exists on x86 only.
const CRASH_INFO_PHYS_START: usize = 8;

/// The words of `crash_xen_core_t` (`xen/include/asm-x86/elf.h`).
const CRASH_REGS_NAMES: [&str; 4] = ["cr0", "cr2", "cr3", "cr4"];
/// Bit of CR0: the CPU uses page tables. That of one which was not reached when
/// the hypervisor crashed is clear, as are all of its registers.
const CR0_PG: u64 = 1 << 31;

/// `xc_core_header_desc` (`tools/libs/guest`): what a domain's dump is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DumpcoreHeader {
    /// 0xF00FEBED for paravirtual domains, 0xF00FEBEE for HVM.
    pub magic: u64,
    /// Number of virtual CPUs.
    pub vcpus: u64,
    /// Number of entries of `.xen_p2m` or `.xen_pfn`.
    pub pages: u64,
    /// Bytes of a page.
    pub page_size: u64,
}

impl DumpcoreHeader {
    /// Bytes of the structure.
    const SIZE: usize = 32;
    const MAGIC_PV: u64 = 0xf00f_ebed;
    const MAGIC_HVM: u64 = 0xf00f_ebee;

    fn new(desc: &[u8], order: ByteOrder) -> Option<Self> {
        (desc.len() >= Self::SIZE).then(|| DumpcoreHeader {
            magic: order.u64(desc, 0),
            vcpus: order.u64(desc, 8),
            pages: order.u64(desc, 16),
            page_size: order.u64(desc, 24),
        })
    }

    fn is_plausible(self) -> bool {
        matches!(self.magic, Self::MAGIC_PV | Self::MAGIC_HVM)
            && self.page_size.is_power_of_two()
            && self.page_size <= 1 << 32
    }

    /// The first one with a known magic among some notes.
    pub fn find(bytes: &[u8], order: ByteOrder) -> Option<Self> {
        let is_header = |note: &Note<'_>| {
            note.kind == DUMPCORE_HEADER && (note.is_named("Xen") || note.is_named(".note.Xen"))
        };
        notes(bytes, order)
            .filter(is_header)
            .filter_map(|note| Self::new(note.desc, order))
            .find(|header| header.is_plausible())
    }

    /// [`DumpcoreHeader::vcpus`], unless no machine can have as many.
    pub fn plausible_vcpus(self) -> Option<u64> {
        (self.vcpus <= MAX_CPUS).then_some(self.vcpus)
    }
}

/// Handles a note that is named `Xen`.
///
/// # Errors
/// What setting the attributes says.
pub(super) fn note(facts: &mut Facts<'_>, kind: u32, desc: &[u8]) -> Result<()> {
    match kind {
        CRASH_INFO => crash_info(facts, desc),
        CRASH_REGS => crash_regs(facts, desc),
        DUMPCORE_XEN_VERSION => {
            // Nothing depends on the version, so a failure is no reason to stop.
            let _ = xen_version(facts, desc);
            Ok(())
        }
        DUMPCORE_HEADER => match DumpcoreHeader::new(desc, facts.byte_order()) {
            Some(header) if header.is_plausible() => facts.set_number("arch.page_size", header.page_size),
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Handles a note that is named `.note.Xen`.
///
/// # Errors
/// `Corrupt` for a page size that is none, `NotImplemented`
/// (`Unsupported Xen dumpcore format version: <version>`).
pub(super) fn section_note(facts: &mut Facts<'_>, kind: u32, desc: &[u8]) -> Result<()> {
    let order = facts.byte_order();
    match kind {
        DUMPCORE_HEADER => match DumpcoreHeader::new(desc, order) {
            Some(header) => facts.set_number("arch.page_size", header.page_size),
            None => Ok(()),
        },
        DUMPCORE_FORMAT_VERSION if desc.len() >= 8 => match order.u64(desc, 0) {
            1 => Ok(()),
            other => Err(Error::not_implemented(format!("Unsupported Xen dumpcore format version: {other}"))),
        },
        _ => Ok(()),
    }
}

/// `crash_xen_info_t`: words of the hypervisor's pointer size.
fn crash_info(facts: &mut Facts<'_>, desc: &[u8]) -> Result<()> {
    facts.set_number("xen.type", TYPE_SYSTEM)?;
    let word = match facts.number("arch.ptr_size") {
        Some(8) => 8,
        Some(4) => 4,
        _ => return Ok(()),
    };
    let order = facts.byte_order();
    let words = desc.chunks_exact(word).map(|raw| order.uint(raw));
    let at = |index: usize| words.clone().nth(index).unwrap_or(0);
    if words.len() < CRASH_INFO_WORDS {
        return Ok(());
    }
    facts.set_number("xen.version.major", at(0))?;
    facts.set_number("xen.version.minor", at(1))?;
    facts.set_address("xen.version.extra_addr", at(2))?;
    if desc.len() > CRASH_INFO_WORDS * word {
        // The last whole word, whatever the architecture has in front of it.
        facts.set_address("xen.p2m_mfn", at(words.len() - 1))?;
    }
    let x86 = matches!(facts.arch(), Some(Arch::X86_64 | Arch::Ia32));
    if x86 && words.len() >= CRASH_INFO_PHYS_START + 2 {
        facts.set_address("xen.phys_start", at(CRASH_INFO_PHYS_START))?;
    }
    Ok(())
}

/// `crash_xen_core_t` of the next CPU: `cpu.<n>.XEN_CRASH_REGS` and its registers.
/// Each comes behind the PRSTATUS of its CPU.
fn crash_regs(facts: &mut Facts<'_>, desc: &[u8]) -> Result<()> {
    let (word, length) = match (facts.arch(), facts.number("arch.ptr_size")) {
        (Some(Arch::X86_64), Some(8)) => (8, 8),
        (Some(Arch::Ia32), Some(4)) => (4, 4),
        _ => return Ok(()),
    };
    let Some(cpu) = next_cpu(facts, "XEN_CRASH_REGS") else { return Ok(()) };
    facts
        .set_blob(&format!("cpu.{cpu}.XEN_CRASH_REGS"), desc.into())
        .context(|| format!("Cannot set CPU {cpu} XEN_CRASH_REGS"))?;
    let cr0 = desc.get(..word).map_or(0, |raw| facts.byte_order().uint(raw));
    if desc.len() < CRASH_REGS_NAMES.len() * word || cr0 & CR0_PG == 0 {
        return Ok(());
    }
    for (name, offset) in CRASH_REGS_NAMES.iter().zip((0..).step_by(word)) {
        let path = format!("cpu.{cpu}.reg.{name}");
        if !facts.is_set(&path) {
            facts
                .set_view(&path, "XEN_CRASH_REGS", offset, length)
                .context(|| format!("Cannot set CPU {cpu} register {name}"))?;
        }
    }
    Ok(())
}

/// `xc_core_elf_note_xen_version_desc`: version numbers and a text.
fn xen_version(facts: &mut Facts<'_>, desc: &[u8]) -> Result<()> {
    let size = match facts.number("arch.ptr_size") {
        Some(8) => 1280,
        Some(4) => 1276,
        _ => return Ok(()),
    };
    let Some(extra) = desc.get(16..32).filter(|_| desc.len() >= size) else { return Ok(()) };
    let order = facts.byte_order();
    facts.set_number("xen.version.major", order.u64(desc, 0))?;
    facts.set_number("xen.version.minor", order.u64(desc, 8))?;
    let end = extra.iter().position(|byte| *byte == 0).unwrap_or(extra.len());
    facts.set_string("xen.version.extra", &String::from_utf8_lossy(&extra[..end]))
}

/// Registers of a `vcpu_guest_context` (`xen/include/public/arch-x86/xen.h`).
struct Vcpu {
    arch: Arch,
    /// Bytes of the structure.
    size: usize,
    runs: &'static [Run],
}

const CR: &[&str] = &["cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7"];
const DR: &[&str] = &["dr0", "dr1", "dr2", "dr3", "dr4", "dr5", "dr6", "dr7"];

const fn run(offset: u32, stride: u32, length: u8, names: &'static [&'static str]) -> Run {
    Run { offset, stride, length, names }
}

#[rustfmt::skip]
const VCPUS: &[Vcpu] = &[
    Vcpu { arch: Arch::X86_64, size: 5168, runs: &[
        run(520, 8, 8, &[
            "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
        ]),
        run(648, 8, 8, &["rip"]),
        run(656, 8, 2, &["cs"]),
        run(664, 8, 8, &["rflags", "rsp"]),
        run(680, 8, 2, &["ss", "es", "ds", "fs", "gs"]),
        run(4984, 8, 8, CR),
        run(5048, 8, 8, DR),
    ] },
    Vcpu { arch: Arch::Ia32, size: 2800, runs: &[
        run(516, 4, 4, &["ebx", "ecx", "edx", "esi", "edi", "ebp", "eax"]),
        run(548, 4, 4, &["eip"]),
        run(552, 4, 2, &["cs"]),
        run(556, 4, 4, &["eflags", "esp"]),
        run(564, 4, 2, &["ss", "es", "ds", "fs", "gs"]),
        run(2716, 4, 4, CR),
        run(2748, 4, 4, DR),
    ] },
];

/// The architecture whose `vcpu_guest_context` has `size` bytes.
pub fn arch_of_context(size: u64) -> Option<Arch> {
    VCPUS.iter().find(|vcpu| vcpu.size as u64 == size).map(|vcpu| vcpu.arch)
}

/// Adds the CPUs of a `.xen_prstatus` section: `cpu.<n>.XEN_PRSTATUS` and
/// `cpu.<n>.reg.*`, and raises `cpu.number`. Bytes behind the last whole
/// element are ignored, and so is the section of an architecture whose layout
/// is not known.
///
/// # Errors
/// `Cannot set CPU <n> XEN_PRSTATUS` in front of what the attribute says.
pub fn prstatus(facts: &mut Facts<'_>, section: &[u8]) -> Result<()> {
    let arch = facts.arch();
    let Some(vcpu) = VCPUS.iter().find(|vcpu| Some(vcpu.arch) == arch) else { return Ok(()) };
    let mut count = 0;
    for context in section.chunks_exact(vcpu.size) {
        if count == MAX_CPUS {
            break;
        }
        facts
            .set_blob(&format!("cpu.{count}.XEN_PRSTATUS"), context.into())
            .context(|| format!("Cannot set CPU {count} XEN_PRSTATUS"))?;
        store_registers(facts, count, "XEN_PRSTATUS", vcpu.runs, None)?;
        count += 1;
    }
    if facts.number("cpu.number").is_none_or(|number| number < count) {
        facts.set_number("cpu.number", count)?;
    }
    Ok(())
}
