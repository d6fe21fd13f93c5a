//! Reads kernel crash dumps: attributes, pages and addresses, in `no_std` too.
//!
//! ```text
//!   Context          what one user holds: last error, private data, callbacks  [per clone]
//!      |
//!    dump            what clones share: attributes, format, page cache, translation
//!    /  \     \
//! attr  format  xlat   the tree of facts · file → pages · address → address
//!        |     \
//!      notes   cache slots of page bytes: pin, fill, Busy
//!        |
//!   codec, io        bytes → page bytes · positioned reads
//!        |
//!      sync          the one place that knows whether there are threads
//! ```
//!
//! Start with [`Context`]: open a dump, ask for attributes, read bytes.
//!
//! # Contract for threads
//!
//! * Separate dumps may be used from separate threads in every build.
//! * One context is used by one thread at a time. With `std-threads` or
//!   `spin-threads` it may move between threads (it is `Send`, not `Sync`);
//!   without, it may not (it is neither).
//! * [`Context::clone`] gives another thread access to the same dump. Clones
//!   share attributes, caches, files and translation: a change through one is
//!   seen by all once the call returns. The last error, private data and
//!   callbacks belong to each clone. They are copied when it is made (the
//!   error cleared) and never afterwards. [`Context::clone_with`] can give a
//!   clone a translation of its own.
//! * Nothing waits for a slot of the page cache: a read that finds all slots
//!   in use fails with [`Status::Busy`]. A retry may succeed; raise attribute
//!   `cache.size` if it happens often.
//!
//! More, with figures and examples for firmware: [`threads_and_no_std`].
//!
//! # Unsafe code
//!
//! Denied everywhere but in these files, each place with its reason:
//!
//! - `io/file.rs`: mapping a file into memory, and using a descriptor that the
//!   caller owns.
#![no_std]
#![deny(missing_docs)]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(any(feature = "std", test, loom))]
extern crate std;

pub mod arch;
pub mod attr;
pub mod cache;
pub mod codec;
pub mod context;
pub mod dump;
pub mod error;
pub mod format;
pub mod io;
pub mod notes;
pub mod sync;
pub mod xlat;

pub use attr::{AttrEntry, AttrRef, AttrType, Bitmap, Blob, Text, Value};
#[cfg(feature = "rayon")]
pub use context::ParPages;
pub use context::{
    Callbacks, CloneOptions, Context, FoundVmcoreinfo, SymbolValue, VmcoreinfoScan, XenDomain, XenDomains,
};
pub use context::{PageGuard, PageRun, PageRuns};
pub use error::{Error, Result, Status};
pub use format::{Packing, Space, Spaces};

#[doc = include_str!("../docs/threads-and-no_std.md")]
pub mod threads_and_no_std {}

/// The examples of the README, run as tests (they open files and use threads).
#[cfg(all(doctest, feature = "std-threads"))]
#[doc = include_str!("../README.md")]
struct Readme;

/// The example of how a format is added.
#[cfg(all(doctest, feature = "std-threads"))]
#[doc = include_str!("../CONTRIBUTING.md")]
struct Contributing;
