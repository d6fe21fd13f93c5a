//! What is measured: each case has a name, a target and a closure.
//!
//! Cases of one group take turns, round by round, so that quotients of two of
//! them are of the same moment.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::files::Files;
use crate::subject::{Library, Outcome, Subject};

mod attributes;
mod memory;
mod open;
mod reads;
mod scan;
mod virt;

pub use memory::{ARGUMENT as MEMORY_ARGUMENT, child as memory_child};

/// Runs one round; what it costs, in nanoseconds (or bytes) for each unit.
pub type Round = Box<dyn FnMut() -> Outcome<f64>>;

/// A case that is ready.
pub struct Prepared {
    /// What was read, as a number: the same for all libraries.
    pub answer: u64,
    pub round: Round,
}

/// Gets a case ready for a library.
pub type Prepare = Box<dyn Fn(&'static dyn Library) -> Outcome<Prepared>>;

/// What is measured, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time to open a dump and read a page.
    Open,
    /// Time for a page.
    Page,
    /// Time for a read of eight bytes.
    Read,
    /// Time to ask for an attribute.
    Attribute,
    /// Memory.
    Bytes,
}

impl Unit {
    /// As JSON names it.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Open => "ns/open",
            Unit::Page => "ns/page",
            Unit::Read => "ns/read",
            Unit::Attribute => "ns/attribute",
            Unit::Bytes => "bytes",
        }
    }

    /// `value` for people.
    pub fn show(self, value: f64) -> String {
        if self == Unit::Bytes {
            return format!("{:.1} MiB", value / f64::from(1 << 20));
        }
        match value {
            ..1e3 => format!("{value:.0} ns"),
            ..1e6 => format!("{:.2} us", value / 1e3),
            ..1e9 => format!("{:.2} ms", value / 1e6),
            _ => format!("{:.2} s", value / 1e9),
        }
    }
}

/// One thing that is measured.
pub struct Case {
    pub name: String,
    pub unit: Unit,
    /// How many times as good as the peer the Rust API should be.
    pub target: Option<f64>,
    /// Whether a short run has it, too.
    pub short: bool,
    /// A point in a plot: its curve, and where it is on the other axis.
    pub point: Option<(String, u64)>,
    pub prepare: Prepare,
}

impl Case {
    fn new(
        name: impl Into<String>,
        unit: Unit,
        prepare: impl Fn(&'static dyn Library) -> Outcome<Prepared> + 'static,
    ) -> Self {
        let prepare = Box::new(prepare);
        Case { name: name.into(), unit, target: None, short: false, point: None, prepare }
    }

    fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self
    }

    fn short(mut self) -> Self {
        self.short = true;
        self
    }

    fn point(mut self, curve: impl Into<String>, at: u64) -> Self {
        self.point = Some((curve.into(), at));
        self
    }
}

/// How many times as good one case is as another one, with the same library.
pub struct Quotient {
    pub name: String,
    /// The case that costs more.
    pub over: usize,
    /// The case that costs less.
    pub under: usize,
    /// Who is measured in `over`, if it is not who is measured in `under`.
    pub over_is_rust: bool,
    pub target: Option<f64>,
    pub short: bool,
}

/// Cases that take turns.
pub struct Group {
    pub title: String,
    pub cases: Vec<Case>,
    pub quotients: Vec<Quotient>,
}

impl Group {
    fn new(title: impl Into<String>, cases: Vec<Case>) -> Self {
        Group { title: title.into(), cases, quotients: Vec::new() }
    }
}

/// How much is done in one round.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Pages that are read in a scan, at least.
    pub pages: usize,
    /// Reads of eight bytes.
    pub reads: usize,
    /// For what takes no work that can be chosen: at least so long.
    pub time: Duration,
    pub short: bool,
}

impl Effort {
    pub fn new(short: bool) -> Self {
        match short {
            true => Effort { pages: 15_000, reads: 100_000, time: Duration::from_millis(10), short },
            false => Effort { pages: 60_000, reads: 300_000, time: Duration::from_millis(50), short },
        }
    }

    /// Repeats `work` for at least the time of this effort.
    fn repeat(self, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
        let (clock, start) = (Clock::start(), Instant::now());
        let mut times = 0;
        while times == 0 || start.elapsed() < self.time {
            work()?;
            times += 1;
        }
        Ok(clock.elapsed().as_nanos() as f64 / f64::from(times))
    }
}

/// Nanoseconds for each of `units`.
fn each(time: Duration, units: usize) -> f64 {
    time.as_nanos() as f64 / units.max(1) as f64
}

/// Only this library takes part.
fn only(library: &dyn Library, subject: Subject) -> Outcome<()> {
    match library.subject() == subject {
        true => Ok(()),
        false => Err("not measured".into()),
    }
}

/// An error if reads failed: then what is timed is something else.
fn all_read(failed: u64, of: usize) -> Outcome<()> {
    match failed {
        0 => Ok(()),
        failed => Err(format!("{failed} of {of} reads fail").into()),
    }
}

/// All groups, the same in every process.
pub fn all(files: &Files, effort: Effort) -> Vec<Group> {
    let mut groups = Vec::new();
    groups.extend(open::groups(files, effort));
    groups.extend(scan::groups(files, effort));
    groups.extend(reads::groups(files, effort));
    groups.extend(virt::groups(files, effort));
    groups.extend(attributes::groups(files, effort));
    groups.extend(memory::groups(files));
    if effort.short {
        for group in &mut groups {
            // Quotients name cases by number, so those that they need stay.
            let needed = |number: usize, quotients: &[Quotient]| {
                quotients.iter().any(|q| q.short && (q.over == number || q.under == number))
            };
            let keep: Vec<bool> = (group.cases.iter().enumerate())
                .map(|(number, case)| case.short || needed(number, &group.quotients))
                .collect();
            let renumbered = |number: usize| keep[..number].iter().filter(|kept| **kept).count();
            group.quotients.retain(|quotient| quotient.short);
            for quotient in &mut group.quotients {
                quotient.over = renumbered(quotient.over);
                quotient.under = renumbered(quotient.under);
            }
            let mut kept = keep.iter();
            group.cases.retain(|_| *kept.next().unwrap_or(&false));
        }
        groups.retain(|group| !group.cases.is_empty());
    }
    groups
}
