//! An arithmetic expression as an answer: `(3 + 4) * 2` for 14. ReFT's programs, where one line is program enough.

use crate::formula::Formula;
use crate::numeral::{CURRENCIES, numerals};
use crate::quantity::Quantity;

/// Longest expression that is read, in bytes; what is longer is no one line of arithmetic.
const LONGEST: usize = 256;

/// What may stand before an expression.
const OPENING: [char; 5] = [' ', '$', ':', '=', '*'];

/// What `line` answers with: where it begins with an equation (`12 eggs - 5 eggs = 7`), what stands behind the last `=`
/// of that equation, else the whole line. An equation further behind explains, and is not the answer.
pub(crate) fn answering_side(line: &str) -> &str {
    let line = line.trim_start_matches(OPENING);
    let mut side = line;
    while let Some((left, right)) = side.split_once('=') {
        // `51, since x = 51` is no equation of the answer; `12 - 5 = 7 = 7` goes on behind a plain number.
        let is_first = side.len() == line.len();
        let is_side = without_units(left)
            .and_then(|source| Formula::parse(&source).ok())
            .is_some_and(|formula| formula.calculates() || !is_first);
        if !is_side || numerals(right).next().is_none() {
            break;
        }
        side = right;
    }
    side
}

/// The value of the expression that `text` begins with, up to the first character that is no arithmetic. `None` where
/// there is none or it calculates nothing, where it does not parse, where a step of it has no finite value, and where
/// it would end inside a number (`1,200`, `50%`, `3e5`) or before a power.
pub(crate) fn leading_value(text: &str) -> Option<Quantity> {
    let text = text.trim_start_matches(OPENING);
    let end = text
        .char_indices()
        .take_while(|(at, _)| *at <= LONGEST)
        .find(|(_, character)| !is_arithmetic(*character))
        .map_or(text.len(), |(at, _)| at);
    if end > LONGEST || text[end..].starts_with('^') {
        return None;
    }
    if numerals(text).take_while(|numeral| numeral.start < end).any(|numeral| numeral.end > end) {
        return None;
    }
    let plain: String = text[..end].trim_end_matches([' ', '.']).chars().map(ascii).collect();
    let value = Formula::parse(&plain).ok().filter(Formula::calculates)?.value(&[]).ok()?;
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

/// One side of an equation without its units, currencies and thousands marks; `None` where it is no bare arithmetic.
fn without_units(side: &str) -> Option<String> {
    let is_unit = |character: char| character.is_alphabetic() || character == '%' || CURRENCIES.contains(&character);
    let mut source = String::with_capacity(side.len());
    let mut characters = side.chars().peekable();
    while let Some(character) = characters.next() {
        let is_mark = character == ',' && characters.peek().is_some_and(char::is_ascii_digit);
        if is_unit(character) || is_mark {
            continue;
        }
        source.push(Some(ascii(character)).filter(|_| is_arithmetic(character))?);
    }
    Some(source)
}
