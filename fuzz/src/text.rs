//! Notes and VMCOREINFO.

use std::collections::BTreeMap;

use kdumpfile::arch::ByteOrder;
use kdumpfile::{Blob, Context, Value, notes};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::elf::ElfBuilder;

use crate::examine;
use crate::input::Input;

/// Byte 0 picks the architecture, the others are its notes.
pub fn run_notes(data: &[u8]) {
    let mut input = Input(data);
    let arch = input.one_of(&Arch::ALL);
    let bytes = input.0;
    for order in [ByteOrder::Little, ByteOrder::Big] {
        let mut sum = 0;
        for note in notes::notes(bytes, order) {
            assert!(note.name.len() + note.desc.len() <= bytes.len());
            sum += 12 + note.name.len() + note.desc.len();
        }
        assert!(sum <= bytes.len(), "notes overlap");
    }
    let dump = Context::new();
    let file = ElfBuilder::for_arch(arch).note(bytes).load(0x1000, [7; 4096]).build();
    let opened = dump.open_bytes(file);
    assert_eq!(dump.last_error().is_some(), opened.is_err());
    examine::attributes(&dump);
}

/// The bytes are the text.
pub fn run_vmcoreinfo(data: &[u8]) {
    let dump = Context::new();
    for os in ["linux", "xen"] {
        let raw = format!("{os}.vmcoreinfo.raw");
        // A new object each time: setting what is there already does nothing.
        let value = || Value::Blob(Blob::new(data.to_vec()));
        let parsed = dump.set(&raw, value());
        if parsed.is_ok() {
            rows_arrived(&dump, os, data);
        }
        examine::attributes(&dump);
        // The same text again is the same tree again.
        let lines = lines(&dump, os);
        assert_eq!(dump.set(&raw, value()).is_ok(), parsed.is_ok());
        assert!(self::lines(&dump, os) == lines, "a second parse differs");
    }
    dump.clear(Some("linux.vmcoreinfo.raw")).expect("the key exists");
    assert!(lines(&dump, "linux").is_empty());
    examine::attributes(&dump);
}

/// Rows whose key is one component of a path, and prefix of no other, say what
/// the last of them says.
fn rows_arrived(dump: &Context, os: &str, data: &[u8]) {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for row in data.split(|byte| *byte == b'\n') {
        let mut halves = row.splitn(2, |byte| *byte == b'=');
        let text = |half: Option<&[u8]>| {
            let half = half.unwrap_or_default();
            let end = half.iter().position(|byte| *byte == 0).unwrap_or(half.len());
            String::from_utf8_lossy(&half[..end]).into_owned()
        };
        let key = text(halves.next());
        rows.insert(key, text(halves.next()));
    }
    let dotted: Vec<&String> = rows.keys().filter(|key| key.contains('.')).collect();
    for (key, value) in rows.iter().filter(|(key, _)| !key.is_empty() && !key.contains('.')) {
        if dotted.iter().any(|other| other.starts_with(&format!("{key}."))) {
            continue;
        }
        let got = dump.string(&format!("{os}.vmcoreinfo.lines.{key}"));
        assert_eq!(got.ok().as_ref(), Some(value), "row {key:?}");
    }
}

/// All rows at the first level, in the order of iteration.
fn lines(dump: &Context, os: &str) -> Vec<(String, Option<String>)> {
    let path = format!("{os}.vmcoreinfo.lines");
    let mut all = Vec::new();
    let Ok(directory) = dump.attr(Some(&path)) else { return all };
    let mut entry = dump.first_child(Some(&path)).unwrap_or(None);
    while let Some(found) = entry {
        let value = dump.get_attr(found.attr).ok().and_then(|value| value.as_str().map(String::from));
        all.push((found.key, value));
        entry = dump.next_child(directory, Some(found.attr)).expect("siblings can be iterated");
    }
    all
}
