//! Sums and products over an index, `\sum_{k=0}^{n} a_k`. They are not calculated: two are equal where their limits read
//! the same and their terms are equal.

use crate::maths_syntax::Parser;
use crate::maths_text::written;
use crate::maths_tree::Node;

impl Parser<'_> {
    /// What follows `∑` or `∏`: the limits, then all factors.
    pub(crate) fn series(&mut self, name: &'static str) -> Option<Node> {
        let low = if self.take_sign(&['_']).is_some() { Some(self.argument()?) } else { None };
        let high = if self.take_sign(&['^']).is_some() { Some(self.argument()?) } else { None };
        let limits: Vec<String> = low.iter().chain(&high).map(written).collect();
        let terms = self.nested(Self::product)?;
        Some(Node::Call(name, vec![terms, Node::Symbol(limits.join(", "))]))
    }
}
