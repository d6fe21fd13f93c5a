//! `kdumpfile xlat`: addresses from one space to another.

use std::io::Write;

use kdumpfile::xlat::{AddrSpace, FullAddr, Kind, MapIndex, Method, MethodIndex, Step, Walker};
use kdumpfile::{Error, Value};
use serde_json::json;

use crate::args::{AddressSpace, Xlat};
use crate::failure::{Failure, Result};
use crate::number;
use crate::open::Dump;
use crate::output::{self, Output, printable};
use crate::symbols::{Place, SYMBOLS_HINT};
use crate::translation::Tables;
use crate::walk::{self, Walk};

/// What became of one address.
struct Row {
    symbol: Option<String>,
    /// The address in each space of [`AddressSpace::ALL`].
    values: [Option<u64>; 3],
    error: Option<Error>,
    walk: Option<Walk>,
}

/// Translates the addresses and writes what they are.
pub fn run(dump: &Dump, args: &Xlat, json: bool, out: &mut Output) -> Result<()> {
    if args.to == Some(args.from) {
        return Err(Failure::Usage(format!(
            "--to is the space that the addresses are in: {}",
            args.from.key()
        )));
    }
    let virt = args.from == AddressSpace::Kv;
    if !virt && (args.walk || args.root.is_some()) {
        return Err(Failure::Usage("page tables translate virtual addresses: --from kv".into()));
    }
    let mut places = Vec::new();
    for text in &args.addresses {
        let place = Place::parse(text).map_err(Failure::Usage)?;
        if place.name().is_some() && !virt {
            return Err(Failure::Usage(format!(
                "{text}: symbols are virtual addresses, not {}",
                args.from.key()
            )));
        }
        places.push(place);
    }
    let root = args.root.as_deref().map(parse_root).transpose()?;

    let tables = (args.walk || root.is_some()).then(|| dump.tables().0);
    let own = match (&root, &tables) {
        (Some(root), Some(tables)) => Some(own_method(dump, tables, root)?),
        _ => None,
    };
    let rows: Vec<Row> =
        places.iter().map(|place| row(dump, args, tables.as_ref(), own.as_ref(), place)).collect();
    match json {
        true => write_json(&rows, out)?,
        false => write_text(args, &rows, out)?,
    }
    let failed = rows.iter().filter(|row| row.error.is_some()).count();
    let Some((row, error)) = rows.iter().find_map(|row| Some((row, row.error.as_ref()?))) else {
        return Ok(());
    };
    let (error, hint) = match row.values[args.from as usize] {
        Some(address) => {
            let name = format!("{} {address:#x}", args.from.key());
            (error.clone().context(name), dump.translation_hint(error))
        }
        None => (error.clone(), Some(SYMBOLS_HINT.into())),
    };
    let error = match rows.len() {
        1 => error,
        all => error.context(format!("{failed} of {all} addresses cannot be translated, the first of them")),
    };
    Err(dump.failure(&error).with_hint(hint))
}

fn row(
    dump: &Dump,
    args: &Xlat,
    tables: Option<&Tables>,
    own: Option<&(Tables, Method)>,
    place: &Place,
) -> Row {
    let mut row = Row { symbol: place.name().map(String::from), values: [None; 3], error: None, walk: None };
    let address = match place.resolve(&dump.context) {
        Ok(address) => address,
        Err(error) => {
            row.error = Some(error);
            return row;
        }
    };
    row.values[args.from as usize] = Some(address);
    for to in AddressSpace::ALL.into_iter().filter(|to| match args.to {
        Some(wanted) => *to == wanted,
        None => *to != args.from,
    }) {
        let value = match own {
            None => dump.context.translate_address(args.from.space(), address, to.space()),
            Some((tables, method)) => by_method(tables, method, address, to.addr_space()),
        };
        match value {
            Ok(value) => row.values[to as usize] = Some(value),
            Err(error) => row.error = row.error.or(Some(error)),
        }
    }
    if let Some(tables) = tables.filter(|_| args.walk) {
        let (tables, method) = match own {
            Some((tables, method)) => (tables, Some(("PGT".to_string(), method.clone()))),
            None => (tables, page_tables_for(tables, address)),
        };
        row.walk = Some(walk::walk(tables, method, address));
    }
    row
}

/// The page tables for an address: what the hardware would use, if that is
/// known, even where there is a faster way.
fn page_tables_for(tables: &Tables, address: u64) -> Option<(String, Method)> {
    let found = [MapIndex::Hw, MapIndex::KvPhys].into_iter().filter_map(|map| {
        let index = tables.system.map(map)?.search(address);
        Some((format!("{index:?}"), tables.system.method(index)?.clone()))
    });
    let (tabled, other): (Vec<_>, Vec<_>) =
        found.partition(|(_, method)| matches!(method.kind, Kind::Pgt(_)));
    tabled.into_iter().chain(other).next()
}

