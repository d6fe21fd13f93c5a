//! One block of a bzip2 stream.
//!
//! | bits | what |
//! | --- | --- |
//! | 48, 32 | magic; CRC-32 of the unpacked bytes, most significant bit first |
//! | 1, 24 | randomised (obsolete); where the sorted block begins |
//! | 16, 16 each | which groups of 16 bytes occur; which of the group's do |
//! | 3, 15 | number of code tables; number of groups of 50 symbols |
//! | unary each | table of a group, as its place in a move-to-front list |
//! | 5 and deltas, per table | lengths of its codes |
//! | ... | symbols: runs of the front byte (in base 2), places in a move-to-front list of bytes, end |
//!
//! Symbols give the last column of the sorted rotations of a text, from which
//! the text follows; a byte that stands there four times is followed by how
//! often it comes once more.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Longest code, as the original accepts.
const CODE_MAX: usize = 20;
/// Symbols of an alphabet: two for runs, 255 places and the end.
const SYMBOLS: usize = 258;
/// Symbols that use the same table.
const GROUP: usize = 50;
/// The most groups of a block: the original writes not more, but reads more.
const GROUPS_MAX: usize = 18_002;

/// Why a block cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It makes no sense, or ends too early.
    Data,
    /// It is not what was packed.
    Check,
    /// No memory.
    Memory,
}

/// Bits, the most significant one of a byte first.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Bits taken so far.
    at: usize,
}

impl<'a> Bits<'a> {
    /// The bits of `bytes` without the first `skip`.
    pub fn new(bytes: &'a [u8], skip: u8) -> Self {
        Bits { bytes, at: skip.into() }
    }

    /// The next 32 bits; zeroes behind the end.
    #[inline]
    fn window(&self) -> u32 {
        let rest = self.bytes.get(self.at / 8..).unwrap_or(&[]);
        let word = match rest.first_chunk::<8>() {
            Some(bytes) => u64::from_be_bytes(*bytes),
            None => {
                let mut bytes = [0; 8];
                for (to, from) in bytes.iter_mut().zip(rest) {
                    *to = *from;
                }
                u64::from_be_bytes(bytes)
            }
        };
        (word << (self.at % 8) >> 32) as u32
    }

    /// The next `count` bits (1 to 24), if there are so many.
    #[inline]
    pub fn take(&mut self, count: u32) -> Option<u32> {
        let bits = self.window() >> (32 - count);
        self.at += count as usize;
        (self.at <= self.bytes.len() * 8).then_some(bits)
    }

    fn bit(&mut self) -> Option<bool> {
        Some(self.take(1)? != 0)
    }

    /// Bits taken, with those that were skipped.
    pub fn bits_used(&self) -> usize {
        self.at
    }

    /// Bytes of which a bit was taken or skipped.
    pub fn bytes_used(&self) -> usize {
        self.at.div_ceil(8)
    }

    /// Whether all bits, or more, were asked for.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len() * 8
    }
}

/// Unpacks the block whose magic is next.
pub(super) fn unpack(bits: &mut Bits<'_>, level: u8) -> Result<Vec<u8>, Fault> {
    let limit = usize::from(level) * 100_000;
    let _magic = bits.take(24).and_then(|_| bits.take(24)).ok_or(Fault::Data)?;
    let check = bits.take(16).and_then(|high| Some(high << 16 | bits.take(16)?)).ok_or(Fault::Data)?;
    let randomised = bits.bit().ok_or(Fault::Data)?;
    let origin = bits.take(24).ok_or(Fault::Data)? as usize;
    if randomised || origin > limit {
        return Err(Fault::Data);
    }
    let mut links = Vec::new();
    links.try_reserve_exact(limit).map_err(|_| Fault::Memory)?;
    let counts = column(bits, limit, &mut links)?;
    if origin >= links.len() {
        return Err(Fault::Data);
    }
    link(&mut links, counts);
    let bytes = expand(&links, origin)?;
    if crc(&bytes) != check {
        return Err(Fault::Check);
    }
    Ok(bytes)
}

