//! Matches a regular expression: anywhere in the text, unless the pattern is anchored. With a reference the first group
//! of the first match must equal it.

use crate::error::{GraderError, Path};
use crate::grade::{Grade, GradeError};
use crate::pattern::Pattern;
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::{read_input, read_template};
use crate::template::Template;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct RegexMatch {
    input: Template,
    pattern: Pattern,
    reference: Template,
}

impl RegexMatch {
    pub(crate) fn read(regex: &wire::RegexGrader, path: &Path) -> Result<Self, GraderError> {
        if regex.pattern.is_empty() {
            return Err(GraderError::MissingField { field: path.field("pattern") });
        }
        let pattern = Pattern::read(&regex.pattern, path, "pattern")?;
        if !regex.reference.is_empty() && !pattern.has_group() {
            return Err(path.refuse("pattern", "needs a group, `(…)`, whose text `reference` is compared with"));
        }
        let reference = read_template(&regex.reference, path, "reference")?;
        Ok(Self { input: read_input(&regex.input, path)?, pattern, reference })
    }

    pub(crate) fn to_wire(&self) -> wire::RegexGrader {
        wire::RegexGrader {
            input: self.input.source().to_owned(),
            pattern: self.pattern.source().to_owned(),
            reference: self.reference.source().to_owned(),
        }
    }

    fn compares(&self) -> bool {
        !self.reference.source().is_empty()
    }
}

impl PlainKind for RegexMatch {
    type Expected = String;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    fn expect(&self, scope: Scope<'_>) -> Result<String, GradeError> {
        Ok(self.reference.render(scope)?.into_owned())
    }

    /// 1 where the pattern matches and its first group is the reference, else 0.
    fn grade(&self, expected: &String, text: &str) -> Grade {
        if !self.pattern.has_group() {
            return Grade::scored(f64::from(u8::from(self.pattern.matches(text))));
        }
        let Some(groups) = self.pattern.captures(text) else { return Grade::scored(0.0) };
        let found = groups.get(1).map_or("", |group| group.as_str());
        let holds = !self.compares() || found == expected;
        Grade::of_answer(f64::from(u8::from(holds)), found.to_owned())
    }
}
