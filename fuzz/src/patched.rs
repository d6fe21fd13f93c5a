//! Valid dumps with changes: an input is a list of them, so that signatures hold.

use kdumpfile::Context;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::endian::{ByteOrder, Field};
use kdumpfile_testkit::image::RamImage;
use kdumpfile_testkit::notes::{Note, NoteWriter, Vmcoreinfo, prstatus, prstatus_layout};

use crate::examine;
use crate::input::Input;
use crate::seeds::Seeds;
use crate::source::Shy;

/// A dump, where its fields are, and what must stay for it to be recognised.
pub struct Template {
    pub bytes: Vec<u8>,
    pub order: ByteOrder,
    pub fields: Vec<Field>,
    pub signature: usize,
}

/// Opens one of the templates: byte 0 says which one, the others change it.
pub fn open_one(data: &[u8], templates: &[Template]) {
    let mut input = Input(data);
    let template = &templates[input.index(templates.len())];
    open_changed(&mut input, &[template]);
}

/// The same with dumps of several files, and with a change of their order.
pub fn open_set(data: &[u8], sets: &[Vec<Template>]) {
    let mut input = Input(data);
    let set = &sets[input.index(sets.len())];
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

/// For each template the input without a change, one with changes of the first
/// fields, and one with a few of every kind.
pub fn seeds(seeds: &mut Seeds, templates: &[Template]) {
    for template in 0..templates.len() {
        seeds_of(seeds, template, &[]);
    }
}

/// The same for dumps of several files, of which file `changed` is changed.
pub fn seeds_of_sets(seeds: &mut Seeds, sets: &[Vec<Template>], changed: u8) {
    for (template, files) in sets.iter().enumerate() {
        seeds_of(seeds, template, if files.len() > 1 { std::slice::from_ref(&changed) } else { &[] });
    }
}

fn seeds_of(seeds: &mut Seeds, template: usize, file: &[u8]) {
    let template = template as u8;
    seeds.add(&format!("{template}-unchanged"), &[&[template, template & 7]]);
    let mut steps = Vec::new();
    for field in [3, 9, 14, 17, 20, 23] {
        // To a number of two bytes.
        steps.extend_from_slice(file);
        steps.extend([field + template, 129, 0x10, 0x20]);
    }
    seeds.add(&format!("{template}-fields"), &[&[template, 24], &steps]);
    let bytes: [&[u8]; 8] = [
        &[template, 2],
        file,
        &[210, 0x00, 0x10 + template, 3, 0xff, 0xfe, 0xfd, 0xfc],
        file,
        &[12, 23],
        file,
        &[255, 0x00, 0xf0],
        file,
    ];
    seeds.add(&format!("{template}-bytes"), &[&bytes.concat(), &[244, 0x80, 0x21]]);
}

/// Bytes of a page of the templates.
pub const PAGE: usize = 4096;

/// Notes of two CPUs and VMCOREINFO, as a kernel on `arch` leaves them.
pub fn linux_notes(arch: Arch, order: ByteOrder) -> Vec<u8> {
    let text = Vmcoreinfo::linux("6.1.0-fuzz", PAGE as u64)
        .symbol("swapper_pg_dir", 0xffff_ffff_8260_a000)
        .symbol("init_uts_ns", 0xffff_ffff_8261_2345)
        .size("list_head", 16)
        .offset("page", "flags", 0)
        .length("mem_section", 2048)
        .number("phys_base", 0x100_0000)
        .config("PGTABLE_LEVELS");
    let mut notes = NoteWriter::new(order);
    if prstatus_layout(arch).is_some() {
        for cpu in 0..2 {
            notes = notes.note(Note::core(1, prstatus(arch, order, 100 + cpu, |i, _| 0x1111 * i as u64)));
        }
    }
    notes.note(Note::vmcoreinfo(text.to_bytes())).finish()
}

/// Consecutive pages of memory.
pub fn pages(first: u64, count: u64) -> Vec<u8> {
    let ram = RamImage::new(5, PAGE);
    (first..first + count).flat_map(|pfn| ram.page_bytes(pfn)).collect()
}

/// Three pages for a state file.
pub fn memory() -> Template {
    let fields = vec![Field { offset: 0, width: 8 }];
    Template { bytes: pages(0, 3), order: ByteOrder::Little, fields, signature: 0 }
}
