//! Where a text gives its mathematical answer.
//!
//! Without a marker: the last `\boxed{…}` (with those that are joined to it by "and" or a comma); else what a last "the
//! answer is" states; else the whole text where it is one answer; else the last mathematics between dollars or
//! `\(…\)`, or the last number, whichever stands later. All of it is found in one or two passes.

use std::ops::Range;

use memchr::memmem;

use crate::location::{Region, lines_from_the_end};
use crate::maths_answer::Answer;
use crate::maths_boxes::{boxed, floor};
use crate::maths_segments::segments;
use crate::maths_syntax::LONGEST;
use crate::numeral::{CURRENCIES, numerals};

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
    let amounts = amounts(sentence);
    if let Some(first) = amounts.first().filter(|amount| amount.start == 0) {
        return Answer::understood(&sentence[first.clone()]);
    }
    let amount = amounts.last();
    let segment = segments(sentence).last();
    if let Some(segment) = segment
        && amount.is_none_or(|amount| amount.start < segment.end)
        && let Some(answer) = Answer::understood(segment.content)
    {
        return Some(answer);
    }
    // `2,50 $ a day`: what follows a currency is prose.
    if let Some(price) = amount.filter(|amount| sentence[amount.end..].trim_start_matches(' ').starts_with(CURRENCIES))
    {
        return Answer::understood(&sentence[price.clone()]);
    }
    let behind =
        [" is ", " are ", "=", ": ", " be "].iter().filter_map(|cut| Some(sentence.rfind(cut)? + cut.len())).max();
    let side = behind.and_then(|behind| Answer::understood(&sentence[behind..]));
    side.or_else(|| amount.and_then(|amount| Answer::understood(&sentence[amount.clone()])))
}

/// Where the numbers of a sentence stand. Two that a comma alone joins, `2,5`, are one; more are a list.
fn amounts(sentence: &str) -> Vec<Range<usize>> {
    let numbers: Vec<Range<usize>> = numerals(sentence).map(|numeral| numeral.start..numeral.end).collect();
    let touch = |left: &Range<usize>, right: &Range<usize>| &sentence[left.end..right.start] == ",";
    let is_bare = |number: &Range<usize>| !sentence[number.clone()].contains(['.', '/', '^']);
    let is_decimal = |whole: &Range<usize>, fraction: &Range<usize>| {
        let (before, behind) = (&sentence[whole.clone()], &sentence[fraction.clone()]);
        let is_digit = |character: char| character.is_ascii_digit();
        is_bare(whole) && is_bare(fraction) && before.ends_with(is_digit) && behind.starts_with(is_digit)
    };
    let parts = |chain: &[Range<usize>]| match chain {
        [whole, fraction] if is_decimal(whole, fraction) => std::iter::once(whole.start..fraction.end).collect(),
        others => others.to_vec(),
    };
    numbers.chunk_by(touch).flat_map(parts).collect()
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
