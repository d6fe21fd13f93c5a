//! The page cache serves at least as many requests as the reference's would.

use kdumpfile_bench::{serve, traces};

/// By how many percentage points a single trace may be worse.
const SLACK: f64 = 0.2;

#[test]
fn no_trace_is_served_worse_than_by_the_reference() {
    for capacity in [64, 1024] {
        for trace in traces::all(capacity, 400 * capacity) {
            let served = serve(&trace, capacity);
            assert!(
                served.ours() >= served.reference() - SLACK,
                "{}, {capacity} slots: {:.2} % where the reference has {:.2} %",
                trace.name,
                served.ours(),
                served.reference()
            );
        }
    }
}

#[test]
fn a_scan_leaves_the_hot_pages_alone() {
    let hot = || (0..16).chain(0..16).collect::<Vec<u64>>();
    let pages = [hot(), (1000..1400).collect(), hot()].concat();
    let served = serve(&traces::Trace { name: String::new(), pages }, 64);
    assert_eq!(served.ours, 16 + 32, "all hot pages are still there");
}