/// A place that the user calls a page table: `SPACE:ADDR`, machine physical
/// where no space is named, or a symbol.
fn parse_root(text: &str) -> Result<(AddressSpace, Place)> {
    let wrong = |error| Failure::Usage(format!("--root: {error}"));
    if let Some((space, address)) = text.split_once(':') {
        let space = match space {
            "kv" => AddressSpace::Kv,
            "kphys" => AddressSpace::Kphys,
            "mach" => AddressSpace::Mach,
            other => {
                return Err(Failure::Usage(format!("--root: no space is called {other}: kv, kphys, mach")));
            }
        };
        let address = number::hex(address).map_err(|error| wrong(format!("{address}: {error}")))?;
        return Ok((space, Place::Address(address)));
    }
    let place = Place::parse(text).map_err(wrong)?;
    let space = if place.name().is_some() { AddressSpace::Kv } else { AddressSpace::Mach };
    Ok((space, place))
}

/// Page tables of the dump's format with a root of their own. The kernel's maps
/// stay: tables may have to be found by them.
fn own_method(
    dump: &Dump,
    tables: &Tables,
    (space, place): &(AddressSpace, Place),
) -> Result<(Tables, Method)> {
    let address = place.resolve(&dump.context).map_err(|error| dump.failure(&error.context("--root")))?;
    let root = FullAddr::new(space.addr_space(), address);
    let with_root = |tables: Tables| {
        let mut method = tables.system.method(MethodIndex::PGT)?.clone();
        let Kind::Pgt(table) = &mut method.kind else { return None };
        table.root = root;
        Some((tables, method))
    };
    let same = Tables { context: tables.context.clone(), system: tables.system.clone() };
    if let Some(found) = with_root(same) {
        return Ok(found);
    }
    // The kernel's own tables are not known; perhaps these tell their format.
    let context = &tables.context;
    let failed = |error: Error| dump.failure(&error.context("--root"));
    context.set("addrxlat.force.rootpgt.as", Value::Number(space.addr_space().0 as u64)).map_err(failed)?;
    context.set("addrxlat.force.rootpgt.addr", Value::Address(address)).map_err(failed)?;
    let why = context.translation_system().err();
    let system = context.translation_system().unwrap_or_default();
    let anew = Tables { context: context.clone(), system };
    with_root(anew).ok_or_else(|| {
        let none = Error::new(kdumpfile::Status::AddrXlat, "the format of page tables is not known");
        let error = why.unwrap_or(none);
        dump.failure(&error.clone().context("--root")).with_hint(dump.translation_hint(&error))
    })
}

/// Translates by a method, and what comes out by the maps.
fn by_method(tables: &Tables, method: &Method, address: u64, to: AddrSpace) -> Result<u64, Error> {
    let (context, system) = (tables.context.xlat(), Some(&*tables.system));
    let mut step = Step::new(FullAddr::kvirt(address));
    let walked = Walker::new(context, system, method).walk(&mut step);
    let target = walked.and_then(|()| context.convert(system, to, step.base));
    target.map(|target| target.addr).map_err(walk::into_dump)
}

fn write_json(rows: &[Row], out: &mut Output) -> std::io::Result<()> {
    let object = |row: &Row| {
        let mut object = serde_json::Map::new();
        for space in AddressSpace::ALL {
            let value = row.values[space as usize].map(|address| format!("{address:x}"));
            object.insert(space.key().into(), value.into());
        }
        object.insert("error".into(), row.error.as_ref().map(Error::to_string).into());
        if let Some(symbol) = &row.symbol {
            object.insert("symbol".into(), symbol.clone().into());
        }
        if let Some(walk) = &row.walk {
            object.insert("walk".into(), walk.json());
        }
        serde_json::Value::from(object)
    };
    let list = json!(rows.iter().map(object).collect::<Vec<_>>());
    writeln!(out, "{list:#}")
}

fn write_text(args: &Xlat, rows: &[Row], out: &mut Output) -> std::io::Result<()> {
    let spaces: Vec<AddressSpace> = [args.from]
        .into_iter()
        .chain(AddressSpace::ALL.into_iter().filter(|space| match args.to {
            Some(to) => *space == to,
            None => *space != args.from,
        }))
        .collect();
    let titles: String = spaces.iter().map(|space| format!("{:<18}", space.key())).collect();
    writeln!(out, "{}", out.bold(titles.trim_end()))?;
    for row in rows {
        let mut line = String::new();
        for space in &spaces {
            let value = row.values[*space as usize].map_or("-".into(), |address| format!("{address:016x}"));
            line.push_str(&format!("{value:<18}"));
        }
        if let Some(symbol) = &row.symbol {
            line.push_str(&format!("{symbol}  "));
        }
        if let Some(error) = &row.error {
            line.push_str(&out.warning(&printable(&error.to_string())));
        }
        writeln!(out, "{}", line.trim_end())?;
        if let Some(walk) = &row.walk {
            walk.write(out)?;
        }
    }
    Ok(())
}

/// A number of bytes that is a power of two: `4 KiB`.
pub fn span(bits: u32) -> String {
    output::size(1u128 << bits.min(64))
}
