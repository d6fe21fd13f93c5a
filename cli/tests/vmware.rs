//! VMware states: the memory is found beside the state file.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{file, run};
use kdumpfile_testkit::image::page_bytes;
use kdumpfile_testkit::vmware::VmwareBuilder;

/// A state file in a folder of its own, with the memory beside it or not.
fn state(folder: &str, suffix: &str, memory: bool) -> PathBuf {
    let folder = file(&format!("{folder}.marker"), b"").with_extension("d");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("guest.{suffix}"));
    let tags = VmwareBuilder::new(0xBED2_BED2).group("memory").regions(&[(0, 0, 2), (2, 0x10_0000, 1)]);
    fs::write(&path, tags.build()).unwrap();
    if memory {
        fs::write(folder.join("guest.vmem"), (0..3).flat_map(page_bytes).collect::<Vec<u8>>()).unwrap();
    }
    path
}

#[test]
fn the_memory_beside_a_state_file_is_opened_with_it() {
    for suffix in ["vmss", "vmsn"] {
        let path = state(&format!("vmware-{suffix}"), suffix, true);
        let memory = path.with_extension("vmem");
        let (path, memory) = (path.to_str().unwrap(), memory.to_str().unwrap());
        let done = run(&["read", path, "--machine", "0x100000000", "4096", "--raw"]);
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        assert!(done.stdout == page_bytes(2));
        assert!(done.stderr.contains("guest.vmem"), "{}", done.stderr);
        // Both are named: nothing to say.
        let pages = run(&["pages", path, memory]).ok().text();
        assert!(pages.contains("total: 3 pages"), "{pages}");
        let info = run(&["info", memory, path]).ok().text();
        assert!(info.contains("VMware") && info.contains("12 KiB in 3 pages"), "{info}");
    }
}

#[test]
fn a_state_file_without_its_memory_is_refused_with_what_is_missing() {
    let path = state("vmware-alone", "vmss", false);
    let done = run(&["info", path.to_str().unwrap()]);
    assert_eq!((done.code, done.stdout.len()), (Some(1), 0));
    assert!(done.stderr.contains(".vmem"), "{}", done.stderr);
}
