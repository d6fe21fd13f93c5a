//! Opening: any file, and valid dumps with changes.

use kdumpfile::Context;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::qemu::{Stream, save_image};

use crate::examine;
use crate::input::Input;
use crate::source::Shy;
use crate::templates::{
    Template, diskdumps, elves, limes, lkcds, s390dumps, sadumps, sets, vmware_guests, vmwares, windows,
    xc_cores, xc_saves,
};

/// Opens any bytes as a file.
pub fn run_open(data: &[u8]) {
    let dump = Context::new();
    let opened = dump.open_bytes(data.to_vec());
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    examine::all(&dump);
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_elf(data: &[u8]) {
    let mut input = Input(data);
    let template = &elves()[input.index(elves().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_diskdump(data: &[u8]) {
    let mut input = Input(data);
    let template = &diskdumps()[input.index(diskdumps().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_lkcd(data: &[u8]) {
    let mut input = Input(data);
    let template = &lkcds()[input.index(lkcds().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change its files and their order.
pub fn run_open_sadump(data: &[u8]) {
    let mut input = Input(data);
    let set = &sadumps()[input.index(sadumps().len())];
    open_changed(&mut input, &set.iter().collect::<Vec<_>>());
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_s390dump(data: &[u8]) {
    let mut input = Input(data);
    let template = &s390dumps()[input.index(s390dumps().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_lime(data: &[u8]) {
    let mut input = Input(data);
    let template = &limes()[input.index(limes().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change its files and their order.
pub fn run_open_vmware(data: &[u8]) {
    let mut input = Input(data);
    let set = &vmwares()[input.index(vmwares().len())];
    open_changed(&mut input, &set.iter().collect::<Vec<_>>());
}

/// Byte 0 picks a template, the others change its files and their order.
pub fn run_open_vmware_guest(data: &[u8]) {
    let mut input = Input(data);
    let set = &vmware_guests()[input.index(vmware_guests().len())];
    open_changed(&mut input, &set.iter().collect::<Vec<_>>());
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_xc_core(data: &[u8]) {
    let mut input = Input(data);
    let template = &xc_cores()[input.index(xc_cores().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_windows(data: &[u8]) {
    let mut input = Input(data);
    let template = &windows()[input.index(windows().len())];
    open_changed(&mut input, &[template]);
}

/// Byte 0 picks a template, the others change it.
pub fn run_open_xc_save(data: &[u8]) {
    let mut input = Input(data);
    let template = &xc_saves()[input.index(xc_saves().len())];
    open_changed(&mut input, &[template]);
}

/// Bit 0 of byte 0 asks for a header of libvirt, whose format is in the bits
/// above; what follows is a stream behind its signature and version. Bit 7 says
/// that as many bytes at the end as the next two say are a description without
/// its header, which is put in front.
pub fn run_open_qemu(data: &[u8]) {
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
    run_open(&file);
}

/// Byte 0 picks a template, the others change its files and their order.
pub fn run_split_set(data: &[u8]) {
    let mut input = Input(data);
    let set = &sets()[input.index(sets().len())];
    open_changed(&mut input, &set.iter().collect::<Vec<_>>());
}

fn open_changed(input: &mut Input<'_>, templates: &[&Template]) {
    let options = input.byte();
    let mut files: Vec<Vec<u8>> = templates.iter().map(|template| template.bytes.clone()).collect();
    let mut steps = 0;
    while !input.is_empty() && steps < 64 {
        let file = if files.len() > 1 { input.index(files.len()) } else { 0 };
        change(input, templates[file], &mut files[file]);
        steps += 1;
    }
    for (file, template) in files.iter_mut().zip(templates) {
        let len = template.signature.min(file.len());
        file[..len].copy_from_slice(&template.bytes[..len]);
    }
    if options & 1 != 0 {
        files.rotate_left(1);
    }
    let shy = options & 2 != 0;
    let sources = files.into_iter().map(|bytes| -> Source {
        if shy { Shared::new(Shy { bytes, sized: options & 4 != 0 }) } else { Shared::new(bytes) }
    });
    let dump = Context::new();
    let before = [("file.zero_excluded", 8), ("file.mmap_policy", 16)];
    for (path, _) in before.into_iter().filter(|(_, bit)| options & bit != 0) {
        dump.set(path, kdumpfile::Value::Number(1)).expect("a number of the user");
    }
    let opened = dump.open(sources.collect());
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    examine::all(&dump);
}

/// One change: of a field, of any bytes, or of the length.
fn change(input: &mut Input<'_>, template: &Template, file: &mut Vec<u8>) {
    match input.byte() {
        tag @ 0..=199 => {
            let field = template.fields[usize::from(tag) % template.fields.len()];
            let value = input.number();
            let end = usize::try_from(field.offset).unwrap_or(usize::MAX).saturating_add(field.width);
            if end <= file.len() {
                field.put(file, template.order, value);
            }
        }
        200..=239 => {
            let at = usize::try_from(input.uint(2)).unwrap_or(0) % file.len().max(1);
            let len = 1 + input.index(16);
            let bytes = input.bytes(len);
            for (to, from) in file[at..].iter_mut().zip(bytes) {
                *to = *from;
            }
        }
        240..=247 => {
            let len = usize::try_from(input.uint(2)).unwrap_or(0);
            file.truncate(len.max(template.signature));
        }
        _ => {
            let len = usize::try_from(input.uint(2)).unwrap_or(0);
            file.resize(file.len().max(len), 0);
        }
    }
}
