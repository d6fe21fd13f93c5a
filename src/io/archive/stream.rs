//! Streams: units too large to be unpacked at once.
//!
//! ```text
//!   stream      |segment|segment|segment|segment|segment|segment| ...
//!   deflate     ^       ^       ^       ^    checkpoints, thinned out
//!   xz, zstd    ^ kept . . . . . . . . . . . ^ decoder
//! ```
//!
//! A stream is unpacked in segments of [`SEGMENT`] bytes, and only as far as
//! reads reach. The decoder of a deflate stream is small, so that copies of it
//! are kept as checkpoints and any segment is unpacked again from the one before
//! it. Other decoders are as large as their windows: their segments are kept.
//!
//! | what | bound |
//! | --- | --- |
//! | checkpoints | [`POINTS`] of some 43 KiB: 44 MiB an archive |
//! | distance of checkpoints | 4 MiB, twice as much whenever they are too many |
//! | segments of xz, lzma and zstd | [`STREAM_MAX`] an archive |
//! | decoders of xz, lzma and zstd | [`DECODERS`] with windows of up to 128 MiB |
//!
//! No lock is held while a segment is unpacked. Threads that need the same one
//! at the same time unpack it each; for a stream that has no checkpoints one of
//! them has the decoder, the others begin at the front of the stream and go on
//! only until the segment is there.

use super::inflate::Inflate;
use super::unit::{Form, Stream, Unit};
use super::{Archive, STREAM_MAX, zstd};
use crate::error::{Error, Result, Status};
use crate::io::Source;
use crate::sync::{Lock, Shared};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::vec::Vec;

/// How many bytes of a stream are unpacked at once.
pub(super) const SEGMENT: usize = 1 << 20;
/// The most checkpoints of an archive.
const POINTS: usize = 1024;
/// How far checkpoints are apart at first.
const SPACING: u64 = 4 << 20;
/// How many decoders behind the segments that were unpacked last are kept too.
const RECENT: usize = 16;
/// How many decoders of streams without checkpoints wait for the next read.
const DECODERS: usize = 4;

/// What was unpacked next.
pub(super) struct Piece {
    /// [`SEGMENT`] bytes, fewer at the end.
    pub bytes: Vec<u8>,
    /// The position behind the stream in the archive, if this is its end.
    pub end: Option<u64>,
}

/// A segment of a stream.
#[derive(Clone)]
pub(super) struct Segment {
    pub bytes: Shared<Vec<u8>>,
    /// As in [`Piece`].
    pub end: Option<u64>,
}

/// Gets a segment that was unpacked and its position; then how many bytes are
/// done, and of how many.
pub(super) type Passed<'a> = dyn FnMut(u64, &Shared<Vec<u8>>, u64, Option<u64>) + 'a;

/// What is known about the streams of an archive.
#[derive(Default)]
pub(super) struct Streams {
    points: Lock<Points>,
    kept: Lock<Kept>,
}

impl Streams {
    /// The segment at position `wanted` of the unpacked file, which is one of
    /// stream `unit`. `passed` gets each segment that was unpacked for it, with
    /// its position.
    ///
    /// # Errors
    /// What is wrong with the stream; NOTIMPL behind [`STREAM_MAX`] bytes of a
    /// stream without checkpoints; what the source says.
    pub fn segment(
        &self,
        source: &Source,
        archive: Archive,
        unit: &Unit,
        wanted: u64,
        passed: &mut Passed<'_>,
    ) -> Result<Segment> {
        match unit.form {
            Form::Stream(stream @ (Stream::Gzip | Stream::Zlib)) => {
                self.inflate(source, stream, unit, wanted, passed)
            }
            Form::Stream(stream) => self.keep(source, archive, stream, unit, wanted, passed),
            _ => Err(Error::corrupt("No stream")),
        }
    }

