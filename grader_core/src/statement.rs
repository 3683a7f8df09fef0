//! Where a text states one of several choices. An answer that is stated (`the answer is B`, `\boxed{B}`, a line with
//! nothing else) goes before one that is marked (`(B)`, `b)`, `**B**`, `option B`), and that before one that merely
//! occurs; among equals the last one wins. One that is denied (`not B`, `B is incorrect`) is no answer at all.

use crate::occurrence::{Occurrence, Strength};
use crate::words::{Word, Words};

/// How many words before a choice are looked at.
const LOOK_BACK: usize = 8;

/// Choices, ready to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choices {
    choices: Vec<Choice>,
    /// First bytes, in lower case, of all choices: most words of a text fall at this test.
    first_bytes: Vec<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    spelled: String,
    words: Vec<String>,
    is_letter: bool,
}

impl Choices {
    /// Reads the choices as they are spelled; the error is the place of one that has no letter or digit.
    pub(crate) fn new(spelled: &[String]) -> Result<Self, usize> {
        let mut choices = Vec::new();
        let mut first_bytes = vec![false; 256];
        for (place, text) in spelled.iter().enumerate() {
            let words: Vec<String> = Words::by_script(text).map(|word| word.text(text).to_lowercase()).collect();
            let Some(first) = words.first() else { return Err(place) };
            for letter in first.chars().take(1).flat_map(|letter| letter.to_uppercase().chain(std::iter::once(letter)))
            {
                first_bytes[usize::from(letter.encode_utf8(&mut [0; 4]).as_bytes()[0])] = true;
            }
            let is_letter =
                words.len() == 1 && first.len() == 1 && first.bytes().all(|byte| byte.is_ascii_alphabetic());
            choices.push(Choice { spelled: text.trim().to_owned(), words, is_letter });
        }
        Ok(Self { choices, first_bytes })
    }

    pub(crate) fn spelled(&self, place: usize) -> &str {
        self.choices.get(place).map_or("", |choice| &choice.spelled)
    }

    /// The choice that `text` consists of, decoration and case aside.
    pub(crate) fn only(&self, text: &str) -> Option<usize> {
        let words: Vec<String> = Words::by_script(text).map(|word| word.text(text).to_lowercase()).collect();
        self.choices.iter().position(|choice| choice.words == words)
    }

    /// The choice that `text` states most clearly, and last among equals.
    pub(crate) fn last(&self, text: &str) -> Option<usize> {
        let mut best = None;
        self.each(text, false, |found, strength| {
            if best.is_none_or(|(_, before)| strength >= before) {
                best = Some((found, strength));
            }
            true
        });
        best.map(|(found, _)| found)
    }

    /// The first choice in `text`, which follows a marker.
    pub(crate) fn first(&self, text: &str) -> Option<usize> {
        let mut first = None;
        self.each(text, true, |found, _| {
            first = Some(found);
            false
        });
        first
    }

    /// Calls `visit` for every occurrence of a choice until it says false.
    fn each(&self, text: &str, behind_marker: bool, mut visit: impl FnMut(usize, Strength) -> bool) {
        let mut words = Words::by_script(text);
        let mut before = [Word::default(); LOOK_BACK];
        let mut seen = 0;
        while let Some(word) = words.next() {
            if self.first_bytes[usize::from(text.as_bytes()[word.start])]
                && let Some((place, last)) = self.choice_at(text, word, words)
            {
                let choice = &self.choices[place];
                let occurrence = Occurrence {
                    text,
                    start: word.start,
                    end: last.end,
                    before: &before[LOOK_BACK - seen..],
                    behind_marker,
                };
                if occurrence
                    .strength(&choice.spelled, choice.is_letter)
                    .is_some_and(|strength| !visit(place, strength))
                {
                    return;
                }
                words.skip_to(last.end);
            }
            before.rotate_left(1);
            before[LOOK_BACK - 1] = word;
            seen = (seen + 1).min(LOOK_BACK);
        }
    }

    /// The longest choice that begins with `word`, with its last word. `rest` are the words behind.
    fn choice_at(&self, text: &str, word: Word, rest: Words<'_>) -> Option<(usize, Word)> {
        let fits = |(place, choice): (usize, &Choice)| {
            let mut last = word;
            let mut words = std::iter::once(word).chain(rest);
            let matches = choice.words.iter().all(|expected| {
                words.next().is_some_and(|given| {
                    last = given;
                    given.is(text, expected)
                })
            });
            matches.then_some((place, last))
        };
        self.choices.iter().enumerate().filter_map(fits).max_by_key(|(_, last)| last.end)
    }
}
