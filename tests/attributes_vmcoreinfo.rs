//! VMCOREINFO: text, rows, and what is derived from them.

mod context_support;

use context_support::{fails, failure, is_set, keys, set_text, vmcoreinfo};
use kdumpfile::attr::{Attributes, Effects};
use kdumpfile::{AttrType, Blob, Context, Status, Value};

fn with(text: impl AsRef<[u8]>) -> Context {
    let dump = Context::new();
    vmcoreinfo(&dump, text).unwrap();
    dump
}

fn xen(dump: &Context, text: &str) -> kdumpfile::Result<()> {
    dump.set("xen.vmcoreinfo.raw", Value::Blob(Blob::new(text.into())))
}

fn line(dump: &Context, key: &str) -> Option<String> {
    dump.string(&format!("linux.vmcoreinfo.lines.{key}")).ok()
}

fn number(dump: &Context, key: &str) -> Option<u64> {
    dump.number(&format!("linux.vmcoreinfo.{key}")).ok()
}

fn symbol(dump: &Context, name: &str) -> Option<u64> {
    dump.address(&format!("linux.vmcoreinfo.SYMBOL.{name}")).ok()
}

// --- Rows ------------------------------------------------------------------------

#[test]
fn rows_become_lines_and_typed_values() {
    let dump = with(
        "OSRELEASE=6.1.0-50-cloud-amd64\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=ffffffff82c1a2b0\n\
         OFFSET(page.flags)=0\nSIZE(page)=64\nLENGTH(zone.free_area)=11\nNUMBER(PG_lru)=4\n\
         NUMBER(phys_base)=-1241513984\nKERNELOFFSET=1f000000\nCRASHTIME=1700000000\n",
    );
    assert_eq!(line(&dump, "OSRELEASE").unwrap(), "6.1.0-50-cloud-amd64");
    assert_eq!(dump.string("linux.uts.release").unwrap(), "6.1.0-50-cloud-amd64");
    assert_eq!(dump.number("linux.version_code"), Ok(0x6_0100));
    assert_eq!(dump.number("arch.page_size"), Ok(4096));
    assert_eq!(dump.number("arch.page_shift"), Ok(12));
    assert_eq!(symbol(&dump, "init_uts_ns"), Some(0xffff_ffff_82c1_a2b0));
    assert_eq!(number(&dump, "OFFSET.page.flags"), Some(0));
    assert_eq!(number(&dump, "SIZE.page"), Some(64));
    assert_eq!(number(&dump, "LENGTH.zone.free_area"), Some(11));
    assert_eq!(number(&dump, "NUMBER.PG_lru"), Some(4));
    assert_eq!(dump.address("linux.phys_base"), Ok(1_241_513_984u64.wrapping_neg()));
    assert_eq!(line(&dump, "KERNELOFFSET").unwrap(), "1f000000");
    // Full paths work as if the dots were part of one name; iteration shows the nesting.
    assert_eq!(line(&dump, "OFFSET(page.flags)").unwrap(), "0");
    assert_eq!(keys(&dump, Some("linux.vmcoreinfo.lines.OFFSET(page")), ["flags)"]);
    assert_eq!(
        keys(&dump, Some("linux.vmcoreinfo")),
        ["SYMBOL", "SIZE", "OFFSET", "NUMBER", "LENGTH", "raw", "lines"]
    );
}

#[test]
fn directories_have_a_value_once_a_row_has_one() {
    let dump = with("A=1\n");
    assert!(is_set(&dump, "linux.vmcoreinfo.lines") && is_set(&dump, "linux"));
    assert!(!is_set(&dump, "linux.vmcoreinfo.SYMBOL"));
    vmcoreinfo(&dump, "SYMBOL(a)=1\n").unwrap();
    assert!(is_set(&dump, "linux.vmcoreinfo.SYMBOL"));
}

#[test]
fn rows_are_split_at_the_first_equals_sign_and_nothing_is_stripped() {
    let dump = with("A=1=2==\nB\n C = 3 \nD=\nE=x\r\nF\r\nlast=4");
    assert_eq!(line(&dump, "A").unwrap(), "1=2==");
    assert_eq!(line(&dump, "B").unwrap(), "", "no sign, no value");
    assert_eq!(line(&dump, " C ").unwrap(), " 3 ");
    assert_eq!(line(&dump, "D").unwrap(), "");
    assert_eq!(line(&dump, "E").unwrap(), "x\r");
    assert_eq!(line(&dump, "F\r").unwrap(), "");
    assert_eq!(line(&dump, "last").unwrap(), "4");
}

