//! What a mathematical answer is: a tree where it is understood, else its words.

use crate::latex::group;
use crate::latex_names::is_mathematical;
use crate::maths_boxes::{boxed, open_box};
use crate::maths_equal::{equal, settled};
use crate::maths_finding::{behind_cue, stated};
use crate::maths_syntax::{LONGEST, parse};
use crate::maths_text::written;
use crate::maths_tree::Node;
/// Commands whose argument is what is read.
const WORDED: [&str; 7] = ["text", "textbf", "textit", "textrm", "textnormal", "mathrm", "mbox"];
/// Commands without a meaning.
const IDLE: [&str; 4] = ["left", "right", "displaystyle", "quad"];

/// An answer: what it means and how it reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    node: Option<Node>,
    /// The tree of another reading: a decimal comma.
    other: Option<Node>,
    words: String,
}

impl Answer {
    /// Reads all of `text` as an answer; `None` where nothing is in it or it is too long.
    pub(crate) fn read(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let words = plain(text);
        if words.is_empty() {
            return None;
        }
        if is_prose(&words) {
            return Some(Self { node: None, other: None, words });
        }
        let mut other = with_decimal_comma(trimmed(text));
        let node = parse(trimmed(text)).or_else(|| other.take());
        Some(Self { node, other, words })
    }

    /// Reads all of `text`, which must be mathematics.
    pub(crate) fn understood(text: &str) -> Option<Self> {
        Self::read(text).filter(|answer| answer.node.is_some())
    }

    /// Reads a reference: its box where it has one, else all of it, else a box that never ends, else what it states.
    pub(crate) fn of_reference(text: &str) -> Option<Self> {
        let found = boxed(text).or_else(|| Self::understood(text)).or_else(|| open_box(text));
        found.or_else(|| behind_cue(text).and_then(stated)).or_else(|| Self::read(text))
    }

    /// Whether it is no mathematics.
    pub(crate) fn is_words(&self) -> bool {
        self.node.is_none()
    }

    /// Whether it is a name alone.
    pub(crate) fn is_name(&self) -> bool {
        matches!(self.node, Some(Node::Symbol(_)))
    }

    /// Whether this answer is `other`.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.node, &other.node) {
            (Some(left), Some(right)) => {
                let alike = |left: Option<&Node>, right: Option<&Node>| {
                    left.zip(right).is_some_and(|(left, right)| equal(left, right))
                };
                equal(left, right)
                    || alike(self.other.as_ref(), Some(right))
                    || alike(Some(left), other.other.as_ref())
                    || self.words == other.words
            }
            _ => folded(&self.words) == folded(&other.words),
        }
    }

    /// The normal form.
    pub(crate) fn written(&self) -> String {
        self.node.as_ref().map_or_else(|| folded(&self.words), |node| written(&settled(node)))
    }
}

/// `2,74` or `2{,}74` as 2.74: one comma in all, between digits and outside brackets.
fn with_decimal_comma(text: &str) -> Option<Node> {
    let text = text.contains(',').then(|| text.replace("{,}", ","))?;
    let (before, behind) = text.split_once(',')?;
    let is_digit = |character: char| character.is_ascii_digit();
    let whole = &before[before.trim_end_matches(is_digit).len()..];
    let fraction = &behind[..behind.len() - behind.trim_start_matches(is_digit).len()];
    let is_thousands = fraction.len() == 3 && whole != "0";
    let is_decimal = !whole.is_empty() && !fraction.is_empty() && !is_thousands && !behind.contains(',');
    let is_bare = !text.contains(['(', '[']) && !text.contains("\\{");
    if is_decimal && is_bare { parse(&format!("{before}.{behind}")) } else { None }
}

fn trimmed(text: &str) -> &str {
    let is_idle = |character: char| character.is_whitespace() || matches!(character, '*' | '`' | '"' | ':' | '~');
    let text = text.trim_start_matches(is_idle).trim_end_matches(|end| is_idle(end) || matches!(end, '.' | ',' | ';'));
    text.strip_suffix("\\\\").unwrap_or(text).trim_end_matches(['.', ' '])
}

/// The words of an answer: without dollars, commands that only style, and outer punctuation.
fn plain(text: &str) -> String {
    let mut words = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        words.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let name = &rest[..rest.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(rest.len())];
        let content = if WORDED.contains(&name) { group(&rest[name.len()..]) } else { None };
        match content {
            Some(content) => {
                words.push_str(content);
                rest = &rest[name.len() + content.len() + 2..];
            }
            None if IDLE.contains(&name) => rest = &rest[name.len()..],
            None if name.is_empty() && rest.starts_with(['!', ',', ';', ' ', '(', ')', '[', ']']) => rest = &rest[1..],
            None => words.push('\\'),
        }
    }
    words.push_str(rest);
    words.retain(|letter| letter != '$');
    let words: Vec<&str> = words.split_whitespace().collect();
    let words = words.join(" ");
    let words = words.trim_matches(|end: char| matches!(end, '.' | ',' | ';' | ':' | '*' | '`' | '"' | ' '));
    let inner = words.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    inner.filter(|inner| !inner.contains(['(', ',', ')'])).unwrap_or(words).to_owned()
}

/// Words without case; mathematics without spaces.
fn folded(words: &str) -> String {
    let between = if words.contains('\\') { "" } else { " " };
    words.to_lowercase().split_whitespace().collect::<Vec<_>>().join(between)
}

/// Whether words are no mathematics: only letters, and a word among them that stands for none.
fn is_prose(words: &str) -> bool {
    let is_word = |word: &str| match word.to_lowercase().as_str() {
        "no" | "if" | "is" => true,
        "and" => false,
        lower => lower.chars().count() > 2 && !is_mathematical(lower),
    };
    let is_mark = |sign: char| matches!(sign, ' ' | '-' | '\'' | ',' | '.' | '’');
    words.chars().all(|letter| letter.is_alphabetic() || is_mark(letter)) && words.split(is_mark).any(is_word)
}
