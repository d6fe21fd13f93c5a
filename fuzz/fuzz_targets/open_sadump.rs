//! Changes of a valid SADUMP, of one file or several.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};

use crate::patched::{self, PAGE, Template};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change its files and their order.
pub fn run(data: &[u8]) {
    patched::open_set(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds_of_sets(seeds, templates(), 1);
}

/// SADUMPs of each variant, each with all of its files.
pub fn templates() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let ram = RamImage::new(11, PAGE);
        let of = |variant, change: fn(SadumpBuilder) -> SadumpBuilder| -> Vec<Template> {
            let builder = SadumpBuilder::new(variant)
                .block_size(1024)
                .pages([1, 2, 3, 9, 70].map(|pfn| (pfn, ram.page_bytes(pfn))))
                .ram([4, 5, 90])
                .cpus([SmramState::distinct(0, true), SmramState::unused()]);
            let files = change(builder).build_with_layout();
            let template = |(bytes, layout): (Vec<u8>, _)| -> Template {
                let layout: kdumpfile_testkit::sadump::SadumpLayout = layout;
                let fields = layout.fields().map(|(_, field)| field).collect();
                // A backup's signature is not at its start.
                let signature = if layout.partition == 0 { 8 } else { 0 };
                Template { bytes, order: ByteOrder::Little, fields, signature }
            };
            files.into_iter().map(template).collect()
        };
        vec![
            of(Variant::Single, |dump| dump),
            of(Variant::Single, |dump| dump.version(0).cpus([SmramState::distinct(2, false)])),
            of(Variant::Media, |dump| dump.block_size(4096)),
            of(Variant::Set(vec![]), |dump| dump),
            of(Variant::Set(vec![2, 1]), |dump| dump),
            of(Variant::Set(vec![1, 3]), |dump| dump.volumes_from_disk_1().set_blocks(2)),
        ]
    })
}
