//! JSON compared by value: `1` equals `1.0` and `10e-1`, to the last digit of either; the order of keys does not count;
//! texts are equal or not.

use serde_json::{Number, Value};

/// Whether two values mean the same.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || Decimal::of(left) == Decimal::of(right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| same(value, other)))
        }
        _ => left == right,
    }
}

/// A decimal in its one normal form: `digits` without zeros at either end, times ten to `exponent`. Zero has none.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(number: &Number) -> Self {
        let text = number.to_string();
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(magnitude) => (true, magnitude),
            None => (false, text.as_str()),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let trimmed = significant.trim_end_matches('0');
        if trimmed.is_empty() {
            return Self { is_negative: false, digits: String::new(), exponent: 0 };
        }
        let count = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        // An exponent beyond 64 bits saturates; two such numbers are told apart by their digits alone.
        let written = exponent.parse().unwrap_or(if exponent.starts_with('-') { i64::MIN } else { i64::MAX });
        let exponent = i64::saturating_add(written, count(significant.len() - trimmed.len()) - count(fraction.len()));
        Self { is_negative, digits: trimmed.to_owned(), exponent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn are_same(left: &str, right: &str) -> bool {
        same(&serde_json::from_str(left).unwrap_or_default(), &serde_json::from_str(right).unwrap_or_default())
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        for (left, right) in [("1", "1.0"), ("1e2", "100"), ("-0", "0.0"), ("0.10", "1E-1"), ("12000", "1.2e4")] {
            assert!(are_same(left, right), "{left} {right}");
        }
    }

    #[test]
    fn numbers_that_a_double_cannot_tell_apart_differ() {
        assert!(!are_same("9007199254740993", "9007199254740992"));
        assert!(!are_same("0.1", "0.1000000000000000055511151231257827"));
        assert!(!are_same("1", "-1"));
    }

    #[test]
    fn the_order_of_keys_does_not_count_and_that_of_lists_does() {
        assert!(are_same(r#"{"a": 1, "b": [1, 2]}"#, r#"{"b": [1.0, 2], "a": 1}"#));
        assert!(!are_same("[1, 2]", "[2, 1]"));
        assert!(!are_same(r#"{"a": 1}"#, r#"{"a": 1, "b": null}"#));
        assert!(!are_same("1", r#""1""#));
    }
}
