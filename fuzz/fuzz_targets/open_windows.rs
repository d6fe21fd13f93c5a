//! Changes of a valid Windows crash dump.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::windows::WindowsBuilder;

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

/// Windows crash dumps: with runs, and with a bitmap.
pub fn templates() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: WindowsBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 8 }
        };
        let runs = |bits| WindowsBuilder::new(bits).run(1, 2, &pages(1, 2)).run(0x10_0000, 1, &pages(9, 1));
        let bitmap = [0b110, 0xff, 0, 1];
        vec![
            of(runs(64)),
            of(runs(32)),
            of(WindowsBuilder::new(64).kind(5).bitmap(b"FDMPDUMP", 32, &bitmap, &pages(1, 11))),
        ]
    })
}
