//! `file.set`, `file.fd`, names, and when they open a dump.

mod context_support;

use context_support::{Call, Files, fails, failure, is_set, keys, set, set_text, unknown, with_files};
use kdumpfile::dump::OpenDescriptor;
use kdumpfile::io::{ReadAt, Source};
use kdumpfile::sync::{Lock, Shared};
use kdumpfile::{Context, Error, Result, Space, Status, Value};

fn asked(files: &Files) -> Vec<u64> {
    std::mem::take(&mut files.asked.lock())
}

fn unknown_format(prefix: &str) -> (Status, String) {
    fails(Status::NotImplemented, &format!("{prefix}Unknown file format"))
}

// --- file.set.number -----------------------------------------------------------

#[test]
fn file_set_grows_and_shrinks() {
    let dump = Context::new();
    set(&dump, "file.set.number", 3).unwrap();
    set_text(&dump, "file.set.0.name", "zero").unwrap();
    set_text(&dump, "file.set.2.name", "two").unwrap();
    set(&dump, "file.set.1.fd", 11).unwrap();
    assert_eq!(failure(dump.number("file.set.0.fd")), fails(Status::NoData, "Key has no value"));
    set(&dump, "file.set.number", 2).unwrap();
    assert_eq!(failure(dump.attr(Some("file.set.2"))), fails(Status::NoKey, "No such key"));
    assert_eq!(failure(dump.attr(Some("file.set.2.name"))), fails(Status::NoKey, "No such key"));
    assert_eq!(dump.number("file.set.1.fd"), Ok(11));
    assert_eq!(dump.string("file.set.0.name").unwrap(), "zero");
    set(&dump, "file.set.number", 3).unwrap();
    assert!(!is_set(&dump, "file.set.2.name"), "a file that comes back has lost its name");
    set(&dump, "file.set.number", 0).unwrap();
    assert_eq!(keys(&dump, Some("file.set")), ["number"]);
    assert_eq!(failure(dump.attr(Some("file.set.0"))), fails(Status::NoKey, "No such key"));
}

#[test]
fn absurd_numbers_of_files_are_refused_and_the_set_stays() {
    let dump = Context::new();
    set(&dump, "file.set.number", 2).unwrap();
    for number in [u64::MAX, 1 << 40, u64::from(u32::MAX) + 1] {
        let refused = failure(set(&dump, "file.set.number", number));
        assert_eq!(refused, fails(Status::Invalid, "Number too big"), "{number}");
        assert_eq!(dump.number("file.set.number"), Ok(2));
        assert!(dump.attr(Some("file.set.1.fd")).is_ok());
    }
}

#[test]
fn large_file_sets_come_and_go_quickly() {
    let dump = Context::new();
    let start = std::time::Instant::now();
    set(&dump, "file.set.number", 30_000).unwrap();
    set(&dump, "file.set.number", 0).unwrap();
    assert!(start.elapsed().as_secs() < 20, "not in quadratic time: {:?}", start.elapsed());
    assert_eq!(failure(dump.attr(Some("file.set.29999"))).0, Status::NoKey);
}

#[test]
fn cleared_file_set_is_empty() {
    let (dump, files) = with_files(vec![unknown(), unknown()]);
    set(&dump, "file.set.number", 2).unwrap();
    set(&dump, "file.set.1.fd", 1).unwrap();
    for path in ["file.set.number", "file.set", "file"] {
        dump.clear(Some(path)).unwrap();
        assert_eq!(failure(dump.attr(Some("file.set.0"))).0, Status::NoKey);
        assert!(!is_set(&dump, "file.set.number"));
        set(&dump, "file.set.number", 2).unwrap();
        assert!(!is_set(&dump, "file.set.1.fd"));
    }
    assert_eq!(asked(&files), [0; 0]);
}

// --- Opening by descriptors ----------------------------------------------------

