//! What is fuzzed, as plain functions from bytes.
//!
//! ```text
//! fuzz_targets/mod.rs       one line for each target: [`TARGETS`]
//! fuzz_targets/NAME.rs      one target: what its bytes are, and what it begins with
//! src/examine.rs            what every dump that opened is asked, and must answer
//! src/patched.rs            valid dumps with changes, for the targets `open_FORMAT`
//! src/bin/target.rs         the program of the fuzzer
//! src/bin/seeds.rs          writes the corpus
//! tests/replay.rs           runs each target on its corpus and on mutations of it, with any compiler
//! ```
//!
//! No target may panic, whatever the bytes are. Targets that open dumps also
//! check that reads repeat and that bitmaps agree with themselves; what else a
//! target checks stands at the head of its file.
#![forbid(unsafe_code)]

mod examine;
mod input;
mod patched;
mod seeds;
mod source;
#[path = "../fuzz_targets/mod.rs"]
mod targets;

pub use seeds::Seeds;
pub use targets::TARGETS;

/// A target.
pub struct Target {
    /// Its name, which is that of its file and of its folder in `corpus`.
    pub name: &'static str,
    /// Runs it on these bytes.
    pub run: fn(&[u8]),
    /// Makes what fuzzing begins with, always the same.
    pub seeds: fn(&mut Seeds),
}
