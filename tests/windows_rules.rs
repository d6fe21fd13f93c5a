//! Windows crash dumps, rule by rule.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Status};
use kdumpfile_testkit::fault::FaultyReader;
use kdumpfile_testkit::image::{Rng, page_bytes};
use kdumpfile_testkit::windows::WindowsBuilder;
use support::*;

fn memory(pfns: &[u64]) -> Vec<u8> {
    pfns.iter().flat_map(|pfn| page_bytes(*pfn)).collect()
}

/// PFNs of [`full`] and of [`mapped`].
const PFNS: [u64; 7] = [1, 2, 3, 0x9f, 0x100, 0x101, 0x3_0000];

fn full(bits: u32) -> WindowsBuilder {
    WindowsBuilder::new(bits)
        .run(1, 3, &memory(&PFNS[..3]))
        .run(0x9f, 1, &memory(&PFNS[3..4]))
        .run(0x100, 2, &memory(&PFNS[4..6]))
        .run(0x3_0000, 1, &memory(&PFNS[6..]))
}

/// A bitmap with these bits, for a page more than the last one.
fn bits(pfns: &[u64]) -> (u64, Vec<u8>) {
    let count = pfns.last().unwrap() + 2;
    let mut bitmap = vec![0; count.div_ceil(8) as usize];
    for pfn in pfns {
        bitmap[(pfn / 8) as usize] |= 1 << (pfn % 8);
    }
    (count, bitmap)
}

fn mapped(kind: u32, signature: &[u8; 8], pfns: &[u64]) -> WindowsBuilder {
    let (count, bitmap) = bits(pfns);
    WindowsBuilder::new(64).kind(kind).bitmap(signature, count, &bitmap, &memory(pfns))
}

fn check(dump: &Context) {
    assert_eq!(dump.string("file.format").unwrap(), "windows");
    let runs = [(1, 3), (0x9f, 0x9f), (0x100, 0x101), (0x3_0000, 0x3_0000)];
    assert_eq!(stored(dump), runs);
    for pfn in PFNS {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "page {pfn:#x}");
    }
    for pfn in [0, 4, 0x9e, 0xff, 0x102, 0x3_0001] {
        assert_eq!(failure(page(dump, pfn)), fails(Status::NoData, "Page not found"), "{pfn:#x}");
    }
    for (path, number) in
        [("arch.byte_order", 1), ("arch.page_size", 4096), ("max_pfn", 0x3_0001), ("cpu.number", 8)]
    {
        assert_eq!(dump.number(path).unwrap(), number, "{path}");
    }
}

#[test]
fn full_dumps_have_their_runs_one_after_the_other() {
    for (bits, arch) in [(64, "x86_64"), (32, "ia32")] {
        let dump = open(full(bits).build());
        assert_eq!(dump.string("arch.name").unwrap(), arch);
        check(&dump);
    }
    assert_eq!(open(full(64).machine(0xaa64).build()).string("arch.name").unwrap(), "aarch64");
    assert!(!is_set(&open(full(64).machine(0x5032).build()), "arch.name"));
}

#[test]
fn dumps_with_a_bitmap_have_the_pages_of_its_bits() {
    for (kind, signature) in [(5, b"FDMPDUMP"), (6, b"SDMPDUMP"), (2, b"SDMPDUMP")] {
        let dump = open(mapped(kind, signature, &PFNS).build());
        assert_eq!(dump.string("arch.name").unwrap(), "x86_64");
        check(&dump);
    }
}

#[test]
fn bits_at_all_places_of_their_bytes_are_found() {
    const SEED: u64 = 4;
    println!("seed {SEED}");
    let mut rng = Rng::new(SEED);
    for _ in 0..20 {
        let mut pfns = Vec::new();
        let mut pfn = rng.below(20);
        while pfns.len() < 60 {
            pfns.extend(pfn..pfn + 1 + rng.below(30));
            pfn = pfns.last().unwrap() + 2 + rng.below(40);
        }
        let dump = open(mapped(5, b"FDMPDUMP", &pfns).build());
        let found: Vec<u64> = stored(&dump).into_iter().flat_map(|(from, to)| from..=to).collect();
        assert_eq!(found, pfns);
        for pfn in pfns {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "page {pfn}");
        }
    }
}

#[test]
fn a_dump_is_described_whether_it_can_be_read_or_not() {
    let described = |file: Vec<u8>| {
        let dump = Context::new();
        let result = dump.open(vec![source(file)]);
        (dump.string("file.description").unwrap().to_string(), result)
    };
    let rest = "build 19041, 8 CPUs, cr3 0x1ad000, bug check 0x1e";
    for (file, text) in [(full(64), "64 bits, full, x86_64"), (full(32), "32 bits, full, ia32")] {
        let (description, result) = described(file.build());
        assert_eq!(description, format!("Windows crash dump ({text}, {rest})"));
        result.unwrap();
    }
    for (file, text) in [
        (full(64).kind(2), "64 bits, kernel, x86_64"),
        (full(64).kind(3), "64 bits, small, x86_64"),
        (full(64).kind(4), "64 bits, triage, x86_64"),
        (full(64).kind(7).machine(0xaa64), "64 bits, automatic, aarch64"),
        (full(64).kind(77).machine(0x5032), "64 bits, kind 0x4d, machine 0x5032"),
        (full(32).kind(6), "32 bits, kernel with bitmap, ia32"),
        // Not known: how wide the fields of the summary are.
        (full(32).kind(5).bitmap(b"FDMPDUMP", 8, &[255], &[]), "32 bits, full with bitmap, ia32"),
    ] {
        let (description, result) = described(file.build());
        assert_eq!(description, format!("Windows crash dump ({text}, {rest})"));
        let error = result.unwrap_err();
        assert_eq!(error.status(), Status::NotImplemented);
        let message = format!(
            "file #0: {description} has no memory that can be read here; read it with WinDbg or volatility3"
        );
        assert_eq!(error.message(), message);
    }
    let (description, result) = described(b"PAGEDUMP".to_vec());
    let text = "32 bits, kind 0x0, machine 0x0, build 0, 0 CPUs, cr3 0x0, bug check 0x0";
    assert_eq!(description, format!("Windows crash dump ({text})"));
    assert_eq!(result.unwrap_err().status(), Status::NotImplemented);
}

