//! Where a text gives its mathematical answer.
//!
//! Without a marker: the last `\boxed{…}` (with those that are joined to it by "and" or a comma); else what a last "the
//! answer is" states; else the whole text where it is one answer; else the last mathematics between dollars or
//! `\(…\)`, or the last number, whichever stands later. All of it is found in one or two passes.

use memchr::memmem;

use crate::latex::group;
use crate::location::{Region, lines_from_the_end};
use crate::maths_answer::Answer;
use crate::maths_syntax::LONGEST;
use crate::numeral::numerals;
/// Boxes that are looked at, from the end of the text.
const BOXES: usize = 32;
/// Longest text between two boxes that belong together, in bytes.
const BETWEEN_BOXES: usize = 48;
/// What outranks a box before it.
const FINAL: &str = "final answer is";
/// What states an answer in the last line.
const HASHES: &str = "####";
/// What states an answer, in lower case.
const CUES: [&str; 8] =
    ["answer is", "answer:", "answers are", "answer =", "solution is", "solutions are", "result is", HASHES];
/// What begins an explanation behind an answer.
const EXPLAINING: [&str; 6] = [" because", " since", " so that", ". ", ".\n", " where "];

/// The answer of a region; behind a marker the first, else the last.
pub(crate) fn find(region: Region<'_>) -> Option<Answer> {
    match region {
        Region::Nowhere => None,
        Region::AfterMarker(rest) => stated(rest),
        Region::Whole(text) => behind_box(text)
            .or_else(|| boxed(text))
            .or_else(|| behind_cue(text).and_then(stated))
            .or_else(|| last(text)),
    }
}

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
fn floor(text: &str, limit: usize) -> usize {
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
    for idle in ["\\text", "\\quad", "\\(", "\\)", "\\[", "\\]", "\\,", "\\ ", "$", "{", "}", "\\"] {
        words = words.replace(idle, " ");
    }
    // `and y_2 =` names what follows.
    let words = words.trim();
    let joint = match words.strip_suffix('=') {
        Some(named) => named.trim_end().rsplit_once(' ').map_or("", |(before, _)| before.trim_end()),
        None => words,
    };
    words.is_empty() || ["and", "or", ",", ";", "&"].iter().any(|join| joint.ends_with(join))
}

/// What is stated as the final answer behind the last box.
fn behind_box(text: &str) -> Option<Answer> {
    let start = memmem::rfind(text.as_bytes(), b"\\boxed")?;
    let rest = &text[start..floor(text, start + LONGEST)];
    let at = memmem::rfind(rest.to_ascii_lowercase().as_bytes(), FINAL.as_bytes())?;
    stated(&rest[at + FINAL.len()..])
}

/// The text behind the last phrase that states an answer. Four hashes do so in the last line; elsewhere they are a
/// heading.
pub(crate) fn behind_cue(text: &str) -> Option<&str> {
    let text = text.trim_end();
    let lower = text.to_ascii_lowercase();
    let end = |cue: &&str| {
        let end = memmem::rfind(lower.as_bytes(), cue.as_bytes())? + cue.len();
        (**cue != *HASHES || !text[end..].contains('\n')).then_some(end)
    };
    let rest = &text[CUES.iter().filter_map(end).max()?..];
    (!rest.is_empty()).then_some(rest)
}

/// The answer that `rest`, which follows a marker or cue, begins with.
pub(crate) fn stated(rest: &str) -> Option<Answer> {
    let rest = rest.trim_start_matches(|start: char| start.is_whitespace() || matches!(start, ':' | '*' | '_' | '='));
    let line_end = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
    let line = &rest[..floor(rest, line_end.min(LONGEST))];
    if let Some(answer) = boxed(line) {
        return Some(answer);
    }
    if let Some(segment) = segments(&rest[..floor(rest, LONGEST)]).next().filter(|segment| segment.start == 0) {
        // In `$x$ is 5` the name answers nothing; `$1$, $2$ and $3$` is read as a sentence.
        let answer = Answer::read(segment.content)?;
        let goes_on = line.get(segment.end..).is_some_and(|more| !more.trim_matches(['.', '*', ' ']).is_empty());
        if !goes_on || !answer.is_name() && !line[segment.end..].contains('$') {
            return Some(answer);
        }
    }
    let sentence = EXPLAINING.iter().filter_map(|cut| line.find(cut)).min().map_or(line, |end| &line[..end]);
    let whole = Answer::understood(sentence);
    whole.or_else(|| within(sentence)).or_else(|| Answer::read(sentence))
}

