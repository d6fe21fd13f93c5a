//! A process for each library, which works when it is asked to.
//!
//! ```text
//!   prepare N   ->  ok ANSWER   or  no TEXT     gets case N ready
//!   round N     ->  ok COST     or  no TEXT     one round of it
//!   forget      ->  ok 0                        of all cases
//! ```
//!
//! Only one of them works at a time. Their own processes keep the libraries
//! apart: two of them have the same names, and none finds the other's heap.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::cases::{Case, Effort, Group, Round, all};
use crate::files::Files;
use crate::subject::{Outcome, Subject};

/// The argument that makes a process a worker.
pub const ARGUMENT: &str = "--worker";

/// The process that measures one library, seen from outside.
pub struct Worker {
    pub subject: Subject,
    process: Child,
    requests: Option<ChildStdin>,
    replies: BufReader<ChildStdout>,
}

impl Worker {
    pub fn start(subject: Subject, short: bool) -> Outcome<Worker> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([ARGUMENT, subject.name(), if short { "short" } else { "long" }]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let requests = process.stdin.take();
        let replies = BufReader::new(process.stdout.take().ok_or("no pipe")?);
        let mut worker = Worker { subject, process, requests, replies };
        worker.reply()?;
        Ok(worker)
    }

    fn ask(&mut self, request: &str) -> Outcome<String> {
        let requests = self.requests.as_mut().ok_or("no pipe")?;
        writeln!(requests, "{request}")?;
        requests.flush()?;
        self.reply()
    }

    fn reply(&mut self) -> Outcome<String> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        match line.trim_end().split_once(' ') {
            Some(("ok", value)) => Ok(value.into()),
            Some(("no", text)) => Err(text.into()),
            _ => Err("the process ended".into()),
        }
    }

    /// Gets a case ready; what was read.
    pub fn prepare(&mut self, number: usize) -> Outcome<u64> {
        Ok(self.ask(&format!("prepare {number}"))?.parse()?)
    }

    pub fn round(&mut self, number: usize) -> Outcome<f64> {
        Ok(self.ask(&format!("round {number}"))?.parse()?)
    }

    pub fn forget(&mut self) -> Outcome<()> {
        self.ask("forget").map(|_| ())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // The end of its input ends it.
        self.requests = None;
        let _ = self.process.wait();
    }
}

/// The same process, seen from inside.
pub fn run(subject: Subject, short: bool) -> Outcome<()> {
    let library = match subject.load() {
        Ok(library) => library,
        Err(error) => {
            println!("no {error}");
            return Ok(());
        }
    };
    let groups = all(&Files::prepare(short)?, Effort::new(short));
    let cases: Vec<Case> = groups.into_iter().flat_map(|group: Group| group.cases).collect();
    let mut ready: HashMap<usize, Round> = HashMap::new();
    let mut work = |line: &str| -> Outcome<String> {
        match line.split_once(' ') {
            Some(("prepare", number)) => {
                let number: usize = number.parse()?;
                let case: &Case = cases.get(number).ok_or("no such case")?;
                let prepared = (case.prepare)(library)?;
                ready.insert(number, prepared.round);
                Ok(prepared.answer.to_string())
            }
            Some(("round", number)) => {
                let round = ready.get_mut(&number.parse()?).ok_or("not ready")?;
                Ok(round()?.to_string())
            }
            _ => {
                ready.clear();
                Ok("0".into())
            }
        }
    };
    println!("ok 0");
    for line in io::stdin().lock().lines() {
        match work(&line?) {
            Ok(value) => println!("ok {value}"),
            Err(error) => println!("no {}", error.to_string().replace('\n', " ")),
        }
    }
    Ok(())
}
