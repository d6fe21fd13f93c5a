//! `docs/performance.md` and its plots.

use std::fmt::Write as _;
use std::fs;

use crate::options::root;
use crate::plot::{Chart, Line, svg};
use crate::report::{self, HEAD, Kind, Row, Spread};
use crate::subject::{Outcome, Subject};

/// Remarks that people wrote about the figures; they go into the document.
const NOTES: &str = "benches/notes.md";

const INTRODUCTION: &str = "\
# Performance

How fast this library is, beside the C library of Debian (the *peer*), and how to find that out again. This file
was written by

```sh
cargo run --release -p kdumpfile-bench -- --write-docs
```

which takes some minutes, needs Debian's package `libkdumpfile10`, and should have the machine for itself; where it
has not, `--cpu` takes the time of the processor instead of the time that passes. `bash ci/bench.sh` runs the cases
that have a target, in a short form, and fails if one is below 80% of it. `--features native-codecs` measures the C
libraries for zlib and zstd, which have targets of their own.

## What is compared

Three ways to the same dumps: our Rust API, our C ABI (`libkdumpfile.so.10` as `cargo run -p xtask -- install-capi`
builds it, so optimised as a whole), and the peer's C ABI. Each is in a process of its own. In each round of a case
the three take turns, in another order each time; only one of them works at a time. Before the first round each reads
all that is read, which also proves that the three read the same bytes.

**Each ratio says how many times as fast (or how many times smaller) than the peer ours is**: the median of the
ratios of single rounds, and in brackets the smallest and the largest. What is above 1 is better than the peer. The
times beside it are medians, and mean little on another machine. Lines `N threads against 1` compare each library with
itself, and so does the one with `memcpy`.

| case | what is measured |
| --- | --- |
| open | opening, and reading one page |
| look at | adding up the words of every page, where they are (`Context::page`); the C ABIs must copy them first |
| scan | reading every page in order; threads take blocks of 64 pages from one list, whoever is ready next, each with a clone |
| warm read | eight bytes at random places in pages that are cached, with `cache.size` a quarter above their number |
| cold read | eight bytes of each page once, in no order, after opening |
| read by KVADDR | eight bytes at random places by virtual addresses of the kernel, warm |
| attribute | asking for the value by the path |
| memory | the peak of the resident set above what was resident before opening, in a new process; mapped pages of files count, but not for `heap` |

The files are the dumps that the tests use, and others that are built from their pages: `stored` has pages as they
are, `sparse` claims so much memory and stores 4096 pages of it, the flattened stream has the pages of `stored`.
";

/// Writes the document and its plots.
pub fn write(rows: &[Row], machine: &str) -> Outcome<()> {
    let folder = root().join("docs/performance");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("throughput.svg"), svg(&throughput(rows)))?;
    fs::write(folder.join("latency.svg"), svg(&[latency(rows)]))?;
    let mut text = format!("{INTRODUCTION}\n## The figures\n\nMeasured on: {machine}.\n");
    let missed: Vec<&Row> = rows.iter().filter(|row| row.reached().is_some_and(|r| r < 1.0)).collect();
    let targets = rows.iter().filter(|row| row.target.is_some()).count();
    let _ = writeln!(text, "{} of {targets} targets are reached by the Rust API.", targets - missed.len());
    explain(&mut text, &missed);
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = &row.group;
            let _ = write!(text, "\n### {group}\n\n{HEAD}");
        }
        let _ = writeln!(text, "{}", report::line(row));
    }
    text.push_str(
        "\n## Plots\n\n![Pages per second over threads](performance/throughput.svg)\n\n\
         ![Time of a read over cached pages](performance/latency.svg)\n",
    );
    let remarks = report::remarks(rows);
    if !remarks.is_empty() {
        text.push_str("\n## Remarks of the run\n\n");
        for remark in remarks {
            let _ = writeln!(text, "- {remark}");
        }
    }
    if let Ok(notes) = fs::read_to_string(root().join(NOTES)) {
        let _ = write!(text, "\n{notes}");
    }
    Ok(fs::write(root().join("docs/performance.md"), text)?)
}

/// Why targets are missed, where that is known.
fn explain(text: &mut String, missed: &[&Row]) {
    if missed.is_empty() {
        return;
    }
    text.push_str(
        "\n### Targets that are missed\n\nA short run fails if one of these falls below 80% of what was measured \
         when it was listed.\n\n",
    );
    for row in missed {
        let (Some(ratio), Some(target)) = (row.ratio(Subject::Rust), row.target) else { continue };
        let why = row.known().map_or_else(
            || "not looked into yet; a short run fails below 80% of the target.".into(),
            |known| format!("listed with {}: {}", known.measured, known.why),
        );
        let _ = writeln!(text, "- **{}**: {:.2} of {target}; {why}", row.name, ratio.median);
    }
}

const COLOURS: [(Subject, &str, &str); 3] = [
    (Subject::Rust, "Rust API", "#c0392b"),
    (Subject::OurC, "C ABI", "#e67e22"),
    (Subject::Peer, "peer", "#2c5aa0"),
];

/// Lines through the points of a curve; `value` makes a height of a cost.
fn lines(rows: &[Row], curve: &str, value: fn(f64) -> f64) -> Vec<Line> {
    let line = |(subject, name, colour)| {
        let point = |row: &Row| match &row.kind {
            Kind::Case { point: Some((of, at)), .. } if of == curve => {
                let median = Spread::of(row.rounds(subject)?)?.median;
                Some((*at as f64, value(median)))
            }
            _ => None,
        };
        Line { name, colour, points: rows.iter().filter_map(point).collect() }
    };
    let lines = COLOURS.into_iter().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

/// One chart for each dump that was scanned with several threads.
fn throughput(rows: &[Row]) -> Vec<Chart> {
    let mut curves: Vec<&str> = Vec::new();
    for row in rows {
        if let Kind::Case { point: Some((curve, at)), .. } = &row.kind
            && *at > 1
            && curve != LATENCY
            && !curves.contains(&curve.as_str())
        {
            curves.push(curve);
        }
    }
    let mebibytes = |nanoseconds: f64| 4096.0 / f64::from(1 << 20) / (nanoseconds / 1e9);
    let chart = |curve: &str| Chart {
        title: format!("scan {curve}"),
        x: "threads",
        y: "MiB/s",
        logarithmic: false,
        lines: lines(rows, curve, mebibytes),
    };
    curves.into_iter().map(chart).collect()
}

/// The curve of reads of cached pages.
const LATENCY: &str = "warm";

fn latency(rows: &[Row]) -> Chart {
    Chart {
        title: "8-byte read of a cached page".into(),
        x: "cached pages",
        y: "ns",
        logarithmic: true,
        lines: lines(rows, LATENCY, |nanoseconds| nanoseconds),
    }
}
