//! Words behind a number: units in other scripts, and what is no unit to be dropped, as it multiplies the number or
//! tells which half of the day is meant.

use crate::latex::{Reader, Token};
use crate::latex_names::NUMBER_WORDS;

/// Longest unit of letters other than Latin and Greek.
const LONGEST_FOREIGN_UNIT: usize = 4;
/// Words that multiply the number before them.
const SCALES: [(&str, &str); 5] = [
    ("hundred", "100"),
    ("thousand", "1000"),
    ("million", "1000000"),
    ("billion", "1000000000"),
    ("trillion", "1000000000000"),
];

impl Reader<'_> {
    /// Reads `thousand` and the like behind a number, and a unit behind it; whether it was one.
    pub(crate) fn scaled(&mut self, words: &str) -> bool {
        if !self.is_behind_quantity() {
            return false;
        }
        let (word, unit) = words.split_once(' ').unwrap_or((words, ""));
        let Some((_, factor)) = SCALES.iter().find(|(name, _)| *name == word.trim_end_matches('s')) else {
            return false;
        };
        self.push(Token::Sign('*'));
        self.push(Token::Number((*factor).to_owned()));
        if !unit.is_empty() && !self.scaled(unit) {
            self.push(Token::Text(unit.to_owned()));
        }
        true
    }

    /// Reads `am` or `pm` behind a number, dotted or not, as a name; whether it was one.
    pub(crate) fn half_of_day(&mut self, word: &str) -> bool {
        let half = match word {
            "am" | "a.m" => "am",
            "pm" | "p.m" => "pm",
            _ => return false,
        };
        let is_half = self.is_behind_quantity();
        if is_half {
            self.push(Token::Symbol(half.to_owned()));
        }
        is_half
    }

    /// Letters that name nothing in mathematics: a unit behind an amount that nothing follows, else prose.
    pub(crate) fn foreign(&mut self, run: &str) -> Option<()> {
        let ends = !self.rest.trim_start().starts_with(|next: char| next.is_alphanumeric() || next == '\\');
        let is_unit = run.chars().count() <= LONGEST_FOREIGN_UNIT && !run.contains(NUMBER_WORDS);
        if !(ends && is_unit && self.is_behind_quantity()) {
            return None;
        }
        self.push(Token::Text(run.to_owned()));
        Some(())
    }

    /// Whether a letter behind degrees says on which scale: Celsius, Fahrenheit, Kelvin.
    pub(crate) fn is_scale_of_degrees(&self, letter: &str) -> bool {
        if !matches!(letter, "C" | "F" | "K") {
            return false;
        }
        let behind = match self.tokens.as_slice() {
            [.., Token::Sign(sign)] | [.., Token::Sign(sign), Token::Close('G')] => *sign,
            _ => return false,
        };
        behind == '°'
    }
}
