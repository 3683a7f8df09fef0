//! What the words around a choice say of it: whether it is denied (`not B`), called right or called wrong.

use crate::occurrence::{ADVERBS, LABELS, LINKS, Occurrence};
use crate::words::Words;

/// Directly before a choice these deny it, with links, adverbs and labels between: `not option B`. `isn't` is two words.
const DENIALS: [&str; 8] = ["not", "cannot", "never", "neither", "nor", "except", "isnt", "cant"];
/// The same as the end of a word in languages that write no spaces.
const UNSPACED_DENIALS: [&str; 6] = ["不是", "不选", "不選", "不能选", "并非", "並非"];
/// Verbs that may stand between a denial and the choice: `do not pick B`.
const DENIED_VERBS: [&str; 5] = ["choose", "pick", "select", "answer", "say"];
/// What a stated choice may be called behind it: `B is correct`.
const PRAISE: [&str; 4] = ["correct", "right", "answer", "best"];
/// And a denied one: `B is wrong`.
const BLAME: [&str; 8] = ["incorrect", "wrong", "false", "invalid", "impossible", "excluded", "eliminated", "ruled"];
/// What such a sentence goes on with behind the choice.
const VERDICT_VERBS: [&str; 12] =
    ["is", "was", "isn", "wasn", "can", "cannot", "could", "couldn", "would", "wouldn", "must", "mustn"];
/// What may stand in it before the judgement.
const VERDICT_FILLERS: [&str; 4] = ["be", "a", "an", "have"];

impl Occurrence<'_> {
    /// `not B`, `isn't option B`, `do not pick B`.
    pub(crate) fn is_denied(&self) -> bool {
        let mut right = self.start;
        let (mut is_t, mut is_linked) = (false, false);
        for word in self.before.iter().rev() {
            let name = word.text(self.text);
            let is_one_of = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
            if is_t {
                return name.ends_with(['n', 'N']) && self.text[word.end..right].chars().eq([self.left_of(right)]);
            }
            if !self.is_near(word.end, right) || self.text[word.end..right].contains('\n') {
                return false;
            }
            if is_one_of(&DENIALS) || UNSPACED_DENIALS.iter().any(|denial| name.ends_with(denial)) {
                return true;
            }
            is_t = name.eq_ignore_ascii_case("t") && matches!(self.left_of(word.start), '\'' | '’');
            is_linked |= is_one_of(&LINKS);
            // In `neither the answer is B` the verb is a noun, and the denial of something else.
            let goes_on = is_one_of(&LINKS)
                || is_one_of(&ADVERBS)
                || is_one_of(&LABELS)
                || !is_linked && is_one_of(&DENIED_VERBS);
            if !is_t && !goes_on {
                return false;
            }
            right = word.start;
        }
        false
    }

    fn left_of(&self, place: usize) -> char {
        self.text[..place].chars().next_back().unwrap_or(' ')
    }

    /// What the words behind say of the choice: true for `B is correct`, `(B) is the right answer`, false for `B is not
    /// correct`, `B is wrong`.
    pub(crate) fn verdict(&self) -> Option<bool> {
        let mut right = self.end;
        let mut is_denied = false;
        for (distance, word) in Words::by_script(&self.text[self.end..]).take(6).enumerate() {
            let (start, end) = (self.end + word.start, self.end + word.end);
            let name = &self.text[start..end];
            let is_one_of = |list: &[&str]| list.iter().any(|known| known.eq_ignore_ascii_case(name));
            if !self.is_near(right, start) || self.text[right..start].contains('\n') {
                return None;
            }
            right = end;
            let is_not = is_one_of(&["not", "cannot"])
                || name.eq_ignore_ascii_case("t") && matches!(self.left_of(start), '\'' | '’');
            if distance == 0 && !is_one_of(&VERDICT_VERBS) {
                return None;
            } else if is_not {
                is_denied = true;
            } else if distance > 0 && is_one_of(&PRAISE) {
                return Some(!is_denied);
            } else if distance > 0 && is_one_of(&BLAME) {
                return if is_denied { None } else { Some(false) };
            } else if distance > 0 && ![&ADVERBS[..], &VERDICT_FILLERS].into_iter().any(is_one_of) {
                return None;
            }
        }
        None
    }
}
