//! `kdumpfile attr`: the attribute tree.

use std::io::Write;

use kdumpfile::attr::AttrRef;
use kdumpfile::{AttrType, Bitmap, Blob, Context, Error, Value};
use sha2::{Digest, Sha256};

use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Output, printable};
use crate::pages;

/// Bytes of a blob that JSON shows.
const BLOB_HEAD: usize = 8192;

/// Ranges of a bitmap, and bytes of a blob, that text shows.
const FEW: usize = 8;

/// Lists the attributes at `keys` (none: all) and what is below them.
pub fn run(dump: &Dump, keys: &[String], json: bool, out: &mut Output) -> Result<()> {
    let context = &dump.context;
    let mut roots = Vec::new();
    for key in keys {
        let attr = context.attr(Some(key)).and_then(|attr| {
            // One that exists without a value is an answer, but not a good one.
            if context.attr_is_set(attr) { Ok(attr) } else { context.get_attr(attr).map(|_| attr) }
        });
        roots.push(attr.map_err(|error| dump.failure(&error.context(key.clone())))?);
    }
    if roots.is_empty() {
        roots.push(context.attr(None).map_err(|error| dump.failure(&error))?);
    }

    let mut list = List { context, json, out, first: true, failed: None };
    if json {
        write!(list.out, "{{")?;
    }
    for root in roots {
        list.tree(root)?;
    }
    if json {
        writeln!(list.out, "\n}}")?;
    }
    match list.failed {
        Some((path, error)) => Err(dump.failure(&error.context(path))),
        None => Ok(()),
    }
}

struct List<'a> {
    context: &'a Context,
    json: bool,
    out: &'a mut Output,
    first: bool,
    /// The first attribute that could not be computed.
    failed: Option<(String, Error)>,
}

