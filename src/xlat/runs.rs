//! Ranges of addresses, cut where their translations do not follow each other.

use core::iter::FusedIterator;

use super::ctx::Ctx;
use super::error::Result;
use super::op::Run;
use super::system::System;
use super::types::{Caps, FullAddr};

/// The longest runs of a range of addresses; see [`Ctx::runs`].
#[derive(Debug)]
pub struct Runs<'a> {
    ctx: &'a Ctx,
    sys: Option<&'a System>,
    caps: Caps,
    /// The first address that is not translated yet and the number of those
    /// that follow it; none at the end.
    rest: Option<(FullAddr, u64)>,
    /// What comes after the run that was returned last.
    next: Option<Result<Run>>,
}

impl Ctx {
    /// Translates the `endoff` + 1 addresses from `addr` on into spaces of
    /// `caps`, run by run in their order. Neighbours that translate to
    /// neighbours are in one run.
    ///
    /// No address behind the range is looked at. A range that goes beyond the
    /// end of the address space is cut there.
    ///
    /// # Errors
    ///
    /// As for [`op`](Self::op), for the first address that does not translate;
    /// it comes after the runs before it, and nothing comes after it.
    pub fn runs<'a>(&'a self, sys: Option<&'a System>, caps: Caps, addr: FullAddr, endoff: u64) -> Runs<'a> {
        Runs { ctx: self, sys, caps, rest: Some((addr, endoff.min(!addr.addr))), next: None }
    }
}

impl Runs<'_> {
    /// Translates what is left, as far as one answer goes.
    fn step(&mut self) -> Option<Result<Run>> {
        let (addr, endoff) = self.rest.take()?;
        let run = self.ctx.run(self.sys, self.caps, addr).map(|run| {
            let end = run.endoff.min(endoff);
            // None when the run goes to the end of the range.
            if let Some(left) = endoff.checked_sub(end).and_then(|left| left.checked_sub(1)) {
                self.rest = Some((addr.offset(end).offset(1), left));
            }
            Run { endoff: end, ..run }
        });
        Some(run)
    }
}

impl Iterator for Runs<'_> {
    type Item = Result<Run>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut run = match self.next.take().or_else(|| self.step())? {
            Ok(run) => run,
            Err(error) => return Some(Err(error)),
        };
        while let Some(next) = self.step() {
            match next {
                Ok(next) if follows(&run, &next) => {
                    run.endoff = run.endoff.saturating_add(1).saturating_add(next.endoff);
                }
                other => {
                    self.next = Some(other);
                    break;
                }
            }
        }
        Some(Ok(run))
    }
}

impl FusedIterator for Runs<'_> {}

/// Whether the target of `next` begins where that of `run` ends.
fn follows(run: &Run, next: &Run) -> bool {
    let end = run.target.addr.checked_add(run.endoff).and_then(|last| last.checked_add(1));
    run.target.space == next.target.space && end == Some(next.target.addr)
}
