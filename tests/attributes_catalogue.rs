//! The fixed part of the attribute tree as callers see it: which keys there
//! are, of which type, with which value, in which order.

mod context_support;

use context_support::{fails, failure, is_set, keys, set, set_text, vmcoreinfo};
use kdumpfile::AttrType::{self, Address, Bitmap, Blob, Directory, Number, String};
use kdumpfile::{Context, Status, Value};

/// Every key of a fresh context but those of the translation options and of
/// VMCOREINFO, with the number it starts with.
const KEYS: &[(&str, AttrType, Option<u64>)] = &[
    ("max_pfn", Number, None),
    ("arch", Directory, None),
    ("arch.name", String, None),
    ("arch.machine", Number, None),
    ("arch.byte_order", Number, None),
    ("arch.ptr_size", Number, None),
    ("arch.page_size", Number, None),
    ("arch.page_shift", Number, None),
    ("arch.pteval_size", Number, None),
    ("addrxlat", Directory, None),
    ("addrxlat.ostype", String, None),
    ("cache.size", Number, Some(1024)),
    ("cache.hits", Number, Some(0)),
    ("cache.misses", Number, Some(0)),
    ("cpu", Directory, None),
    ("cpu.number", Number, None),
    ("file.format", String, None),
    ("file.description", String, None),
    ("file.qemu", Directory, None),
    ("file.qemu.below_4g", Number, None),
    ("file.qemu.above_4g", Address, None),
    ("file.qemu.blocks", String, None),
    ("file.fd", Number, None),
    ("file.set.number", Number, Some(0)),
    ("file.mmap_policy", Number, Some(2)),
    ("file.mmap_cache.hits", Number, Some(0)),
    ("file.mmap_cache.misses", Number, Some(0)),
    ("file.read_cache.hits", Number, Some(0)),
    ("file.read_cache.misses", Number, Some(0)),
    ("file.eraseinfo", Directory, None),
    ("file.eraseinfo.raw", Blob, None),
    ("file.pagemap", Bitmap, None),
    ("file.zero_excluded", Number, None),
    ("memory", Directory, None),
    ("memory.pagemap", Bitmap, None),
    ("linux", Directory, None),
    ("linux.version_code", Number, None),
    ("linux.task_struct", Blob, None),
    ("linux.phys_base", Address, None),
    ("linux.uts", Directory, None),
    ("linux.uts.sysname", String, None),
    ("linux.uts.nodename", String, None),
    ("linux.uts.release", String, None),
    ("linux.uts.version", String, None),
    ("linux.uts.machine", String, None),
    ("linux.uts.domainname", String, None),
    ("xen", Directory, None),
    ("xen.type", Number, None),
    ("xen.xlat", Number, None),
    ("xen.p2m_mfn", Address, None),
    ("xen.phys_start", Address, None),
    ("xen.version", Directory, None),
    ("xen.version.major", Number, None),
    ("xen.version.minor", Number, None),
    ("xen.version.extra", String, None),
    ("xen.version.extra_addr", Address, None),
    ("xen.version_code", Number, None),
];

const OPTIONS: &[(&str, AttrType)] = &[
    ("arch", String),
    ("os_type", String),
    ("version_code", Number),
    ("phys_bits", Number),
    ("virt_bits", Number),
    ("page_shift", Number),
    ("phys_base", Address),
    ("rootpgt", Directory),
    ("rootpgt.as", Number),
    ("rootpgt.addr", Address),
    ("xen_p2m_mfn", Number),
    ("xen_xlat", Number),
];

const VMCOREINFO: &[(&str, AttrType)] = &[
    ("raw", Blob),
    ("lines", Directory),
    ("SYMBOL", Directory),
    ("LENGTH", Directory),
    ("NUMBER", Directory),
    ("OFFSET", Directory),
    ("SIZE", Directory),
];

/// All keys of a fresh context without a value.
fn unset_keys() -> Vec<(std::string::String, AttrType)> {
    let fixed = KEYS.iter().filter(|row| row.2.is_none()).map(|row| (row.0.into(), row.1));
    let options = ["addrxlat.default", "addrxlat.force"]
        .into_iter()
        .flat_map(|top| OPTIONS.iter().map(move |(key, kind)| (format!("{top}.{key}"), *kind)));
    let info = ["linux.vmcoreinfo", "xen.vmcoreinfo"]
        .into_iter()
        .flat_map(|top| VMCOREINFO.iter().map(move |(key, kind)| (format!("{top}.{key}"), *kind)));
    fixed.chain(options).chain(info).collect()
}

