//! The command line.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

/// Look into kernel crash dumps (vmcore)
///
/// Opens what makedumpfile, /proc/vmcore, QEMU and others write, and tells
/// what is in it, in words or (with --json) for programs.
#[derive(Parser)]
#[command(name = "kdumpfile", version, after_help = MAIN_HELP, arg_required_else_help = true)]
pub struct CommandLine {
    /// Write JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

const MAIN_HELP: &str = "\
Examples:
  kdumpfile info                          a tour without a dump: the built-in sample
  kdumpfile info vmcore                   what happened, where, and what is missing
  kdumpfile info part1 part2 part3        a split dump: name all of its parts
  kdumpfile attr vmcore --key linux.uts   facts about the dump, by name
  kdumpfile hash vmcore                   are these two dumps the same memory?
  kdumpfile read vmcore --phys 0x1000 64  bytes of memory

'sample:' in the place of a FILE is the built-in sample.
Exit codes: 0 done, 1 the dump says no (data missing or corrupt), 2 wrong usage.";

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Tell what the dump is: kernel, time of crash, memory, CPUs, what is missing
    #[command(after_help = INFO_HELP)]
    Info {
        /// The dump, or all parts of a split dump; none: the built-in sample
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List the attributes of the dump: everything that is known about it
    #[command(after_help = ATTR_HELP)]
    Attr {
        #[command(flatten)]
        files: Files,
        /// Only this attribute and what is below it (may be repeated)
        #[arg(long = "key", value_name = "KEY")]
        keys: Vec<String>,
    },
    /// List which pages are in the dump, as ranges of PFNs
    #[command(after_help = PAGES_HELP)]
    Pages {
        #[command(flatten)]
        files: Files,
        /// The pages that were RAM, whether they are in the dump or not
        #[arg(long)]
        memory: bool,
    },
    /// Compute the SHA-256 of all pages in the dump
    #[command(after_help = HASH_HELP)]
    Hash {
        #[command(flatten)]
        files: Files,
        /// Threads that read and decompress [default: one per processor]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
        threads: Option<u16>,
    },
    /// Read memory by its physical address
    #[command(after_help = READ_HELP, group(ArgGroup::new("space").required(true).args(["phys", "machine"])))]
    Read(Read),
}

/// The files of one dump.
#[derive(Args)]
pub struct Files {
    /// The dump, or all parts of a split dump
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// What to read.
#[derive(Args)]
pub struct Read {
    /// The dump, or the first part of a split dump
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// ADDR is physical as the kernel sees it (KPHYSADDR)
    #[arg(long)]
    pub phys: bool,
    /// ADDR is physical as the machine sees it (MACHPHYSADDR): differs under Xen
    #[arg(long)]
    pub machine: bool,
    /// Where to begin: decimal, or hex after 0x
    #[arg(value_name = "ADDR", value_parser = parse_address)]
    pub address: u64,
    /// How many bytes: decimal, or hex after 0x; K, M and G multiply by 1024
    #[arg(value_name = "LEN", value_parser = parse_length)]
    pub length: u64,
    /// Another part of a split dump (may be repeated)
    #[arg(long = "part", value_name = "FILE")]
    pub parts: Vec<PathBuf>,
    /// Write a hexdump (the default)
    #[arg(long, conflicts_with_all = ["raw", "json"])]
    pub hex: bool,
    /// Write the bytes as they are
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
}

const INFO_HELP: &str = "\
Examples:
  kdumpfile info
  kdumpfile info /var/crash/202611240328/vmcore
  kdumpfile info --json vmcore | jq -r .kernel.release

JSON (what is not known is null):
  files          list of names; [\"sample:\"] for the built-in sample
  sample         whether this is the built-in sample
  file_bytes     size of all files
  format         name, description
  arch           name, inferred (from what, if the dump does not say it),
                 byte_order (\"little\", \"big\"), pointer_bytes, page_bytes
  kernel         sysname, release, version, machine, nodename, build_id
  crash_time     unix (seconds), utc
  memory         ram_pages, present_pages, excluded_pages (RAM that is not present), max_pfn
  codecs         pages (codec -> number), looked_at (pages), sampled (whether not
                 all pages were looked at)
  cpus           number, list of {cpu, pid, register, value (hex)}: instruction pointers
  missing        list of {what, text}";

const ATTR_HELP: &str = "\
Examples:
  kdumpfile attr vmcore
  kdumpfile attr vmcore --key arch.page_size --key cpu.0.reg
  kdumpfile attr --json vmcore --key linux.vmcoreinfo.SYMBOL | jq -r 'keys[]'

JSON: one object; the full path of each attribute leads to {\"type\", \"value\"}:
  directory  no value
  string     text
  number     number
  address    hex digits
  bitmap     list of inclusive ranges [first, last]
  blob       \"size\", \"sha256\" and \"hex\" (its first 8192 bytes) instead of \"value\"
An attribute that cannot be computed has \"error\" instead.";

const PAGES_HELP: &str = "\
Examples:
  kdumpfile pages vmcore
  kdumpfile pages vmcore --memory
  kdumpfile pages --json part1 part2 | jq '[.ranges[] | .[1] - .[0] + 1] | add'

A PFN is a physical address divided by the page size.
JSON: {\"page_size\": bytes, \"ranges\": [[first, last], ...]}, both inclusive.";

const HASH_HELP: &str = "\
Examples:
  kdumpfile hash vmcore
  kdumpfile hash part1 part2 part3 --threads 8
  kdumpfile hash --json vmcore | jq -r .sha256

The pages that 'kdumpfile pages' lists are read by machine physical address, in
ascending order: dumps of one memory in different formats have one hash, if they
hold the same pages. Pages that cannot be read are left out and reported.
JSON: {\"pages\": number that were read, \"page_size\": bytes, \"sha256\": hex}, and
after failures \"failed\" (number of pages) and \"error\" (about the first of them).";

const READ_HELP: &str = "\
Examples:
  kdumpfile read vmcore --phys 0x1000 256
  kdumpfile read vmcore --phys 0x1000000 4K --raw > page.bin
  kdumpfile read part1 --part part2 --part part3 --machine 0x2a10000 4K
  kdumpfile read --json sample: --phys 0x211fa00 64 | jq -r .bytes

Reading stops at the first page that is not in the dump; what was read until
then is written, the reason goes to standard error, and the exit code is 1.
JSON: {\"address\": hex, \"length\": bytes asked for, \"bytes\": hex, \"error\": text or null}.";

/// A decimal number, or a hex one after `0x`.
fn parse_address(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        // Not even a sign is a digit.
        Some(digits) if digits.starts_with('+') => Err("not a hex number".into()),
        Some(digits) => u64::from_str_radix(digits, 16).map_err(|error| format!("not a hex number: {error}")),
        None if !text.starts_with('+') && text.bytes().all(|b| b.is_ascii_hexdigit()) => {
            text.parse().map_err(|_| "not a decimal number (hex numbers begin with 0x)".into())
        }
        None => Err("neither a decimal number nor hex after 0x".into()),
    }
}

/// A positive number of bytes with an optional binary suffix.
fn parse_length(text: &str) -> Result<u64, String> {
    let shift = match text.bytes().last().map(|b| b.to_ascii_uppercase()) {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        _ => 0,
    };
    let digits = if shift == 0 { text } else { &text[..text.len() - 1] };
    let number = parse_address(digits)?;
    match number.checked_mul(1 << shift) {
        Some(0) => Err("there is nothing to read".into()),
        Some(bytes) => Ok(bytes),
        None => Err("more than 64 bits can say".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn numbers_are_decimal_or_hex_and_lengths_have_suffixes() {
        assert_eq!(parse_address("0xffffffff81000000"), Ok(0xffff_ffff_8100_0000));
        assert_eq!(parse_address("4096"), Ok(4096));
        assert_eq!(parse_length("4k"), Ok(4096));
        assert_eq!(parse_length("0x10M"), Ok(16 << 20));
        assert_eq!(parse_length("2G"), Ok(2 << 30));
        assert!(parse_address("ffff8880").unwrap_err().contains("0x"));
        for bad in ["", "-1", "+1", "0x", "0x+1", "1 ", "0x1ffffffffffffffff", "é"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
        for bad in ["0", "K", "17179869184G", "1T", "éK"] {
            assert!(parse_length(bad).is_err(), "{bad}");
        }
    }
}
