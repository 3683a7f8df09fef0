//! A mathematical answer as a tree: what the writing means before it is evaluated. Precedence climbs from lists over
//! relations, ratios, unions, sums and products to powers. Depth and number of nodes are bounded: whatever is beyond is
//! no answer.

use crate::latex::{Token, tokens};
use crate::maths_tree::Node;

/// Longest answer that is read, in bytes.
pub(crate) const LONGEST: usize = 4096;
const DEPTH_LIMIT: usize = 64;
const RELATIONS: [char; 8] = ['=', '<', '>', '≤', '≥', '≠', '≈', '∈'];
/// The tree of `text`; `None` where it is no mathematics that is understood.
pub(crate) fn parse(text: &str) -> Option<Node> {
    if text.len() > LONGEST {
        return None;
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, nodes: 0, bars: 0 };
    let nodes = parser.sequence()?;
    (parser.at == tokens.len()).then(|| list_of(nodes)).flatten()
}

pub(crate) fn list_of(mut nodes: Vec<Node>) -> Option<Node> {
    if nodes.len() < 2 { nodes.pop() } else { Some(Node::List(nodes)) }
}

pub(crate) fn quotient(top: Node, bottom: Node) -> Node {
    Node::Product(vec![top, Node::Inverse(Box::new(bottom))])
}

/// Joins nodes that stand beside each other; one alone stays itself.
pub(crate) fn joined(mut nodes: Vec<Node>, join: impl FnOnce(Vec<Node>) -> Node) -> Option<Node> {
    if nodes.len() < 2 { nodes.pop() } else { Some(join(nodes)) }
}

/// Reads tokens from left to right.
pub(crate) struct Parser<'t> {
    tokens: &'t [Token],
    pub(crate) at: usize,
    depth: usize,
    pub(crate) nodes: usize,
    /// How many `|` are open; the next one closes.
    pub(crate) bars: usize,
}

