//! Sections 3 to 6: pages, spaces and pagemaps.

use super::*;
use kdumpfile::io::Source;
use kdumpfile::sync::Shared;
use kdumpfile_testkit::fault::{Fault, FaultyReader, Script, When};
use kdumpfile_testkit::image::Rng;

/// A segment as a test describes it: both addresses, stored bytes, size in memory.
struct Part {
    virt: u64,
    phys: u64,
    stored: Vec<u8>,
    memsz: u64,
}

/// What a byte of memory is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Byte {
    Stored(u8),
    Memory,
    Nothing,
}

/// The rule of section 5.1 for one byte: stored bytes beat memory; the lowest
/// start wins, then the first header.
fn byte_at(parts: &[Part], address: u64, start: impl Fn(&Part) -> u64) -> Byte {
    let inside = |part: &&Part, size: u64| address >= start(part) && address - start(part) < size;
    let stored =
        parts.iter().filter(|part| inside(part, part.stored.len() as u64)).min_by_key(|part| start(part));
    match stored {
        Some(part) => Byte::Stored(part.stored[(address - start(part)) as usize]),
        None if parts.iter().any(|part| inside(&part, part.memsz)) => Byte::Memory,
        None => Byte::Nothing,
    }
}

/// A page by the model; `None` if it is not to be had.
fn expected(
    parts: &[Part],
    address: u64,
    zero: bool,
    start: impl Fn(&Part) -> u64 + Copy,
) -> Option<Vec<u8>> {
    let bytes: Vec<Byte> = (address..address + 4096).map(|at| byte_at(parts, at, start)).collect();
    let stored = bytes.iter().any(|byte| matches!(byte, Byte::Stored(_)));
    let memory = bytes.iter().any(|byte| *byte != Byte::Nothing);
    let value = |byte: Byte| if let Byte::Stored(value) = byte { value } else { 0 };
    (stored || (zero && memory)).then(|| bytes.into_iter().map(value).collect())
}

const VIRT: u64 = 0xc000_0000;

/// Segments of any size at any place, overlapping, some of them not stored,
/// some not in memory as a whole, in random order.
fn random_parts(rng: &mut Rng) -> Vec<Part> {
    (0..1 + rng.below(9))
        .map(|seed| {
            let align = [1, 1, 0x800, 0x1000][rng.below(4) as usize];
            let place = |at: u64| at / align * align;
            let stored = place(rng.below(0x4000)) * rng.below(4).min(1);
            Part {
                virt: VIRT + place(rng.below(0x18000)),
                phys: place(rng.below(0x18000)),
                stored: data(seed + rng.below(1000), stored as usize),
                memsz: stored + place(rng.below(0x3000)) * rng.below(2),
            }
        })
        .collect()
}

fn dump_of_parts(parts: &[Part], class: Class, order: ByteOrder) -> Vec<u8> {
    let segment = |part: &Part| Segment::load(part.phys, &part.stored[..]).vaddr(part.virt).memsz(part.memsz);
    parts.iter().map(segment).fold(ElfBuilder::new(class, order, 62), ElfBuilder::segment).build()
}

// 5.1: merging, overlaps, tails, gaps; all of it against a model byte by byte.
#[test]
fn every_page_of_random_segments_is_that_of_a_plain_model() {
    for seed in 0..48 {
        let mut rng = Rng::new(seed);
        let parts = random_parts(&mut rng);
        let (class, order) = encodings().nth(seed as usize % 4).unwrap();
        let dump = open(dump_of_parts(&parts, class, order));
        let known = parts.len() == 1 || parts.iter().any(|part| part.phys != 0);
        let mut pages: Vec<u64> = (0..0x20).collect();
        for zero in [false, true, false] {
            set(&dump, "file.zero_excluded", zero.into());
            // The answer must not depend on what was read before.
            rng.shuffle(&mut pages);
            for &page in &pages {
                let from = expected(&parts, VIRT + page * 4096, zero, |part| part.virt);
                assert!(virt(&dump, VIRT + page * 4096).ok() == from, "{seed}: virtual page {page} {zero}");
                if known {
                    let from = expected(&parts, page * 4096, zero, |part| part.phys);
                    assert!(phys(&dump, page * 4096).ok() == from, "{seed}: page {page} {zero}");
                }
            }
        }
    }
}

