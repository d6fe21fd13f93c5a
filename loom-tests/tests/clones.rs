//! Clones of a context under every order of steps: what one changes all see,
//! as a whole; what belongs to one stays its own; what nobody has goes once.
//!
//! Numbers are those of the invariants in the specification of context,
//! attributes and cache. Models look at what threads found once all of them
//! are done: a failure while others wait would end the program, not the model.
#![cfg(loom)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use kdumpfile::attr::{AttrType, Attributes, BitSource, Effects, Facts, LazyValue};
use kdumpfile::io::{ReadAt, Source};
#[cfg_attr(not(broken), allow(unused_imports))]
use kdumpfile::sync::Fault;
use kdumpfile::sync::Lock;
use kdumpfile::xlat::{Kind, MethodIndex};
use kdumpfile::{Bitmap, Blob, Callbacks, CloneOptions, Context, Result, Space, Status, Value};
use kdumpfile_loom_tests::models;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use loom::thread;

/// A dump of one page that is full of `byte`; its VMCOREINFO says which.
fn dump_of(byte: u8) -> Vec<u8> {
    DiskdumpBuilder::default()
        .data(0, vec![byte; 4096], Codec::Snappy)
        .vmcoreinfo(format!("OSRELEASE=6.1.0\nBYTE={byte}\n"))
        .build()
}

/// The contents of the page, if it is one byte all over.
fn read(dump: &Context) -> Result<u8, Status> {
    let mut bytes = [0; 16];
    dump.read(Space::MachinePhysical, 0, &mut bytes).map_err(|error| error.status())?;
    assert_eq!(bytes, [bytes[0]; 16]);
    Ok(bytes[0])
}

fn number(dump: &Context, path: &str) -> u64 {
    dump.number(path).unwrap()
}

fn set(dump: &Context, path: &str, value: u64) -> Result<(), Status> {
    dump.set(path, Value::Number(value)).map_err(|error| error.status())
}

fn apart(dump: &Context) -> Context {
    dump.clone_with(CloneOptions::new().own_translation(true))
}

/// A context that is told where its page tables are.
fn with_root(root: u64) -> Context {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    dump.set("arch.name", Value::from("x86_64")).unwrap();
    set(&dump, "addrxlat.force.virt_bits", 48).unwrap();
    set(&dump, "addrxlat.force.rootpgt.as", 1).unwrap();
    set_root(&dump, root);
    dump
}

fn set_root(dump: &Context, root: u64) {
    dump.set("addrxlat.force.rootpgt.addr", Value::Address(root)).unwrap();
}

/// Where translation takes the page tables to be; nothing if it is not set up.
fn root(dump: &Context) -> Option<u64> {
    match &dump.translation_system().ok()?.method(MethodIndex::PGT)?.kind {
        Kind::Pgt(table) => Some(table.root.addr),
        _ => None,
    }
}

/// A file that counts how often it goes away.
struct Tracked(Vec<u8>, Arc<AtomicUsize>);

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
        self.1.fetch_add(1, SeqCst);
    }
}

/// Computes a value in two steps, and counts.
struct Slow(AtomicUsize);

impl LazyValue for Slow {
    fn compute(&self) -> Result<Value> {
        thread::yield_now();
        Ok(Value::Number(self.0.fetch_add(1, SeqCst) as u64))
    }
}

/// A bitmap that looks at an attribute when it goes away.
struct LooksBack(Lock<Context>);

impl BitSource for LooksBack {
    fn run(&self, _from: u64) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }
}

impl Drop for LooksBack {
    fn drop(&mut self) {
        assert_eq!(number(&self.0.lock(), "cache.size"), 1024);
    }
}

