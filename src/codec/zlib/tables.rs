//! Decoding tables of the Huffman codes of deflate.
//!
//! A table is indexed by the next bits of the stream and yields an [`Entry`];
//! codes longer than the index continue in a subtable behind the root.

/// Index bits of the literal and length table.
pub(super) const LITLEN_ROOT: usize = 10;
/// Index bits of the distance table.
pub(super) const DISTANCE_ROOT: usize = 8;
/// Index bits of the table of code lengths: their longest code.
pub(super) const PRECODE_ROOT: usize = 7;

/// Entries of a literal and length table with all of its subtables: the most
/// that 286 symbols of up to 15 bits need above a root of 10 bits.
pub(super) const LITLEN_SIZE: usize = 1334;
/// The same for 30 symbols above a root of 8 bits.
pub(super) const DISTANCE_SIZE: usize = 402;
/// The same for the code lengths, which need no subtable.
pub(super) const PRECODE_SIZE: usize = 1 << PRECODE_ROOT;

/// Longest code of deflate.
const MAX_LEN: usize = 15;

/// What a code stands for.
///
/// | bits | field |
/// | --- | --- |
/// | 0-5 | bits to consume: code and extra bits |
/// | 8-11 | bits of the code; of a subtable: its index bits |
/// | 12-15 | what is not simply a value, see the constants |
/// | 16-30 | literal, base of a length or distance, or start of a subtable |
/// | 31 | a literal |
#[derive(Clone, Copy)]
pub(super) struct Entry(u32);

const END: u32 = 1 << 12;
const SUBTABLE: u32 = 1 << 13;
const INVALID: u32 = 1 << 14;
const SPECIAL: u32 = 1 << 15;
const LITERAL: u32 = 1 << 31;

impl Entry {
    /// An entry of tables that were not built yet.
    pub(super) const EMPTY: Self = Entry(SPECIAL | INVALID | 1);

    const fn value_of(value: u32, extra: u32) -> Self {
        Entry(value << 16 | extra)
    }

    /// The entry for a symbol in a place that has `len` bits of its code.
    #[inline(always)]
    fn with_len(self, len: usize) -> Self {
        let len = len as u32;
        Entry(self.0 + (len << 8 | len))
    }

    fn subtable(start: usize, bits: usize, root: usize) -> Self {
        Entry((start as u32) << 16 | SPECIAL | SUBTABLE | (bits as u32) << 8 | root as u32)
    }

    #[inline(always)]
    pub(super) fn is_literal(self) -> bool {
        self.0 & LITERAL != 0
    }

    /// The end of a block, a subtable or no valid code at all.
    #[inline(always)]
    pub(super) fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    #[inline(always)]
    pub(super) fn is_end(self) -> bool {
        self.0 & END != 0
    }

    #[inline(always)]
    pub(super) fn is_subtable(self) -> bool {
        self.0 & SUBTABLE != 0
    }

    /// Bits to consume: those of the code and the extra bits behind it.
    #[inline(always)]
    pub(super) fn bits(self) -> u32 {
        self.0 & 63
    }

    /// The literal, the symbol, or the base without the extra bits.
    #[inline(always)]
    pub(super) fn value(self) -> u32 {
        (self.0 >> 16) & 0x7fff
    }

    /// The length or distance; `buffer` starts with the code.
    #[inline(always)]
    pub(super) fn with_extra(self, buffer: u64) -> usize {
        let all = buffer & ((1 << self.bits()) - 1);
        (self.value() + (all >> ((self.0 >> 8) & 15)) as u32) as usize
    }

    /// Where the entry of this subtable for the bits behind the root stands.
    #[inline(always)]
    pub(super) fn index_in_subtable(self, buffer: u64) -> usize {
        let index = (buffer >> self.bits()) & ((1 << ((self.0 >> 8) & 15)) - 1);
        self.value() as usize + index as usize
    }
}

/// Symbols of the literal and length code (RFC 1951 section 3.2.5).
static LITLEN: [Entry; 288] = {
    let mut table = [Entry(SPECIAL | INVALID); 288];
    let mut symbol = 0;
    while symbol < 256 {
        table[symbol] = Entry(LITERAL | (symbol as u32) << 16);
        symbol += 1;
    }
    table[256] = Entry(SPECIAL | END);
    let mut base = 3;
    symbol = 257;
    while symbol < 285 {
        let extra = if symbol < 265 { 0 } else { (symbol as u32 - 261) / 4 };
        table[symbol] = Entry::value_of(base, extra);
        base += 1 << extra;
        symbol += 1;
    }
    table[285] = Entry::value_of(258, 0);
    table
};

/// Symbols of the distance code (RFC 1951 section 3.2.5).
static DISTANCE: [Entry; 32] = {
    let mut table = [Entry(SPECIAL | INVALID); 32];
    let mut base = 1;
    let mut symbol = 0;
    while symbol < 30 {
        let extra = if symbol < 4 { 0 } else { (symbol as u32 - 2) / 2 };
        table[symbol] = Entry::value_of(base, extra);
        base += 1 << extra;
        symbol += 1;
    }
    table
};

/// Symbols of the code of code lengths.
static PRECODE: [Entry; 19] = {
    let mut table = [Entry(0); 19];
    let mut symbol = 0;
    while symbol < 19 {
        table[symbol] = Entry::value_of(symbol as u32, 0);
        symbol += 1;
    }
    table
};

