//! Remainders of exact numbers, of any size, at three primes of 61 bits. Numbers whose remainders differ are different;
//! different ones have equal remainders only where all three primes divide their difference, one case in 2^183.

/// What the primes are short of 2^61.
const SHORT_OF: [u64; 3] = [1, 31, 45];
const BITS: u32 = 61;

/// The remainders of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Residues([u64; 3]);

fn prime(place: usize) -> u64 {
    (1 << BITS) - SHORT_OF[place]
}

/// The remainder of a number below 2^123: what is above 61 bits counts for `SHORT_OF`.
fn reduced(value: u128, place: usize) -> u64 {
    let short_of = u128::from(SHORT_OF[place]);
    let fold = |value: u128| (value >> BITS) * short_of + (value & ((1 << BITS) - 1));
    #[allow(clippy::cast_possible_truncation)] // Folded twice it is below 2^62.
    let folded = fold(fold(value)) as u64;
    folded % prime(place)
}

fn product(left: u64, right: u64, place: usize) -> u64 {
    reduced(u128::from(left) * u128::from(right), place)
}

fn power(mut base: u64, mut times: u64, place: usize) -> u64 {
    let mut power = 1;
    while times > 0 {
        if times % 2 == 1 {
            power = product(power, base, place);
        }
        base = product(base, base, place);
        times /= 2;
    }
    power
}

impl Residues {
    fn each(remainder: impl Fn(usize) -> u64) -> Self {
        Self([remainder(0), remainder(1), remainder(2)])
    }

    /// Of a whole number.
    pub(crate) fn whole(value: i128) -> Self {
        let size = value.unsigned_abs();
        let positive = Self::each(|place| (size % u128::from(prime(place))) as u64);
        if value < 0 { positive.negated() } else { positive }
    }

    /// Of `digits[.digits]` times ten to the `exponent`.
    pub(crate) fn from_decimal(text: &str, exponent: i64) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let scale = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        let digits = || whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit);
        let append =
            |place| move |value: u64, digit: u8| reduced(10 * u128::from(value) + u128::from(digit - b'0'), place);
        let power = Self::whole(10).raised(scale.unsigned_abs());
        let power = if scale < 0 { power.inverse()? } else { power };
        Some(Self::each(|place| digits().fold(0, append(place))).times(power))
    }

    /// The sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self::each(|place| (self.0[place] + other.0[place]) % prime(place))
    }

    /// Minus it.
    pub(crate) fn negated(self) -> Self {
        Self::each(|place| (prime(place) - self.0[place]) % prime(place))
    }

    /// The product.
    pub(crate) fn times(self, other: Self) -> Self {
        Self::each(|place| product(self.0[place], other.0[place], place))
    }

    /// To a power (Fermat: the power of one less than the prime is one, so an inverse is a power too).
    pub(crate) fn raised(self, times: u64) -> Self {
        Self::each(|place| power(self.0[place], times, place))
    }

    /// One over it; `None` where a prime divides it.
    pub(crate) fn inverse(self) -> Option<Self> {
        let is_invertible = !self.0.contains(&0);
        is_invertible.then(|| Self::each(|place| power(self.0[place], prime(place) - 2, place)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remainders_follow_arithmetic() {
        let (left, right) = (123_456_789_012_345_678_901_234_567_i128, -987_654_321_098_765_i128);
        assert_eq!(Residues::whole(left).plus(Residues::whole(right)), Residues::whole(left + right));
        assert_eq!(Residues::whole(right).times(Residues::whole(right)), Residues::whole(right * right));
        assert_eq!(Residues::whole(3).raised(70), Residues::whole(3_i128.pow(70)));
    }

    #[test]
    fn a_number_times_its_inverse_is_one() {
        let number = Residues::whole(-171);
        assert_eq!(number.inverse().map(|inverse| inverse.times(number)), Some(Residues::whole(1)));
    }

    #[test]
    fn what_a_prime_divides_has_no_inverse() {
        assert_eq!(Residues::whole((1 << 61) - 31).inverse(), None);
    }

    #[test]
    fn a_decimal_is_its_digits_over_a_power_of_ten() {
        let expected = Residues::whole(10).raised(6).inverse().map(|inverse| inverse.times(Residues::whole(12_345)));
        assert_eq!(Residues::from_decimal("1.2345", -2), expected);
    }
}
