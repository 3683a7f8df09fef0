//! How the metrics of machine translation and of summaries cut a text into words.

use std::borrow::Cow;

use memchr::memmem;

use crate::words::Words;

/// What mteval-v13a leaves out or writes otherwise before it looks for tokens, in its order.
const REPLACEMENTS: [(&str, &str); 6] =
    [("<skipped>", ""), ("-\n", ""), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];

/// The text that the tokens of translation are cut from.
pub(crate) fn unescaped(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text.trim_end_matches(is_space));
    for (from, to) in REPLACEMENTS {
        if memmem::find(text.as_bytes(), from.as_bytes()).is_some() {
            text = Cow::Owned(text.replace(from, to));
        }
    }
    text
}

/// The tokens of mteval-v13a, which sacrebleu calls 13a: symbols stand alone, full stops and commas except between
/// digits, a hyphen behind a digit; letters keep their case.
pub(crate) fn translation_tokens(unescaped: &str) -> Vec<&str> {
    let bytes = unescaped.as_bytes();
    let mut tokens = Vec::with_capacity(bytes.len() / 4);
    let (mut start, mut at) = (0, 0);
    let mut before = Class::Space;
    while at < bytes.len() {
        let (class, length) = class_at(unescaped, at);
        let digit_follows = bytes.get(at + length).is_some_and(u8::is_ascii_digit);
        let class = match (class, before) {
            // Its rules take a mark together with what stands before it, so that of several every other one is left.
            (Class::Mark, Class::Digit | Class::MarkAlone) if digit_follows => Class::Mark,
            (Class::Mark, Class::Digit | Class::MarkAlone) => Class::MarkLeft,
            (Class::Mark, _) => Class::MarkAlone,
            (Class::Hyphen, Class::Digit) => Class::Symbol,
            (class, _) => class,
        };
        let stands_alone = matches!(class, Class::Symbol | Class::MarkAlone | Class::MarkLeft);
        if stands_alone || class == Class::Space {
            if start < at {
                tokens.push(&unescaped[start..at]);
            }
            start = at + length;
        }
        if stands_alone {
            tokens.push(&unescaped[at..start]);
        }
        at += length;
        before = class;
    }
    if start < at {
        tokens.push(&unescaped[start..]);
    }
    tokens
}

/// What a character is to mteval-v13a.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    Space,
    /// Always alone.
    Symbol,
    /// A full stop or comma, part of a token.
    Mark,
    /// One that its first rule cuts off.
    MarkAlone,
    /// One that its first rule leaves and its second rule cuts off.
    MarkLeft,
    Hyphen,
}

/// The class and the length of the character at `at`.
fn class_at(text: &str, at: usize) -> (Class, usize) {
    let class = match text.as_bytes()[at] {
        b'a'..=b'z' | b'A'..=b'Z' | b'\'' => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        b' ' | b'\t'..=b'\r' | 0x1c..=0x1f => Class::Space,
        b'.' | b',' => Class::Mark,
        b'-' => Class::Hyphen,
        b'!'..=b'~' => Class::Symbol,
        0..=0x7f => Class::Letter,
        _ => {
            let letter = text[at..].chars().next().unwrap_or_default();
            return (if is_space(letter) { Class::Space } else { Class::Letter }, letter.len_utf8());
        }
    };
    (class, 1)
}

/// White space as Python has it: Unicode's, and the four separators of ASCII.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// The words of a text in lower case, as summaries are compared: runs of letters and digits; a letter of Chinese or
/// Japanese, which put no spaces between words, is a word.
pub(crate) fn summary_words(lower: &str) -> Vec<&str> {
    let mut words = Vec::with_capacity(lower.len() / 5);
    for word in Words::new(lower) {
        let mut rest = word.text(lower);
        while let Some((at, letter)) = rest.char_indices().find(|(_, letter)| is_whole_word(*letter)) {
            let (run, behind) = rest.split_at(at);
            let (letter, after) = behind.split_at(letter.len_utf8());
            words.extend([run, letter].into_iter().filter(|word| !word.is_empty()));
            rest = after;
        }
        words.extend(Some(rest).filter(|word| !word.is_empty()));
    }
    words
}

/// Whether a letter is of Han, Hiragana or Katakana.
fn is_whole_word(letter: char) -> bool {
    matches!(u32::from(letter), 0x3005..=0x3007 | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x323af)
}
