//! Marks: numbers that say what something is, so that changes are noticed.

use core::ffi::c_int;

use crate::types::{self, Meth, Range};

/// The mark of a sequence of words. Two sequences have the same one by an
/// accident of 1 in 2^64.
pub struct Mark(pub u64);

impl Default for Mark {
    fn default() -> Self {
        Mark(0x9e37_79b9_7f4a_7c15)
    }
}

impl Mark {
    /// Adds a word.
    #[inline]
    pub fn add(&mut self, word: u64) {
        // Both halves of a product of 128 bits, so that each bit of the word
        // reaches each bit of the mark.
        let product = u128::from(self.0 ^ word) * 0xa076_1d64_78bd_642f;
        self.0 = (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(32));
    }

    /// Adds the ranges of a map, or that there is none.
    pub fn add_map(&mut self, ranges: Option<&[Range]>) {
        self.add(ranges.map_or(u64::MAX, |ranges| ranges.len() as u64));
        for range in ranges.unwrap_or_default() {
            self.add(range.endoff);
            self.add(word(range.meth));
        }
    }

    /// Adds a method. Only what its kind has is looked at; the elements of a
    /// lookup table are not.
    ///
    /// # Safety
    /// The members of the kind are there.
    pub unsafe fn add_meth(&mut self, meth: &Meth) {
        self.add(u64::from(meth.kind) << 32 | word(meth.target_as) & 0xffff_ffff);
        let param = &meth.param;
        // SAFETY: as above.
        unsafe {
            match meth.kind {
                types::KIND_LINEAR => self.add(param.linear.off as u64),
                types::KIND_PGT => {
                    let pgt = &param.pgt;
                    self.add(pgt.root.addr);
                    self.add(word(pgt.root.space));
                    self.add(pgt.pte_mask);
                    self.add(word(pgt.pf.pte_format));
                    self.add(pgt.pf.nfields.into());
                    for bits in pgt.pf.fieldsz.iter().take(pgt.pf.nfields.into()) {
                        self.add((*bits).into());
                    }
                }
                types::KIND_LOOKUP => {
                    self.add(param.lookup.endoff);
                    self.add(param.lookup.nelem as u64);
                    self.add(param.lookup.tbl.addr() as u64);
                }
                types::KIND_MEMARR => {
                    let array = &param.memarr;
                    self.add(array.base.addr);
                    self.add(word(array.base.space));
                    self.add(u64::from(array.shift) << 32 | u64::from(array.elemsz));
                    self.add(array.valsz.into());
                }
                types::KIND_CUSTOM => {
                    let custom = &param.custom;
                    self.add(custom.first_step.map_or(0, |function| function as usize) as u64);
                    self.add(custom.next_step.map_or(0, |function| function as usize) as u64);
                    self.add(custom.data.addr() as u64);
                }
                _ => {}
            }
        }
    }
}

fn word(number: c_int) -> u64 {
    i64::from(number) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(words: &[u64]) -> u64 {
        let mut mark = Mark::default();
        words.iter().for_each(|word| mark.add(*word));
        mark.0
    }

    #[test]
    fn order_and_each_word_count() {
        let marks = [
            mark(&[]),
            mark(&[0]),
            mark(&[0, 0]),
            mark(&[1, 2]),
            mark(&[2, 1]),
            mark(&[u64::MAX]),
            mark(&[u64::MAX, u64::MAX]),
        ];
        for (place, one) in marks.iter().enumerate() {
            assert!(marks.iter().skip(place + 1).all(|other| other != one), "{marks:x?}");
        }
    }
}
