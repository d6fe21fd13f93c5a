//! Pages as a whole: guards, runs, and (with `rayon`) all of them in threads.

use kdumpfile::io::ReadAt;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Result, Space, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::elf::{ElfBuilder, Segment};
use kdumpfile_testkit::image::page_bytes;

const PAGE: u64 = 4096;

/// Bytes that cannot be used in place.
struct Copied(Vec<u8>);

impl ReadAt for Copied {
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.read_at(pos, buf)
    }
}

fn pfns() -> impl Iterator<Item = u64> + Clone {
    (2..9).chain([11]).chain(16..40)
}

fn file(codec: Codec) -> Vec<u8> {
    DiskdumpBuilder::default().pages(pfns().map(|pfn| (pfn, page_bytes(pfn))), codec).build()
}

fn open(codec: Codec) -> Context {
    let dump = Context::new();
    dump.open_bytes(file(codec)).unwrap();
    dump
}

#[test]
fn a_guard_has_the_bytes_up_to_the_end_of_the_page() {
    for codec in [Codec::Raw, Codec::Zlib] {
        let dump = open(codec);
        for pfn in pfns() {
            let page = dump.page(Space::MachinePhysical, pfn * PAGE).unwrap();
            assert!(*page == page_bytes(pfn), "{codec:?}, PFN {pfn}");
            let rest = dump.page(Space::KernelPhysical, pfn * PAGE + 4000);
            // This dump has one physical space; the other one says so.
            if let Ok(rest) = rest {
                assert!(*rest == page_bytes(pfn)[4000..]);
            }
            let rest = dump.page(Space::MachinePhysical, pfn * PAGE + 4000).unwrap();
            assert_eq!((rest.address(), rest.len()), (pfn * PAGE + 4000, 96));
            assert!(*rest == page_bytes(pfn)[4000..]);
        }
        let error = dump.page(Space::MachinePhysical, 10 * PAGE).unwrap_err();
        assert_eq!(error.status(), Status::NoData);
        assert_eq!(dump.last_error().unwrap().status(), Status::NoData);
    }
}

#[test]
fn guards_borrow_what_is_stored_and_pin_what_is_unpacked() {
    let elf = || {
        let memory: Vec<u8> = (2..9).flat_map(page_bytes).collect();
        ElfBuilder::for_arch(Arch::X86_64).segment(Segment::load(2 * PAGE, memory)).build()
    };
    let raw = Context::new();
    raw.open(vec![Shared::new(elf())]).unwrap();
    let borrowed = raw.page(Space::MachinePhysical, 2 * PAGE).unwrap();
    assert!(borrowed.is_borrowed() && !borrowed.is_pinned(), "{borrowed:?}");

    let copied = Context::new();
    copied.open(vec![Shared::new(Copied(elf()))]).unwrap();
    let copy = copied.page(Space::MachinePhysical, 2 * PAGE).unwrap();
    assert!(!copy.is_borrowed() && !copy.is_pinned(), "{copy:?}");
    assert!(*copy == *borrowed && *copy == page_bytes(2));

    let packed = open(Codec::Zlib);
    packed.set("cache.size", Value::Number(2)).unwrap();
    let pinned: Vec<_> = (2..4).map(|pfn| packed.page(Space::MachinePhysical, pfn * PAGE).unwrap()).collect();
    assert!(pinned.iter().all(|page| page.is_pinned() && !page.is_borrowed()));
    // Both slots are taken, and stay as they are.
    let error = packed.page(Space::MachinePhysical, 5 * PAGE).unwrap_err();
    assert_eq!(error.status(), Status::Busy);
    assert!(*pinned[0] == page_bytes(2) && *pinned[1] == page_bytes(3));
    drop(pinned);
    assert!(packed.page(Space::MachinePhysical, 5 * PAGE).is_ok());
}

#[test]
fn a_guard_outlives_the_dump_it_is_of() {
    for codec in [Codec::Raw, Codec::Zlib] {
        let dump = open(codec);
        let page = dump.page(Space::MachinePhysical, 3 * PAGE).unwrap();
        dump.open_bytes(vec![0; 64]).unwrap_err();
        assert!(*page == page_bytes(3));
        drop(dump);
        assert!(*page == page_bytes(3), "{codec:?}");
    }
}

#[test]
fn runs_are_those_of_the_bitmap_and_can_be_split() {
    let dump = open(Codec::Raw);
    let runs: Vec<_> = dump.pages().unwrap().map(Result::unwrap).collect();
    let bounds: Vec<_> = runs.iter().map(|run| (run.first_pfn(), run.last_pfn())).collect();
    assert_eq!(bounds, [(2, 8), (11, 11), (16, 39)]);
    assert_eq!(dump.pages().unwrap().count_pages().unwrap(), 32);
    for pages in [0, 1, 3, 24, 1000] {
        let parts: Vec<_> = runs[2].split(pages).collect();
        assert!(parts.iter().all(|part| part.pages() <= pages.max(1) && part.whole() == (16..=39)));
        let addresses: Vec<u64> = parts.iter().flat_map(|part| part.addresses()).collect();
        assert_eq!(addresses, (16..40).map(|pfn| pfn * PAGE).collect::<Vec<_>>());
        assert_eq!(parts[0].address(), Some(16 * PAGE));
    }
    let nothing = Context::new();
    assert_eq!(nothing.pages().err().unwrap().status(), Status::NoData);
}

#[cfg(feature = "rayon")]
#[test]
fn all_pages_are_worked_on_in_order_or_not() {
    use std::ops::ControlFlow;
    let dump = open(Codec::Zlib);
    let read = |worker: &Context, run: kdumpfile::PageRun| -> Vec<(u64, bool)> {
        let pages = run.addresses().zip(run.first_pfn()..);
        let same = |address, pfn| *worker.page(Space::MachinePhysical, address).unwrap() == page_bytes(pfn);
        pages.map(|(address, pfn)| (pfn, same(address, pfn))).collect()
    };
    let expected: Vec<(u64, bool)> = pfns().map(|pfn| (pfn, true)).collect();
    for piece in [0, 2 * PAGE, 1 << 20] {
        let mut all = Vec::new();
        let mut take = |pages: Vec<(u64, bool)>| {
            all.extend(pages);
            ControlFlow::<()>::Continue(())
        };
        dump.par_pages().unwrap().threads(3).piece(piece).ordered(read, &mut take).unwrap();
        assert_eq!(all, expected);
        all.clear();
        let mut take = |pages: Vec<(u64, bool)>| {
            all.extend(pages);
            ControlFlow::<()>::Continue(())
        };
        dump.par_pages().unwrap().piece(piece).unordered(read, &mut take).unwrap();
        all.sort_unstable();
        assert_eq!(all, expected);
    }
}
