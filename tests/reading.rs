//! Reading memory through a context, whatever the format.

mod context_support;

use context_support::{CallsBack, fails, failure, is_set, page, set, set_text, unknown};
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Space, Status};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::elf::ElfBuilder;

const PAGE: usize = 4096;
const PHYSICAL: Space = Space::MachinePhysical;

/// A compressed dump of these pages; RAM reaches to page 15.
fn compressed(seed: u64, pfns: &[u64]) -> Vec<u8> {
    let pages = pfns.iter().map(|pfn| (*pfn, page(seed, *pfn)));
    DiskdumpBuilder::default().ram(0..16).pages(pages, Codec::Zlib).max_mapnr(16).build()
}

fn open(bytes: Vec<u8>) -> Context {
    let dump = Context::new();
    dump.open_bytes(bytes).unwrap();
    dump
}

fn read(dump: &Context, address: u64, length: usize) -> kdumpfile::Result<Vec<u8>> {
    let mut bytes = vec![0xaa; length];
    dump.read(PHYSICAL, address, &mut bytes)?;
    Ok(bytes)
}

fn counters(dump: &Context) -> (u64, u64) {
    (dump.number("cache.hits").unwrap(), dump.number("cache.misses").unwrap())
}

// --- What is read ------------------------------------------------------------------

#[test]
fn reads_cross_pages_and_stop_at_the_page_that_is_missing() {
    let dump = open(compressed(1, &[0, 1, 3]));
    let memory = [page(1, 0), page(1, 1)].concat();
    for (start, length) in [(0, 1), (0, 4096), (4095, 2), (1, 8190), (0, 8192), (8191, 1)] {
        assert_eq!(read(&dump, start, length as usize).unwrap(), memory[start as usize..][..length as usize]);
    }
    let mut bytes = vec![0xaa; 3 * PAGE];
    let (done, result) = dump.read_partial(PHYSICAL, 100, &mut bytes);
    assert_eq!(failure(result), fails(Status::NoData, "Excluded page"));
    assert_eq!(done, 2 * PAGE - 100);
    assert_eq!(bytes[..done], memory[100..]);
    assert!(bytes[done..].iter().all(|byte| *byte == 0xaa), "the rest is untouched");
    assert_eq!(read(&dump, 3 << 12, 8).unwrap(), page(1, 3)[..8]);
}

#[test]
fn reading_nothing_always_works() {
    let dump = open(compressed(1, &[0]));
    for space in [Space::KernelPhysical, PHYSICAL, Space::KernelVirtual] {
        for address in [0, 5 << 12, u64::MAX] {
            dump.read(space, address, &mut []).unwrap();
        }
    }
    assert_eq!(counters(&dump), (0, 0));
}

#[test]
fn addresses_wrap_at_the_end_of_the_address_space() {
    let top = 0u64.wrapping_sub(PAGE as u64);
    let dump = open(ElfBuilder::for_arch(Arch::X86_64).load(top, page(1, 7)).load(0, page(1, 0)).build());
    set_text(&dump, "arch.name", "x86_64").unwrap();
    let both = [page(1, 7), page(1, 0)].concat();
    assert_eq!(read(&dump, top, 2 * PAGE).unwrap(), both);
    assert_eq!(read(&dump, u64::MAX, 2).unwrap(), both[PAGE - 1..][..2]);
    let (done, result) = dump.read_partial(PHYSICAL, top + 1, &mut [0; 3 * PAGE]);
    assert_eq!((done, failure(result).0), (2 * PAGE - 1, Status::NoData));
}

#[test]
fn texts_end_at_the_first_nul_on_whatever_page() {
    let mut third = page(1, 2);
    third[10] = 0;
    let pages = [(0, page(1, 0)), (1, page(1, 1)), (2, third)];
    let dump = open(DiskdumpBuilder::default().pages(pages, Codec::Lzo).ram(0..5).build());
    let memory = [page(1, 0), page(1, 1), page(1, 2)[..10].to_vec()].concat();
    for start in [0, 1, 4095, 4096, 8191, 8192, 8201] {
        assert_eq!(dump.read_string(PHYSICAL, start as u64).unwrap(), memory[start..], "{start}");
    }
    assert_eq!(dump.read_string(PHYSICAL, 8202).unwrap(), [0; 0]);
    assert_eq!(dump.read_string(PHYSICAL, 8203).unwrap_err().status(), Status::NoData, "runs into a hole");
}

