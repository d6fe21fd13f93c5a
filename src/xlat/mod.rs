//! Translates addresses: libaddrxlat's job, usable without any dump.
//!
//! ```text
//!   Callbacks          who reads memory, and knows symbols and registers
//!       ^
//!   Ctx  --- op, convert, run ------------->  another address
//!       |                                          ^
//!       |   System                                 |
//!       |     Map     0-0x7fff..: PGT   0xffff8880..-: DIRECT   ...
//!       |     Method      |                   |    |
//!       |                 v                   +----+  address + offset
//!       +-> Walker   root[pgd] -> table[pud] -> table[pmd] -> table[pte] -> page + offset
//! ```
//!
//! An address belongs to a space ([`AddrSpace`]): virtual, physical as the
//! kernel sees it, or physical as the machine sees it. A [`System`] says which
//! method translates which addresses of a space ([`os::init`] knows those of
//! Linux and Xen); a [`Method`] is one way of doing it; [`Ctx::op`] chains them
//! until a space is reached that is wanted.
//! A [`Walker`] shows one method step by step. Memory is read through
//! [`Callbacks`], and tables that cannot be read where they are get translated
//! themselves.
//!
//! Nothing here knows dumps. A user who has memory and a page-table root needs
//! no more than this:
//!
//! ```
//! use kdumpfile::sync::Shared;
//! use kdumpfile::xlat::{
//!     AddrSpace, ByteOrder, Callbacks, Caps, Chain, Ctx, Error, FullAddr, MapIndex, Method, MethodIndex,
//!     Next, PageBuf, PageTable, PagingForm, PteFormat, Result, System,
//! };
//!
//! /// A machine with one page table of one page.
//! struct Memory;
//!
//! impl Callbacks for Memory {
//!     fn read_caps(&self, _: Next<'_>) -> Caps {
//!         Caps::MACHPHYS
//!     }
//!
//!     fn page(&self, _: Next<'_>, addr: FullAddr) -> Result<PageBuf> {
//!         let (pgd, pte) = ([0x2001_u32; 1024], [0x1234_5067_u32; 1024]);
//!         let entries = match addr.addr >> 12 {
//!             1 => pgd,
//!             2 => pte,
//!             _ => return Err(Error::no_data("No such page")),
//!         };
//!         let bytes: Vec<u8> = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
//!         let start = FullAddr { addr: addr.addr & !0xfff, ..addr };
//!         Ok(PageBuf::new(start, ByteOrder::Little, bytes))
//!     }
//! }
//!
//! # fn main() -> Result<()> {
//! let form = PagingForm::new(PteFormat::Ia32, &[12, 10, 10])?;
//! let table = PageTable::new(FullAddr::machphys(0x1000), form);
//! let mut sys = System::new();
//! sys.set_method(MethodIndex::PGT, Method::page_table(AddrSpace::MACHPHYS, table));
//! sys.map_mut(MapIndex::KvPhys).set(0, 0xffff_ffff, MethodIndex::PGT)?;
//!
//! let ctx = Ctx::new(Shared::new(Chain::with_base(Shared::new(Memory))));
//! let phys = ctx.convert(Some(&sys), AddrSpace::MACHPHYS, FullAddr::kvirt(0xc000_1abc))?;
//! assert_eq!(phys, FullAddr::machphys(0x1234_5abc));
//! # Ok(())
//! # }
//! ```
//!
//! # Hostile tables
//!
//! A walk takes as many steps as the form has levels, whatever the tables say;
//! reads that need themselves end in `Infinite recursion loop`; all arithmetic
//! is modulo 2^64. A message of a failed walk names the level, the index and the
//! value of the entry that is to blame.

mod cache;
mod callbacks;
mod ctx;
mod error;
mod map;
mod method;
mod op;
pub mod os;
mod pgt;
mod runs;
mod scan;
mod step;
mod system;
mod tlb;
mod types;

pub use callbacks::{Callbacks, Chain, ChainSnapshot, Next, PageBuf, PageBytes, RecordId};
pub use ctx::Ctx;
pub use error::{Error, Message, Result, Status};
pub use map::{Map, MethodIndex, Range};
pub use method::{Custom, Kind, Lookup, LookupElem, MemArray, Method, PageTable, PagingForm};
pub use op::Run;
pub use pgt::PteFormat;
pub use runs::Runs;
pub use step::{Raw, Step, Walker};
pub use system::{MapIndex, System};
pub use types::{AddrSpace, ByteOrder, Caps, FullAddr};
