//! SADUMP and S390 dumps that are cut off, have wrong bits, or claim what
//! cannot be: no panic, no long search, and no more memory than the file is
//! worth.

mod support;

use std::time::{Duration, Instant};

use kdumpfile::{Context, Status};
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::s390dump::{Packing, S390Builder};
use kdumpfile_testkit::sadump::{SadumpBuilder, SmramState, Variant};
use support::*;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MIB: usize = 1 << 20;
const PFNS: [u64; 8] = [0, 1, 2, 9, 64, 65, 66, 200];

/// Name, files and how many of their first bytes are headers.
fn dumps() -> Vec<(&'static str, Vec<Vec<u8>>, usize)> {
    let sadump = |variant| {
        SadumpBuilder::new(variant)
            .pages(PFNS.map(|pfn| (pfn, page_bytes(pfn))))
            .ram(0..220)
            .cpus([SmramState::distinct(1, true), SmramState::distinct(2, false)])
            .build_set()
    };
    let memory: Vec<u8> = (0..24).flat_map(page_bytes).collect();
    let plain = |arch| vec![S390Builder::new(memory.clone()).arch(arch).lowcores(&[0x2000, 0x4000]).build()];
    let extended = |packing, block| {
        let (low, high) = memory.split_at(9 * 4096);
        let builder = S390Builder::extended(64 * 4096).block(block).entry_size(3 * 4096);
        let builder = builder.segment(0, low, packing).segment(30 * 4096, high, packing);
        vec![builder.lowcores(&[0x2000]).build()]
    };
    vec![
        ("partition", sadump(Variant::Single), 5 * 4096),
        ("backup", sadump(Variant::Media), 6 * 4096),
        ("disks", sadump(Variant::Set(vec![3, 2])), 6 * 4096),
        ("s390", plain(1), 4096),
        ("s390x", plain(2), 4096),
        ("segments", extended(Packing::Raw, 4096), 8192),
        ("packed segments", extended(Packing::Zlib, 512), 3 * 4096),
        ("mixed segments", extended(Packing::Mixed, 4096), 3 * 4096),
    ]
}

/// Opens and reads; returns whether it opened.
fn examine(files: &[Vec<u8>]) -> bool {
    let Ok(dump) = try_open_set(files) else { return false };
    look_at(&dump);
    true
}

fn look_at(dump: &Context) {
    for pfn in PFNS.into_iter().chain([3, 23, 31, 63, 219, 220, u64::MAX >> 12]) {
        let _ = page(dump, pfn);
    }
    for path in ["file.pagemap", "memory.pagemap"] {
        let Ok(bitmap) = dump.bitmap(path) else { continue };
        let _ = (bitmap.find_set(0), bitmap.find_clear(0), bitmap.bits(0, 300, &mut [0; 38]));
    }
    let _ = dump.number("cpu.0.reg.cr3");
}

/// Runs `work` and checks what it took.
fn bounded<T>(what: &str, most: usize, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let (result, peak, _) = ALLOCATOR.measure(work);
    assert!(peak < most, "{what}: {peak} bytes");
    assert!(start.elapsed() < Duration::from_secs(10), "{what}: {:?}", start.elapsed());
    result
}

#[test]
fn files_that_are_cut_off_anywhere_never_panic() {
    for (what, files, headers) in dumps() {
        let seed = 0x5eed + headers as u64;
        println!("{what}: seed {seed:#x}");
        let mut rng = Rng::new(seed);
        let mut opened = 0;
        for round in 0..200 {
            let mut files = files.clone();
            let file = rng.below(files.len() as u64) as usize;
            let end = if round % 2 == 0 { headers.min(files[file].len()) } else { files[file].len() };
            let cut = rng.below(end as u64) as usize;
            files[file].truncate(cut);
            let done = bounded(&format!("{what} cut at {cut}"), 4 * MIB, || examine(&files));
            opened += u32::from(done);
        }
        println!("{what}: {opened} of 200 opened");
    }
}

#[test]
fn files_with_wrong_bits_never_panic() {
    for (what, files, headers) in dumps() {
        let seed = 0xb175 + headers as u64;
        println!("{what}: seed {seed:#x}");
        let mut rng = Rng::new(seed);
        let mut opened = 0;
        for round in 0..2000 {
            let mut files = files.clone();
            let mut places = Vec::new();
            for _ in 0..1 + rng.below(4) {
                let file = rng.below(files.len() as u64) as usize;
                // Fields are where a change does most.
                let starts = [0, 4096, 8192, 12288];
                let at = match round % 3 {
                    0 => starts[rng.below(4) as usize] + rng.below(200),
                    1 => rng.below(headers as u64),
                    _ => rng.below(files[file].len() as u64),
                };
                let at = (at as usize).min(files[file].len() - 1);
                files[file][at] ^= 1 << rng.below(8);
                places.push((file, at));
            }
            let done = bounded(&format!("{what} {places:?}"), 8 * MIB, || examine(&files));
            opened += u32::from(done);
        }
        println!("{what}: {opened} of 2000 opened");
    }
}

