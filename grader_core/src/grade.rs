//! What a grader says of one completion: a score, or a typed error that never becomes a number here.

use std::collections::BTreeMap;

use crate::wire;

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

impl From<wire::Grade> for Grade {
    fn from(message: wire::Grade) -> Self {
        let count = |count: i32| usize::try_from(count).unwrap_or_default();
        let outcome = match message.outcome {
            Some(wire::Outcome::Score(score)) => Ok(score),
            Some(wire::Outcome::Error(error)) => Err(error.into()),
            None => Err(GradeError::new(ErrorClass::Other, "the answer has neither score nor error")),
        };
        let scores = message.part_scores.into_iter().map(|(part, score)| (part, Ok(score)));
        let errors = message.part_errors.into_iter().map(|(part, error)| (part, Err(error.into())));
        Self {
            outcome,
            parts: scores.chain(errors).collect(),
            extracted_answer: message.extracted_answer,
            matched_rank: count(message.matched_rank),
            listed_count: count(message.listed_count),
        }
    }
}

impl From<wire::GradeError> for GradeError {
    fn from(message: wire::GradeError) -> Self {
        let class = ErrorClass::of_number(message.error_class);
        Self { class, retryable: message.retryable, detail: message.detail, part: message.part }
    }
}

/// Why a completion could not be graded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GradeError {
    /// The kind of failure.
    pub class: ErrorClass,
    /// Whether the same grade may succeed when asked for again.
    pub retryable: bool,
    /// One sentence: what failed and on what input.
    pub detail: String,
    /// The failing part of a multi grader; empty for a plain one.
    pub part: String,
}

impl GradeError {
    /// An error of a plain grader.
    pub fn new(class: ErrorClass, detail: impl Into<String>) -> Self {
        Self { class, retryable: false, detail: detail.into(), part: String::new() }
    }
}

/// The contract's `GradeErrorClass`. Of the core's own failures are the first four and the last, and all are final: the
/// same text fails again. The others come with the answers of graders that ask.
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
    /// The text was cut off by the token limit.
    Truncated,
    /// No answer before the deadline.
    Deadline,
    /// The sandbox of a Python grader failed.
    PythonServer,
    /// The user's Python raised, or returned no finite number.
    PythonRuntime,
    /// The judge model could not be asked.
    ModelServer,
    /// The judge model refused.
    ModelRefusal,
    /// The judge model's reply is unusable.
    ModelParse,
    /// A remote grader failed.
    Remote,
    /// The sample is larger than the grader's limit.
    TooLarge,
    /// The row itself is unreadable, or the text is longer than the grader compares.
    Other,
}

impl ErrorClass {
    /// Every class, in the order of the contract's numbers, which count from 1.
    pub const ALL: [ErrorClass; 14] = [
        Self::InvalidVariable,
        Self::InvalidReference,
        Self::Formula,
        Self::SampleParse,
        Self::Truncated,
        Self::Deadline,
        Self::PythonServer,
        Self::PythonRuntime,
        Self::ModelServer,
        Self::ModelRefusal,
        Self::ModelParse,
        Self::Remote,
        Self::TooLarge,
        Self::Other,
    ];

    /// The number of the contract's `GradeErrorClass`.
    pub fn number(self) -> i32 {
        self as i32 + 1
    }

    /// The class of a number of the contract; what this version does not know is `Other`.
    pub fn of_number(number: i32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|number| Self::ALL.get(number.wrapping_sub(1)))
            .copied()
            .unwrap_or(Self::Other)
    }

    /// The contract's name without its prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidVariable => "INVALID_VARIABLE",
            Self::InvalidReference => "INVALID_REFERENCE",
            Self::Formula => "FORMULA",
            Self::SampleParse => "SAMPLE_PARSE",
            Self::Truncated => "TRUNCATED",
            Self::Deadline => "DEADLINE",
            Self::PythonServer => "PYTHON_SERVER",
            Self::PythonRuntime => "PYTHON_RUNTIME",
            Self::ModelServer => "MODEL_SERVER",
            Self::ModelRefusal => "MODEL_REFUSAL",
            Self::ModelParse => "MODEL_PARSE",
            Self::Remote => "REMOTE",
            Self::TooLarge => "TOO_LARGE",
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
