//! Raw images of memory on the command line.

mod common;

use std::path::PathBuf;

use common::run;
use kdumpfile_testkit::image::page_bytes;

/// A file that is gone when the test is over.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("kdumpfile-raw-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Temporary(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_raw_image_reads_at_its_base() {
    let bytes: Vec<u8> = (0..8).flat_map(page_bytes).collect();
    let image = Temporary::new("one", &bytes);
    let args = ["read", image.path(), "--raw-at", "0x100000:x86_64", "--phys", "0x102000", "4096", "--raw"];
    assert!(run(&args).ok().stdout == page_bytes(2));
    let info = run(&["info", "--json", "--raw-at", "0x100000:x86_64", image.path()]).ok().json();
    assert_eq!(info["format"]["name"], "raw");
    assert_eq!(info["arch"]["name"], "x86_64");
    assert_eq!(info["arch"]["byte_order"], "little");
    assert_eq!(info["memory"]["max_pfn"], 264);
    assert!(run(&["info", "--raw-at", "0", image.path()]).ok().text().contains("Raw memory image"));
    assert!(run(&["hash", "--raw-at", "0", image.path()]).ok().text().contains('8'));
}

#[test]
fn parts_of_one_file_are_memory_at_several_places() {
    let bytes: Vec<u8> = (0..8).flat_map(page_bytes).collect();
    let image = Temporary::new("parts", &bytes);
    let places = ["--raw-at", "0@0+16K", "--raw-at", "0x100000@16384"];
    let read = |address: &str| {
        let mut args = vec!["read", image.path(), "--phys", address, "4096", "--raw"];
        args.extend(places);
        run(&args)
    };
    assert!(read("0x3000").ok().stdout == page_bytes(3));
    assert!(read("0x100000").ok().stdout == page_bytes(4));
    assert_eq!(read("0x4000").code, Some(1));
}

#[test]
fn places_that_make_no_sense_are_wrong_usage() {
    let image = Temporary::new("wrong", &[0; 4096]);
    for (at, said) in [("c0000000", "0x"), ("0:", "architecture"), ("0@0+0", "nothing to read")] {
        let done = run(&["info", "--raw-at", at, image.path()]);
        assert_eq!(done.code, Some(2), "{at}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{at}: {}", done.stderr);
    }
    let done = run(&["info", "--raw-at", "0", image.path(), image.path()]);
    assert_eq!(done.code, Some(2), "{}", done.stderr);
    assert!(done.stderr.contains("2 files, but 1 times --raw-at"), "{}", done.stderr);
}
