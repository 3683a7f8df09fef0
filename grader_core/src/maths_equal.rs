//! When two mathematical answers are the same. What only introduces an answer (`x =`, `x ∈`) is taken off, bounds become
//! intervals, `±` becomes two answers, matrices are calculated; then structures are compared entry by entry and
//! expressions by value.

use crate::maths_bounds::{BOUNDS, interval, turned};
use crate::maths_intervals::{all_but, shortest};
use crate::maths_matrix::calculated;
use crate::maths_text::written;
use crate::maths_tree::Node;
use crate::maths_value::{equal_values, proportion};

/// Entries of two sets whose texts differ are compared by value up to this number.
const PAIRED_LIMIT: usize = 32;

/// Whether two answers are the same.
pub(crate) fn equal(left: &Node, right: &Node) -> bool {
    if let (Node::Relation(left, left_signs), Node::Relation(right, right_signs)) = (left, right)
        && same_relations(left, left_signs, right, right_signs)
    {
        return true;
    }
    same(&settled(left), &settled(right))
}

/// An answer without what introduces it.
pub(crate) fn settled(node: &Node) -> Node {
    match node {
        Node::Relation(sides, signs) => settled_relation(sides, signs),
        Node::List(entries) => settled_list(entries),
        Node::Symbol(_) => shortest(node).unwrap_or_else(|| node.clone()),
        Node::Set(entries) => Node::Set(flat(entries)),
        Node::Tuple(open, entries, close) => Node::Tuple(*open, entries.iter().map(settled).collect(), *close),
        Node::Sets(join, sets) => {
            let sets = Node::Sets(*join, sets.iter().map(settled).collect());
            shortest(&sets).unwrap_or(sets)
        }
        Node::Matrix(_) | Node::Ratio(_) => node.clone(),
        other => match both_signs(other) {
            Some((plus, minus)) => Node::List(vec![plus, minus]),
            None => calculated(other).unwrap_or_else(|| other.clone()),
        },
    }
}

/// The entries settled, lists among them spread out.
fn flat(entries: &[Node]) -> Vec<Node> {
    let spread = |entry: &Node| match settled(entry) {
        Node::List(inner) => inner,
        other => vec![other],
    };
    entries.iter().flat_map(spread).collect()
}

/// `x < 1 or x > 3` is a union; other lists are their entries.
fn settled_list(entries: &[Node]) -> Node {
    let are_bounds = entries.iter().all(|entry| match entry {
        Node::Relation(_, signs) => signs.iter().all(|sign| BOUNDS.contains(sign)),
        _ => false,
    });
    let entries = flat(entries);
    let are_intervals = are_bounds && entries.iter().all(|entry| matches!(entry, Node::Tuple(..)));
    if !are_intervals {
        return Node::List(entries);
    }
    let sets = Node::Sets('∪', entries);
    shortest(&sets).unwrap_or(sets)
}

/// An expression with its `±` read as plus and as minus.
fn both_signs(node: &Node) -> Option<(Node, Node)> {
    let has_signs = node.any(&|node| matches!(node, Node::PlusMinus(..)));
    has_signs.then(|| (with_sign(node, true), with_sign(node, false)))
}

fn with_sign(node: &Node, upper: bool) -> Node {
    match node {
        Node::PlusMinus(inner, first) if *first == upper => with_sign(inner, upper),
        Node::PlusMinus(inner, _) => Node::Negative(Box::new(with_sign(inner, upper))),
        other => other.map(&|child| with_sign(child, upper)),
    }
}

fn settled_relation(sides: &[Node], signs: &[char]) -> Node {
    let relation = || Node::Relation(sides.to_vec(), signs.to_vec());
    let (Some(first), Some(last)) = (sides.first(), sides.last()) else { return relation() };
    if signs.iter().all(|sign| BOUNDS.contains(sign)) {
        return interval(sides, signs).unwrap_or_else(relation);
    }
    if let ([Node::Symbol(_), number], ['≠']) = (sides, signs) {
        return all_but(number).unwrap_or_else(relation);
    }
    if !signs.iter().all(|sign| matches!(sign, '=' | '≈' | '∈')) {
        return relation();
    }
    // Behind `≈` stands what was rounded, unless nothing exact stands before.
    let rounded = signs.iter().position(|sign| *sign == '≈').filter(|place| *place > 0);
    let answer = rounded.and_then(|place| sides.get(place)).unwrap_or(last);
    if is_name(first) || sides.len() > 2 || !first.has_symbols() && !answer.has_symbols() {
        return settled(answer);
    }
    if is_name(last) && !first.has_symbols() { settled(first) } else { relation() }
}

/// Whether a side of an equation names what the other side says: `x`, `f(x)`, `AB`, `|AB|`, `(p, q)`, `a : b`, `BO/NO`.
pub(crate) fn is_name(node: &Node) -> bool {
    match node {
        Node::Symbol(_) | Node::Text(_) => true,
        Node::Product(parts) | Node::Tuple(_, parts, _) | Node::Ratio(parts) | Node::Call(_, parts) => {
            parts.iter().all(is_name)
        }
        Node::Matrix(rows) => rows.iter().flatten().all(is_name),
        Node::Inverse(inner) | Node::Degree(inner) => is_name(inner),
        Node::Power(base, exponent) => is_name(base) && !exponent.has_symbols(),
        _ => false,
    }
}

