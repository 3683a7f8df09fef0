//! How numbers are written in running text: signs, thousands marks, currencies, percent, fractions, mixed numbers,
//! exponents. Digits that belong to a word (`x2`, `H2O`), a power (`10^2`), a version (`1.2.3`) or a date (`1/2/2024`)
//! are no numbers.

use crate::big_ratio::BigRatio;
use crate::quantity::Quantity;

/// Signs of currencies that may stand between a sign and its number.
pub(crate) const CURRENCIES: [char; 6] = ['$', '€', '£', '¥', '₹', '₩'];
/// Plus, and what is written for minus: hyphen, minus, figure and en dash among them.
const SIGNS: [char; 7] = ['+', '-', '−', '–', '‐', '‑', '‒'];
/// Words of currencies that may touch a number from the left.
const CURRENCY_WORDS: [&str; 12] = ["usd", "eur", "gbp", "inr", "jpy", "cny", "chf", "cad", "aud", "rs", "rm", "rmb"];
/// What may stand between two groups of three digits.
const THOUSANDS_MARKS: [&str; 9] = [",", "{,}", "\\,", "_", "'", "’", "\u{a0}", "\u{2009}", "\u{202f}"];
/// Fractions that are one character.
const VULGAR: &str = "½¼¾⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞";
const VULGAR_VALUES: [(&str, &str); 15] = [
    ("1", "2"),
    ("1", "4"),
    ("3", "4"),
    ("1", "3"),
    ("2", "3"),
    ("1", "5"),
    ("2", "5"),
    ("3", "5"),
    ("4", "5"),
    ("1", "6"),
    ("5", "6"),
    ("1", "8"),
    ("3", "8"),
    ("5", "8"),
    ("7", "8"),
];
/// LaTeX's fractions.
const LATEX_FRACTIONS: [&str; 3] = ["\\frac{", "\\dfrac{", "\\tfrac{"];
/// Exponents are cut to this many digits; longer ones are out of any range anyway.
const EXPONENT_DIGITS: usize = 9;

/// A number as it stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Numeral<'t> {
    /// First byte, sign and currency included.
    pub(crate) start: usize,
    /// First byte behind it, percent sign included.
    pub(crate) end: usize,
    negative: bool,
    /// Whole part of a mixed number.
    whole: Option<&'t str>,
    top: &'t str,
    bottom: Option<&'t str>,
    exponent: i64,
    percent: bool,
}

impl Numeral<'_> {
    /// The amount; `None` where it is not finite. A percent sign divides by 100 if `percent_as_fraction`, else it is
    /// ignored.
    pub(crate) fn value(&self, percent_as_fraction: bool) -> Option<Quantity> {
        let hundredth = if self.percent && percent_as_fraction { -2 } else { 0 };
        let mut value = Quantity::from_decimal(self.top, self.exponent + hundredth)?;
        if let Some(bottom) = self.bottom {
            value = value.divided_by(Quantity::from_decimal(bottom, 0)?)?;
        }
        if let Some(whole) = self.whole {
            value = value.plus(Quantity::from_decimal(whole, hundredth)?)?;
        }
        Some(if self.negative { value.negated() } else { value })
    }

    /// The same with all its digits, where these do not fit into a quantity.
    pub(crate) fn digits(&self, percent_as_fraction: bool) -> Option<BigRatio> {
        let hundredth = if self.percent && percent_as_fraction { -2 } else { 0 };
        let mut value = BigRatio::from_decimal(self.top, self.exponent + hundredth)?;
        if let Some(bottom) = self.bottom {
            value = value.times(&BigRatio::from_decimal(bottom, 0)?.inverse()?)?;
        }
        if let Some(whole) = self.whole {
            value = value.plus(&BigRatio::from_decimal(whole, hundredth)?)?;
        }
        Some(if self.negative { value.negated() } else { value })
    }
}

/// Numerator and denominator of a fraction that is one character.
pub(crate) fn vulgar(letter: char) -> Option<(&'static str, &'static str)> {
    VULGAR_VALUES.get(VULGAR.chars().position(|known| known == letter)?).copied()
}

/// All numbers of `text`, from left to right.
pub(crate) fn numerals(text: &str) -> impl Iterator<Item = Numeral<'_>> {
    Reader { text, at: 0 }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Iterator for Reader<'t> {
    type Item = Numeral<'t>;

    fn next(&mut self) -> Option<Numeral<'t>> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.at)?;
            let start = self.at;
            let found = match byte {
                b'0'..=b'9' => self.digits(),
                b'.' if self.is_digit(start + 1) && self.may_start_with_point() => self.digits(),
                b'\\' => self.latex_fraction(start).map(|(top, bottom, end)| self.fraction(start, top, bottom, end)),
                0xc2 | 0xe2 => self.vulgar(start).map(|(top, bottom, end)| self.fraction(start, top, bottom, end)),
                _ => None,
            };
            match found {
                Some(numeral) => {
                    self.at = numeral.end;
                    return Some(numeral);
                }
                // `digits` steps over what it refuses.
                None if self.at > start => {}
                None => self.at += 1,
            }
        }
    }
}