    fn inflate(
        &self,
        source: &Source,
        stream: Stream,
        unit: &Unit,
        wanted: u64,
        passed: &mut Passed<'_>,
    ) -> Result<Segment> {
        let point = self.points.lock().nearest(unit.start, wanted);
        let (mut at, mut decoder) = match point {
            Some((at, decoder)) => (at, (*decoder).clone()),
            None => (unit.start, Inflate::new(stream, unit.packed)),
        };
        loop {
            let Piece { bytes, end } = decoder.next(source)?;
            let bytes = Shared::new(bytes);
            let next = at + bytes.len() as u64;
            if end.is_none() {
                self.points.lock().add(unit.start, next, Shared::new(decoder.clone()))?;
            }
            passed(at, &bytes, decoder.pos(), source.len());
            if at == wanted {
                return Ok(Segment { bytes, end });
            }
            if end.is_some() || next > wanted {
                return Err(differs());
            }
            at = next;
        }
    }

    fn keep(
        &self,
        source: &Source,
        archive: Archive,
        kind: Stream,
        unit: &Unit,
        wanted: u64,
        passed: &mut Passed<'_>,
    ) -> Result<Segment> {
        let number = usize::try_from((wanted - unit.start) / SEGMENT as u64).unwrap_or(usize::MAX);
        if number >= STREAM_MAX as usize / SEGMENT {
            return Err(archive.too_long());
        }
        // A decoder, and the number of the segment that it gives next.
        let mut own: Option<(usize, Box<Unpacker>)> = None;
        loop {
            {
                let mut kept = self.kept.lock();
                let stream = kept.stream(unit.start)?;
                let have = stream.segments.len();
                if let Some(bytes) = stream.segments.get(number) {
                    let end = if number + 1 == have { stream.end } else { None };
                    let segment = Segment { bytes: bytes.clone(), end };
                    if let Some((next, decoder)) = own
                        && next == have
                    {
                        stream.decoder = Some(decoder);
                        kept.limit_decoders();
                    }
                    return Ok(segment);
                }
                if let Some(error) = &stream.failed {
                    return Err(error.clone());
                }
                if stream.end.is_some() {
                    return Err(differs());
                }
                if own.as_ref().is_none_or(|own| own.0 < have)
                    && let Some(decoder) = stream.decoder.take()
                {
                    own = Some((have, decoder));
                }
            }
            let (next, mut decoder) = match own.take() {
                Some(own) => own,
                None => (0, Box::new(Unpacker::new(kind, unit.packed)?)),
            };
            let piece = decoder.next(source);
            let mut kept = self.kept.lock();
            let stream = kept.stream(unit.start)?;
            let is_next = next == stream.segments.len();
            let Piece { bytes, end } = match piece {
                Ok(piece) => piece,
                Err(error) => {
                    if is_next && error.status() != Status::System {
                        stream.failed = Some(error.clone());
                    }
                    return Err(error);
                }
            };
            let bytes = Shared::new(bytes);
            if is_next {
                stream.push(&bytes, end)?;
                kept.limit_bytes(unit.start);
            }
            drop(kept);
            let done = ((next + 1) * SEGMENT) as u64;
            match unit.len.checked_sub(done) {
                Some(_) => passed(unit.start + done, &bytes, done, Some(unit.len)),
                None => passed(unit.start + done, &bytes, decoder.pos(), source.len()),
            }
            if next == number {
                if end.is_none() {
                    self.kept.lock().park(unit.start, next + 1, decoder)?;
                }
                return Ok(Segment { bytes, end });
            }
            own = if end.is_none() && next < number { Some((next + 1, decoder)) } else { None };
        }
    }
}

/// There is less than there was before, or than the index says.
pub(super) fn differs() -> Error {
    Error::corrupt("The archive is shorter than its index says")
}

/// Decoders of deflate streams at certain positions.
struct Points {
    /// Sorted by position.
    kept: Vec<Point>,
    recent: VecDeque<Point>,
    spacing: u64,
}

struct Point {
    /// Where its stream begins in the unpacked file.
    stream: u64,
    /// What it gives next.
    at: u64,
    decoder: Shared<Inflate>,
}

impl Default for Points {
    fn default() -> Self {
        Points { kept: Vec::new(), recent: VecDeque::new(), spacing: SPACING }
    }
}

impl Points {
    /// The last decoder of a stream that is not behind `wanted`.
    fn nearest(&self, stream: u64, wanted: u64) -> Option<(u64, Shared<Inflate>)> {
        let behind = self.kept.partition_point(|point| point.at <= wanted);
        let kept = behind.checked_sub(1).and_then(|at| self.kept.get(at));
        let fits = |point: &&Point| point.stream == stream && point.at <= wanted;
        let best = kept.into_iter().chain(&self.recent).filter(fits).max_by_key(|point| point.at)?;
        Some((best.at, best.decoder.clone()))
    }

