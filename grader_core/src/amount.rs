//! A number that a text states: a quantity, with all its digits where these do not fit into one.

use crate::big_ratio::BigRatio;
use crate::numeral::Numeral;
use crate::quantity::Quantity;

/// A finite number.
#[derive(Debug, Clone)]
pub(crate) struct Amount {
    quantity: Quantity,
    /// Only where the quantity is not exact.
    digits: Option<Box<BigRatio>>,
}

impl Amount {
    /// The amount of a numeral; `None` where it is not finite.
    pub(crate) fn read(numeral: Numeral<'_>, percent_as_fraction: bool) -> Option<Self> {
        let quantity = numeral.value(percent_as_fraction)?;
        let digits = if quantity.is_exact() { None } else { numeral.digits(percent_as_fraction).map(Box::new) };
        Some(Self { quantity, digits })
    }

    /// The normal form as a text.
    pub(crate) fn text(&self) -> String {
        let digits = self.digits.as_ref().and_then(|digits| digits.text());
        digits.unwrap_or_else(|| self.quantity.text())
    }

    /// Whether `self` differs from `reference` by no more than `absolute` or, if that is wider, the share `relative` of
    /// the reference.
    pub(crate) fn is_near(&self, reference: &Self, absolute: Quantity, relative: Quantity) -> bool {
        let exactly = self.quantity.is_near_exactly(reference.quantity, absolute, relative);
        let in_full = || {
            let target = reference.ratio()?;
            let difference = self.ratio()?.plus(&target.clone().negated())?.magnitude();
            let share = ratio(relative)?.times(&target.magnitude())?;
            let within = |allowed: BigRatio| difference.compare(&allowed).is_le();
            Some(within(ratio(absolute)?) || within(share))
        };
        exactly.or_else(in_full).unwrap_or_else(|| self.quantity.is_roughly(reference.quantity, absolute, relative))
    }

    fn ratio(&self) -> Option<BigRatio> {
        self.digits.as_deref().cloned().or_else(|| ratio(self.quantity))
    }
}

impl From<Quantity> for Amount {
    fn from(quantity: Quantity) -> Self {
        Self { quantity, digits: None }
    }
}

fn ratio(quantity: Quantity) -> Option<BigRatio> {
    quantity.parts().map(|(top, bottom)| BigRatio::new(top, bottom))
}
