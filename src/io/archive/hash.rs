//! xxHash32, which guards the blocks of LZ4 frames.

use super::detect::{PRIME, xxh32_finish};

/// xxHash32 with seed 0.
pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    let (stripes, rest) = bytes.as_chunks::<16>();
    let mut hash = if stripes.is_empty() {
        PRIME[4]
    } else {
        let mut lanes = [PRIME[0].wrapping_add(PRIME[1]), PRIME[1], 0, PRIME[0].wrapping_neg()];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<4>().0) {
                let word = u32::from_le_bytes(*word).wrapping_mul(PRIME[1]);
                *lane = lane.wrapping_add(word).rotate_left(13).wrapping_mul(PRIME[0]);
            }
        }
        let [a, b, c, d] = lanes;
        let sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
        sum.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18))
    };
    hash = hash.wrapping_add(bytes.len() as u32);
    xxh32_finish(hash, rest)
}

#[cfg(test)]
mod tests {
    #[test]
    fn xxh32_gives_the_published_values() {
        assert_eq!(super::xxh32(b""), 0x02cc_5d05);
        assert_eq!(super::xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(super::xxh32(b"Nobody inspects the spammish repetition"), 0xe229_3b2f);
    }
}
