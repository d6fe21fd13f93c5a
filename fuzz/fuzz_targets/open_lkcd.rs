//! Changes of a valid LKCD dump.

use std::sync::OnceLock;

use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::lkcd::{LkcdBuilder, Method, Record};

use crate::patched::{self, PAGE, Template};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change it.
pub fn run(data: &[u8]) {
    patched::open_one(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds(seeds, templates());
}

/// LKCD dumps of each layout and method. Where records begin is said by the
/// last ones, which are small for that reason.
pub fn templates() -> &'static [Template] {
    static ALL: OnceLock<Vec<Template>> = OnceLock::new();
    ALL.get_or_init(|| {
        use ByteOrder::{Big, Little};
        use WordSize::{Bits32, Bits64};
        vec![
            lkcd(1, Bits32, Little, Method::Rle),
            lkcd(2, Bits64, Big, Method::Rle),
            lkcd(5, Bits64, Little, Method::Gzip),
            lkcd(7, Bits32, Big, Method::Rle),
            lkcd(8, Bits64, Little, Method::None),
            lkcd(9, Bits64, Little, Method::Gzip),
            lkcd(10, Bits64, Big, Method::Rle),
        ]
    })
}

fn lkcd(version: u32, word: WordSize, order: ByteOrder, method: Method) -> Template {
    let ram = RamImage::new(9, PAGE);
    let stored = [9, 1, 2, 3, 0x10_0000].map(|pfn| (pfn, ram.page_bytes(pfn)));
    let builder = LkcdBuilder::new(version, word, order)
        .method(method)
        .data_offset(match version {
            ..9 => 65536,
            9 => 4096,
            _ => 742,
        })
        .pages(stored)
        // Pages that cannot be read.
        .record(Record::new(12 << 12, 0, [7; 40]))
        .packed(13, [0, 5, 1]);
    let registers = |cpu: u64| (0..21).map(|number| cpu << 32 | number).collect::<Vec<u64>>();
    let builder = match version {
        9 => builder.cpus(Arch::X86_64, 4, (1, registers(1)), vec![registers(0), vec![0; 21]]),
        _ => builder,
    };
    let (bytes, layout) = builder.build_with_layout();
    let fields = layout.fields().map(|(_, field)| field).filter(|field| field.width > 0).collect();
    Template { bytes, order, fields, signature: 8 }
}
