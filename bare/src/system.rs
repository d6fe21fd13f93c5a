//! The system calls that the programs make, and how they begin.

use core::arch::{asm, naked_asm};
use core::fmt;

use crate::say;
use crate::stack::{MAIN_STACK, PAINT, SIZE};

/// Numbers of system calls (`arch/x86/entry/syscalls/syscall_64.tbl` of Linux).
const WRITE: usize = 1;
#[cfg(feature = "threads")]
const SCHED_YIELD: usize = 24;
#[cfg(feature = "threads")]
const CLONE: usize = 56;
#[cfg(feature = "threads")]
const EXIT: usize = 60;
const EXIT_GROUP: usize = 231;

/// Makes a system call.
///
/// # Safety
/// The call keeps its promises only if its arguments do.
unsafe fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result;
    // SAFETY: the kernel changes rax, rcx and r11, and what the caller promised
    // that it may.
    unsafe {
        asm!("syscall", inlateout("rax") number => result, in("rdi") a, in("rsi") b, in("rdx") c,
             lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result
}

/// Standard output.
pub struct Output;

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            // SAFETY: the kernel only reads the bytes, which are ours.
            let written = unsafe { call(WRITE, 1, rest.as_ptr() as usize, rest.len()) };
            let written = usize::try_from(written).ok().filter(|n| *n > 0).ok_or(fmt::Error)?;
            rest = rest.get(written..).ok_or(fmt::Error)?;
        }
        Ok(())
    }
}

/// Ends the program.
pub fn exit(code: u8) -> ! {
    // SAFETY: the call ends all threads and does not return.
    unsafe { call(EXIT_GROUP, code.into(), 0, 0) };
    unreachable!("exit_group does not return")
}

// SAFETY: this package defines the symbol twice, in its two programs, with
// this signature.
unsafe extern "Rust" {
    /// The program itself; each of them defines one.
    safe fn run() -> Result<(), kdumpfile::Error>;
}

/// Where the kernel begins: it paints a stack of our own and goes there.
///
/// # Safety
/// Only the kernel calls this, once.
#[unsafe(naked)]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "lea rdi, [rip + {stack}]",
        "mov ecx, {size}",
        "mov al, {paint}",
        "rep stosb",
        "lea rsp, [rip + {stack} + {size}]",
        "call {main}",
        "ud2",
        stack = sym MAIN_STACK,
        size = const SIZE,
        paint = const PAINT,
        main = sym main,
    )
}

extern "C" fn main() -> ! {
    match run() {
        Ok(()) => exit(0),
        Err(error) => {
            say!("error: {error}");
            exit(1)
        }
    }
}

#[cfg(feature = "threads")]
pub use threads::{Thread, pause};

#[cfg(feature = "threads")]
mod threads {
    use super::{CLONE, EXIT, SCHED_YIELD, call};
    use crate::stack::{SIZE, Stack};
    use alloc::boxed::Box;
    use core::arch::naked_asm;
    use core::sync::atomic::{AtomicU32, Ordering};

    /// A thread shares everything with its parent (`sched.h` of Linux): memory,
    /// file system, files, signal handlers, thread group, System V semaphores;
    /// the kernel clears the word of the child when it has ended.
    const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x20_0000;

    /// Lets others run. Firmware would pause the processor.
    pub fn pause() {
        // SAFETY: the call has no arguments and changes nothing of ours.
        unsafe { call(SCHED_YIELD, 0, 0, 0) };
    }

    /// A thread on a stack of its own.
    pub struct Thread {
        stack: &'static Stack,
        alive: &'static AtomicU32,
    }

    type Body = Box<dyn FnOnce() + Send>;

    impl Thread {
        /// Runs `body` in a new thread; `None` if the kernel has none.
        ///
        /// `alive` and `stack` are for one thread ever, as nothing says when a
        /// stack that was left may be used again.
        pub fn start(
            stack: &'static Stack,
            alive: &'static AtomicU32,
            body: impl FnOnce() + Send + 'static,
        ) -> Option<Thread> {
            if alive.swap(1, Ordering::AcqRel) != 0 || !stack.paint() {
                return None;
            }
            let body = Box::into_raw(Box::new(Box::new(body) as Body));
            // SAFETY: the stack is static and, as `paint` says, nobody's yet;
            // `body` goes to the thread, which alone takes it back.
            let thread = unsafe { clone(FLAGS, stack.start() as usize + SIZE, alive.as_ptr(), enter, body) };
            (thread > 0).then_some(Thread { stack, alive })
        }

        /// Waits for the end; returns the bytes of the stack that were used.
        pub fn join(self) -> usize {
            while self.alive.load(Ordering::Acquire) != 0 {
                pause();
            }
            self.stack.used()
        }
    }

    extern "C" fn enter(body: *mut Body) -> ! {
        // SAFETY: `start` made it with `into_raw`, for this thread only.
        let body = unsafe { Box::from_raw(body) };
        body();
        // SAFETY: ends this thread, which holds nothing any more.
        unsafe { call(EXIT, 0, 0, 0) };
        unreachable!("exit does not return")
    }

    /// The system call: arguments in rdi (flags), rsi (end of the stack), rdx
    /// (the parent's word, unused), r10 (word of the child), r8 (thread-local
    /// storage, there is none). The child finds its registers as they were.
    ///
    /// # Safety
    /// The stack is used by nobody else, and `entry` may be called with `body`.
    #[unsafe(naked)]
    unsafe extern "C" fn clone(
        flags: usize,
        stack_end: usize,
        alive: *mut u32,
        entry: extern "C" fn(*mut Body) -> !,
        body: *mut Body,
    ) -> isize {
        naked_asm!(
            "mov r10, rdx",
            "mov r9, r8",
            "xor edx, edx",
            "xor r8d, r8d",
            "push r12", // the call overwrites rcx
            "mov r12, rcx",
            "mov eax, {clone}",
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r12",
            "ud2",
            "2:",
            "pop r12",
            "ret",
            clone = const CLONE,
        )
    }
}
