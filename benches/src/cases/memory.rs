//! Memory that an open dump takes, in a process that does nothing else.
//!
//! What counts is by how much the peak of the resident set (`VmHWM`) is above
//! what was resident before the dump was opened. Pages of files that are mapped
//! are in it; `heap` cases count what is not of a file (`RssAnon`) after opening.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use kdumpfile::Space;

use super::{Case, Group, Prepared, Unit, all_read, scan};
use crate::files::{Files, Named, PAGE};
use crate::subject::{Outcome, Subject};

/// The argument that makes a process measure itself.
pub const ARGUMENT: &str = "--measure-memory";

pub fn groups(files: &Files) -> Vec<Group> {
    let [terabyte, more] = &files.sparse;
    let mut open = vec![
        case(&files.codecs[0], Moment::Open),
        case(&files.elf, Moment::Open),
        case(terabyte, Moment::Open).target(5.0).short(),
        case(terabyte, Moment::Heap),
        case(more, Moment::Open),
        case(more, Moment::Heap),
    ];
    open.extend(files.flattened.iter().map(|file| case(file, Moment::Open)));
    let scanned = [&files.codecs[0], &files.elf, terabyte].map(|file| case(file, Moment::Scan));
    vec![Group::new("Memory at open", open), Group::new("Memory at the peak of a scan", scanned.into())]
}

/// When memory is measured, and which.
#[derive(Clone, Copy)]
enum Moment {
    Open,
    Heap,
    Scan,
}

impl Moment {
    /// The argument of the process that measures itself.
    fn argument(self) -> &'static str {
        match self {
            Moment::Open => "open",
            Moment::Heap => "heap",
            Moment::Scan => "scan",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Moment::Open => "memory after opening",
            Moment::Heap => "heap after opening",
            Moment::Scan => "memory after a scan",
        }
    }
}

fn case(file: &Named, moment: Moment) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("{}: {}", moment.title(), file.name), Unit::Bytes, move |library| {
        let (paths, subject) = (paths.clone(), library.subject());
        let round = move || {
            let mut command = Command::new(std::env::current_exe()?);
            command.args([ARGUMENT, subject.name(), moment.argument()]).args(&paths);
            let output = command.output()?;
            let text = String::from_utf8_lossy(&output.stdout);
            match output.status.success() {
                true => Ok(text.trim().parse()?),
                false => Err(String::from_utf8_lossy(&output.stderr).trim().into()),
            }
        };
        Ok(Prepared { answer: 0, round: Box::new(round) })
    })
}

/// One line of `/proc/self/status`, in bytes.
fn status(name: &str) -> Outcome<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kibibytes: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes << 10)
}

/// The process that measures itself.
pub fn child(subject: Subject, how: &str, paths: &[PathBuf]) -> Outcome<()> {
    if how == "list" {
        return list(paths);
    }
    let library = subject.load()?;
    // Found by us, in another process: looking is not to count.
    let addresses = match how {
        "scan" => addresses_by_child(paths)?,
        _ => Vec::new(),
    };
    // The peak starts anew here.
    let _ = fs::write("/proc/self/clear_refs", "5");
    let heap = how == Moment::Heap.argument();
    let before = status(if heap { "RssAnon" } else { "VmRSS" })?;
    let mut dump = library.open(paths)?;
    let failed = dump.read_each(Space::MachinePhysical, &addresses, &mut [0; PAGE as usize]);
    let after = status(if heap { "RssAnon" } else { "VmHWM" })?;
    all_read(failed, addresses.len())?;
    println!("{}", after.saturating_sub(before));
    Ok(())
}

/// The addresses to scan, from a process of its own.
fn addresses_by_child(paths: &[PathBuf]) -> Outcome<Vec<u64>> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args([ARGUMENT, "rust", "list"]).args(paths).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::parse).collect::<Result<_, _>>()?)
}

/// Lists addresses for [`addresses_by_child`].
fn list(paths: &[PathBuf]) -> Outcome<()> {
    let addresses = scan::addresses(paths)?;
    let text: Vec<String> = addresses.iter().map(u64::to_string).collect();
    println!("{}", text.join("\n"));
    Ok(())
}
