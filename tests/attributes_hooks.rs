//! Attributes that others are derived from.

mod context_support;

use context_support::{fails, failure, is_set, set, set_text, unknown, vmcoreinfo};
use kdumpfile::{Context, Status, Value};

/// Opens something that no format knows: volatile attributes go.
fn reopen(dump: &Context) {
    let refused = failure(dump.open_bytes(unknown()));
    assert_eq!(refused, fails(Status::NotImplemented, "file #0: Unknown file format"));
}

fn no_value<T>(result: kdumpfile::Result<T>) -> bool {
    failure(result) == fails(Status::NoData, "Key has no value")
}

// --- Architecture --------------------------------------------------------------

/// Name, pointer size, page shift if there is only one.
const ARCHITECTURES: &[(&str, u64, Option<u64>)] = &[
    ("aarch64", 8, None),
    ("alpha", 8, Some(13)),
    ("arm", 4, Some(12)),
    ("ia32", 4, Some(12)),
    ("ia64", 8, None),
    ("mips", 4, Some(12)),
    ("ppc", 4, None),
    ("ppc64", 8, None),
    ("riscv32", 4, Some(12)),
    ("riscv64", 8, Some(12)),
    ("s390", 4, Some(12)),
    ("s390x", 8, Some(12)),
    ("x86_64", 8, Some(12)),
];

#[test]
fn architecture_gives_pointer_and_page_size() {
    for &(name, pointer, shift) in ARCHITECTURES {
        let dump = Context::new();
        set_text(&dump, "arch.name", name).unwrap();
        assert_eq!(dump.number("arch.ptr_size"), Ok(pointer), "{name}");
        if name == "ia32" {
            assert!(no_value(dump.number("arch.pteval_size")), "depends on PAE");
        } else {
            assert_eq!(dump.number("arch.pteval_size"), Ok(pointer), "{name}");
        }
        assert_eq!(dump.number("arch.page_shift").ok(), shift, "{name}");
        assert_eq!(dump.number("arch.page_size").ok(), shift.map(|shift| 1 << shift), "{name}");
    }
}

#[test]
fn unknown_architecture_is_no_error_and_changes_nothing_else() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    for name in ["", "X86_64", "vax", "x86_64 "] {
        set_text(&dump, "arch.name", name).unwrap();
        assert_eq!(dump.string("arch.name").unwrap(), name);
        assert_eq!(dump.number("arch.ptr_size"), Ok(8));
        assert_eq!(dump.number("arch.page_size"), Ok(4096));
    }
}

#[test]
fn architecture_leaves_a_known_page_size_alone() {
    let dump = Context::new();
    set(&dump, "arch.page_size", 65536).unwrap();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    assert_eq!(dump.number("arch.page_shift"), Ok(16));
}

#[test]
fn machine_names_the_architecture() {
    for (machine, arch) in [
        ("alpha", "alpha"),
        ("ia64", "ia64"),
        ("mips", "mips"),
        ("ppc", "ppc"),
        ("riscv32", "riscv32"),
        ("riscv64", "riscv64"),
        ("s390", "s390"),
        ("s390x", "s390x"),
        ("x86_64", "x86_64"),
        ("ppc64", "ppc64"),
        ("ppc64le", "ppc64"),
        ("i386", "ia32"),
        ("i586", "ia32"),
        ("i686", "ia32"),
        ("arm64", "aarch64"),
        ("aarch64", "aarch64"),
        ("arm", "arm"),
        ("armv7l", "arm"),
        ("armeb", "arm"),
    ] {
        let dump = Context::new();
        set_text(&dump, "linux.uts.machine", machine).unwrap();
        assert_eq!(dump.string("arch.name").unwrap(), arch, "{machine}");
        assert!(is_set(&dump, "arch.ptr_size"), "{machine}");
    }
    for machine in ["i486", "ia32", "aarch", "", "Alpha", "mips64"] {
        let dump = Context::new();
        set_text(&dump, "linux.uts.machine", machine).unwrap();
        assert!(!is_set(&dump, "arch.name"), "{machine}");
    }
}