#[test]
fn last_descriptor_opens_the_set_whatever_the_order() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        let (dump, files) = with_files(vec![unknown(); 3]);
        set(&dump, "file.set.number", 3).unwrap();
        for index in &order[..2] {
            set(&dump, &format!("file.set.{index}.fd"), *index).unwrap();
            assert_eq!(asked(&files), [0; 0]);
        }
        let last = order[2];
        // Errors of this way of opening have no name in front.
        let refused = failure(set(&dump, &format!("file.set.{last}.fd"), last));
        assert_eq!(refused, unknown_format(""));
        assert_eq!(asked(&files), [0, 1, 2]);
        assert_eq!(dump.number(&format!("file.set.{last}.fd")), Ok(last), "the value stays");
    }
}

#[test]
fn pending_descriptors_are_counted_through_every_change() {
    let (dump, files) = with_files(vec![unknown(); 4]);
    set(&dump, "file.set.number", 3).unwrap();
    set(&dump, "file.set.0.fd", 0).unwrap();
    set(&dump, "file.set.1.fd", 1).unwrap();
    dump.clear(Some("file.set.1.fd")).unwrap();
    dump.clear(Some("file.set.1.fd")).unwrap();
    set(&dump, "file.set.2.fd", 2).unwrap();
    assert_eq!(asked(&files), [0; 0], "file 1 is pending again");
    assert_eq!(failure(set(&dump, "file.set.1.fd", 1)), unknown_format(""));
    assert_eq!(asked(&files), [0, 1, 2]);
    // One that is set already may change: opened again.
    assert_eq!(failure(set(&dump, "file.set.1.fd", 3)), unknown_format(""));
    assert_eq!(asked(&files), [0, 3, 2]);
    set(&dump, "file.set.1.fd", 3).unwrap();
    assert_eq!(asked(&files), [0; 0], "the same value has no consequences");
    // Fewer files, none of them pending: opened at once.
    set(&dump, "file.set.number", 4).unwrap();
    assert_eq!(asked(&files), [0; 0]);
    assert_eq!(failure(set(&dump, "file.set.number", 2)), unknown_format(""));
    assert_eq!(asked(&files), [0, 3]);
    set(&dump, "file.set.number", 0).unwrap();
    assert_eq!(asked(&files), [0; 0], "no file, nothing to open");
}

#[test]
fn opening_by_call_opens_again_even_the_same_descriptors() {
    let (dump, files) = with_files(vec![unknown(); 2]);
    for _ in 0..2 {
        assert_eq!(failure(dump.open_descriptors(&[1, 0])), unknown_format("file #0: "));
        assert_eq!(asked(&files), [1, 0]);
    }
    assert_eq!(dump.number("file.set.number"), Ok(2));
    assert_eq!(dump.number("file.set.0.fd"), Ok(1));
    assert_eq!(failure(dump.open_descriptors(&[0])), unknown_format("file #0: "));
    assert_eq!(dump.number("file.set.number"), Ok(1));
    dump.open_descriptors(&[]).expect("no files, nothing to open");
    assert_eq!(dump.number("file.set.number"), Ok(0));
}

#[test]
fn descriptors_that_cannot_be_opened_are_named() {
    let (dump, _) = with_files(vec![unknown(); 2]);
    assert_eq!(
        failure(dump.open_descriptors(&[7])),
        fails(Status::System, "file #0: Cannot read file #0: Bad file descriptor")
    );
    dump.set_file_names(&[Some("x")]).unwrap();
    assert_eq!(
        failure(dump.open_descriptors(&[0, 7])),
        fails(Status::System, "x: Cannot read file #1: Bad file descriptor")
    );
    assert_eq!(
        failure(set(&dump, "file.set.1.fd", 8)),
        fails(Status::System, "Cannot read file #1: Bad file descriptor")
    );
    assert_eq!(dump.number("file.set.1.fd"), Ok(8));
}

