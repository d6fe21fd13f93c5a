//! How systems are set up for x86_64 and ia32, on machines made for each layout.
//!
//! Where Debian's libaddrxlat is installed, it has to come to the same maps and
//! methods, unless a test says why not.

mod ia32;
mod linux;
mod machine;
mod robust;
mod xen;

use std::path::Path;

use kdumpfile::xlat::os::{Options, OsType};
use kdumpfile::xlat::{Ctx, System};
use kdumpfile_testkit::peer;
use machine::{Machine, outcome};

/// Whether the peer comes to the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Peer {
    Same,
    /// It finds less, or something wrong, where the specification wants more.
    Less,
}

fn options_json(options: &Options) -> String {
    let mut items = Vec::new();
    let mut add = |name: &str, value: String| items.push(format!("\"{name}\": {value}"));
    if let Some(arch) = &options.arch {
        add("arch", format!("\"{arch}\""));
    }
    match options.os {
        Some(OsType::Linux) => add("os_type", "\"linux\"".into()),
        Some(OsType::Xen) => add("os_type", "\"xen\"".into()),
        _ => {}
    }
    let numbers = [
        ("version_code", options.version_code),
        ("phys_bits", options.phys_bits),
        ("virt_bits", options.virt_bits),
        ("page_shift", options.page_shift),
        ("phys_base", options.phys_base),
        ("xen_p2m_mfn", options.xen_p2m_mfn),
        ("xen_xlat", options.xen_xlat.map(u64::from)),
    ];
    for (name, value) in numbers {
        if let Some(value) = value {
            add(name, value.to_string());
        }
    }
    if let Some(root) = options.root {
        add("rootpgt", format!("[{}, {}]", root.space.0, root.addr));
    }
    format!("{{{}}}", items.join(", "))
}

fn peer_outcome(machine: &Machine, options: &Options) -> Option<Vec<String>> {
    if !peer::python_kdumpfile() {
        return None;
    }
    let input = format!("[{}, {}]", machine.json(), options_json(options));
    let script = include_str!("peer.py");
    let output = peer::pipe(Path::new(peer::PYTHON), &["-c", script], input.as_bytes()).unwrap();
    Some(String::from_utf8(output).unwrap().lines().map(String::from).collect())
}

/// Sets a machine up and compares with the peer.
fn set_up(machine: &Machine, options: &Options, expected: Peer) -> (Ctx, System, Vec<String>) {
    let (ctx, sys, lines) = outcome(machine, options);
    if let Some(theirs) = peer_outcome(machine, options) {
        match expected {
            Peer::Same => assert_eq!(lines, theirs, "ours, then the peer's"),
            Peer::Less => assert_ne!(lines, theirs, "the peer finds it as well"),
        }
    }
    (ctx, sys, lines)
}

/// The lines that begin with one of `starts`.
fn only<'a>(lines: &'a [String], starts: &[&str]) -> Vec<&'a str> {
    let wanted = |line: &&String| starts.iter().any(|start| line.starts_with(start));
    lines.iter().filter(wanted).map(String::as_str).collect()
}

/// The ranges of KV_PHYS that are not left to page tables.
fn special(lines: &[String]) -> Vec<&str> {
    let ranges = lines.iter().filter_map(|line| line.strip_prefix("KvPhys "));
    ranges.filter(|range| range.ends_with(" DIRECT") || range.ends_with(" KTEXT")).collect()
}
