//! Texts and names of numbers.

use core::ffi::{c_char, c_int};
use core::ptr;

use kdumpfile::xlat::{AddrSpace, PteFormat, Status};
use kdumpfile_capi_shared::{entry, memory};

/// `$text`, which is one of `$known`, as a string of C.
fn static_text(text: &str, known: &[&'static core::ffi::CStr]) -> *const c_char {
    let found = known.iter().find(|known| known.to_bytes() == text.as_bytes());
    found.map_or(ptr::null(), |known| known.as_ptr())
}

/// The general text for a status.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_strerror(status: c_int) -> *const c_char {
    const TEXTS: [&core::ffi::CStr; 8] = [
        c"Success",
        c"Unimplemented feature",
        c"Page not present",
        c"Invalid address",
        c"Memory allocation failure",
        c"Data not available",
        c"No translation method",
        c"Unknown error",
    ];
    entry!(ptr::null(), {
        let text = Status::from_code(status).map_or("Success", Status::text);
        static_text(text, &TEXTS)
    })
}

/// The name of an address space.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_addrspace_name(space: c_int) -> *const c_char {
    const NAMES: [&core::ffi::CStr; 5] =
        [c"KPHYSADDR", c"MACHPHYSADDR", c"KVADDR", c"NOADDR", c"invalid addrspace_t"];
    entry!(ptr::null(), { static_text(AddrSpace(space).name(), &NAMES) })
}

/// The last format of the header. Others of this library have numbers only:
/// tables are walked by them, but clients do not know what they are.
const LAST_FORMAT: c_int = 13;
/// `ADDRXLAT_PTE_RISCV32`: clients know that it has no size.
const RISCV32: c_int = 12;

/// log2 of the size of an entry of a page table, or -1.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_pteval_shift(format: c_int) -> c_int {
    entry!(-1, {
        if format > LAST_FORMAT || format == RISCV32 {
            return -1;
        }
        PteFormat::from_code(format).pteval_shift().map_or(-1, |shift| shift as c_int)
    })
}

/// The number of a format of page-table entries, or -1.
///
/// # Safety
/// `name` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn addrxlat_pte_format(name: *const c_char) -> c_int {
    entry!(-1, {
        // SAFETY: as above.
        let name = unsafe { memory::text(name) }.unwrap_or_default();
        PteFormat::from_name(name).map(PteFormat::code).filter(|code| *code <= LAST_FORMAT).unwrap_or(-1)
    })
}

/// The name of a format of page-table entries, or NULL.
#[unsafe(no_mangle)]
pub extern "C" fn addrxlat_pte_format_name(format: c_int) -> *const c_char {
    const NAMES: [&core::ffi::CStr; 14] = [
        c"none",
        c"pfn32",
        c"pfn64",
        c"aarch64",
        c"ia32",
        c"ia32_pae",
        c"x86_64",
        c"s390x",
        c"ppc64_linux_rpn30",
        c"aarch64_lpa",
        c"aarch64_lpa2",
        c"arm",
        c"riscv32",
        c"riscv64",
    ];
    entry!(ptr::null(), {
        PteFormat::from_code(format).name().map_or(ptr::null(), |name| static_text(name, &NAMES))
    })
}
