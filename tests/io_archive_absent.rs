//! Archives in a build that cannot read them: recognised, and refused with the
//! command that unpacks them.

#![cfg(not(feature = "archive-xz"))]

mod archive_support;

use archive_support::refused;
use kdumpfile::Status;

/// The refusal of an archive, for which `feature` is missing.
fn check(head: &[u8], feature: &str, name: &str, command: &str) {
    let text = format!(
        "Cannot unpack file #0: Built without feature {feature}, which reads {name}; unpack it first: \
         {command} FILE"
    );
    assert_eq!(refused(head), (Status::NotImplemented, text));
}

#[cfg(not(feature = "archive"))]
#[test]
fn without_feature_archive_archives_are_recognised_and_refused() {
    check(b"\x04\x22\x4d\x18\x64\x40\xa7\0\0\0\0\0", "archive", "lz4", "lz4 -d");
    check(b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "archive", "gzip", "gunzip");
    check(b"\x28\xb5\x2f\xfd\x04\0\0\0\0\0", "archive", "zstd", "zstd -d");
}

#[test]
fn without_feature_archive_xz_its_archives_are_recognised_and_refused() {
    let feature = if cfg!(feature = "archive") { "archive-xz" } else { "archive" };
    check(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46", feature, "xz", "unxz");
    check(b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff\0", feature, "lzma", "unlzma");
}
