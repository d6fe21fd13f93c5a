//! `kdumpfile maps`: how addresses are translated.

use std::io::Write;

use kdumpfile::Error;
use kdumpfile::xlat::{Kind, MapIndex, Method, MethodIndex};
use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{Output, printable};
use crate::regions::{Region, regions};
use crate::translation::{Tables, full};
use crate::xlat::span;

/// What the methods of the kernel are for.
const PURPOSES: [(MethodIndex, &str); 8] = [
    (MethodIndex::PGT, "page tables"),
    (MethodIndex::UPGT, "page tables of processes"),
    (MethodIndex::DIRECT, "direct map"),
    (MethodIndex::KTEXT, "kernel text"),
    (MethodIndex::VMEMMAP, "vmemmap"),
    (MethodIndex::RDIRECT, "to the direct map"),
    (MethodIndex::MACHPHYS_KPHYS, "machine to kernel"),
    (MethodIndex::KPHYS_MACHPHYS, "kernel to machine"),
];

/// Lists maps, methods and regions.
pub fn run(dump: &Dump, json: bool, out: &mut Output) -> Result<()> {
    let (tables, error) = dump.tables();
    let regions = regions(&dump.context, &tables);
    let empty = MapIndex::ALL.iter().all(|index| tables.system.map(*index).is_none());
    match json {
        true => write_json(dump, &tables, &regions, error.as_ref(), out)?,
        false => write_text(&tables, &regions, out)?,
    }
    match error {
        Some(error) => {
            let hint = dump.translation_hint(&error);
            Err(dump.failure(&error.context("translation is not set up completely")).with_hint(hint))
        }
        None if empty => {
            let error = Error::new(kdumpfile::Status::AddrXlat, "no addresses can be translated");
            let hint = dump.translation_hint(&error);
            Err(dump.failure(&error).with_hint(hint))
        }
        None => Ok(()),
    }
}

fn map_name(index: MapIndex) -> &'static str {
    match index {
        MapIndex::Hw => "HW",
        MapIndex::KvPhys => "KV_PHYS",
        MapIndex::KphysDirect => "KPHYS_DIRECT",
        MapIndex::MachphysKphys => "MACHPHYS_KPHYS",
        MapIndex::KphysMachphys => "KPHYS_MACHPHYS",
    }
}

fn method_name(index: MethodIndex) -> String {
    match index.0 {
        8..16 => format!("CUSTOM{}", index.0 - MethodIndex::CUSTOM.0),
        _ => format!("{index:?}"),
    }
}

fn methods(tables: &Tables) -> impl Iterator<Item = (MethodIndex, &Method)> {
    (0..MethodIndex::COUNT as i32).map(MethodIndex).filter_map(|index| {
        let method = tables.system.method(index)?;
        (!method.is_none()).then_some((index, method))
    })
}

fn write_json(
    dump: &Dump,
    tables: &Tables,
    regions: &[Region],
    error: Option<&Error>,
    out: &mut Output,
) -> Result<(), Failure> {
    let hex = |value: u64| format!("{value:x}");
    let ranges = |index: MapIndex| -> Vec<Value> {
        let range = |range: kdumpfile::xlat::Range| {
            let method = (range.method != MethodIndex::NONE).then(|| method_name(range.method));
            json!({"first": hex(range.first), "last": hex(range.last), "method": method})
        };
        tables.system.map(index).iter().flat_map(|map| map.ranges()).map(range).collect()
    };
    let map = |index: MapIndex| json!({"name": map_name(index), "from": index.source().name(), "ranges": ranges(index)});
    let method = |(index, method): (MethodIndex, &Method)| {
        let mut object = json!({"name": method_name(index), "to": method.target.name()});
        let more = match &method.kind {
            Kind::Linear(offset) => json!({"kind": "linear", "offset": hex(*offset)}),
            Kind::Pgt(table) => json!({
                "kind": "page table",
                "format": format!("{:?}", table.form),
                "root": {"space": table.root.space.name(), "address": hex(table.root.addr)},
                "pte_mask": hex(table.pte_mask),
            }),
            Kind::Lookup(lookup) => json!({"kind": "lookup", "elements": lookup.elems().len()}),
            Kind::MemArr(array) => json!({
                "kind": "array",
                "base": {"space": array.base.space.name(), "address": hex(array.base.addr)},
                "shift": array.shift,
            }),
            Kind::Custom(_) => json!({"kind": "custom"}),
            _ => json!({"kind": "unknown"}),
        };
        if let (Value::Object(object), Value::Object(mut more)) = (&mut object, more) {
            object.append(&mut more);
        }
        object
    };
    let region = |region: &Region| {
        let last = region.last.map(hex);
        json!({"name": region.name, "first": hex(region.first), "last": last, "source": region.source})
    };
    let object = json!({
        "os": dump.context.string("addrxlat.ostype").ok(),
        "arch": dump.context.string("arch.name").ok(),
        "maps": MapIndex::ALL.into_iter().map(map).collect::<Vec<_>>(),
        "methods": methods(tables).map(method).collect::<Vec<_>>(),
        "regions": regions.iter().map(region).collect::<Vec<_>>(),
        "error": error.map(Error::to_string),
    });
    writeln!(out, "{object:#}")?;
    Ok(())
}

fn write_text(tables: &Tables, regions: &[Region], out: &mut Output) -> std::io::Result<()> {
    for index in MapIndex::ALL {
        let title = format!("{}, from {}", map_name(index), index.source().name());
        writeln!(out, "{}", out.bold(&title))?;
        let Some(map) = tables.system.map(index).filter(|map| !map.is_empty()) else {
            writeln!(out, "  nothing")?;
            continue;
        };
        for range in map.ranges() {
            let purpose = PURPOSES.iter().find(|row| row.0 == range.method).map_or("", |row| row.1);
            let name = match range.method {
                MethodIndex::NONE => "-".into(),
                method => method_name(method),
            };
            let line = format!("  {:016x}-{:016x}  {name:<14}  {purpose}", range.first, range.last);
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    writeln!(out, "{}", out.bold("Methods"))?;
    for (index, method) in methods(tables) {
        let how = match &method.kind {
            Kind::Linear(offset) => format!("address + {offset:#x}"),
            Kind::Pgt(table) => {
                let mask = match table.pte_mask {
                    0 => String::new(),
                    mask => format!(", without bits {mask:#x}"),
                };
                format!("{:?}, root {}{mask}", table.form, full(table.root))
            }
            Kind::Lookup(lookup) => format!("list of {} objects", lookup.elems().len()),
            Kind::MemArr(array) => {
                format!("array at {}, frames of {}", full(array.base), span(array.shift))
            }
            other => format!("{other:?}"),
        };
        writeln!(out, "  {:<14}  to {:<12}  {how}", method_name(index), method.target.name())?;
    }
    if !regions.is_empty() {
        writeln!(out, "{}", out.bold("Regions of the kernel"))?;
        for region in regions {
            let last = region.last.map_or("?".into(), |last| format!("{last:016x}"));
            let source = printable(&region.source);
            writeln!(out, "  {:016x}-{last:<16}  {:<14}  {source}", region.first, region.name)?;
        }
    }
    Ok(())
}
