//! ELF notes and what stands in them.
//!
//! | payload | function |
//! | --- | --- |
//! | any note, also with lying sizes | [`Note`], [`NoteWriter`] |
//! | NT_PRSTATUS | [`prstatus`], layouts in [`PrstatusLayout`] |
//! | VMCOREINFO text | [`Vmcoreinfo`] |
//! | Xen crash info, crash registers, version, header | [`xen`] |
//! | QEMU CPU state | [`QemuCpu`] |
//! | s390 os_info block | [`OsInfo`] |
//! | utsname of 6 x 65 bytes | [`Utsname`] |

use crate::endian::{ByteOrder, Bytes};

mod os_info;
mod prstatus;
mod utsname;
mod vmcoreinfo;
pub mod xen;

pub use os_info::{OsInfo, checksum_reference, checksum_s390};
pub use prstatus::{PrstatusLayout, RegisterSlot, prstatus, prstatus_layout};
pub use utsname::Utsname;
pub use vmcoreinfo::Vmcoreinfo;

/// NT_PRSTATUS (name `CORE`).
pub const NT_PRSTATUS: u32 = 1;
/// NT_TASKSTRUCT (name `CORE`).
pub const NT_TASKSTRUCT: u32 = 4;

/// One note; the sizes are right unless told otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    name: Vec<u8>,
    note_type: u32,
    desc: Vec<u8>,
    terminated: bool,
    padded: bool,
    namesz: Option<u32>,
    descsz: Option<u32>,
}

impl Note {
    /// A note whose name ends with NUL and counts it, as usual.
    pub fn new(name: impl AsRef<[u8]>, note_type: u32, desc: impl Into<Vec<u8>>) -> Self {
        Note {
            name: name.as_ref().to_vec(),
            note_type,
            desc: desc.into(),
            terminated: true,
            padded: true,
            namesz: None,
            descsz: None,
        }
    }

    /// A `CORE` note.
    pub fn core(note_type: u32, desc: impl Into<Vec<u8>>) -> Self {
        Self::new("CORE", note_type, desc)
    }

    /// A `VMCOREINFO` note, type 0.
    pub fn vmcoreinfo(text: impl AsRef<[u8]>) -> Self {
        Self::new("VMCOREINFO", 0, text.as_ref())
    }

    /// Leaves out the NUL behind the name.
    pub fn unterminated(mut self) -> Self {
        self.terminated = false;
        self
    }

    /// Leaves out the padding behind the desc.
    pub fn unpadded(mut self) -> Self {
        self.padded = false;
        self
    }

    /// Writes this `namesz` whatever the name is.
    pub fn namesz(mut self, namesz: u32) -> Self {
        self.namesz = Some(namesz);
        self
    }

    /// Writes this `descsz` whatever the desc is.
    pub fn descsz(mut self, descsz: u32) -> Self {
        self.descsz = Some(descsz);
        self
    }
}

/// Writes notes one behind the other: 12 bytes of header, name and desc each
/// padded to 4 bytes, the same in ELF32 and ELF64.
#[derive(Clone, Debug, Default)]
pub struct NoteWriter {
    out: Bytes,
}

impl NoteWriter {
    /// No notes yet.
    pub fn new(order: ByteOrder) -> Self {
        NoteWriter { out: Bytes::new(order) }
    }

    /// Adds a note.
    pub fn note(mut self, note: Note) -> Self {
        let mut name = note.name;
        if note.terminated {
            name.push(0);
        }
        self.out.push_u32(note.namesz.unwrap_or(name.len() as u32));
        self.out.push_u32(note.descsz.unwrap_or(note.desc.len() as u32));
        self.out.push_u32(note.note_type);
        self.out.push_bytes(&name);
        self.out.grow(self.out.len().next_multiple_of(4));
        self.out.push_bytes(&note.desc);
        if note.padded {
            self.out.grow(self.out.len().next_multiple_of(4));
        }
        self
    }

    /// Adds a note with a terminated name.
    pub fn push(self, name: &str, note_type: u32, desc: impl Into<Vec<u8>>) -> Self {
        self.note(Note::new(name, note_type, desc))
    }

    /// Adds bytes as they are, such as the zero tail of a note segment.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.out.push_bytes(bytes);
        self
    }

    /// The bytes of all notes.
    pub fn finish(self) -> Vec<u8> {
        self.out.into_vec()
    }
}

/// The desc of a `QEMU` note (one a vCPU on x86), always little-endian.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QemuCpu {
    /// rax rbx rcx rdx rsi rdi rsp rbp r8 .. r15
    pub general: [u64; 16],
    /// Instruction pointer.
    pub rip: u64,
    /// Flags.
    pub rflags: u64,
    /// cr0 .. cr4
    pub cr: [u64; 5],
    /// Base of the kernel's GS; only newer versions of the structure have it.
    pub kernel_gs_base: Option<u64>,
}

impl QemuCpu {
    /// The structure, version 1: 432 bytes, or 440 with `kernel_gs_base`.
    pub fn to_bytes(&self) -> Vec<u8> {
        let size = if self.kernel_gs_base.is_some() { 440 } else { 432 };
        let mut out = Bytes::zeroed(ByteOrder::Little, size);
        out.put_u32(0, 1).put_u32(4, size as u32);
        for (i, value) in self.general.iter().enumerate() {
            out.put_u64(8 + 8 * i, *value);
        }
        out.put_u64(136, self.rip).put_u64(144, self.rflags);
        for (i, value) in self.cr.iter().enumerate() {
            out.put_u64(392 + 8 * i, *value);
        }
        if let Some(base) = self.kernel_gs_base {
            out.put_u64(432, base);
        }
        out.into_vec()
    }
}

#[cfg(test)]
mod tests;
