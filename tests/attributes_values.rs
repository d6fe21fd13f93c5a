//! Blobs, bitmaps, registers inside of notes, and values computed on demand.

mod context_support;

use context_support::{fails, failure};
use kdumpfile::attr::{Attributes, BitSource, Effects, Facts, Geometry, LazyValue, RunList};
use kdumpfile::sync::{Counter, Shared};
use kdumpfile::{AttrType, Bitmap, Blob, Context, Error, Result, Status, Value};

/// A tree with a note of eight bytes and registers that look into it.
fn cpu() -> (Attributes, Blob) {
    let tree = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&tree, &mut effects);
    let note = Blob::new(vec![1, 2, 3, 4, 5, 6, 7, 8]);
    facts.set("cpu.0.PRSTATUS", Value::Blob(note.clone())).unwrap();
    for (key, offset, length) in [
        ("b", 0, 1),
        ("h", 1, 2),
        ("w", 2, 4),
        ("q", 0, 8),
        ("three", 0, 3),
        ("far", 6, 4),
        ("end", u32::MAX, 8),
    ] {
        facts.set_view(&format!("cpu.0.reg.{key}"), "PRSTATUS", offset, length).unwrap();
    }
    facts.set_view("cpu.0.pid", "PRSTATUS", 4, 4).unwrap();
    (tree, note)
}

fn get(tree: &Attributes, path: &str) -> Result<u64> {
    tree.get(tree.reference(Some(path))?).map(|value| value.as_number().unwrap())
}

fn put(tree: &Attributes, path: &str, value: Value) -> Result<()> {
    tree.set(tree.reference(Some(path))?, value, true, &mut Effects::default())
}

fn number(tree: &Attributes, path: &str, number: u64) -> Result<()> {
    put(tree, path, Value::Number(number))
}

fn clear(tree: &Attributes, path: &str) {
    tree.clear(tree.reference(Some(path)).unwrap(), &mut Effects::default()).unwrap();
}

// --- Registers ------------------------------------------------------------------

#[test]
fn registers_are_read_in_the_byte_order_of_the_dump() {
    let (tree, _) = cpu();
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(1));
    assert_eq!(get(&tree, "cpu.0.reg.h"), Ok(0x0203));
    assert_eq!(get(&tree, "cpu.0.pid"), Ok(0x0506_0708));
    number(&tree, "arch.byte_order", 1).unwrap();
    assert_eq!(get(&tree, "cpu.0.reg.h"), Ok(0x0302));
    assert_eq!(get(&tree, "cpu.0.reg.w"), Ok(0x0605_0403));
    assert_eq!(get(&tree, "cpu.0.reg.q"), Ok(0x0807_0605_0403_0201));
    assert_eq!(tree.number("cpu.0.reg.h"), Some(0x0302), "the library reads them likewise");
}

#[test]
fn registers_are_written_where_they_stand() {
    let (tree, note) = cpu();
    number(&tree, "cpu.0.reg.h", 0xabcd_ef01).unwrap();
    assert_eq!(note.to_vec(), [1, 0xef, 0x01, 4, 5, 6, 7, 8]);
    assert_eq!(get(&tree, "cpu.0.reg.h"), Ok(0xef01), "cut to its size");
    // Never read before, and zero: written all the same.
    number(&tree, "cpu.0.pid", 0).unwrap();
    assert_eq!(note.to_vec()[4..], [0; 4]);
    let pin = note.pin();
    number(&tree, "cpu.0.reg.b", 9).unwrap();
    assert_eq!(note.to_vec()[0], 9, "a pin keeps the bytes from being replaced, not from changing");
    drop(pin);
}

#[test]
fn registers_follow_the_note() {
    let (tree, note) = cpu();
    note.set(vec![0xff; 8]).unwrap();
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(0xff));
    note.set(vec![]).unwrap();
    let short = fails(Status::Corrupt, "Value cannot be revalidated: PRSTATUS attribute too short");
    assert_eq!(failure(get(&tree, "cpu.0.reg.b")), short);
    assert_eq!(
        failure(number(&tree, "cpu.0.reg.b", 1)),
        fails(Status::Corrupt, "PRSTATUS attribute too short")
    );
    put(&tree, "cpu.0.PRSTATUS", Value::Blob(Blob::new(vec![7; 8]))).unwrap();
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(7));
    clear(&tree, "cpu.0.PRSTATUS");
    let gone = "PRSTATUS raw attribute not found";
    let text = format!("Value cannot be revalidated: {gone}");
    assert_eq!(failure(get(&tree, "cpu.0.pid")), fails(Status::NoData, &text));
    assert_eq!(failure(number(&tree, "cpu.0.pid", 1)), fails(Status::NoData, gone));
    assert_eq!(note.to_vec(), [0; 0]);
}

