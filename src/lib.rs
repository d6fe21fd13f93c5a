//! Read kernel crash dumps.
#![no_std]
#![deny(missing_docs)]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test, loom))]
extern crate std;

pub mod codec;
pub mod error;
pub mod io;
pub mod sync;

pub use error::{Error, Result, Status};
