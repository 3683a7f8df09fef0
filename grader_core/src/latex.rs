//! Tokens of mathematical writing, LaTeX or plain: what only styles (`\left`, `\displaystyle`, `$`, `\!`) is dropped, what
//! is written in several ways (`\times` and `*`, `\leq` and `<=`, `\pi` and `pi`) becomes one token.

use crate::latex_names::{CURRENCIES, FUNCTIONS, GREEK, PROSE, SUPERSCRIPTS, UNITS, is_symbolic};
use crate::numeral::vulgar;

/// A piece of mathematical writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Digits with at most one point and perhaps an exponent: `1.5e3`.
    Number(String),
    /// A decimal, and the digits behind it that repeat without end: `0.1` and `6`.
    Repeating(String, String),
    /// A variable: `x`, `alpha`.
    Symbol(String),
    /// One of `FUNCTIONS`.
    Function(&'static str),
    /// π, e, i or ∞, as `π`, `e`, `i`, `∞`.
    Constant(char),
    /// An operator or relation, as one character.
    Sign(char),
    /// `,` or `;`; "and" and "or" are commas.
    Separator(char),
    /// `(`, `[`, `⌊`, `⌈`; `S` for the brace of a set, `G` for the brace that groups.
    Open(char),
    /// The same for what closes.
    Close(char),
    /// `\frac`: two arguments follow.
    Fraction,
    /// `\binom`: two arguments follow.
    Binomial,
    /// `\sqrt`: perhaps an index, then an argument.
    Root,
    /// `sum` or `prod`, of an index: perhaps limits, then factors.
    Series(&'static str),
    /// A matrix begins.
    Begin,
    /// `&` in a matrix.
    Cell,
    /// `\\` in a matrix.
    Row,
    /// A matrix ends.
    End,
    /// Words, such as a unit.
    Text(String),
}

/// The tokens of `text`; `None` where it is prose or mathematics that is not understood.
pub(crate) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut reader =
        Reader { rest: text, tokens: Vec::new(), brackets: 0, matrices: 0, digits: 0, spaced: false, words: 0 };
    reader.read()?;
    Some(reader.tokens)
}

/// Reads a text from left to right.
pub(crate) struct Reader<'t> {
    pub(crate) rest: &'t str,
    pub(crate) tokens: Vec<Token>,
    /// How many brackets other than groups are open: a comma inside them separates.
    pub(crate) brackets: usize,
    pub(crate) matrices: usize,
    /// How many arguments of one digit may follow: `\frac12`.
    pub(crate) digits: usize,
    /// Whether a space stands before.
    pub(crate) spaced: bool,
    /// Words that were read as products of their letters; more than one is prose.
    words: usize,
}

impl<'t> Reader<'t> {
    fn read(&mut self) -> Option<()> {
        while let Some(first) = self.rest.chars().next() {
            if first.is_whitespace() || first == '~' {
                self.skip(first.len_utf8());
                self.spaced = true;
                continue;
            }
            match first {
                '\\' => self.command()?,
                '0'..='9' => self.number(),
                '.' => self.point(),
                letter if letter.is_alphabetic() && letter != 'π' => self.word()?,
                other => self.sign(other)?,
            }
            if !matches!(first, '0'..='9' | '\\') {
                self.digits = 0;
            }
            self.spaced = false;
        }
        Some(())
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    pub(crate) fn push(&mut self, token: Token) {
        self.tokens.push(token);
    }

    pub(crate) fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    pub(crate) fn leading(&self, is_part: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|character| !is_part(character)).unwrap_or(self.rest.len());
        &self.rest[..end]
    }

    /// Whether the last token can have a unit.
    pub(crate) fn is_behind_quantity(&self) -> bool {
        matches!(
            self.tokens.last(),
            Some(
                Token::Number(_)
                    | Token::Repeating(..)
                    | Token::Close(_)
                    | Token::Constant('π')
                    | Token::Text(_)
                    | Token::Sign('/')
            )
        )
    }

