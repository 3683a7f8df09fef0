//! How alike two texts are letter by letter: twice the length of their longest common subsequence over the sum of their
//! lengths. It is 1 less the share of letters to be taken out or put in.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::grade::count;
use crate::lcs::Sequence;

/// The letters of a reference (Unicode scalar values), in their order.
pub(crate) struct LetterSequence {
    letters: Letters,
    sequence: Sequence,
    length: usize,
}

/// The different letters as numbers; 0 in `ascii` for one that does not occur, else its number and 1.
struct Letters {
    ascii: [u32; 128],
    others: HashMap<char, u32, FixedState>,
    count: u32,
}

impl LetterSequence {
    pub(crate) fn new(text: &str) -> Self {
        let mut letters = Letters { ascii: [0; 128], others: HashMap::default(), count: 0 };
        let numbers: Vec<u32> = text.chars().map(|letter| letters.add(letter)).collect();
        let sequence = Sequence::new(&numbers, letters.count as usize);
        Self { letters, sequence, length: numbers.len() }
    }

    /// 0 to 1; two empty texts are alike. `length` is that of the text.
    pub(crate) fn ratio(&self, text: &str, length: usize) -> f64 {
        let both = length + self.length;
        if both == 0 {
            return 1.0;
        }
        let known: Vec<u32> = match text.len() == length {
            true => text.bytes().filter_map(|letter| self.letters.ascii[usize::from(letter)].checked_sub(1)).collect(),
            false => text.chars().filter_map(|letter| self.letters.number(letter)).collect(),
        };
        2.0 * count(self.sequence.common(&known)) / count(both)
    }
}

impl Letters {
    fn add(&mut self, letter: char) -> u32 {
        if let Some(number) = self.number(letter) {
            return number;
        }
        let number = self.count;
        self.count += 1;
        match self.ascii.get_mut(letter as usize) {
            Some(place) => *place = self.count,
            None => {
                self.others.insert(letter, number);
            }
        }
        number
    }

    fn number(&self, letter: char) -> Option<u32> {
        match self.ascii.get(letter as usize) {
            Some(number) => number.checked_sub(1),
            None => self.others.get(&letter).copied(),
        }
    }
}
