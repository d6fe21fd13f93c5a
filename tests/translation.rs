//! Reading by virtual address: how a context sets its translation up, shares
//! it, keeps it up to date, and asks its own callbacks.

mod context_support;

use std::collections::BTreeMap;

use context_support::{fails, failure, page, set, set_text};
use kdumpfile::sync::{Lock, Shared};
use kdumpfile::xlat::{self, Callbacks as Hooks, FullAddr, Next};
use kdumpfile::{Callbacks, CloneOptions, Context, Result, Space, Status, Value};
use kdumpfile_testkit::arch::Arch;
use kdumpfile_testkit::compress::Codec;
use kdumpfile_testkit::diskdump::DiskdumpBuilder;
use kdumpfile_testkit::elf::{Class, ElfBuilder, Segment};
use kdumpfile_testkit::endian::ByteOrder;
use kdumpfile_testkit::notes::{Note, NoteWriter};

const VIRTUAL: Space = Space::KernelVirtual;
/// A page of the direct map of x86_64.
const ADDRESS: u64 = 0xffff_8880_0000_3000;
const ADDRXLAT_MACHPHYS: u64 = 1;

/// Page tables of x86_64 with 4 levels, in pages of memory from `root` on.
struct Tables {
    root: u64,
    next: u64,
    entries: BTreeMap<u64, u64>,
}

impl Tables {
    fn at(root: u64) -> Self {
        Tables { root, next: root + 0x1000, entries: BTreeMap::new() }
    }

    fn map(&mut self, virt: u64, phys: u64) {
        let mut table = self.root;
        for level in (1..4).rev() {
            let place = table + (virt >> (12 + 9 * level) & 511) * 8;
            let next = &mut self.next;
            let entry = self.entries.entry(place).or_insert_with(|| {
                let new = *next | 0x63;
                *next += 0x1000;
                new
            });
            table = *entry & !0xfff;
        }
        self.entries.insert(table + (virt >> 12 & 511) * 8, phys | 0x63);
    }

    fn pages(&self) -> BTreeMap<u64, Vec<u8>> {
        let mut pages = BTreeMap::new();
        for (place, entry) in &self.entries {
            let bytes = pages.entry(place >> 12).or_insert_with(|| vec![0; 4096]);
            let at = (place & 0xfff) as usize;
            bytes[at..at + 8].copy_from_slice(&entry.to_le_bytes());
        }
        pages
    }
}

/// Pages 1 and 2 with contents of their own, and two sets of page tables that
/// map `ADDRESS` to the one or to the other.
const ROOTS: [u64; 2] = [0x10_000, 0x20_000];

fn dump_file() -> Vec<u8> {
    let mut pages = BTreeMap::new();
    for (root, target) in ROOTS.into_iter().zip([1, 2]) {
        let mut tables = Tables::at(root);
        tables.map(ADDRESS, target << 12);
        // The next page leads to one that is not in the dump.
        tables.map(ADDRESS + 0x1000, 0x7000);
        pages.extend(tables.pages());
        pages.insert(target, page(1, target));
    }
    DiskdumpBuilder::for_arch(Arch::X86_64).pages(pages, Codec::Snappy).max_mapnr(0x30).build()
}

fn root(dump: &Context, root: u64) {
    set(dump, "addrxlat.force.rootpgt.as", ADDRXLAT_MACHPHYS).unwrap();
    dump.set("addrxlat.force.rootpgt.addr", Value::Address(root)).unwrap();
}

fn opened() -> Context {
    let dump = Context::new();
    dump.open_bytes(dump_file()).unwrap();
    set(&dump, "addrxlat.force.virt_bits", 48).unwrap();
    root(&dump, ROOTS[0]);
    dump
}

/// Reads, and then again by what is remembered of the first time.
fn read(dump: &Context, address: u64, n: usize) -> Result<Vec<u8>> {
    let once = || {
        let mut bytes = vec![0; n];
        dump.read(VIRTUAL, address, &mut bytes).map(|()| bytes)
    };
    let first = once()?;
    for _ in 0..3 {
        assert_eq!(once().unwrap(), first);
    }
    Ok(first)
}

#[test]
fn virtual_addresses_are_read_through_page_tables() {
    let dump = opened();
    assert_eq!(read(&dump, ADDRESS, 4096).unwrap(), page(1, 1));
    assert_eq!(read(&dump, ADDRESS + 5, 100).unwrap(), page(1, 1)[5..105]);
    assert_eq!(dump.translate_address(VIRTUAL, ADDRESS + 5, Space::MachinePhysical), Ok(0x1005));
    assert_eq!(dump.number("arch.pteval_size"), Ok(8));
}

