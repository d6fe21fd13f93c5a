//! Reading all pages of a dump.

use core::fmt;

use kdumpfile::{Context, Result, Space, Status};
use sha2::{Digest, Sha256};

/// What came of reading all pages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// Pages that are in the file.
    pub number: u64,
    /// SHA-256 over them in the order of their page frame numbers.
    pub sha256: [u8; 32],
    /// How often a read was refused because every slot of the cache was taken.
    pub busy: u64,
}

impl fmt::Display for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.sha256 {
            write!(f, "{byte:02x}")?;
        }
        write!(f, " {} pages", self.number)
    }
}

/// Reads all pages; `pause` is called before a refused read is tried again.
pub fn read_all(dump: &Context, pause: fn()) -> Result<Pages> {
    let page_size = dump.number("arch.page_size")?;
    let pagemap = dump.bitmap("file.pagemap")?;
    let mut pages = Pages { number: 0, sha256: [0; 32], busy: 0 };
    let mut hasher = Sha256::new();
    // Pages of 4 KiB at once, larger ones by parts; on the stack, so that the
    // heap is the library's alone.
    let mut buffer = [0; 4096];
    for range in pagemap.ranges() {
        let (first, last) = range?;
        for pfn in first..=last {
            let mut at = 0;
            while at < page_size {
                let part = &mut buffer[..(page_size - at).min(4096) as usize];
                match dump.read(Space::MachinePhysical, pfn * page_size + at, part) {
                    Ok(()) => {
                        hasher.update(&*part);
                        at += part.len() as u64;
                    }
                    Err(error) if error.status() == Status::Busy => {
                        pages.busy += 1;
                        pause();
                    }
                    Err(error) => return Err(error),
                }
            }
            pages.number += 1;
        }
    }
    pages.sha256 = hasher.finalize().into();
    Ok(pages)
}
