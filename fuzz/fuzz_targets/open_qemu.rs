//! A QEMU stream behind its version, alone or behind a header of libvirt.

use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::qemu::{
    Described, Records, Stream, cpu_fields, description, item, mapped, save_image,
};

use super::open;
use crate::seeds::Seeds;

/// Bit 0 of byte 0 asks for a header of libvirt, whose format is in the bits
/// above; what follows is a stream behind its signature and version. Bit 7 says
/// that as many bytes at the end as the next two say are a description without
/// its header, which is put in front.
pub fn run(data: &[u8]) {
    let (&options, mut rest) = data.split_first().unwrap_or((&0, &[]));
    let mut description = Vec::new();
    if options & 0x80 != 0
        && let Some((length, behind)) = rest.split_first_chunk()
    {
        let (stream, text) = behind.split_at(behind.len().saturating_sub(u16::from_be_bytes(*length).into()));
        rest = stream;
        description = [&[0, 6][..], &(text.len() as u32).to_be_bytes(), text].concat();
    }
    let mut file = Vec::new();
    if options & 1 != 0 {
        let xml = "<os><type arch='aarch64' machine='virt-7.2'>hvm</type></os>";
        let format = u32::from(options >> 1 & 0x3f);
        file = save_image(ByteOrder::Little, b"LibvirtQemudSave", 2, format, xml, 64);
    }
    file.extend(Stream::new(3).raw(rest).raw(&description).bytes);
    open::run(&file);
}

/// Streams behind their version; few pages, and small ones.
pub fn seeds(seeds: &mut Seeds) {
    let bits = 10u32.to_be_bytes();
    let small: &[(&str, &[u8])] = &[("configuration/target-page-bits", &bits)];
    let records = |block| {
        Records::default()
            .fill(0, Some(block), 3)
            .fill(0x400, None, 3)
            .packed(0x800, None, &[7; 1024])
            .page(0xc00, None, &[8; 1024])
            .page(0x1000, None, &[9; 1024])
            .fill(0x400, None, 4)
    };
    let stream = |machine, block| {
        Stream::new(3).configuration(machine, small).ram(&[(block, 0x2000), ("rom", 0x400)], records(block))
    };
    let pc = stream("pc-q35-7.2", "pc.ram").cpu(0, &[(816, 0x500)]).end();
    let arm = stream("virt-7.2", "mach-virt.ram").end();
    let old = Stream::new(3)
        .without_footers()
        .ram(&[("pc.ram", 0x2000)], Records::default().fill(0, Some("pc.ram"), 1));
    // The pages themselves are behind the end of the file.
    let map = mapped("pc-q35-9.0", "pc.ram", 0x40_000, &[(3, vec![1; 4096])], 0, 0);
    for (name, options, bytes) in [
        ("pc", 0, &pc[..]),
        ("libvirt", 1, &arm),
        ("packed", 3, &arm),
        ("old", 0, &old.end()),
        ("mapped", 0, &map[..256]),
    ] {
        seeds.add(name, &[&[options], &bytes[8..]]);
    }
    let changes = records("pc.ram")
        .changes(0xc00, None, &[8; 1024], &[[8; 512], [7; 512]].concat())
        .changes(0x400, None, &[4; 1024], &[5; 1024]);
    let changes = Stream::new(3).configuration("pc", small).ram(&[("pc.ram", 0x2000)], changes).end();
    seeds.add("changes", &[&[0], &changes[8..]]);
    for (name, word) in [("described", 8), ("described-32", 4)] {
        let fields = cpu_fields(word);
        let devices = [
            Described { name: "timer", instance: 0, fields: vec![("x", 2, 3)], subsection: Some(("t", 3)) },
            Described { name: "cpu", instance: 0, fields, subsection: None },
        ];
        let mut stream = stream("pc-q35-7.2", "pc.ram");
        for device in &devices {
            stream = stream.named(item::FULL, 9, device.name, 0, 1, &device.state(&[]));
        }
        let text = description(4096, &devices);
        let length = (text.len() as u16).to_be_bytes();
        seeds.add(name, &[&[0x80], &length, &stream.bytes[8..], text.as_bytes()]);
    }
}
