//! Powers, roots and the known functions of an expression, at a point.

use std::f64::consts::{E, PI};

use crate::complex::Complex;
use crate::maths_tree::Node;
use crate::maths_value::{Point, value};

/// What sums and products over an index add to their terms (the fixed points of the cosine and of exp(-x)).
const OF_SUMS: f64 = 0.739_085_133_2;
const OF_PRODUCTS: f64 = 0.567_143_290_4;

/// Base to the exponent; `None` where it is not defined.
#[allow(clippy::cast_possible_truncation)] // Checked right here.
pub(crate) fn power(base: Complex, exponent: Complex, point: &Point) -> Option<Complex> {
    if exponent.im == 0.0 && exponent.re.fract() == 0.0 && exponent.re.abs() <= 4096.0 {
        return base.raised(exponent.re as i32);
    }
    if base.size() == 0.0 {
        return (exponent.re > 0.0).then_some(Complex::real(0.0));
    }
    if base.im == 0.0 && base.re > 0.0 && exponent.im == 0.0 {
        return Complex::real(base.re.powf(exponent.re)).finite();
    }
    let is_positive = base.im == 0.0 && base.re > 0.0;
    if !is_positive && !point.is_constant() {
        return None;
    }
    point.note(1.0);
    let logarithm = Complex { re: base.size().ln(), im: base.im.atan2(base.re) };
    let Complex { re, im } = logarithm.times(exponent);
    Complex { re: re.exp() * im.cos(), im: re.exp() * im.sin() }.finite()
}

fn root(radicand: Complex, index: f64, point: &Point) -> Option<Complex> {
    let is_negative = radicand.im == 0.0 && radicand.re < 0.0;
    if is_negative && index == 2.0 {
        return point.is_constant().then(|| Complex { re: 0.0, im: (-radicand.re).sqrt() });
    }
    if is_negative && index.fract() == 0.0 && index % 2.0 != 0.0 {
        return Complex::real(-(-radicand.re).powf(1.0 / index)).finite();
    }
    if index == 2.0 && radicand.im == 0.0 {
        return Some(Complex::real(radicand.re.sqrt()));
    }
    power(radicand, Complex::real(1.0 / index), point)
}

/// A known function of its arguments; `None` where it is not defined.
pub(crate) fn call(name: &str, arguments: &[Node], point: &Point) -> Option<Complex> {
    let first = match (name, arguments.first()?) {
        ("sin" | "cos" | "tan" | "cot" | "sec" | "csc", Node::Degree(angle)) => {
            value(angle, point)?.times(Complex::real(PI / 180.0))
        }
        (_, first) => value(first, point)?,
    };
    let second = arguments.get(1).map(|node| value(node, point));
    match name {
        "abs" => return Some(Complex::real(first.size())),
        "root" => return root(first, second??.as_real()?, point),
        // A limit is a factor; the number that no formula has keeps it from being cancelled.
        "sum" => return Some(first.plus(Complex::real(OF_SUMS)).times(second??)),
        "prod" => return Some(first.plus(Complex::real(OF_PRODUCTS)).times(second??)),
        "exp" => return power(Complex::real(E), first, point),
        _ => {}
    }
    let argument = first.as_real()?;
    point.note(1.0);
    let result = match name {
        "sin" => argument.sin(),
        "cos" => argument.cos(),
        "tan" => argument.tan(),
        "cot" => 1.0 / argument.tan(),
        "sec" => 1.0 / argument.cos(),
        "csc" => 1.0 / argument.sin(),
        "arcsin" => argument.asin(),
        "arccos" => argument.acos(),
        "arctan" => argument.atan(),
        "sinh" => argument.sinh(),
        "cosh" => argument.cosh(),
        "tanh" => argument.tanh(),
        "ln" => argument.ln(),
        "lg" => argument.log10(),
        "log" => match second {
            Some(base) => argument.ln() / base?.as_real()?.ln(),
            None => argument.ln(),
        },
        "floor" => argument.floor(),
        "ceil" => argument.ceil(),
        "max" | "min" => {
            let mut best = argument;
            for node in &arguments[1..] {
                let other = value(node, point)?.as_real()?;
                best = if name == "max" { best.max(other) } else { best.min(other) };
            }
            best
        }
        "factorial" if argument.fract() == 0.0 && (0.0..=170.0).contains(&argument) => {
            let mut product = 1.0;
            let mut factor = argument;
            while factor > 1.0 {
                product *= factor;
                factor -= 1.0;
            }
            product
        }
        _ => return None,
    };
    Complex::real(result).finite()
}