#[test]
fn registers_outside_of_the_note_or_of_odd_size_are_errors() {
    let (tree, note) = cpu();
    let short = fails(Status::Corrupt, "Value cannot be revalidated: PRSTATUS attribute too short");
    assert_eq!(failure(get(&tree, "cpu.0.reg.far")), short);
    assert_eq!(failure(get(&tree, "cpu.0.reg.end")), short);
    let text = "Value cannot be revalidated: Reading 3-byte values not implemented";
    assert_eq!(failure(get(&tree, "cpu.0.reg.three")), fails(Status::NotImplemented, text));
    let refused = failure(number(&tree, "cpu.0.reg.three", 1));
    assert_eq!(refused, fails(Status::NotImplemented, "Writing 3-byte values not implemented"));
    assert_eq!(note.to_vec(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[test]
fn cleared_register_comes_back_when_set() {
    let (tree, note) = cpu();
    clear(&tree, "cpu.0.reg.b");
    assert_eq!(failure(get(&tree, "cpu.0.reg.b")), fails(Status::NoData, "Key has no value"));
    assert_eq!(note.to_vec()[0], 1);
    number(&tree, "cpu.0.reg.b", 1).unwrap();
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(1));
    note.set(vec![3; 8]).unwrap();
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(3), "it is still the register");
    assert_eq!(
        failure(put(&tree, "cpu.0.reg.b", Value::Address(1))),
        fails(Status::Invalid, "Type mismatch")
    );
}

#[test]
fn registers_of_one_dump_are_not_those_of_the_next() {
    let (tree, _) = cpu();
    number(&tree, "cpu.0.reg.b", 5).unwrap();
    tree.clear_volatile(&mut Effects::default());
    let register = tree.reference(Some("cpu.0.reg.b")).unwrap();
    assert_eq!(tree.is_set(register), Ok(false), "written by the user, but into a note that is gone");
    // The next dump has a note of another shape and other registers.
    let mut effects = Effects::default();
    let next = Blob::new(vec![0; 8]);
    Facts::new(&tree, &mut effects).set("cpu.0.PRSTATUS", Value::Blob(next.clone())).unwrap();
    number(&tree, "cpu.0.reg.b", 5).unwrap();
    assert_eq!(next.to_vec(), [0; 8], "nothing was written to where the old register stood");
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(5));
}

#[test]
fn newest_cpu_comes_first() {
    let (tree, _) = cpu();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&tree, &mut effects);
    facts.set_blob("cpu.1.PRSTATUS", vec![0]).unwrap();
    facts.set_number("cpu.number", 2).unwrap();
    let keys = |path: &str| {
        let directory = tree.reference(Some(path)).unwrap();
        let mut keys = vec![];
        let mut entry = tree.next(directory, None).unwrap();
        while let Some(child) = entry {
            keys.push(child.key);
            entry = tree.next(directory, Some(child.attr)).unwrap();
        }
        keys
    };
    assert_eq!(keys("cpu"), ["1", "0", "number"]);
    assert_eq!(keys("cpu.0"), ["pid", "reg", "PRSTATUS"]);
}

// --- Facts -----------------------------------------------------------------------

#[test]
fn facts_of_the_wrong_type_or_below_a_leaf_are_refused() {
    let (tree, _) = cpu();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&tree, &mut effects);
    assert_eq!(failure(facts.set_number("arch.name", 1)), fails(Status::Invalid, "Type mismatch"));
    assert_eq!(
        failure(facts.set_number("cpu.number.x", 1)),
        fails(Status::Invalid, "Path is a leaf attribute")
    );
    assert_eq!(
        failure(facts.set_view("arch.name", "PRSTATUS", 0, 1)),
        fails(Status::Invalid, "Type mismatch")
    );
    assert_eq!(failure(facts.set_view("cpu.0.pid.x", "PRSTATUS", 0, 1)).0, Status::Invalid);
    facts.set_lazy("cpu.0.pid.x", AttrType::Number, Shared::new(Computed::default()));
    facts.set_lazy("arch.name", AttrType::Number, Shared::new(Computed::default()));
    assert!(!facts.is_set("arch.name"));
    assert_eq!(failure(tree.reference(Some("cpu.0.pid.x"))).0, Status::NoKey);
}

