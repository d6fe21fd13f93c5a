use super::*;
use crate::attr::{Attributes, Effects};
use crate::error::Status;
use crate::io::{MmapPolicy, Source};
use alloc::string::ToString;
use alloc::vec;

const PAGE: u64 = 4096;

fn stored(start: u64, length: u64, position: u64) -> Extent {
    Extent { start, length, origin: Origin::Stored { file: 0, position } }
}

fn constant(start: u64, length: u64, byte: u8) -> Extent {
    Extent { start, length, origin: Origin::Constant(byte) }
}

/// Makes bytes that count up from the number of the extent.
struct Counting;

impl Maker for Counting {
    fn read(
        &self,
        _files: &FileSet,
        number: u64,
        offset: u64,
        bytes: &mut [u8],
        _scratch: &mut Scratch,
    ) -> Result<()> {
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (number + offset + at as u64) as u8;
        }
        Ok(())
    }
}

fn dump(bytes: Vec<u8>, extents: Vec<Extent>) -> ExtentDump {
    let source: Source = Shared::new(bytes);
    let files = FileSet::open(vec![source], vec![], Shared::new(MmapPolicy::default())).unwrap();
    ExtentDump {
        name: "test",
        files: Shared::new(files),
        extents: Shared::new(Extents::new(extents).unwrap()),
        maker: Some(Box::new(Counting)),
        omits_zeroes: false,
    }
}

fn geometry(zero_excluded: bool) -> Geometry {
    let attributes = Attributes::new();
    let mut effects = Effects::default();
    let mut facts = Facts::new(&attributes, &mut effects);
    facts.set_number("arch.page_size", PAGE).unwrap();
    Geometry { zero_excluded, ..facts.geometry() }
}

fn page_at(dump: &ExtentDump, geometry: &Geometry, value: u64) -> Result<Vec<u8>> {
    let address = Address { space: Space::MachinePhysical, value };
    let mut page = vec![0xee; PAGE as usize];
    match dump.locate(geometry, address)? {
        Place::Stored { file, position } => dump.files.read(file, position, &mut page)?,
        _ => {
            dump.fill(geometry, address, &mut page, &mut Scratch::default())?;
        }
    }
    Ok(page)
}

#[test]
fn extents_are_sorted_and_joined_where_their_bytes_go_on() {
    let extents = Extents::new(vec![
        stored(0x3000, 0x1000, 0x5000),
        stored(0x1000, 0x1000, 0x100),
        constant(0x7000, 5, 1),
        stored(0x2000, 0x1000, 0x1100),
        constant(0x7005, 3, 1),
        constant(0x7008, 3, 2),
        stored(0x9000, 0, 0),
    ])
    .unwrap();
    assert_eq!(
        extents.list(),
        [
            stored(0x1000, 0x2000, 0x100),
            stored(0x3000, 0x1000, 0x5000),
            constant(0x7000, 8, 1),
            constant(0x7008, 3, 2)
        ]
    );
    assert_eq!(extents.last(), Some(0x700a));
}

#[test]
fn overlapping_extents_are_refused_by_name() {
    let error = Extents::new(vec![stored(0x2fff, 2, 0), stored(0x1000, 0x2000, 0)]).unwrap_err();
    assert_eq!(error.status(), Status::Corrupt);
    assert_eq!(error.to_string(), "Memory 0x1000-0x2fff overlaps 0x2fff-0x3000");
    let error = Extents::new(vec![constant(u64::MAX, 2, 0)]).unwrap_err();
    assert_eq!(error.to_string(), "2 bytes from address 0xffffffffffffffff go beyond 64 bits");
    assert_eq!(Extents::new(vec![constant(u64::MAX, 1, 0)]).unwrap().last(), Some(u64::MAX));
}