/// Whether relations say the same: side by side, turned around, or multiplied by a constant.
fn same_relations(left: &[Node], left_signs: &[char], right: &[Node], right_signs: &[char]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    if left_signs == right_signs && same_lists(left, right) {
        return true;
    }
    let is_turned = left_signs.iter().copied().eq(right_signs.iter().rev().map(|sign| turned(*sign)));
    if is_turned && left.iter().zip(right.iter().rev()).all(|(left, right)| same(left, right)) {
        return true;
    }
    let ([left_sign], [right_sign]) = (left_signs, right_signs) else { return false };
    if [left_sign, right_sign].into_iter().any(|sign| matches!(sign, '≈' | '∈')) {
        return false;
    }
    let Some(factor) = proportion(&difference(left), &difference(right)) else { return false };
    *left_sign == if factor < 0.0 { turned(*right_sign) } else { *right_sign }
}

fn difference(sides: &[Node]) -> Node {
    let minus = |side: &Node| Node::Negative(Box::new(side.clone()));
    Node::Sum(sides.iter().take(1).cloned().chain(sides.iter().skip(1).map(minus)).collect())
}

/// Whether settled answers are the same.
fn same(left: &Node, right: &Node) -> bool {
    match (left, right) {
        (Node::List(left) | Node::Set(left), Node::List(right) | Node::Set(right)) => same_sets(left, right),
        (Node::Tuple(open, left, close), Node::Tuple(other_open, right, other_close)) => {
            // Brackets tell intervals apart; longer ones are lists, however written.
            let same_brackets = left.len() != 2 || (open, close) == (other_open, other_close);
            same_brackets && same_lists(left, right)
        }
        (Node::Tuple('(', tuple, ')'), Node::List(list)) | (Node::List(list), Node::Tuple('(', tuple, ')')) => {
            same_lists(tuple, list)
        }
        (Node::Sets(join, left), Node::Sets(other, right)) => {
            join == other && if *join == '∖' { same_lists(left, right) } else { same_sets(left, right) }
        }
        (Node::Matrix(left), Node::Matrix(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_lists(left, right))
        }
        (Node::Matrix(rows), Node::Tuple('(', entries, ')')) | (Node::Tuple('(', entries, ')'), Node::Matrix(rows)) => {
            let is_vector = rows.len() == 1 || rows.iter().all(|row| row.len() == 1);
            is_vector && same_lists(&rows.concat(), entries)
        }
        (Node::Relation(left, left_signs), Node::Relation(right, right_signs)) => {
            same_relations(left, left_signs, right, right_signs)
        }
        (Node::Ratio(left), Node::Ratio(right)) => same_lists(left, right) || same_ratios(left, right),
        // The only solution is the solution.
        (Node::Set(entries), other) | (other, Node::Set(entries)) if entries.len() == 1 => {
            entries.iter().all(|entry| same(entry, other))
        }
        (left, right) => is_scalar(left) && is_scalar(right) && same_scalars(left, right),
    }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(
        node,
        Node::List(_)
            | Node::Set(_)
            | Node::Tuple(..)
            | Node::Sets(..)
            | Node::Matrix(_)
            | Node::Relation(..)
            | Node::Ratio(_)
    )
}

fn same_lists(left: &[Node], right: &[Node]) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
}

/// `2:4` is `1:2`; where a part is zero only `same_lists` decides.
fn same_ratios(left: &[Node], right: &[Node]) -> bool {
    let zero = Node::Number(crate::quantity::Quantity::whole(0));
    if left.len() != right.len() || left.iter().chain(right).any(|part| same(part, &zero)) {
        return false;
    }
    let Some((first, other)) = left.first().zip(right.first()) else { return false };
    let product = |one: &Node, two: &Node| Node::Product(vec![one.clone(), two.clone()]);
    left.iter().zip(right).all(|(part, counterpart)| equal_values(&product(part, other), &product(counterpart, first)))
}

/// Whether each entry of either is among the other's.
fn same_sets(left: &[Node], right: &[Node]) -> bool {
    let texts = |nodes: &[Node]| nodes.iter().map(written).collect::<std::collections::BTreeSet<_>>();
    let (left_texts, right_texts) = (texts(left), texts(right));
    if left_texts == right_texts {
        return true;
    }
    if left_texts.len().max(right_texts.len()) > PAIRED_LIMIT {
        return false;
    }
    let within = |some: &[Node], all: &[Node]| some.iter().all(|one| all.iter().any(|other| same(one, other)));
    within(left, right) && within(right, left)
}

/// `50%` is both 1/2 and 50, as data sets have either.
fn same_scalars(left: &Node, right: &Node) -> bool {
    match (left, right) {
        (Node::Percent(left), Node::Percent(right)) => equal_values(left, right),
        (Node::Percent(hundredths), other) | (other, Node::Percent(hundredths)) => {
            equal_values(left, right) || equal_values(hundredths, other)
        }
        _ => equal_values(left, right),
    }
}
