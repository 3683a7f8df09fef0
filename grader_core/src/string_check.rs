//! Compares two texts: equal, different, or one containing the other. Texts are taken literally: nothing is trimmed, no
//! wildcard is known.

use std::borrow::Cow;

use memchr::memmem;

use crate::error::{GraderError, Path};
use crate::grade::{Grade, GradeError};
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::read_template;
use crate::template::Template;
use crate::wire;

/// The comparisons as JSON spells them, in the order of the contract's numbers, which start at 1.
pub(crate) const OPERATIONS: [&str; 4] = ["eq", "ne", "like", "ilike"];

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StringCheck {
    input: Template,
    reference: Template,
    operation: Operation,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Equal = 1,
    NotEqual = 2,
    Contains = 3,
    ContainsWithoutCase = 4,
}

impl StringCheck {
    pub(crate) fn read(check: &wire::StringCheckGrader, path: &Path) -> Result<Self, GraderError> {
        if check.input.is_empty() {
            return Err(GraderError::MissingField { field: path.field("input") });
        }
        let operation = match check.operation {
            0 => return Err(GraderError::MissingField { field: path.field("operation") }),
            1 => Operation::Equal,
            2 => Operation::NotEqual,
            3 => Operation::Contains,
            4 => Operation::ContainsWithoutCase,
            other => {
                let detail = format!("must be one of {} (1 to 4), got {other}", OPERATIONS.join(", "));
                return Err(path.refuse("operation", detail));
            }
        };
        let input = read_template(&check.input, path, "input")?;
        Ok(Self { input, reference: read_template(&check.reference, path, "reference")?, operation })
    }

    pub(crate) fn to_wire(&self) -> wire::StringCheckGrader {
        wire::StringCheckGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            operation: self.operation as i32,
        }
    }
}

impl PlainKind for StringCheck {
    type Expected = String;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    /// The expected text in the form that it is compared in.
    fn expect(&self, scope: Scope<'_>) -> Result<String, GradeError> {
        let reference = self.reference.render(scope)?;
        Ok(match self.operation {
            Operation::ContainsWithoutCase => fold(&reference).into_owned(),
            _ => reference.into_owned(),
        })
    }

    /// 1 where the comparison holds, else 0.
    fn grade(&self, expected: &String, text: &str) -> Grade {
        let contains = |text: &str| memmem::find(text.as_bytes(), expected.as_bytes()).is_some();
        let holds = match self.operation {
            Operation::Equal => text == expected,
            Operation::NotEqual => text != expected,
            Operation::Contains => contains(text),
            Operation::ContainsWithoutCase => contains(&fold(text)),
        };
        Grade::scored(f64::from(u8::from(holds)))
    }
}

/// `text` without case: Unicode lower case of its upper case, so that ß meets SS and σ meets ς.
fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    // Letter by letter: str::to_lowercase would write a sigma at the end of a word differently from one inside it.
    Cow::Owned(text.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect())
}
