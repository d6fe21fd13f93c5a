//! Dump formats: which file is what, and where its pages are.
//!
//! ```text
//! FORMATS ── probe + open ──> Box<dyn Format>     one row a format, probing order
//!                                  │ locate: stored as it is (file, offset),
//!                                  │         or to be filled through the cache
//!                                  └ fill:   the bytes of one page
//! ```
//!
//! A format declares its headers as types, checks what they say, and tells
//! the attribute tree through [`Facts`]. It knows no other format, no cache
//! and no address translation.

pub mod diskdump;
pub mod elf;
pub mod extent;
pub mod infer;
pub mod lime;
pub mod lkcd;
pub mod mclxcd;
pub mod memory;
pub mod pfn;
pub mod qemu;
pub mod raw;
pub mod recognised;
pub mod s390dump;
pub mod sadump;
pub mod vmware;
pub mod windows;
pub mod xc_core;
pub mod xc_save;

use alloc::boxed::Box;

use crate::attr::{Facts, Geometry};
use crate::codec::{Codec, Decoder};
use crate::error::Result;
use crate::io::FileSet;
use crate::sync::{MaybeSend, MaybeSync, Shared};

/// An address space; the numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Space {
    /// Physical addresses as the kernel sees them.
    KernelPhysical = 0,
    /// Physical addresses of the machine (those of the kernel, but for Xen).
    MachinePhysical = 1,
    /// Kernel virtual addresses (KVADDR).
    KernelVirtual = 2,
}

/// A set of address spaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spaces(u8);

impl Spaces {
    /// No space at all.
    pub const NONE: Spaces = Spaces(0);

    /// This set and one more space.
    #[must_use]
    pub const fn with(self, space: Space) -> Spaces {
        Spaces(self.0 | 1 << space as u8)
    }

    /// Whether `space` is in the set.
    pub const fn contains(self, space: Space) -> bool {
        self.0 >> space as u8 & 1 != 0
    }

    /// Whether no space is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Bit `1 << number` for each space, as in the C ABI.
    pub const fn mask(self) -> u8 {
        self.0
    }
}

/// An address in one of the address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Which space the address belongs to.
    pub space: Space,
    /// The address, in bytes.
    pub value: u64,
}

/// Where the bytes of a page are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole page stands in a file as it is.
    Stored {
        /// Index of the file within its set.
        file: usize,
        /// Byte position (after unflattening) of the page's first byte.
        position: u64,
    },
    /// The page must be made by [`Format::fill`]; it is worth caching.
    Filled,
    /// The format has no page for this kernel virtual address; it may have
    /// one for the physical address behind it.
    Translate,
}

/// Whether a page made by [`Format::fill`] may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// It is what the file says.
    Kept,
    /// It stands in for a page that is not stored; it must not be cached,
    /// because the user may change their mind (`file.zero_excluded`).
    Synthetic,
}

/// How one page is stored in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packing {
    /// The codec; `None` for a page that is stored as it is.
    pub codec: Option<Codec>,
    /// Bytes that it takes in the file.
    pub size: u64,
}

/// An open dump of some format. Immutable; clones of a dump share it.
pub trait Format: MaybeSend + MaybeSync {
    /// Name of the format (attribute `file.format`).
    fn name(&self) -> &'static str;

    /// Address spaces that pages can be asked for directly.
    fn spaces(&self) -> Spaces;

    /// log2 of the size of the pages that this format stores; `None` while it
    /// is not known (no `arch.page_size` yet).
    fn page_shift(&self, geometry: &Geometry) -> Option<u32> {
        geometry.page_shift
    }

    /// The files that [`Place::Stored`] means, unless they are those that the
    /// format was opened with: a dump may contain an archive.
    fn files(&self) -> Option<&Shared<FileSet>> {
        None
    }

    /// Finds a page. `address` is page-aligned (in this format's pages) and in
    /// one of [`Format::spaces`].
    ///
    /// # Errors
    /// `NoData` for a page that the dump does not have, unless only
    /// [`Format::fill`] finds that out.
    fn locate(&self, geometry: &Geometry, address: Address) -> Result<Place>;

