//! The built-in sample, which is always there.
//!
//! What it holds is known from the dump that it was cut from and from other
//! readers (`sample/README.md`).

mod common;

use common::run;
use serde_json::json;

const RELEASE: &str = "6.1.0-50-cloud-amd64";

#[test]
fn info_without_a_file_shows_the_sample_and_says_so() {
    let text = run(&["info"]).ok().text();
    let layout = "Layout    linux, page tables x86_64:12,9,9,9,9\n";
    for said in ["sample", RELEASE, "x86_64", layout, "371 pages", "CPU 1: pid 2", "Compressed KDUMP"] {
        assert!(text.contains(said), "{said}: {text}");
    }
    // Colours are for terminals.
    assert!(!text.contains('\x1b'), "{text}");
    assert_eq!(run(&["info", "sample:"]).ok().text(), text);
}

#[test]
fn info_as_json_has_what_its_help_lists() {
    let info = run(&["info", "--json"]).ok().json();
    assert_eq!(info["files"], json!(["sample:"]));
    assert_eq!(info["sample"], json!(true));
    assert_eq!(info["kernel"]["release"], json!(RELEASE));
    assert_eq!(info["arch"]["name"], json!("x86_64"));
    assert_eq!(info["arch"]["page_bytes"], json!(4096));
    assert_eq!(info["crash_time"], json!(null));
    // RAM is 0-0x9f and 0xc0-0x7fff.
    let (ram, present) = (0xa0 + 0x7f40, 371);
    assert_eq!(info["memory"]["ram_pages"], json!(ram));
    assert_eq!(info["memory"]["present_pages"], json!(present));
    assert_eq!(info["memory"]["excluded_pages"], json!(ram - present));
    assert_eq!(info["cpus"]["number"], json!(2));
    let layout = &info["layout"];
    assert_eq!((&layout["os"], &layout["page_tables"]), (&json!("linux"), &json!("x86_64:12,9,9,9,9")));
    assert_eq!(layout["direct_map"]["first"], json!("ffff888000000000"));
    assert_eq!(layout["kernel_text"]["first"], json!("ffffffff81000000"));
    let codecs = &info["codecs"];
    let counted: u64 =
        codecs["pages"].as_object().unwrap().values().map(|pages| pages.as_u64().unwrap()).sum();
    assert_eq!(json!(counted), info["memory"]["present_pages"]);
    assert!(codecs["pages"]["zlib"].as_u64().unwrap() > counted / 2, "the sample is packed with zlib");
    assert_eq!(
        info["cpus"]["list"][0],
        json!({"cpu": 0, "pid": 1, "register": "rip", "value": "ffffffff81a0dfeb"})
    );
    let missing: Vec<_> = info["missing"].as_array().unwrap().iter().map(|m| m["what"].clone()).collect();
    assert_eq!(missing, ["crash_time", "pages"]);

    let help = run(&["info", "--help"]).ok().text();
    for key in info.as_object().unwrap().keys() {
        assert!(help.contains(&format!("\n  {key} ")), "{key} is not in the help");
    }
}

#[test]
fn a_key_selects_an_attribute_or_a_directory() {
    let one = run(&["attr", "sample:", "--json", "--key", "arch.page_size"]).ok().json();
    assert_eq!(one, json!({"arch.page_size": {"type": "number", "value": 4096}}));
    let uts = run(&["attr", "sample:", "--json", "--key", "linux.uts", "--key", "cpu.0.pid"]).ok().json();
    assert_eq!(uts["linux.uts"], json!({"type": "directory"}));
    assert_eq!(uts["linux.uts.release"], json!({"type": "string", "value": RELEASE}));
    assert_eq!(uts["cpu.0.pid"], json!({"type": "number", "value": 1}));
    assert_eq!(uts.as_object().unwrap().len(), 8);
    let text = run(&["attr", "sample:", "--key", "arch.page_size"]).ok().text();
    assert_eq!(text, "arch.page_size = 4096 (0x1000)\n");
}

