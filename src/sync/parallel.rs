//! Work in the threads of a pool, whose results one thread takes.
//!
//! ```text
//! this thread: jobs ──> pool: work with a state of its own ──> channel
//!              each <── results, in the order of jobs if asked for <──┘
//! ```

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::ops::ControlFlow;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};

use rayon::{Scope, ThreadPoolBuilder, Yield};

use crate::error::{Error, Result};

/// Jobs under way for each thread: one at work, the others so that neither
/// side waits for the other.
const AHEAD: usize = 3;

/// How to go about it.
#[derive(Clone, Copy)]
pub(crate) struct Parallel {
    /// How many threads; `None` for rayon's current pool.
    pub threads: Option<usize>,
    /// Whether results are taken in the order of jobs.
    pub ordered: bool,
}

/// What became of a job: its number, and the result unless it panicked.
type Done<T> = (usize, Option<T>);

/// Sends the result of a job, or that there is none.
struct Reply<T> {
    channel: Sender<Done<T>>,
    number: usize,
    result: Option<T>,
}

impl<T> Reply<T> {
    fn with(mut self, result: T) {
        self.result = Some(result);
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        // Nobody listens any more after a break.
        let _ = self.channel.send((self.number, self.result.take()));
    }
}

/// States for those who work: as many as work at the same time.
struct States<S> {
    seed: Mutex<S>,
    spare: Mutex<Vec<S>>,
}

impl<S: Clone> States<S> {
    fn with<R>(&self, body: impl FnOnce(&S) -> R) -> R {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let state = spare.unwrap_or_else(|| self.seed.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let result = body(&state);
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        result
    }
}

/// Calls `work` with each job in the threads of a pool, each time with a clone
/// of `seed` that nobody else uses meanwhile, and `each` with the results here.
/// If `each` breaks, no more work begins.
///
/// # Errors
/// The first error instead of a job; `System` if threads cannot be made.
pub(crate) fn in_parallel<J: Send, S: Clone + Send, T: Send, B>(
    how: Parallel,
    jobs: impl Iterator<Item = Result<J>>,
    seed: S,
    work: impl Fn(&S, J) -> T + Sync,
    each: impl FnMut(T) -> ControlFlow<B>,
) -> Result<Option<B>> {
    let states = States { seed: Mutex::new(seed), spare: Mutex::new(Vec::new()) };
    match how.threads {
        Some(threads) => {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|error| Error::system(format!("Cannot make threads: {error}")))?;
            let pace = Pace { ordered: how.ordered, window: threads * AHEAD, inside: false };
            pool.in_place_scope(|scope| feed(scope, pace, jobs, &states, &work, each))
        }
        None => {
            let window = rayon::current_num_threads() * AHEAD;
            let inside = rayon::current_thread_index().is_some();
            let pace = Pace { ordered: how.ordered, window, inside };
            rayon::in_place_scope(|scope| feed(scope, pace, jobs, &states, &work, each))
        }
    }
}

/// What the thread that feeds the others goes by.
struct Pace {
    ordered: bool,
    /// How many jobs may be ahead of the results.
    window: usize,
    /// Whether this thread is one of the pool, and must not sleep while there
    /// is work.
    inside: bool,
}

fn feed<'scope, J, S, T, B, W>(
    scope: &Scope<'scope>,
    pace: Pace,
    jobs: impl Iterator<Item = Result<J>>,
    states: &'scope States<S>,
    work: &'scope W,
    mut each: impl FnMut(T) -> ControlFlow<B>,
) -> Result<Option<B>>
where
    J: Send + 'scope,
    S: Clone + Send,
    T: Send + 'scope,
    W: Fn(&S, J) -> T + Sync,
{
    let mut jobs = jobs.fuse();
    let (sender, results) = channel();
    // Results that came before others whose turn it is.
    let mut early = BTreeMap::new();
    let (mut begun, mut taken) = (0, 0);
    loop {
        while begun - taken < pace.window {
            let Some(job) = jobs.next().transpose()? else { break };
            let reply = Reply { channel: sender.clone(), number: begun, result: None };
            scope.spawn(move |_| reply.with(states.with(|state| work(state, job))));
            begun += 1;
        }
        if taken == begun {
            return Ok(None);
        }
        // Without a result the job panicked, and so does the end of the scope.
        let Some((number, Some(result))) = receive(&results, pace.inside) else { return Ok(None) };
        early.insert(if pace.ordered { number } else { taken }, result);
        while let Some(result) = early.remove(&taken) {
            taken += 1;
            if let ControlFlow::Break(value) = each(result) {
                return Ok(Some(value));
            }
        }
    }
}