fn value_of(kind: AttrType) -> Value {
    match kind {
        Directory => Value::Directory,
        Number => Value::Number(1),
        Address => Value::Address(1),
        String => Value::from("linux"),
        Bitmap => Value::Bitmap(kdumpfile::Bitmap::new(kdumpfile::sync::Shared::new(
            kdumpfile::attr::RunList::new(vec![]),
        ))),
        Blob => Value::Blob(kdumpfile::Blob::new(vec![])),
    }
}

const TYPES: [AttrType; 6] = [Directory, Number, Address, String, Bitmap, Blob];

#[test]
fn every_key_has_its_type_and_its_first_value() {
    let dump = Context::new();
    for &(key, kind, first) in KEYS {
        let attr = dump.attr(Some(key)).expect(key);
        assert_eq!(dump.attr_type(attr), Some(kind), "{key}");
        assert_eq!(dump.attr_path(attr).unwrap(), key);
        match first {
            Some(number) => assert_eq!(dump.number(key), Ok(number), "{key}"),
            None => assert_eq!(failure(dump.get(key)), fails(Status::NoData, "Key has no value"), "{key}"),
        }
        assert_eq!(dump.attr_is_set(attr), first.is_some(), "{key}");
    }
    for (key, kind) in unset_keys() {
        let attr = dump.attr(Some(&key)).expect(&key);
        assert_eq!(dump.attr_type(attr), Some(kind), "{key}");
        assert!(!dump.attr_is_set(attr), "{key}");
        assert_eq!(failure(dump.get_attr(attr)), fails(Status::NoData, "Key has no value"), "{key}");
    }
}

#[test]
fn fresh_context_shows_only_what_has_a_value() {
    let dump = Context::new();
    assert_eq!(keys(&dump, None), ["file", "cache"]);
    assert_eq!(keys(&dump, Some("file")), ["mmap_policy", "set", "read_cache", "mmap_cache"]);
    assert_eq!(keys(&dump, Some("file.set")), ["number"]);
    assert_eq!(keys(&dump, Some("file.read_cache")), ["misses", "hits"]);
    assert_eq!(keys(&dump, Some("file.mmap_cache")), ["misses", "hits"]);
    assert_eq!(keys(&dump, Some("cache")), ["misses", "hits", "size"]);
    // Reachable by path only: their parent has no value.
    assert!(is_set(&dump, "addrxlat.default") && is_set(&dump, "addrxlat.force"));
    assert_eq!(keys(&dump, Some("addrxlat.default")), [""; 0]);
    assert!(!is_set(&dump, "addrxlat"));
}

#[test]
fn iteration_shows_keys_in_reverse_order_of_creation() {
    let dump = Context::new();
    for (key, kind) in unset_keys() {
        if matches!(key.rsplit('.').next(), Some("page_size" | "page_shift" | "fd")) || kind == Blob {
            continue;
        }
        dump.set(&key, value_of(kind)).expect(&key);
    }
    set(&dump, "arch.page_size", 4096).unwrap();
    for raw in ["linux.vmcoreinfo.raw", "xen.vmcoreinfo.raw", "linux.task_struct", "file.eraseinfo.raw"] {
        dump.set(raw, value_of(Blob)).unwrap();
    }
    set(&dump, "file.set.number", 1).unwrap();
    set(&dump, "file.fd", 5).unwrap_err();

    for (directory, expected) in [
        ("", "max_pfn xen linux addrxlat memory file cpu cache arch"),
        ("arch", "page_shift page_size ptr_size byte_order machine name pteval_size"),
        ("addrxlat", "ostype force default"),
        (
            "addrxlat.force",
            "xen_xlat xen_p2m_mfn rootpgt phys_base page_shift virt_bits phys_bits version_code os_type arch",
        ),
        ("addrxlat.default.rootpgt", "addr as"),
        ("cpu", "number"),
        (
            "file",
            "zero_excluded pagemap eraseinfo mmap_policy fd set read_cache mmap_cache description format qemu",
        ),
        ("file.set", "0 number"),
        ("file.qemu", "blocks above_4g below_4g"),
        ("memory", "pagemap"),
        ("linux", "phys_base vmcoreinfo uts task_struct version_code"),
        ("linux.uts", "domainname machine version release nodename sysname"),
        ("linux.vmcoreinfo", "SYMBOL SIZE OFFSET NUMBER LENGTH raw lines"),
        ("xen.vmcoreinfo", "SYMBOL SIZE OFFSET NUMBER LENGTH raw lines"),
        ("xen", "xlat type vmcoreinfo version_code version phys_start p2m_mfn"),
        ("xen.version", "extra_addr extra minor major"),
    ] {
        let path = (!directory.is_empty()).then_some(directory);
        // What opening nothing known has cleared is of no interest here.
        for key in expected.split(' ').filter(|_| directory != "file.set") {
            let key = if directory.is_empty() { key.into() } else { format!("{directory}.{key}") };
            let attr = dump.attr(Some(&key)).unwrap();
            if !dump.attr_is_set(attr) {
                dump.set_attr(attr, value_of(dump.attr_type(attr).unwrap())).ok();
            }
        }
        assert_eq!(keys(&dump, path).join(" "), expected, "{directory}");
    }
}

