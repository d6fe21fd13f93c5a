//! Time that work takes: as it passes, or as the processor spends it.
//!
//! On a machine that others use, too, the time that passes says how much they
//! left. The time that a thread has had the processor does not depend on them,
//! but waiting for somebody is not in it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// The environment variable that tells other processes of a run to take the
/// processor's time.
pub const CPU: &str = "KDUMPFILE_BENCH_CPU";

/// When this thread began something.
#[derive(Clone, Copy)]
pub enum Clock {
    Passing(Instant),
    Spent(Duration),
}

impl Clock {
    pub fn start() -> Clock {
        match spent_wanted().then(spent).flatten() {
            Some(spent) => Clock::Spent(spent),
            None => Clock::Passing(Instant::now()),
        }
    }

    pub fn elapsed(self) -> Duration {
        match self {
            Clock::Passing(start) => start.elapsed(),
            Clock::Spent(start) => spent().unwrap_or(start).saturating_sub(start),
        }
    }
}

/// Whether the processor's time was asked for.
pub fn spent_wanted() -> bool {
    std::env::var_os(CPU).is_some()
}

/// How long this thread has had a processor, if Linux says so.
fn spent() -> Option<Duration> {
    // What a thread spends is added up when it gives the processor away.
    thread::sleep(Duration::from_nanos(1));
    let text = fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_spends_little_and_working_spends_more() {
        let Some(start) = spent() else { return };
        thread::sleep(Duration::from_millis(50));
        let slept = spent().unwrap() - start;
        let (mut work, begin) = (1u64, Instant::now());
        while begin.elapsed() < Duration::from_millis(50) || work == 0 {
            work = std::hint::black_box(work.wrapping_mul(3));
        }
        let worked = spent().unwrap() - start - slept;
        assert!(slept < Duration::from_millis(25), "{slept:?}");
        assert!(worked > slept, "{worked:?}");
    }
}
