//! The flattened stream against a model that writes one record after another.

use kdumpfile::Result;
use kdumpfile::io::{FlatView, ReadAt, Source, read_zero_filled};
use kdumpfile::sync::Shared;
use kdumpfile_testkit::flatten::{Flattener, Order, Record};
use kdumpfile_testkit::image::RamImage;

use crate::input::Input;
use crate::seeds::Seeds;
use crate::source::Shy;

const HEAD: [u8; 32] = *b"makedumpfile\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01";
/// Files up to this length are compared as a whole.
const MODEL_MAX: u64 = 1 << 20;

/// Byte 0: whether a stream follows (behind its first 4096 bytes), or a short
/// description of records.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let options = input.byte();
    let mut stream = HEAD.to_vec();
    stream.resize(4096, 0);
    match options & 3 {
        0 => stream = input.0.to_vec(),
        1 => stream.extend_from_slice(input.0),
        _ => describe(&mut input, &mut stream),
    }
    let sources: [Source; 3] = [
        Shared::new(stream.clone()),
        Shared::new(Shy { bytes: stream.clone(), sized: true }),
        Shared::new(Shy { bytes: stream.clone(), sized: false }),
    ];
    let views = sources.map(FlatView::open);
    let model = Model::of(&stream);
    for view in &views {
        match (&model, view) {
            (Some(model), Ok(view)) => compare(model, view),
            (None, Err(_)) => {}
            (Some(_), Err(error)) => panic!("a valid stream is refused: {error:?}"),
            (None, Ok(_)) => panic!("an invalid stream is accepted"),
        }
    }
}

/// Records of a few bytes of description: offset, and payload or its length.
fn describe(input: &mut Input<'_>, stream: &mut Vec<u8>) {
    while !input.is_empty() && stream.len() < 1 << 16 {
        let tag = input.byte();
        let offset = match tag & 3 {
            3 => input.number(),
            _ => input.uint(2),
        };
        let payload = match tag & 12 {
            0 => input.bytes(usize::from(tag >> 4)).to_vec(),
            4 => vec![tag; input.index(256)],
            8 => vec![tag; input.index(4000)],
            _ => input.bytes(usize::from(tag >> 4)).to_vec(),
        };
        let size = if tag == 0xff { input.number() } else { payload.len() as u64 };
        stream.extend(offset.to_be_bytes());
        stream.extend(size.to_be_bytes());
        stream.extend(payload);
    }
    if !stream.len().is_multiple_of(3) {
        stream.extend([0xff; 16]);
    }
}

/// What the stream stands for.
struct Model {
    /// Start and length in the file, and start in the stream, in stream order.
    records: Vec<(u64, u64, u64)>,
    len: u64,
    /// The whole file, if it is short.
    bytes: Option<Vec<u8>>,
}

impl Model {
    fn of(stream: &[u8]) -> Option<Model> {
        if stream.get(..32)? != HEAD {
            return None;
        }
        let int = |at: u64| {
            let bytes: [u8; 8] = std::array::from_fn(|i| byte(stream, at + i as u64));
            i64::from_be_bytes(bytes)
        };
        let mut model = Model { records: Vec::new(), len: 0, bytes: None };
        let mut at = 4096;
        loop {
            let (offset, size) = (int(at), int(at + 8));
            if offset == -1 {
                break;
            }
            if offset < 0 || size <= 0 || offset.checked_add(size).is_none() {
                return None;
            }
            let payload = at + 16;
            let next = i64::try_from(payload).ok()?.checked_add(size)?;
            model.records.push((offset as u64, size as u64, payload));
            model.len = model.len.max((offset + size) as u64);
            at = next as u64;
        }
        if model.len <= MODEL_MAX {
            let mut bytes = vec![0; model.len as usize];
            for &(offset, size, payload) in &model.records {
                for i in 0..size {
                    bytes[(offset + i) as usize] = byte(stream, payload + i);
                }
            }
            model.bytes = Some(bytes);
        }
        Some(model)
    }
}

fn byte(stream: &[u8], at: u64) -> u8 {
    usize::try_from(at).ok().and_then(|at| stream.get(at)).copied().unwrap_or(0)
}

fn compare(model: &Model, view: &FlatView) {
    assert_eq!(view.len(), Some(model.len));
    let mut edges: Vec<u64> = vec![0, model.len, u64::MAX];
    for &(offset, size, _) in model.records.iter().take(16) {
        edges.extend([offset, offset + size, offset + size / 2]);
    }
    let Some(bytes) = &model.bytes else {
        for at in edges {
            read(view, at.saturating_sub(3), 32).expect("memory does not fail");
        }
        return;
    };
    let whole = read(view, 0, bytes.len() + 10).expect("memory does not fail");
    assert!(whole[..bytes.len()] == *bytes, "the file differs");
    assert!(whole[bytes.len()..] == [0; 10]);
    for at in edges {
        for start in [at.saturating_sub(3), at] {
            let got = read(view, start, 24).expect("memory does not fail");
            let want: Vec<u8> = (0..24).map(|i| byte(bytes, start.saturating_add(i))).collect();
            assert!(got == want, "24 bytes at {start} differ");
            for len in [1, 5, 24] {
                if let Some(borrowed) = view.borrow(start, len) {
                    assert!(borrowed == &want[..len], "{len} bytes in place at {start} differ");
                }
            }
        }
    }
}

fn read(view: &FlatView, at: u64, len: usize) -> Result<Vec<u8>> {
    let mut buf = vec![0xa5; len];
    read_zero_filled(view, at, &mut buf)?;
    Ok(buf)
}

/// Inputs to begin with.
pub fn seeds(seeds: &mut Seeds) {
    let image: Vec<u8> = RamImage::new(1, 512).page_bytes(1);
    let stream = |flattener: Flattener| flattener.record_size(100).flatten(&image);
    seeds.add("whole", &[&[0], &stream(Flattener::new())]);
    let bodies = [
        ("ascending", stream(Flattener::new())),
        ("reversed", stream(Flattener::new().order(Order::Reversed))),
        ("overlaps", stream(Flattener::new().overlaps(4).order(Order::Shuffled(2)))),
        ("far", stream(Flattener::new().record(Record::new(i64::MAX - 8, b"far".to_vec())))),
        ("no-end", stream(Flattener::new().without_end_mark())),
        ("size-0", stream(Flattener::new().record(Record { offset: 7, size: Some(0), data: vec![] }))),
    ];
    for (name, stream) in bodies {
        seeds.add(name, &[&[1], &stream[4096..]]);
    }
    // Offset and length, over and under each other.
    seeds.add("described", &[&[2], b"\x40\x00\x10abcd\x44\x04\x10\x20\x48\x80\x00\x10\x30\x41\x02\x10wxyz"]);
    seeds.add(
        "described-nested",
        &[&[3], b"\x44\x00\x01\xff\x44\x10\x01\x08\x44\x0c\x01\x10\x44\x00\x00\xf0\x33\x00abc"],
    );
}