    /// Tells how a page is stored, without reading the page itself. By
    /// default it is stored as it is.
    ///
    /// # Errors
    /// Those of [`Format::locate`], and `NoData` for a page that is not stored.
    fn packing(&self, geometry: &Geometry, address: Address) -> Result<Packing> {
        self.locate(geometry, address)?;
        let size = self.page_shift(geometry).map_or(0, |shift| 1 << shift);
        Ok(Packing { codec: None, size })
    }

    /// Makes one whole page.
    ///
    /// # Errors
    /// `NoData` for a page that is not stored, `Corrupt` for one whose stored
    /// form makes no sense, and what reading the file says. The contents of
    /// `page` are undefined then.
    fn fill(
        &self,
        geometry: &Geometry,
        address: Address,
        page: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<Filled>;

    /// What the headers add to a virtual address of memory to get the physical
    /// one (mod 2^64), if they have both and it is the same everywhere.
    fn linear_offset(&self) -> Option<u64> {
        None
    }

    /// Whether the dump has a table of frame numbers in both physical spaces
    /// (a Xen domain: attributes `xen.type` 2 and `xen.xlat` 1).
    fn has_counterparts(&self) -> bool {
        false
    }

    /// The frame number that frame `frame` of one physical space has in the
    /// other one; `None` without [`Format::has_counterparts`].
    ///
    /// # Errors
    /// `NoData` (`PFN not found`, `MFN not found`); what reading the table says.
    fn counterpart(&self, frame: u64, space: Space) -> Result<Option<u64>> {
        let _ = (frame, space);
        Ok(None)
    }
}

/// Buffers that one context reuses from page to page.
#[derive(Default)]
pub struct Scratch {
    /// Decompressors.
    pub decoder: Decoder,
    /// Compressed bytes of the page at hand, where they cannot be borrowed.
    pub packed: alloc::vec::Vec<u8>,
}

/// What a format gets when it is asked to open a dump.
pub struct Opening<'a> {
    /// The files, with flattened streams and archives already seen through.
    pub files: &'a Shared<FileSet>,
    /// The attribute tree.
    pub facts: Facts<'a>,
}

/// Opens a dump of one format: `None` if the files are of another format, in
/// which case no attribute was touched.
pub type OpenFn = fn(&mut Opening<'_>) -> Result<Option<Box<dyn Format>>>;

/// One row of [`FORMATS`].
#[derive(Clone, Copy, Debug)]
pub struct FormatRow {
    /// Name of the format (attribute `file.format`).
    pub name: &'static str,
    /// Whether such dumps can be read. The others are recognised, described
    /// and refused.
    pub reads: bool,
    /// Opens such a dump.
    pub open: OpenFn,
}

/// A format whose dumps can be read.
const fn read(name: &'static str, open: OpenFn) -> FormatRow {
    FormatRow { name, reads: true, open }
}

/// A format that is recognised to say what it is.
const fn refused(name: &'static str, open: OpenFn) -> FormatRow {
    FormatRow { name, reads: false, open }
}

/// All formats, in probing order. [`raw`] images have no row: no file is one
/// by itself, the user says so.
pub const FORMATS: &[FormatRow] = &[
    read(elf::NAME, elf::open),
    read(qemu::NAME, qemu::open),
    read(qemu::LIBVIRT, qemu::open_libvirt),
    read(xc_save::NAME, xc_save::open),
    read(xc_core::NAME, xc_core::open),
    read("diskdump", diskdump::open),
    read(lkcd::NAME, lkcd::open),
    refused(mclxcd::NAME, mclxcd::open),
    read(s390dump::NAME, s390dump::open),
    read(sadump::NAME, sadump::open),
    read(memory::NAME, memory::open),
    read(lime::NAME, lime::open),
    read(vmware::NAME, vmware::open),
    read(vmware::guest::NAME, vmware::guest::open),
    refused(recognised::XL_SAVE, recognised::xl_save),
    read(windows::NAME, windows::open),
];
