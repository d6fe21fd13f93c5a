//! Options of `addrxlat_sys_os_init`.

use core::ffi::c_uint;

use kdumpfile::xlat::os::{Options, OsType};
use kdumpfile::xlat::{Error, Result};
use kdumpfile_capi_shared::chain::rust_addr;
use kdumpfile_capi_shared::memory;
use kdumpfile_capi_shared::types::Opt;

/// The options, of which later ones replace earlier ones.
///
/// # Errors
/// `NotImplemented`: `Unknown option: <number>`.
///
/// # Safety
/// There are `optc` options at `opts`, and texts are strings.
pub(crate) unsafe fn read(optc: c_uint, opts: *const Opt) -> Result<Options> {
    let mut options = Options::default();
    for place in 0..if opts.is_null() { 0 } else { optc as usize } {
        // SAFETY: as above; the member that belongs to the option is looked at.
        unsafe {
            let opt = opts.add(place);
            let val = &raw const (*opt).val;
            // An unsigned long has 32 bits on some machines.
            #[allow(clippy::useless_conversion)]
            let number = || Some(u64::from((*val).num));
            match (*opt).idx {
                0 => {}
                1 => options.arch = memory::text((*val).str).map(String::from),
                2 => options.os = memory::text((*val).str).map(OsType::from_name),
                3 => options.version_code = number(),
                4 => options.phys_bits = number(),
                5 => options.virt_bits = number(),
                6 => options.page_shift = number(),
                7 => options.phys_base = Some((*val).addr),
                8 => options.root = Some(rust_addr((*val).fulladdr)),
                9 => options.xen_p2m_mfn = number(),
                10 => options.xen_xlat = number().map(|flag| flag != 0),
                other => return Err(Error::not_implemented(format!("Unknown option: {other}"))),
            }
        }
    }
    Ok(options)
}

/// Whether there is a way to set the architecture up: nothing changes if not.
///
/// # Errors
/// `NoData`: `Cannot determine architecture`; `NotImplemented`: `Unsupported
/// architecture`.
pub(crate) fn check(options: &Options) -> Result<()> {
    let arch = options.arch.as_deref().ok_or_else(|| Error::no_data("Cannot determine architecture"))?;
    if kdumpfile::xlat::os::is_supported(arch) {
        Ok(())
    } else {
        Err(Error::not_implemented("Unsupported architecture"))
    }
}