#[test]
fn reading_stops_where_the_dump_or_the_mapping_ends_and_says_why() {
    let dump = opened();
    let mut bytes = [0; 8192];
    let (done, result) = dump.read_partial(VIRTUAL, ADDRESS, &mut bytes);
    assert_eq!((done, failure(result)), (4096, fails(Status::NoData, "Excluded page")));
    assert_eq!(bytes[..4096], page(1, 1));
    let (status, text) = failure(read(&dump, ADDRESS + 0x2000, 1));
    assert_eq!(status, Status::AddrXlat);
    assert_eq!(text, "Cannot get page I/O address: Page not present: pte[5] = 0x0");
}

#[test]
fn another_root_is_used_from_the_next_read_on() {
    let dump = opened();
    let clone = dump.clone();
    for round in 0..4 {
        root(&dump, ROOTS[round % 2]);
        for context in [&dump, &clone] {
            assert_eq!(read(context, ADDRESS, 8).unwrap(), page(1, round as u64 % 2 + 1)[..8], "{round}");
        }
    }
}

#[test]
fn clone_with_its_own_translation_reads_other_memory_by_the_same_address() {
    let dump = opened();
    let other = dump.clone_with(CloneOptions::new().own_translation(true));
    root(&other, ROOTS[1]);
    for _ in 0..3 {
        assert_eq!(read(&dump, ADDRESS, 8).unwrap(), page(1, 1)[..8]);
        assert_eq!(read(&other, ADDRESS, 8).unwrap(), page(1, 2)[..8]);
    }
    // A clone of the clone joins it.
    let third = other.clone();
    root(&third, ROOTS[0]);
    assert_eq!(read(&other, ADDRESS, 8).unwrap(), page(1, 1)[..8]);
}

#[test]
fn translation_by_the_system_of_another_context_begins_and_ends_at_once() {
    let dump = opened();
    let other = dump.clone_with(CloneOptions::new().own_translation(true));
    root(&other, ROOTS[1]);
    let system = other.translation_system().unwrap();
    for _ in 0..3 {
        assert_eq!(read(&dump, ADDRESS, 8).unwrap(), page(1, 1)[..8]);
        dump.use_translation_system(system.clone());
        assert_eq!(read(&dump, ADDRESS, 8).unwrap(), page(1, 2)[..8]);
        dump.use_own_translation_system();
    }
}

#[test]
fn runs_of_addresses_end_where_their_pages_do() {
    let dump = opened();
    assert_eq!(read(&dump, ADDRESS + 4088, 8).unwrap(), page(1, 1)[4088..]);
    let error = failure(dump.read(VIRTUAL, ADDRESS + 4089, &mut [0; 8]));
    assert_eq!(error, fails(Status::NoData, "Excluded page"));
    assert_eq!(failure(dump.read(VIRTUAL, ADDRESS - 1, &mut [0; 1])).0, Status::AddrXlat);
}

#[test]
fn failed_set_up_is_told_once_and_reading_by_physical_address_goes_on() {
    let dump = opened();
    set_text(&dump, "addrxlat.force.arch", "vax").unwrap();
    assert_eq!(failure(read(&dump, ADDRESS, 8)), fails(Status::AddrXlat, "Unsupported architecture"));
    let second = fails(Status::AddrXlat, "Cannot get page I/O address: No way to translate");
    assert_eq!(failure(read(&dump, ADDRESS, 8)), second);
    assert_eq!(failure(read(&dump.clone(), ADDRESS, 8)), second);
    let mut bytes = [0; 8];
    dump.read(Space::MachinePhysical, 0x1000, &mut bytes).unwrap();
    // What depends on nothing that was wrong works again.
    dump.clear(Some("addrxlat.force.arch")).unwrap();
    assert_eq!(read(&dump, ADDRESS, 8).unwrap(), bytes);
}

#[test]
fn without_a_dump_there_is_nothing_to_translate_with() {
    let dump = Context::new();
    set_text(&dump, "arch.name", "x86_64").unwrap();
    let nothing = fails(Status::AddrXlat, "Cannot get page I/O address: No suitable capabilities");
    assert_eq!(failure(read(&dump, ADDRESS, 8)), nothing);
    dump.open_bytes(dump_file()).unwrap();
    set(&dump, "addrxlat.force.virt_bits", 48).unwrap();
    root(&dump, ROOTS[0]);
    assert_eq!(read(&dump, ADDRESS, 8).unwrap(), page(1, 1)[..8]);
    assert!(dump.open_bytes(b"no dump".to_vec()).is_err());
    assert_eq!(failure(read(&dump, ADDRESS, 8)), nothing);
}

