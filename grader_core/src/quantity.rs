//! An amount: exact as a ratio of whole numbers wherever these fit into 128 bits, else as a double. Exactness is what
//! lets 1.01 be within 0.01 of 1, which doubles deny.

use std::fmt;

/// So many digits fit into 64 bits.
const SHORT_BYTES: usize = 19;

/// A finite amount.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quantity {
    exact: Option<Ratio>,
    approximate: f64,
}

/// `numerator / denominator`, the denominator positive; not reduced.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Quantity {
    /// Reads `digits[.digits]` times ten to the `exponent`; other characters of `text` are thousands marks and stepped
    /// over. `None` where the amount is not finite.
    pub(crate) fn from_decimal(text: &str, exponent: i64) -> Option<Self> {
        if let Some((mantissa, places)) = short_decimal(text) {
            // Nearly every number of a text is as short as this.
            if let Some(exact) = Ratio::scaled(i128::from(mantissa), exponent.checked_sub(places)?) {
                return Some(Self::from(exact));
            }
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = whole.bytes().chain(fraction.bytes()).filter(u8::is_ascii_digit);
        let mantissa =
            digits.clone().try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add(i128::from(digit - b'0')));
        let scale = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
        if let Some(exact) = mantissa.and_then(|mantissa| Ratio::scaled(mantissa, scale)) {
            return Some(Self::from(exact));
        }
        let digits: String = digits.map(char::from).collect();
        let approximate: f64 = format!("{digits}e{scale}").parse().ok()?;
        approximate.is_finite().then_some(Self { exact: None, approximate })
    }

    /// A double as the shortest decimal that reads as it: 0.01 is one hundredth. `None` where it is not finite.
    pub(crate) fn from_double(value: f64) -> Option<Self> {
        let magnitude = Self::from_decimal(&format!("{}", value.abs()), 0).filter(|_| value.is_finite())?;
        Some(if value < 0.0 { magnitude.negated() } else { magnitude })
    }

    pub(crate) fn negated(self) -> Self {
        let negate = |ratio: Ratio| Ratio { numerator: -ratio.numerator, ..ratio };
        Self { exact: self.exact.map(negate), approximate: -self.approximate }
    }

    /// `None` where `other` is zero or the result is not finite.
    pub(crate) fn divided_by(self, other: Self) -> Option<Self> {
        if other.approximate == 0.0 {
            return None;
        }
        if other.approximate < 0.0 {
            return self.negated().divided_by(other.negated());
        }
        let exact = self.exact.zip(other.exact).and_then(|(left, right)| left.divided_by(right));
        Self::either(exact, self.approximate / other.approximate)
    }

    /// `None` where the result is not finite.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let exact = self.exact.zip(other.exact).and_then(|(left, right)| left.plus(right));
        Self::either(exact, self.approximate + other.approximate)
    }

    /// `None` where the result is not finite.
    pub(crate) fn times(self, other: Self) -> Option<Self> {
        let exact = self.exact.zip(other.exact).and_then(|(left, right)| left.times(right));
        Self::either(exact, self.approximate * other.approximate)
    }

    /// A whole number.
    pub(crate) fn whole(value: u32) -> Self {
        Self::from_whole(i128::from(value))
    }

    /// A whole number of any size that fits.
    pub(crate) fn from_whole(value: i128) -> Self {
        Self::from(Ratio { numerator: value, denominator: 1 })
    }

    /// The amount in lowest terms; `None` where it is not exact.
    pub(crate) fn reduced(self) -> Option<Self> {
        self.exact.map(|exact| Self::from(exact.reduced()))
    }

    /// The normal form as a text.
    pub(crate) fn text(self) -> String {
        match self.exact.map(|exact| (i64::try_from(exact.numerator), exact.denominator)) {
            // Several times as quick as the formatter.
            Some((Ok(short), 1)) => short.to_string(),
            _ => self.to_string(),
        }
    }

    /// Whether it fits into 128 bits.
    pub(crate) fn is_exact(self) -> bool {
        self.exact.is_some()
    }

    /// Numerator and denominator, the denominator positive; `None` where it is not exact.
    pub(crate) fn parts(self) -> Option<(i128, i128)> {
        self.exact.map(|exact| (exact.numerator, exact.denominator))
    }

    /// Whether it is exact and whole.
    pub(crate) fn is_whole(self) -> bool {
        self.exact.is_some_and(|exact| exact.numerator % exact.denominator == 0)
    }

    /// Whether it is exact and has a last digit behind the point.
    pub(crate) fn is_decimal(self) -> bool {
        self.exact.is_some_and(|exact| exact.reduced().decimal_places().is_some_and(|places| places > 0))
    }

    /// The nearest double.
    pub(crate) fn approximate(self) -> f64 {
        self.approximate
    }

    fn either(exact: Option<Ratio>, approximate: f64) -> Option<Self> {
        let approximate = Self { exact: None, approximate };
        exact.map(Self::from).or_else(|| approximate.approximate.is_finite().then_some(approximate))
    }

    /// Whether `self` differs from `reference` by no more than `absolute` or, if that is wider, the share `relative` of
    /// the reference.
    /// `None` where some number does not fit into 128 bits.
    pub(crate) fn is_near_exactly(self, reference: Self, absolute: Self, relative: Self) -> Option<bool> {
        let target = reference.exact?;
        if self.exact? == target {
            return Some(true);
        }
        let difference = self.exact?.plus(Ratio { numerator: -target.numerator, ..target })?.magnitude();
        let within = |allowed: Ratio| difference.is_at_most(allowed);
        Some(within(absolute.exact?)? || within(relative.exact?.times(target.magnitude())?)?)
    }

    /// The same as doubles.
    pub(crate) fn is_roughly(self, reference: Self, absolute: Self, relative: Self) -> bool {
        let allowed = absolute.approximate.max(relative.approximate * reference.approximate.abs());
        (self.approximate - reference.approximate).abs() <= allowed
    }
}

