//! Where a text states one of several choices. An answer that is stated (`the answer is B`, `\boxed{B}`, a line with
//! nothing else) goes before one that is marked (`(B)`, `b)`, `**B**`, `option B`), and that before one that merely
//! occurs; among equals the last one wins. One that is denied (`not B`, `B is incorrect`) is no answer at all.

use crate::words::{Word, Words, is_unspaced};

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
/// And denied behind such an end.
const UNSPACED_DENIALS: [&str; 6] = ["不是", "不选", "不選", "不能选", "并非", "並非"];
/// Directly before a choice these deny it, with links, adverbs and labels between: `not option B`. `isn't` is two words.
const DENIALS: [&str; 8] = ["not", "cannot", "never", "neither", "nor", "except", "isnt", "cant"];
/// Verbs that may stand between a denial and the choice: `do not pick B`.
const DENIED_VERBS: [&str; 5] = ["choose", "pick", "select", "answer", "say"];
/// Words that may stand between link and choice.
const ADVERBS: [&str; 11] =
    ["therefore", "thus", "hence", "clearly", "definitely", "indeed", "likely", "probably", "simply", "then", "the"];
/// Words that mark what follows as a choice.
const LABELS: [&str; 3] = ["option", "choice", "letter"];
/// What a stated choice may be called behind it: `B is correct`.
const PRAISE: [&str; 4] = ["correct", "right", "answer", "best"];
/// And a denied one: `B is wrong`.
const BLAME: [&str; 8] = ["incorrect", "wrong", "false", "invalid", "impossible", "excluded", "eliminated", "ruled"];
/// What such a sentence goes on with behind the choice.
const VERDICT_VERBS: [&str; 12] =
    ["is", "was", "isn", "wasn", "can", "cannot", "could", "couldn", "would", "wouldn", "must", "mustn"];
/// What may stand in it before the judgement.
const VERDICT_FILLERS: [&str; 4] = ["be", "a", "an", "have"];
/// Words behind a lone `A` or `I` that show it is no article and no pronoun.
const NOT_BEHIND_AN_ARTICLE: [&str; 10] =
    ["is", "isn", "was", "wasn", "cannot", "because", "since", "and", "or", "but"];

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
        let verdict = self.verdict();
        if verdict == Some(false) || self.is_denied() {
            return None;
        }
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
        let ends_there = self.text[self.end..].chars().next().is_none_or(|next| !is_letter(next) && next != ' ');
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
            (!choice.is_letter).then_some(Strength::OtherCase)
        }
    }

    fn is_enclosed(&self) -> bool {
        let mut before = self.text[..self.start].chars().rev();
        let (left, beyond) = (before.next().unwrap_or(' '), before.next().unwrap_or(' '));
        let right = self.text[self.end..].chars().next().unwrap_or(' ');
        match (left, right) {
            // In f(a) the bracket belongs to the function.
            ('(' | '[', ')' | ']') => !is_letter(beyond),
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
        (joins(left) && is_letter(beyond_left))
            || (joins(right) && is_letter(beyond_right))
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
    fn is_near(&self, from: usize, to: usize) -> bool {
        self.text[from..to].chars().all(|letter| is_decoration(letter) && !is_stop(letter))
    }

    /// `not B`, `isn't option B`, `do not pick B`.
    fn is_denied(&self) -> bool {
        let mut right = self.start;
        let (mut is_t, mut is_linked) = (false, false);
        for word in self.before.iter().rev() {
            let name = word.text(self.text);
            let is_one_of = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
            if is_t {
                return name.ends_with(['n', 'N']) && self.text[word.end..right].chars().eq([self.left_of(right)]);
            }
            if !self.is_near(word.end, right) || self.text[word.end..right].contains('\n') {
                return false;
            }
            if is_one_of(&DENIALS) || UNSPACED_DENIALS.iter().any(|denial| name.ends_with(denial)) {
                return true;
            }
            is_t = name.eq_ignore_ascii_case("t") && matches!(self.left_of(word.start), '\'' | '’');
            is_linked |= is_one_of(&LINKS);
            // In `neither the answer is B` the verb is a noun, and the denial of something else.
            let goes_on = is_one_of(&LINKS)
                || is_one_of(&ADVERBS)
                || is_one_of(&LABELS)
                || !is_linked && is_one_of(&DENIED_VERBS);
            if !is_t && !goes_on {
                return false;
            }
            right = word.start;
        }
        false
    }

    fn left_of(&self, place: usize) -> char {
        self.text[..place].chars().next_back().unwrap_or(' ')
    }

    /// What the words behind say of the choice: true for `B is correct`, `(B) is the right answer`, false for `B is not
    /// correct`, `B is wrong`.
    fn verdict(&self) -> Option<bool> {
        let mut right = self.end;
        let mut is_denied = false;
        for (distance, word) in Words::by_script(&self.text[self.end..]).take(6).enumerate() {
            let (start, end) = (self.end + word.start, self.end + word.end);
            let name = &self.text[start..end];
            let is_one_of = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
            if !self.is_near(right, start) || self.text[right..start].contains('\n') {
                return None;
            }
            right = end;
            let is_not = is_one_of(&["not", "cannot"])
                || name.eq_ignore_ascii_case("t") && matches!(self.left_of(start), '\'' | '’');
            if distance == 0 && !is_one_of(&VERDICT_VERBS) {
                return None;
            } else if is_not {
                is_denied = true;
            } else if distance > 0 && is_one_of(&PRAISE) {
                return Some(!is_denied);
            } else if distance > 0 && is_one_of(&BLAME) {
                return if is_denied { None } else { Some(false) };
            } else if distance > 0 && ![&ADVERBS[..], &VERDICT_FILLERS].into_iter().any(is_one_of) {
                return None;
            }
        }
        None
    }

    fn is_alone_on_its_line(&self) -> bool {
        let left = self.text[..self.start].chars().rev().find(|letter| *letter == '\n' || !is_decoration(*letter));
        let right = self.text[self.end..].chars().find(|letter| *letter == '\n' || !is_decoration(*letter));
        left.is_none_or(|letter| letter == '\n') && right.is_none_or(|letter| letter == '\n')
    }
}

/// A letter or digit of a script with spaces between words.
fn is_letter(letter: char) -> bool {
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
