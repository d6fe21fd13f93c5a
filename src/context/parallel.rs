//! All pages, in the threads of a pool.

use core::ops::ControlFlow;

use super::Context;
use super::page::{PageRun, PageRuns};
use crate::error::Result;
use crate::sync::{Parallel, in_parallel};

/// Bytes of a piece, unless the caller says otherwise (or one page, if that is
/// more).
const PIECE: u64 = 1 << 20;

/// All pages of a dump, piece by piece in the threads of a pool; see
/// [`Context::par_pages`].
#[must_use = "nothing is read before a method with closures is called"]
pub struct ParPages {
    context: Context,
    runs: PageRuns,
    piece: u64,
    threads: Option<usize>,
}

impl ParPages {
    /// How many threads work. Without this they are those of rayon's current
    /// pool: one for each processor, if the program made no other.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads.max(1));
        self
    }

    /// How many bytes a piece has at most (one page at least; by default 1 MiB).
    pub fn piece(mut self, bytes: u64) -> Self {
        self.piece = bytes;
        self
    }

    /// Calls `work` with each piece in the threads, and `each` with what comes
    /// of that here, in ascending order of the pages. At most three pieces a
    /// thread are under way, which bounds the memory that results take. If
    /// `each` breaks, no more work begins, and its value is returned.
    ///
    /// # Errors
    /// What reading the bitmap of pages says, or that threads cannot be made.
    pub fn ordered<T: Send, B>(
        self,
        work: impl Fn(&Context, PageRun) -> T + Sync,
        each: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        self.run(true, work, each)
    }

    /// Like [`ParPages::ordered`], but results come as soon as they are there.
    ///
    /// # Errors
    /// Those of [`ParPages::ordered`].
    pub fn unordered<T: Send, B>(
        self,
        work: impl Fn(&Context, PageRun) -> T + Sync,
        each: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        self.run(false, work, each)
    }

    fn run<T: Send, B>(
        self,
        ordered: bool,
        work: impl Fn(&Context, PageRun) -> T + Sync,
        each: impl FnMut(T) -> ControlFlow<B>,
    ) -> Result<Option<B>> {
        let pages = self.piece / self.runs.page_size().max(1);
        let mut runs = self.runs;
        let mut pieces: Option<alloc::boxed::Box<dyn Iterator<Item = PageRun>>> = None;
        let jobs = core::iter::from_fn(|| {
            loop {
                if let Some(piece) = pieces.as_mut().and_then(Iterator::next) {
                    return Some(Ok(piece));
                }
                match runs.next()? {
                    Ok(run) => pieces = Some(alloc::boxed::Box::new(run.split(pages))),
                    Err(error) => return Some(Err(error)),
                }
            }
        });
        let how = Parallel { threads: self.threads, ordered };
        in_parallel(how, jobs, self.context, work, each)
    }
}

impl Context {
    /// All pages of the dump, to be worked on in several threads, each of
    /// which has a clone of this context.
    ///
    /// ```no_run
    /// # use core::ops::ControlFlow;
    /// # use kdumpfile::{Context, Space};
    /// # let dump = Context::new();
    /// let mut zeros = 0;
    /// dump.par_pages()?.unordered(
    ///     |worker, pages| {
    ///         let page = |address| worker.page(Space::MachinePhysical, address).ok();
    ///         pages.addresses().filter_map(page).filter(|page| page.iter().all(|byte| *byte == 0)).count()
    ///     },
    ///     |count| {
    ///         zeros += count;
    ///         ControlFlow::<()>::Continue(())
    ///     },
    /// )?;
    /// # Ok::<(), kdumpfile::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Context::pages`].
    pub fn par_pages(&self) -> Result<ParPages> {
        Ok(ParPages { context: self.clone(), runs: self.pages()?, piece: PIECE, threads: None })
    }
}
