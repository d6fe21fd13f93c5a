//! Dumps of real kernels against the ground truth beside them: attributes,
//! page ranges and the hash of all pages, in every build of the library.
//!
//! `cargo test --test real_dumps -- --nocapture` prints the dumps and checks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use kdumpfile::arch::Arch;
use kdumpfile::{AttrRef, Bitmap, Context, Space, Value};
use kdumpfile_testkit::dumps::{RealDump, fresh_dumps, real_dumps};
use kdumpfile_testkit::image::{PageHasher, sha256_hex};
use kdumpfile_testkit::truth::AttrValue;

/// Opens the files by path where there is `std`.
#[cfg(feature = "std")]
fn open(files: &[PathBuf]) -> Context {
    let dump = Context::new();
    dump.open_paths(files).unwrap();
    dump
}

/// Opens the files as byte slices, which is all that a build without `std` has.
#[cfg(not(feature = "std"))]
fn open(files: &[PathBuf]) -> Context {
    use kdumpfile::io::Source;
    use kdumpfile::sync::Shared;

    let dump = Context::new();
    let sources = files.iter().map(|file| Shared::new(std::fs::read(file).unwrap()) as Source);
    dump.open(sources.collect()).unwrap();
    dump
}

fn all_dumps() -> Vec<RealDump> {
    real_dumps().unwrap_or_default().into_iter().chain(fresh_dumps()).collect()
}

fn ranges(bitmap: &Bitmap) -> Vec<(u64, u64)> {
    bitmap.ranges().map(|range| range.expect("bits can be read")).collect()
}

/// Ranges that touch (the reference does not merge them across files) are one.
fn merged(truth: &[std::ops::RangeInclusive<u64>]) -> Vec<(u64, u64)> {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for range in truth {
        match merged.last_mut() {
            Some(last) if last.1 + 1 == *range.start() => last.1 = *range.end(),
            _ => merged.push((*range.start(), *range.end())),
        }
    }
    merged
}

/// All attributes that have a value, but for what depends on how the files
/// were opened and on what was read.
fn attributes(dump: &Context) -> BTreeMap<String, Value> {
    fn walk(dump: &Context, directory: AttrRef, all: &mut BTreeMap<String, Value>) {
        let mut at = dump.next_child(directory, None).unwrap();
        while let Some(entry) = at {
            let value = dump.get_attr(entry.attr).unwrap();
            let is_directory = matches!(value, Value::Directory);
            all.insert(dump.attr_path(entry.attr).unwrap(), value);
            if is_directory {
                walk(dump, entry.attr, all);
            }
            at = dump.next_child(directory, Some(entry.attr)).unwrap();
        }
    }
    let mut all = BTreeMap::new();
    walk(dump, dump.attr(None).unwrap(), &mut all);
    all.retain(|path, _| is_fact(path));
    all
}

fn is_fact(path: &str) -> bool {
    let statistic = path.ends_with(".hits") || path.ends_with(".misses");
    let file = path.starts_with("file.") && (path.ends_with(".fd") || path.ends_with(".name"));
    !statistic && !file
}

fn same(value: &Value, truth: &AttrValue) -> bool {
    match (value, truth) {
        (Value::Directory, AttrValue::Directory) => true,
        (Value::String(a), AttrValue::String(b)) => **a == **b,
        (Value::Number(a), AttrValue::Number(b)) | (Value::Address(a), AttrValue::Address(b)) => a == b,
        (Value::Bitmap(a), AttrValue::Bitmap(b)) => ranges(a) == merged(b),
        (Value::Blob(a), AttrValue::Blob { sha256, .. }) => sha256_hex(&a.to_vec()) == *sha256,
        _ => false,
    }
}

