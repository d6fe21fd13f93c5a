//! `kdumpfile read`: bytes of memory.

use std::io::{self, IsTerminal, Write};

use kdumpfile::{Error, Space};

use crate::args::Read;
use crate::failure::{Failure, Result};
use crate::number;
use crate::open::Dump;
use crate::output::{self, Hexdump, Output};
use crate::symbols::{Place, SYMBOLS_HINT};
use crate::translation;

/// Bytes that are read and written at a time; a multiple of a hexdump line.
const PIECE: usize = 1 << 20;

/// What is read: where it begins, and how much it is.
struct Range {
    space: Space,
    address: u64,
    length: u64,
}

/// Writes what can be read, and says why the rest cannot.
pub fn run(dump: &Dump, args: &Read, json: bool, out: &mut Output) -> Result<()> {
    if args.raw && io::stdout().is_terminal() {
        return Err(Failure::Usage("--raw writes bytes that a terminal cannot show; redirect them".into()));
    }
    let range = range(dump, args)?;
    let Range { address, length, .. } = range;
    if json {
        write!(out, r#"{{"address":"{address:x}","length":{length},"bytes":""#)?;
        let (done, error) = copy(dump, &range, |bytes| out.write_all(output::hex(bytes).as_bytes()))?;
        write!(out, r#"","error":"#)?;
        out.json(error.as_ref().map(Error::to_string))?;
        writeln!(out, "}}")?;
        return ended(dump, &range, done, error);
    }
    if args.raw {
        let (done, error) = copy(dump, &range, |bytes| out.write_all(bytes))?;
        return ended(dump, &range, done, error);
    }
    let mut hexdump = Hexdump::new(address);
    let (done, error) = copy(dump, &range, |bytes| hexdump.write(out, bytes))?;
    if done > 0 {
        hexdump.end(out)?;
    }
    ended(dump, &range, done, error)
}

/// Where to read; sets translation up if that needs it.
fn range(dump: &Dump, args: &Read) -> Result<Range> {
    let length = args.length;
    let place = match args.symbol {
        true => Place::parse_symbol(&args.address).map_err(Failure::Usage)?,
        false => {
            let wrong = |error| Failure::Usage(format!("{}: {error}", args.address));
            Place::Address(number::address(&args.address).map_err(wrong)?)
        }
    };
    let within = |address: u64| match address.checked_add(length - 1) {
        Some(_) => Ok(address),
        None => Err(Failure::Usage(format!("{length} bytes at {address:#x} reach beyond 64 bits"))),
    };
    if let Place::Address(address) = place {
        within(address)?;
    }
    let space = match (args.virt || args.symbol, args.machine) {
        (true, _) => Space::KernelVirtual,
        (_, true) => Space::MachinePhysical,
        _ => dump.kernel_physical(),
    };
    if args.virt || args.symbol || !dump.context.spaces().contains(space) {
        translation::prepare(dump, &args.translation)?;
    }
    let address = place
        .resolve(&dump.context)
        .map_err(|error| dump.failure(&error).with_hint(Some(SYMBOLS_HINT.into())))?;
    Ok(Range { space, address: within(address)?, length })
}

/// Reads piece by piece; returns how many bytes were read, and what stopped it.
fn copy(
    dump: &Dump,
    range: &Range,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(u64, Option<Error>)> {
    let piece = usize::try_from(range.length).map_or(PIECE, |length| length.min(PIECE));
    let mut buffer = vec![0; piece];
    let mut done = 0;
    while done < range.length {
        let left = usize::try_from(range.length - done).map_or(piece, |left| left.min(piece));
        let (n, result) = dump.context.read_partial(range.space, range.address + done, &mut buffer[..left]);
        write(&buffer[..n])?;
        done += n as u64;
        if let Err(error) = result {
            return Ok((done, Some(error)));
        }
    }
    Ok((done, None))
}

fn ended(dump: &Dump, range: &Range, done: u64, error: Option<Error>) -> Result<()> {
    let Some(error) = error else {
        return Ok(());
    };
    let place = range.address + done;
    let hint = match range.space {
        Space::KernelVirtual => dump.translation_hint(&error).or_else(|| dump.read_hint(&error)),
        _ => dump.read_hint(&error),
    };
    let error = error.context(format!("{place:#x}: {done} of {} bytes were read", range.length));
    Err(dump.failure(&error).with_hint(hint))
}
