//! The messages of `protos/pinetune/api/{grading,rollout}/v1` that the core reads or writes, by hand: field numbers as
//! there, no protoc at build. A contract test outside compares them with the protos. The messages of a batch are not
//! here: `request.rs` borrows their columns instead of copying them, `reply.rs` writes grades as they are.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

/// A grader in either spelling.
#[derive(Clone, PartialEq, Message)]
pub struct GraderSpec {
    /// Which spelling.
    #[prost(oneof = "Spelling", tags = "1, 2")]
    pub spelling: Option<Spelling>,
}

/// The two spellings of a grader.
#[derive(Clone, PartialEq, Oneof)]
pub enum Spelling {
    /// As typed messages.
    #[prost(message, tag = "1")]
    Grader(Grader),
    /// As the JSON object of the openai graders API.
    #[prost(string, tag = "2")]
    Json(String),
}

/// The scoring rule before it is checked.
#[derive(Clone, PartialEq, Message)]
pub struct Grader {
    /// Name in reports.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The kind with its settings.
    #[prost(oneof = "Kind", tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16")]
    pub kind: Option<Kind>,
}

/// Settings by kind.
#[derive(Clone, PartialEq, Oneof)]
#[allow(missing_docs)] // The proto documents each kind.
pub enum Kind {
    #[prost(message, tag = "2")]
    StringCheck(StringCheckGrader),
    #[prost(message, tag = "3")]
    TextSimilarity(TextSimilarityGrader),
    #[prost(message, tag = "4")]
    ScoreModel(ScoreModelGrader),
    #[prost(message, tag = "5")]
    LabelModel(LabelModelGrader),
    #[prost(message, tag = "6")]
    Python(PythonGrader),
    #[prost(message, tag = "7")]
    Multi(MultiGrader),
    #[prost(message, tag = "8")]
    Number(NumberGrader),
    #[prost(message, tag = "9")]
    MultipleChoice(MultipleChoiceGrader),
    #[prost(message, tag = "10")]
    RankedList(RankedListGrader),
    #[prost(message, tag = "11")]
    Math(MathGrader),
    #[prost(message, tag = "12")]
    JsonFields(JsonFieldsGrader),
    #[prost(message, tag = "13")]
    ToolCalls(ToolCallsGrader),
    #[prost(message, tag = "14")]
    Regex(RegexGrader),
    #[prost(message, tag = "15")]
    Shape(ShapeGrader),
    #[prost(message, tag = "16")]
    Remote(RemoteGrader),
}

/// Measures how alike two texts are.
#[derive(Clone, PartialEq, Message)]
pub struct TextSimilarityGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected text.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Name of the metric.
    #[prost(string, tag = "3")]
    pub evaluation_metric: String,
    /// Where an evaluation counts the sample as passed.
    #[prost(double, optional, tag = "4")]
    pub pass_threshold: Option<f64>,
}

/// Compares two texts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringCheckGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected text.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// StringCheckOperation.
    #[prost(int32, tag = "3")]
    pub operation: i32,
}

/// A formula over other graders.
#[derive(Clone, PartialEq, Message)]
pub struct MultiGrader {
    /// The parts by name.
    #[prost(btree_map = "string, message", tag = "1")]
    pub graders: BTreeMap<String, Grader>,
    /// The formula.
    #[prost(string, tag = "2")]
    pub calculate_output: String,
    /// The part that decides validity.
    #[prost(string, tag = "3")]
    pub gate: String,
    /// Parts barred from the formula.
    #[prost(string, repeated, tag = "4")]
    pub shadow: Vec<String>,
}

/// Where in a text the answer is looked for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AnswerLocation {
    /// The answer follows the last occurrence of this.
    #[prost(string, tag = "1")]
    pub marker: String,
    /// Whether there is no answer without the marker.
    #[prost(bool, tag = "2")]
    pub marker_required: bool,
}

/// Compares numbers.
#[derive(Clone, PartialEq, Message)]
pub struct NumberGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected number.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Where to look.
    #[prost(message, optional, tag = "3")]
    pub location: Option<AnswerLocation>,
    /// Largest absolute difference.
    #[prost(double, optional, tag = "4")]
    pub absolute_tolerance: Option<f64>,
    /// Largest difference as a share of the reference.
    #[prost(double, optional, tag = "5")]
    pub relative_tolerance: Option<f64>,
    /// Score of a wrong number.
    #[prost(double, optional, tag = "6")]
    pub partial_score: Option<f64>,
    /// Whether 50% is 0.5.
    #[prost(bool, tag = "7")]
    pub percent_as_fraction: bool,
    /// Whether an expression is an answer.
    #[prost(bool, tag = "8")]
    pub expression: bool,
}

