//! Clones of one dump in several threads.
#![cfg(any(feature = "std-threads", feature = "spin-threads"))]

mod context_support;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use context_support::{CallsBack, failure, page, set, set_text};
use kdumpfile::io::Source;
use kdumpfile::{Context, Space, Status};
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;

const PAGES: u64 = 32;

fn dump_of(seed: u64) -> Vec<u8> {
    let pages = (0..PAGES).map(|pfn| (pfn, page(seed, pfn)));
    DiskdumpBuilder::default()
        .pages(pages, Codec::Zlib)
        .vmcoreinfo(format!("OSRELEASE=6.1.0\nSEED={seed}\n"))
        .build()
}

fn read(dump: &Context, pfn: u64) -> kdumpfile::Result<Vec<u8>> {
    let mut bytes = vec![0; 4096];
    dump.read(Space::MachinePhysical, pfn << 12, &mut bytes).map(|()| bytes)
}

/// Runs `body` in four threads, each with a clone and a number.
fn in_threads(dump: &Context, body: impl Fn(Context, u64) + Sync) {
    let start = Barrier::new(4);
    thread::scope(|scope| {
        for number in 0..4 {
            let (clone, body, start) = (dump.clone(), &body, &start);
            scope.spawn(move || {
                start.wait();
                body(clone, number);
            });
        }
    });
}

#[test]
fn clones_read_the_same_dump_at_the_same_time() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    for slots in [1024, 8] {
        set(&dump, "cache.size", slots).unwrap();
        in_threads(&dump, |clone, number| {
            for step in 0..200 {
                let pfn = (step * 7 + number * 3) % PAGES;
                assert_eq!(
                    read(&clone, pfn).unwrap(),
                    page(1, pfn),
                    "never busy: four readers, {slots} slots"
                );
            }
        });
        let (hits, misses) = (dump.number("cache.hits").unwrap(), dump.number("cache.misses").unwrap());
        assert_eq!(hits + misses, 800, "each read counts once");
    }
}

#[test]
fn readers_of_one_page_are_never_refused() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    for round in 0..20 {
        // A new and empty cache each time, with a slot for one page only.
        set(&dump, "cache.size", 2).unwrap();
        set(&dump, "cache.size", 1).unwrap();
        in_threads(&dump, |clone, _| assert_eq!(read(&clone, round).unwrap(), page(1, round)));
    }
}

#[test]
fn too_few_slots_refuse_but_lose_nothing() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    set(&dump, "cache.size", 1).unwrap();
    in_threads(&dump, |clone, number| {
        for step in 0..100 {
            let pfn = (step + number * 8) % PAGES;
            match read(&clone, pfn) {
                Ok(bytes) => assert_eq!(bytes, page(1, pfn)),
                Err(error) => {
                    assert_eq!(error.status(), Status::Busy);
                    let text = error.message();
                    assert!(text.starts_with("Cache is fully utilized: its only slot is in use ("), "{text}");
                    assert!(text.ends_with("; retry, or raise cache.size"), "{text}");
                }
            }
        }
    });
    for pfn in 0..PAGES {
        assert_eq!(read(&dump, pfn).unwrap(), page(1, pfn), "the slot came back");
    }
}

/// Says so when it goes away, also after a failed assertion.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn readers_see_one_dump_or_the_other_while_dumps_are_opened() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    let done = AtomicBool::new(false);
    let files = [dump_of(1), dump_of(2)];
    in_threads(&dump, |clone, number| {
        if number == 0 {
            let _done = Done(&done);
            for round in 0..20 {
                clone.open_bytes(files[round % 2].clone()).unwrap();
                let seed = round as u64 % 2 + 1;
                assert_eq!(read(&clone, 3).unwrap(), page(seed, 3), "no old page once it is open");
                assert_eq!(clone.string("linux.vmcoreinfo.lines.SEED").unwrap(), seed.to_string());
            }
            return;
        }
        let mut pfn = number;
        while !done.load(Ordering::Acquire) {
            pfn = (pfn + 5) % PAGES;
            match read(&clone, pfn) {
                Ok(bytes) => {
                    assert!(bytes == page(1, pfn) || bytes == page(2, pfn), "a mixture of two dumps")
                }
                // Between two dumps there is none.
                Err(error) => assert_eq!(error.status(), Status::AddrXlat, "{error}"),
            }
        }
    });
}

#[test]
fn cache_may_be_replaced_while_others_read() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    in_threads(&dump, |clone, number| {
        for step in 0..100 {
            if number == 0 {
                set(&clone, "cache.size", 16 + step % 3).unwrap();
            } else {
                let pfn = (step + number) % PAGES;
                assert_eq!(read(&clone, pfn).unwrap(), page(1, pfn));
            }
        }
    });
}

#[test]
fn attributes_change_as_a_whole() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    set_text(&dump, "linux.uts.nodename", "0").unwrap();
    in_threads(&dump, |clone, number| {
        for step in 0..300 {
            if number < 2 {
                let text = number.to_string().repeat(if step % 2 == 0 { 1 } else { 100 });
                set_text(&clone, "linux.uts.nodename", &text).unwrap();
                set(&clone, "arch.page_shift", 12 + step % 2).unwrap();
            } else if let Ok(text) = clone.string("linux.uts.nodename") {
                let first = &text[..1];
                assert!(text.chars().all(|c| first.starts_with(c)), "{text}");
            }
            // An error is nobody's but its own.
            if number == 3 {
                failure(clone.get("nothing"));
            } else {
                clone.number("cache.size").unwrap();
                assert_eq!(clone.last_error(), None);
            }
        }
    });
}

#[test]
fn only_one_of_two_opens_at_the_same_time_and_the_other_is_told() {
    let dump = Context::new();
    let source = CallsBack::new(dump_of(1));
    let files = dump_of(2);
    source.next_read(&dump, move |inner| {
        thread::scope(|scope| {
            let other = inner.clone();
            let files = files.clone();
            scope.spawn(move || {
                let refused = failure(other.open_bytes(files));
                assert_eq!(refused, (Status::Busy, "file #0: Another dump is being opened".into()));
            });
        });
    });
    dump.open(vec![source as Source]).unwrap();
    assert_eq!(read(&dump, 1).unwrap(), page(1, 1));
}

#[test]
fn context_moves_to_another_thread_and_back() {
    let dump = Context::new();
    dump.open_bytes(dump_of(1)).unwrap();
    let dump = thread::spawn(move || {
        assert_eq!(read(&dump, 1).unwrap(), page(1, 1));
        failure(dump.get("nothing"));
        dump
    });
    let dump = dump.join().unwrap();
    assert_eq!(dump.last_error().unwrap().status(), Status::NoKey, "its error moves along");
    assert_eq!(read(&dump, 1).unwrap(), page(1, 1));
}
