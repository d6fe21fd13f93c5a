//! `kdumpfile`: look into kernel crash dumps from the command line.
//!
//! | module | is |
//! | --- | --- |
//! | `args` | the command line and its help |
//! | `open` | files to dumps, and advice when that fails |
//! | `info`, `attr`, `pages`, `hash`, `read` | one command each |
//! | `output`, `progress` | standard output; standard error while it takes long |
//! | `failure` | errors and exit codes |

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

mod args;
mod attr;
mod codecs;
mod failure;
mod hash;
mod info;
mod open;
mod output;
mod pages;
mod progress;
mod read;

use args::{Command, CommandLine};
use failure::{Failure, Result};
use output::Output;

fn main() -> ExitCode {
    let args = CommandLine::parse();
    let mut out = Output::new();
    let done = run(args, &mut out);
    // What could be found out is shown before the reason why there is no more.
    let flushed = out.flush().map_err(Failure::from);
    match flushed.and(done) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.report()),
    }
}

fn run(args: CommandLine, out: &mut Output) -> Result<()> {
    let json = args.json;
    match args.command {
        Command::Info { files } if files.is_empty() => info::run(&open::open_sample()?, &[], json, out),
        Command::Info { files } => info::run(&open::open(&files)?, &files, json, out),
        Command::Attr { files, keys } => attr::run(&open::open(&files.files)?, &keys, json, out),
        Command::Pages { files, memory } => pages::run(&open::open(&files.files)?, memory, json, out),
        Command::Hash { files, threads } => hash::run(&open::open(&files.files)?, threads, json, out),
        Command::Read(mut args) => {
            let mut files = vec![std::mem::take(&mut args.file)];
            files.append(&mut args.parts);
            read::run(&open::open(&files)?, &args, json, out)
        }
    }
}
