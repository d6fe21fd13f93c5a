//! Chooses the dump that is built into the programs: the one that variable
//! `BARE_DUMP` names, or the sample of the command line.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-env-changed=BARE_DUMP");
    let sample = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("../cli/sample/vmcore.sample");
    let dump = env::var("BARE_DUMP").unwrap_or_else(|_| sample.display().to_string());
    println!("cargo::rerun-if-changed={dump}");
    println!("cargo::rustc-env=BARE_DUMP_FILE={dump}");
}