    fn add(&mut self, stream: u64, at: u64, decoder: Shared<Inflate>) -> Result<()> {
        let no_memory = |_| Error::system("Cannot allocate memory");
        let place = self.kept.partition_point(|point| point.at < at);
        let before = place.checked_sub(1).and_then(|place| self.kept.get(place));
        let from = before.filter(|point| point.stream == stream).map_or(stream, |point| point.at);
        let room = self.kept.get(place).is_none_or(|point| point.at - at >= self.spacing);
        if room && at - from >= self.spacing {
            self.kept.try_reserve(1).map_err(no_memory)?;
            self.kept.insert(place, Point { stream, at, decoder: decoder.clone() });
            while self.kept.len() > POINTS {
                self.thin_out();
            }
        }
        self.recent.retain(|point| point.at != at);
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.try_reserve(1).map_err(no_memory)?;
        self.recent.push_back(Point { stream, at, decoder });
        Ok(())
    }

    /// Doubles the distance of checkpoints.
    fn thin_out(&mut self) {
        self.spacing = self.spacing.saturating_mul(2);
        let (spacing, mut last) = (self.spacing, None);
        self.kept.retain(|point| {
            let from = match last {
                Some((stream, at)) if stream == point.stream => at,
                _ => point.stream,
            };
            let stays = point.at - from >= spacing;
            if stays {
                last = Some((point.stream, point.at));
            }
            stays
        });
    }
}

/// Streams that are kept unpacked, the least recently used one first.
#[derive(Default)]
struct Kept {
    streams: Vec<KeptStream>,
}

struct KeptStream {
    /// Where it begins in the unpacked file.
    start: u64,
    /// As far as it is unpacked.
    segments: Vec<Shared<Vec<u8>>>,
    bytes: usize,
    end: Option<u64>,
    /// Why it cannot be unpacked further.
    failed: Option<Error>,
    /// What unpacks the next segment, unless a thread has it just now.
    decoder: Option<Box<Unpacker>>,
}

impl KeptStream {
    fn push(&mut self, bytes: &Shared<Vec<u8>>, end: Option<u64>) -> Result<()> {
        self.segments.try_reserve(1).map_err(|_| Error::system("Cannot allocate memory"))?;
        self.segments.push(bytes.clone());
        self.bytes += bytes.len();
        self.end = end;
        Ok(())
    }
}

impl Kept {
    /// The stream that begins at `start`, which becomes the one used last.
    fn stream(&mut self, start: u64) -> Result<&mut KeptStream> {
        match self.streams.iter().rposition(|stream| stream.start == start) {
            Some(at) => {
                if let Some(rest) = self.streams.get_mut(at..) {
                    rest.rotate_left(1);
                }
            }
            None => {
                self.streams.try_reserve(1).map_err(|_| Error::system("Cannot allocate memory"))?;
                self.streams.push(KeptStream {
                    start,
                    segments: Vec::new(),
                    bytes: 0,
                    end: None,
                    failed: None,
                    decoder: None,
                });
            }
        }
        self.streams.last_mut().ok_or_else(differs)
    }

    /// Lets a decoder wait for the next read, if it is the one to go on with.
    fn park(&mut self, start: u64, next: usize, decoder: Box<Unpacker>) -> Result<()> {
        let stream = self.stream(start)?;
        if stream.segments.len() == next {
            stream.decoder = Some(decoder);
            self.limit_decoders();
        }
        Ok(())
    }

    fn limit_decoders(&mut self) {
        for stream in self.streams.iter_mut().rev().filter(|stream| stream.decoder.is_some()).skip(DECODERS) {
            stream.decoder = None;
        }
    }

    /// Forgets the streams that were not used for longest, but not `current`.
    fn limit_bytes(&mut self, current: u64) {
        let mut sum: usize = self.streams.iter().map(|stream| stream.bytes).sum();
        self.streams.retain(|stream| {
            let stays = sum <= STREAM_MAX as usize || stream.start == current;
            if !stays {
                sum -= stream.bytes;
            }
            stays
        });
    }
}

