//! Virtual addresses of a real kernel, whose memory is in a SADUMP: nothing
//! tells where its page tables are but the registers of a CPU.

mod support;

use kdumpfile::{Context, Space, Value};
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};
use support::*;

/// The sample of the command line: memory of a kernel of Debian on x86_64, with
/// all of its page tables (see `cli/sample/README.md`).
const SAMPLE: &[u8] = include_bytes!("../cli/sample/vmcore.sample");

/// Physical address of `init_top_pgt` in the sample.
const ROOT: u64 = 0x2a1_0000;
/// PAE and a few others, but not LA57.
const CR4: u64 = 0x3006f0;

/// Virtual addresses of the sample, and their physical ones.
const ADDRESSES: [(&str, u64, u64); 4] = [
    ("linux_banner", 0xffff_ffff_8211_fa00, 0x211_fa00),
    ("init_uts_ns", 0xffff_ffff_82bf_9b60, 0x2bf_9b60),
    ("init_top_pgt", 0xffff_ffff_82a1_0000, 0x2a1_0000),
    ("linux_banner in the direct mapping", 0xffff_8880_0211_fa00, 0x211_fa00),
];

fn sample() -> Context {
    open(SAMPLE)
}

fn sadump(variant: Variant, cpus: Vec<SmramState>) -> Context {
    let sample = sample();
    let pages: Vec<(u64, Vec<u8>)> = stored(&sample)
        .into_iter()
        .flat_map(|(first, last)| first..=last)
        .map(|pfn| (pfn, page(&sample, pfn).unwrap()))
        .collect();
    let files = SadumpBuilder::new(variant).pages(pages).ram(0..32736).cpus(cpus).build_set();
    open_set(&files.into_iter().rev().collect::<Vec<_>>())
}

fn cpu(cr3: u64) -> SmramState {
    // With paging, which a processor without would not use the root for.
    SmramState::distinct(1, true).set("cr0", 0x8005_0033).set("cr3", cr3).set("cr4", CR4)
}

#[test]
fn kernel_addresses_are_found_by_the_registers_of_the_first_cpu() {
    let sample = sample();
    for (what, variant, cpus) in [
        ("one partition", Variant::Single, vec![cpu(ROOT)]),
        ("backup, with a process context identifier", Variant::Media, vec![cpu(ROOT | 0x7)]),
        // What is behind the root is not another one.
        (
            "first CPU in a program",
            Variant::Single,
            vec![
                cpu(ROOT | 0x1000).set("cs", 0x33),
                cpu(ROOT | 0x1000).set("cs", 0x33),
                cpu(ROOT).set("cs", 0x10),
            ],
        ),
        ("disks, first CPU not there", Variant::Set(vec![100, 50]), vec![SmramState::unused(), cpu(ROOT)]),
    ] {
        let dump = sadump(variant, cpus);
        dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
        for (name, kvaddr, phys) in ADDRESSES {
            let found = dump.translate_address(Space::KernelVirtual, kvaddr, Space::KernelPhysical);
            assert_eq!(found.unwrap(), phys, "{what}: {name}");
            let (mut ours, mut theirs) = ([0; 64], [1; 64]);
            dump.read(Space::KernelVirtual, kvaddr, &mut ours).unwrap();
            sample.read(Space::MachinePhysical, phys, &mut theirs).unwrap();
            assert_eq!(ours, theirs, "{what}: {name}");
        }
        let banner = dump.read_string(Space::KernelVirtual, ADDRESSES[0].1).unwrap();
        assert!(banner.starts_with(b"Linux version 6.1.0-50-cloud-amd64"), "{what}");
    }
}

