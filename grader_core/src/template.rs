//! Texts with holes: `{{ item.a.b[0] }}` and `{{sample.output_text}}`, parsed once and filled for every sample. Strings
//! are filled in raw, numbers, booleans and null as JSON writes them, lists and objects as compact JSON with sorted
//! keys. A hole without a value is an error of that sample, never an empty text.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use crate::grade::{ErrorClass, GradeError};
use crate::scope::Scope;

/// The template that reads the sampled text as it is.
pub(crate) const OUTPUT_TEXT: &str = "{{sample.output_text}}";

/// What a sample has: the first four as the openai graders API names them, the others of this service alone.
const SAMPLE_KEYS: [&str; 6] = ["output_text", "output_json", "output_tools", "choices", "reasoning_text", "raw_text"];

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Hole(Variable),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    namespace: Namespace,
    key: String,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Namespace {
    Item,
    Sample,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Template {
    /// Parses `source`. The error says what is wrong, in words for the user.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((literal, after)) = rest.split_once("{{") {
            let Some((hole, behind)) = after.split_once("}}") else {
                return Err(format!("`{{{{` at byte {} is never closed by `}}}}`", source.len() - after.len() - 2));
            };
            if !literal.is_empty() {
                pieces.push(Piece::Literal(literal.to_owned()));
            }
            pieces.push(Piece::Hole(Variable::parse(hole.trim())?));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self { source: source.to_owned(), pieces })
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the filled text depends on the sample and not on the item alone.
    pub(crate) fn reads_sample(&self) -> bool {
        self.variables().any(|variable| variable.namespace == Namespace::Sample)
    }

    /// Whether the text is the same for every row and sample.
    pub(crate) fn is_fixed(&self) -> bool {
        self.variables().next().is_none()
    }

    /// The top-level keys of the item that the template reads.
    pub(crate) fn item_keys(&self) -> impl Iterator<Item = &str> {
        self.variables().filter(|variable| variable.namespace == Namespace::Item).map(|variable| variable.key.as_str())
    }

    fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Hole(variable) => Some(variable),
            Piece::Literal(_) => None,
        })
    }

    /// Fills every hole. A template that is one hole over a text borrows that text.
    pub(crate) fn render<'a>(&'a self, scope: Scope<'a>) -> Result<Cow<'a, str>, GradeError> {
        match self.pieces.as_slice() {
            [] => Ok(Cow::Borrowed("")),
            [Piece::Literal(text)] => Ok(Cow::Borrowed(text)),
            [Piece::Hole(variable)] => variable.value(scope),
            pieces => {
                let mut text = String::new();
                for piece in pieces {
                    match piece {
                        Piece::Literal(literal) => text.push_str(literal),
                        Piece::Hole(variable) => text.push_str(&variable.value(scope)?),
                    }
                }
                Ok(Cow::Owned(text))
            }
        }
    }
}

impl Variable {
    fn parse(hole: &str) -> Result<Self, String> {
        let refused = |why: &str| {
            format!("`{{{{{hole}}}}}` {why}; write it as `{{{{item.key}}}}` or `{{{{sample.output_text}}}}`")
        };
        let (namespace, mut rest) = match hole.split_once('.') {
            Some(("item", rest)) => (Namespace::Item, rest),
            Some(("sample", rest)) => (Namespace::Sample, rest),
            _ => return Err(refused("is neither `item.` nor `sample.` with a key")),
        };
        let key = take_key(&mut rest).ok_or_else(|| refused("lacks a key after the dot"))?.to_owned();
        if namespace == Namespace::Sample && !SAMPLE_KEYS.contains(&key.as_str()) {
            return Err(format!("`{{{{{hole}}}}}` is nothing that a sample has; it has {}", SAMPLE_KEYS.join(", ")));
        }
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                rest = after;
                steps
                    .push(Step::Key(take_key(&mut rest).ok_or_else(|| refused("lacks a key after a dot"))?.to_owned()));
            } else {
                let index = rest.strip_prefix('[').and_then(|after| after.split_once(']'));
                let (digits, after) = index.ok_or_else(|| refused("has more than keys, dots and [n]"))?;
                steps.push(Step::Index(digits.parse().map_err(|_| refused("has an index that is no whole number"))?));
                rest = after;
            }
        }
        Ok(Self { namespace, key, steps })
    }

    fn value<'a>(&'a self, scope: Scope<'a>) -> Result<Cow<'a, str>, GradeError> {
        let top = match self.namespace {
            Namespace::Item => scope.item.field(&self.key)?,
            Namespace::Sample if self.key == "output_text" && self.steps.is_empty() => {
                return Ok(Cow::Borrowed(scope.sample.output_text()));
            }
            Namespace::Sample => scope.sample.field(&self.key)?,
        };
        let found = self.steps.iter().try_fold(top, |value, step| {
            value.map(|value| match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(index),
            })
        });
        match found.flatten() {
            Some(Value::String(text)) => Ok(Cow::Borrowed(text)),
            Some(value) => Ok(Cow::Owned(value.to_string())),
            None => Err(GradeError::new(
                ErrorClass::InvalidVariable,
                format!("{} has no value in this sample", self.spelled()),
            )),
        }
    }

    fn spelled(&self) -> String {
        let namespace = if self.namespace == Namespace::Item { "item" } else { "sample" };
        let mut spelled = format!("{namespace}.{}", self.key);
        for step in &self.steps {
            // Writing to a String cannot fail.
            let _ = match step {
                Step::Key(key) => write!(spelled, ".{key}"),
                Step::Index(index) => write!(spelled, "[{index}]"),
            };
        }
        spelled
    }
}

/// Takes a key off the front of `rest`; `None` where there is none.
fn take_key<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let end = rest.find(|letter: char| matches!(letter, '.' | '[' | ']' | '{' | '}' | '|') || letter.is_whitespace());
    let (key, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    (!key.is_empty()).then_some(key)
}
