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

/// The different letters as numbers from 1 on; 0 in `ascii` for one that does not occur.
struct Letters {
    ascii: [u32; 128],
    others: HashMap<char, u32, FixedState>,
    count: u32,
}

impl LetterSequence {
    pub(crate) fn new(text: &str) -> Self {
        let mut letters = Letters { ascii: [0; 128], others: HashMap::default(), count: 0 };
        letters.add_ascii(text.as_bytes());
        if text.is_ascii() {
            let sequence = Sequence::of_ascii(text.as_bytes(), &letters.ascii, letters.count as usize);
            return Self { letters, sequence, length: text.len() };
        }
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
        let common = match text.len() == length {
            true => self.sequence.common_with_ascii(text.as_bytes(), &self.letters.ascii),
            false => {
                let numbers: Vec<u32> = text.chars().map(|letter| self.letters.number(letter)).collect();
                self.sequence.common(&numbers)
            }
        };
        2.0 * count(common) / count(both)
    }
}

impl Letters {
    fn add(&mut self, letter: char) -> u32 {
        let number = match self.ascii.get_mut(letter as usize) {
            Some(number) => number,
            None => self.others.entry(letter).or_default(),
        };
        if *number == 0 {
            self.count += 1;
            *number = self.count;
        }
        *number
    }

    /// Adds a text's letters of ASCII in the order of their codes, with no jump that depends on a letter.
    fn add_ascii(&mut self, text: &[u8]) {
        let mut occurs = [false; 256];
        for letter in text {
            occurs[usize::from(*letter)] = true;
        }
        for (number, occurs) in self.ascii.iter_mut().zip(occurs) {
            self.count += u32::from(occurs);
            *number = if occurs { self.count } else { 0 };
        }
    }

    fn number(&self, letter: char) -> u32 {
        match self.ascii.get(letter as usize) {
            Some(number) => *number,
            None => self.others.get(&letter).copied().unwrap_or_default(),
        }
    }
}
