//! The chain of page records, followed as far as somebody needs it.
//!
//! ```text
//! dp_address u64 │ dp_size u32 │ dp_flags u32 │ dp_size bytes │ next record
//! ```
//!
//! Only the records themselves tell where the next one is, so a page is found
//! by following them from the first one on. What was found is kept for all
//! clones, and nobody waits for anybody:
//!
//! 1. look into the index; take note of where it ends (one short lock);
//! 2. follow the records from there, unlocked, up to the page or for one batch;
//! 3. put the batch at the end of the index (one short lock). Whoever comes
//!    second finds that the index has grown, and adds what is beyond that only.
//!
//! Two clones that look for new pages at the same time read the same few
//! descriptors twice. In return there is no right to scan that somebody could
//! hold while reading, and so nothing to wait for and no way to a deadlock.

use alloc::format;
use alloc::vec::Vec;

use super::index::{Index, Record};
use crate::arch::ByteOrder;
use crate::attr::BitSource;
use crate::error::{Error, Result, ResultExt, Status};
use crate::io::FileSet;
use crate::sync::{Fault, RwLock, Shared, broken};

/// Size of a descriptor in bytes.
pub const DESCRIPTOR_BYTES: u64 = 16;
/// Of a descriptor that is cut off so much must be there: without the first
/// byte of its flags it describes nothing.
const DESCRIPTOR_MIN: u64 = 13;
/// Records that are followed before others may see them.
const BATCH: usize = 512;

/// `DUMP_DH_RAW`: the page stands there as it is.
pub const RAW: u32 = 1;
/// `DUMP_DH_COMPRESSED`: it is packed by the method of the dump.
pub const COMPRESSED: u32 = 2;
/// `DUMP_DH_END`: not a page, but the end.
const END: u32 = 4;
/// Set by the variants of Mission Critical Linux (`MCLX_V0`, `MCLX_V1`) in
/// records whose address is a PFN.
const ADDRESS_IS_PFN: u32 = 0xc000_0000;

/// A page descriptor (`struct __dump_page`).
#[derive(Clone, Copy, Debug)]
pub struct Descriptor {
    /// Physical address of the page, or its PFN (`dp_address`).
    pub address: u64,
    /// Bytes of data that follow (`dp_size`).
    pub size: u32,
    /// What they are (`dp_flags`).
    pub flags: u32,
}

impl Descriptor {
    fn pfn(&self, page_shift: u32) -> u64 {
        if self.flags & ADDRESS_IS_PFN != 0 { self.address } else { self.address >> page_shift }
    }
}

/// The page records of a dump.
pub struct Records {
    pub files: Shared<FileSet>,
    order: ByteOrder,
    page_shift: u32,
    known: RwLock<Known>,
}

/// What is known of the chain.
struct Known {
    index: Index,
    /// Position of the first record that is not in the index.
    next: u64,
    /// There is no record at `next`.
    ended: bool,
    /// One above the highest PFN in the index.
    end_pfn: u64,
}

/// Records that follow each other in the file.
struct Batch {
    records: Vec<Record>,
    /// Position behind the last one.
    next: u64,
    /// There is no record at `next`.
    ended: bool,
    /// Why the record at `next` could not be read.
    fault: Option<Error>,
}

/// A page that is in no record.
pub fn not_found() -> Error {
    Error::no_data("Page not found")
}

impl Records {
    /// The records from position `first` on; position 0 stands for none.
    pub fn new(files: Shared<FileSet>, order: ByteOrder, page_shift: u32, first: u64) -> Records {
        let known = Known { index: Index::default(), next: first, ended: first == 0, end_pfn: 0 };
        Records { files, order, page_shift, known: RwLock::new(known) }
    }

    /// The record of page `pfn`: its descriptor and where that is.
    ///
    /// # Errors
    /// `NoData` (`Page not found`); `Corrupt` (`Duplicate PFN ...`) when a
    /// second record of some page is in the way; `Cannot read page descriptor
    /// at <position>`.
    pub fn find(&self, pfn: u64) -> Result<(u64, Descriptor)> {
        let position = self.follow(Some(pfn))?.ok_or_else(not_found)?;
        let descriptor = self.read(position)?;
        // Storage that failed without saying so must not show another page.
        if descriptor.pfn(self.page_shift) != pfn {
            return Err(Error::corrupt(format!("Page descriptor at {position} is another one than before")));
        }
        Ok((position, descriptor))
    }

