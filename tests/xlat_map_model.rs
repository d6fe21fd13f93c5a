//! Maps against the plainest model there is.

mod xlat_support;

use kdumpfile::xlat::{Map, MethodIndex, Range};
use xlat_support::Rng;

/// The addresses that edits of a test can tell apart.
struct Model {
    /// `methods[n]` is the method of all addresses from `bounds[n]` on.
    bounds: Vec<u64>,
    methods: Vec<i32>,
}

impl Model {
    fn new(bounds: Vec<u64>) -> Self {
        assert!(bounds.is_sorted() && bounds[0] == 0);
        let methods = vec![-1; bounds.len()];
        Model { bounds, methods }
    }

    /// The last address of cell `n`.
    fn last(&self, n: usize) -> u64 {
        self.bounds.get(n + 1).map_or(u64::MAX, |next| next - 1)
    }

    /// Maximal runs.
    fn ranges(&self) -> Vec<Range> {
        let mut ranges: Vec<Range> = Vec::new();
        for (n, &method) in self.methods.iter().enumerate() {
            let (first, last) = (self.bounds[n], self.last(n));
            match ranges.last_mut() {
                Some(before) if before.method.0 == method => before.last = last,
                _ => ranges.push(Range { first, last, method: MethodIndex(method) }),
            }
        }
        ranges
    }
}

#[test]
fn random_edits_come_to_the_same_as_in_a_naive_model() {
    const EDITS: u32 = 100_000;
    let mut rng = Rng(1);
    let mut edits = 0;
    while edits < EDITS {
        // Cells of all sizes, with some at both ends of the space.
        let mut bounds = vec![0, 1, u64::MAX, u64::MAX - 1];
        bounds.extend((0..12).map(|_| rng.next() >> rng.below(64)));
        bounds.extend((0..4).map(|_| !(rng.next() >> rng.below(64))));
        bounds.sort_unstable();
        bounds.dedup();
        let mut model = Model::new(bounds);
        let mut map = Map::new();
        for _ in 0..500 {
            let cells = model.bounds.len() as u64;
            let from = rng.below(cells) as usize;
            let to = from + rng.below(cells - from as u64).min(rng.below(cells)) as usize;
            let method = rng.below(4) as i32 - 1;
            model.methods[from..=to].fill(method);
            let first = model.bounds[from];
            map.set(first, model.last(to) - first, MethodIndex(method)).unwrap();
            edits += 1;

            let ranges = model.ranges();
            assert!(map.ranges().eq(ranges.iter().copied()), "{map:?}\n{ranges:?}");
            assert_eq!(map.len(), ranges.len());
            let cell = rng.below(cells) as usize;
            for addr in [model.bounds[cell], model.last(cell)] {
                let range = *ranges.iter().find(|range| range.last >= addr).unwrap();
                assert_eq!(map.find(addr), range);
                assert_eq!(map.search(addr).0, model.methods[cell]);
            }
        }
    }
}
