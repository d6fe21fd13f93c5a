//! `kdumpfile vmcoreinfo`: what the kernel says of itself, and the search for it.

use std::io::Write;
use std::ops::ControlFlow;

use kdumpfile::FoundVmcoreinfo;
use kdumpfile::xlat::os::OsType;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::Os;
use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Output, printable};
use crate::progress::Progress;
use crate::translation;

/// A genuine dump has a handful of them; memory full of forgeries does not make
/// the list endless.
const FOUND_MAX: usize = 1000;

/// Writes VMCOREINFO of the dump.
pub fn run(dump: &Dump, os: Option<Os>, json: bool, out: &mut Output) -> Result<()> {
    let os = os.unwrap_or_else(|| translation::guess_os(&dump.context));
    // Kernels for s390x say in their lowcore where it is; this looks there.
    translation::set_os(&dump.context, os);
    let text = dump.context.vmcoreinfo_raw().map_err(|error| {
        let hint = "--scan searches the memory in the dump for it".to_string();
        dump.failure(&error).with_hint(Some(hint))
    })?;
    // The note of Xen has room for more.
    let end = trimmed(&text).len();
    let end = end + usize::from(text.get(end) == Some(&b'\n'));
    write(os.name(), &text[..end], json, out)
}

fn write(os: &str, text: &[u8], json: bool, out: &mut Output) -> Result<()> {
    if json {
        let text = String::from_utf8_lossy(text);
        writeln!(out, "{:#}", json!({"os": os, "bytes": text.len(), "text": text}))?;
    } else if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        write!(out, "{}", printable(&String::from_utf8_lossy(text)))?;
    } else {
        // To be saved, and used with --vmcoreinfo.
        out.write_all(text)?;
    }
    Ok(())
}

/// A line of the list.
struct Row {
    found: FoundVmcoreinfo,
    bytes: usize,
    hash: [u8; 32],
    /// The number of an equal one before it.
    same_as: Option<usize>,
}

/// Searches memory, and lists what is there or writes the one with `number`.
pub fn scan(dump: &Dump, number: Option<u32>, json: bool, out: &mut Output) -> Result<()> {
    let scan = dump.context.scan_vmcoreinfo().map_err(|error| dump.failure(&error))?;
    let mut progress = Progress::new(scan.total_bytes());
    let mut scan = scan.progress(|done, _| {
        progress.set(done);
        ControlFlow::Continue(())
    });
    let mut rows: Vec<Row> = Vec::new();
    for found in scan.by_ref().take(FOUND_MAX) {
        let mut found = found.map_err(|error| dump.failure(&error))?;
        if number.is_some_and(|number| number as usize == rows.len() + 1) {
            drop(scan);
            drop(progress);
            return write(os_name(found.os), &found.text, json, out);
        }
        let hash = Sha256::digest(&found.text).into();
        let same_as = rows.iter().position(|row| row.hash == hash).map(|place| place + 1);
        let bytes = found.text.len();
        if same_as.is_some() {
            found.text = Vec::new();
        }
        rows.push(Row { found, bytes, hash, same_as });
    }
    let unreadable = scan.unreadable_pages();
    drop(scan);
    drop(progress);
    if let Some(number) = number {
        let text = format!("{}: no VMCOREINFO number {number}: {} found", dump.name, rows.len());
        let hint = "--scan lists them".to_string();
        return Err(Failure::Dump { text, hint: Some(hint) });
    }
    let known: Vec<[u8; 32]> = ["linux.vmcoreinfo.raw", "xen.vmcoreinfo.raw"]
        .into_iter()
        .filter_map(|key| Some(Sha256::digest(trimmed(&dump.context.blob(key).ok()?.to_vec())).into()))
        .collect();
    let in_dump = |row: &Row| {
        let first = row.same_as.and_then(|number| rows.get(number - 1)).unwrap_or(row);
        known.contains(&Sha256::digest(trimmed(&first.found.text)).into())
    };
    match json {
        true => list_json(&rows, in_dump, out)?,
        false => list_text(&rows, in_dump, out)?,
    }
    if rows.is_empty() {
        let mut text = format!("{}: no VMCOREINFO in the memory of the dump", dump.name);
        if unreadable > 0 {
            text.push_str(&format!(" ({} could not be read)", output::count(unreadable, "page")));
        }
        return Err(Failure::Dump { text, hint: None });
    }
    Ok(())
}

/// Without the padding that a note may have.
fn trimmed(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !matches!(byte, 0 | b'\n'));
    end.map_or(&[], |end| &text[..=end])
}

fn os_name(os: OsType) -> &'static str {
    match os {
        OsType::Xen => Os::Xen.name(),
        _ => Os::Linux.name(),
    }
}

fn release<'a>(rows: &'a [Row], row: &'a Row) -> Option<&'a str> {
    let first = row.same_as.and_then(|number| rows.get(number - 1)).unwrap_or(row);
    first.found.line("OSRELEASE")
}

fn kind(row: &Row) -> &'static str {
    if row.found.note { "note" } else { "text" }
}

fn list_json(rows: &[Row], in_dump: impl Fn(&Row) -> bool, out: &mut Output) -> std::io::Result<()> {
    let object = |(place, row): (usize, &Row)| {
        json!({
            "number": place + 1,
            "address": format!("{:x}", row.found.address),
            "kind": kind(row),
            "os": os_name(row.found.os),
            "osrelease": release(rows, row),
            "bytes": row.bytes,
            "same_as": row.same_as,
            "in_dump": in_dump(row),
        })
    };
    let list = json!(rows.iter().enumerate().map(object).collect::<Vec<_>>());
    writeln!(out, "{list:#}")
}

fn list_text(rows: &[Row], in_dump: impl Fn(&Row) -> bool, out: &mut Output) -> std::io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", out.bold("  N  address           kind  os     bytes  release"))?;
    for (place, row) in rows.iter().enumerate() {
        let mut remarks = Vec::new();
        if let Some(number) = row.same_as {
            remarks.push(format!("same as {number}"));
        }
        if in_dump(row) {
            remarks.push("the one of the dump".into());
        }
        let remarks = if remarks.is_empty() { String::new() } else { format!("  ({})", remarks.join(", ")) };
        writeln!(
            out,
            "{:>3}  {:016x}  {}  {:<5}  {:>5}  {}{remarks}",
            place + 1,
            row.found.address,
            kind(row),
            os_name(row.found.os),
            row.bytes,
            printable(release(rows, row).unwrap_or("-")),
        )?;
    }
    Ok(())
}
