//! What ESXi writes when a guest panics (`monitor.mini-suspend_on_panic`):
//! `debug.guest` with `debug.vmem` beside it.
//!
//! | version | memory info at | its kind | CPUs at |
//! | --- | --- | --- | --- |
//! | 1 | 21 | old | 61, and 8 more for each hole |
//! | 3, 4, 5 | 22 | new | 78 |
//! | 6 | 23 | new | 79 |
//! | 7 | 16 | new | 83; architecture at 72 |
//!
//! There is no magic number. A file is one of these if what it says of the
//! memory agrees with itself, and its size with the number of its CPUs. The
//! `.vmem` holds the memory without its holes.
//! Layout: spec 13 §6.6, after the crash utility.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::PAGE;
use super::cpu::{Cpus, MOST_CPUS};
use super::tags::ORDER;
use crate::arch::Arch;
use crate::error::{Error, Result, ResultExt};
use crate::format::extent::{Extent, ExtentDump, Extents, Origin};
use crate::format::{Format, Opening};
use crate::io::FileSet;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "vmware_guest";

/// Bytes that are read to recognise a file: up to the first CPU of any version.
const HEAD: usize = 96;
/// Holes in memory, at most.
const MOST_HOLES: u64 = 2;
/// Bytes of the parts of a CPU: control registers, the others, and what is
/// reserved behind them.
const CONTROL: u64 = 116;
const GENERAL: u64 = 233;
const RESERVED: u64 = 4096;

/// Control registers: place in the first part, bytes, name.
const CONTROL_AT: [(usize, usize, &str); 5] =
    [(0, 4, "cr0"), (4, 8, "cr2"), (12, 8, "cr3"), (20, 8, "cr4"), (108, 8, "idt_base")];
/// Registers of the second part, of 64 bits each.
const GENERAL_AT: [&str; 27] = [
    "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
    "orig_rax", "rip", "cs", "rflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
];

/// What the head of the file says.
struct Head {
    /// `None`: x86, of which kind the registers may tell.
    arch: Option<Arch>,
    cpus: u64,
    /// Byte position of the first CPU, and from one to the next.
    cpus_at: u64,
    /// Bytes between the two parts of a CPU.
    gap: u64,
    /// The address behind the last one.
    end: u64,
    /// Start and end address of each hole.
    holes: Vec<(u64, u64)>,
}

impl Head {
    /// Decodes the head of a file; `None` if it is not of this format.
    fn new(raw: &[u8; HEAD]) -> Option<Head> {
        let u32_at = |at| u64::from(ORDER.u32(raw, at));
        let version = u32_at(0);
        let info = match version {
            1 => 21,
            3..=5 => 22,
            6 => 23,
            7 => 16,
            _ => return None,
        };
        let old = version == 1;
        let (pages, count, list, width) = if old {
            (u32_at(info + 8), u32_at(info + 16), info + 20, 4)
        } else {
            (ORDER.u64(raw, info + 8), u32_at(info + 20), info + 24, 8)
        };
        if count > MOST_HOLES {
            return None;
        }
        let number = |at| if old { u32_at(at) } else { ORDER.u64(raw, at) };
        let mut holes = Vec::new();
        let mut all = pages;
        for hole in 0..count as usize {
            let at = list + 2 * width * hole;
            let (first, size) = (number(at), number(at + width));
            all = all.checked_add(size)?;
            holes.push((first.checked_mul(PAGE)?, first.checked_add(size)?.checked_mul(PAGE)?));
        }
        let end = ORDER.u64(raw, info).checked_add(1)?;
        let cpus_at = match version {
            1 => 61 + 8 * count,
            6 => 79,
            7 => 83,
            _ => 78,
        };
        let arch = match (version, u32_at(72)) {
            (7, 0) => Some(Arch::Aarch64),
            (7, 1) | (..=6, _) => None,
            _ => return None,
        };
        let head =
            Head { arch, cpus: u32_at(4), cpus_at, gap: if version < 4 { 45 } else { 42 }, end, holes };
        let agrees = pages > 0 && all.checked_mul(PAGE) == Some(end) && (1..=MOST_CPUS).contains(&head.cpus);
        agrees.then_some(head)
    }

