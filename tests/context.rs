//! Contexts and their clones: what they share, and the errors that they do not.

mod context_support;

use std::cell::RefCell;
use std::rc::Rc;

use context_support::{CallsBack, fails, failure, page, set, set_text, unknown};
use kdumpfile::io::Source;
use kdumpfile::{AttrRef, AttrType, Context, Space, Status, Value};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;

const PHYSICAL: Space = Space::MachinePhysical;

fn dump_of(seed: u64) -> Vec<u8> {
    DiskdumpBuilder::default().pages((0..4).map(|pfn| (pfn, page(seed, pfn))), Codec::Snappy).build()
}

fn first_word(dump: &Context) -> kdumpfile::Result<[u8; 8]> {
    let mut word = [0; 8];
    dump.read(PHYSICAL, 0, &mut word).map(|()| word)
}

fn last(dump: &Context) -> Option<(Status, String)> {
    dump.last_error().map(|error| (error.status(), error.message()))
}

// --- Errors ----------------------------------------------------------------------------

#[test]
fn last_error_is_that_of_the_last_call() {
    let dump = Context::new();
    assert_eq!(last(&dump), None);
    let no_key = failure(dump.get("nothing"));
    assert_eq!(last(&dump), Some(no_key.clone()));
    assert_eq!(last(&dump), Some(no_key), "asking does not clear it");
    dump.number("cache.size").unwrap();
    assert_eq!(last(&dump), None, "a call that succeeds clears it");
}

#[test]
fn every_call_that_can_fail_clears_and_keeps_the_error() {
    let root = Context::new().attr(None).unwrap();
    type Call = fn(&Context) -> bool;
    let calls: &[(&str, Call, Call)] = &[
        ("get", |c| c.get("cache").is_ok(), |c| c.get("x").is_ok()),
        ("number", |c| c.number("cache.size").is_ok(), |c| c.number("arch.name").is_ok()),
        ("set", |c| set(c, "cache.size", 9).is_ok(), |c| set(c, "x", 9).is_ok()),
        ("clear", |c| c.clear(Some("arch")).is_ok(), |c| c.clear(Some("x")).is_ok()),
        ("attr", |c| c.attr(None).is_ok(), |c| c.attr(Some("x")).is_ok()),
        ("first_child", |c| c.first_child(None).is_ok(), |c| c.first_child(Some("arch")).is_ok()),
        ("set_file_names", |c| c.set_file_names(&[]).is_ok(), |c| c.open_bytes(unknown()).is_ok()),
        ("open", |c| c.open(vec![]).is_ok(), |c| c.open_descriptors(&[1]).is_ok()),
        ("read", |c| c.read(PHYSICAL, 0, &mut []).is_ok(), |c| c.read(PHYSICAL, 0, &mut [0]).is_ok()),
        (
            "read_partial",
            |c| c.read_partial(PHYSICAL, 0, &mut []).1.is_ok(),
            |c| c.read_string(PHYSICAL, 0).is_ok(),
        ),
    ];
    let dump = Context::new();
    for (name, works, fails) in calls {
        assert!(!fails(&dump) && last(&dump).is_some(), "{name}");
        assert!(works(&dump), "{name}");
        assert_eq!(last(&dump), None, "{name}");
    }
    failure(dump.get("x"));
    // These cannot fail, and say nothing about the last call.
    let _ = (dump.attr_type(root), dump.attr_is_set(root), dump.clone());
    assert!(last(&dump).is_some());
    dump.clear_error();
    assert_eq!(last(&dump), None);
}

#[test]
fn errors_of_calls_from_inside_are_not_those_of_the_call_around() {
    let dump = Rc::new(Context::new());
    let source = CallsBack::new(dump_of(1));
    dump.open(vec![source.clone() as Source]).unwrap();
    // The very same context, not a clone; a source cannot own it in all backends.
    thread_local!(static SAME: RefCell<Option<Rc<Context>>> = const { RefCell::new(None) });
    SAME.set(Some(dump.clone()));
    source.next_read(&Context::new(), |_| {
        SAME.with_borrow(|same| {
            let same = same.as_ref().unwrap();
            failure(same.get("nothing"));
            assert_eq!(last(same).unwrap().0, Status::NoKey);
            assert_eq!(first_word(same).unwrap(), page(1, 0)[..8]);
            failure(same.get("nothing"));
            set(same, "cache.size", 5).unwrap();
            failure(same.get("nothing"));
        });
    });
    assert_eq!(first_word(&dump).unwrap(), page(1, 0)[..8]);
    assert_eq!(last(&dump), None, "the call around succeeded");
    SAME.set(None);
}

#[test]
fn what_takes_no_work_is_read_without_any() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    let mut word = [9; 8];
    assert!(!dump.read_cached(PHYSICAL, 0, &mut word), "no page is cached");
    first_word(&dump).unwrap();
    failure(dump.get("nothing"));
    assert!(!dump.read_cached(PHYSICAL, 0x1000, &mut word), "another page is cached");
    assert!(!dump.read_cached(PHYSICAL, 0xffc, &mut word), "half of it is in another page");
    assert!(!dump.read_cached(Space::KernelVirtual, 0, &mut word), "no translation is known");
    assert!(!dump.read_cached(PHYSICAL, 0, &mut [0; 257]));
    assert_eq!((word, last(&dump).unwrap().0), ([9; 8], Status::NoKey), "nothing was done");
    assert!(dump.read_cached(PHYSICAL, 8, &mut word));
    assert_eq!((&word[..], last(&dump)), (&page(1, 0)[8..16], None));
}

