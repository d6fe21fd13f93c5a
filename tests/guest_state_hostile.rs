//! Dumps of guests that a hypervisor wrote, cut and changed at random: no
//! panic, and no more memory than the file is worth.

mod support;

use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::vmware::{VmwareBuilder, VmwareCpu};
use kdumpfile_testkit::windows::WindowsBuilder;
use kdumpfile_testkit::xc_core::XcCoreBuilder;
use kdumpfile_testkit::xc_save::XcSaveBuilder;
use support::{page, try_open_set};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// The most bytes that opening and reading may take: the page cache, the
/// attribute tree and a few copies of the file.
const MOST: usize = 1 << 20;

/// Opens a set and reads a little of it; how it ends does not matter. Tells
/// the peak of memory above that of the files.
fn peak(files: Vec<Vec<u8>>) -> usize {
    let work = || {
        let Ok(dump) = try_open_set(&files) else { return };
        let map = dump.bitmap("file.pagemap").unwrap();
        for run in map.ranges().take(4).flatten() {
            let _ = page(&dump, run.0);
            let _ = page(&dump, run.1);
        }
        for path in ["cpu.0.reg.cr3", "cpu.0.reg.rip", "cpu.1.reg.rax"] {
            let _ = dump.number(path);
        }
    };
    // The set is copied once.
    let size: usize = files.iter().map(Vec::len).sum();
    ALLOCATOR.measure(work).1.saturating_sub(size)
}

/// 100 cuts and 1,000 changes of the first file, mostly in its first `head`
/// bytes.
fn torment(seed: u64, files: &[Vec<u8>], head: u64) {
    let mut rng = Rng::new(seed);
    let length = files[0].len() as u64;
    for round in 0..1100 {
        let mut set = files.to_vec();
        if round < 100 {
            set[0].truncate(rng.below(length) as usize);
        } else {
            for _ in 0..1 + rng.below(3) {
                let area = [64, head, length][rng.below(3) as usize];
                set[0][rng.below(area.min(length)) as usize] ^= 1 << rng.below(8);
            }
        }
        let peak = peak(set);
        assert!(peak < MOST, "seed {seed:#x}, round {round}: {peak} bytes");
    }
}

fn xc_core(word: usize) -> XcCoreBuilder {
    let frames = [Some(0x105), Some(0x9000), None, Some(0x104), Some(0x103)];
    let dump = XcCoreBuilder::pv(word).cpu(vec![3; 5168]);
    (0..).zip(frames).fold(dump, |dump, (number, frame)| dump.page(frame, page_bytes(number)))
}

#[test]
fn cut_and_changed_xen_domains_neither_panic_nor_take_much_memory() {
    for word in [4, 8] {
        torment(0x7863_636f_7265 + word as u64, &[xc_core(word).build()], 5300);
    }
}

#[test]
fn counts_of_xen_domains_that_go_to_the_limit_take_no_memory() {
    for (vcpus, pages) in [(u32::MAX, 0x1fff_ffff), (4096, 0x1fff_ffff), (1, u32::MAX / 4)] {
        let header = [(4, vcpus), (8, pages), (16, 24), (20, u32::MAX)];
        let lies = header.into_iter().fold(xc_core(8), |dump, (at, value)| dump.header(at, value));
        let peak = peak(vec![lies.build()]);
        assert!(peak < MOST, "{vcpus} CPUs, {pages} pages: {peak} bytes");
    }
    // Contexts of 5168 bytes for 800,000 CPUs, as the header has it.
    let vcpus = 800_000;
    let lies = xc_core(8).header(4, vcpus).header(16, 24 + vcpus * 5168).header(20, u32::MAX);
    let peak = peak(vec![lies.build()]);
    assert!(peak < MOST, "{peak} bytes");
}

fn xc_save(word: usize) -> XcSaveBuilder {
    let page = |pfn| (0, pfn, page_bytes(pfn));
    let save = XcSaveBuilder::new(word, 3000).batch(&[page(5), page(9), page(2)]).marker(-1);
    save.batch(&[page(9), page(2999)]).missing(&[5]).cpu(&[3; 5168])
}

#[test]
fn cut_and_changed_saved_domains_neither_panic_nor_take_much_memory() {
    for word in [4, 8] {
        torment(0x7863_7361_7665 + word as u64, &[xc_save(word).build()], 13000);
    }
}

#[test]
fn counts_of_saved_domains_that_go_to_the_limit_take_no_memory() {
    let page = [(0, 1, page_bytes(1))];
    let many = XcSaveBuilder::new(8, 1 << 28).batch(&page).list(&[]);
    for lies in [many, xc_save(8).missing_count(u32::MAX), xc_save(8).marker(1024).unended()] {
        let peak = peak(vec![lies.build()]);
        assert!(peak < MOST, "{peak} bytes");
    }
}

#[test]
fn cut_and_changed_windows_dumps_neither_panic_nor_take_much_memory() {
    let pages: Vec<u8> = (1..5).flat_map(page_bytes).collect();
    let runs = WindowsBuilder::new(64).run(1, 3, &pages[..3 * 4096]).run(9, 1, &pages[3 * 4096..]);
    torment(0x7769_6e31, &[runs.build()], 0x100);
    let map = || WindowsBuilder::new(64).kind(5).bitmap(b"FDMPDUMP", 40, &[2, 6, 8, 0, 0], &pages);
    torment(0x7769_6e35, &[map().build()], 0x2060);
    // A bitmap of every other page that goes on for ever.
    let bitmap = [0x55; 100_000];
    let many = WindowsBuilder::new(64).kind(5).bitmap(b"FDMPDUMP", u64::MAX, &bitmap, &pages);
    let peak = peak(vec![many.first_page(u64::MAX).build()]);
    assert!(peak < MOST, "{peak} bytes");
}

fn vmware(magic: u32) -> VmwareBuilder {
    let cpu = VmwareCpu {
        general: [0xffff_8880_0000_1000; 16],
        rip: 0xffff_ffff_8100_0000,
        eflags: 0x246,
        cr: [0x8005_0033, 0, 0, 0xa000, 0x3706f0],
        idt: 0xffff_fe00_0000_0000,
        segments: [(0x10, 0); 8],
    };
    let file = VmwareBuilder::new(magic).group("cpu").number("cpu:numVCPUs", &[], 4, 2);
    file.cpu(0, &cpu).cpu_in_blocks(1, &cpu).group("memory").regions(&[(0, 0, 2), (2, 0x10_0000, 2)])
}

#[test]
fn cut_and_changed_vmware_states_neither_panic_nor_take_much_memory() {
    let memory: Vec<u8> = (0..4).flat_map(page_bytes).collect();
    let alone = vmware(0xBED2_BED0).block("Memory", &[], 5, &memory).build();
    torment(0x766d_7373, &[alone], 3000);
    torment(0x766d_736e, &[vmware(0xBED2_BED2).build(), memory], 3000);
}

#[test]
fn counts_of_vmware_states_that_go_to_the_limit_take_no_memory() {
    let lies = vmware(0xBED2_BED2).number("regionsCount", &[], 4, u32::MAX.into());
    let lies = lies.number("regionSize", &[0], 4, u32::MAX.into()).group("cpu").group_count(u32::MAX);
    let lies = lies.number("cpu:numVCPUs", &[], 8, u64::MAX).number("rax", &[u32::MAX], 8, 1).build();
    let peak = peak(vec![lies, vec![0; 4096]]);
    assert!(peak < MOST, "{peak} bytes");
}
