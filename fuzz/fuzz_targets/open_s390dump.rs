//! Changes of a valid S390 dump.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::s390dump::{Packing, S390Builder};

use crate::patched::{self, PAGE, Template, pages};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change it.
pub fn run(data: &[u8]) {
    patched::open_one(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds(seeds, templates());
}

/// S390 dumps, plain and extended.
pub fn templates() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: S390Builder| {
            let (bytes, layout) = builder.build_with_layout();
            let fields = layout.fields().map(|(_, field)| field).collect();
            Template { bytes, order: ByteOrder::Big, fields, signature: 8 }
        };
        let segments = |first, second, block| {
            let builder = S390Builder::extended(24 * PAGE).block(block).entry_size(2 * PAGE).lowcores(&[0]);
            of(builder.segment(0, pages(0, 5), first).segment(9 << 12, pages(9, 3), second))
        };
        vec![
            of(S390Builder::new(pages(0, 6)).lowcores(&[0, 0x2000])),
            of(S390Builder::new(pages(0, 6)).arch(1).lowcores(&[0x1000])),
            segments(Packing::Raw, Packing::Raw, 4096),
            segments(Packing::Zlib, Packing::Mixed, 512),
            segments(Packing::Mixed, Packing::Zlib, 4096),
        ]
    })
}
