//! Domains that `xc_save` of Xen 3.0 saved, rule by rule.

mod support;

use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile::{Context, Space, Status, Value};
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::image::{Rng, page_bytes, sha256_hex};
use kdumpfile_testkit::xc_save::{NO_PAGE, XcSaveBuilder};
use support::*;

/// Words of hosts, bytes of a `vcpu_guest_context` and what they are of.
const HOSTS: [(usize, usize, &str); 2] = [(8, 5168, "x86_64"), (4, 2800, "ia32")];
/// PFNs that [`domain`] has pages of.
const PFNS: [u64; 9] = [0, 1, 2, 3, 9, 10, 300, 301, 1499];

/// A page of one PFN as it was in a round: the last one is what counts.
fn round(pfn: u64, round: u64) -> Vec<u8> {
    page_bytes(if round == 2 { pfn } else { pfn + 5000 + round })
}

/// A domain of 1500 frames that went on running for two rounds.
fn domain(word: usize) -> XcSaveBuilder {
    let page = |kind: u8, pfn, number| (kind, pfn, round(pfn, number));
    XcSaveBuilder::new(word, 1500)
        .batch(&[page(0, 0, 2), page(0, 1, 0), page(4, 2, 0), page(0, 3, 2), (NO_PAGE, 4, vec![])])
        .marker(-1)
        .batch(&[page(9, 300, 2), page(0, 9, 0), page(0, 10, 0), page(0, 7, 0)])
        .batch(&[page(0, 301, 2), (NO_PAGE, 0, vec![]), page(0, 1, 1)])
        .batch(&[page(0, 10, 2), page(12, 2, 2), page(0, 1, 2), page(0, 9, 2)])
        .marker(-1)
        .batch(&[page(0, 1499, 2)])
        .missing(&[1200, 7, 6])
}

fn check(dump: &Context) {
    for pfn in PFNS {
        assert!(page(dump, pfn).unwrap() == page_bytes(pfn), "page {pfn}");
    }
    for pfn in [4, 5, 6, 7, 8, 11, 299, 302, 1200, 1498, 1500, 1 << 30] {
        assert_eq!(failure(page(dump, pfn)), fails(Status::NoData, "Page not found"), "page {pfn}");
    }
}