#[test]
fn blocks_of_the_old_dump_are_not_read_after_another_one_was_opened() {
    let dump = opened();
    assert_eq!(read(&dump, ADDRESS, 8).unwrap(), page(1, 1)[..8]);
    // The same root, but its tables lead elsewhere.
    let mut tables = Tables::at(ROOTS[0]);
    tables.map(ADDRESS, 3 << 12);
    let mut pages = tables.pages();
    pages.insert(3, page(1, 3));
    let file = DiskdumpBuilder::for_arch(Arch::X86_64).pages(pages, Codec::Zlib).build();
    let clone = dump.clone();
    clone.open_bytes(file).unwrap();
    for context in [&dump, &clone] {
        assert_eq!(read(context, ADDRESS, 8).unwrap(), page(1, 3)[..8]);
    }
}

// --- Callbacks -------------------------------------------------------------------------

/// Gives each page of memory another first byte.
struct Redirect(u64);

impl Hooks for Redirect {
    fn page(&self, next: Next<'_>, addr: FullAddr) -> xlat::Result<xlat::PageBuf> {
        // The tables of the one root are shown in place of the other.
        let from = ROOTS[0]..ROOTS[0] + 0x1000;
        let addr =
            if from.contains(&addr.addr) { FullAddr { addr: addr.addr + self.0, ..addr } } else { addr };
        let block = next.page(addr)?;
        let start = FullAddr { addr: block.start().addr.wrapping_sub(self.0), ..block.start() };
        Ok(match from.contains(&(addr.addr.wrapping_sub(self.0))) {
            true => xlat::PageBuf::new(start, block.byte_order(), block.bytes().to_vec()),
            false => block,
        })
    }
}

#[test]
fn hooks_of_translation_are_copied_at_the_clone_and_never_again() {
    let dump = opened();
    let before = dump.clone();
    let id = dump.xlat().chain().add(Shared::new(Redirect(ROOTS[1] - ROOTS[0])));
    let after = dump.clone();
    let first = |context: &Context| read(context, ADDRESS, 8).unwrap();
    assert_eq!(first(&before), page(1, 1)[..8]);
    assert_eq!(first(&dump), page(1, 2)[..8]);
    assert_eq!(first(&after), page(1, 2)[..8]);
    assert!(dump.xlat().chain().remove(id));
    assert_eq!(first(&dump), page(1, 1)[..8]);
    assert_eq!(first(&after), page(1, 2)[..8]);
    assert!(after.xlat().chain().remove(id));
    assert_eq!(first(&after), page(1, 1)[..8]);
}

#[test]
fn symbol_callback_of_the_translating_context_is_asked_and_may_read() {
    let dump = opened();
    // The root is in a symbol, and nothing else tells it.
    dump.clear(Some("addrxlat.force.rootpgt")).unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    set(&dump, "addrxlat.force.version_code", 0x06_0100).unwrap();
    dump.set("linux.phys_base", Value::Address(0)).unwrap();
    let asked = Shared::new(Lock::new(Vec::new()));
    let list = asked.clone();
    dump.set_private_data(7u32);
    dump.set_callbacks(Callbacks {
        symbol_value: Some(Shared::new(move |context: &Context, name: &str| {
            assert_eq!(context.private_data::<u32>().as_deref(), Some(&7), "the calling context");
            let mut word = [0; 8];
            context.read(Space::MachinePhysical, 0x1000, &mut word)?;
            // By virtual address there is nothing yet; no loop, no dead lock.
            assert!(context.read(VIRTUAL, ADDRESS, &mut word).is_err());
            list.lock().push(String::from(name));
            match name {
                "init_top_pgt" => Ok(0xffff_ffff_8000_0000 + ROOTS[1]),
                _ => Err(kdumpfile::Error::no_data("not in System.map")),
            }
        })),
    });
    let _ = dump.translation_system();
    assert!(asked.lock().iter().any(|name| name == "init_top_pgt"), "{:?}", asked.lock());
}

