//! Architectures: their names and the facts that follow from a name.
//!
//! One table; the attribute hooks, the formats and the documentation all
//! derive from it.

/// A processor architecture that a dump may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // The variants are the canonical names themselves.
pub enum Arch {
    Aarch64,
    Alpha,
    Arm,
    Ia32,
    Ia64,
    Loongarch64,
    Mips,
    Ppc,
    Ppc64,
    Riscv32,
    Riscv64,
    S390,
    S390x,
    X86_64,
}

/// What follows from the name of an architecture.
struct Facts {
    arch: Arch,
    name: &'static str,
    /// Size of a pointer in bytes.
    pointer_size: u8,
    /// log2 of the page size, if the architecture has only one.
    page_shift: Option<u8>,
}

const fn facts(arch: Arch, name: &'static str, pointer_size: u8, page_shift: Option<u8>) -> Facts {
    Facts { arch, name, pointer_size, page_shift }
}

const TABLE: &[Facts] = &[
    facts(Arch::Aarch64, "aarch64", 8, None),
    facts(Arch::Alpha, "alpha", 8, Some(13)),
    facts(Arch::Arm, "arm", 4, Some(12)),
    facts(Arch::Ia32, "ia32", 4, Some(12)),
    facts(Arch::Ia64, "ia64", 8, None),
    facts(Arch::Loongarch64, "loongarch64", 8, None),
    facts(Arch::Mips, "mips", 4, Some(12)),
    facts(Arch::Ppc, "ppc", 4, None),
    facts(Arch::Ppc64, "ppc64", 8, None),
    facts(Arch::Riscv32, "riscv32", 4, Some(12)),
    facts(Arch::Riscv64, "riscv64", 8, Some(12)),
    facts(Arch::S390, "s390", 4, Some(12)),
    facts(Arch::S390x, "s390x", 8, Some(12)),
    facts(Arch::X86_64, "x86_64", 8, Some(12)),
];

impl Arch {
    fn facts(self) -> &'static Facts {
        // The table has a row for each variant (checked by a test), so the
        // fallback is never the answer.
        TABLE.iter().find(|row| row.arch == self).unwrap_or(&TABLE[0])
    }

    /// All architectures, in alphabetical order of their names.
    pub fn all() -> impl Iterator<Item = Arch> {
        TABLE.iter().map(|row| row.arch)
    }

    /// The architecture with this canonical name (the value of `arch.name`).
    pub fn from_name(name: &str) -> Option<Arch> {
        TABLE.iter().find(|row| row.name == name).map(|row| row.arch)
    }

    /// The canonical name.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Size of a pointer in bytes: 4 or 8.
    pub fn pointer_size(self) -> u8 {
        self.facts().pointer_size
    }

    /// log2 of the page size, if the architecture has only one.
    pub fn page_shift(self) -> Option<u8> {
        self.facts().page_shift
    }

    /// The architecture of a `utsname.machine` string (`uname -m`).
    pub fn from_uts_machine(machine: &str) -> Option<Arch> {
        Some(match machine {
            "ppc64le" => Arch::Ppc64,
            "i386" | "i586" | "i686" => Arch::Ia32,
            "arm64" => Arch::Aarch64,
            // Exact names; the canonical ones that are no `uname -m` stay out.
            "ia32" | "arm" => return (machine == "arm").then_some(Arch::Arm),
            name => match Arch::from_name(name) {
                Some(arch) => arch,
                None if name.starts_with("arm") => Arch::Arm,
                None => return None,
            },
        })
    }

    /// The architecture of an ELF header's `e_machine` (`EM_*` of `<elf.h>`);
    /// `elf64` tells 32-bit from 64-bit where the number does not.
    pub fn from_elf_machine(e_machine: u16, elf64: bool) -> Option<Arch> {
        Some(match e_machine {
            3 => Arch::Ia32,
            8 => Arch::Mips,
            20 => Arch::Ppc,
            21 => Arch::Ppc64,
            22 if elf64 => Arch::S390x,
            22 => Arch::S390,
            40 => Arch::Arm,
            // EM_FAKE_ALPHA of old headers, and today's EM_ALPHA.
            41 | 0x9026 => Arch::Alpha,
            50 => Arch::Ia64,
            62 => Arch::X86_64,
            183 => Arch::Aarch64,
            243 if elf64 => Arch::Riscv64,
            243 => Arch::Riscv32,
            258 => Arch::Loongarch64,
            _ => return None,
        })
    }
}

