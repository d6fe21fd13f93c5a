//! Sequences of page numbers, the same in every run.

/// A sequence of requests.
pub struct Trace {
    pub name: String,
    pub pages: Vec<u64>,
}

/// A small generator: the same numbers in every run.
pub struct Random(pub u64);

impl Random {
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

/// Page `n` is asked for in proportion to `1 / (n + 1)^skew`.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(pages: usize, skew: f64) -> Self {
        let mut sum = 0.0;
        let mut weights: Vec<f64> = Vec::with_capacity(pages);
        for page in 0..pages {
            sum += ((page + 1) as f64).powf(-skew);
            weights.push(sum);
        }
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Zipf(weights)
    }

    fn next(&self, random: &mut Random) -> u64 {
        let at = (random.draw() >> 11) as f64 / (1_u64 << 53) as f64;
        self.0.partition_point(|weight| *weight < at) as u64
    }
}

/// Numbers of pages that no hot set and no loop uses.
const FAR: u64 = 1 << 32;

/// All traces for a cache of `capacity` pages, each of `length` requests.
pub fn all(capacity: usize, length: usize) -> Vec<Trace> {
    let size = capacity as u64;
    let mut traces = Vec::new();
    let mut add = |name: String, next: &mut dyn FnMut(u64, &mut Random) -> u64| {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let pages = (0..length as u64).map(|step| next(step, &mut random)).collect();
        traces.push(Trace { name, pages });
    };
    for skew in [0.7, 0.9, 1.1] {
        let zipf = Zipf::new(16 * capacity, skew);
        add(format!("Zipf {skew}"), &mut |_, random| zipf.next(random));
    }
    for tenths in [5, 9, 11, 15, 30] {
        let pages = size * tenths / 10;
        add(format!("loop over {:.1} capacities", tenths as f64 / 10.0), &mut |step, _| step % pages);
    }
    add("sequential scan".into(), &mut |step, _| step);
    let zipf = Zipf::new(16 * capacity, 0.9);
    add("Zipf 0.9, each fifth request scans".into(), &mut |step, random| match step % 5 {
        0 => FAR + step,
        _ => zipf.next(random),
    });
    add(
        "Zipf 0.9, now and then a scan of 2 capacities".into(),
        &mut |step, random| match step % (10 * size) {
            at if at < 2 * size => FAR + step,
            _ => zipf.next(random),
        },
    );
    for tenths in [4, 15] {
        let pages = size * tenths / 10;
        let name = format!("Zipf 0.9 and a loop over {:.1} capacities", tenths as f64 / 10.0);
        add(name, &mut |step, random| match step % 2 {
            0 => FAR + (step / 2) % pages,
            _ => zipf.next(random),
        });
    }
    for tenths in [5, 9] {
        let (hot, shift) = (size * tenths / 10, 10 * size);
        let name = format!("shifting hot sets of {:.1} capacities", tenths as f64 / 10.0);
        add(name, &mut |step, random| match random.below(10) {
            0 => FAR + random.below(16 * size),
            _ => (step / shift) * hot + random.below(hot),
        });
    }
    traces
}
