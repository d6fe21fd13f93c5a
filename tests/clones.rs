//! Clones of a context: what they share, what belongs to each, and what
//! outlives what. The same text for all sharing backends.

mod context_support;

use context_support::{fails, failure, is_set, keys, page, set, set_text, vmcoreinfo};
use kdumpfile::io::{ReadAt, Source};
use kdumpfile::sync::{Lock, Shared};
use kdumpfile::{Callbacks, CloneOptions, Context, Error, Result, Space, Status, Value};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;

fn dump_file() -> Vec<u8> {
    let pages = (0..4).map(|pfn| (pfn, page(1, pfn)));
    DiskdumpBuilder::default()
        .pages(pages, Codec::Snappy)
        .vmcoreinfo("OSRELEASE=6.1\nSYMBOL(known)=1000\n")
        .build()
}

/// A clone with a translation of its own.
fn apart(dump: &Context) -> Context {
    dump.clone_with(CloneOptions::new().own_translation(true))
}

fn with_symbols(answer: impl Fn(&Context, &str) -> Result<u64> + Send + Sync + 'static) -> Callbacks {
    Callbacks { symbol_value: Some(Shared::new(answer)) }
}

// --- A translation of one's own --------------------------------------------------------

#[test]
fn own_translation_starts_as_that_of_the_original_and_goes_its_own_way() {
    let dump = Context::new();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    set(&dump, "addrxlat.default.virt_bits", 48).unwrap();
    dump.set("addrxlat.force.phys_base", Value::Address(0x1000)).unwrap();
    let other = apart(&dump);
    assert_eq!(other.string("addrxlat.ostype").unwrap(), "linux");
    assert_eq!(other.number("addrxlat.default.virt_bits"), Ok(48));
    assert_eq!(other.address("addrxlat.force.phys_base"), Ok(0x1000));

    set(&dump, "addrxlat.default.virt_bits", 57).unwrap();
    set_text(&other, "addrxlat.ostype", "xen").unwrap();
    other.clear(Some("addrxlat.force")).unwrap();
    assert_eq!(other.number("addrxlat.default.virt_bits"), Ok(48));
    assert_eq!(dump.string("addrxlat.ostype").unwrap(), "linux");
    assert_eq!(dump.address("addrxlat.force.phys_base"), Ok(0x1000));
    assert_eq!(failure(other.get("addrxlat.force.phys_base")).0, Status::NoData);
}

#[test]
fn everything_else_is_shared_with_own_translation_too() {
    let dump = Context::new();
    let other = apart(&dump);
    other.open_bytes(dump_file()).unwrap();
    assert_eq!(dump.string("file.format").unwrap(), "diskdump");
    let mut word = [0; 8];
    dump.read(Space::MachinePhysical, 0, &mut word).unwrap();
    assert_eq!(word, page(1, 0)[..8]);
    set(&dump, "cache.size", 7).unwrap();
    assert_eq!(other.number("cache.size"), Ok(7));
    // Keys that came after the split, through either of the two.
    vmcoreinfo(&other, "KEY=1\n").unwrap();
    assert_eq!(dump.string("linux.vmcoreinfo.lines.KEY").unwrap(), "1");
    vmcoreinfo(&dump, "LATER=2\n").unwrap();
    assert_eq!(other.string("linux.vmcoreinfo.lines.LATER").unwrap(), "2");
}

#[test]
fn tree_is_iterated_alike_in_the_original_and_in_its_clones() {
    let dump = Context::new();
    dump.open_bytes(dump_file()).unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    set(&dump, "addrxlat.default.virt_bits", 48).unwrap();
    set(&dump, "addrxlat.default.phys_bits", 40).unwrap();
    for clone in [dump.clone(), apart(&dump), apart(&apart(&dump))] {
        for path in [None, Some("addrxlat"), Some("addrxlat.default"), Some(".addrxlat.default")] {
            assert_eq!(keys(&clone, path), keys(&dump, path), "{path:?}");
        }
        let root = clone.attr(None).unwrap();
        let entry = clone.sub_attr(root, "addrxlat.default.phys_bits").unwrap();
        assert_eq!(clone.attr_path(entry).unwrap(), "addrxlat.default.phys_bits");
        for odd in ["..addrxlat", "addrxlat.", "addrxlat..ostype", "addrxlatx", "addrxlat.nothing"] {
            assert_eq!(failure(clone.attr(Some(odd))).0, Status::NoKey, "{odd}");
        }
    }
}

