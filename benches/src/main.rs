//! Measures kdumpfile side by side with the C library, in one run, on the
//! same files, in turn: `cargo run --release -p kdumpfile-bench`.
//!
//! ```text
//!   main ── round by round ──> worker: our Rust API
//!     │                    ──> worker: our C ABI    each loads one library
//!     │                    ──> worker: the peer     and works when asked to
//!     └─> report (text, JSON), plot, docs
//! ```
//!
//! What is measured stands in `cases`, one module a topic; `files` makes what
//! is read. `docs/performance.md` explains the figures. Hit ratios of the page
//! cache are compared by `--bin hit-ratio`.

mod c;
mod cases;
mod clock;
mod docs;
mod files;
mod known;
mod options;
mod plot;
mod report;
mod subject;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use cases::{Effort, Group};
use files::Files;
use options::Options;
use report::{Kind, Rounds, Row};
use subject::{OUR_C, Outcome, Subject};
use worker::Worker;

/// How often a short run measures again what is below its target.
const RETRIES: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match special(&arguments) {
        Some(Ok(())) => return ExitCode::SUCCESS,
        Some(Err(error)) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
        None => {}
    }
    match Options::parse(arguments.into_iter()).map_err(Into::into).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Does the work of a process that another one of this program started.
fn special(arguments: &[String]) -> Option<Outcome<()>> {
    let [kind, subject, how, paths @ ..] = arguments else { return None };
    let subject = Subject::from_name(subject)?;
    match kind.as_str() {
        worker::ARGUMENT => Some(worker::run(subject, how == "short")),
        cases::MEMORY_ARGUMENT => {
            let paths: Vec<_> = paths.iter().map(Into::into).collect();
            Some(cases::memory_child(subject, how, &paths))
        }
        _ => None,
    }
}

fn run(options: &Options) -> Outcome<()> {
    let files = Files::prepare(options.short)?;
    let groups = cases::all(&files, Effort::new(options.short));
    if options.list {
        for case in groups.iter().flat_map(|group| &group.cases) {
            println!("{}", case.name);
        }
        return Ok(());
    }
    if let Some(path) = options.our_c()? {
        // SAFETY: there are no other threads yet.
        unsafe { std::env::set_var(OUR_C, path) };
    }
    if options.cpu {
        // SAFETY: there are no other threads yet.
        unsafe { std::env::set_var(clock::CPU, "1") };
    }
    let mut workers: Vec<Worker> = Vec::new();
    for subject in Subject::ALL {
        match Worker::start(subject, options.short) {
            Ok(worker) => workers.push(worker),
            Err(_) if options.no_c && subject == Subject::OurC => {}
            Err(error) => eprintln!("without {}: {error}", subject.name()),
        }
    }
    if workers.last().is_none_or(|worker| worker.subject != Subject::Peer) {
        return Err("there is nothing to compare with (Debian: libkdumpfile10)".into());
    }
    print!("{}", report::HEAD);
    let mut rows = Vec::new();
    let mut first = 0;
    for group in &groups {
        let wanted = |text: &String| group.cases.iter().any(|case| case.name.contains(text.as_str()));
        if options.only.as_ref().is_none_or(wanted) {
            let mut measured = measure(group, first, &mut workers, options.rounds)?;
            // Somebody else may have used the machine meanwhile.
            for _ in 0..RETRIES {
                if !options.short || report::failures(&measured).is_empty() {
                    break;
                }
                let again = measure(group, first, &mut workers, options.rounds)?;
                measured = measured.into_iter().zip(again).map(|(old, new)| old.better(new)).collect();
            }
            for row in &measured {
                println!("{}", report::line(row));
            }
            rows.extend(measured);
        }
        first += group.cases.len();
    }
    for remark in report::remarks(&rows) {
        println!("{remark}");
    }
    let machine = machine();
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{:#}\n", report::json(&rows, &machine)))?;
    }
    if options.write_docs {
        docs::write(&rows, &machine)?;
    }
    match report::failures(&rows) {
        failures if options.short && !failures.is_empty() => {
            Err(format!("\nbelow {:.0}% of the target:\n{failures}", report::TOLERATED * 100.0).into())
        }
        _ => Ok(()),
    }
}

/// Measures the cases of a group, whose first one has number `first`.
fn measure(group: &Group, first: usize, workers: &mut [Worker], rounds: usize) -> Outcome<Vec<Row>> {
    let nobody = || -> Rounds { [(); 3].map(|()| Err(String::new())) };
    let mut costs: Vec<Rounds> = group.cases.iter().map(|_| nobody()).collect();
    let mut answers: Vec<Vec<u64>> = vec![Vec::new(); group.cases.len()];
    for (number, case) in group.cases.iter().enumerate() {
        progress(&case.name);
        for worker in workers.iter_mut() {
            // The first round is not counted.
            let ready = worker.prepare(first + number).and_then(|answer| {
                worker.round(first + number)?;
                Ok(answer)
            });
            costs[number][worker.subject as usize] = match ready {
                Ok(answer) => {
                    answers[number].push(answer);
                    Ok(Vec::new())
                }
                Err(error) => Err(error.to_string()),
            };
        }
    }
    for round in 0..rounds {
        for (number, costs) in costs.iter_mut().enumerate() {
            for turn in 0..workers.len() {
                let place = (turn + round) % workers.len();
                let worker = &mut workers[place];
                let mine = &mut costs[worker.subject as usize];
                let Ok(measured) = mine else { continue };
                match worker.round(first + number) {
                    Ok(cost) => measured.push(cost),
                    Err(error) => *mine = Err(error.to_string()),
                }
            }
        }
    }
    progress("");
    for worker in workers {
        worker.forget()?;
    }
    let mut rows = Vec::new();
    for ((case, rounds), answers) in group.cases.iter().zip(&costs).zip(answers) {
        let differs = answers.windows(2).any(|pair| pair[0] != pair[1]);
        let kind = Kind::Case { unit: case.unit, rounds: rounds.clone(), point: case.point.clone(), differs };
        rows.push(Row { group: group.title.clone(), name: case.name.clone(), target: case.target, kind });
    }
    for quotient in &group.quotients {
        let rounds = Subject::ALL.map(|subject| {
            let whose = if quotient.over_is_rust { Subject::Rust } else { subject };
            let over = costs[quotient.over][whose as usize].as_ref();
            let under = costs[quotient.under][subject as usize].as_ref();
            match (over, under) {
                (Ok(over), Ok(under)) => {
                    Ok(over.iter().zip(under).map(|(over, under)| over / under).collect())
                }
                _ => Err(String::new()),
            }
        });
        let kind = Kind::Quotient { rounds };
        rows.push(Row {
            group: group.title.clone(),
            name: quotient.name.clone(),
            target: quotient.target,
            kind,
        });
    }
    Ok(rows)
}

/// Tells somebody at a terminal what is going on.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

/// What the figures were measured on.
fn machine() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown processor", |(_, model)| model);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let time = if clock::spent_wanted() { "the processor's time" } else { "the time that passes" };
    let codecs = if cfg!(feature = "native-codecs") { "C libraries" } else { "Rust" };
    format!(
        "{processors} processors ({model}), Linux {}; {time}; zlib and zstd of the Rust API in {codecs}",
        release.trim()
    )
}
