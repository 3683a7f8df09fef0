//! Complex numbers of doubles, as far as answers need them.

/// What rounding leaves, as a share.
const ROUNDING: f64 = 1e-13;

/// A complex double.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Complex {
    /// Real part.
    pub(crate) re: f64,
    /// Imaginary part.
    pub(crate) im: f64,
}

impl Complex {
    /// A real number.
    pub(crate) fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    /// `None` where a part is not finite.
    pub(crate) fn finite(self) -> Option<Self> {
        (self.re.is_finite() && self.im.is_finite()).then_some(self)
    }

    /// The distance from zero.
    pub(crate) fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    /// The real part, where the other is what rounding leaves.
    pub(crate) fn as_real(self) -> Option<f64> {
        (self.im.abs() <= ROUNDING * self.re.abs()).then_some(self.re)
    }

    /// The sum.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    /// The difference.
    pub(crate) fn minus(self, other: Self) -> Self {
        Self { re: self.re - other.re, im: self.im - other.im }
    }

    /// The product.
    pub(crate) fn times(self, other: Self) -> Self {
        Self { re: self.re * other.re - self.im * other.im, im: self.re * other.im + self.im * other.re }
    }

    /// One over it; `None` for zero.
    pub(crate) fn inverse(self) -> Option<Self> {
        let square = self.re * self.re + self.im * self.im;
        Self { re: self.re / square, im: -self.im / square }.finite()
    }

    /// To a whole power.
    pub(crate) fn raised(self, exponent: i32) -> Option<Self> {
        if self.im == 0.0 {
            return Self::real(self.re.powi(exponent)).finite();
        }
        let (mut power, mut square, mut left) = (Self::real(1.0), self, exponent.unsigned_abs());
        while left > 0 {
            if left % 2 == 1 {
                power = power.times(square);
            }
            square = square.times(square);
            left /= 2;
        }
        if exponent < 0 { power.inverse() } else { power.finite() }
    }
}
