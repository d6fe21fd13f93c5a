//! Opening dumps by descriptors.

use core::ffi::{c_char, c_int, c_uint};

use kdumpfile::dump::OpenDescriptor;
use kdumpfile::io::{FdSource, Source};
use kdumpfile::sync::Shared;
use kdumpfile::{Error, Result};
use kdumpfile_capi_shared::memory;

use crate::ctx::Ctx;
use crate::status::KStatus;

/// Numbers in attributes are descriptors, which belong to the caller.
pub(crate) struct Descriptors;

impl OpenDescriptor for Descriptors {
    fn open(&self, fd: u64) -> Result<Source> {
        Ok(Shared::new(FdSource::borrow_raw(fd as c_int)))
    }
}

/// Opens a dump that consists of these files.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_open_fdset(ctx: *mut Ctx, nfds: c_uint, fds: *const c_int) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            if fds.is_null() && nfds > 0 {
                return Err(Error::invalid("No file descriptors").into());
            }
            // As the attribute would hold it.
            let descriptors: Vec<u64> =
                (0..nfds as usize).map(|index| i64::from(*fds.add(index)) as u64).collect();
            Ok(ctx.dump.open_descriptors(&descriptors)?)
        })
    }
}

/// Names files in messages.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_set_filenames(
    ctx: *mut Ctx,
    n: c_uint,
    names: *const *const c_char,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            if names.is_null() && n > 0 {
                return Err(Error::invalid("No file names").into());
            }
            let name = |index| memory::bytes(*names.add(index)).map(String::from_utf8_lossy);
            let names: Vec<_> = (0..n as usize).map(name).collect();
            let names: Vec<Option<&str>> = names.iter().map(|name| name.as_deref()).collect();
            Ok(ctx.dump.set_file_names(&names)?)
        })
    }
}
