//! Finds a list in a text: a JSON array, numbered or bulleted lines, one answer a line, or answers with commas between.
//! Of several lists the first one counts behind a marker, else the last one.

use std::borrow::Cow;

use serde_json::Value;

use crate::location::Region;

/// Signs that begin a bulleted line.
const BULLETS: [char; 8] = ['-', '*', '•', '–', '—', '·', '‣', '▪'];
/// Lines longer than this are prose, not one answer each.
const ANSWER_BYTES: usize = 120;

/// The entries of the list, each with whatever explanation stands behind it on its line.
pub(crate) fn entries<'t>(region: Region<'t>) -> Vec<Cow<'t, str>> {
    match region {
        Region::Nowhere => Vec::new(),
        Region::AfterMarker(text) => {
            let text = without_lead_in(text);
            json_at_start(text).unwrap_or_else(|| lines_or_inline(text, true))
        }
        Region::Whole(text) => json_at_end(text).unwrap_or_else(|| lines_or_inline(text, false)),
    }
}

fn lines_or_inline<'t>(text: &'t str, first: bool) -> Vec<Cow<'t, str>> {
    let starts_with_prose = first && text.lines().next().is_some_and(|line| item(line).is_none());
    let mut blocks = if starts_with_prose { Vec::new() } else { blocks(text) };
    let block = if first { blocks.into_iter().next() } else { blocks.pop() };
    let entries = match block.map(|block| block.entries) {
        // `1. NF1, 2. SPRED1` is a list on one line.
        Some(entries) if entries.len() == 1 && numbers_go_on(entries[0]) => separated(entries[0]),
        Some(entries) => entries,
        None => inline(text, first),
    };
    entries.into_iter().map(Cow::Borrowed).collect()
}

fn numbers_go_on(entry: &str) -> bool {
    entry
        .split([',', ';', '，', '；'])
        .nth(1)
        .is_some_and(|second| numbered(second.trim()).is_some_and(|(number, _)| number == 2))
}

/// Drops empty lines and lines that only announce the list, such as the rest of `Final answer (most likely first):`.
fn without_lead_in(mut text: &str) -> &str {
    while let Some((line, rest)) = text.split_once('\n') {
        let line = line.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '*' | '_' | '`' | '#'));
        if !line.is_empty() && !line.ends_with(':') && !line.eq_ignore_ascii_case("json") {
            break;
        }
        text = rest;
    }
    text
}

fn json_at_start<'t>(text: &str) -> Option<Vec<Cow<'t, str>>> {
    let array = text.trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, ':' | '*' | '`'));
    if !array.starts_with('[') {
        return None;
    }
    serde_json::Deserializer::from_str(array).into_iter::<Vec<Value>>().next()?.ok().map(texts)
}

/// An array at the end of the text, where only fences and closing braces may follow.
fn json_at_end<'t>(text: &str) -> Option<Vec<Cow<'t, str>>> {
    let text = text.trim_end_matches(|letter: char| letter.is_whitespace() || matches!(letter, '`' | '}' | '.' | '*'));
    let mut depth = 0_usize;
    let start = text.strip_suffix(']').and_then(|_| {
        text.bytes().enumerate().rev().find_map(|(place, byte)| {
            match byte {
                b']' => depth += 1,
                b'[' => depth = depth.saturating_sub(1),
                _ => {}
            }
            (depth == 0).then_some(place)
        })
    })?;
    let values = serde_json::from_str::<Vec<Value>>(&text[start..]).ok()?;
    // Behind other text an array without texts is a citation such as [1].
    (start == 0 || values.iter().any(Value::is_string)).then(|| texts(values))
}

fn texts<'t>(values: Vec<Value>) -> Vec<Cow<'t, str>> {
    let text = |value| match value {
        Value::String(text) => Some(Cow::Owned(text)),
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        _ => None,
    };
    values.into_iter().filter_map(text).collect()
}

/// A numbered or bulleted line.
struct Item<'t> {
    indent: usize,
    /// `None` for a bullet.
    number: Option<u32>,
    content: &'t str,
}

fn item(line: &str) -> Option<Item<'_>> {
    let bare = line.trim_start();
    let indent = line.len() - bare.len();
    if let Some((number, content)) = numbered(bare) {
        return Some(Item { indent, number: Some(number), content });
    }
    let content = bare.strip_prefix(BULLETS)?.strip_prefix(char::is_whitespace)?.trim();
    (!content.is_empty()).then_some(Item { indent, number: None, content })
}

/// `1. x`, `1) x`, `(1) x`, `1: x`, `#1 x`, `**1.** x`, `### 1. x`, `1、x`, `a) x`, `① x`.
pub(crate) fn numbered(line: &str) -> Option<(u32, &str)> {
    let bare = line.trim_start_matches(['*', '_', '#', ' ', '(', '（']);
    if let Some((number, rest)) = lettered(bare) {
        let content = rest.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '*' | ')'));
        return (!content.is_empty()).then_some((number, content));
    }
    let digits = bare.bytes().take_while(u8::is_ascii_digit).count();
    let number = bare.get(..digits).filter(|digits| digits.len() <= 3)?.parse().ok()?;
    let rest = &bare[digits..];
    let has_hash = line.starts_with('#') && !line.starts_with("##") && rest.starts_with(' ');
    let content = if has_hash { rest } else { rest.strip_prefix(['.', ')', ':', '、', '．', '：', '）'])? };
    // `1.5 mg` and `10:30` are no first entries.
    if content.starts_with(|next: char| next.is_ascii_digit()) {
        return None;
    }
    let content = content.trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '*' | ')'));
    (!content.is_empty()).then_some((number, content))
}

