//! Files that are no kernel crash dump which this library reads, but which
//! users take for one: said plainly, with what does read them.
//!
//! | first bytes | what it is | use instead |
//! | --- | --- | --- |
//! | `Xen saved domain, xl format\n` | domain that `xl save` saved | `xl dump-core` |
//!
//! Signatures and texts: spec 13 §1.2.

use alloc::boxed::Box;

use super::{Format, Opening};
use crate::error::{Error, Result, ResultExt};
use crate::io::FileSet;

/// Name of a domain that `xl save` saved.
pub const XL_SAVE: &str = "xl_save";

/// Whether file 0 begins with `signature`, of at most 28 bytes.
fn begins_with(files: &FileSet, signature: &[u8]) -> Result<bool> {
    let mut raw = [0; 28];
    let raw = raw.get_mut(..signature.len()).unwrap_or_default();
    files.read(0, 0, raw).context(|| "Cannot read dump header")?;
    Ok(raw == signature)
}

/// Refuses a domain that `xl save` saved; `None` for any other file.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` for a file with the signature.
pub fn xl_save(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    if !begins_with(opening.files, b"Xen saved domain, xl format\n")? {
        return Ok(None);
    }
    opening.facts.set_string("file.description", "Xen saved domain (xl)")?;
    Err(Error::not_implemented(
        "Xen xl save files not yet implemented; restore the domain and dump it with 'xl dump-core'",
    ))
}
