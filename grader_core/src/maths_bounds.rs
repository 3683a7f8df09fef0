//! Bounds of a name, `0 < x ≤ 1`, as the numbers between them: an interval, for an absolute value perhaps two.

use crate::maths_equal::is_name;
use crate::maths_tree::Node;
use crate::maths_value::{Point, value};

/// The signs of bounds.
pub(crate) const BOUNDS: [char; 4] = ['<', '>', '≤', '≥'];

/// An end of an interval.
#[derive(Clone)]
struct End {
    at: Node,
    is_open: bool,
}

impl End {
    fn new(at: &Node, sign: char) -> Self {
        Self { at: at.clone(), is_open: matches!(sign, '<' | '>') }
    }

    /// The same end on the other side of zero.
    fn mirrored(&self) -> Self {
        Self { at: Node::Negative(Box::new(self.at.clone())), is_open: self.is_open }
    }

    fn is_negative(&self) -> Option<bool> {
        Some(value(&self.at, &Point::constant())?.as_real()? < 0.0)
    }
}

/// The numbers that bounds of a name describe: `0 < x ≤ 1`, `x > 5`, `5 < |x|`.
pub(crate) fn interval(sides: &[Node], signs: &[char]) -> Option<Node> {
    let (name, low, high) = match (sides, signs) {
        ([low, name, high], [first, second]) if is_name(name) => match (first, second) {
            ('<' | '≤', '<' | '≤') => (name, Some(End::new(low, *first)), Some(End::new(high, *second))),
            ('>' | '≥', '>' | '≥') => (name, Some(End::new(high, *second)), Some(End::new(low, *first))),
            _ => return None,
        },
        ([name, bound], [sign]) if is_name(name) => below_or_above(name, bound, *sign),
        ([bound, name], [sign]) if is_name(name) => below_or_above(name, bound, turned(*sign)),
        _ => return None,
    };
    if low.iter().chain(&high).any(|end| end.at.has_symbols()) {
        return None;
    }
    match name {
        Node::Call("abs", inner) if matches!(inner.as_slice(), [Node::Symbol(_)]) => on_either_side(low, high),
        _ => Some(between(low, high)),
    }
}

fn below_or_above<'n>(name: &'n Node, bound: &Node, sign: char) -> (&'n Node, Option<End>, Option<End>) {
    let end = Some(End::new(bound, sign));
    if matches!(sign, '<' | '≤') { (name, None, end) } else { (name, end, None) }
}

/// The interval between two ends, infinite where one is missing.
fn between(low: Option<End>, high: Option<End>) -> Node {
    let infinite = || End { at: Node::Constant('∞'), is_open: true };
    let low = low.unwrap_or_else(|| infinite().mirrored());
    let high = high.unwrap_or_else(infinite);
    let (open, close) = (if low.is_open { '(' } else { '[' }, if high.is_open { ')' } else { ']' });
    Node::Tuple(open, vec![low.at, high.at], close)
}

/// What an absolute value between two ends describes; `None` where an end is not known to be zero or more.
fn on_either_side(low: Option<End>, high: Option<End>) -> Option<Node> {
    if low.iter().chain(&high).any(|end| end.is_negative() != Some(false)) {
        return None;
    }
    let mirrored = |end: &Option<End>| end.as_ref().map(End::mirrored);
    Some(match &low {
        Some(_) => Node::Sets('∪', vec![between(mirrored(&high), mirrored(&low)), between(low, high)]),
        None => between(mirrored(&high), high),
    })
}

/// The relation read from right to left.
pub(crate) fn turned(sign: char) -> char {
    match sign {
        '<' => '>',
        '>' => '<',
        '≤' => '≥',
        '≥' => '≤',
        other => other,
    }
}