#[test]
fn numbers_that_are_not_computed_yet_are_computed_for_the_library_too() {
    let tree = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&tree, &mut effects);
    facts.set_string("linux.uts.release", "5.4.3").unwrap();
    assert_eq!(facts.number("linux.version_code"), Some(328_707));
    facts.set_string("linux.uts.release", "nonsense").unwrap();
    assert_eq!(facts.number("linux.version_code"), None);
    assert!(facts.is_set("linux.version_code"));
}

#[test]
fn geometry_is_what_the_attributes_say() {
    let tree = Attributes::new();
    assert_eq!(tree.geometry(), Geometry::default());
    for (path, value) in
        [("arch.page_size", 65536), ("arch.byte_order", 1), ("max_pfn", 77), ("file.zero_excluded", 2)]
    {
        let mut effects = Effects::default();
        let attr = tree.reference(Some(path)).unwrap();
        tree.set(attr, Value::Number(value), true, &mut effects).unwrap();
        assert!(effects.geometry, "{path}");
    }
    let all = tree.geometry();
    assert_eq!((all.page_shift, all.max_pfn, all.zero_excluded), (Some(16), Some(77), true));
    assert_eq!(all.byte_order, kdumpfile::arch::ByteOrder::Little);
    for path in ["arch.page_size", "arch.byte_order", "max_pfn", "file.zero_excluded"] {
        let mut effects = Effects::default();
        tree.clear(tree.reference(Some(path)).unwrap(), &mut effects).unwrap();
        assert!(effects.geometry, "{path}");
    }
    assert_eq!(tree.geometry(), Geometry::default(), "cleared is the default");
}

/// Whether setting and clearing an attribute asks for a new translation.
fn marks_translation(tree: &Attributes, path: &str, value: Value) -> [bool; 2] {
    let attr = tree.reference(Some(path)).unwrap();
    let scope = tree.first_scope();
    let before = scope.changes();
    tree.set(attr, value, true, &mut Effects::default()).unwrap();
    let set = scope.changes();
    tree.clear(attr, &mut Effects::default()).unwrap();
    [before != set, set != scope.changes()]
}

#[test]
fn translation_is_set_up_anew_when_what_it_depends_on_changes() {
    let tree = Attributes::new();
    for (path, value) in [
        ("xen.type", Value::Number(1)),
        ("xen.xlat", Value::Number(1)),
        ("xen.p2m_mfn", Value::Address(1)),
        ("addrxlat.default.arch", Value::from("x86_64")),
        ("addrxlat.force.phys_bits", Value::Number(40)),
        ("addrxlat.force.phys_base", Value::Address(1)),
        ("addrxlat.force.rootpgt.as", Value::Number(1)),
        ("addrxlat.force.rootpgt.addr", Value::Address(1)),
        ("addrxlat.ostype", Value::from("xen")),
        ("arch.name", Value::from("x86_64")),
    ] {
        assert_eq!(marks_translation(&tree, path, value), [true; 2], "{path}");
    }
    for path in ["cache.size", "max_pfn", "arch.machine", "linux.version_code"] {
        assert_eq!(marks_translation(&tree, path, Value::Number(3)), [false; 2], "{path}");
    }
    // These two only for their own operating system.
    for (os, linux, xen) in [(None, false, false), (Some("linux"), true, false), (Some("xen"), false, true)] {
        if let Some(os) = os {
            put(&tree, "addrxlat.ostype", Value::from(os)).unwrap();
        }
        assert_eq!(marks_translation(&tree, "linux.phys_base", Value::Address(1)), [linux; 2], "{os:?}");
        assert_eq!(marks_translation(&tree, "xen.phys_start", Value::Address(1)), [xen; 2], "{os:?}");
    }
}

// --- Lazy values -----------------------------------------------------------------

/// Computes 1 at the second attempt, and counts the attempts.
#[derive(Default)]
struct Computed(Counter);

impl LazyValue for Computed {
    fn compute(&self) -> Result<Value> {
        match self.0.add(1) {
            0 => Err(Error::no_data("not yet")),
            n => Ok(Value::Number(n)),
        }
    }
}

#[test]
fn lazy_value_is_computed_once_but_failures_are_tried_again() {
    let tree = Attributes::new();
    let mut effects = Effects::default();
    let lazy = Shared::new(Computed::default());
    Facts::new(&tree, &mut effects).set_lazy("max_pfn", AttrType::Number, lazy.clone());
    assert_eq!(lazy.0.get(), 0, "nobody has asked");
    assert_eq!(tree.is_set(tree.reference(Some("max_pfn")).unwrap()), Ok(true));
    let text = "Value cannot be revalidated: not yet";
    assert_eq!(failure(get(&tree, "max_pfn")), fails(Status::NoData, text));
    assert_eq!(get(&tree, "max_pfn"), Ok(1));
    assert_eq!(get(&tree, "max_pfn"), Ok(1));
    assert_eq!(lazy.0.get(), 2);
    assert_eq!(tree.geometry().max_pfn, Some(1));
}