#[test]
fn missing_pages_are_zero_only_while_the_user_says_so() {
    let dump = open(compressed(1, &[0, 2]));
    let excluded = fails(Status::NoData, "Excluded page");
    let beyond = fails(Status::NoData, "Out-of-bounds PFN");
    assert_eq!(failure(read(&dump, 1 << 12, 8)), excluded);
    set(&dump, "file.zero_excluded", 1).unwrap();
    assert_eq!(read(&dump, 4090, 12).unwrap(), [&page(1, 0)[4090..], &[0; 6]].concat());
    assert_eq!(read(&dump, 1 << 12, PAGE).unwrap(), [0; PAGE]);
    assert_eq!(failure(read(&dump, 16 << 12, 8)), beyond);
    set(&dump, "file.zero_excluded", 0).unwrap();
    assert_eq!(failure(read(&dump, 1 << 12, 8)), excluded, "zeroes were not kept");
    set(&dump, "file.zero_excluded", 7).unwrap();
    assert_eq!(dump.read_string(PHYSICAL, 1 << 12).unwrap(), [0; 0]);
    dump.clear(Some("file.zero_excluded")).unwrap();
    assert_eq!(failure(read(&dump, 1 << 12, 8)), excluded, "cleared is off");
}

#[test]
fn highest_page_may_be_moved_by_the_user() {
    let dump = open(compressed(1, &[0, 1]));
    set(&dump, "max_pfn", 1).unwrap();
    assert_eq!(failure(read(&dump, 1 << 12, 8)), fails(Status::NoData, "Out-of-bounds PFN"));
    set(&dump, "max_pfn", 2).unwrap();
    assert_eq!(read(&dump, 1 << 12, 8).unwrap(), page(1, 1)[..8]);
}

#[test]
fn spaces_that_need_a_translation_say_so() {
    let dump = open(compressed(1, &[0]));
    // What keeps it from being set up is told at first, once.
    let _ = dump.read(Space::KernelVirtual, 0, &mut [0]);
    let refused = failure(dump.read(Space::KernelVirtual, 0, &mut [0]));
    assert_eq!(refused.0, Status::AddrXlat);
    assert!(refused.1.starts_with("Cannot get page I/O address: "), "{}", refused.1);
}

// --- Cache ---------------------------------------------------------------------------

#[test]
fn cache_counts_hits_and_misses_as_specified() {
    let dump = open(compressed(1, &[0, 1, 2]));
    assert_eq!(counters(&dump), (0, 0), "opening reads no page");
    read(&dump, 0, 1).unwrap();
    assert_eq!(counters(&dump), (0, 1));
    read(&dump, 5, 1).unwrap();
    assert_eq!(counters(&dump), (1, 1));
    read(&dump, 0, 3 * PAGE).unwrap();
    assert_eq!(counters(&dump), (2, 3));
    for misses in [4, 5, 6] {
        failure(read(&dump, 4 << 12, 1));
        assert_eq!(counters(&dump), (2, misses), "a missing page is looked for each time");
    }
    set(&dump, "cache.hits", 100).unwrap();
    read(&dump, 0, 1).unwrap();
    assert_eq!(counters(&dump), (101, 6), "the user may set the counters");
    dump.clear(Some("cache.hits")).unwrap();
    read(&dump, 0, 1).unwrap();
    assert!(!is_set(&dump, "cache.hits"));
    set(&dump, "cache.hits", 0).unwrap();
    assert_eq!(counters(&dump), (0, 6));
}

#[test]
fn changed_cache_size_or_page_size_starts_an_empty_cache() {
    let dump = open(compressed(1, &[0, 1]));
    for (key, value) in [("cache.size", 8), ("cache.size", 1), ("cache.size", 1 << 20)] {
        read(&dump, 0, PAGE).unwrap();
        read(&dump, 0, PAGE).unwrap();
        set(&dump, key, value).unwrap();
        assert_eq!(counters(&dump), (0, 0), "{key}={value}");
        assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
        assert_eq!(counters(&dump), (0, 1));
    }
    set(&dump, "cache.size", 1 << 20).unwrap();
    assert_eq!(counters(&dump), (0, 1), "the same size again changes nothing");
    dump.clear(Some("cache.size")).unwrap();
    assert_eq!(counters(&dump), (0, 1), "nor does clearing it");
}

#[test]
fn cache_without_slots_is_busy() {
    let dump = open(compressed(1, &[0, 1]));
    set(&dump, "cache.size", 0).unwrap();
    let text = "Cache is fully utilized: it has no slots; raise cache.size";
    let busy = fails(Status::Busy, text);
    for _ in 0..2 {
        assert_eq!(failure(read(&dump, 0, 1)), busy);
        assert_eq!(counters(&dump), (0, 0), "a refusal counts as neither");
    }
    set(&dump, "cache.size", 1).unwrap();
    assert_eq!(read(&dump, 0, 2 * PAGE).unwrap(), [page(1, 0), page(1, 1)].concat(), "one page at a time");
}

