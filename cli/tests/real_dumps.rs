//! Real dumps against their ground truth.

mod common;

use std::ffi::OsStr;

use common::{real_dumps, run, run_on};
use kdumpfile_testkit::dumps::{self, RealDump};
use serde_json::{Map, Value, json};

/// What the reference says, with `arch.name` set where it cannot find that out.
fn attributes(dump: &RealDump) -> Map<String, Value> {
    let reference = &dump.truth["reference"];
    let told = reference.get("with_arch_name").unwrap_or(&reference["as_opened"]);
    told["attributes"].as_object().unwrap().clone()
}

/// Where we know better than the reference: dump, attribute, value.
const BETTER: [(&str, &str, u64); 2] = [
    // The size of a pointer is 8 there, although the architecture is told.
    ("i386-pae-6.1.qemu-kdump-zlib", "arch.ptr_size", 4),
    // Not set there, although the architecture is told.
    ("s390x-6.1.qemu-kdump-zlib", "arch.pteval_size", 8),
];

/// Joins neighbours: the reference splits runs where a file of a set ends.
fn merged(ranges: &Value) -> Value {
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for range in ranges.as_array().expect("ranges") {
        let (first, last) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
        match merged.last_mut() {
            Some(before) if before.1 + 1 == first => before.1 = last,
            _ => merged.push((first, last)),
        }
    }
    json!(merged)
}

/// Attributes that the ground truth leaves out, or that only we have.
fn ours_alone(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap();
    let statistics = ["hits", "misses"].contains(&last);
    let file = path.starts_with("file.") && ["fd", "name"].contains(&last);
    // What QEMU says of its virtual CPUs.
    let control = last.strip_prefix("cr").is_some_and(|number| ["0", "1", "2", "3", "4"].contains(&number));
    let qemu = path.starts_with("cpu.") && (last == "QEMU" || control);
    statistics || file || qemu || path == "arch.inferred"
}

#[test]
fn attributes_are_those_of_the_ground_truth() {
    for dump in real_dumps() {
        let ours = run_on(&dump, "attr", &["--json"]).ok().json();
        let ours = ours.as_object().unwrap();
        let mut expected = attributes(&dump);
        for (_, path, value) in BETTER.iter().filter(|row| row.0 == dump.name) {
            expected.insert((*path).into(), json!({"type": "number", "value": value}));
        }
        for (path, expected) in &mut expected {
            if expected["type"] == "bitmap" {
                expected["value"] = merged(&expected["value"]);
            }
            assert_eq!(ours.get(path), Some(&*expected), "{}: {path}", dump.name);
        }
        let more = ours.keys().filter(|path| !expected.contains_key(*path) && !ours_alone(path));
        assert_eq!(more.collect::<Vec<_>>(), [""; 0], "{}", dump.name);
    }
}

#[test]
fn one_key_is_what_the_whole_tree_says() {
    for dump in real_dumps() {
        let whole = run_on(&dump, "attr", &["--json"]).ok().json();
        for key in ["arch.page_size", "file.format", "max_pfn"] {
            let one = run_on(&dump, "attr", &["--json", "--key", key]).ok().json();
            assert_eq!(one, json!({key: whole[key]}), "{}", dump.name);
        }
    }
}

#[test]
fn pages_are_those_of_the_ground_truth() {
    for dump in real_dumps() {
        for (option, path) in [(&["--json"][..], "file.pagemap"), (&["--json", "--memory"], "memory.pagemap")]
        {
            let expected = merged(&attributes(&dump)[path]["value"]);
            let page_size = dump.truth["reference"]["as_opened"]["pages"]["page_size"].clone();
            let ours = run_on(&dump, "pages", option).ok().json();
            assert_eq!(ours, json!({"page_size": page_size, "ranges": expected}), "{}", dump.name);
        }
    }
}

#[test]
fn the_hash_is_that_of_the_ground_truth() {
    for dump in real_dumps() {
        let pages = &dump.truth["reference"]["as_opened"]["pages"];
        let expected = json!({
            "pages": pages["read_ok"],
            "page_size": pages["page_size"],
            "sha256": pages["sha256"],
        });
        let ours = run_on(&dump, "hash", &["--json", "--threads", "3"]).ok().json();
        assert_eq!(ours, expected, "{}", dump.name);
    }
}

