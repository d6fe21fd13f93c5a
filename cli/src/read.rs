//! `kdumpfile read`: bytes of memory.

use std::io::{self, IsTerminal, Write};

use kdumpfile::{Error, Space};

use crate::args::Read;
use crate::failure::{Failure, Result};
use crate::open::Dump;
use crate::output::{self, Hexdump, Output};

/// Bytes that are read and written at a time; a multiple of a hexdump line.
const PIECE: usize = 1 << 20;

/// Writes what can be read, and says why the rest cannot.
pub fn run(dump: &Dump, args: &Read, json: bool, out: &mut Output) -> Result<()> {
    let (address, length) = (args.address, args.length);
    if address.checked_add(length - 1).is_none() {
        return Err(Failure::Usage(format!("{length} bytes at {address:#x} reach beyond 64 bits")));
    }
    if args.raw && io::stdout().is_terminal() {
        return Err(Failure::Usage("--raw writes bytes that a terminal cannot show; redirect them".into()));
    }
    let space = if args.machine { Space::MachinePhysical } else { dump.kernel_physical() };

    if json {
        write!(out, r#"{{"address":"{address:x}","length":{length},"bytes":""#)?;
        let (done, error) = copy(dump, space, args, |bytes| out.write_all(output::hex(bytes).as_bytes()))?;
        write!(out, r#"","error":"#)?;
        out.json(error.as_ref().map(Error::to_string))?;
        writeln!(out, "}}")?;
        return ended(dump, args, done, error);
    }
    if args.raw {
        let (done, error) = copy(dump, space, args, |bytes| out.write_all(bytes))?;
        return ended(dump, args, done, error);
    }
    let mut hexdump = Hexdump::new(address);
    let (done, error) = copy(dump, space, args, |bytes| hexdump.write(out, bytes))?;
    if done > 0 {
        hexdump.end(out)?;
    }
    ended(dump, args, done, error)
}

/// Reads piece by piece; returns how many bytes were read, and what stopped it.
fn copy(
    dump: &Dump,
    space: Space,
    args: &Read,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(u64, Option<Error>)> {
    let piece = usize::try_from(args.length).map_or(PIECE, |length| length.min(PIECE));
    let mut buffer = vec![0; piece];
    let mut done = 0;
    while done < args.length {
        let left = usize::try_from(args.length - done).map_or(piece, |left| left.min(piece));
        let (n, result) = dump.context.read_partial(space, args.address + done, &mut buffer[..left]);
        write(&buffer[..n])?;
        done += n as u64;
        if let Err(error) = result {
            return Ok((done, Some(error)));
        }
    }
    Ok((done, None))
}

fn ended(dump: &Dump, args: &Read, done: u64, error: Option<Error>) -> Result<()> {
    let Some(error) = error else {
        return Ok(());
    };
    let place = args.address + done;
    let hint = dump.read_hint(&error);
    let error = error.context(format!("{place:#x}: {done} of {} bytes were read", args.length));
    Err(dump.failure(&error).with_hint(hint))
}
