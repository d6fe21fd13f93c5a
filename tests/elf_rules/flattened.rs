//! Section 1.3: what is true of a plain file is true of a flattened one.

use super::*;
use kdumpfile::{AttrRef, Value};
use kdumpfile_testkit::elf::{Place, Section};
use kdumpfile_testkit::flatten::{Flattener, Order};
use kdumpfile_testkit::notes::prstatus;
use kdumpfile_testkit::notes::xen::{CRASH_INFO, CrashInfo, VCPU_CONTEXT_SIZE};

/// All attributes below `directory`, but for those of the file as such.
fn describe(dump: &Context, directory: AttrRef, prefix: &str, out: &mut Vec<String>) {
    let next = |at| dump.next_child(directory, at).unwrap();
    for entry in std::iter::successors(next(None), |entry| next(Some(entry.attr))) {
        let path = format!("{prefix}{}", entry.key);
        if ["cache", "file.mmap_cache", "file.read_cache", "file.set"].contains(&&path[..]) {
            continue;
        }
        match dump.get_attr(entry.attr) {
            Ok(Value::Directory) => describe(dump, entry.attr, &format!("{path}."), out),
            Ok(Value::Bitmap(map)) => out.push(format!("{path}: {:?}", runs(&map))),
            Ok(Value::Blob(blob)) => out.push(format!("{path}: {:x?}", blob.to_vec())),
            other => out.push(format!("{path}: {other:?}")),
        }
    }
}

/// Everything that can be learnt from a dump.
fn everything(dump: &Context) -> (Vec<String>, Vec<Result<Vec<u8>>>) {
    let mut attributes = Vec::new();
    describe(dump, dump.attr(None).unwrap(), "", &mut attributes);
    let mut pages = Vec::new();
    for (first, last) in stored(dump) {
        for address in (first.saturating_sub(1)..=last + 1).map(|pfn| pfn << 12) {
            pages.extend(
                [Space::KernelPhysical, Space::MachinePhysical].map(|space| page_in(dump, space, address)),
            );
            pages.push(virt(dump, address + 0x4000_0000));
        }
    }
    (attributes, pages)
}

fn samples(class: Class, order: ByteOrder) -> Vec<ElfBuilder> {
    let machine = if class == Class::Elf32 { 3 } else { 62 };
    let arch = if class == Class::Elf32 { Arch::Ia32 } else { Arch::X86_64 };
    let file = || ElfBuilder::new(class, order, machine);
    let notes = notes_of(
        order,
        [
            Note::vmcoreinfo("OSRELEASE=6.1.0\nSYMBOL(a)=ff\nPAGESIZE=4096\n"),
            Note::core(1, prstatus(arch, order, 1, |i, _| i as u64 * 0x0102_0304)),
            Note::core(4, data(8, 5000)),
            Note::new("ERASEINFO", 0, *b"gone"),
        ],
    );
    let info = CrashInfo { major: 4, p2m_mfn: Some(7), ..CrashInfo::default() };
    let info = info.to_bytes(order, if class == Class::Elf32 { 4 } else { 8 });
    let map: Vec<(u64, u64)> = (0..20).map(|i| (40 - i, 100 + i)).collect();
    let frames: Vec<u64> = map.iter().map(|row| row.0).collect();
    let pages = || Section::xen_pages(data(6, 20 * 4096));
    vec![
        // Whole pages, merged pages, tails.
        file()
            .segment(load(0x4000_1800, 0x1800, 1, 0x3000).memsz(0x4000))
            .segment(load(0x4000_1200, 0x1200, 2, 0x100))
            .segment(load(0x4000_8000, 0x8000, 3, 0x2000)),
        file().note(notes.clone()).segment(load(0x4000_5000, 0x5000, 4, 0x1234)),
        // Tables at the end, through section 0, of odd strides.
        file()
            .phdrs_at(Place::End)
            .shdrs_at(Place::At(0x9001))
            .phentsize(99)
            .extended_phnum()
            .extended_shnum()
            .segment(load(0x4000_5000, 0x5000, 4, 0x2000)),
        file().note(notes_of(order, [Note::new("Xen", CRASH_INFO, info)])).load(0x3000, data(5, 4096)),
        file()
            .section(pages())
            .section(Section::xen_p2m(order, &map))
            .section(Section::xen_notes(notes))
            .section(Section::xen_prstatus(data(7, VCPU_CONTEXT_SIZE))),
        file().section(Section::xen_pfn(order, &frames)).section(pages()),
        // What lies behind the end is zero there, too.
        file().segment(load(0x4000_3000, 0x3000, 1, 0x3000)).truncate(0x1500),
    ]
}

#[test]
fn flattened_dumps_are_the_same_as_plain_ones_in_every_respect() {
    for (class, order) in encodings() {
        for (i, sample) in samples(class, order).into_iter().enumerate() {
            let image = sample.build();
            let plain = everything(&open(&image[..]));
            assert!(plain.1.iter().any(Result::is_ok), "sample {i}");
            for flattener in [
                Flattener::new().record_size(1000).order(Order::Reversed),
                Flattener::new().record_size(333).order(Order::Shuffled(i as u64)).overlaps(7),
                Flattener::new().record_size(4096).order(Order::Interleaved(3)).omit_zeros(),
            ] {
                let flat = open(flattener.flatten(&image));
                let flat = everything(&flat);
                assert_eq!(flat.0, plain.0, "sample {i}");
                assert!(flat.1 == plain.1, "sample {i}");
            }
        }
    }
}

// What a stream leaves out reads as zeros, whatever part of the dump it is.
#[test]
fn flattened_headers_may_be_omitted_where_they_are_zero() {
    let file =
        x86_64().phdrs_at(Place::At(0x10_0000)).load(0x1000, vec![0; 0x3000]).load(0x8000, data(1, 4096));
    let stream = Flattener::new().record_size(64).omit_zeros().flatten(&file.build());
    let dump = open(stream);
    assert!(phys(&dump, 0x2000).unwrap() == [0; 4096] && phys(&dump, 0x8000).unwrap() == data(1, 4096));
}

#[test]
fn errors_of_flattened_dumps_are_those_of_plain_ones() {
    let short = notes_of(LITTLE, [Note::core(1, vec![0; 99])]);
    for file in [
        x86_64().load(0, data(1, 64)).patch("ei_data", 4),
        x86_64().load(0, data(1, 64)).patch("e_type", 2),
        x86_64(),
        x86_64().load(0, data(1, 64)).note(short),
        x86_64().load(0, data(1, 64)).patch("e_phentsize", 5),
        x86_64().section(Section::xen_pages(data(1, 64))),
    ] {
        let image = file.build();
        let flat = Flattener::new().record_size(50).order(Order::Shuffled(3)).flatten(&image);
        assert_eq!(open_failure(flat), open_failure(image));
    }
}
