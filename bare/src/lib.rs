//! What two programs without an operating system's library have in common.
//!
//! ```text
//!  _start ──> own stack ──> main ──> kdumpfile ──> Flash   the user's ReadAt
//!                            │          └──> heap          own allocator
//!                            └──> system: write, exit, threads by clone
//! ```
//!
//! There is no std, no C library, no loader and no unwinder; what a firmware
//! has to bring is what is in here. The kernel is asked for the bare minimum:
//! to print, to end, and (feature `threads`) to start threads.
#![no_std]

extern crate alloc;

pub mod flash;
pub mod heap;
pub mod memory;
pub mod pages;
pub mod stack;
pub mod system;

use core::panic::PanicInfo;

/// The dump that is built in.
pub static DUMP: &[u8] = include_bytes!(env!("BARE_DUMP_FILE"));

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    say!("{info}");
    system::exit(101)
}

/// The compiled `core` and `alloc` of this target are made for programs that
/// unwind, and ask for these two by name. Nothing here unwinds: a panic ends
/// the program. Targets of firmware need neither.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    system::exit(102)
}

#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    system::exit(102)
}

/// Prints one line.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => {{
        // Standard output may be closed; there is nobody to tell.
        let _ = core::fmt::Write::write_fmt(&mut $crate::system::Output, format_args!("{}\n", format_args!($($text)*)));
    }};
}
