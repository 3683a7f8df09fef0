//! What can be wrong with a grader or a request: one error, typed by reason. A completion that cannot be graded is no
//! error of this kind; it is a [`crate::grade::GradeError`], which is data.

use thiserror::Error;

/// Why a grader or a request is refused. The message names the field, what is wrong with it and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GraderError {
    /// The bytes are not the protobuf message that the call takes.
    #[error("{field}: not a {field} in protobuf's wire format: {detail}")]
    UndecodableRequest {
        /// Name of the message.
        field: &'static str,
        /// What the decoder met.
        detail: String,
    },
    /// The columns of a batch do not fit together.
    #[error("{field}: {detail}")]
    BatchShape {
        /// The column.
        field: String,
        /// How it does not fit.
        detail: String,
    },
    /// The grader's text is not JSON.
    #[error("{field}: not a JSON object: {detail}")]
    Json {
        /// Where the text stands.
        field: String,
        /// Line, column and fault.
        detail: String,
    },
    /// A key that the kind of grader does not have.
    #[error("{field}: unknown field{near}; known here: {known}")]
    UnknownField {
        /// Path of the key.
        field: String,
        /// The key that was probably meant, as a question behind a comma; empty where none is near.
        near: String,
        /// The keys that exist, separated by commas.
        known: String,
    },
    /// A required field is absent or empty.
    #[error("{field}: required, but missing or empty")]
    MissingField {
        /// Path of the field.
        field: String,
    },
    /// A JSON value of another type than the field's.
    #[error("{field}: must be {expected}, got {given}")]
    FieldType {
        /// Path of the field.
        field: String,
        /// The type asked for.
        expected: &'static str,
        /// The value given, or its beginning.
        given: String,
    },
    /// A value outside what the field allows.
    #[error("{field}: {detail}")]
    FieldValue {
        /// Path of the field.
        field: String,
        /// The limit and the value given.
        detail: String,
    },
    /// `type` names no kind of grader.
    #[error("{field}: `{kind}` is no kind of grader; known: {known}")]
    UnknownKind {
        /// Path of the type.
        field: String,
        /// The word given.
        kind: String,
        /// The kinds that exist, separated by commas.
        known: String,
    },
    /// A template does not parse.
    #[error("{field}: {detail}")]
    Template {
        /// Path of the template.
        field: String,
        /// What is wrong, and where.
        detail: String,
    },
    /// A template reads a key that the data set's rows do not have.
    #[error("{field}: reads item.{key}, but the rows have only: {known}")]
    UnknownItemKey {
        /// Path of the template.
        field: String,
        /// The key that is not there.
        key: String,
        /// The keys that are, separated by commas.
        known: String,
    },
    /// A formula does not parse or reads names that do not exist.
    #[error("{field}: {detail}")]
    Formula {
        /// Path of the formula.
        field: String,
        /// What is wrong, and where.
        detail: String,
    },
}

impl GraderError {
    /// Every reason there is; a test asks that each occurs in the golden cases.
    pub const REASONS: [&'static str; 11] = [
        "REQUEST_UNDECODABLE",
        "BATCH_SHAPE_INVALID",
        "GRADER_JSON_INVALID",
        "GRADER_FIELD_UNKNOWN",
        "GRADER_FIELD_MISSING",
        "GRADER_FIELD_TYPE",
        "GRADER_FIELD_VALUE",
        "GRADER_KIND_UNKNOWN",
        "GRADER_TEMPLATE_INVALID",
        "ITEM_KEY_UNKNOWN",
        "GRADER_FORMULA_INVALID",
    ];

    /// The stable word that clients and metrics tell errors apart by.
    pub fn reason(&self) -> &'static str {
        let place = match self {
            Self::UndecodableRequest { .. } => 0,
            Self::BatchShape { .. } => 1,
            Self::Json { .. } => 2,
            Self::UnknownField { .. } => 3,
            Self::MissingField { .. } => 4,
            Self::FieldType { .. } => 5,
            Self::FieldValue { .. } => 6,
            Self::UnknownKind { .. } => 7,
            Self::Template { .. } => 8,
            Self::UnknownItemKey { .. } => 9,
            Self::Formula { .. } => 10,
        };
        Self::REASONS[place]
    }

    /// Path of the faulty field, e.g. `graders.accuracy.reference`.
    pub fn field(&self) -> &str {
        match self {
            Self::UndecodableRequest { field, .. } => field,
            Self::BatchShape { field, .. }
            | Self::Json { field, .. }
            | Self::UnknownField { field, .. }
            | Self::MissingField { field }
            | Self::FieldType { field, .. }
            | Self::FieldValue { field, .. }
            | Self::UnknownKind { field, .. }
            | Self::Template { field, .. }
            | Self::UnknownItemKey { field, .. }
            | Self::Formula { field, .. } => field,
        }
    }
}

/// A place inside a grader, written as its keys with dots: empty for the grader itself, `graders.accuracy` for a part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Path(String);

impl Path {
    /// The place of a part.
    pub(crate) fn enter(&self, key: &str) -> Path {
        Path(self.field(key))
    }

    /// The full name of a field at this place.
    pub(crate) fn field(&self, key: &str) -> String {
        if self.0.is_empty() { key.to_owned() } else { format!("{}.{key}", self.0) }
    }

    /// An error about the value of a field at this place.
    pub(crate) fn refuse(&self, key: &str, detail: impl Into<String>) -> GraderError {
        GraderError::FieldValue { field: self.field(key), detail: detail.into() }
    }
}
