//! Asking for attributes by their path.

use std::ffi::CStr;

use super::{Case, Effort, Group, Prepared, Unit, each};
use crate::clock::Clock;
use crate::files::Files;

pub fn groups(files: &Files, effort: Effort) -> Vec<Group> {
    const SETS: [(&str, &[&CStr]); 3] = [
        ("arch.page_size", &[c"arch.page_size"]),
        ("linux.uts.*", &[c"linux.uts.release", c"linux.uts.machine", c"linux.uts.version"]),
        (
            "linux.vmcoreinfo.SYMBOL.*",
            &[c"linux.vmcoreinfo.SYMBOL._stext", c"linux.vmcoreinfo.SYMBOL.mem_map"],
        ),
    ];
    let Some(file) = files.codecs.first() else { return Vec::new() };
    let cases = SETS.iter().map(|(name, keys)| {
        let paths = file.paths.clone();
        Case::new(format!("attribute {name}"), Unit::Attribute, move |library| {
            let mut dump = library.open(&paths)?;
            // Some may have no value: the same ones for all.
            let answer = dump.get_each(keys, 1);
            let times = effort.reads as u64 / 4 / keys.len() as u64;
            let round = move || {
                let start = Clock::start();
                dump.get_each(keys, times);
                Ok(each(start.elapsed(), times as usize * keys.len()))
            };
            Ok(Prepared { answer, round: Box::new(round) })
        })
    });
    vec![Group::new("Attributes", cases.collect())]
}
