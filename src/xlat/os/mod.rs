//! From what is known about an operating system to a translation system.
//!
//! ```text
//!   Options + Callbacks --- init --->  System
//!      arch  --------------> module     methods   where the tables are, offsets
//!      os, version, bits --> layout     maps      which addresses they are for
//! ```
//!
//! Each architecture has a module. It finds the page tables, then what they
//! cannot tell or what is faster without them: the direct mapping of physical
//! memory and the kernel's text. Layouts are tables of regions.
//!
//! Memory that is read on the way is found by the system as far as it is set
//! up, so the order of the steps matters: the root of the page tables may lie
//! in the kernel's text, whose mapping is then needed before any table.

mod aarch64;
mod arm;
mod ia32;
mod linear;
mod loongarch64;
mod ppc64;
mod ppc64_vmemmap;
mod riscv64;
mod s390x;
pub mod s390x_lowcore;
mod setup;
mod x86_64;

use alloc::string::String;

use super::ctx::Ctx;
use super::error::{Error, Result};
use super::map::MethodIndex;
use super::method::Method;
use super::system::{MapIndex, System};
use super::types::FullAddr;

use setup::{Region, Setup, linux_version, mask};

pub use aarch64::aarch64_untagged;
pub use arm::{guess_arm_memory, told_arm_memory};

/// The operating system whose addresses are to be translated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OsType {
    /// Any other, or not known: only what the hardware does.
    #[default]
    Unknown,
    /// The Linux kernel.
    Linux,
    /// The Xen hypervisor.
    Xen,
}

impl OsType {
    /// The system of that name: `linux`, `xen`; any other is not known.
    pub fn from_name(name: &str) -> Self {
        match name {
            "linux" => OsType::Linux,
            "xen" => OsType::Xen,
            _ => OsType::Unknown,
        }
    }
}

/// What is known about the system whose addresses are to be translated.
///
/// Only the architecture must be given. What is not given is found by symbols,
/// numbers, registers and page tables, as far as the callbacks know them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The architecture, by the name that `arch.name` of a dump has.
    pub arch: Option<String>,
    /// The operating system.
    pub os: Option<OsType>,
    /// The version: `(a << 16) + (b << 8) + c` of Linux a.b.c,
    /// `(major << 16) | minor` of Xen.
    pub version_code: Option<u64>,
    /// The size of physical addresses in bits (ia32: 52 with PAE, else 32; arm: 40
    /// with LPAE, else 32).
    pub phys_bits: Option<u64>,
    /// The size of virtual addresses in bits.
    pub virt_bits: Option<u64>,
    /// log2 of the size of a page in bytes.
    pub page_shift: Option<u64>,
    /// x86_64: what Linux calls `phys_base`, or where Xen starts; arm, and
    /// aarch64 before 4.6: the physical address of `PAGE_OFFSET`.
    pub phys_base: Option<u64>,
    /// Where the page tables start. [`FullAddr::NONE`] is as if it were given
    /// and not known: it stays so unless the layout finds one.
    pub root: Option<FullAddr>,
    /// The machine frame number of the list of lists of the frames of a Xen
    /// domain (`pfn_to_mfn_frame_list_list`). Without it, the direct mapping tells
    /// where the domain's memory is.
    pub xen_p2m_mfn: Option<u64>,
    /// Whether the memory is that of a Xen domain whose physical addresses are
    /// not those of the machine. If nobody says so, page tables tell it.
    pub xen_xlat: Option<bool>,
}

/// The architectures and how they are set up.
fn initialiser(arch: &str) -> Option<fn(&mut Setup<'_>) -> Result<()>> {
    Some(match arch {
        "aarch64" => aarch64::init,
        "arm" => arm::init,
        "ppc64" => ppc64::init,
        "s390x" => s390x::init,
        "ia32" | "i386" | "i486" | "i586" | "i686" => ia32::init,
        "loongarch64" => loongarch64::init,
        "riscv64" => riscv64::init,
        "x86_64" => x86_64::init,
        _ => return None,
    })
}

/// Whether [`init`] knows the architecture of that name.
pub fn is_supported(arch: &str) -> bool {
    initialiser(arch).is_some()
}

/// Sets `sys` up for what `options` describe. All its maps are replaced, and
/// all its methods but those of the user ([`MethodIndex::CUSTOM`] and above).
///
/// After a failure the system is as far as it got: the maps that were made are
/// still right. Who shares a system that others use sets a new one up and puts
/// it in place afterwards.
///
/// # Errors
///
/// * `NoData`: the architecture is not given, or something that is needed to
///   tell the layout is not known.
/// * `NotImplemented`: no such architecture, or not in this way.
/// * `Invalid`: what the kernel says cannot be true.
/// * Those of the callbacks, other than `NoData`.
pub fn init(sys: &mut System, ctx: &Ctx, options: &Options) -> Result<()> {
    let arch = options.arch.as_deref().ok_or_else(|| Error::no_data("Cannot determine architecture"))?;
    let init = initialiser(arch).ok_or_else(|| Error::not_implemented("Unsupported architecture"))?;
    clear(sys);
    // Two searches may come to no end before it fails.
    let _limit = ctx.limit(ctx.steps_max().saturating_mul(2));
    init(&mut Setup { ctx, sys, options })
}

/// Takes everything away that is not the user's.
fn clear(sys: &mut System) {
    for index in MapIndex::ALL {
        sys.set_map(index, None);
    }
    for index in 0..MethodIndex::CUSTOM.0 {
        sys.set_method(MethodIndex(index), Method::NONE);
    }
}