impl<'t> Reader<'t> {
    fn is_digit(&self, at: usize) -> bool {
        self.text.as_bytes().get(at).is_some_and(u8::is_ascii_digit)
    }

    /// `.5` is a number; in `Rs.500`, `10.5` and `...5` the point belongs to what is before it.
    fn may_start_with_point(&self) -> bool {
        let before = self.text.as_bytes().get(..self.at).and_then(<[u8]>::last);
        before.is_none_or(|before| !before.is_ascii_alphanumeric() && *before != b'.')
    }

    fn digits_end(&self, at: usize) -> usize {
        let rest = self.text.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn follows(&self, at: usize, what: &str) -> bool {
        self.text.as_bytes().get(at..).is_some_and(|rest| rest.starts_with(what.as_bytes()))
    }

    /// The number whose first digit or point is at `self.at`. Where there is none, `self.at` steps over the digits.
    fn digits(&mut self) -> Option<Numeral<'t>> {
        let start = self.at;
        let (top, end) = self.decimal(start);
        if self.belongs_to_word(start) {
            self.at = end;
            return None;
        }
        if self.follows(end, ".") && self.is_digit(end + 1) {
            self.at = self.chain_end(end, ".");
            return None;
        }
        let mut numeral = Numeral { top, ..self.fraction(start, top, None, end) };
        if let Some((bottom, end)) = self.denominator(end) {
            if self.follows(end, "/") && self.is_digit(end + 1) {
                self.at = self.chain_end(end, "/");
                return None;
            }
            numeral = self.fraction(start, top, Some(bottom), end);
        } else if let Some((top_of_rest, bottom, end)) = self.mixed_rest(top, end) {
            numeral = Numeral { whole: Some(top), ..self.fraction(start, top_of_rest, Some(bottom), end) };
        } else if let Some((exponent, end)) = self.exponent(end) {
            numeral = Numeral { exponent, ..self.fraction(start, top, None, end) };
        }
        Some(numeral)
    }