#[test]
fn machine_does_not_replace_a_known_architecture() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "s390x").unwrap();
    set_text(&dump, "linux.uts.machine", "x86_64").unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "s390x");
}

// --- Page size -------------------------------------------------------------------

#[test]
fn page_size_and_shift_follow_each_other() {
    let dump = Context::new();
    for shift in [0, 1, 12, 13, 16, 62, 63] {
        let size = 1u64 << shift;
        set(&dump, "arch.page_size", size).unwrap();
        assert_eq!(dump.number("arch.page_shift"), Ok(shift));
        set(&dump, "arch.page_shift", 5).unwrap();
        assert_eq!(dump.number("arch.page_size"), Ok(32));
        set(&dump, "arch.page_shift", shift).unwrap();
        assert_eq!(dump.number("arch.page_size"), Ok(size));
    }
}

#[test]
fn impossible_page_sizes_change_nothing() {
    let dump = Context::new();
    for size in [0, 3000, 3, 4097, u64::MAX, (1 << 63) + 1] {
        let refused = failure(set(&dump, "arch.page_size", size));
        assert_eq!(refused, fails(Status::Corrupt, &format!("Invalid page size: {size}")));
        assert!(!is_set(&dump, "arch.page_size") && !is_set(&dump, "arch.page_shift"));
        assert!(!is_set(&dump, "arch"), "parents are set with a value only");
    }
    set(&dump, "arch.page_size", 4096).unwrap();
    for shift in [64, 65, 1 << 32, (1 << 32) + 12, u64::MAX] {
        let refused = failure(set(&dump, "arch.page_shift", shift));
        assert_eq!(refused, fails(Status::Corrupt, "Invalid page size: 0"), "{shift}");
        assert_eq!(dump.number("arch.page_shift"), Ok(12));
        assert_eq!(dump.number("arch.page_size"), Ok(4096));
    }
}

#[test]
fn page_size_comes_back_after_either_half_was_cleared() {
    for half in ["arch.page_size", "arch.page_shift"] {
        for set_again in [("arch.page_size", 4096), ("arch.page_shift", 12)] {
            let dump = Context::new();
            set(&dump, "arch.page_size", 4096).unwrap();
            dump.clear(Some(half)).unwrap();
            assert!(no_value(dump.number(half)));
            set(&dump, set_again.0, set_again.1).unwrap();
            assert_eq!(dump.number("arch.page_size"), Ok(4096), "{half} {set_again:?}");
            assert_eq!(dump.number("arch.page_shift"), Ok(12), "{half} {set_again:?}");
        }
    }
}

// --- Version codes -------------------------------------------------------------

#[test]
fn kernel_release_gives_the_version_code() {
    let dump = Context::new();
    for (release, code) in [
        ("5.4.3-foo", 328_707),
        ("5.4.300", 328_959),
        ("2.6.32-754.el6.x86_64", 0x2_0620),
        (" 6.+1.0", 0x6_0100),
        ("0.0.0", 0),
    ] {
        set_text(&dump, "linux.uts.release", release).unwrap();
        assert_eq!(dump.number("linux.version_code"), Ok(code), "{release}");
        assert_eq!(dump.number("linux.version_code"), Ok(code), "{release} again");
    }
}

#[test]
fn odd_releases_keep_the_version_code_set_but_unreadable() {
    let dump = Context::new();
    for release in ["5.4", "5", "", "5.4-rc1", "a.b.c", "5.4.", "5..3", "5.4.x", "5,4,3"] {
        set_text(&dump, "linux.uts.release", release).unwrap();
        for _ in 0..2 {
            let text = format!("Value cannot be revalidated: Invalid kernel version: {release}");
            assert_eq!(failure(dump.number("linux.version_code")), fails(Status::Corrupt, &text));
        }
        assert!(is_set(&dump, "linux.version_code"));
    }
}

#[test]
fn version_code_survives_the_release_and_may_be_set_by_hand() {
    let dump = Context::new();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(328_707));
    dump.clear(Some("linux.uts.release")).unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(328_707));
    set(&dump, "linux.version_code", 7).unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(7));
    set_text(&dump, "linux.uts.release", "6.0.0").unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(0x6_0000));
    // Also zero, which is what stands there while it is not computed yet.
    set_text(&dump, "linux.uts.release", "6.1.0").unwrap();
    set(&dump, "linux.version_code", 0).unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(0));
}