/// The decoder of a stream without checkpoints.
enum Unpacker {
    Zstd(zstd::Unpacker),
    #[cfg(feature = "archive-xz")]
    Xz(super::xz::Unpacker),
    #[cfg(feature = "archive-xz")]
    Lzma(super::lzma::Unpacker),
}

impl Unpacker {
    fn new(stream: Stream, packed: u64) -> Result<Self> {
        match stream {
            #[cfg(feature = "archive-xz")]
            Stream::XzBlock { check, packed_len, len } => {
                Ok(Unpacker::Xz(super::xz::Unpacker::block(check, packed, packed_len, len)))
            }
            #[cfg(feature = "archive-xz")]
            Stream::XzFile => Ok(Unpacker::Xz(super::xz::Unpacker::file(packed))),
            #[cfg(feature = "archive-xz")]
            Stream::Lzma => Ok(Unpacker::Lzma(super::lzma::Unpacker::new(packed))),
            Stream::Zstd => Ok(Unpacker::Zstd(zstd::Unpacker::new(packed)?)),
            Stream::Gzip | Stream::Zlib => Err(Error::corrupt(format!("No decoder at {packed}"))),
        }
    }

    /// How far the archive was read.
    fn pos(&self) -> u64 {
        match self {
            Unpacker::Zstd(unpacker) => unpacker.pos(),
            #[cfg(feature = "archive-xz")]
            Unpacker::Xz(unpacker) => unpacker.pos(),
            #[cfg(feature = "archive-xz")]
            Unpacker::Lzma(unpacker) => unpacker.pos(),
        }
    }

    fn next(&mut self, source: &Source) -> Result<Piece> {
        match self {
            Unpacker::Zstd(unpacker) => unpacker.next(source),
            #[cfg(feature = "archive-xz")]
            Unpacker::Xz(unpacker) => unpacker.next(source),
            #[cfg(feature = "archive-xz")]
            Unpacker::Lzma(unpacker) => unpacker.next(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder() -> Shared<Inflate> {
        Shared::new(Inflate::new(Stream::Gzip, 0))
    }

    #[test]
    fn checkpoints_thin_out_and_stay_within_their_bound() {
        let mut points = Points::default();
        let one = decoder();
        let segments = 6 * POINTS as u64 * (SPACING / SEGMENT as u64);
        for number in 1..=segments {
            points.add(0, number * SEGMENT as u64, one.clone()).unwrap();
            assert!(points.kept.len() <= POINTS && points.recent.len() <= RECENT);
        }
        assert_eq!(points.spacing, 8 * SPACING);
        assert!(points.kept.len() > POINTS / 2);
        assert!(points.kept.windows(2).all(|two| two[1].at - two[0].at == points.spacing));
        // Anywhere, a checkpoint is nearer than twice the distance.
        for wanted in (0..segments).step_by(97).map(|number| number * SEGMENT as u64) {
            let from = points.nearest(0, wanted).map_or(0, |(at, _)| at);
            assert!(from <= wanted && wanted - from < 2 * points.spacing);
        }
        // Together they have at most what the documentation says.
        const { assert!((POINTS + RECENT) * Inflate::BYTES <= 46 << 20) };
    }

    #[test]
    fn a_checkpoint_serves_its_own_stream_only() {
        let mut points = Points::default();
        points.add(0, 8 << 20, decoder()).unwrap();
        points.add(10 << 20, 15 << 20, decoder()).unwrap();
        assert_eq!(points.nearest(0, 9 << 20).unwrap().0, 8 << 20);
        assert!(points.nearest(10 << 20, 11 << 20).is_none());
        assert_eq!(points.nearest(10 << 20, 20 << 20).unwrap().0, 15 << 20);
    }

    #[test]
    fn kept_streams_are_forgotten_in_order_of_use() {
        let mut kept = Kept::default();
        for start in 0..3 {
            let stream = kept.stream(start).unwrap();
            stream.bytes = STREAM_MAX as usize / 2;
        }
        kept.stream(0).unwrap();
        kept.limit_bytes(0);
        let left: Vec<u64> = kept.streams.iter().map(|stream| stream.start).collect();
        assert_eq!(left, [2, 0]);
    }
}
