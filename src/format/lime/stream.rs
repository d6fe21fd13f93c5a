//! Snappy framed streams: chunks of at most 64 KiB of memory.
//!
//! | type | payload |
//! | --- | --- |
//! | `ff` | `sNaPpY`: a stream begins |
//! | `00` | masked CRC-32C of the memory (LE32), a raw snappy block |
//! | `01` | masked CRC-32C, the memory as it is |
//! | `fe`, `80` to `fd` | to be skipped |
//!
//! One byte of type and three of length (LE) stand in front of the payload.
//! Chunks are listed when the first page of their record is read. Those that
//! were unpacked last are kept: a chunk has 16 pages.

use alloc::format;
use alloc::vec::Vec;

use crate::codec::{Codec, crc32c, snappy};
use crate::error::{Error, Result, ResultExt};
use crate::format::Scratch;
use crate::format::extent::Maker;
use crate::io::FileSet;
use crate::sync::{Lazy, Lock, Shared};

/// The most memory in a chunk (framing format of 2013-10-25, section 4.2).
const CHUNK: u64 = 65536;

/// The most bytes of a packed chunk: a block grows by a sixth at most.
const PACKED: u64 = 32 + CHUNK + CHUNK / 6;

/// Type and length in front of a chunk.
const CHUNK_HEADER: u64 = 4;

/// The masked CRC-32C in front of the data.
const CRC: u64 = 4;

/// What a stream begins with.
const IDENTIFIER: [u8; 10] = *b"\xff\x06\x00\x00sNaPpY";

/// Unpacked chunks that are kept (1 MiB).
const KEPT: usize = 16;

const COMPRESSED: u8 = 0x00;
const STORED: u8 = 0x01;

/// Data of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// Where its memory begins in that of the record.
    start: u64,
    /// Position of its header in the file.
    position: u64,
}

/// A chunk's header and the beginning of its payload.
struct Head {
    kind: u8,
    payload: u64,
    /// Bytes of memory, if it has data.
    memory: u64,
}

impl Head {
    fn read(files: &FileSet, position: u64) -> Result<Head> {
        let mut raw = [0; (CHUNK_HEADER + CRC + 5) as usize];
        files.read(0, position, &mut raw).context(|| format!("Cannot read chunk at {position}"))?;
        let [kind, a, b, c, ..] = raw;
        let payload = u64::from(u32::from_le_bytes([a, b, c, 0]));
        let wrong = || Error::corrupt(format!("Invalid length {payload} of chunk at {position}"));
        let memory = match kind {
            STORED => payload.checked_sub(CRC).filter(|len| *len <= CHUNK).ok_or_else(wrong)?,
            COMPRESSED => {
                if !(CRC + 1..=CRC + PACKED).contains(&payload) {
                    return Err(wrong());
                }
                let mut size = 0_u64;
                let mut ended = false;
                for (shift, byte) in raw.iter().skip((CHUNK_HEADER + CRC) as usize).enumerate() {
                    size |= u64::from(byte & 0x7f) << (7 * shift);
                    if byte & 0x80 == 0 {
                        ended = true;
                        break;
                    }
                }
                if !ended || size > CHUNK {
                    return Err(Error::corrupt(format!(
                        "Invalid size {size} of block of chunk at {position}"
                    )));
                }
                size
            }
            0xff => {
                if raw.get(..IDENTIFIER.len()) != Some(&IDENTIFIER) {
                    return Err(Error::corrupt(format!("Invalid stream identifier at {position}")));
                }
                0
            }
            0x80..=0xfe => 0,
            _ => return Err(Error::corrupt(format!("Invalid type {kind:#04x} of chunk at {position}"))),
        };
        Ok(Head { kind, payload, memory })
    }

    /// The position behind the chunk at `position`.
    fn end(&self, position: u64) -> u64 {
        position.saturating_add(CHUNK_HEADER + self.payload)
    }
}

/// The position behind the chunk that begins with `raw` at `position`, if it
/// may be skipped.
pub(super) fn skippable(raw: &[u8; 8], position: u64) -> Option<u64> {
    let [0x80..=0xfe, a, b, c, ..] = *raw else { return None };
    Some(position.saturating_add(CHUNK_HEADER + u64::from(u32::from_le_bytes([a, b, c, 0]))))
}

/// How far a stream goes.
pub(super) struct Walked {
    /// Bytes of memory in whole chunks.
    pub memory: u64,
    /// Position behind the last chunk; `None` if the file ends before.
    pub end: Option<u64>,
}

/// Lists the chunks with `len` bytes of memory of the stream at `position`,
/// reading their headers only.
pub(super) fn walk(
    files: &FileSet,
    mut position: u64,
    len: u64,
    mut chunk: impl FnMut(Chunk),
) -> Result<Walked> {
    let begin = position;
    let mut memory = 0;
    while memory < len {
        if super::ends_before(files, position.saturating_add(CHUNK_HEADER))? {
            return Ok(Walked { memory, end: None });
        }
        let head = Head::read(files, position)?;
        if (position == begin) != (head.kind == 0xff) {
            return Err(Error::corrupt(format!("Misplaced stream identifier at {position}")));
        }
        let end = head.end(position);
        if super::ends_before(files, end)? {
            return Ok(Walked { memory, end: None });
        }
        if head.memory > len - memory {
            return Err(Error::corrupt(format!("Stream at {begin} has more than {len} bytes")));
        }
        if head.memory > 0 {
            chunk(Chunk { start: memory, position });
        }
        memory += head.memory;
        position = end;
    }
    Ok(Walked { memory, end: Some(position) })
}

