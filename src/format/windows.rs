//! Windows crash dumps (`MEMORY.DMP`), which QEMU writes too (`win-dmp`).
//!
//! ```text
//! header      0x2000 bytes (64 bits) or 0x1000: machine, bug check, kind, runs
//! pages       kind 1: those of the runs, one after the other
//!
//! header
//! summary     "SDMP" or "FDMP", "DUMP", position of the pages, bitmap
//! pages       those whose bit is set
//! ```
//!
//! Pages are read where the dump is one of memory at physical addresses; small
//! dumps have none, and those of the older kernel kind are not known. Nothing
//! here knows the kernel of Windows: WinDbg and volatility3 do.
//! Layout: spec 13 §9.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::extent::{Extent, ExtentDump, Extents, Origin};
use super::{Format, Opening};
use crate::arch::{Arch, ByteOrder};
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "windows";

const ORDER: ByteOrder = ByteOrder::Little;
/// Bytes of a page on x86 and ARM.
const PAGE: u64 = 4096;
/// Bytes of the bitmap that are read in one go.
const CHUNK: u64 = 64 << 10;
/// CPUs of a machine, at most; Windows has fewer.
const MOST_CPUS: u64 = 1 << 16;

/// A field of the header: byte position and width.
type Place = (u64, usize);

/// `DUMP_HEADER64` or `DUMP_HEADER32`, little endian.
struct Layout {
    signature: &'static [u8; 8],
    bits: u32,
    /// Bytes of the header.
    size: u64,
    build: Place,
    cr3: Place,
    machine: Place,
    cpus: Place,
    bug_check: Place,
    kind: Place,
    /// Number of runs.
    runs: Place,
    /// Position of the first run, and the width of its two numbers.
    first_run: Place,
    /// Runs for which there is room.
    most_runs: u64,
}

const LAYOUTS: [Layout; 2] = [
    Layout {
        signature: b"PAGEDU64",
        bits: 64,
        size: 0x2000,
        build: (0xc, 4),
        cr3: (0x10, 8),
        machine: (0x30, 4),
        cpus: (0x34, 4),
        bug_check: (0x38, 4),
        kind: (0xf98, 4),
        runs: (0x88, 4),
        first_run: (0x98, 8),
        // Up to the context record.
        most_runs: (0x348 - 0x98) / 16,
    },
    Layout {
        signature: b"PAGEDUMP",
        bits: 32,
        size: 0x1000,
        build: (0xc, 4),
        cr3: (0x10, 4),
        machine: (0x20, 4),
        cpus: (0x24, 4),
        bug_check: (0x28, 4),
        kind: (0xf88, 4),
        runs: (0x64, 4),
        first_run: (0x6c, 4),
        // The memory block has 700 bytes.
        most_runs: (700 - 8) / 8,
    },
];

/// `DumpType`.
const KINDS: [(u64, &str); 7] = [
    (FULL, "full"),
    (2, "kernel"),
    (3, "small"),
    (4, "triage"),
    (5, "full with bitmap"),
    (6, "kernel with bitmap"),
    (7, "automatic"),
];
const FULL: u64 = 1;

/// `MachineImageType`: the numbers of PE files.
const MACHINES: [(u64, Arch); 3] = [(0x8664, Arch::X86_64), (0xaa64, Arch::Aarch64), (0x14c, Arch::Ia32)];

/// What is between the header and the pages of a dump with a bitmap.
const SUMMARY: [[u8; 8]; 2] = [*b"SDMPDUMP", *b"FDMPDUMP"];
/// Fields of the summary, from its beginning on, of 8 bytes each: position of
/// the first page, and bits of the bitmap; and where that begins.
const SUMMARY_FIRST_PAGE: u64 = 0x20;
const SUMMARY_BITS: u64 = 0x30;
const SUMMARY_BITMAP: u64 = 0x38;

/// The header of a dump.
struct Header<'a> {
    layout: &'static Layout,
    files: &'a FileSet,
}