#[test]
fn lazy_value_goes_when_it_is_set_or_cleared() {
    let tree = Attributes::new();
    let mut effects = Effects::default();
    let lazy = Shared::new(Computed::default());
    let mut facts = Facts::new(&tree, &mut effects);
    facts.set_lazy("cpu.7.x", AttrType::Number, lazy.clone());
    number(&tree, "cpu.7.x", 5).unwrap();
    assert_eq!(get(&tree, "cpu.7.x"), Ok(5));
    facts.set_lazy("cpu.7.x", AttrType::Number, lazy.clone());
    clear(&tree, "cpu.7.x");
    assert_eq!(failure(get(&tree, "cpu.7.x")), fails(Status::NoData, "Key has no value"));
    facts.set_lazy("cpu.7.x", AttrType::Number, lazy.clone());
    tree.clear_volatile(&mut Effects::default());
    assert_eq!(failure(get(&tree, "cpu.7.x")), fails(Status::NoData, "Key has no value"));
    assert_eq!(lazy.0.get(), 0);
}

/// Changes the tree that asks, then computes 9.
struct Meddles {
    tree: Shared<Attributes>,
    delete: bool,
}

impl LazyValue for Meddles {
    fn compute(&self) -> Result<Value> {
        number(&self.tree, "file.set.number", if self.delete { 0 } else { 1 })?;
        if !self.delete {
            number(&self.tree, "file.set.0.fd", 5)?;
        }
        Ok(Value::Number(9))
    }
}

#[test]
fn value_being_computed_may_use_the_tree() {
    for delete in [false, true] {
        let tree = Shared::new(Attributes::new());
        number(&tree, "file.set.number", 1).unwrap();
        let mut effects = Effects::default();
        let lazy = Shared::new(Meddles { tree: tree.clone(), delete });
        Facts::new(&tree, &mut effects).set_lazy("file.set.0.fd", AttrType::Number, lazy);
        // What was set meanwhile is newer than what was computed.
        assert_eq!(get(&tree, "file.set.0.fd"), Ok(if delete { 9 } else { 5 }), "deleted: {delete}");
        assert_eq!(get(&tree, "file.set.0.fd").ok(), (!delete).then_some(5));
        clear(&tree, "file.set");
    }
}

// --- Blobs -----------------------------------------------------------------------

#[test]
fn blob_is_shared_with_the_attribute_and_outlives_it() {
    let dump = Context::new();
    let blob = Blob::new(vec![1, 2]);
    dump.set("linux.task_struct", Value::Blob(blob.clone())).unwrap();
    let mine = dump.blob("linux.task_struct").unwrap();
    assert!(mine.same_object(&blob));
    blob.set(vec![3]).unwrap();
    assert_eq!(mine.to_vec(), [3]);
    dump.clear(Some("linux.task_struct")).unwrap();
    drop(dump);
    assert_eq!((mine.len(), mine.is_empty()), (1, false));
    assert_eq!(mine.to_vec(), [3]);
}

#[test]
fn pinned_blob_is_busy_without_a_text() {
    let blob = Blob::new(vec![1]);
    let (one, two) = (blob.pin(), blob.clone().pin());
    assert_eq!(blob.pins(), 2);
    drop(one);
    assert_eq!(failure(blob.set(vec![2])), fails(Status::Busy, ""));
    assert_eq!(two.with(<[u8]>::to_vec), [1]);
    drop(two);
    blob.set(vec![]).unwrap();
    assert_eq!((blob.pins(), blob.is_empty()), (0, true));
}

#[test]
fn code_that_looks_at_a_pinned_blob_may_change_it() {
    let (tree, note) = cpu();
    note.pin().with(|bytes| {
        assert_eq!(bytes[0], 1);
        number(&tree, "cpu.0.reg.b", 9).unwrap();
        assert_eq!(failure(note.set(vec![])).0, Status::Busy);
    });
    assert_eq!(get(&tree, "cpu.0.reg.b"), Ok(9));
}

#[test]
fn bytes_of_a_pinned_blob_never_move() {
    let (tree, note) = cpu();
    let pin = note.pin();
    let at = pin.as_ptr();
    number(&tree, "cpu.0.reg.b", 9).unwrap();
    pin.with(|_| number(&tree, "cpu.0.reg.h", 9)).unwrap();
    assert_eq!(note.pin().as_ptr(), at);
}

