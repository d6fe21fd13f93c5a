//! The wall between Rust and C: no panic passes it.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the body of an entry function; `failed` is what a panic returns, and
/// is told its message.
///
/// State may be seen after a panic (`AssertUnwindSafe`): the library has no
/// state that a panic leaves half done, as a lock that was poisoned is simply
/// taken again.
pub fn run<R>(body: impl FnOnce() -> R, failed: impl FnOnce(&str) -> R) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            let text = payload
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
                .unwrap_or("unknown panic");
            let value = catch_unwind(AssertUnwindSafe(|| failed(text)));
            // What the panic carried may panic when it is dropped.
            std::mem::forget(payload);
            value.unwrap_or_else(|_| std::process::abort())
        }
    }
}

/// `entry!(value, { body })`: the body of an entry function, and what it
/// returns after a panic.
#[macro_export]
macro_rules! entry {
    ($failed:expr, $body:block) => {
        $crate::guard::run(|| $body, |_| $failed)
    };
}
