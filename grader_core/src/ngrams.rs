//! Counts the n-grams, runs of n words, that a text shares with a reference: each as often as the reference has it, at
//! the most. An n-gram is a node below that of its first n - 1 words.

use std::collections::HashMap;

use foldhash::fast::FixedState;

use crate::vocabulary::Vocabulary;

/// The longest n-grams that any metric counts.
pub(crate) const MAX_ORDER: usize = 5;

/// The n-grams of a reference.
pub(crate) struct Ngrams {
    words: Vocabulary,
    /// The node behind a node and a word. The nodes of single words are the words' numbers.
    nodes: HashMap<(u32, u32), u32, FixedState>,
    /// How often the n-gram of each node occurs.
    counts: Vec<u32>,
    /// Words of the reference.
    length: usize,
    order: usize,
}

/// What a text and a reference share.
pub(crate) struct Overlap {
    matched: [usize; MAX_ORDER],
    given: usize,
    expected: usize,
}

impl Ngrams {
    /// The n-grams of 1 to `order` words.
    pub(crate) fn new(words: &[&str], order: usize) -> Self {
        let mut vocabulary = Vocabulary::default();
        let numbers: Vec<u32> = words.iter().map(|word| vocabulary.add(word)).collect();
        let mut nodes: HashMap<_, _, FixedState> = HashMap::default();
        let mut counts = vec![0; vocabulary.len()];
        for (start, &first) in numbers.iter().enumerate() {
            let mut node = first;
            counts[node as usize] += 1;
            for &word in numbers[start + 1..].iter().take(order - 1) {
                node = *nodes.entry((node, word)).or_insert_with(|| {
                    counts.push(0);
                    counts.len() as u32 - 1
                });
                counts[node as usize] += 1;
            }
        }
        Self { words: vocabulary, nodes, counts, length: words.len(), order }
    }

    /// What the words of a text share with the reference.
    pub(crate) fn overlap(&self, words: &[&str]) -> Overlap {
        let numbers: Vec<Option<u32>> = words.iter().map(|word| self.words.number(word)).collect();
        let mut left = self.counts.clone();
        let mut matched = [0; MAX_ORDER];
        for (start, &first) in numbers.iter().enumerate() {
            let mut found = first;
            for (place, matched) in matched.iter_mut().take(self.order).enumerate() {
                if place > 0 {
                    let word = numbers.get(start + place).copied().flatten();
                    found = found.zip(word).and_then(|step| self.nodes.get(&step)).copied();
                }
                // What the reference lacks is the beginning of nothing that it has.
                let Some(node) = found else { break };
                let left = &mut left[node as usize];
                *matched += usize::from(*left > 0);
                *left = left.saturating_sub(1);
            }
        }
        Overlap { matched, given: words.len(), expected: self.length }
    }
}

impl Overlap {
    /// Shared n-grams of `order` words.
    pub(crate) fn matched(&self, order: usize) -> usize {
        self.matched[order - 1]
    }

    /// N-grams of `order` words in the text.
    pub(crate) fn given(&self, order: usize) -> usize {
        (self.given + 1).saturating_sub(order)
    }

    /// N-grams of `order` words in the reference.
    pub(crate) fn expected(&self, order: usize) -> usize {
        (self.expected + 1).saturating_sub(order)
    }
}