    fn word(&mut self) -> Option<()> {
        let run = self.leading(char::is_alphabetic);
        self.skip(run.len());
        let lower = run.to_lowercase();
        if run == "m" && self.rest.starts_with(['²', '³']) && self.is_behind_quantity() {
            self.push(Token::Text(lower));
            return Some(());
        }
        if !run.is_ascii() && run.contains(|letter| !is_symbolic(letter)) {
            return self.foreign(run);
        }
        if run.chars().count() == 1 {
            if matches!(run, "a" | "p") && self.is_behind_quantity() && self.take(".m") {
                let _ = self.half_of_day(&format!("{run}m"));
            } else if !self.is_scale_of_degrees(run) {
                self.letter(run);
            }
            return Some(());
        }
        if let Some(name) = FUNCTIONS.iter().find(|name| **name == lower) {
            self.push(Token::Function(name));
            return Some(());
        }
        if self.scaled(&lower) || self.half_of_day(&lower) {
            return Some(());
        }
        let is_upper = run.chars().all(char::is_uppercase);
        let is_unit = UNITS.contains(&lower.as_str()) || (self.spaced && run.chars().count() > 2);
        match lower.as_str() {
            "and" | "or" => self.push(Token::Separator(',')),
            "percent" | "percentage" | "pct" => self.push(Token::Sign('%')),
            "degree" | "degrees" | "deg" => self.push(Token::Sign('°')),
            "pi" => self.push(Token::Constant('π')),
            "infinity" | "inf" | "infty" | "oo" => self.push(Token::Constant('∞')),
            "sqrt" => self.push(Token::Root),
            _ if self.is_joint(run) => {
                self.push(Token::Separator(','));
                self.letter(&run[run.len() - 1..]);
            }
            _ if is_unit && self.is_behind_quantity() => self.push(Token::Text(lower)),
            "in" => self.push(Token::Sign('∈')),
            word if CURRENCIES.contains(&word) => {}
            _ if PROSE.contains(&lower.as_str()) && !is_upper => return None,
            // Few letters, or those of points, are factors.
            _ if !is_upper && (run.chars().count() > 4 || run.chars().count() > 2 && self.is_before_word()) => {
                return None;
            }
            _ => {
                self.words += usize::from(run.chars().count() > 2);
                run.char_indices().for_each(|(at, letter)| self.letter(&run[at..at + letter.len_utf8()]));
            }
        }
        (self.words < 2).then_some(())
    }

    /// Whether a run of letters right behind a number is what joins it to a name: `x=1orx=2`.
    fn is_joint(&self, run: &str) -> bool {
        let name = run.strip_prefix("or").or_else(|| run.strip_prefix("and"));
        let touches = !self.spaced && matches!(self.tokens.last(), Some(Token::Number(_) | Token::Close(_)));
        touches && name.is_some_and(|name| name.len() == 1)
    }

    fn is_before_word(&self) -> bool {
        let next = self.rest.trim_start();
        next.len() < self.rest.len() && next.starts_with(char::is_alphabetic)
    }

    pub(crate) fn letter(&mut self, letter: &str) {
        self.push(match letter {
            "e" => Token::Constant('e'),
            "i" => Token::Constant('i'),
            "π" => Token::Constant('π'),
            other => {
                let greek = GREEK.iter().find(|(greek, _)| !other.is_ascii() && *greek == other);
                Token::Symbol(greek.map_or(other, |(_, name)| name).to_owned())
            }
        });
    }

    fn sign(&mut self, sign: char) -> Option<()> {
        for (spelled, sign) in [("<=", '≤'), (">=", '≥'), ("!=", '≠'), ("==", '='), ("**", '^')] {
            if self.take(spelled) {
                self.push(Token::Sign(sign));
                return Some(());
            }
        }
        self.skip(sign.len_utf8());
        match sign {
            '$' | '€' | '£' | '¥' | '`' | '₹' => {}
            '−' | '–' | '‐' | '‑' | '‒' | '﹣' => self.push(Token::Sign('-')),
            '×' | '·' | '*' | '⋅' => self.push(Token::Sign('*')),
            '÷' | '/' | '⁄' | '∕' => self.push(Token::Sign('/')),
            '√' => self.push(Token::Root),
            '∑' => self.push(Token::Series("sum")),
            '∏' => self.push(Token::Series("prod")),
            'π' | '∞' => self.push(Token::Constant(sign)),
            _ if SUPERSCRIPTS.contains(&sign) => self.superscript(sign)?,
            '+' | '-' | '^' | '_' | '=' | '<' | '>' | '≤' | '≥' | '≠' | '≈' | '∈' | ':' | '!' | '%' | '°' | '∪'
            | '∩' | '∖' | '±' | '∓' | '|' => self.push(Token::Sign(sign)),
            '\'' | '’' | '′' => self.push(Token::Sign('\'')),
            '∅' | '…' => self.push(Token::Symbol(sign.to_string())),
            ',' | ';' => self.push(Token::Separator(sign)),
            '(' | '[' => self.open(sign),
            ')' | ']' => self.close(sign),
            '{' => self.push(Token::Open('G')),
            '}' => self.push(Token::Close('G')),
            '&' if self.matrices > 0 => self.push(Token::Cell),
            '&' => {}
            other => {
                let (top, bottom) = vulgar(other)?;
                let digits = |digits: &str| Token::Number(digits.to_owned());
                self.tokens.extend([Token::Fraction, digits(top), digits(bottom)]);
            }
        }
        Some(())
    }

    pub(crate) fn open(&mut self, kind: char) {
        self.brackets += 1;
        self.push(Token::Open(kind));
    }

    pub(crate) fn close(&mut self, kind: char) {
        self.brackets = self.brackets.saturating_sub(1);
        self.push(Token::Close(kind));
    }
}

/// The content of the group in braces that `text` begins with; braces inside it match, escaped ones do not count.
pub(crate) fn group(text: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return if byte == b'}' { text.get(1..at) } else { None };
        }
    }
    None
}