/// The next result. Within the pool this thread works meanwhile.
fn receive<T>(results: &Receiver<Done<T>>, inside: bool) -> Option<Done<T>> {
    if !inside {
        return results.recv().ok();
    }
    loop {
        match results.try_recv() {
            Ok(done) => return Some(done),
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) if rayon::yield_now() == Some(Yield::Executed) => {}
            Err(TryRecvError::Empty) => std::thread::yield_now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn squares(how: Parallel, count: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        let work = |seed: &usize, job: usize| {
            // Late ones first.
            std::thread::sleep(std::time::Duration::from_micros((job % 5) as u64 * 300));
            seed + job * job
        };
        let each = |square| {
            taken.push(square);
            ControlFlow::<()>::Continue(())
        };
        assert!(in_parallel(how, (0..count).map(Ok), 7, work, each).unwrap().is_none());
        taken
    }

    #[test]
    fn results_come_in_order_if_asked_for_and_all_of_them_anyway() {
        let expected: Vec<usize> = (0..100).map(|job| 7 + job * job).collect();
        for threads in [Some(1), Some(4), None] {
            assert_eq!(squares(Parallel { threads, ordered: true }, 100), expected);
            let mut unordered = squares(Parallel { threads, ordered: false }, 100);
            unordered.sort_unstable();
            assert_eq!(unordered, expected);
        }
        assert!(squares(Parallel { threads: None, ordered: true }, 0).is_empty());
    }

    #[test]
    fn a_thread_of_a_pool_of_one_does_not_wait_for_itself() {
        let pool = ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let taken = pool.install(|| squares(Parallel { threads: None, ordered: true }, 20));
        assert_eq!(taken.len(), 20);
    }

    #[test]
    fn after_a_break_no_more_work_begins() {
        let begun = AtomicUsize::new(0);
        let work = |(): &(), job: usize| {
            begun.fetch_add(1, Relaxed);
            job
        };
        let each = |job| if job == 10 { ControlFlow::Break(job) } else { ControlFlow::Continue(()) };
        let how = Parallel { threads: Some(2), ordered: true };
        let broke = in_parallel(how, (0..1000).map(Ok), (), work, each).unwrap();
        assert_eq!(broke, Some(10));
        assert!(begun.into_inner() <= 11 + 2 * AHEAD);
    }

    #[test]
    fn an_error_instead_of_a_job_ends_it() {
        let jobs = (0..5).map(|job| if job == 3 { Err(Error::no_data("gone")) } else { Ok(job) });
        let how = Parallel { threads: Some(2), ordered: true };
        let each = |_| ControlFlow::<()>::Continue(());
        let error = in_parallel(how, jobs, (), |(), job: usize| job, each).unwrap_err();
        assert_eq!(error.message(), "gone");
    }

    #[test]
    fn a_panic_is_passed_on_and_nobody_waits_for_it() {
        let how = Parallel { threads: Some(2), ordered: true };
        let work = |(): &(), job: usize| assert!(job != 5, "on purpose");
        let each = |()| ControlFlow::<()>::Continue(());
        let outcome = std::panic::catch_unwind(|| in_parallel(how, (0..50).map(Ok), (), work, each));
        assert!(outcome.is_err());
    }
}
