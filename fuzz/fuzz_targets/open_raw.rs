//! Raw images: what a user says about files without a header.

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Value};
use kdumpfile_testkit::compress;

use crate::examine;
use crate::input::Input;
use crate::seeds::Seeds;
use crate::source::Shy;

/// One to three files, each with what the user says about it and a length.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let dump = Context::new();
    let options = input.byte();
    let count = 1 + input.index(3);
    dump.set("file.set.number", Value::Number(count as u64)).expect("a number of files");
    if options & 1 != 0 {
        let arch = input.one_of(&["x86_64", "ia64", "aarch64", "s390x", "ppc64"]);
        dump.set("arch.name", Value::from(arch)).expect("a known architecture");
    }
    if options & 2 != 0 {
        let size = 1 << (8 + input.index(15));
        let _ = dump.set("arch.page_size", Value::Number(size));
    }
    if options & 4 != 0 {
        dump.set("file.mmap_policy", Value::Number(u64::from(input.byte() % 4))).expect("a policy");
    }
    let mut sources: Vec<Source> = Vec::new();
    for file in 0..count {
        let kind = input.byte();
        if kind & 1 == 0 || file == 0 {
            let base = Value::Address(input.number());
            dump.set(&format!("file.set.{file}.base"), base).expect("an address");
        }
        for (bit, key) in [(2, "offset"), (4, "length")] {
            if kind & bit != 0 {
                let number = Value::Number(input.number());
                dump.set(&format!("file.set.{file}.{key}"), number).expect("a number");
            }
        }
        let len = input.uint(2);
        let bytes: Vec<u8> = (0..len).map(|at| (at >> 4) as u8 ^ file as u8).collect();
        sources.push(match kind >> 5 {
            0..=3 => Shared::new(bytes),
            4 => Shared::new(compress::gzip(&bytes)),
            number => Shared::new(Shy { bytes, sized: number == 5 }),
        });
    }
    let opened = dump.open(sources);
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    if opened.is_ok() {
        assert_eq!(dump.string("file.format").expect("it is open"), "raw");
    }
    examine::all(&dump);
}

/// Images with a base, around a hole and at the end of all addresses.
pub fn seeds(seeds: &mut Seeds) {
    // Kind, edge 9 (4096) or address 0 as base, and 0x3000 bytes.
    seeds.add("one", &[&[0, 0, 0, 9, 0x00, 0x30]]);
    seeds.add("arch-and-page-size", &[&[3, 0, 0, 8, 0, 9, 0x00, 0x30]]);
    seeds.add("two", &[&[4, 1, 1, 0, 9, 0x00, 0x10, 0, 14, 0x00, 0x20]]);
    seeds.add("parts", &[&[0, 1, 4, 0, 9, 0x00, 0x20, 2, 14, 9, 0x00, 0x20]]);
    seeds.add("end", &[&[0, 0, 0, 21, 0x00, 0x10]]);
    seeds.add("gzip", &[&[0, 0, 0x80, 9, 0x00, 0x30]]);
    seeds.add("unsized", &[&[0, 2, 0xa0, 9, 0, 0x30, 0xc0, 14, 0, 0x10, 1, 0, 1]]);
}