#[test]
fn descriptors_without_an_opener_are_an_error() {
    let dump = Context::new();
    assert_eq!(failure(set(&dump, "file.fd", 3)).0, Status::NotImplemented);
    assert_eq!(failure(dump.open_descriptors(&[3])).0, Status::NotImplemented);
    assert_eq!(dump.number("file.set.0.fd"), Ok(3));
}

// --- file.fd ---------------------------------------------------------------------

#[test]
fn legacy_descriptor_opens_a_set_of_one() {
    let (dump, files) = with_files(vec![unknown(); 3]);
    assert_eq!(failure(set(&dump, "file.fd", 2)), unknown_format("file #0: "));
    assert_eq!(asked(&files), [2]);
    assert_eq!(dump.number("file.fd"), Ok(2));
    assert_eq!(dump.number("file.set.0.fd"), Ok(2));
    assert_eq!(dump.number("file.set.number"), Ok(1));
    set(&dump, "file.fd", 2).unwrap();
    assert_eq!(asked(&files), [0; 0], "the same value again opens nothing");
    assert_eq!(failure(set(&dump, "file.fd", 1)), unknown_format("file #0: "));
    assert_eq!(asked(&files), [1]);
    assert_eq!(dump.number("file.set.0.fd"), Ok(1));
}

#[test]
fn legacy_descriptor_is_unset_after_opening_by_call() {
    let (dump, files) = with_files(vec![unknown(); 2]);
    failure(set(&dump, "file.fd", 1));
    failure(dump.open_descriptors(&[1]));
    assert!(!is_set(&dump, "file.fd"));
    assert_eq!(dump.number("file.set.0.fd"), Ok(1));
    asked(&files);
    assert_eq!(failure(set(&dump, "file.fd", 1)), unknown_format("file #0: "));
    assert_eq!(asked(&files), [1], "unset, so it is not the same value");
}

#[test]
fn legacy_descriptor_goes_with_the_single_file() {
    let (dump, _) = with_files(vec![unknown(); 2]);
    failure(set(&dump, "file.fd", 1));
    set(&dump, "file.set.number", 2).unwrap();
    assert!(!is_set(&dump, "file.fd"));
    assert_eq!(dump.number("file.set.0.fd"), Ok(1));
    failure(set(&dump, "file.fd", 0));
    assert_eq!(dump.number("file.set.number"), Ok(1));
    set(&dump, "file.set.number", 0).unwrap();
    assert!(!is_set(&dump, "file.fd"));
    failure(set(&dump, "file.fd", 1));
    dump.clear(Some("file.set.0.fd")).unwrap();
    assert!(!is_set(&dump, "file.fd"));
    failure(set(&dump, "file.fd", 1));
    dump.clear(Some("file.fd")).unwrap();
    assert_eq!(dump.number("file.set.0.fd"), Ok(1), "the set has its own mark");
}

#[test]
fn legacy_descriptor_follows_the_first_of_the_set() {
    let (dump, files) = with_files(vec![unknown(); 3]);
    failure(set(&dump, "file.fd", 1));
    failure(set(&dump, "file.set.0.fd", 2));
    assert_eq!(dump.number("file.fd"), Ok(2), "they share one number");
    asked(&files);
    assert_eq!(failure(set(&dump, "file.fd", 1)), unknown_format("file #0: "));
    assert_eq!(asked(&files), [1]);
}

// --- Names -----------------------------------------------------------------------

#[test]
fn names_stand_in_front_of_errors_and_survive() {
    let dump = Context::new();
    dump.set_file_names(&[Some("vmcore")]).unwrap();
    assert_eq!(failure(dump.open_bytes(unknown())), unknown_format("vmcore: "));
    assert_eq!(failure(dump.open_bytes(unknown())), unknown_format("vmcore: "));
    dump.set_file_names(&[None]).unwrap();
    assert_eq!(failure(dump.open_bytes(unknown())), unknown_format("file #0: "));
}