    /// One above the highest PFN of all records; 0 if there are none.
    ///
    /// # Errors
    /// Those of [`Records::find`] but `Page not found`.
    pub fn end_pfn(&self) -> Result<u64> {
        match self.follow(None) {
            Err(error) if error.status() != Status::NoData => return Err(error),
            _ => {}
        }
        Ok(self.known.read().end_pfn)
    }

    /// Position of the record of page `pfn`. Without a PFN all records are
    /// looked at, and the answer is `None`.
    fn follow(&self, pfn: Option<u64>) -> Result<Option<u64>> {
        loop {
            let start = {
                let known = self.known.read();
                if let Some(position) = pfn.and_then(|pfn| known.index.get(pfn)) {
                    return Ok(Some(position));
                }
                if known.ended {
                    return Ok(None);
                }
                known.next
            };
            let batch = self.scan(start, pfn);
            self.known.write().append(&batch)?;
            if let Some(fault) = batch.fault {
                return Err(fault);
            }
        }
    }

    /// Follows the records from `start` up to that of page `pfn`, for one
    /// batch at the most.
    fn scan(&self, start: u64, pfn: Option<u64>) -> Batch {
        let mut batch = Batch { records: Vec::new(), next: start, ended: false, fault: None };
        while batch.records.len() < BATCH {
            let position = batch.next;
            match self.next_record(position) {
                Ok(Some((found, next))) => {
                    if batch.records.try_reserve(1).is_err() {
                        batch.fault = Some(Error::system("Cannot allocate page index"));
                        break;
                    }
                    batch.records.push(Record { pfn: found, position });
                    batch.next = next;
                    if pfn == Some(found) {
                        break;
                    }
                }
                Ok(None) => {
                    batch.ended = true;
                    break;
                }
                Err(error) => {
                    batch.fault = Some(error);
                    break;
                }
            }
        }
        batch
    }

    /// PFN of the record at `position`, and where the next one is; `None` for
    /// an end marker and where the file ends without one.
    fn next_record(&self, position: u64) -> Result<Option<(u64, u64)>> {
        let Some(last) = position.checked_add(DESCRIPTOR_MIN - 1) else { return Ok(None) };
        let length = self.files.len(0);
        if length.is_some_and(|length| length <= last) {
            return Ok(None);
        }
        let descriptor = self.read(position)?;
        if descriptor.flags & END != 0 {
            return Ok(None);
        }
        // What is behind the end of a file reads as zeros.
        if length.is_none() && descriptor.flags == 0 && self.files.ends_before(0, last)? {
            return Ok(None);
        }
        // A record that ends behind the last possible position is the last one.
        let behind = position.saturating_add(DESCRIPTOR_BYTES).saturating_add(descriptor.size.into());
        Ok(Some((descriptor.pfn(self.page_shift), behind)))
    }

    fn read(&self, position: u64) -> Result<Descriptor> {
        let mut copy = [0; DESCRIPTOR_BYTES as usize];
        let raw = match self.files.borrow(0, position, copy.len()) {
            Some(raw) => raw,
            None => {
                self.files
                    .read(0, position, &mut copy)
                    .context(|| format!("Cannot read page descriptor at {position}"))?;
                &copy
            }
        };
        let order = self.order;
        Ok(Descriptor { address: order.u64(raw, 0), size: order.u32(raw, 8), flags: order.u32(raw, 12) })
    }
}

impl Known {
    /// Adds what a batch has beyond the records that are known already.
    ///
    /// # Errors
    /// `Duplicate PFN ...`: records before the duplicate are added, and the
    /// chain is not followed beyond it, now or later.
    fn append(&mut self, batch: &Batch) -> Result<()> {
        let behind = |number: usize| batch.records.get(number + 1).map_or(batch.next, |next| next.position);
        let at = batch.records.partition_point(|record| record.position < self.next);
        let continues = match batch.records.get(at) {
            Some(record) => record.position == self.next,
            None => batch.next == self.next,
        };
        // Others went farther (or the file changes while it is read).
        let at = if broken(Fault::RecordsAddedTwice) { 0 } else { at };
        if (self.ended || !continues) && !broken(Fault::RecordsAddedTwice) {
            return Ok(());
        }
        for (number, record) in batch.records.iter().enumerate().skip(at) {
            if let Some(earlier) = self.index.insert(*record)? {
                return Err(Error::corrupt(format!(
                    "Duplicate PFN {:#x} at {} (previous {})",
                    record.pfn, record.position, earlier.position
                )));
            }
            self.end_pfn = self.end_pfn.max(record.pfn.saturating_add(1));
            self.next = behind(number);
        }
        self.ended = batch.ended;
        Ok(())
    }
}

