//! Regular expressions that a user writes: matched in time linear in the text, refused where they would be large.

use regex::{Captures, Regex, RegexBuilder};

use crate::error::{GraderError, Path};

/// Largest compiled pattern. It bounds the cost of a byte of text, which grows with the pattern.
const COMPILED_BYTES_MAX: usize = 256 * 1024;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source() == other.source()
    }
}

impl Pattern {
    pub(crate) fn read(source: &str, path: &Path, key: &str) -> Result<Self, GraderError> {
        let refused = |fault: regex::Error| match fault {
            regex::Error::CompiledTooBig(limit) => {
                path.refuse(key, format!("comes to more than {limit} bytes compiled; repeat less, or fewer characters"))
            }
            // Its message draws the pattern over several lines; the last one says what is wrong.
            other => {
                let message = other.to_string();
                let why = message.lines().last().unwrap_or_default().trim_start_matches("error: ");
                path.refuse(key, format!("is no regular expression of Rust's regex crate: {why}; given `{source}`"))
            }
        };
        RegexBuilder::new(source).size_limit(COMPILED_BYTES_MAX).build().map(Self).map_err(refused)
    }

    pub(crate) fn source(&self) -> &str {
        self.0.as_str()
    }

    /// Whether there is a group to compare.
    pub(crate) fn has_group(&self) -> bool {
        self.0.captures_len() > 1
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The groups of the first match.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.0.captures(text)
    }
}
