//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};

use crate::help;
use crate::number;
use crate::raw::RawImage;
use crate::settings::Setting;

/// Look into kernel crash dumps (vmcore)
///
/// Opens what makedumpfile, /proc/vmcore, QEMU and others write, and tells
/// what is in it, in words or (with --json) for programs.
#[derive(Parser)]
#[command(name = "kdumpfile", version, after_help = help::MAIN, arg_required_else_help = true)]
pub struct CommandLine {
    /// Write JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// FILE holds nothing but memory from this physical address on: decimal, or hex after 0x;
    /// with several, of one file each or parts of the same file
    #[arg(long, global = true, value_name = "BASE[@OFFSET[+LENGTH]][:ARCH]")]
    pub raw_at: Vec<RawImage>,
    /// Set an attribute before the dump is opened, as in arch.name=x86_64 or
    /// file.qemu.below_4g=2G (may be repeated; 'kdumpfile attr' lists attributes)
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Tell what the dump is: kernel, time of crash, memory, CPUs, what is missing
    #[command(after_help = help::INFO)]
    Info {
        /// The dump, or all parts of a split dump; none: the built-in sample
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the attributes of the dump: everything that is known about it
    #[command(after_help = help::ATTR)]
    Attr {
        #[command(flatten)]
        files: Files,
        /// Only this attribute and what is below it (may be repeated)
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<String>,
    },
    /// List which pages are in the dump, as ranges of PFNs
    #[command(after_help = help::PAGES)]
    Pages {
        #[command(flatten)]
        files: Files,
        /// The pages that were RAM, whether they are in the dump or not
        #[arg(long)]
        memory: bool,
    },
    /// Compute the SHA-256 of all pages in the dump
    #[command(after_help = help::HASH)]
    Hash {
        #[command(flatten)]
        files: Files,
        /// Threads that read and decompress [default: one per processor]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
    },
    /// Search all memory for a text, bytes, a number or a pattern
    #[command(after_help = help::SEARCH, group(ArgGroup::new("kind").args(["text", "hex", "u64", "regex"])))]
    Search(Box<Search>),
    /// Read memory by its physical or virtual address, or by the name of a symbol
    #[command(
        after_help = help::READ,
        group(ArgGroup::new("space").required(true).args(["phys", "machine", "virt", "symbol"]))
    )]
    Read(Box<Read>),
    /// Translate addresses, or show how page tables do it
    #[command(after_help = help::XLAT)]
    Xlat(Box<Xlat>),
    /// List how addresses are translated: the five maps, their methods, regions of the kernel
    #[command(after_help = help::MAPS)]
    Maps {
        #[command(flatten)]
        files: Files,
        #[command(flatten)]
        translation: Translation,
    },
    /// List the registers of the CPUs
    #[command(after_help = help::REGS)]
    Regs {
        #[command(flatten)]
        set: OneFile,
        /// Only this CPU
        #[arg(value_name = "CPU")]
        cpu: Option<u64>,
    },
    /// List the domains of a Xen machine, or what the dump of one domain has
    #[command(after_help = help::DOMAINS)]
    Domains(Domains),
    /// Write VMCOREINFO, what the kernel says of itself, or search memory for it
    #[command(after_help = help::VMCOREINFO)]
    Vmcoreinfo {
        #[command(flatten)]
        files: Files,
        /// Search the memory in the dump and list what is found
        #[arg(long)]
        scan: bool,
        /// Search, and write the text with this number in the list
        #[arg(long = "use", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        number: Option<u32>,
        /// Whose VMCOREINFO [default: what the dump shows]
        #[arg(long, value_name = "OS", conflicts_with_all = ["scan", "number"])]
        os: Option<Os>,
    },
}

/// The files of one dump.
#[derive(Args)]
pub struct Files {
    /// The dump, or all parts of a split dump
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The files of one dump, where other arguments follow.
#[derive(Args)]
pub struct OneFile {
    /// The dump, or the first part of a split dump
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Another part of a split dump (may be repeated)
    #[arg(long = "part", value_name = "FILE")]
    pub parts: Vec<PathBuf>,
}

impl OneFile {
    /// All of them.
    pub fn files(&self) -> Vec<PathBuf> {
        [&self.file].into_iter().chain(&self.parts).cloned().collect()
    }
}

/// What the user knows about the kernel whose addresses are translated.
#[derive(Args)]
#[command(next_help_heading = "Translation")]
pub struct Translation {
    /// Whose addresses they are [default: what the dump shows]
    #[arg(long, value_name = "OS")]
    pub os: Option<Os>,
    /// Take VMCOREINFO from this file ('kdumpfile vmcoreinfo' writes one)
    #[arg(long, value_name = "FILE")]
    pub vmcoreinfo: Option<PathBuf>,
    /// Take symbols from this copy of /proc/kallsyms
    #[arg(long, value_name = "FILE")]
    pub kallsyms: Option<PathBuf>,
    /// Take symbols from this System.map; moved as KASLR did, if VMCOREINFO says so
    #[arg(long, value_name = "FILE")]
    pub system_map: Option<PathBuf>,
}

/// An operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Os {
    /// The Linux kernel
    Linux,
    /// The Xen hypervisor
    Xen,
}

