//! What a tree is worth: exactly, as a ratio of 128-bit whole numbers, or as a complex double at a point, which gives
//! every name a value made from its letters. Two expressions are equal where they agree at eight points, of which at
//! least four are defined (as Schwartz and Zippel have it for polynomials: those that differ agree almost nowhere).

use std::cell::Cell;
use std::f64::consts::{E, PI};

use crate::complex::Complex;
use crate::maths_exact::equal_exactly;
use crate::maths_functions::{call, power};
use crate::maths_integers::of_integers;
use crate::maths_text::written;
use crate::maths_tree::Node;
use crate::maths_units::without_units;
use crate::quantity::Quantity;

/// Difference of equal values, as a share of them.
const TOLERANCE: f64 = 1e-9;
/// Difference that cancellation makes, as a share of the largest term.
const CANCELLATION: f64 = 1e-13;
/// Points tried, and how many must be defined.
const POINTS: u64 = 40;
const ENOUGH: usize = 8;
const FEWEST: usize = 4;
/// Largest exponent of an exact power.
const EXACT_EXPONENT: f64 = 128.0;

/// Where an expression is evaluated.
pub(crate) struct Point {
    /// Which point; `None` for constants, whose roots of negative numbers are complex.
    place: Option<u64>,
    /// The largest term of a sum so far: what cancellation is measured by.
    largest: Cell<f64>,
}

impl Point {
    fn at(place: Option<u64>) -> Self {
        Self { place, largest: Cell::new(0.0) }
    }

    /// The point of constants.
    pub(crate) fn constant() -> Self {
        Self::at(None)
    }

    /// Whether it is the point of constants.
    pub(crate) fn is_constant(&self) -> bool {
        self.place.is_none()
    }

    /// Notes the size of a term.
    pub(crate) fn note(&self, size: f64) {
        self.largest.set(self.largest.get().max(size));
    }

