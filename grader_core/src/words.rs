//! The words of a text: runs of letters and digits, without copying.

/// A word as its place in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Word {
    /// First byte.
    pub(crate) start: usize,
    /// First byte behind.
    pub(crate) end: usize,
}

impl Word {
    /// Whether it has no letter.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The letters of the word, which is one of `text`.
    pub(crate) fn text(self, text: &str) -> &str {
        &text[self.start..self.end]
    }

    /// Whether the word is `expected`, which is in lower case, whatever its own case.
    pub(crate) fn is(self, text: &str, expected: &str) -> bool {
        let word = self.text(text);
        match word.is_ascii() {
            true => word.eq_ignore_ascii_case(expected),
            false => word.chars().flat_map(char::to_lowercase).eq(expected.chars()),
        }
    }
}

/// Whether a letter is of a script that puts no spaces between words, or hangs particles on foreign ones as Korean does:
/// Chinese, Japanese, Korean, Thai, Lao, Burmese, Khmer.
pub(crate) fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{0e00}'..='\u{0eff}' | '\u{1000}'..='\u{109f}' | '\u{1100}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{2e80}'..='\u{9fff}' | '\u{ac00}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Reads words from left to right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'t> {
    text: &'t str,
    at: usize,
    by_script: bool,
}

impl<'t> Words<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self { text, at: 0, by_script: false }
    }

    /// Words that end, too, where letters without spaces between words begin or end: `答案是B` has two.
    pub(crate) fn by_script(text: &'t str) -> Self {
        Self { text, at: 0, by_script: true }
    }

    /// Goes on behind `at`, which is the end of a word.
    pub(crate) fn skip_to(&mut self, at: usize) {
        self.at = at;
    }

    fn is_unspaced(&self, at: usize) -> bool {
        self.by_script && self.text[at..].chars().next().is_some_and(is_unspaced)
    }

    /// Length of the letter or digit at `at`, 0 for anything else, and the length of that.
    fn letter(&self, at: usize) -> (usize, usize) {
        match self.text.as_bytes().get(at) {
            None => (0, 0),
            Some(byte) if byte.is_ascii() => (usize::from(byte.is_ascii_alphanumeric()), 1),
            Some(_) => {
                let letter = self.text[at..].chars().next().unwrap_or(' ');
                (if letter.is_alphanumeric() { letter.len_utf8() } else { 0 }, letter.len_utf8())
            }
        }
    }
}

impl Iterator for Words<'_> {
    type Item = Word;

    fn next(&mut self) -> Option<Word> {
        let bytes = self.text.as_bytes();
        loop {
            let rest = bytes.get(self.at..)?;
            self.at += rest.iter().take_while(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric()).count();
            let (letter, length) = self.letter(self.at);
            if length == 0 {
                return None;
            }
            if letter > 0 {
                break;
            }
            self.at += length;
        }
        let start = self.at;
        let is_unspaced = self.is_unspaced(start);
        loop {
            if !is_unspaced {
                self.at += bytes[self.at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            }
            let (letter, _) = self.letter(self.at);
            if letter == 0 || self.is_unspaced(self.at) != is_unspaced {
                return Some(Word { start, end: self.at });
            }
            self.at += letter;
        }
    }
}