/// Decodes the last column of the sorted rotations into the low bytes of
/// `links`; how often each byte occurs.
fn column(bits: &mut Bits<'_>, limit: usize, links: &mut Vec<u32>) -> Result<[u32; 256], Fault> {
    let mut front = bytes_used(bits).ok_or(Fault::Data)?;
    let alphabet = front.len() + 2;
    let (tables, selectors) = codes(bits, alphabet)?;
    let mut counts = [0; 256];
    let mut emit = |byte: u8, count: usize| {
        if count > limit - links.len() {
            return Err(Fault::Data);
        }
        links.resize(links.len() + count, byte.into());
        if let Some(sum) = counts.get_mut(usize::from(byte)) {
            *sum += count as u32;
        }
        Ok(())
    };
    // A run of the byte at the front: its length, and what the next digit adds.
    let (mut run, mut weight) = (0usize, 1usize);
    for selector in selectors {
        let table = tables.get(usize::from(selector)).ok_or(Fault::Data)?;
        for _ in 0..GROUP {
            let symbol = table.symbol(bits).ok_or(Fault::Data)?;
            if symbol < 2 {
                // A run is shorter than the block, so that its digits are few.
                run += weight << symbol;
                weight <<= 1;
                if run > limit {
                    return Err(Fault::Data);
                }
                continue;
            }
            if run > 0 {
                emit(*front.first().ok_or(Fault::Data)?, run)?;
                (run, weight) = (0, 1);
            }
            let place = usize::from(symbol) - 1;
            if place == alphabet - 2 {
                return Ok(counts);
            }
            front.get_mut(..=place).ok_or(Fault::Data)?.rotate_right(1);
            emit(*front.first().ok_or(Fault::Data)?, 1)?;
        }
    }
    Err(Fault::Data)
}

/// The bytes that occur, in order.
fn bytes_used(bits: &mut Bits<'_>) -> Option<Vec<u8>> {
    let groups = bits.take(16)?;
    let mut used = Vec::with_capacity(256);
    for group in (0..16u8).filter(|group| groups & 0x8000 >> group != 0) {
        let members = bits.take(16)?;
        used.extend((0..16u8).filter(|byte| members & 0x8000 >> byte != 0).map(|byte| group << 4 | byte));
    }
    (!used.is_empty()).then_some(used)
}

/// The tables, and which one each group of symbols uses.
fn codes(bits: &mut Bits<'_>, alphabet: usize) -> Result<(Vec<Table>, Vec<u8>), Fault> {
    let wrong = || Fault::Data;
    let count = bits.take(3).filter(|count| (2..=6).contains(count)).ok_or_else(wrong)?;
    let groups = bits.take(15).filter(|groups| *groups > 0).ok_or_else(wrong)?;
    let mut order = [0u8, 1, 2, 3, 4, 5];
    let mut selectors = Vec::new();
    selectors.try_reserve_exact(GROUPS_MAX).map_err(|_| Fault::Memory)?;
    for _ in 0..groups {
        let mut place = 0;
        while bits.bit().ok_or_else(wrong)? {
            place += 1;
            if place >= count as usize {
                return Err(Fault::Data);
            }
        }
        order.get_mut(..=place).ok_or_else(wrong)?.rotate_right(1);
        if selectors.len() < GROUPS_MAX {
            selectors.push(order[0]);
        }
    }
    let mut tables = Vec::with_capacity(6);
    for _ in 0..count {
        let mut lengths = [0u8; SYMBOLS];
        let mut len = bits.take(5).ok_or_else(wrong)? as usize;
        for length in lengths.get_mut(..alphabet).ok_or_else(wrong)? {
            loop {
                if !(1..=CODE_MAX).contains(&len) {
                    return Err(Fault::Data);
                }
                if !bits.bit().ok_or_else(wrong)? {
                    break;
                }
                if bits.bit().ok_or_else(wrong)? { len -= 1 } else { len += 1 }
            }
            *length = len as u8;
        }
        tables.push(Table::new(lengths.get(..alphabet).ok_or_else(wrong)?));
    }
    Ok((tables, selectors))
}

/// Bits that are looked up at once.
const FAST: u32 = 10;

/// A canonical prefix code.
struct Table {
    /// Symbol and length of the code that these bits begin with; length 0 if
    /// that is longer, or none.
    fast: Box<[(u16, u8); 1 << FAST]>,
    /// For each length, the first code behind those of that length, in 20 bits,
    /// and what to add to a code to get its place in `symbols`.
    ends: [u32; CODE_MAX + 1],
    bases: [i32; CODE_MAX + 1],
    symbols: Vec<u16>,
}

