//! A walk through page tables, level by level.

use std::io::{self, Write};

use kdumpfile::xlat::{self, FullAddr, Kind, Method, PagingForm, Raw, Step, Walker};
use kdumpfile::{Error, Status};
use serde_json::json;

use crate::output::{Output, printable};
use crate::pte;
use crate::translation::{Tables, full};
use crate::xlat::span;

/// More levels than any format has, huge page directories included.
const LEVELS_MAX: usize = 2 * Step::INDICES;

/// What a walk has seen.
pub struct Walk {
    method: Option<String>,
    tables: Option<(PagingForm, FullAddr)>,
    levels: Vec<Level>,
    /// log2 of the bytes that the last entry maps.
    page_bits: Option<u32>,
    /// Where the walk ended.
    target: Option<FullAddr>,
    error: Option<Error>,
}

/// One entry.
struct Level {
    level: usize,
    name: &'static str,
    index: u64,
    place: FullAddr,
    entry: Option<u64>,
    flags: Vec<String>,
}

/// Walks the tables of a method that has a name.
pub fn walk(tables: &Tables, method: Option<(String, Method)>, address: u64) -> Walk {
    let name = method.as_ref().map(|(name, _)| name.clone());
    let mut walk =
        Walk { method: name, tables: None, levels: Vec::new(), page_bits: None, target: None, error: None };
    let Some((_, method)) = method.filter(|(_, method)| matches!(method.kind, Kind::Pgt(_))) else {
        walk.error = Some(Error::new(Status::AddrXlat, "no page tables are known for this address"));
        return walk;
    };
    if let Err(error) = steps(&mut walk, tables, &method, address) {
        walk.error = Some(into_dump(error));
    }
    walk
}

fn steps(walk: &mut Walk, tables: &Tables, method: &Method, address: u64) -> xlat::Result<()> {
    let Kind::Pgt(table) = &method.kind else { return Ok(()) };
    let form = table.form;
    walk.tables = Some((form, table.root));
    let walker = Walker::new(tables.context.xlat(), Some(&*tables.system), method);
    let mut step = Step::default();
    walker.launch(&mut step, address)?;
    let top = usize::from(step.remain).saturating_sub(1);
    while step.remain > 1 {
        if walk.levels.len() == LEVELS_MAX {
            return Err(xlat::Error::invalid("Endless translation"));
        }
        let level = usize::from(step.remain) - 1;
        let index = step.index(level);
        let place = step.base.offset(index.wrapping_mul(u64::from(step.elemsz)));
        step.raw = Raw::None;
        let done = walker.step(&mut step);
        let entry = match step.raw {
            Raw::Value(entry) => Some(entry),
            _ => None,
        };
        let leaf = done.is_ok() && step.remain == 1;
        let flags = entry.map(|entry| pte::flags(form.format(), entry, level, leaf)).unwrap_or_default();
        walk.levels.push(Level { level, name: pte::name(level, top), index, place, entry, flags });
        done?;
        if leaf {
            walk.page_bits = Some(form.span(level));
        }
    }
    walker.step(&mut step)?;
    walk.target = Some(step.base);
    Ok(())
}

/// What a failed step says to who reads a dump.
pub fn into_dump(error: xlat::Error) -> Error {
    let status = match error.status() {
        xlat::Status::NoData => Status::NoData,
        xlat::Status::BUSY => Status::Busy,
        _ => Status::AddrXlat,
    };
    Error::new(status, error.to_string())
}

impl Walk {
    /// As JSON; see the help of `xlat`.
    pub fn json(&self) -> serde_json::Value {
        let error = self.error.as_ref().map(Error::to_string);
        let Some((form, root)) = &self.tables else {
            return json!({"method": self.method, "error": error});
        };
        let level = |level: &Level| {
            json!({
                "level": level.level,
                "name": level.name,
                "index": level.index,
                "space": level.place.space.name(),
                "address": format!("{:x}", level.place.addr),
                "entry": level.entry.map(|entry| format!("{entry:x}")),
                "flags": level.flags,
            })
        };
        json!({
            "method": self.method,
            "format": format!("{form:?}"),
            "root": {"space": root.space.name(), "address": format!("{:x}", root.addr)},
            "levels": self.levels.iter().map(level).collect::<Vec<_>>(),
            "page_bytes": self.page_bits.filter(|bits| *bits < 64).map(|bits| 1u64 << bits),
            "error": error,
        })
    }

    /// As a table, moved in below its address.
    pub fn write(&self, out: &mut Output) -> io::Result<()> {
        if let Some((form, root)) = &self.tables {
            let method = self.method.as_deref().unwrap_or("");
            writeln!(out, "  {method} {form:?}, root {}", full(*root))?;
            let places: Vec<String> = self.levels.iter().map(|level| full(level.place)).collect();
            let width = places.iter().map(String::len).max().unwrap_or(0).max(13);
            let title = format!("  level     index  {:<width$}  {:<16}  meaning", "entry address", "entry");
            writeln!(out, "{}", out.bold(&title))?;
            for (level, place) in self.levels.iter().zip(places) {
                let entry = level.entry.map_or("not readable".into(), |entry| format!("{entry:016x}"));
                let line = format!(
                    "  {} {:<4} {:>8}  {place:<width$}  {entry:<16}  {}",
                    level.level,
                    level.name,
                    level.index,
                    level.flags.join(" ")
                );
                writeln!(out, "{}", line.trim_end())?;
            }
        }
        if let (Some(bits), Some(target)) = (self.page_bits, self.target) {
            writeln!(out, "  in a page of {}: {}", span(bits), full(target))?;
        }
        if let Some(error) = &self.error {
            let text = match &self.method {
                Some(method) if self.tables.is_none() => format!("{error} (method {method})"),
                _ => error.to_string(),
            };
            writeln!(out, "  {}", out.warning(&printable(&text)))?;
        }
        Ok(())
    }
}
