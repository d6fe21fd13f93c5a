//! Symbols from files: `/proc/kallsyms` and `System.map`.
//!
//! | file | addresses |
//! | --- | --- |
//! | `kallsyms` | those of the running kernel, KASLR included |
//! | `System.map` | those of the linker: `KERNELOFFSET` of VMCOREINFO is added |
//!
//! Lines are `ADDRESS TYPE NAME`, with `[MODULE]` behind the symbols of modules.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use kdumpfile::sync::Shared;
use kdumpfile::{Callbacks, Context, Error};

use crate::failure::{Failure, Result};
use crate::number;

/// No such file is larger: kernels have some 200,000 symbols of 40 bytes.
const LARGEST: u64 = 256 << 20;

/// What to do when a symbol is not found.
pub const SYMBOLS_HINT: &str = "VMCOREINFO names few symbols; --kallsyms or --system-map name the others";

/// What a file of symbols is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Kallsyms,
    SystemMap,
}

/// Symbols by name: the address, and whether it is one that KASLR moves.
type Symbols = HashMap<Box<str>, (u64, bool)>;

/// Lets a context ask these files for symbols that VMCOREINFO does not have;
/// the first file that has a symbol decides.
pub fn load(context: &Context, files: &[(Kind, &Path)]) -> Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let mut symbols = Symbols::new();
    for (kind, path) in files {
        for (name, (address, in_image)) in parse(path)? {
            symbols.entry(name).or_insert((address, in_image && *kind == Kind::SystemMap));
        }
    }
    // VMCOREINFO may be found later than these files are read.
    let look_up = move |context: &Context, name: &str| match symbols.get(name) {
        Some((address, true)) => Ok(address.wrapping_add(kernel_offset(context))),
        Some((address, false)) => Ok(*address),
        None => Err(Error::no_data("Symbol not found")),
    };
    let mut callbacks: Callbacks = context.callbacks();
    callbacks.symbol_value = Some(Shared::new(look_up));
    context.set_callbacks(callbacks);
    Ok(())
}

/// How far KASLR moved the kernel.
fn kernel_offset(context: &Context) -> u64 {
    let line = context.string("linux.vmcoreinfo.lines.KERNELOFFSET").unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

/// The symbols of a file.
fn parse(path: &Path) -> Result<Symbols> {
    let name = path.display();
    let failed = |text: String| Failure::Dump { text: format!("{name}: {text}"), hint: None };
    let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > LARGEST {
        return Err(failed(format!("{size} bytes: too large for a list of symbols")));
    }
    let bytes = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    let symbols = parse_text(&text);
    if symbols.is_empty() {
        return Err(failed("no symbols in it (lines are: ADDRESS TYPE NAME)".into()));
    }
    if symbols.values().all(|(address, _)| *address == 0) {
        let text = format!("{name}: all addresses are 0");
        let hint = "kallsyms hides them from users (sysctl kernel.kptr_restrict); read it as root";
        return Err(Failure::Dump { text, hint: Some(hint.into()) });
    }
    Ok(symbols)
}

fn parse_text(text: &str) -> Symbols {
    let mut symbols = Symbols::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(address), Some(kind), Some(name)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(address) = u64::from_str_radix(address, 16) else { continue };
        if kind.len() == 1 {
            // Local symbols of one name are many; the first one is the kernel's own.
            symbols.entry(name.into()).or_insert((address, false));
        }
    }
    // What is not in the image does not move: offsets of per-CPU variables, and
    // absolute numbers.
    let bound = |names: [&str; 2]| names.into_iter().find_map(|name| Some(symbols.get(name)?.0));
    let first = bound(["_text", "_stext"]).unwrap_or(0);
    let last = bound(["_end", "__bss_stop"]).unwrap_or(u64::MAX);
    for (address, in_image) in symbols.values_mut() {
        *in_image = (first..=last).contains(address);
    }
    symbols
}

/// A place in memory as the user wrote it: `ADDRESS[+OFFSET]` or
/// `SYMBOL[+OFFSET]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Address(u64),
    Symbol { name: String, offset: u64 },
}

