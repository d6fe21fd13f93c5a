//! VMware state files with and without their memory.

mod support;

use kdumpfile::{Context, Space, Status, Value};
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::vmware::{VmwareBuilder, VmwareCpu};
use support::{fails, is_set, open, open_failure, page, parts, source, stored, try_open, try_open_set};

/// A state file whose memory is elsewhere: two pages at 0, two at 4 GiB.
fn regions() -> VmwareBuilder {
    VmwareBuilder::new(0xBED2_BED2).group("memory").regions(&[(0, 0, 2), (2, 0x10_0000, 2)])
}

fn memory(pages: u64) -> Vec<u8> {
    (0..pages).flat_map(page_bytes).collect()
}

/// A state file with three pages of memory.
fn embedded(magic: u32) -> VmwareBuilder {
    VmwareBuilder::new(magic).group("memory").block("Memory", &[], 5, &memory(3))
}

#[test]
fn a_state_file_and_its_memory_open_in_any_order() {
    let files = [regions().build(), memory(4)];
    for set in [files.clone(), [files[1].clone(), files[0].clone()]] {
        let dump = try_open_set(&set).unwrap();
        assert_eq!(dump.string("file.format").unwrap(), "vmware");
        assert_eq!(dump.number("max_pfn").unwrap(), 0x10_0002);
        for (page, pfn) in [(0, 0), (1, 1), (2, 0x10_0000), (3, 0x10_0001_u64)] {
            let mut bytes = vec![0; 4096];
            dump.read(Space::MachinePhysical, pfn << 12, &mut bytes).unwrap();
            assert!(bytes == page_bytes(page), "page {pfn:#x}");
        }
        let error = dump.read(Space::MachinePhysical, 0x2000, &mut [0]).unwrap_err();
        assert_eq!(error.status(), Status::NoData);
    }
}

#[test]
fn every_magic_finds_embedded_memory_behind_its_padding() {
    for magic in [0xBED0_BED0, 0xBED2_BED0, 0xBED2_BED2, 0xBED3_BED3, 0xBAD1_BAD1, 0xBAD2_BAD2] {
        let dump = try_open(embedded(magic).build()).unwrap();
        for page in 0..3 {
            let mut bytes = vec![0; 4096];
            dump.read(Space::MachinePhysical, page << 12, &mut bytes).unwrap();
            assert!(bytes == page_bytes(page), "{magic:#x}, page {page}");
        }
    }
}

#[test]
fn a_state_file_alone_asks_for_its_memory() {
    let (status, text) = parts(&try_open(regions().build()).err().unwrap());
    assert_eq!(status, Status::NoData);
    assert!(text.contains(".vmem"), "{text}");
}

#[test]
fn pages_behind_the_end_of_the_memory_file_are_not_there() {
    let dump = try_open_set(&[regions().build(), memory(3)]).unwrap();
    let error = dump.read(Space::MachinePhysical, 0x10_0001 << 12, &mut [0]).unwrap_err();
    assert_eq!(error.status(), Status::NoData);
}

#[test]
fn a_state_file_cut_anywhere_does_not_panic() {
    let whole = embedded(0xBED2_BED2).build();
    for end in (4..200).chain([whole.len() - 1]) {
        if let Ok(dump) = try_open(&whole[..end]) {
            let _ = dump.read(Space::MachinePhysical, 0, &mut [0; 64]);
        }
    }
}

/// A CPU in the kernel of x86_64.
fn cpu(number: u64) -> VmwareCpu {
    VmwareCpu {
        general: std::array::from_fn(|register| 0x1_0000_0000 * number + register as u64),
        rip: 0xffff_ffff_8100_0000 + number,
        eflags: 0x246,
        cr: [0x8005_0033, 1, 0x7f00_1234_5678, 0x1_0000_a000 + number, 0x3706f0],
        idt: 0xffff_fe00_0000_0000,
        segments: std::array::from_fn(|segment| {
            (0x10 + segment as u32, 0xffff_8880_0000_0000 + segment as u64)
        }),
    }
}