impl Table {
    fn new(lengths: &[u8]) -> Self {
        let mut symbols = Vec::with_capacity(lengths.len());
        let mut fast = Box::new([(0, 0); 1 << FAST]);
        let (mut ends, mut bases) = ([0; CODE_MAX + 1], [0; CODE_MAX + 1]);
        // Code lengths may promise more codes than there are: those have no bits.
        let mut code = 0u32;
        for len in 1..=CODE_MAX {
            code <<= 1;
            bases[len] = symbols.len() as i32 - code as i32;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, length)| usize::from(**length) == len) {
                symbols.push(symbol as u16);
                if len as u32 <= FAST {
                    let first = (code << (FAST - len as u32)) as usize;
                    let last = first + (1 << (FAST - len as u32));
                    if let Some(entries) = fast.get_mut(first..last) {
                        entries.fill((symbol as u16, len as u8));
                    }
                }
                code += 1;
            }
            ends[len] = code.min(1 << len) << (CODE_MAX - len);
            code = code.min(1 << len);
        }
        Table { fast, ends, bases, symbols }
    }

    #[inline]
    fn symbol(&self, bits: &mut Bits<'_>) -> Option<u16> {
        let window = bits.window();
        let (symbol, len) = *self.fast.get((window >> (32 - FAST)) as usize)?;
        if len > 0 {
            bits.take(len.into())?;
            return Some(symbol);
        }
        let code = window >> (32 - CODE_MAX as u32);
        let len = (1..=CODE_MAX).find(|len| self.ends.get(*len).is_some_and(|end| code < *end))?;
        let code = bits.take(len as u32)? as i32;
        self.symbols.get(usize::try_from(code + self.bases.get(len)?).ok()?).copied()
    }
}

/// Adds to each byte of the column, above it, which one follows in the text.
fn link(links: &mut [u32], counts: [u32; 256]) {
    let mut next = [0u32; 256];
    let mut sum = 0;
    for (next, count) in next.iter_mut().zip(counts) {
        *next = sum;
        sum += count;
    }
    for at in 0..links.len() {
        let byte = (links[at] & 0xff) as usize;
        let row = next[byte];
        next[byte] += 1;
        if let Some(link) = links.get_mut(row as usize) {
            *link |= (at as u32) << 8;
        }
    }
}

/// Follows the text from row `origin` on and expands runs.
fn expand(links: &[u32], origin: usize) -> Result<Vec<u8>, Fault> {
    let mut out = Vec::new();
    out.try_reserve(links.len()).map_err(|_| Fault::Memory)?;
    let mut row = links.get(origin).ok_or(Fault::Data)? >> 8;
    let (mut before, mut same) = (None, 0);
    for _ in 0..links.len() {
        let link = *links.get(row as usize).ok_or(Fault::Data)?;
        row = link >> 8;
        let byte = link as u8;
        if same == 4 {
            let len = out.len() + usize::from(byte);
            out.try_reserve(usize::from(byte)).map_err(|_| Fault::Memory)?;
            out.resize(len, before.unwrap_or(0));
            (before, same) = (None, 0);
            continue;
        }
        same = if before == Some(byte) { same + 1 } else { 1 };
        before = Some(byte);
        out.try_reserve(1).map_err(|_| Fault::Memory)?;
        out.push(byte);
    }
    out.shrink_to_fit();
    Ok(out)
}

/// CRC-32 with the polynomial of IEEE 802.3, most significant bit first.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc = crc << 8 ^ TABLE[((crc >> 24) as u8 ^ byte) as usize];
    }
    !crc
}

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc << 1) ^ if crc >> 31 != 0 { 0x04c1_1db7 } else { 0 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_has_the_published_check_value() {
        // CRC-32/BZIP2.
        assert_eq!(crc(b"123456789"), 0xfc89_1918);
    }

    #[test]
    fn bits_end_where_the_bytes_end() {
        let mut bits = Bits::new(&[0b1010_0101, 0xf0], 3);
        assert_eq!(bits.take(5), Some(0b00101));
        assert_eq!(bits.take(4), Some(15));
        assert!(!bits.is_empty());
        assert_eq!(bits.take(5), None);
        assert!(bits.is_empty());
    }

    #[test]
    fn codes_of_all_lengths_are_found() {
        // 0, 10, 110, ... up to 20 bits.
        let lengths: Vec<u8> = (1..=20).chain([20]).collect();
        let table = Table::new(&lengths);
        for (symbol, len) in lengths.iter().enumerate() {
            // All ones, but the last bit is 0 unless it is the last code.
            let ones = u32::from(*len) - u32::from(symbol != 20);
            let bytes = (!(!0u32 >> ones)).to_be_bytes();
            let mut bits = Bits::new(&bytes, 0);
            assert_eq!(table.symbol(&mut bits), Some(symbol as u16));
            assert_eq!(bits.bits_used(), usize::from(*len));
        }
    }
}
