//! Models of the shared state, run by `ci/loom.sh` in every order of steps
//! that threads can take. One file of `tests/` per theme, one named model per
//! invariant.
//!
//! Each model names a fault of the library (`kdumpfile::sync::Fault`) that it
//! must notice. `models!` makes one test of it:
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
    /// How many steps an execution may have; `None` is what loom allows. It is
    /// what ends a thread that waits for another one without end.
    pub branches: Option<usize>,
}

/// Explores `model`, and counts its executions.
fn count(executions: &Arc<AtomicU64>, bounds: Bounds, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bounds.preemptions;
    builder.max_branches = bounds.branches.unwrap_or(builder.max_branches);
    let executions = executions.clone();
    builder.check(move || {
        executions.fetch_add(1, Ordering::Relaxed);
        model();
    });
}

/// The model must hold.
#[cfg(not(broken))]
pub fn check(name: &str, _fault: Fault, bounds: Bounds, model: impl Fn() + Sync + Send + 'static) {
    let executions = Arc::new(AtomicU64::new(0));
    count(&executions, bounds, model);
    let executions = executions.load(Ordering::Relaxed);
    match bounds.preemptions {
        None => println!("model {name}: {executions} executions"),
        Some(most) => println!("model {name}: {executions} executions (at most {most} preemptions)"),
    }
}

/// The model must notice `fault`.
///
/// It is explored by a process of its own, which the first panic ends: the
/// threads of a model are routines of one thread, and a second one that panics
/// while the first one unwinds would abort the whole test.
#[cfg(broken)]
pub fn check(name: &str, fault: Fault, bounds: Bounds, model: impl Fn() + Sync + Send + 'static) {
    const EXPLORER: &str = "KDUMPFILE_EXPLORER";
    const NOTICED: i32 = 42;
    if std::env::var_os(EXPLORER).is_some() {
        let executions = Arc::new(AtomicU64::new(0));
        let executed = executions.clone();
        std::panic::set_hook(Box::new(move |complaint| {
            let text = complaint.payload_as_str().unwrap_or("a panic without text").replace('\n', " ");
            println!("\nnoticed {fault:?} in execution {}: {text}", executed.load(Ordering::Relaxed));
            std::process::exit(NOTICED);
        }));
        kdumpfile::sync::break_with(Some(fault));
        count(&executions, bounds, model);
        println!("\nnoticed nothing in {} executions", executions.load(Ordering::Relaxed));
        return;
    }
    let program = std::env::current_exe().expect("the program of this test is known");
    let explorer = std::process::Command::new(program)
        .args(["--exact", name, "--nocapture"])
        .env(EXPLORER, "1")
        .output()
        .expect("this test can be started once more");
    let output = String::from_utf8_lossy(&explorer.stdout);
    let said = output.lines().find(|line| line.starts_with("noticed"));
    assert_eq!(explorer.status.code(), Some(NOTICED), "model {name}, {fault:?}: {}", said.unwrap_or(&output));
    println!("model {name}: {}", said.unwrap_or("?"));
}

/// Declares models: `name => Fault, || { body }`, or
/// `name (preemptions 2) => Fault, || { body }` where every order is too much,
/// or `name (preemptions 2, branches 5000) => ...` where one is long as well.
#[macro_export]
macro_rules! models {
    ($($(#[$meta:meta])* $name:ident $((preemptions $most:literal $(, branches $branches:literal)?))? => $fault:expr, || $body:block)*) => {
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                #[allow(unused_mut)]
                let mut bounds = $crate::Bounds::default();
                $(
                    bounds.preemptions = Some($most);
                    $(bounds.branches = Some($branches);)?
                )?
                let fault: kdumpfile::sync::Fault = $fault;
                $crate::check(stringify!($name), fault, bounds, || $body);
            }
        )*
    };
}
