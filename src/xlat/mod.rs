//! Translates addresses: libaddrxlat's job, usable without any dump.

mod callbacks;
mod error;
mod types;

pub use callbacks::{Callbacks, Chain, ChainSnapshot, Next, PageBuf, PageBytes, RecordId};
pub use error::{Error, Message, Result, Status};
pub use types::{AddrSpace, ByteOrder, Caps, FullAddr};
