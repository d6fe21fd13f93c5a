//! Notes of an architecture: iteration stays inside of them.

use kdumpfile::arch::ByteOrder;
use kdumpfile::{Context, notes};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::ElfBuilder;
use kdumpfile_testkit::endian::ByteOrder as Order;
use kdumpfile_testkit::notes::{Note, NoteWriter, QemuCpu, Vmcoreinfo, prstatus, prstatus_layout, xen};

use crate::examine;
use crate::input::Input;
use crate::seeds::Seeds;

/// Byte 0 picks the architecture, the others are its notes.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let arch = input.one_of(&Arch::ALL);
    let bytes = input.0;
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut sum = 0;
        for note in notes::notes(bytes, order) {
            assert!(note.name.len() + note.desc.len() <= bytes.len());
            sum += 12 + note.name.len() + note.desc.len();
        }
        assert!(sum <= bytes.len(), "notes overlap");
    }
    let dump = Context::new();
    let file = ElfBuilder::for_arch(arch).note(bytes).load(0x1000, [7; 4096]).build();
    let opened = dump.open_bytes(file);
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    examine::attributes(&dump);
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    for (number, arch) in Arch::ALL.into_iter().enumerate() {
        let order = arch.usual_order();
        let mut notes = NoteWriter::new(order);
        if prstatus_layout(arch).is_some() {
            notes = notes.note(Note::core(1, prstatus(arch, order, 1, |i, _| i as u64 + 1)));
        }
        let text = Vmcoreinfo::linux("6.1.0", 4096).symbol("_stext", 0xc010_0000);
        let notes = notes.note(Note::vmcoreinfo(text.to_bytes())).note(Note::core(4, vec![1; 40]).unpadded());
        seeds.add(arch.name(), &[&[number as u8], &notes.finish()]);
    }
    let order = Order::Little;
    let x86_64 = Arch::ALL.into_iter().position(|arch| arch == Arch::X86_64).unwrap_or(0) as u8;
    let info = xen::CrashInfo {
        major: 4,
        minor: 17,
        extra_version: 0x1000,
        strings: [0; 4],
        tainted: 0,
        phys_start: Some(0x20_0000),
        p2m_mfn: Some(0x1234),
    };
    let notes = NoteWriter::new(order)
        .push("Xen", xen::CRASH_INFO, info.to_bytes(order, 8))
        .push("Xen", xen::CRASH_REGS, xen::crash_regs(order, 8, [1, 2, 3, 4]))
        .push("VMCOREINFO_XEN", 0, *b"PAGESIZE=4096\n")
        .push("QEMU", 0, QemuCpu::default().to_bytes())
        .push("ERASEINFO", 0, *b"erase\n")
        .push(".note.Xen", xen::DUMPCORE_HEADER, xen::dumpcore_header(order, xen::MAGIC_PV, 1, 2, 4096))
        .push(".note.Xen", xen::DUMPCORE_FORMAT_VERSION, xen::format_version(order, 1))
        .raw(&[0; 40]);
    seeds.add("xen", &[&[x86_64], &notes.finish()]);
    let lying = NoteWriter::new(order)
        .note(Note::new("CORE", 1, vec![0; 300]).unterminated())
        .note(Note::new("CORE", 1, vec![0; 8]).descsz(u32::MAX))
        .note(Note::new("CORE", 1, vec![0; 8]).namesz(0xffff_fffd));
    seeds.add("lying", &[&[x86_64], &lying.finish()]);
}
