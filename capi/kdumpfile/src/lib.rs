//! libkdumpfile: the C ABI of reading dumps.
//!
//! | file | holds |
//! | --- | --- |
//! | `ctx.rs` | contexts: making, cloning, freeing, errors, private data |
//! | `open.rs` | opening by descriptors, names of files |
//! | `read.rs` | reading memory and VMCOREINFO, byte order |
//! | `attr.rs` | attributes by key and by reference, iteration |
//! | `generation.rs` | what differs between libkdumpfile.so.10 and .so.12 |
//! | `blob.rs`, `bitmap.rs` | the objects of those types |
//! | `xlat.rs`, `record.rs` | the context and the system of libaddrxlat that belong to a dump |
//! | `node.rs` | what pointers in references, keys and strings point to |
//! | `value.rs`, `status.rs`, `ffi.rs` | structures of the header, status codes, imports |
//!
//! ```text
//!   kdump_ctx_t ──> Context (Rust)         one each
//!        └────────> Family                 one for all clones: nodes of references
//!                     node ─ key, text     stay where they are until the last clone is gone
//!   kdump_blob_t   = companion of a Blob   lives as long as the Rust object; references
//!   kdump_bmp_t    = companion of a Bitmap of C keep that alive
//! ```
//!
//! How the two libraries are made, and what entry functions have in common,
//! says the documentation of `kdumpfile_capi_shared`.
#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod attr;
pub mod bitmap;
pub mod blob;
pub mod ctx;
mod ffi;
pub mod generation;
mod keys;
mod node;
pub mod open;
pub mod read;
mod record;
mod references;
pub mod status;
pub mod value;
pub mod xlat;
