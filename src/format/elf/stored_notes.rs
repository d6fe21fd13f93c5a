//! Notes where they are in a file: segments and sections full of them.

use alloc::format;

use crate::arch::ByteOrder;
use crate::error::{Result, ResultExt};
use crate::io::FileSet;
use crate::notes::{self, NoteHeader};

/// Notes up to this many bytes are looked at as one piece. Larger ones are
/// walked through note by note, so that a device dump (`VMCOREDD`) of many
/// MiB is skipped and not read.
const WHOLE: u64 = 16 << 20;

/// How far notes may reach behind the end of the file (into zeroes).
const BEHIND: u64 = 1 << 20;

/// Bytes of notes that one dump has at most; a crafted file could list the
/// same ones over and over again.
const MOST_BYTES: u64 = 1 << 30;

/// Notes that are walked through singly, at most.
const MOST_NOTES: u32 = 1 << 20;

/// The longest name that any known note has, with its NUL and some more.
const NAME: usize = 20;

/// Reads notes of one file within bounds of time and memory.
pub struct StoredNotes<'a> {
    files: &'a FileSet,
    order: ByteOrder,
    bytes_left: u64,
    notes_left: u32,
}

impl<'a> StoredNotes<'a> {
    /// For one pass over all notes of the file.
    pub fn new(files: &'a FileSet, order: ByteOrder) -> Self {
        let bytes_left = files.len(0).unwrap_or(MOST_BYTES).saturating_add(BEHIND).min(MOST_BYTES);
        StoredNotes { files, order, bytes_left, notes_left: MOST_NOTES }
    }

    /// Calls `process` with the notes in `size` bytes at `offset`, in one or
    /// more portions. `unreadable` is the message for bytes that cannot be read.
    ///
    /// # Errors
    /// What reading says behind `unreadable()`, and those of `process`.
    pub fn process(
        &mut self,
        (offset, size): (u64, u64),
        unreadable: impl Fn() -> alloc::string::String,
        mut process: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let size = match self.files.len(0) {
            Some(len) if offset >= len => return Ok(()),
            Some(len) => size.min((len - offset).saturating_add(BEHIND)),
            None => size.min(WHOLE),
        };
        if size <= WHOLE {
            let Some(left) = self.bytes_left.checked_sub(size) else { return Ok(()) };
            self.bytes_left = left;
            return self.portion(offset, size, &unreadable, &mut process);
        }
        let mut at = 0;
        while size - at >= notes::HEADER_SIZE as u64 && self.notes_left > 0 {
            self.notes_left -= 1;
            let Some(position) = offset.checked_add(at) else { break };
            let mut start = [0; notes::HEADER_SIZE + NAME];
            self.files.read(0, position, &mut start).context(&unreadable)?;
            let header = NoteHeader::new(&start, self.order);
            if size - at < header.desc_end() {
                break;
            }
            let name = usize::try_from(header.name_size).ok();
            let name = name.and_then(|size| start[notes::HEADER_SIZE..].get(..size));
            if name.is_some_and(notes::is_known) && header.desc_end() <= WHOLE.min(self.bytes_left) {
                self.bytes_left -= header.desc_end();
                self.portion(position, header.desc_end(), &unreadable, &mut process)?;
            }
            at = (at + header.next()).min(size);
        }
        Ok(())
    }

    fn portion(
        &self,
        position: u64,
        size: u64,
        unreadable: &impl Fn() -> alloc::string::String,
        process: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        if let Some(bytes) = self.files.borrow(0, position, length) {
            return process(bytes);
        }
        process(&self.files.read_vec(0, position, size, WHOLE).context(unreadable)?)
    }
}

/// Message for a note segment that cannot be read.
pub fn unreadable_segment(offset: u64) -> impl Fn() -> alloc::string::String {
    move || format!("Cannot read ELF notes at {offset}")
}
