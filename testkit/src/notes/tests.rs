use super::*;
use crate::arch::Arch;
use crate::elf::{Class, ElfBuilder};
use crate::peer;

#[test]
fn notes_are_padded_to_four_bytes() {
    let bytes = NoteWriter::new(ByteOrder::Little).push("CORE", 1, [7; 5]).push("Xen", 2, []).finish();
    #[rustfmt::skip]
    let want = [
        5, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, b'C', b'O', b'R', b'E', 0, 0, 0, 0, 7, 7, 7, 7, 7, 0, 0, 0,
        4, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'X', b'e', b'n', 0,
    ];
    assert_eq!(bytes, want);
}

#[test]
fn notes_may_lie_about_their_sizes() {
    let note = Note::new("VMCOREINFO", 0x0102_0304, *b"x").unterminated().unpadded().descsz(0xffff_fff0);
    let bytes = NoteWriter::new(ByteOrder::Big).note(note).finish();
    let mut want = vec![0, 0, 0, 10, 0xff, 0xff, 0xff, 0xf0, 1, 2, 3, 4];
    want.extend(b"VMCOREINFO\0\0x");
    assert_eq!(bytes, want);
}

/// Name, offset and width of a register.
type Slot = (&'static str, usize, usize);

/// Offsets from the register tables of the format description.
#[test]
fn register_tables_have_the_known_offsets() {
    let known: [(Arch, usize, &[Slot]); 7] = [
        (Arch::X86_64, 27, &[("r15", 112, 8), ("rip", 240, 8), ("ss", 272, 8), ("gs", 320, 8)]),
        (Arch::Ia32, 17, &[("ebx", 72, 4), ("orig_eax", 116, 4), ("ss", 136, 4)]),
        (Arch::Aarch64, 34, &[("x0", 112, 8), ("x29", 344, 8), ("lr", 352, 8), ("pstate", 376, 8)]),
        (
            Arch::Arm,
            23,
            &[("r0", 72, 4), ("r15", 132, 4), ("fp", 116, 4), ("cpsr", 136, 4), ("orig_r0", 140, 4)],
        ),
        (Arch::Ppc64, 44, &[("r31", 360, 8), ("pc", 368, 8), ("dsisr", 448, 8), ("res", 456, 8)]),
        (Arch::Riscv64, 32, &[("pc", 112, 8), ("a0", 192, 8), ("t3", 336, 8), ("t6", 360, 8)]),
        (
            Arch::S390x,
            35,
            &[("pswa", 120, 8), ("r15", 248, 8), ("a0", 256, 4), ("a15", 316, 4), ("orig_gpr2", 320, 8)],
        ),
    ];
    for (arch, count, slots) in known {
        let layout = prstatus_layout(arch).unwrap();
        assert_eq!(layout.registers.len(), count, "{}", arch.name());
        for &(name, offset, len) in slots {
            let slot = layout.register(name).unwrap();
            assert_eq!((slot.offset, slot.len), (offset, len), "{} {name}", arch.name());
        }
        assert!(layout.min_size <= layout.full_size);
    }
    assert_eq!(prstatus_layout(Arch::Alpha), None);
}

#[test]
fn prstatus_puts_pid_and_registers_in_the_byte_order_of_the_dump() {
    let desc = prstatus(Arch::S390x, ByteOrder::Big, -5, |i, _| 0x1000 + i as u64);
    assert_eq!(desc.len(), 336);
    assert_eq!(desc[32..36], [0xff, 0xff, 0xff, 0xfb]);
    assert_eq!(desc[112..120], [0, 0, 0, 0, 0, 0, 0x10, 0]);
    assert_eq!(desc[256..260], [0, 0, 0x10, 18]);
}

#[test]
fn the_peer_finds_every_register_where_it_was_put() {
    for arch in Arch::ALL {
        let Some(layout) = prstatus_layout(arch) else { continue };
        let order = arch.usual_order();
        let notes = NoteWriter::new(order)
            .note(Note::core(NT_PRSTATUS, prstatus(arch, order, 42, |i, _| 0x55aa_0000 + i as u64)))
            .note(Note::vmcoreinfo(Vmcoreinfo::linux("6.1.0", 4096).symbol("_stext", 0xc000_0000).text()))
            .finish();
        let file = ElfBuilder::for_arch(arch).note(notes).load(0, vec![1; 4096]).build();
        let Some(report) = peer::report_image(&file, &[]) else { return };
        // Debian's 0.5.1 knows no registers of these two.
        if matches!(arch, Arch::Arm | Arch::Riscv64) && report.number("cpu.number").is_none() {
            continue;
        }
        assert_eq!(report.open_error(), None, "{}", arch.name());
        assert_eq!(report.string("arch.name").as_deref(), Some(arch.name()));
        assert_eq!(report.number("cpu.0.pid"), Some(42), "{}", arch.name());
        assert_eq!(report.number("linux.vmcoreinfo.SYMBOL._stext"), Some(0xc000_0000));
        for (i, slot) in layout.registers.iter().enumerate() {
            let got = report.number(&format!("cpu.0.reg.{}", slot.name));
            let twin = layout.registers.iter().position(|other| other.offset == slot.offset);
            let want = 0x55aa_0000 + twin.unwrap_or(i) as u64;
            assert_eq!(got, Some(want), "{} {}", arch.name(), slot.name);
        }
    }
}

#[test]
fn xen_payloads_have_the_known_sizes_and_offsets() {
    let order = ByteOrder::Little;
    let info = xen::CrashInfo {
        major: 4,
        minor: 17,
        phys_start: Some(0x1234),
        p2m_mfn: Some(0x5678),
        ..Default::default()
    };
    assert_eq!(info.to_bytes(order, 8).len(), 80);
    assert_eq!(info.to_bytes(order, 4)[36..], [0x78, 0x56, 0, 0]);
    assert_eq!(xen::xen_version(order, 8, 4, 17, ".1-debian", 4096).len(), 1280);
    assert_eq!(xen::xen_version(order, 4, 4, 17, "", 4096).len(), 1276);
    assert_eq!(xen::dumpcore_header(order, xen::MAGIC_PV, 2, 100, 4096)[24..], [0, 16, 0, 0, 0, 0, 0, 0]);
    let context = xen::vcpu_context(order, |i, _| i as u64 + 1);
    assert_eq!(context.len(), 5168);
    let at = |offset: usize| context[offset];
    let rip = xen::vcpu_registers().iter().position(|slot| slot.name == "rip").unwrap();
    assert_eq!((at(520), at(648)), (1, rip as u8 + 1));
    assert_eq!(xen::vcpu_registers().last().unwrap().offset, 5104);
}

#[test]
fn the_peer_reads_a_xen_system_dump() {
    let order = ByteOrder::Little;
    let info = xen::CrashInfo {
        major: 4,
        minor: 17,
        extra_version: 0x99,
        p2m_mfn: Some(0x77),
        ..Default::default()
    };
    let notes = NoteWriter::new(order).push("Xen", xen::CRASH_INFO, info.to_bytes(order, 8)).finish();
    let file = ElfBuilder::new(Class::Elf64, order, 62).note(notes).load(0, vec![1; 4096]).build();
    let Some(report) = peer::report_image(&file, &[]) else { return };
    assert_eq!(report.number("xen.version.major"), Some(4));
    assert_eq!(report.number("xen.version.minor"), Some(17));
    assert_eq!(report.number("xen.p2m_mfn"), Some(0x77));
}

#[test]
fn vmcoreinfo_lines_have_the_syntax_of_the_kernel() {
    let info = Vmcoreinfo::linux("6.1.0-x", 4096)
        .symbol("init_uts_ns", 0xffff_ffff_82bf_9b60)
        .offset("page", "flags", 0)
        .number("PAGE_BUDDY_MAPCOUNT_VALUE", -129)
        .config("X86_PAE");
    let text = "OSRELEASE=6.1.0-x\nPAGESIZE=4096\nCRASHTIME=1700000000\n\
                SYMBOL(init_uts_ns)=ffffffff82bf9b60\nOFFSET(page.flags)=0\n\
                NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129\nCONFIG_X86_PAE=y\n";
    assert_eq!(info.text(), text);
    assert_eq!(info.clone().without_final_newline().padded(2).text(), format!("{}\0\0", text.trim_end()));
    assert!(info.crlf().text().starts_with("OSRELEASE=6.1.0-x\r\nPAGESIZE"));
}

#[test]
fn utsname_fields_are_65_bytes_apart() {
    let uts = Utsname { nodename: vec![b'n'; 70], ..Utsname::linux("6.1.0", "s390x") }.to_bytes();
    assert_eq!(uts.len(), Utsname::SIZE);
    assert_eq!(&uts[..6], b"Linux\0");
    assert_eq!(uts[65..130], [b'n'; 65]);
    assert_eq!(&uts[130..136], b"6.1.0\0");
    assert_eq!(&uts[260..266], b"s390x\0");
    assert!(Utsname::qemu("S390X").to_bytes()[..260].iter().all(|&b| b == 0));
}

#[test]
fn checksums_carry_around_and_differ_in_the_last_word() {
    assert_eq!(checksum_s390(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2]), 2);
    assert_eq!(checksum_s390(&[0, 0, 0, 1, 0x12, 0x34]), 0x1234_0001);
    assert_eq!(checksum_reference(&[0, 0, 0, 1, 0x12, 0x34]), 0x3412_0001);
    let block = OsInfo::new(0x5000, b"OSRELEASE=6\n").to_bytes();
    assert_eq!(&block[..8], b"OSINFOSZ");
    assert_eq!(block[8..12], checksum_s390(&block[12..]).to_be_bytes());
    assert_eq!(block[32..48], [0, 0, 0, 0, 0, 0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0, 12]);
}

#[test]
fn qemu_cpu_state_has_the_known_offsets() {
    let mut cpu = QemuCpu { rip: 0x1111, kernel_gs_base: Some(0x2222), ..QemuCpu::default() };
    cpu.cr[3] = 0x3333;
    let bytes = cpu.to_bytes();
    assert_eq!(bytes.len(), 440);
    assert_eq!(bytes[..8], [1, 0, 0, 0, 0xb8, 1, 0, 0]);
    assert_eq!(
        (&bytes[136..138], &bytes[416..418], &bytes[432..434]),
        (&[0x11; 2][..], &[0x33; 2][..], &[0x22; 2][..])
    );
}
