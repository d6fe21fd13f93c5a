//! The architectures of the dumps, with the facts that builders need.

use crate::endian::ByteOrder;

/// An architecture that dumps are written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Arch {
    Aarch64,
    Alpha,
    Arm,
    Ia32,
    Ia64,
    Mips,
    Ppc,
    Ppc64,
    Riscv32,
    Riscv64,
    S390,
    S390x,
    X86_64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 13] = [
        Arch::Aarch64,
        Arch::Alpha,
        Arch::Arm,
        Arch::Ia32,
        Arch::Ia64,
        Arch::Mips,
        Arch::Ppc,
        Arch::Ppc64,
        Arch::Riscv32,
        Arch::Riscv64,
        Arch::S390,
        Arch::S390x,
        Arch::X86_64,
    ];

    /// Value of the attribute `arch.name`.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Aarch64 => "aarch64",
            Arch::Alpha => "alpha",
            Arch::Arm => "arm",
            Arch::Ia32 => "ia32",
            Arch::Ia64 => "ia64",
            Arch::Mips => "mips",
            Arch::Ppc => "ppc",
            Arch::Ppc64 => "ppc64",
            Arch::Riscv32 => "riscv32",
            Arch::Riscv64 => "riscv64",
            Arch::S390 => "s390",
            Arch::S390x => "s390x",
            Arch::X86_64 => "x86_64",
        }
    }

    /// `e_machine` of ELF files of this architecture.
    pub fn machine(self) -> u16 {
        match self {
            Arch::Aarch64 => 183,
            Arch::Alpha => 0x9026,
            Arch::Arm => 40,
            Arch::Ia32 => 3,
            Arch::Ia64 => 50,
            Arch::Mips => 8,
            Arch::Ppc => 20,
            Arch::Ppc64 => 21,
            Arch::Riscv32 | Arch::Riscv64 => 243,
            Arch::S390 | Arch::S390x => 22,
            Arch::X86_64 => 62,
        }
    }

    /// What `uname -m` prints on it.
    pub fn uts_machine(self, order: ByteOrder) -> &'static str {
        match (self, order) {
            (Arch::Arm, _) => "armv7l",
            (Arch::Ia32, _) => "i686",
            (Arch::Ppc64, ByteOrder::Little) => "ppc64le",
            _ => self.name(),
        }
    }

    /// Size of a pointer in bytes: 4 or 8.
    pub fn ptr_size(self) -> usize {
        match self {
            Arch::Arm | Arch::Ia32 | Arch::Mips | Arch::Ppc | Arch::Riscv32 | Arch::S390 => 4,
            _ => 8,
        }
    }

    /// The byte order that Linux mostly runs in on this architecture.
    pub fn usual_order(self) -> ByteOrder {
        match self {
            Arch::Mips | Arch::Ppc | Arch::S390 | Arch::S390x => ByteOrder::Big,
            _ => ByteOrder::Little,
        }
    }
}
