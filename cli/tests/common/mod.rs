//! Runs the program.
#![allow(dead_code)] // Each test file uses its own part of this.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use kdumpfile_testkit::dumps::{self, RealDump};
use serde_json::Value;

pub fn command<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kdumpfile"));
    command.args(args).stdin(Stdio::null());
    command
}

pub struct Done {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Done {
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("text on standard output")
    }

    /// The JSON on standard output.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The same, asserting that all went well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""));
        self
    }
}

/// Runs the program to its end.
pub fn run<S: AsRef<OsStr>>(args: &[S]) -> Done {
    let Output { status, stdout, stderr } = command(args).output().expect("the program runs");
    Done { code: status.code(), stdout, stderr: String::from_utf8(stderr).expect("text on standard error") }
}

/// Runs `command` on the files of a dump, the way commands want them that have
/// other arguments behind the first file.
pub fn run_with_parts(dump: &RealDump, command: &str, more: &[&str]) -> Done {
    let mut args: Vec<OsString> = vec![command.into(), dump.files[0].clone().into()];
    for part in &dump.files[1..] {
        args.extend(["--part".into(), part.into()]);
    }
    args.extend(more.iter().map(OsString::from));
    run(&args)
}

/// Runs `command` on the files of a dump.
pub fn run_on(dump: &RealDump, command: &str, more: &[&str]) -> Done {
    let mut args: Vec<OsString> = vec![command.into()];
    args.extend(dump.files.iter().map(OsString::from));
    args.extend(more.iter().map(OsString::from));
    run(&args)
}

/// All dumps of formats that the library has; the others are named.
pub fn real_dumps() -> Vec<RealDump> {
    let known: Vec<&str> =
        kdumpfile::format::FORMATS.iter().filter(|row| row.reads).map(|row| row.name).collect();
    let (supported, other): (Vec<_>, Vec<_>) =
        dumps::real_dumps().unwrap_or_default().into_iter().partition(|dump| {
            let format = dump.truth().as_opened().string("file.format").unwrap();
            known.contains(&&*format)
        });
    for dump in other {
        eprintln!("skipped: no format for {} yet", dump.name);
    }
    supported
}

/// A file below the target folder with these bytes.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).expect("file in the target folder");
    path
}
