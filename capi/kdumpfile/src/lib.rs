//! libkdumpfile: the C ABI of reading dumps.
//!
//! | file | functions |
//! | --- | --- |
//! | `ctx.rs` | contexts: making, cloning, freeing, errors |
//! | `generation.rs` | what differs between libkdumpfile.so.10 and .so.12 |
//!
//! How the two libraries are made, and what entry functions have in common,
//! says the documentation of `kdumpfile_capi_shared`.
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod ctx;
pub mod status;