/// `a) x` and `① x` with their place in the alphabet, or on the clock.
fn lettered(bare: &str) -> Option<(u32, &str)> {
    let first = bare.chars().next()?;
    let rest = &bare[first.len_utf8()..];
    match first {
        'a'..='z' => Some((u32::from(first) - u32::from('a') + 1, rest.strip_prefix(") ")?)),
        '①'..='⑳' => Some((u32::from(first) - u32::from('①') + 1, rest)),
        _ => None,
    }
}

/// Lines that make one list.
struct Block<'t> {
    indent: usize,
    last_number: Option<u32>,
    /// Whether bullets between its numbers have shown to be explanations.
    explains_in_bullets: bool,
    /// Whether a bulleted list was ended by a line of prose.
    is_closed: bool,
    entries: Vec<&'t str>,
}

impl<'t> Block<'t> {
    fn new(item: &Item<'t>) -> Self {
        let entries = vec![item.content];
        Self { indent: item.indent, last_number: item.number, explains_in_bullets: false, is_closed: false, entries }
    }
}

/// The lists of numbered or bulleted lines, from top to bottom. A numbered list goes on over whatever stands between
/// its numbers.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in text.lines() {
        match item(line) {
            Some(item) => match item.number {
                Some(number) => add_numbered(&mut blocks, &item, number),
                None => add_bullet(&mut blocks, &item),
            },
            None if line.trim().is_empty() => {}
            None => {
                let indent = line.len() - line.trim_start().len();
                if let Some(block) = blocks.last_mut().filter(|block| indent <= block.indent) {
                    block.is_closed = true;
                }
            }
        }
    }
    blocks
}

fn add_numbered<'t>(blocks: &mut Vec<Block<'t>>, item: &Item<'t>, number: u32) {
    // Bulleted explanations come one block at a time, so the list that goes on is one of the last two.
    let recent = blocks.len().saturating_sub(2);
    let goes_on = blocks[recent..].iter().rposition(|block| block.last_number.is_some_and(|last| last + 1 == number));
    if let Some(place) = goes_on.map(|place| recent + place) {
        let explains_in_bullets = blocks.len() > place + 1;
        blocks.truncate(place + 1);
        if let Some(block) = blocks.last_mut() {
            block.last_number = Some(number);
            block.explains_in_bullets |= explains_in_bullets;
            block.entries.push(item.content);
        }
        return;
    }
    // A numbered explanation inside a list is indented.
    if blocks.last().is_none_or(|block| item.indent <= block.indent) {
        blocks.push(Block::new(item));
    }
}

fn add_bullet<'t>(blocks: &mut Vec<Block<'t>>, item: &Item<'t>) {
    match blocks.last_mut() {
        Some(block) if item.indent > block.indent || block.explains_in_bullets => {}
        Some(block) if block.last_number.is_none() && !block.is_closed => block.entries.push(item.content),
        _ => blocks.push(Block::new(item)),
    }
}

/// A list without marks: the lines of a paragraph, or one line with separators.
fn inline(text: &str, first: bool) -> Vec<&str> {
    let paragraph = if first { first_paragraph(text) } else { last_paragraph(text) };
    let lines: Vec<&str> = paragraph.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_one_a_line =
        lines.iter().all(|line| line.len() <= ANSWER_BYTES && !line.contains([',', ';', '>']) && !line.ends_with('.'));
    if lines.len() > 1 && is_one_a_line {
        return lines;
    }
    let line = if first { lines.first() } else { lines.last() };
    line.map_or_else(Vec::new, |line| separated(line))
}

fn first_paragraph(text: &str) -> &str {
    let text = text.trim_start();
    text.split("\n\n").next().unwrap_or(text)
}

fn last_paragraph(text: &str) -> &str {
    let text = text.trim_end();
    text.rsplit("\n\n").next().unwrap_or(text)
}

fn separated(line: &str) -> Vec<&str> {
    let separator =
        [';', '>', ',', '；', '，', '、'].into_iter().find(|separator| line.contains(*separator)).unwrap_or(',');
    let head = line.split(separator).next().unwrap_or_default();
    // `The genes are: A, B` begins behind the colon.
    let start = head.rfind(": ").map_or(0, |colon| colon + 2);
    line[start..].split(separator).map(trimmed).filter(|entry| !entry.is_empty()).collect()
}

fn trimmed(entry: &str) -> &str {
    let entry = entry.trim();
    let entry = ["and ", "or ", "& "].into_iter().find_map(|word| entry.strip_prefix(word)).unwrap_or(entry);
    numbered(entry)
        .map_or(entry, |(_, content)| content)
        .trim_matches(|letter: char| letter.is_whitespace() || matches!(letter, '.' | '*'))
}
