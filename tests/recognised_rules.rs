//! Files that are recognised and refused.

mod support;

use kdumpfile::{Context, Error, Status};
use support::{fails, open_failure, source};

/// The failure to open this file, and the description of the file.
fn refused(bytes: &[u8]) -> (Error, String) {
    let dump = Context::new();
    let error = dump.open(vec![source(bytes)]).unwrap_err();
    assert!(dump.string("file.format").is_err());
    (error, dump.string("file.description").unwrap().to_string())
}

#[test]
fn saved_xen_domains_are_refused_by_name() {
    let (error, description) = refused(b"LinuxGuestRecord\0\0\x01\0(domain)");
    assert_eq!(error.status(), Status::NotImplemented);
    assert_eq!(error.message(), "file #0: Xen xc_save files not yet implemented");
    assert_eq!(description, "Xen xc_save");

    let (error, description) = refused(b"Xen saved domain, xl format\n \0 \r");
    assert_eq!(error.status(), Status::NotImplemented);
    assert!(error.message().contains("xl dump-core"), "{}", error.message());
    assert_eq!(description, "Xen saved domain (xl)");
}

/// A header of 64 or 32 bits with kind, machine and bug check.
fn windows(wide: bool, kind: u32, machine: u32, bug_check: u32) -> Vec<u8> {
    let mut bytes = vec![0; 0x2000];
    bytes[..8].copy_from_slice(if wide { b"PAGEDU64" } else { b"PAGEDUMP" });
    let places = if wide { [0xf98, 0x30, 0x38] } else { [0xf88, 0x20, 0x28] };
    for (at, number) in places.into_iter().zip([kind, machine, bug_check]) {
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

#[test]
fn a_windows_dump_is_described_and_its_readers_are_named() {
    for (file, text) in [
        (windows(true, 1, 0x8664, 0x1e), "64 bits, full, x86_64, bug check 0x1e"),
        (windows(true, 6, 0xaa64, 0xd1), "64 bits, kernel with bitmap, aarch64, bug check 0xd1"),
        (windows(true, 77, 0x5032, 0), "64 bits, kind 0x4d, machine 0x5032, bug check 0x0"),
        (windows(false, 2, 0x14c, 0xc000_021a), "32 bits, kernel, ia32, bug check 0xc000021a"),
    ] {
        let (error, description) = refused(&file);
        assert_eq!(description, format!("Windows crash dump ({text})"));
        assert_eq!(error.status(), Status::NotImplemented);
        assert!(error.message().contains(&description), "{}", error.message());
        assert!(error.message().contains("WinDbg") && error.message().contains("volatility3"));
    }
}

#[test]
fn a_windows_dump_cut_behind_its_signature_is_one_still() {
    let (error, description) = refused(b"PAGEDUMP");
    assert_eq!(error.status(), Status::NotImplemented);
    assert_eq!(description, "Windows crash dump (32 bits, kind 0x0, machine 0x0, bug check 0x0)");
}

#[test]
fn a_signature_that_is_cut_is_none() {
    for signature in [&b"LinuxGuestRecor"[..], b"Xen saved domain, xl format", b"PAGEDU6", b"PAGEDUM"] {
        let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
        assert_eq!(open_failure(signature), unknown);
    }
}
