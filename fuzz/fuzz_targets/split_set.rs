//! Changes of a valid set of two or three files.

use std::sync::OnceLock;

use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;

use super::open_diskdump::{diskdump, kdump};
use crate::patched::{self, Template};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change its files and their order.
pub fn run(data: &[u8]) {
    patched::open_set(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds_of_sets(seeds, templates(), 1);
}

/// Split sets of two and three files.
pub fn templates() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let set = |arch: Arch, codec, version, bounds: &[u64]| -> Vec<Template> {
            let whole = kdump(arch, codec).version(version);
            let ends = bounds.iter().copied().chain([12]);
            let starts = [0].into_iter().chain(bounds.iter().copied());
            let file = |(start, end)| diskdump(whole.clone().split(start..end), arch.usual_order());
            starts.zip(ends).map(file).collect()
        };
        vec![
            set(Arch::X86_64, Codec::Zlib, 6, &[2]),
            set(Arch::X86_64, Codec::Snappy, 6, &[2, 5]),
            set(Arch::Ia32, Codec::Lzo, 5, &[3]),
            set(Arch::S390x, Codec::Zlib, 2, &[1, 3]),
        ]
    })
}
