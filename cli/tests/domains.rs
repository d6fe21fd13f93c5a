//! `kdumpfile domains` on built dumps of Xen.

mod common;

use std::ffi::OsStr;
use std::path::PathBuf;

use common::{Done, file, run};
use kdumpfile_testkit::elf::{Class, ElfBuilder, Section};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::xen::vcpu_context;
use kdumpfile_testkit::xc_core::XcCoreBuilder;
use kdumpfile_testkit::xen::Hypervisor;
use serde_json::{Value, json};

fn domains(path: &PathBuf, more: &[&str]) -> Done {
    let mut args: Vec<&OsStr> = vec!["domains".as_ref(), path.as_ref()];
    args.extend(more.iter().map(AsRef::<OsStr>::as_ref));
    run(&args)
}

fn hypervisor() -> Hypervisor {
    Hypervisor::new().cpu().cpu().domain(0).domain(3).domain(0x7fff)
}

#[test]
fn domains_of_a_machine_are_listed_with_what_the_dump_says_of_xen() {
    let path = file("xen-machine", &hypervisor().build());
    let text = domains(&path, &[]).ok().text();
    assert_eq!(
        text,
        "\
Xen       4.17.2-testkit, dump of the machine
CPUs      2 with registers
p2m       of dom0, from machine frame 0x1234 on
Domains   3
   id  struct domain
    0  ffff830000208000  dom0
    3  ffff830000208040
32767  ffff830000208080  DOMID_IDLE
"
    );
    let expected = json!({
        "scope": "system",
        "version": "4.17.2-testkit",
        "cpus": 2,
        "p2m_mfn": "1234",
        "domains": [
            {"id": 0, "address": "ffff830000208000", "dom0": true, "name": "dom0"},
            {"id": 3, "address": "ffff830000208040", "dom0": false, "name": null},
            {"id": 0x7fff, "address": "ffff830000208080", "dom0": false, "name": "DOMID_IDLE"},
        ],
        "error": null,
    });
    assert_eq!(domains(&path, &["--json"]).ok().json(), expected);
}

#[test]
fn a_damaged_list_is_shown_up_to_the_damage() {
    let path = file("xen-damaged", &hypervisor().link(1, 0xdead_0000).build());
    let done = domains(&path, &["--json"]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("Cannot read domain at 0xdead0000"), "{}", done.stderr);
    assert_eq!(done.json()["domains"].as_array().unwrap().len(), 2);
    assert!(done.json()["error"].as_str().unwrap().contains("0xdead0000"));
}

#[test]
fn vmcoreinfo_that_the_dump_lacks_may_be_given() {
    let bare = hypervisor().line("", "");
    let path = file("xen-bare", &bare.build());
    let done = domains(&path, &[]);
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("xen.vmcoreinfo.SYMBOL.domain_list is not set"), "{}", done.stderr);
    assert!(done.stderr.contains("hint: ") && done.stderr.contains("--scan"), "{}", done.stderr);
    let text = file("xen-bare.txt", hypervisor().vmcoreinfo().as_bytes());
    let done = domains(&path, &["--json", "--vmcoreinfo", text.to_str().unwrap()]).ok();
    assert_eq!(done.json()["domains"][1]["id"], 3);
}

#[test]
fn padding_of_a_note_is_no_part_of_its_text() {
    let padded = hypervisor().line("PAGESIZE=", &format!("PAGESIZE=4096\n{}", "\0".repeat(3000)));
    let path = file("xen-padded", &padded.build());
    let done = run(&["vmcoreinfo".as_ref(), path.as_os_str()]).ok();
    assert!(done.text().ends_with("PAGESIZE=4096\n"), "{:?}", done.text());
}

#[test]
fn vmcoreinfo_that_is_given_tells_whose_addresses_they_are() {
    let path = file("xen-both", &hypervisor().build());
    let linux = file("linux.txt", b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\n");
    let xen = file("xen.txt", hypervisor().vmcoreinfo().as_bytes());
    for (text, os) in [(linux, "linux"), (xen, "xen")] {
        let arguments = ["maps".as_ref(), "--json".as_ref(), path.as_os_str(), "--vmcoreinfo".as_ref()];
        let done = run(&[&arguments[..], &[text.as_os_str()]].concat());
        assert_eq!(done.json()["os"], os, "{}", done.stderr);
    }
}

#[test]
fn a_dump_of_one_domain_has_that_domain() {
    let order = ByteOrder::Little;
    let context = || vcpu_context(order, |i, _| i as u64);
    let old = XcCoreBuilder::pv(8).cpu(context()).cpu(context());
    let old = old.page(Some(9), vec![1; 4096]).page(Some(4), vec![2; 4096]).page(None, vec![0; 4096]);
    let elf = ElfBuilder::new(Class::Elf64, order, 62)
        .section(Section::xen_pages(vec![7; 3 * 4096]))
        .section(Section::xen_pfn(order, &[0, 1, 5]))
        .section(Section::xen_prstatus(context()));
    for (name, bytes, kind, vcpus, pages) in
        [("xc-old", old.build(), "PV", 2, 2), ("xc-elf", elf.build(), "HVM", 1, 3)]
    {
        let path = file(name, &bytes);
        let json = domains(&path, &["--json"]).ok().json();
        assert_eq!(json["domains"], json!([{"type": kind, "vcpus": vcpus, "pages": pages}]), "{name}");
        assert_eq!((&json["scope"], &json["cpus"]), (&json!("domain"), &Value::Null));
        let text = domains(&path, &[]).ok().text();
        for line in ["Xen       version not known, dump of one domain", &format!("Type      {kind}")] {
            assert!(text.lines().any(|have| have == line), "{text}");
        }
        assert!(text.contains(&format!("{pages} pages")), "{text}");
    }
}

#[test]
fn info_shows_the_layout_of_a_hypervisor() {
    let path = file("xen-info", &hypervisor().build());
    let info = run(&["info".as_ref(), "--json".as_ref(), path.as_os_str()]).ok().json();
    let layout = json!({
        "os": "xen",
        "page_tables": "x86_64:12,9,9,9,9",
        "direct_map": {"first": "ffff830000000000", "last": "ffff87ffffffffff"},
        "kernel_text": {"first": "ffff82d080000000", "last": "ffff82d0bfffffff"},
    });
    assert_eq!(info["layout"], layout);
}

#[test]
fn what_is_not_of_xen_says_so() {
    let done = run(&["domains", "sample:"]);
    assert_eq!((done.code, done.stdout.len()), (Some(1), 0));
    assert!(done.stderr.contains("this is no dump of Xen"), "{}", done.stderr);
}
