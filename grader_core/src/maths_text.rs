//! The normal form of a mathematical answer, good for a vote: equal answers have equal texts wherever that is cheap.
//! What has a value is written as it, terms and factors are sorted.

use std::fmt::Write;

use crate::complex::Complex;
use crate::maths_exact::{exact_text, is_rational};
use crate::maths_tree::Node;
use crate::maths_value::{Point, exact, value};

/// The normal form.
pub(crate) fn written(node: &Node) -> String {
    if let Some(exact) = exact(node) {
        return exact.to_string();
    }
    let is_exact = is_rational(node);
    if is_exact && let Some(digits) = exact_text(node) {
        return digits;
    }
    // As doubles large numbers that differ would read the same.
    if !is_exact
        && !node.has_symbols()
        && let Some(value) = value(node, &Point::constant())
    {
        return complex(value);
    }
    match node {
        Node::Number(number) => number.to_string(),
        Node::Symbol(name) | Node::Text(name) | Node::Long(name) => name.clone(),
        Node::Constant(constant) => constant.to_string(),
        Node::Sum(terms) => sum(terms),
        // Matrices do not change places.
        Node::Product(factors) if node.any(&|node| matches!(node, Node::Matrix(_))) => {
            factors.iter().map(enclosed).collect::<Vec<_>>().join("*")
        }
        Node::Product(factors) => sorted(factors, enclosed).join("*"),
        Node::Inverse(inner) => format!("1/{}", enclosed(inner)),
        Node::Negative(inner) => format!("-{}", enclosed(inner)),
        Node::PlusMinus(inner, _) => format!("±{}", enclosed(inner)),
        Node::Percent(inner) => format!("{}%", enclosed(inner)),
        Node::Degree(inner) => written(inner),
        Node::Power(base, exponent) => format!("{}^{}", enclosed(base), enclosed(exponent)),
        Node::Call(name, arguments) => format!("{name}({})", list(arguments)),
        Node::Tuple(open, entries, close) => format!("{open}{}{close}", list(entries)),
        Node::Set(entries) => format!("{{{}}}", distinct(entries).join(", ")),
        Node::List(entries) => distinct(entries).join(", "),
        Node::Sets('∖', sets) => sets.iter().map(written).collect::<Vec<_>>().join(" ∖ "),
        Node::Sets(join, sets) => distinct(sets).join(&format!(" {join} ")),
        Node::Matrix(rows) => {
            let rows: Vec<String> = rows.iter().map(|row| format!("[{}]", list(row))).collect();
            format!("[{}]", rows.join(", "))
        }
        Node::Relation(sides, signs) => {
            let mut text = String::new();
            for (place, side) in sides.iter().enumerate() {
                if let Some(sign) = place.checked_sub(1).and_then(|before| signs.get(before)) {
                    let _ = write!(text, " {sign} ");
                }
                text.push_str(&written(side));
            }
            text
        }
        Node::Ratio(parts) => parts.iter().map(written).collect::<Vec<_>>().join(":"),
    }
}

/// Twelve digits: more would show how a value was calculated.
fn double(value: f64) -> String {
    let rounded: f64 = format!("{value:.11e}").parse().unwrap_or(value);
    match rounded.abs() {
        0.0 => "0".to_owned(),
        size if (1e-6..1e21).contains(&size) => format!("{rounded}"),
        _ => format!("{rounded:e}"),
    }
}

fn complex(value: Complex) -> String {
    // What rounding leaves beside the other part is no part.
    let small = 1e-12 * value.re.abs().max(value.im.abs());
    let imaginary = match double(value.im.abs()).as_str() {
        "1" => "i".to_owned(),
        size => format!("{size}i"),
    };
    let sign = if value.im < 0.0 { "-" } else { "" };
    match (value.re.abs() <= small, value.im.abs() <= small) {
        (_, true) => double(value.re),
        (true, false) => format!("{sign}{imaginary}"),
        (false, false) if value.im < 0.0 => format!("{}-{imaginary}", double(value.re)),
        (false, false) => format!("{}+{imaginary}", double(value.re)),
    }
}

fn sum(terms: &[Node]) -> String {
    let mut text = String::new();
    for term in sorted(terms, written) {
        match term.strip_prefix('-') {
            Some(rest) if !text.is_empty() => text.push_str(&format!(" - {rest}")),
            _ if text.is_empty() => text.push_str(&term),
            _ => text.push_str(&format!(" + {term}")),
        }
    }
    text
}

fn enclosed(node: &Node) -> String {
    let text = written(node);
    let is_plain =
        text.chars().all(|character| character.is_alphanumeric() || matches!(character, '.' | '_' | '\'' | '∞'));
    if is_plain || matches!(node, Node::Call(..) | Node::Power(..) | Node::Inverse(..) | Node::Symbol(_)) {
        text
    } else {
        format!("({text})")
    }
}

fn list(nodes: &[Node]) -> String {
    nodes.iter().map(written).collect::<Vec<_>>().join(", ")
}

/// Signs do not change the order.
fn sorted(nodes: &[Node], write: impl Fn(&Node) -> String) -> Vec<String> {
    let mut texts: Vec<String> = nodes.iter().map(write).collect();
    let key = |text: &String| (text.trim_start_matches('-').to_owned(), text.len());
    texts.sort_by_cached_key(key);
    texts
}

fn distinct(nodes: &[Node]) -> Vec<String> {
    let mut texts = sorted(nodes, written);
    texts.dedup();
    texts
}
