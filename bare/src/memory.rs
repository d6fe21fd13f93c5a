//! `memcpy` and its relatives, which the compiler calls for copies and
//! comparisons, and which a C library would have.
//!
//! The crate compiler_builtins has them only for targets without an operating
//! system, which this target is not. They are single string instructions: in a
//! loop written in Rust the compiler would recognise a `memcpy` and call this
//! very function. For a target of firmware drop this module.

use core::arch::asm;

/// Copies `n` bytes that do not overlap.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller promises `n` bytes on both sides.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") n => _,
             options(nostack, preserves_flags));
    }
    to
}

/// Copies `n` bytes that may overlap.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: a forward copy reads each byte before it is overwritten.
        return unsafe { memcpy(to, from, n) };
    }
    // SAFETY: the caller promises `n` bytes on both sides, and `n` is not zero,
    // as the difference is less. The direction flag is cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rdi") to.add(n - 1) => _, inout("rsi") from.add(n - 1) => _,
             inout("rcx") n => _, options(nostack));
    }
    to
}

/// Sets `n` bytes to the low byte of `value`.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller promises `n` bytes.
    unsafe {
        asm!("rep stosb", inout("rdi") to => _, inout("rcx") n => _, in("al") value as u8,
             options(nostack, preserves_flags));
    }
    to
}

/// Compares `n` bytes: negative, zero or positive.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    let (above, below): (u8, u8);
    // SAFETY: the caller promises `n` bytes on both sides. The first comparison
    // says "equal" for the case that there are none.
    unsafe {
        asm!("cmp ecx, ecx", "repe cmpsb", "seta {above}", "setb {below}",
             above = out(reg_byte) above, below = out(reg_byte) below,
             inout("rsi") a => _, inout("rdi") b => _, inout("rcx") n => _, options(nostack, readonly));
    }
    i32::from(above) - i32::from(below)
}

/// Compares `n` bytes: zero if they are equal.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the promises are the same.
    unsafe { memcmp(a, b, n) }
}

/// Whether these functions do what their names say.
pub fn works() -> bool {
    use core::cmp::Ordering::{Equal, Greater, Less};
    use core::hint::black_box;

    let digits = *b"0123456789";
    let moved = |from: usize, to: usize, n: usize| {
        let mut bytes = black_box(digits);
        bytes.copy_within(from..from + black_box(n), to);
        bytes
    };
    let order = |a: &[u8], b: &[u8]| black_box(a).cmp(black_box(b));
    let mut filled = black_box(digits);
    filled[2..black_box(5)].fill(black_box(b'x'));
    moved(0, 2, 8) == *b"0101234567"
        && moved(2, 0, 8) == *b"2345678989"
        && moved(3, 3, 4) == digits
        && moved(4, 1, 0) == digits
        && filled == *b"01xxx56789"
        && order(b"abc", b"abd") == Less
        && order(b"ab\xff", b"ab\x01") == Greater
        && order(b"abc", b"abc") == Equal
        && order(b"", b"") == Equal
}
