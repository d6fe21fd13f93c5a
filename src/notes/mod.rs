//! ELF notes: framing, and what their contents say of CPUs, kernel and hypervisor.
//!
//! ```text
//!   bytes ── notes() ── note ─┬─ noarch: VMCOREINFO, VMCOREINFO_XEN, ERASEINFO
//!                             └─ arch:   CORE (PRSTATUS, task), QEMU, Xen
//! ```
//!
//! Two passes, because the second one needs what the first one finds out (the
//! page size) and what its caller infers between the two (the architecture).
//!
//! | name | type | becomes |
//! | --- | --- | --- |
//! | `VMCOREINFO` | any | `linux.vmcoreinfo.raw` |
//! | `VMCOREINFO_XEN` | any | `xen.vmcoreinfo.raw` |
//! | `ERASEINFO` | any | `file.eraseinfo.raw` |
//! | `CORE` | 1, `NT_PRSTATUS` | CPU registers, see [`prstatus`] |
//! | `CORE` | 4, `NT_TASKSTRUCT` | `linux.task_struct` |
//! | `QEMU` | 0 | control registers, see [`qemu`] |
//! | `Xen`, `.note.Xen` | `XEN_ELFNOTE_*` | see [`xen`] |
//! | `LINUX`, `VMCOREDD`, ... | any | nothing so far |
//!
//! Notes are no format of their own: dump formats hand over whatever bytes
//! they have them in.

use crate::arch::ByteOrder;
use crate::attr::Facts;
use crate::error::{Result, ResultExt};

pub mod prstatus;
pub mod qemu;
pub mod uts;
pub mod xen;

/// Bytes of a note's header: `namesz`, `descsz` and `type`, 32 bits each.
pub const HEADER_SIZE: usize = 12;

/// `NT_PRSTATUS` of `<elf.h>`: state of one CPU.
const NT_PRSTATUS: u32 = 1;
/// `NT_TASKSTRUCT` of `<elf.h>`: a `struct task_struct`.
const NT_TASKSTRUCT: u32 = 4;

/// The sizes and the type of a note (`Elf32_Nhdr`, the same in ELF64 files).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteHeader {
    /// `n_namesz`: bytes of the name.
    pub name_size: u32,
    /// `n_descsz`: bytes of the description.
    pub desc_size: u32,
    /// `n_type`: what the description is, in terms of the name's owner.
    pub kind: u32,
}

impl NoteHeader {
    /// Decodes the header at the start of `bytes`; missing bytes are zero.
    pub fn new(bytes: &[u8], order: ByteOrder) -> Self {
        NoteHeader {
            name_size: order.u32(bytes, 0),
            desc_size: order.u32(bytes, 4),
            kind: order.u32(bytes, 8),
        }
    }

    /// Where the description begins, in bytes from the header.
    pub fn desc_offset(self) -> u64 {
        HEADER_SIZE as u64 + pad(self.name_size)
    }

    /// Where the description ends.
    pub fn desc_end(self) -> u64 {
        self.desc_offset() + u64::from(self.desc_size)
    }

    /// Where the next note begins.
    pub fn next(self) -> u64 {
        self.desc_offset() + pad(self.desc_size)
    }
}

/// Names and descriptions are padded to 4 bytes, whatever the segment's alignment.
fn pad(size: u32) -> u64 {
    u64::from(size).next_multiple_of(4)
}

/// One note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// The name as it is stored, mostly with a terminating NUL.
    pub name: &'a [u8],
    /// What the description is, in terms of the name's owner.
    pub kind: u32,
    /// The description.
    pub desc: &'a [u8],
}

impl Note<'_> {
    /// Whether the name is `name`, with or without one terminating NUL.
    pub fn is_named(&self, name: &str) -> bool {
        name_matches(self.name, name)
    }
}

/// Whether the stored name is `name`, with or without one terminating NUL.
fn name_matches(stored: &[u8], name: &str) -> bool {
    stored.strip_suffix(b"\0").unwrap_or(stored) == name.as_bytes()
}