#[test]
fn symbol_callback_may_read_by_clones_of_the_context_that_it_is_given() {
    let dump = opened();
    dump.clear(Some("addrxlat.force.rootpgt")).unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    set(&dump, "addrxlat.force.version_code", 0x06_0100).unwrap();
    dump.set("linux.phys_base", Value::Address(0)).unwrap();
    // How many calls are under way, and clones that outlive the set-up.
    let state = Shared::new(Lock::new((0, Vec::new())));
    let calls = state.clone();
    dump.set_callbacks(Callbacks {
        symbol_value: Some(Shared::new(move |context: &Context, name: &str| {
            let depth = {
                let mut calls = calls.lock();
                calls.0 += 1;
                calls.0
            };
            assert_eq!(depth, 1, "a set-up within a set-up");
            let own = CloneOptions::new().own_translation(true);
            for clone in [context.clone(), context.clone_with(own), context.clone().clone()] {
                let mut word = [0; 8];
                clone.read(Space::MachinePhysical, 0x1000, &mut word)?;
                assert!(clone.read(VIRTUAL, ADDRESS, &mut word).is_err(), "there is nothing yet");
                calls.lock().1.push(clone);
            }
            calls.lock().0 -= 1;
            match name {
                "init_top_pgt" => Ok(0xffff_ffff_8000_0000 + ROOTS[1]),
                _ => Err(kdumpfile::Error::no_data("not in System.map")),
            }
        })),
    });
    let mut expected = [0; 8];
    let result = dump.read(VIRTUAL, ADDRESS, &mut expected);
    let clones = std::mem::take(&mut state.lock().1);
    assert!(!clones.is_empty());
    // Afterwards they are contexts like all others.
    for clone in clones {
        let mut word = [0; 8];
        assert_eq!(clone.read(VIRTUAL, ADDRESS, &mut word).is_ok(), result.is_ok());
        assert_eq!(word, expected);
    }
    assert!(result.is_ok(), "{result:?}");
}

/// Only a symbol tells where the root is.
fn without_a_root() -> Context {
    let dump = opened();
    dump.clear(Some("addrxlat.force.rootpgt")).unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    set(&dump, "addrxlat.force.version_code", 0x06_0100).unwrap();
    dump.set("linux.phys_base", Value::Address(0)).unwrap();
    dump
}

#[test]
fn symbol_callback_that_clones_another_context_cannot_go_on_without_end() {
    #[derive(Default)]
    struct State {
        context: Option<Context>,
        depth: u32,
        deepest: u32,
        asked: u32,
    }
    for (own_translation, swallow) in [(false, false), (false, true), (true, false), (true, true)] {
        let dump = without_a_root();
        let state = Shared::new(Lock::new(State::default()));
        let within = state.clone();
        dump.set_callbacks(Callbacks {
            symbol_value: Some(Shared::new(move |_: &Context, _: &str| {
                let clone = {
                    let mut state = within.lock();
                    state.depth += 1;
                    state.asked += 1;
                    state.deepest = state.deepest.max(state.depth);
                    assert!(state.depth < 100 && state.asked < 100_000, "set-ups without end");
                    let options = CloneOptions::new().own_translation(own_translation);
                    state.context.as_ref().map(|context| context.clone_with(options))
                };
                let read = match &clone {
                    Some(clone) => clone.read(VIRTUAL, ADDRESS, &mut [0; 8]),
                    None => Ok(()),
                };
                within.lock().depth -= 1;
                read.and(Err(kdumpfile::Error::no_data("not known"))).map_err(|error| match swallow {
                    true => kdumpfile::Error::no_data("not known"),
                    false => error,
                })
            })),
        });
        // Not the context that is set up, nor made from it during the set-up.
        state.lock().context = Some(dump.clone());
        let case = format!("own {own_translation}, swallow {swallow}");
        let set_up = dump.translation_system();
        if !swallow {
            let (status, text) = failure(set_up);
            assert_eq!(status, Status::Busy, "{case}: {text}");
            assert!(text.contains("Too many set-ups of address translation"), "{case}: {text}");
        }
        assert!(state.lock().deepest > 1, "{case}");
        // It is over, and nothing is left behind.
        let other = state.lock().context.take();
        drop(other);
        let asked = state.lock().asked;
        set(&dump, "addrxlat.force.version_code", 0x06_0200).unwrap();
        let _ = dump.translation_system();
        assert!(state.lock().asked > asked, "{case}: the callback is asked again");
        assert_eq!(state.lock().depth, 0, "{case}");
    }
}

#[test]
fn set_up_that_was_too_busy_is_tried_again() {
    let dump = without_a_root();
    let tries = Shared::new(Lock::new(0));
    let count = tries.clone();
    dump.set_callbacks(Callbacks {
        symbol_value: Some(Shared::new(move |_: &Context, name: &str| {
            if *count.lock() < 2 {
                *count.lock() += 1;
                return Err(kdumpfile::Error::new(Status::Busy, "wait for it"));
            }
            match name {
                "init_top_pgt" => Ok(0xffff_ffff_8000_0000 + ROOTS[1]),
                _ => Err(kdumpfile::Error::no_data("not in System.map")),
            }
        })),
    });
    for _ in 0..2 {
        let (status, text) = failure(dump.translation_system());
        assert!(status == Status::Busy && text.contains("wait for it"), "{status:?}: {text}");
    }
    dump.translation_system().unwrap();
    assert_eq!(*tries.lock(), 2);
}

