//! Dumps of a Xen domain before Xen 3.1 made them ELF files.
//!
//! ```text
//! header      24 bytes: magic, counts of CPUs and pages, three positions
//! contexts    one vcpu_guest_context for each CPU
//! index       one unsigned long for each page; all ones: no page
//! pages       as many, each of the size of a page
//! ```
//!
//! | domain | entry *i* of the index | addresses |
//! | --- | --- | --- |
//! | PV | the machine frame (MFN) of page *i* | of the machine |
//! | HVM | whether there is a page *i*, which is its frame | of the guest |
//!
//! Which frame of the kernel a machine frame is, is nowhere in the file: this
//! takes the domain's own p2m table, whose root the user gives (`xen.p2m_mfn`).
//! Layout: spec 13 §8.1, after the crash utility and Xen's libxc.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::extent::{Extent, ExtentDump, Extents, Origin};
use super::{Format, Opening};
use crate::arch::{Arch, ByteOrder};
use crate::attr::Facts;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;
use crate::notes;
use crate::sync::Shared;

/// Name of this format (attribute `file.format`).
pub const NAME: &str = "xc_core";

const ORDER: ByteOrder = ByteOrder::Little;
/// Bytes of the header.
const HEADER: usize = 24;
const MAGIC_PV: u32 = 0xf00f_ebed;
const MAGIC_HVM: u32 = 0xf00f_ebee;

/// `xen.type`: a dump of one domain.
const TYPE_DOMAIN: u64 = 2;
/// `xen.xlat`: addresses of the domain are those of the dump.
const XLAT_AUTO: u64 = 0;
/// `xen.xlat`: the domain sees other frame numbers than the machine has.
const XLAT_NONAUTO: u64 = 1;

/// Bytes of a page, but for ia64.
const PAGE: u64 = 4096;
/// Bytes of a page on ia64.
const PAGE_IA64: u64 = 16384;
/// Bytes of the index that are read in one go; a multiple of both word sizes.
const CHUNK: u64 = 1 << 16;
/// CPUs whose registers are read, at most; Xen 3.0 had up to 64 in a domain.
const MOST_CPUS: u64 = 4096;

/// `struct xc_core_header`.
struct Header {
    hvm: bool,
    vcpus: u64,
    pages: u64,
    /// Byte positions of the three parts.
    contexts_at: u64,
    index_at: u64,
    pages_at: u64,
}

impl Header {
    /// Decodes the header of a file that has one of the magic numbers.
    fn new(raw: &[u8; HEADER]) -> Option<Header> {
        let at = |offset| u64::from(ORDER.u32(raw, offset));
        let hvm = match ORDER.u32(raw, 0) {
            MAGIC_PV => false,
            MAGIC_HVM => true,
            _ => return None,
        };
        Some(Header {
            hvm,
            vcpus: at(4),
            pages: at(8),
            contexts_at: at(12),
            index_at: at(16),
            pages_at: at(20),
        })
    }

    /// Bytes of an index entry: the `unsigned long` of the host that dumped.
    fn word(&self) -> Result<u64> {
        if self.vcpus == 0 {
            return Err(Error::corrupt("Number of CPUs at 4 is 0"));
        }
        let room = self.pages_at.checked_sub(self.index_at);
        let word = room.map(|room| if room >= 8 * self.pages { 8 } else { 4 });
        word.filter(|word| room >= Some(word * self.pages)).ok_or_else(|| {
            Error::corrupt(format!(
                "Index of {} pages at {:#x} reaches beyond the first page at {:#x}",
                self.pages, self.index_at, self.pages_at
            ))
        })
    }

    /// The architecture, if the CPU contexts fill the room in front of the
    /// index as those of one architecture do.
    fn arch(&self) -> Option<Arch> {
        let room = self.index_at.checked_sub(self.contexts_at)?;
        let size = room.checked_div(self.vcpus).filter(|size| size * self.vcpus == room)?;
        notes::xen::arch_of_context(size)
    }

    /// How many pages begin before the end of the file. What a header claims
    /// beyond that takes neither memory nor time.
    fn stored_pages(&self, files: &FileSet, page: u64) -> Result<u64> {
        let (mut there, mut not) = (0, self.pages);
        while there < not {
            let middle = there.midpoint(not);
            if files.ends_before(0, self.pages_at + middle * page)? {
                not = middle;
            } else {
                there = middle + 1;
            }
        }
        Ok(there)
    }