/// Whether a note with this stored name may mean anything to the passes, so
/// that its description is worth reading.
pub fn is_known(stored_name: &[u8]) -> bool {
    ["VMCOREINFO", "VMCOREINFO_XEN", "ERASEINFO", "CORE", "QEMU", "Xen", ".note.Xen"]
        .iter()
        .any(|name| name_matches(stored_name, name))
}

/// The notes in `bytes`. A note that does not fit ends the iteration: what
/// follows the last note is often garbage.
pub fn notes(bytes: &[u8], order: ByteOrder) -> Notes<'_> {
    Notes { rest: bytes, order }
}

/// Iterator of [`notes`].
pub struct Notes<'a> {
    rest: &'a [u8],
    order: ByteOrder,
}

impl<'a> Iterator for Notes<'a> {
    type Item = Note<'a>;

    fn next(&mut self) -> Option<Note<'a>> {
        let bytes = self.rest;
        if bytes.len() < HEADER_SIZE {
            return None;
        }
        let header = NoteHeader::new(bytes, self.order);
        let desc = usize::try_from(header.desc_offset()).ok()?;
        let name_end = usize::try_from(header.name_size).ok()?.checked_add(HEADER_SIZE)?;
        let note = Note {
            name: bytes.get(HEADER_SIZE..name_end)?,
            kind: header.kind,
            desc: bytes.get(desc..usize::try_from(header.desc_end()).ok()?)?,
        };
        // The padding behind the last description may be missing.
        let next = usize::try_from(header.next()).unwrap_or(usize::MAX).min(bytes.len());
        self.rest = &bytes[next..];
        Some(note)
    }
}

/// First pass: notes that mean the same on every architecture. They are read
/// in `arch.byte_order`.
///
/// # Errors
/// `Cannot set <name>` in front of what the attribute says, such as an
/// invalid page size in VMCOREINFO.
pub fn noarch(facts: &mut Facts<'_>, bytes: &[u8]) -> Result<()> {
    for note in notes(bytes, facts.byte_order()) {
        let (path, what) = if note.is_named("VMCOREINFO") {
            ("linux.vmcoreinfo.raw", "VMCOREINFO")
        } else if note.is_named("VMCOREINFO_XEN") {
            ("xen.vmcoreinfo.raw", "VMCOREINFO_XEN")
        } else if note.is_named("ERASEINFO") {
            ("file.eraseinfo.raw", "ERASEINFO")
        } else {
            continue;
        };
        facts.set_blob(path, note.desc.into()).context(|| alloc::format!("Cannot set {what}"))?;
    }
    Ok(())
}

/// Second pass: notes whose layout depends on `arch.name`, `arch.ptr_size`
/// and `arch.byte_order`.
///
/// # Errors
/// `Corrupt` (`Wrong PRSTATUS size: <bytes>`) for a CPU state that is too
/// short, and what setting the attributes says.
pub fn arch(facts: &mut Facts<'_>, bytes: &[u8]) -> Result<()> {
    for note in notes(bytes, facts.byte_order()) {
        if note.is_named("CORE") {
            match note.kind {
                NT_PRSTATUS => prstatus::store(facts, note.desc)?,
                NT_TASKSTRUCT => facts.set_blob("linux.task_struct", note.desc.into())?,
                _ => {}
            }
        } else if note.is_named("QEMU") {
            qemu::store(facts, note.kind, note.desc)?;
        } else if note.is_named("Xen") {
            xen::note(facts, note.kind, note.desc)?;
        } else if note.is_named(".note.Xen") {
            xen::section_note(facts, note.kind, note.desc)?;
        }
    }
    Ok(())
}

/// Byte order of the kernel's memory, where the CPU states among some notes
/// tell it beyond doubt; see [`prstatus::memory_order`].
pub fn memory_order(facts: &Facts<'_>, bytes: &[u8]) -> Option<ByteOrder> {
    let (arch, order) = (facts.arch()?, facts.byte_order());
    notes(bytes, order)
        .filter(|note| note.kind == NT_PRSTATUS && note.is_named("CORE"))
        .find_map(|note| prstatus::memory_order(arch, order, note.desc))
}

#[cfg(test)]
mod tests;
