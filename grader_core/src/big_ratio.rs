//! Exact numbers that do not fit into 128 bits: ratios of whole numbers of up to `BITS` bits, not reduced, as the greatest
//! common divisor costs more than all the rest. What grows beyond the bound has no value here.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

/// Largest numerator and denominator.
const BITS: u64 = 1 << 16;
/// Largest numbers that are written out.
const WRITTEN_BITS: u64 = 1 << 10;

/// `top / bottom`, the bottom positive.
#[derive(Debug, Clone)]
pub(crate) struct BigRatio {
    top: BigInt,
    bottom: BigInt,
}

impl BigRatio {
    /// A whole number over a positive one.
    pub(crate) fn new(top: i128, bottom: i128) -> Self {
        Self { top: top.into(), bottom: bottom.into() }
    }

    /// Reads `digits[.digits]` times ten to the `exponent`; other characters are thousands marks and stepped over.
    pub(crate) fn from_decimal(text: &str, exponent: i64) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit).collect();
        let scale = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        // A digit takes more than three bits.
        if digits.len().try_into().map_or(true, |count: u64| count > BITS / 3) || scale.unsigned_abs() > BITS / 3 {
            return None;
        }
        let power = BigInt::from(10).pow(u32::try_from(scale.unsigned_abs()).ok()?);
        let digits = BigInt::parse_bytes(&digits, 10)?;
        let (top, bottom) = if scale < 0 { (digits, power) } else { (digits * power, BigInt::from(1)) };
        Self { top, bottom }.bounded()
    }

    fn bounded(self) -> Option<Self> {
        (self.top.bits().max(self.bottom.bits()) <= BITS).then_some(self)
    }

    fn bits(&self) -> u64 {
        self.top.bits().max(self.bottom.bits())
    }

    /// What a product with `other` costs, in products of words.
    pub(crate) fn cost(&self, other: &Self) -> u64 {
        (1 + self.bits() / 64) * (1 + other.bits() / 64)
    }

    /// The sum; `None` beyond the bound.
    pub(crate) fn plus(&self, other: &Self) -> Option<Self> {
        if self.bottom == other.bottom {
            return Self { top: &self.top + &other.top, bottom: self.bottom.clone() }.bounded();
        }
        if self.bits() + other.bits() > 2 * BITS {
            return None;
        }
        let top = &self.top * &other.bottom + &other.top * &self.bottom;
        Self { top, bottom: &self.bottom * &other.bottom }.bounded()
    }

    /// The product; `None` beyond the bound.
    pub(crate) fn times(&self, other: &Self) -> Option<Self> {
        if self.bits() + other.bits() > 2 * BITS {
            return None;
        }
        Self { top: &self.top * &other.top, bottom: &self.bottom * &other.bottom }.bounded()
    }

    /// One over it; `None` for zero.
    pub(crate) fn inverse(self) -> Option<Self> {
        match self.top.sign() {
            Sign::NoSign => None,
            Sign::Plus => Some(Self { top: self.bottom, bottom: self.top }),
            Sign::Minus => Some(Self { top: -self.bottom, bottom: -self.top }),
        }
    }

    /// Minus it.
    pub(crate) fn negated(self) -> Self {
        Self { top: -self.top, ..self }
    }

    /// The distance from zero.
    pub(crate) fn magnitude(self) -> Self {
        if self.top.sign() == Sign::Minus { self.negated() } else { self }
    }

    /// Which is larger.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        (&self.top * &other.bottom).cmp(&(&other.top * &self.bottom))
    }

    /// The normal form: a whole number, a decimal where it ends, else a fraction in lowest terms. `None` where that is
    /// longer than is good to read.
    pub(crate) fn text(&self) -> Option<String> {
        if self.bits() > WRITTEN_BITS {
            return None;
        }
        let divisor = greatest_common_divisor(self.top.clone(), self.bottom.clone());
        let (top, bottom) = (&self.top / &divisor, &self.bottom / &divisor);
        let one = BigInt::from(1);
        if bottom == one {
            return Some(top.to_string());
        }
        let Some(places) = decimal_places(&bottom) else { return Some(format!("{top}/{bottom}")) };
        let sign = if top.sign() == Sign::Minus { "-" } else { "" };
        let digits = (top.magnitude() * BigInt::from(10).pow(places).magnitude() / bottom.magnitude()).to_string();
        let places = places as usize;
        let digits = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = digits.split_at(digits.len() - places);
        Some(format!("{sign}{whole}.{fraction}"))
    }
}

fn greatest_common_divisor(mut left: BigInt, mut right: BigInt) -> BigInt {
    while right != BigInt::ZERO {
        (left, right) = (right.clone(), left % right);
    }
    if left.sign() == Sign::Minus { -left } else { left }
}

/// The digits behind the point of one over `bottom`, where they end.
fn decimal_places(bottom: &BigInt) -> Option<u32> {
    let mut rest = bottom.clone();
    let mut count = |prime: u32| {
        let mut times = 0;
        while &rest % prime == BigInt::ZERO {
            rest /= prime;
            times += 1;
        }
        times
    };
    let places = count(2).max(count(5));
    (rest == BigInt::from(1)).then_some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(digits: &str, exponent: i64) -> Option<String> {
        BigRatio::from_decimal(digits, exponent)?.text()
    }

    #[test]
    fn a_decimal_is_written_without_idle_zeros() {
        assert_eq!(text("0.0012300", 0).as_deref(), Some("0.00123"));
        assert_eq!(text("1.5", 3).as_deref(), Some("1500"));
    }

    #[test]
    fn a_fraction_is_written_in_lowest_terms() {
        let third = BigRatio::new(-4, 12);
        assert_eq!(third.text().as_deref(), Some("-1/3"));
    }

    #[test]
    fn what_is_beyond_the_bound_has_no_value() {
        assert!(BigRatio::from_decimal("1", 100_000).is_none());
        assert!(BigRatio::from_decimal(&"9".repeat(30_000), 0).is_none());
        let large = BigRatio::from_decimal("1", 15_000);
        assert!(large.is_some_and(|large| large.times(&large).is_none()));
    }

    #[test]
    fn a_negative_number_has_a_negative_inverse() {
        assert_eq!(BigRatio::new(-2, 1).inverse().and_then(|half| half.text()).as_deref(), Some("-0.5"));
        assert!(BigRatio::new(0, 1).inverse().is_none());
    }
}
