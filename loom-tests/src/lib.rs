//! Models of the shared state, run by `ci/loom.sh` in every order of steps
//! that threads can take. One file of `tests/` per theme, one named model per
//! invariant.
//!
//! Each model names a fault of the library (`kdumpfile::sync::Fault`) that it
//! must notice. [`models!`] makes one test of it:
//!
//! | build | the test |
//! | --- | --- |
//! | `--cfg loom` | explores the model, which must hold, and counts the executions |
//! | `--cfg loom --cfg broken` | puts the fault in; the model must fail |
#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kdumpfile::sync::Fault;

pub mod pages;

/// How a model is explored.
#[derive(Clone, Copy, Default)]
pub struct Bounds {
    /// How often a thread may be interrupted where it could go on; `None`
    /// explores every order.
    pub preemptions: Option<usize>,
}

/// Explores `model` and returns how many executions there are.
pub fn explore(bounds: Bounds, model: impl Fn() + Sync + Send + 'static) -> u64 {
    let executions = Arc::new(AtomicU64::new(0));
    count(&executions, bounds, model);
    executions.load(Ordering::Relaxed)
}

fn count(executions: &Arc<AtomicU64>, bounds: Bounds, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bounds.preemptions;
    let executions = executions.clone();
    builder.check(move || {
        executions.fetch_add(1, Ordering::Relaxed);
        model();
    });
}

/// The model must hold.
#[cfg(not(broken))]
pub fn check(name: &str, _fault: Fault, bounds: Bounds, model: impl Fn() + Sync + Send + 'static) {
    let executions = explore(bounds, model);
    match bounds.preemptions {
        None => println!("model {name}: {executions} executions"),
        Some(most) => println!("model {name}: {executions} executions (at most {most} preemptions)"),
    }
}

/// The model must notice `fault`.
#[cfg(broken)]
pub fn check(name: &str, fault: Fault, bounds: Bounds, model: impl Fn() + Sync + Send + 'static) {
    use kdumpfile::sync::break_with;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    expected::install();
    let executions = Arc::new(AtomicU64::new(0));
    break_with(Some(fault));
    let outcome = catch_unwind(AssertUnwindSafe(|| count(&executions, bounds, model)));
    break_with(None);
    let complaint = expected::take();
    let executions = executions.load(Ordering::Relaxed);
    assert!(outcome.is_err(), "model {name} does not notice {fault:?} in {executions} executions");
    println!("model {name}: notices {fault:?} in execution {executions}: {complaint}");
}

/// Keeps what a model complains about, instead of the usual message.
#[cfg(broken)]
mod expected {
    use std::cell::RefCell;
    use std::sync::Once;

    thread_local! {
        static COMPLAINT: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    static INSTALLED: Once = Once::new();

    /// From now on the first panic of this thread is kept.
    pub fn install() {
        COMPLAINT.set(Some(String::new()));
        INSTALLED.call_once(|| {
            let usual = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                let kept = COMPLAINT.with_borrow_mut(|complaint| match complaint {
                    Some(text) if text.is_empty() => {
                        *text = info.payload_as_str().unwrap_or("?").replace('\n', " ");
                        true
                    }
                    // What follows the first one are its consequences.
                    Some(_) => true,
                    None => false,
                });
                if !kept {
                    usual(info);
                }
            }));
        });
    }

    /// What was kept; panics of this thread are shown again.
    pub fn take() -> String {
        COMPLAINT.take().unwrap_or_default()
    }
}

/// Declares models: `name => Fault, || { body }`, or
/// `name (preemptions 2) => Fault, || { body }` where every order is too much.
#[macro_export]
macro_rules! models {
    ($($(#[$meta:meta])* $name:ident $((preemptions $most:literal))? => $fault:expr, || $body:block)*) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                #[allow(unused_mut)]
                let mut bounds = $crate::Bounds::default();
                $(bounds.preemptions = Some($most);)?
                let fault: kdumpfile::sync::Fault = $fault;
                $crate::check(stringify!($name), fault, bounds, || $body);
            }
        )*
    };
}
