//! Sources that fail, fall short or shrink, by a script.
//!
//! [`Script`] is independent of the library's reading trait: it is told about
//! a read and the function that does it. `FaultyReader` (feature `fault`) puts
//! it around a `kdumpfile::io::ReadAt`; the unit tests inside `kdumpfile`, for
//! which that trait would be another crate's, wrap it in their own.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::image::Rng;

/// What happens to a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this text.
    Fail(String),
    /// At most so many bytes are read.
    Short(usize),
    /// A random number of bytes from 1 up to what was asked for is read.
    RandomLength,
    /// Everything that is read comes out as zero bytes.
    Zeroes,
    /// It takes so long.
    Delay(Duration),
    /// From this read on, the source has only so many bytes.
    Shrink(u64),
}

/// Which reads a fault happens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Read number n, counted from 0.
    Nth(u64),
    /// Read number n and all after it.
    From(u64),
    /// All reads.
    Always,
    /// Reads that touch any byte of this range.
    Touches(std::ops::Range<u64>),
}

impl When {
    fn applies(&self, number: u64, pos: u64, len: usize) -> bool {
        match self {
            When::Nth(n) => number == *n,
            When::From(n) => number >= *n,
            When::Always => true,
            When::Touches(range) => pos < range.end && pos.saturating_add(len as u64) > range.start,
        }
    }
}

/// Why a read under a [`Script`] failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// By [`Fault::Fail`], with its text.
    Scripted(String),
    /// The source itself failed.
    Source(E),
}

/// One read, as the log of a [`Script`] has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCall {
    /// Byte position.
    pub pos: u64,
    /// Bytes asked for.
    pub len: usize,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<(When, Fault)>,
    calls: Vec<ReadCall>,
    limit: Option<u64>,
    rng: Option<Rng>,
}

/// A list of faults and a log of the reads; shared by all threads that read.
#[derive(Debug, Default)]
pub struct Script(Mutex<State>);

impl Script {
    /// No faults; `seed` decides random lengths.
    pub fn new(seed: u64) -> Self {
        Script(Mutex::new(State { rng: Some(Rng::new(seed)), ..State::default() }))
    }

    /// Adds a fault; several may happen to the same read.
    pub fn with(self, when: When, fault: Fault) -> Self {
        self.add(when, fault);
        self
    }

    /// Adds a fault while the script is in use.
    pub fn add(&self, when: When, fault: Fault) {
        self.state().rules.push((when, fault));
    }

    /// Takes all faults away; the log and a shrunk length stay.
    pub fn clear(&self) {
        self.state().rules.clear();
    }

    /// The reads so far, in the order in which they began.
    pub fn calls(&self) -> Vec<ReadCall> {
        self.state().calls.clone()
    }