#[test]
fn numbered_files_come_newest_first_with_name_before_descriptor() {
    let dump = Context::new();
    set(&dump, "file.set.number", 3).unwrap();
    for index in [1, 0, 2] {
        set(&dump, &format!("file.set.{index}.fd"), index).ok();
        set_text(&dump, &format!("file.set.{index}.name"), "x").unwrap();
    }
    assert_eq!(keys(&dump, Some("file.set")), ["2", "1", "0", "number"]);
    assert_eq!(keys(&dump, Some("file.set.1")), ["name", "fd"]);
}

#[test]
fn a_value_of_another_type_is_refused_without_any_change() {
    let dump = Context::new();
    for (key, kind) in unset_keys() {
        for other in TYPES.into_iter().filter(|other| *other != kind) {
            let refused = failure(dump.set(&key, value_of(other)));
            assert_eq!(refused, fails(Status::Invalid, "Type mismatch"), "{key} is no {other:?}");
            assert!(!is_set(&dump, &key), "{key}");
        }
    }
    assert_eq!(failure(dump.string("cache.size")), fails(Status::Invalid, "Attribute type mismatch"));
    assert_eq!(failure(dump.address("cache.size")), fails(Status::Invalid, "Attribute type mismatch"));
    assert_eq!(failure(dump.number("file")), fails(Status::Invalid, "Attribute type mismatch"));
    assert_eq!(failure(dump.blob("cache.size")), fails(Status::Invalid, "Attribute type mismatch"));
    assert_eq!(failure(dump.bitmap("cache.size")), fails(Status::Invalid, "Attribute type mismatch"));
    // There is no value to compare yet.
    assert_eq!(failure(dump.number("arch.name")), fails(Status::NoData, "Key has no value"));
}

#[test]
fn every_key_can_be_set_and_cleared_by_the_user() {
    let dump = Context::new();
    for (key, kind) in unset_keys() {
        if matches!(&*key, "file.fd" | "arch.page_size" | "arch.page_shift") {
            continue;
        }
        dump.set(&key, value_of(kind)).expect(&key);
        assert!(is_set(&dump, &key), "{key}");
        let parent = key.rsplit_once('.').map(|(parent, _)| parent);
        assert!(parent.is_none_or(|parent| is_set(&dump, parent)), "parent of {key}");
        dump.clear(Some(&key)).unwrap();
        assert!(!is_set(&dump, &key), "{key}");
        assert!(parent.is_none_or(|parent| is_set(&dump, parent)), "parent of {key} stays");
        dump.clear(Some(&key)).expect("clearing what has no value is fine");
    }
    for key in ["cache.hits", "cache.misses", "file.mmap_cache.hits", "file.read_cache.misses", "max_pfn"] {
        set(&dump, key, 4711).unwrap();
        assert_eq!(dump.number(key), Ok(4711), "{key}");
    }
}

