//! Numbers in mathematical writing, as tokens.

use crate::latex::{Reader, Token};
use crate::latex_names::THOUSANDS_MARKS;

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

    /// Reads a point: of a number without a digit before it, of an ellipsis, or of a sentence.
    pub(crate) fn point(&mut self) {
        if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) {
            let mut number = "0".to_owned();
            self.fraction(&mut number);
            return self.push(Token::Number(number));
        }
        if self.rest.starts_with("...") {
            self.skip(2);
            self.push(Token::Symbol("…".to_owned()));
        }
        self.skip(1);
    }
}
