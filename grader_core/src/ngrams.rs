//! Counts the n-grams, runs of n words, that a text shares with a reference: each as often as the reference has it, at
//! the most. An n-gram is a node below that of its first n - 1 words.

use crate::tokens::Tokens;
use crate::vocabulary::{SPREAD, Vocabulary};

/// The longest n-grams that any metric counts.
pub(crate) const MAX_ORDER: usize = 5;

/// The n-grams of a reference.
pub(crate) struct Ngrams {
    words: Vocabulary,
    /// The node behind a node and a word. The nodes of single words are the words' numbers.
    nodes: Nodes,
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

/// A table of nodes by the node before and the word that leads to them.
struct Nodes {
    /// At the place of a step's hash, or behind it, the step and 1, and its node; step 0 is free.
    slots: Vec<(u64, u32)>,
    /// How far a hash is shifted to be a place.
    shift: u32,
}

impl Nodes {
    /// An empty table with room for `count` steps.
    fn for_steps(count: usize) -> Self {
        let places = (2 * count).next_power_of_two().max(2);
        Self { slots: vec![(0, 0); places], shift: u64::BITS - places.trailing_zeros() }
    }

    #[inline]
    fn find(&self, node: u32, word: u32) -> Option<u32> {
        let step = step(node, word);
        let slot = self.slot(step);
        (self.slots[slot].0 == step).then_some(self.slots[slot].1)
    }

    /// The node behind a step: `new` where there was none.
    fn find_or_insert(&mut self, node: u32, word: u32, new: u32) -> u32 {
        let step = step(node, word);
        let slot = self.slot(step);
        if self.slots[slot].0 == 0 {
            self.slots[slot] = (step, new);
        }
        self.slots[slot].1
    }

    /// Where a step is or would be. One slot in two is free at least, so there is an end.
    #[inline]
    fn slot(&self, step: u64) -> usize {
        let mut slot = (step.wrapping_mul(SPREAD) >> self.shift) as usize;
        while self.slots[slot].0 != step && self.slots[slot].0 != 0 {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }
}

/// A node and a word as one number above 0; there are far fewer than 2^32 nodes.
#[inline]
fn step(node: u32, word: u32) -> u64 {
    (u64::from(node) << 32 | u64::from(word)) + 1
}

impl Ngrams {
    /// The n-grams of 1 to `order` words.
    pub(crate) fn new(words: &Tokens, order: usize) -> Self {
        let mut vocabulary = Vocabulary::for_words(words.len());
        let numbers: Vec<u32> = words.letters().map(|word| vocabulary.add(word)).collect();
        let mut nodes = Nodes::for_steps(words.len() * (order - 1));
        let mut counts = vec![0; vocabulary.len()];
        for (start, &first) in numbers.iter().enumerate() {
            let mut node = first;
            counts[node as usize] += 1;
            for &word in numbers[start + 1..].iter().take(order - 1) {
                node = nodes.find_or_insert(node, word, counts.len() as u32);
                if node as usize == counts.len() {
                    counts.push(0);
                }
                counts[node as usize] += 1;
            }
        }
        Self { words: vocabulary, nodes, counts, length: words.len(), order }
    }

    /// What the words of a text share with the reference.
    pub(crate) fn overlap(&self, words: &Tokens) -> Overlap {
        let numbers: Vec<Option<u32>> = words.letters().map(|word| self.words.number(word)).collect();
        let mut left = self.counts.clone();
        let mut matched = [0; MAX_ORDER];
        for (start, &first) in numbers.iter().enumerate() {
            let mut found = first;
            for (place, matched) in matched.iter_mut().take(self.order).enumerate() {
                if place > 0 {
                    let word = numbers.get(start + place).copied().flatten();
                    found = found.zip(word).and_then(|(node, word)| self.nodes.find(node, word));
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
