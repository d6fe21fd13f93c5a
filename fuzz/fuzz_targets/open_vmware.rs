//! Changes of a valid VMware state, with or without a `.vmem`.

use std::sync::OnceLock;

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::vmware::{VmwareBuilder, VmwareCpu};

use crate::patched::{self, Template, memory, pages};
use crate::seeds::Seeds;

/// Byte 0 picks a template, the others change its files and their order.
pub fn run(data: &[u8]) {
    patched::open_set(data, templates());
}

/// Changes of each template.
pub fn seeds(seeds: &mut Seeds) {
    patched::seeds_of_sets(seeds, templates(), 0);
}

/// VMware states: with embedded memory, and with a `.vmem`.
pub fn templates() -> &'static [Vec<Template>] {
    static ALL: OnceLock<Vec<Vec<Template>>> = OnceLock::new();
    ALL.get_or_init(|| {
        let of = |builder: VmwareBuilder| {
            let (bytes, fields) = builder.build_with_fields();
            Template { bytes, order: ByteOrder::Little, fields, signature: 4 }
        };
        let cpu = VmwareCpu {
            general: [0xffff_8880_0000_1000; 16],
            rip: 0xffff_ffff_8100_0000,
            eflags: 0x246,
            cr: [0x8005_0033, 0, 0, 0xa000, 0x3706f0],
            idt: 0xffff_fe00_0000_0000,
            segments: [(0x10, 0); 8],
        };
        let regions = |magic| {
            VmwareBuilder::new(magic).group("memory").regions(&[(0, 0, 1), (1, 0x10_0000, 2)]).group("cpu")
        };
        let embedded = |magic| {
            let builder = VmwareBuilder::new(magic).group("cpu").cpu_in_blocks(0, &cpu);
            builder.group("memory").number("align_mask", &[], 4, 0xfff).block(
                "Memory",
                &[0, 0],
                5,
                &pages(0, 2),
            )
        };
        vec![
            vec![of(regions(0xBED2_BED2).number("cpu:numVCPUs", &[], 4, 1).cpu(0, &cpu)), memory()],
            vec![of(regions(0xBED2_BED0).cpu_in_blocks(0, &cpu)), memory()],
            vec![of(embedded(0xBED3_BED3))],
            vec![of(embedded(0xBED0_BED0))],
        ]
    })
}
