//! The boxes of a text, `\boxed{…}`: which one is the answer, and which belong together.

use memchr::memmem;

use crate::latex::group;
use crate::maths_answer::Answer;
use crate::maths_syntax::LONGEST;

/// What opens a box.
const OPENING: &[u8] = b"\\boxed{";
/// Boxes that are looked at, from the end of the text.
const BOXES: usize = 32;
/// Longest text between two boxes that belong together, in bytes.
const BETWEEN_BOXES: usize = 48;

/// The last box, with the boxes before it that it is joined to.
pub(crate) fn boxed(text: &str) -> Option<Answer> {
    let mut contents: Vec<&str> = Vec::new();
    let mut last_start = text.len();
    let mut end = text.len();
    for _ in 0..BOXES {
        let Some((start, content, behind)) = last_box(text, end) else { break };
        end = start;
        let Some(content) = content else { continue };
        if !contents.is_empty() && !text.get(behind..last_start).is_some_and(joins) {
            break;
        }
        contents.push(content);
        last_start = start;
    }
    contents.reverse();
    contents.dedup();
    let joined = contents.join(", ");
    let all = if contents.len() > 1 { Answer::understood(&joined) } else { None };
    all.or_else(|| Answer::read(contents.last()?))
}

/// The last `\boxed` before `end`: where it begins, its content unless it never ends, and the place behind it.
fn last_box(text: &str, end: usize) -> Option<(usize, Option<&str>, usize)> {
    let before = text.get(..end)?;
    let start = memmem::rfind(before.as_bytes(), b"\\boxed").max(memmem::rfind(before.as_bytes(), b"\\fbox"))?;
    let name = if text[start..].starts_with("\\boxed") { 6 } else { 5 };
    let rest = &text[start + name..];
    let spaces = rest.len() - rest.trim_start_matches(' ').len();
    let window = &rest[spaces..floor(rest, spaces + LONGEST + 2)];
    if window.starts_with('{') {
        let content = group(window);
        let behind = start + name + spaces + content.map_or(0, |content| content.len() + 2);
        return Some((start, content, behind));
    }
    // `\boxed 5`
    let word = window.split(|end: char| end.is_whitespace() || matches!(end, '$' | ',')).next().unwrap_or_default();
    Some((start, (spaces > 0 && !word.is_empty()).then_some(word), start + name + spaces + word.len()))
}

/// `limit`, or the last boundary of a character before it.
pub(crate) fn floor(text: &str, limit: usize) -> usize {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    end
}

/// Whether what stands between two boxes makes them parts of one answer.
fn joins(between: &str) -> bool {
    if between.len() > BETWEEN_BOXES || between.contains(". ") {
        return false;
    }
    let mut words = between.to_lowercase();
    for operator in ["\\times", "\\cdot", "\\div"] {
        words = words.replace(operator, "*");
    }
    for idle in ["\\text", "\\quad", "\\(", "\\)", "\\[", "\\]", "\\,", "\\ ", "$", "{", "}", "\\"] {
        words = words.replace(idle, " ");
    }
    // `and y_2 =` names what follows.
    let words = words.trim();
    // `\boxed{4} + \boxed{9} = 13` fills the gaps of one formula.
    let fills = !between.contains('\n') && words.chars().all(|sign| "+-*/×÷·− ".contains(sign));
    let joint = match words.strip_suffix('=') {
        Some(named) => named.trim_end().rsplit_once(' ').map_or("", |(before, _)| before.trim_end()),
        None => words,
    };
    words.is_empty() || fills || ["and", "or", ",", ";", "&"].iter().any(|join| joint.ends_with(join))
}

/// What follows the last box where it never ends, in one line: the writer of a reference cut it off, no model.
pub(crate) fn open_box(text: &str) -> Option<Answer> {
    let rest = &text[memmem::rfind(text.as_bytes(), OPENING)? + OPENING.len()..];
    if rest.trim_end().contains('\n') { None } else { Answer::read(rest) }
}
