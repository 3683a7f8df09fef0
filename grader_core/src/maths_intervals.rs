//! Arithmetic of sets of numbers: unions, intersections and differences of intervals and points, `[1,2] ∪ [2,3]`, as the
//! shortest union. Only where all ends are exact or infinite; other sets stay as they are written.

use std::cmp::Ordering;

use crate::maths_tree::Node;
use crate::maths_value::exact;
use crate::quantity::Quantity;

/// Pieces of two sets that are compared with each other.
const PIECES: usize = 4096;

/// An end: before or behind all numbers, or right before or right behind one; `true` for behind.
#[derive(Debug, Clone, Copy)]
enum End {
    Before,
    At(Quantity, bool),
    Behind,
}

impl End {
    fn compare(&self, other: &Self) -> Option<Ordering> {
        Some(match (self, other) {
            (Self::Before, Self::Before) | (Self::Behind, Self::Behind) => Ordering::Equal,
            (Self::Before, _) | (_, Self::Behind) => Ordering::Less,
            (_, Self::Before) | (Self::Behind, _) => Ordering::Greater,
            (Self::At(left, behind_left), Self::At(right, behind_right)) => {
                let difference = left.plus(right.negated())?.reduced()?.approximate();
                difference.partial_cmp(&0.0)?.then(behind_left.cmp(behind_right))
            }
        })
    }

    fn is_before(&self, other: &Self) -> Option<bool> {
        Some(self.compare(other)?.is_lt())
    }
}

/// Numbers between two ends.
type Piece = (End, End);

/// The set as the shortest union of intervals and points; `None` where it is no such set or has ends that are not exact.
pub(crate) fn shortest(node: &Node) -> Option<Node> {
    match node {
        Node::Sets(..) => written_as_set(&pieces(node)?),
        Node::Symbol(name) if name == "ℝ" => written_as_set(&[(End::Before, End::Behind)]),
        Node::Symbol(name) if name == "∅" => Some(Node::Set(Vec::new())),
        _ => None,
    }
}

/// All numbers but one.
pub(crate) fn all_but(number: &Node) -> Option<Node> {
    let number = exact(number)?;
    written_as_set(&[(End::Before, End::At(number, false)), (End::At(number, true), End::Behind)])
}

/// The pieces of a set from left to right; they neither overlap nor touch.
fn pieces(node: &Node) -> Option<Vec<Piece>> {
    match node {
        Node::Symbol(name) if name == "ℝ" => Some(vec![(End::Before, End::Behind)]),
        Node::Symbol(name) if name == "∅" => Some(Vec::new()),
        Node::Set(numbers) => {
            let point = |number| exact(number).map(|number| (End::At(number, false), End::At(number, true)));
            merged(numbers.iter().map(point).collect::<Option<_>>()?)
        }
        Node::Tuple(open, ends, close) => {
            let [low, high] = ends.as_slice() else { return None };
            let (low, high) = (end(low, *open == '(')?, end(high, *close == ']')?);
            merged(vec![(low, high)])
        }
        Node::Sets('∪', sets) => {
            let all: Vec<Vec<Piece>> = sets.iter().map(pieces).collect::<Option<_>>()?;
            merged(all.concat())
        }
        Node::Sets(join, sets) => {
            let mut all = sets.iter().map(pieces);
            let first = all.next()??;
            all.try_fold(first, |set, next| {
                let next = next?;
                common(&set, &if *join == '∖' { complement(&next) } else { next })
            })
        }
        _ => None,
    }
}

/// The end that a node is; an infinite one has no bracket that includes it.
fn end(node: &Node, is_behind: bool) -> Option<End> {
    match node {
        Node::Constant('∞') => Some(End::Behind),
        Node::Negative(inner) if **inner == Node::Constant('∞') => Some(End::Before),
        number => Some(End::At(exact(number)?, is_behind)),
    }
}

fn merged(mut all: Vec<Piece>) -> Option<Vec<Piece>> {
    let mut comparable = true;
    all.sort_by(|left, right| {
        left.0.compare(&right.0).unwrap_or_else(|| {
            comparable = false;
            Ordering::Equal
        })
    });
    let mut merged: Vec<Piece> = Vec::new();
    for (low, high) in all {
        if !low.is_before(&high)? {
            continue;
        }
        match merged.last_mut() {
            Some((_, last)) if !last.is_before(&low)? => {
                if last.is_before(&high)? {
                    *last = high;
                }
            }
            _ => merged.push((low, high)),
        }
    }
    comparable.then_some(merged)
}

/// What is in no piece.
fn complement(pieces: &[Piece]) -> Vec<Piece> {
    let lows = std::iter::once(End::Before).chain(pieces.iter().map(|piece| piece.1));
    let highs = pieces.iter().map(|piece| piece.0).chain(std::iter::once(End::Behind));
    lows.zip(highs).filter(|(low, high)| low.is_before(high) == Some(true)).collect()
}

fn common(left: &[Piece], right: &[Piece]) -> Option<Vec<Piece>> {
    if left.len() * right.len() > PIECES {
        return None;
    }
    let mut all = Vec::new();
    for (low, high) in left {
        for (other_low, other_high) in right {
            let low = if low.is_before(other_low)? { other_low } else { low };
            let high = if high.is_before(other_high)? { high } else { other_high };
            all.push((*low, *high));
        }
    }
    merged(all)
}

fn written_as_set(pieces: &[Piece]) -> Option<Node> {
    let mut sets: Vec<Node> = pieces.iter().map(written_piece).collect();
    if sets.is_empty() {
        return Some(Node::Set(Vec::new()));
    }
    if sets.len() == 1 { sets.pop() } else { Some(Node::Sets('∪', sets)) }
}

fn written_piece((low, high): &Piece) -> Node {
    let infinite = || Node::Constant('∞');
    let node = |end: &End| match end {
        End::Before => Node::Negative(Box::new(infinite())),
        End::At(number, _) => Node::Number(*number),
        End::Behind => infinite(),
    };
    match (low, high) {
        (End::At(left, false), End::At(right, true)) if left == right => Node::Set(vec![Node::Number(*left)]),
        _ => {
            let open = if matches!(low, End::At(_, false)) { '[' } else { '(' };
            let close = if matches!(high, End::At(_, true)) { ']' } else { ')' };
            Node::Tuple(open, vec![node(low), node(high)], close)
        }
    }
}
