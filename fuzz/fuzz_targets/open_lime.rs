//! Changes of a valid LiME or AVML image.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::{ByteOrder, Field};
use kdumpfile_testkit::lime::LimeBuilder;

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

/// LiME and AVML images: records of each kind alone, and of both kinds.
pub fn templates() -> &'static [Template] {
    static TEMPLATES: OnceLock<Vec<Template>> = OnceLock::new();
    TEMPLATES.get_or_init(|| {
        let short = &pages(0, 2)[0x234..];
        let long = pages(256, 20);
        let new = LimeBuilder::new;
        let files = [
            [new().lime(0x234, short), new().lime(0x10_0000, &long)],
            [new().avml(0x234, short), new().avml(0x10_0000, &long)],
            [new().avml(0x234, short), new().lime(0x10_0000, &long)],
        ];
        files.map(|records| lime(&records.map(LimeBuilder::build))).into()
    })
}

fn lime(records: &[Vec<u8>]) -> Template {
    let mut fields = Vec::new();
    let mut bytes = Vec::new();
    for record in records {
        let at = bytes.len() as u64;
        bytes.extend(record);
        // The header, the header of the second chunk, the length of the stream.
        let end = bytes.len() as u64 - 8;
        let places =
            [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (42, 1), (43, 2), (46, 4), (50, 4), (end - at, 8)];
        fields.extend(places.map(|(offset, width)| Field { offset: at + offset, width }));
    }
    Template { bytes, order: ByteOrder::Little, fields, signature: 4 }
}
