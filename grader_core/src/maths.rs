//! Finds a mathematical answer in the text, LaTeX or plain, and compares it with the reference by value.

use crate::error::{GraderError, Path};
use crate::full_width::narrowed;
use crate::grade::{ErrorClass, Grade, GradeError, excerpt};
use crate::location::{Location, Region};
use crate::maths_answer::Answer;
use crate::maths_finding::find;
use crate::maths_syntax::LONGEST;
use crate::plain_kind::PlainKind;
use crate::scope::Scope;
use crate::spec::{read_input, read_location, read_partial_score, read_reference};
use crate::template::Template;
use crate::wire;

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Maths {
    input: Template,
    reference: Template,
    location: Location,
    partial_score: f64,
}

impl Maths {
    pub(crate) fn read(maths: &wire::MathGrader, path: &Path) -> Result<Self, GraderError> {
        Ok(Self {
            input: read_input(&maths.input, path)?,
            reference: read_reference(&maths.reference, path)?,
            location: read_location(maths.location.as_ref(), path)?,
            partial_score: read_partial_score(maths.partial_score, path)?,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::MathGrader {
        wire::MathGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            location: self.location.to_wire(),
            partial_score: Some(self.partial_score),
        }
    }
}

impl PlainKind for Maths {
    type Expected = Answer;

    fn input(&self) -> &Template {
        &self.input
    }

    fn references(&self) -> Vec<(&'static str, &Template)> {
        vec![("reference", &self.reference)]
    }

    /// The reference as an answer; one that is no mathematics is compared as words.
    fn expect(&self, scope: Scope<'_>) -> Result<Answer, GradeError> {
        let reference = self.reference.render(scope)?;
        Answer::of_reference(&narrowed(&reference)).ok_or_else(|| {
            let detail = match reference.len() {
                length if length > LONGEST => {
                    format!("the reference must be an answer of at most {LONGEST} bytes, got {length}: shorten it")
                }
                _ => format!(
                    "the reference must be an answer, got `{}`, in which there is nothing but spaces and punctuation",
                    excerpt(&reference)
                ),
            };
            GradeError::new(ErrorClass::InvalidReference, detail)
        })
    }

    /// 1 for the right answer, the partial score for another, 0 for none.
    fn grade(&self, expected: &Answer, text: &str) -> Grade {
        let region = self.location.narrow(text);
        let narrow = region.text().map(narrowed);
        let region = region.with_text(narrow.as_deref().unwrap_or_default());
        // One line of words answers what asks for words.
        let words = || match region {
            Region::AfterMarker(text) | Region::Whole(text) if expected.is_words() && !text.trim().contains('\n') => {
                Answer::read(text)
            }
            _ => None,
        };
        let Some(answer) = find(region).or_else(words) else { return Grade::scored(0.0) };
        let score = if expected.is(&answer) { 1.0 } else { self.partial_score };
        Grade::of_answer(score, answer.written())
    }
}