#[test]
fn names_grow_the_set_but_never_shrink_it() {
    let dump = Context::new();
    dump.set_file_names(&[Some("a"), None, Some("c")]).unwrap();
    assert_eq!(dump.number("file.set.number"), Ok(3));
    assert!(!is_set(&dump, "file.set.1.name"));
    dump.set_file_names(&[None, Some("b")]).unwrap();
    assert_eq!(dump.number("file.set.number"), Ok(3));
    assert!(!is_set(&dump, "file.set.0.name"));
    assert_eq!(dump.string("file.set.1.name").unwrap(), "b");
    assert_eq!(dump.string("file.set.2.name").unwrap(), "c");
    dump.set_file_names(&[]).unwrap();
    assert_eq!(dump.number("file.set.number"), Ok(3));
    // Fewer files take the names of the others along.
    failure(dump.open_bytes(unknown()));
    assert_eq!(dump.number("file.set.number"), Ok(1));
    dump.set_file_names(&[None, None]).unwrap();
    assert!(!is_set(&dump, "file.set.1.name"));
}

/// A source that cannot be read.
struct Broken;

impl ReadAt for Broken {
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize> {
        Err(Error::system("Input/output error"))
    }
}

#[test]
fn the_file_that_cannot_be_read_is_named_behind_the_first() {
    let dump = Context::new();
    let open = |dump: &Context| failure(dump.open(vec![Shared::new(unknown()), Shared::new(Broken)]));
    let text = "file #0: Cannot read file #1: Input/output error";
    assert_eq!(open(&dump), fails(Status::System, text));
    dump.set_file_names(&[Some("x"), Some("y")]).unwrap();
    assert_eq!(open(&dump), fails(Status::System, "x: Cannot read y: Input/output error"));
    dump.set_file_names(&[Some("x"), None]).unwrap();
    assert_eq!(open(&dump), fails(Status::System, "x: Cannot read file #1: Input/output error"));
}

#[test]
fn nothing_can_be_read_after_opening_failed() {
    let dump = Context::new();
    let nothing = fails(Status::AddrXlat, "Cannot get page I/O address: No suitable capabilities");
    let mut byte = [0xaa];
    for space in [Space::KernelPhysical, Space::MachinePhysical, Space::KernelVirtual] {
        assert_eq!(failure(dump.read(space, 0, &mut byte)), nothing);
        assert_eq!(failure(dump.read_string(space, 0)), nothing);
        let (done, result) = dump.read_partial(space, u64::MAX, &mut byte);
        assert_eq!((done, failure(result)), (0, nothing.clone()));
        dump.read(space, 0, &mut []).expect("reading nothing always works");
    }
    failure(dump.open_bytes(unknown()));
    assert_eq!(failure(dump.read(Space::MachinePhysical, 0, &mut byte)), nothing);
    failure(dump.open(vec![Shared::new(Broken)]));
    assert_eq!(failure(dump.read(Space::MachinePhysical, 0, &mut byte)), nothing);
    assert_eq!(byte, [0xaa]);
}

// --- User code that calls back ---------------------------------------------------

/// Opens descriptors, and meanwhile does something with the very context that
/// asked. There is one such context per table.
struct CallsBack {
    files: Files,
    then: Lock<Option<Box<dyn Call>>>,
}

impl OpenDescriptor for CallsBack {
    fn open(&self, fd: u64) -> Result<Source> {
        // Not a `if let` on the locked value: the call may end up here again.
        let then = self.then.lock().take();
        if let Some(then) = then {
            then();
        }
        self.files.open(fd)
    }
}