#[test]
fn values_with_a_carriage_return_are_no_numbers() {
    let dump = with("PAGESIZE=4096\r\nSYMBOL(a)=10\r\nNUMBER(b)=1\r\nOSRELEASE=5.4.3\r\n");
    assert!(!is_set(&dump, "arch.page_size"));
    assert_eq!((symbol(&dump, "a"), number(&dump, "NUMBER.b")), (None, None));
    assert_eq!(dump.string("linux.uts.release").unwrap(), "5.4.3\r");
}

#[test]
fn padding_and_blank_rows_are_harmless() {
    for text in ["", "\n", "\n\n\n", "\0", "\0\0\0\0", "=", "=x\n", "\0=1\n\n"] {
        let dump = with(text);
        assert!(is_set(&dump, "linux.vmcoreinfo.raw"), "{text:?}");
    }
    let dump = with("A=1\n\nB=2\n\0\0\0\0\0\0\n\0");
    assert_eq!((line(&dump, "A"), line(&dump, "B")), (Some("1".into()), Some("2".into())));
    let dump = with("K\0ey=1\nV=2\0x\n");
    assert_eq!(line(&dump, "K").unwrap(), "1", "a key is cut at the NUL");
    assert_eq!(line(&dump, "V").unwrap(), "2", "and so is a value");
}

#[test]
fn bytes_that_are_no_text_are_kept_apart() {
    let dump = with(b"\xff=1\nA=\x80\xfe\nB=2\n");
    assert!(is_set(&dump, "linux.vmcoreinfo.lines.A"));
    assert_eq!(line(&dump, "B").unwrap(), "2");
}

#[test]
fn the_last_of_equal_keys_counts() {
    let dump = with("NUMBER(a)=1\nA=x\nNUMBER(a)=2\nA=y\nNUMBER(a)=z\n");
    assert_eq!(line(&dump, "A").unwrap(), "y");
    assert_eq!(line(&dump, "NUMBER(a)").unwrap(), "z");
    assert_eq!(number(&dump, "NUMBER.a"), Some(2), "what is no number leaves the old one");
}

#[test]
fn numbers_are_read_as_the_kernels_tools_read_them() {
    for (text, hex, auto) in [
        ("10", Some(16), Some(10)),
        ("0x10", Some(16), Some(16)),
        ("0X1f", Some(31), Some(31)),
        ("010", Some(16), Some(8)),
        ("08", Some(8), None),
        ("-1", Some(u64::MAX), Some(u64::MAX)),
        ("+5", Some(5), Some(5)),
        (" \t7", Some(7), Some(7)),
        ("", Some(0), Some(0)),
        ("1ffffffffffffffff", Some(u64::MAX), None),
        ("99999999999999999999", Some(u64::MAX), Some(u64::MAX)),
        ("7 ", None, None),
        ("ff", Some(255), None),
        ("0x", None, None),
        ("x", None, None),
        ("1.5", None, None),
        ("--1", None, None),
    ] {
        let dump = with(format!("SYMBOL(s)={text}\nNUMBER(n)={text}\nSIZE(n)={text}\n"));
        assert_eq!(symbol(&dump, "s"), hex, "{text:?}");
        assert_eq!(number(&dump, "NUMBER.n"), auto, "{text:?}");
        assert_eq!(number(&dump, "SIZE.n"), auto, "{text:?}");
    }
}

#[test]
fn only_the_five_known_types_with_nothing_behind_are_derived() {
    let text = "SYMBOL(a)b=1\nSYMBOL(a=1\nSYMBOL=1\nsymbol(c)=1\nTYPE(d)=1\nSYMBOL (e)=1\nSYMBOL(f))=1\n\
                SYMBOL(g(h)=1\nSYMBOL()=7\n(i)=1\nNUMBER(x)=0x10\n";
    let dump = with(text);
    for name in ["a", "c", "d", "e", "f", "f)", "h", "i"] {
        assert_eq!(symbol(&dump, name), None, "{name}");
    }
    assert_eq!(symbol(&dump, "g(h"), Some(1), "up to the first closing parenthesis");
    assert_eq!(symbol(&dump, ""), Some(7));
    assert_eq!(number(&dump, "NUMBER.x"), Some(16));
    assert_eq!(line(&dump, "SYMBOL(a)b").unwrap(), "1");
}