    /// Bytes of a CPU.
    fn stride(&self) -> u64 {
        CONTROL + self.gap + GENERAL + RESERVED
    }

    /// Recognises a file by its head and its size.
    fn find(files: &FileSet, file: usize) -> Result<Option<Head>> {
        let mut raw = [0; HEAD];
        files.read(file, 0, &mut raw).context(|| "Cannot read dump header")?;
        let Some(head) = Head::new(&raw) else { return Ok(None) };
        let size = head.cpus_at + head.cpus * head.stride();
        let exact = files.ends_before(file, size)? && !files.ends_before(file, size - 1)?;
        Ok(exact.then_some(head))
    }

    /// Where guest memory is in `file`, of `length` bytes.
    fn extents(&self, file: usize, length: u64) -> Result<Extents> {
        let mut holes = self.holes.clone();
        holes.sort_unstable();
        let mut list = Vec::new();
        let (mut start, mut position) = (0, 0_u64);
        for (hole, behind) in holes.into_iter().chain([(self.end, self.end)]) {
            let Some(size) = hole.checked_sub(start) else {
                return Err(Error::corrupt(format!("Hole in memory at {hole:#x} overlaps another one")));
            };
            let stored = size.min(length.saturating_sub(position));
            list.push(Extent { start, length: stored, origin: Origin::Stored { file, position } });
            position = position.saturating_add(size);
            start = behind;
        }
        Extents::new(list)
    }

    /// The registers of the CPUs.
    fn registers(&self, files: &FileSet, file: usize) -> Result<Cpus> {
        let mut cpus = Cpus::of(self.cpus);
        if self.arch == Some(Arch::Aarch64) {
            // Which registers these are is not known.
            return Ok(cpus);
        }
        for cpu in 0..self.cpus {
            let at = self.cpus_at + cpu * self.stride();
            let read = |at, size| {
                files
                    .read_vec(file, at, size, size)
                    .context(|| format!("Cannot read state of CPU {cpu} at {at}"))
            };
            let control = read(at, CONTROL)?;
            for (at, size, name) in CONTROL_AT {
                let value = if size == 4 { ORDER.u32(&control, at).into() } else { ORDER.u64(&control, at) };
                cpus.set(cpu, name, value);
            }
            let general = read(at + CONTROL + self.gap, GENERAL)?;
            for (name, raw) in GENERAL_AT.iter().zip(general.chunks_exact(8)) {
                cpus.set(cpu, name, ORDER.u64(raw, 0));
            }
        }
        Ok(cpus)
    }
}

/// Opens a `debug.guest` with its `debug.vmem`, in any order.
///
/// # Errors
/// `NoData` if there is no second file; `Corrupt` for holes that overlap;
/// `NotImplemented` for more than two files.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let mut found = None;
    for file in 0..files.count().min(2) {
        if let Some(head) = Head::find(files, file)? {
            found = Some((file, head));
            break;
        }
    }
    let Some((state, head)) = found else { return Ok(None) };
    if files.count() > 2 {
        return Err(Error::not_implemented("VMware state goes with one .vmem file only"));
    }
    if files.count() < 2 {
        return Err(Error::no_data("The memory is not in the state file: give its .vmem file too"));
    }
    let memory = 1 - state;
    // What a file of unknown length holds shows when it is read.
    let extents = Shared::new(head.extents(memory, files.len(memory).unwrap_or(u64::MAX))?);
    let cpus = head.registers(files, state)?;

    let facts = &mut opening.facts;
    facts.set_string("file.description", "VMware state of a guest that panicked")?;
    facts.set_number("arch.byte_order", ORDER.number())?;
    if let Some(arch) = head.arch
        && !facts.is_set("arch.name")
    {
        facts.set_string("arch.name", arch.name())?;
    }
    cpus.describe(facts)?;
    if !facts.is_set("arch.page_size") {
        facts.set_number("arch.page_size", PAGE)?;
    }
    ExtentDump::describe(&extents, true, facts)?;
    let files = files.clone();
    Ok(Some(Box::new(ExtentDump { name: NAME, files, extents, maker: None, omits_zeroes: false })))
}