#[test]
fn iteration_of_the_root_shows_ones_own_translation_only() {
    let dump = Context::new();
    let other = apart(&dump);
    assert!(!keys(&dump, None).contains(&"addrxlat".into()));
    set_text(&other, "addrxlat.ostype", "linux").unwrap();
    assert!(!keys(&dump, None).contains(&"addrxlat".into()));
    assert!(keys(&other, None).contains(&"addrxlat".into()));
    // After one's own `addrxlat` the iteration goes on.
    assert_eq!(keys(&other, None).len(), keys(&dump, None).len() + 1);
}

#[test]
fn clearing_all_clears_what_the_clone_sees_and_no_more() {
    let dump = Context::new();
    for clone in [&dump, &apart(&dump)] {
        set_text(clone, "addrxlat.ostype", "linux").unwrap();
    }
    let other = apart(&dump);
    set_text(&other, "linux.uts.nodename", "host").unwrap();
    other.clear(None).unwrap();
    assert!(!is_set(&other, "addrxlat.ostype") && !is_set(&dump, "linux.uts.nodename"));
    assert_eq!(dump.string("addrxlat.ostype").unwrap(), "linux");
}

#[test]
fn clone_of_a_clone_shares_or_splits_its_translation() {
    let dump = Context::new();
    let other = apart(&dump);
    let (shares, splits) = (other.clone(), apart(&other));
    set(&other, "addrxlat.default.virt_bits", 39).unwrap();
    assert_eq!(shares.number("addrxlat.default.virt_bits"), Ok(39));
    assert!(!is_set(&splits, "addrxlat.default.virt_bits"));
    assert!(!is_set(&dump, "addrxlat.default.virt_bits"));
}

#[test]
fn operating_system_of_the_original_is_that_of_the_clone() {
    // The C library forgets it, until the attribute is cleared and set again.
    let dump = Context::new();
    vmcoreinfo(&dump, "KEY=1\n").unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    assert_eq!(apart(&dump).vmcoreinfo_line("KEY").unwrap(), "1");
}

#[test]
fn references_lead_to_the_translation_they_were_taken_from() {
    let dump = Context::new();
    let other = apart(&dump);
    let ostype = other.attr(Some("addrxlat.ostype")).unwrap();
    dump.set_attr(ostype, Value::from("xen")).unwrap();
    assert_eq!(other.string("addrxlat.ostype").unwrap(), "xen");
    assert!(!is_set(&dump, "addrxlat.ostype"));
    drop(other);
    assert_eq!(failure(dump.get_attr(ostype)), fails(Status::NoKey, "No such key"));
}

#[test]
fn volatile_options_go_with_the_dump_in_every_translation_and_others_stay() {
    let dump = Context::new();
    let other = apart(&dump);
    for (clone, bits) in [(&dump, 40), (&other, 41)] {
        set(clone, "addrxlat.default.phys_bits", bits).unwrap();
    }
    other.open_bytes(dump_file()).unwrap();
    dump.open_bytes(dump_file()).unwrap();
    for (clone, bits) in [(&dump, 40), (&other, 41)] {
        assert_eq!(clone.number("addrxlat.default.phys_bits"), Ok(bits));
    }
}

// --- Private data and callbacks --------------------------------------------------------

#[test]
fn private_data_are_copied_at_the_clone_and_never_again() {
    let dump = Context::new();
    assert!(dump.private_data::<u32>().is_none());
    dump.set_private_data(1u32);
    for clone in [dump.clone(), apart(&dump)] {
        assert_eq!(clone.private_data::<u32>().as_deref(), Some(&1));
        clone.set_private_data("two");
        assert_eq!(dump.private_data::<u32>().as_deref(), Some(&1));
        assert!(clone.private_data::<u32>().is_none(), "another type");
        clone.clear_private_data();
        assert!(clone.private_data::<&str>().is_none());
    }
    let clone = dump.clone();
    dump.set_private_data(3u32);
    assert_eq!(clone.private_data::<u32>().as_deref(), Some(&1));
}

