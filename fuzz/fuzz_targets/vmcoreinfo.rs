//! VMCOREINFO: simple rows arrive, and a second parse changes nothing.

use std::collections::BTreeMap;

use kdumpfile::{Blob, Context, Value};
use kdumpfile_testkit::notes::Vmcoreinfo;

use crate::examine;
use crate::seeds::Seeds;

/// The bytes are the text.
pub fn run(data: &[u8]) {
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

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    let whole = Vmcoreinfo::linux("6.1.0-rc3+", 4096)
        .symbol("swapper_pg_dir", 0xffff_ffff_8260_a000)
        .size("page", 64)
        .offset("page", "flags", 0)
        .length("mem_section", 2048)
        .number("phys_base", -4096)
        .config("PGTABLE_LEVELS");
    seeds.add("whole", &[whole.text().as_bytes()]);
    seeds.add("crlf", &[&whole.clone().crlf().to_bytes()]);
    seeds.add("padded", &[&whole.without_final_newline().padded(9).to_bytes()]);
    let texts: [(&str, &[u8]); 6] = [
        ("dots", b"a=1\na.b=2\na.b.c=3\nx.y=4\nx=5\n.=6\n..=7\na..b=8\n.a=9\na.=10\n"),
        ("twice", b"PAGESIZE=4096\nPAGESIZE=8192\nSIZE(a)=1\nSIZE(a)=2\nSYMBOL(a)=zz\n"),
        ("bad-size", b"A=1\nPAGESIZE=4095\nB=2\n"),
        ("empty-names", b"=1\n\n==\nSIZE()=3\nSIZE(a)b=4\nSIZE(=5\nSIZE)=6\n()=7\nno equals\n"),
        (
            "numbers",
            b"NUMBER(a)=0x10\nNUMBER(b)=-1\nNUMBER(c)=99999999999999999999\nSYMBOL(d)=0X1\nLENGTH(e)=010\n",
        ),
        ("not-utf-8", b"\xff\xfe=\x80\nA\0B=C\0D\nSIZE(\xc3)=1\n"),
    ];
    for (name, text) in texts {
        seeds.add(name, &[text]);
    }
}
