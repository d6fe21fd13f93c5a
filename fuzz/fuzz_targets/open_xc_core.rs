//! Changes of a valid Xen domain from before ELF.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::xc_core::XcCoreBuilder;

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

/// Xen domains from before ELF: PV and HVM, of both word sizes.
pub fn templates() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: XcCoreBuilder, frames: &[Option<u64>]| {
            let dump = (0..).zip(frames).fold(builder, |dump, (n, frame)| dump.page(*frame, pages(n, 1)));
            let (bytes, fields) = dump.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 4 }
        };
        let frames = [Some(0x105), None, Some(0x104)];
        vec![
            of(XcCoreBuilder::pv(8).cpu(vec![7; 5168]), &frames),
            of(XcCoreBuilder::pv(4).cpu(vec![7; 2800]).cpu(vec![8; 2800]), &frames),
            of(XcCoreBuilder::hvm(8).cpu(vec![7; 5168]).aligned(), &frames),
        ]
    })
}
