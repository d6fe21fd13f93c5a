//! Memory of a real machine that runs Xen with Linux as its domain 0: taken by
//! somebody who does not know of Xen, and by its crash kernel (`ci/fresh-xen.sh`
//! makes both).

mod context_support;

use context_support::set_text;
use kdumpfile::{Blob, Context, Space, Value};
use kdumpfile_testkit::dumps::{fresh_facts, fresh_folder};
use kdumpfile_testkit::truth::Truth;

/// Where the kernel's image is linked to, and its direct mapping.
const IMAGE: u64 = 0xffff_ffff_8000_0000;
const DIRECT: u64 = 0xffff_8880_0000_0000;

/// These dumps, and what is known of them all; nothing if there are none.
fn opened(names: &[&str], run: &str) -> Vec<(String, Context, Truth)> {
    let Some(folder) = fresh_folder() else { return Vec::new() };
    if !folder.join(format!("{run}-facts.json")).is_file() {
        eprintln!("skipped: there is no {} in {}", names.join(", "), folder.display());
        return Vec::new();
    }
    let open = |name: &&str| {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let dump = Context::new();
        dump.open(vec![kdumpfile::sync::Shared::new(bytes) as kdumpfile::io::Source]).unwrap();
        (name.to_string(), dump, fresh_facts(run).unwrap())
    };
    names.iter().map(open).collect()
}

/// Dumps from outside, and what the emulator says of them: machine addresses.
fn machines() -> Vec<(String, Context, Truth)> {
    opened(&["xen.qemu.elf", "xen.qemu.kdump-zlib"], "xen")
}

/// Takes VMCOREINFO of Linux that is found in memory.
fn find_vmcoreinfo(dump: &Context) {
    let mut found = dump.scan_vmcoreinfo().unwrap().filter_map(Result::ok);
    let linux = found.find(|found| found.line("OSRELEASE").is_some()).unwrap();
    dump.set("linux.vmcoreinfo.raw", Value::Blob(Blob::new(linux.text))).unwrap();
}

fn assert_banner(dump: &Context, address: u64, truth: &Truth) {
    let banner = dump.read_string(Space::KernelVirtual, address).unwrap();
    assert_eq!(String::from_utf8_lossy(&banner).trim_end(), truth.banner().unwrap().trim_end());
}

/// Compares addresses and bytes of the hypervisor, or of all else.
fn compare(name: &str, dump: &Context, truth: &Truth, hypervisor: bool) -> usize {
    let mut compared = 0;
    for known in truth.emulator_translations() {
        let Some(expected) = known.kphys.filter(|_| known.name.starts_with("xen:") == hypervisor) else {
            continue;
        };
        let found = dump.translate_address(Space::KernelVirtual, known.kvaddr, Space::MachinePhysical);
        assert_eq!(found, Ok(expected), "{name}: {}", known.name);
        if let Some(bytes) = truth.emulator_bytes(&known.name) {
            let mut read = vec![0; bytes.len()];
            dump.read(Space::KernelVirtual, known.kvaddr, &mut read).unwrap();
            assert!(read == bytes, "{name}: bytes at {}", known.name);
        }
        compared += 1;
    }
    compared
}

#[test]
fn addresses_of_the_hypervisor_lead_to_where_the_emulator_has_them() {
    for (name, dump, truth) in machines() {
        set_text(&dump, "addrxlat.ostype", "xen").unwrap();
        let compared = compare(&name, &dump, &truth, true);
        assert!(compared >= 4, "{name}: {compared}");
        println!("{name}: {compared} addresses of the hypervisor");
    }
}

#[test]
fn addresses_of_domain_0_lead_to_where_the_emulator_has_them() {
    for (name, dump, truth) in machines() {
        for vmcoreinfo in [false, true] {
            if vmcoreinfo {
                find_vmcoreinfo(&dump);
            }
            set_text(&dump, "addrxlat.ostype", "linux").unwrap();
            let compared = compare(&name, &dump, &truth, false);
            assert!(compared > 20, "{name}: {compared}");
            println!("{name}: {compared} addresses of domain 0, with VMCOREINFO: {vmcoreinfo}");

            let address = truth.emulator_translations();
            let address = address.iter().find(|known| known.name == "linux_banner").unwrap();
            assert_banner(&dump, address.kvaddr, &truth);
            physical_addresses_are_those_of_the_kernel(&dump, &truth);
        }
    }
}

/// What the kernel takes for physical addresses is not what the machine does.
fn physical_addresses_are_those_of_the_kernel(dump: &Context, truth: &Truth) {
    let mut moved = 0;
    for known in truth.emulator_translations() {
        let base = match known.kvaddr {
            // Up to the end of the image, without modules.
            IMAGE..0xffff_ffff_a000_0000 => IMAGE,
            DIRECT..0xffff_c880_0000_0000 => DIRECT,
            _ => continue,
        };
        let Some(machphys) = known.kphys else { continue };
        let kphys = known.kvaddr - base;
        for (from, addr, to, expected) in [
            (Space::KernelVirtual, known.kvaddr, Space::KernelPhysical, kphys),
            (Space::MachinePhysical, machphys, Space::KernelPhysical, kphys),
            (Space::KernelPhysical, kphys, Space::MachinePhysical, machphys),
        ] {
            assert_eq!(dump.translate_address(from, addr, to), Ok(expected), "{} {addr:#x}", known.name);
        }
        moved += usize::from(kphys != machphys);
    }
    assert!(moved > 10, "{moved}");
}

#[test]
fn crashed_hypervisor_tells_its_domains_and_domain_0_its_kernel() {
    for (name, dump, truth) in opened(&["xen.vmcore"], "xen-crash") {
        assert_eq!(dump.number("cpu.number").unwrap(), 2);
        for cpu in 0..2 {
            let register = |name| dump.number(&format!("cpu.{cpu}.reg.{name}")).unwrap();
            assert!(register("cr0") >> 31 == 1 && register("cr3") != 0, "CPU {cpu}");
            assert!(register("rip") >= 0xffff_82d0_4000_0000, "CPU {cpu}");
        }
        let domains: Vec<_> = dump.xen_domains().unwrap().map(|domain| domain.unwrap().id).collect();
        assert_eq!(domains, [0], "{name}");
        assert!(dump.number("xen.version_code").unwrap() >= 4 << 16 | 14, "{name}");

        // Its frames are found by the tree that the hypervisor tells.
        find_vmcoreinfo(&dump);
        set_text(&dump, "addrxlat.ostype", "linux").unwrap();
        let banner = truth.symbol("linux_banner").unwrap();
        assert_banner(&dump, banner, &truth);
        let kphys = dump.translate_address(Space::KernelVirtual, banner, Space::KernelPhysical).unwrap();
        assert_eq!(kphys, banner - IMAGE);
        let machphys = dump.translate_address(Space::KernelPhysical, kphys, Space::MachinePhysical).unwrap();
        assert_ne!(machphys, kphys);
        assert_eq!(
            dump.translate_address(Space::MachinePhysical, machphys, Space::KernelPhysical),
            Ok(kphys)
        );
        assert_eq!(dump.string("linux.uts.release").unwrap(), truth.kernel_release());
    }
}
