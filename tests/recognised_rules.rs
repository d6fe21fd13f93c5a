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
fn domains_that_xl_saved_are_refused_by_name() {
    let (error, description) = refused(b"Xen saved domain, xl format\n \0 \r");
    assert_eq!(error.status(), Status::NotImplemented);
    assert!(error.message().contains("xl dump-core"), "{}", error.message());
    assert_eq!(description, "Xen saved domain (xl)");
}

#[test]
fn a_signature_that_is_cut_is_none() {
    let unknown = fails(Status::NotImplemented, "file #0: Unknown file format");
    assert_eq!(open_failure(&b"Xen saved domain, xl format"[..]), unknown);
}
