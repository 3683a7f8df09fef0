//! Length of the longest common subsequence, many places of the expected sequence at a time: Hyyrö, "Bit-parallel
//! LCS-length computation revisited" (2004). The expected sequence is cut into strips whose row of bits stays in
//! registers; the carries of a strip, one for each given symbol, go into the next strip.

use crate::lanes::Instructions;
use crate::lcs_strip::{Given, PLACES, Strip};

/// An expected sequence of symbols, ready to be compared with.
pub(crate) struct Sequence {
    strips: Vec<Strip>,
    /// The symbols are 1 to so many.
    kinds: usize,
    instructions: Instructions,
}

impl Sequence {
    /// The sequence of `symbols`, each 1 to `kinds`.
    pub(crate) fn new(symbols: &[u32], kinds: usize) -> Self {
        Self::compared_by(Instructions::best(), symbols, kinds)
    }

    /// As `new`, of letters of ASCII whose symbols are `symbol_of` them.
    pub(crate) fn of_ascii(text: &[u8], symbol_of: &[u32; 128], kinds: usize) -> Self {
        if text.len() > PLACES {
            let symbols: Vec<u32> = text.iter().map(|letter| symbol_of[usize::from(letter & 127)]).collect();
            return Self::new(&symbols, kinds);
        }
        let whole = Strip::whole(text, |letter| symbol_of[usize::from(letter & 127)], kinds);
        Self { strips: vec![whole], kinds, instructions: Instructions::best() }
    }

    fn compared_by(instructions: Instructions, symbols: &[u32], kinds: usize) -> Self {
        let strips = match symbols.len() <= PLACES {
            true => vec![Strip::whole(symbols, |symbol| symbol, kinds)],
            false => {
                let mut row_of = vec![0; kinds + 1];
                symbols.chunks(PLACES).map(|places| Strip::part(places, &mut row_of)).collect()
            }
        };
        Self { strips, kinds, instructions }
    }

    /// Length of the longest common subsequence with `given`, where 0 is a symbol that the expected sequence lacks.
    pub(crate) fn common(&self, given: &[u32]) -> usize {
        if let [whole] = self.strips.as_slice() {
            return whole.common(self.instructions, Given::Rows(given), None);
        }
        let mut row_of = vec![0; self.kinds + 1];
        let mut rows = vec![0; given.len()];
        let mut carries = vec![0; given.len()];
        let part = |strip: &Strip| {
            strip.name_rows(&mut row_of);
            for (row, symbol) in rows.iter_mut().zip(given) {
                *row = row_of[*symbol as usize];
            }
            strip.forget_rows(&mut row_of);
            strip.common(self.instructions, Given::Rows(&rows), Some(&mut carries))
        };
        self.strips.iter().map(part).sum()
    }

    /// As `common`, of letters of ASCII whose symbols are `symbol_of` them.
    pub(crate) fn common_with_ascii(&self, text: &[u8], symbol_of: &[u32; 128]) -> usize {
        if let [whole] = self.strips.as_slice() {
            return whole.common(self.instructions, Given::Ascii(text, symbol_of), None);
        }
        let symbols: Vec<u32> = text.iter().map(|letter| symbol_of[usize::from(letter & 127)]).collect();
        self.common(&symbols)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By the table that textbooks fill.
    fn plain(expected: &[u32], given: &[u32]) -> usize {
        let mut row = vec![0; expected.len() + 1];
        for symbol in given {
            let mut diagonal = 0;
            for place in 1..row.len() {
                let above = row[place];
                row[place] = if *symbol == expected[place - 1] { diagonal + 1 } else { above.max(row[place - 1]) };
                diagonal = above;
            }
        }
        row[expected.len()]
    }

    fn check(expected: &[u32], given: &[u32], kinds: u32) -> Result<(), TestCaseError> {
        let wanted = plain(expected, given);
        for instructions in Instructions::available() {
            let sequence = Sequence::compared_by(instructions, expected, kinds as usize);
            prop_assert_eq!(sequence.common(given), wanted, "{:?}", instructions);
        }
        let letters = |symbols: &[u32]| symbols.iter().map(|symbol| *symbol as u8).collect::<Vec<_>>();
        let symbol_of = std::array::from_fn(|letter| letter as u32);
        let sequence = Sequence::of_ascii(&letters(expected), &symbol_of, kinds as usize);
        prop_assert_eq!(sequence.common_with_ascii(&letters(given), &symbol_of), wanted);
        Ok(())
    }

    /// Lengths on both sides of a word, a vector, two vectors, half a strip, a strip and two strips.
    fn length() -> impl Strategy<Value = usize> {
        let border = prop::sample::select(vec![0_usize, 63, 64, 126, 252, 504, 511, 512, 1008, 2016, 4032]);
        (border, 0_usize..5).prop_map(|(border, more)| (border + more).saturating_sub(2))
    }

    fn symbols(kinds: u32, length: impl Strategy<Value = usize>, least: u32) -> impl Strategy<Value = Vec<u32>> {
        length.prop_flat_map(move |length| prop::collection::vec(least..=kinds, length))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_path_finds_what_plain_loops_find(
            (kinds, expected, given) in (1_u32..40).prop_flat_map(|kinds| {
                (Just(kinds), symbols(kinds, length(), 1), symbols(kinds, 0_usize..300, 0))
            })
        ) {
            check(&expected, &given, kinds)?;
        }

        #[test]
        fn every_path_keeps_its_carries_over_a_run_of_one_symbol(
            expected in symbols(1, length(), 1), given in symbols(1, 0_usize..2100, 1)
        ) {
            check(&expected, &given, 1)?;
        }
    }
}
