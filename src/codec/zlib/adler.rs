//! Adler-32 (RFC 1950 section 9).

const MODULUS: u32 = 65521;

/// Columns of the table that the bytes are laid out in.
const LANES: usize = 16;

/// Rows of a block: the second sum of a lane, at most 255 times the sum of
/// the numbers below 16, fits into 16 bits.
const ROWS: usize = 16;

/// The checksum of `data`.
///
/// The bytes are taken as rows of 16, and each column has its own two sums of
/// 16 bits: the compiler makes vectors of that.
pub(super) fn adler32(data: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    let (blocks, rest) = data.as_chunks::<{ LANES * ROWS }>();
    for block in blocks {
        let (sum, weighted) = block_sums(block);
        // Each byte adds to `b` once for itself and for each byte behind it,
        // what was in `a` before once for each byte.
        b += a * (LANES * ROWS) as u32 + weighted;
        a += sum;
        a %= MODULUS;
        b %= MODULUS;
    }
    for &byte in rest {
        a += u32::from(byte);
        b += a;
    }
    ((b % MODULUS) << 16) | (a % MODULUS)
}

/// The sum of the bytes, and that of the bytes times their distance from the
/// end (the last one counts once).
fn block_sums(block: &[u8; LANES * ROWS]) -> (u32, u32) {
    let (mut sums, mut rows_behind) = ([0; LANES], [0; LANES]);
    column_sums(block, &mut sums, &mut rows_behind);
    let (mut sum, mut weighted) = (0, 0);
    for lane in 0..LANES {
        sum += u32::from(sums[lane]);
        weighted += u32::from(rows_behind[lane]) * LANES as u32;
        weighted += u32::from(sums[lane]) * (LANES - lane) as u32;
    }
    (sum, weighted)
}

/// The sum of each column, and that of its bytes times the rows behind them.
// Not inlined: mixed with the sums over the lanes, the compiler shuffles lanes
// in every row, which took three times as long.
#[inline(never)]
fn column_sums(block: &[u8; LANES * ROWS], sums: &mut [u16; LANES], rows_behind: &mut [u16; LANES]) {
    let (rows, _) = block.as_chunks::<LANES>();
    for row in rows {
        for lane in 0..LANES {
            rows_behind[lane] += sums[lane];
            sums[lane] += u16::from(row[lane]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn naive(data: &[u8]) -> u32 {
        let (mut a, mut b) = (1, 0);
        for &byte in data {
            a = (a + u32::from(byte)) % MODULUS;
            b = (b + a) % MODULUS;
        }
        (b << 16) | a
    }

    #[test]
    fn checksum_equals_its_definition_at_lengths_around_rows_and_blocks() {
        let data: Vec<u8> = (0..20_000_u32).map(|i| ((i * 31) >> 3) as u8).collect();
        for len in (0..40).chain([255, 256, 257, 511, 513, 4095, 4096, 4097, 20_000]) {
            assert_eq!(adler32(&data[..len]), naive(&data[..len]), "{len}");
        }
        let high = vec![0xff; 70_000];
        assert_eq!(adler32(&high), naive(&high));
        assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
    }
}