#[test]
fn info_knows_kernel_and_memory_and_time() {
    for dump in real_dumps() {
        let truth = dump.truth();
        let report = truth.as_opened();
        let info = run_on(&dump, "info", &["--json"]).ok().json();
        // Not every dump says it (s390x of QEMU: no VMCOREINFO, empty utsname).
        let said = ["linux.vmcoreinfo.lines.OSRELEASE", "linux.uts.release"];
        let release = said.into_iter().find_map(|path| report.string(path)).map(|_| truth.kernel_release());
        assert_eq!(info["kernel"]["release"], json!(release), "{}", dump.name);
        assert_eq!(info["arch"]["name"], truth.arch(), "{}", dump.name);
        assert_eq!(info["memory"]["present_pages"], report.pages().unwrap().read_ok, "{}", dump.name);
        // Beyond doubt, unless nothing but memory is in it.
        let evident = report.string("linux.vmcoreinfo.lines.OSRELEASE").is_some()
            || report.string("linux.uts.sysname").as_deref() == Some("Linux");
        let os = evident.then_some("linux");
        assert_eq!(info["layout"]["os"], json!(os), "{}", dump.name);
        assert_eq!(info["layout"]["page_tables"].is_string(), evident, "{}", dump.name);
        let time = report.string("linux.vmcoreinfo.lines.CRASHTIME").map(|text| text.parse::<i64>().unwrap());
        assert_eq!(info["crash_time"].get("unix").and_then(Value::as_i64), time, "{}", dump.name);
        let text = run_on(&dump, "info", &[]).ok().text();
        assert!(release.is_none_or(|release| text.contains(&release)) && !text.contains("sample"), "{text}");
    }
}

#[test]
fn a_split_set_without_a_part_says_what_is_missing() {
    let Some(mut dump) = dumps::real_dump("x86_64-6.1.kdump-zlib-d31-split") else { return };
    let whole = run_on(&dump, "pages", &["--json"]).ok().json();
    let left_out = dump.files.remove(1);
    let info = run_on(&dump, "info", &["--json"]).ok().json();
    assert_eq!(info["missing"][0]["what"], "parts", "{info:#}");
    let text = run_on(&dump, "info", &[]).ok().text();
    assert!(text.contains("a part of the split dump"), "{text}");

    // A page of the part: the hint tells, and --part helps.
    let left = run_on(&dump, "pages", &["--json"]).ok().json();
    let page = first_only_in(&whole, &left);
    let address = (page * 4096).to_string();
    let read = |parts: &[&OsStr]| {
        let mut args: Vec<&OsStr> = vec!["read".as_ref(), dump.files[0].as_ref(), "--phys".as_ref()];
        args.extend([address.as_ref(), "16".as_ref()] as [&OsStr; 2]);
        for part in parts {
            args.extend(["--part".as_ref(), *part]);
        }
        run(&args)
    };
    let without = read(&[dump.files[1].as_ref()]);
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("name all of its files"), "{}", without.stderr);
    read(&[left_out.as_ref(), dump.files[1].as_ref()]).ok();
}

/// The first page in `all` that is not in `some`.
fn first_only_in(all: &Value, some: &Value) -> u64 {
    let pages = |ranges: &Value| -> Vec<u64> {
        let ranges = ranges["ranges"].as_array().unwrap();
        ranges.iter().flat_map(|r| r[0].as_u64().unwrap()..=r[1].as_u64().unwrap()).collect()
    };
    let some = pages(some);
    pages(all).into_iter().find(|page| some.binary_search(page).is_err()).expect("a page of the missing part")
}

/// Memory without gaps: its address and its bytes.
fn memory(dump: &RealDump) -> Vec<(u64, Vec<u8>)> {
    let context = kdumpfile::Context::new();
    context.open_paths(&dump.files).unwrap();
    let mut parts: Vec<(u64, Vec<u8>)> = Vec::new();
    for run in context.pages().unwrap() {
        for address in run.unwrap().addresses() {
            let Ok(page) = context.page(kdumpfile::Space::MachinePhysical, address) else { continue };
            match parts.last_mut() {
                Some((start, bytes)) if *start + bytes.len() as u64 == address => bytes.extend(&*page),
                _ => parts.push((address, page.to_vec())),
            }
        }
    }
    parts
}

#[test]
fn search_finds_what_a_look_at_every_byte_finds() {
    let small = |dump: &RealDump| dump.files.iter().all(|file| file.metadata().unwrap().len() < 30 << 20);
    for dump in real_dumps().into_iter().filter(small) {
        let text = b"Linux version";
        let mut expected = Vec::new();
        for (address, bytes) in memory(&dump) {
            let places =
                (0..bytes.len()).filter(|at| bytes[*at] == text[0] && bytes[*at..].starts_with(text));
            expected.extend(places.map(|at| format!("{:x}", address + at as u64)));
        }
        assert!(!expected.is_empty(), "{}", dump.name);
        let mut args = vec!["search".into(), dump.files[0].clone(), "Linux version".into(), "--json".into()];
        args.extend(dump.files[1..].iter().flat_map(|part| ["--part".into(), part.clone()]));
        let json = run(&args).ok().json();
        let found: Vec<&str> =
            json["matches"].as_array().unwrap().iter().map(|m| m["address"].as_str().unwrap()).collect();
        assert_eq!(found, expected, "{}", dump.name);
    }
}
