//! Units of one letter in plain text, `15 m/s`: names like others, until an answer is compared with one that has none.

use crate::maths_syntax::joined;
use crate::maths_tree::Node;

/// Units that are one letter, ohms, and the halves of the day.
const NAMES: [&str; 20] =
    ["m", "g", "s", "h", "d", "l", "L", "N", "V", "A", "W", "J", "K", "C", "F", "T", "H", "Omega", "am", "pm"];

/// Whether a name can be a unit.
pub(crate) fn is_unit_name(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The amount without the units behind it; `None` where there are none, or nothing before them.
pub(crate) fn without_units(node: &Node) -> Option<Node> {
    match node {
        Node::Negative(inner) => Some(Node::Negative(Box::new(without_units(inner)?))),
        Node::Product(factors) => {
            let count = factors.iter().rev().take_while(|factor| is_unit(factor)).count();
            let amount = factors.get(..factors.len() - count).filter(|_| count > 0)?;
            joined(amount.to_vec(), Node::Product)
        }
        _ => None,
    }
}

fn is_unit(node: &Node) -> bool {
    match node {
        Node::Symbol(name) => is_unit_name(name),
        Node::Power(base, exponent) => is_unit(base) && !exponent.has_symbols(),
        Node::Inverse(inner) => is_unit(inner),
        Node::Product(factors) => factors.iter().all(is_unit),
        _ => false,
    }
}
