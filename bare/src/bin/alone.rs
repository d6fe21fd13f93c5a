//! One thread, no threads in the library: the context and its clone share by
//! `Rc`. Reads all pages through both, for some sizes of the page cache.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Error, Result, Space, Status, Value};
use kdumpfile_bare::flash::Flash;
use kdumpfile_bare::heap::{Needs, heap};
use kdumpfile_bare::pages::read_all;
use kdumpfile_bare::stack::MAIN_STACK;
use kdumpfile_bare::{DUMP, say};

#[unsafe(no_mangle)]
fn run() -> Result<()> {
    if !kdumpfile_bare::memory::works() {
        return Err(Error::system("The memory functions do not work"));
    }
    let flash = Shared::new(Flash::new(DUMP, || {}));
    let before = heap().needs().live;
    let used = || heap().needs().live - before;
    let dump = Context::new();
    say!("heap of a context without a dump: {} bytes", used());
    dump.open(Vec::from([flash.clone() as Source]))?;
    say!("{} on {}", dump.string("linux.uts.release")?, dump.string("arch.name")?);
    say!("heap of an open dump: {} bytes, {} at the most", used(), heap().needs().peak - before);
    say!("stack up to here: {} bytes", MAIN_STACK.used());

    let opened = used();
    let clone = dump.clone();
    say!("heap of a clone: {} bytes", used() - opened);

    for slots in [1, 2, 16, 64, 1024] {
        dump.set("cache.size", Value::Number(slots))?;
        // A context lets go of the old cache when it is used next.
        let _ = (dump.spaces(), clone.spaces());
        heap().restart();
        let (reads, pages) = (flash.reads(), read_all(&dump, || {})?);
        let reads = flash.reads() - reads;
        let alone = used();
        if read_all(&clone, || {})? != pages {
            return Err(Error::corrupt("The clone reads other bytes"));
        }
        let calls = heap().needs().calls;
        if read_all(&dump, || {})? != pages {
            return Err(Error::corrupt("Pages change when they are read again"));
        }
        let Needs { peak, largest, calls: now, .. } = heap().needs();
        say!("{pages}, cache.size {slots}: {reads} reads of the source, heap {alone} bytes");
        say!("  and with the clone {} at the most, {largest} at once;", peak - before);
        say!("  reading all pages again asked the heap {} times", now - calls);
    }

    // What is not in the file is an error with a text, and nothing worse.
    let error = clone.read(Space::MachinePhysical, !0xfff, &mut [0; 8]);
    if error.as_ref().map_err(Error::status) != Err(Status::NoData) || clone.last_error() != error.err() {
        return Err(Error::corrupt("A page that is not there was read"));
    }
    if dump.last_error().is_some() {
        return Err(Error::corrupt("The error of a clone is another's"));
    }
    drop((dump, clone, flash));
    let Needs { live, reach, align, .. } = heap().needs();
    say!("heap left: {live} bytes; reached: {reach} bytes; alignment up to {align}");
    say!("stack: {} bytes", MAIN_STACK.used());
    Ok(())
}
