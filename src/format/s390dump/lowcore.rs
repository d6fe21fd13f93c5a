//! Registers of the CPUs: where dump tools have the machine store them.
//!
//! Each CPU has a lowcore, to which its absolute address (prefix) leads. The
//! store-status areas in it are those of the architecture (z/Architecture and
//! ESA/390 Principles of Operation, "assigned storage locations").

use alloc::format;
use alloc::vec::Vec;

use super::header::Header;
use crate::arch::Arch;
use crate::attr::Facts;
use crate::error::{Error, Result};

/// The blob that registers are views of.
const BLOB: &str = "STORE_STATUS";

/// A lowcore begins at a multiple of this (ESA/390; the double on s390x).
const ALIGNMENT: u64 = 4096;

/// Registers that follow each other.
struct Run {
    /// Offset of the first one within the area.
    offset: u32,
    /// Bytes of one.
    length: u8,
    names: &'static [&'static str],
}

const fn run(offset: u32, length: u8, names: &'static [&'static str]) -> Run {
    Run { offset, length, names }
}

const R: &[&str] =
    &["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
const A: &[&str] =
    &["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15"];
const CR: &[&str] = &[
    "cr0", "cr1", "cr2", "cr3", "cr4", "cr5", "cr6", "cr7", "cr8", "cr9", "cr10", "cr11", "cr12", "cr13",
    "cr14", "cr15",
];
const F: &[&str] =
    &["f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7", "f8", "f9", "f10", "f11", "f12", "f13", "f14", "f15"];

/// The store-status area of one architecture.
struct Area {
    /// Its offset within the lowcore.
    offset: u64,
    /// Bytes.
    size: usize,
    /// Registers in the order in which other dumps have them.
    runs: &'static [Run],
}

/// Offset 0x1200 to 0x1400 of the lowcore.
const S390X: Area = Area {
    offset: 0x1200,
    size: 0x200,
    runs: &[
        run(0x100, 8, &["pswm", "pswa"]),
        run(0x080, 8, R),
        run(0x140, 4, A),
        run(0x180, 8, CR),
        run(0x118, 4, &["prefix", "fpc"]),
        run(0x124, 4, &["todpreg"]),
        run(0x128, 8, &["timer", "clock_comparator"]),
        run(0x000, 8, F),
    ],
};

/// Offset 0xd8 to 0x200 of the lowcore. There are four floating-point
/// registers.
const S390: Area = Area {
    offset: 0xd8,
    size: 0x128,
    runs: &[
        run(0x28, 4, &["pswm", "pswa"]),
        run(0xa8, 4, R),
        run(0x48, 4, A),
        run(0xe8, 4, CR),
        run(0x30, 4, &["prefix"]),
        run(0x00, 8, &["timer", "clock_comparator"]),
        run(0x88, 8, &["f0", "f2", "f4", "f6"]),
    ],
};

/// Sets `cpu.number`, `cpu.<n>.STORE_STATUS` and `cpu.<n>.reg.*` for each CPU
/// whose registers can be found. The others are no reason not to read the dump.
///
/// # Errors
/// What setting the attributes says.
pub fn publish(
    facts: &mut Facts<'_>,
    header: &Header,
    arch: Arch,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<()>,
) -> Result<()> {
    let area = if arch == Arch::S390x { &S390X } else { &S390 };
    let mut count = 0;
    let mut seen = Vec::new();
    for lowcore in header.lowcores() {
        // No two CPUs have the same one.
        if seen.contains(&lowcore) {
            continue;
        }
        seen.push(lowcore);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(area.size).map_err(|_| Error::system("Cannot allocate CPU state"))?;
        bytes.resize(area.size, 0);
        if !lowcore.is_multiple_of(ALIGNMENT)
            || read(lowcore + area.offset, &mut bytes).is_err()
            || bytes.iter().all(|byte| *byte == 0)
        {
            continue;
        }
        facts.set_blob(&format!("cpu.{count}.{BLOB}"), bytes)?;
        for run in area.runs {
            let mut offset = run.offset;
            for name in run.names {
                facts.set_view(&format!("cpu.{count}.reg.{name}"), BLOB, offset, run.length)?;
                offset += u32::from(run.length);
            }
        }
        count += 1;
    }
    if count > 0 {
        facts.set_number("cpu.number", count)?;
    }
    Ok(())
}
