//! A strip of an expected sequence: its row of bits, and the step that a given symbol makes on it.
//!
//! The row is kept as `N` vectors of four lanes with a word of 63 places each; the bit above them takes the borrow. Words
//! follow one another through the vectors in lane 0, then in lane 1, and so on. A lane works `DELAY` symbols behind the
//! lane before it, so that the borrow of its last word is there in time; no borrow has to cross lanes within a step,
//! which is what makes the usual vector addition of long numbers slow.

use std::cell::Cell;

use crate::lanes::{Instructions, Kernel, LANES, Lanes};

/// Places of a word.
const WORD: usize = 63;
/// Steps between two lanes: a borrow needs about two to go through the vectors and over to the next lane.
const DELAY: usize = 2;
/// Zeros at the end of a list of rows: the last lane begins and ends so many steps after the first.
pub(crate) const LEAD: usize = (LANES - 1) * DELAY;
/// Vectors of the widest strip: more do not fit into 16 registers together with what a step needs.
const WIDEST: usize = 8;
/// Places of a strip.
pub(crate) const PLACES: usize = WIDEST * LANES * WORD;
/// Places of a strip of a single word, without lanes.
const SHORT: usize = 64;

/// Symbols whose rows are looked up in one go.
const BLOCK: usize = 64;

type Vector = [u64; LANES];

/// At most `PLACES` places of a sequence.
pub(crate) struct Strip {
    /// The symbols that occur here, by row; empty where every symbol has the row of its own number.
    symbols: Vec<u32>,
    rows: Rows,
}

/// A row of bits for each symbol, set where it stands. Row 0 is of the symbols that do not occur.
enum Rows {
    Word(Vec<u64>),
    Vectors1(Vec<[Vector; 1]>),
    Vectors2(Vec<[Vector; 2]>),
    Vectors3(Vec<[Vector; 3]>),
    Vectors4(Vec<[Vector; 4]>),
    Vectors5(Vec<[Vector; 5]>),
    Vectors6(Vec<[Vector; 6]>),
    Vectors7(Vec<[Vector; 7]>),
    Vectors8(Vec<[Vector; 8]>),
}

impl Strip {
    /// All of a sequence; symbols are 1 to `kinds` and their own rows.
    pub(crate) fn whole(places: &[u32], kinds: usize) -> Self {
        Self { symbols: Vec::new(), rows: Rows::new(places, kinds) }
    }

    /// A part of a sequence. `row_of` has a 0 for each symbol, before and after.
    pub(crate) fn part(places: &[u32], row_of: &mut [u32]) -> Self {
        let mut symbols = Vec::new();
        for &symbol in places {
            let row = &mut row_of[symbol as usize];
            if *row == 0 {
                symbols.push(symbol);
                *row = symbols.len() as u32;
            }
        }
        let places: Vec<u32> = places.iter().map(|symbol| row_of[*symbol as usize]).collect();
        let rows = Rows::new(&places, symbols.len());
        let strip = Self { symbols, rows };
        strip.forget_rows(row_of);
        strip
    }

    /// Writes the rows of its symbols into `row_of`.
    pub(crate) fn name_rows(&self, row_of: &mut [u32]) {
        for (row, &symbol) in (1..).zip(&self.symbols) {
            row_of[symbol as usize] = row;
        }
    }

    /// Writes zeros over them.
    pub(crate) fn forget_rows(&self, row_of: &mut [u32]) {
        for &symbol in &self.symbols {
            row_of[symbol as usize] = 0;
        }
    }

