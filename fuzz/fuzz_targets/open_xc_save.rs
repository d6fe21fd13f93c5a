//! Changes of a valid saved Xen domain.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::xc_save::{NO_PAGE, XcSaveBuilder};

use crate::patched::{self, Template, pages};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change it.
pub fn run(data: &[u8]) {
    patched::open_one(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds(seeds, templates());
}

/// Saved Xen domains of both word sizes, whole and cut.
pub fn templates() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: XcSaveBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 16 }
        };
        let page = |pfn| (0, pfn, pages(pfn, 1));
        let save = |word| {
            let save = XcSaveBuilder::new(word, 700).batch(&[page(3), page(4), (NO_PAGE, 5, vec![])]);
            save.marker(-1).batch(&[page(4), page(600)]).missing(&[3, 9])
        };
        vec![of(save(8).cpu(&[7; 5168])), of(save(4).cpu(&[7; 2800]).cpu(&[8; 2800])), of(save(8).unended())]
    })
}