#[test]
fn unknown_keys_are_no_data_when_set_and_no_key_elsewhere() {
    let dump = Context::new();
    let cache = dump.attr(Some("cache")).unwrap();
    for key in [
        "",
        ".",
        "..",
        "..cache",
        "...cache.size",
        "cache.",
        "cache.size.",
        "cache..size",
        "cache.size.x",
        "nothing",
        "Cache",
        "cache size",
        "file.set.0",
        "cpu.0",
        "linux.vmcoreinfo.lines.X",
        "\0",
        "cache.\0",
    ] {
        assert_eq!(failure(dump.get(key)), fails(Status::NoKey, "No such key"), "{key:?}");
        assert_eq!(failure(dump.number(key)), fails(Status::NoKey, "No such key"), "{key:?}");
        assert_eq!(failure(dump.attr(Some(key))), fails(Status::NoKey, "No such key"), "{key:?}");
        assert_eq!(failure(dump.sub_attr(cache, key)), fails(Status::NoKey, "No such key"), "{key:?}");
        assert_eq!(failure(set(&dump, key, 1)), fails(Status::NoData, "No such key"), "{key:?}");
        assert_eq!(failure(dump.clear(Some(key))), fails(Status::NoData, "No such key"), "{key:?}");
        assert_eq!(failure(dump.first_child(Some(key))), fails(Status::NoKey, "No such path"), "{key:?}");
    }
}

#[test]
fn one_leading_dot_is_accepted() {
    let dump = Context::new();
    assert_eq!(dump.number(".cache.size"), Ok(1024));
    set(&dump, ".cache.size", 7).unwrap();
    assert_eq!(dump.number("cache.size"), Ok(7));
    assert_eq!(dump.attr(Some(".cache.size")), dump.attr(Some("cache.size")));
}

#[test]
fn paths_below_a_base_have_several_components() {
    let dump = Context::new();
    let file = dump.attr(Some("file")).unwrap();
    assert_eq!(dump.sub_attr(file, "set.number"), dump.attr(Some("file.set.number")));
    let root = dump.attr(None).unwrap();
    assert_eq!(dump.sub_attr(root, "cache.size"), dump.attr(Some("cache.size")));
    let leaf = dump.attr(Some("cache.size")).unwrap();
    assert_eq!(failure(dump.sub_attr(leaf, "x")), fails(Status::NoKey, "No such key"));
}

#[test]
fn iteration_tells_missing_unset_and_leaf_apart() {
    let dump = Context::new();
    assert_eq!(failure(dump.first_child(Some("arch"))), fails(Status::NoData, "Key has no value"));
    assert_eq!(failure(dump.first_child(Some("arch.name"))), fails(Status::NoData, "Key has no value"));
    assert_eq!(
        failure(dump.first_child(Some("cache.size"))),
        fails(Status::Invalid, "Path is a leaf attribute")
    );
    let leaf = dump.attr(Some("cache.size")).unwrap();
    assert_eq!(failure(dump.next_child(leaf, None)), fails(Status::Invalid, "Path is a leaf attribute"));
    dump.set("arch", Value::Directory).unwrap();
    assert_eq!(dump.first_child(Some("arch")), Ok(None), "an empty directory is no error");
}

#[test]
fn iteration_follows_changes_made_meanwhile() {
    let dump = Context::new();
    let directory = dump.attr(Some("cache")).unwrap();
    let first = dump.first_child(Some("cache")).unwrap().unwrap();
    dump.clear(Some("cache.hits")).unwrap();
    dump.clear_attr(first.attr).unwrap();
    let next = dump.next_child(directory, Some(first.attr)).unwrap().unwrap();
    assert_eq!(next.key, "size");
    assert_eq!(dump.next_child(directory, Some(next.attr)), Ok(None));
}

#[test]
fn root_is_a_directory_that_can_be_set_and_cleared() {
    let dump = Context::new();
    let root = dump.attr(None).unwrap();
    assert_eq!(dump.attr_type(root), Some(Directory));
    assert_eq!(dump.attr_path(root).unwrap(), "");
    assert!(matches!(dump.get_attr(root), Ok(Value::Directory)));
    dump.set_attr(root, Value::Directory).unwrap();
    assert_eq!(failure(dump.set_attr(root, Value::Number(1))), fails(Status::Invalid, "Type mismatch"));
    assert_eq!(failure(dump.get("")), fails(Status::NoKey, "No such key"), "the empty path is not the root");
}