    /// How much longer the common subsequence becomes by this strip. `order` has the row of each given symbol, then
    /// `LEAD` zeros; `carries` the borrow of each from the strip before, and after for the next.
    pub(crate) fn common(&self, instructions: Instructions, order: &[u32], carries: Option<&mut [u8]>) -> usize {
        match &self.rows {
            Rows::Word(rows) => word(rows, order, carries),
            Rows::Vectors1(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors2(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors3(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors4(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors5(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors6(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors7(rows) => instructions.run(Steps { rows, order, carries }),
            Rows::Vectors8(rows) => instructions.run(Steps { rows, order, carries }),
        }
    }
}

impl Rows {
    /// The rows of a strip whose places have the rows `places`, 1 to `kinds`.
    fn new(places: &[u32], kinds: usize) -> Self {
        if places.len() <= SHORT {
            let mut rows = vec![0; kinds + 1];
            for (place, row) in places.iter().enumerate() {
                rows[*row as usize] |= 1 << place;
            }
            return Self::Word(rows);
        }
        match places.len().div_ceil(WORD * LANES) {
            1 => Self::Vectors1(vectors(places, kinds)),
            2 => Self::Vectors2(vectors(places, kinds)),
            3 => Self::Vectors3(vectors(places, kinds)),
            4 => Self::Vectors4(vectors(places, kinds)),
            5 => Self::Vectors5(vectors(places, kinds)),
            6 => Self::Vectors6(vectors(places, kinds)),
            7 => Self::Vectors7(vectors(places, kinds)),
            _ => Self::Vectors8(vectors(places, kinds)),
        }
    }
}

fn vectors<const N: usize>(places: &[u32], kinds: usize) -> Vec<[Vector; N]> {
    let mut rows = vec![[[0; LANES]; N]; kinds + 1];
    for (word, places) in places.chunks(WORD).enumerate() {
        let (lane, vector) = (word / N, word % N);
        for (place, row) in places.iter().enumerate() {
            rows[*row as usize][vector][lane] |= 1 << place;
        }
    }
    rows
}

/// A single word. A place counts where its bit fell from 1 to 0; bits behind the last place are in no row and stay 1.
fn word(rows: &[u64], order: &[u32], mut carries: Option<&mut [u8]>) -> usize {
    let mut bits = u64::MAX;
    for (place, row) in order[..order.len() - LEAD].iter().enumerate() {
        let places = rows.get(*row as usize).copied().unwrap_or_default();
        let carried = carries.as_ref().map_or(0, |carries| u64::from(carries[place]));
        bits = (bits + (bits & places) + carried) | (bits & !places);
    }
    if let Some(carries) = carries.as_mut() {
        carries.fill(0);
    }
    bits.count_zeros() as usize
}

/// The steps over all given symbols.
struct Steps<'a, const N: usize> {
    rows: &'a [[Vector; N]],
    order: &'a [u32],
    carries: Option<&'a mut [u8]>,
}

impl<const N: usize> Kernel for Steps<'_, N> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self) -> usize {
        let Some(carries) = self.carries else { return steps::<L, N>(self.rows, self.order, |_| 0, |_, _| ()) };
        let carries = Cell::from_mut(carries).as_slice_of_cells();
        let borrow_in = |place: usize| carries.get(place).map_or(0, |carry| u64::from(carry.get()));
        let borrow_out = |place: usize, borrow: L| carries[place].set(u8::from(borrow.words()[LANES - 1] != 0));
        steps::<L, N>(self.rows, self.order, borrow_in, borrow_out)
    }
}

/// A place counts where its bit became 1. With bits turned over, Hyyrö's sum is a difference: what a symbol matches and
/// is not yet set is taken from the row, and of the changed bits those stay that were set or match.
#[inline(always)]
fn steps<L: Lanes, const N: usize>(
    rows: &[[Vector; N]],
    order: &[u32],
    borrow_in: impl Fn(usize) -> u64,
    borrow_out: impl Fn(usize, L),
) -> usize {
    let Some(nothing) = rows.first() else { return 0 };
    let mut bits = [L::zero(); N];
    // The borrows of the last two steps, moved on by a lane.
    let (mut older, mut newer) = (L::zero().moved_on(borrow_in(0)), L::zero().moved_on(borrow_in(1)));
    // The rows of a block's symbols behind those of the last symbols before it: looked up once, used by every lane.
    let mut recent = [nothing; LEAD + BLOCK];
    let mut step = 0;
    for block in order.chunks(BLOCK) {
        for (recent, row) in recent[LEAD..].iter_mut().zip(block) {
            *recent = rows.get(*row as usize).unwrap_or(nothing);
        }
        for window in recent.windows(LEAD + 1).take(block.len()) {
            let matching = [window[LEAD], window[LEAD - DELAY], window[LEAD - 2 * DELAY], window[LEAD - 3 * DELAY]];
            let mut borrow = older;
            for (vector, bits) in bits.iter_mut().enumerate() {
                let places = L::pick(matching.map(|row| &row[vector]));
                let taken = bits.less(places.and_not(*bits)).less(borrow);
                *bits = taken.and(places.or(*bits));
                borrow = taken.highest_bit();
            }
            if step >= LEAD {
                borrow_out(step - LEAD, borrow);
            }
            older = newer;
            newer = borrow.moved_on(borrow_in(step + DELAY));
            step += 1;
        }
        recent.copy_within(block.len()..block.len() + LEAD, 0);
    }
    bits.iter().flat_map(|bits| bits.words()).map(|word| word.count_ones() as usize).sum()
}
