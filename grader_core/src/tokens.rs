//! How the metrics of machine translation and of summaries cut a text into words.

use std::borrow::Cow;

use memchr::{memchr, memmem};

use crate::vocabulary::Letters;
use crate::words::{Word, Words};

/// What mteval-v13a leaves out or writes otherwise before it looks for tokens, in its order.
const REPLACEMENTS: [(&str, &str); 6] =
    [("<skipped>", ""), ("-\n", ""), ("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];

/// Stands behind the last word of a text, so that eight bytes can be read of each.
const PADDING: &str = "\0\0\0\0\0\0\0\0";
/// Bytes whose kinds are found in one go.
const BLOCK: usize = 64;

/// A text with the places of its words.
pub(crate) struct Tokens {
    /// The text as it is compared, and the padding.
    text: String,
    places: Vec<Word>,
}

impl Tokens {
    /// How many words there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no word.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The words as texts.
    pub(crate) fn words(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.places.iter().map(|place| place.text(&self.text))
    }

    /// The words as a vocabulary takes them.
    pub(crate) fn letters(&self) -> impl ExactSizeIterator<Item = Letters<'_>> {
        self.places.iter().map(|place| Letters::within(&self.text, place.start, place.end))
    }
}

/// A copy of `text` with the padding.
fn padded(text: &str) -> String {
    let mut copy = String::with_capacity(text.len() + PADDING.len());
    copy.push_str(text);
    copy.push_str(PADDING);
    copy
}

/// The text that the tokens of translation are cut from.
fn unescaped(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text.trim_end_matches(is_space));
    for (from, to) in REPLACEMENTS {
        let first = memchr(from.as_bytes()[0], text.as_bytes());
        if first.is_some_and(|first| memmem::find(&text.as_bytes()[first..], from.as_bytes()).is_some()) {
            text = Cow::Owned(text.replace(from, to));
        }
    }
    text
}

/// The tokens of mteval-v13a, which sacrebleu calls 13a: symbols stand alone, full stops and commas except between
/// digits, a hyphen behind a digit; letters keep their case.
pub(crate) fn translation_tokens(text: &str) -> Tokens {
    let text = padded(&unescaped(text));
    let bytes = &text.as_bytes()[..text.len() - PADDING.len()];
    let mut places = Vec::with_capacity(bytes.len() / 4);
    let (mut start, mut at) = (0, 0);
    let mut before = Class::Space;
    while at < bytes.len() {
        let (class, length) = class_at(&text, at);
        if class == Class::Letter {
            at += length;
            at += bytes[at..].iter().take_while(|byte| CLASSES[usize::from(**byte)] == Some(Class::Letter)).count();
            before = class;
            continue;
        }
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
                places.push(Word { start, end: at });
            }
            start = at + length;
        }
        if stands_alone {
            places.push(Word { start: at, end: start });
        }
        at += length;
        before = class;
    }
    if start < at {
        places.push(Word { start, end: at });
    }
    Tokens { text, places }
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

/// The classes of the bytes of ASCII; the others belong to characters of several.
const CLASSES: [Option<Class>; 256] = {
    let mut classes = [None; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        classes[byte as usize] = Some(match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'\'' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b' ' | b'\t'..=b'\r' | 0x1c..=0x1f => Class::Space,
            b'.' | b',' => Class::Mark,
            b'-' => Class::Hyphen,
            b'!'..=b'~' => Class::Symbol,
            _ => Class::Letter,
        });
        byte += 1;
    }
    classes
};

/// The class and the length of the character at `at`.
fn class_at(text: &str, at: usize) -> (Class, usize) {
    if let Some(class) = CLASSES[usize::from(text.as_bytes()[at])] {
        return (class, 1);
    }
    let letter = text[at..].chars().next().unwrap_or_default();
    (if is_space(letter) { Class::Space } else { Class::Letter }, letter.len_utf8())
}

/// White space as Python has it: Unicode's, and the four separators of ASCII.
fn is_space(letter: char) -> bool {
    letter.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&letter)
}