#[test]
fn numbers_at_hand_are_those_that_the_attribute_has() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    let at_hand = |key: &str| dump.number_at_hand(dump.attr(Some(key)).unwrap());
    assert_eq!(at_hand("max_pfn"), Some((AttrType::Number, dump.number("max_pfn").unwrap())));
    set(&dump, "max_pfn", 3).unwrap();
    assert_eq!(at_hand("max_pfn"), Some((AttrType::Number, 3)));
    dump.set("xen.phys_start", Value::Address(7)).unwrap();
    assert_eq!(at_hand("xen.phys_start"), Some((AttrType::Address, 7)));
    dump.clear(Some("xen.phys_start")).unwrap();
    set_text(&dump, "linux.uts.nodename", "host").unwrap();
    // No value, one that is asked for each time, a text, a directory.
    for key in ["xen.phys_start", "cache.hits", "linux.uts.nodename", "arch"] {
        assert_eq!(at_hand(key), None, "{key}");
    }
    let row = dump.attr(Some("max_pfn")).unwrap();
    failure(dump.get("nothing"));
    assert_eq!(dump.number_at_hand(dump.attr(Some("max_pfn")).unwrap()).unwrap().1, 3);
    assert_eq!(last(&dump), None, "a call that succeeds clears the error");
    failure(dump.get("nothing"));
    assert_eq!(dump.number_at_hand(AttrRef::from_raw(row.into_raw() + (1 << 32))), None, "it was deleted");
    assert!(last(&dump).is_some(), "nothing was done");
}

// --- Clones ------------------------------------------------------------------------------

#[test]
fn clones_share_attributes_and_dump_but_no_errors() {
    let dump = Context::new();
    failure(dump.get("nothing"));
    let clone = dump.clone();
    assert_eq!(last(&clone), None, "a clone starts without an error");
    assert!(last(&dump).is_some(), "and leaves that of its original");
    clone.open_bytes(dump_of(1)).unwrap();
    assert_eq!(first_word(&dump).unwrap(), page(1, 0)[..8]);
    set_text(&dump, "linux.uts.nodename", "host").unwrap();
    assert_eq!(clone.string("linux.uts.nodename").unwrap(), "host");
    failure(clone.read(PHYSICAL, 1 << 40, &mut [0]));
    assert_eq!(last(&dump), None);
    let attr = dump.attr(Some("cache.size")).unwrap();
    assert_eq!(clone.get_attr(attr).unwrap().as_number(), Some(1024), "references are good in all of them");
}

#[test]
fn clones_share_the_cache() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    let clone = dump.clone();
    first_word(&dump).unwrap();
    first_word(&clone).unwrap();
    assert_eq!((dump.number("cache.hits"), clone.number("cache.misses")), (Ok(1), Ok(1)));
    set(&clone, "cache.size", 0).unwrap();
    assert_eq!(failure(first_word(&dump)).0, Status::Busy);
}

#[test]
fn clones_notice_that_another_dump_was_opened() {
    let dump = Context::new();
    let clones: Vec<Context> = (0..3).map(|_| dump.clone()).collect();
    for seed in 1..4 {
        clones[seed as usize - 1].open_bytes(dump_of(seed)).unwrap();
        for clone in &clones {
            assert_eq!(first_word(clone).unwrap(), page(seed, 0)[..8]);
        }
    }
    failure(clones[0].open_bytes(unknown()));
    let nothing = fails(Status::AddrXlat, "Cannot get page I/O address: No suitable capabilities");
    assert_eq!(failure(first_word(&clones[1])), nothing);
    set(&dump, "file.zero_excluded", 1).unwrap();
}

#[test]
fn contexts_go_in_any_order() {
    let original = Context::new();
    original.open_bytes(dump_of(1)).unwrap();
    let mut chain = vec![original];
    for _ in 0..8 {
        chain.push(chain.last().unwrap().clone());
    }
    let bits = chain[3].bitmap("file.pagemap").unwrap();
    while chain.len() > 1 {
        drop(chain.swap_remove(chain.len() / 2));
        assert_eq!(first_word(&chain[0]).unwrap(), page(1, 0)[..8]);
    }
    drop(chain);
    assert_eq!(bits.find_clear(0), Ok(4), "bits outlive the last context");
}

#[test]
fn separate_dumps_know_nothing_of_each_other() {
    let (one, two) = (Context::new(), Context::new());
    one.open_bytes(dump_of(1)).unwrap();
    two.open_bytes(dump_of(2)).unwrap();
    set(&one, "cache.size", 3).unwrap();
    assert_eq!(two.number("cache.size"), Ok(1024));
    assert_eq!((first_word(&one).unwrap(), first_word(&two).unwrap()).0, page(1, 0)[..8]);
    assert_eq!(first_word(&two).unwrap(), page(2, 0)[..8]);
}

#[test]
fn rows_of_earlier_dumps_do_not_pile_up() {
    let dump = Context::new();
    let rows: String = (0..200).map(|i| format!("SYMBOL(s{i})={i:x}\n")).collect();
    let text = format!("OSRELEASE=6.1.0\n{rows}");
    let with_info =
        |seed| DiskdumpBuilder::default().pages([(0, page(seed, 0))], Codec::Zlib).vmcoreinfo(&text).build();
    for seed in 0..20 {
        dump.open_bytes(with_info(seed)).unwrap();
        assert_eq!(first_word(&dump).unwrap(), page(seed, 0)[..8]);
        let mut count = 0;
        let directory = dump.attr(Some("linux.vmcoreinfo.SYMBOL")).unwrap();
        let mut entry = dump.next_child(directory, None).unwrap();
        while let Some(child) = entry {
            count += 1;
            entry = dump.next_child(directory, Some(child.attr)).unwrap();
        }
        assert_eq!(count, 200);
    }
}
