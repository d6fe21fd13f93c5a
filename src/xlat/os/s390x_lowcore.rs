//! What a Linux kernel on s390x leaves in its lowcore for who dumps it.
//!
//! ```text
//!   absolute 0x0e18 --> os_info (one page) --> entry 0: text of VMCOREINFO
//!                                              entry 4..6: where the kernel lies
//!   absolute 0x0e0c --> ELF note VMCOREINFO    (kernels without os_info)
//! ```
//!
//! Everything is big-endian (`arch/s390/include/asm/{lowcore,os_info}.h`).
//! Memory is read by kernel physical address, whatever the reader is.

use alloc::format;
use alloc::vec::Vec;

use crate::error::{Error, Result, ResultExt, Status};

/// Absolute address of the pointer to a VMCOREINFO note; not aligned.
const LC_VMCORE_INFO: u64 = 0x0e0c;
/// Absolute address of the pointer to os_info.
const LC_OS_INFO: u64 = 0x0e18;
/// "OSINFOSZ".
const OS_INFO_MAGIC: u64 = 0x4f53_494e_464f_535a;
/// os_info is one page.
const OS_INFO_SIZE: usize = 4096;
/// The checksum of os_info covers what stands behind it.
const OS_INFO_SUMMED: usize = 12;
/// The entries of os_info start here.
const ENTRIES: usize = 32;
/// An entry: address or value, size, checksum of what is there.
const ENTRY_SIZE: usize = 20;
/// Sizes of name and descriptor, and the type.
const NOTE_HEADER: usize = 12;
/// More than any kernel exports: it has one page of text.
const VMCOREINFO_MAX: u64 = 16 << 20;

/// Reads memory of the dump: fills the bytes from a kernel physical address.
///
/// Missing memory is [`Status::NoData`].
pub type ReadMemory<'a> = dyn FnMut(u64, &mut [u8]) -> Result<()> + 'a;

/// What was found of VMCOREINFO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vmcoreinfo {
    /// The text, as `linux.vmcoreinfo.raw` has it.
    Text(Vec<u8>),
    /// A whole ELF note, to be processed as those of a dump.
    Note(Vec<u8>),
}

impl Vmcoreinfo {
    /// The text alone, as `linux.vmcoreinfo.raw` has it.
    pub fn text(&self) -> &[u8] {
        match self {
            Vmcoreinfo::Text(text) => text,
            Vmcoreinfo::Note(note) => {
                let size = |at| match note.get(at..).and_then(<[u8]>::first_chunk) {
                    Some(bytes) => usize::try_from(u32::from_be_bytes(*bytes)).unwrap_or(usize::MAX),
                    None => 0,
                };
                let start =
                    NOTE_HEADER.saturating_add(size(0).checked_next_multiple_of(4).unwrap_or(usize::MAX));
                let text = note.get(start..).unwrap_or_default();
                text.get(..size(4)).unwrap_or(text)
            }
        }
    }
}

/// Finds VMCOREINFO by the pointers in the lowcore: by os_info or, if there is
/// none, by the pointer to the note. None if that leads to another note.
///
/// # Errors
///
/// * `NoData`: there are no pointers, or they lead nowhere.
/// * `Corrupt`: they lead to something that cannot be it.
/// * Those of `read`.
pub fn find_vmcoreinfo(read: &mut ReadMemory<'_>) -> Result<Option<Vmcoreinfo>> {
    match OsInfo::read(read).and_then(|info| info.vmcoreinfo(read)) {
        Ok(text) => Ok(Some(Vmcoreinfo::Text(text))),
        Err(error) if error.status() == Status::NoData => find_note(read),
        Err(error) => Err(error),
    }
}

/// The page in which a kernel describes itself.
#[derive(Clone, Debug)]
pub struct OsInfo {
    page: Vec<u8>,
}

