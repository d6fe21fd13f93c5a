//! libaddrxlat: the C ABI of address translation.
//!
//! | file | functions |
//! | --- | --- |
//! | `names.rs` | texts and names of numbers |
//! | `ctx.rs`, `callbacks.rs` | contexts, error strings, chains of callbacks |
//! | `map.rs` | maps |
//! | `sys.rs`, `options.rs` | systems, and setting them up |
//! | `step.rs` | translation in steps |
//! | `op.rs` | translation from one space to another |
//!
//! Maps, systems and methods are structures of C, which clients read in place.
//! The Rust library translates with a copy of the system that each context
//! keeps until the system changes.
//!
//! How the two libraries are made, and what entry functions have in common,
//! says the documentation of `kdumpfile_capi_shared`.
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]

mod callbacks;
pub mod ctx;
pub mod map;
pub mod names;
pub mod op;
mod options;
pub mod step;
pub mod sys;