#[test]
fn a_small_sadump_that_claims_everything_takes_little() {
    let claims = [
        ("max_mapnr_64", u64::MAX),
        ("bitmap_blocks", u64::MAX),
        ("dumpable_bitmap_blocks", u64::MAX),
        ("sub_hdr_size", 0xffff_0000),
        ("nr_cpus", u64::MAX),
        ("cpu_total", u64::MAX),
        ("disk_set_header_size", 0xffff),
        ("used_device", u64::MAX),
    ];
    let builder = SadumpBuilder::new(Variant::Set(vec![])).pages([(0, page_bytes(0))]);
    for (field, value) in claims {
        let file = builder.clone().patch(0, field, value).build();
        bounded(field, MIB, || examine(&[file]));
    }
    let cpus = builder.clone().patch(0, "nr_cpus", 4_194_303).patch(0, "cpu_total", u64::MAX).build();
    bounded("four million CPUs", MIB, || examine(&[cpus]));
    let all = builder.patch(0, "max_mapnr_64", u64::MAX).patch(0, "dumpable_bitmap_blocks", u64::MAX);
    let dump = bounded("all", MIB, || try_open(all.build())).unwrap();
    // The first page, behind the end of the file.
    assert_eq!(failure(page(&dump, 0)), out_of_bounds());
    assert_eq!(dump.number("max_pfn").unwrap(), u64::from(u32::MAX) * 4096 * 8);
    assert_eq!(failure(page(&dump, 1)), excluded());
}

#[test]
fn cpu_states_of_a_sparse_file_take_time_for_no_more_than_linux_has() {
    let (file, layout) = SadumpBuilder::new(Variant::Single)
        .pages([(0, page_bytes(0))])
        .cpus([SmramState::unused()])
        .patch(0, "nr_cpus", 4_194_303)
        .patch(0, "cpu_total", u64::MAX)
        .build_with_layout()
        .pop()
        .unwrap();
    assert!(layout.pages < file.len());
    let dump = bounded("sparse", MIB, || {
        let dump = Context::new();
        dump.open(vec![kdumpfile::sync::Shared::new(Sparse::new(1 << 40).with(0, file))]).map(|()| dump)
    })
    .unwrap();
    assert_eq!(dump.string("arch.name").unwrap(), "ia32");
    assert!(!is_set(&dump, "cpu.number"));
}

#[test]
fn a_small_extended_dump_that_claims_everything_takes_little() {
    let bytes: Vec<u8> = (0..4).flat_map(page_bytes).collect();
    let builder = S390Builder::extended(bytes.len()).segment(0, bytes, Packing::Zlib);
    for (field, value) in [
        ("num_pages", u64::MAX),
        ("mem_size", u64::MAX),
        ("page_size", 1 << 31),
        ("cpu_cnt", u64::MAX),
        ("0.len", u64::MAX),
        ("0.len", 1011 << 20),
        ("0.size_on_disk", u64::MAX),
        ("0.entry_count", u64::MAX),
        ("zlib_entry_size", 16 << 20),
        ("zlib_entry_size", 1),
        ("hdr_size", u64::MAX),
    ] {
        let file = builder.clone().patch(field, value).build();
        // One entry of a MiB, and what packs it.
        bounded(&format!("{field} = {value}"), 3 * MIB, || examine(&[file]));
    }
    // A chain of as many segments as the file has room for.
    let chain = (0..1000).fold(S390Builder::extended(MIB), |builder, number| {
        builder.segment(number * 16, vec![1; 1], Packing::Raw)
    });
    let file = chain.build();
    let most = file.len() + MIB / 2;
    assert!(bounded("chain", most, || examine(&[file])));
    let endless = Sparse::new(1 << 40).with(0, builder.patch("0.stop_marker", 0).build());
    let dump = Context::new();
    let opened = bounded("zeros", MIB, || dump.open(vec![kdumpfile::sync::Shared::new(endless)]));
    assert_eq!(failure(opened).0, Status::Corrupt);
}
