//! One place where a text names a choice: how clearly, by the words and signs around it.

use crate::words::{Word, Words, is_unspaced};

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
pub(crate) const LINKS: [&str; 5] = ["is", "be", "was", "are", "as"];
/// The same in languages that write no spaces: a choice is stated behind a word with such an end.
const UNSPACED_CUES: [&str; 14] = [
    "答案是",
    "答案为",
    "答案為",
    "答案应为",
    "答案應為",
    "选择",
    "選擇",
    "选",
    "選",
    "答えは",
    "正解は",
    "정답은",
    "답은",
    "คำตอบคือ",
];
/// Words that may stand between link and choice.
pub(crate) const ADVERBS: [&str; 11] =
    ["therefore", "thus", "hence", "clearly", "definitely", "indeed", "likely", "probably", "simply", "then", "the"];
/// Words that mark what follows as a choice.
pub(crate) const LABELS: [&str; 3] = ["option", "choice", "letter"];
/// Words behind a lone `A` or `I` that show it is no article and no pronoun.
const NOT_BEHIND_AN_ARTICLE: [&str; 10] =
    ["is", "isn", "was", "wasn", "cannot", "because", "since", "and", "or", "but"];

/// How clearly a text names a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Strength {
    OtherCase,
    Bare,
    Marked,
    Stated,
}

/// An occurrence of a choice and what is around it.
pub(crate) struct Occurrence<'t> {
    pub(crate) text: &'t str,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The words before, the nearest last.
    pub(crate) before: &'t [Word],
    pub(crate) behind_marker: bool,
}

impl Occurrence<'_> {
    /// How clearly the text names the choice here, which is `spelled` so; `None` where it does not name it.
    pub(crate) fn strength(&self, spelled: &str, is_letter: bool) -> Option<Strength> {
        let verdict = self.verdict();
        if verdict == Some(false) || self.is_denied() {
            return None;
        }
        let is_enclosed = self.is_enclosed();
        let (is_stated, is_labelled) = self.cue();
        let is_opening = self.text[..self.start].chars().all(is_decoration);
        if is_letter
            && !is_enclosed
            && (self.is_part_of_something() || self.is_article(is_stated, is_labelled, is_opening))
        {
            return None;
        }
        let is_exact = self.text[self.start..self.end] == *spelled;
        let ends_there = self.text[self.end..].chars().next().is_none_or(|next| !is_word_letter(next) && next != ' ');
        let is_statement =
            (is_stated && !self.is_alternative()) || verdict == Some(true) || self.is_alone_on_its_line();
        if is_statement {
            Some(Strength::Stated)
        } else if is_enclosed || is_labelled || (is_opening && (ends_there || self.behind_marker)) {
            Some(Strength::Marked)
        } else if is_exact {
            Some(Strength::Bare)
        } else {
            // A lone letter in the other case is a variable, a unit or an initial.
            (!is_letter).then_some(Strength::OtherCase)
        }
    }

    fn is_enclosed(&self) -> bool {
        let mut before = self.text[..self.start].chars().rev();
        let (left, beyond) = (before.next().unwrap_or(' '), before.next().unwrap_or(' '));
        let right = self.text[self.end..].chars().next().unwrap_or(' ');
        match (left, right) {
            // In f(a) the bracket belongs to the function.
            ('(' | '[', ')' | ']') => !is_word_letter(beyond),
            ('{', '}')
            | ('*', '*')
            | ('_', '_')
            | ('`', '`')
            | ('"', '"')
            | ('“', '”')
            | ('\'', '\'')
            | ('‘', '’')
            | ('（', '）')
            | ('【', '】')
            | ('「', '」')
            | ('『', '』') => true,
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
        (joins(left) && is_word_letter(beyond_left))
            || (joins(right) && is_word_letter(beyond_right))
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
        let Some(next) = Words::by_script(behind)
            .next()
            .filter(|next| !behind.starts_with('\n') && behind[..next.start].trim().is_empty())
        else {
            return false;
        };
        let next = next.text(behind);
        if NOT_BEHIND_AN_ARTICLE.contains(&next) || next.starts_with(is_unspaced) {
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
            if distance == 0 && UNSPACED_CUES.iter().any(|cue| name.ends_with(cue)) {
                return (self.is_near(word.end, self.start), false);
            }
            let is_command = self.text[..word.start].ends_with('\\');
            if !self.text[word.end..right]
                .chars()
                .all(|letter| is_decoration(letter) && !is_stop(letter) || letter == ',' || letter == '=')
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
        let next = Words::by_script(behind).next();
        next.is_some_and(|next| next.is(behind, "or") && behind[..next.start].chars().all(is_decoration))
    }

    /// Whether nothing but decoration stands between two places, and no end of a sentence.
    pub(crate) fn is_near(&self, from: usize, to: usize) -> bool {
        self.text[from..to].chars().all(|letter| is_decoration(letter) && !is_stop(letter))
    }

    fn is_alone_on_its_line(&self) -> bool {
        let left = self.text[..self.start].chars().rev().find(|letter| *letter == '\n' || !is_decoration(*letter));
        let right = self.text[self.end..].chars().find(|letter| *letter == '\n' || !is_decoration(*letter));
        left.is_none_or(|letter| letter == '\n') && right.is_none_or(|letter| letter == '\n')
    }
}

/// A letter or digit of a script with spaces between words.
fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() && !is_unspaced(letter)
}

/// Ends a sentence.
fn is_stop(letter: char) -> bool {
    matches!(letter, '.' | '。')
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
                | '：'
                | '。'
                | '（'
                | '）'
                | '「'
                | '」'
                | '『'
                | '』'
                | '【'
                | '】'
        )
}