// 6
#[test]
fn pagemaps_of_random_segments_are_right_from_every_index_on() {
    for seed in 100..140 {
        let mut rng = Rng::new(seed);
        let parts = random_parts(&mut rng);
        let dump = open(dump_of_parts(&parts, Class::Elf64, LITTLE));
        if parts.len() > 1 && parts.iter().all(|part| part.phys == 0) {
            continue;
        }
        for (path, file) in [("file.pagemap", true), ("memory.pagemap", false)] {
            let touched = |page: u64| {
                parts.iter().any(|part| {
                    let size = if file { part.stored.len() as u64 } else { part.memsz };
                    size > 0 && part.phys / 4096 <= page && page <= (part.phys + size - 1) / 4096
                })
            };
            let map = dump.bitmap(path).unwrap();
            for from in 0..40 {
                assert_eq!(map.find_set(from).ok(), (from..64).find(|page| touched(*page)), "{seed} {path}");
                assert_eq!(map.find_clear(from).ok(), (from..).find(|page| !touched(*page)), "{seed} {path}");
                for last in from..40 {
                    let mut bytes = vec![0xa5; (last - from) as usize / 8 + 1];
                    map.bits(from, last, &mut bytes).unwrap();
                    let bit = |i: u64| from + i <= last && touched(from + i);
                    let right = (0..bytes.len() as u64 * 8)
                        .all(|i| bytes[i as usize / 8] >> (i % 8) & 1 == u8::from(bit(i)));
                    assert!(right, "{seed} {path}: {from} to {last}");
                }
            }
        }
    }
}

// 5.1, the example: B lies in the tail of A that is not stored.
#[test]
fn stored_bytes_are_found_in_the_unstored_tail_of_another_segment() {
    for (class, order) in encodings() {
        for swapped in [false, true] {
            let a = load(0x40000, 0x40000, 1, 0x3000).memsz(0x7000);
            let b = load(0x44000, 0x44000, 2, 0x1000).memsz(0x2000);
            let (first, second) = if swapped { (b, a) } else { (a, b) };
            let dump =
                open_untranslated(ElfBuilder::new(class, order, 62).segment(first).segment(second).build());
            let check = |zero: bool| {
                for (space, translated) in
                    [(Space::MachinePhysical, not_found()), (Space::KernelVirtual, no_way())]
                {
                    for i in 0..3 {
                        let page = page_in(&dump, space, 0x40000 + i * 0x1000).unwrap();
                        assert!(page == data(1, 0x3000)[i as usize * 0x1000..][..0x1000]);
                    }
                    assert!(page_in(&dump, space, 0x44000).unwrap() == data(2, 0x1000));
                    for tail in [0x43000, 0x45000, 0x46000] {
                        let page = page_in(&dump, space, tail);
                        match zero {
                            true => assert!(page.unwrap() == [0; 4096]),
                            false => assert_eq!(failure(page), translated, "{tail:x}"),
                        }
                    }
                    for outside in [0x3f000, 0x47000] {
                        assert_eq!(failure(page_in(&dump, space, outside)), translated, "{outside:x}");
                    }
                }
            };
            check(false);
            for zero in [1, 0, 7, 0] {
                set(&dump, "file.zero_excluded", zero);
                check(zero != 0);
            }
            dump.clear(Some("file.zero_excluded")).unwrap();
            check(false);
            assert_eq!(stored(&dump), [(0x40, 0x42), (0x44, 0x44)]);
            assert_eq!(ram(&dump), [(0x40, 0x46)]);
            assert_eq!(dump.number("max_pfn").unwrap(), 0x47);
        }
    }
}