#[test]
fn opener_may_use_the_context_that_opens() {
    let dump = Context::new();
    let files = Files { files: vec![Shared::new(unknown())], asked: Lock::new(vec![]) };
    let opener = Shared::new(CallsBack { files, then: Lock::new(None) });
    dump.set_opener(opener.clone());
    // `Context` is not `Sync`; the lock of std makes it so.
    let inner = std::sync::Mutex::new(dump.clone());
    *opener.then.lock() = Some(Box::new(move || {
        let dump = inner.lock().unwrap();
        assert_eq!(dump.number("file.set.0.fd"), Ok(0));
        set_text(&dump, "linux.uts.nodename", "inner").unwrap();
        set(&dump, "cache.size", 3).unwrap();
        assert_eq!(failure(dump.read(Space::MachinePhysical, 0, &mut [0])).0, Status::AddrXlat);
        let busy = fails(Status::Busy, "Another dump is being opened");
        let refused = failure(dump.open(vec![Shared::new(unknown()), Shared::new(unknown())]));
        assert_eq!(refused.0, busy.0);
        assert!(refused.1.ends_with(&busy.1));
        assert_eq!(dump.number("file.set.number"), Ok(1), "refused, so nothing was changed");
    }));
    assert_eq!(failure(dump.open_descriptors(&[0])), unknown_format("file #0: "));
    assert_eq!(dump.string("linux.uts.nodename").unwrap(), "inner");
    assert_eq!(dump.number("file.set.number"), Ok(1));
}

struct Panics;

impl ReadAt for Panics {
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize> {
        panic!("a source of the user's");
    }
}

#[test]
fn source_that_panics_does_not_keep_others_from_being_opened() {
    let dump = Context::new();
    let open = std::panic::AssertUnwindSafe(|| dump.open(vec![Shared::new(Panics)]));
    std::panic::catch_unwind(open).unwrap_err();
    assert_eq!(failure(dump.open_bytes(unknown())), unknown_format("file #0: "));
}

/// Uses a context when it goes away.
struct LastWords(std::sync::Mutex<Context>);

impl ReadAt for LastWords {
    fn read_at(&self, _: u64, _: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
}

impl Drop for LastWords {
    fn drop(&mut self) {
        let dump = self.0.lock().unwrap();
        dump.number("cache.size").unwrap();
        dump.set("linux.uts.nodename", Value::from("last")).unwrap();
        let _ = dump.read(Space::MachinePhysical, 0, &mut [0]);
    }
}

impl OpenDescriptor for LastWords {
    fn open(&self, _: u64) -> Result<Source> {
        Err(Error::system("Bad file descriptor"))
    }
}

#[test]
fn sources_and_openers_may_use_the_context_while_they_go_away() {
    let dump = Context::new();
    failure(dump.open(vec![Shared::new(LastWords(std::sync::Mutex::new(dump.clone())))]));
    assert_eq!(dump.string("linux.uts.nodename").unwrap(), "last");
    set_text(&dump, "linux.uts.nodename", "first").unwrap();
    dump.set_opener(Shared::new(LastWords(std::sync::Mutex::new(dump.clone()))));
    let (_, other) = with_files(vec![]);
    dump.set_opener(other);
    assert_eq!(dump.string("linux.uts.nodename").unwrap(), "last");
}

/// Bits whose object uses a context when it goes away.
struct Bits(std::sync::Mutex<Context>);

impl kdumpfile::attr::BitSource for Bits {
    fn run(&self, _: u64) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }
}

impl Drop for Bits {
    fn drop(&mut self) {
        self.0.lock().unwrap().attr(Some("cache.size")).unwrap();
    }
}

#[test]
fn values_may_use_the_context_while_they_go_away() {
    let bits = |dump: &Context| {
        let bits = Bits(std::sync::Mutex::new(dump.clone()));
        Value::Bitmap(kdumpfile::Bitmap::new(Shared::new(bits)))
    };
    let dump = Context::new();
    dump.set("file.pagemap", bits(&dump)).unwrap();
    dump.set("file.pagemap", bits(&dump)).unwrap();
    dump.clear(Some("file.pagemap")).unwrap();
    dump.set("memory.pagemap", bits(&dump)).unwrap();
    dump.clear(None).unwrap();
    assert!(!is_set(&dump, "memory.pagemap"));
}