/// The digits of `text` as one number and how many stand behind its point; `None` where they may not fit into 64 bits.
fn short_decimal(text: &str) -> Option<(u64, i64)> {
    if text.len() > SHORT_BYTES {
        return None;
    }
    let (mut mantissa, mut point) = (0, None);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = 10 * mantissa + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(place),
            _ => {}
        }
    }
    let places = point.map_or(0, |point| text.len() - point - 1);
    Some((mantissa, i64::try_from(places).ok()?))
}

impl From<Ratio> for Quantity {
    fn from(exact: Ratio) -> Self {
        #[allow(clippy::cast_precision_loss)]
        let approximate = match (i64::try_from(exact.numerator), exact.denominator) {
            (Ok(short), 1) => short as f64,
            _ => exact.numerator as f64 / exact.denominator as f64,
        };
        Self { exact: Some(exact), approximate }
    }
}

impl Ratio {
    /// `mantissa` times ten to the `scale`.
    fn scaled(mantissa: i128, scale: i64) -> Option<Self> {
        if scale == 0 {
            return Some(Self { numerator: mantissa, denominator: 1 });
        }
        let power = 10_i128.checked_pow(u32::try_from(scale.unsigned_abs()).ok()?)?;
        match scale < 0 {
            true => Some(Self { numerator: mantissa, denominator: power }),
            false => Some(Self { numerator: mantissa.checked_mul(power)?, denominator: 1 }),
        }
    }

    fn plus(self, other: Self) -> Option<Self> {
        if self.denominator == other.denominator {
            return Some(Self { numerator: self.numerator.checked_add(other.numerator)?, ..self });
        }
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Some(Self {
            numerator: left.checked_add(right)?,
            denominator: self.denominator.checked_mul(other.denominator)?,
        })
    }

    fn times(self, other: Self) -> Option<Self> {
        let numerator = self.numerator.checked_mul(other.numerator)?;
        Some(Self { numerator, denominator: self.denominator.checked_mul(other.denominator)? })
    }

    /// `other` is not zero and not negative.
    fn divided_by(self, other: Self) -> Option<Self> {
        self.times(Self { numerator: other.denominator, denominator: other.numerator })
    }

    fn magnitude(self) -> Self {
        Self { numerator: self.numerator.saturating_abs(), ..self }
    }

    fn is_at_most(self, other: Self) -> Option<bool> {
        Some(self.numerator.checked_mul(other.denominator)? <= other.numerator.checked_mul(self.denominator)?)
    }

    fn reduced(self) -> Self {
        let (mut left, mut right) = (self.numerator.unsigned_abs(), self.denominator.unsigned_abs());
        while right != 0 {
            (left, right) = (right, left % right);
        }
        let divisor = i128::try_from(left).unwrap_or(1).max(1);
        Self { numerator: self.numerator / divisor, denominator: self.denominator / divisor }
    }

    /// The digits behind the point, where they end.
    fn decimal_places(self) -> Option<u32> {
        let mut rest = self.denominator;
        let mut count = |prime: i128| {
            let mut times = 0;
            while rest % prime == 0 {
                rest /= prime;
                times += 1;
            }
            times
        };
        let places = count(2).max(count(5));
        (rest == 1).then_some(places)
    }
}

/// The normal form: a plain decimal without idle zeros, a reduced fraction where the decimal never ends.
impl fmt::Display for Quantity {
    fn fmt(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(exact) = self.exact else {
            return if self.approximate.abs() < 1e21 {
                write!(text, "{}", self.approximate)
            } else {
                write!(text, "{:e}", self.approximate)
            };
        };
        if let (Ok(short), 1) = (i64::try_from(exact.numerator), exact.denominator) {
            return write!(text, "{short}");
        }
        if exact.denominator == 1 {
            return write!(text, "{}", exact.numerator);
        }
        let ratio = exact.reduced();
        let as_decimal = ratio.decimal_places().and_then(|places| {
            let power = 10_i128.checked_pow(places)?;
            Some((ratio.numerator.checked_mul(power / ratio.denominator)?, power, places as usize))
        });
        match as_decimal {
            Some((digits, _, 0)) => write!(text, "{digits}"),
            Some((digits, power, places)) => {
                let sign = if digits < 0 { "-" } else { "" };
                write!(text, "{sign}{}.{:0places$}", digits.saturating_abs() / power, digits.saturating_abs() % power)
            }
            None => write!(text, "{}/{}", ratio.numerator, ratio.denominator),
        }
    }
}