// 5.1: one page of many pieces, one of them after a tail of memory.
#[test]
fn a_page_is_put_together_from_all_segments_that_touch_it() {
    let mut file = x86_64();
    let mut expected = vec![0; 4096];
    // Last pieces first: the order of headers is of no account here.
    for i in (0..60u64).rev() {
        let piece = data(i, 40);
        let at = 16 + 64 * i as usize;
        expected[at..at + 40].copy_from_slice(&piece);
        file = file.segment(Segment::load(0x7000 + at as u64, piece).vaddr(0x9_7000 + at as u64).memsz(50));
    }
    let dump = open(file.build());
    assert!(phys(&dump, 0x7000).unwrap() == expected && virt(&dump, 0x9_7000).unwrap() == expected);
    let mut middle = [0; 100];
    dump.read(Space::MachinePhysical, 0x7000 + 50, &mut middle).unwrap();
    assert_eq!(middle[..], expected[50..150]);
    assert_eq!(failure(phys(&dump, 0x6000)), not_found());
    assert_eq!(failure(phys(&dump, 0x8000)), not_found());
}

// 5.1: half a page by the first header, all of it by the second.
#[test]
fn of_two_segments_with_one_start_the_first_one_wins_every_time() {
    let dump = open(
        x86_64().segment(load(0x5000, 0x5000, 1, 0x800)).segment(load(0x5000, 0x5000, 2, 0x1000)).build(),
    );
    let expected = [&data(1, 0x800)[..], &data(2, 0x1000)[0x800..]].concat();
    for _ in 0..3 {
        for space in [Space::MachinePhysical, Space::KernelVirtual] {
            assert!(page_in(&dump, space, 0x5000).unwrap() == expected);
        }
    }
}

// 5.1, step 6: pages of one number in two spaces must not meet in the cache.
#[test]
fn cached_pages_of_one_number_in_two_spaces_are_kept_apart() {
    let file = x86_64().segment(load(0x5000, 0x2000, 1, 100)).segment(load(0x2000, 0x5000, 2, 100));
    let dump = open(file.build());
    let clone = dump.clone();
    let first = [&data(1, 100)[..], &[0; 3996]].concat();
    let second = [&data(2, 100)[..], &[0; 3996]].concat();
    for dump in [&dump, &clone, &dump] {
        assert!(virt(dump, 0x5000).unwrap() == first && phys(dump, 0x5000).unwrap() == second);
        assert!(virt(dump, 0x2000).unwrap() == second && phys(dump, 0x2000).unwrap() == first);
    }
}

// 1, 5.1: only pages that are put together go through the cache.
#[test]
fn whole_pages_do_not_pass_the_page_cache() {
    let dump = open(x86_64().segment(load(0, 0x1000, 1, 0x2000)).segment(load(0, 0x8000, 2, 10)).build());
    let counts = || (dump.number("cache.hits").unwrap(), dump.number("cache.misses").unwrap());
    for _ in 0..2 {
        assert!(phys(&dump, 0x1000).is_ok() && phys(&dump, 0x2000).is_ok() && phys(&dump, 0x3000).is_err());
    }
    assert_eq!(counts(), (0, 0));
    for _ in 0..3 {
        assert!(phys(&dump, 0x8000).is_ok());
    }
    assert_eq!(counts(), (2, 1));
}

// 5.1
#[test]
fn a_page_that_ends_where_a_segment_begins_is_none() {
    let dump = open_untranslated(
        x86_64().segment(load(0x1_1000, 0x5000, 1, 0x1000)).segment(load(0x1_8000, 0x9010, 2, 8)).build(),
    );
    for page in [0x3000, 0x4000, 0x6000, 0x8000, 0xa000] {
        assert_eq!(failure(phys(&dump, page)), not_found(), "{page:x}");
    }
    for page in [0xf000, 0x1_0000, 0x1_2000, 0x1_7000, 0x1_9000] {
        assert_eq!(failure(virt(&dump, page)), no_way(), "{page:x}");
    }
    assert_eq!(stored(&dump), [(5, 5), (9, 9)]);
}

