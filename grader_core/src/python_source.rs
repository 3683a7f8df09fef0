//! The user's own Python: a source that defines `grade(sample, item)`. It runs in a sandbox elsewhere; here only its
//! length and its libraries are checked.

use crate::error::{GraderError, Path};
use crate::wire;

/// Longest source, in bytes.
const MAX_SOURCE_BYTES: usize = 256_000;
/// The sets of libraries that exist: the only one that the openai API has published.
const IMAGE_TAGS: [&str; 2] = ["", "2025-05-08"];

/// The settings.
#[derive(Debug, Clone, PartialEq)]
pub struct PythonSource {
    source: String,
    image_tag: String,
    pass_threshold: Option<f64>,
}

impl PythonSource {
    pub(crate) fn read(python: &wire::PythonGrader, path: &Path) -> Result<Self, GraderError> {
        if python.source.trim().is_empty() {
            return Err(GraderError::MissingField { field: path.field("source") });
        }
        if python.source.len() > MAX_SOURCE_BYTES {
            let detail = format!("must have at most {MAX_SOURCE_BYTES} bytes, got {}", python.source.len());
            return Err(path.refuse("source", detail));
        }
        if !IMAGE_TAGS.contains(&python.image_tag.as_str()) {
            let detail = format!("must be left out or `{}`, got `{}`", IMAGE_TAGS[1], python.image_tag);
            return Err(path.refuse("image_tag", detail));
        }
        if let Some(threshold) = python.pass_threshold.filter(|threshold| !threshold.is_finite()) {
            return Err(path.refuse("pass_threshold", format!("must be a number, got {threshold}")));
        }
        Ok(Self {
            source: python.source.clone(),
            image_tag: python.image_tag.clone(),
            pass_threshold: python.pass_threshold,
        })
    }

    pub(crate) fn to_wire(&self) -> wire::PythonGrader {
        wire::PythonGrader {
            source: self.source.clone(),
            image_tag: self.image_tag.clone(),
            pass_threshold: self.pass_threshold,
        }
    }
}
