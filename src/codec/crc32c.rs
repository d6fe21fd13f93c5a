//! CRC-32C, which guards what is in Snappy's framing format.

/// How the framing format stores a CRC.
pub fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli, reflected 0x82f63b78), eight bytes at a time.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let look = |table: usize, byte: u32| TABLES[table & 7][(byte & 0xff) as usize];
    let mut crc = !0_u32;
    let (eights, rest) = bytes.as_chunks::<8>();
    for [a, b, c, d, e, f, g, h] in eights {
        let low = crc ^ u32::from_le_bytes([*a, *b, *c, *d]);
        let high = u32::from_le_bytes([*e, *f, *g, *h]);
        crc = look(7, low) ^ look(6, low >> 8) ^ look(5, low >> 16) ^ look(4, low >> 24);
        crc ^= look(3, high) ^ look(2, high >> 8) ^ look(1, high >> 16) ^ look(0, high >> 24);
    }
    for byte in rest {
        crc = (crc >> 8) ^ look(0, crc ^ u32::from(*byte));
    }
    !crc
}

/// `TABLES[n][b]`: the CRC of byte `b` and `n` zeroes behind it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
            bit += 1;
        }
        let mut table = 0;
        while table < 8 {
            tables[table][byte] = crc;
            // One more zero behind it; the first table is complete only in
            // the end, so the step is made bit by bit.
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ if crc & 1 != 0 { 0x82f6_3b78 } else { 0 };
                bit += 1;
            }
            table += 1;
        }
        byte += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn crc_is_that_of_the_castagnoli_polynomial() {
        // RFC 3720, appendix B.4, and the usual check value.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc32c(&rising), 0x46dd_794e);
    }
}
