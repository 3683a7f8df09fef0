//! Where in a text the answer is looked for: after the last occurrence of a marker, or anywhere.

use memchr::{memrchr, memrchr2};

use crate::wire;

/// A marker in lower case and whether an answer needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    marker: String,
    folded: Vec<char>,
    required: bool,
}

/// The part of a text that may hold the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Region<'t> {
    /// What follows the marker: the first answer counts.
    AfterMarker(&'t str),
    /// The whole text: the last answer counts.
    Whole(&'t str),
    /// The marker is required and absent: there is no answer.
    Nowhere,
}

impl<'t> Region<'t> {
    /// The text of the region.
    pub(crate) fn text(self) -> Option<&'t str> {
        match self {
            Self::AfterMarker(text) | Self::Whole(text) => Some(text),
            Self::Nowhere => None,
        }
    }

    /// The same region of another text.
    pub(crate) fn with_text(self, text: &str) -> Region<'_> {
        match self {
            Self::AfterMarker(_) => Region::AfterMarker(text),
            Self::Whole(_) => Region::Whole(text),
            Self::Nowhere => Region::Nowhere,
        }
    }
}

impl Location {
    pub(crate) fn read(location: Option<&wire::AnswerLocation>) -> Self {
        let location = location.cloned().unwrap_or_default();
        let folded = location.marker.chars().map(fold).collect();
        Self { marker: location.marker, folded, required: location.marker_required }
    }

    pub(crate) fn to_wire(&self) -> Option<wire::AnswerLocation> {
        let location = wire::AnswerLocation { marker: self.marker.clone(), marker_required: self.required };
        Some(location)
    }

    /// Whether the settings contradict each other: a required marker that is empty.
    pub(crate) fn lacks_required_marker(&self) -> bool {
        self.required && self.marker.is_empty()
    }

    /// Narrows `text` to where the answer may be.
    pub(crate) fn narrow<'t>(&self, text: &'t str) -> Region<'t> {
        if self.marker.is_empty() {
            return Region::Whole(text);
        }
        match self.end_of_last_marker(text) {
            Some(end) => Region::AfterMarker(&text[end..]),
            None if self.required => Region::Nowhere,
            None => Region::Whole(text),
        }
    }

    fn end_of_last_marker(&self, text: &str) -> Option<usize> {
        let first = *self.folded.first()?;
        let mut end = text.len();
        while let Some(start) = last_start(&text[..end], first) {
            if let Some(length) = self.length_at(&text[start..]) {
                return Some(start + length);
            }
            end = start;
        }
        None
    }

    /// The marker's length in bytes where `text` starts with it, compared without case.
    fn length_at(&self, text: &str) -> Option<usize> {
        let marker = self.marker.as_bytes();
        if let Some(head) = text.as_bytes().get(..marker.len()).filter(|head| head.is_ascii() && marker.is_ascii()) {
            return head.eq_ignore_ascii_case(marker).then_some(marker.len());
        }
        let mut letters = text.chars();
        self.folded
            .iter()
            .all(|expected| letters.next().is_some_and(|letter| fold(letter) == *expected))
            .then(|| text.len() - letters.as_str().len())
    }
}

/// The last place in `text` where the marker's first letter stands, in either case.
fn last_start(text: &str, first: char) -> Option<usize> {
    match u8::try_from(first) {
        // In a marker like `####` the letter before is the next one to look at.
        Ok(byte) if byte.is_ascii() && text.as_bytes().last() == Some(&byte) => Some(text.len() - 1),
        Ok(byte) if byte.is_ascii_alphabetic() => memrchr2(byte, byte.to_ascii_uppercase(), text.as_bytes()),
        Ok(byte) if byte.is_ascii() => memrchr(byte, text.as_bytes()),
        _ => text.char_indices().rev().find(|(_, letter)| fold(*letter) == first).map(|(start, _)| start),
    }
}

/// A letter without case, where one letter stays one letter; others stay as they are.
fn fold(letter: char) -> char {
    if letter.is_ascii() {
        return letter.to_ascii_lowercase();
    }
    let mut lower = letter.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(single), None) => single,
        _ => letter,
    }
}

/// The lines of a text, the last one first.
pub(crate) fn lines_from_the_end(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let start = memrchr(b'\n', text.as_bytes()).map_or(0, |newline| newline + 1);
        rest = (start > 0).then(|| &text[..start - 1]);
        Some(&text[start..])
    })
}