    /// A numeral with its sign and percent sign looked up around `start..end`.
    fn fraction(&self, start: usize, top: &'t str, bottom: impl Into<Option<&'t str>>, end: usize) -> Numeral<'t> {
        let (start, negative) = self.sign(start);
        let (end, percent) = self.percent(end);
        Numeral { start, end, negative, whole: None, top, bottom: bottom.into(), exponent: 0, percent }
    }

    /// Digits with thousands marks and a point, and where they end.
    fn decimal(&self, start: usize) -> (&'t str, usize) {
        let mut end = self.digits_end(start);
        let is_marked =
            self.text.as_bytes().get(end).is_some_and(|next| !next.is_ascii_alphanumeric() && !b" .\n".contains(next));
        if is_marked && (1..=3).contains(&(end - start)) && !self.follows(start, "0") {
            let is_group =
                |mark: &str| self.follows(end, mark) && self.digits_end(end + mark.len()) == end + mark.len() + 3;
            if let Some(mark) = THOUSANDS_MARKS.into_iter().find(|mark| is_group(mark)) {
                let step = mark.len() + 3;
                while self.follows(end, mark) && self.digits_end(end + mark.len()) == end + step {
                    end += step;
                }
            }
        }
        if self.follows(end, ".") && self.is_digit(end + 1) {
            end = self.digits_end(end + 1);
        }
        (&self.text[start..end], end)
    }

    /// The end of `end` followed by more `mark digits`.
    fn chain_end(&self, mut end: usize, mark: &str) -> usize {
        while self.follows(end, mark) && self.is_digit(end + 1) {
            end = self.digits_end(end + 1);
        }
        end
    }

    /// Whether the digits at `start` continue a word, or are an exponent or index.
    fn belongs_to_word(&self, start: usize) -> bool {
        let before = &self.text.as_bytes()[..start];
        match before {
            [.., b'^'] | [.., b'^' | b'_', b'{'] => true,
            // An index, unless the underscore is Markdown's emphasis.
            [.., left, b'_'] => left.is_ascii_alphanumeric() || matches!(left, b')' | b'}'),
            [.., last] if last.is_ascii_alphabetic() => {
                // A word that long names no currency and no command: the look back stays short.
                let letters = before.iter().rev().take(16).take_while(|byte| byte.is_ascii_alphabetic()).count();
                let word = &before[start - letters..];
                let is_command = before.len() > letters && before[start - letters - 1] == b'\\';
                !is_command && !CURRENCY_WORDS.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(word))
            }
            _ => false,
        }
    }

    /// Where the number starts when currency and sign before `start` are counted in, and whether it is negative.
    fn sign(&self, start: usize) -> (usize, bool) {
        let before = &self.text[..start];
        let unspaced = before.trim_end_matches(' ');
        let bare = unspaced.strip_suffix(CURRENCIES).map(|bare| bare.strip_suffix('\\').unwrap_or(bare));
        // A space may stand behind a currency sign only: in `5 - 3` the 3 is not negative.
        let bare = match bare {
            Some(bare) if before.len() - unspaced.len() <= 1 => bare,
            _ => before,
        };
        match bare.strip_suffix(SIGNS) {
            Some(left)
                if !left.ends_with(|last: char| {
                    last.is_alphanumeric() || matches!(last, ')' | ']' | '}' | '%' | '-' | '.')
                }) =>
            {
                (left.len(), !bare.ends_with('+'))
            }
            _ => (bare.len(), false),
        }
    }

    fn percent(&self, end: usize) -> (usize, bool) {
        let at = end + usize::from(self.follows(end, " "));
        if let Some(sign) = ["%", "\\%", "％"].into_iter().find(|sign| self.follows(at, sign)) {
            return (at + sign.len(), true);
        }
        let word = self.text.as_bytes().get(at..at + 7).unwrap_or_default();
        let is_word = at > end
            && word.eq_ignore_ascii_case(b"percent")
            && !self.text[at + 7..].starts_with(char::is_alphanumeric);
        if is_word { (at + 7, true) } else { (end, false) }
    }

    fn denominator(&self, end: usize) -> Option<(&'t str, usize)> {
        let slash = ["/", "⁄"].into_iter().find(|slash| self.follows(end, slash))?;
        let start = end + slash.len();
        self.is_digit(start).then(|| self.decimal(start))
    }

    /// The fraction of a mixed number whose whole part `whole` ends at `end`.
    fn mixed_rest(&self, whole: &str, end: usize) -> Option<(&'t str, &'t str, usize)> {
        if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let start = end + if self.follows(end, " ") { 1 } else { 0 };
        if let Some(rest) = self.vulgar(start).or_else(|| self.latex_fraction(start)) {
            return Some(rest);
        }
        if start == end || !self.is_digit(start) {
            return None;
        }
        let top_end = self.digits_end(start);
        let bottom_start = top_end + 1;
        let bottom_end = self.digits_end(bottom_start);
        if !self.follows(top_end, "/") || bottom_end == bottom_start || self.follows(bottom_end, "/") {
            return None;
        }
        let (top, bottom) = (&self.text[start..top_end], &self.text[bottom_start..bottom_end]);
        // `3 24/7` is two numbers: the fraction of a mixed number is below one.
        let is_proper = top.parse::<u32>().ok()? < bottom.parse::<u32>().ok()?;
        is_proper.then_some((top, bottom, bottom_end))
    }

    fn vulgar(&self, at: usize) -> Option<(&'t str, &'t str, usize)> {
        if !matches!(self.text.as_bytes().get(at), Some(0xc2 | 0xe2)) {
            return None;
        }
        let letter = self.text.get(at..)?.chars().next()?;
        let (top, bottom) = vulgar(letter)?;
        Some((top, bottom, at + letter.len_utf8()))
    }

    fn latex_fraction(&self, at: usize) -> Option<(&'t str, &'t str, usize)> {
        let command = LATEX_FRACTIONS.into_iter().find(|command| self.follows(at, command))?;
        let top = at + command.len();
        let top_end = self.digits_end(top);
        let bottom = top_end + 2;
        if top_end == top || !self.follows(top_end, "}{") || !self.is_digit(bottom) {
            return None;
        }
        let bottom_end = self.digits_end(bottom);
        self.follows(bottom_end, "}")
            .then(|| (&self.text[top..top_end], &self.text[bottom..bottom_end], bottom_end + 1))
    }

    /// `e5`, `E-3`, ` x 10^5`, `\times 10^{-3}` behind `end`.
    fn exponent(&self, end: usize) -> Option<(i64, usize)> {
        if self.follows(end, "e") || self.follows(end, "E") {
            let (exponent, behind) = self.signed_exponent(end + 1)?;
            let is_word = self.text[behind..].starts_with(|next: char| next.is_alphanumeric());
            return (!is_word).then_some((exponent, behind));
        }
        let at = end + usize::from(self.follows(end, " "));
        let times = ["×", "x", "*", "·", "\\times", "\\cdot"].into_iter().find(|times| self.follows(at, times))?;
        let at = at + times.len();
        let at = at + usize::from(self.follows(at, " "));
        if !self.follows(at, "10^") {
            return None;
        }
        if self.follows(at + 3, "{") {
            let (exponent, behind) = self.signed_exponent(at + 4)?;
            return self.follows(behind, "}").then_some((exponent, behind + 1));
        }
        self.signed_exponent(at + 3)
    }

    fn signed_exponent(&self, at: usize) -> Option<(i64, usize)> {
        let minus = ["-", "−"].into_iter().find(|minus| self.follows(at, minus));
        let start = at + minus.map_or_else(|| usize::from(self.follows(at, "+")), str::len);
        let end = self.digits_end(start);
        let digits = self.text.get(start..end.min(start + EXPONENT_DIGITS)).filter(|digits| !digits.is_empty())?;
        let exponent: i64 = digits.parse().ok()?;
        Some((if minus.is_some() { -exponent } else { exponent }, end))
    }
}
