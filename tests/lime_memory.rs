//! How much memory an open takes: bounded by what the file holds, not by what
//! it claims.

use kdumpfile::{Context, Space};
use kdumpfile_testkit::alloc::Counting;
use kdumpfile_testkit::lime::{IDENTIFIER, LimeBuilder, chunk, framed, stored_chunk};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const MIB: usize = 1 << 20;

/// Opens a file, reads the first page whatever it says, and tells the peak.
fn peak(bytes: Vec<u8>) -> usize {
    let ((), peak, _) = ALLOCATOR.measure(|| {
        let dump = Context::new();
        if dump.open_bytes(bytes).is_ok() {
            let _ = dump.read(Space::MachinePhysical, 0, &mut [0; 4096]);
        }
    });
    peak
}

// One test, because the counters are those of the whole program.
#[test]
fn what_a_file_claims_takes_no_memory() {
    let slots = peak(LimeBuilder::new().lime(0, &[1; 4096]).build());
    println!("an ordinary page: peak {slots} bytes");
    // Nearly all addresses there are, in 32 bytes.
    let all = LimeBuilder::new().header(b"EMiL", 1, 0, u64::MAX - 1, 0).build();
    // The same as a stream, of which there is one chunk.
    let claimed = |stream: &[u8]| LimeBuilder::new().avml_stream(0, u64::MAX, stream).build();
    let one = claimed(&[&IDENTIFIER[..], &stored_chunk(&[1; 100])].concat());
    let padding = claimed(&[&IDENTIFIER[..], &chunk(0xfe, &[])].concat());
    let large = claimed(&[&IDENTIFIER[..], &[0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x80, 0x80, 4]].concat());
    for (what, bytes) in [("all", all), ("one", one), ("padding", padding), ("large", large)] {
        let peak = peak(bytes);
        println!("{what}: peak {peak} bytes");
        assert!(peak < slots + MIB / 4, "{what}: {peak} bytes");
    }
    // Many small chunks and many small records: a few times the file.
    let chunks: Vec<u8> = (0..20_000).flat_map(|_| stored_chunk(&[1])).collect();
    let bytes = LimeBuilder::new().avml_stream(0, 20_000, &[&IDENTIFIER[..], &chunks].concat()).build();
    let records = (0..5000).fold(LimeBuilder::new(), |builder, n| builder.lime(2 * n, &[1]));
    let streams =
        (0..5000).fold(LimeBuilder::new(), |builder, n| builder.avml_stream(2 * n, 1, &framed(&[1])));
    for (what, bytes) in [("chunks", bytes), ("records", records.build()), ("streams", streams.build())] {
        let size = bytes.len();
        let peak = peak(bytes);
        println!("{what}: {size} bytes, peak {peak} bytes");
        assert!(peak < slots + 6 * size, "{what}: {peak} bytes for {size}");
    }
}
