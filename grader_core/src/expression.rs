//! An arithmetic expression as an answer: `(3 + 4) * 2` for 14. ReFT's programs, where one line is program enough.

use crate::formula::Formula;
use crate::quantity::Quantity;

/// Longest expression that is read, in bytes; what is longer is no one line of arithmetic.
const LONGEST: usize = 256;

/// The value of the expression that `text` begins with, up to the first character that is no arithmetic. `None` where
/// there is none, where it does not parse, and where a step of it has no finite value.
pub(crate) fn leading_value(text: &str) -> Option<Quantity> {
    let text = text.trim_start_matches([' ', '$', ':', '=', '*']);
    let end = text
        .char_indices()
        .take_while(|(at, _)| *at <= LONGEST)
        .find(|(_, character)| !is_arithmetic(*character))
        .map_or(text.len(), |(at, _)| at);
    let source = text.get(..end.min(text.len()))?;
    if source.len() > LONGEST {
        return None;
    }
    let plain: String = source.trim_end_matches([' ', '.']).chars().map(ascii).collect();
    let value = Formula::parse(&plain).ok()?.value(&[]).ok()?;
    Quantity::from_double(value)
}

fn is_arithmetic(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, ' ' | '.' | '+' | '-' | '*' | '/' | '(' | ')' | '×' | '÷' | '−')
}

/// The sign as the formula spells it.
fn ascii(character: char) -> char {
    match character {
        '×' => '*',
        '÷' => '/',
        '−' => '-',
        other => other,
    }
}