impl OsInfo {
    /// Reads os_info, where the lowcore says that it is.
    ///
    /// # Errors
    ///
    /// * `NoData`: there is no pointer, or it does not lead to os_info.
    /// * `Corrupt`: the pointer or the checksum is wrong.
    /// * Those of `read`.
    pub fn read(read: &mut ReadMemory<'_>) -> Result<OsInfo> {
        let mut pointer = [0; 8];
        read(LC_OS_INFO, &mut pointer).context(|| "Cannot read LC_OS_INFO pointer")?;
        let addr = u64::from_be_bytes(pointer);
        if addr == 0 {
            return Err(Error::no_data("NULL os_info pointer"));
        }
        if addr % OS_INFO_SIZE as u64 != 0 {
            return Err(Error::corrupt(format!("Invalid os_info pointer: {addr:#x}")));
        }
        let info = OsInfo { page: read_vec(read, addr, OS_INFO_SIZE).context(|| "Cannot read os_info")? };
        let magic = info.u64(0);
        if magic != OS_INFO_MAGIC {
            return Err(Error::no_data(format!("Invalid os_info magic: {magic:#x}")));
        }
        check_sum(info.page.get(OS_INFO_SUMMED..).unwrap_or_default(), info.u32(8), "os_info")?;
        Ok(info)
    }

    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.page.get(offset..).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_be_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_be_bytes(self.bytes(offset))
    }

    /// The version of the page, major and minor. Values of the layout exist
    /// from 1.1 on.
    pub fn version(&self) -> (u16, u16) {
        (u16::from_be_bytes(self.bytes(12)), u16::from_be_bytes(self.bytes(14)))
    }

    /// Address (or value), size and checksum of an entry.
    fn entry(&self, number: usize) -> (u64, u64, u32) {
        let at = ENTRIES.saturating_add(number.saturating_mul(ENTRY_SIZE));
        (self.u64(at), self.u64(at.saturating_add(8)), self.u32(at.saturating_add(16)))
    }

    /// The text of VMCOREINFO.
    ///
    /// # Errors
    ///
    /// * `NoData`: there is none.
    /// * `Corrupt`: its checksum is wrong, or it is larger than 16 MiB.
    /// * Those of `read`.
    pub fn vmcoreinfo(&self, read: &mut ReadMemory<'_>) -> Result<Vec<u8>> {
        let (addr, size, sum) = self.entry(0);
        if addr == 0 || size == 0 {
            return Err(Error::no_data("No VMCOREINFO found in os_info"));
        }
        let text = read_sized(read, addr, size)?;
        check_sum(&text, sum, "VMCOREINFO")?;
        Ok(text)
    }

    /// Where the kernel lies, if it says so; kernels since 6.10 do.
    pub fn placement(&self) -> Option<Placement> {
        if self.version() < (1, 1) {
            return None;
        }
        let value = |number| self.entry(number).0;
        let image = value(5);
        (image != 0).then(|| Placement { identity_base: value(4), image, image_phys: value(6) })
    }
}

/// Where a kernel lies whose image and identity mapping may be anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Virtual address of physical address 0 (`IDENTITYBASE`).
    pub identity_base: u64,
    /// Virtual address of the kernel image (`KERNELOFFSET`).
    pub image: u64,
    /// Physical address of the kernel image (`KERNELOFFPHYS`).
    pub image_phys: u64,
}

impl Placement {
    /// The physical address of an address in the image or in the identity
    /// mapping.
    pub const fn phys(&self, addr: u64) -> u64 {
        if addr >= self.image {
            (addr - self.image).wrapping_add(self.image_phys)
        } else {
            addr.wrapping_sub(self.identity_base)
        }
    }
}

/// The note that kernels without os_info point to.
fn find_note(read: &mut ReadMemory<'_>) -> Result<Option<Vmcoreinfo>> {
    const NAME: &[u8] = b"VMCOREINFO";

    let mut pointer = [0; 8];
    read(LC_VMCORE_INFO, &mut pointer).context(|| "Cannot read VMCOREINFO pointer")?;
    let addr = u64::from_be_bytes(pointer);
    if addr == 0 {
        return Err(Error::no_data("NULL VMCOREINFO pointer"));
    }
    let mut sizes = [[0; 4]; 3];
    read(addr, sizes.as_flattened_mut()).context(|| "Cannot read VMCOREINFO note header")?;
    let [name_size, desc_size, _] = sizes.map(|bytes| u64::from(u32::from_be_bytes(bytes)));
    let size = NOTE_HEADER as u64 + name_size.next_multiple_of(4) + desc_size;
    let note = read_sized(read, addr, size)?;

    // As C compares strings of at most so many characters.
    let name = note.get(NOTE_HEADER..).unwrap_or_default();
    let mut expected = NAME.iter().chain([&0]);
    let limit = usize::try_from(name_size).unwrap_or(usize::MAX).min(NAME.len() + 1);
    let same = name.iter().take(limit).all(|byte| expected.next() == Some(byte));
    Ok(same.then_some(Vmcoreinfo::Note(note)))
}

/// Reads what has a size that a file claims.
fn read_sized(read: &mut ReadMemory<'_>, addr: u64, size: u64) -> Result<Vec<u8>> {
    if size > VMCOREINFO_MAX {
        return Err(Error::corrupt(format!("Invalid VMCOREINFO size: {size}")));
    }
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    read_vec(read, addr, size).context(|| "Cannot read VMCOREINFO")
}

