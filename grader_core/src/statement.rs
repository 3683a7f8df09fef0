//! Where a text states one of several choices. An answer that is stated (`the answer is B`, `\boxed{B}`, a line with
//! nothing else) goes before one that is marked (`(B)`, `b)`, `**B**`, `option B`), and that before one that merely
//! occurs; among equals the last one wins.

use crate::words::{Word, Words};

/// How many words before a choice are looked at.
const LOOK_BACK: usize = 8;
/// After these a choice is stated: `answer: B`, `I choose B`.
const CUES: [&str; 12] = [
    "answer",
    "ans",
    "answered",
    "choose",
    "chose",
    "chosen",
    "pick",
    "picked",
    "select",
    "selected",
    "verdict",
    "conclusion",
];
/// With a linking word between, these state a choice: `the correct option for this case is B`.
const SUBJECTS: [&str; 9] =
    ["answer", "ans", "option", "choice", "conclusion", "verdict", "solution", "response", "result"];
const LINKS: [&str; 5] = ["is", "be", "was", "are", "as"];
/// Words that may stand between link and choice.
const ADVERBS: [&str; 11] =
    ["therefore", "thus", "hence", "clearly", "definitely", "indeed", "likely", "probably", "simply", "then", "the"];
/// Words that mark what follows as a choice.
const LABELS: [&str; 3] = ["option", "choice", "letter"];
/// What a stated choice may be called behind it: `B is correct`.
const PRAISE: [&str; 4] = ["correct", "right", "answer", "best"];
/// Words behind a lone `A` or `I` that show it is no article and no pronoun.
const NOT_BEHIND_AN_ARTICLE: [&str; 6] = ["is", "because", "since", "and", "or", "but"];