impl Parser<'_> {
    pub(crate) fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    pub(crate) fn take(&mut self, token: &Token) -> bool {
        let found = self.peek() == Some(token);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn take_sign(&mut self, signs: &[char]) -> Option<char> {
        match self.peek() {
            Some(Token::Sign(sign)) if signs.contains(sign) => {
                let sign = *sign;
                self.at += 1;
                Some(sign)
            }
            _ => None,
        }
    }

    pub(crate) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        if self.depth > DEPTH_LIMIT {
            return None;
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Entries up to a closing bracket or the end. Semicolons separate more strongly than commas.
    pub(crate) fn sequence(&mut self) -> Option<Vec<Node>> {
        let mut groups: Vec<Vec<Node>> = vec![Vec::new()];
        loop {
            groups.last_mut()?.push(self.item()?);
            let mut mark = None;
            while let Some(Token::Separator(sign)) = self.peek() {
                mark = mark.max(Some(*sign));
                self.at += 1;
            }
            if mark.is_none() || matches!(self.peek(), None | Some(Token::Close(_))) {
                break;
            }
            if mark == Some(';') {
                groups.push(Vec::new());
            }
        }
        if groups.len() == 1 {
            return groups.pop();
        }
        groups.into_iter().map(|group| joined(group, |entries| Node::Tuple('(', entries, ')'))).collect()
    }

    pub(crate) fn item(&mut self) -> Option<Node> {
        // `= 5` and `≈ 5` answer 5.
        while self.take_sign(&['=', '≈']).is_some() {}
        let mut sides = vec![self.ratio()?];
        let mut signs = Vec::new();
        while let Some(sign) = self.take_sign(&RELATIONS) {
            signs.push(sign);
            sides.push(self.ratio()?);
        }
        joined(sides, |sides| Node::Relation(sides, signs))
    }

    fn ratio(&mut self) -> Option<Node> {
        let mut parts = vec![self.sets()?];
        while self.take_sign(&[':']).is_some() {
            parts.push(self.sets()?);
        }
        joined(parts, Node::Ratio)
    }

    fn sets(&mut self) -> Option<Node> {
        let mut sets = vec![self.sum()?];
        let mut join = None;
        while let Some(sign) = self.take_sign(&['∪', '∩', '∖']) {
            if join.is_some_and(|join| join != sign) {
                return None;
            }
            join = Some(sign);
            sets.push(self.sum()?);
        }
        joined(sets, |sets| Node::Sets(join.unwrap_or('∪'), sets))
    }

    pub(crate) fn sum(&mut self) -> Option<Node> {
        let mut terms = vec![self.product()?];
        while let Some(sign) = self.take_sign(&['+', '-', '±', '∓']) {
            let term = Box::new(self.product()?);
            terms.push(match sign {
                '+' => *term,
                '-' => Node::Negative(term),
                _ => Node::PlusMinus(term, sign == '±'),
            });
        }
        joined(terms, Node::Sum)
    }

    /// Factors, a sign before all of them.
    pub(crate) fn product(&mut self) -> Option<Node> {
        if let Some(sign) = self.take_sign(&['+', '-', '±', '∓']) {
            let product = Box::new(self.nested(Self::product)?);
            return Some(match sign {
                '+' => *product,
                '-' => Node::Negative(product),
                _ => Node::PlusMinus(product, sign == '±'),
            });
        }
        let mut factors = vec![self.power()?];
        loop {
            if self.take_sign(&['*']).is_some() {
                factors.push(self.signed()?);
            } else if self.take_sign(&['⁒']).is_some() {
                let dividend = joined(std::mem::take(&mut factors), Node::Product)?;
                if matches!(dividend, Node::Call("mod", _)) {
                    // One in another, as deep as the text is long.
                    return None;
                }
                factors.push(Node::Call("mod", vec![dividend, self.signed()?]));
            } else if self.take_sign(&['/']).is_some() {
                if !matches!(self.peek(), Some(Token::Text(_))) {
                    factors.push(Node::Inverse(Box::new(self.signed()?)));
                }
            } else if matches!(self.peek(), Some(Token::Text(_))) {
                self.unit()?;
                // `3 hours 20 minutes` is no product.
                if matches!(self.peek(), Some(Token::Number(_))) {
                    return None;
                }
            } else if self.is_factor() {
                self.beside(&mut factors)?;
            } else {
                return joined(factors, Node::Product);
            }
        }
    }

    /// Steps over a unit and its power.
    fn unit(&mut self) -> Option<()> {
        self.at += 1;
        if self.take_sign(&['^']).is_some() {
            self.nested(Self::exponent)?;
        }
        Some(())
    }

    /// A factor without an operator before it; behind a whole number a fraction makes a mixed number.
    fn beside(&mut self, factors: &mut Vec<Node>) -> Option<()> {
        let behind_number = matches!(self.tokens.get(self.at.checked_sub(1)?), Some(Token::Number(_)));
        let is_whole = |node: Option<&Node>| matches!(node, Some(Node::Number(number)) if number.is_whole());
        let mixes = behind_number && factors.len() == 1 && is_whole(factors.first());
        let is_fraction = matches!(self.peek(), Some(Token::Fraction));
        let is_number = matches!(self.peek(), Some(Token::Number(_)));
        let mut next = self.power()?;
        if behind_number && is_number {
            if !mixes || self.take_sign(&['/']).is_none() {
                return None;
            }
            next = quotient(next, self.power()?);
        }
        let is_proper = match &next {
            Node::Product(parts) => match parts.as_slice() {
                [top, Node::Inverse(bottom)] => is_whole(Some(top)) && is_whole(Some(bottom)),
                _ => false,
            },
            _ => false,
        };
        if mixes && is_proper && (is_fraction || is_number) {
            let whole = factors.pop()?;
            factors.push(Node::Sum(vec![whole, next]));
            return Some(());
        }
        factors.push(next);
        Some(())
    }

    pub(crate) fn is_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Sign(sign)) => *sign == '|' && self.bars == 0,
            Some(
                Token::Number(_)
                | Token::Repeating(..)
                | Token::Symbol(_)
                | Token::Function(_)
                | Token::Constant(_)
                | Token::Open(_)
                | Token::Fraction
                | Token::Binomial
                | Token::Root
                | Token::Series(_)
                | Token::Begin,
            ) => true,
            _ => false,
        }
    }

    pub(crate) fn signed(&mut self) -> Option<Node> {
        match self.take_sign(&['+', '-']) {
            Some('-') => Some(Node::Negative(Box::new(self.nested(Self::signed)?))),
            Some(_) => self.nested(Self::signed),
            None => self.power(),
        }
    }

    pub(crate) fn power(&mut self) -> Option<Node> {
        let primary = self.primary()?;
        let mut base = self.postfix(primary)?;
        if self.take_sign(&['^']).is_some() {
            let degree = [Token::Open('G'), Token::Sign('°'), Token::Close('G')];
            if self.take_sign(&['°']).is_some() {
                base = Node::Degree(Box::new(base));
            } else if self.tokens[self.at..].starts_with(&degree) {
                self.at += degree.len();
                base = Node::Degree(Box::new(base));
            } else {
                base = Node::Power(Box::new(base), Box::new(self.nested(Self::exponent)?));
            }
        }
        self.postfix(base)
    }

    pub(crate) fn exponent(&mut self) -> Option<Node> {
        match self.take_sign(&['+', '-', '\'']) {
            Some('-') => Some(Node::Negative(Box::new(self.nested(Self::exponent)?))),
            Some('\'') => Some(Node::Symbol("'".to_owned())),
            Some(_) => self.nested(Self::exponent),
            None => self.power(),
        }
    }

    fn postfix(&mut self, mut base: Node) -> Option<Node> {
        for _ in 0..4 {
            match self.take_sign(&['!', '%', '°']) {
                Some('!') => base = Node::Call("factorial", vec![base]),
                Some('%') => base = Node::Percent(Box::new(base)),
                Some(_) => base = Node::Degree(Box::new(base)),
                None => return Some(base),
            }
        }
        None
    }
}