/// Compares a choice.
#[derive(Clone, PartialEq, Message)]
pub struct MultipleChoiceGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected choice.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// The choices; empty for the letters A to Z.
    #[prost(string, repeated, tag = "3")]
    pub choices: Vec<String>,
    /// Where to look.
    #[prost(message, optional, tag = "4")]
    pub location: Option<AnswerLocation>,
    /// Score of a wrong choice.
    #[prost(double, optional, tag = "5")]
    pub partial_score: Option<f64>,
}

/// Gives credit by rank.
#[derive(Clone, PartialEq, Message)]
pub struct RankedListGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected answer.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Where to look.
    #[prost(message, optional, tag = "3")]
    pub location: Option<AnswerLocation>,
    /// How credit falls.
    #[prost(message, optional, tag = "4")]
    pub curve: Option<RankCurve>,
    /// Last rank with credit.
    #[prost(int32, tag = "5")]
    pub max_rank: i32,
    /// Whether case counts.
    #[prost(bool, tag = "6")]
    pub case_sensitive: bool,
    /// Template of further spellings.
    #[prost(string, tag = "7")]
    pub aliases: String,
    /// Score of a list without the reference.
    #[prost(double, optional, tag = "8")]
    pub partial_score: Option<f64>,
}

/// Credit as a function of rank.
#[derive(Clone, PartialEq, Message)]
pub struct RankCurve {
    /// RankCurveKind.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Credit of rank 1, 2, ….
    #[prost(double, repeated, tag = "2")]
    pub table: Vec<f64>,
    /// First rank without credit on the linear curve.
    #[prost(int32, tag = "3")]
    pub zero_rank: i32,
}

/// Compares mathematical expressions.
#[derive(Clone, PartialEq, Message)]
pub struct MathGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected expression.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Where to look.
    #[prost(message, optional, tag = "3")]
    pub location: Option<AnswerLocation>,
    /// Score of a wrong expression.
    #[prost(double, optional, tag = "4")]
    pub partial_score: Option<f64>,
}

/// Compares the fields of a JSON answer.
#[derive(Clone, PartialEq, Message)]
pub struct JsonFieldsGrader {
    /// Template of the examined JSON.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected object.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// JSON Schema of the answer; empty for none.
    #[prost(string, tag = "3")]
    pub schema_json: String,
    /// Weights of fields by path.
    #[prost(btree_map = "string, double", tag = "4")]
    pub weights: BTreeMap<String, f64>,
}

/// Compares tool calls.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ToolCallsGrader {
    /// Template of the examined calls.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Template of the expected calls.
    #[prost(string, tag = "2")]
    pub reference: String,
    /// Whether calls may come in any order.
    #[prost(bool, tag = "3")]
    pub any_order: bool,
}

/// Matches a regular expression.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RegexGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// The pattern.
    #[prost(string, tag = "2")]
    pub pattern: String,
    /// Template that the first group must equal; empty for none.
    #[prost(string, tag = "3")]
    pub reference: String,
}

/// Shapes length and form.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShapeGrader {
    /// Template of the examined text.
    #[prost(string, tag = "1")]
    pub input: String,
    /// Fewest characters with full score.
    #[prost(int32, tag = "2")]
    pub min_characters: i32,
    /// Most characters with full score; 0 for no bound.
    #[prost(int32, tag = "3")]
    pub max_characters: i32,
    /// Characters over which the score falls to 0.
    #[prost(int32, tag = "4")]
    pub slope_characters: i32,
    /// A pattern without which there is no score.
    #[prost(string, tag = "5")]
    pub required_pattern: String,
}

/// A message of a judge's prompt.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct JudgeMessage {
    /// Who speaks.
    #[prost(string, tag = "1")]
    pub role: String,
    /// Template of the text.
    #[prost(string, tag = "2")]
    pub content: String,
}

/// How a judge model samples.
#[derive(Clone, PartialEq, Message)]
pub struct JudgeSampling {
    /// Fixes the judge's randomness.
    #[prost(int64, optional, tag = "1")]
    pub seed: Option<i64>,
    /// Nucleus share.
    #[prost(double, optional, tag = "2")]
    pub top_p: Option<f64>,
    /// 0 is greedy.
    #[prost(double, optional, tag = "3")]
    pub temperature: Option<f64>,
    /// Most tokens of a reply.
    #[prost(int32, optional, tag = "4")]
    pub max_completions_tokens: Option<i32>,
    /// How much the judge thinks.
    #[prost(string, optional, tag = "5")]
    pub reasoning_effort: Option<String>,
}

