//! Random reads of eight bytes, from pages that are cached and from others.

use std::path::PathBuf;

use kdumpfile::Space;
use kdumpfile_bench::traces::Random;

use super::{Case, Effort, Group, Prepared, Unit, all_read, each, scan};
use crate::clock::Clock;
use crate::files::{Files, Named, PAGE};
use crate::subject::{Dump, Outcome};

/// The key of the number of slots.
const CACHE_SIZE: &std::ffi::CStr = c"cache.size";

/// Above so many cached pages there are fewer reads.
const MANY: usize = 2000;

pub fn groups(files: &Files, effort: Effort) -> Vec<Group> {
    let warm = [(64, Some(2.0)), (256, None), (1000, Some(15.0)), (4000, None), (16_000, Some(100.0))];
    let warm = warm.map(|(pages, target)| {
        let mut case = warm_case(&files.many, pages, effort).point("warm", pages as u64);
        case.target = target;
        case.short = target.is_some();
        case
    });
    let cold = [64, 1000, 16_000].map(|slots| cold_case(&files.many, slots, effort));
    // No page of these needs a slot. The peer maps 64 MiB at most at a time.
    let mut stored =
        vec![uncached_case(&files.large, effort).target(50.0).short(), uncached_case(&files.elf, effort)];
    stored.extend(files.codecs.last().map(|file| uncached_case(file, effort)));
    vec![
        Group::new("Random reads, pages cached", warm.into()),
        Group::new("Random reads, pages not cached", cold.into()),
        Group::new("Random reads, pages stored as they are", stored),
    ]
}

/// Random places, multiples of eight, in these pages.
pub fn places(pages: &[u64], number: usize) -> Vec<u64> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut place = || pages[random.below(pages.len() as u64) as usize] + random.below(PAGE / 8) * 8;
    (0..number).map(|_| place()).collect()
}

/// Opens a dump with so many slots.
fn open(
    library: &'static dyn crate::subject::Library,
    paths: &[PathBuf],
    slots: usize,
) -> Outcome<Box<dyn Dump>> {
    let mut dump = library.open(paths)?;
    dump.set_number(CACHE_SIZE, slots as u64)?;
    Ok(dump)
}

/// Times reads at these places.
fn timed(dump: &mut dyn Dump, space: Space, places: &[u64]) -> Outcome<f64> {
    let mut bytes = [0; 8];
    let start = Clock::start();
    let failed = dump.read_each(space, places, &mut bytes);
    let time = start.elapsed();
    all_read(failed, places.len())?;
    Ok(each(time, places.len()))
}

/// A case that reads at random places in `pages` again and again.
pub fn repeated(mut dump: Box<dyn Dump>, space: Space, pages: &[u64], effort: Effort) -> Outcome<Prepared> {
    // Twice: what is asked for once only is the first to go.
    let twice = pages.repeat(2);
    let (failed, answer) = dump.sum_each(space, &twice, &mut [0; 8]);
    all_read(failed, twice.len())?;
    // The peer searches a list: it takes long where there are many.
    let reads = if pages.len() > MANY { effort.reads.min(50_000) } else { effort.reads };
    let places = places(pages, reads);
    let round = move || timed(&mut *dump, space, &places);
    Ok(Prepared { answer, round: Box::new(round) })
}

fn warm_case(file: &Named, pages: usize, effort: Effort) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("warm 8-byte read, {pages} pages cached"), Unit::Read, move |library| {
        let all = scan::addresses(&paths)?;
        let pages = all.get(..pages).ok_or("the dump has fewer pages")?;
        // The peer keeps some slots for pages that it saw once only.
        let dump = open(library, &paths, pages.len() + pages.len() / 4 + 16)?;
        repeated(dump, Space::MachinePhysical, pages, effort)
    })
}

fn cold_case(file: &Named, slots: usize, effort: Effort) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("cold 8-byte read, zlib, {slots} slots"), Unit::Read, move |library| {
        let all = scan::addresses(&paths)?;
        // Each page once and in no order: with a new context none is cached.
        let mut random = Random(0x1234_5678_9abc_def1);
        let mut keyed: Vec<(u64, u64)> = all.iter().map(|page| (random.draw(), *page)).collect();
        keyed.sort_unstable();
        let number = if effort.short { 2000 } else { 16_000 };
        let pages: Vec<u64> =
            keyed.iter().map(|(key, page)| page + (key % (PAGE / 8)) * 8).take(number).collect();
        let mut dump = open(library, &paths, slots)?;
        let (failed, answer) = dump.sum_each(Space::MachinePhysical, &pages, &mut [0; 8]);
        all_read(failed, pages.len())?;
        drop(dump);
        let paths = paths.clone();
        let round = move || timed(&mut *open(library, &paths, slots)?, Space::MachinePhysical, &pages);
        Ok(Prepared { answer, round: Box::new(round) })
    })
}

fn uncached_case(file: &Named, effort: Effort) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("random 8-byte read, {}", file.name), Unit::Read, move |library| {
        let pages = scan::addresses(&paths)?;
        let dump = library.open(&paths)?;
        repeated(dump, Space::MachinePhysical, &pages, effort)
    })
}
