//! The records of an LKCD dump, followed by several clones under every order
//! of steps: each page is found, and what is wrong is wrong for all of them.
#![cfg(loom)]

use std::sync::Arc;

use kdumpfile::io::{ReadAt, Source};
#[cfg_attr(not(broken), allow(unused_imports))]
use kdumpfile::sync::Fault;
use kdumpfile::{Context, Result, Space, Status};
use kdumpfile_loom_tests::models;
use kdumpfile_testkit::diskdump::WordSize;
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::lkcd::LkcdBuilder;
use loom::thread;

const PAGE: u64 = 512;

/// Bytes that are read, where somebody else may go on meanwhile.
struct Slow(Vec<u8>);

impl ReadAt for Slow {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        thread::yield_now();
        self.0.read_at(pos, buf)
    }

    fn len(&self) -> Option<u64> {
        Some(self.0.len() as u64)
    }
}

/// A dump of these pages, each of which is full of its number.
fn dump_of(pfns: &[u64]) -> Context {
    let mut builder =
        LkcdBuilder::new(9, WordSize::Bits64, ByteOrder::Little).page_size(PAGE as u32).data_offset(742);
    for &pfn in pfns {
        builder = builder.raw(pfn, vec![pfn as u8; PAGE as usize]);
    }
    let dump = Context::new();
    dump.open(vec![Arc::new(Slow(builder.build())) as Source]).unwrap();
    dump
}

/// Whether a page was read, which then has its own bytes.
fn read(dump: &Context, pfn: u64) -> Result<(), Status> {
    let mut bytes = [0; 16];
    dump.read(Space::MachinePhysical, pfn * PAGE, &mut bytes).map_err(|error| error.status())?;
    assert_eq!(bytes, [pfn as u8; 16]);
    Ok(())
}

models! {
    lkcd_clones_that_follow_records_at_the_same_time_find_every_page (preemptions 2, branches 5000)
        => Fault::RecordsAddedTwice, || {
        let dump = dump_of(&[4, 1, 2]);
        let clone = dump.clone();
        let other = thread::spawn(move || read(&clone, 2));
        let mine = read(&dump, 1);
        assert_eq!((mine, other.join().unwrap()), (Ok(()), Ok(())));
        assert_eq!(read(&dump, 3), Err(Status::NoData));
        assert_eq!(dump.number("max_pfn"), Ok(5));
    }

    lkcd_max_pfn_is_the_same_whoever_reads_pages_meanwhile (preemptions 2, branches 5000)
        => Fault::RecordsAddedTwice, || {
        let dump = dump_of(&[1, 7, 3]);
        let clone = dump.clone();
        let other = thread::spawn(move || (read(&clone, 3), read(&clone, 9)));
        let highest = dump.number("max_pfn");
        assert_eq!(other.join().unwrap(), (Ok(()), Err(Status::NoData)));
        assert_eq!(highest, Ok(8));
    }

    lkcd_a_duplicate_hides_what_is_behind_it_and_nothing_else (preemptions 2, branches 5000)
        => Fault::RecordsAddedTwice, || {
        let dump = dump_of(&[1, 2, 1, 3]);
        let clone = dump.clone();
        let other = thread::spawn(move || read(&clone, 3));
        let mine = read(&dump, 2);
        assert_eq!((mine, other.join().unwrap()), (Ok(()), Err(Status::Corrupt)));
        assert_eq!((read(&dump, 1), read(&dump, 9)), (Ok(()), Err(Status::Corrupt)));
    }
}
