//! Which architecture a dump is of when its headers do not say.
//!
//! | evidence | example |
//! | --- | --- |
//! | a machine name in an otherwise empty `utsname` (QEMU) | `S390X` |
//! | what only one architecture exports in VMCOREINFO | `NUMBER(kimage_voffset)` |
//! | size of the CPUs' PRSTATUS notes | 392 |
//! | addresses of 32 bits in VMCOREINFO | `SYMBOL(swapper_pg_dir)=c1e98000` |
//!
//! The first one that says anything is believed.

use alloc::format;
use alloc::string::String;

use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::Result;
use crate::notes::notes;

/// What a format knows; VMCOREINFO is taken from the attributes.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Byte order of the dump.
    pub order: ByteOrder,
    /// Bytes of a pointer, as far as the headers tell.
    pub pointer_size: u8,
    /// A machine name that was not good enough for `linux.uts`; may be empty.
    pub machine: &'a [u8],
    /// ELF notes; may be empty.
    pub notes: &'a [u8],
}

/// Keys below `linux.vmcoreinfo` that the kernels of one architecture export
/// and no others (`arch_crash_save_vmcoreinfo` of each, and the documentation
/// of VMCOREINFO in the kernel). The order matters where a key is weak.
#[rustfmt::skip]
const VMCOREINFO: &[(&str, Arch)] = &[
    ("NUMBER.kimage_voffset", Arch::Aarch64),
    ("SYMBOL.init_top_pgt", Arch::X86_64),
    ("SYMBOL.init_level4_pgt", Arch::X86_64),
    ("NUMBER.phys_base", Arch::X86_64),
    ("lines.CONFIG_X86_PAE", Arch::Ia32),
    ("lines.CONFIG_ARM_LPAE", Arch::Arm),
    ("SYMBOL.lowcore_ptr", Arch::S390x),
    ("NUMBER.va_kernel_pa_offset", Arch::Riscv64),
    ("NUMBER.KERNEL_LINK_ADDR", Arch::Riscv64),
    ("SYMBOL.vmemmap_list", Arch::Ppc64),
    ("SYMBOL.mmu_vmemmap_psize", Arch::Ppc64),
];

/// Sizes of `struct elf_prstatus` (`include/linux/elfcore.h`) in bytes. That of
/// riscv64 has 32 registers, but programs made for 33 write it as well.
#[rustfmt::skip]
const PRSTATUS: &[(usize, ByteOrder, Arch)] = &[
    (336, ByteOrder::Little, Arch::X86_64),
    (144, ByteOrder::Little, Arch::Ia32),
    (392, ByteOrder::Little, Arch::Aarch64),
    (148, ByteOrder::Little, Arch::Arm),
    (376, ByteOrder::Little, Arch::Riscv64),
    (384, ByteOrder::Little, Arch::Riscv64),
    (480, ByteOrder::Little, Arch::Loongarch64),
    (504, ByteOrder::Little, Arch::Ppc64),
    (504, ByteOrder::Big, Arch::Ppc64),
    (336, ByteOrder::Big, Arch::S390x),
];

/// `NT_PRSTATUS` of `<elf.h>`.
const NT_PRSTATUS: u32 = 1;

/// The architecture, and in a few words what it was inferred from.
pub fn infer(facts: &Facts<'_>, evidence: &Evidence<'_>) -> Option<(Arch, String)> {
    // A machine that we do not know is none of those that we do.
    if !evidence.machine.is_empty() && !evidence.machine.eq_ignore_ascii_case(b"unknown") {
        return from_machine(evidence.machine);
    }
    from_vmcoreinfo(facts).or_else(|| from_prstatus(evidence)).or_else(|| from_addresses(facts, evidence))
}

/// If `arch.name` is not set, infers it and says so in `arch.inferred`.
/// Returns whether it did.
///
/// # Errors
/// What setting the attributes says.
pub fn settle(facts: &mut Facts<'_>, evidence: &Evidence<'_>) -> Result<bool> {
    if facts.is_set("arch.name") {
        return Ok(false);
    }
    let Some((arch, reason)) = infer(facts, evidence) else { return Ok(false) };
    facts.set_string("arch.name", arch.name())?;
    facts.set_string("arch.inferred", &reason)?;
    Ok(true)
}

fn from_machine(machine: &[u8]) -> Option<(Arch, String)> {
    let machine = core::str::from_utf8(machine).ok()?;
    let arch = Arch::from_uts_machine(&machine.to_ascii_lowercase())?;
    Some((arch, format!("machine \"{machine}\" in a header without utsname")))
}

fn from_vmcoreinfo(facts: &Facts<'_>) -> Option<(Arch, String)> {
    let (key, arch) = VMCOREINFO.iter().find(|(key, _)| facts.is_set(&format!("linux.vmcoreinfo.{key}")))?;
    let text = match key.split_once('.') {
        Some(("lines", line)) => format!("{line} in VMCOREINFO"),
        Some((kind, name)) => format!("{kind}({name}) in VMCOREINFO"),
        None => return None,
    };
    Some((*arch, text))
}

fn from_prstatus(evidence: &Evidence<'_>) -> Option<(Arch, String)> {
    let note = notes(evidence.notes, evidence.order)
        .find(|note| note.kind == NT_PRSTATUS && note.is_named("CORE"))?;
    let size = note.desc.len();
    let row = PRSTATUS.iter().find(|row| row.0 == size && row.1 == evidence.order)?;
    Some((row.2, format!("PRSTATUS notes of {size} bytes")))
}

