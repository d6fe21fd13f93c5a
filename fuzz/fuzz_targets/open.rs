//! Any file.

use kdumpfile::Context;
use kdumpfile_testkit::compress;
use kdumpfile_testkit::flatten::{Flattener, Order};

use super::{open_diskdump, open_elf, open_lkcd, open_s390dump, open_sadump};
use crate::examine;
use crate::seeds::Seeds;

/// Opens any bytes as a file.
pub fn run(data: &[u8]) {
    let dump = Context::new();
    let opened = dump.open_bytes(data.to_vec());
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    examine::all(&dump);
}

/// The templates of some kinds as they are, and one flattened and packed.
pub fn seeds(seeds: &mut Seeds) {
    for (number, dump) in open_elf::templates().iter().enumerate() {
        seeds.add(&format!("elf-{number}"), &[&dump.bytes]);
    }
    for (number, dump) in open_diskdump::templates().iter().enumerate() {
        seeds.add(&format!("diskdump-{number}"), &[&dump.bytes]);
    }
    for (number, dump) in
        open_lkcd::templates().iter().enumerate().filter(|(_, dump)| dump.bytes.len() < 65536)
    {
        seeds.add(&format!("lkcd-{number}"), &[&dump.bytes]);
    }
    seeds.add("s390dump", &[&open_s390dump::templates()[3].bytes]);
    seeds.add("sadump", &[&open_sadump::templates()[0][0].bytes]);
    let small = &open_elf::templates()[5].bytes;
    let stream = Flattener::new().record_size(1500).order(Order::Interleaved(2)).flatten(small);
    seeds.add("flattened", &[&stream]);
    seeds.add("gzip", &[&compress::gzip(small)]);
    seeds.add("zstd-of-flattened", &[&compress::zstd(&stream)]);
    seeds.add("empty", &[]);
}
