//! Reading memory and VMCOREINFO.

use core::ffi::{c_char, c_int, c_void};

use kdumpfile::{Error, Space, Status};
use kdumpfile_capi_shared::{entry, memory};

use crate::attr::store;
use crate::ctx::Ctx;
use crate::status::{Failure, KStatus, OK, Outcome};

/// What is read at once at most: a client may ask for all that there is
/// from an address on, into memory that has room for less.
const READ_AT_ONCE: usize = 1 << 30;

/// The space of a number of the C ABI.
#[inline]
fn known_space(number: c_int) -> Option<Space> {
    match number {
        0 => Some(Space::KernelPhysical),
        1 => Some(Space::MachinePhysical),
        2 => Some(Space::KernelVirtual),
        _ => None,
    }
}

#[inline]
fn space(number: c_int) -> Result<Space, Failure> {
    known_space(number).ok_or_else(no_space)
}

#[cold]
fn no_space() -> Failure {
    let error = Error::new(Status::AddrXlat, "Unrecognized address space");
    error.context("Cannot get page I/O address").into()
}

/// Reads memory. `*plength` is how many bytes are wanted, then how many there are.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_read(
    ctx: *mut Ctx,
    space_number: c_int,
    addr: u64,
    buffer: *mut c_void,
    plength: *mut usize,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        // What is asked for most often: a number in a page that is cached.
        let read = Ctx::at_best(ctx, |ctx| {
            let length = *plength.as_ref().filter(|length| (1..=READ_AT_ONCE).contains(*length))?;
            let space = known_space(space_number).filter(|space| ctx.is_in_step(*space))?;
            let buffer = core::slice::from_raw_parts_mut(buffer.cast::<u8>(), length);
            ctx.dump.read_cached(space, addr, buffer).then_some(())
        });
        match read {
            Some(()) => OK, // and as many bytes as were wanted
            None => read_any(ctx, space_number, addr, buffer, plength),
        }
    }
}

/// The same for whatever is read.
///
/// # Safety
/// As above.
#[inline(never)]
unsafe fn read_any(
    ctx: *mut Ctx,
    space_number: c_int,
    addr: u64,
    buffer: *mut c_void,
    plength: *mut usize,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        // Whatever happens: nothing was read so far.
        let wanted = plength.as_mut().map(|length| (core::mem::replace(length, 0), length));
        Ctx::enter(ctx, |ctx| {
            let Some((length, plength)) = wanted else {
                return Err(Error::invalid("No length").into());
            };
            if length == 0 {
                return Ok(());
            }
            let space = space(space_number)?;
            ctx.keep_in_step(space)?;
            if length > READ_AT_ONCE {
                return read_in_parts(ctx, space, addr, buffer.cast(), length, plength);
            }
            // The bytes are only written, by copies.
            let buffer = core::slice::from_raw_parts_mut(buffer.cast::<u8>(), length);
            let (done, outcome) = ctx.dump.read_partial(space, addr, buffer);
            *plength = done;
            Ok(outcome?)
        })
    }
}

/// The same for more than is read at once; `done` is 0 to begin with.
///
/// # Safety
/// There is memory at `buffer` for what is read.
#[cold]
unsafe fn read_in_parts(
    ctx: &Ctx,
    space: Space,
    addr: u64,
    buffer: *mut u8,
    length: usize,
    done: &mut usize,
) -> Outcome {
    while *done < length {
        let (start, wanted) = (*done, (length - *done).min(READ_AT_ONCE));
        // SAFETY: as above; the bytes are only written, by copies.
        let part = unsafe { core::slice::from_raw_parts_mut(buffer.wrapping_add(start), wanted) };
        let (read, outcome) = ctx.dump.read_partial(space, addr.wrapping_add(start as u64), part);
        *done = start + read;
        outcome?;
    }
    Ok(())
}

/// Gives bytes away as a string.
///
/// # Safety
/// `place` is NULL or valid.
unsafe fn give_string(place: *mut *mut c_char, bytes: &[u8]) -> Outcome {
    let string = memory::string(bytes);
    if string.is_null() {
        return Err(Error::system("Cannot allocate string").into());
    }
    // SAFETY: as above.
    unsafe { store(place, string) };
    Ok(())
}

/// Reads up to the first NUL.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_read_string(
    ctx: *mut Ctx,
    space_number: c_int,
    addr: u64,
    pstr: *mut *mut c_char,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let space = space(space_number)?;
            ctx.keep_in_step(space)?;
            give_string(pstr, &ctx.dump.read_string(space, addr)?)
        })
    }
}

/// A copy of VMCOREINFO.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_vmcoreinfo_raw(ctx: *mut Ctx, raw: *mut *mut c_char) -> KStatus {
    // SAFETY: as above.
    unsafe { Ctx::enter(ctx, |ctx| give_string(raw, &ctx.dump.vmcoreinfo_raw()?)) }
}

/// A copy of the value of one line of VMCOREINFO.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_vmcoreinfo_line(
    ctx: *mut Ctx,
    key: *const c_char,
    val: *mut *mut c_char,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let key = memory::text(key).unwrap_or_default();
            give_string(val, ctx.dump.vmcoreinfo_line(key)?.as_bytes())
        })
    }
}

/// The address of a symbol, by VMCOREINFO.
///
/// # Safety
/// The pointers are NULL, or what the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_vmcoreinfo_symbol(
    ctx: *mut Ctx,
    symname: *const c_char,
    symvalue: *mut u64,
) -> KStatus {
    // SAFETY: as above.
    unsafe {
        Ctx::enter(ctx, |ctx| {
            let name = memory::text(symname).unwrap_or_default();
            store(symvalue, ctx.dump.vmcoreinfo_symbol(name)?);
            Ok(())
        })
    }
}

/// Whether the dump is little-endian; one that does not say so is not.
///
/// # Safety
/// `ctx` is NULL or a context.
unsafe fn little_endian(ctx: *mut Ctx) -> bool {
    // SAFETY: as above.
    let order = unsafe { ctx.as_ref() }.map(|ctx| ctx.dump.number("arch.byte_order"));
    matches!(order, Some(Ok(1)))
}

/// `uint_fast16_t`, `uint_fast32_t`: what the C library makes of them.
#[cfg(all(target_pointer_width = "64", not(target_env = "musl")))]
type Fast = u64;
/// `uint_fast16_t`, `uint_fast32_t`: what the C library makes of them.
#[cfg(not(all(target_pointer_width = "64", not(target_env = "musl"))))]
type Fast = u32;

/// 16 bits in the order of this machine.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_d16toh(ctx: *mut Ctx, val: Fast) -> Fast {
    entry!(val, {
        // SAFETY: as above.
        let little = unsafe { little_endian(ctx) };
        let val = val as u16;
        Fast::from(if little { u16::from_le(val) } else { u16::from_be(val) })
    })
}

/// 32 bits in the order of this machine.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
#[allow(clippy::useless_conversion)]
pub unsafe extern "C" fn kdump_d32toh(ctx: *mut Ctx, val: Fast) -> Fast {
    entry!(val, {
        // SAFETY: as above.
        let little = unsafe { little_endian(ctx) };
        let val = val as u32;
        Fast::from(if little { u32::from_le(val) } else { u32::from_be(val) })
    })
}

/// 64 bits in the order of this machine.
///
/// # Safety
/// `ctx` is NULL or a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kdump_d64toh(ctx: *mut Ctx, val: u64) -> u64 {
    entry!(val, {
        // SAFETY: as above.
        let little = unsafe { little_endian(ctx) };
        if little { u64::from_le(val) } else { u64::from_be(val) }
    })
}