/// A CPU context whose words at these places have these numbers.
fn context(size: usize, words: &[(usize, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    for (at, word) in words {
        bytes[*at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

#[test]
fn the_last_page_of_each_frame_is_found_in_both_word_sizes() {
    for (word, _, arch) in HOSTS {
        let dump = open(domain(word).build());
        assert_eq!(dump.string("file.format").unwrap(), "xc_save");
        assert_eq!(dump.string("file.description").unwrap(), "Xen xc_save");
        assert_eq!(dump.string("arch.name").unwrap(), arch);
        let runs = [(0, 3), (9, 10), (300, 301), (1499, 1499)];
        assert_eq!((stored(&dump), ram(&dump)), (runs.into(), runs.into()));
        for (path, number) in
            [("arch.byte_order", 1), ("arch.page_size", 4096), ("max_pfn", 1500), ("xen.xlat", 0)]
        {
            assert_eq!(dump.number(path).unwrap(), number, "{path}");
        }
        assert!(!is_set(&dump, "xen.type") && !is_set(&dump, "cpu.number"));
        check(&dump);
        let all: Vec<u8> = PFNS.into_iter().flat_map(|pfn| page(&dump, pfn).unwrap()).collect();
        let want: Vec<u8> = PFNS.into_iter().flat_map(page_bytes).collect();
        assert_eq!(sha256_hex(&all), sha256_hex(&want));
    }
}

#[test]
fn addresses_are_those_of_the_guest() {
    let dump = open(domain(8).cpu(&[0; 5168]).build());
    let mut bytes = vec![0; 3 * 4096];
    dump.read(Space::KernelPhysical, 0x800, &mut bytes).unwrap();
    let want: Vec<u8> = (0..4).flat_map(page_bytes).collect();
    assert!(bytes == want[0x800..0x800 + 3 * 4096]);
}

#[test]
fn batches_of_all_sizes_are_walked() {
    for (word, ..) in HOSTS {
        let mut save = XcSaveBuilder::new(word, 5000);
        let mut first = 0;
        for count in [1024, 1, 1023, 7] {
            let pages: Vec<_> = (first..first + count).map(|pfn| (0, pfn, page_bytes(pfn))).collect();
            save = save.batch(&pages);
            first += count;
        }
        let dump = open(save.build());
        assert_eq!(stored(&dump), [(0, first - 1)]);
        for pfn in [0, 1023, 1024, 1025, 2047, 2048, first - 1] {
            assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "page {pfn}");
        }
    }
}

#[test]
fn registers_come_from_the_contexts_in_front_of_the_last_page() {
    for (word, size, arch) in HOSTS {
        let (rip, cr3) = if size == 5168 { (648, 4984 + 24) } else { (548, 2716 + 12) };
        let mut save = domain(word);
        for cpu in 0..3 {
            save = save.cpu(&context(size, &[(rip, 0x1000 + cpu), (cr3, 0x42_7000 + cpu)]));
        }
        let dump = open(save.build());
        check(&dump);
        assert_eq!(dump.number("cpu.number").unwrap(), 3);
        let rip = if arch == "x86_64" { "rip" } else { "eip" };
        for cpu in 0..3 {
            assert_eq!(dump.number(&format!("cpu.{cpu}.reg.{rip}")).unwrap(), 0x1000 + cpu);
            assert_eq!(dump.number(&format!("cpu.{cpu}.reg.cr3")).unwrap(), 0x42_7000 + cpu);
        }
        // What is no whole number of contexts is none.
        let odd = open(domain(word).cpu(&[1; 5000]).build());
        assert!(!is_set(&odd, "cpu.number"));
        check(&odd);
    }
}

#[test]
fn what_the_user_says_of_the_architecture_counts() {
    let told = Context::new();
    told.set("arch.name", Value::from("ia32")).unwrap();
    told.open(vec![source(domain(8).cpu(&[1; 5168]).build())]).unwrap();
    assert_eq!(told.string("arch.name").unwrap(), "ia32");
    assert!(!is_set(&told, "cpu.0.reg") && !is_set(&told, "arch.inferred"));
    check(&told);
}

#[test]
fn markers_may_come_in_front_of_the_first_page() {
    for (word, ..) in HOSTS {
        let save = XcSaveBuilder::new(word, 3).marker(-1).marker(-1).batch(&[(0, 2, page_bytes(2))]);
        assert!(page(&open(save.build()), 2).unwrap() == page_bytes(2));
    }
}

#[test]
fn a_save_that_is_cut_has_the_pages_in_front_of_the_cut() {
    for (word, ..) in HOSTS {
        let page = |pfn| (0, pfn, page_bytes(pfn));
        let save = XcSaveBuilder::new(word, 1500).batch(&[page(1), page(2)]).batch(&[page(3), page(4)]);
        let whole = save.unended().build();
        for (cut, last) in [(0, 4), (1, 3), (4096, 3), (4097, 2), (8192 + word, 2), (8192 + 2 * word + 3, 2)]
        {
            let dump = open(&whole[..whole.len() - cut]);
            assert_eq!(dump.string("file.description").unwrap(), "Xen xc_save, incomplete", "{cut}");
            assert_eq!(stored(&dump), [(1, last)], "{cut}");
            assert!(!is_set(&dump, "memory.pagemap"));
            assert!(support::page(&dump, last).unwrap() == page_bytes(last), "{cut}");
        }
        // Without the list of missing frames, nothing is known to be missing.
        let ended = domain(word).build();
        let dump = open(&ended[..ended.len() - 4096 - 3 * word - 4]);
        assert_eq!(stored(&dump)[1], (7, 7));
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    use Status::{Corrupt, NotImplemented};
    let hvm = "Saved HVM domain not implemented; restore the domain and dump it with 'xm dump-core'";
    let none = "Saved domain ends in front of its first page";
    let layout = |start: usize| {
        format!(
            "What begins at {start} is not that of Xen 3.0 on x86: ia64 and later versions not implemented"
        )
    };
    let empty = XcSaveBuilder::new(8, 1500).description("");
    let one = empty.clone().batch(&[(0, 1, page_bytes(1))]);
    for (file, status, text) in [
        (one.clone().description("(domain (image (hvm (kernel x))))"), NotImplemented, hvm.into()),
        (empty.clone().unended(), Corrupt, none.into()),
        (empty.clone(), NotImplemented, layout(20)),
        // Signature of what Xen 3.1 put in front of the frame list.
        (one.clone().list(&[u64::MAX, 1, 2]), NotImplemented, layout(20)),
        (empty.clone().batch(&[(0, 1500, page_bytes(1))]), NotImplemented, layout(20)),
        (empty.clone().marker(-5), NotImplemented, layout(20)),
        (XcSaveBuilder::new(4, 1500).description("").marker(-5), NotImplemented, layout(20)),
        (XcSaveBuilder::new(8, 0).batch(&[(0, 0, page_bytes(1))]), NotImplemented, layout(85)),
        (XcSaveBuilder::new(8, 1 << 29).batch(&[(0, 1, page_bytes(1))]), NotImplemented, layout(85)),
        // 20 and 8 bytes, 3 words, and the first batch.
        (one.clone().marker(-5), NotImplemented, "Batch marker -5 at 4160 not implemented".into()),
        (one.clone().marker(1025), Corrupt, "Batch of 1025 pages at 4160".into()),
        (
            one.clone().batch(&[(2, 1500, page_bytes(1))]),
            Corrupt,
            "Entry 0x200005dc of the batch at 4160 is beyond the 1500 frames of the domain".into(),
        ),
    ] {
        assert_eq!(open_failure(file.build()), fails(status, &format!("file #0: {text}")));
    }
    let files = [one.build(), vec![0; 10]];
    let multiple = fails(NotImplemented, "file #0: Multiple files not implemented");
    assert_eq!(failure(try_open_set(&files)), multiple);
    let unknown = fails(NotImplemented, "file #0: Unknown file format");
    assert_eq!(open_failure(&b"LinuxGuestRecor"[..]), unknown);
}

#[test]
fn a_list_of_missing_frames_that_the_file_has_not_says_nothing() {
    for (count, second) in [(4, (9, 10)), (5000, (7, 7)), (u32::MAX, (7, 7))] {
        let dump = open(domain(8).missing_count(count).build());
        assert_eq!(stored(&dump)[..2], [(0, 3), second]);
    }
}

#[test]
fn each_read_may_fail_or_fall_short() {
    let file = domain(8).cpu(&[1; 5168]).build();
    for fault in [Fault::Fail("Input/output error".into()), Fault::Short(1), Fault::Short(7)] {
        let fails = matches!(fault, Fault::Fail(_));
        let mut told = 0;
        for n in 0.. {
            let script = Script::new(n).with(When::Nth(n), fault.clone());
            let faulty = Shared::new(FaultyReader::with_script(file.clone(), script));
            match try_open_sources(vec![faulty.clone() as Source]) {
                Err(error) => {
                    assert!(fails && error.message().ends_with("Input/output error"), "{n}: {error}");
                    told += 1;
                }
                Ok(dump) => {
                    for pfn in PFNS {
                        match page(&dump, pfn) {
                            Ok(bytes) => assert!(bytes == page_bytes(pfn), "read {n}, page {pfn}"),
                            Err(error) => {
                                assert!(fails && error.status() == Status::System, "read {n}: {error}");
                                // The fault is over.
                                assert!(page(&dump, pfn).unwrap() == page_bytes(pfn), "page {pfn}");
                                told += 1;
                            }
                        }
                    }
                    if faulty.script().calls().len() as u64 <= n {
                        break;
                    }
                }
            }
        }
        assert!((told > 15) == fails, "{fault:?}: {told}");
    }
}

#[test]
fn files_cut_or_changed_anywhere_give_right_pages_or_errors() {
    const SEED: u64 = 0x7863_7361;
    println!("seed {SEED:#x}");
    let mut rng = Rng::new(SEED);
    for (word, size, _) in HOSTS {
        let file = domain(word).cpu(&vec![1; size]).build();
        for _ in 0..100 {
            let cut = rng.below(file.len() as u64) as usize;
            if let Ok(dump) = try_open(&file[..cut]) {
                for pfn in PFNS {
                    // Of a round, but never the page of another frame.
                    if let Ok(bytes) = page(&dump, pfn) {
                        assert!((0..3).any(|number| bytes == round(pfn, number)), "cut {cut}, page {pfn}");
                    }
                }
            }
        }
        for _ in 0..1000 {
            let mut file = file.clone();
            for _ in 0..1 + rng.below(3) {
                let area = [200, 16 << 10, file.len() as u64][rng.below(3) as usize];
                file[rng.below(area) as usize] ^= 1 << rng.below(8);
            }
            if let Ok(dump) = try_open(file) {
                for pfn in PFNS.into_iter().chain([5, 1498]) {
                    let _ = page(&dump, pfn);
                }
                let _ = (stored(&dump), dump.number("cpu.0.reg.cr3"));
            }
        }
    }
}

#[test]
fn pages_behind_4_gib_of_the_file_are_found() {
    // Four batches of nothing but noise that is not stored, a thousand times.
    let save = XcSaveBuilder::new(8, 1 << 21).description("").unended();
    let head = save.build();
    let entries = |first: u64| {
        let words = (first..first + 1024).flat_map(u64::to_le_bytes);
        1024u32.to_le_bytes().into_iter().chain(words).collect::<Vec<u8>>()
    };
    let mut at = head.len() as u64;
    let mut file = Sparse::new(0).with(0, head);
    for batch in 0..1100 {
        file = file.with(at, entries(1024 * batch));
        at += 4 + 8 * 1024 + 1024 * 4096;
    }
    let last = at - 4096;
    assert!(last > 1 << 32);
    let dump = try_open_sources(vec![Shared::new(file.with(last, page_bytes(77)))]).unwrap();
    assert_eq!(stored(&dump), [(0, 1100 * 1024 - 1)]);
    assert!(page(&dump, 1100 * 1024 - 1).unwrap() == page_bytes(77));
}
