//! Compares the hit ratio of the page cache with that of the reference's
//! algorithm: `cargo run --release -p kdumpfile-bench --bin hit-ratio`.

use kdumpfile_bench::{serve, traces};

fn main() {
    println!("| slots | trace | ours | reference | difference |");
    println!("| ---: | --- | ---: | ---: | ---: |");
    for capacity in [64, 1024] {
        for trace in traces::all(capacity, 400 * capacity) {
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