/// i386 without PAE exports nothing of its own.
fn from_addresses(facts: &Facts<'_>, evidence: &Evidence<'_>) -> Option<(Arch, String)> {
    let root = facts.number("linux.vmcoreinfo.SYMBOL.swapper_pg_dir")?;
    let narrow = evidence.order == ByteOrder::Little && evidence.pointer_size == 4;
    (narrow && root < 1 << 32)
        .then(|| (Arch::Ia32, String::from("SYMBOL(swapper_pg_dir) of 32 bits in VMCOREINFO")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::{Attributes, Effects};
    use alloc::vec::Vec;

    fn settled(vmcoreinfo: &str, evidence: &Evidence<'_>) -> (Option<Arch>, Option<String>) {
        let attributes = Attributes::new();
        let mut effects = Effects::default();
        let mut facts = Facts::new(&attributes, &mut effects);
        facts.set_blob("linux.vmcoreinfo.raw", vmcoreinfo.into()).unwrap();
        settle(&mut facts, evidence).unwrap();
        (facts.arch(), facts.string("arch.inferred").map(|text| (&*text).into()))
    }

    fn prstatus(order: ByteOrder, size: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for number in [5, size, NT_PRSTATUS] {
            let mut raw = [0; 4];
            order.put(number.into(), &mut raw);
            bytes.extend(raw);
        }
        bytes.extend(b"CORE\0\0\0\0");
        bytes.resize(bytes.len() + size as usize, 0);
        bytes
    }

    const NOTHING: Evidence<'_> =
        Evidence { order: ByteOrder::Little, pointer_size: 8, machine: b"", notes: b"" };

    #[test]
    fn machine_names_count_in_any_case() {
        for (machine, arch) in [
            ("S390X", Some(Arch::S390x)),
            ("i686", Some(Arch::Ia32)),
            ("x86_64", Some(Arch::X86_64)),
            ("AArch64", Some(Arch::Aarch64)),
            ("Unknown", None),
            ("", None),
        ] {
            let (found, why) = settled("", &Evidence { machine: machine.as_bytes(), ..NOTHING });
            assert_eq!(found, arch, "{machine}");
            let text = format!("machine \"{machine}\" in a header without utsname");
            assert_eq!(why, arch.map(|_| text));
        }
    }

    #[test]
    fn an_unknown_machine_is_not_taken_for_another_one() {
        let mips = Evidence { machine: b"mips64", ..NOTHING };
        assert_eq!(settled("NUMBER(phys_base)=0\n", &mips), (None, None));
    }

    #[test]
    fn vmcoreinfo_tells_the_architecture() {
        for (text, arch, why) in [
            (
                "NUMBER(VA_BITS)=48\nNUMBER(kimage_voffset)=0xffff7fffc7e00000\n",
                Arch::Aarch64,
                "NUMBER(kimage_voffset) in VMCOREINFO",
            ),
            ("NUMBER(phys_base)=-16777216\n", Arch::X86_64, "NUMBER(phys_base) in VMCOREINFO"),
            ("CONFIG_X86_PAE=y\n", Arch::Ia32, "CONFIG_X86_PAE in VMCOREINFO"),
            ("SYMBOL(lowcore_ptr)=1000\n", Arch::S390x, "SYMBOL(lowcore_ptr) in VMCOREINFO"),
        ] {
            let evidence = Evidence { machine: b"Unknown", ..NOTHING };
            assert_eq!(settled(text, &evidence), (Some(arch), Some(String::from(why))));
        }
    }

    #[test]
    fn prstatus_size_tells_the_architecture_with_the_byte_order() {
        for (order, size, arch) in [
            (ByteOrder::Little, 336, Some(Arch::X86_64)),
            (ByteOrder::Big, 336, Some(Arch::S390x)),
            (ByteOrder::Little, 144, Some(Arch::Ia32)),
            // As QEMU writes it.
            (ByteOrder::Little, 376, Some(Arch::Riscv64)),
            (ByteOrder::Little, 384, Some(Arch::Riscv64)),
            (ByteOrder::Little, 480, Some(Arch::Loongarch64)),
            (ByteOrder::Big, 504, Some(Arch::Ppc64)),
            (ByteOrder::Big, 144, None),
            (ByteOrder::Little, 0, None),
        ] {
            let notes = prstatus(order, size);
            let evidence = Evidence { order, notes: &notes, ..NOTHING };
            let attributes = Attributes::new();
            let mut effects = Effects::default();
            let facts = Facts::new(&attributes, &mut effects);
            assert_eq!(infer(&facts, &evidence).map(|found| found.0), arch, "{order:?} {size}");
        }
    }

    #[test]
    fn addresses_of_32_bits_are_the_last_resort() {
        let narrow = Evidence { pointer_size: 4, ..NOTHING };
        assert_eq!(settled("SYMBOL(swapper_pg_dir)=c1e98000\n", &narrow).0, Some(Arch::Ia32));
        assert_eq!(settled("SYMBOL(swapper_pg_dir)=c1e98000\n", &NOTHING).0, None);
        let arm = prstatus(ByteOrder::Little, 148);
        let evidence = Evidence { notes: &arm, ..narrow };
        assert_eq!(settled("SYMBOL(swapper_pg_dir)=80004000\n", &evidence).0, Some(Arch::Arm));
    }

    #[test]
    fn a_name_that_is_set_is_not_touched() {
        let attributes = Attributes::new();
        let mut effects = Effects::default();
        let mut facts = Facts::new(&attributes, &mut effects);
        facts.set_string("arch.name", "ppc64").unwrap();
        assert!(!settle(&mut facts, &Evidence { machine: b"x86_64", ..NOTHING }).unwrap());
        assert_eq!((facts.arch(), facts.is_set("arch.inferred")), (Some(Arch::Ppc64), false));
    }
}