/// A judge model gives a number.
#[derive(Clone, PartialEq, Message)]
pub struct ScoreModelGrader {
    /// Name of the model.
    #[prost(string, tag = "1")]
    pub model: String,
    /// The prompt.
    #[prost(message, repeated, tag = "2")]
    pub input: Vec<JudgeMessage>,
    /// Lowest and highest score.
    #[prost(double, repeated, tag = "3")]
    pub range: Vec<f64>,
    /// How the judge samples.
    #[prost(message, optional, tag = "4")]
    pub sampling_params: Option<JudgeSampling>,
    /// Where an evaluation counts the sample as passed.
    #[prost(double, optional, tag = "5")]
    pub pass_threshold: Option<f64>,
}

/// A judge model gives a label.
#[derive(Clone, PartialEq, Message)]
pub struct LabelModelGrader {
    /// Name of the model.
    #[prost(string, tag = "1")]
    pub model: String,
    /// The prompt.
    #[prost(message, repeated, tag = "2")]
    pub input: Vec<JudgeMessage>,
    /// All labels.
    #[prost(string, repeated, tag = "3")]
    pub labels: Vec<String>,
    /// The labels that score 1.
    #[prost(string, repeated, tag = "4")]
    pub passing_labels: Vec<String>,
    /// How the judge samples.
    #[prost(message, optional, tag = "5")]
    pub sampling_params: Option<JudgeSampling>,
}

/// The user's own Python.
#[derive(Clone, PartialEq, Message)]
pub struct PythonGrader {
    /// Defines `grade(sample, item)`.
    #[prost(string, tag = "1")]
    pub source: String,
    /// Which set of libraries it runs with.
    #[prost(string, tag = "2")]
    pub image_tag: String,
    /// Where an evaluation counts the sample as passed.
    #[prost(double, optional, tag = "3")]
    pub pass_threshold: Option<f64>,
}

/// A grader that a team runs itself.
#[derive(Clone, PartialEq, Message)]
pub struct RemoteGrader {
    /// Where it is.
    #[prost(string, tag = "1")]
    pub endpoint: String,
    /// Longest wait for one answer, in seconds.
    #[prost(double, optional, tag = "2")]
    pub timeout_seconds: Option<f64>,
    /// Handed on to it, as JSON.
    #[prost(string, tag = "3")]
    pub settings_json: String,
}

/// An answer to a question: the grade that somebody else gave.
#[derive(Clone, PartialEq, Message)]
pub struct Grade {
    /// The outcome.
    #[prost(oneof = "Outcome", tags = "1, 2")]
    pub outcome: Option<Outcome>,
    /// Scores of a composed grader's parts.
    #[prost(btree_map = "string, double", tag = "3")]
    pub part_scores: BTreeMap<String, f64>,
    /// Errors of a composed grader's parts.
    #[prost(btree_map = "string, message", tag = "4")]
    pub part_errors: BTreeMap<String, GradeError>,
    /// The answer found in the text.
    #[prost(string, tag = "5")]
    pub extracted_answer: String,
    /// 1-based rank of the reference.
    #[prost(int32, tag = "6")]
    pub matched_rank: i32,
    /// How many answers were listed.
    #[prost(int32, tag = "7")]
    pub listed_count: i32,
}

/// A score or an error.
#[derive(Clone, PartialEq, Oneof)]
pub enum Outcome {
    /// The score.
    #[prost(double, tag = "1")]
    Score(f64),
    /// Why there is none.
    #[prost(message, tag = "2")]
    Error(GradeError),
}

/// Why there is no score.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GradeError {
    /// GradeErrorClass.
    #[prost(int32, tag = "1")]
    pub error_class: i32,
    /// Whether the same grade may succeed later.
    #[prost(bool, tag = "2")]
    pub retryable: bool,
    /// What failed.
    #[prost(string, tag = "3")]
    pub detail: String,
    /// The failing part of a composed grader.
    #[prost(string, tag = "4")]
    pub part: String,
}

/// A check of a grader.
#[derive(Clone, PartialEq, Message)]
pub struct ValidateGraderRequest {
    /// The grader.
    #[prost(message, optional, tag = "1")]
    pub grader: Option<GraderSpec>,
    /// Keys of the data set's rows.
    #[prost(string, repeated, tag = "2")]
    pub item_keys: Vec<String>,
}

/// A valid grader in both spellings.
#[derive(Clone, PartialEq, Message)]
pub struct ValidateGraderResponse {
    /// As messages, defaults written out.
    #[prost(message, optional, tag = "1")]
    pub grader: Option<Grader>,
    /// As JSON, defaults written out.
    #[prost(string, tag = "2")]
    pub json: String,
    /// Identifies grader and core version.
    #[prost(string, tag = "3")]
    pub fingerprint: String,
}
