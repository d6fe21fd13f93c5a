//! Mission Critical Linux crash dumps (`vmdump`, 1999 to 2001): recognised by
//! their first four bytes, and refused.

use alloc::boxed::Box;

use crate::error::{Error, Result, ResultExt};
use crate::format::{Format, Opening};

/// Name of the format.
pub const NAME: &str = "mclxcd";

/// First bytes of a file: 0x9A8BCCDD, little endian.
const SIGNATURE: [u8; 4] = [0xdd, 0xcc, 0x8b, 0x9a];

/// Refuses such a file; `None` for any other one.
///
/// # Errors
/// `Cannot read dump header`; `NotImplemented` for a file that has the
/// signature. The texts have the spelling of the C library, which clients match.
pub fn open(opening: &mut Opening<'_>) -> Result<Option<Box<dyn Format>>> {
    let files = opening.files;
    if files.count() == 0 {
        return Ok(None);
    }
    let mut raw = [0; SIGNATURE.len()];
    files.read(0, 0, &mut raw).context(|| "Cannot read dump header")?;
    if raw != SIGNATURE {
        return Ok(None);
    }
    opening.facts.set_string("file.description", "Mision Critical Linux Crash Dump")?;
    Err(Error::not_implemented("Mision Critical Linux Crash Dump files not yet implemented"))
}