models! {
    inv17_once_a_dump_is_open_no_page_of_the_old_one_is_read (preemptions 2)
        => Fault::StaleSnapshot, || {
        let dump = Context::new();
        dump.open_bytes(dump_of(1)).unwrap();
        assert_eq!(read(&dump), Ok(1));
        let clone = dump.clone();
        let reader = thread::spawn(move || read(&clone));
        dump.open_bytes(dump_of(2)).unwrap();
        let mine = read(&dump);
        // Between the two dumps there is none.
        let theirs = reader.join().unwrap();
        assert!(matches!(theirs, Ok(1 | 2) | Err(Status::AddrXlat)), "{theirs:?}");
        assert_eq!(mine, Ok(2));
    }

    inv17_a_change_is_seen_by_all_once_the_call_is_back (preemptions 3)
        => Fault::StaleSnapshot, || {
        let dump = Context::new();
        dump.open_bytes(dump_of(1)).unwrap();
        let clone = dump.clone();
        let setter = thread::spawn(move || set(&clone, "cache.size", 0).unwrap());
        let meanwhile = read(&dump);
        setter.join().unwrap();
        assert!(matches!(meanwhile, Ok(1) | Err(Status::Busy)), "{meanwhile:?}");
        assert_eq!(read(&dump), Err(Status::Busy));
    }

    inv18_reads_go_on_while_the_cache_is_resized (preemptions 3)
        => Fault::StaleSnapshot, || {
        let dump = Context::new();
        dump.open_bytes(dump_of(1)).unwrap();
        assert_eq!(read(&dump), Ok(1));
        let clone = dump.clone();
        let reader = thread::spawn(move || read(&clone));
        set(&dump, "cache.size", 1).unwrap();
        let mine = read(&dump);
        assert_eq!((mine, reader.join().unwrap()), (Ok(1), Ok(1)));
        // The new cache is used from then on, and counts from zero.
        let counted = number(&dump, "cache.hits") + number(&dump, "cache.misses");
        assert!(matches!(counted, 1 | 2), "{counted}");
    }

    inv19_a_resize_that_fails_leaves_the_cache_in_place
        => Fault::ResizedBeforeCheck, || {
        let dump = Context::new();
        dump.open_bytes(dump_of(1)).unwrap();
        let clone = dump.clone();
        let reader = thread::spawn(move || read(&clone));
        let refused = set(&dump, "cache.size", 1 << 32);
        let mine = read(&dump);
        assert_eq!((mine, reader.join().unwrap()), (Ok(1), Ok(1)));
        assert_eq!(refused, Err(Status::Invalid));
        assert_eq!(number(&dump, "cache.hits") + number(&dump, "cache.misses"), 2);
    }

    inv21_the_dump_goes_once_with_whoever_is_last
        => Fault::LeakedDump, || {
        let gone = Arc::new(AtomicUsize::new(0));
        let dump = Context::new();
        dump.open(vec![Arc::new(Tracked(dump_of(1), gone.clone())) as Source]).unwrap();
        let (clone, other) = (dump.clone(), apart(&dump));
        let first = thread::spawn(move || drop(clone));
        let second = thread::spawn(move || drop(apart(&other)));
        drop(dump);
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(gone.load(SeqCst), 1);
    }

    inv21_clones_are_made_while_their_originals_go
        => Fault::LeakedDump, || {
        let gone = Arc::new(AtomicUsize::new(0));
        let dump = Context::new();
        dump.open(vec![Arc::new(Tracked(dump_of(1), gone.clone())) as Source]).unwrap();
        let clone = dump.clone();
        let cloner = thread::spawn(move || {
            let next = apart(&clone);
            drop(clone);
            assert_eq!(next.number("cache.size"), Ok(1024));
        });
        drop(dump);
        cloner.join().unwrap();
        assert_eq!(gone.load(SeqCst), 1);
    }

    inv22_an_error_belongs_to_the_context_that_had_it
        => Fault::KeptError, || {
        let dump = Context::new();
        assert_eq!(dump.get("nothing").unwrap_err().status(), Status::NoKey);
        let clone = dump.clone();
        let last = |context: &Context| context.last_error().map(|error| error.status());
        let other = thread::spawn(move || {
            let first = last(&clone);
            drop(clone.get("arch.name"));
            [first, last(&clone)]
        });
        let first = last(&dump);
        drop(dump.number("cache.size"));
        let mine = [first, last(&dump)];
        assert_eq!(other.join().unwrap(), [None, Some(Status::NoData)]);
        assert_eq!(mine, [Some(Status::NoKey), None]);
    }

    inv22_private_data_and_callbacks_are_copied_then_ones_own
        => Fault::LostOwn, || {
        let dump = Context::new();
        dump.set_private_data(1u64);
        let callbacks = |answer| Callbacks {
            symbol_value: Some(Arc::new(move |_: &Context, _: &str| Ok(answer))),
        };
        dump.set_callbacks(callbacks(1));
        let clone = dump.clone();
        let own = |context: &Context| {
            (context.private_data::<u64>().map(|data| *data), context.symbol_value("s").ok())
        };
        let other = thread::spawn(move || {
            let copied = own(&clone);
            clone.set_private_data(2u64);
            clone.set_callbacks(callbacks(2));
            [copied, own(&clone)]
        });
        let meanwhile = own(&dump);
        assert_eq!(other.join().unwrap(), [(Some(1), Some(1)), (Some(2), Some(2))]);
        assert_eq!([meanwhile, own(&dump)], [(Some(1), Some(1)); 2]);
    }

    inv23_page_size_and_shift_change_together
        => Fault::HalfPair, || {
        let dump = Context::new();
        set(&dump, "arch.page_shift", 12).unwrap();
        let clone = dump.clone();
        let setter = thread::spawn(move || set(&clone, "arch.page_shift", 13).unwrap());
        let [before, size, after] =
            ["arch.page_shift", "arch.page_size", "arch.page_shift"].map(|path| dump.number(path).ok());
        setter.join().unwrap();
        let together = |shift: u64| Some(1 << shift);
        assert!(before != after || size == before.and_then(together), "{before:?}, {size:?}, {after:?}");
        assert_eq!(dump.number("arch.page_size"), Ok(1 << 13));
    }

    inv23_a_value_that_two_compute_is_one_value_for_both
        => Fault::ComputedTwice, || {
        let tree = Arc::new(Attributes::new());
        let mut effects = Effects::default();
        Facts::new(&tree, &mut effects).set_lazy(
            "xen.type",
            AttrType::Number,
            Arc::new(Slow(AtomicUsize::new(0))),
        );
        let handle = tree.reference(Some("xen.type")).unwrap();
        let get = move |tree: &Attributes| tree.get(handle).unwrap().as_number().unwrap();
        let other = tree.clone();
        let thread = thread::spawn(move || get(&other));
        let mine = get(&tree);
        let theirs = thread.join().unwrap();
        assert_eq!((mine, theirs), (get(&tree), get(&tree)));
    }

    inv23_only_one_of_two_opens (preemptions 2)
        => Fault::TwoOpen, || {
        let dump = Context::new();
        let clone = dump.clone();
        let other = thread::spawn(move || clone.open_bytes(dump_of(1)).map_err(|error| error.status()));
        let mine = dump.open_bytes(dump_of(2)).map_err(|error| error.status());
        let theirs = other.join().unwrap();
        assert!(mine.is_ok() || theirs.is_ok());
        for outcome in [mine, theirs] {
            assert!(matches!(outcome, Ok(()) | Err(Status::Busy)), "{outcome:?}");
        }
        // Attributes and pages are of the same dump.
        let told = dump.string("linux.vmcoreinfo.lines.BYTE").unwrap();
        assert_eq!(read(&dump).unwrap().to_string(), told);
    }

    inv24_a_change_is_in_the_translations_that_begin_after_it (preemptions 2, branches 5000)
        => Fault::UnnoticedChange, || {
        let dump = with_root(0x1000);
        assert_eq!(root(&dump), Some(0x1000));
        let clone = dump.clone();
        let setter = thread::spawn(move || {
            set_root(&clone, 0x2000);
            root(&clone)
        });
        let meanwhile = root(&dump);
        assert_eq!(setter.join().unwrap(), Some(0x2000));
        assert!(matches!(meanwhile, Some(0x1000 | 0x2000)), "{meanwhile:?}");
        assert_eq!(root(&dump), Some(0x2000));
    }

    inv24_nobody_uses_a_translation_that_is_half_made (preemptions 2, branches 5000)
        => Fault::HalfBuilt, || {
        let dump = with_root(0x1000);
        let clone = dump.clone();
        let other = thread::spawn(move || root(&clone));
        let mine = root(&dump);
        assert_eq!([mine, other.join().unwrap()], [Some(0x1000); 2]);
    }

    inv24_translations_of_ones_own_do_not_mix (preemptions 2, branches 5000)
        => Fault::SharedScope, || {
        let dump = with_root(0x1000);
        let other = apart(&dump);
        let setter = thread::spawn(move || {
            set_root(&other, 0x2000);
            root(&other)
        });
        let mine = root(&dump);
        assert_eq!([setter.join().unwrap(), mine], [Some(0x2000), Some(0x1000)]);
        assert_eq!(root(&dump), Some(0x1000));
    }

    inv25_what_is_replaced_may_use_the_dump_when_it_goes
        => Fault::DroppedUnderLock, || {
        let dump = Context::new();
        let looks_back = Bitmap::new(Arc::new(LooksBack(Lock::new(dump.clone()))));
        dump.set("file.pagemap", Value::Bitmap(looks_back)).unwrap();
        let clone = dump.clone();
        let other = thread::spawn(move || drop(clone.clear(Some("file.pagemap"))));
        drop(dump.clear(Some("file.pagemap")));
        other.join().unwrap();
    }

    inv26_a_pinned_blob_keeps_its_bytes
        => Fault::IgnoredPin, || {
        let blob = Blob::new(vec![1, 1]);
        let other = blob.clone();
        let setter = thread::spawn(move || other.set(vec![2, 2]).is_ok());
        let pin = blob.pin();
        let before = pin.with(<[u8]>::to_vec);
        thread::yield_now();
        assert_eq!(pin.with(<[u8]>::to_vec), before);
        drop(pin);
        let replaced = setter.join().unwrap();
        assert_eq!(blob.to_vec(), if replaced { [2, 2] } else { [1, 1] });
        assert!(blob.set(vec![]).is_ok(), "nobody has it pinned any more");
    }
}
