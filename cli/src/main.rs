//! `kdumpfile`: look into kernel crash dumps from the command line.
//!
//! | module | is |
//! | --- | --- |
//! | `args`, `help`, `number` | the command line, its help, numbers on it |
//! | `open`, `raw`, `settings` | files to dumps, raw images of memory too, what the user says of them, and advice when opening fails |
//! | `translation`, `symbols` | what translating addresses takes |
//! | `info`, `attr`, `pages`, `hash`, `search`, `read`, `xlat`, `maps`, `regs`, `domains`, `vmcoreinfo` | one command each |
//! | `codecs`, `walk`, `pte`, `regions` | how pages are packed; page tables and their bits; places of the kernel |
//! | `output`, `progress` | standard output; standard error while it takes long |
//! | `failure` | errors and exit codes |

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod args;
mod attr;
mod codecs;
mod domains;
mod failure;
mod hash;
mod help;
mod info;
mod maps;
mod number;
mod open;
mod output;
mod pages;
mod progress;
mod pte;
mod raw;
mod read;
mod regions;
mod regs;
mod search;
mod settings;
mod symbols;
mod translation;
mod vmcoreinfo;
mod walk;
mod xlat;

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
    let open = |files: &[PathBuf]| open::open(files, &args.raw_at, &args.settings);
    match args.command {
        Command::Info { files } if files.is_empty() => {
            info::run(&open::open_sample(&args.settings)?, &[], json, out)
        }
        Command::Info { files } => info::run(&open(&files)?, &files, json, out),
        Command::Attr { files, keys } => attr::run(&open(&files.files)?, &keys, json, out),
        Command::Pages { files, memory } => pages::run(&open(&files.files)?, memory, json, out),
        Command::Hash { files, threads } => hash::run(&open(&files.files)?, threads, json, out),
        Command::Search(args) => search::run(&open(&args.set.files())?, &args, json, out),
        Command::Read(args) => read::run(&open(&args.set.files())?, &args, json, out),
        Command::Xlat(args) => {
            let dump = open(&args.set.files())?;
            translation::prepare(&dump, &args.translation)?;
            xlat::run(&dump, &args, json, out)
        }
        Command::Maps { files, translation } => {
            let dump = open(&files.files)?;
            translation::prepare(&dump, &translation)?;
            maps::run(&dump, json, out)
        }
        Command::Regs { set, cpu } => regs::run(&open(&set.files())?, cpu, json, out),
        Command::Domains(args) => domains::run(&open(&args.files.files)?, &args, json, out),
        Command::Vmcoreinfo { files, scan, number, os } => {
            let dump = open(&files.files)?;
            match scan || number.is_some() {
                true => vmcoreinfo::scan(&dump, number, json, out),
                false => vmcoreinfo::run(&dump, os, json, out),
            }
        }
    }
}
