//! What setting `addrxlat.ostype` reads from the dump (spec 01, section 6.4).

mod support;

use kdumpfile::{Context, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::{ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::Utsname;
use support::{fails, failure, is_set, open, vmcoreinfo_note};

const NAMESPACE: u64 = 0xffff_ffff_8200_0040;
const PAGE: u64 = 0xffff_ffff_8200_0000;

/// A dump with one kernel virtual page that holds `bytes` at [`NAMESPACE`],
/// and VMCOREINFO rows `rows`.
fn dump(bytes: &[u8], rows: &str) -> Context {
    let mut page = vec![0xcc; 4096];
    page[0x40..0x40 + bytes.len()].copy_from_slice(bytes);
    let builder = ElfBuilder::for_arch(Arch::X86_64)
        .segment(Segment::load(0x200_0000, page).vaddr(PAGE))
        .note(vmcoreinfo_note(ByteOrder::Little, rows));
    open(builder.build())
}

fn namespace(offset: usize) -> Vec<u8> {
    [vec![0; offset], Utsname::linux("5.4.3-test", "x86_64").to_bytes()].concat()
}

fn set_ostype(dump: &Context, name: &str) -> kdumpfile::Result<()> {
    dump.set("addrxlat.ostype", Value::from(name))
}

#[test]
fn utsname_is_found_within_its_namespace() {
    for offset in [0, 4, 128] {
        let dump = dump(&namespace(offset), &format!("SYMBOL(init_uts_ns)={NAMESPACE:x}\n"));
        assert!(!is_set(&dump, "linux.uts.sysname"));
        set_ostype(&dump, "linux").unwrap();
        assert_eq!(dump.string("linux.uts.sysname").unwrap(), "Linux");
        assert_eq!(dump.string("linux.uts.release").unwrap(), "5.4.3-test");
        assert_eq!(dump.number("linux.version_code").unwrap(), 0x5_0403);
        assert!(dump.last_error().is_none());
    }
}

#[test]
fn old_kernels_name_the_structure_itself() {
    let dump = dump(&namespace(0), &format!("SYMBOL(system_utsname)={NAMESPACE:x}\n"));
    set_ostype(&dump, "linux").unwrap();
    assert_eq!(dump.string("linux.uts.release").unwrap(), "5.4.3-test");
}

#[test]
fn what_stands_there_must_be_a_utsname_but_the_type_stays_set() {
    let symbol = format!("SYMBOL(init_uts_ns)={NAMESPACE:x}\n");
    let nothing = dump(&[0; 600], &symbol);
    assert_eq!(failure(set_ostype(&nothing, "linux")), fails(Status::Corrupt, "UTS_SYSNAME not found"));
    assert_eq!(nothing.string("addrxlat.ostype").unwrap(), "linux");

    let mut odd = namespace(0);
    odd[64] = 1;
    let odd = dump(&odd, &symbol);
    assert_eq!(failure(set_ostype(&odd, "linux")), fails(Status::Corrupt, "Wrong utsname content"));
    assert!(!is_set(&odd, "linux.uts.sysname"));
}

#[test]
fn without_a_symbol_or_a_way_to_read_it_nothing_happens() {
    for rows in ["PAGESIZE=4096\n", "SYMBOL(init_uts_ns)=ffff888000000000\n"] {
        let dump = dump(&namespace(0), rows);
        set_ostype(&dump, "linux").unwrap();
        assert!(!is_set(&dump, "linux.uts.sysname"), "{rows}");
    }
}

#[test]
fn names_that_are_known_already_stay() {
    let dump = dump(&namespace(0), &format!("SYMBOL(init_uts_ns)={NAMESPACE:x}\n"));
    dump.set("linux.uts.sysname", Value::from("Known")).unwrap();
    set_ostype(&dump, "linux").unwrap();
    assert_eq!(dump.string("linux.uts.sysname").unwrap(), "Known");
    assert!(!is_set(&dump, "linux.uts.release"));
}

#[test]
fn extra_version_of_xen_is_read_by_its_machine_address() {
    let dump = dump(b".2-rc1\0", "PAGESIZE=4096\n");
    for os in ["xen", "linux"] {
        dump.set("xen.version.extra_addr", Value::Address(0x200_0040)).unwrap();
        set_ostype(&dump, os).unwrap();
        assert_eq!(dump.string("xen.version.extra").unwrap(), ".2-rc1");
        dump.clear(Some("xen.version.extra")).unwrap();
    }
    // A page that is not in the dump is no error.
    dump.set("xen.version.extra_addr", Value::Address(0x900_0000)).unwrap();
    set_ostype(&dump, "xen").unwrap();
    assert!(!is_set(&dump, "xen.version.extra"));
}
