//! Measures how alike two texts are by the cosine of their embeddings. The embedding model is asked; it is the
//! service's, so its name is not part of the grader.

use serde_json::json;

use crate::error::{GraderError, Path};
use crate::grade::GradeError;
use crate::scope::Scope;
use crate::template::Template;
use crate::text_similarity::read_texts;
use crate::wire;

/// The metric's name.
pub(crate) const COSINE: &str = "cosine";

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct Cosine {
    input: Template,
    reference: Template,
    pass_threshold: Option<f64>,
}

impl Cosine {
    pub(crate) fn read(similarity: &wire::TextSimilarityGrader, path: &Path) -> Result<Self, GraderError> {
        let (input, reference) = read_texts(similarity, path)?;
        Ok(Self { input, reference, pass_threshold: similarity.pass_threshold })
    }

    pub(crate) fn to_wire(&self) -> wire::TextSimilarityGrader {
        wire::TextSimilarityGrader {
            input: self.input.source().to_owned(),
            reference: self.reference.source().to_owned(),
            evaluation_metric: COSINE.to_owned(),
            pass_threshold: self.pass_threshold,
        }
    }

    pub(crate) fn templates(&self) -> Vec<(String, &Template)> {
        vec![("input".to_owned(), &self.input), ("reference".to_owned(), &self.reference)]
    }

    /// The two texts.
    pub(crate) fn question(&self, scope: Scope<'_>) -> Result<String, GradeError> {
        Ok(json!([self.input.render(scope)?, self.reference.render(scope)?]).to_string())
    }
}