/// Compares all attributes; returns how many there are.
fn check_attributes(real: &RealDump, dump: &Context) -> usize {
    let mut ours = attributes(dump);
    let inferred = ours.remove("arch.inferred");
    // Where the reference does not know the architecture, it was told by hand
    // for a second report.
    let report = real.truth().with_arch_name().unwrap_or_else(|| real.truth().as_opened());
    assert_eq!(inferred.is_some(), real.truth().with_arch_name().is_some(), "{}", real.name);
    let mut truth = report.attributes();
    if inferred.is_some() {
        // QEMU writes 64-bit headers for an i386 guest with more than 4 GiB of
        // address space; the size of a pointer is the guest's. The reference
        // loses the size of an entry when the name is set before the open.
        let arch = Arch::from_name(&real.truth().arch()).unwrap();
        let size = AttrValue::Number(arch.pointer_size().into());
        truth.insert("arch.ptr_size".into(), size.clone());
        if arch != Arch::Ia32 {
            truth.insert("arch.pteval_size".into(), size);
        }
    }
    // Debian's library, which the fresh ones come from, is older than the
    // reference and says which attributes it has never heard of.
    let unknown = real.truth.pointer("/reference/attributes_unknown_to_library");
    for path in
        unknown.and_then(|paths| paths.as_array()).into_iter().flatten().filter_map(|path| path.as_str())
    {
        ours.remove(path);
        truth.remove(path);
    }
    truth.retain(|path, _| is_fact(path));
    for (path, expected) in &truth {
        let value = ours.remove(path);
        let agrees = value.as_ref().is_some_and(|value| same(value, expected));
        assert!(agrees, "{}: {path} is {value:?}, not {expected:?}", real.name);
    }
    // The reference ignores what QEMU says of its virtual CPUs.
    let states = ours.contains_key("cpu.0.QEMU");
    for cpu in truth.keys().filter_map(|path| path.strip_suffix(".PRSTATUS")).filter(|_| states) {
        let cr3 = ours.get(&format!("{cpu}.reg.cr3"));
        assert!(matches!(cr3, Some(Value::Number(root)) if *root != 0), "{}: {cpu} {cr3:?}", real.name);
        for name in ["QEMU", "reg.cr0", "reg.cr1", "reg.cr2", "reg.cr3", "reg.cr4"] {
            assert!(ours.remove(&format!("{cpu}.{name}")).is_some(), "{}: {cpu}.{name}", real.name);
        }
    }
    assert!(ours.is_empty(), "{}: more than the reference has: {ours:?}", real.name);
    truth.len()
}

/// Compares the hash of all pages in the dump; returns how many there are.
fn check_pages(real: &RealDump, dump: &Context) -> u64 {
    let truth = real.truth().as_opened().pages().expect("the ground truth has pages");
    assert_eq!(truth.read_failed, 0, "{}", real.name);
    let mut hasher = PageHasher::new(truth.page_size);
    let mut page = vec![0; usize::try_from(truth.page_size).unwrap()];
    for (first, last) in ranges(&dump.bitmap("file.pagemap").unwrap()) {
        for pfn in first..=last {
            dump.read(Space::MachinePhysical, pfn * truth.page_size, &mut page).unwrap();
            hasher.page(pfn, &page);
        }
    }
    let ours = hasher.finish();
    assert_eq!(ours.read_ok, truth.read_ok, "{}", real.name);
    assert_eq!(ours.zero_pages, truth.zero_pages, "{}", real.name);
    assert_eq!(ours.sha256, truth.sha256, "{}", real.name);
    truth.read_ok
}

#[test]
fn attributes_and_pages_of_real_dumps_are_those_of_the_ground_truth() {
    let build = if cfg!(feature = "std-threads") {
        "std-threads, by path"
    } else if cfg!(feature = "std") {
        "std, by path"
    } else if cfg!(feature = "spin-threads") {
        "spin-threads, from byte slices"
    } else {
        "no features, from byte slices"
    };
    for real in all_dumps() {
        let start = Instant::now();
        let dump = open(&real.files);
        let attributes = check_attributes(&real, &dump);
        let pages = check_pages(&real, &dump);
        let seconds = start.elapsed().as_secs_f64();
        println!("{}: {attributes} attributes, {pages} pages equal ({build}, {seconds:.1} s)", real.name);
    }
}

#[test]
fn pages_of_a_dump_are_the_same_through_clones_of_its_context() {
    for real in all_dumps().into_iter().take(1) {
        let dump = open(&real.files);
        let other = dump.clone();
        drop(dump);
        assert!(check_pages(&real, &other) > 0);
    }
}
