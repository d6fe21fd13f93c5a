//! Two threads without std: each has a clone of the context of one dump.
//! The library's own locks spin (feature `spin-threads`).
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use kdumpfile::io::Source;
use kdumpfile::sync::{Lock, Shared};
use kdumpfile::{Context, Error, Result, Space, Status, Value};
use kdumpfile_bare::flash::Flash;
use kdumpfile_bare::heap::{Needs, heap};
use kdumpfile_bare::pages::{Pages, read_all};
use kdumpfile_bare::stack::{MAIN_STACK, Stack};
use kdumpfile_bare::system::{Thread, pause};
use kdumpfile_bare::{DUMP, say};

/// Sizes of the page cache, the first of which is too small for two.
const SIZES: [u64; 3] = [1, 2, 1024];
const ROUNDS: usize = SIZES.len() + 1;

static STACKS: [[Stack; 2]; ROUNDS] = [const { [const { Stack::new() }; 2] }; ROUNDS];
static ALIVE: [[AtomicU32; 2]; ROUNDS] = [const { [const { AtomicU32::new(0) }; 2] }; ROUNDS];

/// Whether reads of the first thread of the last round are held up until the
/// second has tried to read.
static HELD: AtomicBool = AtomicBool::new(false);
/// Reads that the second thread of that round has ended.
static TRIED: AtomicU64 = AtomicU64::new(0);

/// Whether the first thread is held up at this moment, or has come to its end.
static WAITING: AtomicBool = AtomicBool::new(false);

/// There is no thread-local storage: the stack tells which thread it is.
fn hold_up() {
    if HELD.load(Ordering::Acquire) && STACKS[ROUNDS - 1][0].is_mine() {
        let tried = TRIED.load(Ordering::Acquire);
        WAITING.store(true, Ordering::Release);
        while HELD.load(Ordering::Acquire) && TRIED.load(Ordering::Acquire) == tried {
            pause();
        }
        WAITING.store(false, Ordering::Release);
    }
}

/// Runs a body in each of two threads, and hands out what they return and the
/// most that their stacks were used.
fn in_two_threads<R: Send + 'static>(
    round: usize,
    dump: &Context,
    bodies: [fn(&Context) -> R; 2],
) -> Result<([R; 2], usize)> {
    let results: [Shared<Lock<Option<R>>>; 2] = [Shared::default(), Shared::default()];
    let mut threads = Vec::new();
    for (number, body) in bodies.into_iter().enumerate() {
        let (clone, result) = (dump.clone(), results[number].clone());
        let (stack, alive) = (&STACKS[round][number], &ALIVE[round][number]);
        let thread = Thread::start(stack, alive, move || {
            let returned = body(&clone);
            *result.lock() = Some(returned);
        });
        threads.push(thread.ok_or_else(|| Error::system("Cannot start a thread"))?);
    }
    let used = threads.into_iter().map(Thread::join).max().unwrap_or(0);
    let take = |result: &Lock<Option<R>>| result.lock().take();
    match (take(&results[0]), take(&results[1])) {
        (Some(first), Some(second)) => Ok(([first, second], used)),
        _ => Err(Error::system("A thread ended without a result")),
    }
}

#[unsafe(no_mangle)]
fn run() -> Result<()> {
    let dump = Context::new();
    dump.open(Vec::from([Shared::new(Flash::new(DUMP, hold_up)) as Source]))?;
    let read: fn(&Context) -> Result<Pages> = |clone| read_all(clone, pause);
    let mut stack = 0;
    for (round, slots) in SIZES.into_iter().enumerate() {
        dump.set("cache.size", Value::Number(slots))?;
        heap().restart();
        let ([first, second], used) = in_two_threads(round, &dump, [read, read])?;
        let (first, second) = (first?, second?);
        if (first.number, first.sha256) != (second.number, second.sha256) {
            return Err(Error::corrupt("The two threads read different bytes"));
        }
        stack = used.max(stack);
        let busy = [first.busy, second.busy];
        say!("{first}, cache.size {slots}: heap {} bytes at the most, busy {busy:?}", heap().needs().peak);
        if slots >= 2 && busy != [0, 0] {
            return Err(Error::new(Status::Busy, "There was a slot for each thread"));
        }
    }

    // One slot, and the thread that fills it is held up in the middle: the
    // other is refused at once instead of waiting, and reads later.
    dump.set("cache.size", Value::Number(2))?;
    dump.set("cache.size", Value::Number(1))?;
    HELD.store(true, Ordering::Release);
    let ([first, second], used) = in_two_threads(ROUNDS - 1, &dump, [read_first, read_last])?;
    let (filled, refused) = (first?, second?);
    if filled != 0 || refused == 0 {
        return Err(Error::corrupt("The thread that needs a slot in use was not refused"));
    }
    say!("held up in the middle of a read: the other thread was busy, then read its page");
    stack = used.max(stack);

    drop(dump);
    let Needs { live, reach, .. } = heap().needs();
    say!("heap left: {live} bytes; reached: {reach} bytes");
    say!("stack: {} bytes, {stack} of a thread", MAIN_STACK.used());
    Ok(())
}

/// Reads one page until it is there; returns how often the cache was busy.
fn read_page(dump: &Context, pfn: u64, after: fn(bool)) -> Result<u64> {
    let page_size = dump.number("arch.page_size")?;
    let mut busy = 0;
    loop {
        let result = dump.read(Space::MachinePhysical, pfn * page_size, &mut [0; 64]);
        let refused = matches!(&result, Err(error) if error.status() == Status::Busy);
        after(refused);
        match result {
            Err(_) if refused => {
                busy += 1;
                pause();
            }
            result => return result.map(|()| busy),
        }
    }
}

fn read_first(dump: &Context) -> Result<u64> {
    let first = dump.bitmap("file.pagemap")?.ranges().next().unwrap_or(Ok((0, 0)))?.0;
    let read = read_page(dump, first, |_| {});
    WAITING.store(true, Ordering::Release);
    read
}

/// Other pages than the first, until one is refused.
fn read_last(dump: &Context) -> Result<u64> {
    let pagemap = dump.bitmap("file.pagemap")?;
    for range in pagemap.ranges() {
        let (first, last) = range?;
        for pfn in (first..=last).skip(1) {
            // Or all pages might be read before the first thread begins.
            while !WAITING.load(Ordering::Acquire) {
                pause();
            }
            let busy = read_page(dump, pfn, |refused| {
                TRIED.fetch_add(1, Ordering::AcqRel);
                if refused {
                    HELD.store(false, Ordering::Release);
                }
            });
            match busy {
                Ok(0) => {}
                other => {
                    HELD.store(false, Ordering::Release);
                    return other;
                }
            }
        }
    }
    HELD.store(false, Ordering::Release);
    Ok(0)
}