#[test]
fn a_key_that_does_not_exist_exits_with_1() {
    let done = run(&["attr", "sample:", "--key", "no.such.key"]);
    assert_eq!((done.code, done.stdout.len()), (Some(1), 0));
    assert_eq!(done.stderr, "kdumpfile: sample: no.such.key: No such key\n");
    let unset = run(&["attr", "sample:", "--key", "xen.type"]);
    assert_eq!(unset.stderr, "kdumpfile: sample: xen.type: Key has no value\n");
}

#[test]
fn pages_are_the_same_as_text_and_as_json() {
    let json = run(&["pages", "sample:", "--json"]).ok().json();
    assert_eq!(json["page_size"], 4096);
    let ranges = json["ranges"].as_array().unwrap();
    let pages: u64 = ranges.iter().map(|r| r[1].as_u64().unwrap() - r[0].as_u64().unwrap() + 1).sum();
    assert_eq!(pages, 371);
    let text = run(&["pages", "sample:"]).ok().text();
    assert_eq!(text.lines().count(), ranges.len() + 1);
    assert!(text.ends_with("total: 371 pages of 4 KiB (1.4 MiB)\n"), "{text}");
    let ram = run(&["pages", "sample:", "--json", "--memory"]).ok().json();
    assert_eq!(ram["ranges"], json!([[0, 0x9f], [0xc0, 0x7fff]]));
}

#[test]
fn the_hash_does_not_depend_on_the_number_of_threads() {
    let hash = |threads| run(&["hash", "sample:", "--json", "--threads", threads]).ok().json();
    let one = hash("1");
    assert_eq!(one["pages"], 371);
    assert_eq!((hash("2"), hash("7")), (one.clone(), one.clone()));

    // The same, from what the other commands say.
    let ranges = run(&["pages", "sample:", "--json"]).ok().json()["ranges"].clone();
    let mut memory = Vec::new();
    for range in ranges.as_array().unwrap() {
        let (first, last) = (range[0].as_u64().unwrap(), range[1].as_u64().unwrap());
        let (address, length) = ((first * 4096).to_string(), ((last - first + 1) * 4).to_string() + "K");
        memory.extend(run(&["read", "sample:", "--machine", &address, &length, "--raw"]).ok().stdout);
    }
    assert_eq!(memory.len(), 371 * 4096);
    assert_eq!(one["sha256"], sha256(&memory));
}

