//! The parts of an expression that stand on their own: numbers, names, functions, fractions, roots, brackets, matrices.

use crate::latex::Token;
use crate::maths_syntax::{Parser, joined, list_of, quotient};
use crate::maths_text::written;
use crate::maths_tree::Node;
use crate::maths_value::exact;
use crate::quantity::Quantity;

const NODE_LIMIT: usize = 4096;
/// Letters that before a bracket are functions, not factors.
const APPLIED: [&str; 7] = ["f", "g", "h", "F", "G", "P", "W"];

impl Parser<'_> {
    /// A part without operators.
    pub(crate) fn primary(&mut self) -> Option<Node> {
        let token = self.peek()?.clone();
        self.at += 1;
        self.nodes += 1;
        if self.nodes > NODE_LIMIT {
            return None;
        }
        match token {
            Token::Number(digits) => self.numeral(&digits),
            Token::Repeating(decimal, period) => repeating(&decimal, &period),
            Token::Symbol(name) => self.symbol(name),
            Token::Constant(constant) if constant == 'e' || constant == 'i' => {
                match self.peek() {
                    // `e_1` and `i_0` are no constants.
                    Some(Token::Sign('_')) => self.symbol(constant.to_string()),
                    _ => Some(Node::Constant(constant)),
                }
            }
            Token::Constant(constant) => Some(Node::Constant(constant)),
            Token::Function(name) => self.function(name),
            Token::Fraction => Some(quotient(self.argument()?, self.argument()?)),
            Token::Binomial => Some(Node::Call("binomial", vec![self.argument()?, self.argument()?])),
            Token::Root => self.root(),
            Token::Series(name) => self.series(name),
            Token::Open(kind) => self.bracketed(kind),
            Token::Sign('|') => self.absolute(),
            Token::Begin => self.nested(Self::matrix),
            Token::Text(text) => Some(Node::Text(text)),
            _ => None,
        }
    }

    fn numeral(&mut self, digits: &str) -> Option<Node> {
        if let Some(base) = self.subscript() {
            return Some(Node::Symbol(format!("{digits}_{}", base?)));
        }
        number(digits)
    }

    fn symbol(&mut self, mut name: String) -> Option<Node> {
        if let Some(subscript) = self.subscript() {
            name = format!("{name}_{}", subscript?);
        }
        while self.take_sign(&['\'']).is_some() {
            name.push('\'');
        }
        let is_applied = APPLIED.contains(&name.trim_end_matches('\'')) && self.peek() == Some(&Token::Open('('));
        if is_applied {
            self.at += 1;
            let arguments = self.nested(Self::sequence)?;
            if !self.take(&Token::Close(')')) {
                return None;
            }
            let arguments: Vec<String> = arguments.iter().map(written).collect();
            name = format!("{name}({})", arguments.join(","));
        }
        Some(Node::Symbol(name))
    }

    /// The text of a subscript; the outer `None` where there is none.
    fn subscript(&mut self) -> Option<Option<String>> {
        self.take_sign(&['_'])?;
        let mut text = String::new();
        let mut open = 0_usize;
        while let Some(token) = self.peek() {
            match token {
                Token::Open('G') => open += 1,
                Token::Close('G') => open = open.saturating_sub(1),
                Token::Number(part) | Token::Symbol(part) | Token::Text(part) => text.push_str(part),
                Token::Constant(sign) | Token::Sign(sign) | Token::Separator(sign) => text.push(*sign),
                _ => return Some(None),
            }
            self.at += 1;
            if open == 0 {
                return Some((!text.is_empty()).then_some(text));
            }
        }
        Some(None)
    }

    fn function(&mut self, name: &'static str) -> Option<Node> {
        let base = if self.take_sign(&['_']).is_some() { Some(self.argument()?) } else { None };
        let exponent = if self.take_sign(&['^']).is_some() { Some(self.nested(Self::exponent)?) } else { None };
        let mut arguments = match self.peek() {
            Some(Token::Open(kind)) => {
                let kind = *kind;
                self.at += 1;
                match self.bracketed(kind)? {
                    Node::Tuple(_, entries, _) | Node::List(entries) => entries,
                    node => vec![node],
                }
            }
            _ => {
                let mut factors = vec![self.nested(Self::signed)?];
                while self.is_factor() && !matches!(self.peek(), Some(Token::Function(_))) {
                    factors.push(self.power()?);
                }
                vec![joined(factors, Node::Product)?]
            }
        };
        arguments.extend(base);
        let is_inverse = exponent == Some(Node::Negative(Box::new(Node::Number(Quantity::whole(1)))));
        let inverse = [("sin", "arcsin"), ("cos", "arccos"), ("tan", "arctan")].into_iter().find(|pair| pair.0 == name);
        Some(match (exponent, inverse) {
            (Some(_), Some((_, inverse))) if is_inverse => Node::Call(inverse, arguments),
            (Some(exponent), _) => Node::Power(Box::new(Node::Call(name, arguments)), Box::new(exponent)),
            (None, _) => Node::Call(name, arguments),
        })
    }

    /// A group, or the one token that stands for it.
    pub(crate) fn argument(&mut self) -> Option<Node> {
        self.nested(Self::primary)
    }

    fn root(&mut self) -> Option<Node> {
        let index = if self.take(&Token::Open('[')) {
            let index = list_of(self.nested(Self::sequence)?)?;
            if !self.take(&Token::Close(']')) {
                return None;
            }
            index
        } else {
            Node::Number(Quantity::whole(2))
        };
        Some(Node::Call("root", vec![self.argument()?, index]))
    }

    fn bracketed(&mut self, kind: char) -> Option<Node> {
        let bars = std::mem::take(&mut self.bars);
        let entries = match self.peek() {
            Some(Token::Close('S')) if kind == 'S' => Vec::new(),
            _ => self.nested(Self::sequence)?,
        };
        self.bars = bars;
        let Some(Token::Close(close)) = self.peek().cloned() else { return None };
        self.at += 1;
        match (kind, close) {
            ('G', 'G') => list_of(entries),
            ('S', 'S') => Some(Node::Set(entries)),
            ('⌊', '⌊') => Some(Node::Call("floor", entries)),
            ('⌈', '⌈') => Some(Node::Call("ceil", entries)),
            ('(' | '[', ')' | ']') if entries.len() > 1 => Some(Node::Tuple(kind, entries, close)),
            ('(', ')') | ('[', ']') => list_of(entries),
            _ => None,
        }
    }

    fn absolute(&mut self) -> Option<Node> {
        self.bars += 1;
        let inner = self.nested(Self::sum)?;
        self.bars -= 1;
        self.take(&Token::Sign('|')).then(|| Node::Call("abs", vec![inner]))
    }

    fn matrix(&mut self) -> Option<Node> {
        let mut rows = vec![Vec::new()];
        loop {
            match self.peek()? {
                Token::Cell => self.at += 1,
                Token::Row => {
                    self.at += 1;
                    rows.push(Vec::new());
                }
                Token::End => {
                    self.at += 1;
                    rows.retain(|row| !row.is_empty());
                    return (!rows.is_empty()).then_some(Node::Matrix(rows));
                }
                _ => {
                    let entry = self.item()?;
                    rows.last_mut()?.push(entry);
                }
            }
        }
    }
}

/// A number as it is written: `1.5e3`.
fn number(digits: &str) -> Option<Node> {
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    match Quantity::from_decimal(mantissa, exponent.parse().ok()?) {
        Some(amount) if amount.is_exact() => Some(Node::Number(amount)),
        _ => Some(Node::Long(digits.to_owned())),
    }
}

/// A decimal whose last digits repeat without end: 0.1666... is 0.1 + 6/90.
fn repeating(decimal: &str, period: &str) -> Option<Node> {
    let places = decimal.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    let bottom = "9".repeat(period.len()) + &"0".repeat(places);
    let sum = Node::Sum(vec![number(decimal)?, quotient(number(period)?, number(&bottom)?)]);
    Some(exact(&sum).map_or(sum, Node::Number))
}