#[test]
fn registers_come_from_single_tags_and_from_blocks() {
    let count = |file: VmwareBuilder| file.group("cpu").number("cpu:numVCPUs", &[], 4, 2);
    let single = count(embedded(0xBED2_BED2)).cpu(0, &cpu(0)).cpu(1, &cpu(1)).build();
    // In the other order of groups, too.
    let blocks = count(VmwareBuilder::new(0xBED3_BED3)).cpu_in_blocks(1, &cpu(1)).cpu_in_blocks(0, &cpu(0));
    let blocks = blocks.group("memory").block("Memory", &[], 0, &memory(3)).build();
    let narrow = count(embedded(0xBED2_BED0)).cpu_in_blocks(0, &cpu(0)).cpu_in_blocks(1, &cpu(1)).build();
    for file in [single, blocks, narrow] {
        let dump = open(file);
        assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
        assert!(is_set(&dump, "arch.inferred"));
        assert_eq!(dump.number("cpu.number").unwrap(), 2);
        assert!(page(&dump, 2).unwrap() == page_bytes(2));
        for number in 0..2 {
            let state = cpu(number);
            let reg = |name: &str| dump.number(&format!("cpu.{number}.reg.{name}")).unwrap();
            let names = ["rax", "rcx", "rdx", "rbx", "rbp", "rsp", "rsi", "rdi", "r8", "r9", "r10"];
            for (name, value) in names.into_iter().zip(state.general) {
                assert_eq!(reg(name), value, "{name}");
            }
            assert_eq!((reg("r15"), reg("rip"), reg("rflags")), (state.general[15], state.rip, 0x246));
            for (name, value) in ["cr0", "cr1", "cr2", "cr3", "cr4"].into_iter().zip(state.cr) {
                assert_eq!(reg(name), value, "{name}");
            }
            assert_eq!(reg("idt_base"), state.idt);
            let segments = ["es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"];
            for (name, (selector, _)) in segments.into_iter().zip(state.segments) {
                assert_eq!(reg(name), u64::from(selector), "{name}");
            }
            for (name, segment) in [("fs_base", 4), ("gs_base", 5), ("ldt_base", 6)] {
                assert_eq!(reg(name), state.segments[segment].1, "{name}");
            }
        }
    }
}

#[test]
fn halves_of_the_idt_base_come_in_any_order() {
    let state = cpu(0);
    let halves = embedded(0xBED2_BED2).group("cpu").cpu(0, &VmwareCpu { idt: 0, ..state });
    let halves = halves.number("IDTR", &[0, 2], 4, 0xffff_fe00).number("IDTR", &[0, 1], 4, 0x1000).build();
    assert_eq!(open(halves).number("cpu.0.reg.idt_base").unwrap(), 0xffff_fe00_0000_1000);
}

#[test]
fn a_cpu_that_lacks_a_register_is_left_out() {
    let file = embedded(0xBED2_BED2).group("cpu").number("cpu:numVCPUs", &[], 4, 2);
    let dump = open(file.cpu(0, &cpu(0)).number("rax", &[1], 8, 5).build());
    assert_eq!(dump.number("cpu.number").unwrap(), 2);
    assert!(is_set(&dump, "cpu.0.reg.rax") && !is_set(&dump, "cpu.1.reg.rax"));
}

#[test]
fn cpus_beyond_their_number_are_left_out() {
    let file = embedded(0xBED2_BED2).group("cpu").number("cpu:numVCPUs", &[], 4, 1);
    let dump = open(file.cpu(0, &cpu(0)).cpu(1, &cpu(1)).cpu(5000, &cpu(2)).build());
    assert!(is_set(&dump, "cpu.0.reg.rip") && !is_set(&dump, "cpu.1") && !is_set(&dump, "cpu.5000"));
}

