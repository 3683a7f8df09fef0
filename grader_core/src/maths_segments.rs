//! Mathematics that a text marks as such.

use memchr::memmem;

/// Mathematics between `$…$`, `$$…$$`, `\(…\)` or `\[…\]`.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'t> {
    pub(crate) start: usize,
    pub(crate) content: &'t str,
    pub(crate) end: usize,
}

/// All mathematics of a text that is marked as such.
pub(crate) fn segments(text: &str) -> impl Iterator<Item = Segment<'_>> {
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
            // Inline mathematics stays in its line; a digit behind a dollar makes it a currency's, and so does one
            // before it where a space follows: `5$ a day, 20$ a month`.
            let is_behind_digit = bytes[..start].last().is_some_and(u8::is_ascii_digit);
            let is_currency = close == "$"
                && (content.contains('\n')
                    || content.contains("\\(")
                    || is_behind_digit && content.starts_with(' ')
                    || bytes.get(end).is_some_and(u8::is_ascii_digit));
            if is_currency || content.trim().is_empty() {
                continue;
            }
            at = end;
            return Some(Segment { start, content, end });
        }
    })
}
