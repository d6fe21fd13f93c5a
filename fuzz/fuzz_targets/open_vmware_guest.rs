//! Changes of a valid `debug.guest` of ESXi with its memory.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::vmware_guest::GuestBuilder;

use crate::patched::{self, Template, memory};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change its files and their order.
pub fn run(data: &[u8]) {
    patched::open_set(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds_of_sets(seeds, templates(), 0);
}

/// `debug.guest` files of each layout, with their memory.
pub fn templates() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: GuestBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            vec![Template { bytes, order: ByteOrder::Little, fields, signature: 4 }, memory()]
        };
        let new = |version| GuestBuilder::new(version, 3).cpus(1);
        vec![
            of(new(1).hole(1, 2).hole(5, 0x100)),
            of(new(3).cpus(2)),
            of(new(5).hole(2, 3)),
            of(new(6).hole(2, 3).hole(6, 9)),
            of(new(7)),
            of(new(7).arch(0).hole(0, 0x100)),
        ]
    })
}