impl Os {
    /// As attribute `addrxlat.ostype` names it.
    pub fn name(self) -> &'static str {
        match self {
            Os::Linux => "linux",
            Os::Xen => "xen",
        }
    }
}

/// What to search for.
#[derive(Args)]
pub struct Search {
    #[command(flatten)]
    pub set: OneFile,
    /// What to search for
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// PATTERN is a text, in UTF-8 (the default)
    #[arg(long)]
    pub text: bool,
    /// PATTERN is bytes: pairs of hex digits, with spaces if you like
    #[arg(long)]
    pub hex: bool,
    /// PATTERN is a number of 64 bits, in the byte order of the dump: decimal, or hex after 0x
    #[arg(long)]
    pub u64: bool,
    /// PATTERN is a regular expression over bytes; what it matches may have 4096 bytes
    #[arg(long)]
    pub regex: bool,
    /// Stop after so many matches
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Threads that read, decompress and search [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    #[command(flatten)]
    pub translation: Translation,
}

/// What to read.
#[derive(Args)]
pub struct Read {
    #[command(flatten)]
    pub set: OneFile,
    /// ADDR is physical as the kernel sees it (KPHYSADDR)
    #[arg(long)]
    pub phys: bool,
    /// ADDR is physical as the machine sees it (MACHPHYSADDR): differs under Xen
    #[arg(long)]
    pub machine: bool,
    /// ADDR is a virtual address of the kernel (KVADDR)
    #[arg(long)]
    pub virt: bool,
    /// ADDR is a symbol of the kernel: NAME or NAME+OFFSET (in hex)
    #[arg(long)]
    pub symbol: bool,
    /// Where to begin: decimal, or hex after 0x; with --symbol a name
    #[arg(value_name = "ADDR")]
    pub address: String,
    /// How many bytes: decimal, or hex after 0x; K, M and G multiply by 1024
    #[arg(value_name = "LEN", value_parser = number::length)]
    pub length: u64,
    /// Write a hexdump (the default)
    #[arg(long, conflicts_with_all = ["raw", "json"])]
    pub hex: bool,
    /// Write the bytes as they are
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    #[command(flatten)]
    pub translation: Translation,
}

/// What to know about Xen.
#[derive(Args)]
pub struct Domains {
    #[command(flatten)]
    pub files: Files,
    /// Take VMCOREINFO of the hypervisor from this file
    #[arg(long, value_name = "TEXT")]
    pub vmcoreinfo: Option<PathBuf>,
}

/// A space of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AddressSpace {
    /// Virtual address of the kernel (KVADDR)
    Kv,
    /// Physical address as the kernel sees it (KPHYSADDR)
    Kphys,
    /// Physical address as the machine sees it (MACHPHYSADDR)
    Mach,
}

impl AddressSpace {
    /// All of them, in the order in which they are shown.
    pub const ALL: [AddressSpace; 3] = [AddressSpace::Kv, AddressSpace::Kphys, AddressSpace::Mach];

    /// The key of addresses in JSON, and their title.
    pub fn key(self) -> &'static str {
        match self {
            AddressSpace::Kv => "kvaddr",
            AddressSpace::Kphys => "kphys",
            AddressSpace::Mach => "machphys",
        }
    }
}

/// What to translate.
#[derive(Args)]
pub struct Xlat {
    #[command(flatten)]
    pub set: OneFile,
    /// Addresses in hex (with or without 0x), or symbols of the kernel: ADDR, NAME, NAME+OFFSET
    #[arg(required = true, value_name = "ADDR")]
    pub addresses: Vec<String>,
    /// What the addresses are
    #[arg(long, value_name = "SPACE", default_value = "kv")]
    pub from: AddressSpace,
    /// What to translate them to [default: both others]
    #[arg(long, value_name = "SPACE")]
    pub to: Option<AddressSpace>,
    /// Show the page tables that translate them, level by level
    #[arg(long)]
    pub walk: bool,
    /// Walk the page tables at this physical address, those of a process for example;
    /// or kv:ADDR, kphys:ADDR, mach:ADDR, or a symbol
    #[arg(long, value_name = "ADDR")]
    pub root: Option<String>,
    #[command(flatten)]
    pub translation: Translation,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