#[test]
fn a_dump_that_is_cut_has_the_whole_pages_in_front_of_the_cut() {
    for file in [full(64).build(), full(32).build(), mapped(5, b"FDMPDUMP", &PFNS).build()] {
        for (cut, pages) in [(1, 6), (4096, 6), (4097, 5), (8192, 5), (5 * 4096 - 1, 2), (7 * 4096, 0)] {
            let dump = open(&file[..file.len() - cut]);
            let found: Vec<u64> = stored(&dump).into_iter().flat_map(|(from, to)| from..=to).collect();
            assert_eq!(found, PFNS[..pages], "{cut}");
            for pfn in &PFNS[..pages] {
                assert!(page(&dump, *pfn).unwrap() == page_bytes(*pfn), "{cut}, page {pfn:#x}");
            }
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    use Status::{Corrupt, NotImplemented};
    let bitmap = || mapped(5, b"FDMPDUMP", &[1]);
    for (file, status, text) in [
        (full(64).run_count(44), Corrupt, "44 runs of memory at 0x88"),
        (full(32).run_count(0x4547_4150), Corrupt, "1162297680 runs of memory at 0x64"),
        (full(64).run(2, 1, &[0; 4096]), Corrupt, "Memory 0x1000-0x3fff overlaps 0x2000-0x2fff"),
        (full(64).run(1 << 52, 1, &[]), Corrupt, "1 pages from 0x10000000000000 on go beyond 64 bits"),
        (full(64).run(0, u64::MAX, &[]), Corrupt, "18446744073709551615 pages from 0x0 on go beyond 64 bits"),
        (
            bitmap().first_page(0x2038),
            Corrupt,
            "Bitmap of 3 bits at 0x2038 reaches beyond the first page at 0x2038",
        ),
        (bitmap().first_page(0), Corrupt, "Bitmap of 3 bits at 0x2038 reaches beyond the first page at 0x0"),
    ] {
        assert_eq!(open_failure(file.build()), fails(status, &format!("file #0: {text}")));
    }
    let set = failure(try_open_set(&[full(64).build(), vec![0; 10]]));
    assert_eq!(set, fails(NotImplemented, "file #0: Multiple files not implemented"));
    for signature in [&b"PAGEDU6"[..], b"PAGEDUM", b"PAGEDU65"] {
        let unknown = fails(NotImplemented, "file #0: Unknown file format");
        assert_eq!(open_failure(signature), unknown);
    }
}

#[test]
fn a_read_that_fails_is_told_and_no_page_is_wrong() {
    for file in [full(64).build(), mapped(5, b"FDMPDUMP", &PFNS).build()] {
        let mut failed = 0;
        for n in 0.. {
            let faulty = Shared::new(FaultyReader::new(file.clone()).fail_nth(n, "Input/output error"));
            match try_open_sources(vec![faulty.clone() as Source]) {
                Err(error) => assert!(error.message().ends_with("Input/output error"), "{n}: {error}"),
                Ok(dump) => {
                    for pfn in PFNS {
                        // The fault is over with the next read.
                        let bytes = page(&dump, pfn).or_else(|_| {
                            failed += 1;
                            page(&dump, pfn)
                        });
                        assert!(bytes.unwrap() == page_bytes(pfn), "read {n}, page {pfn:#x}");
                    }
                    if faulty.script().calls().len() as u64 <= n {
                        break;
                    }
                }
            }
        }
        assert_eq!(failed, PFNS.len() as u32);
    }
}

#[test]
fn files_cut_or_changed_anywhere_give_pages_or_errors() {
    const SEED: u64 = 0x0077_696e;
    println!("seed {SEED:#x}");
    let mut rng = Rng::new(SEED);
    for file in [full(64).build(), full(32).build(), mapped(6, b"SDMPDUMP", &PFNS).build()] {
        for round in 0..900 {
            let mut file = file.clone();
            match round {
                0..200 => file.truncate(rng.below(file.len() as u64) as usize),
                _ => {
                    for _ in 0..1 + rng.below(3) {
                        let area = [0xf0, 0x2080, file.len() as u64][rng.below(3) as usize];
                        let at = rng.below(area.min(file.len() as u64)) as usize;
                        file[at] ^= 1 << rng.below(8);
                    }
                }
            }
            if let Ok(dump) = try_open(file) {
                for (from, to) in stored(&dump).into_iter().take(4) {
                    let _ = (page(&dump, from), page(&dump, to));
                }
            }
        }
    }
}