/// Reads page by page, so that a size that is a lie costs no memory.
fn read_vec(read: &mut ReadMemory<'_>, addr: u64, size: usize) -> Result<Vec<u8>> {
    const BLOCK: usize = 4096;

    let mut bytes = Vec::new();
    while bytes.len() < size {
        let start = bytes.len();
        let more = BLOCK.min(size - start);
        bytes.try_reserve(more).map_err(|_| Error::system("Cannot allocate VMCOREINFO"))?;
        bytes.resize(start + more, 0);
        let block = bytes.get_mut(start..).unwrap_or_default();
        read(addr.wrapping_add(start as u64), block)?;
    }
    Ok(bytes)
}

fn check_sum(bytes: &[u8], stored: u32, what: &str) -> Result<()> {
    let [sum, other] = checksums(bytes);
    if stored == sum || stored == other {
        return Ok(());
    }
    Err(Error::corrupt(format!("Invalid {what} checksum: {sum:#x} != {stored:#x}")))
}

/// The sum of big-endian words with the carry added at the low end, as the
/// instruction CHECKSUM does it. What is left at the end is filled with zeros;
/// other writers put these bytes into the word in the opposite order.
fn checksums(bytes: &[u8]) -> [u32; 2] {
    let add = |sum: u32, word: [u8; 4]| {
        let (sum, carry) = sum.overflowing_add(u32::from_be_bytes(word));
        sum.wrapping_add(u32::from(carry))
    };
    let (words, rest) = bytes.as_chunks();
    let sum = words.iter().fold(0, |sum, &word| add(sum, word));
    let (mut straight, mut turned) = ([0; 4], [0; 4]);
    straight.iter_mut().zip(rest).for_each(|(place, &byte)| *place = byte);
    turned.iter_mut().zip(rest.iter().rev()).for_each(|(place, &byte)| *place = byte);
    [add(sum, straight), add(sum, turned)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    /// Memory of a machine, from address 0 on.
    struct Memory(Vec<u8>);

    impl Memory {
        fn new() -> Self {
            Memory(vec![0; 0x8000])
        }

        fn put(&mut self, addr: usize, bytes: &[u8]) {
            self.0[addr..addr + bytes.len()].copy_from_slice(bytes);
        }

        /// os_info at 0x2000 with an entry 0 for `text` at 0x4000.
        fn with_os_info(text: &[u8], sum: u32) -> Self {
            let mut memory = Memory::new();
            memory.put(0xe18, &0x2000_u64.to_be_bytes());
            memory.put(0x2000, b"OSINFOSZ");
            memory.put(0x200c, &[0, 1, 0, 1]);
            memory.put(0x2020, &0x4000_u64.to_be_bytes());
            memory.put(0x2028, &(text.len() as u64).to_be_bytes());
            memory.put(0x2030, &sum.to_be_bytes());
            memory.put(0x4000, text);
            memory.seal();
            memory
        }

        /// Puts the right checksum into os_info.
        fn seal(&mut self) {
            let [sum, _] = checksums(&self.0[0x200c..0x3000]);
            self.put(0x2008, &sum.to_be_bytes());
        }

        fn read(&self, addr: u64, bytes: &mut [u8]) -> Result<()> {
            let from = usize::try_from(addr).ok().and_then(|addr| self.0.get(addr..));
            let from = from.and_then(|from| from.get(..bytes.len()));
            bytes.copy_from_slice(from.ok_or(Error::no_data("Not there"))?);
            Ok(())
        }

        fn find(&self) -> Result<Option<Vmcoreinfo>, alloc::string::String> {
            find_vmcoreinfo(&mut |addr, bytes| self.read(addr, bytes)).map_err(|error| error.to_string())
        }

        fn failure(&self) -> (Status, alloc::string::String) {
            let error = find_vmcoreinfo(&mut |addr, bytes| self.read(addr, bytes)).unwrap_err();
            (error.status(), error.to_string())
        }
    }

    #[test]
    fn sum_has_its_carry_added_and_its_tail_either_way() {
        assert_eq!(checksums(&[]), [0, 0]);
        assert_eq!(checksums(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2]), [2, 2]);
        assert_eq!(checksums(&[0, 0, 0, 1, 0xa]), [0xa00_0001, 0xa00_0001]);
        assert_eq!(checksums(&[0xa, 0xb]), [0xa0b_0000, 0xb0a_0000]);
        assert_eq!(checksums(&[0xa, 0xb, 0xc]), [0xa0b_0c00, 0xc0b_0a00]);
    }

    #[test]
    fn text_of_os_info_is_found_with_either_checksum() {
        let text = b"OSRELEASE=6.1";
        for sum in checksums(text) {
            let memory = Memory::with_os_info(text, sum);
            assert_eq!(memory.find(), Ok(Some(Vmcoreinfo::Text(text.to_vec()))));
        }
        let [sum, _] = checksums(text);
        let memory = Memory::with_os_info(text, sum ^ 1);
        let message = format!("Invalid VMCOREINFO checksum: {sum:#x} != {:#x}", sum ^ 1);
        assert_eq!(memory.failure(), (Status::Corrupt, message));
    }

    #[test]
    fn wrong_os_info_is_told_from_none() {
        let mut memory = Memory::with_os_info(b"x", 0);
        memory.put(0x3fff - 0x1000, &[1]);
        let (status, message) = memory.failure();
        assert_eq!(status, Status::Corrupt);
        assert!(message.starts_with("Invalid os_info checksum: 0x"), "{message}");
        memory.put(0xe18, &0x2010_u64.to_be_bytes());
        assert_eq!(memory.failure(), (Status::Corrupt, "Invalid os_info pointer: 0x2010".into()));
        // From here on the note is looked for, too.
        for pointer in [0_u64, 0x3000, 0x8000] {
            memory.put(0xe18, &pointer.to_be_bytes());
            memory.put(0xe0c, &[0; 8]);
            assert_eq!(memory.failure(), (Status::NoData, "NULL VMCOREINFO pointer".into()));
        }
        let read = |memory: &Memory| {
            OsInfo::read(&mut |addr, bytes| memory.read(addr, bytes)).map(|_| ()).unwrap_err().to_string()
        };
        memory.put(0xe18, &[0; 8]);
        assert_eq!(read(&memory), "NULL os_info pointer");
        memory.put(0xe18, &0x3000_u64.to_be_bytes());
        assert_eq!(read(&memory), "Invalid os_info magic: 0x0");
        memory.put(0xe18, &0x9000_u64.to_be_bytes());
        assert_eq!(read(&memory), "Cannot read os_info: Not there");
        memory.0.truncate(0xe1f);
        assert_eq!(read(&memory), "Cannot read LC_OS_INFO pointer: Not there");
    }

    #[test]
    fn claimed_sizes_cost_no_memory() {
        let mut memory = Memory::with_os_info(b"x", 0);
        memory.put(0x2028, &u64::MAX.to_be_bytes());
        memory.seal();
        assert_eq!(memory.failure().0, Status::Corrupt);
        memory.put(0x2028, &0x10_0000_u64.to_be_bytes());
        memory.seal();
        // No such memory: the note is looked for, and there is none.
        assert_eq!(memory.failure().0, Status::NoData);
    }

    #[test]
    fn note_is_found_where_there_is_no_os_info() {
        let mut memory = Memory::new();
        memory.put(0xe0c, &0x5000_u64.to_be_bytes());
        let note = [&[0, 0, 0, 11, 0, 0, 0, 2, 0, 0, 0, 0][..], b"VMCOREINFO\0\0ab"].concat();
        memory.put(0x5000, &note);
        assert_eq!(memory.find(), Ok(Some(Vmcoreinfo::Note(note.clone()))));
        assert_eq!(Vmcoreinfo::Note(note).text(), b"ab");
        memory.put(0x500c, b"W");
        assert_eq!(memory.find(), Ok(None), "another note");
        memory.put(0x5000, &[0xff; 8]);
        assert_eq!(memory.failure().0, Status::Corrupt, "sizes that cannot be");
    }

    #[test]
    fn text_of_a_note_that_is_cut_is_what_there_is() {
        let note = |bytes: &[u8]| Vmcoreinfo::Note(bytes.to_vec());
        assert_eq!(note(&[]).text(), b"");
        assert_eq!(note(&[0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, b'a']).text(), b"a");
        assert_eq!(note(&[0xff; 12]).text(), b"");
        assert_eq!(Vmcoreinfo::Text(b"x=y".to_vec()).text(), b"x=y");
    }

    #[test]
    fn kernel_says_where_it_lies_from_version_1_1_on() {
        let mut memory = Memory::with_os_info(b"x", 0);
        for (entry, value) in [(4, 0x1_0000_u64), (5, 0x3ff_e000_0000), (6, 0x700_0000)] {
            memory.put(0x2020 + entry * 20, &value.to_be_bytes());
        }
        let placement = |memory: &mut Memory| {
            memory.seal();
            OsInfo::read(&mut |addr, bytes| memory.read(addr, bytes)).unwrap().placement()
        };
        let found = placement(&mut memory).unwrap();
        assert_eq!(found.phys(0x3ff_e000_1234), 0x700_1234);
        assert_eq!(found.phys(0x1_0abc), 0xabc);
        memory.put(0x2020 + 5 * 20, &[0; 8]);
        assert_eq!(placement(&mut memory), None, "an image that is not relocated");
        memory.put(0x2020 + 5 * 20, &[1; 8]);
        memory.put(0x200e, &[0, 0]);
        assert_eq!(placement(&mut memory), None, "version 1.0 has no such entries");
    }
}