#[test]
fn release_that_goes_before_its_code_was_computed_leaves_zero() {
    let dump = Context::new();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    dump.clear(Some("linux.uts.release")).unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(0));
}

#[test]
fn xen_version_needs_both_halves() {
    let dump = Context::new();
    set(&dump, "xen.version.major", 4).unwrap();
    assert_eq!(dump.number("xen.version_code"), Ok(0));
    set(&dump, "xen.version.minor", 17).unwrap();
    assert_eq!(dump.number("xen.version_code"), Ok(0x4_0011));
    set(&dump, "xen.version.minor", 0x1_0000_0001).unwrap();
    assert_eq!(dump.number("xen.version_code"), Ok(0x1_0004_0001), "no half is cut");
    set(&dump, "xen.version_code", 9).unwrap();
    assert_eq!(dump.number("xen.version_code"), Ok(9));
    dump.clear(Some("xen.version.major")).unwrap();
    assert_eq!(dump.number("xen.version_code"), Ok(9));
    set(&dump, "xen.version.minor", 18).unwrap();
    assert_eq!(dump.number("xen.version_code"), Ok(0));
}

// --- Others --------------------------------------------------------------------

#[test]
fn cache_size_has_a_limit() {
    let dump = Context::new();
    for size in [0, 1, 4_294_967_295] {
        set(&dump, "cache.size", size).unwrap();
        assert_eq!(dump.number("cache.size"), Ok(size));
    }
    for size in [4_294_967_296, u64::MAX] {
        let refused = failure(set(&dump, "cache.size", size));
        assert_eq!(refused, fails(Status::Invalid, "Cache size too big (max 4294967295)"));
        assert_eq!(dump.number("cache.size"), Ok(4_294_967_295));
    }
    dump.clear(Some("cache.size")).unwrap();
    assert!(no_value(dump.number("cache.size")));
}

#[test]
fn only_two_operating_systems_are_supported() {
    let dump = Context::new();
    for bad in ["", "Linux", "freebsd", "linux "] {
        let refused = failure(set_text(&dump, "addrxlat.ostype", bad));
        assert_eq!(refused, fails(Status::NotImplemented, "Unsupported OS type"));
        assert!(!is_set(&dump, "addrxlat.ostype"));
    }
    for good in ["linux", "xen", "linux"] {
        set_text(&dump, "addrxlat.ostype", good).unwrap();
        assert_eq!(failure(set_text(&dump, "addrxlat.ostype", "plan9")).0, Status::NotImplemented);
        assert_eq!(dump.string("addrxlat.ostype").unwrap(), good);
    }
}

#[test]
fn mmap_policy_takes_any_number_and_starts_over_when_cleared() {
    let dump = Context::new();
    set(&dump, "file.mmap_policy", 4711).unwrap();
    assert_eq!(dump.number("file.mmap_policy"), Ok(4711));
    reopen(&dump);
    assert_eq!(dump.number("file.mmap_policy"), Ok(4711), "survives opening");
    dump.clear(Some("file.mmap_policy")).unwrap();
    assert!(no_value(dump.number("file.mmap_policy")));
    reopen(&dump);
    assert_eq!(dump.number("file.mmap_policy"), Ok(2));
}

#[test]
fn the_same_value_again_has_no_consequences() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    set(&dump, "arch.ptr_size", 5).unwrap();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    assert_eq!(dump.number("arch.ptr_size"), Ok(5));
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    set(&dump, "linux.version_code", 7).unwrap();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(7));
    // Cleared is not the same.
    dump.clear(Some("linux.uts.release")).unwrap();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(328_707));
}

// --- Opening another dump ------------------------------------------------------

