//! A JSON Schema that an answer must match. Patterns in it are matched in linear time, and nothing is fetched: a `$ref`
//! to elsewhere is refused with the grader.

use std::sync::Arc;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::error::{GraderError, Path};

/// A compiled schema.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    source: String,
    validator: Arc<Validator>,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Schema {
    pub(crate) fn read(source: &str, path: &Path, key: &str) -> Result<Self, GraderError> {
        let refused = |detail: String| path.refuse(key, format!("is no JSON Schema: {detail}"));
        let value: Value = serde_json::from_str(source).map_err(|fault| refused(fault.to_string()))?;
        if !(value.is_object() || value.is_boolean()) {
            return Err(refused("it must be an object, true or false".to_owned()));
        }
        let options = jsonschema::options().with_pattern_options(PatternOptions::regex());
        let validator = options.build(&value).map_err(|fault| refused(fault.to_string()))?;
        Ok(Self { source: source.to_owned(), validator: Arc::new(validator) })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn accepts(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }
}