#[test]
fn clearing_the_root_clears_everything() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    vmcoreinfo(&dump, "OSRELEASE=5.4.3\nSYMBOL(a)=1\n").unwrap();
    set(&dump, "file.set.number", 2).unwrap();
    dump.clear(None).unwrap();
    for &(key, ..) in KEYS {
        assert_eq!(failure(dump.get(key)), fails(Status::NoData, "Key has no value"), "{key}");
    }
    assert!(!is_set(&dump, "addrxlat.default"));
    assert_eq!(failure(dump.first_child(None)), fails(Status::NoData, "Key has no value"));
    assert_eq!(failure(dump.attr(Some("file.set.0"))).0, Status::NoKey);
    // The tree still works.
    set(&dump, "cache.size", 3).unwrap();
    assert_eq!(keys(&dump, None), ["cache"]);
}

#[test]
fn clearing_a_directory_clears_all_below_it_and_nothing_else() {
    let dump = Context::new();
    set_text(&dump, "linux.uts.release", "5.4.3").unwrap();
    set_text(&dump, "linux.uts.nodename", "host").unwrap();
    dump.set("linux.phys_base", Value::Address(1)).unwrap();
    dump.clear(Some("linux.uts")).unwrap();
    assert!(!is_set(&dump, "linux.uts") && !is_set(&dump, "linux.uts.nodename"));
    assert_eq!(dump.address("linux.phys_base"), Ok(1));
    assert_eq!(failure(dump.number("linux.uts.release")), fails(Status::NoData, "Key has no value"));
    assert!(is_set(&dump, "linux"));
}

#[test]
fn references_to_unset_attributes_set_them_later() {
    let dump = Context::new();
    let name = dump.attr(Some("arch.name")).unwrap();
    assert!(!dump.attr_is_set(name));
    dump.set_attr(name, Value::from("s390x")).unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "s390x");
    assert!(is_set(&dump, "arch"));
    dump.clear_attr(name).unwrap();
    assert!(!dump.attr_is_set(name));
}

#[test]
fn references_to_deleted_attributes_are_refused_everywhere() {
    let dump = Context::new();
    set(&dump, "file.set.number", 2).unwrap();
    let gone = dump.attr(Some("file.set.1")).unwrap();
    let fd = dump.attr(Some("file.set.1.fd")).unwrap();
    set(&dump, "file.set.number", 1).unwrap();
    // The places are used again by other attributes.
    set(&dump, "file.set.number", 4).unwrap();
    let no_key = fails(Status::NoKey, "No such key");
    assert_eq!(failure(dump.get_attr(fd)), no_key);
    assert_eq!(failure(dump.set_attr(fd, Value::Number(1))), no_key);
    assert_eq!(failure(dump.clear_attr(fd)), no_key);
    assert_eq!(failure(dump.attr_path(fd)), no_key);
    assert_eq!(failure(dump.sub_attr(gone, "fd")), no_key);
    assert_eq!(failure(dump.next_child(gone, None)), no_key);
    let set = dump.attr(Some("file.set")).unwrap();
    assert_eq!(failure(dump.next_child(set, Some(gone))), no_key);
    assert_eq!((dump.attr_type(fd), dump.attr_is_set(fd)), (None, false));
}

#[test]
fn values_stay_as_they_were_when_the_attribute_changes() {
    let dump = Context::new();
    set_text(&dump, "linux.uts.nodename", "one").unwrap();
    let value = dump.get("linux.uts.nodename").unwrap();
    set_text(&dump, "linux.uts.nodename", "two").unwrap();
    dump.clear(None).unwrap();
    assert_eq!(value.as_str(), Some("one"));
}

#[test]
fn very_long_texts_and_extreme_numbers_are_kept() {
    let dump = Context::new();
    let long = "x".repeat(1 << 20);
    set_text(&dump, "linux.uts.version", &long).unwrap();
    assert_eq!(dump.string("linux.uts.version").unwrap(), long);
    set(&dump, "max_pfn", u64::MAX).unwrap();
    assert_eq!(dump.number("max_pfn"), Ok(u64::MAX));
    dump.set("xen.p2m_mfn", Value::Address(u64::MAX)).unwrap();
    assert_eq!(dump.address("xen.p2m_mfn"), Ok(u64::MAX));
    set_text(&dump, "arch.name", "").unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "");
}
