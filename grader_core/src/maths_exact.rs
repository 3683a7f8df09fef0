//! Exact comparison of what does not fit into 128 bits: `100!` and `100! + 1`. Remainders at primes tell numbers of any
//! size apart; those that agree are calculated with all their digits, within a bound of size and work. Beyond it equal
//! remainders decide.

use crate::big_ratio::BigRatio;
use crate::maths_tree::Node;
use crate::maths_value::{Point, exact, value, whole};
use crate::quantity::Quantity;
use crate::residues::Residues;

/// Work on one number, in products of words of 64 bits: below a millisecond.
const WORK: u64 = 1 << 19;
/// The same for what is to be written out.
const WRITTEN_WORK: u64 = 1 << 10;
/// Factors of factorials and binomials in one expression.
const FACTORS: u64 = 1 << 12;
/// Largest exponent.
const LARGEST_EXPONENT: f64 = 4_294_967_296.0;

/// Whether two numbers are equal; `None` where one is no rational number, is zero below a fraction or takes too much, and
/// where one is a decimal that may stand for the other.
pub(crate) fn equal_exactly(left: &Node, right: &Node) -> Option<bool> {
    let remainders = |node| Walk::new(FACTORS).number::<Residues>(node);
    if remainders(left)? == remainders(right)? {
        return Some(calculated(left).zip(calculated(right)).is_none_or(|(left, right)| left.compare(&right).is_eq()));
    }
    let is_whole = |node| value(node, &Point::constant()).is_some_and(|value| value.re.fract() == 0.0);
    let stands = |decimal, other| is_decimal(decimal) && !is_decimal(other) && !is_whole(other);
    if stands(left, right) || stands(right, left) { None } else { Some(false) }
}

/// Whether only what keeps numbers rational occurs.
pub(crate) fn is_rational(node: &Node) -> bool {
    match node {
        Node::Number(_) | Node::Long(_) => true,
        Node::Sum(nodes) | Node::Product(nodes) | Node::Call("factorial" | "binomial", nodes) => {
            nodes.iter().all(is_rational)
        }
        Node::Inverse(inner) | Node::Negative(inner) | Node::Percent(inner) | Node::Degree(inner) => is_rational(inner),
        Node::Power(base, exponent) => is_rational(base) && exact(exponent).is_some_and(Quantity::is_whole),
        _ => false,
    }
}

/// The value with all its digits, as a text; `None` where it is no rational number or too long to be read.
pub(crate) fn exact_text(node: &Node) -> Option<String> {
    Walk::new(WRITTEN_WORK).number::<BigRatio>(node)?.text()
}

fn calculated(node: &Node) -> Option<BigRatio> {
    Walk::new(WORK).number(node)
}

/// Whether it is written as a number with digits behind its point, perhaps times a power of ten.
fn is_decimal(node: &Node) -> bool {
    match node {
        Node::Number(number) => number.is_decimal(),
        Node::Long(digits) => places(digits).is_some_and(|places| places > 0),
        Node::Negative(inner) | Node::Percent(inner) | Node::Degree(inner) => is_decimal(inner),
        Node::Product(factors) => {
            let is_ten = |node: &Node| matches!(node, Node::Number(number) if *number == Quantity::whole(10));
            let is_power = |node: &Node| matches!(node, Node::Power(base, _) if is_ten(base));
            matches!(factors.as_slice(), [decimal, scale] if is_decimal(decimal) && is_power(scale))
        }
        _ => false,
    }
}

/// Mantissa and exponent.
fn split(digits: &str) -> Option<(&str, i64)> {
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    Some((mantissa, exponent.parse().ok()?))
}

/// The digits behind the point once the exponent has moved it.
fn places(digits: &str) -> Option<i64> {
    let (mantissa, exponent) = split(digits)?;
    let fraction = mantissa.split_once('.').map_or("", |(_, fraction)| fraction).trim_end_matches('0');
    Some(i64::try_from(fraction.len()).ok()? - exponent)
}

/// Numbers that can be calculated with.
trait Exact: Sized + Clone {
    fn amount(amount: Quantity) -> Option<Self>;
    fn decimal(digits: &str, exponent: i64) -> Option<Self>;
    fn plus(self, other: &Self) -> Option<Self>;
    fn times(self, other: &Self) -> Option<Self>;
    fn negated(self) -> Self;
    fn inverse(self) -> Option<Self>;
    /// What a product with `other` costs.
    fn cost(&self, other: &Self) -> u64;
    /// What reading so many words of digits costs.
    fn decimal_cost(words: u64) -> u64;
}

impl Exact for Residues {
    fn amount(amount: Quantity) -> Option<Self> {
        let (top, bottom) = amount.parts()?;
        let top = Self::whole(top);
        Some(if bottom == 1 { top } else { top.times(Self::whole(bottom).inverse()?) })
    }

    fn decimal(digits: &str, exponent: i64) -> Option<Self> {
        Self::from_decimal(digits, exponent)
    }

    fn plus(self, other: &Self) -> Option<Self> {
        Some(self.plus(*other))
    }