impl List<'_> {
    /// One attribute and everything below it. Keys come from the dump too
    /// (VMCOREINFO), so the depth is not ours: no recursion.
    fn tree(&mut self, root: AttrRef) -> Result<()> {
        let mut path = self.context.attr_path(root).map_err(failure)?;
        if !path.is_empty() {
            self.entry(&path, root)?;
        }
        let mut open: Vec<Level> = Vec::new();
        self.descend(root, path.len(), &mut open);
        while let Some(level) = open.last_mut() {
            path.truncate(level.prefix);
            let next = self.context.next_child(level.directory, level.previous);
            let Some(child) = next.map_err(failure)? else {
                open.pop();
                continue;
            };
            level.previous = Some(child.attr);
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&child.key);
            self.entry(&path, child.attr)?;
            self.descend(child.attr, path.len(), &mut open);
        }
        Ok(())
    }

    fn descend(&self, attr: AttrRef, prefix: usize, open: &mut Vec<Level>) {
        if self.context.attr_type(attr) == Some(AttrType::Directory) && self.context.attr_is_set(attr) {
            open.push(Level { directory: attr, previous: None, prefix });
        }
    }

    fn entry(&mut self, path: &str, attr: AttrRef) -> Result<()> {
        let value = self.context.get_attr(attr);
        let shown = if self.json {
            let separator = if std::mem::take(&mut self.first) { "\n" } else { ",\n" };
            write!(self.out, "{separator}")?;
            self.out.json(path)?;
            write!(self.out, ":")?;
            self.json_value(attr, value)?
        } else {
            self.text_value(path, value)?
        };
        if let Err(error) = shown
            && self.failed.is_none()
        {
            self.failed = Some((path.into(), error));
        }
        Ok(())
    }

    /// The outer result is about the output, the inner one about the dump.
    fn json_value(&mut self, attr: AttrRef, value: Result<Value, Error>) -> Result<Result<(), Error>> {
        let out = &mut *self.out;
        match value {
            Ok(Value::Directory) => write!(out, r#"{{"type":"directory"}}"#)?,
            Ok(Value::Number(number)) => write!(out, r#"{{"type":"number","value":{number}}}"#)?,
            Ok(Value::Address(address)) => write!(out, r#"{{"type":"address","value":"{address:x}"}}"#)?,
            Ok(Value::String(text)) => {
                write!(out, r#"{{"type":"string","value":"#)?;
                out.json(&*text)?;
                write!(out, "}}")?;
            }
            Ok(Value::Bitmap(bitmap)) => {
                write!(out, r#"{{"type":"bitmap","value":"#)?;
                let ended = pages::write_ranges(&bitmap, out)?;
                if let Err(error) = &ended {
                    write!(out, r#","error":"#)?;
                    out.json(error.to_string())?;
                }
                write!(out, "}}")?;
                return Ok(ended);
            }
            Ok(Value::Blob(blob)) => {
                let (size, sha256, head) = facts(&blob, BLOB_HEAD);
                write!(out, r#"{{"type":"blob","size":{size},"sha256":"{sha256}","hex":"{head}"}}"#)?;
            }
            Err(error) => {
                let kind = match self.context.attr_type(attr) {
                    Some(AttrType::Directory) => "directory",
                    Some(AttrType::Number) => "number",
                    Some(AttrType::Address) => "address",
                    Some(AttrType::String) => "string",
                    Some(AttrType::Bitmap) => "bitmap",
                    Some(AttrType::Blob) => "blob",
                    None => "deleted",
                };
                write!(out, r#"{{"type":"{kind}","error":"#)?;
                out.json(error.to_string())?;
                write!(out, "}}")?;
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }

    fn text_value(&mut self, path: &str, value: Result<Value, Error>) -> Result<Result<(), Error>> {
        let path = printable(path);
        let text = match value {
            // Its children say all there is.
            Ok(Value::Directory) => return Ok(Ok(())),
            Ok(Value::Bitmap(bitmap)) => match bitmap_text(&bitmap) {
                Ok(text) => text,
                Err(error) => {
                    writeln!(self.out, "{path} = ({})", printable(&error.to_string()))?;
                    return Ok(Err(error));
                }
            },
            Ok(value) => text(&value),
            Err(error) => {
                writeln!(self.out, "{path} = ({})", printable(&error.to_string()))?;
                return Ok(Err(error));
            }
        };
        writeln!(self.out, "{path} = {text}")?;
        Ok(Ok(()))
    }
}

/// A directory that is being listed.
struct Level {
    directory: AttrRef,
    previous: Option<AttrRef>,
    /// Length of its path.
    prefix: usize,
}

fn failure(error: Error) -> Failure {
    Failure::Dump { text: error.to_string(), hint: None }
}

/// A value for people.
pub fn text(value: &Value) -> String {
    match value {
        Value::Directory => String::new(),
        Value::Number(number) if *number < 10 => number.to_string(),
        Value::Number(number) => format!("{number} ({number:#x})"),
        Value::Address(address) => format!("{address:#x}"),
        // The text of an attribute is one line here.
        Value::String(text) => printable(text).replace('\n', "\\n"),
        Value::Bitmap(bitmap) => bitmap_text(bitmap).unwrap_or_else(|error| format!("({error})")),
        Value::Blob(blob) => {
            let (size, sha256, head) = facts(blob, FEW);
            let more = if size > FEW { "..." } else { "" };
            format!("{} [{head}{more}] sha256 {sha256}", output::count(size as u64, "byte"))
        }
    }
}

fn bitmap_text(bitmap: &Bitmap) -> Result<String, Error> {
    let mut few = String::new();
    let (mut bits, mut ranges) = (0u64, 0);
    for range in bitmap.ranges() {
        let (first, last) = range?;
        bits = bits.saturating_add((last - first).saturating_add(1));
        ranges += 1;
        if ranges <= FEW {
            let range = if first == last { format!(" {first:#x}") } else { format!(" {first:#x}-{last:#x}") };
            few.push_str(&range);
        }
    }
    let more = if ranges > FEW { " ..." } else { "" };
    let (bits, ranges) = (output::count(bits, "page"), output::count(ranges as u64, "range"));
    Ok(format!("{bits} in {ranges}:{few}{more}"))
}

/// Length, SHA-256 and the first bytes of a blob.
fn facts(blob: &Blob, head: usize) -> (usize, String, String) {
    blob.pin().with(|bytes| {
        let sha256 = output::hex(&Sha256::digest(bytes));
        (bytes.len(), sha256, output::hex(&bytes[..bytes.len().min(head)]))
    })
}
