//! The command line.

use std::path::PathBuf;
use std::process::Command;

use crate::subject::Outcome;

pub const USAGE: &str = "\
Usage: cargo run --release -p kdumpfile-bench -- [OPTION...]

Measures our Rust API, our C ABI and the C library of the distribution (Debian:
libkdumpfile10) in one run, on the same files, in turn. Prints ratios: how many
times as fast (or small) as that library ours are.

  --short          the cases that have a target, with less work; exit code 1 if
                   the Rust API is below 80% of one, or, if that is known to be
                   missed, of what was measured then; a group that fails is
                   measured up to twice more, and the best run of each case
                   counts, so its figures are not for publication
  --rounds N       rounds of each case (default 5)
  --only TEXT      only groups that have a case with TEXT in its name
  --list           list the cases and end
  --cpu            the time that the processor spends instead of the time that
                   passes, for a machine that does other things, too; waiting
                   is not in it, and several threads take as long as the one
                   that spends most
  --c FILE         our libkdumpfile.so.10 (default: it is built)
  --no-c           without our C ABI
  --json FILE      write all figures there
  --write-docs     write docs/performance.md and its plots
";

/// What the user wants.
#[derive(Debug)]
pub struct Options {
    pub short: bool,
    pub rounds: usize,
    pub only: Option<String>,
    pub list: bool,
    pub cpu: bool,
    pub c: Option<PathBuf>,
    pub no_c: bool,
    pub json: Option<PathBuf>,
    pub write_docs: bool,
}

/// Rounds that are enough for a median, a minimum and a maximum.
const ROUNDS_MIN: usize = 1;

impl Options {
    /// `Err` has the text to show.
    pub fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut options = Options {
            short: false,
            rounds: 0,
            only: None,
            list: false,
            cpu: false,
            c: None,
            no_c: false,
            json: None,
            write_docs: false,
        };
        let mut arguments = arguments;
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{name} wants a value\n\n{USAGE}"));
            match name.as_str() {
                "--short" => options.short = true,
                "--rounds" => {
                    let rounds = value()?;
                    let number = rounds.parse().ok().filter(|number| *number >= ROUNDS_MIN);
                    options.rounds = number.ok_or(format!("--rounds {rounds}: not a number of rounds"))?;
                }
                "--only" => options.only = Some(value()?),
                "--list" => options.list = true,
                "--cpu" => options.cpu = true,
                "--c" => options.c = Some(value()?.into()),
                "--no-c" => options.no_c = true,
                "--json" => options.json = Some(value()?.into()),
                "--write-docs" => options.write_docs = true,
                "--help" | "-h" => return Err(USAGE.into()),
                other => return Err(format!("unknown option {other}\n\n{USAGE}")),
            }
        }
        if options.rounds == 0 {
            options.rounds = 5;
        }
        Ok(options)
    }

    /// Where our C ABI is; it is built if the user did not name one.
    pub fn our_c(&self) -> Outcome<Option<PathBuf>> {
        if self.no_c {
            return Ok(None);
        }
        if let Some(file) = &self.c {
            return Ok(Some(std::fs::canonicalize(file)?));
        }
        let prefix = kdumpfile_testkit::dumps::cache_folder().with_file_name("bench-capi");
        let profile = std::env::var("KDUMPFILE_CAPI_PROFILE").unwrap_or_else(|_| "capi".into());
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(root()).args(["run", "-q", "-p", "xtask", "--", "install-capi", "--prefix"]);
        command.arg(&prefix).args(["--profile", &profile]).stdout(std::process::Stdio::null());
        if !command.status()?.success() {
            return Err("our C ABI cannot be built (--no-c measures without it)".into());
        }
        Ok(Some(std::fs::canonicalize(prefix.join("lib/libkdumpfile.so.10"))?))
    }
}

/// The workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}
