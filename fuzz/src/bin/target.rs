//! The program of the fuzzer. `KDUMPFILE_TARGET` names the target that it runs.
#![no_main]

use std::sync::OnceLock;

use kdumpfile_fuzz::TARGETS;
use libfuzzer_sys::fuzz_target;

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

/// What `KDUMPFILE_TARGET` names; ends the program if it names nothing.
fn chosen() -> fn(&[u8]) {
    let name = std::env::var("KDUMPFILE_TARGET").unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("KDUMPFILE_TARGET is {name:?}, but has to be one of: {}", names.join(" "));
        std::process::exit(2);
    };
    target.run
}

fuzz_target!(
    init: {
        RUN.get_or_init(chosen);
    },
    |data: &[u8]| RUN.get_or_init(chosen)(data)
);