#[test]
fn a_damaged_page_is_left_out_and_reported() {
    let mut bytes = include_bytes!("../sample/vmcore.sample").to_vec();
    // The data of pages stands at the end; the last bytes belong to one page.
    let end = bytes.len();
    bytes[end - 16..].fill(0xff);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("damaged");
    std::fs::write(&path, bytes).unwrap();
    let done = run(&["hash".as_ref(), path.as_os_str(), "--json".as_ref()]);
    assert_eq!(done.code, Some(1));
    let object = done.json();
    assert_eq!((object["pages"].as_u64(), object["failed"].as_u64()), (Some(370), Some(1)));
    let error = object["error"].as_str().unwrap();
    assert!(error.starts_with("PFN 0x") && done.stderr.contains(error), "{}", done.stderr);
    assert!(done.stderr.contains("1 page could not be read"), "{}", done.stderr);
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

// linux_banner of a kernel without KASLR, whose physical base is 0.
const BANNER: &str = "0x211fa00";

#[test]
fn memory_is_shown_in_three_ways() {
    let expected = b"Linux version 6.1.0-50-cloud-amd64 (";
    let length = expected.len().to_string();
    let read = |more: &[&str]| run(&[&["read", "sample:", "--phys", BANNER, &length], more].concat()).ok();
    assert_eq!(read(&["--raw"]).stdout, expected);
    let hex: String = expected.iter().map(|byte| format!("{byte:02x}")).collect();
    let json = json!({"address": "211fa00", "length": expected.len(), "bytes": hex, "error": null});
    assert_eq!(read(&["--json"]).json(), json);
    let text = read(&[]).text();
    let line = "000000000211fa00  4c 69 6e 75 78 20 76 65  72 73 69 6f 6e 20 36 2e  |Linux version 6.|\n";
    assert!(text.starts_with(line), "{text}");
    assert_eq!(read(&["--hex"]).text(), text);
}

#[test]
fn what_can_be_read_before_an_excluded_page_is_written() {
    // Page 0x211f is there, page 0x2120 is not.
    let args = ["read", "sample:", "--phys", BANNER, "4K"];
    let json = run(&[&args[..], &["--json"]].concat());
    assert_eq!(json.code, Some(1));
    let object = json.json();
    assert_eq!(object["length"], 4096);
    assert_eq!(object["bytes"].as_str().unwrap().len(), 2 * 0x600);
    assert_eq!(object["error"], "Excluded page");
    let raw = run(&[&args[..], &["--raw"]].concat());
    assert_eq!((raw.code, raw.stdout.len()), (Some(1), 0x600));
    let expected = "kdumpfile: sample: 0x2120000: 1536 of 4096 bytes were read: Excluded page\nhint: ";
    assert!(raw.stderr.starts_with(expected), "{}", raw.stderr);
    let none = run(&["read", "sample:", "--machine", "0", "16"]);
    assert_eq!((none.code, none.stdout.len()), (Some(1), 0));
}

#[test]
fn search_lists_physical_and_virtual_addresses() {
    let text = run(&["search", "sample:", "Linux version 6.1"]).ok().text();
    let line = "000000000211fa00  ffff88800211fa00    17  |Linux version 6.1|\n";
    assert!(text.contains(line), "{text}");
    assert!(text.trim_end().ends_with("in 371 pages"), "{text}");

    let json = run(&["search", "--json", "sample:", "Linux version 6.1"]).ok().json();
    let matches = json["matches"].as_array().unwrap();
    assert_eq!(text.lines().count(), matches.len() + 1);
    let banner = matches.iter().find(|found| found["address"] == "211fa00").unwrap();
    let hex: String = b"Linux version 6.1".iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(banner["bytes"], hex);
    assert_eq!((&json["pages"], &json["failed"], &json["error"]), (&json!(371), &json!(0), &json!(null)));

    // The same bytes, said in other ways.
    let same = |args: &[&str]| {
        let json = run(&[&["search", "--json", "sample:"], args].concat()).ok().json();
        let addresses: Vec<_> =
            json["matches"].as_array().unwrap().iter().map(|m| m["address"].clone()).collect();
        assert!(addresses.contains(&json!("211fa00")), "{args:?}");
        addresses.len()
    };
    assert_eq!(same(&["--hex", "4c 69 6e 75 78 20 76 65 7273696f6e20362e31"]), matches.len());
    assert_eq!(same(&["--regex", r"(?i)LINUX VERSION 6\.1", "--threads", "3"]), matches.len());
    let number = u64::from_le_bytes(*b"Linux ve");
    assert!(same(&["--u64", &format!("{number:#x}")]) >= matches.len());
}

#[test]
fn a_search_can_be_limited_and_says_what_is_wrong_with_a_pattern() {
    let limited = run(&["search", "--json", "sample:", "--hex", "00", "--limit", "2"]).ok().json();
    assert_eq!((limited["matches"].as_array().unwrap().len(), &limited["limited"]), (2, &json!(true)));
    let nothing = run(&["search", "sample:", "no such text in memory: 5ae1"]).ok().text();
    assert_eq!(nothing, "total: 0 matches in 371 pages\n");
    for (args, said) in [
        (["--hex", "123"], "pairs of hex digits"),
        (["--regex", "a*"], "everywhere"),
        (["--regex", "("], "unclosed group"),
        (["--u64", "ff"], "ff: not a decimal number"),
        (["--text", ""], "nothing to search for"),
    ] {
        let done = run(&[&["search", "sample:"][..], &args].concat());
        assert_eq!(done.code, Some(2), "{args:?}");
        assert!(done.stderr.contains(said), "{}", done.stderr);
    }
}