/// Memory of a real kernel on s390x, as a stand-alone dump has it: the lowcore
/// leads to VMCOREINFO, and that to the page tables.
#[test]
#[cfg(feature = "std")]
fn the_lowcore_of_a_real_kernel_leads_to_vmcoreinfo_and_translation() {
    use kdumpfile::sync::Shared;
    use kdumpfile_testkit::dumps::real_dumps;
    use kdumpfile_testkit::endian::ByteOrder;
    use kdumpfile_testkit::s390dump::S390Builder;

    let Some(real) = real_dumps().unwrap_or_default().into_iter().find(|real| real.truth().arch() == "s390x")
    else {
        return;
    };
    let original = Context::new();
    original.open_paths(&real.files).unwrap();
    let pages = original.number("max_pfn").unwrap();
    let (mut header, layout) = S390Builder::new([]).build_with_layout();
    let end = header.split_off(layout.end);
    for (field, value) in [("mem_size", pages * PAGE), ("num_pages", pages)] {
        layout.field(field).put(&mut header, ByteOrder::Big, value);
    }
    let mut file = Sparse::new(0).with(0, header).with(4096 + pages * PAGE, end);
    for pfn in stored(&original).into_iter().flat_map(|(first, last)| first..=last) {
        let bytes = page(&original, pfn).unwrap();
        if bytes.iter().any(|byte| *byte != 0) {
            file = file.with(4096 + pfn * PAGE, bytes);
        }
    }
    let dump = Context::new();
    dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
    dump.open(vec![Shared::new(file)]).unwrap();
    original.set("addrxlat.ostype", Value::from("linux")).unwrap();
    let raw = |dump: &Context| dump.blob("linux.vmcoreinfo.raw").unwrap().to_vec();
    assert!(!raw(&dump).is_empty() && raw(&dump) == raw(&original));
    let release = |dump: &Context| dump.string("linux.uts.release").unwrap();
    assert_eq!(release(&dump), release(&original));
    let mut compared = 0;
    for truth in real.truth().emulator_translations() {
        // Prefixing: the emulator has another page at the first two addresses.
        let Some(expected) = truth.kphys.filter(|_| truth.kvaddr >= 0x2000) else { continue };
        let found = dump.translate_address(Space::KernelVirtual, truth.kvaddr, Space::KernelPhysical);
        assert_eq!(found.unwrap(), expected, "{}", truth.name);
        compared += 1;
    }
    assert!(compared > 10, "{compared} addresses");
    println!("{compared} addresses of {}", release(&dump));
}

/// makedumpfile needs the kernel's debugging information to convert a SADUMP.
/// Without, it tells how far it came: to the table of interrupts, by the
/// registers of a CPU and the page tables, on whichever disk they are.
#[test]
fn makedumpfile_finds_the_same_disks_and_registers() {
    use kdumpfile_testkit::peer;
    use std::process::Command;

    let Some(makedumpfile) = peer::makedumpfile() else { return };
    let sample = sample();
    let idt_base = 0xffff_fe00_0000_0000;
    let cpu = cpu(ROOT).set("idt_hi", idt_base >> 32).set("idt_lo", idt_base & 0xffff_ffff);
    let pages: Vec<(u64, Vec<u8>)> = stored(&sample)
        .into_iter()
        .flat_map(|(first, last)| first..=last)
        .map(|pfn| (pfn, page(&sample, pfn).unwrap()))
        .collect();
    for (variant, said) in [
        (Variant::Single, "sadump: single partition configuration"),
        (Variant::Media, "sadump: media backup file"),
        (Variant::Set(vec![100, 150]), "sadump: diskset configuration with 3 disks"),
    ] {
        let builder = SadumpBuilder::new(variant.clone()).pages(pages.clone()).ram(0..32736);
        let files = builder.cpus([cpu.clone()]).build_set();
        let dir = peer::scratch_dir("makedumpfile");
        std::fs::write(dir.join("vmcoreinfo"), sample.blob("linux.vmcoreinfo.raw").unwrap().to_vec())
            .unwrap();
        let mut command = Command::new(&makedumpfile);
        command.current_dir(&dir).args(["-D", "-d", "0", "--message-level", "31", "-i", "vmcoreinfo"]);
        for (number, file) in files.iter().enumerate() {
            let name = format!("disk{number}");
            std::fs::write(dir.join(&name), file).unwrap();
            let argument = if files.len() == 1 { name } else { format!("--diskset={name}") };
            command.arg(argument);
        }
        let output = command.arg("out").output().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);

        let dump = open_set(&files);
        dump.set("addrxlat.ostype", Value::from("linux")).unwrap();
        assert_eq!(dump.number("cpu.0.reg.idt_base").unwrap(), idt_base);
        let idt = dump.translate_address(Space::KernelVirtual, idt_base, Space::KernelPhysical).unwrap();
        for line in [
            said.to_string(),
            format!("sadump: idtr={idt_base:x}"),
            format!("sadump: cr3={ROOT:x}"),
            format!("sadump: idtr(phys)={idt:x}"),
        ] {
            assert!(text.contains(&line), "{variant:?}: {line} is not in {text}");
        }
    }
}
