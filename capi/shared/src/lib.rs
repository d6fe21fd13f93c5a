//! What the two libraries of the C ABI have in common, and how they are made.
//!
//! ```text
//!   program built for libkdumpfile (drgn, pykdumpfile, ...)
//!        |                                |
//!   libkdumpfile.so.10 or .so.12     libaddrxlat.so.3
//!        |    capi/kdumpfile   -------->  |   capi/addrxlat      the 35 C functions,
//!        |                                |                      and nothing else
//!        +---------- capi/shared ---------+                      (this crate)
//!        |                                |
//!        +--- kdumpfile (Rust, public) ---+
//! ```
//!
//! # The border between the two libraries
//!
//! libaddrxlat owns `addrxlat_ctx_t`, `addrxlat_sys_t` and `addrxlat_map_t`.
//! libkdumpfile sees them as any client does: it calls the exported functions
//! and reads the structures of the header, never a layout of Rust. So an
//! object may go from one to the other whichever build each of them comes
//! from, and each half can be tested with another implementation's other half.
//!
//! A context of libkdumpfile translates in Rust alone until somebody calls
//! `kdump_get_addrxlat`. From then on there are two things to keep in step:
//!
//! * the C chain of callbacks: its bottom record asks the dump; a record on
//!   the Rust chain asks the C chain, if a client put something on it;
//! * the C system: filled from the Rust one when attributes change, and read
//!   back when a client changed it.
//!
//! # Entry functions
//!
//! Each exported function is `#[unsafe(no_mangle)] pub unsafe extern "C"`, and
//! its body is inside of [`entry!`], which turns a panic into the value that
//! the function fails with. NULL objects are tolerated: an entry function asks
//! for a reference with `as_ref()` and fails or does nothing without one.
//! Objects are only ever borrowed as `&`, because callbacks may come back to
//! the object that is asking them; what changes is in cells.
//!
//! Memory that changes hands comes from and goes to the C library's `malloc`
//! ([`memory`]). Objects of Rust get some of a [`reserve`] when there is no
//! memory, and the next call is refused. Error strings are [`errbuf::ErrorBuffer`]s.
//!
//! The variadic functions are in `shim/*.c`; they ask Rust for room in the
//! error string and format straight into it.
//!
//! # Building
//!
//! rustc links shared objects with a version script of its own, so the two
//! crates are static libraries, and `cargo run -p xtask -- install-capi` links
//! the shared objects from them: with sonames, version nodes and only those
//! symbols that `capi/map` lists. The static libraries that it installs have
//! all other symbols made local, so that both can be linked into one program.
//!
//! # Unsafe code
//!
//! Is what a C ABI consists of, so it is allowed in `capi/`, each place with
//! its reason; nothing of it is in the library itself. Entry functions have
//! one reason in common: *the pointers are what the header says*, that is
//! valid for the duration of the call and of the right type.

#![deny(missing_docs)]
#![deny(clippy::undocumented_unsafe_blocks)]

pub mod chain;
pub mod convert;
pub mod custom;
pub mod errbuf;
pub mod guard;
pub mod mark;
pub mod memory;
pub mod reserve;
pub mod types;

pub use libc;
