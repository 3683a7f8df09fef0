//! The different words of a reference as numbers. Words of a sampled text are only looked up, so its cost does not hang
//! on what the model writes.

use std::collections::HashMap;

use foldhash::fast::FixedState;

/// Words numbered 0, 1, … in the order in which they came first.
#[derive(Default)]
pub(crate) struct Vocabulary {
    numbers: HashMap<Box<str>, u32, FixedState>,
}

impl Vocabulary {
    /// The number of a word, a new one for a new word.
    pub(crate) fn add(&mut self, word: &str) -> u32 {
        if let Some(number) = self.number(word) {
            return number;
        }
        // A message is shorter than 2^32 bytes, so it has fewer words.
        let number = self.numbers.len() as u32;
        self.numbers.insert(word.into(), number);
        number
    }

    /// The number of a word of the reference.
    pub(crate) fn number(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// How many different words there are.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }
}
