//! What a grader says of one completion: a score, or a typed error that never becomes a number here.

use std::collections::BTreeMap;

/// Longest piece of an input that a message repeats, in characters.
const EXCERPT_CHARACTERS: usize = 60;

/// The grade of one completion.
#[derive(Debug, Clone, PartialEq)]
pub struct Grade {
    /// The score, or why there is none.
    pub outcome: Result<f64, GradeError>,
    /// The outcomes of a multi grader's parts, by name.
    pub parts: BTreeMap<String, Result<f64, GradeError>>,
    /// The answer found in the text in its normal form; empty where none was found.
    pub extracted_answer: String,
    /// 1-based rank of the reference in a listed answer; 0 where it is not listed.
    pub matched_rank: usize,
    /// How many different answers were listed.
    pub listed_count: usize,
}

impl Grade {
    /// A score without further findings.
    pub fn scored(score: f64) -> Self {
        Self {
            outcome: Ok(score),
            parts: BTreeMap::new(),
            extracted_answer: String::new(),
            matched_rank: 0,
            listed_count: 0,
        }
    }

    /// A score together with the answer it is about.
    pub fn of_answer(score: f64, extracted_answer: String) -> Self {
        Self { extracted_answer, ..Self::scored(score) }
    }

    /// No score.
    pub fn failed(error: GradeError) -> Self {
        Self { outcome: Err(error), ..Self::scored(0.0) }
    }
}

/// Why a completion could not be graded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeError {
    /// The kind of failure.
    pub class: ErrorClass,
    /// One sentence: what failed and on what input.
    pub detail: String,
    /// The failing part of a multi grader; empty for a plain one.
    pub part: String,
}

impl GradeError {
    /// An error of a plain grader.
    pub fn new(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { class, detail: detail.into(), part: String::new() }
    }
}

/// The failures that can happen inside the core: those of the contract's `GradeErrorClass` that need no judge, sandbox
/// or deadline. All are final: the same text fails again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorClass {
    /// A template names something that the row or the sample lacks.
    InvalidVariable,
    /// The reference of the row is not what the grader needs.
    InvalidReference,
    /// The formula has no finite value.
    Formula,
    /// The sample is not the JSON that a template reads from.
    SampleParse,
    /// The row itself is unreadable, or the text is longer than the grader compares.
    Other,
}

impl ErrorClass {
    /// Every class; a test asks that each occurs in the golden cases.
    pub const ALL: [ErrorClass; 5] =
        [Self::InvalidVariable, Self::InvalidReference, Self::Formula, Self::SampleParse, Self::Other];

    /// The number of the contract's `GradeErrorClass`.
    pub fn number(self) -> i32 {
        match self {
            Self::InvalidVariable => 1,
            Self::InvalidReference => 2,
            Self::Formula => 3,
            Self::SampleParse => 4,
            Self::Other => 14,
        }
    }

    /// The contract's name without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidVariable => "INVALID_VARIABLE",
            Self::InvalidReference => "INVALID_REFERENCE",
            Self::Formula => "FORMULA",
            Self::SampleParse => "SAMPLE_PARSE",
            Self::Other => "OTHER",
        }
    }
}

/// The beginning of `text`, short enough for a message.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A count as a number; those of a text are far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn count(count: usize) -> f64 {
    count as f64
}
