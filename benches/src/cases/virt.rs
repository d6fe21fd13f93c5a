//! Random reads of eight bytes by virtual addresses of the kernel.

use std::path::PathBuf;

use kdumpfile::{Context, Space, Value};

use super::{Case, Effort, Group, Prepared, Unit, all_read, reads, scan};
use crate::files::{Files, Named, PAGE};
use crate::subject::Outcome;

/// Which part of the address space.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Text,
    Direct,
}

pub fn groups(files: &Files, effort: Effort) -> Vec<Group> {
    let mut groups = Vec::new();
    for file in files.codecs.iter().take(1).chain([&files.elf]).chain(&files.vmcore) {
        let zlib = file.name == "zlib";
        let mut cases = vec![set_up(file, effort)];
        for (part, pages) in [(Part::Text, 64), (Part::Direct, 64), (Part::Direct, 900)] {
            let mut case = warm(file, part, pages, effort);
            case.target = zlib.then_some(5.0);
            case.short = zlib;
            cases.push(case);
        }
        groups.push(Group::new(format!("Virtual addresses: {}", file.name), cases));
    }
    groups
}

/// Up to `most` pages by virtual addresses that can be read.
fn pages(paths: &[PathBuf], part: Part, most: usize) -> Outcome<Vec<u64>> {
    let dump = Context::new();
    dump.open_paths(paths)?;
    dump.set("addrxlat.ostype", Value::from("linux"))?;
    let candidates: Vec<u64> = match part {
        Part::Text => {
            let start = dump.symbol_value("_stext").or_else(|_| dump.symbol_value("swapper_pg_dir"))?;
            (0..4 * most as u64).map(|page| (start & !(PAGE - 1)) + page * PAGE).collect()
        }
        Part::Direct => {
            let virt = |address: &u64| {
                dump.translate_address(Space::KernelPhysical, *address, Space::KernelVirtual).ok()
            };
            scan::addresses(paths)?.iter().filter_map(virt).take(4 * most).collect()
        }
    };
    let readable = |address: &u64| dump.read(Space::KernelVirtual, *address, &mut [0; 8]).is_ok();
    let pages: Vec<u64> = candidates.into_iter().filter(readable).take(most).collect();
    if pages.is_empty() { Err("there are no such pages".into()) } else { Ok(pages) }
}

fn warm(file: &Named, part: Part, number: usize, effort: Effort) -> Case {
    let paths = file.paths.clone();
    let name = if part == Part::Text { "text" } else { "direct map" };
    Case::new(
        format!("8-byte read by KVADDR, {}: {name}, {number} pages", file.name),
        Unit::Read,
        move |library| {
            let pages = pages(&paths, part, number)?;
            let mut dump = library.open(&paths)?;
            dump.set_text(c"addrxlat.ostype", c"linux")?;
            reads::repeated(dump, Space::KernelVirtual, &pages, effort)
        },
    )
}

fn set_up(file: &Named, effort: Effort) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("open and read by KVADDR: {}", file.name), Unit::Open, move |library| {
        let first = pages(&paths, Part::Text, 1)?;
        let paths = paths.clone();
        let once = move || {
            let mut dump = library.open(&paths)?;
            dump.set_text(c"addrxlat.ostype", c"linux")?;
            let (failed, answer) = dump.sum_each(Space::KernelVirtual, &first, &mut [0; 8]);
            all_read(failed, 1)?;
            Ok(answer)
        };
        let answer = once()?;
        Ok(Prepared { answer, round: Box::new(move || effort.repeat(|| once().map(|_| ()))) })
    })
}
