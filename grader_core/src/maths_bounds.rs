//! Bounds of a name, `0 < x ≤ 1`, as the interval that they describe.

use crate::maths_equal::is_name;
use crate::maths_tree::Node;

/// The signs of bounds.
pub(crate) const BOUNDS: [char; 4] = ['<', '>', '≤', '≥'];

/// The interval that bounds of a name describe: `0 < x ≤ 1`, `x > 5`, `5 < x`.
pub(crate) fn interval(sides: &[Node], signs: &[char]) -> Option<Node> {
    let infinity = || Node::Constant('∞');
    let (low, high, low_sign, high_sign) = match (sides, signs) {
        ([low, name, high], [first, second]) if is_name(name) => match (first, second) {
            ('<' | '≤', '<' | '≤') => (low.clone(), high.clone(), *first, *second),
            ('>' | '≥', '>' | '≥') => (high.clone(), low.clone(), *second, *first),
            _ => return None,
        },
        ([name, bound], [sign]) if is_name(name) => below_or_above(bound.clone(), *sign, infinity),
        ([bound, name], [sign]) if is_name(name) => below_or_above(bound.clone(), turned(*sign), infinity),
        _ => return None,
    };
    if low.has_symbols() || high.has_symbols() {
        return None;
    }
    let open = if matches!(low_sign, '<' | '>') { '(' } else { '[' };
    let close = if matches!(high_sign, '<' | '>') { ')' } else { ']' };
    Some(Node::Tuple(open, vec![low, high], close))
}

fn below_or_above(bound: Node, sign: char, infinity: impl Fn() -> Node) -> (Node, Node, char, char) {
    match sign {
        '<' | '≤' => (Node::Negative(Box::new(infinity())), bound, '<', sign),
        _ => (bound, infinity(), sign, '<'),
    }
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
