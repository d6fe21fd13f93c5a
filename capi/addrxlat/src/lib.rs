//! libaddrxlat: the C ABI of address translation.
//!
//! | file | functions |
//! | --- | --- |
//! | `names.rs` | texts and names of numbers |
//! | `ctx.rs` | contexts and their error strings |
//!
//! How the two libraries are made, and what entry functions have in common,
//! says the documentation of `kdumpfile_capi_shared`.
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod ctx;
pub mod names;