impl Header<'_> {
    fn number(&self, (position, width): Place) -> Result<u64> {
        let mut raw = [0; 8];
        let bytes = raw.get_mut(..width).unwrap_or_default();
        self.files.read(0, position, bytes).context(|| format!("Cannot read dump header at {position}"))?;
        Ok(ORDER.u64(&raw, 0))
    }

    fn arch(&self) -> Result<Option<Arch>> {
        let machine = self.number(self.layout.machine)?;
        Ok(MACHINES.iter().find(|row| row.0 == machine).map(|row| row.1))
    }

    /// What kind of dump it is, of which machine, and why it was written.
    fn describe(&self) -> Result<String> {
        let layout = self.layout;
        let kind = self.number(layout.kind)?;
        let kind: Cow<'_, str> = match KINDS.iter().find(|row| row.0 == kind) {
            Some(row) => row.1.into(),
            None => format!("kind {kind:#x}").into(),
        };
        let machine: Cow<'_, str> = match self.arch()? {
            Some(arch) => arch.name().into(),
            None => format!("machine {:#x}", self.number(layout.machine)?).into(),
        };
        Ok(format!(
            "Windows crash dump ({} bits, {kind}, {machine}, build {}, {} CPUs, cr3 {:#x}, bug check {:#x})",
            layout.bits,
            self.number(layout.build)?,
            self.number(layout.cpus)?,
            self.number(layout.cr3)?,
            self.number(layout.bug_check)?
        ))
    }

    /// Where memory is; `None` if the dump has none that can be read.
    fn extents(&self) -> Result<Option<Extents>> {
        if self.number(self.layout.kind)? == FULL {
            return self.runs().map(Some);
        }
        let mut raw = [0; 8];
        let at = self.layout.size;
        self.files.read(0, at, &mut raw).context(|| format!("Cannot read summary at {at}"))?;
        // Of 32 bits, it is not known how wide the fields are.
        match self.layout.bits == 64 && SUMMARY.contains(&raw) {
            true => self.bitmap(at).map(Some),
            false => Ok(None),
        }
    }

    /// Adds pages that are stored from `position` on, as far as they are;
    /// whether more can follow.
    fn push(&self, list: &mut Vec<Extent>, page: u64, count: u64, position: u64) -> Result<bool> {
        let beyond = || Error::corrupt(format!("{count} pages from {page:#x} on go beyond 64 bits"));
        let start = page.checked_mul(PAGE).ok_or_else(beyond)?;
        let length = count.checked_mul(PAGE).ok_or_else(beyond)?;
        let end = position.checked_add(length).ok_or_else(beyond)?;
        let origin = Origin::Stored { file: 0, position };
        if length == 0 || !self.files.ends_before(0, end - 1)? {
            list.push(Extent { start, length, origin });
            return Ok(true);
        }
        // Of a file that was cut, the whole pages.
        let (mut there, mut not) = (0, count);
        while there < not {
            let middle = there.midpoint(not);
            if self.files.ends_before(0, position + middle * PAGE + (PAGE - 1))? {
                not = middle;
            } else {
                there = middle + 1;
            }
        }
        list.push(Extent { start, length: there * PAGE, origin });
        Ok(false)
    }

    /// Kind 1: the header lists the runs.
    fn runs(&self) -> Result<Extents> {
        let count = self.number(self.layout.runs)?;
        let (first, width) = self.layout.first_run;
        if count > self.layout.most_runs {
            let at = self.layout.runs.0;
            return Err(Error::corrupt(format!("{count} runs of memory at {at:#x}")));
        }
        let mut list = Vec::new();
        let mut position = self.layout.size;
        for run in 0..count {
            let at = first + run * 2 * width as u64;
            let page = self.number((at, width))?;
            let pages = self.number((at + width as u64, width))?;
            if !self.push(&mut list, page, pages, position)? {
                break;
            }
            position += pages * PAGE;
        }
        Extents::new(list)
    }

    /// The other kinds: a bit for each page.
    fn bitmap(&self, summary: u64) -> Result<Extents> {
        let mut position = self.number((summary + SUMMARY_FIRST_PAGE, 8))?;
        let bits = self.number((summary + SUMMARY_BITS, 8))?;
        let bitmap = summary + SUMMARY_BITMAP;
        if position < bitmap || bits.div_ceil(8) > position - bitmap {
            return Err(Error::corrupt(format!(
                "Bitmap of {bits} bits at {bitmap:#x} reaches beyond the first page at {position:#x}"
            )));
        }
        let mut list = Vec::new();
        let mut buffer = vec![0; CHUNK as usize];
        // The run of set bits that has not ended yet.
        let mut run: Option<(u64, u64)> = None;
        let mut page = 0;
        while page < bits && !self.files.ends_before(0, bitmap + page / 8)? {
            let at = bitmap + page / 8;
            let here = (bits - page).min(CHUNK * 8);
            let bytes = buffer.get_mut(..here.div_ceil(8) as usize).unwrap_or_default();
            self.files.read(0, at, bytes).context(|| format!("Cannot read bitmap at {at}"))?;
            let end = page + here;
            for byte in bytes {
                let here = (end - page).min(8);
                // Most bytes have pages that are all there, or none.
                let step = if matches!(*byte, 0 | 0xff) { here } else { 1 };
                for bit in (0..here).step_by(step as usize) {
                    if *byte >> bit & 1 != 0 {
                        let (start, count) = run.unwrap_or((page + bit, 0));
                        run = Some((start, count + step));
                    } else if let Some((start, count)) = run.take() {
                        if !self.push(&mut list, start, count, position)? {
                            return Extents::new(list);
                        }
                        position += count * PAGE;
                    }
                }
                page += here;
            }
        }
        if let Some((start, count)) = run {
            self.push(&mut list, start, count, position)?;
        }
        Extents::new(list)
    }
}

/// Opens a Windows crash dump.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` for dumps without memory, with
/// what is in the header; `Corrupt` for runs and bitmaps that cannot be.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let mut raw = [0; 8];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    let Some(layout) = LAYOUTS.iter().find(|layout| *layout.signature == raw) else { return Ok(None) };
    let header = Header { layout, files };
    let description = header.describe()?;
    let facts = &mut opening.facts;
    facts.set_string("file.description", &description)?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    let Some(extents) = header.extents()? else {
        return Err(Error::not_implemented(format!(
            "{description} has no memory that can be read here; read it with WinDbg or volatility3"
        )));
    };
    let extents = Shared::new(extents);
    facts.set_number("arch.byte_order", ORDER.number())?;
    if let Some(arch) = header.arch()?
        && !facts.is_set("arch.name")
    {
        facts.set_string("arch.name", arch.name())?;
    }
    if !facts.is_set("arch.page_size") {
        facts.set_number("arch.page_size", PAGE)?;
    }
    let cpus = header.number(layout.cpus)?;
    if cpus <= MOST_CPUS {
        facts.set_number("cpu.number", cpus)?;
    }
    ExtentDump::describe(&extents, false, facts)?;
    let files = files.clone();
    Ok(Some(Box::new(ExtentDump { name: NAME, files, extents, maker: None, omits_zeroes: false })))
}