#[test]
fn private_data_may_use_a_context_when_they_go_away() {
    struct Last(Lock<Context>, Shared<Lock<u64>>);
    impl Drop for Last {
        fn drop(&mut self) {
            let context = self.0.lock();
            assert!(context.private_data::<Last>().is_none());
            *self.1.lock() += context.number("cache.size").unwrap();
        }
    }
    let sum = Shared::new(Lock::new(0));
    let dump = Context::new();
    let other = dump.clone();
    dump.set_private_data(Last(Lock::new(other), sum.clone()));
    dump.set_private_data(0);
    assert_eq!(*sum.lock(), 1024);
}

#[test]
fn symbol_callback_is_asked_for_what_vmcoreinfo_does_not_know() {
    let dump = Context::new();
    vmcoreinfo(&dump, "SYMBOL(known)=1000\n").unwrap();
    assert_eq!(failure(dump.symbol_value("known")), fails(Status::NoData, "OS type is not set"));
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    assert_eq!(failure(dump.symbol_value("other")), fails(Status::NoData, "Symbol not found"));
    dump.set_callbacks(with_symbols(|_, name| match name {
        "other" => Ok(2),
        _ => Err(Error::no_data("No such line in System.map")),
    }));
    assert_eq!(dump.symbol_value("known"), Ok(0x1000));
    assert_eq!(dump.symbol_value("other"), Ok(2));
    let unknown = failure(dump.symbol_value("third"));
    assert_eq!(unknown, fails(Status::NoData, "No such line in System.map"));
    assert_eq!(dump.last_error().unwrap().message(), unknown.1);
}

#[test]
fn callbacks_are_copied_at_the_clone_and_never_again() {
    let dump = Context::new();
    dump.set_callbacks(with_symbols(|_, _| Ok(1)));
    for clone in [dump.clone(), apart(&dump)] {
        assert_eq!(clone.symbol_value("s"), Ok(1));
        let old = clone.set_callbacks(with_symbols(|_, _| Ok(2)));
        assert_eq!(old.symbol_value.unwrap().symbol_value(&dump, "s"), Ok(1));
        assert_eq!((dump.symbol_value("s"), clone.symbol_value("s")), (Ok(1), Ok(2)));
        clone.set_callbacks(Callbacks::default());
        assert_eq!(failure(clone.symbol_value("s")).1, "OS type is not set");
        assert_eq!(dump.symbol_value("s"), Ok(1));
    }
}

#[test]
fn callback_gets_the_calling_context_and_may_do_anything_with_it() {
    let dump = Context::new();
    dump.open_bytes(dump_file()).unwrap();
    dump.set_private_data(10u64);
    dump.set_callbacks(with_symbols(|context, _| {
        // Reads, fails, changes attributes, clones, even replaces itself.
        let mut word = [0; 8];
        context.read(Space::MachinePhysical, 4096, &mut word)?;
        assert!(context.get("nothing").is_err());
        set(context, "cache.size", 5)?;
        let _ = context.clone();
        context.set_callbacks(Callbacks::default());
        Ok(*context.private_data::<u64>().unwrap() + u64::from(word[0]))
    }));
    let clone = dump.clone();
    clone.set_private_data(20u64);
    let byte = u64::from(page(1, 1)[0]);
    assert_eq!(clone.symbol_value("s"), Ok(20 + byte));
    assert_eq!(clone.last_error(), None, "the failure within is not that of the call");
    assert_eq!(dump.symbol_value("s"), Ok(10 + byte));
    assert_eq!(failure(dump.symbol_value("s")).0, Status::NoData, "it removed itself");
}

// --- VMCOREINFO calls ------------------------------------------------------------------

