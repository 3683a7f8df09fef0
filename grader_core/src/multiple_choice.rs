//! Finds a choice in the text, a letter or words, and compares it with the reference.

use crate::error::{GraderError, Path};
use crate::grade::{ErrorClass, Grade, GradeError, excerpt};
use crate::location::{Location, Region};
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::{read_input, read_location, read_partial_score, read_reference};
use crate::statement::Choices;
use crate::template::Template;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct MultipleChoice {
    input: Template,
    reference: Template,
    given: Vec<String>,
    choices: Choices,
    location: Location,
    partial_score: f64,
}

impl MultipleChoice {
    pub(crate) fn read(choice: &wire::MultipleChoiceGrader, path: &Path) -> Result<Self, GraderError> {
        let letters = || ('A'..='Z').map(String::from).collect();
        let spelled: Vec<String> = if choice.choices.is_empty() { letters() } else { choice.choices.clone() };
        let choices = Choices::new(&spelled).map_err(|place| {
            let detail =
                format!("a choice needs a letter or digit, got `{}`", spelled.get(place).map_or("", String::as_str));
            path.refuse(&format!("choices[{place}]"), detail)
        })?;
        for (place, text) in spelled.iter().enumerate() {
            if choices.only(text) != Some(place) {
                let detail = format!("`{text}` differs from an earlier choice in case or punctuation only");
                return Err(path.refuse(&format!("choices[{place}]"), detail));
            }
        }
        Ok(Self {
            input: read_input(&choice.input, path)?,
            reference: read_reference(&choice.reference, path)?,
            given: choice.choices.clone(),
            choices,
            location: read_location(choice.location.as_ref(), path)?,
            partial_score: read_partial_score(choice.partial_score, path)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::MultipleChoiceGrader {
        wire::MultipleChoiceGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            choices: self.given.clone(),
            location: self.location.to_wire(),
            partial_score: Some(self.partial_score),
        }
    }
}

impl PlainKind for MultipleChoice {
    type Expected = usize;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    /// The place of the reference among the choices.
    fn expect(&self, scope: Scope<'_>) -> Result<usize, GradeError> {
        let reference = self.reference.render(scope)?;
        self.choices.only(&reference).ok_or_else(|| {
            let known = if self.given.is_empty() {
                "a letter (set `choices` for words)".to_owned()
            } else {
                self.given.join(", ")
            };
            let detail = format!("the reference must be one of the choices, {known}; got `{}`", excerpt(&reference));
            GradeError::new(ErrorClass::InvalidReference, detail)
        })
    }

    /// 1 for the right choice, the partial score for another, 0 for none.
    fn grade(&self, expected: &usize, text: &str) -> Grade {
        let found = match self.location.narrow(text) {
            Region::AfterMarker(rest) => self.choices.first(rest),
            Region::Whole(text) => self.choices.last(text),
            Region::Nowhere => None,
        };
        let Some(found) = found else { return Grade::scored(0.0) };
        let score = if found == *expected { 1.0 } else { self.partial_score };
        Grade::of_answer(score, self.choices.spelled(found).to_owned())
    }
}
