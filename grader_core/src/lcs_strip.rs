//! A strip of an expected sequence: its row of bits, and the step that a given symbol makes on it.
//!
//! The row is kept as `N` vectors of four lanes with a word of 63 places each; the bit above them takes the borrow. Words
//! follow one another through the vectors in lane 0, then in lane 1, and so on. A lane works `DELAY` symbols behind the
//! lane before it, so that the borrow of its last word is there in time; no borrow has to cross lanes within a step,
//! which is what makes the usual vector addition of long numbers slow.

use std::cell::Cell;
use std::ops::Range;

use crate::lanes::{Instructions, Kernel, LANES, Lanes};

/// Places of a word.
const WORD: usize = 63;
/// Steps between two lanes: a borrow needs about two to go through the vectors and over to the next lane.
const DELAY: usize = 2;
/// The last lane begins and ends so many steps after the first.
const LEAD: usize = (LANES - 1) * DELAY;
/// Vectors of the widest strip: more do not fit into 16 registers together with what a step needs.
const WIDEST: usize = 8;
/// Places of a strip.
pub(crate) const PLACES: usize = WIDEST * LANES * WORD;
/// Places of a strip of a single word, without lanes.
const SHORT: usize = 64;

/// Symbols whose rows are looked up in one go.
const BLOCK: usize = 64;

type Vector = [u64; LANES];

/// The given symbols.
#[derive(Clone, Copy)]
pub(crate) enum Given<'a> {
    /// The row of each.
    Rows(&'a [u32]),
    /// Letters of ASCII, and the row of each letter.
    Ascii(&'a [u8], &'a [u32; 128]),
}

