//! Copies inside a page that every LZ77 codec makes.
//!
//! Pages are small and their runs short, so a call of `memcpy` per run costs
//! more than the copy. Whole chunks of a fixed size are moved instead, as long
//! as they fit into the buffer; what they write behind the end of a run is
//! overwritten by the next one.

/// Bytes behind the end of a run that may change.
const CHUNK: usize = 16;

/// Multipliers that repeat the low `i` bytes of a word through all of it.
const SPREAD: [u64; 8] = [
    0,
    0x0101_0101_0101_0101,
    0x0001_0001_0001_0001,
    0x0001_0000_0100_0001,
    0x0000_0001_0000_0001,
    0x0000_0100_0000_0001,
    0x0001_0000_0000_0001,
    0x0100_0000_0000_0001,
];

/// The largest multiple of `i` that is not above 8, for `i` below 8.
const STRIDE: [usize; 8] = [0, 8, 8, 6, 8, 5, 6, 7];

/// The `N` bytes of `buf` at `at`.
#[inline(always)]
pub(super) fn chunk<const N: usize>(buf: &[u8], at: usize) -> Option<[u8; N]> {
    buf.get(at..)?.first_chunk::<N>().copied()
}

/// Moves `N` bytes inside of `buf`, or fails when they do not fit.
#[inline(always)]
fn shift<const N: usize>(buf: &mut [u8], from: usize, to: usize) -> Option<()> {
    let bytes = chunk::<N>(buf, from)?;
    *buf.get_mut(to..)?.first_chunk_mut::<N>()? = bytes;
    Some(())
}

/// Copies `src[from..from + len]` to `dst[at..at + len]`.
///
/// The caller has checked that both ranges exist. Up to 15 bytes of `dst`
/// behind the range may change.
#[inline(always)]
pub(super) fn literals(src: &[u8], from: usize, dst: &mut [u8], at: usize, len: usize) {
    let mut done = 0;
    loop {
        let (Some(bytes), Some(slot)) = (
            chunk::<CHUNK>(src, from + done),
            dst.get_mut(at + done..).and_then(|rest| rest.first_chunk_mut::<CHUNK>()),
        ) else {
            return literals_exact(src, from + done, dst, at + done, len - done);
        };
        *slot = bytes;
        done += CHUNK;
        if done >= len {
            return;
        }
    }
}

/// [`literals`] without a byte more than asked.
#[inline(never)]
fn literals_exact(src: &[u8], from: usize, dst: &mut [u8], at: usize, len: usize) {
    if let (Some(src), Some(dst)) = (src.get(from..from + len), dst.get_mut(at..at + len)) {
        dst.copy_from_slice(src);
    }
}

/// Repeats the bytes that start `distance` before `at` until `len` are written.
///
/// The caller has checked `1 <= distance <= at` and `at + len <= dst.len()`.
/// Up to 15 bytes of `dst` behind the range may change.
#[inline(always)]
pub(super) fn repeat(dst: &mut [u8], at: usize, distance: usize, len: usize) {
    let end = at + len;
    let mut to = at;
    let done = if distance >= CHUNK {
        loop {
            if shift::<CHUNK>(dst, to - distance, to).is_none() {
                break false;
            }
            to += CHUNK;
            if to >= end {
                break true;
            }
        }
    } else if distance >= 8 {
        loop {
            if shift::<8>(dst, to - distance, to).is_none() {
                break false;
            }
            to += 8;
            if to >= end {
                break true;
            }
        }
    } else {
        short_period(dst, &mut to, distance, end)
    };
    if !done {
        repeat_exact(dst, to, distance, end - to);
    }
}

/// [`repeat`] for a period shorter than a word: spreads it over one, then
/// stores that again and again at a stride that keeps it in phase.
#[inline(always)]
fn short_period(dst: &mut [u8], to: &mut usize, distance: usize, end: usize) -> bool {
    let Some(word) = chunk::<8>(dst, *to - distance) else { return false };
    let keep = (1_u64 << (distance * 8)) - 1;
    let word = (u64::from_le_bytes(word) & keep).wrapping_mul(SPREAD[distance & 7]);
    let stride = STRIDE[distance & 7];
    loop {
        let Some(slot) = dst.get_mut(*to..).and_then(|rest| rest.first_chunk_mut::<8>()) else {
            return false;
        };
        *slot = word.to_le_bytes();
        *to += stride;
        if *to >= end {
            return true;
        }
    }
}

/// [`repeat`] without a byte more than asked.
#[inline(never)]
fn repeat_exact(dst: &mut [u8], at: usize, distance: usize, len: usize) {
    let from = at - distance;
    let mut done = 0;
    while done < len {
        // What is written so far continues the pattern: each copy is as long
        // as all before it.
        let step = (distance + done).min(len - done);
        dst.copy_within(from..from + step, at + done);
        done += step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn naive(dst: &mut [u8], at: usize, distance: usize, len: usize) {
        for i in at..at + len {
            dst[i] = dst[i - distance];
        }
    }

    #[test]
    fn repeat_equals_a_byte_by_byte_copy_at_every_distance_and_length() {
        let start: Vec<u8> = (0..400_u32).map(|i| (i * 7 + 3) as u8).collect();
        for distance in 1..40 {
            for len in 1..100 {
                for room in [0, 1, 15, 16, 17, 60] {
                    let at = 64;
                    let mut want = start.clone();
                    want.truncate(at + len + room);
                    let mut got = want.clone();
                    naive(&mut want, at, distance, len);
                    repeat(&mut got, at, distance, len);
                    assert_eq!(got[..at + len], want[..at + len], "{distance} {len} {room}");
                }
            }
        }
    }

    #[test]
    fn literals_equal_a_slice_copy_at_every_length_and_room() {
        let src: Vec<u8> = (0..200_u8).collect();
        for len in 0..100 {
            for room in [0, 15, 16, 40] {
                let mut dst = vec![0xee; 8 + len + room];
                literals(&src, 5, &mut dst, 8, len);
                assert_eq!(dst[8..8 + len], src[5..5 + len]);
                assert!(dst[..8].iter().all(|&b| b == 0xee));
                let mut dst = vec![0xee; 8 + len + room];
                let at = src.len() - len;
                literals(&src, at, &mut dst, 8, len);
                assert_eq!(dst[8..8 + len], src[at..]);
            }
        }
    }
}
