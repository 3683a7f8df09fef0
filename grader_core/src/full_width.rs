//! Characters of full width, as Chinese, Japanese and Korean texts have them beside those of ASCII: `４２`, `（１，２）`.

use std::borrow::Cow;

use memchr::memchr;

/// The first byte of all of them.
const LEAD: u8 = 0xef;
/// From a character of full width to that of ASCII.
const DISTANCE: u32 = 0xfee0;

/// The text with ASCII for what is of full width (as Unicode's NFKC has it).
pub(crate) fn narrowed(text: &str) -> Cow<'_, str> {
    if memchr(LEAD, text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(ascii).collect())
}

fn ascii(character: char) -> char {
    match character {
        '！'..='～' => char::from_u32(u32::from(character) - DISTANCE).unwrap_or(character),
        '\u{3000}' => ' ',
        other => other,
    }
}