#[test]
fn registers_of_32_bits_leave_the_architecture_to_the_user() {
    let mut state = cpu(0);
    state.general = std::array::from_fn(|register| 0xc000_0000 + register as u64);
    state.rip = 0xc010_0000;
    state.idt = 0xff00_0000;
    let pae = embedded(0xBED2_BED2).group("cpu").cpu(0, &state).build();
    let plain = open(pae.clone());
    assert!(!is_set(&plain, "arch.name"));
    assert_eq!(plain.number("cpu.0.reg.rip").unwrap(), 0xc010_0000);
    assert!(page(&plain, 1).unwrap() == page_bytes(1));

    let told = Context::new();
    told.set("arch.name", Value::from("ia32")).unwrap();
    told.open(vec![source(pae)]).unwrap();
    assert_eq!(told.number("cpu.0.reg.eip").unwrap(), 0xc010_0000);
    assert_eq!(told.number("cpu.0.reg.esp").unwrap(), 0xc000_0005);
    assert!(!is_set(&told, "cpu.0.reg.rip") && !is_set(&told, "cpu.0.reg.r8"));

    // High addresses without PAE are no proof.
    let mut odd = cpu(0);
    odd.cr[4] = 0;
    assert!(!is_set(&open(embedded(0xBED2_BED2).group("cpu").cpu(0, &odd).build()), "arch.name"));
}

#[test]
fn memory_opens_although_registers_make_no_sense() {
    let lie = |file: VmwareBuilder| file.group("cpu").cpu(0, &cpu(0)).value("junk", &[], &[1, 2, 3]);
    let mut file = lie(embedded(0xBED2_BED2)).block("lie", &[], 0, &[0; 16]).build();
    // The size of the last block: behind it are the other size, the padding, the data and tag 0.
    let at = file.len() - 2 - 16 - 2 - 16;
    file[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    let dump = open(file);
    assert!(page(&dump, 2).unwrap() == page_bytes(2));
    assert_eq!(dump.number("cpu.0.reg.rip").unwrap(), cpu(0).rip);
}

#[test]
fn compressed_memory_is_refused_and_other_compressed_blocks_are_skipped() {
    let file = VmwareBuilder::new(0xBED2_BED2).group("memory").compressed("Memory", &[], &[1; 100], 4096);
    let (status, text) = open_failure(file.build());
    assert_eq!(status, Status::NotImplemented);
    assert!(text.contains("Group memory: Compressed memory of VMware at 92"), "{text}");
    let file = VmwareBuilder::new(0xBED2_BED2).group("memory").compressed("other", &[3], &[1; 100], 4096);
    let dump = open(file.block("Memory", &[0, 0], 0, &memory(2)).build());
    assert!(page(&dump, 1).unwrap() == page_bytes(1));
}

#[test]
fn regions_that_cannot_be_are_refused() {
    let base = || VmwareBuilder::new(0xBED2_BED2).group("memory");
    for (file, said) in [
        (base().number("regionsCount", &[], 4, 2).number("regionSize", &[0], 4, 1), "lacks"),
        (
            base().regions(&[(0, 0, 2)]).number("regionsCount", &[], 4, 2),
            "regionsCount is 2, but there are 1",
        ),
        (base().regions(&[(0, 0, 2), (2, 1, 2)]), "overlaps"),
        (base().regions(&[(0, 0, 2)]).number("regionPPN", &[0], 8, u64::MAX), "too large"),
    ] {
        let (status, text) = support::failure(try_open_set(&[file.build(), memory(4)]));
        assert_eq!(status, Status::Corrupt, "{text}");
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn three_files_are_too_many() {
    let set = [memory(1), regions().build(), memory(1)];
    let text = "file #0: VMware state goes with one .vmem file only";
    assert_eq!(support::failure(try_open_set(&set)), fails(Status::NotImplemented, text));
}

#[test]
fn no_regions_mean_one_of_all_pages() {
    let state = VmwareBuilder::new(0xBED2_BED2).group("other").group("memory").regions(&[]).group_count(500);
    let dump = try_open_set(&[state.build(), memory(3)]).unwrap();
    assert_eq!(stored(&dump), [(0, 2)]);
}

// The known readers take three.
#[test]
fn any_number_of_regions_is_read() {
    let regions: Vec<(u32, u32, u32)> = (0..9).map(|number| (number, 0x100 * (9 - number), 1)).collect();
    let state = VmwareBuilder::new(0xBED2_BED2).group("memory").regions(&regions).build();
    let dump = try_open_set(&[state, memory(9)]).unwrap();
    for (number, frame, _) in regions {
        assert!(page(&dump, frame.into()).unwrap() == page_bytes(number.into()), "region {number}");
    }
    assert_eq!(stored(&dump).len(), 9);
}
