//! Test support for kdumpfile: dump builders that know nothing of the readers.
//!
//! Nothing here uses the parsing code of `kdumpfile`: what a builder writes
//! comes from the format descriptions, so that a misunderstanding in a reader
//! is not repeated here. Where the distribution's own programs (makedumpfile,
//! libkdumpfile's Python binding, zstd) are installed, this crate's own tests
//! hand them what was built.
//!
//! | to get | use |
//! | --- | --- |
//! | an ELF core, well-formed or lying | [`elf::ElfBuilder`] |
//! | notes: PRSTATUS, VMCOREINFO, Xen, QEMU | [`notes`] |
//! | a diskdump or a split set | [`diskdump::DiskdumpBuilder`] |
//! | an LKCD dump | [`lkcd::LkcdBuilder`] |
//! | a SADUMP: partition, backup or disks | [`sadump::SadumpBuilder`] |
//! | an S390 stand-alone dump | [`s390dump::S390Builder`] |
//! | a LiME or AVML image | [`lime::LimeBuilder`] |
//! | a Xen domain from before ELF | [`xc_core::XcCoreBuilder`] |
//! | a Xen domain that `xm save` saved | [`xc_save::XcSaveBuilder`] |
//! | a crashed hypervisor of Xen | [`xen::Hypervisor`] |
//! | a state file of VMware | [`vmware::VmwareBuilder`] |
//! | a `debug.guest` of ESXi | [`vmware_guest::GuestBuilder`] |
//! | a Windows crash dump | [`windows::WindowsBuilder`] |
//! | a flattened stream | [`flatten::Flattener`] |
//! | a QEMU stream, a libvirt save image | [`qemu`] |
//! | page contents, and what a reader must answer | [`image`] |
//! | one compressed page | [`compress::Codec`] |
//! | a source that fails in a scripted way | [`fault`] |
//! | real dumps with ground truth | [`dumps`], [`truth`] |
//! | what the peer library says | [`peer`] |
//! | how much memory something takes | [`alloc`] |
//!
//! ```
//! use kdumpfile_testkit::diskdump::DiskdumpBuilder;
//! use kdumpfile_testkit::compress::Codec;
//! use kdumpfile_testkit::image::RamImage;
//!
//! let image = RamImage::new(1, 4096);
//! let dump = DiskdumpBuilder::default()
//!     .pages((0..16).map(|pfn| (pfn, image.page_bytes(pfn))), Codec::Zlib)
//!     .build();
//! assert!(dump.starts_with(b"KDUMP   "));
//! ```
//!
//! Builders take everything that they are told, true or not, and panic only if
//! they are used wrongly (an unknown field name, a page of the wrong size).
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod alloc;
pub mod arch;
pub mod compress;
pub mod diskdump;
pub mod dumps;
pub mod elf;
pub mod endian;
pub mod fault;
pub mod flatten;
pub mod image;
pub mod lime;
pub mod lkcd;
pub mod notes;
pub mod peer;
pub mod qemu;
pub mod s390dump;
pub mod sadump;
pub mod truth;
pub mod vmware;
pub mod vmware_guest;
pub mod windows;
pub mod xc_core;
pub mod xc_save;
pub mod xen;
