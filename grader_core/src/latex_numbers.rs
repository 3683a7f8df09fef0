//! Numbers in mathematical writing, as tokens.

use crate::latex::{Reader, Token};
use crate::latex_names::{SUPERSCRIPTS, THOUSANDS_MARKS};

/// What stands over digits that repeat.
const LINES: [&str; 2] = ["\\overline", "\\bar"];

impl<'t> Reader<'t> {
    /// Reads the number that follows, thousands marks and exponent included.
    pub(crate) fn number(&mut self) {
        if self.digits > 0 {
            self.digits -= 1;
            let digit = &self.rest[..1];
            self.skip(1);
            return self.push(Token::Number(digit.to_owned()));
        }
        let run = self.leading(|character| character.is_ascii_digit());
        self.skip(run.len());
        let mut number = run.to_owned();
        if run.len() <= 3 && !run.starts_with('0') {
            while let Some(group) = self.thousands() {
                number.push_str(group);
            }
        }
        if self.rest.starts_with('.') && self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) {
            self.fraction(&mut number);
        }
        if let Some(period) = self.period(&mut number) {
            return self.push(Token::Repeating(number, period));
        }
        self.exponent(&mut number);
        self.push(Token::Number(number));
    }

    /// The three digits behind a thousands mark.
    fn thousands(&mut self) -> Option<&'t str> {
        let marks = THOUSANDS_MARKS.iter().find_map(|mark| self.rest.strip_prefix(mark));
        let mark = marks.or_else(|| self.braced_comma()).or_else(|| {
            let rest = self.rest.strip_prefix([',', ' '])?;
            (self.brackets == 0 || rest.starts_with('0') && self.rest.starts_with(',')).then_some(rest)
        })?;
        // `11,\! 111` has a space behind the mark.
        let group = if self.rest.starts_with(",\\!") { mark.trim_start() } else { mark };
        let digits = group.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 3 {
            return None;
        }
        self.rest = &group[3..];
        Some(&group[..3])
    }

    /// What follows a comma in braces, `{,}`, spaced or not.
    fn braced_comma(&self) -> Option<&'t str> {
        let inside = self.rest.trim_start_matches(' ').strip_prefix('{')?.trim_start_matches(' ').strip_prefix(',')?;
        inside.trim_start_matches(' ').strip_prefix('}')
    }

    fn fraction(&mut self, number: &mut String) {
        number.push('.');
        self.skip(1);
        let run = self.leading(|character| character.is_ascii_digit());
        self.skip(run.len());
        number.push_str(run);
    }

    /// The digits behind the point of `number` that repeat without end: under a line or a bar, from one dot to the next,
    /// or in brackets right behind the point of a whole number, where they are no factor.
    fn period(&mut self, number: &mut String) -> Option<String> {
        let is_whole = !number.contains('.');
        let rest = if is_whole { self.rest.strip_prefix('.')? } else { self.rest };
        let (before, period, rest) = repeating(rest).or_else(|| bracketed(rest).filter(|_| is_whole))?;
        if is_whole {
            number.push('.');
        }
        number.push_str(before);
        self.rest = rest;
        Some(period)
    }

    /// `e3` behind a number, where no power of e is meant.
    fn exponent(&mut self, number: &mut String) {
        let Some(behind) = self.rest.strip_prefix(['e', 'E']) else { return };
        let digits = behind.strip_prefix(['+', '-']).unwrap_or(behind);
        let count = digits.bytes().take_while(u8::is_ascii_digit).count();
        if (1..=4).contains(&count) {
            let length = self.rest.len() - digits.len() + count;
            number.push_str(&self.rest[..length].to_ascii_lowercase());
            self.skip(length);
        }
    }

    /// An exponent of raised digits, `x¹²`.
    pub(crate) fn superscript(&mut self, first: char) -> Option<()> {
        let is_negative = first == '⁻';
        let run = self.leading(|next| SUPERSCRIPTS.contains(&next));
        self.skip(run.len());
        let raised = (!is_negative).then_some(first).into_iter().chain(run.chars());
        let digit = |raised| SUPERSCRIPTS.iter().take(10).position(|known| *known == raised)?.try_into().ok();
        let digits: String = raised.map(|raised| char::from_digit(digit(raised)?, 10)).collect::<Option<_>>()?;
        if digits.is_empty() {
            return None;
        }
        self.tokens.extend([Token::Sign('^'), Token::Open('G')]);
        self.tokens.extend(is_negative.then_some(Token::Sign('-')));
        self.tokens.extend([Token::Number(digits), Token::Close('G')]);
        Some(())
    }

    /// Reads a point: of a number without a digit before it, of an ellipsis, or of a sentence.
    pub(crate) fn point(&mut self) {
        if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) {
            let mut number = "0".to_owned();
            self.fraction(&mut number);
            let period = self.period(&mut number);
            return self.push(period.map_or(Token::Number(number.clone()), |period| Token::Repeating(number, period)));
        }
        let mut number = "0".to_owned();
        if self.rest[1..].starts_with('\\')
            && let Some(period) = self.period(&mut number)
        {
            return self.push(Token::Repeating(number, period));
        }
        if self.rest.starts_with("...") {
            self.skip(2);
            self.push(Token::Symbol("…".to_owned()));
        }
        self.skip(1);
    }
}

/// What stands before the repeating digits that `text` begins with, these digits, and what follows them.
fn repeating(text: &str) -> Option<(&str, String, &str)> {
    let (before, text) = text.split_at(text.len() - text.trim_start_matches(|next: char| next.is_ascii_digit()).len());
    if let Some((digits, rest)) = LINES.iter().find_map(|line| accented(text, line)) {
        return Some((before, digits.to_owned(), rest));
    }
    let (first, rest) = accented(text, "\\dot")?;
    let behind = rest.trim_start_matches(|next: char| next.is_ascii_digit());
    let between = &rest[..rest.len() - behind.len()];
    Some(match accented(behind, "\\dot") {
        Some((last, behind)) => (before, [first, between, last].concat(), behind),
        None => (before, first.to_owned(), rest),
    })
}

/// The digits under the accent `command` that `text` begins with, `\bar{36}` or `\bar3`, and what follows them.
pub(crate) fn accented<'t>(text: &'t str, command: &str) -> Option<(&'t str, &'t str)> {
    let text = text.strip_prefix(command)?;
    let is_bare = !text.trim_start().starts_with('{');
    let inside = text.trim_start();
    let inside = inside.strip_prefix('{').unwrap_or(inside).trim_start();
    let count = inside.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = inside.split_at(if is_bare { count.min(1) } else { count });
    let rest = if is_bare { rest } else { rest.trim_start().strip_prefix('}')? };
    (!digits.is_empty()).then_some((digits, rest))
}

/// Digits in round brackets.
fn bracketed(text: &str) -> Option<(&str, String, &str)> {
    let (digits, rest) = text.strip_prefix('(')?.split_once(')')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| ("", digits.to_owned(), rest))
}
