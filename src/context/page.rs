//! Pages as a whole: looking at one without a copy, and which ones there are.

use core::fmt;
use core::ops::{Deref, Range, RangeInclusive};

use super::Context;
use crate::attr::Bitmap;
use crate::dump::Block;
use crate::error::{Error, Result};
use crate::format::{Address, Space};

/// The bytes of a page, from an address to the end of that page, for as long
/// as this is kept.
///
/// | the page is | its bytes are |
/// | --- | --- |
/// | stored as it is, in a memory map or a slice | borrowed from there |
/// | in the page cache | pinned: the slot is not used for another page |
/// | stored as it is, where it can only be read | a copy |
/// | one that must not be cached | a copy |
///
/// So keep no more pages than the cache has slots (attribute `cache.size`);
/// if all of them are pinned, reads fail with `Busy`. What is kept stays valid
/// when another dump is opened.
pub struct PageGuard {
    block: Block,
    part: Range<usize>,
    address: u64,
}

impl PageGuard {
    /// The address that was asked for: that of the first byte.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Whether the bytes are those of the file: nothing was copied.
    pub fn is_borrowed(&self) -> bool {
        matches!(self.block, Block::InFile { .. })
    }

    /// Whether the page takes a slot of the page cache.
    pub fn is_pinned(&self) -> bool {
        matches!(self.block, Block::Cached(_))
    }
}

impl Deref for PageGuard {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.block.as_ref().get(self.part.clone()).unwrap_or(&[])
    }
}

impl AsRef<[u8]> for PageGuard {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PageGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageGuard")
            .field("address", &format_args!("{:#x}", self.address))
            .field("bytes", &self.len())
            .field("borrowed", &self.is_borrowed())
            .field("pinned", &self.is_pinned())
            .finish()
    }
}

/// Pages of consecutive numbers that are in the dump; see [`Context::pages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRun {
    first: u64,
    last: u64,
    /// The longest run that this is a part of.
    whole: (u64, u64),
    page_size: u64,
}

impl PageRun {
    /// PFN of the first page.
    pub fn first_pfn(&self) -> u64 {
        self.first
    }

    /// PFN of the last page.
    pub fn last_pfn(&self) -> u64 {
        self.last
    }

    /// PFNs of the longest run that this one is a part of.
    pub fn whole(&self) -> RangeInclusive<u64> {
        self.whole.0..=self.whole.1
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// Size of a page in bytes: attribute `arch.page_size`.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// Machine physical address of the first byte; `None` if that needs more
    /// than 64 bits.
    pub fn address(&self) -> Option<u64> {
        self.first.checked_mul(self.page_size)
    }

    /// The addresses of the pages, as far as they fit into 64 bits.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + use<> {
        let size = self.page_size;
        (self.first..=self.last).map_while(move |pfn| pfn.checked_mul(size))
    }

    /// This run in parts of at most `pages` pages (at least one).
    pub fn split(self, pages: u64) -> impl Iterator<Item = PageRun> + use<> {
        let pages = pages.max(1);
        let mut rest = Some(self);
        core::iter::from_fn(move || {
            let run = rest?;
            let last = run.first.saturating_add(pages - 1);
            if last >= run.last {
                return rest.take();
            }
            rest = Some(PageRun { first: last + 1, ..run });
            Some(PageRun { last, ..run })
        })
    }
}

/// Iterator over the pages that are in a dump, as runs in ascending order.
#[derive(Clone)]
pub struct PageRuns {
    bitmap: Bitmap,
    page_size: u64,
    /// Where to look next; `None` at the end.
    from: Option<u64>,
}

impl PageRuns {
    /// Size of a page in bytes.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// How many pages all runs that are left have together.
    ///
    /// # Errors
    /// What reading the bits from the file says.
    pub fn count_pages(&self) -> Result<u64> {
        self.clone().try_fold(0u64, |sum, run| Ok(sum.saturating_add(run?.pages())))
    }

    /// The run from `from` on, and the first number behind it.
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        match self.bitmap.find_set(from) {
            Ok(first) => Ok(Some((first, self.bitmap.find_clear(first)?))),
            Err(error) if error.status() == crate::Status::NoData => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Iterator for PageRuns {
    type Item = Result<PageRun>;

    fn next(&mut self) -> Option<Self::Item> {
        let from = self.from.take()?;
        match self.run(from) {
            Ok(Some((first, end))) if end > first => {
                self.from = Some(end);
                let whole = (first, end - 1);
                Some(Ok(PageRun { first, last: end - 1, whole, page_size: self.page_size }))
            }
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

impl Context {
    /// The bytes from `address` to the end of its page, without a copy where
    /// that is possible. At the address of a page it is the whole page; by
    /// virtual addresses it may end earlier, where translation goes on
    /// elsewhere.
    ///
    /// ```no_run
    /// # use kdumpfile::{Context, Space};
    /// # let dump = Context::new();
    /// let page = dump.page(Space::MachinePhysical, 0x100_0000)?;
    /// println!("{} zeros", page.iter().filter(|byte| **byte == 0).count());
    /// # Ok::<(), kdumpfile::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Context::read`].
    pub fn page(&self, space: Space, address: u64) -> Result<PageGuard> {
        self.call(|| {
            let snapshot = self.snapshot();
            let (opened, part, place) = self.find(&snapshot, Address { space, value: address })?;
            let block = opened.keep(&snapshot.geometry, part.page, place, &self.buffers)?;
            Ok(PageGuard { block, part: part.start..part.end, address })
        })
    }

    /// The pages that are in the dump (attribute `file.pagemap`), as runs in
    /// ascending order. What the iterator yields is of the dump that is open
    /// now, whatever is opened later.
    ///
    /// ```no_run
    /// # use kdumpfile::{Context, Space};
    /// # let dump = Context::new();
    /// for run in dump.pages()? {
    ///     for address in run?.addresses() {
    ///         let page = dump.page(Space::MachinePhysical, address)?;
    ///         println!("{address:x}: begins with {:x}", page[0]);
    ///     }
    /// }
    /// # Ok::<(), kdumpfile::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Context::bitmap`] and [`Context::number`]; `Invalid` for an
    /// `arch.page_size` of 0.
    pub fn pages(&self) -> Result<PageRuns> {
        let bitmap = self.bitmap("file.pagemap")?;
        let page_size = self.number("arch.page_size")?;
        match page_size {
            0 => self.call(|| Err(Error::invalid("Page size is not known: set attribute arch.page_size"))),
            _ => Ok(PageRuns { bitmap, page_size, from: Some(0) }),
        }
    }
}