    /// Frame and place of each of the first `count` pages, sorted by frames.
    fn frames(&self, files: &FileSet, word: u64, count: u64) -> Result<Vec<(u64, u64)>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; if count == 0 { 0 } else { CHUNK as usize }];
        let mut index = 0;
        while index < count {
            let position = self.index_at + index * word;
            let entries = (CHUNK / word).min(count - index);
            let chunk = buffer.get_mut(..(entries * word) as usize).unwrap_or_default();
            files.read(0, position, chunk).context(|| format!("Cannot read Xen index at {position}"))?;
            for (raw, page) in chunk.chunks_exact(word as usize).zip(index..) {
                let entry = ORDER.uint(raw);
                let valid = entry != u64::MAX >> (64 - 8 * word);
                if valid {
                    frames.push((if self.hvm { page } else { entry }, page));
                }
            }
            index += entries;
        }
        frames.sort_unstable();
        // One frame in several entries is what the first one says.
        frames.dedup_by_key(|entry| entry.0);
        Ok(frames)
    }

    /// Where the pages are.
    fn extents(&self, files: &FileSet, page: u64) -> Result<Extents> {
        let word = self.word()?;
        let count = self.stored_pages(files, page)?;
        let mut list: Vec<Extent> = Vec::new();
        for (frame, place) in self.frames(files, word, count)? {
            // A frame beyond 64 bits is none that anybody can ask for.
            let Some(start) = frame.checked_mul(page) else { continue };
            let position = self.pages_at + place * page;
            let next = list.last_mut().filter(|last| {
                let Origin::Stored { position: first, .. } = last.origin else { return false };
                start.checked_sub(last.length) == Some(last.start) && first + last.length == position
            });
            match next {
                Some(last) => last.length += page,
                None => {
                    list.push(Extent { start, length: page, origin: Origin::Stored { file: 0, position } })
                }
            }
        }
        Extents::new(list)
    }

    /// The contexts of the CPUs that are in the file as a whole.
    fn contexts(&self, files: &FileSet, size: u64) -> Result<Vec<u8>> {
        let mut contexts = Vec::new();
        for cpu in 0..self.vcpus.min(MOST_CPUS) {
            let position = self.contexts_at + cpu * size;
            if files.ends_before(0, position + size - 1)? {
                break;
            }
            let context = files.read_vec(0, position, size, size);
            contexts.extend(context.context(|| format!("Cannot read context of CPU {cpu} at {position}"))?);
        }
        Ok(contexts)
    }

    /// Architecture and registers of the CPUs.
    fn describe_cpus(&self, files: &FileSet, facts: &mut Facts<'_>) -> Result<()> {
        let arch = self.arch();
        if let Some(arch) = arch {
            if !facts.is_set("arch.name") {
                facts.set_string("arch.name", arch.name())?;
                facts.set_string("arch.inferred", "size of the CPU contexts of Xen")?;
            }
            if facts.arch() == Some(arch) {
                let size = (self.index_at - self.contexts_at) / self.vcpus;
                notes::xen::prstatus(facts, &self.contexts(files, size)?)?;
            }
        }
        if self.vcpus <= MOST_CPUS {
            facts.set_number("cpu.number", self.vcpus)?;
        }
        Ok(())
    }
}

/// Opens a Xen domain dump of the time before ELF.
///
/// # Errors
/// `Cannot read dump header` and its kind; `Corrupt` for a domain without CPUs
/// and an index that overlaps the pages; `NotImplemented` (`Multiple files not
/// implemented`).
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    let mut raw = [0; HEADER];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    let Some(header) = Header::new(&raw) else { return Ok(None) };
    let facts = &mut opening.facts;
    facts.set_string("file.description", if header.hvm { "Xen xc_core (HVM)" } else { "Xen xc_core" })?;
    if files.count() > 1 {
        return Err(Error::not_implemented("Multiple files not implemented"));
    }
    header.word()?;

    facts.set_number("arch.byte_order", ORDER.number())?;
    header.describe_cpus(files, facts)?;
    let ia64 = match facts.arch() {
        Some(arch) => arch == Arch::Ia64,
        None => facts.geometry().page_shift == Some(PAGE_IA64.trailing_zeros()),
    };
    let page = if ia64 { PAGE_IA64 } else { PAGE };
    if !facts.is_set("arch.page_size") {
        facts.set_number("arch.page_size", page)?;
    }
    if header.hvm {
        facts.set_number("xen.xlat", XLAT_AUTO)?;
    } else {
        facts.set_number("xen.type", TYPE_DOMAIN)?;
        facts.set_number("xen.xlat", XLAT_NONAUTO)?;
    }
    let extents = Shared::new(header.extents(files, page)?);
    ExtentDump::describe(&extents, true, facts)?;
    let files = files.clone();
    Ok(Some(Box::new(ExtentDump { name: NAME, files, extents, maker: None, omits_zeroes: false })))
}