impl<'a> Given<'a> {
    fn len(self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Ascii(text, _) => text.len(),
        }
    }

    /// Calls `take` with the row of each symbol of `places`, which may reach beyond the end.
    #[inline(always)]
    fn each_row(self, places: Range<usize>, take: impl FnMut(u32)) {
        let places = places.start.min(self.len())..places.end.min(self.len());
        match self {
            Self::Rows(rows) => rows[places].iter().copied().for_each(take),
            Self::Ascii(text, row_of) => {
                text[places].iter().map(|letter| row_of[usize::from(letter & 127)]).for_each(take);
            }
        }
    }
}

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
    /// All of a sequence; each symbol has the row `row_of` it, 1 to `kinds`.
    pub(crate) fn whole<T: Copy>(symbols: &[T], row_of: impl Fn(T) -> u32, kinds: usize) -> Self {
        Self { symbols: Vec::new(), rows: Rows::new(symbols, row_of, kinds) }
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
        let rows = Rows::new(places, |symbol| row_of[symbol as usize], symbols.len());
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

    /// How much longer the common subsequence becomes by this strip. `carries` has the borrow of each given symbol
    /// from the strip before, and afterwards for the next.
    pub(crate) fn common(&self, instructions: Instructions, given: Given<'_>, carries: Option<&mut [u8]>) -> usize {
        match &self.rows {
            Rows::Word(rows) => word(rows, given, carries),
            Rows::Vectors1(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors2(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors3(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors4(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors5(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors6(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors7(rows) => instructions.run(Steps { rows, given, carries }),
            Rows::Vectors8(rows) => instructions.run(Steps { rows, given, carries }),
        }
    }
}

impl Rows {
    /// The rows, 1 to `kinds`, of a strip's places.
    fn new<T: Copy>(places: &[T], row_of: impl Fn(T) -> u32, kinds: usize) -> Self {
        if places.len() <= SHORT {
            let mut rows = vec![0; kinds + 1];
            for (place, symbol) in places.iter().enumerate() {
                rows[row_of(*symbol) as usize] |= 1 << place;
            }
            return Self::Word(rows);
        }
        match places.len().div_ceil(WORD * LANES) {
            1 => Self::Vectors1(vectors(places, row_of, kinds)),
            2 => Self::Vectors2(vectors(places, row_of, kinds)),
            3 => Self::Vectors3(vectors(places, row_of, kinds)),
            4 => Self::Vectors4(vectors(places, row_of, kinds)),
            5 => Self::Vectors5(vectors(places, row_of, kinds)),
            6 => Self::Vectors6(vectors(places, row_of, kinds)),
            7 => Self::Vectors7(vectors(places, row_of, kinds)),
            _ => Self::Vectors8(vectors(places, row_of, kinds)),
        }
    }
}

fn vectors<T: Copy, const N: usize>(places: &[T], row_of: impl Fn(T) -> u32, kinds: usize) -> Vec<[Vector; N]> {
    let mut rows = vec![[[0; LANES]; N]; kinds + 1];
    for (word, places) in places.chunks(WORD).enumerate() {
        let (lane, vector) = (word / N, word % N);
        for (place, symbol) in places.iter().enumerate() {
            rows[row_of(*symbol) as usize][vector][lane] |= 1 << place;
        }
    }
    rows
}

/// A single word, in the last strip. A place counts where its bit fell from 1 to 0; bits behind the last place are in no
/// row and stay 1.
fn word(rows: &[u64], given: Given<'_>, carries: Option<&mut [u8]>) -> usize {
    let mut bits = u64::MAX;
    let mut carries = carries.into_iter().flatten();
    given.each_row(0..given.len(), |row| {
        let places = rows.get(row as usize).copied().unwrap_or_default();
        let carry = carries.next().map_or(0, |carry| u64::from(*carry));
        bits = bits.wrapping_add(bits & places).wrapping_add(carry) | (bits & !places);
    });
    bits.count_zeros() as usize
}

/// The steps over all given symbols.
struct Steps<'a, const N: usize> {
    rows: &'a [[Vector; N]],
    given: Given<'a>,
    carries: Option<&'a mut [u8]>,
}

impl<const N: usize> Kernel for Steps<'_, N> {
    type Output = usize;

    #[inline(always)]
    fn run<L: Lanes>(self) -> usize {
        let Some(carries) = self.carries else { return steps::<L, N>(self.rows, self.given, |_| 0, |_, _| ()) };
        let carries = Cell::from_mut(carries).as_slice_of_cells();
        let borrow_in = |place: usize| carries.get(place).map_or(0, |carry| u64::from(carry.get()));
        let borrow_out = |place: usize, borrow: L| carries[place].set(u8::from(borrow.words()[LANES - 1] != 0));
        steps::<L, N>(self.rows, self.given, borrow_in, borrow_out)
    }
}

/// A place counts where its bit became 1. With bits turned over, Hyyrö's sum is a difference: what a symbol matches and
/// is not yet set is taken from the row, and of the changed bits those stay that were set or match.
#[inline(always)]
fn steps<L: Lanes, const N: usize>(
    rows: &[[Vector; N]],
    given: Given<'_>,
    borrow_in: impl Fn(usize) -> u64,
    borrow_out: impl Fn(usize, L),
) -> usize {
    let Some(nothing) = rows.first() else { return 0 };
    let mut bits = [L::zero(); N];
    // The borrows of the last two steps, moved on by a lane.
    let (mut older, mut newer) = (L::zero().moved_on(borrow_in(0)), L::zero().moved_on(borrow_in(1)));
    // The rows of a block's symbols behind those of the last symbols before it: looked up once, used by every lane.
    let mut recent = [nothing; LEAD + BLOCK];
    let (mut step, end) = (0, given.len() + LEAD);
    while step < end {
        let block = BLOCK.min(end - step);
        recent[LEAD..].fill(nothing);
        let mut next = recent[LEAD..].iter_mut();
        given.each_row(step..step + block, |row| {
            if let (Some(next), Some(row)) = (next.next(), rows.get(row as usize)) {
                *next = row;
            }
        });
        for window in recent.windows(LEAD + 1).take(block) {
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
        recent.copy_within(block..block + LEAD, 0);
    }
    bits.iter().flat_map(|bits| bits.words()).map(|word| word.count_ones() as usize).sum()
}