// --- Odd keys ----------------------------------------------------------------------

#[test]
fn a_row_never_destroys_another() {
    let dump = with("A.B=1\nA=2\nC=3\nC.D=4\nC.D.E=5\n");
    assert_eq!(line(&dump, "A.B").unwrap(), "1");
    let a = dump.attr(Some("linux.vmcoreinfo.lines.A")).unwrap();
    assert_eq!(dump.attr_type(a), Some(AttrType::Directory), "the second row is dropped");
    assert_eq!(line(&dump, "C").unwrap(), "3");
    assert_eq!(line(&dump, "C.D"), None);
    let dump = with("NUMBER(a.b)=1\nNUMBER(a)=2\nSIZE(c)=3\nSIZE(c.d)=4\n");
    assert_eq!(number(&dump, "NUMBER.a.b"), Some(1));
    assert_eq!(number(&dump, "SIZE.c"), Some(3));
    assert_eq!(number(&dump, "SIZE.c.d"), None);
}

#[test]
fn keys_of_dots_are_odd_but_ordinary() {
    let dump = with(".A=1\nB..C=2\nD.=3\n..=4\n...=5\n.=6\nSYMBOL(.x)=7\nSYMBOL(y..z)=8\nNUMBER(.)=9\n");
    assert_eq!(line(&dump, ".A").unwrap(), "1");
    assert_eq!(line(&dump, "B..C").unwrap(), "2");
    assert_eq!(line(&dump, "D.").unwrap(), "3");
    assert_eq!(symbol(&dump, ".x"), Some(7));
    assert_eq!(symbol(&dump, "y..z"), Some(8));
    vmcoreinfo(&dump, "A=1\n").unwrap();
    assert_eq!(keys(&dump, Some("linux.vmcoreinfo.lines")), ["A"]);
}

#[test]
fn new_text_may_have_another_shape() {
    let dump = with("A.B.C=1\nX=1\n");
    vmcoreinfo(&dump, "A.B=2\nX.Y=2\n").unwrap();
    assert_eq!((line(&dump, "A.B").unwrap(), line(&dump, "X.Y").unwrap()), ("2".into(), "2".into()));
    assert_eq!(failure(dump.attr(Some("linux.vmcoreinfo.lines.A.B.C"))).0, Status::NoKey);
    vmcoreinfo(&dump, "A.B.C=3\nX=3\n").unwrap();
    assert_eq!((line(&dump, "A.B.C").unwrap(), line(&dump, "X").unwrap()), ("3".into(), "3".into()));
}

#[test]
fn very_long_names_and_many_rows_are_fine() {
    let name = "n".repeat(65_536);
    let deep = vec!["d"; 32_768].join(".");
    let dump = with(format!("{name}={name}\nSYMBOL({name})=1\n{deep}=2\nSIZE({deep})=3\n"));
    assert_eq!(line(&dump, &name).unwrap(), name);
    assert_eq!(symbol(&dump, &name), Some(1));
    assert_eq!(line(&dump, &deep).unwrap(), "2");
    assert_eq!(number(&dump, &format!("SIZE.{deep}")), Some(3));
    let leaf = dump.attr(Some(&format!("linux.vmcoreinfo.lines.{deep}"))).unwrap();
    assert_eq!(dump.attr_path(leaf).unwrap().len(), "linux.vmcoreinfo.lines.".len() + deep.len());
    dump.clear(Some("linux.vmcoreinfo.lines")).unwrap();
    assert!(!is_set(&dump, &format!("linux.vmcoreinfo.lines.{deep}")));
    let rows: String = (0..10_000).map(|i| format!("SYMBOL(s{i})={i:x}\n")).collect();
    vmcoreinfo(&dump, rows).unwrap();
    assert_eq!(symbol(&dump, "s9999"), Some(9999));
    assert_eq!(keys(&dump, Some("linux.vmcoreinfo.SYMBOL")).len(), 10_000);
    assert_eq!(keys(&dump, Some("linux.vmcoreinfo.SYMBOL"))[0], "s9999", "newest first");
    dump.clear(Some("linux.vmcoreinfo.raw")).unwrap();
    assert_eq!(keys(&dump, Some("linux.vmcoreinfo.SYMBOL")), [""; 0]);
}