// 5.1
#[test]
fn reads_end_at_the_first_page_that_is_missing() {
    let dump = open(x86_64().load(0x2000, data(1, 0x3000)).load(0x7000, data(2, 0x1000)).build());
    for (from, len, done) in
        [(0x2000, 0x4000, 0x3000), (0x2fff, 0x3000, 0x2001), (0x1fff, 2, 0), (0x4fff, 2, 1)]
    {
        let mut buf = vec![0x77; len];
        let (read, result) = dump.read_partial(Space::MachinePhysical, from, &mut buf);
        assert_eq!((read, failure(result)), (done, not_found()), "{from:x}");
        if done > 0 {
            assert!(buf[..done] == data(1, 0x3000)[(from - 0x2000) as usize..][..done]);
        }
        assert!(buf[done..].iter().all(|byte| *byte == 0x77));
    }
    assert_eq!(dump.read_partial(Space::MachinePhysical, 0x1000, &mut []), (0, Ok(())));
}

// 5.1, 10 of the general description
#[test]
fn strings_go_on_across_pages_and_end_at_a_zero_or_in_an_error() {
    let file =
        x86_64().load(0x2000, data(1, 0x2000)).load(0x4000, b"end\0".to_vec()).load(0x7000, data(2, 0x1000));
    let dump = open(file.build());
    let text = dump.read_string(Space::MachinePhysical, 0x2fff).unwrap();
    assert!(text == [&data(1, 0x2000)[0xfff..], b"end"].concat());
    assert_eq!(dump.read_string(Space::MachinePhysical, 0x4100).unwrap(), b"");
    assert_eq!(failure(dump.read_string(Space::MachinePhysical, 0x7ff0)), not_found());
}

// 5.1: bytes behind the end of the file are zeros.
#[test]
fn truncated_dumps_read_as_zeros_behind_their_end() {
    let (image, layout) = x86_64().segment(load(0xc000, 0x3000, 1, 0x3000)).build_with_layout();
    let at = layout.segments[0] as usize;
    for kept in [0, 1, 0xfff, 0x1000, 0x1800, 0x2fff] {
        let dump = open(&image[..at + kept]);
        let mut expected = data(1, 0x3000);
        expected[kept..].fill(0);
        for i in 0..3 {
            assert!(
                phys(&dump, 0x3000 + i * 4096).unwrap() == expected[i as usize * 4096..][..4096],
                "{kept}"
            );
            assert!(
                virt(&dump, 0xc000 + i * 4096).unwrap() == expected[i as usize * 4096..][..4096],
                "{kept}"
            );
        }
        assert_eq!(stored(&dump), [(3, 5)], "the map is that of the headers");
    }
}

// 5.1, steps 5 and 6
#[test]
fn pages_that_cannot_be_read_tell_where_and_may_be_read_later() {
    let (image, layout) =
        x86_64().load(0x1000, data(1, 0x1000)).load(0x3000, data(2, 0x800)).build_with_layout();
    let [whole, part] = [layout.segments[0], layout.segments[1]];
    let reader = FaultyReader::with_script(image, Script::new(0));
    let source = Shared::new(reader);
    let dump = try_open_sources(vec![source.clone() as Source]).unwrap();
    source.script().add(When::Touches(whole..part + 0x800), Fault::Fail(EIO.into()));
    assert_eq!(failure(phys(&dump, 0x1000)).0, Status::System);
    let text = format!("Cannot read page data at {part}: {EIO}");
    for _ in 0..3 {
        assert_eq!(failure(phys(&dump, 0x3000)), fails(Status::System, &text));
    }
    source.script().clear();
    assert!(phys(&dump, 0x1000).unwrap() == data(1, 0x1000));
    assert!(phys(&dump, 0x3000).unwrap()[..0x800] == data(2, 0x800));
}