#[test]
fn huge_cache_takes_no_memory_in_advance() {
    let dump = open(compressed(1, &[0, 1]));
    set(&dump, "cache.size", 4_294_967_295).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
}

#[test]
fn uncompressed_pages_of_a_segment_bypass_the_cache() {
    let dump = open(ElfBuilder::for_arch(Arch::X86_64).load(0, page(1, 0)).build());
    set_text(&dump, "arch.name", "x86_64").unwrap();
    set(&dump, "cache.size", 0).unwrap();
    for policy in [2, 0, 1] {
        set(&dump, "file.mmap_policy", policy).unwrap();
        assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0), "policy {policy}");
    }
    assert_eq!(counters(&dump), (0, 0));
}

#[test]
fn every_slot_in_flight_is_busy_for_others_and_private_for_the_same_page() {
    let dump = Context::new();
    let source = CallsBack::new(compressed(1, &[0, 1, 2]));
    dump.open(vec![source.clone() as Source]).unwrap();
    set(&dump, "cache.size", 1).unwrap();
    source.next_read(&dump, |inner| {
        let text = "Cache is fully utilized: its only slot is in use (0 pinned, 1 being filled); \
                    retry, or raise cache.size";
        assert_eq!(failure(read(inner, 1 << 12, 1)), fails(Status::Busy, text));
        assert_eq!(read(inner, 0, PAGE).unwrap(), page(1, 0), "the page in flight is never refused");
    });
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
    assert_eq!(counters(&dump), (0, 2));
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
    assert_eq!(counters(&dump), (1, 2), "it was kept in the end");
    set(&dump, "cache.size", 2).unwrap();
    source.next_read(&dump, |inner| assert_eq!(read(inner, 1 << 12, PAGE).unwrap(), page(1, 1)));
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
}

#[test]
fn cache_may_be_replaced_in_the_middle_of_a_read() {
    let dump = Context::new();
    let source = CallsBack::new(compressed(1, &[0, 1, 2]));
    dump.open(vec![source.clone() as Source]).unwrap();
    source.next_read(&dump, |inner| {
        set(inner, "cache.size", 3).unwrap();
        assert_eq!(read(inner, 1 << 12, 8).unwrap(), page(1, 1)[..8]);
    });
    assert_eq!(read(&dump, 0, 2 * PAGE).unwrap(), [page(1, 0), page(1, 1)].concat());
    assert_eq!(counters(&dump), (0, 1), "the outer read went on with the old cache");
    assert_eq!(read(&dump, 1 << 12, 8).unwrap(), page(1, 1)[..8]);
    assert_eq!(counters(&dump), (1, 1));
}

#[test]
fn page_too_large_for_memory_is_an_error_without_a_slot() {
    let dump = open(ElfBuilder::for_arch(Arch::X86_64).load(0, page(1, 0)).build());
    for shift in [62, 63] {
        set(&dump, "arch.page_shift", shift).unwrap();
        let (done, result) = dump.read_partial(PHYSICAL, 0, &mut [0; 8]);
        let (status, text) = failure(result);
        assert_eq!(done, 0);
        assert!(matches!(status, Status::System | Status::NoData), "{status:?} {text}");
    }
    set(&dump, "arch.page_shift", 12).unwrap();
    assert_eq!(read(&dump, 0, 8).unwrap(), page(1, 0)[..8]);
}

// --- Opening and opening again ---------------------------------------------------------

#[test]
fn page_size_set_before_opening_is_as_good_as_the_dumps() {
    for set_it in [("arch.page_size", 4096), ("arch.page_shift", 12)] {
        let dump = Context::new();
        set(&dump, set_it.0, set_it.1).unwrap();
        for seed in [1, 2] {
            dump.open_bytes(compressed(seed, &[0])).unwrap();
            assert_eq!(read(&dump, 0, PAGE).unwrap(), page(seed, 0));
        }
    }
}

#[test]
fn unknown_page_size_is_an_error_until_it_is_set() {
    let dump = open(ElfBuilder::for_arch(Arch::Ppc64).load(0, page(1, 0)).build());
    let (status, text) = failure(read(&dump, 0, 1));
    assert_eq!(status, Status::Invalid);
    assert!(text.contains("arch.page_size"), "{text}");
    set(&dump, "arch.page_size", 4096).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
    dump.clear(Some("arch.page_size")).unwrap();
    assert_eq!(failure(read(&dump, 0, 1)).0, Status::Invalid);
    set(&dump, "arch.page_shift", 12).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
}