/// The stream of one record.
pub(super) struct Stream {
    /// Position in the file.
    pub position: u64,
    /// Bytes that it takes there; 0 if it is cut.
    pub packed: u64,
    /// Bytes of memory.
    pub len: u64,
    /// Its data, once somebody asked for a page.
    pub chunks: Lazy<Vec<Chunk>>,
}

impl Stream {
    fn chunks(&self, files: &FileSet) -> Result<&[Chunk]> {
        let list = || {
            let mut chunks = Vec::new();
            walk(files, self.position, self.len, |chunk| chunks.push(chunk))?;
            chunks.shrink_to_fit();
            Ok(chunks)
        };
        self.chunks.get_or_try_init(list).map(|chunks| &chunks[..])
    }
}

/// An unpacked chunk and its position in the file.
type Unpacked = (u64, Shared<Vec<u8>>);

/// All compressed records of a file.
pub(super) struct Streams {
    streams: Vec<Stream>,
    /// The least recently used one first.
    kept: Lock<Vec<Unpacked>>,
}

impl Streams {
    pub(super) fn new(streams: Vec<Stream>) -> Self {
        Streams { streams, kept: Lock::new(Vec::new()) }
    }

    fn known(&self, position: u64) -> Option<Shared<Vec<u8>>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().rposition(|(key, _)| *key == position)?;
        kept.get_mut(at..)?.rotate_left(1);
        kept.last().map(|(_, memory)| memory.clone())
    }

    fn keep(&self, position: u64, memory: &Shared<Vec<u8>>) {
        let mut kept = self.kept.lock();
        if kept.iter().any(|(key, _)| *key == position) {
            return;
        }
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((position, memory.clone()));
    }

    fn unpack(&self, files: &FileSet, position: u64, scratch: &mut Scratch) -> Result<Shared<Vec<u8>>> {
        if let Some(memory) = self.known(position) {
            return Ok(memory);
        }
        let head = Head::read(files, position)?;
        // Both fit: Head has checked them.
        let (size, packed) = (head.memory as usize, head.payload.saturating_sub(CRC) as usize);
        let mut memory = alloc::vec![0; size];
        let mut crc = [0; CRC as usize];
        let data = position.saturating_add(CHUNK_HEADER);
        files.read(0, data, &mut crc).context(|| format!("Cannot read chunk at {position}"))?;
        let data = data.saturating_add(CRC);
        let place = || format!("Cannot unpack chunk at {position}");
        if head.kind == STORED {
            files.read(0, data, &mut memory).context(|| format!("Cannot read chunk at {position}"))?;
        } else {
            let unpack = |bytes: &[u8], memory: &mut [u8]| {
                let len = snappy::decompress(&mut snappy::State, bytes, memory)?;
                match len == size {
                    true => Ok(()),
                    false => Err(Error::corrupt(format!("Wrong uncompressed size: {len}"))),
                }
            };
            match files.borrow(0, data, packed) {
                Some(bytes) => unpack(bytes, &mut memory).context(place)?,
                None => {
                    scratch.packed.clear();
                    scratch.packed.resize(packed, 0);
                    files
                        .read(0, data, &mut scratch.packed)
                        .context(|| format!("Cannot read chunk at {position}"))?;
                    unpack(&scratch.packed, &mut memory).context(place)?;
                }
            }
        }
        if crc32c::masked(crc32c::crc32c(&memory)) != u32::from_le_bytes(crc) {
            return Err(Error::corrupt(format!("Wrong checksum of chunk at {position}")));
        }
        let memory = Shared::new(memory);
        self.keep(position, &memory);
        Ok(memory)
    }
}

impl Maker for Streams {
    fn read(
        &self,
        files: &FileSet,
        number: u64,
        mut offset: u64,
        mut bytes: &mut [u8],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let missing = || Error::no_data("Page not found");
        let stream = usize::try_from(number).ok().and_then(|at| self.streams.get(at)).ok_or_else(missing)?;
        let chunks = stream.chunks(files)?;
        while !bytes.is_empty() {
            let at = chunks.partition_point(|chunk| chunk.start <= offset);
            let chunk = at.checked_sub(1).and_then(|at| chunks.get(at)).ok_or_else(missing)?;
            let memory = self.unpack(files, chunk.position, scratch)?;
            let from = usize::try_from(offset - chunk.start).unwrap_or(usize::MAX);
            // What the stream lacks at its end was cut off.
            let rest = memory.get(from..).filter(|rest| !rest.is_empty()).ok_or_else(missing)?;
            let len = rest.len().min(bytes.len());
            let (now, later) = bytes.split_at_mut(len);
            now.copy_from_slice(rest.get(..len).unwrap_or_default());
            bytes = later;
            offset += len as u64;
        }
        Ok(())
    }

    /// Pages have no packed bytes of their own: a share in those of the record.
    fn packing(&self, _: &FileSet, number: u64, _: u64, size: u64) -> Result<(Option<Codec>, u64)> {
        let stream = usize::try_from(number).ok().and_then(|at| self.streams.get(at));
        let share = stream.and_then(|stream| {
            let bytes = u128::from(stream.packed) * u128::from(size);
            u64::try_from(bytes / u128::from(stream.len.max(1))).ok()
        });
        Ok((Some(Codec::Snappy), share.unwrap_or(0)))
    }
}