/// Byte order of a dump; the numbers are those of attribute `arch.byte_order`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ByteOrder {
    /// Most significant byte first.
    #[default]
    Big = 0,
    /// Least significant byte first.
    Little = 1,
}

impl ByteOrder {
    /// From the number of attribute `arch.byte_order`.
    pub const fn from_number(number: u64) -> Self {
        if number == 0 { ByteOrder::Big } else { ByteOrder::Little }
    }

    /// The number of attribute `arch.byte_order`.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// Reads an unsigned integer of `bytes.len()` bytes (at most 8).
    pub fn uint(self, bytes: &[u8]) -> u64 {
        let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self {
            ByteOrder::Big => bytes.iter().fold(0, fold),
            ByteOrder::Little => bytes.iter().rev().fold(0, fold),
        }
    }

    /// Reads a 16-bit integer at `at`; bytes behind the end of `bytes` are zero.
    pub fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let raw = fixed(bytes, at);
        match self {
            ByteOrder::Big => u16::from_be_bytes(raw),
            ByteOrder::Little => u16::from_le_bytes(raw),
        }
    }

    /// Reads a 32-bit integer at `at`; bytes behind the end of `bytes` are zero.
    pub fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let raw = fixed(bytes, at);
        match self {
            ByteOrder::Big => u32::from_be_bytes(raw),
            ByteOrder::Little => u32::from_le_bytes(raw),
        }
    }

    /// Reads a 64-bit integer at `at`; bytes behind the end of `bytes` are zero.
    pub fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let raw = fixed(bytes, at);
        match self {
            ByteOrder::Big => u64::from_be_bytes(raw),
            ByteOrder::Little => u64::from_le_bytes(raw),
        }
    }

    /// Writes the low `bytes.len()` bytes (at most 8) of `value`.
    pub fn put(self, value: u64, bytes: &mut [u8]) {
        let len = bytes.len().min(8);
        match self {
            ByteOrder::Big => bytes[..len].copy_from_slice(&value.to_be_bytes()[8 - len..]),
            ByteOrder::Little => bytes[..len].copy_from_slice(&value.to_le_bytes()[..len]),
        }
    }
}

/// `N` bytes at `at`, zero where `bytes` has none.
fn fixed<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut raw = [0; N];
    if let Some(rest) = bytes.get(at..) {
        let len = rest.len().min(N);
        raw[..len].copy_from_slice(&rest[..len]);
    }
    raw
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_its_row() {
        for arch in Arch::all() {
            assert_eq!(Arch::from_name(arch.name()), Some(arch));
            assert_eq!(arch.facts().arch, arch);
            assert!(matches!(arch.pointer_size(), 4 | 8));
        }
        assert_eq!(Arch::Alpha.page_shift(), Some(13));
        assert_eq!(Arch::Ppc64.page_shift(), None);
    }

    #[test]
    fn machine_strings_map_as_uname_prints_them() {
        for (machine, arch) in [
            ("x86_64", Some(Arch::X86_64)),
            ("i386", Some(Arch::Ia32)),
            ("i486", None),
            ("i686", Some(Arch::Ia32)),
            ("ia32", None),
            ("ppc64le", Some(Arch::Ppc64)),
            ("ppc64el", None),
            ("arm64", Some(Arch::Aarch64)),
            ("aarch64", Some(Arch::Aarch64)),
            ("armv7l", Some(Arch::Arm)),
            ("S390X", None),
            ("loongarch64", Some(Arch::Loongarch64)),
            ("loongarch32", None),
            ("", None),
        ] {
            assert_eq!(Arch::from_uts_machine(machine), arch, "{machine}");
        }
    }

    #[test]
    fn integers_behind_the_end_read_as_zero() {
        assert_eq!(ByteOrder::Little.u32(&[1, 2], 0), 0x0201);
        assert_eq!(ByteOrder::Big.u32(&[1, 2], 0), 0x0102_0000);
        assert_eq!(ByteOrder::Big.u64(&[], usize::MAX), 0);
        let mut four = [0; 4];
        ByteOrder::Big.put(0x1122_3344_5566, &mut four);
        assert_eq!(four, [0x33, 0x44, 0x55, 0x66]);
        assert_eq!(ByteOrder::Big.uint(&four), 0x3344_5566);
    }
}
