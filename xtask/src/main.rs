//! Tasks of this repository that are more than a command.
//!
//! ```text
//! cargo run -p xtask -- install-capi --prefix DIR [--abi 10|12] [--profile NAME] [--libdir NAME]
//! ```

mod capi;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo run -p xtask -- install-capi --prefix DIR [--abi 10|12] [--profile NAME] [--libdir NAME]

Builds libkdumpfile and libaddrxlat, and installs shared and static libraries,
headers and pkg-config files below DIR.

  --prefix DIR     where to install
  --abi 10|12      generation of the C ABI (default 10; 12 gets headers and
                   pkg-config files of its own beside those of 10)
  --profile NAME   Cargo profile to build with (default capi)
  --libdir NAME    folder for libraries below DIR (default lib)
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.split_first() {
        Some((task, rest)) if task == "install-capi" => {
            capi::Options::parse(rest).and_then(|options| capi::install(&options))
        }
        Some((help, _)) if help == "--help" || help == "-h" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}