#[test]
fn another_dump_never_answers_with_pages_or_attributes_of_the_last() {
    let first = DiskdumpBuilder::default()
        .pages([(0, page(1, 0)), (1, page(1, 1))], Codec::Zlib)
        .vmcoreinfo("OSRELEASE=5.4.3\nSYMBOL(first)=1\n")
        .build();
    let elf = ElfBuilder::for_arch(Arch::X86_64).load(0, page(3, 0)).build();
    let dump = open(first.clone());
    for _ in 0..2 {
        assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
        assert_eq!(dump.string("file.format").unwrap(), "diskdump");
        assert_eq!(dump.address("linux.vmcoreinfo.SYMBOL.first"), Ok(1));
        assert!(is_set(&dump, "linux.uts.nodename") || is_set(&dump, "linux.uts.release"));
        let old = dump.bitmap("file.pagemap").unwrap();

        dump.open_bytes(compressed(2, &[0])).unwrap();
        assert_eq!(counters(&dump), (0, 0));
        assert_eq!(read(&dump, 0, PAGE).unwrap(), page(2, 0));
        assert_eq!(failure(read(&dump, 1 << 12, 1)), fails(Status::NoData, "Excluded page"));
        assert!(!is_set(&dump, "linux.vmcoreinfo.SYMBOL") && !is_set(&dump, "linux.vmcoreinfo.raw"));
        assert_eq!(failure(dump.attr(Some("linux.vmcoreinfo.SYMBOL.first"))).0, Status::NoKey);
        assert_eq!((old.find_set(1), old.find_clear(0)), (Ok(1), Ok(2)), "the old bitmap is of the old dump");

        dump.open_bytes(elf.clone()).unwrap();
        assert_eq!(dump.string("file.format").unwrap(), "elf");
        assert_eq!(read(&dump, 0, PAGE).unwrap(), page(3, 0));
        assert!(!is_set(&dump, "linux.uts.release"));
        dump.open_bytes(first.clone()).unwrap();
    }
}

#[test]
fn failed_opening_leaves_nothing_to_read_and_the_next_one_works() {
    let dump = open(compressed(1, &[0]));
    read(&dump, 0, 1).unwrap();
    assert_eq!(failure(dump.open_bytes(unknown())).0, Status::NotImplemented);
    let nothing = fails(Status::AddrXlat, "Cannot get page I/O address: No suitable capabilities");
    assert_eq!(failure(read(&dump, 0, 1)), nothing);
    assert!(!is_set(&dump, "file.format") && !is_set(&dump, "max_pfn"));
    assert_eq!(counters(&dump), (0, 0), "the cache went with the dump");
    let mut lying = compressed(1, &[0]);
    lying.truncate(600);
    let _ = dump.open_bytes(lying);
    dump.open_bytes(compressed(2, &[0])).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(2, 0));
}

#[test]
fn emptied_file_set_leaves_the_dump_readable() {
    let dump = open(compressed(1, &[0]));
    set(&dump, "file.set.number", 0).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
    dump.open(vec![]).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
    assert_eq!(dump.string("file.format").unwrap(), "diskdump");
}

#[test]
fn several_files_of_a_format_that_has_no_sets_are_refused() {
    let elf = ElfBuilder::for_arch(Arch::X86_64).load(0, page(1, 0)).build();
    let dump = Context::new();
    let files = vec![Shared::new(elf.clone()) as Source, Shared::new(elf) as Source];
    assert_eq!(
        failure(dump.open(files)),
        fails(Status::NotImplemented, "file #0: Multiple files not implemented")
    );
}

#[test]
fn clearing_everything_leaves_the_dump_open() {
    let dump = open(compressed(1, &[0]));
    dump.clear(None).unwrap();
    set(&dump, "arch.page_size", 4096).unwrap();
    assert_eq!(read(&dump, 0, PAGE).unwrap(), page(1, 0));
    assert!(is_set(&dump, "cache.misses"), "the new cache has its statistics");
}

#[test]
fn reads_go_on_with_their_dump_when_another_is_opened_meanwhile() {
    let dump = Context::new();
    let source = CallsBack::new(compressed(1, &[0, 1]));
    dump.open(vec![source.clone() as Source]).unwrap();
    source.next_read(&dump, |inner| {
        inner.open_bytes(compressed(2, &[0, 1])).unwrap();
        assert_eq!(read(inner, 0, 8).unwrap(), page(2, 0)[..8]);
    });
    assert_eq!(read(&dump, 0, 2 * PAGE).unwrap(), [page(1, 0), page(1, 1)].concat());
    assert_eq!(read(&dump, 0, 2 * PAGE).unwrap(), [page(2, 0), page(2, 1)].concat());
}
