//! Opening a dump, and reading one page of it.

use std::path::PathBuf;

use kdumpfile::{Context, Space};

use super::{Case, Effort, Group, Prepared, Unit, all_read};
use crate::files::{Files, Named, PAGE, sparse_addresses};
use crate::subject::{Library, Outcome};

pub fn groups(files: &Files, effort: Effort) -> Vec<Group> {
    let mut cases = Vec::new();
    for file in &files.codecs {
        let case = case(file, None, effort);
        cases.push(if file.name == "zlib" { case.target(3.0).short() } else { case });
    }
    cases.extend(
        [Some(&files.elf), files.vmcore.as_ref()].into_iter().flatten().map(|f| case(f, None, effort)),
    );
    let [terabyte, more] = &files.sparse;
    let last = |tebibytes| sparse_addresses(tebibytes).last().copied();
    cases.push(case(terabyte, last(1), effort).target(5.0).short());
    cases.push(case(more, last(16), effort));
    cases.push(case(&files.split, None, effort));
    cases.extend(files.flattened.iter().map(|file| case(file, None, effort)));
    vec![Group::new("Opening", cases)]
}

/// Opening `file`, and reading the page at `address` (or the first one).
fn case(file: &Named, address: Option<u64>, effort: Effort) -> Case {
    let paths = file.paths.clone();
    Case::new(format!("open: {}", file.name), Unit::Open, move |library| {
        let address = address.map_or_else(|| first_address(&paths), Ok)?;
        let mut page = [0; PAGE as usize];
        let (failed, answer) = library.open(&paths)?.sum_each(Space::MachinePhysical, &[address], &mut page);
        all_read(failed, 1)?;
        let paths = paths.clone();
        let round = move || effort.repeat(|| open_and_read(library, &paths, address));
        Ok(Prepared { answer, round: Box::new(round) })
    })
}

fn open_and_read(library: &'static dyn Library, paths: &[PathBuf], address: u64) -> Outcome<()> {
    let mut dump = library.open(paths)?;
    let failed = dump.read_each(Space::MachinePhysical, &[address], &mut [0; PAGE as usize]);
    all_read(failed, 1)
}

/// Where the first page of a dump is.
fn first_address(paths: &[PathBuf]) -> Outcome<u64> {
    let dump = Context::new();
    dump.open_paths(paths)?;
    Ok(dump.bitmap("file.pagemap")?.find_set(0)? * dump.number("arch.page_size")?)
}