    /// The value of a name: positive and small at even points, of either sign at odd ones, whole at every fifth.
    fn of(&self, name: &str) -> Option<f64> {
        let place = self.place?;
        let mut hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        hash = hash.wrapping_add(place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = f64::from(u32::try_from((hash ^ (hash >> 31)) >> 32).ok()?) / f64::from(u32::MAX);
        Some(match place {
            place if place % 5 == 4 => 1.0 + (share * 9.0).floor(),
            place if place % 2 == 0 => 0.25 + 3.0 * share,
            _ => 40.0 * share - 20.0,
        })
    }
}

/// The exact value; `None` where there is none, it is not rational or it does not fit.
pub(crate) fn exact(node: &Node) -> Option<Quantity> {
    let value = match node {
        Node::Number(number) => *number,
        Node::Sum(terms) => terms.iter().try_fold(Quantity::whole(0), |sum, term| sum.plus(exact(term)?)?.reduced())?,
        Node::Product(factors) => {
            factors.iter().try_fold(Quantity::whole(1), |product, factor| product.times(exact(factor)?)?.reduced())?
        }
        Node::Inverse(inner) => Quantity::whole(1).divided_by(exact(inner)?)?,
        Node::Negative(inner) => exact(inner)?.negated(),
        Node::Percent(inner) => exact(inner)?.divided_by(Quantity::whole(100))?,
        Node::Degree(inner) => exact(inner)?,
        Node::Power(base, exponent) => exact_power(exact(base)?, exact(exponent)?)?,
        Node::Call(name @ ("gcd" | "lcm" | "mod"), arguments) => of_integers(name, arguments)?,
        Node::Call("factorial", arguments) => exact_product(1, whole(arguments.first()?)?)?,
        Node::Call("binomial", arguments) => {
            let (all, some) = (whole(arguments.first()?)?, whole(arguments.get(1)?)?);
            let some = some.min(all.checked_sub(some)?);
            exact_product(all - some + 1, all)?.divided_by(exact_product(1, some)?)?
        }
        _ => return None,
    };
    value.reduced()
}

/// A small whole number that is not negative.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked right here.
pub(crate) fn whole(node: &Node) -> Option<u32> {
    let value = exact(node)?.approximate();
    (value.fract() == 0.0 && (0.0..=1000.0).contains(&value)).then_some(value as u32)
}

fn exact_product(from: u32, to: u32) -> Option<Quantity> {
    (from..=to).try_fold(Quantity::whole(1), |product, factor| product.times(Quantity::whole(factor))?.reduced())
}

fn exact_power(base: Quantity, exponent: Quantity) -> Option<Quantity> {
    if !exponent.is_whole() || exponent.approximate().abs() > EXACT_EXPONENT {
        return None;
    }
    let mut power = Quantity::whole(1);
    let mut times = exponent.approximate().abs();
    while times >= 1.0 {
        power = power.times(base)?.reduced()?;
        times -= 1.0;
    }
    if exponent.approximate() < 0.0 { Quantity::whole(1).divided_by(power) } else { Some(power) }
}

/// The value at a point; `None` where it is not defined.
pub(crate) fn value(node: &Node, point: &Point) -> Option<Complex> {
    let value = match node {
        Node::Number(number) => Complex::real(number.approximate()),
        Node::Long(digits) => Complex::real(digits.parse().ok()?),
        Node::Symbol(name) | Node::Text(name) => Complex::real(point.of(name)?),
        Node::Constant('π') => Complex::real(PI),
        Node::Constant('e') => Complex::real(E),
        Node::Constant('i') => Complex { re: 0.0, im: 1.0 },
        Node::Sum(terms) => {
            let mut sum = Complex::real(0.0);
            for term in terms {
                let term = value_of(term, point)?;
                point.note(term.size());
                sum = sum.plus(term);
            }
            sum
        }
        Node::Product(factors) => {
            let mut product = Complex::real(1.0);
            for factor in factors {
                product = product.times(value_of(factor, point)?);
            }
            product
        }
        Node::Inverse(inner) => value_of(inner, point)?.inverse()?,
        Node::Negative(inner) => Complex::real(0.0).minus(value_of(inner, point)?),
        Node::Percent(inner) => value_of(inner, point)?.times(Complex::real(0.01)),
        Node::Degree(inner) => value_of(inner, point)?,
        Node::Power(base, exponent) => power(value_of(base, point)?, value_of(exponent, point)?, point)?,
        Node::Call(name, arguments) => call(name, arguments, point)?,
        _ => return None,
    };
    value.finite()
}

/// The short way for what occurs most.
fn value_of(node: &Node, point: &Point) -> Option<Complex> {
    match node {
        Node::Number(number) => Some(Complex::real(number.approximate())),
        other => value(other, point),
    }
}

/// The values of both at a point, and the difference that counts as none.
fn values(left: &Node, right: &Node, point: &Point) -> Option<(Complex, Complex, f64)> {
    let (left, right) = (value(left, point)?, value(right, point)?);
    let allowed = TOLERANCE * left.size().max(right.size()) + CANCELLATION * point.largest.get();
    Some((left, right, allowed))
}

/// Whether two expressions are equal.
pub(crate) fn equal_values(left: &Node, right: &Node) -> bool {
    let (in_left, in_right) = (left.has_symbols(), right.has_symbols());
    if in_left != in_right {
        let (named, amount) = if in_left { (left, right) } else { (right, left) };
        if let Some(bare) = without_units(named).filter(|bare| !bare.has_symbols()) {
            return equal_values(&bare, amount);
        }
    }
    if in_left || in_right {
        return equal_at_points(left, right).unwrap_or_else(|| written(left) == written(right));
    }
    if let (Some(left), Some(right)) = (exact(left), exact(right)) {
        // A decimal stands for a fraction that has none, when it has ten digits of it.
        let difference = (left.approximate() - right.approximate()).abs();
        let is_rounded = left.is_decimal() && !right.is_decimal() || right.is_decimal() && !left.is_decimal();
        let is_whole = left.is_whole() || right.is_whole();
        return left == right || is_rounded && !is_whole && difference <= TOLERANCE * right.approximate().abs();
    }
    if let Some(is_equal) = equal_exactly(left, right) {
        return is_equal;
    }
    match values(left, right, &Point::constant()) {
        Some((left, right, allowed)) => left.minus(right).size() <= allowed,
        None => written(left) == written(right),
    }
}

/// `None` where too few points are defined.
fn equal_at_points(left: &Node, right: &Node) -> Option<bool> {
    let mut defined = 0;
    for place in 0..POINTS {
        let Some((left, right, allowed)) = values(left, right, &Point::at(Some(place))) else { continue };
        if left.minus(right).size() > allowed {
            return Some(false);
        }
        defined += 1;
        if defined == ENOUGH {
            return Some(true);
        }
    }
    (defined >= FEWEST).then_some(true)
}

/// The constant that `left` is `right` times, where there is one.
pub(crate) fn proportion(left: &Node, right: &Node) -> Option<f64> {
    let mut ratio: Option<f64> = None;
    let mut defined = 0;
    for place in 0..POINTS {
        let Some((left, right, allowed)) = values(left, right, &Point::at(Some(place))) else { continue };
        if right.size() <= allowed {
            continue;
        }
        let here = left.times(right.inverse()?).as_real()?;
        let before = *ratio.get_or_insert(here);
        if (here - before).abs() > TOLERANCE * before.abs() + allowed / right.size() {
            return None;
        }
        defined += 1;
        if defined == ENOUGH {
            break;
        }
    }
    ratio.filter(|ratio| defined >= FEWEST && *ratio != 0.0)
}