impl Place {
    /// From text whose numbers are hex, with or without `0x`. A name that is a
    /// hex number is one.
    pub fn parse(text: &str) -> Result<Place, String> {
        let (base, offset) = match text.split_once('+') {
            Some((base, offset)) => (base, number::hex(offset).map_err(|error| format!("{text}: {error}"))?),
            None => (text, 0),
        };
        match number::hex(base) {
            Ok(address) => match address.checked_add(offset) {
                Some(address) => Ok(Place::Address(address)),
                None => Err(format!("{text}: more than 64 bits can say")),
            },
            Err(_) => Ok(Place::Symbol { name: symbol_name(base)?.into(), offset }),
        }
    }

    /// From `SYMBOL[+OFFSET]` only.
    pub fn parse_symbol(text: &str) -> Result<Place, String> {
        let (name, offset) = match text.split_once('+') {
            Some((name, offset)) => (name, number::hex(offset).map_err(|error| format!("{text}: {error}"))?),
            None => (text, 0),
        };
        Ok(Place::Symbol { name: symbol_name(name)?.into(), offset })
    }

    /// The address.
    pub fn resolve(&self, context: &Context) -> Result<u64, Error> {
        match self {
            Place::Address(address) => Ok(*address),
            Place::Symbol { name, offset } => {
                let value = context.symbol_value(name).map_err(|error| error.context(name.clone()))?;
                Ok(value.wrapping_add(*offset))
            }
        }
    }

    /// The name, if it is a symbol.
    pub fn name(&self) -> Option<&str> {
        match self {
            Place::Address(_) => None,
            Place::Symbol { name, .. } => Some(name),
        }
    }
}

/// What a symbol of a kernel can be called.
fn symbol_name(text: &str) -> Result<&str, String> {
    let ordinary = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$');
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    match !text.is_empty() && !digit && text.chars().all(ordinary) {
        true => Ok(text),
        false => Err(format!("{text}: neither a hex number nor a symbol")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_hex_numbers_or_symbols_with_an_offset() {
        let symbol = |name: &str, offset| Ok(Place::Symbol { name: name.into(), offset });
        assert_eq!(Place::parse("ffffffff81000000"), Ok(Place::Address(0xffff_ffff_8100_0000)));
        assert_eq!(Place::parse("0x10+0x10"), Ok(Place::Address(0x20)));
        assert_eq!(Place::parse("linux_banner"), symbol("linux_banner", 0));
        assert_eq!(Place::parse("init_task+1a0"), symbol("init_task", 0x1a0));
        // Names that are hex numbers are numbers, unless a symbol is asked for.
        assert_eq!(Place::parse("add"), Ok(Place::Address(0xadd)));
        assert_eq!(Place::parse_symbol("add+0x8"), symbol("add", 8));
        for bad in ["", "+8", "10+", "10+zz", "a b", "-1", "1g", "ffffffffffffffff+1", "0x1ffffffffffffffff"]
        {
            assert!(Place::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn symbols_of_the_image_move_with_the_kernel_and_others_do_not() {
        let text = "0000000000001000 D cpu_info\n\
                    ffffffff81000000 T _text\n\
                    ffffffff81000100 t local\n\
                    ffffffff81000200 t local\n\
                    ffffffff82000000 B _end\n\
                    ffffffffff600000 A vsyscall\n\
                    nonsense\n";
        let symbols = parse_text(text);
        assert_eq!(symbols["cpu_info"], (0x1000, false));
        assert_eq!(symbols["local"], (0xffff_ffff_8100_0100, true));
        assert_eq!(symbols["_end"], (0xffff_ffff_8200_0000, true));
        assert_eq!(symbols["vsyscall"], (0xffff_ffff_ff60_0000, false));
        assert_eq!(symbols.len(), 5);
        let module = parse_text("ffffffffc0000010 t init\t[loop]\n");
        assert_eq!(module["init"].0, 0xffff_ffff_c000_0010);
    }
}
