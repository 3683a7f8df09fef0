//! Functions of whole numbers: divisors, multiples, remainders.

use crate::maths_tree::Node;
use crate::maths_value::exact;
use crate::quantity::Quantity;

/// The value of `gcd`, `lcm` or `mod` of whole numbers; `None` where one is none, or it does not fit. `2 mod 5` is a class of
/// numbers, so only what is reduced is a number: `7 mod 5`.
pub(crate) fn of_integers(name: &str, arguments: &[Node]) -> Option<Quantity> {
    let mut numbers = arguments.iter().map(integer);
    let first = numbers.next()??;
    let value = match name {
        "mod" => {
            let modulus = numbers.next()??;
            (modulus > 0 && !(0..modulus).contains(&first)).then(|| first.rem_euclid(modulus))?
        }
        "gcd" => numbers.try_fold(first, |all, next| Some(divisor(all, next?)))?,
        "lcm" => numbers.try_fold(first, |all, next| {
            let next = next?;
            all.checked_div(divisor(all, next))?.checked_mul(next)
        })?,
        _ => return None,
    };
    Some(Quantity::from_whole(value.checked_abs()?))
}

fn integer(node: &Node) -> Option<i128> {
    match exact(node)?.parts()? {
        (number, 1) if number != i128::MIN => Some(number),
        _ => None,
    }
}

fn divisor(mut left: i128, mut right: i128) -> i128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}