#[test]
fn what_the_user_set_survives_opening() {
    let dump = Context::new();
    set_text(&dump, "linux.uts.nodename", "host").unwrap();
    set(&dump, "cache.size", 5).unwrap();
    dump.set("linux.phys_base", Value::Address(7)).unwrap();
    set(&dump, "file.zero_excluded", 1).unwrap();
    set_text(&dump, "addrxlat.force.arch", "x86_64").unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    for _ in 0..2 {
        reopen(&dump);
        assert_eq!(dump.string("linux.uts.nodename").unwrap(), "host");
        assert_eq!(dump.number("cache.size"), Ok(5));
        assert_eq!(dump.address("linux.phys_base"), Ok(7));
        assert_eq!(dump.number("file.zero_excluded"), Ok(1));
        assert_eq!(dump.string("addrxlat.force.arch").unwrap(), "x86_64");
        assert_eq!(dump.string("addrxlat.ostype").unwrap(), "linux");
        assert!(!is_set(&dump, "addrxlat.default"), "its mark goes with the first opening");
    }
}

#[test]
fn what_follows_from_the_users_values_survives_opening_too() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "alpha").unwrap();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    set(&dump, "xen.version.major", 4).unwrap();
    set(&dump, "xen.version.minor", 17).unwrap();
    reopen(&dump);
    assert_eq!(dump.number("arch.ptr_size"), Ok(8));
    assert_eq!(dump.number("arch.page_size"), Ok(8192));
    assert_eq!(dump.number("arch.page_shift"), Ok(13));
    assert_eq!(dump.number("linux.version_code"), Ok(328_707));
    assert_eq!(dump.number("xen.version_code"), Ok(0x4_0011));

    let dump = Context::new();
    set_text(&dump, "linux.uts.machine", "s390x").unwrap();
    set(&dump, "arch.page_shift", 16).unwrap();
    for _ in 0..2 {
        reopen(&dump);
        assert_eq!(dump.string("arch.name").unwrap(), "s390x");
        assert_eq!(dump.number("arch.page_size"), Ok(65536));
        assert_eq!(dump.number("arch.page_shift"), Ok(16));
    }
}

#[test]
fn consequences_never_replace_what_the_user_set_later() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    set(&dump, "arch.ptr_size", 4).unwrap();
    set(&dump, "arch.page_size", 65536).unwrap();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    set(&dump, "linux.version_code", 7).unwrap();
    reopen(&dump);
    assert_eq!(dump.number("arch.ptr_size"), Ok(4));
    assert_eq!(dump.number("arch.page_size"), Ok(65536));
    assert_eq!(dump.number("arch.page_shift"), Ok(16));
    assert_eq!(dump.number("linux.version_code"), Ok(7));
}

#[test]
fn consequences_go_with_a_value_that_the_user_cleared() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    dump.clear(Some("arch.name")).unwrap();
    dump.clear(Some("linux.uts.release")).unwrap();
    assert_eq!(dump.number("arch.page_size"), Ok(4096), "clearing undoes no consequence");
    reopen(&dump);
    for key in ["arch.page_size", "arch.page_shift", "arch.ptr_size", "linux.version_code"] {
        assert!(!is_set(&dump, key), "{key} belonged to the dump that was open");
    }
}

#[test]
fn vmcoreinfo_of_the_user_is_parsed_for_the_next_dump_as_well() {
    let dump = Context::new();
    let text = "PAGESIZE=65536\nOSRELEASE=5.4.3\nSYMBOL(init)=10\nNUMBER(phys_base)=32\nA=1\n";
    vmcoreinfo(&dump, text).unwrap();
    set_text(&dump, "linux.vmcoreinfo.lines.A", "mine").unwrap();
    reopen(&dump);
    assert_eq!(dump.string("linux.vmcoreinfo.lines.PAGESIZE").unwrap(), "65536");
    assert_eq!(dump.string("linux.vmcoreinfo.lines.A").unwrap(), "mine");
    assert_eq!(dump.address("linux.vmcoreinfo.SYMBOL.init"), Ok(16));
    assert_eq!(dump.address("linux.phys_base"), Ok(32));
    assert_eq!(dump.number("arch.page_size"), Ok(65536));
    assert_eq!(dump.number("linux.version_code"), Ok(328_707));
}
