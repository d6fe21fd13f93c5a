//! What was measured: rounds, ratios, and how they are written.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cases::Unit;
use crate::known::{self, Known};
use crate::subject::Subject;

/// Below this part of its target a case fails.
pub const TOLERATED: f64 = 0.8;

/// Median, minimum and maximum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` if there are none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        };
        Some(Spread { median, min, max })
    }

    fn show(self) -> String {
        format!("{} ({} - {})", number(self.median), number(self.min), number(self.max))
    }

    fn json(self) -> Value {
        json!({"median": self.median, "min": self.min, "max": self.max})
    }
}

/// A ratio with as many digits as say something.
fn number(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Rounds of the three subjects, or why there are none.
pub type Rounds = [Result<Vec<f64>, String>; 3];

/// One line of the report.
pub struct Row {
    pub group: String,
    pub name: String,
    pub target: Option<f64>,
    pub kind: Kind,
}

/// What a line shows.
pub enum Kind {
    /// A case: what it costs.
    Case { unit: Unit, rounds: Rounds, point: Option<(String, u64)>, differs: bool },
    /// How many times as good one case is as another one, round by round.
    Quotient { rounds: Rounds },
}

impl Row {
    /// Rounds of one subject.
    pub fn rounds(&self, subject: Subject) -> Option<&[f64]> {
        let (Kind::Case { rounds, .. } | Kind::Quotient { rounds }) = &self.kind;
        rounds[subject as usize].as_deref().ok()
    }

    /// How many times as good as the peer a subject is; of a quotient, itself.
    pub fn ratio(&self, subject: Subject) -> Option<Spread> {
        let mine = self.rounds(subject)?;
        match self.kind {
            Kind::Quotient { .. } => Spread::of(mine),
            Kind::Case { .. } => {
                let peer = self.rounds(Subject::Peer)?;
                let ratios: Vec<f64> =
                    peer.iter().zip(mine).map(|(peer, mine)| peer / mine.max(f64::MIN_POSITIVE)).collect();
                Spread::of(&ratios)
            }
        }
    }

    /// What the Rust API reaches of the target, if there is one and it was measured.
    pub fn reached(&self) -> Option<f64> {
        Some(self.ratio(Subject::Rust)?.median / self.target?)
    }

    /// What is known about why the target is missed.
    pub fn known(&self) -> Option<&'static Known> {
        self.target.and_then(|_| known::about(&self.name))
    }

    /// The ratio below which a short run fails.
    fn floor(&self) -> Option<f64> {
        let target = self.target?;
        Some(self.known().map_or(target, |known| known.measured.min(target)) * TOLERATED)
    }

    /// This one, or another measurement of the same that is nearer to the target.
    pub fn better(self, other: Row) -> Row {
        match (self.reached(), other.reached()) {
            (Some(mine), Some(others)) if others > mine => other,
            (None, Some(_)) => other,
            _ => self,
        }
    }

    /// Why a subject was not measured, and what else there is to say.
    fn remarks(&self) -> impl Iterator<Item = String> + '_ {
        let (Kind::Case { rounds, .. } | Kind::Quotient { rounds }) = &self.kind;
        let texts = Subject::ALL.into_iter().zip(rounds).filter_map(|(subject, rounds)| {
            let text = rounds.as_ref().err().filter(|text| !text.is_empty() && *text != "not measured")?;
            Some(format!("{} ({}): {text}", self.name, subject.name()))
        });
        let reached = self.known().filter(|_| self.reached().is_some_and(|reached| reached >= 1.0));
        let texts = texts.chain(reached.map(|known| format!("{}: the target is reached", known.case)));
        let differs = matches!(self.kind, Kind::Case { differs: true, .. });
        texts.chain(differs.then(|| format!("{}: the libraries read different bytes", self.name)))
    }
}

/// The title of the table.
pub const HEAD: &str = "\
| case | Rust API | C ABI | target | Rust API takes | C ABI takes | peer takes |
| --- | --- | --- | ---: | ---: | ---: | ---: |
";

/// One line of the table.
pub fn line(row: &Row) -> String {
    let ratio = |subject| row.ratio(subject).map_or("-".into(), Spread::show);
    let target = row.target.map_or(String::new(), number);
    let cost = |subject: Subject| -> String {
        let Some(spread) = row.rounds(subject).and_then(Spread::of) else { return "-".into() };
        match &row.kind {
            Kind::Case { unit, .. } => unit.show(spread.median),
            Kind::Quotient { .. } if subject == Subject::Peer => format!("{} x", number(spread.median)),
            Kind::Quotient { .. } => String::new(),
        }
    };
    let mark = match row.reached() {
        Some(reached) if reached < 1.0 => " (missed)",
        _ => "",
    };
    let [rust, c, peer] = Subject::ALL.map(cost);
    format!(
        "| {} | {} | {} | {target}{mark} | {rust} | {c} | {peer} |",
        row.name,
        ratio(Subject::Rust),
        ratio(Subject::OurC)
    )
}