#[test]
fn pages_are_borrowed_whole_and_put_together_where_extents_meet() {
    let bytes: Vec<u8> = (0..3 * PAGE).map(|at| (at / 16) as u8).collect();
    let made = Extent { start: 0x4800, length: 0x800, origin: Origin::Made(7) };
    let dump = dump(
        bytes.clone(),
        vec![stored(0x1000, 0x2400, 0x10), constant(0x3400, 0x100, 9), constant(0x4000, 0x100, 3), made],
    );
    let geometry = geometry(false);
    let address = |value| Address { space: Space::MachinePhysical, value };
    let whole = dump.locate(&geometry, address(0x2000)).unwrap();
    assert_eq!(whole, Place::Stored { file: 0, position: 0x1010 });
    assert_eq!(page_at(&dump, &geometry, 0x2000).unwrap(), bytes[0x1010..0x2010]);

    let mut mixed = vec![0; PAGE as usize];
    mixed[..0x400].copy_from_slice(&bytes[0x2010..0x2410]);
    mixed[0x400..0x500].fill(9);
    assert_eq!(page_at(&dump, &geometry, 0x3000).unwrap(), mixed);

    let mut mixed = vec![0; PAGE as usize];
    mixed[..0x100].fill(3);
    for (at, byte) in mixed[0x800..].iter_mut().enumerate() {
        *byte = (7 + at) as u8;
    }
    assert_eq!(page_at(&dump, &geometry, 0x4000).unwrap(), mixed);
    assert_eq!(dump.packing(&geometry, address(0x4000)).unwrap().size, 0x800);
    assert_eq!(dump.packing(&geometry, address(0x3000)).unwrap().size, 0x400);
    for outside in [0, 0x5000, u64::MAX - 4095] {
        let error = page_at(&dump, &geometry, outside).unwrap_err();
        assert_eq!((error.status(), error.to_string()), (Status::NoData, "Page not found".into()));
    }
}

#[test]
fn left_out_zeroes_are_read_only_if_the_user_asks_for_them() {
    let mut dump = dump(vec![1; 4096], vec![stored(0x1000, 0x1000, 0), stored(0x8000, 0x100, 0)]);
    assert!(page_at(&dump, &geometry(true), 0x3000).is_err());
    dump.omits_zeroes = true;
    assert!(page_at(&dump, &geometry(false), 0x3000).is_err());
    assert_eq!(page_at(&dump, &geometry(true), 0x3000).unwrap(), vec![0; 4096]);
    let geometry = geometry(true);
    let address = Address { space: Space::MachinePhysical, value: 0 };
    let filled = dump.fill(&geometry, address, &mut [1; 4096], &mut Scratch::default()).unwrap();
    assert_eq!(filled, Filled::Synthetic);
    assert!(page_at(&dump, &geometry, 0x9000).is_err());
}

#[test]
fn the_pagemap_agrees_with_a_plain_model() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move |end: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % end
    };
    for round in 0..60 {
        let mut list = Vec::new();
        let mut at = random(3 * PAGE);
        for _ in 0..random(300) {
            let longest = [3, 600, 5 * PAGE][random(3) as usize];
            let length = 1 + random(longest);
            list.push(constant(at, length, random(2) as u8));
            let widest = [1, 300, 4 * PAGE][random(3) as usize];
            at += length + random(widest);
        }
        let pages = at / PAGE + 3;
        let mut model = vec![false; pages as usize];
        for extent in &list {
            for page in extent.start / PAGE..=extent.last() / PAGE {
                model[page as usize] = true;
            }
        }
        let attributes = Attributes::new();
        let mut effects = Effects::default();
        let mut facts = Facts::new(&attributes, &mut effects);
        facts.set_number("arch.page_size", PAGE).unwrap();
        let last_page = model.iter().rposition(|set| *set);
        let extents = Shared::new(Extents::new(list).unwrap());
        ExtentDump::describe(&extents, true, &mut facts).unwrap();
        assert_eq!(facts.number("max_pfn"), Some(last_page.map_or(0, |page| page as u64 + 1)));
        let map = PageMap { extents, shift: facts.page_shift() };
        let bitmap = Bitmap::new(Shared::new(map));
        let mut bits = vec![0; pages as usize / 8 + 1];
        bitmap.bits(0, pages - 1, &mut bits).unwrap();
        for (page, set) in model.iter().enumerate() {
            assert_eq!(bits[page / 8] >> (page % 8) & 1 == 1, *set, "round {round}, page {page}");
        }
        let runs: Vec<(u64, u64)> = bitmap.ranges().map(|run| run.unwrap()).collect();
        for pair in runs.windows(2) {
            assert!(pair[0].1 + 1 < pair[1].0, "runs {pair:?} touch");
        }
        assert_eq!(
            runs.iter().map(|run| run.1 - run.0 + 1).sum::<u64>(),
            model.iter().filter(|set| **set).count() as u64
        );
    }
}