#[test]
fn vmcoreinfo_calls_say_what_is_missing() {
    let dump = Context::new();
    for result in [
        dump.vmcoreinfo_raw().map(drop),
        dump.vmcoreinfo_line("A").map(drop),
        dump.vmcoreinfo_symbol("s").map(drop),
    ] {
        assert_eq!(failure(result), fails(Status::NoData, "OS type is not set"));
    }
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    assert_eq!(failure(dump.vmcoreinfo_raw()).1, "linux.vmcoreinfo.raw is not set");
    assert_eq!(failure(dump.vmcoreinfo_line("A")).1, "linux.vmcoreinfo.lines is not set");
    assert_eq!(failure(dump.vmcoreinfo_symbol("s")).1, "linux.vmcoreinfo.SYMBOL is not set");

    let text = "A=1\nB.C=2\nSYMBOL(s)=ff\nSYMBOL(d.e)=1\n";
    vmcoreinfo(&dump, text).unwrap();
    assert_eq!(dump.vmcoreinfo_raw().unwrap(), text.as_bytes());
    assert_eq!(dump.vmcoreinfo_line("A").unwrap(), "1");
    assert_eq!(dump.vmcoreinfo_line("B.C").unwrap(), "2");
    assert_eq!(dump.vmcoreinfo_symbol("s"), Ok(0xff));
    for (result, text) in [
        (dump.vmcoreinfo_line("Z").map(drop), "No such VMCOREINFO line"),
        (dump.vmcoreinfo_line("B").map(drop), "No such VMCOREINFO line"),
        (dump.vmcoreinfo_symbol("z").map(drop), "Symbol not found"),
        (dump.vmcoreinfo_symbol("d").map(drop), "Symbol not found"),
    ] {
        assert_eq!(failure(result), fails(Status::NoData, text));
    }
    dump.clear(Some("linux.vmcoreinfo.lines.A")).unwrap();
    dump.clear(Some("linux.vmcoreinfo.SYMBOL.s")).unwrap();
    assert_eq!(failure(dump.vmcoreinfo_line("A")).1, "Data has been cleared");
    assert_eq!(failure(dump.vmcoreinfo_symbol("s")).1, "Symbol has no value");
    dump.clear(Some("linux.vmcoreinfo.raw")).unwrap();
    assert_eq!(failure(dump.vmcoreinfo_raw()).1, "linux.vmcoreinfo.raw is not set");
    assert_eq!(failure(dump.vmcoreinfo_line("B.C")).1, "No such VMCOREINFO line");
    assert_eq!(failure(dump.vmcoreinfo_symbol("s")).1, "Symbol not found");
}

// --- Who outlives whom -----------------------------------------------------------------

/// Bytes that tell when they go away.
struct Tracked(Vec<u8>, Shared<Lock<u32>>);

impl ReadAt for Tracked {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.read_at(pos, buf)
    }

    fn len(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        *self.1.lock() += 1;
    }
}

#[test]
fn files_go_once_with_the_last_clone_in_whatever_order_they_go() {
    for order in 0..120u32 {
        let gone = Shared::new(Lock::new(0));
        let dump = Context::new();
        dump.open(vec![Shared::new(Tracked(dump_file(), gone.clone())) as Source]).unwrap();
        let second = apart(&dump);
        let mut family = vec![second.clone(), apart(&second), dump.clone(), second, dump];
        let mut number = order;
        while !family.is_empty() {
            assert_eq!(*gone.lock(), 0);
            let next = family.swap_remove(number as usize % family.len());
            number /= 2;
            let mut word = [0; 8];
            next.read(Space::MachinePhysical, 4096, &mut word).unwrap();
            assert_eq!(word, page(1, 1)[..8]);
        }
        assert_eq!(*gone.lock(), 1);
    }
}

#[test]
fn long_chains_of_clones_end_from_both_ends() {
    for first in [true, false] {
        let mut chain = vec![Context::new()];
        for depth in 0..300 {
            let next = if depth % 3 == 0 { apart(&chain[depth]) } else { chain[depth].clone() };
            set(&next, "addrxlat.default.virt_bits", depth as u64).unwrap();
            chain.push(next);
        }
        while !chain.is_empty() {
            let gone = if first { chain.remove(0) } else { chain.pop().unwrap() };
            assert_eq!(gone.number("cache.size"), Ok(1024));
        }
    }
}

#[test]
fn what_was_handed_out_outlives_all_contexts() {
    let dump = Context::new();
    dump.open_bytes(dump_file()).unwrap();
    let blob = dump.blob("linux.vmcoreinfo.raw").unwrap();
    let pages = dump.bitmap("file.pagemap").unwrap();
    let pin = blob.pin();
    let clone = dump.clone();
    drop(dump);
    assert_eq!(failure(blob.set(vec![])).0, Status::Busy);
    drop(clone);
    assert_eq!(pin.with(<[u8]>::to_vec), b"OSRELEASE=6.1\nSYMBOL(known)=1000\n");
    drop(pin);
    blob.set(vec![]).unwrap();
    assert_eq!(pages.find_set(0), Ok(0));
    assert_eq!(pages.find_clear(0), Ok(4));
}
