//! Compares the hit ratio of the page cache with that of the reference's
//! algorithm: `cargo run --release -p kdumpfile-bench --bin hit-ratio`.

use kdumpfile_bench::{serve, traces};

/// Requests of a trace: with few of them, chance decides the last digit.
const REQUESTS: usize = 400 << 10;

fn main() {
    println!("| slots | trace | ours | reference | difference |");
    println!("| ---: | --- | ---: | ---: | ---: |");
    for capacity in [64, 1024] {
        for trace in traces::all(capacity, REQUESTS) {
            let served = serve(&trace, capacity);
            let (ours, reference) = (served.ours(), served.reference());
            println!(
                "| {capacity} | {} | {ours:.2} % | {reference:.2} % | {:+.2} |",
                trace.name,
                ours - reference
            );
        }
    }
}