    fn times(self, other: &Self) -> Option<Self> {
        Some(self.times(*other))
    }

    fn negated(self) -> Self {
        self.negated()
    }

    fn inverse(self) -> Option<Self> {
        self.inverse()
    }

    fn cost(&self, _: &Self) -> u64 {
        1
    }

    fn decimal_cost(_: u64) -> u64 {
        1
    }
}

impl Exact for BigRatio {
    fn amount(amount: Quantity) -> Option<Self> {
        let (top, bottom) = amount.parts()?;
        Some(Self::new(top, bottom))
    }

    fn decimal(digits: &str, exponent: i64) -> Option<Self> {
        Self::from_decimal(digits, exponent)
    }

    fn plus(self, other: &Self) -> Option<Self> {
        BigRatio::plus(&self, other)
    }

    fn times(self, other: &Self) -> Option<Self> {
        BigRatio::times(&self, other)
    }

    fn negated(self) -> Self {
        self.negated()
    }

    fn inverse(self) -> Option<Self> {
        self.inverse()
    }

    fn cost(&self, other: &Self) -> u64 {
        BigRatio::cost(self, other)
    }

    fn decimal_cost(words: u64) -> u64 {
        words * words
    }
}

/// A walk over a tree, with the work that is left.
struct Walk {
    work: u64,
}

impl Walk {
    fn new(work: u64) -> Self {
        Self { work }
    }

    fn number<T: Exact>(&mut self, node: &Node) -> Option<T> {
        match node {
            Node::Number(amount) => T::amount(*amount),
            Node::Long(digits) => {
                let (mantissa, exponent) = split(digits)?;
                // Words of the digits and of the power of ten, squared.
                let words = 1 + (mantissa.len() as u64 + exponent.unsigned_abs()) / 19;
                self.spend(T::decimal_cost(words))?;
                T::decimal(mantissa, exponent)
            }
            Node::Sum(terms) => self.folded(terms, T::plus),
            Node::Product(factors) => self.folded(factors, T::times),
            Node::Inverse(inner) => self.number::<T>(inner)?.inverse(),
            Node::Negative(inner) => Some(self.number::<T>(inner)?.negated()),
            Node::Percent(inner) => {
                let hundredth = T::amount(Quantity::whole(100))?.inverse()?;
                self.number::<T>(inner)?.times(&hundredth)
            }
            Node::Degree(inner) => self.number(inner),
            Node::Power(base, exponent) => {
                let exponent = exact(exponent)?;
                if !exponent.is_whole() || exponent.approximate().abs() > LARGEST_EXPONENT {
                    return None;
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked right here.
                let times = exponent.approximate().abs() as u64;
                let base = self.number::<T>(base)?;
                let power = self.raised(base, times)?;
                if exponent.approximate() < 0.0 { power.inverse() } else { Some(power) }
            }
            Node::Call("factorial", arguments) => self.run(1, whole(arguments.first()?)?),
            Node::Call("binomial", arguments) => {
                let (all, some) = (whole(arguments.first()?)?, whole(arguments.get(1)?)?);
                let some = some.min(all.checked_sub(some)?);
                let bottom = self.run::<T>(1, some)?;
                self.run::<T>(all - some + 1, all)?.times(&bottom.inverse()?)
            }
            _ => None,
        }
    }

    fn folded<T: Exact>(&mut self, nodes: &[Node], join: impl Fn(T, &T) -> Option<T>) -> Option<T> {
        let (first, rest) = nodes.split_first()?;
        let mut all = self.number::<T>(first)?;
        for node in rest {
            let next = self.number::<T>(node)?;
            self.spend(all.cost(&next))?;
            all = join(all, &next)?;
        }
        Some(all)
    }

    /// By squaring.
    fn raised<T: Exact>(&mut self, mut base: T, mut times: u64) -> Option<T> {
        let mut power = T::amount(Quantity::whole(1))?;
        while times > 0 {
            if times % 2 == 1 {
                self.spend(power.cost(&base))?;
                power = power.times(&base)?;
            }
            times /= 2;
            if times > 0 {
                self.spend(base.cost(&base))?;
                base = base.clone().times(&base)?;
            }
        }
        Some(power)
    }

    /// The product of the whole numbers from one to another.
    fn run<T: Exact>(&mut self, from: u32, to: u32) -> Option<T> {
        let mut product = T::amount(Quantity::whole(1))?;
        // As many factors at once as fit into a word.
        let mut word = 1_u64;
        for factor in (from..=to).map(u64::from) {
            let Some(next) = word.checked_mul(factor) else {
                product = self.multiplied(product, word)?;
                word = factor;
                continue;
            };
            word = next;
        }
        self.multiplied(product, word)
    }

    fn multiplied<T: Exact>(&mut self, product: T, word: u64) -> Option<T> {
        let word = T::amount(Quantity::from_whole(i128::from(word)))?;
        self.spend(product.cost(&word))?;
        product.times(&word)
    }

    fn spend(&mut self, cost: u64) -> Option<()> {
        self.work = self.work.checked_sub(cost)?;
        Some(())
    }
}
