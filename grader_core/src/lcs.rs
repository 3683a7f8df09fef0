//! Length of the longest common subsequence, 64 places of the expected sequence at a time: Hyyrö, "Bit-parallel LCS-length
//! computation revisited" (2004). The expected sequence is cut into strips whose row of bits stays in registers; the
//! carries of a strip, one for each given symbol, go into the next strip.

const BLOCK: usize = 64;
/// Symbols of a strip: eight blocks.
const STRIP: usize = 8 * BLOCK;

/// An expected sequence of symbols, ready to be compared with.
pub(crate) struct Sequence {
    strips: Vec<Strip>,
    /// How many different symbols there are: 0, 1, ….
    kinds: usize,
}

/// At most `STRIP` places of the sequence.
struct Strip {
    /// Blocks in a row.
    width: usize,
    /// The symbols that occur here; row n + 1 is that of the n-th.
    symbols: Vec<u32>,
    /// A row for each symbol with a bit where it stands. Row 0 is of the symbols that do not occur here.
    rows: Vec<u64>,
}

impl Sequence {
    /// The sequence of `symbols`, each below `kinds`.
    pub(crate) fn new(symbols: &[u32], kinds: usize) -> Self {
        let mut row_of = vec![0; kinds];
        let strips = symbols.chunks(STRIP).map(|places| Strip::new(places, &mut row_of)).collect();
        Self { strips, kinds }
    }

    /// Length of the longest common subsequence with `given`, whose symbols are all of the expected sequence; others
    /// can be left out, they are common with nothing.
    pub(crate) fn common(&self, given: &[u32]) -> usize {
        let mut row_of = vec![0; self.kinds];
        let mut carries = vec![false; given.len()];
        self.strips.iter().map(|strip| strip.common(given, &mut row_of, &mut carries)).sum()
    }
}

impl Strip {
    /// `row_of` has a 0 for each kind of symbol, before and after.
    fn new(places: &[u32], row_of: &mut [u32]) -> Self {
        let width = places.len().div_ceil(BLOCK);
        let (mut symbols, mut rows) = (Vec::new(), vec![0; width]);
        for (place, &symbol) in places.iter().enumerate() {
            let row = &mut row_of[symbol as usize];
            if *row == 0 {
                symbols.push(symbol);
                *row = symbols.len() as u32;
                rows.resize(rows.len() + width, 0);
            }
            rows[*row as usize * width + place / BLOCK] |= 1 << (place % BLOCK);
        }
        for &symbol in &symbols {
            row_of[symbol as usize] = 0;
        }
        Self { width, symbols, rows }
    }

    fn common(&self, given: &[u32], row_of: &mut [u32], carries: &mut [bool]) -> usize {
        for (row, &symbol) in (1..).zip(&self.symbols) {
            row_of[symbol as usize] = row;
        }
        let common = match self.width {
            1 => self.run::<1>(given, row_of, carries),
            2 => self.run::<2>(given, row_of, carries),
            3 => self.run::<3>(given, row_of, carries),
            4 => self.run::<4>(given, row_of, carries),
            5 => self.run::<5>(given, row_of, carries),
            6 => self.run::<6>(given, row_of, carries),
            7 => self.run::<7>(given, row_of, carries),
            _ => self.run::<8>(given, row_of, carries),
        };
        for &symbol in &self.symbols {
            row_of[symbol as usize] = 0;
        }
        common
    }

    /// A place counts where its bit fell from 1 to 0. Bits behind the last place are in no symbol's row and stay 1.
    fn run<const WIDTH: usize>(&self, given: &[u32], row_of: &[u32], carries: &mut [bool]) -> usize {
        let mut bits = [u64::MAX; WIDTH];
        for (&symbol, carry) in given.iter().zip(carries) {
            let start = row_of[symbol as usize] as usize * WIDTH;
            let Some(row) = self.rows[start..].first_chunk::<WIDTH>() else { continue };
            let mut carried = *carry;
            for (bits, &places) in bits.iter_mut().zip(row) {
                let (sum, over) = bits.overflowing_add(*bits & places);
                let (sum, over_again) = sum.overflowing_add(u64::from(carried));
                *bits = sum | (*bits & !places);
                carried = over | over_again;
            }
            *carry = carried;
        }
        bits.iter().map(|bits| bits.count_zeros() as usize).sum()
    }
}
