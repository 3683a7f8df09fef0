//! METEOR of one text: an alignment of its words with those of the reference, equal words first and then words of an
//! equal stem, and how far it keeps words together. Synonyms are left out; they need a dictionary.
//!
//! As in nltk each word, from the last to the first, is aligned with the last word of the reference that is left, so the
//! alignment is found in linear time and is not always the one with the fewest chunks.

use std::borrow::Cow;

use crate::grade::count;
use crate::porter::stem;
use crate::tokens::Tokens;
use crate::vocabulary::{Letters, Vocabulary};

/// Weight of the precision in the mean's denominator; the recall has the rest, so the recall counts nine times as much.
const ALPHA: f64 = 0.9;
/// The most that a torn alignment loses.
const GAMMA: f64 = 0.5;
/// How steeply that falls with longer chunks.
const BETA: i32 = 3;

/// Stands for no place.
const NOWHERE: u32 = u32::MAX;

/// The words of a reference.
pub(crate) struct Meteor {
    words: Vocabulary,
    stems: Vocabulary,
    /// The stem of each word, by its number.
    stem_of: Vec<u32>,
    places_of_word: Places,
    places_of_stem: Places,
}

/// The places of each word or stem as chains from the last to the first.
struct Places {
    /// By number.
    last: Vec<u32>,
    /// By place.
    before: Vec<u32>,
}

impl Places {
    fn new(numbers: impl Iterator<Item = u32>, kinds: usize) -> Self {
        let (mut last, mut before) = (vec![NOWHERE; kinds], Vec::new());
        for (place, number) in (0..).zip(numbers) {
            before.push(std::mem::replace(&mut last[number as usize], place));
        }
        Self { last, before }
    }

    /// Goes on to the place before, in `last`, and returns the one that it stood at.
    fn step(&self, last: &mut [u32], number: u32) -> Option<usize> {
        let place = last[number as usize];
        last[number as usize] = *self.before.get(place as usize)?;
        Some(place as usize)
    }
}

impl Meteor {
    pub(crate) fn new(tokens: &Tokens) -> Self {
        let (mut words, mut stems) = (Vocabulary::for_words(tokens.len()), Vocabulary::for_words(tokens.len()));
        let mut stem_of = Vec::new();
        let numbers: Vec<u32> = tokens
            .words()
            .map(|token| {
                let word = lower(token);
                let number = words.add(Letters::new(&word));
                if number as usize == stem_of.len() {
                    stem_of.push(stems.add(Letters::new(&stem(&word))));
                }
                number
            })
            .collect();
        let places_of_word = Places::new(numbers.iter().copied(), words.len());
        let places_of_stem = Places::new(numbers.iter().map(|number| stem_of[*number as usize]), stems.len());
        Self { words, stems, stem_of, places_of_word, places_of_stem }
    }

    pub(crate) fn score(&self, tokens: &Tokens) -> f64 {
        let expected = self.places_of_word.before.len();
        let partners = self.align(tokens, expected);
        let matched = partners.iter().flatten().count();
        if matched == 0 {
            return 0.0;
        }
        let precision = count(matched) / count(tokens.len());
        let recall = count(matched) / count(expected);
        let mean = precision * recall / (ALPHA * precision + (1.0 - ALPHA) * recall);
        (1.0 - GAMMA * (count(chunks(&partners)) / count(matched)).powi(BETA)) * mean
    }

    /// For each word its place in the reference.
    fn align(&self, tokens: &Tokens, expected: usize) -> Vec<Option<usize>> {
        let words: Vec<Cow<'_, str>> = tokens.words().map(lower).collect();
        let numbers: Vec<Option<u32>> = words.iter().map(|word| self.words.number(Letters::new(word))).collect();
        let mut partners = vec![None; tokens.len()];
        let mut is_taken = vec![false; expected];
        let mut last = self.places_of_word.last.clone();
        for (partner, number) in partners.iter_mut().zip(&numbers).rev() {
            *partner = number.and_then(|number| self.places_of_word.step(&mut last, number));
            if let Some(place) = *partner {
                is_taken[place] = true;
            }
        }
        let mut last = self.places_of_stem.last.clone();
        for ((partner, number), word) in partners.iter_mut().zip(&numbers).zip(&words).rev() {
            if partner.is_some() {
                continue;
            }
            let stem = match number {
                Some(number) => Some(self.stem_of[*number as usize]),
                None => self.stems.number(Letters::new(&stem(word))),
            };
            let mut places = std::iter::from_fn(|| self.places_of_stem.step(&mut last, stem?));
            *partner = places.find(|place| !is_taken[*place]);
        }
        partners
    }
}

/// Runs of words whose places follow each other too.
fn chunks(partners: &[Option<usize>]) -> usize {
    let begins = |pair: &[Option<usize>]| pair[1].is_some() && pair[1] != pair[0].map(|place| place + 1);
    let first = usize::from(partners.first().is_some_and(Option::is_some));
    first + partners.windows(2).filter(|pair| begins(pair)).count()
}

fn lower(token: &str) -> Cow<'_, str> {
    match token.bytes().all(|byte| byte.is_ascii_lowercase()) {
        true => Cow::Borrowed(token),
        false => Cow::Owned(token.to_lowercase()),
    }
}
