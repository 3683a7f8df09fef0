//! BLEU and GLEU of one text, from the n-grams that it shares with the reference.

use crate::grade::count;
use crate::ngrams::Overlap;

/// The longest n-grams of both.
pub(crate) const ORDER: usize = 4;

/// BLEU: the geometric mean of the precisions of all orders that the text is long enough for, less what a text shorter
/// than the reference loses. An order without a match counts as half a match, the next such order as a quarter, and so
/// on (the smoothing of mteval). 0 where no word matches.
pub(crate) fn bleu(overlap: &Overlap) -> f64 {
    if overlap.matched(1) == 0 {
        return 0.0;
    }
    let (mut smoothed, mut logarithms, mut orders) = (1.0, 0.0, 0.0);
    for order in (1..=ORDER).take_while(|order| overlap.given(*order) > 0) {
        let matched = match overlap.matched(order) {
            0 => {
                smoothed /= 2.0;
                smoothed
            }
            matched => count(matched),
        };
        logarithms += (matched / count(overlap.given(order))).ln();
        orders += 1.0;
    }
    let brevity = (1.0 - count(overlap.expected(1)) / count(overlap.given(1))).min(0.0);
    (brevity + logarithms / orders).exp()
}

/// GLEU: shared n-grams of all orders over those of the text or the reference, whichever has more.
pub(crate) fn gleu(overlap: &Overlap) -> f64 {
    let sum = |of: fn(&Overlap, usize) -> usize| (1..=ORDER).map(|order| of(overlap, order)).sum::<usize>();
    let most = usize::max(sum(Overlap::given), sum(Overlap::expected));
    count(sum(Overlap::matched)) / count(most.max(1))
}
