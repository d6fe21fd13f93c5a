//! What is fuzzed, as plain functions from bytes.
//!
//! | target | the bytes are | beyond "no panic" it checks |
//! | --- | --- | --- |
//! | [`run_open`] | a file | reads repeat, bitmaps agree with themselves |
//! | [`run_open_elf`] | changes of a valid ELF core | the same |
//! | [`run_open_diskdump`] | changes of a valid diskdump | the same |
//! | [`run_open_lkcd`] | changes of a valid LKCD dump | the same |
//! | [`run_open_sadump`] | changes of a valid SADUMP, of one file or several | the same |
//! | [`run_open_s390dump`] | changes of a valid S390 dump | the same |
//! | [`run_open_qemu`] | a QEMU stream behind its version | the same |
//! | [`run_open_vmware`] | changes of a valid VMware state, with or without a `.vmem` | the same |
//! | [`run_open_vmware_guest`] | changes of a valid `debug.guest` of ESXi with its memory | the same |
//! | [`run_open_xc_core`] | changes of a valid Xen domain from before ELF | the same |
//! | [`run_open_xc_save`] | changes of a valid saved Xen domain | the same |
//! | [`run_open_windows`] | changes of a valid Windows crash dump | the same |
//! | [`run_open_lime`] | changes of a valid LiME or AVML image | the same |
//! | [`run_open_raw`] | what a user says about files without a header | the same |
//! | [`run_open_live`] | what a running system tells, and its memory | the same |
//! | [`run_split_set`] | changes of a valid set of 2 or 3 files | the same |
//! | [`run_flattened`] | records, or a stream | the file is what a naive model says |
//! | [`run_archive`] | an archive | reads here and there agree with one read of all |
//! | [`run_notes`] | notes of an architecture | iteration stays inside |
//! | [`run_vmcoreinfo`] | a text | simple rows arrive, a second parse changes nothing |
//! | [`run_attributes`] | operations on contexts | what is set is there, what is cleared is not |
//! | [`run_xlat_setup`] | options, and a machine of memory and symbols | set-up ends, translations repeat |
//! | [`run_xlat_walk`] | methods, page tables, maps and memory | walks end, searches agree with them |
//! | [`run_xlat_vmcoreinfo`] | lines of VMCOREINFO and memory of a dump | set-up ends, translations repeat |
//! | [`run_codec`] | a codec and a stream, or a page | other decoders agree, pages come back |
//!
//! `cargo fuzz run TARGET` searches with them; `tests/replay.rs` runs them on
//! the corpus and on mutations of it with any compiler.
#![forbid(unsafe_code)]

mod archive;
mod attributes;
mod codec;
mod examine;
mod flattened;
mod input;
mod kernel;
mod memory;
mod patched;
mod source;
mod templates;
mod text;
mod translation;
mod walk;

pub use archive::run_archive;
pub use attributes::run_attributes;
pub use codec::run_codec;
pub use flattened::run_flattened;
pub use kernel::run_xlat_vmcoreinfo;
pub use memory::{run_open_live, run_open_raw};
pub use patched::{
    run_open, run_open_diskdump, run_open_elf, run_open_lime, run_open_lkcd, run_open_qemu,
    run_open_s390dump, run_open_sadump, run_open_vmware, run_open_vmware_guest, run_open_windows,
    run_open_xc_core, run_open_xc_save, run_split_set,
};
pub use templates::{
    diskdumps, elves, limes, lkcds, s390dumps, sadumps, sets, vmware_guests, vmwares, windows, xc_cores,
    xc_saves,
};
pub use text::{run_notes, run_vmcoreinfo};
pub use translation::run_xlat_setup;
pub use walk::run_xlat_walk;

/// Name of a target, which is that of its binary and of its folder in `corpus`,
/// and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("open", run_open),
    ("open_elf", run_open_elf),
    ("open_diskdump", run_open_diskdump),
    ("open_lkcd", run_open_lkcd),
    ("open_sadump", run_open_sadump),
    ("open_s390dump", run_open_s390dump),
    ("open_lime", run_open_lime),
    ("open_qemu", run_open_qemu),
    ("open_vmware", run_open_vmware),
    ("open_vmware_guest", run_open_vmware_guest),
    ("open_windows", run_open_windows),
    ("open_xc_core", run_open_xc_core),
    ("open_xc_save", run_open_xc_save),
    ("open_raw", run_open_raw),
    ("open_live", run_open_live),
    ("split_set", run_split_set),
    ("flattened", run_flattened),
    ("archive", run_archive),
    ("notes", run_notes),
    ("vmcoreinfo", run_vmcoreinfo),
    ("attributes", run_attributes),
    ("codec", run_codec),
    ("xlat_setup", run_xlat_setup),
    ("xlat_walk", run_xlat_walk),
    ("xlat_vmcoreinfo", run_xlat_vmcoreinfo),
];