/// Which of the three codes a table is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Precode,
    Litlen,
    Distance,
}

/// Builds the table of the code whose symbols have these lengths (0: unused).
///
/// `None` when no such code exists: lengths that ask for more codes than there
/// are, or leave some unused. As in zlib, a code without any symbol and
/// (except for code lengths) one with a single symbol of one bit are accepted,
/// and fail only when an unused code is met.
pub(super) fn build(code: Code, lens: &[u8], table: &mut [Entry]) -> Option<()> {
    let (symbols, root): (&[Entry], usize) = match code {
        Code::Precode => (&PRECODE, PRECODE_ROOT),
        Code::Litlen => (&LITLEN, LITLEN_ROOT),
        Code::Distance => (&DISTANCE, DISTANCE_ROOT),
    };

    let mut counts = [0_u16; MAX_LEN + 1];
    for &len in lens {
        counts[usize::from(len & 15)] += 1;
    }
    let used = lens.len() - usize::from(counts[0]);
    let mut starts = [0_u16; MAX_LEN + 2];
    let mut left = 1_i32;
    for len in 1..=MAX_LEN {
        left = left * 2 - i32::from(counts[len]);
        if left < 0 {
            return None;
        }
        starts[len + 1] = starts[len] + counts[len];
    }
    if left > 0 {
        let lone = used == 1 && counts[1] == 1 && code != Code::Precode;
        if used != 0 && !lone {
            return None;
        }
        // A precode without symbols yields zeros, as zlib does not check it.
        let unused = if code == Code::Precode { Entry(1) } else { Entry::EMPTY };
        table.get_mut(..1 << root)?.fill(unused);
        if let Some(symbol) = lens.iter().position(|&len| len == 1) {
            let entry = symbols.get(symbol)?.with_len(1);
            table.iter_mut().take(1 << root).step_by(2).for_each(|slot| *slot = entry);
        }
        return Some(());
    }

    // The symbols in the order of their codes.
    let mut sorted = [0_u16; 288];
    for (symbol, &len) in lens.iter().enumerate() {
        if len != 0 {
            let place = &mut starts[usize::from(len & 15)];
            *sorted.get_mut(usize::from(*place))? = symbol as u16;
            *place += 1;
        }
    }
    fill(symbols, root, &counts, sorted.get(..used)?, table)
}

/// Fills the table of a complete code.
///
/// Codes are read from their most significant bit on, while the table is
/// indexed with the first bit lowest: codes are kept reversed. An entry whose
/// code is shorter than the index appears at every index that ends with it;
/// the table grows by copying itself whenever codes get longer.
fn fill(
    symbols: &[Entry],
    root: usize,
    counts: &[u16; MAX_LEN + 1],
    sorted: &[u16],
    table: &mut [Entry],
) -> Option<()> {
    let mut sorted = sorted.iter();
    // The next code, reversed.
    let mut code = 0_usize;

    let mut size = 1;
    for (len, &count) in counts.iter().enumerate().take(root + 1).skip(1) {
        table.get_mut(..size * 2)?.copy_within(..size, size);
        size *= 2;
        for &symbol in sorted.by_ref().take(usize::from(count)) {
            *table.get_mut(code)? = symbols.get(usize::from(symbol))?.with_len(len);
            code = next(code, len);
        }
    }

    // Longer codes: one subtable for all that share their first `root` bits.
    let mut end = size;
    let mut start = 0;
    let mut bits = 0;
    let mut prefix = usize::MAX;
    for len in root + 1..=MAX_LEN {
        for i in 0..usize::from(counts[len]) {
            let &symbol = sorted.next()?;
            if code & (size - 1) != prefix {
                prefix = code & (size - 1);
                // As many bits as the codes left of this length and above fill.
                bits = len - root;
                let mut room = (1 << bits) - (i32::from(counts[len]) - i as i32);
                while room > 0 && root + bits < MAX_LEN {
                    bits += 1;
                    room = room * 2 - i32::from(counts[root + bits]);
                }
                start = end;
                end += 1 << bits;
                *table.get_mut(prefix)? = Entry::subtable(start, bits, root);
            }
            let entry = symbols.get(usize::from(symbol))?.with_len(len - root);
            table
                .get_mut(start..start + (1 << bits))?
                .iter_mut()
                .skip(code >> root)
                .step_by(1 << (len - root))
                .for_each(|slot| *slot = entry);
            code = next(code, len);
        }
    }
    Some(())
}

/// The code behind a reversed code of `len` bits; zero behind the last one.
///
/// Counting up in the direction of the first bit: the first zero from the
/// last bit of the code on becomes one, all ones before it become zero.
#[inline(always)]
fn next(code: usize, len: usize) -> usize {
    let unset = !code & ((1 << len) - 1);
    if unset == 0 {
        // Only after the last code of all: what is left are no symbols.
        return 0;
    }
    let bit = 1 << (usize::BITS - 1 - unset.leading_zeros());
    (code & (bit - 1)) | bit
}

/// The code lengths of blocks with fixed codes (RFC 1951 section 3.2.6).
pub(super) fn fixed_lengths() -> ([u8; 288], [u8; 32]) {
    let mut litlen = [8; 288];
    litlen[144..256].fill(9);
    litlen[256..280].fill(7);
    (litlen, [5; 32])
}