    /// How many bytes the source still has, if it shrank.
    pub fn limit(&self) -> Option<u64> {
        self.state().limit
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets `read(pos, buf)` happen under the script.
    ///
    /// No lock is held while `read` runs or a delay passes.
    ///
    /// # Errors
    /// [`Failure::Scripted`] if the script says so, else what `read` says.
    pub fn run<E>(
        &self,
        pos: u64,
        buf: &mut [u8],
        read: impl FnOnce(u64, &mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, Failure<E>> {
        let mut len = buf.len();
        let mut zeroes = false;
        let mut delay = Duration::ZERO;
        let mut failure = None;
        {
            let mut state = self.state();
            let number = state.calls.len() as u64;
            state.calls.push(ReadCall { pos, len });
            let rules = std::mem::take(&mut state.rules);
            for (_, fault) in rules.iter().filter(|(when, _)| when.applies(number, pos, buf.len())) {
                match fault {
                    Fault::Fail(text) => failure = failure.or_else(|| Some(text.clone())),
                    Fault::Short(most) => len = len.min(*most),
                    Fault::RandomLength if len > 1 => {
                        let rng = state.rng.get_or_insert_with(|| Rng::new(0));
                        len = 1 + rng.below(len as u64) as usize;
                    }
                    Fault::RandomLength => {}
                    Fault::Zeroes => zeroes = true,
                    Fault::Delay(time) => delay += *time,
                    Fault::Shrink(limit) => {
                        state.limit = Some(state.limit.map_or(*limit, |now| now.min(*limit)));
                    }
                }
            }
            state.rules = rules;
            if let Some(limit) = state.limit {
                len = len.min(usize::try_from(limit.saturating_sub(pos)).unwrap_or(usize::MAX));
            }
        }
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        if let Some(text) = failure {
            return Err(Failure::Scripted(text));
        }
        let n = read(pos, &mut buf[..len]).map_err(Failure::Source)?;
        if zeroes {
            buf[..n].fill(0);
        }
        Ok(n)
    }
}

#[cfg(feature = "fault")]
pub use reader::FaultyReader;

#[cfg(feature = "fault")]
mod reader {
    use kdumpfile::error::{Error, Result};
    use kdumpfile::io::ReadAt;

    use super::{Failure, Fault, Script, When};

    /// A source with a [`Script`] around it. It never lends its bytes
    /// (`borrow` is `None`), so that every access goes through the script.
    #[derive(Debug, Default)]
    pub struct FaultyReader<T> {
        inner: T,
        script: Script,
    }

    impl<T: ReadAt> FaultyReader<T> {
        /// No faults yet.
        pub fn new(inner: T) -> Self {
            Self::with_script(inner, Script::new(0))
        }

        /// With faults from the start.
        pub fn with_script(inner: T, script: Script) -> Self {
            FaultyReader { inner, script }
        }

        /// Read number `n` (from 0) fails with [`Status::System`](kdumpfile::Status::System) and `text`.
        pub fn fail_nth(self, n: u64, text: &str) -> Self {
            self.script.add(When::Nth(n), Fault::Fail(text.to_string()));
            self
        }

        /// The script, to add faults while the source is in use.
        pub fn script(&self) -> &Script {
            &self.script
        }
    }

    impl<T: ReadAt> ReadAt for FaultyReader<T> {
        fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
            let read = |pos, buf: &mut [u8]| self.inner.read_at(pos, buf);
            self.script.run(pos, buf, read).map_err(|error| match error {
                Failure::Scripted(text) => Error::system(text),
                Failure::Source(error) => error,
            })
        }

        fn len(&self) -> Option<u64> {
            let len = self.inner.len()?;
            Some(self.script.limit().map_or(len, |limit| limit.min(len)))
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        struct Data(Vec<u8>);

        impl ReadAt for Data {
            fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
                self.0.as_slice().read_at(pos, buf)
            }

            fn len(&self) -> Option<u64> {
                Some(self.0.len() as u64)
            }
        }

        fn assert_send_sync<T: Send + Sync>() {}

        #[test]
        fn a_faulty_reader_fails_as_told_and_is_shared_between_threads() {
            assert_send_sync::<FaultyReader<Vec<u8>>>();
            let source = FaultyReader::new(Data((0..100).collect())).fail_nth(1, "Input/output error");
            let mut buf = [0; 10];
            assert_eq!(source.read_at(95, &mut buf).unwrap(), 5);
            assert_eq!(source.read_at(0, &mut buf).unwrap_err().to_string(), "Input/output error");
            source.script().add(When::From(2), Fault::Shrink(50));
            assert_eq!(source.read_at(45, &mut buf).unwrap(), 5);
            assert_eq!(ReadAt::len(&source), Some(50));
            assert!(source.borrow(0, 1).is_none());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(pos: u64, buf: &mut [u8]) -> Result<usize, String> {
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = (pos as usize + i) as u8;
        }
        Ok(buf.len())
    }

    #[test]
    fn faults_happen_to_the_reads_they_are_meant_for() {
        let script = Script::new(1)
            .with(When::Nth(1), Fault::Fail("gone".into()))
            .with(When::Touches(100..101), Fault::Zeroes)
            .with(When::Nth(3), Fault::Short(2));
        let mut buf = [0; 8];
        assert_eq!(script.run(1, &mut buf, source), Ok(8));
        assert_eq!(buf, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(script.run(1, &mut buf, source), Err(Failure::Scripted("gone".into())));
        assert_eq!(script.run(96, &mut buf, source), Ok(8));
        assert_eq!(buf, [0; 8]);
        assert_eq!(script.run(7, &mut buf, source), Ok(2));
        assert_eq!(buf[..3], [7, 8, 0]);
        assert_eq!(script.calls()[2], ReadCall { pos: 96, len: 8 });
        let inner = |_: u64, _: &mut [u8]| Err("below".to_string());
        assert_eq!(script.run(0, &mut buf, inner), Err(Failure::Source("below".into())));
    }

    #[test]
    fn random_lengths_are_never_zero_and_repeat_with_the_seed() {
        let lengths = |seed| {
            let script = Script::new(seed).with(When::Always, Fault::RandomLength);
            (0..50).map(|_| script.run(0, &mut [0; 16], source).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(lengths(5), lengths(5));
        assert_ne!(lengths(5), lengths(6));
        assert!(lengths(5).iter().all(|n| (1..=16).contains(n)));
        assert!(lengths(5).iter().any(|&n| n < 16));
    }

    #[test]
    fn a_shrunk_source_stays_shrunk() {
        let script = Script::new(0).with(When::Nth(1), Fault::Shrink(4));
        let mut buf = [0; 8];
        assert_eq!(script.run(0, &mut buf, source), Ok(8));
        assert_eq!(script.run(0, &mut buf, source), Ok(4));
        assert_eq!(script.run(3, &mut buf, source), Ok(1));
        assert_eq!(script.run(9, &mut buf, source), Ok(0));
        assert_eq!(script.limit(), Some(4));
    }

    #[test]
    fn delays_take_their_time() {
        let script = Script::new(0).with(When::Always, Fault::Delay(Duration::from_millis(20)));
        let start = std::time::Instant::now();
        script.run(0, &mut [0; 1], source).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20));
    }
}