/// `file.pagemap`: the pages of all records, which are followed to the end
/// when somebody asks for the first bit. If something is in the way, the bits
/// in front of it can be had, and the error stands behind the last one.
pub struct StoredPages(pub Shared<Records>);

impl BitSource for StoredPages {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        let followed = self.0.end_pfn();
        match self.0.known.read().index.run(from) {
            None => followed.map(|_| None),
            run => Ok(run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn known(next: u64) -> Known {
        Known { index: Index::default(), next, ended: false, end_pfn: 0 }
    }

    /// Records 100 bytes apart.
    fn batch(start: u64, pfns: &[u64], ended: bool) -> Batch {
        let records =
            pfns.iter().zip(0..).map(|(&pfn, n)| Record { pfn, position: start + n * 100 }).collect();
        Batch { records, next: start + pfns.len() as u64 * 100, ended, fault: None }
    }

    fn state(known: &Known) -> (u64, bool, u64) {
        (known.next, known.ended, known.end_pfn)
    }

    #[test]
    fn who_comes_second_adds_what_is_beyond_the_first() {
        let mut known = known(1000);
        known.append(&batch(1000, &[5, 9, 2], false)).unwrap();
        assert_eq!(state(&known), (1300, false, 10));
        // Less far, as far, and farther.
        for pfns in [&[5][..], &[5, 9, 2]] {
            known.append(&batch(1000, pfns, false)).unwrap();
            assert_eq!(state(&known), (1300, false, 10));
        }
        known.append(&batch(1000, &[5, 9, 2, 20, 7], true)).unwrap();
        assert_eq!(state(&known), (1500, true, 21));
        for (pfn, position) in [(5, 1000), (9, 1100), (2, 1200), (20, 1300), (7, 1400)] {
            assert_eq!(known.index.get(pfn), Some(position));
        }
        known.append(&batch(1000, &[5, 9, 2, 20, 7, 30], true)).unwrap();
        assert_eq!(state(&known), (1500, true, 21));
    }

    #[test]
    fn the_end_is_known_even_if_others_were_as_far() {
        let mut known = known(1000);
        known.append(&batch(1000, &[1], false)).unwrap();
        known.append(&batch(1000, &[1], true)).unwrap();
        assert_eq!(state(&known), (1100, true, 2));
    }

    #[test]
    fn records_of_a_file_that_changed_meanwhile_are_not_added() {
        let mut known = known(1000);
        known.append(&batch(1000, &[1, 2], false)).unwrap();
        known.append(&batch(1050, &[7, 8, 9], true)).unwrap();
        assert_eq!(state(&known), (1200, false, 3));
        assert_eq!(known.index.get(9), None);
    }

    #[test]
    fn a_duplicate_ends_what_is_added() {
        let mut known = known(1000);
        let error = known.append(&batch(1000, &[3, 4, 3, 5], true)).unwrap_err();
        assert_eq!(error.message(), "Duplicate PFN 0x3 at 1200 (previous 1000)");
        assert_eq!(state(&known), (1200, false, 5));
        assert_eq!(known.index.get(5), None);
    }

    #[test]
    fn a_record_at_the_end_of_all_positions_is_the_last_one() {
        use crate::io::{MmapPolicy, ReadAt, Source};

        /// A file of unknown length in which each descriptor is the same.
        struct Same;
        impl ReadAt for Same {
            fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
                let raw = [1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0];
                for (byte, at) in buf.iter_mut().zip(pos..) {
                    *byte = raw[(at % 16) as usize];
                }
                Ok(buf.len())
            }
        }
        let policy = Shared::new(MmapPolicy::default());
        let source: Source = Shared::new(Same);
        let files = Shared::new(FileSet::open(vec![source], Vec::new(), policy).unwrap());
        let records = Records::new(files, ByteOrder::Little, 0, u64::MAX - 31);
        assert_eq!(records.next_record(u64::MAX - 31).unwrap(), Some((1, u64::MAX)));
        assert_eq!(records.end_pfn().unwrap(), 2);
        assert_eq!(records.find(5).unwrap_err().message(), "Page not found");
        assert_eq!(records.find(1).unwrap().0, u64::MAX - 31);
    }
}