// --- Bitmaps ---------------------------------------------------------------------

/// Runs as they are told, true or not.
struct Told(Vec<(u64, u64)>);

impl BitSource for Told {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        Ok(self.0.iter().copied().find(|run| run.1 > from))
    }
}

struct Unreadable;

impl BitSource for Unreadable {
    fn run(&self, from: u64) -> Result<Option<(u64, u64)>> {
        if from < 8 { Ok(Some((from, 8))) } else { Err(Error::system("Input/output error")) }
    }
}

#[test]
fn bits_stand_least_significant_first() {
    let bits = Bitmap::new(Shared::new(RunList::new(vec![(0, 1), (9, 12), (20, 21)])));
    let mut out = [0xff; 3];
    bits.bits(0, 15, &mut out).unwrap();
    assert_eq!(out, [0b1, 0b1110, 0xff]);
    bits.bits(9, 20, &mut out).unwrap();
    assert_eq!(out, [0b111, 0b1000, 0xff]);
    bits.bits(9, 9, &mut out).unwrap();
    assert_eq!(out[0], 1);
    bits.bits(1 << 40, (1 << 40) + 16, &mut out).unwrap();
    assert_eq!(out, [0; 3], "behind the last page there is nothing");
}

#[test]
fn clear_bits_are_found_everywhere_and_set_ones_may_be_missing() {
    let bits = Bitmap::new(Shared::new(RunList::new(vec![(2, 4)])));
    assert_eq!((bits.find_set(0), bits.find_set(3)), (Ok(2), Ok(3)));
    assert_eq!(failure(bits.find_set(4)), fails(Status::NoData, "No such bit found"));
    assert_eq!(
        (bits.find_clear(2), bits.find_clear(0), bits.find_clear(u64::MAX)),
        (Ok(4), Ok(0), Ok(u64::MAX))
    );
    assert_eq!(Bitmap::new(Shared::new(RunList::new(vec![]))).find_clear(7), Ok(7));
}

#[test]
fn runs_that_are_reported_in_pieces_are_put_together() {
    let bits = Bitmap::new(Shared::new(Told(vec![(2, 4), (4, 5), (5, 70), (80, 81)])));
    assert_eq!(bits.find_clear(2), Ok(70));
    let ranges: Vec<_> = bits.ranges().map(Result::unwrap).collect();
    assert_eq!(ranges, [(2, 69), (80, 80)]);
    let mut out = [0; 10];
    bits.bits(1, 80, &mut out).unwrap();
    assert_eq!(out, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x80]);
}

#[test]
fn sources_of_bits_that_answer_nonsense_do_no_harm() {
    // Starts below what was asked for, ends before it begins, covers all.
    for runs in [vec![(0, 9)], vec![(9, 3), (3, 12)], vec![(0, u64::MAX)], vec![(5, 5)]] {
        let bits = Bitmap::new(Shared::new(Told(runs.clone())));
        let mut out = [0; 2];
        for first in 0..12 {
            bits.bits(first, first + 8, &mut out).unwrap();
            let _ = bits.find_set(first);
            bits.find_clear(first).unwrap();
        }
        assert!(bits.ranges().count() < 5, "{runs:?}");
    }
    let bits = Bitmap::new(Shared::new(Told(vec![(0, 9)])));
    let mut out = [0];
    bits.bits(3, 10, &mut out).unwrap();
    assert_eq!(out, [0b0011_1111]);
    assert_eq!(bits.find_set(3), Ok(3));
}

#[test]
fn bits_that_cannot_be_read_are_an_error_where_they_are_needed() {
    let bits = Bitmap::new(Shared::new(Unreadable));
    assert_eq!(bits.find_set(3), Ok(3));
    let mut out = [0; 2];
    bits.bits(0, 7, &mut out).unwrap();
    assert_eq!(out, [0xff, 0]);
    let broken = fails(Status::System, "Input/output error");
    assert_eq!(failure(bits.bits(0, 8, &mut out)), broken);
    assert_eq!(failure(bits.find_clear(0)), broken);
    let mut runs = bits.ranges();
    assert_eq!(runs.next(), Some(Ok((0, 7))));
    assert_eq!(failure(runs.next().unwrap()), broken);
    assert!(runs.next().is_none());
}

#[test]
fn bitmap_outlives_the_context() {
    let dump = Context::new();
    dump.set("file.pagemap", Value::Bitmap(Bitmap::new(Shared::new(RunList::new(vec![(1, 2)]))))).unwrap();
    let bits = dump.bitmap("file.pagemap").unwrap();
    drop(dump);
    assert_eq!(bits.find_set(0), Ok(1));
}
