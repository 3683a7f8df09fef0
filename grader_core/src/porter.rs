//! The Porter stemmer ("An algorithm for suffix stripping", 1980) with the later rules that nltk applies: short words in
//! -ies and -ied, a final y behind a consonant alone, -bli, -alli, -fulli and -logi, and a few irregular words.

/// Irregular words and their stems.
const IRREGULAR: [(&str, &str); 16] = [
    ("skies", "sky"),
    ("sky", "sky"),
    ("dying", "die"),
    ("lying", "lie"),
    ("tying", "tie"),
    ("news", "news"),
    ("innings", "inning"),
    ("inning", "inning"),
    ("outings", "outing"),
    ("outing", "outing"),
    ("cannings", "canning"),
    ("canning", "canning"),
    ("howe", "howe"),
    ("proceed", "proceed"),
    ("exceed", "exceed"),
    ("succeed", "succeed"),
];

/// Step 2, for stems of a measure above 0. The first suffix that fits decides, whether its stem is long enough or not.
const DOUBLE_SUFFIXES: [(&str, &str); 21] = [
    ("ational", "ate"),
    ("tional", "tion"),
    ("enci", "ence"),
    ("anci", "ance"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("alli", "al"),
    ("entli", "ent"),
    ("eli", "e"),
    ("ousli", "ous"),
    ("ization", "ize"),
    ("ation", "ate"),
    ("ator", "ate"),
    ("alism", "al"),
    ("iveness", "ive"),
    ("fulness", "ful"),
    ("ousness", "ous"),
    ("aliti", "al"),
    ("iviti", "ive"),
    ("biliti", "ble"),
    ("fulli", "ful"),
];

/// Step 3, for stems of a measure above 0.
const ADJECTIVE_SUFFIXES: [(&str, &str); 7] =
    [("icate", "ic"), ("ative", ""), ("alize", "al"), ("iciti", "ic"), ("ical", "ic"), ("ful", ""), ("ness", "")];

/// Step 4, for stems of a measure above 1.
const LAST_SUFFIXES: [(&str, &str); 20] = [
    ("al", ""),
    ("ance", ""),
    ("ence", ""),
    ("er", ""),
    ("ic", ""),
    ("able", ""),
    ("ible", ""),
    ("ant", ""),
    ("ement", ""),
    ("ment", ""),
    ("ent", ""),
    ("sion", "s"),
    ("tion", "t"),
    ("ou", ""),
    ("ism", ""),
    ("ate", ""),
    ("iti", ""),
    ("ous", ""),
    ("ive", ""),
    ("ize", ""),
];

/// The stem of a word in lower case.
pub(crate) fn stem(word: &str) -> String {
    if let Some((_, stem)) = IRREGULAR.iter().find(|(irregular, _)| *irregular == word) {
        return (*stem).to_owned();
    }
    let mut stem = Stem::new(word);
    if stem.letters.len() > 2 {
        stem.cut_plural();
        stem.cut_past_or_gerund();
        stem.turn_y();
        stem.cut_double_suffix();
        stem.replace_first(&ADJECTIVE_SUFFIXES, 0, 0);
        stem.cut_last_suffix();
        stem.tidy();
    }
    stem.letters.into_iter().collect()
}

/// A word on its way, and which of its letters are consonants.
struct Stem {
    letters: Vec<char>,
    consonants: Vec<bool>,
}

impl Stem {
    fn new(word: &str) -> Self {
        let mut stem = Self { letters: Vec::with_capacity(word.len()), consonants: Vec::with_capacity(word.len()) };
        stem.append(word);
        stem
    }

    fn append(&mut self, letters: &str) {
        for letter in letters.chars() {
            let is_consonant = match letter {
                'a' | 'e' | 'i' | 'o' | 'u' => false,
                'y' => self.consonants.last().is_none_or(|before| !before),
                _ => true,
            };
            self.letters.push(letter);
            self.consonants.push(is_consonant);
        }
    }

    fn cut(&mut self, count: usize) {
        let length = self.letters.len().saturating_sub(count);
        self.letters.truncate(length);
        self.consonants.truncate(length);
    }

    /// Length without `suffix`, which is of ASCII; `None` where the word does not end so.
    fn without(&self, suffix: &str) -> Option<usize> {
        let length = self.letters.len().checked_sub(suffix.len())?;
        self.letters[length..].iter().copied().eq(suffix.chars()).then_some(length)
    }

    /// How often a consonant follows a vowel in the first `length` letters.
    fn measure(&self, length: usize) -> usize {
        self.consonants[..length].windows(2).filter(|pair| !pair[0] && pair[1]).count()
    }

    /// Whether the first `length` letters end in consonant, vowel, consonant other than w, x, y, as in `hop`; or are
    /// vowel and consonant alone.
    fn ends_short(&self, length: usize) -> bool {
        match &self.consonants[..length] {
            [false, true] => true,
            [.., true, false, true] => !matches!(self.letters[length - 1], 'w' | 'x' | 'y'),
            _ => false,
        }
    }

    /// Replaces the first suffix that fits if the stem before it, and `kept` letters of it, has a measure above `least`.
    fn replace_first(&mut self, suffixes: &[(&str, &str)], kept: usize, least: usize) {
        let fitting = suffixes.iter().find_map(|(suffix, by)| Some((self.without(suffix)?, suffix, by)));
        if let Some((length, suffix, by)) = fitting
            && self.measure(length + kept) > least
        {
            self.cut(suffix.len());
            self.append(by);
        }
    }

    /// Step 1a.
    fn cut_plural(&mut self) {
        match (self.without("ies"), self.letters.as_slice()) {
            (Some(1), _) => self.cut(1),
            (Some(_), _) | (None, [.., 's', 's', 'e', 's']) => self.cut(2),
            (None, [.., 's', 's']) => {}
            (None, [.., 's']) => self.cut(1),
            _ => {}
        }
    }

    /// Step 1b.
    fn cut_past_or_gerund(&mut self) {
        if let Some(length) = self.without("ied") {
            return self.cut(if length == 1 { 1 } else { 2 });
        }
        if let Some(length) = self.without("eed") {
            return self.cut(usize::from(self.measure(length) > 0));
        }
        let has_vowel = |length: &usize| self.consonants[..*length].contains(&false);
        let Some(length) = self.without("ed").or_else(|| self.without("ing")).filter(has_vowel) else { return };
        self.cut(self.letters.len() - length);
        let is_consonant = self.consonants.last().is_some_and(|is_consonant| *is_consonant);
        match self.letters.as_slice() {
            [.., 'a', 't'] | [.., 'b', 'l'] | [.., 'i', 'z'] => self.append("e"),
            [.., before, last] if before == last && is_consonant => {
                let is_kept = matches!(last, 'l' | 's' | 'z');
                self.cut(usize::from(!is_kept));
            }
            _ if self.measure(length) == 1 && self.ends_short(length) => self.append("e"),
            _ => {}
        }
    }

    /// Step 1c.
    fn turn_y(&mut self) {
        if let (Some(2..), [.., true, _]) = (self.without("y"), self.consonants.as_slice()) {
            self.cut(1);
            self.append("i");
        }
    }

    fn cut_double_suffix(&mut self) {
        // -alli comes first, and what is left can have another suffix.
        if self.without("alli").is_some_and(|length| self.measure(length) > 0) {
            self.cut(2);
        }
        self.replace_first(&DOUBLE_SUFFIXES, 0, 0);
        self.replace_first(&[("logi", "log")], 1, 0);
    }

    fn cut_last_suffix(&mut self) {
        let keeps_letter = self.without("sion").is_some() || self.without("tion").is_some();
        self.replace_first(&LAST_SUFFIXES, usize::from(keeps_letter), 1);
    }

    /// Step 5.
    fn tidy(&mut self) {
        if let Some(length) = self.without("e") {
            let measure = self.measure(length);
            if measure > 1 || measure == 1 && !self.ends_short(length) {
                self.cut(1);
            }
        }
        if self.without("ll").is_some_and(|length| self.measure(length + 1) > 1) {
            self.cut(1);
        }
    }
}
