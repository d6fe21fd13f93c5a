//! Runs the program.
#![allow(dead_code)] // Each test file uses its own part of this.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

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