/// How clearly a text names a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    OtherCase,
    Bare,
    Marked,
    Stated,
}

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
            let words: Vec<String> = Words::new(text).map(|word| word.text(text).to_lowercase()).collect();
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
        let words: Vec<String> = Words::new(text).map(|word| word.text(text).to_lowercase()).collect();
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
        let mut words = Words::new(text);
        let mut before = [Word::default(); LOOK_BACK];
        let mut seen = 0;
        while let Some(word) = words.next() {
            if self.first_bytes[usize::from(text.as_bytes()[word.start])]
                && let Some((place, last)) = self.choice_at(text, word, words)
            {
                let choice = &self.choices[place];
                let context = Context {
                    text,
                    start: word.start,
                    end: last.end,
                    before: &before[LOOK_BACK - seen..],
                    behind_marker,
                };
                if context.strength(choice).is_some_and(|strength| !visit(place, strength)) {
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

/// An occurrence of a choice and what is around it.
struct Context<'t> {
    text: &'t str,
    start: usize,
    end: usize,
    /// The words before, the nearest last.
    before: &'t [Word],
    behind_marker: bool,
}

impl Context<'_> {
    fn strength(&self, choice: &Choice) -> Option<Strength> {
        let is_enclosed = self.is_enclosed();
        let (is_stated, is_labelled) = self.cue();
        let is_opening = self.text[..self.start].chars().all(is_decoration);
        if choice.is_letter
            && !is_enclosed
            && (self.is_part_of_something() || self.is_article(is_stated, is_labelled, is_opening))
        {
            return None;
        }
        let is_exact = self.text[self.start..self.end] == choice.spelled;
        let ends_there = self.text[self.end..].chars().next().is_none_or(|next| !next.is_alphanumeric() && next != ' ');
        let is_statement = (is_stated && !self.is_alternative()) || self.is_praised() || self.is_alone_on_its_line();
        if is_statement {
            Some(Strength::Stated)
        } else if is_enclosed || is_labelled || (is_opening && (ends_there || self.behind_marker)) {
            Some(Strength::Marked)
        } else if is_exact {
            Some(Strength::Bare)
        } else {
            // A lone letter in the other case is a variable, a unit or an initial.
            (!choice.is_letter).then_some(Strength::OtherCase)
        }
    }

    fn is_enclosed(&self) -> bool {
        let mut before = self.text[..self.start].chars().rev();
        let (left, beyond) = (before.next().unwrap_or(' '), before.next().unwrap_or(' '));
        let right = self.text[self.end..].chars().next().unwrap_or(' ');
        match (left, right) {
            // In f(a) the bracket belongs to the function.
            ('(' | '[', ')' | ']') => !beyond.is_alphanumeric(),
            ('{', '}') | ('*', '*') | ('_', '_') | ('`', '`') | ('"', '"') | ('“', '”') | ('\'', '\'') | ('‘', '’') => {
                true
            }
            ('*', '.' | ':' | ')') => true,
            (left, ')') => left.is_whitespace(),
            _ => false,
        }
    }

    /// Whether the letter belongs to a word (`it's`, `B-cell`), an abbreviation (`U.S.`) or a calculation (`A = 5`).
    fn is_part_of_something(&self) -> bool {
        let mut before = self.text[..self.start].chars().rev();
        let mut behind = self.text[self.end..].chars();
        let (left, beyond_left) = (before.next().unwrap_or(' '), before.next().unwrap_or(' '));
        let (right, beyond_right) = (behind.next().unwrap_or(' '), behind.next().unwrap_or(' '));
        let joins = |mark: char| matches!(mark, '\'' | '’' | '-' | '.' | '_');
        let calculates = |mark: char| matches!(mark, '=' | '+' | '<' | '>' | '^' | '/');
        (joins(left) && beyond_left.is_alphanumeric())
            || (joins(right) && beyond_right.is_alphanumeric())
            || matches!(left, '\\' | '^' | '+' | '/')
            || matches!(right, '(')
            || calculates(right)
            || (right == ' ' && calculates(beyond_right))
    }

    /// Whether a lone `a` or `i` is the article or the pronoun.
    fn is_article(&self, is_stated: bool, is_labelled: bool, is_opening: bool) -> bool {
        let letter = &self.text[self.start..self.end];
        if !matches!(letter, "a" | "A" | "i" | "I") || is_labelled {
            return false;
        }
        let behind = &self.text[self.end..];
        let Some(next) = Words::new(behind)
            .next()
            .filter(|next| !behind.starts_with('\n') && behind[..next.start].trim().is_empty())
        else {
            return false;
        };
        let next = next.text(behind);
        if NOT_BEHIND_AN_ARTICLE.contains(&next) {
            return false;
        }
        // In the midst of a sentence the article is small: `the answer is A as shown`.
        !(letter == "A" && (is_stated || (is_opening && self.behind_marker)))
    }

    /// Whether the words before state the choice, and whether they at least label it.
    fn cue(&self) -> (bool, bool) {
        let mut is_labelled = false;
        let mut is_linked = false;
        let mut right = self.start;
        for (distance, word) in self.before.iter().rev().enumerate() {
            let name = word.text(self.text);
            let is_one_of = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
            let is_command = self.text[..word.start].ends_with('\\');
            if !self.text[word.end..right]
                .chars()
                .all(|letter| is_decoration(letter) && letter != '.' || letter == ',' || letter == '=')
            {
                return (false, is_labelled);
            }
            right = word.start;
            if is_command && is_one_of(&["boxed", "fbox"]) {
                return (true, is_labelled);
            } else if is_command {
                continue;
            } else if is_one_of(&LABELS) && distance < 2 && !is_linked {
                is_labelled = true;
            } else if is_one_of(&LINKS) {
                is_linked = true;
            } else if !is_linked && is_one_of(&CUES) || is_linked && self.has_subject(distance) {
                return (true, is_labelled);
            } else if is_linked || !is_one_of(&ADVERBS) {
                return (false, is_labelled);
            }
        }
        (false, is_labelled)
    }

    /// Whether, from the word at `distance` on back, the sentence has a subject that names an answer.
    fn has_subject(&self, distance: usize) -> bool {
        let words = &self.before[..self.before.len() - distance];
        let ends_sentence =
            |left: &Word, right: &Word| self.text[left.end..right.start].contains(['.', '?', '!', '\n', ';']);
        let mut right: Option<&Word> = None;
        for word in words.iter().rev() {
            if right.is_some_and(|right| ends_sentence(word, right)) {
                return false;
            }
            if SUBJECTS.iter().any(|subject| subject.eq_ignore_ascii_case(word.text(self.text))) {
                return true;
            }
            right = Some(word);
        }
        false
    }

    /// Whether another choice is offered behind this one: the instruction `answer Yes or No` states neither.
    fn is_alternative(&self) -> bool {
        let behind = &self.text[self.end..];
        let next = Words::new(behind).next();
        next.is_some_and(|next| next.is(behind, "or") && behind[..next.start].chars().all(is_decoration))
    }

    /// `B is correct`, `(B) is the right answer`.
    fn is_praised(&self) -> bool {
        let behind = &self.text[self.end..];
        let mut right = 0;
        let mut words = Words::new(behind).take(4).take_while(|word| {
            let is_near =
                behind[right..word.start].chars().all(|letter| is_decoration(letter) && !matches!(letter, '.' | '\n'));
            right = word.end;
            is_near
        });
        let is_one_of =
            |list: &[&str], word: &Word| list.iter().any(|known| known.eq_ignore_ascii_case(word.text(behind)));
        words.next().is_some_and(|word| is_one_of(&["is", "was"], &word))
            && words.find(|word| !is_one_of(&ADVERBS, word)).is_some_and(|word| is_one_of(&PRAISE, &word))
    }

    fn is_alone_on_its_line(&self) -> bool {
        let left = self.text[..self.start].chars().rev().find(|letter| *letter == '\n' || !is_decoration(*letter));
        let right = self.text[self.end..].chars().find(|letter| *letter == '\n' || !is_decoration(*letter));
        left.is_none_or(|letter| letter == '\n') && right.is_none_or(|letter| letter == '\n')
    }
}

/// What may stand around an answer without being part of a sentence.
fn is_decoration(letter: char) -> bool {
    letter.is_whitespace()
        || matches!(
            letter,
            '*' | '_'
                | '`'
                | '"'
                | '\''
                | '“'
                | '”'
                | '‘'
                | '’'
                | '('
                | ')'
                | '['
                | ']'
                | '{'
                | '}'
                | '$'
                | '.'
                | ':'
                | '>'
                | '#'
                | '-'
                | '–'
                | '—'
                | '•'
                | '\\'
                | '~'
        )
}