/// The answer inside a sentence: what begins it, else the last mathematics, what stands behind `is` or `=`, or the last
/// number.
fn within(sentence: &str) -> Option<Answer> {
    let first = numerals(sentence).next();
    if let Some(numeral) = first.filter(|numeral| numeral.start == 0) {
        return Answer::understood(&sentence[numeral.start..numeral.end]);
    }
    let number = numerals(sentence).last();
    let segment = segments(sentence).last();
    if let Some(segment) = segment
        && number.is_none_or(|number| number.start < segment.end)
        && let Some(answer) = Answer::understood(segment.content)
    {
        return Some(answer);
    }
    let behind =
        [" is ", " are ", "=", ": ", " be "].iter().filter_map(|cut| Some(sentence.rfind(cut)? + cut.len())).max();
    let side = behind.and_then(|behind| Answer::understood(&sentence[behind..]));
    side.or_else(|| number.and_then(|number| Answer::understood(&sentence[number.start..number.end])))
}

/// The last answer of a text that states none.
fn last(text: &str) -> Option<Answer> {
    let text = text.trim();
    if text.len() <= LONGEST
        && let Some(answer) = Answer::understood(text)
    {
        return Some(answer);
    }
    let segment = segments(text).last();
    let behind = segment.map_or(0, |segment| segment.end);
    // In its sentence the segment answers; below it a number does.
    let rest = &text[behind..];
    let is_inline =
        segment.is_some_and(|segment| !["$$", "\\["].iter().any(|open| text[segment.start..].starts_with(open)));
    let sentence_end = [". ", "\n"].iter().filter_map(|end| rest.find(end)).min().unwrap_or(rest.len());
    let rest = if is_inline { &rest[sentence_end..] } else { rest };
    let below = lines_from_the_end(rest).find(|line| numerals(line).next().is_some());
    if let Some(line) = below {
        let line = line.trim();
        if let Some(answer) = Answer::understood(line).or_else(|| within(line)) {
            return Some(answer);
        }
    }
    segment.and_then(|segment| Answer::read(segment.content))
}

/// Mathematics between `$…$`, `$$…$$`, `\(…\)` or `\[…\]`.
#[derive(Clone, Copy)]
struct Segment<'t> {
    start: usize,
    content: &'t str,
    end: usize,
}

/// All mathematics of a text that is marked as such.
fn segments(text: &str) -> impl Iterator<Item = Segment<'_>> {
    let bytes = text.as_bytes();
    let mut at = 0;
    // Closings that no longer occur are not looked for again.
    let mut missing = [false; 4];
    std::iter::from_fn(move || {
        loop {
            let start = at + memchr::memchr2(b'$', b'\\', bytes.get(at..)?)?;
            let (opening, close, missing) = match (bytes[start], bytes.get(start + 1)) {
                (b'$', Some(b'$')) => (2, "$$", &mut missing[0]),
                (b'\\', Some(b'(')) => (2, "\\)", &mut missing[1]),
                (b'\\', Some(b'[')) => (2, "\\]", &mut missing[2]),
                (b'$', _) => (1, "$", &mut missing[3]),
                (_, next) => {
                    // An escaped sign, or a command.
                    at = start + if next.is_some_and(u8::is_ascii) { 2 } else { 1 };
                    continue;
                }
            };
            at = start + opening;
            if *missing {
                continue;
            }
            let Some(length) = memmem::find_iter(&bytes[at..], close.as_bytes())
                .find(|length| close != "$" || !bytes[..at + length].ends_with(b"\\"))
            else {
                *missing = true;
                continue;
            };
            let content = &text[at..at + length];
            let end = at + length + close.len();
            // Inline mathematics stays in its line; a digit behind a dollar makes it a currency's.
            let is_currency = close == "$"
                && (content.contains('\n')
                    || content.contains("\\(")
                    || bytes.get(end).is_some_and(u8::is_ascii_digit));
            if is_currency || content.trim().is_empty() {
                continue;
            }
            at = end;
            return Some(Segment { start, content, end });
        }
    })
}