#[test]
fn absurd_amounts_of_keys_are_bounded() {
    // Two bytes a directory: a text may not be turned into a hundred times its size.
    let dots = ".".repeat(3 << 20);
    let dump = with(format!("A=1\n{dots}=2\nB=3\n"));
    assert_eq!(line(&dump, "A").unwrap(), "1");
    assert_eq!(line(&dump, &dots), None, "dropped, but no error");
    assert_eq!(line(&dump, "B").unwrap(), "3");
}

// --- Consequences ------------------------------------------------------------------

#[test]
fn impossible_page_size_stops_the_text_there() {
    let dump = Context::new();
    let text = "Cannot set VMCOREINFO 'PAGESIZE': Cannot set page size: Invalid page size: 3000";
    let refused = failure(vmcoreinfo(&dump, "A=1\nPAGESIZE=3000\nB=2\n"));
    assert_eq!(refused, fails(Status::Corrupt, text));
    assert!(is_set(&dump, "linux.vmcoreinfo.raw"), "the value stays changed");
    assert_eq!((line(&dump, "A").unwrap(), line(&dump, "PAGESIZE").unwrap()), ("1".into(), "3000".into()));
    assert_eq!(failure(dump.attr(Some("linux.vmcoreinfo.lines.B"))).0, Status::NoKey);
    assert!(!is_set(&dump, "arch.page_size"));
    let refused = failure(set_text(&dump, "linux.vmcoreinfo.lines.PAGESIZE", "3001"));
    assert_eq!(refused, fails(Status::Corrupt, "Cannot set page size: Invalid page size: 3001"));
    set_text(&dump, "linux.vmcoreinfo.lines.PAGESIZE", "65536").unwrap();
    assert_eq!(dump.number("arch.page_size"), Ok(65536));
    for ignored in ["64k", "0x1000", "4096 "] {
        set_text(&dump, "linux.vmcoreinfo.lines.PAGESIZE", ignored).unwrap();
        assert_eq!(dump.number("arch.page_size"), Ok(65536), "{ignored}");
    }
}

#[test]
fn page_size_in_vmcoreinfo_is_decimal() {
    assert_eq!(with("PAGESIZE=0128\n").number("arch.page_size"), Ok(128));
}

#[test]
fn xen_has_its_own_rows_and_sets_only_the_physical_base() {
    let dump = Context::new();
    xen(&dump, "PAGESIZE=3000\nOSRELEASE=4.17.0\nSYMBOL(a)=10\nNUMBER(phys_base)=5\nX.Y=1\n").unwrap();
    assert!(!is_set(&dump, "arch.page_size") && !is_set(&dump, "linux.uts.release"));
    assert_eq!(dump.address("xen.vmcoreinfo.SYMBOL.a"), Ok(16));
    assert_eq!(dump.number("xen.vmcoreinfo.NUMBER.phys_base"), Ok(5));
    assert_eq!(dump.address("linux.phys_base"), Ok(5));
    assert_eq!(dump.string("xen.vmcoreinfo.lines.X.Y").unwrap(), "1");
    vmcoreinfo(&dump, "A=1\n").unwrap();
    dump.clear(Some("linux.vmcoreinfo.raw")).unwrap();
    assert_eq!(dump.address("xen.vmcoreinfo.SYMBOL.a"), Ok(16), "the two are apart");
}