/// Remarks about rows, one a line.
pub fn remarks(rows: &[Row]) -> Vec<String> {
    rows.iter().flat_map(Row::remarks).collect()
}

/// Everything as JSON.
pub fn json(rows: &[Row], machine: &str) -> Value {
    let objects: Vec<Value> = rows
        .iter()
        .map(|row| {
            let each = |of: &dyn Fn(Subject) -> Option<Value>| -> Value {
                let pair = |subject: Subject| (subject.name().to_string(), of(subject).unwrap_or_default());
                Value::Object(Subject::ALL.into_iter().map(pair).collect())
            };
            let mut object = json!({
                "group": row.group,
                "name": row.name,
                "target": row.target,
                "reached": row.reached(),
                "ratio": each(&|subject| row.ratio(subject).map(Spread::json)),
                "rounds": each(&|subject| row.rounds(subject).map(Value::from)),
            });
            if let Kind::Case { unit, .. } = &row.kind {
                object["unit"] = unit.name().into();
            }
            object
        })
        .collect();
    json!({"machine": machine, "rows": objects, "remarks": remarks(rows)})
}

/// Rows below what is tolerated, as text; empty if there are none.
pub fn failures(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let (Some(target), Some(floor)) = (row.target, row.floor()) else { continue };
        match row.ratio(Subject::Rust).map(|ratio| ratio.median) {
            Some(ratio) if ratio >= floor => {}
            Some(ratio) => {
                let percent = ratio / target * 100.0;
                let _ = write!(text, "{}: {percent:.0}% of the target {}", row.name, number(target));
                let known =
                    row.known().map(|known| format!(", where {} was measured", number(known.measured)));
                let _ = writeln!(text, "{}", known.unwrap_or_default());
            }
            None => {
                let _ = writeln!(text, "{}: not measured", row.name);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(rust: &[f64], peer: &[f64], target: f64) -> Row {
        let rounds = [Ok(rust.to_vec()), Err("not measured".into()), Ok(peer.to_vec())];
        let kind = Kind::Case { unit: Unit::Read, rounds, point: None, differs: false };
        Row { group: String::new(), name: "a".into(), target: Some(target), kind }
    }

    #[test]
    fn ratios_are_those_of_rounds_and_not_of_medians() {
        let row = row(&[1.0, 2.0, 4.0], &[8.0, 4.0, 4.0], 2.0);
        let spread = row.ratio(Subject::Rust).unwrap();
        assert_eq!(spread, Spread { median: 2.0, min: 1.0, max: 8.0 });
        assert_eq!(row.ratio(Subject::OurC), None);
        assert_eq!(line(&row), "| a | 2.00 (1.00 - 8.00) | - | 2.00 | 2 ns | - | 4 ns |");
    }

    #[test]
    fn a_case_fails_below_four_fifths_of_its_target() {
        assert_eq!(failures(&[row(&[1.0], &[1.6], 2.0)]), "");
        assert_eq!(failures(&[row(&[1.0], &[1.58], 2.0)]), "a: 79% of the target 2.00\n");
        assert_eq!(failures(&[row(&[], &[], 2.0)]), "a: not measured\n");
        assert!(line(&row(&[1.0], &[1.6], 2.0)).contains("(missed)"));
    }

    #[test]
    fn a_case_whose_target_is_missed_fails_below_four_fifths_of_what_was_measured() {
        let known = crate::known::KNOWN.first().unwrap();
        let named =
            |ratio: f64| Row { name: known.case.into(), ..row(&[1.0], &[ratio], known.measured * 2.0) };
        assert_eq!(failures(&[named(known.measured * 0.81)]), "");
        let worse = failures(&[named(known.measured * 0.79)]);
        assert!(worse.ends_with(&format!(", where {} was measured\n", number(known.measured))), "{worse}");
        // Without a target it is nothing to be held to.
        assert_eq!(failures(&[Row { target: None, ..named(0.1) }]), "");
        assert_eq!(remarks(&[named(known.measured)]), [""; 0]);
        assert_eq!(
            remarks(&[named(known.measured * 2.0)]),
            [format!("{}: the target is reached", known.case)]
        );
    }

    #[test]
    fn of_two_measurements_the_better_one_counts() {
        let better = row(&[2.0], &[2.0], 2.0).better(row(&[1.0], &[2.0], 2.0));
        assert_eq!(better.reached(), Some(1.0));
        assert_eq!(better.better(row(&[1.0], &[1.0], 2.0)).reached(), Some(1.0));
    }

    #[test]
    fn an_even_number_of_rounds_has_a_median_between_two() {
        assert_eq!(Spread::of(&[4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(&[]), None);
    }
}