/// The words of a text in lower case, as summaries are compared: runs of letters and digits; a letter of Chinese or
/// Japanese, which put no spaces between words, is a word.
pub(crate) fn summary_words(text: &str) -> Tokens {
    let mut lower = padded(text);
    lower.make_ascii_lowercase();
    if let Some(places) = runs_of_alphanumerics(&lower) {
        return Tokens { text: lower, places };
    }
    let mut lower = text.to_lowercase();
    let mut places = Vec::with_capacity(lower.len() / 5);
    for word in Words::new(&lower) {
        let mut rest = word.start;
        for (at, letter) in word.text(&lower).char_indices().filter(|(_, letter)| is_whole_word(*letter)) {
            let start = word.start + at;
            let end = start + letter.len_utf8();
            places
                .extend([Word { start: rest, end: start }, Word { start, end }].iter().filter(|word| !word.is_empty()));
            rest = end;
        }
        places.extend(Some(Word { start: rest, end: word.end }).filter(|word| !word.is_empty()));
    }
    lower.push_str(PADDING);
    Tokens { text: lower, places }
}

/// The runs of letters and digits of a padded text whose ASCII is in lower case. `None` where it has upper case beyond
/// ASCII or a letter that is a whole word.
fn runs_of_alphanumerics(text: &str) -> Option<Vec<Word>> {
    let mut places = Vec::with_capacity(text.len() / 4);
    let (mut start, mut is_inside) = (0, false);
    // The last bit of the block before, and the bits of this one that its last character has.
    let (mut was_last, mut spilled) = (0, 0);
    for (number, chunk) in text.as_bytes().chunks(BLOCK).enumerate() {
        let mut block = [0; BLOCK];
        block[..chunk.len()].copy_from_slice(chunk);
        let (mut alphanumerics, mut others) = classes(&block);
        alphanumerics |= std::mem::take(&mut spilled);
        while others != 0 {
            let at = others.trailing_zeros();
            others &= others - 1;
            let Some(letter) = text.get(number * BLOCK + at as usize..).and_then(|rest| rest.chars().next()) else {
                // The middle of a character.
                continue;
            };
            if is_whole_word(letter) || !letter.to_lowercase().eq([letter]) {
                return None;
            }
            if letter.is_alphanumeric() {
                let bits = ((1_u128 << letter.len_utf8()) - 1) << at;
                alphanumerics |= bits as u64;
                spilled = (bits >> BLOCK) as u64;
            }
        }
        // A bit where a run begins or has just ended.
        let mut edges = alphanumerics ^ (alphanumerics << 1 | was_last);
        was_last = alphanumerics >> (BLOCK - 1);
        while edges != 0 {
            let at = number * BLOCK + edges.trailing_zeros() as usize;
            edges &= edges - 1;
            if is_inside {
                places.push(Word { start, end: at });
            }
            (start, is_inside) = (at, !is_inside);
        }
    }
    Some(places)
}

/// A bit for each letter and digit of lower ASCII, and one for each byte beyond ASCII. Eight bytes are looked at in one
/// go: a byte below 128 to which 128 less a bound is added has its highest bit set where it reaches the bound.
fn classes(block: &[u8; BLOCK]) -> (u64, u64) {
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    // The eight highest bits, side by side.
    let gathered = |highest: u64| (highest >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let (eights, _) = block.as_chunks::<8>();
    let (mut alphanumerics, mut others) = (0, 0);
    for (place, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        let reaches = |bound: u8| (eight & each(127)) + each(128 - bound);
        let found = reaches(b'0') & !reaches(b'9' + 1) | reaches(b'a') & !reaches(b'z' + 1);
        let other = eight & each(128);
        alphanumerics |= gathered(found & !other & each(128)) << (8 * place);
        others |= gathered(other) << (8 * place);
    }
    (alphanumerics, others)
}

/// Whether a letter is of Han, Hiragana or Katakana.
fn is_whole_word(letter: char) -> bool {
    matches!(u32::from(letter), 0x3005..=0x3007 | 0x3040..=0x30ff | 0x31f0..=0x31ff | 0x3400..=0x4dbf
        | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x20000..=0x323af)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Character by character.
    fn plain_words(text: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for letter in text.to_lowercase().chars() {
            match letter {
                _ if is_whole_word(letter) && letter.is_alphanumeric() => {
                    words.extend([letter.to_string(), String::new()]);
                }
                _ if letter.is_alphanumeric() => words.last_mut().into_iter().for_each(|word| word.push(letter)),
                _ => words.push(String::new()),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_found_eight_bytes_at_a_time_are_those_found_one_by_one(
            text in prop_oneof!["[a-zA-Z0-9 .'é–ß]{0,200}", "[a-c é]{60,70}", "[a zÉΣ日の々]{0,140}", any::<String>()]
        ) {
            let tokens = summary_words(&text);
            prop_assert_eq!(tokens.words().collect::<Vec<_>>(), plain_words(&text));
        }
    }
}
