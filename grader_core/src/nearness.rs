//! Which known word a misspelt one was probably meant to be.

/// The smallest share of letters in common, of those of both words, that makes words near.
const NEAR: f64 = 0.7;

/// The word of `known` that is most like `given`, where one is near.
pub(crate) fn nearest<'w>(given: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let near = known.map(|word| (likeness(given, word), word)).filter(|(likeness, _)| *likeness >= NEAR);
    near.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, word)| word)
}

/// Twice the longest common subsequence over both lengths: 1 for equal words, 0 for words without a common letter.
fn likeness(left: &str, right: &str) -> f64 {
    // A key may be as long as its author likes; no known word is.
    if left.len() > 4 * right.len() {
        return 0.0;
    }
    let mut row = vec![0_u16; right.len() + 1];
    for letter in left.bytes() {
        let mut diagonal = 0;
        let mut before = 0;
        for (cell, other) in row.iter_mut().skip(1).zip(right.bytes()) {
            let above = *cell;
            *cell = if letter == other { diagonal + 1 } else { above.max(before) };
            diagonal = above;
            before = *cell;
        }
    }
    let common = f64::from(row.last().copied().unwrap_or_default());
    #[allow(clippy::cast_precision_loss)]
    let whole = (left.len() + right.len()) as f64;
    if whole == 0.0 { 1.0 } else { 2.0 * common / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_near_what_was_meant_and_others_are_not() {
        let known = ["reference", "input", "partial_score", "absolute_tolerance"];
        for (given, meant) in [
            ("refrence", Some("reference")),
            ("Reference", Some("reference")),
            ("partial", Some("partial_score")),
            ("absolute_tolerence", Some("absolute_tolerance")),
            ("threshold", None),
            ("", None),
        ] {
            assert_eq!(nearest(given, known.into_iter()), meant, "{given}");
        }
    }
}
