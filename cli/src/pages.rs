//! `kdumpfile pages`: which pages there are; and counting in bitmaps.

use std::io::Write;

use kdumpfile::{Bitmap, Error};

use crate::failure::Result;
use crate::open::Dump;
use crate::output::{self, Output};

/// Lists the pages of the dump (or of RAM).
pub fn run(dump: &Dump, memory: bool, json: bool, out: &mut Output) -> Result<()> {
    let pages = dump.bitmap(if memory { "memory.pagemap" } else { "file.pagemap" })?;
    let page_size = dump.page_size()?;
    if json {
        write!(out, "{{\"page_size\":{page_size},\"ranges\":")?;
        let ended = write_ranges(&pages, out)?;
        if let Err(error) = &ended {
            write!(out, ",\"error\":")?;
            out.json(error.to_string())?;
        }
        writeln!(out, "}}")?;
        return ended.map_err(|error| dump.failure(&error));
    }
    let mut total = 0u64;
    for range in pages.ranges() {
        let (first, last) = range.map_err(|error| dump.failure(&error))?;
        let number = (last - first).saturating_add(1);
        total = total.saturating_add(number);
        let bytes = output::size(u128::from(number) * u128::from(page_size));
        writeln!(out, "{first:#x}-{last:#x}  {} ({bytes})", output::count(number, "page"))?;
    }
    let bytes = output::size(u128::from(total) * u128::from(page_size));
    let unit = output::size(page_size.into());
    writeln!(out, "total: {} of {unit} ({bytes})", output::count(total, "page"))?;
    Ok(())
}

/// Writes the set bits as a JSON list of inclusive ranges. It is a whole list
/// even if the bits could not all be read; the inner result says so.
pub fn write_ranges(bitmap: &Bitmap, out: &mut Output) -> std::io::Result<Result<(), Error>> {
    write!(out, "[")?;
    let mut separator = "";
    for range in bitmap.ranges() {
        match range {
            Ok((first, last)) => write!(out, "{separator}[{first},{last}]")?,
            Err(error) => {
                write!(out, "]")?;
                return Ok(Err(error));
            }
        }
        separator = ",";
    }
    write!(out, "]")?;
    Ok(Ok(()))
}

/// How many bits are set in `bitmap`.
pub fn count(bitmap: &Bitmap) -> Result<u64, Error> {
    let mut total = 0u64;
    for range in bitmap.ranges() {
        let (first, last) = range?;
        total = total.saturating_add((last - first).saturating_add(1));
    }
    Ok(total)
}

/// How many bits are set in `all` and not in `some`.
pub fn count_without(all: &Bitmap, some: &Bitmap) -> Result<u64, Error> {
    let mut total = 0u64;
    let mut some = some.ranges();
    let mut next = some.next().transpose()?;
    for range in all.ranges() {
        let (mut first, last) = range?;
        // Whether `first` is beyond the range because all of it was counted.
        let mut used_up = false;
        while let Some((start, end)) = next {
            if start > last {
                break;
            }
            total = total.saturating_add(start.saturating_sub(first));
            if end >= last {
                used_up = true;
                break;
            }
            first = first.max(end + 1);
            next = some.next().transpose()?;
        }
        if !used_up {
            total = total.saturating_add((last - first).saturating_add(1));
        }
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdumpfile::attr::RunList;
    use kdumpfile::sync::Shared;

    fn bitmap(bits: u32) -> Bitmap {
        let runs = (0..32).filter(|i| bits >> i & 1 == 1).map(|i| (i, i + 1)).collect();
        Bitmap::new(Shared::new(RunList::new(runs)))
    }

    #[test]
    fn counting_agrees_with_counting_bit_by_bit() {
        // A sequence that visits all sorts of neighbourhoods of runs.
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state ^ state >> 15
        };
        for _ in 0..2000 {
            let (all, some) = (next() | next(), next() & next());
            for (all, some) in [(all, some), (some, all), (all, !some), (all, 0), (0, some), (all, all)] {
                let (a, b) = (bitmap(all), bitmap(some));
                assert_eq!(count(&a).unwrap(), u64::from(all.count_ones()));
                let expected = u64::from((all & !some).count_ones());
                assert_eq!(count_without(&a, &b).unwrap(), expected, "{all:032b} {some:032b}");
            }
        }
    }
}