#[test]
fn memory_of_arm_begins_where_the_program_headers_say() {
    // Beyond 4 GiB nobody looks for tables.
    const RAM: u64 = 0x8_0000_0000;
    const PAGE_OFFSET: u64 = 0xc000_0000;
    let mut low = vec![0; 0x10_0000];
    low[0x3018..0x3020].copy_from_slice(&(RAM | 0x4003).to_le_bytes());
    for i in 0..16 {
        let at = 0x4000 + 8 * i;
        low[at..at + 8].copy_from_slice(&(RAM | (i as u64) << 21 | 0x701).to_le_bytes());
    }
    low[0x9_3000..0x9_4000].copy_from_slice(&page(1, 1));
    let text = "PAGESIZE=4096\nSYMBOL(_stext)=c0108000\nSYMBOL(swapper_pg_dir)=c0003000\nCONFIG_ARM_LPAE=y\n";
    let dump = |high: &[(u64, u64)]| {
        let notes = NoteWriter::new(ByteOrder::Little).note(Note::vmcoreinfo(text)).finish();
        let file = ElfBuilder::new(Class::Elf64, ByteOrder::Little, 40).note(notes);
        // The tables are in memory whose virtual address is not told.
        let file = file.segment(Segment::load(RAM, low.clone()).vaddr(0));
        let more = |file: ElfBuilder, (virt, phys): &(u64, u64)| {
            file.segment(Segment::load(*phys, vec![7; 0x2000]).vaddr(*virt))
        };
        let dump = Context::new();
        dump.open_bytes(high.iter().fold(file, more).build()).unwrap();
        set_text(&dump, "addrxlat.ostype", "linux").unwrap();
        dump
    };
    let told = (PAGE_OFFSET + 0x100_0000, RAM + 0x100_0000);
    let found = dump(&[told]);
    assert_eq!(read(&found, PAGE_OFFSET + 0x9_3000, 4096).unwrap(), page(1, 1));
    let translated = found.translate_address(VIRTUAL, PAGE_OFFSET + 0x1ff_f004, Space::KernelPhysical);
    assert_eq!(translated, Ok(RAM + 0x1ff_f004));
    // Headers that contradict each other, or page tables, say nothing.
    let other = (PAGE_OFFSET + 0x180_0000, RAM + 0x140_0000);
    for lies in [&[told, other][..], &[other]] {
        assert!(read(&dump(lies), PAGE_OFFSET + 0x9_3000, 4096).is_err());
    }
}

#[test]
fn memory_of_arm_is_found_by_its_tables() {
    const RAM: u64 = 0x4820_0000;
    const PAGE_OFFSET: u64 = 0xc000_0000;
    // Sections of 1 MiB, from the start of memory on.
    let mut tables = vec![0; 0x4000];
    for i in 0..16 {
        let at = 4 * ((PAGE_OFFSET >> 20) + i) as usize;
        let section = (RAM + (i << 20)) as u32 | 0x402;
        tables[at..at + 4].copy_from_slice(&section.to_le_bytes());
    }
    let mut memory = vec![0; 0x20_0000];
    memory[0x4000..0x8000].copy_from_slice(&tables);
    memory[0x12_3000..0x12_4000].copy_from_slice(&page(1, 1));
    let text = "PAGESIZE=4096\nSYMBOL(_stext)=c0008000\nSYMBOL(swapper_pg_dir)=c0004000\n";
    let notes = NoteWriter::new(ByteOrder::Little).note(Note::vmcoreinfo(text)).finish();
    // As QEMU writes it: no virtual addresses.
    let file = ElfBuilder::for_arch(Arch::Arm).note(notes).segment(Segment::load(RAM, memory).vaddr(0));
    let dump = Context::new();
    dump.open_bytes(file.build()).unwrap();
    set_text(&dump, "addrxlat.ostype", "linux").unwrap();
    assert_eq!(read(&dump, PAGE_OFFSET + 0x12_3000, 4096).unwrap(), page(1, 1));
    let translated = dump.translate_address(VIRTUAL, PAGE_OFFSET + 0xf0_0004, Space::KernelPhysical);
    assert_eq!(translated, Ok(RAM + 0xf0_0004));
}
