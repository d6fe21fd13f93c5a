//! Files that are no kernel crash dump which this library reads, but which
//! users take for one: said plainly, with what does read them.
//!
//! | first bytes | what it is | use instead |
//! | --- | --- | --- |
//! | `LinuxGuestRecord` | domain that `xc_save` of Xen 3 saved | |
//! | `Xen saved domain, xl format\n` | domain that `xl save` saved | `xl dump-core` |
//! | `PAGEDU64`, `PAGEDUMP` | Windows crash dump | WinDbg, volatility3 |
//!
//! Signatures and texts: spec 12 §2, spec 13 §8.2 and §9.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::{Format, Opening};
use crate::arch::ByteOrder;
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

/// Name of a domain that `xc_save` saved.
pub const XC_SAVE: &str = "xc_save";
/// Name of a domain that `xl save` saved.
pub const XL_SAVE: &str = "xl_save";
/// Name of Windows crash dumps.
pub const WINDOWS: &str = "windows";

/// Whether file 0 begins with `signature`, of at most 28 bytes.
fn begins_with(files: &FileSet, signature: &[u8]) -> Result<bool> {
    let mut raw = [0; 28];
    let raw = raw.get_mut(..signature.len()).unwrap_or_default();
    files.read(0, 0, raw).context(|| "Cannot read dump header")?;
    Ok(raw == signature)
}

/// Refuses a domain that `xc_save` saved; `None` for any other file.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` for a file with the signature.
pub fn xc_save(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    if !begins_with(opening.files, b"LinuxGuestRecord")? {
        return Ok(None);
    }
    opening.facts.set_string("file.description", "Xen xc_save")?;
    Err(Error::not_implemented("Xen xc_save files not yet implemented"))
}

/// Refuses a domain that `xl save` saved; `None` for any other file.
///
/// # Errors
/// Those of [`xc_save`].
pub fn xl_save(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    if !begins_with(opening.files, b"Xen saved domain, xl format\n")? {
        return Ok(None);
    }
    opening.facts.set_string("file.description", "Xen saved domain (xl)")?;
    Err(Error::not_implemented(
        "Xen xl save files not yet implemented; restore the domain and dump it with 'xl dump-core'",
    ))
}

/// Where the fields of a Windows crash dump's header are, in bytes.
struct WindowsHeader {
    signature: &'static [u8; 8],
    bits: u32,
    machine: u64,
    bug_check: u64,
    kind: u64,
}

/// `DUMP_HEADER64` and `DUMP_HEADER32`, little endian.
const WINDOWS_HEADERS: [WindowsHeader; 2] = [
    WindowsHeader { signature: b"PAGEDU64", bits: 64, machine: 0x30, bug_check: 0x38, kind: 0xf98 },
    WindowsHeader { signature: b"PAGEDUMP", bits: 32, machine: 0x20, bug_check: 0x28, kind: 0xf88 },
];

/// `DumpType`.
const WINDOWS_KINDS: [(u32, &str); 7] = [
    (1, "full"),
    (2, "kernel"),
    (3, "small"),
    (4, "triage"),
    (5, "full with bitmap"),
    (6, "kernel with bitmap"),
    (7, "automatic"),
];

/// `MachineImageType`: the numbers of PE files.
const WINDOWS_MACHINES: [(u32, &str); 3] = [(0x8664, "x86_64"), (0xaa64, "aarch64"), (0x14c, "ia32")];

/// The name of a number, or the number.
fn named(table: &[(u32, &'static str)], what: &str, number: u32) -> Cow<'static, str> {
    match table.iter().find(|row| row.0 == number) {
        Some(row) => row.1.into(),
        None => format!("{what} {number:#x}").into(),
    }
}

/// Kind, machine and bug check, as the header has them.
fn describe(files: &FileSet, header: &WindowsHeader) -> Result<String> {
    let field = |position| -> Result<u32> {
        let mut raw = [0; 4];
        files.read(0, position, &mut raw).context(|| format!("Cannot read dump header at {position}"))?;
        Ok(ByteOrder::Little.u32(&raw, 0))
    };
    let kind = named(&WINDOWS_KINDS, "kind", field(header.kind)?);
    let machine = named(&WINDOWS_MACHINES, "machine", field(header.machine)?);
    let bug_check = field(header.bug_check)?;
    Ok(format!("Windows crash dump ({} bits, {kind}, {machine}, bug check {bug_check:#x})", header.bits))
}

/// Refuses a Windows crash dump and says what it is; `None` for any other file.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` for a file with the signature.
pub fn windows(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    for header in &WINDOWS_HEADERS {
        if begins_with(opening.files, header.signature)? {
            let description = describe(opening.files, header)?;
            opening.facts.set_string("file.description", &description)?;
            return Err(Error::not_implemented(format!(
                "{description} is not of a Linux kernel; read it with WinDbg or volatility3"
            )));
        }
    }
    Ok(None)
}