#[test]
fn user_may_change_a_line_and_it_counts() {
    let dump = with("SYMBOL(a)=10\nNUMBER(phys_base)=1\nOSRELEASE=5.4.3\nA=1\n");
    set_text(&dump, "linux.vmcoreinfo.lines.SYMBOL(a)", "20").unwrap();
    assert_eq!(symbol(&dump, "a"), Some(32));
    set_text(&dump, "linux.vmcoreinfo.lines.OSRELEASE", "6.0.1").unwrap();
    assert_eq!(dump.number("linux.version_code"), Ok(0x6_0001));
    set_text(&dump, "linux.vmcoreinfo.lines.NUMBER(phys_base)", "2").unwrap();
    assert_eq!(dump.address("linux.phys_base"), Ok(2));
    dump.set("linux.vmcoreinfo.NUMBER.phys_base", Value::Number(3)).unwrap();
    assert_eq!(dump.address("linux.phys_base"), Ok(3));
    // The same text again changes nothing.
    dump.set("linux.vmcoreinfo.SYMBOL.a", Value::Address(1)).unwrap();
    set_text(&dump, "linux.vmcoreinfo.lines.SYMBOL(a)", "20").unwrap();
    assert_eq!(symbol(&dump, "a"), Some(1));
    // Only what is there can be written.
    assert_eq!(
        failure(set_text(&dump, "linux.vmcoreinfo.lines.new", "1")),
        fails(Status::NoData, "No such key")
    );
    dump.clear(Some("linux.vmcoreinfo.lines.SYMBOL(a)")).unwrap();
    assert_eq!(symbol(&dump, "a"), Some(1), "clearing a line does not reach what it gave");
    assert_eq!(line(&dump, "SYMBOL(a)"), None);
}

#[test]
fn same_blob_again_is_not_parsed_again() {
    let dump = Context::new();
    let blob = Blob::new(b"A=1\n".to_vec());
    dump.set("linux.vmcoreinfo.raw", Value::Blob(blob.clone())).unwrap();
    blob.set(b"A=2\n".to_vec()).unwrap();
    dump.set("linux.vmcoreinfo.raw", Value::Blob(blob)).unwrap();
    assert_eq!(line(&dump, "A").unwrap(), "1");
    vmcoreinfo(&dump, "A=2\n").unwrap();
    assert_eq!(line(&dump, "A").unwrap(), "2");
}

#[test]
fn clearing_the_text_deletes_its_rows_but_not_their_consequences() {
    let dump = with("PAGESIZE=65536\nOSRELEASE=5.4.3\nSYMBOL(a)=1\nNUMBER(phys_base)=7\nOFFSET(b.c)=1\n");
    let row = dump.attr(Some("linux.vmcoreinfo.lines.PAGESIZE")).unwrap();
    dump.clear(Some("linux.vmcoreinfo.raw")).unwrap();
    for key in ["lines.PAGESIZE", "SYMBOL.a", "OFFSET.b", "OFFSET.b.c", "NUMBER.phys_base"] {
        let path = format!("linux.vmcoreinfo.{key}");
        assert_eq!(failure(dump.get(&path)), fails(Status::NoKey, "No such key"), "{key}");
    }
    assert_eq!(failure(dump.get_attr(row)).0, Status::NoKey);
    for directory in ["lines", "SYMBOL", "OFFSET", "NUMBER"] {
        assert_eq!(keys(&dump, Some(&format!("linux.vmcoreinfo.{directory}"))), [""; 0], "{directory}");
    }
    assert_eq!(dump.number("arch.page_size"), Ok(65536));
    assert_eq!(dump.string("linux.uts.release").unwrap(), "5.4.3");
    assert_eq!(dump.address("linux.phys_base"), Ok(7));
}

#[test]
fn rows_and_what_they_give_mark_the_translation() {
    let tree = Attributes::new();
    let raw = tree.reference(Some("linux.vmcoreinfo.raw")).unwrap();
    let scope = tree.first_scope();
    let mut seen = scope.changes();
    let mut changed = || scope.changes() != core::mem::replace(&mut seen, scope.changes());
    let mut effects = Effects::default();
    tree.set(raw, Value::Blob(Blob::new(b"A=1\nSYMBOL(s)=1\nSIZE(t)=1\n".to_vec())), true, &mut effects)
        .unwrap();
    assert!(changed());
    for (path, value) in
        [("lines.A", Value::from("2")), ("SYMBOL.s", Value::Address(2)), ("SIZE.t", Value::Number(2))]
    {
        let attr = tree.reference(Some(&format!("linux.vmcoreinfo.{path}"))).unwrap();
        let mut effects = Effects::default();
        tree.set(attr, value, true, &mut effects).unwrap();
        assert!(changed(), "{path}");
        tree.clear(attr, &mut effects).unwrap();
        assert!(changed() || path == "lines.A", "{path}");
    }
}
