//! Exit codes and messages when there is nothing to read.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use common::{command, file, run};

#[test]
fn wrong_usage_exits_with_2_and_says_what_is_wrong() {
    for (args, said) in [
        (&[][..], "Usage"),
        (&["frobnicate"], "frobnicate"),
        (&["attr"], "FILE"),
        (&["pages", "--memory"], "FILE"),
        (&["hash", "sample:", "--threads", "0"], "threads"),
        (&["info", "--bogus"], "--bogus"),
        (&["info", "sample:", "other"], "no other FILE"),
        (&["read", "sample:", "0x1000", "64"], "--phys"),
        (&["read", "sample:", "--phys", "--machine", "0x1000", "64"], "--machine"),
        (&["read", "sample:", "--phys", "0x1000"], "LEN"),
        (&["read", "sample:", "--phys", "ffff8880", "64"], "0x"),
        (&["read", "sample:", "--phys", "0x1000", "0"], "nothing to read"),
        (&["read", "sample:", "--phys", "0xffffffffffffffff", "2"], "64 bits"),
        (&["read", "sample:", "--phys", "0x1000", "64", "--raw", "--json"], "--json"),
        (&["read", "sample:", "--virt", "ffff8880", "64"], "0x"),
        (&["read", "sample:", "--symbol", "0x1000", "64"], "symbol"),
        (&["read", "sample:", "--symbol", "init_task+x", "64"], "hex"),
        (&["read", "sample:", "--virt", "--symbol", "init_task", "64"], "--symbol"),
        (&["xlat", "sample:"], "ADDR"),
        (&["xlat", "sample:", "12 34"], "neither a hex number nor a symbol"),
        (&["xlat", "sample:", "1000", "--from", "virt"], "kphys"),
        (&["xlat", "sample:", "1000", "--to", "kv"], "kvaddr"),
        (&["xlat", "sample:", "1000", "--from", "kphys", "--walk"], "--from kv"),
        (&["xlat", "sample:", "1000", "--from", "mach", "--root", "1000"], "--from kv"),
        (&["xlat", "sample:", "init_task", "--from", "mach"], "virtual"),
        (&["xlat", "sample:", "1000", "--root", "phys:1000"], "phys"),
        (&["xlat", "sample:", "1000", "--os", "windows"], "linux"),
        (&["xlat", "sample:", "1000", "--set", "arch.name"], "KEY=VALUE"),
        (&["xlat", "sample:", "1000", "--set", "arch.bogus=1"], "No such key"),
        (&["xlat", "sample:", "1000", "--set", "arch.page_size=4X"], "arch.page_size"),
        (&["info", "sample:", "--set", "=1"], "KEY=VALUE"),
        (&["pages", "sample:", "--set", "linux.uts=1"], "only texts and numbers"),
        (&["info", "--set", "arch.bogus=1"], "No such key"),
        (&["info", "sample:", "--set", "file.set.0.base=1000"], "--raw-at"),
        (&["info", "sample:", "--set", "file.fd=0"], "command line"),
        (&["regs", "sample:", "zero"], "CPU"),
        (&["vmcoreinfo", "sample:", "--use", "0"], "--use"),
        (&["vmcoreinfo", "sample:", "--scan", "--os", "xen"], "--os"),
    ] {
        let done = run(args);
        assert_eq!(done.code, Some(2), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{args:?}: {}", done.stderr);
        assert!(done.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn every_command_has_a_help_with_examples() {
    for command in ["info", "attr", "pages", "hash", "read", "xlat", "maps", "regs", "domains", "vmcoreinfo"]
    {
        let help = run(&[command, "--help"]).ok().text();
        assert!(help.contains("Examples:") && help.contains("JSON"), "{help}");
        assert!(help.contains(&format!("kdumpfile {command}")), "{help}");
    }
    let help = run(&["--help"]).ok().text();
    assert!(help.contains("Exit codes") && help.contains("Examples:"), "{help}");
}

#[test]
fn a_missing_file_is_named_and_exits_with_1() {
    for command in ["info", "attr", "pages", "hash", "maps", "regs", "domains", "vmcoreinfo"] {
        let done = run(&[command, "/nonexistent/vmcore"]);
        assert_eq!((done.code, done.stdout.len()), (Some(1), 0));
        let start = "kdumpfile: Cannot open /nonexistent/vmcore: No such file";
        assert!(done.stderr.starts_with(start), "{}", done.stderr);
    }
    let done = run(&["read", "/nonexistent/vmcore", "--phys", "0", "1", "--part", "/nonexistent/2"]);
    assert!(done.code == Some(1) && done.stderr.contains("/nonexistent/vmcore"), "{}", done.stderr);
}

#[test]
fn what_is_no_dump_gets_an_advice() {
    let empty = file("empty", b"");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let noise = file("noise", &[0x5a; 8192]);
    for (path, said) in
        [(&empty, "is empty"), (&folder, "is a folder"), (&noise, "recognised only: mclxcd, xl_save")]
    {
        let done = run(&["info".as_ref(), path.as_os_str()]);
        assert_eq!(done.code, Some(1), "{}", done.stderr);
        let mut lines = done.stderr.lines();
        let error = lines.next().unwrap();
        assert!(error.starts_with("kdumpfile: ") && error.contains(path.to_str().unwrap()), "{error}");
        let hint = lines.next().unwrap();
        assert!(hint.starts_with("hint: ") && hint.contains(said), "{hint}");
    }
}

#[test]
fn an_archive_that_must_be_unpacked_says_how() {
    // A zstd frame that needs a dictionary.
    let packed = file("packed.zst", b"\x28\xb5\x2f\xfd\x01\x38\x07\x01\0\0");
    let done = run(&["info".as_ref(), packed.as_os_str()]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("packed.zst") && done.stderr.contains("zstd -d"), "{}", done.stderr);
}

#[test]
fn a_reader_that_goes_away_ends_the_program_quietly() {
    for args in [&["attr", "sample:"][..], &["pages", "sample:", "--json"], &["info"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let done = child.wait_with_output().unwrap();
        assert!(done.stderr.is_empty(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(done.status.code(), Some(0), "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let done = command(&["info"]).stdout(full).output().unwrap();
    assert_eq!(done.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&done.stderr).contains("Cannot write the output"));
}
