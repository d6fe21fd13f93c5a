//! What the measurements share: traces of page numbers, and how many of their
//! requests a cache serves.

pub mod reference;
pub mod traces;

use kdumpfile::cache::{Key, Lookup, PageCache};

use reference::Reference;
use traces::Trace;

/// How many requests of a trace found their page.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    pub ours: u64,
    pub reference: u64,
    pub requests: u64,
}

impl Served {
    /// Our hit ratio, in percent.
    pub fn ours(&self) -> f64 {
        self.ours as f64 * 100.0 / self.requests as f64
    }

    /// The hit ratio of the reference's algorithm, in percent.
    pub fn reference(&self) -> f64 {
        self.reference as f64 * 100.0 / self.requests as f64
    }
}

/// Runs a trace through the real page cache and through the model of the
/// reference's, both of `capacity` pages.
pub fn serve(trace: &Trace, capacity: usize) -> Served {
    let cache = PageCache::new(capacity as u64, 1);
    let mut reference = Reference::new(capacity);
    let mut served = Served { ours: 0, reference: 0, requests: 0 };
    for page in &trace.pages {
        served.requests += 1;
        served.reference += u64::from(reference.get(*page));
        match cache.get(Key { address: page << 12, space: 1 }) {
            Lookup::Hit(_) => served.ours += 1,
            Lookup::Fill(guard) => drop(guard.commit()),
            Lookup::InFlight | Lookup::Busy(_) | Lookup::NoMemory => {
                unreachable!("one thread, and no page is pinned")
            }
        }
    }
    assert_eq!(cache.hits(), served.ours, "the cache counts its hits");
    assert_eq!(cache.hits() + cache.misses(), served.requests, "each request counts once");
    served
}
