//! LaTeX commands, what begins with a backslash, as tokens.

use crate::latex::{Reader, Token, group};
use crate::latex_names::{ACCENTS, FUNCTIONS, MATRICES, NOT_UNDERSTOOD, STYLES, TEXTS, token_of};
use crate::maths_units::is_unit_name;

impl Reader<'_> {
    /// Reads the command that follows.
    pub(crate) fn command(&mut self) -> Option<()> {
        self.skip(1);
        let name = self.leading(|letter| letter.is_ascii_alphabetic());
        if name.is_empty() {
            self.escaped();
            return Some(());
        }
        self.skip(name.len());
        if let Some(function) = FUNCTIONS.iter().find(|function| **function == name) {
            self.push(Token::Function(function));
        } else if name == "mathbb" {
            self.blackboard();
        } else if ACCENTS.contains(&name) {
            self.accent(name);
        } else if STYLES.contains(&name) {
            // `\left.` and `\right.` are brackets that are not there.
            let _ = matches!(name, "left" | "right") && self.take(".");
        } else if TEXTS.contains(&name) {
            self.text();
        } else if NOT_UNDERSTOOD.contains(&name) {
            return None;
        } else if matches!(name, "begin" | "end") {
            return self.environment(name == "begin");
        } else {
            self.named(name);
        }
        Some(())
    }

    /// What a backslash makes of a sign.
    fn escaped(&mut self) {
        let Some(sign) = self.rest.chars().next() else { return };
        let names = |next: char| next.is_ascii_alphabetic() || matches!(next, '{' | '}' | '%');
        if sign == '\\' && self.matrices == 0 && self.rest[1..].starts_with(names) {
            // A backslash written twice, as escaped text has it.
            return;
        }
        self.skip(sign.len_utf8());
        match sign {
            '{' => self.open('S'),
            '}' => self.close('S'),
            '%' => self.push(Token::Sign('%')),
            '|' => self.push(Token::Sign('|')),
            '\\' if self.matrices > 0 => self.push(Token::Row),
            _ => self.spaced = true,
        }
    }

    /// An accent over letters is part of a name; over numbers it makes something else of them: a name of its own.
    fn accent(&mut self, name: &str) {
        let rest = self.rest.trim_start();
        let content = match group(rest) {
            Some(content) => content,
            None if rest.starts_with(|next: char| next.is_ascii_digit()) => &rest[..1],
            None => return,
        };
        if content.contains(|sign: char| sign.is_ascii_digit()) && !content.contains('_') {
            self.rest = &rest[content.len() + if rest.starts_with('{') { 2 } else { 0 }..];
            self.push(Token::Symbol(format!("{name}({})", content.replace(' ', ""))));
        }
    }

    /// The real numbers; other letters stay letters.
    fn blackboard(&mut self) {
        let rest = self.rest.trim_start();
        if let Some(rest) = rest.strip_prefix("{R}").or_else(|| rest.strip_prefix('R')) {
            self.rest = rest;
            self.push(Token::Symbol("ℝ".to_owned()));
        }
    }

    fn named(&mut self, name: &str) {
        if matches!(name, "frac" | "dfrac" | "tfrac" | "cfrac" | "binom" | "dbinom" | "tbinom") {
            self.digits = 2;
        }
        match token_of(name) {
            Token::Open(kind) => self.open(kind),
            Token::Close(kind) => self.close(kind),
            token => self.push(token),
        }
    }

    /// The text in the group that follows: a unit, a word that joins answers, a letter.
    fn text(&mut self) {
        self.rest = self.rest.trim_start();
        let Some(content) = group(self.rest) else { return };
        if content.trim_start().starts_with(|first: char| first.is_ascii_digit()) {
            // An amount with its unit: the group is read like any other.
            return;
        }
        self.skip(content.len() + 2);
        let word = content.trim().trim_matches(['(', ')', '.', '\\', '~']).trim();
        let lower = word.to_lowercase();
        match lower.trim_matches([',', ' ']) {
            "" => {}
            "and" | "or" => self.push(Token::Separator(',')),
            "percent" | "percentage" | "pct" | "\\%" | "%" => self.push(Token::Sign('%')),
            "degrees" | "degree" => self.push(Token::Sign('°')),
            "pi" => self.push(Token::Constant('π')),
            _ if self.is_scale_of_degrees(word) => {}
            _ if self.scaled(&lower) || self.half_of_day(&lower) => {}
            _ if is_unit_name(word) && self.is_behind_quantity() => self.push(Token::Text(lower)),
            _ if word.chars().count() == 1 && !word.starts_with(|sign: char| sign.is_ascii_digit()) => {
                self.letter(word)
            }
            name => match FUNCTIONS.iter().find(|function| **function == name) {
                Some(function) => self.push(Token::Function(function)),
                None => self.push(Token::Text(lower)),
            },
        }
    }

    fn environment(&mut self, begins: bool) -> Option<()> {
        let name = group(self.rest)?;
        self.skip(name.len() + 2);
        if !MATRICES.contains(&name) {
            return (name != "cases").then_some(());
        }
        // Bars around a matrix are its determinant, a factor like others.
        let is_determinant = name == "vmatrix";
        if is_determinant && begins {
            self.push(Token::Function("det"));
            self.open('(');
        }
        if begins && name == "array" {
            let columns = group(self.rest)?;
            self.skip(columns.len() + 2);
        }
        self.matrices = if begins { self.matrices + 1 } else { self.matrices.checked_sub(1)? };
        self.brackets = if begins { self.brackets + 1 } else { self.brackets.saturating_sub(1) };
        self.push(if begins { Token::Begin } else { Token::End });
        if is_determinant && !begins {
            self.close(')');
        }
        Some(())
    }
}
