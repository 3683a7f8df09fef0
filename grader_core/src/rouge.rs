//! ROUGE-1 to ROUGE-5 and ROUGE-L of one text: the harmonic mean of the shares of text and reference that the other has.

use crate::grade::count;
use crate::lcs::Sequence;
use crate::ngrams::Overlap;
use crate::tokens::Tokens;
use crate::vocabulary::Vocabulary;

/// By n-grams of `order` words.
pub(crate) fn rouge(overlap: &Overlap, order: usize) -> f64 {
    harmonic_mean(overlap.matched(order), overlap.given(order), overlap.expected(order))
}

/// The words of a reference, in their order.
pub(crate) struct WordSequence {
    words: Vocabulary,
    sequence: Sequence,
    length: usize,
}

impl WordSequence {
    pub(crate) fn new(words: &Tokens) -> Self {
        let mut vocabulary = Vocabulary::for_words(words.len());
        let numbers: Vec<u32> = words.letters().map(|word| vocabulary.add(word) + 1).collect();
        let sequence = Sequence::new(&numbers, vocabulary.len());
        Self { words: vocabulary, sequence, length: words.len() }
    }

    /// By the longest common subsequence of words.
    pub(crate) fn rouge_l(&self, words: &Tokens) -> f64 {
        let numbers: Vec<u32> =
            words.letters().map(|word| self.words.number(word).map_or(0, |number| number + 1)).collect();
        harmonic_mean(self.sequence.common(&numbers), words.len(), self.length)
    }
}

/// Mean of the shares `common / given` and `common / expected`.
fn harmonic_mean(common: usize, given: usize, expected: usize) -> f64 {
    2.0 * count(common) / count((given + expected).max(1))
}
